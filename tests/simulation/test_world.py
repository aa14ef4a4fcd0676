"""A world is decided by its seed, and everything in it is invented."""

from __future__ import annotations

from collections import Counter
from datetime import date

import pytest

from tallystick.simulation import acts, scenarios, world

FIRST, LAST = date(2026, 7, 21), date(2026, 10, 20)


def a_world(seed: int = 7, customers: int = 40) -> world.World:
    return world.make(seed=seed, customers=customers, first_day=FIRST, last_day=LAST)


def transfers(happened: list[acts.Act]) -> list[acts.Transfer]:
    return [each for act in happened if isinstance(act, acts.Post) for each in act.transfers]


def test_the_same_seed_makes_the_same_world_and_another_seed_another() -> None:
    first, again, other = (acts.digest(scenarios.generate(a_world(seed), 500)) for seed in (7, 7, 8))
    assert first == again != other


def test_a_larger_world_begins_with_the_people_of_the_smaller_one() -> None:
    assert a_world(customers=60).customers[:40] == a_world().customers


def test_the_cast_of_every_story_is_there_first() -> None:
    assert [each.name for each in a_world().customers[:2]] == ["王芳", "李强"]


def test_no_card_could_be_anybodys_for_each_fails_the_check_digit() -> None:
    for customer in a_world(customers=500).customers:
        digits = [int(digit) for digit in customer.card.split()[-1]]
        doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
        assert (sum(digits[::-2]) + sum(doubled)) % 10 != 0


@pytest.mark.parametrize(("customers", "count"), [(20, 300), (40, 1000), (150, 4000)])
def test_exactly_as_many_transfers_are_posted_as_were_asked_for(customers: int, count: int) -> None:
    happened = transfers(list(scenarios.generate(a_world(customers=customers), count)))
    assert sum(not each.answer and not each.is_repeat for each in happened) == count


def test_acts_come_in_the_order_of_their_times() -> None:
    moments = [act.at for act in scenarios.generate(a_world(), 800)]
    assert moments == sorted(moments)


def test_the_bank_moves_nothing_at_the_weekend() -> None:
    held: dict[object, acts.Transfer] = {}
    for act in scenarios.generate(a_world(), 2000):
        for each in act.transfers if isinstance(act, acts.Post) else ():
            held[each.id] = held.get(each.id, each)
            what = held[each.pending] if each.pending else each
            moved = each.kind in ("posted", "post_pending") and not each.answer
            if moved and world.BANK in (what.debit, what.credit):
                assert world.is_business_day(act.at.date())


def test_in_a_large_world_everything_that_must_not_succeed_is_tried() -> None:
    happened = transfers(list(scenarios.generate(a_world(customers=200), 20_000)))
    tried = Counter(each.answer for each in happened if each.answer)
    assert set(tried) == {
        "account_closed",
        "already_reversed",
        "amount_exceeds_pending",
        "authorisation_amount_differs",
        "authorisation_code_differs",
        "authorisation_consumed",
        "authorisation_expired",
        "authorisation_missing",
        "authorisation_not_yet_valid",
        "authorisation_of_another",
        "authorisation_payee_differs",
        "authorisation_withdrawn",
        "border_crossed",
        "ceiling_exceeded",
        "debits_frozen",
        "id_used_with_other_content",
        "insufficient_funds",
        "linked_transfer_refused",
        "pending_already_posted",
    }
    assert any(each.is_repeat for each in happened)


@pytest.mark.parametrize(
    ("last", "first"),
    [
        (date(2026, 11, 21), date(2026, 8, 22)),
        (date(2026, 2, 10), date(2025, 11, 11)),
        (date(2026, 5, 31), date(2026, 3, 1)),
    ],
)
def test_three_months_end_on_the_last_day(last: date, first: date) -> None:
    assert world.three_months(last) == first

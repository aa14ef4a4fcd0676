"""Compound entries: n debits and m credits are one chain whose sums are theirs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.custody import compound, errors, history, ledger, transfers
from tallystick.custody.codes import Code
from tallystick.custody.compound import Leg
from tallystick.custody.models import TransferKind
from tallystick.custody.numbers import Family, account_number, account_text
from tests.custody import cast
from tests.custody.cast import BOOK, DB, NOW, SIMULATION, ask

ENTRY = "trf_0192f000-1234-7abc-8def-000000000001"


def account(serial: int) -> int:
    return account_number(1, Family.EXTERNAL, 156, serial)


def legs(amounts: list[int], first: int) -> list[Leg]:
    return [Leg(account(first + i), amount) for i, amount in enumerate(amounts)]


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=9), st.lists(st.integers(1, 50), min_size=1, max_size=9)
)
def test_each_account_gets_what_its_leg_says_in_one_chain(debits, credits):
    more = abs(sum(debits) - sum(credits)) or 1
    (debits if sum(debits) <= sum(credits) else credits).append(more)
    if sum(debits) != sum(credits):
        (credits if sum(debits) > sum(credits) else debits).append(abs(sum(debits) - sum(credits)))
    chain = compound.chain(ENTRY, legs(debits, 1), legs(credits, 100), code=Code.SETTLEMENT)
    for side, amounts, first in (("debit_account", debits, 1), ("credit_account", credits, 100)):
        for i, amount in enumerate(amounts):
            text = account_text(account(first + i))
            assert sum(each.amount_minor for each in chain if getattr(each, side) == text) == amount
    assert [each.linked for each in chain] == [True] * (len(chain) - 1) + [False]
    assert len(chain) < len(debits) + len(credits)
    assert len({each.id for each in chain}) == len(chain)
    transfers.columns(chain)


def test_the_same_entry_has_the_same_ids_in_the_order_of_time():
    first, again = (compound.leg_id(ENTRY, 0), compound.leg_id(ENTRY, 0))
    assert first == again != compound.leg_id(ENTRY, 1)
    assert first[:17] == ENTRY[:17], "the first 48 bits are the time"
    assert first[18] == "8"


@pytest.mark.parametrize(
    ("debits", "credits", "field"),
    [
        ([], [1], "debits"),
        ([1], [], "credits"),
        ([1], [2], "credits"),
        ([0], [0], "debits"),
        ([2, -1], [1], "debits"),
    ],
)
def test_sides_that_differ_are_refused(debits, credits, field):
    with pytest.raises(errors.Malformed) as refused:
        compound.chain(ENTRY, legs(debits, 1), legs(credits, 100), code=Code.SETTLEMENT)
    assert refused.value.fields["field"] == field


def test_an_authorised_debit_is_not_split():
    debit = Leg(account(1), 10, authorisation=1_00000011)
    with pytest.raises(errors.Malformed):
        compound.chain(ENTRY, [debit], legs([4, 6], 100), code=Code.REPAY)
    assert len(compound.chain(ENTRY, [debit], legs([10], 100), code=Code.REPAY)) == 1


def test_a_compound_entry_is_posted_whole_or_not_at_all(ledger_database):
    people = cast.opened()
    cast.post([ask(1, people.bank, people.wang, 10_00), ask(2, people.bank, people.li, 5_00)])
    repaid = [
        Leg(people.wang, 6_00, cast.authorised(people.wang, people.suspense, 6_00)),
        Leg(people.li, 6_00, cast.authorised(people.li, people.suspense, 6_00)),
    ]
    whole = compound.chain(ENTRY, repaid, [Leg(people.suspense, 12_00)], code=Code.LEND, reference="B-1")
    refused = ledger.post(DB, BOOK, whole, actor=SIMULATION, now=NOW)
    assert [refused.refusal_of(i) for i in (0, 1)] == [errors.LinkedTransferRefused, errors.InsufficientFunds]
    assert history.balance(DB, people.wang).balance_minor == 10_00
    repaid[1] = Leg(people.li, 4_00, cast.authorised(people.li, people.suspense, 4_00))
    whole = compound.chain(
        cast.an_id(7), repaid, [Leg(people.suspense, 10_00)], code=Code.LEND, reference="B-1"
    )
    positions = cast.post(whole)
    chain = history.transfers(DB, BOOK, filters=history.Filters(chain_position=positions[0]))
    assert [(each.position, each.kind, each.reference) for each in chain] == [
        (position, TransferKind.POSTED, "B-1") for position in positions
    ]
    assert history.balance(DB, people.suspense).balance_minor == 10_00

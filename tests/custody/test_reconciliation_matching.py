"""Matching: the rule alone, on plain rows. Planted breaks are all found by kind, and nothing else is."""

from __future__ import annotations

import datetime as dt
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.custody import matching
from tallystick.custody.breaks import BreakKind
from tallystick.custody.matching import Around, Bank, BankLine, Channel, ChannelLine, Ledger, LedgerLine

DAY = dt.date(2026, 3, 2)
CUT_OFF = dt.date(2026, 3, 31)
QUIET = Around(cut_off=CUT_OFF, bank_known_to=CUT_OFF, known=frozenset({"C-WANG"}))


def bank(key: int, amount: int, *references: str, day: int = 0, text: str = "") -> BankLine:
    return BankLine(key, DAY + dt.timedelta(days=day), amount, references, text)


def ledger(
    position: int, amount: int, reference: str = "", *, day: int = 0, reverses: int | None = None
) -> LedgerLine:
    return LedgerLine(position, DAY + dt.timedelta(days=day), amount, reference, reverses)


def matched(
    bank_lines: Sequence[BankLine],
    ledger_lines: Sequence[LedgerLine],
    around: Around = QUIET,
    channel_lines: Sequence[ChannelLine] = (),
) -> matching.Outcome:
    """The engine, on rows."""
    work = matching.match(Bank.of(bank_lines), Ledger.of(ledger_lines), Channel.of(channel_lines))
    return matching.judge(work, around)


def kinds(outcome: matching.Outcome) -> list[str]:
    return [each.kind for each in outcome.breaks]


CASES: dict[str, tuple[list[BankLine], list[LedgerLine], dict[str, object], list[str], list[str]]] = {
    # name: bank, ledger, around, ways of the matches, kinds of the breaks
    "reference_and_amount": ([bank(1, 100, "A")], [ledger(1, 100, "A")], {}, ["reference"], []),
    "reference_is_compared_without_blanks_and_case": (
        [bank(1, 100, "trf 0001")],
        [ledger(1, 100, "TRF0001")],
        {},
        ["reference"],
        [],
    ),
    "second_reference_of_the_bank": ([bank(1, 100, "X", "A")], [ledger(1, 100, "A")], {}, ["reference"], []),
    "reference_in_the_text": (
        [bank(1, 100, text="top-up ref: TRF-77, thanks")],
        [ledger(1, 100, "TRF-77")],
        {},
        ["text"],
        [],
    ),
    "a_reference_matches_at_any_distance": (
        [bank(1, 100, "A", day=20)],
        [ledger(1, 100, "A")],
        {},
        ["reference"],
        [],
    ),
    "amount_and_day_without_a_bank_reference": (
        [bank(1, 100, day=3)],
        [ledger(1, 100, "A")],
        {},
        ["amount_and_day"],
        [],
    ),
    "amount_and_day_without_a_ledger_reference": (
        [bank(1, 100, "X")],
        [ledger(1, 100, day=-3)],
        {},
        ["amount_and_day"],
        [],
    ),
    "two_references_that_differ_are_two_payments": (
        [bank(1, -100, "X")],
        [ledger(1, -100, "A")],
        {},
        [],
        ["missing_in_ledger", "missing_at_bank"],
    ),
    "outside_the_window": (
        [bank(1, -100, day=4)],
        [ledger(1, -100)],
        {},
        [],
        ["missing_at_bank", "missing_in_ledger"],
    ),
    "a_reversed_pair_the_bank_never_saw": (
        [],
        [ledger(1, 100, "A"), ledger(2, -100, "A", day=1, reverses=1)],
        {},
        [],
        [],
    ),
    "a_reversed_pair_the_bank_booked_both_ways": (
        [bank(1, 100, "A"), bank(2, -100, "A", day=1)],
        [ledger(1, 100, "A"), ledger(2, -100, "A", day=1, reverses=1)],
        {},
        ["reference", "reference"],
        [],
    ),
    "duplicate_at_the_bank": (
        [bank(1, 100, "A"), bank(2, 100, "A", day=1)],
        [ledger(1, 100, "A")],
        {},
        ["reference"],
        ["duplicate"],
    ),
    "duplicate_in_the_ledger": (
        [bank(1, 100, "A")],
        [ledger(1, 100, "A"), ledger(2, 100, "A")],
        {},
        ["reference"],
        ["duplicate"],
    ),
    "the_same_payment_every_month_is_no_duplicate": (
        [bank(1, 100, "A"), bank(2, 100, "A", day=20)],
        [ledger(1, 100, "A"), ledger(2, 100, "A", day=20)],
        {},
        ["reference", "reference"],
        [],
    ),
    "two_alike_without_reference_are_no_duplicate": (
        [bank(1, 450, text="coffee"), bank(2, 450, text="coffee")],
        [ledger(1, 450), ledger(2, 450)],
        {},
        ["amount_and_day", "amount_and_day"],
        [],
    ),
    "another_amount": ([bank(1, 101, "A")], [ledger(1, 100, "A")], {}, [], ["amount"]),
    "another_side_is_not_another_amount": (
        [bank(1, -100, "A")],
        [ledger(1, 100, "A")],
        {},
        [],
        ["missing_in_ledger", "missing_at_bank"],
    ),
    "known_on_another_control_account": (
        [bank(1, 100, "A")],
        [],
        {"ledger_elsewhere": {"A": "acc_2"}},
        [],
        ["wrong_account"],
    ),
    "known_at_another_bank": (
        [],
        [ledger(1, 100, "A")],
        {"bank_elsewhere": {"A": "acc_2"}},
        [],
        ["wrong_account"],
    ),
    "the_bank_books_it_after_the_cut_off": (
        [],
        [ledger(1, 100, "A")],
        {"bank_after": [bank(9, 100, "A", day=40)]},
        [],
        ["timing"],
    ),
    "the_ledger_posts_it_after_the_cut_off": (
        [bank(1, 100, "A", day=29)],
        [],
        {"ledger_after": [ledger(9, 100, "A", day=30)]},
        [],
        ["timing"],
    ),
    "the_bank_may_still_book_it": ([], [ledger(1, 100, "A", day=28)], {}, [], ["timing"]),
    "the_bank_has_had_its_days": ([], [ledger(1, 100, "A", day=26)], {}, [], ["missing_at_bank"]),
    "later_statements_show_it_never_came": (
        [],
        [ledger(1, 100, "A", day=28)],
        {"bank_known_to": CUT_OFF + dt.timedelta(days=5)},
        [],
        ["missing_at_bank"],
    ),
    "a_credit_that_names_nobody": ([bank(1, 100, "X", text="hello")], [], {}, [], ["unidentified"]),
    "a_credit_that_names_a_customer": (
        [bank(1, 100, "X", text="deposit of C-WANG")],
        [],
        {},
        [],
        ["missing_in_ledger"],
    ),
    "a_debit_is_never_unidentified": ([bank(1, -100, "X")], [], {}, [], ["missing_in_ledger"]),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_each_case(name: str) -> None:
    """The ways of the matches and the kinds of the breaks are those of the table."""
    bank_lines, ledger_lines, more, ways, expected = CASES[name]
    outcome = matched(bank_lines, ledger_lines, replace(QUIET, **more))  # type: ignore[arg-type]
    assert [each.by for each in outcome.matches] == ways
    assert kinds(outcome) == expected


def test_the_nearest_day_wins_then_the_ledger_line_before() -> None:
    """Three candidates of one amount: the same day first, then one day before, then one day after."""
    candidates = [ledger(1, 100, day=-1), ledger(2, 100, day=0), ledger(3, 100, day=1)]
    chosen = []
    while candidates:
        outcome = matched([bank(1, 100, "X")], candidates, QUIET)
        chosen.append(outcome.matches[0].position)
        candidates = [line for line in candidates if line.position != chosen[-1]]
    assert chosen == [2, 1, 3]


def test_an_amount_break_carries_only_the_difference() -> None:
    """101 at the bank against 100 in the ledger is a break of 1, not of 101 and 100."""
    outcome = matched([bank(1, 101, "A")], [ledger(1, 100, "A")], QUIET)
    (found,) = outcome.breaks
    assert (found.effect_minor, found.bank, found.position) == (1, 1, 1)


def test_ledger_lines_before_the_first_statement_are_its_opening_balance() -> None:
    """They make it together, and are no breaks; what they leave over is one break."""
    before = [ledger(1, 300, "A", day=-9), ledger(2, -50, "B", day=-8)]
    outcome = matched([bank(1, 10, "C")], [*before, ledger(3, 10, "C")], QUIET)
    assert matching.with_opening(outcome, opening_minor=250, start=DAY).breaks == ()
    (found,) = matching.with_opening(outcome, opening_minor=260, start=DAY).breaks
    assert (found.kind, found.effect_minor, found.twin) == ("missing_in_ledger", 10, matching.OPENING)


@dataclass
class World:
    """Both sides of a month, clean; breaks are planted into it one by one."""

    random: random.Random
    lines: int
    bank: list[BankLine] = field(default_factory=list)
    ledger: list[LedgerLine] = field(default_factory=list)
    elsewhere: dict[str, str] = field(default_factory=dict)
    planted: Counter[str] = field(default_factory=Counter)
    used: set[int] = field(default_factory=set)

    @classmethod
    def clean(cls, seed: int, lines: int) -> World:
        world = cls(random.Random(seed), lines)
        for n in range(lines):
            day = DAY + dt.timedelta(days=world.random.randrange(25))
            late = dt.timedelta(days=world.random.choice((0, 0, 0, 1, 2)))
            amount = world.random.choice((10_000, 50_000, 100_000, world.random.randrange(1, 10**7)))
            amount *= world.random.choice((1, 1, -1))
            reference = f"TRF-{n:07d}"
            world.ledger.append(LedgerLine(n + 1, day, amount, reference))
            way = world.random.randrange(10)
            references, text = ((reference,), "") if way else ((), f"payment {reference} C-WANG")
            world.bank.append(BankLine(n + 1, min(day + late, CUT_OFF), amount, references, text))
        return world

    def plant(self, kind: str) -> None:
        # Only lines whose reference is one: of a line whose text alone names a payment nobody knows,
        # nobody can say that it is not the other line of the same amount that waits.
        at = self.random.choice(
            [n for n in range(self.lines) if n not in self.used and self.bank[n].references]
        )
        self.used.add(at)
        line, booked = self.ledger[at], self.bank[at]
        new_key, new_position = len(self.bank) + 10**6, len(self.ledger) + 10**6
        new_key += sum(self.planted.values())
        new_position += sum(self.planted.values())
        if kind == "duplicate":
            if self.random.random() < 0.5 and booked.references:
                self.bank.append(replace(booked, key=new_key, day=min(booked.day + dt.timedelta(1), CUT_OFF)))
            else:
                self.ledger.append(replace(line, position=new_position))
        elif kind == "amount":
            wrong = booked.amount_minor + (1 if booked.amount_minor > 0 else -1)
            self.bank[at] = replace(booked, amount_minor=wrong)
        elif kind == "wrong_account":
            self.elsewhere[line.reference] = "acc_001301560000000099"
            self.ledger[at] = replace(line, position=-at - 1)
        elif kind == "timing":
            day = CUT_OFF - dt.timedelta(days=self.random.randrange(2))
            self.ledger.append(LedgerLine(new_position, day, 12_345, f"LATE-{new_position}"))
        elif kind == "unidentified":
            self.bank.append(BankLine(new_key, booked.day, 54_321, (f"STRANGER-{new_key}",), "for you"))
        elif kind == "missing_in_ledger":
            self.ledger[at] = replace(line, position=-at - 1)
            text = booked.text or "deposit of C-WANG"
            self.bank[at] = replace(booked, text=text)
        elif kind == "missing_at_bank":
            self.bank[at] = replace(booked, key=-at - 1)
        self.planted[kind] += 1

    def match(self, shuffle: int | None = None) -> matching.Outcome:
        # Lines taken out keep their place in the lists, under a negative number.
        bank_lines = [line for line in self.bank if line.key > 0]
        ledger_lines = [line for line in self.ledger if line.position > 0]
        if shuffle is not None:
            random.Random(shuffle).shuffle(bank_lines)
            random.Random(shuffle + 1).shuffle(ledger_lines)
        return matched(bank_lines, ledger_lines, replace(QUIET, ledger_elsewhere=self.elsewhere))

    @property
    def difference_minor(self) -> int:
        return sum(line.amount_minor for line in self.bank if line.key > 0) - sum(
            line.amount_minor for line in self.ledger if line.position > 0
        )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**9), st.integers(0, 300))
def test_clean_books_have_no_breaks(seed: int, lines: int) -> None:
    """Whatever the month, no false break."""
    outcome = World.clean(seed, lines).match()
    assert outcome.breaks == ()
    assert len(outcome.matches) == lines


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9), st.lists(st.sampled_from(sorted(BreakKind)), max_size=25))
def test_every_planted_break_is_found_with_its_kind_and_no_other(seed: int, planted: list[str]) -> None:
    """Counts by kind are those planted, and the breaks explain the difference to the unit."""
    world = World.clean(seed, 200)
    for kind in planted:
        world.plant(kind)
    outcome = world.match()
    assert {kind: count for kind, count in outcome.by_kind.items() if count} == dict(world.planted)
    assert outcome.effect_minor == world.difference_minor


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**9), st.integers(0, 10**6))
def test_the_order_of_the_lines_does_not_matter(seed: int, shuffle: int) -> None:
    """Shuffled input gives the same matches and the same breaks in the same order."""
    world = World.clean(seed, 100)
    for kind in BreakKind:
        world.plant(kind)
    assert world.match(shuffle).digest == world.match().digest == world.match().digest


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([1, 2, -1]), st.sampled_from(["", "A", "B"]), st.integers(0, 29))),
    st.lists(st.tuples(st.sampled_from([1, 2, -1]), st.sampled_from(["", "A", "B"]), st.integers(0, 29))),
)
def test_each_line_is_in_one_match_or_one_break(
    bank_side: list[tuple[int, str, int]], ledger_side: list[tuple[int, str, int]]
) -> None:
    """However alike the lines are, none is lost and none counted twice."""
    bank_lines = [bank(n, a, *([r] if r else []), day=d) for n, (a, r, d) in enumerate(bank_side, 1)]
    ledger_lines = [ledger(n, a, r, day=d) for n, (a, r, d) in enumerate(ledger_side, 1)]
    outcome = matched(bank_lines, ledger_lines, QUIET)
    on_bank = [each.bank for each in (*outcome.matches, *outcome.breaks) if each.bank is not None]
    on_bank += [key for group in outcome.groups for key in group.bank]
    on_ledger = [each.position for each in (*outcome.matches, *outcome.breaks) if each.position is not None]
    on_ledger += [position for group in outcome.groups for position in group.positions]
    assert sorted(on_bank) == [line.key for line in bank_lines]
    assert sorted(on_ledger) == [line.position for line in ledger_lines]
    assert outcome.effect_minor == sum(line.amount_minor for line in bank_lines) - sum(
        line.amount_minor for line in ledger_lines
    )


def test_time_grows_with_sorting_not_with_pairs() -> None:
    """Ten thousand lines of one amount without references take seconds: nothing compares all pairs."""
    many_bank = [bank(n, 100, day=n % 28) for n in range(1, 10_001)]
    many_ledger = [ledger(n, 100, day=n % 28) for n in range(1, 10_001)]
    began = time.process_time()
    outcome = matched(many_bank, many_ledger, QUIET)
    assert len(outcome.matches) == 10_000
    assert time.process_time() - began < 5

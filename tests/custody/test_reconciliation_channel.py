"""Three ways: the ledger's payments, a channel's file with its fees, and the sums that reach the bank."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.custody import matching
from tallystick.custody.matching import Bank, BankLine, Channel, ChannelLine, Ledger, LedgerLine

DAY = dt.date(2026, 3, 2)
CUT_OFF = dt.date(2026, 3, 31)
QUIET = matching.Around(cut_off=CUT_OFF, bank_known_to=CUT_OFF)


def on(day: int) -> dt.date:
    return DAY + dt.timedelta(day)


def bank(key: int, amount: int, *references: str, day: int = 1, text: str = "") -> BankLine:
    return BankLine(key, on(day), amount, references, text)


def ledger(position: int, amount: int, reference: str = "", *, day: int = 0) -> LedgerLine:
    return LedgerLine(position, on(day), amount, reference)


def paid(
    key: int, gross: int, fee: int, reference: str = "", settlement: str = "", day: int = 0
) -> ChannelLine:
    return ChannelLine(key, on(day), gross, fee, reference, settlement)


def run(
    bank_lines: list[BankLine],
    ledger_lines: list[LedgerLine],
    channel_lines: list[ChannelLine],
    around: matching.Around = QUIET,
) -> matching.Outcome:
    sides = (Bank.of(bank_lines), Ledger.of(ledger_lines), Channel.of(channel_lines))
    return matching.judge(matching.match(*sides), around)


P = (paid(11, 1_000, 6, "P-1", "OUT-1"), paid(12, 2_000, 12, "P-2", "OUT-1"))
GROSS = (ledger(1, 1_000, "P-1"), ledger(2, 2_000, "P-2"))
Case = tuple[list[BankLine], list[LedgerLine], list[ChannelLine], list[str], list[tuple[str, int]]]
CASES: dict[str, Case] = {
    # name: bank, ledger, channel; rules of the groups, breaks with their effects
    "gross_with_one_line_of_fees": (
        [bank(1, 2_982, "OUT-1")],
        [*GROSS, ledger(3, -18, "OUT-1")],
        [*P],
        ["settlement_reference"],
        [],
    ),
    "gross_with_a_fee_beside_each": (
        [bank(1, 2_982, "OUT-1")],
        [*GROSS, ledger(3, -6, "P-1"), ledger(4, -12, "P-2")],
        [*P],
        ["settlement_reference"],
        [],
    ),
    "net_in_the_ledger": (
        [bank(1, 2_982, "OUT-1")],
        [ledger(1, 994, "P-1"), ledger(2, 1_988, "P-2")],
        [*P],
        ["settlement_reference"],
        [],
    ),
    "only_the_sum_in_the_ledger": (
        [bank(1, 2_982, "OUT-1")],
        [ledger(1, 2_982, "OUT-1")],
        [*P],
        ["settlement_reference"],
        [],
    ),
    "named_in_the_text_of_the_bank": (
        [bank(1, 2_982, text="payout OUT-1 thank you")],
        [*GROSS, ledger(3, -18, "OUT-1")],
        [*P],
        ["settlement_reference"],
        [],
    ),
    "a_named_settlement_found_by_its_sum": (
        [bank(1, 2_982, "BK-9")],
        [*GROSS, ledger(3, -18, "OUT-1")],
        [*P],
        ["settlement_sum"],
        [],
    ),
    "the_payments_of_a_day": (
        [bank(1, 2_982, "BK-9")],
        [ledger(1, 994, "P-1"), ledger(2, 1_988, "P-2")],
        [replace(each, settlement="") for each in P],
        ["settlement_sum"],
        [],
    ),
    "the_payments_of_a_weekend": (
        [bank(1, 2_982, "BK-9", day=3)],
        [ledger(1, 994, "P-1", day=1), ledger(2, 1_988, "P-2", day=2)],
        [
            replace(P[0], settlement="", day=on(1)),
            replace(P[1], settlement="", day=on(2)),
        ],
        ["settlement_sum"],
        [],
    ),
    "some_of_the_payments_of_a_day": (
        [bank(1, 2_982, "BK-9"), bank(2, 4_444, "BK-10", day=2)],
        [ledger(1, 994, "P-1"), ledger(2, 1_988, "P-2"), ledger(3, 4_000, "P-3"), ledger(4, 444, "P-4")],
        [*(replace(each, settlement="") for each in P), paid(13, 4_000, 0, "P-3"), paid(14, 444, 0, "P-4")],
        ["settlement_subset", "settlement_subset"],
        [],
    ),
    "each_payment_settled_alone_under_its_reference": (
        [bank(1, 994, "P-1"), bank(2, 1_988, "P-2")],
        [*GROSS, ledger(3, -6, "P-1"), ledger(4, -12, "P-2")],
        [replace(each, settlement="") for each in P],
        ["settlement_reference", "settlement_reference"],
        [],
    ),
    "a_refund_within_the_settlement": (
        [bank(1, 494, "OUT-1")],
        [ledger(1, 1_000, "P-1"), ledger(2, -500, "P-2"), ledger(3, -6, "OUT-1")],
        [P[0], paid(12, -500, 0, "P-2", "OUT-1")],
        ["settlement_reference"],
        [],
    ),
    "fees_nobody_booked": (
        [bank(1, 2_982, "OUT-1")],
        [*GROSS],
        [*P],
        ["settlement_reference"],
        [("missing_in_ledger", -18)],
    ),
    "fees_booked_otherwise": (
        [bank(1, 2_982, "OUT-1")],
        [*GROSS, ledger(3, -20, "OUT-1")],
        [*P],
        ["settlement_reference"],
        [("amount", 2)],
    ),
    "the_bank_got_less_than_the_sum": (
        [bank(1, 2_900, "OUT-1")],
        [*GROSS, ledger(3, -18, "OUT-1")],
        [*P],
        ["settlement_reference"],
        [("amount", -82)],
    ),
    "a_payment_the_ledger_has_not": (
        [bank(1, 2_982, "OUT-1")],
        [GROSS[0], ledger(3, -6, "P-1")],
        [*P],
        ["settlement_reference"],
        [("missing_in_ledger", 1_988)],
    ),
    "a_payment_the_ledger_has_otherwise": (
        [bank(1, 2_982, "OUT-1")],
        [GROSS[0], ledger(2, 2_050, "P-2"), ledger(3, -18, "OUT-1")],
        [*P],
        ["settlement_reference"],
        [("amount", -50)],
    ),
    "a_payment_the_channel_tells_twice": (
        [bank(1, 3_976, "OUT-1")],
        [GROSS[0], ledger(3, -6, "P-1"), ledger(2, 1_988, "P-2")],
        [*P, replace(P[0], key=13)],
        ["settlement_reference"],
        [("duplicate", 994)],
    ),
    "a_payment_nobody_is_named_for": (
        [bank(1, 994, "OUT-1")],
        [],
        [replace(P[0], reference="")],
        ["settlement_reference"],
        [("unidentified", 994)],
    ),
    "a_payment_the_ledger_has_but_the_channel_has_not": (
        [bank(1, 994, "OUT-1")],
        [ledger(1, 994, "P-1"), ledger(2, 777, "P-7")],
        [P[0]],
        ["settlement_reference"],
        [("missing_at_bank", -777)],
    ),
    "a_settlement_on_its_way": (
        [],
        [ledger(1, 994, "P-1", day=28)],
        [replace(P[0], day=on(28))],
        [],
        [("timing", -994)],
    ),
    "a_settlement_that_never_came": (
        [],
        [*GROSS],
        [*P],
        [],
        [("missing_at_bank", -1_000), ("missing_at_bank", -2_000)],
    ),
    "a_payment_of_the_channel_alone": ([], [], [P[0]], [], [("missing_in_ledger", 0)]),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_each_case(name: str) -> None:
    """Rules, kinds and effects are those of the table, and the effects make the difference."""
    bank_lines, ledger_lines, channel_lines, rules, breaks = CASES[name]
    outcome = run(bank_lines, ledger_lines, channel_lines)
    assert sorted(str(each.rule) for each in outcome.groups) == sorted(rules)
    assert sorted((str(each.kind), each.effect_minor) for each in outcome.breaks) == sorted(breaks)
    assert outcome.effect_minor == total(bank_lines) - total(ledger_lines)


def total(lines: list[BankLine] | list[LedgerLine]) -> int:
    return sum(line.amount_minor for line in lines)


def test_a_settlement_names_its_lines() -> None:
    """Which payments it is made of, which ledger lines they are, and by what they differ."""
    outcome = run([bank(1, 2_982, "OUT-1")], [*GROSS], [*P])
    (group,) = outcome.groups
    assert (group.bank, group.positions, group.channel) == ((1,), (1, 2), (11, 12))
    assert group.difference_minor == -18
    (found,) = outcome.breaks
    assert (found.bank, found.reference, found.twin) == (1, "OUT-1", matching.FEE)


def test_what_the_channel_knows_is_no_other_payment() -> None:
    """A bank line of the same amount without a reference does not take a line that the channel will settle."""
    channel_lines = [paid(11, 1_000, 0, "P-1", "OUT-1")]
    outcome = run([bank(1, 1_000, day=0), bank(2, 1_000, "OUT-1")], [ledger(1, 1_000, "P-1")], channel_lines)
    assert [each.bank for each in outcome.groups] == [(2,)]
    assert [each.bank for each in outcome.breaks] == [1]


def test_a_payment_booked_on_another_account() -> None:
    """Its reference is known there, and the break says where."""
    around = replace(QUIET, ledger_elsewhere={"P-1": "acc_2"})
    (found,) = run([bank(1, 994, "OUT-1")], [], [P[0]], around).breaks
    assert (found.kind, found.twin, found.channel, found.effect_minor) == ("wrong_account", "acc_2", 11, 994)


@dataclass
class World:
    """A month of a channel beside other payments, clean; breaks are planted one by one."""

    random: random.Random
    style: str
    """How the ledger has it: `gross`, `fee_each`, `net`."""
    is_named: bool
    bank: list[BankLine] = field(default_factory=list)
    ledger: list[LedgerLine] = field(default_factory=list)
    channel: list[ChannelLine] = field(default_factory=list)
    planted: Counter[tuple[str, int]] = field(default_factory=Counter)
    payouts: list[int] = field(default_factory=list)
    used: set[int] = field(default_factory=set)

    @classmethod
    def clean(cls, seed: int) -> World:
        world = cls(random.Random(seed), "", True)
        world.style = world.random.choice(("gross", "fee_each", "net"))
        # Fees of a sum without a name have no name either: only those in or beside each payment.
        world.is_named = world.style == "gross" or world.random.random() < 0.6
        for day in range(world.random.randrange(1, 8)):
            world._day(day)
        return world

    def _add_ledger(self, day: int, amount: int, reference: str) -> None:
        self.ledger.append(ledger(len(self.ledger) + 1, amount, reference, day=day))

    def _day(self, day: int) -> None:
        for n in range(self.random.randrange(4)):
            amount = self.random.randrange(10**6, 10**7)
            self._add_ledger(day, amount, f"TRF-{day}-{n}")
            self.bank.append(bank(len(self.bank) + 1, amount, f"TRF-{day}-{n}", day=day))
        name, net, fees = f"OUT-{day}", 0, 0
        count = self.random.randrange(2, 9)
        for n in range(count):
            gross = self.random.randrange(10_000, 10**6) * self.random.choice((1, 1, 1, 1, -1))
            fee = abs(gross) * 6 // 1000
            reference = f"PAY-{day}-{n}"
            self.channel.append(
                paid(1_000 + len(self.channel), gross, fee, reference, name if self.is_named else "", day)
            )
            self._add_ledger(day, gross - fee if self.style == "net" else gross, reference)
            if self.style == "fee_each":
                self._add_ledger(day, -fee, reference)
            net, fees = net + gross - fee, fees + fee
        if self.style == "gross":
            self._add_ledger(day, -fees, name)
        self.payouts.append(len(self.bank))
        reference = name if self.is_named and self.random.random() < 0.7 else f"BK-{day}"
        self.bank.append(bank(len(self.bank) + 1, net, reference, day=day + 1))

    def plant(self, kind: str) -> None:
        """One break on a payment of its own; the channel and the bank stay as they are."""
        # One a day: of a settlement all of whose payments are wrong nobody knows whether they were net.
        free = [
            n
            for n, line in enumerate(self.channel)
            if line.gross_minor > 0 and line.day not in {self.channel[at].day for at in self.used}
        ]
        if not free:
            return
        at = self.random.choice(free)
        self.used.add(at)
        line = self.channel[at]
        place = next(
            n
            for n, each in enumerate(self.ledger)
            if each.reference == line.reference and each.amount_minor > 0
        )
        posted = self.ledger[place]
        if kind == "amount":
            self.ledger[place] = replace(posted, amount_minor=posted.amount_minor + 7)
            self.planted["amount", -7] += 1
        elif kind == "missing_at_bank":
            position = 10_000 + len(self.ledger)
            self.ledger.append(LedgerLine(position, line.day, 4_321, f"GONE-{position}"))
            self.planted["missing_at_bank", -4_321] += 1
        elif kind == "unidentified":
            key = 10_000 + len(self.bank)
            self.bank.append(BankLine(key, line.day, 1_234, (f"STRANGER-{key}",)))
            self.planted["unidentified", 1_234] += 1

    def run(self, seed: int | None = None) -> matching.Outcome:
        sides = [list(self.bank), list(self.ledger), list(self.channel)]
        if seed is not None:
            for side in sides:
                random.Random(seed).shuffle(side)
        return run(*sides)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**9))
def test_a_clean_channel_has_no_breaks(seed: int) -> None:
    """However the ledger has payments and fees, and whether the bank names the payout or not."""
    world = World.clean(seed)
    outcome = world.run()
    assert outcome.breaks == ()
    assert len(outcome.groups) == len(world.payouts)
    assert sorted(key for group in outcome.groups for key in group.channel) == [
        line.key for line in world.channel
    ]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**9),
    st.lists(st.sampled_from(["amount", "missing_at_bank", "unidentified"]), max_size=4),
    st.integers(0, 10**6),
)
def test_planted_breaks_are_found_and_no_others(seed: int, kinds: list[str], shuffle: int) -> None:
    """Each with its kind and effect; all sides add up; the order of lines does not matter."""
    world = World.clean(seed)
    for kind in kinds:
        world.plant(kind)
    outcome = world.run()
    found = Counter((str(each.kind), each.effect_minor) for each in outcome.breaks)
    assert found == world.planted
    assert sum(effect * count for (_, effect), count in found.items()) == total(world.bank) - total(
        world.ledger
    )
    assert world.run(shuffle).digest == outcome.digest


LINE = st.tuples(
    st.integers(0, 3), st.sampled_from([1, 2, 3, -1]), st.sampled_from(["", "AAA", "BBB", "OUT"])
)
PAID = st.tuples(
    st.integers(0, 3),
    st.sampled_from([1, 2, 3, -1]),
    st.sampled_from([0, 0, 1]),
    st.sampled_from(["", "AAA", "BBB"]),
    st.sampled_from(["", "OUT", "AAA"]),
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(LINE, max_size=7), st.lists(LINE, max_size=7), st.lists(PAID, max_size=7), st.integers(0, 10**6)
)
def test_however_alike_the_lines_money_is_conserved(bank_side, ledger_side, channel_side, seed) -> None:
    """Every bank and ledger line once, every payment at most once; the breaks explain all of it."""
    bank_lines = [bank(n, a, *([r] if r else []), day=d) for n, (d, a, r) in enumerate(bank_side, 1)]
    ledger_lines = [ledger(n, a, r, day=d) for n, (d, a, r) in enumerate(ledger_side, 1)]
    channel_lines = [paid(n, g, f, r, s, d) for n, (d, g, f, r, s) in enumerate(channel_side, 1)]
    outcome = run(bank_lines, ledger_lines, channel_lines)
    assert outcome.effect_minor == total(bank_lines) - total(ledger_lines)
    in_pairs = [each.bank for each in outcome.matches]
    in_groups = [key for group in outcome.groups for key in group.bank]
    alone = [
        each.bank
        for each in outcome.breaks
        if each.bank is not None and each.bank not in (*in_pairs, *in_groups)
    ]
    assert set(in_pairs) | set(in_groups) | set(alone) == {line.key for line in bank_lines}
    settled = [key for group in outcome.groups for key in group.channel]
    assert len(settled) == len(set(settled))
    told = {*settled, *(each.channel for each in outcome.breaks if each.channel is not None)}
    assert told == {line.key for line in channel_lines}
    for lines in (bank_lines, ledger_lines, channel_lines):
        random.Random(seed).shuffle(lines)
    assert run(bank_lines, ledger_lines, channel_lines).digest == outcome.digest

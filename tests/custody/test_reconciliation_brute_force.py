"""Matching against a second matcher: the documented rules once more, line by line, with nothing clever."""

from __future__ import annotations

import datetime as dt
import itertools
import random
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.custody import matching
from tallystick.custody.matching import Bank, BankLine, Ledger, LedgerLine, Rule, keys
from tallystick.custody.matching.sums import subset

DAY = dt.date(2026, 3, 2)
CUT_OFF = dt.date(2026, 3, 31)
QUIET = matching.Around(cut_off=CUT_OFF, bank_known_to=CUT_OFF)
WINDOW = 2
RULES = matching.Rules(window_days=WINDOW)


class BruteForce:
    """Compares every line with every other, in the order in which the manual tells the passes."""

    def __init__(self, bank: list[BankLine], ledger: list[LedgerLine]) -> None:
        self.bank = sorted(bank, key=lambda line: (line.day, line.key))
        self.ledger = sorted(ledger, key=lambda line: (line.day, line.position))
        self.pairs: list[tuple[int, int, Rule]] = []
        self.groups: list[tuple[Rule, tuple[int, ...], tuple[int, ...]]] = []
        self.reversed: list[tuple[int, int]] = []
        self.by_references(Rule.BEST_REFERENCE, lambda line: line.references[:1])
        self.by_references(Rule.FURTHER_REFERENCE, lambda line: line.references[1:])
        self.by_references(Rule.WORD, lambda line: tuple(matching.words(line.text)))
        self.cancel_reversed()
        self.sums_under_references()
        bank_kept, ledger_kept = self.pledged()
        self.bank = [line for line in self.bank if line not in bank_kept]
        self.ledger = [line for line in self.ledger if line not in ledger_kept]
        self.by_amount_and_day()
        self.sums_of_near_days()

    def pair(self, line: BankLine, posted: LedgerLine, rule: Rule) -> None:
        self.pairs.append((line.key, posted.position, rule))
        self.bank.remove(line)
        self.ledger.remove(posted)

    def group(self, lines: list[BankLine], posted: list[LedgerLine], rule: Rule) -> None:
        keys_, positions = sorted(each.key for each in lines), sorted(each.position for each in posted)
        self.groups.append((rule, tuple(keys_), tuple(positions)))
        for line in lines:
            self.bank.remove(line)
        for line_ in posted:
            self.ledger.remove(line_)

    def by_references(self, rule: Rule, told) -> None:
        for line in list(self.bank):
            for reference in told(line):
                fitting = [
                    each
                    for each in self.ledger
                    if each.reference == reference and each.amount_minor == line.amount_minor
                ]
                if fitting:
                    self.pair(line, fitting[0], rule)
                    break

    def cancel_reversed(self) -> None:
        for line in list(self.ledger):
            for original in list(self.ledger):
                is_pair = line in self.ledger and original.position == line.reverses
                if is_pair and original.amount_minor == -line.amount_minor:
                    self.reversed.append((original.position, line.position))
                    self.ledger.remove(original)
                    self.ledger.remove(line)

    def sums_under_references(self) -> None:
        for line in list(self.bank):
            for word in (*line.references, *matching.words(line.text)):
                several = made_of([each for each in self.ledger if each.reference == word], line.amount_minor)
                if several:
                    self.group([line], several, Rule.SAME_REFERENCE)
                    break
        for posted in list(self.ledger):
            own = [each for each in self.bank if each.references[:1] == (posted.reference,)]
            several = made_of(own, posted.amount_minor)
            if several:
                self.group(several, [posted], Rule.SAME_REFERENCE)

    def pledged(self) -> tuple[list[BankLine], list[LedgerLine]]:
        bank_kept: list[BankLine] = []
        ledger_kept: list[LedgerLine] = []
        for line in self.bank:
            for word in (*line.references, *matching.words(line.text)):
                fitting = [
                    each
                    for each in self.ledger
                    if each.reference == word
                    and alike(each.amount_minor, line.amount_minor)
                    and each not in ledger_kept
                ]
                if fitting:
                    bank_kept.append(line)
                    ledger_kept.append(fitting[0])
                    break
        return bank_kept, ledger_kept

    def by_amount_and_day(self) -> None:
        for shift in nearest():
            for named, referred in ((False, False), (False, True), (True, False)):
                for line in list(self.bank):
                    fitting = [
                        each
                        for each in self.ledger
                        if each.amount_minor == line.amount_minor
                        and each.day == line.day + dt.timedelta(shift)
                        and (bool(line.references), bool(each.reference)) == (named, referred)
                    ]
                    if fitting:
                        self.pair(line, fitting[0], Rule.AMOUNT_AND_DAY)

    def sums_of_near_days(self) -> None:
        for line in list(self.bank):
            found = near(line.amount_minor, line.day, bool(line.references), self.ledger)
            if found:
                self.group([line], found[1], found[0])
        for posted in list(self.ledger):
            found = near(posted.amount_minor, posted.day, bool(posted.reference), self.bank)
            if found:
                self.group(found[1], [posted], found[0])


def alike(one: int, other: int) -> bool:
    return (one > 0) == (other > 0)


def nearest() -> list[int]:
    return [0, *itertools.chain(*((-distance, distance) for distance in range(1, WINDOW + 1)))]


def is_named(line) -> bool:
    return bool(line.reference if isinstance(line, LedgerLine) else line.references)


def made_of(lines: list, amount: int) -> list | None:
    """All of them, or the fewest."""
    lines = [each for each in lines if alike(each.amount_minor, amount)]
    if len(lines) > 1 and sum(each.amount_minor for each in lines) == amount:
        return lines
    return fewest(lines, amount)


def fewest(lines: list, amount: int, *, is_only: bool = False) -> list | None:
    for count in range(2, RULES.sum_lines_max + 1):
        ways = [
            list(way)
            for way in itertools.combinations(lines, count)
            if sum(each.amount_minor for each in way) == amount
        ]
        if ways:
            return None if is_only and len(ways) > 1 else ways[0]
    return None


def near(amount: int, day: dt.date, named: bool, others: list) -> tuple[Rule, list] | None:
    for with_named in (False,) if named else (False, True):
        days = [
            [
                each
                for each in others
                if each.day == day + dt.timedelta(shift)
                and alike(each.amount_minor, amount)
                and (with_named or not is_named(each))
            ]
            for shift in nearest()
        ]
        for lines in days:
            if len(lines) > 1 and sum(each.amount_minor for each in lines) == amount:
                return Rule.WHOLE_DAY, lines
        for lines in days:
            if found := fewest(lines, amount):
                return Rule.SUBSET, found
        if found := fewest(list(itertools.chain(*days)), amount, is_only=True):
            return Rule.SUBSET, found
    return None


def run(bank: list[BankLine], ledger: list[LedgerLine]) -> matching.Outcome:
    return matching.judge(matching.match(Bank.of(bank), Ledger.of(ledger), rules=RULES), QUIET)


REFERENCES = st.sampled_from(["", "", "AAA", "BBB", "CCC"])
AMOUNTS = st.sampled_from([1, 2, 3, 4, 5, -1, -2, -3])
DAYS = st.integers(0, 4).map(lambda n: DAY + dt.timedelta(n))
BANK = st.tuples(DAYS, AMOUNTS, REFERENCES, REFERENCES, REFERENCES)
LEDGER = st.tuples(DAYS, AMOUNTS, REFERENCES, st.none() | st.integers(1, 8))


def lines_of(bank_side, ledger_side) -> tuple[list[BankLine], list[LedgerLine]]:
    bank = [
        BankLine(n, day, amount, tuple(dict.fromkeys(each for each in (best, more) if each)), f"for {word}")
        for n, (day, amount, best, more, word) in enumerate(bank_side, 1)
    ]
    ledger = [
        LedgerLine(n, day, amount, reference, reverses)
        for n, (day, amount, reference, reverses) in enumerate(ledger_side, 1)
    ]
    return bank, ledger


@settings(max_examples=200, deadline=None)
@given(st.lists(BANK, max_size=8), st.lists(LEDGER, max_size=8))
def test_every_match_is_the_one_the_slow_matcher_makes(bank_side, ledger_side) -> None:
    """Lines as alike as can be: the same pairs and groups, by the same rules, and the same reversals."""
    bank, ledger = lines_of(bank_side, ledger_side)
    outcome, slow = run(bank, ledger), BruteForce(bank, ledger)
    assert [(each.bank, each.position, each.rule) for each in outcome.matches] == sorted(slow.pairs)
    assert sorted((each.rule, each.bank, each.positions) for each in outcome.groups) == sorted(slow.groups)
    assert outcome.reversed == tuple(sorted(slow.reversed))


@settings(max_examples=75, deadline=None)
@given(st.lists(BANK, max_size=14), st.lists(LEDGER, max_size=14), st.integers(0, 10**6))
def test_nothing_is_lost_and_no_order_matters(bank_side, ledger_side, seed) -> None:
    """Matched and unmatched make each side's total; shuffled lines give the same digest."""
    bank, ledger = lines_of(bank_side, ledger_side)
    outcome = run(bank, ledger)
    in_breaks = [each.bank for each in outcome.breaks if each.bank is not None]
    taken = [each.bank for each in outcome.matches] + [key for group in outcome.groups for key in group.bank]
    assert sorted(in_breaks + taken) == [line.key for line in bank]
    in_breaks = [each.position for each in outcome.breaks if each.position is not None]
    taken = [each.position for each in outcome.matches]
    taken += [position for group in outcome.groups for position in group.positions]
    taken += [position for pair in outcome.reversed for position in pair]
    assert sorted(in_breaks + taken) == [line.position for line in ledger]
    total = sum(line.amount_minor for line in bank) - sum(line.amount_minor for line in ledger)
    assert outcome.effect_minor == total
    for group in outcome.groups:
        left = sum(line.amount_minor for line in bank if line.key in group.bank)
        assert left == sum(line.amount_minor for line in ledger if line.position in group.positions)
    chance = random.Random(seed)
    chance.shuffle(bank)
    chance.shuffle(ledger)
    assert run(bank, ledger).digest == outcome.digest


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=2, max_size=9), st.integers(2, 40))
def test_a_subset_is_the_first_of_the_fewest(amounts: list[int], target: int) -> None:
    """The tie rule, against all subsets there are."""
    ways = [
        way
        for count in range(2, 5)
        for way in itertools.combinations(range(len(amounts)), count)
        if sum(amounts[place] for place in way) == target
    ]
    assert subset(amounts, target, lines_max=4, sums_max=10**6) == (ways[0] if ways else None)


def test_a_sum_is_sought_in_bounds() -> None:
    """Of ten thousand lines that fit nobody, only so many sums are looked at, and it is said."""
    chance = random.Random(1)
    bank = [BankLine(n, DAY, chance.randrange(10**6, 10**9)) for n in range(1, 1_501)]
    ledger = [LedgerLine(n, DAY, 2 * chance.randrange(10**3, 10**6)) for n in range(1, 1_501)]
    rules = replace(RULES, searches_max=5)
    outcome = matching.judge(matching.match(Bank.of(bank), Ledger.of(ledger), rules=rules), QUIET)
    assert outcome.not_searched > 500


def test_amounts_beyond_64_bits_together_are_no_match() -> None:
    """Two lines whose sum wraps around to a third are two lines."""
    large = 2**63 - 1
    bank = [BankLine(1, DAY, large - 1, ("AAA",))]
    ledger = [LedgerLine(n, DAY, amount, "AAA") for n, amount in enumerate((large, large, large), 1)]
    outcome = run(bank, ledger)
    assert outcome.groups == ()
    assert outcome.effect_minor == large - 1 - 3 * large


def colliding(count: int) -> list[bytes]:
    """Different references of sixteen bytes with one hash, made by running the mixing backwards."""
    mask, factor = 2**64 - 1, 0xFF51AFD7ED558CCD

    def mixed(state: int, value: int) -> int:
        product = ((state ^ value) * factor) & mask
        return product ^ (product >> 32)

    chance = random.Random(7)
    start = 0x9E3779B97F4A7C15
    for number in (1_000, 0):  # the amount, the currency
        start = mixed(start, number)
    first = int.from_bytes(b"TRF-0001", "little")
    wanted = mixed(start, first) ^ int.from_bytes(b"-ABCDEFG", "little")
    found = [b"TRF-0001-ABCDEFG"]
    while len(found) < count:
        head = bytes(chance.randrange(1, 256) for _ in range(8))
        tail = (wanted ^ mixed(start, int.from_bytes(head, "little"))).to_bytes(8, "little")
        if 0 not in tail:
            found.append(head + tail)
    return found


def test_references_of_one_hash_are_told_apart() -> None:
    """Whoever makes references collide finds each with its own, and never one with another."""
    names = np.array(colliding(9), np.bytes_)
    count = len(names)
    amounts, zeros = np.full(count, 1_000, np.int64), np.zeros(count, np.int64)
    assert len(set(keys.hashed(keys.octets(names)[0], amounts, zeros).tolist())) == 1
    days, numbers = np.full(count, DAY.toordinal(), np.int32), np.arange(count, dtype=np.int64)

    def said(rows) -> list[matching.Said]:
        return [matching.Said() for _ in rows]

    bank = Bank(numbers, days, amounts, names[::-1].copy(), zeros, said)
    ledger = Ledger(numbers, days, amounts, names, zeros, zeros - 1)
    pairs = matching.match(bank, ledger).matches()
    assert [(each.bank, each.position) for each in pairs] == [(n, count - 1 - n) for n in range(count)]
    one = Bank(numbers[:1], days[:1], amounts[:1], names[:1], zeros[:1], said)
    other = Ledger(numbers[:1], days[:1], amounts[:1], names[1:2], zeros[:1], zeros[:1] - 1)
    assert len(matching.match(one, other).matches()) == 0

"""The pass of sums: one line of a side is several lines of the other, in bounds that are told.

What may be summed: lines of one currency and one direction; lines under the one's own reference; or, where
one of the sides carries no reference to say otherwise, lines of near days. The tie rule, in its order:

1. the lines that the transactions of the bank's batch name, each by reference and amount;
2. all lines under the one's reference, then the fewest of them;
3. all lines of one day, the nearest day first, the day before sooner than the day after;
4. the fewest lines of one day, the nearest day first;
5. the fewest lines over all days of the window, but only where no other choice is as small.

Of choices as small, the one whose earlier lines come first. Lines without a reference are summed before
any with one. Of a day no more than its first thousand lines are looked at, and of each size no more than
`sums_max` sums, those of the earliest lines. Many ledger lines for one bank line are sought
before many bank lines for one ledger line; of either, the earliest line seeks first.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tallystick.custody.matching.lines import Part, coded
from tallystick.custody.matching.outcome import Rule
from tallystick.custody.matching.work import Work

Day: TypeAlias = tuple[int, bool, int]
"""Currency, whether money came in, and the day's ordinal."""

DAY_LINES_MAX = 1_000
"""How many lines of a day are looked at."""


def subset(
    amounts: Sequence[int], target: int, *, lines_max: int, sums_max: int, is_only: bool = False
) -> tuple[int, ...] | None:
    """The places of the fewest amounts, two at least, that make the target; of those the first.

    Of each size at most `sums_max` sums are looked at: those of the first so many amounts. With `is_only`,
    none where as few others make it too. Amounts and target are of one sign.
    """
    column = np.array(amounts, np.int64)
    for count in range(2, min(lines_max, len(amounts)) + 1):
        among = min(len(amounts), _among_max(count, sums_max))
        chosen = _choices(count, sums_max)[: math.comb(among, count)]
        # Amounts that overflow wrap around: what seems to fit is added up again without bounds.
        fitting = np.flatnonzero(column[chosen].sum(axis=1) == target)
        found = sorted(tuple(row) for row in chosen[fitting].tolist())
        found = [each for each in found if sum(amounts[place] for place in each) == target]
        if found:
            return None if is_only and len(found) > 1 else found[0]
    return None


@functools.lru_cache(maxsize=32)
def _among_max(count: int, sums_max: int) -> int:
    """Among how many lines so many can be chosen in no more ways than that."""
    among = count
    while math.comb(among + 1, count) <= sums_max:
        among += 1
    return among


@functools.lru_cache(maxsize=16)
def _choices(count: int, sums_max: int) -> NDArray[np.int16]:
    """All ways to choose so many, those among fewer lines before those among more: so one table does."""
    ways = itertools.combinations(range(_among_max(count, sums_max)), count)
    table = np.array(list(ways), np.int16)
    return table[np.lexsort(table.T)]


@dataclass(slots=True, eq=False)
class _Side:
    """One side's open lines, as the search looks at them."""

    amount: list[int]
    day: list[int]
    currency: list[int]
    reference: list[bytes]
    rows: list[int]
    is_open: Callable[[int], bool]
    by_day: dict[Day, list[int]] = field(default_factory=lambda: defaultdict(list))
    unnamed_by_day: dict[Day, list[int]] = field(default_factory=lambda: defaultdict(list))
    by_reference: dict[tuple[bytes, int, bool], list[int]] = field(default_factory=lambda: defaultdict(list))
    """Places in the columns, the earliest first."""

    def __post_init__(self) -> None:
        for place, amount in enumerate(self.amount):
            is_in = amount > 0
            day = (self.currency[place], is_in, self.day[place])
            self.by_day[day].append(place)
            if not self.reference[place]:
                self.unnamed_by_day[day].append(place)
            else:
                self.by_reference[self.reference[place], self.currency[place], is_in].append(place)

    def still(self, places: Iterable[int]) -> list[int]:
        """Those that are open."""
        return [place for place in places if self.is_open(self.rows[place])]

    def near(self, days: dict[Day, list[int]], day: Day, window_days: int) -> list[list[int]]:
        """The open lines of each of the days around this one, the nearest day first."""
        currency, is_in, middle = day
        found = []
        for shift in _nearest(window_days):
            places = days.get((currency, is_in, middle + shift))
            # What was taken is left out for the lines that come after, too.
            if places and not self.is_open(self.rows[places[0]]):
                places[:] = self.still(places)
            found.append(self.still((places or [])[:DAY_LINES_MAX]))
        return found


def by_reference(work: Work) -> None:
    """Take what is one line on one side and several on the other, all under one reference."""
    bank, ledger = _bank_side(work), _ledger_side(work)
    if bank.rows and ledger.rows:
        _under_references(work, bank, ledger)
        _under_one_reference(work, ledger, bank)


def by_days(work: Work) -> None:
    """Take what is one line on one side and several of near days on the other."""
    bank, ledger = _bank_side(work), _ledger_side(work)
    for target, others in ((bank, ledger), (ledger, bank)):
        for place in range(len(target.rows)):
            if target.reference[place] and not others.unnamed_by_day:
                continue
            found = _near(work, target, place, others) if target.is_open(target.rows[place]) else None
            if found is not None:
                rule, many = found
                one, several = [target.rows[place]], [others.rows[each] for each in many]
                work.take_group(*((one, several) if target is bank else (several, one)), rule)


def _under_references(work: Work, bank: _Side, ledger: _Side) -> None:
    """Ledger lines under a reference that the bank line carries, or that its text names."""
    places = {row: place for place, row in enumerate(bank.rows)}
    for row, heard in work.heard(work.open_speaking()):
        place = places[row]
        amount, currency = bank.amount[place], bank.currency[place]
        batch = _batch(ledger, heard.said.parts, currency, amount)
        if batch is not None:
            work.take_group([row], [ledger.rows[each] for each in batch], Rule.BATCH)
            continue
        for word in heard.all:
            fitting = ledger.still(ledger.by_reference.get((word, currency, amount > 0), ()))
            many = _made_of(work, ledger, fitting, amount)
            if many is not None:
                work.take_group([row], [ledger.rows[each] for each in many], Rule.SAME_REFERENCE)
                break


def _batch(ledger: _Side, parts: Sequence[Part], currency: int, amount: int) -> list[int] | None:
    """The ledger line of each transaction of a batch; none unless all are there and make the line."""
    found: list[int] = []
    if len(parts) < 2 or sum(part.amount_minor for part in parts) != amount:
        return None
    taken: set[int] = set()
    for part in parts:
        is_in = part.amount_minor > 0
        fitting = (
            place
            for reference in part.references
            for place in ledger.still(ledger.by_reference.get((coded(reference), currency, is_in), ()))
            if ledger.amount[place] == part.amount_minor and place not in taken
        )
        place = next(fitting, None)
        if place is None:
            return None
        found.append(place)
        taken.add(place)
    return found


def _under_one_reference(work: Work, ledger: _Side, bank: _Side) -> None:
    """Bank lines under the reference of one ledger line: a payment that came in parts."""
    for place, row in enumerate(ledger.rows):
        reference = ledger.reference[place]
        if not reference or not ledger.is_open(row):
            continue
        amount = ledger.amount[place]
        fitting = bank.still(bank.by_reference.get((reference, ledger.currency[place], amount > 0), ()))
        many = _made_of(work, bank, fitting, amount)
        if many is not None:
            work.take_group([bank.rows[each] for each in many], [row], Rule.SAME_REFERENCE)


def _made_of(work: Work, side: _Side, places: list[int], amount: int) -> list[int] | None:
    """All of these lines, or the fewest of them, that make the amount."""
    if len(places) < 2:
        return None
    if sum(side.amount[place] for place in places) == amount:
        return places
    return _searched(work, side, places, amount)


def _near(work: Work, target: _Side, place: int, others: _Side) -> tuple[Rule, list[int]] | None:
    """Lines of near days that make this one: first lines without a reference, then any that may be summed."""
    day = (target.currency[place], target.amount[place] > 0, target.day[place])
    window = work.rules.window_days
    unnamed = others.near(others.unnamed_by_day, day, window)
    found = _of_days(work, target.amount[place], others, unnamed)
    # Two references that differ are two payments: with one of its own it is no sum of lines with theirs.
    if found is None and not target.reference[place]:
        by_day = others.near(others.by_day, day, window)
        if by_day != unnamed:
            found = _of_days(work, target.amount[place], others, by_day)
    return found


def _of_days(
    work: Work, amount: int, others: _Side, by_day: list[list[int]]
) -> tuple[Rule, list[int]] | None:
    """A whole day's lines, some of a day's, or some of all days that are the only ones."""
    if sum(map(len, by_day)) < 2:
        return None
    for places in by_day:
        if len(places) > 1 and sum(others.amount[each] for each in places) == amount:
            return Rule.WHOLE_DAY, places
    if work.searches >= work.rules.searches_max:
        work.not_searched += 1
        return None
    for places in by_day:
        many = _searched(work, others, places, amount)
        if many is not None:
            return Rule.SUBSET, many
    if sum(1 for places in by_day if places) > 1:
        many = _searched(work, others, list(itertools.chain(*by_day)), amount, is_only=True)
        if many is not None:
            return Rule.SUBSET, many
    return None


def _searched(
    work: Work, side: _Side, places: list[int], amount: int, *, is_only: bool = False
) -> list[int] | None:
    smaller = [each for each in places if abs(side.amount[each]) < abs(amount)]
    if len(smaller) < 2 or abs(sum(side.amount[each] for each in smaller)) < abs(amount):
        return None
    work.searches += 1
    found = subset(
        [side.amount[each] for each in smaller],
        amount,
        lines_max=work.rules.sum_lines_max,
        sums_max=work.rules.sums_max,
        is_only=is_only,
    )
    return None if found is None else [smaller[each] for each in found]


def _nearest(window_days: int) -> Iterable[int]:
    yield 0
    for distance in range(1, window_days + 1):
        yield -distance
        yield distance


def _bank_side(work: Work) -> _Side:
    rows, bank = work.open_bank(), work.bank
    rows = rows[~work.bank_pledged[rows]]
    return _Side(
        bank.amount_minor[rows].tolist(),
        bank.day[rows].tolist(),
        bank.currency[rows].tolist(),
        bank.reference[rows].tolist(),
        rows.tolist(),
        lambda row: bool(work.bank_open[row]),
    )


def _ledger_side(work: Work) -> _Side:
    rows, ledger = work.open_ledger(), work.ledger
    rows = rows[~work.is_claimed[rows] & ~work.ledger_pledged[rows]]
    return _Side(
        ledger.amount_minor[rows].tolist(),
        ledger.day[rows].tolist(),
        ledger.currency[rows].tolist(),
        ledger.reference[rows].tolist(),
        rows.tolist(),
        lambda row: bool(work.ledger_open[row]),
    )

"""The pass of sums: one line of a side is several lines of the other, in bounds that are told.

What may be summed: lines of one currency and one direction; lines under the one's own reference; or, where
one of the sides carries no reference to say otherwise, lines of near days. The tie rule, in its order:

1. all lines under the one's reference, then the fewest of them;
2. all lines of one day, the nearest day first, the day before sooner than the day after;
3. the fewest lines of one day, the nearest day first;
4. the fewest lines over all days of the window, but only where no other choice is as small.

Of choices as small, the one whose earlier lines come first. Many ledger lines for one bank line are sought
before many bank lines for one ledger line; of either, the earliest line seeks first.
"""

from __future__ import annotations

import functools
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tallystick.custody.matching.lines import Ints, coded, words
from tallystick.custody.matching.outcome import Rule
from tallystick.custody.matching.work import Work


def subset(
    amounts: Sequence[int], target: int, *, lines_max: int, is_only: bool = False
) -> tuple[int, ...] | None:
    """The places of the fewest amounts, two at least, that make the target; of those the first.

    With `is_only`, none where as few others make it too. Amounts and target are of one sign.
    """
    column = np.array(amounts, np.int64)
    for count in range(2, min(lines_max, len(amounts)) + 1):
        chosen = _choices(len(amounts), count)
        # Amounts that overflow wrap around: what seems to fit is added up again without bounds.
        fitting = np.flatnonzero(column[chosen].sum(axis=1) == target).tolist()
        found = [tuple(chosen[row].tolist()) for row in fitting]
        found = [each for each in found if sum(amounts[place] for place in each) == target]
        if found:
            return None if is_only and len(found) > 1 else found[0]
    return None


@functools.lru_cache(maxsize=256)
def _choices(among: int, count: int) -> Ints:
    """All ways to choose, in the order of their places. The largest has 38 760 rows of six."""
    return np.array(list(itertools.combinations(range(among), count)), np.int64)


@dataclass(slots=True, eq=False)
class _Side:
    """One side's open lines, as the search looks at them."""

    amount: list[int]
    day: list[int]
    currency: list[int]
    reference: list[bytes]
    rows: list[int]
    is_open: Callable[[int], bool]
    by_day: dict[tuple[int, bool, int], list[int]] = field(default_factory=lambda: defaultdict(list))
    by_reference: dict[tuple[bytes, int, bool], list[int]] = field(default_factory=lambda: defaultdict(list))
    """Places in the columns, the earliest first."""

    def __post_init__(self) -> None:
        for place, amount in enumerate(self.amount):
            is_in = amount > 0
            self.by_day[self.currency[place], is_in, self.day[place]].append(place)
            if self.reference[place]:
                self.by_reference[self.reference[place], self.currency[place], is_in].append(place)

    def still(self, places: Iterable[int]) -> list[int]:
        return [place for place in places if self.is_open(self.rows[place])]


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
            found = _near(work, target, place, others) if target.is_open(target.rows[place]) else None
            if found is not None:
                rule, many = found
                one, several = [target.rows[place]], [others.rows[each] for each in many]
                work.take_group(*((one, several) if target is bank else (several, one)), rule)


def _under_references(work: Work, bank: _Side, ledger: _Side) -> None:
    """Ledger lines under a reference that the bank line carries, or that its text names."""
    places = {row: place for place, row in enumerate(bank.rows)}
    for row, said in work.said(np.array(bank.rows, np.int64)):
        place = places[row]
        amount, currency = bank.amount[place], bank.currency[place]
        for word in (*said.references, *words(said.text)):
            fitting = ledger.still(ledger.by_reference.get((coded(word), currency, amount > 0), ()))
            many = _made_of(work, ledger, fitting, amount)
            if many is not None:
                work.take_group([row], [ledger.rows[each] for each in many], Rule.SAME_REFERENCE)
                break


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
    """Lines of near days that make this one."""
    amount, day = target.amount[place], target.day[place]
    is_named = bool(target.reference[place])
    by_day = []
    for shift in _nearest(work.rules.window_days):
        found = others.by_day.get((target.currency[place], amount > 0, day + shift), ())
        # Two references that differ are two payments: a sum is sought where one side carries none.
        by_day.append([each for each in others.still(found) if not (is_named and others.reference[each])])
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
    smaller = smaller[: work.rules.sum_candidates_max]
    if len(smaller) < 2 or abs(sum(side.amount[each] for each in smaller)) < abs(amount):
        return None
    work.searches += 1
    found = subset(
        [side.amount[each] for each in smaller],
        amount,
        lines_max=work.rules.sum_lines_max,
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

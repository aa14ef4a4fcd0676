"""The pass of settlements: a channel takes customers' payments and pays the bank their sum less its fees.

The ledger has the payments, gross, and the fees beside them or in one line for the sum; or it has them net;
or it has the sum alone. The channel's file joins both: its payments are the ledger's by their references,
and its sums are the bank's, by the name of the settlement, or by the sum of a day's payments, of some days
in a row (the bank rests at weekends), or of some of a day's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from tallystick.custody.matching import keys
from tallystick.custody.matching.lines import Ints, total
from tallystick.custody.matching.outcome import Rule
from tallystick.custody.matching.sums import subset
from tallystick.custody.matching.work import Settled, Work

Name: TypeAlias = tuple[bytes, int]
"""Of a settlement: reference and currency."""
Waiting: TypeAlias = dict[tuple[int, int], list[int]]

DAYS_IN_A_ROW_MAX = 10
"""A channel pays out after the longest holidays at the latest."""


def claim_payments(work: Work) -> None:
    """Find the ledger line of each of the channel's payments: the same reference, and gross or net."""
    channel, ledger = work.channel, work.ledger
    for amount_minor in (channel.gross_minor, channel.net_minor):
        rows = np.flatnonzero((work.claimed_by < 0) & (channel.reference != b""))
        posted = np.flatnonzero(work.ledger_open & ~work.is_claimed & work.ledger_named)
        if not (len(rows) and len(posted)):
            return
        mine, theirs = keys.identities(
            (channel.reference[rows], amount_minor[rows], channel.currency[rows]),
            (ledger.reference[posted], ledger.amount_minor[posted], ledger.currency[posted]),
        )
        found, beside = keys.nth_with_nth(
            mine,
            (channel.day[rows], channel.key[rows]),
            theirs,
            (ledger.day[posted], ledger.position[posted]),
        )
        work.claimed_by[rows[found]] = posted[beside]
        work.is_claimed[posted[beside]] = True


def by_name(work: Work) -> None:
    """A bank line carries the name of a settlement, or of a payment that was settled alone."""
    named = _named(work)
    if not named:
        return
    lines: dict[Name, list[int]] = defaultdict(list)
    for row, heard in work.heard(work.open_speaking()):
        currency = int(work.bank.currency[row])
        for word in heard.all:
            if (word, currency) in named:
                lines[word, currency].append(row)
                break
    unpaid: dict[Name, list[int]] = {}
    for name, rows in sorted(named.items()):
        net = total(work.channel.net_minor[rows])
        paid = _paid(work, lines.get(name, []), net)
        if paid:
            _settle(work, paid, rows, name[0], Rule.SETTLEMENT_REFERENCE)
        else:
            unpaid[name] = rows
    for name, row in _booked(work, unpaid).items():
        _settle(work, [row], unpaid[name], name[0], Rule.SETTLEMENT_REFERENCE, is_booked=True)


def by_sum(work: Work) -> None:
    """A bank line is the sum of a settlement, of some days of a channel, or of some of a day's payments."""
    if not work.channel_open.any():
        return
    waiting = _waiting(work)
    for name, rows in sorted(_named(work).items()):
        if work.channel.settlement[rows[0]]:
            _take_sum(work, waiting, rows, name[0])
    days = _days(work)
    for currency in sorted(days):
        for run in _runs(days[currency]):
            rows = [row for day in run for row in days[currency][day] if work.channel_open[row]]
            if rows:
                _take_sum(work, waiting, rows, b"")
    _by_subset(work)


def _by_subset(work: Work) -> None:
    days, net = _days(work), work.channel.net_minor
    for row in work.open_bank().tolist():
        amount, day = int(work.bank.amount_minor[row]), int(work.bank.day[row])
        for distance in range(work.rules.window_days + 1):
            places = days.get(int(work.bank.currency[row]), {}).get(day - distance, [])
            places = [each for each in places if work.channel_open[each]]
            if len(places) < 2:
                continue
            if work.searches >= work.rules.searches_max:
                work.not_searched += 1
                return
            work.searches += 1
            places = [each for each in places if (int(net[each]) > 0) == (amount > 0)]
            nets = [int(net[each]) for each in places]
            rules = work.rules
            found = subset(nets, amount, lines_max=rules.sum_lines_max, sums_max=rules.sums_max)
            if found is not None:
                chosen = [places[each] for each in found]
                _settle(work, [row], chosen, b"", Rule.SETTLEMENT_SUBSET)
                break


def _named(work: Work) -> dict[Name, list[int]]:
    """The open payments by the settlement's name, or by their own where they have no other."""
    channel = work.channel
    found: dict[Name, list[int]] = defaultdict(list)
    for row in _in_order(work):
        name = bytes(channel.settlement[row]) or bytes(channel.reference[row])
        if name:
            found[name, int(channel.currency[row])].append(row)
    return dict(found)


def _days(work: Work) -> dict[int, dict[int, list[int]]]:
    """The open payments without a settlement's name, by currency and day."""
    channel = work.channel
    found: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in _in_order(work):
        if not channel.settlement[row]:
            found[int(channel.currency[row])][int(channel.day[row])].append(row)
    return found


def _runs(days: Iterable[int]) -> Iterable[list[int]]:
    """Days, then days in a row, the short runs first."""
    ordered = sorted(days)
    for length in range(1, DAYS_IN_A_ROW_MAX + 1):
        for start in range(len(ordered) - length + 1):
            run = ordered[start : start + length]
            if run[-1] - run[0] < DAYS_IN_A_ROW_MAX:
                yield run


def _take_sum(work: Work, waiting: Waiting, rows: Sequence[int], name: bytes) -> None:
    """The nearest open bank line of this sum, on the last day of the payments or soon after."""
    last = int(work.channel.day[list(rows)].max())
    net, currency = total(work.channel.net_minor[list(rows)]), int(work.channel.currency[rows[0]])
    for row in waiting.get((net, currency), ()):
        is_near = 0 <= int(work.bank.day[row]) - last <= work.rules.window_days
        # One payment alone is no sum: there the amount counts only where no reference contradicts.
        if is_near and work.bank_open[row] and (len(rows) > 1 or not work.bank.reference[row]):
            _settle(work, [row], rows, name, Rule.SETTLEMENT_SUM)
            return


def _waiting(work: Work) -> Waiting:
    """The open bank lines by amount and currency, the earliest first."""
    found: Waiting = defaultdict(list)
    for row in work.open_bank().tolist():
        found[int(work.bank.amount_minor[row]), int(work.bank.currency[row])].append(row)
    return found


def _paid(work: Work, rows: list[int], net: int) -> list[int]:
    """Of the bank lines of one name: the one of the right amount, or all that make it, or the first."""
    amounts = [int(work.bank.amount_minor[row]) for row in rows]
    for row, amount in zip(rows, amounts, strict=True):
        if amount == net:
            return [row]
    if sum(amounts) == net:
        return rows
    return [row for row, amount in zip(rows, amounts, strict=True) if (amount > 0) == (net > 0)][:1]


def _booked(work: Work, names: Mapping[Name, list[int]]) -> dict[Name, int]:
    """The bank lines of these names that were matched already, with a ledger line of the same name."""
    bank = work.bank
    if not names:
        return {}
    closed = np.flatnonzero(~work.bank_open & work.bank_named)
    # Hashes sort out nearly all of the lines; the bytes decide.
    said, wanted = keys.octets(bank.reference, np.array([name for name, _ in sorted(names)], np.bytes_))
    closed = closed[np.isin(keys.hashed(said[closed]), keys.hashed(wanted))]
    closed = closed[np.lexsort((bank.key[closed], bank.day[closed]))]
    found: dict[Name, int] = {}
    for row in closed.tolist():
        name = (bytes(bank.reference[row]), int(bank.currency[row]))
        if name in names:
            found.setdefault(name, row)
    return dict(sorted(found.items()))


def _settle(
    work: Work,
    bank_rows: Sequence[int],
    rows: Sequence[int],
    name: bytes,
    rule: Rule,
    *,
    is_booked: bool = False,
) -> None:
    work.channel_open[list(rows)] = False
    if is_booked:
        # The ledger has the sum; were the payments there too, they would be there twice.
        claimed = work.claimed_by[list(rows)]
        work.is_claimed[claimed[claimed >= 0]] = False
        work.claimed_by[list(rows)] = -1
    else:
        work.bank_open[list(bank_rows)] = False
    work.settled.append(Settled(tuple(bank_rows), tuple(rows), name, rule, is_booked))


def _in_order(work: Work) -> list[int]:
    """The open payments, the earliest first."""
    channel = work.channel
    rows: Ints = np.flatnonzero(work.channel_open)
    ordered: list[int] = rows[np.lexsort((channel.key[rows], channel.day[rows]))].tolist()
    return ordered

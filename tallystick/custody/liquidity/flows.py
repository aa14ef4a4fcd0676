"""Flows: what left, came in and was repaid on each day of a book, from its posted transfers.

Promises: one figure a day, days of nothing included, none of them unfinished; sums equal the ledger's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from tallystick.core.calendars import Calendar
from tallystick.core.db import Db
from tallystick.custody import assets, book_days, books, history
from tallystick.custody.assets import Asset
from tallystick.custody.books import Book
from tallystick.custody.codes import Code
from tallystick.custody.history import DailyTotal
from tallystick.custody.numbers import Family

DAYS = 365
"""How far back a forecast looks: a year holds every month end and holiday once."""


@dataclass(frozen=True, slots=True)
class Day:
    """One day's flows in minor units, none of them negative.

    withdrawals left clients' accounts for the outside, deposits came from there, repayments went from
    client to client: they move nothing outside, but what is repaid can be withdrawn.
    """

    day: date
    withdrawals: int
    deposits: int
    repayments: int


@dataclass(frozen=True, slots=True)
class Flows:
    """A book's days in one asset, the first that had a transfer first; `position` is the last one read.

    calendar: whose business days the book counts by.
    """

    book: Book
    calendar: Calendar
    asset: Asset
    days: Sequence[Day]
    position: int

    @property
    def withdrawals(self) -> list[int]:
        return [day.withdrawals for day in self.days]

    @property
    def deposits(self) -> list[int]:
        return [day.deposits for day in self.days]

    @property
    def repayments(self) -> list[int]:
        return [day.repayments for day in self.days]


def series(totals: Sequence[DailyTotal], asset: str, last: date) -> list[Day]:
    """Each day from the first with a transfer to the last, from what was posted for each reason."""
    sums: dict[date, list[int]] = {}
    for total in totals:
        if total.asset != asset:
            continue
        day = sums.setdefault(total.day, [0, 0, 0])
        if total.code in (Code.OPENING_BALANCE, Code.CORRECTION, Code.EXCHANGE):
            # Brought in, put right or changed into another asset: nobody paid in or asked for money.
            continue
        if (total.debit_family, total.credit_family) == (Family.CLIENT, Family.EXTERNAL):
            day[0] += total.amount_minor
        elif (total.debit_family, total.credit_family) == (Family.EXTERNAL, Family.CLIENT):
            day[1] += total.amount_minor
        elif total.code == Code.REPAY:
            day[2] += total.amount_minor
    if not sums:
        return []
    first = min(sums)
    return [
        Day(day, *sums.get(day, (0, 0, 0)))
        for day in (first + timedelta(days=n) for n in range((last - first).days + 1))
    ]


def daily(db: Db, book: int, asset: str, *, last: date, days: int = DAYS) -> Flows:
    """The flows of each day up to and including `last`. Raises `errors.BookUnknown` or `AssetUnknown`."""
    held = assets.asset(db, asset)
    found = books.book(db, book)
    totals = history.daily_totals(db, book, last - timedelta(days=days - 1), last)
    calendar = book_days.days(db, book).calendar
    return Flows(found, calendar, held, series(totals, asset, last), books.head(db, book).position)


def last_whole_day(db: Db, book: int, *, now: datetime) -> date:
    """The last day of the book that is over: yesterday, or the last day a book at rest has known."""
    found = books.book(db, book)
    recorded_at = books.head(db, book).recorded_at
    yesterday = found.today(now) - timedelta(days=1)
    return yesterday if recorded_at is None else min(yesterday, found.today(recorded_at))

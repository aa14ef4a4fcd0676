"""A book's days: whose calendar it keeps, when its day ends, and what may be settled within it.

Promises: a book always has an answer: until somebody sets its days, they follow from its time zone; each
change is a row with its reason, and the newest one holds. Which days those are says `core.calendars`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connections, transaction

from tallystick.core import calendars
from tallystick.core.calendars import Calendar
from tallystick.core.db import Db
from tallystick.custody import books, errors
from tallystick.custody.numbers import BookId
from tallystick.evidence import log
from tallystick.identity import access
from tallystick.identity.access import Actor

WRITE_OFF_MAX_MINOR = 1_000_000
"""No book writes off more than this at a time: beyond, it is a loss to account for, not a rounding."""
AGE_MAX = 250

_OF_ZONE = {
    "Asia/Shanghai": Calendar.CN,
    "Asia/Urumqi": Calendar.CN,
    "Asia/Chongqing": Calendar.CN,
    "PRC": Calendar.CN,
    "Europe/London": Calendar.GB,
    "GB": Calendar.GB,
    **dict.fromkeys(
        (
            "Europe/Amsterdam",
            "Europe/Berlin",
            "Europe/Brussels",
            "Europe/Dublin",
            "Europe/Luxembourg",
            "Europe/Madrid",
            "Europe/Paris",
            "Europe/Rome",
            "Europe/Vienna",
        ),
        Calendar.TARGET,
    ),
}


@dataclass(frozen=True, slots=True)
class Days:
    """How a book counts its days, and its limits. Ages are in business days of its calendar."""

    book: BookId
    time_zone: str
    calendar: Calendar
    cut_off: dt.time
    write_off_max_minor: int
    break_age_max: int
    """How old a break may be when its day is closed, without an owner and a note."""
    receipt_age_max: int
    """How long money may lie in suspense before the alarm."""
    reason: str = ""
    at: dt.datetime | None = None
    actor: str = ""

    def business_date(self, instant: dt.datetime) -> dt.date:
        """The business day a moment belongs to. Raises `YearWithoutCalendar`."""
        return calendars.business_date(
            instant, calendar=self.calendar, time_zone=self.time_zone, cut_off=self.cut_off
        )

    def cut_off_at(self, day: dt.date) -> dt.datetime:
        """The moment at which a day ends."""
        return calendars.cut_off_instant(day, time_zone=self.time_zone, cut_off=self.cut_off)

    def age(self, since: dt.date, day: dt.date) -> int:
        """How many business days something of `since` is old on `day`."""
        return calendars.business_days_between(self.calendar, since, day)

    def previous(self, day: dt.date) -> dt.date:
        return calendars.previous_business_day(self.calendar, day)

    def next(self, day: dt.date) -> dt.date:
        return calendars.next_business_day(self.calendar, day)


def usual(book: books.Book) -> Days:
    """The days of a book that nobody has set: its zone's calendar, 17:00, nothing written off."""
    calendar = _OF_ZONE.get(book.time_zone, Calendar.WEEKENDS)
    return Days(book.id, book.time_zone, calendar, dt.time(17), 0, 5, 3)


def misfit(write_off_max_minor: int, break_age_max: int, receipt_age_max: int) -> tuple[str, str] | None:
    """The first thing wrong with a book's limits: the field, and what was expected of it."""
    if not 0 <= write_off_max_minor <= WRITE_OFF_MAX_MINOR:
        return "write_off_max_minor", f"a whole number of minor units from 0 to {WRITE_OFF_MAX_MINOR}"
    for field, value in (("break_age_max", break_age_max), ("receipt_age_max", receipt_age_max)):
        if not 0 <= value <= AGE_MAX:
            return field, f"a whole number of business days from 0 to {AGE_MAX}"
    return None


def days(db: Db, book: int) -> Days:
    """How a book counts its days now. Raises `errors.BookUnknown`."""
    found = books.book(db, book)
    return next(iter(_rows(db, found, 1)), usual(found))


def changes(db: Db, book: int, *, limit: int = 50) -> Sequence[Days]:
    """Every change of a book's days, the newest first. Raises `errors.BookUnknown`."""
    return _rows(db, books.book(db, book), limit)


def set_days(
    db: Db,
    book: int,
    *,
    calendar: str,
    cut_off: dt.time,
    write_off_max_minor: int,
    break_age_max: int,
    receipt_age_max: int,
    reason: str,
    actor: Actor,
    now: dt.datetime,
) -> Days:
    """Say how a book counts its days from now on. Days that are closed stay as they were closed.

    Raises `errors.BookUnknown`, `CalendarUnknown` or `errors.Malformed`.
    """
    access.require(db, actor, "custody.set_book_days")
    found = books.book(db, book)
    known = calendars.calendar(calendar)
    wrong = misfit(write_off_max_minor, break_age_max, receipt_age_max)
    if wrong is None and not (reason.strip() and len(reason) <= 500 and reason.isprintable()):
        wrong = "reason", "1 to 500 characters"
    if wrong is None and cut_off.tzinfo is not None:
        wrong = "cut_off", "a time of day in the book's own zone"
    if wrong:
        raise errors.Malformed(where=f"book {book}", field=wrong[0], expected=wrong[1])
    with transaction.atomic(using=db):
        with connections[db].cursor() as cursor:
            cursor.execute(
                "insert into custody_book_days (book_id, calendar, cut_off, write_off_max_minor,"
                " break_age_max, receipt_age_max, reason, at, actor)"
                " values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    book,
                    known.value,
                    cut_off.isoformat(),
                    write_off_max_minor,
                    break_age_max,
                    receipt_age_max,
                    reason,
                    now,
                    actor.id,
                ],
            )
        log.append(
            db,
            "custody.book_days_set",
            {
                "book": book,
                "calendar": known.value,
                "cut_off": cut_off.isoformat(),
                "write_off_max_minor": str(write_off_max_minor),
                "break_age_max": break_age_max,
                "receipt_age_max": receipt_age_max,
                "reason": reason,
            },
            actor=actor.id,
            at=now,
        )
    return next(iter(_rows(db, found, 1)))


def _rows(db: Db, book: books.Book, limit: int) -> list[Days]:
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select calendar, cut_off, write_off_max_minor, break_age_max, receipt_age_max, reason, at, actor"
            " from custody_book_days where book_id = %s order by id desc limit %s",
            [book.id, limit],
        )
        return [Days(book.id, book.time_zone, Calendar(row[0]), *row[1:]) for row in cursor.fetchall()]

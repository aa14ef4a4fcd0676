"""A book's days on real PostgreSQL: what holds until somebody sets them, and what each change leaves."""

from __future__ import annotations

import datetime as dt

import pytest

from tallystick.core.calendars import Calendar
from tallystick.core.errors import CalendarUnknown
from tallystick.custody import book_days, books, errors
from tallystick.evidence import log
from tallystick.identity.errors import AccessDenied
from tests.custody import cast
from tests.custody.cast import BOOK, DB

CHANGE = {
    "calendar": "CN",
    "cut_off": dt.time(16, 30),
    "write_off_max_minor": 100,
    "break_age_max": 2,
    "receipt_age_max": 3,
    "reason": "as agreed with the bank",
}


@pytest.mark.parametrize(
    ("book", "zone", "calendar"),
    [
        (1, "Asia/Shanghai", Calendar.CN),
        (2, "Europe/London", Calendar.GB),
        (3, "Europe/Berlin", Calendar.TARGET),
        (4, "America/New_York", Calendar.WEEKENDS),
    ],
)
@pytest.mark.django_db
def test_a_book_has_days_before_anybody_sets_them(book: int, zone: str, calendar: Calendar) -> None:
    """Its zone says whose; nothing is written off until somebody says how much."""
    books.open_book(DB, book, f"Book {book}", zone, actor=cast.SIMULATION, now=cast.OPENED)
    days = book_days.days(DB, book)
    assert (days.calendar, days.write_off_max_minor, days.actor) == (calendar, 0, "")


@pytest.mark.django_db
def test_a_change_holds_and_the_one_before_stays() -> None:
    """The newest row holds, each has its reason and its event, and a day's end follows the new cut-off."""
    books.open_book(DB, BOOK, "Book", "Asia/Shanghai", actor=cast.SIMULATION, now=cast.OPENED)
    for cut_off in (dt.time(16, 30), dt.time(15)):
        book_days.set_days(DB, BOOK, **{**CHANGE, "cut_off": cut_off}, actor=cast.APPROVER, now=cast.NOW)
    days = book_days.days(DB, BOOK)
    assert [each.cut_off for each in book_days.changes(DB, BOOK)] == [dt.time(15), dt.time(16, 30)]
    assert days.cut_off_at(dt.date(2026, 3, 2)) == dt.datetime(2026, 3, 2, 7, tzinfo=dt.UTC)
    assert days.business_date(dt.datetime(2026, 3, 2, 7, tzinfo=dt.UTC)) == dt.date(2026, 3, 3)
    assert len(log.events(DB, kind="custody.book_days_set")) == 2


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"calendar": "MARS"}, CalendarUnknown),
        ({"write_off_max_minor": -1}, errors.Malformed),
        ({"write_off_max_minor": book_days.WRITE_OFF_MAX_MINOR + 1}, errors.Malformed),
        ({"break_age_max": 1000}, errors.Malformed),
        ({"receipt_age_max": -1}, errors.Malformed),
        ({"reason": "  "}, errors.Malformed),
        ({"cut_off": dt.time(16, tzinfo=dt.UTC)}, errors.Malformed),
    ],
)
@pytest.mark.django_db
def test_what_makes_no_sense_is_refused(change: dict[str, object], refusal: type[Exception]) -> None:
    """And nothing is written."""
    books.open_book(DB, BOOK, "Book", "Asia/Shanghai", actor=cast.SIMULATION, now=cast.OPENED)
    with pytest.raises(refusal):
        book_days.set_days(DB, BOOK, **{**CHANGE, **change}, actor=cast.APPROVER, now=cast.NOW)
    assert book_days.changes(DB, BOOK) == []


@pytest.mark.django_db
def test_whoever_makes_does_not_set_the_limits() -> None:
    """Operations cannot raise what operations may write off."""
    books.open_book(DB, BOOK, "Book", "Asia/Shanghai", actor=cast.SIMULATION, now=cast.OPENED)
    with pytest.raises(AccessDenied):
        book_days.set_days(DB, BOOK, **CHANGE, actor=cast.OPERATIONS, now=cast.NOW)

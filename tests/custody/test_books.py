"""Books: opened once, by somebody who may, and never changed."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from tallystick.custody import books, errors
from tallystick.evidence import log
from tallystick.identity.errors import AccessDenied
from tests.custody.cast import APPROVER, DB, OPENED, OPERATIONS

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("book_id", "name", "time_zone", "field"),
    [
        (0, "A", "Asia/Shanghai", "id"),
        (900, "A", "Asia/Shanghai", "id"),
        (1, "", "Asia/Shanghai", "name"),
        (1, " ", "Asia/Shanghai", "name"),
        (1, "A\nB", "Asia/Shanghai", "name"),
        (1, "A" * 121, "Asia/Shanghai", "name"),
        (1, "A", "Beijing", "time_zone"),
        (1, "A", "../etc/passwd", "time_zone"),
    ],
)
def test_a_misfit_names_its_field(book_id, name, time_zone, field):
    wrong = books.misfit(book_id, name, time_zone)
    assert wrong is not None
    assert wrong[0] == field
    with pytest.raises(errors.Malformed) as refused:
        books.open_book(DB, book_id, name, time_zone, actor=APPROVER, now=OPENED)
    assert refused.value.fields["field"] == field


def test_a_book_is_opened_once_and_told_of():
    opened = books.open_book(DB, 7, "七号平台", actor=APPROVER, now=OPENED)
    assert books.book(DB, 7) == opened
    assert books.books(DB) == [opened]
    assert books.head(DB, 7) == books.Head(0, None)
    event = log.events(DB, kind="custody.book_opened")[0]
    assert event.payload == {"book": 7, "name": "七号平台", "time_zone": "Asia/Shanghai"}
    assert (event.actor, event.at) == (APPROVER.id, OPENED)


@pytest.mark.parametrize(("book_id", "name"), [(7, "Another"), (8, "First")])
def test_a_number_or_name_taken_is_refused_and_nothing_is_told(book_id, name):
    books.open_book(DB, 7, "First", actor=APPROVER, now=OPENED)
    with pytest.raises(errors.BookExists):
        books.open_book(DB, book_id, name, actor=APPROVER, now=OPENED)
    assert len(log.events(DB, kind="custody.book_opened")) == 1


def test_a_day_of_the_book_begins_at_its_own_midnight():
    """Where it is already tomorrow, the book is there too; a day that clocks are put forward has 23 hours."""
    shanghai = books.open_book(DB, 7, "Seven", actor=APPROVER, now=OPENED)
    warsaw = books.open_book(DB, 8, "Eight", "Europe/Warsaw", actor=APPROVER, now=OPENED)
    late = datetime(2026, 3, 28, 16, 0, tzinfo=UTC)
    assert (shanghai.today(late), warsaw.today(late)) == (date(2026, 3, 29), date(2026, 3, 28))
    assert shanghai.midnight(date(2026, 3, 29)) == late
    assert warsaw.midnight(date(2026, 3, 29)) == datetime(2026, 3, 28, 23, 0, tzinfo=UTC)
    assert warsaw.midnight(date(2026, 3, 30)) == datetime(2026, 3, 29, 22, 0, tzinfo=UTC)


def test_operations_opens_no_book():
    with pytest.raises(AccessDenied):
        books.open_book(DB, 7, "First", actor=OPERATIONS, now=OPENED)


def test_an_unknown_book_is_refused():
    for read in (books.book, books.head):
        with pytest.raises(errors.BookUnknown):
            read(DB, 7)

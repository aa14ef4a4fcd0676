"""Books: one platform's client money in one place, the unit of order and of scale.

Promises: a book is opened once, by somebody who may, and never closed or renamed; its days are those of
one time zone; its transfers stand in one order without a gap, and `head` says how far that order goes.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time

from django.db import connections, transaction

from tallystick.core.db import Db
from tallystick.custody import errors, numbers
from tallystick.custody.numbers import BookId
from tallystick.evidence import log
from tallystick.identity import access
from tallystick.identity.access import Actor


@dataclass(frozen=True, slots=True)
class Book:
    """A book. `time_zone` is an IANA name: a day of the book begins at its midnight."""

    id: BookId
    name: str
    time_zone: str
    opened_at: datetime
    opened_by: str

    def today(self, now: datetime) -> date:
        """The day of the book at this moment."""
        return now.astimezone(zoneinfo.ZoneInfo(self.time_zone)).date()

    def midnight(self, day: date) -> datetime:
        """The moment at which a day of the book begins."""
        return datetime.combine(day, time(), zoneinfo.ZoneInfo(self.time_zone))


@dataclass(frozen=True, slots=True)
class Head:
    """How far a book has come. Position 0 and no time: nothing has been posted yet."""

    position: int
    recorded_at: datetime | None


def misfit(book_id: int, name: str, time_zone: str) -> tuple[str, str] | None:
    """The first thing wrong with a book about to be opened: the field, and what was expected of it."""
    if not 1 <= book_id <= numbers.BOOK_MAX:
        return "id", f"a whole number from 1 to {numbers.BOOK_MAX}"
    if not 1 <= len(name.strip()) <= 120 or not name.isprintable():
        return "name", "1 to 120 characters"
    if time_zone not in zoneinfo.available_timezones():
        return "time_zone", "an IANA time zone such as Asia/Shanghai"
    return None


def book(db: Db, book_id: int) -> Book:
    """The book of this number. Raises `errors.BookUnknown`."""
    for found in _books(db, "where id = %s", [book_id]):
        return found
    raise errors.BookUnknown(book=book_id)


def books(db: Db) -> Sequence[Book]:
    """Every book, by number."""
    return _books(db, "", [])


def head(db: Db, book_id: int) -> Head:
    """The book's last position and when it was recorded. Raises `errors.BookUnknown`."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select b.last_position, b.recorded_at
            from custody_book k left join lateral (
                select last_position, recorded_at from custody_batch
                where book_id = k.id order by last_position desc limit 1
            ) b on true
            where k.id = %s
            """,
            [book_id],
        )
        row = cursor.fetchone()
    if row is None:
        raise errors.BookUnknown(book=book_id)
    return Head(row[0] or 0, row[1])


def open_book(
    db: Db, book_id: int, name: str, time_zone: str = "Asia/Shanghai", *, actor: Actor, now: datetime
) -> Book:
    """Open a book. Raises `errors.Malformed`, or `errors.BookExists` where its number or name is taken."""
    access.require(db, actor, "custody.open_book")
    if wrong := misfit(book_id, name, time_zone):
        raise errors.Malformed(where=f"book {book_id}", field=wrong[0], expected=wrong[1])
    with transaction.atomic(using=db):
        with connections[db].cursor() as cursor:
            # One statement, so that two who open the same book at once get one book and one refusal.
            cursor.execute(
                "insert into custody_book (id, name, time_zone, opened_at, opened_by)"
                " values (%s, %s, %s, %s, %s) on conflict do nothing",
                [book_id, name, time_zone, now, actor.id],
            )
            if cursor.rowcount == 0:
                raise errors.BookExists(book=book_id)
        log.append(
            db,
            "custody.book_opened",
            {"book": book_id, "name": name, "time_zone": time_zone},
            actor=actor.id,
            at=now,
        )
    return Book(BookId(book_id), name, time_zone, now, actor.id)


def _books(db: Db, where: str, parameters: list[int]) -> list[Book]:
    with connections[db].cursor() as cursor:
        cursor.execute(
            f"select id, name, time_zone, opened_at, opened_by from custody_book {where} order by id",  # noqa: S608
            parameters,
        )
        return [Book(BookId(row[0]), *row[1:]) for row in cursor.fetchall()]

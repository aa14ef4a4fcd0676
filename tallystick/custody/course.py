"""The course of an account: how it stood at the end of each day of its book.

Promises: each figure is the account's last entry recorded before the next day's midnight in the book's
own zone, as `history` reads it. Two index steps a day, however many transfers there were. Writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from django.db import connections

from tallystick.core.db import Db
from tallystick.custody import books, numbers
from tallystick.custody.history import Balance
from tallystick.custody.numbers import AccountNumber


@dataclass(frozen=True, slots=True)
class Day:
    """An account's totals at the end of a day: all zero where nothing had touched it yet."""

    day: date
    balance: Balance


def daily(db: Db, account: int, *, first: date, last: date) -> Sequence[Day]:
    """The account's totals at the end of each day from the first to the last. Raises `errors.BookUnknown`."""
    book = books.book(db, numbers.book_of(account))
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select days.day::date, coalesce(upto.last_position, 0),
                coalesce(e.debits_posted, 0), coalesce(e.credits_posted, 0),
                coalesce(e.debits_pending, 0), coalesce(e.credits_pending, 0)
            from generate_series(%(first)s::timestamp, %(last)s::timestamp, interval '1 day') as days (day)
            left join lateral (
                select last_position from custody_batch
                where book_id = %(book)s
                    and recorded_at < (days.day + interval '1 day') at time zone %(zone)s
                order by recorded_at desc, last_position desc limit 1
            ) upto on true
            left join lateral (
                select debits_posted, credits_posted, debits_pending, credits_pending from custody_entry
                where account = %(account)s and position <= upto.last_position
                order by position desc limit 1
            ) e on true
            order by days.day
            """,
            {"first": first, "last": last, "book": book.id, "zone": book.time_zone, "account": account},
        )
        return [Day(row[0], Balance(AccountNumber(account), *row[1:])) for row in cursor.fetchall()]

"""Reading: the lines of a flow out of the ledger's tables, and what an owner ever had to do with whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db import connections

from tallystick.core.db import Db
from tallystick.custody import books, history, numbers
from tallystick.custody.accounts import Account
from tallystick.custody.codes import Code
from tallystick.custody.errors import TimeBeforeBook
from tallystick.custody.numbers import Family, Side
from tallystick.custody.tracing import errors
from tallystick.custody.tracing.parcels import Movement

LINES_MAX = 200_000
"""The most transfers of one flow."""

ACCOUNTS_MAX = 200
"""The most accounts of one owner that are followed together."""

MINE_MAX = 10_000
"""The most accounts of one owner that are known as their own."""


@dataclass(frozen=True, slots=True)
class Met:
    """What an owner has had to do with another client's account, ever."""

    first_position: int
    has_lent: bool
    opening_minor: int
    lent_minor: int
    back_minor: int
    interest_minor: int


@dataclass(frozen=True, slots=True)
class Held:
    """A pending transfer that is not decided."""

    position: int
    code: Code
    debit_account: int
    credit_account: int
    amount_minor: int
    recorded_at: datetime
    expires_at: datetime | None


def movements(db: Db, wanted: Sequence[int], *, after: int, to: int) -> list[Movement]:
    """The posted transfers that touched these accounts, by position. Raises `errors.FlowTooLong`."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select t.position, t.code, t.debit_account, t.credit_account, t.amount_minor, t.recorded_at,
                t.value_date, coalesce(t.pending_position, 0), coalesce(t.reverses_position, 0),
                coalesce(t.authorisation, p.authorisation, 0), coalesce(t.reference, p.reference, ''),
                coalesce(t.payee, p.payee, '')
            from (
                select distinct position from custody_entry
                where account = any(%(accounts)s) and position > %(after)s and position <= %(to)s
            ) e
            join custody_transfer t on t.book_id = %(book)s and t.position = e.position
            left join custody_transfer p on p.book_id = %(book)s and p.position = t.pending_position
            where t.kind in (1, 3) order by t.position limit %(limit)s
            """,
            {
                "accounts": list(wanted),
                "book": numbers.book_of(wanted[0]),
                "after": after,
                "to": to,
                "limit": LINES_MAX + 1,
            },
        )
        rows = cursor.fetchall()
    if len(rows) > LINES_MAX:
        raise errors.FlowTooLong(most=LINES_MAX)
    # Money goes from the debited account to the credited one; on an account that mirrors a bank's, whose
    # balance is its debits, it is the other way about.
    return [_movement(row, mirrored=is_mirrored(wanted[0])) for row in rows]


def _movement(row: tuple[Any, ...], *, mirrored: bool) -> Movement:
    giver, taker = (row[3], row[2]) if mirrored else (row[2], row[3])
    return Movement(row[0], Code(row[1]), giver, taker, *row[4:])


def met(
    db: Db, followed: Sequence[Account], mine: Sequence[Account], *, to: int, after: int
) -> dict[int, Met]:
    """Every account of another client that one's own accounts ever had to do with, up to a position.

    Over all that are one's own, whichever are followed, so that a counterpart has one number.
    """
    first = followed[0]
    if first.family != Family.CLIENT:
        return {}
    wanted = sorted({each.number for each in (*mine[:ACCOUNTS_MAX], *followed)})
    client = first.book * numbers.BOOK_UNIT + Family.CLIENT * numbers.FAMILY_UNIT
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            with side as (
                select t.position, t.kind, t.code, t.amount_minor,
                    case when e.account = t.debit_account then t.credit_account else t.debit_account end
                        as counter,
                    -- The one that gives is debited; a reversal counts against what it reverses.
                    case when e.account = t.debit_account then 1 else -1 end as given
                from custody_entry e
                join custody_transfer t on t.book_id = %(book)s and t.position = e.position
                where e.account = any(%(accounts)s) and e.position <= %(to)s and t.kind in (1, 2, 3)
            )
            select counter, min(position), bool_or(code = %(lend)s and given = 1),
                coalesce(sum(amount_minor * given)
                    filter (where kind <> 2 and code = %(lend)s and position <= %(after)s), 0)
                + coalesce(sum(amount_minor * given)
                    filter (where kind <> 2 and code = %(repay)s and position <= %(after)s), 0),
                coalesce(sum(amount_minor * given)
                    filter (where kind <> 2 and code = %(lend)s and position > %(after)s), 0),
                coalesce(-sum(amount_minor * given)
                    filter (where kind <> 2 and code = %(repay)s and position > %(after)s), 0),
                coalesce(-sum(amount_minor * given)
                    filter (where kind <> 2 and code = %(interest)s and position > %(after)s), 0)
            from side
            where counter >= %(client)s and counter < %(client_end)s and counter <> all(%(accounts)s)
            group by counter
            """,
            {
                "accounts": wanted,
                "book": first.book,
                "to": to,
                "after": after,
                "lend": int(Code.LEND),
                "repay": int(Code.REPAY),
                "interest": int(Code.INTEREST),
                "client": client,
                "client_end": client + numbers.FAMILY_UNIT,
            },
        )
        return {row[0]: Met(row[1], row[2], *(int(each) for each in row[3:])) for row in cursor.fetchall()}


def held(db: Db, wanted: Sequence[int], *, to: int) -> list[Held]:
    """What is held on these accounts at a position, the oldest first."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            with seen as (
                select distinct t.position, t.kind, t.pending_position, t.code, t.debit_account,
                    t.credit_account, t.amount_minor, t.recorded_at, t.expires_at
                from custody_entry e
                join custody_transfer t on t.book_id = %(book)s and t.position = e.position
                where e.account = any(%(accounts)s) and e.position <= %(to)s and t.kind >= 2
            )
            select position, code, debit_account, credit_account, amount_minor, recorded_at, expires_at
            from seen
            where kind = 2 and position not in (
                select pending_position from seen where pending_position is not null
            )
            order by position
            """,
            {"accounts": list(wanted), "book": numbers.book_of(wanted[0]), "to": to},
        )
        return [Held(row[0], Code(row[1]), *row[2:]) for row in cursor.fetchall()]


def period(db: Db, book: int, first: date | None, last: date | None) -> tuple[int, int | None]:
    """The positions after which and up to which these days of a book lie, both days included.

    Without a first day from the beginning, without a last up to now. Raises `errors.BookUnknown`, or
    `TimeBeforeBook` where the last day is before the book was opened.
    """
    found = books.book(db, book)
    after, to = 0, None
    if last is not None:
        to = history.position_before(db, book, found.midnight(last + timedelta(days=1)))
    if first is not None:
        try:
            after = history.position_before(db, book, found.midnight(first))
        except TimeBeforeBook:
            after = 0
    return after, to


def is_mirrored(account: int) -> bool:
    """Whether it grows on its debit side: an account that mirrors a bank's."""
    return numbers.NORMAL_SIDE[numbers.family_of(account)] == Side.DEBIT

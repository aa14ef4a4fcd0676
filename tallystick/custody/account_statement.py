"""Statement of account: what a customer is given for a period, and their history to look through.

Promises: the opening balance and every line make the closing balance, to the last minor unit; both ends are
positions of the book, so the same period that is over gives the same statement for ever; days are the book's
own. What was only held or let go moves nothing and is no line. Writes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db import connections

from tallystick.core.db import Db
from tallystick.custody import books, errors, history, transfers
from tallystick.custody.accounts import Account
from tallystick.custody.codes import Code
from tallystick.custody.history import Balance
from tallystick.evidence import canonical

LINES_STEP = 2_000
DAYS_MAX = 3_700
"""The longest period of one statement: ten years."""


@dataclass(frozen=True, slots=True)
class Line:
    """A movement as the account's holder sees it. amount_minor is positive where money came in.

    `day` is the day of the book on which it was recorded. `other` is who paid or was paid, where known.
    """

    position: int
    id: str
    code: Code
    recorded_at: datetime
    day: date
    value_date: date
    amount_minor: int
    balance_minor: int
    reference: str
    other: str
    reason: str
    is_reversal: bool


@dataclass(frozen=True, slots=True)
class Period:
    """An account between the first moment of one day and the last of another; `last` may not be over yet."""

    account: Account
    first: date
    last: date
    opening: Balance
    closing: Balance

    @property
    def in_minor(self) -> int:
        """All that came in."""
        return self.closing.credits_posted - self.opening.credits_posted

    @property
    def out_minor(self) -> int:
        """All that went out, as a positive number."""
        return self.closing.debits_posted - self.opening.debits_posted

    @property
    def position_from(self) -> int:
        """The book's last position before the period."""
        return self.opening.position

    @property
    def position_to(self) -> int:
        """The book's last position of the period."""
        return self.closing.position


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which lines to look for; what is left out does not matter."""

    first: date | None = None
    last: date | None = None
    codes: tuple[Code, ...] = ()
    is_in: bool | None = None
    text: str = ""
    amount_minor: int | None = None
    """With `text`: a line of this amount, either way, is found too."""


ALL = Wanted()


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────


def digest(period: Period, lines: Sequence[Line]) -> bytes:
    """SHA-256 over what a statement says: the same for whoever makes it again from the same book."""
    told: canonical.Payload = {
        "account": period.account.text,
        "first": period.first.isoformat(),
        "last": period.last.isoformat(),
        "position_from": period.position_from,
        "position_to": period.position_to,
        "opening_minor": str(period.opening.balance_minor),
        "closing_minor": str(period.closing.balance_minor),
        "lines": [
            [line.position, line.id, str(line.amount_minor), str(line.balance_minor)] for line in lines
        ],
    }
    return hashlib.sha256(canonical.text(told).encode()).digest()


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def period(db: Db, account: Account, first: date, last: date) -> Period:
    """The account over these days of its book, both included. Raises `errors.PeriodUnreadable`."""
    if not (first <= last and (last - first).days <= DAYS_MAX and first.year >= 1990 and last.year < 2200):
        raise errors.PeriodUnreadable
    book = books.book(db, account.book)
    opening = history.balance(db, account.number, at_position=_before(db, book, first))
    closing = history.balance(db, account.number, at_position=_before(db, book, last + timedelta(days=1)))
    return Period(account, first, last, opening, closing)


def lines(db: Db, told: Period, *, most: int | None = None) -> Iterator[Line]:
    """The period's lines, the first one first, read a step at a time; with `most`, refuses to give more.

    Raises `errors.StatementTooLong` before the line that would be too many.
    """
    book = books.book(db, told.account.book)
    after, given = told.position_from, 0
    balance = told.opening.balance_minor
    while part := _lines(
        db, told.account, book, ALL, after=after, to=told.position_to, limit=LINES_STEP, newest_first=False
    ):
        for line in part:
            given += 1
            if most is not None and given > most:
                raise errors.StatementTooLong(most=most)
            balance += line.amount_minor
            assert balance == line.balance_minor, "each line follows from the one before it"
            yield line
        after = part[-1].position
    assert balance == told.closing.balance_minor, "the lines make the closing balance"


def find(
    db: Db, account: Account, wanted: Wanted = ALL, *, before: int | None = None, limit: int = 50
) -> Sequence[Line]:
    """The account's lines that are looked for, the newest first, each with the balance after it.

    `before` (a position) continues a page.
    """
    book = books.book(db, account.book)
    after = 0 if wanted.first is None else _before(db, book, wanted.first)
    to = (
        books.head(db, account.book).position
        if wanted.last is None
        else _before(db, book, wanted.last + timedelta(days=1))
    )
    if before is not None:
        to = min(to, before - 1)
    return _lines(db, account, book, wanted, after=after, to=to, limit=limit, newest_first=True)


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


def _before(db: Db, book: books.Book, day: date) -> int:
    """The book's last position before a day of its own begins; 0 where the book was not open yet."""
    try:
        return history.position_before(db, book.id, book.midnight(day))
    except errors.TimeBeforeBook:
        return 0


def _lines(
    db: Db,
    account: Account,
    book: books.Book,
    wanted: Wanted,
    *,
    after: int,
    to: int,
    limit: int,
    newest_first: bool,
) -> list[Line]:
    escaped = wanted.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    direction = "desc" if newest_first else "asc"
    with connections[db].cursor() as cursor:
        cursor.execute(
            f"""
            select t.position, t.id, t.code, t.recorded_at,
                (t.recorded_at at time zone %(zone)s)::date, t.value_date,
                case when t.credit_account = e.account then t.amount_minor else -t.amount_minor end,
                e.credits_posted - e.debits_posted,
                coalesce(t.reference, p.reference, ''),
                coalesce(nullif(d.payer_name, ''), t.payee, p.payee, ''),
                coalesce(t.reason, ''), t.reverses_position is not null
            from custody_entry e
            join custody_transfer t on t.book_id = %(book)s and t.position = e.position
            left join custody_transfer p on p.book_id = t.book_id and p.position = t.pending_position
            left join custody_deposit d on d.transfer = t.id
            where e.account = %(account)s and e.position > %(after)s and e.position <= %(to)s
                and t.kind in (1, 3)
                and (%(codes)s::smallint[] is null or t.code = any(%(codes)s))
                and (%(is_in)s::boolean is null or (t.credit_account = e.account) = %(is_in)s)
                and (%(text)s = '' or t.amount_minor = %(amount)s::bigint or concat_ws(' ', t.reference,
                    p.reference, t.payee, p.payee, d.payer_name, t.reason) ilike %(like)s)
            order by e.position {direction} limit %(limit)s
            """,  # noqa: S608 -- one of two words
            {
                "zone": book.time_zone,
                "book": account.book,
                "account": account.number,
                "after": after,
                "to": to,
                "codes": [int(code) for code in wanted.codes] or None,
                "is_in": wanted.is_in,
                "text": wanted.text,
                "like": f"%{escaped}%",
                "amount": wanted.amount_minor,
                "limit": limit,
            },
        )
        return [
            Line(row[0], transfers.id_text(row[1].bytes), Code(row[2]), *row[3:]) for row in cursor.fetchall()
        ]

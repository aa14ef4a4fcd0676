"""History: any past state of a book, read again from its facts.

Promises: a read as of a position or a time gives what stood there then, and says which position it is; a
later transfer, whatever its value date, never changes it; a time before the book was opened and a position
it has not reached are refused, never answered with nothing. Writes nothing, so that it serves the live
book, an auditor's connection and a restored backup alike.

An account's balance is its last entry at or before the position: one step down an index, at any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connections

from tallystick.core.db import Db
from tallystick.custody import books, codes, errors, numbers
from tallystick.custody import transfers as asked
from tallystick.custody.models import TransferKind
from tallystick.custody.numbers import AccountNumber, AuthorisationNumber, BookId, Family, Side


@dataclass(frozen=True, slots=True)
class Balance:
    """An account's totals as of a position of its book, in minor units.

    balance_minor is what has been posted, positive on the account's normal side; available_minor is that
    without what is held to leave it.
    """

    account: AccountNumber
    position: int
    debits_posted: int
    credits_posted: int
    debits_pending: int
    credits_pending: int

    @property
    def balance_minor(self) -> int:
        posted = self.credits_posted - self.debits_posted
        return posted if _grows_by_credit(self.account) else -posted

    @property
    def available_minor(self) -> int:
        held = self.debits_pending if _grows_by_credit(self.account) else self.credits_pending
        return self.balance_minor - held

    @property
    def held_minor(self) -> int:
        """What is held to leave it."""
        return self.balance_minor - self.available_minor

    @property
    def expected_minor(self) -> int:
        """What is held to come in."""
        return self.credits_pending if _grows_by_credit(self.account) else self.debits_pending


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer as it was posted. `id` is `trf_…`; kind and code are their words outside."""

    book: BookId
    position: int
    id: str
    kind: TransferKind
    code: codes.Code
    debit_account: AccountNumber
    credit_account: AccountNumber
    amount_minor: int
    value_date: date
    at: datetime
    recorded_at: datetime
    authorisation: AuthorisationNumber | None
    pending_position: int | None
    reverses_position: int | None
    chain_position: int | None
    expires_at: datetime | None
    reference: str | None
    payee: str | None
    reason: str | None
    metadata: str | None
    """A JSON object, its bytes as given."""


@dataclass(frozen=True, slots=True)
class Line:
    """A transfer as one of its accounts sees it.

    amount_minor: what it moved on this account, positive where the balance grew; 0 where it only held or
    let go. held_minor: by how much what is held to leave the account changed. balance_minor and
    available_minor: after it.
    """

    position: int
    id: str
    kind: TransferKind
    code: codes.Code
    recorded_at: datetime
    at: datetime
    value_date: date
    amount_minor: int
    held_minor: int
    counter_account: AccountNumber
    reference: str | None
    payee: str | None
    reason: str | None
    authorisation: AuthorisationNumber | None
    metadata: str | None
    balance_minor: int
    available_minor: int


@dataclass(frozen=True, slots=True)
class Statement:
    """An account's lines between two states of it: the opening balance and the lines make the closing one."""

    opening: Balance
    lines: Sequence[Line]
    closing: Balance


@dataclass(frozen=True, slots=True)
class TrialLine:
    """An account that had moved by then, with its totals."""

    account: AccountNumber
    family: Family
    asset: str
    scale: int
    owner: str
    name: str
    reference: str
    balance: Balance


@dataclass(frozen=True, slots=True)
class TrialTotal:
    """A family's totals in one asset. accounts: how many of it had moved."""

    asset: str
    scale: int
    family: Family
    accounts: int
    debits_posted: int
    credits_posted: int
    debits_pending: int
    credits_pending: int

    @property
    def balance_minor(self) -> int:
        """Positive on the family's normal side."""
        posted = self.credits_posted - self.debits_posted
        return posted if numbers.NORMAL_SIDE[self.family] == Side.CREDIT else -posted


@dataclass(frozen=True, slots=True)
class TrialBalance:
    """Every account of a book that had moved by a position, by number, and the totals that must agree."""

    book: BookId
    position: int
    lines: Sequence[TrialLine]
    totals: Sequence[TrialTotal]

    @property
    def difference_minor(self) -> dict[str, int]:
        """Debits less credits of each asset: nothing but zeros in a sound book."""
        return difference(self.totals)


@dataclass(frozen=True, slots=True)
class DailyTotal:
    """What was posted on one day of the book, for one reason, from one family to another."""

    day: date
    asset: str
    code: codes.Code
    debit_family: Family
    credit_family: Family
    transfers: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A transfer that was asked for and turned down. `request` is the request as JSON."""

    id: int
    transfer_id: str
    code: str
    request: str
    at: datetime
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which transfers to list; what is left out does not matter."""

    account: int | None = None
    code: codes.Code | None = None
    kind: TransferKind | None = None
    reference: str | None = None
    authorisation: int | None = None
    chain_position: int | None = None


ALL = Filters()


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────


def difference(totals: Sequence[TrialTotal]) -> dict[str, int]:
    """Debits less credits of each asset, posted: double entry keeps it at nothing."""
    left: dict[str, int] = {}
    for total in totals:
        left[total.asset] = left.get(total.asset, 0) + total.debits_posted - total.credits_posted
    return left


# ── positions ────────────────────────────────────────────────────────────────────────────────────────────


def position_at(db: Db, book: int, time: datetime) -> int:
    """The last position recorded at this time or before; 0 where the book had none yet.

    A time after the last transfer gives the last position: nothing has been recorded since. Raises
    `errors.BookUnknown`, or `TimeBeforeBook` where the book had not been opened.
    """
    opened_at = books.book(db, book).opened_at
    if time < opened_at:
        raise errors.TimeBeforeBook(book=book, opened_at=opened_at.isoformat())
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select last_position from custody_batch where book_id = %s and recorded_at <= %s"
            " order by recorded_at desc, last_position desc limit 1",
            [book, time],
        )
        return int((cursor.fetchone() or (0,))[0])


def position_before(db: Db, book: int, moment: datetime) -> int:
    """The last position recorded before a moment, such as a midnight. Raises as `position_at` does.

    So that days, and months, follow one another without a gap and share no transfer.
    """
    return position_at(db, book, moment - timedelta(microseconds=1))


def as_of(db: Db, book: int, *, at_position: int | None = None, at_time: datetime | None = None) -> int:
    """The position meant by a position, by a time, or by neither: then the book's last.

    Raises `errors.BookUnknown`, `PositionUnknown` or `TimeBeforeBook`.
    """
    assert at_position is None or at_time is None, "a state is named by its position or its time"
    if at_time is not None:
        return position_at(db, book, at_time)
    last = books.head(db, book).position
    if at_position is None:
        return last
    if not 0 <= at_position <= last:
        raise errors.PositionUnknown(book=book, position=at_position, last=last)
    return at_position


# ── balances ─────────────────────────────────────────────────────────────────────────────────────────────


def balance(
    db: Db, account: int, *, at_position: int | None = None, at_time: datetime | None = None
) -> Balance:
    """An account's totals now, or as of a position or a time; all zero where nothing had touched it yet.

    Raises `errors.AccountUnknown`, `PositionUnknown` or `TimeBeforeBook`.
    """
    return balances(db, [account], at_position=at_position, at_time=at_time)[account]


def balances(
    db: Db, accounts: Sequence[int], *, at_position: int | None = None, at_time: datetime | None = None
) -> dict[int, Balance]:
    """The totals of accounts of one book, all as of one position. Raises as `balance` does."""
    if not accounts:
        return {}
    book = numbers.book_of(accounts[0])
    assert all(numbers.book_of(each) == book for each in accounts), "two books have no common position"
    with connections[db].cursor() as cursor:
        cursor.execute("select number from custody_account where number = any(%s)", [list(accounts)])
        known = {number for (number,) in cursor.fetchall()}
        for each in accounts:
            if each not in known:
                raise errors.AccountUnknown(account=numbers.account_text(each))
        # The position first: what is posted between the two statements is after it, and left out.
        position = as_of(db, book, at_position=at_position, at_time=at_time)
        cursor.execute(
            """
            select wanted.account, last.debits_posted, last.credits_posted, last.debits_pending,
                last.credits_pending
            from unnest(%s::bigint[]) as wanted (account)
            cross join lateral (
                select debits_posted, credits_posted, debits_pending, credits_pending from custody_entry
                where account = wanted.account and position <= %s order by position desc limit 1
            ) last
            """,
            [list(known), position],
        )
        moved = {row[0]: row[1:] for row in cursor.fetchall()}
    return {each: Balance(AccountNumber(each), position, *moved.get(each, (0, 0, 0, 0))) for each in accounts}


def account_lines(
    db: Db,
    account: int,
    *,
    after_position: int = 0,
    to_position: int | None = None,
    limit: int | None = None,
    newest_first: bool = False,
) -> Sequence[Line]:
    """The transfers that touched an account, by position, after one position and up to another.

    A page goes on after its last line's position; newest first, up to the position before it. Raises
    `errors.AccountUnknown` or `PositionUnknown`.
    """
    opening = balance(db, account, at_position=to_position)
    direction = "desc" if newest_first else "asc"
    with connections[db].cursor() as cursor:
        cursor.execute(
            f"""
            select t.position, t.id, t.kind, t.code, t.recorded_at, t.at, t.value_date,
                case when t.kind in (1, 3) then t.amount_minor else 0 end
                    * case when (t.credit_account = e.account) = %(grows_by_credit)s then 1 else -1 end,
                case when %(grows_by_credit)s then e.debits_pending - coalesce(before.debits_pending, 0)
                    else e.credits_pending - coalesce(before.credits_pending, 0) end,
                case when t.debit_account = e.account then t.credit_account else t.debit_account end,
                t.reference, t.payee, t.reason, t.authorisation, t.metadata,
                e.debits_posted, e.credits_posted, e.debits_pending, e.credits_pending
            from (
                select * from custody_entry
                where account = %(account)s and position > %(after)s and position <= %(to)s
                order by position {direction} limit %(limit)s
            ) e
            join custody_transfer t on t.book_id = %(book)s and t.position = e.position
            left join lateral (
                select debits_pending, credits_pending from custody_entry
                where account = e.account and position < e.position order by position desc limit 1
            ) before on true
            order by e.position {direction}
            """,  # noqa: S608 -- one of two words
            {
                "account": account,
                "book": numbers.book_of(account),
                "after": after_position,
                "to": opening.position,
                "limit": limit,
                "grows_by_credit": _grows_by_credit(account),
            },
        )
        return [_line(account, row) for row in cursor.fetchall()]


def statement(db: Db, account: int, *, after_position: int = 0, to_position: int | None = None) -> Statement:
    """A statement of account between two positions: what stood there, what came and went, what stands.

    For days or months, take the positions of their ends from `position_at`. Raises as `account_lines`.
    """
    closing = balance(db, account, at_position=to_position)
    opening = balance(db, account, at_position=min(after_position, closing.position))
    lines = account_lines(db, account, after_position=after_position, to_position=closing.position)
    moved = sum(line.amount_minor for line in lines)
    assert opening.balance_minor + moved == closing.balance_minor, "the lines make the closing balance"
    return Statement(opening, lines, closing)


def trial_balance(
    db: Db, book: int, *, at_position: int | None = None, at_time: datetime | None = None
) -> TrialBalance:
    """Every account that had moved by then, and the totals of each family. Raises as `as_of` does."""
    position = as_of(db, book, at_position=at_position, at_time=at_time)
    with connections[db].cursor() as cursor:
        cursor.execute(
            f"""
            select a.number, a.family, c.code, c.scale, a.owner, a.name, a.reference,
                last.debits_posted, last.credits_posted, last.debits_pending, last.credits_pending
            {_LAST_ENTRIES} order by a.number
            """,
            {"book": book, "position": position},
        )
        lines = [
            TrialLine(
                *(row[0], Family(row[1]), *row[2:7], Balance(row[0], position, *row[7:])),
            )
            for row in cursor.fetchall()
        ]
    return TrialBalance(BookId(book), position, lines, totals(db, book, at_position=position))


def totals(
    db: Db, book: int, *, at_position: int | None = None, at_time: datetime | None = None
) -> Sequence[TrialTotal]:
    """The totals of each asset and family that had moved by then. Raises as `as_of` does."""
    position = as_of(db, book, at_position=at_position, at_time=at_time)
    with connections[db].cursor() as cursor:
        cursor.execute(
            f"""
            select c.code, c.scale, a.family, count(*), sum(last.debits_posted), sum(last.credits_posted),
                sum(last.debits_pending), sum(last.credits_pending)
            {_LAST_ENTRIES} group by c.code, c.scale, a.family order by c.code, a.family
            """,
            {"book": book, "position": position},
        )
        return [
            TrialTotal(row[0], row[1], Family(row[2]), row[3], *(int(total) for total in row[4:]))
            for row in cursor.fetchall()
        ]


# ── transfers ────────────────────────────────────────────────────────────────────────────────────────────


def transfer(db: Db, transfer_id: str) -> Transfer:
    """The transfer of this id, with or without `trf_`. Raises `errors.TransferNotFound`."""
    try:
        raw = UUID(bytes=asked.parse_id(transfer_id))
    except ValueError:
        raise errors.TransferNotFound(transfer=transfer_id) from None
    for found in _transfers(db, "where t.id = %(id)s", {"id": raw}):
        return found
    raise errors.TransferNotFound(transfer=transfer_id)


def transfers_of(db: Db, transfer_ids: Sequence[str]) -> Sequence[Transfer]:
    """The transfers that have one of these ids, by book and position; ids that none has are left out."""
    raw = [UUID(bytes=asked.parse_id(each)) for each in transfer_ids]
    return _transfers(db, "where t.id = any(%(ids)s) order by t.book_id, t.position", {"ids": raw})


def transfer_at(db: Db, book: int, position: int) -> Transfer:
    """The transfer at a position of a book. Raises `errors.BookUnknown` or `PositionUnknown`."""
    for found in _transfers(
        db, "where t.book_id = %(book)s and t.position = %(position)s", {"book": book, "position": position}
    ):
        return found
    raise errors.PositionUnknown(book=book, position=position, last=books.head(db, book).position)


def settled_by(db: Db, book: int, position: int) -> Transfer | None:
    """The transfer that posted, voided or expired the pending one at this position, if one has."""
    where = "where t.book_id = %(book)s and t.pending_position = %(position)s"
    return next(iter(_transfers(db, where, {"book": book, "position": position})), None)


def reversed_by(db: Db, book: int, position: int) -> Transfer | None:
    """The transfer that reversed the posted one at this position, if one has."""
    where = "where t.book_id = %(book)s and t.reverses_position = %(position)s"
    return next(iter(_transfers(db, where, {"book": book, "position": position})), None)


def transfers(
    db: Db,
    book: int,
    *,
    after: int = 0,
    to_position: int | None = None,
    limit: int = 100,
    newest_first: bool = False,
    filters: Filters = ALL,
) -> Sequence[Transfer]:
    """Transfers of a book by position, `limit` of them, after one position and up to another.

    A page goes on after its last transfer's position; newest first, up to the position before it. Raises
    `errors.BookUnknown`, or `PositionUnknown` where the book has not come to `to_position`.
    """
    to = as_of(db, book, at_position=to_position)
    where = ["t.book_id = %(book)s", "t.position > %(after)s", "t.position <= %(to)s"]
    account = filters.account
    if filters.authorisation is not None:
        where.append("t.authorisation = %(authorisation)s")
        # Found through the account it debits: there are few entries there, and no index by authorisation.
        if account is None:
            account = _debited_by(db, filters.authorisation)
    for name in ("code", "kind", "reference", "chain_position"):
        if getattr(filters, name) is not None:
            where.append(f"t.{name} = %({name})s")
    direction = "desc" if newest_first else "asc"
    source, order = "custody_transfer t", "t.position"
    if account is not None:
        # From the account's entries, in their order, whatever the planner believes: the page ends early.
        order = "e.position"
        source = f"""(
            select position from custody_entry
            where account = %(account)s and position > %(after)s and position <= %(to)s
            order by position {direction} offset 0
        ) e cross join lateral (
            select * from custody_transfer where book_id = %(book)s and position = e.position offset 0
        ) t"""  # noqa: S608 -- one of two words
    return _transfers(
        db,
        f"where {' and '.join(where)} order by {order} {direction} limit %(limit)s",
        {
            "book": book,
            "after": after,
            "to": to,
            "limit": limit,
            "account": account,
            "authorisation": filters.authorisation,
            "code": None if filters.code is None else int(filters.code),
            "kind": None if filters.kind is None else int(filters.kind),
            "reference": filters.reference,
            "chain_position": filters.chain_position,
        },
        source=source,
    )


def daily_totals(db: Db, book: int, frm: date, to: date) -> Sequence[DailyTotal]:
    """What was posted on each day from one to another, both included, by reason and families.

    Days are the book's own, by when a transfer was recorded; days with none are left out. Raises
    `errors.BookUnknown`.
    """
    zone = books.book(db, book).time_zone
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select d.day::date, c.code, t.code, t.debited / 10000 %% 10, t.credit_family, t.transfers, t.amount
            from generate_series(%(from)s::date, %(to)s::date, interval '1 day') as d (day)
            cross join lateral (
                select coalesce((
                    select last_position from custody_batch
                    where book_id = %(book)s and recorded_at < d.day::timestamp at time zone %(zone)s
                    order by recorded_at desc, last_position desc limit 1
                ), 0) as after, coalesce((
                    select last_position from custody_batch
                    where book_id = %(book)s
                        and recorded_at < (d.day + interval '1 day')::timestamp at time zone %(zone)s
                    order by recorded_at desc, last_position desc limit 1
                ), 0) as upto
            ) span
            cross join lateral (
                -- Book, family and asset are the number without its last ten digits.
                select code, debit_account / 10000000000 as debited,
                    credit_account / 100000000000000 %% 10 as credit_family,
                    count(*) as transfers, sum(amount_minor) as amount
                from custody_transfer
                where book_id = %(book)s and position > span.after and position <= span.upto and kind in (1, 3)
                group by 1, 2, 3
            ) t
            join custody_asset c on c.number = t.debited %% 10000
            order by 1, 2, 3, 4, 5
            """,
            {"book": book, "zone": zone, "from": frm, "to": to},
        )
        return [
            DailyTotal(
                row[0], row[1], codes.Code(row[2]), Family(row[3]), Family(row[4]), row[5], int(row[6])
            )
            for row in cursor.fetchall()
        ]


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────


def refusals(
    db: Db,
    book: int,
    *,
    before: int | None = None,
    limit: int = 100,
    code: str | None = None,
    since: datetime | None = None,
) -> Sequence[Refused]:
    """Transfers that were turned down, the newest first; `before` (an id) continues a page.

    Raises `errors.BookUnknown`.
    """
    books.book(db, book)
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select id, transfer_id, code, request, at, actor from custody_transfer_refusal
            where book_id = %(book)s and (%(before)s::bigint is null or id < %(before)s)
                and (%(code)s::text is null or code = %(code)s)
                and (%(since)s::timestamptz is null or at >= %(since)s)
            order by id desc limit %(limit)s
            """,
            {"book": book, "before": before, "code": code, "since": since, "limit": limit},
        )
        return [Refused(row[0], asked.id_text(row[1].bytes), *row[2:]) for row in cursor.fetchall()]


def refusal_counts(
    db: Db, book: int, *, since: datetime | None = None, until: datetime | None = None
) -> dict[str, int]:
    """How many transfers were turned down for each reason, from one time to before another.

    Raises `errors.BookUnknown`.
    """
    books.book(db, book)
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select code, count(*) from custody_transfer_refusal
            where book_id = %(book)s and (%(since)s::timestamptz is null or at >= %(since)s)
                and (%(until)s::timestamptz is null or at < %(until)s)
            group by code order by count(*) desc, code
            """,
            {"book": book, "since": since, "until": until},
        )
        return dict(cursor.fetchall())


def first_not_refused(db: Db, ids: Iterable[UUID]) -> UUID:
    """The first of these ids that no refused transfer had: an id is refused once and for all."""
    with connections[db].cursor() as cursor:
        for each in ids:
            cursor.execute("select from custody_transfer_refusal where transfer_id = %s", [each])
            if cursor.fetchone() is None:
                return each
    raise AssertionError("there is an id left")


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────

# Every account of the book that had moved by the position, with its last entry there: as many index steps
# as accounts, however many entries there are.
_LAST_ENTRIES = """
from custody_account a
join custody_asset c on c.number = a.asset_id
cross join lateral (
    select debits_posted, credits_posted, debits_pending, credits_pending from custody_entry
    where account = a.number and position <= %(position)s order by position desc limit 1
) last
where a.book_id = %(book)s
"""


_TRANSFERS = """
select t.book_id, t.position, t.id, t.kind, t.code, t.debit_account, t.credit_account, t.amount_minor,
    t.value_date, t.at, t.recorded_at, t.authorisation, t.pending_position, t.reverses_position,
    t.chain_position, t.expires_at, t.reference, t.payee, t.reason, t.metadata
from
"""


def _transfers(
    db: Db,
    rest: str,
    parameters: Mapping[str, int | str | UUID | list[UUID] | None],
    *,
    source: str = "custody_transfer t",
) -> list[Transfer]:
    with connections[db].cursor() as cursor:
        cursor.execute(f"{_TRANSFERS} {source} {rest}", parameters)
        found = [list(row) for row in cursor.fetchall()]
    for row in found:
        row[2:5] = asked.id_text(row[2].bytes), TransferKind(row[3]), codes.Code(row[4])
    return [Transfer(*row) for row in found]


def _debited_by(db: Db, authorisation: int) -> int:
    with connections[db].cursor() as cursor:
        cursor.execute("select debit_account from custody_authorisation where number = %s", [authorisation])
        row = cursor.fetchone()
    if row is None:
        raise errors.AuthorisationNotFound(authorisation=numbers.authorisation_text(authorisation))
    return int(row[0])


def _line(account: int, row: tuple[Any, ...]) -> Line:
    after = Balance(AccountNumber(account), row[0], *row[15:19])
    words = asked.id_text(row[1].bytes), TransferKind(row[2]), codes.Code(row[3])
    return Line(*(row[0], *words, *row[4:15], after.balance_minor, after.available_minor))


def _grows_by_credit(account: int) -> bool:
    return numbers.NORMAL_SIDE[numbers.family_of(account)] == Side.CREDIT

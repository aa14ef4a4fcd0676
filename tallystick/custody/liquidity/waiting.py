"""Waiting: who has asked for a payout and not had it yet, in which order, and about when it is their turn.

Promises: the order is that of the ledger, first asked first paid; nobody sees more than their own place.
The day is an estimate: today's money less what has gone out, then a day's limit on each business day.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from django.db import connections

from tallystick.core import calendars
from tallystick.core.calendars import Calendar
from tallystick.core.db import Db
from tallystick.core.errors import YearWithoutCalendar
from tallystick.custody import assets, book_days, books, history, transfers
from tallystick.custody.accounts import Account
from tallystick.custody.assets import Asset
from tallystick.custody.codes import Code
from tallystick.custody.liquidity import limits
from tallystick.custody.numbers import AccountNumber

PAGE = 2_000
ESTIMATE_DAYS_MAX = 366


@dataclass(frozen=True, slots=True)
class Waiting:
    """One payout in the queue. place is 1 for the first; ahead_minor is what goes out before it.

    estimated_day None: not within a year, at today's limit, or in a year whose calendar is not published.
    """

    place: int
    transfer_id: str
    position: int
    account: AccountNumber
    owner: str
    amount_minor: int
    asked_at: datetime
    ahead_minor: int
    estimated_day: date | None


@dataclass(frozen=True, slots=True)
class Queue:
    """A book's queue in one asset. per_day_minor None: no limit, so nobody waits for one."""

    asset: str
    scale: int
    per_day_minor: int | None
    paid_today_minor: int
    entries: Sequence[Waiting]

    @property
    def waiting_minor(self) -> int:
        return sum(each.amount_minor for each in self.entries)


def estimate(
    amounts: Iterable[int],
    *,
    per_day_minor: int | None,
    paid_today_minor: int,
    today: date,
    calendar: Calendar,
) -> list[date | None]:
    """The day each of these amounts is paid: in order, within each business day's limit.

    An amount above a day's limit takes the days it needs, and is paid on the last of them.
    """
    told: list[date | None] = []
    end = today + timedelta(days=ESTIMATE_DAYS_MAX)
    day = _business(calendar, today, end)
    if per_day_minor is None:
        return [None if day >= end else day for _ in amounts]
    left = max(per_day_minor - paid_today_minor, 0) if day == today else per_day_minor
    for amount in amounts:
        while amount > left and day < end:
            if per_day_minor == 0:
                day = end
                break
            amount -= left
            day, left = _business(calendar, day + timedelta(days=1), end), per_day_minor
        told.append(None if day >= end else day)
        left -= min(amount, left)
    return told


def queue(db: Db, book: int, asset: str, *, now: datetime) -> Queue:
    """Every pending withdrawal of a book in one asset, first asked first. Raises `errors.BookUnknown`."""
    held = assets.asset(db, asset)
    return _queue(db, book, held, _per_day(db, book, asset, now=now), now=now)


def places(db: Db, mine: Sequence[Account], *, now: datetime) -> list[tuple[Queue, Waiting]]:
    """The places of these accounts in the queues that a limit makes; a queue's other entries are left out.

    Where nothing of theirs is pending, or nothing is limited, no queue is looked at.
    """
    waiting: dict[tuple[int, str], set[int]] = {}
    for number in {each.book for each in mine}:
        of_book = [each for each in mine if each.book == number]
        balances = history.balances(db, [each.number for each in of_book])
        for each in of_book:
            if balances[each.number].held_minor:
                waiting.setdefault((number, each.asset), set()).add(each.number)
    told = []
    for (book, asset), wanted in sorted(waiting.items()):
        per_day = _per_day(db, book, asset, now=now)
        if per_day is not None:
            found = _queue(db, book, assets.asset(db, asset), per_day, now=now, wanted=wanted)
            told += [(found, each) for each in found.entries]
    return told


def _per_day(db: Db, book: int, asset: str, *, now: datetime) -> int | None:
    holds = limits.limit(db, book, asset, books.book(db, book).today(now))
    return None if holds is None else holds.per_day_minor


def _queue(
    db: Db, book: int, asset: Asset, per_day: int | None, *, now: datetime, wanted: set[int] | None = None
) -> Queue:
    """The queue, or of it only what is to leave the accounts that are wanted."""
    today = books.book(db, book).today(now)
    paid = limits.paid(db, book, asset.code, today)
    # Days are filled with money, not with payouts: what goes out between two that are told is one amount.
    rows, amounts, ahead, told = [], list[int](), 0, 0
    for place, row in enumerate(_pending(db, book, asset.number), start=1):
        if wanted is None or row[2] in wanted:
            rows.append((place, ahead, row))
            amounts += [ahead - told, row[4]]
            told = ahead + row[4]
        ahead += row[4]
    days = estimate(
        amounts,
        per_day_minor=per_day,
        paid_today_minor=paid,
        today=today,
        calendar=book_days.days(db, book).calendar,
    )
    entries = [
        Waiting(
            place,
            transfers.id_text(raw.bytes),
            position,
            AccountNumber(account),
            owner,
            amount,
            asked_at,
            before,
            day,
        )
        for (place, before, (position, raw, account, owner, amount, asked_at)), day in zip(
            rows, days[1::2], strict=True
        )
    ]
    return Queue(asset.code, asset.scale, per_day, paid, entries)


def _pending(db: Db, book: int, asset: int) -> list[tuple[int, UUID, int, str, int, datetime]]:
    """Pending withdrawals that nothing has settled, first asked first.

    From the control accounts' entries, the newest first, until what was found is what they say is pending:
    the queue is short however long the book is.
    """
    rows: list[tuple[int, UUID, int, str, int, datetime]] = []
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select a.number, e.credits_pending from custody_account a cross join lateral (
                select credits_pending from custody_entry where account = a.number
                order by position desc limit 1
            ) e where a.book_id = %s and a.family = 3 and a.asset_id = %s and e.credits_pending > 0
            """,
            [book, asset],
        )
        for account, outstanding in cursor.fetchall():
            before = 2**63 - 1
            while outstanding > 0:
                cursor.execute(
                    """
                    with page as (
                        select position from custody_entry where account = %(account)s
                            and position < %(before)s order by position desc limit %(page)s
                    )
                    select t.position, t.id, t.debit_account, a.owner, t.amount_minor, t.recorded_at,
                        t.code, (select min(position) from page)
                    from page join custody_transfer t on t.book_id = %(book)s and t.position = page.position
                    join custody_account a on a.number = t.debit_account
                    where t.kind = 2 and t.credit_account = %(account)s and not exists (
                        select from custody_transfer s
                        where s.book_id = t.book_id and s.pending_position = t.position)
                    union all select null, null, null, null, null, null, null, min(position) from page
                    order by 1 desc nulls last
                    """,
                    {"account": account, "before": before, "page": PAGE, "book": book},
                )
                found = cursor.fetchall()
                before = found[-1][7]
                outstanding -= sum(row[4] for row in found[:-1])
                rows += [row[:6] for row in found[:-1] if row[6] == Code.WITHDRAWAL]
                if before is None:
                    break
    return sorted(rows, key=lambda row: row[0])


def _business(calendar: Calendar, day: date, end: date) -> date:
    """This business day or the next; `end`, and so no day, where nobody has published yet which that is."""
    try:
        return calendars.on_or_after(calendar, day)
    except YearWithoutCalendar:
        return end

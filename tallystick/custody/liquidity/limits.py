"""Limits: how much may be withdrawn from a book in a day, and how soon each account's money is free.

Promises: a change is a row with its reason and the day it begins; none is ever overwritten.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from django.db import connections, transaction

from tallystick.core import money
from tallystick.core.db import Db
from tallystick.custody import accounts, assets, books, errors, history, numbers
from tallystick.custody.codes import Code
from tallystick.custody.numbers import Family
from tallystick.evidence import log
from tallystick.identity import access
from tallystick.identity.access import Actor

AFTER_DAYS_MAX = 366


@dataclass(frozen=True, slots=True)
class Limit:
    """What may leave in a day; `per_day_minor` None: no limit."""

    from_day: date
    per_day_minor: int | None
    reason: str
    at: datetime
    actor: str


def limit(db: Db, book: int, asset: str, day: date) -> Limit | None:
    """The limit that holds on a day of the book, if one was ever set."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select l.from_day, l.per_day_minor, l.reason, l.at, l.actor
            from custody_withdrawal_limit l join custody_asset c on c.number = l.asset_id
            where l.book_id = %s and c.code = %s and l.from_day <= %s order by l.id desc limit 1
            """,
            [book, asset, day],
        )
        row = cursor.fetchone()
    return None if row is None else Limit(*row)


def paid(db: Db, book: int, asset: str, day: date) -> int:
    """What was posted as withdrawn to the outside on a day of the book."""
    return sum(
        total.amount_minor
        for total in history.daily_totals(db, book, day, day)
        if total.asset == asset
        and (total.debit_family, total.credit_family, total.code)
        == (Family.CLIENT, Family.EXTERNAL, Code.WITHDRAWAL)
    )


def left(db: Db, book: int, asset: str, *, now: datetime) -> int | None:
    """What of the day's limit is not posted yet; None: no limit. Raises `errors.BookUnknown`."""
    today = books.book(db, book).today(now)
    holds = limit(db, book, asset, today)
    if holds is None or holds.per_day_minor is None:
        return None
    return max(holds.per_day_minor - paid(db, book, asset, today), 0)


def set_limit(
    db: Db,
    book: int,
    asset: str,
    per_day_minor: int | None,
    reason: str,
    *,
    from_day: date,
    actor: Actor,
    now: datetime,
) -> None:
    """Limit what may be withdrawn in a day, from a day on; None lifts the limit.

    Raises `errors.BookUnknown`, `AssetUnknown` or `Malformed`.
    """
    access.require(db, actor, "custody.set_limits")
    if not reason.strip() or len(reason) > 500 or not reason.isprintable():
        raise errors.Malformed(where="limit", field="reason", expected="1 to 500 characters")
    if per_day_minor is not None and not 0 <= per_day_minor <= money.BALANCE_MAX:
        raise errors.Malformed(
            where="limit", field="per_day_minor", expected=f"0 to {money.BALANCE_MAX}, or none"
        )
    books.book(db, book)
    held = assets.asset(db, asset)
    with transaction.atomic(using=db):
        with connections[db].cursor() as cursor:
            cursor.execute(
                "insert into custody_withdrawal_limit"
                " (book_id, asset_id, from_day, per_day_minor, reason, at, actor)"
                " values (%s, %s, %s, %s, %s, %s, %s)",
                [book, held.number, from_day, per_day_minor, reason, now, actor.id],
            )
        log.append(
            db,
            "custody.withdrawals_limited",
            {
                "book": book,
                "asset": asset,
                "from_day": from_day.isoformat(),
                "per_day_minor": None if per_day_minor is None else str(per_day_minor),
                "reason": reason,
            },
            actor=actor.id,
            at=now,
        )


def set_liquid(
    db: Db, account: int, after_days: int | None, reason: str, *, actor: Actor, now: datetime
) -> None:
    """Say how soon a control account's money can be used: 0 at once, None: not to be counted on.

    Raises `errors.AccountUnknown`, `NotAControlAccount` or `Malformed`.
    """
    access.require(db, actor, "custody.set_limits")
    found = accounts.account(db, account)
    if found.family != Family.EXTERNAL:
        raise errors.NotAControlAccount(account=found.text)
    if after_days is not None and not 0 <= after_days <= AFTER_DAYS_MAX:
        raise errors.Malformed(
            where=found.text, field="after_days", expected=f"0 to {AFTER_DAYS_MAX}, or none"
        )
    if not reason.strip() or len(reason) > 500 or not reason.isprintable():
        raise errors.Malformed(where=found.text, field="reason", expected="1 to 500 characters")
    with transaction.atomic(using=db):
        with connections[db].cursor() as cursor:
            cursor.execute(
                "insert into custody_liquid_funds (account_id, after_days, reason, at, actor)"
                " values (%s, %s, %s, %s, %s)",
                [account, after_days, reason, now, actor.id],
            )
        log.append(
            db,
            "custody.liquid_funds_set",
            {"account": found.text, "after_days": after_days, "reason": reason},
            actor=actor.id,
            at=now,
        )


def after_days(db: Db, book: int) -> dict[int, int | None]:
    """How soon each control account's money is free, of those for which it was ever said."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select distinct on (f.account_id) f.account_id, f.after_days
            from custody_liquid_funds f where f.account_id between %s and %s
            order by f.account_id, f.id desc
            """,
            [book * numbers.BOOK_UNIT, (book + 1) * numbers.BOOK_UNIT - 1],
        )
        return dict(cursor.fetchall())

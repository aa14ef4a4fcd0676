"""The day's limit: a payout that would go beyond what a book may pay out today is not released today.

Promises: what is released and not posted yet counts, for the bank may pay it today; one payout after the other
is looked at, so that two at once do not both take what is left. Where there is no limit, nothing is asked.
"""

from __future__ import annotations

from datetime import datetime

from django.db import connections

from tallystick.core import money
from tallystick.core.db import Db
from tallystick.custody import errors
from tallystick.custody.accounts import Account
from tallystick.custody.liquidity import limits


def left(db: Db, account: Account, *, now: datetime) -> int | None:
    """What may still be released today from this account's book in its asset; None: no limit."""
    if limits.left(db, account.book, account.asset, now=now) is None:
        return None
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select pg_advisory_xact_lock(hashtext('custody.payouts.day_limit'), %s)", [account.book]
        )
        cursor.execute(
            """
            select coalesce(sum(p.amount_minor), 0) from custody_payout p cross join lateral (
                select status from custody_payout_step where payout_id = p.id order by number desc limit 1
            ) s
            where p.book_id = %s and p.debit_account / 10000000000 = %s and (
                s.status in ('released', 'batched', 'sent', 'accepted')
                -- Released by rule as soon as it is held.
                or s.status in ('asked', 'pending') and not p.needs_release)
            """,
            [account.book, account.number // 10_000_000_000],
        )
        under_way = int(cursor.fetchone()[0])
    # Read again, behind whoever was before.
    of_day = limits.left(db, account.book, account.asset, now=now)
    return None if of_day is None else max(of_day - under_way, 0)


def require(db: Db, account: Account, amount_minor: int, payout: str, *, now: datetime) -> None:
    """Refuse to release more than is left. Raises `errors.DayLimitReached`."""
    there = left(db, account, now=now)
    if there is not None and amount_minor > there:
        raise errors.DayLimitReached(
            left=money.major(there, account.scale), asset=account.asset, book=account.book, payout=payout
        )

"""Balances: what each client account was owed at a position, as the leaves of a tree are made of.

Every client account opened before the cut-off is there, at zero too: leaving one out is then seen by counting.
A client's debt counts as nothing owed, and is told beside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db import connections

from tallystick.core.db import Db
from tallystick.custody import accounts, numbers
from tallystick.custody.numbers import Family
from tallystick.evidence.liabilities import profile

PAGE = 5_000
"""How many accounts are read at a time."""

Progress = Callable[[int], None]
"""Told how many accounts were read so far."""


@dataclass(slots=True)
class Debts:
    """What clients owe: counted while balances stream by, and never taken off what others are owed."""

    accounts: int = 0
    amount_minor: int = 0


def identifiers(account: int, owner: str) -> tuple[str, str]:
    """What a client knows of their account and nobody else's client has: its number, and the customer number."""
    return numbers.account_text(account), owner


def identifiers_of(account: accounts.Account) -> tuple[str, str]:
    """As `identifiers`, of an account as it is read."""
    return identifiers(account.number, account.owner)


def owed(
    db: Db,
    book: int,
    asset: int,
    *,
    origin: str,
    position: int,
    before: datetime,
    debts: Debts,
    progress: Progress | None = None,
) -> Iterator[tuple[bytes, int]]:
    """Each client account of an asset, opened before the cut-off, and what it was owed at the position."""
    after, done = 0, 0
    while True:
        with connections[db].cursor() as cursor:
            cursor.execute(
                _OWED,
                {
                    "book": book,
                    "asset": asset,
                    "family": int(Family.CLIENT),
                    "before": before,
                    "position": position,
                    "after": after,
                    "page": PAGE,
                },
            )
            rows = cursor.fetchall()
        for number, owner, balance in rows:
            if balance < 0:
                debts.accounts += 1
                debts.amount_minor -= balance
            yield profile.account_id(origin, identifiers(number, owner)), max(balance, 0)
        done += len(rows)
        if progress is not None:
            progress(done)
        if len(rows) < PAGE:
            return
        after = rows[-1][0]


def unallocated(db: Db, book: int, asset: int, position: int) -> int:
    """What is in suspense at a position: money that is somebody's, but in nobody's leaf yet."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            _UNALLOCATED,
            {"book": book, "asset": asset, "family": int(Family.SUSPENSE), "position": position},
        )
        return int(cursor.fetchone()[0])


_LAST = """
left join lateral (
    select credits_posted - debits_posted as balance from custody_entry
    where account = a.number and position <= %(position)s order by position desc limit 1
) last on true
"""

_OWED = f"""
select a.number, a.owner, coalesce(last.balance, 0)
from (
    select number, owner from custody_account
    where book_id = %(book)s and asset_id = %(asset)s and family = %(family)s and opened_at < %(before)s
        and number > %(after)s
    order by number limit %(page)s
) a {_LAST}
order by a.number
"""  # noqa: S608 -- constants of this module

_UNALLOCATED = f"""
select coalesce(sum(greatest(last.balance, 0)), 0) from custody_account a {_LAST}
where a.book_id = %(book)s and a.asset_id = %(asset)s and a.family = %(family)s
"""  # noqa: S608 -- constants of this module

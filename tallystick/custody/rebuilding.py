"""Rebuilding: a book's balances at any moment, added up anew from its transfers alone, beside the ledger's own.

Promises: nothing is read but the transfers up to a position, each of which the log has sealed; wherever the
ledger's own balance is another one, the account is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connections

from tallystick.core.db import Db
from tallystick.custody import errors, history, numbers
from tallystick.custody.models import TransferKind
from tallystick.custody.numbers import Family

TRANSFERS_MAX = 2_000_000
"""Of one rebuild while somebody waits; `tallystick ledger audit` goes through any number."""

DIFFERING_MAX = 20


@dataclass(frozen=True, slots=True)
class Total:
    """A family's totals in one asset as the transfers give them, and as the ledger keeps them."""

    asset: str
    scale: int
    family: Family
    accounts: int
    debits_minor: int
    credits_minor: int
    kept_debits_minor: int
    kept_credits_minor: int

    @property
    def balance_minor(self) -> int:
        """Positive on the family's normal side."""
        posted = self.credits_minor - self.debits_minor
        return posted if numbers.NORMAL_SIDE[self.family] == numbers.Side.CREDIT else -posted

    @property
    def agrees(self) -> bool:
        return (self.debits_minor, self.credits_minor) == (self.kept_debits_minor, self.kept_credits_minor)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A book at a position, rebuilt."""

    position: int
    totals: Sequence[Total]
    differing: Sequence[int]
    """Accounts whose kept balance is another one, the first few."""

    @property
    def agrees(self) -> bool:
        return not self.differing and all(each.agrees for each in self.totals)


def rebuilt(db: Db, book: int, *, at_position: int | None = None, at_time: datetime | None = None) -> Rebuilt:
    """Every balance of a book at a position or a time, out of its transfers.

    Raises `errors.BookUnknown`, `PositionUnknown`, `TimeBeforeBook` or `TooManyToRebuild`.
    """
    position = history.as_of(db, book, at_position=at_position, at_time=at_time)
    if position > TRANSFERS_MAX:
        raise errors.TooManyToRebuild(transfers=position, most=TRANSFERS_MAX)
    values: dict[str, int | list[int]] = {
        "book": book,
        "position": position,
        "kinds": [int(TransferKind.POSTED), int(TransferKind.POST_PENDING)],
        "most": DIFFERING_MAX,
    }
    with connections[db].cursor() as cursor:
        cursor.execute(f"{_REBUILT} {_TOTALS}", values)
        totals = [
            Total(code, scale, Family(family), accounts, *(int(each) for each in sums))
            for code, scale, family, accounts, *sums in cursor.fetchall()
        ]
        cursor.execute(f"{_REBUILT} {_DIFFERING}", values)
        return Rebuilt(position, totals, [number for (number,) in cursor.fetchall()])


_REBUILT = """
with moved as (
    select debit_account as account, amount_minor as debit, 0::bigint as credit from custody_transfer
    where book_id = %(book)s and position <= %(position)s and kind = any(%(kinds)s)
    union all
    select credit_account, 0, amount_minor from custody_transfer
    where book_id = %(book)s and position <= %(position)s and kind = any(%(kinds)s)
), summed as materialized (
    select account, sum(debit) as debits, sum(credit) as credits from moved group by account
), compared as materialized (
    select a.number, a.asset_id, a.family, coalesce(s.debits, 0) as debits, coalesce(s.credits, 0) as credits,
        coalesce(last.debits_posted, 0) as kept_debits, coalesce(last.credits_posted, 0) as kept_credits
    from custody_account a
    left join summed s on s.account = a.number
    left join lateral (
        select debits_posted, credits_posted from custody_entry
        where account = a.number and position <= %(position)s order by position desc limit 1
    ) last on true
    where a.book_id = %(book)s and (s.account is not null or last.debits_posted is not null)
)
"""

_TOTALS = """
select c.code, c.scale, k.family, count(*), sum(k.debits), sum(k.credits), sum(k.kept_debits), sum(k.kept_credits)
from compared k join custody_asset c on c.number = k.asset_id
group by c.code, c.scale, k.family order by c.code, k.family
"""

_DIFFERING = """
select number from compared where debits <> kept_debits or credits <> kept_credits order by number limit %(most)s
"""

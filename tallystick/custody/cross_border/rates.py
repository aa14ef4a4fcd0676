"""Rates: what one unit of an asset is worth in another, with who said so and when.

Promises: a rate is a row and stays; which one holds at a moment is the last said by then, and one that is
older than allowed is refused, never used in silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django.db import connections, transaction

from tallystick.core.db import Db
from tallystick.custody import assets, errors, exchange
from tallystick.evidence import log
from tallystick.identity import access
from tallystick.identity.access import Actor

AGE_MAX = timedelta(hours=24)
"""How old a rate may be for valuing positions."""

QUOTE_AGE_MAX = timedelta(minutes=30)
"""How old a rate may be for a quote to a client."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A recorded rate: `rate` units of `quoted` for one of `base`, in whole units. `rate` is decimal text."""

    id: str
    base: str
    quoted: str
    rate: str
    source: str
    as_of: datetime
    at: datetime
    actor: str

    @property
    def value(self) -> Fraction:
        return Fraction(Decimal(self.rate))

    @property
    def number(self) -> int:
        return int(self.id.removeprefix("rate_"))


def misfit(rate: str, source: str) -> tuple[str, str] | None:
    """The first thing wrong with a rate about to be recorded: the field, and what was expected of it."""
    if exchange.rate_value(rate) is None:
        return "rate", "a positive decimal such as 0.1391, of at most 12 places"
    if not 1 <= len(source.strip()) <= 140 or not source.isprintable():
        return "source", "who said it, 1 to 140 characters"
    return None


def record(
    db: Db, base: str, quoted: str, rate: str, source: str, *, as_of: datetime, actor: Actor, now: datetime
) -> Rate:
    """Record a rate. Raises `errors.AssetUnknown`, `Malformed`, or `RateAhead` where its time is to come."""
    access.require(db, actor, "custody.record_rate")
    if wrong := misfit(rate, source):
        raise errors.Malformed(where=f"rate {base}/{quoted}", field=wrong[0], expected=wrong[1])
    sold, bought = assets.asset(db, base), assets.asset(db, quoted)
    if sold == bought:
        raise errors.Malformed(where="rate", field="quoted", expected=f"another asset than {base}")
    if as_of > now:
        raise errors.RateAhead(as_of=as_of.isoformat())
    with transaction.atomic(using=db):
        with connections[db].cursor() as cursor:
            cursor.execute(
                "insert into custody_exchange_rate (base_id, quoted_id, rate, source, as_of, at, actor)"
                " values (%s, %s, %s, %s, %s, %s, %s) returning id",
                [sold.number, bought.number, rate, source, as_of, now, actor.id],
            )
            number = cursor.fetchone()[0]
        log.append(
            db,
            "custody.rate_recorded",
            {
                "rate_id": f"rate_{number}",
                "base": base,
                "quoted": quoted,
                "rate": rate,
                "source": source,
                "as_of": as_of.isoformat(),
            },
            actor=actor.id,
            at=now,
        )
    return Rate(f"rate_{number}", base, quoted, rate, source, as_of, now, actor.id)


def current(db: Db, base: str, quoted: str, *, now: datetime, age_max: timedelta = AGE_MAX) -> Rate:
    """The rate that holds at this moment: the last said by then, of that the last recorded by then.

    Only in the direction it was recorded: turning a rate round would need a rounding nobody named. Raises
    `errors.RateUnknown`, or `RateStale` where it is older than `age_max`.
    """
    found = _rates(
        db,
        "where b.code = %s and q.code = %s and r.as_of <= %s and r.at <= %s"
        " order by r.as_of desc, r.id desc limit 1",
        [base, quoted, now, now],
    )
    if not found:
        raise errors.RateUnknown(base=base, quoted=quoted, at=now.isoformat())
    if now - found[0].as_of > age_max:
        raise errors.RateStale(
            base=base,
            quoted=quoted,
            as_of=found[0].as_of.isoformat(),
            minutes=int(age_max.total_seconds()) // 60,
        )
    return found[0]


def rates(db: Db, *, limit: int = 100) -> list[Rate]:
    """The rates last recorded, the newest first."""
    return _rates(db, "order by r.id desc limit %s", [limit])


def _rates(db: Db, rest: str, parameters: Sequence[Any]) -> list[Rate]:
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select r.id, b.code, q.code, r.rate, r.source, r.as_of, r.at, r.actor"  # noqa: S608
            " from custody_exchange_rate r join custody_asset b on b.number = r.base_id"
            f" join custody_asset q on q.number = r.quoted_id {rest}",
            parameters,
        )
        return [Rate(f"rate_{row[0]}", *row[1:]) for row in cursor.fetchall()]

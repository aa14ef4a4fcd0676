"""Corridors: from which country and currency to which other money may go, how much, and at what cost.

Promises: no rule, no way; a rule is a row with the day it begins and the law or decision it rests on;
whoever is refused is told which of these it was.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db import connections, transaction

from tallystick.core import money
from tallystick.core.db import Db
from tallystick.core.errors import Refusal
from tallystick.custody import assets, books, errors
from tallystick.evidence import log
from tallystick.identity import access
from tallystick.identity.access import Actor

PERIOD_DAYS_MAX = 366
_COUNTRY = re.compile(r"[A-Z]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a rule says of a corridor. Amounts are minor units of what is sold; None: no limit.

    margin_ppm: how far the client's rate lies below the recorded one, in millionths of it.
    """

    from_country: str
    to_country: str
    sold: str
    bought: str
    allowed: bool
    per_transfer_minor: int | None = None
    per_period_minor: int | None = None
    period_days: int | None = None
    margin_ppm: int = 0
    fee_minor: int = 0
    from_day: date
    reason: str


@dataclass(frozen=True, slots=True)
class Corridor:
    """A recorded rule."""

    id: str
    book: int
    terms: Terms
    at: datetime
    actor: str

    @property
    def number(self) -> int:
        return int(self.id.removeprefix("cor_"))


def misfit(terms: Terms) -> tuple[str, str] | None:
    """The first thing wrong with a rule taken by itself: the field, and what was expected of it."""
    for field in ("from_country", "to_country"):
        if not _COUNTRY.fullmatch(getattr(terms, field)):
            return field, "two capital letters of ISO 3166-1, such as CN"
    if terms.sold == terms.bought:
        return "bought", f"another asset than {terms.sold}"
    for field in ("per_transfer_minor", "per_period_minor"):
        value = getattr(terms, field)
        if value is not None and not 0 <= value <= money.BALANCE_MAX:
            return field, f"0 to {money.BALANCE_MAX}, or none"
    if (terms.per_period_minor is None) != (terms.period_days is None):
        return "period_days", "given with per_period_minor, and with nothing else"
    if terms.period_days is not None and not 1 <= terms.period_days <= PERIOD_DAYS_MAX:
        return "period_days", f"1 to {PERIOD_DAYS_MAX}"
    if not 0 <= terms.margin_ppm < 1_000_000:
        return "margin_ppm", "0 to 999999"
    if not 0 <= terms.fee_minor <= money.AMOUNT_MAX:
        return "fee_minor", f"0 to {money.AMOUNT_MAX}"
    if not terms.reason.strip() or len(terms.reason) > 500 or not terms.reason.isprintable():
        return "reason", "the law or decision it rests on, 1 to 500 characters"
    return None


def refusal(rule: Corridor, sold_minor: int, used_minor: int, scale: int) -> Refusal | None:
    """Why this rule does not let so much through, where so much was used in its period before."""
    terms = rule.terms
    if not terms.allowed:
        return errors.CorridorBlocked(
            from_country=terms.from_country,
            to_country=terms.to_country,
            sold=terms.sold,
            bought=terms.bought,
            reason=terms.reason,
        )
    if terms.per_transfer_minor is not None and sold_minor > terms.per_transfer_minor:
        return errors.CorridorTransferLimit(
            limit=money.major(terms.per_transfer_minor, scale), sold=terms.sold, reason=terms.reason
        )
    if terms.per_period_minor is not None and used_minor + sold_minor > terms.per_period_minor:
        return errors.CorridorPeriodLimit(
            limit=money.major(terms.per_period_minor, scale),
            sold=terms.sold,
            days=terms.period_days,
            used=money.major(used_minor, scale),
            reason=terms.reason,
        )
    return None


def set_rule(db: Db, book: int, terms: Terms, *, actor: Actor, now: datetime) -> Corridor:
    """Record what holds for a corridor from a day on. Raises `errors.Malformed` or `AssetUnknown`."""
    access.require(db, actor, "custody.set_corridor")
    if wrong := misfit(terms):
        raise errors.Malformed(where="corridor", field=wrong[0], expected=wrong[1])
    books.book(db, book)
    sold, bought = assets.asset(db, terms.sold), assets.asset(db, terms.bought)
    with transaction.atomic(using=db):
        with connections[db].cursor() as cursor:
            cursor.execute(
                """
                insert into custody_corridor (book_id, from_country, to_country, sold_id, bought_id, allowed,
                    per_transfer_minor, per_period_minor, period_days, margin_ppm, fee_minor, from_day,
                    reason, at, actor)
                values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) returning id
                """,
                [
                    book,
                    terms.from_country,
                    terms.to_country,
                    sold.number,
                    bought.number,
                    terms.allowed,
                    terms.per_transfer_minor,
                    terms.per_period_minor,
                    terms.period_days,
                    terms.margin_ppm,
                    terms.fee_minor,
                    terms.from_day,
                    terms.reason,
                    now,
                    actor.id,
                ],
            )
            number = cursor.fetchone()[0]
        log.append(
            db,
            "custody.corridor_set",
            {
                "corridor": f"cor_{number}",
                "book": book,
                "from_country": terms.from_country,
                "to_country": terms.to_country,
                "sold": terms.sold,
                "bought": terms.bought,
                "allowed": terms.allowed,
                "per_transfer_minor": _text(terms.per_transfer_minor),
                "per_period_minor": _text(terms.per_period_minor),
                "period_days": terms.period_days,
                "margin_ppm": terms.margin_ppm,
                "fee_minor": str(terms.fee_minor),
                "from_day": terms.from_day.isoformat(),
                "reason": terms.reason,
            },
            actor=actor.id,
            at=now,
        )
    return Corridor(f"cor_{number}", book, terms, now, actor.id)


def rule(
    db: Db, book: int, *, from_country: str, to_country: str, sold: str, bought: str, day: date
) -> Corridor:
    """The rule that holds for a corridor on a day. Raises `errors.CorridorUnknown`: no rule, no way."""
    found = _corridors(
        db,
        "where k.book_id = %s and k.from_country = %s and k.to_country = %s and s.code = %s and b.code = %s"
        " and k.from_day <= %s order by k.id desc limit 1",
        [book, from_country, to_country, sold, bought, day],
    )
    if not found:
        raise errors.CorridorUnknown(
            from_country=from_country, to_country=to_country, sold=sold, bought=bought
        )
    return found[0]


def corridors(db: Db, book: int, day: date) -> list[Corridor]:
    """The rule that holds on a day for every corridor of the book that has one."""
    found = _corridors(
        db,
        "where k.id in (select distinct on (from_country, to_country, sold_id, bought_id) id"
        " from custody_corridor where book_id = %s and from_day <= %s"
        " order by from_country, to_country, sold_id, bought_id, id desc)"
        " order by k.from_country, k.to_country, s.code, b.code",
        [book, day],
    )
    return found


def used_minor(db: Db, rule: Corridor, owner: str, *, now: datetime) -> int:
    """What a client has sold through a corridor in its period: agreed to, and not refused or failed.

    Whatever rule held then: a new one does not wipe out what was used under the old.
    """
    terms = rule.terms
    if terms.period_days is None:
        return 0
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select coalesce(sum(q.sold_minor), 0) from custody_exchange_quote q
            join custody_exchange_consent c on c.quote_id = q.id
            join custody_corridor k on k.id = q.corridor_id
            join custody_asset s on s.number = k.sold_id join custody_asset b on b.number = k.bought_id
            where q.book_id = %s and q.owner = %s and c.at > %s and k.from_country = %s
                and k.to_country = %s and s.code = %s and b.code = %s
                and not exists (select from custody_exchange_outcome o
                    where o.quote_id = q.id and o.status in ('refused', 'failed'))
            """,
            [
                rule.book,
                owner,
                now - timedelta(days=terms.period_days),
                terms.from_country,
                terms.to_country,
                terms.sold,
                terms.bought,
            ],
        )
        return int(cursor.fetchone()[0])


def _corridors(db: Db, rest: str, parameters: Sequence[Any]) -> list[Corridor]:
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select k.id, k.book_id, k.from_country, k.to_country, s.code, b.code, k.allowed,"  # noqa: S608
            " k.per_transfer_minor, k.per_period_minor, k.period_days, k.margin_ppm, k.fee_minor, k.from_day,"
            " k.reason, k.at, k.actor from custody_corridor k"
            " join custody_asset s on s.number = k.sold_id join custody_asset b on b.number = k.bought_id"
            f" {rest}",
            parameters,
        )
        rows = cursor.fetchall()
    return [
        Corridor(
            f"cor_{row[0]}",
            row[1],
            Terms(
                from_country=row[2],
                to_country=row[3],
                sold=row[4],
                bought=row[5],
                allowed=row[6],
                per_transfer_minor=row[7],
                per_period_minor=row[8],
                period_days=row[9],
                margin_ppm=row[10],
                fee_minor=row[11],
                from_day=row[12],
                reason=row[13],
            ),
            row[14],
            row[15],
        )
        for row in rows
    ]


def _text(amount: int | None) -> str | None:
    return None if amount is None else str(amount)

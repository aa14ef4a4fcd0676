"""Deposits: money that customers pay in, from the word that it is on its way to the line that books it.

Promises: a deposit is told with the stage it has reached and when; what the customer announced, or the bank
said early, moves nothing. `deposit_booking` books the lines.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from django.db import connections, transaction

from tallystick.core.db import Db
from tallystick.core.money import AMOUNT_MAX
from tallystick.custody import accounts, books, errors, holders, transfers
from tallystick.custody.holder_models import NotCredited
from tallystick.custody.numbers import AccountNumber
from tallystick.evidence import log
from tallystick.identity import access
from tallystick.identity.access import Actor

ANNOUNCED_MAX = 10
"""The most announced deposits of one account that may be open at once."""
EXPECTED_DAYS = 14
"""How long an announced deposit is waited for."""
NOTICE_DAYS = 10
"""How long a payment that the bank told of early is shown while no statement has it."""


class Stage(StrEnum):
    """How far a deposit has come."""

    ANNOUNCED = "announced"
    NOTICED = "noticed"
    BOOKED = "booked"
    NOT_ARRIVED = "not_arrived"


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A deposit as its owner sees it: when each stage was reached, where it was."""

    account: AccountNumber
    amount_minor: int
    stage: Stage
    announced_at: dt.datetime | None = None
    expected_until: dt.date | None = None
    noticed_at: dt.datetime | None = None
    booking_date: dt.date | None = None
    booked_at: dt.datetime | None = None
    transfer: str | None = None
    position: int | None = None
    payer_name: str = ""

    @property
    def newest_at(self) -> dt.datetime:
        """When it came to the stage it is at."""
        found = self.booked_at or self.noticed_at or self.announced_at
        assert found is not None, "a deposit has been announced, noticed or booked"
        return found


@dataclass(frozen=True, slots=True)
class Unowned:
    """An incoming payment in suspense, and why nobody was credited."""

    id: str
    why: NotCredited
    amount_minor: int
    booking_date: dt.date
    payer_name: str
    payer_account: str
    suspense_account: AccountNumber
    position: int


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────


def composed(
    announced: Sequence[Incoming], noticed: Sequence[Incoming], booked: Sequence[Incoming], today: dt.date
) -> list[Incoming]:
    """One list of deposits, the newest first: a notice takes up the oldest announcement of its amount."""
    waiting = sorted(announced, key=lambda each: each.newest_at)
    told = []
    for notice in sorted(noticed, key=lambda each: each.newest_at):
        match = next((each for each in waiting if each.amount_minor == notice.amount_minor), None)
        if match is not None:
            waiting.remove(match)
            notice = replace(notice, announced_at=match.announced_at, expected_until=match.expected_until)
        told.append(notice)
    late = [
        replace(each, stage=Stage.NOT_ARRIVED)
        if each.expected_until and each.expected_until < today
        else each
        for each in waiting
    ]
    return sorted([*late, *told, *booked], key=lambda each: each.newest_at, reverse=True)


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def incoming(db: Db, account: int, *, today: dt.date, limit: int = 50) -> Sequence[Incoming]:
    """The deposits of a client account, the newest first, each with the stage it has reached."""
    return composed(
        _announced(db, account, limit), _noticed(db, account, today), _booked(db, account, limit), today
    )[:limit]


def unowned(db: Db, book: int, *, before: int | None = None, limit: int = 100) -> Sequence[Unowned]:
    """Incoming payments that went to suspense, the newest first, whatever became of them since."""
    books.book(db, book)
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select id, why, amount_minor, booking_date, payer_name, payer_account, account_id, position
            from custody_deposit where book_id = %s and outcome = 'suspense'
                and (%s::bigint is null or id < %s) order by id desc limit %s
            """,
            [book, before, before, limit],
        )
        return [
            Unowned(
                f"dep_{row[0]}",
                NotCredited(row[1]),
                row[2],
                row[3],
                row[4],
                row[5],
                AccountNumber(row[6]),
                row[7],
            )
            for row in cursor.fetchall()
        ]


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────


def announce(db: Db, account: int, amount_minor: int, *, actor: Actor, now: dt.datetime) -> str:
    """Record a customer's word that money is on its way; its name `ann_…` comes back. It moves nothing.

    Raises `errors.AccountUnknown`, `Malformed` or `AnnouncementsTooMany`.
    """
    found = accounts.account(db, account)
    access.require(db, actor, "custody.announce_deposit", owner=holders.speaker(db, found, actor=actor))
    if not 1 <= amount_minor <= AMOUNT_MAX:
        raise errors.Malformed(where=found.text, field="amount_minor", expected=f"1 to {AMOUNT_MAX}")
    today = books.book(db, found.book).today(now)
    until = today + dt.timedelta(days=EXPECTED_DAYS)
    with transaction.atomic(using=db), connections[db].cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(%s)", [account])
        waiting = [each for each in _announced(db, account, 100) if (each.expected_until or today) >= today]
        if len(waiting) >= ANNOUNCED_MAX:
            raise errors.AnnouncementsTooMany(most=ANNOUNCED_MAX)
        cursor.execute(
            "insert into custody_deposit_announcement (account_id, amount_minor, expected_until, at, actor)"
            " values (%s, %s, %s, %s, %s) returning id",
            [account, amount_minor, until, now, actor.id],
        )
        name = f"ann_{cursor.fetchone()[0]}"
        log.append(
            db,
            "custody.deposit_announced",
            {"announcement": name, "account": found.text, "amount_minor": str(amount_minor)},
            actor=actor.id,
            at=now,
        )
    return name


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


def _announced(db: Db, account: int, limit: int) -> list[Incoming]:
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select amount_minor, at, expected_until from custody_deposit_announcement a
            where account_id = %s and not exists (select from custody_deposit d where d.announcement_id = a.id)
            order by id desc limit %s
            """,
            [account, limit],
        )
        return [
            Incoming(
                account=AccountNumber(account),
                amount_minor=amount,
                stage=Stage.ANNOUNCED,
                announced_at=at,
                expected_until=until,
            )
            for amount, at, until in cursor.fetchall()
        ]


def _noticed(db: Db, account: int, today: dt.date) -> list[Incoming]:
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select amount_minor, at, booking_date from custody_deposit_notice n
            where account_id = %s and booking_date >= %s
                and not exists (select from custody_deposit d where d.notice_id = n.id)
            order by id desc
            """,
            [account, today - dt.timedelta(days=NOTICE_DAYS)],
        )
        return [
            Incoming(
                account=AccountNumber(account),
                amount_minor=amount,
                stage=Stage.NOTICED,
                noticed_at=at,
                booking_date=day,
            )
            for amount, at, day in cursor.fetchall()
        ]


def _booked(db: Db, account: int, limit: int) -> list[Incoming]:
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select d.amount_minor, a.at, a.expected_until, n.at, d.booking_date, d.at, d.transfer, d.position,
                d.payer_name
            from custody_deposit d
            left join custody_deposit_announcement a on a.id = d.announcement_id
            left join custody_deposit_notice n on n.id = d.notice_id
            where d.account_id = %s and d.outcome = 'credited' order by d.id desc limit %s
            """,
            [account, limit],
        )
        return [
            Incoming(
                account=AccountNumber(account),
                amount_minor=row[0],
                stage=Stage.BOOKED,
                announced_at=row[1],
                expected_until=row[2],
                noticed_at=row[3],
                booking_date=row[4],
                booked_at=row[5],
                transfer=transfers.id_text(row[6].bytes),
                position=row[7],
                payer_name=row[8],
            )
            for row in cursor.fetchall()
        ]

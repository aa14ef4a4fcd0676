"""Batches: released payouts told to the bank in one pain.001 file, for a business day.

Promises: a payout is in one batch at most, in this process or any other (its key in the table of lines is the
payout); a batch's file is made again from its rows, byte for byte, so that account numbers need not be kept in
clear; after the cut-off, or on a day of rest, the file asks for the next business day.
"""

from __future__ import annotations

import hashlib
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from django.db import connections, transaction

from tallystick.core import calendars
from tallystick.core.db import Db
from tallystick.custody import accounts, books, errors
from tallystick.custody.payout_models import PayoutStatus
from tallystick.custody.payout_references import end_to_end_id
from tallystick.custody.payouts import bank_accounts, pain001, steps, terms
from tallystick.evidence import log
from tallystick.identity import access
from tallystick.identity.access import Actor

BATCH_MAX = 5_000
"""The most payouts of one file; what is left goes into the next one."""

_BATCH_LOCK = 1952541811
"""First key of the advisory lock under which a book's batches are made, one after another."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch. `sent_at`: when it was handed to the bank, if it was."""

    id: int
    book: int
    terms: int
    asset: str
    scale: int
    message_id: str
    execution_date: date
    payouts: int
    sum_minor: int
    sha256: bytes
    at: datetime
    actor: str
    sent_at: datetime | None

    @property
    def reference(self) -> str:
        """The id as shown outside."""
        return f"pbt_{self.id}"

    @property
    def file_name(self) -> str:
        return f"{self.message_id}.pain.001.xml"


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def batch(db: Db, batch_id: int) -> Batch:
    """The batch of this number. Raises `errors.PayoutBatchUnknown`."""
    for found in _batches(db, "b.id = %s", [batch_id], limit=1):
        return found
    raise errors.PayoutBatchUnknown(batch=f"pbt_{batch_id}")


def batches(db: Db, book: int, *, before: int | None = None, limit: int = 50) -> Sequence[Batch]:
    """A book's batches, the newest first; `before` continues a page."""
    return _batches(
        db, "b.book_id = %s and (%s::bigint is null or b.id < %s)", [book, before, before], limit=limit
    )


def batch_of_message(db: Db, book: int, message_id: str) -> Batch | None:
    """The batch that this message is about, if it is one of the book's."""
    found = _batches(db, "b.book_id = %s and b.message_id = %s", [book, message_id], limit=1)
    return found[0] if found else None


def payouts_of(db: Db, batch_id: int) -> dict[str, tuple[int, int]]:
    """The payouts of a batch: end-to-end id → number and amount."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select p.book_id, p.id, p.amount_minor from custody_payout_batch_line l"
            " join custody_payout p on p.id = l.payout_id where l.batch_id = %s order by l.number",
            [batch_id],
        )
        return {end_to_end_id(row[0], row[1]): (row[1], row[2]) for row in cursor.fetchall()}


def file_bytes(db: Db, batch_id: int, *, actor: Actor) -> bytes:
    """The batch's pain.001 file: account numbers in clear, so only for who sends it to the bank."""
    access.require(db, actor, "custody.send_payouts")
    held = batch(db, batch_id)
    content = pain001.written(_message(db, held))
    assert hashlib.sha256(content).digest() == held.sha256, (
        f"{held.reference} is no longer the file that was made"
    )
    return content


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────


def make(db: Db, book: int, asset_number: int, *, actor: Actor, now: datetime) -> Batch:
    """Put every released payout of an asset, the oldest first, into a batch.

    Left out: those whose bank details have changed since. Raises `errors.BookUnknown`, `PayoutTermsMissing`,
    `NothingToBatch`, or `YearWithoutCalendar` of core.
    """
    access.require(db, actor, "custody.send_payouts")
    zone = books.book(db, book).time_zone
    held = terms.current(db, book, asset_number)
    execution = calendars.business_date(now, calendar=held.calendar, time_zone=zone, cut_off=held.cut_off)
    with transaction.atomic(using=db):
        with connections[db].cursor() as cursor:
            cursor.execute("select pg_advisory_xact_lock(%s, %s)", [_BATCH_LOCK, book])
        taken = _released(db, book, held.bank_account)
        if not taken:
            raise errors.NothingToBatch
        standing = steps.hold_still(db, [payout for payout, _ in taken])
        taken = [each for each in taken if standing[each[0]] == PayoutStatus.RELEASED]
        made = _write(db, book, held, execution, taken, actor=actor, now=now)
        steps.take(
            db,
            [payout for payout, _ in taken],
            PayoutStatus.BATCHED,
            reason=made.reference,
            actor=actor,
            now=now,
        )
        log.append(
            db,
            "custody.payout_batch_made",
            {
                "batch": made.reference,
                "message_id": made.message_id,
                "execution_date": execution.isoformat(),
                "payouts": made.payouts,
                "sum_minor": str(made.sum_minor),
                "sha256": made.sha256.hex(),
            },
            actor=actor.id,
            at=now,
        )
    return made


def mark_sent(db: Db, batch_id: int, *, actor: Actor, now: datetime) -> Batch:
    """Say that the file was handed to the bank; twice is once."""
    access.require(db, actor, "custody.send_payouts")
    held = batch(db, batch_id)
    inside = [payout for payout, _ in payouts_of(db, held.id).values()]
    with transaction.atomic(using=db):
        standing = steps.hold_still(db, inside)
        waiting = [payout for payout in inside if standing[payout] == PayoutStatus.BATCHED]
        steps.take(db, waiting, PayoutStatus.SENT, reason=held.reference, actor=actor, now=now)
        if waiting:
            log.append(
                db,
                "custody.payout_batch_sent",
                {"batch": held.reference, "sha256": held.sha256.hex()},
                actor=actor.id,
                at=now,
            )
    return batch(db, batch_id)


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


def _released(db: Db, book: int, bank_account: int) -> list[tuple[int, int]]:
    """Released payouts of this control account, with their amounts, on details that still hold."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select p.id, p.amount_minor from custody_payout_step s
            join custody_payout p on p.id = s.payout_id
            join custody_bank_account_change c on c.id = p.bank_details_id
            where s.status = 'released' and p.book_id = %s and p.credit_account = %s
                and not exists (select from custody_payout_step later
                    where later.payout_id = p.id and later.number > s.number)
                and not exists (select from custody_bank_account_change newer
                    where newer.bank_account_id = c.bank_account_id and newer.number > c.number
                        and (newer.details_at > c.details_at or newer.status = 'closed'))
            order by p.id limit %s
            """,
            [book, bank_account, BATCH_MAX],
        )
        return list(cursor.fetchall())


def _write(
    db: Db,
    book: int,
    held: terms.Terms,
    execution: date,
    taken: Sequence[tuple[int, int]],
    *,
    actor: Actor,
    now: datetime,
) -> Batch:
    with connections[db].cursor() as cursor:
        cursor.execute("select nextval(pg_get_serial_sequence('custody_payout_batch', 'id'))")
        batch_id = cursor.fetchone()[0]
    paying = accounts.account(db, held.bank_account)
    made = Batch(
        id=batch_id,
        book=book,
        terms=held.id,
        asset=paying.asset,
        scale=paying.scale,
        message_id=f"PBT-{book}-{batch_id:08d}",
        execution_date=execution,
        payouts=len(taken),
        sum_minor=sum(amount for _, amount in taken),
        sha256=b"",
        at=now,
        actor=actor.id,
        sent_at=None,
    )
    message = _message(db, made, [payout for payout, _ in taken])
    assert message.sum_minor == made.sum_minor, "the file's sum is the batch's"
    with connections[db].cursor() as cursor:
        cursor.execute(
            "insert into custody_payout_batch (id, book_id, terms_id, message_id, execution_date, payouts, sum_minor,"
            " sha256, at, actor) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                batch_id, book, held.id, made.message_id, execution, made.payouts, made.sum_minor,
                hashlib.sha256(pain001.written(message)).digest(), now, actor.id,
            ],
        )  # fmt: skip
        cursor.execute(
            "insert into custody_payout_batch_line (batch_id, payout_id, number)"
            " select %s, payout, number from unnest(%s::bigint[]) with ordinality as taken (payout, number)",
            [batch_id, [payout for payout, _ in taken]],
        )
    return batch(db, batch_id)


def _message(db: Db, made: Batch, payouts: Sequence[int] | None = None) -> pain001.Message:
    """What the file says: of these payouts, or of those in the batch's lines."""
    held = terms.terms(db, made.terms)
    zone = zoneinfo.ZoneInfo(books.book(db, made.book).time_zone)
    if payouts is None:
        payouts = [payout for payout, _ in payouts_of(db, made.id).values()]
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select p.id, p.amount_minor, p.note, c.id, c.holder_name, c.bank_name, c.bic, c.cnaps"
            " from custody_payout p join custody_bank_account_change c on c.id = p.bank_details_id"
            " join unnest(%s::bigint[]) with ordinality as wanted (id, ordinal) on wanted.id = p.id order by ordinal",
            [list(payouts)],
        )
        rows = cursor.fetchall()
    clear = bank_accounts.clear_numbers(db, [row[3] for row in rows])
    return pain001.Message(
        message_id=made.message_id,
        created_at=made.at.astimezone(zone),
        execution_date=made.execution_date,
        debtor_name=held.debtor_name,
        debtor_account=held.debtor_account,
        debtor_bic=held.debtor_bic,
        currency=made.asset,
        scale=made.scale,
        payments=[
            pain001.Payment(
                end_to_end_id=end_to_end_id(made.book, payout),
                amount_minor=amount,
                creditor_name=holder,
                creditor_account=clear[change],
                bank_name=bank_name,
                bic=bic,
                cnaps=cnaps,
                note=note,
            )
            for payout, amount, note, change, holder, bank_name, bic, cnaps in rows
        ],
    )


_SELECT = """
select b.id, b.book_id, b.terms_id, a.code, a.scale, b.message_id, b.execution_date, b.payouts, b.sum_minor, b.sha256,
    b.at, b.actor, (
        select min(s.at) from custody_payout_batch_line l
        join custody_payout_step s on s.payout_id = l.payout_id and s.status = 'sent' where l.batch_id = b.id
    )
from custody_payout_batch b
join custody_payout_terms t on t.id = b.terms_id
join custody_asset a on a.number = t.bank_account_id / 10000000000 %% 10000
"""


def _batches(db: Db, where: str, parameters: Sequence[int | str | None], *, limit: int) -> list[Batch]:
    with connections[db].cursor() as cursor:
        cursor.execute(f"{_SELECT} where {where} order by b.id desc limit %s", [*parameters, limit])
        found = [list(row) for row in cursor.fetchall()]
    for row in found:
        row[9] = bytes(row[9])
    return [Batch(*row) for row in found]

"""Returns: payouts that the bank's statements tell of: booked, or come back.

Promises: a payout that came back is back on the client's account by itself, once, whether a notification, a
statement or both tell of it; a return that names no payout of ours waits in suspense; every statement file of a
paying account is read once, whoever imported it. A line that carries a payout's reference is this module's.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

from django.db import connections, transaction

from tallystick.core.db import Db
from tallystick.custody import ledger, numbers, pay_in, statement_files
from tallystick.custody.codes import Code
from tallystick.custody.numbers import BookId
from tallystick.custody.payout_models import PayoutStatus
from tallystick.custody.payout_references import payout_of
from tallystick.custody.payouts import postings, steps
from tallystick.custody.statements import file as statement_file
from tallystick.custody.statements.rows import Entry
from tallystick.custody.transfers import TransferRequest
from tallystick.evidence import log

_S = PayoutStatus
FILES_MAX = 5
"""The most statement files read in one beat."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a statement says of one payment. `payout` is nothing where it names none of this book's."""

    line: int
    payout: int | None
    amount_minor: int
    is_return: bool
    reason: str
    reference: str


def told_in(entry: Entry, book: int) -> Iterator[Told]:
    """What an entry says of payouts: money that went out under one's reference, and money that came back.

    An entry of several payments speaks through its details; those without an amount of their own say nothing.
    """
    for detail in entry.details or (None,):
        end_to_end_id = detail.end_to_end_id if detail is not None else entry.end_to_end_id
        amount = detail.amount_minor if detail is not None and detail.amount_minor is not None else None
        if amount is None and len(entry.details) <= 1:
            amount = entry.amount_minor
        if amount is None or amount == 0:
            continue
        named = payout_of(end_to_end_id)
        payout = named[1] if named is not None and named[0] == book else None
        reason = detail.return_reason if detail is not None else ""
        is_return = amount > 0 and bool(reason or entry.reversal or payout is not None)
        if payout is not None or (is_return and reason):
            line = detail.line if detail is not None else entry.line
            yield Told(
                line, payout, abs(amount), is_return, reason, end_to_end_id or entry.servicer_reference
            )


def advance(db: Db, book: int, *, now: datetime) -> int:
    """Read the statement files of paying accounts that have not been read yet. Returns how many were."""
    unread = _unread(db, book)
    for file_id, bank_account, sha256, name, format_name in unread:
        content = b"".join(statement_files.content(db, f"stm_{file_id}"))
        entries = [row for row in statement_file.reader(io.BytesIO(content)).read() if isinstance(row, Entry)]
        told = [each for entry in entries for each in told_in(entry, book)]
        # The ledger first, under ids of the file's own: a crash before the rows repeats them and nothing else.
        orphans = _to_suspense(db, book, bank_account, sha256, told, now)
        with transaction.atomic(using=db):
            _take(db, book, sha256, name, format_name, told, orphans, now=now)
        postings.advance(db, book, now=now)
    return len(unread)


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


def _unread(db: Db, book: int) -> list[tuple[int, int, bytes, str, str]]:
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select f.id, f.bank_account_id, f.sha256, f.name, f.format from custody_statement_file f
            where f.bank_account_id in (select distinct credit_account from custody_payout where book_id = %s)
                and not exists (
                    select from custody_payout_report r where r.book_id = %s and r.sha256 = f.sha256)
            order by f.id limit %s
            """,
            [book, book, FILES_MAX],
        )
        return [(row[0], row[1], bytes(row[2]), row[3], row[4]) for row in cursor.fetchall()]


def _to_suspense(
    db: Db, book: int, bank_account: int, sha256: bytes, told: Sequence[Told], now: datetime
) -> set[int]:
    """Returns that name no payout of ours, posted to suspense; the lines that were.

    Where deposits are taken by themselves, they take these lines too: then nothing is done here.
    """
    taken_elsewhere = pay_in.of_account(db, bank_account)
    suspense = postings.suspense_account(db, book, numbers.asset_of(bank_account))
    orphans = [each for each in told if each.payout is None and each.is_return]
    if not orphans or suspense is None or (taken_elsewhere is not None and taken_elsewhere.details.is_open):
        return set()
    results = ledger.post(
        db,
        BookId(book),
        [
            TransferRequest(
                id=str(uuid5(NAMESPACE_URL, f"urn:tallystick:payout-return:{sha256.hex()}:{each.line}")),
                debit_account=numbers.account_text(bank_account),
                credit_account=numbers.account_text(suspense),
                amount_minor=each.amount_minor,
                code=Code.UNIDENTIFIED_RECEIPT.text,
                reference=each.reference[:140] or None,
            )
            for each in orphans
        ],
        actor=postings.ACTOR,
        now=now,
    )
    return {each.line for i, each in enumerate(orphans) if results.refusal_of(i) is None}


def _take(
    db: Db,
    book: int,
    sha256: bytes,
    name: str,
    format_name: str,
    told: Sequence[Told],
    orphans: set[int],
    *,
    now: datetime,
) -> None:
    with connections[db].cursor() as cursor:
        cursor.execute(
            "insert into custody_payout_report (book_id, batch_id, name, format, message_id, sha256, at, actor)"
            " values (%s, null, %s, %s, '', %s, %s, %s) on conflict do nothing returning id",
            [book, name, format_name, sha256, now, postings.ACTOR.id],
        )
        row = cursor.fetchone()
    if row is None:
        return  # Another process read it a moment ago.
    amounts = _amounts(db, book, [each.payout for each in told if each.payout is not None])
    steps.hold_still(db, amounts)
    for each in told:
        if each.payout is None:
            outcome = "suspense" if each.line in orphans else "unchanged"
        elif each.payout not in amounts:
            outcome = "contradicts"
        else:
            outcome = _follow(db, row[0], each, amounts[each.payout], now=now)
        with connections[db].cursor() as cursor:
            cursor.execute(
                "insert into custody_payout_report_line (report_id, line, payout_id, code, reason, amount_minor,"
                " outcome) values (%s, %s, %s, %s, %s, %s, %s)",
                [
                    row[0], each.line, each.payout if each.payout in amounts else None,
                    "RTRN" if each.is_return else "BOOK", each.reason[:200], each.amount_minor, outcome,
                ],
            )  # fmt: skip
    if told:
        log.append(
            db,
            "custody.payout_report_imported",
            {
                "report": f"rpt_{row[0]}",
                "batch": None,
                "sha256": sha256.hex(),
                "format": format_name,
                "outcomes": {},
            },
            actor=postings.ACTOR.id,
            at=now,
        )


def _follow(db: Db, report: int, each: Told, ordered_minor: int, *, now: datetime) -> str:
    """Take a payout to settled, or on to returned, if that is where it goes from here."""
    assert each.payout is not None
    stands = steps.standing(db, [each.payout])[each.payout][1]
    reason = f"rpt_{report} {each.reason}".strip()
    if each.is_return and stands == _S.RETURNED:
        return "duplicate"
    if stands == _S.BATCHED:
        steps.take(db, [each.payout], _S.SENT, reason=reason, actor=postings.ACTOR, now=now)
        stands = _S.SENT
    if each.amount_minor > ordered_minor or (not each.is_return and each.amount_minor != ordered_minor):
        return "contradicts"
    if not each.is_return and stands in (_S.SETTLED, _S.RETURNED):
        return "unchanged"
    if stands in (_S.SENT, _S.ACCEPTED):
        # What comes back went out, whether or not the bank said so.
        steps.take(db, [each.payout], _S.SETTLED, reason=reason, actor=postings.ACTOR, now=now)
        stands = _S.SETTLED
        if not each.is_return:
            return "applied"
    if stands != _S.SETTLED:
        return "contradicts"
    steps.take(db, [each.payout], _S.RETURNED, reason=reason, actor=postings.ACTOR, now=now)
    return "applied"


def _amounts(db: Db, book: int, payouts: Sequence[int]) -> dict[int, int]:
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select id, amount_minor from custody_payout where book_id = %s and id = any(%s)",
            [book, sorted(set(payouts))],
        )
        return dict(cursor.fetchall())

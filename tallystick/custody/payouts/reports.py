"""Reports: the bank's answers to batches, imported; each payout follows what the bank says of it.

Promises: a file is taken whole or refused whole, and the same file once; what it says of a payout that has ended
otherwise is kept and shown, and changes nothing; a rejection gives the client's money back by itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from django.db import connections, transaction

from tallystick.core.db import Db
from tallystick.custody import errors
from tallystick.custody.payout_models import PayoutStatus
from tallystick.custody.payouts import batches, pain002, postings, steps
from tallystick.custody.payouts.batches import Batch
from tallystick.custody.payouts.pain002 import Meaning
from tallystick.custody.statements.errors import NotAStatement
from tallystick.evidence import log
from tallystick.identity import access
from tallystick.identity.access import Actor

BYTES_MAX = 64 << 20
"""The largest answer taken."""

_S = PayoutStatus
_TO = {Meaning.ACCEPTED: _S.ACCEPTED, Meaning.SETTLED: _S.SETTLED, Meaning.REJECTED: _S.REJECTED}


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of an answer: how many payouts it moved, left, or contradicted."""

    report: str
    repeated: bool
    batch: str
    format_name: str
    outcomes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Told:
    """What the bank said of a payout, and what was made of it."""

    report: str
    name: str
    line: int
    code: str
    reason: str
    outcome: str
    amount_minor: int | None
    at: datetime


@dataclass(frozen=True, slots=True)
class File:
    """A file in which the bank tells what became of payouts: an answer to a batch, or a statement."""

    book: int
    batch: Batch | None
    name: str
    format_name: str
    message_id: str
    sha256: bytes


class Word(NamedTuple):
    """What a file says of one payout, and what is made of it."""

    line: int
    payout: int | None
    code: str
    reason: str
    outcome: str
    amount_minor: int | None = None


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def told_of(db: Db, payout_id: int) -> Sequence[Told]:
    """Everything the bank said of a payout, the first word first."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select l.report_id, r.name, l.line, l.code, l.reason, l.outcome, l.amount_minor, r.at"
            " from custody_payout_report_line l join custody_payout_report r on r.id = l.report_id"
            " where l.payout_id = %s order by l.id",
            [payout_id],
        )
        return [Told(f"rpt_{row[0]}", *row[1:]) for row in cursor.fetchall()]


def contradictions(db: Db, book: int) -> Sequence[tuple[int | None, Told]]:
    """What the bank said against what is known: people look, nothing moved. No payout: one the book never had."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select l.payout_id, l.report_id, r.name, l.line, l.code, l.reason, l.outcome, l.amount_minor, r.at"
            " from custody_payout_report_line l join custody_payout_report r on r.id = l.report_id"
            " where r.book_id = %s and l.outcome = 'contradicts' order by l.id desc limit 100",
            [book],
        )
        return [(row[0], Told(f"rpt_{row[1]}", *row[2:])) for row in cursor.fetchall()]


# ── action ───────────────────────────────────────────────────────────────────────────────────────────────


def import_answer(db: Db, book: int, name: str, content: bytes, *, actor: Actor, now: datetime) -> Imported:
    """Take a pain.002 file and let each payout follow it.

    Raises `errors.NotAPayoutReport`, `PayoutReportOfAnother`, `PayoutReportPayoutUnknown`,
    `PayoutReportAmountDiffers`, or why the file cannot be read (`statements.errors`).
    """
    access.require(db, actor, "custody.import_statement")
    if not 0 < len(content) <= BYTES_MAX:
        raise errors.Malformed(where="file", field="length", expected=f"1 to {BYTES_MAX} bytes")
    digest = hashlib.sha256(content).digest()
    if (known := _known(db, book, digest)) is not None:
        return known
    batch, answer = _of_batch(db, book, content)
    inside = batches.payouts_of(db, batch.id)
    _judge(answer, batch, inside)
    said = {line.end_to_end_id: (line.line, line.status) for line in answer.lines}
    if answer.group is not None and answer.group.meaning != Meaning.PARTLY:
        for end_to_end_id in inside.keys() - said.keys():
            said[end_to_end_id] = (answer.group.line, answer.group)
    with transaction.atomic(using=db):
        standing = steps.hold_still(db, [payout for payout, _ in inside.values()])
        file = File(book, batch, name[-255:], answer.format_name, answer.message_id, digest)
        report = begin(db, file, actor=actor, now=now)
        if report is None:
            known = _known(db, book, digest)
            assert known is not None, "a report that was taken before is there"
            return known
        words = _follow(
            db, [(inside[each][0], *said[each]) for each in sorted(said)], standing, actor=actor, now=now
        )
        outcomes = keep(db, report, file, words, actor=actor, now=now)
    # What the bank said stands; where the ledger takes nothing now, the pulse asks it later.
    with contextlib.suppress(errors.PostingStopped):
        postings.advance(db, book, now=now)
    return Imported(f"rpt_{report}", False, batch.reference, answer.format_name, dict(outcomes))


# ── for `returns` too ────────────────────────────────────────────────────────────────────────────────────


def begin(db: Db, file: File, *, actor: Actor, now: datetime) -> int | None:
    """Write down that a file is taken, in the transaction that takes it; nothing where it was taken before."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "insert into custody_payout_report (book_id, batch_id, name, format, message_id, sha256, at, actor)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing returning id",
            [
                file.book, None if file.batch is None else file.batch.id, file.name, file.format_name,
                file.message_id, file.sha256, now, actor.id,
            ],
        )  # fmt: skip
        row = cursor.fetchone()
    return None if row is None else int(row[0])


def keep(
    db: Db, report: int, file: File, words: Sequence[Word], *, actor: Actor, now: datetime
) -> Counter[str]:
    """Keep every word of a file, and tell of them; how many had which outcome."""
    outcomes = Counter(each.outcome for each in words)
    with connections[db].cursor() as cursor:
        cursor.executemany(
            "insert into custody_payout_report_line (report_id, line, payout_id, code, reason, outcome, amount_minor)"
            " values (%s, %s, %s, %s, %s, %s, %s)",
            [(report, *each) for each in words],
        )
    log.append(
        db,
        "custody.payout_report_imported",
        {
            "report": f"rpt_{report}",
            "batch": None if file.batch is None else file.batch.reference,
            "sha256": file.sha256.hex(),
            "format": file.format_name,
            "outcomes": dict(sorted(outcomes.items())),
        },
        actor=actor.id,
        at=now,
    )
    return outcomes


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


def _of_batch(db: Db, book: int, content: bytes) -> tuple[Batch, pain002.Answer]:
    """The answer, and the batch it answers. The currency to read amounts in is the batch's: so read it twice."""
    try:
        # Which batch, whatever the currency: amounts are judged in the second reading.
        original, line = pain002.original_of(io.BytesIO(content))
    except NotAStatement as other:
        raise errors.NotAPayoutReport(format=other.format_name) from other
    batch = batches.batch_of_message(db, book, original)
    if batch is None:
        raise errors.PayoutReportOfAnother(line=line, message_id=original[:35], book=book)
    return batch, pain002.read(io.BytesIO(content), currency=batch.asset, scale=batch.scale)


def _judge(answer: pain002.Answer, batch: Batch, inside: Mapping[str, tuple[int, int]]) -> None:
    for line in answer.lines:
        if line.end_to_end_id not in inside:
            raise errors.PayoutReportPayoutUnknown(
                line=line.line, end_to_end_id=line.end_to_end_id[:35], batch=batch.reference
            )
        payout, amount = inside[line.end_to_end_id]
        if line.amount_minor not in (None, amount):
            raise errors.PayoutReportAmountDiffers(
                line=line.line, payout=f"pay_{payout}", found_minor=line.amount_minor, expected_minor=amount
            )


def outcome_of(stands: PayoutStatus, meaning: Meaning) -> str:
    """What the bank's word makes of a payout that stands here: applied, unchanged or contradicts.

    A batch that is answered was sent, whoever forgot to say so.
    """
    to = _TO.get(meaning)
    if stands == _S.BATCHED:
        stands = _S.SENT
    if (
        to is None
        or to == stands
        or (to in (_S.ACCEPTED, _S.SETTLED) and stands in (_S.SETTLED, _S.RETURNED))
    ):
        return "unchanged"
    return "applied" if to in steps.NEXT[stands] else "contradicts"


def _follow(
    db: Db,
    said: Sequence[tuple[int, int, pain002.Status]],
    standing: Mapping[int, PayoutStatus],
    *,
    actor: Actor,
    now: datetime,
) -> list[Word]:
    """Take each payout to where the bank says it is, as many at once as go the same way for the same reason."""
    unsent = [payout for payout, _, _ in said if standing[payout] == _S.BATCHED]
    steps.take(db, unsent, _S.SENT, reason="answered", actor=actor, now=now)
    moved: dict[tuple[PayoutStatus, str], list[int]] = {}
    words = []
    for payout, line, status in said:
        outcome = outcome_of(standing[payout], status.meaning)
        words.append(Word(line, payout, status.code, status.reason, outcome))
        if outcome == "applied":
            reason = " ".join(filter(None, (status.code, status.reason)))[:200]
            moved.setdefault((_TO[status.meaning], reason), []).append(payout)
    for (to, reason), payouts in moved.items():
        steps.take(db, payouts, to, reason=reason, actor=actor, now=now)
    return words


def _known(db: Db, book: int, digest: bytes) -> Imported | None:
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select r.id, r.batch_id, r.format, l.outcome, count(l.id) from custody_payout_report r"
            " left join custody_payout_report_line l on l.report_id = r.id"
            " where r.book_id = %s and r.sha256 = %s group by 1, 2, 3, 4",
            [book, digest],
        )
        rows = cursor.fetchall()
    if not rows:
        return None
    outcomes = {row[3]: row[4] for row in rows if row[3] is not None}
    return Imported(f"rpt_{rows[0][0]}", True, f"pbt_{rows[0][1]}", rows[0][2], outcomes)

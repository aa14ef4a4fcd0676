"""Proofs: each day's segregation proof, made, chained, signed off by two people, and read again.

Promises: a proof is appended and never changed; it names the digest of the one before; its accounts are read
again from the ledger at its position and must hash to what it says; whoever proposed its sign-off is not who
gives it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connections, transaction

from tallystick.core.db import Db
from tallystick.core.files import Sink
from tallystick.custody import accounts, assets, books, errors, reconciliation
from tallystick.custody.numbers import BookId
from tallystick.custody.safeguarding import arrangements, close, comparison, proof_file
from tallystick.custody.safeguarding.comparison import (
    AccountRole,
    Finding,
    KnownBy,
    Position,
    Proposal,
    Result,
)
from tallystick.evidence import canonical, log
from tallystick.identity import access, approvals
from tallystick.identity.access import Actor
from tallystick.identity.approvals import Approval

SIGN_OFF = "custody.sign_off_proof"
"""The kind of approval by which a proof is signed off."""

PROOF_LOCK = 1952541806
"""First key of the advisory lock under which a book's proofs follow one another; the second is the book."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof as it was recorded. `header` is the JSON that its digest is over."""

    id: str
    """`sgp_` and a number."""
    book: BookId
    number: int
    day: dt.date
    position: int
    result: Result
    header_text: str
    accounts: int
    accounts_digest: bytes
    previous_digest: bytes | None
    digest: bytes
    at: dt.datetime
    actor: str

    @property
    def header(self) -> dict[str, Any]:
        return json.loads(self.header_text)  # type: ignore[no-any-return]

    @property
    def positions(self) -> tuple[Position, ...]:
        return proof_file.parsed(self.header)

    @property
    def findings(self) -> tuple[Finding, ...]:
        return proof_file.findings_of(self.header)

    @property
    def proposals(self) -> tuple[Proposal, ...]:
        return proof_file.proposals_of(self.header)


@dataclass(frozen=True, slots=True)
class Day:
    """One asset of a book's newest proof of a day: a point of the chart."""

    day: dt.date
    proof: str
    result: Result
    asset: str
    scale: int
    requirement_minor: int
    ledger_resource_minor: int
    custodian_resource_minor: int | None
    shortfall_minor: int
    excess_minor: int


class AccountsChanged(Exception):
    """The ledger no longer gives the lines a proof was made of: somebody has changed what was written."""


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────


def sign_off_state(proof: Proof) -> canonical.Payload:
    """What two people sign: this proof, by its digest, with the result it came to."""
    return {
        "proof": proof.id,
        "book": proof.book,
        "day": proof.day.isoformat(),
        "digest": proof.digest.hex(),
        "result": str(proof.result),
    }


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def proof(db: Db, proof_id: str) -> Proof:
    """One proof. Raises `errors.ProofUnknown`."""
    for found in _proofs(db, "id = %s", [_number(proof_id)], 1):
        return found
    raise errors.ProofUnknown(proof=proof_id)


def proofs(db: Db, book: int, *, before: int | None = None, limit: int = 50) -> Sequence[Proof]:
    """The proofs of a book, the newest first; `before` (a number) continues a page."""
    return _proofs(db, "book_id = %s and (%s::bigint is null or number < %s)", [book, before, before], limit)


def of_day(db: Db, book: int, day: dt.date) -> Proof | None:
    """The newest proof of a day."""
    return next(iter(_proofs(db, "book_id = %s and day = %s", [book, day], 1)), None)


def days(db: Db, book: int, *, limit: int = 366) -> Sequence[Day]:
    """The newest proof of each of the last days, an entry for each asset, the oldest first."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select p.day, p.id, p.result, c.code, c.scale, a.requirement_minor, a.ledger_resource_minor,
                a.custodian_resource_minor, a.shortfall_minor, a.excess_minor
            from (
                select distinct on (day) id, day, result from custody_safeguarding_proof
                where book_id = %s order by day desc, number desc limit %s
            ) p
            join custody_safeguarding_position a on a.proof_id = p.id
            join custody_asset c on c.number = a.asset_id
            order by p.day, c.code
            """,
            [book, limit],
        )
        return [Day(row[0], f"sgp_{row[1]}", Result(row[2]), *row[3:]) for row in cursor.fetchall()]


def lines(
    db: Db, found: Proof, *, progress: close.Progress | None = None
) -> Iterator[Mapping[str, canonical.Value]]:
    """The accounts of a proof, read again; raises `AccountsChanged` at the end where they are others."""
    digest = hashlib.sha256()
    for line in close.lines(db, found.book, found.position, progress=progress):
        told = line.spelled()
        digest.update(close.line_bytes(told))
        yield told
    if digest.digest() != found.accounts_digest:
        raise AccountsChanged(f"{found.id}: the accounts hash to {digest.hexdigest()}")


def write_file(db: Db, found: Proof, out: Sink, *, progress: close.Progress | None = None) -> None:
    """Write the proof's JSON file. Raises `AccountsChanged`."""
    proof_file.write(
        out, found.header_text, lines(db, found, progress=progress), sign_off=_signed(sign_off(db, found))
    )


def sign_off(db: Db, found: Proof) -> Approval | None:
    """The sign-off that waits or stands for this proof; nothing where nobody has proposed one."""
    past = approvals.past(db, SIGN_OFF, found.id)
    return next(
        (
            each
            for each in reversed(past)
            if each.outcome in (None, approvals.Outcome.APPROVED, approvals.Outcome.REJECTED)
        ),
        None,
    )


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────


def prove(
    db: Db,
    book: int,
    day: dt.date,
    *,
    actor: Actor,
    now: dt.datetime,
    progress: close.Progress | None = None,
) -> Proof:
    """Prove a day that is over: compare, judge, record, and chain to the proof before.

    Custodians' statements that nobody has reconciled to their last day yet are reconciled first. A day may
    be proved again, when a statement has come or a shortfall was covered: the newest proof of a day counts.
    Raises `errors.BookUnknown`, `TimeBeforeBook` or `DayNotOver`.
    """
    access.require(db, actor, "custody.prove_safeguarding")
    found = books.book(db, book)
    close.day_over(found, day, now=now)
    position = close.position_of(db, found, day)
    declared = arrangements.declared(db, book)
    stated = _stated(db, declared, day)
    _reconcile_first(db, book, stated, position, actor=actor, now=now)
    with transaction.atomic(using=db):
        with connections[db].cursor() as cursor:
            # One after the other: each names the digest of the one before it.
            cursor.execute("select pg_advisory_xact_lock(%s, %s)", [PROOF_LOCK, book])
        before = next(iter(proofs(db, book, limit=1)), None)
        closed = close.read(
            db, found, day, position=position, declared=declared, stated=stated, progress=progress
        )
        findings = comparison.findings(closed.positions)
        result = proof_file.overall(findings)
        header = canonical.text(
            {
                "schema": proof_file.SCHEMA,
                "book": book,
                "book_name": found.name,
                "time_zone": found.time_zone,
                "day": day.isoformat(),
                "closed_at": closed.closed_at.isoformat(),
                "position": closed.position,
                "number": before.number + 1 if before else 1,
                "previous": {"number": before.number, "digest": before.digest.hex()} if before else None,
                "produced_at": now.astimezone(dt.UTC).isoformat(),
                "produced_by": actor.id,
                "assets": [proof_file.asset_spelled(each) for each in closed.positions],
                "findings": proof_file.spelled(findings),
                "proposals": proof_file.spelled(comparison.proposals(closed.positions)),
                "result": str(result),
                "accounts": closed.accounts,
                "accounts_digest": closed.accounts_digest.hex(),
            }
        )
        made = _write(db, book, day, closed, header, result, before, actor=actor, now=now)
        log.append(
            db,
            "custody.safeguarding_proved",
            {
                "proof": made.id,
                "book": book,
                "day": day.isoformat(),
                "position": closed.position,
                "result": str(result),
                "digest": made.digest.hex(),
            },
            actor=actor.id,
            at=now,
        )
    return made


def propose_sign_off(db: Db, proof_id: str, *, note: str = "", actor: Actor, now: dt.datetime) -> Approval:
    """Sign a proof as the first of two. Raises `errors.ProofUnknown`, `ProofSuperseded` or approvals' own."""
    found = proof(db, proof_id)
    access.require(db, actor, approvals.KINDS[SIGN_OFF].make)
    _require_newest(db, found)
    proposed = approvals.propose(
        db, SIGN_OFF, found.id, sign_off_state(found), book=found.book, note=note, actor=actor, now=now
    )
    return approvals.approval(db, proposed)


def decide_sign_off(
    db: Db, proof_id: str, *, approve: bool, reason: str = "", actor: Actor, now: dt.datetime
) -> Approval:
    """Sign a proof as the second of two, or turn it down with a reason.

    Raises `errors.ProofUnknown`, `SignOffMissing`, `ProofSuperseded` or approvals' own.
    """
    found = proof(db, proof_id)
    access.require(db, actor, approvals.KINDS[SIGN_OFF].check)
    for waiting in approvals.pending(db, kind=SIGN_OFF, subject=found.id):
        if not approve:
            return approvals.reject(db, waiting.id, reason=reason, actor=actor, now=now)
        _require_newest(db, found)
        return approvals.approve(db, waiting.id, sign_off_state(found), actor=actor, now=now)
    raise errors.SignOffMissing(proof=found.id)


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


def _stated(db: Db, declared: Mapping[int, arrangements.Declared], day: dt.date) -> Mapping[int, close.Heard]:
    """What the custodians of the safeguarding accounts stated for the close of the day, where they did."""
    safe = [number for number, each in declared.items() if each.terms.role == AccountRole.SAFEGUARDING]
    heard = ((number, close.heard(db, each, day)) for number, each in accounts.several(db, safe).items())
    return {number: told for number, told in heard if told is not None}


def _reconcile_first(
    db: Db, book: int, stated: Mapping[int, close.Heard], position: int, *, actor: Actor, now: dt.datetime
) -> None:
    """Compare line by line what was not compared as far as the close: totals alone would prove little."""
    for number, told in stated.items():
        if told.known_by == KnownBy.WITHIN:
            continue
        run = reconciliation.of_day(db, number, told.statement.to_date)
        if run is None or run.position < position:
            try:
                reconciliation.reconcile(db, book, number, to=told.statement.to_date, actor=actor, now=now)
            except (errors.StatementsDoNotJoin, errors.NothingToReconcile):
                # The proof tells that it was not reconciled; what is missing between, the bank's pages tell.
                continue


def _require_newest(db: Db, found: Proof) -> None:
    newest = of_day(db, found.book, found.day)
    if newest is not None and newest.id != found.id:
        raise errors.ProofSuperseded(proof=found.id, newest=newest.id)


def _write(
    db: Db,
    book: int,
    day: dt.date,
    closed: close.Close,
    header: str,
    result: Result,
    before: Proof | None,
    *,
    actor: Actor,
    now: dt.datetime,
) -> Proof:
    asset_numbers = {each.code: each.number for each in assets.assets(db)}
    with connections[db].cursor() as cursor:
        cursor.execute(
            "insert into custody_safeguarding_proof (book_id, number, day, position, result, header, accounts,"
            " accounts_digest, previous_digest, digest, at, actor)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) returning id",
            [
                book,
                before.number + 1 if before else 1,
                day,
                closed.position,
                str(result),
                header,
                closed.accounts,
                closed.accounts_digest,
                before.digest if before else None,
                proof_file.digest(header),
                now,
                actor.id,
            ],
        )
        identity = int(cursor.fetchone()[0])
        cursor.executemany(
            "insert into custody_safeguarding_position (proof_id, asset_id, owed_minor, unallocated_minor,"
            " prudent_minor, requirement_minor, ledger_resource_minor, custodian_resource_minor,"
            " shortfall_minor, excess_minor) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                [
                    identity,
                    asset_numbers[each.asset],
                    each.owed_minor,
                    each.unallocated_minor,
                    each.prudent_minor,
                    each.requirement_minor,
                    each.ledger_resource_minor,
                    each.custodian_resource_minor,
                    each.shortfall_minor,
                    each.excess_minor,
                ]
                for each in closed.positions
            ],
        )
    return proof(db, f"sgp_{identity}")


def _signed(found: Approval | None) -> canonical.Value:
    if found is None or found.outcome != approvals.Outcome.APPROVED or found.decided_at is None:
        return None
    return {
        "approval": found.reference,
        "first": found.made_by,
        "first_at": found.at.isoformat(),
        "second": found.decided_by,
        "second_at": found.decided_at.isoformat(),
        "note": found.note,
    }


def _proofs(db: Db, where: str, parameters: Sequence[int | dt.date | None], limit: int) -> list[Proof]:
    with connections[db].cursor() as cursor:
        cursor.execute(
            f"""
            select id, book_id, number, day, position, result, header, accounts, accounts_digest,
                previous_digest, digest, at, actor
            from custody_safeguarding_proof where {where} order by number desc limit %s
            """,  # noqa: S608 -- one of the constants above
            [*parameters, limit],
        )
        return [
            Proof(
                id=f"sgp_{row[0]}",
                book=BookId(row[1]),
                number=row[2],
                day=row[3],
                position=row[4],
                result=Result(row[5]),
                header_text=row[6],
                accounts=row[7],
                accounts_digest=bytes(row[8]),
                previous_digest=None if row[9] is None else bytes(row[9]),
                digest=bytes(row[10]),
                at=row[11],
                actor=row[12],
            )
            for row in cursor.fetchall()
        ]


def _number(proof_id: str) -> int:
    digits = proof_id.removeprefix("sgp_")
    if digits == proof_id or not digits.isascii() or not digits.isdigit() or len(digits) > 18:
        raise errors.ProofUnknown(proof=proof_id)
    return int(digits)

"""Matches by hand: lines of both sides that two people say are the same payment.

Promises: what one person proposes another approves, on the very lines that were proposed; the two sides
agree to the minor unit, or the difference is within the book's limit and is written off by a transfer;
a line is in one match at most; a match is undone by two people too, and both stay on record. The next
reconciliation honours what stands (`custody.manual_matches`).

A write-off goes against the platform where the bank has less, and to suspense where it has more: a surplus
is somebody's, never the platform's. It is posted by the system when the second person has approved.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import NAMESPACE_URL, UUID, uuid5

from django.db import connections, transaction

from tallystick.core import texts
from tallystick.core.db import Db
from tallystick.core.errors import Refusal
from tallystick.custody import accounts, book_days, errors, ledger, numbers
from tallystick.custody.accounts import Account
from tallystick.custody.codes import Code
from tallystick.custody.numbers import AccountNumber, BookId, Family
from tallystick.custody.transfers import TransferRequest
from tallystick.custody.workbench import cases, fixes
from tallystick.custody.workbench.cases import Filters
from tallystick.custody.workbench_models import CaseAct
from tallystick.evidence import canonical, log
from tallystick.identity import access, approvals
from tallystick.identity.access import Actor
from tallystick.identity.approvals import Approval, ApprovalId

MATCH = "custody.match_by_hand"
UNDO = "custody.undo_match"
LINES_MAX = 100
PULSE = Actor.system("pulse")
"""Posts what two people have decided: neither of them could alone."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenLine:
    """A line that the last run left over: of the bank (`statement_line`) or of the ledger (`position`)."""

    case: str
    day: dt.date
    amount_minor: int
    reference: str
    text: str
    statement_line: int | None = None
    position: int | None = None

    @property
    def key(self) -> str:
        return f"line:{self.statement_line}" if self.position is None else f"position:{self.position}"


@dataclass(frozen=True, slots=True)
class Match:
    """A match by hand. `undone_by`: who undid it, proposed and approved; nobody: it stands."""

    id: str
    book: BookId
    bank_account: AccountNumber
    statement_lines: tuple[int, ...]
    positions: tuple[int, ...]
    amount_minor: int
    """The bank's side."""
    write_off_minor: int
    write_off_transfer: str | None
    reason: str
    proposed_by: str
    approved_by: str
    at: dt.datetime
    undone_by: tuple[str, str] | None
    undone_at: dt.datetime | None
    undone_reason: str

    @property
    def stands(self) -> bool:
        return self.undone_by is None


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────


def difference(lines: Sequence[OpenLine]) -> int:
    """What the bank's lines have over the ledger's."""
    return sum(each.amount_minor if each.position is None else -each.amount_minor for each in lines)


def refusal(lines: Sequence[OpenLine], write_off_max_minor: int) -> Refusal | None:
    """Why these lines are no match, if they are none."""
    if len(lines) > LINES_MAX:
        return errors.MatchTooLarge(most=LINES_MAX)
    if not any(each.position is None for each in lines) or all(each.position is None for each in lines):
        return errors.MatchOneSided()
    over = difference(lines)
    if abs(over) > write_off_max_minor:
        return errors.MatchDoesNotAgree(difference_minor=over, most_minor=write_off_max_minor)
    return None


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def open_lines(db: Db, bank_account: int) -> Sequence[OpenLine]:
    """The lines of both sides in unresolved cases of a bank account, the bank's first, by day.

    A payment channel's line is of neither: it is no money at the bank until the channel pays it out.
    """
    book = numbers.book_of(AccountNumber(bank_account))
    unresolved = cases.cases(db, book, Filters(bank_account=bank_account), limit=10_000)
    found: dict[str, OpenLine] = {}

    def offer(line: OpenLine) -> None:
        # A settlement's line may have two differences, and is one line.
        found.setdefault(line.key, line)

    for case, each in cases.differences(db, unresolved):
        if each.statement_line is not None and each.bank_minor is not None and not each.is_of_channel:
            offer(
                OpenLine(
                    case.id, each.day, each.bank_minor, each.reference, each.text, each.statement_line, None
                )
            )
        if each.position is not None and each.ledger_minor is not None:
            offer(OpenLine(case.id, each.day, each.ledger_minor, each.reference, "", None, each.position))
    return sorted(
        found.values(),
        key=lambda each: (each.position is not None, each.day, each.statement_line or each.position or 0),
    )


def match(db: Db, match_id: str) -> Match:
    """One match by hand. Raises `errors.ManualMatchUnknown`."""
    for found in _matches(db, "m.id = %s", [_number(match_id)], 1):
        return found
    raise errors.ManualMatchUnknown(match=match_id)


def matches(db: Db, bank_account: int, *, limit: int = 100) -> Sequence[Match]:
    """The matches by hand of a bank account, those that were undone too, the newest first."""
    return _matches(db, "m.bank_account_id = %s", [bank_account], limit)


def of_book(db: Db, book: int, *, limit: int = 100) -> Sequence[Match]:
    """The matches by hand of a book, those that were undone too, the newest first."""
    return _matches(db, "m.book_id = %s", [book], limit)


def proposals(db: Db, book: int) -> Sequence[Approval]:
    """Matches and undoings of a book that wait for the second person."""
    return [each for kind in (MATCH, UNDO) for each in approvals.pending(db, kind=kind, book=book)]


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────


def propose(
    db: Db, bank_account: int, keys: Sequence[str], reason: str, *, actor: Actor, now: dt.datetime
) -> ApprovalId:
    """Propose that these lines (`line:…`, `position:…`) are one payment.

    Raises `errors.MatchLineUnknown`, `MatchLineProposed`, what `refusal` tells, `WriteOffAccountMissing`
    or `Malformed`.
    """
    access.require(db, actor, "custody.propose_match")
    _says(reason)
    account = accounts.account(db, bank_account)
    with transaction.atomic(using=db):
        cases.lock(db, account.book)
        lines = _chosen(db, account, keys)
        for waiting in proposals(db, account.book):
            taken = sorted(set(keys) & set(_keys(waiting)))
            if waiting.kind == MATCH and taken:
                raise errors.MatchLineProposed(line=taken[0], approval=waiting.reference)
        state = _state(db, account, lines, reason)
        # The subject is the match's first line: two proposals for one line are one subject.
        subject = f"{account.text} {lines[0].key}"
        return approvals.propose(db, MATCH, subject, state, book=account.book, actor=actor, now=now)


def approve(db: Db, approval_id: int, *, actor: Actor, now: dt.datetime) -> Match:
    """Approve a proposed match, as the second of two. What was proposed must still be so.

    Raises what `propose` does, and what `approvals.of_kind` and `approve` do.
    """
    access.require(db, actor, "custody.approve_match")
    proposed = approvals.of_kind(db, approval_id, MATCH)
    account = accounts.account(db, numbers.parse_account(str(proposed.state["bank_account"])))
    reason = str(proposed.state["reason"])
    with transaction.atomic(using=db):
        cases.lock(db, account.book)
        lines = _chosen(db, account, _keys(proposed))
        state = _state(db, account, lines, reason)
        approved = approvals.approve(db, approval_id, state, actor=actor, now=now)

        # After this point, the match stands.
        over = difference(lines)
        number = _write(db, account, lines, over, approved, reason, actor=actor, now=now)
        for name in sorted({each.case for each in lines}):
            cases.record(
                db, cases.case(db, name), CaseAct.MATCHED, note=f"mat_{number}", actor=actor, now=now
            )
        log.append(
            db,
            "custody.matched_by_hand",
            {
                "match": f"mat_{number}",
                "bank_account": account.text,
                "lines": [each.key for each in lines],
                "write_off_minor": str(over),
                "proposed_by": approved.made_by,
                "approval": approved.reference,
            },
            actor=actor.id,
            at=now,
        )
    advance(db, account.book, now=now)
    return match(db, f"mat_{number}")


def propose_undoing(db: Db, match_id: str, reason: str, *, actor: Actor, now: dt.datetime) -> ApprovalId:
    """Propose that a match be undone. Raises `errors.ManualMatchUnknown`, `ManualMatchUndone` or `Malformed`."""
    access.require(db, actor, "custody.propose_match")
    _says(reason)
    found = _standing(db, match_id)
    told = _undoing(found, reason)
    return approvals.propose(db, UNDO, found.id, told, book=found.book, actor=actor, now=now)


def undo(db: Db, approval_id: int, *, actor: Actor, now: dt.datetime) -> Match:
    """Undo a match, as the second of two: the next run judges its lines afresh.

    A write-off is not taken back with it: it stands in the ledger as a line of its own, to be reversed
    there if it should not have been.
    """
    access.require(db, actor, "custody.approve_match")
    proposed = approvals.of_kind(db, approval_id, UNDO)
    reason = str(proposed.state["reason"])
    with transaction.atomic(using=db):
        found = _standing(db, proposed.subject)
        cases.lock(db, found.book)
        approved = approvals.approve(db, approval_id, _undoing(found, reason), actor=actor, now=now)
        with connections[db].cursor() as cursor:
            cursor.execute(
                "insert into custody_manual_match_undoing (match_id, approval_id, reason, proposed_by,"
                " approved_by, at) values (%s, %s, %s, %s, %s, %s)",
                [_number(found.id), approved.id, reason, approved.made_by, actor.id, now],
            )
        anchors = [
            *(f"line:{each}" for each in found.statement_lines),
            *(f"position:{each}" for each in found.positions),
        ]
        for case in cases.of_anchor(db, found.bank_account, anchors).values():
            cases.record(db, case, CaseAct.UNMATCHED, note=found.id, actor=actor, now=now)
        log.append(
            db,
            "custody.match_undone",
            {"match": found.id, "reason": reason, "proposed_by": approved.made_by},
            actor=actor.id,
            at=now,
        )
    return match(db, found.id)


def advance(db: Db, book: BookId, *, now: dt.datetime) -> int:
    """The step: post the write-offs of matches that stand and are not in the ledger. Returns how many it posted."""
    waiting = _matches(
        db,
        "m.book_id = %s and m.write_off_transfer is not null"
        " and not exists (select from custody_transfer t where t.id = m.write_off_transfer)"
        " and not exists (select from custody_transfer_refusal r where r.transfer_id = m.write_off_transfer)"
        " and not exists (select from custody_manual_match_undoing u where u.match_id = m.id)",
        [book],
        100,
    )
    posted = 0
    for each in waiting:
        account = accounts.account(db, each.bank_account)
        refusal: Refusal | type[Refusal] | None
        try:
            done = ledger.post(db, book, [_write_off(db, account, each)], actor=PULSE, now=now)
            refusal = done.refusal_of(0)
        except Refusal as refused:
            refusal = refused
        if refusal is None:
            posted += 1
        else:
            # The match is not honoured, and the day's checklist tells it; the others do not wait for it.
            _LOG.warning("the write-off of %s in book %s is not posted: %s", each.id, book, refusal.code)
    return posted


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


def _chosen(db: Db, account: Account, keys: Sequence[str]) -> list[OpenLine]:
    """The open lines of these keys, in one order, fit to be a match."""
    there = {each.key: each for each in open_lines(db, account.number)}
    for key in keys:
        if key not in there:
            raise errors.MatchLineUnknown(named=key[:60], account=account.text)
    lines = [there[key] for key in there if key in set(keys)]
    wrong = refusal(lines, book_days.days(db, account.book).write_off_max_minor)
    if wrong is not None:
        raise wrong
    over = difference(lines)
    if over and _counter(db, account, over) is None:
        raise errors.WriteOffAccountMissing(book=account.book, asset=account.asset)
    return lines


def _state(db: Db, account: Account, lines: Sequence[OpenLine], reason: str) -> dict[str, canonical.Value]:
    return {
        "book": account.book,
        "bank_account": account.text,
        "lines": [{"line": each.key, "amount_minor": str(each.amount_minor)} for each in lines],
        "write_off_minor": str(difference(lines)),
        "reason": reason.strip(),
    }


def _undoing(found: Match, reason: str) -> dict[str, canonical.Value]:
    return {"book": found.book, "match": found.id, "reason": reason.strip()}


def _keys(proposed: Approval) -> list[str]:
    lines = proposed.state.get("lines", [])
    assert isinstance(lines, list), "a proposed match lists its lines"
    return [str(each["line"]) for each in lines if isinstance(each, dict)]


def _standing(db: Db, match_id: str) -> Match:
    found = match(db, match_id)
    if not found.stands:
        raise errors.ManualMatchUndone(match=match_id)
    return found


def _says(reason: str) -> None:
    if not texts.says(reason, 500):
        raise errors.Malformed(where="match", field="reason", expected="1 to 500 characters of one line")


def _counter(db: Db, account: Account, over: int) -> int | None:
    """The account a difference is written off against: the platform's where the bank has less."""
    return fixes.counter_account(db, account.number, Family.SUSPENSE if over > 0 else Family.OWN)


def _write_off(db: Db, account: Account, found: Match) -> TransferRequest:
    counter = _counter(db, account, found.write_off_minor)
    if counter is None:
        raise errors.WriteOffAccountMissing(book=account.book, asset=account.asset)
    pair = (account.text, numbers.account_text(counter))
    debit, credit = pair if found.write_off_minor > 0 else (pair[1], pair[0])
    return TransferRequest(
        id=str(found.write_off_transfer),
        debit_account=debit,
        credit_account=credit,
        amount_minor=abs(found.write_off_minor),
        code=Code.CORRECTION.text,
        value_date=_day(db, found),
        reference=found.id,
        reason=found.reason,
        metadata={"match": found.id, "proposed_by": found.proposed_by, "approved_by": found.approved_by},
    )


def _day(db: Db, found: Match) -> dt.date:
    """The write-off stands on the day of the bank's last line: in any run that has the lines."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select max(booking_date) from custody_statement_line where id = any(%s)",
            [list(found.statement_lines)],
        )
        day: dt.date = cursor.fetchone()[0]
    return day


def _write(
    db: Db,
    account: Account,
    lines: Sequence[OpenLine],
    over: int,
    approved: Approval,
    reason: str,
    *,
    actor: Actor,
    now: dt.datetime,
) -> int:
    transfer: UUID | None = uuid5(NAMESPACE_URL, f"urn:tallystick:write-off:{approved.reference}")
    with connections[db].cursor() as cursor:
        cursor.execute(
            "insert into custody_manual_match (book_id, bank_account_id, write_off_minor, write_off_transfer,"
            " approval_id, reason, proposed_by, approved_by, at)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s, %s) returning id",
            [
                account.book,
                account.number,
                over,
                transfer if over else None,
                approved.id,
                reason,
                approved.made_by,
                actor.id,
                now,
            ],
        )
        number = int(cursor.fetchone()[0])
        cursor.executemany(
            "insert into custody_manual_match_line (match_id, statement_line, position, amount_minor)"
            " values (%s, %s, %s, %s)",
            [(number, each.statement_line, each.position, each.amount_minor) for each in lines],
        )
    return number


def _matches(db: Db, where: str, parameters: Sequence[int], limit: int) -> list[Match]:
    with connections[db].cursor() as cursor:
        cursor.execute(
            f"""
            select m.id, m.book_id, m.bank_account_id,
                array(select statement_line from custody_manual_match_line l
                    where l.match_id = m.id and statement_line is not null order by id),
                array(select position from custody_manual_match_line l
                    where l.match_id = m.id and position is not null order by id),
                (select coalesce(sum(amount_minor), 0)::bigint from custody_manual_match_line l
                    where l.match_id = m.id and statement_line is not null),
                m.write_off_minor, m.write_off_transfer, m.reason, m.proposed_by, m.approved_by, m.at,
                u.proposed_by, u.approved_by, u.at, coalesce(u.reason, '')
            from custody_manual_match m left join custody_manual_match_undoing u on u.match_id = m.id
            where {where} order by m.id desc limit %s
            """,  # noqa: S608 -- constants of this file
            [*parameters, limit],
        )
        return [
            Match(
                id=f"mat_{row[0]}",
                book=BookId(row[1]),
                bank_account=AccountNumber(row[2]),
                statement_lines=tuple(row[3]),
                positions=tuple(row[4]),
                amount_minor=row[5],
                write_off_minor=row[6],
                write_off_transfer=None if row[7] is None else f"trf_{row[7]}",
                reason=row[8],
                proposed_by=row[9],
                approved_by=row[10],
                at=row[11],
                undone_by=None if row[12] is None else (row[12], row[13]),
                undone_at=row[14],
                undone_reason=row[15],
            )
            for row in cursor.fetchall()
        ]


def _number(match_id: str) -> int:
    number = numbers.row_number(match_id, "mat_")
    if number is None:
        raise errors.ManualMatchUnknown(match=match_id)
    return number

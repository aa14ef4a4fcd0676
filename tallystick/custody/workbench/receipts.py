"""Receipts that nobody was named for: held in suspense until their owner is found, or sent back.

Promises: a receipt leaves suspense once, whole, to the account that a person named with a reason, or back
to its sender by two people; what was found out stays beside it; its age counts in business days.

Where it goes is recorded first and posted then, under an id that follows from the receipt alone: of two who
decide at once the table takes one, and what a process left unposted the step posts. Where the ledger
refuses, the receipt is in suspense as before, and the next decision has the next id.
"""

from __future__ import annotations

import datetime as dt
import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from django.db import connections, transaction

from tallystick.core import texts
from tallystick.core.db import Db
from tallystick.core.errors import Refusal
from tallystick.custody import accounts, errors, history, ledger, numbers
from tallystick.custody.codes import Code
from tallystick.custody.models import AccountStatus
from tallystick.custody.numbers import AccountNumber, BookId, Family
from tallystick.custody.transfers import TransferRequest
from tallystick.custody.workbench import cases, owners
from tallystick.custody.workbench_models import ReceiptAct
from tallystick.evidence import canonical, log
from tallystick.identity import access, approvals
from tallystick.identity.access import Actor
from tallystick.identity.approvals import Approval, ApprovalId

RETURN = "custody.return_receipt"
NOTE_MAX = 1_000
PULSE = Actor.system("pulse")
"""Posts what two people have decided: neither of them could alone."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Receipt:
    """Money in suspense, and where it came in."""

    book: BookId
    position: int
    transfer: str
    bank_account: AccountNumber
    suspense_account: AccountNumber
    amount_minor: int
    day: dt.date
    reference: str
    statement_line: int | None
    """The bank's line it was booked from, where that is known."""
    case: str | None


@dataclass(frozen=True, slots=True)
class Step:
    """What was done about a receipt."""

    act: ReceiptAct
    account: AccountNumber | None
    transfer: str | None
    is_posted: bool
    refusal: str
    """The ledger's, of its transfer; empty: none so far."""
    note: str
    at: dt.datetime
    actor: str

    @property
    def settles(self) -> bool:
        """Whether it says where the money went, or goes as soon as it is posted."""
        return self.transfer is not None and not self.refusal


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def receipts(db: Db, book: int) -> Sequence[Receipt]:
    """What lies in suspense, the oldest first."""
    return _receipts(db, _NOT_LEFT, {"book": book})


def count(db: Db, book: int) -> int:
    """How many receipts lie in suspense."""
    with connections[db].cursor() as cursor:
        cursor.execute(f"select count(*) {_IN_SUSPENSE} {_NOT_LEFT}", {"book": book})
        return int(cursor.fetchone()[0])


def receipt(db: Db, book: int, position: int) -> Receipt:
    """One receipt, whether it has left or not. Raises `errors.ReceiptUnknown`."""
    for found in _receipts(db, "and t.position = %(position)s", {"book": book, "position": position}):
        return found
    raise errors.ReceiptUnknown(receipt=position)


def steps(db: Db, book: int, position: int) -> Sequence[Step]:
    """What was done about a receipt, the first first."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select s.act, s.account_id, s.transfer, t.id is not null, coalesce(r.code, ''), s.note, s.at, s.actor"
            " from custody_receipt_step s left join custody_transfer t on t.id = s.transfer"
            " left join custody_transfer_refusal r on r.transfer_id = s.transfer"
            " where s.book_id = %s and s.position = %s order by s.id",
            [book, position],
        )
        return [
            Step(ReceiptAct(row[0]), row[1], None if row[2] is None else f"trf_{row[2]}", *row[3:])
            for row in cursor.fetchall()
        ]


def candidates(db: Db, found: Receipt) -> Sequence[owners.Candidate]:
    """Who it may belong to, with the reasons; nobody where the bank's line is not known."""
    line = None if found.statement_line is None else owners.line(db, found.statement_line)
    return [] if line is None else owners.candidates(db, line)


def returning(db: Db, book: int) -> Sequence[Approval]:
    """Returns of a book that wait for the second person."""
    return approvals.pending(db, kind=RETURN, book=book)


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────


def write_note(db: Db, book: int, position: int, note: str, *, actor: Actor, now: dt.datetime) -> None:
    """Write down what was found out about a receipt. Raises `errors.ReceiptUnknown` or `Malformed`."""
    access.require(db, actor, "custody.explain_break")
    found = receipt(db, book, position)
    _fits(found, note)
    with transaction.atomic(using=db):
        _record(db, found, ReceiptAct.NOTED, note=note.strip(), actor=actor, now=now)


def trace(
    db: Db, book: int, position: int, account: int, note: str, *, actor: Actor, now: dt.datetime
) -> str:
    """Give a receipt to its owner, with the reasons; the transfer's id. One person may: nothing leaves.

    Raises `errors.ReceiptUnknown`, `ReceiptSettled`, `NotAnOwner`, `Malformed`, and the ledger's own
    refusal of the transfer.
    """
    access.require(db, actor, "custody.explain_break")
    access.require(db, actor, "custody.post")
    found = _in_suspense(db, book, position)
    _fits(found, note)
    owner = accounts.account(db, account)
    if (
        owner.family != Family.CLIENT
        or owner.book != book
        or numbers.asset_of(owner.number) != numbers.asset_of(found.suspense_account)
        or owner.status not in (AccountStatus.OPEN, AccountStatus.DEBITS_FROZEN)
    ):
        asset = accounts.account(db, found.suspense_account).asset
        raise errors.NotAnOwner(account=owner.text, asset=asset)
    leaves = _next_id(db, found)
    with transaction.atomic(using=db):
        _record(
            db,
            found,
            ReceiptAct.TRACED,
            account=owner.number,
            transfer=leaves,
            note=note.strip(),
            actor=actor,
            now=now,
        )
    _move(db, found, leaves, owner.number, actor=actor, now=now)
    return f"trf_{leaves}"


def propose_return(
    db: Db, book: int, position: int, reason: str, *, actor: Actor, now: dt.datetime
) -> ApprovalId:
    """Propose to send a receipt back. Raises `errors.ReceiptUnknown`, `ReceiptSettled` or `Malformed`."""
    access.require(db, actor, "custody.propose_return")
    found = _in_suspense(db, book, position)
    _fits(found, reason)
    return approvals.propose(
        db,
        RETURN,
        f"book {book} position {position}",
        _state(db, found, reason),
        book=book,
        actor=actor,
        now=now,
    )


def approve_return(db: Db, approval_id: int, *, actor: Actor, now: dt.datetime) -> str:
    """Send a receipt back, as the second of two; the transfer's id. Asked again, it is posted once."""
    access.require(db, actor, "custody.approve_return")
    state = approvals.of_kind(db, approval_id, RETURN).state
    found = _in_suspense(db, int(str(state["book"])), int(str(state["position"])))
    reason = str(state["reason"])
    with transaction.atomic(using=db):
        approvals.approve(db, approval_id, _state(db, found, reason), actor=actor, now=now)
        leaves = _next_id(db, found)
        _record(
            db,
            found,
            ReceiptAct.RETURNED,
            transfer=leaves,
            note=reason,
            approval=approval_id,
            actor=actor,
            now=now,
        )
    _move(db, found, leaves, None, actor=PULSE, now=now)
    return f"trf_{leaves}"


def advance(db: Db, book: BookId, *, now: dt.datetime) -> int:
    """The step: post what was decided and is not in the ledger. Returns how many it posted."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select s.position, s.transfer, s.account_id from custody_receipt_step s"
            " where s.book_id = %s and s.transfer is not null"
            " and not exists (select from custody_transfer t where t.id = s.transfer)"
            " and not exists (select from custody_transfer_refusal r where r.transfer_id = s.transfer)"
            # What took it into suspense may have been reversed since: then there is nothing to send.
            " and not exists (select from custody_transfer r"
            "     where r.book_id = s.book_id and r.reverses_position = s.position)"
            " order by s.id limit 100",
            [book],
        )
        waiting = cursor.fetchall()
    posted = 0
    for position, leaves, account in waiting:
        try:
            _move(db, receipt(db, book, position), leaves, account, actor=PULSE, now=now)
            posted += 1
        except Refusal as refusal:
            # Said with the step on its page; the others do not wait for it.
            _LOG.warning("receipt %s of book %s stays in suspense: %s", position, book, refusal.code)
    return posted


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


# By the entries of suspense accounts: a book of any size has few of them.
_IN_SUSPENSE = f"""
from custody_account a
join custody_entry e on e.account = a.number
join custody_transfer t on t.book_id = a.book_id and t.position = e.position
left join custody_case_step s on s.transfer = t.id and s.act = 'fix_posted'
left join custody_case c on c.id = s.case_id
left join custody_deposit d on d.transfer = t.id
where a.book_id = %(book)s and a.family = 4 and t.credit_account = a.number and t.kind = 1
    and t.code = {Code.UNIDENTIFIED_RECEIPT.value} and t.reverses_position is null
    and not exists (select from custody_transfer r
        where r.book_id = t.book_id and r.reverses_position = t.position)
"""
_NOT_LEFT = """
and not exists (select from custody_receipt_step s join custody_transfer o on o.id = s.transfer
    where s.book_id = t.book_id and s.position = t.position)
"""


def _receipts(db: Db, more: str, parameters: dict[str, Any]) -> list[Receipt]:
    with connections[db].cursor() as cursor:
        cursor.execute(
            f"""
            select t.book_id, t.position, 'trf_' || t.id, t.debit_account, t.credit_account, t.amount_minor,
                t.value_date, coalesce(t.reference, ''), s.case_id, c.anchor, d.statement_line
            {_IN_SUSPENSE} {more} order by t.position
            """,
            parameters,
        )
        return [
            Receipt(
                BookId(row[0]),
                row[1],
                row[2],
                AccountNumber(row[3]),
                AccountNumber(row[4]),
                row[5],
                row[6],
                row[7],
                # Booked by a case's fix, or by itself as it came in.
                cases.line_of(row[9] or "") if row[10] is None else row[10],
                None if row[8] is None else f"brk_{row[8]}",
            )
            for row in cursor.fetchall()
        ]


def _in_suspense(db: Db, book: int, position: int) -> Receipt:
    found = receipt(db, book, position)
    if any(each.settles for each in steps(db, book, position)):
        raise errors.ReceiptSettled(receipt=position)
    return found


def _fits(found: Receipt, note: str) -> None:
    if not texts.says(note.strip(), NOTE_MAX):
        raise errors.Malformed(
            where=found.transfer, field="note", expected=f"1 to {NOTE_MAX} characters of one line"
        )


def _state(db: Db, found: Receipt, reason: str) -> dict[str, canonical.Value]:
    line = None if found.statement_line is None else owners.line(db, found.statement_line)
    return {
        "book": found.book,
        "position": found.position,
        "amount_minor": str(found.amount_minor),
        "bank_account": numbers.account_text(found.bank_account),
        "payer": "" if line is None else line.payer_name,
        "payer_account": "" if line is None else line.payer_account,
        "reason": reason.strip(),
    }


def _next_id(db: Db, found: Receipt) -> UUID:
    """The id under which the receipt may leave: the first that the ledger has not refused."""
    return history.first_not_refused(
        db,
        (
            uuid5(NAMESPACE_URL, f"urn:tallystick:receipt:{found.transfer}:{refused}")
            for refused in itertools.count()
        ),
    )


def _move(db: Db, found: Receipt, leaves: UUID, owner: int | None, *, actor: Actor, now: dt.datetime) -> None:
    """Post the receipt out of suspense, to its owner or back. Raises the ledger's refusal where it is refused."""
    if owner is None:
        to, code, reference = found.bank_account, Code.RETURN, f"RETURN {found.reference}"[:140].strip()
    else:
        to, code, reference = AccountNumber(owner), Code.IDENTIFIED, found.reference
    request = TransferRequest(
        id=f"trf_{leaves}",
        debit_account=numbers.account_text(found.suspense_account),
        credit_account=numbers.account_text(to),
        amount_minor=found.amount_minor,
        code=code.text,
        reference=reference or None,
        metadata={"receipt": found.transfer},
    )
    refusal = ledger.post(db, found.book, [request], actor=actor, now=now).refusal_of(0)
    if refusal is not None:
        raise refusal


def _record(
    db: Db,
    found: Receipt,
    act: ReceiptAct,
    *,
    account: int | None = None,
    transfer: UUID | None = None,
    note: str,
    approval: int | None = None,
    actor: Actor,
    now: dt.datetime,
) -> None:
    """Append a step. Raises `errors.ReceiptSettled` where somebody else's has its transfer's id already."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "insert into custody_receipt_step (book_id, position, act, account_id, transfer, note, approval_id,"
            " at, actor) values (%s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict (transfer) do nothing",
            [found.book, found.position, act.value, account, transfer, note, approval, now, actor.id],
        )
        if not cursor.rowcount:
            raise errors.ReceiptSettled(receipt=found.position)
    log.append(
        db,
        "custody.receipt_stepped",
        {
            "book": found.book,
            "position": found.position,
            "act": act.value,
            "account": None if account is None else numbers.account_text(account),
            "transfer": None if transfer is None else f"trf_{transfer}",
        },
        actor=actor.id,
        at=now,
    )

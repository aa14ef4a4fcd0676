"""Fixes: for each kind of difference, the transfer that would settle it, ready to be posted.

Promises: what is posted is what was shown, or nothing; the same fix is posted once, however often it is
asked for; nothing is proposed that would touch a client's money without that client's authorisation (a
reversal takes back what was booked, and is the approver's). Where only time or the bank can settle it,
nothing is proposed.

A fix may take two transfers of two people: what was booked wrongly is reversed by an approver, then the
bank's figure is booked by operations. The first one that is not there yet is the one that is ready.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec
from django.db import connections, transaction

from tallystick.core.db import Db
from tallystick.custody import accounts, errors, history, ledger, numbers
from tallystick.custody.breaks import BreakKind
from tallystick.custody.codes import Code
from tallystick.custody.history import Transfer
from tallystick.custody.models import AccountStatus
from tallystick.custody.numbers import Family
from tallystick.custody.reconciliation import Break
from tallystick.custody.transfers import TransferRequest
from tallystick.custody.workbench import cases, owners
from tallystick.custody.workbench.cases import Case, Step
from tallystick.custody.workbench_models import CaseAct
from tallystick.identity.access import Actor


class Why(StrEnum):
    """What a proposed transfer does."""

    RECEIPT = "receipt"
    """Book the bank's receipt for the owner it names."""
    SUSPENSE = "suspense"
    """Book the bank's receipt to suspense until its owner is found."""
    BORNE = "borne"
    """Book what the bank took as borne by the platform."""
    REVERSAL = "reversal"
    """Reverse what was booked wrongly, or twice, or never reached the bank."""
    REBOOKING = "rebooking"
    """Book again what was reversed, as the bank has it."""
    GIVEN_BACK = "given_back"
    """Give back what the bank did not take."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A transfer that is proposed, and whether it is posted already."""

    request: TransferRequest
    why: Why
    is_posted: bool

    @property
    def permission(self) -> str:
        """What it takes to post it."""
        return "custody.reverse" if self.request.reverses_id else "custody.post"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the fix of a case follows from, read once."""

    difference: Break
    line: owners.Line | None
    steps: Sequence[Step]


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of a fix: its transfer, and the refusal where it was refused."""

    transfer: str
    refusal: str | None


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────


def booked(bank: int, counter: int, amount_minor: int) -> tuple[str, str]:
    """Debited and credited account of money that came in at the bank (positive) or left it."""
    pair = (numbers.account_text(bank), numbers.account_text(counter))
    return pair if amount_minor > 0 else (pair[1], pair[0])


def fix_id(case: Case, request: TransferRequest, refused: int) -> UUID:
    """The id of a fix: the same for the same content, so it is posted once; a new one after each refusal."""
    content = msgspec.to_builtins(msgspec.structs.replace(request, id=""))
    return uuid5(NAMESPACE_URL, f"urn:tallystick:{case.id}:{refused}:{sorted(content.items())}")


def booked_since(steps: Sequence[Step]) -> Step | None:
    """The booking that was posted for a case as its difference stands; a reversal is told by the ledger."""
    for step in reversed(steps):
        if step.act in (CaseAct.OPENED, CaseAct.CHANGED, CaseAct.REOPENED):
            return None
        if step.act is CaseAct.FIX_POSTED and step.note != Why.REVERSAL:
            return step
    return None


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def facts(db: Db, case: Case) -> Facts:
    """The difference of a case, the bank's line of it, and what happened to it."""
    found = cases.difference(db, case)
    line = None if found.statement_line is None else owners.line(db, found.statement_line)
    return Facts(found, line, cases.steps(db, case.id))


def proposed(db: Db, case: Case, known: Facts | None = None) -> Sequence[Ready]:
    """The transfers that would settle a case, in their order; those posted already among them.

    A booking that was posted for the difference stays the one, whoever would be named for it by now: the
    next run says whether it settled the case. `known`: the case's facts, where the caller has read them.
    """
    if case.is_resolved:
        return []
    known = facts(db, case) if known is None else known
    booked_by = booked_since(known.steps)
    ready = []
    for why, request in _wanted(db, case, known):
        if request.reverses_id is None and booked_by is not None and booked_by.transfer is not None:
            ready.append(Ready(_as_posted(db, booked_by.transfer), Why(booked_by.note), is_posted=True))
            continue
        asked = msgspec.structs.replace(request, id=f"trf_{_next_id(db, case, request)}")
        ready.append(Ready(asked, why, _is_done(db, case, asked)))
    return ready


def next_ready(db: Db, case: Case) -> Ready | None:
    """The first transfer of a case's fix that is not posted yet."""
    return next((each for each in proposed(db, case) if not each.is_posted), None)


def counter_account(db: Db, bank_account: int, family: Family) -> int | None:
    """What money of a bank account is booked against: the book's first open account of a family in its asset."""
    bank = accounts.account(db, bank_account)
    for each in accounts.accounts(
        db, bank.book, family=family, asset=bank.asset, status=AccountStatus.OPEN, limit=1
    ):
        return each.number
    return None


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────


def post(db: Db, case_id: str, transfer_id: str, *, actor: Actor, now: dt.datetime) -> Posted:
    """Post what is ready for a case, if it is still what was shown: `transfer_id` is the id it was shown under.

    Raises `errors.CaseUnknown`, `CaseResolved`, `NothingToPost`, `FixChanged`, and what `ledger.post` does.
    """
    case = cases.case(db, case_id)
    if case.is_resolved:
        raise errors.CaseResolved(case=case_id)
    ready = next_ready(db, case)
    if ready is None:
        raise errors.NothingToPost(case=case_id)
    if ready.request.id != transfer_id:
        raise errors.FixChanged(case=case_id)
    # The ledger commits by itself. Should this process end before the step below is written, the same
    # fix comes again under the same id: it is not posted twice, and the step is written then.
    results = ledger.post(db, case.book, [ready.request], actor=actor, now=now)
    refusal = results.refusal_of(0)
    with transaction.atomic(using=db):
        cases.lock(db, case.book)
        cases.record(
            db,
            cases.case(db, case_id),
            CaseAct.FIX_POSTED if refusal is None else CaseAct.FIX_REFUSED,
            transfer=UUID(ready.request.id.removeprefix("trf_")),
            note=ready.why.value if refusal is None else refusal.code,
            actor=actor,
            now=now,
        )
    return Posted(ready.request.id, None if refusal is None else refusal.code)


# ── what each kind wants ─────────────────────────────────────────────────────────────────────────────────

_Wanted = tuple[Why, TransferRequest]


def _wanted(db: Db, case: Case, known: Facts) -> list[_Wanted]:
    found, line = known.difference, known.line
    posted = None if found.position is None else history.transfer_at(db, case.book, found.position)
    match found.kind:
        case BreakKind.UNIDENTIFIED | BreakKind.MISSING_IN_LEDGER if line is not None:
            return _not_in_ledger(db, case, line, known)
        case BreakKind.DUPLICATE if line is not None and line.amount_minor > 0:
            # The bank has the money twice: it is somebody's until the bank takes it back.
            return _to_suspense(db, line)
        case BreakKind.DUPLICATE | BreakKind.MISSING_AT_BANK if posted is not None:
            return [_reversal(posted, f"{found.kind.value}: {found.reference}")]
        case BreakKind.AMOUNT if line is not None and posted is not None:
            return _amount(db, line, posted, found)
        case BreakKind.WRONG_ACCOUNT if line is not None:
            return _wrong_account(db, line, found)
    return []


def _to_suspense(db: Db, line: owners.Line) -> list[_Wanted]:
    suspense = counter_account(db, line.bank_account, Family.SUSPENSE)
    if suspense is None:
        return []
    return [(Why.SUSPENSE, _request(line, suspense, Code.UNIDENTIFIED_RECEIPT))]


def _not_in_ledger(db: Db, case: Case, line: owners.Line, known: Facts) -> list[_Wanted]:
    found = known.difference
    # The difference, not the line: a channel's fee is part of a line.
    amount = found.effect_minor
    was = _reversed_before(db, case, known.steps)
    if was is not None and amount > 0:
        # What was booked for this line was reversed as part of this case: its account is known.
        is_external = numbers.family_of(was.debit_account) == Family.EXTERNAL
        counter = was.credit_account if is_external else was.debit_account
        again = _request(line, counter, was.code, reference=was.reference, amount=amount)
        return [(Why.REBOOKING, again)]
    if amount < 0:
        own = counter_account(db, line.bank_account, Family.OWN)
        return [] if own is None else [(Why.BORNE, _request(line, own, Code.CORRECTION, amount=amount))]
    owner = owners.named(db, line) if found.kind is BreakKind.MISSING_IN_LEDGER else None
    if owner is None:
        return _to_suspense(db, line)
    return [(Why.RECEIPT, _request(line, owner.account, Code.TOP_UP, amount=amount))]


def _amount(db: Db, line: owners.Line, posted: Transfer, found: Break) -> list[_Wanted]:
    counter = posted.credit_account if posted.debit_account == line.bank_account else posted.debit_account
    reason = f"{found.kind.value}: {found.reference}"
    if line.amount_minor > 0:
        again = _request(line, counter, posted.code, reference=posted.reference)
        return [_reversal(posted, reason), (Why.REBOOKING, again)]
    # Money that left: the client agreed to what was booked. What the bank did not take goes back to them;
    # what it took besides is not theirs to bear.
    if found.effect_minor > 0:
        back = _request(line, counter, Code.REFUND, reference=posted.reference, amount=found.effect_minor)
        return [(Why.GIVEN_BACK, back)]
    own = counter_account(db, line.bank_account, Family.OWN)
    if own is None:
        return []
    more = _request(line, own, Code.CORRECTION, reference=posted.reference, amount=found.effect_minor)
    return [(Why.BORNE, more)]


def _wrong_account(db: Db, line: owners.Line, found: Break) -> list[_Wanted]:
    """The ledger has it on another control account: reversed there, booked here."""
    try:
        elsewhere = numbers.parse_account(found.twin)
    except ValueError:
        return []
    posted = _posted_elsewhere(db, elsewhere, found.reference, line.amount_minor)
    if posted is None:
        return []
    counter = posted.credit_account if posted.debit_account == elsewhere else posted.debit_account
    wanted = [_reversal(posted, f"{found.kind.value}: {found.reference}")]
    if line.amount_minor > 0:
        wanted.append(
            (Why.REBOOKING, _request(line, counter, posted.code, reference=posted.reference)),
        )
    return wanted


def _reversal(posted: Transfer, reason: str) -> _Wanted:
    return Why.REVERSAL, TransferRequest(
        id="",
        debit_account=numbers.account_text(posted.credit_account),
        credit_account=numbers.account_text(posted.debit_account),
        amount_minor=posted.amount_minor,
        code=Code.CORRECTION.text,
        reverses_id=posted.id,
        value_date=posted.value_date,
        reference=posted.reference,
        reason=reason[:500],
    )


def _request(
    line: owners.Line,
    counter: int,
    code: Code,
    *,
    reference: str | None = None,
    amount: int | None = None,
) -> TransferRequest:
    """What the bank booked, booked here: with its day, so that both sides stand on the same one."""
    amount = line.amount_minor if amount is None else amount
    debit, credit = booked(line.bank_account, counter, amount)
    told = reference or next(iter(line.references), "") or f"{line.file}:{line.line}"
    return TransferRequest(
        id="",
        debit_account=debit,
        credit_account=credit,
        amount_minor=abs(amount),
        code=code.text,
        value_date=line.booking_date,
        reference="".join(each for each in told if each.isprintable())[:140],
    )


def _reversed_before(db: Db, case: Case, steps: Sequence[Step]) -> Transfer | None:
    """What a fix of this case has reversed, if one has."""
    for step in reversed(steps):
        if step.act is CaseAct.FIX_POSTED and step.note == Why.REVERSAL and step.transfer is not None:
            reversal = history.transfer(db, step.transfer)
            if reversal.reverses_position is not None:
                return history.transfer_at(db, case.book, reversal.reverses_position)
    return None


def _posted_elsewhere(db: Db, account: int, reference: str, amount_minor: int) -> Transfer | None:
    """The first posted transfer on a control account with this reference and amount, no reversal."""
    book = numbers.book_of(account)
    this = "debit_account" if amount_minor > 0 else "credit_account"
    fits = f"t.{this} = %(account)s and t.kind in (1, 3) and t.reverses_position is null"
    named: dict[str, int | str] = {
        "book": book,
        "account": account,
        "amount": abs(amount_minor),
        "reference": reference,
    }
    with connections[db].cursor() as cursor:
        for among in (
            # Written as it is compared it is found by its index; only otherwise are all entries looked at.
            "custody_transfer t where t.book_id = %(book)s and t.reference = %(reference)s",
            "custody_entry e join custody_transfer t on t.book_id = %(book)s and t.position = e.position"
            " where e.account = %(account)s"
            " and upper(regexp_replace(t.reference, '\\s', '', 'g')) = %(reference)s",
        ):
            cursor.execute(
                f"select t.position from {among} and {fits} and t.amount_minor = %(amount)s"  # noqa: S608 -- these two
                " order by t.position limit 1",
                named,
            )
            if row := cursor.fetchone():
                return history.transfer_at(db, book, row[0])
    return None


def _next_id(db: Db, case: Case, request: TransferRequest) -> UUID:
    """The id a fix is posted under: the first that the ledger has not refused."""
    return history.first_not_refused(db, (fix_id(case, request, refused) for refused in itertools.count()))


def _as_posted(db: Db, transfer_id: str) -> TransferRequest:
    found = history.transfer(db, transfer_id)
    return TransferRequest(
        id=found.id,
        debit_account=numbers.account_text(found.debit_account),
        credit_account=numbers.account_text(found.credit_account),
        amount_minor=found.amount_minor,
        code=found.code.text,
        value_date=found.value_date,
        reference=found.reference,
    )


def _is_done(db: Db, case: Case, request: TransferRequest) -> bool:
    if request.reverses_id is not None:
        original = history.transfer(db, request.reverses_id)
        return history.reversed_by(db, case.book, original.position) is not None
    try:
        history.transfer(db, request.id)
    except errors.TransferNotFound:
        return False
    return True

"""The workbench: differences with the bank and their fixes, matches by hand, days closed by two people."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Status
from pydantic import BaseModel, BeforeValidator, Field

from tallystick.api import door, words
from tallystick.core.db import APP
from tallystick.custody import accounts, books, errors, numbers
from tallystick.custody.breaks import BreakKind
from tallystick.custody.workbench import cases, checklist, closing, fixes, matches
from tallystick.custody.workbench_models import CaseStatus
from tallystick.identity import access, approvals

router = Router(tags=["Workbench"])

KindName = Literal[
    "duplicate", "amount", "wrong_account", "timing", "unidentified", "missing_in_ledger", "missing_at_bank"
]
StateName = Literal["open", "in_progress", "resolved"]
CaseId = Annotated[str, Field(pattern="^brk_[0-9]{1,18}$", examples=["brk_17"])]
MatchId = Annotated[str, Field(pattern="^mat_[0-9]{1,18}$", examples=["mat_3"])]
LineKey = Annotated[str, Field(pattern="^(line|position):[0-9]{1,18}$", examples=["line:12", "position:34"])]
Whole = Annotated[int, Field(ge=0, le=2**31 - 1), BeforeValidator(words._number)]
Note = Annotated[str, Field(min_length=1, max_length=cases.NOTE_MAX, pattern=r"^[^\x00]*\S[^\x00]*$")]

assert set(KindName.__args__) == set(BreakKind)  # type: ignore[attr-defined]


class Case(BaseModel):
    """A difference with the bank, as it stands."""

    case: str
    bank_account: words.AccountId
    asset: str
    scale: int
    kind: KindName
    status: StateName
    owner: str = Field(description="who works on it; empty: nobody yet")
    day: date = Field(description="of the line it stands for")
    effect_minor: int = Field(description="what it adds to the bank's total over the ledger's")
    reference: str
    reconciliation: str = Field(description="the run that last said something new about it")


class Cases(BaseModel):
    """A page of cases, the oldest first."""

    cases: list[Case]
    next_after: int | None = Field(description="send back as `after` for the next page; null: there is none")


class CaseStep(BaseModel):
    """Something that happened to a case."""

    act: str
    status: StateName
    owner: str
    kind: KindName
    effect_minor: int
    transfer: str | None
    note: str
    at: datetime
    actor: str


class Fix(BaseModel):
    """A transfer that would settle a case, or did."""

    id: str
    why: str
    debit_account: words.AccountId
    credit_account: words.AccountId
    amount_minor: int
    code: str
    reverses_id: str | None
    value_date: date | None
    reference: str | None
    permission: str
    is_posted: bool


class CaseWhole(Case):
    """A case with its proposed fix and its history."""

    fix: list[Fix]
    steps: list[CaseStep]


class CasesQuery(words.Page):
    """Which cases."""

    status: Literal["unresolved", "resolved"] = "unresolved"
    kind: KindName | None = None
    after: Whole = Field(0, description="go on after so many: the last page's `next_after`")


class NewNote(words.Body):
    """What was found out."""

    note: Note


class Chosen(words.Body):
    """Which transfer is to be posted: the id it was shown under."""

    transfer: words.TransferId


class Posted(BaseModel):
    """What became of a fix."""

    transfer: str
    refusal: str | None


class NewMatch(words.Body):
    """Lines of both sides that are one payment."""

    bank_account: words.AccountId
    lines: Annotated[list[LineKey], Field(min_length=2, max_length=matches.LINES_MAX)]
    reason: words.Reason


class HandMatch(BaseModel):
    """A match by hand, as two people made it; and how it ended, if it did."""

    match: MatchId
    bank_account: words.AccountId
    lines: list[LineKey]
    amount_minor: int = Field(description="the bank's side")
    write_off_minor: int
    write_off_transfer: str | None
    reason: str
    proposed_by: str
    approved_by: str
    at: datetime
    undone_by: list[str] | None = Field(description="who proposed and who approved its end; null: it stands")
    undone_at: datetime | None
    undone_reason: str


class HandMatches(BaseModel):
    """Matches by hand, the newest first."""

    matches: list[HandMatch]


class Reasoned(words.Body):
    """Why something is taken back."""

    reason: words.Reason


class Check(BaseModel):
    """One check of a day."""

    check: str
    result: Literal["pass", "warn", "fail", "not_applicable"]
    subject: str
    found: str
    count: int


class Day(BaseModel):
    """A day of a book: as it was closed, or as it stands now."""

    day: date
    is_closed: bool
    position_from: int
    position_to: int
    sha256: str = Field(description="over the day's transfers, in order; empty until one person has signed")
    calendar: str
    cut_off_at: datetime
    rolled: int
    checks: list[Check]
    prepared_by: str | None
    signed_by: str | None


@router.get("/books/{book}/cases", response=Cases, summary="Differences with the bank")
def list_cases(request: HttpRequest, book: words.BookNumber, query: Query[CasesQuery]) -> object:
    access.require(APP, door.actor(request), "custody.read_statements")
    books.book(APP, book)
    filters = cases.Filters(
        statuses=(CaseStatus.RESOLVED,) if query.status == "resolved" else cases.UNRESOLVED,
        kind=None if query.kind is None else BreakKind(query.kind),
    )
    found = cases.cases(APP, book, filters, skipped=query.after, limit=query.limit + 1)
    banks = accounts.several(APP, {each.bank_account for each in found})
    return {
        "cases": [_case(each, banks[each.bank_account]) for each in found[: query.limit]],
        "next_after": query.after + query.limit if len(found) > query.limit else None,
    }


@router.get("/books/{book}/cases/{case}", response=CaseWhole, summary="A difference, its fix and its history")
def show_case(request: HttpRequest, book: words.BookNumber, case: CaseId) -> object:
    access.require(APP, door.actor(request), "custody.read_statements")
    return _whole(_of(book, case))


@router.post("/books/{book}/cases/{case}/take", response=CaseWhole, summary="Take a case")
def take_case(request: HttpRequest, book: words.BookNumber, case: CaseId) -> object:
    actor = door.actor(request)
    access.require(APP, actor, "custody.explain_break")
    return _whole(cases.take(APP, _of(book, case).id, actor=actor, now=timezone.now()))


@router.post("/books/{book}/cases/{case}/notes", response={201: CaseWhole}, summary="Write a note on a case")
def note_case(request: HttpRequest, book: words.BookNumber, case: CaseId, payload: NewNote) -> object:
    actor = door.actor(request)
    access.require(APP, actor, "custody.explain_break")
    noted = cases.write_note(APP, _of(book, case).id, payload.note, actor=actor, now=timezone.now())
    return Status(201, _whole(noted))


@router.post("/books/{book}/cases/{case}/fix", response=Posted, summary="Post what is proposed for a case")
def fix_case(request: HttpRequest, book: words.BookNumber, case: CaseId, payload: Chosen) -> object:
    actor = door.actor(request)
    # A reversal is the approver's to post, all else is operations': whoever may do neither learns nothing.
    permission = "custody.reverse" if access.allowed(actor, "custody.reverse") else "custody.post"
    access.require(APP, actor, permission)
    done = fixes.post(APP, _of(book, case).id, payload.transfer, actor=actor, now=timezone.now())
    return {"transfer": done.transfer, "refusal": done.refusal}


@router.post("/books/{book}/matches", response={201: words.Proposed}, summary="Propose a match by hand")
def propose_match(request: HttpRequest, book: words.BookNumber, payload: NewMatch) -> object:
    actor = door.actor(request)
    access.require(APP, actor, "custody.propose_match")
    (bank,) = words.accounts_of(book, [payload.bank_account])
    made = matches.propose(APP, bank, payload.lines, payload.reason, actor=actor, now=timezone.now())
    return Status(201, {"approval": approvals.reference(made)})


@router.post(
    "/books/{book}/matches/{approval}/approve", response=words.Proposed, summary="Approve a match by hand"
)
def approve_match(request: HttpRequest, book: words.BookNumber, approval: words.ApprovalId) -> object:
    actor = door.actor(request)
    access.require(APP, actor, "custody.approve_match")
    found = approvals.about(APP, words.approval(approval), {matches.MATCH}, book=book)
    matches.approve(APP, found.id, actor=actor, now=timezone.now())
    return {"approval": approval}


@router.get("/books/{book}/matches", response=HandMatches, summary="Matches by hand")
def list_matches(request: HttpRequest, book: words.BookNumber, query: Query[words.Page]) -> object:
    access.require(APP, door.actor(request), "custody.read_statements")
    books.book(APP, book)
    return {"matches": [_match(each) for each in matches.of_book(APP, book, limit=query.limit)]}


@router.post(
    "/books/{book}/matches/{match}/undo", response={201: words.Proposed}, summary="Propose to undo a match"
)
def propose_undoing(
    request: HttpRequest, book: words.BookNumber, match: MatchId, payload: Reasoned
) -> object:
    actor = door.actor(request)
    access.require(APP, actor, "custody.propose_match")
    if matches.match(APP, match).book != book:
        raise errors.ManualMatchUnknown(match=match)
    made = matches.propose_undoing(APP, match, payload.reason, actor=actor, now=timezone.now())
    return Status(201, {"approval": approvals.reference(made)})


@router.post(
    "/books/{book}/matches/{match}/undo/{approval}/approve",
    response=HandMatch,
    summary="Undo a match, as the second person",
)
def approve_undoing(
    request: HttpRequest, book: words.BookNumber, match: MatchId, approval: words.ApprovalId
) -> object:
    actor = door.actor(request)
    access.require(APP, actor, "custody.approve_match")
    found = approvals.about(APP, words.approval(approval), {matches.UNDO}, book=book, match=match)
    return _match(matches.undo(APP, found.id, actor=actor, now=timezone.now()))


@router.get("/books/{book}/days/{day}", response=Day, summary="A day of a book: closed, or as it stands")
def show_day(request: HttpRequest, book: words.BookNumber, day: words.Day) -> object:
    access.require(APP, door.actor(request), "custody.read_statements")
    books.book(APP, book)
    return _day(book, day)


@router.post(
    "/books/{book}/days/{day}/prepare", response={201: words.Proposed}, summary="Sign a day as the first"
)
def prepare_day(request: HttpRequest, book: words.BookNumber, day: words.Day) -> object:
    made = closing.prepare(APP, book, day, actor=door.actor(request), now=timezone.now())
    return Status(201, {"approval": approvals.reference(made)})


@router.post("/books/{book}/days/{day}/close/{approval}", response=Day, summary="Sign a day as the second")
def close_day(
    request: HttpRequest, book: words.BookNumber, day: words.Day, approval: words.ApprovalId
) -> object:
    actor = door.actor(request)
    access.require(APP, actor, "custody.sign_close")
    found = approvals.about(APP, words.approval(approval), {closing.CLOSE}, book=book, day=day.isoformat())
    closing.sign(APP, found.id, actor=actor, now=timezone.now())
    return _day(book, day)


@router.post(
    "/books/{book}/days/{day}/prepare-reopening",
    response={201: words.Proposed},
    summary="Propose to open the last closed day again",
)
def prepare_reopening(
    request: HttpRequest, book: words.BookNumber, day: words.Day, payload: Reasoned
) -> object:
    actor, now = door.actor(request), timezone.now()
    made = closing.prepare_reopening(APP, book, day, reason=payload.reason, actor=actor, now=now)
    return Status(201, {"approval": approvals.reference(made)})


@router.post(
    "/books/{book}/days/{day}/reopen/{approval}", response=Day, summary="Open a day again, as the second"
)
def reopen_day(
    request: HttpRequest, book: words.BookNumber, day: words.Day, approval: words.ApprovalId
) -> object:
    actor = door.actor(request)
    access.require(APP, actor, "custody.sign_close")
    found = approvals.about(APP, words.approval(approval), {closing.REOPEN}, book=book, day=day.isoformat())
    closing.reopen(APP, found.id, actor=actor, now=timezone.now())
    return _day(book, day)


def _of(book: int, case: str) -> cases.Case:
    found = cases.case(APP, case)
    if found.book != book:
        raise errors.CaseUnknown(case=case)
    return found


def _case(found: cases.Case, bank: accounts.Account) -> dict[str, object]:
    return {
        "case": found.id,
        "bank_account": bank.text,
        "asset": bank.asset,
        "scale": bank.scale,
        "kind": found.kind.value,
        "status": found.status.value,
        "owner": found.owner,
        "day": found.day,
        "effect_minor": found.effect_minor,
        "reference": found.reference,
        "reconciliation": found.reconciliation,
    }


def _match(found: matches.Match) -> dict[str, object]:
    return {
        "match": found.id,
        "bank_account": numbers.account_text(found.bank_account),
        "lines": [
            *(f"line:{each}" for each in found.statement_lines),
            *(f"position:{each}" for each in found.positions),
        ],
        "amount_minor": found.amount_minor,
        "write_off_minor": found.write_off_minor,
        "write_off_transfer": found.write_off_transfer,
        "reason": found.reason,
        "proposed_by": found.proposed_by,
        "approved_by": found.approved_by,
        "at": found.at,
        "undone_by": None if found.undone_by is None else list(found.undone_by),
        "undone_at": found.undone_at,
        "undone_reason": found.undone_reason,
    }


def _whole(found: cases.Case) -> dict[str, object]:
    known = fixes.facts(APP, found)
    fix = [
        {
            "id": each.request.id,
            "why": each.why.value,
            "debit_account": each.request.debit_account,
            "credit_account": each.request.credit_account,
            "amount_minor": each.request.amount_minor,
            "code": each.request.code,
            "reverses_id": each.request.reverses_id,
            "value_date": each.request.value_date,
            "reference": each.request.reference,
            "permission": each.permission,
            "is_posted": each.is_posted,
        }
        for each in fixes.proposed(APP, found, known)
    ]
    steps = [
        {
            "act": each.act.value,
            "status": each.status.value,
            "owner": each.owner,
            "kind": each.kind.value,
            "effect_minor": each.effect_minor,
            "transfer": each.transfer,
            "note": each.note,
            "at": each.at,
            "actor": each.actor,
        }
        for each in known.steps
    ]
    return {**_case(found, cases.bank(APP, found)), "fix": fix, "steps": steps}


def _day(book: int, day: date) -> dict[str, object]:
    held = closing.rows(APP, book, day)
    closed = held[-1] if held and held[-1].act.value == "closed" else None
    shown = closed or closing.sheet(APP, book, day, now=timezone.now())
    return {
        "day": day,
        "is_closed": closed is not None,
        "position_from": shown.position_from,
        "position_to": shown.position_to,
        "sha256": shown.sha256.hex(),
        "calendar": shown.calendar,
        "cut_off_at": shown.cut_off_at,
        "rolled": closed.rolled if closed else len(shown.rolled) if isinstance(shown, closing.Sheet) else 0,
        "checks": checklist.payload(shown.checks),
        "prepared_by": closed.prepared_by if closed else None,
        "signed_by": closed.signed_by if closed else None,
    }

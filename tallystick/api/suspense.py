"""Money in suspense: receipts that nobody was named for, given to their owners or sent back by two people."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Status
from pydantic import BaseModel, Field

from tallystick.api import door, words
from tallystick.core.db import APP
from tallystick.custody import accounts, books, numbers
from tallystick.custody.workbench import receipts
from tallystick.identity import access, approvals

router = Router(tags=["Workbench"])

Note = Annotated[str, Field(min_length=1, max_length=receipts.NOTE_MAX)]


class Receipt(BaseModel):
    """Money in suspense, and where it came in."""

    position: int = Field(description="of the transfer that took it into suspense; names the receipt")
    transfer: words.TransferId
    bank_account: words.AccountId
    suspense_account: words.AccountId
    asset: str
    scale: int
    amount_minor: int
    day: date
    reference: str
    case: str | None = Field(description="the difference it was booked from, where it was one")


class Receipts(BaseModel):
    """What lies in suspense, the oldest first."""

    receipts: list[Receipt]


class OwnerCandidate(BaseModel):
    """An account that may be the owner's, and what speaks for it."""

    account: words.AccountId
    name: str
    owner: str
    reasons: list[str]
    weight: int


class ReceiptStep(BaseModel):
    """What was done about a receipt."""

    act: Literal["noted", "traced", "returned"]
    account: words.AccountId | None
    transfer: str | None
    is_posted: bool
    refusal: str = Field(description="the ledger's, of the step's transfer; empty: none so far")
    note: str
    at: datetime
    actor: str


class ReceiptWhole(Receipt):
    """A receipt with whose it may be and what was done about it."""

    candidates: list[OwnerCandidate]
    steps: list[ReceiptStep]


class Owner(words.Body):
    """Whose a receipt is, and why."""

    account: words.AccountId
    note: Note


class SentBack(words.Body):
    """Why a receipt goes back."""

    reason: Note


class Left(BaseModel):
    """The transfer by which a receipt left suspense."""

    transfer: words.TransferId


@router.get("/books/{book}/suspense", response=Receipts, summary="Money in suspense")
def list_receipts(request: HttpRequest, book: words.BookNumber) -> object:
    access.require(APP, door.actor(request), "custody.read_statements")
    books.book(APP, book)
    found = receipts.receipts(APP, book)
    held = accounts.several(APP, {each.suspense_account for each in found})
    return {"receipts": [_receipt(each, held[each.suspense_account]) for each in found]}


@router.get(
    "/books/{book}/suspense/{position}", response=ReceiptWhole, summary="A receipt, and whose it may be"
)
def show_receipt(request: HttpRequest, book: words.BookNumber, position: words.Position) -> object:
    access.require(APP, door.actor(request), "custody.read_statements")
    found = receipts.receipt(APP, book, position)
    candidates = [
        {
            "account": numbers.account_text(each.account),
            "name": each.name,
            "owner": each.owner,
            "reasons": [reason.value for reason in each.reasons],
            "weight": each.weight,
        }
        for each in receipts.candidates(APP, found)
    ]
    steps = [
        {
            "act": each.act.value,
            "account": None if each.account is None else numbers.account_text(each.account),
            "transfer": each.transfer,
            "is_posted": each.is_posted,
            "refusal": each.refusal,
            "note": each.note,
            "at": each.at,
            "actor": each.actor,
        }
        for each in receipts.steps(APP, book, position)
    ]
    told = _receipt(found, accounts.account(APP, found.suspense_account))
    return {**told, "candidates": candidates, "steps": steps}


@router.post("/books/{book}/suspense/{position}/trace", response=Left, summary="Give a receipt to its owner")
def trace_receipt(
    request: HttpRequest, book: words.BookNumber, position: words.Position, payload: Owner
) -> object:
    actor = door.actor(request)
    for permission in ("custody.explain_break", "custody.post"):
        access.require(APP, actor, permission)
    (owner,) = words.accounts_of(book, [payload.account])
    done = receipts.trace(APP, book, position, owner, payload.note, actor=actor, now=timezone.now())
    return {"transfer": done}


@router.post(
    "/books/{book}/suspense/{position}/return",
    response={201: words.Proposed},
    summary="Propose to send a receipt back",
)
def propose_return(
    request: HttpRequest, book: words.BookNumber, position: words.Position, payload: SentBack
) -> object:
    actor = door.actor(request)
    access.require(APP, actor, "custody.propose_return")
    made = receipts.propose_return(APP, book, position, payload.reason, actor=actor, now=timezone.now())
    return Status(201, {"approval": approvals.reference(made)})


@router.post(
    "/books/{book}/suspense/{position}/return/{approval}/approve",
    response=Left,
    summary="Send a receipt back, as the second person",
)
def approve_return(
    request: HttpRequest, book: words.BookNumber, position: words.Position, approval: words.ApprovalId
) -> object:
    actor = door.actor(request)
    access.require(APP, actor, "custody.approve_return")
    number = words.approval(approval)
    found = approvals.about(APP, number, {receipts.RETURN}, book=book, position=position)
    return {"transfer": receipts.approve_return(APP, found.id, actor=actor, now=timezone.now())}


def _receipt(found: receipts.Receipt, suspense: accounts.Account) -> dict[str, object]:
    return {
        "position": found.position,
        "transfer": found.transfer,
        "bank_account": numbers.account_text(found.bank_account),
        "suspense_account": suspense.text,
        "asset": suspense.asset,
        "scale": suspense.scale,
        "amount_minor": found.amount_minor,
        "day": found.day,
        "reference": found.reference,
        "case": found.case,
    }

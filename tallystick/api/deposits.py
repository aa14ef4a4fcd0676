"""Deposits: where and under which reference to pay in, what is on its way; and who sets the bank details."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Status
from pydantic import BaseModel, Field

from tallystick.api import door, reach, words
from tallystick.core.db import APP
from tallystick.custody import books, deposits, numbers, pay_in, pay_references
from tallystick.identity import approvals

router = Router(tags=["Deposits"])


class PayInBank(BaseModel):
    """A bank account to pay in to. `code` is what a code to scan holds: EPC069-12 for euro, else the words."""

    bank_account: words.AccountId
    holder_name: str
    account_number: str
    bank_name: str
    bank_code: str
    code: str


class PayIn(BaseModel):
    """How to pay in to one account."""

    account: words.AccountId
    asset: str
    reference: str = Field(description="write it on the payment: ISO 11649, or 20 digits for yuan")
    banks: list[PayInBank]


class Deposit(BaseModel):
    """A deposit with the stage it has reached, and when it came to each."""

    stage: Literal["announced", "noticed", "booked", "not_arrived"]
    amount_minor: int
    announced_at: datetime | None
    expected_until: date | None
    noticed_at: datetime | None
    booking_date: date | None
    booked_at: datetime | None
    transfer: words.TransferId | None
    position: int | None


class Deposits(BaseModel):
    """The newest deposits of an account."""

    account: words.AccountId
    deposits: list[Deposit]


class NewAnnouncement(words.Body):
    """A customer's word that money is on its way. It moves nothing."""

    amount_minor: words.Amount


class Announced(BaseModel):
    """The announcement's name."""

    announcement: Annotated[str, Field(pattern="^ann_[0-9]+$")]


class NewDetails(words.Body):
    """Bank details to propose; they hold once another person has approved them."""

    bank_account: words.AccountId
    holder_name: Annotated[str, Field(min_length=1, max_length=70)]
    account_number: Annotated[str, Field(min_length=4, max_length=34)]
    bank_name: Annotated[str, Field(min_length=1, max_length=140)]
    bank_code: Annotated[str, Field(max_length=35)] = ""
    takes_from: words.Day = Field(description="lines booked before this day are left alone")
    suspense_account: words.AccountId | None = Field(
        None, description="where money goes that names no owner; null: left to the reconciliation"
    )
    is_open: bool = True


class PayInDetails(BaseModel):
    """Bank details that hold."""

    bank_account: words.AccountId
    holder_name: str
    account_number: str
    is_open: bool
    at: datetime
    actor: str


class Limit(BaseModel):
    """How many."""

    limit: Annotated[int, Field(ge=1, le=100)] = 50


@router.get("/accounts/{account}/pay-in", response=PayIn, summary="How to pay in to an account")
def show_pay_in(request: HttpRequest, account: words.AccountId) -> object:
    found = reach.account(APP, words.account(account), actor=door.actor(request))
    return {
        "account": found.text,
        "asset": found.asset,
        "reference": pay_references.reference(found.number, found.asset),
        "banks": [
            {
                "bank_account": numbers.account_text(held.details.bank_account),
                "holder_name": held.details.holder_name,
                "account_number": held.details.account_number,
                "bank_name": held.details.bank_name,
                "bank_code": held.details.bank_code,
                "code": pay_in.code_text(held.details, found.number, found.asset, found.scale),
            }
            for held in pay_in.details_of_book(APP, found.book, asset=found.asset)
        ],
    }


@router.get("/accounts/{account}/deposits", response=Deposits, summary="Deposits and how far they are")
def list_deposits(request: HttpRequest, account: words.AccountId, query: Query[Limit]) -> object:
    found = reach.account(APP, words.account(account), actor=door.actor(request))
    today = books.book(APP, found.book).today(timezone.now())
    return {
        "account": found.text,
        "deposits": [
            {
                "stage": str(each.stage),
                "amount_minor": each.amount_minor,
                "announced_at": each.announced_at,
                "expected_until": each.expected_until,
                "noticed_at": each.noticed_at,
                "booking_date": each.booking_date,
                "booked_at": each.booked_at,
                "transfer": each.transfer,
                "position": each.position,
            }
            for each in deposits.incoming(APP, found.number, today=today, limit=query.limit)
        ],
    }


@router.post(
    "/accounts/{account}/deposit-announcements", response={201: Announced}, summary="Announce a deposit"
)
def announce(request: HttpRequest, account: words.AccountId, payload: NewAnnouncement) -> object:
    actor = door.actor(request)
    found = reach.account(APP, words.account(account), actor=actor)
    name = deposits.announce(APP, found.number, payload.amount_minor, actor=actor, now=timezone.now())
    return Status(201, {"announcement": name})


@router.post("/pay-in-details", response={201: words.Proposed}, summary="Propose bank details to pay in to")
def propose_details(request: HttpRequest, payload: NewDetails) -> object:
    """Approved by another person: on the page, or at `/pay-in-details/{approval}/approve`."""
    suspense = payload.suspense_account
    proposed = pay_in.propose(
        APP,
        pay_in.Details(
            bank_account=words.account(payload.bank_account),
            holder_name=payload.holder_name,
            account_number=payload.account_number,
            bank_name=payload.bank_name,
            bank_code=payload.bank_code,
            takes_from=payload.takes_from,
            suspense_account=None if suspense is None else words.account(suspense),
            is_open=payload.is_open,
        ),
        actor=door.actor(request),
        now=timezone.now(),
    )
    return Status(201, {"approval": approvals.reference(proposed)})


@router.post(
    "/pay-in-details/{approval}/approve", response=PayInDetails, summary="Approve proposed bank details"
)
def approve_details(request: HttpRequest, approval: words.ApprovalId) -> object:
    """By another person than the proposer; they hold from now on."""
    held = pay_in.approve(APP, words.approval(approval), actor=door.actor(request), now=timezone.now())
    return {
        "bank_account": numbers.account_text(held.details.bank_account),
        "holder_name": held.details.holder_name,
        "account_number": held.details.account_number,
        "is_open": held.details.is_open,
        "at": held.at,
        "actor": held.actor,
    }

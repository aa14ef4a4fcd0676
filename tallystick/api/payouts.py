"""Payouts: bank accounts, the notice, orders and where they stand; release by a second person; batches."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Status
from pydantic import BaseModel, Field

from tallystick.api import door, reach, words
from tallystick.core.db import APP
from tallystick.custody import assets, errors, holders
from tallystick.custody.numbers import account_text, authorisation_text
from tallystick.custody.payout_models import BankAccountStatus, PayoutStatus
from tallystick.custody.payouts import bank_accounts, batches, notices, orders, steps
from tallystick.identity import access
from tallystick.identity.access import Actor

router = Router(tags=["Payouts"])

MAKE, ADD = "custody.make_payout", "custody.add_bank_account"

PayoutId = Annotated[str, Field(pattern="^pay_[0-9]{1,18}$", examples=["pay_1"])]
BankAccountId = Annotated[str, Field(pattern="^bnk_[0-9]{1,18}$", examples=["bnk_1"])]
BatchId = Annotated[str, Field(pattern="^pbt_[0-9]{1,18}$", examples=["pbt_1"])]
StatusName = Literal[
    "asked", "pending", "released", "batched", "sent", "accepted", "settled",
    "refused", "cancelled", "declined", "rejected", "returned",
]  # fmt: skip
_NUMBERED = re.compile(r"(?:pay|bnk|pbt)_([0-9]{1,18})")


class NewPayout(words.Body):
    """An order to pay out. The same `request_key` with the same order is the same payout."""

    bank_account: BankAccountId
    amount_minor: words.Amount
    request_key: Annotated[str, Field(min_length=1, max_length=64)]
    note: Annotated[str, Field(max_length=140)] = Field("", description="for the payee's statement")
    authorisation: words.AuthorisationId | None = Field(
        None, description="from operations: what the client gave for it"
    )


class Payout(BaseModel):
    """A payout and where it stands."""

    payout: PayoutId
    status: StatusName
    status_at: datetime
    reason: str = Field(description="of its last step: in words, the ledger's reason, or the bank's code")
    book: int
    owner: str
    debit_account: words.AccountId
    amount_minor: int
    asset: str
    bank_account: BankAccountId
    payee: str = Field(description="the bank and the last four characters of the number")
    holder_name: str
    authorisation: words.AuthorisationId
    needs_release: bool
    note: str
    end_to_end_id: str
    batch: BatchId | None
    asked_at: datetime
    asked_by: str


class PayoutStep(BaseModel):
    """One status it had."""

    number: int
    status: StatusName
    by_rule: bool
    approval: str | None
    reason: str
    at: datetime
    actor: str


class PayoutInFull(Payout):
    """A payout with every step of its way."""

    steps: list[PayoutStep]


class Payouts(BaseModel):
    """A page of payouts, the newest first."""

    payouts: list[Payout]
    next_before: PayoutId | None = Field(description="send as `before` for the next page; null: no more")


class Wanted(words.Page):
    """Which payouts, and where the page begins."""

    status: StatusName | None = None
    owner: Annotated[str, Field(max_length=64)] | None = Field(None, description="a client's alone")
    before: PayoutId | None = Field(None, description="go on before this payout")


class Why(words.Body):
    """Why."""

    reason: Annotated[str, Field(min_length=1, max_length=200)]


class Nothing(words.Body):
    """Nothing to say."""


class NewBankAccount(words.Body):
    """A bank account of the client whose account it is bound to. A BIC or a CNAPS number is needed."""

    holder_name: Annotated[str, Field(min_length=1, max_length=70)]
    bank_name: Annotated[str, Field(min_length=1, max_length=70)]
    number: Annotated[str, Field(min_length=5, max_length=50, description="IBAN, or the bank's own number")]
    bic: Annotated[str, Field(max_length=11)] = ""
    cnaps: Annotated[str, Field(max_length=12)] = ""


class BankAccount(BaseModel):
    """A client's bank account: its number is never told again, but for the last four characters."""

    bank_account: BankAccountId
    owner: str
    status: Literal["unverified", "verified", "closed"]
    holder_name: str
    bank_name: str
    bic: str
    cnaps: str
    last4: str
    version: int
    details_at: datetime


class BankAccounts(BaseModel):
    """A client's bank accounts, closed ones last."""

    bank_accounts: list[BankAccount]


class Notice(BaseModel):
    """What a client reads before they order a payout."""

    version: int
    en: str
    zh: str
    acknowledged: bool = Field(description="whether the client who asks has read this version")


class Read(words.Body):
    """Which version was read, in which language."""

    version: Annotated[int, Field(ge=0, le=2**31 - 1)]
    language: Annotated[str, Field(min_length=2, max_length=16)]


class NewBatch(words.Body):
    """Whose payouts go into the batch."""

    asset: Annotated[str, Field(min_length=1, max_length=12)]


class Batch(BaseModel):
    """A batch of payouts: one pain.001 file."""

    batch: BatchId
    message_id: str
    execution_date: date
    payouts: int
    sum_minor: int
    asset: str
    sha256: str
    at: datetime
    actor: str
    sent_at: datetime | None


class Batches(BaseModel):
    """The newest batches of a book, the newest first."""

    batches: list[Batch]


# ── orders ───────────────────────────────────────────────────────────────────────────────────────────────


@router.get("/books/{book}/payouts", response=Payouts, summary="The payouts of a book")
def list_payouts(request: HttpRequest, book: words.BookNumber, query: Query[Wanted]) -> object:
    """A client sees their own."""
    owner = reach.owner(APP, query.owner, actor=door.actor(request))
    page = orders.payouts(
        APP,
        book,
        status=None if query.status is None else PayoutStatus(query.status),
        owner=owner,
        before=None if query.before is None else _number(query.before),
        limit=query.limit,
    )
    return {
        "payouts": [_payout(each) for each in page],
        "next_before": page[-1].reference if len(page) == query.limit else None,
    }


@router.post("/accounts/{account}/payouts", response={201: Payout}, summary="Order a payout")
def order(request: HttpRequest, account: words.AccountId, payload: NewPayout) -> object:
    """By the client, or by operations with the client's authorisation. Look at the status of the answer."""
    actor = door.actor(request)
    _first(actor, MAKE)
    debited = reach.account(APP, words.account(account), actor=actor)
    made = orders.ask(
        APP,
        debited.number,
        _number(payload.bank_account),
        payload.amount_minor,
        request_key=payload.request_key,
        note=payload.note,
        authorisation=None if payload.authorisation is None else words.authorisation(payload.authorisation),
        actor=actor,
        now=timezone.now(),
    )
    return Status(201, _payout(made))


@router.get("/payouts/{payout}", response=PayoutInFull, summary="A payout")
def show(request: HttpRequest, payout: PayoutId) -> object:
    found = _reached(payout, door.actor(request))
    return {
        **_payout(found),
        "steps": [
            {
                "number": each.number,
                "status": each.status.value,
                "by_rule": each.by_rule,
                "approval": None if each.approval is None else f"apr_{each.approval}",
                "reason": each.reason,
                "at": each.at,
                "actor": each.actor,
            }
            for each in steps.steps(APP, found.id)
        ],
    }


@router.post("/payouts/{payout}/cancel", response={201: Payout}, summary="Call a payout off")
def cancel(request: HttpRequest, payout: PayoutId, payload: Why) -> object:
    """Until it is released. What was held is the client's to use again."""
    actor = door.actor(request)
    _first(actor, MAKE)
    found = _reached(payout, actor)
    return Status(
        201, _payout(orders.cancel(APP, found.id, reason=payload.reason, actor=actor, now=timezone.now()))
    )


@router.post("/payouts/{payout}/release", response={201: Payout}, summary="Release a payout")
def release(request: HttpRequest, payout: PayoutId, payload: Nothing) -> object:
    """By somebody other than who ordered it, and than whose money it is."""
    actor = door.actor(request)
    access.require(APP, actor, "custody.release_payout")
    return Status(201, _payout(orders.release(APP, _number(payout), actor=actor, now=timezone.now())))


@router.post("/payouts/{payout}/decline", response={201: Payout}, summary="Decline a payout")
def decline(request: HttpRequest, payout: PayoutId, payload: Why) -> object:
    """What was held is the client's to use again."""
    actor = door.actor(request)
    access.require(APP, actor, "custody.release_payout")
    declined = orders.decline(APP, _number(payout), reason=payload.reason, actor=actor, now=timezone.now())
    return Status(201, _payout(declined))


# ── where to, and the notice ─────────────────────────────────────────────────────────────────────────────


@router.get("/accounts/{account}/bank-accounts", response=BankAccounts, summary="Where a client's payouts go")
def list_bank_accounts(request: HttpRequest, account: words.AccountId) -> object:
    """Of everybody to whom the account's money may be paid."""
    found = reach.account(APP, words.account(account), actor=door.actor(request))
    held = [
        each
        for owner in sorted(holders.payees(holders.standing(APP, found)))
        for each in bank_accounts.of_owner(APP, found.book, owner)
    ]
    held.sort(key=lambda each: each.status == BankAccountStatus.CLOSED)
    return {"bank_accounts": [_bank_account(each) for each in held]}


@router.post("/accounts/{account}/bank-accounts", response={201: BankAccount}, summary="Bind a bank account")
def add_bank_account(request: HttpRequest, account: words.AccountId, payload: NewBankAccount) -> object:
    """It is verified by somebody else, and cools off, before a payout may go there."""
    actor = door.actor(request)
    _first(actor, ADD)
    found = reach.account(APP, words.account(account), actor=actor)
    details = bank_accounts.Details(**payload.model_dump())
    # A holder binds their own; staff the first holder's.
    owner = actor.customer_number if access.allowed(actor, ADD, owner=actor.customer_number) else None
    added = bank_accounts.add(APP, found.book, owner or found.owner, details, actor=actor, now=timezone.now())
    return Status(201, _bank_account(added))


@router.get("/books/{book}/payout-notice", response=Notice, summary="The notice before a payout")
def show_notice(request: HttpRequest, book: words.BookNumber) -> object:
    actor = door.actor(request)
    _first(actor, reach.OWN)
    notice = notices.current(APP, book)
    mine = actor.customer_number
    return {
        "version": notice.version,
        "en": notice.en,
        "zh": notice.zh,
        "acknowledged": mine is not None and notices.acknowledged(APP, book, mine) is not None,
    }


@router.post(
    "/books/{book}/payout-notice", response={201: Notice}, summary="Say that the notice has been read"
)
def acknowledge(request: HttpRequest, book: words.BookNumber, payload: Read) -> object:
    """By the client alone, of the version that holds now."""
    actor = door.actor(request)
    _first(actor, "custody.acknowledge_payout_notice")
    assert actor.customer_number is not None
    notices.acknowledge(
        APP,
        book,
        actor.customer_number,
        payload.version,
        language=payload.language,
        actor=actor,
        now=timezone.now(),
    )
    return Status(201, show_notice(request, book))


# ── batches ──────────────────────────────────────────────────────────────────────────────────────────────


@router.get("/books/{book}/payout-batches", response=Batches, summary="Batches for the bank")
def list_batches(request: HttpRequest, book: words.BookNumber) -> object:
    reach.ledger(APP, actor=door.actor(request))
    return {"batches": [_batch(each) for each in batches.batches(APP, book)]}


@router.post("/books/{book}/payout-batches", response={201: Batch}, summary="Make a batch")
def make_batch(request: HttpRequest, book: words.BookNumber, payload: NewBatch) -> object:
    """Every released payout of the asset, for the next business day by cut-off and calendar."""
    actor = door.actor(request)
    access.require(APP, actor, "custody.send_payouts")
    number = assets.asset(APP, payload.asset).number
    return Status(201, _batch(batches.make(APP, book, number, actor=actor, now=timezone.now())))


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


def _first(actor: Actor, permission: str) -> None:
    """Whoever may do this with nothing at all is refused before anything is looked up."""
    access.require(APP, actor, permission, owner=actor.customer_number)


def _reached(text: str, actor: Actor) -> orders.Payout:
    """The payout, for somebody who may see the account it is taken from. Raises `errors.PayoutUnknown`."""
    _first(actor, reach.OWN)
    found = orders.payout(APP, _number(text))
    try:
        reach.account(APP, found.debit_account, actor=actor)
    except errors.AccountUnknown:
        # As if it were not there.
        raise errors.PayoutUnknown(payout=found.reference) from None
    return found


def _number(text: str) -> int:
    found = _NUMBERED.fullmatch(text)
    assert found is not None, "the form of an address is checked before"
    return int(found[1])


def _payout(each: orders.Payout) -> dict[str, object]:
    return {
        "payout": each.reference,
        "status": each.status.value,
        "status_at": each.status_at,
        "reason": each.reason,
        "book": each.book,
        "owner": each.owner,
        "debit_account": account_text(each.debit_account),
        "amount_minor": each.amount_minor,
        "asset": each.asset,
        "bank_account": f"bnk_{each.bank_account}",
        "payee": each.payee,
        "holder_name": each.holder_name,
        "authorisation": authorisation_text(each.authorisation),
        "needs_release": each.needs_release,
        "note": each.note,
        "end_to_end_id": each.end_to_end_id,
        "batch": None if each.batch is None else f"pbt_{each.batch}",
        "asked_at": each.asked_at,
        "asked_by": each.asked_by,
    }


def _bank_account(each: bank_accounts.BankAccount) -> dict[str, object]:
    return {
        "bank_account": each.reference,
        "owner": each.owner,
        "status": each.status.value,
        "holder_name": each.holder_name,
        "bank_name": each.bank_name,
        "bic": each.bic,
        "cnaps": each.cnaps,
        "last4": each.last4,
        "version": each.version,
        "details_at": each.details_at,
    }


def _batch(each: batches.Batch) -> dict[str, object]:
    return {
        "batch": each.reference,
        "message_id": each.message_id,
        "execution_date": each.execution_date,
        "payouts": each.payouts,
        "sum_minor": each.sum_minor,
        "asset": each.asset,
        "sha256": each.sha256.hex(),
        "at": each.at,
        "actor": each.actor,
        "sent_at": each.sent_at,
    }

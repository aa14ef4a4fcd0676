"""Authorisations: what a client agrees may be taken from their account; and the keys they sign with."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Annotated, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Status
from pydantic import BaseModel, Field

from tallystick.api import door, reach, words
from tallystick.core.db import APP
from tallystick.core.money import BALANCE_MAX
from tallystick.custody import codes, errors, instructions
from tallystick.custody.instructions import Terms
from tallystick.custody.models import AmountRule
from tallystick.custody.numbers import AccountNumber, AuthorisationKind, account_text
from tallystick.identity import access
from tallystick.identity.access import Actor

router = Router(tags=["Authorisations"])

KindName = Literal["order", "schedule", "entitlement", "legal"]
RuleName = Literal["exact", "at_most", "formula"]
PublicKey = Annotated[
    str, Field(pattern="^[A-Za-z0-9+/]{43}=$", description="an Ed25519 public key, 32 bytes in base64")
]
Signature = Annotated[
    str, Field(pattern="^[A-Za-z0-9+/]{86}==$", description="an Ed25519 signature, 64 bytes in base64")
]


class NewTerms(words.Body):
    """What a client agrees to. amount_minor: the exact amount, the most of one use, or a formula's base."""

    kind: KindName
    credit_account: words.AccountId
    payee: Annotated[str, Field(max_length=140)] = ""
    code: words.CodeName
    amount_rule: RuleName = "exact"
    amount_minor: words.Amount
    rate_ppm: Annotated[int, Field(ge=1, le=instructions.RATE_PPM_MAX)] | None = Field(
        None, description="for a formula: the yearly rate in millionths"
    )
    day_basis: Literal[360, 365] | None = Field(None, description="for a formula: the days of a year")
    total_max_minor: Annotated[int, Field(ge=1, le=BALANCE_MAX)] | None = Field(
        None, description="all uses together at most; needed for a formula"
    )
    uses_max: Annotated[int, Field(ge=1, le=instructions.USES_MAX)] = 1
    valid_from: words.Moment
    valid_until: words.Moment
    basis: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        description="the order, contract or decision it rests on"
    )


class NewAuthorisation(NewTerms):
    """Terms, and where somebody other than the client records them, the client's signature over them."""

    signature: Signature | None = None
    public_key: PublicKey | None = None


class Statement(BaseModel):
    """The exact bytes a client signs: UTF-8, canonical JSON (RFC 8785)."""

    statement: str


class Authorisation(BaseModel):
    """An authorisation, and what has been used of it."""

    authorisation: words.AuthorisationId
    book: int
    kind: KindName
    debit_account: words.AccountId
    credit_account: words.AccountId
    owner: str
    payee: str
    code: words.CodeName
    amount_rule: RuleName
    amount_minor: int
    rate_ppm: int | None
    day_basis: int | None
    total_max_minor: int
    uses_max: int
    valid_from: datetime
    valid_until: datetime
    basis: str
    standing: Literal["withdrawn", "consumed", "expired", "not_yet_valid", "valid"]
    uses: int
    used_minor: int
    statement: str
    signature: Signature | None
    public_key: PublicKey | None
    given_by: str
    given_at: datetime
    withdrawn_at: datetime | None
    withdrawn_by: str | None
    withdrawn_reason: str | None


class Authorisations(BaseModel):
    """A page of authorisations, in the order given."""

    authorisations: list[Authorisation]
    next_after: words.AuthorisationId | None = Field(
        description="send as `after` for the next page; null: no more"
    )


class Wanted(words.Page):
    """Where the page begins."""

    after: words.AuthorisationId | None = Field(None, description="go on after this authorisation")


class Given(BaseModel):
    """The number of the authorisation: what a debit names."""

    authorisation: words.AuthorisationId


class Withdrawal(words.Body):
    """Why an authorisation ends before its time."""

    reason: words.Reason


class Use(BaseModel):
    """One use: the transfer that consumed it, and what had been used up to then."""

    use: int
    position: int
    used_minor: int


class Uses(BaseModel):
    """Every use, the first one first."""

    authorisation: words.AuthorisationId
    uses: list[Use]


class NewKey(words.Body):
    """A public key to register for the client who is signed in."""

    public_key: PublicKey


class Key(BaseModel):
    """A client's public key."""

    owner: str
    public_key: PublicKey
    registered_at: datetime
    registered_by: str


class Keys(BaseModel):
    """The keys of the client who is signed in."""

    keys: list[Key]


@router.get(
    "/accounts/{account}/authorisations", response=Authorisations, summary="The authorisations of an account"
)
def list_authorisations(request: HttpRequest, account: words.AccountId, query: Query[Wanted]) -> object:
    found = reach.account(APP, words.account(account), actor=door.actor(request))
    after = 0 if query.after is None else words.authorisation(query.after)
    page = instructions.authorisations(APP, found.number, after=after, limit=query.limit)
    now = timezone.now()
    return {
        "authorisations": [_authorisation(each, now) for each in page],
        "next_after": page[-1].text if len(page) == query.limit else None,
    }


@router.post(
    "/accounts/{account}/authorisations", response={201: Given}, summary="Authorise debits of an account"
)
def authorise(request: HttpRequest, account: words.AccountId, payload: NewAuthorisation) -> object:
    """By the client from their own session or token; or by operations with the client's signature."""
    actor = door.actor(request)
    terms = _terms(_debited(account, actor), payload)
    given = instructions.Given(
        terms,
        None if payload.signature is None else _raw(payload.signature, "signature", 64),
        None if payload.public_key is None else _raw(payload.public_key, "public_key", 32),
    )
    number = instructions.authorise_many(APP, [given], actor=actor, now=timezone.now())[0]
    return Status(201, {"authorisation": f"ath_{number:018d}"})


@router.post(
    "/accounts/{account}/authorisations/statement", response=Statement, summary="The statement a client signs"
)
def statement(request: HttpRequest, account: words.AccountId, payload: NewTerms) -> object:
    """Records nothing. What is signed must be these bytes, to the last one."""
    terms = _terms(_debited(account, door.actor(request)), payload)
    if refusal := instructions.border_refusal(terms):
        raise refusal
    if wrong := instructions.misfit(terms):
        raise errors.Malformed(where="authorisation", field=wrong[0], expected=wrong[1])
    return {"statement": instructions.statement_bytes(terms).decode()}


@router.get("/authorisations/{authorisation}", response=Authorisation, summary="An authorisation")
def show_authorisation(request: HttpRequest, authorisation: words.AuthorisationId) -> object:
    number = words.authorisation(authorisation)
    return _authorisation(reach.authorisation(APP, number, actor=door.actor(request)), timezone.now())


@router.get("/authorisations/{authorisation}/uses", response=Uses, summary="What consumed an authorisation")
def list_uses(request: HttpRequest, authorisation: words.AuthorisationId) -> object:
    found = reach.authorisation(APP, words.authorisation(authorisation), actor=door.actor(request))
    return {
        "authorisation": found.text,
        "uses": [
            {"use": each.use, "position": each.position, "used_minor": each.used_minor}
            for each in instructions.uses(APP, found.number)
        ],
    }


@router.post(
    "/authorisations/{authorisation}/withdrawal",
    response={201: Authorisation},
    summary="Withdraw an authorisation",
)
def withdraw(request: HttpRequest, authorisation: words.AuthorisationId, payload: Withdrawal) -> object:
    """It holds from the next transfer on. What is held for pending transfers stays held."""
    actor, now = door.actor(request), timezone.now()
    found = reach.authorisation(APP, words.authorisation(authorisation), actor=actor)
    instructions.withdraw(APP, found.number, payload.reason, actor=actor, now=now)
    return Status(201, _authorisation(instructions.authorisation(APP, found.number), now))


@router.get("/signing-keys", response=Keys, summary="My signing keys")
def list_keys(request: HttpRequest) -> object:
    owner = _client(door.actor(request))
    return {"keys": [_key(each) for each in instructions.keys(APP, owner)]}


@router.post("/signing-keys", response={201: Key}, summary="Register a signing key")
def register_key(request: HttpRequest, payload: NewKey) -> object:
    """By the client alone: whoever can register a key for somebody can sign in their name."""
    actor = door.actor(request)
    key = _raw(payload.public_key, "public_key", 32)
    return Status(
        201, _key(instructions.register_key(APP, _client(actor), key, actor=actor, now=timezone.now()))
    )


def _client(actor: Actor) -> str:
    """The customer number of a client who is signed in. Raises `AccessDenied` for anyone else."""
    access.require(APP, actor, "custody.register_key", owner=actor.customer_number)
    assert actor.customer_number is not None
    return actor.customer_number


def _debited(text: str, actor: Actor) -> AccountNumber:
    return reach.account(APP, words.account(text), actor=actor).number


def _terms(debited: AccountNumber, payload: NewTerms) -> Terms:
    return Terms(
        debit_account=debited,
        kind=AuthorisationKind[payload.kind.upper()],
        credit_account=words.account(payload.credit_account),
        payee=payload.payee,
        code=codes.BY_TEXT[payload.code],
        amount_rule=AmountRule[payload.amount_rule.upper()],
        amount_minor=payload.amount_minor,
        rate_ppm=payload.rate_ppm,
        day_basis=payload.day_basis,
        total_max_minor=payload.total_max_minor,
        uses_max=payload.uses_max,
        valid_from=payload.valid_from,
        valid_until=payload.valid_until,
        basis=payload.basis,
    )


def _raw(text: str, field: str, length: int) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) != length:
        raise errors.Malformed(where="body", field=field, expected=f"{length} bytes in base64")
    return raw


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else base64.b64encode(raw).decode()


def _authorisation(given: instructions.Authorisation, now: datetime) -> dict[str, object]:
    return {
        "authorisation": given.text,
        "book": given.book,
        "kind": given.kind.name.lower(),
        "debit_account": account_text(given.debit_account),
        "credit_account": account_text(given.credit_account),
        "owner": given.owner,
        "payee": given.payee,
        "code": given.code.text,
        "amount_rule": given.amount_rule.label,
        "amount_minor": given.amount_minor,
        "rate_ppm": given.rate_ppm,
        "day_basis": given.day_basis,
        "total_max_minor": given.total_max_minor,
        "uses_max": given.uses_max,
        "valid_from": given.valid_from,
        "valid_until": given.valid_until,
        "basis": given.basis,
        "standing": str(instructions.standing(given, now)),
        "uses": given.uses,
        "used_minor": given.used_minor,
        "statement": given.statement,
        "signature": _text(given.signature),
        "public_key": _text(given.public_key),
        "given_by": given.given_by,
        "given_at": given.given_at,
        "withdrawn_at": given.withdrawn_at,
        "withdrawn_by": given.withdrawn_by,
        "withdrawn_reason": given.withdrawn_reason,
    }


def _key(key: instructions.SigningKey) -> dict[str, object]:
    return {
        "owner": key.owner,
        "public_key": _text(key.public_key),
        "registered_at": key.registered_at,
        "registered_by": key.registered_by,
    }

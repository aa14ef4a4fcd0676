"""Safeguarding proofs: make a day's, list them, read one, sign it off."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Status
from pydantic import BaseModel, Field

from tallystick.api import door, words
from tallystick.core.db import APP
from tallystick.custody.safeguarding import proofs
from tallystick.identity import access
from tallystick.identity.approvals import Approval as Decided

router = Router(tags=["Safeguarding"])

ResultName = Literal["compliant", "undetermined", "breach"]
ProofId = Annotated[str, Field(pattern="^sgp_[0-9]{1,18}$", examples=["sgp_17"])]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Signature(BaseModel):
    """A sign-off by two people; `outcome` null: the second has not signed yet."""

    approval: str
    first: str
    first_at: datetime
    note: str
    outcome: str | None
    second: str | None
    second_at: datetime | None
    reason: str


class Proof(BaseModel):
    """A day's segregation proof."""

    id: ProofId
    book: int
    number: int = Field(description="its place in the book's chain, from 1")
    day: date
    position: int
    result: ResultName
    digest: Digest = Field(description="SHA-256 over the header")
    previous_digest: Digest | None = Field(description="of the proof before it")
    accounts: int
    at: datetime
    actor: str


class WholeProof(Proof):
    """A proof and its header: facts, figures, findings and proposals of every asset, as hashed."""

    header: dict[str, Any] = Field(description="see the schema of `tallystick safeguarding show --json`")
    sign_off: Signature | None


class Proofs(BaseModel):
    """A page of proofs, the newest first."""

    proofs: list[Proof]
    next_before: int | None = Field(description="send as `before` for the next page; null: no more")


class NewProof(words.Body):
    """The day to prove; it must be over."""

    day: words.Day


class Sign(words.Body):
    """To sign as the first or the second of two, or to turn the proof down with a reason."""

    step: Literal["first", "second", "reject"]
    note: Annotated[str, Field(max_length=500)] = ""


class Page(words.Page):
    """Which proofs to list."""

    before: words.Position | None = Field(None, description="a number in the chain: proofs before it")


@router.get("/books/{book}/safeguarding-proofs", response=Proofs, summary="List segregation proofs")
def list_proofs(request: HttpRequest, book: words.BookNumber, query: Query[Page]) -> object:
    access.require(APP, door.actor(request), "custody.read_safeguarding")
    found = proofs.proofs(APP, book, before=query.before, limit=query.limit + 1)
    shown = found[: query.limit]
    return {
        "proofs": [_proof(each) for each in shown],
        "next_before": shown[-1].number if len(found) > query.limit else None,
    }


@router.post("/books/{book}/safeguarding-proofs", response={201: WholeProof}, summary="Prove a day")
def prove(request: HttpRequest, book: words.BookNumber, payload: NewProof) -> object:
    made = proofs.prove(APP, book, payload.day, actor=door.actor(request), now=timezone.now())
    return Status(201, _whole(made, None))


@router.get("/safeguarding-proofs/{proof}", response=WholeProof, summary="A segregation proof")
def show_proof(request: HttpRequest, proof: ProofId) -> object:
    access.require(APP, door.actor(request), "custody.read_safeguarding")
    found = proofs.proof(APP, proof)
    return _whole(found, proofs.sign_off(APP, found))


@router.post("/safeguarding-proofs/{proof}/sign-off", response=WholeProof, summary="Sign a proof off")
def sign_proof(request: HttpRequest, proof: ProofId, payload: Sign) -> object:
    who, now = door.actor(request), timezone.now()
    access.require(APP, who, "custody.sign_proof" if payload.step == "first" else "custody.countersign_proof")
    if payload.step == "first":
        proofs.propose_sign_off(APP, proof, note=payload.note, actor=who, now=now)
    else:
        proofs.decide_sign_off(
            APP, proof, approve=payload.step == "second", reason=payload.note, actor=who, now=now
        )
    found = proofs.proof(APP, proof)
    return _whole(found, proofs.sign_off(APP, found))


def _proof(found: proofs.Proof) -> dict[str, object]:
    return {
        "id": found.id,
        "book": found.book,
        "number": found.number,
        "day": found.day,
        "position": found.position,
        "result": str(found.result),
        "digest": found.digest.hex(),
        "previous_digest": found.previous_digest.hex() if found.previous_digest else None,
        "accounts": found.accounts,
        "at": found.at,
        "actor": found.actor,
    }


def _whole(found: proofs.Proof, signed: Decided | None) -> dict[str, object]:
    return {**_proof(found), "header": found.header, "sign_off": _signature(signed)}


def _signature(signed: Decided | None) -> dict[str, object] | None:
    if signed is None:
        return None
    return {
        "approval": signed.reference,
        "first": signed.made_by,
        "first_at": signed.at,
        "note": signed.note,
        "outcome": signed.outcome,
        "second": signed.decided_by,
        "second_at": signed.decided_at,
        "reason": signed.reason,
    }

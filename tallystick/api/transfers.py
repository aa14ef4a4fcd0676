"""Transfers that stand in a book: list, look up, by id and by position; and those that were turned down."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

import msgspec
from django.http import HttpRequest
from ninja import Query, Router
from pydantic import BaseModel, Field

from tallystick.api import door, reach, words
from tallystick.core.db import APP
from tallystick.custody import codes, errors, history, numbers
from tallystick.custody import transfers as asked
from tallystick.custody.models import TransferKind

router = Router(tags=["Transfers"])

KINDS = {kind.label: kind for kind in TransferKind}


class Transfer(BaseModel):
    """A transfer as it was posted."""

    book: int
    position: int
    id: words.TransferId
    kind: str
    code: words.CodeName
    debit_account: words.AccountId | None = Field(
        description="null where another client paid: whose account it was is theirs to tell"
    )
    credit_account: words.AccountId
    amount_minor: int
    value_date: date
    at: datetime
    recorded_at: datetime
    authorisation: words.AuthorisationId | None
    pending_position: int | None = Field(description="the pending transfer this one settles")
    reverses_position: int | None = Field(description="the posted transfer this one reverses")
    chain_position: int | None = Field(description="the first transfer of the chain it stands in")
    expires_at: datetime | None
    reference: str | None
    payee: str | None
    reason: str | None
    metadata: dict[str, Any] | None


class Transfers(BaseModel):
    """A page of transfers, by position."""

    transfers: list[Transfer]
    to_position: int = Field(description="the position up to which this state was read")
    next_after: int | None = Field(description="send as `after` for the next page; null: no more")


class Ids(words.Body):
    """Ids to look up."""

    ids: Annotated[list[words.TransferId], Field(min_length=1, max_length=1000)]


class Found(BaseModel):
    """The transfers that are there, by position, and the ids that no transfer has."""

    transfers: list[Transfer]
    missing: list[str]


class Wanted(words.PositionPage):
    """Which transfers to list."""

    account: words.AccountId | None = None
    code: words.CodeName | None = None
    kind: Annotated[str, Field(pattern=f"^({'|'.join(KINDS)})$")] | None = None
    reference: Annotated[str, Field(max_length=140)] | None = None
    authorisation: words.AuthorisationId | None = None
    chain_position: words.Position | None = Field(None, description="a chain, named by its first transfer")


class Refusal(BaseModel):
    """A transfer that was turned down, with the request as it came."""

    id: int
    transfer_id: words.TransferId
    code: str
    request: dict[str, Any]
    at: datetime
    actor: str


class Refusals(BaseModel):
    """A page of refusals, the newest first."""

    refusals: list[Refusal]
    next_before: int | None = Field(description="send as `before` for the next page; null: no more")


class RefusalsWanted(words.Page):
    """Which refusals to list."""

    before: words.Position | None = Field(None, description="go on before this refusal's id")
    code: Annotated[str, Field(pattern="^[a-z_]{1,64}$")] | None = None
    since: words.Moment | None = None


class Span(BaseModel):
    """A stretch of time; what is left out is open."""

    since: words.Moment | None = None
    until: words.Moment | None = None


class Count(BaseModel):
    """How often transfers were turned down for this reason."""

    code: str
    count: int


class Counts(BaseModel):
    """How often transfers were turned down, the most frequent reason first."""

    counts: list[Count]


@router.get("/books/{book}/transfers", response=Transfers, summary="List transfers")
def list_transfers(request: HttpRequest, book: words.BookNumber, query: Query[Wanted]) -> object:
    """By position. What a page told stays as it was, whatever is posted meanwhile."""
    reach.ledger(APP, actor=door.actor(request))
    to = history.as_of(APP, book, at_position=query.to_position)
    found = history.transfers(
        APP,
        book,
        after=query.after,
        to_position=to,
        limit=query.limit,
        filters=history.Filters(
            account=None if query.account is None else words.account(query.account),
            code=None if query.code is None else codes.BY_TEXT[query.code],
            kind=None if query.kind is None else KINDS[query.kind],
            reference=None if query.reference is None else query.reference.replace("\x00", "�"),
            authorisation=None if query.authorisation is None else words.authorisation(query.authorisation),
            chain_position=query.chain_position,
        ),
    )
    return {
        "transfers": [_transfer(each) for each in found],
        "to_position": to,
        "next_after": found[-1].position if len(found) == query.limit else None,
    }


@router.post("/transfers/lookup", response=Found, summary="Many transfers by their ids")
def look_up(request: HttpRequest, payload: Ids) -> object:
    """To learn what became of ids whose answer was lost, post them again instead: it is told anew."""
    reach.ledger(APP, actor=door.actor(request))
    try:
        spelled = [asked.id_text(asked.parse_id(text)) for text in payload.ids]
    except ValueError:
        raise errors.Malformed(where="body", field="ids", expected="transfer ids") from None
    found = history.transfers_of(APP, spelled)
    there = {each.id for each in found}
    return {
        "transfers": [_transfer(each) for each in found],
        "missing": [text for text, full in zip(payload.ids, spelled, strict=True) if full not in there],
    }


@router.get("/transfers/{transfer}", response=Transfer, summary="A transfer by its id")
def show_transfer(request: HttpRequest, transfer: words.TransferId) -> object:
    actor = door.actor(request)
    found = reach.transfer(APP, transfer, actor=actor)
    told = _transfer(found)
    if reach.hides(found.debit_account, actor=actor) and not reach.holds(
        APP, found.debit_account, actor=actor
    ):
        told |= {"debit_account": None, "authorisation": None}
    return told


@router.get("/books/{book}/positions/{position}", response=Transfer, summary="The transfer at a position")
def show_position(request: HttpRequest, book: words.BookNumber, position: words.Position) -> object:
    reach.ledger(APP, actor=door.actor(request))
    return _transfer(history.transfer_at(APP, book, position))


@router.get("/books/{book}/refusals", response=Refusals, summary="Transfers that were turned down")
def list_refusals(request: HttpRequest, book: words.BookNumber, query: Query[RefusalsWanted]) -> object:
    reach.ledger(APP, actor=door.actor(request))
    found = history.refusals(
        APP, book, before=query.before, limit=query.limit, code=query.code, since=query.since
    )
    return {
        "refusals": [
            {
                "id": each.id,
                "transfer_id": each.transfer_id,
                "code": each.code,
                "request": msgspec.json.decode(each.request),
                "at": each.at,
                "actor": each.actor,
            }
            for each in found
        ],
        "next_before": found[-1].id if len(found) == query.limit else None,
    }


@router.get("/books/{book}/refusals/counts", response=Counts, summary="Refusals by reason")
def count_refusals(request: HttpRequest, book: words.BookNumber, query: Query[Span]) -> object:
    reach.ledger(APP, actor=door.actor(request))
    counted = history.refusal_counts(APP, book, since=query.since, until=query.until)
    return {"counts": [{"code": code, "count": count} for code, count in counted.items()]}


def _transfer(transfer: history.Transfer) -> dict[str, object]:
    return {
        "book": transfer.book,
        "position": transfer.position,
        "id": transfer.id,
        "kind": transfer.kind.label,
        "code": transfer.code.text,
        "debit_account": numbers.account_text(transfer.debit_account),
        "credit_account": numbers.account_text(transfer.credit_account),
        "amount_minor": transfer.amount_minor,
        "value_date": transfer.value_date,
        "at": transfer.at,
        "recorded_at": transfer.recorded_at,
        "authorisation": None
        if transfer.authorisation is None
        else numbers.authorisation_text(transfer.authorisation),
        "pending_position": transfer.pending_position,
        "reverses_position": transfer.reverses_position,
        "chain_position": transfer.chain_position,
        "expires_at": transfer.expires_at,
        "reference": transfer.reference,
        "payee": transfer.payee,
        "reason": transfer.reason,
        "metadata": None if transfer.metadata is None else msgspec.json.decode(transfer.metadata),
    }

"""The evidence logs and what they prove: heads, entries with their proofs, statements of solvency, one's own proof."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from django.conf import settings
from django.http import HttpRequest
from ninja import Query, Router
from pydantic import BaseModel, Field

from tallystick.api import door, reach, words
from tallystick.core.db import APP
from tallystick.custody import errors as custody_errors
from tallystick.custody import own_evidence, rebuilding, sealed_transfers
from tallystick.custody.solvency import statements
from tallystick.evidence import exploring, keys, log, reading, standing
from tallystick.identity import access

router = Router(tags=["Evidence"])

LogName = Literal["ledger", "public"]
StatementId = Annotated[str, Field(pattern="^sol_[0-9]{1,18}$", examples=["sol_7"])]
StateName = Literal["covered", "unknown", "short"]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class WitnessSeen(BaseModel):
    """A witness, and the newest checkpoint of the log that it signed."""

    name: str
    size: int
    signed_at: datetime | None


class LogHead(BaseModel):
    """Where a log stands."""

    log: LogName
    origin: str
    size: int
    root: Digest
    sealed_at: datetime | None
    checkpoint: str = Field(description="the signed note (C2SP tlog-checkpoint); empty before there is one")
    keys: list[str] = Field(description="the public keys that sign it, one line each")
    witnesses: list[WitnessSeen]


class LogHeads(BaseModel):
    """Both logs, and the policy that the platform proposes to whoever has none."""

    logs: list[LogHead]
    policy: str


class LoggedEvent(BaseModel):
    """An event without its payload; `entry` null: not sealed yet."""

    event: str = Field(examples=["evt_17"])
    kind: str
    at: datetime
    recorded_at: datetime
    actor: str
    entry: int | None = Field(description="its index in the ledger's log")


class LoggedEvents(BaseModel):
    """A page of events, the newest first."""

    events: list[LoggedEvent]
    next_before: int | None = Field(description="send as `before` for the next page; null: no more")


class EventsPage(words.Page):
    """Which events to list."""

    kind: str | None = Field(None, max_length=80)
    since: words.Moment | None = None
    until: words.Moment | None = None
    before: words.Position | None = Field(None, description="the number of an event: events before it")


class WholeEntry(BaseModel):
    """An entry with the proof that it is in the log, and its event's payload where that is still there."""

    log: LogName
    index: int
    entry: str = Field(description="the bytes that were hashed: canonical JSON")
    leaf: Digest
    event: str | None
    payload: dict[str, Any] | None = Field(description="null: erased, or an entry of no event")
    size: int = Field(description="of the checkpoint that the proof leads to")
    path: list[Digest]
    proof: str = Field(description="the same as a C2SP tlog-proof")


class SolvencyStatement(BaseModel):
    """A day's statement of what clients are owed and what is there."""

    id: StatementId
    book: int
    number: int = Field(description="its place in the book's chain, from 1")
    day: str
    position: int
    state: StateName
    digest: Digest
    previous_digest: Digest | None
    at: datetime


class WholeStatement(SolvencyStatement):
    """A statement and its text."""

    statement: str = Field(description="canonical JSON, byte for byte what the digest is over")


class SolvencyStatements(BaseModel):
    """A page of statements, the newest first."""

    statements: list[SolvencyStatement]
    next_before: int | None = Field(description="send as `before` for the next page; null: no more")


class StatementsPage(words.Page):
    """Which statements to list."""

    before: words.Position | None = Field(None, description="a number in the chain: statements before it")


class EvidenceFile(BaseModel):
    """A file of evidence, to be checked by whoever holds it."""

    file: str = Field(description="JSON, as `tallystick verify` and the stand-alone verifiers read it")


class DayAsked(BaseModel):
    """Which day's proof."""

    day: words.Day | None = None


class RebuiltTotal(BaseModel):
    """A family's totals out of the transfers alone, and whether the ledger keeps the same."""

    asset: str
    family: words.FamilyName
    accounts: int
    debits_minor: int
    credits_minor: int
    agrees: bool


class RebuiltBook(BaseModel):
    """A book at a position, rebuilt from its transfers."""

    position: int
    agrees: bool
    totals: list[RebuiltTotal]
    differing: list[words.AccountId] = Field(
        description="accounts that the ledger keeps differently, the first few"
    )


class RebuildAsked(BaseModel):
    """The moment: a position, a time, or neither for now."""

    position: words.Position | None = None
    at: words.Moment | None = None


@router.get("/logs", response=LogHeads, summary="The evidence logs' heads")
def list_logs(request: HttpRequest) -> object:
    access.require(APP, door.actor(request), "evidence.read")
    found = [each for log_id in keys.LOGS.values() if (each := standing.standing(APP, log_id))]
    return {
        "logs": [
            {
                "log": each.name,
                "origin": each.head.origin,
                "size": each.head.size,
                "root": each.head.root.hex(),
                "sealed_at": each.head.sealed_at,
                "checkpoint": each.note,
                "keys": list(each.keys),
                "witnesses": [
                    {"name": one.witness, "size": one.size, "signed_at": one.signed_at} for one in each.seen
                ],
            }
            for each in found
        ],
        "policy": standing.proposed_policy(APP),
    }


@router.get("/events", response=LoggedEvents, summary="Search the log's events")
def list_events(request: HttpRequest, query: Query[EventsPage]) -> object:
    access.require(APP, door.actor(request), "evidence.read")
    found = exploring.events(
        APP, kind=query.kind, since=query.since, until=query.until, before=query.before, limit=query.limit + 1
    )
    shown = found[: query.limit]
    return {
        "events": [
            {
                "event": each.reference,
                "kind": each.kind,
                "at": each.at,
                "recorded_at": each.recorded_at,
                "actor": each.actor,
                "entry": each.index,
            }
            for each in shown
        ],
        "next_before": shown[-1].id if len(found) > query.limit else None,
    }


@router.get("/logs/{log}/entries/{position}", response=WholeEntry, summary="An entry with its proof")
def show_entry(request: HttpRequest, log: LogName, position: words.Position) -> object:
    access.require(APP, door.actor(request), "evidence.read")
    found = exploring.entry(APP, keys.LOGS[log], position)
    prover = reading.Prover(APP, found.log_id)
    sealed = prover.inclusion(position)
    event = _event(found.event_id)
    return {
        "log": log,
        "index": position,
        "entry": found.body.decode(),
        "leaf": exploring.leaf(found.body, prover.suite).hex(),
        "event": event.reference if event else None,
        "payload": event.payload if event else None,
        "size": sealed.size,
        "path": [each.hex() for each in sealed.path],
        "proof": sealed.file.decode(),
    }


@router.get(
    "/books/{book}/solvency-statements", response=SolvencyStatements, summary="List statements of solvency"
)
def list_statements(request: HttpRequest, book: words.BookNumber, query: Query[StatementsPage]) -> object:
    access.require(APP, door.actor(request), "custody.read_safeguarding")
    found = statements.statements(APP, book, before=query.before, limit=query.limit + 1)
    shown = found[: query.limit]
    return {
        "statements": [_statement(each) for each in shown],
        "next_before": shown[-1].number if len(found) > query.limit else None,
    }


@router.get("/solvency-statements/{statement}", response=WholeStatement, summary="A statement of solvency")
def show_statement(request: HttpRequest, statement: StatementId) -> object:
    access.require(APP, door.actor(request), "custody.read_safeguarding")
    found = statements.statement(APP, statement)
    return {**_statement(found), "statement": found.text}


@router.get("/books/{book}/rebuilt", response=RebuiltBook, summary="Balances rebuilt from transfers")
def rebuild_book(request: HttpRequest, book: words.BookNumber, query: Query[RebuildAsked]) -> object:
    access.require(APP, door.actor(request), "custody.read_ledger")
    made = rebuilding.rebuilt(
        APP, book, at_position=query.position, at_time=None if query.position is not None else query.at
    )
    return {
        "position": made.position,
        "agrees": made.agrees,
        "totals": [
            {
                "asset": each.asset,
                "family": each.family.name.lower(),
                "accounts": each.accounts,
                "debits_minor": each.debits_minor,
                "credits_minor": each.credits_minor,
                "agrees": each.agrees,
            }
            for each in made.totals
        ],
        "differing": [f"acc_{each:018d}" for each in made.differing],
    }


@router.get("/accounts/{account}/liability-proof", response=EvidenceFile, summary="One's own proof of a day")
def show_liability_proof(request: HttpRequest, account: words.AccountId, query: Query[DayAsked]) -> object:
    """The proof that the account's balance is counted: for whoever holds the account, and nobody else."""
    actor = door.actor(request)
    own = own_evidence.own(APP, account, actor=actor)
    made = own_evidence.proof(APP, own, actor=actor, folder=Path(settings.LIABILITIES_FOLDER), day=query.day)
    if made is None:
        raise custody_errors.SolvencyStatementUnknown(statement=str(query.day or ""))
    return {"file": made.content.decode()}


@router.get("/transfers/{transfer}/receipt", response=EvidenceFile, summary="A transfer's receipt")
def show_transfer_receipt(request: HttpRequest, transfer: words.TransferId) -> object:
    """The transfer, the way through its batch to its entry, and the proof of that. Names no client who paid another."""
    actor = door.actor(request)
    found = reach.transfer(APP, transfer, actor=actor)
    if reach.hides(found.debit_account, actor=actor) and own_evidence.hides_payer(
        APP, [found.debit_account], actor=actor
    ):
        raise custody_errors.PayerNotShown
    return {"file": sealed_transfers.receipt(APP, found.id).text}


def _event(event: log.EventId | None) -> log.Event | None:
    return None if event is None else log.event(APP, event)


def _statement(found: statements.Statement) -> dict[str, object]:
    return {
        "id": found.id,
        "book": found.book,
        "number": found.number,
        "day": found.day.isoformat(),
        "position": found.position,
        "state": str(found.state),
        "digest": found.digest.hex(),
        "previous_digest": found.previous_digest.hex() if found.previous_digest else None,
        "at": found.at,
    }

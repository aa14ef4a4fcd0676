"""Tracing: where an account's money came from and what became of it, as a graph that sums to its statement."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from django.http import HttpRequest
from ninja import Query, Router
from pydantic import BaseModel, Field

from tallystick.api import door, reach, words
from tallystick.core.db import APP
from tallystick.custody import errors, numbers
from tallystick.custody.tracing import flow, reading
from tallystick.custody.tracing.parties import Node, Party, Viewer
from tallystick.identity import access

router = Router(tags=["Tracing"])

SCHEMA = "tallystick/trace/1"


class FlowParty(BaseModel):
    """The other side. For a customer, another client is a kind and a number, and nothing more."""

    kind: Literal["bank", "platform", "suspense", "mine", "loan", "client"]
    nth: int = Field(description="another client: in the order in which the two first met; else 0")
    account: words.AccountId | None
    name: str


class FlowNode(BaseModel):
    """A node of the graph. opening_minor + inflow_minor = outflow_minor + closing_minor."""

    key: str
    stage: Literal["source", "accounts", "right", "use", "end"]
    kind: str = Field(
        description="a transfer code, or opening, closing, accounts, an authorisation's kind, …"
    )
    party: FlowParty | None
    payee: str
    others: int = Field(description="how many smaller ones are told as this one; 0: it is one")
    opening_minor: int
    inflow_minor: int
    outflow_minor: int
    closing_minor: int


class FlowStep(BaseModel):
    """Money from one node to the next, and the positions of the transfers behind it."""

    source: str
    target: str
    amount_minor: int
    positions: list[int]


class FlowPath(BaseModel):
    """One part of one receipt, all its way, by positions; 0 where there is none."""

    source_position: int
    order_position: int
    use_position: int
    end_position: int
    amount_minor: int
    nodes: list[str]


class FlowLoan(BaseModel):
    """One loan: opening_minor + lent_minor = back_minor + closing_minor."""

    party: FlowParty
    first_position: int
    opening_minor: int
    lent_minor: int
    back_minor: int = Field(description="principal that came back")
    interest_minor: int
    closing_minor: int


class FlowPending(BaseModel):
    """Something pending: nothing of it is in the graph."""

    position: int
    code: words.CodeName
    party: FlowParty
    amount_minor: int
    leaves: bool
    recorded_at: datetime
    expires_at: datetime | None


class FlowUndone(BaseModel):
    """A transfer that was undone, and by which."""

    position: int
    by: int
    amount_minor: int


class Flow(BaseModel):
    """The flow of money of some accounts between two positions of their book.

    opening_minor + came_minor = left_minor + closing_minor, as the statement of account has them; what was
    undone is in came_minor and in left_minor, and on no path. difference_minor is always 0.
    """

    schema_: str = Field(alias="schema")
    book: int
    asset: str
    scale: int
    accounts: list[words.AccountId]
    after_position: int
    to_position: int
    opening_minor: int
    came_minor: int
    left_minor: int
    closing_minor: int
    undone_minor: int
    difference_minor: int
    nodes: list[FlowNode]
    edges: list[FlowStep]
    paths: list[FlowPath]
    loans: list[FlowLoan]
    pending: list[FlowPending]
    undone: list[FlowUndone]


class Wanted(BaseModel):
    """Which part of the account's life: by positions or by days of its book."""

    scope: Literal["account", "owner"] = Field(
        "account",
        description="owner: all of the owner's accounts in its asset, as one; a customer's: all they hold",
    )
    after: words.Position | None = Field(None, description="what is posted after this position")
    to_position: words.Position | None = Field(None, description="up to this position; left out: up to now")
    first_day: words.Day | None = Field(None, description="from this day on; not together with positions")
    last_day: words.Day | None = Field(
        None, description="up to and with this day; not together with positions"
    )
    nodes: Annotated[int, Field(ge=2, le=flow.NODES_MAX)] = Field(
        flow.NODES, description="how many sources and uses are told one by one; the smaller rest by kinds"
    )


@router.get("/accounts/{account}/flow", response=Flow, by_alias=True, summary="Follow an account's money")
def show_flow(request: HttpRequest, account: words.AccountId, query: Query[Wanted]) -> object:
    """First in, first out within the owner's accounts; in proportion where several owners' money lies together."""
    actor = door.actor(request)
    found = reach.account(APP, words.account(account), actor=actor)
    after, to = _period(found.book, query)
    viewer = Viewer.STAFF if access.allowed(actor, reach.LEDGER) else Viewer.OWNER
    # Who holds an account with others follows their own, and not all that its first owner has.
    owner = found.owner if viewer == Viewer.STAFF else actor.customer_number
    if query.scope == "owner" and owner:
        return told(
            flow.of_owner(
                APP,
                found.book,
                owner,
                found.asset,
                viewer=viewer,
                after_position=after,
                to_position=to,
                nodes_max=query.nodes,
            )
        )
    return told(
        flow.of_account(
            APP,
            found.number,
            viewer=viewer,
            customer=owner,
            after_position=after,
            to_position=to,
            nodes_max=query.nodes,
        )
    )


def _period(book: int, query: Wanted) -> tuple[int, int | None]:
    by_days = query.first_day is not None or query.last_day is not None
    if by_days and (query.after is not None or query.to_position is not None):
        raise errors.Malformed(
            where="query", field="first_day", expected="left out where positions are given"
        )
    if by_days:
        return reading.period(APP, book, query.first_day, query.last_day)
    return query.after or 0, query.to_position


def told(found: flow.Flow) -> dict[str, object]:
    """A flow as JSON has it: the same from the API and from the command line."""
    return {
        "schema": SCHEMA,
        "book": found.book,
        "asset": found.asset,
        "scale": found.scale,
        "accounts": [each.text for each in found.accounts],
        "after_position": found.after_position,
        "to_position": found.to_position,
        "opening_minor": found.opening_minor,
        "came_minor": found.came_minor,
        "left_minor": found.left_minor,
        "closing_minor": found.closing_minor,
        "undone_minor": found.undone_minor,
        "difference_minor": found.difference_minor,
        "nodes": [_place(each) for each in found.nodes],
        "edges": [
            {
                "source": each.source,
                "target": each.target,
                "amount_minor": each.amount_minor,
                "positions": list(each.positions),
            }
            for each in found.edges
        ],
        "paths": [
            {
                "source_position": each.source_position,
                "order_position": each.order_position,
                "use_position": each.use_position,
                "end_position": each.end_position,
                "amount_minor": each.amount_minor,
                "nodes": list(each.nodes),
            }
            for each in found.paths
        ],
        "loans": [
            {
                "party": _other(each.party),
                "first_position": each.first_position,
                "opening_minor": each.opening_minor,
                "lent_minor": each.lent_minor,
                "back_minor": each.back_minor,
                "interest_minor": each.interest_minor,
                "closing_minor": each.closing_minor,
            }
            for each in found.loans
        ],
        "pending": [
            {
                "position": each.position,
                "code": each.code.text,
                "party": _other(each.party),
                "amount_minor": each.amount_minor,
                "leaves": each.leaves,
                "recorded_at": each.recorded_at,
                "expires_at": each.expires_at,
            }
            for each in found.pending
        ],
        "undone": [
            {"position": each.position, "by": each.by, "amount_minor": each.amount_minor}
            for each in found.undone
        ],
    }


def _place(node: Node) -> dict[str, object]:
    return {
        "key": node.key,
        "stage": str(node.stage),
        "kind": node.kind,
        "party": None if node.party is None else _other(node.party),
        "payee": node.payee,
        "others": node.others,
        "opening_minor": node.opening_minor,
        "inflow_minor": node.inflow_minor,
        "outflow_minor": node.outflow_minor,
        "closing_minor": node.closing_minor,
    }


def _other(party: Party) -> dict[str, object]:
    return {
        "kind": str(party.kind),
        "nth": party.nth,
        "account": None if party.account is None else numbers.account_text(party.account),
        "name": party.name,
    }

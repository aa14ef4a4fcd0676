"""Holders: who stands behind an account and how it stands; changes proposed by one and approved by another."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Status
from pydantic import BaseModel, Field

from tallystick.api import door, reach, words
from tallystick.core.db import APP
from tallystick.custody import accounts, conditions, holders
from tallystick.custody.holder_models import Capacity, Condition, HoldingRule
from tallystick.identity import approvals

router = Router(tags=["Holders"])

RuleName = Literal["any", "all"]
CapacityName = Literal["holder", "minor", "guardian", "representative"]
ConditionName = Literal["active", "dormant", "deceased", "estate"]
CustomerNumber = Annotated[str, Field(min_length=1, max_length=64)]
Document = Annotated[str, Field(min_length=1, max_length=200)]

assert set(RuleName.__args__) == set(HoldingRule.values)  # type: ignore[attr-defined]
assert set(CapacityName.__args__) == set(Capacity.values)  # type: ignore[attr-defined]
assert set(ConditionName.__args__) == set(Condition.values)  # type: ignore[attr-defined]


class Party(words.Body):
    """Somebody behind an account, and as what."""

    customer_number: CustomerNumber
    capacity: CapacityName


class Change(BaseModel):
    """A change of an account's condition."""

    before: ConditionName
    condition: ConditionName
    reason: str
    document: str
    at: datetime
    actor: str


class Holders(BaseModel):
    """Who holds an account, whose word it needs, and how it stands. `signers`: whose word counts now."""

    account: words.AccountId
    rule: RuleName
    parties: list[Party]
    signers: list[str]
    document: str
    since: datetime | None = Field(description="null: its owner alone, since it was opened")
    condition: ConditionName
    conditions: list[Change]


class NewHolders(words.Body):
    """Who is to hold an account: all of them, on the paper that says so."""

    rule: RuleName
    parties: Annotated[list[Party], Field(min_length=1, max_length=holders.PARTIES_MAX)]
    document: Document
    reason: words.Reason


class NewCondition(words.Body):
    """A death, an estate with its representative, or the way back, on the paper that says so."""

    condition: ConditionName
    document: Document
    reason: words.Reason
    representative: Annotated[str, Field(max_length=64)] = ""


@router.get("/accounts/{account}/holders", response=Holders, summary="Who holds an account")
def show_holders(request: HttpRequest, account: words.AccountId) -> object:
    return _told(reach.account(APP, words.account(account), actor=door.actor(request)))


@router.post(
    "/accounts/{account}/holders", response={201: words.Proposed}, summary="Propose who holds an account"
)
def propose_holders(request: HttpRequest, account: words.AccountId, payload: NewHolders) -> object:
    actor = door.actor(request)
    found = reach.account(APP, words.account(account), actor=actor)
    proposed = holders.propose(
        APP,
        found.number,
        HoldingRule(payload.rule),
        [holders.Party(each.customer_number, Capacity(each.capacity)) for each in payload.parties],
        document=payload.document,
        reason=payload.reason,
        actor=actor,
        now=timezone.now(),
    )
    return Status(201, {"approval": approvals.reference(proposed)})


@router.post("/holders/{approval}/approve", response=Holders, summary="Approve proposed holders")
def approve_holders(request: HttpRequest, approval: words.ApprovalId) -> object:
    """By another person than the proposer; they hold from now on."""
    actor = door.actor(request)
    held = holders.approve(APP, words.approval(approval), actor=actor, now=timezone.now())
    return _told(accounts.account(APP, held.account))


@router.post(
    "/accounts/{account}/conditions",
    response={201: words.Proposed},
    summary="Propose a death, an estate, or the way back",
)
def propose_condition(request: HttpRequest, account: words.AccountId, payload: NewCondition) -> object:
    actor = door.actor(request)
    found = reach.account(APP, words.account(account), actor=actor)
    proposed = conditions.propose(
        APP,
        found.number,
        Condition(payload.condition),
        reason=payload.reason,
        document=payload.document,
        representative=payload.representative,
        actor=actor,
        now=timezone.now(),
    )
    return Status(201, {"approval": approvals.reference(proposed)})


@router.post("/conditions/{approval}/approve", response=Holders, summary="Approve a proposed condition")
def approve_condition(request: HttpRequest, approval: words.ApprovalId) -> object:
    """By another person than the proposer; it holds from the next transfer on."""
    actor = door.actor(request)
    change = conditions.approve(APP, words.approval(approval), actor=actor, now=timezone.now())
    return _told(accounts.account(APP, change.account))


@router.post("/accounts/{account}/reactivate", response=Holders, summary="Wake a dormant account")
def reactivate(request: HttpRequest, account: words.AccountId) -> object:
    """The word of one who signs for it."""
    actor = door.actor(request)
    found = reach.account(APP, words.account(account), actor=actor)
    conditions.reactivate(APP, found.number, actor=actor, now=timezone.now())
    return _told(accounts.account(APP, found.number))


def _told(account: accounts.Account) -> dict[str, object]:
    standing = holders.standing(APP, account)
    holding = standing.holding
    return {
        "account": account.text,
        "rule": str(holding.rule),
        "parties": [
            {"customer_number": each.customer_number, "capacity": str(each.capacity)}
            for each in holding.parties
        ],
        "signers": sorted(holders.signers(standing)),
        "document": holding.document,
        "since": holding.since,
        "condition": str(standing.condition),
        "conditions": [
            {
                "before": str(each.before),
                "condition": str(each.condition),
                "reason": each.reason,
                "document": each.document,
                "at": each.at,
                "actor": each.actor,
            }
            for each in conditions.changes(APP, account.number)
        ],
    }

"""Accounts: open, list, show, change what they let through; balances and statement lines, now or then."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

import msgspec
from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Status
from pydantic import BaseModel, Field

from tallystick.api import door, reach, words
from tallystick.core.db import APP
from tallystick.custody import accounts, history, holders, numbers
from tallystick.custody.models import AccountStatus
from tallystick.custody.numbers import Side
from tallystick.identity import access
from tallystick.identity.access import Actor

router = Router(tags=["Accounts"])

HELD_MAX = 10_000
"""The most accounts that one customer is listed."""


class Account(BaseModel):
    """A place where money is counted, as of its newest state."""

    account: words.AccountId
    book: int
    family: words.FamilyName
    asset: str
    scale: int
    normal_side: Annotated[str, Field(pattern="^(debit|credit)$")]
    owner: str = Field(description="the client's customer number; empty where none")
    name: str
    reference: str = Field(description="the opener's own name for it; unique in the book")
    opened_at: datetime
    opened_by: str
    status: words.StatusName
    no_overdraft: bool
    ceiling_minor: int | None
    status_reason: str
    status_at: datetime


class Accounts(BaseModel):
    """A page of accounts, by number."""

    accounts: list[Account]
    next_after: words.AccountId | None = Field(description="send as `after` for the next page; null: no more")


class NewAccount(words.Body):
    """An account to open. Other limits than its family's own take the right to set limits."""

    family: words.FamilyName
    asset: words.AssetCode
    owner: Annotated[str, Field(max_length=64)] = ""
    name: Annotated[str, Field(min_length=1, max_length=120)]
    reference: Annotated[str, Field(min_length=1, max_length=64)]
    no_overdraft: bool | None = None
    ceiling_minor: words.Limit_ | None = None


class NewAccounts(words.Body):
    """Accounts to open, all or none."""

    accounts: Annotated[list[NewAccount], Field(min_length=1, max_length=1000)]


class Opened(BaseModel):
    """The accounts opened, in the order they were asked for."""

    accounts: list[words.AccountId]


class NewState(words.Body):
    """What an account is to let through from now on. A limit left out stays as it is."""

    status: words.StatusName
    reason: words.Reason
    no_overdraft: bool | None = None
    ceiling_minor: words.Limit_ | None = Field(None, description="null: no ceiling; left out: as it is")


class State(BaseModel):
    """A change of what an account lets through."""

    id: int
    status: words.StatusName
    no_overdraft: bool
    ceiling_minor: int | None
    reason: str
    at: datetime
    actor: str


class States(BaseModel):
    """Every change, the first one first."""

    account: words.AccountId
    states: list[State]


class Balance(BaseModel):
    """An account's totals as of a position. balance_minor is positive on the normal side."""

    account: words.AccountId
    position: int
    balance_minor: int
    available_minor: int = Field(description="the balance without what is held to leave")
    debits_posted_minor: int
    credits_posted_minor: int
    debits_pending_minor: int
    credits_pending_minor: int


class BalancesWanted(words.Body):
    """Accounts of one book, all read as of one position."""

    accounts: Annotated[list[words.AccountId], Field(min_length=1, max_length=1000)]
    at_position: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = None
    at_time: words.Moment | None = None


class Balances(BaseModel):
    """The balances, in the order they were asked for."""

    position: int
    balances: list[Balance]


class Line(BaseModel):
    """A transfer as the account sees it.

    amount_minor: what it moved here, positive where the balance grew, 0 where it only held or let go.
    held_minor: by how much what is held to leave the account changed.
    """

    position: int
    id: words.TransferId
    kind: str
    code: words.CodeName
    recorded_at: datetime
    at: datetime
    value_date: date
    amount_minor: int
    held_minor: int
    counter_account: words.AccountId | None = Field(
        description="null where another client paid: whose account it was is theirs to tell"
    )
    reference: str | None
    payee: str | None
    reason: str | None
    authorisation: words.AuthorisationId | None
    metadata: dict[str, Any] | None
    balance_minor: int
    available_minor: int


class Lines(BaseModel):
    """A page of a statement of account: the balance before its first line, and the lines."""

    account: words.AccountId
    opening_minor: int = Field(description="the balance after position `after`")
    lines: list[Line]
    to_position: int = Field(description="the position up to which this state was read")
    next_after: int | None = Field(description="send as `after` for the next page; null: no more")


class Wanted(words.Page):
    """Which accounts to list."""

    family: words.FamilyName | None = None
    asset: Annotated[str, Field(max_length=12)] | None = None
    owner: Annotated[str, Field(max_length=64)] | None = None
    status: words.StatusName | None = None
    search: Annotated[str, Field(max_length=120)] | None = Field(
        None, description="a part of the name, reference, owner or number"
    )
    after: words.AccountId | None = Field(None, description="go on after this account")


@router.get("/books/{book}/accounts", response=Accounts, summary="List accounts")
def list_accounts(request: HttpRequest, book: words.BookNumber, query: Query[Wanted]) -> object:
    """For a customer: their own, and those they hold with others."""
    actor = door.actor(request)
    owner = reach.owner(APP, query.owner, actor=actor)
    found = accounts.accounts(
        APP,
        book,
        family=None if query.family is None else words.family(query.family),
        asset=query.asset,
        **_whose(owner, actor),
        status=None if query.status is None else AccountStatus(query.status),
        search=_searchable(query.search),
        after=0 if query.after is None else words.account(query.after),
        limit=query.limit,
    )
    return {
        "accounts": [_account(each) for each in found],
        "next_after": found[-1].text if len(found) == query.limit else None,
    }


@router.post("/books/{book}/accounts", response={201: Opened}, summary="Open accounts, all or none")
def open_accounts(request: HttpRequest, book: words.BookNumber, payload: NewAccounts) -> object:
    opened = accounts.open_many(
        APP,
        book,
        [
            accounts.NewAccount(
                family=words.family(each.family),
                asset_code=each.asset,
                owner=each.owner,
                name=each.name,
                reference=each.reference,
                no_overdraft=each.no_overdraft,
                ceiling_minor=each.ceiling_minor,
            )
            for each in payload.accounts
        ],
        actor=door.actor(request),
        now=timezone.now(),
    )
    return Status(201, {"accounts": [numbers.account_text(number) for number in opened]})


@router.post("/books/{book}/balances/lookup", response=Balances, summary="Balances of many accounts at once")
def balances(request: HttpRequest, book: words.BookNumber, payload: BalancesWanted) -> object:
    reach.ledger(APP, actor=door.actor(request))
    wanted = words.accounts_of(book, payload.accounts)
    as_of = words.AsOf(at_position=payload.at_position, at_time=payload.at_time)
    found = history.balances(APP, wanted, **as_of.state)
    return {
        "position": found[wanted[0]].position,
        "balances": [_balance(found[number]) for number in wanted],
    }


@router.get("/accounts/{account}", response=Account, summary="An account")
def show_account(request: HttpRequest, account: words.AccountId) -> object:
    return _account(reach.account(APP, words.account(account), actor=door.actor(request)))


@router.get(
    "/accounts/{account}/states", response=States, summary="What an account let through, and since when"
)
def list_states(request: HttpRequest, account: words.AccountId) -> object:
    found = reach.account(APP, words.account(account), actor=door.actor(request))
    return {
        "account": found.text,
        "states": [_state(each) for each in accounts.states(APP, found.number)],
    }


@router.post(
    "/accounts/{account}/states", response={201: State}, summary="Freeze, unfreeze or close; set limits"
)
def change_state(request: HttpRequest, account: words.AccountId, payload: NewState) -> object:
    """It holds from the next transfer on."""
    actor = door.actor(request)
    found = reach.account(APP, words.account(account), actor=actor)
    ceiling = payload.ceiling_minor if "ceiling_minor" in payload.model_fields_set else accounts.KEEP
    state = accounts.change_state(
        APP,
        found.number,
        AccountStatus(payload.status),
        payload.reason,
        no_overdraft=payload.no_overdraft,
        ceiling_minor=ceiling,
        actor=actor,
        now=timezone.now(),
    )
    return Status(201, _state(state))


@router.get("/accounts/{account}/balance", response=Balance, summary="Balance, now or as of a past state")
def show_balance(request: HttpRequest, account: words.AccountId, query: Query[words.AsOf]) -> object:
    found = reach.account(APP, words.account(account), actor=door.actor(request))
    return _balance(history.balance(APP, found.number, **query.state))


@router.get("/accounts/{account}/lines", response=Lines, summary="Statement of account")
def list_lines(request: HttpRequest, account: words.AccountId, query: Query[words.PositionPage]) -> object:
    """By position. What a page told stays as it was, whatever is posted meanwhile."""
    actor = door.actor(request)
    found = reach.account(APP, words.account(account), actor=actor)
    to = history.as_of(APP, found.book, at_position=query.to_position)
    opening = history.balance(APP, found.number, at_position=min(query.after, to))
    lines = history.account_lines(
        APP, found.number, after_position=query.after, to_position=to, limit=query.limit
    )
    return {
        "account": found.text,
        "opening_minor": opening.balance_minor,
        "lines": [_line(each, hides=_hides_payer(each, actor)) for each in lines],
        "to_position": to,
        "next_after": lines[-1].position if len(lines) == query.limit else None,
    }


def _whose(owner: str | None, actor: Actor) -> dict[str, Any]:
    """Which accounts are listed: to staff by their owner, to a customer those they stand behind today."""
    if access.allowed(actor, reach.LEDGER):
        return {"owner": owner}
    assert owner is not None, "whoever does not read the ledger has a customer number"
    return {"among": [each.number for each in holders.accounts_of(APP, owner, limit=HELD_MAX)]}


def _searchable(text: str | None) -> str | None:
    # PostgreSQL's text holds no NUL, so nothing with one can be found.
    return None if text is None else text.replace("\x00", "")


def _account(account: accounts.Account) -> dict[str, object]:
    return {
        "account": account.text,
        "book": account.book,
        "family": account.family.name.lower(),
        "asset": account.asset,
        "scale": account.scale,
        "normal_side": "credit" if account.normal_side == Side.CREDIT else "debit",
        "owner": account.owner,
        "name": account.name,
        "reference": account.reference,
        "opened_at": account.opened_at,
        "opened_by": account.opened_by,
        "status": str(account.status),
        "no_overdraft": account.no_overdraft,
        "ceiling_minor": account.ceiling_minor,
        "status_reason": account.status_reason,
        "status_at": account.status_at,
    }


def _state(state: accounts.State) -> dict[str, object]:
    return {
        "id": state.id,
        "status": str(state.status),
        "no_overdraft": state.no_overdraft,
        "ceiling_minor": state.ceiling_minor,
        "reason": state.reason,
        "at": state.at,
        "actor": state.actor,
    }


def _balance(balance: history.Balance) -> dict[str, object]:
    return {
        "account": numbers.account_text(balance.account),
        "position": balance.position,
        "balance_minor": balance.balance_minor,
        "available_minor": balance.available_minor,
        "debits_posted_minor": balance.debits_posted,
        "credits_posted_minor": balance.credits_posted,
        "debits_pending_minor": balance.debits_pending,
        "credits_pending_minor": balance.credits_pending,
    }


def _hides_payer(line: history.Line, actor: Actor) -> bool:
    return line.amount_minor + line.held_minor >= 0 and reach.hides(line.counter_account, actor=actor)


def _line(line: history.Line, *, hides: bool) -> dict[str, object]:
    """hides: who paid, and by which authorisation."""
    return {
        "position": line.position,
        "id": line.id,
        "kind": line.kind.label,
        "code": line.code.text,
        "recorded_at": line.recorded_at,
        "at": line.at,
        "value_date": line.value_date,
        "amount_minor": line.amount_minor,
        "held_minor": line.held_minor,
        "counter_account": None if hides else numbers.account_text(line.counter_account),
        "reference": line.reference,
        "payee": line.payee,
        "reason": line.reason,
        "authorisation": None
        if line.authorisation is None or hides
        else numbers.authorisation_text(line.authorisation),
        "metadata": None if line.metadata is None else msgspec.json.decode(line.metadata),
        "balance_minor": line.balance_minor,
        "available_minor": line.available_minor,
    }

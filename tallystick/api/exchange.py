"""Exchange: recorded rates, corridors, and quotes from question to consent to what came of it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Status
from pydantic import BaseModel, Field

from tallystick.api import door, reach, words
from tallystick.core.db import APP
from tallystick.core.money import BALANCE_MAX
from tallystick.custody import books, errors, numbers
from tallystick.custody.cross_border import corridors, quotes, rates
from tallystick.custody.cross_border.quotes import Quoted
from tallystick.identity import access
from tallystick.identity.access import Actor

router = Router(tags=["Exchange"])

Country = Annotated[str, Field(pattern="^[A-Z]{2}$", examples=["CN"])]
QuoteId = Annotated[str, Field(pattern="^quo_[0-9]{1,18}$", examples=["quo_17"])]
Most = Annotated[int, Field(ge=0, le=BALANCE_MAX)]


class Rate(BaseModel):
    """What one unit of `base` is worth in `quoted`, in whole units; `rate` is decimal text."""

    id: str
    base: str
    quoted: str
    rate: str
    source: str
    as_of: datetime
    at: datetime
    actor: str


class Rates(BaseModel):
    """The rates last recorded, the newest first."""

    rates: list[Rate]


class NewRate(words.Body):
    """A rate to record."""

    base: words.AssetCode
    quoted: words.AssetCode
    rate: Annotated[str, Field(max_length=32, examples=["0.1391"])]
    source: Annotated[str, Field(min_length=1, max_length=140)]
    as_of: words.Moment


class Corridor(BaseModel):
    """What holds for a corridor. Amounts are minor units of what is sold; null: no limit."""

    id: str
    from_country: str
    to_country: str
    sold: str
    bought: str
    allowed: bool
    per_transfer_minor: int | None
    per_period_minor: int | None
    period_days: int | None
    margin_ppm: int
    fee_minor: int
    from_day: date
    reason: str


class Corridors(BaseModel):
    """The rule that holds today for each corridor of the book that has one."""

    corridors: list[Corridor]


class NewCorridor(words.Body):
    """A rule to record. Without a rule nothing goes through."""

    from_country: Country
    to_country: Country
    sold: words.AssetCode
    bought: words.AssetCode
    allowed: bool
    per_transfer_minor: Most | None = None
    per_period_minor: Most | None = None
    period_days: Annotated[int, Field(ge=1, le=corridors.PERIOD_DAYS_MAX)] | None = None
    margin_ppm: Annotated[int, Field(ge=0, lt=1_000_000)] = 0
    fee_minor: Most = 0
    reason: words.Reason


class NewQuote(words.Body):
    """A question: what it costs to exchange so much, between two accounts of one client."""

    seller: words.AccountId
    buyer: words.AccountId
    sold_minor: words.Amount
    from_country: Country
    to_country: Country


class Quote(BaseModel):
    """What an exchange costs in full, and where it stands.

    leaves_minor is sold_minor and fee_minor together; margin_minor is what the margin takes of what would
    arrive at the recorded rate.
    """

    quote: QuoteId
    book: int
    seller: words.AccountId
    buyer: words.AccountId
    sold: str
    bought: str
    from_country: str
    to_country: str
    rate: str
    recorded_rate: str
    rate_source: str
    rate_as_of: datetime
    margin_ppm: int
    rounding: str
    sold_minor: int
    fee_minor: int
    leaves_minor: int
    bought_minor: int
    margin_minor: int
    valid_until: datetime
    at: datetime
    status: Literal["quoted", "expired", "consented", "posted", "refused", "settled", "failed"]
    reason: str
    reference: str
    position: int | None


@router.get("/rates", response=Rates, summary="List the exchange rates")
def list_rates(request: HttpRequest) -> object:
    reach.ledger(APP, actor=door.actor(request))
    return {"rates": [_rate(each) for each in rates.rates(APP)]}


@router.post("/rates", response={201: Rate}, summary="Record an exchange rate")
def record_rate(request: HttpRequest, payload: NewRate) -> object:
    """A rate stays; a wrong one is followed by a right one."""
    recorded = rates.record(
        APP,
        payload.base,
        payload.quoted,
        payload.rate,
        payload.source,
        as_of=payload.as_of,
        actor=door.actor(request),
        now=timezone.now(),
    )
    return Status(201, _rate(recorded))


@router.get("/books/{book}/corridors", response=Corridors, summary="List the corridors")
def list_corridors(request: HttpRequest, book: words.BookNumber) -> object:
    reach.ledger(APP, actor=door.actor(request))
    today = books.book(APP, book).today(timezone.now())
    return {"corridors": [_corridor(each) for each in corridors.corridors(APP, book, today)]}


@router.post("/books/{book}/corridors", response={201: Corridor}, summary="Set a corridor's rule")
def set_corridor(request: HttpRequest, book: words.BookNumber, payload: NewCorridor) -> object:
    """It holds from today on."""
    actor, now = door.actor(request), timezone.now()
    access.require(APP, actor, "custody.set_corridor")
    terms = corridors.Terms(**payload.model_dump(), from_day=books.book(APP, book).today(now))
    return Status(201, _corridor(corridors.set_rule(APP, book, terms, actor=actor, now=now)))


@router.post("/quotes", response={201: Quote}, summary="Ask what an exchange costs")
def ask_quote(request: HttpRequest, payload: NewQuote) -> object:
    """Nothing moves. A blocked corridor is refused with its reason."""
    actor, now = door.actor(request), timezone.now()
    access.require(APP, actor, "custody.quote_exchange", owner=actor.customer_number)
    found = quotes.ask(
        APP,
        seller=numbers.AccountNumber(reach.account(APP, words.account(payload.seller), actor=actor).number),
        buyer=numbers.AccountNumber(reach.account(APP, words.account(payload.buyer), actor=actor).number),
        sold_minor=payload.sold_minor,
        from_country=payload.from_country,
        to_country=payload.to_country,
        actor=actor,
        now=now,
    )
    return Status(201, _quote(found))


@router.get("/quotes/{quote}", response=Quote, summary="A quote, and what came of it")
def show_quote(request: HttpRequest, quote: QuoteId) -> object:
    return _quote(_reached(quote, door.actor(request)))


@router.post("/quotes/{quote}/consent", response={201: Quote}, summary="Agree to a quote")
def consent(request: HttpRequest, quote: QuoteId) -> object:
    """By the client alone. What was agreed is posted exactly as quoted, or not at all."""
    actor, now = door.actor(request), timezone.now()
    access.require(APP, actor, "custody.authorise", owner=actor.customer_number)
    _reached(quote, actor)
    quotes.consent(APP, quote, actor=actor, now=now)
    return Status(201, _quote(quotes.follow(APP, quote, actor=Actor.system("pulse"), now=now)))


def _reached(quote: str, actor: Actor) -> Quoted:
    """The quote, for somebody who may see it. Raises `errors.QuoteUnknown`."""
    access.require(APP, actor, reach.OWN, owner=actor.customer_number)
    found = quotes.quote(APP, quote, now=timezone.now())
    if not reach.holds(APP, found.seller, actor=actor):
        raise errors.QuoteUnknown(quote=quote)
    return found


def _rate(rate: rates.Rate) -> dict[str, object]:
    return {name: getattr(rate, name) for name in Rate.model_fields}


def _corridor(rule: corridors.Corridor) -> dict[str, object]:
    return {"id": rule.id} | {
        name: getattr(rule.terms, name) for name in Corridor.model_fields if name != "id"
    }


def _quote(found: Quoted) -> dict[str, object]:
    return {
        "quote": found.id,
        "book": found.book,
        "seller": numbers.account_text(found.seller),
        "buyer": numbers.account_text(found.buyer),
        "sold": found.sold.code,
        "bought": found.bought.code,
        "from_country": found.from_country,
        "to_country": found.to_country,
        "rate": found.cost.rate,
        "recorded_rate": found.recorded_rate.rate,
        "rate_source": found.recorded_rate.source,
        "rate_as_of": found.recorded_rate.as_of,
        "margin_ppm": found.margin_ppm,
        "rounding": str(found.rounding),
        "sold_minor": found.cost.sold_minor,
        "fee_minor": found.cost.fee_minor,
        "leaves_minor": found.cost.leaves_minor,
        "bought_minor": found.cost.bought_minor,
        "margin_minor": found.cost.margin_minor,
        "valid_until": found.valid_until,
        "at": found.at,
        "status": str(found.status),
        "reason": found.reason,
        "reference": found.reference,
        "position": found.position,
    }

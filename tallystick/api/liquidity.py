"""Liquidity: the last forecast that was kept, a new one, and who waits for a payout."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Status
from pydantic import BaseModel, Field

from tallystick.api import door, reach, words
from tallystick.core.db import APP
from tallystick.custody import books, errors, numbers
from tallystick.custody.liquidity import assessments, waiting
from tallystick.custody.liquidity.assessments import Assessment

router = Router(tags=["Liquidity"])


class OfAsset(BaseModel):
    """In one asset."""

    asset: words.AssetCode = "CNY"


class NewForecast(words.Body):
    """A forecast to make and keep."""

    asset: words.AssetCode = "CNY"


class Forecast(BaseModel):
    """A book's liquidity as it was judged at a moment."""

    assessment: str
    book: int
    asset: str
    scale: int
    last_day: date
    position: int
    liquid_minor: int
    survival_days: int = Field(description="under the scenario that warns and ends first")
    shortfall_day: date | None
    level: Literal["calm", "watch", "warning", "alarm"]
    told: dict[str, Any] = Field(
        description="flows, bands, coverage and scenarios, as `tallystick liquidity forecast --json` gives them"
    )
    at: datetime
    actor: str


class Place(BaseModel):
    """One payout in the queue. place is 1 for the first; ahead_minor goes out before it."""

    place: int
    transfer: words.TransferId
    account: words.AccountId
    amount_minor: int
    asked_at: datetime
    ahead_minor: int
    estimated_day: date | None


class Queue(BaseModel):
    """Payouts that were asked for and not made, first asked first. per_day_minor null: no limit."""

    book: int
    asset: str
    scale: int
    per_day_minor: int | None
    paid_today_minor: int
    waiting_minor: int
    entries: list[Place]


@router.get("/books/{book}/liquidity", response=Forecast, summary="The last liquidity forecast")
def show_liquidity(request: HttpRequest, book: words.BookNumber, query: Query[OfAsset]) -> object:
    reach.ledger(APP, actor=door.actor(request))
    books.book(APP, book)
    for kept in assessments.latest(APP, book, query.asset):
        return _forecast(kept)
    raise errors.AssessmentUnknown(assessment=f"{book}/{query.asset}")


@router.post("/books/{book}/liquidity", response={201: Forecast}, summary="Make a liquidity forecast")
def assess_liquidity(request: HttpRequest, book: words.BookNumber, payload: NewForecast) -> object:
    """It takes some seconds: three models are fitted."""
    kept = assessments.assess(APP, book, payload.asset, actor=door.actor(request), now=timezone.now())
    return Status(201, _forecast(kept))


@router.get("/books/{book}/queue", response=Queue, summary="Who waits for a payout")
def show_queue(request: HttpRequest, book: words.BookNumber, query: Query[OfAsset]) -> object:
    reach.ledger(APP, actor=door.actor(request))
    found = waiting.queue(APP, book, query.asset, now=timezone.now())
    return {
        "book": book,
        "asset": found.asset,
        "scale": found.scale,
        "per_day_minor": found.per_day_minor,
        "paid_today_minor": found.paid_today_minor,
        "waiting_minor": found.waiting_minor,
        "entries": [
            {
                "place": each.place,
                "transfer": each.transfer_id,
                "account": numbers.account_text(each.account),
                "amount_minor": each.amount_minor,
                "asked_at": each.asked_at,
                "ahead_minor": each.ahead_minor,
                "estimated_day": each.estimated_day,
            }
            for each in found.entries
        ],
    }


def _forecast(kept: Assessment) -> dict[str, object]:
    return {
        "assessment": kept.id,
        "book": kept.book,
        "asset": kept.asset,
        "scale": kept.scale,
        "last_day": kept.last_day,
        "position": kept.position,
        "liquid_minor": kept.liquid_minor,
        "survival_days": kept.survival_days,
        "shortfall_day": kept.shortfall_day,
        "level": str(kept.level),
        "told": kept.told,
        "at": kept.at,
        "actor": kept.actor,
    }

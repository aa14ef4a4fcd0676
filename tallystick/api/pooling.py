"""Pooling: signs that lenders' money is pooled instead of lent, each with the transfers that show it."""

from __future__ import annotations

from typing import Annotated, Literal

from django.http import HttpRequest
from ninja import Query, Router
from pydantic import BaseModel, Field

from tallystick.api import door, reach, words
from tallystick.core.db import APP
from tallystick.custody import numbers
from tallystick.custody.pooling import indicators

router = Router(tags=["Pooling"])

SCHEMA = "tallystick/pooling-check/1"
FINDINGS = 100

StateName = Literal["clear", "found", "undetermined"]
SignName = Literal["unattributed", "new_money", "circular", "term_mismatch", "rolled_over"]


class PoolingFinding(BaseModel):
    """One thing found: amount_minor of the transfer at `position`, and the transfers that show it."""

    cause: str
    position: int
    amount_minor: int
    of_minor: int
    account: words.AccountId
    evidence: list[int] = Field(description="positions, in the order in which they tell it")
    lent_for_days: int | None
    runs_days: int | None


class PoolingIndicator(BaseModel):
    """numerator_minor over denominator_minor; found from threshold_ppm on."""

    sign: SignName
    state: StateName
    value_ppm: int | None = Field(description="in millionths; null where there is nothing to divide by")
    numerator_minor: int
    denominator_minor: int
    threshold_ppm: int
    findings_total: int
    findings: list[PoolingFinding] = Field(description="the largest first")


class PoolingCheck(BaseModel):
    """What the ledger says. All of the book is followed; what is posted after a position is judged."""

    schema_: str = Field(alias="schema")
    book: int
    asset: str
    state: StateName
    after_position: int
    to_position: int
    transfers: int
    reversed_pairs: int
    indicators: list[PoolingIndicator]


class Wanted(BaseModel):
    """Which asset, and which part of the book."""

    asset: Annotated[str, Field(max_length=12)] = "CNY"
    after: words.Position = Field(0, description="judge what is posted after this position")
    to_position: words.Position | None = Field(None, description="up to this position; left out: up to now")
    findings: Annotated[int, Field(ge=1, le=words.LIMIT_MAX)] = Field(
        FINDINGS, description="the most findings told of each indicator"
    )


@router.get("/books/{book}/pooling", response=PoolingCheck, by_alias=True, summary="Signs of pooling")
def check_pooling(request: HttpRequest, book: words.BookNumber, query: Query[Wanted]) -> object:
    """From the ledger alone, every doubt decided for the platform. Follows 50,000 transfers at most."""
    reach.ledger(APP, actor=door.actor(request))
    found = indicators.check(
        APP,
        book,
        query.asset,
        after_position=query.after,
        to_position=query.to_position,
        most=indicators.CLICK_MAX,
    )
    return told(found, book, query.asset, findings_max=query.findings)


def told(
    found: indicators.Check, book: int, asset: str, *, findings_max: int | None = None
) -> dict[str, object]:
    """A check as JSON has it: the same from the API and from the command line."""
    return {
        "schema": SCHEMA,
        "book": book,
        "asset": asset,
        "state": str(found.state),
        "after_position": found.after_position,
        "to_position": found.to_position,
        "transfers": found.transfers,
        "reversed_pairs": found.reversed_pairs,
        "indicators": [
            {
                "sign": str(each.sign),
                "state": str(each.state),
                "value_ppm": each.value_ppm,
                "numerator_minor": each.numerator_minor,
                "denominator_minor": each.denominator_minor,
                "threshold_ppm": each.threshold_ppm,
                "findings_total": len(each.findings),
                "findings": [_finding(finding) for finding in each.findings[:findings_max]],
            }
            for each in found.indicators
        ],
    }


def _finding(finding: indicators.Finding) -> dict[str, object]:
    lent_for, runs = finding.days or (None, None)
    return {
        "cause": finding.cause,
        "position": finding.position,
        "amount_minor": finding.amount_minor,
        "of_minor": finding.of_minor,
        "account": numbers.account_text(finding.account),
        "evidence": list(finding.evidence),
        "lent_for_days": lent_for,
        "runs_days": runs,
    }

"""Assessments: a book's liquidity as it was judged at a moment, kept with all it was judged by.

Promises: what a page shows is what was recorded; a level other than calm is told in the evidence log
before the day it warns of; the same book at the same position gives the same assessment.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import connections, transaction

from tallystick.core.db import Db
from tallystick.custody import accounts, assets, errors, history
from tallystick.custody.liquidity import coverage, flows, limits, waiting
from tallystick.custody.liquidity.coverage import HORIZON, Cover, Funds, Level, Survival
from tallystick.custody.liquidity.flows import Flows
from tallystick.custody.liquidity.forecast import Ahead, Forecast, Model
from tallystick.custody.numbers import Family
from tallystick.evidence import log
from tallystick.identity import access
from tallystick.identity.access import Actor

KNOWN_DAYS = 60
"""How many past days are kept beside a forecast, for its picture."""


@dataclass(frozen=True, slots=True)
class View:
    """Flows looked ahead, funds, and what follows from both."""

    flows: Flows
    withdrawals: Forecast
    deposits: Forecast
    repayments: Forecast
    funds: Funds
    covers: Sequence[Cover]
    survivals: Sequence[Survival]
    level: Level

    @property
    def nearest(self) -> Survival:
        """Of the scenarios that warn, the one under which the money ends first."""
        warning = [each for each in self.survivals if coverage.scenario(each.scenario).warns]
        return min(warning, key=lambda each: each.days)


@dataclass(frozen=True, slots=True)
class Assessment:
    """A recorded view. `told` holds forecast, coverage and scenarios as in docs/reference/schemas."""

    id: str
    book: int
    asset: str
    scale: int
    last_day: date
    position: int
    liquid_minor: int
    survival_days: int
    shortfall_day: date | None
    level: Level
    told: dict[str, Any]
    at: datetime
    actor: str


def judge(known: Flows, funds: Funds, *, horizon: int = HORIZON) -> View:
    """Look ahead from these flows, and hold them against these funds. Raises `errors.HistoryTooShort`."""
    first = known.days[0].day if known.days else None
    if first is None:
        raise errors.HistoryTooShort(days=0, least=1)
    out, come, repaid = (
        Model(values, first, known.calendar).ahead(horizon)
        for values in (known.withdrawals, known.deposits, known.repayments)
    )
    survivals = [coverage.survive(each, out.days, come.days, funds) for each in coverage.scenarios()]
    return View(
        known,
        out,
        come,
        repaid,
        funds,
        coverage.covers(out.sums, funds),
        survivals,
        coverage.level_of(survivals),
    )


def funds(db: Db, book: int, asset: str, *, now: datetime) -> Funds:
    """What payouts can be made from: the control accounts' balances, by how soon they are free.

    Raises `errors.NoLiquidity` where nothing is held in this asset.
    """
    held = assets.asset(db, asset)
    control = [each.number for each in accounts.external(db, book, held.code)]
    soon = limits.after_days(db, book)
    at_once = 0
    later: dict[int, int] = {}
    for account, balance in history.balances(db, control).items():
        after = soon.get(account, 0)
        if after == 0:
            at_once += balance.balance_minor
        elif after is not None:
            later[after] = later.get(after, 0) + balance.balance_minor
    client = sum(
        total.balance_minor
        for total in history.totals(db, book)
        if total.asset == asset and total.family == Family.CLIENT
    )
    if not at_once and not later and not client:
        raise errors.NoLiquidity(asset=asset, book=book)
    return Funds(at_once, later, client, waiting.queue(db, book, asset, now=now).waiting_minor)


def view(db: Db, book: int, asset: str, *, now: datetime, horizon: int = HORIZON) -> View:
    """The book's liquidity as it is now; nothing is kept. Raises as `judge` and `funds` do."""
    last = flows.last_whole_day(db, book, now=now)
    return judge(flows.daily(db, book, asset, last=last), funds(db, book, asset, now=now), horizon=horizon)


def assess(db: Db, book: int, asset: str, *, actor: Actor, now: datetime) -> Assessment:
    """Judge the book's liquidity and keep the judgement. Raises as `view` does."""
    access.require(db, actor, "custody.assess_liquidity")
    found = view(db, book, asset, now=now)
    nearest = found.nearest
    with transaction.atomic(using=db):
        with connections[db].cursor() as cursor:
            cursor.execute(
                "insert into custody_liquidity_assessment (book_id, asset_id, last_day, position,"
                " liquid_minor, survival_days, shortfall_day, level, told, at, actor)"
                " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) returning id",
                [
                    book,
                    found.flows.asset.number,
                    found.flows.days[-1].day,
                    found.flows.position,
                    found.funds.at_once,
                    nearest.days,
                    nearest.shortfall_day,
                    str(found.level),
                    json.dumps(answer(found)),
                    now,
                    actor.id,
                ],
            )
            number = cursor.fetchone()[0]
        log.append(
            db,
            "custody.liquidity_assessed",
            {
                "assessment": f"liq_{number}",
                "book": book,
                "asset": asset,
                "position": found.flows.position,
                "liquid_minor": str(found.funds.at_once),
                "survival_days": nearest.days,
                "scenario": nearest.scenario,
                "shortfall_day": nearest.shortfall_day.isoformat() if nearest.shortfall_day else None,
                "level": str(found.level),
            },
            actor=actor.id,
            at=now,
        )
    return assessment(db, f"liq_{number}")


def assessment(db: Db, assessment_id: str) -> Assessment:
    """A recorded assessment. Raises `errors.AssessmentUnknown`."""
    digits = assessment_id.removeprefix("liq_")
    if digits.isascii() and digits.isdigit() and len(digits) <= 18:
        for found in _assessments(db, "where l.id = %s", [int(digits)]):
            return found
    raise errors.AssessmentUnknown(assessment=assessment_id)


def latest(db: Db, book: int, asset: str, *, limit: int = 1) -> Sequence[Assessment]:
    """The newest assessments of a book in one asset, the newest first."""
    return _assessments(
        db, "where l.book_id = %s and c.code = %s order by l.id desc limit %s", [book, asset, limit]
    )


def answer(found: View) -> dict[str, Any]:
    """A view as the commands, the API and the kept record tell it: amounts in minor units."""
    known = found.flows
    return {
        "book": known.book.id,
        "asset": known.asset.code,
        "scale": known.asset.scale,
        "last_day": known.days[-1].day.isoformat(),
        "position": known.position,
        "trained_days": found.withdrawals.trained_days,
        "calendar": str(known.calendar),
        "calendar_known": found.withdrawals.calendar_known,
        "level": str(found.level),
        "funds": {
            "at_once_minor": found.funds.at_once,
            "later": [
                {"after_days": after, "amount_minor": amount}
                for after, amount in sorted(found.funds.after_days.items())
            ],
            "client_minor": found.funds.client_minor,
            "waiting_minor": found.funds.waiting_minor,
        },
        "coverage": [
            {
                "days": each.days,
                "outflow_minor": each.outflow_minor,
                "outflow_high_minor": each.outflow_high_minor,
                "funds_minor": each.funds_minor,
                "expected_ppm": each.expected_ppm,
                "stressed_ppm": each.stressed_ppm,
            }
            for each in found.covers
        ],
        "scenarios": [
            {
                "name": each.scenario,
                "days": each.days,
                "shortfall_day": each.shortfall_day.isoformat() if each.shortfall_day else None,
                "missing_minor": each.missing_minor,
                "warns": coverage.scenario(each.scenario).warns,
            }
            for each in found.survivals
        ],
        "known": [
            {
                "day": day.day.isoformat(),
                "withdrawals_minor": day.withdrawals,
                "deposits_minor": day.deposits,
                "repayments_minor": day.repayments,
            }
            for day in known.days[-KNOWN_DAYS:]
        ],
        **{
            name: {"widened_ppm": each.widened_ppm, "days": [_ahead(day) for day in each.days]}
            for name, each in (
                ("withdrawals", found.withdrawals),
                ("deposits", found.deposits),
                ("repayments", found.repayments),
            )
        },
    }


def _ahead(day: Ahead) -> dict[str, Any]:
    return {
        "day": day.day.isoformat(),
        "expected_minor": day.expected,
        "low80_minor": day.low80,
        "high80_minor": day.high80,
        "low95_minor": day.low95,
        "high95_minor": day.high95,
    }


def _assessments(db: Db, rest: str, parameters: list[int | str]) -> list[Assessment]:
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select l.id, l.book_id, c.code, c.scale, l.last_day, l.position, l.liquid_minor,"  # noqa: S608
            " l.survival_days, l.shortfall_day, l.level, l.told, l.at, l.actor"
            f" from custody_liquidity_assessment l join custody_asset c on c.number = l.asset_id {rest}",
            parameters,
        )
        rows = cursor.fetchall()
    return [
        Assessment(
            id=f"liq_{row[0]}",
            book=row[1],
            asset=row[2],
            scale=row[3],
            last_day=row[4],
            position=row[5],
            liquid_minor=row[6],
            survival_days=row[7],
            shortfall_day=row[8],
            level=Level(row[9]),
            told=json.loads(row[10]),
            at=row[11],
            actor=row[12],
        )
        for row in rows
    ]

"""Coverage: how many days of payouts the money at hand covers, as forecast and under stress.

Promises: a scenario is data with its source, in `scenarios.yaml`; the same forecast and funds give the
same days; the level is the worst of the scenarios that warn.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from importlib import resources
from typing import Any, Literal

import yaml
from django.utils import translation

from tallystick.custody.liquidity.forecast import Ahead

MILLION = 1_000_000
HORIZON = 90
"""How many days are looked ahead."""


class Level(StrEnum):
    """How pressing it is."""

    CALM = "calm"
    WATCH = "watch"
    WARNING = "warning"
    ALARM = "alarm"


ORDER = tuple(Level)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What might happen; the fields are those of `scenarios.yaml`."""

    name: str
    zh: str
    en: str
    outflow_from: Literal["expected", "high95"]
    inflow_from: Literal["expected", "low95"]
    inflow_ppm: int
    warns: bool
    source: str
    outflow_ppm: int = MILLION
    factors_ppm: tuple[int, ...] = ()
    run_ppm: tuple[int, ...] = ()

    @property
    def title(self) -> str:
        """Its name in the language of the moment."""
        return self.zh if (translation.get_language() or "").startswith("zh") else self.en


@dataclass(frozen=True, slots=True)
class Funds:
    """What payouts can be made from. after_days: money that comes free so many days from now, none at 0.

    waiting_minor is what has been asked for and not paid yet: it goes out first.
    """

    at_once: int
    after_days: Mapping[int, int]
    client_minor: int
    waiting_minor: int = 0

    @property
    def within_minor(self) -> int:
        """All that will ever come free."""
        return self.at_once + sum(self.after_days.values())


@dataclass(frozen=True, slots=True)
class Survival:
    """How long the money lasts under a scenario.

    days: whole days that everything could be paid, at most the horizon; shortfall_day: the first one it
    could not, and how much is missing then. left is what is there at the end of each day looked at.
    """

    scenario: str
    days: int
    shortfall_day: date | None
    missing_minor: int
    left: Sequence[int]


@dataclass(frozen=True, slots=True)
class Cover:
    """Funds against what is forecast to leave within some days, in millionths; None: nothing leaves."""

    days: int
    outflow_minor: int
    outflow_high_minor: int
    funds_minor: int
    expected_ppm: int | None
    stressed_ppm: int | None


@functools.cache
def scenarios() -> tuple[Scenario, ...]:
    """Every scenario, in the order of the file."""
    return tuple(
        Scenario(
            **{
                **each,
                "factors_ppm": tuple(each.get("factors_ppm", ())),
                "run_ppm": tuple(each.get("run_ppm", ())),
            }
        )
        for each in _file()["scenarios"]
    )


def scenario(name: str) -> Scenario:
    """The scenario of this name."""
    return next(each for each in scenarios() if each.name == name)


def covers(sums: Sequence[Ahead], funds: Funds, horizons: Sequence[int] = (1, 7, 30, 90)) -> list[Cover]:
    """Funds that are free within each horizon, against the outflow forecast for it."""
    told = []
    for days in horizons:
        if days > len(sums):
            break
        free = funds.at_once + sum(amount for after, amount in funds.after_days.items() if after < days)
        middle = sums[days - 1].expected + funds.waiting_minor
        high = sums[days - 1].high95 + funds.waiting_minor
        told.append(Cover(days, middle, high, free, _share(free, middle), _share(free, high)))
    return told


def survive(told: Scenario, outflows: Sequence[Ahead], inflows: Sequence[Ahead], funds: Funds) -> Survival:
    """Go through the days one by one: what comes free and in is added, what leaves is taken."""
    liquid, clients = funds.at_once, funds.client_minor
    left: list[int] = []
    short: int | None = None
    missing = 0
    for n, (out, come) in enumerate(zip(outflows, inflows, strict=True)):
        liquid += funds.after_days.get(n, 0)
        factor = _of_day(told.factors_ppm, n) if told.factors_ppm else told.outflow_ppm
        leaves = getattr(out, told.outflow_from) * factor // MILLION
        if told.run_ppm:
            leaves += max(clients, 0) * _of_day(told.run_ppm, n) // MILLION
        if n == 0:
            leaves += funds.waiting_minor
        # Nobody can take out more than all clients have.
        leaves = min(leaves, max(clients, 0))
        comes = getattr(come, told.inflow_from) * told.inflow_ppm // MILLION
        liquid += comes - leaves
        clients += comes - leaves
        if liquid < 0 and short is None:
            short, missing = n, -liquid
        left.append(liquid)
    return Survival(
        told.name,
        len(outflows) if short is None else short,
        None if short is None else outflows[short].day,
        missing,
        left,
    )


def level_of(survivals: Sequence[Survival]) -> Level:
    """The worst level of the scenarios that warn: by how many days the money lasts under each.

    A scenario the money outlasts for as long as is looked ahead gives no warning.
    """
    bounds = _file()["levels"]
    worst = Level.CALM
    for each in survivals:
        if each.shortfall_day is None:
            continue
        for level, least in bounds.get(each.scenario, {}).items():
            if each.days < least and ORDER.index(Level(level)) > ORDER.index(worst):
                worst = Level(level)
    return worst


def _of_day(shares: Sequence[int], n: int) -> int:
    return shares[min(n, len(shares) - 1)]


def _share(part: int, whole: int) -> int | None:
    return None if whole <= 0 else part * MILLION // whole


@functools.cache
def _file() -> dict[str, Any]:
    text = resources.files("tallystick.custody.liquidity").joinpath("scenarios.yaml").read_text("utf-8")
    read: dict[str, Any] = yaml.safe_load(text)
    return read

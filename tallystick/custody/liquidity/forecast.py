"""Forecast: what the next days will bring, with bands that say how far it may be off.

A level that wanders, a regular week, business days, days after a rest and month ends: a structural time
series (Harvey 1989) fitted by statsmodels over square roots, for a day's flow is the sum of many payments,
and the variance of such a sum grows with its mean. The bands come from simulated paths, so that those of
a sum over days are right too; they are widened by what the model's own past errors exceeded its own bands.

Estimates are no booked money: they are floats inside, whole minor units outside, and nothing is posted
by them. Same flows, same day, same seed: the same forecast.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tallystick.core import calendars
from tallystick.core.calendars import Calendar
from tallystick.core.errors import YearWithoutCalendar
from tallystick.custody import errors

DAYS_MIN = 35
"""Five weeks: below that a week has not been seen often enough."""

PATHS = 1_000
SEED = 20_260_301
LEVELS = (80, 95)
"""Of each hundred days, how many are to lie inside the band."""

_WIDEN_MIN, _WIDEN_MAX = 1.0, 4.0
_SEEN_MIN = 2
"""A kind of day that was seen less often teaches nothing."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """One day to come, in minor units. low and high of each band, the wider band's outside."""

    day: date
    expected: int
    low80: int
    high80: int
    low95: int
    high95: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """The days to come, and the sums from the first of them up to each.

    widened_ppm says by how much the model's own bands were widened for its past errors. `calendar_known`
    is false where some day's business calendar has not been published: weekdays alone were used there.
    """

    days: Sequence[Ahead]
    sums: Sequence[Ahead]
    trained_days: int
    widened_ppm: int
    calendar_known: bool


def regressors(days: Sequence[date], calendar: Calendar) -> tuple[NDArray[np.float64], bool]:
    """What is known of each day beforehand, a column each, and whether the calendar knew them all.

    Monday to Saturday (Sunday is the level), a rest day on a weekday, a make-up workday, the first
    business day after a rest of three days or more, the last and the first two days of a month.
    """
    known = True
    rows = np.zeros((len(days), 11))
    for at, day in enumerate(days):
        if day.weekday() < 6:
            rows[at, day.weekday()] = 1
        try:
            open_today = calendars.is_business_day(calendar, day)
            rested = all(
                not calendars.is_business_day(calendar, day - timedelta(days=back)) for back in (1, 2, 3)
            )
        except YearWithoutCalendar:
            known, open_today, rested = False, day.weekday() < 5, False
        rows[at, 6] = not open_today and day.weekday() < 5
        rows[at, 7] = open_today and day.weekday() >= 5
        rows[at, 8] = open_today and rested
        rows[at, 9] = (day + timedelta(days=1)).day == 1
        rows[at, 10] = day.day <= 2
    return rows, known


class Model:
    """A fitted series, ready to look ahead and to be told what came."""

    def __init__(self, values: Sequence[int], first: date, calendar: Calendar) -> None:
        if len(values) < DAYS_MIN:
            raise errors.HistoryTooShort(days=len(values), least=DAYS_MIN)
        # Here, because it takes seconds to load and no other command needs it.
        from statsmodels.tsa.statespace.structural import UnobservedComponents

        self.calendar = calendar
        self.first = first
        self.length = len(values)
        known = [first + timedelta(days=n) for n in range(len(values))]
        told, self.calendar_known = regressors(known, calendar)
        self.columns = np.flatnonzero((told.sum(axis=0) >= _SEEN_MIN) & ((1 - told).sum(axis=0) >= _SEEN_MIN))
        roots = np.sqrt(np.asarray(values, float))
        self.scale = float(roots.std()) or 1.0
        model = UnobservedComponents(
            roots / self.scale, "local level", exog=told[:, self.columns], mle_regression=False
        )
        with warnings.catch_warnings():
            # A search that stops early still gives a valid, wider forecast; the back-test judges it.
            warnings.simplefilter("ignore")
            self.fitted: Any = model.fit(disp=False, maxiter=40)

    def ahead(self, horizon: int, *, paths: int = PATHS, seed: int = SEED) -> Forecast:
        """The next `horizon` days."""
        days = [self.first + timedelta(days=self.length + n) for n in range(horizon)]
        told, known = regressors(days, self.calendar)
        simulated = self.fitted.simulate(
            horizon, anchor="end", repetitions=paths, exog=told[:, self.columns], rng=seed
        )
        drawn = np.asarray(simulated).reshape(horizon, paths)
        middle = np.median(drawn, axis=1, keepdims=True)
        widen = self._widen()
        drawn = np.clip((middle + (drawn - middle) * widen) * self.scale, 0, None) ** 2
        return Forecast(
            days=_bands(days, drawn),
            sums=_bands(days, drawn.cumsum(axis=0)),
            trained_days=self.length,
            widened_ppm=round(widen * 1_000_000),
            calendar_known=known and self.calendar_known,
        )

    def extend(self, values: Sequence[int]) -> None:
        """Take in further days without fitting again: the level moves on, the parameters stay."""
        days = [self.first + timedelta(days=self.length + n) for n in range(len(values))]
        told, _known = regressors(days, self.calendar)
        roots = np.sqrt(np.asarray(values, float)) / self.scale
        self.fitted = self.fitted.append(roots, exog=told[:, self.columns], refit=False)
        self.length += len(values)

    def _widen(self) -> float:
        """By how much 95 of 100 past errors exceeded what the model allowed for 95 of 100."""
        past = self.fitted.filter_results.standardized_forecasts_error[0]
        seen = np.abs(past[len(self.columns) + 7 :])
        seen = seen[np.isfinite(seen)]
        if seen.size < 14:
            return _WIDEN_MAX / 2
        return float(np.clip(np.quantile(seen, 0.95) / 1.96, _WIDEN_MIN, _WIDEN_MAX))


def _bands(days: Sequence[date], drawn: NDArray[np.float64]) -> list[Ahead]:
    quantiles = np.quantile(drawn, [0.5, 0.1, 0.9, 0.025, 0.975], axis=1)
    return [Ahead(day, *(round(float(value)) for value in quantiles[:, n])) for n, day in enumerate(days)]

"""Back-test: the forecasts that would have been made, against what came.

Walk-forward: each forecast knows only the days before it; the model is fitted anew every week and told
each day in between. The yardstick is the plainest forecast there is, the same weekday of the last week,
with bands from how far that was off before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from tallystick.core.calendars import Calendar
from tallystick.custody import errors
from tallystick.custody.liquidity import forecast
from tallystick.custody.liquidity.forecast import Model

WEEK = 7
TRAIN_DAYS_MIN = 56
ORIGINS_MAX = 120


@dataclass(frozen=True, slots=True)
class Score:
    """How one way of forecasting did, over every forecast day.

    mean_error_minor is the mean absolute error; inside80_ppm and inside95_ppm, how many of a million days
    lay in the band that was to hold 800,000 or 950,000 of them.
    """

    mean_error_minor: int
    inside80_ppm: int
    inside95_ppm: int
    width95_minor: int


@dataclass(frozen=True, slots=True)
class Backtest:
    """What was tried: `origins` forecasts from the first to the last day, each of `horizon` days."""

    first: date
    last: date
    origins: int
    horizon: int
    model: Score
    naive: Score

    @property
    def error_ratio_ppm(self) -> int:
        """The model's error in millionths of the yardstick's; below 1,000,000 it is the better one."""
        return self.model.mean_error_minor * 1_000_000 // max(self.naive.mean_error_minor, 1)


def walk(
    values: Sequence[int],
    first: date,
    calendar: Calendar,
    *,
    horizon: int = 7,
    origins: int = 60,
    paths: int = 400,
) -> Backtest:
    """Forecast again from each of the last `origins` days that have `horizon` days after them.

    Raises `errors.HistoryTooShort` where no day has enough behind it.
    """
    begin = max(TRAIN_DAYS_MIN, len(values) - horizon - min(origins, ORIGINS_MAX) + 1)
    if begin + horizon > len(values):
        raise errors.HistoryTooShort(days=len(values), least=TRAIN_DAYS_MIN + horizon)
    ours: list[tuple[int, int, int, int, int, int]] = []
    naive: list[tuple[int, int, int, int, int, int]] = []
    model: Model | None = None
    for origin in range(begin, len(values) - horizon + 1):
        if model is None or (origin - begin) % WEEK == 0:
            model = Model(values[:origin], first, calendar)
        else:
            model.extend(values[origin - 1 : origin])
        ahead = model.ahead(horizon, paths=paths, seed=forecast.SEED + origin).days
        plain = _naive(values[:origin], horizon)
        for step in range(horizon):
            came, told = values[origin + step], ahead[step]
            ours.append((came, told.expected, told.low80, told.high80, told.low95, told.high95))
            naive.append((came, *plain[step]))
    return Backtest(
        first=first + timedelta(days=begin),
        last=first + timedelta(days=len(values) - 1),
        origins=len(values) - horizon + 1 - begin,
        horizon=horizon,
        model=_score(ours),
        naive=_score(naive),
    )


def _naive(values: Sequence[int], horizon: int) -> list[tuple[int, int, int, int, int]]:
    """The same weekday of the last week known, and bands from how far that was off before."""
    known = np.asarray(values, float)
    off = np.abs(known[WEEK:] - known[:-WEEK])
    near, far = (round(float(np.quantile(off, share))) for share in (0.8, 0.95))
    told = []
    for step in range(horizon):
        middle = int(values[len(values) - WEEK + step % WEEK])
        told.append((middle, max(middle - near, 0), middle + near, max(middle - far, 0), middle + far))
    return told


def _score(rows: Sequence[tuple[int, int, int, int, int, int]]) -> Score:
    count = len(rows)
    return Score(
        mean_error_minor=sum(abs(came - told) for came, told, *_ in rows) // count,
        inside80_ppm=sum(low <= came <= high for came, _, low, high, _, _ in rows) * 1_000_000 // count,
        inside95_ppm=sum(low <= came <= high for came, _, _, _, low, high in rows) * 1_000_000 // count,
        width95_minor=sum(high - low for *_, low, high in rows) // count,
    )

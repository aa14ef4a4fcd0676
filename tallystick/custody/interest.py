"""Simple interest: the formula an authorisation may state instead of an amount."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

from tallystick.core.money import Rounding, rounded


def simple(*, base_minor: int, rate_ppm: int, day_basis: int, since: date, until: date) -> int:
    """Interest on `base_minor` from one day to another, in minor units, rounded half to even.

    rate_ppm: millionths of the base a year of `day_basis` days. Nothing where `until` is not after `since`.
    """
    days = max((until - since).days, 0)
    return rounded(Fraction(base_minor * rate_ppm * days, 1_000_000 * day_basis), Rounding.HALF_EVEN)

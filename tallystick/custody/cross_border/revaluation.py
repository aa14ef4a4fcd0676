"""Revaluation: what a book holds in other currencies, in the one it reports in, and what that has gained.

Promises: each position is worth its amount at the recorded rate of the moment, rounded half to even by
itself; the total is the sum of the lines as written; cost is what the exchanges of the book really paid,
so that gain is value less cost to the last minor unit. Nothing is posted: an unrealised gain is no money.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from django.db import connections

from tallystick.core import money
from tallystick.core.db import Db
from tallystick.core.money import Rounding
from tallystick.custody import assets, history
from tallystick.custody.assets import Asset
from tallystick.custody.codes import Code
from tallystick.custody.cross_border import rates
from tallystick.custody.cross_border.rates import AGE_MAX, Rate

ROUNDING = Rounding.HALF_EVEN


@dataclass(frozen=True, slots=True)
class Exchanged:
    """One exchange seen from the position accounts: what came in of one asset for what went out of another."""

    gained: str
    gained_minor: int
    given: str
    given_minor: int


@dataclass(frozen=True, slots=True)
class Line:
    """One asset: what the position accounts have of it, its worth in the reporting asset and what it cost.

    A position is negative where more was given than came in. cost_minor None: some of it was got for a
    third asset, so that it has no cost in the reporting one.
    """

    asset: str
    scale: int
    position_minor: int
    rate: Rate | None
    value_minor: int
    cost_minor: int | None

    @property
    def gain_minor(self) -> int | None:
        """Unrealised: worth less cost."""
        return None if self.cost_minor is None else self.value_minor - self.cost_minor


@dataclass(frozen=True, slots=True)
class Revaluation:
    """All lines as of a position of the book, at rates as of a moment."""

    book: int
    reporting: Asset
    position: int
    at: datetime
    rounding: Rounding
    lines: Sequence[Line]

    @property
    def value_minor(self) -> int:
        return sum(line.value_minor for line in self.lines)

    @property
    def gain_minor(self) -> int | None:
        """None where some line's cost is not known."""
        gains = [line.gain_minor for line in self.lines]
        known = [gain for gain in gains if gain is not None]
        return sum(known) if len(known) == len(gains) else None


def value_minor(amount_minor: int, scale: int, reporting_scale: int, rate: Fraction) -> int:
    """An amount in the reporting asset: amount × rate, moved to its decimals, rounded half to even."""
    return money.rounded(Fraction(amount_minor * 10**reporting_scale, 10**scale) * rate, ROUNDING)


def costs(exchanged: Iterable[Exchanged], reporting: str) -> dict[str, tuple[int, int | None]]:
    """For each asset: what is left of it, and what that cost in the reporting asset at average cost.

    A position that grows takes its price in; one that shrinks gives its average share back, rounded half
    to even; one that changes sides begins anew with the price of what is beyond nothing.
    """
    held: dict[str, tuple[int, int | None]] = {}

    def add(asset: str, amount: int, price: int | None) -> None:
        have, cost = held.get(asset, (0, 0))
        if have and (have > 0) != (amount > 0) and cost is not None and price is not None:
            closed = min(abs(amount), abs(have))
            cost -= money.rounded(Fraction(cost * closed, abs(have)), ROUNDING)
            opened = abs(amount) - closed
            cost += money.rounded(Fraction(price * opened, abs(amount)), ROUNDING) if opened else 0
        else:
            cost = None if cost is None or price is None else cost + price
        have += amount
        # An empty position cost nothing, whatever was unknown before.
        held[asset] = (have, 0 if not have else cost)

    for each in exchanged:
        if each.gained != reporting:
            add(each.gained, each.gained_minor, each.given_minor if each.given == reporting else None)
        if each.given != reporting:
            add(each.given, -each.given_minor, -each.gained_minor if each.gained == reporting else None)
    return held


def revalue(db: Db, book: int, reporting: str, *, now: datetime, age_max: timedelta = AGE_MAX) -> Revaluation:
    """The book's exchange positions at the rates of this moment.

    Raises `errors.BookUnknown`, `AssetUnknown`, `RateUnknown` or `RateStale`.
    """
    into = assets.asset(db, reporting)
    position = history.as_of(db, book)
    scales = {asset.code: asset.scale for asset in assets.assets(db)}
    lines = []
    for code, (held, cost) in sorted(costs(_exchanged(db, book, position), reporting).items()):
        rate = rates.current(db, code, reporting, now=now, age_max=age_max) if held else None
        worth = value_minor(held, scales[code], into.scale, rate.value) if rate else 0
        lines.append(Line(code, scales[code], held, rate, worth, cost))
    return Revaluation(book, into, position, now, ROUNDING, lines)


def _exchanged(db: Db, book: int, position: int) -> list[Exchanged]:
    """Every exchange of the book in order: what was sold came to the position, what was bought left it."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select t.metadata from custody_transfer t
            where t.book_id = %s and t.code = %s and t.kind in (1, 3) and t.position <= %s
                and t.chain_position = t.position and t.metadata is not null
                and not exists (
                    select from custody_transfer r
                    where r.book_id = t.book_id and r.reverses_position = t.position
                        and r.position <= %s)
            order by t.position
            """,
            [book, int(Code.EXCHANGE), position, position],
        )
        told = [json.loads(row[0]).get("exchange") for row in cursor.fetchall()]
    return [
        Exchanged(each["sold"], int(each["sold_minor"]), each["bought"], int(each["bought_minor"]))
        for each in told
        if each is not None
    ]

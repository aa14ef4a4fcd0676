"""Other currencies at the command line: record rates, set corridors, value positions.

Whoever may run a command on the server acts as `system:cli`. Quotes and consents are the client's, on
their pages and by the API: there is no command for them.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from tallystick.cli import ground
from tallystick.core.db import APP

if TYPE_CHECKING:
    from tallystick.identity.access import Actor

_book = click.option("--book", type=click.IntRange(1, 899), default=1, show_default=True, help="Its number.")


@click.group()
def currencies() -> None:
    """Rates, corridors, and what positions are worth."""


@currencies.command()
@click.argument("base")
@click.argument("quoted")
@click.argument("rate")
@click.option("--source", required=True, help="Who said it.")
@click.option("--as-of", help="When, such as 2026-11-22T09:15:00+08:00. [default: now]")
@ground.json_option
def rate(*, base: str, quoted: str, rate: str, source: str, as_of: str | None, as_json: bool) -> None:
    """Record that one unit of BASE is worth RATE units of QUOTED."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.custody.cross_border import rates

        now = datetime.now(UTC)
        recorded = rates.record(
            APP, base, quoted, rate, source, as_of=_moment(as_of, now), actor=_cli(), now=now
        )
    answer = {
        "schema": "tallystick/currencies-rate/1",
        "id": recorded.id,
        "base": base,
        "quoted": quoted,
        "rate": rate,
        "source": source,
        "as_of": recorded.as_of.isoformat(),
    }
    _tell(
        as_json, answer, f"{recorded.id}: 1 {base} = {rate} {quoted}, {source}, {recorded.as_of.isoformat()}"
    )


@currencies.command()
@click.argument("from_country")
@click.argument("sold")
@click.argument("to_country")
@click.argument("bought")
@click.option("--allow/--block", "allowed", required=True, help="Whether anything goes through.")
@click.option("--reason", required=True, help="The law or decision it rests on; told to who is refused.")
@click.option("--per-transfer", help="The most at a time, of what is sold, such as 50000.00.")
@click.option("--per-period", help="The most of one client in --days.")
@click.option("--days", type=click.IntRange(1, 366), help="The days of a period.")
@click.option("--margin-ppm", type=click.IntRange(0, 999_999), default=0, help="The margin, in millionths.")
@click.option("--fee", help="The fee of each exchange, of what is sold.")
@click.option("--from", "from_day", type=click.DateTime(["%Y-%m-%d"]), help="From this day. [default: today]")
@_book
@ground.json_option
def corridor(
    *,
    from_country: str,
    sold: str,
    to_country: str,
    bought: str,
    allowed: bool,
    reason: str,
    per_transfer: str | None,
    per_period: str | None,
    days: int | None,
    margin_ppm: int,
    fee: str | None,
    from_day: datetime | None,
    book: int,
    as_json: bool,
) -> None:
    """Open or block the corridor from FROM_COUNTRY in SOLD to TO_COUNTRY in BOUGHT: `CN CNY US USD`."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.custody import assets, books
        from tallystick.custody.cross_border import corridors

        now = datetime.now(UTC)
        scale = assets.asset(APP, sold).scale
        terms = corridors.Terms(
            from_country=from_country,
            to_country=to_country,
            sold=sold,
            bought=bought,
            allowed=allowed,
            per_transfer_minor=_minor(per_transfer, scale),
            per_period_minor=_minor(per_period, scale),
            period_days=days,
            margin_ppm=margin_ppm,
            fee_minor=_minor(fee, scale) or 0,
            from_day=from_day.date() if from_day else books.book(APP, book).today(now),
            reason=reason,
        )
        rule = corridors.set_rule(APP, book, terms, actor=_cli(), now=now)
    answer = {
        "schema": "tallystick/currencies-corridor/1",
        "id": rule.id,
        "book": book,
        "from_country": from_country,
        "sold": sold,
        "to_country": to_country,
        "bought": bought,
        "allowed": allowed,
        "from_day": terms.from_day.isoformat(),
    }
    word = "open" if allowed else "blocked"
    _tell(
        as_json,
        answer,
        f"{rule.id}: {from_country} {sold} to {to_country} {bought} is {word} from {terms.from_day}",
    )


@currencies.command()
@click.option("--reporting", default="CNY", show_default=True, help="The asset to value in.")
@_book
@ground.json_option
def revalue(*, reporting: str, book: int, as_json: bool) -> None:
    """Value the exchange positions at the rates of now, with what they cost and have gained."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.core import money
        from tallystick.custody.cross_border import revaluation

        found = revaluation.revalue(APP, book, reporting, now=datetime.now(UTC))
    answer = {
        "schema": "tallystick/currencies-revalue/1",
        "book": book,
        "reporting": reporting,
        "scale": found.reporting.scale,
        "position": found.position,
        "rounding": str(found.rounding),
        "value_minor": found.value_minor,
        "gain_minor": found.gain_minor,
        "lines": [
            {
                "asset": line.asset,
                "scale": line.scale,
                "position_minor": line.position_minor,
                "rate": line.rate.rate if line.rate else None,
                "rate_source": line.rate.source if line.rate else None,
                "rate_as_of": line.rate.as_of.isoformat() if line.rate else None,
                "value_minor": line.value_minor,
                "cost_minor": line.cost_minor,
                "gain_minor": line.gain_minor,
            }
            for line in found.lines
        ],
    }
    scale = found.reporting.scale
    rows = [
        f"{line.asset}: {money.major(line.position_minor, line.scale)}"
        f" is worth {money.major(line.value_minor, scale)} {reporting}"
        + ("" if line.gain_minor is None else f", gained {money.major(line.gain_minor, scale)}")
        for line in found.lines
    ]
    _tell(as_json, answer, "\n".join(rows) or "No positions.")


def _moment(text: str | None, now: datetime) -> datetime:
    if text is None:
        return now
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no time", param_hint="--as-of") from None
    if moment.tzinfo is None:
        raise click.BadParameter(f"{text!r} does not say its time zone", param_hint="--as-of")
    return moment


def _minor(text: str | None, scale: int) -> int | None:
    from tallystick.core import money

    try:
        return None if text is None else money.minor(text, scale)
    except ValueError as wrong:
        raise click.BadParameter(str(wrong)) from None


def _cli() -> Actor:
    from tallystick.identity.access import Actor

    return Actor.system("cli")


def _tell(as_json: bool, answer: dict[str, Any], text: str) -> None:
    click.echo(json.dumps(answer, ensure_ascii=False, indent=1) if as_json else text)

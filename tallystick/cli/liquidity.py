"""Liquidity at the command line: forecast what will leave, try the forecast on the past, set limits.

`forecast` keeps what it judged unless told otherwise, and exits with 3 where it warns, so that a timer can
tell somebody. `backtest` prints how far forecasts would have been off, beside the plainest one there is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from tallystick.cli import ground
from tallystick.core.db import APP

if TYPE_CHECKING:
    from tallystick.custody.liquidity.backtest import Backtest, Score
    from tallystick.custody.liquidity.flows import Flows

WARNED = 3
"""The exit code of a forecast that warns."""

FLOWS = ("withdrawals", "deposits", "repayments")

_book = click.option("--book", type=click.IntRange(1, 899), default=1, show_default=True, help="Its number.")
_asset = click.option("--asset", default="CNY", show_default=True, help="Its code.")


@click.group()
def liquidity() -> None:
    """What will leave, whether it can be paid, and who waits."""


@liquidity.command()
@_book
@_asset
@click.option("--dry", is_flag=True, help="Keep nothing.")
@ground.json_option
def forecast(*, book: int, asset: str, dry: bool, as_json: bool) -> None:
    """Forecast each day's withdrawals, deposits and repayments, and how long the money lasts.

    Exit code 3 where the level is warning or alarm.
    """
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.custody.liquidity import assessments
        from tallystick.identity.access import Actor

        now, kept = datetime.now(UTC), None
        if dry:
            told = assessments.answer(assessments.view(APP, book, asset, now=now))
        else:
            found = assessments.assess(APP, book, asset, actor=Actor.system("cli"), now=now)
            told, kept = found.told, found.id
    answer = {"schema": "tallystick/liquidity-forecast/1", "assessment": kept, **told}
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False, indent=1))
    else:
        _print_forecast(answer)
    if answer["level"] in ("warning", "alarm"):
        sys.exit(WARNED)


@liquidity.command()
@_book
@_asset
@click.option("--flow", type=click.Choice(FLOWS), default="withdrawals", show_default=True)
@click.option("--horizon", type=click.IntRange(1, 28), default=7, show_default=True, help="Days ahead.")
@click.option("--origins", type=click.IntRange(1, 120), default=60, show_default=True, help="Forecasts made.")
@ground.json_option
def backtest(*, book: int, asset: str, flow: str, horizon: int, origins: int, as_json: bool) -> None:
    """Make the forecasts of past days again, knowing only the days before, and say how far off they were."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.custody.liquidity import backtest as backtests
        from tallystick.custody.liquidity import flows

        now = datetime.now(UTC)
        known = flows.daily(APP, book, asset, last=flows.last_whole_day(APP, book, now=now))
        tried = backtests.walk(
            _values(known, flow),
            known.days[0].day if known.days else now.date(),
            known.calendar,
            horizon=horizon,
            origins=origins,
        )
    answer = backtest_answer(book, asset, known.asset.scale, flow, tried)
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False, indent=1))
    else:
        _print_backtest(answer)


@liquidity.command()
@_book
@_asset
@ground.json_option
def queue(*, book: int, asset: str, as_json: bool) -> None:
    """Payouts that were asked for and not made yet, in order, with the day each is about to be made."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.custody.liquidity import waiting
        from tallystick.custody.numbers import account_text

        found = waiting.queue(APP, book, asset, now=datetime.now(UTC))
    answer = {
        "schema": "tallystick/liquidity-queue/1",
        "book": book,
        "asset": asset,
        "scale": found.scale,
        "per_day_minor": found.per_day_minor,
        "paid_today_minor": found.paid_today_minor,
        "waiting_minor": found.waiting_minor,
        "entries": [
            {
                "place": each.place,
                "transfer": each.transfer_id,
                "account": account_text(each.account),
                "amount_minor": each.amount_minor,
                "asked_at": each.asked_at.isoformat(),
                "ahead_minor": each.ahead_minor,
                "estimated_day": each.estimated_day.isoformat() if each.estimated_day else None,
            }
            for each in found.entries
        ],
    }
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False, indent=1))
        return
    entries: list[dict[str, Any]] = answer["entries"]  # type: ignore[assignment]
    rows = [
        (
            str(each["place"]),
            each["account"],
            _amount(each["amount_minor"], found.scale),
            each["estimated_day"] or "–",
        )
        for each in entries
    ]
    _table((_("Place"), _("Account"), _("Amount"), _("About")), rows)


@liquidity.command()
@_book
@_asset
@click.argument("amount")
@click.option("--reason", required=True, help="Why; kept with the limit.")
@click.option("--from", "from_day", type=click.DateTime(["%Y-%m-%d"]), help="From this day. [default: today]")
@ground.json_option
def limit(
    *, book: int, asset: str, amount: str, reason: str, from_day: datetime | None, as_json: bool
) -> None:
    """Limit what may be withdrawn in a day to AMOUNT, such as 500000.00; `none` lifts the limit."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.core import money
        from tallystick.custody import assets, books
        from tallystick.custody.liquidity import limits
        from tallystick.identity.access import Actor

        now = datetime.now(UTC)
        try:
            minor = None if amount == "none" else money.minor(amount, assets.asset(APP, asset).scale)
        except ValueError as wrong:
            raise click.BadParameter(str(wrong), param_hint="AMOUNT") from None
        day = from_day.date() if from_day else books.book(APP, book).today(now)
        limits.set_limit(APP, book, asset, minor, reason, from_day=day, actor=Actor.system("cli"), now=now)
    answer = {
        "schema": "tallystick/liquidity-limit/1",
        "book": book,
        "asset": asset,
        "per_day_minor": minor,
        "from_day": day.isoformat(),
    }
    if as_json:
        click.echo(json.dumps(answer))
    else:
        click.echo(
            _("From {day} no limit holds.").format(day=day)
            if minor is None
            else _("From {day} at most {amount} {asset} a day.").format(day=day, amount=amount, asset=asset)
        )


def backtest_answer(book: int, asset: str, scale: int, flow: str, tried: Backtest) -> dict[str, Any]:
    """The answer of `liquidity backtest --json`."""

    def score(of: Score) -> dict[str, int]:
        return {
            "mean_error_minor": of.mean_error_minor,
            "inside80_ppm": of.inside80_ppm,
            "inside95_ppm": of.inside95_ppm,
            "width95_minor": of.width95_minor,
        }

    return {
        "schema": "tallystick/liquidity-backtest/1",
        "book": book,
        "asset": asset,
        "scale": scale,
        "flow": flow,
        "first": tried.first.isoformat(),
        "last": tried.last.isoformat(),
        "origins": tried.origins,
        "horizon": tried.horizon,
        "model": score(tried.model),
        "same_day_last_week": score(tried.naive),
        "error_ratio_ppm": tried.error_ratio_ppm,
    }


def _values(known: Flows, flow: str) -> list[int]:
    return {
        "withdrawals": known.withdrawals,
        "deposits": known.deposits,
        "repayments": known.repayments,
    }[flow]


def _print_forecast(told: dict[str, Any]) -> None:
    scale, asset = told["scale"], told["asset"]
    level = {
        "calm": _("calm"),
        "watch": _("watch"),
        "warning": _("warning"),
        "alarm": _("alarm"),
    }[told["level"]]
    click.echo(_("Level: {level}").format(level=level))
    click.echo(
        _("At hand: {amount} {asset}").format(
            amount=_amount(told["funds"]["at_once_minor"], scale), asset=asset
        )
    )
    _table(
        (_("Day"), _("Withdrawals"), _("80 of 100 days"), _("95 of 100 days")),
        [
            (
                each["day"],
                _amount(each["expected_minor"], scale),
                f"{_amount(each['low80_minor'], scale)} – {_amount(each['high80_minor'], scale)}",
                f"{_amount(each['low95_minor'], scale)} – {_amount(each['high95_minor'], scale)}",
            )
            for each in told["withdrawals"]["days"][:14]
        ],
    )
    _table(
        (_("Days"), _("Outflow"), _("Coverage"), _("Under the upper band")),
        [
            (
                str(each["days"]),
                _amount(each["outflow_minor"], scale),
                _percent(each["expected_ppm"]),
                _percent(each["stressed_ppm"]),
            )
            for each in told["coverage"]
        ],
    )
    from tallystick.custody.liquidity import coverage

    _table(
        (_("Scenario"), _("Days paid"), _("Short on")),
        [
            (coverage.scenario(each["name"]).title, str(each["days"]), each["shortfall_day"] or "–")
            for each in told["scenarios"]
        ],
    )


def _print_backtest(told: dict[str, Any]) -> None:
    click.echo(
        _("{origins} forecasts of {horizon} days each, {first} to {last}").format(
            **{name: told[name] for name in ("origins", "horizon", "first", "last")}
        )
    )
    _table(
        ("", _("Mean error"), _("Inside 80"), _("Inside 95"), _("Width of 95")),
        [
            (
                title,
                _amount(told[name]["mean_error_minor"], told["scale"]),
                _percent(told[name]["inside80_ppm"]),
                _percent(told[name]["inside95_ppm"]),
                _amount(told[name]["width95_minor"], told["scale"]),
            )
            for name, title in (
                ("model", _("This forecast")),
                ("same_day_last_week", _("Same day last week")),
            )
        ],
    )
    click.echo(_("Error: {ratio} of the plain forecast's").format(ratio=_percent(told["error_ratio_ppm"])))


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rich import print as show
    from rich.table import Table

    table = Table(*heads, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    show(table)


def _percent(ppm: int | None) -> str:
    return "–" if ppm is None else f"{ppm / 10_000:.1f} %"


def _amount(minor: int, scale: int) -> str:
    from tallystick.core import money

    return money.major(minor, scale)


def _(text: str) -> str:
    from django.utils.translation import gettext

    return gettext(text)

"""Liquidity and currencies at the command line: each answer keeps to its schema, and warns by its exit code."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from django.utils import timezone
from jsonschema import Draft202012Validator

from tallystick.cli import main
from tallystick.custody import posting
from tests.tidy.source import ROOT
from tests.web import treasury


@pytest.fixture(scope="module")
def book(ledger_database_module):
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TALLYSTICK_DATABASE", ledger_database_module.name)
        yield treasury.platform(now=timezone.now())
    gateway = posting.gateway()
    if isinstance(gateway, posting.InProcess):
        gateway.close()


def told(name, *words, code=0):
    done = CliRunner().invoke(main, [*words, "--json"])
    assert done.exit_code == code, done.output
    answer = json.loads(done.stdout)
    schema = json.loads((ROOT / "docs" / "reference" / "schemas" / f"{name}.json").read_text("utf-8"))
    Draft202012Validator(schema).validate(answer)
    return answer


def test_a_forecast_is_kept_and_one_for_a_look_is_not(book):
    """Dry or kept, the figures are the same; the level is calm, so the exit code is 0."""
    dry = told("liquidity-forecast", "liquidity", "forecast", "--dry")
    kept = told("liquidity-forecast", "liquidity", "forecast")
    assert (dry["assessment"], kept["assessment"]) == (None, "liq_1")
    assert dry["withdrawals"] == kept["withdrawals"]
    assert kept["level"] == "calm"


def test_the_backtest_is_printed(book):
    """Error and coverage of the bands, beside the same day of last week."""
    answer = told("liquidity-backtest", "liquidity", "backtest", "--horizon", "2", "--origins", "3")
    assert answer["origins"] == 3
    printed = CliRunner().invoke(main, ["liquidity", "backtest", "--horizon", "2", "--origins", "3"])
    assert printed.exit_code == 0
    assert "95" in printed.output


def test_queue_and_limit(book):
    """The queue has the two payouts that wait; a limit is recorded; nonsense is not."""
    assert [each["place"] for each in told("liquidity-queue", "liquidity", "queue")["entries"]] == [1, 2]
    limit = told("liquidity-limit", "liquidity", "limit", "7000.00", "--reason", "More is free")
    assert limit["per_day_minor"] == 7_000_00
    assert CliRunner().invoke(main, ["liquidity", "limit", "much", "--reason", "x"]).exit_code == 2
    assert told("refusal", "liquidity", "queue", "--asset", "XXX", code=2)["refused"] == "asset_unknown"


def test_rates_corridors_and_revaluation(book):
    """A rate, a corridor, and the book's positions at the rates of now."""
    told("currencies-rate", "currencies", "rate", "USD", "CNY", "7.2", "--source", "PBoC")
    rule = ["CN", "CNY", "GB", "USD", "--block", "--reason", "Not opened yet"]
    assert told("currencies-corridor", "currencies", "corridor", *rule)["allowed"] is False
    assert told("currencies-revalue", "currencies", "revalue")["lines"] == []
    bad = ["currencies", "rate", "USD", "CNY", "-1", "--source", "PBoC"]
    assert CliRunner().invoke(main, bad).exit_code == 2

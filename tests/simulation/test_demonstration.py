"""The demonstration in small: played, reconciled and audited, it agrees to the minor unit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tallystick.core.db import APP
from tallystick.custody import posting
from tallystick.simulation import demonstration, statements, world
from tests.plugin_postgres import throwaway_home

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "reference" / "schemas" / "demo.json"


def test_every_planted_break_is_found_and_nothing_else(ledger_database: Any) -> None:
    place = world.make(seed=7, customers=50, first_day=date(2026, 7, 21), last_day=date(2026, 10, 20))
    try:
        made = demonstration.make(APP, place, 600, clock=time.monotonic)
    finally:
        posting.in_process().close()
    assert made.breaks == made.planted_breaks
    assert set(made.breaks) == set(statements.BREAK_KINDS)
    assert min(made.breaks.values()) >= 1
    assert (made.customers, made.transfers, made.unexplained_minor) == (50, 600, 0)
    assert (made.audited_transfers, made.audit_findings) == (600, 0)
    assert (
        made.control_total_minor == made.client_total_minor + made.own_total_minor + made.suspense_total_minor
    )
    assert made.bank_total_minor == made.control_total_minor + sum(made.break_effect_minor.values())


def test_a_break_that_was_not_planted_stops_the_demonstration(
    ledger_database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = world.make(seed=7, customers=50, first_day=date(2026, 7, 21), last_day=date(2026, 10, 20))
    send = statements.send

    def one_forgotten(*given: Any) -> statements.Sent:
        sent = send(*given)
        return replace(sent, planted=sent.planted[1:])

    monkeypatch.setattr(statements, "send", one_forgotten)
    try:
        with pytest.raises(demonstration.Disagreement, match="found and not planted"):
            demonstration.make(APP, place, 600, clock=time.monotonic)
    finally:
        posting.in_process().close()


def test_the_command_prints_its_summary_alone_and_opens_what_it_made_before() -> None:
    sizes = ["--customers", "30", "--transfers", "300", "--seed", "5", "--until", "2026-10-20"]
    with throwaway_home(profile="test") as environ:
        # It is given the usual home by the test's own home, and must leave a user's server alone.
        environ = {**environ, "DATABASE_URL": "postgresql://nobody@nowhere.invalid/nothing"}

        def demo(*words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-P", "-m", "tallystick", "demo", "--once", "--json", *words],
                env=environ,
                capture_output=True,
                text=True,
                check=False,
            )

        first = demo(*sizes)
        assert first.returncode == 0, first.stderr
        summary = json.loads(first.stdout)
        Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8"))).validate(summary)
        assert summary["schema"] == "tallystick/demo/1"
        assert (summary["customers"], summary["transfers"], summary["unexplained_minor"]) == (30, 300, 0)
        assert summary["breaks"] == summary["planted_breaks"]

        again = demo(*sizes)
        assert again.returncode == 0
        assert json.loads(again.stdout) == summary
        assert "made before" in again.stderr

        other = demo("--customers", "31", *sizes[2:])
        assert other.returncode == 1
        assert other.stdout == ""
        assert "--fresh" in other.stderr

        fresh = demo("--customers", "31", *sizes[2:], "--fresh")
        assert json.loads(fresh.stdout)["customers"] == 31
        assert not (Path(environ["TALLYSTICK_HOME"]) / "data" / "postmaster.pid").exists()


def test_a_home_that_is_not_a_demonstration_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tallystick", "demo", "--once", "--fresh"],
        env={**os.environ, "TALLYSTICK_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "something else than a demonstration" in done.stderr
    assert (tmp_path / "precious").read_text(encoding="utf-8") == "mine"

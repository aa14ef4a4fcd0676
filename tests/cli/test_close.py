"""`tallystick close`, `cases` and `book-days`: what a person and a program get to read, and who may sign."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from tallystick.cli import main
from tallystick.custody import posting, reconciliation
from tallystick.custody.workbench import cases
from tallystick.identity import api_tokens, users
from tallystick.identity.access import Actor
from tallystick.identity.roles import Role
from tests.custody import cast
from tests.custody.cast import BOOK, DB, ask
from tests.custody.test_workbench_closing import MONDAY, at, banked
from tests.plugin_postgres import TestDatabase

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "reference" / "schemas"
CLI = Actor.system("cli")


def answer(name: str, *words: object, code: int = 0, token: str = "") -> Any:
    """The JSON answer, which keeps to its schema."""
    done = CliRunner().invoke(
        main, [str(word) for word in (name, *words, "--json")], env={"TALLYSTICK_API_TOKEN": token}
    )
    assert done.exit_code == code, (done.stdout, done.stderr, done.exception)
    told = json.loads(done.stdout)
    schema = json.loads((SCHEMAS / f"{name if code != 2 else 'refusal'}.json").read_text())
    Draft202012Validator(schema).validate(told)
    return told


@pytest.fixture
def people(ledger_database: TestDatabase) -> cast.Cast:
    """The cast; Monday's receipt banked, posted and reconciled, and a fee nobody has booked."""
    posting.use(posting.InProcess())
    found = cast.opened()
    banked(found, MONDAY, n=1)
    return found


def token(role: Role) -> str:
    now = datetime.now(UTC)
    user = users.create(DB, role.value, name=role.value, customer_number=None, actor=CLI, now=now)
    users.grant(DB, user.pk, role, reason="A test.", actor=CLI, now=now)
    return api_tokens.issue(DB, user.pk, "close", actor=CLI, now=now)


def test_a_day_is_shown_signed_twice_and_closed(people: cast.Cast) -> None:
    """Not ready it exits 1 and says which check fails; then two tokens close it, and the list shows it."""
    day = MONDAY.isoformat()
    told = answer("close", "--book", BOOK, "--date", day, code=1)
    assert "reconciled" in {each["check"] for each in told["days"][0]["checks"] if each["result"] == "fail"}
    run = reconciliation.reconcile(DB, BOOK, people.bank, actor=CLI, now=at(MONDAY, 18))
    cases.follow(DB, run.summary.id, actor=CLI, now=at(MONDAY, 18))
    assert answer("close", "--date", day)["days"][0]["state"] == "ready"
    operations, approver = token(Role.PLATFORM_OPERATIONS), token(Role.PLATFORM_APPROVER)
    prepared = answer("close", "--date", day, "--prepare", token=operations)["days"][0]
    approval = prepared["waiting"][0]["approval"]
    assert (
        answer("close", "--date", day, "--sign", approval, token=operations, code=2)["refused"]
        == "access_denied"
    )
    closed = answer("close", "--date", day, "--sign", approval, token=approver)["days"][0]
    assert (closed["state"], closed["position_from"], closed["position_to"]) == ("closed", 1, 1)
    assert answer("close", "--date", day)["days"][0]["sha256"] == closed["sha256"] == prepared["sha256"]


@pytest.mark.slow
def test_nobody_signs_without_a_token(people: cast.Cast) -> None:
    """The command line itself is no person."""
    done = CliRunner().invoke(main, ["close", "--date", MONDAY.isoformat(), "--prepare"])
    assert done.exit_code == 2
    assert "TALLYSTICK_API_TOKEN" in done.output


@pytest.mark.slow
def test_cases_are_listed(people: cast.Cast) -> None:
    """Each with its kind, age and effect; another kind's list is empty."""
    cast.post([ask(7, people.bank, people.li, 2_00, reference="X", value_date=MONDAY)], now=at(MONDAY, 13))
    run = reconciliation.reconcile(DB, BOOK, people.bank, actor=CLI, now=at(MONDAY, 18))
    cases.follow(DB, run.summary.id, actor=CLI, now=at(MONDAY, 18))
    (case,) = answer("cases", "--book", BOOK)["cases"]
    assert (case["effect_minor"], case["status"], case["reference"]) == (-2_00, "open", "X")
    assert answer("cases", "--kind", "duplicate")["cases"] == []
    assert answer("cases", "--resolved")["cases"] == []


@pytest.mark.slow
def test_a_book_s_days_are_shown_and_set(people: cast.Cast) -> None:
    """What is not named stays; a calendar nobody knows is refused."""
    assert answer("book-days")["calendar"] == "CN"
    told = answer("book-days", "--cut-off", "16:30", "--write-off-max", "50", "--reason", "agreed")
    assert (told["cut_off"], told["calendar"], told["write_off_max_minor"]) == ("16:30", "CN", 50)
    assert answer("book-days", "--calendar", "MARS", "--reason", "x", code=2)["refused"] == "calendar_unknown"

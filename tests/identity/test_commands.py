"""People at the command line: each command does one thing, says it, and refuses in one line with exit code 2."""

import json
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner
from django.utils import timezone

from tallystick.cli.identity import identity
from tallystick.core.db import APP
from tallystick.evidence import log
from tallystick.identity import sign_in, users
from tallystick.identity.roles import Role

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "reference" / "schemas"


def run(*arguments, code=0, given=None):
    result = CliRunner().invoke(identity, list(arguments), input=given)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def answer(command, *arguments, code=0):
    found = json.loads(run(command, *arguments, "--json", code=code).stdout)
    schema = "refusal" if code else f"identity-{command}"
    jsonschema.validate(found, json.loads((SCHEMAS / f"{schema}.json").read_text()))
    return found


def test_the_first_administrator_gets_a_link_that_works_and_there_is_no_second(ledger_database):
    told = answer("create-administrator", "chen", "--name", "陈晨", "--address", "https://tally.example/")
    assert told["link"].startswith("https://tally.example/sign-in/link/")
    user = sign_in.use(APP, told["link"].rsplit("/", 1)[1], now=timezone.now())
    assert (user.username, users.roles(APP, user.pk)) == ("chen", {Role.ADMINISTRATOR})
    assert answer("create-administrator", "li", code=2)["refused"] == "administrator_exists"


def test_a_password_is_asked_for_and_a_weak_one_refused(ledger_database):
    assert "too short" in run("create-user", "wang", "--password", code=2, given="short\nshort\n").output
    run("create-user", "wang", "--password", given="a long enough phrase\na long enough phrase\n")
    user = users.find(APP, "wang")
    assert user is not None
    assert user.check_password("a long enough phrase")


def test_roles_are_given_and_taken_with_a_reason_and_conflicts_are_told_in_a_line(ledger_database):
    answer("create-user", "wang", "--name", "王芳", "--customer-number", "C-1")
    assert answer("grant", "wang", "customer", "--reason", "Contract.")["roles"] == ["customer"]
    run("grant", "wang", "auditor", code=2)
    assert run("grant", "wang", "king", "--reason", "x", code=2).stdout == ""
    assert run("grant", "nobody", "auditor", "--reason", "x", code=2).stdout == ""
    answer("grant", "wang", "platform_operations", "--reason", "Joins.")
    assert (
        answer("grant", "wang", "platform_approver", "--reason", "x", code=2)["refused"] == "roles_conflict"
    )
    assert answer("withdraw", "wang", "platform_operations", "--reason", "Left.")["roles"] == ["customer"]
    (row,) = answer("list")["users"]
    assert (row["username"], row["customer_number"], row["roles"]) == ("wang", "C-1", ["customer"])


@pytest.mark.parametrize("minutes", ["0", "1441", "-5"])
def test_a_link_is_short_lived(ledger_database, minutes):
    run("create-user", "wang")
    run("sign-in-link", "wang", "--minutes", minutes, code=2)


def test_what_was_done_at_the_command_line_is_on_record_as_such(ledger_database):
    run("create-user", "wang")
    run("sign-in-link", "wang")
    assert {event.kind: event.actor for event in log.events(APP)} == {
        "identity.user_created": "system:cli",
        "identity.sign_in_link_issued": "system:cli",
    }

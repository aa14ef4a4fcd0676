"""`tallystick check`: what is fit is found fit, and each planted fault is found."""

from __future__ import annotations

import datetime as dt
import os

import psycopg
import pytest

from tallystick.cli import checks
from tallystick.cli.checks import Right

NOW = dt.datetime(2026, 3, 2, 9, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)

DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "data_checksums": "on"}


def found(database) -> dict[str, list[checks.Finding]]:
    by_name: dict[str, list[checks.Finding]] = {}
    for each in checks.findings(database.environ, now=NOW):
        by_name.setdefault(each.name, []).append(each)
    return by_name


def details(findings: list[checks.Finding]) -> str:
    return "\n".join(each.detail for each in findings if each.level == "error")


def test_the_house_as_its_migrations_make_it_gives_no_role_too_much(ledger_database):
    told = found(ledger_database)
    assert details(told["rights"]) == ""
    assert "roles" not in told
    assert told["migrations"][0].level == "ok"
    assert told["data checksums"][0].level == "ok"


def test_the_test_servers_own_lack_of_durability_is_found(ledger_database):
    assert "fsync = off" in details(found(ledger_database)["durability"])


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("grant insert on evidence_entry to tallystick_app", "tallystick_app may INSERT the append-only"),
        ("grant update on evidence_outbox to tallystick_app", "tallystick_app may UPDATE the append-only"),
        ("grant update (kind) on evidence_outbox to tallystick_app", "may UPDATE the append-only"),
        ("grant delete on custody_entry to tallystick_ledger_writer", "tallystick_ledger_writer may DELETE"),
        ("grant truncate on identity_user to tallystick_app", "may TRUNCATE the table identity_user"),
        ("grant insert on identity_user to tallystick_auditor", "tallystick_auditor may INSERT"),
        ("grant delete on custody_entry to public", "may DELETE"),
        (
            "grant insert on custody_entry to tallystick_app",
            "both tallystick_app and tallystick_ledger_writer",
        ),
    ],
)
def test_a_right_too_much_is_found(ledger_database, statement, told):
    with psycopg.connect(ledger_database.superuser, autocommit=True) as connection:
        connection.execute(statement)
    assert told in details(found(ledger_database)["rights"])


def test_a_role_that_can_become_another_is_found(ledger_database):
    with psycopg.connect(ledger_database.superuser, autocommit=True) as connection:
        # Roles belong to the whole server, so this is taken back.
        connection.execute("grant tallystick_ledger_writer to tallystick_app")
        try:
            told = found(ledger_database)
        finally:
            connection.execute("revoke tallystick_ledger_writer from tallystick_app")
    assert details(told["roles"]) == "tallystick_app may act as tallystick_ledger_writer"


def test_a_key_that_others_can_read_is_found(ledger_database, tmp_path):
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "seal").write_text("secret")
    (keys / "seal").chmod(0o640)
    (keys / "seal.pub").write_text("for all")
    findings = list(checks._keys({**os.environ, "TALLYSTICK_HOME": str(tmp_path)}))
    assert [each.detail for each in findings if each.name == "key files"] == [
        "seal can be read by others (mode 640)"
    ]


@pytest.mark.parametrize(
    ("settings", "level"),
    [
        ({}, "ok"),
        ({"synchronous_commit": "remote_apply"}, "ok"),
        ({"synchronous_commit": "local"}, "error"),
        ({"synchronous_commit": "off"}, "error"),
        ({"full_page_writes": "off"}, "error"),
    ],
)
def test_durability_is_all_three_settings(settings, level):
    assert checks.durability(DURABLE | settings).level == level


@pytest.mark.parametrize(
    ("state", "level"),
    [
        ({"enabled": False, "last": None, "recovery_point_seconds": None}, "warning"),
        ({"enabled": True, "last": "b1", "recovery_point_seconds": None}, "error"),
        ({"enabled": True, "last": "b1", "recovery_point_seconds": 61.0}, "ok"),
        ({"enabled": True, "last": "b1", "recovery_point_seconds": 900.0}, "warning"),
        ({"enabled": True, "last": "b1", "recovery_point_seconds": 90_000.0}, "error"),
    ],
)
def test_a_backup_is_judged_by_the_work_that_would_be_lost(state, level):
    assert checks.recovery(state, MINUTE).level == level


def test_the_owner_may_change_its_tables_and_nobody_else_may_empty_them():
    rights = [
        Right("tallystick_owner", "t", "TRUNCATE", True),
        Right("tallystick_app", "t", "SELECT", True),
        Right("tallystick_app", "t", "TRUNCATE", False),
    ]
    assert checks.excess(rights) == [rights[2]]

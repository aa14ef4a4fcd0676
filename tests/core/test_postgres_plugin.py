"""The test databases themselves: real roles, real commits, nothing left behind."""

from __future__ import annotations

import psycopg
import pytest
from django.db import connections

from tallystick.core.postgres import Role
from tests.plugin_postgres import TEMPLATE


def test_each_alias_is_its_own_role_on_one_database(ledger_database):
    seen = {}
    for alias in connections:
        with connections[alias].cursor() as cursor:
            cursor.execute("select current_user, current_database()")
            seen[alias] = cursor.fetchone()
    name = ledger_database.name
    assert seen == {
        "default": ("tallystick_app", name),
        "writer": ("tallystick_ledger_writer", name),
        "sequencer": ("tallystick_sequencer", name),
        "owner": ("tallystick_owner", name),
        "auditor": ("tallystick_auditor", name),
    }


@pytest.mark.parametrize("turn", [1, 2])
def test_what_one_role_commits_the_others_see_and_the_next_test_does_not(ledger_database, turn):
    with connections["owner"].cursor() as cursor:
        cursor.execute("create table seen (turn int)")
        cursor.execute("insert into seen values (%s)", [turn])
        cursor.execute("grant select on seen to tallystick_auditor")
    with connections["auditor"].cursor() as cursor:
        cursor.execute("select turn from seen")
        assert cursor.fetchall() == [(turn,)]


def test_the_template_holds_the_migrations(ledger_database):
    with connections["auditor"].cursor() as cursor:
        cursor.execute("select count(*) from pg_tables where tablename = 'django_migrations'")
        assert cursor.fetchone() == (1,)


def test_plain_connections_reach_the_clone_too(ledger_database):
    with psycopg.connect(ledger_database.conninfo(Role.WRITER)) as connection:
        row = connection.execute("select current_user, current_database()").fetchone()
    assert row == ("tallystick_ledger_writer", ledger_database.name)


@pytest.mark.django_db
def test_the_session_database_is_a_clone_seen_as_the_app():
    with connections["default"].cursor() as cursor:
        cursor.execute("select current_user, current_database()")
        user, database = cursor.fetchone()
    assert user == "tallystick_app"
    assert database.endswith("_session")


def test_nobody_may_connect_to_the_template(postgres_server):
    dsn = psycopg.conninfo.make_conninfo(postgres_server.administrator, dbname=TEMPLATE)
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        psycopg.connect(dsn)

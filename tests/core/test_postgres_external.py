"""A server of the user's own: which ones are accepted, what is created there, and with whose password."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tallystick.core import postgres
from tallystick.core.postgres import Role, account, binaries, cluster, errors, place
from tests.plugin_postgres import throwaway_home

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
PASSWORD = "only/for:this@test"
QUOTED = "only%2Ffor%3Athis%40test"


@dataclass
class Theirs:
    """A server set up by someone else: TCP, passwords, an administrator who is no superuser."""

    port: int

    def url(self, user: str, password: str = QUOTED, database: str = "tallystick") -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def superuser(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(self.url("postgres", database=database), autocommit=True)


@contextlib.contextmanager
def served(programs: Path, home: Path) -> Iterator[Theirs]:
    user = account.service(os.environ)
    data, secret = home / "data", home / "secret"
    user.own(home)
    secret.write_text(PASSWORD)
    user.own(secret)
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={secret}", "-N",
         "-E", "UTF8", "--locale=C"],
        check=True, capture_output=True, **user.popen(),
    )  # fmt: skip
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    control = [programs / "pg_ctl", "-D", data, "-w", "-l", home / "log"]
    subprocess.run([*control, "-o", options, "start"], check=True, stdout=subprocess.DEVNULL, **user.popen())
    try:
        yield Theirs(port)
    finally:
        subprocess.run(
            [*control, "-m", "immediate", "stop"], check=True, stdout=subprocess.DEVNULL, **user.popen()
        )


@pytest.fixture(scope="module")
def theirs() -> Iterator[Theirs]:
    """PostgreSQL 18 with an administrator who may create roles and databases, and a guest who may not."""
    with (
        throwaway_home("test") as environ,
        served(binaries.of_home(environ).directory, postgres.home(environ)) as server,
    ):
        with server.superuser() as connection:
            connection.execute(f"create role clerk login createrole createdb password '{PASSWORD}'")
            connection.execute(f"create role guest login password '{PASSWORD}'")
        yield server


@pytest.fixture
def emptied(theirs: Theirs) -> Iterator[Theirs]:
    """The same server, afterwards without what the test made there."""
    yield theirs
    with theirs.superuser() as connection:
        connection.execute("drop database if exists tallystick with (force)")
        for role in Role:
            connection.execute(f"drop role if exists {role}")


def environ_of(**settings: str) -> dict[str, str]:
    return {"TALLYSTICK_HOME": "/nonexistent/home", **settings}


def test_an_administrator_without_superuser_rights_gets_everything_created(emptied):
    environ = environ_of(DATABASE_URL=emptied.url("clerk"))
    server = postgres.ensure(environ)
    assert not server.embedded
    for role in Role:
        with psycopg.connect(server.conninfo[role]) as connection:
            row = connection.execute("select current_user::text, current_database()::text").fetchone()
            assert row == (role, "tallystick")
    with psycopg.connect(server.conninfo[Role.OWNER]) as connection:
        connection.execute("create table made (id int)")
    with (
        psycopg.connect(server.conninfo[Role.APP]) as app,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        app.execute("create table intruder (id int)")
    with emptied.superuser() as connection:
        row = connection.execute(
            "select datlocprovider::text, datlocale from pg_database where datname = 'tallystick'"
        )
        assert row.fetchone() == ("b", "C.UTF-8")


def test_a_second_call_changes_nothing(emptied):
    environ = environ_of(DATABASE_URL=emptied.url("clerk"))
    first = postgres.ensure(environ)
    with emptied.superuser() as connection:
        query = "select rolname, rolpassword from pg_authid order by 1"
        before = connection.execute(query).fetchall()
        second = postgres.ensure(environ)
        assert connection.execute(query).fetchall() == before
    assert first.conninfo == second.conninfo


def test_a_new_administrators_password_brings_new_role_passwords(emptied):
    postgres.ensure(environ_of(DATABASE_URL=emptied.url("clerk")))
    with emptied.superuser() as connection:
        connection.execute("alter role clerk password 'another'")
        try:
            server = postgres.ensure(environ_of(DATABASE_URL=emptied.url("clerk", "another")))
            psycopg.connect(server.conninfo[Role.WRITER]).close()
        finally:
            connection.execute(f"alter role clerk password '{PASSWORD}'")


def test_django_gets_the_urls_options_and_the_roles_password(theirs):
    aliases = postgres.databases(environ_of(DATABASE_URL=theirs.url("clerk") + "?sslmode=prefer"))
    writer = aliases["writer"]
    assert (writer["HOST"], writer["PORT"], writer["NAME"]) == ("127.0.0.1", str(theirs.port), "tallystick")
    assert writer["OPTIONS"]["sslmode"] == "prefer"
    assert writer["PASSWORD"] not in ("", PASSWORD)
    assert len({settings["PASSWORD"] for settings in aliases.values()}) == 5


def test_a_process_can_be_given_one_role_only(emptied):
    full = postgres.ensure(environ_of(DATABASE_URL=emptied.url("clerk")))
    password = psycopg.conninfo.conninfo_to_dict(full.conninfo[Role.APP])["password"]
    environ = environ_of(TALLYSTICK_DATABASE_URL_APP=emptied.url("tallystick_app", str(password)))
    assert not postgres.ensure(environ).embedded
    assert postgres.databases(environ)["default"]["PASSWORD"] == password
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(place.target(environ, Role.WRITER).dsn)


def test_a_user_who_may_not_create_is_told_what_is_missing(emptied):
    with pytest.raises(errors.RolesMissing, match=r"role tallystick_app.*guest"):
        postgres.ensure(environ_of(DATABASE_URL=emptied.url("guest", database="postgres")))


def test_a_role_that_may_too_much_is_refused(emptied):
    with emptied.superuser() as connection:
        connection.execute("create role tallystick_app login superuser")
    with pytest.raises(errors.RoleTooStrong, match="tallystick_app is a superuser"):
        postgres.ensure(environ_of(DATABASE_URL=emptied.url("clerk")))


def test_a_database_in_another_encoding_is_refused(emptied):
    with emptied.superuser() as connection:
        connection.execute("create database tallystick template template0 encoding 'SQL_ASCII' locale 'C'")
    with pytest.raises(errors.WrongEncoding, match="SQL_ASCII"):
        postgres.ensure(environ_of(DATABASE_URL=emptied.url("postgres")))


def test_a_wrong_password_is_refused_without_printing_it(theirs):
    with pytest.raises(errors.Unreachable) as caught:
        postgres.ensure(environ_of(DATABASE_URL=theirs.url("clerk", "hunter2")))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "reason"),
    [("mysql://u:hunter2@h/d", "must begin with"), ("postgresql://u:hunter2@h:port:1/d?x", "not a URL")],
)
def test_a_url_that_cannot_be_read_is_refused_without_printing_it(url, reason):
    with pytest.raises(errors.BadSetting, match=reason) as caught:
        postgres.databases(environ_of(DATABASE_URL=url))
    assert "hunter2" not in str(caught.value)


def test_an_own_url_for_another_user_is_refused():
    with pytest.raises(errors.BadSetting, match="tallystick_ledger_writer"):
        postgres.databases(environ_of(TALLYSTICK_DATABASE_URL_WRITER="postgresql://postgres@h/tallystick"))


def test_stopping_a_server_of_the_users_is_refused(theirs):
    with pytest.raises(errors.ServerIsYours):
        postgres.stop(environ_of(DATABASE_URL=theirs.url("clerk")))


@pytest.mark.skipif(not DEBIAN_15.exists(), reason=f"no PostgreSQL 15 in {DEBIAN_15}")
def test_an_older_server_is_refused_and_left_as_it_was():
    with throwaway_home("test") as environ, served(DEBIAN_15, postgres.home(environ)) as old:
        with pytest.raises(errors.TooOld, match=r"PostgreSQL 15\.\d+\. Tallystick needs PostgreSQL 17"):
            postgres.ensure(environ_of(DATABASE_URL=old.url("postgres")))
        with old.superuser() as connection:
            assert (
                connection.execute("select 1 from pg_roles where rolname ~ 'tallystick'").fetchone() is None
            )


def test_no_server_of_ours_is_started_for_an_external_one(theirs):
    with throwaway_home(DATABASE_URL=theirs.url("clerk")) as environ:
        with contextlib.suppress(errors.Refusal):
            postgres.ensure(environ)
        assert not cluster.data_directory(environ).exists()

"""The way forward, and the way back: a new major version of PostgreSQL, a new schema."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tallystick.core import postgres
from tallystick.core.postgres import (
    account,
    backup,
    binaries,
    cluster,
    configuration,
    errors,
    place,
    restore,
    upgrade,
    vault,
    verification,
)
from tests.plugin_postgres import throwaway_home

OLD = next((path for major in (17, 16, 15) for path in binaries.system(major)), None)
needs_old = pytest.mark.skipif(OLD is None, reason="no programs of an older PostgreSQL on this machine")


def pg(programs: Path, environ: dict[str, str], name: str, *words: str) -> None:
    user = account.service(environ)
    subprocess.run([programs / name, *words], check=True, stdout=subprocess.DEVNULL, **user.popen())


@contextmanager
def old_server(environ: dict[str, str]) -> Iterator[psycopg.Connection]:
    """The home's data under the older programs, as the release before this one ran them."""
    assert OLD is not None
    data, run = cluster.data_directory(environ), place.socket_directory(environ)
    options = f"-c listen_addresses= -c unix_socket_directories={run}"
    pg(OLD, environ, "pg_ctl", "-D", str(data), "-w", "-s", "-l", f"{run}/log", "-o", options, "start")
    try:
        with psycopg.connect(
            host=str(run), user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            yield connection
    finally:
        pg(OLD, environ, "pg_ctl", "-D", str(data), "-w", "-s", "-m", "fast", "stop")


@pytest.fixture(scope="module")
def old_home() -> Iterator[dict[str, str]]:
    """A home written by an older major version, with a ledger's worth of kinds of data in it."""
    assert OLD is not None
    with throwaway_home("test") as environ:
        user = account.service(environ)
        data, home = cluster.data_directory(environ), place.home(environ)
        cluster.directory(data, user, 0o700)
        cluster.directory(home / "run", user, 0o755)
        pg(
            OLD, environ, "initdb", "-D", str(data), "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8",
            "-k", "-N", "--auth=peer",
        )  # fmt: skip
        (data / "pg_hba.conf").write_text(configuration.hba())
        (data / "pg_ident.conf").write_text(
            configuration.ident(environ, trusted=(account.running().name, user.name))
        )
        with old_server(environ) as connection:
            for role in postgres.Role:
                connection.execute(f"create role {role} login")
            connection.execute("create database tallystick owner tallystick_owner template template0")
            dsn = f"host={place.socket_directory(environ)} user=tallystick_owner dbname=tallystick"
            with psycopg.connect(dsn, autocommit=True) as owner:
                owner.execute(
                    "create table transfers (number bigint generated always as identity primary key,"
                    " amount bigint not null check (amount > 0), at timestamptz not null, note text,"
                    " detail jsonb)"
                )
                owner.execute(
                    "insert into transfers (amount, at, note, detail) select n, to_timestamp(n), '转账' || n,"
                    " jsonb_build_object('n', n) from generate_series(1, 5000) n"
                )
                owner.execute("grant select on transfers to tallystick_auditor")
        yield environ


@needs_old
def test_a_new_major_version_keeps_every_row_role_and_right_and_the_old_data(old_home):
    with pytest.raises(errors.OtherMajor, match="postgres upgrade"):
        postgres.ensure(old_home)
    assert OLD is not None
    done = upgrade.run(old_home)
    assert done is not None
    assert (done.before.split(".")[0], done.after.split(".")[0]) == (OLD.parent.name, str(binaries.MAJOR))
    assert done.tables == 1
    server = postgres.ensure(old_home)
    assert server.version.startswith("18.")
    with psycopg.connect(server.conninfo[postgres.Role.AUDITOR]) as connection:
        row = connection.execute("select count(*), sum(amount), max(note) from transfers").fetchone()
        assert row == (5000, 12_502_500, "转账999")
    with psycopg.connect(server.conninfo[postgres.Role.APP]) as app, pytest.raises(psycopg.Error) as caught:
        app.execute("select 1 from transfers")
    assert caught.value.sqlstate == "42501"
    with psycopg.connect(server.conninfo[postgres.Role.OWNER], autocommit=True) as connection:
        # The identity goes on where it was.
        row = connection.execute(
            "insert into transfers (amount, at) values (1, now()) returning number"
        ).fetchone()
        assert row == (5001,)
    assert upgrade.run(old_home) is None

    # The way back: the old directory in its place, the old programs on it.
    postgres.stop(old_home)
    data = cluster.data_directory(old_home)
    data.rename(data.with_name("data-18"))
    done.kept.rename(data)
    with (
        old_server(old_home),
        psycopg.connect(
            host=str(place.socket_directory(old_home)), user="tallystick_auditor", dbname="tallystick"
        ) as connection,
    ):
        assert connection.execute("select count(*) from transfers").fetchone() == (5000,)


@needs_old
def test_programs_that_did_not_write_the_data_are_refused(old_home, postgres_server):
    with throwaway_home("test") as environ:
        data = cluster.data_directory(environ)
        data.mkdir()
        (data / "PG_VERSION").write_text("13\n")
        for old in (None, OLD):
            with pytest.raises(errors.OldBinariesMissing, match="13"):
                upgrade.run(environ, old=old)


@pytest.mark.slow
def test_a_schema_change_can_be_taken_back():
    """As `tallystick migrate` does it: a backup first, and the moment before the change to go back to."""
    with throwaway_home("test") as environ:
        backup.enable(environ)
        server = postgres.ensure(environ)
        with psycopg.connect(server.conninfo[postgres.Role.OWNER], autocommit=True) as owner:
            owner.execute("create table parties (id int primary key, name text not null)")
            owner.execute("insert into parties values (1, '王芳'), (2, '李强')")
            before = backup.before_change(environ, reason="migrate custody.0002")
            assert before is not None
            assert before.reason == "migrate custody.0002"
            owner.execute("alter table parties drop column name")
            owner.execute("insert into parties values (3)")
        backup.mark(environ)
        with throwaway_home(
            "test",
            TALLYSTICK_BACKUP_DIR=str(environ["TALLYSTICK_HOME"] + "/backup"),
            TALLYSTICK_BACKUP_KEY_FILE=str(vault.key_file(environ)),
        ) as back:
            found = restore.run(back, to=before.finished_at)
            assert found.verified is not None
            assert found.verified.holds
            assert found.verified.tables_changed_since == ()
            with psycopg.connect(verification.administrator(back)) as connection:
                rows = connection.execute("select id, name from parties order by id").fetchall()
    assert rows == [(1, "王芳"), (2, "李强")]


def test_where_no_backup_was_ever_set_up_none_is_forced_on_a_schema_change():
    with throwaway_home("test") as environ:
        postgres.ensure(environ)
        assert backup.before_change(environ, reason="migrate") is None

"""The embedded server: from nothing, again, twice at once, after every kind of kill, and refused."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tallystick.core import postgres
from tallystick.core.postgres import Role, account, binaries, cluster, errors, place
from tests.plugin_postgres import throwaway_home

ROOT = os.geteuid() == 0
only_as_root = pytest.mark.skipif(not ROOT, reason="only root has another user to run the server as")
DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
needs_15 = pytest.mark.skipif(not DEBIAN_15.exists(), reason=f"no PostgreSQL 15 in {DEBIAN_15}")


@pytest.fixture(scope="module")
def house() -> Iterator[dict[str, str]]:
    """A home with a durable server, shared by the tests that leave it as it was."""
    with throwaway_home() as environ:
        postgres.ensure(environ)
        yield environ


def as_superuser(environ: dict[str, str], dbname: str = "tallystick") -> psycopg.Connection:
    administrator = place.administrator(environ)
    assert administrator is not None
    return psycopg.connect(place.Target({**administrator.parameters, "dbname": dbname}).dsn, autocommit=True)


def as_role(environ: dict[str, str], role: Role) -> psycopg.Connection:
    return psycopg.connect(place.target(environ, role).dsn, autocommit=True)


def test_settings_are_read_without_starting_a_server():
    with throwaway_home() as environ:
        aliases = postgres.databases(environ)
        assert {alias: settings["USER"] for alias, settings in aliases.items()} == {
            "default": "tallystick_app",
            "writer": "tallystick_ledger_writer",
            "sequencer": "tallystick_sequencer",
            "owner": "tallystick_owner",
            "auditor": "tallystick_auditor",
        }
        assert {settings["NAME"] for settings in aliases.values()} == {"tallystick"}
        assert list(postgres.home(environ).iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("data_checksums", "on"),
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("listen_addresses", ""),
        ("timezone", "UTC"),
        ("server_encoding", "UTF8"),
        ("shared_preload_libraries", "pg_stat_statements"),
        ("archive_mode", "on"),
    ],
)
def test_the_server_is_durable_and_private(house, setting, value):
    with as_superuser(house) as connection:
        assert connection.execute("select current_setting(%s)", (setting,)).fetchone() == (value,)


def test_sort_order_is_the_builtin_one_and_chinese_has_trigrams(house):
    with as_superuser(house) as connection:
        row = connection.execute(
            "select datlocprovider, datlocale from pg_database where datname = 'tallystick'"
        ).fetchone()
        assert row == (b"b", "C.UTF-8") or row == ("b", "C.UTF-8")
        connection.execute("create schema trial")
        connection.execute("create extension pg_trgm schema trial")
        row = connection.execute("select cardinality(trial.show_trgm('银行存管系统'))").fetchone()
        connection.execute("drop schema trial cascade")
        assert row == (7,)


def test_a_second_call_adopts_the_running_server(house):
    before = cluster.state(house).pid
    again = postgres.ensure(house)
    assert not again.started
    assert cluster.state(house).pid == before


def test_two_processes_at_once_get_one_server():
    with throwaway_home("test") as environ:
        command = [sys.executable, "-m", "tallystick", "postgres", "start", "--json"]
        both = [subprocess.Popen(command, env=environ, stdout=subprocess.PIPE) for _ in range(2)]
        answers = [json.loads(process.communicate()[0]) for process in both]
        assert sorted(answer["started"] for answer in answers) == [False, True]
        assert {answer["version"].split(".")[0] for answer in answers} == {"18"}


class Committing(threading.Thread):
    """Commits numbers one by one and remembers which commits were acknowledged."""

    def __init__(self, environ: dict[str, str]) -> None:
        super().__init__()
        self.environ, self.acknowledged = environ, 0
        self.warm = threading.Event()

    def run(self) -> None:
        with contextlib.suppress(psycopg.Error), as_superuser(self.environ) as connection:
            while True:
                connection.execute("insert into streamed values (%s)", (self.acknowledged + 1,))
                self.acknowledged += 1
                if self.acknowledged == 100:
                    self.warm.set()


def family(pid: int) -> list[int]:
    """A postmaster and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


@pytest.mark.parametrize("killed", [pytest.param("postmaster", marks=pytest.mark.slow), "all processes"])
def test_no_acknowledged_commit_is_lost_by_a_kill(killed):
    with throwaway_home() as environ:
        postgres.ensure(environ)
        with as_superuser(environ) as connection:
            connection.execute("create table streamed (number int primary key)")
        stream = Committing(environ)
        stream.start()
        assert stream.warm.wait(60)
        pid = cluster.state(environ).pid
        assert pid is not None
        for each in family(pid) if killed == "all processes" else [pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        stream.join(60)
        assert postgres.ensure(environ).started
        with as_superuser(environ) as connection:
            row = connection.execute("select count(*), max(number) from streamed").fetchone()
        assert row is not None
        # The commit in flight at the kill may have happened without its answer arriving.
        assert row in {(n, n) for n in (stream.acknowledged, stream.acknowledged + 1)}


def test_stopping_is_quick_with_sessions_open_and_says_when_nothing_ran():
    with throwaway_home("test") as environ:
        postgres.ensure(environ)
        with contextlib.suppress(psycopg.OperationalError), as_superuser(environ) as connection:
            assert postgres.stop(environ)
            with pytest.raises(psycopg.OperationalError):
                connection.execute("select 1")
        assert not postgres.stop(environ)
        assert not cluster.state(environ).running


def test_a_stale_pid_file_is_not_taken_for_a_server():
    with throwaway_home() as environ:
        data = cluster.data_directory(environ)
        data.mkdir()
        # Our own pid: alive, and no postmaster.
        (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n")
        assert not cluster.state(environ).running
        assert not postgres.stop(environ)


@needs_15
def test_a_data_directory_of_another_major_version_is_refused_untouched():
    with throwaway_home("test") as environ:
        user = account.service(environ)
        data = cluster.data_directory(environ)
        data.mkdir()
        user.own(data)
        subprocess.run(
            [DEBIAN_15 / "initdb", "-D", data, "-A", "peer", "-N"],
            check=True,
            capture_output=True,
            **user.popen(),
        )
        before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
        with pytest.raises(errors.OtherMajor, match=r"PostgreSQL 15.*PostgreSQL 18.*postgres upgrade"):
            postgres.ensure(environ)
        assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before


def test_a_directory_of_other_things_is_refused():
    with throwaway_home() as environ:
        data = cluster.data_directory(environ)
        data.mkdir()
        (data / "holiday.jpg").write_bytes(b"")
        with pytest.raises(errors.NotOurs):
            postgres.ensure(environ)
        assert (data / "holiday.jpg").exists()


def test_a_home_too_deep_for_a_socket_is_refused():
    with throwaway_home() as environ:
        environ["TALLYSTICK_HOME"] += "/" + "deep" * 25
        with pytest.raises(errors.HomeTooLong, match="TALLYSTICK_HOME"):
            postgres.ensure(environ)


@only_as_root
def test_a_home_the_service_user_cannot_enter_is_named():
    with tempfile.TemporaryDirectory() as closed, throwaway_home() as environ:  # made 0700
        environ["TALLYSTICK_HOME"] = f"{closed}/home"
        with pytest.raises(errors.HomeClosed, match=closed):
            postgres.ensure(environ)


def test_a_broken_setting_of_the_operator_is_told_with_the_servers_own_words():
    with throwaway_home("test") as environ:
        (postgres.home(environ) / "postgresql.conf").write_text("shared_buffers = 'much'\n")
        with pytest.raises(errors.StartFailed, match="shared_buffers"):
            postgres.ensure(environ)


def test_roles_may_log_in_and_nothing_more(house):
    with as_superuser(house) as connection:
        rows = connection.execute(
            "select rolname, rolcanlogin, rolsuper or rolcreatedb or rolcreaterole or rolreplication"
            " or rolbypassrls from pg_roles where rolname like 'tallystick%' order by 1"
        ).fetchall()
    assert rows == sorted((str(role), True, False) for role in Role)


@pytest.mark.parametrize("role", [Role.APP, Role.WRITER, Role.SEQUENCER, Role.AUDITOR])
@pytest.mark.parametrize(
    "statement",
    [
        "create table intruder (id int)",
        "create schema intruder",
        "create temporary table intruder (id int)",
        "create role intruder",
        "create database intruder",
        "copy (select 1) to program 'true'",
        "select pg_read_file('PG_VERSION')",
        "select pg_switch_wal()",
        "set role tallystick_owner",
        "set session authorization postgres",
    ],
)
def test_users_may_not(house, role, statement):
    with as_role(house, role) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute(statement)
    # 25006: the auditor's sessions are read-only before they are anything else.
    assert caught.value.sqlstate in ("42501", "25006")


def test_the_owner_makes_tables_and_no_databases(house):
    with as_role(house, Role.OWNER) as connection:
        connection.execute("create table made (id int)")
        connection.execute("drop table made")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("create database other")


def test_the_server_log_names_no_customer(house):
    with as_superuser(house) as connection:
        connection.execute("create table customers (name text primary key)")
        connection.execute("insert into customers values ('王芳')")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("insert into customers values ('王芳')")
        connection.execute("drop table customers")
    log = "".join(path.read_text() for path in (postgres.home(house) / "log").glob("postgresql-*"))
    assert "customers_pkey" in log
    assert "王芳" not in log


def psql_as(user: str, environ: dict[str, str], role: str) -> subprocess.CompletedProcess[str]:
    dsn = place.Target({**place.target(environ, Role.APP).parameters, "user": role}).dsn
    return subprocess.run(
        [binaries.of_home(environ).program("psql"), "-X", "-At", "-c", "select current_user", dsn],
        user=user, group=user, extra_groups=[], capture_output=True, text=True, env=account.environment(),
    )  # fmt: skip


@only_as_root
def test_another_user_of_the_machine_is_refused_unless_named_for_one_role():
    with throwaway_home("test", TALLYSTICK_POSTGRES_PEERS="daemon=tallystick_auditor") as environ:
        postgres.ensure(environ)
        assert psql_as("daemon", environ, "tallystick_auditor").stdout == "tallystick_auditor\n"
        for user, role in [
            ("daemon", "tallystick_ledger_writer"),
            ("daemon", "postgres"),
            ("games", "tallystick_auditor"),
        ]:
            refused = psql_as(user, environ, role)
            assert refused.returncode == 2
            assert "Peer authentication failed" in refused.stderr


def python_of_everyone() -> str | None:
    """A Python of this version that other users may run: ours may lie below a private home."""
    for candidate in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        done = subprocess.run([candidate, "-c", ""], user="nobody", cwd="/", capture_output=True)
        if not done.returncode:
            return candidate
    return None


@only_as_root
def test_an_ordinary_user_gets_a_server_of_their_own():
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="tally-user-") as home:
        try:
            python = python_of_everyone()
        except PermissionError:
            python = f"/usr/bin/python3.{sys.version_info.minor}"
        if python is None or not Path(python).exists():
            pytest.skip("no Python here that an ordinary user may run")
        shutil.chown(home, "nobody")
        environ = {
            "TALLYSTICK_HOME": home,
            "TALLYSTICK_POSTGRES_PROFILE": "test",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "PATH": os.environ["PATH"],
        }

        def tallystick(*words: str) -> dict[str, object]:
            done = subprocess.run(
                [python, "-m", "tallystick", "postgres", *words, "--json"],
                env=environ, user="nobody", group="nogroup", extra_groups=[], cwd="/",
                capture_output=True, text=True,
            )  # fmt: skip
            assert not done.returncode, done.stdout + done.stderr
            return json.loads(done.stdout)

        assert tallystick("start")["started"] is True
        assert tallystick("start")["started"] is False
        assert tallystick("status")["os_user"] == "nobody"
        assert tallystick("stop") == {"stopped": True}


def test_status_tells_by_its_exit_code(house):
    command = [sys.executable, "-m", "tallystick", "postgres", "status", "--json"]
    done = subprocess.run(command, env=house, capture_output=True, text=True)
    assert done.returncode == 0
    assert json.loads(done.stdout)["phase"] == "ready"
    with throwaway_home("test") as nothing:
        done = subprocess.run(command, env=nothing, capture_output=True, text=True)
    assert done.returncode == 3
    assert json.loads(done.stdout)["running"] is False

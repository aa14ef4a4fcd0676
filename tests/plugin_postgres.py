"""One throw-away PostgreSQL server for a test run, and a fresh database for whoever asks.

Loaded by `-p tests.plugin_postgres`, before Django's settings. Importing it only sets the environment (a
private TALLYSTICK_HOME, the `test` profile); the server starts when the first test needs a database, so
a run of pure rules starts none. It stops when the run ends, however it ends: a watcher holds the other
end of a pipe and clears up even after `kill -9`. Each run has its own home, so runs do not collide.

Migrations run once, as the owner, into a template; every test database is a clone of it.

- `db`, `@pytest.mark.django_db`: pytest-django's own, on a database shared by the session, each test in a
  transaction that is rolled back. The alias is `default` (role `tallystick_app`); with
  `django_db(databases="__all__")` each alias is its own session with its own role and transaction, so
  what one writes the others do **not** see.
- `ledger_database`: a fresh clone for this one test, with all four aliases pointing at it, each in its
  own role, with real commits that each sees of the others. It is dropped afterwards. **Use this for
  anything that posts.** It yields a `TestDatabase`: `.name`, `.environ` (for a subprocess),
  `.conninfo(role)` (for plain psycopg), `.superuser`.
- `ledger_database_module`: the same for all tests of a module, in turn on the same rows.
- `postgres_server`: the running `Server`, without Django.
- `throwaway_home()`: not a fixture but a context: the environment of another home, with a server of its
  own, for tests of the server itself. Durable unless `profile="test"`.

Not offered: `transactional_db`. It truncates tables as `tallystick_app`, which may not; a clone is faster.
The pool of `default` is off here, so that a database can be dropped when its test ends.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from django.utils import translation
from psycopg import sql

from tallystick.core import postgres
from tallystick.core.postgres import cluster, place, provision

TEMPLATE = "tallystick_template"

FOREIGN = ("DATABASE_URL", "TALLYSTICK_DATABASE", "TALLYSTICK_POSTGRES_PEERS", "TALLYSTICK_POSTGRES_BIN")
"""Settings of whoever runs the tests that must not reach them."""

IS_XDIST_WORKER = "PYTEST_XDIST_WORKER" in os.environ

# Whoever holds the write end lives; when it closes, the server is killed (its data are worthless) and the
# home removed.
WATCHER = """
read _ || true
for file in "$1"/data/postmaster.pid "$1"/*/data/postmaster.pid; do
  [ -e "$file" ] && kill -QUIT "$(head -n 1 "$file")"
done
for file in "$1"/data/postmaster.pid "$1"/*/data/postmaster.pid; do
  tries=0
  while [ -e "$file" ] && [ $tries -lt 200 ]; do sleep 0.05; tries=$((tries + 1)); done
done
rm -rf "$1" || { sleep 1; rm -rf "$1"; }
"""


def _take_environment() -> subprocess.Popen[bytes] | None:
    """Point this run at a home of its own; xdist's workers share their controller's."""
    for name in (*place.URL_SETTINGS.values(), *FOREIGN):
        os.environ.pop(name, None)
    if IS_XDIST_WORKER:
        return None
    home = tempfile.mkdtemp(prefix="tally-test-", dir="/tmp")
    os.environ["TALLYSTICK_HOME"] = home
    os.environ["TALLYSTICK_POSTGRES_PROFILE"] = "test"
    os.environ["TALLYSTICK_POSTGRES_POOL"] = "0"
    if os.geteuid() == 0:
        # A test run must not add users to the machine.
        Path(home).chmod(0o755)
        with contextlib.suppress(KeyError):
            os.environ.setdefault("TALLYSTICK_POSTGRES_USER", pwd.getpwnam("nobody").pw_name)
    return subprocess.Popen(
        ["/bin/sh", "-c", WATCHER, "watcher", home],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


_watcher = _take_environment()


@dataclass(frozen=True)
class TestDatabase:
    """One cloned database."""

    __test__ = False

    name: str
    server: postgres.Server

    @property
    def environ(self) -> dict[str, str]:
        """The environment of a subprocess that is to use this database."""
        return {**os.environ, "TALLYSTICK_DATABASE": self.name}

    def conninfo(self, role: postgres.Role) -> str:
        return place.target(self.environ, role).dsn

    @property
    def superuser(self) -> str:
        assert self.server.administrator is not None
        return psycopg.conninfo.make_conninfo(self.server.administrator, dbname=self.name)


_homes = 0


@contextlib.contextmanager
def throwaway_home(profile: str = "", **settings: str) -> Iterator[dict[str, str]]:
    """The environment of a home nobody used yet; its server, if one was started, is stopped at the end."""
    global _homes
    _homes += 1
    name = f"h{os.environ.get('PYTEST_XDIST_WORKER', '')}{_homes}"
    home = Path(os.environ["TALLYSTICK_HOME"]) / name
    home.mkdir()
    environ = {
        **os.environ,
        "TALLYSTICK_HOME": str(home),
        "TALLYSTICK_POSTGRES_PROFILE": profile,
        **settings,
    }
    try:
        yield environ
    finally:
        cluster.stop(environ)
        shutil.rmtree(home)


def pytest_configure(config: pytest.Config) -> None:
    # Registered this late, its `django_db_setup` is the one that counts, not pytest-django's.
    config.pluginmanager.register(Fixtures(), "tallystick-databases")


def pytest_unconfigure() -> None:
    if _watcher is not None and _watcher.stdin is not None:
        _watcher.stdin.close()
        _watcher.wait()


class Fixtures:
    """The fixtures; see the module's docstring."""

    @pytest.fixture(autouse=True)
    @classmethod
    def own_language(cls) -> Iterator[None]:
        """A request leaves its language to its thread: the next test must not find it there."""
        yield
        translation.deactivate()

    @pytest.fixture(scope="session")
    @classmethod
    def postgres_server(cls) -> postgres.Server:
        return postgres.ensure(os.environ)

    @pytest.fixture(scope="session")
    @classmethod
    def migrated_template(
        cls, postgres_server: postgres.Server, django_db_blocker: object
    ) -> postgres.Server:
        """The template database exists, migrated once by the owner."""
        with cluster.locked(os.environ), _administrator(postgres_server) as connection:
            row = connection.execute("select from pg_database where datname = %s", (TEMPLATE,)).fetchone()
            if row is None:
                _migrate(postgres_server, django_db_blocker)
                # Nobody may be connected to a database while it is cloned: not even autovacuum.
                for statement in (
                    "alter database {} rename to {}",
                    "alter database {1} with allow_connections false",
                ):
                    connection.execute(
                        sql.SQL(statement).format(
                            sql.Identifier(postgres_server.database), sql.Identifier(TEMPLATE)
                        )
                    )
        return postgres_server

    @pytest.fixture(scope="session")
    @classmethod
    def django_db_setup(
        cls, migrated_template: postgres.Server, django_test_environment: None, django_db_blocker: object
    ) -> Iterator[None]:
        """pytest-django's session database: a clone, all four aliases on it."""
        with _cloned(migrated_template, "session") as database, _aliases_on(database.name):
            yield

    @pytest.fixture
    @classmethod
    def ledger_database(
        cls, migrated_template: postgres.Server, django_test_environment: None, django_db_blocker: object
    ) -> Iterator[TestDatabase]:
        with (
            _unblocked(django_db_blocker),
            _cloned(migrated_template, "test") as database,
            _aliases_on(database.name),
        ):
            yield database

    @pytest.fixture(scope="module")
    @classmethod
    def ledger_database_module(
        cls, migrated_template: postgres.Server, django_test_environment: None, django_db_blocker: object
    ) -> Iterator[TestDatabase]:
        with (
            _unblocked(django_db_blocker),
            _cloned(migrated_template, "module") as database,
            _aliases_on(database.name),
        ):
            yield database


_clones = 0


@contextlib.contextmanager
def _cloned(server: postgres.Server, purpose: str) -> Iterator[TestDatabase]:
    global _clones
    _clones += 1
    name = f"test_{os.environ.get('PYTEST_XDIST_WORKER', 'gw')}_{_clones}_{purpose}"
    with _administrator(server) as connection:
        # Copied as files: by way of the log, a clone costs three times the work, and its first session more.
        connection.execute(
            sql.SQL("create database {} template {} strategy file_copy owner {}").format(
                sql.Identifier(name), sql.Identifier(TEMPLATE), sql.Identifier(place.Role.OWNER)
            )
        )
        # A clone has its template's tables and rights on them, not the rights on the database itself.
        provision.admit(connection, name)
    try:
        yield TestDatabase(name, server)
    finally:
        with _administrator(server) as connection:
            connection.execute(
                sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
            )


@contextlib.contextmanager
def _aliases_on(name: str) -> Iterator[None]:
    """All four aliases of this process reach this database, in every thread, each in its own role."""
    from django.db import connections

    before = {alias: connections.settings[alias]["NAME"] for alias in place.ALIASES}
    _close()
    for alias in place.ALIASES:
        # The dictionary is shared by the alias's connections of all threads, so it is changed in place.
        connections.settings[alias]["NAME"] = name
    try:
        yield
    finally:
        _close()
        for alias, old in before.items():
            connections.settings[alias]["NAME"] = old


def _close() -> None:
    from django.db import connections

    from tallystick.custody import posting

    # A book's writer keeps its own connections and what it knows of a database that is about to go.
    posting.use(None)
    posting.close()
    for alias in place.ALIASES:
        connections[alias].close()
        if connections[alias].pool:
            connections[alias].close_pool()


def _migrate(server: postgres.Server, blocker: object) -> None:
    from django.core.management import call_command

    with _unblocked(blocker):
        call_command("migrate", database="owner", interactive=False, verbosity=0)
        _close()


@contextlib.contextmanager
def _unblocked(blocker: object) -> Iterator[None]:
    with blocker.unblock():  # type: ignore[attr-defined]
        yield


def _administrator(server: postgres.Server) -> psycopg.Connection:
    assert server.administrator is not None
    return psycopg.connect(server.administrator, autocommit=True)

"""PostgreSQL, embedded or the user's own: started, adopted, provisioned, stopped.

Promises: one call (`ensure`) makes a database ready with its five roles, from nothing or from whatever
runs; an acknowledged commit survives any kill; nobody reaches the data but users of this machine whom
the kernel vouches for; nothing here starts a server because settings were imported (`databases`, `home`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from tallystick.core.postgres import cluster, errors, place, provision
from tallystick.core.postgres.cluster import Notice, silent
from tallystick.core.postgres.errors import Refusal
from tallystick.core.postgres.place import ALIASES, Role, databases, home

__all__ = ["ALIASES", "Refusal", "Role", "Server", "databases", "ensure", "home", "stop"]


@dataclass(frozen=True)
class Server:
    """A server that answers, with its database and roles in place."""

    embedded: bool
    started: bool  # by this call
    version: str
    database: str
    conninfo: Mapping[Role, str] = field(repr=False)  # libpq connection strings; may hold passwords
    administrator: str | None = field(repr=False)
    home: Path


def ensure(environ: Mapping[str, str], notice: Notice = silent) -> Server:
    """Start or adopt the server, create roles and database where absent. Safe to call again."""
    if place.is_external(environ):
        return _ensure_external(environ)
    with cluster.locked(environ):
        started = cluster.start(environ, notice)
        administrator = place.administrator(environ)
        assert administrator is not None
        return _provisioned(environ, administrator, started=started)


def stop(environ: Mapping[str, str]) -> bool:
    """Stop the embedded server at once and cleanly. False when none ran."""
    if place.is_external(environ):
        raise errors.ServerIsYours(verb="stop")
    with cluster.locked(environ):
        return cluster.stop(environ)


def _ensure_external(environ: Mapping[str, str]) -> Server:
    administrator = place.administrator(environ)
    if administrator is not None:
        return _provisioned(environ, administrator, started=False)
    # Only some roles' URLs were given: nothing can be created; check what there is.
    version = ""
    for role, setting in place.URL_SETTINGS.items():
        if environ.get(setting):
            with _connected(place.target(environ, role), setting) as connection:
                version = provision.check_version(connection, setting)
    return _server(environ, version=version, started=False)


def _provisioned(environ: Mapping[str, str], administrator: place.Target, *, started: bool) -> Server:
    setting = "DATABASE_URL" if place.is_external(environ) else "TALLYSTICK_HOME"
    name = place.database(environ)
    if place.is_external(environ):
        # The database may not exist yet; `postgres` always does.
        administrator = _reachable(administrator, name)
    with _connected(administrator, setting) as connection:
        version = provision.check_version(connection, setting)
        provision.roles(connection, environ, setting)
        provision.database(connection, name)
        if not place.is_external(environ):
            # Its view shows every database of the server; here it is out of the tables' way.
            connection.execute("create extension if not exists pg_stat_statements")
    with _connected(place.Target({**administrator.parameters, "dbname": name}), setting) as connection:
        provision.schema(connection)
    return _server(environ, version=version, started=started)


def _reachable(administrator: place.Target, name: str) -> place.Target:
    for candidate in dict.fromkeys((administrator.parameters.get("dbname", name), "postgres")):
        target = place.Target({**administrator.parameters, "dbname": candidate})
        try:
            psycopg.connect(target.dsn, connect_timeout=10).close()
        except psycopg.OperationalError as failure:
            if "does not exist" not in str(failure):
                raise errors.Unreachable(setting="DATABASE_URL", reason=str(failure).strip()) from failure
        else:
            return target
    return administrator


def _connected(target: place.Target, setting: str) -> psycopg.Connection:
    try:
        return psycopg.connect(target.dsn, autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as failure:
        raise errors.Unreachable(setting=setting, reason=str(failure).strip()) from failure


def _server(environ: Mapping[str, str], *, version: str, started: bool) -> Server:
    administrator = place.administrator(environ)
    return Server(
        embedded=not place.is_external(environ),
        started=started,
        version=version,
        database=place.database(environ),
        conninfo={role: place.target(environ, role).dsn for role in Role},
        administrator=administrator.dsn if administrator else None,
        home=place.home(environ),
    )

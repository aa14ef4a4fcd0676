"""What a restored or upgraded database is compared with.

Two kinds of facts are recorded with a backup. *Lasting* facts are about a position that no later
commit changes (a book's balances and hashes as of a position): they must hold in every later state. A
door registers functions for those, for this floor knows no ledger. *Passing* facts are the row count and
checksum of each table at one moment: they must hold when nothing was committed since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import psycopg
from psycopg import sql

from tallystick.core.postgres import place

Environ = Mapping[str, str]


@dataclass(frozen=True)
class Check:
    """One registered verification.

    record: the facts of the database of an environment, key to value ("book 1 position 812": a hash).
    again: the values of those keys, from the database of another environment.
    """

    name: str
    record: Callable[[Environ], Mapping[str, str]]
    again: Callable[[Environ, Iterable[str]], Mapping[str, str]]


@dataclass(frozen=True)
class Difference:
    """A fact that did not come back."""

    check: str
    key: str
    recorded: str
    found: str | None


def record(environ: Environ, checks: Iterable[Check]) -> dict[str, dict[str, str]]:
    return {check.name: dict(check.record(environ)) for check in checks}


def differences(
    environ: Environ, checks: Iterable[Check], recorded: Mapping[str, Mapping[str, str]]
) -> tuple[int, list[Difference]]:
    """How many recorded facts were compared, and which differ."""
    compared, found = 0, []
    for check in checks:
        facts = recorded.get(check.name, {})
        values = check.again(environ, facts)
        for name, value in facts.items():
            compared += 1
            if values.get(name) != value:
                found.append(Difference(check.name, name, value, values.get(name)))
    return compared, found


@dataclass(frozen=True)
class Tables:
    """Every table at one moment."""

    next_transaction: str  # equal later means: nothing was written since
    checksums: Mapping[str, str]  # "schema.table" to "rows:hash"


def tables(connection: psycopg.Connection) -> Tables:
    """Every table's row count and checksum, in one snapshot.

    The checksum is the sum of a 64-bit hash of each row's text, so it does not depend on the order of
    rows, and equal rows count each.
    """
    connection.execute("begin isolation level repeatable read read only")
    try:
        names = connection.execute(
            "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where c.relkind = 'r' and c.relpersistence = 'p' and n.nspname not like 'pg\\_%'"
            " and n.nspname <> 'information_schema' order by 1, 2"
        ).fetchall()
        # Text of rows must not depend on the session.
        connection.execute(
            "set local datestyle = 'ISO'; set local timezone = 'UTC'; set local extra_float_digits = 1"
        )
        found = {}
        for schema, table in names:
            row = connection.execute(
                sql.SQL("select count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) from {} t").format(
                    sql.Identifier(schema, table)
                )
            ).fetchone()
            assert row is not None
            found[f"{schema}.{table}"] = f"{row[0]}:{int(row[1]) % 2**64:016x}"
        row = connection.execute("select pg_snapshot_xmax(pg_current_snapshot())::text").fetchone()
        assert row is not None
        return Tables(row[0], found)
    finally:
        connection.execute("rollback")


def tables_of(environ: Environ) -> Tables:
    """The tables of an environment's database, read as its administrator."""
    with psycopg.connect(administrator(environ), autocommit=True) as connection:
        return tables(connection)


def administrator(environ: Environ) -> str:
    """The administrator's way into the application's database."""
    found = place.administrator(environ)
    assert found is not None
    return place.Target({**found.parameters, "dbname": place.database(environ)}).dsn

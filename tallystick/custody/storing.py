"""Judged transfers into the tables: one transaction, after whose commit they are facts.

Promises: all of a group or nothing of it; only onto the head it was judged on, which the book's lock holds
still. A large group is copied in; a small one goes in one round trip, for between many small transactions
it is the round trips that cost.
"""

from __future__ import annotations

import contextlib
import select
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import errors as pg
from psycopg.adapt import Dumper
from psycopg.pq import Format, TransactionStatus

from tallystick.custody import encoding, loading
from tallystick.custody.encoding import Called, Copied
from tallystick.custody.errors import OutcomeUnknown
from tallystick.custody.loading import Connection, Head
from tallystick.evidence import log

STOPS = (psycopg.OperationalError, pg.ReadOnlySqlTransaction, pg.InsufficientPrivilege)
"""What the database says when it takes no transfers at all, whatever is asked."""

_HEAD_MOVED = "TS001"

# The parameters of `custody_store`: five of the head, one the time, one for each column, eight of the event.
_STORE = f"select custody_store({', '.join(['%s'] * 43)})"
_REFUSALS = (
    "insert into custody_transfer_refusal (book_id, transfer_id, code, content, request, at, actor) "
    "values (%s, %s, %s, %s, %s, %s, %s)"
)
# Under the book's lock, so that it is the newest and ours.
_NEWEST_REFUSAL = "select max(id) from custody_transfer_refusal where book_id = %s"


class HeadMoved(Exception):
    """Another process posted to the book, or something changed that was judged by."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What one transaction writes. rows: none where nothing was accepted, and never `Called` beside refusals."""

    book: int
    head: Head
    rows: Copied | Called | None
    refusals: Sequence[tuple[object, ...]]
    event: log.Row


def prepare(connection: Connection) -> None:
    """Make this connection one that `store` may use."""
    connection.autocommit = True
    for kind in encoding.ARRAYS:
        connection.adapters.register_dumper(kind, _dumper(kind))
    connection.execute("set plan_cache_mode = force_custom_plan")


def store(connection: Connection, facts: Facts, *, own_refusal: int) -> int | None:
    """Write and commit. Returns the newest refusal's id, where one was written.

    own_refusal: the newest that this connection wrote; it moves no head. Raises `HeadMoved` with nothing
    written, and `OutcomeUnknown` where the connection broke when the commit may have been under way.
    """
    try:
        if isinstance(facts.rows, Called):
            _in_one_trip(connection, facts, own_refusal)
            return None
        return _step_by_step(connection, facts, own_refusal)
    except BaseException as failure:
        with contextlib.suppress(psycopg.Error):
            if connection.info.transaction_status != TransactionStatus.IDLE:
                connection.execute("rollback")
        # What stopped it may hold for this session only, such as being read-only: begin anew.
        if isinstance(failure, STOPS) or connection.info.transaction_status != TransactionStatus.IDLE:
            connection.close()
        raise


def _in_one_trip(connection: Connection, facts: Facts, own_refusal: int) -> None:
    # One statement is one transaction.
    assert isinstance(facts.rows, Called)
    assert not facts.refusals
    head, event = facts.head, facts.event
    parameters = (
        facts.book,
        head.last_position,
        *head.changes,
        max(head.refusal, own_refusal),
        *facts.rows.parameters,
        *event.parameters(),
    )
    _alive(connection)
    try:
        with _unknown_if_broken():
            connection.execute(_STORE, parameters, prepare=True)
    except psycopg.DatabaseError as error:
        if error.sqlstate == _HEAD_MOVED:
            raise HeadMoved from error
        raise


def _step_by_step(connection: Connection, facts: Facts, own_refusal: int) -> int | None:
    newest = None
    assert not isinstance(facts.rows, Called)
    connection.execute("begin")
    head, expected = loading.locked_head(connection, facts.book), facts.head
    if (head.last_position, head.changes) != (expected.last_position, expected.changes):
        raise HeadMoved
    if head.refusal > max(expected.refusal, own_refusal):
        # Another process refused something: it may be an id that is accepted here.
        raise HeadMoved
    with connection.cursor() as cursor:
        if facts.rows is not None:
            _copy(cursor, "custody_transfer", encoding.TRANSFER_COLUMNS, facts.rows.transfers)
            _copy(cursor, "custody_entry", encoding.ENTRY_COLUMNS, facts.rows.entries)
            if facts.rows.uses:
                _copy(cursor, "custody_authorisation_use", encoding.USE_COLUMNS, facts.rows.uses)
        if facts.refusals:
            cursor.executemany(_REFUSALS, facts.refusals)
            newest = cursor.execute(_NEWEST_REFUSAL, [facts.book]).fetchone()
        cursor.execute(log.insert_sql(), facts.event.parameters())
        with _unknown_if_broken():
            cursor.execute("commit")
    return int(newest[0]) if newest else None  # type: ignore[call-overload]


def _alive(connection: Connection) -> None:
    """Find out before anything is sent whether the server hung up while nothing was asked."""
    waiting = select.poll()
    waiting.register(connection.pgconn.socket, select.POLLIN)
    if waiting.poll(0):
        connection.execute("select 1")


@contextlib.contextmanager
def _unknown_if_broken() -> Iterator[None]:
    """Without a word, or with the server's farewell: the commit may have come first."""
    try:
        yield
    except psycopg.OperationalError as error:
        if error.sqlstate is None or error.sqlstate.startswith("57P"):
            raise OutcomeUnknown("database_unreachable", "the connection broke during the commit") from error
        raise


def _copy(
    cursor: psycopg.Cursor[tuple[object, ...]], table: str, columns: Sequence[str], rows: bytes
) -> None:
    with cursor.copy(f"copy {table} ({', '.join(columns)}) from stdin (format binary)") as copy:
        copy.write(rows)


def _dumper(kind: type[encoding.Array]) -> type[Dumper]:
    """Parameters of this kind are sent as they are."""

    class AsItIs(Dumper):
        format = Format.BINARY
        oid = kind.array

        def dump(self, obj: encoding.Array) -> bytes:
            return obj

    return AsItIs

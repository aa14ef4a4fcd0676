"""What a witness remembers: of each log the last checkpoint it signed, whole; and what it refused to sign.

Promises: a checkpoint takes the place of the one it was checked against or of none (one transaction, whatever
other process looks into the same folder), and is on the disk before `replace` returns. A checkpoint that
contradicts what was signed is kept as evidence, in bounds.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NAME = "witness.sqlite3"

REFUSED_MAX = 1_000
"""Of one log. Whoever holds its key could fill the disk otherwise; the first ones tell the story."""

_SCHEMA = """
create table if not exists head (
    origin text primary key,
    size integer not null check (size >= 0),
    root blob not null check (length(root) = 32),
    note blob not null,
    at_seconds integer not null
) strict;
create table if not exists refused (
    id integer primary key,
    origin text not null,
    size integer not null,
    root blob not null,
    note blob not null,
    reason text not null,
    at_seconds integer not null,
    unique (origin, size, root, reason)
) strict;
"""


@dataclass(frozen=True, slots=True)
class Head:
    """The last checkpoint of a log that was signed: the note with the log's signatures and ours."""

    origin: str
    size: int
    root: bytes
    note: bytes
    at_seconds: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A checkpoint, signed by its log, that does not fit what was signed before."""

    origin: str
    size: int
    root: bytes
    note: bytes
    reason: str
    at_seconds: int


class Store:
    """The memory of one witness, in a file of its own. For any number of threads and processes."""

    def __init__(self, folder: Path) -> None:
        path = folder / NAME
        # Made here and not by the library, so that nobody else could open it even for a moment.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._turn = threading.Lock()
        self._db = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
        self._db.execute("pragma journal_mode = wal")
        # Each commit waits for the disk: a signature that was seen is never forgotten.
        self._db.execute("pragma synchronous = full")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Leave the file as one file."""
        with self._turn:
            self._db.close()

    def is_sound(self) -> bool:
        """Whether the file is whole as far as its library can tell."""
        with self._turn:
            return bool(self._db.execute("pragma quick_check").fetchone() == ("ok",))

    def head(self, origin: str) -> Head | None:
        """The last checkpoint of a log that was signed."""
        with self._turn:
            return self._head(origin)

    def heads(self) -> list[Head]:
        """Of every log, by its origin."""
        with self._turn:
            rows = self._db.execute("select origin, size, root, note, at_seconds from head order by origin")
            return [Head(*row) for row in rows.fetchall()]

    def refused(self) -> list[Refused]:
        """What was refused, in its order."""
        with self._turn:
            sql = "select origin, size, root, note, reason, at_seconds from refused order by id"
            return [Refused(*row) for row in self._db.execute(sql).fetchall()]

    def replace(self, before: Head | None, head: Head) -> bool:
        """Put a checkpoint in the place of the one it was checked against: then it is durable.

        False, and nothing is written, where that is no longer the last one.
        """
        with self._turn, self._transaction():
            if self._head(head.origin) != before:
                return False
            self._db.execute(
                "insert or replace into head (origin, size, root, note, at_seconds) values (?, ?, ?, ?, ?)",
                (head.origin, head.size, head.root, head.note, head.at_seconds),
            )
        return True

    def keep_refused(self, refused: Refused) -> None:
        """Keep what was not signed, once."""
        with self._turn, self._transaction():
            count = self._db.execute("select count(*) from refused where origin = ?", (refused.origin,))
            if count.fetchone()[0] < REFUSED_MAX:
                self._db.execute(
                    "insert or ignore into refused (origin, size, root, note, reason, at_seconds)"
                    " values (?, ?, ?, ?, ?, ?)",
                    (
                        refused.origin,
                        refused.size,
                        refused.root,
                        refused.note,
                        refused.reason,
                        refused.at_seconds,
                    ),
                )

    def _head(self, origin: str) -> Head | None:
        sql = "select origin, size, root, note, at_seconds from head where origin = ?"
        row = self._db.execute(sql, (origin,)).fetchone()
        return None if row is None else Head(*row)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        # The right to write is taken before anything is read: between the two nobody else writes.
        self._db.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")

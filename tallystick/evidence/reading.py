"""Reading the logs: heads, entries, and the proofs over them, from what the sequencer stored.

Promises: nothing here is taken on trust from a cache: a proof is computed from whole tiles and, at the edge,
from the entries themselves, and it leads to the checkpoint it is handed out with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connections

from tallystick.core.db import Db
from tallystick.evidence import errors, hashing, tiles, tlog_proof
from tallystick.evidence.models import Checkpoint, Cosignature, Log, LogEntry


@dataclass(frozen=True, slots=True)
class Head:
    """A log and its newest checkpoint; size 0 where it has none yet."""

    log_id: int
    origin: str
    suite: hashing.Suite
    size: int
    root: bytes
    settled_event: int
    sealed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Inclusion:
    """An entry, and the proof that it is in the log of this checkpoint."""

    origin: str
    index: int
    body: bytes
    size: int
    path: tuple[bytes, ...]
    note: bytes
    """The checkpoint, signed by the log and by whoever cosigned it."""

    @property
    def file(self) -> bytes:
        """The proof as a file that anybody checks offline (C2SP tlog-proof)."""
        return tlog_proof.TlogProof(self.index, self.path, self.note).text


def head(db: Db, log_id: int) -> Head | None:
    """Where a log stands; nothing where it was not opened."""
    opened = Log.objects.using(db).filter(id=log_id).first()
    if opened is None:
        return None
    suite = hashing.SUITES[opened.suite]
    newest = Checkpoint.objects.using(db).filter(log_id=log_id).order_by("-size").first()
    if newest is None:
        return Head(log_id, opened.origin, suite, 0, hashing.empty_root(suite), 0, None)
    return Head(
        log_id,
        opened.origin,
        suite,
        newest.size,
        bytes(newest.root),
        newest.settled_event,
        newest.sealed_at,
    )


def note(db: Db, log_id: int, size: int) -> bytes:
    """The checkpoint of this size as it is handed out: each witness's newest signature below the log's own.

    Raises `errors.CheckpointUnknown`.
    """
    found = Checkpoint.objects.using(db).filter(log_id=log_id, size=size).first()
    if found is None:
        raise errors.CheckpointUnknown(size=size)
    lines: dict[tuple[str, bytes], str] = {}
    for each in Cosignature.objects.using(db).filter(log_id=log_id, size=size).order_by("id"):
        lines[each.witness, bytes(each.key_id)] = each.line
    return (found.note + "".join(lines[who] for who in sorted(lines))).encode()


def own_note(db: Db, log_id: int, size: int) -> bytes:
    """The checkpoint of this size with the log's own signatures alone. Raises `errors.CheckpointUnknown`."""
    found = Checkpoint.objects.using(db).filter(log_id=log_id, size=size).values_list("note", flat=True)
    told = found.first()
    if told is None:
        raise errors.CheckpointUnknown(size=size)
    return told.encode()


def entry(db: Db, log_id: int, index: int) -> bytes | None:
    """The bytes of an entry."""
    found = LogEntry.objects.using(db).filter(log_id=log_id, seq=index).values_list("body", flat=True).first()
    return None if found is None else bytes(found)


def index_of(db: Db, log_id: int, event_id: int) -> int | None:
    """Where an event was sealed; nothing where it has not been yet."""
    found = LogEntry.objects.using(db).filter(log_id=log_id, event_id=event_id)
    return found.values_list("seq", flat=True).first()


def tile_source(db: Db, log_id: int, suite: hashing.Suite) -> tiles.TileSource:
    """Tiles as stored; those that are not whole, from the entries or from the tiles below."""

    def read(level: int, number: int, width: int) -> bytes:
        with connections[db].cursor() as cursor:
            if width == tiles.WIDTH:
                cursor.execute(
                    "select hashes from evidence_tile where log_id = %s and level = %s and number = %s",
                    [log_id, level, number],
                )
                found = cursor.fetchone()
                return bytes(found[0]) if found else b""
            first = number * tiles.WIDTH
            if level == 0:
                cursor.execute(
                    "select body from evidence_entry where log_id = %s and seq >= %s and seq < %s order by seq",
                    [log_id, first, first + width],
                )
                return hashing.leaf_hashes((bytes(body) for (body,) in cursor.fetchall()), suite)
            cursor.execute(
                "select root from evidence_tile where log_id = %s and level = %s and number >= %s and number < %s"
                " order by number",
                [log_id, level - 1, first, first + width],
            )
            return b"".join([bytes(root) for (root,) in cursor.fetchall()])

    return read


class Prover:
    """Proofs over one log. Keeps the tiles it has read: tiles do not change."""

    def __init__(self, db: Db, log_id: int) -> None:
        found = head(db, log_id)
        if found is None:
            raise errors.LogUnopened()
        self.db, self.log_id, self.origin, self.suite = db, log_id, found.origin, found.suite
        self._hashes = tiles.TileHashes(tile_source(db, log_id, found.suite), found.suite)

    def inclusion(self, index: int, size: int | None = None) -> Inclusion:
        """The proof that an entry is in the log of `size` entries, or of its newest checkpoint.

        Raises `errors.EntryUnknown` and `errors.CheckpointUnknown`.
        """
        at = self._size(size)
        body = entry(self.db, self.log_id, index)
        if body is None or index >= at:
            raise errors.EntryUnknown(index=index, size=at)
        path = hashing.inclusion_proof(index, at, self._hashes.at(at), self.suite)
        return Inclusion(self.origin, index, body, at, tuple(path), note(self.db, self.log_id, at))

    def consistency(self, old_size: int, size: int | None = None) -> Sequence[bytes]:
        """The proof that the log of `old_size` entries is how the later one begins."""
        at = self._size(size)
        return hashing.consistency_proof(old_size, at, self._hashes.at(at), self.suite)

    def _size(self, size: int | None) -> int:
        if size is not None:
            return size
        found = head(self.db, self.log_id)
        assert found is not None, "a log is not closed"
        return found.size


def inclusion(db: Db, log_id: int, index: int, size: int | None = None) -> Inclusion:
    """The proof that an entry is in the log. Many of one log: `Prover`."""
    return Prover(db, log_id).inclusion(index, size)


def consistency(db: Db, log_id: int, old_size: int, size: int | None = None) -> Sequence[bytes]:
    """The proof that a log of `old_size` entries is how the log of `size`, or the newest, begins."""
    return Prover(db, log_id).consistency(old_size, size)

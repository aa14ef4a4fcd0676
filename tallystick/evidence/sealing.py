"""Sealing: what has happened becomes entries of the logs, under checkpoints that the log signs.

Promises: one sequencer a log; every event becomes one entry of the ledger's log, however its transaction
overlapped with others; entries, tiles and checkpoint are one transaction, so a sequencer can be killed anywhere
and the next one goes on from the tables. An entry's bytes follow from its event's row alone.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import psycopg
from django.db import connections, transaction

from tallystick.core.db import Db
from tallystick.evidence import checkpoints, errors, hashing, keys, notes, reading, tiles
from tallystick.evidence.keys import LEDGER, LOCK, PUBLIC

BATCH_MAX = 10_000
"""The most entries under one checkpoint."""

BATCHES_MAX = 20
"""The most checkpoints of a log in one step."""

PUBLIC_KINDS = ("custody.solvency_stated", "evidence.key_rotated", "evidence.log_opened")
"""Kinds of events that the public log tells with their payload, for everybody to read."""

KEY_KINDS = ("evidence.key_rotated", "evidence.log_opened")
"""Kinds of events that tell of a log's new key."""

CHECKPOINT_KIND = "evidence.checkpoint"


Sealed = tuple[int | None, int | None, bytes]
"""An entry about to be written: the event it seals, or the size of the checkpoint it tells, and its bytes."""


# ── rules: an entry's bytes ──────────────────────────────────────────────────────────────────────────────


def entry_of(
    event_id: int,
    kind: str,
    at: str,
    recorded_at: str,
    actor: str,
    commitment: bytes,
    root: bytes | None,
    leaves: int | None,
) -> bytes:
    """The entry of an event: canonical JSON (RFC 8785) of its row, as `TOLD` reads it.

    What its members are: docs/reference/log-entries.md.
    """
    many = "" if root is None else f'"n":{leaves},"r":"{root.hex()}",'
    return (
        f'{{"by":{_quoted(actor)},"c":"{commitment.hex()}",{many}"rec":"{_moment(recorded_at)}",'
        f'"ref":"evt_{event_id}","t":{_quoted(kind)},"ts":"{_moment(at)}","v":1}}'
    ).encode()


def public_entry_of(row: Sequence[Any], salt: bytes, payload: str) -> bytes:
    """The entry of an event that everybody may read: with its payload, and the salt to check that it is that one.

    row: what `entry_of` takes.
    """
    event_id, kind, at, recorded_at, actor, commitment, *_ = row
    body = (
        f'{{"by":{_quoted(actor)},"c":"{commitment.hex()}","p":{payload},"rec":"{_moment(recorded_at)}",'
        f'"ref":"evt_{event_id}","s":"{salt.hex()}","t":{_quoted(kind)},"ts":"{_moment(at)}","v":1}}'
    ).encode()
    # Never refused: an entry that cannot be written would stop all that come after it.
    return body if len(body) <= tiles.ENTRY_BYTES_MAX else entry_of(*row)


def checkpoint_entry_of(note: str, sealed_at: str) -> bytes:
    """The entry of a checkpoint of the ledger's log in the public one."""
    return (
        f'{{"note":{json.dumps(note, ensure_ascii=False)},"t":"{CHECKPOINT_KIND}",'
        f'"ts":"{_moment(sealed_at)}","v":1}}'
    ).encode()


@lru_cache(maxsize=4_096)
def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _moment(at: str) -> str:
    # As PostgreSQL writes a time of UTC, but with six decimals always: one spelling for one time.
    if len(at) != 26:
        at = f"{at}.000000" if len(at) == 19 else at.ljust(26, "0")
    return f"{at[:10]}T{at[11:]}Z"


# ── the sequencer ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Watch:
    """Events up to `top` are settled once those who were writing when it was the newest have ended.

    An event's number is drawn before its transaction commits, so a lower one can come after a higher one. But
    whoever draws one holds the outbox's lock for writers from before until its transaction ends.
    """

    top: int
    writers: set[str]


class Sequencer:
    """Seals one log. Keeps the tree's edge from one batch to the next; another sequencer's work makes it read anew."""

    def __init__(self, db: Db, log_id: int) -> None:
        self.db, self.log_id = db, log_id
        self._tree: tiles.TiledTree | None = None
        self._watch: _Watch | None = None

    def seal(self, *, now: datetime, limit: int = BATCH_MAX) -> int:
        """One batch of what is not sealed yet, under one checkpoint. Returns how many entries it has.

        0 also where another sequencer is at work, or the logs are not open. Raises `errors.LogDamaged` where
        what is stored does not lead to the last checkpoint: nothing is built on that.
        """
        tree, self._tree = self._tree, None
        with transaction.atomic(using=self.db):
            if not self._is_alone():
                return 0
            head = reading.head(self.db, self.log_id)
            if head is None:
                return 0
            # Asked before the events are read: what it says is settled is then seen.
            settled = self._settled(head) if self.log_id == LEDGER else self._ledgers_settled()
            sealed = (
                self._events(head.settled_event, limit)
                if self.log_id == LEDGER
                else self._public(head.settled_event, limit)
            )
            if not sealed:
                self._tree = tree
                return 0
            if len(sealed) >= limit:
                settled = min(settled, sealed[-1][0] or 0)
            tree = self._at(head, tree)
            self._write(head, tree, sealed, max(settled, head.settled_event), now)
        # Only what was committed may be built on.
        self._tree = tree
        if self._watch is not None and settled >= self._watch.top:
            self._watch = None
        return len(sealed)

    def _is_alone(self) -> bool:
        with connections[self.db].cursor() as cursor:
            cursor.execute("select pg_try_advisory_xact_lock(%s, %s)", [LOCK, self.log_id])
            return bool(cursor.fetchone()[0])

    def _settled(self, head: reading.Head) -> int:
        with connections[self.db].cursor() as cursor:
            if self._watch is None:
                cursor.execute("select coalesce(max(id), 0) from evidence_outbox")
                (top,) = cursor.fetchone()
                self._watch = _Watch(top, self._writers(cursor))
            elif self._watch.writers:
                self._watch.writers &= self._writers(cursor)
        return head.settled_event if self._watch.writers else self._watch.top

    @staticmethod
    def _writers(cursor: object) -> set[str]:
        cursor.execute(  # type: ignore[attr-defined]
            "select virtualtransaction from pg_locks where locktype = 'relation' and granted"
            " and database = (select oid from pg_database where datname = current_database())"
            " and relation = 'evidence_outbox'::regclass and mode = 'RowExclusiveLock'"
        )
        return {who for (who,) in cursor.fetchall()}  # type: ignore[attr-defined]

    def _ledgers_settled(self) -> int:
        ledger = reading.head(self.db, LEDGER)
        return ledger.settled_event if ledger else 0

    def _at(self, head: reading.Head, tree: tiles.TiledTree | None) -> tiles.TiledTree:
        if tree is None or (tree.size, tree.root()) != (head.size, head.root):
            source = reading.tile_source(self.db, self.log_id, head.suite)
            try:
                tree = tiles.TiledTree.resumed(head.size, source, head.suite)
            except errors.TileMalformed as missing:
                raise errors.LogDamaged(origin=head.origin, size=head.size) from missing
        if tree.root() != head.root:
            raise errors.LogDamaged(origin=head.origin, size=head.size)
        return tree

    def _events(self, settled: int, limit: int) -> list[Sealed]:
        rows = self._read(_UNSEALED, {"log": self.log_id, "settled": settled, "limit": limit})
        return [(row[0], None, entry_of(*row)) for row in rows]

    def _public(self, settled: int, limit: int) -> list[Sealed]:
        """The ledger's checkpoints that are not told yet, and what everybody may read of what it sealed."""
        rows = self._read(_UNTOLD_CHECKPOINTS, {"log": PUBLIC, "ledger": LEDGER, "limit": limit})
        found: list[Sealed] = [(None, size, checkpoint_entry_of(note, at)) for size, note, at in rows]
        if len(found) < limit:
            rows = self._read(
                _UNTOLD_EVENTS,
                {
                    "log": PUBLIC,
                    "ledger": LEDGER,
                    "settled": settled,
                    "kinds": list(PUBLIC_KINDS),
                    "limit": limit - len(found),
                },
            )
            for *row, salt, payload in rows:
                body = entry_of(*row) if salt is None else public_entry_of(row, salt, payload)
                found.append((row[0], None, body))
        return found

    def _read(self, sql: str, parameters: dict[str, object]) -> Sequence[tuple]:  # type: ignore[type-arg]
        connection = connections[self.db].connection
        assert connection is not None, "a transaction is open"
        with psycopg.Cursor(connection) as cursor:
            # By index, whatever the planner believes of tables that grew since it last looked.
            cursor.execute("set local enable_seqscan = off")
            cursor.execute("set local enable_hashjoin = off")
            return cursor.execute(sql, parameters, binary=True).fetchall()

    def _write(
        self, head: reading.Head, tree: tiles.TiledTree, sealed: Sequence[Sealed], settled: int, now: datetime
    ) -> None:
        # 1. The entries and the tree over them.
        written = tree.append(hashing.leaf_hashes([body for _, _, body in sealed], head.suite))
        # 2. The checkpoint, signed.
        checkpoint = checkpoints.Checkpoint(head.origin, tree.size, tree.root())
        signers = keys.signers(self.db, self.log_id, after=head.size)
        assert signers, "an open log has a key that signs"
        note = notes.sign(checkpoint.text, signers)
        # 3. All of it, in one transaction.
        connection = connections[self.db].connection
        assert connection is not None, "a transaction is open"
        with psycopg.Cursor(connection) as cursor:
            _copy_entries(cursor, self.log_id, head.size, sealed)
            _copy_tiles(cursor, self.log_id, written)
            cursor.execute(
                "insert into evidence_checkpoint (log_id, size, root, note, settled_event, sealed_at)"
                " values (%s, %s, %s, %s, %s, %s)",
                [self.log_id, tree.size, checkpoint.root, note.decode(), settled, now],
            )


TOLD = (
    "o.id, o.kind, (o.at at time zone 'UTC')::text, (o.recorded_at at time zone 'UTC')::text, o.actor,"
    " o.commitment, o.root, octet_length(o.leaves) / 32"
)
"""An event's row o, as much of it as its entry says: what `entry_of` takes."""

_UNSEALED = f"""
    select {TOLD} from evidence_outbox o
    where o.id > %(settled)s and not exists (
        select from evidence_entry e where e.log_id = %(log)s and e.event_id = o.id and e.event_id > %(settled)s)
    order by o.id limit %(limit)s
"""  # noqa: S608 -- the columns are the constant above

_UNTOLD_CHECKPOINTS = """
    select size, note, (sealed_at at time zone 'UTC')::text from evidence_checkpoint
    where log_id = %(ledger)s and size > coalesce((
        select checkpoint_size from evidence_entry where log_id = %(log)s and checkpoint_size is not null
        order by checkpoint_size desc limit 1), -1)
    order by size limit %(limit)s
"""

_UNTOLD_EVENTS = f"""
    select {TOLD}, p.salt, p.payload
    from evidence_outbox o left join evidence_payload p on p.event_id = o.id
    where o.kind = any(%(kinds)s) and o.id > %(settled)s
        and exists (select from evidence_entry e where e.log_id = %(ledger)s and e.event_id = o.id)
        and not exists (select from evidence_entry e where e.log_id = %(log)s and e.event_id = o.id)
    order by o.id limit %(limit)s
"""  # noqa: S608 -- the columns are the constant above

_COPY_HEADER, _COPY_TRAILER = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
_EVENT_ENTRY = struct.Struct(">hihiqiqii")
_CHECKPOINT_ENTRY = struct.Struct(">hihiqiiqi")
_LENGTH = struct.Struct(">i")
_TILE = struct.Struct(">hihihiqi")


def _copy_entries(
    cursor: psycopg.Cursor[tuple[object, ...]], log_id: int, first: int, sealed: Sequence[Sealed]
) -> None:
    # In PostgreSQL's own binary form: a third of what the driver's values would cost.
    event, checkpoint = _EVENT_ENTRY.pack, _CHECKPOINT_ENTRY.pack
    parts = [_COPY_HEADER]
    for seq, (event_id, checkpoint_size, body) in enumerate(sealed, first):
        if event_id is not None:
            parts += (event(5, 2, log_id, 8, seq, 8, event_id, -1, len(body)), body)
        else:
            parts += (checkpoint(5, 2, log_id, 8, seq, -1, 8, checkpoint_size, len(body)), body)
    parts.append(_COPY_TRAILER)
    columns = "log_id, seq, event_id, checkpoint_size, body"
    with cursor.copy(f"copy evidence_entry ({columns}) from stdin (format binary)") as copy:
        copy.write(b"".join(parts))


def _copy_tiles(
    cursor: psycopg.Cursor[tuple[object, ...]], log_id: int, written: Sequence[tiles.Tile]
) -> None:
    # A whole tile's root stands in the level above, which was written with it.
    above = {(each.level, each.index): each.hashes for each in written}
    parts = [_COPY_HEADER]
    for each in written:
        if each.width == tiles.WIDTH:
            parent, place = divmod(each.index, tiles.WIDTH)
            at = place * hashing.HASH_BYTES
            root = above[each.level + 1, parent][at : at + hashing.HASH_BYTES]
            parts += (
                _TILE.pack(5, 2, log_id, 2, each.level, 8, each.index, len(each.hashes)),
                each.hashes,
                _LENGTH.pack(len(root)),
                root,
            )
    if len(parts) == 1:
        return
    parts.append(_COPY_TRAILER)
    with cursor.copy(
        "copy evidence_tile (log_id, level, number, hashes, root) from stdin (format binary)"
    ) as copy:
        copy.write(b"".join(parts))


class Sequencers:
    """The sequencers of both logs, for as long as a process seals."""

    def __init__(self, db: Db) -> None:
        self._ledger, self._public = Sequencer(db, LEDGER), Sequencer(db, PUBLIC)

    def seal(self, *, now: datetime, batches: int = BATCHES_MAX) -> int:
        """What waits, the ledger's first, in a bounded number of batches. Returns how many entries."""
        done = 0
        for sequencer in (self._ledger, self._public):
            for _ in range(batches):
                sealed = sequencer.seal(now=now)
                done += sealed
                if sealed < BATCH_MAX:
                    break
        return done


def seal(db: Db, *, now: datetime, limit: int = BATCH_MAX) -> int:
    """Everything that waits, in both logs, in batches of `limit`. Returns how many entries that made."""
    done = 0
    for log_id in (LEDGER, PUBLIC):
        sequencer = Sequencer(db, log_id)
        while sealed := sequencer.seal(now=now, limit=limit):
            done += sealed
    return done

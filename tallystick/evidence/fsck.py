"""fsck: everything that the logs say, hashed once more from what is stored, and whatever differs by its name.

Promises: nothing stored is believed but the log's signatures. Events are spelled again and compared with their
entries, entries are hashed up to every checkpoint's root and compared with the tiles, payloads with their
commitments, files with tables. Needs the public keys alone and no running platform: a restored backup is enough.
Whoever holds more, such as the ledger's rows, brings a check of its own.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from django.db import connections, transaction

from tallystick.core.db import Db
from tallystick.core.errors import Refusal
from tallystick.evidence import (
    canonical,
    checkpoints,
    fsck_files,
    hashing,
    keys,
    notes,
    reading,
    sealing,
    tiles,
)
from tallystick.evidence.keys import LEDGER, LOGS, PUBLIC

FINDINGS_MAX = 1_000
"""No more are told: by then nothing here is to be relied on."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was sealed: of which kind, which row or file, and what is wrong with it."""

    kind: str
    place: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """How many entries were gone through, and what was found."""

    entries: int
    findings: tuple[Finding, ...]

    @property
    def is_clean(self) -> bool:
        return not self.findings


Check = Callable[[Db], Iterable[Finding]]
"""A further comparison, by whoever knows what the events are about."""


def check(db: Db, *, folder: Path | None = None, beside: Sequence[Check] = ()) -> Report:
    """Everything, as of one moment. folder: where the logs are published, if that is to be looked at too."""
    # Looked at first: what is published while the tables are read is not missed there.
    seen = {name: fsck_files.published(folder / name) for name in LOGS} if folder else {}
    found: dict[tuple[str, str], Finding] = {}
    entries = 0

    def find(kind: str, place: str, message: str) -> None:
        if len(found) < FINDINGS_MAX:
            found.setdefault((kind, place), Finding(kind, place, message))

    with transaction.atomic(using=db):
        connection = connections[db].connection
        assert connection is not None, "a transaction is open"
        connection.execute("set transaction isolation level repeatable read, read only")
        for name, log_id in LOGS.items():
            head = reading.head(db, log_id)
            if head is None:
                find("log_missing", name, "The log was never opened, or its row is gone.")
                continue
            looked = _Log(db, connection, name, head, find)
            looked.go_through()
            entries += looked.entries
            if folder:
                for kind, place, message in fsck_files.compare(db, head, folder / name, seen[name]):
                    find(kind, f"{name} {place}", message)
        _events(connection, find)
        for one in beside:
            for each in one(db):
                find(each.kind, each.place, each.message)
    return Report(entries, tuple(found.values()))


def _events(connection: psycopg.Connection[Any], find: Callable[[str, str, str], None]) -> None:
    """Events that no entry seals although their time is past, and payloads of none."""
    rows = connection.execute(
        "select o.id from evidence_outbox o where o.id <= ("
        "    select coalesce(max(settled_event), 0) from evidence_checkpoint where log_id = %s)"
        " and not exists (select from evidence_entry e where e.log_id = %s and e.event_id = o.id)"
        " order by o.id limit %s",
        [LEDGER, LEDGER, FINDINGS_MAX],
    )
    for (event,) in rows:
        find(
            "event_unsealed", f"evt_{event}", "No entry seals it: it was put in later, or its entry is gone."
        )
    rows = connection.execute(
        "select p.event_id from evidence_payload p where not exists ("
        "    select from evidence_outbox o where o.id = p.event_id) order by 1 limit %s",
        [FINDINGS_MAX],
    )
    for (event,) in rows:
        find("payload_unknown", f"evt_{event}", "There is a payload and no such event.")


@dataclass(slots=True)
class _Row:
    """An entry as it is stored, and as what it seals says it should be; nothing where that is gone."""

    seq: int
    event_id: int | None
    body: bytes
    expected: bytes | None
    source: str
    """What it seals, by name."""


@dataclass(slots=True)
class _Signed:
    """A checkpoint: the root that its signature is for, or the one in its row where it does not hold."""

    size: int
    root: bytes
    holds: bool


@dataclass(slots=True)
class _Log:
    """One log gone through, from its first entry to its last."""

    db: Db
    connection: psycopg.Connection[Any]
    name: str
    head: reading.Head
    find: Callable[[str, str, str], None]
    entries: int = 0
    told_keys: set[str] = field(default_factory=set)
    is_lost: bool = False
    """The tree could not be followed: later roots say nothing more."""
    _tile: tuple[int, bytes] = (-1, b"")
    """The tile of level 0 that was read last."""

    def go_through(self) -> None:
        log_id = self.head.log_id
        tree = hashing.Tree(self.head.suite)
        rows = self._rows()
        waiting = next(rows, None)
        segment: list[_Row] = []
        for signed in self._checkpoints():
            while waiting is not None and waiting.seq < signed.size:
                segment.append(waiting)
                waiting = next(rows, None)
            grown = self._segment(tree, signed, segment)
            if grown is not None:
                tree, segment = grown, []
        while waiting is not None:
            self.find(
                "entry_unsigned",
                self._entry(waiting.seq),
                "No checkpoint is over it: it was put in by somebody.",
            )
            waiting = next(rows, None)
        self._tiles()
        if log_id == PUBLIC:
            for each in [key for number in LOGS.values() for key in keys.kept(self.db, number)]:
                if each.key.text not in self.told_keys and not self.is_lost:
                    self.find("key_unknown", each.key.text, "No entry of the public log tells of this key.")

    def _entry(self, seq: int) -> str:
        return f"{self.name} entry {seq}"

    # ── what is stored, row by row ───────────────────────────────────────────────────────────────────────

    def _read(self, sql: str, parameters: Sequence[object]) -> Iterator[tuple[Any, ...]]:
        with psycopg.ServerCursor(self.connection, f"fsck_{self.name}_{abs(hash(sql))}") as cursor:
            cursor.itersize = 5_000
            cursor.execute(sql, parameters, binary=True)
            yield from cursor

    def _rows(self) -> Iterator[_Row]:
        """The entries in order. Names what is wrong between an event and its payload on the way."""
        has_erasures = self.connection.execute("select to_regclass('evidence_erasure')").fetchone() != (None,)
        erased = (
            "exists (select from evidence_erasure x where x.event_id = o.id)" if has_erasures else "false"
        )
        sql = _ENTRIES.format(told=sealing.TOLD, erased=erased)
        for seq, event, size, body, note, sealed_at, salt, payload, is_erased, *told in self._read(
            sql, [self.head.log_id]
        ):
            self.entries += 1
            body = bytes(body)
            if size is not None:
                expected = None if note is None else sealing.checkpoint_entry_of(note, sealed_at)
                yield _Row(seq, None, body, expected, f"ledger checkpoint {size}")
                continue
            row = None if told[0] is None else told
            if row is not None and self.head.log_id == LEDGER:
                self._payload(row, salt, payload, is_erased)
            yield _Row(seq, event, body, self._expected(row, salt, payload, body), f"evt_{event}")

    def _expected(
        self, row: list[Any] | None, salt: bytes | None, payload: str | None, body: bytes
    ) -> bytes | None:
        if row is None:
            return None
        if self.head.log_id == LEDGER:
            return sealing.entry_of(*row)
        self._learn_key(body)
        if salt is None or payload is None:
            return sealing.entry_of(*row)
        return sealing.public_entry_of(row, bytes(salt), payload)

    def _learn_key(self, body: bytes) -> None:
        try:
            told = json.loads(body)
            if told["t"] in sealing.KEY_KINDS:
                self.told_keys.add(str(told["p"]["key"]))
        except (ValueError, KeyError, TypeError):
            return

    def _payload(self, row: list[Any], salt: bytes | None, payload: str | None, is_erased: bool) -> None:
        if salt is None or payload is None:
            if not is_erased:
                self.find(
                    "payload_missing",
                    f"evt_{row[0]}",
                    "Its payload is gone, and no certificate says it was erased.",
                )
        elif canonical.commitment(payload, bytes(salt)) != row[5]:
            self.find(
                "payload_edited", f"evt_{row[0]}", "Its payload is not the one that the event committed to."
            )

    def _checkpoints(self) -> Iterator[_Signed]:
        before = 0
        kept = keys.kept(self.db, self.head.log_id)
        sql = "select size, root, note from evidence_checkpoint where log_id = %s order by size"
        for size, root, note in self._read(sql, [self.head.log_id]):
            root, place = bytes(root), f"{self.name} checkpoint {size}"
            signing = [notes.verifier(each.key) for each in kept if each.signs_after(before)]
            try:
                checkpoint = checkpoints.open(note.encode(), signing, origin=self.head.origin)
            except Refusal as refusal:
                self.find("checkpoint_forged", place, refusal.message)
                yield _Signed(size, root, False)
            else:
                if (checkpoint.size, checkpoint.root) != (size, root):
                    self.find("checkpoint_edited", place, "Its row is not what the log has signed.")
                yield _Signed(size, checkpoint.root, checkpoint.size == size)
            before = size

    # ── the tree ─────────────────────────────────────────────────────────────────────────────────────────

    def _segment(self, tree: hashing.Tree, signed: _Signed, rows: Sequence[_Row]) -> hashing.Tree | None:
        """The entries between two checkpoints: which of what is stored leads to what was signed?

        Each guess is one that a root proves or refutes: the entries as they stand; the entries that the events
        call for; the entries in the order of their events; what the tiles keep. Returns nothing where a forged
        checkpoint is no help: the next one decides.
        """
        first, suite = tree.size, self.head.suite
        seqs = range(first, signed.size)
        stored = {row.seq: hashing.leaf_hash(row.body, suite) for row in rows}
        called = {row.seq: hashing.leaf_hash(row.expected, suite) for row in rows if row.expected is not None}
        differing = [row for row in rows if row.body != row.expected]
        missing = [seq for seq in seqs if seq not in stored]
        for seq in missing:
            self.find("entry_missing", self._entry(seq), "It is gone.")
        orphans = self._orphans(len(missing)) if missing else []
        called |= dict(zip(missing, orphans, strict=False))
        kept: dict[int, bytes] = {}
        if self.is_lost:
            self._name(differing, "event_edited", "entry_edited")
        guesses: tuple[Callable[[], dict[int, bytes]], ...] = (
            lambda: called | stored,
            lambda: stored | called,
            lambda: _by_event(rows, stored),
            lambda: stored | called | self._tile_hashes(seqs),
        )
        for number, guess in enumerate(guesses if not self.is_lost else ()):
            kept = guess()
            if len(kept) < len(seqs):
                continue
            grown = copy.deepcopy(tree)
            grown.append(b"".join([kept[seq] for seq in seqs]))
            if grown.root() != signed.root:
                continue
            gone = [row for row in rows if row.expected is None]
            self._name(differing if number == 0 else gone, "event_edited", "event_missing")
            for row in rows if number else ():
                if stored[row.seq] != kept[row.seq]:
                    moved = number == 2 or stored[row.seq] in kept.values()
                    message = (
                        "It stands where another one was sealed."
                        if moved
                        else "It is not what was sealed here."
                    )
                    self.find("entry_moved" if moved else "entry_edited", self._entry(row.seq), message)
                if row.expected is not None and called[row.seq] != kept[row.seq] and number == 3:
                    self.find("event_edited", row.source, f"Entry {row.seq} does not seal it as it stands.")
            self._compare_tiles(seqs, kept)
            return grown
        if not signed.holds:
            return None
        if not self.is_lost:
            self.is_lost = True
            self._name(differing, "event_edited", "entry_edited")
            if not differing and not missing:
                message = f"What is stored of entries {first} to {signed.size - 1} does not lead to its root."
                self.find("root_differs", f"{self.name} checkpoint {signed.size}", message)
        tree.size = signed.size
        return tree

    def _name(self, differing: Iterable[_Row], edited: str, otherwise: str) -> None:
        for row in differing:
            if row.expected is None:
                kind = "checkpoint_missing" if row.event_id is None else "event_missing"
                self.find(
                    kind, row.source, f"Entry {row.seq} of the {self.name} log seals it, and it is gone."
                )
            elif row.event_id is None:
                self.find(
                    "checkpoint_edited", row.source, f"Entry {row.seq} of the public log tells another one."
                )
            else:
                self.find(
                    edited, row.source, f"Entry {row.seq} of the {self.name} log seals it in other words."
                )
                if otherwise == "entry_edited":
                    self.find(otherwise, self._entry(row.seq), f"It is not the entry of {row.source}.")

    def _orphans(self, most: int) -> list[bytes]:
        """The leaf hashes that events without an entry call for, in their order."""
        if self.head.log_id != LEDGER:
            return []
        rows = self.connection.execute(
            f"select {sealing.TOLD} from evidence_outbox o where o.id <= %s and not exists ("  # noqa: S608 -- constants
            "   select from evidence_entry e where e.log_id = %s and e.event_id = o.id) order by o.id limit %s",
            [self.head.settled_event, LEDGER, most],
        )
        return [hashing.leaf_hash(sealing.entry_of(*row), self.head.suite) for row in rows]

    def _tile_at(self, number: int) -> bytes:
        if self._tile[0] != number:
            read = reading.tile_source(self.db, self.head.log_id, self.head.suite)
            self._tile = (number, read(0, number, tiles.WIDTH))
        return self._tile[1]

    def _tile_hashes(self, seqs: range) -> dict[int, bytes]:
        found = {}
        for seq in seqs:
            number, place = divmod(seq, tiles.WIDTH)
            if hash_ := self._tile_at(number)[place * 32 : place * 32 + 32]:
                found[seq] = hash_
        return found

    def _compare_tiles(self, seqs: range, kept: dict[int, bytes]) -> None:
        for seq, hash_ in self._tile_hashes(seqs).items():
            if hash_ != kept[seq]:
                number, place = divmod(seq, tiles.WIDTH)
                self._tile_differs(0, number, f"Its hash {place} is not that of entry {seq}.")

    def _tile_differs(self, level: int, number: int, message: str) -> None:
        self.find("tile_edited", f"{self.name} tile {level}/{number}", message)

    def _tiles(self) -> None:
        """Every whole tile is there, its root is its own, and stands in the level above."""
        below: dict[int, bytes] = {}
        roots: dict[int, bytes] = {}
        at, expected = 0, 0
        sql = "select level, number, hashes, root from evidence_tile where log_id = %s order by level, number"
        for level, number, hashes, root in self._read(sql, [self.head.log_id]):
            hashes, root = bytes(hashes), bytes(root)
            while level > at:
                self._missing_tiles(at, expected)
                at, expected, below, roots = at + 1, 0, roots, {}
            if number >= self.head.size >> 8 * (level + 1):
                message = "The log is not as large as that."
                self.find("tile_unknown", f"{self.name} tile {level}/{number}", message)
                continue
            for lost in range(expected, number):
                self.find("tile_missing", f"{self.name} tile {level}/{lost}", "It is gone.")
            expected = number + 1
            roots[number] = root
            if level:
                for place in range(tiles.WIDTH):
                    child = below.get(number * tiles.WIDTH + place)
                    if child is not None and hashes[place * 32 : place * 32 + 32] != child:
                        self._tile_differs(level, number, f"Its hash {place} is not that of the tile below.")
            if _root(hashes, self.head.suite) != root:
                self._tile_differs(level, number, "Its root is not the one over its hashes.")
        while self.head.size >> 8 * (at + 1):
            self._missing_tiles(at, expected)
            at, expected = at + 1, 0

    def _missing_tiles(self, level: int, expected: int) -> None:
        for number in range(expected, self.head.size >> 8 * (level + 1)):
            self.find("tile_missing", f"{self.name} tile {level}/{number}", "It is gone.")


def _root(hashes: bytes, suite: hashing.Suite) -> bytes:
    tree = hashing.Tree(suite)
    tree.append(hashes)
    return tree.root()


def _by_event(rows: Sequence[_Row], stored: dict[int, bytes]) -> dict[int, bytes]:
    ordered = sorted(rows, key=lambda row: row.event_id or 0)
    return {row.seq: stored[one.seq] for row, one in zip(rows, ordered, strict=True)}


_ENTRIES = """
    select e.seq, e.event_id, e.checkpoint_size, e.body, c.note, (c.sealed_at at time zone 'UTC')::text,
        p.salt, p.payload, {erased}, {told}
    from evidence_entry e
        left join evidence_outbox o on o.id = e.event_id
        left join evidence_payload p on p.event_id = o.id
        left join evidence_checkpoint c on c.log_id = 1 and c.size = e.checkpoint_size
    where e.log_id = %s order by e.seq
"""

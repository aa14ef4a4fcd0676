"""The log: append what happened, read it back, check that a payload is the one committed to.

Promises: `append` writes in the caller's transaction, so that an event and its cause stand or fall
together; it takes no lock, so that evidence never slows a posting. What a visitor does enters the trail
here, in that same transaction: no action can forget it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NewType

import psycopg
from django.db import connections

from tallystick.core import chance
from tallystick.core.db import Db
from tallystick.evidence import batches, canonical, visits
from tallystick.evidence.models import Outbox

EventId = NewType("EventId", int)


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it was written. Salt and payload are nothing where the payload has been erased."""

    id: EventId
    kind: str
    at: datetime
    recorded_at: datetime
    actor: str
    commitment: bytes
    salt: bytes | None
    payload_text: str | None
    root: bytes | None = None
    """The Merkle root over what it is about, where that is many things."""

    @property
    def payload(self) -> dict[str, canonical.Value] | None:
        """What the action told, without what the log added of the visit."""
        told = self._told()
        return None if told is None else {name: told[name] for name in told if name != visits.MEMBER}

    @property
    def trail(self) -> dict[str, canonical.Value]:
        """During which visit it was written: by which door, for what and why. Empty for the system's own."""
        found = (self._told() or {}).get(visits.MEMBER)
        return found if isinstance(found, dict) else {}

    def _told(self) -> dict[str, canonical.Value] | None:
        return None if self.payload_text is None else json.loads(self.payload_text)

    @property
    def reference(self) -> str:
        """The event's id as shown outside."""
        return f"evt_{self.id}"


@dataclass(frozen=True, slots=True)
class Row:
    """An event about to be written, its payload spelled and committed to."""

    kind: str
    at: datetime
    actor: str
    commitment: bytes
    salt: bytes
    payload: str
    leaves: bytes | None = None
    root: bytes | None = None

    def parameters(self) -> tuple[str, datetime, str, bytes, bytes, str, bytes | None, bytes | None]:
        """In the order `insert_sql` names them."""
        told = (self.kind, self.at, self.actor, self.commitment, self.salt, self.payload)
        return (*told, self.root, self.leaves)


_INSERT = "select evidence_append(%s, %s, %s, %s, %s, %s, %s, %s)"

# Rows keep their order: identities are drawn as the sorted input is read.
_INSERT_MANY = """
with given as (
    select * from unnest(%b::text[], %b::timestamptz[], %b::text[], %b::bytea[], %b::bytea[], %b::text[])
        with ordinality as given (kind, at, actor, commitment, salt, payload, ordinal)
), told as (
    insert into evidence_outbox (kind, at, actor, commitment)
    select kind, at, actor, commitment from given order by ordinal
    returning id, commitment
), written as (
    insert into evidence_payload (event_id, salt, payload)
    select told.id, given.salt, given.payload from told join given using (commitment)
    returning event_id
)
select event_id from written order by event_id
"""


def row(
    kind: str,
    payload: canonical.Payload,
    *,
    actor: str,
    at: datetime,
    salt: bytes | None = None,
    leaves: bytes | None = None,
) -> Row:
    """The row for an event: for code that writes through psycopg itself, with `insert_sql`.

    leaves: where it is of many things, their leaf hashes (`batches`), blinded from this salt.
    """
    assert at.tzinfo is not None, "an event's time names its zone"
    assert leaves is None or salt is not None, "leaves are blinded from the event's salt"
    salt = chance.salt() if salt is None else salt
    text = canonical.text(visits.told(payload, actor=actor))
    root = batches.root(leaves) if leaves else None
    return Row(kind, at, actor, canonical.commitment(text, salt), salt, text, leaves or None, root)


def insert_sql() -> str:
    """One statement that writes one event; takes `Row.parameters()` and returns the event's id.

    For the ledger's writer: inside its own transaction, one round trip, no lock.
    """
    return _INSERT


def event(db: Db, event_id: EventId) -> Event | None:
    """The event with this id."""
    return next(iter(_events(db, "o.id = %s", [event_id], limit=1)), None)


def events(
    db: Db, *, kind: str | None = None, before: EventId | None = None, limit: int = 50
) -> Sequence[Event]:
    """The newest events first, `limit` of them; `before` continues a page."""
    return _events(
        db,
        "(%s::text is null or o.kind = %s) and (%s::bigint is null or o.id < %s)",
        [kind, kind, before, before],
        limit=limit,
    )


def events_after(db: Db, kind: str, after: EventId, *, limit: int = 200) -> Sequence[Event]:
    """The events of a kind that come after one, the oldest first."""
    return _events(db, "o.kind = %s and o.id > %s", [kind, after], limit=limit, order="asc")


def events_at(db: Db, kind: str, at: datetime) -> Sequence[Event]:
    """The events of a kind that happened at exactly this time: those of two books may share one."""
    return _events(db, "o.at = %s and o.kind = %s", [at, kind], limit=100)


def leaves(db: Db, event_id: EventId) -> bytes | None:
    """The leaf hashes of what an event of many things is about, in a row (`batches`)."""
    found = Outbox.objects.using(db).filter(id=event_id).values_list("leaves", flat=True).first()
    return None if found is None else bytes(found)


def agrees(told: Event) -> bool:
    """Whether the payload kept beside the event is, byte for byte, the one the event committed to."""
    if told.salt is None or told.payload_text is None:
        return False
    return canonical.commitment(told.payload_text, told.salt) == told.commitment


def append(
    db: Db,
    kind: str,
    payload: canonical.Payload,
    *,
    actor: str,
    at: datetime,
    salt: bytes | None = None,
) -> EventId:
    """Write one event in the caller's transaction. `actor` is an actor's id, `at` when it happened."""
    _in_transaction(db)
    with connections[db].cursor() as cursor:
        cursor.execute(_INSERT, row(kind, payload, actor=actor, at=at, salt=salt).parameters())
        event_id = EventId(cursor.fetchone()[0])
    _enter(db, event_id, kind, payload, actor=actor, at=at)
    return event_id


def append_many(db: Db, rows: Iterable[Row]) -> list[EventId]:
    """Write many events in one statement, in their order; their ids come back in that order."""
    written = list(rows)
    if not written:
        return []
    # The statement finds a payload's event again by its commitment.
    assert len({each.commitment for each in written}) == len(written), "a salt was given twice"
    _in_transaction(db)
    assert all(each.root is None for each in written), "an event of many things is written by itself"
    columns = [list(column) for column in zip(*(each.parameters()[:6] for each in written), strict=True)]
    # Bound by the server, in binary: an array of JSON as text has its quotes escaped one by one, which
    # takes longer than writing it.
    with psycopg.Cursor(connections[db].connection) as cursor:
        cursor.execute(_INSERT_MANY, columns)
        ids = [EventId(event_id) for (event_id,) in cursor.fetchall()]
    first = written[0]
    # One entry for the visit, at its first event; the others carry the visit's id.
    _enter(db, ids[0], first.kind, json.loads(first.payload), actor=first.actor, at=first.at)
    return ids


def count(db: Db) -> int:
    """How many events are in the log."""
    return Outbox.objects.using(db).count()


def _in_transaction(db: Db) -> None:
    # Outside one, the event could stand where its cause has fallen.
    assert connections[db].in_atomic_block, "an event is written in the transaction of its cause"


_ENTER = """
insert into evidence_trail (event_id, visit, at, actor, act, permission, operation, parties, subject, is_privileged)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict (visit) do nothing
"""


def _enter(
    db: Db, event_id: EventId, kind: str, payload: canonical.Payload, *, actor: str, at: datetime
) -> None:
    """Enter the event into the trail, where it is the first one of a visitor's."""
    visit = visits.current()
    if visit is None or not visits.is_visitor(actor):
        return
    visit.has_written = True
    visit.actor = visit.actor or actor
    used = frozenset(visit.permissions)
    with connections[db].cursor() as cursor:
        cursor.execute(
            _ENTER,
            [
                event_id,
                visit.id,
                at,
                actor,
                kind,
                next(reversed(visit.permissions), ""),
                f"{visit.door} {visit.operation}"[:200],
                visit.named(db, payload),
                visits.subject(payload),
                visit.privileged(kind, payload, used),
            ],
        )


def _events(
    db: Db,
    where: str,
    parameters: list[str | int | datetime | None],
    *,
    limit: int,
    order: Literal["asc", "desc"] = "desc",
) -> list[Event]:
    sql = f"""
        select o.id, o.kind, o.at, o.recorded_at, o.actor, o.commitment, p.salt, p.payload, o.root
        from evidence_outbox o left join evidence_payload p on p.event_id = o.id
        where {where} order by o.id {order} limit %s
    """  # noqa: S608 -- `where` and `order` are constants
    with connections[db].cursor() as cursor:
        cursor.execute(sql, [*parameters, limit])
        return [
            Event(
                id=EventId(event_id),
                kind=kind,
                at=at,
                recorded_at=recorded_at,
                actor=actor,
                commitment=bytes(commitment),
                salt=None if salt is None else bytes(salt),
                payload_text=payload,
                root=None if root is None else bytes(root),
            )
            for event_id, kind, at, recorded_at, actor, commitment, salt, payload, root in cursor.fetchall()
        ]

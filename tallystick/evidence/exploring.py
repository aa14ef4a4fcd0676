"""Exploring: entries looked for by their kind, their time or their number, and what is shown of one.

Everything that is shown can be checked by whoever sees it: an entry comes with its bytes, what it was made of,
and the way to a signed checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connections
from django.db.models import OuterRef, Q, Subquery

from tallystick.core.db import Db
from tallystick.evidence import errors, hashing, keys, log, reading, receipt_file, tlog_proof
from tallystick.evidence.log import EventId
from tallystick.evidence.models import LogEntry, Outbox
from tallystick.evidence.witness import quorum


@dataclass(frozen=True, slots=True)
class Told:
    """An event without its payload, and where the ledger's log sealed it; no index before it has."""

    id: EventId
    kind: str
    at: datetime
    recorded_at: datetime
    actor: str
    index: int | None

    @property
    def reference(self) -> str:
        """The event's id as shown outside."""
        return f"evt_{self.id}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a log as it was sealed. It is of an event, or tells a checkpoint of the ledger's log."""

    log_id: int
    index: int
    body: bytes
    event_id: EventId | None
    checkpoint_size: int | None

    @property
    def told(self) -> dict[str, Any]:
        """What it says."""
        found: dict[str, Any] = json.loads(self.body)
        return found


def leaf(body: bytes, suite: hashing.Suite) -> bytes:
    """An entry's leaf hash, as its tree has it."""
    return hashing.leaf_hash(body, suite)


def events(
    db: Db,
    *,
    kind: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: int | None = None,
    limit: int = 50,
) -> Sequence[Told]:
    """Events, the newest first: of a kind, of a time, before one of them."""
    wanted = Q()
    for name, value in (("kind", kind), ("at__gte", since), ("at__lte", until), ("id__lt", before)):
        if value is not None:
            wanted &= Q(**{name: value})
    sealed = LogEntry.objects.using(db).filter(log_id=keys.LEDGER, event_id=OuterRef("id")).values("seq")[:1]
    rows = (
        Outbox.objects.using(db)
        .filter(wanted)
        .order_by("-id")
        .annotate(seq=Subquery(sealed))
        .values_list("id", "kind", "at", "recorded_at", "actor", "seq")[:limit]
    )
    return [Told(EventId(event), *rest) for event, *rest in rows]


def kinds(db: Db) -> Sequence[str]:
    """Every kind of event there is, each found by one step down the index."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            with recursive found as (
                (select kind from evidence_outbox order by kind limit 1)
                union all
                select (select o.kind from evidence_outbox o where o.kind > found.kind order by o.kind limit 1)
                from found where found.kind is not null
            )
            select kind from found where kind is not null
            """
        )
        return [kind for (kind,) in cursor.fetchall()]


def entries(db: Db, log_id: int, *, before: int | None = None, limit: int = 50) -> Sequence[Entry]:
    """The entries of a log, the newest first; `before` (an index) continues a page."""
    rows = LogEntry.objects.using(db).filter(log_id=log_id)
    if before is not None:
        rows = rows.filter(seq__lt=before)
    return [_entry(row) for row in rows.order_by("-seq")[:limit]]


def entry(db: Db, log_id: int, index: int) -> Entry:
    """One entry. Raises `errors.LogUnopened` or `EntryUnknown`."""
    head = reading.head(db, log_id)
    if head is None:
        raise errors.LogUnopened()
    for row in LogEntry.objects.using(db).filter(log_id=log_id, seq=index):
        return _entry(row)
    raise errors.EntryUnknown(index=index, size=head.size)


def receipt(db: Db, log_id: int, event: log.Event) -> receipt_file.Receipt:
    """The receipt of an event: its entry, its proof, and its payload where that is still there.

    Raises `errors.NotSealedYet`.
    """
    index = reading.index_of(db, log_id, event.id)
    if index is None:
        raise errors.NotSealedYet()
    sealed = quorum.inclusion(db, log_id, index)
    return receipt_file.Receipt(
        entry=sealed.body.decode(),
        proof=tlog_proof.TlogProof(sealed.index, sealed.path, sealed.note),
        salt=event.salt,
        payload=event.payload_text,
    )


def _entry(row: LogEntry) -> Entry:
    return Entry(
        row.log_id,
        row.seq,
        bytes(row.body),
        None if row.event_id is None else EventId(row.event_id),
        row.checkpoint_size,
    )

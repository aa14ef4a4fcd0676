"""The ledger: post transfers.

Promises: each transfer is judged on what its predecessors left; what was accepted is committed, durable and
in the book's one order; the same id with the same content gets its first result again, whatever happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

import numpy as np
from django.db import connections

from tallystick.core.db import Db
from tallystick.custody import errors, posting, transfers
from tallystick.custody.book_writer import Results
from tallystick.custody.models import TransferKind
from tallystick.custody.numbers import BookId
from tallystick.custody.transfers import Batch, TransferRequest
from tallystick.evidence import visits
from tallystick.identity import access
from tallystick.identity.access import Actor

__all__ = ["Results", "expire_pending", "post"]


def post(
    db: Db, book: BookId, requested: Sequence[TransferRequest] | Batch, *, actor: Actor, now: datetime
) -> Results:
    """Post these transfers in this order; each gets its own result. Returns after the commit.

    All-or-nothing only within a linked chain. Raises `errors.Malformed` where a request is not well formed
    (then nothing was posted), `errors.PostingStopped` where the ledger takes none now, and
    `errors.OutcomeUnknown` where the answer was lost: ask again with the same ids. Reversals are the
    approver's to post (`custody.reverse`), all else is operations' (`custody.post`).
    """
    # Whoever may do neither learns nothing about what would be well formed.
    if not access.allowed(actor, "custody.reverse"):
        access.require(db, actor, "custody.post")
    batch = requested if isinstance(requested, Batch) else transfers.columns(requested)
    if not len(batch):
        raise errors.BatchEmpty
    if len(batch) > transfers.BATCH_MAX:
        raise errors.BatchTooLarge(most=transfers.BATCH_MAX, given=len(batch))
    reversals = sum(raw != transfers.NO_ID for raw in transfers.sixteens(batch.reverses or b""))
    if reversals:
        access.require(db, actor, "custody.reverse")
    if reversals < len(batch):
        access.require(db, actor, "custody.post")
    if batch.linked[-1]:
        # Its chain would go on into whatever is posted next.
        raise errors.Malformed(
            where=f"transfer {len(batch) - 1}", field="linked", expected="false for the last of a call"
        )
    # The batch's own event names who asked: the trail costs a posting nothing.
    visits.carried()
    return posting.gateway().post(db, book, batch, actor=actor.id, now=transfers.microseconds(now))


def expire_pending(db: Db, book: BookId, *, actor: Actor, now: datetime, limit: int = 1_000) -> int:
    """Release what pending transfers hold past their time. Returns how many were released."""
    access.require(db, actor, "custody.post")
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select p.id from custody_transfer p
            where p.book_id = %s and p.expires_at <= %s and not exists (
                select from custody_transfer s where s.book_id = p.book_id and s.pending_position = p.position)
            order by p.expires_at limit %s
            """,
            [book, now, limit],
        )
        due = [row[0] for row in cursor.fetchall()]
    if not due:
        return 0
    zeros = np.zeros(len(due), np.int64)
    batch = transfers.plain(
        # The same pending transfer always expires under the same id, so two beats expire it once.
        b"".join(uuid5(NAMESPACE_URL, f"urn:tallystick:expiry:{pending}").bytes for pending in due),
        zeros,
        zeros,
        zeros,
        0,
    )
    batch = transfers.settling(batch, TransferKind.EXPIRE_PENDING, b"".join(pending.bytes for pending in due))
    results = posting.gateway().post(db, book, batch, actor=actor.id, now=transfers.microseconds(now))
    return results.accepted

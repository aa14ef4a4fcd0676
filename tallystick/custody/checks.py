"""The second look: compare each bulk-loaded batch's entries with its transfers and with the entries before.

Promises: every batch is compared, the small ones as they are written (guards.sql), the others here within
seconds; a finding is recorded in the evidence and never forgotten.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from django.db import connections, transaction
from prometheus_client import Counter

from tallystick.core.db import Db
from tallystick.custody.numbers import BookId
from tallystick.evidence import log
from tallystick.identity import access
from tallystick.identity.access import Actor

UNSOUND = Counter(
    "tallystick_custody_entries_unsound", "Entries that do not follow from their transfers", ["book"]
)

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a book has been compared: batches waiting, and entries found unsound."""

    waiting: int
    unsound: int


def standing(db: Db, book: BookId) -> Standing:
    """How many batches wait to be compared, and how many entries were found unsound so far."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select (select count(*) from custody_batch where book_id = %s)"
            " - (select count(*) from custody_batch_check where book_id = %s),"
            " (select coalesce(sum(unsound), 0)::bigint from custody_batch_check where book_id = %s)",
            [book, book, book],
        )
        waiting, unsound = cursor.fetchone()
    return Standing(waiting, unsound)


def advance(
    db: Db, book: BookId, *, after: int = 0, actor: Actor, now: datetime, limit: int = 10
) -> tuple[int, int]:
    """Compare up to `limit` batches beyond position `after`. Returns how many, and to where all are compared."""
    access.require(db, actor, "custody.post")
    with connections[db].cursor() as cursor:
        cursor.execute("select last_position from custody_head(%s)", [book])
        head = cursor.fetchone()[0] or 0
    for done in range(limit):
        with transaction.atomic(using=db), connections[db].cursor() as cursor:
            cursor.execute("select * from custody_check_next(%s, %s)", [book, after])
            row = cursor.fetchone()
            if row is None:
                return done, max(after, head)
            after, unsound = row
            if unsound:
                UNSOUND.labels(str(book)).inc(unsound)
                _LOG.critical("book %s: %s entries up to position %s are unsound", book, unsound, after)
                log.append(
                    db,
                    "custody.batch_unsound",
                    {"book": book, "last_position": after, "unsound": unsound},
                    actor=actor.id,
                    at=now,
                )
    return limit, after

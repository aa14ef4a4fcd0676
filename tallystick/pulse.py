"""The order of the platform, on one screen: what follows from what was posted, one step after the other.

Promises: a step that fails is logged and keeps no other step and no other book from its turn; looking in vain
takes a bounded share of the time, however large a book grows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from tallystick.core.db import Db
from tallystick.custody import checks, conditions, deposit_booking, ledger
from tallystick.custody.cross_border import quotes
from tallystick.custody.errors import PostingStopped
from tallystick.custody.numbers import BookId
from tallystick.custody.payouts import orders, returns
from tallystick.custody.workbench import cases, matches, receipts
from tallystick.evidence import publishing, sealing
from tallystick.identity.access import Actor

ACTOR = Actor.system("pulse")

REST_TIMES = 20
"""A step that found nothing rests so many times as long as it looked: it takes a twentieth of the time at most."""
REST_MAX = 60.0
"""And so many seconds at most: how late what came meanwhile may be found."""

_LOG = logging.getLogger(__name__)


def _expire_pending(db: Db, book: BookId, now: datetime) -> int:
    return ledger.expire_pending(db, book, actor=ACTOR, now=now)


def _exchange(db: Db, book: BookId, now: datetime) -> int:
    return quotes.advance(db, book, actor=ACTOR, now=now)


def _take_deposits(db: Db, book: BookId, now: datetime) -> int:
    return deposit_booking.advance(db, book, actor=ACTOR, now=now)


def _mark_dormant(db: Db, book: BookId, now: datetime) -> int:
    return conditions.advance(db, book, actor=ACTOR, now=now)


def _follow_breaks(db: Db, book: BookId, now: datetime) -> int:
    return cases.advance(db, book, actor=ACTOR, now=now)


def _post_write_offs(db: Db, book: BookId, now: datetime) -> int:
    return matches.advance(db, book, now=now)


def _post_returns(db: Db, book: BookId, now: datetime) -> int:
    return receipts.advance(db, book, now=now)


def _read_statements(db: Db, book: BookId, now: datetime) -> int:
    return returns.advance(db, book, now=now)


def _follow_payouts(db: Db, book: BookId, now: datetime) -> int:
    return orders.advance(db, book, now=now)


Step = Callable[[Db, BookId, datetime], int]

STEPS: tuple[Step, ...] = (
    _read_statements,  # what the bank's statements say of payouts → their statuses
    _follow_payouts,  # what the statuses of payouts owe → posted
    _take_deposits,  # incoming lines of statements → their owners, or suspense
    _expire_pending,  # pending transfers past their time → released
    _exchange,  # exchanges that clients agreed to → posted
    _mark_dormant,  # accounts long quiet → their holders told, then asleep
    _follow_breaks,  # reconciliations → cases opened, changed, resolved
    _post_write_offs,  # write-offs that two people decided → posted
    _post_returns,  # returns that two people decided → posted
)
"""In this order, for each book. A step does a bounded amount of work and says how much."""


class Pulse:
    """Beats. Remembers to where batches were compared, so that a beat costs no more with every day.

    `clock` tells seconds that only go forward, to measure how long a step looks.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._rests_until: dict[tuple[BookId, Step], float] = {}
        self._compared: dict[BookId, int] = {}
        self._sequencers: dict[Db, sealing.Sequencers] = {}

    def beat(self, db: Db, book: BookId, now: datetime) -> int:
        """One beat of a book: every step once that does not rest. Returns how much was done.

        Raises `errors.PostingStopped`: then no step can post, and the next beat tries again.
        """
        done = 0
        for step in STEPS:
            started = self._clock()
            if started < self._rests_until.get((book, step), started):
                continue
            found = _tried(step, db, book, now)
            if found == 0:
                ended = self._clock()
                self._rests_until[book, step] = ended + min(REST_TIMES * (ended - started), REST_MAX)
            done += found
        # Last, and never at rest, as it looks at what is new alone.
        return done + _tried(self._compare, db, book, now)

    def seal(self, db: Db, folder: Path, now: datetime) -> int:
        """After the beats of all books: everything that happened → entries under signed checkpoints → files.

        db: as the sequencer. Fails for itself alone: what happened stays to be sealed, and posting goes on.
        """
        sequencers = self._sequencers.setdefault(db, sealing.Sequencers(db))
        try:
            publishing.check_not_behind(db, folder)
            sealed = sequencers.seal(now=now)
        except Exception:
            _LOG.exception("sealing failed")
            sealed = 0
        try:
            publishing.publish(db, folder)
        except Exception:
            _LOG.exception("publishing the logs failed")
        return sealed

    def _compare(self, db: Db, book: BookId, now: datetime) -> int:
        """Batches → compared with what they were made of."""
        after = self._compared.get(book, 0)
        compared, self._compared[book] = checks.advance(db, book, after=after, actor=ACTOR, now=now, limit=1)
        return compared


def _tried(step: Step, db: Db, book: BookId, now: datetime) -> int:
    """What a step did. One that fails did nothing that stays, is told, and is tried again after its rest."""
    try:
        return step(db, book, now)
    except PostingStopped:
        raise
    except Exception:
        _LOG.exception("the step %s of book %s failed", step.__name__, book)
        return 0

"""The order of the platform, on one screen: what follows from what was posted, one step after the other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from tallystick.core.db import Db
from tallystick.custody import checks, conditions, deposit_booking, ledger
from tallystick.custody.cross_border import quotes
from tallystick.custody.numbers import BookId
from tallystick.custody.payouts import orders, returns
from tallystick.custody.workbench import cases, matches, receipts
from tallystick.identity.access import Actor

ACTOR = Actor.system("pulse")


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


def _post_decided(db: Db, book: BookId, now: datetime) -> int:
    return matches.advance(db, book, now=now) + receipts.advance(db, book, now=now)


def _follow_payouts(db: Db, book: BookId, now: datetime) -> int:
    return returns.advance(db, book, now=now) + orders.advance(db, book, now=now)


STEPS: tuple[Callable[[Db, BookId, datetime], int], ...] = (
    _follow_payouts,  # what the bank's statements say of payouts, what their statuses owe → posted
    _take_deposits,  # incoming lines of statements → their owners, or suspense
    _expire_pending,  # pending transfers past their time → released
    _exchange,  # exchanges that clients agreed to → posted
    _mark_dormant,  # accounts long quiet → their holders told, then asleep
    _follow_breaks,  # reconciliations → cases opened, changed, resolved
    _post_decided,  # write-offs and returns that two people decided → posted
)
"""In this order, for each book. A step does a bounded amount of work and says how much."""


class Pulse:
    """Beats. Remembers to where batches were compared, so that a beat costs no more with every day."""

    def __init__(self) -> None:
        self._compared: dict[BookId, int] = {}

    def beat(self, db: Db, book: BookId, now: datetime) -> int:
        """One beat of a book: every step once. Returns how much was done; 0 means nothing waits."""
        done = sum(step(db, book, now) for step in STEPS)
        # Last: batches → compared with what they were made of.
        after = self._compared.get(book, 0)
        compared, self._compared[book] = checks.advance(db, book, after=after, actor=ACTOR, now=now, limit=1)
        return done + compared

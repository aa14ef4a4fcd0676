"""Legal holds: what they cover is not erased, from the moment they are written until two people end them.

Promises: a hold holds at once and needs nobody's consent to begin; what became of it is rows that stay; the
database itself asks these rows before it erases anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tallystick.core.db import Db
from tallystick.evidence import log
from tallystick.evidence import models as tables


@dataclass(frozen=True, slots=True)
class Scope:
    """What a hold covers: all that is given must fit; nothing given covers everything."""

    terms: tuple[str, ...] = ()
    """Customers and ids; an event whose payload names one of them is covered."""
    kinds: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """How a hold went on."""

    status: str
    made_by: str
    decided_by: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Hold:
    """A legal hold and what became of it."""

    id: int
    matter: str
    reason: str
    scope: Scope
    placed_by: str
    at: datetime
    steps: tuple[Step, ...]

    @property
    def reference(self) -> str:
        """The hold's id as shown outside."""
        return f"hld_{self.id}"

    @property
    def status(self) -> str:
        """`placed`, `confirmed`, `rejected` or `lifted`."""
        return self.steps[-1].status if self.steps else "placed"

    @property
    def is_in_force(self) -> bool:
        return self.status in ("placed", "confirmed")


def holds(db: Db) -> Sequence[Hold]:
    """Every hold there ever was, the newest first."""
    return [_hold(row) for row in tables.Hold.objects.using(db).prefetch_related("steps").order_by("-id")]


def hold(db: Db, number: int) -> Hold | None:
    """The hold of this number."""
    row = tables.Hold.objects.using(db).filter(pk=number).prefetch_related("steps").first()
    return None if row is None else _hold(row)


def place(db: Db, scope: Scope, *, matter: str, reason: str, by: str, now: datetime) -> Hold:
    """Write a hold down. It holds from now on."""
    row = tables.Hold(
        matter=matter,
        reason=reason,
        terms=list(scope.terms),
        kinds=list(scope.kinds),
        since=scope.since,
        until=scope.until,
        placed_by=by,
        at=now,
    )
    row.save(using=db, force_insert=True)
    placed = Hold(row.pk, matter, reason, scope, by, now, ())
    log.append(
        db,
        "evidence.hold_placed",
        {
            "hold": placed.reference,
            "matter": matter,
            "reason": reason,
            "terms": list(scope.terms),
            "kinds": list(scope.kinds),
            "since": None if scope.since is None else scope.since.isoformat(),
            "until": None if scope.until is None else scope.until.isoformat(),
        },
        actor=by,
        at=now,
    )
    return placed


def step(
    db: Db, held: Hold, status: str, *, approval: int, made_by: str, by: str, reason: str, now: datetime
) -> None:
    """Write down what two people decided about a hold."""
    tables.HoldStep(
        hold_id=held.id,
        status=status,
        placed_by=held.placed_by,
        made_by=made_by,
        decided_by=by,
        approval=approval,
        reason=reason,
        at=now,
    ).save(using=db, force_insert=True)
    told = {"hold": held.reference, "status": status, "approval": f"apr_{approval}", "made_by": made_by}
    log.append(db, "evidence.hold_stepped", {**told, "reason": reason}, actor=by, at=now)


def _hold(row: tables.Hold) -> Hold:
    steps = sorted(row.steps.all(), key=lambda each: each.pk)
    return Hold(
        row.pk,
        row.matter,
        row.reason,
        Scope(tuple(row.terms), tuple(row.kinds), row.since, row.until),
        row.placed_by,
        row.at,
        tuple(Step(each.status, each.made_by, each.decided_by, each.reason, each.at) for each in steps),
    )

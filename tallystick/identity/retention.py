"""Retention and legal holds as people act on them: who may erase, and which two place and lift a hold.

Promises: a hold holds as soon as one person places it; a second one confirms it or turns it down, and two
lift it; nobody decides on what they proposed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from tallystick.core import texts
from tallystick.core.db import Db
from tallystick.evidence import canonical, holds
from tallystick.evidence import retention as kept
from tallystick.evidence.holds import Hold, Scope
from tallystick.evidence.retention import Ended, Standing
from tallystick.identity import access, approvals, errors
from tallystick.identity.access import Actor

CONFIRM = "evidence.confirm_hold"
LIFT = "evidence.lift_hold"

TERMS_MAX = 100


def standings(db: Db, jurisdictions: Sequence[str], *, actor: Actor, now: datetime) -> Sequence[Standing]:
    """Every class, how long it is kept and how it stands."""
    access.require(db, actor, "evidence.read_retention")
    return kept.standings(db, jurisdictions, now=now)


def all_holds(db: Db, *, actor: Actor) -> Sequence[Hold]:
    """Every hold there ever was, the newest first."""
    access.require(db, actor, "evidence.read_retention")
    return holds.holds(db)


def erase_due(
    db: Db,
    jurisdictions: Sequence[str],
    *,
    ended: Ended,
    actor: Actor,
    now: datetime,
    limit: int = kept.ERASE_MAX,
) -> dict[str, int]:
    """Erase what is due, at most so much of each class, a certificate each. How many payloads went, by class."""
    access.require(db, actor, "evidence.erase")
    erased = {}
    for schedule in kept.schedules(jurisdictions):
        went = kept.erase(db, schedule, jurisdictions, ended=ended, by=actor.id, now=now, limit=limit)
        if went:
            erased[schedule.name] = went
    return erased


def place(db: Db, scope: Scope, *, matter: str, reason: str, actor: Actor, now: datetime) -> Hold:
    """Place a hold. It holds at once; a second person is asked to confirm it."""
    access.require(db, actor, "evidence.place_hold")
    for field, text, most in (("matter", matter, 200), ("reason", reason, 500)):
        if not texts.says(text, most):
            raise errors.ProposalMalformed(field=field, expected=f"1 to {most} characters")
    if len(scope.terms) > TERMS_MAX or not all(texts.says(term, 80) for term in scope.terms):
        raise errors.ProposalMalformed(field="terms", expected=f"at most {TERMS_MAX}, of 1 to 80 characters")
    with transaction.atomic(using=db):
        placed = holds.place(db, scope, matter=matter, reason=reason, by=actor.id, now=now)
        approvals.propose(db, CONFIRM, placed.reference, _state(placed), actor=actor, now=now)
    return placed


def propose_lift(db: Db, number: int, *, reason: str, actor: Actor, now: datetime) -> None:
    """Propose that a hold ends. It holds on until another person approves."""
    access.require(db, actor, "evidence.place_hold")
    held = _in_force(db, number)
    approvals.propose(db, LIFT, held.reference, _state(held), note=reason, actor=actor, now=now)


def decide(db: Db, approval_id: int, *, approve: bool, reason: str = "", actor: Actor, now: datetime) -> Hold:
    """Confirm a hold or turn it down; lift one or let it stand. By somebody other than who proposed it."""
    access.require(db, actor, "evidence.decide_hold")
    with transaction.atomic(using=db):
        proposed = approvals.approval(db, approval_id)
        if proposed.kind not in (CONFIRM, LIFT):
            raise errors.ProposalOfOtherKind(approval=proposed.reference)
        held = _in_force(db, int(proposed.subject.removeprefix("hld_")))
        if approve:
            approvals.approve(db, approval_id, _state(held), actor=actor, now=now)
        else:
            approvals.reject(db, approval_id, reason=reason, actor=actor, now=now)
        status = {(CONFIRM, True): "confirmed", (CONFIRM, False): "rejected", (LIFT, True): "lifted"}
        if (outcome := status.get((proposed.kind, approve))) is not None:
            holds.step(
                db,
                held,
                outcome,
                approval=proposed.id,
                made_by=proposed.made_by,
                by=actor.id,
                reason=reason or proposed.note,
                now=now,
            )
    after = holds.hold(db, held.id)
    assert after is not None, "a hold stays a row"
    return after


def _in_force(db: Db, number: int) -> Hold:
    held = holds.hold(db, number)
    if held is None or not held.is_in_force:
        raise errors.HoldUnknown(hold=f"hld_{number}")
    return held


def _state(held: Hold) -> dict[str, canonical.Value]:
    """What a second person decides on: what is held, for which matter, and how it stands."""
    scope = held.scope
    return {
        "hold": held.reference,
        "matter": held.matter,
        "reason": held.reason,
        "terms": list(scope.terms),
        "kinds": list(scope.kinds),
        "since": None if scope.since is None else scope.since.isoformat(),
        "until": None if scope.until is None else scope.until.isoformat(),
    }

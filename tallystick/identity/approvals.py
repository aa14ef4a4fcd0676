"""Approvals: what one person proposes, another decides. The one maker-checker of the house.

Promises: nobody decides on their own proposal, and the database refuses it too; an approval is of the
exact state that was proposed, and a changed state makes it void; there is one open proposal for each
kind and subject; a proposal is decided once; proposals and decisions are rows that stay.

To put an action under four eyes:

1. Add its kind to `KINDS`, with the permission to propose it and the permission to decide on it, and both
   permissions to `access.PERMISSIONS`.
2. `propose` with the *state*: everything that would matter to the checker (amount, payee, version of what
   is changed …) as a canonical payload, without what is secret: it is shown to whoever decides; and with
   the book it is about, so that the book's pages find it.
3. `approve` with the state read afresh in the same transaction, under the lock that keeps it still; then
   act, and store the approval's id beside what was done under a unique constraint: so that it is used
   once. Or act later, on `approved(…)` with the state of that moment.
4. Where the subject itself changes or goes away, `void` in the transaction of that change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple, NewType

from django.db import IntegrityError, connections, transaction

from tallystick.core.db import Db
from tallystick.core.errors import Refusal
from tallystick.evidence import canonical, log
from tallystick.identity import access, errors
from tallystick.identity import models as tables
from tallystick.identity.access import Actor
from tallystick.identity.roles import conflict

ApprovalId = NewType("ApprovalId", int)

STATE_CHARACTERS_MAX = 20_000
SUBJECT_CHARACTERS_MAX = 200
NOTE_CHARACTERS_MAX = 500

_DIGEST_PREFIX = b"tallystick.approval/v1\0"


class Kind(NamedTuple):
    """The permissions that a kind of proposal takes."""

    make: str
    check: str


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "custody.release_payout": Kind("custody.make_payout", "custody.release_payout"),
        "custody.change_payout_terms": Kind("custody.propose_payout_terms", "custody.approve_payout_terms"),
        "custody.publish_payout_notice": Kind("custody.propose_payout_terms", "custody.approve_payout_terms"),
        "custody.set_pay_in_details": Kind("custody.propose_pay_in", "custody.approve_pay_in"),
        "custody.change_holders": Kind("custody.propose_holders", "custody.approve_holders"),
        "custody.change_condition": Kind("custody.propose_holders", "custody.approve_holders"),
        "custody.match_by_hand": Kind("custody.propose_match", "custody.approve_match"),
        "custody.undo_match": Kind("custody.propose_match", "custody.approve_match"),
        "custody.return_receipt": Kind("custody.propose_return", "custody.approve_return"),
        "custody.close_day": Kind("custody.prepare_close", "custody.sign_close"),
        "custody.reopen_day": Kind("custody.prepare_close", "custody.sign_close"),
        "evidence.confirm_hold": Kind("evidence.place_hold", "evidence.decide_hold"),
        "evidence.lift_hold": Kind("evidence.place_hold", "evidence.decide_hold"),
        "custody.sign_off_proof": Kind("custody.sign_proof", "custody.countersign_proof"),
    }
)
"""What is done by two people: kind → who may propose it, who may decide. Each part adds its own."""


class Outcome(StrEnum):
    """How a proposal ended."""

    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class Approval:
    """A proposal and, once it has ended, how. An outcome of nothing: it is open."""

    id: ApprovalId
    kind: str
    subject: str
    book: int | None
    state_text: str
    digest: bytes
    note: str
    made_by: str
    at: datetime
    outcome: Outcome | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None
    reason: str = ""

    @property
    def reference(self) -> str:
        """The proposal's id as shown outside."""
        return reference(self.id)

    @property
    def state(self) -> dict[str, canonical.Value]:
        """What is proposed, for showing to whoever decides."""
        return json.loads(self.state_text)  # type: ignore[no-any-return]

    @property
    def is_open(self) -> bool:
        return self.outcome is None


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────


def reference(approval_id: int) -> str:
    """`apr_` and the number."""
    return f"apr_{approval_id}"


def digest_of(kind: str, subject: str, book: int | None, state: canonical.Payload) -> bytes:
    """What an approval binds: SHA-256 over the kind, the subject, the book and the state's canonical JSON."""
    return _digest(kind, subject, book, canonical.text(state))


def refusal_to_decide(approval: Approval, actor: Actor) -> Refusal | None:
    """Why this actor may not approve or reject this proposal, if they may not.

    Somebody who somehow holds two roles of which one checks the other decides nothing.
    """
    if not access.allowed(actor, KINDS[approval.kind].check):
        return errors.AccessDenied(permission=KINDS[approval.kind].check)
    if not actor.is_person:
        return errors.DeciderNotAPerson()
    for role in sorted(actor.roles):
        if (other := conflict(role, actor.roles)) is not None:
            return errors.RolesConflict(role=role, held=other)
    if actor.id == approval.made_by:
        return errors.OwnProposal(approval=approval.reference)
    if approval.outcome is not None:
        return errors.ApprovalDecided(approval=approval.reference, outcome=approval.outcome)
    return None


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def approval(db: Db, approval_id: int) -> Approval:
    """The proposal of this number, open or ended. Raises `errors.ApprovalUnknown`."""
    for found in _approvals(db, "where a.id = %s", [approval_id]):
        return found
    raise errors.ApprovalUnknown(approval=reference(approval_id))


def of_kind(db: Db, approval_id: int, kind: str) -> Approval:
    """The proposal of this number, for an action on this kind of thing.

    Raises `errors.ApprovalUnknown` or `ProposalOfOtherKind`.
    """
    found = approval(db, approval_id)
    if found.kind != kind:
        raise errors.ProposalOfOtherKind(approval=found.reference)
    return found


def about(
    db: Db, approval_id: int, kinds: Collection[str], *, book: int, **state: canonical.Value
) -> Approval:
    """The proposal of this number, decided where only those of these kinds are, about this book and this state.

    So that what is decided is what the address names. Raises `errors.ApprovalUnknown` or `ProposalOfOtherKind`.
    """
    found = approval(db, approval_id)
    if found.kind not in kinds:
        raise errors.ProposalOfOtherKind(approval=found.reference)
    if found.book != book or any(found.state.get(name) != value for name, value in state.items()):
        raise errors.ApprovalUnknown(approval=found.reference)
    return found


def pending(
    db: Db,
    *,
    kind: str | None = None,
    subject: str | None = None,
    book: int | None = None,
    after: int = 0,
    limit: int = 200,
) -> list[Approval]:
    """Open proposals, the oldest first, of every book or of one; `after` continues a page."""
    return _approvals(
        db,
        "where d.approval_id is null and a.id > %s and (%s::text is null or a.kind = %s)"
        " and (%s::text is null or a.subject = %s) and (%s::int is null or a.book = %s) order by a.id limit %s",
        [after, kind, kind, subject, subject, book, book, limit],
    )


def approved(db: Db, kind: str, subject: str, state: canonical.Payload) -> Approval | None:
    """The approval that stands for exactly this state: the newest proposal's, and no earlier one's."""
    for found in _newest(db, kind, subject):
        if found.outcome == Outcome.APPROVED and found.digest == digest_of(kind, subject, found.book, state):
            return found
    return None


def past(db: Db, kind: str, subject: str) -> Sequence[Approval]:
    """Every proposal there was of this kind for this subject, the first one first."""
    return _approvals(db, "where a.kind = %s and a.subject = %s order by a.number", [kind, subject])


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────


def propose(
    db: Db,
    kind: str,
    subject: str,
    state: canonical.Payload,
    *,
    book: int | None = None,
    owner: str | None = None,
    note: str = "",
    actor: Actor,
    now: datetime,
) -> ApprovalId:
    """Propose that another person approves this kind of thing for this subject, in this state.

    `book` is the one it is about, where it is about one; `owner` the client whose thing it is, where a client
    may propose it. Raises `errors.ProposalMalformed`, or `errors.ProposalOpen` where one waits already.
    """
    access.require(db, actor, KINDS[kind].make, owner=owner)
    text = canonical.text(state)
    for field, expected, fits in (
        ("subject", f"1 to {SUBJECT_CHARACTERS_MAX} characters", _says(subject, SUBJECT_CHARACTERS_MAX)),
        ("state", f"at most {STATE_CHARACTERS_MAX} characters", len(text) <= STATE_CHARACTERS_MAX),
        (
            "note",
            f"at most {NOTE_CHARACTERS_MAX} characters",
            note == "" or _says(note, NOTE_CHARACTERS_MAX),
        ),
    ):
        if not fits:
            raise errors.ProposalMalformed(field=field, expected=expected)
    with transaction.atomic(using=db):
        before = next(iter(_newest(db, kind, subject)), None)
        if before is not None and before.is_open:
            raise errors.ProposalOpen(approval=before.reference)
        row = tables.Approval(
            kind=kind,
            subject=subject,
            number=tables.Approval.objects.using(db).filter(kind=kind, subject=subject).count() + 1,
            state=text,
            book=book,
            digest=_digest(kind, subject, book, text),
            note=note,
            made_by=actor.id,
            at=now,
        )
        try:
            # Whoever proposed the same at the same moment has this number: the second one is refused.
            with transaction.atomic(using=db):
                row.save(using=db, force_insert=True)
        except IntegrityError as taken:
            waiting = next(iter(_newest(db, kind, subject)), None)
            raise errors.ProposalOpen(approval="" if waiting is None else waiting.reference) from taken
        log.append(db, "identity.approval_proposed", _told(approval(db, row.pk)), actor=actor.id, at=now)
    return ApprovalId(row.pk)


def approve(db: Db, approval_id: int, state: canonical.Payload, *, actor: Actor, now: datetime) -> Approval:
    """Approve a proposal whose state is still this one; the approval as it stands now comes back.

    Where the state has changed the proposal ends as void and `errors.ApprovalVoid` is raised (a caller who
    then rolls back leaves it open, and just as unusable). Raises what `refusal_to_decide` names.
    """
    with transaction.atomic(using=db):
        proposed = _to_decide(db, approval_id, actor)
        seen = digest_of(proposed.kind, proposed.subject, proposed.book, state)
        stands = seen == proposed.digest
        outcome = Outcome.APPROVED if stands else Outcome.VOID
        _decide(db, proposed, outcome, seen=seen, reason="", actor=actor, now=now)
    if not stands:
        raise errors.ApprovalVoid(approval=proposed.reference)
    return approval(db, approval_id)


def reject(db: Db, approval_id: int, *, reason: str, actor: Actor, now: datetime) -> Approval:
    """Turn a proposal down, with a reason. Raises what `refusal_to_decide` names."""
    with transaction.atomic(using=db):
        proposed = _to_decide(db, approval_id, actor)
        if not _says(reason, NOTE_CHARACTERS_MAX):
            raise errors.ProposalMalformed(field="reason", expected=f"1 to {NOTE_CHARACTERS_MAX} characters")
        _decide(db, proposed, Outcome.REJECTED, seen=None, reason=reason, actor=actor, now=now)
    return approval(db, approval_id)


def withdraw(db: Db, approval_id: int, *, actor: Actor, now: datetime) -> Approval:
    """Take one's own proposal back. Raises `errors.ApprovalUnknown`, `ProposalOfAnother` or `ApprovalDecided`."""
    with transaction.atomic(using=db):
        proposed = approval(db, approval_id)
        if actor.id != proposed.made_by:
            raise errors.ProposalOfAnother(approval=proposed.reference)
        _decide(db, proposed, Outcome.WITHDRAWN, seen=None, reason="", actor=actor, now=now)
    return approval(db, approval_id)


def void(
    db: Db, kind: str, subject: str, state: canonical.Payload, *, reason: str, actor: Actor, now: datetime
) -> bool:
    """End the open proposal for this subject where its state is no longer this one; whether one was ended.

    For the action that changes the subject, in its own transaction and under its own permission: this takes
    authority away and never gives any.
    """
    assert connections[db].in_atomic_block, "a proposal ends in the transaction of what changed its subject"
    for found in pending(db, kind=kind, subject=subject):
        if found.digest != (seen := digest_of(kind, subject, found.book, state)):
            _decide(db, found, Outcome.VOID, seen=seen, reason=reason, actor=actor, now=now)
            return True
    return False


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────

_SELECT = """
select a.id, a.kind, a.subject, a.book, a.state, a.digest, a.note, a.made_by, a.at, d.outcome, d.decided_by, d.at,
    coalesce(d.reason, '')
from identity_approval a left join identity_approval_decision d on d.approval_id = a.id
"""


def _approvals(db: Db, rest: str, parameters: Sequence[str | int | None]) -> list[Approval]:
    with connections[db].cursor() as cursor:
        cursor.execute(f"{_SELECT} {rest}", parameters)
        found = [list(row) for row in cursor.fetchall()]
    for row in found:
        row[5], row[9] = bytes(row[5]), None if row[9] is None else Outcome(row[9])
    return [Approval(*row) for row in found]


def _newest(db: Db, kind: str, subject: str) -> list[Approval]:
    return _approvals(
        db, "where a.kind = %s and a.subject = %s order by a.number desc limit 1", [kind, subject]
    )


def _to_decide(db: Db, approval_id: int, actor: Actor) -> Approval:
    proposed = approval(db, approval_id)
    # Asked of the table too, so that a refusal is counted like every other.
    access.require(db, actor, KINDS[proposed.kind].check)
    if (refusal := refusal_to_decide(proposed, actor)) is not None:
        raise refusal
    return proposed


def _decide(
    db: Db,
    proposed: Approval,
    outcome: Outcome,
    *,
    seen: bytes | None,
    reason: str,
    actor: Actor,
    now: datetime,
) -> None:
    try:
        # Two who decide at once: the second finds the first one's row.
        with transaction.atomic(using=db):
            tables.ApprovalDecision(
                approval_id=proposed.id,
                outcome=outcome,
                made_by=proposed.made_by,
                digest=proposed.digest,
                seen_digest=seen,
                reason=reason,
                decided_by=actor.id,
                at=now,
            ).save(using=db, force_insert=True)
    except IntegrityError as second:
        decided = approval(db, proposed.id)
        if decided.outcome is None:
            raise
        raise errors.ApprovalDecided(approval=decided.reference, outcome=decided.outcome) from second
    told = _told(approval(db, proposed.id))
    match outcome:
        case Outcome.APPROVED:
            log.append(db, "identity.approval_given", told, actor=actor.id, at=now)
        case Outcome.REJECTED:
            log.append(db, "identity.approval_rejected", told, actor=actor.id, at=now)
        case Outcome.WITHDRAWN:
            log.append(db, "identity.approval_withdrawn", told, actor=actor.id, at=now)
        case Outcome.VOID:
            log.append(db, "identity.approval_voided", told, actor=actor.id, at=now)


def _told(told: Approval) -> canonical.Payload:
    return {
        "approval": told.reference,
        "kind": told.kind,
        "subject": told.subject,
        "book": told.book,
        "digest": told.digest.hex(),
        "made_by": told.made_by,
        "reason": told.reason,
    }


def _digest(kind: str, subject: str, book: int | None, state_text: str) -> bytes:
    about = "" if book is None else str(book)
    told = b"\0".join(part.encode() for part in (kind, subject, about, state_text))
    return hashlib.sha256(_DIGEST_PREFIX + told).digest()


def _says(text: str, length_max: int) -> bool:
    return text.strip() != "" and len(text) <= length_max and text.isprintable()

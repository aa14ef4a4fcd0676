"""The trail: who read a customer's data and what staff did, when, by which right and why.

Promises: every visit that changed something has exactly one entry, in the transaction of the change; every
visit that read the data of somebody other than the visitor has exactly one, before the answer is given; what
is asked for and comes to nothing leaves one too. There is no switch: access itself tells the visit, the log
itself writes the entry, and no door finds an actor outside of a visit. A posting pays nothing for it: its
batch's event names who asked. Privileged acts wait for a second person to acknowledge them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import transaction

from tallystick.core import texts
from tallystick.core.db import Db
from tallystick.core.errors import Refusal
from tallystick.evidence import canonical, log
from tallystick.evidence import trail as kept
from tallystick.evidence.trail import Entry, Filter
from tallystick.evidence.visits import Visit, is_visitor
from tallystick.identity import access, errors
from tallystick.identity.access import Actor

READ = "identity.personal_data_read"
NOTHING_DONE = "identity.act_without_effect"
POSTED = "identity.privileged_posting"

NOTE_CHARACTERS_MAX = 500

_PRIVILEGED_KINDS = frozenset(
    {
        "identity.role_granted",
        "identity.role_withdrawn",
        "identity.api_token_issued",
        "identity.sign_in_link_issued",
        "custody.resolution_pack_built",
        "custody.balances_opened",
        "evidence.payloads_erased",
        "evidence.hold_stepped",
        "evidence.key_rotated",
    }
)
_FROZEN = frozenset({"debits_frozen", "credits_frozen", "frozen"})


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────


def is_privileged(kind: str, payload: Mapping[str, canonical.Value], permissions: frozenset[str]) -> bool:
    """Whether an act is told to a second person: what gives power, gives data away, hides, undoes or freezes."""
    if kind in _PRIVILEGED_KINDS or permissions & access.PRIVILEGED:
        return True
    return kind == "custody.account_state_changed" and payload.get("status") in _FROZEN


def refusal_to_acknowledge(found: Entry, actor: Actor) -> Refusal | None:
    """Why this actor may not acknowledge this act, if they may not."""
    if not access.allowed(actor, "evidence.acknowledge") or not actor.is_person:
        return errors.AccessDenied(permission="evidence.acknowledge")
    if not found.is_privileged:
        return errors.NothingToAcknowledge(entry=found.reference)
    if found.actor == actor.id:
        return errors.OwnAct(entry=found.reference)
    if found.acknowledged_by is not None:
        return errors.AlreadyAcknowledged(entry=found.reference, by=found.acknowledged_by)
    return None


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def entries(
    db: Db, wanted: Filter, *, before: int | None = None, limit: int = 50, actor: Actor
) -> Sequence[Entry]:
    """The newest entries first; `before` continues a page."""
    access.require(db, actor, "evidence.read_trail")
    return kept.entries(db, wanted, before=before, limit=limit)


def entry(db: Db, event: int, *, actor: Actor) -> Entry:
    """The entry of this event. Raises `errors.EntryUnknown`."""
    access.require(db, actor, "evidence.read_trail")
    found = kept.entry(db, event)
    if found is None:
        raise errors.EntryUnknown(entry=f"evt_{event}")
    return found


def notices(db: Db, *, before: int | None = None, limit: int = 50, actor: Actor) -> Sequence[Entry]:
    """Privileged acts that wait for a second person, the newest first."""
    access.require(db, actor, "evidence.acknowledge")
    return kept.entries(db, Filter(is_waiting=True), before=before, limit=limit)


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────


def acknowledge(db: Db, event: int, *, note: str = "", actor: Actor, now: datetime) -> None:
    """Say that one has seen what somebody else did. Raises what `refusal_to_acknowledge` names."""
    access.require(db, actor, "evidence.acknowledge")
    with transaction.atomic(using=db):
        found = kept.entry(db, event)
        if found is None:
            raise errors.EntryUnknown(entry=f"evt_{event}")
        if (refusal := refusal_to_acknowledge(found, actor)) is not None:
            raise refusal
        if note and not texts.says(note, NOTE_CHARACTERS_MAX):
            raise errors.ProposalMalformed(field="note", expected=f"1 to {NOTE_CHARACTERS_MAX} characters")
        if not kept.acknowledge(db, found, note=note, by=actor.id, now=now):
            raise errors.AlreadyAcknowledged(entry=found.reference, by="")


def leave(db: Db, visit: Visit, *, changes: bool, status: int, is_impersonal: bool, now: datetime) -> None:
    """The end of a visit: enter what was read, or was asked for in vain. For doors, before the answer goes out.

    changes: whether the door was asked to change something; status: what it answers, as in HTTP;
    is_impersonal: whether what was asked for shows nobody's data.
    """
    if not is_visitor(visit.actor) or not visit.permissions:
        return
    used = frozenset(visit.permissions)
    others = frozenset(name for name, is_own in visit.permissions.items() if not is_own)
    has_read = bool(others & access.PERSONAL) and not is_impersonal
    has_acted = changes and bool(others - access.PERSONAL)
    if visit.is_carried:
        kind = POSTED if used & access.PRIVILEGED else None
    elif has_acted:
        kind = NOTHING_DONE
    else:
        kind = READ if has_read else None
    # An event may have been written in a transaction that fell: the table knows.
    if kind is None or (visit.has_written and kept.of_visit(db, visit.id) is not None):
        return
    payload: dict[str, canonical.Value] = {
        "operation": visit.operation,
        "permissions": sorted(used),
        "parties": visit.named(db),
        "references": sorted(set(visit.references))[:20],
        "status": status,
    }
    with transaction.atomic(using=db):
        if kind == POSTED:
            log.append(db, POSTED, payload, actor=visit.actor, at=now)
        else:
            log.append(db, READ if kind == READ else NOTHING_DONE, payload, actor=visit.actor, at=now)

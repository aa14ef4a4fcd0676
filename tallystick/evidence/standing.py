"""Standing: what a log says of itself now: its head, its keys, who has seen it and when, and whom to trust.

The policy that is put together here is the platform's own proposal, for whoever has none yet: who checks in
earnest takes one from the regulator, the bank or the contract.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import connections

from tallystick.core.db import Db
from tallystick.evidence import cosignatures, keys, notes, reading
from tallystick.evidence import policy as policies
from tallystick.evidence.witness import quorum

LOOKED_BACK = 20_000
"""Signatures among which a witness's last is looked for."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A witness, and the newest checkpoint of a log that it signed; size 0 where it signed none yet."""

    witness: str
    size: int
    signed_at: datetime | None
    """The time inside its signature; nothing where it signed none."""
    is_trusted: bool
    """Whether the operator's policy names it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a log stands, with what has to be known to check it."""

    name: str
    head: reading.Head
    note: str
    """Its newest checkpoint, signed and cosigned; empty before there is one."""
    keys: Sequence[str]
    """The public keys, one line each, that its checkpoints are signed by."""
    seen: Sequence[Seen]


def standing(db: Db, log_id: int) -> Standing | None:
    """Where a log stands; nothing where it was not opened."""
    head = reading.head(db, log_id)
    if head is None:
        return None
    return Standing(
        name=next(name for name, number in keys.LOGS.items() if number == log_id),
        head=head,
        note=reading.note(db, log_id, head.size).decode() if head.size else "",
        keys=[each.key.text for each in keys.kept(db, log_id) if each.until is None],
        seen=seen(db, log_id),
    )


def seen(db: Db, log_id: int) -> Sequence[Seen]:
    """Every witness that the operator's policy names, also one that never signed, and whoever else signed lately."""
    trusted = _policy()
    named = (
        {(each.key.name, bytes(each.key.id)): name for name, each in trusted.witnesses.items()}
        if trusted
        else {}
    )
    found = []
    for (name, key_id), called in named.items():
        size, signed_at = quorum.last_signed(db, log_id, name, key_id)
        found.append(Seen(called, size, signed_at, is_trusted=True))
    with connections[db].cursor() as cursor:
        # The newest only: a witness signs each minute, for years.
        cursor.execute(
            """
            select distinct on (witness, key_id) witness, key_id, size, signed_at from (
                select * from evidence_cosignature where log_id = %s order by id desc limit %s
            ) newest order by witness, key_id, id desc
            """,
            [log_id, LOOKED_BACK],
        )
        for name, key, size, signed_at in cursor.fetchall():
            if (name, bytes(key)) not in named:
                found.append(Seen(name, size, signed_at, is_trusted=False))
    return found


def proposed_policy(db: Db) -> str:
    """The policy that the platform proposes: its own logs, and the witnesses and quorum that the operator keeps to."""
    lines = ["# Proposed by the platform itself. The one that counts is the regulator's or your contract's."]
    for log_id in keys.LOGS.values():
        for each in keys.kept(db, log_id):
            if not each.is_compromised and each.key.algorithm in (notes.ED25519, cosignatures.ML_DSA_44):
                lines.append(f"log {each.key.text}")
    trusted = _policy()
    if trusted is None:
        return "\n".join([*lines, f"quorum {policies.NONE}", ""])
    lines += [f"witness {name} {each.key.text}" for name, each in trusted.witnesses.items()]
    lines += [f"group {name} {each.needed} {' '.join(each.members)}" for name, each in trusted.groups.items()]
    return "\n".join([*lines, f"quorum {trusted.quorum}", ""])


def _policy() -> policies.Policy | None:
    return quorum.read(settings.WITNESS_POLICY)

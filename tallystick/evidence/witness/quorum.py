"""Quorum: whether enough of those who are trusted have seen a checkpoint, by the policy that the operator keeps.

A checkpoint of every minute is published whether they have or not, and measured; what a day's statement rests on
is not, until they have.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import connections

from tallystick.core.db import Db
from tallystick.core.errors import Refusal
from tallystick.evidence import errors, keys, policy, reading
from tallystick.evidence.models import Checkpoint, WitnessStatus
from tallystick.evidence.policy import Policy, Verdict

LOOKED_BACK = 200
"""Checkpoints among which one with a quorum is looked for: of each minute, so several hours."""


@dataclass(frozen=True, slots=True)
class Stands:
    """How a log stands with one witness."""

    log_id: int
    witness: str
    """By the policy's name."""
    key: str
    status: str
    reason: str
    since: datetime | None
    size: int
    """The largest size it has signed."""
    signed_at: datetime | None


def read(path: Path) -> Policy | None:
    """The operator's policy; nothing where there is no file. Raises `errors.PolicyMalformed`."""
    try:
        with open(path, "rb") as file:
            return policy.parse(file.read(policy.POLICY_BYTES_MAX + 1))
    except FileNotFoundError:
        return None


def verdict(db: Db, log_id: int, size: int, trusted: Policy) -> Verdict:
    """What the policy says of a checkpoint with the signatures that are there. Our own logs are trusted here."""
    logs = [each.key for each in keys.kept(db, log_id) if not each.is_compromised]
    return policy.judge(reading.note(db, log_id, size), trusted, logs=logs)


def newest(db: Db, log_id: int, trusted: Policy, *, entries_min: int = 1) -> int | None:
    """The size of the newest checkpoint of at least so many entries that the policy accepts.

    Proofs for others are made against this one. Nothing where none is accepted yet.
    """
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select distinct size from evidence_cosignature where log_id = %s and size >= %s"
            " order by size desc limit %s",
            [log_id, entries_min, LOOKED_BACK],
        )
        sizes = [size for (size,) in cursor.fetchall()]
    if trusted.quorum == policy.NONE:
        head = reading.head(db, log_id)
        sizes = [head.size] if head and head.size >= entries_min else []
    return next((size for size in sizes if verdict(db, log_id, size, trusted).accepted), None)


def require(db: Db, log_id: int, trusted: Policy | None, *, entries_min: int) -> int:
    """The size of a checkpoint over at least so many entries that enough have seen; else a refusal.

    For what must not go out before: a day's statement. Raises `errors.PolicyMissing` and
    `errors.QuorumMissing`.
    """
    if trusted is None:
        raise errors.PolicyMissing()
    found = newest(db, log_id, trusted, entries_min=entries_min)
    if found is not None:
        return found
    last = (
        Checkpoint.objects.using(db)
        .filter(log_id=log_id, size__gte=entries_min)
        .order_by("-size")
        .values_list("size", flat=True)
        .first()
    )
    why: Refusal | None = verdict(db, log_id, last, trusted).refusal if last else None
    raise why or errors.QuorumMissing(quorum=trusted.quorum, seen="–")


def stands(db: Db, trusted: Policy) -> list[Stands]:
    """How both logs stand with each witness of the policy that is asked."""
    found = []
    for log_id in keys.LOGS.values():
        for name, party in trusted.witnesses.items():
            if not party.url:
                continue
            of = {"log_id": log_id, "witness": party.key.name, "key_id": party.key.id}
            last = WitnessStatus.objects.using(db).filter(**of).order_by("-id").first()
            size, signed_at = last_signed(db, log_id, party.key.name, party.key.id)
            found.append(
                Stands(
                    log_id=log_id,
                    witness=name,
                    key=party.key.text,
                    status=last.status if last else "expected",
                    reason=last.reason if last else "",
                    since=last.at if last else None,
                    size=size,
                    signed_at=signed_at,
                )
            )
    return found


def last_signed(db: Db, log_id: int, witness: str, key_id: bytes) -> tuple[int, datetime | None]:
    """The largest size that a witness has signed, and when it did last."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select size, signed_at from evidence_cosignature where log_id = %s and witness = %s"
            " and key_id = %s order by size desc, id desc limit 1",
            [log_id, witness, key_id],
        )
        return cursor.fetchone() or (0, None)


def unseen(db: Db, log_id: int, trusted: Policy) -> int:
    """How many entries are sealed under no checkpoint yet that the policy accepts."""
    head = reading.head(db, log_id)
    if head is None:
        return 0
    return head.size - (newest(db, log_id, trusted) or 0)


def inclusion(db: Db, log_id: int, index: int) -> reading.Inclusion:
    """The proof that an entry is in the log, under the newest checkpoint that enough have seen.

    Where none over the entry is accepted yet, or no policy asks for one, under the newest there is: whoever
    checks it finds out who has signed. Raises `errors.EntryUnknown`.
    """
    trusted = read(settings.WITNESS_POLICY)
    size = newest(db, log_id, trusted, entries_min=index + 1) if trusted else None
    return reading.inclusion(db, log_id, index, size)


def required_inclusion(db: Db, log_id: int, index: int) -> reading.Inclusion:
    """The same for what must not be shown before: where the policy accepts none yet, it is refused.

    Raises `errors.QuorumMissing` and `errors.EntryUnknown`.
    """
    trusted = read(settings.WITNESS_POLICY)
    size = require(db, log_id, trusted, entries_min=index + 1) if trusted else None
    return reading.inclusion(db, log_id, index, size)

"""Anchoring as it is acted on: who may have a log's head stamped by an outside authority."""

from __future__ import annotations

from datetime import datetime

from tallystick.core.db import Db
from tallystick.evidence import timestamps
from tallystick.evidence.timestamps import Authority, Timestamp
from tallystick.identity import access
from tallystick.identity.access import Actor


def anchor(db: Db, log_id: int, *, authority: Authority, actor: Actor, now: datetime) -> Timestamp:
    """Have a log's newest checkpoint stamped; the time stamp that there is comes back where it has been.

    Raises `evidence.errors.CheckpointUnknown`, `AuthoritySilent` or `TimestampWrong`.
    """
    access.require(db, actor, "evidence.anchor")
    subject, message = timestamps.checkpoint(db, log_id)
    for found in timestamps.timestamps(db, subject=subject):
        if found.authority == authority.url[:200]:
            return found
    return timestamps.stamp(db, subject, message, authority=authority, by=actor.id, now=now)

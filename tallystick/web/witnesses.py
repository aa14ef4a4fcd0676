"""Witnesses, for the operator's machines: is anybody silent, and how much of the logs has a quorum not seen yet."""

from __future__ import annotations

import logging

from django.conf import settings
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from tallystick.core.db import Db
from tallystick.core.errors import Refusal
from tallystick.evidence import keys
from tallystick.evidence.policy import Policy
from tallystick.evidence.witness import quorum

WORST_FIRST = ("disagreeing", "silent", "expected", "answering")

_LOG = logging.getLogger(__name__)


def worst(db: Db) -> str:
    """How the witness stands that stands worst; empty where nobody is asked."""
    trusted = _trusted()
    stands = {each.status for each in quorum.stands(db, trusted)} if trusted else set()
    return next((each for each in WORST_FIRST if each in stands), "")


def measured(db: Db) -> bytes:
    """What to watch, in Prometheus' text format. Measured when it is asked for: another process does the asking."""
    trusted = _trusted()
    if trusted is None:
        return b""
    registry = CollectorRegistry()
    answering = Gauge(
        "tallystick_evidence_witness_answering",
        "1 while the witness signs, 0 while it is silent or disagrees",
        ["log", "witness"],
        registry=registry,
    )
    disagreeing = Gauge(
        "tallystick_evidence_witness_disagreeing",
        "1 while the witness says that it saw another history",
        ["log", "witness"],
        registry=registry,
    )
    signed = Gauge(
        "tallystick_evidence_witness_signed_timestamp_seconds",
        "When the witness signed last",
        ["log", "witness"],
        registry=registry,
    )
    unseen = Gauge(
        "tallystick_evidence_entries_without_quorum",
        "Entries under a checkpoint that too few witnesses have signed yet",
        ["log"],
        registry=registry,
    )
    for each in quorum.stands(db, trusted):
        labels = keys.names([each.log_id])[0], each.witness
        answering.labels(*labels).set(each.status in ("answering", "expected"))
        disagreeing.labels(*labels).set(each.status == "disagreeing")
        signed.labels(*labels).set(each.signed_at.timestamp() if each.signed_at else 0)
    for name, log_id in keys.LOGS.items():
        unseen.labels(name).set(quorum.unseen(db, log_id, trusted))
    return generate_latest(registry)


def _trusted() -> Policy | None:
    try:
        return quorum.read(settings.WITNESS_POLICY)
    except Refusal:
        _LOG.exception("the policy of the witnesses cannot be used")
        return None

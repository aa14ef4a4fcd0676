"""Evidence's vocabulary: events waiting to be sealed, and the payloads they commit to.

Both tables are append-only: the app and the ledger's writer may insert and read, the auditor may read,
and nobody may update or delete (migration 0001 says so to PostgreSQL).
"""

from django.db import models
from django.db.models.functions import Now

from tallystick.evidence.log_models import (
    Checkpoint,
    Cosignature,
    Key,
    KeyChange,
    Log,
    LogEntry,
    Tile,
)
from tallystick.evidence.retention_models import Erasure, Hold, HoldStep
from tallystick.evidence.stamp_models import Timestamp
from tallystick.evidence.trail_models import Acknowledgement, TrailEntry
from tallystick.evidence.witness_models import WitnessStatus

__all__ = [
    "Acknowledgement",
    "Checkpoint",
    "Cosignature",
    "Erasure",
    "Hold",
    "HoldStep",
    "Key",
    "KeyChange",
    "Log",
    "LogEntry",
    "Outbox",
    "Payload",
    "Tile",
    "Timestamp",
    "TrailEntry",
    "WitnessStatus",
]


class Outbox(models.Model):
    """One thing that happened. Holds no personal data: what is personal is in the payload."""

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(
        max_length=80, db_comment="domain.thing_happened; listed in docs/reference/events.md"
    )
    at = models.DateTimeField(db_comment="when it happened, as the action was told")
    recorded_at = models.DateTimeField(db_default=Now(), editable=False, db_comment="when it was written")
    actor = models.CharField(max_length=80, db_comment="who did it: usr_… or system:…, never a name")
    commitment = models.BinaryField(
        db_comment="SHA-256('evid/payload/v1' 0x00 || salt || payload): stands when the payload is erased"
    )
    root = models.BinaryField(
        null=True, db_comment="the Merkle root over `leaves` (RFC 6962), where the event is of many things"
    )
    leaves = models.BinaryField(
        null=True, db_comment="the leaf hashes of those things, 32 bytes each, in their order"
    )

    class Meta:
        db_table = "evidence_outbox"
        db_table_comment = "Every action's event, written in the action's own transaction. Append-only."
        constraints = (
            models.CheckConstraint(
                condition=models.Q(kind__regex=r"^[a-z]+\.[a-z][a-z_]*$"), name="evidence_outbox_kind_form"
            ),
            models.CheckConstraint(condition=~models.Q(actor=""), name="evidence_outbox_actor_named"),
            models.CheckConstraint(
                condition=models.Q(root__isnull=True, leaves__isnull=True)
                | models.Q(root__isnull=False, leaves__isnull=False),
                name="evidence_outbox_root_over_leaves",
            ),
        )
        indexes = (
            models.Index(fields=["kind", "id"], name="evidence_outbox_kind"),
            models.Index(fields=["at"], name="evidence_outbox_at"),
        )


class Payload(models.Model):
    """What an event is about, beside the salt that hides it. This row can be erased; the event stays."""

    event = models.OneToOneField(Outbox, primary_key=True, on_delete=models.PROTECT, related_name="payload")
    salt = models.BinaryField(db_comment="32 secret bytes: without them the commitment tells nothing")
    payload = models.TextField(
        db_comment="canonical JSON (RFC 8785), as text so that its bytes stay as hashed"
    )

    class Meta:
        db_table = "evidence_payload"
        db_table_comment = (
            "The payload of an event and its salt, in a row of its own so that it can be erased."
        )

"""How a log stands with its witnesses: one row a change, so that a silence is told once, and its end too."""

from django.db import models
from django.db.models.functions import Now

STATUSES = ("expected", "answering", "silent", "disagreeing")


class WitnessStatus(models.Model):
    """A witness began to be asked, signed, fell silent, or says that it saw another history."""

    id = models.BigAutoField(primary_key=True)
    log_id = models.PositiveSmallIntegerField()
    witness = models.CharField(max_length=255, db_comment="the name of the witness's key")
    key_id = models.BinaryField(db_comment="four bytes that tell keys of one name apart")
    status = models.CharField(max_length=20)
    reason = models.CharField(max_length=200, db_comment="what went wrong; empty where nothing did")
    at = models.DateTimeField(db_comment="when, as the step was told")
    recorded_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "evidence_witness_status"
        db_table_comment = "How each witness stood, from when on: the last row is how it stands. Append-only."
        constraints = (
            models.CheckConstraint(
                condition=models.Q(status__in=STATUSES), name="evidence_witness_status_known"
            ),
        )
        indexes = (
            models.Index(fields=["log_id", "witness", "key_id", "id"], name="evidence_witness_status_last"),
        )

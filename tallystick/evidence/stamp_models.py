"""Timestamps in tables: tokens of RFC 3161 authorities over what was to be anchored. Append-only."""

from django.db import models
from django.db.models.functions import Now


class Timestamp(models.Model):
    """One authority's word that a digest existed at a time."""

    id = models.BigAutoField(primary_key=True, db_comment="shown outside as tst_ and this number")
    subject = models.CharField(
        max_length=200, db_comment="what was stamped, such as checkpoint:<origin>:<size>"
    )
    message = models.BinaryField(db_comment="the very bytes that were stamped, so that it verifies by itself")
    authority = models.CharField(max_length=200, db_comment="the authority's address, as configured")
    nonce = models.CharField(max_length=40, db_comment="the number that was asked with, in decimal")
    token = models.BinaryField(db_comment="the time-stamp response as it came, DER")
    gen_time = models.DateTimeField(db_comment="the time the authority names")
    at = models.DateTimeField(db_comment="when it was asked, as the action was told")
    recorded_at = models.DateTimeField(db_default=Now(), editable=False, db_comment="when it was written")

    class Meta:
        db_table = "evidence_timestamp"
        db_table_comment = "RFC 3161 time-stamp tokens over checkpoints. Append-only."
        indexes = (models.Index(fields=["subject", "-id"], name="evidence_timestamp_subject"),)

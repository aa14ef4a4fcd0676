"""Retention in tables: what may not be erased for now, and what has been, under which certificate.

All are append-only. `evidence_payload` itself loses rows by the function `evidence_erase` alone (migration
0005), which asks these tables first.
"""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now


class Hold(models.Model):
    """A legal hold: what it covers stays, however old. It holds from the moment it is written."""

    id = models.BigAutoField(primary_key=True, db_comment="shown outside as hld_ and this number")
    matter = models.CharField(
        max_length=200, db_comment="the case it is for: a court's or an authority's number"
    )
    reason = models.CharField(max_length=500)
    terms = ArrayField(
        models.CharField(max_length=80),
        db_comment="customers and ids; an event whose payload names one of them is held; empty: whoever it names",
    )
    kinds = ArrayField(
        models.CharField(max_length=80), db_comment="kinds of events it covers; empty: of every kind"
    )
    since = models.DateTimeField(null=True, db_comment="events from then on; null: from the first one")
    until = models.DateTimeField(null=True, db_comment="events before then; null: those to come too")
    placed_by = models.CharField(max_length=80, db_comment="who placed it: usr_…")
    at = models.DateTimeField(db_comment="when it was placed, as the action was told")
    recorded_at = models.DateTimeField(db_default=Now(), editable=False, db_comment="when it was written")

    class Meta:
        db_table = "evidence_hold"
        db_table_comment = "Legal holds: what they cover is not erased. Append-only."
        constraints = (
            models.CheckConstraint(
                condition=~models.Q(matter="") & ~models.Q(reason="") & ~models.Q(placed_by=""),
                name="evidence_hold_told",
            ),
        )


class HoldStep(models.Model):
    """What became of a hold: confirmed by a second person, turned down by one, or lifted by two."""

    id = models.BigAutoField(primary_key=True)
    hold = models.ForeignKey(Hold, on_delete=models.PROTECT, related_name="steps")
    status = models.CharField(max_length=9, db_comment="confirmed, rejected or lifted; the last two end it")
    placed_by = models.CharField(max_length=80, db_comment="who placed the hold, again")
    made_by = models.CharField(max_length=80, db_comment="who proposed this step")
    decided_by = models.CharField(max_length=80, db_comment="who decided on it: never who proposed it")
    approval = models.BigIntegerField(unique=True, db_comment="the proposal that was decided")
    reason = models.CharField(max_length=500, blank=True)
    at = models.DateTimeField(db_comment="when it was decided, as the action was told")
    recorded_at = models.DateTimeField(db_default=Now(), editable=False, db_comment="when it was written")

    class Meta:
        db_table = "evidence_hold_step"
        db_table_comment = "How a legal hold went on, each step decided by two people. Append-only."
        constraints = (
            models.UniqueConstraint(fields=["hold", "status"], name="evidence_hold_step_once"),
            models.CheckConstraint(
                condition=models.Q(status__in=["confirmed", "rejected", "lifted"])
                & ~models.Q(decided_by=models.F("made_by")),
                name="evidence_hold_step_by_two",
            ),
        )


class Erasure(models.Model):
    """A payload that was erased, and the certificate that says why."""

    event = models.OneToOneField(
        "evidence.Outbox", primary_key=True, on_delete=models.PROTECT, related_name="erasure"
    )
    certificate = models.ForeignKey(
        "evidence.Outbox",
        on_delete=models.PROTECT,
        related_name="erased",
        db_comment="the event evidence.payloads_erased that certifies it",
    )
    recorded_at = models.DateTimeField(db_default=Now(), editable=False, db_comment="when it was erased")

    class Meta:
        db_table = "evidence_erasure"
        db_table_comment = (
            "Which payloads were erased under which certificate: no others may be missing. Append-only."
        )

"""The trail in tables: one entry for each visit that did something or read somebody's data.

An entry is an index of its event, for finding it by person, customer, act and time: what it says is in the
event, which is in the log. Append-only, but that an entry goes with its event's payload.
"""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Now


class TrailEntry(models.Model):
    """What one visit did, by the event that says it."""

    event = models.OneToOneField(
        "evidence.Outbox", primary_key=True, on_delete=models.PROTECT, related_name="trail_entry"
    )
    visit = models.CharField(max_length=22, unique=True, db_comment="the request or command: one entry each")
    at = models.DateTimeField(db_comment="when it happened, as the action was told")
    actor = models.CharField(max_length=80, db_comment="who: usr_… or system:…, never a name")
    act = models.CharField(max_length=80, db_comment="the kind of its event")
    permission = models.CharField(max_length=80, db_comment="the last permission that was used")
    operation = models.CharField(
        max_length=200, db_comment="what was asked, at which door, by its pattern and never by its values"
    )
    parties = ArrayField(
        models.CharField(max_length=64),
        db_comment="the customers it was about, by number; *: many; empty: none",
    )
    subject = models.CharField(max_length=120, db_comment="what it was about, by the event's first member")
    is_privileged = models.BooleanField(db_comment="told to a second person, who acknowledges it")
    recorded_at = models.DateTimeField(db_default=Now(), editable=False, db_comment="when it was written")

    class Meta:
        db_table = "evidence_trail"
        db_table_comment = "Who did or read what, when and by which right: one entry for each visit."
        constraints = (
            # What an acknowledgement names again, so that its row constraint can compare both.
            models.UniqueConstraint(fields=["event", "actor"], name="evidence_trail_named"),
            models.CheckConstraint(
                condition=~models.Q(actor="") & ~models.Q(visit=""), name="evidence_trail_told"
            ),
        )
        indexes = (
            models.Index(fields=["actor", "-event"], name="evidence_trail_actor"),
            models.Index(fields=["act", "-event"], name="evidence_trail_act"),
            models.Index(fields=["at"], name="evidence_trail_at"),
            models.Index(fields=["subject", "act", "-event"], name="evidence_trail_subject"),
            GinIndex(fields=["parties"], name="evidence_trail_parties"),
            models.Index(
                fields=["-event"], name="evidence_trail_privileged", condition=models.Q(is_privileged=True)
            ),
        )


class Acknowledgement(models.Model):
    """That a second person has seen a privileged act. The primary key is the act: one is enough."""

    entry = models.OneToOneField(
        TrailEntry, primary_key=True, on_delete=models.PROTECT, related_name="acknowledgement"
    )
    actor = models.CharField(max_length=80, db_comment="who did it, again: never who acknowledges it")
    note = models.CharField(max_length=500, blank=True)
    acknowledged_by = models.CharField(max_length=80, db_comment="the second person: usr_…")
    at = models.DateTimeField(db_comment="when it was acknowledged, as the action was told")
    recorded_at = models.DateTimeField(db_default=Now(), editable=False, db_comment="when it was written")

    class Meta:
        db_table = "evidence_trail_acknowledgement"
        db_table_comment = "Privileged acts that somebody other than who did them has seen. Append-only."
        constraints = (
            models.CheckConstraint(
                condition=~models.Q(acknowledged_by=models.F("actor"))
                & models.Q(acknowledged_by__startswith="usr_"),
                name="evidence_acknowledged_by_another",
            ),
        )

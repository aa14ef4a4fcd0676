"""Solvency in tables: each day's statement of what is owed and what is there, and the tree of each asset.

Part of custody's vocabulary, on a page of its own. Everything here is appended and never changed.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class SolvencyStatement(models.Model):
    """What was told everybody about one day: one link of the book's chain."""

    id = models.BigAutoField(primary_key=True, db_comment="shown outside as sol_ and this number")
    book = models.ForeignKey("custody.Book", on_delete=models.PROTECT, related_name="+")
    number = models.IntegerField(db_comment="from 1, without a gap: its place in the book's chain")
    day = models.DateField(db_comment="the day of the book at whose close it stands")
    position = models.BigIntegerField(db_comment="the book's last position at that close")
    state = models.CharField(max_length=8, db_comment="the worst of its assets: covered, unknown or short")
    statement = models.TextField(db_comment="canonical JSON of the whole of it: the bytes of digest")
    previous_digest = models.BinaryField(
        null=True, db_comment="of the statement before it; nothing for the first"
    )
    digest = models.BinaryField(unique=True, db_comment="SHA-256 over the statement")
    event = models.BigIntegerField(unique=True, db_comment="the event by which the public log tells of it")
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_solvency_statement"
        db_table_comment = "Daily statements of solvency, each chained to the one before. Append-only."
        constraints = (
            models.UniqueConstraint(fields=["book", "number"], name="custody_solvency_in_turn"),
            models.CheckConstraint(
                condition=Q(number=1, previous_digest=None) | Q(number__gt=1, previous_digest__isnull=False),
                name="custody_solvency_chained",
            ),
            models.CheckConstraint(
                condition=Q(state__in=("covered", "unknown", "short")), name="custody_solvency_state"
            ),
        )
        indexes = (models.Index(fields=["book", "day", "-number"], name="custody_solvency_of_day"),)


class SolvencyTree(models.Model):
    """The tree over what every client was owed in one asset: what was published of it, and its key, sealed."""

    pk = models.CompositePrimaryKey("statement_id", "asset_id")
    statement = models.ForeignKey(SolvencyStatement, on_delete=models.PROTECT, related_name="trees")
    asset = models.ForeignKey("custody.Asset", on_delete=models.PROTECT, related_name="+")
    accounts = models.BigIntegerField(db_comment="client accounts in the tree, those at zero included")
    total_minor = models.BigIntegerField(db_comment="what the tree comes to")
    unallocated_minor = models.BigIntegerField(db_comment="in suspense: somebody's, and in nobody's leaf yet")
    bank_minor = models.BigIntegerField(
        null=True, db_comment="as the custodians' statements close; null: not known for every account"
    )
    root = models.BinaryField(db_comment="of the tree")
    commitment_digest = models.BinaryField(db_comment="of what was published of the tree")
    sealed_key = models.BinaryField(
        db_comment="the tree's key under the installation's secret: needed for every later proof of this day"
    )

    class Meta:
        db_table = "custody_solvency_tree"
        db_table_comment = "The sum trees of a solvency statement, one an asset. Append-only."
        constraints = (
            models.CheckConstraint(
                condition=Q(accounts__gte=0, total_minor__gte=0, unallocated_minor__gte=0),
                name="custody_solvency_tree_sums",
            ),
            models.CheckConstraint(
                condition=Q(accounts__gt=0) | Q(total_minor=0),
                name="custody_solvency_tree_of_somebody",
            ),
        )

"""The logs' vocabulary: what was sealed, by which keys, and who else has signed it.

Two logs in one set of tables: number 1 is the ledger's, 2 the public one. All tables are append-only;
the sequencer alone writes them, whoever else has a role reads them, and nobody but the sequencer reads the
sealed halves of keys (migration 0004 says so to PostgreSQL).
"""

from django.db import models
from django.db.models.functions import Now


class Log(models.Model):
    """A log: its name for ever, and the hash function it keeps for ever."""

    id = models.PositiveSmallIntegerField(primary_key=True, db_comment="1: the ledger's; 2: the public one")
    origin = models.CharField(max_length=255, unique=True, db_comment="the first line of its checkpoints")
    suite = models.CharField(max_length=20, db_comment="the hash function: sha-256, sm3")
    opened_at = models.DateTimeField()

    class Meta:
        db_table = "evidence_log"
        db_table_comment = "The logs of this installation. Append-only: an origin is never used anew."
        constraints = (
            models.CheckConstraint(condition=models.Q(id__in=(1, 2)), name="evidence_log_known"),
            models.CheckConstraint(
                condition=models.Q(suite__in=("sha-256", "sm3")), name="evidence_log_suite_known"
            ),
        )


class LogEntry(models.Model):
    """One sealed entry: the bytes that were hashed, and what they were made of."""

    pk = models.CompositePrimaryKey("log_id", "seq")
    log_id = models.PositiveSmallIntegerField()
    seq = models.BigIntegerField(db_comment="from 0, without a gap: the entry's index in the tree")
    event_id = models.BigIntegerField(null=True, db_comment="the event of the outbox that this entry seals")
    checkpoint_size = models.BigIntegerField(
        null=True, db_comment="in the public log: the ledger's checkpoint that this entry tells"
    )
    body = models.BinaryField(db_comment="the entry: canonical JSON (RFC 8785), at most 64 KiB")

    class Meta:
        db_table = "evidence_entry"
        db_table_comment = "The entries of the logs, in order. Append-only; written by the sequencer alone."
        constraints = (
            models.UniqueConstraint(
                fields=("log_id", "event_id"),
                condition=models.Q(event_id__isnull=False),
                name="evidence_entry_of_event",
            ),
            models.UniqueConstraint(
                fields=("log_id", "checkpoint_size"),
                condition=models.Q(checkpoint_size__isnull=False),
                name="evidence_entry_of_checkpoint",
            ),
            models.CheckConstraint(
                condition=models.Q(event_id__isnull=False, checkpoint_size__isnull=True)
                | models.Q(event_id__isnull=True, checkpoint_size__isnull=False),
                name="evidence_entry_of_one_thing",
            ),
        )


class Tile(models.Model):
    """256 hashes in a row, and the hash over them: a whole subtree of height 8, which never changes."""

    pk = models.CompositePrimaryKey("log_id", "level", "number")
    log_id = models.PositiveSmallIntegerField()
    level = models.PositiveSmallIntegerField(db_comment="0: of entries; above: of tiles of the level below")
    number = models.BigIntegerField(db_comment="from 0, the tile's place in its level")
    hashes = models.BinaryField(db_comment="256 hashes of 32 bytes")
    root = models.BinaryField(db_comment="the hash over them: the tile's one hash in the level above")

    class Meta:
        db_table = "evidence_tile"
        db_table_comment = (
            "The whole tiles of the logs' trees (C2SP tlog-tiles). Append-only, by the sequencer alone."
        )


class Checkpoint(models.Model):
    """A log's size and root as the log signed them."""

    pk = models.CompositePrimaryKey("log_id", "size")
    log_id = models.PositiveSmallIntegerField()
    size = models.BigIntegerField()
    root = models.BinaryField()
    note = models.TextField(
        db_comment="the signed note (C2SP tlog-checkpoint), the log's own signatures only"
    )
    settled_event = models.BigIntegerField(
        db_comment="every event up to this id was sealed or never happened; later ones are looked for"
    )
    sealed_at = models.DateTimeField(db_comment="when, as the sequencer was told")

    class Meta:
        db_table = "evidence_checkpoint"
        db_table_comment = "Every checkpoint of the logs. Append-only; written by the sequencer alone."


class Cosignature(models.Model):
    """A witness's signature over a checkpoint, as a line to be put below its note."""

    id = models.BigAutoField(primary_key=True)
    log_id = models.PositiveSmallIntegerField()
    size = models.BigIntegerField()
    witness = models.CharField(max_length=255, db_comment="the name of the witness's key")
    key_id = models.BinaryField(db_comment="four bytes that tell keys of one name apart")
    line = models.TextField(db_comment="the signature's line, its newline included")
    signed_at = models.DateTimeField(null=True, db_comment="the time that the witness signed, where it did")
    recorded_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "evidence_cosignature"
        db_table_comment = (
            "What witnesses have signed: for a size any number of times, each later. Append-only."
        )
        indexes = (models.Index(fields=["log_id", "size"], name="evidence_cosignature_of"),)


class Key(models.Model):
    """A key of a log: the public half for all, the secret one sealed or in a device."""

    id = models.BigAutoField(primary_key=True)
    log_id = models.PositiveSmallIntegerField()
    text = models.TextField(unique=True, db_comment="the public key in one line: name+id+material")
    keeper = models.CharField(max_length=80, db_comment="`home`: sealed here; else the device that has it")
    sealed = models.BinaryField(
        null=True, db_comment="the secret key, AES-256-GCM under the installation's secret"
    )
    made_at = models.DateTimeField()

    class Meta:
        db_table = "evidence_key"
        db_table_comment = "The keys that sign checkpoints. Append-only."
        constraints = (
            models.CheckConstraint(
                condition=models.Q(keeper="home", sealed__isnull=False)
                | ~models.Q(keeper="home") & models.Q(sealed__isnull=True),
                name="evidence_key_kept_once",
            ),
        )


class KeyChange(models.Model):
    """What became of a key: from when it signs, and from when it does not any more."""

    id = models.BigAutoField(primary_key=True)
    key = models.ForeignKey(Key, on_delete=models.PROTECT, related_name="changes")
    status = models.CharField(max_length=20)
    from_size = models.BigIntegerField(db_comment="the log's size when it was decided")
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)
    reason = models.TextField()

    class Meta:
        db_table = "evidence_key_change"
        db_table_comment = "Keys taken into use, retired, and given up as compromised. Append-only."
        constraints = (
            models.CheckConstraint(
                condition=models.Q(status__in=("signing", "retiring", "retired", "compromised")),
                name="evidence_key_change_status",
            ),
        )

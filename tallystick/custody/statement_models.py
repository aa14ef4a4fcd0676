"""The bank's side in tables: statement files with their bytes, statements, lines; reconciliations and breaks.

Part of custody's vocabulary, on a page of its own. Everything here is appended and never changed.

Two columns say what a statement is worth. Its `source` is who speaks: the `custodian` that holds the
money, or a payment `channel` that passes it on and settles later. Its `kind` is what is said:

    statement      the custodian's account of a period: the only kind a reconciliation takes a balance from
    interim        what the custodian has booked so far today (camt.052, MT942): comes again in a statement
    notification   single movements told of at once (camt.054): come again in a statement
    settlement     a channel's payments and what it keeps of each: `source` is `channel`, and only then

So a movement may stand in several kinds, and is counted in one. A channel's line is net of the
channel's fee: `amount_minor` = `gross_minor` - `fee_minor`, and `settlement` names the sum the channel pays
out, in which the line comes to the bank.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from tallystick.custody.breaks import BreakKind as BreakKind

KINDS = [(str(kind), kind.replace("_", " ").title()) for kind in BreakKind]
SOURCES = [("custodian", "Custodian"), ("channel", "Channel")]
STATEMENT_KINDS = [
    ("statement", "Statement"),
    ("interim", "Interim"),
    ("notification", "Notification"),
    ("settlement", "Settlement"),
]


class StatementFile(models.Model):
    """A statement file as the bank sent it."""

    id = models.BigAutoField(primary_key=True, db_comment="shown outside as stm_ and this number")
    bank_account = models.ForeignKey("custody.Account", on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=255, db_comment="as it was sent")
    format = models.CharField(max_length=32, db_comment="camt.053.001.08, mt940, ofx.102, csv")
    source = models.CharField(
        max_length=10, choices=SOURCES, db_comment="who speaks: the custodian, or a payment channel"
    )
    mapping = models.JSONField(
        null=True, db_comment="what the columns of a CSV file were declared to be: it is read again by this"
    )
    encoding = models.CharField(max_length=32)
    bytes = models.BigIntegerField(db_comment="length of the original")
    sha256 = models.BinaryField(unique=True, db_comment="of the original: the same file is taken once")
    statements = models.IntegerField(db_comment="in the file, those known from other files included")
    entries = models.IntegerField(db_comment="booked entries in the file")
    imported_at = models.DateTimeField()
    imported_by = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_statement_file"
        db_table_comment = "Statement files imported whole; a refused file leaves nothing here. Append-only."
        constraints = (
            models.CheckConstraint(condition=Q(bytes__gt=0), name="custody_statement_file_some"),
            models.CheckConstraint(
                condition=Q(source__in=[source for source, _ in SOURCES]),
                name="custody_statement_file_source",
            ),
        )
        indexes = (models.Index(fields=["bank_account", "-id"], name="custody_file_of_account"),)


class StatementFilePart(models.Model):
    """A stretch of the original bytes: so a file of any size is written and read in little memory."""

    pk = models.CompositePrimaryKey("file_id", "part")
    file = models.ForeignKey(StatementFile, on_delete=models.PROTECT, related_name="parts")
    part = models.IntegerField(db_comment="from 0; the parts in order are the file")
    content = models.BinaryField()

    class Meta:
        db_table = "custody_statement_file_part"
        db_table_comment = "The original bytes of statement files. Append-only."


class StatementNote(models.Model):
    """What was seen in a file and left its money clear: a gap in the numbers, a line that repeats another."""

    pk = models.CompositePrimaryKey("file_id", "number")
    file = models.ForeignKey(StatementFile, on_delete=models.PROTECT, related_name="notes")
    number = models.IntegerField(db_comment="from 1, in the order of lines")
    line = models.IntegerField(db_comment="the line of the file where it was seen")
    code = models.CharField(max_length=40, db_comment="number_gap, balance_gap, entry_repeated, ...")
    told = models.JSONField(db_comment="what its text names: {} where it names nothing")

    class Meta:
        db_table = "custody_statement_note"
        db_table_comment = "What importing a statement file told besides its lines. Append-only."


class BankStatement(models.Model):
    """One statement, or one page of it: it adds up, and joins the one before it or the gap was told."""

    id = models.BigAutoField(primary_key=True)
    file = models.ForeignKey(StatementFile, on_delete=models.PROTECT, related_name="+")
    bank_account = models.ForeignKey("custody.Account", on_delete=models.PROTECT, related_name="+")
    index = models.IntegerField(db_comment="its place in the file, from 1")
    line = models.IntegerField(db_comment="the line of the file where it begins")
    source = models.CharField(max_length=10, choices=SOURCES, db_comment="as of its file")
    kind = models.CharField(
        max_length=12, choices=STATEMENT_KINDS, db_comment="statement, interim, notification or settlement"
    )
    account = models.CharField(max_length=64, db_comment="the bank's number of the account: IBAN or its own")
    currency = models.CharField(max_length=3)
    identification = models.CharField(max_length=64, db_comment="Stmt/Id or :20:")
    number = models.BigIntegerField(null=True, db_comment="sequence number, where the bank numbers")
    page = models.IntegerField(null=True)
    from_date = models.DateField(null=True)
    to_date = models.DateField(db_comment="the day of the closing balance, or its last day")
    opening_minor = models.BigIntegerField(null=True, db_comment="null where the bank states none")
    closing_minor = models.BigIntegerField(null=True, db_comment="null where the bank states none")
    entries = models.IntegerField()
    digest = models.BinaryField(db_comment="SHA-256 of what it says: known again in another file")

    class Meta:
        db_table = "custody_statement"
        db_table_comment = "Bank statements: opening balance plus lines is closing balance. Append-only."
        constraints = (
            models.UniqueConstraint(fields=["bank_account", "digest"], name="custody_statement_once"),
            models.CheckConstraint(
                condition=Q(kind="settlement", source="channel")
                | Q(kind__in=["statement", "interim", "notification"], source="custodian"),
                name="custody_statement_kind",
            ),
            # An OFX statement says where the account stands and not where it stood.
            models.CheckConstraint(
                condition=Q(opening_minor__isnull=True) | Q(closing_minor__isnull=False),
                name="custody_statement_closes",
            ),
        )
        indexes = (models.Index(fields=["bank_account", "to_date"], name="custody_statement_days"),)


class StatementLine(models.Model):
    """One booked entry of a statement."""

    id = models.BigAutoField(primary_key=True)
    statement = models.ForeignKey(BankStatement, on_delete=models.PROTECT, related_name="lines")
    number = models.IntegerField(db_comment="its place in the statement, from 1")
    line = models.IntegerField(db_comment="the line of the file where it begins")
    amount_minor = models.BigIntegerField(db_comment="positive where money came in")
    booking_date = models.DateField()
    value_date = models.DateField()
    references = models.JSONField(db_comment="what may identify the payment, the best first")
    remittance = models.TextField(blank=True)
    counterparty_name = models.TextField(blank=True)
    counterparty_account = models.CharField(max_length=64, blank=True)
    code = models.CharField(max_length=64, blank=True, db_comment="the bank's transaction code")
    reversal = models.BooleanField()
    gross_minor = models.BigIntegerField(
        null=True, db_comment="of a channel's line: what was paid, before the channel's fee"
    )
    fee_minor = models.BigIntegerField(
        null=True, db_comment="of a channel's line: what the channel keeps, positive where it costs"
    )
    settlement = models.CharField(
        max_length=128, blank=True, db_comment="of a channel's line: the payout in which it comes to the bank"
    )
    details = models.JSONField(db_comment="the transactions of a batch: never booked, the line is")

    class Meta:
        db_table = "custody_statement_line"
        db_table_comment = "Lines of bank statements. Append-only."
        constraints = (
            models.UniqueConstraint(fields=["statement", "number"], name="custody_statement_line_once"),
            models.CheckConstraint(
                condition=Q(gross_minor__isnull=True, fee_minor__isnull=True)
                | Q(
                    gross_minor__isnull=False,
                    fee_minor__isnull=False,
                    gross_minor=F("amount_minor") + F("fee_minor"),
                ),
                name="custody_statement_line_net",
            ),
        )


class Reconciliation(models.Model):
    """The bank account against its control account, as of a day and a position: both totals, explained."""

    id = models.BigAutoField(primary_key=True, db_comment="shown outside as rec_ and this number")
    book = models.ForeignKey("custody.Book", on_delete=models.PROTECT, related_name="+")
    bank_account = models.ForeignKey("custody.Account", on_delete=models.PROTECT, related_name="+")
    cut_off = models.DateField(db_comment="the day of the bank's closing balance; lines up to it count")
    position = models.BigIntegerField(db_comment="the book's last position that was read")
    bank_balance_minor = models.BigIntegerField()
    ledger_balance_minor = models.BigIntegerField()
    unexplained_minor = models.BigIntegerField(
        db_comment="bank less ledger less the breaks: 0, or the reconciliation has failed"
    )
    matched = models.IntegerField(db_comment="pairs of a statement line and a ledger line")
    breaks = models.IntegerField()
    window_days = models.SmallIntegerField()
    timing_days = models.SmallIntegerField()
    digest = models.BinaryField(
        db_comment="SHA-256 over every match and break: the same inputs give the same"
    )
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_reconciliation"
        db_table_comment = "Each run of the reconciliation, with both totals. Append-only."
        indexes = (models.Index(fields=["bank_account", "-id"], name="custody_reconciliation_latest"),)


class Break(models.Model):
    """One difference between the bank and the ledger, with its kind and its part of the difference."""

    id = models.BigAutoField(primary_key=True)
    reconciliation = models.ForeignKey(Reconciliation, on_delete=models.PROTECT, related_name="lines")
    number = models.IntegerField(db_comment="from 1, in the order of days")
    kind = models.CharField(max_length=20, choices=KINDS)
    effect_minor = models.BigIntegerField(db_comment="what it adds to the bank's total over the ledger's")
    statement_line = models.ForeignKey(
        StatementLine, null=True, on_delete=models.PROTECT, related_name="+", db_column="statement_line"
    )
    position = models.BigIntegerField(null=True, db_comment="of the ledger line")
    reference = models.TextField(blank=True, db_comment="by which both sides were compared")
    day = models.DateField(db_comment="of the line it stands for: its age counts from here")
    twin = models.TextField(blank=True, db_comment="the line it repeats, or the account where it was found")

    class Meta:
        db_table = "custody_break"
        db_table_comment = "The differences a reconciliation found. Append-only."
        constraints = (
            models.UniqueConstraint(fields=["reconciliation", "number"], name="custody_break_once"),
            models.CheckConstraint(
                condition=Q(kind__in=[kind for kind, _ in KINDS]), name="custody_break_kind"
            ),
        )

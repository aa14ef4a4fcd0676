"""Payouts in tables: clients' bank accounts, payouts and what became of them, batches, the bank's answers.

Part of custody's vocabulary, on a page of its own. Everything here is appended and never changed. Bank
account numbers stand here sealed; what is shown is their last four characters.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now


class BankAccountStatus(models.TextChoices):
    """How far a client's bank account is known to be theirs."""

    UNVERIFIED = "unverified"
    VERIFIED = "verified"
    CLOSED = "closed"


class PayoutStatus(models.TextChoices):
    """Where a payout stands. The order is the order of a payout's life."""

    ASKED = "asked"
    PENDING = "pending"
    RELEASED = "released"
    BATCHED = "batched"
    SENT = "sent"
    ACCEPTED = "accepted"
    SETTLED = "settled"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    DECLINED = "declined"
    REJECTED = "rejected"
    RETURNED = "returned"


class PostingStep(models.TextChoices):
    """What a payout's status asks of the ledger."""

    HOLD = "hold"
    SETTLE = "settle"
    VOID = "void"
    RETURN = "return"


class PayoutTerms(models.Model):
    """How payouts of one asset of a book are made. The newest row holds."""

    id = models.BigAutoField(primary_key=True)
    book = models.ForeignKey("custody.Book", on_delete=models.PROTECT, related_name="+")
    bank_account = models.ForeignKey(
        "custody.Account",
        on_delete=models.PROTECT,
        related_name="+",
        db_comment="the control account of the bank that pays; its asset is the payouts' asset",
    )
    release_above_minor = models.BigIntegerField(
        db_comment="a payout of more is released by a second person; of 0, every one is"
    )
    daily_above_minor = models.BigIntegerField(
        db_comment="so is each that takes a client's payouts of the day over this"
    )
    cool_off_hours = models.IntegerField(db_comment="after a change of bank details, before a payout there")
    cut_off = models.TimeField(db_comment="in the book's time zone: later batches are for the next day")
    calendar = models.CharField(max_length=16, db_comment="a name of core.calendars")
    debtor_name = models.CharField(max_length=70, db_comment="who the payee's bank sees as the payer")
    debtor_account = models.CharField(max_length=34, db_comment="IBAN or number of the paying account")
    debtor_bic = models.CharField(max_length=11)
    approval = models.OneToOneField(
        "identity.Approval", on_delete=models.PROTECT, related_name="+", db_comment="used once"
    )
    proposed_by = models.CharField(max_length=80)
    actor = models.CharField(max_length=80, db_comment="who approved: never who proposed")
    at = models.DateTimeField()

    class Meta:
        db_table = "custody_payout_terms"
        db_table_comment = "Limits, cool-off and cut-off of payouts, changed by two people. Append-only."
        constraints = (
            models.CheckConstraint(condition=~Q(actor=F("proposed_by")), name="custody_payout_terms_by_two"),
            models.CheckConstraint(
                condition=Q(release_above_minor__gte=0, daily_above_minor__gte=0, cool_off_hours__gte=0),
                name="custody_payout_terms_range",
            ),
        )
        indexes = (models.Index(fields=["bank_account", "-id"], name="custody_payout_terms_newest"),)


class BankAccount(models.Model):
    """A client's own bank account, bound to a book. What is known of it is in its changes."""

    id = models.BigAutoField(primary_key=True, db_comment="shown outside as bnk_ and this number")
    book = models.ForeignKey("custody.Book", on_delete=models.PROTECT, related_name="+")
    owner = models.CharField(max_length=64, db_comment="the client's customer number")
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_bank_account"
        db_table_comment = "Clients' bank accounts to which payouts may go. Append-only."
        indexes = (models.Index(fields=["book", "owner"], name="custody_bank_account_owner"),)


class BankAccountChange(models.Model):
    """All that holds of a bank account from then on. The newest row of an account holds."""

    id = models.BigAutoField(primary_key=True)
    bank_account = models.ForeignKey(BankAccount, on_delete=models.PROTECT, related_name="changes")
    number = models.IntegerField(db_comment="from 1: added; each later one is a change")
    status = models.CharField(max_length=12, choices=BankAccountStatus.choices)
    holder_name = models.CharField(max_length=70)
    bank_name = models.CharField(max_length=70)
    bic = models.CharField(max_length=11, blank=True)
    cnaps = models.CharField(max_length=12, blank=True, db_comment="China's clearing number of the branch")
    sealed_number = models.BinaryField(db_comment="AES-256-GCM under the installation's key; never in clear")
    last4 = models.CharField(max_length=4)
    fingerprint = models.BinaryField(
        db_comment="HMAC-SHA256 of the number: the same account bound twice is seen, and nothing else"
    )
    details_at = models.DateTimeField(db_comment="since when these details hold: the cool-off runs from here")
    reason = models.CharField(max_length=200, db_comment="how it was verified, or why it was changed")
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_bank_account_change"
        db_table_comment = "Every change of a client's bank account, its number sealed. Append-only."
        constraints = (
            models.UniqueConstraint(fields=["bank_account", "number"], name="custody_bank_change_in_turn"),
            models.CheckConstraint(
                condition=Q(status__in=BankAccountStatus.values), name="custody_bank_change_status"
            ),
            models.CheckConstraint(condition=~(Q(bic="") & Q(cnaps="")), name="custody_bank_change_agent"),
        )
        indexes = (
            models.Index(fields=["fingerprint"], name="custody_bank_change_print"),
            models.Index(
                fields=["bank_account", "number"],
                name="custody_bank_change_ends",
                condition=Q(status="closed") | Q(status="unverified", number__gt=1),
            ),
        )


class PayoutNotice(models.Model):
    """What a client is told before ordering a payout, in both languages. The newest of a book holds."""

    id = models.BigAutoField(primary_key=True)
    book = models.ForeignKey("custody.Book", on_delete=models.PROTECT, related_name="+")
    version = models.IntegerField(db_comment="from 1, by book; the house's own text is version 0")
    en = models.TextField()
    zh = models.TextField()
    approval = models.OneToOneField("identity.Approval", on_delete=models.PROTECT, related_name="+")
    proposed_by = models.CharField(max_length=80)
    actor = models.CharField(max_length=80, db_comment="who approved: never who proposed")
    at = models.DateTimeField()

    class Meta:
        db_table = "custody_payout_notice"
        db_table_comment = "Notices shown before a payout is ordered, published by two people. Append-only."
        constraints = (
            models.UniqueConstraint(fields=["book", "version"], name="custody_payout_notice_version"),
            models.CheckConstraint(condition=~Q(actor=F("proposed_by")), name="custody_payout_notice_by_two"),
        )


class PayoutAcknowledgement(models.Model):
    """That a client has read a version of the notice."""

    id = models.BigAutoField(primary_key=True)
    book = models.ForeignKey("custody.Book", on_delete=models.PROTECT, related_name="+")
    owner = models.CharField(max_length=64)
    version = models.IntegerField()
    digest = models.BinaryField(db_comment="SHA-256 of both texts: what was read")
    language = models.CharField(max_length=16, db_comment="in which it was shown")
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_payout_acknowledgement"
        db_table_comment = "Which client has read which version of the payout notice. Append-only."
        constraints = (
            models.UniqueConstraint(
                fields=["book", "owner", "version", "digest"], name="custody_payout_acknowledged_once"
            ),
        )


class Payout(models.Model):
    """An order to pay a client's money out to their own bank account. Where it stands is in its statuses."""

    id = models.BigAutoField(primary_key=True, db_comment="shown outside as pay_ and this number")
    book = models.ForeignKey("custody.Book", on_delete=models.PROTECT, related_name="+")
    owner = models.CharField(max_length=64)
    request_key = models.CharField(
        max_length=64, db_comment="the asker's own name for the order: asked twice, it is one payout"
    )
    debit_account = models.ForeignKey(
        "custody.Account", on_delete=models.PROTECT, related_name="+", db_column="debit_account"
    )
    credit_account = models.ForeignKey(
        "custody.Account", on_delete=models.PROTECT, related_name="+", db_column="credit_account"
    )
    amount_minor = models.BigIntegerField()
    bank_details = models.ForeignKey(
        BankAccountChange, on_delete=models.PROTECT, related_name="+", db_comment="where to, as it held then"
    )
    authorisation = models.OneToOneField(
        "custody.Authorisation", on_delete=models.PROTECT, related_name="+", db_column="authorisation"
    )
    acknowledgement = models.ForeignKey(
        PayoutAcknowledgement, on_delete=models.PROTECT, related_name="+", db_comment="of the notice of then"
    )
    needs_release = models.BooleanField(db_comment="by a second person; else it is released by rule")
    note = models.CharField(max_length=140, blank=True, db_comment="for the payee's statement")
    asked_at = models.DateTimeField()
    asked_by = models.CharField(max_length=80)
    recorded_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "custody_payout"
        db_table_comment = "Orders to pay clients' money out to their own bank accounts. Append-only."
        constraints = (
            models.UniqueConstraint(
                fields=["book", "owner", "request_key"], name="custody_payout_asked_once"
            ),
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="custody_payout_some"),
        )
        indexes = (
            models.Index(fields=["book", "-id"], name="custody_payout_of_book"),
            models.Index(fields=["book", "owner", "-id"], name="custody_payout_of_owner"),
        )


class PayoutStep(models.Model):
    """A payout's way from one status to the next."""

    id = models.BigAutoField(primary_key=True)
    payout = models.ForeignKey(Payout, on_delete=models.PROTECT, related_name="steps")
    number = models.IntegerField(db_comment="from 1, asked")
    status = models.CharField(max_length=10, choices=PayoutStatus.choices)
    by_rule = models.BooleanField(
        default=False, db_comment="released without a second person, as the terms say"
    )
    approval = models.OneToOneField(
        "identity.Approval", null=True, on_delete=models.PROTECT, related_name="+", db_comment="used once"
    )
    reason = models.CharField(max_length=200, blank=True, db_comment="in words, or the bank's code")
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)
    recorded_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "custody_payout_step"
        db_table_comment = "Every status a payout has had, with who and why: queue and history. Append-only."
        constraints = (
            models.UniqueConstraint(fields=["payout", "number"], name="custody_payout_step_in_turn"),
            models.UniqueConstraint(fields=["payout", "status"], name="custody_payout_step_once"),
            models.CheckConstraint(
                condition=Q(status__in=PayoutStatus.values), name="custody_payout_step_known"
            ),
            models.CheckConstraint(
                condition=~Q(status="released")
                | Q(by_rule=True, approval=None)
                | Q(by_rule=False, approval__isnull=False),
                name="custody_payout_step_released",
            ),
        )
        indexes = (
            models.Index(fields=["status", "payout"], name="custody_payout_step_status"),
            models.Index(
                fields=["payout", "status", "id"],
                name="custody_payout_step_owes",
                condition=Q(status__in=["asked", "settled", "cancelled", "declined", "rejected", "returned"]),
            ),
        )


class PayoutPosting(models.Model):
    """That what a status asks of the ledger was asked, and what the ledger said."""

    id = models.BigAutoField(primary_key=True)
    payout = models.ForeignKey(Payout, on_delete=models.PROTECT, related_name="postings")
    step = models.CharField(max_length=8, choices=PostingStep.choices)
    transfer_id = models.UUIDField(unique=True, db_comment="made of the payout's id and the step")
    position = models.BigIntegerField(null=True, db_comment="in the book; nothing where it was refused")
    refusal = models.CharField(max_length=64, blank=True, db_comment="the ledger's reason, where it refused")
    at = models.DateTimeField()

    class Meta:
        db_table = "custody_payout_posting"
        db_table_comment = "Ledger transfers of payouts, one a step. Append-only."
        constraints = (
            models.UniqueConstraint(fields=["payout", "step"], name="custody_payout_posting_once"),
            models.CheckConstraint(
                condition=Q(position=None) & ~Q(refusal="") | Q(position__isnull=False, refusal=""),
                name="custody_payout_posting_answer",
            ),
        )


class PayoutBatch(models.Model):
    """Payouts told to the bank in one pain.001 file."""

    id = models.BigAutoField(primary_key=True, db_comment="shown outside as pbt_ and this number")
    book = models.ForeignKey("custody.Book", on_delete=models.PROTECT, related_name="+")
    terms = models.ForeignKey(PayoutTerms, on_delete=models.PROTECT, related_name="+")
    message_id = models.CharField(max_length=35, unique=True, db_comment="GrpHdr/MsgId")
    execution_date = models.DateField(db_comment="the business day asked for, by calendar and cut-off")
    payouts = models.IntegerField()
    sum_minor = models.BigIntegerField()
    sha256 = models.BinaryField(db_comment="of the file, which is made again from these rows, byte for byte")
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_payout_batch"
        db_table_comment = "Batches of payouts, each a pain.001 file. Append-only."
        constraints = (
            models.CheckConstraint(condition=Q(payouts__gt=0, sum_minor__gt=0), name="custody_batch_some"),
        )
        indexes = (models.Index(fields=["book", "-id"], name="custody_payout_batch_of_book"),)


class PayoutBatchLine(models.Model):
    """A payout's place in its one batch."""

    payout = models.OneToOneField(Payout, primary_key=True, on_delete=models.PROTECT, related_name="line")
    batch = models.ForeignKey(PayoutBatch, on_delete=models.PROTECT, related_name="lines")
    number = models.IntegerField(db_comment="from 1")

    class Meta:
        db_table = "custody_payout_batch_line"
        db_table_comment = "Payouts of a batch. The key is the payout: no payout is in two. Append-only."
        constraints = (
            models.UniqueConstraint(fields=["batch", "number"], name="custody_payout_batch_line_in_turn"),
        )


class PayoutReport(models.Model):
    """A file in which the bank told what became of payouts: pain.002, or a statement with returns."""

    id = models.BigAutoField(primary_key=True, db_comment="shown outside as rpt_ and this number")
    book = models.ForeignKey("custody.Book", on_delete=models.PROTECT, related_name="+")
    batch = models.ForeignKey(PayoutBatch, null=True, on_delete=models.PROTECT, related_name="reports")
    name = models.CharField(max_length=255)
    format = models.CharField(max_length=32)
    message_id = models.CharField(max_length=35, blank=True)
    sha256 = models.BinaryField(db_comment="of the file: the same file is taken once")
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_payout_report"
        db_table_comment = "The bank's answers to payouts. Append-only."
        constraints = (models.UniqueConstraint(fields=["book", "sha256"], name="custody_payout_report_once"),)


class PayoutReportLine(models.Model):
    """What the bank said of one payout, and what was made of it."""

    id = models.BigAutoField(primary_key=True)
    report = models.ForeignKey(PayoutReport, on_delete=models.PROTECT, related_name="lines")
    line = models.IntegerField(db_comment="of the file")
    payout = models.ForeignKey(
        Payout,
        null=True,
        on_delete=models.PROTECT,
        related_name="reports",
        db_comment="nothing where a return names no payout of ours",
    )
    code = models.CharField(max_length=8, db_comment="ACSC, RJCT …; RTRN for a return")
    reason = models.CharField(max_length=200, blank=True)
    amount_minor = models.BigIntegerField(null=True, db_comment="of a return: what came back")
    outcome = models.CharField(
        max_length=12, db_comment="applied, unchanged, contradicts, duplicate or suspense"
    )

    class Meta:
        db_table = "custody_payout_report_line"
        db_table_comment = "What the bank said of each payout. Append-only."
        constraints = (
            models.UniqueConstraint(
                fields=["payout"],
                condition=Q(code="RTRN", outcome="applied"),
                name="custody_payout_returned_once",
            ),
        )
        indexes = (models.Index(fields=["payout"], name="custody_payout_report_of"),)

"""The customer's side in tables: how to pay in, deposits on their way, who holds an account and how it stands.

Part of custody's vocabulary, on a page of its own. Everything here is appended and never changed.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q


class HoldingRule(models.TextChoices):
    """Whose word an account with several holders needs."""

    ANY = "any"
    ALL = "all"


class Capacity(models.TextChoices):
    """As what somebody stands behind an account. A minor owns, and does not sign."""

    HOLDER = "holder"
    MINOR = "minor"
    GUARDIAN = "guardian"
    REPRESENTATIVE = "representative"


class Condition(models.TextChoices):
    """How an account stands with its holders."""

    ACTIVE = "active"
    DORMANT = "dormant"
    DECEASED = "deceased"
    ESTATE = "estate"


class DepositOutcome(models.TextChoices):
    """Where the money of an incoming line went."""

    CREDITED = "credited"
    SUSPENSE = "suspense"


class NotCredited(models.TextChoices):
    """Why an incoming line went to suspense."""

    CREDITED = ""
    NO_REFERENCE = "no_reference"
    MISTYPED = "mistyped"
    SEVERAL = "several"
    NO_ACCOUNT = "no_account"
    NOT_TAKEN = "not_taken"


class PayInDetails(models.Model):
    """Where customers of a book pay in: what is written on the pay-in page. The newest of an account holds."""

    id = models.BigAutoField(primary_key=True)
    book = models.ForeignKey("custody.Book", on_delete=models.PROTECT, related_name="+")
    bank_account = models.ForeignKey("custody.Account", on_delete=models.PROTECT, related_name="+")
    holder_name = models.CharField(max_length=70, db_comment="the name on the account, as a payer writes it")
    account_number = models.CharField(max_length=34, db_comment="IBAN, or the bank's own number")
    bank_name = models.CharField(max_length=140)
    bank_code = models.CharField(
        max_length=35, blank=True, db_comment="BIC, or the clearing code used in the place"
    )
    takes_from = models.DateField(db_comment="lines booked before this day are left alone")
    suspense_account = models.ForeignKey(
        "custody.Account",
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_comment="where money goes that names no owner; empty: left to the reconciliation",
    )
    is_open = models.BooleanField(db_comment="false: no longer shown, and lines are left alone")
    approval = models.BigIntegerField(db_comment="the proposal that another person approved")
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_pay_in_details"
        db_table_comment = (
            "Bank details customers pay to, each change approved by a second person. Append-only."
        )
        indexes = (models.Index(fields=["bank_account", "-id"], name="custody_pay_in_latest"),)


class DepositAnnouncement(models.Model):
    """A customer's word that money is on its way. It moves nothing."""

    id = models.BigAutoField(primary_key=True, db_comment="shown outside as ann_ and this number")
    account = models.ForeignKey("custody.Account", on_delete=models.PROTECT, related_name="+")
    amount_minor = models.BigIntegerField()
    expected_until = models.DateField(db_comment="not here by then: told as not arrived")
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_deposit_announcement"
        db_table_comment = "Deposits customers say they have sent. Append-only."
        constraints = (
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="custody_announcement_some"),
        )
        indexes = (models.Index(fields=["account", "-id"], name="custody_announcement_of"),)


class DepositNotice(models.Model):
    """That the bank told of money for a customer before it stood in a statement. It moves nothing."""

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey("custody.Account", on_delete=models.PROTECT, related_name="+")
    statement_line = models.OneToOneField(
        "custody.StatementLine", on_delete=models.PROTECT, related_name="+", db_column="statement_line"
    )
    amount_minor = models.BigIntegerField()
    booking_date = models.DateField()
    digest = models.BinaryField(
        db_comment="of account, amount, day and references: the same payment told twice is known again"
    )
    nth = models.IntegerField(db_comment="payments alike on one day, in the order told")
    at = models.DateTimeField()

    class Meta:
        db_table = "custody_deposit_notice"
        db_table_comment = "Money the bank has told of and not yet put into a statement. Append-only."
        constraints = (
            models.UniqueConstraint(fields=["account", "digest", "nth"], name="custody_deposit_notice_once"),
        )


class Deposit(models.Model):
    """An incoming line of a bank statement that was booked by itself: to its owner, or to suspense."""

    id = models.BigAutoField(primary_key=True, db_comment="shown outside as dep_ and this number")
    book = models.ForeignKey("custody.Book", on_delete=models.PROTECT, related_name="+")
    statement_line = models.OneToOneField(
        "custody.StatementLine", on_delete=models.PROTECT, related_name="+", db_column="statement_line"
    )
    bank_account = models.ForeignKey("custody.Account", on_delete=models.PROTECT, related_name="+")
    account = models.ForeignKey(
        "custody.Account",
        on_delete=models.PROTECT,
        related_name="+",
        db_comment="credited: client or suspense",
    )
    outcome = models.CharField(max_length=8, choices=DepositOutcome.choices)
    why = models.CharField(max_length=12, choices=NotCredited.choices, blank=True)
    amount_minor = models.BigIntegerField()
    booking_date = models.DateField()
    payer_name = models.TextField(blank=True, db_comment="as the bank tells it")
    payer_account = models.CharField(max_length=64, blank=True)
    transfer = models.UUIDField(unique=True, db_comment="made from the line, so that it is posted once")
    position = models.BigIntegerField()
    announcement = models.OneToOneField(
        DepositAnnouncement,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_comment="the word it makes good",
    )
    notice = models.OneToOneField(
        DepositNotice,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_comment="by which the bank told of it before",
    )
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_deposit"
        db_table_comment = "Incoming payments booked from bank statements. Append-only."
        constraints = (
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="custody_deposit_some"),
            models.CheckConstraint(
                condition=Q(outcome="credited", why="") | (Q(outcome="suspense") & ~Q(why="")),
                name="custody_deposit_why",
            ),
        )
        indexes = (models.Index(fields=["account", "-id"], name="custody_deposit_of_account"),)


class DepositsTaken(models.Model):
    """A bank statement, or an early word of one, whose incoming lines have all been looked at."""

    statement = models.OneToOneField(
        "custody.BankStatement", primary_key=True, on_delete=models.PROTECT, related_name="+"
    )
    credited = models.IntegerField()
    suspense = models.IntegerField()
    noticed = models.IntegerField(db_comment="told of early: nothing is booked from these")
    left_alone = models.IntegerField(db_comment="in the ledger already, or for the reconciliation to judge")
    at = models.DateTimeField()

    class Meta:
        db_table = "custody_deposits_taken"
        db_table_comment = "Statements that deposits were taken from, so that each is read once. Append-only."


class Holding(models.Model):
    """Who holds an account and whose word it needs, as of a change. The newest of an account holds."""

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey("custody.Account", on_delete=models.PROTECT, related_name="+")
    rule = models.CharField(max_length=3, choices=HoldingRule.choices)
    document = models.CharField(max_length=200, db_comment="the paper it rests on")
    reason = models.CharField(max_length=500)
    approval = models.BigIntegerField(db_comment="the proposal that another person approved")
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_holding"
        db_table_comment = "Who holds an account: none here, its owner alone. Append-only."
        constraints = (
            models.CheckConstraint(condition=Q(rule__in=HoldingRule.values), name="custody_holding_rule"),
            models.CheckConstraint(condition=~Q(document=""), name="custody_holding_documented"),
        )
        indexes = (models.Index(fields=["account", "-id"], name="custody_holding_latest"),)


class HoldingParty(models.Model):
    """One of those who stand behind an account."""

    pk = models.CompositePrimaryKey("holding_id", "customer_number")
    holding = models.ForeignKey(Holding, on_delete=models.PROTECT, related_name="parties")
    customer_number = models.CharField(max_length=64)
    capacity = models.CharField(max_length=16, choices=Capacity.choices)

    class Meta:
        db_table = "custody_holding_party"
        db_table_comment = "Each holder of a holding and as what they stand there. Append-only."
        constraints = (
            models.CheckConstraint(
                condition=Q(capacity__in=Capacity.values), name="custody_holding_capacity"
            ),
        )
        indexes = (models.Index(fields=["customer_number"], name="custody_holding_customer"),)


class HolderConsent(models.Model):
    """One holder's yes to terms that need the word of all."""

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey("custody.Account", on_delete=models.PROTECT, related_name="+")
    customer_number = models.CharField(max_length=64)
    terms = models.TextField(db_comment="canonical JSON of what is agreed, without its times")
    digest = models.BinaryField(db_comment="SHA-256 of terms")
    at = models.DateTimeField()
    expires_at = models.DateTimeField(db_comment="counts for nothing from then on")
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_holder_consent"
        db_table_comment = "What holders have agreed to and other holders have not yet. Append-only."
        constraints = (
            models.CheckConstraint(condition=Q(expires_at__gt=F("at")), name="custody_consent_window"),
        )
        indexes = (models.Index(fields=["account", "-id"], name="custody_consent_of_account"),)


class HolderConsentEnd(models.Model):
    """That a consent was used for an authorisation, or taken back."""

    consent = models.OneToOneField(
        HolderConsent, primary_key=True, on_delete=models.PROTECT, related_name="end"
    )
    authorisation = models.BigIntegerField(null=True, db_comment="empty: taken back")
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_holder_consent_end"
        db_table_comment = "Consents that count no longer: each counts once. Append-only."


class AccountCondition(models.Model):
    """A change of how an account stands with its holders. The newest row of an account holds."""

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey("custody.Account", on_delete=models.PROTECT, related_name="conditions")
    before = models.CharField(max_length=8, choices=Condition.choices)
    condition = models.CharField(max_length=8, choices=Condition.choices)
    reason = models.CharField(max_length=500)
    document = models.CharField(max_length=200, blank=True, db_comment="the paper it rests on")
    approval = models.BigIntegerField(null=True, db_comment="empty: by time, or by the customer")
    state = models.BigIntegerField(
        null=True, db_comment="the account state written with it; it alone may be taken back with it"
    )
    status_before = models.CharField(
        max_length=16, blank=True, db_comment="what the account let through before"
    )
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_account_condition"
        db_table_comment = "Accounts dormant, of the deceased, of an estate, and back. Append-only."
        constraints = (
            models.CheckConstraint(
                condition=Q(condition__in=Condition.values, before__in=Condition.values)
                & ~Q(condition=F("before")),
                name="custody_condition_known",
            ),
            models.CheckConstraint(
                condition=~Q(condition__in=("deceased", "estate")) | (~Q(document="") & ~Q(approval=None)),
                name="custody_condition_documented",
            ),
        )
        indexes = (models.Index(fields=["account", "-id"], name="custody_condition_latest"),)


class DormancyRule(models.Model):
    """After how many quiet days an account of a book is dormant. The newest of a book holds."""

    id = models.BigAutoField(primary_key=True)
    book = models.ForeignKey("custody.Book", on_delete=models.PROTECT, related_name="+")
    days = models.PositiveIntegerField(db_comment="without a movement the customer made")
    notice_days = models.PositiveIntegerField(db_comment="so long before, the customer is told")
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_dormancy_rule"
        db_table_comment = "When accounts of a book become dormant; no row: never. Append-only."
        constraints = (
            models.CheckConstraint(
                condition=Q(days__gt=F("notice_days"), notice_days__gt=0), name="custody_dormancy_days"
            ),
        )


class DormancyNotice(models.Model):
    """That a customer was told their account will be dormant."""

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey("custody.Account", on_delete=models.PROTECT, related_name="+")
    last_movement_at = models.DateTimeField(db_comment="a later movement makes the notice void")
    dormant_from = models.DateTimeField()
    at = models.DateTimeField()

    class Meta:
        db_table = "custody_dormancy_notice"
        db_table_comment = "Notices before an account becomes dormant. Append-only."
        constraints = (
            models.UniqueConstraint(
                fields=["account", "last_movement_at"], name="custody_dormancy_notice_once"
            ),
        )


class DormancySweep(models.Model):
    """That all accounts of a book have been looked at on a day: once is enough."""

    id = models.BigAutoField(primary_key=True)
    book = models.ForeignKey("custody.Book", on_delete=models.PROTECT, related_name="+")
    day = models.DateField(db_comment="of the book's own time zone")
    at = models.DateTimeField()

    class Meta:
        db_table = "custody_dormancy_sweep"
        db_table_comment = "Days on which every quiet account of a book was dealt with. Append-only."
        constraints = (models.UniqueConstraint(fields=["book", "day"], name="custody_dormancy_swept"),)

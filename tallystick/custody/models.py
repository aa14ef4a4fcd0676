"""Custody's vocabulary: every table and constraint of client money on one page.

Facts are appended and never changed. A balance is not stored anywhere as a figure to be updated: it is
the last entry of its account. The hot tables (transfer, entry, authorisation use) carry no foreign keys:
account and authorisation numbers say what they are, so row constraints can check them without a join
(docs/decisions/0102-numbers-that-say-what-they-are.md). Triggers, comments and grants: migration 0001.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

# The bank's side is on a page of its own; Django finds it through this one.
from tallystick.custody.holder_models import (
    AccountCondition,
    Deposit,
    DepositAnnouncement,
    DepositNotice,
    DepositsTaken,
    DormancyNotice,
    DormancyRule,
    DormancySweep,
    HolderConsent,
    HolderConsentEnd,
    Holding,
    HoldingParty,
    PayInDetails,
)
from tallystick.custody.liquidity_models import (
    Corridor,
    ExchangeConsent,
    ExchangeOutcome,
    ExchangeQuote,
    ExchangeRate,
    LiquidFunds,
    LiquidityAssessment,
    WithdrawalLimit,
)
from tallystick.custody.payout_models import (
    BankAccount,
    BankAccountChange,
    BankAccountStatus,
    Payout,
    PayoutAcknowledgement,
    PayoutBatch,
    PayoutBatchLine,
    PayoutNotice,
    PayoutPosting,
    PayoutReport,
    PayoutReportLine,
    PayoutStatus,
    PayoutStep,
    PayoutTerms,
    PostingStep,
)
from tallystick.custody.safeguarding_models import (
    BookContact,
    PrudentSegregation,
    ResolutionPack,
    SafeguardingAccount,
    SafeguardingPosition,
    SafeguardingProof,
)
from tallystick.custody.solvency_models import SolvencyStatement, SolvencyTree
from tallystick.custody.statement_models import (
    BankStatement,
    Break,
    Reconciliation,
    StatementFile,
    StatementFilePart,
    StatementLine,
    StatementNote,
)
from tallystick.custody.workbench_models import (
    BookDay,
    BookDays,
    Case,
    CaseRun,
    CaseStep,
    ManualMatch,
    ManualMatchLine,
    ManualMatchUndoing,
    ReceiptStep,
    RolledItem,
)

__all__ = (
    "Account",
    "AccountCondition",
    "AccountState",
    "AccountStatus",
    "AmountRule",
    "Asset",
    "Authorisation",
    "AuthorisationUse",
    "AuthorisationWithdrawal",
    "BankAccount",
    "BankAccountChange",
    "BankAccountStatus",
    "BankStatement",
    "Batch",
    "Book",
    "BookContact",
    "BookDay",
    "BookDays",
    "Break",
    "Case",
    "CaseRun",
    "CaseStep",
    "Corridor",
    "Deposit",
    "DepositAnnouncement",
    "DepositNotice",
    "DepositsTaken",
    "DormancyNotice",
    "DormancyRule",
    "DormancySweep",
    "Entry",
    "ExchangeConsent",
    "ExchangeOutcome",
    "ExchangeQuote",
    "ExchangeRate",
    "HolderConsent",
    "HolderConsentEnd",
    "Holding",
    "HoldingParty",
    "LiquidFunds",
    "LiquidityAssessment",
    "ManualMatch",
    "ManualMatchLine",
    "ManualMatchUndoing",
    "PayInDetails",
    "Payout",
    "PayoutAcknowledgement",
    "PayoutBatch",
    "PayoutBatchLine",
    "PayoutNotice",
    "PayoutPosting",
    "PayoutReport",
    "PayoutReportLine",
    "PayoutStatus",
    "PayoutStep",
    "PayoutTerms",
    "PostingStep",
    "PrudentSegregation",
    "ReceiptStep",
    "Reconciliation",
    "ResolutionPack",
    "RolledItem",
    "SafeguardingAccount",
    "SafeguardingPosition",
    "SafeguardingProof",
    "SigningKey",
    "SolvencyStatement",
    "SolvencyTree",
    "StatementFile",
    "StatementFilePart",
    "StatementLine",
    "StatementNote",
    "Transfer",
    "TransferKind",
    "TransferRefusal",
    "WithdrawalLimit",
)


class TransferKind(models.IntegerChoices):
    """What a transfer does to its two accounts."""

    POSTED = 1, "posted"
    PENDING = 2, "pending"
    POST_PENDING = 3, "post_pending"
    VOID_PENDING = 4, "void_pending"
    EXPIRE_PENDING = 5, "expire_pending"


class AmountRule(models.IntegerChoices):
    """How an authorisation says how much."""

    EXACT = 1, "exact"
    AT_MOST = 2, "at_most"
    FORMULA = 3, "formula"


class AccountStatus(models.TextChoices):
    """What an account lets through."""

    OPEN = "open"
    DEBITS_FROZEN = "debits_frozen"
    CREDITS_FROZEN = "credits_frozen"
    FROZEN = "frozen"
    CLOSED = "closed"


class Book(models.Model):
    """One platform's client-money ledger in one place: the unit of order and of scale."""

    id = models.PositiveSmallIntegerField(
        primary_key=True, db_comment="1 to 899: the first digits of its accounts"
    )
    name = models.CharField(max_length=120, unique=True)
    time_zone = models.CharField(max_length=64, db_comment="IANA name; its days are the book's days")
    opened_at = models.DateTimeField()
    opened_by = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_book"
        db_table_comment = "A book: one platform's client money, with one gap-free order of transfers."
        constraints = (
            models.CheckConstraint(condition=Q(id__gte=1, id__lte=899), name="custody_book_id_range"),
        )


class Asset(models.Model):
    """What is held: a currency of ISO 4217, or an asset of the book keeper's own."""

    number = models.PositiveSmallIntegerField(
        primary_key=True, db_comment="ISO 4217 numeric code; own assets from 1000 on"
    )
    code = models.CharField(max_length=12, unique=True)
    scale = models.PositiveSmallIntegerField(db_comment="decimals of the minor unit")
    name = models.CharField(max_length=120)

    class Meta:
        db_table = "custody_asset"
        db_table_comment = "An asset and the scale of its minor unit."
        constraints = (
            models.CheckConstraint(condition=Q(number__lte=9999, scale__lte=18), name="custody_asset_range"),
        )


class Account(models.Model):
    """A place where money is counted. What it lets through is in `AccountState`; its balance is its last entry."""

    number = models.BigIntegerField(
        primary_key=True, db_comment="book 3, family 1, asset 4, serial 10 digits"
    )
    book = models.ForeignKey(Book, on_delete=models.PROTECT, related_name="+")
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    family = models.PositiveSmallIntegerField(db_comment="1 client, 2 own, 3 external, 4 suspense")
    normal_side = models.PositiveSmallIntegerField(db_comment="1 debit, 2 credit")
    owner = models.CharField(
        max_length=64, blank=True, db_comment="the client's customer number; empty where none"
    )
    name = models.CharField(max_length=120)
    reference = models.CharField(
        max_length=64,
        db_comment="the opener's own name for it, such as an IBAN or a product; unique in the book",
    )
    opened_at = models.DateTimeField()
    opened_by = models.CharField(max_length=80)
    recorded_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "custody_account"
        db_table_comment = "An account of a book, in one of four closed families."
        constraints = (
            models.UniqueConstraint(fields=["book", "reference"], name="custody_account_reference"),
            models.CheckConstraint(condition=Q(family__gte=1, family__lte=4), name="custody_account_family"),
            models.CheckConstraint(condition=Q(normal_side__in=(1, 2)), name="custody_account_side"),
            models.CheckConstraint(
                condition=Q(family=1, normal_side=2) & ~Q(owner="") | ~Q(family=1),
                name="custody_account_client_owned",
            ),
        )
        indexes = (models.Index(fields=["book", "owner"], name="custody_account_owner"),)


class AccountState(models.Model):
    """A change of what an account lets through. The newest row of an account holds."""

    id = models.BigAutoField(primary_key=True)
    book = models.ForeignKey(Book, on_delete=models.PROTECT, related_name="+")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="states")
    status = models.CharField(max_length=16, choices=AccountStatus.choices)
    no_overdraft = models.BooleanField(db_comment="the balance may not leave its normal side")
    ceiling_minor = models.BigIntegerField(
        null=True, db_comment="the balance on the normal side may not pass this"
    )
    reason = models.CharField(max_length=500)
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_account_state"
        db_table_comment = "Each change of an account's state and limits, with its reason. Append-only."
        constraints = (
            models.CheckConstraint(
                condition=Q(status__in=AccountStatus.values), name="custody_account_state_known"
            ),
            models.CheckConstraint(
                condition=Q(ceiling_minor=None) | Q(ceiling_minor__gte=0), name="custody_ceiling"
            ),
        )
        indexes = (
            models.Index(fields=["account", "-id"], name="custody_state_of_account"),
            models.Index(fields=["book", "-id"], name="custody_state_of_book"),
        )


class SigningKey(models.Model):
    """A public key with which a client signs authorisations."""

    id = models.BigAutoField(primary_key=True)
    owner = models.CharField(max_length=64, db_comment="the client's customer number")
    public_key = models.BinaryField(unique=True, db_comment="Ed25519, 32 bytes")
    registered_at = models.DateTimeField()
    registered_by = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_signing_key"
        db_table_comment = "Clients' Ed25519 public keys. Append-only."
        indexes = (models.Index(fields=["owner"], name="custody_signing_key_owner"),)


class Authorisation(models.Model):
    """A client's word that their account may be debited: to whom, how much, when, how often."""

    number = models.BigIntegerField(
        primary_key=True, db_comment="serial of the debited account 10, which of its 7, kind 1 digits"
    )
    book = models.ForeignKey(Book, on_delete=models.PROTECT, related_name="+")
    debit_account = models.ForeignKey(
        Account, on_delete=models.PROTECT, related_name="+", db_column="debit_account"
    )
    credit_account = models.ForeignKey(
        Account, on_delete=models.PROTECT, related_name="+", db_column="credit_account"
    )
    payee = models.CharField(
        max_length=140, blank=True, db_comment="who is paid outside, such as a bank card; exact"
    )
    code = models.PositiveSmallIntegerField(db_comment="the transfer code it allows")
    amount_rule = models.PositiveSmallIntegerField(choices=AmountRule.choices)
    amount_minor = models.BigIntegerField(db_comment="exact, or at most, or the formula's base")
    rate_ppm = models.BigIntegerField(null=True, db_comment="formula: yearly rate in millionths of the base")
    day_basis = models.PositiveSmallIntegerField(null=True, db_comment="formula: days of a year, 360 or 365")
    total_max_minor = models.BigIntegerField(db_comment="all uses together, at most")
    uses_max = models.IntegerField(db_comment="how often, at most")
    valid_from = models.DateTimeField()
    valid_until = models.DateTimeField(db_comment="not at or after this")
    basis = models.CharField(max_length=200, db_comment="the order, contract or decision it rests on")
    statement = models.TextField(db_comment="canonical JSON of what was agreed: the bytes that were signed")
    signature = models.BinaryField(null=True, db_comment="Ed25519 over the statement, by the client's key")
    public_key = models.BinaryField(null=True)
    given_by = models.CharField(max_length=80, db_comment="the actor whose session or signature gave it")
    given_at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "custody_authorisation"
        db_table_comment = (
            "What a client has authorised: payee, amount or formula, validity, how often. Append-only."
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(amount_minor__gt=0, uses_max__gt=0), name="custody_authorisation_some"
            ),
            models.CheckConstraint(
                condition=Q(valid_until__gt=F("valid_from")), name="custody_authorisation_window"
            ),
            models.CheckConstraint(
                condition=Q(signature=None, public_key=None)
                | Q(signature__isnull=False, public_key__isnull=False),
                name="custody_authorisation_signed",
            ),
            models.CheckConstraint(
                condition=Q(amount_rule=3, rate_ppm__isnull=False, day_basis__in=(360, 365))
                | ~Q(amount_rule=3),
                name="custody_authorisation_formula",
            ),
        )
        indexes = (models.Index(fields=["debit_account", "number"], name="custody_authorisation_debtor"),)


class AuthorisationWithdrawal(models.Model):
    """The end of an authorisation before its time."""

    id = models.BigAutoField(primary_key=True)
    book = models.ForeignKey(Book, on_delete=models.PROTECT, related_name="+")
    authorisation = models.OneToOneField(
        Authorisation, on_delete=models.PROTECT, related_name="withdrawal", db_column="authorisation"
    )
    reason = models.CharField(max_length=500)
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_authorisation_withdrawal"
        db_table_comment = "Authorisations withdrawn, with the reason. Append-only."
        indexes = (models.Index(fields=["book", "-id"], name="custody_withdrawal_of_book"),)


class Batch(models.Model):
    """Transfers that were posted in one transaction: consecutive positions of one book."""

    pk = models.CompositePrimaryKey("book_id", "last_position")
    book_id = models.PositiveSmallIntegerField()
    last_position = models.BigIntegerField()
    first_position = models.BigIntegerField()
    recorded_at = models.DateTimeField(db_comment="never before the batch before it")

    class Meta:
        db_table = "custody_batch"
        db_table_comment = "Written by the trigger on custody_transfer: the head of a book is its last batch."
        indexes = (models.Index(fields=["book_id", "recorded_at"], name="custody_batch_time"),)


class Transfer(models.Model):
    """Money moved, or held to be moved, from the debited account to the credited one."""

    pk = models.CompositePrimaryKey("book_id", "position")
    book_id = models.PositiveSmallIntegerField()
    position = models.BigIntegerField(db_comment="gap-free in the book, in commit order")
    id = models.UUIDField(db_comment="chosen by the caller: the key of idempotency")
    kind = models.PositiveSmallIntegerField(choices=TransferKind.choices)
    code = models.PositiveSmallIntegerField(db_comment="why: see docs/reference/transfer-codes.md")
    debit_account = models.BigIntegerField()
    credit_account = models.BigIntegerField()
    amount_minor = models.BigIntegerField()
    value_date = models.DateField(db_comment="when it counts for interest; never moves a position")
    at = models.DateTimeField(db_comment="when it happened, as the caller says")
    recorded_at = models.DateTimeField(db_comment="when it was posted")
    authorisation = models.BigIntegerField(null=True)
    pending_position = models.BigIntegerField(null=True, db_comment="the pending transfer this one settles")
    reverses_position = models.BigIntegerField(null=True, db_comment="the posted transfer this one reverses")
    chain_position = models.BigIntegerField(
        null=True, db_comment="the first transfer of the chain it stands in"
    )
    expires_at = models.DateTimeField(null=True, db_comment="pending: voided by itself from then on")
    balancing = models.PositiveSmallIntegerField(
        null=True, db_comment="1: as much as the debited account had, 2: as the credited one took"
    )
    asked_minor = models.BigIntegerField(null=True, db_comment="balancing: the most that was asked for")
    reference = models.TextField(null=True, db_comment="the reference the bank or channel knows it by")
    payee = models.TextField(null=True, db_comment="who is paid outside")
    reason = models.TextField(null=True, db_comment="of a reversal, a void or a correction")
    metadata = models.TextField(null=True, db_comment="a JSON object, its bytes as given")

    class Meta:
        db_table = "custody_transfer"
        db_table_comment = "Every movement of a book, in one order. Append-only; nobody updates or deletes."
        constraints = (models.UniqueConstraint(fields=["id"], name="custody_transfer_id"),)
        indexes = (
            models.Index(
                fields=["book_id", "expires_at"],
                name="custody_transfer_expiry",
                condition=Q(expires_at__isnull=False),
            ),
            models.Index(
                fields=["book_id", "reference"],
                name="custody_transfer_reference",
                condition=Q(reference__isnull=False),
            ),
        )


class Entry(models.Model):
    """One side of a transfer: the account's four totals after it. The last one is the account's balance."""

    pk = models.CompositePrimaryKey("account", "position")
    account = models.BigIntegerField()
    position = models.BigIntegerField()
    debits_posted = models.BigIntegerField()
    credits_posted = models.BigIntegerField()
    debits_pending = models.BigIntegerField()
    credits_pending = models.BigIntegerField()

    class Meta:
        db_table = "custody_entry"
        db_table_comment = "An account's totals after each transfer that touched it. Append-only."


class AuthorisationUse(models.Model):
    """One use of an authorisation. The last one says how often and for how much it has been used."""

    pk = models.CompositePrimaryKey("authorisation", "use")
    authorisation = models.BigIntegerField()
    use = models.IntegerField(db_comment="1 for the first; no number twice, so no use twice")
    book_id = models.PositiveSmallIntegerField()
    position = models.BigIntegerField()
    used_minor = models.BigIntegerField(db_comment="all uses up to this one together")

    class Meta:
        db_table = "custody_authorisation_use"
        db_table_comment = "Which transfer consumed which use of an authorisation. Append-only."


class TransferRefusal(models.Model):
    """A transfer that was asked for and turned down: final for its id."""

    id = models.BigAutoField(primary_key=True)
    book_id = models.PositiveSmallIntegerField()
    transfer_id = models.UUIDField()
    code = models.CharField(max_length=64, db_comment="the refusal's code: docs/reference/refusals.md")
    content = models.BinaryField(db_comment="SHA-256 of the request: the same request gets the same answer")
    request = models.TextField(db_comment="the request as JSON")
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_transfer_refusal"
        db_table_comment = (
            "Every refused transfer with its reason, so that a retry is answered alike. Append-only."
        )
        constraints = (models.UniqueConstraint(fields=["transfer_id"], name="custody_refusal_transfer"),)
        indexes = (models.Index(fields=["book_id", "-id"], name="custody_refusal_of_book"),)

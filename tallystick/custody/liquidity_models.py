"""Liquidity and currencies in tables: limits, liquid funds, assessments; rates, corridors, quotes.

Part of custody's vocabulary, on a page of its own. Everything here is appended and never changed.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q


class WithdrawalLimit(models.Model):
    """How much may leave a book in a day. The newest row that has begun holds."""

    id = models.BigAutoField(primary_key=True)
    book = models.ForeignKey("custody.Book", on_delete=models.PROTECT, related_name="+")
    asset = models.ForeignKey("custody.Asset", on_delete=models.PROTECT, related_name="+")
    from_day = models.DateField(db_comment="the first day of the book it holds for")
    per_day_minor = models.BigIntegerField(
        null=True, db_comment="of all withdrawals together; null: no limit"
    )
    reason = models.CharField(max_length=500)
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_withdrawal_limit"
        db_table_comment = "Each change of a book's daily limit on withdrawals, with its reason. Append-only."
        constraints = (
            models.CheckConstraint(
                condition=Q(per_day_minor=None) | Q(per_day_minor__gte=0),
                name="custody_withdrawal_limit_some",
            ),
        )
        indexes = (models.Index(fields=["book", "asset", "-id"], name="custody_limit_of_book"),)


class LiquidFunds(models.Model):
    """How soon the money on a control account can be paid out. The newest row of an account holds."""

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey("custody.Account", on_delete=models.PROTECT, related_name="+")
    after_days = models.PositiveSmallIntegerField(
        null=True, db_comment="days until it can be used: 0 at once; null: not to be counted on"
    )
    reason = models.CharField(max_length=500)
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_liquid_funds"
        db_table_comment = (
            "How soon each control account's money can be used; without a row, at once. Append-only."
        )
        indexes = (models.Index(fields=["account", "-id"], name="custody_liquid_of_account"),)


class LiquidityAssessment(models.Model):
    """A forecast as it was made, with what it was made of and what it warned of."""

    id = models.BigAutoField(primary_key=True, db_comment="shown outside as liq_ and this number")
    book = models.ForeignKey("custody.Book", on_delete=models.PROTECT, related_name="+")
    asset = models.ForeignKey("custody.Asset", on_delete=models.PROTECT, related_name="+")
    last_day = models.DateField(db_comment="the last whole day of the book that it knew")
    position = models.BigIntegerField(db_comment="the book's last position that was read")
    liquid_minor = models.BigIntegerField(db_comment="what could be paid out at once")
    survival_days = models.SmallIntegerField(db_comment="under the scenario that ends first")
    shortfall_day = models.DateField(null=True, db_comment="null: none within the horizon")
    level = models.CharField(max_length=8, db_comment="calm, watch, warning, alarm")
    told = models.JSONField(db_comment="forecast with its bands, coverage, scenarios")
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_liquidity_assessment"
        db_table_comment = "Liquidity forecasts as they were made. Append-only."
        constraints = (
            models.CheckConstraint(
                condition=Q(level__in=("calm", "watch", "warning", "alarm")), name="custody_liquidity_level"
            ),
        )
        indexes = (models.Index(fields=["book", "asset", "-id"], name="custody_assessment_latest"),)


class ExchangeRate(models.Model):
    """What one unit of an asset is worth in another, by whom and as of when."""

    id = models.BigAutoField(primary_key=True, db_comment="shown outside as rate_ and this number")
    base = models.ForeignKey("custody.Asset", on_delete=models.PROTECT, related_name="+")
    quoted = models.ForeignKey("custody.Asset", on_delete=models.PROTECT, related_name="+")
    rate = models.CharField(max_length=32, db_comment="decimal text: units of quoted for one of base")
    source = models.CharField(max_length=140)
    as_of = models.DateTimeField(db_comment="when the source said it")
    at = models.DateTimeField(db_comment="when it was recorded")
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_exchange_rate"
        db_table_comment = (
            "Rates with their source and time. Append-only; a wrong one is followed by a right one."
        )
        constraints = (
            models.CheckConstraint(condition=~Q(base=F("quoted")), name="custody_exchange_rate_two"),
            models.CheckConstraint(
                condition=Q(rate__regex=r"^(0|[1-9][0-9]{0,11})(\.[0-9]{1,12})?$"),
                name="custody_exchange_rate_decimal",
            ),
        )
        indexes = (models.Index(fields=["base", "quoted", "-as_of", "-id"], name="custody_rate_latest"),)


class Corridor(models.Model):
    """Whether money may go from one country and currency to another, and how much. The newest row holds."""

    id = models.BigAutoField(primary_key=True, db_comment="shown outside as cor_ and this number")
    book = models.ForeignKey("custody.Book", on_delete=models.PROTECT, related_name="+")
    from_country = models.CharField(max_length=2, db_comment="ISO 3166-1 alpha-2")
    to_country = models.CharField(max_length=2)
    sold = models.ForeignKey("custody.Asset", on_delete=models.PROTECT, related_name="+")
    bought = models.ForeignKey("custody.Asset", on_delete=models.PROTECT, related_name="+")
    allowed = models.BooleanField()
    per_transfer_minor = models.BigIntegerField(null=True, db_comment="of what is sold; null: no limit")
    per_period_minor = models.BigIntegerField(null=True, db_comment="of one client, in period_days")
    period_days = models.PositiveSmallIntegerField(null=True)
    margin_ppm = models.IntegerField(
        db_comment="what the client's rate is below the recorded one, in millionths"
    )
    fee_minor = models.BigIntegerField(db_comment="of what is sold, for each exchange")
    from_day = models.DateField(db_comment="the first day of the book it holds for")
    reason = models.CharField(
        max_length=500, db_comment="the rule or decision it rests on; told to who is refused"
    )
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_corridor"
        db_table_comment = "Rules of each corridor, dated, with their reason. Append-only."
        constraints = (
            models.CheckConstraint(
                condition=Q(margin_ppm__gte=0, margin_ppm__lt=1_000_000, fee_minor__gte=0),
                name="custody_corridor_cost",
            ),
            models.CheckConstraint(
                condition=Q(per_period_minor=None, period_days=None)
                | Q(per_period_minor__gte=0, period_days__gte=1),
                name="custody_corridor_period",
            ),
        )
        indexes = (
            models.Index(
                fields=["book", "from_country", "to_country", "sold", "bought", "-id"],
                name="custody_corridor_latest",
            ),
        )


class ExchangeQuote(models.Model):
    """What an exchange would cost in full, told before anything is agreed; valid for a while."""

    id = models.BigAutoField(primary_key=True, db_comment="shown outside as quo_ and this number")
    book = models.ForeignKey("custody.Book", on_delete=models.PROTECT, related_name="+")
    owner = models.CharField(max_length=64, db_comment="the client's customer number")
    seller = models.ForeignKey("custody.Account", on_delete=models.PROTECT, related_name="+")
    buyer = models.ForeignKey("custody.Account", on_delete=models.PROTECT, related_name="+")
    sold_position = models.ForeignKey("custody.Account", on_delete=models.PROTECT, related_name="+")
    bought_position = models.ForeignKey("custody.Account", on_delete=models.PROTECT, related_name="+")
    fee_account = models.ForeignKey("custody.Account", null=True, on_delete=models.PROTECT, related_name="+")
    corridor = models.ForeignKey(Corridor, on_delete=models.PROTECT, related_name="+")
    recorded_rate = models.ForeignKey(ExchangeRate, on_delete=models.PROTECT, related_name="+")
    rate = models.CharField(max_length=32, db_comment="the client's rate: the recorded one less the margin")
    rounding = models.CharField(max_length=16)
    sold_minor = models.BigIntegerField(db_comment="what is exchanged, the fee not included")
    fee_minor = models.BigIntegerField()
    margin_minor = models.BigIntegerField(
        db_comment="what the margin costs, in the asset bought: at the recorded rate less at the client's"
    )
    bought_minor = models.BigIntegerField(db_comment="what arrives")
    valid_until = models.DateTimeField()
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_exchange_quote"
        db_table_comment = "Quotes: the full cost of an exchange before consent. Append-only."
        constraints = (
            models.CheckConstraint(
                condition=Q(sold_minor__gte=1, bought_minor__gte=1, fee_minor__gte=0, margin_minor__gte=0),
                name="custody_exchange_quote_some",
            ),
            models.CheckConstraint(
                condition=Q(valid_until__gt=F("at")), name="custody_exchange_quote_window"
            ),
        )
        indexes = (models.Index(fields=["book", "owner", "-id"], name="custody_quote_of_owner"),)


class ExchangeConsent(models.Model):
    """That the client agreed to a quote: once, in its time, by authorisations of their own."""

    quote = models.OneToOneField(
        ExchangeQuote, primary_key=True, on_delete=models.PROTECT, related_name="consent"
    )
    book = models.ForeignKey("custody.Book", on_delete=models.PROTECT, related_name="+")
    entry_id = models.UUIDField(unique=True, db_comment="of the compound entry its transfers are legs of")
    order = models.BigIntegerField(db_comment="the authorisation to exchange")
    entitlement = models.BigIntegerField(null=True, db_comment="the authorisation of the fee")
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_exchange_consent"
        db_table_comment = "Consents to quotes: what was agreed is the quote's row. Append-only."


class ExchangeOutcome(models.Model):
    """What became of a consented exchange: posted or refused, then settled or failed outside."""

    id = models.BigAutoField(primary_key=True)
    quote = models.ForeignKey(ExchangeQuote, on_delete=models.PROTECT, related_name="outcomes")
    status = models.CharField(max_length=10, db_comment="posted, refused, settled, failed")
    position = models.BigIntegerField(null=True, db_comment="posted: of its first transfer")
    reason = models.CharField(max_length=500, blank=True, db_comment="refused: the code; failed: why")
    reference = models.CharField(max_length=140, blank=True, db_comment="settled: by which the bank knows it")
    at = models.DateTimeField()
    actor = models.CharField(max_length=80)

    class Meta:
        db_table = "custody_exchange_outcome"
        db_table_comment = "What became of each consented exchange. Append-only."
        constraints = (
            models.UniqueConstraint(fields=["quote", "status"], name="custody_exchange_outcome_once"),
            models.CheckConstraint(
                condition=Q(status__in=("posted", "refused", "settled", "failed")),
                name="custody_exchange_outcome_known",
            ),
        )

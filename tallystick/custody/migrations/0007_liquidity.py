import django.db.models.deletion
from django.db import migrations, models

# Appended only, like every fact of custody.
GUARDS = """
do $$
declare
    name text;
begin
    foreach name in array array[
        'custody_withdrawal_limit', 'custody_liquid_funds', 'custody_liquidity_assessment',
        'custody_exchange_rate', 'custody_corridor', 'custody_exchange_quote', 'custody_exchange_consent',
        'custody_exchange_outcome'
    ] loop
        execute format('create trigger custody_append_only before update or delete or truncate on %I '
                       'for each statement execute function custody_append_only()', name);
        execute format('grant select on %I to tallystick_app, tallystick_auditor', name);
        execute format('grant insert on %I to tallystick_app', name);
    end loop;
end
$$;

-- A book's exchanges are few among its transfers; only their rows pay for being found.
create index custody_transfer_exchange on custody_transfer (book_id, position) where code = 13;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("custody", "0006_holders"),
    ]

    operations = [
        migrations.CreateModel(
            name="ExchangeQuote",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        db_comment="shown outside as quo_ and this number", primary_key=True, serialize=False
                    ),
                ),
                ("owner", models.CharField(db_comment="the client's customer number", max_length=64)),
                (
                    "rate",
                    models.CharField(
                        db_comment="the client's rate: the recorded one less the margin", max_length=32
                    ),
                ),
                ("rounding", models.CharField(max_length=16)),
                ("sold_minor", models.BigIntegerField(db_comment="what is exchanged, the fee not included")),
                ("fee_minor", models.BigIntegerField()),
                (
                    "margin_minor",
                    models.BigIntegerField(
                        db_comment="what the margin costs, in the asset bought: at the recorded rate less at the client's"
                    ),
                ),
                ("bought_minor", models.BigIntegerField(db_comment="what arrives")),
                ("valid_until", models.DateTimeField()),
                ("at", models.DateTimeField()),
                ("actor", models.CharField(max_length=80)),
                (
                    "book",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.book"
                    ),
                ),
                (
                    "bought_position",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.account"
                    ),
                ),
                (
                    "buyer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.account"
                    ),
                ),
            ],
            options={
                "db_table": "custody_exchange_quote",
                "db_table_comment": "Quotes: the full cost of an exchange before consent. Append-only.",
                "indexes": [models.Index(fields=["book", "owner", "-id"], name="custody_quote_of_owner")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("bought_minor__gte", 1),
                            ("fee_minor__gte", 0),
                            ("margin_minor__gte", 0),
                            ("sold_minor__gte", 1),
                        ),
                        name="custody_exchange_quote_some",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("valid_until__gt", models.F("at"))),
                        name="custody_exchange_quote_window",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Corridor",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        db_comment="shown outside as cor_ and this number", primary_key=True, serialize=False
                    ),
                ),
                ("from_country", models.CharField(db_comment="ISO 3166-1 alpha-2", max_length=2)),
                ("to_country", models.CharField(max_length=2)),
                ("allowed", models.BooleanField()),
                (
                    "per_transfer_minor",
                    models.BigIntegerField(db_comment="of what is sold; null: no limit", null=True),
                ),
                (
                    "per_period_minor",
                    models.BigIntegerField(db_comment="of one client, in period_days", null=True),
                ),
                ("period_days", models.PositiveSmallIntegerField(null=True)),
                (
                    "margin_ppm",
                    models.IntegerField(
                        db_comment="what the client's rate is below the recorded one, in millionths"
                    ),
                ),
                ("fee_minor", models.BigIntegerField(db_comment="of what is sold, for each exchange")),
                ("from_day", models.DateField(db_comment="the first day of the book it holds for")),
                (
                    "reason",
                    models.CharField(
                        db_comment="the rule or decision it rests on; told to who is refused", max_length=500
                    ),
                ),
                ("at", models.DateTimeField()),
                ("actor", models.CharField(max_length=80)),
                (
                    "book",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.book"
                    ),
                ),
                (
                    "bought",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.asset"
                    ),
                ),
                (
                    "sold",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.asset"
                    ),
                ),
            ],
            options={
                "db_table": "custody_corridor",
                "db_table_comment": "Rules of each corridor, dated, with their reason. Append-only.",
                "indexes": [
                    models.Index(
                        fields=["book", "from_country", "to_country", "sold", "bought", "-id"],
                        name="custody_corridor_latest",
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("fee_minor__gte", 0), ("margin_ppm__gte", 0), ("margin_ppm__lt", 1000000)
                        ),
                        name="custody_corridor_cost",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("per_period_minor", None), ("period_days", None)),
                            models.Q(("per_period_minor__gte", 0), ("period_days__gte", 1)),
                            _connector="OR",
                        ),
                        name="custody_corridor_period",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ExchangeConsent",
            fields=[
                (
                    "quote",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="consent",
                        serialize=False,
                        to="custody.exchangequote",
                    ),
                ),
                (
                    "entry_id",
                    models.UUIDField(
                        db_comment="of the compound entry its transfers are legs of", unique=True
                    ),
                ),
                ("order", models.BigIntegerField(db_comment="the authorisation to exchange")),
                ("entitlement", models.BigIntegerField(db_comment="the authorisation of the fee", null=True)),
                ("at", models.DateTimeField()),
                ("actor", models.CharField(max_length=80)),
                (
                    "book",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.book"
                    ),
                ),
            ],
            options={
                "db_table": "custody_exchange_consent",
                "db_table_comment": "Consents to quotes: what was agreed is the quote's row. Append-only.",
            },
        ),
        migrations.AddField(
            model_name="exchangequote",
            name="corridor",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.corridor"
            ),
        ),
        migrations.AddField(
            model_name="exchangequote",
            name="fee_account",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.account"
            ),
        ),
        migrations.AddField(
            model_name="exchangequote",
            name="seller",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.account"
            ),
        ),
        migrations.AddField(
            model_name="exchangequote",
            name="sold_position",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.account"
            ),
        ),
        migrations.CreateModel(
            name="ExchangeOutcome",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("status", models.CharField(db_comment="posted, refused, settled, failed", max_length=10)),
                ("position", models.BigIntegerField(db_comment="posted: of its first transfer", null=True)),
                (
                    "reason",
                    models.CharField(blank=True, db_comment="refused: the code; failed: why", max_length=500),
                ),
                (
                    "reference",
                    models.CharField(
                        blank=True, db_comment="settled: by which the bank knows it", max_length=140
                    ),
                ),
                ("at", models.DateTimeField()),
                ("actor", models.CharField(max_length=80)),
                (
                    "quote",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="outcomes",
                        to="custody.exchangequote",
                    ),
                ),
            ],
            options={
                "db_table": "custody_exchange_outcome",
                "db_table_comment": "What became of each consented exchange. Append-only.",
                "constraints": [
                    models.UniqueConstraint(fields=("quote", "status"), name="custody_exchange_outcome_once"),
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ("posted", "refused", "settled", "failed"))),
                        name="custody_exchange_outcome_known",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ExchangeRate",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        db_comment="shown outside as rate_ and this number", primary_key=True, serialize=False
                    ),
                ),
                (
                    "rate",
                    models.CharField(
                        db_comment="decimal text: units of quoted for one of base", max_length=32
                    ),
                ),
                ("source", models.CharField(max_length=140)),
                ("as_of", models.DateTimeField(db_comment="when the source said it")),
                ("at", models.DateTimeField(db_comment="when it was recorded")),
                ("actor", models.CharField(max_length=80)),
                (
                    "base",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.asset"
                    ),
                ),
                (
                    "quoted",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.asset"
                    ),
                ),
            ],
            options={
                "db_table": "custody_exchange_rate",
                "db_table_comment": "Rates with their source and time. Append-only; a wrong one is followed by a right one.",
                "indexes": [
                    models.Index(fields=["base", "quoted", "-as_of", "-id"], name="custody_rate_latest")
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("base", models.F("quoted")), _negated=True),
                        name="custody_exchange_rate_two",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("rate__regex", "^(0|[1-9][0-9]{0,11})(\\.[0-9]{1,12})?$")),
                        name="custody_exchange_rate_decimal",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="exchangequote",
            name="recorded_rate",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.exchangerate"
            ),
        ),
        migrations.CreateModel(
            name="LiquidFunds",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "after_days",
                    models.PositiveSmallIntegerField(
                        db_comment="days until it can be used: 0 at once; null: not to be counted on",
                        null=True,
                    ),
                ),
                ("reason", models.CharField(max_length=500)),
                ("at", models.DateTimeField()),
                ("actor", models.CharField(max_length=80)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.account"
                    ),
                ),
            ],
            options={
                "db_table": "custody_liquid_funds",
                "db_table_comment": "How soon each control account's money can be used; without a row, at once. Append-only.",
                "indexes": [models.Index(fields=["account", "-id"], name="custody_liquid_of_account")],
            },
        ),
        migrations.CreateModel(
            name="LiquidityAssessment",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        db_comment="shown outside as liq_ and this number", primary_key=True, serialize=False
                    ),
                ),
                ("last_day", models.DateField(db_comment="the last whole day of the book that it knew")),
                ("position", models.BigIntegerField(db_comment="the book's last position that was read")),
                ("liquid_minor", models.BigIntegerField(db_comment="what could be paid out at once")),
                ("survival_days", models.SmallIntegerField(db_comment="under the scenario that ends first")),
                ("shortfall_day", models.DateField(db_comment="null: none within the horizon", null=True)),
                ("level", models.CharField(db_comment="calm, watch, warning, alarm", max_length=8)),
                ("told", models.JSONField(db_comment="forecast with its bands, coverage, scenarios")),
                ("at", models.DateTimeField()),
                ("actor", models.CharField(max_length=80)),
                (
                    "asset",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.asset"
                    ),
                ),
                (
                    "book",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.book"
                    ),
                ),
            ],
            options={
                "db_table": "custody_liquidity_assessment",
                "db_table_comment": "Liquidity forecasts as they were made. Append-only.",
                "indexes": [models.Index(fields=["book", "asset", "-id"], name="custody_assessment_latest")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("level__in", ("calm", "watch", "warning", "alarm"))),
                        name="custody_liquidity_level",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="WithdrawalLimit",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("from_day", models.DateField(db_comment="the first day of the book it holds for")),
                (
                    "per_day_minor",
                    models.BigIntegerField(
                        db_comment="of all withdrawals together; null: no limit", null=True
                    ),
                ),
                ("reason", models.CharField(max_length=500)),
                ("at", models.DateTimeField()),
                ("actor", models.CharField(max_length=80)),
                (
                    "asset",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.asset"
                    ),
                ),
                (
                    "book",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.book"
                    ),
                ),
            ],
            options={
                "db_table": "custody_withdrawal_limit",
                "db_table_comment": "Each change of a book's daily limit on withdrawals, with its reason. Append-only.",
                "indexes": [models.Index(fields=["book", "asset", "-id"], name="custody_limit_of_book")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("per_day_minor", None), ("per_day_minor__gte", 0), _connector="OR"
                        ),
                        name="custody_withdrawal_limit_some",
                    )
                ],
            },
        ),
        migrations.RunSQL(GUARDS, migrations.RunSQL.noop),
    ]

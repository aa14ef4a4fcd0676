import django.db.models.deletion
from django.db import migrations, models

# Appended only, like every fact of custody.
GUARDS = """
do $$
declare
    name text;
begin
    foreach name in array array[
        'custody_pay_in_details', 'custody_deposit_announcement', 'custody_deposit_notice',
        'custody_deposit', 'custody_deposits_taken', 'custody_holding', 'custody_holding_party', 'custody_holder_consent', 'custody_holder_consent_end',
        'custody_account_condition', 'custody_dormancy_rule', 'custody_dormancy_notice',
        'custody_dormancy_sweep'
    ] loop
        execute format('create trigger custody_append_only before update or delete or truncate on %I '
                       'for each statement execute function custody_append_only()', name);
        execute format('grant select on %I to tallystick_app, tallystick_auditor', name);
        execute format('grant insert on %I to tallystick_app', name);
    end loop;
end
$$;

-- Whoever thaws an account does not thaw a dead or a quiet customer's: first the condition ends, then the
-- freeze. (The estate's own payout goes through: its condition lets debits out again.)
create function custody_condition_holds() returns trigger
    language plpgsql security definer set search_path = pg_catalog, public as
$$
declare
    standing text;
begin
    select condition into standing from custody_account_condition
    where account_id = new.account_id order by id desc limit 1;
    if standing in ('dormant', 'deceased') and new.status in ('open', 'credits_frozen') then
        raise exception 'account % is %: its debits stay frozen', new.account_id, standing
            using errcode = 'integrity_constraint_violation', constraint = 'custody_condition_holds';
    end if;
    return null;
end
$$;

create trigger custody_condition_holds after insert on custody_account_state
    for each row execute function custody_condition_holds();

-- A change of condition follows on the one before: nobody jumps from a state the account is not in.
create function custody_condition_follows() returns trigger
    language plpgsql security definer set search_path = pg_catalog, public as
$$
begin
    if new.before <> coalesce((
        select condition from custody_account_condition
        where account_id = new.account_id and id < new.id order by id desc limit 1), 'active') then
        raise exception 'account % is not %', new.account_id, new.before
            using errcode = 'integrity_constraint_violation', constraint = 'custody_condition_follows';
    end if;
    return null;
end
$$;

create trigger custody_condition_follows after insert on custody_account_condition
    for each row execute function custody_condition_follows();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("custody", "0005_safeguarding"),
    ]

    operations = [
        migrations.CreateModel(
            name="DepositsTaken",
            fields=[
                (
                    "statement",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="custody.bankstatement",
                    ),
                ),
                ("credited", models.IntegerField()),
                ("suspense", models.IntegerField()),
                ("noticed", models.IntegerField(db_comment="told of early: nothing is booked from these")),
                (
                    "left_alone",
                    models.IntegerField(
                        db_comment="in the ledger already, or for the reconciliation to judge"
                    ),
                ),
                ("at", models.DateTimeField()),
            ],
            options={
                "db_table": "custody_deposits_taken",
                "db_table_comment": "Statements that deposits were taken from, so that each is read once. Append-only.",
            },
        ),
        migrations.CreateModel(
            name="HolderConsent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("customer_number", models.CharField(max_length=64)),
                ("terms", models.TextField(db_comment="canonical JSON of what is agreed, without its times")),
                ("digest", models.BinaryField(db_comment="SHA-256 of terms")),
                ("at", models.DateTimeField()),
                ("expires_at", models.DateTimeField(db_comment="counts for nothing from then on")),
                ("actor", models.CharField(max_length=80)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.account"
                    ),
                ),
            ],
            options={
                "db_table": "custody_holder_consent",
                "db_table_comment": "What holders have agreed to and other holders have not yet. Append-only.",
                "indexes": [models.Index(fields=["account", "-id"], name="custody_consent_of_account")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("expires_at__gt", models.F("at"))), name="custody_consent_window"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="DepositAnnouncement",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        db_comment="shown outside as ann_ and this number", primary_key=True, serialize=False
                    ),
                ),
                ("amount_minor", models.BigIntegerField()),
                ("expected_until", models.DateField(db_comment="not here by then: told as not arrived")),
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
                "db_table": "custody_deposit_announcement",
                "db_table_comment": "Deposits customers say they have sent. Append-only.",
                "indexes": [models.Index(fields=["account", "-id"], name="custody_announcement_of")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("amount_minor__gt", 0)), name="custody_announcement_some"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="DepositNotice",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("amount_minor", models.BigIntegerField()),
                ("booking_date", models.DateField()),
                (
                    "digest",
                    models.BinaryField(
                        db_comment="of account, amount, day and references: the same payment told twice is known again"
                    ),
                ),
                ("nth", models.IntegerField(db_comment="payments alike on one day, in the order told")),
                ("at", models.DateTimeField()),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.account"
                    ),
                ),
                (
                    "statement_line",
                    models.OneToOneField(
                        db_column="statement_line",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="custody.statementline",
                    ),
                ),
            ],
            options={
                "db_table": "custody_deposit_notice",
                "db_table_comment": "Money the bank has told of and not yet put into a statement. Append-only.",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("account", "digest", "nth"), name="custody_deposit_notice_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Deposit",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        db_comment="shown outside as dep_ and this number", primary_key=True, serialize=False
                    ),
                ),
                (
                    "outcome",
                    models.CharField(
                        choices=[("credited", "Credited"), ("suspense", "Suspense")], max_length=8
                    ),
                ),
                (
                    "why",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "Credited"),
                            ("no_reference", "No Reference"),
                            ("mistyped", "Mistyped"),
                            ("several", "Several"),
                            ("no_account", "No Account"),
                            ("not_taken", "Not Taken"),
                        ],
                        max_length=12,
                    ),
                ),
                ("amount_minor", models.BigIntegerField()),
                ("booking_date", models.DateField()),
                ("payer_name", models.TextField(blank=True, db_comment="as the bank tells it")),
                ("payer_account", models.CharField(blank=True, max_length=64)),
                (
                    "transfer",
                    models.UUIDField(db_comment="made from the line, so that it is posted once", unique=True),
                ),
                ("position", models.BigIntegerField()),
                ("at", models.DateTimeField()),
                ("actor", models.CharField(max_length=80)),
                (
                    "account",
                    models.ForeignKey(
                        db_comment="credited: client or suspense",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="custody.account",
                    ),
                ),
                (
                    "bank_account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.account"
                    ),
                ),
                (
                    "book",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.book"
                    ),
                ),
                (
                    "statement_line",
                    models.OneToOneField(
                        db_column="statement_line",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="custody.statementline",
                    ),
                ),
                (
                    "announcement",
                    models.OneToOneField(
                        db_comment="the word it makes good",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="custody.depositannouncement",
                    ),
                ),
                (
                    "notice",
                    models.OneToOneField(
                        db_comment="by which the bank told of it before",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="custody.depositnotice",
                    ),
                ),
            ],
            options={
                "db_table": "custody_deposit",
                "db_table_comment": "Incoming payments booked from bank statements. Append-only.",
                "indexes": [models.Index(fields=["account", "-id"], name="custody_deposit_of_account")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("amount_minor__gt", 0)), name="custody_deposit_some"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("outcome", "credited"), ("why", "")),
                            models.Q(("outcome", "suspense"), models.Q(("why", ""), _negated=True)),
                            _connector="OR",
                        ),
                        name="custody_deposit_why",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="DormancyNotice",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "last_movement_at",
                    models.DateTimeField(db_comment="a later movement makes the notice void"),
                ),
                ("dormant_from", models.DateTimeField()),
                ("at", models.DateTimeField()),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.account"
                    ),
                ),
            ],
            options={
                "db_table": "custody_dormancy_notice",
                "db_table_comment": "Notices before an account becomes dormant. Append-only.",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("account", "last_movement_at"), name="custody_dormancy_notice_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="DormancyRule",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("days", models.PositiveIntegerField(db_comment="without a movement the customer made")),
                (
                    "notice_days",
                    models.PositiveIntegerField(db_comment="so long before, the customer is told"),
                ),
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
                "db_table": "custody_dormancy_rule",
                "db_table_comment": "When accounts of a book become dormant; no row: never. Append-only.",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("days__gt", models.F("notice_days")), ("notice_days__gt", 0)),
                        name="custody_dormancy_days",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="DormancySweep",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("day", models.DateField(db_comment="of the book's own time zone")),
                ("at", models.DateTimeField()),
                (
                    "book",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.book"
                    ),
                ),
            ],
            options={
                "db_table": "custody_dormancy_sweep",
                "db_table_comment": "Days on which every quiet account of a book was dealt with. Append-only.",
                "constraints": [
                    models.UniqueConstraint(fields=("book", "day"), name="custody_dormancy_swept")
                ],
            },
        ),
        migrations.CreateModel(
            name="HolderConsentEnd",
            fields=[
                (
                    "consent",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="end",
                        serialize=False,
                        to="custody.holderconsent",
                    ),
                ),
                ("authorisation", models.BigIntegerField(db_comment="empty: taken back", null=True)),
                ("at", models.DateTimeField()),
                ("actor", models.CharField(max_length=80)),
            ],
            options={
                "db_table": "custody_holder_consent_end",
                "db_table_comment": "Consents that count no longer: each counts once. Append-only.",
            },
        ),
        migrations.CreateModel(
            name="Holding",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("rule", models.CharField(choices=[("any", "Any"), ("all", "All")], max_length=3)),
                ("document", models.CharField(db_comment="the paper it rests on", max_length=200)),
                ("reason", models.CharField(max_length=500)),
                ("approval", models.BigIntegerField(db_comment="the proposal that another person approved")),
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
                "db_table": "custody_holding",
                "db_table_comment": "Who holds an account: none here, its owner alone. Append-only.",
                "indexes": [models.Index(fields=["account", "-id"], name="custody_holding_latest")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("rule__in", ["any", "all"])), name="custody_holding_rule"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("document", ""), _negated=True), name="custody_holding_documented"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="HoldingParty",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "holding_id",
                        "customer_number",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("customer_number", models.CharField(max_length=64)),
                (
                    "capacity",
                    models.CharField(
                        choices=[
                            ("holder", "Holder"),
                            ("minor", "Minor"),
                            ("guardian", "Guardian"),
                            ("representative", "Representative"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "holding",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="parties",
                        to="custody.holding",
                    ),
                ),
            ],
            options={
                "db_table": "custody_holding_party",
                "db_table_comment": "Each holder of a holding and as what they stand there. Append-only.",
                "indexes": [models.Index(fields=["customer_number"], name="custody_holding_customer")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("capacity__in", ["holder", "minor", "guardian", "representative"])
                        ),
                        name="custody_holding_capacity",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="PayInDetails",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "holder_name",
                    models.CharField(
                        db_comment="the name on the account, as a payer writes it", max_length=70
                    ),
                ),
                (
                    "account_number",
                    models.CharField(db_comment="IBAN, or the bank's own number", max_length=34),
                ),
                ("bank_name", models.CharField(max_length=140)),
                (
                    "bank_code",
                    models.CharField(
                        blank=True, db_comment="BIC, or the clearing code used in the place", max_length=35
                    ),
                ),
                ("takes_from", models.DateField(db_comment="lines booked before this day are left alone")),
                (
                    "is_open",
                    models.BooleanField(db_comment="false: no longer shown, and lines are left alone"),
                ),
                ("approval", models.BigIntegerField(db_comment="the proposal that another person approved")),
                ("at", models.DateTimeField()),
                ("actor", models.CharField(max_length=80)),
                (
                    "bank_account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.account"
                    ),
                ),
                (
                    "book",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.book"
                    ),
                ),
                (
                    "suspense_account",
                    models.ForeignKey(
                        db_comment="where money goes that names no owner; empty: left to the reconciliation",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="custody.account",
                    ),
                ),
            ],
            options={
                "db_table": "custody_pay_in_details",
                "db_table_comment": "Bank details customers pay to, each change approved by a second person. Append-only.",
                "indexes": [models.Index(fields=["bank_account", "-id"], name="custody_pay_in_latest")],
            },
        ),
        migrations.CreateModel(
            name="AccountCondition",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "before",
                    models.CharField(
                        choices=[
                            ("active", "Active"),
                            ("dormant", "Dormant"),
                            ("deceased", "Deceased"),
                            ("estate", "Estate"),
                        ],
                        max_length=8,
                    ),
                ),
                (
                    "condition",
                    models.CharField(
                        choices=[
                            ("active", "Active"),
                            ("dormant", "Dormant"),
                            ("deceased", "Deceased"),
                            ("estate", "Estate"),
                        ],
                        max_length=8,
                    ),
                ),
                ("reason", models.CharField(max_length=500)),
                (
                    "document",
                    models.CharField(blank=True, db_comment="the paper it rests on", max_length=200),
                ),
                (
                    "approval",
                    models.BigIntegerField(db_comment="empty: by time, or by the customer", null=True),
                ),
                (
                    "state",
                    models.BigIntegerField(
                        db_comment="the account state written with it; it alone may be taken back with it",
                        null=True,
                    ),
                ),
                (
                    "status_before",
                    models.CharField(
                        blank=True, db_comment="what the account let through before", max_length=16
                    ),
                ),
                ("at", models.DateTimeField()),
                ("actor", models.CharField(max_length=80)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="conditions",
                        to="custody.account",
                    ),
                ),
            ],
            options={
                "db_table": "custody_account_condition",
                "db_table_comment": "Accounts dormant, of the deceased, of an estate, and back. Append-only.",
                "indexes": [models.Index(fields=["account", "-id"], name="custody_condition_latest")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("before__in", ["active", "dormant", "deceased", "estate"]),
                            ("condition__in", ["active", "dormant", "deceased", "estate"]),
                            models.Q(("condition", models.F("before")), _negated=True),
                        ),
                        name="custody_condition_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("condition__in", ("deceased", "estate")), _negated=True),
                            models.Q(
                                models.Q(("document", ""), _negated=True),
                                models.Q(("approval", None), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="custody_condition_documented",
                    ),
                ],
            },
        ),
        migrations.RunSQL(GUARDS, migrations.RunSQL.noop),
    ]

import django.db.models.deletion
from django.db import migrations, models

# Appended only, like every fact of custody; the app writes what it reads from files, the auditor reads.
GUARDS = """
do $$
declare
    name text;
begin
    foreach name in array array[
        'custody_statement_file', 'custody_statement_file_part', 'custody_statement', 'custody_statement_line',
        'custody_reconciliation', 'custody_break'
    ] loop
        execute format('create trigger custody_append_only before update or delete or truncate on %I '
                       'for each statement execute function custody_append_only()', name);
        execute format('grant select on %I to tallystick_app, tallystick_auditor', name);
        execute format('grant insert on %I to tallystick_app', name);
    end loop;
end
$$;

-- The proof of every kept statement, whoever wrote it: its lines, once all are there, make its closing balance.
create function custody_statement_adds_up() returns trigger
    language plpgsql security definer set search_path = pg_catalog, public set enable_seqscan = off as
$$
declare
    held record;
begin
    select count(*) as lines, coalesce(sum(amount_minor), 0) as net into held
    from custody_statement_line where statement_id = new.id;
    if held.lines <> new.entries or new.opening_minor + held.net <> new.closing_minor then
        raise exception 'statement % has % lines and does not add up', new.id, held.lines
            using errcode = 'integrity_constraint_violation', constraint = 'custody_statement_adds_up';
    end if;
    return null;
end
$$;

create constraint trigger custody_statement_adds_up after insert on custody_statement
    deferrable initially deferred for each row execute function custody_statement_adds_up();

-- And nothing can be added to it afterwards.
create function custody_statement_line_bounded() returns trigger
    language plpgsql security definer set search_path = pg_catalog, public set enable_seqscan = off as
$$
begin
    perform from custody_statement s
    where s.id in (select distinct statement_id from written)
        and s.entries < (select count(*) from custody_statement_line l where l.statement_id = s.id);
    if found then
        raise exception 'a statement has its lines already'
            using errcode = 'integrity_constraint_violation', constraint = 'custody_statement_line_bounded';
    end if;
    return null;
end
$$;

create trigger custody_statement_line_bounded after insert on custody_statement_line
    referencing new table as written for each statement execute function custody_statement_line_bounded();

alter table custody_reconciliation
    add constraint custody_reconciliation_explained check (unexplained_minor = 0);
"""


class Migration(migrations.Migration):
    dependencies = [
        ("custody", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Reconciliation",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        db_comment="shown outside as rec_ and this number", primary_key=True, serialize=False
                    ),
                ),
                (
                    "cut_off",
                    models.DateField(
                        db_comment="the day of the bank's closing balance; lines up to it count"
                    ),
                ),
                ("position", models.BigIntegerField(db_comment="the book's last position that was read")),
                ("bank_balance_minor", models.BigIntegerField()),
                ("ledger_balance_minor", models.BigIntegerField()),
                (
                    "unexplained_minor",
                    models.BigIntegerField(
                        db_comment="bank less ledger less the breaks: 0, or the reconciliation has failed"
                    ),
                ),
                ("matched", models.IntegerField(db_comment="pairs of a statement line and a ledger line")),
                ("breaks", models.IntegerField()),
                ("window_days", models.SmallIntegerField()),
                ("timing_days", models.SmallIntegerField()),
                (
                    "digest",
                    models.BinaryField(
                        db_comment="SHA-256 over every match and break: the same inputs give the same"
                    ),
                ),
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
            ],
            options={
                "db_table": "custody_reconciliation",
                "db_table_comment": "Each run of the reconciliation, with both totals. Append-only.",
                "indexes": [
                    models.Index(fields=["bank_account", "-id"], name="custody_reconciliation_latest")
                ],
            },
        ),
        migrations.CreateModel(
            name="StatementFile",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        db_comment="shown outside as stm_ and this number", primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(db_comment="as it was sent", max_length=255)),
                ("format", models.CharField(db_comment="camt.053.001.08, mt940", max_length=32)),
                ("encoding", models.CharField(max_length=32)),
                ("bytes", models.BigIntegerField(db_comment="length of the original")),
                (
                    "sha256",
                    models.BinaryField(
                        db_comment="of the original: the same file is taken once", unique=True
                    ),
                ),
                (
                    "statements",
                    models.IntegerField(db_comment="in the file, those known from other files included"),
                ),
                ("entries", models.IntegerField(db_comment="booked entries in the file")),
                ("imported_at", models.DateTimeField()),
                ("imported_by", models.CharField(max_length=80)),
                (
                    "bank_account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.account"
                    ),
                ),
            ],
            options={
                "db_table": "custody_statement_file",
                "db_table_comment": "Statement files imported whole; a refused file leaves nothing here. Append-only.",
                "indexes": [models.Index(fields=["bank_account", "-id"], name="custody_file_of_account")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("bytes__gt", 0)), name="custody_statement_file_some"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="BankStatement",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("index", models.IntegerField(db_comment="its place in the file, from 1")),
                ("line", models.IntegerField(db_comment="the line of the file where it begins")),
                (
                    "account",
                    models.CharField(
                        db_comment="the bank's number of the account: IBAN or its own", max_length=64
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                ("identification", models.CharField(db_comment="Stmt/Id or :20:", max_length=64)),
                (
                    "number",
                    models.BigIntegerField(db_comment="sequence number, where the bank numbers", null=True),
                ),
                ("page", models.IntegerField(null=True)),
                ("from_date", models.DateField(null=True)),
                ("to_date", models.DateField(db_comment="the day of the closing balance")),
                ("opening_minor", models.BigIntegerField()),
                ("closing_minor", models.BigIntegerField()),
                ("entries", models.IntegerField()),
                (
                    "digest",
                    models.BinaryField(db_comment="SHA-256 of what it says: known again in another file"),
                ),
                (
                    "bank_account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.account"
                    ),
                ),
                (
                    "file",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="custody.statementfile",
                    ),
                ),
            ],
            options={
                "db_table": "custody_statement",
                "db_table_comment": "Bank statements: opening balance plus lines is closing balance. Append-only.",
                "indexes": [models.Index(fields=["bank_account", "to_date"], name="custody_statement_days")],
                "constraints": [
                    models.UniqueConstraint(fields=("bank_account", "digest"), name="custody_statement_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="StatementFilePart",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "file_id", "part", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("part", models.IntegerField(db_comment="from 0; the parts in order are the file")),
                ("content", models.BinaryField()),
                (
                    "file",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="parts",
                        to="custody.statementfile",
                    ),
                ),
            ],
            options={
                "db_table": "custody_statement_file_part",
                "db_table_comment": "The original bytes of statement files. Append-only.",
            },
        ),
        migrations.CreateModel(
            name="StatementLine",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("number", models.IntegerField(db_comment="its place in the statement, from 1")),
                ("line", models.IntegerField(db_comment="the line of the file where it begins")),
                ("amount_minor", models.BigIntegerField(db_comment="positive where money came in")),
                ("booking_date", models.DateField()),
                ("value_date", models.DateField()),
                ("references", models.JSONField(db_comment="what may identify the payment, the best first")),
                ("remittance", models.TextField(blank=True)),
                ("counterparty_name", models.TextField(blank=True)),
                ("counterparty_account", models.CharField(blank=True, max_length=64)),
                (
                    "code",
                    models.CharField(blank=True, db_comment="the bank's transaction code", max_length=64),
                ),
                ("reversal", models.BooleanField()),
                (
                    "details",
                    models.JSONField(db_comment="the transactions of a batch: never booked, the line is"),
                ),
                (
                    "statement",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="lines",
                        to="custody.bankstatement",
                    ),
                ),
            ],
            options={
                "db_table": "custody_statement_line",
                "db_table_comment": "Lines of bank statements. Append-only.",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("statement", "number"), name="custody_statement_line_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Break",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("number", models.IntegerField(db_comment="from 1, in the order of days")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("duplicate", "Duplicate"),
                            ("amount", "Amount"),
                            ("wrong_account", "Wrong Account"),
                            ("timing", "Timing"),
                            ("unidentified", "Unidentified"),
                            ("missing_in_ledger", "Missing In Ledger"),
                            ("missing_at_bank", "Missing At Bank"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "effect_minor",
                    models.BigIntegerField(db_comment="what it adds to the bank's total over the ledger's"),
                ),
                ("position", models.BigIntegerField(db_comment="of the ledger line", null=True)),
                ("reference", models.TextField(blank=True, db_comment="by which both sides were compared")),
                ("day", models.DateField(db_comment="of the line it stands for: its age counts from here")),
                (
                    "twin",
                    models.TextField(
                        blank=True, db_comment="the line it repeats, or the account where it was found"
                    ),
                ),
                (
                    "reconciliation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="lines",
                        to="custody.reconciliation",
                    ),
                ),
                (
                    "statement_line",
                    models.ForeignKey(
                        db_column="statement_line",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="custody.statementline",
                    ),
                ),
            ],
            options={
                "db_table": "custody_break",
                "db_table_comment": "The differences a reconciliation found. Append-only.",
                "constraints": [
                    models.UniqueConstraint(fields=("reconciliation", "number"), name="custody_break_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "kind__in",
                                [
                                    "duplicate",
                                    "amount",
                                    "wrong_account",
                                    "timing",
                                    "unidentified",
                                    "missing_in_ledger",
                                    "missing_at_bank",
                                ],
                            )
                        ),
                        name="custody_break_kind",
                    ),
                ],
            },
        ),
        migrations.RunSQL(GUARDS, migrations.RunSQL.noop),
    ]

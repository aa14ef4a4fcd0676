import django.db.models.deletion
from django.db import migrations, models

# Appended only, like every fact of custody; the app writes what it reads from files, the auditor reads.
GUARDS = """
create trigger custody_append_only before update or delete or truncate on custody_statement_note
    for each statement execute function custody_append_only();
grant select on custody_statement_note to tallystick_app, tallystick_auditor;
grant insert on custody_statement_note to tallystick_app;

-- A statement states both balances, and adds up; or the closing one; or, as a notification does, neither.
create or replace function custody_statement_adds_up() returns trigger
    language plpgsql security definer set search_path = pg_catalog, public set enable_seqscan = off as
$$
declare
    held record;
begin
    select count(*) as lines, coalesce(sum(amount_minor), 0) as net into held
    from custody_statement_line where statement_id = new.id;
    if held.lines <> new.entries
        or (new.opening_minor is not null and new.opening_minor + held.net <> new.closing_minor) then
        raise exception 'statement % has % lines and does not add up', new.id, held.lines
            using errcode = 'integrity_constraint_violation', constraint = 'custody_statement_adds_up';
    end if;
    return null;
end
$$;
"""

_SOURCES = [("custodian", "Custodian"), ("channel", "Channel")]
_KINDS = [
    ("statement", "Statement"),
    ("interim", "Interim"),
    ("notification", "Notification"),
    ("settlement", "Settlement"),
]


class Migration(migrations.Migration):
    dependencies = [("custody", "0007_liquidity")]

    operations = [
        migrations.CreateModel(
            name="StatementNote",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "file_id", "number", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("number", models.IntegerField(db_comment="from 1, in the order of lines")),
                ("line", models.IntegerField(db_comment="the line of the file where it was seen")),
                (
                    "code",
                    models.CharField(
                        db_comment="number_gap, balance_gap, entry_repeated, ...", max_length=40
                    ),
                ),
                (
                    "told",
                    models.JSONField(db_comment="what its text names: {} where it names nothing"),
                ),
                (
                    "file",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="notes",
                        to="custody.statementfile",
                    ),
                ),
            ],
            options={
                "db_table": "custody_statement_note",
                "db_table_comment": "What importing a statement file told besides its lines. Append-only.",
            },
        ),
        migrations.AddField(
            model_name="statementfile",
            name="source",
            field=models.CharField(
                choices=_SOURCES,
                db_comment="who speaks: the custodian, or a payment channel",
                default="custodian",
                max_length=10,
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="statementfile",
            name="mapping",
            field=models.JSONField(
                db_comment="what the columns of a CSV file were declared to be: it is read again by this",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="statementfile",
            name="format",
            field=models.CharField(db_comment="camt.053.001.08, mt940, ofx.102, csv", max_length=32),
        ),
        migrations.AddField(
            model_name="bankstatement",
            name="source",
            field=models.CharField(
                choices=_SOURCES, db_comment="as of its file", default="custodian", max_length=10
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="bankstatement",
            name="kind",
            field=models.CharField(
                choices=_KINDS,
                db_comment="statement, interim, notification or settlement",
                default="statement",
                max_length=12,
            ),
            preserve_default=False,
        ),
        migrations.AlterField(
            model_name="bankstatement",
            name="opening_minor",
            field=models.BigIntegerField(db_comment="null where the bank states none", null=True),
        ),
        migrations.AlterField(
            model_name="bankstatement",
            name="closing_minor",
            field=models.BigIntegerField(db_comment="null where the bank states none", null=True),
        ),
        migrations.AlterField(
            model_name="bankstatement",
            name="to_date",
            field=models.DateField(db_comment="the day of the closing balance, or its last day"),
        ),
        migrations.AddField(
            model_name="statementline",
            name="gross_minor",
            field=models.BigIntegerField(
                db_comment="of a channel's line: what was paid, before the channel's fee", null=True
            ),
        ),
        migrations.AddField(
            model_name="statementline",
            name="fee_minor",
            field=models.BigIntegerField(
                db_comment="of a channel's line: what the channel keeps, positive where it costs", null=True
            ),
        ),
        migrations.AddField(
            model_name="statementline",
            name="settlement",
            field=models.CharField(
                blank=True,
                db_comment="of a channel's line: the payout in which it comes to the bank",
                default="",
                max_length=128,
            ),
            preserve_default=False,
        ),
        migrations.AddConstraint(
            model_name="statementfile",
            constraint=models.CheckConstraint(
                condition=models.Q(("source__in", ["custodian", "channel"])),
                name="custody_statement_file_source",
            ),
        ),
        migrations.AddConstraint(
            model_name="bankstatement",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "settlement"), ("source", "channel")),
                    models.Q(("kind__in", ["statement", "interim", "notification"]), ("source", "custodian")),
                    _connector="OR",
                ),
                name="custody_statement_kind",
            ),
        ),
        migrations.AddConstraint(
            model_name="bankstatement",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("opening_minor__isnull", True), ("closing_minor__isnull", False), _connector="OR"
                ),
                name="custody_statement_closes",
            ),
        ),
        migrations.AddConstraint(
            model_name="statementline",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("fee_minor__isnull", True), ("gross_minor__isnull", True)),
                    models.Q(
                        ("fee_minor__isnull", False),
                        (
                            "gross_minor",
                            models.expressions.CombinedExpression(
                                models.F("amount_minor"), "+", models.F("fee_minor")
                            ),
                        ),
                        ("gross_minor__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="custody_statement_line_net",
            ),
        ),
        migrations.RunSQL(GUARDS, migrations.RunSQL.noop),
    ]

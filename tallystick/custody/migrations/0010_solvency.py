import django.db.models.deletion
from django.db import migrations, models

# Appended only, like every fact of custody; the app writes, the auditor reads.
GUARDS = """
do $$
declare
    name text;
begin
    foreach name in array array['custody_solvency_statement', 'custody_solvency_tree'] loop
        execute format('create trigger custody_append_only before update or delete or truncate on %I '
                       'for each statement execute function custody_append_only()', name);
        execute format('grant select on %I to tallystick_app, tallystick_auditor', name);
        execute format('grant insert on %I to tallystick_app', name);
    end loop;
end
$$;

-- A book's statements are one chain, whoever writes them: each names the digest of the one before it.
create function custody_solvency_statement_chained() returns trigger
    language plpgsql security definer set search_path = pg_catalog, public as
$$
declare
    before record;
begin
    select number, digest into before from custody_solvency_statement
    where book_id = new.book_id order by number desc limit 1;
    if new.number <> coalesce(before.number, 0) + 1 or new.previous_digest is distinct from before.digest then
        raise exception 'statement % of book % does not follow the one before it', new.number, new.book_id
            using errcode = 'integrity_constraint_violation', constraint = 'custody_solvency_statement_chained';
    end if;
    return new;
end
$$;

create trigger custody_solvency_statement_chained before insert on custody_solvency_statement
    for each row execute function custody_solvency_statement_chained();
"""

DROP = """
drop function custody_solvency_statement_chained cascade;
"""


class Migration(migrations.Migration):
    dependencies = (("custody", "0009_batch_root"),)

    operations = (
        migrations.CreateModel(
            name="SolvencyStatement",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        db_comment="shown outside as sol_ and this number", primary_key=True, serialize=False
                    ),
                ),
                (
                    "number",
                    models.IntegerField(db_comment="from 1, without a gap: its place in the book's chain"),
                ),
                ("day", models.DateField(db_comment="the day of the book at whose close it stands")),
                ("position", models.BigIntegerField(db_comment="the book's last position at that close")),
                (
                    "state",
                    models.CharField(
                        db_comment="the worst of its assets: covered, unknown or short", max_length=8
                    ),
                ),
                (
                    "statement",
                    models.TextField(db_comment="canonical JSON of the whole of it: the bytes of digest"),
                ),
                (
                    "previous_digest",
                    models.BinaryField(
                        db_comment="of the statement before it; nothing for the first", null=True
                    ),
                ),
                ("digest", models.BinaryField(db_comment="SHA-256 over the statement", unique=True)),
                (
                    "event",
                    models.BigIntegerField(
                        db_comment="the event by which the public log tells of it", unique=True
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
            ],
            options={
                "db_table": "custody_solvency_statement",
                "db_table_comment": "Daily statements of solvency, each chained to the one before. Append-only.",
                "indexes": [models.Index(fields=["book", "day", "-number"], name="custody_solvency_of_day")],
                "constraints": [
                    models.UniqueConstraint(fields=("book", "number"), name="custody_solvency_in_turn"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("number", 1), ("previous_digest", None)),
                            models.Q(("number__gt", 1), ("previous_digest__isnull", False)),
                            _connector="OR",
                        ),
                        name="custody_solvency_chained",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ("covered", "unknown", "short"))),
                        name="custody_solvency_state",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SolvencyTree",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "statement_id",
                        "asset_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "accounts",
                    models.BigIntegerField(db_comment="client accounts in the tree, those at zero included"),
                ),
                ("total_minor", models.BigIntegerField(db_comment="what the tree comes to")),
                (
                    "unallocated_minor",
                    models.BigIntegerField(db_comment="in suspense: somebody's, and in nobody's leaf yet"),
                ),
                (
                    "bank_minor",
                    models.BigIntegerField(
                        db_comment="as the custodians' statements close; null: not known for every account",
                        null=True,
                    ),
                ),
                ("root", models.BinaryField(db_comment="of the tree")),
                ("commitment_digest", models.BinaryField(db_comment="of what was published of the tree")),
                (
                    "sealed_key",
                    models.BinaryField(
                        db_comment="the tree's key under the installation's secret: needed for every later proof of this day"
                    ),
                ),
                (
                    "asset",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.asset"
                    ),
                ),
                (
                    "statement",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="trees",
                        to="custody.solvencystatement",
                    ),
                ),
            ],
            options={
                "db_table": "custody_solvency_tree",
                "db_table_comment": "The sum trees of a solvency statement, one an asset. Append-only.",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("accounts__gte", 0), ("total_minor__gte", 0), ("unallocated_minor__gte", 0)
                        ),
                        name="custody_solvency_tree_sums",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("accounts__gt", 0), ("total_minor", 0), _connector="OR"),
                        name="custody_solvency_tree_of_somebody",
                    ),
                ],
            },
        ),
        migrations.RunSQL(GUARDS, DROP),
    )

import django.db.models.deletion
from django.db import migrations, models

# Appended only, like every fact of custody; the app writes, the auditor reads.
GUARDS = """
do $$
declare
    name text;
begin
    foreach name in array array[
        'custody_safeguarding_account', 'custody_prudent_segregation', 'custody_book_contact',
        'custody_safeguarding_proof', 'custody_safeguarding_position', 'custody_resolution_pack'
    ] loop
        execute format('create trigger custody_append_only before update or delete or truncate on %I '
                       'for each statement execute function custody_append_only()', name);
        execute format('grant select on %I to tallystick_app, tallystick_auditor', name);
        execute format('grant insert on %I to tallystick_app', name);
    end loop;
end
$$;

-- A book's proofs are one chain, whoever writes them: each names the digest of the one before it.
create function custody_safeguarding_proof_chained() returns trigger
    language plpgsql security definer set search_path = pg_catalog, public as
$$
declare
    before record;
begin
    select number, digest into before from custody_safeguarding_proof
    where book_id = new.book_id order by number desc limit 1;
    if new.number <> coalesce(before.number, 0) + 1 or new.previous_digest is distinct from before.digest then
        raise exception 'proof % of book % does not follow the one before it', new.number, new.book_id
            using errcode = 'integrity_constraint_violation', constraint = 'custody_safeguarding_proof_chained';
    end if;
    return new;
end
$$;

create trigger custody_safeguarding_proof_chained before insert on custody_safeguarding_proof
    for each row execute function custody_safeguarding_proof_chained();

-- What an external account is for: only external accounts are declared to be for something.
create function custody_safeguarding_account_external() returns trigger
    language plpgsql as
$$
begin
    if new.account_id / 100000000000000 % 10 <> 3 then
        raise exception 'account % is no external account', new.account_id
            using errcode = 'integrity_constraint_violation', constraint = 'custody_safeguarding_account_external';
    end if;
    return new;
end
$$;

create trigger custody_safeguarding_account_external before insert on custody_safeguarding_account
    for each row execute function custody_safeguarding_account_external();
"""


class Migration(migrations.Migration):
    dependencies = (("custody", "0004_workbench"),)

    operations = (
        migrations.CreateModel(
            name="SafeguardingProof",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        db_comment="shown outside as sgp_ and this number", primary_key=True, serialize=False
                    ),
                ),
                (
                    "number",
                    models.IntegerField(db_comment="from 1, without a gap: its place in the book's chain"),
                ),
                ("day", models.DateField(db_comment="the day of the book at whose close it stands")),
                ("position", models.BigIntegerField(db_comment="the book's last position at that close")),
                ("result", models.CharField(db_comment="the worst of its findings", max_length=12)),
                (
                    "header",
                    models.TextField(
                        db_comment="canonical JSON of everything but the accounts: the bytes of digest"
                    ),
                ),
                (
                    "accounts",
                    models.IntegerField(
                        db_comment="accounts that were not at zero: read again from the ledger"
                    ),
                ),
                (
                    "accounts_digest",
                    models.BinaryField(db_comment="SHA-256 over their lines, also in the header"),
                ),
                (
                    "previous_digest",
                    models.BinaryField(db_comment="of the proof before it; nothing for the first", null=True),
                ),
                ("digest", models.BinaryField(db_comment="SHA-256 over the header", unique=True)),
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
                "db_table": "custody_safeguarding_proof",
                "db_table_comment": "Daily segregation proofs, each chained to the one before. Append-only.",
                "indexes": [models.Index(fields=["book", "day", "-number"], name="custody_proof_of_day")],
                "constraints": [
                    models.UniqueConstraint(fields=("book", "number"), name="custody_proof_in_turn"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("number", 1), ("previous_digest", None)),
                            models.Q(("number__gt", 1), ("previous_digest__isnull", False)),
                            _connector="OR",
                        ),
                        name="custody_proof_chained",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("result__in", ("compliant", "breach", "undetermined"))),
                        name="custody_proof_result",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SafeguardingPosition",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "proof_id", "asset_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("owed_minor", models.BigIntegerField(db_comment="to clients, each at least 0")),
                (
                    "unallocated_minor",
                    models.BigIntegerField(db_comment="in suspense: somebody's, or between two"),
                ),
                ("prudent_minor", models.BigIntegerField()),
                ("requirement_minor", models.BigIntegerField()),
                (
                    "ledger_resource_minor",
                    models.BigIntegerField(db_comment="in safeguarding accounts, as the ledger has it"),
                ),
                (
                    "custodian_resource_minor",
                    models.BigIntegerField(
                        db_comment="as the custodians' statements close; null: not known for every account",
                        null=True,
                    ),
                ),
                ("shortfall_minor", models.BigIntegerField()),
                ("excess_minor", models.BigIntegerField()),
                (
                    "asset",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="custody.asset"
                    ),
                ),
                (
                    "proof",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="positions",
                        to="custody.safeguardingproof",
                    ),
                ),
            ],
            options={
                "db_table": "custody_safeguarding_position",
                "db_table_comment": "What a proof says of each asset, in minor units. Append-only.",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("owed_minor__gte", 0),
                            ("prudent_minor__gte", 0),
                            (
                                "requirement_minor",
                                django.db.models.expressions.CombinedExpression(
                                    django.db.models.expressions.CombinedExpression(
                                        models.F("owed_minor"), "+", models.F("unallocated_minor")
                                    ),
                                    "+",
                                    models.F("prudent_minor"),
                                ),
                            ),
                            ("unallocated_minor__gte", 0),
                        ),
                        name="custody_position_required",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("excess_minor", 0), ("shortfall_minor__gte", 0)),
                            models.Q(("excess_minor__gte", 0), ("shortfall_minor", 0)),
                            _connector="OR",
                        ),
                        name="custody_position_one_side",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="BookContact",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "role",
                    models.CharField(
                        db_comment="such as safeguarding officer, custodian, auditor", max_length=64
                    ),
                ),
                ("name", models.CharField(max_length=140)),
                ("organisation", models.CharField(blank=True, max_length=140)),
                ("telephone", models.CharField(blank=True, max_length=40)),
                ("email", models.CharField(blank=True, max_length=254)),
                ("address", models.CharField(blank=True, max_length=300)),
                ("is_current", models.BooleanField(db_comment="false: this row ends the one before it")),
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
                "db_table": "custody_book_contact",
                "db_table_comment": "Contacts of a book; the newest row of a role and name holds. Append-only.",
                "indexes": [
                    models.Index(fields=["book", "role", "name", "-id"], name="custody_contact_newest")
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("role", ""), _negated=True), models.Q(("name", ""), _negated=True)
                        ),
                        name="custody_contact_named",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="PrudentSegregation",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("amount_minor", models.BigIntegerField(db_comment="0 ends it")),
                (
                    "reason",
                    models.CharField(
                        db_comment="the risk it is for, and the policy it rests on", max_length=500
                    ),
                ),
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
                "db_table": "custody_prudent_segregation",
                "db_table_comment": "Own money segregated prudently; the newest row of an asset holds. Append-only.",
                "indexes": [models.Index(fields=["book", "asset", "-id"], name="custody_prudent_newest")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("amount_minor__gte", 0)), name="custody_prudent_some"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("reason", ""), _negated=True), name="custody_prudent_reason"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ResolutionPack",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        db_comment="shown outside as rsp_ and this number", primary_key=True, serialize=False
                    ),
                ),
                ("position", models.BigIntegerField()),
                ("files", models.IntegerField()),
                ("clients", models.IntegerField()),
                ("accounts", models.IntegerField()),
                ("bytes", models.BigIntegerField(db_comment="of the ZIP")),
                (
                    "manifest_sha256",
                    models.BinaryField(db_comment="of manifest.json, which has every other file's"),
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
                "db_table": "custody_resolution_pack",
                "db_table_comment": "Resolution packs that were built; the packs themselves are not kept. Append-only.",
                "indexes": [models.Index(fields=["book", "-id"], name="custody_pack_of_book")],
            },
        ),
        migrations.CreateModel(
            name="SafeguardingAccount",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "role",
                    models.CharField(
                        db_comment="safeguarding, channel, own_funds, exchange or other: custody.safeguarding",
                        max_length=16,
                    ),
                ),
                ("institution", models.CharField(blank=True, db_comment="who holds it", max_length=140)),
                (
                    "country",
                    models.CharField(blank=True, db_comment="of the institution, ISO 3166", max_length=2),
                ),
                (
                    "number",
                    models.CharField(blank=True, db_comment="IBAN or the institution's own", max_length=64),
                ),
                (
                    "agreement",
                    models.CharField(
                        blank=True,
                        db_comment="custody contract or acknowledgement letter, and its date",
                        max_length=200,
                    ),
                ),
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
                "db_table": "custody_safeguarding_account",
                "db_table_comment": "What external accounts are for; the newest row of an account holds. Append-only.",
                "indexes": [models.Index(fields=["account", "-id"], name="custody_safeguarding_newest")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("role__in", ("safeguarding", "channel", "own_funds", "exchange", "other"))
                        ),
                        name="custody_safeguarding_role",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("role", "safeguarding"), _negated=True),
                            models.Q(
                                models.Q(("institution", ""), _negated=True),
                                models.Q(("number", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="custody_safeguarding_held_somewhere",
                    ),
                ],
            },
        ),
        migrations.RunSQL(GUARDS, migrations.RunSQL.noop),
    )

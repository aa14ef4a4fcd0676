"""The logs: entries, tiles, checkpoints, cosignatures and keys; append-only, written by one role alone.

An event of many things gets the Merkle root over them, and their leaf hashes, in its own row.
"""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

GUARDS = """
alter table evidence_outbox
    add constraint evidence_outbox_leaves_whole check (
        length(root) = 32 and length(leaves) > 0 and length(leaves) % 32 = 0
    ),
    -- Hashes do not get smaller by being compressed: only the attempt would cost.
    alter column leaves set storage external;
alter table evidence_tile
    add constraint evidence_tile_whole check (length(hashes) = 8192 and length(root) = 32),
    alter column hashes set storage external;
alter table evidence_entry
    add constraint evidence_entry_sound check (seq >= 0 and length(body) between 1 and 65535);

-- A checkpoint is over every entry before it, without a gap, and over none beyond. One sequencer at a time: a second one
-- that read the same head would write the same numbers, and the primary keys let one of the two commit.
create function evidence_checkpoint_follows() returns trigger
    language plpgsql security definer set search_path = pg_catalog, public
    set enable_seqscan = off set plan_cache_mode = force_generic_plan as
$$
declare
    before record;
    entries bigint;
    last bigint;
begin
    select size, settled_event into before from evidence_checkpoint
    where log_id = new.log_id order by size desc limit 1;
    select count(*) into entries from evidence_entry where log_id = new.log_id and seq >= coalesce(before.size, 0);
    select seq into last from evidence_entry where log_id = new.log_id order by seq desc limit 1;
    if new.size <= coalesce(before.size, -1) or new.size <> coalesce(last + 1, 0)
        or entries <> new.size - coalesce(before.size, 0) or new.settled_event < before.settled_event
        or length(new.root) <> 32 then
        raise exception 'checkpoint % of log % does not follow %', new.size, new.log_id, before.size
            using errcode = 'integrity_constraint_violation', constraint = 'evidence_checkpoint_follows';
    end if;
    return new;
end
$$;

create trigger evidence_checkpoint_follows before insert on evidence_checkpoint
    for each row execute function evidence_checkpoint_follows();

create function evidence_append_only() returns trigger language plpgsql as
$$
begin
    raise exception '% is append-only', tg_table_name
        using errcode = 'insufficient_privilege';
end
$$;

do $$
declare
    name text;
begin
    foreach name in array array[
        'evidence_outbox', 'evidence_log', 'evidence_entry', 'evidence_tile', 'evidence_checkpoint',
        'evidence_cosignature', 'evidence_key', 'evidence_key_change'
    ] loop
        execute format('create trigger evidence_append_only before update or delete or truncate on %I '
                       'for each statement execute function evidence_append_only()', name);
    end loop;
end
$$;

drop function evidence_append;
create function evidence_append(kind text, at timestamptz, actor text, commitment bytea, salt bytea, payload text,
    root bytea default null, leaves bytea default null)
    returns bigint language plpgsql volatile as
$$
declare
    told bigint;
begin
    insert into evidence_outbox (kind, at, actor, commitment, root, leaves)
    values (kind, at, actor, commitment, root, leaves) returning id into told;
    insert into evidence_payload (event_id, salt, payload) values (told, salt, payload);
    return told;
end
$$;

grant insert (root, leaves) on evidence_outbox to tallystick_app, tallystick_ledger_writer;
-- The sequencer reads every event, and tells of its own: of keys.
grant select on evidence_outbox, evidence_payload to tallystick_sequencer;
grant insert (kind, at, actor, commitment, root, leaves) on evidence_outbox to tallystick_sequencer;
grant insert (event_id, salt, payload) on evidence_payload to tallystick_sequencer;
grant select on evidence_log, evidence_entry, evidence_tile, evidence_checkpoint, evidence_cosignature,
    evidence_key_change to tallystick_app, tallystick_auditor, tallystick_sequencer;
grant insert on evidence_log, evidence_entry, evidence_tile, evidence_checkpoint, evidence_key,
    evidence_key_change to tallystick_sequencer;
grant insert (log_id, size, witness, key_id, line, signed_at) on evidence_cosignature to tallystick_sequencer;
-- The sealed half of a key is for whoever signs with it.
grant select on evidence_key to tallystick_sequencer;
grant select (id, log_id, text, keeper, made_at) on evidence_key to tallystick_app, tallystick_auditor;
"""


class Migration(migrations.Migration):
    dependencies = [("evidence", "0003_append")]

    operations = [
        migrations.CreateModel(
            name="Log",
            fields=[
                (
                    "id",
                    models.PositiveSmallIntegerField(
                        db_comment="1: the ledger's; 2: the public one", primary_key=True, serialize=False
                    ),
                ),
                (
                    "origin",
                    models.CharField(
                        db_comment="the first line of its checkpoints", max_length=255, unique=True
                    ),
                ),
                ("suite", models.CharField(db_comment="the hash function: sha-256, sm3", max_length=20)),
                ("opened_at", models.DateTimeField()),
            ],
            options={
                "db_table": "evidence_log",
                "db_table_comment": "The logs of this installation. Append-only: an origin is never used anew.",
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("id__in", (1, 2))), name="evidence_log_known"),
                    models.CheckConstraint(
                        condition=models.Q(("suite__in", ("sha-256", "sm3"))), name="evidence_log_suite_known"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="LogEntry",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "log_id", "seq", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("log_id", models.PositiveSmallIntegerField()),
                (
                    "seq",
                    models.BigIntegerField(db_comment="from 0, without a gap: the entry's index in the tree"),
                ),
                (
                    "event_id",
                    models.BigIntegerField(
                        db_comment="the event of the outbox that this entry seals", null=True
                    ),
                ),
                (
                    "checkpoint_size",
                    models.BigIntegerField(
                        db_comment="in the public log: the ledger's checkpoint that this entry tells",
                        null=True,
                    ),
                ),
                (
                    "body",
                    models.BinaryField(db_comment="the entry: canonical JSON (RFC 8785), at most 64 KiB"),
                ),
            ],
            options={
                "db_table": "evidence_entry",
                "db_table_comment": "The entries of the logs, in order. Append-only; written by the sequencer alone.",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("event_id__isnull", False)),
                        fields=("log_id", "event_id"),
                        name="evidence_entry_of_event",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("checkpoint_size__isnull", False)),
                        fields=("log_id", "checkpoint_size"),
                        name="evidence_entry_of_checkpoint",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("checkpoint_size__isnull", True), ("event_id__isnull", False)),
                            models.Q(("checkpoint_size__isnull", False), ("event_id__isnull", True)),
                            _connector="OR",
                        ),
                        name="evidence_entry_of_one_thing",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Tile",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "log_id",
                        "level",
                        "number",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("log_id", models.PositiveSmallIntegerField()),
                (
                    "level",
                    models.PositiveSmallIntegerField(
                        db_comment="0: of entries; above: of tiles of the level below"
                    ),
                ),
                ("number", models.BigIntegerField(db_comment="from 0, the tile's place in its level")),
                ("hashes", models.BinaryField(db_comment="256 hashes of 32 bytes")),
                (
                    "root",
                    models.BinaryField(
                        db_comment="the hash over them: the tile's one hash in the level above"
                    ),
                ),
            ],
            options={
                "db_table": "evidence_tile",
                "db_table_comment": "The whole tiles of the logs' trees (C2SP tlog-tiles). Append-only, by the sequencer alone.",
            },
        ),
        migrations.CreateModel(
            name="Checkpoint",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "log_id", "size", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("log_id", models.PositiveSmallIntegerField()),
                ("size", models.BigIntegerField()),
                ("root", models.BinaryField()),
                (
                    "note",
                    models.TextField(
                        db_comment="the signed note (C2SP tlog-checkpoint), the log's own signatures only"
                    ),
                ),
                (
                    "settled_event",
                    models.BigIntegerField(
                        db_comment="every event up to this id was sealed or never happened; later ones are looked for"
                    ),
                ),
                ("sealed_at", models.DateTimeField(db_comment="when, as the sequencer was told")),
            ],
            options={
                "db_table": "evidence_checkpoint",
                "db_table_comment": "Every checkpoint of the logs. Append-only; written by the sequencer alone.",
            },
        ),
        migrations.CreateModel(
            name="Cosignature",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("log_id", models.PositiveSmallIntegerField()),
                ("size", models.BigIntegerField()),
                ("witness", models.CharField(db_comment="the name of the witness's key", max_length=255)),
                ("key_id", models.BinaryField(db_comment="four bytes that tell keys of one name apart")),
                ("line", models.TextField(db_comment="the signature's line, its newline included")),
                (
                    "signed_at",
                    models.DateTimeField(
                        db_comment="the time that the witness signed, where it did", null=True
                    ),
                ),
                (
                    "recorded_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
            ],
            options={
                "db_table": "evidence_cosignature",
                "db_table_comment": "What witnesses have signed: for a size any number of times, each later. Append-only.",
                "indexes": [models.Index(fields=["log_id", "size"], name="evidence_cosignature_of")],
            },
        ),
        migrations.CreateModel(
            name="Key",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("log_id", models.PositiveSmallIntegerField()),
                (
                    "text",
                    models.TextField(db_comment="the public key in one line: name+id+material", unique=True),
                ),
                (
                    "keeper",
                    models.CharField(
                        db_comment="`home`: sealed here; else the device that has it", max_length=80
                    ),
                ),
                (
                    "sealed",
                    models.BinaryField(
                        db_comment="the secret key, AES-256-GCM under the installation's secret", null=True
                    ),
                ),
                ("made_at", models.DateTimeField()),
            ],
            options={
                "db_table": "evidence_key",
                "db_table_comment": "The keys that sign checkpoints. Append-only.",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("keeper", "home"), ("sealed__isnull", False)),
                            models.Q(models.Q(("keeper", "home"), _negated=True), ("sealed__isnull", True)),
                            _connector="OR",
                        ),
                        name="evidence_key_kept_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="KeyChange",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "key",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="changes", to="evidence.key"
                    ),
                ),
                ("status", models.CharField(max_length=20)),
                ("from_size", models.BigIntegerField(db_comment="the log's size when it was decided")),
                ("at", models.DateTimeField()),
                ("actor", models.CharField(max_length=80)),
                ("reason", models.TextField()),
            ],
            options={
                "db_table": "evidence_key_change",
                "db_table_comment": "Keys taken into use, retired, and given up as compromised. Append-only.",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ("signing", "retiring", "retired", "compromised"))),
                        name="evidence_key_change_status",
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="outbox",
            name="root",
            field=models.BinaryField(
                db_comment="the Merkle root over `leaves` (RFC 6962), where the event is of many things",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="outbox",
            name="leaves",
            field=models.BinaryField(
                db_comment="the leaf hashes of those things, 32 bytes each, in their order", null=True
            ),
        ),
        migrations.AddConstraint(
            model_name="outbox",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("leaves__isnull", True), ("root__isnull", True)),
                    models.Q(("leaves__isnull", False), ("root__isnull", False)),
                    _connector="OR",
                ),
                name="evidence_outbox_root_over_leaves",
            ),
        ),
        migrations.RunSQL(GUARDS, migrations.RunSQL.noop),
    ]

"""The trail, legal holds, certified erasure, and time stamps over checkpoints.

A payload is erased by one function alone, `evidence_erase`, which refuses what a hold covers, what no
certificate of this very moment names, and what belongs to evidence itself. No role may delete a row.
"""

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

RIGHTS = """
do $$
declare
    name text;
begin
    foreach name in array array[
        'evidence_trail', 'evidence_trail_acknowledgement', 'evidence_hold', 'evidence_hold_step',
        'evidence_timestamp'
    ] loop
        execute format('grant select on %I to tallystick_app, tallystick_auditor', name);
        execute format('grant insert on %I to tallystick_app', name);
    end loop;
end
$$;
do $$
declare
    name text;
begin
    foreach name in array array['evidence_hold', 'evidence_hold_step', 'evidence_erasure', 'evidence_timestamp'] loop
        execute format('create trigger evidence_append_only before update or delete or truncate on %I '
                       'for each statement execute function evidence_append_only()', name);
    end loop;
    -- These, and payloads, lose rows by `evidence_erase` alone; nobody has the right to delete any.
    foreach name in array array['evidence_trail', 'evidence_trail_acknowledgement'] loop
        execute format('create trigger evidence_append_only before update or truncate on %I '
                       'for each statement execute function evidence_append_only()', name);
    end loop;
end
$$;
-- Written by the function below alone.
grant select on evidence_erasure to tallystick_app, tallystick_auditor;
-- Who replaces a log's key at the command line leaves an entry too.
grant select, insert on evidence_trail to tallystick_sequencer;
"""

ERASE = """
-- Whether a legal hold that was not turned down or lifted covers this event. A term is looked for in the
-- payload's own spelling: rather too much is held than too little.
create function evidence_held(told evidence_outbox, payload text)
    returns boolean language sql stable security definer set search_path = pg_catalog, public as
$$
    select exists (
        select from evidence_hold h
        where not exists (
            select from evidence_hold_step s where s.hold_id = h.id and s.status in ('rejected', 'lifted'))
        and (cardinality(h.kinds) = 0 or told.kind = any (h.kinds))
        and (h.since is null or told.at >= h.since)
        and (h.until is null or told.at < h.until)
        and (cardinality(h.terms) = 0 or exists (
            select from unnest(h.terms) term
            where position(to_json(term)::text in payload) > 0))
    )
$$;

create function evidence_erase(events bigint[], certified_by bigint)
    returns bigint language plpgsql volatile security definer set search_path = pg_catalog, public as
$$
declare
    erased bigint;
begin
    -- A hold placed at this moment comes before the erasure or after it.
    lock table evidence_hold, evidence_hold_step in share mode;
    -- Written since this transaction began, and used for nothing before.
    if not exists (
        select from evidence_outbox c
        where c.id = certified_by and c.kind = 'evidence.payloads_erased' and c.recorded_at >= now()
        and not exists (select from evidence_erasure e where e.certificate_id = c.id)
    ) then
        raise exception 'event % is no certificate of this moment', certified_by
            using errcode = 'integrity_constraint_violation', constraint = 'evidence_erase_certified';
    end if;
    if exists (select from evidence_outbox o where o.id = any (events) and o.kind like 'evidence.%') then
        raise exception 'what evidence says of itself is not erased'
            using errcode = 'integrity_constraint_violation', constraint = 'evidence_erase_never_evidence';
    end if;
    if exists (
        select from evidence_outbox o join evidence_payload p on p.event_id = o.id
        where o.id = any (events) and evidence_held(o, p.payload)
    ) then
        raise exception 'a legal hold covers one of these events'
            using errcode = 'integrity_constraint_violation', constraint = 'evidence_erase_not_held';
    end if;
    with gone as (
        delete from evidence_payload p where p.event_id = any (events) returning p.event_id
    )
    insert into evidence_erasure (event_id, certificate_id) select event_id, certified_by from gone;
    get diagnostics erased = row_count;
    delete from evidence_trail_acknowledgement a where a.entry_id = any (events);
    delete from evidence_trail t where t.event_id = any (events);
    return erased;
end
$$;
revoke all on function evidence_erase from public;
revoke all on function evidence_held from public;
grant execute on function evidence_erase to tallystick_app;
grant execute on function evidence_held to tallystick_app, tallystick_auditor;
"""

UNDO = "drop function evidence_erase; drop function evidence_held;"


class Migration(migrations.Migration):
    dependencies = [
        ("evidence", "0004_log"),
    ]

    operations = [
        migrations.CreateModel(
            name="TrailEntry",
            fields=[
                (
                    "event",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="trail_entry",
                        serialize=False,
                        to="evidence.outbox",
                    ),
                ),
                (
                    "visit",
                    models.CharField(
                        db_comment="the request or command: one entry each", max_length=22, unique=True
                    ),
                ),
                ("at", models.DateTimeField(db_comment="when it happened, as the action was told")),
                ("actor", models.CharField(db_comment="who: usr_… or system:…, never a name", max_length=80)),
                ("act", models.CharField(db_comment="the kind of its event", max_length=80)),
                (
                    "permission",
                    models.CharField(db_comment="the last permission that was used", max_length=80),
                ),
                (
                    "operation",
                    models.CharField(
                        db_comment="what was asked, at which door, by its pattern and never by its values",
                        max_length=200,
                    ),
                ),
                (
                    "parties",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=64),
                        db_comment="the customers it was about, by number; *: many; empty: none",
                        size=None,
                    ),
                ),
                (
                    "subject",
                    models.CharField(
                        db_comment="what it was about, by the event's first member", max_length=120
                    ),
                ),
                (
                    "is_privileged",
                    models.BooleanField(db_comment="told to a second person, who acknowledges it"),
                ),
                (
                    "recorded_at",
                    models.DateTimeField(
                        db_comment="when it was written",
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                    ),
                ),
            ],
            options={
                "db_table": "evidence_trail",
                "db_table_comment": "Who did or read what, when and by which right: one entry for each visit.",
            },
        ),
        migrations.CreateModel(
            name="Erasure",
            fields=[
                (
                    "event",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="erasure",
                        serialize=False,
                        to="evidence.outbox",
                    ),
                ),
                (
                    "recorded_at",
                    models.DateTimeField(
                        db_comment="when it was erased",
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                    ),
                ),
            ],
            options={
                "db_table": "evidence_erasure",
                "db_table_comment": "Which payloads were erased under which certificate: no others may be missing. Append-only.",
            },
        ),
        migrations.CreateModel(
            name="Hold",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        db_comment="shown outside as hld_ and this number", primary_key=True, serialize=False
                    ),
                ),
                (
                    "matter",
                    models.CharField(
                        db_comment="the case it is for: a court's or an authority's number", max_length=200
                    ),
                ),
                ("reason", models.CharField(max_length=500)),
                (
                    "terms",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=80),
                        db_comment="customers and ids; an event whose payload names one of them is held; empty: whoever it names",
                        size=None,
                    ),
                ),
                (
                    "kinds",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=80),
                        db_comment="kinds of events it covers; empty: of every kind",
                        size=None,
                    ),
                ),
                (
                    "since",
                    models.DateTimeField(
                        db_comment="events from then on; null: from the first one", null=True
                    ),
                ),
                (
                    "until",
                    models.DateTimeField(db_comment="events before then; null: those to come too", null=True),
                ),
                ("placed_by", models.CharField(db_comment="who placed it: usr_…", max_length=80)),
                ("at", models.DateTimeField(db_comment="when it was placed, as the action was told")),
                (
                    "recorded_at",
                    models.DateTimeField(
                        db_comment="when it was written",
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                    ),
                ),
            ],
            options={
                "db_table": "evidence_hold",
                "db_table_comment": "Legal holds: what they cover is not erased. Append-only.",
            },
        ),
        migrations.CreateModel(
            name="HoldStep",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "status",
                    models.CharField(
                        db_comment="confirmed, rejected or lifted; the last two end it", max_length=9
                    ),
                ),
                ("placed_by", models.CharField(db_comment="who placed the hold, again", max_length=80)),
                ("made_by", models.CharField(db_comment="who proposed this step", max_length=80)),
                (
                    "decided_by",
                    models.CharField(db_comment="who decided on it: never who proposed it", max_length=80),
                ),
                ("approval", models.BigIntegerField(db_comment="the proposal that was decided", unique=True)),
                ("reason", models.CharField(blank=True, max_length=500)),
                ("at", models.DateTimeField(db_comment="when it was decided, as the action was told")),
                (
                    "recorded_at",
                    models.DateTimeField(
                        db_comment="when it was written",
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                    ),
                ),
            ],
            options={
                "db_table": "evidence_hold_step",
                "db_table_comment": "How a legal hold went on, each step decided by two people. Append-only.",
            },
        ),
        migrations.CreateModel(
            name="Timestamp",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        db_comment="shown outside as tst_ and this number", primary_key=True, serialize=False
                    ),
                ),
                (
                    "subject",
                    models.CharField(
                        db_comment="what was stamped, such as checkpoint:<origin>:<size>", max_length=200
                    ),
                ),
                (
                    "message",
                    models.BinaryField(
                        db_comment="the very bytes that were stamped, so that it verifies by itself"
                    ),
                ),
                (
                    "authority",
                    models.CharField(db_comment="the authority's address, as configured", max_length=200),
                ),
                (
                    "nonce",
                    models.CharField(db_comment="the number that was asked with, in decimal", max_length=40),
                ),
                ("token", models.BinaryField(db_comment="the time-stamp response as it came, DER")),
                ("gen_time", models.DateTimeField(db_comment="the time the authority names")),
                ("at", models.DateTimeField(db_comment="when it was asked, as the action was told")),
                (
                    "recorded_at",
                    models.DateTimeField(
                        db_comment="when it was written",
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                    ),
                ),
            ],
            options={
                "db_table": "evidence_timestamp",
                "db_table_comment": "RFC 3161 time-stamp tokens over checkpoints. Append-only.",
            },
        ),
        migrations.CreateModel(
            name="Acknowledgement",
            fields=[
                (
                    "entry",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="acknowledgement",
                        serialize=False,
                        to="evidence.trailentry",
                    ),
                ),
                (
                    "actor",
                    models.CharField(
                        db_comment="who did it, again: never who acknowledges it", max_length=80
                    ),
                ),
                ("note", models.CharField(blank=True, max_length=500)),
                ("acknowledged_by", models.CharField(db_comment="the second person: usr_…", max_length=80)),
                ("at", models.DateTimeField(db_comment="when it was acknowledged, as the action was told")),
                (
                    "recorded_at",
                    models.DateTimeField(
                        db_comment="when it was written",
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                    ),
                ),
            ],
            options={
                "db_table": "evidence_trail_acknowledgement",
                "db_table_comment": "Privileged acts that somebody other than who did them has seen. Append-only.",
            },
        ),
        migrations.AddIndex(
            model_name="trailentry",
            index=models.Index(fields=["actor", "-event"], name="evidence_trail_actor"),
        ),
        migrations.AddIndex(
            model_name="trailentry",
            index=models.Index(fields=["act", "-event"], name="evidence_trail_act"),
        ),
        migrations.AddIndex(
            model_name="trailentry",
            index=models.Index(fields=["at"], name="evidence_trail_at"),
        ),
        migrations.AddIndex(
            model_name="trailentry",
            index=models.Index(fields=["subject", "act", "-event"], name="evidence_trail_subject"),
        ),
        migrations.AddIndex(
            model_name="trailentry",
            index=django.contrib.postgres.indexes.GinIndex(fields=["parties"], name="evidence_trail_parties"),
        ),
        migrations.AddIndex(
            model_name="trailentry",
            index=models.Index(
                condition=models.Q(("is_privileged", True)),
                fields=["-event"],
                name="evidence_trail_privileged",
            ),
        ),
        migrations.AddConstraint(
            model_name="trailentry",
            constraint=models.UniqueConstraint(fields=("event", "actor"), name="evidence_trail_named"),
        ),
        migrations.AddConstraint(
            model_name="trailentry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("actor", ""), _negated=True), models.Q(("visit", ""), _negated=True)
                ),
                name="evidence_trail_told",
            ),
        ),
        migrations.AddField(
            model_name="erasure",
            name="certificate",
            field=models.ForeignKey(
                db_comment="the event evidence.payloads_erased that certifies it",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="erased",
                to="evidence.outbox",
            ),
        ),
        migrations.AddConstraint(
            model_name="hold",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("matter", ""), _negated=True),
                    models.Q(("reason", ""), _negated=True),
                    models.Q(("placed_by", ""), _negated=True),
                ),
                name="evidence_hold_told",
            ),
        ),
        migrations.AddField(
            model_name="holdstep",
            name="hold",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="steps", to="evidence.hold"
            ),
        ),
        migrations.AddIndex(
            model_name="timestamp",
            index=models.Index(fields=["subject", "-id"], name="evidence_timestamp_subject"),
        ),
        migrations.AddConstraint(
            model_name="acknowledgement",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("acknowledged_by", models.F("actor")), _negated=True),
                    ("acknowledged_by__startswith", "usr_"),
                ),
                name="evidence_acknowledged_by_another",
            ),
        ),
        migrations.AddConstraint(
            model_name="holdstep",
            constraint=models.UniqueConstraint(fields=("hold", "status"), name="evidence_hold_step_once"),
        ),
        migrations.AddConstraint(
            model_name="holdstep",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("status__in", ["confirmed", "rejected", "lifted"]),
                    models.Q(("decided_by", models.F("made_by")), _negated=True),
                ),
                name="evidence_hold_step_by_two",
            ),
        ),
        migrations.RunSQL(RIGHTS, migrations.RunSQL.noop),
        migrations.RunSQL(ERASE, UNDO),
    ]

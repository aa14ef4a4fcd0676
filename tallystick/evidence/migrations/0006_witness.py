"""How witnesses stand: append-only, told by whoever asks them."""

import django.db.models.functions.datetime
from django.db import migrations, models

GUARDS = """
create trigger evidence_append_only before update or delete or truncate on evidence_witness_status
    for each statement execute function evidence_append_only();
grant select on evidence_witness_status to tallystick_app, tallystick_auditor, tallystick_sequencer;
grant insert (log_id, witness, key_id, status, reason, at) on evidence_witness_status to tallystick_sequencer;
-- A witness's last signature is looked for each minute, among years of them.
create index evidence_cosignature_last on evidence_cosignature (log_id, witness, key_id, size desc, id desc);
"""


class Migration(migrations.Migration):
    dependencies = [("evidence", "0005_trail")]

    operations = [
        migrations.CreateModel(
            name="WitnessStatus",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("log_id", models.PositiveSmallIntegerField()),
                ("witness", models.CharField(db_comment="the name of the witness's key", max_length=255)),
                ("key_id", models.BinaryField(db_comment="four bytes that tell keys of one name apart")),
                ("status", models.CharField(max_length=20)),
                (
                    "reason",
                    models.CharField(db_comment="what went wrong; empty where nothing did", max_length=200),
                ),
                ("at", models.DateTimeField(db_comment="when, as the step was told")),
                (
                    "recorded_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
            ],
            options={
                "db_table": "evidence_witness_status",
                "db_table_comment": "How each witness stood, from when on: the last row is how it stands. Append-only.",
                "indexes": [
                    models.Index(
                        fields=["log_id", "witness", "key_id", "id"], name="evidence_witness_status_last"
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("status__in", ("expected", "answering", "silent", "disagreeing"))
                        ),
                        name="evidence_witness_status_known",
                    )
                ],
            },
        ),
        migrations.RunSQL(GUARDS, migrations.RunSQL.noop),
    ]

"""The outbox and its payloads, append-only by the rights of each role."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

RIGHTS = """
-- Only what is told may be told: ids and recorded_at are the database's own.
grant select on evidence_outbox to tallystick_app, tallystick_ledger_writer, tallystick_auditor;
grant insert (kind, at, actor, commitment) on evidence_outbox to tallystick_app, tallystick_ledger_writer;
grant select on evidence_payload to tallystick_app, tallystick_ledger_writer, tallystick_auditor;
grant insert (event_id, salt, payload) on evidence_payload to tallystick_app, tallystick_ledger_writer;
"""


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Outbox",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        db_comment="domain.thing_happened; listed in docs/reference/events.md", max_length=80
                    ),
                ),
                ("at", models.DateTimeField(db_comment="when it happened, as the action was told")),
                (
                    "recorded_at",
                    models.DateTimeField(
                        db_comment="when it was written",
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                    ),
                ),
                (
                    "actor",
                    models.CharField(db_comment="who did it: usr_… or system:…, never a name", max_length=80),
                ),
                (
                    "commitment",
                    models.BinaryField(
                        db_comment="SHA-256('evid/payload/v1' 0x00 || salt || payload): stands when the payload is erased"
                    ),
                ),
            ],
            options={
                "db_table": "evidence_outbox",
                "db_table_comment": "Every action's event, written in the action's own transaction. Append-only.",
                "indexes": [models.Index(fields=["kind", "id"], name="evidence_outbox_kind")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("kind__regex", "^[a-z]+\\.[a-z][a-z_]*$")),
                        name="evidence_outbox_kind_form",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("actor", ""), _negated=True), name="evidence_outbox_actor_named"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Payload",
            fields=[
                (
                    "event",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="payload",
                        serialize=False,
                        to="evidence.outbox",
                    ),
                ),
                (
                    "salt",
                    models.BinaryField(
                        db_comment="32 secret bytes: without them the commitment tells nothing"
                    ),
                ),
                (
                    "payload",
                    models.TextField(
                        db_comment="canonical JSON (RFC 8785), as text so that its bytes stay as hashed"
                    ),
                ),
            ],
            options={
                "db_table": "evidence_payload",
                "db_table_comment": "The payload of an event and its salt, in a row of its own so that it can be erased.",
            },
        ),
        migrations.RunSQL(RIGHTS, migrations.RunSQL.noop),
    ]

"""API tokens and their revocations: append-only; the auditor reads all but the hash."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

RIGHTS = """
grant select, insert on identity_api_token, identity_api_token_revocation to tallystick_app;
grant select (id, user_id, name, roles, actor, at, expires_at, recorded_at)
    on identity_api_token to tallystick_auditor;
grant select on identity_api_token_revocation to tallystick_auditor;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("identity", "0002_rights"),
    ]

    operations = [
        migrations.CreateModel(
            name="ApiToken",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "name",
                    models.CharField(
                        db_comment="what the token is for, in its issuer's words", max_length=80
                    ),
                ),
                (
                    "token_hash",
                    models.BinaryField(
                        db_comment="SHA-256 of the token: reading this table lets nobody in", unique=True
                    ),
                ),
                (
                    "roles",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=32),
                        db_comment="the user's roles it may use; null: whatever the user holds at the time of a request",
                        null=True,
                        size=None,
                    ),
                ),
                ("actor", models.CharField(db_comment="who issued it: usr_… or system:…", max_length=80)),
                ("at", models.DateTimeField(db_comment="when it was issued")),
                ("expires_at", models.DateTimeField()),
                (
                    "recorded_at",
                    models.DateTimeField(
                        db_comment="when it was written",
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="api_tokens",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "db_table": "identity_api_token",
                "db_table_comment": "Tokens with which programs act as a person. Append-only.",
                "indexes": [models.Index(fields=["user", "-id"], name="identity_api_token_of_user")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(expires_at__gt=models.F("at")),
                        name="identity_api_token_ends_later",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("name", ""), _negated=True), name="identity_api_token_named"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ApiTokenRevocation",
            fields=[
                (
                    "token",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="revocation",
                        serialize=False,
                        to="identity.apitoken",
                    ),
                ),
                ("reason", models.CharField(max_length=400)),
                ("actor", models.CharField(db_comment="who revoked it: usr_… or system:…", max_length=80)),
                ("at", models.DateTimeField()),
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
                "db_table": "identity_api_token_revocation",
                "db_table_comment": "Tokens that were revoked, with the reason. Append-only.",
            },
        ),
        migrations.RunSQL(RIGHTS, migrations.RunSQL.noop),
    ]

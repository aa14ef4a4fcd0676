"""Users, the changes of their roles, and sign-in links."""

import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import django.db.models.functions.text
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="SignInLink",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "token_hash",
                    models.BinaryField(
                        db_comment="SHA-256 of the token: reading this table signs nobody in", unique=True
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
            ],
            options={
                "db_table": "identity_sign_in_link",
                "db_table_comment": "Short-lived links that sign one person in once. Append-only.",
            },
        ),
        migrations.CreateModel(
            name="User",
            fields=[
                ("password", models.CharField(max_length=128, verbose_name="password")),
                ("last_login", models.DateTimeField(blank=True, null=True, verbose_name="last login")),
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "username",
                    models.CharField(
                        db_comment="what the person types to sign in",
                        max_length=150,
                        unique=True,
                        validators=[django.core.validators.RegexValidator("^[\\w.@+-]+\\Z")],
                    ),
                ),
                (
                    "name",
                    models.CharField(db_comment="as shown on pages; never in logs or events", max_length=200),
                ),
                ("email", models.EmailField(blank=True, default="", max_length=254)),
                (
                    "customer_number",
                    models.CharField(
                        blank=True,
                        db_comment="the client this person is: what custody accounts name as their owner",
                        max_length=64,
                        null=True,
                        unique=True,
                    ),
                ),
                ("is_active", models.BooleanField(default=True)),
                (
                    "created_at",
                    models.DateTimeField(db_comment="when the account was made, as the action was told"),
                ),
            ],
            options={
                "db_table": "identity_user",
                "db_table_comment": "People who can sign in.",
                "constraints": [
                    models.UniqueConstraint(
                        django.db.models.functions.text.Lower("email"),
                        condition=models.Q(("email", ""), _negated=True),
                        name="identity_user_email_one_person",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("customer_number", ""), _negated=True),
                        name="identity_user_customer_number_form",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SignInLinkUse",
            fields=[
                (
                    "link",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="use",
                        serialize=False,
                        to="identity.signinlink",
                    ),
                ),
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
                "db_table": "identity_sign_in_link_use",
                "db_table_comment": "A sign-in link that was used. Append-only.",
            },
        ),
        migrations.AddField(
            model_name="signinlink",
            name="user",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="sign_in_links",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.CreateModel(
            name="RoleChange",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("role", models.CharField(max_length=32)),
                ("held", models.BooleanField(db_comment="true: granted; false: withdrawn")),
                ("reason", models.CharField(max_length=400)),
                ("actor", models.CharField(db_comment="who changed it: usr_… or system:…", max_length=80)),
                ("at", models.DateTimeField(db_comment="when it was changed, as the action was told")),
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
                        related_name="role_changes",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "db_table": "identity_role_change",
                "db_table_comment": "Who was given or lost which role, when, by whom and why. Append-only.",
                "indexes": [models.Index(fields=["user", "role", "-id"], name="identity_role_change_last")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "role__in",
                                [
                                    "administrator",
                                    "auditor",
                                    "custodian_bank",
                                    "customer",
                                    "platform_approver",
                                    "platform_operations",
                                    "regulator",
                                ],
                            )
                        ),
                        name="identity_role_change_role_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("reason", ""), _negated=True),
                        name="identity_role_change_reason_given",
                    ),
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="signinlink",
            constraint=models.CheckConstraint(
                condition=models.Q(("expires_at__gt", models.F("at"))), name="identity_link_ends_later"
            ),
        ),
    ]

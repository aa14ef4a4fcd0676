"""Who may touch which table: identity's own, and those of Django and allauth that hold its sessions.

Role changes and sign-in links are append-only. The auditor reads who may do what and never a password's
hash, a session or a second factor.
"""

from django.db import migrations

RIGHTS = """
grant select, insert, update on identity_user to tallystick_app;
grant select, insert on identity_role_change, identity_sign_in_link, identity_sign_in_link_use to tallystick_app;

grant select (id, last_login, username, name, customer_number, is_active, created_at)
    on identity_user to tallystick_auditor;
grant select on identity_role_change to tallystick_auditor;
grant select (id, user_id, actor, at, expires_at, recorded_at) on identity_sign_in_link to tallystick_auditor;
grant select on identity_sign_in_link_use to tallystick_auditor;

grant select, insert, update, delete on django_session, account_emailaddress, account_emailconfirmation,
    mfa_authenticator, usersessions_usersession to tallystick_app;
grant select on django_content_type, auth_permission, auth_group, auth_group_permissions to tallystick_app;
grant select on django_migrations to tallystick_app, tallystick_ledger_writer, tallystick_auditor;
"""

# Django's cache, for counting attempts to sign in. Not worth a log: after a crash the counts start again.
CACHE = """
create unlogged table identity_cache (
    cache_key varchar(255) primary key,
    value text not null,
    expires timestamptz not null
);
create index identity_cache_expires on identity_cache (expires);
comment on table identity_cache is 'Attempts to sign in, counted for a while by every worker together.';
grant select, insert, update, delete on identity_cache to tallystick_app;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("identity", "0001_initial"),
        ("account", "0009_emailaddress_unique_primary_email"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("mfa", "0003_authenticator_type_uniq"),
        ("sessions", "0001_initial"),
        ("usersessions", "0001_initial"),
    ]

    operations = [
        migrations.RunSQL(RIGHTS, migrations.RunSQL.noop),
        migrations.RunSQL(CACHE, "drop table identity_cache"),
    ]

"""People and their roles: held by the last word, changed by others only, never two that check each other."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import ProgrammingError, connections

from tallystick.core.db import APP, AUDITOR
from tallystick.evidence import log
from tallystick.identity import errors, users
from tallystick.identity.access import Actor
from tallystick.identity.roles import Role

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
CLI = Actor.system("cli")


def person(username, **other):
    return users.create(APP, username, name=username, actor=CLI, now=NOW, **other)


def grant(user, role, *, by=CLI, now=NOW):
    users.grant(APP, user.pk, role, reason="A test.", actor=by, now=now)


def test_a_new_user_may_do_nothing_and_the_making_is_an_event(ledger_database):
    user = person("wang")
    assert users.actor(APP, user.pk).roles == frozenset()
    (event,) = log.events(APP)
    assert (event.kind, event.actor) == ("identity.user_created", "system:cli")
    assert event.payload == {"user": user.reference, "customer_number": None}


def test_a_role_is_held_until_it_is_withdrawn_and_the_past_stays_readable(ledger_database):
    user = person("wang")
    grant(user, Role.AUDITOR)
    later = NOW + timedelta(days=30)
    users.withdraw(APP, user.pk, Role.AUDITOR, reason="Left.", actor=CLI, now=later)
    assert users.roles(APP, user.pk) == frozenset()
    assert users.roles(APP, user.pk, as_of=NOW + timedelta(days=1)) == {Role.AUDITOR}
    assert [(change.held, change.reason) for change in users.changes(APP, user.pk)] == [
        (True, "A test."),
        (False, "Left."),
    ]


def test_refusals_come_in_their_order(ledger_database):
    administrator = users.create_administrator(APP, "admin", name="管理员", password=None, actor=CLI, now=NOW)
    as_administrator = users.actor(APP, administrator.pk)
    wang = person("wang")
    with pytest.raises(errors.AccessDenied):
        grant(wang, Role.AUDITOR, by=users.actor(APP, wang.pk))
    with pytest.raises(errors.UsernameTaken):
        person("wang")
    with pytest.raises(errors.OwnRole):
        grant(administrator, Role.AUDITOR, by=as_administrator)
    grant(wang, Role.PLATFORM_OPERATIONS, by=as_administrator)
    with pytest.raises(errors.RoleHeld):
        grant(wang, Role.PLATFORM_OPERATIONS, by=as_administrator)
    with pytest.raises(errors.RoleNotHeld):
        users.withdraw(APP, wang.pk, Role.AUDITOR, reason="x", actor=as_administrator, now=NOW)
    with pytest.raises(errors.RolesConflict, match="platform_operations"):
        grant(wang, Role.PLATFORM_APPROVER, by=as_administrator)
    with pytest.raises(errors.CustomerNumberMissing):
        grant(wang, Role.CUSTOMER, by=as_administrator)
    with pytest.raises(errors.AdministratorExists):
        users.create_administrator(APP, "second", name="x", password=None, actor=CLI, now=NOW)


def test_a_customer_number_belongs_to_one_person(ledger_database):
    user = person("wang", customer_number="C-1")
    grant(user, Role.CUSTOMER)
    assert users.actor(APP, user.pk).customer_number == "C-1"
    with pytest.raises(errors.CustomerNumberTaken):
        person("li", customer_number="C-1")


def test_an_inactive_user_holds_no_role(ledger_database):
    user = person("wang")
    grant(user, Role.AUDITOR)
    user.is_active = False
    user.save(using=APP)
    assert users.actor(APP, user.pk).roles == frozenset()


def test_a_refused_action_leaves_no_trace_but_the_refusal(ledger_database):
    user = person("wang")
    before = log.count(APP)
    with pytest.raises(errors.AccessDenied) as denied:
        users.create(APP, "li", name="李强", actor=users.actor(APP, user.pk), now=NOW)
    assert (log.count(APP), users.find(APP, "li")) == (before, None)
    from tallystick.identity import access

    access.record_denial(APP, denied.value, actor=users.actor(APP, user.pk), now=NOW)
    assert log.events(APP)[0].payload == {"permission": "identity.create_user"}


@pytest.mark.parametrize(
    "statement",
    [
        "update identity_role_change set held = true",
        "delete from identity_role_change",
        "delete from identity_user",
        "update identity_sign_in_link set expires_at = 'infinity'",
        "delete from identity_sign_in_link_use",
    ],
)
def test_history_cannot_be_rewritten_by_the_app(ledger_database, statement):
    with pytest.raises(ProgrammingError, match="permission denied"), connections[APP].cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "select password from identity_user",
        "select token_hash from identity_sign_in_link",
        "select * from django_session",
        "select * from mfa_authenticator",
    ],
)
def test_the_auditor_reads_no_secret(ledger_database, statement):
    with pytest.raises(ProgrammingError, match="permission denied"), connections[AUDITOR].cursor() as cursor:
        cursor.execute(statement)


def test_a_password_is_kept_by_a_memory_hard_hash(ledger_database):
    user = person("wang", password="correct horse battery staple")
    assert user.password.startswith("scrypt$")

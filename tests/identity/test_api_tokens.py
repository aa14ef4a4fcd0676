"""An API token speaks for its user, in no more roles than either of them has, until it ends."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, connections, transaction

from tallystick.core.db import APP
from tallystick.evidence import log
from tallystick.identity import api_tokens, errors, users
from tallystick.identity.access import Actor
from tallystick.identity.models import ApiToken
from tallystick.identity.roles import Role

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
CLI = Actor.system("cli")


@pytest.fixture
def wang(ledger_database):
    user = users.create(APP, "wang", name="王芳", customer_number="C-1", actor=CLI, now=NOW)
    users.grant(APP, user.pk, Role.PLATFORM_OPERATIONS, reason="Desk.", actor=CLI, now=NOW)
    users.grant(APP, user.pk, Role.CUSTOMER, reason="A client too.", actor=CLI, now=NOW)
    return user


def issue(user, **other):
    return api_tokens.issue(APP, user.pk, "nightly posting", actor=CLI, now=NOW, **other)


def test_a_token_speaks_for_its_user(wang):
    assert api_tokens.actor(APP, issue(wang), now=NOW) == users.actor(APP, wang.pk)


def test_a_token_may_be_for_fewer_roles_and_never_for_more(wang):
    token = issue(wang, roles={Role.CUSTOMER, Role.ADMINISTRATOR})
    assert api_tokens.actor(APP, token, now=NOW).roles == {Role.CUSTOMER}


def test_a_role_withdrawn_is_gone_with_the_next_request(wang):
    token = issue(wang)
    users.withdraw(APP, wang.pk, Role.PLATFORM_OPERATIONS, reason="Leaves.", actor=CLI, now=NOW)
    assert api_tokens.actor(APP, token, now=NOW).roles == {Role.CUSTOMER}


def test_a_user_made_inactive_can_do_nothing(wang):
    token = issue(wang)
    wang.is_active = False
    wang.save(using=APP)
    assert api_tokens.actor(APP, token, now=NOW).roles == frozenset()


def test_a_token_ends_at_its_time(wang):
    token = issue(wang, life=timedelta(days=1))
    api_tokens.actor(APP, token, now=NOW + timedelta(days=1, microseconds=-1))
    with pytest.raises(errors.ApiTokenExpired):
        api_tokens.actor(APP, token, now=NOW + timedelta(days=1))


def test_a_revoked_token_is_turned_away_and_revoked_once(wang):
    token, token_id = issue(wang), ApiToken.objects.using(APP).get().pk
    api_tokens.revoke(APP, token_id, "Laptop lost.", actor=CLI, now=NOW)
    with pytest.raises(errors.ApiTokenRevoked):
        api_tokens.actor(APP, token, now=NOW)
    with pytest.raises(errors.ApiTokenAlreadyRevoked):
        api_tokens.revoke(APP, token_id, "Again.", actor=CLI, now=NOW)
    with pytest.raises(errors.ApiTokenNotFound):
        api_tokens.revoke(APP, token_id + 1, "Which?", actor=CLI, now=NOW)


@pytest.mark.parametrize(
    "change", [lambda t: t[:-1], lambda t: t + "a", lambda t: t.swapcase(), lambda t: "", lambda t: t[4:]]
)
def test_another_token_is_unknown(wang, change):
    with pytest.raises(errors.ApiTokenUnknown):
        api_tokens.actor(APP, change(issue(wang)), now=NOW)


def test_only_the_hash_is_kept_and_events_name_the_token_by_its_id(wang):
    token = issue(wang)
    row = ApiToken.objects.using(APP).get()
    assert len(bytes(row.token_hash)) == 32
    event = log.events(APP, kind="identity.api_token_issued")[0]
    assert event.payload["token"] == row.reference
    assert token not in event.payload_text


def test_a_person_issues_no_tokens_not_even_an_administrator(wang):
    administrator = users.create_administrator(APP, "admin", name="管理员", password=None, actor=CLI, now=NOW)
    with pytest.raises(errors.AccessDenied):
        api_tokens.issue(APP, wang.pk, "mine", actor=users.actor(APP, administrator.pk), now=NOW)


@pytest.mark.parametrize(
    "statement",
    ["update identity_api_token set expires_at = 'infinity'", "delete from identity_api_token_revocation"],
)
def test_the_app_itself_cannot_prolong_a_token_or_undo_a_revocation(wang, statement):
    issue(wang)
    with pytest.raises(DatabaseError), transaction.atomic(using=APP), connections[APP].cursor() as cursor:
        cursor.execute(statement)

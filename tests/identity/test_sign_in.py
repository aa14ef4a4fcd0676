"""A sign-in link signs one person in, once, for a short time."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections

from tallystick.core.db import APP
from tallystick.identity import errors, sign_in, users
from tallystick.identity.access import Actor
from tallystick.identity.models import SignInLink

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
CLI = Actor.system("cli")


@pytest.fixture
def wang(ledger_database):
    return users.create(APP, "wang", name="王芳", actor=CLI, now=NOW)


def issue(user, **other):
    return sign_in.issue(APP, user.pk, actor=CLI, now=NOW, **other)


def test_a_link_works_once(wang):
    token = issue(wang)
    assert sign_in.holder(APP, token, now=NOW) == wang
    assert sign_in.use(APP, token, now=NOW) == wang
    with pytest.raises(errors.LinkUsed):
        sign_in.use(APP, token, now=NOW)


def test_a_link_ends_at_its_time(wang):
    token = issue(wang, life=timedelta(minutes=5))
    sign_in.holder(APP, token, now=NOW + timedelta(minutes=5, microseconds=-1))
    with pytest.raises(errors.LinkExpired):
        sign_in.use(APP, token, now=NOW + timedelta(minutes=5))


@pytest.mark.parametrize(
    "change", [lambda t: t[:-1], lambda t: t + "a", lambda t: t.swapcase(), lambda t: ""]
)
def test_another_token_is_unknown(wang, change):
    token = issue(wang)
    with pytest.raises(errors.LinkUnknown):
        sign_in.use(APP, change(token), now=NOW)


def test_a_link_of_a_user_made_inactive_is_unknown(wang):
    token = issue(wang)
    wang.is_active = False
    wang.save(using=APP)
    with pytest.raises(errors.LinkUnknown):
        sign_in.use(APP, token, now=NOW)


def test_only_the_hash_is_kept(wang):
    token = issue(wang)
    kept = bytes(SignInLink.objects.using(APP).get().token_hash)
    assert token.encode() not in kept
    assert len(kept) == 32


def test_an_administrator_does_not_sign_in_as_others(wang):
    administrator = users.create_administrator(APP, "admin", name="管理员", password=None, actor=CLI, now=NOW)
    with pytest.raises(errors.AccessDenied):
        sign_in.issue(APP, wang.pk, actor=users.actor(APP, administrator.pk), now=NOW)


def test_of_many_who_open_it_at_once_one_is_signed_in(wang):
    token = issue(wang)
    gate = threading.Barrier(8)
    results = []

    def open_it():
        gate.wait()
        try:
            sign_in.use(APP, token, now=NOW)
            results.append("in")
        except errors.LinkUsed:
            results.append("used")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["in"] + ["used"] * 7

"""The doors as they are deployed: health, measurements, headers, sizes, sign-in, and the pages for errors."""

import re

import pytest
from django.core.cache import cache
from django.test import Client

from tallystick.core.db import APP
from tallystick.evidence import log
from tallystick.identity import sign_in as links
from tallystick.identity import users
from tallystick.identity.roles import Role
from tallystick.web import health

from .conftest import CLI, NOW

PASSWORD = "correct horse battery staple"


def test_alive_asks_nothing_of_the_database(client):
    # No database fixture: a query would fail the test.
    assert client.get("/healthz").json() == {"alive": True}


def test_ready_means_reachable_migrated_and_able_to_post(client, ledger_database):
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (
        200,
        {"ready": True, "database": True, "migrations": True, "posting": True},
    )


def test_not_ready_when_a_migration_is_missing_or_the_database_is_read_only(client, ledger_database):
    import psycopg

    health._nothing_to_migrate.cache_clear()
    with psycopg.connect(ledger_database.superuser, autocommit=True) as connection:
        connection.execute("delete from django_migrations where app = 'evidence'")
        connection.execute(f'alter database "{ledger_database.name}" set default_transaction_read_only = on')
    from django.db import connections

    connections.close_all()
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "database": True, "migrations": False, "posting": False}


def test_measurements_are_for_this_machine_or_the_holder_of_the_token(client, settings):
    assert b"tallystick_access_denied_total" in client.get("/metrics").content
    assert client.get("/metrics", REMOTE_ADDR="203.0.113.9").status_code == 403
    assert client.get("/metrics", headers={"X-Forwarded-For": "203.0.113.9"}).status_code == 403
    settings.METRICS_TOKEN = "t0ken"
    assert client.get("/metrics").status_code == 403
    assert client.get("/metrics", headers={"Authorization": "Bearer t0kem"}).status_code == 403
    assert client.get("/metrics", headers={"Authorization": "Bearer t0ken"}).status_code == 200


def test_every_answer_carries_the_headers_that_keep_a_browser_safe(client):
    answer = client.get("/")
    policy = dict(part.strip().partition(" ")[::2] for part in answer["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in "".join(value for name, value in policy.items() if name != "style-src-attr")
    assert answer["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains; preload"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert re.fullmatch(r"[\w-]{8,64}", answer["X-Request-ID"])
    for cookie in answer.cookies.values():
        assert cookie.key.startswith("__Host-")
        assert cookie["secure"] is True
        assert cookie["httponly"] is True
        assert cookie["samesite"] == "Lax"


def test_plain_http_is_sent_to_https():
    answer = Client(SERVER_NAME="localhost").get("/account/login/")
    assert (answer.status_code, answer["Location"]) == (301, "https://localhost/account/login/")


def test_no_page_holds_a_script_or_style_of_its_own(client, ledger_database):
    for path in ("/", "/account/login/", "/nowhere"):
        page = client.get(path).content.decode()
        assert not re.search(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)", page)
        assert "<style" not in page
        assert not re.search(r"\son\w+=", page)


def test_a_request_too_large_is_refused_before_it_is_read(client, settings):
    answer = client.post(
        "/account/login/", data=b"x", content_type="text/plain", CONTENT_LENGTH=settings.REQUEST_BYTES_MAX + 1
    )
    assert answer.status_code == 413


def test_an_unknown_address_says_so_and_offers_a_way_on(client, ledger_database):
    answer = client.get("/nowhere", headers={"Accept-Language": "zh-CN"})
    page = answer.content.decode()
    assert answer.status_code == 404
    assert '<html lang="zh-Hans">' in page
    assert 'href="/account/login/?next=/nowhere"' in page


def test_an_address_typed_by_a_stranger_reaches_no_label_of_a_measurement(client, ledger_database):
    client.get("/wang.fang@example.com")
    client.get("/sign-in/link/very-secret-token")
    assert b"wang.fang" not in client.get("/metrics").content
    assert b"very-secret" not in client.get("/metrics").content


def test_a_broken_page_says_that_nothing_was_half_done(client, ledger_database, monkeypatch):
    from tallystick.web import landing

    def broken(*_):
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(landing, "render", broken)
    client.raise_request_exception = False
    answer = client.get("/", headers={"Accept-Language": "en"})
    assert answer.status_code == 500
    assert "Nothing was half done" in answer.content.decode()


def test_the_language_is_the_browsers_until_the_reader_chooses(client, ledger_database):
    assert '<html lang="en">' in client.get("/", headers={"Accept-Language": "fr"}).content.decode()
    assert (
        '<html lang="zh-Hans">' in client.get("/", headers={"Accept-Language": "zh-CN,zh"}).content.decode()
    )
    client.post("/i18n/setlang/", {"language": "en", "next": "/"})
    assert '<html lang="en">' in client.get("/", headers={"Accept-Language": "zh-CN,zh"}).content.decode()


def test_a_password_signs_in_and_the_sign_in_is_an_event(client, ledger_database):
    cache.clear()
    user = users.create(APP, "wang", name="王芳", password=PASSWORD, actor=CLI, now=NOW)
    answer = client.post("/account/login/", {"login": "wang", "password": PASSWORD})
    assert (answer.status_code, answer["Location"]) == (302, "/home/")
    assert "王芳" not in str(log.events(APP)[0])
    assert (log.events(APP)[0].kind, log.events(APP)[0].actor) == ("identity.signed_in", user.reference)
    assert "No role yet" in client.get("/home/").content.decode()


def test_a_wrong_name_and_a_wrong_password_are_answered_alike(client, ledger_database):
    cache.clear()
    users.create(APP, "wang", name="王芳", password=PASSWORD, actor=CLI, now=NOW)
    pages = []
    for name in ("wang", "nobody"):
        answer = client.post("/account/login/", {"login": name, "password": "wrong wrong wrong"})
        page = answer.content.decode().replace(name, "NAME")
        pages.append((answer.status_code, re.sub(r'csrfmiddlewaretoken" value="\w+"', "", page)))
    assert pages[0] == pages[1]


def test_guessing_is_stopped_after_a_few_tries(client, ledger_database):
    cache.clear()
    users.create(APP, "wang", name="王芳", password=PASSWORD, actor=CLI, now=NOW)
    for _ in range(5):
        client.post("/account/login/", {"login": "wang", "password": "wrong wrong wrong"})
    client.post("/account/login/", {"login": "wang", "password": PASSWORD})
    assert "_auth_user_id" not in client.session


def test_nobody_signs_up_by_themselves(client, ledger_database):
    assert "No sign-up here" in client.get("/account/signup/").content.decode()
    client.post("/account/signup/", {"username": "li", "password1": PASSWORD})
    assert users.find(APP, "li") is None


def test_opening_a_link_uses_nothing_up_and_its_button_signs_in_once(client, ledger_database):
    cache.clear()
    user = users.create(APP, "wang", name="王芳", actor=CLI, now=NOW)
    from django.utils import timezone

    path = f"/sign-in/link/{links.issue(APP, user.pk, actor=CLI, now=timezone.now())}"
    for _ in range(2):
        page = client.get(path)
        assert "王芳" in page.content.decode()
        # The address is the secret: it goes to no other site.
        assert page["Referrer-Policy"] == "same-origin"
    assert client.post(path)["Location"] == "/home/"
    assert client.session["_auth_user_id"] == str(user.pk)
    assert client.post(path).status_code == 410


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
def test_a_link_leads_nowhere_else(client, ledger_database, wanted):
    cache.clear()
    from django.utils import timezone

    user = users.create(APP, "wang", name="王芳", actor=CLI, now=NOW)
    path = f"/sign-in/link/{links.issue(APP, user.pk, actor=CLI, now=timezone.now())}"
    assert client.post(path, {"next": wanted})["Location"] == "/home/"


def test_a_role_withdrawn_is_gone_with_the_next_request(sign_in, ledger_database):
    client = sign_in(Role.AUDITOR)
    assert "No role yet" not in client.get("/home/", follow=True).content.decode()
    user = users.find(APP, "auditor")
    users.withdraw(APP, user.pk, Role.AUDITOR, reason="Left.", actor=CLI, now=NOW)
    assert "No role yet" in client.get("/home/", follow=True).content.decode()


def test_a_sign_in_by_link_is_told_as_such_and_stands_in_the_list_of_sessions(client, ledger_database):
    cache.clear()
    from django.utils import timezone

    user = users.create(APP, "wang", name="王芳", actor=CLI, now=NOW)
    client.post(f"/sign-in/link/{links.issue(APP, user.pk, actor=CLI, now=timezone.now())}")
    told = next(event for event in log.events(APP) if event.kind == "identity.signed_in")
    assert told.payload == {"method": "link"}
    assert client.get("/account/sessions/").content.decode().count("<tr") == 2
    assert client.get("/account/").status_code == 200


def test_a_link_does_not_step_around_a_second_factor(client, ledger_database):
    cache.clear()
    from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
    from django.utils import timezone

    user = users.create(APP, "wang", name="王芳", actor=CLI, now=NOW)
    TOTP.activate(user, generate_totp_secret())
    answer = client.post(f"/sign-in/link/{links.issue(APP, user.pk, actor=CLI, now=timezone.now())}")
    assert answer["Location"].startswith("/account/2fa/authenticate/")
    assert "_auth_user_id" not in client.session

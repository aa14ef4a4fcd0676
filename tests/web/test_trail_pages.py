"""The trail and the pages: what shows somebody's data leaves one entry, what staff do leaves one, and the
trail's own pages find them, in both languages, with a second person for what is privileged."""

from __future__ import annotations

import re

import pytest
from django.db import connections
from django.urls import URLPattern

from tallystick import urls
from tallystick.core.db import APP
from tallystick.custody import numbers, posting
from tallystick.evidence import log, trail
from tallystick.evidence.trail import Filter
from tallystick.identity import users
from tallystick.identity.roles import Role

from . import seed
from .conftest import CLI, NOW, SecureClient

STAFF = (Role.PLATFORM_OPERATIONS, Role.PLATFORM_APPROVER, Role.AUDITOR, Role.ADMINISTRATOR)

# What shows nobody's data, told here a second time: all else that an auditor can open leaves one entry.
NOBODYS = {
    "landing", "home", "healthz", "readyz", "metrics", "my-sign-in", "pooling", "currencies",
    "payout-terms", "safeguarding", "closing", "approvals", "set_language", "trail-notices", "document",
    "transparency", "transparency-summary", "transparency-policy", "transparency-verifier",
}  # fmt: skip


@pytest.fixture(scope="module")
def cast(ledger_database_module):
    found = seed.platform()
    seed.reconciled(found)
    for role in (*STAFF, Role.CUSTOMER):
        number = "C-1" if role == Role.CUSTOMER else None
        user = users.create(APP, role.value, name=role.value, customer_number=number, actor=CLI, now=NOW)
        users.grant(APP, user.pk, role, reason="A test.", actor=CLI, now=NOW)
    yield found
    gateway = posting.gateway()
    if isinstance(gateway, posting.InProcess):
        gateway.close()


def signed_in(role, language="en"):
    client = SecureClient(SERVER_NAME="localhost", headers={"Accept-Language": language})
    backend = "allauth.account.auth_backends.AuthenticationBackend"
    client.force_login(users.find(APP, role.value), backend=backend)
    return client


def newest():
    with connections["default"].cursor() as cursor:
        cursor.execute("select coalesce(max(id), 0) from evidence_outbox")
        return cursor.fetchone()[0]


def since(event):
    return [each for each in trail.entries(APP, Filter(), limit=200) if each.event > event]


def addresses(cast):
    """Every page that takes what we have an example of: its name and its address."""
    examples = {
        "book": "1", "number": numbers.account_text(cast.wang), "transfer_id": seed.transfer_id("fee-5"),
        "position": "5", "user": str(users.find(APP, Role.CUSTOMER.value).pk), "event_id": str(newest()),
    }  # fmt: skip
    for pattern in urls.urlpatterns:
        if not isinstance(pattern, URLPattern):
            continue
        route = str(pattern.pattern)
        names = re.findall(r"<(?:\w+:)?(\w+)>", route)
        if set(names) <= set(examples):
            yield pattern.name, "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda found: examples[found[1]], route)


def test_every_page_of_somebodys_data_leaves_one_entry(cast):
    client, opened, failed = signed_in(Role.AUDITOR), 0, []
    for name, address in addresses(cast):
        before = newest()
        answer = client.get(address)
        if answer.status_code != 200:
            continue
        opened += 1
        left = [each.act for each in since(before)]
        if left != ([] if name in NOBODYS else ["identity.personal_data_read"]):
            failed.append(f"{name} {address}: {left}")
    assert "\n".join(failed) == ""
    # Fewer would mean that this test looks away.
    assert opened >= 25


def test_what_the_trail_leaves_out_shows_no_client(cast):
    client = signed_in(Role.AUDITOR)
    for name, address in addresses(cast):
        if name in NOBODYS - {"trail-notices"} and (answer := client.get(address)).status_code == 200:
            page = answer.content.decode()
            for secret in (numbers.account_text(cast.wang), "C-1", "王芳"):
                assert secret not in page, f"{name} shows {secret}"


def test_an_export_waits_for_a_second_person_who_is_not_the_first(cast):
    auditor, administrator = signed_in(Role.AUDITOR), signed_in(Role.ADMINISTRATOR)
    auditor.post("/trail/purpose/", {"purpose": "年度审计"})
    before = newest()
    auditor.get(f"/books/1/accounts/{numbers.account_text(cast.wang)}/statement.csv")
    (entry,) = since(before)
    assert (entry.is_privileged, list(entry.parties), entry.acknowledged_by) == (True, ["C-1"], None)
    assert "年度审计" in auditor.get(f"/trail/{entry.event}/").content.decode()
    # Not the one who did it: by the page, and by the table.
    auditor.post(f"/trail/{entry.event}/acknowledge", {"note": ""})
    assert trail.entry(APP, entry.event).acknowledged_by is None
    with pytest.raises(Exception, match="evidence_acknowledged_by_another"):
        trail.acknowledge(APP, entry, note="", by=entry.actor, now=NOW)
    administrator.post(f"/trail/{entry.event}/acknowledge", {"note": "seen"})
    assert trail.entry(APP, entry.event).acknowledged_by == users.find(APP, "administrator").reference
    told = log.events(APP, kind="evidence.act_acknowledged", limit=1)[0]
    assert told.payload == {"event": entry.reference, "note": "seen"}


def test_a_change_is_shown_with_what_held_before_it(cast):
    administrator, auditor = signed_in(Role.ADMINISTRATOR), signed_in(Role.AUDITOR)
    somebody = users.create(APP, "newcomer", name="newcomer", actor=CLI, now=NOW)
    before = newest()
    for role, reason in ((Role.REGULATOR, "seconded"), (Role.CUSTODIAN_BANK, "moved on")):
        form = {"change": "grant", "role": role.value, "reason": reason}
        assert administrator.post(f"/people/{somebody.pk}/roles", form).status_code == 302
    second, first = since(before)
    assert (first.act, first.subject, first.is_privileged) == (
        "identity.role_granted", f"user:{somebody.reference}", True,
    )  # fmt: skip
    page = auditor.get(f"/trail/{second.event}/").content.decode()
    assert "seconded" in page
    assert "moved on" in page
    assert f"/trail/{first.event}/" in page


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_the_trail_is_found_by_person_customer_act_and_time(cast, language):
    operations = signed_in(Role.PLATFORM_OPERATIONS)
    operations.get(f"/books/1/accounts/{numbers.account_text(cast.wang)}/")
    auditor = signed_in(Role.AUDITOR, language)
    for query, found in (
        ("person=platform_operations", True), ("person=nobody-of-this-name", False),
        ("customer=C-1", True), ("customer=C-999", False), ("act=identity.personal", True), ("act=custody.post", False),
        ("from=2020-01-01&to=2020-01-02", False), ("only=waiting", None), ("person=usr_1&customer=C-1", None),
    ):  # fmt: skip
        answer = auditor.get(f"/trail/?{query}")
        assert answer.status_code == 200
        if found is not None:
            assert ('class="stack"' in answer.content.decode()) is found, query
    assert auditor.get("/trail/?from=yesterday").status_code == 400
    assert auditor.get("/trail/notices/").status_code == 200
    assert "CN-AML-34" in auditor.get("/retention/").content.decode()


def test_the_trail_is_not_for_those_it_is_about(cast):
    for role in (Role.PLATFORM_OPERATIONS, Role.PLATFORM_APPROVER, Role.CUSTOMER):
        assert signed_in(role).get("/trail/").status_code == 403
    assert signed_in(Role.CUSTOMER).get("/trail/notices/").status_code == 403

"""The workbench in the browser's language: found, taken, settled, matched by two people, and the day closed."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from django.utils import timezone

from tallystick.core.db import APP
from tallystick.custody import book_days, numbers, reconciliation
from tallystick.custody.breaks import BreakKind
from tallystick.custody.workbench import cases, closing, matches, receipts
from tallystick.custody.workbench.cases import Filters
from tallystick.identity import users
from tallystick.identity.roles import Role

from . import seed
from .conftest import CLI, NOW, SecureClient, page, signed_in

BASE = f"/books/{seed.BOOK}"


@pytest.fixture(scope="module")
def cast(ledger_database_module):
    found = seed.platform()
    seed.reconciled(found)
    for each in cases.unfollowed(APP, seed.BOOK):
        cases.follow(APP, each, actor=seed.BY, now=timezone.now())
    for role in (Role.PLATFORM_OPERATIONS, Role.PLATFORM_APPROVER, Role.AUDITOR, Role.CUSTOMER):
        number = "C-1" if role == Role.CUSTOMER else None
        user = users.create(APP, role.value, name=role.value, customer_number=number, actor=CLI, now=NOW)
        users.grant(APP, user.pk, role, reason="A test.", actor=CLI, now=NOW)
    return found


def told(client: SecureClient, path: str, **given: object) -> str:
    """What the page says after this was sent."""
    answer = client.post(path, given, follow=True)
    assert answer.status_code == 200, path
    return str(answer.content.decode())


def test_every_page_opens_in_both_languages_and_for_no_customer(cast):
    """List, case, matching, suspense, calendar, day: whole, and refused to whoever may not read statements."""
    case = cases.cases(APP, seed.BOOK, Filters())[0]
    paths = [
        "/workbench/",
        f"/workbench/{case.id}/",
        "/workbench/match/",
        "/workbench/suspense/",
        "/close/",
        "/close/2026-03-02/",
    ]
    for language, word in (("en", "Workbench"), ("zh-hans", "对账工作台")):
        client = signed_in(Role.AUDITOR, language)
        for path in paths:
            assert word in page(client, BASE + path)
    for path in paths:
        page(signed_in(Role.CUSTOMER), BASE + path, status=403)
    page(signed_in(Role.AUDITOR), f"{BASE}/workbench/brk_999999/", status=404)
    page(signed_in(Role.AUDITOR), f"{BASE}/close/someday/", status=400)


def test_the_list_is_filtered_and_adds_up(cast):
    """Kind by kind the list shows those cases and no other, and the totals are the reconciliation's difference."""
    client = signed_in(Role.PLATFORM_OPERATIONS)
    everything = cases.cases(APP, seed.BOOK, Filters())
    assert everything
    text = page(client, f"{BASE}/workbench/")
    assert all(each.id in text for each in everything)
    for kind in BreakKind:
        shown = set(
            re.findall(r"data-row href=\"[^\"]*/(brk_\d+)/", page(client, f"{BASE}/workbench/?kind={kind}"))
        )
        assert shown == {each.id for each in everything if each.kind == kind}
    run = reconciliation.latest(APP, cast.bank)
    assert run is not None
    assert sum(each.effect_minor for each in everything) == run.difference_minor
    assert "No case fits" in page(client, f"{BASE}/workbench/?from=999999999")
    for given in ("abc", "1e999999", "9" * 40):
        page(client, f"{BASE}/workbench/?from={given}", status=400)


def test_a_case_is_taken_noted_and_its_fix_posted_by_whoever_may(cast):
    """The auditor finds no button, operations posts, and the history tells all of it."""
    (case, *_rest) = [
        each
        for each in cases.cases(APP, seed.BOOK, Filters())
        if each.kind in (BreakKind.UNIDENTIFIED, BreakKind.MISSING_IN_LEDGER) and each.effect_minor > 0
    ]
    path = f"{BASE}/workbench/{case.id}/"
    assert "Post this transfer" not in page(signed_in(Role.AUDITOR), path)
    client = signed_in(Role.PLATFORM_OPERATIONS)
    told(client, f"{path}act", act="take")
    assert "asked the bank" in told(client, f"{path}act", act="note", note="asked the bank")
    transfer = re.search(r'name="transfer" value="(trf_[^"]+)"', page(client, path))
    assert transfer is not None
    assert "Posted." in told(client, f"{path}act", act="post", transfer=transfer[1])
    assert [each.act.value for each in cases.steps(APP, case.id)] == [
        "opened",
        "taken",
        "noted",
        "fix_posted",
    ]
    answer = signed_in(Role.AUDITOR).post(f"{path}act", {"act": "take"})
    assert answer.status_code == 403


def test_a_match_is_proposed_by_one_and_approved_by_another(cast):
    """The proposer finds no button to approve; the approver does; a wrong pick is told, not a fault."""
    operations, approver = signed_in(Role.PLATFORM_OPERATIONS), signed_in(Role.PLATFORM_APPROVER)
    path = f"{BASE}/workbench/match/"
    lines = matches.open_lines(APP, cast.bank)
    bank = next(each for each in lines if each.position is None)
    assert "both sides" in told(
        operations,
        f"{path}act",
        act="propose",
        account=numbers.account_text(cast.bank),
        line=bank.key,
        reason="x",
    )
    amount = next((each for each in lines if each.position is not None), None)
    if amount is None:
        return
    assert "differ" in told(
        operations,
        f"{path}act",
        act="propose",
        account=numbers.account_text(cast.bank),
        line=[bank.key, amount.key],
        reason="x",
    )
    assert 'value="approve"' not in page(approver, path)


def test_a_day_is_closed_from_its_page(cast):
    """Not ready it says why; ready one signs and another closes, and the calendar shows it."""
    operations, approver = signed_in(Role.PLATFORM_OPERATIONS), signed_in(Role.PLATFORM_APPROVER)
    run = reconciliation.reconcile(APP, seed.BOOK, cast.bank, actor=seed.BY, now=timezone.now())
    cases.follow(APP, run.summary.id, actor=seed.BY, now=timezone.now())
    days = book_days.days(APP, seed.BOOK)
    day = days.previous(run.summary.cut_off + dt.timedelta(days=1))
    path = f"{BASE}/close/{day}/"
    later = f"{BASE}/close/{days.next(day)}/"
    assert "Not ready" in page(operations, later)
    assert "cannot be closed" in told(operations, f"{later}act", act="prepare")
    sheet = closing.sheet(APP, seed.BOOK, day, now=timezone.now())
    for each in sheet.failing:
        # The seed's old differences: owned and written about, they are explained.
        assert each.name.value == "explained"
    for case in sheet.rolled:
        cases.take(APP, case.id, actor=seed.BY, now=timezone.now())
        cases.write_note(APP, case.id, "seen", actor=seed.BY, now=timezone.now())
    assert "another person signs" in told(operations, f"{path}act", act="prepare")
    assert 'value="sign"' not in page(operations, path)
    approval = re.search(r'name="approval" value="(apr_\d+)"', page(approver, path))
    assert approval is not None
    # Under another day's address, and on the page of another kind, nothing is decided.
    for wrong, act in ((f"{later}act", "sign"), (f"{BASE}/workbench/suspense/1/act", "reject")):
        approver.post(wrong, {"act": act, "approval": approval[1], "note": "no"})
    account = numbers.account_text(cast.bank)
    told(
        approver,
        f"{BASE}/workbench/match/act",
        act="reject",
        account=account,
        approval=approval[1],
        reason="no",
    )
    assert closing.last_closed(APP, seed.BOOK) is None
    assert [each.reference for each in closing.proposals(APP, seed.BOOK, day)] == [approval[1]]
    assert "The day is closed." in told(approver, f"{path}act", act="sign", approval=approval[1])
    assert f"{day}"[:7] in page(operations, f"{BASE}/close/?month={day:%Y-%m}")
    closed = closing.last_closed(APP, seed.BOOK)
    assert closed is not None
    assert closed.sha256.hex() in page(operations, path)


def test_a_receipt_is_given_to_its_owner_from_its_page(cast):
    """Late money is told; an account that is none is told too; then it is booked, once."""
    client = signed_in(Role.PLATFORM_OPERATIONS)
    waiting = receipts.receipts(APP, seed.BOOK)
    if not waiting:
        pytest.skip("the case above was one of a named owner")
    found = waiting[0]
    assert "longer than" in page(client, f"{BASE}/workbench/suspense/")
    path = f"{BASE}/workbench/suspense/{found.position}/"
    page(client, path)
    assert "no account" in told(client, f"{path}act", act="trace", account="acc_1", note="x")
    assert "Booked to its owner" in told(
        client, f"{path}act", act="trace", account=numbers.account_text(cast.wang), note="sent the slip"
    )
    assert "Settled" in page(client, path)

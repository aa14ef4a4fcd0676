"""Payouts' pages: the queue says who may release, each act is one form, two people are two sign-ins."""

from __future__ import annotations

import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from tallystick.core.db import APP
from tallystick.custody.payout_references import end_to_end_id
from tallystick.custody.payouts import bank_accounts, notices, orders, returns, terms
from tallystick.custody.safeguarding import proofs
from tallystick.identity import approvals, users
from tallystick.identity.roles import Role
from tallystick.web import approvals as approvals_page
from tallystick.web import proposals
from tests.custody.cast import BOOK, LI_QIANG
from tests.custody.payout_cast import CARD, DAY0, LIMIT, scene
from tests.custody.test_payout_batches import answer, entry, load

from .conftest import CLI, NOW, page, signed_in

# In this order their numbers are those of the cast: whoever signs in here is whoever acted there.
PEOPLE = (Role.PLATFORM_OPERATIONS, Role.PLATFORM_APPROVER, Role.CUSTOMER, Role.AUDITOR)


@pytest.fixture(scope="module")
def wang(ledger_database_module):
    found = scene()
    for role in PEOPLE:
        number = "C-WANG" if role == Role.CUSTOMER else None
        user = users.create(APP, role.value, name=role.value, customer_number=number, actor=CLI, now=NOW)
        users.grant(APP, user.pk, role, reason="A test.", actor=CLI, now=NOW)
    return found


@pytest.fixture
def desk(wang):
    return signed_in(Role.PLATFORM_OPERATIONS)


@pytest.fixture
def checker(wang):
    return signed_in(Role.PLATFORM_APPROVER)


def send(client, path, **fields):
    got = client.post(path, fields, follow=True)
    assert got.status_code == 200, (path, got.content[:300])
    return got.content.decode()


def test_a_large_payout_is_released_by_the_checker_and_goes_the_whole_way(wang, desk, checker):
    """Queue, release, batch, file, sent, answer: on the pages, each by whoever may."""
    payout = wang.ask(LIMIT + 1, "pages-1", now=timezone.now())
    here = f"/books/{BOOK}/payouts/{payout.id}/"
    assert "Look and decide" not in page(desk, f"/books/{BOOK}/payouts/")
    assert "Look and decide" in page(checker, f"/books/{BOOK}/payouts/")
    assert 'value="release"' not in page(desk, here)
    assert desk.post(f"{here}act", {"act": "release"}).status_code == 403
    assert "Released: it goes into the next batch." in send(checker, f"{here}act", act="release")
    assert "by a second person" in page(desk, here)
    assert checker.post(f"/books/{BOOK}/payouts/batches/make", {"asset": "CNY"}).status_code == 403
    made = send(desk, f"/books/{BOOK}/payouts/batches/make", asset="CNY")
    batch = orders.payout(APP, payout.id).batch
    there = f"/books/{BOOK}/payouts/batches/{batch}/"
    assert f"pbt_{batch}" in made
    assert checker.post(f"{there}file").status_code == 403
    file = desk.post(f"{there}file")
    assert b"<EndToEndId>" in file.content
    assert file["Content-Disposition"].startswith("attachment")
    send(desk, f"{there}sent")

    class Made:
        message_id = re.search(rb"<MsgId>(.*?)</MsgId>", file.content)[1].decode()

    content = answer(Made, (payout, "RJCT", "AC04", ""))
    told = send(desk, f"/books/{BOOK}/payouts/batches/answers", files=SimpleUploadedFile("a.xml", content))
    assert "1 followed" in told
    shown = page(desk, here)
    assert "Rejected by the bank" in shown
    assert "RJCT AC04" in shown


def test_a_broken_answer_is_refused_with_its_line_and_a_way_back(desk):
    told = send(
        desk, f"/books/{BOOK}/payouts/batches/answers", files=SimpleUploadedFile("a.xml", b"<a>\n<b>")
    )
    assert "a.xml, line 2" in told


def test_the_bank_may_tell_of_a_payout_that_never_was(wang, desk):
    """Money out under an order nobody knows: shown with the report that says so, there being no payout to show."""
    wang.ask(500, "pages-known", now=timezone.now())
    load(wang, entry(end_to_end_id(BOOK, 99_999), "5.00", "DBIT", ""), closing="95.00")
    returns.advance(APP, BOOK, now=timezone.now())
    assert "<li>rpt_" in page(desk, f"/books/{BOOK}/payouts/")


def test_declining_says_why(wang, checker):
    payout = wang.ask(LIMIT + 1, "pages-2", now=timezone.now())
    here = f"/books/{BOOK}/payouts/{payout.id}/"
    assert "reason must be 1 to 200 characters" in send(checker, f"{here}act", act="decline", reason=" ")
    told = send(checker, f"{here}act", act="decline", reason="The client was called.")
    assert "Declined" in told


def test_terms_and_notice_are_approved_on_the_page_of_approvals(wang, desk, checker):
    bank = f"acc_{wang.accounts.bank:018d}"
    given = {
        "bank_account": bank, "release_above": "2,000.00", "daily_above": "9000", "cool_off_hours": "48",
        "cut_off": "16:30", "calendar": "CN", "debtor_name": "客户备付金专户", "debtor_account": "1109 0000 1234 567",
        "debtor_bic": "icbkcnbj",
    }  # fmt: skip
    path = f"/books/{BOOK}/payouts/terms/propose"
    assert "release_above must be" in send(desk, path, **{**given, "release_above": "much"})
    assert "Proposed" in send(desk, path, **given)
    send(desk, f"/books/{BOOK}/payouts/terms/notice", en="New words.", zh="新的告知。")
    mine = page(desk, "/approvals/")
    assert "Take it back" in mine
    assert ">Approve<" not in mine
    for waiting in approvals.pending(APP):
        if waiting.kind in (terms.KIND, notices.KIND):
            assert "Approved: it holds from now on." in send(
                checker, f"/approvals/{waiting.id}/decide", act="approve"
            )
    held = terms.current(APP, BOOK, 156)
    assert (held.release_above_minor, held.cut_off.isoformat(), held.debtor_bic) == (
        200_000,
        "16:30:00",
        "ICBKCNBJ",
    )
    assert notices.current(APP, BOOK).version == 1


def test_every_kind_of_proposal_has_a_word_and_a_page_where_it_is_decided():
    """Nothing waits for a second person without a way there."""
    assert set(proposals.KINDS) == set(approvals.KINDS)
    decided = {*approvals_page.HERE, *approvals_page.ROUTES, orders.KIND, proofs.SIGN_OFF}
    assert decided == set(approvals.KINDS)


def test_a_bank_account_is_verified_by_whoever_did_not_enter_it(wang, desk):
    card = bank_accounts.add(APP, BOOK, "C-LI", CARD, actor=LI_QIANG, now=DAY0)
    shown = page(desk, f"/books/{BOOK}/payouts/bank-accounts/")
    assert "1 other client" in shown
    assert "6222021234567890123" not in shown
    path = f"/books/{BOOK}/payouts/bank-accounts/{card.id}/verify"
    assert "Say how it is known" in send(desk, path, how="")
    assert "All are verified" in send(desk, path, how="Card network.")


@pytest.mark.parametrize("language", ["en", "zh-hans"])
@pytest.mark.parametrize(
    "path", ["", "batches/", "terms/", "bank-accounts/", "?status=settled", "?status=nonsense"]
)
def test_readers_read_and_customers_stay_out(wang, path, language):
    reader, customer = signed_in(Role.AUDITOR, language), signed_in(Role.CUSTOMER, language)
    page(reader, f"/books/{BOOK}/payouts/{path}", 400 if "nonsense" in path else 200)
    page(customer, f"/books/{BOOK}/payouts/{path}", 403)


def test_another_books_payout_is_not_here(wang, desk):
    payout = orders.payouts(APP, BOOK)[0]
    page(desk, f"/books/2/payouts/{payout.id}/", 404)
    page(desk, f"/books/{BOOK}/payouts/99999/", 404)
    page(signed_in(Role.CUSTOMER), "/approvals/", 403)

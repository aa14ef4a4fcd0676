"""A customer's own pages: every sum is the ledger's, every step leads on, and nobody sees another's."""

from __future__ import annotations

import csv
import html
import io
import itertools
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.urls import URLPattern

from tallystick import urls
from tallystick.core.db import APP
from tallystick.custody import (
    account_statement,
    accounts,
    conditions,
    deposits,
    history,
    holders,
    numbers,
)
from tallystick.custody.holder_models import Condition
from tallystick.custody.payout_models import PayoutStatus
from tallystick.custody.payouts import orders
from tallystick.identity import users
from tallystick.identity.roles import Role
from tallystick.web import words

from . import customer_seed, seed
from .conftest import CLI, signed_in

NOW = datetime.now(UTC)
PEOPLE = {
    "wang": (Role.CUSTOMER, "C-1"),
    "li": (Role.CUSTOMER, "C-2"),
    "desk": (Role.PLATFORM_OPERATIONS, None),
    "checker": (Role.PLATFORM_APPROVER, None),
    "auditor": (Role.AUDITOR, None),
}


@pytest.fixture(scope="module")
def cast(ledger_database_module):
    start = (NOW - timedelta(days=seed.DAYS + 2)).replace(hour=0, minute=0)
    found = seed.platform(start=start)
    for name, (role, number) in PEOPLE.items():
        user = users.create(APP, name, name=name, customer_number=number, actor=CLI, now=NOW)
        users.grant(APP, user.pk, role, reason="A test.", actor=CLI, now=NOW)
    return found


@pytest.fixture(scope="module")
def side(cast):
    return customer_seed.side(cast, now=NOW)


def page(client, path, status=200):
    answer = client.get(path)
    assert answer.status_code == status, path
    return html.unescape(answer.content.decode())


def at(account, more=""):
    return f"/my/accounts/{numbers.account_text(account)}/{more}"


# ── statements ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_statement_sums_to_the_ledger_to_the_cent_for_every_period(cast, side):
    """Opening and each line make the closing balance; the next period opens where the last one closed."""
    account = accounts.account(APP, cast.wang)
    first = account.opened_at.date() - timedelta(days=1)
    days = [first + timedelta(days=n) for n in range(0, 36, 5)]
    closing = 0
    seen = 0
    for start, after in itertools.pairwise(days):
        told = account_statement.period(APP, account, start, after - timedelta(days=1))
        lines = list(account_statement.lines(APP, told))
        assert told.opening.balance_minor == closing
        assert sum(line.amount_minor for line in lines) == told.closing.balance_minor - closing
        assert sum(line.amount_minor for line in lines if line.amount_minor > 0) == told.in_minor
        assert sum(-line.amount_minor for line in lines if line.amount_minor < 0) == told.out_minor
        assert all(told.position_from < line.position <= told.position_to for line in lines)
        closing, seen = told.closing.balance_minor, seen + len(lines)
    assert closing == history.balance(APP, cast.wang).balance_minor
    assert seen == len([line for line in history.account_lines(APP, cast.wang) if line.amount_minor])


def test_the_file_says_opening_each_line_and_closing(cast, side):
    """In one file, one row after another: what a spreadsheet adds up is what the ledger has."""
    client = signed_in("wang")
    query = f"statement.csv?from=2020-01-01&to={NOW.date() + timedelta(days=1)}"
    content = b"".join(client.get(at(cast.wang, query)).streaming_content).decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(content)))
    assert (rows[0]["what"], rows[-1]["what"]) == ("opening", "closing")

    def minor(text):
        return round(float(text or 0) * 100)

    total = minor(rows[0]["balance"])
    for row in rows[1:-1]:
        total += minor(row["amount_in"]) - minor(row["amount_out"])
        assert minor(row["balance"]) == total
    assert total == minor(rows[-1]["balance"]) == history.balance(APP, cast.wang).balance_minor


@pytest.mark.parametrize("language", ["zh-hans", "en"])
def test_the_document_is_a_pdf_in_the_language_asked_for(cast, side, language):
    """Both languages, one digest: what it says is the same."""
    answer = signed_in("wang").get(at(cast.wang, f"statement.pdf?from=2020-01-01&language={language}"))
    assert answer["Content-Type"] == "application/pdf"
    assert answer.content.startswith(b"%PDF-")
    assert "private" in answer["Cache-Control"]


def test_periods_that_are_none_are_refused_with_a_way_back(cast, side):
    """The last day before the first one, and a day that is none."""
    client = signed_in("wang")
    text = page(client, at(cast.wang, "statement/?from=2026-03-02&to=2026-03-01"), status=409)
    assert 'href="/home/"' in text
    page(client, at(cast.wang, "statement/?from=2026-02-31"), status=400)


def test_history_is_filtered_searched_and_keeps_the_running_balance(cast, side):
    """What is found is what was asked for, and each line's balance is the ledger's after it."""
    account = accounts.account(APP, cast.wang)
    after = {line.position: line.balance_minor for line in history.account_lines(APP, cast.wang)}
    found = account_statement.find(APP, account, account_statement.Wanted(is_in=False), limit=500)
    assert found
    assert all(line.amount_minor < 0 for line in found)
    assert all(line.balance_minor == after[line.position] for line in found)
    by_text = account_statement.find(APP, account, account_statement.Wanted(text="bk0003"), limit=500)
    assert {line.reference[:6] for line in by_text} == {"BK0003"}
    assert account_statement.find(APP, account, account_statement.Wanted(text="%"), limit=5) == []
    text = page(signed_in("wang"), at(cast.wang, "?search=200.00&way=out"))
    assert "−200.00" in text
    assert "Top-up</td>" not in text
    assert "Nothing found" in page(signed_in("wang"), at(cast.wang, "?search=no-such-thing"))
    first = page(signed_in("wang"), at(cast.wang))
    older = re.search(r'rel="next" href="([^"]+)"', first)[1]
    assert page(signed_in("wang"), at(cast.wang, older)) != first


# ── paying in ────────────────────────────────────────────────────────────────────────────────────────────


def test_the_page_says_where_to_pay_and_how_far_each_deposit_is(cast, side):
    """Bank details, the reference in fours, and all four stages."""
    text = page(signed_in("wang"), at(cast.wang, "pay-in/"))
    for word in (
        "6228480402564890018",
        "示例银行上海分行",
        "On your account",
        "The bank has it",
        "Not arrived",
    ):
        assert word in text
    assert deposits.incoming(APP, cast.wang, today=NOW.date())[0].amount_minor in (2_500_00, 300_00)
    assert "DE89370400440532013000" not in text
    euro = page(signed_in("wang"), at(side.euro, "pay-in/"))
    assert "DE89370400440532013000" in euro
    assert "RF" in euro


def test_the_code_is_a_picture_without_script_or_style(cast, side):
    """What the strict policy lets through, and nobody else's browser keeps."""
    answer = signed_in("wang").get(at(side.euro, "pay-in/0.svg?amount=12.50"))
    assert answer["Content-Type"] == "image/svg+xml"
    assert b"<script" not in answer.content
    assert b"style=" not in answer.content
    assert "no-store" in answer["Cache-Control"]
    assert signed_in("wang").get(at(side.euro, "pay-in/9.svg")).status_code == 404


@pytest.mark.parametrize(
    ("typed", "minor"), [("1,234.50", 1_234_50), ("１２", 12_00), ("0", None), ("1.234", None), ("1e3", None)]
)
def test_an_amount_is_announced_as_people_type_it_or_refused_in_words(cast, side, typed, minor):
    """Commas, full-width digits; no exponents, no thirds of a fen, no nothing."""
    before = len(deposits.incoming(APP, side.euro, today=NOW.date()))
    answer = signed_in("wang").post(at(side.euro, "pay-in/"), {"amount": typed}, follow=True)
    found = deposits.incoming(APP, side.euro, today=NOW.date())
    assert len(found) == before + (minor is not None)
    if minor is None:
        assert "Nothing was announced" in html.unescape(answer.content.decode())
    else:
        assert found[0].amount_minor == minor


# ── taking out ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_customer_orders_sees_and_cancels_a_withdrawal(cast, side):
    """Form, everything once more with the full cost and the notice, then the order; its way; called off."""
    client = signed_in("wang")
    path = at(cast.wang, "withdraw/")
    assert "工商银行北京分行 …0123" in page(client, path)
    asked = {"step": "confirm", "bank_account": f"bnk_{side.card}", "amount": "15.05"}
    text = html.unescape(client.post(path, asked).content.decode())
    assert "Leaves your account in all" in text
    assert "15.05 CNY" in text
    form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', text))
    # Without having read the notice there is no order.
    unread = client.post(path, form, follow=True).content.decode()
    assert "Order the withdrawal" not in unread
    before = history.balance(APP, cast.wang).available_minor
    answer = client.post(path, {**form, "read": "yes"})
    assert client.post(path, {**form, "read": "yes"})["Location"] == answer["Location"], "twice is once"
    assert history.balance(APP, cast.wang).available_minor == before - 15_05
    shown = page(client, answer["Location"])
    assert "Being checked" in shown
    client.post(answer["Location"])
    assert "Cancelled" in page(client, answer["Location"])
    assert history.balance(APP, cast.wang).available_minor == before


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"amount": "x"}, "Write the amount in digits"),
        ({"amount": "99999999"}, "more than is free to use"),
        ({"bank_account": "bnk_999"}, "Choose one of your bank accounts"),
        ({"bank_account": ""}, "Choose one of your bank accounts"),
    ],
)
def test_what_cannot_be_withdrawn_is_said_on_the_form(cast, side, changed, word):
    """And what was typed is still there."""
    asked = {"step": "confirm", "bank_account": f"bnk_{side.card}", "amount": "15.05", **changed}
    text = html.unescape(signed_in("wang").post(at(cast.wang, "withdraw/"), asked).content.decode())
    assert word in text
    assert "Order the withdrawal" not in text


def test_a_joint_withdrawal_goes_when_both_have_agreed(cast, side):
    """The first one's order waits; the second agrees on their own page; then it is ordered."""
    path = at(side.joint, "withdraw/")
    asked = {"step": "confirm", "bank_account": f"bnk_{side.card}", "amount": "30"}
    wang, li = signed_in("wang"), signed_in("li")

    def ordered():
        text = html.unescape(wang.post(path, asked).content.decode())
        form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', text))
        return wang.post(path, {**form, "read": "yes"})

    assert ordered()["Location"] == at(side.joint)
    assert [each for each in orders.payouts(APP, seed.BOOK) if each.debit_account == side.joint] == []
    waiting = [each for each in holders.consents(APP, side.joint, now=NOW) if each.customer_number == "C-1"]
    assert "工商银行北京分行 …0123" in page(li, at(side.joint))
    li.post(at(side.joint, f"agree/{waiting[0].id}"), {"answer": "yes"})
    answer = ordered()
    assert re.search(r"/withdraw/\d+/$", answer["Location"])
    (payout,) = [each for each in orders.payouts(APP, seed.BOOK) if each.debit_account == side.joint]
    assert (payout.amount_minor, payout.status) == (30_00, PayoutStatus.PENDING)
    assert "30.00" in page(li, answer["Location"])


def test_a_bank_account_is_bound_and_waits_for_its_check(cast, side):
    """A number that is none is said in place; a sound one is shown as being verified."""
    client = signed_in("wang")
    path = at(cast.wang, "withdraw/bank-account")
    wrong = {"holder_name": "王芳", "bank_name": "某银行", "number": "1"}
    answer = client.post(path, wrong)
    assert answer.status_code == 409
    assert "某银行" in answer.content.decode()
    sound = {
        "holder_name": "王芳",
        "bank_name": "招商银行",
        "number": "6214830212345678",
        "cnaps": "308584000013",
    }
    assert client.post(path, sound).status_code == 302
    assert "being verified" in page(client, at(cast.wang, "withdraw/"))


# ── sleep, death, estates ────────────────────────────────────────────────────────────────────────────────


def test_the_first_page_says_what_stands_in_the_way_and_what_to_do(cast, side):
    """Asleep with a button, deceased with a word; and the sum is of all accounts."""
    text = page(signed_in("wang"), "/my/")
    mine = holders.accounts_of(APP, "C-1")
    yuan = [each.number for each in mine if each.asset == "CNY"]
    total = sum(each.balance_minor for each in history.balances(APP, yuan).values())
    assert words.amount(total, 2) in text
    assert "Wake it" in text
    assert "A holder of this account has died" in text
    assert "Nothing can leave this account now" in page(signed_in("wang"), at(side.dead, "withdraw/"))
    signed_in("wang").post(at(side.asleep, "wake"))
    assert holders.standing(APP, accounts.account(APP, side.asleep)).condition == Condition.ACTIVE


def test_staff_propose_and_another_decides(cast, side):
    """A desk cannot decide on anything, the checker cannot propose; the estate holds once approved."""
    desk, checker = signed_in("desk"), signed_in("checker")
    text = page(checker, "/books/1/holders/")
    assert "公证书 2026-8" in text
    approval = re.search(r"/books/1/holders/decide/(\d+)", text)[1]
    decide = f"/books/1/holders/decide/{approval}"
    desk.post(decide, {"decision": "approve"})
    assert conditions.changes(APP, side.dead)[-1].condition == Condition.DECEASED
    checker.post(decide, {"decision": "approve"})
    assert conditions.changes(APP, side.dead)[-1].condition == Condition.ESTATE
    # The heir now has the account on their own page, and nobody but them signs.
    assert "Representative of the estate" in page(signed_in("li"), at(side.dead))
    path = f"/books/1/holders/{numbers.account_text(cast.wang_second)}/"
    form = {
        "what": "holders",
        "customer_number": ["C-1", "C-2", ""],
        "capacity": ["holder", "holder", "holder"],
        "rule": "any",
        "document": "d",
        "reason": "r",
    }
    checker.post(path, form)
    assert "Waits for a second person" not in page(checker, path)
    desk.post(path, form)
    assert "Waits for a second person" in page(checker, path)
    assert "Take my proposal back" in page(desk, path)
    told = "C-1: Holder · C-2: Holder"
    assert told in page(checker, path)
    assert told in page(checker, "/approvals/")
    desk.post(path, {**form, "rule": "some"})
    assert "6228480402564890018" in page(signed_in("auditor"), "/books/1/pay-in/")


# ── nobody sees another's ────────────────────────────────────────────────────────────────────────────────


def own_routes():
    """Every address under /my/ that names something."""
    return [
        str(each.pattern)
        for each in urls.urlpatterns
        if isinstance(each, URLPattern) and str(each.pattern).startswith("my/") and "<" in str(each.pattern)
    ]


def test_no_route_tells_of_anybody_elses_things_by_get_or_post(cast, side):
    """Every route with a name in it, with another customer's, the bank's, nobody's: the same 404 for all.

    And to the other one's payout through one's own account too.
    """
    client = signed_in("wang")
    tried = 0
    absent = numbers.account_number(1, numbers.Family.CLIENT, 156, 99_999)
    for route in own_routes():
        answers = {}
        for whose in (cast.li, cast.bank, absent):
            path = "/" + route.replace("<str:number>", numbers.account_text(whose)).replace(
                "<int:payout_id>", str(side.others_payout)
            ).replace("<int:place>", "0").replace("<int:consent>", "1").replace("<str:quote_id>", "fxq_1")
            if "authorisations" in route:
                path = "/" + route.replace("<str:number>", "ath_000000000600000011")
            assert "<" not in path, f"{route} has a part this test does not know"
            for method in (client.get, client.post):
                answer = method(path)
                text = answer.content.decode()
                # 405 where the address takes no such method, whoever asks: that is told before anything is looked up.
                assert answer.status_code in (404, 405), (method, path)
                assert "李强" not in text
                if answer.status_code == 405:
                    assert text == ""
                    continue
                shown = re.sub(r"acc_\d{18}|name=.csrf.*?>|<small>.*?</small>", "", text.split("<main")[1])
                answers.setdefault(method.__name__, set()).add(
                    re.sub(r'value="[^"]*"|\?next=[^"]*', "", shown)
                )
                tried += 1
        assert all(len(each) == 1 for each in answers.values()), f"{route} tells what is there"
    assert tried >= 60
    page(client, at(cast.wang, f"withdraw/{side.others_payout}/"), status=404)
    page(client, at(cast.wang, "withdraw/999999/"), status=404)


def test_staff_have_no_customers_page_and_customers_no_staffs(cast, side):
    """403 with a way back, whoever asks at the wrong door."""
    for path in ("/my/", "/my/pay-in/", "/my/withdraw/", at(cast.wang), at(cast.wang, "pay-in/")):
        page(signed_in("desk"), path, status=403)
    for path in (
        "/books/1/holders/",
        "/books/1/pay-in/",
        f"/books/1/holders/{numbers.account_text(cast.wang)}/",
    ):
        page(signed_in("wang"), path, status=403)
    assert (
        signed_in("wang").post("/books/1/holders/dormancy", {"days": 9, "notice_days": 1}).status_code == 403
    )
    assert signed_in("wang").post("/books/1/holders/decide/1", {"decision": "approve"}).status_code == 403

"""Liquidity and currencies on pages: judged, limited, quoted, agreed and settled by whoever may."""

import re

import pytest
from django.utils import timezone

from tallystick.core.db import APP
from tallystick.custody import history, holders
from tallystick.custody.cross_border import quotes
from tallystick.custody.liquidity import assessments, waiting
from tallystick.identity import users
from tallystick.identity.roles import Role

from . import treasury
from .conftest import CLI, signed_in

PEOPLE = {
    "operations": (Role.PLATFORM_OPERATIONS, None),
    "approver": (Role.PLATFORM_APPROVER, None),
    "auditor": (Role.AUDITOR, None),
    "wang": (Role.CUSTOMER, "C-1"),
    "li": (Role.CUSTOMER, "C-2"),
}


@pytest.fixture(scope="module")
def cast(ledger_database_module):
    now = timezone.now()
    found = treasury.platform(now=now)
    for name, (role, number) in PEOPLE.items():
        user = users.create(APP, name, name=name, customer_number=number, actor=CLI, now=now)
        users.grant(APP, user.pk, role, reason="A test.", actor=CLI, now=now)
    return found


def text(answer):
    return re.sub(r"\s+", " ", answer.content.decode())


def test_a_forecast_is_made_by_who_may_and_seen_by_who_reads(cast):
    """Operations judge it; the auditor sees the figures, and no button; every figure is the kept one."""
    staff = signed_in("operations")
    assert staff.post("/books/1/liquidity/assess", {"asset": "CNY"}).status_code == 302
    (kept,) = assessments.latest(APP, 1, "CNY")
    seen = text(signed_in("auditor").get("/books/1/liquidity/"))
    assert kept.id in seen
    assert "Forecast now" not in seen
    assert "Forecast now" in text(staff.get("/books/1/liquidity/"))
    assert seen.count("<meter") == len(kept.told["coverage"]) == 4
    assert signed_in("auditor").post("/books/1/liquidity/assess", {"asset": "CNY"}).status_code == 403
    assert signed_in("wang").get("/books/1/liquidity/").status_code == 403


def test_the_queue_is_on_the_page_and_each_client_has_their_place(cast):
    """Staff see the whole queue in order; a client gets their own place and no one else's."""
    seen = text(signed_in("operations").get("/books/1/liquidity/"))
    assert seen.index("8,000.00") < seen.index("5,000.00")
    assert "6,000.00 CNY a day" in seen
    ((queue, mine),) = waiting.places(APP, holders.accounts_of(APP, "C-1"), now=timezone.now())
    assert (mine.place, mine.amount_minor, [each.owner for each in queue.entries]) == (2, 5_000_00, ["C-1"])
    assert "number 2 in the queue" in text(signed_in("wang").get("/my/"))
    assert "number 1 in the queue" in text(signed_in("li").get("/my/"))


def test_the_approver_changes_the_limit_and_operations_do_not(cast):
    """An empty amount lifts it; what is no amount is not understood."""
    asked = {"asset": "CNY", "amount": "7,000.00", "from_day": "2026-01-01", "reason": "More comes free"}
    assert signed_in("operations").post("/books/1/liquidity/limit", asked).status_code == 403
    approver = signed_in("approver")
    assert approver.post("/books/1/liquidity/limit", asked | {"amount": "much"}).status_code == 400
    assert approver.post("/books/1/liquidity/limit", asked | {"reason": ""}).status_code == 409
    assert approver.post("/books/1/liquidity/limit", asked).status_code == 302
    assert "7,000.00 CNY a day" in text(approver.get("/books/1/liquidity/"))


def test_quote_consent_done(cast):
    """王芳 sees the full cost, agrees, and the money is there; 李强 never sees the quote."""
    wang, li = signed_in("wang"), signed_in("li")
    asked = {
        "seller": f"acc_{cast.wang:018d}",
        "buyer": f"acc_{cast.dollars:018d}",
        "amount": "1,000.00",
        "corridor": "CN-US",
    }
    blocked = wang.post("/my/exchange/ask", asked | {"corridor": "CN-KP"}, follow=True)
    assert "2397" in text(blocked)
    before = history.balance(APP, cast.wang).balance_minor
    page = wang.post("/my/exchange/ask", asked, follow=True)
    (address,) = set(re.findall(r'action="(/my/exchange/quo_\d+/consent)"', text(page)))
    found = quotes.quote(APP, address.split("/")[3], now=timezone.now())
    assert found.cost.bought_minor == 138_68
    for figure in ("138.68", "1,015.00", "0.1386827", "0.1391", "0.42"):
        assert figure in text(page), figure
    assert history.balance(APP, cast.wang).balance_minor == before
    assert li.get(f"/my/exchange/{found.id}/").status_code == 404
    assert li.post(address).status_code == 404
    assert signed_in("operations").post(address).status_code in (403, 404)
    done = wang.post(address, follow=True)
    assert "Posted" in text(done)
    assert history.balance(APP, cast.dollars).balance_minor == 138_68
    assert history.balance(APP, cast.wang).balance_minor == before - 1_015_00
    assert "agreed to already" in text(wang.post(address, follow=True))
    close = f"/books/1/currencies/{found.id}/close"
    assert signed_in("auditor").post(close, {"told": "X", "outcome": "settled"}).status_code == 403
    staff = signed_in("operations")
    assert staff.post(close, {"told": "SWIFT-9", "outcome": "settled"}).status_code == 302
    seen = text(staff.get("/books/1/currencies/"))
    assert "SWIFT-9" in seen
    assert "Unrealised gain" in seen


@pytest.mark.parametrize(
    "change",
    [
        {"seller": "acc_000000000000000000"},
        {"buyer": ""},
        {"amount": "x"},
        {"amount": "1e999999"},
        {"corridor": "??"},
    ],
)
def test_a_question_that_makes_no_sense_is_told_so(cast, change):
    """Somebody else's account, no amount, no corridor: an answer with a way back, never a fault."""
    asked = {
        "seller": f"acc_{cast.wang:018d}",
        "buyer": f"acc_{cast.dollars:018d}",
        "amount": "1000",
        "corridor": "CN-US",
    }
    answer = signed_in("wang").post("/my/exchange/ask", asked | change, follow=True)
    assert answer.status_code in (200, 400)


def test_rates_are_recorded_by_operations_alone(cast):
    """A rate on the page has its source; the auditor records none."""
    asked = {"base": "usd", "quoted": "CNY", "rate": "7.2", "source": "PBoC"}
    assert signed_in("auditor").post("/books/1/currencies/rate", asked).status_code == 403
    staff = signed_in("operations")
    assert staff.post("/books/1/currencies/rate", asked | {"rate": "-7"}).status_code == 409
    assert staff.post("/books/1/currencies/rate", asked).status_code == 302
    assert "1 USD = 7.2 CNY" in text(staff.get("/books/1/currencies/"))


@pytest.mark.parametrize("path", ["/books/1/liquidity/", "/books/1/currencies/", "/my/exchange/"])
def test_pages_speak_chinese(cast, path):
    """No English sentence is left on a Chinese page's headings."""
    name = "wang" if path.startswith("/my") else "approver"
    seen = text(signed_in(name, "zh-Hans").get(path))
    for heading in re.findall(r"<h[123][^>]*>(.*?)</h[123]>", seen):
        assert re.search(r"[一-鿿]", heading), heading

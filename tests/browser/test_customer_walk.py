"""The customer's side in a real browser: both languages, wide and on a phone; and staff's pages of holders."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tallystick.custody import numbers
from tallystick.identity.roles import Role
from tests.browser.test_walk import AUDIT, FOUR
from tests.web import customer_seed


@pytest.fixture(scope="module")
def side(site):
    return customer_seed.side(site.cast, now=datetime.now(UTC))


def pages(site, side):
    wang, joint, euro, dead = (
        f"/my/accounts/{numbers.account_text(each)}/"
        for each in (site.cast.wang, side.joint, side.euro, side.dead)
    )
    return {
        "my": "/my/",
        "choose": "/my/pay-in/",
        "account": wang,
        "account-joint": joint,
        "pay-in": wang + "pay-in/",
        "pay-in-euro": euro + "pay-in/",
        "withdraw": wang + "withdraw/",
        "withdraw-dead": dead + "withdraw/",
        "bank-account": wang + "withdraw/bank-account",
        "payout": wang + f"withdraw/{side.payout}/",
        "statement": wang + "statement/",
        "nothing-found": wang + "?search=zzzz",
    }


def looked_at(visited, site, path, width, language):
    page = visited.page
    answer = page.goto(site.address + path)
    assert answer.status == 200, path
    assert page.get_attribute("html", "lang") == ("zh-Hans" if language == "zh-CN" else "en")
    assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{path} scrolls sideways"
    assert page.evaluate(AUDIT) == [], path
    assert visited.complaints == [], path


@pytest.mark.slow
@pytest.mark.parametrize(("language", "width"), FOUR)
def test_a_customer_walks_their_pages(site, side, visit, picture, language, width):
    """Nothing scrolls sideways, nothing is pale or nameless, nothing breaks the policy; the code is drawn."""
    visited = visit(Role.CUSTOMER, language=language, width=width)
    for name, path in pages(site, side).items():
        looked_at(visited, site, path, width, language)
        for image in visited.page.query_selector_all(".code img"):
            assert image.evaluate("e => e.decode().then(() => e.naturalWidth)") > 100
        picture(visited.page, f"customer-{name}-{language}-{width}")
    wang = pages(site, side)["account"]
    page = visited.page
    page.goto(site.address + wang + "withdraw/")
    page.fill("#amount", "15.05")
    page.check("input[name=bank_account]:not([disabled])")
    page.click("main form button.main")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(AUDIT) == []
    picture(page, f"customer-confirm-{language}-{width}")
    assert visited.complaints == []


@pytest.mark.slow
@pytest.mark.parametrize(("language", "width"), FOUR)
def test_staff_walk_holders_and_pay_in(site, side, visit, picture, language, width):
    """The same of staff's pages, with what waits for a second person."""
    visited = visit(Role.PLATFORM_OPERATIONS, language=language, width=width)
    dead = numbers.account_text(side.dead)
    for name, path in {
        "holders": "/books/1/holders/",
        "holders-account": f"/books/1/holders/{dead}/",
        "pay-in-details": "/books/1/pay-in/",
    }.items():
        looked_at(visited, site, path, width, language)
        for each in visited.page.query_selector_all("main details"):
            each.evaluate("e => { e.open = true }")
        picture(visited.page, f"staff-{name}-{language}-{width}")

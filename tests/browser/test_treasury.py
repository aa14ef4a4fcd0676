"""Liquidity and currencies in a real browser: both languages, wide and on a phone; quote, consent, done."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tallystick.core.db import APP
from tallystick.custody import history
from tallystick.custody.liquidity import assessments
from tallystick.identity.roles import Role
from tests.browser.conftest import served
from tests.browser.test_walk import AUDIT
from tests.web import treasury


@pytest.fixture(scope="module")
def site(ledger_database_module, tmp_path_factory):
    now = datetime.now(UTC)
    cast = treasury.platform(now=now)
    assessments.assess(APP, treasury.BOOK, "CNY", actor=treasury.BY, now=now)
    with served(ledger_database_module, cast, tmp_path_factory.mktemp("treasury") / "granian.log") as found:
        yield found


def kept(page, name):
    if directory := os.environ.get("TALLYSTICK_SCREENSHOTS"):
        page.screenshot(path=str(Path(directory) / f"{name}.png"), full_page=True)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("language", ["zh-CN", "en-GB"])
def test_the_pages_hold_on_every_screen(visit, site, language, width):
    """Nothing is wider than the screen, unnamed or too pale; nothing complains; charts are drawn."""
    for role, paths in (
        (Role.PLATFORM_OPERATIONS, ("/books/1/liquidity/", "/books/1/currencies/")),
        (Role.PLATFORM_APPROVER, ("/books/1/liquidity/",)),
        (Role.CUSTOMER, ("/my/exchange/",)),
    ):
        visitor = visit(role, language=language, width=width)
        for path in paths:
            visitor.page.goto(site.address + path)
            visitor.page.wait_for_load_state("networkidle")
            assert visitor.page.evaluate(AUDIT) == [], path
            wide = visitor.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{path} is {wide} pixels too wide"
            kept(visitor.page, f"{role}{path.replace('/', '-')}{language}-{width}")
        assert visitor.complaints == []


def test_a_client_sees_the_cost_agrees_and_has_the_money(visit, site):
    """By mouse, in Chinese, on a phone: the question, the full cost, the consent, the balance."""
    visitor = visit(Role.CUSTOMER, width=390)
    page = visitor.page
    page.goto(site.address + "/my/exchange/")
    page.select_option("#seller", f"acc_{site.cast.wang:018d}")
    page.select_option("#buyer", f"acc_{site.cast.dollars:018d}")
    page.select_option("#corridor", "CN-KP")
    page.fill("#amount", "500.00")
    page.click("main form button.main")
    assert "2397" in page.inner_text("main")
    page.select_option("#seller", f"acc_{site.cast.wang:018d}")
    page.select_option("#buyer", f"acc_{site.cast.dollars:018d}")
    page.select_option("#corridor", "CN-US")
    page.fill("#amount", "500.00")
    page.click("main form button.main")
    page.wait_for_url("**/my/exchange/quo_*/")
    assert page.evaluate(AUDIT) == []
    kept(page, "quote-zh-390")
    assert "69.34" in page.inner_text("main")
    page.click("main form button.main")
    assert "已入账" in page.inner_text("main")
    kept(page, "quote-done-zh-390")
    assert history.balance(APP, site.cast.dollars).balance_minor == 69_34
    assert visitor.complaints == []

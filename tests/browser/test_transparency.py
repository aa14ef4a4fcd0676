"""Evidence in a real browser: the public page, one's own proof saved and opened offline, the explorer; both widths."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.test import override_settings

from tallystick.custody import numbers
from tallystick.identity.roles import Role
from tests.browser.conftest import served
from tests.browser.test_walk import AUDIT
from tests.web import proven, seed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(ledger_database_module, tmp_path_factory):
    start = (datetime.now(UTC) - timedelta(days=seed.DAYS + 2)).replace(hour=0, minute=0)
    folder = tmp_path_factory.mktemp("proven")
    home = {"LIABILITIES_FOLDER": folder / "trees", "LOG_FOLDER": folder / "logs"}
    with override_settings(**home):
        cast, stated = proven.platform(start=start, folder=folder)
    cast = (cast, stated)
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("TALLYSTICK_LOG_FOLDER", str(folder / "logs"))
        with served(ledger_database_module, cast, folder / "granian.log") as found:
            yield found


@pytest.mark.parametrize(("language", "width"), [("zh-CN", 390), ("en-GB", 1280), ("en-GB", 390)])
def test_the_pages_hold_on_every_screen(visit, site, picture, language, width):
    """Nothing is wider than the screen, unnamed or too pale; nothing complains; charts are drawn; no policy is broken."""
    cast, stated = site.cast
    own, sol = numbers.account_text(cast.wang), stated[-1].id
    for role, paths in (
        (None, ("/transparency/",)),
        (Role.CUSTOMER, ("/my/proof/", f"/my/proof/{own}/")),
        (
            Role.REGULATOR,
            (
                "/evidence/",
                f"/evidence/{stated[0].event}/",
                "/evidence/logs/ledger/",
                "/evidence/logs/public/0/",
                "/books/1/solvency/",
                f"/books/1/solvency/{sol}/",
                f"/books/1/solvency/{sol}/CNY/",
                "/books/1/solvency/rebuilt/",
            ),
        ),
    ):
        visitor = visit(role, language=language, width=width)
        for path in paths:
            answer = visitor.page.goto(site.address + path)
            assert answer.status == 200, path
            visitor.page.wait_for_load_state("networkidle")
            assert visitor.page.evaluate(AUDIT) == [], path
            wide = visitor.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{path} is {wide} pixels too wide"
            undrawn = visitor.page.locator("[data-chart]:not([data-drawn])").count()
            assert undrawn == 0, path
            picture(visitor.page, f"evidence{path.replace('/', '-')}{language}-{width}")
        assert visitor.complaints == []


def test_a_client_saves_their_proof_and_it_checks_itself_with_the_network_off(
    visit, site, chromium, tmp_path
):
    """By keyboard: from one's money to the proof, saved; opened from disk in a browser that is offline."""
    cast, _ = site.cast
    visitor = visit(Role.CUSTOMER, language="en-GB", width=390)
    page = visitor.page
    page.goto(f"{site.address}/my/proof/{numbers.account_text(cast.wang)}/")
    assert "is counted as owed to you" in page.inner_text("main")
    for button, name in (
        ("main .verdict a.main", "proof.html"),
        ("#receipts td a", "receipt.html"),
    ):
        page.locator(button).first.focus()
        with page.expect_download() as saved:
            page.keyboard.press("Enter")
        saved.value.save_as(tmp_path / name)
        offline = chromium.new_context(offline=True, locale="en-GB")
        opened = offline.new_page()
        opened.goto((tmp_path / name).as_uri())
        opened.wait_for_function("document.documentElement.dataset.milliseconds !== undefined")
        assert opened.locator("#verdict").get_attribute("class") == "good", opened.inner_text("main")
        offline.close()
    assert visitor.complaints == []

"""The pages in a real browser: every role, both languages, wide and on a phone, by mouse and by keyboard."""

import re

import pytest

from tallystick.custody import numbers
from tallystick.identity.roles import Role
from tests.web import seed

STAFF_PAGES = (
    "/books/1/",
    "/books/1/accounts/",
    "/books/1/accounts/{wang}/",
    "/books/1/accounts/{wang}/?position=40",
    "/books/1/transfers/",
    "/books/1/transfers/{transfer}/",
    "/books/1/accounts/{wang}/flow/",
    "/books/1/accounts/{wang}/flow/?whole=1&step=1",
    "/books/1/pooling/",
    "/books/1/trial-balance/",
    "/books/1/authorisations/?search=C-1",
    "/books/1/authorisations/{fee}/",
    "/books/1/refusals/",
    "/books/1/statements/",
    "/books/1/statements/stm_1/?line=3",
    "/books/1/reconciliation/",
    "/evidence/",
    "/evidence/1/",
)
CUSTOMER_PAGES = (
    "/my/",
    "/my/flow/",
    "/my/flow/?step=1",
    "/my/accounts/{wang}/",
    "/my/authorisations/",
    "/my/authorisations/{fee}/",
)
OWN_PAGES = ("/account/", "/account/password/change/", "/account/2fa/", "/account/sessions/")
WALKS = {
    Role.PLATFORM_OPERATIONS: STAFF_PAGES,
    Role.PLATFORM_APPROVER: ("/books/1/", "/books/1/reconciliation/"),
    Role.CUSTODIAN_BANK: ("/books/1/", "/books/1/statements/", "/books/1/reconciliation/"),
    Role.AUDITOR: ("/books/1/", "/people/", "/people/1/", "/evidence/"),
    Role.REGULATOR: ("/books/1/", "/books/1/refusals/", "/books/1/reconciliation/"),
    Role.ADMINISTRATOR: ("/people/", "/people/2/", *OWN_PAGES),
    Role.CUSTOMER: CUSTOMER_PAGES,
}

# Every visible control or link that a finger must hit, that has no name, or whose text is too pale.
AUDIT = """
() => {
  const found = [];
  const seen = (e) => e.checkVisibility({ visibilityProperty: true });
  for (const e of document.querySelectorAll("a, button, input:not([type=hidden]), select, textarea")) {
    if (!seen(e)) continue;
    const name = e.getAttribute("aria-label") || e.innerText || e.labels?.[0]?.innerText || e.value;
    if (!name?.trim()) found.push("no name: " + e.outerHTML.slice(0, 120));
  }
  for (const e of document.querySelectorAll("img:not([alt]), svg:not([aria-hidden]):not([role])")) {
    if (seen(e) && !e.closest("[role=img]")) found.push("no alternative: " + e.outerHTML.slice(0, 80));
  }
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) found.push("id twice: " + id);
  if (document.querySelectorAll("h1").length !== 1) found.push("h1: " + document.querySelectorAll("h1").length);
  if (!document.querySelector("main") || !document.documentElement.lang) found.push("no main or no language");
  for (const e of document.querySelectorAll("th")) if (!e.scope) found.push("th without scope: " + e.innerText);

  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = channels(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0.99) return c;
    }
    return [255, 255, 255];
  };
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !seen(e) || e.closest("svg, script, .drawing, option, .hidden-visually, .skip")) continue;
    const [a, b] = [light(channels(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) found.push(`contrast ${ratio.toFixed(2)}: ` + e.outerHTML.slice(0, 100));
  }
  return found;
}
"""


def addresses(site, paths):
    cast = site.cast
    return [
        path.format(
            wang=numbers.account_text(cast.wang),
            transfer=seed.transfer_id("fee-5"),
            fee=numbers.authorisation_text(cast.fee),
        )
        for path in paths
    ]


FOUR = (("zh-CN", 1280), ("zh-CN", 390), ("en-GB", 1280), ("en-GB", 390))
VIEWS = [
    (role, language, width)
    for role in WALKS
    for language, width in FOUR
    # The other roles see some of the same pages: for each, both languages and both widths once.
    if role in (Role.PLATFORM_OPERATIONS, Role.CUSTOMER) or (language == "zh-CN") == (width == 390)
]


@pytest.mark.parametrize(("role", "language", "width"), VIEWS)
def test_a_role_walks_its_pages(site, visit, picture, role, language, width):
    visited = visit(role, language=language, width=width)
    page = visited.page
    assert page.url.startswith(f"{site.address}/")
    for path in addresses(site, WALKS[role]):
        answer = page.goto(site.address + path)
        assert answer.status == 200, path
        assert page.get_attribute("html", "lang") == ("zh-Hans" if language == "zh-CN" else "en")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{path} scrolls sideways"
        for drawing in page.query_selector_all("[data-chart]"):
            assert drawing.get_attribute("data-drawn") == "yes", path
            assert drawing.query_selector("svg"), path
        assert page.evaluate(AUDIT) == [], path
        if language == "zh-CN":
            assert untranslated(page) == [], path
        picture(page, f"{role}-{language[:2]}-{width}-{re.sub(r'[^a-z0-9]+', '-', path.lower()).strip('-')}")
    assert visited.complaints == []


def untranslated(page):
    """English words of ours on a Chinese page: in headings, labels, buttons and the menu."""
    texts = page.eval_on_selector_all(
        "h2, label, button, nav a, dt, th[scope=col]",
        "all => all.map(e => e.innerText.trim()).filter(Boolean)",
    )
    english = re.compile(r"[^\u4e00-\u9fff]*[A-Za-z]{4}[^\u4e00-\u9fff]*")
    return [text for text in texts if english.fullmatch(text) and text not in {"English", "SHA-256"}]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_the_light_and_in_the_dark(site, visit, picture, scheme):
    visited = visit(Role.AUDITOR, language="en-GB", color_scheme=scheme)
    for path in ("/books/1/", "/books/1/reconciliation/", "/books/1/accounts/", "/evidence/1/"):
        visited.page.goto(site.address + path)
        assert visited.page.evaluate(AUDIT) == [], path
        picture(visited.page, f"{scheme}-{path.strip('/').replace('/', '-')}")
    assert visited.complaints == []


def test_a_stranger_sees_the_first_page_and_can_sign_in_and_change_the_language(site, visit, picture):
    visited = visit(language="en-GB")
    page = visited.page
    page.goto(site.address)
    assert page.evaluate(AUDIT) == []
    picture(page, "landing-en")
    page.click("text=中文")
    assert page.get_attribute("html", "lang") == "zh-Hans"
    picture(page, "landing-zh")
    page.click("main a.button.main")
    assert page.url.endswith("/account/login/")
    assert page.evaluate(AUDIT) == []
    picture(page, "login-zh")
    page.fill("#id_login", "nobody")
    page.fill("#id_password", "wrong wrong wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=alert]")
    assert page.input_value("#id_login") == "nobody"
    page.click("text=English")
    assert page.get_attribute("html", "lang") == "en"
    assert visited.complaints == []


def test_the_language_chosen_stays_for_the_whole_visit(site, visit):
    page = visit(Role.REGULATOR, language="zh-CN").page
    page.click("text=English")
    for path in ("/books/1/", "/books/1/reconciliation/"):
        page.goto(site.address + path)
        assert page.get_attribute("html", "lang") == "en"


def test_the_keyboard_alone_is_enough(site, visit):
    page = visit(Role.PLATFORM_OPERATIONS, language="en-GB").page
    page.goto(f"{site.address}/books/1/accounts/")
    page.keyboard.press("Tab")
    focused = "document.activeElement"
    assert page.evaluate(f"{focused}.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate(f"{focused}.id") == "main"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate(f"{focused}.id") == "search"
    assert page.evaluate(f"getComputedStyle({focused}).outlineStyle") == "solid"
    page.keyboard.type("李强")
    page.wait_for_url(lambda url: "search=" in url)
    page.wait_for_function("document.querySelectorAll('#accounts tbody tr').length === 1")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/accounts/acc_" in url)
    assert "李强" in page.inner_text("h1")


def test_a_chart_tells_what_its_table_tells_when_pointed_at(site, visit):
    page = visit(Role.CUSTOMER, language="en-GB").page
    page.goto(f"{site.address}/my/")
    shown = page.evaluate(
        """() => [...document.querySelectorAll("[data-chart]")].flatMap((place) => {
            const chart = echarts.getInstanceByDom(place), option = chart.getOption();
            const pie = option.series[0].type === "pie";
            const names = pie ? option.series[0].data.map((d) => d.name) : option.xAxis[0].data;
            const values = option.series.map((s) => s.data.map((d) => (pie ? d.value : d)));
            const format = option.tooltip[0].valueFormatter;
            return names.map((name, i) => [place.dataset.chart, name, ...values.map((v) => format(v[i]))]);
        })"""
    )
    written = page.evaluate(
        """() => [...document.querySelectorAll("figure.chart")].flatMap((figure) => {
            const id = figure.querySelector("[data-chart]").dataset.chart;
            return [...figure.querySelectorAll("tbody tr")].map((row) =>
                [id, ...[...row.cells].map((cell) => cell.textContent)]);
        })"""
    )
    assert [[*row[:2], *(value.removesuffix(" CNY") for value in row[2:])] for row in shown] == written
    assert len(shown) > 10


def test_a_statement_is_handed_in_on_the_page_and_reconciled(site, visit, tmp_path):
    visited = visit(Role.PLATFORM_OPERATIONS, language="en-GB")
    page = visited.page
    page.goto(f"{site.address}/books/1/statements/")
    broken = tmp_path / "broken.sta"
    broken.write_bytes(seed.statement(site.cast.bank).replace(b":62F:C", b":62F:D"))
    page.set_input_files("#files", [str(broken)])
    page.click("text=Import")
    page.wait_for_selector(".notice.bad")
    assert re.search(r"broken.sta: refused at line \d+", page.inner_text(".notice.bad"))
    page.goto(f"{site.address}/books/1/reconciliation/")
    page.click("text=Reconcile now")
    page.wait_for_url(lambda url: "/reconciliation/rec_" in url)
    assert page.evaluate(AUDIT) == []
    page.click("#breaks tbody td a >> nth=0")
    page.wait_for_selector("tr.marked")
    assert visited.complaints == []


def test_no_page_needs_anything_from_elsewhere(site, visit):
    visited = visit(Role.AUDITOR)
    page = visited.page
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    for path in ("/books/1/", "/books/1/reconciliation/"):
        page.goto(site.address + path)
    assert [url for url in asked if not url.startswith(site.address)] == []


def test_signing_out_ends_the_session_and_back_shows_nothing(site, visit):
    page = visit(Role.CUSTOMER, language="en-GB").page
    page.goto(f"{site.address}/my/")
    page.click("text=Sign out")
    page.wait_for_url(f"{site.address}/")
    page.go_back()
    page.reload()
    assert "/account/login/" in page.url

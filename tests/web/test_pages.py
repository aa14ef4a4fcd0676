"""The pages: every figure is the ledger's, each role sees its own, and nothing leads nowhere."""

import html
import json
import re
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from tallystick.core.db import APP
from tallystick.custody import history, numbers, reconciliation
from tallystick.custody.errors import TRANSFER_REFUSALS
from tallystick.custody.numbers import Family
from tallystick.identity import users
from tallystick.identity.roles import Role
from tallystick.web import charts, words

from . import seed
from .conftest import CLI, NOW, SecureClient, page, signed_in

STAFF = (
    Role.PLATFORM_OPERATIONS,
    Role.PLATFORM_APPROVER,
    Role.CUSTODIAN_BANK,
    Role.AUDITOR,
    Role.REGULATOR,
)


@pytest.fixture(scope="module")
def cast(ledger_database_module):
    found = seed.platform()
    seed.reconciled(found)
    for role in (*STAFF, Role.ADMINISTRATOR, Role.CUSTOMER):
        number = "C-1" if role == Role.CUSTOMER else None
        user = users.create(APP, role.value, name=role.value, customer_number=number, actor=CLI, now=NOW)
        users.grant(APP, user.pk, role, reason="A test.", actor=CLI, now=NOW)
    return found


def drawn(text, chart):
    """What a page's script is given to draw."""
    found = re.search(rf'<script id="{chart}-data" type="application/json">(.*?)</script>', text)
    assert found, chart
    return json.loads(found[1])


def table(text, chart):
    """The table that stands for the drawing: category to its figures."""
    figure = text[text.index(f'id="{chart}-title"') :]
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', figure[: figure.index("</table>")])
    return {html.unescape(name): re.findall(r'<td class="num">(.*?)</td>', cells) for name, cells in rows}


def end_of(day):
    """The last moment of a day of the book."""
    return datetime.fromisoformat(f"{day}T23:59:59.999999").replace(tzinfo=ZoneInfo("Asia/Shanghai"))


def test_every_chart_and_its_table_tell_the_same_figures(cast):
    staff, customer = signed_in(Role.AUDITOR), signed_in(Role.CUSTOMER)
    for client, path, ids in (
        (staff, "/books/1/", ("held", "transfers", "refusals", "breaks")),
        (staff, f"/books/1/accounts/{numbers.account_text(cast.wang)}/", ("course",)),
        (customer, "/my/", ("now-CNY", "then-CNY")),
    ):
        text = page(client, path)
        for chart in ids:
            data = drawn(text, chart)
            written = table(text, chart)
            assert list(written) == data["categories"]
            for i, category in enumerate(data["categories"]):
                expected = [words.amount(each["values"][i], data["scale"]) for each in data["series"]]
                assert written[category] == expected


def test_the_overview_tells_what_the_ledger_holds(cast):
    text = page(signed_in(Role.REGULATOR), "/books/1/")
    totals = {total.family: total.balance_minor for total in history.totals(APP, 1)}
    for minor in totals.values():
        assert words.amount(minor, 2) in text
    held = drawn(text, "held")
    assert [each["values"][-1] for each in held["series"]] == [totals[Family.CLIENT], totals[Family.EXTERNAL]]


def test_the_line_of_what_was_held_is_the_balance_of_each_of_those_days(cast):
    # Walked back from today by each day's movements on the page; here read from the ledger, day by day.
    held = drawn(page(signed_in(Role.AUDITOR), "/books/1/"), "held")
    clients, bank = (each["values"] for each in held["series"])
    for i, day in enumerate(held["categories"]):
        at = history.position_at(APP, 1, end_of(day))
        totals = {total.family: total.balance_minor for total in history.totals(APP, 1, at_position=at)}
        assert (clients[i], bank[i]) == (totals.get(Family.CLIENT, 0), totals.get(Family.EXTERNAL, 0))


def test_a_customers_figures_are_the_ledgers(cast):
    text = page(signed_in(Role.CUSTOMER), "/my/")
    balances = history.balances(APP, [cast.wang, cast.wang_second])
    now, then = drawn(text, "now-CNY"), drawn(text, "then-CNY")
    assert now["series"][0]["values"] == [
        balances[cast.wang].balance_minor,
        balances[cast.wang_second].balance_minor,
    ]
    assert then["series"][0]["values"][-1] == sum(balance.balance_minor for balance in balances.values())
    assert words.amount(sum(each.available_minor for each in balances.values()), 2) in text


def test_the_statement_file_says_what_the_ledger_says(cast):
    client = signed_in(Role.CUSTOMER)
    path = f"/my/accounts/{numbers.account_text(cast.wang)}/statement.csv?from=2020-01-01"
    sheet = b"".join(client.get(path).streaming_content).decode("utf-8-sig").splitlines()
    lines = [line for line in history.account_lines(APP, cast.wang) if line.amount_minor]
    # The head, the opening balance, each line, the closing balance.
    assert len(sheet) == len(lines) + 3
    assert sheet[-2].split(",")[6] == words.amount(lines[-1].balance_minor, 2).replace(",", "")


def test_a_past_state_is_shown_as_it_was_and_says_so(cast):
    client = signed_in(Role.AUDITOR)
    path = f"/books/1/accounts/{numbers.account_text(cast.wang)}/"
    text = page(client, path + "?position=40")
    assert "You are looking at a past state: position 40" in text
    assert words.amount(history.balance(APP, cast.wang, at_position=40).balance_minor, 2) in text
    assert page(client, path + "?at=2026-02-10") != page(client, path)
    assert "As of position 40." in page(client, "/books/1/trial-balance/?position=40")


def test_a_transfer_shows_both_sides_its_right_and_its_evidence(cast):
    text = page(signed_in(Role.AUDITOR), f"/books/1/transfers/{seed.transfer_id('fee-5')}/")
    transfer = history.transfer(APP, seed.transfer_id("fee-5"))
    assert numbers.authorisation_text(cast.fee) in text
    assert numbers.account_text(cast.wang) in text
    assert numbers.account_text(cast.fees) in text
    assert f"?position={transfer.position}" in text
    (event,) = re.findall(r'href="/evidence/(\d+)/"', text)
    told = page(signed_in(Role.AUDITOR), f"/evidence/{event}/")
    assert "custody.transfers_posted" in told
    assert "The payload is the one the event committed to." in told


def test_the_reconciliation_explains_the_difference_to_the_last_unit(cast):
    text = page(signed_in(Role.CUSTODIAN_BANK), "/books/1/reconciliation/")
    summary = reconciliation.latest(APP, cast.bank)
    assert summary is not None
    assert words.amount(summary.bank_balance_minor, 2) in text
    assert words.amount(summary.ledger_balance_minor, 2) in text
    assert summary.unexplained_minor == 0
    for each in reconciliation.breaks(APP, summary.id):
        if each.file:
            assert f"{each.file}/?line={each.statement_line}#line-{each.statement_line}" in text
        if each.position:
            assert f"/books/1/positions/{each.position}/" in text


def test_one_goes_from_a_reconciliation_to_that_of_another_bank_account(cast):
    seed.second_bank()
    client = signed_in(Role.CUSTODIAN_BANK)
    text = page(client, "/books/1/reconciliation/rec_1/")
    assert '<form class="filters" method="get" action="/books/1/reconciliation/">' in text
    (other,) = (
        account
        for account in re.findall(r'<option value="(acc_\d+)"', text)
        if account != numbers.account_text(cast.bank)
    )
    assert "Not reconciled yet" in page(client, f"/books/1/reconciliation/?account={other}")
    kind = re.search(r'<a href="([^"]+kind=\w+)#breaks">', text)[1]
    assert kind.startswith("/books/1/reconciliation/rec_1/")
    page(client, kind)


def test_a_break_leads_to_the_very_line_of_the_file_and_to_the_transfer(cast):
    client = signed_in(Role.REGULATOR)
    summary = reconciliation.latest(APP, cast.bank)
    assert summary is not None
    found = next(each for each in reconciliation.breaks(APP, summary.id) if each.kind == "amount")
    text = page(client, f"/books/1/statements/{found.file}/?line={found.statement_line}")
    assert re.search(
        r'class="marked" aria-current="true"><th scope="row" class="num">\d+</th><td><code>:61:', text
    )
    answer = client.get(f"/books/1/positions/{found.position}/")
    assert answer["Location"].startswith("/books/1/transfers/trf_")


def test_a_statement_handed_in_twice_changes_nothing_and_a_broken_one_is_refused_with_its_line(cast):
    from django.core.files.uploadedfile import SimpleUploadedFile

    client = signed_in(Role.CUSTODIAN_BANK)
    whole = seed.statement(cast.bank)

    def hand_in(content):
        answer = client.post(
            "/books/1/statements/import", {"files": [SimpleUploadedFile("day.sta", content)]}, follow=True
        )
        return answer.content.decode()

    assert "imported before as stm_1; nothing was changed" in hand_in(whole)
    assert re.search(
        r"day.sta: refused at line \d+", html.unescape(hand_in(whole.replace(b":62F:C", b":62F:D")))
    )
    original = client.get("/books/1/statements/stm_1/original")
    assert b"".join(original.streaming_content) == whole


def test_the_search_finds_accounts_and_pages_go_on(cast):
    client = signed_in(Role.PLATFORM_OPERATIONS)
    assert "李强" in page(client, "/books/1/accounts/?search=C-2")
    assert "王芳" not in page(client, "/books/1/accounts/?search=C-2").split("<main", 1)[1]
    part = client.get("/books/1/accounts/?search=C-2", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    text = page(client, "/books/1/transfers/")
    older = html.unescape(re.search(r'rel="next" href="([^"]+)"', text)[1])
    first = set(re.findall(r"/books/1/transfers/(trf_[\w-]+)/", text))
    second = re.findall(r"/books/1/transfers/(trf_[\w-]+)/", page(client, "/books/1/transfers/" + older))
    assert first.isdisjoint(second)


STAFF_PAGES = (
    "/books/1/",
    "/books/1/accounts/",
    "/books/1/transfers/",
    "/books/1/trial-balance/",
    "/books/1/authorisations/",
    "/books/1/refusals/",
    "/books/1/statements/",
    "/books/1/reconciliation/",
    "/evidence/",
)


@pytest.mark.parametrize("role", STAFF)
def test_staff_read_every_page_of_the_ledger(cast, role):
    client = signed_in(role)
    for path in STAFF_PAGES:
        page(client, path)
    page(client, "/my/", status=403)


@pytest.mark.parametrize("path", [*STAFF_PAGES, "/people/", "/books/1/accounts/acc_001101560000000004/"])
def test_a_customer_sees_none_of_the_platforms_pages(cast, path):
    page(signed_in(Role.CUSTOMER), path, status=403)


def test_a_customer_sees_nobody_elses_account(cast):
    client = signed_in(Role.CUSTOMER)
    for account in (cast.li, cast.bank, cast.fees):
        text = page(client, f"/my/accounts/{numbers.account_text(account)}/", status=404)
        assert "李强" not in text
        assert client.get(f"/my/accounts/{numbers.account_text(account)}/statement.csv").status_code == 404


def test_an_administrator_gives_roles_and_touches_no_money(cast):
    client = signed_in(Role.ADMINISTRATOR)
    page(client, "/books/1/", status=403)
    user = users.create(APP, "chen", name="陈晨", actor=CLI, now=NOW)
    client.post(f"/people/{user.pk}/roles", {"role": "auditor", "reason": "Joins.", "change": "grant"})
    assert users.roles(APP, user.pk) == {Role.AUDITOR}
    client.post(f"/people/{user.pk}/roles", {"role": "auditor", "reason": "", "change": "withdraw"})
    assert users.roles(APP, user.pk) == {Role.AUDITOR}
    own = users.find(APP, "administrator")
    client.post(f"/people/{own.pk}/roles", {"role": "auditor", "reason": "Me too.", "change": "grant"})
    assert Role.AUDITOR not in users.roles(APP, own.pk)
    signed_in(Role.AUDITOR).post(
        f"/people/{user.pk}/roles", {"role": "auditor", "reason": "x", "change": "withdraw"}
    )
    assert users.roles(APP, user.pk) == {Role.AUDITOR}


def test_a_customer_withdraws_their_own_authorisation_with_a_reason(cast):
    client = signed_in(Role.CUSTOMER)
    path = f"/my/authorisations/{numbers.authorisation_text(cast.fee)}/"
    assert "Withdraw it" in page(client, path)
    client.post(path, {"reason": "合同已结束"})
    text = page(client, path)
    assert "合同已结束" in text
    assert "Withdraw it" not in text


def test_whoever_has_not_signed_in_is_sent_to_do_so_and_back(cast):
    answer = SecureClient(SERVER_NAME="localhost").get("/books/1/accounts/?search=x")
    assert (answer.status_code, answer["Location"]) == (
        302,
        "/account/login/?next=/books/1/accounts/%3Fsearch%3Dx",
    )


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/books/7/", 404),
        ("/books/1/accounts/acc_999999999999999999/", 404),
        ("/books/1/accounts/nonsense/", 404),
        ("/books/1/transfers/trf_nonsense/", 404),
        ("/books/1/authorisations/ath_1/", 404),
        ("/books/1/statements/stm_999/", 404),
        ("/books/1/statements/nonsense/", 404),
        ("/books/1/reconciliation/rec_999/", 404),
        ("/books/1/trial-balance/?position=999999", 404),
        ("/books/1/trial-balance/?position=x", 400),
        ("/books/1/trial-balance/?at=2026-13-45", 400),
        ("/books/1/trial-balance/?at=2026-02-03&position=4", 400),
        ("/books/1/accounts/?family=nobody", 400),
        ("/books/1/accounts/?after=-1", 400),
        ("/books/1/accounts/?search=%00%27%3Cscript%3E", 200),
        ("/evidence/999999/", 404),
        ("/evidence/?before=99999999999999999999", 400),
        ("/people/999999/", 404),
    ],
)
def test_what_cannot_be_found_or_read_is_said_and_offers_a_way_on(cast, path, status):
    text = page(signed_in(Role.AUDITOR), path, status=status)
    assert 'href="/home/"' in text or status == 200
    assert "<script>" not in text


def test_every_link_of_every_page_leads_somewhere(cast):
    for role in (Role.AUDITOR, Role.PLATFORM_OPERATIONS, Role.CUSTOMER, Role.ADMINISTRATOR):
        client = signed_in(role)
        seen, waiting = set(), ["/home/"]
        while waiting and len(seen) < 150:
            path = waiting.pop()
            # One page of each shape: an account's page is like every other account's.
            shape = re.sub(r"\d+", "0", re.sub(r"(acc|ath|trf|stm|rec|evt)_[\w-]+", r"\1", path)).split("#")[
                0
            ]
            if shape in seen:
                continue
            seen.add(shape)
            answer = client.get(path.split("#")[0], follow=True)
            assert answer.status_code == 200, path
            if "text/html" not in answer["Content-Type"]:
                continue
            base = answer.request["PATH_INFO"]
            for link in re.findall(r'<a[^>]* href="([^"]+)"', answer.content.decode()):
                link = html.unescape(link)
                waiting.append(
                    base + link if link.startswith("?") else link if link.startswith("/") else base
                )
        assert len(seen) > 3


def test_every_refusal_of_a_transfer_has_a_short_name():
    assert set(words.REFUSAL_NAMES) == {refusal.code for refusal in TRANSFER_REFUSALS}


def test_amounts_are_written_whole():
    assert words.amount(0, 2) == "0.00"
    assert words.amount(-5, 2) == "−0.05"
    assert words.amount(123456789012, 2) == "1,234,567,890.12"
    assert words.amount(1234, 0) == "1,234"
    assert words.amount(1, 8) == "0.00000001"


def test_a_chart_of_nothing_says_so():
    nothing = charts.Chart("x", "bar", "X", "Day", [], [])
    gaps = charts.Chart("x", "line", "X", "Day", ["a"], [charts.Series("s", [None])])
    assert nothing.is_empty
    assert gaps.is_empty
    assert gaps.rows == [("a", [""])]

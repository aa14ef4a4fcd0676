"""Pages, files and API of followed money: one's own to the cent, and nobody else's whatever is tried."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from tallystick.api import pooling as api_pooling
from tallystick.cli import tracing as commands
from tallystick.core.db import APP
from tallystick.custody import accounts, assets, history, posting
from tallystick.custody.accounts import Account
from tallystick.custody.numbers import Family
from tallystick.custody.pooling import indicators
from tallystick.custody.tracing import flow
from tallystick.custody.tracing.parties import Viewer
from tallystick.identity import users
from tallystick.identity.roles import Role
from tallystick.simulation import demonstration, pools, scenarios, stage, world
from tallystick.web import pooling as pooling_page
from tallystick.web import words
from tests.custody import cast
from tests.plugin_postgres import TestDatabase

from .conftest import CLI, NOW, signed_in

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "reference" / "schemas"
LENDER, BORROWER = "20000001", "20000002"


@dataclass(frozen=True)
class Platform:
    """The clients of a platform, and everybody signed in."""

    clients: list[Account]
    bank: Account

    def of(self, owner: str) -> list[Account]:
        return [each for each in self.clients if each.owner == owner]


@pytest.fixture(scope="module")
def platform(ledger_database_module: TestDatabase) -> Iterator[Platform]:
    place = world.make(seed=5, customers=12, first_day=date(2026, 8, 21), last_day=date(2026, 10, 20))
    demonstration.play(APP, list(scenarios.generate(place, 350)), 350, demonstration.silent)
    for name, role, number in (
        (LENDER, Role.CUSTOMER, LENDER),
        (BORROWER, Role.CUSTOMER, BORROWER),
        ("stranger", Role.CUSTOMER, "99999999"),
        ("regulator", Role.REGULATOR, None),
        ("administrator", Role.ADMINISTRATOR, None),
    ):
        user = users.create(APP, name, name=name, customer_number=number, actor=CLI, now=NOW)
        users.grant(APP, user.pk, role, reason="A test.", actor=CLI, now=NOW)
    every = accounts.accounts(APP, 1, limit=1000)
    yield Platform(
        [each for each in every if each.family == Family.CLIENT],
        next(each for each in every if each.family == Family.EXTERNAL),
    )
    posting.in_process().close()


def body(answer: Any) -> str:
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return html.unescape(content.decode("utf-8-sig"))


def routes(account: str) -> list[str]:
    """Every address of followed money, for one account."""
    api = f"/api/v1/accounts/{account}/flow"
    page = f"/books/1/accounts/{account}/flow"
    return [
        "/my/flow/", f"/my/flow/?account={account}", "/my/flow/?account=all-1-CNY", "/my/flow/?step=1&nodes=100",
        "/my/flow/?step=2", f"/my/flow/?account={account}&step=3&from=2026-09-01&to=2026-09-30",
        "/my/flow.csv", f"/my/flow.csv?account={account}", "/my/flow.csv?account=all-1-CNY&nodes=6",
        api, f"{api}?scope=owner", f"{api}?scope=owner&nodes=100&after=20", f"{api}?first_day=2026-09-01",
        f"{page}/", f"{page}/?whole=1", f"{page}.csv", f"{page}.csv?whole=1",
        "/books/1/pooling/", "/books/1/pooling/?sign=new_money", "/api/v1/books/1/pooling",
    ]  # fmt: skip


@pytest.mark.parametrize("owner", [LENDER, BORROWER, "99999999"])
def test_no_route_tells_a_customer_anything_of_another(platform: Platform, owner: str) -> None:
    """Every address tried for every account of everybody; every body that is given searched."""
    client = signed_in(owner if owner != "99999999" else "stranger")
    mine = platform.of(owner)
    own_words = " ".join(f"{each.name} {each.reference} {each.owner} {each.text}" for each in mine)
    foreign = {
        word
        for each in platform.clients
        if each.owner != owner
        for word in (each.name, each.reference, each.owner, each.text, str(each.number))
        if word not in own_words
    }
    assert len(foreign) > 30
    # The longest first, so that a name is not hidden by another that begins alike.
    every = "|".join(re.escape(word) for word in sorted(foreign, key=len, reverse=True))
    names = re.compile(rf"(?<![0-9])(?:{every})(?![0-9])")
    answered = 0
    for account in [
        *mine[:2],
        *[each for each in platform.clients if each.owner != owner][:3],
        platform.bank,
    ]:
        for route in routes(account.text):
            answer = client.get(route)
            assert answer.status_code in (200, 403, 404), route
            if account.owner != owner and account.text in route and (mine or "/my/" not in route):
                assert answer.status_code in (403, 404), route
            if route.startswith(("/books/", "/api/v1/books/")):
                assert answer.status_code == 403, route
            # That the account asked for is told back is the address's doing and not the ledger's.
            told = set(names.findall(body(answer))) - {account.text, str(account.number)}
            assert not told, route
            answered += answer.status_code == 200 and b"No account yet" not in getattr(answer, "content", b"")
    assert answered > 15 or not mine


def test_the_page_is_the_flow_and_the_flow_the_statement(platform: Platform) -> None:
    """Figures, drawing, table and file say the same amounts."""
    client = signed_in(LENDER)
    main = next(each for each in platform.of(LENDER) if each.reference.startswith("client-"))
    made = flow.of_account(APP, main.number, viewer=Viewer.OWNER)
    text = body(client.get(f"/my/flow/?account={main.text}"))
    statement = history.statement(APP, main.number)
    came = sum(line.amount_minor for line in statement.lines if line.amount_minor > 0)
    assert words.amount(came, 2) in text
    assert words.amount(statement.closing.balance_minor, 2) in text
    drawn = json.loads(re.search(r'<script id="flow-data" type="application/json">(.*?)</script>', text)[1])  # type: ignore[index]
    assert [each["value"] for each in drawn["links"]] == [edge.amount_minor for edge in made.edges]
    table = text[text.index('id="steps"') :]
    written = re.findall(r'data-label="Amount">(.*?) <span class="unit">', table)[: len(made.edges)]
    assert written == [words.amount(edge.amount_minor, 2) for edge in made.edges]
    sheet = body(client.get(f"/my/flow.csv?account={main.text}")).splitlines()
    assert len(sheet) == len(made.paths) + 1
    total = sum(int(line.split(",")[0].replace(".", "")) for line in sheet[1:])
    assert total == sum(path.amount_minor for path in made.paths) == made.came_minor - made.undone_minor


def test_every_step_opens_to_parts_that_make_it(platform: Platform) -> None:
    """The amounts of a step's parts are the step; staff go on from there to each transfer."""
    main = next(each for each in platform.of(LENDER) if each.reference.startswith("client-"))
    page = f"/books/1/accounts/{main.text}/flow/"
    made = flow.of_account(APP, main.number, viewer=Viewer.STAFF)
    client = signed_in("regulator")
    for i, edge in list(enumerate(made.edges, 1))[:6]:
        text = body(client.get(f"{page}?step={i}"))
        parts = text[text.index('id="parts"') :]
        parts = parts[: parts.index("</section>")]
        told = re.findall(r'data-label="Amount">(.*?) <span', parts)
        assert sum(int(each.replace(",", "").replace(".", "")) for each in told) == edge.amount_minor
        for position in edge.positions:
            assert f"/books/1/positions/{position}/" in parts
    assert client.get(f"/books/1/positions/{made.edges[0].positions[0]}/").status_code == 302


def test_the_api_and_the_command_give_the_same_document(platform: Platform) -> None:
    """One flow, one form: the API's, the command's and the schema's."""
    main = next(each for each in platform.of(LENDER) if each.reference.startswith("client-"))
    answer = signed_in("regulator").get(f"/api/v1/accounts/{main.text}/flow?scope=owner").json()
    done = CliRunner().invoke(commands.trace, ["--account", main.text, "--whole", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    Draft202012Validator(json.loads((SCHEMAS / "trace.json").read_text(encoding="utf-8"))).validate(told)
    for moment in ("recorded_at", "expires_at"):
        for held in (*answer["pending"], *told["pending"]):
            held.pop(moment)
    assert told == answer
    owners = CliRunner().invoke(commands.trace, ["--account", main.text, "--as-owner", "--json"])
    assert {node["party"]["account"] for node in json.loads(owners.stdout)["nodes"] if node["party"]} <= {
        None, *(each.text for each in platform.of(LENDER))
    }  # fmt: skip
    shown = CliRunner().invoke(commands.trace, ["--account", main.text])
    assert shown.exit_code == 0
    assert "There at the end" in shown.output


def test_who_holds_an_account_with_another_follows_it_and_nothing_else_of_theirs(platform: Platform) -> None:
    """Page, file and API: all of theirs is the one account they hold, whoever opened it and what else he has."""
    shared, *rest = platform.of(BORROWER)
    assert rest
    cast.held_by(shared.number, BORROWER, "99999999", now=NOW)
    client = signed_in("stranger")
    api = f"/api/v1/accounts/{shared.text}/flow"
    for route in ("/my/flow/", "/my/flow/?account=all-1-CNY", "/my/flow.csv", api, f"{api}?scope=owner"):
        answer = client.get(route)
        assert answer.status_code == 200, route
        told = body(answer)
        assert not [each.text for each in rest if each.text in told], route
        if route.startswith("/api"):
            assert json.loads(told)["accounts"] == [shared.text]
    cast.held_by(shared.number, BORROWER, now=NOW)
    assert client.get(api).status_code == 404
    assert "No account yet" in body(client.get("/my/flow/"))


def test_what_cannot_be_is_refused_with_a_word(platform: Platform) -> None:
    """Days and positions together, a period before its beginning, an account that is none."""
    client = signed_in("regulator")
    main = platform.of(LENDER)[0]
    api = f"/api/v1/accounts/{main.text}/flow"
    for query in ("?first_day=2026-09-01&after=5", "?nodes=1", "?first_day=yesterday", "?scope=all"):
        assert client.get(api + query).status_code in (400, 422), query
    assert client.get(f"{api}?after=9&to_position=5").status_code in (409, 422)
    assert client.get("/books/1/accounts/acc_000000000000000000/flow/").status_code == 404
    assert client.get(f"/books/1/accounts/{main.text}/flow/?from=2026-10-01&to=2026-09-01").status_code >= 400
    refused = CliRunner().invoke(commands.trace, ["--account", "acc_1", "--json"])
    assert (refused.exit_code, json.loads(refused.stdout)["refused"]) == (2, "account_unknown")


def test_the_pooling_page_tells_each_sign_and_leads_to_its_lines(platform: Platform) -> None:
    """A clean platform is clear or undetermined, by word and not by colour alone; nobody else may look."""
    text = body(signed_in("regulator").get("/books/1/pooling/"))
    for name, meaning, _ in pooling_page.SIGNS.values():
        assert str(name) in text
        assert str(meaning) in text
    assert "Clear" in text
    assert signed_in("administrator").get("/books/1/pooling/").status_code == 403


def test_a_pool_is_told_in_sentences_with_its_transfers(
    ledger_database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page, API and command of a book that is a pool: found, with links to the transfers cited."""
    happened = pools.ponzi(1, 40)
    played = stage.set_up(APP, demonstration.BOOK, now=happened[0].at)
    try:
        for act in happened:
            pools.perform(played, act)
        user = users.create(APP, "regulator", name="r", customer_number=None, actor=CLI, now=NOW)
        users.grant(APP, user.pk, Role.REGULATOR, reason="A test.", actor=CLI, now=NOW)
        client = signed_in("regulator")
        check = indicators.check(APP, 1, "CNY")
        assert check.state == indicators.State.FOUND
        for indicator in check.indicators:
            text = body(client.get(f"/books/1/pooling/?sign={indicator.sign}"))
            for finding in indicator.findings[:10]:
                assert pooling_page.sentence(finding, 2, "CNY") in text
                assert f"/books/1/positions/{finding.evidence[0]}/" in text
        answer = client.get("/api/v1/books/1/pooling?findings=1000").json()
        assets.ensure_currency(APP, "USD", actor=CLI, now=NOW)
        empty = CliRunner().invoke(commands.check, ["--asset", "USD"])
        assert empty.exit_code == 0, "an asset that no client holds is judged too"
        with monkeypatch.context() as patched:
            patched.setattr(indicators, "CLICK_MAX", check.transfers - 1)
            for route in ("/books/1/pooling/", "/api/v1/books/1/pooling"):
                refused = client.get(route)
                assert refused.status_code == 409, route
                assert "tallystick pooling check" in body(refused), route
        done = CliRunner().invoke(commands.check, ["--json"])
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        schema = json.loads((SCHEMAS / "pooling-check.json").read_text(encoding="utf-8"))
        Draft202012Validator(schema).validate(told)
        assert told == answer == json.loads(json.dumps(api_pooling.told(check, 1, "CNY")))
        assert "New money" in CliRunner().invoke(commands.check, []).output
    finally:
        posting.in_process().close()

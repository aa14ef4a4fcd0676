"""The ledger at the command line: what it does, what it refuses, and that its JSON keeps to its schemas."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator

from tallystick.cli import main
from tallystick.custody import history
from tallystick.custody.numbers import account_text, authorisation_text
from tallystick.identity import users
from tallystick.identity.access import Actor
from tallystick.identity.roles import Role
from tests.custody import cast
from tests.custody.cast import DB
from tests.tidy.source import ROOT

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def run(*words: str, stdin: str | None = None) -> Result:
    result = CliRunner().invoke(main, ["ledger", *words], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def told(*words: str, exit_code: int = 0, stdin: str | None = None) -> Any:
    """What a command tells with --json, after its schema has been asked."""
    result = run(*words, "--json", stdin=stdin)
    assert result.exit_code == exit_code, result.output
    answer = json.loads(result.stdout)
    names = []
    for word in words:
        if not word.replace("-", "").isalpha() or word.startswith("-"):
            break
        names.append(word)
    stem = "refusal"
    if exit_code != 2:
        stems = ["-".join(["ledger", *names[:n]]) for n in range(len(names), 0, -1)]
        stem = next(stem for stem in stems if (ROOT / f"docs/reference/schemas/{stem}.json").exists())
    schema = json.loads((ROOT / f"docs/reference/schemas/{stem}.json").read_text())
    Draft202012Validator(schema).validate(answer)
    return answer


def hire() -> None:
    """The people who work there."""
    for name, role in (
        ("ops", Role.PLATFORM_OPERATIONS),
        ("approver", Role.PLATFORM_APPROVER),
        ("auditor", Role.AUDITOR),
    ):
        user = users.create(DB, name, name=name, actor=Actor.system("cli"), now=NOW)
        users.grant(DB, user.pk, role, reason="a test", actor=Actor.system("cli"), now=NOW)


@pytest.fixture
def ledger(ledger_database):
    """The house as a new platform finds it."""
    hire()


@pytest.fixture
def people(ledger):
    return cast.opened()


@pytest.fixture(scope="module")
def unmoved(ledger_database_module):
    """The cast once, for files that are refused: they leave nothing behind."""
    hire()
    yield cast.opened()
    assert history.totals(DB, cast.BOOK) == []


def test_from_nothing_to_a_balance(ledger):
    assert told("book", "open", "7", "七号平台")["time_zone"] == "Asia/Shanghai"
    assert [each["name"] for each in told("book", "list")["books"]] == ["七号平台"]
    assert told("asset", "define", "1000", "GOLD", "3", "Gram of gold")["scale"] == 3
    bank = told(
        "account", "open", "--book", "7", "--family", "external", "--name", "Bank", "--reference", "B"
    )["account"]
    run(
        "account",
        "open",
        "--book",
        "7",
        "--family",
        "client",
        "--owner",
        "C-1",
        "--name",
        "王芳",
        "--reference",
        "W",
    )
    assert [each["code"] for each in told("asset", "list")["assets"]] == ["CNY", "GOLD"]
    listed = told("account", "list", "--book", "7", "--family", "client")["accounts"]
    assert [(each["reference"], each["status"]) for each in listed] == [("W", "open")]
    line = {
        "id": cast.an_id(1),
        "debit_account": bank,
        "credit_account": listed[0]["account"],
        "amount_minor": 5,
    }
    posted = told(
        "post",
        "-",
        "--book",
        "7",
        "--as",
        "ops",
        "--format",
        "ndjson",
        stdin=json.dumps(line | {"code": "top_up"}),
    )
    assert (posted["accepted"], posted["refused"], posted["last_position"]) == (1, 0, 1)
    assert told("balance", "W", "--book", "7")["available_minor"] == 5
    assert told("balance", "W", "--book", "7", "--at-position", "0")["balance_minor"] == 0
    assert "0.05 CNY" in run("balance", "W", "--book", "7").output


def test_what_is_refused_is_told_in_a_line_with_exit_code_2(ledger):
    assert told("balance", "nobody", exit_code=2)["refused"] == "account_unknown"
    assert told("book", "open", "0", "Zero", exit_code=2)["refused"] == "malformed"
    assert told("trial-balance", exit_code=2)["refused"] == "book_unknown"
    cast.opened()
    assert told("balance", "王芳", "--at-position", "1", exit_code=2)["refused"] == "position_unknown"
    before = told("balance", "王芳", "--at-time", "2020-01-01T00:00:00Z", exit_code=2)
    assert before["refused"] == "time_before_book"
    assert run("balance", "王芳", "--at-time", "2020-01-01").exit_code == 2
    assert run("balance", "王芳", "--at-time", "2026-03-02T00:00:00Z", "--at-position", "1").exit_code == 2
    assert told("transfer", "show", cast.an_id(1), exit_code=2)["refused"] == "transfer_not_found"


def test_an_account_is_frozen_with_a_reason(people):
    assert run("account", "state", "王芳", "frozen").exit_code == 2
    states = told("account", "state", "王芳", "frozen", "--reason", "lost card")["states"]
    assert [each["status"] for each in states] == ["open", "frozen"]
    assert told("account", "state", account_text(people.wang))["states"] == states
    assert "lost card" in run("account", "state", "王芳").output


def test_accounts_are_opened_from_a_file_all_or_none(people, tmp_path):
    file = tmp_path / "accounts.csv"
    file.write_text("family,asset,owner,name,reference\nclient,CNY,C-1,张三,R-1\nclient,CNY,C-2,李四,R-2\n")
    opened = told("account", "open-many", str(file))["accounts"]
    assert [each["reference"] for each in opened] == ["R-1", "R-2"]
    assert told("account", "open-many", str(file), exit_code=2)["refused"] == "account_reference_taken"
    file.write_text("family,asset,owner,name,reference\nclient,CNY,C-1,张三,R-3\nclients,CNY,C-2,李四,R-4\n")
    refused = told("account", "open-many", str(file), exit_code=2)
    assert "line 3" in refused["detail"]
    assert "family" in refused["detail"]
    assert not told("account", "list", "--search", "R-3")["accounts"]


def lines(people: cast.Cast, *amounts: int, first: int = 1) -> str:
    """An NDJSON file of top-ups."""
    bank, wang = account_text(people.bank), account_text(people.wang)
    return "".join(
        json.dumps(
            {"id": cast.an_id(first + i), "debit_account": bank, "credit_account": wang, "amount_minor": amount,
             "code": "top_up"}
        ) + "\n"
        for i, amount in enumerate(amounts)
    )  # fmt: skip


def test_a_file_posted_twice_is_posted_once(people, tmp_path):
    file = tmp_path / "transfers.ndjson"
    file.write_text(lines(people, 1, 2, 3, 4, 5))
    first = told("post", str(file), "--as", "ops", "--chunk", "2")
    assert (first["accepted"], first["replayed"], first["first_position"], first["last_position"]) == (
        5,
        0,
        1,
        5,
    )
    again = told("post", str(file), "--as", "ops", "--chunk", "2")
    assert (again["accepted"], again["replayed"], again["last_position"]) == (5, 5, 5)
    assert told("balance", "王芳")["balance_minor"] == 15


def test_a_chunk_is_posted_whole_or_not_and_partial_posts_what_it_can(people, tmp_path):
    file = tmp_path / "transfers.csv"
    bank, wang, li = (account_text(each) for each in (people.bank, people.wang, people.li))
    order = authorisation_text(cast.authorised(people.wang, people.li, 10))
    header = "id,debit_account,credit_account,amount_minor,code,authorisation,value_date,metadata\n"
    rows = [
        f"{cast.an_id(1)},{bank},{wang},5,top_up,,2026-03-01,",
        f'{cast.an_id(2)},{wang},{li},10,lend,{order},,"{{""loan"": ""L-1""}}"',
        f"{cast.an_id(3)},{bank},{wang},6,top_up,,,",
    ]
    file.write_text(header + "\n".join(rows))
    refused = told("post", str(file), "--as", "ops", exit_code=1)
    assert (refused["accepted"], refused["refused"], refused["stopped_at_line"]) == (0, 3, 2)
    assert refused["refused_lines"][0]["line"] == 3
    assert refused["refused_lines"][0]["code"] == "insufficient_funds"
    assert told("balance", "王芳")["balance_minor"] == 0
    for n in (1, 2, 3):
        file.write_text(file.read_text().replace(cast.an_id(n), cast.an_id(n + 10)))
    partial = told("post", str(file), "--as", "ops", "--partial", exit_code=1)
    assert (partial["accepted"], partial["reasons"]) == (2, {"insufficient_funds": 1})
    assert told("balance", "王芳")["balance_minor"] == 11
    assert told("transfer", "show", cast.an_id(11))["value_date"] == "2026-03-01"
    file.write_text(file.read_text().replace(cast.an_id(12), cast.an_id(22)))
    assert told("post", str(file), "--as", "ops", "--partial")["refused"] == 0
    assert told("transfer", "show", cast.an_id(22))["metadata"] == {"loan": "L-1"}


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("{", "line"),
        ("[]", "line"),
        ('{"id": "x"}', "id"),
        ('{"amount_minor": 1}', "id"),
        ('{"amount_minor": "1"}', "amount_minor"),
        ('{"amount_minor": 1.5}', "amount_minor"),
        ('{"amount_minor": 0}', "amount_minor"),
        ('{"amount": 1}', "amount"),
        ('{"code": "gift"}', "code"),
        ('{"debit_account": "王芳"}', "debit_account"),
        ('{"value_date": "2026-02-30"}', "value_date"),
        ('{"at": "2026-02-03T00:00:00"}', "at"),
    ],
)
def test_a_malformed_line_is_told_by_line_and_field_and_nothing_is_posted(unmoved, tmp_path, line, field):
    sound = lines(unmoved, 1, 2)
    if line not in ("{", "[]", '{"id": "x"}', '{"amount_minor": 1}'):
        line = json.dumps(json.loads(sound.splitlines()[0]) | {"id": cast.an_id(9)} | json.loads(line))
    file = tmp_path / "transfers.ndjson"
    file.write_text(sound + line + "\n")
    refused = told("post", str(file), "--as", "ops", "--chunk", "1", exit_code=2)
    assert refused["detail"].startswith(f"line 3: {field} must be"), refused
    assert history.totals(DB, cast.BOOK) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "id,amount\n",
        "id,id\n",
        "amount_minor\n1\n",
        "id,code\nx\n",
        'id,code\n"x,y\n',
        "id,metadata\nx,{\n",
    ],
)
def test_a_malformed_csv_is_told_and_nothing_is_posted(unmoved, tmp_path, text):
    file = tmp_path / "transfers.csv"
    file.write_text(text)
    if text:
        assert "line " in told("post", str(file), "--as", "ops", exit_code=2)["detail"]
    else:
        assert run("post", str(file), "--as", "ops").exit_code == 2
    assert history.totals(DB, cast.BOOK) == []


def test_the_users_own_roles_decide(unmoved, tmp_path):
    file = tmp_path / "transfers.ndjson"
    file.write_text(lines(unmoved, 1))
    assert told("post", str(file), "--as", "auditor", exit_code=2)["refused"] == "access_denied"
    assert run("post", str(file), "--as", "nobody").exit_code == 2
    assert run("post", str(tmp_path / "none.ndjson"), "--as", "ops").exit_code == 2


def test_a_statement_between_two_times_and_a_trial_balance(people):
    cast.post([cast.ask(1, people.bank, people.wang, 100_00)])
    cast.post(
        [cast.ask(2, people.bank, people.wang, 50_00, reference="工资")], cast.NOW + (cast.NOW - cast.OPENED)
    )
    read = told("statement", "王芳", "--from-time", "2026-03-02T03:00:00Z")
    assert (read["opening"]["balance_minor"], read["closing"]["balance_minor"]) == (100_00, 150_00)
    assert [line["amount_minor"] for line in read["lines"]] == [50_00]
    assert (
        told("statement", "王芳", "--to-time", "2026-03-02T03:00:00Z")["closing"]["balance_minor"] == 100_00
    )
    assert "工资" in run("statement", "王芳").output
    trial = told("trial-balance")
    assert trial["difference_minor"] == {"CNY": 0}
    assert [line["balance_minor"] for line in trial["lines"]] == [150_00, 150_00]
    assert told("trial-balance", "--totals", "--at-position", "1")["totals"][0]["balance_minor"] == 100_00
    assert "Debits and credits agree, as of position 2." in run("trial-balance").output


def test_an_export_holds_every_transfer_in_both_forms(people, tmp_path):
    cast.post([cast.ask(n, people.bank, people.wang, n, reference='a,"b"') for n in range(1, 6)])
    rows = list(csv.DictReader(StringIO(run("export").stdout)))
    assert [(row["position"], row["amount_minor"], row["reference"]) for row in rows] == [
        (str(n), str(n), 'a,"b"') for n in range(1, 6)
    ]
    file = tmp_path / "out.ndjson"
    run("export", "--output", str(file), "--after-position", "2", "--to-position", "4", "--account", "王芳")
    assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == [
        cast.an_id(3),
        cast.an_id(4),
    ]
    assert len(run("export", "--account", "李强").stdout.splitlines()) == 1


def test_another_ledgers_balances_are_taken_over(people, tmp_path):
    balances, trial = tmp_path / "balances.csv", tmp_path / "trial.csv"
    balances.write_text("account,balance\nCustodian bank,15.50\n王芳,10\n李强,5.50\n")
    trial.write_text("family,asset,debit,credit\nexternal,CNY,15.50,\nclient,CNY,,15.51\n")
    words = ["opening-balances", str(balances), "--trial-balance", str(trial), "--value-date", "2026-02-28"]
    refused = told(*words, exit_code=2)
    assert refused["refused"] == "opening_differs"
    assert "15.50 credit here, 15.51 credit there" in refused["detail"]
    trial.write_text("family,asset,debit,credit\nexternal,CNY,15.50,\nclient,CNY,,15.50\n")
    opened = told(*words)
    assert (opened["accounts"], opened["transfers"]) == (3, 2)
    assert told("balance", "王芳")["balance_minor"] == 10_00


def test_an_audit_recomputes_the_book_and_finds_what_was_planted(people, ledger_database):
    order = cast.authorised(people.wang, people.li, 40_00)
    cast.post([cast.ask(1, people.bank, people.wang, 100_00)])
    cast.post([cast.ask(2, people.wang, people.li, 40_00, "lend", authorisation=order)])
    clean = told("audit")
    assert (clean["transfers"], clean["accounts"], clean["clean"], clean["findings"]) == (2, 3, True, [])
    assert "nothing to find" in run("audit").output
    # Beyond every role the house gives out: the server's own superuser, past triggers and checks.
    with psycopg.connect(ledger_database.superuser, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(
            "update custody_entry set credits_posted = credits_posted + 1 where account = %s", [people.li]
        )
    assert told("audit", exit_code=1)["clean"] is False
    assert told("audit", "--book", "2", exit_code=2)["refused"] == "book_unknown"

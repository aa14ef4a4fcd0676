"""`tallystick statements` and `tallystick reconcile`: what a person and a program get to read."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from tallystick.cli import main, statements
from tallystick.custody import posting
from tests.custody import cast
from tests.custody.cast import ask
from tests.custody.statement_samples import CORPUS, camt, camt_balance, camt_entry, camt_statement, mt940
from tests.plugin_postgres import TestDatabase

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "reference" / "schemas"
BALANCES = camt_balance("OPBD", "0", "2026-03-01", currency="CNY") + camt_balance(
    "CLBD", "10", "2026-03-20", currency="CNY"
)
YUAN = camt(
    camt_statement(
        camt_entry(currency="CNY", details="<TxDtls><Refs><EndToEndId>R-1</EndToEndId></Refs></TxDtls>"),
        balances=BALANCES,
        account="<Othr><Id>Custodian bank</Id></Othr>",
    )
)


def ran(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == code, (done.stdout, done.stderr, done.exception)
    return done.stdout


def answer(name: str, *words: object, code: int = 0) -> Any:
    """The JSON answer, which keeps to its schema."""
    told = json.loads(ran(*words, "--json", code=code))
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    Draft202012Validator(schema).validate(told)
    return told


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A sound file, one a cent off, a broken one, and one that is none."""
    (tmp_path / "a-sound.sta").write_bytes(mt940(":61:2603020302C10,00NTRFREF"))
    (tmp_path / "b-off.xml").write_bytes(camt(camt_statement(camt_entry(), closing="110.01")))
    (tmp_path / "c-broken.xml").write_bytes(YUAN[:-20])
    (tmp_path / "d-other.csv").write_text("a,b\n")
    return tmp_path


def test_check_answers_for_each_file(files: Path) -> None:
    """A list with an element a file: status, entries and sum, or line and reason; exit code 0."""
    told = answer("statements-check", "statements", "check", files)
    assert [(each["status"], each["sum_check"], each["entries"]) for each in told] == [
        ("ok", "ok", 1),
        ("refused", 1, 1),
        ("refused", "absent", 1),
        ("not_a_statement", "absent", 0),
    ]
    assert [each.get("line") for each in told] == [None, 6, 8, None]
    assert told[1]["code"] == "sum_differs"


def test_check_tells_a_person(files: Path) -> None:
    """A line a file with what to do, and the count at the end."""
    told = ran("statements", "check", files)
    assert "b-off.xml" in told
    assert "ask the bank for the file again" in told
    assert "1 sound, 2 refused, 1 no statements." in told


def test_check_speaks_chinese(files: Path, settings: Any) -> None:
    """Reason and next step come in the language of the moment."""
    from django.utils import translation

    with translation.override("zh-hans"):
        told = answer("statements-check", "statements", "check", files / "b-off.xml")
    assert "分" in told[0]["reason"] or "差" in told[0]["reason"]


@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no statement corpus at {CORPUS}: set TALLYSTICK_DATA")
def test_check_answers_for_the_whole_corpus() -> None:
    """Every file of the corpus, of any format, gets its answer in one call."""
    told = answer("statements-check", "statements", "check", CORPUS)
    assert len(told) == sum(path.is_file() for path in CORPUS.rglob("*"))


def test_import_and_reconcile_end_to_end(ledger_database: TestDatabase, tmp_path: Path) -> None:
    """A file comes in, once; the bank and the ledger agree; a file with a fault is refused with its line."""
    posting.use(posting.InProcess())
    people = cast.opened()
    cast.post([ask(1, people.bank, people.wang, 10_00, reference="R-1", value_date=cast.NOW.date())])
    sound, broken = tmp_path / "march.xml", tmp_path / "broken.xml"
    sound.write_bytes(YUAN)
    broken.write_bytes(YUAN.replace(b"10.00", b"10.01"))

    told = answer("statements-import", "statements", "import", sound)
    assert [each["status"] for each in told["files"]] == ["imported"]
    told = answer("statements-import", "statements", "import", sound, broken, code=2)
    assert [each["status"] for each in told["files"]] == ["repeated", "refused"]
    assert told["files"][1]["line"] == 5
    assert "imported before as stm_1" in ran("statements", "import", sound)

    told = answer("reconcile", "reconcile")
    (account,) = told["accounts"]
    assert (account["bank_total_minor"], account["ledger_total_minor"]) == (10_00, 10_00)
    assert (account["unexplained_minor"], account["matched"], account["lines"]) == (0, 1, [])
    assert "1 lines matched, 0 breaks." in ran("reconcile", "--to", "2026-03-31")


def test_reconcile_lists_breaks_with_their_lines(ledger_database: TestDatabase, tmp_path: Path) -> None:
    """Each break says where it stands on either side."""
    posting.use(posting.InProcess())
    people = cast.opened()
    cast.post([ask(1, people.bank, people.wang, 9_99, reference="R-1", value_date=cast.NOW.date())])
    (tmp_path / "march.xml").write_bytes(YUAN)
    ran("statements", "import", tmp_path / "march.xml")
    (account,) = answer("reconcile", "reconcile")["accounts"]
    (found,) = account["lines"]
    assert (found["kind"], found["effect_minor"], found["line"], found["position"]) == ("amount", 1, 6, 1)
    assert "stm_1:6 #1" in ran("reconcile")


def test_a_command_that_cannot_know_what_is_meant_says_so(
    ledger_database: TestDatabase, tmp_path: Path
) -> None:
    """No book, an account that is none, nothing imported."""
    (tmp_path / "march.xml").write_bytes(YUAN)
    ran("statements", "import", tmp_path / "march.xml", code=2)
    cast.opened()
    ran("statements", "import", tmp_path / "march.xml", "--account", "acc_1", code=2)
    assert "import one first" in ran("reconcile")


class Terminal(io.StringIO):
    """A place where a person looks."""

    def isatty(self) -> bool:
        return True


def test_a_reconciliation_shows_how_far_it_is_to_a_person_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar on a terminal, with the account's name as it is written; none in a pipe, none beside JSON."""
    monkeypatch.setenv("TERM", "xterm")
    for stream, shown, is_told in (
        (Terminal(), True, True),
        (io.StringIO(), True, False),
        (Terminal(), False, False),
    ):
        monkeypatch.setattr(sys, "stderr", stream)
        with statements._reading("Bank [CNY]", shown=shown) as told:
            if told is not None:
                told("ledger", 20_000, 0)
                told("statements", 5, 10)
        assert (told is not None, "Bank [CNY]" in stream.getvalue(), "5/10" in stream.getvalue()) == (
            is_told,
        ) * 3

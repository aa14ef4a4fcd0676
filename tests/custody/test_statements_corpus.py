"""Every real bank file of the corpus adds up exactly, or is refused for a reason that is true of it."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tallystick.custody.statements import errors, file, rows
from tests.custody.statement_samples import CORPUS

pytestmark = pytest.mark.skipif(
    not CORPUS.is_dir(), reason=f"no statement corpus at {CORPUS}: set TALLYSTICK_DATA"
)

GENKGO = "camt-genkgo/test/data/"
WOLPH = "mt940-wolph/mt940_tests/"
BSP = "bankstatementparser/tests/test_data/"
MOOV = "iso20022-moov/test/testdata/"


# Every file of the corpus, looked at one by one: path, status, format, entries, statements, sum, line, code.
# What is behind the refusals that their codes do not tell:
#   camt053.v2.minimal and its like: balances in Swedish crowns, Swiss francs and yen under an account in euro;
#   camt052.v4, v6: a balance in Swiss francs, an entry in Swedish crowns;
#   camt052.v1: version 01, of 2006, whose elements have other names;
#   200519_camt.052_…: opening and interim balance frame the whole day, and one of its two entries is not in them;
#   camt.053_P_CH…: the closing balance leaves out an entry that the bank calls booked, with tomorrow's value;
#   camt053-py/…/statement.xml: a template, whose amounts are still braces;
#   cmxl/mt940.sta: a closing balance of 2002 under an opening one of 2003;
#   sepa_snippet_broken.sta: a :25: where the :86: should stand; raphaelm.sta: a closing balance without a currency;
#   transaction_details_wrapped, wrapped_timestamp, february_30: 30 February; other mt940 fragments: a field or two;
#   self-provided/mt942.sta: one debit of 0.42, and :90D: says one of 2.30;
#   ofx-v102-empty-tags: CURDEF is empty; error_message: the bank answers “General Server Error”;
#   *.csv: nobody declared what their columns are (with a mapping they are read: test_statements_csv.py);
#   fail_nice/: no date, an amount of “$120”, an empty balance, as its name says.
ANSWERS = Path(__file__).with_name("statement_answers.tsv")


def answers() -> dict[str, list[str]]:
    """The expected answers, by the path in the corpus."""
    rows = (line.split("\t") for line in ANSWERS.read_text().splitlines())
    return {path: told for path, *told in rows}


def judged(name: str) -> file.Judgement:
    with (CORPUS / name).open("rb") as source:
        return file.judge(source)


@pytest.mark.parametrize("name", sorted(answers()))
def test_every_file_gets_the_answer_that_is_true_of_it(name: str) -> None:
    """Sound files are read whole and add up; the others are refused at their fault, or are none."""
    found = judged(name)
    line = str(found.refusal.line) if isinstance(found.refusal, errors.StatementRefused) else ""
    code = found.refusal.code if isinstance(found.refusal, errors.StatementRefused) else ""
    told = [found.status, found.format_name, str(found.entries), str(len(found.statements))]
    assert [*told, str(found.sum_check), line, code] == answers()[name], found.reason


def test_every_file_has_an_expected_answer() -> None:
    """Nothing of the corpus is left out of the table, and nothing of the table is gone."""
    there = {path.relative_to(CORPUS).as_posix() for path in CORPUS.rglob("*") if path.is_file()}
    assert there == set(answers())


def entries_of(name: str) -> list[rows.Entry]:
    with (CORPUS / name).open("rb") as source:
        return [row for row in file.reader(source).read() if isinstance(row, rows.Entry)]


def golden_entries(node: Any) -> Iterator[dict[str, Any]]:
    """The entries of a genkgo/camt golden, wherever its object graph shows them."""
    if isinstance(node, dict):
        if node.get("__CLASS__") == "Genkgo\\Camt\\DTO\\Entry":
            yield node
        for value in node.values():
            yield from golden_entries(value)
    elif isinstance(node, list):
        for value in node:
            yield from golden_entries(value)


def test_entries_agree_with_the_golden_of_another_reader() -> None:
    """Amount, dates, end-to-end id and account of the other side are those genkgo/camt found."""
    golden = json.loads((CORPUS / f"{GENKGO}camt053.v2.multi.statement.json").read_text())
    theirs = {
        (
            int(entry["getAmount"]["getAmount"]),
            dt.date.fromisoformat(entry["getBookingDate"]["0"][:10]),
            entry["getTransactionDetail"]["getReference"]["getEndToEndId"],
        )
        for entry in golden_entries(golden)
    }
    ours = {
        (entry.amount_minor, entry.booking_date, entry.end_to_end_id)
        for entry in entries_of(f"{GENKGO}camt053.v2.multi.statement.xml")
    }
    assert theirs
    assert theirs <= ours
    assert ours == {
        (885, dt.date(2014, 12, 31), "000000001"),
        (-700, dt.date(2014, 12, 31), "000000002"),
    }


@pytest.mark.parametrize(
    "name",
    sorted(
        name for name, told in answers().items() if name.startswith(WOLPH) and told[:2] == ["ok", "mt940"]
    ),
)
def test_entries_agree_with_the_mt940_library(name: str) -> None:
    """Amounts and value dates are those the `mt-940` library reads from the same file.

    It leaves the amount of a reversal (`RC`, `RD`) positive; the balances say that an `RC` is a debit.
    """
    oracle = pytest.importorskip("mt940", reason="the mt-940 library is not installed")
    try:
        parsed = oracle.parse(io.StringIO((CORPUS / name).read_bytes().decode("utf-8")))
    except RuntimeError:
        pytest.skip("the mt-940 library does not read this bank's dialect")
    theirs = [
        (round(abs(entry.data["amount"].amount) * 100), str(entry.data["date"]))
        for entry in parsed
        if entry.data.get("id")
    ]
    ours = [(abs(entry.amount_minor), entry.value_date.isoformat()) for entry in entries_of(name)]
    assert ours == theirs

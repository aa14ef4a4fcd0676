"""Every real bank file of the corpus adds up exactly, or is refused for a reason that is true of it."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections import Counter
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

# Each was looked at. Sound: entries, statements, sum. Refused: the class and the line, or the difference.
OK = {
    f"{BSP}camt.053.001.02.xml": (3, 1, "ok"),
    f"{BSP}golden/camt053_duplicate_same_day.xml": (2, 1, "absent"),
    f"{BSP}golden/camt053_multicurrency.xml": (3, 2, "ok"),
    f"{BSP}golden/camt053_no_namespace.xml": (1, 1, "ok"),
    f"{BSP}sample.mt940": (2, 1, "ok"),
    f"{GENKGO}camt053.v2.multi.statement.xml": (2, 2, "ok"),
    f"{GENKGO}camt53.only-Dt-with-DtTm.xml": (0, 1, "absent"),
    f"{MOOV}FI_camt_053_sample.xml.xml": (10, 1, "ok"),
    f"{MOOV}statement_1.xml": (4, 1, "ok"),
    f"{WOLPH}ASNB/mt940.txt": (8, 31, "ok"),
    f"{WOLPH}ASNB/mt940_with_spaces_for_entry_date.txt": (8, 31, "ok"),
    f"{WOLPH}betterplace/sepa_mt9401.sta": (97, 26, "ok"),
    f"{WOLPH}betterplace/with_binary_character.sta": (4, 2, "ok"),
    f"{WOLPH}citi/mt940.txt": (5, 1, "ok"),
    f"{WOLPH}jejik/generic.sta": (2, 2, "ok"),
    f"{WOLPH}jejik/rabobank-iban.sta": (4, 2, "ok"),
    f"{WOLPH}jejik/sns.sta": (2, 2, "ok"),
    f"{WOLPH}mBank/mt940.sta": (3, 1, "ok"),
    f"{WOLPH}sberbank/171011_01234945.sta": (3, 1, "ok"),
    f"{WOLPH}self-provided/long_statement_number.sta": (0, 1, "ok"),
}
DIFFERS = {
    f"{GENKGO}camt053.v2.all-balance-types.xml": -582,
    f"{GENKGO}camt053.v2.five.decimals.xml": 5,
    f"{MOOV}camt.053_P_CH2909000000250094239_1110092698_0_2020112503071366.xml": -153_700,
    f"{WOLPH}betterplace/sepa_snippet.sta": 30_008,
    f"{WOLPH}jejik/abnamro.sta": -203_800,
    f"{WOLPH}jejik/ing.sta": 4_906,
    f"{WOLPH}jejik/knab.sta": 450_000,
    f"{WOLPH}jejik/postfinance.sta": 20,
    f"{WOLPH}jejik/rabobank.sta": 113_593,
    f"{WOLPH}jejik/triodos.sta": 11_140,
    f"{WOLPH}mBank/with_newline_in_tnr.sta": 77_071,
    f"{WOLPH}self-provided/details_60-63.sta": 23_401,
    f"{WOLPH}self-provided/malformed_details.sta": 23_401,
    f"{WOLPH}self-provided/overly_long_details.sta": 23_401,
    f"{WOLPH}self-provided/raiffeisen-cmi.sta": 112_326_400,
    f"{WOLPH}self-provided/whitespace.sta": 23_401,
}
REFUSED = {
    f"{BSP}golden/camt053_garbled_amount.xml": (errors.AmountMalformed, 17),
    # Balances in Swedish crowns, Swiss francs and yen under an account in euro.
    f"{GENKGO}camt053.v2.minimal.ultimate.xml": (errors.CurrencyDiffers, 60),
    f"{GENKGO}camt053.v2.minimal.xml": (errors.CurrencyDiffers, 60),
    f"{GENKGO}camt053.v2.with-account-name.xml": (errors.CurrencyDiffers, 30),
    f"{GENKGO}camt053.v2.with-party-ids.xml": (errors.CurrencyDiffers, 60),
    f"{GENKGO}camt053.v3.xml": (errors.CurrencyDiffers, 80),
    f"{GENKGO}camt053.v4.xml": (errors.CurrencyDiffers, 80),
    f"{GENKGO}camt053.v8.xml": (errors.CurrencyDiffers, 80),
    f"{GENKGO}camt053.v2.wrong.xml": (errors.NoStatement, 3),
    # A template: its amounts are still braces.
    "camt053-py/camt053/templates/camt.053.001.14/statement.xml": (errors.CurrencyUnknown, 16),
    # Fragments, each one field or two.
    f"{WOLPH}betterplace/amount_formats.sta": (errors.FieldMissing, 1),
    f"{WOLPH}betterplace/currency_in_25.sta": (errors.FieldMissing, 1),
    f"{WOLPH}betterplace/empty_86.sta": (errors.FieldMissing, 1),
    f"{WOLPH}betterplace/empty_entry_date.sta": (errors.FieldMissing, 1),
    f"{WOLPH}betterplace/empty_line.sta": (errors.FieldMissing, 2),
    f"{WOLPH}betterplace/missing_crlf_at_end.sta": (errors.FieldMissing, 1),
    f"{WOLPH}cmxl/account_balance_credit.sta": (errors.FieldMissing, 1),
    f"{WOLPH}cmxl/account_balance_debit.sta": (errors.FieldMissing, 1),
    f"{WOLPH}cmxl/account_identification_iban.sta": (errors.FieldMissing, 1),
    f"{WOLPH}cmxl/account_identification_legacy.sta": (errors.FieldMissing, 1),
    f"{WOLPH}cmxl/available_balance.sta": (errors.FieldMissing, 1),
    f"{WOLPH}cmxl/closing_balance.sta": (errors.FieldMissing, 1),
    f"{WOLPH}cmxl/reference.sta": (errors.FieldMissing, 1),
    f"{WOLPH}cmxl/statement_details.sta": (errors.FieldMissing, 1),
    f"{WOLPH}cmxl/statement_line.sta": (errors.FieldMissing, 1),
    f"{WOLPH}cmxl/statement_number.sta": (errors.FieldMissing, 1),
    f"{WOLPH}self-provided/account_identification.sta": (errors.FieldMissing, 4),
    f"{WOLPH}self-provided/empty_non_swift.sta": (errors.FieldMissing, 1),
    f"{WOLPH}self-provided/gv_codes.sta": (errors.FieldMissing, 8),
    f"{WOLPH}self-provided/multiline.sta": (errors.FieldMissing, 38),
    f"{WOLPH}self-provided/sparkassen.sta": (errors.FieldMissing, 1),
    # One entry and its narrative, beside another reader's tests.
    f"{WOLPH}self-provided/transaction_details.yml": (errors.FieldMissing, 1),
    # A :25: where the :86: should stand.
    f"{WOLPH}betterplace/sepa_snippet_broken.sta": (errors.FieldMisplaced, 6),
    # A closing balance of 2002 under an opening one of 2003.
    f"{WOLPH}cmxl/mt940.sta": (errors.DateImpossible, 73),
    # 30 February.
    f"{WOLPH}self-provided/february_30.sta": (errors.DateImpossible, 6),
    f"{WOLPH}self-provided/transaction_details_wrapped.sta": (errors.DateImpossible, 6),
    f"{WOLPH}self-provided/wrapped_timestamp.sta": (errors.DateImpossible, 5),
    # A closing balance without a currency.
    f"{WOLPH}self-provided/raphaelm.sta": (errors.FieldMalformed, 27),
}


def files() -> Iterator[tuple[str, Path]]:
    """Every file of the corpus, by its path in it."""
    for path in sorted(CORPUS.rglob("*")):
        if path.is_file():
            yield path.relative_to(CORPUS).as_posix(), path


def judged(name: str) -> file.Judgement:
    with (CORPUS / name).open("rb") as source:
        return file.judge(source)


@pytest.mark.parametrize("name", sorted(OK))
def test_a_sound_file_parses_whole(name: str) -> None:
    """The file is read, with as many entries and statements as stand in it, and adds up exactly."""
    found = judged(name)
    assert found.status == "ok", found.reason
    assert (found.entries, len(found.statements), found.sum_check) == OK[name]


@pytest.mark.parametrize("name", sorted(DIFFERS))
def test_a_file_that_does_not_add_up_says_by_how_much(name: str) -> None:
    """A statement whose sum is wrong is refused, with the difference in minor units."""
    found = judged(name)
    assert isinstance(found.refusal, errors.SumDiffers)
    assert found.sum_check == DIFFERS[name]


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_broken_file_is_refused_for_its_fault(name: str) -> None:
    """The refusal is of the kind of the fault, and names its line."""
    found = judged(name)
    kind, line = REFUSED[name]
    assert type(found.refusal) is kind, found.reason
    assert found.refusal.line == line


def test_every_other_file_is_no_statement() -> None:
    """Nothing of the corpus is left without an answer, and no other file is taken for a statement."""
    known = {*OK, *DIFFERS, *REFUSED}
    answers = Counter(judged(name).status for name, _ in files() if name not in known)
    assert set(answers) == {"not_a_statement"}
    assert known <= {name for name, _ in files()}


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


@pytest.mark.parametrize("name", sorted(name for name in OK if name.startswith(WOLPH)))
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

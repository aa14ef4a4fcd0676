"""CSV by a declared mapping: banks' exports and payment channels' settlements, each fault named by line and column."""

from __future__ import annotations

import datetime as dt
import io
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pytest

from tallystick.custody.statements import errors, file, mapping, rows, text_lines
from tests.custody.statement_samples import CORPUS, ROOT

SHIPPED = sorted((ROOT / "docs" / "reference" / "mappings").glob("*.yaml"))
BANK: dict[str, Any] = {
    "name": "bank",
    "decimal": ",",
    "thousands": ".",
    "delimiter": ";",
    "date_format": "%d.%m.%Y",
    "currency": "EUR",
    "account": "NL91 ABNA 0417 1643 00",
    "columns": {"booking_date": "Day", "amount": "Amount", "reference": "Ref", "balance": "Balance"},
}
CHANNEL: dict[str, Any] = {
    "name": "channel",
    "kind": "settlement",
    "decimal": ".",
    "date_format": "%Y-%m-%d",
    "currency": "CNY",
    "account": "M-1",
    "columns": {
        "booking_date": "day",
        "gross": "gross",
        "fee": "fee",
        "net": "net",
        "end_to_end_id": "order",
        "settlement": "payout",
    },
}
HEAD = "Day;Ref;Amount;Balance\n"


def declared(base: dict[str, Any], columns: dict[str, Any] | None = None, **changed: Any) -> mapping.Mapping:
    """A mapping, with some of its words changed; `None` takes one out."""
    told = {**base, **changed, "columns": {**base["columns"], **(columns or {})}}
    told["columns"] = {name: value for name, value in told["columns"].items() if value is not None}
    told = {name: value for name, value in told.items() if value is not None}
    return mapping.load(msgspec.json.encode(told))


def judged(text: str, *mappings: mapping.Mapping, encoding: str = "utf-8") -> file.Judgement:
    return file.judge(io.BytesIO(text.encode(encoding)), mappings=mappings)


def entries(text: str, given: mapping.Mapping) -> list[rows.Entry]:
    found = file.reader(io.BytesIO(text.encode()), mappings=[given]).read()
    return [row for row in found if isinstance(row, rows.Entry)]


def test_a_banks_export_with_running_balances() -> None:
    """Amounts and days by their declared form; the first and the last balance frame the entries."""
    text = HEAD + "02.03.2026;A;1.234,56;2.234,56\n03.03.2026;B;-34,56;2.200,00\n"
    found = judged(text, declared(BANK))
    assert (found.status, found.format_name, found.sum_check, found.entries) == ("ok", "csv", "ok", 2)
    (statement,) = found.statements
    assert (statement.opening_minor, statement.closing_minor) == (100_000, 220_000)
    assert (statement.account, statement.account_is_iban) == ("NL91ABNA0417164300", True)
    assert (statement.from_date, statement.to_date) == (dt.date(2026, 3, 2), dt.date(2026, 3, 3))
    assert [(row.line, row.amount_minor, row.references) for row in entries(text, declared(BANK))] == [
        (2, 123_456, ("A",)),
        (3, -3_456, ("B",)),
    ]


def test_newest_first() -> None:
    """The same rows the other way round, as many banks list them."""
    text = HEAD + "03.03.2026;B;-34,56;2.200,00\n02.03.2026;A;1.234,56;2.234,56\n"
    (statement,) = judged(text, declared(BANK, balance_order="newest_first")).statements
    assert (statement.opening_minor, statement.closing_minor) == (100_000, 220_000)
    assert judged(text, declared(BANK)).status == "refused"


@pytest.mark.parametrize("order", ["oldest_first", "newest_first"])
def test_a_missing_row_shows_at_its_neighbour(order: str) -> None:
    """Each balance follows from the one before: the row that does not is named, with the difference."""
    told = ["02.03.2026;A;10,00;110,00", "03.03.2026;B;5,00;115,00", "04.03.2026;C;1,00;116,00"]
    told = told if order == "oldest_first" else told[::-1]
    text = HEAD + "\n".join((told[0], told[2])) + "\n"
    found = judged(text, declared(BANK, balance_order=order))
    assert isinstance(found.refusal, errors.SumDiffers)
    assert (found.refusal.line, found.refusal.field) == (3, "Balance")
    assert abs(int(found.sum_check)) == 500


@pytest.mark.parametrize(
    ("row", "kind", "field"),
    [
        ("02.03.2026;A;12..34;0", errors.AmountMalformed, "Amount"),
        ("02.03.2026;A;1,234.56;0", errors.AmountMalformed, "Amount"),
        ("02.03.2026;A;12.34,00;0", errors.AmountMalformed, "Amount"),
        ("02.03.2026;A;--1,00;0", errors.AmountMalformed, "Amount"),
        ("02.03.2026;A;(1,00;0", errors.AmountMalformed, "Amount"),
        ("02.03.2026;A;;0", errors.AmountMalformed, "Amount"),
        ("02.03.2026;A;1,001;0", errors.AmountTooPrecise, "Amount"),
        ("02.03.2026;A;9999999999999999999;0", errors.AmountMalformed, "Amount"),
        ("2026-03-02;A;1,00;0", errors.DateImpossible, "Day"),
        ("30.02.2026;A;1,00;0", errors.DateImpossible, "Day"),
        (";A;1,00;0", errors.FieldMissing, "Day"),
        ("02.03.2026;A;1,00", errors.FieldMalformed, "CSV"),
        ("02.03.2026;A;1,00;0;more", errors.FieldMalformed, "CSV"),
        ('02.03.2026;"A;1,00;0', errors.FieldMalformed, "CSV"),
    ],
)
def test_a_cell_that_breaks_the_declaration_is_refused(
    row: str, kind: type[errors.StatementRefused], field: str
) -> None:
    """By the line of the row and the name of the column."""
    sound = "01.03.2026;S;1,00;1,00\n"
    found = judged(HEAD + sound + sound.replace("1,00\n", "2,00\n") + row + "\n", declared(BANK))
    assert isinstance(found.refusal, errors.StatementRefused)
    assert (type(found.refusal), found.refusal.field, found.refusal.line) == (kind, field, 4)


@pytest.mark.parametrize(
    ("text", "minor"),
    [("-1.234,5", -123_450), ("1234,50-", -123_450), ("(1.234,50)", -123_450), ("+7", 700), (",5", 50)],
)
def test_the_ways_banks_write_a_sign(text: str, minor: int) -> None:
    """Before, behind, or as brackets; one of them."""
    (row,) = entries(HEAD + f"02.03.2026;A;{text};\n", declared(BANK, {"balance": None}))
    assert row.amount_minor == minor


def test_debit_and_credit_columns() -> None:
    """One of the two is filled; both or neither is no entry."""
    given = declared(BANK, {"amount": None, "balance": None, "debit": "Amount", "credit": "Balance"})
    assert [row.amount_minor for row in entries(HEAD + "02.03.2026;A;5,00;\n02.03.2026;B;;7\n", given)] == [
        -500,
        700,
    ]
    assert isinstance(judged(HEAD + "02.03.2026;A;5;7\n", given).refusal, errors.FieldMalformed)
    assert isinstance(judged(HEAD + "02.03.2026;A;-5;\n", given).refusal, errors.FieldMalformed)
    assert isinstance(judged(HEAD + "02.03.2026;A;;\n03.03.2026;A;1;\n", given).refusal, errors.FieldMissing)
    turned = declared(
        BANK, {"amount": None, "balance": None, "debit": "Amount", "credit": "Balance"}, debit_sign="negative"
    )
    assert entries(HEAD + "02.03.2026;A;-5;\n", turned)[0].amount_minor == -500


def test_a_side_column_and_a_turned_sign() -> None:
    """`S` and `H` beside an unsigned amount; or a bank that writes debits positive."""
    sided = declared(BANK, {"balance": None, "side": "Balance"}, sides={"credit": ["H"], "debit": ["S"]})
    assert [row.amount_minor for row in entries(HEAD + "02.03.2026;A;5;S\n02.03.2026;A;5;H\n", sided)] == [
        -500,
        500,
    ]
    assert isinstance(judged(HEAD + "02.03.2026;A;5;X\n", sided).refusal, errors.FieldMalformed)
    turned = declared(BANK, {"balance": None}, positive="debit")
    assert entries(HEAD + "02.03.2026;A;5;\n", turned)[0].amount_minor == -500


def test_a_channels_settlement_is_net_of_its_fee() -> None:
    """Gross, fee and net of each payment, the payout it comes in, and who speaks: the channel."""
    text = (
        "day,order,gross,fee,net,payout\n2026-03-02,O-1,100.00,0.60,99.40,P1\n2026-03-02,O-2,-10,0,-10,P1\n"
    )
    found = judged(text, declared(CHANNEL))
    assert found.status == "ok", found.reason
    assert (found.statements[0].kind, found.statements[0].source) == ("settlement", "channel")
    first, second = entries(text, declared(CHANNEL))
    assert (first.gross_minor, first.fee_minor, first.amount_minor, first.settlement) == (
        10_000,
        60,
        9_940,
        "P1",
    )
    assert second.amount_minor == -1_000


@pytest.mark.parametrize(
    ("left_out", "fee_sign", "fee"),
    [("net", "positive", "0.60"), ("fee", "positive", "x"), ("gross", "negative", "-0.60")],
)
def test_two_of_gross_fee_and_net_give_the_third(left_out: str, fee_sign: str, fee: str) -> None:
    """Whichever two the channel tells."""
    given = declared(CHANNEL, {left_out: None}, fee_sign=fee_sign)
    (row,) = entries(f"day,order,gross,fee,net,payout\n2026-03-02,O-1,100,{fee},99.40,P1\n", given)
    assert (row.gross_minor, row.fee_minor, row.amount_minor) == (10_000, 60, 9_940)


def test_a_net_that_is_not_gross_less_fee_is_refused() -> None:
    """By a cent."""
    found = judged("day,order,gross,fee,net,payout\n2026-03-02,O-1,100,0.60,99.41,P1\n", declared(CHANNEL))
    assert isinstance(found.refusal, errors.NetDiffers)
    assert (found.refusal.line, found.refusal.field) == (2, "net")


def test_lines_before_the_header_a_footer_and_rows_left_out() -> None:
    """A title above, a summary below, failed payments between: none of them is money."""
    given = declared(
        CHANNEL, skip_lines=2, footer=["Total"], only={"column": "state", "values": ["SUCCESS"]}, strip="`"
    )
    text = (
        "Report\n\nday,order,gross,fee,net,payout,state\n`2026-03-02,`O-1,`1,`0,`1,`P,`SUCCESS\n"
        "`2026-03-02,`O-2,`1,`0,`1,`P,`FAILED\nTotal,2,1,,,,\n"
    )
    found = judged(text, given)
    assert (found.status, found.entries, found.not_booked) == ("ok", 1, 1), found.reason
    assert entries(text, given)[0].line == 4


def test_a_cell_over_several_lines_keeps_the_count() -> None:
    """A quoted line end is text: the row after it has its own line in the file."""
    text = HEAD + '02.03.2026;"A\nB";1,00;1,00\n03.03.2026;C;1,00;2,00\n'
    assert [row.line for row in entries(text, declared(BANK))] == [2, 4]
    assert entries(text, declared(BANK))[0].references == ("A B",)


def test_without_a_header_columns_are_numbers() -> None:
    """From 1."""
    given = declared(
        BANK, {"booking_date": "1", "reference": "2", "amount": "3", "balance": "4"}, header=False
    )
    found = judged("02.03.2026;A;1,00;1,00\n03.03.2026;B;1,00;2,00\n", given)
    assert (found.entries, found.sum_check) == (2, "ok")


def test_a_mapping_is_chosen_by_the_header() -> None:
    """Of several, the first whose columns all stand in it; of one, the missing column is named."""
    text = HEAD + "02.03.2026;A;1,00;1,00\n03.03.2026;B;1,00;2,00\n"
    assert judged(text, declared(CHANNEL), declared(BANK)).status == "ok"
    missing = judged(text, declared(BANK, {"reference": "Reference"})).refusal
    assert isinstance(missing, errors.ColumnMissing)
    assert (missing.line, missing.field) == (1, "reference")
    assert isinstance(judged(text, declared(CHANNEL), declared(CHANNEL)).refusal, errors.MappingMissing)
    assert isinstance(judged(text).refusal, errors.MappingMissing)
    doubled = judged(text.replace("Ref", "Amount"), declared(BANK, {"reference": None}))
    assert isinstance(doubled.refusal, errors.ColumnMissing)


def test_bytes_are_weighed_once_however_many_mappings_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which encoding a file is in says its bytes, not the mapping that is tried: it is asked for once."""
    weighed: list[str] = []

    def detect(source: BinaryIO) -> str:
        weighed.append(seen(source))
        return weighed[-1]

    seen = text_lines.detect
    monkeypatch.setattr(text_lines, "detect", detect)
    text = HEAD + "02.03.2026;é;1,00;1,00\n03.03.2026;B;1,00;2,00\n"
    assert judged(text, *[declared(CHANNEL)] * 3, declared(BANK)).encoding == "utf-8"
    assert weighed == ["utf-8"]


@pytest.mark.parametrize("encoding", ["gb18030", "cp1252", "utf-8", "utf-8-sig"])
def test_encodings(encoding: str) -> None:
    """Declared, or told by the bytes; the header's own letters among them."""
    name = "金额" if encoding == "gb18030" else "Bétrag"
    text = HEAD.replace("Amount", name) + "02.03.2026;A;1,00;1,00\n03.03.2026;B;1,00;2,00\n"
    for stated in (None, encoding.removesuffix("-sig")):
        found = judged(text, declared(BANK, {"amount": name}, encoding=stated), encoding=encoding)
        assert found.status == "ok", found.reason
        assert found.encoding == encoding.removesuffix("-sig")


@pytest.mark.parametrize(
    ("changed", "columns"),
    [
        ({"decimal": "x"}, {}),
        ({"date_format": "%d.%m"}, {}),
        ({"date_format": "%d.%Q.%Y"}, {}),
        ({"currency": None}, {}),
        ({"currency": "EURO"}, {}),
        ({"account": None}, {}),
        ({"thousands": ","}, {}),
        ({"unheard_of": 1}, {}),
        ({"kind": "settlement"}, {}),
        ({"header": False}, {}),
        ({"sides": {"credit": ["H"], "debit": ["S"]}}, {}),
        ({}, {"booking_date": None}),
        ({}, {"amount": None}),
        ({}, {"debit": "D"}),
        ({}, {"amount": None, "debit": "D"}),
        ({}, {"gross": "G"}),
        ({}, {"amount": ""}),
    ],
)
def test_a_mapping_that_leaves_something_open_is_no_mapping(
    changed: dict[str, Any], columns: dict[str, Any]
) -> None:
    """What a file's money means is declared whole, in words that are known."""
    with pytest.raises(errors.MappingInvalid):
        declared(BANK, columns, **changed)


@pytest.mark.parametrize("content", [b"\xff", b"[", b"- 1", b"a: &a [*a]", b"x" * 100_000, b""])
def test_what_is_no_mapping_is_refused(content: bytes) -> None:
    """Another document, another encoding, a document without end."""
    with pytest.raises(errors.MappingInvalid):
        mapping.load(content)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_mapping_is_one(path: Path) -> None:
    """Each example in the documents can be used, and is kept as it was declared."""
    given = mapping.load(path.read_bytes())
    assert given.name == path.stem
    assert mapping.load(given.as_json.encode()) == given


@pytest.mark.parametrize(
    ("name", "minor", "sum_check"),
    [
        ("golden/csv_european_decimals.csv", [-123_456, 350_000, -450], "absent"),
        ("golden/csv_spanish_headers.csv", [-123_456, 350_000, -450], "absent"),
        ("golden/csv_french_headers.csv", [-123_456, 350_000, -450], "absent"),
        ("sample_split_amounts.csv", [125_050, -20_025], "ok"),
        ("sample_statement.csv", [250_000, -120_000], "ok"),
    ],
)
@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no statement corpus at {CORPUS}: set TALLYSTICK_DATA")
def test_real_exports_are_read_by_the_shipped_mappings(name: str, minor: list[int], sum_check: str) -> None:
    """All examples offered together: each file finds its own."""
    mappings = [mapping.load(path.read_bytes()) for path in SHIPPED]
    content = (CORPUS / "bankstatementparser/tests/test_data" / name).read_bytes()
    found = file.judge(io.BytesIO(content), mappings=mappings)
    assert (found.status, found.sum_check) == ("ok", sum_check), found.reason
    told = file.reader(io.BytesIO(content), mappings=mappings).read()
    assert [row.amount_minor for row in told if isinstance(row, rows.Entry)] == minor


@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no statement corpus at {CORPUS}: set TALLYSTICK_DATA")
def test_a_garbled_amount_is_refused_at_its_row() -> None:
    """`12..34` is no number in any country."""
    content = (CORPUS / "bankstatementparser/tests/test_data/golden/csv_garbled_amount.csv").read_bytes()
    given = declared(
        BANK,
        {"booking_date": "Date", "amount": "Amount", "reference": "Description", "balance": None},
        decimal=".",
        thousands=",",
        delimiter=",",
        date_format="%Y-%m-%d",
    )
    found = file.judge(io.BytesIO(content), mappings=[given]).refusal
    assert isinstance(found, errors.AmountMalformed)
    assert (found.line, found.field) == (3, "Amount")


def test_a_day_without_entries_is_a_statement_where_the_mapping_says_so() -> None:
    """A header alone, with account and currency declared: nothing happened, and that is an answer."""
    found = judged(HEAD, declared(BANK))
    assert (found.status, found.entries, found.sum_check) == ("ok", 0, "absent")
    assert judged(HEAD).status == "not_a_statement"

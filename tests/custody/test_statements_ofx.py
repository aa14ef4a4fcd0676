"""OFX: version 1's SGML and version 2's XML by one grammar, strictly, in the encodings banks use."""

from __future__ import annotations

import datetime as dt
import io

import pytest

from tallystick.custody.statements import errors, file, rows

HEADER = (
    "OFXHEADER:100\r\nDATA:OFXSGML\r\nVERSION:102\r\nSECURITY:NONE\r\nENCODING:USASCII\r\nCHARSET:1252\r\n"
    "COMPRESSION:NONE\r\nOLDFILEUID:NONE\r\nNEWFILEUID:NONE\r\n\r\n"
)
XML = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<?OFX OFXHEADER="200" VERSION="211" SECURITY="NONE" OLDFILEUID="NONE" NEWFILEUID="NONE"?>\n'
)


def entry(**changed: str | None) -> str:
    """One STMTTRN of SGML; a field given as `None` is left out."""
    fields: dict[str, str | None] = {
        "TRNTYPE": "CREDIT",
        "DTPOSTED": "20260302120000[+1:CET]",
        "TRNAMT": "10.00",
        "FITID": "F1",
        "NAME": "Wang &amp; Co",
        "MEMO": "order 7",
    }
    told = {**fields, **changed}
    return (
        "<STMTTRN>"
        + "\n".join(f"<{name}>{value}" for name, value in told.items() if value is not None)
        + "\n</STMTTRN>"
    )


def statement(
    *entries: str,
    currency: str = "EUR",
    balance: str = "<LEDGERBAL><BALAMT>110.00<DTASOF>20260331</LEDGERBAL>",
    account: str = "<BANKACCTFROM><BANKID>1<ACCTID>DE89 3704 0044 0532 0130 00<ACCTTYPE>CHECKING</BANKACCTFROM>",
) -> str:
    return (
        f"<STMTTRNRS><TRNUID>1<STATUS><CODE>0<SEVERITY>INFO</STATUS>\n<STMTRS><CURDEF>{currency}\n{account}\n"
        "<BANKTRANLIST><DTSTART>20260301<DTEND>20260331\n"
        + "\n".join(entries)
        + f"</BANKTRANLIST>\n{balance}"
        "</STMTRS></STMTTRNRS>"
    )


def ofx(*statements: str, header: str = HEADER) -> str:
    return f"{header}<OFX><BANKMSGSRSV1>" + "".join(statements) + "</BANKMSGSRSV1></OFX>"


def judged(text: str, encoding: str = "utf-8") -> file.Judgement:
    return file.judge(io.BytesIO(text.encode(encoding)))


def read(text: str, encoding: str = "utf-8") -> list[rows.Entry | rows.Statement]:
    return list(file.reader(io.BytesIO(text.encode(encoding))).read())


def test_a_bank_statement_of_version_1() -> None:
    """Amount, days, references and texts of an entry; the closing balance, and that no sum can be checked."""
    first, told = read(ofx(statement(entry())))
    assert isinstance(first, rows.Entry)
    assert isinstance(told, rows.Statement)
    assert (first.amount_minor, first.booking_date, first.line) == (1_000, dt.date(2026, 3, 2), 15)
    assert (first.references, first.counterparty_name, first.remittance) == (("F1",), "Wang & Co", "order 7")
    assert (told.account, told.account_is_iban) == ("DE89370400440532013000", True)
    assert (told.opening_minor, told.closing_minor, told.sum_check) == (None, 11_000, "absent")
    assert (told.from_date, told.to_date) == (dt.date(2026, 3, 1), dt.date(2026, 3, 31))


def closed(sgml: str) -> str:
    """The same with end tags after values, as XML has them."""
    import re

    return re.sub(r"<([A-Z0-9]+)>([^<\s][^<]*?)(\s*)(?=<)", r"<\1>\2</\1>\3", sgml)


def test_version_2_says_the_same_as_version_1() -> None:
    """Closed by end tags or by the next tag: the same rows."""
    sgml = statement(entry(), entry(TRNAMT="-4.50", TRNTYPE="DEBIT", FITID="F2"))
    one = [row for row in read(ofx(sgml)) if isinstance(row, rows.Entry)]
    two = [row for row in read(ofx(closed(sgml), header=XML)) if isinstance(row, rows.Entry)]
    assert [row.amount_minor for row in one] == [1_000, -450]
    assert [(row.amount_minor, row.references, row.remittance) for row in one] == [
        (row.amount_minor, row.references, row.remittance) for row in two
    ]
    assert judged(ofx(closed(sgml), header=XML)).format_name == "ofx.211"
    assert "ofx_unclosed" not in [each.code for each in judged(ofx(closed(sgml), header=XML)).notes]
    assert "ofx_unclosed" in [each.code for each in judged(ofx(sgml, header=XML)).notes]


def test_a_credit_card_statement() -> None:
    """Money owed is negative, as the owner sees it."""
    text = ofx(statement(entry(TRNAMT="-5.5", TRNTYPE="DEBIT"))).replace("BANKMSGSRSV1", "CREDITCARDMSGSRSV1")
    for bank, card in (("STMTTRNRS", "CCSTMTTRNRS"), ("STMTRS", "CCSTMTRS"), ("BANKACCTFROM", "CCACCTFROM")):
        text = text.replace(f"<{bank}>", f"<{card}>").replace(f"</{bank}>", f"</{card}>")
    found = judged(text)
    assert (found.status, found.entries, found.statements[0].debits_minor) == ("ok", 1, 550)


def test_an_element_without_value_and_end_tag_takes_nothing_with_it() -> None:
    """In SGML `<DTSTART>` alone is empty: the entries after it still stand in the list."""
    text = ofx(statement(entry(REFNUM=""))).replace("<DTSTART>20260301", "<DTSTART>")
    first, told = read(text)
    assert isinstance(first, rows.Entry)
    assert (first.amount_minor, first.remittance) == (1_000, "order 7")
    assert isinstance(told, rows.Statement)
    assert told.entries == 1


def test_two_accounts_are_two_statements() -> None:
    """Each with its own account; one may have a balance and no list."""
    other = statement(account="<BANKACCTFROM><ACCTID>9200</BANKACCTFROM>")
    found = judged(ofx(statement(entry()), other))
    assert [row.account for row in found.statements] == ["DE89370400440532013000", "9200"]
    assert [row.entries for row in found.statements] == [1, 0]


@pytest.mark.parametrize(
    ("text", "kind", "field"),
    [
        (ofx(statement(entry(DTPOSTED=None))), errors.FieldMissing, "STMTTRN/DTPOSTED"),
        (ofx(statement(entry(TRNAMT=""))), errors.FieldMissing, "STMTTRN/TRNAMT"),
        (ofx(statement(entry(DTPOSTED="20260230"))), errors.DateImpossible, "STMTTRN/DTPOSTED"),
        (ofx(statement(entry(DTPOSTED="2 March"))), errors.DateImpossible, "STMTTRN/DTPOSTED"),
        (ofx(statement(entry(TRNAMT="$10"))), errors.AmountMalformed, "STMTTRN/TRNAMT"),
        (ofx(statement(entry(TRNAMT="1,000.00"))), errors.AmountMalformed, "STMTTRN/TRNAMT"),
        (ofx(statement(entry(TRNAMT="10.001"))), errors.AmountTooPrecise, "STMTTRN/TRNAMT"),
        (ofx(statement(entry(), currency="")), errors.FieldMissing, "STMTRS/CURDEF"),
        (ofx(statement(entry(), currency="XXZ")), errors.CurrencyUnknown, "STMTRS/CURDEF"),
        (
            ofx(statement(entry(CURRENCY="<CURRATE>1.1<CURSYM>USD</CURRENCY>"))),
            errors.CurrencyDiffers,
            "STMTTRN/CURRENCY/CURSYM",
        ),
        (ofx(statement(entry(CORRECTACTION="REPLACE"))), errors.FieldMisplaced, "STMTTRN/CORRECTACTION"),
        (
            ofx(statement(entry(), balance="<LEDGERBAL><BALAMT><DTASOF>20260331</LEDGERBAL>")),
            errors.FieldMissing,
            "LEDGERBAL/BALAMT",
        ),
        (
            ofx(statement(entry(), account="<BANKACCTFROM></BANKACCTFROM>")),
            errors.FieldMissing,
            "STMTRS/BANKACCTFROM/ACCTID",
        ),
        (ofx(statement(entry()))[:-30], errors.BrokenTags, "OFX"),
        (ofx(statement(entry())) + "<OFX></OFX>", errors.BrokenTags, "OFX"),
        (ofx(statement(entry() + "</CCSTMTRS>")), errors.BrokenTags, "OFX"),
        (ofx(), errors.NoStatement, "OFX"),
        (ofx(statement(entry()), header=HEADER.replace("102", "999")), errors.UnsupportedVersion, "OFXHEADER"),
        (
            ofx(statement(entry()), header=HEADER.replace("COMPRESSION:NONE", "COMPRESSION:GZIP")),
            errors.FieldMalformed,
            "COMPRESSION",
        ),
        (XML + '<!DOCTYPE d [<!ENTITY a "b">]>' + ofx(statement(entry()), header=""), errors.UnsafeXml, "DOCTYPE"),
        (ofx(statement(entry(MEMO="x" * 200_000))), errors.TooLarge, "OFX"),
        (ofx("<A>" * 100), errors.TooLarge, "OFX"),
        (
            ofx("<STMTTRNRS><TRNUID>1<STATUS><CODE>2000<SEVERITY>ERROR<MESSAGE>No</STATUS></STMTTRNRS>"),
            errors.NoStatement,
            "STMTTRNRS/STATUS",
        ),
    ],
)  # fmt: skip
def test_a_fault_is_refused_by_name(text: str, kind: type[errors.StatementRefused], field: str) -> None:
    """Each with its field, and a line of the file."""
    found = judged(text)
    assert isinstance(found.refusal, errors.StatementRefused), found
    assert (type(found.refusal), found.refusal.field) == (kind, field)
    assert 1 <= found.refusal.line <= text.count("\n") + 1


def test_a_refusal_names_the_line() -> None:
    """The second entry's amount, counted from the first line of the header."""
    found = judged(ofx(statement(entry(), entry(TRNAMT="x"))))
    assert isinstance(found.refusal, errors.AmountMalformed)
    assert found.refusal.line == 24


@pytest.mark.parametrize(
    ("encoding", "header", "stated", "noted"),
    [
        ("cp1252", HEADER, "cp1252", False),
        ("utf-8", HEADER, "utf-8", True),
        ("utf-8", HEADER.replace("USASCII", "UTF-8").replace("1252", "NONE"), "utf-8", False),
        ("iso8859-1", HEADER.replace("1252", "8859-1"), "iso8859-1", False),
        ("utf-8", XML, "utf-8", False),
        ("utf-16", HEADER, "utf-16", False),
    ],
)
def test_encodings_are_stated(encoding: str, header: str, stated: str, noted: bool) -> None:
    """As declared, or as the bytes show where they contradict it; the text is right either way."""
    text = ofx(statement(entry(NAME="Café Zürich")), header=header)
    found = judged(text, encoding)
    assert (found.status, found.encoding) == ("ok", stated)
    assert ("encoding_differs" in [each.code for each in found.notes]) == noted
    first = read(text, encoding)[0]
    assert isinstance(first, rows.Entry)
    assert first.counterparty_name == "Café Zürich"


@pytest.mark.parametrize(
    "body",
    [
        "<SIGNONMSGSRSV1><SONRS><STATUS><CODE>0<SEVERITY>INFO</STATUS></SONRS></SIGNONMSGSRSV1>",
        "<INVSTMTMSGSRSV1><INVSTMTTRNRS><INVSTMTRS><INVTRANLIST><INVBANKTRAN>"
        + entry()
        + "</INVBANKTRAN></INVTRANLIST></INVSTMTRS></INVSTMTTRNRS></INVSTMTMSGSRSV1>",
        "",
    ],
)
def test_other_ofx_is_no_statement(body: str) -> None:
    """A sign-on or an investment statement is sound and not what is read here."""
    found = judged(f"{HEADER}<OFX>{body}</OFX>")
    assert (found.status, found.format_name, found.entries) == ("not_a_statement", "ofx.102", 0)


def test_a_file_of_one_line_is_read_in_pieces() -> None:
    """Some banks write no line ends at all: a megabyte in one line is no long line."""
    entries = [entry(FITID=f"F{number}").replace("\n", "") for number in range(9_000)]
    text = ofx(statement(*entries)).replace("\r\n", " ").replace("\n", "")
    assert len(text) > 1 << 20
    found = judged(text)
    assert (found.status, found.entries) == ("ok", 9_000), found.reason


def test_cdata_and_comments() -> None:
    """CDATA is text as it stands, a comment is layout."""
    text = ofx(statement(entry(MEMO="<![CDATA[a < b & c]]>", NAME="x<!-- not\nthis -->y")), header=XML)
    first = read(text)[0]
    assert isinstance(first, rows.Entry)
    assert (first.remittance, first.counterparty_name) == ("a < b & c", "x y")

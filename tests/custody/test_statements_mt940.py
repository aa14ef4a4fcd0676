"""MT940: fields, dialects, and what breaks a file."""

from __future__ import annotations

import datetime as dt
import io

import pytest

from tallystick.custody.statements import amounts, errors, file, narrative, rows
from tests.custody.statement_samples import mt940


def read(content: bytes) -> list[rows.Entry | rows.Statement]:
    return list(file.reader(io.BytesIO(content)).read())


def entry(*lines: str, **more: str) -> rows.Entry:
    """The one entry of a message."""
    found = read(mt940(*lines, **more))[0]
    assert isinstance(found, rows.Entry)
    return found


def refusal(content: bytes) -> errors.StatementRefused:
    with pytest.raises(errors.StatementRefused) as caught:
        read(content)
    return caught.value


@pytest.mark.parametrize(
    ("line", "minor", "reversal"),
    [
        (":61:2603020302C10,00NTRFREF1//BANK1", 1000, False),
        (":61:260302CR10,NTRFREF1", 1000, False),
        (":61:2603020302RD10,0NTRFREF1", 1000, True),
        (":61:2603020302C10NTRFREF1", 1000, False),
        (":61:260302    CR000000010,00N051REF1", 1000, False),
        (":61:2603020302C10,000NTRFREF1", 1000, False),
        (":61:2603020302RC10,00NTRFREF1", -1000, True),
        (":61:2603020302D10,00S05168790452", -1000, False),
        (":61:2603020302DR10,00FMSCNONREF", -1000, False),
    ],
)
def test_the_side_gives_the_sign(line: str, minor: int, reversal: bool) -> None:
    """C and RD are credits, D and RC debits; R after them is the currency's letter, not a reversal."""
    closing = ":62F:C260331EUR110,00" if minor > 0 else ":62F:C260331EUR90,00"
    found = entry(line, closing=closing)
    assert (found.amount_minor, found.reversal) == (minor, reversal)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (":61:2602300302C10,00NTRFREF", errors.DateImpossible),
        (":61:2603021332C10,00NTRFREF", errors.DateImpossible),
        (":61:2603020302C10,001NTRFREF", errors.AmountTooPrecise),
        (":61:2603020302C10.00NTRFREF", errors.FieldMalformed),
        (":61:2603020302X10,00NTRFREF", errors.FieldMalformed),
        (":61:2603020302C1,0,0NTRFREF", errors.FieldMalformed),
        (":61:2603020302C10,00", errors.FieldMalformed),
        (":61:", errors.FieldMalformed),
    ],
)
def test_a_broken_entry_is_refused_with_its_line(line: str, kind: type[errors.StatementRefused]) -> None:
    """The entry is the fifth line of the message."""
    found = refusal(mt940(line))
    assert type(found) is kind
    assert (found.line, found.field) == (5, ":61:")


@pytest.mark.parametrize(
    ("parts", "kind", "field"),
    [
        ({"account": ":21:X"}, errors.FieldMissing, ":25:"),
        ({"opening": ":21:X"}, errors.FieldMisplaced, ":61:"),
        ({"closing": ":21:X"}, errors.FieldMissing, ":62F:"),
        ({"closing": ":62F:C260331USD110,00"}, errors.CurrencyDiffers, ":62F:"),
        ({"closing": ":62F:C260331110,00"}, errors.FieldMalformed, ":62F:"),
        ({"closing": ":62F:C260228EUR110,00"}, errors.DateImpossible, ":62F:"),
        ({"opening": ":60F:C260301XYZ100,00"}, errors.CurrencyUnknown, ":60F:"),
        ({"closing": ":62F:C260331EUR110,01"}, errors.SumDiffers, ":62F:"),
        ({"closing": ":62F:D260331EUR110,00"}, errors.SumDiffers, ":62F:"),
        ({"number": ":28C:one"}, errors.FieldMalformed, ":28C:"),
        ({"number": ":28C:1/1\r\n:28C:2/1"}, errors.FieldMisplaced, ":28C:"),
        ({"opening": ":60F:C260301EUR100,00\r\n:60F:C260301EUR100,00"}, errors.FieldMisplaced, ":60F:"),
        ({"closing": ":62F:C260331EUR110,00\r\n:61:2603020302C10,00NTRFX"}, errors.FieldMisplaced, ":61:"),
        # The floor limit makes it an interim report, which has no balances.
        ({"number": ":34F:EUR0,"}, errors.FieldMisplaced, ":60F:"),
        ({"opening": ":60F:C260301EUR100,00\r\n:34F:EUR0,"}, errors.FieldMisplaced, ":34F:"),
    ],
)
def test_a_field_missing_or_out_of_place_is_refused(
    parts: dict[str, str], kind: type[errors.StatementRefused], field: str
) -> None:
    """Each field of the standard stands where the standard puts it, once."""
    found = refusal(mt940(":61:2603020302C10,00NTRFREF", **parts))
    assert (type(found), found.field) == (kind, field)
    assert found.message
    assert found.advice


@pytest.mark.parametrize(
    ("head", "tail"),
    [
        (b"", b""),
        (b"{1:F01BANKNL2AXXXX0000000000}{2:O9400000}{4:\r\n", b"-}{5:{CHK:0}}"),
        (b"{1:F01BANKNL2AXXXX0000000000}{2:O9400000}{4:", b"-}"),
        (b"ABNANL2A\r\n940\r\nABNANL2A\r\n", b""),
        (b":940:\r\n", b""),
        (b"\x01\r\n", b"-\x03"),
        (b"\xef\xbb\xbf", b""),
        (b"\r\n\r\n", b"-XXX\r\n"),
    ],
)
def test_envelopes_are_passed_over(head: bytes, tail: bytes) -> None:
    """SWIFT blocks, banks' headers, control characters, a byte order mark: the rows are the same."""
    body = mt940(":61:2603020302C10,00NTRFREF", end="")
    plain = read(mt940(":61:2603020302C10,00NTRFREF"))
    wrapped = read(head + body + tail)
    assert [row.digest for row in wrapped if isinstance(row, rows.Statement)] == [
        row.digest for row in plain if isinstance(row, rows.Statement)
    ]


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_every_line_ending_counts_lines_alike(ending: bytes) -> None:
    """Unix, Windows and old Macintosh files give the same rows with the same lines."""
    content = mt940(":61:2603020302C10,00NTRFREF").replace(b"\r\n", ending)
    assert read(content) == read(mt940(":61:2603020302C10,00NTRFREF"))


def test_pages_join_by_intermediate_balances() -> None:
    """62M and 60M carry a statement over two messages."""
    first = mt940(":61:2603020302C10,00NTRFA", closing=":62M:C260331EUR110,00")
    second = mt940(
        ":61:2603020302D5,00NTRFB",
        opening=":60M:C260331EUR110,00",
        closing=":62F:C260331EUR105,00",
        number=":28C:1/2",
    )
    statements = [row for row in read(first + second) if isinstance(row, rows.Statement)]
    assert [(row.number, row.page, row.last_page) for row in statements] == [(1, 1, False), (1, 2, True)]
    third = second.replace(b":28C:1/2", b":28C:1/3")
    assert isinstance(refusal(first + third), errors.PagesDisagree)


def test_a_repeated_message_is_refused() -> None:
    """The same statement twice would be booked twice."""
    message = mt940(":61:2603020302C10,00NTRFREF")
    assert isinstance(refusal(message + message), errors.StatementRepeated)


def test_an_entry_date_takes_the_year_nearest_to_its_value_date() -> None:
    """Booked on 30 December with value of 2 January is of the old year, and the other way round."""
    assert amounts.entry_date("1230", dt.date(2026, 1, 2), line=1, field="") == dt.date(2025, 12, 30)
    assert amounts.entry_date("0102", dt.date(2025, 12, 30), line=1, field="") == dt.date(2026, 1, 2)
    assert amounts.entry_date("0229", dt.date(2024, 3, 1), line=1, field="") == dt.date(2024, 2, 29)


@pytest.mark.parametrize(
    ("subfield", "customer", "servicer"),
    [
        ("REF1//BANK1", "REF1", "BANK1"),
        ("NONREF//BANK1", "", "BANK1"),
        ("NONREF", "", ""),
        ("", "", ""),
        ("0121470966      W.P. Jansen", "0121470966", ""),
        ("NL47INGB999999999999", "NL47INGB999999999999", ""),
        ("29-07-2014 10:05//B4G29", "29-07-2014 10:05", "B4G29"),
    ],
)
def test_references_of_an_entry(subfield: str, customer: str, servicer: str) -> None:
    """Padded, over-long and missing references are each read as the bank means them."""
    found = entry(f":61:2603020302C10,00NTRF{subfield}")
    assert (found.customer_reference, found.servicer_reference) == (customer, servicer)


def test_german_subfields_give_references_and_names() -> None:
    """`?20EREF+` wraps over subfields and lines, and still is one reference."""
    found = entry(
        ":61:2603020302C10,00NTRFNONREF",
        ":86:166?00GUTSCHRIFT?100399?20EREF+TRX-0A4A47C3-F846-4729?21-8A1B-5",
        "DF620F?22SVWZ+Rechnung?23 7?30DRESDEFF508?31DE14508800500194785000?32Ka",
        "rl Kaufmann",
    )
    assert found.end_to_end_id == "TRX-0A4A47C3-F846-4729-8A1B-5DF620F"
    assert found.remittance == "Rechnung 7"
    assert (found.counterparty_name, found.counterparty_account) == (
        "Karl Kaufmann",
        "DE14508800500194785000",
    )


def test_swift_words_give_references_and_names() -> None:
    """`/EREF/…/NAME/…/REMI/…`."""
    told = narrative.read(
        [
            "/TRTP/SEPA OVERBOEKING/IBAN/NL44RABO0123456789/BIC/RABONL2U/NAME/J. Ja",
            "nsen/REMI/FACTUUR 7/EREF/E-77",
        ]
    )
    assert told.end_to_end_id == "E-77"
    assert (told.counterparty_name, told.remittance) == ("J. Jansen", "FACTUUR 7")
    assert told.counterparty_account == "NL44RABO0123456789"


def test_the_other_party_in_one_word() -> None:
    """ING's `/CNTP/account/BIC/name/city/` beside `/REMI/USTD//`."""
    told = narrative.read(
        [
            "/EREF/EV12341REP1231456T1234//CNTP/NL32INGB0000012345/INGBNL2",
            "A/ING BANK N.V. INZAKE WEB///REMI/USTD//EV10001REP/",
        ]
    )
    assert (told.counterparty_name, told.counterparty_account) == (
        "ING BANK N.V. INZAKE WEB",
        "NL32INGB0000012345",
    )
    assert (told.end_to_end_id, told.remittance) == ("EV12341REP1231456T1234", "EV10001REP")


def test_free_text_stays_whole() -> None:
    """What has no dialect is text, and no word of it is lost."""
    assert narrative.read(["Betaling /zonder", "structuur?"]).remittance == "Betaling /zonder structuur?"


def test_a_wrapped_time_inside_a_narrative_is_no_field() -> None:
    """`:26:37` at the start of a line is the tail of a time, not field 26."""
    found = entry(":61:2603020302C10,00NTRFREF", ":86:/REMI/om 2014-09-12T16", ":26:37 betaald")
    assert found.remittance == "om 2014-09-12T16:26:37 betaald"


def test_a_lone_hyphen_inside_a_narrative_does_not_end_the_message() -> None:
    """A message ends after its closing balance."""
    assert len(read(mt940(":61:2603020302C10,00NTRFREF", ":86:a", "-", "b"))) == 2


@pytest.mark.parametrize(
    ("text", "encoding", "told"),
    [
        ("Überweisung Müller für Straße", "cp1252", "cp1252"),
        ("átutalás jóváírás összevont utánvét", "cp852", "cp852"),
        ("王芳 还款 第三期", "gb18030", "gb18030"),
        ("Přijatá platba žluťoučký", "utf-8", "utf-8"),
        ("plain", "us-ascii", "us-ascii"),
    ],
)
def test_the_encoding_is_found_and_stated(text: str, encoding: str, told: str) -> None:
    """The same bytes always give the same encoding, and the right text."""
    content = mt940(":61:2603020302C10,00NTRFREF", ":86:@@").replace(b"@@", text.encode(encoding))
    opened = file.reader(io.BytesIO(content))
    found = next(iter(opened.read()))
    assert isinstance(found, rows.Entry)
    assert opened.encoding == told
    assert found.remittance == text


def test_a_named_encoding_that_does_not_hold_is_refused() -> None:
    """Text that cannot be read is not guessed at."""
    content = mt940(":61:2603020302C10,00NTRFREF", ":86:@@").replace(b"@@", b"\xff\xfe")
    with pytest.raises(errors.UnreadableText):
        list(file.reader(io.BytesIO(content), encoding="utf-8").read())


@pytest.mark.parametrize(
    ("account", "told", "iban"),
    [
        (":25:NL91ABNA0417164300", "NL91ABNA0417164300", True),
        (":25:NL91 ABNA 0417 1643 00", "NL91ABNA0417164300", True),
        (":25:ABNANL2A/NL91ABNA0417164300EUR", "NL91ABNA0417164300", True),
        (":25:45050050/76198810", "45050050/76198810", False),
        (":25P:12345", "12345", False),
    ],
)
def test_the_account_is_its_iban_where_there_is_one(account: str, told: str, iban: bool) -> None:
    """Check digits decide, not the look."""
    statement = read(mt940(":61:2603020302C10,00NTRFREF", account=account))[-1]
    assert isinstance(statement, rows.Statement)
    assert (statement.account, statement.account_is_iban) == (told, iban)

"""camt.053: what each element means for the money, and what breaks a file."""

from __future__ import annotations

import datetime as dt
import io

import pytest

from tallystick.custody.statements import errors, file, rows
from tests.custody.statement_samples import camt, camt_balance, camt_entry, camt_statement


def read(content: bytes) -> list[rows.Entry | rows.Statement]:
    return list(file.reader(io.BytesIO(content)).read())


def one(content: bytes) -> tuple[list[rows.Entry], rows.Statement]:
    """The entries and the statement of a file that has one."""
    found = read(content)
    statement = found[-1]
    assert isinstance(statement, rows.Statement)
    return [row for row in found[:-1] if isinstance(row, rows.Entry)], statement


def refusal(content: bytes) -> errors.StatementRefused:
    with pytest.raises(errors.StatementRefused) as caught:
        read(content)
    return caught.value


@pytest.mark.parametrize("version", range(2, 15))
def test_each_version_is_read(version: int) -> None:
    """Versions 02 to 14 give the same rows."""
    namespace = f"urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version:02}"
    entries, statement = one(camt(camt_statement(camt_entry()), namespace=namespace))
    assert [entry.amount_minor for entry in entries] == [1000]
    assert (statement.opening_minor, statement.closing_minor) == (10_000, 11_000)


@pytest.mark.parametrize("version", ["01", "15", "99"])
def test_an_unknown_version_is_refused_not_guessed(version: str) -> None:
    """A version that nobody has read here may mean other things by the same names."""
    namespace = f"urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}"
    assert isinstance(refusal(camt(camt_statement(), namespace=namespace)), errors.UnsupportedVersion)


def test_a_file_without_namespace_is_read_and_said_so() -> None:
    """Some banks leave the namespace out: the file is read, the departure noted."""
    opened = file.reader(io.BytesIO(camt(camt_statement(camt_entry()), namespace="")))
    assert len(list(opened.read())) == 2
    assert [note.code for note in opened.notes] == ["no_version"]


def test_a_business_envelope_around_the_document_is_passed_over() -> None:
    """SWIFT and Swiss networks wrap the document with an application header."""
    inner = camt(camt_statement(camt_entry())).decode().removeprefix('<?xml version="1.0"?>')
    content = f'<?xml version="1.0"?><Env xmlns="urn:x"><AppHdr xmlns="urn:h"><Id/></AppHdr>{inner}</Env>'
    assert len(read(content.encode())) == 2


def test_a_batch_is_booked_once_with_its_details() -> None:
    """One `Ntry` of 30.00 with three transactions moves the account by 30.00, once."""
    details = "".join(
        f'<TxDtls><Refs><EndToEndId>E{n}</EndToEndId></Refs><Amt Ccy="EUR">10.00</Amt></TxDtls>'
        for n in range(3)
    )
    entries, statement = one(
        camt(
            camt_statement(
                camt_entry("30.00", details=f"<Btch><PmtInfId>B1</PmtInfId></Btch>{details}"),
                closing="130.00",
            )
        )
    )
    assert statement.entries == len(entries) == 1
    (entry,) = entries
    assert entry.amount_minor == 3000
    assert [detail.amount_minor for detail in entry.details] == [1000, 1000, 1000]
    assert [detail.end_to_end_id for detail in entry.details] == ["E0", "E1", "E2"]
    assert entry.references == ("B1",)


def test_details_that_do_not_add_up_to_their_batch_are_noted() -> None:
    """The entry is what the bank booked; its explanation may leave charges out, and that is told."""
    details = '<TxDtls><Amt Ccy="EUR">9.00</Amt></TxDtls><TxDtls><Amt Ccy="EUR">0.50</Amt></TxDtls>'
    opened = file.reader(io.BytesIO(camt(camt_statement(camt_entry(details=details)))))
    list(opened.read())
    assert [note.code for note in opened.notes] == ["details_differ"]


def test_a_reversal_goes_the_way_its_side_says() -> None:
    """`RvslInd` marks an entry that takes back another; `CdtDbtInd` alone gives the sign."""
    entries, _ = one(
        camt(
            camt_statement(
                camt_entry("10.00", "DBIT", more="<RvslInd>true</RvslInd>"), opening="100", closing="90"
            )
        )
    )
    assert (entries[0].amount_minor, entries[0].reversal) == (-1000, True)


def test_only_booked_entries_count() -> None:
    """Pending and informational entries are passed over, counted apart and noted."""
    opened = file.reader(
        io.BytesIO(
            camt(
                camt_statement(
                    camt_entry(),
                    camt_entry("5.00", status="<Sts>PDNG</Sts>"),
                    camt_entry("7.00", status="<Sts>INFO</Sts>"),
                )
            )
        )
    )
    statement = list(opened.read())[-1]
    assert isinstance(statement, rows.Statement)
    assert (statement.entries, statement.not_booked) == (1, 2)
    assert [note.code for note in opened.notes] == ["not_booked", "not_booked"]


@pytest.mark.parametrize(
    ("currency", "amount", "minor"),
    [
        ("JPY", "10", 10),
        ("JPY", "10.00", 10),
        ("BHD", "10.125", 10_125),
        ("KWD", "0.001", 1),
        ("EUR", "10.10000", 1010),
        ("EUR", "+10.1", 1010),
        ("EUR", ".5", 50),
        ("CLF", "1.2345", 12_345),
        ("CNY", "999999999999999.99", 99_999_999_999_999_999),
    ],
)
def test_amounts_are_minor_units_by_iso_4217(currency: str, amount: str, minor: int) -> None:
    """Scale 0, 2, 3 and 4; decimals beyond the scale may be there if they are zeros."""
    balances = camt_balance("OPBD", "0", "2026-03-01", currency=currency) + camt_balance(
        "CLBD", amount, "2026-03-31", currency=currency
    )
    entries, _ = one(camt(camt_statement(camt_entry(amount, currency=currency), balances=balances)))
    assert entries[0].amount_minor == minor


@pytest.mark.parametrize(
    ("currency", "amount", "kind"),
    [
        ("EUR", "10.001", errors.AmountTooPrecise),
        ("JPY", "10.50", errors.AmountTooPrecise),
        ("BHD", "0.0001", errors.AmountTooPrecise),
        ("EUR", "10,00", errors.AmountMalformed),
        ("EUR", "-10.00", errors.AmountMalformed),
        ("EUR", "1e3", errors.AmountMalformed),
        ("EUR", "1 000.00", errors.AmountMalformed),
        ("EUR", "１０.00", errors.AmountMalformed),
        ("EUR", "", errors.AmountMalformed),
        ("EUR", ".", errors.AmountMalformed),
        ("EUR", "NaN", errors.AmountMalformed),
        ("EUR", "99999999999999999.99", errors.AmountMalformed),
        ("XYZ", "10.00", errors.CurrencyUnknown),
    ],
)
def test_an_amount_that_cannot_be_booked_is_refused(
    currency: str, amount: str, kind: type[errors.StatementRefused]
) -> None:
    """The refusal names the line of the amount."""
    balances = camt_balance("OPBD", "0", "2026-03-01", currency=currency)
    found = refusal(camt(camt_statement(camt_entry(amount, currency=currency), balances=balances)))
    assert type(found) is kind
    # The balance names the currency first, the entry the amount.
    assert found.line == (5 if kind is errors.CurrencyUnknown else 6)


def test_a_sum_off_by_one_minor_unit_is_refused_with_the_difference() -> None:
    """Opening plus entries is closing, to the cent."""
    found = refusal(camt(camt_statement(camt_entry("10.00"), closing="110.01")))
    assert isinstance(found, errors.SumDiffers)
    assert (found.difference_minor, found.line) == (1, 6)


def test_an_entry_in_another_currency_is_refused() -> None:
    """A statement has one currency."""
    assert isinstance(refusal(camt(camt_statement(camt_entry(currency="USD")))), errors.CurrencyDiffers)


@pytest.mark.parametrize(
    "day", ["2026-02-30", "2026-13-01", "20260301", "2026-3-1", "yesterday", "2026-03-01X"]
)
def test_a_day_no_calendar_has_is_refused(day: str) -> None:
    """A date is a day of the calendar, written the one way the standard has."""
    found = refusal(camt(camt_statement(camt_entry(dates=f"<BookgDt><Dt>{day}</Dt></BookgDt>"))))
    assert isinstance(found, errors.DateImpossible)


def test_a_date_time_gives_the_banks_own_day() -> None:
    """Half past midnight at the bank is its new day, though Greenwich still has the old one."""
    dates = "<BookgDt><DtTm>2026-03-02T00:30:00.000+01:00</DtTm></BookgDt>"
    entries, _ = one(camt(camt_statement(camt_entry(dates=dates))))
    assert entries[0].booking_date == entries[0].value_date == dt.date(2026, 3, 2)


def test_pages_open_and_close_with_interim_balances() -> None:
    """ITBD closes a page that opens with OPBD, and opens one that closes with CLBD."""
    first = camt_balance("OPBD", "100.00", "2026-03-01") + camt_balance("ITBD", "110.00", "2026-03-31")
    second = camt_balance("ITBD", "110.00", "2026-03-31") + camt_balance("CLBD", "105.00", "2026-03-31")
    page = "<StmtPgntn><PgNb>{}</PgNb><LastPgInd>{}</LastPgInd></StmtPgntn>"
    found = read(
        camt(
            camt_statement(camt_entry(), balances=first, more=page.format(1, "false")),
            camt_statement(camt_entry("5.00", "DBIT"), balances=second, more=page.format(2, "true")),
        )
    )
    statements = [row for row in found if isinstance(row, rows.Statement)]
    assert [(row.page, row.last_page, row.opening_minor, row.closing_minor) for row in statements] == [
        (1, False, 10_000, 11_000),
        (2, True, 11_000, 10_500),
    ]


def test_a_page_that_does_not_join_the_one_before_is_refused() -> None:
    """Page 3 after page 1 leaves money out, even where each page adds up."""
    page = "<StmtPgntn><PgNb>{}</PgNb><LastPgInd>{}</LastPgInd></StmtPgntn>"
    found = refusal(
        camt(
            camt_statement(camt_entry(), more=page.format(1, "false")),
            camt_statement(camt_entry(), more=page.format(3, "true"), opening="110", closing="120"),
        )
    )
    assert isinstance(found, errors.PagesDisagree)


def test_the_same_statement_twice_in_a_file_is_refused() -> None:
    """It would be booked twice."""
    statement = camt_statement(camt_entry())
    found = refusal(camt(statement, statement))
    assert isinstance(found, errors.StatementRepeated)
    assert found.fields["first"] == 3


def test_a_gap_in_numbers_and_balances_is_noted() -> None:
    """Statement 4 after statement 1 is read; the gap is told."""
    opened = file.reader(
        io.BytesIO(
            camt(
                camt_statement(camt_entry(), number=1),
                camt_statement(camt_entry("9.00"), number=4, opening="200", closing="209"),
            )
        )
    )
    list(opened.read())
    assert [note.code for note in opened.notes] == ["number_gap", "balance_gap"]


def test_a_summary_that_contradicts_the_entries_is_refused() -> None:
    """Where the bank gives its own totals they hold, too."""
    summary = "<TxsSummry><TtlNtries><NbOfNtries>2</NbOfNtries></TtlNtries></TxsSummry>"
    found = refusal(camt(camt_statement(camt_entry(), more=summary)))
    assert isinstance(found, errors.SummaryDiffers)


def test_without_balances_the_sum_is_absent_not_ok() -> None:
    """A statement that gives no balances parses, and says that nothing was checked."""
    judged = file.judge(io.BytesIO(camt(camt_statement(camt_entry(), balances=""))))
    assert (judged.status, judged.sum_check) == ("ok", "absent")


def test_two_opening_balances_that_differ_are_refused() -> None:
    """Which of the two holds is not ours to choose."""
    balances = "".join(
        camt_balance(code, amount, "2026-03-01")
        for code, amount in (("OPBD", "100"), ("OPBD", "101"), ("CLBD", "110"))
    )
    assert isinstance(refusal(camt(camt_statement(camt_entry(), balances=balances))), errors.BalancesDisagree)


def test_the_other_party_of_a_credit_is_its_debtor() -> None:
    """Names, accounts, references and remittance text are found under the paths of old and new versions."""
    details = (
        "<TxDtls><Refs><InstrId>I1</InstrId><EndToEndId>E1</EndToEndId><TxId>T1</TxId></Refs>"
        "<RltdPties><Dbtr><Pty><Nm>王芳</Nm></Pty></Dbtr><DbtrAcct><Id><IBAN>DE89 3704</IBAN></Id></DbtrAcct>"
        "<Cdtr><Nm>Platform</Nm></Cdtr></RltdPties>"
        "<RmtInf><Ustrd>order</Ustrd><Ustrd>  7 </Ustrd>"
        "<Strd><CdtrRefInf><Ref>RF18</Ref></CdtrRefInf></Strd></RmtInf></TxDtls>"
    )
    entries, _ = one(camt(camt_statement(camt_entry(details=details))))
    entry = entries[0]
    assert (entry.counterparty_name, entry.counterparty_account) == ("王芳", "DE893704")
    assert entry.references == ("E1", "I1", "T1")
    assert entry.remittance == "order 7 RF18"


def test_words_for_no_reference_are_no_reference() -> None:
    """NOTPROVIDED identifies nothing, and must never match another NOTPROVIDED."""
    details = "<TxDtls><Refs><EndToEndId>NOTPROVIDED</EndToEndId></Refs></TxDtls>"
    entries, _ = one(camt(camt_statement(camt_entry(details=details))))
    assert entries[0].references == ()


def test_elements_of_another_namespace_are_passed_over() -> None:
    """Supplementary data may hold anything, an `Ntry` among it: it is not the bank's."""
    foreign = '<SplmtryData xmlns="urn:other"><Ntry><Amt Ccy="EUR">9</Amt></Ntry></SplmtryData>'
    entries, _ = one(camt(camt_statement(camt_entry(), more=foreign)))
    assert len(entries) == 1


@pytest.mark.parametrize("encoding", ["gb18030", "gbk", "windows-1252", "iso-8859-15", "utf-16", "big5"])
def test_declared_encodings_are_read(encoding: str) -> None:
    """Chinese and European banks' encodings, those that XML parsers know and those they do not."""
    name = "Müller" if "125" in encoding or "8859" in encoding else "王芳"
    details = f"<TxDtls><RltdPties><Dbtr><Nm>{name}</Nm></Dbtr></RltdPties></TxDtls>"
    text = camt(
        camt_statement(camt_entry(details=details)), head=f'<?xml version="1.0" encoding="{encoding}"?>'
    ).decode()
    entries, _ = one(text.encode(encoding))
    assert entries[0].counterparty_name == name


def test_lines_count_blank_lines_before_the_declaration() -> None:
    """A refusal names the line an editor shows."""
    content = camt(camt_statement(camt_entry("x")))
    assert refusal(b"\n\n" + content).line == refusal(content).line + 2

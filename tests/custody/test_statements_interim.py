"""Interim reports and notifications, camt.052, camt.054 and MT942: no period to add up, but sums of their own."""

from __future__ import annotations

import datetime as dt
import io

import pytest

from tallystick.custody.statements import errors, file, rows
from tests.custody.statement_samples import CORPUS, camt_balance, camt_entry

ACCOUNT = "<Acct><Id><IBAN>NL91ABNA0417164300</IBAN></Id><Ccy>EUR</Ccy></Acct>"
PENDING = "<Sts><Cd>PDNG</Cd></Sts>"


def message(name: str, *parts: str, version: str = "08") -> bytes:
    """A camt.052 or camt.054 of one report, each part on its own line."""
    root, part = {
        "camt.052": ("BkToCstmrAcctRpt", "Rpt"),
        "camt.054": ("BkToCstmrDbtCdtNtfctn", "Ntfctn"),
    }[name]
    namespace = f"urn:iso:std:iso:20022:tech:xsd:{name}.001.{version}"
    return "\n".join(
        (
            f'<Document xmlns="{namespace}"><{root}><GrpHdr><CreDtTm>2026-03-02T12:00:00</CreDtTm></GrpHdr>',
            f"<{part}><Id>N1</Id>",
            *parts,
            f"</{part}></{root}></Document>",
        )
    ).encode()


def mt942(*lines: str, floor: str = ":34F:EUR0,", totals: tuple[str, ...] = (":90C:1EUR10,00",)) -> bytes:
    head = (":20:REF", ":25:NL91ABNA0417164300", ":28C:7/1", floor, ":13D:2603021215+0100")
    return "\r\n".join((*head, *lines, *totals, "-", "")).encode()


def read(content: bytes) -> tuple[list[rows.Entry], rows.Statement]:
    found = list(file.reader(io.BytesIO(content)).read())
    entries = [row for row in found if isinstance(row, rows.Entry)]
    (statement,) = [row for row in found if isinstance(row, rows.Statement)]
    return entries, statement


def refusal(content: bytes) -> errors.StatementRefused:
    found = file.judge(io.BytesIO(content)).refusal
    assert isinstance(found, errors.StatementRefused)
    return found


@pytest.mark.parametrize("version", range(2, 15))
@pytest.mark.parametrize(("name", "kind"), [("camt.052", "interim"), ("camt.054", "notification")])
def test_every_version_is_read(name: str, kind: str, version: int) -> None:
    """Versions 02 to 14 of both messages; without balances there is nothing to add up, and that is said."""
    judged = file.judge(io.BytesIO(message(name, ACCOUNT, camt_entry(), version=f"{version:02}")))
    assert (judged.status, judged.format_name) == ("ok", f"{name}.001.{version:02}")
    assert (judged.entries, judged.sum_check, judged.statements[0].kind) == (1, "absent", kind)


@pytest.mark.parametrize("version", ["01", "15"])
def test_other_versions_are_refused(version: str) -> None:
    """A version nobody read the standard of is not guessed at."""
    assert isinstance(refusal(message("camt.052", ACCOUNT, version=version)), errors.UnsupportedVersion)


def test_a_root_that_is_another_message_than_its_namespace_is_refused() -> None:
    """The file says two things of itself."""
    content = message("camt.052", ACCOUNT, camt_entry()).replace(b"camt.052", b"camt.054")
    assert isinstance(refusal(content), errors.FieldMisplaced)


@pytest.mark.parametrize(
    ("balances", "period", "sum_check"),
    [
        (("OPBD", "100", "ITBD", "110"), "", "ok"),
        (("PRCD", "100", "CLBD", "110"), "", "ok"),
        (("ITBD", "100", "ITBD", "110"), "", "ok"),
        (("OPBD", "100", "ITBD", "111"), "", 100),
        (("ITBD", "100", "ITBD", "111"), "", 100),
        # Since midnight: everything of the day is here, so it must add up.
        (("OPBD", "100", "ITBD", "111"), "2026-03-02T00:00:00", 100),
        # Since ten: the balance of the day is of more than these entries.
        (("OPBD", "100", "ITBD", "111"), "2026-03-02T10:00:00", "absent"),
        (("PRCD", "100", "ITBD", "111"), "", "absent"),
        (("OPBD", "100", "CLBD", "111"), "2026-03-02T10:00:00", 100),
    ],
)
def test_an_interim_report_adds_up_where_it_tells_the_whole(
    balances: tuple[str, str, str, str], period: str, sum_check: str | int
) -> None:
    """Between two balances of the same time the entries must fit; a part of a day is not held to the whole."""
    told = [camt_balance(balances[at], balances[at + 1], "2026-03-02") for at in (0, 2)]
    frame = (
        f"<FrToDt><FrDtTm>{period}</FrDtTm><ToDtTm>2026-03-02T12:00:00</ToDtTm></FrToDt>" if period else ""
    )
    judged = file.judge(io.BytesIO(message("camt.052", frame, ACCOUNT, *told, camt_entry())))
    assert judged.sum_check == sum_check
    assert (judged.status == "refused") == isinstance(sum_check, int)


def test_pending_entries_are_told_and_not_counted() -> None:
    """What is not booked is no money: it is in no sum, and the file says how many there are."""
    told = [camt_balance("OPBD", "100", "2026-03-02"), camt_balance("ITBD", "110", "2026-03-02")]
    content = message("camt.052", ACCOUNT, *told, camt_entry("7.00", status=PENDING), camt_entry())
    judged = file.judge(io.BytesIO(content))
    assert (judged.sum_check, judged.entries, judged.not_booked) == ("ok", 1, 1)


def test_a_pending_entry_must_be_sound_too() -> None:
    """An amount in another currency than the account's makes the file unclear, booked or not."""
    content = message("camt.052", ACCOUNT, camt_entry(currency="SEK", status=PENDING))
    assert isinstance(refusal(content), errors.CurrencyDiffers)


@pytest.mark.parametrize(
    ("summary", "sound"),
    [
        ("<TtlNtries><NbOfNtries>2</NbOfNtries><Sum>17</Sum></TtlNtries>", True),
        ("<TtlNtries><NbOfNtries>1</NbOfNtries><Sum>10</Sum></TtlNtries>", True),
        ("<TtlNtries><NbOfNtries>3</NbOfNtries></TtlNtries>", False),
        ("<TtlNtries><Sum>18</Sum></TtlNtries>", False),
        ("<TtlCdtNtries><NbOfNtries>1</NbOfNtries><Sum>10</Sum></TtlCdtNtries>", True),
        ("<TtlDbtNtries><NbOfNtries>1</NbOfNtries><Sum>7</Sum></TtlDbtNtries>", True),
        ("<TtlDbtNtries><Sum>6</Sum></TtlDbtNtries>", False),
        ("<TtlNtries><TtlNetNtryAmt>3</TtlNetNtryAmt><CdtDbtInd>CRDT</CdtDbtInd></TtlNtries>", True),
        ("<TtlNtries><TtlNetNtryAmt>3</TtlNetNtryAmt><CdtDbtInd>DBIT</CdtDbtInd></TtlNtries>", False),
        (
            "<TtlNtries><TtlNetNtry><Amt>3</Amt><CdtDbtInd>CRDT</CdtDbtInd></TtlNetNtry></TtlNtries>",
            True,
        ),
        ("<TtlNtries><TtlNetNtry><Amt>4</Amt></TtlNetNtry></TtlNtries>", False),
    ],
)
def test_the_banks_own_summary_agrees(summary: str, sound: bool) -> None:
    """Counts and sums over all entries, or over the booked ones, or the file is refused."""
    entries = (camt_entry(), camt_entry("7", "DBIT", status=PENDING))
    content = message("camt.054", ACCOUNT, f"<TxsSummry>{summary}</TxsSummry>", *entries)
    found = file.judge(io.BytesIO(content))
    assert (found.status == "ok") == sound, found.reason
    if not sound:
        assert isinstance(found.refusal, errors.SummaryDiffers)
        assert found.refusal.line == 4


def test_an_entry_without_a_date_has_that_of_its_message() -> None:
    """A notification may leave both dates out: the day it was made is taken, and said."""
    content = message("camt.054", ACCOUNT, camt_entry(dates=""))
    (entry,), statement = read(content)
    assert entry.booking_date == statement.to_date == dt.date(2026, 3, 2)
    assert [each.code for each in file.judge(io.BytesIO(content)).notes] == ["no_entry_date"]


@pytest.mark.parametrize(
    ("batch", "noted"),
    [
        ("<Btch><NbOfTxs>2</NbOfTxs><TtlAmt Ccy='EUR'>10</TtlAmt></Btch>", []),
        ("<Btch><NbOfTxs>3</NbOfTxs></Btch>", ["batch_counts"]),
        ("<Btch><TtlAmt Ccy='EUR'>11</TtlAmt></Btch>", ["batch_differs"]),
        ("<Btch><TtlAmt Ccy='USD'>11</TtlAmt></Btch>", []),
    ],
)
def test_what_a_batch_says_of_itself_is_compared(batch: str, noted: list[str]) -> None:
    """The entry is booked as it stands; where its batch says otherwise, that is noted."""
    details = batch + "".join(f'<TxDtls><Amt Ccy="EUR">{amount}</Amt></TxDtls>' for amount in ("4", "6"))
    judged = file.judge(io.BytesIO(message("camt.054", ACCOUNT, camt_entry(details=details))))
    assert [each.code for each in judged.notes] == noted


def test_equal_notifications_with_names_of_their_own_are_two() -> None:
    """Two equal payments are told of by two notifications; only the same one again is a repeat."""
    one = message("camt.054", ACCOUNT, camt_entry()).decode()
    start, end = one.index("<Ntfctn>"), one.index("</BkToCstmrDbtCdtNtfctn>")
    part = one[start:end]
    two = one[:end] + part.replace("N1", "N2") + one[end:]
    same = one[:end] + "\n" + part + one[end:]
    assert len(file.judge(io.BytesIO(two.encode())).statements) == 2
    assert isinstance(refusal(same.encode()), errors.StatementRepeated)


def test_mt942_is_read_with_its_totals() -> None:
    """Debits and credits agree with :90D: and :90C: in number and sum; the day is that of :13D:."""
    content = mt942(
        ":61:2603020302D4,50NTRFNONREF//B1",
        ":86:166?00X?20EREF+E-1?32JAN",
        ":61:260302RD1,00NTRFREF",
        ":61:260302C10,NTRFREF2",
        totals=(":90D:1EUR4,50", ":90C:2EUR11,00"),
    )
    entries, statement = read(content)
    assert [entry.amount_minor for entry in entries] == [-450, 100, 1_000]
    assert entries[0].end_to_end_id == "E-1"
    assert (statement.kind, statement.number, statement.to_date) == ("interim", 7, dt.date(2026, 3, 2))
    assert (statement.opening_minor, statement.sum_check) == (None, "absent")
    assert file.judge(io.BytesIO(content)).format_name == "mt942"


@pytest.mark.parametrize(
    ("changed", "kind", "field"),
    [
        ({"totals": (":90C:2EUR10,00",)}, errors.SummaryDiffers, ":90C:"),
        ({"totals": (":90C:1EUR10,01",)}, errors.SummaryDiffers, ":90C:"),
        ({"totals": (":90D:1EUR10,00",)}, errors.SummaryDiffers, ":90D:"),
        ({"totals": (":90C:1USD10,00",)}, errors.CurrencyDiffers, ":90C:"),
        ({"totals": (":90C:EUR10,00",)}, errors.FieldMalformed, ":90C:"),
        ({"floor": ":34F:0,"}, errors.FieldMalformed, ":34F:"),
        ({"floor": ":34F:EURD0,\r\n:34F:USDC0,"}, errors.CurrencyDiffers, ":34F:"),
        ({"floor": ""}, errors.FieldMisplaced, ":61:"),
        ({"totals": (":62F:C260302EUR10,",)}, errors.FieldMisplaced, ":62F:"),
    ],
)
def test_a_broken_mt942_is_refused(
    changed: dict[str, str], kind: type[errors.StatementRefused], field: str
) -> None:
    """Its currency is one, its totals are those of its entries, its fields are its own."""
    found = refusal(mt942(":61:260302C10,00NTRFREF", **changed))  # type: ignore[arg-type] # as a table
    assert (type(found), found.field) == (kind, field)


@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no statement corpus at {CORPUS}: set TALLYSTICK_DATA")
def test_a_real_credit_notification_tells_its_payments() -> None:
    """PostFinance's collective credit: one entry of 1537.00, five payments that make it."""
    name = "200519_camt054-ESR-ASR_P_CH2909000000250094239_1110092704_0_2019042500372179.xml"
    entries, _ = read((CORPUS / "iso20022-moov/test/testdata" / name).read_bytes())
    assert [entry.amount_minor for entry in entries] == [153_700, -14_700]
    assert [detail.amount_minor for detail in entries[0].details] == [25_000, 20_000, 30_000, 32_400, 46_300]

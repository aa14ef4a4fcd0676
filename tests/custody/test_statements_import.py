"""Importing statement files: whole or not at all, each once, the bytes kept, on real PostgreSQL."""

from __future__ import annotations

import io
from datetime import timedelta

import psycopg
import pytest
from django.db import connections

from tallystick.core.db import Db
from tallystick.core.postgres import Role as DatabaseRole
from tallystick.custody import accounts, errors, statement_files, statement_writing
from tallystick.custody.numbers import AccountNumber, Family
from tallystick.custody.statements import errors as reading
from tallystick.evidence import log
from tallystick.identity.errors import AccessDenied
from tests.custody import cast
from tests.custody.statement_samples import camt, camt_entry, camt_statement, mt940
from tests.plugin_postgres import TestDatabase

DB = cast.DB
IBAN = "NL91ABNA0417164300"
SOUND = camt(camt_statement(camt_entry()))


@pytest.fixture
def bank(ledger_database: TestDatabase) -> AccountNumber:
    """The control account of a bank account in euro."""
    cast.opened()
    return _control_account(IBAN, "Bank in euro")


def _control_account(reference: str, name: str, family: Family = Family.EXTERNAL) -> AccountNumber:
    return accounts.open_account(
        DB,
        cast.BOOK,
        family,
        "EUR",
        owner="C-X" if family == Family.CLIENT else "",
        name=name,
        reference=reference,
        actor=cast.SIMULATION,
        now=cast.OPENED,
    )


def load(content: bytes, bank: int, name: str = "march.xml") -> statement_files.Imported:
    return statement_files.import_bytes(
        DB, name, content, bank_account=bank, actor=cast.OPERATIONS, now=cast.NOW
    )


def counts() -> tuple[int, int, int]:
    """Files, statements and lines held."""
    with connections[DB].cursor() as cursor:
        cursor.execute(
            "select (select count(*) from custody_statement_file), (select count(*) from custody_statement),"
            " (select count(*) from custody_statement_line)"
        )
        return cursor.fetchone()


def test_a_file_is_imported_with_its_bytes_lines_and_evidence(bank: AccountNumber) -> None:
    """Its rows say the file and line they come from; its bytes come back the same; one event tells of it."""
    found = load(SOUND, bank)
    assert (found.repeated, found.statements, found.entries) == (False, 1, 1)
    assert b"".join(statement_files.content(DB, found.file)) == SOUND
    (held,) = statement_files.statements(DB, bank)
    assert (held.opening_minor, held.closing_minor, held.account) == (10_000, 11_000, IBAN)
    (line,) = statement_files.lines(DB, [held.id])
    assert (line.amount_minor, line.file, line.line) == (1_000, found.file, 7)
    (event,) = log.events(DB, kind="custody.statement_imported")
    assert event.payload is not None
    assert event.payload["sha256"] == found.sha256.hex()
    assert event.actor == cast.OPERATIONS.id
    file = statement_files.file(DB, found.file)
    assert (file.name, file.size_bytes, file.format_name) == ("march.xml", len(SOUND), "camt.053.001.08")


def test_a_batch_is_one_line_with_its_details(bank: AccountNumber) -> None:
    """The transactions of a batch are kept beside the line, and never booked."""
    details = "".join(
        f'<TxDtls><Refs><EndToEndId>E{n}</EndToEndId></Refs><Amt Ccy="EUR">5</Amt></TxDtls>' for n in (1, 2)
    )
    load(camt(camt_statement(camt_entry(details=details))), bank)
    with connections[DB].cursor() as cursor:
        cursor.execute("select amount_minor, details->1->>'end_to_end_id' from custody_statement_line")
        assert cursor.fetchall() == [(1_000, "E2")]


def test_the_same_bytes_give_the_first_result_and_change_nothing(bank: AccountNumber) -> None:
    """Sent twice, under any name, a file is taken once."""
    first = load(SOUND, bank)
    again = load(SOUND, bank, "other-name.xml")
    assert (again.repeated, again.file, again.statements, again.entries) == (True, first.file, 1, 1)
    assert counts() == (1, 1, 1)
    assert len(log.events(DB, kind="custody.statement_imported")) == 1


def test_a_statement_in_another_file_is_recognised(bank: AccountNumber) -> None:
    """A file with an old statement and a new one adds the new one's lines alone."""
    first = camt_statement(camt_entry())
    second = camt_statement(camt_entry("5.00"), number=2, identification="S2", opening="110", closing="115")
    load(camt(first), bank)
    found = load(camt(first, second), bank)
    assert (found.statements, found.statements_known, found.entries) == (1, 1, 1)
    assert [note.code for note in found.notes] == ["statement_known"]
    assert counts() == (2, 2, 2)


def test_the_same_statement_from_another_format_detail_is_the_same(bank: AccountNumber) -> None:
    """White space and another version of the message do not make it another statement."""
    load(SOUND, bank)
    other = camt(camt_statement(camt_entry()), namespace="urn:iso:std:iso:20022:tech:xsd:camt.053.001.10")
    assert load(other.replace(b"\n", b"\n\n"), bank).statements_known == 1


def test_a_statement_that_now_says_something_else_is_refused(bank: AccountNumber) -> None:
    """The same name with other content: which holds is the bank's to say."""
    load(SOUND, bank)
    changed = camt(camt_statement(camt_entry("4"), camt_entry("6")))
    with pytest.raises(errors.StatementConflict):
        load(changed, bank)
    assert counts() == (1, 1, 1)


def test_a_gap_is_told(bank: AccountNumber) -> None:
    """Statement 4 after statement 1, opening with another balance: imported, and said."""
    load(SOUND, bank)
    later = camt_statement(camt_entry("9"), number=4, identification="S4", opening="200", closing="209")
    found = load(camt(later), bank)
    assert {note.code for note in found.notes} == {"number_gap", "balance_gap"}


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (camt(camt_statement(camt_entry(), closing="111")), reading.SumDiffers),
        (
            camt(camt_statement(camt_entry()), camt_statement(camt_entry("x"), number=2)),
            reading.AmountMalformed,
        ),
        (camt(camt_statement(camt_entry(), balances="")), errors.BalancesMissing),
        (
            camt(camt_statement(camt_entry(currency="USD"), currency="USD")),
            errors.CurrencyNotOfAccount,
        ),
        (
            camt(camt_statement(camt_entry(), account="<IBAN>DE89370400440532013000</IBAN>")),
            errors.AccountNotOfStatement,
        ),
        (
            camt(
                camt_statement(camt_entry()),
                camt_statement(camt_entry(), account="<IBAN>DE89370400440532013000</IBAN>"),
            ),
            errors.StatementFileMixed,
        ),
        (b"a,b\n1,2\n", reading.NotAStatement),
        (SOUND[:-30], reading.BrokenXml),
    ],
)
def test_a_refused_file_leaves_nothing(bank: AccountNumber, content: bytes, kind: type[Exception]) -> None:
    """All or nothing: not a file, not a statement, not a line, not an event."""
    with pytest.raises(kind):
        load(content, bank)
    assert counts() == (0, 0, 0)
    assert log.events(DB, kind="custody.statement_imported") == []


def test_a_refusal_can_be_recorded_by_hash_and_line(bank: AccountNumber) -> None:
    """The evidence then names the bytes and the fault, and nothing of what they say."""
    content = camt(camt_statement(camt_entry(), closing="111"))
    with pytest.raises(reading.SumDiffers) as caught:
        load(content, bank)
    statement_files.record_refusal(DB, io.BytesIO(content), caught.value, actor=cast.OPERATIONS, now=cast.NOW)
    (event,) = log.events(DB, kind="custody.statement_refused")
    assert event.payload is not None
    assert (event.payload["code"], event.payload["line"]) == ("sum_differs", 6)


def test_the_control_account_is_found_by_the_banks_number(bank: AccountNumber) -> None:
    """Without an account named, the one whose reference is the statement's IBAN is taken."""
    found = statement_files.import_file(
        DB, "x", io.BytesIO(SOUND), bank_account=None, book=cast.BOOK, actor=cast.OPERATIONS, now=cast.NOW
    )
    assert found.bank_account == bank
    stranger = camt(camt_statement(camt_entry(), account="<IBAN>DE89370400440532013000</IBAN>"))
    with pytest.raises(errors.ControlAccountUnknown):
        statement_files.import_file(
            DB,
            "x",
            io.BytesIO(stranger),
            bank_account=None,
            book=cast.BOOK,
            actor=cast.OPERATIONS,
            now=cast.NOW,
        )


def test_only_external_accounts_have_statements(bank: AccountNumber) -> None:
    """A client's account is not a bank's."""
    client = _control_account("client", "A client", Family.CLIENT)
    with pytest.raises(errors.NotAControlAccount):
        load(SOUND, client)


def test_two_control_accounts_cannot_share_a_bank_account(bank: AccountNumber) -> None:
    """Its money would be counted twice."""
    load(SOUND, bank)
    other = _control_account("our own name", "Another")
    second = camt_statement(camt_entry("5.00"), number=2, identification="S2", opening="110", closing="115")
    with pytest.raises(errors.AccountNotOfStatement):
        load(camt(second), other)


def test_who_may_not_import_is_refused(bank: AccountNumber) -> None:
    """Customers and auditors do not bring statements in."""
    for actor in (cast.WANG_FANG, cast.AUDITOR):
        with pytest.raises(AccessDenied):
            statement_files.import_bytes(DB, "x", SOUND, bank_account=bank, actor=actor, now=cast.NOW)


def test_mt940_and_many_parts(bank: AccountNumber, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file longer than one part comes back whole; several statements come in one file."""
    monkeypatch.setattr(statement_writing, "PART_BYTES", 100)
    content = mt940(":61:2603020302C10,00NTRFA") + mt940(
        ":61:2604020402D4,00NTRFB//BANK",
        ":86:/EREF/E-1/REMI/rent",
        opening=":60F:C260331EUR110,00",
        closing=":62F:C260430EUR106,00",
        number=":28C:2/1",
    )
    found = load(content, bank)
    assert (found.statements, found.entries, found.notes) == (2, 2, ())
    assert b"".join(statement_files.content(DB, found.file)) == content
    ids = [held.id for held in statement_files.statements(DB, bank)]
    assert [line.references for line in statement_files.lines(DB, ids)] == [("A",), ("E-1", "B", "BANK")]


def test_progress_runs_over_both_readings(bank: AccountNumber) -> None:
    """A door can draw a bar: what is done grows, and never passes what there is."""
    seen: list[tuple[int, int]] = []
    entries = [camt_entry("1.00") for _ in range(3_000)]
    content = camt(camt_statement(*entries, closing="3100.00"))
    statement_files.import_file(
        DB,
        "x",
        io.BytesIO(content),
        bank_account=bank,
        actor=cast.OPERATIONS,
        now=cast.NOW,
        progress=lambda done, whole: seen.append((done, whole)),
    )
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert all(done <= whole == 2 * len(content) for done, whole in seen)
    assert seen[-1][0] > len(content)


@pytest.mark.parametrize(
    "statement",
    [
        "update custody_statement_line set amount_minor = 1",
        "delete from custody_statement_line",
        "delete from custody_statement_file",
        "update custody_statement set closing_minor = 1",
        "truncate custody_break",
        "insert into custody_statement_line (statement_id, number, line, amount_minor, booking_date,"
        ' value_date, "references", remittance, counterparty_name, counterparty_account, code, reversal,'
        " settlement, details)"
        " select statement_id, 9, 9, 1, booking_date, value_date, '[]', '', '', '', '', false, '', '[]'"
        " from custody_statement_line limit 1",
        'insert into custody_statement (file_id, bank_account_id, "index", line, source, kind, account,'
        " currency, identification, to_date, opening_minor, closing_minor, entries, digest)"
        " select id, bank_account_id, 9, 9, source, 'statement', 'x', 'EUR', 'x', now(), 0, 1, 0, '\\x00'"
        " from custody_statement_file",
    ],
)
@pytest.mark.parametrize("role", [DatabaseRole.APP, DatabaseRole.OWNER])
def test_the_database_keeps_what_was_imported(
    ledger_database: TestDatabase, bank: AccountNumber, statement: str, role: DatabaseRole
) -> None:
    """By hand, as the app or even the owner: nothing is changed, taken away, or added out of balance."""
    load(SOUND, bank)
    connection = psycopg.connect(ledger_database.conninfo(role), autocommit=True)
    with connection, pytest.raises(psycopg.Error):
        connection.execute(statement)
    assert counts() == (1, 1, 1)


def test_the_auditor_reads_and_the_writer_does_not_write(
    ledger_database: TestDatabase, bank: AccountNumber
) -> None:
    """Statements are the app's to append and the auditor's to read."""
    load(SOUND, bank)
    assert len(statement_files.statements(Db("auditor"), bank)) == 1
    with (
        psycopg.connect(ledger_database.conninfo(DatabaseRole.WRITER)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("insert into custody_statement_file (name) values ('x')")


def test_files_are_listed_newest_first_in_pages(bank: AccountNumber) -> None:
    """A page goes on before its last file."""
    load(SOUND, bank)
    second = camt_statement(camt_entry("5.00"), number=2, identification="S2", opening="110", closing="115")
    statement_files.import_bytes(
        DB,
        "b.xml",
        camt(second),
        bank_account=bank,
        actor=cast.OPERATIONS,
        now=cast.NOW + timedelta(days=1),
    )
    newest = statement_files.files(DB, bank, limit=1)
    assert [each.name for each in newest] == ["b.xml"]
    assert [each.name for each in statement_files.files(DB, bank, before=newest[0].id)] == ["march.xml"]

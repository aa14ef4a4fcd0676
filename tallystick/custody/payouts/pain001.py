"""pain.001.001.09: the customer credit transfer initiation of ISO 20022, written from a batch of payouts.

Promises: the same batch is the same bytes, whoever writes it and whenever; the counts and sums in it are those of
its payouts; every payout is booked by the bank for itself (`BtchBookg` false), so that its line on the statement
carries its end-to-end id. Checked in tests against the standard's own schema.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from tallystick.core import money
from tallystick.custody.statements import amounts

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One credit transfer. The number of the creditor's account stands here in clear."""

    end_to_end_id: str
    amount_minor: int
    creditor_name: str
    creditor_account: str
    bank_name: str
    bic: str
    cnaps: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A whole file: who pays, when, and to whom."""

    message_id: str
    created_at: dt.datetime
    execution_date: dt.date
    debtor_name: str
    debtor_account: str
    debtor_bic: str
    currency: str
    scale: int
    payments: Sequence[Payment]

    @property
    def sum_minor(self) -> int:
        return sum(each.amount_minor for each in self.payments)


def written(message: Message) -> bytes:
    """The file."""
    assert message.payments, "a batch has payouts"
    ids = {each.end_to_end_id for each in message.payments}
    assert len(ids) == len(message.payments), "a payout stands in a batch once"
    return "".join(f"{line}\n" for line in _lines(message)).encode()


def _lines(message: Message) -> Iterator[str]:
    count, total = len(message.payments), money.major(message.sum_minor, message.scale)
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield f'<Document xmlns="{NAMESPACE}">'
    yield "<CstmrCdtTrfInitn>"
    yield (
        f"<GrpHdr><MsgId>{_text(message.message_id)}</MsgId>"
        f"<CreDtTm>{message.created_at.isoformat(timespec='seconds')}</CreDtTm>"
        f"<NbOfTxs>{count}</NbOfTxs><CtrlSum>{total}</CtrlSum>"
        f"<InitgPty><Nm>{_text(message.debtor_name)}</Nm></InitgPty></GrpHdr>"
    )
    yield (
        f"<PmtInf><PmtInfId>{_text(message.message_id)}</PmtInfId><PmtMtd>TRF</PmtMtd><BtchBookg>false</BtchBookg>"
        f"<NbOfTxs>{count}</NbOfTxs><CtrlSum>{total}</CtrlSum>"
        f"<ReqdExctnDt><Dt>{message.execution_date.isoformat()}</Dt></ReqdExctnDt>"
        f"<Dbtr><Nm>{_text(message.debtor_name)}</Nm></Dbtr>"
        f"<DbtrAcct>{_account(message.debtor_account)}<Ccy>{message.currency}</Ccy></DbtrAcct>"
        f"<DbtrAgt><FinInstnId><BICFI>{message.debtor_bic}</BICFI></FinInstnId></DbtrAgt>"
        "<ChrgBr>SHAR</ChrgBr>"
    )
    for each in message.payments:
        yield _payment(each, message.currency, message.scale)
    yield "</PmtInf>"
    yield "</CstmrCdtTrfInitn>"
    yield "</Document>"


def _payment(each: Payment, currency: str, scale: int) -> str:
    bic = f"<BICFI>{each.bic}</BICFI>" if each.bic else ""
    clearing = (
        f"<ClrSysMmbId><ClrSysId><Cd>CNAPS</Cd></ClrSysId><MmbId>{each.cnaps}</MmbId></ClrSysMmbId>"
        if each.cnaps
        else ""
    )
    note = f"<RmtInf><Ustrd>{_text(each.note)}</Ustrd></RmtInf>" if each.note else ""
    return (
        f"<CdtTrfTxInf><PmtId><EndToEndId>{_text(each.end_to_end_id)}</EndToEndId></PmtId>"
        f'<Amt><InstdAmt Ccy="{currency}">{money.major(each.amount_minor, scale)}</InstdAmt></Amt>'
        f"<CdtrAgt><FinInstnId>{bic}{clearing}<Nm>{_text(each.bank_name)}</Nm></FinInstnId></CdtrAgt>"
        f"<Cdtr><Nm>{_text(each.creditor_name)}</Nm></Cdtr>"
        f"<CdtrAcct>{_account(each.creditor_account)}</CdtrAcct>{note}</CdtTrfTxInf>"
    )


def _account(number: str) -> str:
    if amounts.is_iban(number):
        return f"<Id><IBAN>{number}</IBAN></Id>"
    return f"<Id><Othr><Id>{_text(number)}</Id></Othr></Id>"


def _text(text: str) -> str:
    # Fields were checked printable when they came in: no character here that XML cannot hold.
    assert text.isprintable(), "text of a payment is printable"
    return escape(text)

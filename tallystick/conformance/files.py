"""Files: statements and payment orders of the interface, written from plain values, one element a line.

One element a line, so that a fault has one line where it is. Nothing is taken from anybody's samples: the
names, accounts and figures are invented, account numbers fail or pass their check digits as a case needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

IBAN, OTHER_IBAN, WRONG_IBAN = "DE89370400440532013000", "GB29NWBK60161331926819", "DE89370400440532013001"
NAME = "Tallystick Conformance Bank"


@dataclass(frozen=True, slots=True)
class Entry:
    """A booked line: positive minor units came in. pending: told, and not booked yet."""

    amount: int
    reference: str
    text: str = "Order 1"
    day: str = "2026-03-02"
    pending: bool = False
    reversal: bool = False
    batch: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement of one account and day."""

    entries: Sequence[Entry]
    opening: int = 100_000
    currency: str = "EUR"
    scale: int = 2
    account: str = IBAN
    identification: str = "STMT-1"
    number: int = 1

    @property
    def booked(self) -> list[Entry]:
        return [entry for entry in self.entries if not entry.pending]

    @property
    def credits(self) -> int:
        return sum(entry.amount for entry in self.booked if entry.amount > 0)

    @property
    def debits(self) -> int:
        return -sum(entry.amount for entry in self.booked if entry.amount < 0)

    @property
    def closing(self) -> int:
        return self.opening + self.credits - self.debits


def major(minor: int, scale: int, mark: str = ".") -> str:
    """An amount without its sign, with the decimals of its currency."""
    digits = f"{abs(minor):0{scale + 1}d}"
    if not scale:
        return digits + ("," if mark == "," else "")
    return f"{digits[:-scale]}{mark}{digits[-scale:]}"


def camt(message: str, version: str, statements: Sequence[Statement]) -> str:
    """A camt.053 (`BkToCstmrStmt`) or camt.054 (`BkToCstmrDbtCdtNtfctn`) with these statements."""
    wrapper, one = {
        "camt.053": ("BkToCstmrStmt", "Stmt"),
        "camt.054": ("BkToCstmrDbtCdtNtfctn", "Ntfctn"),
    }[message]
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:{message}.001.{version}">',
        f"<{wrapper}>",
        "<GrpHdr>",
        "<MsgId>MSG-1</MsgId>",
        "<CreDtTm>2026-03-02T20:00:00</CreDtTm>",
        "</GrpHdr>",
    ]
    for statement in statements:
        lines += [
            f"<{one}>",
            f"<Id>{statement.identification}</Id>",
            f"<ElctrncSeqNb>{statement.number}</ElctrncSeqNb>",
            "<CreDtTm>2026-03-02T20:00:00</CreDtTm>",
            "<Acct>",
            f"<Id><IBAN>{statement.account}</IBAN></Id>",
            f"<Ccy>{statement.currency}</Ccy>",
            "</Acct>",
        ]
        if message == "camt.053":
            lines += _balance("OPBD", statement.opening, "2026-03-01", statement)
            lines += _balance("CLBD", statement.closing, "2026-03-02", statement)
        for entry in statement.entries:
            lines += _entry(entry, statement, version)
        lines.append(f"</{one}>")
    return "\n".join([*lines, f"</{wrapper}>", "</Document>", ""])


def mt940(statements: Sequence[Statement], *, envelope: bool = False) -> str:
    """SWIFT customer statement messages, one for each of these."""
    messages = []
    for statement in statements:
        lines = [
            f":20:{statement.identification}",
            f":25:{statement.account}",
            f":28C:{statement.number}/1",
            f":60F:{_side(statement.opening)}260301{statement.currency}"
            f"{major(statement.opening, statement.scale, ',')}",
        ]
        for entry in statement.booked:
            mark = ("R" if entry.reversal else "") + _side(-entry.amount if entry.reversal else entry.amount)
            day = entry.day[2:].replace("-", "")
            lines += [
                f":61:{day}{day[2:]}{mark}{major(entry.amount, statement.scale, ',')}NTRF{entry.reference}",
                f":86:{entry.text}",
            ]
        lines += [
            f":62F:{_side(statement.closing)}260302{statement.currency}"
            f"{major(statement.closing, statement.scale, ',')}",
            "-",
        ]
        body = "\r\n".join(lines)
        if envelope:
            body = "{1:F01TALLYXXXAXXX0000000000}{2:I940TALLYXXXXXXXN}{4:\r\n" + body + "}"
        messages.append(body)
    return "\r\n".join(messages) + "\r\n"


@dataclass(frozen=True, slots=True)
class Payment:
    """One transfer of a payment order."""

    amount: int
    end_to_end: str
    account: str = OTHER_IBAN
    name: str = "Wang Fang"


def pain001(
    payments: Sequence[Payment], *, currency: str = "EUR", scale: int = 2, count: int | None = None,
    control: int | None = None,
) -> str:  # fmt: skip
    """A pain.001.001.09 with these payments; `count` and `control` say something else than their sums."""
    number = len(payments) if count is None else count
    total = sum(payment.amount for payment in payments) if control is None else control
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.09">',
        "<CstmrCdtTrfInitn>",
        "<GrpHdr>",
        "<MsgId>PAY-1</MsgId>",
        "<CreDtTm>2026-03-02T10:00:00</CreDtTm>",
        f"<NbOfTxs>{number}</NbOfTxs>",
        f"<CtrlSum>{major(total, scale)}</CtrlSum>",
        "<InitgPty><Nm>Tallystick Conformance Platform</Nm></InitgPty>",
        "</GrpHdr>",
        "<PmtInf>",
        "<PmtInfId>BATCH-1</PmtInfId>",
        "<PmtMtd>TRF</PmtMtd>",
        f"<NbOfTxs>{number}</NbOfTxs>",
        f"<CtrlSum>{major(total, scale)}</CtrlSum>",
        "<ReqdExctnDt><Dt>2026-03-03</Dt></ReqdExctnDt>",
        "<Dbtr><Nm>Tallystick Conformance Platform</Nm></Dbtr>",
        f"<DbtrAcct><Id><IBAN>{IBAN}</IBAN></Id></DbtrAcct>",
        "<DbtrAgt><FinInstnId><Othr><Id>NOTPROVIDED</Id></Othr></FinInstnId></DbtrAgt>",
    ]
    for payment in payments:
        lines += [
            "<CdtTrfTxInf>",
            f"<PmtId><EndToEndId>{payment.end_to_end}</EndToEndId></PmtId>",
            f'<Amt><InstdAmt Ccy="{currency}">{major(payment.amount, scale)}</InstdAmt></Amt>',
            f"<Cdtr><Nm>{payment.name}</Nm></Cdtr>",
            f"<CdtrAcct><Id><IBAN>{payment.account}</IBAN></Id></CdtrAcct>",
            "</CdtTrfTxInf>",
        ]
    return "\n".join([*lines, "</PmtInf>", "</CstmrCdtTrfInitn>", "</Document>", ""])


def pain002(statuses: Sequence[tuple[str, str]], *, original: str = "PAY-1") -> str:
    """A pain.002.001.10 that answers payments by their end-to-end ids: ACSC, ACSP, RJCT, PDNG."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10">',
        "<CstmrPmtStsRpt>",
        "<GrpHdr>",
        "<MsgId>STS-1</MsgId>",
        "<CreDtTm>2026-03-03T10:00:00</CreDtTm>",
        "</GrpHdr>",
        "<OrgnlGrpInfAndSts>",
        f"<OrgnlMsgId>{original}</OrgnlMsgId>",
        "<OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>",
        "</OrgnlGrpInfAndSts>",
        "<OrgnlPmtInfAndSts>",
        "<OrgnlPmtInfId>BATCH-1</OrgnlPmtInfId>",
    ]
    for end_to_end, status in statuses:
        lines += [
            "<TxInfAndSts>",
            f"<OrgnlEndToEndId>{end_to_end}</OrgnlEndToEndId>",
            f"<TxSts>{status}</TxSts>",
            "</TxInfAndSts>",
        ]
    return "\n".join([*lines, "</OrgnlPmtInfAndSts>", "</CstmrPmtStsRpt>", "</Document>", ""])


def _side(amount: int) -> str:
    return "C" if amount >= 0 else "D"


def _word(amount: int) -> str:
    return "CRDT" if amount >= 0 else "DBIT"


def _balance(code: str, amount: int, day: str, statement: Statement) -> list[str]:
    return [
        "<Bal>",
        f"<Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>",
        f'<Amt Ccy="{statement.currency}">{major(amount, statement.scale)}</Amt>',
        f"<CdtDbtInd>{_word(amount)}</CdtDbtInd>",
        f"<Dt><Dt>{day}</Dt></Dt>",
        "</Bal>",
    ]


def _entry(entry: Entry, statement: Statement, version: str) -> list[str]:
    word = "PDNG" if entry.pending else "BOOK"
    # From version 04 on a status is a code in an element of its own.
    status = f"<Sts><Cd>{word}</Cd></Sts>" if int(version) >= 4 else f"<Sts>{word}</Sts>"
    lines = [
        "<Ntry>",
        f'<Amt Ccy="{statement.currency}">{major(entry.amount, statement.scale)}</Amt>',
        f"<CdtDbtInd>{_word(entry.amount)}</CdtDbtInd>",
        *(["<RvslInd>true</RvslInd>"] if entry.reversal else []),
        status,
        f"<BookgDt><Dt>{entry.day}</Dt></BookgDt>",
        f"<ValDt><Dt>{entry.day}</Dt></ValDt>",
        "<BkTxCd><Prtry><Cd>NTRF</Cd></Prtry></BkTxCd>",
        "<NtryDtls>",
    ]
    for nth, amount in enumerate(entry.batch or (abs(entry.amount),), start=1):
        suffix = f"-{nth}" if entry.batch else ""
        told = [f'<Amt Ccy="{statement.currency}">{major(amount, statement.scale)}</Amt>']
        lines += [
            "<TxDtls>",
            f"<Refs><EndToEndId>{entry.reference}{suffix}</EndToEndId></Refs>",
            *([*told, f"<CdtDbtInd>{_word(entry.amount)}</CdtDbtInd>"] if int(version) >= 3 else []),
            f"<RmtInf><Ustrd>{entry.text}</Ustrd></RmtInf>",
            "</TxDtls>",
        ]
    return [*lines, "</NtryDtls>", "</Ntry>"]

"""Statement files written for a test, with one fault or none, and a file of any length without a disk."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORPUS = Path(os.environ.get("TALLYSTICK_DATA", ROOT.parent / "shared" / "data")) / "statements"

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"


def camt_entry(
    amount: str = "10.00",
    side: str = "CRDT",
    *,
    currency: str = "EUR",
    status: str = "<Sts><Cd>BOOK</Cd></Sts>",
    dates: str = "<BookgDt><Dt>2026-03-02</Dt></BookgDt><ValDt><Dt>2026-03-03</Dt></ValDt>",
    details: str = "",
    more: str = "",
) -> str:
    """One `Ntry` on one line."""
    return (
        f'<Ntry><Amt Ccy="{currency}">{amount}</Amt><CdtDbtInd>{side}</CdtDbtInd>{more}{status}{dates}'
        f"<NtryDtls>{details}</NtryDtls></Ntry>"
    )


def camt_balance(code: str, amount: str, day: str, *, currency: str = "EUR", side: str = "CRDT") -> str:
    """One `Bal` on one line."""
    return (
        f'<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp><Amt Ccy="{currency}">{amount}</Amt>'
        f"<CdtDbtInd>{side}</CdtDbtInd><Dt><Dt>{day}</Dt></Dt></Bal>"
    )


def camt_statement(
    *entries: str,
    opening: str = "100.00",
    closing: str = "110.00",
    currency: str = "EUR",
    identification: str = "S1",
    number: int = 1,
    account: str = "<IBAN>NL91ABNA0417164300</IBAN>",
    balances: str | None = None,
    more: str = "",
) -> str:
    """One `Stmt`, each part on its own line."""
    framed = balances
    if framed is None:
        framed = "\n".join(
            (
                camt_balance("OPBD", opening, "2026-03-01", currency=currency),
                camt_balance("CLBD", closing, "2026-03-31", currency=currency),
            )
        )
    return "\n".join(
        (
            f"<Stmt><Id>{identification}</Id><ElctrncSeqNb>{number}</ElctrncSeqNb>{more}",
            f"<Acct><Id>{account}</Id></Acct>",
            framed,
            *entries,
            "</Stmt>",
        )
    )


def camt(*statements: str, namespace: str = NAMESPACE, head: str = '<?xml version="1.0"?>') -> bytes:
    """A whole message."""
    xmlns = f' xmlns="{namespace}"' if namespace else ""
    return "\n".join(
        (head, f"<Document{xmlns}><BkToCstmrStmt><GrpHdr/>", *statements, "</BkToCstmrStmt></Document>")
    ).encode()


def mt940(
    *lines: str,
    opening: str = ":60F:C260301EUR100,00",
    closing: str = ":62F:C260331EUR110,00",
    number: str = ":28C:1/1",
    account: str = ":25:NL91ABNA0417164300",
    end: str = "-",
) -> bytes:
    """One message."""
    return "\r\n".join((":20:REF", account, number, opening, *lines, closing, end, "")).encode()


class Endless(io.RawIOBase):
    """A seekable file made as it is read: head, `count` times the middle, tail."""

    def __init__(self, head: bytes, middle: bytes, count: int, tail: bytes) -> None:
        self._shape = (head, middle, count, tail)
        self._size = len(head) + len(middle) * count + len(tail)
        self._restart()

    def _restart(self) -> None:
        self._position = 0
        self._buffer = b""
        self._parts = self._make()

    def _make(self) -> Iterator[bytes]:
        head, middle, count, tail = self._shape
        yield head
        for start in range(0, count, 1_000):
            yield middle * min(1_000, count - start)
        yield tail

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END:
            return self._size
        assert offset == 0
        self._restart()
        return 0

    def read(self, size: int = -1) -> bytes:
        assert size > 0, "a reader that asks for the whole file does not stream"
        while len(self._buffer) < size:
            part = next(self._parts, None)
            if part is None:
                break
            self._buffer += part
        given, self._buffer = self._buffer[:size], self._buffer[size:]
        self._position += len(given)
        return given

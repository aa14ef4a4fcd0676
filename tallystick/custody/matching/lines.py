"""The lines of each side: as rows a person can read, and as columns a machine can join.

Columns are what the passes work on: whole numbers, days as ordinals, and one reference a line as bytes of
one width. What a bank line says besides its best reference is read through `Bank.said` only for the lines
whose best reference found nothing, so that a million lines need not bring a million texts along.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
Days: TypeAlias = NDArray[np.int32]
Flags: TypeAlias = NDArray[np.bool_]
Names: TypeAlias = NDArray[np.bytes_]

REFERENCE_BYTES_MAX = 64
"""References are longer only by mistake or malice; those are compared by their SHA-256."""


@dataclass(frozen=True, slots=True)
class Part:
    """One transaction of a batch that the bank booked as one line."""

    references: tuple[str, ...]
    """As they are compared, the best first."""
    amount_minor: int


@dataclass(frozen=True, slots=True)
class BankLine:
    """A line of a bank statement. Positive where money came in."""

    key: int
    """Identifies the line, and orders the lines of one day: the order of the statements."""
    day: dt.date
    amount_minor: int
    references: tuple[str, ...] = ()
    text: str = ""
    """Remittance text and names: words that may hold a reference or name somebody."""
    counterparty_account: str = ""
    currency: int = 0
    """Any number that is the same for the same currency."""
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """A line of the bank's control account. Positive where the account grew: money at the bank."""

    position: int
    day: dt.date
    amount_minor: int
    reference: str = ""
    reverses: int | None = None
    """The position of the transfer this one reverses."""
    currency: int = 0


@dataclass(frozen=True, slots=True)
class ChannelLine:
    """A payment as a payment channel tells it: what was paid, what it keeps, and in which sum it pays out."""

    key: int
    day: dt.date
    gross_minor: int
    """Positive where a customer paid in; a refund is negative."""
    fee_minor: int = 0
    """What the channel keeps: the bank gets gross less fee."""
    reference: str = ""
    """Of the payment, as the ledger has it."""
    settlement: str = ""
    """Of the sum, as the bank line has it."""
    currency: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """What a bank line says besides its amount."""

    references: tuple[str, ...] = ()
    """As they are compared, the best first."""
    text: str = ""
    counterparty_account: str = ""
    parts: tuple[Part, ...] = ()
    """Of a batch."""


@dataclass(frozen=True, slots=True, eq=False)
class Bank:
    """The bank's lines as columns."""

    key: Ints
    day: Days
    amount_minor: Ints
    reference: Names
    """The best reference, coded; empty where there is none."""
    currency: Ints
    said: Callable[[Ints], Sequence[Said]]
    """What the lines of these rows say."""

    @classmethod
    def of(cls, lines: Iterable[BankLine]) -> Bank:
        """Columns of rows held in memory."""
        rows = list(lines)
        said = [
            Said(cleaned(line.references), line.text, line.counterparty_account, line.parts) for line in rows
        ]
        return cls(
            key=np.array([line.key for line in rows], np.int64),
            day=days(line.day for line in rows),
            amount_minor=np.array([line.amount_minor for line in rows], np.int64),
            reference=names(each.references[0] if each.references else "" for each in said),
            currency=np.array([line.currency for line in rows], np.int64),
            said=lambda wanted: [said[row] for row in wanted],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Ledger:
    """The ledger's lines as columns."""

    position: Ints
    day: Days
    amount_minor: Ints
    reference: Names
    currency: Ints
    reverses: Ints
    """A position, or -1."""

    @classmethod
    def of(cls, lines: Iterable[LedgerLine]) -> Ledger:
        """Columns of rows held in memory."""
        rows = list(lines)
        return cls(
            position=np.array([line.position for line in rows], np.int64),
            day=days(line.day for line in rows),
            amount_minor=np.array([line.amount_minor for line in rows], np.int64),
            reference=names(line.reference for line in rows),
            currency=np.array([line.currency for line in rows], np.int64),
            reverses=np.array([-1 if line.reverses is None else line.reverses for line in rows], np.int64),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Channel:
    """The channel's lines as columns."""

    key: Ints
    day: Days
    gross_minor: Ints
    fee_minor: Ints
    reference: Names
    settlement: Names
    currency: Ints

    @classmethod
    def of(cls, lines: Iterable[ChannelLine]) -> Channel:
        """Columns of rows held in memory."""
        rows = list(lines)
        return cls(
            key=np.array([line.key for line in rows], np.int64),
            day=days(line.day for line in rows),
            gross_minor=np.array([line.gross_minor for line in rows], np.int64),
            fee_minor=np.array([line.fee_minor for line in rows], np.int64),
            reference=names(line.reference for line in rows),
            settlement=names(line.settlement for line in rows),
            currency=np.array([line.currency for line in rows], np.int64),
        )

    @property
    def net_minor(self) -> Ints:
        """What reaches the bank of each."""
        return self.gross_minor - self.fee_minor


def normal(reference: str) -> str:
    """A reference as it is compared: without blanks, in capitals. Banks change both on the way."""
    return "".join(reference.split()).upper()


def coded(reference: str) -> bytes:
    """A normal reference as the bytes that stand for it in a column: equal if and only if it is."""
    told = reference.encode()
    if len(told) <= REFERENCE_BYTES_MAX:
        return told
    # 0xff is in no UTF-8, so a digest can never be taken for a reference.
    return b"\xff" + hashlib.sha256(told).hexdigest()[: REFERENCE_BYTES_MAX - 2].encode()


def names(references: Iterable[str]) -> Names:
    """A column of references."""
    told = [coded(normal(each)) for each in references]
    return np.array(told, np.bytes_) if told else np.zeros(0, "S8")


def days(dates: Iterable[dt.date]) -> Days:
    """A column of days."""
    return np.array([day.toordinal() for day in dates], np.int32)


_WORD = re.compile(r"[^\W_][\w./:-]{2,}")
_PART = re.compile(r"[^\W_]{3,}")


def words(text: str) -> Iterable[str]:
    """The words of a text that might be references, as they are compared: whole, then in parts."""
    found = _WORD.findall(text)
    for word in found:
        yield word.strip("./:-_").upper()
    for word in found:
        if not word.isalnum():
            for part in _PART.findall(word):
                if part != word:
                    yield part.upper()


def cleaned(references: Sequence[str]) -> tuple[str, ...]:
    """References as they are compared, each once, in their order."""
    return tuple(dict.fromkeys(each for each in map(normal, references) if each))


def total(column: Ints) -> int:
    """Without bounds, where a column's own sum would wrap around."""
    return sum(column.tolist())

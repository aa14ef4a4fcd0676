"""Lines as a bank books them, and breaks that are planted among them: plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

BreakKind = Literal[
    "timing", "amount", "missing_in_ledger", "missing_at_bank", "duplicate", "unidentified", "wrong_account"
]
BREAK_KINDS: tuple[BreakKind, ...] = (
    "timing",
    "amount",
    "missing_in_ledger",
    "missing_at_bank",
    "duplicate",
    "unidentified",
    "wrong_account",
)


@dataclass(frozen=True, slots=True)
class Line:
    """One booked movement at the bank. Positive where money came in to us."""

    account: str
    day: date
    amount_minor: int
    reference: str
    bank_reference: str
    name: str = ""
    pinyin: str = ""
    counterparty: str = ""
    text: str = ""
    posted_on: date | None = None
    """The ledger's day of it; the bank may book it the day after. None where the ledger has none."""
    is_final: bool = False
    """Part of a handover between our own two accounts: no break is planted on it."""


@dataclass(frozen=True, slots=True)
class Planted:
    """A break that was planted: where the reconciliation must find it, and what it changes there."""

    kind: BreakKind
    account: str
    day: date
    reference: str
    effect_minor: int
    """What it adds to the bank's total over the ledger's."""

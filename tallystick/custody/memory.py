"""What the judge knows of a book: accounts' totals, authorisations' uses, and the transfers it was asked about.

Promises: only knowledge, never a fact. Everything here was read from the tables or follows from transfers
judged since; it holds while the book's last position is the one noted here, and can be dropped at any time.
Columns, so that a batch can be judged at once; an index from each number to its row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

import numpy as np
from numpy.typing import NDArray

from tallystick.core.money import BALANCE_MAX

DEBITS_FROZEN, CREDITS_FROZEN, CLOSED = 1, 2, 4
FLAGS = {
    "open": 0,
    "debits_frozen": DEBITS_FROZEN,
    "credits_frozen": CREDITS_FROZEN,
    "frozen": DEBITS_FROZEN | CREDITS_FROZEN,
    "closed": CLOSED,
}
NO_CEILING = BALANCE_MAX

DEBITS_POSTED, CREDITS_POSTED, DEBITS_PENDING, CREDITS_PENDING = range(4)


@dataclass(slots=True)
class Known:
    """A transfer that was posted, as far as later ones may ask: to settle, to reverse, or to repeat it."""

    id: bytes
    position: int
    kind: int
    code: int
    debit: int
    credit: int
    amount: int
    authorisation: int
    expires: int
    at: int
    value_date: int
    day: int
    """The book's day when it was posted: its value date where none was given."""
    recorded_at: int
    reference: str | None = None
    payee: str | None = None
    reason: str | None = None
    metadata: str | None = None
    balancing: int = 0
    asked: int = 0
    pending_id: bytes | None = None
    reverses_id: bytes | None = None
    after: tuple[tuple[int, ...], tuple[int, ...]] = ((0, 0, 0, 0), (0, 0, 0, 0))
    chain: int = 0
    """The position at which the chain it stands in begins, or 0."""
    settled: int = 0
    """The kind of the transfer that settled this pending one, or 0."""
    is_reversed: bool = False


@dataclass(slots=True)
class RefusedBefore:
    """An id that was refused: which reason (index in TRANSFER_REFUSALS, from 1) and a hash of its content."""

    refusal: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Formula:
    """What an authorisation's formula needs beside its base: yearly rate, days of a year, first day."""

    rate_ppm: int
    day_basis: int
    since: date


class Accounts:
    """Accounts as columns."""

    def __init__(self) -> None:
        self.index: dict[int, int] = {}
        self.number: NDArray[np.int64] = np.zeros(0, np.int64)
        self.totals: NDArray[np.int64] = np.zeros((0, 4), np.int64)
        self.flags: NDArray[np.int8] = np.zeros(0, np.int8)
        self.is_limited: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self.is_credit_normal: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self.ceiling: NDArray[np.int64] = np.zeros(0, np.int64)

    def reserve(self, count: int) -> None:
        """Make room for `count` more rows."""
        need = len(self.index) + count
        if need > len(self.number):
            room = max(need, 2 * len(self.number), 1024)
            for name in ("number", "totals", "flags", "is_limited", "is_credit_normal", "ceiling"):
                old = getattr(self, name)
                new = np.zeros((room, *old.shape[1:]), old.dtype)
                new[: len(old)] = old
                setattr(self, name, new)

    def put(
        self, number: int, totals: tuple[int, ...], flags: int, is_limited: bool, is_credit_normal: bool, ceiling: int
    ) -> None:
        """Know an account, or know it anew."""
        row = self.index.get(number)
        if row is None:
            self.reserve(1)
            row = self.index[number] = len(self.index)
        self.number[row] = number
        self.totals[row] = totals
        self.flags[row] = flags
        self.is_limited[row] = is_limited
        self.is_credit_normal[row] = is_credit_normal
        self.ceiling[row] = ceiling


class Authorisations:
    """Authorisations as columns."""

    COLUMNS = (
        "debit credit code rule amount total_max uses_max valid_from valid_until withdrawn uses used has_payee".split()
    )

    def __init__(self) -> None:
        self.index: dict[int, int] = {}
        self.payee: list[str] = []
        self.formula: dict[int, Formula] = {}
        for name in self.COLUMNS:
            setattr(self, name, np.zeros(0, np.int64))

    debit: NDArray[np.int64]
    credit: NDArray[np.int64]
    code: NDArray[np.int64]
    rule: NDArray[np.int64]
    amount: NDArray[np.int64]
    total_max: NDArray[np.int64]
    uses_max: NDArray[np.int64]
    valid_from: NDArray[np.int64]
    valid_until: NDArray[np.int64]
    withdrawn: NDArray[np.int64]
    uses: NDArray[np.int64]
    used: NDArray[np.int64]
    has_payee: NDArray[np.int64]

    def put(self, number: int, payee: str, formula: Formula | None, **values: int) -> None:
        """Know an authorisation, or know it anew."""
        row = self.index.get(number)
        if row is None:
            row = len(self.index)
            if row == len(self.debit):
                for name in self.COLUMNS:
                    old = getattr(self, name)
                    setattr(self, name, np.concatenate([old, np.zeros(max(row, 1024), np.int64)]))
            self.index[number] = row
            self.payee.append("")
        self.payee[row] = payee
        if formula is not None:
            self.formula[row] = formula
        for name, value in values.items():
            getattr(self, name)[row] = value
        self.has_payee[row] = payee != ""


@dataclass
class Memory:
    """All of it, for one book."""

    book: int
    last_position: int = 0
    recorded_at: int = 0
    """Microseconds since 1970 of the last batch."""
    changes: tuple[int, int] = (0, 0)
    """The newest account state and the newest withdrawal of an authorisation that are known here."""
    accounts: Accounts = field(default_factory=Accounts)
    authorisations: Authorisations = field(default_factory=Authorisations)
    known: dict[bytes, Known] = field(default_factory=dict)
    refused: dict[bytes, RefusedBefore] = field(default_factory=dict)

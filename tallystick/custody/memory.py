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


class Table:
    """Rows of whole numbers that grow, each column also reachable by its name, as a view."""

    COLUMNS: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.index: dict[int, int] = {}
        """From a number to its row."""
        self.rows: NDArray[np.int64] = np.zeros((0, len(self.COLUMNS)), np.int64)
        self._name_columns()

    def row_of(self, number: int) -> int:
        """The row of this number, a new one where it has none."""
        row = self.index.get(number)
        if row is None:
            row = len(self.index)
            if row == len(self.rows):
                grown = np.zeros((max(1024, 2 * row), len(self.COLUMNS)), np.int64)
                grown[:row] = self.rows
                self.rows = grown
                self._name_columns()
            self.index[number] = row
        return row

    def _name_columns(self) -> None:
        for nth, name in enumerate(self.COLUMNS):
            setattr(self, name, self.rows[:, nth])


class Accounts(Table):
    """Accounts: their four totals, and what they let through."""

    COLUMNS = (
        "debits_posted", "credits_posted", "debits_pending", "credits_pending",
        "flags", "is_limited", "is_credit_normal", "ceiling",
    )  # fmt: skip

    flags: NDArray[np.int64]
    is_limited: NDArray[np.int64]
    is_credit_normal: NDArray[np.int64]
    ceiling: NDArray[np.int64]

    @property
    def totals(self) -> NDArray[np.int64]:
        """The four totals of each row, as a view."""
        return self.rows[:, :4]

    def put(
        self,
        number: int,
        totals: tuple[int, ...],
        flags: int,
        is_limited: bool,
        is_credit_normal: bool,
        ceiling: int,
    ) -> None:
        """Know an account, or know it anew."""
        row = self.row_of(number)
        self.rows[row] = (*totals, flags, is_limited, is_credit_normal, ceiling)


class Authorisations(Table):
    """Authorisations: what was agreed, and what has been used of it."""

    COLUMNS = (
        "debit", "credit", "code", "rule", "amount", "total_max", "uses_max", "valid_from", "valid_until",
        "withdrawn", "uses", "used", "has_payee",
    )  # fmt: skip

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

    def __init__(self) -> None:
        super().__init__()
        self.payee: dict[int, str] = {}
        """By row; a row that is not here names no payee outside."""
        self.formula: dict[int, Formula] = {}

    def put(self, number: int, payee: str, formula: Formula | None, **values: int) -> None:
        """Know an authorisation, or know it anew."""
        row = self.row_of(number)
        self.rows[row] = [int(payee != "") if name == "has_payee" else values[name] for name in self.COLUMNS]
        if payee:
            self.payee[row] = payee
        if formula is not None:
            self.formula[row] = formula


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

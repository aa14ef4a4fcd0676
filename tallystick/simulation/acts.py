"""What the simulation asks of a ledger, in words of its own: accounts and authorisations go by name.

Promises: plain frozen values, made without a database. Each act says when it happens and, for a transfer,
which answer a sound ledger must give; so a whole world can be made, compared and hashed before any of it
is posted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from uuid import UUID

Kind = Literal["posted", "pending", "post_pending", "void_pending"]
Family = Literal["client", "own", "external", "suspense"]


@dataclass(frozen=True, slots=True)
class Account:
    """An account to be opened. `name` is what the simulation calls it, `title` what people read."""

    name: str
    family: Family
    title: str
    reference: str
    owner: str = ""
    ceiling_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Authorisation:
    """A client's word: who may be paid what from which account, until when, how often."""

    name: str
    kind: Literal["order", "schedule", "entitlement", "legal"]
    debit: str
    credit: str
    code: str
    rule: Literal["exact", "at_most"]
    amount_minor: int
    uses_max: int
    valid_from: datetime
    valid_until: datetime
    basis: str
    payee: str = ""

    @property
    def total_max_minor(self) -> int:
        return self.amount_minor * self.uses_max


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer to be asked for, and the answer to it: empty where it is posted, else the refusal's code."""

    id: UUID
    kind: Kind
    at: datetime
    amount_minor: int
    debit: str = ""
    credit: str = ""
    code: str = ""
    authorisation: str = ""
    pending: UUID | None = None
    reverses: UUID | None = None
    is_linked: bool = False
    expires_at: datetime | None = None
    value_date: date | None = None
    reference: str = ""
    payee: str = ""
    reason: str = ""
    answer: str = ""
    is_repeat: bool = False
    """The same request again: it gets its first answer, and nothing moves."""


@dataclass(frozen=True, slots=True)
class Open:
    """Accounts are opened."""

    at: datetime
    accounts: tuple[Account, ...]


@dataclass(frozen=True, slots=True)
class Authorise:
    """Clients give authorisations."""

    at: datetime
    authorisations: tuple[Authorisation, ...]


@dataclass(frozen=True, slots=True)
class Withdraw:
    """A client takes an authorisation back."""

    at: datetime
    authorisation: str
    reason: str


@dataclass(frozen=True, slots=True)
class ChangeState:
    """An account is frozen, opened again or closed."""

    at: datetime
    account: str
    status: Literal["open", "debits_frozen", "credits_frozen", "frozen", "closed"]
    reason: str


@dataclass(frozen=True, slots=True)
class Post:
    """Transfers are asked for, in this order, in one batch."""

    at: datetime
    transfers: tuple[Transfer, ...]


Act = Open | Authorise | Withdraw | ChangeState | Post


def digest(acts: Iterable[Act]) -> str:
    """SHA-256 over everything the acts say: two worlds are the same if and only if theirs are equal."""
    told = hashlib.sha256()
    for act in acts:
        told.update(f"{act!r}\n".encode())
    return told.hexdigest()

"""What a statement file says: rows, frozen. Money is in minor units, credits to the account positive."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

NO_REFERENCE = frozenset({"", "NONREF", "NOTPROVIDED", "NOT PROVIDED", "NOTAVAILABLE", "NULL", "N", "-"})
"""What banks write where there is no reference. None of them identifies anything."""


@dataclass(frozen=True, slots=True)
class Balance:
    """A balance the bank states."""

    code: str
    """As the format names it: `OPBD`, `CLBD`, `60F`, `62F`, `64`."""
    date: dt.date
    currency: str
    amount_minor: int
    line: int


@dataclass(frozen=True, slots=True)
class Detail:
    """One transaction inside an entry: a batch has many. Details are never booked, the entry is."""

    line: int
    amount_minor: int | None = None
    """Signed; `None` where the bank does not say, or says it in another currency than the account's."""
    end_to_end_id: str = ""
    instruction_id: str = ""
    transaction_id: str = ""
    mandate_id: str = ""
    servicer_reference: str = ""
    remittance: str = ""
    counterparty_name: str = ""
    counterparty_account: str = ""
    return_reason: str = ""

    @property
    def references(self) -> tuple[str, ...]:
        """What may identify the transaction, the payer's own reference first, without the empty words."""
        return references(
            self.end_to_end_id, self.instruction_id, self.transaction_id, self.servicer_reference
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """One booked movement of the account."""

    line: int
    """The line of the file where the entry begins, from 1."""
    number: int
    """Its place in the statement, from 1."""
    amount_minor: int
    booking_date: dt.date
    value_date: dt.date
    customer_reference: str = ""
    """`:61:` subfield 7, `NtryRef`."""
    servicer_reference: str = ""
    """`:61:` subfield 8, `AcctSvcrRef`."""
    end_to_end_id: str = ""
    instruction_id: str = ""
    transaction_id: str = ""
    mandate_id: str = ""
    remittance: str = ""
    counterparty_name: str = ""
    counterparty_account: str = ""
    code: str = ""
    """The bank's transaction code: `PMNT-RCDT-ESCT`, `NTRF`."""
    reversal: bool = False
    """The entry takes back an earlier one. The sign of the amount already says which way."""
    gross_minor: int | None = None
    """Of a payment channel's line: what was paid. `amount_minor` is net: gross less fee."""
    fee_minor: int | None = None
    """Of a payment channel's line: what the channel keeps, positive where it costs."""
    settlement: str = ""
    """Of a payment channel's line: the payout in which it comes to the bank."""
    details: tuple[Detail, ...] = field(default=(), repr=False)

    @property
    def references(self) -> tuple[str, ...]:
        """What may identify the payment, the payer's own reference first, without the empty words."""
        return references(
            self.end_to_end_id,
            self.instruction_id,
            self.customer_reference,
            self.servicer_reference,
            self.transaction_id,
        )


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of one account, or one page of it. A reader gives it after its entries."""

    index: int
    """Its place in the file, from 1."""
    line: int
    account: str
    """IBAN where the bank gives one, else its own number, without blanks."""
    account_is_iban: bool
    currency: str
    scale: int
    identification: str
    """`Stmt/Id` or `:20:`."""
    number: int | None
    """`ElctrncSeqNb`, `LglSeqNb` or `:28C:`; `None` where the bank does not number."""
    page: int | None
    last_page: bool
    from_date: dt.date | None
    to_date: dt.date | None
    opening_minor: int | None
    closing_minor: int | None
    balances_are: str
    """`booked`, `available` where the bank gives no booked ones, `running` where each entry has its balance,
    `closing` where only that is given, `absent` where there is no pair."""
    entries: int
    credits_minor: int
    debits_minor: int
    """Of the debits, as a positive number."""
    digest: bytes
    """SHA-256 over what the statement says, whatever file and format details carry it."""
    balances: tuple[Balance, ...] = ()
    not_booked: int = 0
    """Entries the bank marks pending or for information: they are not counted and not given."""
    kind: str = "statement"
    """`statement`, `interim`, `notification`, or `settlement` where a payment channel speaks."""

    @property
    def source(self) -> str:
        """Who speaks: the `custodian` that holds the money, or a payment `channel`."""
        return "channel" if self.kind == "settlement" else "custodian"

    @property
    def sum_check(self) -> str:
        """`ok` or `absent`: a statement that does not add up is refused before this row exists."""
        return "absent" if self.balances_are in ("absent", "closing") else "ok"


def references(*candidates: str) -> tuple[str, ...]:
    """The candidates that identify something, in order, each once."""
    return tuple(dict.fromkeys(text for text in candidates if text.strip().upper() not in NO_REFERENCE))

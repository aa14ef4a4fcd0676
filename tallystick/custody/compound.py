"""Compound entries: several accounts debited and several credited, all or none.

Promises: what is debited in all is what is credited in all; the chain made of them names only transfers
from one account to another, each judged like any other; the same entry asked for again has the same ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from tallystick.custody import codes, errors, numbers, transfers
from tallystick.custody.numbers import AccountNumber, AuthorisationNumber
from tallystick.custody.transfers import TransferRequest

LEGS_MAX = 1_000
"""The most legs of one entry."""


@dataclass(frozen=True, slots=True)
class Leg:
    """An account's part of a compound entry. A client's debit names what the client has authorised."""

    account: AccountNumber
    amount_minor: int
    authorisation: AuthorisationNumber | None = None
    payee: str | None = None


def leg_id(entry_id: str, nth: int) -> str:
    """The id of the nth transfer (from 0) that an entry is made of: always the same one.

    It keeps the time in the entry's own id (a UUID of version 7), so that ids stay in the order of time.
    """
    raw = transfers.parse_id(entry_id)
    told = bytearray(hashlib.sha256(b"tallystick/leg/v1\0" + raw + nth.to_bytes(4, "big")).digest()[:16])
    told[:6] = raw[:6]
    # Version 8 (of one's own making) and variant, as RFC 9562 has them.
    told[6], told[8] = told[6] & 0x0F | 0x80, told[8] & 0x3F | 0x80
    return f"trf_{UUID(bytes=bytes(told))}"


def chain(
    entry_id: str,
    debits: Sequence[Leg],
    credits: Sequence[Leg],
    *,
    code: codes.Code,
    **common: object,
) -> list[TransferRequest]:
    """The transfers of a compound entry as one linked chain, at most one fewer than it has legs.

    Debits and credits are joined in the order given: the first debit fills the first credits, and so on.
    `common` are further fields of every transfer, such as reference or value_date. Raises
    `errors.Malformed` where the two sides differ or a client's authorised debit would have to be split
    between accounts, which no authorisation can allow.
    """
    _require_sound(debits, credits)
    joined: list[tuple[Leg, Leg, int]] = []
    to_credit = list(credits)
    for debit in debits:
        left = debit.amount_minor
        while left:
            credit = to_credit[0]
            amount = min(left, credit.amount_minor)
            joined.append((debit, credit, amount))
            left -= amount
            to_credit[:1] = (
                [replace(credit, amount_minor=credit.amount_minor - amount)]
                if amount < credit.amount_minor
                else []
            )
    for debit, credit, amount in joined:
        if debit.authorisation is not None and amount != debit.amount_minor:
            raise errors.Malformed(
                where=f"debit of {numbers.account_text(debit.account)}",
                field="amount_minor",
                expected=f"credited to one account: {numbers.account_text(credit.account)} takes {amount}",
            )
    return [
        TransferRequest(
            id=leg_id(entry_id, nth),
            debit_account=numbers.account_text(debit.account),
            credit_account=numbers.account_text(credit.account),
            amount_minor=amount,
            code=code.text,
            authorisation=(
                None if debit.authorisation is None else numbers.authorisation_text(debit.authorisation)
            ),
            payee=debit.payee or credit.payee,
            linked=nth < len(joined) - 1,
            **common,  # type: ignore[arg-type]
        )
        for nth, (debit, credit, amount) in enumerate(joined)
    ]


def _require_sound(debits: Sequence[Leg], credits: Sequence[Leg]) -> None:
    for side, legs in (("debits", debits), ("credits", credits)):
        if not 1 <= len(legs) <= LEGS_MAX:
            raise errors.Malformed(where="entry", field=side, expected=f"1 to {LEGS_MAX} legs")
        if any(leg.amount_minor < 1 for leg in legs):
            raise errors.Malformed(where="entry", field=side, expected="1 minor unit or more in each leg")
    debited = sum(leg.amount_minor for leg in debits)
    credited = sum(leg.amount_minor for leg in credits)
    if debited != credited:
        raise errors.Malformed(
            where="entry", field="credits", expected=f"{debited} in all, as the debits are, not {credited}"
        )

"""Numbers that say what they are: accounts and authorisations.

An account number has 18 digits: book (3), family (1), asset (4), serial (10). So a table constraint can
refuse a transfer across books, assets or the client/own border by looking at the numbers alone, without
a join, at the speed of a bulk load. Outside, it is written `acc_` and the 18 digits.

An authorisation number has 18 digits: the serial of the client account it debits (10), which one of that
account's it is (7), kind (1). So a constraint can say that a debit names an authorisation by that client.
"""

from __future__ import annotations

import functools
from enum import IntEnum
from typing import NewType

AccountNumber = NewType("AccountNumber", int)
AuthorisationNumber = NewType("AuthorisationNumber", int)
BookId = NewType("BookId", int)

BOOK_UNIT = 10**15
FAMILY_UNIT = 10**14
ASSET_UNIT = 10**10
SERIAL_MAX = 10**10 - 1
BOOK_MAX = 899
ASSET_MAX = 9999
OWN_ASSET_FIRST = 1000
"""Asset numbers below are ISO 4217's; from here on they are the book keeper's own."""

NTH_MAX = 10**7 - 1


class Family(IntEnum):
    """Whose money an account holds. Closed: there is no fifth."""

    CLIENT = 1
    OWN = 2
    EXTERNAL = 3
    SUSPENSE = 4


class Side(IntEnum):
    """The normal side of an account: where its balance grows."""

    DEBIT = 1
    CREDIT = 2


class AuthorisationKind(IntEnum):
    """What gives the right to debit a client."""

    ORDER = 1
    SCHEDULE = 2
    ENTITLEMENT = 3
    LEGAL = 4


NORMAL_SIDE = {
    Family.CLIENT: Side.CREDIT,
    Family.OWN: Side.CREDIT,
    Family.EXTERNAL: Side.DEBIT,
    Family.SUSPENSE: Side.CREDIT,
}
"""What we owe grows on the credit side; what a bank owes us, on the debit side."""


def account_number(book: int, family: Family, asset: int, serial: int) -> AccountNumber:
    """The number of the `serial`-th account of this family and asset in the book."""
    assert 1 <= book <= BOOK_MAX
    assert 0 <= asset <= ASSET_MAX
    assert 1 <= serial <= SERIAL_MAX
    return AccountNumber(book * BOOK_UNIT + family * FAMILY_UNIT + asset * ASSET_UNIT + serial)


def book_of(number: int) -> BookId:
    return BookId(number // BOOK_UNIT)


def family_of(number: int) -> Family:
    return Family(number // FAMILY_UNIT % 10)


def asset_of(number: int) -> int:
    return number // ASSET_UNIT % 10_000


def serial_of(number: int) -> int:
    return number % ASSET_UNIT


def authorisation_number(account: int, nth: int, kind: AuthorisationKind) -> AuthorisationNumber:
    """The number of the `nth` authorisation by the client of this account."""
    assert 1 <= nth <= NTH_MAX
    return AuthorisationNumber(serial_of(account) * 10**8 + nth * 10 + kind)


def kind_of(authorisation: int) -> AuthorisationKind:
    return AuthorisationKind(authorisation % 10)


def account_text(number: int) -> str:
    """`acc_` and 18 digits."""
    return f"acc_{number:018d}"


def authorisation_text(number: int) -> str:
    """`ath_` and 18 digits."""
    return f"ath_{number:018d}"


@functools.lru_cache(maxsize=65_536)
def parse_account(text: str) -> AccountNumber:
    """The number in `acc_…`. Raises `ValueError` where the form or a part is wrong."""
    number = _digits(text, "acc_")
    if not (1 <= book_of(number) <= BOOK_MAX and 1 <= number // FAMILY_UNIT % 10 <= 4):
        raise ValueError(f"{text!r} names no book or family")
    return AccountNumber(number)


@functools.lru_cache(maxsize=65_536)
def parse_authorisation(text: str) -> AuthorisationNumber:
    """The number in `ath_…`. Raises `ValueError` where the form or the kind is wrong."""
    number = _digits(text, "ath_")
    if not 1 <= number % 10 <= 4:
        raise ValueError(f"{text!r} names no kind of authorisation")
    return AuthorisationNumber(number)


def row_number(text: str, prefix: str) -> int | None:
    """The number in `brk_17` and the like, at most 18 digits; nothing where it is not of this form."""
    digits = text.removeprefix(prefix)
    if digits == text or len(digits) > 18 or not digits.isascii() or not digits.isdigit():
        return None
    return int(digits)


def _digits(text: str, prefix: str) -> int:
    digits = text.removeprefix(prefix)
    if digits == text or len(digits) != 18 or not digits.isascii() or not digits.isdigit():
        raise ValueError(f"{text!r} is not {prefix} and 18 digits")
    return int(digits)

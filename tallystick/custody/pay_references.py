"""Payment references: what a customer writes on a payment so that it finds its owner by itself.

Promises: every client account has one reference for ever, made of its number and two check digits; a typed
reference names an account only where the check digits fit, so no single wrong digit and no two swapped ones
lead to somebody else; a text that names two accounts names none.

Two spellings of one thing, both by ISO 7064 MOD 97-10. Where structured references are known (euro, sterling
and wherever ISO 20022 payments go) it is an ISO 11649 creditor reference: `RF`, check digits, the account's 18
digits. Where a payer has but a line of remarks and a keypad (yuan), it is digits alone: the account's 18, then
the check digits.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from tallystick.custody import numbers
from tallystick.custody.numbers import AccountNumber, Family

DIGITS_ONLY = frozenset({"CNY"})
"""Currencies whose payers write digits; all others write an RF reference."""

_LETTERS = "2715"
"""`RF` as ISO 11649 counts letters: R is 27, F is 15."""

# What people and banks put between the digits: blanks, hyphens, points, strokes, a broken line.
_BETWEEN = r"[ \t\r\n\-./_]{0,3}"
_SHAPED = re.compile(rf"(?=(?<![0-9A-Z])RF{_BETWEEN}((?:[0-9]{_BETWEEN}){{19}}[0-9])(?![0-9]))")
_PLAIN = re.compile(rf"(?=(?<![0-9A-Z])((?:[0-9]{_BETWEEN}){{19}}[0-9])(?![0-9]))")
# The digits of a creditor reference are no reference of digits, whatever they come to.
_OF_SHAPED = re.compile(rf"RF(?:{_BETWEEN}[0-9])+")
TEXT_MAX = 4_000
"""The most characters of one text that are read."""


class Unread(StrEnum):
    """Why a text names no account."""

    NONE = "no_reference"
    MISTYPED = "mistyped"
    SEVERAL = "several"


@dataclass(frozen=True, slots=True)
class Found:
    """What texts name: one account, or why none."""

    account: AccountNumber | None
    why: Unread | None = None


def rf(account: int) -> str:
    """The account's creditor reference by ISO 11649, without blanks."""
    check = 98 - int(f"{account:018d}{_LETTERS}00") % 97
    return f"RF{check:02d}{account:018d}"


def digits(account: int) -> str:
    """The account's reference of 20 digits: its number and two check digits by ISO 7064 MOD 97-10."""
    check = 98 - int(f"{account:018d}00") % 97
    return f"{account:018d}{check:02d}"


def reference(account: int, currency: str) -> str:
    """The reference a payer of this currency is asked to write."""
    return digits(account) if currency in DIGITS_ONLY else rf(account)


def grouped(text: str) -> str:
    """In fours, as it is printed and read aloud."""
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))


def read(texts: Iterable[str]) -> Found:
    """The one client account that these texts name, in either spelling, however it was spaced.

    A creditor reference whose check digits are wrong is told as mistyped: somebody meant an account.
    """
    named: set[AccountNumber] = set()
    mistyped = False
    for text in texts:
        written = unicodedata.normalize("NFKC", text[:TEXT_MAX]).upper()
        for spelled in _SHAPED.findall(written):
            plain = re.sub(r"[^0-9]", "", spelled)
            if int(plain[2:] + _LETTERS + plain[:2]) % 97 == 1 and (account := _client(plain[2:])):
                named.add(account)
            else:
                mistyped = True
        for spelled in _PLAIN.findall(_OF_SHAPED.sub("RF", written)):
            plain = re.sub(r"[^0-9]", "", spelled)
            account = _client(plain[:18])
            if account and int(plain) % 97 == 1:
                named.add(account)
    if len(named) == 1:
        return Found(named.pop())
    if named:
        return Found(None, Unread.SEVERAL)
    return Found(None, Unread.MISTYPED if mistyped else Unread.NONE)


def _client(text: str) -> AccountNumber | None:
    """The client account of 18 digits, or nothing: no other family has owners."""
    try:
        number = numbers.parse_account(f"acc_{text}")
    except ValueError:
        return None
    return number if numbers.family_of(number) == Family.CLIENT else None

"""Payout references: the end-to-end id by which a payout is known to every bank on its way, and back again.

Promises: one id for a payout, in the characters every payment scheme lets through; a text that is no such
id names no payout. What carries one is a payout's own affair, never a deposit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

PREFIX = "PAY-"
_FORM = re.compile(PREFIX + r"([1-9][0-9]{0,2})-([0-9]{10,18})")


def end_to_end_id(book: int, payout_id: int) -> str:
    """`PAY-`, the book, and the payout's number in ten digits or more."""
    return f"{PREFIX}{book}-{payout_id:010d}"


def payout_of(text: str) -> tuple[int, int] | None:
    """The book and the payout that an end-to-end id names, if it is one of ours."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        return None
    book, payout_id = int(found[1]), int(found[2])
    return (book, payout_id) if end_to_end_id(book, payout_id) == text.strip() else None


def named_in(references: Iterable[str]) -> tuple[int, int] | None:
    """The book and the payout that the first of these references names, of those that name one."""
    return next((found for text in references if (found := payout_of(text)) is not None), None)

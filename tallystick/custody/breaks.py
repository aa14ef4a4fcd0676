"""Breaks: the closed list of reasons why a line stands on one side of a reconciliation only."""

from __future__ import annotations

from enum import StrEnum


class BreakKind(StrEnum):
    """The kinds, in the order in which they are judged: the first that holds is told."""

    DUPLICATE = "duplicate"
    AMOUNT = "amount"
    WRONG_ACCOUNT = "wrong_account"
    TIMING = "timing"
    UNIDENTIFIED = "unidentified"
    MISSING_IN_LEDGER = "missing_in_ledger"
    MISSING_AT_BANK = "missing_at_bank"

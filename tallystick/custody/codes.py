"""Transfer codes: why money moves. A closed list, in every table and page by the same name."""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """Why a transfer was made. The name is the word outside, the number the one in the table."""

    TOP_UP = 1
    WITHDRAWAL = 2
    LEND = 3
    DISBURSE = 4
    REPAY = 5
    FEE = 6
    REFUND = 7
    INTEREST = 8
    SETTLEMENT = 9
    UNIDENTIFIED_RECEIPT = 10
    IDENTIFIED = 11
    RETURN = 12
    EXCHANGE = 13
    CORRECTION = 14
    OPENING_BALANCE = 15
    FEE_PAYOUT = 16
    COMPENSATION = 17
    LEGAL = 18
    TRANSFER = 19
    PAYOUT_RETURN = 20

    @property
    def text(self) -> str:
        return self.name.lower()


BY_TEXT = {code.text: code for code in Code}

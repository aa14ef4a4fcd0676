"""Files to take away: where their bytes go, and cells that no spreadsheet computes."""

from __future__ import annotations

from typing import Protocol

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class Sink(Protocol):
    """Where bytes go: a file, a response, a member of a ZIP."""

    def write(self, content: bytes, /) -> object:
        """Take these bytes."""


def cell(value: object) -> str:
    """What stands in a CSV cell: a text that no spreadsheet takes for a formula. Numbers stay numbers."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    digits = text.removeprefix("-").replace(".", "", 1)
    return digits.isascii() and digits.isdigit()

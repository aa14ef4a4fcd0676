"""Numbers as they are written outside."""

from __future__ import annotations

import pytest

from tallystick.custody import numbers


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("brk_17", 17),
        ("brk_" + "9" * 18, 10**18 - 1),
        ("brk_" + "9" * 19, None),
        ("rec_17", None),
        ("brk_brk_17", None),
        ("17", None),
        ("brk_", None),
        ("brk_-1", None),
        ("brk_١٧", None),
        ("brk_1 ", None),
    ],
)
def test_a_row_is_named_by_its_prefix_and_at_most_18_digits(text: str, number: int | None) -> None:
    """Another prefix names nothing here, and no number is too large for the database's."""
    assert numbers.row_number(text, "brk_") == number

"""Cells of the files that people take away."""

from __future__ import annotations

import pytest

from tallystick.core import files


@pytest.mark.parametrize(
    "text", ["=1+1", "+49 30 1", "-1+cmd", "@SUM(1)", "\t=1", "\r=1", "-", "--5", "-1e5"]
)
def test_no_text_is_computed(text: str) -> None:
    """What could begin a formula is marked as a text, a minus before what is no number included."""
    assert files.cell(text) == f"'{text}"


@pytest.mark.parametrize(
    ("value", "told"),
    [(-5, "-5"), ("-5.00", "-5.00"), (0, "0"), ("12.50", "12.50"), ("王芳", "王芳"), ("", ""), (None, "")],
)
def test_a_number_stays_a_number(value: object, told: str) -> None:
    """An amount below nothing is still one that can be added up."""
    assert files.cell(value) == told

"""What is let in as a text that somebody wrote."""

from __future__ import annotations

import pytest

from tallystick.core import texts


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("a", True),
        ("对账", True),
        ("12345", True),
        ("123456", False),
        ("1234 ", True),
        ("12345 ", False),
        ("", False),
        ("   ", False),
        ("a\nb", False),
        ("a\x00", False),
        ("a\u202eb", False),
    ],
)
def test_a_text_is_one_printable_line_of_a_length(text: str, fits: bool) -> None:
    """Blanks alone say nothing, and count where a text is too long; a line feed or a turned line is none."""
    assert texts.says(text, 5) is fits


def test_the_least_counts_without_the_blanks_around() -> None:
    """Two letters are two, however many blanks stand around them; of least 0 nothing will do."""
    assert texts.says(" ab ", 5, least=2)
    assert not texts.says(" a ", 5, least=2)
    assert texts.says("", 5, least=0)

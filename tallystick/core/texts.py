"""Texts that people write: a name, a reason, a note."""

from __future__ import annotations


def says(text: str, most: int, least: int = 1) -> bool:
    """Whether this is one line of at most `most` characters that says something: `least` besides blanks around it."""
    return least <= len(text.strip()) and len(text) <= most and text.isprintable()

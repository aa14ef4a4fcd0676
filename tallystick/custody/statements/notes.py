"""Notes: departures from the standard that leave the money and its meaning clear, in words of both languages.

A note never stops a file. It says what the bank did otherwise than the standard, or what is missing
between two statements, so that somebody can ask.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

TEXTS = {
    "no_version": _("The message names no version of its format."),
    "not_booked": _("The entry has the status {status}: it is not counted."),
    "details_differ": _(
        "The {count} transactions add up to {total}, the entry to {amount}: the entry is booked."
    ),
    "batch_counts": _("The batch says it has {stated} transactions and has {count}: the entry is booked."),
    "batch_differs": _("The batch says it comes to {total}, the entry to {amount}: the entry is booked."),
    "entry_repeated": _("The entry says the same as the one at line {first}: it is counted all the same."),
    "entry_known": _("The entry says the same as line {first} of {file}: it is counted all the same."),
    "no_entry_date": _("The entry has no date: {day} is taken."),
    "interim_balances": _(
        "The balances are of the whole day, the entries of a part of it: the sum cannot be checked."
    ),
    "available_balances": _("No booked balances: the available ones were checked."),
    "no_balances": _("No opening and closing balance: the sum cannot be checked."),
    "number_gap": _("Statement {number} follows statement {before}."),
    "balance_gap": _("The statement opens with {opening}, the one before it closed with {closing}."),
    "statement_known": _("This statement came in another file before: its lines are not taken again."),
    "several_narratives": _("The entry has several :86: fields: they are joined."),
    "no_number": _("The statement has no number (:28C:)."),
    "old_number_field": _("The statement number stands in :28:, not in :28C:."),
    "stray_text": _("Text after {field} is passed over."),
    "blank_entry_date": _("The entry date is blank: the value date is taken."),
    "ofx_unclosed": _("The file says that it is XML, but its values have no end tags, as in OFX 1."),
    "encoding_differs": _("The file declares the encoding {declared}; its bytes are {found}."),
    "no_fitid": _("The entry has no transaction number (FITID): the same one is not known again."),
    "type_differs": _("The entry's type is {type}, and its sign says otherwise: the sign holds."),
    "transaction_type": _("The transaction type {type} begins with none of N, F and S."),
    "no_decimal_comma": _("The amount in {field} has no decimal comma."),
}
"""English texts by code; amounts are in minor units."""


NOTES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Note:
    """One departure, and the line of the file where it was seen."""

    line: int
    code: str
    values: tuple[tuple[str, str | int], ...] = ()

    @property
    def text(self) -> str:
        """In the language of the moment."""
        return gettext(TEXTS[self.code]).format(**dict(self.values))


class Notes(list[Note]):
    """The notes of one file, `NOTES_MAX` at most: a bank that departs on every line departs on a million."""

    def append(self, each: Note) -> None:
        if len(self) < NOTES_MAX:
            super().append(each)

    def extend(self, those: Iterable[Note]) -> None:
        for each in those:
            self.append(each)


def note(line: int, code: str, **values: str | int) -> Note:
    """A note of this code, whose text takes these values."""
    assert code in TEXTS, f"{code} has no text"
    return Note(line, code, tuple(values.items()))

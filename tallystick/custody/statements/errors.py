"""Why a statement file is refused: one class a reason, in the order in which they are judged.

The docstring of a class is the English message, with the places of its values in braces; the
locale holds the Chinese one. A refusal names the line and the field, what was expected there, and
what the person who sent the file can do. Of a refused file nothing is kept.
"""

from __future__ import annotations

from typing import ClassVar

from django.utils.translation import gettext

from tallystick.core.errors import Refusal


class NotAStatement(Exception):
    """The file is not a bank statement in a format that is read here. Not a refusal: nothing is wrong."""

    def __init__(self, format_name: str, reason: str) -> None:
        super().__init__(reason)
        self.format_name = format_name
        """What the file is, as far as it says so: `camt.054.001.04`, `pain.001.001.09`, `unknown`."""
        self.reason = reason


class StatementRefused(Refusal):
    """The statement file is refused."""

    what_to_do: ClassVar[str] = "Ask the bank for the file again."
    """The next step, in English: also the key of its translation."""

    def __init__(self, *, line: int, field: str, expected: str = "", **values: str | int) -> None:
        super().__init__(line=line, field=field, expected=expected, **values)
        self.line = line
        """The line of the file, from 1, where the fault was seen."""
        self.field = field
        """The field as the format names it: `:62F:`, `Stmt/Bal/Amt`."""
        self.expected = expected
        """What should have stood there."""

    @property
    def reason(self) -> str:
        """The message with its values, in English."""
        return self.template().format(**self.fields)

    @property
    def advice(self) -> str:
        """The next step in the language of the moment."""
        return gettext(self.what_to_do)


class TooLarge(StatementRefused):
    """{what} is larger than the {limit} this reader takes."""

    what_to_do = "Ask the bank to send one file a day, or raise the limit if the file is right."


class UnsafeXml(StatementRefused):
    """The file declares {what}: a bank statement never needs one, and an attack does."""

    what_to_do = "Do not open this file elsewhere. Ask the bank whether it sent it."


class BrokenXml(StatementRefused):
    """The XML is broken: {problem}."""

    what_to_do = "The file was cut or changed on its way: fetch it again."


class UnreadableText(StatementRefused):
    """The bytes are not {encoding} text, which is what the file says it is."""

    what_to_do = "Name the right encoding, or ask the bank which one it uses."


class UnsupportedVersion(StatementRefused):
    """This reader does not know the version {version}; it knows {expected}."""

    what_to_do = "Ask the bank for one of the versions that are read."


class NoStatement(StatementRefused):
    """The message holds no statement: {expected} is missing."""

    what_to_do = "Ask the bank why it sent an empty message."


class FieldMissing(StatementRefused):
    """{field} is missing: {expected}."""

    what_to_do = "The file is a fragment or was cut: fetch it again."


class FieldMisplaced(StatementRefused):
    """{field} does not belong here: {expected}."""

    what_to_do = "The file was put together wrongly: ask the bank for the original."


class FieldMalformed(StatementRefused):
    """{field} reads “{found}”, which is not {expected}."""

    what_to_do = "Send the bank this line: its file breaks the format here."


class DateImpossible(StatementRefused):
    """{field} gives the date “{found}”: {expected}."""

    what_to_do = "Send the bank this line: the date is wrong."


class CurrencyUnknown(StatementRefused):
    """{field} names the currency “{found}”, which ISO 4217 does not list: its decimals are unknown."""

    what_to_do = "Ask the bank which currency it means."


class AmountMalformed(StatementRefused):
    """{field} gives the amount “{found}”, which is not {expected}."""

    what_to_do = "Send the bank this line: the amount cannot be read in one way only."


class AmountTooPrecise(StatementRefused):
    """{field} gives the amount “{found}”: {currency} has {scale} decimals, and what follows is not zero."""

    what_to_do = "Send the bank this line: such an amount cannot be booked."


class CurrencyDiffers(StatementRefused):
    """{field} is in {found}, but the statement is in {expected}."""

    what_to_do = "A statement has one currency: ask the bank for one statement a currency."


class BalancesDisagree(StatementRefused):
    """{field} is given twice with different values: {first} and {second} minor units."""

    what_to_do = "Ask the bank which of the two balances holds."


class PagesDisagree(StatementRefused):
    """Page {page} of statement {number} does not follow the page before it: {expected}."""

    what_to_do = "A page is missing or changed: ask the bank for the whole statement."


class StatementRepeated(StatementRefused):
    """Statement {number} stands in this file twice, first at line {first}."""

    what_to_do = "Remove the copy, or ask the bank for the file again."


class SummaryDiffers(StatementRefused):
    """The bank's own summary {field} says {expected}, the entries give {found}."""

    what_to_do = "Entries are missing or changed: ask the bank for the file again."


class SumDiffers(StatementRefused):
    """The opening balance and the {entries} entries give {found} minor units, the closing balance is
    {expected}: they differ by {difference_minor}."""

    what_to_do = "An entry is missing, doubled or changed: ask the bank for the file again."

    @property
    def difference_minor(self) -> int:
        """Closing balance less (opening balance plus entries), in minor units."""
        return int(str(self.fields["difference_minor"]))


REFUSALS: tuple[type[StatementRefused], ...] = (
    TooLarge,
    UnsafeXml,
    BrokenXml,
    UnreadableText,
    UnsupportedVersion,
    NoStatement,
    FieldMissing,
    FieldMisplaced,
    FieldMalformed,
    DateImpossible,
    CurrencyUnknown,
    AmountMalformed,
    AmountTooPrecise,
    CurrencyDiffers,
    BalancesDisagree,
    PagesDisagree,
    StatementRepeated,
    SummaryDiffers,
    SumDiffers,
)

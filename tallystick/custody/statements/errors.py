"""Why a statement file is refused: one class a reason, in the order in which they are judged.

The docstring of a class is the English message, with the places of its values in braces; the
locale holds the Chinese one. A refusal names the line and the field, what was expected there, and
what the person who sent the file can do. Of a refused file nothing is kept.
"""

from __future__ import annotations

from typing import ClassVar

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from tallystick.core.errors import Refusal


class NotAStatement(Refusal):
    """This file is no statement that is read here (camt, MT940, OFX, CSV): it is {format}."""

    def __init__(self, format_name: str) -> None:
        super().__init__(format=format_name)
        self.format_name = format_name
        """What the file is, as far as it says so: `pain.001.001.09`, `xml`, `ofx.102`, `empty`, `unknown`."""


class MappingInvalid(Refusal):
    """The mapping cannot be used: {problem}"""

    def __init__(self, problem: str) -> None:
        super().__init__(problem=problem)
        self._problem = problem

    @property
    def message(self) -> str:
        """The message in the language of the moment; what a parser said of a broken document stays as it is."""
        return gettext(self.template()).format(problem=gettext(self._problem))


class StatementRefused(Refusal):
    """The statement file is refused."""

    what_to_do: ClassVar[str] = _("Ask the bank for the file again.")
    """The next step, in English: also the key of its translation."""

    def __init__(self, *, line: int, field: str, expected: str = "", **values: str | int) -> None:
        # What was expected may itself have places for the other values.
        given = {"line": line, "field": field, **values}
        super().__init__(**given, expected=expected.format(**given))
        self.line = line
        """The line of the file, from 1, where the fault was seen."""
        self.field = field
        """The field as the format names it: `:62F:`, `Stmt/Bal/Amt`."""
        self.expected = expected.format(**given)
        """What should have stood there, in English."""
        self._expected = expected
        self._given = given

    @property
    def message(self) -> str:
        """The message in the language of the moment, with what was expected in the same one."""
        told = {name: _told(value) for name, value in self._given.items()}
        expected = gettext(self._expected).format(**told) if self._expected else ""
        return gettext(self.template()).format(**told, expected=expected)

    @property
    def advice(self) -> str:
        """The next step in the language of the moment."""
        return gettext(self.what_to_do)


def _told(value: str | int) -> str | int:
    """A word of ours in the language of the moment; a word of the file, which no catalogue has, as it is."""
    return gettext(value) if isinstance(value, str) and value else value


class TooLarge(StatementRefused):
    """{what} is larger than this reader takes: {limit} {unit}."""

    what_to_do = _("Ask the bank to send one file a day, or raise the limit if the file is right.")


class UnsafeXml(StatementRefused):
    """The file declares {what}: a bank statement never needs one, and an attack does."""

    what_to_do = _("Do not open this file elsewhere. Ask the bank whether it sent it.")


class BrokenXml(StatementRefused):
    """The XML is broken: {problem}."""

    what_to_do = _("The file was cut or changed on its way: fetch it again.")


class BrokenTags(StatementRefused):
    """The OFX is broken: {expected}."""

    what_to_do = _("The file was cut or changed on its way: fetch it again.")


class UnreadableText(StatementRefused):
    """The bytes are not {encoding} text, which is what the file says it is."""

    what_to_do = _("Name the right encoding, or ask the bank which one it uses.")


class MappingMissing(StatementRefused):
    """A CSV file does not say what its columns are, and no mapping that was given has its header."""

    what_to_do = _("Declare a mapping for this bank or channel, and name it with --mapping.")


class ColumnMissing(StatementRefused):
    """The mapping's column “{expected}” for {field} does not stand once in the header: {found}."""

    what_to_do = _("The file has another layout than the mapping says: use the mapping that fits it.")


class UnsupportedVersion(StatementRefused):
    """This reader does not know the version {version}; it knows {expected}."""

    what_to_do = _("Ask the bank for one of the versions that are read.")


class NoStatement(StatementRefused):
    """The message holds no statement: {expected} is missing."""

    what_to_do = _("Ask the bank why it sent an empty message.")


class FieldMissing(StatementRefused):
    """{field} is missing: {expected}."""

    what_to_do = _("The file is a fragment or was cut: fetch it again.")


class FieldMisplaced(StatementRefused):
    """{field} does not belong here: {expected}."""

    what_to_do = _("The file was put together wrongly: ask the bank for the original.")


class FieldMalformed(StatementRefused):
    """{field} reads “{found}”, which is not {expected}."""

    what_to_do = _("Send the bank this line: its file breaks the format here.")


class DateImpossible(StatementRefused):
    """{field} gives the date “{found}”: {expected}."""

    what_to_do = _("Send the bank this line: the date is wrong.")


class CurrencyUnknown(StatementRefused):
    """{field} names the currency “{found}”, which ISO 4217 does not list: its decimals are unknown."""

    what_to_do = _("Ask the bank which currency it means.")


class AmountMalformed(StatementRefused):
    """{field} gives the amount “{found}”, which is not {expected}."""

    what_to_do = _("Send the bank this line: the amount cannot be read in one way only.")


class AmountTooPrecise(StatementRefused):
    """{field} gives the amount “{found}”: {currency} has {scale} decimals, and what follows is not zero."""

    what_to_do = _("Send the bank this line: such an amount cannot be booked.")


class CurrencyDiffers(StatementRefused):
    """{field} is in {found}, but the statement is in {expected}."""

    what_to_do = _("A statement has one currency: ask the bank for one statement a currency.")


class BalancesDisagree(StatementRefused):
    """{field} is given twice with different values: {first} and {second} minor units."""

    what_to_do = _("Ask the bank which of the two balances holds.")


class PagesDisagree(StatementRefused):
    """Page {page} of statement {number} does not follow the page before it: {expected}."""

    what_to_do = _("A page is missing or changed: ask the bank for the whole statement.")


class StatementRepeated(StatementRefused):
    """Statement {number} stands in this file twice, first at line {first}."""

    what_to_do = _("Remove the copy, or ask the bank for the file again.")


class NetDiffers(StatementRefused):
    """{field} says {found} minor units; gross less fee gives {expected}."""

    what_to_do = _("Ask the channel for the file again, or check which columns the mapping names.")


class SummaryDiffers(StatementRefused):
    """The bank's own summary {field} says {expected}, the entries give {found}."""

    what_to_do = _("Entries are missing or changed: ask the bank for the file again.")


class SumDiffers(StatementRefused):
    """The opening balance and the {entries} entries give {found} minor units, the closing balance is
    {expected}: they differ by {difference_minor}."""

    what_to_do = _("An entry is missing, doubled or changed: ask the bank for the file again.")

    @property
    def difference_minor(self) -> int:
        """Closing balance less (opening balance plus entries), in minor units."""
        return int(self._given["difference_minor"])


REFUSALS: tuple[type[StatementRefused], ...] = (
    TooLarge,
    UnsafeXml,
    BrokenXml,
    BrokenTags,
    UnreadableText,
    MappingMissing,
    ColumnMissing,
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
    NetDiffers,
    SummaryDiffers,
    SumDiffers,
)

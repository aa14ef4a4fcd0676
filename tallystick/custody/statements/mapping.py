"""A mapping: what the columns of a CSV file are, declared by whoever knows the bank or the channel.

A CSV file says nothing of itself, and a guess about a decimal comma is a guess about money. So nothing is
guessed: a mapping names delimiter, decimal mark, date format, sign and columns, and a file that does not
keep to it is refused at the line. It is a YAML or JSON document; docs/howto/read-statement-files.md tells
each word of it.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from typing import Annotated, Literal

import msgspec
import yaml
from django.utils.translation import gettext_noop as _

from tallystick.custody.statements import errors
from tallystick.custody.statements.currencies import SCALES

BYTES_MAX = 65_536
"""Of a mapping: the longest shipped has one thousand."""

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Column = Text
"""The name of a column in the header; its number from 1 where the file has no header."""
Columns = Column | Annotated[tuple[Column, ...], msgspec.Meta(min_length=1, max_length=8)]
"""One column, or several whose texts are joined."""

_DATE_PART = re.compile(r"%(.)")
_DATE_PARTS = {
    "Y": "(?P<Y>[0-9]{4})",
    "y": "(?P<y>[0-9]{2})",
    "m": "(?P<m>[0-9]{1,2})",
    "d": "(?P<d>[0-9]{1,2})",
    "H": "[0-9]{1,2}",
    "M": "[0-9]{2}",
    "S": "[0-9]{2}",
    "f": "[0-9]{1,9}",
    "z": "(?:Z|[+-][0-9]{2}:?[0-9]{2})",
    "%": "%",
}


class Named(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which column is what. Amounts: `amount`; or `debit` and `credit`; or `gross`, `fee`, `net` of a channel."""

    booking_date: Column
    value_date: Column | None = None
    amount: Column | None = None
    debit: Column | None = None
    credit: Column | None = None
    side: Column | None = None
    gross: Column | None = None
    fee: Column | None = None
    net: Column | None = None
    balance: Column | None = None
    currency: Column | None = None
    account: Column | None = None
    end_to_end_id: Column | None = None
    instruction_id: Column | None = None
    reference: Column | None = None
    servicer_reference: Column | None = None
    settlement: Column | None = None
    code: Column | None = None
    remittance: Columns | None = None
    counterparty_name: Column | None = None
    counterparty_account: Column | None = None


class Sides(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The words of the column `side`."""

    credit: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1, max_length=64)]
    debit: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1, max_length=64)]


class Only(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Only rows whose `column` holds one of `values` are booked; the others are passed over, and counted."""

    column: Column
    values: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=64)]


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One declared layout."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}[a-z0-9]$")]
    columns: Named
    date_format: Annotated[str, msgspec.Meta(min_length=2, max_length=64)]
    decimal: Literal[".", ","]
    kind: Literal["statement", "settlement"] = "statement"
    """`settlement`: a payment channel's, whose lines have a gross amount, a fee and a net one."""
    delimiter: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] = ","
    quote: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] | None = '"'
    encoding: Annotated[str, msgspec.Meta(max_length=32)] | None = None
    """Else by the bytes."""
    thousands: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] | None = None
    strip: Annotated[str, msgspec.Meta(max_length=16)] = ""
    """Characters that stand around a cell and mean nothing: a currency sign, a back quote."""
    skip_lines: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 0
    """Lines before the header."""
    header: bool = True
    footer: Annotated[tuple[Text, ...], msgspec.Meta(max_length=16)] = ()
    """What the first cell begins with where the entries end."""
    positive: Literal["credit", "debit"] = "credit"
    """Which way a positive `amount` goes, as the account's owner sees it."""
    debit_sign: Literal["positive", "negative"] = "positive"
    """How the column `debit` writes its amounts."""
    fee_sign: Literal["positive", "negative"] = "positive"
    """How the column `fee` writes what costs."""
    balance_order: Literal["oldest_first", "newest_first"] = "oldest_first"
    sides: Sides | None = None
    only: Only | None = None
    currency: str | None = None
    account: Text | None = None

    @property
    def named(self) -> dict[str, tuple[str, ...]]:
        """The columns by what they are; each as a tuple."""
        given = ((name, getattr(self.columns, name)) for name in self.columns.__struct_fields__)
        told = {name: (value,) if isinstance(value, str) else value for name, value in given if value}
        return {**told, "only": (self.only.column,)} if self.only else told

    @property
    def as_json(self) -> str:
        """As it is kept beside the file that was read by it."""
        return msgspec.json.encode(self).decode()

    def day(self, text: str) -> dt.date | None:
        """The day a cell gives; `None` where it does not keep to the date format. Raises `ValueError`."""
        found = _date_pattern(self.date_format).match(text)
        if found is None:
            return None
        parts = found.groupdict()
        year = int(parts["Y"]) if parts.get("Y") else 2000 + int(parts["y"])
        return dt.date(year, int(parts["m"]), int(parts["d"]))


@functools.lru_cache(maxsize=64)
def _date_pattern(date_format: str) -> re.Pattern[str]:
    pattern, at = "", 0
    for part in _DATE_PART.finditer(date_format):
        if part.group(1) not in _DATE_PARTS:
            raise ValueError(f"%{part.group(1)}")
        pattern += re.escape(date_format[at : part.start()]) + _DATE_PARTS[part.group(1)]
        at = part.end()
    return re.compile(pattern + re.escape(date_format[at:]) + r"\Z")


def load(content: bytes) -> Mapping:
    """A mapping out of YAML or JSON. Raises `errors.MappingInvalid`."""
    if len(content) > BYTES_MAX:
        raise errors.MappingInvalid(f"{len(content)} > {BYTES_MAX} bytes")
    try:
        given = yaml.safe_load(content.decode())
        found = msgspec.convert(given, Mapping)
    except (yaml.YAMLError, UnicodeDecodeError, msgspec.ValidationError, RecursionError) as problem:
        raise errors.MappingInvalid(" ".join(str(problem).split())[:300]) from None
    if wrong := _problem(found):
        raise errors.MappingInvalid(wrong)
    return found


def _problem(given: Mapping) -> str:
    """What is wrong with a mapping as a whole; empty where nothing is."""
    columns = given.columns
    try:
        names = set(_date_pattern(given.date_format).groupindex)
    except ValueError:
        return _("date_format: it has another part than %Y %y %m %d %H %M %S %f %z")
    if not {"m", "d"} <= names or not names & {"Y", "y"}:
        return _("date_format: a date has a year, a month and a day")
    ways = (
        columns.amount is not None,
        columns.debit is not None or columns.credit is not None,
        any((columns.gross, columns.fee, columns.net)),
    )
    if sum(ways) != 1:
        return _("columns: either amount, or debit and credit, or two of gross, fee and net")
    if ways[1] and not (columns.debit and columns.credit):
        return _("columns: debit and credit belong together")
    if ways[2] and sum(each is not None for each in (columns.gross, columns.fee, columns.net)) < 2:
        return _("columns: two of gross, fee and net at least")
    if ways[2] != (given.kind == "settlement"):
        return _("kind: a settlement, and only it, has gross, fee and net")
    if (columns.side is None) != (given.sides is None) or (columns.side and not columns.amount):
        return _("columns: side needs an amount, and sides the words it is written in")
    if given.columns.currency is None and given.currency is None:
        return _("currency: neither a column nor one for all rows")
    if given.currency is not None and given.currency not in SCALES:
        return _("currency: no ISO 4217 code")
    if columns.account is None and given.account is None:
        return _("account: neither a column nor one for all rows")
    marks = [given.delimiter, given.decimal, given.thousands, given.quote]
    if given.thousands in ("-", "+", given.decimal) or given.delimiter in ("\r", "\n", given.quote):
        return _("delimiter, decimal, thousands and quote are told apart by nothing")
    if any(mark is not None and mark.isalnum() for mark in marks):
        return _("delimiter, decimal, thousands and quote are no letters or digits")
    if not given.header and not all(
        name.isascii() and name.isdigit() and 1 <= int(name) <= 1_000
        for names in given.named.values()
        for name in names
    ):
        return _("columns: without a header they are numbers from 1")
    return ""

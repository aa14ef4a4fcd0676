"""The fields of MT940 and MT942, one by one: balances, entries, totals, times, as SWIFT writes them."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

from django.utils.translation import gettext_noop as _

from tallystick.custody.statements import amounts, errors
from tallystick.custody.statements.rows import NO_REFERENCE

_BALANCE = re.compile(
    r"(?P<side>[CD])(?P<date>[0-9]{6})(?P<currency>[A-Z]{3})?(?P<amount>[0-9,.]*[0-9,])\s*\Z"
)
_LINE = re.compile(
    r"(?P<value>[0-9]{6})(?P<entry>[0-9]{4}|[ ]{4})?(?P<side>R?[CD])(?P<funds>[A-Z])?"
    r"(?P<amount>[0-9]+,?[0-9]*|,[0-9]+)(?P<kind>[A-Z][A-Z0-9 ]{3})(?P<reference>.*)\Z"
)
_NUMBER = re.compile(r"(?P<number>[0-9]{1,18})(/(?P<page>[0-9]{1,9}))?\s*\Z")
_FLOOR = re.compile(r"(?P<currency>[A-Z]{3})(?P<side>[CD])?(?P<amount>[0-9]*,?[0-9]*)\s*\Z")
_TOTAL = re.compile(r"(?P<count>[0-9]{1,9})(?P<currency>[A-Z]{3})(?P<amount>[0-9,.]*[0-9,])\s*\Z")
_TIME = re.compile(r"(?P<date>[0-9]{6})(?P<time>[0-9]{4})([+-][0-9]{4})?\s*\Z")


@dataclass(slots=True)
class Field:
    """One field: its tag, the line where it begins, its lines."""

    tag: str
    line: int
    lines: list[str]

    @property
    def name(self) -> str:
        """As SWIFT writes it: `:61:`."""
        return f":{self.tag}:"

    def malformed(self, expected: str) -> errors.FieldMalformed:
        """The refusal of this field for its form."""
        return errors.FieldMalformed(
            line=self.line, field=self.name, expected=expected, found=amounts.shown(self.lines[0])
        )


@dataclass(frozen=True, slots=True)
class Amount:
    """A balance or a total, before its digits are weighed: they need the currency's decimals."""

    digits: str
    currency: str
    credit: bool = True
    day: dt.date = dt.date.min
    count: int = 0


@dataclass(frozen=True, slots=True)
class Movement:
    """`:61:`: one entry, without its narrative."""

    value_date: dt.date
    booking_date: dt.date
    blank_date: bool
    credit: bool
    reversal: bool
    digits: str
    code: str
    customer_reference: str
    servicer_reference: str
    rest: str


def balance(field: Field) -> Amount:
    """`:60:`, `:62:`, `:64:`, `:65:`."""
    found = _BALANCE.match(field.lines[0].strip())
    if found is None or found["currency"] is None:
        raise field.malformed(_("a side (C or D), a date, a currency and an amount: C201130EUR1234,56"))
    day = amounts.swift_date(found["date"], line=field.line, field=field.name)
    return Amount(found["amount"], found["currency"], found["side"] == "C", day)


def movement(field: Field) -> Movement:
    """`:61:`."""
    found = _LINE.match(field.lines[0].rstrip())
    if found is None:
        raise field.malformed(_("a value date, a side, an amount, a transaction type and a reference"))
    value_date = amounts.swift_date(found["value"], line=field.line, field=field.name)
    booking_date = value_date
    given = found["entry"] or ""
    if given.strip():
        booking_date = amounts.entry_date(given, value_date, line=field.line, field=field.name)
    customer, servicer, rest = _references(found["reference"])
    more = [rest, *(line.strip() for line in field.lines[1:])]
    return Movement(
        value_date=value_date,
        booking_date=booking_date,
        blank_date=bool(given) and not given.strip(),
        # RC takes a credit back, which is a debit; RD takes a debit back, which is a credit.
        credit=found["side"] in ("C", "RD"),
        reversal=found["side"].startswith("R"),
        digits=found["amount"],
        code=found["kind"].strip(),
        customer_reference=customer,
        servicer_reference=servicer,
        rest=" ".join(text for text in more if text),
    )


def floor(field: Field) -> Amount:
    """`:34F:`: from which amount on an interim report tells single entries; it names the currency."""
    found = _FLOOR.match(field.lines[0].strip())
    if found is None:
        raise field.malformed(_("a currency, a side where there are two, and an amount: EURD0,"))
    return Amount(found["amount"], found["currency"], found["side"] != "D")


def total(field: Field) -> Amount:
    """`:90D:` and `:90C:`: how many debits or credits an interim report has, and their sum."""
    found = _TOTAL.match(field.lines[0].strip())
    if found is None:
        raise field.malformed(_("a number, a currency and a sum: 3EUR12,34"))
    return Amount(found["amount"], found["currency"], field.tag == "90C", count=int(found["count"]))


def moment(field: Field) -> dt.date:
    """`:13D:` or `:13:`: the day of an interim report; its time and offset are the bank's."""
    found = _TIME.match(field.lines[0].strip())
    if found is None or found["time"][:2] > "23" or found["time"][2:] > "59":
        raise field.malformed(_("a date, a time and an offset: 2603021730+0100"))
    return amounts.swift_date(found["date"], line=field.line, field=field.name)


def number(field: Field) -> tuple[int, int | None]:
    """`:28C:`: the statement's number and its page."""
    found = _NUMBER.match(field.lines[0].strip())
    if found is None:
        raise field.malformed(_("a statement number and a page, 12/1"))
    return int(found["number"]), int(found["page"]) if found["page"] else None


def account(text: str) -> tuple[str, bool]:
    """The account of `:25:`, its IBAN where it holds one, without blanks and the currency after it."""
    whole = text.replace(" ", "")
    for candidate in (whole, *whole.split("/")):
        for form in (candidate.upper(), candidate.upper()[:-3]):
            if amounts.is_iban(form):
                return form, True
    return whole, False


def _references(text: str) -> tuple[str, str, str]:
    """Subfields 7 and 8 of `:61:`, and what follows a reference that is longer than its 16 characters.

    Some banks pad the reference with blanks and put text after it; others write a longer reference,
    which then has no run of blanks in it and stays whole.
    """
    customer, _, servicer = text.partition("//")
    rest = ""
    if len(customer) > 16 and re.search(r"\s", customer[:17]):
        customer, rest = customer[:16], customer[16:]
    return _known(customer), _known(servicer), rest.strip()


def _known(reference: str) -> str:
    reference = reference.strip()
    return "" if reference.upper() in NO_REFERENCE else reference

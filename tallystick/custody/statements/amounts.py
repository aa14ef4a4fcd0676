"""Amounts, currencies and dates as statement formats write them, read in one way or refused."""

from __future__ import annotations

import datetime as dt
import re

from django.utils.translation import gettext_noop as _

from tallystick.custody.statements import errors
from tallystick.custody.statements.currencies import SCALES

DIGITS_MAX = 18
"""ISO 20022 allows 18 digits, which a PostgreSQL bigint holds."""

_POINT = re.compile(r"\+?([0-9]*)(?:\.([0-9]*))?\Z")
_COMMA = re.compile(r"([0-9]*)(?:,([0-9]*))?\Z")


def scale_of(currency: str, *, line: int, field: str) -> int:
    """The decimals of a currency by ISO 4217."""
    scale = SCALES.get(currency)
    if scale is None:
        raise errors.CurrencyUnknown(
            line=line, field=field, expected=_("an ISO 4217 code"), found=shown(currency)
        )
    return scale


def minor(text: str, *, mark: str, currency: str, scale: int, line: int, field: str) -> int:
    """An unsigned amount in minor units; decimals beyond the scale must be zeros.

    `mark` is the decimal mark of the format: `.` in ISO 20022, `,` in SWIFT MT.
    """
    found = (_POINT if mark == "." else _COMMA).match(text.strip())
    whole, fraction = (found.group(1), found.group(2) or "") if found else ("", "")
    if not whole and not fraction:
        raise errors.AmountMalformed(
            line=line,
            field=field,
            expected=_("digits with one decimal mark “{mark}” at most"),
            mark=mark,
            found=shown(text),
        )
    if fraction[scale:].strip("0"):
        raise errors.AmountTooPrecise(
            line=line,
            field=field,
            expected=_("at most {scale} decimals"),
            found=shown(text),
            currency=currency,
            scale=scale,
        )
    digits = (whole + fraction[:scale].ljust(scale, "0")).lstrip("0") or "0"
    if len(digits) > DIGITS_MAX:
        raise errors.AmountMalformed(
            line=line, field=field, expected=_("at most {most} digits"), most=DIGITS_MAX, found=shown(text)
        )
    return int(digits)


def iso_date(text: str, *, line: int, field: str) -> dt.date:
    """The calendar day of an ISO date or date-time, as the bank wrote it.

    The offset is not applied: 00:30+01:00 is the bank's day, not the day before it in Greenwich.
    """
    text = text.strip()
    head, rest = text[:10], text[10:]
    # An xsd:date may carry an offset; an xsd:dateTime has a T. Anything else is not a date.
    if rest and not re.match(r"(T[0-9:.,]+)?(Z|[+-][0-9]{2}:?[0-9]{2})?\Z", rest):
        raise errors.DateImpossible(
            line=line, field=field, expected=_("a date is year-month-day"), found=shown(text)
        )
    try:
        if not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z", head):
            raise ValueError
        return dt.date(int(head[:4]), int(head[5:7]), int(head[8:]))
    except ValueError:
        raise errors.DateImpossible(
            line=line, field=field, expected=_("no calendar has such a day"), found=shown(text)
        ) from None


def swift_date(text: str, *, line: int, field: str) -> dt.date:
    """A SWIFT date, YYMMDD: years 80 to 99 are of the last century."""
    year = int(text[:2])
    try:
        return dt.date(1900 + year if year > 79 else 2000 + year, int(text[2:4]), int(text[4:6]))
    except ValueError:
        raise errors.DateImpossible(
            line=line, field=field, expected=_("no calendar has such a day"), found=text
        ) from None


def entry_date(text: str, value_date: dt.date, *, line: int, field: str) -> dt.date:
    """A SWIFT entry date, MMDD: in the year that brings it nearest to the value date."""
    days = []
    for year in (value_date.year - 1, value_date.year, value_date.year + 1):
        try:
            days.append(dt.date(year, int(text[:2]), int(text[2:4])))
        except ValueError:
            continue  # 29 February is a day of some of the three years only.
    if not days:
        raise errors.DateImpossible(
            line=line, field=field, expected=_("no calendar has such a day"), found=text
        )
    return min(days, key=lambda day: (abs((day - value_date).days), day))


def is_iban(text: str) -> bool:
    """Whether the text is an IBAN by shape and check digits (ISO 13616, ISO 7064 mod 97-10)."""
    if not re.match(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}\Z", text):
        return False
    return int("".join(str(int(char, 36)) for char in text[4:] + text[:4])) % 97 == 1


def is_bic(text: str) -> bool:
    """Whether the text is a BIC by its shape (ISO 9362)."""
    return re.match(r"[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?\Z", text) is not None


def shown(text: str) -> str:
    """A value as a refusal quotes it: printable and short."""
    printable = "".join(char if char.isprintable() else "·" for char in text)
    return printable if len(printable) <= 60 else printable[:59] + "…"

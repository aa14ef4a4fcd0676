"""The fields that a camt message writes in the same way wherever it has them: amounts, sides, days, numbers."""

from __future__ import annotations

import datetime as dt
import re

from django.utils.translation import gettext_noop as _

from tallystick.custody.statements import amounts, errors
from tallystick.custody.statements.xml_stream import Node

NUMBER_DIGITS_MAX = 18


def unsigned(amount: Node, *, currency: str, scale: int, field: str) -> int:
    """An amount element in minor units."""
    return amounts.minor(amount.text, mark=".", currency=currency, scale=scale, line=amount.line, field=field)


def signed(node: Node, currency: str, scale: int, *, field: str) -> int:
    """The amount of a balance or an entry, credits positive, in the currency of the statement."""
    amount = node.get("Amt")
    if amount is None:
        raise errors.FieldMissing(line=node.line, field=f"{field}/Amt", expected=_("an amount"))
    if not amount.currency:
        raise errors.FieldMissing(line=amount.line, field=f"{field}/Amt/@Ccy", expected=_("a currency"))
    if amount.currency != currency:
        raise errors.CurrencyDiffers(
            line=amount.line,
            field=f"{field}/Amt/@Ccy",
            expected=currency,
            found=amounts.shown(amount.currency),
        )
    value = unsigned(amount, currency=currency, scale=scale, field=f"{field}/Amt")
    side = node.value("CdtDbtInd")
    if side not in ("CRDT", "DBIT"):
        raise errors.FieldMalformed(
            line=node.line, field=f"{field}/CdtDbtInd", expected=_("CRDT or DBIT"), found=amounts.shown(side)
        )
    return value if side == "CRDT" else -value


def day(node: Node, *, field: str) -> dt.date:
    """The day of a date choice: `Dt` or `DtTm`."""
    for name in ("Dt", "DtTm"):
        given = node.get(name)
        if given is not None:
            return amounts.iso_date(given.text, line=given.line, field=f"{field}/{name}")
    raise errors.FieldMissing(line=node.line, field=field, expected=_("a date"))


def optional_day(node: Node | None, *path: str, field: str) -> dt.date | None:
    """The day of a plain date or time down this path, where there is one."""
    given = node.get(*path) if node is not None else None
    if given is None:
        return None
    return amounts.iso_date(given.text, line=given.line, field=f"{field}/{'/'.join(path)}")


def number(node: Node, *path: str, field: str) -> int | None:
    """The whole number down this path, where there is one."""
    given = node.get(*path)
    if given is None or not given.text.strip():
        return None
    text = given.text.strip()
    if not re.match(rf"[0-9]{{1,{NUMBER_DIGITS_MAX}}}\Z", text):
        raise errors.FieldMalformed(
            line=given.line,
            field=f"{field}/{'/'.join(path)}",
            expected=_("a number"),
            found=amounts.shown(text),
        )
    return int(text)

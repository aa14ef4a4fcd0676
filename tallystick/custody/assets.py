"""Assets: what is held, and how many decimals its minor unit has.

Promises: a currency of ISO 4217 has the number and the scale that the standard gives it; an asset of the
book keeper's own has a number from 1000 on; neither ever changes, for amounts are read by them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connections, transaction

from tallystick.core import money
from tallystick.core.db import Db
from tallystick.custody import errors, numbers
from tallystick.evidence import log
from tallystick.identity import access
from tallystick.identity.access import Actor

SCALE_MAX = 18

_CODE = re.compile(r"^[A-Z][A-Z0-9]{2,11}$")


@dataclass(frozen=True, slots=True)
class Asset:
    """An asset. Account numbers carry its `number`; amounts are whole units of 10 to the minus `scale`."""

    number: int
    code: str
    scale: int
    name: str


def misfit(number: int, code: str, scale: int, name: str) -> tuple[str, str] | None:
    """The first thing wrong with an asset about to be defined: the field, and what was expected of it.

    The three letters of an ISO currency always mean that currency, and numbers below 1000 are ISO's.
    """
    if not _CODE.match(code):
        return "code", "3 to 12 capital letters and digits, a letter first"
    if not 0 <= scale <= SCALE_MAX:
        return "scale", f"a whole number from 0 to {SCALE_MAX}"
    if not 1 <= len(name.strip()) <= 120 or not name.isprintable():
        return "name", "1 to 120 characters"
    currency = money.CURRENCIES.get(code)
    if currency is None and not numbers.OWN_ASSET_FIRST <= number <= numbers.ASSET_MAX:
        return "number", f"{numbers.OWN_ASSET_FIRST} to {numbers.ASSET_MAX}: lower ones are those of ISO 4217"
    if currency is not None and (number, scale) != (currency.number, currency.scale):
        return "number and scale", f"{currency.number} and {currency.scale}, as ISO 4217 has them for {code}"
    return None


def asset(db: Db, code: str) -> Asset:
    """The asset of this code. Raises `errors.AssetUnknown`."""
    with connections[db].cursor() as cursor:
        cursor.execute("select number, code, scale, name from custody_asset where code = %s", [code])
        row = cursor.fetchone()
    if row is None:
        raise errors.AssetUnknown(asset=code)
    return Asset(*row)


def assets(db: Db) -> Sequence[Asset]:
    """Every asset, by number."""
    with connections[db].cursor() as cursor:
        cursor.execute("select number, code, scale, name from custody_asset order by number")
        return [Asset(*row) for row in cursor.fetchall()]


def define(db: Db, number: int, code: str, scale: int, name: str, *, actor: Actor, now: datetime) -> Asset:
    """Define an asset. Raises `errors.Malformed`, or `AssetExists` where its number or code is taken."""
    access.require(db, actor, "custody.define_asset")
    if wrong := misfit(number, code, scale, name):
        raise errors.Malformed(where=f"asset {code}", field=wrong[0], expected=wrong[1])
    defined = Asset(number, code, scale, name)
    with transaction.atomic(using=db):
        if not _write(db, defined, actor=actor, now=now):
            raise errors.AssetExists(asset=code)
    return defined


def ensure_currency(db: Db, code: str, *, actor: Actor, now: datetime) -> Asset:
    """The asset of this code, defined now if it is a currency of ISO 4217 that nobody has needed before.

    Whoever may open an account may call for a currency: the standard leaves nothing to decide.
    """
    access.require(db, actor, "custody.open_account")
    try:
        return asset(db, code)
    except errors.AssetUnknown:
        if code not in money.CURRENCIES:
            raise
    currency = money.CURRENCIES[code]
    with transaction.atomic(using=db):
        # Two at once: the second finds the first one's row and leaves it.
        _write(db, Asset(currency.number, code, currency.scale, code), actor=actor, now=now)
    return asset(db, code)


def _write(db: Db, defined: Asset, *, actor: Actor, now: datetime) -> bool:
    with connections[db].cursor() as cursor:
        cursor.execute(
            "insert into custody_asset (number, code, scale, name) values (%s, %s, %s, %s)"
            " on conflict do nothing",
            [defined.number, defined.code, defined.scale, defined.name],
        )
        if cursor.rowcount == 0:
            return False
    log.append(
        db,
        "custody.asset_defined",
        {"asset": defined.code, "number": defined.number, "scale": defined.scale},
        actor=actor.id,
        at=now,
    )
    return True

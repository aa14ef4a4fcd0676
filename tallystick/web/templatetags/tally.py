"""How pages write amounts, times and roles. Thin: the words themselves are in `web.words`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from tallystick.core import money
from tallystick.custody import numbers
from tallystick.custody.assets import Asset
from tallystick.custody.history import Transfer
from tallystick.custody.instructions import Authorisation
from tallystick.identity.access import Actor
from tallystick.identity.users import Person
from tallystick.web import exchange, liquidity, words

register = template.Library()

_NOTICES = {"success": "good", "warning": "warn", "error": "bad"}


@register.filter
def roles(who: Actor | Person) -> str:
    """The roles someone holds, as words."""
    return " · ".join(role(held) for held in sorted(who.roles))


@register.filter
def role(value: str) -> str:
    """A role as a word."""
    return str(words.ROLES.get(value, value))


@register.filter
def moment(at: datetime | None) -> SafeString | str:
    """A time as pages show it, and for machines in full."""
    if at is None:
        return ""
    return format_html('<time datetime="{}">{}</time>', at.isoformat(), words.moment(at))


@register.filter
def amount(minor: int | None, scale: int) -> str:
    """An amount in its asset's major units: `{{ minor|amount:scale }}`."""
    return "" if minor is None else words.amount(minor, scale)


@register.filter
def count(number: int) -> str:
    """A number of things: `12,345`."""
    return words.amount(number, 0)


@register.filter
def at(rows: Mapping[int, object] | None, number: int) -> object | None:
    """The row of this number, for tables that name accounts."""
    return (rows or {}).get(number)


@register.filter
def asset_of(row: Transfer | Authorisation, scales: Mapping[int, Asset]) -> Asset:
    """The asset of a transfer or an authorisation: its accounts' numbers say which."""
    return scales[numbers.asset_of(row.debit_account)]


@register.filter
def account(number: int) -> str:
    """An account's number as it is written outside."""
    return numbers.account_text(number)


@register.filter
def authorisation(number: int) -> str:
    """An authorisation's number as it is written outside."""
    return numbers.authorisation_text(number)


@register.filter
def family(value: int) -> str:
    """Whose money an account of this family holds."""
    return str(words.FAMILIES[value])


@register.filter
def code(value: int) -> str:
    """Why a transfer was made."""
    return str(words.CODES.get(value, value))


@register.filter
def kind(value: int) -> str:
    """What a transfer did: posted, pending, or what settled a pending one."""
    return str(words.TRANSFER_KINDS[value])


@register.filter
def break_kind(value: str) -> str:
    """What a difference between the bank and the ledger is called."""
    return str(words.BREAKS[value][0])


@register.filter
def status(value: str) -> SafeString:
    """An account's state or an authorisation's standing, as a badge."""
    word = words.STATUSES.get(value) or words.STANDINGS.get(value) or value
    return format_html('<span class="badge {}">{}</span>', words.shade(value), word)


@register.filter
def capacity(value: str) -> str:
    """As what somebody stands behind an account."""
    return str(words.CAPACITIES[value])


@register.filter
def condition(value: str) -> SafeString:
    """How an account stands with its holders, as a badge."""
    return format_html('<span class="badge {}">{}</span>', words.shade(value), words.CONDITIONS[value])


@register.filter
def refusal(code: str) -> str:
    """Why a transfer was refused."""
    return words.refusal(code)


@register.filter
def notice(tags: str) -> str:
    """The colour of a message, from the tags Django gives it."""
    return " ".join(_NOTICES[tag] for tag in tags.split() if tag in _NOTICES)


@register.filter
def liquidity_level(value: str) -> SafeString:
    """How pressing a book's liquidity is, as a badge."""
    name, _meaning, shade = liquidity.LEVELS[value]
    return format_html('<span class="badge {}">{}</span>', shade, name)


@register.filter
def exchange_status(value: str) -> SafeString:
    """Where an exchange stands, as a badge."""
    name, shade = exchange.STATUSES[value]
    return format_html('<span class="badge {}">{}</span>', shade, name)


@register.filter
def minor_of(minor: int, asset: str) -> str:
    """An amount of a currency, by its code: `{{ minor|minor_of:"CNY" }}`."""
    known = money.CURRENCIES.get(asset)
    return f"{words.amount(minor, known.scale if known else 0)} {asset}"


@register.filter
def percent_of_ppm(ppm: int) -> str:
    """`5000` millionths are `0.5 %`."""
    return f"{money.major(ppm, 4).rstrip('0').rstrip('.')} %"

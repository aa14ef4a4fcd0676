"""The words of pages: what each state, kind and role is called, in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tallystick.core import money
from tallystick.identity.roles import Role

Word = str | Promise

ROLES: Mapping[str, Word] = {
    Role.ADMINISTRATOR: _("Administrator"),
    Role.PLATFORM_OPERATIONS: _("Platform operations"),
    Role.PLATFORM_APPROVER: _("Platform approver"),
    Role.CUSTODIAN_BANK: _("Custodian bank"),
    Role.AUDITOR: _("Auditor"),
    Role.REGULATOR: _("Regulator"),
    Role.CUSTOMER: _("Customer"),
}


def amount(minor: int, scale: int) -> str:
    """`1234567` at scale 2 is `12,345.67`; a minus sign, not a hyphen, before a negative one."""
    whole, point, decimals = money.major(abs(minor), scale).partition(".")
    grouped = f"{int(whole):,}{point}{decimals}"
    return f"−{grouped}" if minor < 0 else grouped


def moment(at: datetime) -> str:
    """A time to the second, in the zone of the installation: the same in both languages, and sortable."""
    return timezone.localtime(at).strftime("%Y-%m-%d %H:%M:%S")

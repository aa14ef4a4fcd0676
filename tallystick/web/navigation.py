"""Where each role may go: the menu, by permission, so that it never offers what would be refused."""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext_lazy as _

from tallystick.identity import access
from tallystick.identity.access import Actor


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the menu."""

    label: str
    url: str
    current: bool


# (route, label, permission)
_MENU: tuple[tuple[str, object, str], ...] = ()


def of(actor: Actor, path: str) -> list[Entry]:
    """The menu of this actor, the page they are on marked."""
    entries = []
    for route, label, permission in _MENU:
        if not access.allowed(actor, permission, owner=actor.customer_number):
            continue
        try:
            url = reverse(route)
        except NoReverseMatch:
            continue
        entries.append(Entry(str(label), url, path == url or (url != "/" and path.startswith(url))))
    return entries


__all__ = ["Entry", "_", "of"]

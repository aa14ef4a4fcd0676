"""How pages write amounts, times and roles. Thin: the words themselves are in `web.words`."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from tallystick.identity.access import Actor
from tallystick.web import words

register = template.Library()

_NOTICES = {"success": "good", "warning": "warn", "error": "bad"}


@register.filter
def roles(actor: Actor) -> str:
    """The roles of the one who is signed in, as words."""
    return " · ".join(str(words.ROLES.get(role, role)) for role in sorted(actor.roles))


@register.filter
def moment(at: datetime | None) -> SafeString | str:
    """A time as pages show it, and for machines in full."""
    if at is None:
        return ""
    return format_html('<time datetime="{}">{}</time>', at.isoformat(), words.moment(at))


@register.filter
def notice(tags: str) -> str:
    """The colour of a message, from the tags Django gives it."""
    return " ".join(_NOTICES[tag] for tag in tags.split() if tag in _NOTICES)

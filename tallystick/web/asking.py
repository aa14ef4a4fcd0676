"""What an address asks for: read strictly, refused with a word on what was expected."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time
from typing import TypeVar

from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext as _

from tallystick.core import money

T = TypeVar("T")


class Unreadable(Exception):
    """The address holds something that cannot be read; `message` says what, in the reader's language."""

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class AsOf:
    """A past state that is asked for: by position, by time, or (neither) the present one."""

    position: int | None = None
    at: datetime | None = None

    @property
    def is_now(self) -> bool:
        return self.position is None and self.at is None


def text(request: HttpRequest, name: str, *, length_max: int = 120) -> str:
    """What was typed, without what no search needs."""
    return request.GET.get(name, "").strip().replace("\x00", "")[:length_max]


def whole(request: HttpRequest, name: str) -> int | None:
    """A whole number from 0 up, or nothing."""
    given = request.GET.get(name, "").strip()
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= 18):
        raise Unreadable(_("%(field)s must be a whole number.") % {"field": name})
    return int(given)


def posted_whole(request: HttpRequest, name: str) -> int | None:
    """A whole number from 0 up in a posted form, or nothing where it is none."""
    given = request.POST.get(name, "").strip()
    return int(given) if given.isascii() and given.isdigit() and len(given) <= 18 else None


def amount(text: str, scale: int) -> int | None:
    """What was typed as an amount in minor units, as people type it; nothing where it is none."""
    plain = unicodedata.normalize("NFKC", text).strip().replace(",", "").replace(" ", "")
    digits = plain.removeprefix("-")
    if len(digits) > 20 or not digits.replace(".", "", 1).isdigit() or not digits.isascii():
        return None
    try:
        return money.minor(plain, scale)
    except ValueError:
        return None


def choice(request: HttpRequest, name: str, choices: Mapping[str, T]) -> T | None:
    """One of the words given, or nothing."""
    given = request.GET.get(name, "")
    if not given:
        return None
    if given not in choices:
        raise Unreadable(
            _("%(field)s must be one of: %(words)s.") % {"field": name, "words": ", ".join(choices)}
        )
    return choices[given]


def moment(request: HttpRequest, name: str, *, end_of_day: bool = False) -> datetime | None:
    """A time in the zone of the installation, or nothing. A bare day is its first moment, or its last."""
    given = request.GET.get(name, "").strip()
    if not given:
        return None
    try:
        # A bare day first: as a time it would be read as its midnight, and its end would be lost.
        day = parse_date(given)
        if day is None:
            found = parse_datetime(given)
        else:
            found = datetime.combine(day, time.max if end_of_day else time.min)
    except ValueError:
        found = None
    if found is None:
        raise Unreadable(
            _("%(field)s must be a date or a time such as 2026-03-01 or 2026-03-01T09:30.") % {"field": name}
        )
    return found if timezone.is_aware(found) else timezone.make_aware(found)


def as_of(request: HttpRequest) -> AsOf:
    """The state asked for by `position` or `at`."""
    asked = AsOf(position=whole(request, "position"), at=moment(request, "at", end_of_day=True))
    if asked.position is not None and asked.at is not None:
        raise Unreadable(_("Name a position or a time, not both."))
    return asked


def query(request: HttpRequest, **changes: object) -> str:
    """This page's own query with these parts changed (`None`: left out), for links to the next page."""
    parts = request.GET.copy()
    for name, value in changes.items():
        parts.pop(name, None)
        if value is not None:
            parts[name] = str(value)
    return f"?{parts.urlencode()}" if parts else "?"

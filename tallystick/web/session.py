"""Who is asking, on every request, and what every page shows around its content."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, cast

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from tallystick.core.db import APP
from tallystick.core.errors import Refusal
from tallystick.custody import books
from tallystick.evidence import visits
from tallystick.identity import access, users
from tallystick.identity.access import Actor
from tallystick.identity.errors import AccessDenied
from tallystick.web import asking, errors, navigation

_LOG = logging.getLogger(__name__)


class ActorMiddleware:
    """Sets `request.actor`, and turns a refusal that no view caught into a page that says why."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # Looked up on first use: a page that asks nothing costs no query.
        request.actor = SimpleLazyObject(lambda: of(request))  # type: ignore[attr-defined]
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, AccessDenied):
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            _record(request, exception)
            return errors.denied(request, exception)
        if isinstance(exception, asking.Unreadable):
            return errors.unreadable(request, exception.message)
        if isinstance(exception, Refusal):
            return errors.refused(request, exception)
        return None


def of(request: HttpRequest) -> Actor:
    """Whoever is signed in, or nobody."""
    visits.required()
    found = users.actor(APP, request.user.pk) if request.user.is_authenticated else access.NOBODY
    # For the log line, which must not look anyone up itself.
    request.actor_id = found.id  # type: ignore[attr-defined]
    return found


def actor(request: HttpRequest) -> Actor:
    """The actor of this request, for views."""
    return cast(Actor, request.actor)  # type: ignore[attr-defined]


def book_of(request: HttpRequest) -> int | None:
    """The book this page is of, or the first one there is."""
    match = request.resolver_match
    if match and "book" in match.kwargs:
        return int(match.kwargs["book"])
    return next((book.id for book in books.books(APP)), None)


def page(request: HttpRequest) -> dict[str, Any]:
    """What the layout of every page needs: who asks, where they may go, and in which languages."""
    who = getattr(request, "actor", access.NOBODY)
    return {
        "actor": who,
        # Whoever has no role has no menu, and looking for one costs no query.
        "navigation": SimpleLazyObject(
            lambda: navigation.of(who, request.path, book=book_of(request)) if who.roles else []
        ),
        "languages": settings.LANGUAGES,
        "is_demo": settings.DEMO,
    }


def _record(request: HttpRequest, denial: AccessDenied) -> None:
    try:
        access.record_denial(APP, denial, actor=actor(request), now=timezone.now())
    except DatabaseError:
        # The refusal stands whether or not it could be written down; the operator is told.
        _LOG.exception("a refused request could not be recorded")

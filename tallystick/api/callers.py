"""Callers: whom a request speaks for, and how often they may ask.

Promises: a token or a session, never neither; a session that changes something proves that the page that
asks is ours (CSRF); one caller cannot take all of a process's time.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.utils import timezone

from tallystick.api import errors
from tallystick.core.db import APP
from tallystick.core.errors import Refusal
from tallystick.evidence import visits
from tallystick.identity import api_tokens, users
from tallystick.identity.access import Actor
from tallystick.identity.errors import ApiTokenExpired, ApiTokenRevoked, ApiTokenUnknown

STRANGERS_A_MINUTE = 60
"""Tokens that are none, from one address, before it waits: nobody guesses 256 bits, but many try."""

REMEMBERED_MAX = 10_000
"""Callers counted at once; the one who asked least lately is forgotten first."""


class Bucket:
    """So many requests a second for each name, and as many at once. In this process alone."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst = rate, burst
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, name: str, moment: float) -> float:
        """Take one, and say 0; or take none, and say how many seconds to wait for one."""
        with self._lock:
            left, since = self._left.pop(name, (self.burst, moment))
            left = min(self.burst, left + (moment - since) * self.rate)
            may = left >= 1
            self._left[name] = (left - 1 if may else left, moment)
            if len(self._left) > REMEMBERED_MAX:
                self._left.popitem(last=False)
        return 0.0 if may else (1 - left) / self.rate


_requests = Bucket(settings.API_REQUESTS_A_SECOND, settings.API_REQUESTS_A_SECOND * 2)
_strangers = Bucket(STRANGERS_A_MINUTE / 60, STRANGERS_A_MINUTE)


def caller(request: HttpRequest) -> Actor:
    """Whom this request speaks for. Raises `NotSignedIn`, `CsrfFailed`, `TooManyRequests` or a token's refusal."""
    visits.required()
    given = request.headers.get("Authorization")
    actor = _of_session(request) if given is None else _of_token(request, given)
    # For the log line, which looks nobody up itself.
    request.actor_id = actor.id  # type: ignore[attr-defined]
    _slow_down(_requests, actor.id)
    return actor


def _of_token(request: HttpRequest, given: str) -> Actor:
    scheme, _, token = given.partition(" ")
    if scheme.lower() != "bearer":
        raise errors.NotSignedIn
    try:
        return api_tokens.actor(APP, token.strip(), now=timezone.now())
    except (ApiTokenUnknown, ApiTokenRevoked, ApiTokenExpired):
        _slow_down(_strangers, request.META.get("REMOTE_ADDR", ""))
        raise


def _of_session(request: HttpRequest) -> Actor:
    if not request.user.is_authenticated:
        raise errors.NotSignedIn
    if reason := _csrf_failure(request):
        raise errors.CsrfFailed(reason=reason)
    return users.actor(APP, request.user.pk)


class _Csrf(CsrfViewMiddleware):
    """Django's own check, that says why it fails and answers nothing itself."""

    def _reject(self, request: HttpRequest, reason: str) -> str:
        return reason.rstrip(".")


def _csrf_failure(request: HttpRequest) -> str | None:
    check = _Csrf(lambda _: HttpResponse())
    check.process_request(request)
    return check.process_view(request, None, (), {})  # type: ignore[arg-type, return-value]


def _slow_down(bucket: Bucket, name: str) -> None:
    if (seconds := bucket.wait(name, time.monotonic())) > 0:
        refusal: Refusal = errors.TooManyRequests(seconds=math.ceil(seconds))
        raise refusal

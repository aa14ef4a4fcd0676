"""Problems: every answer that is no success, in one form (RFC 9457), in the reader's language.

Promises: `type` is `urn:tallystick:problem:` and the refusal's code, the same word that the manual, the
tables and the command line use; `detail` is its message; what can be named is named in members of its own.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from types import MappingProxyType

import msgspec
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext, gettext_noop

from tallystick.api import errors
from tallystick.core.errors import Absence, Refusal
from tallystick.custody import errors as custody
from tallystick.identity import errors as identity

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:tallystick:problem:"

RETRY_SECONDS = 1
"""After a 503: by then another process may answer, or the disk have room."""

_LOG = logging.getLogger(__name__)

STATUSES: Mapping[type[Refusal], int] = MappingProxyType(
    {
        identity.AccessDenied: 403,
        identity.ApiTokenUnknown: 401,
        identity.ApiTokenRevoked: 401,
        identity.ApiTokenExpired: 401,
        custody.Malformed: 422,
        custody.BatchEmpty: 422,
        custody.BatchTooLarge: 413,
    }
)
"""Refusals of the domains that are told neither with 404 (an `Absence`) nor with 409 (a rule said no, to this
and in this state)."""

TITLES: Mapping[int, str] = MappingProxyType(
    {
        400: gettext_noop("Not understood"),
        401: gettext_noop("Not signed in"),
        403: gettext_noop("Not allowed"),
        404: gettext_noop("Not found"),
        405: gettext_noop("Not offered here"),
        406: gettext_noop("Not acceptable"),
        409: gettext_noop("Refused"),
        411: gettext_noop("Length missing"),
        413: gettext_noop("Too large"),
        415: gettext_noop("Another form is needed"),
        422: gettext_noop("Not possible as written"),
        429: gettext_noop("Too many requests"),
        500: gettext_noop("Something broke"),
        503: gettext_noop("Not available now"),
    }
)

# Where a domain's refusal says "transfer 3" it means the fourth of the list that was sent.
_PLACE = re.compile(r"(?:transfer|account|authorisation) ([0-9]+)")

_MEMBERS = ("index", "line", "field", "expected", "permission", "seconds")


class Problem(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A problem as it is written. What cannot be named is left out."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    index: int | None = None
    line: int | None = None
    field: str | None = None
    expected: str | None = None
    permission: str | None = None
    seconds: int | None = None
    state: str | None = None
    id: str | None = None
    replayed: bool | None = None


def status_of(refusal: Refusal | type[Refusal]) -> int:
    """The HTTP status a refusal is told with."""
    kind = refusal if isinstance(refusal, type) else type(refusal)
    if issubclass(kind, errors.Turned):
        return kind.status
    return 404 if issubclass(kind, Absence) else STATUSES.get(kind, 409)


def answer(
    request: HttpRequest, refusal: Refusal, *, headers: Mapping[str, str] | None = None, **more: object
) -> HttpResponse:
    """The refusal as a response."""
    named = {name: refusal.fields[name] for name in _MEMBERS if name in refusal.fields}
    if isinstance(refusal, custody.Malformed) and (place := _PLACE.fullmatch(str(refusal.fields["where"]))):
        named["index"] = int(place[1])
    return _response(
        request, refusal.code, status_of(refusal), refusal.message, {**named, **more}, dict(headers or {})
    )


def of(request: HttpRequest, failure: Exception) -> HttpResponse:
    """Whatever went wrong, as a response. What nobody foresaw is logged, and told without its details."""
    if isinstance(failure, custody.PostingStopped):
        unknown = isinstance(failure, custody.OutcomeUnknown)
        detail = _OUTCOME_UNKNOWN if unknown else _POSTING_STOPPED
        return _response(
            request,
            "outcome_unknown" if unknown else "posting_stopped",
            503,
            gettext(detail) % {"state": failure.state},
            {"state": failure.state},
            {"Retry-After": str(RETRY_SECONDS)},
        )
    if isinstance(failure, errors.MethodNotAllowed):
        return answer(request, failure, headers={"Allow": str(failure.fields["allowed"])})
    if isinstance(failure, errors.TooManyRequests):
        return answer(request, failure, headers={"Retry-After": str(failure.fields["seconds"])})
    if isinstance(failure, Refusal):
        headers = {}
        if status_of(failure) == 401:
            told = "" if isinstance(failure, errors.NotSignedIn) else ', error="invalid_token"'
            headers["WWW-Authenticate"] = f'Bearer realm="tallystick"{told}'
        return answer(request, failure, headers=headers)
    if isinstance(failure, OperationalError | InterfaceError):
        _LOG.error("the database does not answer: %s", type(failure).__name__)
        return answer(request, errors.DatabaseUnreachable(), headers={"Retry-After": str(RETRY_SECONDS)})
    kind = "a database fault" if isinstance(failure, DatabaseError) else "a fault"
    _LOG.error("%s answering a request", kind, exc_info=failure)
    return answer(request, errors.Fault())


_POSTING_STOPPED = gettext_noop(
    "The ledger takes no transfers now (%(state)s). Nothing was posted. Ask again with the same ids."
)
_OUTCOME_UNKNOWN = gettext_noop(
    "The answer was lost on its way (%(state)s). Ask again with the same ids: what was posted is told again."
)


def _response(
    request: HttpRequest,
    code: str,
    status: int,
    detail: str,
    members: Mapping[str, object],
    headers: Mapping[str, str],
) -> HttpResponse:
    problem = Problem(
        type=TYPE + code,
        title=gettext(TITLES[status]),
        status=status,
        detail=detail,
        instance=request.path,
        **members,  # type: ignore[arg-type]
    )
    return HttpResponse(msgspec.json.encode(problem), status=status, content_type=MEDIA_TYPE, headers=headers)

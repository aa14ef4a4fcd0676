"""The door: what every request to the API goes through, whatever it asks for.

Promises, in this order: an address and a method there are; somebody who may ask at all; a form of answer
and of body that is understood; only query parameters that the OpenAPI document names, each once. What the
view then raises becomes a problem. There is no way in beside it: `guarded` is put around every view.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Collection, Iterable
from typing import cast

from django.db import DatabaseError
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from ninja.errors import HttpError
from ninja.errors import ValidationError as ParametersInvalid

from tallystick.api import bodies, callers, errors, problems
from tallystick.core.db import APP
from tallystick.core.errors import Refusal
from tallystick.identity import access
from tallystick.identity.access import Actor
from tallystick.identity.errors import AccessDenied

View = Callable[..., HttpResponseBase]

_LOG = logging.getLogger(__name__)
_ROUTE_PART = re.compile(r"<(?:[a-z]+:)?([a-z_]+)>")


class Offer:
    """What an address offers for one method: the query parameters, and the media types in and out."""

    def __init__(self, operation: dict[str, object]) -> None:
        parameters = cast(list[dict[str, str]], operation.get("parameters", []))
        body = cast(dict[str, dict[str, object]], operation.get("requestBody", {}))
        responses = cast(dict[object, dict[str, dict[str, object]]], operation.get("responses", {}))
        self.query = frozenset(each["name"] for each in parameters if each["in"] == "query")
        self.takes = tuple(body.get("content", {}))
        self.gives = tuple(
            dict.fromkeys(
                media
                for status, response in responses.items()
                if str(status).startswith("2")
                for media in response.get("content", {})
            )
        )


def actor(request: HttpRequest) -> Actor:
    """Whom this request speaks for: found at the door."""
    return cast(Actor, request.api_actor)  # type: ignore[attr-defined]


def template(route: str) -> str:
    """`books/<int:book>` as the OpenAPI document has it: `/books/{book}`."""
    return "/" + _ROUTE_PART.sub(r"{\1}", route).lstrip("/")


def guarded(view: View, offers: Callable[[], dict[str, Offer]], *, is_public: bool = False) -> View:
    """The view behind the door. `offers` says what the address offers for each method."""

    @csrf_exempt
    @functools.wraps(view)
    def answer(request: HttpRequest, **arguments: object) -> HttpResponseBase:
        try:
            _admit(request, offers(), is_public=is_public)
            response = view(request, **arguments)
        except AccessDenied as denial:
            _record(request, denial)
            response = problems.of(request, denial)
        except Exception as failure:
            response = problems.of(request, _told(failure))
        # What a customer was told stays in no cache on the way.
        response["Cache-Control"] = "no-store"
        return response

    return answer


def _admit(request: HttpRequest, offers: dict[str, Offer], *, is_public: bool) -> None:
    method = request.method or ""
    if method not in offers:
        raise errors.MethodNotAllowed(method=method[:16], allowed=", ".join(sorted(offers)))
    if not is_public:
        request.api_actor = callers.caller(request)  # type: ignore[attr-defined]
    offer = offers[method]
    if not _accepts(request, offer.gives):
        raise errors.NotAcceptable(offered=" / ".join(offer.gives))
    if offer.takes:
        bodies.media_type(request, *offer.takes)
        bodies.read(request)
    for name, values in request.GET.lists():
        if name not in offer.query:
            known = ", ".join(sorted(offer.query)) or "none"
            raise errors.QueryUnknown(field=name[:80], known=known)
        if len(values) > 1:
            raise errors.QueryRepeated(field=name)


def _accepts(request: HttpRequest, offered: Collection[str]) -> bool:
    # The document and its page are what they are, whoever asks.
    return (
        not offered or not request.headers.get("Accept") or any(request.accepts(media) for media in offered)
    )


def _told(failure: Exception) -> Exception:
    """What the framework around the view says, in our words."""
    if isinstance(failure, ParametersInvalid):
        return _invalid(failure.errors[0])
    if isinstance(failure, HttpError):
        cause = failure.__cause__
        return cause if isinstance(cause, Refusal) else errors.NotJson(reason="it cannot be read")
    return failure


def _invalid(error: dict[str, object]) -> Refusal:
    """The first complaint about a parameter or a field, by its name."""
    steps = list(cast(Iterable[str | int], error["loc"]))
    where, rest = str(steps[0]), steps[1:]
    if where == "body" and rest:
        # The first step is our own argument's name.
        rest = rest[1:]
    named = [step for step in rest if isinstance(step, str) and step not in _UNION_BRANCHES]
    index = next((step for step in rest if isinstance(step, int)), None)
    message = str(error["msg"]).removeprefix("Value error, ")
    expected = {"missing": "given", "extra_forbidden": "left out: there is no such field"}.get(
        str(error["type"]), message[:1].lower() + message[1:200]
    )
    for prefix in ("input should be ", "string should ", "must be "):
        expected = expected.removeprefix(prefix)
    place = {} if index is None else {"index": index}
    return errors.RequestMalformed(where=where, field=".".join(named) or where, expected=expected, **place)


_UNION_BRANCHES = frozenset({"exact", "at_most", "formula"})


def _record(request: HttpRequest, denial: AccessDenied) -> None:
    try:
        access.record_denial(APP, denial, actor=actor(request), now=timezone.now())
    except DatabaseError:
        # The refusal stands whether or not it could be written down; the operator is told.
        _LOG.exception("a refused request could not be recorded")

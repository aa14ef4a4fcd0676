"""Every address of the API, each behind the door."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import msgspec
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, re_path
from ninja import NinjaAPI
from ninja.errors import HttpError
from ninja.errors import ValidationError as ParametersInvalid
from ninja.parser import Parser
from ninja.renderers import BaseRenderer

from tallystick.api import (
    accounts,
    authorisations,
    bodies,
    books,
    deposits,
    door,
    errors,
    evidence,
    exchange,
    holders,
    liquidity,
    me,
    openapi,
    payouts,
    pooling,
    posting,
    problems,
    reference,
    safeguarding,
    suspense,
    tracing,
    transfers,
    workbench,
)


class Reader(Parser):
    """Strict JSON, read once."""

    def parse_body(self, request: HttpRequest) -> Any:
        return bodies.plain(request.body)


class Writer(BaseRenderer):
    """JSON with times to the microsecond."""

    media_type = bodies.JSON

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> bytes:
        return msgspec.json.encode(data)


api = NinjaAPI(
    title="Tallystick",
    urls_namespace="api-v1",
    openapi_url=None,
    docs_url=None,
    parser=Reader(),
    renderer=Writer(),
)


def _raised(_: HttpRequest, failure: Exception | type[Exception]) -> HttpResponse:
    raise failure


# The framework's own answers are no problems: whatever it meets goes on to the door.
for _kind in (Exception, Http404, HttpError, ParametersInvalid):
    api.add_exception_handler(_kind, _raised)
for _noun in (
    books,
    accounts,
    transfers,
    authorisations,
    deposits,
    holders,
    me,
    tracing,
    pooling,
    liquidity,
    exchange,
    payouts,
    safeguarding,
    workbench,
    suspense,
    evidence,
):
    api.add_router("", _noun.router)


@functools.cache
def _offers() -> dict[str, dict[str, door.Offer]]:
    return {
        place: {method.upper(): door.Offer(operation) for method, operation in operations.items()}
        for place, operations in openapi.document(api)["paths"].items()
    }


def _offers_of(place: str) -> Callable[[], dict[str, door.Offer]]:
    return lambda: _offers()[place]


def _get_only() -> dict[str, door.Offer]:
    return {"GET": door.Offer({}), "HEAD": door.Offer({})}


def _both(many: door.View, listed: door.View) -> door.View:
    """One address that posts by one view and lists by another."""
    return lambda request, **arguments: (many if request.method == "POST" else listed)(request, **arguments)


def document(request: HttpRequest) -> HttpResponse:
    """The OpenAPI document."""
    return HttpResponse(document_bytes(), content_type="application/json")


@functools.cache
def document_bytes() -> bytes:
    """The document as it is served, and kept in the manual."""
    return json.dumps(openapi.document(api), ensure_ascii=False, indent=2).encode() + b"\n"


def manual(request: HttpRequest) -> HttpResponse:
    """The document as a page to read."""
    return HttpResponse(reference.page(openapi.document(api)))


def nothing_here(request: HttpRequest, **_: object) -> HttpResponse:
    return problems.of(request, errors.NoSuchAddress())


def _addresses() -> list[URLPattern]:
    found = []
    posts = {"/books/{book}/transfers": posting.post_batch, "/books/{book}/transfer": posting.post_one}
    for pattern in api.urls[0]:
        if not isinstance(pattern, URLPattern) or pattern.name == "api-root":
            continue
        route = str(pattern.pattern)
        place = door.template(route)
        view = pattern.callback
        if place in posts:
            view = _both(_numbered(posts.pop(place)), view)
        found.append(path(route, door.guarded(view, _offers_of(place)), name=pattern.name))
    for place, post in posts.items():
        route = place[1:].replace("{book}", "<book>")
        found.append(path(route, door.guarded(_numbered(post), _offers_of(place)), name=post.__name__))
    return found


def _numbered(view: Callable[[HttpRequest, int], HttpResponse]) -> door.View:
    """A plain view whose book is read from the address as everywhere else."""

    @functools.wraps(view)
    def answer(request: HttpRequest, book: str) -> HttpResponse:
        return view(request, books.number(book))

    return answer


app_name = "api-v1"
urlpatterns = [
    path("openapi.json", door.guarded(document, _get_only, is_public=True), name="openapi"),
    path("docs", door.guarded(manual, _get_only, is_public=True), name="docs"),
    *_addresses(),
    re_path(r"^", nothing_here, name="nothing-here"),
]

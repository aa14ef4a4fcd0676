"""The logs' files as they were published: checkpoint, tiles and entries (C2SP tlog-tiles), read-only.

The public log is for everybody and any cache on the way; the ledger's for whoever may, and for no cache that
others share. A tile never changes, so it may be kept for ever; the checkpoint is asked for anew each time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotModified
from django.utils.http import parse_etags, quote_etag
from django.views.decorators.http import require_safe

from tallystick.core.db import APP
from tallystick.core.errors import Refusal
from tallystick.evidence import keys, publishing, tiles
from tallystick.identity import access
from tallystick.web.session import actor

TILE_SECONDS = 365 * 24 * 3600
CHECKPOINT_SECONDS = 1
"""As often as the log is sealed."""


class Unvaried:
    """Takes back what is said of cookies and languages where an answer depends on neither."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if getattr(response, "is_unvaried", False):
            for name in ("Vary", "Content-Language"):
                response.headers.pop(name, None)
        return response


@require_safe
def public(request: HttpRequest, path: str) -> HttpResponse:
    """A file of the public log."""
    response = _file(request, keys.PUBLIC, path)
    kept = f"max-age={TILE_SECONDS}, immutable" if path != publishing.CHECKPOINT else _checked()
    response["Cache-Control"] = f"public, {kept}"
    # Whoever checks may do so from a page of their own.
    response["Access-Control-Allow-Origin"] = "*"
    response.is_unvaried = True  # type: ignore[attr-defined]
    return response


@require_safe
def ledger(request: HttpRequest, path: str) -> HttpResponse:
    """A file of the ledger's log, for whoever may read all of it."""
    access.require(APP, actor(request), "evidence.read_ledger_log")
    response = _file(request, keys.LEDGER, path)
    kept = f"max-age={TILE_SECONDS}, immutable" if path != publishing.CHECKPOINT else "no-cache"
    response["Cache-Control"] = f"private, {kept}"
    return response


def _checked() -> str:
    return f"max-age={CHECKPOINT_SECONDS}, must-revalidate"


def _file(request: HttpRequest, log_id: int, path: str) -> HttpResponse:
    """A published file by the path that tlog-tiles gives it; what is no such path is not looked for."""
    if path != publishing.CHECKPOINT:
        try:
            tiles.place(path)
        except Refusal:
            raise Http404 from None
    try:
        content = (publishing.folder_of(Path(settings.LOG_FOLDER), log_id) / path).read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise Http404 from None
    tag = quote_etag(hashlib.sha256(content).hexdigest())
    if tag in parse_etags(request.headers.get("If-None-Match", "")):
        unchanged = HttpResponseNotModified()
        unchanged["ETag"] = tag
        return unchanged
    is_text = path == publishing.CHECKPOINT
    response = HttpResponse(
        content, content_type="text/plain; charset=utf-8" if is_text else "application/octet-stream"
    )
    response["ETag"] = tag
    return response

"""What an operator sees of a running door: one log line and one measurement for each request.

Promises: no personal data and no secret reaches a log: a request is told by its route's name, never its
path or its parameters, an actor by their id, and whatever else is written goes through `scrubbed`.
"""

from __future__ import annotations

import contextvars
import logging
import re
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from prometheus_client import Counter, Histogram
from pythonjsonlogger.json import JsonFormatter

from tallystick.core import chance

REQUESTS = Counter("tallystick_http_requests", "Requests answered", ["route", "method", "status"])
SECONDS = Histogram(
    "tallystick_http_request_seconds",
    "Time to answer a request",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")

_LOG = logging.getLogger("tallystick.request")
_GIVEN_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# In order: what is most particular first. Our own ids (`acc_…`) hold digits too, and are kept.
_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            r"(?i)\b(password|passwd|secret|token|authorization|cookie|csrf\w*|sessionid)(\W{1,4})(?:bearer\s+)?[^\s,;&'\"}]+"
        ),
        r"\1\2[hidden]",
    ),
    (re.compile(r"(?i)\b(postgres(?:ql)?://[^:/\s]+):[^@\s]+@"), r"\1:[hidden]@"),
    (re.compile(r"/sign-in/link/[A-Za-z0-9_-]+"), "/sign-in/link/[hidden]"),
    (re.compile(r"[A-Za-z0-9_.+-]+@[A-Za-z0-9-]+\.[A-Za-z0-9.-]+"), "[e-mail]"),
    (re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,4})?\b"), "[bank account]"),
    (re.compile(r"(?<![\w])\d{17}[\dXx](?![\w])"), "[identity number]"),
    (re.compile(r"(?<![\w])(?:\d[ -]?){12,18}\d(?![\w])"), "[bank card]"),
    (re.compile(r"(?<![\w])(?:\+?86[ -]?)?1[3-9]\d[ -]?\d{4}[ -]?\d{4}(?![\w])"), "[telephone]"),
)


def scrubbed(text: str) -> str:
    """The text without what looks like a secret, an address, a telephone, card, bank or identity number."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


class Scrub(logging.Filter):
    """Cleans a record before any handler writes it, and adds the id of the request it belongs to."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = scrubbed(record.getMessage())
        record.args = None
        if record.exc_info:
            # Rendered here, so that the formatter finds it done: a traceback quotes values.
            record.exc_text = scrubbed(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        for name, value in vars(record).items():
            if isinstance(value, str) and name not in {"msg", "exc_text", "pathname", "filename"}:
                setattr(record, name, scrubbed(value))
        # Django hangs the request itself on a record; its text is a path with a query.
        for name in ("request", "server_time"):
            vars(record).pop(name, None)
        record.request_id = request_id.get()
        return True


def json_formatter() -> JsonFormatter:
    """One JSON object a line: time, level, logger, message, request_id and what the caller added."""
    formatter = JsonFormatter(
        "%(asctime)s %(levelname)s %(name)s %(message)s %(request_id)s",
        rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        datefmt="%Y-%m-%dT%H:%M:%SZ",
        json_ensure_ascii=False,
    )
    # UTC: a log is read beside the logs of other machines.
    formatter.converter = time.gmtime
    return formatter


class RequestMiddleware:
    """Outermost: names the request, measures it, and writes its one line."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        mark = request_id.set(given if _GIVEN_ID.fullmatch(given) else chance.token()[:22])
        began = time.perf_counter()
        try:
            response = self.get_response(request)
            response["X-Request-ID"] = request_id.get()
            self._record(request, response, time.perf_counter() - began)
        finally:
            request_id.reset(mark)
        return response

    @staticmethod
    def _record(request: HttpRequest, response: HttpResponse, seconds: float) -> None:
        match = request.resolver_match
        # Of a path that leads nowhere nothing is kept: it is whatever a stranger typed.
        route = (match.view_name or match.route) if match else _unrouted(request)
        method = request.method if request.method in _METHODS else "other"
        REQUESTS.labels(route, method, str(response.status_code)).inc()
        SECONDS.labels(route).observe(seconds)
        fields: dict[str, Any] = {
            "route": route,
            "method": method,
            "status": response.status_code,
            "ms": round(seconds * 1000, 1),
            # Nothing where the view did not ask who it is: a log line must cost no query.
            "actor": getattr(request, "actor_id", ""),
        }
        level = logging.DEBUG if route == "static" else logging.INFO
        _LOG.log(logging.ERROR if response.status_code >= 500 else level, "request", extra=fields)


def _unrouted(request: HttpRequest) -> str:
    return "static" if request.path.startswith(settings.STATIC_URL) else "none"

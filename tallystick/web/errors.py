"""Pages for when something is not there, not allowed, refused or broken: each says so and offers a way on."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from tallystick.core.errors import Absence, Refusal
from tallystick.identity.errors import AccessDenied
from tallystick.web import observation


def denied(request: HttpRequest, denial: AccessDenied) -> HttpResponse:
    """403, and for whoever has not signed in, the way to do so."""
    return _page(request, 403, _("Not allowed"), denial.message)


def refused(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    """404 where what was named is not there; else 409: it was understood, and the rules say no."""
    if isinstance(refusal, Absence):
        return _page(request, 404, _("Not found"), refusal.message)
    return _page(request, 409, _("Refused"), refusal.message)


def plain(request: HttpRequest, status: int, message: str) -> HttpResponse:
    """An error before there is a session: no page around it."""
    return HttpResponse(message + "\n", status=status, content_type="text/plain; charset=utf-8")


def unreadable(request: HttpRequest, message: str) -> HttpResponse:
    """400: the address names something that cannot be read."""
    return _page(request, 400, _("Not understood"), message)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(request, 400, _("Not understood"), _("The request could not be read."))


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(request, 403, _("Not allowed"), _("You are not allowed to see this page."))


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _page(request, 404, _("Not found"), _("There is no such page, or it is no longer there."))


def server_error(request: HttpRequest) -> HttpResponse:
    """500, without a query and without the session: what broke may be the database."""
    page = render_to_string("errors/500.html", {"request_id": observation.request_id.get()})
    return HttpResponse(page, status=500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return _page(
        request,
        403,
        _("This form has expired"),
        _("The form was open for too long, or cookies are switched off. Reload the page and try again."),
    )


def _page(request: HttpRequest, status: int, title: str, message: str) -> HttpResponse:
    return render(
        request,
        "errors/error.html",
        {
            "status": status,
            "title": title,
            "message": message,
            "back": _back(request),
            "request_id": observation.request_id.get(),
        },
        status=status,
    )


def _back(request: HttpRequest) -> str:
    """The page of ours that led here, or nothing."""
    referrer = request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(referrer, {request.get_host()}, request.is_secure()):
        return ""
    return "" if referrer == request.build_absolute_uri() else referrer

"""How large a request may be. A longer one is refused before its body is read."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from tallystick.web import errors


class SizeMiddleware:
    """Refuses by the declared length; Django itself reads no further than what was declared."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            length = int(request.META.get("CONTENT_LENGTH") or 0)
        except ValueError:
            length = 0
        # The API has a lower limit of its own, and words of its own for it.
        if length > settings.REQUEST_BYTES_MAX and not request.path.startswith("/api/"):
            return errors.plain(request, 413, _("This request is too large."))
        return self.get_response(request)

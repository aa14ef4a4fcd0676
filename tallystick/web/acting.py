"""What a form asks to be done: done, and on the next page either that it is or why not."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest

from tallystick.core.db import APP
from tallystick.core.errors import Refusal
from tallystick.custody import numbers
from tallystick.evidence import canonical
from tallystick.identity import approvals
from tallystick.identity.approvals import Approval
from tallystick.identity.errors import AccessDenied


def tried(request: HttpRequest, action: Callable[[], object], done: str) -> bool:
    """Do it, and say that it is done or why not. Whoever may not is told so by the house's own page."""
    try:
        action()
    except AccessDenied:
        raise
    except Refusal as refusal:
        messages.error(request, refusal.message)
        return False
    messages.success(request, done)
    return True


def proposal(request: HttpRequest, book: int, *kinds: str, **about: canonical.Value) -> Approval:
    """The proposal a form decides on, if it is one of its page's: of these kinds, of the book and about this."""
    number = numbers.row_number(request.POST.get("approval", ""), "apr_")
    return approvals.about(APP, number or 0, kinds, book=book, **about)

"""The first page, and the way from it to each role's own."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from tallystick.web import navigation
from tallystick.web.session import actor, book_of


def landing(request: HttpRequest) -> HttpResponse:
    """What this is, for whoever comes by."""
    return render(request, "landing.html")


@login_required
def home(request: HttpRequest) -> HttpResponse:
    """Where signing in leads: the first page of this role's menu, or a word on how to get a role."""
    entries = navigation.of(actor(request), request.path, book=book_of(request))
    if entries:
        return redirect(entries[0].url)
    return render(request, "no_role.html")

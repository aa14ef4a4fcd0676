"""The first page, and the way from it to each role's own."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def landing(request: HttpRequest) -> HttpResponse:
    """What this is, for whoever comes by."""
    return render(request, "landing.html")


def home(request: HttpRequest) -> HttpResponse:
    """Where signing in leads."""
    return render(request, "landing.html")

"""Signing in: allauth's password page with our rules, and the one-time links."""

from __future__ import annotations

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows import login as flow
from allauth.account.utils import perform_login
from allauth.core import ratelimit
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from tallystick.core.db import APP
from tallystick.core.errors import Refusal
from tallystick.identity import sign_in, users
from tallystick.identity.models import User


class Adapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Nobody signs up by themselves: accounts are made by an administrator, with a reason on record."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def post_login(self, request: HttpRequest, user: User, **details: object) -> HttpResponseBase:
        told = [str(record["method"]) for record in flow.get_authentication_records(request, user)]
        users.record_sign_in(APP, user, method="+".join(dict.fromkeys(told)) or "unknown", now=timezone.now())
        response: HttpResponseBase = super().post_login(request, user, **details)
        return response


@never_cache
@require_http_methods(["GET", "POST"])
def link(request: HttpRequest, token: str) -> HttpResponseBase:
    """Opening a link only shows whom it signs in: mail scanners open links too. The button uses it up."""
    if limited := ratelimit.consume_or_429(request, action="login"):
        return limited  # type: ignore[no-any-return]
    now = timezone.now()
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    following = (
        wanted if url_has_allowed_host_and_scheme(wanted, {request.get_host()}, request.is_secure()) else ""
    )
    try:
        if request.method == "POST":
            user = sign_in.use(APP, token, now=now)
            # allauth's own way in, so that a second factor is asked for here too and the session is listed.
            flow.record_authentication(request, user, method="link")
            response: HttpResponseBase = perform_login(
                request, user, redirect_url=following or reverse("home")
            )
            return response
        holder = sign_in.holder(APP, token, now=now)
    except Refusal as refusal:
        return render(request, "account/link.html", {"refusal": refusal.message}, status=410)
    return render(request, "account/link.html", {"holder": str(holder), "next": following})

"""People and their roles, for the administrator who changes them and the auditor who reads them."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from tallystick.core.db import APP
from tallystick.core.errors import Refusal
from tallystick.identity import access, users
from tallystick.identity.errors import AccessDenied
from tallystick.identity.roles import GRANTABLE, Role
from tallystick.web import words
from tallystick.web.session import actor


def people(request: HttpRequest) -> HttpResponse:
    """Everyone who can sign in."""
    search = request.GET.get("search", "").strip()
    found = [
        person
        for person in users.people(APP, actor=actor(request))
        if search.lower() in f"{person.username} {person.name} {person.customer_number or ''}".lower()
    ]
    context = {"people": found[:500], "search": search, "trail": [(_("People and roles"), "")]}
    return render(request, "people/people.html", context)


def person(request: HttpRequest, user: int) -> HttpResponse:
    """One person: the roles they hold, and who gave or took which, when and why."""
    found = next((each for each in users.people(APP, actor=actor(request)) if each.id == user), None)
    if found is None:
        raise Http404
    context = {
        "person": found,
        "changes": users.changes(APP, user),
        "grantable": [
            (role.value, words.ROLES[role]) for role in sorted(GRANTABLE) if role not in found.roles
        ],
        "may_change": access.allowed(actor(request), "identity.grant_role"),
        "trail": [(_("People and roles"), reverse("people")), (found.name, "")],
    }
    return render(request, "people/person.html", context)


def my_sign_in(request: HttpRequest) -> HttpResponse:
    """How one signs in, the roles one holds, and where one is signed in. Everybody's own page."""
    if not request.user.is_authenticated:
        return redirect("account_login")
    context = {"changes": users.changes(APP, request.user.pk), "who": actor(request)}
    return render(request, "account/my_sign_in.html", context)


def change_role(request: HttpRequest, user: int) -> HttpResponse:
    """Give or take a role, with the reason."""
    if request.method == "POST":
        action = users.withdraw if request.POST.get("change") == "withdraw" else users.grant
        reason = request.POST.get("reason", "").strip()
        try:
            role = Role(request.POST.get("role", ""))
            if role not in GRANTABLE or not reason:
                raise ValueError
            action(APP, user, role, reason=reason, actor=actor(request), now=timezone.now())
            messages.success(request, _("Recorded. It holds from their next request on."))
        except ValueError:
            messages.error(request, _("Choose a role and give a reason."))
        except AccessDenied:
            raise
        except Refusal as refusal:
            messages.error(request, refusal.message)
    return redirect("person", user=user)

"""Retention and legal holds: how long what is kept, by which rule; what is held, and who decided so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, time

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import get_language, gettext_lazy, ngettext
from django.utils.translation import gettext as _

from tallystick.core.db import APP
from tallystick.core.errors import Refusal
from tallystick.evidence.holds import Scope
from tallystick.evidence.retention import Schedule
from tallystick.identity import access, approvals, retention
from tallystick.identity.errors import AccessDenied
from tallystick.web.session import actor

STATUSES = {
    "placed": gettext_lazy("Holds, not confirmed yet"),
    "confirmed": gettext_lazy("Holds"),
    "rejected": gettext_lazy("Turned down"),
    "lifted": gettext_lazy("Lifted"),
}


def page(request: HttpRequest) -> HttpResponse:
    """Every class with its times and rules, every hold with what became of it, and what waits."""
    who, now = actor(request), timezone.now()
    chinese = (get_language() or "").startswith("zh")
    standings = retention.standings(APP, settings.JURISDICTIONS, actor=who, now=now)
    pending = [
        {
            "approval": each,
            "refusal": approvals.refusal_to_decide(each, who),
            "is_lift": each.kind == retention.LIFT,
        }
        for kind in (retention.CONFIRM, retention.LIFT)
        for each in approvals.pending(APP, kind=kind)
    ]
    context = {
        "jurisdictions": ", ".join(settings.JURISDICTIONS),
        "classes": [
            {
                "standing": each,
                "name": each.schedule.zh if chinese else each.schedule.en,
                "least": _least(each.schedule),
                "most": "" if each.schedule.at_most_months is None else _span(each.schedule.at_most_months),
            }
            for each in standings
        ],
        "holds": [(each, STATUSES[each.status]) for each in retention.all_holds(APP, actor=who)],
        "pending": pending,
        "may_place": access.allowed(who, "evidence.place_hold"),
        "trail": [(_("Retention and holds"), "")],
    }
    return render(request, "retention/page.html", context)


def place(request: HttpRequest) -> HttpResponse:
    """Place a hold: it holds at once."""

    def act() -> None:
        given = {name: request.POST.get(name, "").strip() for name in ("matter", "reason", "terms", "kinds")}
        days = [parse_date(request.POST.get(name, "")) for name in ("since", "until")]
        since, until = (
            None if day is None else timezone.make_aware(datetime.combine(day, time.min)) for day in days
        )
        scope = Scope(tuple(given["terms"].split()), tuple(given["kinds"].split()), since, until)
        retention.place(
            APP,
            scope,
            matter=given["matter"],
            reason=given["reason"],
            actor=actor(request),
            now=timezone.now(),
        )

    return _tried(request, act, _("It holds from now on. A second person is asked to confirm it."))


def lift(request: HttpRequest, number: int) -> HttpResponse:
    """Propose that a hold ends."""

    def act() -> None:
        reason = request.POST.get("reason", "").strip()
        retention.propose_lift(APP, number, reason=reason, actor=actor(request), now=timezone.now())

    return _tried(request, act, _("Proposed. It holds until another person has agreed."))


def decide(request: HttpRequest, approval: int) -> HttpResponse:
    """Confirm or turn down a hold that somebody placed; agree or not that one ends."""

    def act() -> None:
        retention.decide(
            APP,
            approval,
            approve=request.POST.get("decision") == "approve",
            reason=request.POST.get("reason", "").strip(),
            actor=actor(request),
            now=timezone.now(),
        )

    return _tried(request, act, _("Decided. It stays on record."))


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


def _tried(request: HttpRequest, act: Callable[[], None], done: str) -> HttpResponse:
    if request.method == "POST":
        try:
            act()
            messages.success(request, done)
        except AccessDenied:
            raise
        except (Refusal, ValueError) as refusal:
            messages.error(
                request, refusal.message if isinstance(refusal, Refusal) else _("That is not a day.")
            )
    return redirect("retention")


def _least(schedule: Schedule) -> str:
    if schedule.is_kept_always:
        return _("always")
    if schedule.at_least_months is None:
        return _("not verified: nothing is erased")
    return _span(schedule.at_least_months)


def _span(months: int) -> str:
    if months % 12 == 0:
        years = months // 12
        return ngettext("%(n)s year", "%(n)s years", years) % {"n": years}
    return ngettext("%(n)s month", "%(n)s months", months) % {"n": months}

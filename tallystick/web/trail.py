"""The trail for those who examine: who looked at whose data and did what, when, by which right and why."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from tallystick.core import texts
from tallystick.core.db import APP
from tallystick.core.errors import Refusal
from tallystick.evidence import log, visits
from tallystick.evidence import trail as kept
from tallystick.evidence.trail import Entry, Filter
from tallystick.identity import access, trail, users
from tallystick.identity.errors import AccessDenied
from tallystick.web import asking
from tallystick.web.session import actor
from tallystick.web.visits import SESSION_PURPOSE

PAGE = 50

ACTS: Mapping[str, str | Promise] = {
    trail.READ: gettext_lazy("Read a customer's data"),
    trail.NOTHING_DONE: gettext_lazy("Asked for, and nothing came of it"),
    trail.POSTED: gettext_lazy("Posted a reversal"),
    "identity.access_denied": gettext_lazy("Was refused access"),
    "identity.signed_in": gettext_lazy("Signed in"),
    "identity.role_granted": gettext_lazy("Gave a role"),
    "identity.role_withdrawn": gettext_lazy("Took a role away"),
    "identity.user_created": gettext_lazy("Made a user"),
    "identity.approval_proposed": gettext_lazy("Proposed something"),
    "identity.approval_given": gettext_lazy("Approved a proposal"),
    "identity.approval_rejected": gettext_lazy("Rejected a proposal"),
    "custody.account_opened": gettext_lazy("Opened an account"),
    "custody.account_state_changed": gettext_lazy("Changed an account's state"),
    "custody.resolution_pack_built": gettext_lazy("Built a resolution pack"),
    "evidence.payloads_erased": gettext_lazy("Erased payloads"),
    "evidence.hold_stepped": gettext_lazy("Decided on a legal hold"),
    "evidence.hold_placed": gettext_lazy("Placed a legal hold"),
    "evidence.act_acknowledged": gettext_lazy("Acknowledged a privileged act"),
}
"""What an act is called. Others go by the name of their event, as the reference lists them."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An entry as lists show it: with the names of people, and the reason from its event."""

    entry: Entry
    name: str
    act: str
    purpose: str
    door: str
    operation: str
    refusal: str = ""


def entries(request: HttpRequest) -> HttpResponse:
    """The newest entries, narrowed by person, customer, act and time."""
    who = actor(request)
    before = asking.whole(request, "before")
    wanted = Filter(
        actor=_person(asking.text(request, "person", length_max=80)),
        party=asking.text(request, "customer", length_max=64),
        act=asking.text(request, "act", length_max=80),
        since=asking.moment(request, "from"),
        until=asking.moment(request, "to", end_of_day=True),
        is_privileged=asking.text(request, "only") == "privileged",
        is_waiting=asking.text(request, "only") == "waiting",
    )
    rows = trail.entries(APP, wanted, before=before, limit=PAGE + 1, actor=who)
    context = {
        "rows": _shown(rows[:PAGE]),
        "asked": {
            name: request.GET.get(name, "") for name in ("person", "customer", "act", "from", "to", "only")
        },
        "acts": sorted((kind, str(word)) for kind, word in ACTS.items()),
        "is_narrowed": any(
            request.GET.get(name) for name in ("person", "customer", "act", "from", "to", "only")
        ),
        "waiting": kept.waiting(APP, but_of=who.id),
        "may_acknowledge": access.allowed(who, "evidence.acknowledge"),
        "first": asking.query(request, before=None) if before else "",
        "older": asking.query(request, before=rows[PAGE - 1].event) if len(rows) > PAGE else "",
        "trail": [(_("Trail of access"), "")],
    }
    return render(request, "trail/entries.html", context)


def entry(request: HttpRequest, event_id: int) -> HttpResponse:
    """One entry: all that is known of it, what held before and after, and whether the log still agrees."""
    who = actor(request)
    found = trail.entry(APP, event_id, actor=who)
    told = log.event(APP, log.EventId(found.event))
    assert told is not None, "an entry is of an event"
    earlier = kept.previous(APP, found)
    was = log.event(APP, log.EventId(earlier.event)) if earlier is not None else None
    changes = found.act not in (trail.READ, trail.NOTHING_DONE, trail.POSTED, "identity.access_denied")
    context = {
        "shown": _shown([found])[0],
        "entry": found,
        "event": told,
        "agrees": log.agrees(told),
        "visit": told.trail.get("visit", ""),
        "operator": told.trail.get("operator", ""),
        "compared": _compared(was.payload if was else None, told.payload) if changes else [],
        "facts": [] if changes else _lines(told.payload or {}),
        "earlier": earlier,
        "refusal": trail.refusal_to_acknowledge(found, who),
        "may_read_log": access.allowed(who, "evidence.read"),
        "trail": [(_("Trail of access"), reverse("trail")), (found.reference, "")],
    }
    return render(request, "trail/entry.html", context)


def notices(request: HttpRequest) -> HttpResponse:
    """Privileged acts that wait for a second person to say they have seen them."""
    who = actor(request)
    before = asking.whole(request, "before")
    rows = trail.notices(APP, before=before, limit=PAGE + 1, actor=who)
    context = {
        "rows": [
            Shown(
                each.entry,
                each.name,
                each.act,
                each.purpose,
                each.door,
                each.operation,
                _refusal(each.entry, request),
            )
            for each in _shown(rows[:PAGE])
        ],
        "may_look": access.allowed(who, "evidence.read_trail"),
        "first": asking.query(request, before=None) if before else "",
        "older": asking.query(request, before=rows[PAGE - 1].event) if len(rows) > PAGE else "",
        "trail": [(_("Privileged acts"), "")],
    }
    return render(request, "trail/notices.html", context)


def acknowledge(request: HttpRequest, event_id: int) -> HttpResponse:
    """Say that one has seen it."""
    if request.method == "POST":
        try:
            note = request.POST.get("note", "").strip()
            trail.acknowledge(APP, event_id, note=note, actor=actor(request), now=timezone.now())
            messages.success(request, _("Acknowledged. It stays in the trail, with your name."))
        except AccessDenied:
            raise
        except Refusal as refusal:
            messages.error(request, refusal.message)
    return redirect("trail-notices")


def purpose(request: HttpRequest) -> HttpResponse:
    """Say why one is about to look at customers' data; it goes into every entry until one says otherwise."""
    who = actor(request)
    access.require(APP, who, "custody.read_ledger")
    if request.method == "POST":
        said = request.POST.get("purpose", "").strip()
        if said and not texts.says(said, visits.PURPOSE_CHARACTERS_MAX):
            most = visits.PURPOSE_CHARACTERS_MAX
            messages.error(request, _("One line of at most %(most)s characters, please.") % {"most": most})
        else:
            request.session[SESSION_PURPOSE] = said
            messages.success(
                request, _("Kept until you sign out.") if said else _("Taken back: nothing is stated.")
            )
        return redirect("trail-purpose")
    context = {
        "purpose": request.session.get(SESSION_PURPOSE, ""),
        "length_max": visits.PURPOSE_CHARACTERS_MAX,
        "trail": [(_("My purpose"), "")],
    }
    return render(request, "trail/purpose.html", context)


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


def _person(asked: str) -> str:
    """A person by their id, or by the name they sign in with."""
    if not asked or asked.startswith(("usr_", "system:")):
        return asked
    found = users.find(APP, asked)
    return "nobody" if found is None else found.reference


def _shown(rows: Iterable[Entry]) -> list[Shown]:
    rows = list(rows)
    called = users.names(APP, {each.actor for each in rows})
    shown = []
    for each in rows:
        told = log.event(APP, log.EventId(each.event))
        said = told.trail if told is not None else {}
        reason = (told.payload or {}).get("reason") if told is not None else None
        door, _space, operation = each.operation.partition(" ")
        shown.append(
            Shown(
                entry=each,
                name=called.get(each.actor, ""),
                act=str(ACTS.get(each.act, each.act)),
                purpose=str(said.get("purpose") or reason or ""),
                door=door,
                operation=operation,
            )
        )
    return shown


def _refusal(found: Entry, request: HttpRequest) -> str:
    refusal = trail.refusal_to_acknowledge(found, actor(request))
    return "" if refusal is None else refusal.message


def _lines(payload: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(name, _text(value)) for name, value in payload.items()]


def _compared(
    was: Mapping[str, object] | None, now: Mapping[str, object] | None
) -> list[tuple[str, str, str, bool]]:
    """Each member before and after, and whether it changed. What an event calls `before` is of its status."""
    was, now = dict(was or {}), dict(now or {})
    if "before" in now and "status" in now:
        was.setdefault("status", now["before"])
        was["status"] = now.pop("before")
    was.pop("before", None)
    names = [*now, *(name for name in was if name not in now)]
    return [
        (name, _text(was.get(name)), _text(now.get(name)), name in was and was.get(name) != now.get(name))
        for name in names
    ]


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

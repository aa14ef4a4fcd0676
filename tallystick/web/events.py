"""The evidence log, for whoever may read it: what happened, and whether its payload is still the one told."""

from __future__ import annotations

import json

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from tallystick.core.db import APP
from tallystick.evidence import log
from tallystick.identity import access
from tallystick.web import asking
from tallystick.web.session import actor

PAGE = 50


def events(request: HttpRequest) -> HttpResponse:
    """The newest events, all or of one kind."""
    access.require(APP, actor(request), "evidence.read")
    before = asking.whole(request, "before")
    kind = asking.text(request, "kind", length_max=80)
    rows = log.events(APP, kind=kind or None, before=log.EventId(before) if before else None, limit=PAGE + 1)
    context = {
        "rows": rows[:PAGE],
        "kind": kind,
        "first": asking.query(request, before=None) if before else "",
        "older": asking.query(request, before=rows[PAGE - 1].id) if len(rows) > PAGE else "",
        "trail": [(_("Evidence"), "")],
    }
    return render(request, "evidence/events.html", context)


def event(request: HttpRequest, event_id: int) -> HttpResponse:
    """One event, its payload, and whether the two still agree."""
    access.require(APP, actor(request), "evidence.read")
    found = log.event(APP, log.EventId(event_id))
    if found is None:
        raise Http404
    context = {
        "event": found,
        "agrees": log.agrees(found),
        "commitment": found.commitment.hex(),
        "payload": json.dumps(found.payload, indent=2, ensure_ascii=False)
        if found.payload is not None
        else "",
        "trail": [(_("Evidence"), reverse("events")), (found.reference, "")],
    }
    return render(request, "evidence/event.html", context)

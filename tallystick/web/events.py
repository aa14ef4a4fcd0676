"""The evidence log, for whoever may read it: what happened, where it was sealed, and whether its payload still agrees."""

from __future__ import annotations

import json

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from tallystick.core.db import APP
from tallystick.custody import errors
from tallystick.custody.solvency import statements
from tallystick.evidence import exploring, keys, log, reading
from tallystick.identity import access
from tallystick.web import asking, explorer, ledger
from tallystick.web.session import actor

PAGE = 50


def events(request: HttpRequest) -> HttpResponse:
    """The newest events, all or of one kind or time."""
    access.require(APP, actor(request), "evidence.read")
    before = asking.whole(request, "before")
    kind = asking.text(request, "kind", length_max=80)
    rows = exploring.events(
        APP,
        kind=kind or None,
        since=asking.moment(request, "from"),
        until=asking.moment(request, "to", end_of_day=True),
        before=before,
        limit=PAGE + 1,
    )
    context = {
        "rows": rows[:PAGE],
        "kind": kind,
        "kinds": exploring.kinds(APP),
        "asked": {name: request.GET.get(name, "") for name in ("from", "to")},
        "is_narrowed": any(request.GET.get(name) for name in ("kind", "from", "to")),
        "first": asking.query(request, before=None) if before else "",
        "older": asking.query(request, before=rows[PAGE - 1].id) if len(rows) > PAGE else "",
        "trail": [(_("Evidence"), "")],
    }
    return render(request, "evidence/events.html", context)


def event(request: HttpRequest, event_id: int) -> HttpResponse:
    """One event: its payload, its entry and proof, and the transfers or the statement that it is about."""
    access.require(APP, actor(request), "evidence.read")
    found = log.event(APP, log.EventId(event_id))
    if found is None:
        raise Http404
    index = reading.index_of(APP, keys.LEDGER, found.id)
    context = {
        "event": found,
        "agrees": log.agrees(found),
        "commitment": found.commitment.hex(),
        "root": found.root.hex() if found.root else "",
        "payload": json.dumps(found.payload, indent=2, ensure_ascii=False)
        if found.payload is not None
        else "",
        "inclusion": explorer.inclusion(keys.LEDGER, index),
        "public_index": reading.index_of(APP, keys.PUBLIC, found.id),
        "batch": explorer.batch(request, found),
        "scales": ledger.scales(),
        "stated": _stated(request, found),
        "trail": [(_("Evidence"), reverse("events")), (found.reference, "")],
    }
    return render(request, "evidence/event.html", context)


def _stated(request: HttpRequest, found: log.Event) -> statements.Statement | None:
    """The statement of solvency that the event tells of, for whoever may read them."""
    told = found.payload or {}
    if found.kind != "custody.solvency_stated" or not access.allowed(
        actor(request), "custody.read_safeguarding"
    ):
        return None
    book, number = told.get("book"), told.get("number")
    assert isinstance(book, int)
    assert isinstance(number, int)
    try:
        return next(iter(statements.statements(APP, book, before=number + 1, limit=1)), None)
    except errors.SolvencyStatementUnknown:
        return None

"""Approvals: everything that waits for a second person, of whatever kind, on one page.

Terms and notices of payouts are decided here; what has a page of its own is decided there, with all that a
checker needs to see around it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from tallystick.core.db import APP
from tallystick.custody.payouts import notices, orders, terms
from tallystick.custody.safeguarding import proofs
from tallystick.identity import access, approvals, retention
from tallystick.identity.access import Actor
from tallystick.identity.approvals import KINDS, Approval
from tallystick.web import asking, proposals
from tallystick.web.acting import tried
from tallystick.web.payouts import decision_refusal
from tallystick.web.session import actor

PAGE = 50


@dataclass(frozen=True, slots=True)
class Waiting:
    """A proposal as the checker sees it. `url`: where it is decided, if not here."""

    approval: Approval
    kind: str
    facts: list[tuple[str, str]]
    refusal: str | None
    is_mine: bool
    url: str
    is_decided_here: bool


HERE: Mapping[str, Callable[..., object]] = {terms.KIND: terms.approve, notices.KIND: notices.approve}
"""What is decided on this page."""

ROUTES: Mapping[str, str] = {
    "custody.set_pay_in_details": "pay-in-details",
    "custody.change_holders": "holders",
    "custody.change_condition": "holders",
    "custody.match_by_hand": "match-by-hand",
    "custody.undo_match": "match-by-hand",
    "custody.return_receipt": "receipts",
    "custody.close_day": "closing",
    "custody.reopen_day": "closing",
    "evidence.confirm_hold": "retention",
    "evidence.lift_hold": "retention",
}
"""What is decided on a page of its own: of its book, or of no book."""


def approvals_page(request: HttpRequest) -> HttpResponse:
    """The open proposals that this person may decide, made themselves, or may read of."""
    who = actor(request)
    if not any(_concerns(kind, who) for kind in KINDS):
        access.require(APP, who, "custody.release_payout")
    after = asking.whole(request, "after") or 0
    listed = approvals.pending(APP, after=after, limit=PAGE + 1)
    shown = listed[:PAGE]
    context = {
        "rows": [_waiting(each, who) for each in shown if _concerns(each.kind, who)],
        "first": asking.query(request, after=None) if after else "",
        "older": asking.query(request, after=shown[-1].id) if len(listed) > PAGE else "",
        "trail": [(_("Approvals"), "")],
    }
    return render(request, "payouts/approvals.html", context)


@require_POST
def decide(request: HttpRequest, approval_id: int) -> HttpResponse:
    """Approve what is decided here; reject it; or take back one's own."""
    who, now = actor(request), timezone.now()
    found = approvals.approval(APP, approval_id)
    match request.POST.get("act", ""):
        case "approve" if found.kind in HERE:
            approve = partial(HERE[found.kind], APP, found.id, actor=who, now=now)
            tried(request, approve, _("Approved: it holds from now on."))
        case "reject" if found.kind in HERE:
            reason = request.POST.get("reason", "").strip()
            tried(
                request,
                lambda: approvals.reject(APP, found.id, reason=reason, actor=who, now=now),
                _("Rejected."),
            )
        case "withdraw" if found.kind in HERE:
            tried(request, lambda: approvals.withdraw(APP, found.id, actor=who, now=now), _("Taken back."))
        case _:
            messages.error(request, _("Choose what to do."))
    return redirect("approvals")


def _concerns(kind: str, who: Actor) -> bool:
    pair = KINDS.get(kind)
    return pair is not None and (
        access.allowed(who, pair.check)
        or access.allowed(who, pair.make)
        or access.allowed(who, "custody.read_ledger")
    )


def _waiting(each: Approval, who: Actor) -> Waiting:
    return Waiting(
        approval=each,
        kind=proposals.kind(each),
        facts=proposals.told(each),
        refusal=decision_refusal(each, who),
        is_mine=each.made_by == who.id,
        url=_url(each),
        is_decided_here=each.kind in HERE,
    )


def _url(each: Approval) -> str:
    """Where this proposal is decided, with all around it; empty where it is decided here."""
    if each.kind in (retention.CONFIRM, retention.LIFT):
        return reverse(ROUTES[each.kind])
    if each.kind in HERE or each.book is None:
        return ""
    if each.kind == orders.KIND:
        return reverse("payout", args=[each.book, int(each.subject.removeprefix("pay_"))])
    if each.kind == proofs.SIGN_OFF:
        return reverse("proof", args=[each.book, each.subject])
    return reverse(ROUTES[each.kind], args=[each.book])

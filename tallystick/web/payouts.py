"""Payouts for those who work on them: the queue with who may release, and one payout with its whole way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from tallystick.core.db import APP
from tallystick.custody import books, errors
from tallystick.custody.payout_models import PayoutStatus
from tallystick.custody.payouts import bank_accounts, batches, orders, postings, reports, steps
from tallystick.custody.payouts.orders import Payout
from tallystick.identity import access, approvals
from tallystick.identity.access import Actor
from tallystick.identity.approvals import Approval
from tallystick.web import asking, payout_words, words
from tallystick.web.acting import tried
from tallystick.web.session import actor

PAGE = 50

_S = PayoutStatus
_WAY = (_S.ASKED, _S.PENDING, _S.RELEASED, _S.BATCHED, _S.SENT, _S.SETTLED)
_BACK = frozenset({_S.REFUSED, _S.CANCELLED, _S.DECLINED, _S.REJECTED, _S.RETURNED})
_FIGURES = (_S.PENDING, _S.RELEASED, _S.BATCHED, _S.SENT)


def queue(request: HttpRequest, book: int) -> HttpResponse:
    """The payouts of a book: those that wait first, then any that are asked for."""
    who = actor(request)
    access.require(APP, who, "custody.read_ledger")
    found = books.book(APP, book)
    chosen = asking.choice(request, "status", {each.value: each for each in PayoutStatus})
    before = asking.whole(request, "before")
    listed = orders.payouts(APP, book, status=chosen, before=before, limit=PAGE + 1)
    shown = listed[:PAGE]
    counted = orders.counts(APP, book)
    context = {
        "book": found,
        "rows": [(each, *_status(each)) for each in shown],
        "figures": [(payout_words.STATUSES[each], each, counted.get(each, 0)) for each in _FIGURES],
        "statuses": [(each.value, payout_words.STATUSES[each]) for each in PayoutStatus],
        "chosen": chosen,
        "waiting": [
            (payout, approval, decision_refusal(approval, who))
            for approval in approvals.pending(APP, kind=orders.KIND, book=book, limit=PAGE)
            if (payout := _of(approval)).status == _S.PENDING
        ],
        "contradictions": reports.contradictions(APP, book),
        "stuck": postings.refused(APP, book),
        "first": asking.query(request, before=None) if before else "",
        "older": asking.query(request, before=shown[-1].id) if len(listed) > PAGE else "",
        "trail": [(found.name, reverse("overview", args=[book])), (_("Payouts"), "")],
    }
    return render(request, "payouts/queue.html", context)


def payout_page(request: HttpRequest, book: int, payout_id: int) -> HttpResponse:
    """One payout: its way as a picture, every step, the ledger's transfers, and what the bank said."""
    who = actor(request)
    access.require(APP, who, "custody.read_ledger")
    found = books.book(APP, book)
    payout = of_book(book, payout_id)
    taken = steps.steps(APP, payout.id)
    waiting = next(iter(approvals.pending(APP, kind=orders.KIND, subject=payout.reference)), None)
    payee = bank_accounts.as_of_change(APP, payout.change_id)
    word, shade = _status(payout)
    context = {
        "book": found,
        "payout": payout,
        "word": word,
        "shade": shade,
        "why": words.refusal(payout.reason)
        if payout.status == _S.REFUSED
        else payout_words.reason(payout.reason),
        "way": way(payout, {each.status: each.at for each in taken}),
        "steps": [
            (payout_words.STATUSES[each.status], each, payout_words.reason(each.reason)) for each in taken
        ],
        "postings": [(payout_words.POSTINGS[each.step], each) for each in postings.postings(APP, payout.id)],
        "told": [
            (payout_words.OUTCOMES.get(each.outcome, each.outcome), each)
            for each in reports.told_of(APP, payout.id)
        ],
        "payee": payee,
        "others": bank_accounts.other_owners(APP, payee.id),
        "superseded": bank_accounts.bank_account(APP, payee.id).change_id != payee.change_id,
        "waiting": waiting,
        "refusal": None if waiting is None else decision_refusal(waiting, who, payout),
        "may_cancel": payout.is_cancellable and access.allowed(who, "custody.make_payout"),
        "batch": None if payout.batch is None else batches.batch(APP, payout.batch),
        "trail": [
            (found.name, reverse("overview", args=[book])),
            (_("Payouts"), reverse("payouts", args=[book])),
            (payout.reference, ""),
        ],
    }
    return render(request, "payouts/payout.html", context)


@require_POST
def act(request: HttpRequest, book: int, payout_id: int) -> HttpResponse:
    """Release, decline or call off."""
    who, now = actor(request), timezone.now()
    payout = of_book(book, payout_id)
    reason = request.POST.get("reason", "").strip()
    match request.POST.get("act", ""):
        case "release":
            tried(
                request,
                lambda: orders.release(APP, payout.id, actor=who, now=now),
                _("Released: it goes into the next batch."),
            )
        case "decline":
            tried(
                request,
                lambda: orders.decline(APP, payout.id, reason=reason, actor=who, now=now),
                _("Declined: the amount is the client's to use again."),
            )
        case "cancel":
            tried(
                request,
                lambda: orders.cancel(APP, payout.id, reason=reason, actor=who, now=now),
                _("Called off: the amount is the client's to use again."),
            )
        case _:
            messages.error(request, _("Choose what to do."))
    return redirect("payout", book=book, payout_id=payout_id)


def of_book(book: int, payout_id: int) -> Payout:
    """The payout, where it is one of this book. Raises `errors.PayoutUnknown`."""
    payout = orders.payout(APP, payout_id)
    if payout.book != book:
        raise errors.PayoutUnknown(payout=payout.reference)
    return payout


def decision_refusal(approval: Approval, who: Actor, payout: Payout | None = None) -> str | None:
    """Why this person may not decide, in words; nothing where they may."""
    refusal = approvals.refusal_to_decide(approval, who)
    owner = payout.owner if payout is not None else approval.state.get("owner")
    if refusal is None and owner is not None and who.customer_number == owner:
        refusal = errors.OwnMoney(payout=approval.subject)
    return None if refusal is None else refusal.message


def way(payout: Payout, reached: dict[PayoutStatus, datetime]) -> Sequence[tuple[str, datetime | None, str]]:
    """The way of a payout as a picture: each stage, when it was reached, and how to draw it."""
    stages = [
        (str(payout_words.STATUSES[each]), reached.get(each), "done" if each in reached else "ahead")
        for each in _WAY
    ]
    if payout.status in _BACK:
        stages = [each for each in stages if each[2] == "done"]
        stages.append((str(payout_words.STATUSES[payout.status]), payout.status_at, "bad"))
    return stages


def _status(payout: Payout) -> tuple[str, str]:
    return str(payout_words.STATUSES[payout.status]), payout_words.SHADES.get(payout.status, "")


def _of(approval: Approval) -> Payout:
    return orders.payout(APP, int(approval.subject.removeprefix("pay_")))

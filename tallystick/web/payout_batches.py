"""Batches for the bank: made, looked at, taken away as pain.001, and the bank's answers handed in."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from tallystick.core.db import APP
from tallystick.core.errors import Refusal
from tallystick.custody import assets, books, errors
from tallystick.custody.payouts import batches, orders, reports
from tallystick.custody.payouts.batches import Batch
from tallystick.custody.statements.errors import StatementRefused
from tallystick.identity import access
from tallystick.identity.errors import AccessDenied
from tallystick.web import asking, payout_words
from tallystick.web.acting import tried
from tallystick.web.session import actor

PAGE = 50


def batches_page(request: HttpRequest, book: int) -> HttpResponse:
    """The batches of a book; making the next one; handing in an answer of the bank."""
    who = actor(request)
    access.require(APP, who, "custody.read_ledger")
    found = books.book(APP, book)
    before = asking.whole(request, "before")
    listed = batches.batches(APP, book, before=before, limit=PAGE + 1)
    context = {
        "book": found,
        "batches": listed[:PAGE],
        "assets": assets.assets(APP),
        "may_send": access.allowed(who, "custody.send_payouts"),
        "may_import": access.allowed(who, "custody.import_statement"),
        "first": asking.query(request, before=None) if before else "",
        "older": asking.query(request, before=listed[PAGE - 1].id) if len(listed) > PAGE else "",
        "trail": _trail(book, found.name, (_("Batches"), "")),
    }
    return render(request, "payouts/batches.html", context)


@require_POST
def make_batch(request: HttpRequest, book: int) -> HttpResponse:
    """Put every released payout of an asset into a batch."""
    who = actor(request)
    access.require(APP, who, "custody.send_payouts")
    try:
        asset = assets.asset(APP, request.POST.get("asset", ""))
        made = batches.make(APP, book, asset.number, actor=who, now=timezone.now())
    except AccessDenied:
        raise
    except Refusal as refusal:
        messages.error(request, refusal.message)
        return redirect("payout-batches", book=book)
    messages.success(request, _("%(batch)s is made. Take its file to the bank.") % {"batch": made.reference})
    return redirect("payout-batch", book=book, batch_id=made.id)


def batch_page(request: HttpRequest, book: int, batch_id: int) -> HttpResponse:
    """One batch: what it comes to, what is in it, and how far each payout is."""
    who = actor(request)
    access.require(APP, who, "custody.read_ledger")
    found = books.book(APP, book)
    held = _of_book(book, batch_id)
    before = asking.whole(request, "before")
    listed = orders.payouts(APP, book, batch=held.id, before=before, limit=PAGE + 1)
    shown = listed[:PAGE]
    context = {
        "book": found,
        "batch": held,
        "sha256": held.sha256.hex(),
        "rows": [
            (each, str(payout_words.STATUSES[each.status]), payout_words.SHADES.get(each.status, ""))
            for each in shown
        ],
        "may_send": access.allowed(who, "custody.send_payouts"),
        "may_import": access.allowed(who, "custody.import_statement"),
        "first": asking.query(request, before=None) if before else "",
        "older": asking.query(request, before=shown[-1].id) if len(listed) > PAGE else "",
        "trail": _trail(
            book, found.name, (_("Batches"), reverse("payout-batches", args=[book])), (held.reference, "")
        ),
    }
    return render(request, "payouts/batch.html", context)


@require_POST
def batch_file(request: HttpRequest, book: int, batch_id: int) -> HttpResponse:
    """The pain.001 file, to take to the bank. By a form, so that no link leads to account numbers."""
    held = _of_book(book, batch_id)
    content = batches.file_bytes(APP, held.id, actor=actor(request))
    answer = HttpResponse(content, content_type="application/xml; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{held.file_name}"'
    answer["Cache-Control"] = "no-store"
    return answer


@require_POST
def batch_sent(request: HttpRequest, book: int, batch_id: int) -> HttpResponse:
    """Say that the file was handed to the bank."""
    held = _of_book(book, batch_id)
    who = actor(request)
    tried(
        request, lambda: batches.mark_sent(APP, held.id, actor=who, now=timezone.now()), _("Marked as sent.")
    )
    return redirect("payout-batch", book=book, batch_id=batch_id)


@require_POST
def import_answers(request: HttpRequest, book: int) -> HttpResponse:
    """Take in the bank's answers that were handed in; each whole or not at all, each told of by itself."""
    who = actor(request)
    access.require(APP, who, "custody.import_statement")
    given = request.FILES.getlist("files")
    if not given:
        messages.error(request, _("Choose one or more files first."))
    for file in given:
        name = file.name or "-"
        try:
            if (file.size or 0) > reports.BYTES_MAX:
                raise errors.Malformed(where=name, field="length", expected=f"1 to {reports.BYTES_MAX} bytes")
            taken = reports.import_answer(APP, book, name, file.read(), actor=who, now=timezone.now())
        except AccessDenied:
            raise
        except StatementRefused as refusal:
            messages.error(
                request,
                _("%(name)s, line %(line)d: %(note)s")
                % {"name": name, "line": refusal.line, "note": f"{refusal.message} {refusal.advice}"},
            )
        except Refusal as refusal:
            messages.error(request, f"{name}: {refusal.message}")
        else:
            told = ", ".join(
                f"{count} {payout_words.OUTCOMES.get(outcome, outcome)}"
                for outcome, count in sorted(taken.outcomes.items())
            )
            say = messages.warning if taken.repeated else messages.success
            note = _("taken before; nothing was changed") if taken.repeated else told
            say(request, f"{name} → {taken.batch}: {note}")
    return redirect("payout-batches", book=book)


def _of_book(book: int, batch_id: int) -> Batch:
    held = batches.batch(APP, batch_id)
    if held.book != book:
        raise errors.PayoutBatchUnknown(batch=held.reference)
    return held


def _trail(book: int, name: str, *more: tuple[str, str]) -> list[tuple[str, str]]:
    return [
        (name, reverse("overview", args=[book])),
        (_("Payouts"), reverse("payouts", args=[book])),
        *more,
    ]

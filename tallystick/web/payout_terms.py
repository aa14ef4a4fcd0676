"""How payouts are made: terms and notice, changed by two people; and clients' bank accounts to be verified."""

from __future__ import annotations

import datetime as dt

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from tallystick.core import calendars
from tallystick.core.db import APP
from tallystick.custody import accounts, books, errors
from tallystick.custody.payouts import bank_accounts, notices, terms
from tallystick.identity import access, approvals
from tallystick.web import asking, words
from tallystick.web.acting import tried
from tallystick.web.session import actor


def terms_page(request: HttpRequest, book: int) -> HttpResponse:
    """The terms that hold, those before, the notice, and forms to propose others."""
    who = actor(request)
    access.require(APP, who, "custody.read_ledger")
    found = books.book(APP, book)
    banks = list(accounts.external(APP, book))
    scales = {each.number: (each.scale, each.asset, each.name) for each in banks}
    past = [
        (each, *scales[each.bank_account], words.CALENDARS[each.calendar])
        for each in terms.past(APP, book)
        if each.bank_account in scales
    ]
    current: dict[int, object] = {}
    for each in past:
        current.setdefault(each[0].bank_account, each)
    context = {
        "book": found,
        "banks": banks,
        "current": list(current.values()),
        "past": past,
        "calendars": [(each.value, words.CALENDARS[each]) for each in calendars.Calendar],
        "notice": notices.current(APP, book),
        "notices": notices.published(APP, book),
        "waiting": [
            each
            for kind in (terms.KIND, notices.KIND)
            for each in approvals.pending(APP, kind=kind, book=book)
        ],
        "may_propose": access.allowed(who, "custody.propose_payout_terms"),
        "trail": [
            (found.name, reverse("overview", args=[book])),
            (_("Payouts"), reverse("payouts", args=[book])),
            (_("Terms and notice"), ""),
        ],
    }
    return render(request, "payouts/terms.html", context)


@require_POST
def propose_terms(request: HttpRequest, book: int) -> HttpResponse:
    """Propose terms: another person approves them."""
    who, now, given = actor(request), timezone.now(), request.POST
    access.require(APP, who, "custody.propose_payout_terms")

    def propose() -> object:
        bank = accounts.of_text(APP, given.get("bank_account", ""), book=book)
        new = terms.NewTerms(
            bank_account=bank.number,
            release_above_minor=_minor(given.get("release_above", ""), bank.scale, "release_above"),
            daily_above_minor=_minor(given.get("daily_above", ""), bank.scale, "daily_above"),
            cool_off_hours=_whole(given.get("cool_off_hours", ""), "cool_off_hours"),
            cut_off=_time(given.get("cut_off", "")),
            calendar=calendars.calendar(given.get("calendar", "")),
            debtor_name=given.get("debtor_name", "").strip(),
            debtor_account="".join(given.get("debtor_account", "").split()).upper(),
            debtor_bic=given.get("debtor_bic", "").strip().upper(),
        )
        return terms.propose(APP, new, actor=who, now=now)

    tried(request, propose, _("Proposed: another person decides."))
    return redirect("payout-terms", book=book)


@require_POST
def propose_notice(request: HttpRequest, book: int) -> HttpResponse:
    """Propose the next version of the notice: another person publishes it."""
    who, now = actor(request), timezone.now()
    en, zh = (" ".join(request.POST.get(name, "").split()) for name in ("en", "zh"))
    tried(
        request,
        lambda: notices.propose(APP, book, en, zh, actor=who, now=now),
        _("Proposed: another person decides."),
    )
    return redirect("payout-terms", book=book)


def bank_accounts_page(request: HttpRequest, book: int) -> HttpResponse:
    """Clients' bank accounts that nobody has verified yet, the oldest first."""
    who = actor(request)
    access.require(APP, who, "custody.read_ledger")
    found = books.book(APP, book)
    context = {
        "book": found,
        "rows": [
            (each, bank_accounts.other_owners(APP, each.id)) for each in bank_accounts.unverified(APP, book)
        ],
        "may_verify": access.allowed(who, "custody.verify_bank_account"),
        "trail": [
            (found.name, reverse("overview", args=[book])),
            (_("Payouts"), reverse("payouts", args=[book])),
            (_("Bank accounts to verify"), ""),
        ],
    }
    return render(request, "payouts/bank_accounts.html", context)


@require_POST
def verify(request: HttpRequest, book: int, bank_account_id: int) -> HttpResponse:
    """Say that an account is the client's own, and how that is known."""
    who, now = actor(request), timezone.now()
    held = bank_accounts.bank_account(APP, bank_account_id)
    if held.book != book:
        raise errors.BankAccountUnknown(bank_account=held.reference)
    how = request.POST.get("how", "").strip()
    if not how:
        messages.error(request, _("Say how it is known that the account is the client's."))
        return redirect("payout-bank-accounts", book=book)
    tried(request, lambda: bank_accounts.verify(APP, held.id, how=how, actor=who, now=now), _("Verified."))
    return redirect("payout-bank-accounts", book=book)


def _minor(text: str, scale: int, field: str) -> int:
    minor = asking.amount(text, scale)
    if minor is None:
        raise errors.Malformed(where="payout terms", field=field, expected="an amount such as 50000.00")
    return minor


def _whole(text: str, field: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        raise errors.Malformed(where="payout terms", field=field, expected="a whole number")
    return int(text)


def _time(text: str) -> dt.time:
    try:
        return dt.time.fromisoformat(text)
    except ValueError:
        raise errors.Malformed(
            where="payout terms", field="cut_off", expected="a time such as 15:00"
        ) from None

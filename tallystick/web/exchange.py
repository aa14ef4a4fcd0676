"""Other currencies: a client's quote, consent and outcome; for staff the rates, corridors and positions."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from tallystick.core.db import APP
from tallystick.core.errors import Refusal
from tallystick.custody import accounts, books, errors, holders
from tallystick.custody.accounts import Account
from tallystick.custody.cross_border import corridors, quotes, rates, revaluation
from tallystick.custody.cross_border.quotes import Quoted, Status
from tallystick.custody.numbers import AccountNumber
from tallystick.identity import access
from tallystick.identity.access import Actor
from tallystick.identity.errors import AccessDenied
from tallystick.web import asking, customer_own
from tallystick.web.session import actor

STATUSES: dict[str, tuple[str | Promise, str]] = {
    Status.QUOTED: (gettext_lazy("Quoted"), ""),
    Status.EXPIRED: (gettext_lazy("No longer valid"), ""),
    Status.CONSENTED: (gettext_lazy("Agreed, being posted"), "warn"),
    Status.POSTED: (gettext_lazy("Posted"), "good"),
    Status.REFUSED: (gettext_lazy("Not made"), "bad"),
    Status.SETTLED: (gettext_lazy("Settled"), "good"),
    Status.FAILED: (gettext_lazy("Failed outside"), "bad"),
}
"""Each status of an exchange: its name and its colour."""


# ── the client's ─────────────────────────────────────────────────────────────────────────────────────────


def mine(request: HttpRequest) -> HttpResponse:
    """Ask for a quote between one's own accounts; and the exchanges so far."""
    held = _accounts(request)
    now = timezone.now()
    numbers_of: dict[int, list[int]] = {}
    for account in held:
        numbers_of.setdefault(account.book, []).append(account.number)
    context = {
        "accounts": held,
        # The blocked ones too: whoever asks for one is told why.
        "corridors": sorted(
            (
                rule
                for book in numbers_of
                for rule in corridors.corridors(APP, book, books.book(APP, book).today(now))
            ),
            key=lambda rule: not rule.terms.allowed,
        ),
        "quotes": [
            each
            for book in numbers_of
            for each in quotes.quotes(APP, book, sellers=numbers_of[book], now=now, limit=20)
        ],
        "trail": [(_("My money"), reverse("my-money")), (_("Exchange"), "")],
    }
    return render(request, "exchange/mine.html", context)


@require_POST
def ask(request: HttpRequest) -> HttpResponse:
    """Quote it; a refusal is told on the page the question came from."""
    held = {account.text: account for account in _accounts(request)}
    seller, buyer = held.get(request.POST.get("seller", "")), held.get(request.POST.get("buyer", ""))
    if seller is None or buyer is None:
        raise asking.Unreadable(_("Choose two of your accounts."))
    from_country, _sep, to_country = request.POST.get("corridor", "").partition("-")
    sold = asking.amount(request.POST.get("amount", ""), seller.scale)
    if sold is None:
        messages.error(request, _("Give an amount such as 1000.00."))
        return redirect("my-exchange")
    try:
        found = quotes.ask(
            APP,
            seller=AccountNumber(seller.number),
            buyer=AccountNumber(buyer.number),
            sold_minor=sold,
            from_country=from_country[:2],
            to_country=to_country[:2],
            actor=actor(request),
            now=timezone.now(),
        )
    except AccessDenied:
        raise
    except Refusal as refusal:
        messages.error(request, refusal.message)
        return redirect("my-exchange")
    return redirect("my-quote", found.id)


def quote(request: HttpRequest, quote_id: str) -> HttpResponse:
    """One quote of this client's: the full cost, and the button that agrees to it; afterwards what came of it."""
    found = _own(request, quote_id)
    held = accounts.several(APP, [found.seller, found.buyer])
    context = {
        "quote": found,
        "status": STATUSES[found.status][0],
        "shade": STATUSES[found.status][1],
        "seller": held[found.seller],
        "buyer": held[found.buyer],
        "open": found.status == Status.QUOTED,
        "trail": [
            (_("My money"), reverse("my-money")),
            (_("Exchange"), reverse("my-exchange")),
            (found.id, ""),
        ],
    }
    return render(request, "exchange/quote.html", context)


@require_POST
def consent(request: HttpRequest, quote_id: str) -> HttpResponse:
    """Agree to a quote; what was agreed is posted at once, by the step that would do so anyway."""
    _own(request, quote_id)
    now = timezone.now()
    try:
        quotes.consent(APP, quote_id, actor=actor(request), now=now)
    except AccessDenied:
        raise
    except Refusal as refusal:
        messages.error(request, refusal.message)
        return redirect("my-quote", quote_id)
    if quotes.follow(APP, quote_id, actor=Actor.system("pulse"), now=now).status == Status.CONSENTED:
        messages.warning(request, _("Agreed. It is posted as soon as the ledger takes transfers again."))
    return redirect("my-quote", quote_id)


# ── staff's ──────────────────────────────────────────────────────────────────────────────────────────────


def currencies(request: HttpRequest, book: int) -> HttpResponse:
    """Rates with source and time, corridors with their rules, positions at the rates of now, exchanges."""
    who = actor(request)
    access.require(APP, who, "custody.read_ledger")
    found = books.book(APP, book)
    now = timezone.now()
    reporting = asking.text(request, "reporting", length_max=12) or "CNY"
    worth, unworth = None, ""
    try:
        worth = revaluation.revalue(APP, book, reporting, now=now)
    except Refusal as refusal:
        unworth = refusal.message
    context = {
        "book": found,
        "rates": rates.rates(APP, limit=20),
        "corridors": corridors.corridors(APP, book, found.today(now)),
        "reporting": reporting,
        "worth": worth,
        "unworth": unworth,
        "quotes": [(each, *STATUSES[each.status]) for each in quotes.quotes(APP, book, now=now, limit=50)],
        "may_record": access.allowed(who, "custody.record_rate"),
        "may_settle": access.allowed(who, "custody.settle_exchange"),
        "trail": [(found.name, reverse("overview", args=[book])), (_("Currencies"), "")],
    }
    return render(request, "exchange/currencies.html", context)


@require_POST
def record_rate(request: HttpRequest, book: int) -> HttpResponse:
    """Record a rate said now."""
    now = timezone.now()
    rates.record(
        APP,
        request.POST.get("base", "").strip().upper()[:12],
        request.POST.get("quoted", "").strip().upper()[:12],
        request.POST.get("rate", "").strip()[:32],
        request.POST.get("source", "").strip()[:141],
        as_of=now,
        actor=actor(request),
        now=now,
    )
    messages.success(request, _("The rate is recorded."))
    return redirect("currencies", book)


@require_POST
def close(request: HttpRequest, book: int, quote_id: str) -> HttpResponse:
    """Record that the counterparty delivered, or did not."""
    now = timezone.now()
    if quotes.quote(APP, quote_id, now=now).book != book:
        raise errors.QuoteUnknown(quote=quote_id)
    told = request.POST.get("told", "").strip()[:501]
    if request.POST.get("outcome") == "failed":
        quotes.fail(APP, quote_id, told, actor=actor(request), now=now)
    else:
        quotes.settle(APP, quote_id, told, actor=actor(request), now=now)
    messages.success(request, _("Recorded."))
    return redirect("currencies", book)


def _accounts(request: HttpRequest) -> list[Account]:
    """The accounts this customer stands behind, whoever opened them."""
    return [own.account for own in customer_own.all_of(request)]


def _own(request: HttpRequest, quote_id: str) -> Quoted:
    mine = customer_own.number(request)
    found = quotes.quote(APP, quote_id, now=timezone.now())
    standing = holders.standing(APP, accounts.account(APP, found.seller))
    if standing.holding.capacity_of(mine) is None:
        # Not "denied": whether another client's quote exists is none of their business.
        raise errors.QuoteUnknown(quote=quote_id)
    return found

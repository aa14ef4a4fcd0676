"""Paying in: to where, under which reference, by a code a phone can read; and each deposit on its way."""

from __future__ import annotations

import io

import segno
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from tallystick.core.db import APP
from tallystick.core.errors import Refusal
from tallystick.custody import deposits, errors, pay_in, pay_references
from tallystick.custody.deposits import Incoming, Stage
from tallystick.custody.holder_models import Condition
from tallystick.custody.pay_in import Held
from tallystick.web import asking, customer_own
from tallystick.web.customer_own import Own
from tallystick.web.session import actor


def choose(request: HttpRequest) -> HttpResponse:
    """Straight to the only account; with several, which one to pay in to."""
    mine = [each for each in customer_own.all_of(request) if each.condition != Condition.DECEASED]
    if len(mine) == 1:
        return redirect("my-pay-in", number=mine[0].account.text)
    context = {
        "rows": mine,
        "route": "my-pay-in",
        "title": _("Pay in"),
        "trail": [(_("My money"), reverse("my-money")), (_("Pay in"), "")],
    }
    return render(request, "customer/choose.html", context)


def page(request: HttpRequest, number: str) -> HttpResponse:
    """How to pay in to one account; a posted amount is announced."""
    own = customer_own.one(request, number)
    if request.method == "POST":
        return _announce(request, own)
    account = own.account
    minor = customer_own.amount(asking.text(request, "amount", length_max=30), account)
    held = _details(own)
    text = pay_references.reference(account.number, account.asset)
    context = {
        "own": own,
        "account": account,
        "banks": [(each, reverse("my-pay-in-code", args=[number, i])) for i, each in enumerate(held)],
        "is_epc": account.asset == "EUR",
        "reference": text,
        "grouped": pay_references.grouped(text),
        "amount_minor": minor,
        "amount_query": asking.query(request) if minor else "",
        "incoming": [
            (each, steps(each))
            for each in deposits.incoming(APP, account.number, today=customer_own.today(account), limit=20)
        ],
        "expected_days": deposits.EXPECTED_DAYS,
        "trail": [
            (_("My money"), reverse("my-money")),
            (account.name, reverse("my-account", args=[number])),
            (_("Pay in"), ""),
        ],
    }
    return render(request, "customer/pay_in.html", context)


def code(request: HttpRequest, number: str, place: int) -> HttpResponse:
    """The code of one bank's details, as a picture of its own: on white, so that every camera reads it."""
    own = customer_own.one(request, number)
    account = own.account
    held = _details(own)
    if place >= len(held):
        raise errors.AccountUnknown(account=number)
    minor = customer_own.amount(asking.text(request, "amount", length_max=30), account)
    text = pay_in.code_text(
        held[place].details, account.number, account.asset, account.scale, amount_minor=minor
    )
    # Correction level M, as EPC069-12 asks; UTF-8, which its character set 1 means.
    drawn = segno.make(text, error="m", encoding="utf-8", boost_error=False, micro=False)
    picture = io.BytesIO()
    drawn.save(picture, kind="svg", scale=6, border=4, dark="#000000", light="#ffffff", xmldecl=True)
    answer = HttpResponse(picture.getvalue(), content_type="image/svg+xml")
    answer["Content-Disposition"] = f'inline; filename="{account.text}.svg"'
    answer["Cache-Control"] = "private, no-store"
    return answer


def steps(incoming: Incoming) -> list[tuple[str, object, str]]:
    """The stages of a deposit: its word, when it was reached, and `done`, `now`, `ahead` or `bad`."""
    lost = incoming.stage == Stage.NOT_ARRIVED
    booked = incoming.stage == Stage.BOOKED
    told = incoming.noticed_at is not None
    return [
        (_("You announced it"), incoming.announced_at, "done" if incoming.announced_at else "skipped"),
        (
            _("Not arrived") if lost else _("The bank has it"),
            incoming.noticed_at,
            "bad" if lost else "done" if told or booked else "ahead",
        ),
        (_("On your account"), incoming.booked_at, "done" if booked else "ahead"),
    ]


def _details(own: Own) -> list[Held]:
    return list(pay_in.details_of_book(APP, own.account.book, asset=own.account.asset))


def _announce(request: HttpRequest, own: Own) -> HttpResponse:
    """Say that money is on its way."""
    account = own.account
    minor = customer_own.amount(request.POST.get("amount", ""), account)
    back = reverse("my-pay-in", args=[account.text])
    if minor is None:
        messages.error(
            request, _("Write the amount in digits, such as 1000 or 1000.50. Nothing was announced.")
        )
        return redirect(back)
    try:
        deposits.announce(APP, account.number, minor, actor=actor(request), now=timezone.now())
    except Refusal as refusal:
        messages.error(request, refusal.message)
        return redirect(back)
    messages.success(
        request,
        _("Noted. Now make the transfer at your bank; it appears below as soon as the bank tells us."),
    )
    return redirect(f"{back}#incoming")

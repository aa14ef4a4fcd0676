"""A customer's own pages: my money, my statement, what I have authorised. Every figure is the ledger's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from tallystick.core.db import APP
from tallystick.custody import accounts, books, course, errors, history, instructions, numbers
from tallystick.custody.accounts import Account
from tallystick.custody.history import Balance
from tallystick.identity import access
from tallystick.identity.errors import AccessDenied
from tallystick.web import asking, ledger
from tallystick.web.charts import Chart, Series
from tallystick.web.session import actor

MINE_MAX = 200
"""The most accounts of one customer that a page shows."""


def money(request: HttpRequest) -> HttpResponse:
    """Everything that is held for this customer, account by account."""
    mine = _mine(request)
    balances = {
        number: balance
        for book in {account.book for account in mine}
        for number, balance in history.balances(
            APP, [each.number for each in mine if each.book == book]
        ).items()
    }
    context = {
        "rows": [(account, balances[account.number]) for account in mine],
        "totals": _totals(mine, balances),
        "charts": [
            chart
            for asset in dict.fromkeys(account.asset for account in mine)
            for chart in _charts(asset, [each for each in mine if each.asset == asset], balances)
        ],
    }
    return render(request, "customer/money.html", context)


def account(request: HttpRequest, number: str) -> HttpResponse:
    """One account of this customer, with its statement."""
    found = _own(request, number)
    context = ledger.account_context(request, found)
    context["csv"] = reverse("my-account-csv", args=[number]) + asking.query(request, before=None)
    context["trail"] = [(_("My money"), reverse("my-money")), (found.name, "")]
    return render(request, "customer/account.html", context)


def account_csv(request: HttpRequest, number: str) -> HttpResponseBase:
    """The statement of one's own account as a file."""
    return ledger.statement_csv(request, _own(request, number))


def authorisations(request: HttpRequest) -> HttpResponse:
    """What this customer has authorised, and how it stands."""
    owner = _owner(request)
    now = timezone.now()
    rows = [
        (row, instructions.standing(row, now))
        for book in books.books(APP)
        for row in instructions.authorisations_of_owner(APP, book.id, owner, limit=MINE_MAX)
    ]
    return render(request, "customer/authorisations.html", {"rows": rows, "scales": ledger.scales()})


def authorisation(request: HttpRequest, number: str) -> HttpResponse:
    """One authorisation of this customer; with a reason they can withdraw it here."""
    owner = _owner(request)
    try:
        parsed = numbers.parse_authorisation(number)
    except ValueError as wrong:
        raise errors.AuthorisationNotFound(authorisation=number) from wrong
    found = instructions.authorisation(APP, parsed)
    if found.owner != owner:
        # Not "denied": whether another client's authorisation exists is none of their business.
        raise errors.AuthorisationNotFound(authorisation=number)
    if request.method == "POST":
        reason = request.POST.get("reason", "").strip()
        instructions.withdraw(APP, found.number, reason, actor=actor(request), now=timezone.now())
    context = ledger.authorisation_context(found.book, number)
    context["trail"] = [(_("My authorisations"), reverse("my-authorisations")), (found.text, "")]
    return render(request, "customer/authorisation.html", context)


def _owner(request: HttpRequest) -> str:
    """The client this customer is. These pages are theirs alone; staff have the ledger's."""
    number = actor(request).customer_number
    access.require(APP, actor(request), "custody.read_own", owner=number)
    if number is None:
        raise AccessDenied(permission="custody.read_own")
    return number


def _mine(request: HttpRequest) -> list[Account]:
    owner = _owner(request)
    return [
        account
        for book in books.books(APP)
        for account in accounts.accounts(APP, book.id, owner=owner, limit=MINE_MAX)
    ]


def _own(request: HttpRequest, text: str) -> Account:
    owner = _owner(request)
    try:
        found = accounts.account(APP, numbers.parse_account(text))
    except ValueError as wrong:
        raise errors.AccountUnknown(account=text) from wrong
    if found.owner != owner:
        raise errors.AccountUnknown(account=text)
    return found


def _totals(mine: Sequence[Account], balances: dict[int, Balance]) -> list[tuple[str, int, int, int, int]]:
    """For each asset: code, scale, balance, held to leave, available."""
    totals: dict[str, list[int]] = {}
    scale = {account.asset: account.scale for account in mine}
    for account in mine:
        balance = balances[account.number]
        total = totals.setdefault(account.asset, [0, 0, 0])
        total[0] += balance.balance_minor
        total[1] += balance.held_minor
        total[2] += balance.available_minor
    return [(asset, scale[asset], total[0], total[1], total[2]) for asset, total in totals.items()]


def _charts(asset: str, mine: Sequence[Account], balances: dict[int, Balance]) -> list[Chart]:
    """Where the money is now, and how it stood over time."""
    scale = mine[0].scale
    today = timezone.localdate()
    # Days before there was any account say nothing.
    opened = min(timezone.localtime(account.opened_at).date() for account in mine)
    first = max(opened, today - timedelta(days=ledger.COURSE_DAYS - 1))
    daily = [course.daily(APP, account.number, first=first, last=today) for account in mine]
    days = [day.day.isoformat() for day in daily[0]]
    now = Chart(
        id=f"now-{asset}",
        kind="pie",
        title=_("Where your %(asset)s is now") % {"asset": asset},
        category_label=_("Account"),
        categories=[account.name for account in mine],
        series=[Series(_("Balance"), [balances[account.number].balance_minor for account in mine])],
        scale=scale,
        unit=asset,
    )
    then = Chart(
        id=f"then-{asset}",
        kind="line",
        title=_("Your %(asset)s at the end of each day") % {"asset": asset},
        category_label=_("Day"),
        categories=days,
        series=[
            Series(
                _("All accounts"),
                [sum(each[n].balance.balance_minor for each in daily) for n in range(len(days))],
            )
        ],
        scale=scale,
        unit=asset,
    )
    return [now, then] if len(mine) > 1 else [then]

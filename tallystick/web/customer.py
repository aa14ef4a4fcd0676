"""A customer's own pages: my money, my statement, what I have authorised. Every figure is the ledger's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from tallystick.core.db import APP
from tallystick.core.errors import Refusal
from tallystick.custody import (
    account_statement,
    conditions,
    course,
    deposits,
    errors,
    history,
    instructions,
    numbers,
)
from tallystick.custody.accounts import Account
from tallystick.custody.deposits import Stage
from tallystick.custody.history import Balance
from tallystick.custody.liquidity import waiting
from tallystick.web import (
    customer_consents,
    customer_history,
    customer_own,
    customer_pay_in,
    customer_withdraw,
    ledger,
)
from tallystick.web.charts import Chart, Series
from tallystick.web.customer_own import Own
from tallystick.web.session import actor

MINE_MAX = 200
"""The most authorisations of one account that a page shows."""
SHOWN = 6
"""How many of the newest things the first page shows."""


def money(request: HttpRequest) -> HttpResponse:
    """What is held for this customer, what is on its way, and what they can do."""
    mine = customer_own.all_of(request)
    balances = _balances(mine)
    accounts_ = [own.account for own in mine]
    context = {
        "rows": [(own, balances[own.account.number]) for own in mine],
        "totals": _totals(accounts_, balances),
        "coming": _coming(mine),
        "leaving": customer_withdraw.open_payouts(mine),
        "places": waiting.places(APP, accounts_, now=timezone.now()),
        "recent": _recent(mine),
        "consents": [(own, each) for own in mine if own.needs_all for each in customer_consents.waiting(own)],
        "charts": [
            chart
            for asset in dict.fromkeys(account.asset for account in accounts_)
            for chart in _charts(asset, [each for each in accounts_ if each.asset == asset], balances)
        ],
    }
    return render(request, "customer/money.html", context)


def account(request: HttpRequest, number: str) -> HttpResponse:
    """One account of this customer: how it stands, and its history to look through."""
    own = customer_own.one(request, number)
    found = own.account
    today = customer_own.today(found)
    first = max(timezone.localtime(found.opened_at).date(), today - timedelta(days=ledger.COURSE_DAYS - 1))
    context = {
        "own": own,
        "account": found,
        "balance": history.balance(APP, found.number),
        "consents": [(own, each) for each in customer_consents.waiting(own)] if own.needs_all else [],
        "chart": ledger.course_chart(found, course.daily(APP, found.number, first=first, last=today)),
        **customer_history.lines(request, own),
        "trail": [(_("My money"), reverse("my-money")), (found.name, "")],
    }
    return render(request, "customer/account.html", context)


def wake(request: HttpRequest, number: str) -> HttpResponse:
    """Wake an account that sleeps."""
    own = customer_own.one(request, number)
    if request.method == "POST":
        try:
            conditions.reactivate(APP, own.account.number, actor=actor(request), now=timezone.now())
        except Refusal as refusal:
            messages.error(request, refusal.message)
        else:
            messages.success(request, _("Your account is awake. You can use your money again."))
    return redirect("my-account", number=number)


def authorisations(request: HttpRequest) -> HttpResponse:
    """What this customer has authorised, and how it stands."""
    now = timezone.now()
    rows = [
        (row, instructions.standing(row, now))
        for own in customer_own.all_of(request)
        for row in reversed(instructions.authorisations(APP, own.account.number, limit=MINE_MAX))
    ]
    return render(request, "customer/authorisations.html", {"rows": rows, "scales": ledger.scales()})


def authorisation(request: HttpRequest, number: str) -> HttpResponse:
    """One authorisation of this customer; with a reason they can withdraw it here."""
    customer_own.number(request)
    try:
        parsed = numbers.parse_authorisation(number)
    except ValueError as wrong:
        raise errors.AuthorisationNotFound(authorisation=number) from wrong
    found = instructions.authorisation(APP, parsed)
    try:
        customer_own.one(request, numbers.account_text(found.debit_account))
    except errors.AccountUnknown:
        # Not "denied": whether another client's authorisation exists is none of their business.
        raise errors.AuthorisationNotFound(authorisation=number) from None
    if request.method == "POST":
        reason = request.POST.get("reason", "").strip()
        instructions.withdraw(APP, found.number, reason, actor=actor(request), now=timezone.now())
    context = ledger.authorisation_context(found.book, number)
    context["trail"] = [(_("My authorisations"), reverse("my-authorisations")), (found.text, "")]
    return render(request, "customer/authorisation.html", context)


def _balances(mine: Sequence[Own]) -> dict[int, Balance]:
    return {
        number: balance
        for book in {own.account.book for own in mine}
        for number, balance in history.balances(
            APP, [own.account.number for own in mine if own.account.book == book]
        ).items()
    }


def _coming(mine: Sequence[Own]) -> list[tuple[Own, deposits.Incoming, list[tuple[str, object, str]]]]:
    """Deposits that have not arrived yet, the newest first."""
    found = [
        (own, each, customer_pay_in.steps(each))
        for own in mine
        for each in deposits.incoming(
            APP, own.account.number, today=customer_own.today(own.account), limit=SHOWN
        )
        if each.stage in (Stage.ANNOUNCED, Stage.NOTICED)
    ]
    return sorted(found, key=lambda each: each[1].newest_at, reverse=True)[:SHOWN]


def _recent(mine: Sequence[Own]) -> list[tuple[Own, account_statement.Line]]:
    """The newest movements of all accounts together."""
    found = [(own, line) for own in mine for line in account_statement.find(APP, own.account, limit=SHOWN)]
    return sorted(found, key=lambda each: (each[1].recorded_at, each[1].position), reverse=True)[:SHOWN]


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

"""Taking money out: to which bank account, how much, what it costs, a notice read, a word given; and its way."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import uuid4

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from tallystick.core.db import APP
from tallystick.core.errors import Refusal
from tallystick.custody import errors, history, holders, instructions, numbers
from tallystick.custody.codes import Code
from tallystick.custody.holder_models import Condition
from tallystick.custody.instructions import Terms
from tallystick.custody.models import AmountRule
from tallystick.custody.numbers import AuthorisationKind
from tallystick.custody.payout_models import BankAccountStatus, PayoutStatus
from tallystick.custody.payouts import bank_accounts, notices, orders, steps, terms
from tallystick.custody.payouts.bank_accounts import BankAccount
from tallystick.custody.payouts.orders import Payout
from tallystick.web import asking, customer_own, words
from tallystick.web.customer_own import Own
from tallystick.web.session import actor

STATUSES: dict[PayoutStatus, str | Promise] = {
    PayoutStatus.ASKED: gettext_lazy("Ordered"),
    PayoutStatus.PENDING: gettext_lazy("Being checked"),
    PayoutStatus.RELEASED: gettext_lazy("Released"),
    PayoutStatus.BATCHED: gettext_lazy("In today's payments"),
    PayoutStatus.SENT: gettext_lazy("Sent to the bank"),
    PayoutStatus.ACCEPTED: gettext_lazy("Accepted by the bank"),
    PayoutStatus.SETTLED: gettext_lazy("Paid to your bank"),
    PayoutStatus.REFUSED: gettext_lazy("Refused"),
    PayoutStatus.CANCELLED: gettext_lazy("Cancelled"),
    PayoutStatus.DECLINED: gettext_lazy("Turned down"),
    PayoutStatus.REJECTED: gettext_lazy("Rejected by the bank"),
    PayoutStatus.RETURNED: gettext_lazy("Came back"),
}

SHOWN = 20
"""How many payouts of one account a page shows."""

BACK = frozenset(
    {
        PayoutStatus.REFUSED,
        PayoutStatus.CANCELLED,
        PayoutStatus.DECLINED,
        PayoutStatus.REJECTED,
        PayoutStatus.RETURNED,
    }
)
"""Ends after which the money is the customer's to use, as before."""

_WAY = (
    PayoutStatus.PENDING,
    PayoutStatus.RELEASED,
    PayoutStatus.SENT,
    PayoutStatus.SETTLED,
)
"""What a customer needs to know of the way there."""


def open_payouts(mine: Sequence[Own]) -> list[tuple[Own, Payout, str]]:
    """Payouts on their way out of these accounts."""
    return [
        (own, each, str(STATUSES[each.status])) for own in mine for each in _of_account(own, is_open=True)
    ]


def choose(request: HttpRequest) -> HttpResponse:
    """Straight to the only account; with several, from which one."""
    mine = customer_own.all_of(request)
    if len(mine) == 1:
        return redirect("my-withdraw", number=mine[0].account.text)
    context = {
        "rows": mine,
        "route": "my-withdraw",
        "title": _("Withdraw money"),
        "trail": [(_("My money"), reverse("my-money")), (_("Withdraw money"), "")],
    }
    return render(request, "customer/choose.html", context)


def page(request: HttpRequest, number: str) -> HttpResponse:
    """Order a payout. First the form, then everything once more to confirm, then the order."""
    own = customer_own.one(request, number)
    account = own.account
    if request.method == "POST" and request.POST.get("step") == "order":
        return _order(request, own)
    context = {
        "own": own,
        "account": account,
        "balance": history.balance(APP, account.number),
        "targets": _targets(own),
        "notice": _notice(own),
        "payouts": [(each, str(STATUSES[each.status])) for each in _of_account(own)],
        "may_leave": own.signs and own.condition in (Condition.ACTIVE, Condition.ESTATE),
        "asked": {name: request.POST.get(name, "") for name in ("amount", "bank_account", "note")},
        "trail": _trail(own, (_("Withdraw money"), "")),
    }
    if request.method == "POST":
        asked = _asked(request, own)
        if isinstance(asked, str):
            messages.error(request, asked)
        else:
            target, minor = asked
            # The fee is the platform's to name; this house charges none, and says so before consent.
            context |= {"target": target, "minor": minor, "fee_minor": 0, "request_key": str(uuid4())}
            return render(request, "customer/withdraw_confirm.html", context)
    return render(request, "customer/withdraw.html", context)


def payout(request: HttpRequest, number: str, payout_id: int) -> HttpResponse:
    """One payout and its way; as long as it can be, it is called off here."""
    own = customer_own.one(request, number)
    found = orders.payout(APP, payout_id)
    if found.debit_account != own.account.number:
        raise errors.PayoutUnknown(payout=f"pay_{payout_id}")
    if request.method == "POST":
        try:
            orders.cancel(APP, payout_id, actor=actor(request), now=timezone.now())
        except Refusal as refusal:
            messages.error(request, refusal.message)
        else:
            messages.success(request, _("Cancelled. The amount is yours to use again."))
        return redirect("my-payout", number=number, payout_id=payout_id)
    taken = steps.steps(APP, payout_id)
    context = {
        "own": own,
        "account": own.account,
        "payout": found,
        "status": str(STATUSES[found.status]),
        "is_back": found.status in BACK,
        "refusal": words.refusal(found.reason) if found.status == PayoutStatus.REFUSED else found.reason,
        "way": _way(found, {each.status: each.at for each in taken}),
        "steps": [(str(STATUSES[each.status]), each) for each in reversed(taken)],
        "trail": _trail(
            own, (_("Withdraw money"), reverse("my-withdraw", args=[number])), (found.reference, "")
        ),
    }
    return render(request, "customer/payout.html", context)


def add_bank_account(request: HttpRequest, number: str) -> HttpResponse:
    """Bind a bank account in one's own name: staff verify it before money goes there."""
    own = customer_own.one(request, number)
    if request.method == "POST":
        given = {
            name: request.POST.get(name, "").strip()
            for name in ("holder_name", "bank_name", "number", "bic", "cnaps")
        }
        try:
            bank_accounts.add(
                APP,
                own.account.book,
                own.me,
                bank_accounts.Details(**given),
                actor=actor(request),
                now=timezone.now(),
            )
        except Refusal as refusal:
            messages.error(request, refusal.message)
            return render(request, "customer/bank_account.html", _binding(own, given), status=409)
        messages.success(
            request,
            _("Received. Once your bank account is verified, and after a short wait, you can withdraw."),
        )
        return redirect("my-withdraw", number=number)
    return render(request, "customer/bank_account.html", _binding(own, {}))


def _binding(own: Own, given: dict[str, str]) -> dict[str, object]:
    return {
        "own": own,
        "account": own.account,
        "given": given,
        "trail": _trail(
            own,
            (_("Withdraw money"), reverse("my-withdraw", args=[own.account.text])),
            (_("Bank account"), ""),
        ),
    }


def _order(request: HttpRequest, own: Own) -> HttpResponse:
    """The customer's word: the notice read, the amount confirmed, the payout ordered."""
    number = own.account.text
    asked = _asked(request, own)
    if isinstance(asked, str):
        messages.error(request, asked)
        return redirect("my-withdraw", number=number)
    target, minor = asked
    now, who = timezone.now(), actor(request)
    try:
        if request.POST.get("read") != "yes":
            raise errors.NoticeNotAcknowledged(version=_notice(own).version)
        notices.acknowledge(
            APP,
            own.account.book,
            own.me,
            asking.posted_whole(request, "notice") or 0,
            language=translation.get_language() or "en",
            actor=who,
            now=now,
        )
        if own.needs_all and _missing(own, target, minor, now=now, request=request):
            messages.success(
                request, _("Your yes is recorded. As soon as the other holders agree, order it once more.")
            )
            return redirect("my-account", number=number)
        found = orders.ask(
            APP,
            own.account.number,
            target.id,
            minor,
            request_key=request.POST.get("request_key", "")[:64],
            note=request.POST.get("note", "").strip()[:140],
            actor=who,
            now=now,
        )
    except Refusal as refusal:
        messages.error(request, refusal.message)
        return redirect("my-withdraw", number=number)
    if found.status == PayoutStatus.REFUSED:
        messages.error(request, words.refusal(found.reason))
    return redirect("my-payout", number=number, payout_id=found.id)


def _missing(
    own: Own, target: BankAccount, minor: int, *, now: datetime, request: HttpRequest
) -> frozenset[str]:
    """Record this holder's yes to the very terms the order will have; who has still to agree."""
    held = terms.current(APP, own.account.book, numbers.asset_of(own.account.number))
    agreed = Terms(
        debit_account=own.account.number,
        kind=AuthorisationKind.ORDER,
        credit_account=held.bank_account,
        payee=target.shown,
        code=Code.WITHDRAWAL,
        amount_rule=AmountRule.EXACT,
        amount_minor=minor,
        valid_from=now,
        valid_until=now + orders.AUTHORISED_FOR,
        basis="payout",
    )
    return instructions.consent(APP, agreed, actor=actor(request), now=now)


def _asked(request: HttpRequest, own: Own) -> tuple[BankAccount, int] | str:
    """The bank account and the amount asked for; or what is wrong, in the reader's words."""
    minor = customer_own.amount(request.POST.get("amount", ""), own.account)
    if minor is None:
        return _("Write the amount in digits, such as 1000 or 1000.50.")
    if minor > history.balance(APP, own.account.number).available_minor:
        return _("That is more than is free to use on this account.")
    chosen = request.POST.get("bank_account", "")
    for target, _since, is_ready in _targets(own):
        if target.reference == chosen:
            return (target, minor) if is_ready else _("Money can go to this bank account only later.")
    return _("Choose one of your bank accounts.")


def _targets(own: Own) -> list[tuple[BankAccount, datetime | None, bool]]:
    """Bank accounts the money may go to: each with when from, and whether it may go now."""
    now = timezone.now()
    book = own.account.book
    found: list[tuple[BankAccount, datetime | None, bool]] = []
    try:
        for owner in sorted(holders.payees(own.standing)):
            for target, since in orders.payable_to(APP, book, owner, own.account.number, now=now):
                is_verified = target.status == BankAccountStatus.VERIFIED
                found.append((target, since if since > now else None, is_verified and since <= now))
    except errors.PayoutTermsMissing:
        return []
    return found


def _notice(own: Own) -> notices.Notice:
    return notices.current(APP, own.account.book)


def _of_account(own: Own, *, is_open: bool = False) -> Sequence[Payout]:
    """The newest payouts from this account, or the newest that still go on."""
    return orders.payouts(APP, own.account.book, account=own.account.number, is_open=is_open, limit=SHOWN)


def _way(found: Payout, reached: dict[PayoutStatus, datetime]) -> list[tuple[str, datetime | None, str]]:
    """The way of a payout in a few stages: each with when it was reached and how to draw it."""
    way = [
        (str(STATUSES[status]), reached.get(status), "done" if status in reached else "ahead")
        for status in _WAY
    ]
    if found.status in BACK:
        way = [each for each in way if each[2] == "done"]
        way.append((str(STATUSES[found.status]), found.status_at, "bad"))
    return way


def _trail(own: Own, *more: tuple[str, str]) -> list[tuple[str, str]]:
    account = own.account
    return [
        (_("My money"), reverse("my-money")),
        (account.name, reverse("my-account", args=[account.text])),
        *more,
    ]

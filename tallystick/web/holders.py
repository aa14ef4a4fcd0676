"""For staff: who holds accounts, the dormant and the deceased, estates, and where customers pay in.

Whatever is changed here, one person proposes and another decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from tallystick.core.db import APP
from tallystick.core.errors import Refusal
from tallystick.custody import accounts as ledger_accounts
from tallystick.custody import books, conditions, deposits, errors, holders, numbers, pay_in
from tallystick.custody.accounts import Account
from tallystick.custody.holder_models import Capacity, Condition, HoldingRule
from tallystick.custody.holders import Party
from tallystick.custody.numbers import Family
from tallystick.identity import access, approvals
from tallystick.web import asking, ledger, proposals, words
from tallystick.web.session import actor

KINDS = (holders.KIND, conditions.KIND, pay_in.KIND)
PARTIES_SHOWN = 4


def accounts(request: HttpRequest, book: int) -> HttpResponse:
    """Accounts that are not simply one active customer's, and what waits for a second person."""
    access.require(APP, actor(request), "custody.read_ledger")
    found = books.book(APP, book)
    search = asking.text(request, "search", length_max=64)
    if search.startswith("acc_"):
        return redirect("account-holders", book=book, number=search)
    searched = (
        ledger_accounts.accounts(APP, book, family=Family.CLIENT, search=search, limit=50) if search else []
    )
    changed = conditions.standing_out(APP, book)
    context = {
        "book": found,
        "search": search,
        "searched": searched,
        "changed": changed,
        "named": ledger_accounts.several(APP, [each.account for each in changed]),
        "pending": _pending(request, book, holders.KIND, conditions.KIND),
        "dormancy": conditions.dormancy(APP, book),
        "may_set": access.allowed(actor(request), "custody.set_dormancy"),
        "trail": [(found.name, reverse("overview", args=[book])), (_("Holders and estates"), "")],
    }
    return render(request, "holders/accounts.html", context)


def account(request: HttpRequest, book: int, number: str) -> HttpResponse:
    """Who holds one account and how it stands; the form to propose a change."""
    access.require(APP, actor(request), "custody.read_ledger")
    found = ledger_accounts.of_text(APP, number, book=book)
    if request.method == "POST":
        _propose(request, found)
        return redirect("account-holders", book=book, number=number)
    standing = holders.standing(APP, found)
    parties = list(standing.holding.parties)
    context = {
        "book": books.book(APP, book),
        "account": found,
        "standing": standing,
        "rule": words.RULES[standing.holding.rule],
        "rules": [(str(rule), words.RULES[rule], rule == standing.holding.rule) for rule in HoldingRule],
        "rows": [
            (parties[i].customer_number if i < len(parties) else "", _capacities(parties, i))
            for i in range(max(PARTIES_SHOWN, len(parties) + 1))
        ],
        "past": list(reversed(holders.past(APP, found.number))),
        "changes": list(reversed(conditions.changes(APP, found.number))),
        "reachable": [
            (str(each), words.CONDITIONS[each]) for each in sorted(conditions.BY_STAFF[standing.condition])
        ],
        "pending": _pending(request, book, holders.KIND, conditions.KIND, subject=found.text),
        "may_propose": access.allowed(actor(request), "custody.propose_holders"),
        "notice": conditions.notice(APP, found.number),
        "trail": [
            (books.book(APP, book).name, reverse("overview", args=[book])),
            (_("Holders and estates"), reverse("holders", args=[book])),
            (found.name, ""),
        ],
    }
    return render(request, "holders/account.html", context)


def decide(request: HttpRequest, book: int, approval: int) -> HttpResponse:
    """Approve or reject what somebody else proposed, or take one's own proposal back."""
    access.require(APP, actor(request), "custody.read_ledger")
    proposed = approvals.approval(APP, approval)
    back = "pay-in-details" if proposed.kind == pay_in.KIND else "holders"
    if request.method != "POST" or proposed.kind not in KINDS or proposed.book != book:
        return redirect(back, book=book)
    who, now = actor(request), timezone.now()
    approve: Mapping[str, Callable[..., object]] = {
        holders.KIND: holders.approve,
        conditions.KIND: conditions.approve,
        pay_in.KIND: pay_in.approve,
    }
    try:
        match request.POST.get("decision"):
            case "approve":
                approve[proposed.kind](APP, approval, actor=who, now=now)
                messages.success(request, _("Approved. It holds from now on."))
            case "withdraw":
                approvals.withdraw(APP, approval, actor=who, now=now)
                messages.success(request, _("Taken back."))
            case _:
                reason = request.POST.get("reason", "").strip()
                approvals.reject(APP, approval, reason=reason, actor=who, now=now)
                messages.success(request, _("Rejected."))
    except Refusal as refusal:
        messages.error(request, refusal.message)
    return redirect(back, book=book)


def dormancy(request: HttpRequest, book: int) -> HttpResponse:
    """Set after how many quiet days accounts of this book sleep."""
    if request.method == "POST":
        try:
            conditions.set_dormancy(
                APP,
                book,
                days=asking.posted_whole(request, "days") or 0,
                notice_days=asking.posted_whole(request, "notice_days") or 0,
                actor=actor(request),
                now=timezone.now(),
            )
            messages.success(request, _("Set. It holds from now on."))
        except errors.Malformed as refusal:
            messages.error(request, refusal.message)
    return redirect("holders", book=book)


def pay_in_details(request: HttpRequest, book: int) -> HttpResponse:
    """Where customers of this book pay in, and what came in without an owner."""
    access.require(APP, actor(request), "custody.read_ledger")
    found = books.book(APP, book)
    if request.method == "POST":
        _propose_details(request, book)
        return redirect("pay-in-details", book=book)
    banks = ledger_accounts.external(APP, book)
    scales = ledger.scales()
    context = {
        "book": found,
        "banks": [(bank, pay_in.of_account(APP, bank.number)) for bank in banks],
        "suspense": ledger_accounts.accounts(APP, book, family=Family.SUSPENSE, limit=200),
        "pending": _pending(request, book, pay_in.KIND),
        "may_propose": access.allowed(actor(request), "custody.propose_pay_in"),
        "unowned": [
            (each, words.NOT_CREDITED[each.why], scales[numbers.asset_of(each.suspense_account)].scale)
            for each in deposits.unowned(APP, book, limit=50)
        ],
        "today": timezone.localdate().isoformat(),
        "trail": [(found.name, reverse("overview", args=[book])), (_("Paying in"), "")],
    }
    return render(request, "holders/pay_in_details.html", context)


def _propose(request: HttpRequest, found: Account) -> None:
    """What the form on an account's page proposes: its holders, or its condition."""
    given = {name: request.POST.get(name, "").strip() for name in ("document", "reason", "representative")}
    who, now = actor(request), timezone.now()
    try:
        if request.POST.get("what") == "condition":
            condition = _member(Condition, request.POST.get("condition", ""))
            conditions.propose(APP, found.number, condition, **given, actor=who, now=now)
        else:
            named = request.POST.getlist("customer_number")
            as_what = request.POST.getlist("capacity")
            parties = [
                Party(number.strip(), _member(Capacity, capacity))
                for number, capacity in zip(named, as_what, strict=False)
                if number.strip()
            ]
            rule = _member(HoldingRule, request.POST.get("rule", ""))
            holders.propose(
                APP,
                found.number,
                rule,
                parties,
                document=given["document"],
                reason=given["reason"],
                actor=who,
                now=now,
            )
        messages.success(request, _("Proposed. It holds once another person has approved it."))
    except Refusal as refusal:
        messages.error(request, refusal.message)


def _propose_details(request: HttpRequest, book: int) -> None:
    def given(name: str) -> str:
        return request.POST.get(name, "").strip()

    try:
        bank = ledger_accounts.of_text(APP, given("bank_account"), book=book)
        suspense = None
        if text := given("suspense_account"):
            suspense = ledger_accounts.of_text(APP, text, book=book).number
        try:
            takes_from = date.fromisoformat(given("takes_from"))
        except ValueError as wrong:
            raise errors.Malformed(where=bank.text, field="takes_from", expected="a day") from wrong
        details = pay_in.Details(
            bank_account=bank.number,
            holder_name=given("holder_name"),
            account_number=given("account_number"),
            bank_name=given("bank_name"),
            bank_code=given("bank_code"),
            takes_from=takes_from,
            suspense_account=suspense,
            is_open=given("is_open") != "no",
        )
        pay_in.propose(APP, details, actor=actor(request), now=timezone.now())
        messages.success(request, _("Proposed. It holds once another person has approved it."))
    except Refusal as refusal:
        messages.error(request, refusal.message)


def _pending(
    request: HttpRequest, book: int, *kinds: str, subject: str | None = None
) -> list[dict[str, Any]]:
    """Proposals of a book that wait, each with what this reader may do about it."""
    return [
        {
            "approval": each,
            "what": proposals.kind(each),
            "told": proposals.told(each),
            "may_decide": approvals.refusal_to_decide(each, actor(request)) is None,
            "is_mine": each.made_by == actor(request).id,
        }
        for kind in kinds
        for each in approvals.pending(APP, kind=kind, subject=subject, book=book)
    ]


def _member(kind: Any, text: str) -> Any:
    """The member of a closed list; refused where there is none of this name."""
    try:
        return kind(text)
    except ValueError as wrong:
        expected = ", ".join(kind.values)
        raise errors.Malformed(where="form", field=kind.__name__.lower(), expected=expected) from wrong


def _capacities(parties: list[Party], i: int) -> list[tuple[str, object, bool]]:
    chosen = parties[i].capacity if i < len(parties) else Capacity.HOLDER
    # Representatives come with an estate, and with its proof.
    return [
        (str(each), words.CAPACITIES[each], each == chosen)
        for each in Capacity
        if each != Capacity.REPRESENTATIVE or each == chosen
    ]

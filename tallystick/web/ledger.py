"""The ledger's pages, for whoever may read it: accounts, transfers, balances, refusals, authorisations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from tallystick.core import money
from tallystick.core.db import APP
from tallystick.custody import accounts, assets, books, course, errors, history, instructions, numbers
from tallystick.custody.accounts import Account
from tallystick.custody.codes import BY_TEXT
from tallystick.custody.history import Balance, Line
from tallystick.custody.models import AccountStatus, TransferKind
from tallystick.custody.numbers import Family
from tallystick.evidence import keys, log, reading
from tallystick.identity import access
from tallystick.web import asking, csv_file, words
from tallystick.web.charts import Chart, Series
from tallystick.web.session import actor

PAGE = 50
COURSE_DAYS = 90
CSV_STEP = 2_000

STATEMENT_COLUMNS = (
    "position",
    "transfer",
    "kind",
    "code",
    "recorded_at",
    "value_date",
    "amount",
    "balance",
    "available",
    "asset",
    "counter_account",
    "reference",
    "payee",
    "reason",
    "authorisation",
)

TRIAL_COLUMNS = (
    "account",
    "family",
    "asset",
    "owner",
    "name",
    "reference",
    "debits_posted",
    "credits_posted",
    "debits_pending",
    "credits_pending",
    "balance",
)

_FAMILIES = {family.name.lower(): family for family in Family}
_STATUSES = {status.value: status for status in AccountStatus}
_KINDS = {kind.label: kind for kind in TransferKind}


@dataclass(frozen=True, slots=True)
class Choice:
    """One line of a menu in a form."""

    value: str
    label: str
    chosen: bool


def accounts_page(request: HttpRequest, book: int) -> HttpResponse:
    """The accounts of a book, searched and filtered."""
    access.require(APP, actor(request), "custody.read_ledger")
    found = books.book(APP, book)
    search = asking.text(request, "search")
    family = asking.choice(request, "family", _FAMILIES)
    status = asking.choice(request, "status", _STATUSES)
    after = asking.whole(request, "after") or 0
    rows = accounts.accounts(
        APP, book, family=family, status=status, search=search or None, after=after, limit=PAGE + 1
    )
    shown = rows[:PAGE]
    balances = history.balances(APP, [row.number for row in shown])
    context = {
        "book": found,
        "rows": [(row, balances[row.number]) for row in shown],
        "search": search,
        "families": _choices(_FAMILIES, words.FAMILIES, family),
        "statuses": _choices(_STATUSES, words.STATUSES, status),
        "is_filtered": bool(search or family or status),
        "first": asking.query(request, after=None) if after else "",
        "next": asking.query(request, after=shown[-1].number) if len(rows) > PAGE else "",
        "trail": _trail(found, (_("Accounts"), "")),
    }
    name = "ledger/accounts_table.html" if request.headers.get("HX-Request") else "ledger/accounts.html"
    return render(request, name, context)


def account_page(request: HttpRequest, book: int, number: str) -> HttpResponse:
    """One account: what stands on it, how it came to, what it lets through; now or as of any past state."""
    access.require(APP, actor(request), "custody.read_ledger")
    context = account_context(request, accounts.of_text(APP, number, book=book))
    found = books.book(APP, book)
    context["book"] = found
    context["states"] = accounts.states(APP, context["account"].number)
    context["authorisations"] = (
        instructions.authorisations(APP, context["account"].number, limit=PAGE)
        if context["account"].family == Family.CLIENT
        else []
    )
    context["trail"] = _trail(
        found, (_("Accounts"), reverse("accounts", args=[book])), (context["account"].name, "")
    )
    context["csv"] = reverse("account-csv", args=[book, number]) + asking.query(request, before=None)
    return render(request, "ledger/account.html", context)


def account_csv(request: HttpRequest, book: int, number: str) -> HttpResponseBase:
    """The statement of account as a file."""
    access.require(APP, actor(request), "custody.export")
    return statement_csv(request, accounts.of_text(APP, number, book=book))


def account_context(request: HttpRequest, account: Account) -> dict[str, Any]:
    """What an account's page shows, whoever reads it: balances, course, and a page of its statement."""
    asked = asking.as_of(request)
    since = asking.moment(request, "from")
    closing = history.balance(APP, account.number, at_position=asked.position, at_time=asked.at)
    start = _position_before(account, since)
    before = asking.whole(request, "before")
    lines = history.account_lines(
        APP,
        account.number,
        after_position=start,
        to_position=min(closing.position, before - 1) if before else closing.position,
        limit=PAGE + 1,
        newest_first=True,
    )
    last = _day(asked.at or _recorded_at(account, closing))
    return {
        "account": account,
        "balance": closing,
        "opening": history.balance(APP, account.number, at_position=min(start, closing.position)),
        "is_now": asked.is_now,
        "lines": lines[:PAGE],
        "counters": accounts.several(APP, [line.counter_account for line in lines]),
        "first": asking.query(request, before=None) if before else "",
        "older": asking.query(request, before=lines[PAGE - 1].position) if len(lines) > PAGE else "",
        "asked": {name: request.GET.get(name, "") for name in ("at", "position", "from")},
        "chart": course_chart(
            account,
            course.daily(APP, account.number, first=last - timedelta(days=COURSE_DAYS - 1), last=last),
        ),
    }


def course_chart(account: Account, days: Sequence[course.Day]) -> Chart:
    """The balance and what was available of it, at the end of each day."""
    # Days before the account was opened say nothing.
    opened = _day(account.opened_at)
    shown = [day for day in days if day.day >= opened] or days[-1:]
    return Chart(
        id="course",
        kind="line",
        title=_("Balance at the end of each day"),
        category_label=_("Day"),
        categories=[day.day.isoformat() for day in shown],
        series=[
            Series(_("Balance"), [day.balance.balance_minor for day in shown]),
            Series(_("Available"), [day.balance.available_minor for day in shown]),
        ],
        scale=account.scale,
        unit=account.asset,
        low=True,
    )


def statement_csv(request: HttpRequest, account: Account) -> HttpResponseBase:
    """An account's lines between two states as a file, the first line first."""
    asked = asking.as_of(request)
    start = _position_before(account, asking.moment(request, "from"))
    closing = history.balance(APP, account.number, at_position=asked.position, at_time=asked.at)
    return csv_file.response(
        f"{account.text}-{start}-{closing.position}.csv",
        STATEMENT_COLUMNS,
        (_csv_row(account, line) for line in _lines(account, start, closing.position)),
    )


def transfers_page(request: HttpRequest, book: int) -> HttpResponse:
    """The transfers of a book, newest first; a transfer's id or reference finds it."""
    access.require(APP, actor(request), "custody.read_ledger")
    found = books.book(APP, book)
    search = asking.text(request, "search", length_max=140)
    if search.startswith("trf_"):
        return redirect("transfer", book=book, transfer_id=history.transfer(APP, search).id)
    code = asking.choice(request, "code", BY_TEXT)
    kind = asking.choice(request, "kind", _KINDS)
    before = asking.whole(request, "before")
    last = books.head(APP, book).position
    rows = history.transfers(
        APP,
        book,
        to_position=min(before - 1, last) if before else last,
        newest_first=True,
        limit=PAGE + 1,
        filters=history.Filters(code=code, kind=kind, reference=search or None),
    )
    shown = rows[:PAGE]
    context = {
        "book": found,
        "rows": shown,
        "scales": scales(),
        "names": accounts.several(
            APP, [number for row in shown for number in (row.debit_account, row.credit_account)]
        ),
        "search": search,
        "codes": _choices(BY_TEXT, words.CODES, code),
        "kinds": _choices(_KINDS, words.TRANSFER_KINDS, kind),
        "is_filtered": bool(search or code or kind),
        "first": asking.query(request, before=None) if before else "",
        "older": asking.query(request, before=shown[-1].position) if len(rows) > PAGE else "",
        "trail": _trail(found, (_("Transfers"), "")),
    }
    return render(request, "ledger/transfers.html", context)


def transfer_page(request: HttpRequest, book: int, transfer_id: str) -> HttpResponse:
    """One transfer: both its sides, what gave the right to it, what became of it, and its evidence."""
    access.require(APP, actor(request), "custody.read_ledger")
    found = books.book(APP, book)
    transfer = history.transfer(APP, transfer_id)
    if transfer.book != book:
        raise errors.TransferNotFound(transfer=transfer_id)
    sides = accounts.several(APP, [transfer.debit_account, transfer.credit_account])
    after = history.balances(
        APP, [transfer.debit_account, transfer.credit_account], at_position=transfer.position
    )
    context = {
        "book": found,
        "transfer": transfer,
        "scale": sides[transfer.debit_account].scale,
        "asset": sides[transfer.debit_account].asset,
        "sides": [
            (_("Debit"), sides[transfer.debit_account], after[transfer.debit_account]),
            (_("Credit"), sides[transfer.credit_account], after[transfer.credit_account]),
        ],
        "authorisation": (
            instructions.authorisation(APP, transfer.authorisation) if transfer.authorisation else None
        ),
        "links": list(_linked(transfer)),
        "event": (event := _event(request, transfer)),
        "is_sealed": event is not None and reading.index_of(APP, keys.LEDGER, event.id) is not None,
        "trail": _trail(
            found, (_("Transfers"), reverse("transfers", args=[book])), (str(transfer.position), "")
        ),
    }
    return render(request, "ledger/transfer.html", context)


def transfer_at(request: HttpRequest, book: int, position: int) -> HttpResponse:
    """The transfer at a position: the way from a break or a figure to its page."""
    access.require(APP, actor(request), "custody.read_ledger")
    return redirect("transfer", book=book, transfer_id=history.transfer_at(APP, book, position).id)


def trial_balance_page(request: HttpRequest, book: int) -> HttpResponse:
    """Debits against credits of every family, now or as of any past state."""
    access.require(APP, actor(request), "custody.read_ledger")
    found = books.book(APP, book)
    asked = asking.as_of(request)
    position = history.as_of(APP, book, at_position=asked.position, at_time=asked.at)
    totals = history.totals(APP, book, at_position=position)
    context = {
        "book": found,
        "position": position,
        "is_now": asked.is_now,
        "totals": totals,
        "differences": [
            (asset, minor, next(total.scale for total in totals if total.asset == asset))
            for asset, minor in history.difference(totals).items()
        ],
        "asked": {name: request.GET.get(name, "") for name in ("at", "position")},
        "csv": reverse("trial-balance-csv", args=[book]) + asking.query(request),
        "trail": _trail(found, (_("Trial balance"), "")),
    }
    return render(request, "ledger/trial_balance.html", context)


def trial_balance_csv(request: HttpRequest, book: int) -> HttpResponseBase:
    """Every account with its totals, as of the state asked for, as a file."""
    access.require(APP, actor(request), "custody.export")
    asked = asking.as_of(request)
    trial = history.trial_balance(APP, book, at_position=asked.position, at_time=asked.at)
    rows = (
        (
            numbers.account_text(line.account),
            line.family.name.lower(),
            line.asset,
            line.owner,
            line.name,
            line.reference,
            *(
                money.major(minor, line.scale)
                for minor in (
                    line.balance.debits_posted,
                    line.balance.credits_posted,
                    line.balance.debits_pending,
                    line.balance.credits_pending,
                    line.balance.balance_minor,
                )
            ),
        )
        for line in trial.lines
    )
    return csv_file.response(f"trial-balance-{book}-{trial.position}.csv", TRIAL_COLUMNS, rows)


def refusals_page(request: HttpRequest, book: int) -> HttpResponse:
    """Transfers that were turned down, by reason, and the newest of them."""
    access.require(APP, actor(request), "custody.read_ledger")
    found = books.book(APP, book)
    before = asking.whole(request, "before")
    counts = history.refusal_counts(APP, book)
    code = asking.choice(request, "reason", {code: code for code in counts})
    rows = history.refusals(APP, book, before=before, code=code, limit=PAGE + 1)
    context = {
        "book": found,
        "rows": rows[:PAGE],
        "total": sum(counts.values()),
        "reasons": [
            Choice(each, f"{words.refusal_name(each)} ({counts[each]})", each == code) for each in counts
        ],
        "chart": Chart(
            id="refusals",
            kind="rows",
            title=_("Transfers refused, by reason"),
            category_label=_("Reason"),
            categories=[words.refusal_name(each) for each in counts],
            series=[Series(_("Refused"), list(counts.values()))],
            empty=_("No transfer has been refused."),
            low=True,
        ),
        "first": asking.query(request, before=None) if before else "",
        "older": asking.query(request, before=rows[PAGE - 1].id) if len(rows) > PAGE else "",
        "trail": _trail(found, (_("Refusals"), "")),
    }
    return render(request, "ledger/refusals.html", context)


def authorisations_page(request: HttpRequest, book: int) -> HttpResponse:
    """What a client has authorised: found by the client's number, an account or an authorisation."""
    access.require(APP, actor(request), "custody.read_ledger")
    found = books.book(APP, book)
    search = asking.text(request, "search", length_max=64)
    if search.startswith("ath_"):
        return redirect("authorisation", book=book, number=search)
    before = asking.whole(request, "before")
    rows: Sequence[instructions.Authorisation] = []
    if search.startswith("acc_"):
        rows = instructions.authorisations(APP, accounts.number(search), limit=PAGE)
    elif search:
        rows = instructions.authorisations_of_owner(APP, book, search, before=before, limit=PAGE + 1)
    now = timezone.now()
    shown = rows[:PAGE]
    context = {
        "book": found,
        "search": search,
        "rows": [(row, instructions.standing(row, now)) for row in shown],
        "scales": scales(),
        "mismatches": instructions.mismatches(APP, book, limit=20),
        "older": asking.query(request, before=shown[-1].number) if len(rows) > PAGE else "",
        "trail": _trail(found, (_("Authorisations"), "")),
    }
    return render(request, "ledger/authorisations.html", context)


def authorisation_page(request: HttpRequest, book: int, number: str) -> HttpResponse:
    """One authorisation: what was agreed, how it was given, and each use of it."""
    access.require(APP, actor(request), "custody.read_ledger")
    found = books.book(APP, book)
    context = authorisation_context(book, number)
    context["book"] = found
    context["trail"] = _trail(
        found,
        (_("Authorisations"), reverse("authorisations", args=[book])),
        (context["authorisation"].text, ""),
    )
    return render(request, "ledger/authorisation.html", context)


def authorisation_context(book: int, number: str) -> dict[str, Any]:
    """What an authorisation's page shows, whoever reads it."""
    try:
        authorisation = instructions.authorisation(APP, numbers.parse_authorisation(number))
    except ValueError as wrong:
        raise errors.AuthorisationNotFound(authorisation=number) from wrong
    if authorisation.book != book:
        raise errors.AuthorisationNotFound(authorisation=number)
    used = instructions.uses(APP, authorisation.number)
    return {
        "authorisation": authorisation,
        "standing": instructions.standing(authorisation, timezone.now()),
        "kind": words.AUTHORISATION_KINDS[authorisation.kind],
        "debit": accounts.account(APP, authorisation.debit_account),
        "credit": accounts.account(APP, authorisation.credit_account),
        "uses": [(use, history.transfer_at(APP, book, use.position)) for use in used],
    }


def scales() -> dict[int, assets.Asset]:
    """Every asset by its number, for tables that hold amounts of several."""
    return {asset.number: asset for asset in assets.assets(APP)}


def _choices(values: dict[str, Any], names: Any, chosen: object) -> list[Choice]:
    return [Choice(value, str(names[member]), member == chosen) for value, member in values.items()]


def _trail(book: books.Book, *more: tuple[str, str]) -> list[tuple[str, str]]:
    return [(book.name, reverse("overview", args=[book.id])), *more]


def _position_before(account: Account, since: datetime | None) -> int:
    """The last position before a time; 0 where the time lies before the book."""
    if since is None:
        return 0
    try:
        return history.position_before(APP, account.book, since)
    except errors.TimeBeforeBook:
        return 0


def _recorded_at(account: Account, balance: Balance) -> datetime:
    """When the state shown was recorded."""
    head = books.head(APP, account.book)
    if balance.position in (0, head.position):
        return head.recorded_at or account.opened_at
    return history.transfer_at(APP, account.book, balance.position).recorded_at


def _day(moment: datetime) -> date:
    return timezone.localtime(moment).date()


def _lines(account: Account, after: int, to: int) -> Iterator[Line]:
    """Every line between two positions, read a step at a time."""
    while lines := history.account_lines(
        APP, account.number, after_position=after, to_position=to, limit=CSV_STEP
    ):
        yield from lines
        after = lines[-1].position


def _csv_row(account: Account, line: Line) -> tuple[object, ...]:
    return (
        line.position,
        line.id,
        line.kind.label,
        line.code.text,
        line.recorded_at.isoformat(),
        line.value_date.isoformat(),
        money.major(line.amount_minor, account.scale),
        money.major(line.balance_minor, account.scale),
        money.major(line.available_minor, account.scale),
        account.asset,
        numbers.account_text(line.counter_account),
        line.reference,
        line.payee,
        line.reason,
        numbers.authorisation_text(line.authorisation) if line.authorisation else "",
    )


def _linked(transfer: history.Transfer) -> Iterator[tuple[str, history.Transfer]]:
    """The transfers this one belongs with: what it settles or reverses, and what did so to it."""
    book, position = transfer.book, transfer.position
    for name, linked in (
        (_("Settles the pending transfer"), transfer.pending_position),
        (_("Reverses"), transfer.reverses_position),
        (_("Stands in the chain that begins with"), transfer.chain_position),
    ):
        if linked is not None and linked != position:
            yield name, history.transfer_at(APP, book, linked)
    if (settled := history.settled_by(APP, book, position)) is not None:
        yield _("Settled by"), settled
    if (undone := history.reversed_by(APP, book, position)) is not None:
        yield _("Reversed by"), undone


def _event(request: HttpRequest, transfer: history.Transfer) -> log.Event | None:
    """The event of the batch this transfer was posted in, for whoever may read evidence."""
    if not access.allowed(actor(request), "evidence.read"):
        return None
    for event in log.events_at(APP, "custody.transfers_posted", transfer.recorded_at):
        told = event.payload or {}
        first, last = told.get("first_position"), told.get("last_position")
        if (
            told.get("book") == transfer.book
            and isinstance(first, int)
            and isinstance(last, int)
            and first <= transfer.position <= last
        ):
            return event
    return None

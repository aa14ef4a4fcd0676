"""The explorer, for bank, auditor and regulator: from any figure down to ledger lines and the leaves of the log.

Each page leads on in both directions: a statement to its accounts, an account to its lines, a line to its transfer,
a transfer to its batch's entry, an entry to a signed checkpoint; and every state of the book can be built again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from tallystick.core.db import APP
from tallystick.core.errors import Refusal
from tallystick.custody import accounts, audit, books, errors, history, rebuilding, sealed_transfers
from tallystick.custody.accounts import Account
from tallystick.custody.history import Balance
from tallystick.custody.numbers import BookId, Family
from tallystick.custody.solvency import statements
from tallystick.evidence import errors as evidence_errors
from tallystick.evidence import exploring, keys, log, reading, standing
from tallystick.identity import access
from tallystick.web import asking, customer_proof, transparency
from tallystick.web.charts import Chart
from tallystick.web.session import actor

PAGE = 50
_FAMILIES = {"client": Family.CLIENT, "suspense": Family.SUSPENSE}


@dataclass(frozen=True, slots=True)
class Inclusion:
    """The way from an entry to a signed checkpoint, as pages show it."""

    index: int
    size: int
    leaf: str
    path: Sequence[str]
    note: str


@dataclass(frozen=True, slots=True)
class Batch:
    """The transfers that one entry is about."""

    book: int
    first: int
    last: int
    transfers: Sequence[history.Transfer]
    more: int | None
    """Where the next page of them begins."""


# ── the log ──────────────────────────────────────────────────────────────────────────────────────────────


@require_safe
def found(request: HttpRequest) -> HttpResponse:
    """Whatever has this number: an event, a transfer, an account, a statement or an entry."""
    access.require(APP, actor(request), "evidence.read")
    asked = asking.text(request, "id", length_max=80)
    if number := re.fullmatch(r"evt_([0-9]{1,18})", asked):
        return redirect("event", event_id=int(number[1]))
    if asked.startswith("trf_"):
        transfer = history.transfer(APP, asked)
        return redirect("transfer", book=transfer.book, transfer_id=transfer.id)
    if asked.startswith("acc_"):
        account = accounts.of_text(APP, asked)
        return redirect("account", book=account.book, number=account.text)
    if asked.startswith("sol_"):
        stated = statements.statement(APP, asked)
        return redirect("solvency-statement", book=stated.book, statement_id=stated.id)
    if asked.isascii() and asked.isdigit() and len(asked) <= 18:
        return redirect("log-entry", name="ledger", index=int(asked))
    raise asking.Unreadable(
        _(
            "Give the number of an event (evt_), a transfer (trf_), an account (acc_), a statement (sol_) or an entry."
        )
    )


@require_safe
def entries(request: HttpRequest, name: str) -> HttpResponse:
    """One log: its head, and its entries, the newest first."""
    access.require(APP, actor(request), "evidence.read")
    log_id = _log(name)
    told = standing.standing(APP, log_id)
    before = asking.whole(request, "before")
    rows = exploring.entries(APP, log_id, before=before, limit=PAGE + 1) if told else []
    context = {
        "name": name,
        "told": told,
        "root": told.head.root.hex() if told else "",
        "rows": [(each, each.told) for each in rows[:PAGE]],
        "may_mirror": name == "ledger" and access.allowed(actor(request), "evidence.read_ledger_log"),
        "first": asking.query(request, before=None) if before else "",
        "older": asking.query(request, before=rows[PAGE - 1].index) if len(rows) > PAGE else "",
        "trail": [(_("Evidence"), reverse("events")), (_titles()[name], "")],
    }
    return render(request, "evidence/entries.html", context)


@require_safe
def entry(request: HttpRequest, name: str, index: int) -> HttpResponse:
    """One entry: its bytes, what it seals, and the proof that it is in the log."""
    access.require(APP, actor(request), "evidence.read")
    log_id = _log(name)
    shown = exploring.entry(APP, log_id, index)
    context = {
        "name": name,
        "entry": shown,
        "said": json.dumps(shown.told, ensure_ascii=False, indent=2),
        "inclusion": inclusion(log_id, index),
        "trail": [
            (_("Evidence"), reverse("events")),
            (_titles()[name], reverse("log-entries", args=[name])),
            (str(index), ""),
        ],
    }
    return render(request, "evidence/entry.html", context)


@require_safe
def event_receipt(request: HttpRequest, event_id: str, form: str) -> HttpResponse:
    """The receipt of an event, to be checked elsewhere: with its payload where that is still there."""
    access.require(APP, actor(request), "evidence.read")
    told = log.event(APP, log.EventId(int(event_id)))
    if told is None:
        raise Http404
    made = exploring.receipt(APP, keys.LEDGER, told)
    title = _("Receipt %(transfer)s") % {"transfer": told.reference}
    return customer_proof.handed({"receipt.json": made.text}, form, f"receipt-{told.reference}", title)


@require_safe
def transfer_receipt(request: HttpRequest, book: str, transfer_id: str, form: str) -> HttpResponse:
    """The receipt of a transfer, for whoever reads the whole ledger."""
    access.require(APP, actor(request), "custody.read_ledger")
    access.require(APP, actor(request), "evidence.read")
    transfer = history.transfer(APP, transfer_id)
    if transfer.book != int(book):
        raise errors.TransferNotFound(transfer=transfer_id)
    made = sealed_transfers.receipt(APP, transfer.id)
    title = _("Receipt %(transfer)s") % {"transfer": transfer.id}
    return customer_proof.handed({"receipt.json": made.text}, form, f"receipt-{transfer.id}", title)


def inclusion(log_id: int, index: int | None) -> Inclusion | None:
    """The proof of an entry in the newest log; nothing where it is not sealed."""
    if index is None:
        return None
    try:
        prover = reading.Prover(APP, log_id)
        made = prover.inclusion(index)
    except (evidence_errors.EntryUnknown, evidence_errors.CheckpointUnknown):
        return None
    return Inclusion(
        index=index,
        size=made.size,
        leaf=exploring.leaf(made.body, prover.suite).hex(),
        path=[each.hex() for each in made.path],
        note=made.note.decode(),
    )


def batch(request: HttpRequest, event: log.Event) -> Batch | None:
    """The transfers that an event of many is about, a page of them, for whoever may read the ledger."""
    told = event.payload
    if (
        event.kind != audit.POSTED_KIND
        or told is None
        or not access.allowed(actor(request), "custody.read_ledger")
    ):
        return None
    access.require(APP, actor(request), "custody.read_ledger")
    book, first, last = (int(str(told[name])) for name in ("book", "first_position", "last_position"))
    if not last:
        return None
    begin = max(first, asking.whole(request, "from") or first)
    end = min(last, begin + PAGE - 1)
    shown = history.transfers(APP, book, after=begin - 1, to_position=end, limit=PAGE)
    return Batch(book, first, last, shown, end + 1 if end < last else None)


# ── solvency ─────────────────────────────────────────────────────────────────────────────────────────────


@require_safe
def solvency(request: HttpRequest, book: int) -> HttpResponse:
    """Every statement of a book, and its figures over time."""
    access.require(APP, actor(request), "custody.read_safeguarding")
    shown = books.book(APP, book)
    before = asking.whole(request, "before")
    rows = statements.statements(APP, book, before=before, limit=PAGE + 1)
    days = [transparency.day(each) for each in rows[:PAGE]]
    charts: Sequence[Chart] = transparency.charts(days)
    context = {
        "book": shown,
        "days": days,
        "charts": charts,
        "first": asking.query(request, before=None) if before else "",
        "older": asking.query(request, before=rows[PAGE - 1].number) if len(rows) > PAGE else "",
        "trail": [(shown.name, reverse("overview", args=[book])), (_("Solvency"), "")],
    }
    return render(request, "solvency/days.html", context)


@require_safe
def statement(request: HttpRequest, book: int, statement_id: str) -> HttpResponse:
    """One statement: each figure with what it is made of."""
    who = actor(request)
    access.require(APP, who, "custody.read_safeguarding")
    stated = _statement(book, statement_id)
    told = stated.told
    may_explore = access.allowed(who, "evidence.read")
    ledger_log = told["ledger_log"]
    context = {
        "book": books.book(APP, book),
        "day": transparency.day(stated),
        "statement": stated,
        "cut_off": told["cut_off"],
        "digest": stated.digest.hex(),
        "previous": told["previous"],
        "ledger_log": ledger_log,
        "sealed_last": ledger_log["size"] - 1 if ledger_log and ledger_log["size"] else None,
        "public_index": reading.index_of(APP, keys.PUBLIC, stated.event),
        "may_explore": may_explore,
        "trail": _trail(book, (stated.id, "")),
    }
    return render(request, "solvency/statement.html", context)


@require_safe
def owed(request: HttpRequest, book: int, statement_id: str, asset: str) -> HttpResponse:
    """What a total is made of: every account that was counted, with its balance at the statement's position."""
    access.require(APP, actor(request), "custody.read_safeguarding")
    access.require(APP, actor(request), "custody.read_ledger")
    stated = _statement(book, statement_id)
    figures = next((each for each in transparency.day(stated).assets if each.code == asset), None)
    if figures is None:
        raise errors.TreeUnknown(statement=stated.id, asset=asset)
    family = asking.choice(request, "family", _FAMILIES) or Family.CLIENT
    after = asking.whole(request, "after") or 0
    listed = accounts.accounts(APP, book, family=family, asset=asset, after=after, limit=PAGE + 1)
    shown = listed[:PAGE]
    context = {
        "book": books.book(APP, book),
        "statement": stated,
        "figures": figures,
        "figure_minor": figures.total_minor if family == Family.CLIENT else figures.unallocated_minor,
        "family": family,
        "rows": _counted(stated, shown),
        "first": asking.query(request, after=None) if after else "",
        "next": asking.query(request, after=shown[-1].number) if len(listed) > PAGE else "",
        "trail": _trail(
            book, (stated.id, reverse("solvency-statement", args=[book, stated.id])), (asset, "")
        ),
    }
    return render(request, "solvency/owed.html", context)


@require_safe
def rebuild(request: HttpRequest, book: int) -> HttpResponse:
    """Every balance at any moment, added up anew from the transfers, beside what the ledger keeps."""
    access.require(APP, actor(request), "custody.read_ledger")
    shown = books.book(APP, book)
    asked = asking.as_of(request)
    refusal, made = None, None
    try:
        made = rebuilding.rebuilt(APP, book, at_position=asked.position, at_time=asked.at)
    except errors.TooManyToRebuild as too_many:
        refusal = too_many
    context = {
        "book": shown,
        "rebuilt": made,
        "refusal": refusal,
        "asked": {name: request.GET.get(name, "") for name in ("at", "position")},
        "differing": accounts.several(APP, made.differing).values() if made else [],
        "event": _event_of(BookId(book), made.position) if made and made.position else None,
        "trail": [(shown.name, reverse("overview", args=[book])), (_("Rebuilt"), "")],
    }
    return render(request, "solvency/rebuilt.html", context)


def _counted(stated: statements.Statement, shown: Sequence[Account]) -> list[tuple[Account, Balance, int]]:
    """Each account that the statement counts, its balance then, and what of it was counted."""
    cut_off = transparency.moment(stated.told["cut_off"])
    counted = [each for each in shown if each.opened_at < cut_off]
    then = history.balances(APP, [each.number for each in counted], at_position=stated.position)
    # What a client owes counts as nothing, and is never set against what others are owed.
    return [(each, then[each.number], max(then[each.number].balance_minor, 0)) for each in counted]


def _event_of(book: BookId, position: int) -> log.Event | None:
    """The event of the batch in which a position was posted."""
    transfer = history.transfer_at(APP, book, position)
    for event in log.events_at(APP, audit.POSTED_KIND, transfer.recorded_at):
        told: dict[str, Any] = event.payload or {}
        if told.get("book") == book and told["first_position"] <= position <= told["last_position"]:
            return event
    return None


def _statement(book: int, statement_id: str) -> statements.Statement:
    try:
        stated = statements.statement(APP, statement_id)
    except Refusal:
        raise errors.SolvencyStatementUnknown(statement=statement_id[:40]) from None
    if stated.book != book:
        raise errors.SolvencyStatementUnknown(statement=stated.id)
    return stated


def _log(name: str) -> int:
    if name not in keys.LOGS:
        raise Http404
    return keys.LOGS[name]


def _titles() -> dict[str, str]:
    return {"ledger": _("The ledger's log"), "public": _("The public log")}


def _trail(book: int, *more: tuple[str, str]) -> list[tuple[str, str]]:
    shown = books.book(APP, book)
    return [
        (shown.name, reverse("overview", args=[book])),
        (_("Solvency"), reverse("solvency", args=[book])),
        *more,
    ]

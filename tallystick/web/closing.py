"""Days closed and to be closed, day by day; and the money in suspense that waits for an owner."""

from __future__ import annotations

import calendar as months
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from tallystick.core import calendars
from tallystick.core.db import APP
from tallystick.core.errors import YearWithoutCalendar
from tallystick.custody import accounts, book_days, books, numbers
from tallystick.custody.accounts import Account
from tallystick.custody.workbench import closing, owners, receipts
from tallystick.custody.workbench.checklist import Check
from tallystick.custody.workbench.closing import Calendared
from tallystick.identity import access, approvals
from tallystick.identity.access import Actor
from tallystick.identity.approvals import Approval, ApprovalId
from tallystick.web import asking, words, workbench_words
from tallystick.web.acting import proposal, tried
from tallystick.web.session import actor


@dataclass(frozen=True, slots=True)
class Cell:
    """A day in the picture of a month."""

    day: Calendared
    name: str
    word: str
    shade: str
    is_today: bool
    is_linked: bool


def closing_page(request: HttpRequest, book: int) -> HttpResponse:
    """A month of a book: which days are closed, which wait, which are late."""
    who = actor(request)
    access.require(APP, who, "custody.read_statements")
    found = books.book(APP, book)
    days = book_days.days(APP, book)
    now = timezone.now()
    today = days.business_date(now)
    year, month = _month(request, today)
    start = dt.date(year, month, 1)
    end = dt.date(year, month, months.monthrange(year, month)[1])
    last = closing.last_closed(APP, book)
    context = {
        "book": found,
        "days": days,
        "calendar_name": words.CALENDARS[days.calendar],
        "source": calendars.source(days.calendar, year),
        "weeks": _weeks([_cell(each, today) for each in closing.calendar(APP, book, start, end, now=now)]),
        "month": start,
        "before": (start - dt.timedelta(days=1)).strftime("%Y-%m"),
        "after": (end + dt.timedelta(days=1)).strftime("%Y-%m"),
        "last": last,
        "next_day": days.next(last.day) if last else _first(days, found, now),
        "waiting": closing.proposals(APP, book),
        "states": list(workbench_words.DAY_STATES.values()),
        "changes": book_days.changes(APP, book, limit=10),
        "trail": [(found.name, reverse("overview", args=[book])), (_("Daily close"), "")],
    }
    return render(request, "workbench/closing.html", context)


def day_page(request: HttpRequest, book: int, day: str) -> HttpResponse:
    """One day: its checklist as it stands or as it was signed, what it holds and what it rolls on."""
    who = actor(request)
    access.require(APP, who, "custody.read_statements")
    found = books.book(APP, book)
    date = _date(day)
    held = closing.rows(APP, book, date)
    closed = held[-1] if held and held[-1].act.value == "closed" else None
    now = timezone.now()
    sheet = None if closed else closing.sheet(APP, book, date, now=now)
    banks = _named(closed.checks if closed else sheet.checks if sheet else [])
    last = closing.last_closed(APP, book)
    context = {
        "book": found,
        "day": date,
        "now_over": now >= book_days.days(APP, book).cut_off_at(date),
        "closed": closed,
        "sheet": sheet,
        "shown": closed or sheet,
        "sha256": closed.sha256.hex() if closed else sheet.sha256.hex() if sheet else "",
        "checks": [
            _check(each, banks) for each in (closed.checks if closed else sheet.checks if sheet else [])
        ],
        "failing": len(sheet.failing) if sheet else 0,
        "rolled": _rolled(closed, sheet, book, date),
        "rows": [(each, workbench_words.DAY_ACTS[each.act]) for each in held],
        "waiting": [_decidable(each, who) for each in closing.proposals(APP, book, date)],
        "may_prepare": access.allowed(who, "custody.prepare_close"),
        "is_last": last is not None and last.day == date,
        "trail": [
            (found.name, reverse("overview", args=[book])),
            (_("Daily close"), reverse("closing", args=[book])),
            (date.isoformat(), ""),
        ],
    }
    return render(request, "workbench/day.html", context)


@require_POST
def close_day(request: HttpRequest, book: int, day: str) -> HttpResponse:
    """Sign a day, first or second, or have it opened again."""
    who, now, date = actor(request), timezone.now(), _date(day)
    given = request.POST
    reason = given.get("reason", "")

    def asked(*kinds: str) -> ApprovalId:
        return proposal(request, book, *kinds, day=date.isoformat()).id

    match given.get("act", ""):
        case "prepare":
            tried(
                request,
                lambda: closing.prepare(APP, book, date, actor=who, now=now),
                _("Signed: another person signs next."),
            )
        case "sign":
            tried(
                request,
                lambda: closing.sign(APP, asked(closing.CLOSE), actor=who, now=now),
                _("The day is closed."),
            )
        case "prepare_reopening":
            tried(
                request,
                lambda: closing.prepare_reopening(APP, book, date, reason=reason, actor=who, now=now),
                _("Proposed: another person decides."),
            )
        case "reopen":
            tried(
                request,
                lambda: closing.reopen(APP, asked(closing.REOPEN), actor=who, now=now),
                _("The day is open again."),
            )
        case "reject":
            tried(
                request,
                lambda: approvals.reject(
                    APP, asked(closing.CLOSE, closing.REOPEN), reason=reason, actor=who, now=now
                ),
                _("Turned down."),
            )
    return redirect("closing-day", book=book, day=day)


def receipts_page(request: HttpRequest, book: int) -> HttpResponse:
    """Money in suspense: how old, from whom, and whose it may be."""
    access.require(APP, actor(request), "custody.read_statements")
    found = books.book(APP, book)
    days = book_days.days(APP, book)
    today = days.business_date(timezone.now())
    listed = receipts.receipts(APP, book)
    held = accounts.several(APP, {each.suspense_account for each in listed})
    rows = [
        (each, held[each.suspense_account], age, age > days.receipt_age_max)
        for each in listed
        for age in (days.age(each.day, today),)
    ]
    context = {
        "book": found,
        "rows": rows,
        "late": sum(row[3] for row in rows),
        "limit": days.receipt_age_max,
        "waiting": {each.state.get("position") for each in receipts.returning(APP, book)},
        "trail": [
            (found.name, reverse("overview", args=[book])),
            (_("Workbench"), reverse("workbench", args=[book])),
            (_("Money in suspense"), ""),
        ],
    }
    return render(request, "workbench/receipts.html", context)


def receipt_page(request: HttpRequest, book: int, position: int) -> HttpResponse:
    """One receipt: what the bank says of it, whose it may be and why, and the two ways out."""
    who = actor(request)
    access.require(APP, who, "custody.read_statements")
    found = books.book(APP, book)
    receipt = receipts.receipt(APP, book, position)
    steps = receipts.steps(APP, book, position)
    days = book_days.days(APP, book)
    waiting = [each for each in receipts.returning(APP, book) if each.state.get("position") == position]
    context = {
        "book": found,
        "receipt": receipt,
        "account": accounts.account(APP, receipt.suspense_account),
        "line": owners.line(APP, receipt.statement_line) if receipt.statement_line else None,
        "candidates": [
            (each, workbench_words.because(each.reasons)) for each in receipts.candidates(APP, receipt)
        ],
        "steps": [(each, workbench_words.RECEIPT_ACTS[each.act]) for each in steps],
        "is_settled": any(each.settles for each in steps),
        "age": days.age(receipt.day, days.business_date(timezone.now())),
        "limit": days.receipt_age_max,
        "waiting": [_decidable(each, who) for each in waiting],
        "may_trace": access.allowed(who, "custody.explain_break") and access.allowed(who, "custody.post"),
        "trail": [
            (found.name, reverse("overview", args=[book])),
            (_("Workbench"), reverse("workbench", args=[book])),
            (_("Money in suspense"), reverse("receipts", args=[book])),
            (str(position), ""),
        ],
    }
    return render(request, "workbench/receipt.html", context)


@require_POST
def settle_receipt(request: HttpRequest, book: int, position: int) -> HttpResponse:
    """Write a note, give a receipt to its owner, or send it back."""
    who, now = actor(request), timezone.now()
    given = request.POST
    note = given.get("note", "")

    def asked() -> ApprovalId:
        return proposal(request, book, receipts.RETURN, position=position).id

    match given.get("act", ""):
        case "note":
            tried(
                request,
                lambda: receipts.write_note(APP, book, position, note, actor=who, now=now),
                _("Written down."),
            )
        case "trace":
            tried(
                request,
                lambda: receipts.trace(
                    APP,
                    book,
                    position,
                    accounts.number(given.get("account", "").strip()),
                    note,
                    actor=who,
                    now=now,
                ),
                _("Booked to its owner."),
            )
        case "return":
            tried(
                request,
                lambda: receipts.propose_return(APP, book, position, note, actor=who, now=now),
                _("Proposed: another person decides."),
            )
        case "approve":
            tried(
                request,
                lambda: receipts.approve_return(APP, asked(), actor=who, now=now),
                _("Sent back: booked out of suspense."),
            )
        case "reject":
            tried(
                request,
                lambda: approvals.reject(APP, asked(), reason=note, actor=who, now=now),
                _("Turned down."),
            )
    return redirect("receipt", book=book, position=position)


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


def _decidable(found: Approval, who: Actor) -> tuple[Approval, bool, bool]:
    """A proposal, whether the reader may decide on it, and whether it is their own."""
    return found, approvals.refusal_to_decide(found, who) is None, found.made_by == who.id


def _month(request: HttpRequest, today: dt.date) -> tuple[int, int]:
    given = asking.text(request, "month")
    found = parse_date(f"{given}-01") if len(given) == 7 else None
    return (found.year, found.month) if found else (today.year, today.month)


def _date(text: str) -> dt.date:
    try:
        found = parse_date(text)
    except ValueError:
        found = None
    if found is None:
        raise asking.Unreadable(_("A day is written as 2026-03-02."))
    return found


def _first(days: book_days.Days, book: books.Book, now: dt.datetime) -> dt.date | None:
    """The day to begin with where none was closed yet: the last one that is over."""
    try:
        return days.previous(days.business_date(now))
    except YearWithoutCalendar:
        return None


def _cell(found: Calendared, today: dt.date) -> Cell:
    word, shade = workbench_words.DAY_STATES[found.state]
    name = found.zh if (get_language() or "").startswith("zh") else found.en
    is_linked = found.state.value not in ("rest", "to_come")
    return Cell(found, name, str(word), shade, found.date == today, is_linked)


def _weeks(cells: Sequence[Cell]) -> list[list[Cell | None]]:
    """Cells in weeks from Monday, with empty ones before the first and after the last."""
    padded: list[Cell | None] = [None] * cells[0].day.date.weekday() + list(cells)
    padded += [None] * (-len(padded) % 7)
    return [padded[start : start + 7] for start in range(0, len(padded), 7)]


def _named(checks: Sequence[Check]) -> dict[str, Account]:
    wanted = [numbers.parse_account(each.subject) for each in checks if each.subject]
    return {each.text: each for each in accounts.several(APP, wanted).values()}


def _check(check: Check, banks: dict[str, Account]) -> tuple[Check, object, object, Account | None]:
    return (
        check,
        workbench_words.CHECKS[check.name],
        workbench_words.RESULTS[check.result],
        banks.get(check.subject),
    )


def _rolled(
    closed: closing.Day | None, sheet: closing.Sheet | None, book: int, date: dt.date
) -> list[tuple[str, object, int, int, str, Account]]:
    days = book_days.days(APP, book)
    if closed is not None:
        listed = [
            (each.case, each.kind, each.effect_minor, each.age_days, each.reference, each.bank_account)
            for each in closing.rolled(APP, closed.id)
        ]
    else:
        listed = [
            (
                each.id,
                each.kind,
                each.effect_minor,
                days.age(each.day, date),
                each.reference,
                each.bank_account,
            )
            for each in (sheet.rolled if sheet else ())
        ]
    banks = accounts.several(APP, {row[5] for row in listed})
    return [
        (case, words.BREAKS[kind][0], effect, age, reference, banks[bank])
        for case, kind, effect, age, reference, bank in listed[:500]
    ]

"""The workbench: the list of differences, each with its two sides, its fix and its history; matches by hand."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from tallystick.core import money
from tallystick.core.db import APP
from tallystick.core.errors import Refusal
from tallystick.custody import accounts, book_days, books, errors, numbers
from tallystick.custody.accounts import Account
from tallystick.custody.breaks import BreakKind
from tallystick.custody.workbench import cases, fixes, matches, owners, receipts
from tallystick.custody.workbench.cases import BUCKETS, Case, Filters
from tallystick.custody.workbench.fixes import Ready
from tallystick.custody.workbench_models import CaseAct, CaseStatus
from tallystick.identity import access, approvals
from tallystick.identity.access import Actor
from tallystick.identity.approvals import Approval
from tallystick.identity.errors import AccessDenied
from tallystick.web import asking, words, workbench_words
from tallystick.web.acting import proposal, tried
from tallystick.web.session import actor

PAGE = 100


@dataclass(frozen=True, slots=True)
class Row:
    """A case as the list shows it."""

    case: Case
    bank: Account
    age: int
    kind: str
    status: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """A transfer that is ready, with the names a person knows it by."""

    ready: Ready
    text: str
    debit: Account
    credit: Account
    may_post: bool
    is_next: bool


@dataclass(frozen=True, slots=True)
class Waiting:
    """A proposal that waits for the second person, and whether the reader is one."""

    approval: Approval
    may_decide: bool
    is_own: bool
    lines: Sequence[tuple[str, int]]
    write_off_minor: int
    is_undoing: bool


def workbench(request: HttpRequest, book: int) -> HttpResponse:
    """The cases of a book: those that fit the filters, and what they come to by kind."""
    access.require(APP, actor(request), "custody.read_statements")
    found = books.book(APP, book)
    days = book_days.days(APP, book)
    today = days.business_date(timezone.now())
    banks = _banks(book)
    filters = _filters(request, days, today, banks)
    skipped = asking.whole(request, "after") or 0
    listed = cases.cases(APP, book, filters, skipped=skipped, limit=PAGE + 1)
    totals = cases.totals(APP, book, filters)
    context = {
        "book": found,
        "rows": [_row(each, banks, days, today) for each in listed[:PAGE]],
        "totals": [(each, words.BREAKS[each.kind][0], _filtered(request, kind=each.kind)) for each in totals],
        "total_count": sum(each.count for each in totals),
        "total_minor": sum(each.effect_minor for each in totals),
        # Sums of two currencies are no sum: told only where all cases are in one.
        "one_asset": next(iter(banks.values()))
        if len({each.asset for each in banks.values()}) == 1
        else None,
        "banks": list(banks.values()),
        "kinds": [(kind.value, words.BREAKS[kind][0]) for kind in BreakKind],
        "buckets": [(f"{low}-{'' if high is None else high}", low, high) for low, high in BUCKETS],
        "owners": cases.owners(APP, book),
        "asked": request.GET,
        "first": asking.query(request, after=None) if skipped else "",
        "next": asking.query(request, after=skipped + PAGE) if len(listed) > PAGE else "",
        "waiting": len(matches.proposals(APP, book)),
        "suspense": receipts.count(APP, book),
        "trail": [(found.name, reverse("overview", args=[book])), (_("Workbench"), "")],
    }
    return render(request, "workbench/list.html", context)


def case_page(request: HttpRequest, book: int, case_id: str) -> HttpResponse:
    """One difference: both sides, what would settle it, what was done, and what may be done now."""
    who = actor(request)
    access.require(APP, who, "custody.read_statements")
    found = books.book(APP, book)
    case = _case(book, case_id)
    known = fixes.facts(APP, case)
    days = book_days.days(APP, book)
    line = known.line
    context = {
        "book": found,
        "case": case,
        "bank": cases.bank(APP, case),
        "difference": known.difference,
        # Of a settlement's fees: the settlement's line.
        "marked": case.anchor.partition("/")[0],
        "kind": words.BREAKS[case.kind],
        "status": _status(case.status),
        "age": days.age(case.day, days.business_date(timezone.now())),
        "line": line,
        "candidates": _candidates(line) if line is not None and line.amount_minor > 0 else [],
        "proposals": _proposals(case, known, who),
        "steps": [
            (each, workbench_words.ACTS[each.act], words.BREAKS[each.kind][0], _noted(each.act, each.note))
            for each in known.steps
        ],
        "may_explain": access.allowed(who, "custody.explain_break") and not case.is_resolved,
        "may_note": access.allowed(who, "custody.explain_break"),
        "trail": [
            (found.name, reverse("overview", args=[book])),
            (_("Workbench"), reverse("workbench", args=[book])),
            (case.id, ""),
        ],
    }
    return render(request, "workbench/case.html", context)


@require_POST
def act(request: HttpRequest, book: int, case_id: str) -> HttpResponse:
    """Take a case, write a note, or post what is ready: one thing at a time."""
    case, who, now = _case(book, case_id), actor(request), timezone.now()
    match request.POST.get("act", ""):
        case "take":
            tried(request, lambda: cases.take(APP, case.id, actor=who, now=now), _("The case is yours."))
        case "note":
            text = request.POST.get("note", "")
            tried(
                request, lambda: cases.write_note(APP, case.id, text, actor=who, now=now), _("Written down.")
            )
        case "post":
            _post_fix(request, case, who, now)
    return redirect("case", book=book, case_id=case_id)


def matching_page(request: HttpRequest, book: int) -> HttpResponse:
    """The open lines of both sides of a bank account, to be matched by hand, and what waits and stands."""
    who = actor(request)
    access.require(APP, who, "custody.read_statements")
    found = books.book(APP, book)
    banks = _banks(book)
    bank = _chosen(request.GET.get("account", ""), banks)
    lines = [] if bank is None else matches.open_lines(APP, bank.number)
    context = {
        "book": found,
        "banks": list(banks.values()),
        "bank": bank,
        "bank_lines": [each for each in lines if each.position is None],
        "ledger_lines": [each for each in lines if each.position is not None],
        "limit": book_days.days(APP, book).write_off_max_minor,
        "may_propose": access.allowed(who, "custody.propose_match"),
        "waiting": [_waiting(each, who) for each in matches.proposals(APP, book) if _is_of(each, bank)],
        "matches": [] if bank is None else matches.matches(APP, bank.number, limit=50),
        "marked": set(request.GET.getlist("line")),
        "trail": [
            (found.name, reverse("overview", args=[book])),
            (_("Workbench"), reverse("workbench", args=[book])),
            (_("Match by hand"), ""),
        ],
    }
    return render(request, "workbench/matching.html", context)


@require_POST
def match_by_hand(request: HttpRequest, book: int) -> HttpResponse:
    """Propose a match or an undoing, or decide on one that waits."""
    who, now = actor(request), timezone.now()
    given = request.POST
    reason = given.get("reason", "")
    bank = _chosen(given.get("account", ""), _banks(book))
    if bank is None:
        raise errors.AccountUnknown(account=given.get("account", ""))
    proposed = _("Proposed: another person decides.")
    match given.get("act", ""):
        case "propose":
            keys = given.getlist("line")[: matches.LINES_MAX + 1]
            tried(
                request, lambda: matches.propose(APP, bank.number, keys, reason, actor=who, now=now), proposed
            )
        case "undo":
            name = given.get("match", "")
            tried(request, lambda: matches.propose_undoing(APP, name, reason, actor=who, now=now), proposed)
        case "approve":
            _decide(request, book, who, now)
        case "reject":
            tried(
                request,
                lambda: approvals.reject(APP, _asked(request, book).id, reason=reason, actor=who, now=now),
                _("Turned down."),
            )
    return redirect(f"{reverse('match-by-hand', args=[book])}?account={bank.text}")


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


def _asked(request: HttpRequest, book: int) -> Approval:
    return proposal(request, book, matches.MATCH, matches.UNDO)


def _decide(request: HttpRequest, book: int, who: Actor, now: dt.datetime) -> None:
    found = _asked(request, book)
    if found.kind == matches.UNDO:
        undone = _("Undone: the next reconciliation judges its lines afresh.")
        tried(request, lambda: matches.undo(APP, found.id, actor=who, now=now), undone)
    else:
        matched = _("Matched: the next reconciliation honours it.")
        tried(request, lambda: matches.approve(APP, found.id, actor=who, now=now), matched)


def _post_fix(request: HttpRequest, case: Case, who: Actor, now: dt.datetime) -> None:
    try:
        done = fixes.post(APP, case.id, request.POST.get("transfer", ""), actor=who, now=now)
    except AccessDenied:
        raise
    except Refusal as refusal:
        messages.error(request, refusal.message)
        return
    if done.refusal is None:
        messages.success(request, _("Posted. The next reconciliation resolves the case if it settles it."))
    else:
        messages.error(request, words.refusal(done.refusal))


def _filters(
    request: HttpRequest, days: book_days.Days, today: dt.date, banks: Mapping[int, Account]
) -> Filters:
    kind = asking.choice(request, "kind", {kind.value: kind for kind in BreakKind})
    bank = _chosen(request.GET["account"], banks) if request.GET.get("account") else None
    bucket = asking.choice(
        request, "age", {f"{low}-{'' if high is None else high}": (low, high) for low, high in BUCKETS}
    )
    day_min, day_max = cases.day_bounds(days, today, *bucket) if bucket else (None, None)
    resolved = request.GET.get("status") == "resolved"
    owner = {"": None, "nobody": "", "me": actor(request).id}.get(
        request.GET.get("owner", ""), request.GET.get("owner", "")[:80]
    )
    scale = next((each.scale for each in ([bank] if bank else banks.values())), 2)
    return Filters(
        statuses=(CaseStatus.RESOLVED,) if resolved else cases.UNRESOLVED,
        kind=kind,
        bank_account=None if bank is None else bank.number,
        owner=owner,
        day_min=day_min,
        day_max=day_max,
        effect_min_minor=_minor(request, "from", scale),
        effect_max_minor=_minor(request, "to", scale),
        search=asking.text(request, "search") or None,
    )


def _minor(request: HttpRequest, name: str, scale: int) -> int | None:
    given = asking.text(request, name)
    if not given:
        return None
    found = asking.amount(given, scale)
    if found is None:
        raise asking.Unreadable(_("%(field)s must be an amount.") % {"field": name})
    return min(abs(found), money.BALANCE_MAX)


def _filtered(request: HttpRequest, **changes: object) -> str:
    return asking.query(request, after=None, **changes)


def _row(case: Case, banks: Mapping[int, Account], days: book_days.Days, today: dt.date) -> Row:
    bank = banks.get(case.bank_account) or accounts.account(APP, case.bank_account)
    return Row(
        case, bank, days.age(case.day, today), str(words.BREAKS[case.kind][0]), _status(case.status)[0]
    )


def _status(status: CaseStatus) -> tuple[str, str]:
    shade = {CaseStatus.OPEN: "warn", CaseStatus.RESOLVED: "good"}.get(status, "")
    return str(workbench_words.STATUSES[status]), shade


def _banks(book: int) -> dict[int, Account]:
    return {each.number: each for each in accounts.external(APP, book)}


def _chosen(text: str, banks: Mapping[int, Account]) -> Account | None:
    """The bank account of this number; the first where none is asked for."""
    if not text:
        return next(iter(banks.values()), None)
    for each in banks.values():
        if each.text == text:
            return each
    raise errors.AccountUnknown(account=text[:60])


def _case(book: int, case_id: str) -> Case:
    found = cases.case(APP, case_id)
    if found.book != book:
        raise errors.CaseUnknown(case=case_id)
    return found


def _candidates(line: owners.Line) -> list[tuple[owners.Candidate, str]]:
    return [(each, workbench_words.because(each.reasons)) for each in owners.candidates(APP, line)]


def _proposals(case: Case, known: fixes.Facts, who: Actor) -> list[Proposal]:
    found = fixes.proposed(APP, case, known)
    upcoming = next((each for each in found if not each.is_posted), None)
    return [
        Proposal(
            each,
            str(workbench_words.FIXES[each.why]),
            accounts.account(APP, numbers.parse_account(each.request.debit_account or "")),
            accounts.account(APP, numbers.parse_account(each.request.credit_account or "")),
            access.allowed(who, each.permission),
            each is upcoming,
        )
        for each in found
    ]


def _noted(act: CaseAct, note: str) -> str:
    """What a step says, in the reader's words where the system wrote it."""
    if act is CaseAct.FIX_POSTED:
        return str(workbench_words.FIX_NAMES.get(note, note))
    if act is CaseAct.FIX_REFUSED:
        return words.refusal(note)
    return note


def _waiting(found: Approval, who: Actor) -> Waiting:
    state = found.state
    lines = state.get("lines", [])
    assert isinstance(lines, list), "a proposed match lists its lines"
    return Waiting(
        found,
        approvals.refusal_to_decide(found, who) is None,
        found.made_by == who.id,
        [(str(each["line"]), int(str(each["amount_minor"]))) for each in lines if isinstance(each, dict)],
        int(str(state.get("write_off_minor", "0"))),
        found.kind == matches.UNDO,
    )


def _is_of(found: Approval, bank: Account | None) -> bool:
    if bank is None:
        return False
    if found.kind == matches.UNDO:
        return matches.match(APP, found.subject).bank_account == bank.number
    return found.state.get("bank_account") == bank.text

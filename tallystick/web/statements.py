"""The bank's side: statement files as they came, and their comparison with the ledger, line by line."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, cast

from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from django.views.decorators.http import require_POST

from tallystick.core.db import APP
from tallystick.core.errors import Refusal
from tallystick.custody import accounts, books, errors, reconciliation, statement_files
from tallystick.custody.accounts import Account
from tallystick.custody.reconciliation import Break, Summary
from tallystick.custody.statement_models import BreakKind
from tallystick.custody.statements import errors as reading
from tallystick.custody.statements import mapping
from tallystick.custody.workbench import cases
from tallystick.identity import access
from tallystick.identity.errors import AccessDenied
from tallystick.web import asking, words
from tallystick.web.charts import Chart, Series
from tallystick.web.session import actor

PAGE = 100
AROUND = 5
"""How many lines before the one that was asked for are shown with it."""

NOTES_SHOWN = 100
EXCERPT_BYTES_MAX = 8 * 1024 * 1024

# (label, last day of the age)
_AGES: tuple[tuple[str, int | None], ...] = (
    (gettext_noop("to 1 day"), 1),
    (gettext_noop("2 to 3 days"), 3),
    (gettext_noop("4 to 7 days"), 7),
    (gettext_noop("8 to 30 days"), 30),
    (gettext_noop("over 30 days"), None),
)


@dataclass(frozen=True, slots=True)
class Kind:
    """All breaks of one kind: how many, and what they add to the bank's total over the ledger's."""

    kind: BreakKind
    name: str
    meaning: str
    count: int
    effect_minor: int


@dataclass(frozen=True, slots=True)
class Bank:
    """A bank's control account, with what was last found of it."""

    account: Account
    latest: Summary | None


def statements(request: HttpRequest, book: int) -> HttpResponse:
    """The bank accounts of a book, their files, and where to hand in another."""
    access.require(APP, actor(request), "custody.read_statements")
    found = books.book(APP, book)
    banks = bank_accounts(book)
    chosen = _chosen(request, banks)
    before = request.GET.get("before") or None
    files = statement_files.files(APP, chosen.number, before=before, limit=PAGE + 1) if chosen else []
    context = {
        "book": found,
        "banks": banks,
        "chosen": chosen,
        "files": files[:PAGE],
        "may_import": access.allowed(actor(request), "custody.import_statement"),
        "first": asking.query(request, before=None) if before else "",
        "older": asking.query(request, before=files[PAGE - 1].id) if len(files) > PAGE else "",
        "trail": [(found.name, reverse("overview", args=[book])), (_("Statements"), "")],
    }
    return render(request, "statements/statements.html", context)


@require_POST
def import_statements(request: HttpRequest, book: int) -> HttpResponse:
    """Take in the files that were handed in; each whole or not at all, and each told of by itself."""
    who = actor(request)
    access.require(APP, who, "custody.import_statement")
    given = request.FILES.getlist("files")
    if not given:
        messages.error(request, _("Choose one or more files first."))
    try:
        mappings = [
            mapping.load(each.read(mapping.BYTES_MAX + 1)) for each in request.FILES.getlist("mapping")
        ]
    except reading.MappingInvalid as refusal:
        messages.error(request, refusal.message)
        return redirect("statements", book=book)
    for file in given:
        name = file.name or "-"
        try:
            imported = statement_files.import_file(
                APP,
                name,
                _seekable(file),
                bank_account=None,
                book=book,
                actor=who,
                now=timezone.now(),
                mappings=mappings,
            )
        except AccessDenied:
            raise
        except Refusal as refusal:
            statement_files.record_refusal(APP, _seekable(file), refusal, actor=who, now=timezone.now())
            messages.error(request, f"{name}: {refused(refusal)}")
            continue
        if imported.repeated:
            messages.warning(
                request,
                _("%(name)s: imported before as %(file)s; nothing was changed.")
                % {"name": name, "file": imported.file},
            )
        else:
            messages.success(
                request,
                _("%(name)s: %(statements)d statements with %(entries)d lines imported.")
                % {"name": name, "statements": imported.statements, "entries": imported.entries},
            )
        for note in imported.notes[:5]:
            messages.info(
                request,
                _("%(name)s, line %(line)d: %(note)s") % {"name": name, "line": note.line, "note": note.text},
            )
    return redirect("statements", book=book)


def statement_file(request: HttpRequest, book: int, file_id: str) -> HttpResponse:
    """One file: what it holds, line by line; a break leads here, to the very line."""
    access.require(APP, actor(request), "custody.read_statements")
    found = books.book(APP, book)
    file, bank = _file(book, file_id)
    held = statement_files.told(APP, bank.number, file_id=file.id)
    asked = asking.whole(request, "line")
    after = asking.whole(request, "after")
    start = after if after is not None else max(asked - AROUND, 0) if asked else 0
    lines = statement_files.lines(APP, [each.id for each in held], after=start, limit=PAGE + 1)
    shown = lines[:PAGE]
    marked = next((line for line in shown if line.id == asked), None)
    context = {
        "book": found,
        "file": file,
        "bank": bank,
        "statements": held,
        "notes": statement_files.notes(APP, file.id)[:NOTES_SHOWN],
        "lines": shown,
        "asked": asked,
        "excerpt": excerpt(file, marked.line) if marked else [],
        "sha256": file.sha256.hex(),
        "first": asking.query(request, after=None, line=None) if start else "",
        "next": asking.query(request, after=shown[-1].id, line=None) if len(lines) > PAGE else "",
        "trail": [
            (found.name, reverse("overview", args=[book])),
            (_("Statements"), reverse("statements", args=[book])),
            (file.name, ""),
        ],
    }
    return render(request, "statements/file.html", context)


def original(request: HttpRequest, book: int, file_id: str) -> HttpResponseBase:
    """The bytes as the bank sent them."""
    access.require(APP, actor(request), "custody.read_statements")
    file, _bank = _file(book, file_id)
    answer = StreamingHttpResponse(
        statement_files.content(APP, file.id), content_type="application/octet-stream"
    )
    answer["Content-Disposition"] = f'attachment; filename="{file.id}"'
    answer["Content-Length"] = str(file.size_bytes)
    return answer


def reconciliations(request: HttpRequest, book: int) -> HttpResponse:
    """Each bank account against its control account: where they stand, and the runs before."""
    access.require(APP, actor(request), "custody.read_statements")
    found = books.book(APP, book)
    banks = bank_accounts(book)
    chosen = _chosen(request, banks)
    latest = reconciliation.latest(APP, chosen.number) if chosen else None
    if latest is not None:
        return reconciled(request, book, latest.id)
    context = {
        "book": found,
        "banks": banks,
        "chosen": chosen,
        "may_reconcile": access.allowed(actor(request), "custody.reconcile"),
        "trail": [(found.name, reverse("overview", args=[book])), (_("Reconciliation"), "")],
    }
    return render(request, "statements/not_reconciled.html", context)


def reconciled(request: HttpRequest, book: int, reconciliation_id: str) -> HttpResponse:
    """One reconciliation: both totals, and every break between them with its two sides."""
    access.require(APP, actor(request), "custody.read_statements")
    found = books.book(APP, book)
    summary = reconciliation.summary(APP, reconciliation_id)
    if summary.book != book:
        raise errors.ReconciliationUnknown(reconciliation=reconciliation_id)
    bank = accounts.account(APP, summary.bank_account)
    breaks = reconciliation.breaks(APP, summary.id)
    kind = asking.choice(request, "kind", {kind.value: kind for kind in BreakKind})
    chosen = [each for each in breaks if kind is None or each.kind == kind]
    skipped = asking.whole(request, "after") or 0
    context = {
        "book": found,
        "bank": bank,
        "banks": bank_accounts(book),
        "chosen": bank,
        "summary": summary,
        "kinds": kinds(breaks),
        "kind": kind,
        "kind_name": words.BREAKS[kind][0] if kind else "",
        "breaks": [(each, (summary.cut_off - each.day).days) for each in chosen[skipped : skipped + PAGE]],
        "chart": breaks_chart(breaks),
        "ages": ages(breaks, summary.cut_off),
        "runs": reconciliation.summaries(APP, bank.number, limit=12),
        "digest": summary.digest.hex(),
        "may_reconcile": access.allowed(actor(request), "custody.reconcile"),
        "first": asking.query(request, after=None) if skipped else "",
        "next": asking.query(request, after=skipped + PAGE) if len(chosen) > skipped + PAGE else "",
        "trail": [
            (found.name, reverse("overview", args=[book])),
            (_("Reconciliation"), reverse("reconciliations", args=[book])),
            (summary.id, ""),
        ],
    }
    return render(request, "statements/reconciliation.html", context)


@require_POST
def reconcile(request: HttpRequest, book: int) -> HttpResponse:
    """Compare now, as far as the statements go."""
    chosen = _chosen(request, bank_accounts(book))
    if chosen is None:
        return redirect("reconciliations", book=book)
    try:
        done = reconciliation.reconcile(APP, book, chosen.number, actor=actor(request), now=timezone.now())
        # At once, so that whoever looks at the workbench next finds what was found here.
        cases.follow(APP, done.summary.id, actor=actor(request), now=timezone.now())
    except AccessDenied:
        raise
    except Refusal as refusal:
        messages.error(request, refusal.message)
        return redirect("statements", book=book)
    return redirect("reconciliation", book=book, reconciliation_id=done.summary.id)


def bank_accounts(book: int) -> list[Bank]:
    """The control accounts of a book, each with its last reconciliation."""
    return [
        Bank(account, reconciliation.latest(APP, account.number)) for account in accounts.external(APP, book)
    ]


def kinds(breaks: Sequence[Break]) -> list[Kind]:
    """How many of each kind and what they come to, every kind named: none is a finding too."""
    return [
        Kind(
            kind,
            str(words.BREAKS[kind][0]),
            str(words.BREAKS[kind][1]),
            sum(each.kind == kind for each in breaks),
            sum(each.effect_minor for each in breaks if each.kind == kind),
        )
        for kind in BreakKind
    ]


def breaks_chart(breaks: Sequence[Break]) -> Chart:
    """How many breaks there are of each kind."""
    found = [each for each in kinds(breaks) if each.count]
    return Chart(
        id="breaks",
        kind="rows",
        title=_("Breaks, by kind"),
        category_label=_("Kind"),
        categories=[each.name for each in found],
        series=[Series(_("Breaks"), [each.count for each in found])],
        empty=_("No breaks: every line of one side is on the other."),
        low=True,
    )


def ages(breaks: Sequence[Break], cut_off: dt.date) -> list[tuple[str, int]]:
    """How old the breaks are on the day of the cut-off."""
    counted = []
    youngest = -(10**6)
    for label, oldest in _AGES:
        last = 10**6 if oldest is None else oldest
        counted.append((_(label), sum(youngest < (cut_off - each.day).days <= last for each in breaks)))
        youngest = last
    return counted


def excerpt(file: statement_files.File, line: int) -> list[tuple[int, str, bool]]:
    """The file's own text around a line: number, text, and whether it is the line that was asked for."""
    if file.size_bytes > EXCERPT_BYTES_MAX:
        return []
    text = b"".join(statement_files.content(APP, file.id)).decode(file.encoding, errors="replace")
    around = itertools.islice(enumerate(text.splitlines(), start=1), max(line - 3, 0), line + 6)
    return [(number, content[:300], number == line) for number, content in around]


def refused(refusal: Refusal) -> str:
    """Why a file was refused: the line, the reason, and what to do."""
    if isinstance(refusal, reading.StatementRefused):
        return _("refused at line %(line)d: %(reason)s %(advice)s") % {
            "line": refusal.line,
            "reason": refusal.message,
            "advice": refusal.advice,
        }
    return refusal.message


def _chosen(request: HttpRequest, banks: Sequence[Bank]) -> Account | None:
    """The bank account that was asked for, or the first that has been reconciled, or the first."""
    wanted = request.POST.get("account") or request.GET.get("account") or ""
    if wanted:
        for bank in banks:
            if bank.account.text == wanted:
                return bank.account
        raise errors.AccountUnknown(account=wanted)
    ordered = sorted(banks, key=lambda bank: bank.latest is None)
    return ordered[0].account if ordered else None


def _file(book: int, file_id: str) -> tuple[statement_files.File, Account]:
    file = statement_files.file(APP, file_id)
    bank = accounts.account(APP, file.bank_account)
    if bank.book != book:
        raise errors.StatementFileUnknown(file=file_id)
    return file, bank


def _seekable(file: UploadedFile[bytes]) -> BinaryIO:
    # A small upload is in memory and a large one in a temporary file: both can be read twice.
    file.seek(0)
    return cast(BinaryIO, file.file)

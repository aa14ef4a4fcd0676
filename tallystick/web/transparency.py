"""Transparency: what the logs say, who has seen it, and whether the money is there, for everybody without signing in.

Shows also what speaks against the platform: a day that is short, a day that nobody stated, a witness that is
silent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop
from django.views.decorators.http import require_safe

from tallystick.core.db import APP
from tallystick.custody import books
from tallystick.custody.solvency import statements
from tallystick.custody.solvency.statement_file import State
from tallystick.evidence import keys, saved_page, standing
from tallystick.web.charts import Chart, Series

CHART_DAYS = 92
LISTED = 14


STATES: dict[str, tuple[str | Promise, str]] = {
    State.COVERED: (gettext_lazy("Covered"), "good"),
    State.UNKNOWN: (gettext_lazy("Not known"), "warn"),
    State.SHORT: (gettext_lazy("Short"), "bad"),
}

VERIFIER = "tallystick_verify.py"


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness as the page tells it."""

    name: str
    size: int
    signed_at: datetime | None
    is_silent: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """A log as the page tells it."""

    title: str
    says: str
    log: standing.Standing
    root: str
    witnesses: Sequence[Witness]


@dataclass(frozen=True, slots=True)
class Figures:
    """One asset of a statement as pages tell it."""

    code: str
    scale: int
    owed_minor: int
    total_minor: int
    unallocated_minor: int
    bank_minor: int | None
    surplus_minor: int | None
    customers: int
    debts: int
    debts_minor: int
    bank: Sequence[dict[str, object]]
    root: str
    state: State

    @property
    def word(self) -> str:
        return str(STATES[self.state][0])

    @property
    def shade(self) -> str:
        return STATES[self.state][1]


@dataclass(frozen=True, slots=True)
class Day:
    """A statement as pages tell it."""

    statement: statements.Statement
    word: str
    shade: str
    assets: Sequence[Figures]


@dataclass(frozen=True, slots=True)
class Book:
    """One platform's book: its newest statement, its days, and what was not stated."""

    book: books.Book
    newest: Day | None
    days: Sequence[Day]
    charts: Sequence[Chart]
    missing_since: str


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Everything that is told to everybody, on one page."""
    now = timezone.now()
    address = request.build_absolute_uri("/transparency")
    context = {
        "logs": logs(now),
        "books": [_book(each, now) for each in books.books(APP)],
        "verifier_sha256": hashlib.sha256(saved_page.part(VERIFIER).encode()).hexdigest(),
        "address": address,
        "command_checkpoint": f"curl -sSO {address}/public/checkpoint",
        "trail": [],
    }
    response = render(request, "transparency/page.html", context)
    # Signed in or not, everybody is shown the same; but the bar around it names whoever is.
    response["Cache-Control"] = "private, no-cache"
    return response


@require_safe
def policy_file(request: HttpRequest) -> HttpResponse:
    """The policy that the platform proposes, as a file."""
    response = HttpResponse(standing.proposed_policy(APP), content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="tallystick-policy.txt"'
    response["Cache-Control"] = "no-cache"
    return response


@require_safe
def verifier(request: HttpRequest) -> HttpResponse:
    """The verifier that stands alone, as it is published."""
    response = HttpResponse(saved_page.part(VERIFIER), content_type="text/x-python; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{VERIFIER}"'
    response["Cache-Control"] = "public, max-age=3600"
    return response


@require_safe
def statement_file(request: HttpRequest, statement_id: str) -> HttpResponse:
    """A statement, byte for byte as its digest is over it."""
    found = statements.statement(APP, statement_id)
    response = HttpResponse(found.text, content_type="application/json; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{found.id}-{found.day}.json"'
    response["Cache-Control"] = "public, max-age=86400"
    return response


@require_safe
def summary(request: HttpRequest) -> HttpResponse:
    """The same for programs, without signing in."""
    now = timezone.now()
    told = {
        "schema": "tallystick/transparency/1",
        "logs": [
            {
                "log": each.log.name,
                "origin": each.log.head.origin,
                "size": each.log.head.size,
                "root": each.root,
                "sealed_at": each.log.head.sealed_at,
                "checkpoint": each.log.note,
                "keys": list(each.log.keys),
                "witnesses": [
                    {
                        "name": one.name,
                        "size": one.size,
                        "signed_at": one.signed_at,
                        "is_silent": one.is_silent,
                    }
                    for one in each.witnesses
                ],
            }
            for each in logs(now)
        ],
        "books": [
            {
                "book": each.book.id,
                "name": each.book.name,
                "missing_since": each.missing_since or None,
                "statements": [
                    {
                        "id": day.statement.id,
                        "digest": day.statement.digest.hex(),
                        "statement": day.statement.told,
                    }
                    for day in each.days
                ],
            }
            for each in (_book(book, now) for book in books.books(APP))
        ],
        "policy": standing.proposed_policy(APP),
    }
    response = JsonResponse(told, json_dumps_params={"ensure_ascii": False})
    response["Cache-Control"] = "no-cache"
    response["Access-Control-Allow-Origin"] = "*"
    return response


# ── what pages tell ──────────────────────────────────────────────────────────────────────────────────────

_TITLES = {
    keys.PUBLIC: (
        gettext_noop("The public log"),
        gettext_noop("For everybody: each checkpoint of the ledger's log, and every statement of solvency."),
    ),
    keys.LEDGER: (
        gettext_noop("The ledger's log"),
        gettext_noop(
            "Every transfer and every act, by a commitment that tells nothing of it. "
            "Its entries are for the bank, the regulator and the auditor; its head is for everybody."
        ),
    ),
}


def logs(now: datetime) -> list[Shown]:
    """Both logs, the public one first; none before they are open."""
    found = []
    silent_after = timedelta(seconds=settings.WITNESS_SILENT_SECONDS)
    for log_id, (title, says) in _TITLES.items():
        of_log = standing.standing(APP, log_id)
        if of_log is None:
            continue
        witnesses = [
            Witness(
                each.witness,
                each.size,
                each.signed_at,
                each.signed_at is None or now - each.signed_at > silent_after,
            )
            for each in of_log.seen
        ]
        found.append(Shown(_(title), _(says), of_log, of_log.head.root.hex(), witnesses))
    return found


def day(found: statements.Statement) -> Day:
    """A statement in the reader's words."""
    word, shade = STATES[found.state]
    return Day(found, str(word), shade, [figures(each) for each in found.told["assets"]])


def moment(told: str) -> datetime:
    """A time as statements spell it."""
    return datetime.fromisoformat(told.replace("Z", "+00:00"))


def figures(told: dict[str, object]) -> Figures:
    """One asset of a statement, its amounts as whole minor units."""
    tree = told["liabilities"]
    assert isinstance(tree, dict)
    debts = told["client_debts"]
    assert isinstance(debts, dict)
    bank = told["bank"]
    assert isinstance(bank, list)
    return Figures(
        code=str(told["asset"]),
        scale=int(str(told["scale"])),
        owed_minor=int(str(told["owed_minor"])),
        total_minor=int(tree["total"]),
        unallocated_minor=int(str(told["unallocated_minor"])),
        bank_minor=_whole(told["bank_minor"]),
        surplus_minor=_whole(told["surplus_minor"]),
        customers=int(tree["header"]["customers"]),
        debts=int(debts["accounts"]),
        debts_minor=int(debts["amount_minor"]),
        bank=[{**each, "balance_minor": _whole(each["balance_minor"])} for each in bank],
        root=str(tree["root"]),
        state=State(str(told["state"])),
    )


def charts(days: Sequence[Day], *, prefix: str = "solvency") -> list[Chart]:
    """Of each asset: what clients are owed beside what the bank says, and what is left over, day by day.

    days: the newest first, one or more of a day; the newest of each day counts.
    """
    newest: dict[str, Day] = {}
    for each in days:
        newest.setdefault(each.statement.day.isoformat(), each)
    ordered = [newest[name] for name in sorted(newest)]
    found = []
    for code in sorted({asset.code for each in ordered for asset in each.assets}):
        rows = [
            (each.statement.day.isoformat(), asset)
            for each in ordered
            for asset in each.assets
            if asset.code == code
        ]
        categories, scale = [name for name, _asset in rows], rows[-1][1].scale
        found.append(
            Chart(
                id=f"{prefix}-{code.lower()}",
                kind="line",
                title=_("Owed to clients and held at the bank, %(asset)s") % {"asset": code},
                category_label=_("Day"),
                categories=categories,
                series=[
                    Series(_("Owed to clients"), [asset.owed_minor for _name, asset in rows]),
                    Series(_("At the bank"), [asset.bank_minor for _name, asset in rows]),
                ],
                scale=scale,
                unit=code,
            )
        )
        found.append(
            Chart(
                id=f"{prefix}-surplus-{code.lower()}",
                kind="bar",
                title=_("Left over, %(asset)s: below zero is missing") % {"asset": code},
                category_label=_("Day"),
                categories=categories,
                series=[Series(_("Surplus"), [asset.surplus_minor for _name, asset in rows])],
                scale=scale,
                unit=code,
                low=True,
                is_judged=True,
            )
        )
    return found


def _book(book: books.Book, now: datetime) -> Book:
    days = [day(each) for each in statements.statements(APP, book.id, limit=CHART_DAYS)]
    missing = statements.missing_since(APP, book, now=now)
    return Book(
        book=book,
        newest=days[0] if days else None,
        days=days[:LISTED],
        charts=charts(days, prefix=f"solvency-{book.id}"),
        missing_since=missing.isoformat() if missing else "",
    )


def _whole(told: object) -> int | None:
    return None if told is None else int(str(told))

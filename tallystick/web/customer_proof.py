"""My proof: one's balance is counted, told in plain words; and receipts, each one file that checks itself.

Checked here for convenience alone: each file says the same without us, offline, with the policy of somebody else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from tallystick.core.db import APP
from tallystick.core.errors import Refusal
from tallystick.custody import own_evidence
from tallystick.custody.history import Line
from tallystick.custody.solvency import statements
from tallystick.evidence import advice, keys, reading, saved_page, standing
from tallystick.evidence import errors as evidence_errors
from tallystick.web import asking, customer_own, transparency
from tallystick.web.asking import Unreadable
from tallystick.web.customer_own import Own
from tallystick.web.session import actor
from tallystick.web.transparency import Figures

PAGE = 20
AT_ONCE = 6
"""Of so many accounts the first page shows the proof; of more it leads to it."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page says of one account: its proof, or why there is none."""

    own: Own
    proof: own_evidence.Proof | None = None
    figures: Figures | None = None
    refusal: Refusal | None = None
    """Why it was not verified, or not made."""
    waits: str = ""
    """Why it is not there yet, where nothing is wrong."""

    @property
    def is_verified(self) -> bool:
        return self.proof is not None and self.refusal is None

    @property
    def agrees(self) -> bool:
        """Whether what was counted is what the account showed at that close."""
        assert self.proof is not None, "asked of a proof that is there"
        return self.counted_minor == max(self.proof.ledger_minor, 0)

    @property
    def counted_minor(self) -> int:
        assert self.proof is not None, "asked of a proof that is there"
        return int(str(self.proof.answer.facts.get("balance", 0)))

    @property
    def advice(self) -> str:
        return advice.todo(self.refusal) if self.refusal else ""

    @property
    def shade(self) -> str:
        return "good" if self.is_verified else "warn" if self.waits else "bad"


@dataclass(frozen=True, slots=True)
class Row:
    """A movement, and whether its receipt is the customer's to have."""

    line: Line
    is_hidden: bool
    is_sealed: bool


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Every account of this customer, with the proof of the newest day."""
    mine = customer_own.all_of(request)
    if len(mine) == 1:
        return redirect("my-proof-account", number=mine[0].account.text)
    context = {
        "shown": [shown(request, own) for own in mine[:AT_ONCE]],
        "more": mine[AT_ONCE:],
        "trail": [(_("My money"), reverse("my-money")), (_("My proof"), "")],
    }
    return render(request, "proof/mine.html", context)


@require_safe
def account(request: HttpRequest, number: str) -> HttpResponse:
    """One account: its proof of a day in plain words, and the receipts of what moved on it."""
    own = customer_own.one(request, number)
    who, day = actor(request), _day(request)
    before = asking.whole(request, "before")
    rows = own_evidence.movements(APP, own.account, before=before, limit=PAGE + 1, actor=who)
    head = reading.head(APP, keys.LEDGER)
    sealed_at = head.sealed_at if head else None
    hidden = own_evidence.hides_payer(
        APP, [each.counter_account for each in rows if each.amount_minor > 0], actor=who
    )
    context = {
        "own": own,
        "account": own.account,
        "each": shown(request, own, day),
        "query": f"?day={day.isoformat()}" if day else "",
        "days": statements.statements(APP, own.account.book, limit=60),
        "rows": [
            Row(
                each,
                each.amount_minor > 0 and each.counter_account in hidden,
                sealed_at is not None and each.recorded_at <= sealed_at,
            )
            for each in rows[:PAGE]
        ],
        "first": asking.query(request, before=None) + "#receipts" if before else "",
        "older": asking.query(request, before=rows[PAGE - 1].position) + "#receipts"
        if len(rows) > PAGE
        else "",
        "trail": [
            (_("My money"), reverse("my-money")),
            (_("My proof"), reverse("my-proof")),
            (own.account.name, ""),
        ],
    }
    return render(request, "proof/account.html", context)


@require_safe
def proof_file(request: HttpRequest, number: str, form: str) -> HttpResponse:
    """The proof of a day to take away: as JSON, or as the page that checks itself."""
    own = customer_own.one(request, number)
    made = own_evidence.proof(
        APP, own.account, actor=actor(request), folder=Path(settings.LIABILITIES_FOLDER), day=_day(request)
    )
    if made is None:
        raise Unreadable(_("There is no statement of solvency of this day."))
    name = f"proof-{own.account.text}-{made.statement.day}"
    title = _("Proof that %(account)s is counted, %(day)s") % {
        "account": own.account.text,
        "day": made.statement.day.isoformat(),
    }
    return handed({own_evidence.PROOF: made.content.decode()}, form, name, title)


@require_safe
def receipt_file(request: HttpRequest, number: str, transfer_id: str, form: str) -> HttpResponse:
    """The receipt of a transfer on this account to take away: as JSON, or as the page that checks itself."""
    own = customer_own.one(request, number)
    made = own_evidence.receipt(APP, own.account, transfer_id, actor=actor(request))
    title = _("Receipt %(transfer)s") % {"transfer": transfer_id}
    return handed({own_evidence.RECEIPT: made.text}, form, f"receipt-{transfer_id}", title)


def shown(request: HttpRequest, own: Own, day: date | None = None) -> Shown:
    """What is said of an account's proof. Whatever is refused is told, never left out."""
    try:
        made = own_evidence.proof(
            APP, own.account, actor=actor(request), folder=Path(settings.LIABILITIES_FOLDER), day=day
        )
    except evidence_errors.AccountNotInTree as refusal:
        newest = next(iter(statements.statements(APP, own.account.book, limit=1)), None)
        if newest is not None and _is_later(
            own, newest if day is None else statements.of_day(APP, own.account.book, day)
        ):
            return Shown(
                own, waits=_("This account was opened after that close. The next statement counts it.")
            )
        return Shown(own, refusal=refusal)
    except Refusal as refusal:
        return Shown(own, refusal=refusal)
    if made is None:
        return Shown(own, waits=_("There is no statement of solvency of this day yet."))
    of_asset = next(
        (each for each in transparency.day(made.statement).assets if each.code == own.account.asset), None
    )
    refusal_ = made.answer.refusal
    if isinstance(refusal_, evidence_errors.CommitmentMissing):
        # What is wrong with the proof itself is refused before this is.
        return Shown(own, waits=_("The statement is about to be sealed. Look again in a minute."))
    return Shown(own, made, of_asset, refusal_)


def _is_later(own: Own, found: statements.Statement | None) -> bool:
    """Whether the account was opened after a statement's cut-off."""
    return found is not None and own.account.opened_at >= transparency.moment(found.told["cut_off"])


def _day(request: HttpRequest) -> date | None:
    given = request.GET.get("day", "")
    if not given:
        return None
    try:
        found = parse_date(given)
    except ValueError:
        found = None
    if found is None:
        raise Unreadable(_("%(field)s must be a day such as 2026-03-01.") % {"field": "day"})
    return found


def handed(files: dict[str, str], form: str, name: str, title: str) -> HttpResponse:
    """A file of evidence to be saved: `json` as it is, `html` as the page that checks itself."""
    if form == "html":
        content = saved_page.page(files, policy=standing.proposed_policy(APP), title=title)
        media = "text/html; charset=utf-8"
    else:
        (text,) = files.values()
        content, media = text.encode(), "application/json; charset=utf-8"
    response = HttpResponse(content, content_type=media)
    # Saved, never opened here: under this site's policy its scripts would not run.
    response["Content-Disposition"] = f'attachment; filename="{name}.{form}"'
    response["Cache-Control"] = "no-store"
    return response

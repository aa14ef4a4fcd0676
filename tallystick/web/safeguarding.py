"""Safeguarding pages: is what clients are owed there, what do the rules say, and who has signed."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.dateparse import parse_date
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from tallystick.core import pdf
from tallystick.core.db import APP
from tallystick.core.files import Sink
from tallystick.custody import accounts, assets, books, errors, numbers
from tallystick.custody.safeguarding import arrangements, funding, pack, proof_paper, proofs, wording
from tallystick.custody.safeguarding.comparison import AccountRole, External, Finding, Position, Result
from tallystick.custody.safeguarding.proofs import Day, Proof
from tallystick.identity import access, approvals
from tallystick.web import asking
from tallystick.web.acting import tried
from tallystick.web.charts import Chart, Series
from tallystick.web.session import actor

PAGE = 50
CHART_DAYS = 92

SHADES = {Result.COMPLIANT: "good", Result.UNDETERMINED: "warn", Result.BREACH: "bad"}


@dataclass(frozen=True, slots=True)
class Said:
    """A finding as the page tells it."""

    rule: str
    name: str
    asks: str
    word: str
    shade: str
    reasons: Sequence[tuple[str, str]]
    """The shade and the sentence of each."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An external account as the page tells it."""

    external: External
    role: str
    known_by: str


def safeguarding(request: HttpRequest, book: int) -> HttpResponse:
    """Where the book stands: the newest proof, each asset over time, every proof, the resolution pack."""
    who = actor(request)
    access.require(APP, who, "custody.read_safeguarding")
    found = books.book(APP, book)
    before = asking.whole(request, "before")
    listed = proofs.proofs(APP, book, before=before, limit=PAGE + 1)
    newest = next(iter(listed if before is None else proofs.proofs(APP, book, limit=1)), None)
    declared = arrangements.declared(APP, book)
    context = {
        "book": found,
        "newest": newest,
        "word": wording.result(newest.result) if newest else "",
        "shade": SHADES[newest.result] if newest else "",
        "said": said(newest) if newest else [],
        "charts": charts(proofs.days(APP, book, limit=CHART_DAYS)),
        "proofs": [(each, wording.result(each.result), SHADES[each.result]) for each in listed[:PAGE]],
        "last_day": last_day(found).isoformat(),
        "undeclared": [each for each in accounts.external(APP, book) if each.number not in declared],
        "may_prove": access.allowed(who, "custody.prove_safeguarding"),
        "may_arrange": access.allowed(who, "custody.arrange_safeguarding"),
        "may_build": access.allowed(who, "custody.build_resolution_pack"),
        "packs": pack.packs(APP, book, limit=10),
        "first": asking.query(request, before=None) if before else "",
        "next": asking.query(request, before=listed[PAGE - 1].number) if len(listed) > PAGE else "",
        "trail": [(found.name, reverse("overview", args=[book])), (_("Safeguarding"), "")],
    }
    return render(request, "safeguarding/safeguarding.html", context)


def proof(request: HttpRequest, book: int, proof_id: str) -> HttpResponse:
    """One proof: what is owed, what is there, what the rules say, what would set it right, who signed."""
    who = actor(request)
    access.require(APP, who, "custody.read_safeguarding")
    shown = _proof(book, proof_id)
    newest = proofs.of_day(APP, book, shown.day)
    signed = proofs.sign_off(APP, shown)
    posted = funding.posted(APP, shown)
    is_newest = newest is None or newest.id == shown.id
    scales = {each.asset: each.scale for each in shown.positions}
    context = {
        "book": books.book(APP, book),
        "proof": shown,
        "header": shown.header,
        "word": wording.result(shown.result),
        "shade": SHADES[shown.result],
        "said": said(shown),
        "positions": [(each, kept(each)) for each in shown.positions],
        "proposals": [
            (each, wording.purpose(each), scales[each.asset], posted.get(each.number))
            for each in shown.proposals
        ],
        "newest": None if is_newest else newest,
        "signed": signed,
        "may_sign": is_newest
        and access.allowed(who, "custody.sign_proof")
        and (signed is None or signed.outcome == approvals.Outcome.REJECTED),
        "may_decide": is_newest
        and signed is not None
        and signed.is_open
        and approvals.refusal_to_decide(signed, who) is None,
        "may_post": is_newest and access.allowed(who, "custody.post"),
        "digest": shown.digest.hex(),
        "accounts_digest": shown.accounts_digest.hex(),
        "previous_digest": shown.previous_digest.hex() if shown.previous_digest else "",
        "trail": _trail(book, shown.id),
    }
    return render(request, "safeguarding/proof.html", context)


def proof_file(request: HttpRequest, book: int, proof_id: str) -> HttpResponseBase:
    """The proof's JSON, every account in it: adds up by itself."""
    access.require(APP, actor(request), "custody.read_safeguarding")
    shown = _proof(book, proof_id)
    return _handed(
        lambda out: proofs.write_file(APP, shown, out), f"{shown.id}-{shown.day}.json", "application/json"
    )


def proof_pdf(request: HttpRequest, book: int, proof_id: str) -> HttpResponseBase:
    """The proof on paper, in the reader's language."""
    access.require(APP, actor(request), "custody.read_safeguarding")
    shown = _proof(book, proof_id)
    paper = proof_paper.document(
        shown,
        proofs.lines(APP, shown),
        sign_off=proofs.sign_off(APP, shown),
        language="en" if translation.get_language() == "en" else "zh-hans",
    )
    return _handed(lambda out: pdf.write(paper, out), f"{shown.id}-{shown.day}.pdf", "application/pdf")


@require_POST
def prove(request: HttpRequest, book: int) -> HttpResponse:
    """Prove a day now."""
    day = _day(request.POST.get("day", ""))
    if day is None:
        messages.error(request, _("Choose a day first."))
        return redirect("safeguarding", book=book)
    made: list[Proof] = []
    tried(
        request,
        lambda: made.append(proofs.prove(APP, book, day, actor=actor(request), now=timezone.now())),
        _("The day is proved."),
    )
    return redirect("proof", book=book, proof_id=made[0].id) if made else redirect("safeguarding", book=book)


@require_POST
def sign(request: HttpRequest, book: int, proof_id: str) -> HttpResponse:
    """Sign as the first of two, or as the second; or turn it down."""
    shown, who, now = _proof(book, proof_id), actor(request), timezone.now()
    note = request.POST.get("note", "").strip()
    acts: dict[str, tuple[Callable[[], object], str]] = {
        "first": (
            lambda: proofs.propose_sign_off(APP, shown.id, note=note, actor=who, now=now),
            _("Signed. A second person is to sign too."),
        ),
        "second": (
            lambda: proofs.decide_sign_off(APP, shown.id, approve=True, actor=who, now=now),
            _("Signed off by two people."),
        ),
        "reject": (
            lambda: proofs.decide_sign_off(APP, shown.id, approve=False, reason=note, actor=who, now=now),
            _("Turned down."),
        ),
    }
    if chosen := acts.get(request.POST.get("as", "")):
        tried(request, *chosen)
    return redirect("proof", book=book, proof_id=shown.id)


@require_POST
def fund(request: HttpRequest, book: int, proof_id: str, number: int) -> HttpResponse:
    """Post a proposed transfer, exactly as it stands."""
    shown = _proof(book, proof_id)
    tried(
        request,
        lambda: funding.post(APP, shown.id, number, actor=actor(request), now=timezone.now()),
        _("The transfer is posted. It counts in a proof once the bank's statement has it too."),
    )
    return redirect("proof", book=book, proof_id=shown.id)


@require_POST
def build_pack(request: HttpRequest, book: int) -> HttpResponseBase:
    """Build the resolution pack and hand it over; it is kept nowhere."""
    who, now = actor(request), timezone.now()
    access.require(APP, who, "custody.build_resolution_pack")
    name = f"resolution-pack-{book}-{now:%Y%m%d-%H%M%S}.zip"
    return _handed(lambda out: pack.build(APP, book, out, actor=who, now=now), name, "application/zip")


def arranged(request: HttpRequest, book: int) -> HttpResponse:
    """Which account is for what, own money left in on purpose, whom to turn to."""
    who = actor(request)
    access.require(APP, who, "custody.read_safeguarding")
    found = books.book(APP, book)
    declared = arrangements.declared(APP, book)
    external = list(accounts.external(APP, book))
    scales = {each.code: each.scale for each in assets.assets(APP)}
    context = {
        "book": found,
        "accounts": [
            (each, declared.get(each.number), wording.role(_role(declared.get(each.number))))
            for each in external
        ],
        "roles": [(role.value, wording.role(role)) for role in AccountRole if role != AccountRole.UNDECLARED],
        "prudent": [
            (asset, amount, scales[asset])
            for asset, amount in arrangements.prudent(APP, book).items()
            if amount
        ],
        "assets": sorted({each.asset for each in external}),
        "contacts": arrangements.contacts(APP, book),
        "may_arrange": access.allowed(who, "custody.arrange_safeguarding"),
        "trail": _trail(book, _("Arrangements")),
    }
    return render(request, "safeguarding/arrangements.html", context)


@require_POST
def arrange(request: HttpRequest, book: int) -> HttpResponse:
    """Declare an account, leave own money in, keep or end a contact: one form each."""
    who, now = actor(request), timezone.now()
    access.require(APP, who, "custody.arrange_safeguarding")
    given = {name: str(value).strip() for name, value in request.POST.items()}
    acts: dict[str, Callable[[], object]] = {
        "declare": lambda: _declare(book, given, actor=who, now=now),
        "prudent": lambda: _leave_in(book, given, actor=who, now=now),
        "contact": lambda: arrangements.keep_contact(APP, book, _contact(given), actor=who, now=now),
        "end_contact": lambda: arrangements.end_contact(
            APP, book, given.get("role", ""), given.get("name", ""), actor=who, now=now
        ),
    }
    if chosen := acts.get(given.get("what", "")):
        tried(request, chosen, _("Recorded."))
    return redirect("arrangements", book=book)


# ── what pages tell ──────────────────────────────────────────────────────────────────────────────────────


def said(shown: Proof) -> list[Said]:
    """The findings of a proof in the reader's words."""
    scales = {each.asset: each.scale for each in shown.positions}
    return [_said(each, scales) for each in shown.findings]


def kept(position: Position) -> list[Kept]:
    """The external accounts of a position in the reader's words."""
    return [
        Kept(each, wording.role(each.role), wording.known_by(each.known_by)) for each in position.external
    ]


def charts(days: Sequence[Day]) -> list[Chart]:
    """Of each asset, what was required and what was there, day by day; what is not known is a gap."""
    found = []
    for asset in sorted({each.asset for each in days}):
        of_asset = [each for each in days if each.asset == asset]
        found.append(
            Chart(
                id=f"safeguarding-{asset.lower()}",
                kind="line",
                title=_("Owed and there, %(asset)s") % {"asset": asset},
                category_label=_("Day"),
                categories=[each.day.isoformat() for each in of_asset],
                series=[
                    Series(_("Required"), [each.requirement_minor for each in of_asset]),
                    Series(_("In the ledger"), [each.ledger_resource_minor for each in of_asset]),
                    Series(_("At the custodians"), [each.custodian_resource_minor for each in of_asset]),
                ],
                scale=of_asset[0].scale,
                unit=asset,
            )
        )
    return found


def last_day(book: books.Book) -> dt.date:
    """The last day of the book that is over."""
    return book.today(timezone.now()) - dt.timedelta(days=1)


def _said(finding: Finding, scales: dict[str, int]) -> Said:
    name, asks = wording.rule(finding.rule)
    return Said(
        finding.rule,
        name,
        asks,
        wording.result(finding.result),
        SHADES[finding.result],
        [
            (SHADES[each.result], wording.reason(each, scales.get(each.asset, 0)))
            for each in sorted(finding.reasons, key=lambda each: -list(Result).index(each.result))
        ],
    )


# ── what forms ask ───────────────────────────────────────────────────────────────────────────────────────


def _declare(book: int, given: dict[str, str], **by: Any) -> None:
    try:
        number = numbers.parse_account(given.get("account", ""))
        role = AccountRole(given.get("role", ""))
    except ValueError:
        raise errors.AccountUnknown(account=given.get("account", "")) from None
    if numbers.book_of(number) != book:
        raise errors.AccountUnknown(account=given["account"])
    terms = {name: given.get(name, "") for name in ("institution", "country", "number", "agreement")}
    arrangements.declare(APP, number, arrangements.Terms(role=role, **terms), **by)


def _leave_in(book: int, given: dict[str, str], **by: Any) -> None:
    asset = assets.asset(APP, given.get("asset", ""))
    amount = asking.amount(given.get("amount", ""), asset.scale)
    if amount is None:
        raise errors.Malformed(where=asset.code, field="amount", expected="an amount such as 1000.00")
    arrangements.segregate_prudently(APP, book, asset.code, amount, reason=given.get("reason", ""), **by)


def _contact(given: dict[str, str]) -> arrangements.Contact:
    fields = ("role", "name", "organisation", "telephone", "email", "address")
    return arrangements.Contact(**{name: given.get(name, "") for name in fields})


def _handed(write: Callable[[Sink], object], name: str, content_type: str) -> FileResponse:
    """A file that is written first, so that a failure is an answer and not half a file; kept nowhere."""
    content = tempfile.TemporaryFile()  # noqa: SIM115 -- the response closes it, and with that it is gone
    try:
        write(content)
    except BaseException:
        content.close()
        raise
    content.seek(0)
    answer = FileResponse(content, as_attachment=True, filename=name, content_type=content_type)
    answer["Cache-Control"] = "no-store"
    return answer


def _role(declared: arrangements.Declared | None) -> AccountRole:
    return declared.terms.role if declared else AccountRole.UNDECLARED


def _proof(book: int, proof_id: str) -> Proof:
    shown = proofs.proof(APP, proof_id)
    if shown.book != book:
        raise errors.ProofUnknown(proof=proof_id)
    return shown


def _day(text: str) -> dt.date | None:
    try:
        return parse_date(text)
    except ValueError:
        return None


def _trail(book: int, last: str) -> list[tuple[str, str]]:
    return [
        (books.book(APP, book).name, reverse("overview", args=[book])),
        (_("Safeguarding"), reverse("safeguarding", args=[book])),
        (last, ""),
    ]

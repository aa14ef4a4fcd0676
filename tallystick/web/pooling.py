"""Pooling on a page: what the ledger says, in plain words, down to the transfers that show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from tallystick.core.db import APP
from tallystick.custody import accounts, books
from tallystick.custody.pooling import indicators
from tallystick.custody.pooling.indicators import Finding, Indicator, Sign, State
from tallystick.identity import access
from tallystick.web import asking, words
from tallystick.web.session import actor
from tallystick.web.words import Word

PAGE = 50
EVIDENCE_SHOWN = 12

SIGNS: Mapping[Sign, tuple[Word, Word, Word]] = {
    Sign.UNATTRIBUTED: (
        gettext_lazy("Lent, and not to be found in a loan"),
        gettext_lazy("Lenders' money that did not reach the borrower it was lent to."),
        gettext_lazy("of the money lent"),
    ),
    Sign.NEW_MONEY: (
        gettext_lazy("New money pays old claims"),
        gettext_lazy("Lenders are paid with what others have just lent, not with what borrowers paid in."),
        gettext_lazy("of what lenders were paid"),
    ),
    Sign.CIRCULAR: (
        gettext_lazy("Money in circles"),
        gettext_lazy("Money that came back within days to somebody who had just had it."),
        gettext_lazy("of what moved between clients"),
    ),
    Sign.TERM_MISMATCH: (
        gettext_lazy("Lent short, loaned long"),
        gettext_lazy("Money lent for less time than the loan it is in runs."),
        gettext_lazy("of the lendings whose terms are known"),
    ),
    Sign.ROLLED_OVER: (
        gettext_lazy("Rolled over on one borrower"),
        gettext_lazy("A borrower's loan is repaid out of the same borrower's next one."),
        gettext_lazy("of what lenders were paid"),
    ),
}
"""Each sign: its name, what it means, and of what it is a share."""

STATES: Mapping[State, tuple[Word, str]] = {
    State.CLEAR: (gettext_lazy("Clear"), "good"),
    State.FOUND: (gettext_lazy("Found"), "bad"),
    State.UNDETERMINED: (gettext_lazy("Undetermined"), "warn"),
}


@dataclass(frozen=True, slots=True)
class Told:
    """An indicator as the page tells it."""

    indicator: Indicator
    name: str
    meaning: str
    of_what: str
    state: str
    shade: str
    value: str
    threshold: str


def pooling(request: HttpRequest, book: int) -> HttpResponse:
    """What the ledger says about pooling, and the findings of one sign."""
    access.require(APP, actor(request), "custody.read_ledger")
    found = books.book(APP, book)
    offered = indicators.assets_of(APP, book)
    context = {
        "book": found,
        "trail": [(found.name, reverse("overview", args=[book])), (_("Pooling"), "")],
    }
    if not offered:
        return render(request, "tracing/pooling_none.html", context)
    asset = asking.choice(request, "asset", {each.code: each for each in offered}) or offered[0]
    check = indicators.check(
        APP,
        book,
        asset.code,
        after_position=asking.whole(request, "after") or 0,
        most=indicators.CLICK_MAX,
    )
    signs = [told(each) for each in check.indicators]
    chosen = asking.choice(request, "sign", {str(sign): sign for sign in Sign}) or _first(check)
    shown = next(each for each in signs if each.indicator.sign == chosen)
    page = asking.whole(request, "page") or 0
    findings = shown.indicator.findings[page * PAGE : (page + 1) * PAGE]
    known = accounts.several(APP, [each.account for each in findings])
    context |= {
        "check": check,
        "asset": asset,
        "assets": offered,
        "state": STATES[check.state],
        "signs": signs,
        "shown": shown,
        "findings": [
            (
                each,
                sentence(each, asset.scale, asset.code),
                each.evidence[:EVIDENCE_SHOWN],
                len(each.evidence) - EVIDENCE_SHOWN,
                known.get(each.account),
            )
            for each in findings
        ],
        "first": asking.query(request, page=None) + "#findings" if page else "",
        "next": asking.query(request, page=page + 1) + "#findings"
        if len(shown.indicator.findings) > (page + 1) * PAGE
        else "",
        "asked": {"after": request.GET.get("after", "")},
        "idle_days": indicators.IDLE_DAYS,
        "window_days": indicators.WINDOW_DAYS,
        "json": reverse("api-v1:check_pooling", args=[book])
        + f"?asset={asset.code}&after={check.after_position}&findings=1000",
    }
    return render(request, "tracing/pooling.html", context)


def told(indicator: Indicator) -> Told:
    """An indicator in words."""
    name, meaning, of_what = SIGNS[indicator.sign]
    state, shade = STATES[indicator.state]
    return Told(
        indicator,
        str(name),
        str(meaning),
        str(of_what),
        str(state),
        shade,
        "—" if indicator.value_ppm is None else _percent(indicator.value_ppm),
        _percent(indicator.threshold_ppm),
    )


def sentence(finding: Finding, scale: int, asset: str) -> str:
    """What was found, as a sentence."""
    facts = {
        "amount": f"{words.amount(finding.amount_minor, scale)} {asset}",
        "whole": f"{words.amount(finding.of_minor, scale)} {asset}",
        "lent_for": finding.days[0] if finding.days else 0,
        "runs": finding.days[1] if finding.days else 0,
        "idle": indicators.IDLE_DAYS,
        "window": indicators.WINDOW_DAYS,
    }
    return _SENTENCES[finding.sign, finding.cause if finding.sign == Sign.UNATTRIBUTED else ""]() % facts


_SENTENCES: Mapping[tuple[Sign, str], Callable[[], str]] = {
    (Sign.UNATTRIBUTED, "paid_to_others"): lambda: _(
        "%(whole)s were lent; %(amount)s of it went to others and never reached the borrower."
    ),
    (Sign.UNATTRIBUTED, "lies_idle"): lambda: _(
        "%(whole)s were lent; %(amount)s of it has been lying there for more than %(idle)s days."
    ),
    (Sign.NEW_MONEY, ""): lambda: _(
        "A lender was paid %(whole)s; %(amount)s of it was money that had been lent by others."
    ),
    (Sign.CIRCULAR, ""): lambda: _("%(amount)s came back within %(window)s days to where it had been."),
    (Sign.TERM_MISMATCH, ""): lambda: _(
        "%(amount)s were lent for %(lent_for)s days on a loan that runs %(runs)s days."
    ),
    (Sign.ROLLED_OVER, ""): lambda: _(
        "A lender was paid %(whole)s; %(amount)s of it had been lent to the same borrower on another loan."
    ),
}


def _first(check: indicators.Check) -> Sign:
    """The sign whose findings are shown where none was chosen: the worst of those found."""
    worst = max(
        check.indicators,
        key=lambda each: (each.state == State.FOUND, (each.value_ppm or 0) * 1000 // each.threshold_ppm),
    )
    return worst.sign


def _percent(ppm: int) -> str:
    """Millionths as percent with two decimals, from whole numbers, rounded down."""
    return f"{ppm // 10_000}.{ppm % 10_000 // 100:02d} %"

"""Liquidity: what will leave, whether it can be paid, and who waits; as it was last judged and kept."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from tallystick.core.db import APP
from tallystick.custody import assets, books, history
from tallystick.custody.liquidity import assessments, coverage, limits, waiting
from tallystick.custody.liquidity.assessments import Assessment
from tallystick.identity import access
from tallystick.web import asking, words
from tallystick.web.charts import Chart, Series
from tallystick.web.session import actor

AHEAD_DAYS = 30
QUEUE_SHOWN = 100

LEVELS: dict[str, tuple[words.Word, words.Word, str]] = {
    "calm": (gettext_lazy("Calm"), gettext_lazy("What is at hand lasts under every scenario that warns."), "good"),
    "watch": (gettext_lazy("Watch"), gettext_lazy("Under stress the money would end within days."), "warn"),
    "warning": (gettext_lazy("Warning"), gettext_lazy("Prepare funds now: the day of a shortfall is near."), "bad"),
    "alarm": (gettext_lazy("Alarm"), gettext_lazy("Payouts cannot all be made in the next days."), "bad"),
}  # fmt: skip
"""Each level: its name, what it means, its colour."""


@dataclass(frozen=True, slots=True)
class Cover:
    """A horizon's coverage as a gauge: the meter ends at three times what is forecast to leave."""

    days: int
    outflow_minor: int
    funds_minor: int
    expected: str
    stressed: str
    meter: int | None


@dataclass(frozen=True, slots=True)
class Outlook:
    """One scenario's line of the table."""

    title: str
    days: int
    shortfall_day: str | None
    missing_minor: int
    warns: bool
    source: str


def liquidity(request: HttpRequest, book: int) -> HttpResponse:
    """The last assessment of a book in one asset, drawn; the queue; the limit and where to change it."""
    who = actor(request)
    access.require(APP, who, "custody.read_ledger")
    found = books.book(APP, book)
    held = held_assets(book)
    asset = asking.choice(request, "asset", {each: each for each in held}) or next(iter(held), "CNY")
    kept = next(iter(assessments.latest(APP, book, asset)), None)
    now = timezone.now()
    queue = waiting.queue(APP, book, asset, now=now) if held else None
    context = {
        "book": found,
        "assets": held,
        "asset": asset,
        "kept": kept,
        "queue": queue,
        "queue_shown": queue.entries[:QUEUE_SHOWN] if queue else [],
        "limit": limits.limit(APP, book, asset, found.today(now)) if held else None,
        "today": found.today(now),
        "may_assess": access.allowed(who, "custody.assess_liquidity"),
        "may_limit": access.allowed(who, "custody.set_limits"),
        "trail": [(found.name, reverse("overview", args=[book])), (_("Liquidity"), "")],
    }
    if kept is not None:
        name, meaning, shade = LEVELS[kept.level]
        context |= {
            "level": name,
            "meaning": meaning,
            "shade": shade,
            "covers": covers(kept.told),
            "outlooks": outlooks(kept.told),
            "flow_chart": flow_chart(kept),
            "left_chart": cumulative_chart(kept),
            "history": assessments.latest(APP, book, asset, limit=10),
        }
    return render(request, "liquidity/liquidity.html", context)


@require_POST
def assess(request: HttpRequest, book: int) -> HttpResponse:
    """Judge the book's liquidity now, and keep the judgement."""
    asset = request.POST.get("asset", "CNY")[:12]
    kept = assessments.assess(APP, book, asset, actor=actor(request), now=timezone.now())
    name, meaning, _shade = LEVELS[kept.level]
    tell = messages.success if kept.level == coverage.Level.CALM else messages.warning
    tell(request, f"{name}: {meaning}")
    return redirect(reverse("liquidity", args=[book]) + f"?asset={asset}")


@require_POST
def set_limit(request: HttpRequest, book: int) -> HttpResponse:
    """Limit what may be withdrawn in a day, from a day on; an empty amount lifts the limit."""
    found = books.book(APP, book)
    asset = assets.asset(APP, request.POST.get("asset", "CNY")[:12])
    given = request.POST.get("amount", "").strip()
    minor = asking.amount(given, asset.scale) if given else None
    try:
        if given and minor is None:
            raise ValueError
        day = dt.date.fromisoformat(request.POST["from_day"]) if request.POST.get("from_day") else None
    except ValueError:
        raise asking.Unreadable(
            _("Give an amount such as 500000.00, or none, and a day such as 2026-03-01.")
        ) from None
    limits.set_limit(
        APP,
        book,
        asset.code,
        minor,
        request.POST.get("reason", "").strip(),
        from_day=day or found.today(timezone.now()),
        actor=actor(request),
        now=timezone.now(),
    )
    messages.success(request, _("The limit is recorded."))
    return redirect(reverse("liquidity", args=[book]) + f"?asset={asset.code}")


def held_assets(book: int) -> list[str]:
    """The assets the book has moved, the one with the most entries of accounts first."""
    totals = history.totals(APP, book)
    many: dict[str, int] = {}
    for total in totals:
        many[total.asset] = many.get(total.asset, 0) + total.accounts
    return sorted(many, key=lambda asset: (-many[asset], asset))


def covers(told: dict[str, Any]) -> list[Cover]:
    """Each horizon's coverage, in words and as a meter from 0 to 300."""
    return [
        Cover(
            each["days"],
            each["outflow_minor"],
            each["funds_minor"],
            times(each["expected_ppm"]),
            times(each["stressed_ppm"]),
            None if each["expected_ppm"] is None else min(max(each["expected_ppm"] // 10_000, 0), 300),
        )
        for each in told["coverage"]
    ]


def outlooks(told: dict[str, Any]) -> list[Outlook]:
    """Each scenario and how long the money lasts under it."""
    found = []
    for each in told["scenarios"]:
        scenario = coverage.scenario(each["name"])
        found.append(
            Outlook(
                scenario.title,
                each["days"],
                each["shortfall_day"],
                each["missing_minor"],
                each["warns"],
                scenario.source,
            )
        )
    return found


def times(ppm: int | None) -> str:
    """`3.25 ×`; a dash where nothing is forecast to leave."""
    return "–" if ppm is None else f"{ppm // 1_000_000}.{ppm % 1_000_000 // 10_000:02d} ×"


def flow_chart(kept: Assessment) -> Chart:
    """The withdrawals of the last days, and those to come with their wide band."""
    known, ahead = kept.told["known"], kept.told["withdrawals"]["days"][:AHEAD_DAYS]
    before: list[int | None] = [None] * len(known)
    after: list[int | None] = [None] * len(ahead)
    return Chart(
        id="flow",
        kind="line",
        title=_("Withdrawals: as they were, and as forecast"),
        category_label=_("Day"),
        categories=[each["day"] for each in (*known, *ahead)],
        series=[
            Series(_("As it was"), [each["withdrawals_minor"] for each in known] + after),
            Series(_("Forecast"), before + [each["expected_minor"] for each in ahead]),
            Series(_("Lower edge, 95 of 100 days"), before + [each["low95_minor"] for each in ahead]),
            Series(_("Upper edge, 95 of 100 days"), before + [each["high95_minor"] for each in ahead]),
        ],
        scale=kept.scale,
        unit=kept.asset,
    )


def cumulative_chart(kept: Assessment) -> Chart:
    """What would have left after each day, against what is at hand."""
    ahead = kept.told["withdrawals"]["days"][:AHEAD_DAYS]
    middle, high, sums, highs = 0, 0, [], []
    for each in ahead:
        middle += each["expected_minor"]
        high += each["high95_minor"]
        sums.append(middle)
        highs.append(high)
    return Chart(
        id="sums",
        kind="line",
        title=_("What will have left, against what is at hand"),
        category_label=_("Day"),
        categories=[each["day"] for each in ahead],
        series=[
            Series(_("At hand"), [kept.liquid_minor] * len(ahead)),
            Series(_("Forecast"), sums),
            Series(_("Were every day at its upper edge"), highs),
        ],
        scale=kept.scale,
        unit=kept.asset,
        low=True,
    )

"""The first page of whoever may read the ledger: how much is held, what moves, what was refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _

from tallystick.core.db import APP
from tallystick.custody import accounts, assets, books, history, reconciliation
from tallystick.custody.history import DailyTotal, TrialTotal
from tallystick.custody.numbers import Family
from tallystick.identity import access
from tallystick.web import statements, words
from tallystick.web.charts import Chart, Series
from tallystick.web.session import actor

DAYS = 30


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a book holds in one asset, by whose it is. `difference_minor` is nothing in a sound book."""

    asset: str
    scale: int
    client_minor: int
    own_minor: int
    suspense_minor: int
    bank_minor: int

    @property
    def owed_minor(self) -> int:
        """What the bank must hold for it all to be there."""
        return self.client_minor + self.own_minor + self.suspense_minor

    @property
    def difference_minor(self) -> int:
        return self.bank_minor - self.owed_minor


def overview(request: HttpRequest, book: int) -> HttpResponse:
    """One book at a glance."""
    access.require(APP, actor(request), "custody.read_ledger")
    found = books.book(APP, book)
    now = timezone.now()
    head = books.head(APP, book)
    totals = holdings(history.totals(APP, book, at_position=head.position))
    last_day = _last_day(head.recorded_at, now, found.time_zone)
    first_day = last_day - timedelta(days=DAYS - 1)
    flows = history.daily_totals(APP, book, first_day, last_day)
    days = [first_day + timedelta(days=n) for n in range(DAYS)]
    main = totals[0] if totals else None
    latest = history.transfers(APP, book, newest_first=True, limit=10)
    banks = statements.bank_accounts(book)
    context = {
        "book": found,
        "head": head,
        "holdings": totals,
        "days": DAYS,
        "latest": latest,
        "names": accounts.several(
            APP, [number for row in latest for number in (row.debit_account, row.credit_account)]
        ),
        "scales": {asset.number: asset for asset in assets.assets(APP)},
        "held_chart": held_chart(main, flows, days) if main else None,
        "banks": [bank for bank in banks if bank.latest],
        "breaks_chart": statements.breaks_chart(
            [each for bank in banks if bank.latest for each in reconciliation.breaks(APP, bank.latest.id)]
        )
        if any(bank.latest for bank in banks)
        else None,
        "transfers_chart": transfers_chart(flows, days),
        "refusals_chart": refusals_chart(
            history.refusal_counts(APP, book, since=_midnight(first_day, found.time_zone))
        ),
    }
    return render(request, "ledger/overview.html", context)


def holdings(totals: Sequence[TrialTotal]) -> list[Holdings]:
    """The totals of each asset side by side, the asset with the most client money first."""
    held: dict[tuple[str, int], dict[Family, int]] = {}
    for total in totals:
        held.setdefault((total.asset, total.scale), {})[total.family] = total.balance_minor
    rows = [
        Holdings(
            asset=asset,
            scale=scale,
            client_minor=of.get(Family.CLIENT, 0),
            own_minor=of.get(Family.OWN, 0),
            suspense_minor=of.get(Family.SUSPENSE, 0),
            bank_minor=of.get(Family.EXTERNAL, 0),
        )
        for (asset, scale), of in held.items()
    ]
    return sorted(rows, key=lambda row: (-row.client_minor, row.asset))


def held_chart(main: Holdings, flows: Sequence[DailyTotal], days: Sequence[date]) -> Chart:
    """What was held at the end of each day, walked back from what is held now by each day's movements."""
    client: dict[date, int] = {}
    bank: dict[date, int] = {}
    for flow in flows:
        if flow.asset != main.asset:
            continue
        for series, family, grows_by_credit in (
            (client, Family.CLIENT, True),
            (bank, Family.EXTERNAL, False),
        ):
            sign = 1 if grows_by_credit else -1
            moved = (flow.credit_family == family) * sign - (flow.debit_family == family) * sign
            series[flow.day] = series.get(flow.day, 0) + moved * flow.amount_minor
    client_then, bank_then = main.client_minor, main.bank_minor
    client_line: list[int] = []
    bank_line: list[int] = []
    for day in reversed(days):
        client_line.insert(0, client_then)
        bank_line.insert(0, bank_then)
        client_then -= client.get(day, 0)
        bank_then -= bank.get(day, 0)
    return Chart(
        id="held",
        kind="line",
        title=_("Client money and money at the bank, at the end of each day"),
        category_label=_("Day"),
        categories=[day.isoformat() for day in days],
        series=[Series(_("Client money"), client_line), Series(_("At the bank"), bank_line)],
        scale=main.scale,
        unit=main.asset,
    )


def transfers_chart(flows: Sequence[DailyTotal], days: Sequence[date]) -> Chart:
    """How many transfers were posted on each day."""
    count: dict[date, int] = {}
    for flow in flows:
        count[flow.day] = count.get(flow.day, 0) + flow.transfers
    return Chart(
        id="transfers",
        kind="bar",
        title=_("Transfers posted on each day"),
        category_label=_("Day"),
        categories=[day.isoformat() for day in days] if flows else [],
        series=[Series(_("Transfers"), [count.get(day, 0) for day in days])],
        empty=_("No transfer was posted in these days."),
    )


def refusals_chart(counts: dict[str, int]) -> Chart:
    """How many transfers were refused for each reason."""
    return Chart(
        id="refusals",
        kind="rows",
        title=_("Transfers refused, by reason"),
        category_label=_("Reason"),
        categories=[words.refusal_name(code) for code in counts],
        series=[Series(_("Refused"), list(counts.values()))],
        empty=_("No transfer was refused in these days."),
    )


def _last_day(recorded_at: datetime | None, now: datetime, zone: str) -> date:
    # Of a book at rest, its last days; of one in use, the last days there are.
    moment = min(now, recorded_at) if recorded_at else now
    return moment.astimezone(ZoneInfo(zone)).date()


def _midnight(day: date, zone: str) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))

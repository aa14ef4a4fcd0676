"""A customer's history and statements: looked through on the page, taken away as PDF or CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from tallystick.core import money, pdf
from tallystick.core.db import APP
from tallystick.custody import account_statement, books, history
from tallystick.custody.account_statement import Line, Period, Wanted
from tallystick.custody.codes import BY_TEXT, Code
from tallystick.web import asking, csv_file, customer_own, words
from tallystick.web.customer_own import Own

PAGE = 50
PDF_LINES_MAX = 5_000

COLUMNS = (
    "day",
    "recorded_at",
    "position",
    "what",
    "amount_in",
    "amount_out",
    "balance",
    "asset",
    "reference",
    "other_party",
    "reason",
    "transfer",
)

_WAYS = {"in": True, "out": False}


def choose(request: HttpRequest) -> HttpResponse:
    """Straight to the only account; with several, whose history."""
    mine = customer_own.all_of(request)
    if len(mine) == 1:
        return redirect("my-account", number=mine[0].account.text)
    context = {
        "rows": mine,
        "route": "my-account",
        "title": _("History"),
        "trail": [(_("My money"), reverse("my-money")), (_("History"), "")],
    }
    return render(request, "customer/choose.html", context)


def wanted(request: HttpRequest, own: Own) -> Wanted:
    """The lines that the page's form asks for."""
    first, last = _day(request, "from"), _day(request, "to")
    text = asking.text(request, "search", length_max=80)
    code = asking.choice(request, "code", BY_TEXT)
    return Wanted(
        first=first,
        last=last,
        codes=() if code is None else (code,),
        is_in=asking.choice(request, "way", _WAYS),
        text=text,
        amount_minor=customer_own.amount(text, own.account),
    )


def lines(request: HttpRequest, own: Own) -> dict[str, object]:
    """A page of the history, with what its form needs."""
    asked = wanted(request, own)
    before = asking.whole(request, "before")
    found = account_statement.find(APP, own.account, asked, before=before, limit=PAGE + 1)
    shown = found[:PAGE]
    return {
        "lines": shown,
        "asked": {name: request.GET.get(name, "") for name in ("from", "to", "search", "code", "way")},
        "is_filtered": asked != account_statement.ALL,
        "codes": [(code.text, words.CODES[code]) for code in Code],
        "first": asking.query(request, before=None) if before else "",
        "older": asking.query(request, before=shown[-1].position) if len(found) > PAGE else "",
    }


def statement(request: HttpRequest, number: str) -> HttpResponse:
    """A statement of account for a period, before it is taken away."""
    own = customer_own.one(request, number)
    told = _period(request, own)
    account = own.account
    today = customer_own.today(account)
    query = f"?from={told.first.isoformat()}&to={told.last.isoformat()}"
    context = {
        "account": account,
        "told": told,
        "today": today,
        "ready_made": _ready_made(today, timezone.localtime(account.opened_at).date()),
        "is_open": told.last >= today,
        "pdf": reverse("my-statement-pdf", args=[number]) + query,
        "csv": reverse("my-account-csv", args=[number]) + query,
        "zone": books.book(APP, account.book).time_zone,
        "trail": [
            (_("My money"), reverse("my-money")),
            (account.name, reverse("my-account", args=[number])),
            (_("Statement"), ""),
        ],
    }
    return render(request, "customer/statement.html", context)


def statement_csv(request: HttpRequest, number: str) -> HttpResponseBase:
    """The statement of a period as a file: opening, each line, closing."""
    own = customer_own.one(request, number)
    told = _period(request, own)
    return csv_file.response(f"{_name(told)}.csv", COLUMNS, _csv_rows(told))


def statement_pdf(request: HttpRequest, number: str) -> HttpResponse:
    """The statement of a period as a document, in the reader's language or the one asked for."""
    own = customer_own.one(request, number)
    told = _period(request, own)
    found = list(account_statement.lines(APP, told, most=PDF_LINES_MAX))
    now = timezone.now()
    chosen = asking.choice(request, "language", {"zh-hans": "zh-hans", "en": "en"})
    is_zh = (chosen or translation.get_language() or "").startswith("zh")
    with translation.override("zh-hans" if is_zh else "en"):
        document = pdf.Document(
            title=_("Statement of account"),
            subtitle=told.account.name,
            language="zh-hans" if is_zh else "en",
            blocks=_blocks(own, told, found),
            produced_at=timezone.localtime(now),
            digest=account_statement.digest(told, found).hex(),
            foot=told.account.text,
        )
        content = pdf.render(document)
    answer = HttpResponse(content, content_type="application/pdf")
    answer["Content-Disposition"] = f'attachment; filename="{_name(told)}.pdf"'
    answer["Cache-Control"] = "private, no-store"
    return answer


def other(line: Line) -> str:
    """Who or what a line was with, in a few words."""
    return line.other or line.reason


def _day(request: HttpRequest, name: str) -> date | None:
    found = asking.moment(request, name)
    return None if found is None else timezone.localtime(found).date()


def _period(request: HttpRequest, own: Own) -> Period:
    """The days asked for; left out, the month so far."""
    today = customer_own.today(own.account)
    last = _day(request, "to") or today
    first = _day(request, "from") or last.replace(day=1)
    return account_statement.period(APP, own.account, first, last)


def _ready_made(today: date, opened: date) -> list[tuple[str, date, date]]:
    """Periods people ask for: this month, the last one, this year, the last one, everything."""
    last_month = today.replace(day=1) - timedelta(days=1)
    year = today.replace(month=1, day=1)
    last_year = year - timedelta(days=1)
    found = [
        (_("This month"), today.replace(day=1), today),
        (_("Last month"), last_month.replace(day=1), last_month),
        (_("This year"), year, today),
        (_("Last year"), last_year.replace(month=1, day=1), last_year),
    ]
    return [each for each in found if each[2] >= opened]


def _name(told: Period) -> str:
    return f"{told.account.text}-{told.first.isoformat()}-{told.last.isoformat()}"


def _csv_rows(told: Period) -> Iterator[Sequence[object]]:
    account = told.account

    def row(day: date, what: str, balance: int) -> Sequence[object]:
        edge = told.position_from if what == "opening" else told.position_to
        return (day.isoformat(), "", edge, what, "", "", money.major(balance, account.scale), account.asset)

    yield row(told.first, "opening", told.opening.balance_minor)
    for line in account_statement.lines(APP, told):
        size = money.major(abs(line.amount_minor), account.scale)
        yield (
            line.day.isoformat(),
            line.recorded_at.isoformat(),
            line.position,
            line.code.text,
            size if line.amount_minor > 0 else "",
            size if line.amount_minor < 0 else "",
            money.major(line.balance_minor, account.scale),
            account.asset,
            line.reference,
            line.other,
            line.reason,
            line.id,
        )
    yield row(told.last, "closing", told.closing.balance_minor)


def _blocks(own: Own, told: Period, found: Sequence[Line]) -> list[pdf.Block]:
    """The document: whose account and when, the sums, every line, and where in the book it stands."""
    account = told.account

    def amount(minor: int) -> str:
        return words.amount(minor, account.scale)

    holders_named = " · ".join(
        f"{party.customer_number} ({words.CAPACITIES[party.capacity]})"
        for party in own.standing.holding.parties
    )
    book = books.book(APP, account.book)
    held = history.balance(APP, account.number, at_position=told.position_to).held_minor
    return [
        pdf.KeyValues(
            [
                (_("Account"), f"{account.name} · {account.text}"),
                (_("Client"), holders_named),
                (_("Book"), book.name),
                (
                    _("Period"),
                    _("%(first)s to %(last)s, both days included (%(zone)s)")
                    % {"first": told.first, "last": told.last, "zone": book.time_zone},
                ),
                (_("Currency"), account.asset),
            ]
        ),
        pdf.Heading(_("In sum")),
        pdf.KeyValues(
            [
                (_("Opening balance"), f"{amount(told.opening.balance_minor)} {account.asset}"),
                (_("Came in"), f"{amount(told.in_minor)} {account.asset}"),
                (_("Went out"), f"{amount(told.out_minor)} {account.asset}"),
                (_("Closing balance"), f"{amount(told.closing.balance_minor)} {account.asset}"),
                *([(_("Of it held to leave"), f"{amount(held)} {account.asset}")] if held else []),
            ]
        ),
        pdf.Heading(_("Line by line")),
        _table(told, found),
        pdf.Paragraph(
            _("Every figure is the ledger's: positions %(after)s to %(to)s of its book, %(count)s lines.")
            % {
                "after": told.position_from + 1,
                "to": told.position_to,
                "count": len(found),
            },
            "quiet",
        ),
    ]


def _table(told: Period, found: Sequence[Line]) -> pdf.Table:
    """Every line between the opening and the closing balance."""

    def amount(minor: int) -> str:
        return words.amount(minor, told.account.scale)

    rows = [
        (
            line.day.isoformat(),
            str(words.CODES[line.code]),
            " · ".join(part for part in (other(line), line.reference) if part),
            amount(line.amount_minor) if line.amount_minor > 0 else "",
            amount(-line.amount_minor) if line.amount_minor < 0 else "",
            amount(line.balance_minor),
        )
        for line in found
    ]
    return pdf.Table(
        columns=[
            pdf.Column(_("Day")),
            pdf.Column(_("What")),
            pdf.Column(_("With whom, reference")),
            pdf.Column(_("Money in"), "right"),
            pdf.Column(_("Money out"), "right"),
            pdf.Column(_("Balance"), "right"),
        ],
        rows=[
            (
                told.first.isoformat(),
                _("Opening balance"),
                "",
                "",
                "",
                amount(told.opening.balance_minor),
            ),
            *rows,
        ],
        totals=[
            (
                told.last.isoformat(),
                _("Closing balance"),
                "",
                amount(told.in_minor),
                amount(told.out_minor),
                amount(told.closing.balance_minor),
            )
        ],
    )

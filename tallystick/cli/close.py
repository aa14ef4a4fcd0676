"""The daily close at the command line: look at a day, sign it, list the cases, set a book's days.

Looking and setting act as `system:cli`. Signing is a person's: whoever the API token in
`TALLYSTICK_API_TOKEN` acts as, and two of them for each day.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import click

from tallystick.cli import ground
from tallystick.core.db import APP

if TYPE_CHECKING:
    from tallystick.custody.book_days import Days
    from tallystick.custody.workbench import closing
    from tallystick.identity.access import Actor

_date = click.DateTime(formats=["%Y-%m-%d"])
LISTED = 10
"""Days listed where none is named."""
CASES_MAX = 10_000


@click.command()
@ground.book_option
@click.option("--date", type=_date, help="The day; without it, the last days and how each stands.")
@click.option("--prepare", is_flag=True, help="Sign the day as the first of two.")
@click.option(
    "--sign", metavar="APPROVAL", help="Sign what apr_… proposes as the second of two: it is closed."
)
@click.option(
    "--token", envvar="TALLYSTICK_API_TOKEN", help="Of whoever signs; best given as TALLYSTICK_API_TOKEN."
)
@ground.json_option
def close(
    *,
    book: int | None,
    date: dt.datetime | None,
    prepare: bool,
    sign: str | None,
    token: str | None,
    as_json: bool,
) -> None:
    """Look at a day of a book, or sign it. Exit code 1: it is not closed and not ready to be."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        found, now = ground.book_of(book), dt.datetime.now(dt.UTC)
        if prepare or sign:
            _sign(found, date, prepare, sign, token, now)
        told = _days(found, now) if date is None else _day(found, date.date(), now)
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False, indent=1))
    else:
        _tell(told)
    if any(each["state"] == "not_ready" for each in told["days"]) and date is not None:
        raise SystemExit(1)


@click.command()
@ground.book_option
@click.option("--kind", help="Only of this kind: timing, amount, duplicate …")
@click.option("--resolved", is_flag=True, help="Those that are resolved, instead of those that are not.")
@ground.json_option
def cases(*, book: int | None, kind: str | None, resolved: bool, as_json: bool) -> None:
    """List the differences with the bank that are worked on."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.custody import accounts, book_days
        from tallystick.custody.breaks import BreakKind
        from tallystick.custody.workbench import cases as cases_
        from tallystick.custody.workbench_models import CaseStatus

        found, now = ground.book_of(book), dt.datetime.now(dt.UTC)
        if kind is not None and kind not in set(BreakKind):
            raise click.BadParameter(", ".join(BreakKind), param_hint="--kind")
        filters = cases_.Filters(
            statuses=(CaseStatus.RESOLVED,) if resolved else cases_.UNRESOLVED,
            kind=None if kind is None else BreakKind(kind),
        )
        days = book_days.days(APP, found)
        today = days.business_date(now)
        listed = cases_.cases(APP, found, filters, limit=CASES_MAX)
        banks = accounts.several(APP, {each.bank_account for each in listed})
        told = {
            "schema": "tallystick/cases/1",
            "book": found,
            "cases": [
                {
                    "case": each.id,
                    "bank_account": banks[each.bank_account].text,
                    "asset": banks[each.bank_account].asset,
                    "kind": each.kind.value,
                    "status": each.status.value,
                    "owner": each.owner or None,
                    "day": each.day.isoformat(),
                    "age_days": days.age(each.day, today),
                    "effect_minor": each.effect_minor,
                    "reference": each.reference,
                    "reconciliation": each.reconciliation,
                }
                for each in listed
            ],
        }
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False, indent=1))
        return
    for row in told["cases"]:  # type: ignore[attr-defined]
        click.echo(
            f"{row['case']:<10} {row['day']} {row['age_days']:>4} {row['kind']:<18}"
            f" {row['effect_minor']:>16} {row['status']:<12} {row['reference']}"
        )


@click.command("book-days")
@ground.book_option
@click.option("--calendar", help="CN, CN-MARKET, GB, TARGET or WEEKENDS.")
@click.option("--cut-off", type=click.DateTime(formats=["%H:%M"]), help="In the book's time zone.")
@click.option("--write-off-max", type=int, help="Minor units that a match by hand may leave over.")
@click.option("--break-age-max", type=int, help="Business days a difference may be old unexplained.")
@click.option("--receipt-age-max", type=int, help="Business days money may lie in suspense.")
@click.option("--reason", help="Why they change; without it, nothing is changed.")
@ground.json_option
def book_days(
    *,
    book: int | None,
    calendar: str | None,
    cut_off: dt.datetime | None,
    write_off_max: int | None,
    break_age_max: int | None,
    receipt_age_max: int | None,
    reason: str | None,
    as_json: bool,
) -> None:
    """Show a book's calendar, cut-off and limits, or set those that are named."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.custody import book_days as days_
        from tallystick.identity.access import Actor

        found = ground.book_of(book)
        days = days_.days(APP, found)
        if reason is not None:
            days = days_.set_days(
                APP,
                found,
                calendar=calendar or days.calendar.value,
                cut_off=days.cut_off if cut_off is None else cut_off.time(),
                write_off_max_minor=days.write_off_max_minor if write_off_max is None else write_off_max,
                break_age_max=days.break_age_max if break_age_max is None else break_age_max,
                receipt_age_max=days.receipt_age_max if receipt_age_max is None else receipt_age_max,
                reason=reason,
                actor=Actor.system("cli"),
                now=dt.datetime.now(dt.UTC),
            )
        told = _days_answer(found, days)
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False, indent=1))
        return
    for name, value in told.items():
        click.echo(f"{name:<20} {value}")


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


def _sign(
    book: int, date: dt.datetime | None, prepare: bool, sign: str | None, token: str | None, now: dt.datetime
) -> None:
    from tallystick.custody.workbench import closing

    who = _person(token, now)
    if prepare:
        if date is None:
            raise click.UsageError("--prepare needs --date.")
        proposal = closing.prepare(APP, book, date.date(), actor=who, now=now)
        ground.say(f"apr_{proposal}")
    if sign:
        digits = sign.removeprefix("apr_")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
            raise click.BadParameter("apr_ and a number", param_hint="--sign")
        closing.sign(APP, int(digits), actor=who, now=now)


def _person(token: str | None, now: dt.datetime) -> Actor:
    from tallystick.identity import api_tokens

    if not token:
        raise click.UsageError("Signing needs an API token: TALLYSTICK_API_TOKEN.")
    return api_tokens.actor(APP, token, now=now)


def _days(book: int, now: dt.datetime) -> dict[str, Any]:
    from tallystick.custody import book_days as days_
    from tallystick.custody.workbench import closing

    days = days_.days(APP, book)
    last = days.previous(days.business_date(now))
    start = last
    for _ in range(LISTED - 1):
        start = days.previous(start)
    return {
        "schema": "tallystick/close/1",
        "book": book,
        "days": [
            {
                "day": each.date.isoformat(),
                "state": each.state.value,
                **(_closed(each.closed) if each.closed and each.state.value == "closed" else {}),
            }
            for each in closing.calendar(APP, book, start, last, now=now)
            if each.state.value != "rest"
        ],
    }


def _day(book: int, day: dt.date, now: dt.datetime) -> dict[str, Any]:
    from tallystick.custody.workbench import checklist, closing

    held = closing.rows(APP, book, day)
    waiting = [
        {"approval": each.reference, "kind": each.kind, "made_by": each.made_by}
        for each in closing.proposals(APP, book)
        if each.state.get("day") == day.isoformat()
    ]
    if held and held[-1].act.value == "closed":
        shown = {"state": "closed", **_closed(held[-1]), "checks": checklist.payload(held[-1].checks)}
    else:
        sheet = closing.sheet(APP, book, day, now=now)
        ready = not sheet.failing and now >= sheet.cut_off_at
        shown = {
            "state": "ready" if ready else "not_ready",
            "position_from": sheet.position_from,
            "position_to": sheet.position_to,
            # Its transfers are read when somebody signs them.
            **({"sha256": sheet.sha256.hex()} if sheet.sha256 else {}),
            "cut_off_at": sheet.cut_off_at.isoformat(),
            "rolled": len(sheet.rolled),
            "checks": checklist.payload(sheet.checks),
        }
    return {
        "schema": "tallystick/close/1",
        "book": book,
        "days": [{"day": day.isoformat(), **shown, "waiting": waiting}],
    }


def _closed(row: closing.Day) -> dict[str, Any]:
    return {
        "position_from": row.position_from,
        "position_to": row.position_to,
        "sha256": row.sha256.hex(),
        "cut_off_at": row.cut_off_at.isoformat(),
        "rolled": row.rolled,
        "prepared_by": row.prepared_by,
        "signed_by": row.signed_by,
    }


def _days_answer(book: int, days: Days) -> dict[str, Any]:
    return {
        "schema": "tallystick/book-days/1",
        "book": book,
        "time_zone": days.time_zone,
        "calendar": days.calendar.value,
        "cut_off": days.cut_off.isoformat("minutes"),
        "write_off_max_minor": days.write_off_max_minor,
        "break_age_max": days.break_age_max,
        "receipt_age_max": days.receipt_age_max,
        "reason": days.reason or None,
        "actor": days.actor or None,
    }


def _tell(told: dict[str, Any]) -> None:
    for each in told["days"]:
        positions = f"{each['position_from']}–{each['position_to']}" if "position_from" in each else ""
        click.echo(f"{each['day']}  {each['state']:<10} {positions}")
        for check in each.get("checks", ()):
            click.echo(f"  {check['result']:<15} {check['check']:<12} {check['subject']} {check['found']}")
        for proposal in each.get("waiting", ()):
            click.echo(f"  {proposal['approval']} {proposal['kind']} {proposal['made_by']}")

"""The ledger at the command line: open books and accounts, post files, read any past state, export.

Whoever may run a command on the server acts as `system:cli`, and may open, define and read. To post, name
the user for whom it is done (`--as`): it stays on record, and the user's own roles decide.
"""

from __future__ import annotations

import contextlib
import json
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from tallystick.cli import ground
from tallystick.core.db import APP, AUDITOR

if TYPE_CHECKING:
    from tallystick.cli.ledger_files import Chunk
    from tallystick.custody.accounts import Account
    from tallystick.custody.book_writer import Results
    from tallystick.custody.history import Balance, Line, Transfer, TrialLine, TrialTotal
    from tallystick.identity.access import Actor

FAMILIES = ("client", "own", "external", "suspense")
STATUSES = ("open", "debits_frozen", "credits_frozen", "frozen", "closed")

CHUNK = 10_000
"""Transfers posted by one call: all or none of them, unless --partial."""

REFUSED_TOLD_MAX = 20
"""Refused lines told one by one; all are counted."""

FINDINGS_TOLD_MAX = 100

EXPORT_PAGE = 10_000

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_book = click.option("--book", type=click.IntRange(1, 899), default=1, show_default=True, help="Its number.")


def _moment(_: click.Context, __: click.Parameter, value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a time like 2026-11-22T17:00:00+08:00") from None
    if moment.tzinfo is None:
        raise click.BadParameter(f"{value!r} does not say its time zone: add +08:00, or Z for UTC")
    return moment


def _as_of(command: Callable[..., None]) -> Callable[..., None]:
    command = click.option("--at-position", type=int, help="As of this position of the book.")(command)
    return click.option(
        "--at-time", callback=_moment, help="As of this time, such as 2026-11-22T17:00:00+08:00."
    )(command)


@click.group()
def ledger() -> None:
    """Books, accounts, transfers and balances."""


# ── books and assets ─────────────────────────────────────────────────────────────────────────────────────


@ledger.group()
def book() -> None:
    """Books: one platform's client money each."""


@book.command("open")
@click.argument("number", type=int)
@click.argument("name")
@click.option(
    "--time-zone", default="Asia/Shanghai", show_default=True, help="Whose days are the book's days."
)
@_json
def book_open(*, number: int, name: str, time_zone: str, as_json: bool) -> None:
    """Open book NUMBER (1 to 899), called NAME."""
    with _standing(as_json):
        from tallystick.custody import books

        opened = books.open_book(APP, number, name, time_zone, actor=_cli(), now=_now())
        _tell(
            as_json,
            asdict(opened),
            f"Book {opened.id}, {opened.name}, is open. Its days: {opened.time_zone}.",
        )


@book.command("list")
@_json
def book_list(*, as_json: bool) -> None:
    """Every book, and how far it has come."""
    with _standing(as_json, reads=True):
        from tallystick.custody import books

        rows = []
        for each in books.books(APP):
            head = books.head(APP, each.id)
            rows.append({**asdict(each), "position": head.position, "recorded_at": head.recorded_at})
        _tell(as_json, {"books": rows}, _table(rows, ("id", "name", "time_zone", "position", "recorded_at")))


@ledger.group()
def asset() -> None:
    """Assets: currencies, and others of your own."""


@asset.command("define")
@click.argument("number", type=int)
@click.argument("code")
@click.argument("scale", type=int)
@click.argument("name")
@_json
def asset_define(*, number: int, code: str, scale: int, name: str, as_json: bool) -> None:
    """Define an asset: NUMBER (from 1000 on), CODE, SCALE (decimals) and NAME.

    Currencies of ISO 4217 are defined when an account first needs them.
    """
    with _standing(as_json):
        from tallystick.custody import assets

        defined = assets.define(APP, number, code, scale, name, actor=_cli(), now=_now())
        _tell(
            as_json,
            asdict(defined),
            f"{defined.code} is asset {defined.number}, with {defined.scale} decimals.",
        )


@asset.command("list")
@_json
def asset_list(*, as_json: bool) -> None:
    """Every asset."""
    with _standing(as_json, reads=True):
        from tallystick.custody import assets

        rows = [asdict(each) for each in assets.assets(APP)]
        _tell(as_json, {"assets": rows}, _table(rows, ("number", "code", "scale", "name")))


# ── accounts ─────────────────────────────────────────────────────────────────────────────────────────────


@ledger.group()
def account() -> None:
    """Accounts: open, list, freeze, close."""


@account.command("open")
@_book
@click.option("--family", type=click.Choice(FAMILIES), required=True)
@click.option("--asset", "asset_code", default="CNY", show_default=True)
@click.option("--owner", default="", help="The client's customer number; for client accounts.")
@click.option("--name", required=True)
@click.option("--reference", required=True, help="Your own name for it; unique in the book.")
@click.option("--ceiling", type=int, help="What the balance may not pass, in minor units.")
@click.option(
    "--no-overdraft/--overdraft", default=None, help="External accounts may be overdrawn by default."
)
@_json
def account_open(
    *,
    book: int,
    family: str,
    asset_code: str,
    owner: str,
    name: str,
    reference: str,
    ceiling: int | None,
    no_overdraft: bool | None,
    as_json: bool,
) -> None:
    """Open one account and print its number."""
    with _standing(as_json):
        from tallystick.custody import accounts
        from tallystick.custody.numbers import Family

        number = accounts.open_account(
            APP,
            book,
            Family[family.upper()],
            asset_code,
            owner=owner,
            name=name,
            reference=reference,
            no_overdraft=no_overdraft,
            ceiling_minor=ceiling,
            actor=_cli(),
            now=_now(),
        )
        told = _account_told(accounts.account(APP, number))
        _tell(as_json, told, str(told["account"]))


@account.command("open-many")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@_book
@_json
def account_open_many(*, file: IO[str], book: int, as_json: bool) -> None:
    """Open the accounts that a CSV FILE names, all or none of each 10,000: family,asset,owner,name,reference."""
    with _standing(as_json):
        from tallystick.cli import ledger_files
        from tallystick.custody import accounts

        wanted = ledger_files.accounts(file)
        opened: list[dict[str, str]] = []
        with _progress("accounts", len(wanted), shown=not as_json) as advance:
            for start in range(0, len(wanted), accounts.OPEN_MANY_MAX):
                part = wanted[start : start + accounts.OPEN_MANY_MAX]
                numbers = accounts.open_many(APP, book, part, actor=_cli(), now=_now())
                opened += [
                    {"account": _account_text(number), "reference": new.reference}
                    for new, number in zip(part, numbers, strict=True)
                ]
                advance(len(part))
        _tell(as_json, {"book": book, "accounts": opened}, _table(opened, ("account", "reference")))


@account.command("list")
@_book
@click.option("--family", type=click.Choice(FAMILIES))
@click.option("--owner", help="Of this client.")
@click.option("--status", type=click.Choice(STATUSES))
@click.option("--search", help="A part of name, reference, owner or number.")
@click.option("--after", help="Those after this account: to turn the page.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@_json
def account_list(
    *,
    book: int,
    family: str | None,
    owner: str | None,
    status: str | None,
    search: str | None,
    after: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Accounts of a book, by number."""
    with _standing(as_json, reads=True):
        from tallystick.custody import accounts
        from tallystick.custody.models import AccountStatus
        from tallystick.custody.numbers import Family

        found = accounts.accounts(
            APP,
            book,
            family=None if family is None else Family[family.upper()],
            owner=owner,
            status=None if status is None else AccountStatus(status),
            search=search,
            after=0 if after is None else _account(after, book).number,
            limit=limit,
        )
        rows = [_account_told(each) for each in found]
        columns = ("account", "family", "asset", "status", "owner", "name", "reference")
        _tell(as_json, {"book": book, "accounts": rows}, _table(rows, columns))


@account.command("state")
@click.argument("name", metavar="ACCOUNT")
@click.argument("status", type=click.Choice(STATUSES), required=False)
@click.option("--reason", help="Why. It stays on record; needed for a change.")
@_book
@_json
def account_state(*, name: str, status: str | None, reason: str | None, book: int, as_json: bool) -> None:
    """Freeze, unfreeze or close ACCOUNT; without a STATUS, tell every state it has had."""
    with _standing(as_json, reads=status is None):
        from tallystick.custody import accounts
        from tallystick.custody.models import AccountStatus

        found = _account(name, book)
        if status is not None:
            if not reason:
                raise click.UsageError("a change needs a --reason")
            accounts.change_state(APP, found.number, AccountStatus(status), reason, actor=_cli(), now=_now())
        rows = [asdict(each) for each in accounts.states(APP, found.number)]
        columns = ("at", "status", "no_overdraft", "ceiling_minor", "reason", "actor")
        _tell(as_json, {"account": found.text, "states": rows}, _table(rows, columns))


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


@ledger.command()
@click.argument("name", metavar="ACCOUNT")
@_book
@_as_of
@_json
def balance(
    *, name: str, book: int, at_position: int | None, at_time: datetime | None, as_json: bool
) -> None:
    """What stands on ACCOUNT (acc_… or its reference), now or as of a position or a time."""
    with _standing(as_json, reads=True):
        from tallystick.custody import history

        found = _account(name, book)
        _one_of(at_position, at_time)
        read = history.balance(APP, found.number, at_position=at_position, at_time=at_time)
        told = {"account": found.text, "asset": found.asset, "scale": found.scale, **_balance_told(read)}
        line = f"{_amount(read.balance_minor, found)}, available {_amount(read.available_minor, found)}"
        _tell(as_json, told, f"{line}, as of position {read.position}")


@ledger.command()
@click.argument("name", metavar="ACCOUNT")
@_book
@click.option("--after-position", type=int, default=0, show_default=True, help="Lines after this position.")
@click.option("--to-position", type=int, help="Lines up to this position.")
@click.option("--from-time", callback=_moment, help="Lines recorded from this time on.")
@click.option("--to-time", callback=_moment, help="Lines recorded before this time.")
@_json
def statement(
    *,
    name: str,
    book: int,
    after_position: int,
    to_position: int | None,
    from_time: datetime | None,
    to_time: datetime | None,
    as_json: bool,
) -> None:
    """What came to ACCOUNT and went from it, between two positions or two times."""
    with _standing(as_json, reads=True):
        from tallystick.custody import history

        found = _account(name, book)
        # A time is told as the last position before it, so that months follow one another without a gap.
        if from_time is not None:
            after_position = history.position_before(APP, found.book, from_time)
        if to_time is not None:
            to_position = history.position_before(APP, found.book, to_time)
        read = history.statement(APP, found.number, after_position=after_position, to_position=to_position)
        rows = [_line_told(line) for line in read.lines]
        told = {
            "account": found.text,
            "asset": found.asset,
            "scale": found.scale,
            "opening": _balance_told(read.opening),
            "lines": rows,
            "closing": _balance_told(read.closing),
        }
        shown = [
            {
                **row,
                "amount": _amount(row["amount_minor"], found),
                "balance": _amount(row["balance_minor"], found),
            }
            for row in rows
        ]
        columns = ("position", "recorded_at", "value_date", "kind", "code", "amount", "balance", "reference")
        lines = [
            f"Opening balance {_amount(read.opening.balance_minor, found)}, position {read.opening.position}",
            _table(shown, columns),
            f"Closing balance {_amount(read.closing.balance_minor, found)}, position {read.closing.position}",
        ]
        _tell(as_json, told, "\n".join(line for line in lines if line))


@ledger.command("trial-balance")
@_book
@_as_of
@click.option("--totals", "only_totals", is_flag=True, help="Families alone, not every account.")
@_json
def trial_balance(
    *, book: int, at_position: int | None, at_time: datetime | None, only_totals: bool, as_json: bool
) -> None:
    """Every account's balance and the totals that must agree; exit 1 where debits and credits do not."""
    with _standing(as_json, reads=True):
        from tallystick.custody import history

        _one_of(at_position, at_time)
        position = history.as_of(APP, book, at_position=at_position, at_time=at_time)
        totals = history.totals(APP, book, at_position=position)
        lines = [] if only_totals else history.trial_balance(APP, book, at_position=position).lines
        difference = history.difference(totals)
        agree = not any(difference.values())
        told = {
            "book": book,
            "position": position,
            "lines": [_trial_line_told(each) for each in lines],
            "totals": [_trial_total_told(each) for each in totals],
            "difference_minor": difference,
        }
        shown = [
            *(_trial_shown(each.balance, each, account=_account_text(each.account)) for each in lines),
            *(_trial_shown(each, each, account=f"{each.accounts} accounts") for each in totals),
        ]
        columns = ("account", "family", "asset", "debit", "credit", "reference")
        state = "Debits and credits agree" if agree else f"DIFFERENCE {difference}"
        _tell(as_json, told, f"{_table(shown, columns)}\n{state}, as of position {position}.".lstrip())
        if not agree:
            sys.exit(1)


@ledger.command()
@_book
@click.option("--from-position", type=int, default=0, show_default=True, help="Trust the state up to here.")
@click.option("--to-position", type=int, help="The last one checked; else the book's last.")
@_json
def audit(*, book: int, from_position: int, to_position: int | None, as_json: bool) -> None:
    """Work out every figure of a book again from its transfers and compare; exit 1 where anything differs.

    Reads one snapshot as the auditor's own database role, while the book goes on being posted to.
    """
    with _standing(as_json, reads=True):
        from tallystick.custody import audit as audits
        from tallystick.custody import books

        found = books.book(AUDITOR, book)
        read = audits.verify(AUDITOR, found.id, from_position=from_position, to_position=to_position)
        findings = [
            {**asdict(each), "account": _account_text(each.account) if each.account else None}
            for each in read.findings
        ]
        told = {**asdict(read), "clean": read.is_clean, "findings": findings}
        state = f"{len(findings)} findings" if findings else "nothing to find"
        lines = [f"{read.transfers} transfers over {read.accounts} accounts: {state}."]
        for each in findings[:FINDINGS_TOLD_MAX]:
            lines.append(f"{each['check']}, position {each['position']}, {each['account']}: {each['detail']}")
        _tell(as_json, told, "\n".join(lines))
        if findings:
            sys.exit(1)


@ledger.group()
def transfer() -> None:
    """Single transfers."""


@transfer.command("show")
@click.argument("transfer_id", metavar="ID")
@_book
@_json
def transfer_show(*, transfer_id: str, book: int, as_json: bool) -> None:
    """The transfer ID (trf_…, or a position of the book), and what became of it."""
    with _standing(as_json, reads=True):
        from tallystick.custody import history

        if transfer_id.isdecimal():
            found = history.transfer_at(APP, book, int(transfer_id))
        else:
            found = history.transfer(APP, transfer_id)
        settled = history.settled_by(APP, found.book, found.position)
        reversed_ = history.reversed_by(APP, found.book, found.position)
        told = {
            **_transfer_told(found),
            "settled_by": None if settled is None else settled.id,
            "reversed_by": None if reversed_ is None else reversed_.id,
        }
        width = max(len(name) for name in told)
        lines = [f"{name:<{width}}  {_cell(value)}" for name, value in told.items() if value is not None]
        _tell(as_json, told, "\n".join(lines))


# ── files ────────────────────────────────────────────────────────────────────────────────────────────────


@ledger.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@_book
@click.option("--as", "username", required=True, help="The user for whom it is done; their roles decide.")
@click.option("--format", "form", type=click.Choice(("csv", "ndjson")), help="Else by the file's name.")
@click.option(
    "--partial", is_flag=True, help="Post what can be posted; else each chunk is posted whole or not."
)
@click.option(
    "--chunk", type=click.IntRange(1, CHUNK), default=CHUNK, show_default=True, help="Transfers a call."
)
@_json
def post(
    *, file: str, book: int, username: str, form: str | None, partial: bool, chunk: int, as_json: bool
) -> None:
    """Post the transfers of FILE (CSV or NDJSON; - is standard input); exit 1 where any was refused.

    The same file can be posted again: what was posted stays as it is. A refusal is final for its id, so a
    corrected line takes a new id; the lines beside it keep theirs.
    """
    with _standing(as_json):
        from tallystick.cli import ledger_files
        from tallystick.custody import books, posting

        actor = _user(username)
        books.book(APP, book)
        form = ledger_files.format_of(file, form)
        if form is None:
            raise click.UsageError(
                "the file's name does not say what it is: add --format csv or --format ndjson"
            )
        told = _Posted()
        try:
            if file != "-":
                # First the whole file is read: what is malformed at its end must not leave its beginning posted.
                with _opened(file) as lines:
                    for each in ledger_files.chunks(lines, form, chunk):
                        each.checked()
            size = 0 if file == "-" else Path(file).stat().st_size
            with _opened(file) as lines, _progress("posting", size, shown=not as_json) as advance:
                for each in ledger_files.chunks(_counted(lines, advance), form, chunk):
                    if not _post_chunk(told, each, book, actor, partial=partial):
                        break
        finally:
            posting.close()
        _tell(as_json, {"book": book, **told.told()}, told.text())
        if told.refused:
            sys.exit(1)


@ledger.command()
@_book
@click.option(
    "--format", "form", type=click.Choice(("csv", "ndjson")), help="Else by the file's name, else CSV."
)
@click.option("--output", type=click.Path(dir_okay=False), default="-", help="Else standard output.")
@click.option("--after-position", type=int, default=0, show_default=True)
@click.option("--to-position", type=int)
@click.option("--account", "name", help="Only what touched this account.")
def export(
    *,
    book: int,
    form: str | None,
    output: str,
    after_position: int,
    to_position: int | None,
    name: str | None,
) -> None:
    """Write a book's transfers, by position, as CSV or NDJSON."""
    with _standing(False):
        from tallystick.cli import ledger_files
        from tallystick.custody import history
        from tallystick.identity import access

        access.require(APP, _cli(), "custody.export")
        filters = history.ALL if name is None else history.Filters(account=_account(name, book).number)
        # One position for all pages: what is posted meanwhile is left for the next export.
        last = history.as_of(APP, book, at_position=to_position)
        form = ledger_files.format_of(output, form) or "csv"
        shown = output != "-"
        with (
            click.open_file(output, "w", encoding="utf-8", atomic=shown) as file,
            _progress("transfers", max(last - after_position, 0), shown=shown) as advance,
        ):
            write = ledger_files.writer(file, form)
            while page := history.transfers(
                APP, book, after=after_position, to_position=last, limit=EXPORT_PAGE, filters=filters
            ):
                for each in page:
                    write(each)
                advance(page[-1].position - after_position)
                after_position = page[-1].position


@ledger.command("opening-balances")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--trial-balance", "trial", type=click.File("r", encoding="utf-8"), required=True)
@click.option("--value-date", type=click.DateTime(("%Y-%m-%d",)), required=True, help="The day they are of.")
@_book
@_json
def opening_balances(
    *, file: IO[str], trial: IO[str], value_date: datetime, book: int, as_json: bool
) -> None:
    """Take over another ledger's balances: FILE has account,balance; its trial balance must agree."""
    with _standing(as_json):
        from tallystick.custody import opening, posting

        try:
            opened = opening.take_over(
                APP,
                book,
                opening.read_balances(file),
                opening.read_trial_balance(trial),
                date(value_date.year, value_date.month, value_date.day),
                actor=_cli(),
                now=_now(),
            )
        finally:
            posting.close()
        line = f"{opened.accounts} accounts opened by {opened.transfers} transfers"
        _tell(
            as_json,
            {"book": book, **asdict(opened)},
            f"{line}, positions {opened.first_position} to {opened.last_position}.",
        )


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


class _Posted:
    """What became of a file, so far."""

    def __init__(self) -> None:
        self.accepted = self.replayed = self.refused = 0
        self.reasons: dict[str, int] = {}
        self.lines: list[dict[str, object]] = []
        self.first_position: int | None = None
        self.last_position: int | None = None
        self.stopped_at_line: int | None = None

    def count(self, chunk: Chunk, results: Results) -> None:
        """Add the results of a chunk."""
        for i, line in enumerate(chunk.lines):
            refusal = results.refusal_of(i)
            if refusal is None:
                position = int(results.position[i])
                self.first_position = min(self.first_position or position, position)
                self.last_position = max(self.last_position or position, position)
                self.replayed += bool(results.replayed[i])
                self.accepted += 1
                continue
            self.refused += 1
            self.reasons[refusal.code] = self.reasons.get(refusal.code, 0) + 1
            if len(self.lines) < REFUSED_TOLD_MAX and refusal.code != "linked_transfer_refused":
                told = {
                    "line": line,
                    "id": chunk.requests[i].id,
                    "code": refusal.code,
                    "detail": refusal().message,
                }
                self.lines.append(told)

    def told(self) -> dict[str, object]:
        """For --json."""
        return {
            "accepted": self.accepted,
            "replayed": self.replayed,
            "refused": self.refused,
            "reasons": self.reasons,
            "refused_lines": self.lines,
            "first_position": self.first_position,
            "last_position": self.last_position,
            "stopped_at_line": self.stopped_at_line,
        }

    def text(self) -> str:
        """For a person."""
        lines = [f"{self.accepted} accepted ({self.replayed} of them before), {self.refused} refused."]
        lines += [f"line {each['line']}: {each['code']}: {each['detail']}" for each in self.lines]
        if self.stopped_at_line is not None:
            lines.append(
                f"Nothing from line {self.stopped_at_line} on was posted. Correct the lines named above, give each"
                " of them a new id, and post the file again; or post with --partial."
            )
        return "\n".join(lines)


def _post_chunk(told: _Posted, chunk: Chunk, book: int, actor: Actor, *, partial: bool) -> bool:
    """Whether to go on with the next chunk."""
    import msgspec

    from tallystick.custody import ledger as writer
    from tallystick.custody.numbers import BookId

    requests = list(chunk.requests)
    if not partial:
        requests[:-1] = [msgspec.structs.replace(each, linked=True) for each in requests[:-1]]
    results = writer.post(APP, BookId(book), requests, actor=actor, now=_now())
    told.count(chunk, results)
    if not partial and told.refused:
        told.stopped_at_line = chunk.lines[0]
        return False
    return True


@contextlib.contextmanager
def _standing(as_json: bool, *, reads: bool = False) -> Iterator[None]:
    """The server runs and Django is set up; refusals end the command with a line."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        if reads:
            from tallystick.identity import access

            access.require(APP, _cli(), "custody.read_ledger")
        yield


def _cli() -> Actor:
    from tallystick.identity.access import Actor

    return Actor.system("cli")


def _user(username: str) -> Actor:
    from tallystick.identity import users

    user = users.find(APP, username)
    if user is None:
        raise click.BadParameter(f"nobody is called {username}", param_hint="--as")
    return users.actor(APP, user.pk)


def _account(name: str, book: int) -> Account:
    from tallystick.custody import accounts, numbers

    try:
        number = numbers.parse_account(name)
    except ValueError:
        return accounts.account_of_reference(APP, book, name)
    return accounts.account(APP, number)


def _one_of(at_position: int | None, at_time: datetime | None) -> None:
    if at_position is not None and at_time is not None:
        raise click.UsageError("--at-position and --at-time exclude each other")


def _now() -> datetime:
    return datetime.now(UTC)


def _account_text(number: int) -> str:
    from tallystick.custody import numbers

    return numbers.account_text(number)


def _account_told(found: Account) -> dict[str, Any]:
    told = asdict(found)
    del told["number"]
    return {
        "account": found.text,
        **told,
        "family": found.family.name.lower(),
        "normal_side": found.normal_side.name.lower(),
    }


def _balance_told(read: Balance) -> dict[str, Any]:
    told = asdict(read)
    del told["account"]
    return {
        **told,
        "balance_minor": read.balance_minor,
        "available_minor": read.available_minor,
        "held_minor": read.held_minor,
        "expected_minor": read.expected_minor,
    }


def _trial_line_told(line: TrialLine) -> dict[str, Any]:
    return {
        "account": _account_text(line.account),
        "family": line.family.name.lower(),
        "asset": line.asset,
        "scale": line.scale,
        "owner": line.owner,
        "reference": line.reference,
        "debits_posted": line.balance.debits_posted,
        "credits_posted": line.balance.credits_posted,
        "balance_minor": line.balance.balance_minor,
        "held_minor": line.balance.held_minor,
    }


def _trial_total_told(total: TrialTotal) -> dict[str, Any]:
    return {**asdict(total), "family": total.family.name.lower(), "balance_minor": total.balance_minor}


def _trial_shown(totals: Balance | TrialTotal, of: TrialLine | TrialTotal, *, account: str) -> dict[str, Any]:
    from tallystick.core import money

    return {
        "account": account,
        "family": of.family.name.lower(),
        "asset": of.asset,
        "debit": money.major(totals.debits_posted, of.scale),
        "credit": money.major(totals.credits_posted, of.scale),
        "reference": getattr(of, "reference", ""),
    }


def _line_told(line: Line) -> dict[str, Any]:
    from tallystick.custody import numbers

    authorisation = line.authorisation
    return {
        **asdict(line),
        "kind": line.kind.label,
        "code": line.code.text,
        "counter_account": numbers.account_text(line.counter_account),
        "authorisation": None if authorisation is None else numbers.authorisation_text(authorisation),
        "metadata": None if line.metadata is None else json.loads(line.metadata),
    }


def _transfer_told(found: Transfer) -> dict[str, Any]:
    from tallystick.cli import ledger_files

    told = {name: of(found) for name, of in ledger_files.EXPORTED.items()}
    return {
        "book": found.book,
        **told,
        "metadata": None if found.metadata is None else json.loads(found.metadata),
    }


def _amount(amount_minor: int, found: Account) -> str:
    from tallystick.core import money

    return f"{money.major(amount_minor, found.scale)} {found.asset}"


def _opened(file: str) -> Any:
    return click.open_file(file, "r", encoding="utf-8")


def _counted(lines: IO[str], advance: Callable[[int], None]) -> Iterator[str]:
    """The lines, and progress by how much of the file they are."""
    read = 0
    for line in lines:
        read += len(line.encode())
        if read > 1 << 16:
            advance(read)
            read = 0
        yield line
    advance(read)


@contextlib.contextmanager
def _progress(what: str, length: int, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where somebody looks at it."""
    if not shown or not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=length, label=what, file=sys.stderr) as bar:
        yield bar.update


def _tell(as_json: bool, answer: dict[str, Any], text: str) -> None:
    click.echo(json.dumps(answer, ensure_ascii=False, default=_cell) if as_json else text)


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds" if not value.microsecond else "microseconds")
    return "" if value is None else str(value)


def _table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """Rows under their headings, each column as wide as its widest cell; Chinese counts double."""
    if not rows:
        return ""
    cells = [list(columns), *([_cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(_width(row[i]) for row in cells) for i in range(len(columns))]
    return "\n".join(
        "  ".join(
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in cells
    )


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)

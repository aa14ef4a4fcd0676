"""Bank statements at the command line: check files, import them, reconcile them to the ledger.

`check` needs no database and writes nothing. `import` and `reconcile` act as `system:cli`. Bars and words
for a person go to standard error and standard output apart: with `--json` standard output holds one JSON
document and nothing else.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tallystick.cli import ground
from tallystick.core import money
from tallystick.core.db import APP

if TYPE_CHECKING:
    from tallystick.custody import accounts, reconciliation, sides, statement_files
    from tallystick.custody.statements import file as statement_file
    from tallystick.custody.statements.mapping import Mapping
    from tallystick.custody.statements.notes import Note

BAR_BYTES_MIN = 1 << 20
"""Shorter files are read before a bar could be seen."""

_encoding = click.option(
    "--encoding", help="Of files that name none, where their bytes do not show it: gb18030, cp852."
)
_mapping = click.option(
    "--mapping",
    "mapping_paths",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What the columns of a CSV file are, in YAML or JSON; of several, the first that has its header.",
)


@click.group()
def statements() -> None:
    """Bank statements: check files, import them."""


@statements.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@_mapping
@_encoding
@ground.json_option
def check(
    *, paths: tuple[Path, ...], mapping_paths: tuple[Path, ...], encoding: str | None, as_json: bool
) -> None:
    """Read statement files and say of each what it is; whole directories too. Nothing is kept.

    Exit code 0 when every file got an answer, whatever the answer.
    """
    _words()
    with ground.refusals(as_json=as_json):
        mappings = _mappings(mapping_paths)
    files = [path for given in paths for path in _files(given)]
    answers = []
    with _bar(shown=not as_json, whole=sum(path.stat().st_size for path in files)) as advance:
        done = 0
        for path in files:
            answers.append(_checked(path, encoding, mappings, functools.partial(_further, advance, done)))
            done += path.stat().st_size
            advance(done)
    if as_json:
        click.echo(json.dumps(answers, ensure_ascii=False, indent=1))
        return
    _print_checked(answers)


@statements.command("import")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option(
    "--account", help="The control account, acc_…; else the one whose reference is the file's account."
)
@ground.book_option
@_mapping
@_encoding
@ground.json_option
def import_(
    *,
    files: tuple[Path, ...],
    account: str | None,
    book: int | None,
    mapping_paths: tuple[Path, ...],
    encoding: str | None,
    as_json: bool,
) -> None:
    """Import statement files, each whole or not at all; the same file again changes nothing.

    Exit code 2 where a file was refused; the other files are imported all the same.
    """
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        mappings = _mappings(mapping_paths)
        number = _account_number(account) if account else None
        found = book if number is not None else ground.book_of(book)
        answers = []
        for path in files:
            with _bar(shown=not as_json, whole=2 * path.stat().st_size) as advance:
                answers.append(_imported(path, number, found, encoding, mappings, advance))
    if as_json:
        told = {"schema": "tallystick/statements-import/1", "files": answers}
        click.echo(json.dumps(told, ensure_ascii=False, indent=1))
    else:
        _print_imported(answers)
    if any(answer["status"] == "refused" for answer in answers):
        sys.exit(2)


@click.command()
@ground.book_option
@click.option("--account", "account_texts", multiple=True, help="A control account, acc_…; else every one.")
@click.option(
    "--to", type=click.DateTime(["%Y-%m-%d"]), help="Statements that end after this day do not count."
)
@click.option(
    "--window-days", type=click.IntRange(0, 31), help="How far apart lines without a reference may be."
)
@click.option("--timing-days", type=click.IntRange(0, 31), help="How long the bank may take to book.")
@ground.json_option
def reconcile(
    *,
    book: int | None,
    account_texts: tuple[str, ...],
    to: dt.datetime | None,
    window_days: int | None,
    timing_days: int | None,
    as_json: bool,
) -> None:
    """Match bank statements with the ledger's control accounts, and explain what differs to the last unit."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.custody import accounts, matching, reconciliation
        from tallystick.identity.access import Actor

        found = ground.book_of(book)
        wanted = [accounts.account(APP, _account_number(text)) for text in account_texts]
        every = not wanted
        if every:
            wanted = [each for each in accounts.external(APP, found) if _has_statements(each)]
        done = []
        for account in wanted:
            with _reading(account.name, shown=not as_json) as advance:
                outcome = reconciliation.reconcile(
                    APP,
                    found,
                    account.number,
                    to=to.date() if to else None,
                    window_days=matching.WINDOW_DAYS if window_days is None else window_days,
                    timing_days=matching.TIMING_DAYS if timing_days is None else timing_days,
                    told=advance,
                    actor=Actor.system("cli"),
                    now=dt.datetime.now(dt.UTC),
                )
            done.append((account, outcome))
    if as_json:
        told = {
            "schema": "tallystick/reconcile/1",
            "book": found,
            "accounts": [reconciled_answer(account, outcome) for account, outcome in done],
        }
        click.echo(json.dumps(told, ensure_ascii=False, indent=1))
        return
    if not done:
        click.echo(
            _("No control account of book {book} has statements: import one first.").format(book=found)
        )
    for account, outcome in done:
        _print_reconciled(account, outcome)


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────


def reconciled_answer(account: accounts.Account, outcome: reconciliation.Reconciled) -> dict[str, Any]:
    """One account of the answer of `reconcile --json`."""
    summary = outcome.summary
    return {
        "account": account.text,
        "name": account.name,
        "currency": account.asset,
        "scale": account.scale,
        "reconciliation": summary.id,
        "cut_off": summary.cut_off.isoformat(),
        "position": summary.position,
        "bank_total_minor": summary.bank_balance_minor,
        "ledger_total_minor": summary.ledger_balance_minor,
        "difference_minor": summary.difference_minor,
        "unexplained_minor": summary.unexplained_minor,
        "matched": summary.matched,
        "matched_by": outcome.matched_by,
        "breaks": outcome.breaks_by_kind,
        "effect_minor": outcome.effect_by_kind,
        "digest": summary.digest.hex(),
        "lines": [
            {
                "number": each.number,
                "kind": str(each.kind),
                "effect_minor": each.effect_minor,
                "day": each.day.isoformat(),
                "reference": each.reference,
                "twin": each.twin,
                "file": each.file,
                "line": each.line,
                "position": each.position,
                "bank_minor": each.bank_minor,
                "ledger_minor": each.ledger_minor,
                "text": each.text,
            }
            for each in outcome.breaks
        ],
    }


def _further(advance: Callable[[int], None], before: int, read: int) -> None:
    """A bar over several files: what the files before had, and what of this one has been read."""
    advance(before + read)


def checked_answer(path: str, judged: statement_file.Judgement) -> dict[str, Any]:
    """One file of the answer of `statements check --json`."""
    from tallystick.custody.statements import errors

    refusal = judged.refusal
    answer: dict[str, Any] = {
        "path": path,
        "format": judged.format_name,
        "status": judged.status,
        "encoding": judged.encoding,
        # Every entry of the file; how many of them the bank has not booked stands beside it.
        "entries": judged.entries + judged.not_booked,
        "not_booked": judged.not_booked,
        "statements": len(judged.statements),
        "kinds": sorted({row.kind for row in judged.statements}),
        "sum_check": judged.sum_check,
        "totals": [
            {
                "account": each.account,
                "currency": each.currency,
                "opening_minor": each.opening_minor,
                "closing_minor": each.closing_minor,
                "credits_minor": each.credits_minor,
                "debits_minor": each.debits_minor,
            }
            for each in judged.statements
        ],
        "notes": _notes(judged.notes),
    }
    if refusal is not None:
        answer |= {"code": refusal.code, "reason": refusal.message}
    if isinstance(refusal, errors.StatementRefused):
        answer |= {
            "line": refusal.line,
            "field": refusal.field,
            "expected": refusal.expected,
            "what_to_do": refusal.advice,
        }
    return answer


def _checked(
    path: Path, encoding: str | None, mappings: Sequence[Mapping], progress: Callable[[int], None]
) -> dict[str, Any]:
    from tallystick.custody.statements import file as statement_file

    try:
        with path.open("rb") as source:
            judged = statement_file.judge(source, encoding=encoding, mappings=mappings, progress=progress)
    except OSError as failure:
        # A file that cannot be read has an answer too: the others must not wait for it.
        told: dict[str, Any] = {"path": str(path), "format": "unknown", "status": "refused", "encoding": ""}
        told |= {"entries": 0, "not_booked": 0, "kinds": []}
        told |= {"statements": 0, "sum_check": "absent", "notes": [], "code": "unreadable", "line": 0}
        return told | {
            "reason": failure.strerror or str(failure),
            "field": "",
            "expected": "",
            "what_to_do": "",
        }
    return checked_answer(str(path), judged)


def _imported(
    path: Path,
    account: int | None,
    book: int | None,
    encoding: str | None,
    mappings: Sequence[Mapping],
    advance: Callable[[int], None],
) -> dict[str, Any]:
    from tallystick.core.errors import Refusal
    from tallystick.custody import statement_files
    from tallystick.custody.statements.errors import StatementRefused
    from tallystick.identity.access import Actor
    from tallystick.identity.errors import AccessDenied

    actor, now = Actor.system("cli"), dt.datetime.now(dt.UTC)
    with path.open("rb") as source:
        try:
            found = statement_files.import_file(
                APP,
                path.name,
                source,
                bank_account=account,
                book=book,
                actor=actor,
                now=now,
                encoding=encoding,
                mappings=mappings,
                progress=lambda done, _whole: advance(done),
            )
        except AccessDenied:
            raise
        except Refusal as refusal:
            statement_files.record_refusal(APP, source, refusal, actor=actor, now=now)
            told: dict[str, Any] = {"path": str(path), "status": "refused"}
            told |= {"code": refusal.code, "reason": refusal.message}
            if isinstance(refusal, StatementRefused):
                told |= {"line": refusal.line, "field": refusal.field, "what_to_do": refusal.advice}
            return told
    return imported_answer(str(path), found)


def imported_answer(path: str, found: statement_files.Imported) -> dict[str, Any]:
    """One file of the answer of `statements import --json`."""
    from tallystick.custody.numbers import account_text

    return {
        "path": path,
        "status": "repeated" if found.repeated else "imported",
        "file": found.file,
        "account": account_text(found.bank_account),
        "format": found.format_name,
        "encoding": found.encoding,
        "sha256": found.sha256.hex(),
        "statements": found.statements,
        "statements_known": found.statements_known,
        "entries": found.entries,
        "notes": _notes(found.notes),
    }


def _notes(notes: Sequence[Note]) -> list[dict[str, Any]]:
    return [{"line": each.line, "code": each.code, "text": each.text} for each in notes]


# ── for a person ─────────────────────────────────────────────────────────────────────────────────────────


def _print_checked(answers: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(_("File"), _("Format"), _("Entries"), _("Sum"), _("Answer"), box=None, pad_edge=False)
    for answer in answers:
        if answer["status"] == "ok":
            told = _("sound") + "".join(f"\n  {note['line']}: {note['text']}" for note in answer["notes"][:5])
        elif "line" in answer:
            told = _("refused, line {line}: {reason}").format(**answer) + f"\n  → {answer['what_to_do']}"
        else:
            told = _("no statement")
        table.add_row(
            answer["path"], answer["format"], str(answer["entries"]), str(answer["sum_check"]), told
        )
    _console().print(table)
    counts = {status: sum(each["status"] == status for each in answers) for status in _STATUSES}
    click.echo(_("{ok} sound, {refused} refused, {not_a_statement} no statements.").format(**counts))


_STATUSES = ("ok", "refused", "not_a_statement")


def _print_imported(answers: list[dict[str, Any]]) -> None:
    for answer in answers:
        if answer["status"] == "refused":
            where = f":{answer['line']}" if "line" in answer else ""
            click.echo(f"{answer['path']}{where}  " + _("refused") + f"  {answer['reason']}")
            if answer.get("what_to_do"):
                click.echo(f"  → {answer['what_to_do']}")
            continue
        told = (
            _("imported before as {file}: nothing was changed")
            if answer["status"] == "repeated"
            else _("imported as {file}: {statements} statements, {entries} lines")
        )
        click.echo(f"{answer['path']}  {told.format(**answer)}")
        for note in answer["notes"][:20]:
            click.echo(f"  {note['line']}: {note['text']}")


def _print_reconciled(account: accounts.Account, outcome: reconciliation.Reconciled) -> None:
    from rich.table import Table

    summary = outcome.summary

    def shown(minor: int) -> str:
        return money.major(minor, account.scale)

    console = _console()
    console.print(f"[bold]{account.name}[/bold]  {account.text}  {account.asset}  {summary.cut_off}")
    proof = Table(box=None, show_header=False, pad_edge=False)
    proof.add_column()
    proof.add_column(justify="right")
    proof.add_column(justify="right")
    proof.add_row(_("The ledger says"), "", shown(summary.ledger_balance_minor))
    for kind, count in outcome.breaks_by_kind.items():
        if count:
            proof.add_row(f"  {kind}", str(count), shown(outcome.effect_by_kind[kind]))
    proof.add_row(_("The bank says"), "", shown(summary.bank_balance_minor))
    proof.add_row(_("Unexplained"), "", shown(summary.unexplained_minor))
    console.print(proof)
    click.echo(
        _("{matched} lines matched, {breaks} breaks.").format(matched=summary.matched, breaks=summary.breaks)
    )
    if not outcome.breaks:
        return
    table = Table(
        _("Day"), _("Kind"), _("Bank"), _("Ledger"), _("Reference"), _("Where"), box=None, pad_edge=False
    )
    for each in outcome.breaks[:50]:
        where = f"{each.file}:{each.line}" if each.file else ""
        position = f"#{each.position}" if each.position else ""
        table.add_row(
            each.day.isoformat(),
            str(each.kind),
            "" if each.bank_minor is None else shown(each.bank_minor),
            "" if each.ledger_minor is None else shown(each.ledger_minor),
            each.reference,
            f"{where} {position} {each.twin and '← ' + each.twin}".strip(),
        )
    console.print(table)


def _console() -> Any:
    from rich.console import Console

    # A path or a reason is never cut where the output goes to a file or another program.
    return Console(width=None if sys.stdout.isatty() else 400, highlight=False)


@contextlib.contextmanager
def _bar(*, shown: bool, whole: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where a person looks and there is something to wait for."""
    if not shown or whole < BAR_BYTES_MIN or not sys.stderr.isatty():
        yield lambda _done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=whole)
        yield lambda done: bar.update(task, completed=done)


@contextlib.contextmanager
def _reading(name: str, *, shown: bool) -> Iterator[sides.Told | None]:
    """A bar for each thing that is read for an account, on standard error where a person looks."""
    if not shown or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bar:
        tasks = {}

        def told(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(name, total=None)
            bar.update(tasks[what], completed=done, total=of or None)

        yield told


# ── what was meant ───────────────────────────────────────────────────────────────────────────────────────


def _(text: str) -> str:
    """In the language of the moment. Imported late, so that `--help` needs no Django."""
    from django.utils.translation import gettext

    return gettext(text)


def _words() -> None:
    """Django's translations, without a database."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tallystick.settings")
    import django

    django.setup()


def _mappings(paths: Sequence[Path]) -> list[Mapping]:
    from tallystick.custody.statements import mapping

    return [mapping.load(path.read_bytes()) for path in paths]


def _files(given: Path) -> Iterator[Path]:
    if not given.is_dir():
        yield given
        return
    yield from sorted(path for path in given.rglob("*") if path.is_file())


def _account_number(text: str) -> int:
    from tallystick.custody import numbers

    try:
        return numbers.parse_account(text)
    except ValueError as wrong:
        raise click.BadParameter(str(wrong), param_hint="--account") from None


def _has_statements(account: accounts.Account) -> bool:
    from tallystick.custody import statement_files

    return bool(statement_files.files(APP, account.number, limit=1))

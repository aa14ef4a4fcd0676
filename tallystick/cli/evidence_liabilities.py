"""`tallystick evidence liabilities`: state what is owed and what is there, prove it to a client, build it again.

All but `rebuild` act as `system:cli`; `rebuild` needs no database: the bank and the regulator run it on machines
of their own, with the three files they were handed.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tallystick.cli import ground
from tallystick.core.db import APP

if TYPE_CHECKING:
    from tallystick.custody.solvency import statements

_OUT = click.Path(dir_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_workers = click.option(
    "--workers", type=click.IntRange(1, 64), default=os.cpu_count() or 1, help="Processors to use.  [all]"
)


@click.group()
def liabilities() -> None:
    """What clients are owed and what is there: state it, prove it, build it again."""


@liabilities.command()
@ground.book_option
@click.option("--date", "day", type=click.DateTime(["%Y-%m-%d"]), help="The day; else the last that is over.")
@click.option("--strict", is_flag=True, help="Exit code 3 where it is not covered.")
@_workers
@ground.json_option
def state(*, book: int | None, day: dt.datetime | None, strict: bool, workers: int, as_json: bool) -> None:
    """State a day: build the trees, compare with the bank, chain the statement, tell the log."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from django.conf import settings

        from tallystick.custody import books
        from tallystick.custody.solvency import statements
        from tallystick.identity.access import Actor

        found = books.book(APP, ground.book_of(book))
        wanted = day.date() if day else found.today(_now()) - dt.timedelta(days=1)
        made = statements.state(
            APP,
            found.id,
            wanted,
            folder=settings.LIABILITIES_FOLDER,
            actor=Actor.system("cli"),
            now=_now(),
            workers=workers,
        )
    _tell(made, as_json=as_json)
    if strict and made.state != "covered":
        sys.exit(3)


@liabilities.command()
@click.argument("statement")
@click.option("--out", type=_OUT, help="Write the statement's text, in its exact bytes.")
@ground.json_option
def show(*, statement: str, out: Path | None, as_json: bool) -> None:
    """Show a STATEMENT (sol_…) that was made before."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.custody.solvency import statements

        found = statements.statement(APP, statement)
    if out is not None:
        out.write_text(found.text, encoding="utf-8")
    _tell(found, as_json=as_json)


@liabilities.command()
@click.argument("statement")
@click.argument("account")
@click.option("--out", type=_OUT, required=True, help="Where to: it is for the account's owner alone.")
def prove(*, statement: str, account: str, out: Path) -> None:
    """Write the proof that ACCOUNT (acc_…) is counted in a STATEMENT (sol_…). `tallystick verify` checks it."""
    with ground.refusals():
        ground.stand()
        from django.conf import settings

        from tallystick.custody import accounts, numbers
        from tallystick.custody.solvency import statements, trees

        try:
            number = numbers.parse_account(account)
        except ValueError as wrong:
            raise click.BadParameter(str(wrong), param_hint="ACCOUNT") from None
        found, told = statements.statement(APP, statement), accounts.account(APP, number)
        kept = trees.kept(APP, found.id, told.asset)
        _write_privately(out, trees.prove(APP, kept, told, settings.LIABILITIES_FOLDER))


@liabilities.command("hand-over")
@click.argument("statement")
@click.option("--asset", required=True, help="Such as CNY.")
@click.option("--recipient", required=True, help="To whom: the bank, the regulator.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="A directory for the files.",
)
def hand_over(*, statement: str, asset: str, recipient: str, out: Path) -> None:
    """Write what a STATEMENT's tree is built again from: snapshot, key, statement. It holds every balance."""
    with ground.refusals():
        ground.stand()
        from django.conf import settings

        from tallystick.custody.solvency import statements, trees
        from tallystick.identity.access import Actor

        found = statements.statement(APP, statement)
        out.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = trees.hand_over(
            APP,
            trees.kept(APP, found.id, asset),
            settings.LIABILITIES_FOLDER,
            out / "snapshot",
            recipient=recipient,
            actor=Actor.system("cli"),
            now=_now(),
        )
        _write_privately(out / "key", key.hex().encode() + b"\n")
        (out / "statement.json").write_text(found.text, encoding="utf-8")


@liabilities.command()
@click.argument("snapshot", type=_FILE)
@click.option("--key", type=_FILE, required=True, help="The tree's key, 64 hexadecimal digits.")
@click.option(
    "--statement", type=_FILE, required=True, help="The statement as it was published: from the public log."
)
@_workers
@ground.json_option
def rebuild(*, snapshot: Path, key: Path, statement: Path, workers: int, as_json: bool) -> None:
    """Build the whole tree again from a SNAPSHOT, and compare with what was published. Needs no database.

    Exit code 2 where it is another tree, with the figure that differs.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tallystick.settings")
    import django

    django.setup()
    with ground.refusals(as_json=as_json):
        from tallystick.custody import errors
        from tallystick.custody.solvency import statement_file
        from tallystick.evidence.liabilities import engine, proving
        from tallystick.evidence.liabilities.snapshot import Snapshot

        try:
            tree_key = bytes.fromhex(key.read_text(encoding="ascii").strip())
        except ValueError:
            tree_key = b""
        if len(tree_key) != 32:
            raise click.BadParameter("not 64 hexadecimal digits", param_hint="--key")
        if statement.stat().st_size > statement_file.BYTES_MAX:
            raise errors.SolvencyStatementMalformed
        text = statement.read_text(encoding="utf-8", errors="replace")
        began = _now()
        with Snapshot(snapshot) as source:
            published = statement_file.commitment_of(text, str(source.header["asset"]))
            tree = proving.rebuild(published, tree_key, source, workers=workers)
        told = {
            "schema": "tallystick/evidence-liabilities-rebuild/1",
            "asset": source.header["asset"],
            "accounts": source.customers,
            "leaves": tree.commitment["leaves"],
            "total_minor": tree.commitment["total"],
            "root": tree.commitment["root"],
            "statement_digest": statement_file.digest(text).hex(),
            "adds_up": not statement_file.differences(text),
            "built_by": engine.chosen().engine.NAME,
            "seconds": round((_now() - began).total_seconds(), 3),
        }
    if as_json:
        _print(told)
    else:
        click.echo(
            _(
                "{accounts} accounts, {total_minor} minor units of {asset} in all: the published tree,"
                " built again in {seconds} s."
            ).format(**told)
        )
        if not told["adds_up"]:
            click.echo(_("But the statement does not add up."))
    sys.exit(0 if told["adds_up"] else 1)


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────


def _tell(made: statements.Statement, *, as_json: bool) -> None:
    if as_json:
        _print(
            {
                "schema": "tallystick/evidence-liabilities-statement/1",
                "statement": made.id,
                "digest": made.digest.hex(),
                "event": f"evt_{made.event}",
                "told": made.told,
            }
        )
        return
    words = {"covered": _("covered"), "short": _("short"), "unknown": _("not known")}
    click.echo(f"{made.id}  {made.day}  {words[made.state]}  {made.digest.hex()}")
    for asset in made.told["assets"]:
        click.echo(
            "  "
            + _("{asset}: {owed} owed to {accounts} accounts, {bank} at the custodians: {state}").format(
                asset=asset["asset"],
                owed=asset["owed_minor"],
                accounts=asset["liabilities"]["header"]["customers"],
                bank=asset["bank_minor"] if asset["bank_minor"] is not None else "?",
                state=words[asset["state"]],
            )
        )


def _write_privately(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(content)


def _print(told: dict[str, Any]) -> None:
    click.echo(json.dumps(told, ensure_ascii=False, indent=1))


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _(text: str) -> str:
    from django.utils.translation import gettext

    return gettext(text)

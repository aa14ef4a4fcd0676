"""Payouts at the command line: what waits, batches for the bank, and what the bank answered.

Releasing is not here: it takes a second person, signed in. Batches are made, exported and followed as
`system:cli`. With `--json` standard output holds one JSON document and nothing else.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tallystick.cli import ground
from tallystick.core import money
from tallystick.core.db import APP

if TYPE_CHECKING:
    from tallystick.custody.payouts.batches import Batch
    from tallystick.custody.payouts.orders import Payout

STATUSES = "asked pending released batched sent accepted settled refused cancelled declined rejected returned".split()
LIST_MAX = 1_000


@click.group()
def payouts() -> None:
    """Payouts: what waits, batches for the bank, the bank's answers."""


@payouts.command("list")
@click.option("--status", type=click.Choice(STATUSES), help="Only those that stand there.")
@click.option("--owner", help="Only this client's.")
@click.option("--limit", type=click.IntRange(1, LIST_MAX), default=50, show_default=True, help="How many.")
@ground.book_option
@ground.json_option
def list_(*, status: str | None, owner: str | None, limit: int, book: int | None, as_json: bool) -> None:
    """List payouts, the newest first, with where they stand."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.custody.payout_models import PayoutStatus
        from tallystick.custody.payouts import orders

        wanted = None if status is None else PayoutStatus(status)
        found = orders.payouts(APP, ground.book_of(book), status=wanted, owner=owner, limit=limit)
    if as_json:
        _print_json({"schema": "tallystick/payouts-list/1", "payouts": [_payout(each) for each in found]})
        return
    for each in found:
        amount = money.major(each.amount_minor, each.scale)
        click.echo(
            f"{each.reference}  {each.status:<9} {amount:>16} {each.asset}  {each.owner}  →  {each.payee}"
            + (f"  ({each.reason})" if each.reason else "")
        )


@payouts.command()
@click.option("--asset", default="CNY", show_default=True, help="Payouts of this asset.")
@ground.book_option
@ground.json_option
def batch(*, asset: str, book: int | None, as_json: bool) -> None:
    """Put every released payout into a batch for the next business day by cut-off and calendar."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.custody import assets
        from tallystick.custody.payouts import batches

        made = batches.make(
            APP, ground.book_of(book), assets.asset(APP, asset).number, actor=_actor(), now=_now()
        )
    _print_batch(made, "tallystick/payouts-batch/1", as_json)


@payouts.command()
@click.argument("batch_id", metavar="BATCH")
@click.option(
    "--to",
    "path",
    required=True,
    type=click.Path(path_type=Path),
    help="The file to write; never over another.",
)
@click.option("--sent", is_flag=True, help="Also say that it is handed to the bank with this.")
@ground.json_option
def export(*, batch_id: str, path: Path, sent: bool, as_json: bool) -> None:
    """Write a batch's pain.001 file: the same bytes every time. It holds account numbers in clear."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.custody.payouts import batches

        held = batches.batch(APP, _number(batch_id))
        content = batches.file_bytes(APP, held.id, actor=_actor())
        _write_private(path, content)
        if sent:
            held = batches.mark_sent(APP, held.id, actor=_actor(), now=_now())
    _print_batch(held, "tallystick/payouts-export/1", as_json)


@payouts.command("import-status")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@ground.book_option
@ground.json_option
def import_status(*, files: tuple[Path, ...], book: int | None, as_json: bool) -> None:
    """Take the bank's answers (pain.002): each whole or not at all, the same file once."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.custody.payouts import reports

        number = ground.book_of(book)
        taken = []
        for path in files:
            took = reports.import_answer(
                APP, number, path.name, path.read_bytes(), actor=_actor(), now=_now()
            )
            taken.append((path, took))
    if as_json:
        answers = [
            {
                "path": str(path),
                "report": took.report,
                "repeated": took.repeated,
                "batch": took.batch,
                "format": took.format_name,
                "outcomes": dict(sorted(took.outcomes.items())),
            }
            for path, took in taken
        ]
        _print_json({"schema": "tallystick/payouts-import-status/1", "files": answers})
        return
    for path, took in taken:
        told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(took.outcomes.items()))
        click.echo(f"{path}: {took.batch} {told}" + (" (imported before)" if took.repeated else ""))


def _payout(each: Payout) -> dict[str, Any]:
    from tallystick.custody import numbers

    return {
        "payout": each.reference,
        "status": str(each.status),
        "status_at": each.status_at.isoformat(),
        "reason": each.reason,
        "owner": each.owner,
        "debit_account": numbers.account_text(each.debit_account),
        "amount_minor": each.amount_minor,
        "asset": each.asset,
        "payee": each.payee,
        "end_to_end_id": each.end_to_end_id,
        "batch": None if each.batch is None else f"pbt_{each.batch}",
        "asked_at": each.asked_at.isoformat(),
        "asked_by": each.asked_by,
    }


def _print_batch(made: Batch, schema: str, as_json: bool) -> None:
    if as_json:
        _print_json(
            {
                "schema": schema,
                "batch": made.reference,
                "message_id": made.message_id,
                "execution_date": made.execution_date.isoformat(),
                "payouts": made.payouts,
                "sum_minor": made.sum_minor,
                "asset": made.asset,
                "sha256": made.sha256.hex(),
                "sent_at": None if made.sent_at is None else made.sent_at.isoformat(),
            }
        )
        return
    total = money.major(made.sum_minor, made.scale)
    click.echo(
        f"{made.reference}  {made.message_id}  {made.payouts} payouts  {total} {made.asset}  {made.execution_date}"
    )


def _write_private(path: Path, content: bytes) -> None:
    """For its owner's eyes: account numbers stand in it."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
    except FileExistsError:
        raise click.UsageError(f"{path} is there already; name another file.") from None


def _print_json(told: dict[str, Any]) -> None:
    click.echo(json.dumps(told, ensure_ascii=False, indent=1))


def _number(batch_id: str) -> int:
    digits = batch_id.removeprefix("pbt_")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise click.BadParameter("a batch is written pbt_ and its number", param_hint="BATCH")
    return int(digits)


def _actor() -> Any:
    from tallystick.identity.access import Actor

    return Actor.system("cli")


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)

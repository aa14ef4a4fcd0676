"""The evidence logs at the command line: seal, show, prove, check what is stored, and look after the keys.

Acts as `system:cli`. With `--json` standard output holds one JSON document and nothing else. What other parts
of evidence add stands in files of its own, `evidence_….py`, and is named in `MORE`.
"""

from __future__ import annotations

import importlib
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from tallystick.cli import ground
from tallystick.core.db import APP, AUDITOR, SEQUENCER

ACTOR = "system:cli"

MORE: dict[str, str] = {
    "erase": "tallystick.cli.evidence_retention:erase",
    "hold": "tallystick.cli.evidence_retention:hold",
    "retention": "tallystick.cli.evidence_retention:retention",
    "timestamp": "tallystick.cli.evidence_timestamps:timestamp",
    "timestamps": "tallystick.cli.evidence_timestamps:listed",
    "ask-witnesses": "tallystick.cli.evidence_witnesses:ask_witnesses",
    "compare-witnesses": "tallystick.cli.evidence_witnesses:compare_witnesses",
    "witnesses": "tallystick.cli.evidence_witnesses:witnesses",
    "liabilities": "tallystick.cli.evidence_liabilities:liabilities",
}
"""Further commands: name to the module and attribute that has it, `tallystick.cli.evidence_x:command`."""

_OUT = click.Path(dir_okay=False, path_type=Path)
_log = click.option(
    "--log",
    "name",
    type=click.Choice(["ledger", "public"]),
    default="ledger",
    show_default=True,
    help="Which of the two.",
)


class _Group(click.Group):
    """Also finds the commands that stand in files of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *MORE})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in MORE and cmd_name not in self.commands:
            module, _, attribute = MORE[cmd_name].partition(":")
            self.add_command(getattr(importlib.import_module(module), attribute), cmd_name)
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Group)
def evidence() -> None:
    """The evidence logs: what happened, sealed so that nobody can change it unseen."""
    for name in MORE:
        evidence.get_command(click.get_current_context(), name)


def open_logs() -> bool:
    """The logs and their first keys, where they are not there yet. Needs Django."""
    from django.conf import settings

    from tallystick.core import chance
    from tallystick.evidence import keys

    origin = settings.LOG_ORIGIN or f"tallystick-{chance.salt().hex()[:8]}"
    return keys.open_logs(SEQUENCER, origin, actor=ACTOR, now=_now())


@evidence.command()
@ground.json_option
def seal(*, as_json: bool) -> None:
    """Seal what waits, in both logs, and publish it; opens the logs where they are not there yet.

    `tallystick posting` does so by itself, each second.
    """
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from django.conf import settings

        from tallystick.evidence import publishing, sealing

        open_logs()
        publishing.check_not_behind(SEQUENCER, settings.LOG_FOLDER)
        entries = sealing.seal(SEQUENCER, now=_now())
        files = publishing.publish(SEQUENCER, settings.LOG_FOLDER)
    if as_json:
        _print({"schema": "tallystick/evidence-seal/1", "entries": entries, "files": files})
    else:
        click.echo(f"{entries:,} entries sealed, {files:,} files published")


@evidence.command()
@click.option("--again", is_flag=True, help="Every file from the first entry on, whatever is there.")
def publish(*, again: bool) -> None:
    """Write the logs' files from the tables, where they are missing or fall behind."""
    with ground.refusals():
        ground.stand()
        from django.conf import settings

        from tallystick.evidence import publishing

        publishing.check_not_behind(SEQUENCER, settings.LOG_FOLDER)
        files = publishing.publish(SEQUENCER, settings.LOG_FOLDER, again=again)
    click.echo(f"{files:,} files published")


@evidence.command()
@_log
@click.option("--size", type=click.IntRange(0), help="An earlier one. [default: the newest]")
@ground.json_option
def checkpoint(*, name: str, size: int | None, as_json: bool) -> None:
    """Print a log's checkpoint, as it was signed and cosigned."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.evidence import errors, keys, reading

        head = reading.head(APP, keys.LOGS[name])
        if head is None:
            raise errors.LogUnopened()
        note = reading.note(APP, head.log_id, head.size if size is None else size)
        verifiers = [each.key.text for each in keys.kept(APP, head.log_id)]
    if as_json:
        _print(
            {
                "schema": "tallystick/evidence-checkpoint/1",
                "log": name,
                "origin": head.origin,
                "size": head.size if size is None else size,
                "note": note.decode(),
                "keys": verifiers,
            }
        )
    else:
        click.echo(note.decode(), nl=False)


@evidence.command()
@click.argument("what")
@_log
@click.option("--size", type=click.IntRange(1), help="In the log of so many entries. [default: the newest]")
@click.option("--out", type=_OUT, help="Write it to this file.")
def proof(*, what: str, name: str, size: int | None, out: Path | None) -> None:
    """The proof of WHAT: an entry's number, an event (evt_…), or a transfer (trf_…), whose receipt it is.

    An entry's proof is a .tlog-proof (C2SP); a receipt holds the transfer's row and the way through its batch too.
    """
    with ground.refusals():
        ground.stand(quiet=True)
        from tallystick.custody import sealed_transfers
        from tallystick.evidence import errors, keys, reading
        from tallystick.evidence.witness import quorum

        if what.startswith("trf_"):
            text = sealed_transfers.receipt(APP, what).text
        else:
            log_id = keys.LOGS[name]
            number = what.removeprefix("evt_")
            if not number.isascii() or not number.isdecimal() or len(number) > 18:
                raise click.BadParameter("a number, evt_… or trf_… is expected", param_hint="WHAT")
            index = reading.index_of(APP, log_id, int(number)) if what != number else int(number)
            if index is None:
                raise errors.NotSealedYet()
            # Under what enough have seen, unless a size is asked for.
            found = (
                reading.inclusion(APP, log_id, index, size) if size else quorum.inclusion(APP, log_id, index)
            )
            text = found.file.decode()
    if out is None:
        click.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")


@evidence.command()
@click.option("--files/--no-files", default=True, show_default=True, help="Also what is published.")
@ground.json_option
def fsck(*, files: bool, as_json: bool) -> None:
    """Hash everything once more that is stored, and name what is not as it was sealed; exit 1 where anything is.

    Reads as the auditor. A restored backup is enough: see `tallystick restore`.
    """
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from django.conf import settings

        from tallystick.custody import sealed_transfers
        from tallystick.evidence import fsck as checking

        folder = settings.LOG_FOLDER if files and settings.LOG_FOLDER.is_dir() else None
        report = checking.check(AUDITOR, folder=folder, beside=(sealed_transfers.compare,))
    findings = [{"kind": each.kind, "place": each.place, "message": each.message} for each in report.findings]
    if as_json:
        _print({"schema": "tallystick/evidence-fsck/1", "entries": report.entries, "findings": findings})
    else:
        for each in report.findings:
            click.echo(f"{each.kind:<20} {each.place}: {each.message}")
        click.echo(f"{report.entries:,} entries, {len(findings)} findings")
    sys.exit(0 if report.is_clean else 1)


@evidence.group()
def keys() -> None:
    """The keys that sign the logs' checkpoints."""


@keys.command("list")
@ground.json_option
def list_(*, as_json: bool) -> None:
    """Every key that ever signed, for which sizes, and where it is kept."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.evidence import keys as known

        found = [
            {
                "log": name,
                "key": each.key.text,
                "keeper": each.keeper,
                "from_size": each.since,
                "until_size": each.until,
                "compromised": each.is_compromised,
            }
            for name, log_id in known.LOGS.items()
            for each in known.kept(APP, log_id)
        ]
    if as_json:
        _print({"schema": "tallystick/evidence-keys-list/1", "keys": found})
        return
    for each in found:
        until = "" if each["until_size"] is None else f" to {each['until_size']}"
        state = "  COMPROMISED" if each["compromised"] else ""
        click.echo(
            f"{each['log']:<7} from {each['from_size']}{until}  {each['key']}  ({each['keeper']}){state}"
        )


@keys.command()
@_log
@click.option("--reason", required=True, help="Stands in the log for everybody to read.")
@click.option("--compromised", is_flag=True, help="The old key is in other hands: it signs nothing more.")
@ground.json_option
def rotate(*, name: str, reason: str, compromised: bool, as_json: bool) -> None:
    """Replace a log's key: the change is an entry of both logs. Prints the new public key.

    Tell the new key to whoever checks; how, and in which order: docs/howto/log-keys.md.
    """
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from django.conf import settings

        from tallystick.evidence import errors, publishing, sealing
        from tallystick.evidence import keys as known

        if not known.is_open(APP):
            raise errors.LogUnopened()
        publishing.check_not_behind(SEQUENCER, settings.LOG_FOLDER)
        # What the old key has still to sign comes first.
        sealing.seal(SEQUENCER, now=_now())
        key = known.rotate(
            SEQUENCER,
            known.LOGS[name],
            reason=reason,
            is_compromised=compromised,
            actor=ACTOR,
            now=_now(),
        )
        sealing.seal(SEQUENCER, now=_now())
        publishing.publish(SEQUENCER, settings.LOG_FOLDER)
    if as_json:
        _print({"schema": "tallystick/evidence-keys-rotate/1", "log": name, "key": key.text})
    else:
        click.echo(key.text)


def _now() -> datetime:
    return datetime.now(UTC)


def _print(document: dict[str, Any]) -> None:
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))

"""Witnesses at the command line, from the log's side: how they stand, ask them now; and, for anybody, compare them."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tallystick.cli import ground

if TYPE_CHECKING:
    from tallystick.evidence.policy import Policy
    from tallystick.evidence.witness.collecting import Collector
    from tallystick.evidence.witness.comparing import Shown

_POLICY = click.Path(exists=True, dir_okay=False, path_type=Path)


def trusted() -> Policy | None:
    """The policy of this installation, as its file stands now; nothing where there is none. Needs Django."""
    from django.conf import settings

    from tallystick.evidence.witness import quorum

    return quorum.read(settings.WITNESS_POLICY)


def collector() -> Collector:
    """Who asks the witnesses of this installation. Needs Django."""
    from django.conf import settings

    from tallystick.core.db import SEQUENCER
    from tallystick.evidence.witness import asking, collecting

    terms = collecting.Terms(
        ask_seconds=settings.WITNESS_ASK_SECONDS, silent_seconds=settings.WITNESS_SILENT_SECONDS
    )
    return collecting.Collector(SEQUENCER, asking.ask, terms)


@click.command()
@ground.json_option
def witnesses(*, as_json: bool) -> None:
    """How each witness of the policy stands with each log; exit 1 where one is silent or disagrees."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        found = _stands()
    _print_stands(found, as_json=as_json)


@click.command("ask-witnesses")
@ground.json_option
def ask_witnesses(*, as_json: bool) -> None:
    """Have the newest checkpoints cosigned now, by everybody in the policy; then as `witnesses`.

    `tallystick posting` asks by itself.
    """
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        policy = trusted()
        if policy is not None:
            collector().advance(policy, now=datetime.now(UTC), at_once=True)
        found = _stands()
    _print_stands(found, as_json=as_json)


def _stands() -> list[dict[str, object]]:
    from tallystick.core.db import APP
    from tallystick.evidence import errors, keys
    from tallystick.evidence.witness import quorum

    policy = trusted()
    if policy is None:
        raise errors.PolicyMissing()
    accepted = {log_id: quorum.newest(APP, log_id, policy) or 0 for log_id in keys.LOGS.values()}
    return [
        {
            "log": keys.names([each.log_id])[0],
            "witness": each.witness,
            "key": each.key,
            "status": each.status,
            "reason": each.reason,
            "since": each.since.isoformat() if each.since else None,
            "size": each.size,
            "signed_at": each.signed_at.isoformat() if each.signed_at else None,
            "quorum_size": accepted[each.log_id],
        }
        for each in quorum.stands(APP, policy)
    ]


def _print_stands(found: list[dict[str, object]], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"schema": "tallystick/evidence-witnesses/1", "witnesses": found}))
    else:
        for each in found:
            signed = f"{each['size']:,} entries, {each['signed_at']}" if each["size"] else "nothing yet"
            click.echo(
                f"{each['log']:<7} {each['witness']:<24} {each['status']:<12} {signed}  {each['reason']}"
            )
    sys.exit(1 if any(each["status"] in ("silent", "disagreeing") for each in found) else 0)


@click.command("compare-witnesses")
@click.option(
    "--policy", required=True, type=_POLICY, help="Names the logs, and the witnesses with their addresses."
)
@click.option(
    "--files",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder with a log as it is published: are their checkpoints part of it?",
)
@ground.json_option
def compare_witnesses(*, policy: Path, files: tuple[Path, ...], as_json: bool) -> None:
    """Whether the witnesses were shown one history; exit 1 where not. For anybody: needs no database.

    Two checkpoints of one size with two roots, both signed by the log, are printed: they are the proof.
    """
    from tallystick.evidence import policy as policies
    from tallystick.evidence.witness import asking, comparing

    with ground.refusals(as_json=as_json):
        known = policies.parse(policy.read_bytes())
        found = comparing.shown(known, asking.last_checkpoint)
        split = comparing.splits(found)
        keys = [each.key for each in known.logs]
        strangers = [each for folder in files for each in comparing.strangers(found, folder, keys)]
    if as_json:
        told = {
            "schema": "tallystick/evidence-compare-witnesses/1",
            "shown": [_told(each) for each in found],
            "splits": [[_told(each.first), _told(each.second)] for each in split],
            "not_published": [_told(each) for each in strangers],
        }
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        _print_comparison(found, [(each.first, each.second) for each in split], strangers)
    sys.exit(1 if split or strangers else 0)


def _told(each: Shown) -> dict[str, object]:
    return {
        "witness": each.witness,
        "origin": each.origin,
        "size": each.checkpoint.size if each.checkpoint else None,
        "root": each.checkpoint.root.hex() if each.checkpoint else None,
        "signed_at_seconds": each.seconds,
        "note": each.note.decode("utf-8", "replace"),
        "trouble": each.trouble,
    }


def _print_comparison(found: list[Shown], split: list[tuple[Shown, Shown]], strangers: list[Shown]) -> None:
    for each in found:
        size = (
            f"{each.checkpoint.size:,} entries {each.checkpoint.root.hex()}"
            if each.checkpoint
            else each.trouble
        )
        click.echo(f"{each.origin} {each.witness}: {size}")
    for first, second in split:
        click.echo(f"SPLIT VIEW: {first.witness} and {second.witness} were shown two histories. The proof:\n")
        click.echo(first.note.decode("utf-8", "replace"))
        click.echo(second.note.decode("utf-8", "replace"))
    for each in strangers:
        click.echo(f"NOT PUBLISHED: what {each.witness} signed is no part of the published log:\n")
        click.echo(each.note.decode("utf-8", "replace"))
    if not split and not strangers:
        click.echo("Nobody was shown two histories, as far as these say.")

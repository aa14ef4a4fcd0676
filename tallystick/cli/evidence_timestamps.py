"""Time stamps at the command line: have a log's head stamped by an authority, and check those there are."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from tallystick.cli import ground
from tallystick.core.db import APP

_url = click.option(
    "--authority",
    "url",
    default="",
    envvar="TALLYSTICK_TIMESTAMP_AUTHORITY",
    help="The address of an RFC 3161 authority.",
)
_roots = click.option(
    "--roots",
    default=None,
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="TALLYSTICK_TIMESTAMP_ROOTS",
    help="PEM file of the root certificates by which it is believed.",
)


@click.command("timestamp")
@_url
@_roots
@click.option("--log", "name", type=click.Choice(["ledger", "public"]), default="ledger", show_default=True)
@ground.json_option
def timestamp(*, url: str, roots: Path | None, name: str, as_json: bool) -> None:
    """Have the log's newest checkpoint stamped, once for each authority. For an hourly timer."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.evidence import keys, timestamps
        from tallystick.identity import anchoring
        from tallystick.identity.access import Actor

        found = anchoring.anchor(
            APP,
            keys.LEDGER if name == "ledger" else keys.PUBLIC,
            authority=timestamps.Authority.of(url, roots or ""),
            actor=Actor.system("cli"),
            now=datetime.now(UTC),
        )
        if as_json:
            told = {
                "timestamp": found.reference,
                "subject": found.subject,
                "gen_time": found.gen_time.isoformat(),
            }
            click.echo(json.dumps({"schema": "tallystick/evidence-timestamp/1", **told}))
        else:
            click.echo(f"{found.reference}\t{found.subject}\t{found.gen_time.isoformat()}")


@click.command("timestamps")
@_roots
@ground.json_option
def listed(*, roots: Path | None, as_json: bool) -> None:
    """Check every time stamp there is, offline, against these roots. Exit code 3 where one does not hold."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.evidence import errors, timestamps

        trusted = timestamps.Authority.of("https://offline", roots or "").roots
        rows = []
        for each in timestamps.timestamps(APP, limit=10_000):
            reason = ""
            try:
                timestamps.verify(each.token, each.message, nonce=each.nonce, roots=trusted)
            except errors.TimestampWrong as wrong:
                reason = str(wrong.fields["reason"])
            row = {
                "timestamp": each.reference,
                "subject": each.subject,
                "gen_time": each.gen_time.isoformat(),
            }
            rows.append({**row, "reason": reason})
        if as_json:
            click.echo(json.dumps({"schema": "tallystick/evidence-timestamps/1", "timestamps": rows}))
        else:
            for told in rows:
                click.echo("\t".join((*list(told.values())[:3], told["reason"] or "holds")))
        wrong_ones = any(told["reason"] for told in rows)
    if wrong_ones:
        raise SystemExit(3)

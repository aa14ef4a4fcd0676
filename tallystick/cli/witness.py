"""`tallystick witness`: sign, on a machine of one's own, what the log of somebody else claims.

For a bank, a regulator or any other outsider. Needs no database of Tallystick's and no settings: a folder, a name,
and the keys of the logs.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from pathlib import Path
from types import FrameType

import click

from tallystick.cli import ground


@click.command()
@click.option(
    "--folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Holds its key and its memory: nobody else's, and never put back from a backup.",
)
@click.option("--name", help="Its name, as in witness.bank.example/tallystick; needed once.")
@click.option(
    "--log", "logs", multiple=True, metavar="VKEY", help="A log to witness: its key, or ORIGIN KEY."
)
@click.option(
    "--log-sm3", "logs_sm3", multiple=True, metavar="VKEY", help="The same, of a log that hashes with SM3."
)
@click.option("--ml-dsa", is_flag=True, help="Sign with ML-DSA-44 too, from now on.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8090, show_default=True, help="0 takes a free one.")
@click.option(
    "--json", "as_json", is_flag=True, help="Say as JSON, in one line, where it listens and its keys."
)
def witness(
    *,
    folder: Path,
    name: str | None,
    logs: tuple[str, ...],
    logs_sm3: tuple[str, ...],
    ml_dsa: bool,
    host: str,
    port: int,
    as_json: bool,
) -> None:
    """Witness logs of others until stopped: sign each checkpoint that extends the last one, and no other.

    The first line says where it listens; the lines below are its keys, for whoever is to rely on it.
    """
    from tallystick.evidence import hashing
    from tallystick.evidence.witness import server, witnessing

    with ground.refusals(as_json=as_json):
        known = witnessing.logs_of(logs) + witnessing.logs_of(logs_sm3, suite=hashing.SM3)
        if not known or len({each.origin for each in known}) != len(known):
            raise click.UsageError("Name each log once, with --log or with --log-sm3.")
        found = witnessing.open_witness(folder, known, name=name, ml_dsa=ml_dsa)
    try:
        door = server.Server((host, port), found, clock=lambda: int(time.time()), ticks=time.monotonic)
    except OSError as why:
        raise click.ClickException(f"cannot listen on {host}:{port}: {why.strerror}") from None

    def stop(_: int, __: FrameType | None) -> None:
        threading.Thread(target=door.shutdown, daemon=True).start()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    keys = [key.text for key in found.keys]
    if as_json:
        told = {"address": door.address, "name": found.keys[0].name, "keys": keys, "logs": list(found.logs)}
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        click.echo(f"Witnessing {len(known)} logs at {door.address}")
        for key in keys:
            click.echo(key)
    try:
        door.serve_forever(poll_interval=0.2)
    finally:
        door.server_close()
        found.store.close()

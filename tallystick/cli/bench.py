"""`tallystick bench`: what is promised about speed, measured on this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

BENCHES = Path(__file__).resolve().parents[2] / "bench"


@click.group()
def bench() -> None:
    """Measure what is promised about speed: ratios against a peer or the physical limit, in one run."""


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option(
    "--seconds", default=8.0, show_default=True, type=click.FloatRange(1, 120), help="Of each measurement."
)
@click.option(
    "--rounds", default=3, show_default=True, type=click.IntRange(1, 20), help="Interleaved; medians count."
)
@click.option(
    "--million/--no-million", default=True, show_default=True, help="Measure a million accounts too."
)
def ledger(*, as_json: bool, seconds: float, rounds: int, million: bool) -> None:
    """Transfers a second, beside pgbench's TPC-B and a raw COPY on the same server in the same run."""
    options = ["--seconds", str(seconds), "--rounds", str(rounds)]
    options += ["--json"] if as_json else []
    options += [] if million else ["--no-million"]
    _run("ledger.py", options)


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option(
    "--lines",
    default=1_000_000,
    show_default=True,
    type=click.IntRange(5_000, 20_000_000),
    help="Of each side.",
)
@click.option(
    "--per-mille",
    default=5.0,
    show_default=True,
    type=click.FloatRange(0, 100),
    help="Planted breaks in a thousand lines.",
)
@click.option(
    "--rounds", default=5, show_default=True, type=click.IntRange(1, 50), help="Interleaved; medians count."
)
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Of what is planted.")
def reconcile(*, as_json: bool, lines: int, per_mille: float, rounds: int, seed: int) -> None:
    """Statement lines matched with ledger lines a second, beside a plain join of the same keys."""
    options = ["--lines", str(lines), "--per-mille", str(per_mille)]
    options += ["--rounds", str(rounds), "--seed", str(seed)]
    options += ["--json"] if as_json else []
    _run("reconcile.py", options)


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option(
    "--leaves",
    default=4_000_000,
    show_default=True,
    type=click.IntRange(5_000, 1_000_000_000),
    help="Of the tree; its snapshot takes 40 bytes an account on the disk meanwhile.",
)
@click.option(
    "--fragments", default=2, show_default=True, type=click.IntRange(1, 4), help="Leaves of an account."
)
@click.option("--workers", type=click.IntRange(1, 64), help="Chunks at a time; as many as processors.")
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, writable=True),
    help="Where the snapshot is written meanwhile.",
)
@click.option("--log/--no-log", default=True, show_default=True, help="Measure sealing and the ledger too.")
@click.option(
    "--seconds", default=6.0, show_default=True, type=click.FloatRange(1, 120), help="Of each measurement."
)
@click.option(
    "--rounds", default=5, show_default=True, type=click.IntRange(1, 20), help="Interleaved; medians count."
)
def evidence(
    *,
    as_json: bool,
    leaves: int,
    fragments: int,
    workers: int | None,
    directory: str | None,
    log: bool,
    seconds: float,
    rounds: int,
) -> None:
    """Leaves of the proof of liabilities a CPU-second, entries sealed a second, and what that costs the ledger."""
    options = ["--leaves", str(leaves), "--fragments", str(fragments)]
    options += ["--seconds", str(seconds), "--rounds", str(rounds)]
    options += [] if log else ["--no-log"]
    options += ["--workers", str(workers)] if workers else []
    options += ["--directory", directory] if directory else []
    options += ["--json"] if as_json else []
    _run("evidence.py", options)


def _run(script: str, options: list[str]) -> None:
    """A bench in a process of its own: what it measures is then its own."""
    path = BENCHES / script
    if not path.exists():
        raise click.ClickException(f"the benches are in the source tree, and {path} is not there")
    sys.exit(subprocess.run([sys.executable, str(path), *options], check=False).returncode)

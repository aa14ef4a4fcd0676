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
    script = BENCHES / "ledger.py"
    if not script.exists():
        raise click.ClickException(f"the benches are in the source tree, and {script} is not there")
    options = ["--seconds", str(seconds), "--rounds", str(rounds)]
    options += ["--json"] if as_json else []
    options += [] if million else ["--no-million"]
    sys.exit(subprocess.run([sys.executable, str(script), *options], check=False).returncode)

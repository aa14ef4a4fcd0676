"""The house itself: make its tables, check its deployment, open its doors, test it.

These commands belong to no domain. Each imports what it needs when it is called, so that
`tallystick --help` and `tallystick test` need neither Django nor a database.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[2]
"""The checkout, where there is one: an installed package has no tests beside it."""


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--all", "everything", is_flag=True, help="Also every kill, fuzz and million-row test.")
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def test(*, everything: bool, pytest_arguments: tuple[str, ...]) -> None:
    """Run the quick gate: style, types, import contracts and every test that is not slow.

    With arguments, runs pytest alone, with them: `tallystick test tests/custody -k freeze`.
    """
    if not (ROOT / "tests").is_dir():
        raise click.ClickException("the tests come with a checkout of the repository, not with the package")
    os.chdir(ROOT)
    data = Path(os.environ.setdefault("TALLYSTICK_DATA", str(ROOT.parent / "shared" / "data"))).absolute()
    os.environ["TALLYSTICK_DATA"] = str(data)
    found = "found" if data.is_dir() else "not there: the tests that read it are skipped"
    click.echo(f"real data (TALLYSTICK_DATA): {data}, {found}")

    python = [sys.executable, "-P", "-m"]
    selection = [] if everything else ["-m", "not slow"]
    if pytest_arguments:
        sys.exit(subprocess.run([*python, "pytest", *selection, *pytest_arguments], check=False).returncode)

    failed = []
    for name, command in GATE.items():
        began = time.monotonic()
        done = subprocess.run([*python[:2], *command], capture_output=True, text=True, check=False)
        took = f"{time.monotonic() - began:.1f} s"
        if done.returncode == 0:
            click.echo(f"ok      {name} ({took})")
        else:
            failed.append(name)
            click.echo(f"FAILED  {name} ({took})\n{done.stdout}{done.stderr}")
    if failed:
        click.echo(f"failed before the tests: {', '.join(failed)}")
    # Last, so that the run closes with pytest's own count of passed, failed and skipped.
    tests = subprocess.run([*python, "pytest", *selection], check=False).returncode
    sys.exit(tests or bool(failed))


LINT_IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"

GATE = {
    "style (ruff check)": ["-m", "ruff", "check", "--quiet", "."],
    "format (ruff format)": ["-m", "ruff", "format", "--quiet", "--diff", "."],
    "import contracts (import-linter)": ["-c", LINT_IMPORTS, "--no-logo"],
    "types (mypy)": ["-m", "mypy"],
}
"""What is checked before the tests: a name, and what Python is called with."""

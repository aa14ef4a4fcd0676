"""The import contracts hold, and break when someone imports upwards or adds a floor without a place."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy.source import PACKAGE, ROOT

LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def lint(directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-c", LINT, "--no-logo", "--no-cache"],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(directory)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package and its contracts, to plant a violation in."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    leave_out = shutil.ignore_patterns("__pycache__", "static", "templates", "locale")
    shutil.copytree(PACKAGE, tmp_path / "tallystick", ignore=leave_out)
    return tmp_path


def test_the_contracts_hold() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("place", "planted", "broken"),
    [
        ("evidence/log.py", "import tallystick.custody", "Imports go only downwards"),
        ("identity/access.py", "import tallystick.web", "Imports go only downwards"),
        ("core/db.py", "from tallystick.identity import access", "Imports go only downwards"),
        ("monitoring/__init__.py", "", "Imports go only downwards"),
        ("core/postgres/place.py", "import django.conf", "needs no Django"),
        ("custody/numbers.py", "import click", "Domains know no door"),
        ("custody/accounts.py", "from tallystick.custody import ledger", "Inside custody"),
        ("custody/holds.py", "", "Inside custody"),
        (
            "core/postgres/place.py",
            "from tallystick.core.postgres import cluster",
            "No two neighbours import one another",
        ),
    ],
)
def test_a_planted_violation_breaks_a_contract(copy: Path, place: str, planted: str, broken: str) -> None:
    path = copy / "tallystick" / place
    path.parent.mkdir(exist_ok=True)
    text = path.read_text() if path.exists() else ""
    path.write_text(f"{text}\n{planted}\n")
    done = lint(copy)
    assert done.returncode != 0
    # Exit 1 with a report, and not because the linter itself was stopped by the planted line.
    assert re.search(rf"^.*{broken}[^\n]*\n?[^\n]* BROKEN$", done.stdout, re.MULTILINE), done.stdout

"""`tallystick evidence liabilities rebuild`: the bank and the regulator need three files and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tallystick.custody.solvency import statement_file
from tallystick.custody.solvency.statement_file import Asset, Banked
from tallystick.evidence import canonical
from tallystick.evidence.liabilities import building, snapshot
from tests.evidence.small_tree import account, balance, header, keys_of
from tests.tidy.source import ROOT

CUSTOMERS = 300


@pytest.fixture
def handed(tmp_path: Path) -> Path:
    """Snapshot, key and statement of a day."""
    told = header(CUSTOMERS)
    pairs = [(account(number), balance(number)) for number in range(CUSTOMERS)]
    snapshot.write(tmp_path / "snapshot", pairs, lambda _: told)
    tree = building.build(told.spelled(), keys_of(told), snapshot.held(pairs))
    asset = Asset(
        code="CNY",
        scale=2,
        commitment=tree.commitment,
        total_minor=sum(amount for _, amount in pairs),
        unallocated_minor=0,
        debts=0,
        debts_minor=0,
        banked=[Banked("acc_000000000000000001", "First Bank", None, None, None, None, None)],
    )
    text = canonical.text(
        {
            "schema": statement_file.SCHEMA,
            "day": told.spelled()["day"],
            "cut_off": told.spelled()["cut_off"],
            "number": 1,
            "previous": None,
            "assets": [asset.spelled()],
            "state": "unknown",
        }
    )
    (tmp_path / "statement").write_text(text)
    (tmp_path / "key").write_text(keys_of(told).tree_key.hex() + "\n")
    return tmp_path


def rebuild(handed: Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = ["evidence", "liabilities", "rebuild", "snapshot", "--key", "key", "--statement", "statement"]
    return subprocess.run(
        [sys.executable, "-P", "-m", "tallystick", *words, *more],
        # No home, no database: a machine that has never seen the platform.
        env={**os.environ, "TALLYSTICK_HOME": "/nowhere", "DATABASE_URL": "", "PYTHONPATH": str(ROOT)},
        cwd=handed,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_published_tree_is_built_again_without_a_database(handed):
    done = rebuild(handed, "--json")
    assert done.returncode == 0, done.stderr
    schema = json.loads((ROOT / "docs/reference/schemas/evidence-liabilities-rebuild.json").read_text())
    told = json.loads(done.stdout)
    Draft202012Validator(schema).validate(told)
    assert (told["accounts"], told["leaves"], told["adds_up"]) == (CUSTOMERS, 2 * CUSTOMERS, True)


def test_another_tree_and_another_key_are_refused_by_name(handed):
    records = bytearray((handed / "snapshot").read_bytes())
    records[-1] ^= 1
    (handed / "snapshot").write_bytes(records)
    done = rebuild(handed, "--json")
    assert (done.returncode, json.loads(done.stdout)["refused"]) == (2, "rebuild_differs")
    records[-1] ^= 1
    (handed / "snapshot").write_bytes(records)
    (handed / "key").write_text("00" * 32)
    assert json.loads(rebuild(handed, "--json").stdout)["refused"] == "rebuild_differs"
    (handed / "key").write_text("no key")
    assert "64 hexadecimal digits" in rebuild(handed).stderr

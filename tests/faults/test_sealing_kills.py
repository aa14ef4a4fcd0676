"""kill -9 of the sequencer at each of its steps: the next one goes on, and publishes the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from django.db import transaction

from tallystick.core.db import APP, AUDITOR, SEQUENCER
from tallystick.evidence import fsck, keys, log, publishing, reading
from tallystick.evidence.keys import LEDGER
from tests.faults.house import ROOT

NOW = datetime(2026, 3, 2, 2, tzinfo=UTC)

# The steps of a seal and of publishing, in their order.
STEPS = (
    ("seal", "call", 1),
    ("_events", "return", 1),
    ("append", "return", 1),
    ("sign", "return", 1),
    ("_copy_entries", "call", 1),
    ("_copy_entries", "return", 1),
    ("_copy_tiles", "return", 1),
    ("_commit", "call", 1),
    ("_commit", "return", 1),
    ("_commit", "call", 2),
    ("_public", "return", 1),
    ("publish", "call", 1),
    ("_draft", "return", 1),
    ("_draft", "return", 3),
    ("replace", "call", 1),
    ("replace", "return", 1),
    ("replace", "return", 4),
    ("_named", "return", 1),
    ("_named", "return", 2),
    ("_drop_parts", "call", 1),
    ("rmtree", "return", 1),
)
QUICK = {("_commit", "return", 1), ("replace", "return", 4)}
"""Just after a commit, and half published."""


def run(database, folder, function="none", event="call", nth=1):
    environ = {
        **os.environ,
        **database.environ,
        "DJANGO_SETTINGS_MODULE": "tallystick.settings",
        "TALLYSTICK_LOG_FOLDER": str(folder),
    }
    return subprocess.run(
        [sys.executable, "-m", "tests.faults.sealer", function, event, str(nth)],
        env=environ, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip


def happened(count):
    with transaction.atomic(using=APP):
        log.append_many(
            APP, [log.row("identity.signed_in", {"n": n}, actor="usr_1", at=NOW) for n in range(count)]
        )


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(publishing.DRAFT)
    }


def in_order(steps):
    return [pytest.param(*step, marks=() if step in QUICK else pytest.mark.slow) for step in steps]


@pytest.mark.parametrize(("function", "event", "nth"), in_order(STEPS))
def test_a_sequencer_killed_anywhere_is_followed_by_one_that_writes_the_same(
    ledger_database, tmp_path, function, event, nth
):
    folder = tmp_path / "killed"
    keys.open_logs(SEQUENCER, "kill.example", actor="system:cli", now=NOW)
    happened(250)
    assert run(ledger_database, folder).stdout == "done\n"
    before = {log_id: reading.head(APP, log_id) for log_id in keys.LOGS.values()}
    happened(300)
    killed = run(ledger_database, folder, function, event, nth)
    assert killed.returncode == -9, (killed.stdout, killed.stderr[-2000:])
    # What was seen before is never taken back, and nothing is seen that is not committed.
    for name, log_id in keys.LOGS.items():
        seen = publishing.published(folder / name)
        assert before[log_id].size <= seen.size <= reading.head(APP, log_id).size
    committed = {
        log_id: reading.note(APP, log_id, reading.head(APP, log_id).size) for log_id in keys.LOGS.values()
    }
    assert run(ledger_database, folder).stdout == "done\n"
    assert reading.head(APP, LEDGER).size == log.count(APP)
    # The checkpoint that was committed when the kill came stands as it was.
    for log_id, note in committed.items():
        size = int(note.split(b"\n")[1])
        assert reading.note(APP, log_id, size) == note
    # Published by one that was never killed: byte for byte the same, but for parts that are no longer needed.
    fresh = tmp_path / "fresh"
    publishing.publish(SEQUENCER, fresh)
    wanted, found = files(fresh), files(folder)
    assert {path: found.get(path) for path in wanted} == wanted
    assert fsck.check(AUDITOR, folder=folder).findings == ()

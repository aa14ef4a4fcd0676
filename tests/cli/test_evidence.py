"""`tallystick evidence`: seal, show, prove, check, and look after the keys."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tallystick.custody import posting
from tallystick.evidence import receipt_file, tlog_proof
from tests.cli.test_statements import answer, ran
from tests.custody import cast
from tests.custody.cast import an_id, ask
from tests.plugin_postgres import TestDatabase


@pytest.fixture
def folder(ledger_database: TestDatabase, tmp_path: Path, settings: object) -> Path:
    """Where the logs are published; one transfer was posted."""
    settings.LOG_FOLDER = tmp_path / "evidence"  # type: ignore[attr-defined]
    settings.LOG_ORIGIN = "cli.example"  # type: ignore[attr-defined]
    posting.use(posting.InProcess())
    people = cast.opened()
    cast.post([ask(1, people.bank, people.wang, 10_000)])
    return tmp_path / "evidence"


def test_from_nothing_to_a_log_that_is_proved_and_checked(
    folder: Path, ledger_database: TestDatabase, tmp_path: Path
) -> None:
    """Then somebody edits a row, and the answer names it with exit code 1."""
    assert answer("refusal", "evidence", "checkpoint", code=2)["refused"] == "log_unopened"
    told = answer("evidence-seal", "evidence", "seal")
    assert told["entries"] > 5
    shown = ran("evidence", "checkpoint")
    assert shown.startswith("cli.example/ledger\n")
    assert (folder / "ledger" / "checkpoint").read_text() == shown
    told = answer("evidence-checkpoint", "evidence", "checkpoint", "--log", "public")
    assert told["note"].startswith("cli.example/public\n")
    out = tmp_path / "receipt.json"
    ran("evidence", "proof", an_id(1), "--out", out)
    receipt_file.check_content(receipt_file.parse(out.read_bytes()))
    assert tlog_proof.parse(ran("evidence", "proof", "evt_1").encode()).index == 0
    ran("evidence", "proof", "acc_1", code=2)
    clean = answer("evidence-fsck", "evidence", "fsck")
    assert (clean["findings"], clean["entries"] > 5) == ([], True)
    with psycopg.connect(ledger_database.superuser) as connection:
        connection.execute("alter table evidence_outbox disable trigger user")
        connection.execute("update evidence_outbox set actor = 'usr_666' where id = 2")
    dirty = answer("evidence-fsck", "evidence", "fsck", code=1)
    assert [(each["kind"], each["place"]) for each in dirty["findings"]] == [("event_edited", "evt_2")]


def test_a_key_is_replaced_in_one_command(folder: Path) -> None:
    """And the old one is listed, with the sizes it signed."""
    ran("evidence", "seal")
    new = answer("evidence-keys-rotate", "evidence", "keys", "rotate", "--reason", "yearly")["key"]
    told = answer("evidence-keys-list", "evidence", "keys", "list")["keys"]
    assert [(each["log"], each["until_size"] is None) for each in told] == [
        ("ledger", False),
        ("ledger", True),
        ("public", True),
    ]
    assert told[1]["key"] == new
    assert answer("evidence-fsck", "evidence", "fsck")["findings"] == []

"""`tallystick payouts`: from what waits to the bank's file and back, as a person and a program read it."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from tallystick.cli import main
from tests.custody.payout_cast import scene
from tests.custody.test_payout_batches import answer

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "reference" / "schemas"


def ran(*words, code=0):
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == code, (done.stdout, done.stderr, done.exception)
    return done.stdout


def told(name, *words, code=0):
    """The JSON answer, which keeps to its schema."""
    given = json.loads(ran(*words, "--json", code=code))
    if code == 0:
        Draft202012Validator(json.loads((SCHEMAS / f"{name}.json").read_text())).validate(given)
    return given


@pytest.fixture
def wang(ledger_database):
    return scene()


def test_from_released_to_settled_at_the_command_line(wang, tmp_path):
    """The whole way of an operator: list, batch, export for their eyes alone, import what the bank says."""
    payout = wang.ask(500)
    assert payout.reference in ran("payouts", "list", "--status", "released")
    batch = told("payouts-batch", "payouts", "batch")
    assert (batch["payouts"], batch["sum_minor"]) == (1, 500)
    path = tmp_path / "out.xml"
    assert told("payouts-export", "payouts", "export", batch["batch"], "--to", path, "--sent")["sent_at"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    ran("payouts", "export", batch["batch"], "--to", path, code=2)

    class Made:
        message_id = batch["message_id"]

    back = tmp_path / "back.xml"
    back.write_bytes(answer(Made, (payout, "ACSC", "", "5.00")))
    assert told("payouts-import-status", "payouts", "import-status", back)["files"][0]["outcomes"] == {
        "applied": 1
    }
    (listed,) = told("payouts-list", "payouts", "list")["payouts"]
    assert (listed["status"], listed["payee"]) == ("settled", "工商银行北京分行 …0123")
    assert "6222021234567890123" not in json.dumps(listed)


def test_nothing_to_send_and_a_wrong_answer_are_refused_in_a_line(wang, tmp_path):
    assert told("refusal", "payouts", "batch", code=2)["refused"] == "nothing_to_batch"
    wrong = tmp_path / "wrong.xml"
    wrong.write_text("<a/>")
    assert told("refusal", "payouts", "import-status", wrong, code=2)["refused"] == "not_a_payout_report"

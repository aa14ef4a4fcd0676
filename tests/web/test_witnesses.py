"""Whoever operates the platform sees a witness fall silent: on the health page, in the metrics, in the check."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tallystick.cli import checks
from tallystick.core.db import SEQUENCER
from tallystick.evidence import cosignatures, keys, notes, sealing
from tallystick.evidence.witness import asking, collecting

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
BANK = cosignatures.Cosigner("bank.example", notes.Ed25519Secret(b"b" * 32))


@pytest.fixture
def policy(ledger_database, settings, tmp_path):
    settings.WITNESS_POLICY = tmp_path / "policy"
    settings.WITNESS_POLICY.write_text(f"witness bank {BANK.key.text} http://bank\nquorum bank\n")
    keys.open_logs(SEQUENCER, "first.example", actor="system:cli", now=NOW)
    sealing.seal(SEQUENCER, now=NOW)
    from tallystick.evidence.witness import quorum

    return quorum.read(settings.WITNESS_POLICY)


def signs(url, sent):
    text, _ = notes.parse(sent.note)
    return asking.Cosigned(BANK.sign(text, at_seconds=int(NOW.timestamp())).line.encode())


def gone(url, sent):
    return asking.Unreachable("it took too long")


def test_silence_stands_on_the_health_page_in_the_metrics_and_in_the_check(client, policy):
    for ask, at, status, level in (
        (signs, NOW, "answering", "ok"),
        (gone, NOW.replace(hour=11), "silent", "warning"),
    ):
        collecting.Collector(SEQUENCER, ask).advance(policy, now=at)
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["witnesses"]) == (200, status)
        lines = client.get("/metrics").content.decode().splitlines()
        for name in keys.LOGS:
            value = float(status == "answering")
            assert f'tallystick_evidence_witness_answering{{log="{name}",witness="bank"}} {value}' in lines
            assert f'tallystick_evidence_witness_disagreeing{{log="{name}",witness="bank"}} 0.0' in lines
            assert any(
                each.startswith(f'tallystick_evidence_entries_without_quorum{{log="{name}"}}')
                for each in lines
            )
        assert checks._witnesses().level == level


def test_without_a_policy_nobody_is_missed_and_the_check_says_what_that_means(
    client, ledger_database, settings, tmp_path
):
    settings.WITNESS_POLICY = tmp_path / "none"
    assert "witnesses" not in client.get("/readyz").json()
    assert b"evidence_witness" not in client.get("/metrics").content
    assert checks._witnesses().level == "warning"
    settings.WITNESS_POLICY.write_text("nonsense\n")
    assert checks._witnesses().level == "error"
    assert client.get("/readyz").status_code == 200

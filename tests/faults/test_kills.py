"""kill -9 of the server and of the posting process at any moment: no answer is lost, halved or doubled."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
from django.db import connections

from tallystick.custody import audit
from tests.faults import worker
from tests.faults.house import ROOT, House, house

START = "import os; from tallystick.core import postgres; postgres.ensure(os.environ)"


def recover_under_fire(house: House, chance: random.Random) -> bool:
    """Start the server and kill it before it has recovered. True where it was killed in time."""
    starting = subprocess.Popen(
        [sys.executable, "-c", START],
        env=house.environ,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline, killed = time.monotonic() + 20, False
    wait = chance.uniform(0, 0.08)
    while not killed and starting.poll() is None and time.monotonic() < deadline:
        if (house.home / "data" / "postmaster.pid").exists():
            threading.Event().wait(wait)
            killed = house.kill_server()
        threading.Event().wait(0.002)
    with contextlib.suppress(ProcessLookupError):
        os.kill(starting.pid, signal.SIGKILL)
    starting.wait()
    return killed


@pytest.mark.parametrize(
    ("kills", "in_recovery"),
    [pytest.param(5, 1, id="few"), pytest.param(60, 12, id="many", marks=pytest.mark.slow)],
)
def test_no_acknowledged_transfer_is_lost_none_halved_none_doubled(django_db_blocker, kills, in_recovery):
    seed = 20260302
    chance = random.Random(seed)
    # Which kill is of what: the first of each kind early, so that a short run has them all.
    plan = ["server", "worker", "both"] + [
        chance.choice(("server", "server", "worker", "both")) for _ in range(kills)
    ]
    counted = {"server": 0, "worker": 0, "recovery": 0}
    with house(django_db_blocker) as standing:
        log = standing.home / "answers"
        working = standing.worker(seed, log)
        try:
            for what in plan:
                if sum(counted.values()) >= kills:
                    break
                before, deadline = len(worker.answers(log)), time.monotonic() + 60
                # Under load: only once calls are being answered again.
                while len(worker.answers(log)) < before + 20:
                    assert working.poll() is None, log.read_text()[-3000:]
                    assert time.monotonic() < deadline, "posting did not go on by itself"
                    time.sleep(0.005)
                time.sleep(chance.uniform(0, 0.1))
                if what in ("worker", "both"):
                    working.kill()
                    working.wait()
                    counted["worker"] += 1
                if what in ("server", "both"):
                    standing.kill_server()
                    counted["server"] += 1
                    while counted["recovery"] < in_recovery and chance.random() < 0.6:
                        counted["recovery"] += recover_under_fire(standing, chance)
                    standing.start_server()
                if what in ("worker", "both"):
                    working = standing.worker(seed, log)
            before = len(worker.answers(log))
            while len(worker.answers(log)) < before + 20:
                time.sleep(0.005)
            working.send_signal(signal.SIGTERM)
            assert working.wait(60) == 0
        finally:
            working.kill()
            working.wait()
        assert sum(counted.values()) >= kills, counted
        assert counted["recovery"] >= in_recovery or kills < 50, counted
        check(standing, log)


def check(standing: House, log) -> None:
    """Every call was answered, once or again; what was answered is what stands, and nothing else does."""
    told: dict[str, tuple[int, int]] = {}
    for answer in worker.answers(log):
        assert "fault" not in answer, answer
        accepted = [refusal is None for refusal in answer["refusals"]]
        if len(accepted) == 3 and answer["refusals"].count("LinkedTransferRefused") >= 1:
            assert not any(accepted), "a chain was half posted"
        for transfer, position, amount, is_accepted in zip(
            answer["ids"], answer["positions"], answer["amounts"], accepted, strict=True
        ):
            if is_accepted:
                assert transfer not in told or told[transfer] == (position, amount), "two answers for one id"
                told[transfer] = (position, amount)
    connections[standing.db].close()  # it was to a server that is dead
    with connections[standing.db].cursor() as cursor:
        cursor.execute("select id, position, amount_minor from custody_transfer")
        stand = {str(transfer): (position, amount) for transfer, position, amount in cursor.fetchall()}
    assert stand == told
    found = audit.verify(standing.db, standing.book)
    assert found.findings == ()
    assert found.transfers == len(told) > 0

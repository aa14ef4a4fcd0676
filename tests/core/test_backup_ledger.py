"""The main job, lost and brought back: a real ledger restored to a moment holds what the live one held then."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tallystick.core import postgres
from tallystick.core.postgres import backup, vault
from tests.plugin_postgres import throwaway_home

POST = """
import sys, django
django.setup()
from tests.custody import cast
from tests.custody.cast import ask
from tallystick.custody import accounts, books, posting
posting.use(posting.InProcess())
people = cast.opened() if sys.argv[1] == "open" else None
bank, wang = sys.argv[2:4] if not people else (people.bank, people.wang)
first = 1 if people else 100
cast.post([ask(first + n, int(bank), int(wang), 1_00 + n) for n in range(50)])
posting.gateway().close()
from django.db import connections
cursor = connections["default"].cursor()
cursor.execute("select clock_timestamp()")
print(bank, wang, cursor.fetchone()[0].isoformat())
"""

READ = """
import sys, json, django
django.setup()
from tallystick.core.db import Db
from tallystick.custody import history
from datetime import datetime
at = datetime.fromisoformat(sys.argv[1])
trial = history.trial_balance(Db("auditor"), 1, at_time=at)
print(json.dumps([trial.position, [(line.account, line.balance.debits_posted, line.balance.credits_posted)
    for line in trial.lines]]))
"""


def run(environ: dict[str, str], *words: str) -> str:
    environ = {**environ, "DJANGO_SETTINGS_MODULE": "tallystick.settings"}
    done = subprocess.run([sys.executable, *words], env=environ, capture_output=True, text=True)
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout


def tallystick(environ: dict[str, str], *words: str) -> Any:
    return json.loads(run(environ, "-m", "tallystick", *words, "--json"))


@pytest.mark.slow
def test_balances_positions_and_hashes_come_back_as_of_a_moment():
    with throwaway_home() as live:
        backup.enable(live)
        postgres.ensure(live)
        # A backup is taken before the tables are made, for backups are kept here.
        assert tallystick(live, "migrate")["backup"] is not None
        bank, wang, _ = run(live, "-c", POST, "open").split()
        tallystick(live, "backup", "--full")
        _, _, moment = run(live, "-c", POST, "more", bank, wang).split()
        held = run(live, "-c", READ, moment)
        # What comes after the moment must not come back; the backup after it must not be used.
        run(live, "-c", POST.replace("100", "500"), "more", bank, wang)
        assert tallystick(live, "backup")["kind"] == "incremental"

        with throwaway_home(
            TALLYSTICK_BACKUP_DIR=f"{live['TALLYSTICK_HOME']}/backup",
            TALLYSTICK_BACKUP_KEY_FILE=str(vault.key_file(live)),
        ) as back:
            found = tallystick(back, "restore", "--to", moment, "--verify")
            assert found["verified"]["holds"] is True
            assert found["verified"]["lasting"] == 1
            assert found["verified"]["differences"] == []
            assert found["recovery_point_seconds"] == 0
            postgres.ensure(back)
            assert run(back, "-c", READ, moment) == held
            assert json.loads(held)[0] == 100

        # And the last state, beside the live home: both backups' records hold in it.
        rehearsed = tallystick(live, "restore", "--rehearse")
        assert rehearsed["verified"]["holds"] is True
        assert rehearsed["verified"]["lasting"] == 2

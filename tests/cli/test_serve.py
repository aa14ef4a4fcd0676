"""`tallystick serve` and `tallystick migrate`: from nothing to a page, and down again without a trace."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import psycopg
import pytest

COMMAND = [sys.executable, "-P", "-m", "tallystick"]


@contextlib.contextmanager
def serving(database, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running server and its address."""
    environ = {**database.environ, "TALLYSTICK_INSECURE_HTTP": "1", "TALLYSTICK_HOSTS": "localhost"}
    server = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", *words], env=environ, stderr=subprocess.PIPE, text=True
    )
    assert server.stderr is not None
    try:
        told = []
        for line in server.stderr:
            told.append(line)
            if ready := re.match(r"Ready at (http://localhost:\d+/)$", line):
                yield server, ready[1]
                return
        pytest.fail("".join(told))
    finally:
        server.kill()
        server.wait()
        server.stderr.close()


def get(address: str) -> tuple[int, bytes]:
    with urllib.request.urlopen(address, timeout=20) as answer:
        return answer.status, answer.read()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_says_when_it_is_ready_and_stops_when_told(ledger_database, workers):
    with serving(ledger_database, "--workers", workers) as (server, address):
        assert json.loads(get(address + "readyz")[1])["ready"] is True
        assert get(address + "healthz")[0] == 200
        assert b"tallystick_http_requests_total" in get(address + "metrics")[1]
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
    with pytest.raises(OSError, match="refused"):
        get(address + "healthz")


def test_it_does_not_serve_tables_it_does_not_know(ledger_database):
    with psycopg.connect(ledger_database.superuser, autocommit=True) as connection:
        connection.execute("delete from django_migrations where app = 'evidence'")
    done = subprocess.run(
        [*COMMAND, "serve", "--port", "0"],
        env=ledger_database.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "run `tallystick migrate` first" in done.stderr


def test_migrate_makes_every_table_of_an_empty_database_once(postgres_server):
    environ = {**os.environ, "TALLYSTICK_DATABASE": "test_migrate_from_nothing"}

    def migrate(*words: str) -> dict[str, object]:
        done = subprocess.run(
            [*COMMAND, "migrate", "--json", *words], env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    try:
        planned, first, second = migrate("--plan"), migrate(), migrate()
    finally:
        with psycopg.connect(postgres_server.administrator, autocommit=True) as connection:
            connection.execute("drop database if exists test_migrate_from_nothing with (force)")
    assert planned["applied"] is False
    assert first["applied"] is True
    assert planned["migrations"] == first["migrations"]
    assert "custody.0001_initial" in first["migrations"]
    assert second["migrations"] == []

"""A full disk stops posting with a clear state; with room again, posting goes on by itself and nothing is lost."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from django.db import connections

from tallystick.core.postgres import account, place
from tallystick.custody import audit, ledger, posting
from tallystick.custody.errors import PostingStopped
from tallystick.custody.numbers import account_text
from tallystick.custody.transfers import TransferRequest
from tests.faults.house import SIMULATION, House, house

MB = 1024 * 1024


@contextlib.contextmanager
def small_disk(path: Path, size_mb: int) -> Iterator[None]:
    """A file system of its own on this directory."""
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this machine does not let us mount a small disk: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=False)


def filled(path: Path) -> Path:
    """Take the room that is left."""
    ballast = path / "ballast"
    with ballast.open("wb") as file, contextlib.suppress(OSError):
        while True:
            os.write(file.fileno(), bytes(MB // 16))
    return ballast


def call(standing: House, number: int) -> list[TransferRequest]:
    return [
        TransferRequest(
            id=f"00000000-0000-7000-8000-{1000 * number + n:012x}",
            debit_account=account_text(standing.bank),
            credit_account=account_text(standing.clients[n % len(standing.clients)]),
            amount_minor=1,
            code="top_up",
            reference="r" * 100,
        )
        for n in range(500)
    ]


def posted(standing: House, number: int) -> ledger.Results:
    return ledger.post(
        standing.db, standing.book, call(standing, number), actor=SIMULATION, now=datetime.now(UTC)
    )


def test_a_full_disk_under_the_tables_stops_posting_and_loses_nothing(django_db_blocker):
    with house(django_db_blocker) as standing:
        disk = standing.home / "small"
        with small_disk(disk, 48):
            user = account.owner_of(standing.home / "data")
            tables = disk / "tables"
            tables.mkdir()
            user.own(tables)
            moved_to(standing, tables)
            number = 0
            for number in range(3):
                assert posted(standing, number).accepted == 500
            ballast = filled(disk)
            with pytest.raises(PostingStopped) as stopped:  # noqa: PT012
                for number in range(3, 60):
                    posted(standing, number)
            assert stopped.value.state == "disk_full"
            with pytest.raises(PostingStopped) as stopped:
                posted(standing, number)
            assert stopped.value.state == "disk_full"
            found = audit.verify(standing.db, standing.book)
            assert (found.findings, found.transfers) == ((), 500 * number)
            ballast.unlink()
            again = posted(standing, number)
            assert again.accepted == 500
            assert not again.replayed.any()
            for earlier in range(number + 1):
                assert posted(standing, earlier).replayed.all()
            found = audit.verify(standing.db, standing.book)
            assert (found.findings, found.transfers) == ((), 500 * (number + 1))
            posting.close()
            connections[standing.db].close()
            moved_to(standing, None)


def moved_to(standing: House, tables: Path | None) -> None:
    """Move the ledger's database to a tablespace on the small disk, or back."""
    posting.close()
    connections[standing.db].close()
    connections[f"{standing.db}_owner"].close()
    administrator = place.administrator(standing.environ)
    assert administrator is not None
    name = place.database(standing.environ)
    with psycopg.connect(administrator.dsn, autocommit=True) as connection:
        if tables is not None:
            connection.execute(f"create tablespace small location '{tables}'")
        for _ in range(50):
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name]
            )
            with contextlib.suppress(psycopg.errors.ObjectInUse):
                connection.execute(
                    f"alter database {name} set tablespace {'small' if tables else 'pg_default'}"
                )
                break
            time.sleep(0.1)
        if tables is None:
            connection.execute("drop tablespace small")

"""A durable server of its own with a migrated ledger, reached from this process by aliases of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.core.management import call_command
from django.db import connections

from tallystick.core import postgres
from tallystick.core.db import Db
from tallystick.core.postgres import cluster, place
from tallystick.custody import accounts, books, codes, instructions, posting
from tallystick.custody.accounts import NewAccount
from tallystick.custody.models import AmountRule
from tallystick.custody.numbers import AuthorisationKind, BookId, Family
from tallystick.identity.access import Actor
from tests.plugin_postgres import throwaway_home

SIMULATION = Actor.system("simulation")
ROOT = Path(__file__).parents[2]


@dataclass
class House:
    """The server's environment, the alias that reaches it, and what was opened there."""

    environ: dict[str, str]
    db: Db
    book: BookId
    bank: int
    clients: list[int]
    authorisations: list[int]

    @property
    def home(self) -> Path:
        return place.home(self.environ)

    def plan(self, seed: int) -> Path:
        """What a worker is to do."""
        path = self.home / "plan.json"
        told = {name: getattr(self, name) for name in ("book", "bank", "clients", "authorisations")}
        path.write_text(json.dumps({"seed": seed, **told}))
        return path

    def worker(self, seed: int, log: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.faults.worker", str(self.plan(seed)), str(log)],
            env={**self.environ, "DJANGO_SETTINGS_MODULE": "tallystick.settings"},
            cwd=ROOT,
        )

    def kill_server(self) -> bool:
        """kill -9 of the server and all its processes. False where none ran."""
        pid = cluster.state(self.environ).pid
        if pid is None:
            return False
        children = Path(f"/proc/{pid}/task/{pid}/children")
        with contextlib.suppress(OSError):
            for each in [pid, *map(int, children.read_text().split())]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
        return True

    def start_server(self) -> None:
        postgres.ensure(self.environ)


@contextlib.contextmanager
def house(blocker: object, clients: int = 4) -> Iterator[House]:
    """A book with a bank account and clients who may lend to one another."""
    with throwaway_home() as environ, blocker.unblock():  # type: ignore[attr-defined]
        postgres.ensure(environ)
        name = f"house {place.home(environ).name}"
        databases = connections.configure_settings(
            place.databases({**environ, "TALLYSTICK_POSTGRES_POOL": "0"})
        )
        aliases = {name: "default", f"{name}_writer": "writer", f"{name}_owner": "owner"}
        for alias, of in aliases.items():
            connections.settings[alias] = databases[of]
        try:
            call_command("migrate", database=f"{name}_owner", interactive=False, verbosity=0)
            yield _opened(environ, Db(name), clients)
        finally:
            posting.close()
            for alias in aliases:
                with contextlib.suppress(Exception):
                    connections[alias].close()
                del connections.settings[alias]


def _opened(environ: dict[str, str], db: Db, count: int) -> House:
    now, book = datetime.now(UTC), BookId(1)
    books.open_book(db, book, "Faults", actor=SIMULATION, now=now)
    opened = [NewAccount(family=Family.EXTERNAL, asset_code="CNY", name="Bank", reference="bank")]
    opened += [
        NewAccount(
            family=Family.CLIENT, asset_code="CNY", owner=f"C-{n}", name=f"Client {n}", reference=f"C-{n}"
        )
        for n in range(count)
    ]
    bank, *clients = accounts.open_many(db, book, opened, actor=SIMULATION, now=now)
    authorisations = [
        instructions.authorise(
            db,
            client,
            kind=AuthorisationKind.SCHEDULE,
            credit_account=clients[(n + 1) % count],
            code=codes.Code.LEND,
            amount_rule=AmountRule.AT_MOST,
            amount_minor=1000,
            uses_max=10**6,
            total_max_minor=10**9,
            valid_from=now - timedelta(days=1),
            valid_until=now + timedelta(days=1),
            basis="as often as asked",
            actor=SIMULATION,
            now=now,
        )
        for n, client in enumerate(clients)
    ]
    return House(environ, db, book, bank, list(clients), list(authorisations))

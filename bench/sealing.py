"""How fast events are sealed, and what evidence costs the ledger: run by `bench/evidence.py`, in a home of its own.

Sealing: events that wait in the outbox become entries, tiles and a signed checkpoint in batches of 10,000, each
its own durable transaction. The ledger: one book in batches of 8,000, with evidence (the batch's root and leaf
hashes, its event, and a sequencer that seals and publishes each second in the same process) and without any of
it. Rounds are interleaved and medians told, for machines drift.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import ledger  # noqa: E402

BATCH = 10_000
_NO_EVENT = "select null where false and coalesce({}) is null".format(", ".join(["%s::text"] * 8))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=300_000)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--directory", default=None)
    options = parser.parse_args()
    print(json.dumps(ledger._in_a_home(options, _measured)))


def _measured(options: argparse.Namespace) -> dict[str, Any]:
    administrator = ledger._stood()
    from tallystick.cli import evidence
    from tallystick.core.db import SEQUENCER
    from tallystick.evidence import sealing

    evidence.open_logs()
    sealing.seal(SEQUENCER, now=datetime.now(UTC))
    told: dict[str, Any] = {"seal_entries": options.entries, "seal_batch": BATCH}
    told |= _sealed(administrator, options.entries)
    told |= _posted(administrator, options)
    return told


def _sealed(administrator: str, entries: int) -> dict[str, float]:
    import psycopg

    from tallystick.core.db import SEQUENCER
    from tallystick.evidence import sealing
    from tallystick.evidence.keys import LEDGER

    ledger._say(f"sealing {entries:,} entries")
    with psycopg.connect(administrator, dbname="tallystick", autocommit=True) as connection:
        connection.execute(
            "insert into evidence_outbox (kind, at, actor, commitment)"
            " select 'custody.transfers_posted', now(), 'system:posting', sha256(n::text::bytea)"
            " from generate_series(1, %s::int) n",
            [entries],
        )
    ledger._settle(administrator)
    sequencer = sealing.Sequencer(SEQUENCER, LEDGER)
    took, cpu = [], time.process_time()
    while True:
        began = time.perf_counter()
        sealed = sequencer.seal(now=datetime.now(UTC), limit=BATCH)
        if sealed < BATCH:
            break
        took.append(time.perf_counter() - began)
    cpu = time.process_time() - cpu
    return {
        "seal_entries_per_s": round(BATCH / statistics.median(took)),
        "seal_entries_per_s_mean": round(BATCH * len(took) / sum(took)),
        "seal_entries_per_cpu_s": round(BATCH * len(took) / cpu),
    }


def _posted(administrator: str, options: argparse.Namespace) -> dict[str, Any]:
    import numpy as np

    book = ledger.FIRST_BOOK
    ledger._open_book(book, ledger.ACCOUNTS)
    ledger._settle(administrator)
    samples: dict[str, list[float]] = {"on": [], "off": []}
    for nth in range(options.rounds):
        for mode in ("on", "off") if nth % 2 == 0 else ("off", "on"):
            with _sealing() if mode == "on" else _without():
                rng = np.random.default_rng(time.time_ns())
                done, seconds = ledger._posted_in(
                    ledger._writer(book),
                    lambda rng=rng: ledger._batch(book, ledger.ACCOUNTS, ledger.BATCH, rng),
                    options.seconds,
                )
                samples[mode].append(done / seconds)
                ledger._say(f"round {nth + 1}: evidence {mode}: {done / seconds:,.0f} transfers a second")
                ledger._close_writers()
    kept = [on / off for on, off in zip(samples["on"], samples["off"], strict=True)]
    return {
        "ledger_tps_on": round(statistics.median(samples["on"])),
        "ledger_tps_off": round(statistics.median(samples["off"])),
        "ledger_kept": round(statistics.median(kept), 3),
        "ledger_samples": {mode: [round(each) for each in values] for mode, values in samples.items()},
    }


@contextlib.contextmanager
def _sealing() -> Iterator[None]:
    """A sequencer and a publisher at work each second, as the posting process has them."""
    from django.conf import settings

    from tallystick.core.db import SEQUENCER
    from tallystick.pulse import Pulse

    stopping = threading.Event()

    def beat() -> None:
        pulse = Pulse(time.monotonic)
        while not stopping.wait(1):
            pulse.seal(SEQUENCER, settings.LOG_FOLDER, datetime.now(UTC))

    beating = threading.Thread(target=beat)
    beating.start()
    try:
        yield
    finally:
        stopping.set()
        beating.join()


@contextlib.contextmanager
def _without() -> Iterator[None]:
    """No event, no leaf hashes, no root. The house itself cannot do without: only this measurement can."""
    from tallystick.custody import encoding
    from tallystick.evidence import log

    with (
        mock.patch.object(encoding, "_leaves", return_value=b""),
        mock.patch.object(log, "insert_sql", return_value=_NO_EVENT),
    ):
        yield


if __name__ == "__main__":
    main()

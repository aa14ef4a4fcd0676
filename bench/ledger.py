"""How fast the ledger posts, beside pgbench's TPC-B and a raw COPY of the same rows.

On embedded servers with full durability, in throw-away homes: every figure is of this run. Rounds are
interleaved and medians reported, because machines drift; the ratios are what to compare. Transfers carry
everything a real one does: limits, idempotency, an authorisation consumed, both balances, account history,
and the batch's event in the evidence outbox; the database's own checks are on.

Two homes, one after the other. In the first only the ledger's writer runs. The second is served as a house
in operation is: web, posting process with its beat and its second look, and a continuous archive of WAL.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

BATCH = 8_000
ACCOUNTS = 10_000
MILLION = 1_000_000
CODE = 19  # transfer
HOT, MILLION_BOOK, SECOND_BOOK, FIRST_BOOK = 4, 3, 2, 1

Samples = dict[str, list[float]]
Stages = dict[str, Callable[[], dict[str, float]]]


def main() -> None:
    options = _options()
    if options.worker:
        _worker(options)
        return
    load = os.getloadavg()[0]
    samples = _in_a_home(options, _served if options.served else _posted)
    if options.served:
        print(json.dumps(samples))
        return
    # Django is bound to one home for as long as a process lives.
    served = subprocess.run(
        [sys.executable, __file__, "--served", *sys.argv[1:]], stdout=subprocess.PIPE, check=True, text=True
    )
    samples |= json.loads(served.stdout)
    figures = {name: statistics.median(values) for name, values in samples.items()}
    result = {
        "schema": "tallystick/bench-ledger/2",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "load_before": round(load, 2),
        "seconds": options.seconds,
        "rounds": options.rounds,
        **{name: round(value, 2) for name, value in figures.items()},
        **_ratios(samples),
        "one_book_to_raw_copy": round(figures["one_book_tps"] / figures["raw_copy_rows_per_s"], 3),
        "samples": {name: [round(value, 1) for value in values] for name, values in samples.items()},
    }
    print(json.dumps(result, indent=None if options.json else 2))


def _ratios(samples: Samples) -> dict[str, float]:
    """Each rate to pgbench's of the same round and home."""
    ratios = {}
    for name in samples:
        if name.endswith("_tps") and not name.startswith("pgbench"):
            peers = samples["pgbench_served_tps" if name in SERVED else "pgbench_tps"]
            each = [mine / peer for mine, peer in zip(samples[name], peers, strict=True)]
            ratios[f"{name.removesuffix('_tps')}_ratio"] = round(statistics.median(each), 2)
    return ratios


def _in_a_home(options: argparse.Namespace, measured: Callable[[argparse.Namespace], Samples]) -> Samples:
    """What is measured on a server of its own, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="tallystick-bench-", dir=options.directory) as home:
        os.chmod(home, 0o755)
        os.environ["TALLYSTICK_HOME"] = home
        for name in ("DATABASE_URL", "TALLYSTICK_POSTGRES_PROFILE", "TALLYSTICK_POSTING"):
            os.environ.pop(name, None)
        os.environ["TALLYSTICK_INSECURE_HTTP"] = "1"
        try:
            return measured(options)
        finally:
            from tallystick.core import postgres

            postgres.stop(os.environ)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-million", dest="million", action="store_false")
    parser.add_argument("--directory", help="where the throw-away home is made", default=None)
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--served", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--accounts", type=int, default=ACCOUNTS, help=argparse.SUPPRESS)
    return parser.parse_args()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


# ── the run ──────────────────────────────────────────────────────────────────────────────────────────────


def _posted(options: argparse.Namespace) -> Samples:
    """The ledger's writer in this process, and nothing beside it."""
    administrator = _stood()
    pgbench = _Pgbench(administrator)
    for book in (FIRST_BOOK, SECOND_BOOK, HOT):
        _say(f"opening book {book} with {ACCOUNTS} accounts")
        _open_book(book, ACCOUNTS)
    if options.million:
        _say(f"opening book {MILLION_BOOK} with {MILLION} accounts")
        _open_book(MILLION_BOOK, MILLION)
    _settle(administrator)
    seconds = options.seconds
    stages: Stages = {
        "pgbench": lambda: {"pgbench_tps": pgbench.tps(seconds)},
        "one_book": lambda: _one_book(FIRST_BOOK, seconds, "one_book"),
        "hot": lambda: _one_book(HOT, seconds, "one_book_hot", hot=True),
        "raw_copy": lambda: {"raw_copy_rows_per_s": _raw_copy(administrator, seconds)},
        "two_books": lambda: {"two_books_tps": _two_books(seconds)},
        "singles_64": lambda: _singles(64, seconds, "singles_64"),
        "singles": lambda: _singles(1_000, seconds, "singles"),
    }
    if options.million:
        stages["million"] = lambda: _one_book(MILLION_BOOK, seconds, "million_accounts", accounts=MILLION)
    return {"fdatasync_per_s": [_fsyncs()], **_rounds(options, stages)}


SERVED = ("one_book_archived_tps", "http_batch_tps", "http_singles_tps")
"""Rates that are measured where the house is in operation."""


def _served(options: argparse.Namespace) -> Samples:
    """A house in operation: a continuous archive, and for HTTP the web and the posting process."""
    administrator = _stood()
    pgbench = _Pgbench(administrator)
    _say(f"opening book {FIRST_BOOK} with {ACCOUNTS} accounts")
    _open_book(FIRST_BOOK, ACCOUNTS)
    token = _token()
    # From here on WAL is archived, and no base backup is due while something is measured.
    _tallystick("backup")
    _settle(administrator)
    seconds = options.seconds
    stages: Stages = {
        "pgbench": lambda: {"pgbench_served_tps": pgbench.tps(seconds)},
        "one_book": lambda: _archived(seconds),
        "second_look": _second_look,
        "http": lambda: _http(token, seconds),
    }
    return _rounds(options, stages)


def _stood() -> str:
    """A server of this home with every table; its administrator's address."""
    from tallystick.cli import ground

    server = ground.stand(quiet=True)
    _tallystick("migrate")
    sys.setswitchinterval(0.0005)
    assert server.administrator is not None
    return server.administrator


def _rounds(options: argparse.Namespace, stages: Stages) -> Samples:
    samples: Samples = {}
    for nth in range(options.rounds):
        for name, stage in stages.items():
            figures = stage()
            _say(
                f"round {nth + 1} of {options.rounds}: {name}: "
                + ", ".join(f"{k} {v:,.1f}" for k, v in figures.items())
            )
            for figure, value in figures.items():
                samples.setdefault(figure, []).append(value)
    _close_writers()
    return samples


def _tallystick(command: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "tallystick", command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip


class _Pgbench:
    """pgbench's TPC-B, scale 10, 8 clients, prepared, on the same server."""

    def __init__(self, administrator: str) -> None:
        import psycopg

        self.program = _program("pgbench")
        with psycopg.connect(administrator, autocommit=True) as connection:
            connection.execute("create database pgbench")
        self.conninfo = re.sub(r"dbname=\S+", "dbname=pgbench", administrator)
        _say("initialising pgbench at scale 10")
        self._run("-i", "-s", "10", "-q")

    def tps(self, seconds: float) -> float:
        out = self._run("-c", "8", "-j", "2", "-M", "prepared", "-n", "-T", str(max(int(seconds), 1)))
        found = re.search(r"tps = ([0-9.]+)", out)
        assert found, out
        return float(found[1])

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [self.program, *arguments, self.conninfo], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def _program(name: str) -> str:
    """A program of the embedded server."""
    from tallystick.core.postgres import binaries

    return binaries.of_home(os.environ).program(name)


def _fsyncs() -> float:
    """fdatasync calls a second of the disk, by the server's own tool."""
    path = Path(os.environ["TALLYSTICK_HOME"]) / "fsync-test"
    out = subprocess.run(
        [_program("pg_test_fsync"), "-s", "1", "-f", str(path)], capture_output=True, text=True, check=False
    ).stdout
    path.unlink(missing_ok=True)
    found = re.search(r"fdatasync\s+([0-9.]+) ops/sec", out)
    return float(found[1]) if found else 0.0


# ── the books ────────────────────────────────────────────────────────────────────────────────────────────


def _client_base(book: int) -> int:
    from tallystick.custody import numbers

    return int(numbers.account_number(book, numbers.Family.CLIENT, 156, book * 10**7))


def _bank(book: int) -> int:
    from tallystick.custody import numbers

    return int(numbers.account_number(book, numbers.Family.EXTERNAL, 156, book * 10**7))


def _open_book(book: int, accounts: int) -> None:
    """A book with funded client accounts, each with a standing authorisation to pay the next one."""
    import numpy as np
    from django.db import connection

    from tallystick.custody import transfers

    base, serials = _client_base(book), book * 10**7
    with connection.cursor() as cursor:
        cursor.execute(
            "insert into custody_asset values (156, 'CNY', 2, 'Chinese yuan') on conflict do nothing"
        )
        cursor.execute(
            "insert into custody_book (id, name, time_zone, opened_at, opened_by) "
            "values (%s, %s, 'UTC', now(), 'bench')",
            [book, f"bench {book}"],
        )
        cursor.execute(
            "insert into custody_account (number, book_id, asset_id, family, normal_side, owner, name, reference, "
            "opened_at, opened_by) select %s + i, %s, 156, 1, 2, 'c' || i, 'client', 'c' || i, now(), 'bench' "
            "from generate_series(1, %s) i",
            [base, book, accounts],
        )
        cursor.execute(
            "insert into custody_account (number, book_id, asset_id, family, normal_side, owner, name, reference, "
            "opened_at, opened_by) values (%s, %s, 156, 3, 1, '', 'bank', 'bank', now(), 'bench')",
            [_bank(book), book],
        )
        cursor.execute(
            "insert into custody_account_state (book_id, account_id, status, no_overdraft, reason, at, actor) "
            "select book_id, number, 'open', family <> 3, 'opened', now(), 'bench' "
            "from custody_account where book_id = %s",
            [book],
        )
        # In the hot book everyone pays the first client; elsewhere each pays the next.
        payee = f"{base} + 1" if book == HOT else f"{base} + (i %% {accounts}) + 1"
        cursor.execute(
            "insert into custody_authorisation (number, book_id, debit_account, credit_account, payee, code, "
            "amount_rule, amount_minor, total_max_minor, uses_max, valid_from, valid_until, basis, statement, "
            "given_by, given_at) "
            f"select (%s + i)::bigint * 100000000 + 12, %s, %s + i, {payee}, '', {CODE}, 2, 1000000, "
            "1000000000000000, 2000000000, '2000-01-01', '2200-01-01', 'bench', '{}', 'bench', now() "
            "from generate_series(1, %s) i",
            [serials, book, base, accounts],
        )
    writer = _writer(book)
    bank = np.int64(_bank(book))
    for start in range(0, accounts, 10_000):
        count = min(10_000, accounts - start)
        credit = base + 1 + start + np.arange(count)
        batch = transfers.plain(_ids(count), np.full(count, bank), credit, np.full(count, 10**11), 1)
        result = writer.submit(batch, actor="bench", now=_now()).result()
        assert result.accepted == count, result.refusal_of(0)
    writer.close()
    _WRITERS.pop(book)


_WRITERS: dict[int, Any] = {}


def _writer(book: int) -> Any:
    from tallystick.core.db import APP
    from tallystick.custody import posting
    from tallystick.custody.book_writer import BookWriter

    if book not in _WRITERS:
        _WRITERS[book] = BookWriter(posting.connect(APP), book)
    return _WRITERS[book]


def _close_writers() -> None:
    for writer in _WRITERS.values():
        writer.close()
    _WRITERS.clear()


def _settle(administrator: str) -> None:
    """Statistics and a checkpoint, so that neither falls into a measurement."""
    import psycopg

    with psycopg.connect(
        re.sub(r"dbname=\S+", "dbname=tallystick", administrator), autocommit=True
    ) as connection:
        connection.execute("vacuum (analyze)")
        connection.execute("checkpoint")


def _now() -> int:
    return time.time_ns() // 1_000


def _ids(count: int) -> bytes:
    """Version 7 UUIDs of this millisecond."""
    import numpy as np

    raw = np.empty((count, 16), np.uint8)
    raw[:, :6] = np.frombuffer((time.time_ns() // 1_000_000).to_bytes(6, "big"), np.uint8)
    raw[:, 6:] = np.frombuffer(os.urandom(10 * count), np.uint8).reshape(count, 10)
    raw[:, 6] = 0x70 | (raw[:, 6] & 0x0F)
    raw[:, 8] = 0x80 | (raw[:, 8] & 0x3F)
    return raw.tobytes()


def _batch(book: int, accounts: int, count: int, rng: Any, *, hot: bool = False) -> Any:
    from tallystick.custody import transfers

    base, serials = _client_base(book), book * 10**7
    payer = rng.integers(2 if hot else 1, accounts + 1, count)
    payee = base + 1 + 0 * payer if hot else base + payer % accounts + 1
    return transfers.plain(
        _ids(count), base + payer, payee, rng.integers(1, 1_000, count), CODE, (serials + payer) * 10**8 + 12
    )


# ── stages ───────────────────────────────────────────────────────────────────────────────────────────────


def _posted_in(writer: Any, make: Callable[[], Any], seconds: float) -> tuple[int, float]:
    """Keep three batches in flight for so long; how many transfers were posted, and in how many seconds."""
    flying: deque[tuple[Any, int]] = deque()
    done = 0
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        while len(flying) < 3:
            batch = make()
            flying.append((writer.submit(batch, actor="bench", now=_now()), len(batch)))
        future, count = flying.popleft()
        assert future.result().accepted == count
        done += count
    while flying:
        future, count = flying.popleft()
        assert future.result().accepted == count
        done += count
    return done, time.perf_counter() - start


def _one_book(
    book: int, seconds: float, name: str, *, accounts: int = ACCOUNTS, hot: bool = False
) -> dict[str, float]:
    import numpy as np

    rng = np.random.default_rng(time.time_ns())
    writer = _writer(book)
    writer.preload()
    _posted_in(writer, lambda: _batch(book, accounts, BATCH, rng, hot=hot), 0.5)
    server, client, wal = _server_cpu(), time.process_time(), _wal()
    done, took = _posted_in(writer, lambda: _batch(book, accounts, BATCH, rng, hot=hot), seconds)
    return {
        f"{name}_tps": done / took,
        f"{name}_client_cpu_us": (time.process_time() - client) / done * 1e6,
        f"{name}_server_cpu_us": (_server_cpu() - server) / done * 1e6,
        f"{name}_wal_bytes": (_wal() - wal) / done,
    }


def _server_cpu() -> float:
    """CPU seconds so far of the sessions that post."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("select pid from pg_stat_activity where application_name = 'tallystick posting'")
        pids = [row[0] for row in cursor.fetchall()]
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _wal() -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("select pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
        return int(cursor.fetchone()[0])


def _raw_copy(administrator: str, seconds: float) -> float:
    """Rows a second of COPY alone: the same rows as transfers, one unique index, durable, 8,000 a commit."""
    import numpy as np
    import psycopg

    from tallystick.custody import encoding, judgement, memory

    columns = ", ".join(encoding.TRANSFER_COLUMNS)
    known = memory.Memory(FIRST_BOOK)
    base, serials = _client_base(FIRST_BOOK), FIRST_BOOK * 10**7
    for i in range(1, ACCOUNTS + 1):
        known.accounts.put(base + i, (0, 10**12, 0, 0), 0, True, True, memory.NO_CEILING)
        known.authorisations.put(
            (serials + i) * 10**8 + 12, "", None, debit=base + i, credit=base + i % ACCOUNTS + 1, code=CODE, rule=2,
            amount=10**6, total_max=10**15, uses_max=2 * 10**9, valid_from=0, valid_until=2**61, withdrawn=0, uses=0,
            used=0,
        )  # fmt: skip
    rng = np.random.default_rng(1)
    loads = []
    for _ in range(int(seconds * 45) + 10):
        judged = judgement.at_once(known, _batch(FIRST_BOOK, ACCOUNTS, BATCH, rng), _now(), 20_000)
        assert judged is not None
        loads.append(encoding.copied(judged, FIRST_BOOK, bytes(32)).transfers)
    target = re.sub(r"dbname=\S+", "dbname=tallystick", administrator)
    with psycopg.connect(target) as connection:
        connection.execute("drop table if exists raw_copy")
        connection.execute("create table raw_copy (like custody_transfer)")
        connection.execute("create unique index on raw_copy (id)")
        connection.commit()
        done, start = 0, time.perf_counter()
        for load in loads:
            if time.perf_counter() - start > seconds:
                break
            with connection.cursor().copy(f"copy raw_copy ({columns}) from stdin (format binary)") as copy:
                copy.write(load)
            connection.commit()
            done += BATCH
        took = time.perf_counter() - start
        connection.execute("drop table raw_copy")
        connection.commit()
    return done / took


def _two_books(seconds: float) -> float:
    """Two processes, a book each, measured over the same wall clock."""
    _close_writers()  # theirs alone now
    workers = [
        subprocess.Popen(
            [sys.executable, __file__, "--worker", str(book), "--seconds", str(seconds)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for book in (FIRST_BOOK, SECOND_BOOK)
    ]  # fmt: skip
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline().strip() == "ready"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    rates = [json.loads(worker.communicate(timeout=seconds * 5 + 60)[0]) for worker in workers]
    # Both over the longer of the two times.
    return sum(rate["done"] for rate in rates) / max(rate["took"] for rate in rates)


def _worker(options: argparse.Namespace) -> None:
    import numpy as np

    from tallystick.cli import ground

    ground.stand(quiet=True)
    sys.setswitchinterval(0.0005)
    book, rng = options.worker, np.random.default_rng(options.worker)
    writer = _writer(book)
    writer.preload()
    _posted_in(writer, lambda: _batch(book, ACCOUNTS, BATCH, rng), 0.3)
    print("ready", flush=True)
    sys.stdin.readline()
    done, took = _posted_in(writer, lambda: _batch(book, ACCOUNTS, BATCH, rng), options.seconds)
    writer.close()
    print(json.dumps({"done": done, "took": took}), flush=True)


def _singles(callers: int, seconds: float, name: str) -> dict[str, float]:
    """So many callers in this process, each waiting for its own transfer before it asks for the next."""
    import numpy as np

    from tallystick.custody import numbers, transfers

    book = FIRST_BOOK
    writer = _writer(book)
    writer.preload()
    base, serials = _client_base(book), book * 10**7
    payers = iter(
        np.random.default_rng(time.time_ns())
        .integers(1, ACCOUNTS + 1, int(seconds * 80_000) + 1_000)
        .tolist()
    )
    waits: list[float] = []
    ids = iter(())

    def request() -> transfers.TransferRequest:
        nonlocal ids
        raw = next(ids, None)
        if raw is None:
            ids = iter(transfers.sixteens(_ids(4_096)))
            raw = next(ids)
        payer = next(payers)
        return transfers.TransferRequest(
            id=raw.hex(),
            debit_account=numbers.account_text(base + payer),
            credit_account=numbers.account_text(base + payer % ACCOUNTS + 1),
            amount_minor=1 + payer % 997,
            code="transfer",
            authorisation=numbers.authorisation_text((serials + payer) * 10**8 + 12),
        )

    async def caller(end: float) -> None:
        while (asked := time.perf_counter()) < end:
            result = await writer.submit_async(transfers.row(request()), actor="bench", now=_now())
            assert not result.refusal[0], result.refusal_of(0)
            waits.append(time.perf_counter() - asked)

    async def run() -> float:
        start = time.perf_counter()
        await asyncio.gather(*(caller(start + seconds) for _ in range(callers)))
        return time.perf_counter() - start

    took = asyncio.run(run())
    waits.sort()
    return {
        f"{name}_tps": len(waits) / took,
        f"{name}_p50_ms": waits[len(waits) // 2] * 1e3,
        f"{name}_p99_ms": waits[int(len(waits) * 0.99)] * 1e3,
    }


def _archived(seconds: float) -> dict[str, float]:
    figures = _one_book(FIRST_BOOK, seconds, "one_book_archived")
    return {"one_book_archived_tps": figures["one_book_archived_tps"]}


def _second_look() -> dict[str, float]:
    """How fast the bulk loads so far are compared with their transfers, as the posting process's beat does."""
    from tallystick.core.db import APP
    from tallystick.custody import checks
    from tallystick.custody.numbers import BookId
    from tallystick.pulse import ACTOR

    start, began = time.perf_counter(), _COMPARED.get(FIRST_BOOK, 0)
    done, to = 1, began
    while done:
        done, to = checks.advance(APP, BookId(FIRST_BOOK), after=to, actor=ACTOR, now=datetime.now(UTC))
    _COMPARED[FIRST_BOOK] = to
    return {"second_look_per_s": (to - began) / (time.perf_counter() - start)}


_COMPARED: dict[int, int] = {}


# ── over HTTP ────────────────────────────────────────────────────────────────────────────────────────────

_SERVER: dict[str, Any] = {}


def _http(token: str, seconds: float) -> dict[str, float]:
    """The batch endpoint, 1,000 a call, 4 connections; and singles, 32 connections: server processes and all."""
    _close_writers()
    _serve(token)
    try:
        _http_load(1, connections=4, size=1_000)  # a fresh process learns the accounts first
        return {
            "http_batch_tps": _http_load(seconds, connections=4, size=1_000),
            "http_singles_tps": _http_load(max(seconds / 2, 1), connections=32, size=1),
        }
    finally:
        _SERVER["process"].terminate()
        _SERVER["process"].wait(timeout=60)


def _serve(token: str) -> None:
    """Start the real server, web worker and posting process, and wait until it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tallystick", "serve", "--port", "0", "--threads", "8"],
        cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        env={**os.environ, "TALLYSTICK_API_REQUESTS_A_SECOND": "1000000"},
    )  # fmt: skip
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if found := re.search(r"Ready at https?://([^/:]+):(\d+)/", line):
            _SERVER.update(token=token, process=process, host=found[1], port=int(found[2]))
            # What it says from here on is nobody's: read it, so that it never waits for a reader.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return
    raise AssertionError("the server did not start: " + "".join(said))


def _token() -> str:
    from tallystick.core.db import APP
    from tallystick.identity import api_tokens, users
    from tallystick.identity.access import Actor
    from tallystick.identity.roles import Role

    now, actor = datetime.now(UTC), Actor.system("cli")
    user = users.create(APP, "bench", name="Bench", actor=actor, now=now)
    users.grant(APP, user.pk, Role.PLATFORM_OPERATIONS, reason="To measure.", actor=actor, now=now)
    return api_tokens.issue(APP, user.pk, "bench", actor=actor, now=now)


def _http_load(seconds: float, *, connections: int, size: int) -> float:
    """Transfers a second that were accepted over so many connections, `size` a call."""
    posted = [0] * connections
    start = time.perf_counter()
    threads = [
        threading.Thread(target=_http_caller, args=(posted, nth, start + seconds, size))
        for nth in range(connections)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(posted) / (time.perf_counter() - start)


def _http_caller(posted: list[int], nth: int, end: float, size: int) -> None:
    import numpy as np

    from tallystick.custody import numbers, transfers

    rng = np.random.default_rng([nth, time.time_ns()])
    base, serials = _client_base(FIRST_BOOK), FIRST_BOOK * 10**7
    connection = http.client.HTTPConnection(_SERVER["host"], _SERVER["port"], timeout=60)
    headers = {"Authorization": f"Bearer {_SERVER['token']}", "Content-Type": "application/json"}
    path = f"/api/v1/books/{FIRST_BOOK}/transfer" + ("" if size == 1 else "s")
    while time.perf_counter() < end:
        requests = [
            {
                "id": raw.hex(),
                "debit_account": numbers.account_text(base + payer),
                "credit_account": numbers.account_text(base + payer % ACCOUNTS + 1),
                "amount_minor": 7,
                "code": "transfer",
                "authorisation": numbers.authorisation_text((serials + payer) * 10**8 + 12),
            }
            for raw, payer in zip(
                transfers.sixteens(_ids(size)), rng.integers(1, ACCOUNTS + 1, size).tolist(), strict=True
            )
        ]
        connection.request("POST", path, msgspec.json.encode(requests[0] if size == 1 else requests), headers)
        reply = connection.getresponse()
        body = reply.read()
        assert reply.status in (200, 201), (reply.status, body[:300])
        assert body.count(b'"accepted"') >= size, body[:300]
        posted[nth] += size


if __name__ == "__main__":
    main()

"""How fast a million ledger lines are reconciled with a million statement lines, beside a plain join.

The two sides are made with breaks of every kind planted in them, and every line that is not planted has its
partner: most under one reference, some a day late, some under the second of the bank's references or in
its text alone, some without any reference, some in batches of one line for several, some through a payment
channel that pays out sums less its fees. What was planted must be found, each on its own line and of its
own kind, and nothing else: `found_breaks` and `false_breaks` count lines, not totals.

The limit is a plain Polars join of the same two sides on reference, amount and currency: it finds the
partners of most lines, and explains nothing. Both sides are in memory as columns before either clock
starts, each in a process of its own, and the rounds take turns, because machines drift. Our time is that
of hashing the references, all passes, the kinds of what is left, and the digest of the outcome; our
memory is the process's whole.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

CORES = 2
FIRST, LAST = dt.date(2026, 3, 2), dt.date(2026, 3, 31)
SETTLED_DAYS = 6
KINDS = (
    "timing",
    "amount",
    "missing_in_ledger",
    "missing_at_bank",
    "duplicate",
    "unidentified",
    "wrong_account",
)
LATE_EVERY, SECOND_EVERY, WORD_EVERY, UNNAMED_EVERY = 50, 200, 500, 100
"""Of so many lines one is booked a day late; has its reference second; in its text; has none."""
BATCH_EVERY, BATCH_LINES = 5_000, 4
SETTLEMENT_EVERY, SETTLEMENT_LINES, FEE_PER_MILLE = 20_000, 50, 6


def main() -> None:
    options = _options()
    if options.worker:
        {"ours": _ours, "join": _join}[options.worker](Path(options.directory))
        return
    with tempfile.TemporaryDirectory(prefix="tallystick-bench-", dir=options.directory) as directory:
        result = _measured(options, Path(directory))
    print(json.dumps(result, indent=None if options.json else 2))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--lines", type=int, default=1_000_000, help="of each side")
    parser.add_argument("--per-mille", type=float, default=5, help="planted breaks in a thousand lines")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", help="where both sides are laid down", default=None)
    parser.add_argument("--worker", choices=("ours", "join"), help=argparse.SUPPRESS)
    return parser.parse_args()


# ── the run ──────────────────────────────────────────────────────────────────────────────────────────────


def _measured(options: argparse.Namespace, directory: Path) -> dict[str, Any]:
    load_before = os.getloadavg()[0]
    world = World(options.lines, np.random.default_rng(options.seed))
    world.plant(round(options.lines * options.per_mille / 1000))
    world.lay_down(directory)
    ours, join = (_Worker(name, directory) for name in ("ours", "join"))
    # Once without the clock: what is imported, allocated and cached at first is no part of the promise.
    ours.round()
    join.round()
    rounds = []
    for _ in range(options.rounds):
        rounds.append((ours.round(), join.round()))
        print(
            f"ours {rounds[-1][0]['seconds']:.3f} s, join {rounds[-1][1]['seconds']:.3f} s", file=sys.stderr
        )
    ours.end()
    join.end()
    told, joined = rounds[-1]
    seconds = statistics.median(each["seconds"] for each, _ in rounds)
    join_seconds = statistics.median(each["seconds"] for _, each in rounds)
    found = Counter(tuple(each) for each in told["breaks"])
    planted = Counter(tuple(each) for each in world.planted)
    found_right = planted & found
    lines = told["ledger_lines"] + told["statement_lines"]
    assert len({each["digest"] for each, _ in rounds}) == 1, "one input, two outcomes"
    return {
        "schema": "tallystick/bench-reconcile/1",
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "cores": min(os.cpu_count() or 1, CORES),
        "load_before": round(load_before, 2),
        "rounds": options.rounds,
        "seed": options.seed,
        "ledger_lines": told["ledger_lines"],
        "statement_lines": told["statement_lines"],
        "channel_lines": told["channel_lines"],
        "seconds": round(seconds, 4),
        "join_seconds": round(join_seconds, 4),
        "lines_per_s": round(lines / seconds),
        "ratio_to_join": round(seconds / join_seconds, 2),
        "peak_mb": round(max(each["peak_mb"] for each, _ in rounds)),
        "join_peak_mb": round(max(each["peak_mb"] for _, each in rounds)),
        "columns_mb": told["columns_mb"],
        "matched_by": told["matched_by"],
        "joined": joined["joined"],
        "planted_breaks": sum(planted.values()),
        "found_breaks": sum(found_right.values()),
        "false_breaks": sum((found - planted).values()),
        "planted_by_kind": {kind: sum(n for (k, *_), n in planted.items() if k == kind) for kind in KINDS},
        "found_by_kind": {kind: sum(n for (k, *_), n in found_right.items() if k == kind) for kind in KINDS},
        "unexplained_minor": told["difference_minor"] - told["effect_minor"],
        "digest": told["digest"],
    }


class _Worker:
    """A process that holds both sides and runs a round when it is told to."""

    def __init__(self, name: str, directory: Path) -> None:
        command = [sys.executable, __file__, "--worker", name, "--directory", str(directory)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "POLARS_MAX_THREADS": str(CORES)},
        )
        self._answer()

    def round(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write("round\n")
        self.process.stdin.flush()
        return self._answer()

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a worker ended early: see above")
        told: dict[str, Any] = json.loads(line)
        return told


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# ── the two workers ──────────────────────────────────────────────────────────────────────────────────────


def _ours(directory: Path) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    from tallystick.custody import matching

    held = {name: np.load(directory / f"{name}.npy") for name in COLUMNS}
    words = json.loads((directory / "words.json").read_text())
    said = {int(row): matching.Said(tuple(refs), text) for row, (refs, text) in words["said"].items()}
    bank_reference = held["bank_reference"]

    def spoken(rows: matching.lines.Ints) -> list[matching.Said]:
        return [said.get(row) or matching.Said((bank_reference[row].decode(),)) for row in rows.tolist()]

    bank = matching.Bank(**{name: held[f"bank_{name}"] for name in _BANK}, said=spoken)
    ledger = matching.Ledger(**{name: held[f"ledger_{name}"] for name in _LEDGER})
    channel = matching.Channel(**{name: held[f"channel_{name}"] for name in _CHANNEL})
    around = matching.Around(
        cut_off=LAST,
        bank_known_to=LAST,
        ledger_after=[
            matching.LedgerLine(n, LAST + dt.timedelta(1), amount, reference)
            for n, (reference, amount) in enumerate(words["after"])
        ],
        ledger_elsewhere=words["elsewhere"],
        known=frozenset(["C-WANG"]),
    )
    columns_mb = round(sum(column.nbytes for column in held.values()) / 2**20)
    difference = int(bank.amount_minor.sum()) - int(ledger.amount_minor.sum())
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        outcome = matching.judge(matching.match(bank, ledger, channel), around)
        digest = outcome.digest
        seconds = time.perf_counter() - began
        told = {
            "seconds": seconds,
            "digest": digest.hex(),
            "ledger_lines": len(ledger.position),
            "statement_lines": len(bank.key),
            "channel_lines": len(channel.key),
            "columns_mb": columns_mb,
            "matched_by": outcome.by_pass,
            "difference_minor": difference,
            "effect_minor": outcome.effect_minor,
            "breaks": [[str(each.kind), each.bank, each.position, each.channel] for each in outcome.breaks],
            "peak_mb": _peak_mb(),
        }
        print(json.dumps(told), flush=True)


def _join(directory: Path) -> None:
    import polars as pl

    sides = []
    for side, key in (("ledger", "position"), ("bank", "key")):
        columns = {
            name: np.load(directory / f"{side}_{name}.npy") for name in ("amount_minor", "currency", key)
        }
        reference = np.load(directory / f"{side}_reference.npy").astype("U").tolist()
        sides.append(pl.DataFrame({"reference": reference, **columns}))
        del reference
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        joined = sides[0].join(sides[1], on=["reference", "amount_minor", "currency"])
        seconds = time.perf_counter() - began
        print(json.dumps({"seconds": seconds, "joined": joined.height, "peak_mb": _peak_mb()}), flush=True)


# ── what is reconciled ───────────────────────────────────────────────────────────────────────────────────

_BANK = ("key", "day", "amount_minor", "reference", "currency")
_LEDGER = ("position", "day", "amount_minor", "reference", "currency", "reverses")
_CHANNEL = ("key", "day", "gross_minor", "fee_minor", "reference", "settlement", "currency")
COLUMNS = (
    *(f"bank_{name}" for name in _BANK),
    *(f"ledger_{name}" for name in _LEDGER),
    *(f"channel_{name}" for name in _CHANNEL),
)


@dataclass
class Rows:
    """Lines added one by one: what is not a plain pair."""

    bank: list[tuple[int, int, bytes]] = field(default_factory=list)
    ledger: list[tuple[int, int, bytes]] = field(default_factory=list)
    channel: list[tuple[int, int, int, bytes, bytes]] = field(default_factory=list)


class World:
    """Both sides of a month, and what is planted in them."""

    def __init__(self, lines: int, chance: np.random.Generator) -> None:
        self.chance = chance
        self.first, self.last = FIRST.toordinal(), LAST.toordinal()
        settled = self.last - SETTLED_DAYS
        self.lines = lines
        self.reference = np.array([b"TRF-2026%09d" % n for n in range(lines)], np.bytes_)
        self.bank_reference = self.reference.copy()
        self.day = chance.integers(self.first, settled, lines, dtype=np.int32)
        self.bank_day = self.day.copy()
        amount = chance.integers(100, 10**7, lines)
        amount[chance.random(lines) < 0.3] = 50_000_00  # people like round figures
        self.amount = np.where(chance.random(lines) < 0.4, -amount, amount)
        self.bank_amount = self.amount.copy()
        self.in_bank = np.ones(lines, np.bool_)
        self.in_ledger = np.ones(lines, np.bool_)
        self.said: dict[int, tuple[list[str], str]] = {}
        self.more = Rows()
        self.elsewhere: dict[str, str] = {}
        self.after: list[tuple[str, int]] = []
        self.planted: list[tuple[str, int | None, int | None, int | None]] = []
        self._make_untidy()
        self._make_batches()
        self._make_settlements()

    def _make_untidy(self) -> None:
        """The partners that a plain join does not find."""
        order = self.chance.permutation(self.lines)
        counts = [self.lines // every for every in (SECOND_EVERY, WORD_EVERY, UNNAMED_EVERY)]
        ends = np.cumsum(counts)
        second, word, unnamed = np.split(order[: ends[-1]], ends[:-1])
        for row in second.tolist():
            own = f"BK{row:012d}"
            self.bank_reference[row] = own.encode()
            self.said[row] = ([own, self.reference[row].decode()], "")
        for row in word.tolist():
            self.bank_reference[row] = b""
            self.said[row] = ([], f"payment {self.reference[row].decode()}, thank you")
        for row in unnamed.tolist():
            self.bank_reference[row] = b""
            self.said[row] = ([], "cash desk")
            # Amounts of their own: of two alike without a reference nobody could say which is which.
            self.amount[row] = self.bank_amount[row] = (10**8 + row) * (1 if self.amount[row] > 0 else -1)
        late = self.chance.random(self.lines) < 1 / LATE_EVERY
        self.bank_day[late] += 1
        self.plain = order[ends[-1] :]
        """Rows that a break may be planted on."""

    def _make_batches(self) -> None:
        """One bank line for several ledger lines, all under the reference of the batch."""
        for n in range(self.lines // BATCH_EVERY):
            name, day = b"BATCH-%09d" % n, int(self.chance.integers(self.first, self.last - SETTLED_DAYS))
            amounts = self.chance.integers(100, 10**6, BATCH_LINES).tolist()
            for amount in amounts:
                self.more.ledger.append((day, amount, name))
            self.more.bank.append((day, sum(amounts), name))

    def _make_settlements(self) -> None:
        """Payments through a channel: gross in the ledger with one line of fees, net in one sum at the bank."""
        for n in range(max(self.lines // SETTLEMENT_EVERY, 3)):
            name, day = b"PAYOUT-%07d" % n, int(self.chance.integers(self.first, self.last - SETTLED_DAYS))
            gross = self.chance.integers(1_000, 10**6, SETTLEMENT_LINES).tolist()
            fees = [amount * FEE_PER_MILLE // 1000 for amount in gross]
            for serial, (amount, fee) in enumerate(zip(gross, fees, strict=True)):
                reference = b"PAY-%07d-%03d" % (n, serial)
                self.more.channel.append((day, amount, fee, reference, name))
                self.more.ledger.append((day, amount, reference))
            self.more.ledger.append((day, -sum(fees), name))
            self.more.bank.append((day + 1, sum(gross) - sum(fees), name))

    # The keys that lines will have: rows in their order, then those added.

    def _bank_key(self, row: int) -> int:
        return row + 1

    def _added_bank(self, day: int, amount: int, reference: bytes) -> int:
        self.more.bank.append((day, amount, reference))
        return self.lines + len(self.more.bank)

    def _added_ledger(self, day: int, amount: int, reference: bytes) -> int:
        self.more.ledger.append((day, amount, reference))
        return self.lines + len(self.more.ledger)

    def plant(self, count: int) -> None:
        """So many breaks, all kinds in turn, each on lines of its own."""
        rows = self.chance.permutation(self.plain)[:count].tolist()
        for n, row in enumerate(rows):
            getattr(self, f"_plant_{KINDS[n % len(KINDS)]}")(n // len(KINDS), row)

    def _plant_timing(self, nth: int, row: int) -> None:
        amount, name = int(self.amount[row]), b"NEW-%010d" % row
        if nth % 2:
            # The ledger has it today, the bank will have it tomorrow.
            position = self._added_ledger(self.last - nth % 2, amount, name)
            self.planted.append(("timing", None, position, None))
        else:
            self.after.append((name.decode(), amount))
            self.planted.append(("timing", self._added_bank(self.last, amount, name), None, None))

    def _plant_amount(self, nth: int, row: int) -> None:
        # Never so much that money would seem to have gone the other way.
        slip = (-200, 90, 1, -1)[nth % 4] if abs(self.amount[row]) > 200 else np.sign(self.amount[row])
        self.bank_amount[row] += slip
        self.planted.append(("amount", row + 1, row + 1, None))

    def _plant_missing_in_ledger(self, nth: int, row: int) -> None:
        self.in_ledger[row] = False
        # A credit of somebody known, or a debit nobody booked.
        self.said[row] = ([self.reference[row].decode()], "top-up of C-WANG")
        self.planted.append(("missing_in_ledger", row + 1, None, None))

    def _plant_missing_at_bank(self, nth: int, row: int) -> None:
        self.in_bank[row] = False
        self.planted.append(("missing_at_bank", None, row + 1, None))

    def _plant_duplicate(self, nth: int, row: int) -> None:
        day, amount, name = int(self.bank_day[row]) + 1, int(self.amount[row]), bytes(self.reference[row])
        if nth % 2:
            self.planted.append(("duplicate", self._added_bank(day, amount, name), None, None))
        else:
            self.planted.append(("duplicate", None, self._added_ledger(day, amount, name), None))

    def _plant_unidentified(self, nth: int, row: int) -> None:
        amount = abs(int(self.amount[row])) + 3
        key = self._added_bank(int(self.day[row]), amount, b"STRANGER-%09d" % row)
        self.planted.append(("unidentified", key, None, None))

    def _plant_wrong_account(self, nth: int, row: int) -> None:
        self.in_ledger[row] = False
        self.elsewhere[self.reference[row].decode()] = "acc_000100000000000099"
        self.planted.append(("wrong_account", row + 1, None, None))

    def lay_down(self, directory: Path) -> None:
        """The columns as files; the bank's lines in another order than the ledger's."""
        columns: dict[str, Any] = {}
        bank = _with(
            (self.bank_day, self.bank_amount, self.bank_reference), self.more.bank, self.in_bank, self.lines
        )
        shuffled = self.chance.permutation(len(bank["key"]))
        columns.update({f"bank_{name}": column[shuffled] for name, column in bank.items()})
        at = {int(key): row for row, key in enumerate(columns["bank_key"])}
        ledger = _with((self.day, self.amount, self.reference), self.more.ledger, self.in_ledger, self.lines)
        ledger["position"], ledger["reverses"] = ledger.pop("key"), np.full(len(ledger["day"]), -1, np.int64)
        columns.update({f"ledger_{name}": column for name, column in ledger.items()})
        channel = list(zip(*self.more.channel, strict=True))
        for name, column, kind in zip(_CHANNEL[1:6], channel, ("i4", "i8", "i8", "S", "S"), strict=True):
            columns[f"channel_{name}"] = np.array(column, kind)
        columns["channel_key"] = np.arange(len(self.more.channel)) + 10**9
        columns["channel_currency"] = np.full(len(self.more.channel), 156, np.int64)
        for name in COLUMNS:
            np.save(directory / f"{name}.npy", columns[name])
        said = {at[row + 1]: told for row, told in self.said.items() if row + 1 in at}
        words = {"said": said, "elsewhere": self.elsewhere, "after": self.after}
        (directory / "words.json").write_text(json.dumps(words))


def _with(plain: Any, more: list[tuple[int, int, bytes]], kept: Any, lines: int) -> dict[str, Any]:
    """Columns of the plain rows that are kept, and of the rows added."""
    day, amount, reference = plain
    days, amounts, names = zip(*more, strict=True) if more else ((), (), ())
    key = np.concatenate([np.flatnonzero(kept) + 1, lines + 1 + np.arange(len(more))])
    return {
        "key": key,
        "day": np.concatenate([day[kept], np.array(days, np.int32)]),
        "amount_minor": np.concatenate([amount[kept], np.array(amounts, np.int64)]),
        "reference": np.concatenate([reference[kept], np.array(names, np.bytes_)]),
        "currency": np.full(len(key), 156, np.int64),
    }


if __name__ == "__main__":
    main()

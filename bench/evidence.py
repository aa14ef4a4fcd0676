"""Evidence, measured: the proof of liabilities beside bare SHA-256; sealing, and what it costs the ledger.

A snapshot of invented accounts is written to disk, the tree is built from it, proofs are made of it. Rates are
over the processor's time, so that a machine with other work says the same; wall time is told beside. A leaf is
one fragment of one balance.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from tallystick.evidence import canonical  # noqa: E402
from tallystick.evidence.liabilities import (  # noqa: E402
    building,
    engine,
    kernel,
    profile,
    proving,
    snapshot,
    verification,
)

SCHEMA = "tallystick/bench-evidence/1"

PURE_LEAVES_MAX = 524_288
"""The twin's rate does not depend on the tree's size; more would only take longer."""

PROOFS = 1_000
_MASTER = bytes(32)
_ORIGIN = "bench.example/liabilities"
_PIECE = 1_000_000


def header(customers: int, fragments: int) -> profile.Header:
    return profile.Header(
        origin=_ORIGIN,
        asset="CNY",
        scale=2,
        audit=1,
        day=dt.date(2026, 1, 1),
        cut_off=dt.datetime(2026, 1, 1, 16, tzinfo=dt.UTC),
        customers=customers,
        fragments=fragments,
        basis={},
    )


def write(path: Path, customers: int, fragments: int, named: list[bytes]) -> profile.Header:
    """A snapshot of ascending chance accounts, and a few whose identifiers are known among them."""
    chance = np.random.default_rng(1)
    told = header(customers, fragments)
    step = 2**64 // customers
    mine = sorted(named)
    with path.open("wb") as out:
        out.write(canonical.text(told.spelled()).encode() + b"\n")
        for first in range(0, customers, _PIECE):
            count = min(_PIECE, customers - first)
            rows = np.frombuffer(chance.bytes(count * profile.RECORD_BYTES), np.uint8)
            rows = rows.reshape(count, profile.RECORD_BYTES).copy()
            begin = np.arange(first, first + count, dtype=np.uint64) * np.uint64(step)
            begin += chance.integers(0, step, count, dtype=np.uint64)
            # A named account takes the place of the chance one before it.
            for each in mine:
                index = min(int.from_bytes(each[:8], "big") // step, customers - 1) - first
                if 0 <= index < count:
                    begin[index] = int.from_bytes(each[:8], "big")
                    rows[index, :32] = np.frombuffer(each, np.uint8)
            rows[:, :8] = begin.astype(">u8").view(np.uint8).reshape(-1, 8)
            rows[:, 32:] = (
                chance.integers(0, 10**9, count, dtype=np.uint64).astype(">u8").view(np.uint8).reshape(-1, 8)
            )
            out.write(rows.tobytes())
    return told


def chosen_names(customers: int) -> tuple[list[tuple[str, ...]], list[bytes]]:
    """Identifiers of accounts no two of which fall into one place of the snapshot."""
    step, taken, names, ids = 2**64 // customers, set(), [], []
    for number in range(4 * PROOFS):
        account = profile.account_id(_ORIGIN, [f"acc_{number:018d}"])
        place = min(int.from_bytes(account[:8], "big") // step, customers - 1)
        if place not in taken and len(names) < PROOFS:
            taken.add(place)
            names.append((f"acc_{number:018d}",))
            ids.append(account)
    return names, ids


def timed_build(
    told: profile.Header, source: snapshot.Records, workers: int, using: engine.Engine
) -> tuple[building.Tree, float, float]:
    """The tree, seconds of the processors' time, and seconds on the wall."""
    keys = profile.keys(profile.tree_key(_MASTER, profile.tree_id(told.spelled())))
    cpu, wall = time.process_time(), time.perf_counter()
    tree = building.build(told.spelled(), keys, source, workers=workers, using=using)
    return tree, time.process_time() - cpu, time.perf_counter() - wall


def bare_compressions_per_s(found: engine.Choice) -> float:
    """Blocks of SHA-256 a CPU-second at best: two long messages side by side, or one through `hashlib`."""
    blocks, best = 2**14, 0.0
    messages = np.zeros((2, 64 * blocks), np.uint8)
    content = messages.tobytes()
    for _ in range(8):
        began = time.process_time()
        hashlib.sha256(content).digest()
        best = max(best, 2 * blocks / (time.process_time() - began))
        if isinstance(found.engine, kernel.Kernel):
            began = time.process_time()
            found.engine.bare(messages)
            best = max(best, 2 * blocks / (time.process_time() - began))
    return best


def compressions_per_leaf(fragments: int) -> float:
    """HMAC of the nonce 2 and the split 1 for each account; the leaf 2 and its inner node 2."""
    return (2 + (fragments > 1)) / fragments + 2 + 2


def measure(leaves: int, fragments: int, workers: int, directory: Path) -> dict[str, Any]:
    """Every figure, of one run."""
    customers = max(leaves // fragments, 1)
    choice = engine.chosen()
    load = os.getloadavg()[0]
    names, ids = chosen_names(customers)
    path = directory / "snapshot"
    told = write(path, customers, fragments, ids)
    with snapshot.Snapshot(path) as source:
        tree, cpu, wall = timed_build(told, source, workers, choice.engine)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        count = customers * fragments
        rate = count / cpu
        pure_customers = max(min(count, PURE_LEAVES_MAX) // fragments, 1)
        part = snapshot.Held(source.records(0, pure_customers))
        pure_header = header(pure_customers, fragments)
        pure, pure_cpu, _ = timed_build(pure_header, part, 1, engine.TWIN)
        again, _, _ = timed_build(pure_header, part, workers, choice.engine)
        assert pure.commitment == again.commitment, "one tree, whatever builds it"
        figures = proofs(told, tree, source, names)
    limit = bare_compressions_per_s(choice) / compressions_per_leaf(fragments)
    return {
        "schema": SCHEMA,
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "load_before": round(load, 2),
        "kernel": choice.engine.NAME if choice.engine is not engine.TWIN else None,
        "kernel_missing_because": choice.why_not or None,
        "leaves": count,
        "fragments": fragments,
        "workers": workers if choice.engine is not engine.TWIN else 1,
        "leaves_per_cpu_s": round(rate),
        "build_cpu_s": round(cpu, 3),
        "build_wall_s": round(wall, 3),
        "build_peak_mb": round(peak, 1),
        "kept_mb": round(sum(len(each) for each in tree.nodes()) / 1e6, 3),
        "leaves_per_cpu_s_pure": round(pure_customers * fragments / pure_cpu),
        "sha256_limit_leaves_per_cpu_s": round(limit),
        "ratio_to_sha256_limit": round(rate / limit, 3),
        **figures,
    }


def proofs(
    told: profile.Header, tree: building.Tree, source: snapshot.Snapshot, names: list[tuple[str, ...]]
) -> dict[str, Any]:
    """Whole proofs of accounts, all their fragments, as the bytes of their files; and checking them."""
    keys = profile.keys(profile.tree_key(_MASTER, profile.tree_id(told.spelled())))
    prover = proving.Prover(tree, keys, source)
    # Once before: the permutations of the chunks are then there, as in a server that has been asked before.
    made = [proving.spelled(prover.prove(each)) for each in names]
    cpu, wall = time.process_time(), time.perf_counter()
    for each in names:
        proving.spelled(prover.prove(each))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    began = time.process_time()
    for name, proof in zip(names, made, strict=True):
        verification.read_and_verify(proof, tree.commitment, identifiers=name)
    checked = time.process_time() - began
    return {
        "proofs_per_s": round(len(names) / wall),
        "proofs_per_cpu_s": round(len(names) / cpu),
        "proof_bytes": max(map(len, made)),
        "proofs_checked_per_cpu_s": round(len(names) / checked),
    }


def sealing(given: argparse.Namespace) -> dict[str, Any]:
    """Figures of the log, from a process of its own: Django is bound to one home for as long as one lives."""
    options = ["--seconds", str(given.seconds), "--rounds", str(given.rounds)]
    options += ["--directory", str(given.directory)] if given.directory else []
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("sealing.py")), *options],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return dict(json.loads(done.stdout))


def told(figures: dict[str, Any]) -> str:
    """The figures for a person."""
    built = figures["kernel"] or f"Python ({figures['kernel_missing_because']})"
    return "\n".join(
        (
            f"{figures['leaves']:,} leaves in {figures['build_cpu_s']} CPU-seconds, {figures['build_wall_s']} s on"
            f" the wall, {figures['build_peak_mb']} MB at most, by {built}",
            f"leaves a CPU-second     {figures['leaves_per_cpu_s']:>12,}",
            f"  in Python alone       {figures['leaves_per_cpu_s_pure']:>12,}",
            f"  if it were bare SHA-256 {figures['sha256_limit_leaves_per_cpu_s']:>10,}"
            f"   ({figures['ratio_to_sha256_limit']:.0%} of it reached)",
            f"proofs a second         {figures['proofs_per_s']:>12,}   of {figures['proof_bytes']} bytes",
            f"proofs checked a second {figures['proofs_checked_per_cpu_s']:>12,}",
            *_told_of_the_log(figures),
        )
    )


def _told_of_the_log(figures: dict[str, Any]) -> tuple[str, ...]:
    if "seal_entries_per_s" not in figures:
        return ()
    return (
        f"entries sealed a second {figures['seal_entries_per_s']:>12,}   in batches of {figures['seal_batch']:,}",
        f"transfers a second      {figures['ledger_tps_on']:>12,}   with evidence, {figures['ledger_tps_off']:,}"
        f" without: {figures['ledger_kept']:.0%} kept",
    )


def main() -> None:
    """Measure, and print for a person or as JSON."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    words.add_argument("--leaves", type=int, default=4_000_000)
    words.add_argument("--fragments", type=int, default=2)
    words.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    words.add_argument("--directory", type=Path, help="where the snapshot is written, 40 bytes an account")
    words.add_argument("--json", action="store_true")
    words.add_argument("--no-log", dest="log", action="store_false", help="leave out sealing and the ledger")
    words.add_argument("--seconds", type=float, default=6, help="of each measurement of the ledger")
    words.add_argument("--rounds", type=int, default=5, help="of the ledger, interleaved; medians count")
    given = words.parse_args()
    log = sealing(given) if given.log else {}
    with tempfile.TemporaryDirectory(dir=given.directory) as directory:
        figures = measure(given.leaves, given.fragments, given.workers, Path(directory)) | log
    print(json.dumps(figures, indent=1) if given.json else told(figures))


if __name__ == "__main__":
    main()

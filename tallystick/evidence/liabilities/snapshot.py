"""Snapshots: what every account is owed at one moment, sorted, in 40 bytes an account.

The first line is the tree's header in canonical JSON, the rest are records: the account's 32 bytes and its
amount as a u64. Written from pairs in any order within bounded memory, read in pieces. Whoever is handed the
file and the tree's key has all the tree is made of.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from tallystick.evidence import canonical, errors
from tallystick.evidence.liabilities import profile, proof_file
from tallystick.evidence.liabilities.profile import RECORD_BYTES

HEADER_BYTES_MAX = 16_384

_HELD_MAX = 64 * 2**20
"""Bytes of records sorted in memory; more are first put into files by their first byte."""

_RECORD = np.dtype([("account", "V32"), ("amount", ">u8")])


class Records(Protocol):
    """Where a tree's records are read from, sorted."""

    @property
    def customers(self) -> int: ...
    def records(self, first: int, end: int) -> bytes: ...


class Held:
    """Records in memory."""

    def __init__(self, records: bytes) -> None:
        self._records = records
        self.customers = len(records) // RECORD_BYTES

    def records(self, first: int, end: int) -> bytes:
        """Those from `first` up to `end`."""
        return self._records[first * RECORD_BYTES : end * RECORD_BYTES]


class Snapshot:
    """A snapshot file, opened. Raises `errors.SnapshotMalformed`."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            line = file.readline(HEADER_BYTES_MAX + 1)
        self.header = _header(line)
        self._begin = len(line)
        length = path.stat().st_size - self._begin
        self.customers, left = divmod(length, RECORD_BYTES)
        if left or self.customers != self.header["customers"]:
            raise errors.SnapshotMalformed(
                reason=f"{length} bytes of records for {self.header['customers']} accounts"
            )
        self._file: BinaryIO = path.open("rb")

    def records(self, first: int, end: int) -> bytes:
        """Those from `first` up to `end`; may be asked for on several threads at once."""
        begin, length = self._begin + first * RECORD_BYTES, (end - first) * RECORD_BYTES
        found = os.pread(self._file.fileno(), length, begin)
        if len(found) != length:
            raise errors.SnapshotMalformed(reason="it became shorter while it was read")
        return found

    def mapped(self) -> npt.NDArray[np.uint8]:
        """All records, as the operating system pages them in."""
        if not self.customers:
            return np.empty((0, RECORD_BYTES), np.uint8)
        shape = (self.customers, RECORD_BYTES)
        # As a plain array: what numpy keeps beside a mapped one costs more than reading a record.
        return np.asarray(np.memmap(self._file, np.uint8, mode="r", offset=self._begin, shape=shape))

    def close(self) -> None:
        """The file is no longer read."""
        self._file.close()

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def record(account: bytes, amount: int) -> bytes:
    """One record. Raises `errors.AmountOutsideTree`: no debt is ever set against what others are owed."""
    assert len(account) == 32, "an account is 32 bytes"
    if not 0 <= amount <= profile.AMOUNT_MAX:
        raise errors.AmountOutsideTree(amount=amount)
    return account + amount.to_bytes(8, "big")


def held(pairs: Iterable[tuple[bytes, int]]) -> Held:
    """A snapshot in memory. Raises `errors.AmountOutsideTree` or `AccountTwice`."""
    return Held(_sorted(b"".join(record(*pair) for pair in pairs)))


def write(
    path: Path, pairs: Iterable[tuple[bytes, int]], header_of: Callable[[int], profile.Header]
) -> profile.Header:
    """Write the pairs' snapshot in one step, readable by its owner alone; `header_of` is told how many.

    Raises `errors.AmountOutsideTree` or `AccountTwice`, and then there is no file.
    """
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as beside:
        made = Path(beside) / "snapshot"
        with _Sorter(Path(beside)) as sorter:
            for account, amount in pairs:
                sorter.add(record(account, amount))
            header = header_of(sorter.count)
            with made.open("wb") as out:
                os.fchmod(out.fileno(), 0o600)
                out.write(canonical.text(header.spelled()).encode() + b"\n")
                for piece in sorter.pieces():
                    out.write(piece)
                out.flush()
                os.fsync(out.fileno())
        made.rename(path)
    return header


def ascending(records: bytes, *, after: bytes = b"") -> None:
    """Refuse records that are not in strict order. Raises `errors.AccountTwice` or `SnapshotMalformed`."""
    words = np.frombuffer(records, _RECORD)["account"].copy().view(">u8").reshape(-1, 4)
    if len(words) > 1:
        first = words[:, 0].astype(np.uint64)
        # Where the first eight bytes are equal, the others decide: hashes hardly ever come to that.
        for at in np.flatnonzero(first[1:] <= first[:-1]).tolist():
            _in_order(words[at].tobytes(), words[at + 1].tobytes())
    if after and len(words):
        _in_order(after, words[0].tobytes())


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


class _Sorter:
    """Sorts records in bounded memory: by their first byte into files, then each file in memory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._held = bytearray()
        self._files: list[BinaryIO] = []
        self.count = 0

    def __enter__(self) -> _Sorter:
        self._open = contextlib.ExitStack()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def add(self, one: bytes) -> None:
        self._held += one
        self.count += 1
        if len(self._held) >= _HELD_MAX:
            self._spill()

    def pieces(self) -> Iterator[bytes]:
        if not self._files:
            yield _sorted(bytes(self._held))
            return
        self._spill()
        for file in self._files:
            file.seek(0)
            yield _sorted(file.read())

    def _spill(self) -> None:
        if not self._files:
            self._files = [
                self._open.enter_context((self._directory / f"{first:02x}").open("w+b"))
                for first in range(256)
            ]
        rows = np.frombuffer(bytes(self._held), np.uint8).reshape(-1, RECORD_BYTES)
        self._held.clear()
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        ends = np.searchsorted(rows[:, 0], np.arange(256), side="right")
        begin = 0
        for file, end in zip(self._files, ends.tolist(), strict=True):
            file.write(rows[begin:end].tobytes())
            begin = end


def _sorted(records: bytes) -> bytes:
    rows = np.frombuffer(records, np.uint8).reshape(-1, RECORD_BYTES)
    words = rows[:, :32].copy().view(">u8").reshape(-1, 4).astype(np.uint64)
    order = np.argsort(words[:, 0], kind="stable")
    first = words[order, 0]
    if (first[1:] == first[:-1]).any():
        order = np.lexsort((words[:, 3], words[:, 2], words[:, 1], words[:, 0]))
    found = rows[order].tobytes()
    ascending(found)
    return found


def _in_order(before: bytes, account: bytes) -> None:
    if before == account:
        raise errors.AccountTwice(account=account.hex())
    if before > account:
        raise errors.SnapshotMalformed(reason=f"{account.hex()} comes after {before.hex()}")


def _header(line: bytes) -> Mapping[str, canonical.Value]:
    try:
        told = json.loads(line) if line.endswith(b"\n") else None
        if isinstance(told, dict) and canonical.text(told).encode() + b"\n" == line:
            return proof_file.header(told)
    except (ValueError, RecursionError):
        pass
    except errors.LiabilityProofRefused as refused:
        raise errors.SnapshotMalformed(reason=str(refused)) from refused
    raise errors.SnapshotMalformed(reason="its first line is no header in canonical JSON")

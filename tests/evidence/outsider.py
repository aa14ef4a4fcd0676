"""A witness in a process of its own, as a bank runs one; and a log it can be asked about."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tallystick.evidence import checkpoints, cosignatures, hashing, notes
from tallystick.evidence.witness import request

SPARSE = {name: os.environ[name] for name in ("PATH", "LANG", "HOME") if name in os.environ}
"""No database, no settings: nothing of an installation's."""


@dataclass
class Outsider:
    """A running witness."""

    process: subprocess.Popen[str]
    told: dict[str, Any]

    @property
    def address(self) -> str:
        return str(self.told["address"])

    @property
    def keys(self) -> list[notes.Key]:
        return [notes.parse_key(each) for each in self.told["keys"]]

    def post(self, body: bytes, *, headers: dict[str, str] | None = None) -> tuple[int, str, bytes]:
        """Status, type and body of the answer to a checkpoint."""
        return self.ask("POST", "/add-checkpoint", body, headers)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, str, bytes]:
        connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers["Content-Type"], answer.read()


@contextlib.contextmanager
def outsider(
    folder: Path, logs: Sequence[str], *more: str, name: str = "example.com/witness", program: str = ""
) -> Iterator[Outsider]:
    """A witness of these logs. `program`: Python that runs first, to make something go wrong."""
    command = (
        ["-c", f"{program}\nfrom tallystick.cli import main\nmain()"] if program else ["-m", "tallystick"]
    )
    arguments = ["witness", "--folder", str(folder), "--name", name, "--port", "0", "--json", *more]
    for each in logs:
        arguments += ["--log", each]
    process = subprocess.Popen(
        [sys.executable, "-P", *command, *arguments],
        env=SPARSE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise AssertionError(process.stderr.read())
        yield Outsider(process, json.loads(line))
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


@dataclass
class PaperLog:
    """A log on paper: entries, and whatever checkpoint of them somebody asks for."""

    origin: str = "first.example/ledger"
    seed: bytes = b"l" * 32
    suite: hashing.Suite = hashing.SHA256
    leaves: list[bytes] = field(default_factory=list)

    @property
    def signer(self) -> notes.Signer:
        return notes.Signer(self.origin, notes.Ed25519Secret(self.seed))

    @property
    def vkey(self) -> str:
        return self.signer.key.text

    def grow(self, count: int, about: str = "entry") -> PaperLog:
        for _ in range(count):
            entry = f"{about} {len(self.leaves)}".encode()
            self.leaves.append(hashing.leaf_hash(entry, self.suite))
        return self

    def branched(self, size: int) -> PaperLog:
        """The same log until there, which will go on otherwise."""
        return PaperLog(self.origin, self.seed, self.suite, self.leaves[:size])

    def read(self, height: int, index: int) -> bytes:
        first, width = index << height, 1 << height
        return self._root(first, first + width)

    def root(self, size: int) -> bytes:
        return self._root(0, size) if size else hashing.empty_root(self.suite)

    def _root(self, start: int, end: int) -> bytes:
        tree = hashing.Tree(self.suite)
        tree.append(b"".join(self.leaves[start:end]))
        return tree.root()

    def note(self, size: int | None = None) -> bytes:
        at = len(self.leaves) if size is None else size
        return notes.sign(checkpoints.Checkpoint(self.origin, at, self.root(at)).text, [self.signer])

    def request(self, old: int, size: int | None = None) -> bytes:
        """The body that a witness which signed `old` last is asked with."""
        at = len(self.leaves) if size is None else size
        proof = hashing.consistency_proof(old, at, self.read, self.suite) if 0 < old <= at else []
        return request.of(old, proof, self.note(at)).body


def opened(answer: bytes, note: bytes, keys: Sequence[notes.Key]) -> notes.Note:
    """The checkpoint with what the witness answered below it, checked."""
    return notes.open(note + answer, [cosignatures.verifier(key) for key in keys])

"""Proof files: that an entry is in a log, checkable offline with a policy alone (C2SP tlog-proof).

A proof is a checkpoint as it was signed and cosigned, the entry's place, and the hashes from the entry to
the checkpoint's root. The entry itself is not in it: whoever checks brings it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tallystick.evidence import errors, hashing, notes
from tallystick.evidence import policy as policies

EXTENSION = ".tlog-proof"

EXTRA_BYTES_MAX = 100_000
PROOF_BYTES_MAX = notes.NOTE_BYTES_MAX + 200_000

_HEADER = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class TlogProof:
    """Where an entry is, the way from it to the root, and the checkpoint with its signatures."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None
    """What an application adds. Nobody signs it: it may be believed only once something else shows it."""

    @property
    def text(self) -> bytes:
        """The proof as it is kept in a file."""
        lines = [_HEADER]
        if self.extra is not None:
            lines.append(f"extra {base64.b64encode(self.extra).decode()}")
        lines.append(f"index {self.index}")
        lines += [base64.b64encode(hash_).decode() for hash_ in self.hashes]
        return "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.checkpoint


def parse(text: bytes) -> TlogProof:
    """A proof out of its file. Nothing in it has been checked yet."""
    if len(text) > PROOF_BYTES_MAX:
        raise errors.ProofMalformed(reason=f"it is longer than {PROOF_BYTES_MAX} bytes")
    head, blank, checkpoint = text.partition(b"\n\n")
    if not blank:
        raise errors.ProofMalformed(reason="no blank line with a checkpoint below it")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise errors.ProofMalformed(reason="what stands above the checkpoint is not ASCII") from None
    if lines.pop(0) != _HEADER:
        raise errors.ProofMalformed(reason=f"its first line is not {_HEADER}")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = notes.base64_bytes(lines.pop(0).removeprefix("extra "))
        if extra is None or len(extra) > EXTRA_BYTES_MAX:
            raise errors.ProofMalformed(reason="its extra is not base64, or too long")
    found = _INDEX.fullmatch(lines.pop(0)) if lines else None
    if not found:
        raise errors.ProofMalformed(reason="no line says the entry's index")
    if len(lines) > hashing.PROOF_HASHES_MAX:
        raise errors.ProofMalformed(reason=f"it has more than {hashing.PROOF_HASHES_MAX} hashes")
    hashes = [notes.base64_bytes(line) for line in lines]
    if not all(hash_ is not None and len(hash_) == hashing.HASH_BYTES for hash_ in hashes):
        raise errors.ProofMalformed(reason="one of its lines is not a hash")
    return TlogProof(int(found[1]), tuple(filter(None, hashes)), checkpoint, extra)


def verify(
    proof: TlogProof,
    entry: bytes,
    policy: policies.Policy,
    *,
    logs: Sequence[notes.Key] = (),
    suite: hashing.Suite = hashing.SHA256,
) -> policies.Verdict:
    """The policy's verdict on the checkpoint, if the entry is in the log at the proof's place."""
    verdict = policies.require(proof.checkpoint, policy, logs=logs)
    head = verdict.checkpoint
    assert head is not None, "an accepted checkpoint is there"
    leaf = hashing.leaf_hash(entry, suite)
    hashing.verify_inclusion(proof.index, head.size, leaf, proof.hashes, head.root, suite)
    return verdict

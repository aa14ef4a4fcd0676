"""What is sent to a witness: the size it last signed, the proof from there, and the checkpoint.

Read strictly and within bounds, whoever sent it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tallystick.evidence import hashing, notes

BODY_BYTES_MAX = 128 * 1024
"""Room for the longest proof and more than thirty signatures of the longest kind."""

PATH = "/add-checkpoint"
SIZE_TYPE = "text/x.tlog.size"
"""What an answer is called that tells the size last signed."""

_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})", re.ASCII)


class Malformed(ValueError):
    """A body is no request to a witness: what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Request:
    """A checkpoint to be cosigned, and how it follows from the one that was."""

    old_size: int
    proof: tuple[bytes, ...]
    note: bytes

    @property
    def body(self) -> bytes:
        """As it is sent."""
        lines = [f"old {self.old_size}", *(base64.b64encode(each).decode() for each in self.proof), "", ""]
        return "\n".join(lines).encode() + self.note


def of(old_size: int, proof: Sequence[bytes], note: bytes) -> Request:
    """The request for a signed checkpoint, to a witness that signed `old_size` last."""
    assert len(proof) <= hashing.PROOF_HASHES_MAX, "no tree is so high"
    return Request(old_size, tuple(proof), note)


def parse(body: bytes) -> Request:
    """The request in a body. Raises `Malformed`."""
    if len(body) > BODY_BYTES_MAX:
        raise Malformed(f"longer than {BODY_BYTES_MAX} bytes")
    above, blank, note = body.partition(b"\n\n")
    if not blank:
        raise Malformed("no empty line above the checkpoint")
    try:
        first, *hashes = above.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise Malformed("not ASCII above the empty line") from None
    old = _OLD.fullmatch(first)
    if old is None or int(old[1]) > hashing.SIZE_MAX:
        raise Malformed("no old size in the first line")
    if len(hashes) > hashing.PROOF_HASHES_MAX:
        raise Malformed(f"more than {hashing.PROOF_HASHES_MAX} hashes")
    proof = [notes.base64_bytes(each) for each in hashes]
    whole = tuple(each for each in proof if each is not None and len(each) == hashing.HASH_BYTES)
    if len(whole) != len(proof):
        raise Malformed("a line of the proof is no hash")
    return Request(int(old[1]), whole, note)


def parse_size(body: bytes) -> int | None:
    """The size in the answer of a witness that signed another one last."""
    told = re.fullmatch(rb"(0|[1-9][0-9]{0,18})\n", body)
    return int(told[1]) if told and int(told[1]) <= hashing.SIZE_MAX else None

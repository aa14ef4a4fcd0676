"""Checkpoints: a log's size and root as the text that the log and its witnesses sign (C2SP tlog-checkpoint).

Read strictly: one checkpoint has one spelling.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass

from tallystick.evidence import errors, hashing, notes

ORIGIN_BYTES_MAX = 255
"""An origin has to fit the message that ML-DSA cosigners sign, one byte long in its length."""

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's head: who it is, how many entries it has, and the root over them."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()
    """Further lines of the log's own. ML-DSA cosigners do not sign them."""

    @property
    def text(self) -> bytes:
        """What is signed."""
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        assert all(line and "\n" not in line for line in lines), "a checkpoint's lines are not empty"
        return "".join(f"{line}\n" for line in lines).encode()


def parse(text: bytes) -> Checkpoint:
    """The checkpoint out of a note's text."""
    try:
        lines = text.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise errors.CheckpointMalformed(reason="it is not UTF-8") from None
    if len(lines) < 4 or lines.pop() != "":
        raise errors.CheckpointMalformed(reason="it has fewer than three lines")
    origin, size, root, *extensions = lines
    if not origin or len(origin.encode()) > ORIGIN_BYTES_MAX:
        raise errors.CheckpointMalformed(reason="its first line is not an origin")
    if not _SIZE.fullmatch(size) or int(size) > hashing.SIZE_MAX:
        raise errors.CheckpointMalformed(reason="its second line is not a size")
    hash_ = notes.base64_bytes(root)
    if hash_ is None or len(hash_) != hashing.HASH_BYTES:
        raise errors.CheckpointMalformed(reason="its third line is not a root")
    if not all(extensions):
        raise errors.CheckpointMalformed(reason="it has an empty line")
    return Checkpoint(origin, int(size), hash_, tuple(extensions))


def open(note: bytes, log: Iterable[notes.Verifier], *, origin: str | None = None) -> Checkpoint:
    """The checkpoint of a note that the log signed with one of its keys; of `origin`, where that is given."""
    checkpoint = parse(notes.open(note, log).text)
    if origin is not None and checkpoint.origin != origin:
        raise errors.OriginDiffers(given=checkpoint.origin, expected=origin)
    return checkpoint

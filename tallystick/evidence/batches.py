"""Batches: one event over many things, each of which is shown to be in it without showing another.

The things' bytes become leaves of a Merkle tree (RFC 6962) whose root stands in the event's own row and in its
entry. Each is hashed behind a blind of its own, drawn from the event's salt: whoever is shown a path cannot
try out what its hashes may stand for. A leaf is SHA-256(0x00 ‖ blind ‖ thing).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable

from tallystick.evidence import hashing

BLIND_BYTES = 16

_PREFIX = b"evid/batch/v1\0"


def blinds(salt: bytes, count: int) -> bytes:
    """The blinds of so many things in a row: SHAKE-256 over prefix and salt."""
    assert len(salt) == 32, "an event's salt is 32 bytes"
    return hashlib.shake_256(_PREFIX + salt).digest(BLIND_BYTES * count)


def blind(salt: bytes, index: int) -> bytes:
    """The blind of one of them."""
    return blinds(salt, index + 1)[-BLIND_BYTES:]


def leaf(thing: bytes, blind: bytes) -> bytes:
    """A thing's leaf hash."""
    assert len(blind) == BLIND_BYTES, "a blind is 16 bytes"
    return hashing.leaf_hash(blind + thing)


def leaves(things: Iterable[bytes], salt: bytes, count: int) -> bytes:
    """The leaf hashes of so many things in a row."""
    new, hidden = hashlib.sha256, struct.iter_unpack(f"{BLIND_BYTES}s", blinds(salt, count))
    return b"".join(
        [new(b"\0" + blind + thing).digest() for thing, (blind,) in zip(things, hidden, strict=True)]
    )


def leaves_of_width(laid_out: bytes, width: int) -> bytes:
    """The same for things that were laid out beforehand, each 0x00 ‖ blind ‖ thing and so many bytes long."""
    new = hashlib.sha256
    return b"".join([new(row).digest() for (row,) in struct.iter_unpack(f"{width}s", laid_out)])


def root(leaves: bytes) -> bytes:
    """The root over leaf hashes in a row."""
    tree = hashing.Tree()
    tree.append(leaves)
    return tree.root()


def path(leaves: bytes, index: int) -> list[bytes]:
    """The hashes from a leaf up to the root."""
    levels = [leaves]
    while len(levels[-1]) >= 2 * hashing.HASH_BYTES:
        levels.append(hashing.parents(levels[-1][: len(levels[-1]) & -2 * hashing.HASH_BYTES]))

    def read(height: int, at: int) -> bytes:
        return levels[height][at * hashing.HASH_BYTES : (at + 1) * hashing.HASH_BYTES]

    return hashing.inclusion_proof(index, len(leaves) // hashing.HASH_BYTES, read)

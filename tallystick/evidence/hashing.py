"""Hashing: the Merkle tree of RFC 6962, how it grows, and the two proofs over it.

Rules only: bytes in, bytes out. A level of the tree is one buffer of hashes in a row, never a list of
objects, so that half a million entries a second go in on one core. A proof is read from whoever has the
hashes (`HashReader`), and a proof that does not hold is refused with what is wrong with it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from tallystick.evidence import errors

HASH_BYTES = 32

SIZE_MAX = 2**63 - 1
"""No tree is larger: so a proof has at most `PROOF_HASHES_MAX` hashes."""

PROOF_HASHES_MAX = 63


class Hash(Protocol):
    """What `hashlib` gives back."""

    def digest(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Suite:
    """The one hash function of a log. A log keeps its suite for life; another suite is another log."""

    name: str
    new: Callable[[bytes], Hash]


SHA256 = Suite("sha-256", hashlib.sha256)
SM3 = Suite("sm3", partial(hashlib.new, "sm3"))
"""GB/T 32905, where a national algorithm is asked for. Also 32 bytes."""

SUITES = {suite.name: suite for suite in (SHA256, SM3)}

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of the tree without entries, in SHA-256."""

HashReader = Callable[[int, int], bytes]
"""(height, index) to the hash of the whole subtree over leaves [index << height, (index + 1) << height)."""

_PAIRS = struct.Struct("64s")


def empty_root(suite: Suite = SHA256) -> bytes:
    return suite.new(b"").digest()


def leaf_hash(entry: bytes, suite: Suite = SHA256) -> bytes:
    return suite.new(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes, suite: Suite = SHA256) -> bytes:
    return suite.new(b"\x01" + left + right).digest()


def leaf_hashes(entries: Iterable[bytes], suite: Suite = SHA256) -> bytes:
    """The entries' leaf hashes in a row."""
    new = suite.new
    return b"".join([new(b"\x00" + entry).digest() for entry in entries])


def parents(hashes: bytes, suite: Suite = SHA256) -> bytes:
    """The hashes one height up, of an even number of hashes in a row."""
    new = suite.new
    return b"".join([new(b"\x01" + pair).digest() for (pair,) in _PAIRS.iter_unpack(hashes)])


class Tree:
    """A tree that only grows. It keeps one hash for each one in the binary of its size, nothing else."""

    __slots__ = ("_frontier", "size", "suite")

    def __init__(self, suite: Suite = SHA256) -> None:
        self.suite = suite
        self.size = 0
        # By height: the last subtree of that height where it has no neighbour yet, else nothing.
        self._frontier: list[bytes] = []

    @classmethod
    def resumed(cls, size: int, read: HashReader, suite: Suite = SHA256) -> Tree:
        """The tree of `size` entries as it was left, from hashes that were kept."""
        tree = cls(suite)
        tree.size = size
        tree._frontier = [
            read(height, (size >> height) - 1) if size >> height & 1 else b""
            for height in range(size.bit_length())
        ]
        return tree

    def append(self, hashes: bytes) -> list[bytes]:
        """Add leaf hashes in a row. By height: the hashes of the subtrees that this made whole, in a row."""
        assert len(hashes) % HASH_BYTES == 0, "leaf hashes are of one length"
        whole: list[bytes] = []
        level = hashes
        while level:
            height = len(whole)
            whole.append(level)
            if height == len(self._frontier):
                self._frontier.append(b"")
            level = self._frontier[height] + level
            paired = len(level) & -64
            self._frontier[height] = level[paired:]
            level = parents(level[:paired], self.suite)
        self.size += len(hashes) // HASH_BYTES
        return whole

    def root(self) -> bytes:
        """The hash of the whole tree."""
        root = b""
        for hash_ in self._frontier:
            if hash_:
                root = node_hash(hash_, root, self.suite) if root else hash_
        return root or empty_root(self.suite)


def root_of(read: HashReader, size: int, suite: Suite = SHA256, *, start: int = 0) -> bytes:
    """The root over leaves [start, size), where `start` is where a subtree of the tree begins."""
    if start == size:
        return empty_root(suite)
    root = b""
    for height in range((size - start).bit_length()):
        if (size - start) >> height & 1:
            hash_ = read(height, (size >> height) - 1)
            root = node_hash(hash_, root, suite) if root else hash_
    return root


def inclusion_proof(index: int, size: int, read: HashReader, suite: Suite = SHA256) -> list[bytes]:
    """The hashes from the leaf's sibling up to the root's child (RFC 6962, 2.1.1)."""
    if not 0 <= index < size <= SIZE_MAX:
        raise errors.IndexOutsideTree(index=index, size=size)
    return _path(0, index, size, read, suite)


def consistency_proof(old_size: int, new_size: int, read: HashReader, suite: Suite = SHA256) -> list[bytes]:
    """The hashes that show that the tree of `old_size` is how the one of `new_size` begins (2.1.2)."""
    if not 0 <= old_size <= new_size <= SIZE_MAX:
        raise errors.TreeShrank(old_size=old_size, new_size=new_size)
    if old_size in (0, new_size):
        return []
    height = _ones_below(old_size)
    index = (old_size >> height) - 1
    # Where the old tree is one whole subtree of the new one, its root is known to whoever asks.
    known = [] if index == 0 else [read(height, index)]
    return known + _path(height, index, new_size, read, suite)


def verify_inclusion(
    index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes, suite: Suite = SHA256
) -> None:
    """Refuses unless the leaf hash is the one at `index` in the tree of `size` with this root."""
    if not 0 <= index < size <= SIZE_MAX:
        raise errors.IndexOutsideTree(index=index, size=size)
    inner, border = _shape(index, size)
    _check_hashes(proof, inner + border.bit_count(), leaf, root)
    reached = leaf
    for height, sibling in enumerate(proof[:inner]):
        left, right = (sibling, reached) if index >> height & 1 else (reached, sibling)
        reached = node_hash(left, right, suite)
    for sibling in proof[inner:]:
        reached = node_hash(sibling, reached, suite)
    if reached != root:
        raise errors.RootDiffers()


def verify_consistency(
    old_size: int,
    old_root: bytes,
    new_size: int,
    new_root: bytes,
    proof: Sequence[bytes],
    suite: Suite = SHA256,
) -> None:
    """Refuses unless the new tree begins with the whole of the old one.

    An old tree without entries is refused too: everything begins with it, so a proof would say nothing.
    Where a log may start from nothing, ask `verify_extension`.
    """
    if not 0 < old_size <= new_size <= SIZE_MAX:
        if old_size == 0 and 0 <= new_size <= SIZE_MAX:
            raise errors.NothingProved()
        raise errors.TreeShrank(old_size=old_size, new_size=new_size)
    if old_size == new_size:
        # Nothing is hashed, so nothing is asked of a hash's length.
        _check_hashes(proof, 0)
        if old_root != new_root:
            raise errors.OldRootDiffers(old_size=old_size)
        return
    height = _ones_below(old_size)
    index = (old_size >> height) - 1
    inner, border = _shape(index, -(-new_size >> height))
    whole = index == 0
    _check_hashes(proof, inner + border.bit_count() + (not whole), old_root, new_root)
    seed, path = (old_root, proof) if whole else (proof[0], proof[1:])
    # What lies left of the old tree's edge is in both trees; what lies right of it, only in the new one.
    old = new = seed
    for step, sibling in enumerate(path):
        if step >= inner or index >> step & 1:
            old = node_hash(sibling, old, suite)
            new = node_hash(sibling, new, suite)
        else:
            new = node_hash(new, sibling, suite)
    if old != old_root:
        raise errors.OldRootDiffers(old_size=old_size)
    if new != new_root:
        raise errors.RootDiffers()


def verify_extension(
    old_size: int,
    old_root: bytes,
    new_size: int,
    new_root: bytes,
    proof: Sequence[bytes],
    suite: Suite = SHA256,
) -> None:
    """As `verify_consistency`, and a log may start from nothing: then there is no proof to give.

    A witness that has seen nothing of a log asks this with `old_size` 0.
    """
    if new_size == 0 and new_root != empty_root(suite):
        raise errors.RootDiffers()
    if old_size == 0 <= new_size <= SIZE_MAX:
        if old_root != empty_root(suite):
            raise errors.OldRootDiffers(old_size=0)
        _check_hashes(proof, 0, old_root, new_root)
        return
    verify_consistency(old_size, old_root, new_size, new_root, proof, suite)


def _path(height: int, index: int, size: int, read: HashReader, suite: Suite) -> list[bytes]:
    # From the subtree (height, index), which is whole, up to the root.
    inner, border = _shape(index, -(-size >> height))
    path = []
    for step in range(inner):
        at, sibling = height + step, (index >> step) ^ 1
        if sibling + 1 << at <= size:
            path.append(read(at, sibling))
        else:
            # The tree ends inside it.
            path.append(root_of(read, size, suite, start=sibling << at))
    index >>= inner
    height += inner
    while border:
        if border & 1:
            path.append(read(height, index - 1))
        border >>= 1
        index >>= 1
        height += 1
    return path


def _shape(index: int, size: int) -> tuple[int, int]:
    # How far up the path has siblings on either side, and above that, by bit, where it has one on its left.
    inner = (index ^ size - 1).bit_length()
    return inner, index >> inner


def _ones_below(size: int) -> int:
    # The height of the smallest subtree in the binary of the size.
    return (size & -size).bit_length() - 1


def _check_hashes(proof: Sequence[bytes], needed: int, *others: bytes) -> None:
    if len(proof) != needed:
        raise errors.ProofLengthWrong(given=len(proof), needed=needed)
    # Hashes of other lengths could move the border between two of them and still hash alike.
    if any(len(hash_) != HASH_BYTES for hash_ in (*proof, *others)):
        raise errors.HashLengthWrong(bytes=HASH_BYTES)

"""The profile `psum-v1`: what is hashed, in which bytes. One rule for each line of its specification.

Everything here is for one node or one account at a time, and plain to read. `twin` and the kernel do the same
for many at once.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from tallystick.evidence import canonical

PROFILE = "psum-v1"

AMOUNT_MAX = 2**64 - 1
"""The most a leaf may hold. With `HEIGHT_MAX` levels no sum reaches 2^100."""

HEIGHT_MAX = 36
FRAGMENTS_MAX = 4
IDENTIFIERS_MAX = 8
IDENTIFIER_BYTES_MAX = 200
NAME_BYTES_MAX = 200
"""Of an origin or an asset's code."""

NODE_BYTES = 48
"""A node as it is kept: its hash and its sum."""

RECORD_BYTES = 40
"""An account of a snapshot: its 32 bytes and its amount."""

_TREE = b"tallystick/psum-v1/tree\0"
_COMMITMENT = b"tallystick/psum-v1/commitment\0"
_ACCOUNT = b"tallystick/psum-v1/account\0"
_KEY = b"tallystick/psum-v1/key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a tree is of. `basis` says what the balances were derived from, in the caller's words."""

    origin: str
    asset: str
    scale: int
    audit: int
    day: date
    cut_off: datetime
    customers: int
    fragments: int
    basis: canonical.Payload

    def spelled(self) -> dict[str, canonical.Value]:
        """As it stands in a commitment."""
        return {
            "profile": PROFILE,
            "origin": self.origin,
            "asset": self.asset,
            "scale": self.scale,
            "audit": self.audit,
            "day": self.day.isoformat(),
            "cut_off": moment(self.cut_off),
            "customers": self.customers,
            "fragments": self.fragments,
            "basis": self.basis,
        }


@dataclass(frozen=True, slots=True)
class Keys:
    """The secrets of one tree. Whoever has `tree_key` can build the tree again, and no other one."""

    tree_key: bytes
    nonce: bytes
    order: bytes


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the tree: its hash, and what all leaves below it come to."""

    hash: bytes
    sum: int

    @property
    def kept(self) -> bytes:
        """Its 48 bytes."""
        return self.hash + self.sum.to_bytes(16, "big")


def node(kept: bytes) -> Node:
    """A node out of its 48 bytes."""
    assert len(kept) == NODE_BYTES, "a node is 48 bytes"
    return Node(kept[:32], int.from_bytes(kept[32:], "big"))


def moment(at: datetime) -> str:
    """A moment as headers have it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# ── the tree and what is said of it ──────────────────────────────────────────────────────────────────────


def tree_id(header: Mapping[str, canonical.Value]) -> bytes:
    """What every leaf and every padding names, so that none of another tree can stand in this one."""
    return hashlib.sha256(_TREE + canonical.text(header).encode()).digest()


def commitment(
    header: Mapping[str, canonical.Value], leaves: int, height: int, root: Node
) -> dict[str, canonical.Value]:
    """What is published of a tree."""
    return {
        "header": header,
        "leaves": leaves,
        "height": height,
        "root": root.hash.hex(),
        "total": str(root.sum),
    }


def commitment_digest(told: Mapping[str, canonical.Value]) -> bytes:
    """By which a commitment is named elsewhere."""
    return hashlib.sha256(_COMMITMENT + canonical.text(told).encode()).digest()


def height_of(leaves: int) -> int:
    """How many levels a tree has above its leaves."""
    return max(leaves - 1, 0).bit_length()


def level_size(leaves: int, level: int) -> int:
    """How many nodes a level has, its padding not counted; the empty tree has the one leaf of its padding."""
    return max(-(-leaves >> level), 1) if leaves else 1


# ── accounts, keys, fragments ────────────────────────────────────────────────────────────────────────────


def account_id(origin: str, identifiers: Sequence[str]) -> bytes:
    """The account by what its customer holds: 32 bytes that the customer computes alone."""
    told = [each.encode("utf-8") for each in (origin, *identifiers)]
    assert 1 <= len(identifiers) <= IDENTIFIERS_MAX, "an account has identifiers, and few"
    assert all(len(each) <= IDENTIFIER_BYTES_MAX for each in told), "an identifier is short"
    hashed = hashlib.sha256(_ACCOUNT + _counted(told[0]) + len(identifiers).to_bytes(2, "big"))
    for each in told[1:]:
        hashed.update(_counted(each))
    return hashed.digest()


def tree_key(master: bytes, tree: bytes) -> bytes:
    """The key of one tree, by HKDF-SHA256 (RFC 5869): what opens one tree opens no other."""
    assert len(master) >= 32, "a master key is at least 32 bytes"
    extracted = hmac.digest(tree, master, "sha256")
    return hmac.digest(extracted, _KEY + b"\x01", "sha256")


def keys(of_tree: bytes) -> Keys:
    """The tree's key, taken apart for its two uses."""
    return Keys(of_tree, hmac.digest(of_tree, b"nonce", "sha256"), hmac.digest(of_tree, b"order", "sha256"))


def nonce(nonce_key: bytes, account: bytes) -> bytes:
    """What blinds an account's leaves; given to its owner alone."""
    return hmac.digest(nonce_key, account, "sha256")


def fragments(balance: int, count: int, of_nonce: bytes) -> tuple[int, ...]:
    """A balance in parts that add up to it, each at least 0, as the nonce has it."""
    assert 0 <= balance <= AMOUNT_MAX
    assert 1 <= count <= FRAGMENTS_MAX
    drawn = hashlib.sha256(b"\x14" + of_nonce).digest()
    parts, rest = [], balance
    for i in range(count - 1):
        part = int.from_bytes(drawn[8 * i : 8 * i + 8], "big") * (rest + 1) >> 64
        parts.append(part)
        rest -= part
    return (*parts, rest)


# ── nodes ────────────────────────────────────────────────────────────────────────────────────────────────


def leaf(tree: bytes, fragment: int, account: bytes, of_nonce: bytes, amount: int) -> Node:
    """One fragment of one balance."""
    told = b"\x10" + tree + fragment.to_bytes(2, "big") + account + of_nonce + amount.to_bytes(16, "big")
    return Node(hashlib.sha256(told).digest(), amount)


def parent(left: Node, right: Node) -> Node:
    """Both children's hashes and both their sums: neither sum can be other than it was."""
    return Node(hashlib.sha256(b"\x11" + left.kept + right.kept).digest(), left.sum + right.sum)


def padding(tree: bytes, level: int, index: int) -> Node:
    """What stands beside a level's last node where it has no sibling."""
    told = b"\x12" + tree + level.to_bytes(1, "big") + index.to_bytes(8, "big")
    return Node(hashlib.sha256(told).digest(), 0)


def _counted(told: bytes) -> bytes:
    return len(told).to_bytes(2, "big") + told

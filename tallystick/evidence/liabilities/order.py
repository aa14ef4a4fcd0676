"""Order: which leaf of the tree belongs to which fragment of which account, and back.

Accounts come sorted by their 32 bytes. They are cut into chunks, and within a chunk every fragment has a
place that only the tree's key tells: a Feistel network whose rounds are tables of HMAC's words, so that it
costs ten look-ups a leaf and no sort. A chunk is what is worked on at a time.
"""

from __future__ import annotations

import hmac
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

TILE = 256
"""Leaves below one kept node. Chunks begin at accounts that are a multiple of it."""

GROUPS_MAX = 512
"""The most times 256 accounts in a chunk: its leaves then lie in the processor's last cache."""

ROUNDS = 10

Places = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Accounts from `first` up to `end`, and the leaves that are theirs: from `leaf` on, `slots` of them."""

    number: int
    first: int
    end: int
    fragments: int

    @property
    def accounts(self) -> int:
        return self.end - self.first

    @property
    def leaf(self) -> int:
        return self.first * self.fragments

    @property
    def slots(self) -> int:
        return self.accounts * self.fragments


@dataclass(frozen=True, slots=True)
class Network:
    """The permutation of one chunk's slots, its rounds in a row as the kernel takes them."""

    a: int
    b: int
    slots: int
    tables: Places

    def table(self, number: int) -> Places:
        """The words of one round: `b` of them in even rounds, `a` in odd ones."""
        start = (number // 2) * (self.a + self.b) + (self.b if number % 2 else 0)
        return self.tables[start : start + (self.a if number % 2 else self.b)]


def chunks(customers: int) -> int:
    """How many chunks so many customers are cut into."""
    return max(1, -(-_groups(customers) // GROUPS_MAX))


def chunk(number: int, customers: int, fragments: int) -> Chunk:
    """One of the chunks, of about equal size."""
    groups, count = _groups(customers), chunks(customers)
    first, end = (min(customers, TILE * (each * groups // count)) for each in (number, number + 1))
    return Chunk(number, first, end, fragments)


def chunk_of_account(index: int, customers: int, fragments: int) -> Chunk:
    """The chunk that an account is in, by its place in the order of accounts."""
    groups, count = _groups(customers), chunks(customers)
    # The last chunk that begins no later: ⌊j·groups/count⌋ ≤ group  ⇔  j ≤ ((group + 1)·count − 1) / groups.
    number = ((index // TILE + 1) * count - 1) // groups
    return chunk(number, customers, fragments)


def network(order_key: bytes, of: Chunk) -> Network:
    """The permutation of a chunk that has slots."""
    a = math.isqrt(of.slots - 1) + 1
    b = -(-of.slots // a)
    rows = []
    for number in range(ROUNDS):
        count, most = (a, b) if number % 2 else (b, a)
        words = b"".join(
            hmac.digest(
                order_key,
                of.number.to_bytes(4, "big") + number.to_bytes(1, "big") + block.to_bytes(4, "big"),
                "sha256",
            )
            for block in range(-(-count // 8))
        )
        rows.append(np.frombuffer(words, ">u4")[:count].astype(np.uint32) % np.uint32(most))
    return Network(a, b, of.slots, np.concatenate(rows))


def every_slot(net: Network) -> Places:
    """All slots of a chunk, to ask where they lie."""
    return np.arange(net.slots, dtype=np.uint32)


def walked(net: Network, wanted: Places, *, back: bool = False) -> Places:
    """Where these slots lie, counted from the chunk's first leaf; with `back`, which slots lie there."""
    found = _through(net, wanted.astype(np.uint32), back=back)
    # The network's square is a little larger than the chunk: what falls outside goes through it again.
    while (outside := np.flatnonzero(found >= net.slots)).size:
        found[outside] = _through(net, found[outside], back=back)
    return found


def _through(net: Network, x: Places, *, back: bool) -> Places:
    left, right = np.divmod(x, np.uint32(net.b))
    for number in reversed(range(ROUNDS)) if back else range(ROUNDS):
        half, other, most = (right, left, net.b) if number % 2 else (left, right, net.a)
        words = net.table(number)[other]
        turned = half + (np.uint32(most) - words if back else words)
        turned = np.where(turned >= most, turned - np.uint32(most), turned)
        if number % 2:
            right = turned
        else:
            left = turned
    walked: Places = left * np.uint32(net.b) + right
    return walked


def _groups(customers: int) -> int:
    return -(-customers // TILE)

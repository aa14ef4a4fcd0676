"""Proving: the proof of one account, for its owner, out of the snapshot and the levels that were kept.

The 256 leaves around each of the account's are made again, which takes a fraction of a millisecond, so that no
leaf need be kept. A prover is made once for a tree and asked as often as one likes.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tallystick.evidence import canonical, errors
from tallystick.evidence.liabilities import building, engine, order, profile, proof_file, snapshot
from tallystick.evidence.liabilities.building import KEPT, Tree
from tallystick.evidence.liabilities.order import TILE, Chunk, Network
from tallystick.evidence.liabilities.profile import NODE_BYTES, Keys, Node
from tallystick.evidence.liabilities.proof_file import Fragment, Proof
from tallystick.evidence.liabilities.snapshot import Snapshot
from tallystick.evidence.liabilities.twin import SKIP, Octets

_CHUNKS_REMEMBERED = 1_024
"""Whose permutations are remembered: 20 KB each."""


class Prover:
    """Makes the proofs of one tree. Not for several threads at once."""

    def __init__(
        self, told: Tree, keys: Keys, source: Snapshot, *, using: engine.Engine | None = None
    ) -> None:
        self._tree = told
        self._commitment = proof_file.commitment(dict(told.commitment))
        self._id = profile.tree_id(self._commitment.header)
        assert source.header == self._commitment.header, "the snapshot of this tree"
        self._keys = keys
        self._records = source.mapped()
        self._engine = engine.chosen().engine if using is None else using
        self._network = functools.lru_cache(_CHUNKS_REMEMBERED)(self._network_of)

    def prove(
        self, identifiers: Sequence[str], *, statement: str | None = None, inclusion: str | None = None
    ) -> Proof:
        """The proof of the account with these identifiers. Raises `errors.AccountNotInTree`."""
        told = self._commitment
        account = profile.account_id(told.origin, identifiers)
        index = self._find(account)
        chunk = order.chunk_of_account(index, told.customers, told.fragments)
        net = self._network(chunk)
        slot = (index - chunk.first) * told.fragments
        at = self._engine.walked(net, np.arange(slot, slot + told.fragments, dtype=np.uint32))
        nonce = profile.nonce(self._keys.nonce, account)
        balance = int.from_bytes(self._records[index, 32:].tobytes(), "big")
        amounts = profile.fragments(balance, told.fragments, nonce)
        tiles = self._tiles(chunk, net, (at // TILE).tolist())
        return Proof(
            commitment=told,
            identifiers=tuple(identifiers),
            nonce=nonce,
            balance=balance,
            fragments=tuple(
                Fragment(amount, chunk.leaf + place, self._path(chunk.leaf + place, tile))
                for amount, place, tile in zip(amounts, at.tolist(), tiles, strict=True)
            ),
            statement=statement,
            inclusion=inclusion,
        )

    def _find(self, account: bytes) -> int:
        records, low, high = self._records, 0, len(self._records)
        while low < high:
            middle = (low + high) // 2
            if records[middle, :32].tobytes() < account:
                low = middle + 1
            else:
                high = middle
        if low == len(records) or records[low, :32].tobytes() != account:
            raise errors.AccountNotInTree
        return low

    def _path(self, index: int, below: list[Octets]) -> tuple[Node, ...]:
        """The siblings of a leaf, from its own level to the one below the root."""
        told = self._commitment
        path = []
        for level, nodes in enumerate(below[: min(KEPT, told.height)]):
            beside = (index >> level ^ 1) - (index // TILE << (KEPT - level))
            path.append(profile.node(nodes[beside].tobytes()))
        for level in range(KEPT, told.height):
            beside = index >> level ^ 1
            if beside < profile.level_size(told.leaves, level):
                path.append(profile.node(self._tree.levels[level - KEPT][beside].tobytes()))
            else:
                path.append(profile.padding(self._id, level, beside))
        return tuple(path)

    def _tiles(self, chunk: Chunk, net: Network, wanted: list[int]) -> list[list[Octets]]:
        """The levels below some kept nodes, which are counted from the chunk's first."""
        fragments = self._commitment.fragments
        within = [
            np.arange(tile * TILE, min((tile + 1) * TILE, chunk.slots), dtype=np.uint32) for tile in wanted
        ]
        slots = self._engine.walked(net, np.concatenate(within), back=True).astype(np.int64)
        owners, numbers = np.divmod(slots, fragments)
        # Each leaf's record, and of its fragments that one alone.
        at = np.full(len(slots) * fragments, SKIP, np.uint32)
        at[np.arange(len(slots)) * fragments + numbers] = np.arange(len(slots))
        records = self._records[chunk.first + owners].tobytes()
        nodes = self._engine.leaves(self._id, self._keys.nonce, records, fragments, at, len(slots))
        ends = np.cumsum([len(each) for each in within])[:-1]
        first = chunk.leaf // TILE
        return [
            building.below(self._id, self._commitment.leaves, first + tile, each, self._engine)
            for tile, each in zip(wanted, np.split(nodes, ends), strict=True)
        ]

    def _network_of(self, chunk: Chunk) -> Network:
        return order.network(self._keys.order, chunk)


def kept(commitment: Mapping[str, canonical.Value], path: Path | None) -> Tree:
    """A tree whose levels were kept in a file. Raises `errors.SnapshotMalformed`."""
    told = proof_file.commitment(dict(commitment))
    sizes = [profile.level_size(told.leaves, level) for level in range(KEPT, told.height + 1)]
    if told.height <= KEPT:
        return Tree(commitment, ())
    length = path.stat().st_size if path is not None else 0
    if length != sum(sizes) * NODE_BYTES:
        raise errors.SnapshotMalformed(reason=f"{length} bytes of nodes for {sum(sizes)} nodes")
    assert path is not None
    nodes = np.asarray(np.memmap(path, np.uint8, mode="r")).reshape(-1, NODE_BYTES)
    levels = tuple(np.split(nodes, np.cumsum(sizes)[:-1]))
    if levels[-1][0, :32].tobytes() != told.root:
        raise errors.SnapshotMalformed(reason="its nodes are another tree's")
    return Tree(commitment, levels)


def spelled(proof: Proof) -> bytes:
    """A proof's file."""
    return json.dumps(proof_file.spelled(proof), separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def rebuild(
    published: Mapping[str, canonical.Value],
    tree_key: bytes,
    source: snapshot.Records,
    *,
    workers: int = 1,
    progress: building.Progress | None = None,
) -> Tree:
    """Build the published tree again, from the same records: what the bank and the regulator do.

    Raises `errors.RebuildDiffers` where it is another one, and what building raises.
    """
    told = proof_file.commitment(dict(published))
    tree = building.build(told.header, profile.keys(tree_key), source, workers=workers, progress=progress)
    for member, found in tree.commitment.items():
        if found != published[member]:
            raise errors.RebuildDiffers(member=member, found=found, published=published[member])
    return tree

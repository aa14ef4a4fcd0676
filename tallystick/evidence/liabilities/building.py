"""Building: the whole tree out of a snapshot, chunk by chunk, in memory that hardly grows with it.

Each chunk's leaves are made, put in order and hashed up to the nodes of level 8, and forgotten. What is kept
are the levels from 8 up: 48 bytes for 256 leaves, and once more for all above.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from tallystick.evidence import canonical, errors
from tallystick.evidence.liabilities import engine, order, profile, snapshot
from tallystick.evidence.liabilities.engine import Engine
from tallystick.evidence.liabilities.order import TILE, Chunk
from tallystick.evidence.liabilities.profile import NODE_BYTES, Keys
from tallystick.evidence.liabilities.twin import Octets

KEPT = 8
"""The lowest level whose nodes are kept: one for each tile."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree that was built: what is published of it, and its levels from 8 up."""

    commitment: Mapping[str, canonical.Value]
    levels: tuple[Octets, ...]

    @property
    def digest(self) -> bytes:
        return profile.commitment_digest(self.commitment)

    def nodes(self) -> Iterator[bytes]:
        """The bytes that are kept beside the snapshot, level by level."""
        return (level.tobytes() for level in self.levels)


def build(
    header: Mapping[str, canonical.Value],
    keys: Keys,
    source: snapshot.Records,
    *,
    workers: int = 1,
    using: Engine | None = None,
    progress: Progress | None = None,
) -> Tree:
    """Build the tree of a snapshot. `workers` chunks are worked on at a time, where the engine lets them.

    Raises `errors.AccountTwice` or `SnapshotMalformed`.
    """
    choice = engine.chosen()
    made_by = choice.engine if using is None else using
    customers, fragments = header["customers"], header["fragments"]
    assert isinstance(customers, int)
    assert isinstance(fragments, int)
    if source.customers != customers:
        raise errors.SnapshotMalformed(reason=f"{source.customers} accounts, and its header says {customers}")
    tree, leaves = profile.tree_id(header), customers * fragments
    height = profile.height_of(leaves)
    kept = np.zeros((-(-leaves // TILE), NODE_BYTES), np.uint8)
    rest = profile.padding(tree, 0, 0).kept  # of the empty tree
    last, done = b"", 0
    for chunk, records, found in _worked(
        lambda each: _chunk(each, tree, keys, source, made_by),
        customers,
        fragments,
        workers=1 if made_by is engine.TWIN else workers,
    ):
        snapshot.ascending(records, after=last)
        last = records[-profile.RECORD_BYTES :][:32]
        whole, tail = found
        first = chunk.leaf // TILE
        kept[first : first + len(whole)] = whole
        if len(tail):
            rest = _last_tile(tree, leaves, tail)
            kept[-1] = np.frombuffer(rest, np.uint8)
        elif height <= KEPT:
            rest = whole[-1].tobytes()
        done += chunk.accounts
        if progress is not None:
            progress(done, customers)
    if height <= KEPT:
        root = profile.node(rest)
        levels: tuple[Octets, ...] = ()
    else:
        levels = tuple(_above(tree, leaves, kept, made_by))
        root = profile.node(levels[-1][0].tobytes())
    return Tree(profile.commitment(header, leaves, height, root), levels)


def below(tree: bytes, leaves: int, tile: int, nodes: Octets, using: Engine) -> list[Octets]:
    """The levels of one tile from its leaves up, each with its padding, to the one below what is kept.

    Its last level is the tile's own node, or the root of a tree that is no larger.
    """
    if len(nodes) == TILE:
        return using.levels(nodes)
    levels = [nodes]
    for level in range(min(KEPT, profile.height_of(leaves))):
        here = levels[-1]
        if len(here) % 2:
            beside = profile.padding(tree, level, (tile << (KEPT - level)) + len(here))
            here = np.concatenate([here, np.frombuffer(beside.kept, np.uint8).reshape(1, -1)])
            levels[-1] = here
        levels.append(using.parents(here))
    return levels


def _chunk(
    chunk: Chunk, tree: bytes, keys: Keys, source: snapshot.Records, using: Engine
) -> tuple[bytes, tuple[Octets, Octets]]:
    """A chunk's records; the nodes of its whole tiles, and the leaves of the last tile that is not whole."""
    records = source.records(chunk.first, chunk.end)
    net = order.network(keys.order, chunk)
    at = using.walked(net, order.every_slot(net))
    nodes = using.leaves(tree, keys.nonce, records, chunk.fragments, at, chunk.slots)
    whole = chunk.slots // TILE * TILE
    # Copied: what is left over must not hold the chunk's leaves in memory.
    return records, (using.tiles(nodes[:whole]), nodes[whole:].copy())


def _worked(
    work: Callable[[Chunk], tuple[bytes, tuple[Octets, Octets]]],
    customers: int,
    fragments: int,
    *,
    workers: int,
) -> Iterator[tuple[Chunk, bytes, tuple[Octets, Octets]]]:
    """The chunks in their order, `workers` of them worked on at a time and few waiting."""
    wanted = (order.chunk(number, customers, fragments) for number in range(order.chunks(customers)))
    if customers == 0:
        return
    if workers == 1:
        for chunk in wanted:
            yield chunk, *work(chunk)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: list[tuple[Chunk, Future[tuple[bytes, tuple[Octets, Octets]]]]] = []
        for chunk in wanted:
            waiting.append((chunk, pool.submit(work, chunk)))
            if len(waiting) > workers:
                first, future = waiting.pop(0)
                yield first, *future.result()
        for first, future in waiting:
            yield first, *future.result()


def _last_tile(tree: bytes, leaves: int, tail: Octets) -> bytes:
    node: Octets = below(tree, leaves, leaves // TILE, tail, engine.TWIN)[-1][0]
    return node.tobytes()


def _above(tree: bytes, leaves: int, kept: Octets, using: Engine) -> Iterator[Octets]:
    level, here = KEPT, kept
    yield here
    while len(here) > 1:
        if len(here) % 2:
            beside = profile.padding(tree, level, len(here)).kept
            here = np.concatenate([here, np.frombuffer(beside, np.uint8).reshape(1, -1)])
        here = using.parents(here)
        level += 1
        yield here

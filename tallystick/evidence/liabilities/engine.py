"""The engine: the kernel where there is one and it agrees with the twin, else the twin. Chosen once."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np

from tallystick.evidence.liabilities import kernel, order, twin
from tallystick.evidence.liabilities.order import Network, Places
from tallystick.evidence.liabilities.twin import Octets


class Engine(Protocol):
    """What twin and kernel both do."""

    @property
    def NAME(self) -> str: ...
    def walked(self, net: Network, wanted: Places, *, back: bool = False) -> Places: ...
    def leaves(
        self, tree: bytes, nonce_key: bytes, records: bytes, fragments: int, at: Places, room: int
    ) -> Octets: ...
    def parents(self, nodes: Octets) -> Octets: ...
    def tiles(self, nodes: Octets) -> Octets: ...
    def levels(self, nodes: Octets) -> list[Octets]: ...


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine in use; where it is not the kernel, why."""

    engine: Engine
    why_not: str = ""

    @property
    def threads_help(self) -> bool:
        """Whether chunks can be worked on side by side: the twin holds Python's lock."""
        return self.engine is not TWIN


TWIN = cast(Engine, twin)


@functools.cache
def chosen() -> Choice:
    """The fastest engine that gives the twin's bytes."""
    try:
        found = kernel.load()
        _compare(found)
    except (kernel.NotLoaded, OSError, AssertionError, OverflowError) as failure:
        return Choice(TWIN, str(failure) or type(failure).__name__)
    return Choice(found)


def _compare(found: kernel.Kernel) -> None:
    """A few hundred leaves both ways: a library built by a faulty compiler is not used."""
    records = b"".join(
        number.to_bytes(4, "big") * 8 + (number * 0x1234567890ABCDEF % 2**64).to_bytes(8, "big")
        for number in range(171)
    )
    net = order.network(bytes(32), order.Chunk(0, 0, 171, 3))
    slots = order.every_slot(net)
    at = twin.walked(net, slots)
    back = found.walked(net, at, back=True)
    if not np.array_equal(found.walked(net, slots), at) or not np.array_equal(back, slots):
        raise kernel.NotLoaded("the library orders leaves otherwise than its Python twin")
    mine, its = (each.leaves(b"t" * 32, b"k" * 32, records, 3, at, 513)[:512] for each in (TWIN, found))
    levels = zip(TWIN.levels(mine[:256]), found.levels(its[:256]), strict=True)
    alike = np.array_equal(mine, its) and all(np.array_equal(*each) for each in levels)
    if not alike or not np.array_equal(TWIN.tiles(mine), found.tiles(its)):
        raise kernel.NotLoaded("the library hashes otherwise than its Python twin")

"""The kernel: the twin's functions in C, where a library of this very source was built.

Looked for beside the source, where a wheel brings it, and in the environment, where `./tally` puts it. It is
called through `ctypes`, without Python's lock: two chunks are worked on at once on two processors.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import numpy as np

from tallystick.evidence.liabilities import profile
from tallystick.evidence.liabilities.kernel import compiling
from tallystick.evidence.liabilities.order import TILE, Network, Places
from tallystick.evidence.liabilities.twin import Octets

VERSION = 1
"""What `psum_version` of a fitting library says."""

_POINTER, _U32, _U64 = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64

_SIGNATURES = {
    "psum_version": [],
    "psum_accelerated": [],
    "psum_walk": [_POINTER, _U32, _U32, _U32, ctypes.c_int, _POINTER, _U32, _POINTER],
    "psum_leaves": [_POINTER, _POINTER, _POINTER, _U32, _U32, _POINTER, _U32, _POINTER, ctypes.c_int],
    "psum_parents": [_POINTER, _U64, _POINTER, ctypes.c_int],
    "psum_tiles": [_POINTER, _U64, _POINTER, ctypes.c_int],
    "psum_levels": [_POINTER, ctypes.c_int],
    "psum_bare": [_POINTER, _POINTER, ctypes.c_int, _POINTER, ctypes.c_int],
}

_FAILURES = {1: "an argument out of bounds", 2: "a place outside the chunk"}
_SUM_OVERFLOWS = 3


class NotLoaded(Exception):
    """There is no kernel, and why."""


class Kernel:
    """A loaded library. `portable` leaves the processor's SHA extensions aside."""

    def __init__(self, library: Path, *, portable: bool = False) -> None:
        try:
            self._library = ctypes.CDLL(str(library))
            for name, arguments in _SIGNATURES.items():
                getattr(self._library, name).argtypes = arguments
        except (OSError, AttributeError) as failure:
            raise NotLoaded(f"{library.name}: {failure}") from failure
        if (version := self._library.psum_version()) != VERSION:
            raise NotLoaded(f"{library.name} is of version {version}, not {VERSION}")
        self._portable = int(portable)
        accelerated = not portable and self._library.psum_accelerated()
        self.NAME = "c-sha-ni" if accelerated else "c-portable"

    def walked(self, net: Network, wanted: Places, *, back: bool = False) -> Places:
        """As the twin's."""
        wanted, tables = np.ascontiguousarray(wanted, np.uint32), np.ascontiguousarray(net.tables, np.uint32)
        assert len(tables) == 5 * (net.a + net.b), "ten rounds, five of each size"
        found = np.empty(len(wanted), np.uint32)
        self._call(
            "psum_walk",
            tables.ctypes.data,
            net.a,
            net.b,
            net.slots,
            int(back),
            wanted.ctypes.data,
            len(wanted),
            found.ctypes.data,
        )
        return found

    def leaves(
        self, tree: bytes, nonce_key: bytes, records: bytes, fragments: int, at: Places, room: int
    ) -> Octets:
        """As the twin's."""
        accounts, left = divmod(len(records), profile.RECORD_BYTES)
        at = np.ascontiguousarray(at, np.uint32)
        assert not left, "whole records"
        assert len(tree) == len(nonce_key) == 32, "a tree and a key of 32 bytes"
        assert len(at) == accounts * fragments, "a place for every fragment"
        # Every node is written but those of places nobody asked for.
        nodes = np.zeros((room, profile.NODE_BYTES), np.uint8)
        source = np.frombuffer(records, np.uint8)
        self._call(
            "psum_leaves",
            np.frombuffer(tree, np.uint8).ctypes.data,
            np.frombuffer(nonce_key, np.uint8).ctypes.data,
            source.ctypes.data,
            accounts,
            fragments,
            at.ctypes.data,
            room,
            nodes.ctypes.data,
            self._portable,
        )
        return nodes

    def parents(self, nodes: Octets) -> Octets:
        """As the twin's."""
        nodes = np.ascontiguousarray(nodes, np.uint8)
        assert len(nodes) % 2 == 0, "nodes in pairs"
        above = np.empty((len(nodes) // 2, profile.NODE_BYTES), np.uint8)
        self._call("psum_parents", nodes.ctypes.data, len(above), above.ctypes.data, self._portable)
        return above

    def tiles(self, nodes: Octets) -> Octets:
        """As the twin's, and the nodes given are used up."""
        assert len(nodes) % TILE == 0, "whole tiles"
        assert nodes.flags.c_contiguous
        above = np.empty((len(nodes) // TILE, profile.NODE_BYTES), np.uint8)
        self._call("psum_tiles", nodes.ctypes.data, len(above), above.ctypes.data, self._portable)
        return above

    def levels(self, nodes: Octets) -> list[Octets]:
        """As the twin's."""
        assert len(nodes) == TILE, "one tile"
        found = np.empty((2 * TILE - 1, profile.NODE_BYTES), np.uint8)
        found[:TILE] = nodes
        self._call("psum_levels", found.ctypes.data, self._portable)
        return [found[2 * TILE - (2 * TILE >> level) :][: TILE >> level] for level in range(9)]

    def bare(self, messages: Octets) -> None:
        """Hash two messages of whole blocks, a row each: how fast SHA-256 is here at best."""
        assert messages.shape[0] == 2, "two messages"
        assert messages.shape[1] % 64 == 0, "of whole blocks"
        assert messages.flags.c_contiguous
        row, out = messages.shape[1], np.empty(64, np.uint8)
        first = messages.ctypes.data
        self._call("psum_bare", first, first + row, row // 64, out.ctypes.data, self._portable)

    def _call(self, name: str, *arguments: int) -> None:
        answer = getattr(self._library, name)(*arguments)
        if answer == _SUM_OVERFLOWS:
            raise OverflowError("a sum of 100 bits: no tree of psum-v1 has one")
        assert answer == 0, f"{name}: {_FAILURES.get(answer, answer)}"


def library() -> Path | None:
    """Where the library of this source lies, if anywhere."""
    name = compiling.library_name()
    where = (compiling.SOURCE.parent, Path(sys.prefix) / "tallystick")
    return next((each / name for each in where if (each / name).is_file()), None)


def load(*, portable: bool = False) -> Kernel:
    """The kernel. Raises `NotLoaded`."""
    found = library()
    if found is None:
        raise NotLoaded("no library was built of this source: there was no C compiler, or it failed")
    return Kernel(found, portable=portable)

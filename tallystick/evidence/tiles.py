"""Tiles: the tree as files of at most 256 hashes, laid out as C2SP tlog-tiles says, and entries beside them.

A tile never changes once it is whole, and a part of a tile never changes at its width, so that they are
served as plain files and kept by anybody. Proofs are computed from tiles alone.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from tallystick.evidence import errors, hashing

WIDTH = 256
"""Hashes in a whole tile: a subtree of height 8."""

_HEIGHT = 8

ENTRY_BYTES_MAX = 2**16 - 1

_LEVEL_MAX = 63

_PATH = re.compile(
    r"tile/(?P<level>0|[1-9][0-9]?|entries)/(?P<index>(?:x[0-9]{3}/)*[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)

TileSource = Callable[[int, int, int], bytes]
"""(level, index, width) to the tile's hashes in a row."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Hashes in a row, at most 256: of the entries at level 0, of whole tiles of the level below above it."""

    level: int
    index: int
    hashes: bytes

    @property
    def width(self) -> int:
        return len(self.hashes) // hashing.HASH_BYTES

    @property
    def path(self) -> str:
        """Where it is served, below the log's prefix."""
        return tile_path(self.level, self.index, self.width)


class TiledTree:
    """A tree that only grows, and the tiles that its growth writes or widens."""

    def __init__(self, suite: hashing.Suite = hashing.SHA256) -> None:
        self._tree = hashing.Tree(suite)
        # By level: the hashes of the last tile, where it is not whole.
        self._edges: list[bytes] = []

    @classmethod
    def resumed(cls, size: int, read: TileSource, suite: hashing.Suite = hashing.SHA256) -> TiledTree:
        """The tree of `size` entries as it was left: reads its last tile of each level, where not whole."""
        tree = cls(suite)
        tree._tree = hashing.Tree.resumed(size, TileHashes(read, suite).at(size), suite)
        for level in range(-(-size.bit_length() // _HEIGHT)):
            index, width = divmod(size >> _HEIGHT * level, WIDTH)
            tree._edges.append(_hashes(read, level, index, width) if width else b"")
        return tree

    @property
    def size(self) -> int:
        return self._tree.size

    def root(self) -> bytes:
        """The hash of the whole tree."""
        return self._tree.root()

    def append(self, leaf_hashes: bytes) -> list[Tile]:
        """Add leaf hashes in a row. Every tile this wrote or widened, each once, at its last width."""
        size = self.size
        written = []
        for level, new in enumerate(self._tree.append(leaf_hashes)[::_HEIGHT]):
            if level == len(self._edges):
                self._edges.append(b"")
            index = size >> _HEIGHT * (level + 1)
            hashes = self._edges[level] + new
            whole = len(hashes) // (WIDTH * hashing.HASH_BYTES)
            for at in range(whole):
                written.append(Tile(level, index + at, _slice(hashes, at * WIDTH, WIDTH)))
            rest = hashes[whole * WIDTH * hashing.HASH_BYTES :]
            self._edges[level] = rest
            if rest:
                written.append(Tile(level, index + whole, rest))
        return written


class TileHashes:
    """Hashes out of tiles, whose subtrees are hashed once and kept: what proofs are computed from."""

    def __init__(
        self, read: TileSource, suite: hashing.Suite = hashing.SHA256, *, tables_max: int = 2_048
    ) -> None:
        # 16 kB a whole tile. Tiles never change at their width, so nothing kept here grows stale.
        def table(level: int, index: int, width: int) -> tuple[bytes, ...]:
            return _table(_hashes(read, level, index, width), suite)

        self._table = lru_cache(maxsize=tables_max)(table)

    def at(self, size: int) -> hashing.HashReader:
        """The hashes of the tree of `size` entries."""
        table = self._table

        def read(height: int, index: int) -> bytes:
            level, up = divmod(height, _HEIGHT)
            tile, place = divmod(index << up, WIDTH)
            place >>= up
            width = min(WIDTH, (size >> _HEIGHT * level) - tile * WIDTH)
            return _slice(table(level, tile, width)[up], place, 1)

        return read


def tiles_of(size: int, *, since: int = 0) -> Iterator[tuple[int, int, int]]:
    """(level, index, width) of every tile of a tree of `size`, but those whole in the tree of `since`."""
    level = 0
    while (hashes := size >> _HEIGHT * level) > 0:
        for index in range(since >> _HEIGHT * (level + 1), -(-hashes // WIDTH)):
            yield level, index, min(WIDTH, hashes - index * WIDTH)
        level += 1


def tile_path(level: int, index: int, width: int = WIDTH) -> str:
    """Where a tile is served, below the log's prefix."""
    assert 0 <= level <= _LEVEL_MAX, f"there is no level {level}"
    return f"tile/{level}/{_index_path(index, width)}"


def bundle_path(index: int, width: int = WIDTH) -> str:
    """Where the entries of a tile of level 0 are served, below the log's prefix."""
    return f"tile/entries/{_index_path(index, width)}"


def place(path: str) -> tuple[int | None, int, int]:
    """(level, index, width) of a path as `tile_path` and `bundle_path` write it; entries have no level."""
    if found := _PATH.fullmatch(path):
        index = int(found["index"].replace("/", "").replace("x", ""))
        width = int(found["width"] or WIDTH)
        level = None if found["level"] == "entries" else int(found["level"])
        # One spelling each: no leading zeroes, and a whole tile is never called a part.
        if width <= WIDTH and (level or 0) <= _LEVEL_MAX:
            spelled = bundle_path(index, width) if level is None else tile_path(level, index, width)
            if spelled == path:
                return level, index, width
    raise errors.TileMalformed(path=repr(path[:80]), reason="there is no such path")


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """The entries of one tile, each after its length in two bytes."""
    assert len(entries) <= WIDTH, "a bundle has the entries of one tile"
    longest = max(map(len, entries), default=0)
    if longest > ENTRY_BYTES_MAX:
        raise errors.EntryTooLong(most=ENTRY_BYTES_MAX, length=longest)
    return b"".join([part for entry in entries for part in (len(entry).to_bytes(2, "big"), entry)])


def decode_bundle(bundle: bytes, width: int, *, path: str = "the bundle") -> list[bytes]:
    """The `width` entries of a bundle, which is exactly that long."""
    entries: list[bytes] = []
    at = 0
    for _ in range(width):
        end = at + 2
        if end <= len(bundle):
            (length,) = struct.unpack_from(">H", bundle, at)
            end += length
        if end > len(bundle):
            raise errors.TileMalformed(path=path, reason=f"it ends inside entry {len(entries)} of {width}")
        entries.append(bundle[at + 2 : end])
        at = end
    if at != len(bundle):
        raise errors.TileMalformed(path=path, reason=f"it goes on after {width} entries")
    return entries


def bundles(entries: Iterable[bytes], size: int = 0) -> Iterator[tuple[int, bytes]]:
    """(index, bundle) of entries that begin at a tile's first, number `size`; the last may be a part."""
    assert size % WIDTH == 0, "a bundle begins where its tile does"
    held: list[bytes] = []
    index = size // WIDTH
    for entry in entries:
        held.append(entry)
        if len(held) == WIDTH:
            yield index, encode_bundle(held)
            held = []
            index += 1
    if held:
        yield index, encode_bundle(held)


def _index_path(index: int, width: int) -> str:
    assert index >= 0, "tiles are counted from 0"
    assert 0 < width <= WIDTH, f"no tile has {width} hashes"
    path = f"{index % 1000:03d}"
    while index := index // 1000:
        path = f"x{index % 1000:03d}/{path}"
    return path if width == WIDTH else f"{path}.p/{width}"


def _hashes(read: TileSource, level: int, index: int, width: int) -> bytes:
    hashes = read(level, index, width)
    if len(hashes) != width * hashing.HASH_BYTES:
        path = tile_path(level, index, width)
        raise errors.TileMalformed(path=path, reason=f"it has {len(hashes)} bytes for {width} hashes")
    return hashes


def _table(hashes: bytes, suite: hashing.Suite) -> tuple[bytes, ...]:
    # By height inside the tile: the hashes of its whole subtrees, in a row.
    table = [hashes]
    for _ in range(1, _HEIGHT):
        table.append(hashing.parents(table[-1][: len(table[-1]) & -64], suite))
    return tuple(table)


def _slice(hashes: bytes, start: int, count: int) -> bytes:
    return hashes[start * hashing.HASH_BYTES : (start + count) * hashing.HASH_BYTES]

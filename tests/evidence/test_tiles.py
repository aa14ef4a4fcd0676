"""Tiles are the files another implementation of the specification writes, byte for byte."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.evidence import checkpoints, errors, hashing, notes, tiles
from tests.evidence import vectors


def kept(tree: tiles.TiledTree, hashes: bytes, store: dict[tuple[int, int, int], bytes]) -> None:
    for tile in tree.append(hashes):
        store[tile.level, tile.index, tile.width] = tile.hashes


@vectors.needed
def test_a_log_of_tessera_is_written_byte_for_byte():
    """15 entries one by one: every partial tile and entry bundle, each root, and all 17 signatures."""
    published = vectors.extracted("signed-notes.json")["tessera_testlog"]
    log = notes.verifier(notes.parse_key(published["vkey"]))
    entries = [entry.encode() for entry in published["entries"]]
    folder = vectors.VECTORS / "tessera-testlog" / "testdata" / "log"
    tree = tiles.TiledTree()
    written = set()
    for size in range(len(entries) + 1):
        if size:
            for tile in tree.append(hashing.leaf_hash(entries[size - 1])):
                assert (folder / tile.path).read_bytes() == tile.hashes
                written.add(tile.path)
            ((index, bundle),) = tiles.bundles(entries[:size])
            path = tiles.bundle_path(index, size)
            assert (folder / path).read_bytes() == bundle
            assert tiles.decode_bundle(bundle, size) == entries[:size]
            written.add(path)
        note = (folder / f"checkpoint.{size}").read_bytes()
        head = checkpoints.open(note, [log], origin="example.com/log/testdata")
        assert (head.size, head.root) == (size, tree.root())
        assert notes.parse(note)[0] == head.text
    assert checkpoints.open((folder / "checkpoint").read_bytes(), [log]).size == 15
    files = {str(file.relative_to(folder)) for file in folder.rglob("tile/**/*") if file.is_file()}
    assert written == files


@vectors.needed
def test_the_layout_is_the_specifications_own_example():
    layout = vectors.extracted("signed-notes.json")["c2sp_layout_examples"]
    assert tiles.tile_path(0, 1234067) == f"tile/0/{layout['tile_index_1234067']}"
    found = list(tiles.tiles_of(70_000))
    whole = [sum(1 for level, _, width in found if (level, width) == (each, 256)) for each in (0, 1)]
    assert whole == [layout["size_70000"]["L0_full"], layout["size_70000"]["L1_full"]]
    parts = {level: width for level, _, width in found if width < 256}
    assert parts == {each: layout["size_70000"][f"L{each}_partial"] for each in (0, 1, 2)}


@pytest.mark.parametrize("size", [1, 255, 256, 257, 511, 512, 65_535, 65_536, 65_793, 70_000])
def test_growth_in_any_batches_writes_the_same_tiles(size):
    hashes = hashing.leaf_hashes(each.to_bytes(4, "big") for each in range(size))
    once: dict[tuple[int, int, int], bytes] = {}
    tree = tiles.TiledTree()
    kept(tree, hashes, once)
    assert set(once) == set(tiles.tiles_of(size))
    chance = random.Random(size)
    many: dict[tuple[int, int, int], bytes] = {}
    grown, at = tiles.TiledTree(), 0
    while at < size:
        count = chance.choice([1, 3, 255, 256, 1_000, 30_000])
        # A tree that is left and taken up again goes on as if it had never stopped.
        grown = tiles.TiledTree.resumed(at, lambda *key: many[key])
        kept(grown, hashes[32 * at : 32 * (at + count)], many)
        at += count
    assert (grown.size, grown.root()) == (size, tree.root())
    assert {key: many[key] for key in once} == once


def test_proofs_from_tiles_hold_for_every_size():
    hashes = hashing.leaf_hashes(each.to_bytes(4, "big") for each in range(70_000))
    store: dict[tuple[int, int, int], bytes] = {}
    tree = tiles.TiledTree()
    sizes = [1, 2, 255, 256, 300, 65_536, 65_537, 70_000]
    roots = {}
    for before, size in zip([0, *sizes], sizes, strict=False):
        kept(tree, hashes[32 * before : 32 * size], store)
        roots[size] = tree.root()
    source = tiles.TileHashes(lambda *key: store[key])
    for size in sizes:
        read = source.at(size)
        assert hashing.root_of(read, size) == roots[size]
        for index in {0, 1, size // 2, size - 2, size - 1} & set(range(size)):
            proof = hashing.inclusion_proof(index, size, read)
            hashing.verify_inclusion(index, size, hashes[32 * index : 32 * index + 32], proof, roots[size])
        for old in (each for each in sizes if each <= size):
            proof = hashing.consistency_proof(old, size, read)
            hashing.verify_consistency(old, roots[old], size, roots[size], proof)


def test_what_a_growing_log_publishes_is_only_what_is_new():
    assert list(tiles.tiles_of(600, since=512)) == [(0, 2, 88), (1, 0, 2)]
    assert list(tiles.tiles_of(0)) == []


@given(st.integers(0, 10**12), st.integers(1, 256), st.integers(0, 63))
def test_a_path_reads_back_and_has_one_spelling(index, width, level):
    assert tiles.place(tiles.tile_path(level, index, width)) == (level, index, width)
    assert tiles.place(tiles.bundle_path(index, width)) == (None, index, width)


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/000.p/256",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/00/000",
        "tile/64/000",
        "tile/0/x000/001",
        "tile/0/0000",
        "tile/0/000/",
        "tile/0/../000",
        "tile/entries/x01/001",
        "/tile/0/000",
        "tile/0/٠٠٠",
    ],
)
def test_paths_with_another_spelling_are_none(path):
    with pytest.raises(errors.TileMalformed):
        tiles.place(path)


@pytest.mark.parametrize("bundle", [b"", b"\0", b"\0\2a", b"\0\1a\0", b"\0\1a\0\1b\0\1c", b"\0\1a\0\1bc"])
def test_a_bundle_that_is_not_exactly_its_entries_is_refused(bundle):
    with pytest.raises(errors.TileMalformed):
        tiles.decode_bundle(bundle, 2)


def test_the_longest_entry_fits_and_one_byte_more_does_not():
    entries = [b"x" * tiles.ENTRY_BYTES_MAX, b""]
    assert tiles.decode_bundle(tiles.encode_bundle(entries), 2) == entries
    with pytest.raises(errors.EntryTooLong):
        tiles.encode_bundle([b"x" * 65_536])


def test_a_tile_cut_short_is_refused_before_a_proof_is_made_of_it():
    source = tiles.TileHashes(lambda level, index, width: b"x" * (32 * width - 1))
    with pytest.raises(errors.TileMalformed):
        hashing.inclusion_proof(0, 5, source.at(5))

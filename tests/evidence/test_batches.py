"""A batch's root stands for each of its things in its place, and a path shows one without the others."""

import hashlib

import pytest

from tallystick.evidence import batches, hashing
from tallystick.evidence.errors import ProofRefused

SALT = bytes(range(32))


def things(count):
    return [f"thing {n}".encode() for n in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 255, 256, 257, 1000])
def test_each_thing_has_a_path_to_the_root(count):
    leaves = batches.leaves(things(count), SALT, count)
    root = batches.root(leaves)
    for index in {0, count // 2, count - 1}:
        leaf = batches.leaf(f"thing {index}".encode(), batches.blind(SALT, index))
        hashing.verify_inclusion(index, count, leaf, batches.path(leaves, index), root)
        with pytest.raises(ProofRefused):
            hashing.verify_inclusion(index, count, leaf[::-1], batches.path(leaves, index), root)


def test_things_laid_out_beforehand_have_the_same_leaves():
    blinds = batches.blinds(SALT, 10)
    rows = [b"\0" + blinds[16 * n : 16 * n + 16] + each for n, each in enumerate(things(10))]
    assert batches.leaves_of_width(b"".join(rows), 1 + 16 + 7) == batches.leaves(things(10), SALT, 10)


def test_equal_things_have_leaves_with_nothing_in_common():
    """Whoever is shown a neighbour's hash cannot try out what it may stand for: the blind is not theirs."""
    leaves = batches.leaves([b"same", b"same"], SALT, 2)
    assert leaves[:32] != leaves[32:]
    assert leaves[:32] != hashing.leaf_hash(b"same")
    assert batches.leaves([b"same"], bytes(32), 1) != leaves[:32]


def test_the_bytes_are_those_that_the_manual_says():
    blind = hashlib.shake_256(b"evid/batch/v1\0" + SALT).digest(32)[16:]
    assert batches.blind(SALT, 1) == blind
    assert batches.leaf(b"row", blind) == hashlib.sha256(b"\0" + blind + b"row").digest()

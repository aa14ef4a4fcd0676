"""The tree is RFC 6962's, and no change to an entry, a place or a proof goes through."""

from __future__ import annotations

import hashlib
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.evidence import errors, hashing
from tests.evidence import vectors

ENTRIES = st.lists(st.binary(max_size=6), min_size=1, max_size=40)


def levels_of(entries: list[bytes], suite: hashing.Suite = hashing.SHA256) -> list[bytes]:
    """By height: the hashes of all whole subtrees, made in one go."""
    levels = [hashing.leaf_hashes(entries, suite)]
    while len(levels[-1]) >= 64:
        levels.append(hashing.parents(levels[-1][: len(levels[-1]) & -64], suite))
    return levels


def reader(entries: list[bytes], suite: hashing.Suite = hashing.SHA256) -> hashing.HashReader:
    levels = levels_of(entries, suite)

    def read(height: int, index: int) -> bytes:
        found = levels[height][32 * index : 32 * index + 32]
        assert len(found) == 32, f"asked for ({height}, {index}), which is not whole"
        return found

    return read


def mth(entries: list[bytes]) -> bytes:
    """RFC 6962, 2.1, word by word."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\0" + entries[0]).digest()
    k = 1 << (len(entries) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + mth(entries[:k]) + mth(entries[k:])).digest()


def refused(call, *arguments) -> bool:
    try:
        call(*arguments)
    except errors.ProofRefused:
        return True
    return False


@vectors.needed
def test_the_roots_and_nodes_of_the_reference_tree():
    reference = vectors.extracted("rfc6962-reference.json")
    leaves = [bytes.fromhex(leaf) for leaf in reference["leaf_inputs_hex"]]
    roots = [bytes.fromhex(root) for root in reference["roots_hex_by_size"]]
    assert hashing.EMPTY_ROOT == hashing.Tree().root() == roots[0]
    tree = hashing.Tree()
    for size, leaf in enumerate(leaves, start=1):
        tree.append(hashing.leaf_hash(leaf))
        assert tree.root() == roots[size]
    nodes = [b"".join(map(bytes.fromhex, level)) for level in reference["nodes_hex_by_level"]]
    assert levels_of(leaves) == nodes


@vectors.needed
def test_every_published_inclusion_proof_is_judged_as_published():
    cases = vectors.merkle("inclusion")
    assert len(cases) == 98
    for place, case in cases:
        proof = [vectors.unbase64(each) for each in case["proof"] or []]
        leaf, root = vectors.unbase64(case["leafHash"]), vectors.unbase64(case["root"])
        wrong = refused(hashing.verify_inclusion, case["leafIdx"], case["treeSize"], leaf, proof, root)
        assert wrong == case["wantErr"], (place, case["desc"])


@vectors.needed
def test_every_published_consistency_proof_is_judged_as_published():
    cases = vectors.merkle("consistency")
    assert len(cases) == 98
    for place, case in cases:
        proof = [vectors.unbase64(each) for each in case["proof"] or []]
        old, new = vectors.unbase64(case["root1"]), vectors.unbase64(case["root2"])
        wrong = refused(hashing.verify_consistency, case["size1"], old, case["size2"], new, proof)
        assert wrong == case["wantErr"], (place, case["desc"])


def test_nothing_is_no_consistency_and_yet_how_a_log_may_begin():
    """A proof from size 0 would prove nothing; a witness that has seen nothing still takes the first head."""
    empty, root = hashing.EMPTY_ROOT, hashing.leaf_hash(b"a")
    for new_size, new_root in ((0, empty), (1, root)):
        with pytest.raises(errors.NothingProved):
            hashing.verify_consistency(0, empty, new_size, new_root, [])
        hashing.verify_extension(0, empty, new_size, new_root, [])
    with pytest.raises(errors.RootDiffers):
        hashing.verify_extension(0, empty, 0, root, [])
    with pytest.raises(errors.OldRootDiffers):
        hashing.verify_extension(0, root, 1, root, [])
    with pytest.raises(errors.ProofLengthWrong):
        hashing.verify_extension(0, empty, 1, root, [root])
    with pytest.raises(errors.TreeShrank):
        hashing.verify_extension(1, root, 0, empty, [])


@given(ENTRIES, st.lists(st.integers(0, 40), max_size=4))
def test_however_it_grew_the_tree_is_the_one_of_the_definition(entries, cuts):
    tree = hashing.Tree()
    cuts = sorted({min(cut, len(entries)) for cut in cuts} | {0, len(entries)})
    for start, end in itertools.pairwise(cuts):
        tree.append(hashing.leaf_hashes(entries[start:end]))
        assert tree.root() == mth(entries[:end])
        assert hashing.Tree.resumed(end, reader(entries[:end])).root() == tree.root()
        assert hashing.root_of(reader(entries), end) == tree.root()
    assert tree.size == len(entries)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 13, 31, 32])
def test_every_entry_is_proved_and_every_earlier_tree(size):
    entries = [bytes([each]) for each in range(size)]
    read, root = reader(entries), mth(entries)
    for index in range(size):
        proof = hashing.inclusion_proof(index, size, read)
        hashing.verify_inclusion(index, size, hashing.leaf_hash(entries[index]), proof, root)
    for old in range(1, size + 1):
        proof = hashing.consistency_proof(old, size, read)
        hashing.verify_consistency(old, mth(entries[:old]), size, root, proof)
        hashing.verify_extension(old, mth(entries[:old]), size, root, proof)


@settings(max_examples=60)
@given(ENTRIES, st.data())
def test_any_change_to_an_inclusion_proof_is_refused(entries, data):
    size, read, root = len(entries), reader(entries), mth(entries)
    index = data.draw(st.integers(0, size - 1))
    leaf, proof = hashing.leaf_hash(entries[index]), hashing.inclusion_proof(index, size, read)
    flip = data.draw(st.integers(0, 255))

    def flipped(hash_: bytes) -> bytes:
        return (int.from_bytes(hash_, "big") ^ 1 << flip).to_bytes(32, "big")

    changed = [(index, size, flipped(leaf), proof, root), (index, size, leaf, proof, flipped(root))]
    changed += [(index, size, leaf, [*proof, root], root), (index, size, leaf, [root, *proof], root)]
    changed += [(other, size, leaf, proof, root) for other in (index - 1, index + 1, size, -1)]
    for at, hash_ in enumerate(proof):
        changed.append((index, size, leaf, [*proof[:at], flipped(hash_), *proof[at + 1 :]], root))
        changed.append((index, size, leaf, [*proof[:at], *proof[at + 1 :]], root))
        if at and proof[at] != proof[at - 1]:
            swapped = [*proof[: at - 1], proof[at], proof[at - 1], *proof[at + 1 :]]
            changed.append((index, size, leaf, swapped, root))
        # Two hashes whose border was moved still hash alike if nobody looks at their length.
        changed.append((index, size, leaf + hash_[:1], [*proof[:at], hash_[1:], *proof[at + 1 :]], root))
    for each in changed:
        # Equal entries side by side have equal proofs: there the other place is the truth.
        if each[0] != index and 0 <= each[0] < size and mirrored(entries, index, each[0]):
            continue
        assert refused(hashing.verify_inclusion, *each)


def mirrored(entries: list[bytes], one: int, other: int) -> bool:
    read = reader(entries)
    return entries[one] == entries[other] and (
        hashing.inclusion_proof(one, len(entries), read) == hashing.inclusion_proof(other, len(entries), read)
    )


@settings(max_examples=60)
@given(st.lists(st.binary(min_size=1, max_size=4), min_size=2, max_size=24, unique=True), st.data())
def test_history_dropped_inserted_reordered_or_changed_is_refused(entries, data):
    """No proof is found for a log whose earlier entries are not the ones that were signed for."""
    old_size = data.draw(st.integers(1, len(entries) - 1))
    at = data.draw(st.integers(0, old_size - 1))
    old_root = mth(entries[:old_size])
    other = b"another" + entries[at]
    histories = {
        "dropped": entries[:at] + entries[at + 1 :],
        "inserted": [*entries[:at], other, *entries[at:]],
        "changed": [*entries[:at], other, *entries[at + 1 :]],
        "reordered": [*entries[:at], entries[at + 1], entries[at], *entries[at + 2 :]],
    }
    for name, history in histories.items():
        if history[:old_size] == entries[:old_size]:
            continue  # the change lies behind the old tree: nothing was rewritten
        size = len(history)
        if size < old_size:
            with pytest.raises(errors.TreeShrank):
                hashing.verify_consistency(old_size, old_root, size, mth(history), [])
            continue
        proof = hashing.consistency_proof(old_size, size, reader(history))
        assert refused(hashing.verify_consistency, old_size, old_root, size, mth(history), proof), name
        # Nor with the proof of the true history.
        if size == len(entries):
            true = hashing.consistency_proof(old_size, size, reader(entries))
            assert refused(hashing.verify_consistency, old_size, old_root, size, mth(history), true), name


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 255), st.integers(0, 20))
def test_any_change_to_a_consistency_proof_is_refused(one, other, flip, at):
    old_size, size = sorted((one, other))
    entries = [bytes([each]) for each in range(size)]
    proof = hashing.consistency_proof(old_size, size, reader(entries))
    old_root, root = mth(entries[:old_size]), mth(entries)
    if proof:
        at %= len(proof)
        flipped = (int.from_bytes(proof[at], "big") ^ 1 << flip).to_bytes(32, "big")
        for changed in ([*proof[:at], flipped, *proof[at + 1 :]], [*proof[:at], *proof[at + 1 :]]):
            assert refused(hashing.verify_consistency, old_size, old_root, size, root, changed)
    assert refused(hashing.verify_consistency, old_size, old_root, size, root, [*proof, root])
    assert refused(hashing.verify_consistency, old_size, old_root, size, old_root[::-1], proof)
    assert refused(hashing.verify_consistency, old_size, root[::-1], size, root, proof)


@pytest.mark.parametrize("size", [2**63, 2**80])
def test_sizes_beyond_the_largest_log_are_refused_at_once(size):
    hash_ = b"x" * 32
    assert refused(hashing.verify_inclusion, 1, size, hash_, [], hash_)
    assert refused(hashing.verify_consistency, 1, hash_, size, hash_, [])
    assert refused(hashing.verify_extension, 0, hashing.EMPTY_ROOT, size, hash_, [])


def test_another_suite_is_another_tree():
    """SM3, by name, for a log of its own: the published digest of "abc", and proofs that hold in it alone."""
    sm3 = hashing.SUITES["sm3"]
    digest = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    assert sm3.new(b"abc").digest().hex() == digest
    entries = [bytes([each]) for each in range(11)]
    tree = hashing.Tree(sm3)
    tree.append(hashing.leaf_hashes(entries, sm3))
    proof = hashing.inclusion_proof(4, 11, reader(entries, sm3), sm3)
    leaf = hashing.leaf_hash(entries[4], sm3)
    hashing.verify_inclusion(4, 11, leaf, proof, tree.root(), sm3)
    with pytest.raises(errors.RootDiffers):
        hashing.verify_inclusion(4, 11, leaf, proof, tree.root())
    proof = hashing.consistency_proof(5, 11, reader(entries, sm3), sm3)
    early = hashing.root_of(reader(entries, sm3), 5, sm3)
    hashing.verify_extension(5, early, 11, tree.root(), proof, sm3)
    hashing.verify_extension(0, hashing.empty_root(sm3), 11, tree.root(), [], sm3)


def subtree(start: int, end: int) -> bool:
    """Whether [start, end) is a subtree of every tree that reaches it (draft-ietf-plants-merkle-tree-certs)."""
    return 0 <= start < end and start % (1 << (end - start - 1).bit_length()) == 0


@vectors.needed
def test_every_published_inclusion_in_a_subtree_is_judged_as_published():
    """A subtree is a tree: its proofs are a tree's, counted from where it begins."""
    cases = vectors.merkle("subtreeinclusion")
    assert len(cases) == 204
    for place, case in cases:
        start, end = case["start"], case["end"]
        proof = [vectors.unbase64(each) for each in case["proof"] or []]
        leaf, root = vectors.unbase64(case["leafHash"]), vectors.unbase64(case["root"])
        place_in = case["leafIdx"] - start
        wrong = not subtree(start, end) or refused(
            hashing.verify_inclusion, place_in, end - start, leaf, proof, root
        )
        assert wrong == case["wantErr"], (place, case["desc"])


@vectors.needed
def test_the_published_consistency_of_subtrees_that_begin_the_log():
    cases = [(place, case) for place, case in vectors.merkle("subtreeconsistency") if case["start"] == 0]
    assert len(cases) > 90
    for place, case in cases:
        proof = [vectors.unbase64(each) for each in case["proof"] or []]
        old, new = vectors.unbase64(case["root1"]), vectors.unbase64(case["root2"])
        if case["end"] == 0:
            continue  # the empty subtree: whether it is one at all is a matter of taste
        wrong = refused(hashing.verify_consistency, case["end"], old, case["size"], new, proof)
        assert wrong == case["wantErr"], (place, case["desc"])


@vectors.needed
def test_the_rolled_up_hashes_and_proofs_of_all_subtrees():
    """The draft's appendix: every subtree of 130 leaves, and every leaf's proof in every one of them."""
    published = vectors.extracted("mtc-subtree-accumulated.json")["rolling_sha256"]
    entries = [bytes([each]) for each in range(130)]
    read = reader(entries)
    roots, proofs = hashlib.sha256(), hashlib.sha256()
    for end in range(len(entries) + 1):
        for start in range(end + 1):
            if start < end and not subtree(start, end):
                continue
            root = hashing.root_of(read, end, start=start)
            roots.update(b"[%d, %d) %b\n" % (start, end, root.hex().encode()))

            def inside(height: int, index: int, start: int = start) -> bytes:
                return read(height, index + (start >> height))

            for index in range(start, end):
                proof = hashing.inclusion_proof(index - start, end - start, inside)
                told = "".join(f" {hash_.hex()}" for hash_ in proof)
                proofs.update(b"%d [%d, %d)%b\n" % (index, start, end, told.encode()))
    assert roots.hexdigest() == published["TestSubtreeHashVectors"]
    assert proofs.hexdigest() == published["TestSubtreeInclusionProofVectors"]

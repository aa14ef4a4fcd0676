"""A proof file and a policy are all it takes; whatever was changed in it, it no longer proves anything."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core.errors import Refusal
from tallystick.evidence import checkpoints, cosignatures, errors, hashing, notes, tiles, tlog_proof
from tallystick.evidence import policy as policies

LOG = notes.Signer("bank.example/log", notes.Ed25519Secret(b"l" * 32))
BANK = cosignatures.Cosigner("witness.bank.example", notes.Ed25519Secret(b"b" * 32))
POLICY = policies.parse(f"log {LOG.key.text}\nwitness bank {BANK.key.text}\nquorum bank\n".encode())
ENTRIES = [f"entry {index}".encode() for index in range(300)]


def proved(index: int, *, extra: bytes | None = None, cosigned: bool = True) -> tlog_proof.TlogProof:
    tree = tiles.TiledTree()
    store = {(t.level, t.index, t.width): t.hashes for t in tree.append(hashing.leaf_hashes(ENTRIES))}
    read = tiles.TileHashes(lambda *key: store[key]).at(tree.size)
    head = checkpoints.Checkpoint(LOG.name, tree.size, tree.root())
    signatures = [LOG.sign(head.text)] + ([BANK.sign(head.text, at_seconds=1)] if cosigned else [])
    hashes = tuple(hashing.inclusion_proof(index, tree.size, read))
    return tlog_proof.TlogProof(index, hashes, notes.joined(head.text, signatures), extra)


@pytest.mark.parametrize("index", [0, 1, 255, 256, 299])
@pytest.mark.parametrize("extra", [None, b"", b"a receipt"])
def test_a_proof_reads_back_and_holds(index, extra):
    proof = proved(index, extra=extra)
    again = tlog_proof.parse(proof.text)
    assert again == proof
    verdict = tlog_proof.verify(again, ENTRIES[index], POLICY)
    assert verdict.checkpoint is not None
    assert (verdict.checkpoint.size, dict(verdict.seen)) == (300, {"bank": 1})


def test_the_file_is_laid_out_as_the_specification_says():
    lines = proved(3, extra=b"x").text.decode().split("\n")
    assert lines[:3] == ["c2sp.org/tlog-proof@v1", "extra eA==", "index 3"]
    blank = lines.index("")
    assert all(len(line) == 44 for line in lines[3:blank])
    assert lines[blank + 1 : blank + 3] == ["bank.example/log", "300"]


def test_another_entry_or_place_is_not_proved():
    proof = proved(7)
    for entry, index in ((ENTRIES[8], 7), (ENTRIES[7], 8), (ENTRIES[7] + b" ", 7)):
        moved = tlog_proof.TlogProof(index, proof.hashes, proof.checkpoint)
        with pytest.raises(errors.ProofRefused):
            tlog_proof.verify(moved, entry, POLICY)


def test_an_uncosigned_checkpoint_proves_nothing_to_who_asks_for_witnesses():
    with pytest.raises(errors.QuorumMissing):
        tlog_proof.verify(proved(7, cosigned=False), ENTRIES[7], POLICY)


WHOLE = proved(7).text


@settings(max_examples=150)
@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 7), st.sampled_from(["flip", "drop", "double"]))
def test_any_flipped_dropped_or_doubled_byte_is_refused(at, bit, how):
    changed = {
        "flip": WHOLE[:at] + bytes([WHOLE[at] ^ 1 << bit]) + WHOLE[at + 1 :],
        "drop": WHOLE[:at] + WHOLE[at + 1 :],
        "double": WHOLE[:at] + WHOLE[at : at + 1] + WHOLE[at:],
    }[how]
    with pytest.raises(Refusal):
        tlog_proof.verify(tlog_proof.parse(changed), ENTRIES[7], POLICY)


def test_dropped_inserted_and_reordered_hashes_are_refused():
    proof = proved(7)
    first, second, *rest = proof.hashes
    for hashes in ((second, *rest), (first, first, second, *rest), (second, first, *rest)):
        with pytest.raises(errors.ProofRefused):
            tlog_proof.verify(tlog_proof.TlogProof(7, tuple(hashes), proof.checkpoint), ENTRIES[7], POLICY)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"c2sp.org/tlog-proof@v1\n",
        b"c2sp.org/tlog-proof@v1\n\nx",
        b"c2sp.org/tlog-proof@v2\nindex 0\n\nx",
        b"c2sp.org/tlog-proof@v1\nindex 00\n\nx",
        b"c2sp.org/tlog-proof@v1\nindex -1\n\nx",
        b"c2sp.org/tlog-proof@v1\nindex  1\n\nx",
        b"c2sp.org/tlog-proof@v1\nindex 1\nextra eA==\n\nx",
        b"c2sp.org/tlog-proof@v1\nextra eA=\nindex 1\n\nx",
        b"c2sp.org/tlog-proof@v1\nindex 1\nAAAA\n\nx",
        b"c2sp.org/tlog-proof@v1\nindex 1\n" + b"%b\n" % (b"A" * 43 + b"=") * 64 + b"\nx",
        "c2sp.org/tlog-proof@v1\nindex ١\n\nx".encode(),
        b"c2sp.org/tlog-proof@v1\r\nindex 1\r\n\r\nx",
        b"x" * 1_300_000,
    ],
)
def test_what_is_not_a_proof_file_is_refused(text):
    with pytest.raises(errors.ProofMalformed):
        tlog_proof.parse(text)

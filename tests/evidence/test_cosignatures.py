"""A cosignature is one witness's, of one checkpoint, at one time: change any of them and it is none."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.evidence import checkpoints, cosignatures, errors, hashing, notes

HEAD = checkpoints.Checkpoint("bank.example/log", 20_852_163, hashlib.sha256(b"root").digest())
BANK = cosignatures.Cosigner("witness.bank.example", notes.Ed25519Secret(b"b" * 32))
REGULATOR = cosignatures.Cosigner(
    "witness.regulator.example", cosignatures.MlDsa44Secret(b"r" * 32), cosignatures.ML_DSA_44
)
BOTH = pytest.mark.parametrize("cosigner", [BANK, REGULATOR], ids=["ed25519", "ml-dsa-44"])


def fits(cosigner: cosignatures.Cosigner, text: bytes, value: bytes) -> bool:
    return cosignatures.verifier(cosigner.key).fits(text, value)


@BOTH
def test_a_cosignature_opens_and_tells_its_time(cosigner):
    signature = cosigner.sign(HEAD.text, at_seconds=1_679_315_147)
    note = notes.joined(HEAD.text, [signature])
    known = cosignatures.verifier(notes.parse_key(cosigner.key.text))
    opened = notes.open(note, [known])
    assert [cosignatures.seconds(each) for each in opened.signatures] == [1_679_315_147]


def test_the_signed_messages_are_the_specifications(monkeypatch):
    """Written out by hand, so that both sides being wrong alike is found."""
    signature = BANK.sign(HEAD.text, at_seconds=1_679_315_147)
    told = b"cosignature/v1\ntime 1679315147\n" + HEAD.text
    assert signature.value == (1_679_315_147).to_bytes(8, "big") + BANK.secret.sign(told)
    key = b"witness.bank.example\n\x04" + BANK.secret.public
    assert signature.key_id == hashlib.sha256(key).digest()[:4]
    message = b"subtree/v1\n\0\x19witness.regulator.example" + (7).to_bytes(8, "big")
    message += b"\x10bank.example/log" + bytes(8) + (20_852_163).to_bytes(8, "big") + HEAD.root
    value = REGULATOR.sign(HEAD.text, at_seconds=7).value
    assert value[:8] == (7).to_bytes(8, "big")
    assert cosignatures._ml_dsa_44_fits(REGULATOR.secret.public, message, value[8:])
    key = b"witness.regulator.example\n\x06" + REGULATOR.secret.public
    assert REGULATOR.key.id == hashlib.sha256(key).digest()[:4]


@BOTH
def test_another_time_size_root_origin_or_name_is_not_what_was_signed(cosigner):
    value = cosigner.sign(HEAD.text, at_seconds=5).value
    others = [
        checkpoints.Checkpoint(HEAD.origin, HEAD.size + 1, HEAD.root),
        checkpoints.Checkpoint(HEAD.origin, HEAD.size, hashing.EMPTY_ROOT),
        checkpoints.Checkpoint("bank.example/public", HEAD.size, HEAD.root),
    ]
    assert fits(cosigner, HEAD.text, value)
    assert not any(fits(cosigner, other.text, value) for other in others)
    assert not fits(cosigner, HEAD.text, (6).to_bytes(8, "big") + value[8:])
    assert not fits(cosigner, b"no checkpoint\n", value)


@settings(max_examples=40)
@given(st.sampled_from([BANK, REGULATOR]), st.integers(0, 10**6), st.integers(0, 7), st.booleans())
def test_any_flipped_or_dropped_byte_of_a_cosignature_is_refused(cosigner, at, bit, drop):
    value = cosigner.sign(HEAD.text, at_seconds=1_700_000_000).value
    at %= len(value)
    changed = b"" if drop else bytes([value[at] ^ 1 << bit])
    assert not fits(cosigner, HEAD.text, value[:at] + changed + value[at + 1 :])


def test_what_each_kind_says_of_extension_lines_and_names():
    """Ed25519 signs the whole text, not the name; ML-DSA-44 the name, not the log's further lines."""
    extended = checkpoints.Checkpoint(HEAD.origin, HEAD.size, HEAD.root, ("more",))
    assert not fits(BANK, extended.text, BANK.sign(HEAD.text, at_seconds=5).value)
    assert fits(REGULATOR, extended.text, REGULATOR.sign(HEAD.text, at_seconds=5).value)
    renamed = cosignatures.Cosigner("other.example", REGULATOR.secret, cosignatures.ML_DSA_44)
    assert not fits(renamed, HEAD.text, REGULATOR.sign(HEAD.text, at_seconds=5).value)


def test_a_time_beyond_the_largest_is_refused():
    late = (2**63).to_bytes(8, "big")
    told = b"cosignature/v1\ntime %d\n%b" % (2**63, HEAD.text)
    assert not fits(BANK, HEAD.text, late + BANK.secret.sign(told))


def test_a_cosignature_is_no_signature_of_the_log_and_the_other_way_round():
    """One key in two kinds: what it signed as a witness says nothing as the log."""
    log = notes.Signer("bank.example/log", BANK.secret)
    assert not fits(BANK, HEAD.text, bytes(8) + log.sign(HEAD.text).value)
    bare = BANK.sign(HEAD.text, at_seconds=5).value[8:]
    assert not notes.verifier(log.key).fits(HEAD.text, bare)


@pytest.mark.parametrize("algorithm", [0x02, 0x05, 0xFF])
def test_a_key_of_another_kind_is_not_used(algorithm):
    with pytest.raises(errors.KeyTypeUnknown):
        cosignatures.verifier(notes.Key("example.com", algorithm, bytes(32)))


def test_a_key_of_the_wrong_length_is_not_used():
    with pytest.raises(errors.KeyTypeUnknown):
        cosignatures.verifier(notes.Key("example.com", cosignatures.ML_DSA_44, bytes(32)))


def test_a_secret_key_does_not_show_itself():
    assert str(REGULATOR.secret.seed) not in repr(REGULATOR)

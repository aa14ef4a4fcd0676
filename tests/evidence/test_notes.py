"""A note is believed for the keys one knows, exactly as other implementations believe it, or refused."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.evidence import checkpoints, errors, notes
from tests.evidence import vectors

SIGNER = notes.Signer("example.com/log", notes.Ed25519Secret(bytes(range(32))))
OTHER = notes.Signer("example.com/other", notes.Ed25519Secret(bytes(32)))
TEXT = "结算日报\n\nsecond part\n".encode()


def verifier(signer: notes.Signer) -> notes.Verifier:
    return notes.verifier(signer.key)


@vectors.needed
def test_published_notes_open():
    published = vectors.extracted("signed-notes.json")
    example = published["c2sp_signed_note_example"]
    opened = notes.open(example["note"].encode(), [notes.verifier(notes.parse_key(example["vkey"]))])
    assert opened.text == b"This is an example message.\n"
    go = published["go_note_open"]
    keys = [notes.verifier(notes.parse_key(key)) for key in go["vkeys"]]
    note = (go["text"] + "\n" + "".join(go["sig_lines"])).encode()
    assert [each.name for each in notes.open(note, keys).signatures] == ["PeterNeumann", "EnochRoot"]
    alone = notes.open(note, keys[1:])
    assert ([each.name for each in alone.signatures], len(alone.passed_over)) == (["EnochRoot"], 1)
    assert notes.joined(alone.text, [*alone.passed_over, *alone.signatures]) == note


@vectors.needed
def test_published_keys_are_read_and_written_as_published():
    published = vectors.extracted("signed-notes.json")["go_note_keys"]
    signer = notes.Signer.parsed(published["skey"])
    assert signer.key.text == published["vkey"]
    assert notes.parse_key(published["vkey"]) == signer.key
    for bad in published["bad_vkeys"]:
        with pytest.raises((errors.KeyMalformed, errors.KeyTypeUnknown)):
            notes.verifier(notes.parse_key(bad))


@vectors.needed
def test_the_published_list_of_what_must_be_refused_is_refused():
    go = vectors.extracted("signed-notes.json")["go_note_open"]
    keys = [notes.verifier(notes.parse_key(key)) for key in go["vkeys"]]
    text, (first, second) = go["text"].encode(), (line.encode() for line in go["sig_lines"])
    good = text + b"\n" + first + second
    bad = {
        "no blank line/signature": [text, text + b"\n", text + first],
        "unterminated last signature line": [good[:-1]],
        "control character U+0001": [b"\x01" + good],
        "invalid UTF-8 0xff": [b"\xff" + good],
        "key name containing a space": [good.replace(b" EnochRoot ", b" Enoch Root ")],
        "trailing non-signature line": [good + b"x\n", good + b"\n"],
        "more than 100 signatures (Go limit)": [text + b"\n" + first * 101],
        "corrupted known signature": [good.replace(b"rwz+eBzm", b"rwz+eBzn")],
    }
    assert set(bad) == set(go["must_reject"])
    for name, examples in bad.items():
        for note in examples:
            with pytest.raises((errors.NoteMalformed, errors.SignatureWrong)):
                print(name, notes.open(note, keys))


@vectors.needed
def test_the_head_of_the_go_checksum_database_opens():
    """A real log in use: its origin has spaces and is not its key's name."""
    cases = vectors.extracted("tlog-witness-add-checkpoint.json")
    key = notes.verifier(notes.parse_key(cases["keys"]["sumdb.txt"]["vkey"]))
    (case,) = (case for case in cases["cases"] if case["file"] == "sumdb.txt")
    note = case["request_body"].partition("\n\n")[2].encode()
    assert checkpoints.open(note, [key], origin="go.sum database tree").size == 35_225_469


def test_signatures_of_strangers_say_nothing():
    note = notes.sign(TEXT, [SIGNER, OTHER])
    opened = notes.open(note, [verifier(SIGNER)])
    assert (opened.text, [each.name for each in opened.signatures]) == (TEXT, [SIGNER.name])
    with pytest.raises(errors.SignatureMissing):
        notes.open(notes.sign(TEXT, [OTHER]), [verifier(SIGNER)])
    # The same name with another key is a stranger too.
    impostor = notes.Signer(SIGNER.name, OTHER.secret)
    with pytest.raises(errors.SignatureMissing):
        notes.open(notes.sign(TEXT, [impostor]), [verifier(SIGNER)])


def test_one_wrong_signature_of_a_known_key_refuses_the_whole():
    good = SIGNER.sign(TEXT)
    forged = notes.Signature(OTHER.name, OTHER.key.id, bytes(64))
    with pytest.raises(errors.SignatureWrong):
        notes.open(notes.joined(TEXT, [good, forged]), [verifier(SIGNER), verifier(OTHER)])


def test_base64_with_loose_bits_is_another_spelling_and_refused():
    note = notes.sign(TEXT, [SIGNER])
    assert note.endswith(b"=\n")
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = alphabet.index(note[-3])
    loose = note[:-3] + alphabet[last ^ 1 : (last ^ 1) + 1] + note[-2:]
    assert base64.b64decode(loose.split()[-1]) == base64.b64decode(note.split()[-1])
    with pytest.raises(errors.SignatureWrong):
        notes.open(loose, [verifier(SIGNER)])


@settings(max_examples=200)
@given(st.integers(0, 10**6), st.integers(0, 7), st.sampled_from(["flip", "drop", "double"]))
def test_any_flipped_dropped_or_doubled_byte_is_refused(at, bit, how):
    note = notes.sign(TEXT, [SIGNER])
    at %= len(note)
    changed = {
        "flip": note[:at] + bytes([note[at] ^ 1 << bit]) + note[at + 1 :],
        "drop": note[:at] + note[at + 1 :],
        "double": note[:at] + note[at : at + 1] + note[at:],
    }[how]
    with pytest.raises((errors.NoteMalformed, errors.SignatureWrong, errors.SignatureMissing)):
        notes.open(changed, [verifier(SIGNER)])


def test_a_note_may_not_be_endless():
    with pytest.raises(errors.NoteMalformed):
        notes.parse(b"x" * 1_000_001)
    many = notes.joined(TEXT, [SIGNER.sign(TEXT)] * 100)
    assert len(notes.open(many, [verifier(SIGNER)]).signatures) == 100


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000",
        "name+00000000+",
        "name+00000000+AQ==",
        "na me+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW ",
        "\ud800+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ],
)
def test_what_is_not_a_key_is_refused(text):
    with pytest.raises(errors.KeyMalformed):
        notes.parse_key(text)


def test_a_secret_key_does_not_show_itself():
    assert str(SIGNER.secret.seed) not in repr(SIGNER)
    assert SIGNER.secret.seed.hex() not in repr(SIGNER)

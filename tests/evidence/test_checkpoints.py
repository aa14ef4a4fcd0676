"""A checkpoint has one spelling, and whatever is spelled otherwise is none."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.evidence import checkpoints, errors, hashing, notes

ROOT = base64.b64encode(hashing.EMPTY_ROOT).decode()
LINE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


@given(
    LINE, st.integers(0, hashing.SIZE_MAX), st.binary(min_size=32, max_size=32), st.lists(LINE, max_size=3)
)
def test_a_checkpoint_reads_back_as_it_was(origin, size, root, extensions):
    head = checkpoints.Checkpoint(origin, size, root, tuple(extensions))
    assert checkpoints.parse(head.text) == head


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\n0\n",
        f"a\n0\n{ROOT}",
        f"\n0\n{ROOT}\n",
        f"{'a' * 256}\n0\n{ROOT}\n",
        f"a\n\n{ROOT}\n",
        f"a\n00\n{ROOT}\n",
        f"a\n+1\n{ROOT}\n",
        f"a\n-1\n{ROOT}\n",
        f"a\n 1\n{ROOT}\n",
        f"a\n1_0\n{ROOT}\n",
        f"a\n٣\n{ROOT}\n",
        f"a\n{2**63}\n{ROOT}\n",
        f"a\n{'9' * 5000}\n{ROOT}\n",
        f"a\n0\n{ROOT[:-1]}\n",
        f"a\n0\n{ROOT[:-2]}V=\n",
        f"a\n0\n {ROOT}\n",
        f"a\n0\n{base64.b64encode(b'x' * 31).decode()}\n",
        f"a\n0\n{ROOT}\n\n",
        f"a\n0\n{ROOT}\n\nx\n",
    ],
)
def test_every_other_spelling_is_refused(text):
    with pytest.raises(errors.CheckpointMalformed):
        checkpoints.parse(text.encode())


def test_a_checkpoint_of_another_log_is_told_apart():
    signer = notes.Signer("example.com/log", notes.Ed25519Secret(bytes(32)))
    head = checkpoints.Checkpoint("example.com/log", 0, hashing.EMPTY_ROOT)
    note = notes.sign(head.text, [signer])
    keys = [notes.verifier(signer.key)]
    assert checkpoints.open(note, keys, origin="example.com/log") == head
    with pytest.raises(errors.OriginDiffers):
        checkpoints.open(note, keys, origin="example.com/public")

"""One payload has one spelling, and what has two is refused."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.evidence import canonical
from tallystick.evidence.errors import NotCanonical

WHOLE = st.integers(min_value=-canonical.WHOLE_MAX, max_value=canonical.WHOLE_MAX)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
KEYS = st.text(st.characters(max_codepoint=127), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | WHOLE | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def test_keys_are_sorted_and_nothing_is_escaped_that_need_not_be():
    assert canonical.text({"b": 1, "a": "王芳", "c": [True, None]}) == '{"a":"王芳","b":1,"c":[true,null]}'


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_a_payload_reads_back_as_it_was_and_is_spelled_the_same_again(payload):
    text = canonical.text(payload)
    assert json.loads(text) == payload
    assert canonical.text(json.loads(text)) == text


@pytest.mark.parametrize(
    ("payload", "where"),
    [
        ({"amount": 1.5}, "payload.amount"),
        ({"amount": float("nan")}, "payload.amount"),
        ({"n": 2**53}, "payload.n"),
        ({"n": -(2**53)}, "payload.n"),
        ({"金额": 1}, "payload"),
        ({1: "x"}, "payload"),
        ({"list": [1, [{2}]]}, "payload.list[1][0]"),
        ({"bytes": b"x"}, "payload.bytes"),
        ({"half": "\ud800"}, "payload"),
    ],
)
def test_what_has_no_single_spelling_is_refused_and_told_where(payload, where):
    with pytest.raises(NotCanonical) as refused:
        canonical.text(payload)
    assert str(refused.value).startswith(where)


def test_the_commitment_is_the_published_formula():
    salt = bytes(range(32))
    expected = hashlib.sha256(b"evid/payload/v1\x00" + salt + b'{"a":1}').digest()
    assert canonical.commitment('{"a":1}', salt) == expected


def test_without_the_salt_equal_payloads_look_different():
    assert canonical.commitment("{}", b"a" * 32) != canonical.commitment("{}", b"b" * 32)

"""One spelling for one payload: canonical JSON (RFC 8785) over a grammar that leaves nothing to taste.

Strings, whole numbers below 2^53, booleans, nothing, lists, and mappings with ASCII keys. Money of any
size goes in as a string of minor units. Within this grammar sorted keys and no white space already
equal RFC 8785, so the bytes can be checked by any implementation of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from tallystick.evidence.errors import NotCanonical

Value: TypeAlias = "str | int | bool | Sequence[Value] | Mapping[str, Value] | None"
Payload: TypeAlias = Mapping[str, Value]

WHOLE_MAX = 2**53 - 1
"""The largest whole number that every JSON reader keeps exact."""

_COMMITMENT_PREFIX = b"evid/payload/v1\0"


def text(payload: Payload) -> str:
    """The payload's one spelling. Raises `NotCanonical` where there is more than one."""
    _check(payload, "payload")
    spelled = json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    try:
        spelled.encode("utf-8")
    except UnicodeEncodeError as error:
        raise NotCanonical("payload: half of a surrogate pair is not text") from error
    return spelled


def read(payload_text: str) -> dict[str, Value]:
    """A payload from its spelling."""
    told: dict[str, Value] = json.loads(payload_text)
    return told


def parsed(text: str | bytes) -> object:
    """What JSON says, where it says it once: no member twice, no number that is not whole.

    Raises `ValueError`, or `RecursionError` where it is nested too deep.
    """
    return json.loads(text, object_pairs_hook=_once, parse_float=_no_float, parse_constant=_no_float)


def commitment(payload_text: str, salt: bytes) -> bytes:
    """SHA-256 over prefix, salt and payload: says nothing about the payload to whoever lacks the salt."""
    assert len(salt) == 32, "a payload's salt is 32 bytes"
    return hashlib.sha256(_COMMITMENT_PREFIX + salt + payload_text.encode("utf-8")).digest()


def _check(value: Value, where: str) -> None:
    # `json` itself would write floats, turn numbers into keys, and pass tuples of anything.
    if value is None or isinstance(value, bool | str):
        return
    if isinstance(value, int):
        if abs(value) > WHOLE_MAX:
            raise NotCanonical(f"{where}: {value} has no exact JSON number; write it as a string")
    elif isinstance(value, dict):
        for key, inner in value.items():
            if not (isinstance(key, str) and key.isascii()):
                raise NotCanonical(f"{where}: the key {key!r} is not ASCII text")
            _check(inner, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            _check(inner, f"{where}[{index}]")
    else:
        raise NotCanonical(f"{where}: {type(value).__name__} has no single spelling")


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    told = dict(pairs)
    if len(told) != len(pairs):
        raise ValueError("a member comes twice")
    return told


def _no_float(_: str) -> object:
    raise ValueError("a number is not whole")

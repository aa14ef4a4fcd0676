"""Statements in the public log: how the proof of one's place carries what its entry says besides.

An entry of the public log has its payload in it, and the payload the statement. Whoever has the statement's
text needs the rest of the entry to hash it: that is the proof's `extra`. What is put together wrongly has
another hash, so nothing in it is believed unsigned.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from tallystick.evidence import canonical, errors

MEMBER = "statement"


def rest(entry: bytes) -> bytes:
    """What an entry says besides the statement in its payload: the extra of the statement's proof."""
    told = json.loads(entry)
    told["p"].pop(MEMBER)
    return canonical.text(told).encode()


def entry(statement: str, extra: bytes | None) -> bytes:
    """The entry that a statement stands in; without an extra, the statement is one itself."""
    if extra is None:
        return statement.encode()
    told, within = _object(extra.decode("utf-8", "replace")), _object(statement)
    payload = told.get("p")
    if not isinstance(payload, dict) or MEMBER in payload:
        raise errors.PayloadDiffers
    try:
        return canonical.text({**told, "p": {**payload, MEMBER: within}}).encode()
    except (errors.NotCanonical, RecursionError):
        raise errors.PayloadDiffers from None


def names(statement: str, commitment: Mapping[str, canonical.Value]) -> bool:
    """Whether one of the statement's assets has exactly this commitment."""
    assets = _object(statement).get("assets")
    try:
        spelled = canonical.text(commitment)
        return isinstance(assets, list) and any(
            isinstance(each, dict)
            and isinstance(each.get("liabilities"), dict)
            and canonical.text(each["liabilities"]) == spelled
            for each in assets
        )
    except (errors.NotCanonical, RecursionError):
        return False


def _object(text: str) -> dict[str, canonical.Value]:
    try:
        told = canonical.parsed(text)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise errors.PayloadDiffers
    return told

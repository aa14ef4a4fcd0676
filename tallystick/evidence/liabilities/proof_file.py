"""The file of a proof: JSON of exactly the members its specification names, read strictly.

Nothing here judges; what is read is of the right types, lengths and bounds, and means what it says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from tallystick.evidence import canonical, errors
from tallystick.evidence.liabilities import profile
from tallystick.evidence.liabilities.profile import Node

SCHEMA = "tallystick/liability-proof/1"

BYTES_MAX = 65_536

_HEX = re.compile(r"[0-9a-f]{64}")
# A minus sign is read, so that a negative amount is refused for what it is. 39 digits hold 2^128.
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,38})")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")

_PROOF = {"schema", "commitment", "identifiers", "nonce", "balance", "fragments", "statement", "inclusion"}
_COMMITMENT = {"header", "leaves", "height", "root", "total"}
_HEADER = {
    "profile",
    "origin",
    "asset",
    "scale",
    "audit",
    "day",
    "cut_off",
    "customers",
    "fragments",
    "basis",
}
_FRAGMENT = {"amount", "index", "path"}


@dataclass(frozen=True, slots=True)
class Commitment:
    """What is published of a tree. `told` is what its digest is over."""

    told: Mapping[str, canonical.Value]
    header: Mapping[str, canonical.Value]
    origin: str
    customers: int
    fragments: int
    leaves: int
    height: int
    root: bytes
    total: int


@dataclass(frozen=True, slots=True)
class Fragment:
    """One leaf of the account, and its siblings from the leaf upwards."""

    amount: int
    index: int
    path: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """What an account's owner was given."""

    commitment: Commitment
    identifiers: tuple[str, ...]
    nonce: bytes
    balance: int
    fragments: tuple[Fragment, ...]
    statement: str | None
    inclusion: str | None


def read(content: bytes | str) -> Proof:
    """A proof out of its file. Raises `errors.LiabilityProofMalformed` or `ProfileUnknown`."""
    if len(content) > BYTES_MAX:
        raise _malformed(f"more than {BYTES_MAX} bytes")
    try:
        told = canonical.parsed(content)
    except (ValueError, RecursionError) as wrong:
        raise _malformed(f"no JSON: {str(wrong)[:100]}") from None
    return proof(told)


def proof(told: object) -> Proof:
    """A proof out of what its JSON says."""
    members = _members(told, _PROOF, "proof")
    if members["schema"] != SCHEMA:
        raise _malformed("its schema is another one")
    identifiers = _list(members["identifiers"], "identifiers", profile.IDENTIFIERS_MAX)
    if not identifiers:
        raise _malformed("it names no account")
    return Proof(
        commitment=commitment(members["commitment"]),
        identifiers=tuple(_text(each, "identifiers", profile.IDENTIFIER_BYTES_MAX) for each in identifiers),
        nonce=_hash(members["nonce"], "nonce"),
        balance=_decimal(members["balance"], "balance"),
        fragments=tuple(
            _fragment(each) for each in _list(members["fragments"], "fragments", profile.FRAGMENTS_MAX)
        ),
        statement=_text_or_none(members["statement"], "statement"),
        inclusion=_text_or_none(members["inclusion"], "inclusion"),
    )


def commitment(told: object) -> Commitment:
    """What is published of a tree, out of its JSON."""
    members = _members(told, _COMMITMENT, "commitment")
    head = header(members["header"])
    customers, fragments = head["customers"], head["fragments"]
    assert isinstance(customers, int)
    assert isinstance(fragments, int)
    return Commitment(
        told=members,
        header=head,
        origin=str(head["origin"]),
        customers=customers,
        fragments=fragments,
        leaves=_whole(members["leaves"], "leaves", canonical.WHOLE_MAX),
        height=_whole(members["height"], "height", 255),
        root=_hash(members["root"], "root"),
        total=_decimal(members["total"], "total"),
    )


def header(told: object) -> Mapping[str, canonical.Value]:
    """A tree's header, each member of its type."""
    if isinstance(told, dict) and isinstance(told.get("profile"), str) and told["profile"] != profile.PROFILE:
        raise errors.ProfileUnknown(profile=told["profile"][:40])
    members = _members(told, _HEADER, "header")
    _text(members["profile"], "profile", 40)
    _text(members["origin"], "origin", profile.IDENTIFIER_BYTES_MAX)
    _text(members["asset"], "asset", profile.IDENTIFIER_BYTES_MAX)
    _whole(members["scale"], "scale", 255)
    _whole(members["audit"], "audit", canonical.WHOLE_MAX)
    _whole(members["customers"], "customers", canonical.WHOLE_MAX)
    if _whole(members["fragments"], "fragments", profile.FRAGMENTS_MAX) == 0:
        raise _malformed("no fragments")
    for name, form in (("day", _DAY), ("cut_off", _MOMENT)):
        text = _text(members[name], name, 40)
        try:
            fits = form.fullmatch(text) and _moment(text)
        except ValueError:
            fits = None
        if not fits:
            raise _malformed(f"{name} is no such time")
    if not isinstance(members["basis"], dict):
        raise _malformed("basis is no object")
    try:
        canonical.text(members)
    except (errors.NotCanonical, RecursionError) as wrong:
        raise _malformed(str(wrong)[:100]) from None
    return members


def spelled(told: Proof) -> dict[str, canonical.Value]:
    """A proof as its file has it."""
    return {
        "schema": SCHEMA,
        "commitment": told.commitment.told,
        "identifiers": list(told.identifiers),
        "nonce": told.nonce.hex(),
        "balance": str(told.balance),
        "fragments": [
            {
                "amount": str(each.amount),
                "index": each.index,
                "path": [[node.hash.hex(), str(node.sum)] for node in each.path],
            }
            for each in told.fragments
        ],
        "statement": told.statement,
        "inclusion": told.inclusion,
    }


def _fragment(told: object) -> Fragment:
    members = _members(told, _FRAGMENT, "fragment")
    path = []
    for each in _list(members["path"], "path", profile.HEIGHT_MAX):
        if not isinstance(each, list) or len(each) != 2:
            raise _malformed("a step of a path is a hash and a sum")
        path.append(Node(_hash(each[0], "path"), _decimal(each[1], "path")))
    return Fragment(
        amount=_decimal(members["amount"], "amount"),
        index=_whole(members["index"], "index", canonical.WHOLE_MAX),
        path=tuple(path),
    )


def _members(told: object, names: set[str], what: str) -> dict[str, canonical.Value]:
    if not isinstance(told, dict) or set(told) != names:
        raise _malformed(f"{what} has not exactly the members {', '.join(sorted(names))}")
    return told


def _list(told: object, what: str, most: int) -> Sequence[canonical.Value]:
    if not isinstance(told, list) or len(told) > most:
        raise _malformed(f"{what} is no list of at most {most}")
    return told


def _text(told: object, what: str, most: int) -> str:
    try:
        if isinstance(told, str) and len(told.encode()) <= most:
            return told
    except UnicodeEncodeError:
        pass
    raise _malformed(f"{what} is no text of at most {most} bytes")


def _text_or_none(told: object, what: str) -> str | None:
    return None if told is None else _text(told, what, BYTES_MAX)


def _whole(told: object, what: str, most: int) -> int:
    if isinstance(told, bool) or not isinstance(told, int) or not 0 <= told <= most:
        raise _malformed(f"{what} is no whole number from 0 to {most}")
    return told


def _decimal(told: object, what: str) -> int:
    if not isinstance(told, str) or not _DECIMAL.fullmatch(told) or told == "-0":
        raise _malformed(f"{what} is no whole number written as text")
    return int(told)


def _hash(told: object, what: str) -> bytes:
    if not isinstance(told, str) or not _HEX.fullmatch(told):
        raise _malformed(f"{what} is not 64 hexadecimal digits")
    return bytes.fromhex(told)


def _moment(text: str) -> object:
    return (
        datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
        if "T" in text
        else date.fromisoformat(text)
    )


def _malformed(reason: str) -> errors.LiabilityProofMalformed:
    return errors.LiabilityProofMalformed(reason=reason)

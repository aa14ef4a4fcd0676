"""The file of a proof: JSON that anybody can add up again, with nothing but the file.

Promises: the header has one spelling (canonical JSON), and its SHA-256 is the proof's digest; the header
names the digest of the accounts' lines and of the proof before; verification recomputes every sum, every
finding and both digests from the file alone, and says what differs. How it is used: docs/howto/safeguarding.md.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import msgspec

from tallystick.core.files import Sink
from tallystick.custody.safeguarding import comparison
from tallystick.custody.safeguarding.comparison import Finding, Position, Proposal
from tallystick.evidence import canonical
from tallystick.evidence.errors import NotCanonical

SCHEMA = "tallystick/safeguarding-proof/1"
_DIGEST_PREFIX = b"tallystick.safeguarding-proof/v1\0"
_FIGURES = (
    "requirement_minor",
    "ledger_resource_minor",
    "custodian_resource_minor",
    "internal_difference_minor",
    "external_difference_minor",
    "counted_minor",
    "shortfall_minor",
    "excess_minor",
    "own_minor",
    "ledger_difference_minor",
)
"""What follows from an asset's facts: written beside them for whoever reads, recomputed when verified."""

FILE_BYTES_MAX = 2 << 30


@dataclass(frozen=True, slots=True)
class Difference:
    """Something in a file that does not follow from the rest of it."""

    where: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of verifying a file."""

    book: int
    day: str
    number: int
    digest: str
    previous_digest: str | None
    result: str
    accounts: int
    differences: tuple[Difference, ...]

    @property
    def is_sound(self) -> bool:
        return not self.differences


class Unreadable(Exception):
    """The file is no proof of this schema."""


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────


def spelled(value: object) -> canonical.Value:
    """Facts as canonical JSON has them: amounts are strings of minor units, whatever their size."""
    if is_dataclass(value) and not isinstance(value, type):
        return {
            each.name: (
                _amount(getattr(value, each.name))
                if each.name.endswith("_minor")
                else spelled(getattr(value, each.name))
            )
            for each in fields(value)
        }
    if isinstance(value, list | tuple):
        return [spelled(each) for each in value]
    assert value is None or isinstance(value, str | int | bool)
    return str(value) if isinstance(value, str) else value


def asset_spelled(position: Position) -> dict[str, canonical.Value]:
    """An asset's facts and the figures that follow from them."""
    return {"facts": spelled(position), "figures": _figures(position)}


def digest(header_text: str) -> bytes:
    """The digest of a proof: SHA-256 over its header's one spelling."""
    return hashlib.sha256(_DIGEST_PREFIX + header_text.encode()).digest()


def write(
    out: Sink,
    header_text: str,
    lines: Iterable[Mapping[str, canonical.Value]],
    *,
    sign_off: canonical.Value = None,
) -> None:
    """Write a proof's file: its header as it was hashed, its accounts a line each, and who signed it off."""
    out.write(b'{"schema":' + json.dumps(SCHEMA).encode() + b',\n"header":' + header_text.encode())
    out.write(b',\n"digest":"' + digest(header_text).hex().encode() + b'",\n"accounts":[')
    separator = b"\n"
    for line in lines:
        out.write(separator + canonical.text(line).encode())
        separator = b",\n"
    told = json.dumps(sign_off, ensure_ascii=False, sort_keys=True).encode()
    out.write(b'\n],\n"sign_off":' + told + b"}\n")


def _figures(position: Position) -> dict[str, canonical.Value]:
    return {name: _amount(getattr(position, name)) for name in _FIGURES}


def _amount(value: int | None) -> str | None:
    return None if value is None else str(value)


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────


def parsed(header: Mapping[str, Any]) -> tuple[Position, ...]:
    """The facts in a header. Raises `Unreadable`."""
    try:
        return tuple(
            msgspec.convert(_numbers(asset["facts"]), Position, strict=True) for asset in header["assets"]
        )
    except (KeyError, TypeError, ValueError, msgspec.ValidationError) as failure:
        raise Unreadable(str(failure)) from failure


def verify(content: bytes) -> Verified:
    """Recompute everything in a proof's file from the file alone. Raises `Unreadable`."""
    try:
        document = json.loads(content)
        header, accounts = document["header"], document["accounts"]
        if document["schema"] != SCHEMA or header["schema"] != SCHEMA:
            raise Unreadable(f"schema is not {SCHEMA}")
        text = canonical.text(header)
        differences = list(_differences(document, header, accounts, text))
        previous = header["previous"]
        return Verified(
            book=int(header["book"]),
            day=str(header["day"]),
            number=int(header["number"]),
            digest=digest(text).hex(),
            previous_digest=None if previous is None else str(previous["digest"]),
            result=str(header["result"]),
            accounts=len(accounts),
            differences=tuple(differences),
        )
    except (KeyError, TypeError, ValueError, AttributeError, NotCanonical) as failure:
        raise Unreadable(f"{type(failure).__name__}: {failure}") from failure


def chain_differences(verified: Sequence[Verified]) -> Iterator[Difference]:
    """Of several proofs of one book, in the order of their numbers: each names the digest of the one before."""
    ordered = sorted(verified, key=lambda each: (each.book, each.number))
    for before, after in itertools.pairwise(ordered):
        if before.book == after.book and after.number == before.number + 1:
            if after.previous_digest != before.digest:
                where = f"book {after.book}, proof {after.number}: previous.digest"
                yield Difference(where, before.digest, str(after.previous_digest))


def _differences(
    document: Mapping[str, Any], header: Mapping[str, Any], accounts: Sequence[Any], text: str
) -> Iterator[Difference]:
    yield from _unless("digest", digest(text).hex(), document["digest"])
    lines, sums = hashlib.sha256(), _Sums()
    for line in accounts:
        lines.update(canonical.text(line).encode() + b"\n")
        sums.add(line)
    yield from _unless("header.accounts", len(accounts), header["accounts"])
    yield from _unless("header.accounts_digest", lines.hexdigest(), header["accounts_digest"])
    positions = parsed(header)
    yield from _unless(
        "assets", sorted(sums.assets), sorted(sums.assets & {each.asset for each in positions})
    )
    for asset, position in zip(header["assets"], positions, strict=True):
        where = f"assets.{position.asset}"
        for name, expected in sums.of(position.asset).items():
            yield from _unless(f"{where}.facts.{name}", expected, getattr(position, name))
        own = {each.account: each.balance_minor for each in position.own}
        yield from _unless(f"{where}.facts.own", sums.own.get(position.asset, {}), own)
        held = {each.account: each.ledger_minor for each in position.external if each.ledger_minor}
        yield from _unless(f"{where}.facts.external", sums.external.get(position.asset, {}), held)
        for name, figure in _figures(position).items():
            yield from _unless(f"{where}.figures.{name}", figure, asset["figures"][name])
    findings = comparison.findings(positions)
    yield from _unless("findings", spelled(findings), header["findings"])
    yield from _unless("proposals", spelled(comparison.proposals(positions)), header["proposals"])
    yield from _unless("result", str(overall(findings)), header["result"])


def overall(findings: Sequence[Finding]) -> comparison.Result:
    """The worst of the findings."""
    return comparison.worst([each.result for each in findings])


def proposals_of(header: Mapping[str, Any]) -> tuple[Proposal, ...]:
    """The transfers that a header proposes."""
    return tuple(msgspec.convert(_numbers(each), Proposal) for each in header["proposals"])


def findings_of(header: Mapping[str, Any]) -> tuple[Finding, ...]:
    """The findings in a header."""
    return tuple(msgspec.convert(_numbers(each), Finding) for each in header["findings"])


class _Sums:
    """What the lines of accounts add up to, by asset."""

    def __init__(self) -> None:
        self.assets: set[str] = set()
        self.own: dict[str, dict[str, int]] = {}
        self.external: dict[str, dict[str, int]] = {}
        self._sums: dict[tuple[str, str], int] = {}

    def add(self, line: Mapping[str, Any]) -> None:
        asset, family, balance = line["asset"], line["family"], int(line["balance_minor"])
        self.assets.add(asset)
        if family == "own":
            self.own.setdefault(asset, {})[line["account"]] = balance
        elif family == "external":
            self.external.setdefault(asset, {})[line["account"]] = balance
        elif family == "client":
            self._add(asset, "accounts_owed" if balance > 0 else "negative_accounts", 1)
            self._add(asset, "owed_minor" if balance > 0 else "negative_minor", abs(balance))
        else:
            assert family == "suspense", family
            self._add(asset, "unallocated_minor" if balance > 0 else "suspense_negative_minor", abs(balance))

    def of(self, asset: str) -> dict[str, int]:
        return {name: self._sums.get((asset, name), 0) for name in _SUMMED}

    def _add(self, asset: str, name: str, amount: int) -> None:
        self._sums[asset, name] = self._sums.get((asset, name), 0) + amount


_SUMMED = (
    "accounts_owed",
    "owed_minor",
    "negative_accounts",
    "negative_minor",
    "unallocated_minor",
    "suspense_negative_minor",
)


def _unless(where: str, expected: object, found: object) -> Iterator[Difference]:
    if expected != found:
        yield Difference(where, str(expected)[:300], str(found)[:300])


def _numbers(value: Any) -> Any:
    """The reverse of `spelled`: amounts are whole numbers again."""
    if isinstance(value, dict):
        return {
            name: int(inner) if name.endswith("_minor") and inner is not None else _numbers(inner)
            for name, inner in value.items()
        }
    return [_numbers(each) for each in value] if isinstance(value, list) else value

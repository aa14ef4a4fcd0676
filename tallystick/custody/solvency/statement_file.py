"""The text of a solvency statement: canonical JSON that anybody adds up again, with nothing but the text.

What is owed in an asset is what its tree comes to and what is in suspense; what is there is what the custodians'
statements say for each account. The digest of a statement is over its one spelling, and each names the one
before: a day that was taken out or changed later breaks the chain.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tallystick.custody import errors
from tallystick.evidence import canonical
from tallystick.evidence.errors import LiabilityProofRefused, NotCanonical
from tallystick.evidence.liabilities import proof_file

SCHEMA = "tallystick/solvency-statement/1"
BYTES_MAX = 60_000
"""Of a statement: it fits into an entry of the log."""

_DIGEST_PREFIX = b"tallystick.solvency-statement/v1\0"


class State(StrEnum):
    """Whether an asset is covered, from good to bad."""

    COVERED = "covered"
    UNKNOWN = "unknown"
    """A custodian has not said what is there."""
    SHORT = "short"


@dataclass(frozen=True, slots=True)
class Banked:
    """One safeguarded account at a custodian, as its statement closes; nothing known where there was none."""

    account: str
    institution: str
    balance_minor: int | None
    known_by: str | None
    statement_file: str | None
    statement_sha256: str | None
    """Of the file's bytes, as the custodian sent them."""
    statement_day: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One asset of a statement."""

    code: str
    scale: int
    commitment: Mapping[str, canonical.Value]
    total_minor: int
    unallocated_minor: int
    debts_minor: int
    debts: int
    banked: Sequence[Banked]

    @property
    def owed_minor(self) -> int:
        return self.total_minor + self.unallocated_minor

    @property
    def bank_minor(self) -> int | None:
        """What is there; nothing where a custodian has not said."""
        told = [each.balance_minor for each in self.banked]
        return None if None in told else sum(each for each in told if each is not None)

    @property
    def surplus_minor(self) -> int | None:
        return None if self.bank_minor is None else self.bank_minor - self.owed_minor

    @property
    def state(self) -> State:
        if self.surplus_minor is None:
            return State.UNKNOWN
        return State.COVERED if self.surplus_minor >= 0 else State.SHORT

    def spelled(self) -> dict[str, canonical.Value]:
        """As it stands in the statement."""
        return {
            "asset": self.code,
            "scale": self.scale,
            "liabilities": self.commitment,
            "unallocated_minor": str(self.unallocated_minor),
            "owed_minor": str(self.owed_minor),
            # What clients owe is not set against what clients are owed: it is told and nothing else.
            "client_debts": {"accounts": self.debts, "amount_minor": str(self.debts_minor)},
            "bank": [
                {
                    "account": each.account,
                    "institution": each.institution,
                    "balance_minor": _amount(each.balance_minor),
                    "known_by": each.known_by,
                    "statement_file": each.statement_file,
                    "statement_sha256": each.statement_sha256,
                    "statement_day": each.statement_day,
                }
                for each in self.banked
            ],
            "bank_minor": _amount(self.bank_minor),
            "surplus_minor": _amount(self.surplus_minor),
            "state": str(self.state),
        }


@dataclass(frozen=True, slots=True)
class Difference:
    """Something in a statement that does not follow from the rest of it."""

    where: str
    expected: str
    found: str


def overall(states: Sequence[State]) -> State:
    """The worst of them; a statement of no asset is covered."""
    order = list(State)
    return max(states, key=order.index, default=State.COVERED)


def digest(text: str) -> bytes:
    """The digest of a statement: SHA-256 over its one spelling."""
    return hashlib.sha256(_DIGEST_PREFIX + text.encode()).digest()


def differences(text: str) -> list[Difference]:
    """What in a statement does not follow from the rest of it. Raises `errors.SolvencyStatementMalformed`."""
    told = read(text)
    found = []
    states = []
    for each in told["assets"]:
        asset = _asset(each)
        states.append(asset.state)
        for member, expected in asset.spelled().items():
            if each[member] != expected:
                found.append(Difference(f"{asset.code}.{member}", str(expected), str(each[member])))
        for member in ("asset", "scale", "day", "cut_off"):
            within = asset.commitment["header"][member]  # type: ignore[index, call-overload]
            outside = each[member] if member in each else told[member]
            if within != outside:
                found.append(Difference(f"{asset.code}.liabilities.{member}", str(outside), str(within)))
    if told["state"] != str(overall(states)):
        found.append(Difference("state", str(overall(states)), str(told["state"])))
    return found


def chain_differences(texts: Sequence[str]) -> list[Difference]:
    """Where statements, given in their order, do not follow one another."""
    found = []
    for before, after in itertools.pairwise(texts):
        expected = {"number": read(before)["number"], "digest": digest(before).hex()}
        told = read(after)
        if told["previous"] != expected or told["number"] != expected["number"] + 1:
            found.append(Difference(f"statement {told['number']}", str(expected), str(told["previous"])))
    return found


def read(text: str) -> dict[str, Any]:
    """A statement's members. Raises `errors.SolvencyStatementMalformed`."""
    try:
        told = json.loads(text) if len(text) <= BYTES_MAX else None
        if isinstance(told, dict) and told.get("schema") == SCHEMA and canonical.text(told) == text:
            for each in told["assets"]:
                _asset(each)
            return told
    except (ValueError, KeyError, TypeError, RecursionError, NotCanonical, LiabilityProofRefused):
        pass
    raise errors.SolvencyStatementMalformed


def commitment_of(text: str, asset: str) -> Mapping[str, canonical.Value]:
    """What a statement says of an asset's tree. Raises `errors.SolvencyStatementMalformed`."""
    for each in read(text)["assets"]:
        if each["asset"] == asset:
            found: Mapping[str, canonical.Value] = each["liabilities"]
            return found
    raise errors.SolvencyStatementMalformed


def _asset(told: dict[str, Any]) -> Asset:
    commitment = proof_file.commitment(told["liabilities"])
    return Asset(
        code=told["asset"],
        scale=told["scale"],
        commitment=commitment.told,
        total_minor=commitment.total,
        unallocated_minor=int(told["unallocated_minor"]),
        debts=told["client_debts"]["accounts"],
        debts_minor=int(told["client_debts"]["amount_minor"]),
        banked=[
            Banked(
                each["account"],
                each["institution"],
                None if each["balance_minor"] is None else int(each["balance_minor"]),
                each["known_by"],
                each["statement_file"],
                each["statement_sha256"],
                each["statement_day"],
            )
            for each in told["bank"]
        ],
    )


def _amount(minor: int | None) -> str | None:
    return None if minor is None else str(minor)

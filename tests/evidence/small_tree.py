"""A second sum tree, made slowly and from the specification's words alone: to compare with, and to cheat with.

It shares with the code under test the hashes of single nodes and nothing of what places, chunks or folds them.
"""

from __future__ import annotations

import datetime as dt
import hmac
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tallystick.evidence.liabilities import profile, proof_file
from tallystick.evidence.liabilities.profile import Keys, Node

MASTER = bytes(range(32))
ORIGIN = "platform.example/public"


def header(customers: int, fragments: int = 2, **other: Any) -> profile.Header:
    told: dict[str, Any] = {
        "origin": ORIGIN,
        "asset": "CNY",
        "scale": 2,
        "audit": 7,
        "day": dt.date(2026, 11, 22),
        "cut_off": dt.datetime(2026, 11, 22, 16, tzinfo=dt.UTC),
        "customers": customers,
        "fragments": fragments,
        "basis": {"position": 99},
    }
    return profile.Header(**{**told, **other})


def names(number: int) -> tuple[str, str]:
    """What customer `number` holds."""
    return f"acc_{number:018d}", f"C-{number}"


def account(number: int) -> bytes:
    return profile.account_id(ORIGIN, names(number))


def balance(number: int) -> int:
    return number * 7919 % 1_000_003


def keys_of(told: profile.Header) -> Keys:
    return profile.keys(profile.tree_key(MASTER, profile.tree_id(told.spelled())))


def moved(order_key: bytes, chunk: int, slots: int, slot: int) -> int:
    """Where a slot lies, by the words of the specification."""
    a = math.isqrt(slots - 1) + 1
    b = (slots + a - 1) // a

    def word(number: int, x: int, most: int) -> int:
        label = chunk.to_bytes(4, "big") + bytes([number]) + (x // 8).to_bytes(4, "big")
        block = hmac.new(order_key, label, "sha256").digest()
        return int.from_bytes(block[4 * (x % 8) : 4 * (x % 8) + 4], "big") % most

    x = slot
    while True:
        left, right = divmod(x, b)
        for number in range(10):
            if number % 2 == 0:
                left = (left + word(number, right, a)) % a
            else:
                right = (right + word(number, left, b)) % b
        x = left * b + right
        if x < slots:
            return x


@dataclass
class SmallTree:
    """Leaves in their places, and every level above them."""

    told: profile.Header
    leaves: list[Node]
    parent: Callable[[Node, Node], Node] = profile.parent
    total: int | None = None
    """What is published as the total; left out, the truth."""
    levels: list[list[Node]] = field(init=False)

    def __post_init__(self) -> None:
        tree = profile.tree_id(self.told.spelled())
        here = list(self.leaves) or [profile.padding(tree, 0, 0)]
        self.levels = [here]
        while len(here) > 1:
            if len(here) % 2:
                here.append(profile.padding(tree, len(self.levels) - 1, len(here)))
            here = [self.parent(*here[i : i + 2]) for i in range(0, len(here), 2)]
            self.levels.append(here)

    @property
    def commitment(self) -> dict[str, Any]:
        root = self.levels[-1][0]
        total = root.sum if self.total is None else self.total
        return profile.commitment(
            self.told.spelled(), len(self.leaves), len(self.levels) - 1, Node(root.hash, total)
        )

    def path(self, index: int) -> list[list[str]]:
        siblings = [level[index >> height ^ 1] for height, level in enumerate(self.levels[:-1])]
        return [[each.hash.hex(), str(each.sum)] for each in siblings]

    def proof(self, number: int, places: Sequence[int], amounts: Sequence[int]) -> dict[str, Any]:
        """A proof's JSON for customer `number`, of the leaves at these places."""
        return {
            "schema": proof_file.SCHEMA,
            "commitment": self.commitment,
            "identifiers": list(names(number)),
            "nonce": profile.nonce(keys_of(self.told).nonce, account(number)).hex(),
            "balance": str(sum(amounts)),
            "fragments": [
                {"amount": str(amount), "index": place, "path": self.path(place)}
                for place, amount in zip(places, amounts, strict=True)
            ],
            "statement": None,
            "inclusion": None,
        }


@dataclass
class Honest:
    """The tree of these customers, as the specification has it, and everybody's proof. One chunk at most."""

    balances: dict[int, int]
    fragments: int = 2
    tree: SmallTree = field(init=False)
    places: dict[int, list[int]] = field(init=False)

    def __post_init__(self) -> None:
        told = header(len(self.balances), self.fragments)
        tree, keys = profile.tree_id(told.spelled()), keys_of(told)
        leaves: dict[int, Node] = {}
        self.places = {}
        slots = len(self.balances) * self.fragments
        for i, number in enumerate(sorted(self.balances, key=account)):
            nonce = profile.nonce(keys.nonce, account(number))
            for f, amount in enumerate(self.amounts(number, nonce)):
                place = moved(keys.order, 0, slots, self.fragments * i + f)
                self.places.setdefault(number, []).append(place)
                leaves[place] = profile.leaf(tree, f, account(number), nonce, amount)
        self.tree = SmallTree(told, [leaves[place] for place in range(slots)])

    def amounts(self, number: int, nonce: bytes | None = None) -> tuple[int, ...]:
        told = header(len(self.balances), self.fragments)
        nonce = nonce or profile.nonce(keys_of(told).nonce, account(number))
        return profile.fragments(self.balances[number], self.fragments, nonce)

    def proof(self, number: int) -> dict[str, Any]:
        return self.tree.proof(number, self.places[number], self.amounts(number))

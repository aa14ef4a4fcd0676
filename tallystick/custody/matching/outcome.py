"""What comes of a match: pairs, groups and breaks, every line of every side accounted for once."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from tallystick.custody.breaks import BreakKind
from tallystick.custody.matching.lines import Ints

OPENING = "opening"
"""The twin of the one break that stands for opening balances that differ."""
FEE = "fee"
"""The twin of a break that stands for a channel's fees, which the ledger has not, or has otherwise."""


class Pass(StrEnum):
    """The passes, in their order."""

    REFERENCE = "reference"
    TEXT = "text"
    AMOUNT_AND_DAY = "amount_and_day"
    SUM = "sum"
    SETTLEMENT = "settlement"
    BY_HAND = "by_hand"
    """No pass: two people have said so, and no pass looks at these lines."""


class Rule(StrEnum):
    """The rules, each of one pass."""

    BEST_REFERENCE = "best_reference"
    FURTHER_REFERENCE = "further_reference"
    WORD = "word"
    AMOUNT_AND_DAY = "amount_and_day"
    BATCH = "batch"
    SAME_REFERENCE = "same_reference"
    WHOLE_DAY = "whole_day"
    SUBSET = "subset"
    SETTLEMENT_REFERENCE = "settlement_reference"
    SETTLEMENT_SUM = "settlement_sum"
    SETTLEMENT_SUBSET = "settlement_subset"
    BY_HAND = "by_hand"

    @property
    def made_in(self) -> Pass:
        """The pass it belongs to."""
        return _PASSES[self]


_PASSES = {
    Rule.BEST_REFERENCE: Pass.REFERENCE,
    Rule.FURTHER_REFERENCE: Pass.REFERENCE,
    Rule.WORD: Pass.TEXT,
    Rule.AMOUNT_AND_DAY: Pass.AMOUNT_AND_DAY,
    Rule.BATCH: Pass.SUM,
    Rule.SAME_REFERENCE: Pass.SUM,
    Rule.WHOLE_DAY: Pass.SUM,
    Rule.SUBSET: Pass.SUM,
    Rule.SETTLEMENT_REFERENCE: Pass.SETTLEMENT,
    Rule.SETTLEMENT_SUM: Pass.SETTLEMENT,
    Rule.SETTLEMENT_SUBSET: Pass.SETTLEMENT,
    Rule.BY_HAND: Pass.BY_HAND,
}
RULES = tuple(Rule)


@dataclass(frozen=True, slots=True)
class Match:
    """A bank line and the ledger line that is the same payment."""

    bank: int
    position: int
    rule: Rule

    @property
    def by(self) -> Pass:
        """The pass that made it."""
        return self.rule.made_in


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """All matches of one line with one, as columns, by the bank's keys in ascending order."""

    bank: Ints
    position: Ints
    rule: NDArray[np.uint8]
    """An index into `RULES`."""

    def __len__(self) -> int:
        return len(self.bank)

    def __iter__(self) -> Iterator[Match]:
        for bank, position, rule in zip(self.bank, self.position, self.rule, strict=True):
            yield Match(int(bank), int(position), RULES[rule])

    def __getitem__(self, at: int) -> Match:
        return Match(int(self.bank[at]), int(self.position[at]), RULES[self.rule[at]])


@dataclass(frozen=True, slots=True)
class Group:
    """Lines that are the same money together: one with many, or a channel's payments with what it paid out."""

    rule: Rule
    bank: tuple[int, ...]
    positions: tuple[int, ...]
    channel: tuple[int, ...] = ()
    difference_minor: int = 0
    """The bank's lines less the ledger's: of a settlement alone, and then told by breaks of its own."""

    @property
    def by(self) -> Pass:
        """The pass that made it."""
        return self.rule.made_in


@dataclass(frozen=True, slots=True)
class Break:
    """A difference. `effect_minor`: what it adds to the bank's total over the ledger's."""

    kind: BreakKind
    effect_minor: int
    day: dt.date
    bank: int | None
    position: int | None
    reference: str = ""
    twin: str = ""
    """The line it repeats, or the account where its reference is known, or `opening`, or `fee`."""
    channel: int | None = None
    """The channel's line, where it is one of a channel's payments."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Every line of both sides: in a match, in a group, reversed, or in a break."""

    matches: Matches
    groups: tuple[Group, ...]
    reversed: tuple[tuple[int, int], ...]
    """Positions of ledger lines and of what reverses them."""
    breaks: tuple[Break, ...]
    not_searched: int = 0
    """Lines for which no sum was sought, because too many others had been: they are in breaks."""

    @property
    def effect_minor(self) -> int:
        """All breaks together: the bank's total less the ledger's."""
        return sum(each.effect_minor for each in self.breaks)

    @property
    def matched(self) -> int:
        """How many matches, pairs and groups."""
        return len(self.matches) + len(self.groups)

    @property
    def by_kind(self) -> dict[str, int]:
        """How many breaks of each kind, every kind named."""
        counts = dict.fromkeys(map(str, BreakKind), 0)
        for each in self.breaks:
            counts[each.kind] += 1
        return counts

    @property
    def by_pass(self) -> dict[str, int]:
        """How many matches of each pass, every pass named, and the reversed."""
        counts = dict.fromkeys(map(str, Pass), 0)
        for rule, count in enumerate(np.bincount(self.matches.rule, minlength=len(RULES))):
            counts[RULES[rule].made_in] += int(count)
        for group in self.groups:
            counts[group.by] += 1
        return {**counts, "reversed": len(self.reversed)}

    @property
    def digest(self) -> bytes:
        """SHA-256 over matches, groups and breaks in their order."""
        whole = hashlib.sha256(f"matches {len(self.matches)}\n".encode())
        for column, kind in ((self.matches.bank, "<i8"), (self.matches.position, "<i8")):
            whole.update(np.ascontiguousarray(column, kind).data)
        # What the numbers of the rules mean, then the numbers.
        whole.update(" ".join(RULES).encode())
        whole.update(np.ascontiguousarray(self.matches.rule).data)
        for group in self.groups:
            whole.update(f"g {group.rule} {group.bank} {group.positions} {group.channel}\n".encode())
        for pair in self.reversed:
            whole.update(f"r {pair[0]} {pair[1]}\n".encode())
        for each in self.breaks:
            whole.update(
                f"b {each.kind} {each.effect_minor} {each.bank} {each.position} {each.channel}\n".encode()
            )
        return whole.digest()

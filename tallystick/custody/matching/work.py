"""The work in hand: all sides, and what each pass took from them."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from tallystick.custody.matching.lines import (
    Bank,
    Channel,
    Flags,
    Ints,
    Ledger,
    Said,
    coded,
    words,
)
from tallystick.custody.matching.outcome import RULES, Group, Matches, Rule

WINDOW_DAYS = 3
"""How far apart a bank line and ledger lines without a common reference may be."""
TIMING_DAYS = 3
"""How long a bank may take to book what the ledger has already."""
SUM_LINES_MAX = 6
"""How many lines a sum that is sought may have."""
SUMS_MAX = 20_000
"""How many sums of each size are looked at: all pairs of 200 lines, all sixes of 17."""
SEARCHES_MAX = 2_000
"""How many lines a run seeks sums for: some milliseconds each."""
SAID_AT_ONCE = 20_000
"""How many texts are read at a time."""
SAID_KEPT = 50_000
"""How many texts are kept from one pass to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The bounds of the passes."""

    window_days: int = WINDOW_DAYS
    timing_days: int = TIMING_DAYS
    sum_lines_max: int = SUM_LINES_MAX
    sums_max: int = SUMS_MAX
    searches_max: int = SEARCHES_MAX


@dataclass(frozen=True, slots=True)
class Settled:
    """What a channel paid out in one sum, and the bank lines that are it."""

    bank_rows: tuple[int, ...]
    channel_rows: tuple[int, ...]
    reference: bytes
    rule: Rule
    is_booked: bool
    """The ledger has the sum itself, in one line, and none of its payments."""


@dataclass(slots=True)
class Heard:
    """What a bank line says, and its words as columns have them: cut and coded once for all passes."""

    said: Said
    references: tuple[bytes, ...]
    words: tuple[bytes, ...]
    """Of the text."""

    @classmethod
    def of(cls, said: Said) -> Heard:
        """The words of what was said."""
        return cls(said, tuple(map(coded, said.references)), tuple(map(coded, words(said.text))))

    @property
    def all(self) -> tuple[bytes, ...]:
        """The references, then the words."""
        return self.references + self.words


@dataclass(slots=True, eq=False)
class Work:
    """Which lines are still open, and what became of the others."""

    bank: Bank
    ledger: Ledger
    channel: Channel
    rules: Rules
    bank_open: Flags = field(init=False)
    ledger_open: Flags = field(init=False)
    channel_open: Flags = field(init=False)
    bank_alone: Flags = field(init=False)
    """Lines whose reference and amount no other line of their side has. Others may have theirs alone too."""
    ledger_alone: Flags = field(init=False)
    bank_named: Flags = field(init=False)
    ledger_named: Flags = field(init=False)
    """Lines with a reference."""
    bank_speaks: Flags = field(init=False)
    """Lines that speak of something another side knows, when only their best reference had been tried."""
    claimed_by: Ints = field(init=False)
    """For each channel line the row of the ledger line that is the same payment, or -1."""
    is_claimed: Flags = field(init=False)
    """Ledger lines that the channel knows: they come to the bank in its sums and in no other way."""
    bank_pledged: Flags = field(init=False)
    ledger_pledged: Flags = field(init=False)
    """Lines that share a reference with an open line of the other side, if not its amount: neither is
    anybody else's by amount alone."""
    groups: list[Group] = field(default_factory=list)
    settled: list[Settled] = field(default_factory=list)
    reversed: list[tuple[int, int]] = field(default_factory=list)
    searches: int = 0
    not_searched: int = 0
    _pairs: list[tuple[Ints, Ints, Rule]] = field(default_factory=list)
    _heard: dict[int, Heard] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bank_open = np.ones(len(self.bank.key), np.bool_)
        self.ledger_open = np.ones(len(self.ledger.position), np.bool_)
        self.channel_open = np.ones(len(self.channel.key), np.bool_)
        self.bank_alone = np.zeros(len(self.bank.key), np.bool_)
        self.ledger_alone = np.zeros(len(self.ledger.position), np.bool_)
        self.bank_named = np.zeros(len(self.bank.key), np.bool_)
        self.ledger_named = np.zeros(len(self.ledger.position), np.bool_)
        self.bank_speaks = np.zeros(len(self.bank.key), np.bool_)
        self.bank_pledged = np.zeros(len(self.bank.key), np.bool_)
        self.ledger_pledged = np.zeros(len(self.ledger.position), np.bool_)
        self.claimed_by = np.full(len(self.channel.key), -1, np.int64)
        self.is_claimed = np.zeros(len(self.ledger.position), np.bool_)

    def take(self, bank_rows: Ints, ledger_rows: Ints, rule: Rule) -> None:
        """These bank lines are these ledger lines, one by one."""
        self.bank_open[bank_rows] = False
        self.ledger_open[ledger_rows] = False
        self._pairs.append((bank_rows, ledger_rows, rule))

    def take_group(self, bank_rows: Sequence[int], ledger_rows: Sequence[int], rule: Rule) -> None:
        """These bank lines together are these ledger lines together."""
        self.bank_open[list(bank_rows)] = False
        self.ledger_open[list(ledger_rows)] = False
        self.groups.append(
            Group(
                rule,
                tuple(sorted(int(self.bank.key[row]) for row in bank_rows)),
                tuple(sorted(int(self.ledger.position[row]) for row in ledger_rows)),
            )
        )

    def open_bank(self) -> Ints:
        """The open bank lines, the earliest first."""
        rows = np.flatnonzero(self.bank_open)
        return rows[np.lexsort((self.bank.key[rows], self.bank.day[rows]))]

    def open_speaking(self) -> Ints:
        """Of the open bank lines those that speak of something another side knows, the earliest first."""
        rows = self.open_bank()
        return rows[self.bank_speaks[rows]]

    def open_ledger(self) -> Ints:
        """The open ledger lines, the earliest first."""
        rows = np.flatnonzero(self.ledger_open)
        return rows[np.lexsort((self.ledger.position[rows], self.ledger.day[rows]))]

    def ledger_by_reference(self) -> dict[tuple[bytes, int, bool], deque[int]]:
        """The open ledger lines that no channel knows, by reference, currency and direction, the earliest first."""
        ledger = self.ledger
        found: dict[tuple[bytes, int, bool], deque[int]] = defaultdict(deque)
        for row in self.open_ledger().tolist():
            reference = bytes(ledger.reference[row])
            if reference and not self.is_claimed[row]:
                is_in = int(ledger.amount_minor[row]) > 0
                found[reference, int(ledger.currency[row]), is_in].append(row)
        return found

    def heard(self, rows: Ints) -> Iterator[tuple[int, Heard]]:
        """What bank lines say, a stretch at a time."""
        for start in range(0, len(rows), SAID_AT_ONCE):
            stretch = rows[start : start + SAID_AT_ONCE].tolist()
            # On most days all that is left fits into one stretch, and is read once for all passes.
            unread = [row for row in stretch if row not in self._heard]
            if len(self._heard) + len(unread) > SAID_KEPT:
                self._heard, unread = {}, stretch
            if unread:
                given = self.bank.said(np.array(unread, np.int64))
                self._heard.update(zip(unread, map(Heard.of, given), strict=True))
            for row in stretch:
                yield row, self._heard[row]

    def matches(self) -> Matches:
        """All pairs, by the bank's keys."""
        none = np.zeros(0, np.int64)
        bank_rows = np.concatenate([none, *(pair[0] for pair in self._pairs)])
        ledger_rows = np.concatenate([none, *(pair[1] for pair in self._pairs)])
        rule = np.repeat(
            np.array([RULES.index(pair[2]) for pair in self._pairs], np.uint8),
            [len(pair[0]) for pair in self._pairs],
        )
        # By way of the rows: keys mostly ascend with them, and then sorting has nothing to do.
        place = np.full(len(self.bank.key), -1, np.int64)
        place[bank_rows] = np.arange(len(bank_rows))
        place = place[place >= 0]
        keys = self.bank.key[bank_rows[place]]
        if len(keys) and (keys[1:] < keys[:-1]).any():
            order = np.argsort(keys, kind="stable")
            place, keys = place[order], keys[order]
        return Matches(keys, self.ledger.position[ledger_rows[place]], rule[place])

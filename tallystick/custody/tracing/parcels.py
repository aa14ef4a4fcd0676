"""Parcels: what came into an owner's accounts, and which of it each use took. First in, first out.

The rule, whole. Money comes in parcels, one for each receipt, and what an account had at the beginning is
its oldest parcel. Whatever leaves takes the oldest parcel first, and of the last one it touches a part.
Between two accounts that are followed together parcels move as they are, and keep their age. A reversal
undoes: what had left comes back as the parcels it had been, and a receipt that is reversed takes its own
parcel away first. So does money that comes back as a return under the reference it left with. What was
undone is told apart and is on no path. Where an account mirrors a bank's and may be overdrawn, what no
parcel covers is said to be uncovered, and the next receipts cover it first.

Promises: whole minor units, none lost and none made: for every account the opening and what came make what
left and what stayed. The same lines give the same answer on any machine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from tallystick.custody.codes import Code

OPENING = 0
"""The source of what an account had at the beginning: positions begin with 1."""

UNCOVERED = -1
"""The source of what left an account that had nothing, and where later receipts go to cover it."""


@dataclass(frozen=True, slots=True)
class Movement:
    """A posted transfer that touched a followed account: money that moved from one account to another.

    `giver` is the account that had it, `taker` the one that has it, whichever side is whose debit.
    order_position: the pending transfer that it settled, else 0. undoes: the position it reverses, else 0.
    """

    position: int
    code: Code
    giver: int
    taker: int
    amount_minor: int
    recorded_at: datetime
    value_date: date
    order_position: int = 0
    undoes: int = 0
    authorisation: int = 0
    reference: str = ""
    payee: str = ""


@dataclass(slots=True)
class Piece:
    """A part of a receipt, and the use that took it: `source` and `use` are positions.

    `account` is where it came in, and `left_from` where it was when it was used; of an opening parcel,
    `account` says whose.
    """

    source: int
    account: int
    use: int
    left_from: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Kept:
    """What is left of a receipt where it lies at the end."""

    source: int
    account: int
    lies_in: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Undone:
    """A transfer and the one that undid it, and how much of it was as though it had never been."""

    position: int
    by: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Attribution:
    """Which use took which receipt, what is left, and what was undone.

    came_minor and left_minor: all that crossed the border of the accounts, as the statement of account has
    it; what was undone is in both.
    """

    pieces: Sequence[Piece]
    kept: Sequence[Kept]
    undone: Sequence[Undone]
    opening_minor: int
    came_minor: int
    left_minor: int
    closing_minor: int
    uncovered_minor: int
    """How much is still uncovered at the end."""

    @property
    def undone_minor(self) -> int:
        return sum(each.amount_minor for each in self.undone)


@dataclass(slots=True)
class _Parcel:
    """What is left of one receipt. Positions grow with time, so `source` is its age too."""

    source: int
    account: int
    amount_minor: int


@dataclass(slots=True)
class _Purse:
    """What one account has: its parcels, the oldest first, and what it has paid without having it."""

    parcels: deque[_Parcel] = field(default_factory=deque)
    owed_minor: int = 0

    def put(self, parcel: _Parcel) -> None:
        """Where its age says: nearly always at the end, or (put back) at the beginning."""
        if self.parcels and self.parcels[0].source >= parcel.source:
            self.parcels.appendleft(parcel)
            return
        younger: list[_Parcel] = []
        while self.parcels and self.parcels[-1].source > parcel.source:
            younger.append(self.parcels.pop())
        self.parcels.append(parcel)
        self.parcels.extend(reversed(younger))

    def take(self, amount_minor: int) -> list[_Parcel]:
        """The oldest parcels up to this amount; less where there is less."""
        taken: list[_Parcel] = []
        while amount_minor and self.parcels:
            first = self.parcels[0]
            if first.amount_minor <= amount_minor:
                taken.append(self.parcels.popleft())
                amount_minor -= first.amount_minor
            else:
                first.amount_minor -= amount_minor
                taken.append(_Parcel(first.source, first.account, amount_minor))
                amount_minor = 0
        return taken

    def take_from(self, source: int, amount_minor: int) -> int:
        """As much of one receipt as is still here, up to the amount; how much that was."""
        found = 0
        for parcel in self.parcels:
            if parcel.source == source and found < amount_minor:
                part = min(parcel.amount_minor, amount_minor - found)
                parcel.amount_minor -= part
                found += part
        if found:
            self.parcels = deque(parcel for parcel in self.parcels if parcel.amount_minor)
        return found


class _Follower:
    """Goes through movements in order and keeps who has what of which receipt."""

    def __init__(self, opening_minor: Mapping[int, int]) -> None:
        self.purses = {account: _Purse() for account in opening_minor}
        self.pieces: dict[int, list[Piece]] = {}
        self.undone: list[Undone] = []
        self.seen: dict[int, Movement] = {}
        self.left_by: dict[tuple[int, int, str], int] = {}
        self.came_minor = self.left_minor = 0
        for account, amount in sorted(opening_minor.items()):
            if amount > 0:
                self.purses[account].put(_Parcel(OPENING, account, amount))
            elif amount < 0:
                self.purses[account].owed_minor = -amount

    def follow(self, line: Movement) -> None:
        giver, taker = line.giver in self.purses, line.taker in self.purses
        self.seen[line.position] = line
        if giver and taker:
            self._move(line)
        elif taker:
            self.came_minor += line.amount_minor
            self._come(line)
        elif giver:
            self.left_minor += line.amount_minor
            self._leave(line)

    def _move(self, line: Movement) -> None:
        there = self.purses[line.taker]
        for parcel in self._taken(line.giver, line.amount_minor):
            self._pay(there, parcel, line.taker)

    def _come(self, line: Movement) -> None:
        left = line.amount_minor
        if (undoes := self._undoes(line)) is not None:
            left -= self._put_back(undoes, line)
        if left:
            parcel = _Parcel(line.position, line.taker, left)
            self._pay(self.purses[line.taker], parcel, line.taker)

    def _leave(self, line: Movement) -> None:
        left = line.amount_minor
        if line.undoes in self.seen:
            # A receipt is taken back: its own parcel goes first, and is as though it had never come.
            found = self.purses[line.giver].take_from(line.undoes, left)
            if found:
                self.undone.append(Undone(line.undoes, line.position, found))
                left -= found
        elif line.reference:
            self.left_by[line.giver, line.taker, line.reference] = line.position
        if left:
            self.pieces[line.position] = [
                Piece(parcel.source, parcel.account, line.position, line.giver, parcel.amount_minor)
                for parcel in self._taken(line.giver, left)
            ]

    def _undoes(self, line: Movement) -> int | None:
        """Which use this money is the return of: by reversal, or by the reference it left with."""
        if line.undoes in self.seen:
            return line.undoes
        if line.code == Code.RETURN and line.reference:
            return self.left_by.get((line.taker, line.giver, line.reference))
        return None

    def _put_back(self, position: int, line: Movement) -> int:
        """Undo a use, the last parcel it took first; how much there was to undo."""
        pieces, back = self.pieces.get(position, []), 0
        purse = self.purses[line.taker]
        while pieces and back < line.amount_minor:
            piece = pieces[-1]
            part = min(piece.amount_minor, line.amount_minor - back)
            if piece.source == UNCOVERED:
                part = min(part, purse.owed_minor)
                if not part:
                    # Covered since by other money: nothing is left to undo, so this is a receipt like any.
                    break
            back += part
            piece.amount_minor -= part
            if not piece.amount_minor:
                pieces.pop()
            if piece.source == UNCOVERED:
                purse.owed_minor -= part
            else:
                purse.put(_Parcel(piece.source, piece.account, part))
        if back:
            self.undone.append(Undone(position, line.position, back))
        return back

    def _taken(self, account: int, amount_minor: int) -> list[_Parcel]:
        """Parcels of exactly this amount; what is not there is uncovered."""
        purse = self.purses[account]
        parcels = purse.take(amount_minor)
        lacking = amount_minor - sum(parcel.amount_minor for parcel in parcels)
        if lacking:
            purse.owed_minor += lacking
            parcels.append(_Parcel(UNCOVERED, account, lacking))
        return parcels

    def _pay(self, purse: _Purse, parcel: _Parcel, account: int) -> None:
        """Into an account: what it owes is covered first."""
        covered = min(purse.owed_minor, parcel.amount_minor)
        if covered:
            purse.owed_minor -= covered
            self.pieces.setdefault(UNCOVERED, []).append(
                Piece(parcel.source, parcel.account, UNCOVERED, account, covered)
            )
        if left := parcel.amount_minor - covered:
            purse.put(_Parcel(parcel.source, parcel.account, left))


def attribute(opening_minor: Mapping[int, int], lines: Sequence[Movement]) -> Attribution:
    """Follow the money of some accounts through these lines of theirs, in the order of positions.

    opening_minor: each followed account, and what stood on it before the first line.
    """
    follower = _Follower(opening_minor)
    for line in lines:
        follower.follow(line)
    kept: dict[tuple[int, int, int], int] = {}
    owed = 0
    for account, purse in sorted(follower.purses.items()):
        owed += purse.owed_minor
        for parcel in purse.parcels:
            key = (parcel.source, parcel.account, account)
            kept[key] = kept.get(key, 0) + parcel.amount_minor
    pieces = [piece for use in sorted(follower.pieces) for piece in _joined(follower.pieces[use])]
    return Attribution(
        pieces=pieces,
        kept=[Kept(*key, amount) for key, amount in kept.items()],
        undone=follower.undone,
        opening_minor=sum(opening_minor.values()),
        came_minor=follower.came_minor,
        left_minor=follower.left_minor,
        closing_minor=sum(kept.values()) - owed,
        uncovered_minor=owed,
    )


def _joined(pieces: Sequence[Piece]) -> list[Piece]:
    """Parts of one receipt that one use took from one account, as one."""
    joined: dict[tuple[int, int, int, int], Piece] = {}
    for piece in pieces:
        key = (piece.source, piece.account, piece.use, piece.left_from)
        if key in joined:
            joined[key].amount_minor += piece.amount_minor
        else:
            joined[key] = piece
    return list(joined.values())

"""Provenance: every client account's money by where it came from, followed through the whole book.

Money is a lot of one of two sorts. A *receipt* came from outside, or was paid to a lender on a claim: it is
its owner's to do with as they like. *Lent* money was lent by one client on another's account, and stays lent
money, by whom and on which loan, until a claim is paid with it or it leaves the book.

Which lot a payment takes is a question with several honest answers, so each is decided in the platform's
favour: a repayment is made of receipts as long as there are any; everything else takes lent money first, so
that receipts are left for repayments; and if a claim must be paid with lent money, the lender's own comes
first, then that which the borrower had been given on this very loan. Money that was there before the book
began, or that no lot accounts for, is a receipt. So what is found is the least that can be said.

Promises: whole minor units; the same movements give the same answer on any machine.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from tallystick.custody.codes import Code
from tallystick.custody.pooling.movements import Movements

PIECES_MAX = 32
"""A transfer hands on at most so many lots: smaller ones of one sort and loan are put together."""

_CLAIM = frozenset({int(Code.REPAY), int(Code.INTEREST)})
_BACK = frozenset({int(Code.REFUND), int(Code.RETURN)})
_LEND = int(Code.LEND)


_Sort = tuple[bool, int]
"""Whether it was disbursed; then on which loan, else by whom it was lent."""


class Fate(IntEnum):
    """What became of money that was lent."""

    BORROWER = 1
    FEE = 2
    PAID_OUT = 3
    BACK = 4
    OTHER = 5
    CLAIM = 6


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of a lot's way: whose account it came to, by which transfer, and the step before."""

    owner: int
    position: int
    at: int
    before: Hop | None


class Lot:
    """Money of one provenance on one account. `lent_at` is 0 for a receipt."""

    __slots__ = ("amount", "disbursed", "hop", "lender", "lent_at", "loan")

    def __init__(self, amount: int, lent_at: int, lender: int, loan: int, disbursed: bool, hop: Hop) -> None:
        self.amount = amount
        self.lent_at = lent_at
        self.lender = lender
        self.loan = loan
        self.disbursed = disbursed
        self.hop = hop

    def part(self, amount: int) -> Lot:
        return Lot(amount, self.lent_at, self.lender, self.loan, self.disbursed, self.hop)


@dataclass(frozen=True, slots=True)
class Spent:
    """A part of a lending, where it went, and by which transfer."""

    lent_at: int
    fate: Fate
    position: int
    amount_minor: int


@dataclass(slots=True)
class Claim:
    """A payment to a lender on a claim, and what it was made of."""

    index: int
    """The row of the movement."""
    amount_minor: int
    receipts_minor: int = 0
    own_back_minor: int = 0
    """The lender's own money, not lent on."""
    proceeds_minor: int = 0
    """What the borrower had been given on this very loan, unused."""
    new_money: list[tuple[int, int, bool]] = field(default_factory=list)
    """Lent by others or on another loan: position of the lending, amount, and whether it is roll-over."""

    @property
    def new_money_minor(self) -> int:
        return sum(amount for _, amount, _ in self.new_money)

    @property
    def rolled_minor(self) -> int:
        return sum(amount for _, amount, is_rolled in self.new_money if is_rolled)


@dataclass(frozen=True, slots=True)
class Circle:
    """Money that came back to somebody who had it shortly before, by these transfers in order."""

    positions: tuple[int, ...]
    amount_minor: int


@dataclass(slots=True)
class Provenance:
    """What following the lots of a book has shown."""

    spent: list[Spent] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    circles: list[Circle] = field(default_factory=list)
    unspent: dict[int, int] = field(default_factory=dict)
    """Of each lending, what still lies on the account it was lent to."""
    between_clients_minor: int = 0


class _Purse:
    """One account's lots: receipts, the oldest first, and lent money, by whose or which loan's it is.

    The heap knows the order in which lent lots came, over all of them; an entry whose lot has gone since is
    passed over, so that each lot costs a logarithm, however many lie together.
    """

    __slots__ = ("_came", "_lent", "_order", "receipts")

    def __init__(self) -> None:
        self.receipts: deque[Lot] = deque()
        self._lent: dict[_Sort, deque[tuple[int, Lot]]] = {}
        self._order: list[tuple[int, _Sort]] = []
        self._came = 0

    def put(self, lot: Lot) -> None:
        if not lot.lent_at:
            self.receipts.append(lot)
            return
        sort = (lot.disbursed, lot.loan if lot.disbursed else lot.lender)
        self._came += 1
        self._lent.setdefault(sort, deque()).append((self._came, lot))
        heapq.heappush(self._order, (self._came, sort))

    def take_receipts(self, amount: int, into: list[Lot]) -> int:
        """Receipts of up to this amount; how much is still lacking."""
        lots = self.receipts
        while amount and lots:
            amount, is_whole = _part(lots[0], amount, into)
            if is_whole:
                lots.popleft()
        return amount

    def take_sort(self, sort: _Sort, amount: int, into: list[Lot]) -> int:
        """Lent money of one sort: one lender's, not lent on, or given on one loan."""
        lots = self._lent.get(sort)
        while amount and lots:
            amount, is_whole = _part(lots[0][1], amount, into)
            if is_whole:
                lots.popleft()
        return amount

    def take_lent(self, amount: int, into: list[Lot]) -> int:
        """Lent money of any sort, in the order in which it came."""
        while amount and self._order:
            came, sort = self._order[0]
            lots = self._lent[sort]
            if not lots or lots[0][0] != came:
                heapq.heappop(self._order)
                continue
            amount, is_whole = _part(lots[0][1], amount, into)
            if is_whole:
                lots.popleft()
                heapq.heappop(self._order)
        return amount

    def unspent(self) -> Iterator[Lot]:
        """Lent money that still lies where it was lent to."""
        for (disbursed, _), lots in self._lent.items():
            if not disbursed:
                yield from (lot for _, lot in lots)


def _part(lot: Lot, amount: int, into: list[Lot]) -> tuple[int, bool]:
    """As much of a lot as is wanted: what is lacking then, and whether that was all of it."""
    if lot.amount <= amount:
        into.append(lot)
        return amount - lot.amount, True
    lot.amount -= amount
    into.append(lot.part(amount))
    return 0, False


class _Follower:
    def __init__(self, moved: Movements, *, window: int) -> None:
        self.window = window
        self.owner: list[int] = moved.owner.tolist()
        self.purses = [_Purse() for _ in self.owner]
        self.found = Provenance()

    def follow(self, i: int, position: int, code: int, giver: int, taker: int, amount: int, at: int) -> None:
        from_client, to_client = self.owner[giver] >= 0, self.owner[taker] >= 0
        if from_client and to_client:
            self._between(i, position, code, giver, taker, amount, at)
        elif to_client:
            owner = self.owner[taker]
            self.purses[taker].put(Lot(amount, 0, owner, -1, False, Hop(owner, position, at, None)))
        elif from_client:
            fate = Fate.FEE if code == Code.FEE else Fate.PAID_OUT
            for lot in self._taken(giver, amount, position, at, lent_first=True):
                self._spend(lot, fate, position)

    def _between(
        self, i: int, position: int, code: int, giver: int, taker: int, amount: int, at: int
    ) -> None:
        here, there = self.owner[giver], self.owner[taker]
        if here == there:
            lots = self._taken(giver, amount, position, at, lent_first=code not in _CLAIM)
            for lot in _few(lots):
                if lot.lent_at and lot.loan == giver:
                    self._spend(lot, Fate.BORROWER, position)
                lot.hop = Hop(there, position, at, lot.hop)
                self.purses[taker].put(lot)
            return
        self.found.between_clients_minor += amount
        if code == _LEND:
            self._lend(position, giver, taker, amount, at)
        elif code in _CLAIM:
            self._pay_claim(i, position, giver, taker, amount, at)
        else:
            self._hand_over(position, code, giver, taker, amount, at)

    def _lend(self, position: int, giver: int, taker: int, amount: int, at: int) -> None:
        lender, borrower = self.owner[giver], self.owner[taker]
        for lot in _few(self._taken(giver, amount, position, at, lent_first=True)):
            hop = Hop(borrower, position, at, lot.hop)
            self._circle(lot, borrower, position, at)
            self.purses[taker].put(Lot(lot.amount, position, lender, taker, False, hop))

    def _pay_claim(self, i: int, position: int, giver: int, taker: int, amount: int, at: int) -> None:
        lender = self.owner[taker]
        purse = self.purses[giver]
        lots: list[Lot] = []
        # The lender's own first, then what was given on this very loan, then whatever is there.
        lacking = purse.take_receipts(amount, lots)
        lacking = purse.take_sort((False, lender), lacking, lots)
        lacking = purse.take_sort((True, giver), lacking, lots)
        lacking = purse.take_lent(lacking, lots)
        claim = Claim(i, amount, receipts_minor=lacking)
        # Paid as it should be, it is the lender's again, and begins anew as one lot.
        plain = lacking
        for lot in _few(lots):
            if not lot.lent_at:
                claim.receipts_minor += lot.amount
            elif lot.lender == lender and lot.loan == giver and not lot.disbursed:
                claim.own_back_minor += lot.amount
                self._spend(lot, Fate.BACK, position)
            elif lot.disbursed and lot.loan == giver:
                claim.proceeds_minor += lot.amount
                self._circle(lot, lender, position, at)
            else:
                is_rolled = lot.loan != giver and self.owner[lot.loan] == self.owner[giver]
                claim.new_money.append((lot.lent_at, lot.amount, is_rolled))
                self._spend(lot, Fate.CLAIM, position)
                # It goes on as the lender's; that it went in a circle may still show.
                self._circle(lot, lender, position, at)
                hop = Hop(lender, position, at, lot.hop)
                self.purses[taker].put(Lot(lot.amount, 0, lender, -1, False, hop))
                continue
            plain += lot.amount
        if plain:
            self.purses[taker].put(Lot(plain, 0, lender, -1, False, Hop(lender, position, at, None)))
        self.found.claims.append(claim)

    def _hand_over(self, position: int, code: int, giver: int, taker: int, amount: int, at: int) -> None:
        """To another client, neither lent nor on a claim."""
        there, lots = self.owner[taker], list[Lot]()
        lacking = amount
        if code in _BACK:
            lacking = self.purses[giver].take_sort((False, there), lacking, lots)
        lots += self._taken(giver, lacking, position, at, lent_first=True)
        for lot in _few(lots):
            if lot.lent_at and lot.lender == there and not lot.disbursed:
                self._spend(lot, Fate.BACK, position)
                self.purses[taker].put(Lot(lot.amount, 0, there, -1, False, Hop(there, position, at, None)))
                continue
            self._spend(lot, Fate.OTHER, position)
            self._circle(lot, there, position, at)
            lot.hop = Hop(there, position, at, lot.hop)
            self.purses[taker].put(lot)

    def _taken(self, account: int, amount: int, position: int, at: int, *, lent_first: bool) -> list[Lot]:
        purse, lots = self.purses[account], list[Lot]()
        takes = (
            (purse.take_lent, purse.take_receipts) if lent_first else (purse.take_receipts, purse.take_lent)
        )
        lacking = amount
        for take in takes:
            lacking = take(lacking, lots)
        if lacking:
            owner = self.owner[account]
            lots.append(Lot(lacking, 0, owner, -1, False, Hop(owner, position, at, None)))
        return lots

    def _spend(self, lot: Lot, fate: Fate, position: int) -> None:
        """Say once what became of a lending."""
        if lot.lent_at and not lot.disbursed:
            self.found.spent.append(Spent(lot.lent_at, fate, position, lot.amount))
            lot.disbursed = True

    def _circle(self, lot: Lot, owner: int, position: int, at: int) -> None:
        """Whether this owner had this money within the window, and others had it since."""
        others, positions = False, [position]
        hop: Hop | None = lot.hop
        while hop is not None and at - hop.at <= self.window:
            if hop.owner != owner:
                others = True
            elif others:
                self.found.circles.append(Circle(tuple(reversed(positions)), lot.amount))
                return
            positions.append(hop.position)
            hop = hop.before


def _few(lots: list[Lot]) -> list[Lot]:
    """Not too many lots: of those whose fate is told, the smaller ones of one loan go together."""
    if len(lots) <= PIECES_MAX:
        return lots
    lots = sorted(lots, key=lambda lot: -lot.amount)
    kept, rest = lots[: PIECES_MAX // 2], lots[PIECES_MAX // 2 :]
    together: dict[tuple[bool, int, bool, int], Lot] = {}
    for lot in rest:
        key = (lot.lent_at > 0, lot.loan, lot.disbursed, 0 if lot.disbursed else lot.lent_at)
        if key in together:
            together[key].amount += lot.amount
        else:
            together[key] = lot
    return [*kept, *together.values()]


def follow(moved: Movements, *, window_days: int) -> Provenance:
    """Follow every lot through these movements. window_days: how soon money must be back for a circle."""
    follower = _Follower(moved, window=window_days * 86_400_000_000)
    for i, row in enumerate(_rows(moved)):
        follower.follow(i, *row)
    for purse in follower.purses:
        for lot in purse.unspent():
            there = follower.found.unspent
            there[lot.lent_at] = there.get(lot.lent_at, 0) + lot.amount
    return follower.found


def _rows(moved: Movements) -> Iterator[tuple[int, ...]]:
    return zip(
        moved.position.tolist(),
        moved.code.tolist(),
        moved.giver.tolist(),
        moved.taker.tolist(),
        moved.amount_minor.tolist(),
        moved.at.tolist(),
        strict=True,
    )

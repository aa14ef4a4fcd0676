"""Parties: the places of a flow and who stands at each, with as much of them as the viewer may know.

Promises: for an owner another client is a kind and a number, given in the order in which the two first met
and kept for ever; neither a name nor an account of theirs is in what is made here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tallystick.core.db import Db
from tallystick.custody import accounts, numbers
from tallystick.custody.accounts import Account
from tallystick.custody.numbers import AccountNumber, AuthorisationKind, Family
from tallystick.custody.tracing.parcels import OPENING, UNCOVERED, Movement
from tallystick.custody.tracing.reading import Met

RIGHTS = (*(kind.name.lower() for kind in AuthorisationKind), "none")
"""What gives the right to a use; none where none is needed."""


class Viewer(StrEnum):
    """For whom a flow is made. What the owner may not know is not in the owner's."""

    OWNER = "owner"
    STAFF = "staff"


class Stage(StrEnum):
    """Where in the flow a node stands, from the left to the right."""

    SOURCE = "source"
    ACCOUNTS = "accounts"
    RIGHT = "right"
    USE = "use"
    END = "end"


class PartyKind(StrEnum):
    """What somebody is to the owner."""

    BANK = "bank"
    PLATFORM = "platform"
    SUSPENSE = "suspense"
    MINE = "mine"
    LOAN = "loan"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Party:
    """The other side. For the owner another client is a kind and a number in the order they first met."""

    kind: PartyKind
    nth: int = 0
    account: AccountNumber | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """A place in the flow. `kind` is a transfer code's word, or one of a few others (`docs/howto`).

    others: how many nodes are told as this one; 0 where it is one. opening + inflow = outflow + closing.
    """

    key: str
    stage: Stage
    kind: str
    party: Party | None = None
    payee: str = ""
    others: int = 0
    opening_minor: int = 0
    inflow_minor: int = 0
    outflow_minor: int = 0
    closing_minor: int = 0

    @property
    def amount_minor(self) -> int:
        return self.opening_minor + self.inflow_minor


class Parties:
    """The other sides of a flow: what each is to the owner, and as much of it as the viewer may know."""

    def __init__(
        self,
        db: Db,
        viewer: Viewer,
        followed: Sequence[Account],
        mine: Sequence[Account],
        lines: Sequence[Movement],
        met: Mapping[int, Met],
    ) -> None:
        self.db, self.viewer = db, viewer
        self.followed = {each.number for each in followed}
        self.mine = {each.number for each in (*mine, *followed) if each.family == Family.CLIENT}
        self.met = met
        self.nth = {
            number: n for n, number in enumerate(sorted(met, key=lambda n: (met[n].first_position, n)), 1)
        }
        self.nodes: dict[str, Node] = {}
        self._known: dict[int, Account] = accounts.several(
            db, {number for line in lines for number in (line.giver, line.taker)} | set(met)
        )

    def account(self, number: int) -> Account:
        if number not in self._known:
            self._known[number] = accounts.account(self.db, number)
        return self._known[number]

    def kind(self, number: int) -> PartyKind:
        family = numbers.family_of(number)
        if family == Family.EXTERNAL:
            return PartyKind.BANK
        if family == Family.OWN:
            return PartyKind.PLATFORM
        if family == Family.SUSPENSE:
            return PartyKind.SUSPENSE
        if number in self.mine:
            return PartyKind.MINE
        return PartyKind.LOAN if number in self.met and self.met[number].has_lent else PartyKind.CLIENT

    def party(self, number: int) -> Party:
        """Somebody, as the viewer may know them."""
        kind, found = self.kind(number), self.account(number)
        if self.viewer == Viewer.STAFF or kind == PartyKind.MINE:
            return Party(kind, self.nth.get(number, 0), AccountNumber(number), found.name)
        if kind in (PartyKind.LOAN, PartyKind.CLIENT):
            return Party(kind, self.nth[number])
        return Party(kind, name=found.name)

    def place(self, key: str, stage: Stage, kind: str, *, party: Party | None = None, payee: str = "") -> str:
        """The node of this name, made at its first mention."""
        if key not in self.nodes:
            self.nodes[key] = Node(key, stage, kind, party, payee)
        return key

    def source(self, position: int, lines: Mapping[int, Movement]) -> str:
        if position == OPENING:
            return self.place("opening", Stage.SOURCE, "opening")
        if position == UNCOVERED:
            return self.place("uncovered", Stage.SOURCE, "uncovered")
        line = lines[position]
        key = f"source:{line.code.text}:{self._short(line.giver)}"
        return self.place(key, Stage.SOURCE, line.code.text, party=self.party(line.giver))

    def right(self, authorisation: int) -> str:
        kind = numbers.kind_of(authorisation).name.lower() if authorisation else "none"
        return self.place(f"right:{kind}", Stage.RIGHT, kind)

    def use(self, line: Movement) -> str:
        key = f"use:{line.code.text}:{self._short(line.taker)}"
        # Who is paid outside is told apart; inside, the account says it.
        payee = line.payee if numbers.family_of(line.taker) == Family.EXTERNAL else ""
        if payee:
            key += f":{payee}"
        return self.place(key, Stage.USE, line.code.text, party=self.party(line.taker), payee=payee)

    def end(self, loan: int, line: Movement | None, giver: int) -> str:
        """What a loan's account did with the money: by what it was, not by whose account it went to."""
        kind = "still"
        if line is not None:
            taker = self.account(line.taker)
            if line.taker == giver or line.taker in self.followed:
                kind = "back"
            elif taker.family == Family.OWN:
                kind = "fee"
            elif taker.family == Family.EXTERNAL:
                kind = "paid_out"
            elif taker.owner and taker.owner == self.account(loan).owner:
                kind = "borrower"
            else:
                kind = "other"
        return self.place(f"end:{self._short(loan)}:{kind}", Stage.END, kind, party=self.party(loan))

    def _short(self, number: int) -> str:
        """What a key calls somebody: for the owner nothing that another could be known by."""
        if self.viewer == Viewer.STAFF:
            return numbers.account_text(number)
        kind = self.kind(number)
        if kind == PartyKind.MINE:
            return numbers.account_text(number)
        if kind in (PartyKind.LOAN, PartyKind.CLIENT):
            return str(self.nth[number])
        return f"{kind}-{numbers.serial_of(number)}"

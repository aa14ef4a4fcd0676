"""A stream of requests by seed, most of them sound and many not, to set against a ledger in tests.

Promises: the same seed gives the same requests; it knows nothing of what the ledger answers, so it can be
played by several at once, cut off anywhere, and sent again. What must hold whatever was asked is the
auditor's to say.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from uuid import UUID

from tallystick.core.db import Db
from tallystick.custody import accounts, books, codes, instructions, numbers
from tallystick.custody.models import AmountRule
from tallystick.custody.numbers import AccountNumber, AuthorisationKind, AuthorisationNumber, BookId, Family
from tallystick.custody.transfers import TransferRequest
from tallystick.simulation.stage import ACTOR

CURRENCY = "CNY"
AMOUNT_MAX = 5_000
REMEMBERED = 400
"""How many past requests may be asked for again, settled or reversed."""


@dataclass(frozen=True, slots=True)
class Place:
    """A book to play in. Each client may pay the next one, the bank and, as a fee, the platform."""

    book: BookId
    clients: tuple[AccountNumber, ...]
    bank: AccountNumber
    own: AccountNumber
    suspense: AccountNumber
    to_next: tuple[AuthorisationNumber, ...]
    to_bank: tuple[AuthorisationNumber, ...]
    to_own: tuple[AuthorisationNumber, ...]


def set_up(db: Db, book: BookId, *, clients: int, now: datetime) -> Place:
    """Open a book with this many clients, each with standing authorisations that take much to use up."""
    books.open_book(db, book, f"workload {book}", actor=ACTOR, now=now)
    families = (Family.EXTERNAL, Family.OWN, Family.SUSPENSE, *[Family.CLIENT] * clients)
    opened = accounts.open_many(
        db,
        book,
        [
            accounts.NewAccount(
                family=family,
                asset_code=CURRENCY,
                owner=f"c{place}" if family == Family.CLIENT else "",
                name=f"account {place}",
                reference=f"r{place}",
            )
            for place, family in enumerate(families)
        ],
        actor=ACTOR,
        now=now,
    )
    bank, own, suspense, *people = opened
    payable = [
        (AuthorisationKind.ORDER, people[1:] + people[:1], codes.Code.TRANSFER),
        (AuthorisationKind.ORDER, [bank] * clients, codes.Code.WITHDRAWAL),
        (AuthorisationKind.ENTITLEMENT, [own] * clients, codes.Code.FEE),
    ]
    given = [
        instructions.authorise_many(
            db,
            [
                instructions.Given(
                    instructions.Terms(
                        debit_account=debit,
                        kind=kind,
                        credit_account=credit,
                        code=code,
                        amount_rule=AmountRule.AT_MOST,
                        amount_minor=AMOUNT_MAX,
                        uses_max=1_000_000,
                        valid_from=now,
                        valid_until=now + timedelta(days=3650),
                        basis="workload",
                    )
                )
                for debit, credit in zip(people, credited, strict=True)
            ],
            actor=ACTOR,
            now=now,
        )
        for kind, credited, code in payable
    ]
    return Place(book, tuple(people), bank, own, suspense, *(tuple(each) for each in given))


@dataclass
class Workload:
    """The stream. `batch` gives the next requests; a chain never crosses from one batch to the next."""

    seed: int
    place: Place
    chance: Random = field(init=False)
    sent: deque[TransferRequest] = field(init=False)

    def __post_init__(self) -> None:
        self.chance = Random(f"{self.seed}/workload")
        self.sent = deque(maxlen=REMEMBERED)

    def batch(self, count: int) -> list[TransferRequest]:
        """The next `count` requests, in order."""
        asked: list[TransferRequest] = []
        while len(asked) < count:
            left = count - len(asked)
            asked.extend(
                self._chain(min(left, 4)) if left > 1 and self.chance.random() < 0.03 else [self._one()]
            )
        self.sent.extend(asked)
        return asked

    def _chain(self, length: int) -> Sequence[TransferRequest]:
        size = self.chance.randrange(2, length + 1) if length > 2 else length
        return [self._plain(is_linked=place < size - 1) for place in range(size)]

    def _one(self) -> TransferRequest:
        draw = self.chance.random()
        if not self.sent or draw < 0.70:
            return self._plain()
        before = self.chance.choice(self.sent)
        if draw < 0.76:
            return self._pending()
        if draw < 0.84:
            return self._settles(before)
        if draw < 0.88:
            return self._reverses(before)
        if draw < 0.92 and not before.linked:
            return before
        if draw < 0.94:
            return self._plain(id_=before.id)
        return self._unsound()

    def _id(self) -> str:
        bits = self.chance.getrandbits(122)
        return str(
            UUID(
                int=(bits >> 74) << 80
                | 7 << 76
                | ((bits >> 62) & 0xFFF) << 64
                | 2 << 62
                | bits & (1 << 62) - 1
            )
        )

    def _amount(self) -> int:
        return self.chance.randrange(1, AMOUNT_MAX + 1)

    def _plain(self, *, id_: str | None = None, is_linked: bool = False) -> TransferRequest:
        place, nth = self.place, self.chance.randrange(len(self.place.clients))
        client = place.clients[nth]
        debit, credit, code, authorisation = self.chance.choice(
            (
                (place.bank, client, "top_up", None),
                (place.bank, client, "top_up", None),
                (client, place.clients[(nth + 1) % len(place.clients)], "transfer", place.to_next[nth]),
                (client, place.bank, "withdrawal", place.to_bank[nth]),
                (client, place.own, "fee", place.to_own[nth]),
                (place.bank, place.suspense, "unidentified_receipt", None),
                (place.suspense, client, "identified", None),
                (place.own, place.bank, "fee_payout", None),
            )
        )
        return self._request(debit, credit, code, authorisation, id_=id_, is_linked=is_linked)

    def _pending(self) -> TransferRequest:
        nth = self.chance.randrange(len(self.place.clients))
        return self._request(
            self.place.clients[nth], self.place.bank, "withdrawal", self.place.to_bank[nth], kind="pending"
        )

    def _request(
        self,
        debit: int,
        credit: int,
        code: str,
        authorisation: int | None,
        *,
        id_: str | None = None,
        is_linked: bool = False,
        kind: str = "posted",
    ) -> TransferRequest:
        return TransferRequest(
            id=id_ or self._id(),
            kind=kind,  # type: ignore[arg-type]
            debit_account=numbers.account_text(debit),
            credit_account=numbers.account_text(credit),
            amount_minor=self._amount(),
            code=code,
            authorisation=None if authorisation is None else numbers.authorisation_text(authorisation),
            linked=is_linked,
        )

    def _settles(self, before: TransferRequest) -> TransferRequest:
        """Settle what may or may not be pending, by all of it, part of it, or more than it."""
        if self.chance.random() < 0.3:
            return TransferRequest(id=self._id(), kind="void_pending", pending_id=before.id)
        amount = None if self.chance.random() < 0.5 else self._amount()
        return TransferRequest(id=self._id(), kind="post_pending", pending_id=before.id, amount_minor=amount)

    def _reverses(self, before: TransferRequest) -> TransferRequest:
        return (
            TransferRequest(
                id=self._id(),
                debit_account=before.credit_account,
                credit_account=before.debit_account,
                amount_minor=before.amount_minor or 1,
                code=before.code or "correction",
                reverses_id=before.id,
                reason="reversed by the workload",
            )
            if before.debit_account
            else self._plain()
        )

    def _unsound(self) -> TransferRequest:
        """What no ledger should take: money that is not there, across the border, or on nobody's word."""
        place, nth = self.place, self.chance.randrange(len(self.place.clients))
        client, other = place.clients[nth], place.clients[nth - 1]
        debit, credit, code, authorisation = self.chance.choice(
            (
                (client, place.own, "fee", place.to_bank[nth]),
                (place.own, client, "compensation", None),
                (place.suspense, place.own, "fee", None),
                (client, place.bank, "withdrawal", None),
                (client, place.bank, "withdrawal", place.to_bank[nth - 1]),
                (client, other, "transfer", place.to_next[nth]),
                (client, client, "transfer", place.to_next[nth]),
                (place.bank, AccountNumber(client + 5_000_000_000), "top_up", None),
            )
        )
        return self._request(debit, credit, code, authorisation)

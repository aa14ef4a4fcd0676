"""Two kinds of platform in small: one that lends what it is given, and one that pools it (a Ponzi scheme).

Promises: everything by its seed; every transfer is one that a sound ledger accepts, for a pool is no
breach of a ledger's rules. A clean platform does what clean platforms do that looks alike: lenders lend
again what came back, borrowers renew, refinance once in a while, repay late or never, and loans that
found too few lenders are cancelled. A pooling one, of its schemes by chance: pays old lenders straight out of new loans'
accounts, rolls one borrower's loan over into the next, sends money in circles to look busy, and lends for
a month what runs for a year; a part of it may be genuine.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import msgspec

from tallystick.custody import codes, ledger
from tallystick.custody.pooling import movements
from tallystick.custody.pooling.movements import Movements
from tallystick.simulation import acts, stage
from tallystick.simulation.acts import Account, Act, Authorisation, Kind, Transfer
from tallystick.simulation.stage import ACTOR, Stage

BANK, FEES = "bank", "fees"
FIRST_DAY = datetime(2026, 1, 5, 2, 0, tzinfo=UTC)
DAYS = 150


@dataclass(frozen=True, slots=True)
class Termed(Transfer):
    """A transfer whose metadata state a term."""

    term_days: int = 0


@dataclass(slots=True)
class Loan:
    """A loan, whose account it is, who lent what on it, and when the next instalment is due."""

    account: str
    borrower: str
    term_days: int
    shares: list[tuple[str, int]]
    instalments: int
    due: int
    paid: int = 0

    @property
    def principal(self) -> int:
        return sum(amount for _, amount in self.shares)


@dataclass(slots=True)
class Day:
    """What happens on one day, in order."""

    accounts: list[Account] = field(default_factory=list)
    authorisations: list[Authorisation] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)


class Platform:
    """Who has what, and the acts so far."""

    def __init__(self, seed: int, kind: str) -> None:
        self.chance = Random(f"{seed}/{kind}")
        self.day = 0
        self.today = Day()
        self.has: dict[str, int] = defaultdict(int)
        self.acts: list[Act] = [
            acts.Open(
                FIRST_DAY - timedelta(hours=1),
                (
                    Account(BANK, "external", "Custodian bank", "bank"),
                    Account(FEES, "own", "Platform fees", "fees"),
                ),
            )
        ]
        self.serial = 0
        self.lenders = [self.client(f"lender {n}", f"L-{n}") for n in range(1, 13)]
        self.loans: list[Loan] = []

    # ── what everybody can do ────────────────────────────────────────────────────────────────────────────

    def client(self, name: str, owner: str) -> str:
        self.today.accounts.append(Account(name, "client", name, name.replace(" ", "-"), owner))
        return name

    def end_of_day(self) -> None:
        at = FIRST_DAY + timedelta(days=self.day)
        if self.today.accounts:
            self.acts.append(acts.Open(at, tuple(self.today.accounts)))
        if self.today.authorisations:
            given = tuple(self.today.authorisations)
            self.acts.append(acts.Authorise(at + timedelta(minutes=1), given))
        if self.today.transfers:
            self.acts.append(acts.Post(at + timedelta(minutes=2), tuple(self.today.transfers)))
        self.today = Day()
        self.day += 1

    def move(self, debit: str, credit: str, code: str, amount: int, *, term_days: int = 0) -> None:
        """Money moves, with the debited client's word for it."""
        assert amount > 0
        self.serial += 1
        at = FIRST_DAY + timedelta(days=self.day, minutes=2)
        word, payee = "", ""
        if debit != BANK:
            assert self.has[debit] >= amount, f"{debit} would be overdrawn"
            self.has[debit] -= amount
            word = f"A{self.serial}"
            payee = f"card of {debit}" if credit == BANK else ""
            kind = {"repay": "schedule", "interest": "schedule", "fee": "entitlement"}.get(code, "order")
            self.today.authorisations.append(
                Authorisation(
                    name=word,
                    kind=kind,  # type: ignore[arg-type]
                    debit=debit,
                    credit=credit,
                    code=code,
                    rule="exact",
                    amount_minor=amount,
                    uses_max=1,
                    valid_from=at - timedelta(hours=1),
                    valid_until=at + timedelta(days=30),
                    basis=f"basis {self.serial}",
                    payee=payee,
                )
            )
        self.has[credit] += amount
        posted: Kind = "posted"
        self.today.transfers.append(
            Termed(
                id=UUID(int=7 << 76 | 2 << 62 | self.serial),
                kind=posted,
                at=at,
                amount_minor=amount,
                debit=debit,
                credit=credit,
                code=code,
                authorisation=word,
                payee=payee,
                term_days=term_days,
            )
        )

    def pay_in(self, client: str, amount: int) -> None:
        self.move(BANK, client, "top_up", amount)

    def take_out(self, client: str, amount: int) -> None:
        if amount > 0:
            self.move(client, BANK, "withdrawal", amount)

    def collect(self, account: str, lent_for: int, *, lenders: int) -> list[tuple[str, int]]:
        """Lenders lend on an account, from what they have or pay in."""
        shares = []
        for lender in self.chance.sample(self.lenders, lenders):
            amount = self.chance.randrange(5, 60) * 10_000
            if self.has[lender] < amount:
                self.pay_in(lender, self.chance.randrange(60, 120) * 10_000)
            self.move(lender, account, "lend", amount, term_days=lent_for)
            shares.append((lender, amount))
        return shares

    def parts(self, loan: Loan) -> list[tuple[str, int, int]]:
        """Each lender's part of the next instalment: principal and interest."""
        nth = loan.paid + 1
        told = []
        for lender, share in loan.shares:
            part = share // loan.instalments
            principal = share - part * (loan.instalments - 1) if nth == loan.instalments else part
            told.append((lender, principal, share // 100))
        return told

    def hand_out(self, account: str, loan: Loan) -> None:
        """Pay an instalment to the lenders from this account."""
        for lender, principal, interest in self.parts(loan):
            self.move(account, lender, "repay", principal)
            self.move(account, lender, "interest", interest)
        loan.paid += 1
        loan.due += 30
        if loan.paid == loan.instalments:
            self.loans.remove(loan)

    # ── what honest people do ────────────────────────────────────────────────────────────────────────────

    def genuine_loan(self, borrower: str, owner: str) -> None:
        """A loan is asked for, lent on, paid out and used; or it finds too few lenders and is cancelled."""
        chance, instalments = self.chance, self.chance.choice((1, 2, 3))
        account = self.client(f"loan {self.serial}", owner)
        term = 30 * instalments
        shares = self.collect(account, term, lenders=chance.randrange(2, 6))
        total = sum(amount for _, amount in shares)
        if chance.random() < 0.1:
            for lender, amount in shares:
                self.move(account, lender, "refund", amount)
            return
        fee = total // 200
        self.move(account, FEES, "fee", fee)
        self.move(account, borrower, "disburse", total - fee, term_days=term)
        # Most use it at once; some leave a part on their account.
        self.take_out(borrower, (total - fee) * chance.choice((100, 100, 100, 85)) // 100)
        self.loans.append(Loan(account, borrower, term, shares, instalments, self.day + 30))

    def genuine_repayment(self, loan: Loan) -> None:
        if self.chance.random() < 0.04:
            # Never heard of again.
            self.loans.remove(loan)
            return
        if self.chance.random() < 0.1:
            loan.due += self.chance.randrange(1, 8)
            return
        total = sum(principal + interest for _, principal, interest in self.parts(loan))
        if self.chance.random() < 0.015 and self.has[loan.borrower] < total:
            # Refinanced, once in a while and in the open: a new loan pays what is left of this one.
            account = self.client(f"loan {self.serial}", f"B-{loan.borrower.split()[1]}")
            shares: list[tuple[str, int]] = []
            while sum(amount for _, amount in shares) < total:
                shares += self.collect(account, 90, lenders=2)
            lent = sum(amount for _, amount in shares)
            self.move(account, loan.borrower, "disburse", lent, term_days=90)
            self.loans.append(Loan(account, loan.borrower, 90, shares, 3, self.day + 30))
        else:
            self.pay_in(loan.borrower, total + self.chance.randrange(0, 5) * 1_000)
        self.move(loan.borrower, loan.account, "repay", total)
        self.hand_out(loan.account, loan)

    def lenders_day(self) -> None:
        """Lenders pay in and take out as they like."""
        for lender in self.lenders:
            what = self.chance.random()
            if what < 0.04:
                self.pay_in(lender, self.chance.randrange(10, 100) * 10_000)
            elif what < 0.07 and self.has[lender] > 10_000:
                self.take_out(lender, self.chance.randrange(1, self.has[lender]))
            elif what < 0.072 and self.has[lender] > 100_000:
                self.move(lender, self.chance.choice([each for each in self.lenders if each != lender]),
                          "transfer", 50_000)  # fmt: skip


def clean(seed: int, days: int = DAYS) -> list[Act]:
    """A platform that lends what it is given."""
    platform = Platform(seed, "clean")
    borrowers = [(platform.client(f"borrower {n}", f"B-{n}"), f"B-{n}") for n in range(1, 9)]
    for _ in range(days):
        for loan in [loan for loan in platform.loans if loan.due <= platform.day]:
            platform.genuine_repayment(loan)
        indebted = {loan.borrower for loan in platform.loans}
        for borrower, owner in borrowers:
            if borrower not in indebted and platform.chance.random() < 0.08:
                platform.genuine_loan(borrower, owner)
        platform.lenders_day()
        platform.end_of_day()
    return platform.acts


def ponzi(seed: int, days: int = DAYS) -> list[Act]:
    """A platform that pays its old lenders with its new ones' money."""
    platform = Platform(seed, "ponzi")
    chance = platform.chance
    genuine = chance.choice((0.0, 0.2, 0.4))
    rolls, circles, mismatches = chance.random() < 0.5, chance.random() < 0.5, chance.random() < 0.6
    honest = [(platform.client(f"borrower {n}", f"B-{n}"), f"B-{n}") for n in range(1, 7)]
    shells = [(platform.client(f"shell {n}", f"S-{n}"), f"S-{n}") for n in range(1, 4)]
    shell_names = {name for name, _ in shells}
    for day in range(days):
        for loan in [loan for loan in platform.loans if loan.due <= platform.day]:
            if loan.borrower in shell_names:
                _pay_with_new_money(
                    platform, loan, dict(shells)[loan.borrower], rolls=rolls, mismatches=mismatches
                )
            else:
                platform.genuine_repayment(loan)
        indebted = {loan.borrower for loan in platform.loans}
        for borrower, owner in honest:
            if borrower not in indebted and chance.random() < 0.08 * genuine:
                platform.genuine_loan(borrower, owner)
        if day % 12 == 0:
            _sham_loan(platform, *chance.choice(shells), rolls=True, mismatches=mismatches)
        if circles and day % 9 == 5:
            _circle(platform, [name for name, _ in shells])
        platform.lenders_day()
        platform.end_of_day()
    return platform.acts


def _sham_loan(platform: Platform, shell: str, owner: str, *, rolls: bool, mismatches: bool) -> str:
    """A loan nobody means to repay: what is lent is the scheme's."""
    account = platform.client(f"loan {platform.serial}", owner)
    shares = platform.collect(account, 30, lenders=platform.chance.randrange(3, 7))
    platform.loans.append(Loan(account, shell, 30, shares, 1, platform.day + 30))
    if rolls:
        total = sum(amount for _, amount in shares)
        platform.move(account, shell, "disburse", total, term_days=360 if mismatches else 30)
        platform.take_out(shell, total * platform.chance.randrange(30, 60) // 100)
    return account


def _pay_with_new_money(platform: Platform, loan: Loan, owner: str, *, rolls: bool, mismatches: bool) -> None:
    """Old lenders are due: new ones are found, and pay them."""
    total = sum(principal + interest for _, principal, interest in platform.parts(loan))
    if rolls:
        while platform.has[loan.borrower] < total:
            before = platform.has[loan.borrower]
            _sham_loan(platform, loan.borrower, owner, rolls=True, mismatches=mismatches)
            assert platform.has[loan.borrower] > before
        platform.move(loan.borrower, loan.account, "repay", total)
        platform.hand_out(loan.account, loan)
        return
    pool = _sham_loan(platform, loan.borrower, owner, rolls=False, mismatches=mismatches)
    while platform.has[pool] < total:
        lent = platform.collect(pool, 30, lenders=4)
        platform.loans[-1].shares.extend(lent)
    platform.hand_out(pool, loan)


def _circle(platform: Platform, shells: Sequence[str]) -> None:
    """Money goes round among those who belong together, and looks like business."""
    first = shells[0]
    if platform.has[first] < 200_000:
        platform.pay_in(first, 500_000)
    amount = platform.has[first] * 3 // 4
    for giver, taker in zip(shells, [*shells[1:], first], strict=True):
        platform.move(giver, taker, "transfer", amount)


# ── on a ledger, and without one ─────────────────────────────────────────────────────────────────────────


def perform(played: Stage, act: Act) -> None:
    """Perform one act on a real ledger, terms and all."""
    if not isinstance(act, acts.Post):
        stage.perform(played, act)
        return
    requests = [
        msgspec.structs.replace(
            stage.request(played, each),
            metadata={movements.TERM: each.term_days} if each.term_days else None,
        )
        if isinstance(each, Termed)
        else stage.request(played, each)
        for each in act.transfers
    ]
    results = ledger.post(played.db, played.book, requests, actor=ACTOR, now=act.at)
    refused = [results.refusal_of(i) for i in range(len(requests)) if results.refusal_of(i)]
    assert not refused, refused
    played.posted += len(requests)


def moved(happened: Sequence[Act]) -> Movements:
    """What a sound ledger would hold of these acts, without one: pending transfers settled, the rest left out."""
    names: dict[str, int] = {}
    owners: dict[int, str] = {}
    held: dict[UUID, Transfer] = {}
    positions: dict[UUID, int] = {}
    rows: list[tuple[int, ...]] = []
    position = 0
    for act in happened:
        for opened in act.accounts if isinstance(act, acts.Open) else ():
            number = names.setdefault(opened.name, len(names) + 1)
            if opened.owner:
                owners[number] = opened.owner
        for each in act.transfers if isinstance(act, acts.Post) else ():
            if each.answer or each.is_repeat:
                continue
            position += 1
            positions[each.id] = position
            held[each.id] = each
            what = held[each.pending] if each.pending else each
            if each.kind not in ("posted", "post_pending"):
                continue
            at = int(act.at.timestamp() * 1_000_000)
            term = what.term_days if isinstance(what, Termed) else 0
            undoes = positions[each.reverses] if each.reverses else 0
            code = int(codes.BY_TEXT[what.code])
            giver, taker = names[what.debit], names[what.credit]
            rows.append((position, code, giver, taker, each.amount_minor, at, term, undoes))
    return movements.columns(rows, owners, {})

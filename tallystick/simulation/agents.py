"""What people do with their money: pay in, lend, borrow, repay, take out, make mistakes.

Promises: every operation here is one that a sound ledger accepts as it stands. The market keeps its own
count of who has what, in the plainest way there is, so that its expectations owe nothing to the ledger's.
An operation that could not be completed within the transfers still allowed is not begun.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from random import Random
from uuid import UUID

from tallystick.simulation import acts, world
from tallystick.simulation.acts import Account, Authorisation, Kind, Transfer
from tallystick.simulation.world import BANK, FEES, FIRM, SUSPENSE, Customer, World

INSTALMENT_DAYS = 30
BID_LIFE = timedelta(days=6)
LENDERS_MAX = 20
CHAIN_MAX = 60


@dataclass(slots=True)
class Bid:
    """A lender's money held for a loan."""

    lender: Customer
    pending: UUID
    amount_minor: int


@dataclass(slots=True)
class Loan:
    """A loan from its first bid to its last instalment."""

    number: str
    borrower: Customer
    target_minor: int
    rate_bp: int
    instalments: int
    closes: date
    bids: list[Bid] = field(default_factory=list)
    shares: list[tuple[Customer, int]] = field(default_factory=list)
    lent_on: date | None = None
    paid: int = 0
    due: date | None = None
    words: dict[str, str] = field(default_factory=dict)
    """The names of the authorisations that its schedule rests on, by what they are for."""

    @property
    def account(self) -> str:
        return f"loan {self.number}"

    @property
    def bid_minor(self) -> int:
        return sum(bid.amount_minor for bid in self.bids)

    @property
    def principal_minor(self) -> int:
        return sum(share for _, share in self.shares)


@dataclass(slots=True)
class Payout:
    """Money on its way out, held until the bank says that it went or came back."""

    customer: Customer
    pending: UUID
    amount_minor: int
    reference: str
    asked_at: datetime


@dataclass(slots=True)
class Receipt:
    """Money that came without a name."""

    amount_minor: int
    reference: str
    asked_again_on: date


@dataclass(slots=True)
class Beat:
    """One batch in the making, and what has to be there before it."""

    at: datetime
    accounts: list[Account] = field(default_factory=list)
    authorisations: list[Authorisation] = field(default_factory=list)
    changes: list[acts.Withdraw | acts.ChangeState] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)

    @property
    def day(self) -> date:
        return self.at.date()

    def acts(self) -> list[acts.Act]:
        """The beat as acts, in the order in which they must happen, a minute apart."""
        done: list[acts.Act] = []
        before = self.at - timedelta(minutes=10)
        if self.accounts:
            done.append(acts.Open(before, tuple(self.accounts)))
        if self.authorisations:
            done.append(acts.Authorise(before + timedelta(minutes=1), tuple(self.authorisations)))
        done.extend(self.changes)
        if self.transfers:
            done.append(acts.Post(self.at, tuple(self.transfers)))
        return done

    @property
    def authorised_at(self) -> datetime:
        return self.at - timedelta(minutes=9)

    @property
    def changed_at(self) -> datetime:
        return self.at - timedelta(minutes=5)


class Market:
    """Everybody's money and everything still open, with the chance that moves it all."""

    def __init__(self, place: World, transfers: int) -> None:
        self.world = place
        self.chance = Random(f"{place.seed}/market")
        self.left = transfers
        """How many transfers may still be posted."""
        self.available: dict[str, int] = defaultdict(int)
        """What an account has and does not hold for anybody; of a control account, what it owes us."""
        self.loans: list[Loan] = []
        self.payouts: list[Payout] = []
        self.receipts: list[Receipt] = []
        self.charged: list[tuple[Transfer, Customer]] = []
        self.out_of_reach: set[str] = set()
        """Accounts that are frozen or closed, and those with a part in a scenario."""
        self.active: list[Customer] = []
        self.borrowers: list[Customer] = []
        self.indebted: set[str] = set()
        self.ceilings = {each.account: each.ceiling_minor for each in place.customers if each.ceiling_minor}
        self._serial = 0
        self.loans_made = 0
        self.beat = Beat(datetime.combine(place.first_day, datetime.min.time()))

    # ── what operations are made of ──────────────────────────────────────────────────────────────────────

    def begin(self, beat: Beat) -> None:
        """The next batch."""
        self.beat = beat

    def serial(self, letter: str) -> str:
        """A reference the bank can carry: at most sixteen characters."""
        self._serial += 1
        return f"{letter}{self.beat.day:%y%m%d}{self._serial:06d}"

    def new_id(self) -> UUID:
        """A version 7 UUID of the moment, its chance bits from the seed."""
        milliseconds = int(self.beat.at.timestamp() * 1000)
        bits = self.chance.getrandbits(74)
        return UUID(int=milliseconds << 80 | 7 << 76 | (bits >> 62) << 64 | 2 << 62 | (bits & (1 << 62) - 1))

    def moment(self) -> datetime:
        """When something happened that is posted with this beat: in the two hours before it."""
        return self.beat.at - timedelta(seconds=self.chance.randrange(30, 7200))

    def authorise(
        self,
        kind: str,
        debit: str,
        credit: str,
        code: str,
        amount_minor: int,
        *,
        basis: str,
        payee: str = "",
        rule: str = "exact",
        uses: int = 1,
        valid_days: int = 30,
        valid_from: datetime | None = None,
        valid_until: datetime | None = None,
    ) -> str:
        """Have the client give their word with this beat; the name it goes by."""
        begins = valid_from or self.beat.authorised_at
        name = self.serial("A")
        self.beat.authorisations.append(
            Authorisation(
                name=name,
                kind=kind,  # type: ignore[arg-type]
                debit=debit,
                credit=credit,
                code=code,
                rule=rule,  # type: ignore[arg-type]
                amount_minor=amount_minor,
                uses_max=uses,
                valid_from=begins,
                valid_until=valid_until or begins + timedelta(days=valid_days),
                basis=basis,
                payee=payee,
            )
        )
        return name

    def move(
        self,
        debit: str,
        credit: str,
        code: str,
        amount_minor: int,
        *,
        kind: Kind = "posted",
        authorisation: str = "",
        reference: str = "",
        payee: str = "",
        reason: str = "",
        reverses: UUID | None = None,
        is_linked: bool = False,
        expires_at: datetime | None = None,
    ) -> Transfer:
        """A transfer that will be accepted, and what follows from it."""
        assert kind in ("posted", "pending")
        assert amount_minor > 0
        transfer = Transfer(
            id=self.new_id(),
            kind=kind,
            at=self.moment(),
            amount_minor=amount_minor,
            debit=debit,
            credit=credit,
            code=code,
            authorisation=authorisation,
            reverses=reverses,
            is_linked=is_linked,
            expires_at=expires_at,
            reference=reference,
            payee=payee,
            reason=reason,
        )
        self._count(transfer)
        self._take(debit, amount_minor)
        if kind == "posted":
            self._give(credit, amount_minor)
        return transfer

    def settle(
        self,
        pending: UUID,
        debit: str,
        credit: str,
        held_minor: int,
        amount_minor: int,
        *,
        reference: str = "",
        reason: str = "",
        is_linked: bool = False,
    ) -> None:
        """Post what was held, all or part of it, or give it back where the amount is 0."""
        self._count(
            Transfer(
                id=self.new_id(),
                kind="post_pending" if amount_minor else "void_pending",
                at=self.moment(),
                amount_minor=amount_minor,
                pending=pending,
                reference=reference,
                reason=reason,
                is_linked=is_linked,
            )
        )
        self._give(debit, held_minor - amount_minor)
        if amount_minor:
            self._give(credit, amount_minor)

    def refused(
        self, answer: str, debit: str, credit: str, code: str, amount_minor: int, **more: object
    ) -> Transfer:
        """A transfer that must be turned down, with the reason it must be given. It moves nothing."""
        more = {"id": self.new_id(), "kind": "posted", "at": self.moment(), **more}
        transfer = Transfer(
            amount_minor=amount_minor,
            debit=debit,
            credit=credit,
            code=code,
            answer=answer,
            **more,  # type: ignore[arg-type]
        )
        self.beat.transfers.append(transfer)
        return transfer

    def _count(self, transfer: Transfer) -> None:
        self.left -= 1
        assert self.left >= 0, "an operation was begun that there was no room for"
        self.beat.transfers.append(transfer)

    def _take(self, account: str, amount_minor: int) -> None:
        # A control account grows on its debit side: what the bank owes us.
        if account in (BANK, FIRM):
            self.available[account] += amount_minor
        else:
            self.available[account] -= amount_minor
            assert self.available[account] >= 0, f"{account} would be overdrawn"

    def _give(self, account: str, amount_minor: int) -> None:
        self.available[account] += -amount_minor if account in (BANK, FIRM) else amount_minor

    def someone(self) -> Customer:
        """A customer within reach."""
        while True:
            customer = self.chance.choice(self.active)
            if customer.account not in self.out_of_reach:
                return customer

    def someone_with(self, amount_minor: int, *, tries: int = 25) -> Customer | None:
        """A customer within reach who has this much to spare."""
        for _ in range(tries):
            customer = self.someone()
            if self.available[customer.account] >= amount_minor:
                return customer
        return None

    def room_of(self, customer: Customer) -> int:
        """How much more this customer's account may take."""
        ceiling = self.ceilings.get(customer.account)
        # What is held counts against the ceiling too, so leave a wide margin instead of counting it.
        return 10**12 if ceiling is None else max(ceiling // 4 - self.available[customer.account], 0)


# ── paying in and taking out ─────────────────────────────────────────────────────────────────────────────


def deposit(market: Market, customer: Customer, amount_minor: int, *, through: str = FIRM) -> Transfer | None:
    """The customer pays in, by the payment firm or by bank transfer."""
    if market.left < 1 or amount_minor > market.room_of(customer):
        return None
    return market.move(through, customer.account, "top_up", amount_minor, reference=market.serial("T"))


def withdraw(market: Market, customer: Customer, amount_minor: int) -> Payout | None:
    """The customer orders a payout to their card; the money is held until the bank has answered."""
    if market.left < 2:
        return None
    reference = market.serial("W")
    order = market.authorise(
        "order",
        customer.account,
        BANK,
        "withdrawal",
        amount_minor,
        payee=customer.payee,
        basis=f"payout order {reference}",
    )
    pending = market.move(
        customer.account,
        BANK,
        "withdrawal",
        amount_minor,
        kind="pending",
        authorisation=order,
        reference=reference,
        payee=customer.payee,
    )
    payout = Payout(customer, pending.id, amount_minor, reference, market.beat.at)
    market.payouts.append(payout)
    return payout


def answer_payouts(market: Market, *, asked_before: datetime) -> None:
    """The bank has paid what it was asked to before, but for a few cards that are no more."""
    waiting, market.payouts = market.payouts, []
    for payout in waiting:
        if (
            payout.asked_at >= asked_before
            or market.left < 1
            or payout.customer.account in market.out_of_reach
        ):
            market.payouts.append(payout)
            continue
        failed = market.chance.random() < 0.02
        market.settle(
            payout.pending,
            payout.customer.account,
            BANK,
            payout.amount_minor,
            0 if failed else payout.amount_minor,
            reference=payout.reference,
            reason="the card's bank returned the payment" if failed else "",
        )


def refund(market: Market, customer: Customer, amount_minor: int) -> None:
    """A payment made in error goes back the way it came."""
    if market.left < 1:
        return
    reference = market.serial("R")
    order = market.authorise(
        "order",
        customer.account,
        FIRM,
        "refund",
        amount_minor,
        payee=customer.payee,
        basis=f"refund {reference}",
    )
    market.move(
        customer.account,
        FIRM,
        "refund",
        amount_minor,
        authorisation=order,
        reference=reference,
        payee=customer.payee,
    )


def settle_firm(market: Market) -> None:
    """The payment firm hands over to the bank what it took in up to yesterday."""
    owed = market.available[FIRM]
    if owed > 0 and market.left:
        market.move(BANK, FIRM, "settlement", owed, reference=market.serial("S"))


def pay_out_fees(market: Market) -> None:
    """Two thirds of the fees earned leave for the platform's own account at the bank."""
    amount = market.available[FEES] * 2 // 3
    if amount > 0 and market.left:
        market.move(
            FEES, BANK, "fee_payout", amount, reference=market.serial("P"), payee=world.OWN_BANK_ACCOUNT
        )


# ── money without a name ─────────────────────────────────────────────────────────────────────────────────


def receive_unidentified(market: Market, amount_minor: int) -> None:
    """Money arrives at the bank and nobody knows whose it is: it waits in suspense."""
    if market.left < 2:
        return
    reference = market.serial("U")
    market.move(BANK, SUSPENSE, "unidentified_receipt", amount_minor, reference=reference)
    later = market.beat.day + timedelta(days=market.chance.randrange(1, 6))
    market.receipts.append(Receipt(amount_minor, reference, later))


def clear_receipts(market: Market) -> None:
    """Some payers are found, and the rest get their money back."""
    waiting, market.receipts = market.receipts, []
    for receipt in waiting:
        if receipt.asked_again_on > market.beat.day or market.left < 1:
            market.receipts.append(receipt)
        elif market.chance.random() < 0.7:
            market.move(SUSPENSE, market.someone().account, "identified", receipt.amount_minor)
        else:
            market.move(
                SUSPENSE,
                BANK,
                "return",
                receipt.amount_minor,
                reference=market.serial("Q"),
                reason=f"nobody claimed {receipt.reference}",
            )


# ── lending and borrowing ────────────────────────────────────────────────────────────────────────────────


def open_loan(market: Market) -> Loan | None:
    """A borrower without a running loan asks for one; the loan has an account of its own."""
    free = [
        each
        for each in market.borrowers
        if each.number not in market.indebted and each.account not in market.out_of_reach
    ]
    if not free:
        return None
    borrower = market.chance.choice(free)
    market.loans_made += 1
    loan = Loan(
        number=f"L{market.loans_made:05d}",
        borrower=borrower,
        target_minor=market.chance.randrange(20, 401) * 50_000,
        rate_bp=market.chance.randrange(60, 145) * 10,
        instalments=market.chance.choice((1, 2, 3, 6, 12)),
        closes=market.beat.day + timedelta(days=4),
    )
    market.beat.accounts.append(
        Account(
            name=loan.account,
            family="client",
            title=f"{borrower.name} 借款 loan {loan.number}",
            reference=f"loan-{loan.number}",
            owner=borrower.number,
        )
    )
    market.indebted.add(borrower.number)
    market.loans.append(loan)
    return loan


def lend(market: Market) -> Bid | None:
    """Someone bids for a loan: an order in their name, and the money held until the loan is complete."""
    if market.left < 2:
        return None
    wanting = [
        loan
        for loan in market.loans
        if loan.lent_on is None and loan.bid_minor < loan.target_minor and len(loan.bids) < LENDERS_MAX
    ]
    loan = market.chance.choice(wanting) if wanting else open_loan(market)
    lender = market.someone_with(50_000)
    if loan is None or lender is None or lender is loan.borrower:
        return None
    share = max(loan.target_minor // market.chance.randrange(8, 18), 50_000)
    amount = min(share, market.available[lender.account]) // 10_000 * 10_000
    if any(bid.lender is lender for bid in loan.bids):
        return None
    order = market.authorise(
        "order", lender.account, loan.account, "lend", amount, basis=f"bid for {loan.number}"
    )
    pending = market.move(
        lender.account,
        loan.account,
        "lend",
        amount,
        kind="pending",
        authorisation=order,
        expires_at=market.beat.at + BID_LIFE,
    )
    bid = Bid(lender, pending.id, amount)
    loan.bids.append(bid)
    return bid


def close_bidding(market: Market) -> None:
    """Loans that are complete are paid out; those that are not in time give every lender their money back."""
    for loan in [loan for loan in market.loans if loan.lent_on is None]:
        complete = loan.bid_minor >= loan.target_minor or len(loan.bids) >= LENDERS_MAX
        late = market.beat.day >= loan.closes
        if market.left < len(loan.bids) + 4 or loan.account in [each.name for each in market.beat.accounts]:
            if late:
                continue
        elif complete or (late and loan.bid_minor * 2 >= loan.target_minor):
            _lend_out(market, loan)
        elif late:
            for bid in loan.bids:
                market.settle(
                    bid.pending,
                    bid.lender.account,
                    loan.account,
                    bid.amount_minor,
                    0,
                    reason="the loan was not completed in time",
                )
            market.loans.remove(loan)
            market.indebted.discard(loan.borrower.number)


def _lend_out(market: Market, loan: Loan) -> None:
    """All bids are posted together or not at all; a fee is taken, the rest is the borrower's."""
    open_minor = loan.target_minor
    for bid in loan.bids:
        taken = min(bid.amount_minor, open_minor)
        open_minor -= taken
        # The last lender's bid may be taken in part, or not at all.
        market.settle(
            bid.pending,
            bid.lender.account,
            loan.account,
            bid.amount_minor,
            taken,
            reason="" if taken else "the loan was complete",
            is_linked=bid is not loan.bids[-1],
        )
        if taken:
            loan.shares.append((bid.lender, taken))
    loan.lent_on = market.beat.day
    loan.due = loan.lent_on + timedelta(days=INSTALMENT_DAYS)
    principal = loan.principal_minor
    borrower = loan.borrower
    fee = max(principal * 3 // 1000, 100)
    right = market.authorise(
        "entitlement", loan.account, FEES, "fee", fee, basis=f"contract {loan.number}, arrangement fee 0.3 %"
    )
    market.move(loan.account, FEES, "fee", fee, authorisation=right)
    order = market.authorise(
        "order", loan.account, borrower.account, "disburse", principal - fee, basis=f"contract {loan.number}"
    )
    market.move(loan.account, borrower.account, "disburse", principal - fee, authorisation=order)
    _agree_schedule(market, loan)
    withdraw(market, borrower, principal - fee)


def instalment(loan: Loan, nth: int) -> list[tuple[Customer, int, int]]:
    """Each lender's part of the nth instalment: principal and interest, in minor units.

    Equal parts of principal, the last one with what is left; interest on what was owed, for 30 days of 360,
    its fraction of a minor unit left to the borrower.
    """
    parts = []
    for lender, share in loan.shares:
        part = share // loan.instalments
        owed = share - part * (nth - 1)
        principal = owed if nth == loan.instalments else part
        parts.append((lender, principal, owed * loan.rate_bp * INSTALMENT_DAYS // (10_000 * 360)))
    return parts


def _agree_schedule(market: Market, loan: Loan) -> None:
    """The borrower's standing word: instalments into the loan's account, and from there to each lender."""
    days = INSTALMENT_DAYS * (loan.instalments + 3)
    everything = [instalment(loan, nth) for nth in range(1, loan.instalments + 1)]
    most = max(sum(principal + interest for _, principal, interest in parts) for parts in everything)
    agree = {"rule": "at_most", "uses": loan.instalments, "valid_days": days}
    borrower, basis = loan.borrower, f"contract {loan.number}, schedule"
    words = loan.words
    words["repay"] = market.authorise(
        "schedule",
        borrower.account,
        loan.account,
        "repay",
        most,
        basis=basis,
        **agree,  # type: ignore[arg-type]
    )
    words["fee"] = market.authorise(
        "entitlement",
        borrower.account,
        FEES,
        "fee",
        monthly_fee(loan),
        basis=basis,
        uses=loan.instalments,
        valid_days=days,
    )
    for place, (lender, _) in enumerate(loan.shares):
        largest = {
            "repay": max(parts[place][1] for parts in everything),
            "interest": max(parts[place][2] for parts in everything),
        }
        for code, part in largest.items():
            if part:
                words[f"{code} {lender.number}"] = market.authorise(
                    "schedule",
                    loan.account,
                    lender.account,
                    code,
                    part,
                    basis=basis,
                    **agree,  # type: ignore[arg-type]
                )


def monthly_fee(loan: Loan) -> int:
    """What the platform may take with each instalment: 0.1 % of the loan."""
    return max(loan.principal_minor // 1000, 100)


def collect_instalments(market: Market) -> None:
    """Who owes an instalment today pays it, after paying in what is missing; a few are late."""
    for loan in [each for each in market.loans if each.due is not None and each.due <= market.beat.day]:
        if loan.borrower.account in market.out_of_reach:
            continue
        if market.chance.random() < 0.06:
            assert loan.due is not None
            loan.due = market.beat.day + timedelta(days=3)
            continue
        _repay(market, loan)


def _repay(market: Market, loan: Loan) -> None:
    nth = loan.paid + 1
    parts = instalment(loan, nth)
    total = sum(principal + interest for _, principal, interest in parts)
    fee, borrower, words = monthly_fee(loan), loan.borrower, loan.words
    legs = [
        (lender, code, amount)
        for lender, principal, interest in parts
        for code, amount in (("repay", principal), ("interest", interest))
        if amount
    ]
    missing = total + fee - market.available[borrower.account]
    if market.left < len(legs) + 4:
        return
    if missing > 0:
        # Salaries come in round figures.
        paid_in = -(-missing // 10_000) * 10_000
        deposit(market, borrower, paid_in, through=BANK if world.is_business_day(market.beat.day) else FIRM)
    market.move(borrower.account, loan.account, "repay", total, authorisation=words["repay"])
    charged = market.move(borrower.account, FEES, "fee", fee, authorisation=words["fee"])
    market.charged.append((charged, borrower))
    for place, (lender, code, amount) in enumerate(legs):
        market.move(
            loan.account,
            lender.account,
            code,
            amount,
            authorisation=words[f"{code} {lender.number}"],
            is_linked=place < len(legs) - 1,
        )
    loan.paid, loan.due = nth, market.beat.day + timedelta(days=INSTALMENT_DAYS)
    if nth == loan.instalments:
        market.loans.remove(loan)
        market.indebted.discard(borrower.number)


def take_back_fee(market: Market) -> None:
    """A fee was charged in error: it is reversed, with the reason."""
    if not market.charged or market.left < 1:
        return
    charged, borrower = market.charged.pop(market.chance.randrange(len(market.charged)))
    if market.available[FEES] < charged.amount_minor or borrower.account in market.out_of_reach:
        return
    market.move(
        FEES,
        borrower.account,
        "fee",
        charged.amount_minor,
        reverses=charged.id,
        reason="charged in error",
    )

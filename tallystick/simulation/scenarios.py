"""Three months of business days, and everybody who tries what must not succeed.

Promises: `acts` of one world and one number of transfers are always the same; exactly that many transfers
are posted; every misbehaving request says which refusal it must meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from tallystick.simulation import acts, agents, world
from tallystick.simulation.acts import Act
from tallystick.simulation.agents import Beat, Market
from tallystick.simulation.world import BANK, FEES, FIRM, SUSPENSE, Customer, World

BUSINESS_BEATS = (time(9, 30), time(13, 0), time(20, 30))
WEEKEND_BEATS = (time(15, 0),)
ZONE = ZoneInfo(world.TIME_ZONE)

MISBEHAVIOUR_SHARE = 0.012
"""Of all requests, about this many are to be turned down."""


def generate(place: World, transfers: int) -> Iterator[Act]:
    """Everything that happens in this world, in order, with exactly this many transfers posted."""
    assert transfers >= 1
    opening = datetime.combine(place.first_day, time(8, 0), ZONE)
    yield acts.Open(opening, world.own_accounts())
    market = Market(place, transfers)
    mischief = Mischief(market)
    beats = [
        datetime.combine(day, at, ZONE)
        for day in place.days
        for at in (BUSINESS_BEATS if world.is_business_day(day) else WEEKEND_BEATS)
    ]
    targets = _targets(beats, transfers)
    for at, target in zip(beats, targets, strict=True):
        beat = Beat(at)
        market.begin(beat)
        _join(market)
        _obligations(market)
        mischief.stir()
        _business(market, transfers - target)
        if at == beats[-1]:
            while market.left:
                agents.deposit(market, market.someone(), market.chance.randrange(10, 500) * 1000)
        yield from beat.acts()


def weight(at: datetime) -> float:
    """How busy a moment is against an ordinary working one."""
    day = at.date()
    if not world.is_business_day(day):
        return 0.8
    busy = 1.6 if day.day in world.SALARY_DAYS else 1.0
    return busy * {9: 0.8, 13: 1.0, 20: 1.2}[at.hour]


def _targets(beats: list[datetime], transfers: int) -> list[int]:
    """How many transfers there should be after each beat; after the last one, all."""
    total = sum(weight(at) for at in beats)
    targets, sum_ = [], 0.0
    for at in beats:
        sum_ += weight(at)
        targets.append(round(transfers * sum_ / total))
    return targets


def _join(market: Market) -> None:
    """Customers whose first day this is open their accounts."""
    known = len(market.active) + len(market.out_of_reach)
    if known and market.beat.at.time() not in (BUSINESS_BEATS[0], WEEKEND_BEATS[0]):
        return
    for customer in market.world.customers:
        if customer.joins == market.beat.day:
            market.beat.accounts.append(world.customer_account(customer))
            market.active.append(customer)
            if customer.is_borrower:
                market.borrowers.append(customer)


def _obligations(market: Market) -> None:
    """What must be done before anybody may do what they like."""
    beat = market.beat
    first = beat.at.time() in (BUSINESS_BEATS[0], WEEKEND_BEATS[0])
    if world.is_business_day(beat.day):
        if first:
            agents.settle_firm(market)
            agents.clear_receipts(market)
            if beat.day.weekday() == 4:
                agents.pay_out_fees(market)
        # What was asked for this morning is paid this afternoon; what came later, the next morning.
        agents.answer_payouts(market, asked_before=beat.at)
    if first:
        agents.collect_instalments(market)
        agents.close_bidding(market)
        if market.chance.random() < 0.3:
            agents.take_back_fee(market)


def _business(market: Market, left_after: int) -> None:
    """What people like to do, until there is as much of it as belongs to this beat."""
    chance, beat = market.chance, market.beat
    is_business = world.is_business_day(beat.day)
    idle = 0
    while market.left > left_after and idle < 200:
        before, what = market.left, chance.random()
        customer = market.someone()
        if what < 0.42:
            has_salary = customer.salary_day == beat.day.day and is_business
            amount = customer.salary_minor if has_salary else chance.randrange(2, 120) * 10_000
            agents.deposit(market, customer, amount, through=BANK if has_salary or _by_bank(market) else FIRM)
        elif what < 0.86:
            agents.lend(market)
        elif what < 0.975:
            spare = market.available[customer.account]
            if spare >= 20_000:
                agents.withdraw(market, customer, chance.randrange(10_000, spare + 1))
        elif what < 0.985:
            if (payer := market.someone_with(30_000)) is not None:
                agents.refund(market, payer, chance.randrange(5_000, 30_000))
        elif is_business:
            agents.receive_unidentified(market, chance.randrange(100, 20_000) * 100)
        idle = idle + 1 if market.left == before else 0


def _by_bank(market: Market) -> bool:
    return world.is_business_day(market.beat.day) and market.chance.random() < 0.25


# ── what must not succeed ────────────────────────────────────────────────────────────────────────────────


class Mischief:
    """Those who try: by mistake, by haste, by fraud. Each try is one method, named after what is tried."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.chance = market.chance
        self.tries: tuple[Callable[[], None], ...] = (
            self.overdraw,
            self.overdraw,
            self.overdraw,
            self.alter_the_payee,
            self.alter_the_amount,
            self.alter_the_purpose,
            self.take_client_money_without_a_right,
            self.pay_a_client_out_of_own_money,
            self.use_suspense_as_income,
            self.reuse_an_id_for_something_else,
            self.send_the_same_again,
            self.debit_without_a_word,
            self.borrow_anothers_word,
            self.use_a_word_twice,
            self.use_a_word_too_early,
            self.use_a_word_too_late,
            self.use_a_word_taken_back,
            self.settle_twice,
            self.take_more_than_is_held,
            self.reverse_twice,
            self.hide_a_bad_leg_in_a_chain,
            self.pass_the_ceiling,
        )
        self.next_beat: list[Callable[[], None]] = []
        self.frozen: Customer | None = None
        self.unfrozen_on: date | None = None
        self.closed: Customer | None = None
        self.frozen_balance = 0
        self.debt = 0.0
        self._before = market.left

    def stir(self) -> None:
        """A few tries with this beat, in proportion to how much has been going on."""
        due, self.next_beat = self.next_beat, []
        for attempt in due:
            attempt()
        self._freeze_and_close()
        self.debt += (self._before - self.market.left) * MISBEHAVIOUR_SHARE
        self._before = self.market.left
        while self.debt >= 1:
            self.debt -= 1
            self.chance.choice(self.tries)()

    # Orders, and what is asked for instead of what was ordered.

    def _order(self, customer: Customer, amount_minor: int, **more: object) -> str:
        return self.market.authorise(
            "order",
            customer.account,
            BANK,
            "withdrawal",
            amount_minor,
            payee=customer.payee,
            basis="payout order",
            **more,  # type: ignore[arg-type]
        )

    def _payout(
        self, answer: str, customer: Customer, amount_minor: int, authorisation: str, **more: object
    ) -> None:
        more = {"payee": customer.payee, "kind": "pending", **more}
        self.market.refused(
            answer,
            customer.account,
            BANK,
            "withdrawal",
            amount_minor,
            authorisation=authorisation,
            reference=self.market.serial("W"),
            **more,
        )

    def overdraw(self) -> None:
        """Take out more than there is."""
        customer = self.market.someone()
        amount = self.market.available[customer.account] + self.chance.randrange(1, 500_000)
        self._payout("insufficient_funds", customer, amount, self._order(customer, amount))

    def alter_the_payee(self) -> None:
        """Send a customer's payout to another card."""
        customer, thief = self.market.someone(), self.market.someone()
        if customer is not thief:
            order = self._order(customer, 80_000)
            self._payout("authorisation_payee_differs", customer, 80_000, order, payee=thief.payee)

    def alter_the_amount(self) -> None:
        """Add a zero to a customer's order."""
        customer = self.market.someone()
        order = self._order(customer, 10_000)
        self._payout("authorisation_amount_differs", customer, 100_000, order)

    def alter_the_purpose(self) -> None:
        """Use a payout order for something else at the same bank."""
        customer = self.market.someone()
        order = self._order(customer, 10_000)
        self.market.refused(
            "authorisation_code_differs",
            customer.account,
            BANK,
            "return",
            10_000,
            authorisation=order,
            payee=customer.payee,
        )

    def take_client_money_without_a_right(self) -> None:
        """Commingle: move a client's money to the platform's own account, with an order that allows no such thing."""
        customer = self.market.someone()
        order = self._order(customer, 5_000)
        self.market.refused(
            "border_crossed", customer.account, FEES, "fee", 5_000, authorisation=order, payee=customer.payee
        )

    def pay_a_client_out_of_own_money(self) -> None:
        """Commingle the other way: make up a client's balance out of fees."""
        self.market.refused("border_crossed", FEES, self.market.someone().account, "compensation", 5_000)

    def use_suspense_as_income(self) -> None:
        """Book money that nobody has claimed as the platform's own."""
        self.market.refused("border_crossed", SUSPENSE, FEES, "fee", 10_000)

    def debit_without_a_word(self) -> None:
        """Debit a client who has authorised nothing."""
        self._payout("authorisation_missing", self.market.someone(), 5_000, "")

    def borrow_anothers_word(self) -> None:
        """Debit one client on the order of another."""
        giver, victim = self.market.someone(), self.market.someone()
        if giver is not victim:
            order = self._order(giver, 5_000)
            self._payout("authorisation_of_another", victim, 5_000, order, payee=giver.payee)

    def use_a_word_twice(self) -> None:
        """Pay one order out twice."""
        customer = self.market.someone_with(40_000)
        if customer is None:
            return
        payout = agents.withdraw(self.market, customer, 20_000)
        if payout is not None:
            used = self.market.beat.transfers[-1].authorisation
            self._payout("authorisation_consumed", customer, 20_000, used)

    def use_a_word_too_early(self) -> None:
        """Use an order that begins tomorrow."""
        customer = self.market.someone()
        order = self._order(customer, 5_000, valid_from=self.market.beat.at + timedelta(days=1))
        self._payout("authorisation_not_yet_valid", customer, 5_000, order)

    def use_a_word_too_late(self) -> None:
        """Use an order that has run out."""
        customer = self.market.someone()
        order = self._order(customer, 5_000, valid_until=self.market.beat.at + timedelta(minutes=5))
        self.next_beat.append(lambda: self._payout("authorisation_expired", customer, 5_000, order))

    def use_a_word_taken_back(self) -> None:
        """Use an order that the client has withdrawn."""
        customer = self.market.someone()
        order = self._order(customer, 5_000)

        def after() -> None:
            beat = self.market.beat
            beat.changes.append(acts.Withdraw(beat.changed_at, order, "the customer changed their mind"))
            self._payout("authorisation_withdrawn", customer, 5_000, order)

        self.next_beat.append(after)

    # Ids, and what is settled or reversed already.

    def reuse_an_id_for_something_else(self) -> None:
        """Ask for another amount under an id that has been used."""
        customer = self.market.someone()
        first = agents.deposit(self.market, customer, 123_400)
        if first is not None:
            self.market.refused(
                "id_used_with_other_content", FIRM, customer.account, "top_up", 223_400, id=first.id
            )

    def send_the_same_again(self) -> None:
        """An impatient channel sends one request twice: the second gets the first one's result."""
        first = agents.deposit(self.market, self.market.someone(), 56_700)
        if first is not None:
            again = acts.Transfer(
                id=first.id,
                kind=first.kind,
                at=first.at,
                amount_minor=first.amount_minor,
                debit=first.debit,
                credit=first.credit,
                code=first.code,
                reference=first.reference,
                is_repeat=True,
            )
            self.next_beat.append(lambda: self.market.beat.transfers.append(again))

    def settle_twice(self) -> None:
        """Post a payout that has been answered already."""
        customer = self.market.someone_with(40_000)
        if customer is None or self.market.left < 2:
            return
        payout = agents.withdraw(self.market, customer, 20_000)
        assert payout is not None
        self.market.payouts.remove(payout)

        def settle() -> None:
            if not world.is_business_day(self.market.beat.day):
                self.next_beat.append(settle)
                return
            if self.market.left < 1:
                return
            market = self.market
            market.settle(payout.pending, customer.account, BANK, 20_000, 20_000, reference=payout.reference)
            market.refused(
                "pending_already_posted",
                "",
                "",
                "",
                20_000,
                kind="post_pending",
                pending=payout.pending,
                reference=payout.reference,
            )

        self.next_beat.append(settle)

    def take_more_than_is_held(self) -> None:
        """Post more than a payout holds."""
        if self.market.payouts:
            payout = self.chance.choice(self.market.payouts)
            self.market.refused(
                "amount_exceeds_pending",
                "",
                "",
                "",
                payout.amount_minor + 1,
                kind="post_pending",
                pending=payout.pending,
            )

    def reverse_twice(self) -> None:
        """Take a fee back that has been taken back."""
        agents.take_back_fee(self.market)
        done = [each for each in self.market.beat.transfers if each.reverses is not None and not each.answer]
        if done:
            last = done[-1]
            self.market.refused(
                "already_reversed",
                last.debit,
                last.credit,
                last.code,
                last.amount_minor,
                reverses=last.reverses,
                reason="charged in error",
            )

    def hide_a_bad_leg_in_a_chain(self) -> None:
        """A payment in and a payout of more than that, to be done together: neither is."""
        customer = self.market.someone()
        amount = self.market.available[customer.account] + 600_000
        order = self._order(customer, amount)
        self.market.refused("linked_transfer_refused", FIRM, customer.account, "top_up", 100, is_linked=True)
        self._payout("insufficient_funds", customer, amount, order)

    def pass_the_ceiling(self) -> None:
        """Pay in more than the account may hold."""
        limited = [each for each in self.market.active if each.account in self.market.ceilings]
        if limited:
            customer = self.chance.choice(limited)
            self.market.refused(
                "ceiling_exceeded",
                FIRM,
                customer.account,
                "top_up",
                self.market.ceilings[customer.account] + 1,
            )

    # Accounts that are not open.

    def _freeze_and_close(self) -> None:
        """Once: a court freezes one account and later takes what is owed; another customer leaves."""
        market, beat = self.market, self.market.beat
        day = (beat.day - market.world.first_day).days
        if self.frozen is None and day >= 20 and world.is_business_day(beat.day):
            self._freeze()
        elif self.frozen is not None and self.unfrozen_on is not None:
            if beat.day >= self.unfrozen_on and world.is_business_day(beat.day):
                self._unfreeze(self.frozen)
            elif self.chance.random() < 0.2:
                order = self._order(self.frozen, 1_000)
                self._payout("debits_frozen", self.frozen, 1_000, order)
        if self.closed is None and day >= 35:
            self._close()
        elif self.closed is not None and self.chance.random() < 0.05:
            market.refused("account_closed", FIRM, self.closed.account, "top_up", 50_000)

    def _untouched(self) -> Customer | None:
        """Someone with nothing running who has been here a while: nobody else's business depends on them."""
        market = self.market
        busy = {payout.customer.number for payout in market.payouts}
        busy |= {lender.number for loan in market.loans for lender, _ in loan.shares}
        busy |= {bid.lender.number for loan in market.loans for bid in loan.bids} | market.indebted
        free = [
            each
            for each in market.active[2:]
            if each.number not in busy
            and each.account not in market.out_of_reach
            and each.joins < market.beat.day
            and not any(charged[1] is each for charged in market.charged)
        ]
        return self.chance.choice(free) if free else None

    def _freeze(self) -> None:
        market, beat = self.market, self.market.beat
        customer = self._untouched()
        if customer is None or market.left < 1 or market.available[customer.account] < 10_000:
            return
        beat.changes.append(
            acts.ChangeState(
                beat.changed_at, customer.account, "debits_frozen", "order of the court, case 2026-173"
            )
        )
        self.frozen, self.unfrozen_on = customer, beat.day + timedelta(days=12)
        market.out_of_reach.add(customer.account)

    def _unfreeze(self, customer: Customer) -> None:
        market, beat = self.market, self.market.beat
        amount = market.available[customer.account] // 2
        if market.left < 1 or amount == 0:
            return
        beat.changes.append(
            acts.ChangeState(beat.changed_at, customer.account, "open", "judgment, case 2026-173")
        )
        payee = "人民法院执行款专户 Court enforcement account"
        right = market.authorise(
            "legal", customer.account, BANK, "legal", amount, payee=payee, basis="judgment, case 2026-173"
        )
        market.move(
            customer.account,
            BANK,
            "legal",
            amount,
            authorisation=right,
            reference=market.serial("J"),
            payee=payee,
        )
        self.unfrozen_on = None
        market.out_of_reach.discard(customer.account)

    def _close(self) -> None:
        market, beat = self.market, self.market.beat
        customer = self._untouched()
        if customer is None or market.available[customer.account]:
            return
        beat.changes.append(
            acts.ChangeState(beat.changed_at, customer.account, "closed", "the customer left")
        )
        self.closed = customer
        market.out_of_reach.add(customer.account)

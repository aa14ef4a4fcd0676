"""What the tests of payouts start from: terms, a verified bank account past its cool-off, money, the notice read."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from django.db import connections

from tallystick.core.calendars import Calendar
from tallystick.custody.numbers import AccountNumber
from tallystick.custody.payouts import bank_accounts, notices, orders, terms
from tallystick.custody.payouts.bank_accounts import Details
from tallystick.custody.payouts.orders import Payout
from tallystick.custody.payouts.terms import NewTerms
from tallystick.identity.access import Actor
from tallystick.identity.roles import Role
from tests.custody import cast
from tests.custody.cast import APPROVER, BOOK, DB, OPERATIONS, WANG_FANG, ask, post

DAY0 = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
"""Monday 2 March 2026, ten o'clock in Shanghai."""
NOW = DAY0 + timedelta(days=2)
SECOND_OPERATIONS = Actor("usr_21", "Second desk", frozenset({Role.PLATFORM_OPERATIONS}))
SECOND_APPROVER = Actor("usr_22", "Second approver", frozenset({Role.PLATFORM_APPROVER}))
LIMIT = 100_000
CARD = Details(
    holder_name="王芳", bank_name="工商银行北京分行", number="6222 0212 3456 7890 123", cnaps="102100099996"
)


@dataclass(frozen=True)
class Scene:
    """The cast's accounts and 王芳's bank account."""

    accounts: cast.Cast
    card: int

    @property
    def wang(self) -> AccountNumber:
        return self.accounts.wang

    def ask(
        self, amount_minor: int, key: str = "k1", *, actor: Actor = WANG_FANG, now: datetime = NOW, **more
    ) -> Payout:
        return orders.ask(
            DB,
            self.wang,
            more.pop("card", self.card),
            amount_minor,
            request_key=key,
            actor=actor,
            now=now,
            **more,
        )


def balance(account: int) -> tuple[int, int]:
    """Posted on the account's credit side, and held."""
    with connections[DB].cursor() as cursor:
        cursor.execute(
            "select credits_posted - debits_posted, debits_pending from custody_entry where account = %s"
            " order by position desc limit 1",
            [account],
        )
        return cursor.fetchone() or (0, 0)


def new_terms(bank: AccountNumber, **other: object) -> NewTerms:
    return replace(
        NewTerms(
            bank_account=bank,
            release_above_minor=LIMIT,
            daily_above_minor=3 * LIMIT,
            cool_off_hours=24,
            cut_off=dt.time(15, 0),
            calendar=Calendar.WEEKENDS,
            debtor_name="First platform client money",
            debtor_account="110900001234567",
            debtor_bic="ICBKCNBJXXX",
        ),
        **other,
    )


def set_terms(bank: AccountNumber, now: datetime = DAY0, **other: object) -> terms.Terms:
    proposed = terms.propose(DB, new_terms(bank, **other), actor=OPERATIONS, now=now)
    return terms.approve(DB, proposed, actor=APPROVER, now=now)


def scene(money_minor: int = 1_000_000) -> Scene:
    accounts = cast.opened()
    set_terms(accounts.bank)
    card = bank_accounts.add(DB, BOOK, "C-WANG", CARD, actor=WANG_FANG, now=DAY0)
    bank_accounts.verify(
        DB, card.id, how="Four elements checked with the card network.", actor=OPERATIONS, now=DAY0
    )
    notices.acknowledge(DB, BOOK, "C-WANG", 0, language="zh-hans", actor=WANG_FANG, now=DAY0)
    post([ask(1, accounts.bank, accounts.wang, money_minor)])
    return Scene(accounts, card.id)

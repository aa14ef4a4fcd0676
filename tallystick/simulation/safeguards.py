"""The platform's safeguarding: what its accounts are for, whom to turn to, its last days proved and stated.

Promises: only custody's own actions are used, as a platform would use them; every date is the world's own.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from pathlib import Path

from tallystick.core.db import Db
from tallystick.custody import accounts
from tallystick.custody.numbers import Family
from tallystick.custody.safeguarding import arrangements, proofs
from tallystick.custody.safeguarding.arrangements import Contact, Terms
from tallystick.custody.safeguarding.comparison import AccountRole
from tallystick.custody.safeguarding.proofs import Proof
from tallystick.custody.solvency import statements
from tallystick.custody.solvency.statements import Statement
from tallystick.simulation import scenarios
from tallystick.simulation.stage import ACTOR, Stage
from tallystick.simulation.world import BANK, BANK_ACCOUNT, FIRM, FIRM_ACCOUNT, OWN_BANK_ACCOUNT

DAYS = 5
"""How many days are proved: enough to draw, few enough to wait for."""

_CONTACTS = (
    Contact(role="资金保障负责人 Safeguarding officer", name="周静 Zhou Jing", telephone="+86 21 5550 0101"),
    Contact(
        role="存管银行 Custodian bank",
        name="何磊 He Lei",
        organisation="长河银行 Changhe Bank",
        telephone="+86 21 5550 0199",
    ),
    Contact(role="审计师 Auditor", name="林雪 Lin Xue", email="lin.xue@example.org"),
)


def arrange(db: Db, played: Stage, *, now: datetime) -> None:
    """Say what the bank's and the payment firm's accounts are for, and whom to turn to."""
    bank = Terms(
        role=AccountRole.SAFEGUARDING,
        institution="长河银行 Changhe Bank",
        country="CN",
        number=BANK_ACCOUNT,
        agreement="资金存管协议 Custody agreement 2025-11-03",
    )
    firm = Terms(
        role=AccountRole.CHANNEL, institution="顺达支付 Shunda Pay", country="CN", number=FIRM_ACCOUNT
    )
    arrangements.declare(db, played.accounts[BANK], bank, actor=ACTOR, now=now)
    arrangements.declare(db, played.accounts[FIRM], firm, actor=ACTOR, now=now)
    own = accounts.open_account(
        db,
        played.book,
        Family.EXTERNAL,
        "CNY",
        name="平台自有资金户 Platform's own bank account",
        reference=OWN_BANK_ACCOUNT,
        actor=ACTOR,
        now=now,
    )
    own_funds = Terms(
        role=AccountRole.OWN_FUNDS, institution="长河银行 Changhe Bank", number=OWN_BANK_ACCOUNT
    )
    arrangements.declare(db, own, own_funds, actor=ACTOR, now=now)
    for contact in _CONTACTS:
        arrangements.keep_contact(db, played.book, contact, actor=ACTOR, now=now)


def prove(db: Db, played: Stage, last_day: date) -> list[Proof]:
    """Prove the last days, each on the morning after it."""
    found = []
    for before in reversed(range(DAYS)):
        day = last_day - timedelta(days=before)
        now = datetime.combine(day + timedelta(days=1), time(8), scenarios.ZONE)
        found.append(proofs.prove(db, played.book, day, actor=ACTOR, now=now))
    return found


def state(db: Db, book: int, last_day: date, folder: Path) -> list[Statement]:
    """State the last days to everybody, each on the morning after it; their trees lie in the folder."""
    found = []
    for before in reversed(range(DAYS)):
        day = last_day - timedelta(days=before)
        now = datetime.combine(day + timedelta(days=1), time(9), scenarios.ZONE)
        found.append(statements.state(db, book, day, folder=folder, actor=ACTOR, now=now))
    return found

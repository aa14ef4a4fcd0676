"""A platform for the pages of liquidity and currencies: sixty days of flows, a queue, a corridor, a rate."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import NAMESPACE_DNS, uuid5

from tallystick.core.db import APP
from tallystick.custody import accounts, books, instructions, ledger
from tallystick.custody.codes import Code
from tallystick.custody.cross_border import corridors, rates
from tallystick.custody.liquidity import limits
from tallystick.custody.models import AmountRule
from tallystick.custody.numbers import (
    AccountNumber,
    AuthorisationKind,
    BookId,
    Family,
    account_text,
    authorisation_text,
)  # fmt: skip
from tallystick.custody.transfers import TransferRequest
from tallystick.identity.access import Actor

BOOK = BookId(1)
BY = Actor.system("simulation")
DAYS = 60


@dataclass(frozen=True)
class Treasury:
    """Who is who."""

    bank: AccountNumber
    wang: AccountNumber
    li: AccountNumber
    dollars: AccountNumber


def _id(name: str) -> str:
    return f"trf_{uuid5(NAMESPACE_DNS, f'treasury/{name}')}"


def platform(*, now: datetime) -> Treasury:
    """Sixty days up to this moment, the last of them with two payouts waiting."""
    start = now - timedelta(days=DAYS)
    books.open_book(APP, BOOK, "青禾存管账簿 Qinghe custody", actor=BY, now=start)

    def account(family: Family, asset: str, name: str, reference: str, owner: str = "") -> AccountNumber:
        return accounts.open_account(
            APP, BOOK, family, asset, owner=owner, name=name, reference=reference, actor=BY, now=start
        )

    bank = account(Family.EXTERNAL, "CNY", "存管银行 Custodian bank", "CN-BANK-1")
    wang = account(Family.CLIENT, "CNY", "王芳 人民币", "C-1/cny", "C-1")
    li = account(Family.CLIENT, "CNY", "李强 人民币", "C-2/cny", "C-2")
    dollars = account(Family.CLIENT, "USD", "王芳 美元 USD", "C-1/usd", "C-1")
    for asset in ("CNY", "USD"):
        account(Family.EXTERNAL, asset, f"FX {asset}", f"FX-{asset}")
    account(Family.OWN, "CNY", "换汇手续费 Exchange fees", "FX-FEES-CNY")
    order = {
        client: instructions.authorise(
            APP, client, kind=AuthorisationKind.ORDER, credit_account=bank, code=Code.WITHDRAWAL,
            amount_rule=AmountRule.AT_MOST, amount_minor=90_000_00, total_max_minor=9_000_000_00, uses_max=500,
            valid_from=start, valid_until=start + timedelta(days=999), basis="Withdrawals", actor=BY, now=start,
        )
        for client in (wang, li)
    }  # fmt: skip
    chance = random.Random(7)
    text = account_text

    def out(name: str, client: AccountNumber, amount: int, kind: str = "posted") -> TransferRequest:
        return TransferRequest(
            id=_id(name), kind=kind, debit_account=text(client), credit_account=text(bank),
            amount_minor=amount, code="withdrawal", authorisation=authorisation_text(order[client]),
        )  # fmt: skip

    opening = TransferRequest(
        id=_id("opening"), debit_account=text(bank), credit_account=text(li), amount_minor=400_000_00, code="top_up"
    )  # fmt: skip
    ledger.post(APP, BOOK, [opening], actor=BY, now=start)
    for n in range(DAYS):
        at = start + timedelta(days=n, hours=1)
        busy = 2 if at.weekday() < 5 else 1
        come = TransferRequest(
            id=_id(f"in-{n}"), debit_account=text(bank), credit_account=text(wang),
            amount_minor=busy * chance.randrange(4_000_00, 9_000_00), code="top_up",
        )  # fmt: skip
        ledger.post(
            APP,
            BOOK,
            [come, out(f"out-{n}", li, busy * chance.randrange(1_500_00, 3_000_00))],
            actor=BY,
            now=at,
        )
    waiting = [out("w-1", li, 8_000_00, "pending"), out("w-2", wang, 5_000_00, "pending")]
    ledger.post(APP, BOOK, waiting, actor=BY, now=now - timedelta(minutes=3))
    limits.set_limit(
        APP,
        BOOK,
        "CNY",
        6_000_00,
        "存管行系统维护 Maintenance at the bank",
        from_day=date(2026, 1, 1),
        actor=BY,
        now=now,
    )
    corridor = corridors.Terms(
        from_country="CN", to_country="US", sold="CNY", bought="USD", allowed=True, per_transfer_minor=50_000_00,
        per_period_minor=350_000_00, period_days=365, margin_ppm=3_000, fee_minor=15_00,
        from_day=date(2026, 1, 1), reason="个人年度便利化额度 Individual yearly quota",
    )  # fmt: skip
    corridors.set_rule(APP, BOOK, corridor, actor=BY, now=now)
    blocked = corridors.Terms(
        from_country="CN", to_country="KP", sold="CNY", bought="USD", allowed=False,
        from_day=date(2026, 1, 1), reason="联合国安理会第 2397 号决议 UN Security Council resolution 2397",
    )  # fmt: skip
    corridors.set_rule(APP, BOOK, blocked, actor=BY, now=now)
    for base, quoted, rate in (("CNY", "USD", "0.1391"), ("USD", "CNY", "7.1892")):
        rates.record(APP, base, quoted, rate, "中国外汇交易中心 CFETS", as_of=now, actor=BY, now=now)
    return Treasury(bank, wang, li, dollars)

"""The customer's side of the small platform: pay-in details, deposits of every stage, payouts, holders, estates."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connections, transaction

from tallystick.core.calendars import Calendar
from tallystick.core.db import APP
from tallystick.custody import (
    accounts,
    conditions,
    deposit_booking,
    deposits,
    holders,
    instructions,
    ledger,
    numbers,
    pay_in,
    pay_references,
    statement_files,
)
from tallystick.custody.codes import Code
from tallystick.custody.holder_models import Capacity, Condition, HoldingRule
from tallystick.custody.holders import Party
from tallystick.custody.instructions import Terms
from tallystick.custody.numbers import AccountNumber, AuthorisationKind, Family
from tallystick.custody.payouts import bank_accounts, notices, orders, terms
from tallystick.custody.transfers import TransferRequest
from tallystick.identity.access import Actor
from tallystick.identity.roles import Role
from tests.web import seed

OPERATIONS = Actor("usr_901", "Desk", frozenset({Role.PLATFORM_OPERATIONS}))
APPROVER = Actor("usr_902", "Approver", frozenset({Role.PLATFORM_APPROVER}))
WANG = Actor("usr_903", "王芳", frozenset({Role.CUSTOMER}), customer_number="C-1")
LI = Actor("usr_904", "李强", frozenset({Role.CUSTOMER}), customer_number="C-2")


@dataclass(frozen=True)
class Side:
    """What there is beside the small platform's own cast."""

    bank: AccountNumber
    joint: AccountNumber
    asleep: AccountNumber
    dead: AccountNumber
    euro: AccountNumber
    card: int
    payout: int
    others_payout: int


def side(cast: seed.Cast, *, now: datetime) -> Side:
    """Everything a customer's pages can show, as of now."""
    start = now - timedelta(days=3)

    def account(
        family: Family, name: str, reference: str, owner: str = "", asset: str = "CNY"
    ) -> AccountNumber:
        return accounts.open_account(
            APP,
            seed.BOOK,
            family,
            asset,
            owner=owner,
            name=name,
            reference=reference,
            actor=seed.BY,
            now=now - timedelta(days=20),
        )

    bank = account(Family.EXTERNAL, "存管银行入金专户 Pay-in bank", "6228480402564890018")
    euro_bank = account(Family.EXTERNAL, "Euro bank", "DE89370400440532013000", asset="EUR")
    joint = account(Family.CLIENT, "王芳与李强 联名账户", "C-1/joint", "C-1")
    asleep = account(Family.CLIENT, "王芳 旧账户", "C-1/old", "C-1")
    dead = account(Family.CLIENT, "王芳 遗产相关", "C-1/estate", "C-1")
    euro = account(Family.CLIENT, "Wang Fang euro", "C-1/euro", "C-1", "EUR")
    _details(
        bank, "示例网贷客户资金存管专户", "6228480402564890018", "示例银行上海分行", "", cast.suspense, start
    )
    _details(
        euro_bank,
        "Example Trust client money",
        "DE89370400440532013000",
        "Example Bank",
        "COBADEFFXXX",
        None,
        start,
    )
    ledger.post(
        APP,
        seed.BOOK,
        [
            TransferRequest(
                id=seed.transfer_id(f"side-{n}"),
                debit_account=numbers.account_text(euro_bank if to == euro else bank),
                credit_account=numbers.account_text(to),
                amount_minor=amount,
                code="top_up",
                reference=f"SIDE{n}",
            )
            for n, (to, amount) in enumerate(
                ((joint, 5_000_00), (asleep, 12_34), (dead, 800_00), (euro, 99_90))
            )
        ],
        actor=seed.BY,
        now=now - timedelta(days=1),
    )
    _deposits(cast, bank, now)
    _holders(cast, joint, asleep, dead, now)
    card, payout = _payout(bank, cast.wang, WANG, "C-1", now)
    return Side(bank, joint, asleep, dead, euro, card, payout, _others_payout(bank, now))


def _details(
    bank: AccountNumber,
    name: str,
    number: str,
    bank_name: str,
    code: str,
    suspense: int | None,
    since: datetime,
) -> None:
    details = pay_in.Details(
        bank_account=bank,
        holder_name=name,
        account_number=number,
        bank_name=bank_name,
        bank_code=code,
        takes_from=since.date() - timedelta(days=30),
        suspense_account=None if suspense is None else AccountNumber(suspense),
    )
    pay_in.approve(APP, pay_in.propose(APP, details, actor=OPERATIONS, now=since), actor=APPROVER, now=since)


def _deposits(cast: seed.Cast, bank: AccountNumber, now: datetime) -> None:
    day = now.date()
    rows = [
        (1_000_00, "IN1", f"充值 {pay_references.reference(cast.wang, 'CNY')}"),
        (66_00, "IN2", "谢谢 thanks"),
    ]
    deposits.announce(APP, cast.wang, 1_000_00, actor=WANG, now=now - timedelta(hours=5))
    closing = sum(each[0] for each in rows)
    text = [":20:IN", ":25:6228480402564890018", ":28C:1/1", f":60F:C{day:%y%m%d}CNY0,00"]
    for amount, reference, remark in rows:
        text.append(f":61:{day:%y%m%d}{day:%m%d}C{amount // 100},{amount % 100:02d}NTRF{reference}")
        text.append(f":86:{remark}")
    text += [f":62F:C{day:%y%m%d}CNY{closing // 100},{closing % 100:02d}", "-"]
    content = "\r\n".join(text).encode()
    statement_files.import_bytes(APP, "in.sta", content, bank_account=bank, actor=seed.BY, now=now)
    _early(bank, cast.wang, now)
    while deposit_booking.advance(APP, seed.BOOK, actor=seed.BY, now=now):
        pass
    deposits.announce(APP, cast.wang, 2_500_00, actor=WANG, now=now)
    deposits.announce(APP, cast.wang, 700_00, actor=WANG, now=now - timedelta(days=20))


def _early(bank: AccountNumber, account: AccountNumber, now: datetime) -> None:
    """The bank's word of today: one payment that no statement has yet."""
    with transaction.atomic(using=APP), connections[APP].cursor() as cursor:
        cursor.execute(
            "insert into custody_statement_file (bank_account_id, name, format, source, encoding, bytes, sha256,"
            " statements, entries, imported_at, imported_by)"
            " values (%s, 'today', 'camt.052', 'custodian', 'utf-8', 1, %s, 1, 1, %s, 'x') returning id",
            [bank, b"early", now],
        )
        file = cursor.fetchone()[0]
        cursor.execute(
            'insert into custody_statement (file_id, bank_account_id, "index", line, source, kind, account,'
            " currency, identification, to_date, entries, digest) values"
            " (%s, %s, 1, 1, 'custodian', 'interim', '6228480402564890018', 'CNY', 'x', %s, 1, %s) returning id",
            [file, bank, now.date(), b"early"],
        )
        cursor.execute(
            "insert into custody_statement_line (statement_id, number, line, amount_minor, booking_date,"
            ' value_date, "references", remittance, counterparty_name, counterparty_account, code, reversal,'
            " settlement, details) values (%s, 1, 1, 30000, %s, %s, %s, %s, '', '', '', false, '', '[]')",
            [
                cursor.fetchone()[0],
                now.date(),
                now.date(),
                json.dumps(["EARLY1"]),
                pay_references.reference(account, "CNY"),
            ],
        )


def _holders(
    cast: seed.Cast, joint: AccountNumber, asleep: AccountNumber, dead: AccountNumber, now: datetime
) -> None:
    both = (Party("C-1", Capacity.HOLDER), Party("C-2", Capacity.HOLDER))
    proposed = holders.propose(
        APP, joint, HoldingRule.ALL, both, document="结婚证 J-1", reason="夫妻联名", actor=OPERATIONS, now=now
    )
    holders.approve(APP, proposed, actor=APPROVER, now=now)
    order = Terms(
        debit_account=joint,
        kind=AuthorisationKind.ORDER,
        credit_account=cast.bank,
        payee="示例银行 …0018",
        code=Code.WITHDRAWAL,
        amount_minor=250_00,
        valid_from=now,
        valid_until=now + timedelta(days=1),
        basis="payout",
    )
    instructions.consent(APP, order, actor=LI, now=now)
    conditions.set_dormancy(APP, seed.BOOK, days=20_000, notice_days=30, actor=seed.BY, now=now)
    with transaction.atomic(using=APP):
        found = accounts.account(APP, asleep)
        conditions._become(
            APP, found, Condition.DORMANT, reason="nothing done by its holder", actor=seed.BY, now=now
        )
    proposed = conditions.propose(
        APP,
        dead,
        Condition.DECEASED,
        reason="家属报告",
        document="死亡证明 2026-7",
        actor=OPERATIONS,
        now=now,
    )
    conditions.approve(APP, proposed, actor=APPROVER, now=now)
    conditions.propose(
        APP,
        dead,
        Condition.ESTATE,
        reason="继承公证",
        document="公证书 2026-8",
        representative="C-2",
        actor=OPERATIONS,
        now=now,
    )


def _payout(
    bank: AccountNumber, account: AccountNumber, who: Actor, owner: str, now: datetime
) -> tuple[int, int]:
    before = now - timedelta(days=3)
    new = terms.NewTerms(
        bank_account=bank,
        release_above_minor=1_00,
        daily_above_minor=1_00,
        cool_off_hours=24,
        cut_off=dt.time(15, 0),
        calendar=Calendar.WEEKENDS,
        debtor_name="Example client money",
        debtor_account="6228480402564890018",
        debtor_bic="ICBKCNBJXXX",
    )
    terms.approve(APP, terms.propose(APP, new, actor=OPERATIONS, now=before), actor=APPROVER, now=before)
    card = bank_accounts.add(
        APP,
        seed.BOOK,
        owner,
        bank_accounts.Details(
            holder_name="王芳",
            bank_name="工商银行北京分行",
            number="6222021234567890123",
            cnaps="102100099996",
        ),
        actor=who,
        now=before,
    )
    bank_accounts.verify(APP, card.id, how="四要素 four elements", actor=OPERATIONS, now=before)
    notices.acknowledge(APP, seed.BOOK, owner, 0, language="zh-hans", actor=who, now=before)
    asked = orders.ask(APP, account, card.id, 120_00, request_key="seed-1", actor=who, now=now)
    return card.id, asked.id


def _others_payout(bank: AccountNumber, now: datetime) -> int:
    """A payout of somebody else, for customers to be kept from."""
    before = now - timedelta(days=3)
    other = accounts.open_account(
        APP,
        seed.BOOK,
        Family.CLIENT,
        "CNY",
        owner="C-3",
        name="赵敏 可用资金",
        reference="C-3/main",
        actor=seed.BY,
        now=before,
    )
    zhao = Actor("usr_905", "赵敏", frozenset({Role.CUSTOMER}), customer_number="C-3")
    ledger.post(
        APP,
        seed.BOOK,
        [
            TransferRequest(
                id=seed.transfer_id("side-zhao"),
                debit_account=numbers.account_text(bank),
                credit_account=numbers.account_text(other),
                amount_minor=500_00,
                code="top_up",
                reference="SIDEZHAO",
            )
        ],
        actor=seed.BY,
        now=now,
    )
    card = bank_accounts.add(
        APP,
        seed.BOOK,
        "C-3",
        bank_accounts.Details(
            holder_name="赵敏", bank_name="建设银行", number="6217001234567890456", cnaps="105100000017"
        ),
        actor=zhao,
        now=before,
    )
    bank_accounts.verify(APP, card.id, how="四要素", actor=OPERATIONS, now=before)
    notices.acknowledge(APP, seed.BOOK, "C-3", 0, language="en", actor=zhao, now=before)
    return orders.ask(APP, other, card.id, 20_00, request_key="seed-2", actor=zhao, now=now).id

"""One loan, told as a table in Chinese and in English: who asked for what, the answer, and what each then has.

Every row is a request to the real ledger, through the domain's own functions; the answers are its own, in the
language of the reader. The table is the test: a regulator can read it without knowing any code.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import translation

from tallystick.core.db import APP
from tallystick.custody import accounts, books, history, instructions, ledger, numbers, posting
from tallystick.custody.codes import Code
from tallystick.custody.models import AccountStatus
from tallystick.custody.numbers import AccountNumber, AuthorisationKind, AuthorisationNumber, BookId, Family
from tallystick.custody.transfers import TransferRequest
from tallystick.identity.access import Actor
from tallystick.identity.roles import Role

BOOK = BookId(1)
START = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)

SIMULATION = Actor.system("simulation")
OPERATIONS = Actor("usr_1", "Operations", frozenset({Role.PLATFORM_OPERATIONS}))
APPROVER = Actor("usr_2", "Approver", frozenset({Role.PLATFORM_APPROVER}))
WANG = Actor("usr_3", "王芳", frozenset({Role.CUSTOMER}), customer_number="20000001")
LI = Actor("usr_4", "李强", frozenset({Role.CUSTOMER}), customer_number="20000002")

WORDS = {
    "en": {
        "step": "What is asked",
        "amount": "Amount",
        "answer": "Answer",
        "wang": "Wang Fang",
        "li": "Li Qiang",
        "platform": "Platform",
        "bank": "Bank",
        "posted": "posted",
        "held": "held",
        "before": "posted before",
    },
    "zh-hans": {
        "step": "请求",
        "amount": "金额",
        "answer": "答复",
        "wang": "王芳",
        "li": "李强",
        "platform": "平台",
        "bank": "银行",
        "posted": "已入账",
        "held": "已冻结",
        "before": "此前已入账",
    },
}

STEPS = {
    "paid_in": ("Wang Fang pays in", "王芳充值"),
    "held": ("Wang Fang bids for the loan", "王芳投标"),
    "spent_twice": ("She withdraws what is held", "王芳提现已冻结的钱"),
    "lent": ("The loan is complete", "满标放款"),
    "fee_unowed": ("Platform helps itself to a fee", "平台自行收费"),
    "fee": ("Platform takes the fee it was granted", "平台按约收费"),
    "stolen": ("A thief redirects the payout", "盗用者改换收款卡"),
    "raised": ("A clerk adds a zero", "职员多写一个零"),
    "paid_out": ("Li Qiang is paid out", "李强提现"),
    "paid_out_again": ("The channel sends it again", "渠道重复发送"),
    "paid_out_twice": ("Somebody pays the order twice", "有人重复使用指令"),
    "own_to_client": ("Platform fills a gap itself", "平台以自有资金垫付"),
    "frozen": ("Withdrawal from a frozen account", "从冻结账户提现"),
    "fee_back": ("The fee is taken back", "冲回费用"),
}


@dataclass
class Story:
    """The cast's accounts, and the table so far."""

    wang: AccountNumber
    li: AccountNumber
    platform: AccountNumber
    bank: AccountNumber
    language: str
    now: datetime = START + timedelta(hours=1)
    rows: list[tuple[str, ...]] = field(default_factory=list)
    asked: int = 0

    def ask(self, step: str, actor: Actor, *, id_: str = "", **fields: Any) -> str:
        """Ask the ledger, and write the answer and everybody's balance into the table. Returns the id."""
        self.asked += 1
        self.now += timedelta(minutes=1)
        request = TransferRequest(id=id_ or str(UUID(int=(7 << 76) | (2 << 62) | self.asked)), **fields)
        results = ledger.post(APP, BOOK, [request], actor=actor, now=self.now)
        refusal = results.refusal_of(0)
        words = WORDS[self.language]
        with translation.override(self.language):
            answer = (
                refusal().message if refusal else words["held" if request.kind == "pending" else "posted"]
            )
            if results.replayed[0]:
                answer = words["before"]
        balances = [
            yuan(history.balance(APP, account).balance_minor)
            for account in (self.wang, self.li, self.platform, self.bank)
        ]
        said = STEPS[step][self.language != "en"]
        amount = request.amount_minor or int(results.amount[0])
        self.rows.append((said, yuan(amount), *balances, answer))
        return request.id

    def word(
        self, actor: Actor, debit: AccountNumber, credit: AccountNumber, code: Code, minor: int, **more: Any
    ) -> str:
        """What a client agrees to, in their own session."""
        self.now += timedelta(minutes=1)
        number: AuthorisationNumber = instructions.authorise(
            APP,
            debit,
            kind=more.pop("kind", AuthorisationKind.ORDER),
            credit_account=credit,
            code=code,
            amount_minor=minor,
            valid_from=self.now,
            valid_until=self.now + timedelta(days=30),
            basis="loan L1",
            actor=actor,
            now=self.now,
            **more,
        )
        return numbers.authorisation_text(number)

    def table(self) -> str:
        words = WORDS[self.language]
        head = tuple(words[name] for name in ("step", "amount", "wang", "li", "platform", "bank", "answer"))
        rows = [head, *self.rows]
        widths = [max(width(row[column]) for row in rows) for column in range(len(head))]
        return "\n".join(
            " | ".join(
                cell + " " * (wide - width(cell)) if column in (0, 6) else " " * (wide - width(cell)) + cell
                for column, (cell, wide) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )


def yuan(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02d}"


def width(text: str) -> int:
    """How many columns a text takes: two for a Chinese character."""
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


@pytest.fixture(params=["en", "zh-hans"])
def story(request: pytest.FixtureRequest, ledger_database: Any) -> Iterator[Story]:
    books.open_book(APP, BOOK, "青禾 Qinghe", actor=SIMULATION, now=START)

    def account(family: Family, name: str, owner: str = "") -> AccountNumber:
        return accounts.open_account(
            APP, BOOK, family, "CNY", owner=owner, name=name, reference=name, actor=SIMULATION, now=START
        )

    yield Story(
        wang=account(Family.CLIENT, "wang", "20000001"),
        li=account(Family.CLIENT, "li", "20000002"),
        platform=account(Family.OWN, "platform"),
        bank=account(Family.EXTERNAL, "bank"),
        language=request.param,
    )
    posting.in_process().close()


TABLES = {
    "en": """\
What is asked                         |  Amount | Wang Fang | Li Qiang | Platform |    Bank | Answer
Wang Fang pays in                     | 1000.00 |   1000.00 |     0.00 |     0.00 | 1000.00 | posted
Wang Fang bids for the loan           |  600.00 |   1000.00 |     0.00 |     0.00 | 1000.00 | held
She withdraws what is held            |  500.00 |   1000.00 |     0.00 |     0.00 | 1000.00 | The balance available, without what is held for pending transfers, is less than the amount.
The loan is complete                  |  600.00 |    400.00 |   600.00 |     0.00 | 1000.00 | posted
Platform helps itself to a fee        |    6.00 |    400.00 |   600.00 |     0.00 | 1000.00 | Client money and own money do not mix: only a fee on an entitlement crosses from client to own.
Platform takes the fee it was granted |    6.00 |    400.00 |   594.00 |     6.00 | 1000.00 | posted
A thief redirects the payout          |   50.00 |    400.00 |   594.00 |     6.00 | 1000.00 | The authorisation names another payee.
A clerk adds a zero                   |  500.00 |    400.00 |   594.00 |     6.00 | 1000.00 | The authorisation is for another amount.
Li Qiang is paid out                  |   50.00 |    400.00 |   544.00 |     6.00 |  950.00 | posted
The channel sends it again            |   50.00 |    400.00 |   544.00 |     6.00 |  950.00 | posted before
Somebody pays the order twice         |   50.00 |    400.00 |   544.00 |     6.00 |  950.00 | The authorisation has been used as often, or for as much, as it allows.
Platform fills a gap itself           |    6.00 |    400.00 |   544.00 |     6.00 |  950.00 | Client money and own money do not mix: only a fee on an entitlement crosses from client to own.
Withdrawal from a frozen account      |  100.00 |    400.00 |   544.00 |     6.00 |  950.00 | The debited account is frozen for debits.
The fee is taken back                 |    6.00 |    400.00 |   550.00 |     0.00 |  950.00 | posted
""",  # noqa: E501 -- a table is as wide as its answers
    "zh-hans": """\
请求               |    金额 |    王芳 |   李强 | 平台 |    银行 | 答复
王芳充值           | 1000.00 | 1000.00 |   0.00 | 0.00 | 1000.00 | 已入账
王芳投标           |  600.00 | 1000.00 |   0.00 | 0.00 | 1000.00 | 已冻结
王芳提现已冻结的钱 |  500.00 | 1000.00 |   0.00 | 0.00 | 1000.00 | 扣除待定转账冻结后的可用余额不足。
满标放款           |  600.00 |  400.00 | 600.00 | 0.00 | 1000.00 | 已入账
平台自行收费       |    6.00 |  400.00 | 600.00 | 0.00 | 1000.00 | 客户资金与自有资金不得混同：只有依据应收权利收取的费用可由客户账户转入自有账户。
平台按约收费       |    6.00 |  400.00 | 594.00 | 6.00 | 1000.00 | 已入账
盗用者改换收款卡   |   50.00 |  400.00 | 594.00 | 6.00 | 1000.00 | 该授权的收款人不同。
职员多写一个零     |  500.00 |  400.00 | 594.00 | 6.00 | 1000.00 | 该授权的金额不同。
李强提现           |   50.00 |  400.00 | 544.00 | 6.00 |  950.00 | 已入账
渠道重复发送       |   50.00 |  400.00 | 544.00 | 6.00 |  950.00 | 此前已入账
有人重复使用指令   |   50.00 |  400.00 | 544.00 | 6.00 |  950.00 | 该授权的使用次数或金额已达上限。
平台以自有资金垫付 |    6.00 |  400.00 | 544.00 | 6.00 |  950.00 | 客户资金与自有资金不得混同：只有依据应收权利收取的费用可由客户账户转入自有账户。
从冻结账户提现     |  100.00 |  400.00 | 544.00 | 6.00 |  950.00 | 借记账户已冻结借记。
冲回费用           |    6.00 |  400.00 | 550.00 | 0.00 |  950.00 | 已入账
""",  # noqa: E501 -- a table is as wide as its answers
}


def test_the_story_of_one_loan(story: Story) -> None:
    """Money moves on the client's word alone, to the fen, once; the platform's own money stays apart."""
    wang, li, platform, bank = map(numbers.account_text, (story.wang, story.li, story.platform, story.bank))
    story.ask(
        "paid_in", OPERATIONS, debit_account=bank, credit_account=wang, amount_minor=100_000, code="top_up"
    )

    bid = story.word(WANG, story.wang, story.li, Code.LEND, 60_000)
    lend = {"debit_account": wang, "credit_account": li, "amount_minor": 60_000, "code": "lend"}
    held = story.ask("held", OPERATIONS, kind="pending", authorisation=bid, **lend)
    order = story.word(WANG, story.wang, story.bank, Code.WITHDRAWAL, 50_000, payee="王芳 6200")
    out = {"debit_account": wang, "credit_account": bank, "code": "withdrawal", "payee": "王芳 6200"}
    story.ask("spent_twice", OPERATIONS, amount_minor=50_000, authorisation=order, **out)
    story.ask("lent", OPERATIONS, kind="post_pending", pending_id=held)

    fee = {"debit_account": li, "credit_account": platform, "amount_minor": 600, "code": "fee"}
    story.ask("fee_unowed", OPERATIONS, **fee)
    right = story.word(LI, story.li, story.platform, Code.FEE, 600, kind=AuthorisationKind.ENTITLEMENT)
    charged = story.ask("fee", OPERATIONS, authorisation=right, **fee)

    order = story.word(LI, story.li, story.bank, Code.WITHDRAWAL, 5_000, payee="李强 6201")
    out = {"debit_account": li, "credit_account": bank, "code": "withdrawal", "authorisation": order}
    story.ask("stolen", OPERATIONS, amount_minor=5_000, payee="某人 6299", **out)
    story.ask("raised", OPERATIONS, amount_minor=50_000, payee="李强 6201", **out)
    paid = story.ask("paid_out", OPERATIONS, amount_minor=5_000, payee="李强 6201", **out)
    story.ask("paid_out_again", OPERATIONS, id_=paid, amount_minor=5_000, payee="李强 6201", **out)
    story.ask("paid_out_twice", OPERATIONS, amount_minor=5_000, payee="李强 6201", **out)

    back = {"debit_account": platform, "credit_account": li, "amount_minor": 600}
    story.ask("own_to_client", OPERATIONS, code="compensation", **back)
    order = story.word(WANG, story.wang, story.bank, Code.WITHDRAWAL, 10_000, payee="王芳 6200")
    accounts.change_state(
        APP, story.wang, AccountStatus.DEBITS_FROZEN, "court order", actor=APPROVER, now=story.now
    )
    story.ask(
        "frozen",
        OPERATIONS,
        debit_account=wang,
        credit_account=bank,
        amount_minor=10_000,
        code="withdrawal",
        authorisation=order,
        payee="王芳 6200",
    )
    both = Actor("usr_5", "Supervisor", frozenset({Role.SYSTEM_SIMULATION}))
    story.ask("fee_back", both, code="fee", reverses_id=charged, reason="charged in error", **back)

    assert story.table() == TABLES[story.language].rstrip("\n")

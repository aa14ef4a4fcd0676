"""The fixed cast of custody's tests: one book, its accounts, and who acts.

王芳 (Wang Fang) and 李强 (Li Qiang) are clients, the platform takes fees, the bank holds the money.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tallystick.core.db import Db
from tallystick.custody import accounts, books, holders, instructions, ledger
from tallystick.custody.codes import Code
from tallystick.custody.holder_models import Capacity, HoldingRule
from tallystick.custody.models import AmountRule
from tallystick.custody.numbers import (
    AccountNumber,
    AuthorisationKind,
    AuthorisationNumber,
    BookId,
    Family,
    account_text,
    authorisation_text,
)
from tallystick.custody.transfers import TransferRequest
from tallystick.identity.access import Actor
from tallystick.identity.roles import Role

DB = Db("default")
BOOK = BookId(1)
OPENED = datetime(2026, 3, 1, 1, 0, tzinfo=UTC)
NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
LATER = NOW + timedelta(days=300)

SIMULATION = Actor.system("simulation")
OPERATIONS = Actor("usr_1", "Operations", frozenset({Role.PLATFORM_OPERATIONS}))
APPROVER = Actor("usr_2", "Approver", frozenset({Role.PLATFORM_APPROVER}))
WANG_FANG = Actor("usr_3", "王芳", frozenset({Role.CUSTOMER}), customer_number="C-WANG")
LI_QIANG = Actor("usr_4", "李强", frozenset({Role.CUSTOMER}), customer_number="C-LI")
AUDITOR = Actor("usr_5", "Auditor", frozenset({Role.AUDITOR}))


@dataclass(frozen=True)
class Cast:
    """The accounts of the cast, in yuan."""

    bank: AccountNumber
    wang: AccountNumber
    li: AccountNumber
    platform: AccountNumber
    suspense: AccountNumber


def opened() -> Cast:
    """Book 1 with the cast's accounts."""
    books.open_book(DB, BOOK, "First platform", "Asia/Shanghai", actor=SIMULATION, now=OPENED)

    def account(family: Family, name: str, owner: str = "") -> AccountNumber:
        return accounts.open_account(
            DB, BOOK, family, "CNY", owner=owner, name=name, reference=name, actor=SIMULATION, now=OPENED
        )

    return Cast(
        bank=account(Family.EXTERNAL, "Custodian bank"),
        wang=account(Family.CLIENT, "王芳", "C-WANG"),
        li=account(Family.CLIENT, "李强", "C-LI"),
        platform=account(Family.OWN, "Platform fees"),
        suspense=account(Family.SUSPENSE, "Unidentified"),
    )


def an_id(n: int) -> str:
    """The n-th transfer id of a test."""
    return f"trf_00000000-0000-7000-8000-{n:012x}"


def ask(
    n: int, debit: int, credit: int, amount_minor: int, code: str = "top_up", **more: object
) -> TransferRequest:
    """A posted transfer with the n-th id."""
    if isinstance(authorisation := more.get("authorisation"), int):
        more["authorisation"] = authorisation_text(authorisation)
    return TransferRequest(
        id=an_id(n),
        debit_account=account_text(debit),
        credit_account=account_text(credit),
        amount_minor=amount_minor,
        code=code,
        **more,  # type: ignore[arg-type]
    )


def post(requests: Sequence[TransferRequest], now: datetime = NOW) -> list[int]:
    """Post all of these, none refused; their positions."""
    results = ledger.post(DB, BOOK, requests, actor=SIMULATION, now=now)
    refused = {i: results.refusal_of(i) for i in range(len(requests)) if results.refusal_of(i)}
    assert not refused, refused
    return [int(position) for position in results.position]


def authorised(
    debit: AccountNumber, credit: AccountNumber, amount_minor: int, **more: object
) -> AuthorisationNumber:
    """An order by the client to pay this much once."""
    terms: dict[str, object] = {
        "kind": AuthorisationKind.ORDER,
        "code": Code.LEND,
        "amount_rule": AmountRule.EXACT,
        "valid_from": OPENED,
        "valid_until": LATER,
        "basis": "order 1",
        "actor": SIMULATION,
        "now": OPENED,
        **more,
    }
    return instructions.authorise(
        DB,
        debit,
        credit_account=credit,
        amount_minor=amount_minor,
        **terms,  # type: ignore[arg-type]
    )


def held_by(account: AccountNumber, *customers: str, now: datetime = NOW) -> None:
    """From now on these customers hold the account, each by themselves."""
    parties = [holders.Party(each, Capacity.HOLDER) for each in customers]
    proposed = holders.propose(
        DB, account, HoldingRule.ANY, parties, document="Deed 1", reason="agreed", actor=OPERATIONS, now=now
    )
    holders.approve(DB, proposed, actor=APPROVER, now=now)

"""A house with one book, a few clients, and somebody of every role who holds an API token.

Wang Fang (C-1) and Li Qiang (C-2) are clients; each has an account with money on it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connections
from django.test import Client

from tallystick.core.db import APP
from tallystick.custody import accounts, books, instructions, numbers, posting
from tallystick.custody.codes import Code
from tallystick.custody.numbers import AccountNumber, AuthorisationKind, Family
from tallystick.identity import api_tokens, users
from tallystick.identity.access import Actor
from tallystick.identity.models import User
from tallystick.identity.roles import GRANTABLE, Role

NOW = datetime.now(UTC) - timedelta(days=1)
TRAIL = ("identity.access_denied", "identity.personal_data_read", "identity.act_without_effect")
CLI, SIMULATION = Actor.system("cli"), Actor.system("simulation")


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Any
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.content.splitlines()]

    @property
    def code(self) -> str:
        """The problem's code; and that it is a whole problem."""
        assert self.headers["Content-Type"] == "application/problem+json", self.content
        told = self.json
        assert told["status"] == self.status
        assert told["title"]
        assert told["detail"]
        assert told["instance"]
        prefix, _, code = told["type"].rpartition(":")
        assert prefix == "urn:tallystick:problem"
        return code


@dataclass
class Caller:
    """A program that speaks for somebody."""

    token: str | None
    client: Client = field(default_factory=lambda: Client(SERVER_NAME="localhost"))
    headers: dict[str, str] = field(default_factory=lambda: {"Accept-Language": "en"})

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        media: str = "application/json",
        **headers: str,
    ) -> Answer:
        sent = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if self.token is not None and "Authorization" not in sent:
            sent["Authorization"] = f"Bearer {self.token}"
        response = self.client.generic(
            method,
            path if path.startswith("/") else f"/api/v1/{path}",
            b"" if body is None else body,
            content_type=media if body is not None else "",
            secure=True,
            headers=sent,
        )
        return Answer(response.status_code, response.headers, response.content)

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: object, **headers: str) -> Answer:
        return self.ask("POST", path, json.dumps(body).encode(), **headers)

    def post_lines(self, path: str, rows: list[object], **headers: str) -> Answer:
        body = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        return self.ask("POST", path, body, "application/x-ndjson", **headers)


@dataclass
class House:
    """The book, its accounts, and who may ask."""

    callers: dict[Role, Caller]
    li: Caller
    nobody: Caller
    people: dict[Role, User]
    bank: str
    wang_account: str
    li_account: str
    fees: str
    suspense: str
    wang_order: str
    li_order: str
    book: int = 1
    made: int = 0

    def new_id(self) -> str:
        """An id that no transfer has had."""
        self.made += 1
        return f"trf_{UUID(int=(0x0193 << 112) | (7 << 76) | (2 << 62) | self.made)}"

    def top_up(self, **changes: object) -> dict[str, object]:
        """A transfer that is accepted: money from the bank to Wang Fang."""
        told: dict[str, object] = {
            "id": self.new_id(),
            "code": "top_up",
            "debit_account": self.bank,
            "credit_account": self.wang_account,
            "amount_minor": 100,
        }
        told.update(changes)
        return {name: value for name, value in told.items() if value is not ...}

    @property
    def operations(self) -> Caller:
        return self.callers[Role.PLATFORM_OPERATIONS]

    @property
    def wang(self) -> Caller:
        return self.callers[Role.CUSTOMER]

    def rows(self) -> dict[str, int]:
        """How many rows every table of the ledger and of the evidence has, but for the trail of who asked."""
        with connections[APP].cursor() as cursor:
            cursor.execute(
                "select table_name from information_schema.tables where table_schema = 'public'"
                " and (table_name like 'custody%' or table_name like 'identity%' or table_name = 'evidence_outbox')"
                " and table_name <> 'identity_cache' order by 1"
            )
            names = [name for (name,) in cursor.fetchall()]
            counted = {}
            for name in names:
                where = f" where kind not in {TRAIL}" if name == "evidence_outbox" else ""
                cursor.execute(f"select count(*) from {name}{where}")
                counted[name] = cursor.fetchone()[0]
        return counted


def person(name: str, role: Role, customer_number: str | None = None) -> User:
    user = users.create(APP, name, name=name, customer_number=customer_number, actor=CLI, now=NOW)
    users.grant(APP, user.pk, role, reason="A test.", actor=CLI, now=NOW)
    return user


def caller_of(user: User) -> Caller:
    # Issued on the machine's own clock: the door looks at it.
    return Caller(api_tokens.issue(APP, user.pk, "tests", actor=CLI, now=NOW))


def order(debited: AccountNumber, credited: AccountNumber) -> str:
    """A client's word that they may be debited often, for anything up to a million."""
    number = instructions.authorise(
        APP,
        debited,
        kind=AuthorisationKind.ORDER,
        credit_account=credited,
        code=Code.WITHDRAWAL,
        amount_rule=instructions.AmountRule.AT_MOST,
        amount_minor=1_000_000,
        uses_max=10_000,
        valid_from=NOW,
        valid_until=NOW + timedelta(days=300),
        basis=f"standing order {debited}",
        actor=SIMULATION,
        now=NOW,
    )
    return numbers.authorisation_text(number)


@pytest.fixture(scope="module")
def house(ledger_database_module: object) -> Iterator[House]:
    people = {
        role: person(str(role).replace("_", "-"), role, "C-1" if role == Role.CUSTOMER else None)
        for role in sorted(GRANTABLE)
    }
    li = person("li", Role.CUSTOMER, "C-2")
    books.open_book(APP, 1, "一号平台", actor=SIMULATION, now=NOW)

    def opened(family: Family, reference: str, owner: str = "") -> AccountNumber:
        return accounts.open_account(
            APP, 1, family, "CNY", owner=owner, name=reference, reference=reference, actor=SIMULATION, now=NOW
        )

    bank, fees = opened(Family.EXTERNAL, "bank"), opened(Family.OWN, "fees")
    suspense = opened(Family.SUSPENSE, "suspense")
    wang, li_account = opened(Family.CLIENT, "wang", "C-1"), opened(Family.CLIENT, "li", "C-2")
    made = House(
        callers={role: caller_of(user) for role, user in people.items()},
        li=caller_of(li),
        nobody=Caller(None),
        people=people,
        bank=numbers.account_text(bank),
        wang_account=numbers.account_text(wang),
        li_account=numbers.account_text(li_account),
        fees=numbers.account_text(fees),
        suspense=numbers.account_text(suspense),
        wang_order=order(wang, bank),
        li_order=order(li_account, bank),
    )
    first = made.operations.post(
        "books/1/transfers",
        [
            made.top_up(amount_minor=10_000_000),
            made.top_up(amount_minor=5_000_000, credit_account=made.li_account),
        ],
    )
    assert first.status == 200, first.content
    assert first.json["accepted"] == 2, first.content
    yield made
    posting.close()

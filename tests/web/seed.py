"""A small platform for the pages: a fixed cast, thirty days, every kind of transfer and some refusals."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import NAMESPACE_DNS, uuid5

from tallystick.core.db import APP
from tallystick.custody import (
    accounts,
    books,
    history,
    instructions,
    ledger,
    numbers,
    reconciliation,
    statement_files,
)
from tallystick.custody.codes import Code
from tallystick.custody.models import AccountStatus, AmountRule
from tallystick.custody.numbers import AccountNumber, AuthorisationKind, AuthorisationNumber, BookId, Family
from tallystick.custody.transfers import TransferRequest
from tallystick.identity.access import Actor

BOOK = BookId(1)
BY = Actor.system("simulation")
OPENED = datetime(2026, 2, 1, 0, 0, tzinfo=UTC)
DAYS = 30


@dataclass(frozen=True)
class Cast:
    """Who is who."""

    bank: AccountNumber
    fees: AccountNumber
    suspense: AccountNumber
    wang: AccountNumber
    wang_second: AccountNumber
    li: AccountNumber
    withdrawal: AuthorisationNumber
    fee: AuthorisationNumber
    last_id: str


def transfer_id(name: str) -> str:
    """The id of a transfer by its name, the same in every run."""
    return f"trf_{uuid5(NAMESPACE_DNS, name)}"


def platform(*, start: datetime = OPENED) -> Cast:
    """Open a book with its accounts and post thirty days of it."""
    books.open_book(APP, BOOK, "演示存管账簿 Demo custody", actor=BY, now=start)

    def account(family: Family, name: str, reference: str, owner: str = "") -> AccountNumber:
        return accounts.open_account(
            APP, BOOK, family, "CNY", owner=owner, name=name, reference=reference, actor=BY, now=start
        )

    bank = account(Family.EXTERNAL, "存管银行备付金 Custodian bank", "CN-BANK-0001")
    fees = account(Family.OWN, "平台服务费 Platform fees", "FEES")
    suspense = account(Family.SUSPENSE, "待查款项 Unidentified receipts", "SUSPENSE")
    wang = account(Family.CLIENT, "王芳 可用资金", "C-1/main", owner="C-1")
    wang_second = account(Family.CLIENT, "王芳 出借中", "C-1/lent", owner="C-1")
    li = account(Family.CLIENT, "李强 可用资金", "C-2/main", owner="C-2")

    def authorise(
        account: AccountNumber, to: AccountNumber, kind: AuthorisationKind, code: Code, payee: str = ""
    ) -> AuthorisationNumber:
        return instructions.authorise(
            APP,
            account,
            kind=kind,
            credit_account=to,
            payee=payee,
            code=code,
            amount_rule=AmountRule.AT_MOST,
            amount_minor=50_000_00,
            total_max_minor=900_000_00,
            uses_max=100,
            valid_from=start,
            valid_until=start + timedelta(days=3650),
            basis=f"合同 Contract 2026-{code.text}",
            actor=BY,
            now=start,
        )

    withdrawal = authorise(wang, bank, AuthorisationKind.ORDER, Code.WITHDRAWAL, "6222 **** 0001")
    fee = authorise(wang, fees, AuthorisationKind.ENTITLEMENT, Code.FEE)
    lend = authorise(wang, wang_second, AuthorisationKind.ORDER, Code.LEND)
    text, ath = numbers.account_text, numbers.authorisation_text

    last_id = ""
    for day in range(DAYS):
        requests = [
            TransferRequest(
                id=transfer_id(f"top-up-{day}-{who}"),
                debit_account=text(bank),
                credit_account=text(who),
                amount_minor=1_000_00 + day * 1_37 + who % 7,
                code="top_up",
                reference=f"BK{day:04d}{who % 1000}",
            )
            for who in (wang, li)
        ]
        requests.append(
            TransferRequest(
                id=transfer_id(f"lend-{day}"),
                debit_account=text(wang),
                credit_account=text(wang_second),
                amount_minor=200_00,
                code="lend",
                authorisation=ath(lend),
            )
        )
        if day % 3 == 0:
            requests.append(
                TransferRequest(
                    id=transfer_id(f"out-{day}"),
                    kind="pending",
                    debit_account=text(wang),
                    credit_account=text(bank),
                    amount_minor=100_00 + day,
                    code="withdrawal",
                    authorisation=ath(withdrawal),
                    payee="6222 **** 0001",
                )
            )
            if day < 27:
                requests.append(
                    TransferRequest(
                        id=transfer_id(f"settle-{day}"),
                        kind="post_pending" if day % 2 else "void_pending",
                        pending_id=transfer_id(f"out-{day}"),
                    )
                )
        if day % 5 == 0:
            requests.append(
                TransferRequest(
                    id=transfer_id(f"fee-{day}"),
                    debit_account=text(wang),
                    credit_account=text(fees),
                    amount_minor=5_00,
                    code="fee",
                    authorisation=ath(fee),
                )
            )
            # Refused: more than there is, and client money to the platform's own.
            requests.append(
                TransferRequest(
                    id=transfer_id(f"too-much-{day}"),
                    debit_account=text(wang),
                    credit_account=text(bank),
                    amount_minor=49_999_00,
                    code="withdrawal",
                    authorisation=ath(withdrawal),
                    payee="6222 **** 0001",
                )
            )
            requests.append(
                TransferRequest(
                    id=transfer_id(f"grab-{day}"),
                    debit_account=text(li),
                    credit_account=text(fees),
                    amount_minor=1_00,
                    code="fee",
                )
            )
        ledger.post(APP, BOOK, requests, actor=BY, now=start + timedelta(days=day, hours=2))
        last_id = requests[0].id
    frozen_at = start + timedelta(days=DAYS)
    accounts.change_state(
        APP, li, AccountStatus.DEBITS_FROZEN, "法院冻结 Court order 2026-17", actor=BY, now=frozen_at
    )
    return Cast(bank, fees, suspense, wang, wang_second, li, withdrawal, fee, last_id)


def statement(bank: AccountNumber, *, start: datetime = OPENED) -> bytes:
    """The bank's own statement of the thirty days, as MT940, with one break of several kinds planted.

    Left out: the last payment in. Twice: the first one. Another amount: the second one. Not in the ledger:
    money from somebody unknown.
    """
    lines = [line for line in history.account_lines(APP, bank) if line.amount_minor]
    booked = [
        (line.value_date, line.amount_minor, line.reference or f"P{line.position}") for line in lines[:-1]
    ]
    booked.append(booked[0])
    day, amount, reference = booked[1]
    booked[1] = (day, amount + 90, reference)
    booked.append((booked[-2][0], 77_00, "NOBODY-KNOWS"))
    booked.sort(key=lambda each: each[0])
    last_day = booked[-1][0]
    closing = sum(amount for _, amount, _ in booked)
    text = [
        ":20:DEMO0001",
        ":25:CN-BANK-0001",
        ":28C:1/1",
        f":60F:C{booked[0][0]:%y%m%d}CNY0,00",
        *(
            f":61:{day:%y%m%d}{day:%m%d}{'C' if amount > 0 else 'D'}{abs(amount) // 100},{abs(amount) % 100:02d}"
            f"NTRF{reference}\n:86:{reference}"
            for day, amount, reference in booked
        ),
        f":62F:C{last_day:%y%m%d}CNY{closing // 100},{closing % 100:02d}",
        "-",
    ]
    return "\r\n".join("\n".join(text).split("\n")).encode()


def reconciled(cast: Cast, *, start: datetime = OPENED) -> reconciliation.Reconciled:
    """Import that statement and compare it with the ledger."""
    now = start + timedelta(days=DAYS + 1)
    statement_files.import_bytes(
        APP, "2026-02.sta", statement(cast.bank, start=start), bank_account=cast.bank, actor=BY, now=now
    )
    return reconciliation.reconcile(APP, BOOK, cast.bank, actor=BY, now=now)


def second_bank(*, start: datetime = OPENED) -> AccountNumber:
    """Another bank's control account, with nothing on it."""
    return accounts.open_account(
        APP,
        BOOK,
        Family.EXTERNAL,
        "CNY",
        name="支付机构 Payment firm",
        reference="CN-FIRM-0001",
        actor=BY,
        now=start + timedelta(days=DAYS),
    )

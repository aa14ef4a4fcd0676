"""Paying in: the bank details that customers of a book pay to, and what a payer's phone can scan.

Promises: details are what one person proposed and another approved, for a bank account of this book and
under no other number than the bank's own; the newest of a bank account hold; a code says no more and no
less than the words beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from django.db import connections, transaction

from tallystick.core import money, texts
from tallystick.core.db import Db
from tallystick.custody import accounts, errors, numbers, pay_references
from tallystick.custody.numbers import AccountNumber, BookId, Family
from tallystick.custody.statements import amounts
from tallystick.evidence import canonical, log
from tallystick.identity import access, approvals
from tallystick.identity.access import Actor
from tallystick.identity.approvals import ApprovalId

KIND = "custody.set_pay_in_details"
"""The kind of proposal: see `identity.approvals`."""

EPC_AMOUNT_MAX = 999_999_999_99
"""The largest amount an EPC code carries, in cents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What a payer needs to know, and what becomes of lines that come in there.

    Lines booked before `takes_from` are left alone. Without a suspense account, so is whatever names no
    owner: the reconciliation judges it. Not open: the page does not show it, and no line is taken.
    """

    bank_account: AccountNumber
    holder_name: str
    account_number: str
    bank_name: str
    bank_code: str = ""
    takes_from: date
    suspense_account: AccountNumber | None = None
    is_open: bool = True


@dataclass(frozen=True, slots=True)
class Held:
    """Details in force, of one bank account."""

    id: int
    book: BookId
    asset: str
    details: Details
    at: datetime
    actor: str


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────


def misfit(
    details: Details, bank: accounts.Account, suspense: accounts.Account | None
) -> tuple[str, str] | None:
    """The first thing wrong with details: the field, and what was expected of it."""
    if bank.family != Family.EXTERNAL:
        return "bank_account", "an external account: a bank's control account"
    for field, given, length_max, least in (
        ("holder_name", details.holder_name, 70, 1),
        ("account_number", details.account_number, 34, 4),
        ("bank_name", details.bank_name, 140, 1),
        ("bank_code", details.bank_code, 35, 0),
    ):
        if not texts.says(given, length_max, least):
            return field, f"{least} to {length_max} characters"
    number = _compact(details.account_number)
    if number[:2].isalpha() and not amounts.is_iban(number):
        return "account_number", "an IBAN whose check digits fit, or a number that is no IBAN"
    if amounts.is_iban(_compact(bank.reference)) and number != _compact(bank.reference):
        return "account_number", f"the number of this bank account: {bank.reference}"
    if suspense is not None and (
        suspense.family != Family.SUSPENSE or (suspense.book, suspense.asset) != (bank.book, bank.asset)
    ):
        return "suspense_account", "a suspense account of this book in this asset"
    return None


def state(details: Details, supersedes: int | None) -> canonical.Payload:
    """What is proposed and approved: the details, and which ones they take the place of."""
    suspense = details.suspense_account
    return {
        "bank_account": numbers.account_text(details.bank_account),
        "holder_name": details.holder_name,
        "account_number": details.account_number,
        "bank_name": details.bank_name,
        "bank_code": details.bank_code,
        "takes_from": details.takes_from.isoformat(),
        "suspense_account": None if suspense is None else numbers.account_text(suspense),
        "is_open": details.is_open,
        "supersedes": supersedes,
    }


def code_text(
    details: Details, account: int, currency: str, scale: int, *, amount_minor: int | None = None
) -> str:
    """What the code on the pay-in page holds.

    For euro to an IBAN, the European Payments Council's form (EPC069-12, version 002), which banks' apps fill
    a transfer from. For all else there is no common form, so the same words as the page, a line each, to be
    read and copied.
    """
    reference = pay_references.reference(account, currency)
    number = _compact(details.account_number)
    if currency == "EUR" and amounts.is_iban(number):
        is_bic = len(details.bank_code) in (8, 11) and details.bank_code.isalnum()
        known = amount_minor is not None and 1 <= amount_minor <= EPC_AMOUNT_MAX
        amount = f"EUR{money.major(amount_minor or 0, scale)}" if known else ""
        fields = [
            "BCD",
            "002",
            "1",
            "SCT",
            details.bank_code if is_bic else "",
            details.holder_name,
            number,
            amount,
            "",
            reference,
        ]
        return "\n".join(fields)
    lines = [details.holder_name, details.account_number, details.bank_name, details.bank_code, reference]
    if amount_minor is not None:
        lines.append(f"{currency} {money.major(amount_minor, scale)}")
    return "\n".join(line for line in lines if line)


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def details_of_book(db: Db, book: int, *, asset: str | None = None) -> Sequence[Held]:
    """The open details of a book's bank accounts, by bank account; of one asset, or of all."""
    return [
        held
        for held in _held(db, "a.book_id = %s", [book])
        if held.details.is_open and asset in (None, held.asset)
    ]


def of_account(db: Db, bank_account: int) -> Held | None:
    """The newest details of a bank account, open or not."""
    return next(iter(_held(db, "a.number = %s", [bank_account])), None)


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────


def propose(db: Db, details: Details, *, note: str = "", actor: Actor, now: datetime) -> ApprovalId:
    """Propose pay-in details: they hold once somebody else has approved them.

    Raises `errors.AccountUnknown` or `Malformed`, and what `approvals.propose` does.
    """
    access.require(db, actor, approvals.KINDS[KIND].make)
    _judge(db, details)
    before = of_account(db, details.bank_account)
    told = state(details, before.id if before else None)
    return approvals.propose(
        db,
        KIND,
        numbers.account_text(details.bank_account),
        told,
        book=numbers.book_of(details.bank_account),
        note=note,
        actor=actor,
        now=now,
    )


def approve(db: Db, approval_id: int, *, actor: Actor, now: datetime) -> Held:
    """Approve proposed details; they hold from now on. Raises what `approvals.approve` does."""
    access.require(db, actor, approvals.KINDS[KIND].check)
    proposed = approvals.of_kind(db, approval_id, KIND)
    details = _details(proposed.state)
    with transaction.atomic(using=db):
        with connections[db].cursor() as cursor:
            # Two proposals for one bank account are decided one after another.
            cursor.execute("select pg_advisory_xact_lock(%s)", [details.bank_account])
        before = of_account(db, details.bank_account)
        _judge(db, details)
        approvals.approve(
            db, approval_id, state(details, before.id if before else None), actor=actor, now=now
        )
        with connections[db].cursor() as cursor:
            cursor.execute(
                "insert into custody_pay_in_details (book_id, bank_account_id, holder_name, account_number,"
                " bank_name, bank_code, takes_from, suspense_account_id, is_open, approval, at, actor)"
                " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    numbers.book_of(details.bank_account),
                    details.bank_account,
                    details.holder_name,
                    details.account_number,
                    details.bank_name,
                    details.bank_code,
                    details.takes_from,
                    details.suspense_account,
                    details.is_open,
                    approval_id,
                    now,
                    actor.id,
                ],
            )
        log.append(
            db,
            "custody.pay_in_details_set",
            {**proposed.state, "approval": proposed.reference},
            actor=actor.id,
            at=now,
        )
    held = of_account(db, details.bank_account)
    assert held is not None
    return held


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


def _judge(db: Db, details: Details) -> None:
    bank = accounts.account(db, details.bank_account)
    suspense = None if details.suspense_account is None else accounts.account(db, details.suspense_account)
    if wrong := misfit(details, bank, suspense):
        raise errors.Malformed(where=bank.text, field=wrong[0], expected=wrong[1])


def _details(told: Mapping[str, canonical.Value]) -> Details:
    """The details of a proposal's state: it was written by `state`."""
    suspense = told["suspense_account"]
    return Details(
        bank_account=numbers.parse_account(str(told["bank_account"])),
        holder_name=str(told["holder_name"]),
        account_number=str(told["account_number"]),
        bank_name=str(told["bank_name"]),
        bank_code=str(told["bank_code"]),
        takes_from=date.fromisoformat(str(told["takes_from"])),
        suspense_account=None if suspense is None else numbers.parse_account(str(suspense)),
        is_open=bool(told["is_open"]),
    )


def _held(db: Db, where: str, parameters: Sequence[int]) -> list[Held]:
    with connections[db].cursor() as cursor:
        cursor.execute(
            f"""
            select d.id, a.book_id, c.code, d.bank_account_id, d.holder_name, d.account_number, d.bank_name,
                d.bank_code, d.takes_from, d.suspense_account_id, d.is_open, d.at, d.actor
            from custody_account a
            join custody_asset c on c.number = a.asset_id
            cross join lateral (
                select * from custody_pay_in_details
                where bank_account_id = a.number order by id desc limit 1
            ) d
            where a.family = 3 and {where} order by a.number
            """,  # noqa: S608 -- one of two constants above
            parameters,
        )
        return [
            Held(
                row[0],
                BookId(row[1]),
                row[2],
                Details(
                    bank_account=AccountNumber(row[3]),
                    holder_name=row[4],
                    account_number=row[5],
                    bank_name=row[6],
                    bank_code=row[7],
                    takes_from=row[8],
                    suspense_account=row[9],
                    is_open=row[10],
                ),
                row[11],
                row[12],
            )
            for row in cursor.fetchall()
        ]


def _compact(number: str) -> str:
    return "".join(number.split()).upper()

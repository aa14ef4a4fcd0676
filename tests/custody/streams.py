"""Random streams of requests over a small world, so that they often meet: the same ids, accounts and limits.

A stream follows from its seed; a shorter stream of the same seed is the longer one's beginning, so a failure
shrinks to the first request that goes wrong.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import msgspec

from tallystick.custody.codes import BY_TEXT
from tallystick.custody.memory import FLAGS, NO_CEILING, Formula, Memory
from tallystick.custody.models import AmountRule
from tallystick.custody.numbers import (
    AuthorisationKind,
    Family,
    account_number,
    account_text,
    authorisation_number,
    authorisation_text,
)
from tallystick.custody.transfers import TransferRequest, microseconds
from tests.custody.cast import NOW, OPENED, an_id
from tests.custody.model import Account, Model, Terms

BOOK, CNY, USD = 1, 156, 840


def world() -> Model:
    """A book with every kind of account and authorisation there is."""
    model = Model(BOOK)

    def account(serial: int, family: Family, *, asset: int = CNY, book: int = BOOK, **more: object) -> int:
        number = account_number(book, family, asset, serial)
        external = family == Family.EXTERNAL
        more.setdefault("is_limited", not external)
        model.accounts[number] = Account(number, is_credit_normal=not external, **more)  # type: ignore[arg-type]
        return number

    def terms(
        debit: int, nth: int, credit: int, kind: AuthorisationKind = AuthorisationKind.ORDER, **more: object
    ) -> None:
        number = authorisation_number(debit, nth, kind)
        more = {"code": "lend", "amount": 30, **more}
        model.terms[number] = Terms(number, debit, credit, **more)  # type: ignore[arg-type]

    bank = account(1, Family.EXTERNAL)
    second_bank = account(2, Family.EXTERNAL, is_limited=True, ceiling=500)
    wang = account(3, Family.CLIENT)
    li = account(4, Family.CLIENT, ceiling=250)
    platform = account(5, Family.OWN)
    account(6, Family.OWN)
    account(7, Family.SUSPENSE)
    for serial, status in enumerate(("debits_frozen", "credits_frozen", "frozen", "closed"), start=8):
        account(serial, Family.CLIENT, status=status)
    account(12, Family.CLIENT, asset=USD)
    account(13, Family.CLIENT, book=2)
    terms(wang, 1, li)
    terms(wang, 2, li, rule="at_most", amount=50, uses_most=3, total_most=90)
    terms(wang, 3, bank, code="withdrawal", rule="at_most", amount=100, uses_most=9, payee="6222 01")
    terms(
        wang, 4, platform, AuthorisationKind.ENTITLEMENT, code="fee", rule="at_most", amount=10, uses_most=9
    )
    terms(wang, 5, li, is_withdrawn=True)
    terms(wang, 6, li, valid_from=NOW + timedelta(hours=2))
    terms(wang, 7, li, valid_until=NOW + timedelta(hours=2), uses_most=9)
    first_day = OPENED.date()
    terms(
        wang,
        8,
        li,
        rule="formula",
        code="interest",
        amount=36_500,
        rate_ppm=100_000,
        first_day=first_day,
        uses_most=9,
    )
    terms(
        li,
        1,
        wang,
        AuthorisationKind.SCHEDULE,
        rule="at_most",
        amount=100,
        uses_most=99,
        total_most=400,
        code="repay",
    )
    terms(li, 2, second_bank, code="withdrawal", rule="at_most", amount=50, uses_most=9)
    terms(li, 3, platform, AuthorisationKind.ENTITLEMENT, code="fee", amount=5, uses_most=9)
    return model


def memory(model: Model) -> Memory:
    """What the judge knows at the beginning of the same world."""
    known = Memory(model.book)
    for each in model.accounts.values():
        known.accounts.put(
            each.number,
            (each.debits, each.credits, each.debits_held, each.credits_held),
            FLAGS[each.status],
            each.is_limited,
            each.is_credit_normal,
            NO_CEILING if each.ceiling is None else each.ceiling,
        )
    for terms in model.terms.values():
        formula = terms.rule == "formula"
        known.authorisations.put(
            terms.number,
            terms.payee,
            Formula(terms.rate_ppm, terms.day_basis, terms.first_day) if formula else None,
            debit=terms.debit,
            credit=terms.credit,
            code=BY_TEXT[terms.code],
            rule=AmountRule[terms.rule.upper()],
            amount=terms.amount,
            total_max=terms.total_most,
            uses_max=terms.uses_most,
            valid_from=0 if terms.valid_from.year == 1 else microseconds(terms.valid_from),
            valid_until=2**62 if terms.valid_until.year == 9999 else microseconds(terms.valid_until),
            withdrawn=int(terms.is_withdrawn),
            uses=terms.uses,
            used=terms.used,
        )
    return known


def stream(model: Model, seed: int, length: int, first_id: int = 1) -> list[TransferRequest]:
    """`length` requests, few of them by chance, most of them near to what the rules decide."""
    chance = random.Random(seed)
    bank, _, wang, li, _, _, suspense, *_ = model.accounts
    made = [
        TransferRequest(
            id=an_id(first_id + nth),
            debit_account=account_text(bank),
            credit_account=account_text(credit),
            amount_minor=200,
            code="top_up",
        )
        for nth, credit in enumerate((wang, li, suspense))
    ]
    accounts = list(model.accounts)
    external = [number for number in accounts if model.accounts[number].family == "external"]
    external += [bank] * 4
    receiving = [number for number in accounts if model.accounts[number].family in ("client", "suspense")]
    receiving += [wang, li, suspense] * 8
    while len(made) < length + 3:
        made.append(_request(chance, model, made, accounts, external, receiving, an_id(first_id + len(made))))
    return made


def calls(requests: list[TransferRequest], seed: int) -> list[tuple[list[TransferRequest], datetime]]:
    """The stream cut into calls, with the time of each; a call's last request is never linked."""
    chance, cut, now = random.Random(seed), [], NOW
    while requests:
        size = chance.choice((1, 1, 2, 3, 8))
        call, requests = requests[:size], requests[size:]
        call[-1] = msgspec.structs.replace(call[-1], linked=False)
        cut.append((call, now))
        now += timedelta(minutes=chance.choice((0, 1, 20, 300)))
    return cut


def _request(
    chance: random.Random,
    model: Model,
    made: list[TransferRequest],
    accounts: list[int],
    external: list[int],
    receiving: list[int],
    request_id: str,
) -> TransferRequest:
    what = chance.random()
    if made and what < 0.08:  # the same again, or nearly
        again = chance.choice(made)
        if chance.random() < 0.4:
            changed = chance.choice(
                (
                    {"amount_minor": 7 if again.kind != "void_pending" else None},
                    {"reference": "other"},
                    {"at": NOW - timedelta(days=1)},
                    {"value_date": NOW.date() - timedelta(days=3)},
                    {"linked": not again.linked},
                )
            )
            again = msgspec.structs.replace(again, **changed)
        return again
    pendings = [each for each in made[-12:] if each.kind == "pending"]
    if pendings and what < 0.25:
        pending = chance.choice(pendings if chance.random() < 0.95 else made)
        kind = chance.choice(("post_pending", "post_pending", "void_pending"))
        amount = chance.choice((None, None, 1, 10, 30, 1000)) if kind == "post_pending" else None
        more = {"debit_account": pending.debit_account} if chance.random() < 0.1 else {}
        more |= {"credit_account": account_text(chance.choice(accounts))} if chance.random() < 0.05 else {}
        return TransferRequest(id=request_id, kind=kind, pending_id=pending.id, amount_minor=amount, **more)
    if made and what < 0.32:
        wrong = chance.choice(made[-12:])
        if wrong.debit_account and wrong.amount_minor and wrong.code:
            return TransferRequest(
                id=request_id,
                debit_account=wrong.credit_account,
                credit_account=wrong.debit_account,
                amount_minor=wrong.amount_minor if chance.random() < 0.9 else 1,
                code="correction",
                reverses_id=wrong.id,
                reason=None if chance.random() < 0.1 else "in error",
            )
    more: dict[str, object] = {"linked": chance.random() < 0.12}
    if chance.random() < 0.25:
        more["kind"] = "pending"
        if chance.random() < 0.5:
            more["expires_at"] = NOW + timedelta(minutes=chance.choice((-5, 400, 4000, 9000, 9000)))
    elif chance.random() < 0.1:
        more["balancing"] = chance.choice(("debit", "credit"))
    if chance.random() < 0.1:
        more["value_date"] = NOW.date() - timedelta(days=chance.randrange(-3, 30))
    if chance.random() < 0.1:
        more["metadata"] = {"loan": chance.choice(("L-1", "L-2"))}
    amount = (
        chance.choice((1, 5, 10, 30, 30, 50, 100, 250))
        if chance.random() < 0.97
        else 10**15 + chance.randrange(2)
    )
    if what < 0.55:
        debit, credit, code = chance.choice(external), chance.choice(receiving), "top_up"
    elif what < 0.9:
        terms = chance.choice(list(model.terms.values()))
        debit, credit, code = terms.debit, terms.credit, terms.code
        more["authorisation"] = authorisation_text(terms.number)
        amount = chance.choice((terms.amount, terms.amount, 1, 10))
        if terms.rule == "formula":
            more["value_date"] = NOW.date()
            amount = chance.choice((terms.allowed(NOW.date()), 10)) or 1
        if terms.payee and chance.random() < 0.9:
            more["payee"] = terms.payee
        if chance.random() < 0.1:
            credit = chance.choice(accounts)
        elif chance.random() < 0.1:
            code = "repay"
        elif chance.random() < 0.1:
            debit, credit = credit, debit
    else:
        debit, credit, code = chance.choice(accounts), chance.choice(accounts), "transfer"
        if chance.random() < 0.1:
            debit += 77
    return TransferRequest(
        id=request_id,
        debit_account=account_text(debit),
        credit_account=account_text(credit),
        amount_minor=amount,
        code=code,
        **more,  # type: ignore[arg-type]
    )

"""The stage: acts of the simulation performed on a real ledger, through custody's own actions.

Promises: names become numbers and nothing else is changed; every answer of the ledger is compared with the
one the act expects, and the first that differs stops the performance with both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from tallystick.core.db import Db
from tallystick.custody import accounts, books, codes, instructions, ledger, numbers
from tallystick.custody.models import AccountStatus, AmountRule
from tallystick.custody.numbers import AccountNumber, AuthorisationKind, AuthorisationNumber, BookId, Family
from tallystick.custody.transfers import BATCH_MAX, TransferRequest
from tallystick.identity.access import Actor
from tallystick.simulation import acts, world

ACTOR = Actor.system("simulation")


class Unexpected(AssertionError):
    """The ledger gave another answer than a sound one must."""


@dataclass
class Stage:
    """One book, and the numbers behind the simulation's names."""

    db: Db
    book: BookId
    accounts: dict[str, AccountNumber] = field(default_factory=dict)
    authorisations: dict[str, AuthorisationNumber] = field(default_factory=dict)
    posted: int = 0
    repeated: int = 0
    refused: Counter[str] = field(default_factory=Counter)


def set_up(db: Db, book: BookId, *, now: datetime) -> Stage:
    """Open the book the acts will be performed in."""
    books.open_book(db, book, world.BOOK_NAME, world.TIME_ZONE, actor=ACTOR, now=now)
    return Stage(db, book)


def perform(stage: Stage, act: acts.Act) -> int:
    """Perform one act; how many transfers were posted by it. Raises `Unexpected`."""
    if isinstance(act, acts.Open):
        _open(stage, act)
    elif isinstance(act, acts.Authorise):
        _authorise(stage, act)
    elif isinstance(act, acts.Withdraw):
        withdrawn = stage.authorisations[act.authorisation]
        instructions.withdraw(stage.db, withdrawn, act.reason, actor=ACTOR, now=act.at)
    elif isinstance(act, acts.ChangeState):
        number = stage.accounts[act.account]
        accounts.change_state(
            stage.db, number, AccountStatus(act.status), act.reason, actor=ACTOR, now=act.at
        )
    else:
        return sum(_post(stage, part, act.at) for part in _parts(act.transfers))
    return 0


def request(stage: Stage, transfer: acts.Transfer) -> TransferRequest:
    """The transfer as the ledger's door takes it."""

    def account(name: str) -> str | None:
        return numbers.account_text(stage.accounts[name]) if name else None

    return TransferRequest(
        id=str(transfer.id),
        kind=transfer.kind,
        debit_account=account(transfer.debit),
        credit_account=account(transfer.credit),
        amount_minor=transfer.amount_minor or None,
        code=transfer.code or None,
        authorisation=(
            numbers.authorisation_text(stage.authorisations[transfer.authorisation])
            if transfer.authorisation
            else None
        ),
        pending_id=str(transfer.pending) if transfer.pending else None,
        reverses_id=str(transfer.reverses) if transfer.reverses else None,
        linked=transfer.is_linked,
        expires_at=transfer.expires_at,
        at=transfer.at,
        value_date=transfer.value_date,
        reference=transfer.reference or None,
        payee=transfer.payee or None,
        reason=transfer.reason or None,
    )


def _parts(transfers: tuple[acts.Transfer, ...]) -> Iterable[tuple[acts.Transfer, ...]]:
    """The transfers in batches the ledger takes, no chain cut in two."""
    start = 0
    while start < len(transfers):
        end = min(start + BATCH_MAX, len(transfers))
        while transfers[end - 1].is_linked:
            end -= 1
        yield transfers[start:end]
        start = end


def _post(stage: Stage, transfers: tuple[acts.Transfer, ...], at: datetime) -> int:
    requests = [request(stage, transfer) for transfer in transfers]
    results = ledger.post(stage.db, stage.book, requests, actor=ACTOR, now=at)
    posted = 0
    for i, transfer in enumerate(transfers):
        refusal = results.refusal_of(i)
        answer = refusal.code if refusal else ""
        if answer != transfer.answer or bool(results.replayed[i]) != transfer.is_repeat:
            raise Unexpected(
                f"expected {transfer.answer or 'posted'}, got {answer or 'posted'}"
                f"{' (repeated)' if results.replayed[i] else ''}: {transfer}"
            )
        if answer:
            stage.refused[answer] += 1
        elif transfer.is_repeat:
            stage.repeated += 1
        else:
            posted += 1
    stage.posted += posted
    return posted


def _open(stage: Stage, act: acts.Open) -> None:
    opened = accounts.open_many(
        stage.db,
        stage.book,
        [
            accounts.NewAccount(
                family=Family[wanted.family.upper()],
                asset_code=world.CURRENCY,
                owner=wanted.owner,
                name=wanted.title,
                reference=wanted.reference,
                ceiling_minor=wanted.ceiling_minor,
            )
            for wanted in act.accounts
        ],
        actor=ACTOR,
        now=act.at,
    )
    stage.accounts.update(zip((wanted.name for wanted in act.accounts), opened, strict=True))


def _authorise(stage: Stage, act: acts.Authorise) -> None:
    given = [
        instructions.Given(
            instructions.Terms(
                debit_account=stage.accounts[wanted.debit],
                kind=AuthorisationKind[wanted.kind.upper()],
                credit_account=stage.accounts[wanted.credit],
                payee=wanted.payee,
                code=codes.BY_TEXT[wanted.code],
                amount_rule=AmountRule[wanted.rule.upper()],
                amount_minor=wanted.amount_minor,
                total_max_minor=wanted.total_max_minor,
                uses_max=wanted.uses_max,
                valid_from=wanted.valid_from,
                valid_until=wanted.valid_until,
                basis=wanted.basis,
            )
        )
        for wanted in act.authorisations
    ]
    numbers_ = instructions.authorise_many(stage.db, given, actor=ACTOR, now=act.at)
    stage.authorisations.update(zip((wanted.name for wanted in act.authorisations), numbers_, strict=True))

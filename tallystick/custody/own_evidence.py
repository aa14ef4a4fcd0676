"""Own evidence: that one's balance is counted, and receipts of what moved on one's account. For its holders alone.

Promises: nobody is handed the proof or the receipt of an account they do not stand behind, whatever their role;
what is handed out was checked first, as whoever receives it can check it; no receipt shows who paid, where the
payer is another client.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tallystick.core.db import Db
from tallystick.custody import accounts, errors, history, holders, numbers, sealed_transfers
from tallystick.custody.accounts import Account
from tallystick.custody.history import Line
from tallystick.custody.numbers import Family
from tallystick.custody.solvency import balances, statements, trees
from tallystick.custody.solvency.statements import Statement
from tallystick.evidence import checking, receipt_file, standing
from tallystick.evidence import policy as policies
from tallystick.evidence.checking import Answer, Asked
from tallystick.identity import access
from tallystick.identity.access import Actor

PERMISSION = "custody.read_own_proof"

RECEIPT, PROOF = "receipt.json", "proof.json"
"""What the files are called inside a page that checks itself."""


@dataclass(frozen=True, slots=True)
class Proof:
    """The proof of an account in a statement, its file, and what checking it says."""

    statement: Statement
    content: bytes
    answer: Answer
    ledger_minor: int
    """What the ledger says of the account at the statement's position."""

    @property
    def is_sealed(self) -> bool:
        """Whether the public log holds the statement yet."""
        return self.answer.facts.get("origin") is not None


def require(db: Db, account: Account, *, actor: Actor) -> None:
    """Refuse whoever does not stand behind the account, in the words for one that is not there.

    Raises `errors.AccountUnknown`.
    """
    access.require(db, actor, PERMISSION, owner=actor.customer_number)
    if actor.customer_number is None or not _holds(db, account, actor.customer_number):
        raise errors.AccountUnknown(account=account.text)


def proof(db: Db, account: Account, *, actor: Actor, folder: Path, day: date | None = None) -> Proof | None:
    """The account's proof in the newest statement, or in that of a day; nothing where there is none.

    Raises `errors.AccountUnknown`, and `evidence.errors.AccountNotInTree` where it was opened later.
    """
    require(db, account, actor=actor)
    found = (
        next(iter(statements.statements(db, account.book, limit=1)), None)
        if day is None
        else statements.of_day(db, account.book, day)
    )
    if found is None:
        return None
    kept = trees.kept(db, found.id, account.asset)
    content = trees.prove(db, kept, account, folder)
    ledger = history.balance(db, account.number, at_position=found.position)
    answer = check(
        db,
        {PROOF: content},
        identifiers=balances.identifiers_of(account),
        balance=max(ledger.balance_minor, 0),
    )
    return Proof(found, content, answer, ledger.balance_minor)


def receipt(db: Db, account: Account, transfer_id: str, *, actor: Actor) -> receipt_file.Receipt:
    """The receipt of a transfer that moved this account.

    Raises `errors.AccountUnknown`, `TransferNotFound`, `PayerNotShown` and `evidence.errors.NotSealedYet`.
    """
    require(db, account, actor=actor)
    found = history.transfer(db, transfer_id)
    if account.number not in (found.debit_account, found.credit_account):
        raise errors.TransferNotFound(transfer=transfer_id)
    if found.credit_account == account.number and hides_payer(db, [found.debit_account], actor=actor):
        raise errors.PayerNotShown
    return sealed_transfers.receipt(db, transfer_id)


def hides_payer(db: Db, payers: Sequence[int], *, actor: Actor) -> frozenset[int]:
    """Which of these accounts are other clients': a receipt shows a transfer's whole row, and would name them."""
    clients = {each for each in payers if numbers.family_of(each) == Family.CLIENT}
    mine = (
        {each.number for each in holders.accounts_of(db, actor.customer_number or "")} if clients else set()
    )
    return frozenset(clients - mine)


def movements(
    db: Db, account: Account, *, before: int | None = None, limit: int, actor: Actor
) -> Sequence[Line]:
    """What moved money on the account, the newest first; `before` (a position) continues a page."""
    require(db, account, actor=actor)
    found: list[Line] = []
    to = None if before is None else before - 1
    while len(found) < limit and (to is None or to > 0):
        lines = history.account_lines(db, account.number, to_position=to, limit=2 * limit, newest_first=True)
        # What was only held or let go moved nothing.
        found += [each for each in lines if each.amount_minor]
        if len(lines) < 2 * limit:
            break
        to = lines[-1].position - 1
    return found[:limit]


def check(
    db: Db, files: dict[str, bytes], *, identifiers: Sequence[str] | None = None, balance: int | None = None
) -> Answer:
    """What is said of one file by the policy that the platform proposes: as its holder can check it too."""
    policy = policies.parse(standing.proposed_policy(db).encode())
    (answer,) = checking.answers(files, Asked(policy=policy, identifiers=identifiers, balance=balance))
    return answer


def own(db: Db, text: str, *, actor: Actor) -> Account:
    """The account of this number, for whoever stands behind it. Raises `errors.AccountUnknown`."""
    access.require(db, actor, PERMISSION, owner=actor.customer_number)
    found = accounts.of_text(db, text)
    require(db, found, actor=actor)
    return found


def _holds(db: Db, account: Account, customer_number: str) -> bool:
    standing_ = holders.standing(db, account)
    return account.family == Family.CLIENT and standing_.holding.capacity_of(customer_number) is not None

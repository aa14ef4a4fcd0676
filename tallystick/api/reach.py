"""Reach: whose things a caller may look at. Reads ask nobody, so the door asks here, once for each.

Promises: whoever may read the ledger reaches every account; a customer reaches what is theirs, and of
anything else hears exactly what they would hear if it were not there.
"""

from __future__ import annotations

from tallystick.core.db import Db
from tallystick.custody import accounts, errors, history, holders, instructions, numbers
from tallystick.custody.accounts import Account
from tallystick.custody.history import Transfer
from tallystick.custody.instructions import Authorisation
from tallystick.identity import access
from tallystick.identity.access import Actor

LEDGER = "custody.read_ledger"
OWN = "custody.read_own"


def account(db: Db, number: int, *, actor: Actor) -> Account:
    """The account, for somebody who may see it. Raises `errors.AccountUnknown`."""
    _require_some(db, actor)
    found = accounts.account(db, number)
    if not _is_reached(db, found, actor):
        raise errors.AccountUnknown(account=found.text)
    return found


def authorisation(db: Db, number: int, *, actor: Actor) -> Authorisation:
    """The authorisation, for somebody who may see it. Raises `errors.AuthorisationNotFound`."""
    _require_some(db, actor)
    found = instructions.authorisation(db, number)
    if not _is_reached(db, accounts.account(db, found.debit_account), actor):
        raise errors.AuthorisationNotFound(authorisation=found.text)
    return found


def transfer(db: Db, transfer_id: str, *, actor: Actor) -> Transfer:
    """The transfer, for somebody who may see one of its accounts. Raises `errors.TransferNotFound`."""
    _require_some(db, actor)
    found = history.transfer(db, transfer_id)
    if not access.allowed(actor, LEDGER) and not any(
        _is_reached(db, accounts.account(db, number), actor)
        for number in (found.debit_account, found.credit_account)
        if numbers.family_of(number) == numbers.Family.CLIENT
    ):
        # In the words of the one who asked: the form of the id must not tell that it is there.
        raise errors.TransferNotFound(transfer=transfer_id)
    return found


def hides(number: int, *, actor: Actor) -> bool:
    """Whether this account is some client's and not for this caller to know: they read only their own."""
    return numbers.family_of(number) == numbers.Family.CLIENT and not access.allowed(actor, LEDGER)


def owner(db: Db, wanted: str | None, *, actor: Actor) -> str | None:
    """Whose accounts a list may hold: anyone's, or for a customer their own alone."""
    if access.allowed(actor, LEDGER):
        access.require(db, actor, LEDGER)
        return wanted
    mine = wanted if wanted is not None else actor.customer_number
    access.require(db, actor, OWN, owner=mine)
    return mine


def ledger(db: Db, *, actor: Actor) -> None:
    """Refuse whoever may not read the whole ledger."""
    access.require(db, actor, LEDGER)


def holds(db: Db, number: int, *, actor: Actor) -> bool:
    """Whether the account is the caller's own, or one they hold with others."""
    return _is_reached(db, accounts.account(db, number), actor)


def _is_reached(db: Db, found: Account, actor: Actor) -> bool:
    """Whether it is one's own to look at: as its owner, or as one of those who hold it."""
    whose = (
        holders.speaker(db, found, actor=actor)
        if numbers.family_of(found.number) == numbers.Family.CLIENT
        else ""
    )
    return access.allowed(actor, OWN, owner=whose or None)


def _require_some(db: Db, actor: Actor) -> None:
    # Whoever can see nothing at all is refused before anything is looked up.
    access.require(db, actor, OWN, owner=actor.customer_number)

"""Bank accounts: where a client's money may be paid out to, bound to the client and known to be theirs.

Promises: every change stays, with who and why; changed details are unverified again and cool off anew;
whoever entered details does not verify them; a number is sealed, and shown by its last four characters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, connections, transaction

from tallystick.core import texts
from tallystick.core.db import Db
from tallystick.custody import books, errors
from tallystick.custody.payout_models import BankAccount as BankAccountRow
from tallystick.custody.payout_models import BankAccountChange, BankAccountStatus
from tallystick.custody.payouts import sealed
from tallystick.custody.statements import amounts
from tallystick.evidence import log
from tallystick.identity import access
from tallystick.identity.access import Actor

OF_OWNER_MAX = 20
"""The most bank accounts of one client in one book."""

NUMBER = re.compile(r"[A-Z0-9]{5,34}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What a payment needs of the payee's account. `number` is an IBAN or the bank's own number."""

    holder_name: str
    bank_name: str
    number: str
    bic: str = ""
    cnaps: str = ""

    @property
    def plain_number(self) -> str:
        return re.sub(r"[\s-]", "", self.number).upper()


@dataclass(frozen=True, slots=True)
class BankAccount:
    """A client's bank account as of one of its changes; `last4` is all that is shown of its number."""

    id: int
    book: int
    owner: str
    change_id: int
    version: int
    status: BankAccountStatus
    holder_name: str
    bank_name: str
    bic: str
    cnaps: str
    last4: str
    details_at: datetime
    reason: str
    at: datetime
    actor: str

    @property
    def reference(self) -> str:
        """The id as shown outside."""
        return f"bnk_{self.id}"

    @property
    def shown(self) -> str:
        """The bank and the end of the number: how a payee is written anywhere."""
        return f"{self.bank_name} …{self.last4}"

    def payable_from(self, cool_off_hours: int) -> datetime:
        """From when on payouts may go here, by the cool-off of the book."""
        return self.details_at + timedelta(hours=cool_off_hours)


def misfit(details: Details) -> tuple[str, str] | None:
    """The first thing wrong with bank details: the field, and what was expected of it."""
    number = details.plain_number
    for field, expected, fits in (
        ("holder_name", "1 to 70 characters", texts.says(details.holder_name, 70)),
        ("bank_name", "1 to 70 characters", texts.says(details.bank_name, 70)),
        ("number", "5 to 34 letters and digits", bool(NUMBER.match(number))),
        (
            "number",
            "an IBAN whose check digits fit",
            not re.match(r"[A-Z]{2}[0-9]{2}", number) or amounts.is_iban(number),
        ),
        ("bic", "8 or 11 characters of ISO 9362", details.bic == "" or amounts.is_bic(details.bic)),
        ("cnaps", "12 digits", details.cnaps == "" or bool(re.match(r"[0-9]{12}\Z", details.cnaps))),
        ("bic", "given, or a CNAPS number", bool(details.bic or details.cnaps)),
    ):
        if not fits:
            return field, expected
    return None


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def bank_account(db: Db, bank_account_id: int) -> BankAccount:
    """The bank account of this number as it holds now. Raises `errors.BankAccountUnknown`."""
    for found in _accounts(db, "where b.id = %s order by c.number desc limit 1", [bank_account_id]):
        return found
    raise errors.BankAccountUnknown(bank_account=f"bnk_{bank_account_id}")


def of_owner(db: Db, book: int, owner: str) -> Sequence[BankAccount]:
    """A client's bank accounts as they hold now, closed ones last."""
    found = _accounts(
        db,
        "where b.book_id = %s and b.owner = %s and not exists (select from custody_bank_account_change l"
        " where l.bank_account_id = b.id and l.number > c.number) order by b.id",
        [book, owner],
    )
    return sorted(found, key=lambda each: each.status == BankAccountStatus.CLOSED)


def unverified(db: Db, book: int, *, limit: int = 100) -> Sequence[BankAccount]:
    """Bank accounts that somebody is still to look into, the oldest first."""
    return _accounts(
        db,
        "where b.book_id = %s and c.status = 'unverified' and not exists (select from custody_bank_account_change l"
        " where l.bank_account_id = b.id and l.number > c.number) order by c.at, b.id limit %s",
        [book, limit],
    )


def changes(db: Db, bank_account_id: int) -> Sequence[BankAccount]:
    """Everything a bank account ever was, the first one first."""
    return _accounts(db, "where b.id = %s order by c.number", [bank_account_id])


def as_of_change(db: Db, change_id: int) -> BankAccount:
    """The bank account as a change left it: where a payout went."""
    return _accounts(db, "where c.id = %s", [change_id])[0]


def other_owners(db: Db, bank_account_id: int) -> int:
    """How many other clients have bound the same account number: a sign to look into before verifying."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select count(distinct (o.book_id, o.owner)) from custody_bank_account b
            join custody_bank_account_change c on c.bank_account_id = b.id
            join custody_bank_account_change same on same.fingerprint = c.fingerprint
            join custody_bank_account o on o.id = same.bank_account_id
            where b.id = %s and (o.book_id, o.owner) <> (b.book_id, b.owner)
            """,
            [bank_account_id],
        )
        return int(cursor.fetchone()[0])


def clear_numbers(db: Db, change_ids: Sequence[int]) -> dict[int, str]:
    """The account numbers of these changes in clear.

    For two readers: the bank that pays, and whoever has to pay clients back when the platform cannot.
    """
    rows = BankAccountChange.objects.using(db).filter(pk__in=change_ids)
    return {
        row.pk: sealed.opened(bytes(row.sealed_number), about=f"bnk_{row.bank_account_id}") for row in rows
    }


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────


def add(db: Db, book: int, owner: str, details: Details, *, actor: Actor, now: datetime) -> BankAccount:
    """Bind a bank account to a client. It is unverified, and cools off from now on.

    The client, or operations for them. Raises `errors.BookUnknown`, `Malformed`, or `BankAccountBound` where
    the client has this very account already.
    """
    access.require(db, actor, "custody.add_bank_account", owner=owner)
    books.book(db, book)
    _require_fit(details)
    if not texts.says(owner, 64):
        raise errors.Malformed(where="bank account", field="owner", expected="1 to 64 characters")
    with transaction.atomic(using=db):
        _in_turn(db, book, owner)
        held = [each for each in of_owner(db, book, owner) if each.status != BankAccountStatus.CLOSED]
        if len(held) >= OF_OWNER_MAX:
            raise errors.Malformed(
                where="bank account", field="list", expected=f"at most {OF_OWNER_MAX} of one client"
            )
        _require_unbound(db, held, details)
        row = BankAccountRow(book_id=book, owner=owner, at=now, actor=actor.id)
        row.save(using=db)
        _write(db, row.pk, 1, details, now, "", actor=actor, now=now)
    return bank_account(db, row.pk)


def change(
    db: Db, bank_account_id: int, details: Details, *, reason: str = "", actor: Actor, now: datetime
) -> BankAccount:
    """Put other details in the place of these: unverified again, and cooling off from now on.

    Payouts asked for on the old details and not yet told to the bank are cancelled by `payouts.advance`.
    Raises `errors.BankAccountUnknown`, `BankAccountClosed` or `Malformed`.
    """
    held = _held_open(db, bank_account_id, "custody.add_bank_account", actor)
    _require_fit(details)
    _require_reason(reason, may_be_empty=True)
    with transaction.atomic(using=db):
        _in_turn(db, held.book, held.owner)
        others = [each for each in of_owner(db, held.book, held.owner) if each.id != held.id]
        _require_unbound(db, [each for each in others if each.status != "closed"], details)
        _write(db, held.id, held.version + 1, details, now, reason, actor=actor, now=now)
    return bank_account(db, bank_account_id)


def verify(db: Db, bank_account_id: int, *, how: str, actor: Actor, now: datetime) -> BankAccount:
    """Say that the account is the client's own, and how that is known.

    By somebody other than who entered the details. Raises `errors.BankAccountUnknown`, `BankAccountClosed`,
    `BankAccountOwnEntry`, `StateUnchanged` or `Malformed`.
    """
    held = _held_open(db, bank_account_id, "custody.verify_bank_account", actor, of_owner_too=False)
    _require_reason(how, may_be_empty=False)
    entered = next(each for each in changes(db, held.id) if each.details_at == held.details_at)
    if actor.id == entered.actor or (actor.customer_number == held.owner):
        raise errors.BankAccountOwnEntry(bank_account=held.reference)
    if held.status == BankAccountStatus.VERIFIED:
        raise errors.StateUnchanged
    return _restate(db, held, BankAccountStatus.VERIFIED, how, actor=actor, now=now)


def close(db: Db, bank_account_id: int, *, reason: str = "", actor: Actor, now: datetime) -> BankAccount:
    """Take a bank account out of use. Raises `errors.BankAccountUnknown` or `BankAccountClosed`."""
    held = _held_open(db, bank_account_id, "custody.add_bank_account", actor)
    _require_reason(reason, may_be_empty=True)
    return _restate(db, held, BankAccountStatus.CLOSED, reason, actor=actor, now=now)


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────

_SELECT = """
select b.id, b.book_id, b.owner, c.id, c.number, c.status, c.holder_name, c.bank_name, c.bic, c.cnaps, c.last4,
    c.details_at, c.reason, c.at, c.actor
from custody_bank_account b join custody_bank_account_change c on c.bank_account_id = b.id
"""


def _accounts(db: Db, rest: str, parameters: Sequence[int | str]) -> list[BankAccount]:
    with connections[db].cursor() as cursor:
        cursor.execute(f"{_SELECT} {rest}", parameters)
        found = [list(row) for row in cursor.fetchall()]
    for row in found:
        row[5] = BankAccountStatus(row[5])
    return [BankAccount(*row) for row in found]


def _held_open(
    db: Db, bank_account_id: int, permission: str, actor: Actor, *, of_owner_too: bool = True
) -> BankAccount:
    held = bank_account(db, bank_account_id)
    access.require(db, actor, permission, owner=held.owner if of_owner_too else None)
    if held.status == BankAccountStatus.CLOSED:
        raise errors.BankAccountClosed(bank_account=held.reference)
    return held


def _require_fit(details: Details) -> None:
    if wrong := misfit(details):
        raise errors.Malformed(where="bank account", field=wrong[0], expected=wrong[1])


def _require_reason(reason: str, *, may_be_empty: bool) -> None:
    if not (may_be_empty and reason == "") and not texts.says(reason, 200):
        raise errors.Malformed(where="bank account", field="reason", expected="1 to 200 characters")


def _require_unbound(db: Db, held: Sequence[BankAccount], details: Details) -> None:
    """Not the same account twice for one client: payouts would not know which one was verified."""
    rows = BankAccountChange.objects.using(db).filter(pk__in=[each.change_id for each in held])
    same = sealed.fingerprint(details.plain_number)
    for row in rows:
        if bytes(row.fingerprint) == same:
            raise errors.BankAccountBound(bank_account=f"bnk_{row.bank_account_id}")


def _in_turn(db: Db, book: int, owner: str) -> None:
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select pg_advisory_xact_lock(hashtext('custody.bank_accounts'), hashtext(%s))",
            [f"{book} {owner}"],
        )


def _restate(
    db: Db, held: BankAccount, status: BankAccountStatus, reason: str, *, actor: Actor, now: datetime
) -> BankAccount:
    row = BankAccountChange.objects.using(db).get(pk=held.change_id)
    row.pk, row.number, row.status, row.reason, row.at, row.actor = (
        None,
        held.version + 1,
        status,
        reason,
        now,
        actor.id,
    )
    with transaction.atomic(using=db):
        _insert(db, row, held.reference)
        _tell(db, held.id, held.version + 1, status, actor=actor, now=now)
    return bank_account(db, held.id)


def _write(
    db: Db, bank_account_id: int, number: int, details: Details, details_at: datetime, reason: str,
    *, actor: Actor, now: datetime,
) -> None:  # fmt: skip
    plain = details.plain_number
    row = BankAccountChange(
        bank_account_id=bank_account_id,
        number=number,
        status=BankAccountStatus.UNVERIFIED,
        holder_name=details.holder_name,
        bank_name=details.bank_name,
        bic=details.bic,
        cnaps=details.cnaps,
        sealed_number=sealed.seal(plain, about=f"bnk_{bank_account_id}"),
        last4=plain[-4:],
        fingerprint=sealed.fingerprint(plain),
        details_at=details_at,
        reason=reason,
        at=now,
        actor=actor.id,
    )
    _insert(db, row, f"bnk_{bank_account_id}")
    _tell(db, bank_account_id, number, BankAccountStatus.UNVERIFIED, actor=actor, now=now)


def _insert(db: Db, row: BankAccountChange, reference: str) -> None:
    try:
        with transaction.atomic(using=db):
            row.save(using=db, force_insert=True)
    except IntegrityError as taken:
        # Somebody else changed it at the same moment: what was changed here is no longer what holds.
        raise errors.BankAccountChanged(bank_account=reference) from taken


def _tell(
    db: Db, bank_account_id: int, number: int, status: BankAccountStatus, *, actor: Actor, now: datetime
) -> None:
    log.append(
        db,
        "custody.bank_account_changed",
        {"bank_account": f"bnk_{bank_account_id}", "version": number, "status": str(status)},
        actor=actor.id,
        at=now,
    )

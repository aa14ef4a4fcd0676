"""Arrangements: which external account is for what, own money left in on purpose, and whom to turn to.

Promises: each declaration is a row with who made it and when, and the newest one holds; only external
accounts are declared; what nobody has declared counts as nothing when it is asked whether clients are covered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connections, transaction

from tallystick.core import money
from tallystick.core.db import Db
from tallystick.custody import accounts, assets, books, errors, numbers
from tallystick.custody.numbers import AccountNumber, Family
from tallystick.custody.safeguarding.comparison import AccountRole
from tallystick.evidence import log
from tallystick.identity import access
from tallystick.identity.access import Actor

CONTACTS_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an external account is for, and where it is held. `number`: IBAN or the institution's own."""

    role: AccountRole
    institution: str = ""
    country: str = ""
    number: str = ""
    agreement: str = ""
    """The custody contract or acknowledgement letter, and its date."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A declaration that holds."""

    account: AccountNumber
    terms: Terms
    at: datetime
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """Whom to turn to about a book, and in what matter."""

    role: str
    name: str
    organisation: str = ""
    telephone: str = ""
    email: str = ""
    address: str = ""


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────


def misfit(terms: Terms) -> tuple[str, str] | None:
    """The first thing wrong with a declaration: the field, and what was expected of it."""
    if terms.role == AccountRole.UNDECLARED:
        return "role", "safeguarding, channel, own_funds, exchange or other"
    safeguarding = terms.role == AccountRole.SAFEGUARDING
    for field, length_max, needed in (
        ("institution", 140, safeguarding),
        ("number", 64, safeguarding),
        ("agreement", 200, False),
    ):
        value: str = getattr(terms, field)
        if not _fits(value, length_max, needed=needed):
            return field, f"{1 if needed else 0} to {length_max} characters"
    if terms.country and not (
        len(terms.country) == 2 and terms.country.isascii() and terms.country.isupper()
    ):
        return "country", "two capital letters of ISO 3166, or nothing"
    return None


def contact_misfit(contact: Contact) -> tuple[str, str] | None:
    """The first thing wrong with a contact: the field, and what was expected of it."""
    for field, length_max in _CONTACT_FIELDS.items():
        needed = field in ("role", "name")
        if not _fits(getattr(contact, field), length_max, needed=needed):
            return field, f"{1 if needed else 0} to {length_max} characters"
    return None


_CONTACT_FIELDS = {
    "role": 64,
    "name": 140,
    "organisation": 140,
    "telephone": 40,
    "email": 254,
    "address": 300,
}


def _fits(text: str, length_max: int, *, needed: bool) -> bool:
    return len(text) <= length_max and text.isprintable() and (bool(text.strip()) or not (needed or text))


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def declared(db: Db, book: int) -> Mapping[int, Declared]:
    """The declarations of a book that hold, by account. Raises `errors.BookUnknown`."""
    books.book(db, book)
    first = book * numbers.BOOK_UNIT
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select distinct on (account_id) account_id, role, institution, country, number, agreement, at, actor
            from custody_safeguarding_account where account_id >= %s and account_id < %s
            order by account_id, id desc
            """,
            [first, first + numbers.BOOK_UNIT],
        )
        return {
            row[0]: Declared(
                AccountNumber(row[0]),
                Terms(
                    role=AccountRole(row[1]),
                    institution=row[2],
                    country=row[3],
                    number=row[4],
                    agreement=row[5],
                ),
                *row[6:],
            )
            for row in cursor.fetchall()
        }


def prudent(db: Db, book: int) -> Mapping[str, int]:
    """Own money left in on purpose, by asset, in minor units."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select c.code, newest.amount_minor from custody_asset c cross join lateral (
                select amount_minor from custody_prudent_segregation
                where book_id = %s and asset_id = c.number order by id desc limit 1
            ) newest
            """,
            [book],
        )
        return dict(cursor.fetchall())


def contacts(db: Db, book: int) -> Sequence[Contact]:
    """The contacts of a book that hold, by role and name. Raises `errors.BookUnknown`."""
    books.book(db, book)
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select role, name, organisation, telephone, email, address from (
                select distinct on (role, name) * from custody_book_contact
                where book_id = %s order by role, name, id desc
            ) newest where is_current order by role, name
            """,
            [book],
        )
        return [Contact(**dict(zip(_CONTACT_FIELDS, row, strict=True))) for row in cursor.fetchall()]


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────


def declare(db: Db, account: int, terms: Terms, *, actor: Actor, now: datetime) -> Declared:
    """Say what an external account is for. Raises `errors.AccountUnknown`, `ExternalOnly` or `Malformed`."""
    access.require(db, actor, "custody.arrange_safeguarding")
    found = accounts.account(db, account)
    if found.family != Family.EXTERNAL:
        raise errors.ExternalOnly(account=found.text)
    if wrong := misfit(terms):
        raise errors.Malformed(where=found.text, field=wrong[0], expected=wrong[1])
    with transaction.atomic(using=db):
        with connections[db].cursor() as cursor:
            cursor.execute(
                "insert into custody_safeguarding_account"
                " (account_id, role, institution, country, number, agreement, at, actor)"
                " values (%s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    account,
                    str(terms.role),
                    terms.institution,
                    terms.country,
                    terms.number,
                    terms.agreement,
                    now,
                    actor.id,
                ],
            )
        log.append(
            db,
            "custody.account_purpose_declared",
            {
                "account": found.text,
                "role": str(terms.role),
                "institution": terms.institution,
                "number": terms.number,
                "agreement": terms.agreement,
            },
            actor=actor.id,
            at=now,
        )
    return Declared(AccountNumber(account), terms, now, actor.id)


def segregate_prudently(
    db: Db, book: int, asset: str, amount_minor: int, *, reason: str, actor: Actor, now: datetime
) -> None:
    """Say how much own money is left with clients' on purpose, and why; 0 ends it.

    Raises `errors.BookUnknown`, `AssetUnknown` or `Malformed`.
    """
    access.require(db, actor, "custody.arrange_safeguarding")
    books.book(db, book)
    known = assets.asset(db, asset)
    if not 0 <= amount_minor <= money.AMOUNT_MAX:
        raise errors.Malformed(
            where=asset, field="amount_minor", expected=f"a whole number from 0 to {money.AMOUNT_MAX}"
        )
    if not _fits(reason, 500, needed=True):
        raise errors.Malformed(where=asset, field="reason", expected="1 to 500 characters")
    with transaction.atomic(using=db):
        with connections[db].cursor() as cursor:
            cursor.execute(
                "insert into custody_prudent_segregation (book_id, asset_id, amount_minor, reason, at, actor)"
                " values (%s, %s, %s, %s, %s, %s)",
                [book, known.number, amount_minor, reason, now, actor.id],
            )
        log.append(
            db,
            "custody.own_money_segregated",
            {"book": book, "asset": asset, "amount_minor": str(amount_minor), "reason": reason},
            actor=actor.id,
            at=now,
        )


def keep_contact(db: Db, book: int, contact: Contact, *, actor: Actor, now: datetime) -> None:
    """Add a contact, or replace what is kept under the same role and name.

    Raises `errors.BookUnknown` or `Malformed`.
    """
    access.require(db, actor, "custody.arrange_safeguarding")
    kept = contacts(db, book)
    if wrong := contact_misfit(contact):
        raise errors.Malformed(where="contact", field=wrong[0], expected=wrong[1])
    if len(kept) >= CONTACTS_MAX:
        raise errors.Malformed(where="contact", field="list", expected=f"at most {CONTACTS_MAX} contacts")
    _write_contact(db, book, contact, is_current=True, actor=actor, now=now)


def end_contact(db: Db, book: int, role: str, name: str, *, actor: Actor, now: datetime) -> None:
    """Keep a contact no longer. Raises `errors.BookUnknown` or `ContactUnknown`."""
    access.require(db, actor, "custody.arrange_safeguarding")
    for each in contacts(db, book):
        if (each.role, each.name) == (role, name):
            _write_contact(db, book, each, is_current=False, actor=actor, now=now)
            return
    raise errors.ContactUnknown(role=role, name=name)


def _write_contact(
    db: Db, book: int, contact: Contact, *, is_current: bool, actor: Actor, now: datetime
) -> None:
    with transaction.atomic(using=db):
        with connections[db].cursor() as cursor:
            cursor.execute(
                "insert into custody_book_contact (book_id, role, name, organisation, telephone, email,"
                " address, is_current, at, actor) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [book, *(getattr(contact, field) for field in _CONTACT_FIELDS), is_current, now, actor.id],
            )
        # The event says that there is one, not who: people may ask for their names to be forgotten.
        log.append(
            db,
            "custody.contact_kept" if is_current else "custody.contact_ended",
            {"book": book, "role": contact.role},
            actor=actor.id,
            at=now,
        )

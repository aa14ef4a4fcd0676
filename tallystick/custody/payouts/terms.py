"""Terms: how payouts of one asset of a book are made: limit, daily limit, cool-off, cut-off, who pays.

Promises: no terms, no payouts; terms are proposed by one person and approved by another, and an approval is
of the terms that stood when it was proposed; the newest row holds, and every earlier one stays.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connections, transaction

from tallystick.core import calendars, money, texts
from tallystick.core.db import Db
from tallystick.custody import accounts, errors, numbers
from tallystick.custody.numbers import AccountNumber, Family
from tallystick.custody.payout_models import PayoutTerms
from tallystick.custody.payouts import bank_accounts
from tallystick.custody.statements import amounts
from tallystick.evidence import canonical, log
from tallystick.identity import approvals
from tallystick.identity.access import Actor
from tallystick.identity.approvals import ApprovalId

KIND = "custody.change_payout_terms"
COOL_OFF_HOURS_MAX = 24 * 30


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTerms:
    """Terms about to be proposed; `bank_account` is the bank's control account, its asset the payouts' asset.

    A payout of more than `release_above_minor`, or that takes a client's payouts of a day over
    `daily_above_minor`, is released by a second person.
    """

    bank_account: AccountNumber
    release_above_minor: int
    daily_above_minor: int
    cool_off_hours: int
    cut_off: dt.time
    calendar: calendars.Calendar
    debtor_name: str
    debtor_account: str
    debtor_bic: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms(NewTerms):
    """Terms as they were approved."""

    id: int
    proposed_by: str
    approved_by: str
    at: dt.datetime


def misfit(new: NewTerms) -> tuple[str, str] | None:
    """The first thing wrong with terms: the field, and what was expected of it."""
    for field, expected, fits in (
        ("bank_account", "a bank's control account", numbers.family_of(new.bank_account) == Family.EXTERNAL),
        ("release_above_minor", f"0 to {money.AMOUNT_MAX}", 0 <= new.release_above_minor <= money.AMOUNT_MAX),
        ("daily_above_minor", f"0 to {money.AMOUNT_MAX}", 0 <= new.daily_above_minor <= money.AMOUNT_MAX),
        ("cool_off_hours", f"0 to {COOL_OFF_HOURS_MAX}", 0 <= new.cool_off_hours <= COOL_OFF_HOURS_MAX),
        (
            "cut_off",
            "a time of the book's day, by the minute",
            not new.cut_off.second and not new.cut_off.tzinfo,
        ),
        ("debtor_name", "1 to 70 characters", texts.says(new.debtor_name, 70)),
        (
            "debtor_account",
            "5 to 34 letters and digits",
            bool(bank_accounts.NUMBER.match(new.debtor_account)),
        ),
        ("debtor_bic", "8 or 11 characters of ISO 9362", amounts.is_bic(new.debtor_bic)),
    ):
        if not fits:
            return field, expected
    return None


def state(new: NewTerms, replaces: Terms | None) -> canonical.Payload:
    """What an approval of these terms is bound to: the terms, and the ones they replace."""
    return {
        "bank_account": numbers.account_text(new.bank_account),
        "release_above_minor": str(new.release_above_minor),
        "daily_above_minor": str(new.daily_above_minor),
        "cool_off_hours": new.cool_off_hours,
        "cut_off": new.cut_off.strftime("%H:%M"),
        "calendar": str(new.calendar),
        "debtor_name": new.debtor_name,
        "debtor_account": new.debtor_account,
        "debtor_bic": new.debtor_bic,
        "replaces": None if replaces is None else replaces.id,
    }


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def current(db: Db, book: int, asset_number: int) -> Terms:
    """The terms that hold for an asset of a book. Raises `errors.PayoutTermsMissing`."""
    for found in _terms(
        db,
        "where book_id = %s and bank_account_id / 10000000000 %% 10000 = %s order by id desc limit 1",
        [book, asset_number],
    ):
        return found
    raise errors.PayoutTermsMissing(book=book)


def terms(db: Db, terms_id: int) -> Terms:
    """The terms of this number."""
    return _terms(db, "where id = %s", [terms_id])[0]


def past(db: Db, book: int) -> Sequence[Terms]:
    """Every terms a book had, the newest first."""
    return _terms(db, "where book_id = %s order by id desc limit 200", [book])


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────


def propose(db: Db, new: NewTerms, *, note: str = "", actor: Actor, now: dt.datetime) -> ApprovalId:
    """Propose terms. Raises `errors.AccountUnknown`, `Malformed`, or what `approvals.propose` does."""
    if wrong := misfit(new):
        raise errors.Malformed(where="payout terms", field=wrong[0], expected=wrong[1])
    accounts.account(db, new.bank_account)
    return approvals.propose(
        db,
        KIND,
        _subject(new.bank_account),
        state(new, _held(db, new.bank_account)),
        book=numbers.book_of(new.bank_account),
        note=note,
        actor=actor,
        now=now,
    )


def approve(db: Db, approval_id: int, *, actor: Actor, now: dt.datetime) -> Terms:
    """Approve proposed terms: they hold from now on. Raises what `approvals.approve` does."""
    proposed = approvals.of_kind(db, approval_id, KIND)
    new = _of_state(proposed.state)
    with transaction.atomic(using=db):
        with connections[db].cursor() as cursor:
            cursor.execute(
                "select pg_advisory_xact_lock(hashtext(%s))", [f"custody.payout_terms {proposed.subject}"]
            )
        approvals.approve(db, approval_id, state(new, _held(db, new.bank_account)), actor=actor, now=now)
        row = PayoutTerms(
            book_id=numbers.book_of(new.bank_account),
            bank_account_id=new.bank_account,
            release_above_minor=new.release_above_minor,
            daily_above_minor=new.daily_above_minor,
            cool_off_hours=new.cool_off_hours,
            cut_off=new.cut_off,
            calendar=new.calendar,
            debtor_name=new.debtor_name,
            debtor_account=new.debtor_account,
            debtor_bic=new.debtor_bic,
            approval_id=approval_id,
            proposed_by=proposed.made_by,
            actor=actor.id,
            at=now,
        )
        row.save(using=db, force_insert=True)
        log.append(
            db,
            "custody.payout_terms_changed",
            {
                **state(new, None),
                "terms": row.pk,
                "approval": proposed.reference,
                "proposed_by": proposed.made_by,
            },
            actor=actor.id,
            at=now,
        )
    return terms(db, row.pk)


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


def _subject(bank_account: int) -> str:
    return numbers.account_text(bank_account)


def _held(db: Db, bank_account: int) -> Terms | None:
    found = _terms(db, "where bank_account_id = %s order by id desc limit 1", [bank_account])
    return found[0] if found else None


def _of_state(told: dict[str, canonical.Value]) -> NewTerms:
    return NewTerms(
        bank_account=numbers.parse_account(str(told["bank_account"])),
        release_above_minor=int(str(told["release_above_minor"])),
        daily_above_minor=int(str(told["daily_above_minor"])),
        cool_off_hours=int(str(told["cool_off_hours"])),
        cut_off=dt.time.fromisoformat(str(told["cut_off"])),
        calendar=calendars.Calendar(str(told["calendar"])),
        debtor_name=str(told["debtor_name"]),
        debtor_account=str(told["debtor_account"]),
        debtor_bic=str(told["debtor_bic"]),
    )


_SELECT = """
select id, bank_account_id, release_above_minor, daily_above_minor, cool_off_hours, cut_off, calendar, debtor_name,
    debtor_account, debtor_bic, proposed_by, actor, at
from custody_payout_terms
"""


def _terms(db: Db, rest: str, parameters: Sequence[int]) -> list[Terms]:
    with connections[db].cursor() as cursor:
        cursor.execute(f"{_SELECT} {rest}", parameters)
        return [
            Terms(
                id=row[0],
                bank_account=AccountNumber(row[1]),
                release_above_minor=row[2],
                daily_above_minor=row[3],
                cool_off_hours=row[4],
                cut_off=row[5],
                calendar=calendars.Calendar(row[6]),
                debtor_name=row[7],
                debtor_account=row[8],
                debtor_bic=row[9],
                proposed_by=row[10],
                approved_by=row[11],
                at=row[12],
            )
            for row in cursor.fetchall()
        ]

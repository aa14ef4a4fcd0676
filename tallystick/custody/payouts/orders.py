"""Orders: a client asks for their money, somebody else releases it, until then it can be called off.

For a customer's pages: `ask`, `cancel`, `payouts`, `payout`, beside `bank_accounts` and `notices`.
Promises: asked twice under one `request_key` is one payout; the amount is held on the client's account before
anybody is asked to release it; above the limits of the terms the releaser is not the asker, nor the owner; a
payout goes to the bank details it was ordered for or nowhere.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connections, transaction

from tallystick.core import money, texts
from tallystick.core.db import Db
from tallystick.custody import accounts, books, errors, holders, instructions, numbers
from tallystick.custody.codes import Code
from tallystick.custody.models import AmountRule
from tallystick.custody.numbers import AccountNumber, AuthorisationKind, AuthorisationNumber, Family
from tallystick.custody.payout_models import BankAccountStatus, PayoutStatus
from tallystick.custody.payout_references import end_to_end_id
from tallystick.custody.payouts import bank_accounts, day_limit, notices, postings, steps, terms
from tallystick.evidence import canonical, log
from tallystick.identity import access, approvals
from tallystick.identity.access import Actor

KIND = steps.RELEASE

AUTHORISED_FOR = timedelta(days=1)
"""How long the client's word stands: it is used at once, or after a moment's failure."""

OPEN_STATUSES = (
    PayoutStatus.ASKED,
    PayoutStatus.PENDING,
    PayoutStatus.RELEASED,
    PayoutStatus.BATCHED,
    PayoutStatus.SENT,
    PayoutStatus.ACCEPTED,
)
"""Of a payout whose end is not known yet."""


@dataclass(frozen=True, slots=True)
class Payout:
    """A payout as it stands. `payee` is the bank and the end of the number; `reason` that of its last step."""

    id: int
    book: int
    owner: str
    request_key: str
    debit_account: AccountNumber
    credit_account: AccountNumber
    asset: str
    scale: int
    amount_minor: int
    bank_account: int
    change_id: int
    holder_name: str
    payee: str
    authorisation: AuthorisationNumber
    needs_release: bool
    note: str
    asked_at: datetime
    asked_by: str
    status: PayoutStatus
    status_at: datetime
    reason: str
    batch: int | None

    @property
    def reference(self) -> str:
        """The id as shown outside."""
        return f"pay_{self.id}"

    @property
    def end_to_end_id(self) -> str:
        """The id by which every bank on its way knows it."""
        return end_to_end_id(self.book, self.id)

    @property
    def is_cancellable(self) -> bool:
        """Whether its owner may still call it off."""
        return self.status == PayoutStatus.PENDING


def state(payout: Payout) -> canonical.Payload:
    """What a release is bound to: everything but where the payout stands."""
    return {
        "payout": payout.reference,
        "owner": payout.owner,
        "debit_account": numbers.account_text(payout.debit_account),
        "amount_minor": str(payout.amount_minor),
        "asset": payout.asset,
        "bank_account": f"bnk_{payout.bank_account}",
        "bank_details": payout.change_id,
        "holder_name": payout.holder_name,
        "payee": payout.payee,
    }


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def payout(db: Db, payout_id: int) -> Payout:
    """The payout of this number. Raises `errors.PayoutUnknown`."""
    for found in _payouts(db, "p.id = %s", [payout_id], limit=1):
        return found
    raise errors.PayoutUnknown(payout=f"pay_{payout_id}")


def payouts(
    db: Db,
    book: int,
    *,
    status: PayoutStatus | None = None,
    owner: str | None = None,
    account: int | None = None,
    batch: int | None = None,
    is_open: bool = False,
    before: int | None = None,
    limit: int = 50,
) -> Sequence[Payout]:
    """Payouts of a book, the newest first; `before` continues a page. `is_open`: those alone that still go on."""
    still = (is_open, [str(each) for each in OPEN_STATUSES])
    return _payouts(
        db,
        "p.book_id = %s and (%s::text is null or s.status = %s) and (%s::text is null or p.owner = %s)"
        " and (%s::bigint is null or p.debit_account = %s) and (%s::bigint is null or l.batch_id = %s)"
        " and (%s::bigint is null or p.id < %s) and (not %s or s.status = any(%s))",
        [book, status, status, owner, owner, account, account, batch, batch, before, before, *still],
        limit=limit,
    )


def payable_to(
    db: Db, book: int, owner: str, debit_account: int, *, now: datetime
) -> Sequence[tuple[bank_accounts.BankAccount, datetime]]:
    """A client's bank accounts in use, each with when payouts may go there (then or earlier: now)."""
    held = terms.current(db, book, numbers.asset_of(debit_account))
    return [
        (each, max(now, each.payable_from(held.cool_off_hours)))
        for each in bank_accounts.of_owner(db, book, owner)
        if each.status != BankAccountStatus.CLOSED
    ]


def counts(db: Db, book: int) -> dict[PayoutStatus, int]:
    """How many payouts stand where."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select s.status, count(*) from custody_payout p cross join lateral (select status from"
            " custody_payout_step where payout_id = p.id order by number desc limit 1) s"
            " where p.book_id = %s group by 1",
            [book],
        )
        return {PayoutStatus(status): count for status, count in cursor.fetchall()}


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────


def ask(
    db: Db,
    debit_account: AccountNumber,
    bank_account_id: int,
    amount_minor: int,
    *,
    request_key: str,
    note: str = "",
    authorisation: AuthorisationNumber | None = None,
    actor: Actor,
    now: datetime,
) -> Payout:
    """Order a payout from a client's account to their own bank account, and hold the amount.

    The client asks from their own session, which is their authorisation; operations hand in the number of one
    the client has given for it (an order, `withdrawal`, this amount, these accounts, the bank account's
    `shown` as payee). `request_key` is the asker's own name for the order, up to 64 characters: the same one
    with the same order is the same payout.
    Look at the answer's status: `refused` with the ledger's reason (`insufficient_funds` …), `pending`,
    `released` where no second person is needed, or `asked` where the ledger could not be reached: it will be.

    Raises `errors.Malformed`, `NotAClientAccount`, `AccountUnknown`, `PayoutTermsMissing`,
    `NoticeNotAcknowledged`, `BankAccountUnknown`, `BankAccountOfAnother`, `BankAccountClosed`,
    `BankAccountUnverified`, `CoolingOff`, `AuthorisationUnfit` or `PayoutRequestDiffers`.
    """
    _require_well_formed(debit_account, amount_minor, request_key, note)
    account = accounts.account(db, debit_account)
    access.require(db, actor, "custody.make_payout", owner=holders.speaker(db, account, actor=actor))
    with transaction.atomic(using=db):
        # One client's orders one after the other: the daily limit counts those before.
        with connections[db].cursor() as cursor:
            cursor.execute(
                "select pg_advisory_xact_lock(hashtext('custody.payouts'), hashtext(%s))",
                [f"{account.book} {account.owner}"],
            )
        if (asked := _asked_before(db, account, request_key)) is not None:
            if (asked.debit_account, asked.bank_account, asked.amount_minor, asked.note) != (
                debit_account, bank_account_id, amount_minor, note,
            ):  # fmt: skip
                raise errors.PayoutRequestDiffers(request_key=request_key)
            payout_id = asked.id
        else:
            payout_id = _order(
                db,
                account,
                bank_account_id,
                amount_minor,
                request_key,
                note,
                authorisation,
                actor=actor,
                now=now,
            )
    _follow(db, account.book, payout_id, now)
    return payout(db, payout_id)


def cancel(db: Db, payout_id: int, *, reason: str = "", actor: Actor, now: datetime) -> Payout:
    """Call a payout off before it is released; what was held is the client's to use again.

    Raises `errors.PayoutUnknown`, `PayoutNotPending` or `Malformed`.
    """
    asked = payout(db, payout_id)
    debited = accounts.account(db, asked.debit_account)
    access.require(db, actor, "custody.make_payout", owner=holders.speaker(db, debited, actor=actor))
    if reason and not texts.says(reason, 200):
        raise errors.Malformed(where=asked.reference, field="reason", expected="at most 200 characters")
    with transaction.atomic(using=db):
        _require_pending(db, asked)
        _void(db, asked, "cancelled", actor=actor, now=now)
        steps.take(db, [payout_id], PayoutStatus.CANCELLED, reason=reason, actor=actor, now=now)
    _follow(db, asked.book, payout_id, now)
    return payout(db, payout_id)


def release(db: Db, payout_id: int, *, actor: Actor, now: datetime) -> Payout:
    """Let a pending payout go into the next batch. Not by whoever asked for it, nor by whose money it is.

    Raises `errors.PayoutUnknown`, `PayoutNotPending`, `OwnMoney`, `BankDetailsChanged`, `DayLimitReached`, or
    what `approvals.approve` does.
    """
    asked = payout(db, payout_id)
    access.require(db, actor, "custody.release_payout")
    with transaction.atomic(using=db):
        _require_pending(db, asked)
        if actor.customer_number == asked.owner:
            raise errors.OwnMoney(payout=asked.reference)
        if bank_accounts.bank_account(db, asked.bank_account).change_id != asked.change_id:
            raise errors.BankDetailsChanged(payout=asked.reference)
        debited = accounts.account(db, asked.debit_account)
        day_limit.require(db, debited, asked.amount_minor, asked.reference, now=now)
        waiting = approvals.pending(db, kind=KIND, subject=asked.reference)
        if not waiting:
            raise errors.PayoutNotPending(payout=asked.reference, status=asked.status)
        approvals.approve(db, waiting[0].id, state(asked), actor=actor, now=now)
        steps.take(db, [payout_id], PayoutStatus.RELEASED, approval=waiting[0].id, actor=actor, now=now)
    return payout(db, payout_id)


def decline(db: Db, payout_id: int, *, reason: str, actor: Actor, now: datetime) -> Payout:
    """Turn a pending payout down, with a reason; what was held is the client's to use again.

    Raises `errors.PayoutUnknown`, `PayoutNotPending`, or what `approvals.reject` does.
    """
    asked = payout(db, payout_id)
    access.require(db, actor, "custody.release_payout")
    if not texts.says(reason, 200):
        raise errors.Malformed(where=asked.reference, field="reason", expected="1 to 200 characters")
    with transaction.atomic(using=db):
        _require_pending(db, asked)
        for waiting in approvals.pending(db, kind=KIND, subject=asked.reference):
            approvals.reject(db, waiting.id, reason=reason, actor=actor, now=now)
        steps.take(db, [payout_id], PayoutStatus.DECLINED, reason=reason, actor=actor, now=now)
    _follow(db, asked.book, payout_id, now)
    return payout(db, payout_id)


# ── step ─────────────────────────────────────────────────────────────────────────────────────────────────


def advance(db: Db, book: int, *, now: datetime) -> int:
    """Call off what was ordered for bank details that have changed since, and ask the ledger for what is owed."""
    return _call_off_superseded(db, book, now) + postings.advance(db, book, now=now)


def _call_off_superseded(db: Db, book: int, now: datetime) -> int:
    reason = "bank_details_changed"
    waiting = _payouts(
        db,
        # From the changes, which are few, to what was ordered before them, which is fewer.
        """
        p.id = any (array(
            select o.id from custody_bank_account_change newer
            join custody_bank_account_change old
                on old.bank_account_id = newer.bank_account_id and old.number < newer.number
                    and (newer.details_at > old.details_at or newer.status = 'closed')
            join custody_payout o on o.bank_details_id = old.id
            where (newer.status = 'closed' or newer.status = 'unverified' and newer.number > 1) and o.book_id = %s
                and not exists (select from custody_payout_step e where e.payout_id = o.id
                    and e.status in ('refused', 'batched', 'cancelled', 'declined'))
        )) and s.status in ('pending', 'released')
        """,
        [book],
        limit=100,
    )
    done = 0
    for each in waiting:
        with transaction.atomic(using=db):
            if steps.hold_still(db, [each.id])[each.id] not in (PayoutStatus.PENDING, PayoutStatus.RELEASED):
                continue
            _void(db, each, reason, actor=postings.ACTOR, now=now)
            steps.take(db, [each.id], PayoutStatus.CANCELLED, reason=reason, actor=postings.ACTOR, now=now)
            done += 1
    return done


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


def _require_well_formed(debit_account: int, amount_minor: int, request_key: str, note: str) -> None:
    if numbers.family_of(debit_account) != Family.CLIENT:
        raise errors.NotAClientAccount(account=numbers.account_text(debit_account))
    for field, expected, fits in (
        ("amount_minor", f"1 to {money.AMOUNT_MAX}", 1 <= amount_minor <= money.AMOUNT_MAX),
        ("request_key", "1 to 64 characters", texts.says(request_key, 64)),
        ("note", "at most 140 characters", note == "" or texts.says(note, 140)),
    ):
        if not fits:
            raise errors.Malformed(where="payout", field=field, expected=expected)


def _asked_before(db: Db, account: accounts.Account, request_key: str) -> Payout | None:
    found = _payouts(
        db,
        "p.book_id = %s and p.owner = %s and p.request_key = %s",
        [account.book, account.owner, request_key],
        limit=1,
    )
    return found[0] if found else None


def _order(
    db: Db,
    account: accounts.Account,
    bank_account_id: int,
    amount_minor: int,
    request_key: str,
    note: str,
    authorisation: AuthorisationNumber | None,
    *,
    actor: Actor,
    now: datetime,
) -> int:
    """Every refusal in order, then the authorisation, the order, its first step and the proposal to release it."""
    held = terms.current(db, account.book, numbers.asset_of(account.number))
    read = notices.acknowledged(db, account.book, actor.customer_number or account.owner)
    if read is None:
        raise errors.NoticeNotAcknowledged(version=notices.current(db, account.book).version)
    payee = _payable(db, account, bank_account_id, held, now)
    used = authorisation or _authorise(
        db, account, held, payee, amount_minor, request_key, actor=actor, now=now
    )
    if authorisation is not None:
        _require_fit(db, authorisation, account, held, payee, amount_minor)
    needs_release = _needs_release(db, account, held, amount_minor, now)
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            insert into custody_payout (book_id, owner, request_key, debit_account, credit_account, amount_minor,
                bank_details_id, authorisation, acknowledgement_id, needs_release, note, asked_at, asked_by)
            values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) returning id
            """,
            [
                account.book, account.owner, request_key, account.number, held.bank_account, amount_minor,
                payee.change_id, used, read.id, needs_release, note, now, actor.id,
            ],
        )  # fmt: skip
        payout_id = int(cursor.fetchone()[0])
    log.append(
        db,
        "custody.payout_asked",
        {
            "payout": f"pay_{payout_id}",
            "debit_account": account.text,
            "amount_minor": str(amount_minor),
            "bank_account": payee.reference,
            "bank_details": payee.change_id,
            "authorisation": numbers.authorisation_text(used),
            "notice": read.version,
            "terms": held.id,
            "needs_release": needs_release,
        },
        actor=actor.id,
        at=now,
    )
    steps.take(db, [payout_id], PayoutStatus.ASKED, actor=actor, now=now)
    if needs_release:
        asked = payout(db, payout_id)
        approvals.propose(
            db,
            KIND,
            asked.reference,
            state(asked),
            book=asked.book,
            owner=actor.customer_number or asked.owner,
            actor=actor,
            now=now,
        )
    return payout_id


def _payable(
    db: Db, account: accounts.Account, bank_account_id: int, held: terms.Terms, now: datetime
) -> bank_accounts.BankAccount:
    payee = bank_accounts.bank_account(db, bank_account_id)
    # To one of those whose money it is; of an estate, to whom it is handed over.
    payees = holders.payees(holders.standing(db, account))
    if payee.book != account.book or payee.owner not in payees:
        raise errors.BankAccountOfAnother(bank_account=payee.reference, account=account.text)
    if payee.status == BankAccountStatus.CLOSED:
        raise errors.BankAccountClosed(bank_account=payee.reference)
    if payee.status != BankAccountStatus.VERIFIED:
        raise errors.BankAccountUnverified(bank_account=payee.reference)
    if now < (until := payee.payable_from(held.cool_off_hours)):
        zone = zoneinfo.ZoneInfo(books.book(db, account.book).time_zone)
        raise errors.CoolingOff(
            bank_account=payee.reference, until=f"{until.astimezone(zone):%Y-%m-%d %H:%M}"
        )
    return payee


def _authorise(
    db: Db,
    account: accounts.Account,
    held: terms.Terms,
    payee: bank_accounts.BankAccount,
    amount_minor: int,
    request_key: str,
    *,
    actor: Actor,
    now: datetime,
) -> AuthorisationNumber:
    return instructions.authorise(
        db,
        account.number,
        kind=AuthorisationKind.ORDER,
        credit_account=held.bank_account,
        payee=payee.shown,
        code=Code.WITHDRAWAL,
        amount_rule=AmountRule.EXACT,
        amount_minor=amount_minor,
        valid_from=now,
        valid_until=now + AUTHORISED_FOR,
        basis=f"payout {request_key}",
        actor=actor,
        now=now,
    )


def _require_fit(
    db: Db,
    authorisation: AuthorisationNumber,
    account: accounts.Account,
    held: terms.Terms,
    payee: bank_accounts.BankAccount,
    amount_minor: int,
) -> None:
    given = instructions.authorisation(db, authorisation)
    if (given.debit_account, given.credit_account, given.payee, given.code) != (
        account.number, held.bank_account, payee.shown, Code.WITHDRAWAL,
    ) or (given.amount_rule, given.amount_minor, given.uses) != (AmountRule.EXACT, amount_minor, 0):  # fmt: skip
        raise errors.AuthorisationUnfit(authorisation=given.text)


def _needs_release(
    db: Db, account: accounts.Account, held: terms.Terms, amount_minor: int, now: datetime
) -> bool:
    """Above the limit of one payout, or of one day's: many small ones are one large one.

    Nor is it released by rule where the book may not pay out that much today: somebody releases it another day.
    """
    if amount_minor > held.release_above_minor:
        return True
    there = day_limit.left(db, account, now=now)
    if there is not None and amount_minor > there:
        return True
    held_book = books.book(db, account.book)
    midnight = held_book.midnight(held_book.today(now))
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select coalesce(sum(p.amount_minor), 0) from custody_payout p where p.book_id = %s and p.owner = %s"
            " and p.asked_at >= %s and p.debit_account / 10000000000 %% 10000 = %s and not exists (select from"
            " custody_payout_step s where s.payout_id = p.id and s.status in ('refused', 'cancelled', 'declined'))",
            [account.book, account.owner, midnight, numbers.asset_of(account.number)],
        )
        today = int(cursor.fetchone()[0])
    return today + amount_minor > held.daily_above_minor


def _require_pending(db: Db, asked: Payout) -> None:
    status = steps.hold_still(db, [asked.id])[asked.id]
    if status != PayoutStatus.PENDING:
        raise errors.PayoutNotPending(payout=asked.reference, status=status)


def _void(db: Db, asked: Payout, why: str, *, actor: Actor, now: datetime) -> None:
    approvals.void(
        db, KIND, asked.reference, {**state(asked), "ended": why}, reason=why, actor=actor, now=now
    )


def _follow(db: Db, book: int, payout_id: int, now: datetime) -> None:
    """Ask the ledger at once. Where it takes nothing now the pulse asks later: what was decided stands."""
    try:
        postings.advance(db, book, payout_id=payout_id, now=now)
    except errors.PostingStopped:
        return


_SELECT = """
select p.id, p.book_id, p.owner, p.request_key, p.debit_account, p.credit_account, a.code, a.scale, p.amount_minor,
    c.bank_account_id, c.id, c.holder_name, c.bank_name || ' …' || c.last4, p.authorisation, p.needs_release, p.note,
    p.asked_at, p.asked_by, s.status, s.at, s.reason, l.batch_id
from custody_payout p
join custody_asset a on a.number = p.debit_account / 10000000000 %% 10000
join custody_bank_account_change c on c.id = p.bank_details_id
left join custody_payout_batch_line l on l.payout_id = p.id
cross join lateral (
    select status, at, reason from custody_payout_step where payout_id = p.id order by number desc limit 1
) s
"""


def _payouts(
    db: Db, where: str, parameters: Sequence[int | str | list[str] | None], *, limit: int
) -> list[Payout]:
    with connections[db].cursor() as cursor:
        cursor.execute(f"{_SELECT} where {where} order by p.id desc limit %s", [*parameters, limit])
        found = [list(row) for row in cursor.fetchall()]
    for row in found:
        row[18] = PayoutStatus(row[18])
    return [Payout(*row) for row in found]

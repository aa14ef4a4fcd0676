"""Conditions: accounts that sleep, accounts of the dead, estates; each with its way in and its way back.

Promises: a balance is never touched by any of this; money still comes in; none leaves but as the condition
allows, and the engine itself refuses it; an account falls asleep only after its holder was told in good time,
and its holder wakes it; a death, an estate and every way back from them is recorded by two people on a paper
they name; a freeze that something else put there stays when the condition ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db import connections, transaction

from tallystick.core import texts
from tallystick.core.db import Db
from tallystick.custody import accounts, books, errors, holders, instructions, numbers
from tallystick.custody.accounts import Account
from tallystick.custody.holder_models import Capacity, Condition
from tallystick.custody.holders import Holding, Party
from tallystick.custody.instructions import Standing
from tallystick.custody.models import AccountStatus
from tallystick.custody.numbers import AccountNumber, AuthorisationKind, Family
from tallystick.evidence import canonical, log
from tallystick.identity import access, approvals
from tallystick.identity.access import Actor
from tallystick.identity.approvals import ApprovalId

KIND = "custody.change_condition"
"""The kind of proposal: see `identity.approvals`."""

DAYS_MAX = 36_500

BY_STAFF = {
    Condition.ACTIVE: frozenset({Condition.DECEASED}),
    Condition.DORMANT: frozenset({Condition.DECEASED, Condition.ACTIVE}),
    Condition.DECEASED: frozenset({Condition.ACTIVE, Condition.ESTATE}),
    Condition.ESTATE: frozenset({Condition.DECEASED}),
}
"""From each condition, where two people of staff may bring an account. Sleep comes by time alone."""

_FROZEN = {
    AccountStatus.OPEN: AccountStatus.DEBITS_FROZEN,
    AccountStatus.CREDITS_FROZEN: AccountStatus.FROZEN,
}
"""What an account lets through, without its debits."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of an account's condition."""

    id: int
    account: AccountNumber
    before: Condition
    condition: Condition
    reason: str
    document: str
    approval: int | None
    at: datetime
    actor: str


@dataclass(frozen=True, slots=True)
class Dormancy:
    """After how many quiet days accounts of a book sleep, and how long before their holders are told."""

    days: int
    notice_days: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Notice:
    """That an account will sleep unless its holder does something on it."""

    last_movement_at: datetime
    dormant_from: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class _Now:
    """The newest change of an account, with what it did to what the account lets through."""

    condition: Condition
    state: int | None
    status_before: str


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────


def state(
    account: int,
    before: Condition,
    condition: Condition,
    *,
    reason: str,
    document: str,
    representative: str,
) -> canonical.Payload:
    """What is proposed and approved: from where to where, why, on what paper, and who acts for the estate."""
    return {
        "account": numbers.account_text(account),
        "before": str(before),
        "condition": str(condition),
        "reason": reason,
        "document": document,
        "representative": representative,
    }


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def changes(db: Db, account: int) -> Sequence[Change]:
    """Every change of an account's condition, the first one first."""
    return _changes(db, "where account_id = %s order by id", [account])


def standing_out(
    db: Db, book: int, *, condition: Condition | None = None, limit: int = 200
) -> Sequence[Change]:
    """The accounts of a book that are not simply active, by their newest change, the newest first."""
    books.book(db, book)
    return _changes(
        db,
        """
        c where account_id / %s = %s and condition <> 'active' and (%s::text is null or condition = %s)
            and not exists (
                select from custody_account_condition n where n.account_id = c.account_id and n.id > c.id)
        order by id desc limit %s
        """,
        [numbers.BOOK_UNIT, book, condition, condition, limit],
    )


def dormancy(db: Db, book: int) -> Dormancy | None:
    """When accounts of this book sleep; nothing: never."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select days, notice_days, at from custody_dormancy_rule where book_id = %s order by id desc limit 1",
            [book],
        )
        row = cursor.fetchone()
    return None if row is None else Dormancy(*row)


def notice(db: Db, account: int) -> Notice | None:
    """The notice that stands for an account: nothing has been done on it since."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select last_movement_at, dormant_from, at from custody_dormancy_notice where account_id = %s"
            " order by id desc limit 1",
            [account],
        )
        row = cursor.fetchone()
    if row is None or _last_movement(db, account) != row[0]:
        return None
    return Notice(*row)


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────


def set_dormancy(db: Db, book: int, *, days: int, notice_days: int, actor: Actor, now: datetime) -> Dormancy:
    """Say after how many days without a movement by the customer an account of this book sleeps.

    Raises `errors.BookUnknown` or `Malformed`.
    """
    access.require(db, actor, "custody.set_dormancy")
    books.book(db, book)
    if not 1 <= notice_days < days <= DAYS_MAX:
        raise errors.Malformed(
            where=f"book {book}", field="days", expected=f"more than notice_days, at most {DAYS_MAX}"
        )
    with transaction.atomic(using=db), connections[db].cursor() as cursor:
        cursor.execute(
            "insert into custody_dormancy_rule (book_id, days, notice_days, at, actor)"
            " values (%s, %s, %s, %s, %s)",
            [book, days, notice_days, now, actor.id],
        )
        log.append(
            db,
            "custody.dormancy_set",
            {"book": book, "days": days, "notice_days": notice_days},
            actor=actor.id,
            at=now,
        )
    return Dormancy(days, notice_days, now)


def reactivate(db: Db, account: int, *, actor: Actor, now: datetime) -> Change:
    """Wake a dormant account: the word of one who signs for it. Raises `errors.ConditionNotFrom` or `MayNotSign`."""
    found = accounts.account(db, account)
    access.require(db, actor, "custody.reactivate_account", owner=holders.speaker(db, found, actor=actor))
    with transaction.atomic(using=db):
        holders.hold_still(db, found.book, [found.number])
        stands = holders.standing(db, found)
        if actor.customer_number is not None and actor.customer_number not in holders.signers(stands):
            raise errors.MayNotSign(who=", ".join(sorted(holders.signers(stands))))
        if stands.condition != Condition.DORMANT:
            raise errors.ConditionNotFrom(condition=stands.condition, wanted=Condition.ACTIVE)
        return _become(db, found, Condition.ACTIVE, reason="woken by its holder", actor=actor, now=now)


def propose(
    db: Db,
    account: int,
    condition: Condition,
    *,
    reason: str,
    document: str,
    representative: str = "",
    actor: Actor,
    now: datetime,
) -> ApprovalId:
    """Propose a death, an estate with who represents it, or the way back. It holds once another approves.

    Raises `errors.AccountUnknown`, `NotAClientAccount`, `ConditionNotFrom` or `Malformed`, and what
    `approvals.propose` does.
    """
    access.require(db, actor, approvals.KINDS[KIND].make)
    found = accounts.account(db, account)
    before = holders.standing(db, found).condition
    _judge(found, before, condition, reason, document, representative)
    told = state(account, before, condition, reason=reason, document=document, representative=representative)
    return approvals.propose(db, KIND, found.text, told, book=found.book, actor=actor, now=now)


def approve(db: Db, approval_id: int, *, actor: Actor, now: datetime) -> Change:
    """Approve a proposed condition; it holds from the next transfer on. Raises what `approvals.approve` does.

    With a death every authorisation the account had given ends, but for legal orders: the dead order nothing.
    With an estate its representative is recorded as the one who signs.
    """
    access.require(db, actor, approvals.KINDS[KIND].check)
    proposed = approvals.of_kind(db, approval_id, KIND)
    told = {name: str(value) for name, value in proposed.state.items()}
    number = numbers.parse_account(told["account"])
    with transaction.atomic(using=db):
        holders.hold_still(db, numbers.book_of(number), [number])
        found = accounts.account(db, number)
        stands = holders.standing(db, found)
        wanted = Condition(told["condition"])
        approvals.approve(
            db,
            approval_id,
            state(
                number,
                stands.condition,
                wanted,
                reason=told["reason"],
                document=told["document"],
                representative=told["representative"],
            ),
            actor=actor,
            now=now,
        )
        if wanted == Condition.ESTATE:
            _represent(db, stands.holding, told, approval_id, actor=actor, now=now)
        change = _become(
            db,
            found,
            wanted,
            reason=told["reason"],
            document=told["document"],
            approval=approval_id,
            actor=actor,
            now=now,
        )
        if wanted == Condition.DECEASED:
            _end_authorisations(db, found, told["document"], actor=actor, now=now)
    return change


# ── step ─────────────────────────────────────────────────────────────────────────────────────────────────


def advance(db: Db, book: int, *, actor: Actor, now: datetime, limit: int = 100) -> int:
    """Tell holders of quiet accounts, and let those sleep who were told in time; how many of both.

    What the customer did: money paid in, an authorisation given or used, a deposit announced, a yes said as
    one of several holders, a waking. What others did, such as interest or a repayment, keeps nobody awake.
    """
    access.require(db, actor, "custody.mark_dormant")
    rule = dormancy(db, book)
    today = books.book(db, book).today(now)
    if rule is None or _swept(db, book, today):
        return 0
    done = 0
    for number, last in _quiet(db, book, now - timedelta(days=rule.days - rule.notice_days), limit, now=now):
        with transaction.atomic(using=db):
            holders.hold_still(db, numbers.book_of(number), [number])
            found = accounts.account(db, number)
            told = notice(db, number)
            if told is None:
                _tell(db, found, last, rule, actor=actor, now=now)
            elif told.dormant_from <= now:
                reason = f"nothing done by its holder since {last.date().isoformat()}"
                _become(db, found, Condition.DORMANT, reason=reason, actor=actor, now=now)
            else:
                continue
            done += 1
    if done == 0:
        # Looking at every account takes long: once a day, when nothing is left to do, that is written down.
        with connections[db].cursor() as cursor:
            cursor.execute(
                "insert into custody_dormancy_sweep (book_id, day, at) values (%s, %s, %s) on conflict do nothing",
                [book, today, now],
            )
    return done


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


def _judge(
    account: Account, before: Condition, condition: Condition, reason: str, document: str, representative: str
) -> None:
    if numbers.family_of(account.number) != Family.CLIENT:
        raise errors.NotAClientAccount(account=account.text)
    if condition not in BY_STAFF[before]:
        raise errors.ConditionNotFrom(condition=before, wanted=condition)
    for field, text, length_max, least in (
        ("reason", reason, 500, 1),
        ("document", document, 200, 1),
        ("representative", representative, 64, int(condition == Condition.ESTATE)),
    ):
        if not texts.says(text, length_max, least):
            raise errors.Malformed(
                where=account.text, field=field, expected=f"{least} to {length_max} characters"
            )


def _become(
    db: Db,
    account: Account,
    condition: Condition,
    *,
    reason: str,
    document: str = "",
    approval: int | None = None,
    actor: Actor,
    now: datetime,
) -> Change:
    """Write the change, and freeze or thaw with it. What else froze the account is not undone.

    A freeze comes before its condition and a thaw after it: in between, the database refuses both.
    """
    before = _current(db, account.number)
    blocks = condition in (Condition.DORMANT, Condition.DECEASED)
    put_by, status_before = before.state, before.status_before
    if blocks and before.condition in (Condition.ACTIVE, Condition.ESTATE):
        put_by, status_before = None, ""
        if (frozen := _FROZEN.get(account.status)) is not None:
            put = accounts.follow(
                db, account.number, frozen, f"{condition}: {reason}"[:500], actor=actor, now=now
            )
            put_by, status_before = put.id, str(account.status)
    with connections[db].cursor() as cursor:
        cursor.execute(
            "insert into custody_account_condition (account_id, before, condition, reason, document, approval,"
            " state, status_before, at, actor) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) returning id",
            [
                account.number,
                str(before.condition),
                str(condition),
                reason,
                document,
                approval,
                put_by if blocks else None,
                status_before if blocks else "",
                now,
                actor.id,
            ],
        )
        change_id = cursor.fetchone()[0]
    if not blocks and put_by is not None and put_by == accounts.states(db, account.number)[-1].id:
        accounts.follow(
            db,
            account.number,
            AccountStatus(status_before),
            f"{condition}: {reason}"[:500],
            actor=actor,
            now=now,
        )
    log.append(
        db,
        "custody.account_condition_changed",
        {
            "account": account.text,
            "before": str(before.condition),
            "condition": str(condition),
            "reason": reason,
            "document": document,
            "approval": None if approval is None else approvals.reference(approval),
        },
        actor=actor.id,
        at=now,
    )
    return Change(
        change_id, account.number, before.condition, condition, reason, document, approval, now, actor.id
    )


def _represent(
    db: Db, holding: Holding, told: dict[str, str], approval_id: int, *, actor: Actor, now: datetime
) -> None:
    """Record the estate's representative beside those who held the account."""
    parties = [each for each in holding.parties if each.capacity != Capacity.REPRESENTATIVE]
    parties = [each for each in parties if each.customer_number != told["representative"]]
    parties.append(Party(told["representative"], Capacity.REPRESENTATIVE))
    holders.record(
        db,
        holding.account,
        holding.rule,
        parties,
        document=told["document"],
        reason=told["reason"],
        approval=approval_id,
        actor=actor,
        now=now,
    )


def _end_authorisations(db: Db, account: Account, document: str, *, actor: Actor, now: datetime) -> None:
    after = 0
    while given := instructions.authorisations(db, account.number, after=after, limit=500):
        for each in given:
            if each.kind != AuthorisationKind.LEGAL and instructions.standing(each, now) in (
                Standing.VALID,
                Standing.NOT_YET_VALID,
            ):
                instructions.end(db, each, f"holder deceased: {document}", actor=actor, now=now)
        after = given[-1].number


def _tell(db: Db, account: Account, last: datetime, rule: Dormancy, *, actor: Actor, now: datetime) -> None:
    # However late the rule was made, the holder has the whole notice.
    dormant_from = max(last + timedelta(days=rule.days), now + timedelta(days=rule.notice_days))
    with connections[db].cursor() as cursor:
        cursor.execute(
            "insert into custody_dormancy_notice (account_id, last_movement_at, dormant_from, at)"
            " values (%s, %s, %s, %s)",
            [account.number, last, dormant_from, now],
        )
    log.append(
        db,
        "custody.dormancy_noticed",
        {"account": account.text, "dormant_from": dormant_from.isoformat()},
        actor=actor.id,
        at=now,
    )


def _swept(db: Db, book: int, day: date) -> bool:
    with connections[db].cursor() as cursor:
        cursor.execute("select 1 from custody_dormancy_sweep where book_id = %s and day = %s", [book, day])
        return cursor.fetchone() is not None


def _current(db: Db, account: int) -> _Now:
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select condition, state, status_before from custody_account_condition where account_id = %s"
            " order by id desc limit 1",
            [account],
        )
        row = cursor.fetchone()
    return _Now(Condition.ACTIVE, None, "") if row is None else _Now(Condition(row[0]), row[1], row[2])


def _changes(db: Db, rest: str, parameters: Sequence[int | str | None]) -> list[Change]:
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select id, account_id, before, condition, reason, document, approval, at, actor"  # noqa: S608
            f" from custody_account_condition {rest}",
            parameters,
        )
        return [
            Change(row[0], AccountNumber(row[1]), Condition(row[2]), Condition(row[3]), *row[4:])
            for row in cursor.fetchall()
        ]


# The newest thing a customer did on each account of a book. One index step for each kind of it.
_LAST = """
greatest(
    a.opened_at,
    (select max(x.given_at) from custody_authorisation x where x.debit_account = a.number),
    (select max(d.at) from custody_deposit_announcement d where d.account_id = a.number),
    (select max(h.at) from custody_holder_consent h where h.account_id = a.number),
    (select max(c.at) from custody_account_condition c where c.account_id = a.number and c.condition = 'active'),
    (select max(t.recorded_at) from (
        select u.position from custody_authorisation x
        cross join lateral (
            select position from custody_authorisation_use
            where authorisation = x.number order by use desc limit 1
        ) u where x.debit_account = a.number order by u.position desc limit 1
    ) used join custody_transfer t on t.book_id = a.book_id and t.position = used.position),
    (select t.recorded_at from custody_entry e
        join custody_transfer t on t.book_id = a.book_id and t.position = e.position
        where e.account = a.number and t.code = 1 order by e.position desc limit 1)
)
"""


def _last_movement(db: Db, account: int) -> datetime:
    with connections[db].cursor() as cursor:
        cursor.execute(f"select {_LAST} from custody_account a where a.number = %s", [account])  # noqa: S608
        found: datetime = cursor.fetchone()[0]
    return found


def _quiet(
    db: Db, book: int, since: datetime, limit: int, *, now: datetime
) -> list[tuple[AccountNumber, datetime]]:
    """Client accounts on which nothing was done since, that are active, open, and wait to be told or to sleep.

    The many that cannot be among them fall out by what is quick to ask; `offset 0` keeps the order of asking. Who
    was told since, and is not due, was found quiet then: what they did after that is later than `since`.
    """
    with connections[db].cursor() as cursor:
        cursor.execute(
            f"""
            select a.number, moved.last
            from (
                select q.number, q.book_id, q.opened_at, n.last_movement_at, n.dormant_from from custody_account q
                left join lateral (
                    select given_at from custody_authorisation
                    where debit_account = q.number order by number desc limit 1
                ) given on true
                left join lateral (
                    select condition from custody_account_condition
                    where account_id = q.number order by id desc limit 1
                ) c on true
                left join lateral (
                    select last_movement_at, dormant_from, at from custody_dormancy_notice
                    where account_id = q.number order by id desc limit 1
                ) n on true
                where q.book_id = %(book)s and q.family = 1 and q.opened_at <= %(since)s
                    and coalesce(given.given_at <= %(since)s, true)
                    and coalesce(c.condition, 'active') = 'active'
                    and (n.at is null or n.at <= %(since)s or n.dormant_from <= %(now)s)
                    and exists (
                        select from custody_account_state s where s.account_id = q.number and s.status <> 'closed'
                            and not exists (
                                select from custody_account_state l where l.account_id = q.number and l.id > s.id))
                offset 0
            ) a
            cross join lateral (select {_LAST} as last offset 0) moved
            where moved.last <= %(since)s
                and (a.last_movement_at is distinct from moved.last or a.dormant_from <= %(now)s)
            order by a.number limit %(limit)s
            """,  # noqa: S608 -- the constant above
            {"book": book, "since": since, "now": now, "limit": limit},
        )
        return cursor.fetchall()  # type: ignore[no-any-return]

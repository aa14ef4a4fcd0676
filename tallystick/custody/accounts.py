"""Accounts: the places where money is counted, whose it is, and what each lets through.

Promises: an account belongs to one of four closed families for ever, and its number says which; every
change of what it lets through is a row with its reason; what is closed had nothing on it, nothing held,
and stays closed; only a control account at a bank may ever stand on the wrong side.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from django.db import IntegrityError, connections, transaction

from tallystick.core import money
from tallystick.core.db import Db
from tallystick.custody import assets, books, errors, numbers
from tallystick.custody.models import AccountStatus
from tallystick.custody.numbers import AccountNumber, BookId, Family, Side
from tallystick.evidence import log
from tallystick.identity import access
from tallystick.identity.access import Actor

BOOK_LOCK = 1952541804
"""First key of the advisory lock under which a book is posted to; the second is the book."""

OPEN_MANY_MAX = 10_000
"""The most accounts opened in one transaction."""

EXTERNAL_PAGE = 1_000
"""How many external accounts are read at a time."""


TEXT_TOLD_MAX = 60
"""How much is repeated of what somebody wrote where an account's number belongs."""


class Keep(Enum):
    """Leave a limit as it is. (No ceiling at all is `None`.)"""

    KEEP = "keep"


KEEP = Keep.KEEP


@dataclass(frozen=True, slots=True)
class Account:
    """An account as of its newest state. `owner` is the client's customer number, empty where none."""

    number: AccountNumber
    book: BookId
    family: Family
    asset: str
    scale: int
    normal_side: Side
    owner: str
    name: str
    reference: str
    opened_at: datetime
    opened_by: str
    status: AccountStatus
    no_overdraft: bool
    ceiling_minor: int | None
    status_reason: str
    status_at: datetime

    @property
    def text(self) -> str:
        """The number as it is written outside."""
        return numbers.account_text(self.number)


@dataclass(frozen=True, slots=True)
class State:
    """One change of what an account lets through."""

    id: int
    status: AccountStatus
    no_overdraft: bool
    ceiling_minor: int | None
    reason: str
    at: datetime
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """An account about to be opened.

    `reference` is the opener's own name for it, unique in the book. Left out, `no_overdraft` is true but
    for external accounts, and there is no ceiling; anything else takes the right to set limits.
    """

    family: Family
    asset_code: str
    owner: str = ""
    name: str
    reference: str
    no_overdraft: bool | None = None
    ceiling_minor: int | None = None

    @property
    def overdraft_refused(self) -> bool:
        return self.family != Family.EXTERNAL if self.no_overdraft is None else self.no_overdraft

    @property
    def sets_limits(self) -> bool:
        """Whether it asks for other limits than its family's own."""
        return self.ceiling_minor is not None or self.overdraft_refused != (self.family != Family.EXTERNAL)


def misfit(new: NewAccount) -> tuple[str, str] | None:
    """The first thing wrong with an account about to be opened: the field, and what was expected of it."""
    if not _says_something(new.name, 120):
        return "name", "1 to 120 characters"
    if not _says_something(new.reference, 64):
        return "reference", "1 to 64 characters"
    if new.family != Family.CLIENT and new.owner:
        return "owner", "empty: only a client account has an owner"
    if new.owner and not _says_something(new.owner, 64):
        return "owner", "at most 64 characters"
    return limits_misfit(new.family, no_overdraft=new.overdraft_refused, ceiling_minor=new.ceiling_minor)


def limits_misfit(family: Family, *, no_overdraft: bool, ceiling_minor: int | None) -> tuple[str, str] | None:
    """What is wrong with these limits for an account of this family: the field, and what was expected.

    Money held for clients, the platform's own money and suspense are never below nothing; only an account
    that mirrors a bank's may be, for the bank may have lent.
    """
    if not no_overdraft and family != Family.EXTERNAL:
        return "no_overdraft", "true: only external accounts may be overdrawn"
    if ceiling_minor is not None and not 0 <= ceiling_minor <= money.BALANCE_MAX:
        return "ceiling_minor", f"a whole number of minor units from 0 to {money.BALANCE_MAX}, or left out"
    return None


def account(db: Db, number: int) -> Account:
    """The account of this number. Raises `errors.AccountUnknown`."""
    for found in _accounts(db, "where a.number = %s", [number]):
        return found
    raise errors.AccountUnknown(account=numbers.account_text(number))


def number(text: str) -> AccountNumber:
    """The number in `acc_…`. Raises `errors.AccountUnknown`: one that cannot be is as unknown as one that is not."""
    try:
        return numbers.parse_account(text)
    except ValueError:
        raise errors.AccountUnknown(account=text[:TEXT_TOLD_MAX]) from None


def of_text(db: Db, text: str, *, book: int | None = None) -> Account:
    """The account of an `acc_…`, where one book is asked for of that book.

    Raises `errors.AccountUnknown`, alike for what is nowhere and what is in another book.
    """
    found = account(db, number(text))
    if book is not None and found.book != book:
        raise errors.AccountUnknown(account=text)
    return found


def several(db: Db, wanted: Iterable[int]) -> dict[int, Account]:
    """The accounts of these numbers; one that is not there is left out."""
    found = _accounts(db, "where a.number = any(%(wanted)s)", {"wanted": sorted(set(wanted))})
    return {each.number: each for each in found}


def account_of_reference(db: Db, book: int, reference: str) -> Account:
    """The account that its opener calls so. Raises `errors.AccountUnknown`."""
    for found in _accounts(db, "where a.book_id = %s and a.reference = %s", [book, reference]):
        return found
    raise errors.AccountUnknown(account=reference)


def named(db: Db, book: int, names: Sequence[str]) -> dict[str, Account]:
    """The accounts of a book by what files call them: `acc_…`, or else their reference.

    A name that no account has is left out.
    """
    by_number: dict[int, str] = {}
    for name in names:
        with contextlib.suppress(ValueError):
            by_number[numbers.parse_account(name)] = name
    called = set(names) - set(by_number.values())
    found = _accounts(
        db,
        "where a.book_id = %s and (a.number = any(%s) or a.reference = any(%s))",
        [book, list(by_number), list(called)],
    )
    return {
        **{each.reference: each for each in found if each.reference in called},
        **{by_number[each.number]: each for each in found if each.number in by_number},
    }


def accounts(
    db: Db,
    book: int,
    *,
    family: Family | None = None,
    asset: str | None = None,
    owner: str | None = None,
    status: AccountStatus | None = None,
    search: str | None = None,
    among: Sequence[int] | None = None,
    after: int = 0,
    limit: int = 100,
) -> Sequence[Account]:
    """Accounts of a book by number, `limit` of them after account `after`; of these numbers alone, `among`.

    `search` finds a part of the name, the reference or the owner, or of the account's number.
    Raises `errors.BookUnknown`.
    """
    books.book(db, book)
    where = ["a.book_id = %(book)s", "a.number > %(after)s"]
    if family is not None:
        # The family's numbers are neighbours of each other, so the primary key finds them.
        where.append("a.number >= %(family_from)s and a.number < %(family_to)s")
    if asset is not None:
        where.append("c.code = %(asset)s")
    if owner is not None:
        where.append("a.owner = %(owner)s")
    if among is not None:
        where.append("a.number = any(%(among)s)")
    if status is not None:
        where.append("s.status = %(status)s")
    if search:
        where.append(
            "(a.name ilike %(like)s or a.reference ilike %(like)s or a.owner ilike %(like)s"
            " or lpad(a.number::text, 18, '0') like %(like_number)s)"
        )
    family_from = book * numbers.BOOK_UNIT + (family or 0) * numbers.FAMILY_UNIT
    found = _escaped(search or "")
    return _accounts(
        db,
        f"where {' and '.join(where)} order by a.number limit %(limit)s",
        {
            "book": book,
            "after": after,
            "family_from": family_from,
            "family_to": family_from + numbers.FAMILY_UNIT,
            "asset": asset,
            "owner": owner,
            "among": None if among is None else list(among),
            "status": None if status is None else str(status),
            "like": f"%{found}%",
            "like_number": f"%{_escaped((search or '').removeprefix('acc_'))}%",
            "limit": limit,
        },
    )


def external(db: Db, book: int, asset: str | None = None, *, page: int = EXTERNAL_PAGE) -> Iterator[Account]:
    """Every external account of a book, by number, however many there are.

    Raises `errors.BookUnknown` once it is read from.
    """
    after = 0
    while True:
        found = accounts(db, book, family=Family.EXTERNAL, asset=asset, after=after, limit=page)
        yield from found
        if len(found) < page:
            return
        after = found[-1].number


def states(db: Db, number: int) -> Sequence[State]:
    """Every change of what an account lets through, the first one first. Raises `errors.AccountUnknown`."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select id, status, no_overdraft, ceiling_minor, reason, at, actor from custody_account_state"
            " where account_id = %s order by id",
            [number],
        )
        found = [State(row[0], AccountStatus(row[1]), *row[2:]) for row in cursor.fetchall()]
    if not found:
        raise errors.AccountUnknown(account=numbers.account_text(number))
    return found


def open_account(
    db: Db,
    book: int,
    family: Family,
    asset_code: str,
    *,
    owner: str = "",
    name: str,
    reference: str,
    no_overdraft: bool | None = None,
    ceiling_minor: int | None = None,
    actor: Actor,
    now: datetime,
) -> AccountNumber:
    """Open one account and return its number. Raises as `open_many` does."""
    new = NewAccount(
        family=family,
        asset_code=asset_code,
        owner=owner,
        name=name,
        reference=reference,
        no_overdraft=no_overdraft,
        ceiling_minor=ceiling_minor,
    )
    return open_many(db, book, [new], actor=actor, now=now)[0]


def open_many(
    db: Db, book: int, opened: Sequence[NewAccount], *, actor: Actor, now: datetime
) -> list[AccountNumber]:
    """Open accounts, all or none, and return their numbers in the order given; at most 10,000 at once.

    Raises `errors.BookUnknown`, `AssetUnknown`, `OwnerMissing`, `Malformed` (which names the account by
    its place in the list, from 0) or `AccountReferenceTaken`.
    """
    access.require(db, actor, "custody.open_account")
    if any(new.sets_limits for new in opened):
        access.require(db, actor, "custody.set_limits")
    if len(opened) > OPEN_MANY_MAX:
        raise errors.Malformed(where="accounts", field="list", expected=f"at most {OPEN_MANY_MAX} long")
    books.book(db, book)
    for i, new in enumerate(opened):
        if new.family == Family.CLIENT and not new.owner:
            raise errors.OwnerMissing
        if wrong := misfit(new):
            raise errors.Malformed(where=f"account {i}", field=wrong[0], expected=wrong[1])
    with transaction.atomic(using=db):
        asset_numbers = {
            code: assets.ensure_currency(db, code, actor=actor, now=now).number
            for code in sorted({new.asset_code for new in opened})
        }
        _require_free(db, book, opened)
        given = [
            numbers.account_number(book, new.family, asset_numbers[new.asset_code], serial)
            for new, serial in zip(opened, _serials(db, len(opened)), strict=True)
        ]
        _write(db, book, opened, given, actor=actor, now=now)
        log.append_many(
            db,
            [
                log.row(
                    "custody.account_opened",
                    {
                        "account": numbers.account_text(number),
                        "book": book,
                        "family": new.family.name.lower(),
                        "asset": new.asset_code,
                        "owner": new.owner,
                        "reference": new.reference,
                        "no_overdraft": new.overdraft_refused,
                        "ceiling_minor": _text(new.ceiling_minor),
                    },
                    actor=actor.id,
                    at=now,
                )
                for number, new in zip(given, opened, strict=True)
            ],
        )
    return given


def change_state(
    db: Db,
    number: int,
    status: AccountStatus,
    reason: str,
    *,
    no_overdraft: bool | None = None,
    ceiling_minor: int | Keep | None = KEEP,
    actor: Actor,
    now: datetime,
) -> State:
    """Freeze, unfreeze or close an account, or change its limits; what is left out stays as it is.

    It holds from the next batch on: the book's order is locked until this is committed. Raises
    `errors.AccountUnknown`, `Malformed`, `StateFinal`, `StateUnchanged` or `BalanceNotZero`; and
    `ConditionHolds` where it would let a dormant or a deceased customer's money out.
    """
    access.require(db, actor, "custody.change_account_state")
    _require_condition(db, number, status)
    changes_limits = no_overdraft is not None or ceiling_minor is not KEEP
    if changes_limits:
        access.require(db, actor, "custody.set_limits")
    return _change(
        db,
        number,
        status,
        reason,
        no_overdraft=no_overdraft,
        ceiling_minor=ceiling_minor,
        actor=actor,
        now=now,
    )


def follow(db: Db, number: int, status: AccountStatus, reason: str, *, actor: Actor, now: datetime) -> State:
    """Freeze or thaw an account because its condition changed: `conditions` asks who may, by its own rules.

    Raises as `change_state` does.
    """
    return _change(db, number, status, reason, no_overdraft=None, ceiling_minor=KEEP, actor=actor, now=now)


_SELECT = """
select a.number, a.book_id, a.family, c.code, c.scale, a.normal_side, a.owner, a.name, a.reference,
    a.opened_at, a.opened_by, s.status, s.no_overdraft, s.ceiling_minor, s.reason, s.at
from custody_account a
join custody_asset c on c.number = a.asset_id
left join lateral (
    select status, no_overdraft, ceiling_minor, reason, at from custody_account_state
    where account_id = a.number order by id desc limit 1
) s on true
"""


def _require_condition(db: Db, number: int, status: AccountStatus) -> None:
    """Nobody thaws a dormant or a deceased customer's account by hand; the database says so too."""
    if status not in (AccountStatus.OPEN, AccountStatus.CREDITS_FROZEN):
        return
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select condition from custody_account_condition where account_id = %s order by id desc limit 1",
            [number],
        )
        row = cursor.fetchone()
    if row is not None and row[0] in ("dormant", "deceased"):
        raise errors.ConditionHolds(condition=row[0])


def _change(
    db: Db,
    number: int,
    status: AccountStatus,
    reason: str,
    *,
    no_overdraft: bool | None,
    ceiling_minor: int | Keep | None,
    actor: Actor,
    now: datetime,
) -> State:
    if not _says_something(reason, 500):
        raise errors.Malformed(where="account", field="reason", expected="1 to 500 characters")
    with transaction.atomic(using=db):
        # The poster keeps states in memory and asks only for newer ids: an id given here must not become
        # visible after a higher one. And no transfer may slip between the balance read and the closing.
        with connections[db].cursor() as cursor:
            cursor.execute("select pg_advisory_xact_lock(%s, %s)", [BOOK_LOCK, number // numbers.BOOK_UNIT])
        old = account(db, number)
        ceiling = old.ceiling_minor if isinstance(ceiling_minor, Keep) else ceiling_minor
        refusing = old.no_overdraft if no_overdraft is None else no_overdraft
        if old.status == AccountStatus.CLOSED:
            raise errors.StateFinal
        if (status, refusing, ceiling) == (old.status, old.no_overdraft, old.ceiling_minor):
            raise errors.StateUnchanged
        if wrong := limits_misfit(old.family, no_overdraft=refusing, ceiling_minor=ceiling):
            raise errors.Malformed(where=old.text, field=wrong[0], expected=wrong[1])
        if status == AccountStatus.CLOSED and (left := _left(db, number)):
            raise errors.BalanceNotZero(balance=left)
        with connections[db].cursor() as cursor:
            cursor.execute(
                "insert into custody_account_state"
                " (book_id, account_id, status, no_overdraft, ceiling_minor, reason, at, actor)"
                " values (%s, %s, %s, %s, %s, %s, %s, %s) returning id",
                [old.book, number, str(status), refusing, ceiling, reason, now, actor.id],
            )
            state_id = cursor.fetchone()[0]
        log.append(
            db,
            "custody.account_state_changed",
            {
                "account": old.text,
                "before": str(old.status),
                "status": str(status),
                "no_overdraft": refusing,
                "ceiling_minor": _text(ceiling),
                "reason": reason,
            },
            actor=actor.id,
            at=now,
        )
    return State(state_id, status, refusing, ceiling, reason, now, actor.id)


def _accounts(db: Db, rest: str, parameters: list[Any] | Mapping[str, Any]) -> list[Account]:
    with connections[db].cursor() as cursor:
        cursor.execute(_SELECT + rest, parameters)
        found = [list(row) for row in cursor.fetchall()]
    for row in found:
        # An account without a state would be a fault of ours, and must not pass for an open one.
        row[2], row[5], row[11] = Family(row[2]), Side(row[5]), AccountStatus(row[11])
    return [Account(*row) for row in found]


def _left(db: Db, number: int) -> int:
    """What is on the account or held on it, in minor units; 0 where it may be closed."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select abs(credits_posted - debits_posted), debits_pending + credits_pending from custody_entry"
            " where account = %s order by position desc limit 1",
            [number],
        )
        balance, held = cursor.fetchone() or (0, 0)
    return int(balance or held)


def _require_free(db: Db, book: int, opened: Sequence[NewAccount]) -> None:
    wanted = [new.reference for new in opened]
    if len(set(wanted)) < len(wanted):
        twice = next(reference for reference in wanted if wanted.count(reference) > 1)
        raise errors.AccountReferenceTaken(reference=twice)
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select min(reference) from custody_account where book_id = %s and reference = any(%s)",
            [book, wanted],
        )
        if (taken := cursor.fetchone()[0]) is not None:
            raise errors.AccountReferenceTaken(reference=taken)


def _serials(db: Db, count: int) -> list[int]:
    with connections[db].cursor() as cursor:
        cursor.execute("select nextval('custody_account_serial') from generate_series(1, %s)", [count])
        return [serial for (serial,) in cursor.fetchall()]


def _write(
    db: Db,
    book: int,
    opened: Sequence[NewAccount],
    given: list[AccountNumber],
    *,
    actor: Actor,
    now: datetime,
) -> None:
    with connections[db].cursor() as cursor:
        try:
            cursor.execute(
                """
                insert into custody_account (number, book_id, asset_id, family, normal_side, owner, name,
                    reference, opened_at, opened_by)
                select number, %s, number / 10000000000 %% 10000, family, side, owner, name, reference, %s, %s
                from unnest(%s::bigint[], %s::smallint[], %s::smallint[], %s::text[], %s::text[], %s::text[])
                    as given (number, family, side, owner, name, reference)
                """,
                [
                    book,
                    now,
                    actor.id,
                    given,
                    [int(new.family) for new in opened],
                    [int(numbers.NORMAL_SIDE[new.family]) for new in opened],
                    [new.owner for new in opened],
                    [new.name for new in opened],
                    [new.reference for new in opened],
                ],
            )
        except IntegrityError as taken:
            # Somebody opened an account by one of these references since we looked.
            if "custody_account_reference" not in str(taken):
                raise
            raise errors.AccountReferenceTaken(
                reference=", ".join(new.reference for new in opened[:5])
            ) from taken
        cursor.execute(
            """
            insert into custody_account_state (book_id, account_id, status, no_overdraft, ceiling_minor,
                reason, at, actor)
            select %s, number, 'open', no_overdraft, ceiling, 'opened', %s, %s
            from unnest(%s::bigint[], %s::boolean[], %s::bigint[]) as given (number, no_overdraft, ceiling)
            """,
            [
                book,
                now,
                actor.id,
                given,
                [new.overdraft_refused for new in opened],
                [new.ceiling_minor for new in opened],
            ],
        )


def _says_something(text: str, length_max: int) -> bool:
    return text.strip() != "" and len(text) <= length_max and text.isprintable()


def _escaped(search: str) -> str:
    """The words looked for, so that `like` takes each character for itself."""
    return search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _text(ceiling_minor: int | None) -> str | None:
    return None if ceiling_minor is None else str(ceiling_minor)

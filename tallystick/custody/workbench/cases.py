"""Cases: the work on each difference, from the run that first found it to the one that no longer does.

Promises: one case for a difference, however many runs find it; a case is resolved by the reconciliation
alone, never by hand; each step is a row with who and when, and carries how the case stands after it.

A case is anchored to a line: the bank's where there is one, else the ledger's. What the difference is
called may change from run to run (timing today, missing at the bank next week); the case stays.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import connections, transaction

from tallystick.core import calendars
from tallystick.core.db import Db
from tallystick.custody import accounts, errors, matching, numbers, reconciliation
from tallystick.custody.book_days import Days
from tallystick.custody.breaks import BreakKind
from tallystick.custody.numbers import AccountNumber, BookId
from tallystick.custody.reconciliation import Break
from tallystick.custody.workbench_models import CaseAct, CaseStatus
from tallystick.evidence import log
from tallystick.identity import access
from tallystick.identity.access import Actor

NOTE_MAX = 1_000
LOCK = 1667330917
"""Class of the advisory lock under which the cases of a book change one after another."""

UNRESOLVED = (CaseStatus.OPEN, CaseStatus.IN_PROGRESS)

BUCKETS: tuple[tuple[int, int | None], ...] = ((0, 1), (2, 3), (4, 5), (6, 20), (21, None))
"""Ages in business days: first and last of each bucket."""


@dataclass(frozen=True, slots=True)
class Case:
    """A case as it stands."""

    id: str
    """`brk_` and a number."""
    book: BookId
    bank_account: AccountNumber
    anchor: str
    day: dt.date
    opened_at: dt.datetime
    status: CaseStatus
    owner: str
    kind: BreakKind
    effect_minor: int
    reconciliation: str
    """The run that last said something new about it."""
    break_number: int
    changed_at: dt.datetime
    reference: str

    @property
    def number(self) -> int:
        return _number(self.id)

    @property
    def is_resolved(self) -> bool:
        return self.status is CaseStatus.RESOLVED


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened to a case, and how it stood after."""

    act: CaseAct
    status: CaseStatus
    owner: str
    kind: BreakKind
    effect_minor: int
    reconciliation: str
    break_number: int
    transfer: str | None
    note: str
    at: dt.datetime
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which cases: all of a kind, an account, an owner, an age, an amount. Nothing given: no limit."""

    statuses: Sequence[CaseStatus] = UNRESOLVED
    kind: BreakKind | None = None
    bank_account: int | None = None
    owner: str | None = None
    """An actor's id; empty: cases nobody has taken."""
    day_min: dt.date | None = None
    day_max: dt.date | None = None
    effect_min_minor: int | None = None
    """Of its size, whatever its sign."""
    effect_max_minor: int | None = None
    search: str | None = None


@dataclass(frozen=True, slots=True)
class Total:
    """All cases of one kind that fit: how many, and what they add to the bank's total."""

    kind: BreakKind
    count: int
    effect_minor: int


@dataclass(frozen=True, slots=True)
class Followed:
    """What a run changed."""

    opened: int
    changed: int
    resolved: int


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────


def anchor(found: Break) -> str:
    """The line a difference stands for, in a form that every run gives it; a settlement's fees are its own."""
    if found.statement_line is not None:
        return f"line:{found.statement_line}{'/fee' if found.twin == matching.FEE else ''}"
    if found.position is not None:
        return f"position:{found.position}"
    return "opening"


def line_of(anchor: str) -> int | None:
    """The statement line that an anchor names, if it names one."""
    kind, _, key = anchor.partition(":")
    return int(key.partition("/")[0]) if kind == "line" else None


def anchored(breaks: Iterable[Break]) -> dict[str, Break]:
    """The differences of a run by what each stands for; of two that stand for one line the second is `…/2`."""
    found: dict[str, Break] = {}
    seen: Counter[str] = Counter()
    for each in breaks:
        name = anchor(each)
        seen[name] += 1
        found[name if seen[name] == 1 else f"{name}/{seen[name]}"] = each
    return found


def day_bounds(
    days: Days, today: dt.date, age_min: int | None, age_max: int | None
) -> tuple[dt.date | None, dt.date | None]:
    """The first and the last day whose age on `today` lies between these, in business days."""
    calendar, latest = days.calendar, calendars.on_or_before(days.calendar, today)

    def before(age: int) -> dt.date:
        # Older than `age - 1`: before the `age`-th business day back from today, which is counted.
        return calendars.add_business_days(calendar, latest, 1 - age)

    day_max = before(age_min) - dt.timedelta(days=1) if age_min else None
    day_min = before(age_max + 1) if age_max is not None else None
    return day_min, day_max


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def case(db: Db, case_id: str) -> Case:
    """One case. Raises `errors.CaseUnknown`."""
    for found in _cases(db, "c.id = %(case)s", {"case": _number(case_id)}):
        return found
    raise errors.CaseUnknown(case=case_id)


def cases(db: Db, book: int, filters: Filters, *, skipped: int = 0, limit: int = 100) -> Sequence[Case]:
    """The cases of a book that fit, the oldest first, `limit` of them after `skipped`."""
    where, parameters = _where(book, filters)
    return _cases(db, where, {**parameters, "skipped": skipped, "limit": limit})


def totals(db: Db, book: int, filters: Filters) -> Sequence[Total]:
    """All cases that fit, by kind and bank account's asset being one: only kinds that occur."""
    where, parameters = _where(book, filters)
    with connections[db].cursor() as cursor:
        cursor.execute(
            f"select s.kind, count(*), sum(s.effect_minor) {_FROM} where {where} group by s.kind",
            parameters,
        )
        found = {row[0]: Total(BreakKind(row[0]), row[1], int(row[2])) for row in cursor.fetchall()}
    return [found[kind] for kind in BreakKind if kind in found]


def owners(db: Db, book: int) -> Sequence[str]:
    """Who has cases of a book that are not resolved."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            f"select distinct s.owner {_FROM} where c.book_id = %s and s.status <> 'resolved'"
            " and s.owner <> '' order by s.owner",
            [book],
        )
        return [owner for (owner,) in cursor.fetchall()]


def steps(db: Db, case_id: str) -> Sequence[Step]:
    """Everything that happened to a case, the first first."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select act, status, owner, kind, effect_minor, reconciliation_id, break_number, transfer, note,"
            " at, actor from custody_case_step where case_id = %s order by id",
            [_number(case_id)],
        )
        return [
            Step(
                CaseAct(row[0]),
                CaseStatus(row[1]),
                row[2],
                BreakKind(row[3]),
                row[4],
                f"rec_{row[5]}",
                row[6],
                None if row[7] is None else f"trf_{row[7]}",
                *row[8:],
            )
            for row in cursor.fetchall()
        ]


def difference(db: Db, found: Case) -> Break:
    """The difference itself, with its two sides, as the run said it that last changed the case."""
    return differences(db, [found])[0][1]


def differences(db: Db, found: Sequence[Case]) -> Sequence[tuple[Case, Break]]:
    """Several cases, each with its difference, in one read."""
    there = reconciliation.breaks_at(db, [(each.reconciliation, each.break_number) for each in found])
    return [(each, there[each.reconciliation, each.break_number]) for each in found]


def of_anchor(db: Db, bank_account: int, anchors: Iterable[str]) -> dict[str, Case]:
    """The cases of these lines, where there are any."""
    found = _cases(
        db,
        "c.bank_account_id = %(account)s and c.anchor = any(%(anchors)s)",
        {"account": bank_account, "anchors": list(anchors)},
    )
    return {each.anchor: each for each in found}


def unfollowed(db: Db, book: int, *, bank_account: int | None = None, limit: int = 100) -> Sequence[str]:
    """The runs whose breaks have not been taken up, the first first."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select r.id from custody_reconciliation r where r.book_id = %s"
            " and (%s::bigint is null or r.bank_account_id = %s) and not exists"
            " (select from custody_case_run f where f.reconciliation_id = r.id) order by r.id limit %s",
            [book, bank_account, bank_account, limit],
        )
        return [f"rec_{row[0]}" for row in cursor.fetchall()]


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────


def take(db: Db, case_id: str, *, actor: Actor, now: dt.datetime) -> Case:
    """Take a case, or take it over. Raises `errors.CaseUnknown` or `CaseResolved`."""
    access.require(db, actor, "custody.explain_break")
    with transaction.atomic(using=db):
        found = _unresolved(db, case_id)
        record(
            db,
            found,
            CaseAct.TAKEN,
            status=CaseStatus.IN_PROGRESS,
            owner=actor.id,
            actor=actor,
            now=now,
        )
    return case(db, case_id)


def write_note(db: Db, case_id: str, note: str, *, actor: Actor, now: dt.datetime) -> Case:
    """Write down what was found out. Raises `errors.CaseUnknown` or `Malformed`."""
    access.require(db, actor, "custody.explain_break")
    text = note.strip()
    if not text or len(text) > NOTE_MAX or "\x00" in text:
        raise errors.Malformed(where=case_id, field="note", expected=f"1 to {NOTE_MAX} characters")
    with transaction.atomic(using=db):
        lock(db, case(db, case_id).book)
        record(db, case(db, case_id), CaseAct.NOTED, note=text, actor=actor, now=now)
    return case(db, case_id)


def follow(db: Db, reconciliation_id: str, *, actor: Actor, now: dt.datetime) -> Followed:
    """Take up what a run found: new cases, changed ones, and those it no longer finds are resolved.

    A run is taken up once; again, nothing changes. A run as of a day before the last one that was taken up
    says nothing new about today, so it changes no case. Raises `errors.ReconciliationUnknown`.
    """
    access.require(db, actor, "custody.reconcile")
    with transaction.atomic(using=db):
        run = reconciliation.summary(db, reconciliation_id)
        lock(db, run.book)
        if _is_followed(db, run):
            return Followed(0, 0, 0)
        is_newest = not _is_superseded(db, run)
        done = _take_up(db, run, actor=actor, now=now) if is_newest else Followed(0, 0, 0)
        with connections[db].cursor() as cursor:
            cursor.execute(
                "insert into custody_case_run (reconciliation_id, is_newest, opened, changed, resolved, at)"
                " values (%s, %s, %s, %s, %s, %s)",
                [_run_number(run.id), is_newest, done.opened, done.changed, done.resolved, now],
            )
        log.append(
            db,
            "custody.breaks_followed",
            {
                "reconciliation": run.id,
                "opened": done.opened,
                "changed": done.changed,
                "resolved": done.resolved,
            },
            actor=actor.id,
            at=now,
        )
    return done


def advance(db: Db, book: BookId, *, actor: Actor, now: dt.datetime, limit: int = 10) -> int:
    """The step: take up the runs nobody has taken up. Returns how many."""
    waiting = unfollowed(db, book, limit=limit)
    for each in waiting:
        follow(db, each, actor=actor, now=now)
    return len(waiting)


def record(
    db: Db,
    found: Case,
    act: CaseAct,
    *,
    status: CaseStatus | None = None,
    owner: str | None = None,
    transfer: UUID | None = None,
    note: str = "",
    actor: Actor,
    now: dt.datetime,
) -> None:
    """Append a step and its event, in the caller's transaction and under the book's lock."""
    access.require(db, actor, "custody.read_statements")
    status = found.status if status is None else status
    owner = found.owner if owner is None else owner
    stood = replace(found, status=status, owner=owner)
    _write_steps(db, [_step(stood, act, transfer=transfer, note=note[:NOTE_MAX], actor=actor, now=now)])
    log.append(
        db,
        "custody.case_stepped",
        {
            "case": found.id,
            "act": act.value,
            "status": status.value,
            "owner": owner,
            "transfer": None if transfer is None else f"trf_{transfer}",
        },
        actor=actor.id,
        at=now,
    )


def lock(db: Db, book: int) -> None:
    """Hold the cases of a book still until the transaction ends."""
    with connections[db].cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(%s, %s)", [LOCK, book])


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────

_FROM = """
from custody_case c
cross join lateral (
    select * from custody_case_step where case_id = c.id order by id desc limit 1
) s
left join custody_break b on b.reconciliation_id = s.reconciliation_id and b.number = s.break_number
"""


def _cases(db: Db, where: str, parameters: dict[str, Any]) -> list[Case]:
    with connections[db].cursor() as cursor:
        cursor.execute(
            f"""
            select c.id, c.book_id, c.bank_account_id, c.anchor, c.day, c.opened_at, s.status, s.owner, s.kind,
                s.effect_minor, s.reconciliation_id, s.break_number, s.at, coalesce(b.reference, '')
            {_FROM} where {where} order by c.day, c.id limit %(limit)s offset %(skipped)s
            """,
            {"limit": None, "skipped": 0, **parameters},
        )
        return [
            Case(
                f"brk_{row[0]}",
                BookId(row[1]),
                AccountNumber(row[2]),
                row[3],
                row[4],
                row[5],
                CaseStatus(row[6]),
                row[7],
                BreakKind(row[8]),
                row[9],
                f"rec_{row[10]}",
                *row[11:],
            )
            for row in cursor.fetchall()
        ]


def _where(book: int, filters: Filters) -> tuple[str, dict[str, Any]]:
    conditions = {
        "c.book_id = %(book)s": book,
        "s.status = any(%(statuses)s)": [status.value for status in filters.statuses],
        "s.kind = %(kind)s": None if filters.kind is None else filters.kind.value,
        "c.bank_account_id = %(account)s": filters.bank_account,
        "s.owner = %(owner)s": filters.owner,
        "c.day >= %(day_min)s": filters.day_min,
        "c.day <= %(day_max)s": filters.day_max,
        "abs(s.effect_minor) >= %(effect_min)s": filters.effect_min_minor,
        "abs(s.effect_minor) <= %(effect_max)s": filters.effect_max_minor,
        "b.reference ilike %(search)s": None if not filters.search else f"%{_escaped(filters.search)}%",
    }
    given = {condition: value for condition, value in conditions.items() if value is not None}
    names = {condition.split("%(")[1].split(")")[0]: value for condition, value in given.items()}
    return " and ".join(given), names


def _unresolved(db: Db, case_id: str) -> Case:
    lock(db, case(db, case_id).book)
    found = case(db, case_id)
    if found.is_resolved:
        raise errors.CaseResolved(case=case_id)
    return found


def _is_followed(db: Db, run: reconciliation.Summary) -> bool:
    with connections[db].cursor() as cursor:
        cursor.execute("select from custody_case_run where reconciliation_id = %s", [_run_number(run.id)])
        return cursor.fetchone() is not None


def _is_superseded(db: Db, run: reconciliation.Summary) -> bool:
    """Whether a later run, or one of a later day, has been taken up for this account."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select from custody_case_run f join custody_reconciliation r on r.id = f.reconciliation_id"
            " where r.bank_account_id = %s and (r.cut_off > %s or r.id > %s) limit 1",
            [run.bank_account, run.cut_off, _run_number(run.id)],
        )
        return cursor.fetchone() is not None


def _take_up(db: Db, run: reconciliation.Summary, *, actor: Actor, now: dt.datetime) -> Followed:
    found = anchored(reconciliation.breaks(db, run.id))
    # Every case that is not resolved is of a difference that the run taken up last had: no others are read.
    before = _taken_up_last(db, run.bank_account)
    stood = set() if before is None else anchored(reconciliation.breaks(db, before)).keys()
    known = of_anchor(db, run.bank_account, found.keys() | stood)
    new = {name: each for name, each in found.items() if name not in known}
    rows: list[tuple[Any, ...]] = []
    changed = resolved = 0

    def step(held: Case, act: CaseAct, note: str = "") -> None:
        rows.append(_step(held, act, note=note, actor=actor, now=now))

    for each in _open_cases(db, run, new, now):
        step(each, CaseAct.OPENED)
    for name, held in sorted(known.items(), key=lambda each: (each[1].day, each[1].number)):
        here = found.get(name)
        if here is None:
            if not held.is_resolved:
                resolved += 1
                # The run in which it last stood stays named beside it; the one that no longer finds it is told.
                told = f"{run.id} ({run.cut_off.isoformat()}, {run.position})"
                step(replace(held, status=CaseStatus.RESOLVED), CaseAct.RESOLVED, told)
        elif held.is_resolved:
            changed += 1
            step(replace(_told_by(run, held, here), status=CaseStatus.OPEN), CaseAct.REOPENED)
        elif (here.kind, here.effect_minor) != (held.kind, held.effect_minor):
            changed += 1
            step(_told_by(run, held, here), CaseAct.CHANGED)
    _write_steps(db, rows)
    return Followed(len(new), changed, resolved)


def _taken_up_last(db: Db, bank_account: int) -> str | None:
    """The last run of a bank account that cases followed, views of earlier days left out."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select r.id from custody_reconciliation r join custody_case_run f on f.reconciliation_id = r.id"
            " where r.bank_account_id = %s and f.is_newest order by r.id desc limit 1",
            [bank_account],
        )
        row = cursor.fetchone()
    return None if row is None else f"rec_{row[0]}"


def _told_by(run: reconciliation.Summary, held: Case, here: Break) -> Case:
    """A case as a run tells its difference."""
    return replace(
        held,
        kind=here.kind,
        effect_minor=here.effect_minor,
        reconciliation=run.id,
        break_number=here.number,
    )


def _open_cases(db: Db, run: reconciliation.Summary, new: dict[str, Break], now: dt.datetime) -> list[Case]:
    """The new cases, as they stand before anybody has taken them."""
    if not new:
        return []
    with connections[db].cursor() as cursor:
        cursor.execute(
            "insert into custody_case (book_id, bank_account_id, anchor, day, opened_at)"
            " select %s, %s, given.anchor, given.day, %s from unnest(%s::text[], %s::date[])"
            " with ordinality as given (anchor, day, ordinal) order by given.ordinal returning anchor, id",
            [run.book, run.bank_account, now, list(new), [each.day for each in new.values()]],
        )
        ids = dict(cursor.fetchall())
    return [
        Case(
            f"brk_{ids[name]}",
            run.book,
            run.bank_account,
            name,
            each.day,
            now,
            CaseStatus.OPEN,
            "",
            each.kind,
            each.effect_minor,
            run.id,
            each.number,
            now,
            each.reference,
        )
        for name, each in new.items()
    ]


def _step(
    stood: Case,
    act: CaseAct,
    *,
    transfer: UUID | None = None,
    note: str = "",
    actor: Actor,
    now: dt.datetime,
) -> tuple[Any, ...]:
    """A step as a row: the case as it stands after it."""
    return (
        stood.number,
        act.value,
        stood.status.value,
        stood.owner,
        stood.kind.value,
        stood.effect_minor,
        _run_number(stood.reconciliation),
        stood.break_number,
        transfer,
        note,
        now,
        actor.id,
    )


def _write_steps(db: Db, rows: Sequence[tuple[Any, ...]]) -> None:
    with connections[db].cursor() as cursor:
        cursor.executemany(
            "insert into custody_case_step (case_id, act, status, owner, kind, effect_minor,"
            " reconciliation_id, break_number, transfer, note, at, actor)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            rows,
        )


def bank(db: Db, found: Case) -> accounts.Account:
    """The bank account a case is of: its asset and scale are the case's."""
    return accounts.account(db, found.bank_account)


def _escaped(search: str) -> str:
    return search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _number(case_id: str) -> int:
    number = numbers.row_number(case_id, "brk_")
    if number is None:
        raise errors.CaseUnknown(case=case_id)
    return number


def _run_number(reconciliation_id: str) -> int:
    number = numbers.row_number(reconciliation_id, "rec_")
    assert number is not None, "a run is named by its own summary"
    return number

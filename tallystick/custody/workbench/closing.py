"""Closing: a book's day is looked at, signed by two people, and stands from then on as what it was.

Promises: days close in order, each once; a day says which positions it holds and the SHA-256 over their
transfers, so that anybody can tell later whether they are the same; what was open when it closed is listed
and goes on to the next day; only the last closed day can be opened again, by two people and with a reason.

**What is signed.** A day holds the transfers recorded after the day before it and up to its own cut-off, by
position. The digest is SHA-256 over one line a transfer, in order, each ended by a line feed: a JSON array
of position, id, kind, code, debited account, credited account, amount in minor units, value date, recorded
at (UTC, to the microsecond) and reference (or null), without blanks, non-ASCII characters as they are.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from django.db import connections, transaction

from tallystick.core import calendars, texts
from tallystick.core.calendars import DayKind
from tallystick.core.db import Db
from tallystick.custody import book_days, books, errors, history
from tallystick.custody.book_days import Days
from tallystick.custody.numbers import BookId
from tallystick.custody.workbench import cases, checklist
from tallystick.custody.workbench.cases import Filters
from tallystick.custody.workbench.checklist import Check, Result
from tallystick.custody.workbench_models import DayAct
from tallystick.evidence import canonical, log
from tallystick.identity import access, approvals
from tallystick.identity.access import Actor
from tallystick.identity.approvals import Approval, ApprovalId

CLOSE = "custody.close_day"
REOPEN = "custody.reopen_day"
LOCK = 1668048227
"""Class of the advisory lock under which a book's days close one after another."""
_CHUNK = 20_000


class DayState(StrEnum):
    """How a day of a book stands."""

    REST = "rest"
    TO_COME = "to_come"
    OPEN = "open"
    """Over, or going on, and not closed yet."""
    LATE = "late"
    """Not closed, though the next business day is over too."""
    REOPENED = "reopened"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Day:
    """A row of a day: closed, or opened again."""

    id: str
    book: BookId
    day: dt.date
    number: int
    act: DayAct
    position_from: int
    position_to: int
    sha256: bytes
    calendar: str
    cut_off_at: dt.datetime
    checks: Sequence[Check]
    reason: str
    prepared_by: str
    signed_by: str
    at: dt.datetime
    rolled: int

    @property
    def transfers(self) -> int:
        return self.position_to - self.position_from + 1


@dataclass(frozen=True, slots=True)
class Rolled:
    """A difference that was open when a day closed."""

    case: str
    kind: str
    effect_minor: int
    age_days: int
    bank_account: int
    reference: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """Everything that is signed when a day is closed, as it stands now."""

    book: BookId
    day: dt.date
    calendar: str
    cut_off_at: dt.datetime
    position_from: int
    position_to: int
    sha256: bytes
    """As the first of two people signed it; empty: nobody has yet, and a look does not read the transfers."""
    checks: Sequence[Check]
    rolled: Sequence[cases.Case]

    @property
    def failing(self) -> list[Check]:
        return [each for each in self.checks if each.result is Result.FAIL]

    @property
    def subject(self) -> str:
        return subject(self.book, self.day)

    @property
    def state(self) -> dict[str, canonical.Value]:
        """What both people sign."""
        return {
            "book": self.book,
            "day": self.day.isoformat(),
            "calendar": self.calendar,
            "cut_off_at": self.cut_off_at.isoformat(),
            "position_from": self.position_from,
            "position_to": self.position_to,
            "sha256": self.sha256.hex(),
            "checks": checklist.payload(self.checks),
            "rolled": len(self.rolled),
            "rolled_sha256": _rolled_digest(self.rolled).hex(),
        }


@dataclass(frozen=True, slots=True)
class Calendared:
    """A day of the calendar, and how the book stands on it."""

    date: dt.date
    kind: DayKind
    en: str
    zh: str
    state: DayState
    closed: Day | None


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────


def subject(book: int, day: dt.date) -> str:
    """What the proposals of a day are about."""
    return f"book {book} day {day.isoformat()}"


def row_text(row: Sequence[object]) -> bytes:
    """One transfer as the digest of its day reads it."""
    return json.dumps(list(row), separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _rolled_digest(rolled: Sequence[cases.Case]) -> bytes:
    whole = hashlib.sha256()
    for each in rolled:
        whole.update(f"{each.id} {each.kind} {each.effect_minor}\n".encode())
    return whole.digest()


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def last_closed(db: Db, book: int, *, before: dt.date = dt.date.max) -> Day | None:
    """The newest day of a book, of those before one, that is closed and was not opened again."""
    where = f"d.book_id = %s and d.day < %s and {_STANDS}"
    return next(iter(_days(db, where, [book, before], limit=1)), None)


def rows(db: Db, book: int, day: dt.date) -> Sequence[Day]:
    """Everything that happened to a day: closed, opened again, closed again."""
    return list(reversed(_days(db, "d.book_id = %s and d.day = %s", [book, day])))


def next_day(db: Db, book: int) -> dt.date | None:
    """The day that is to be closed next; nothing where none was closed yet: the first may be any."""
    last = last_closed(db, book)
    return None if last is None else book_days.days(db, book).next(last.day)


def rolled(db: Db, day_id: str) -> Sequence[Rolled]:
    """What a closed day rolled to the next, the oldest first."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select r.case_id, r.kind, r.effect_minor, r.age_days, c.bank_account_id, coalesce(b.reference, '')
            from custody_rolled_item r join custody_case c on c.id = r.case_id
            left join lateral (select reconciliation_id, break_number from custody_case_step
                where case_id = c.id order by id desc limit 1) s on true
            left join custody_break b on b.reconciliation_id = s.reconciliation_id
                and b.number = s.break_number
            where r.book_day_id = %s order by r.age_days desc, r.id
            """,
            [int(day_id.removeprefix("day_"))],
        )
        return [Rolled(f"brk_{row[0]}", *row[1:]) for row in cursor.fetchall()]


def digest(db: Db, book: int, position_from: int, position_to: int) -> bytes:
    """SHA-256 over the transfers from one position to another: see the head of this file."""
    whole = hashlib.sha256()
    with connections[db].cursor() as cursor:
        for start in range(position_from, position_to + 1, _CHUNK):
            cursor.execute(
                """
                select position, 'trf_' || id, kind, code, 'acc_' || lpad(debit_account::text, 18, '0'),
                    'acc_' || lpad(credit_account::text, 18, '0'), amount_minor, value_date::text,
                    to_char(recorded_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), reference
                from custody_transfer where book_id = %s and position between %s and %s order by position
                """,
                [book, start, min(start + _CHUNK - 1, position_to)],
            )
            for row in cursor.fetchall():
                whole.update(row_text(row))
    return whole.digest()


def sheet(db: Db, book: int, day: dt.date, *, now: dt.datetime) -> Sheet:
    """What closing this day would sign, as it stands now; nothing is refused but a day that is none.

    Raises `errors.BookUnknown`, `DayNotBusiness` or `YearWithoutCalendar`.
    """
    days = _business(db, book, day)
    cut_off_at = days.cut_off_at(day)
    before = last_closed(db, book, before=day)
    position_from = 1 if before is None else before.position_to + 1
    opened_at = books.book(db, book).opened_at
    reached = history.position_at(db, book, cut_off_at) if cut_off_at >= opened_at else 0
    position_to = max(reached, position_from - 1)
    open_cases = cases.cases(db, book, Filters(day_max=day), limit=100_000)
    signed = next((each.state for each in proposals(db, book, day) if each.kind == CLOSE), {})
    is_same = (signed.get("position_from"), signed.get("position_to")) == (position_from, position_to)
    return Sheet(
        BookId(book),
        day,
        days.calendar.value,
        cut_off_at,
        position_from,
        position_to,
        bytes.fromhex(str(signed["sha256"])) if is_same else b"",
        checklist.checks(db, days, day, position_to=position_to, open_cases=open_cases),
        open_cases,
    )


def calendar(db: Db, book: int, start: dt.date, end: dt.date, *, now: dt.datetime) -> Sequence[Calendared]:
    """Each day from `start` to `end` and how the book stands on it. Raises `YearWithoutCalendar`."""
    days = book_days.days(db, book)
    opened = books.book(db, book).opened_at
    held = {
        each.day: each
        for each in _days(
            db, "d.book_id = %s and d.day between %s and %s", [book, start, end], newest_of_each=True
        )
    }
    # Before the first close no day is late: nobody has begun.
    with connections[db].cursor() as cursor:
        cursor.execute("select min(day) from custody_book_day where book_id = %s", [book])
        first = cursor.fetchone()[0]
    return [
        Calendared(
            each.date,
            each.kind,
            each.en,
            each.zh,
            _state(days, each, held, first or days.business_date(opened), first is not None, now),
            held.get(each.date),
        )
        for each in calendars.days(days.calendar, start, end)
    ]


def proposals(db: Db, book: int, day: dt.date | None = None) -> Sequence[Approval]:
    """Closings and reopenings of a book, or of one of its days, that wait for the second person."""
    about = None if day is None else subject(book, day)
    return [
        each
        for kind in (CLOSE, REOPEN)
        for each in approvals.pending(db, kind=kind, subject=about, book=book)
    ]


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────


def prepare(db: Db, book: int, day: dt.date, *, actor: Actor, now: dt.datetime) -> ApprovalId:
    """Sign a day as the first of two. Raises what `refusal` tells, and what `approvals.propose` does."""
    access.require(db, actor, "custody.prepare_close")
    with transaction.atomic(using=db):
        _lock(db, book)
        found = _closable(db, book, day, now)
        return approvals.propose(db, CLOSE, found.subject, found.state, book=book, actor=actor, now=now)


def sign(db: Db, approval_id: int, *, actor: Actor, now: dt.datetime) -> Day:
    """Sign a day as the second of two: it is closed. What was signed first must still be so.

    Raises what `refusal` tells, and what `approvals.of_kind` and `approve` do.
    """
    access.require(db, actor, "custody.sign_close")
    proposed = approvals.of_kind(db, approval_id, CLOSE)
    book, day = int(str(proposed.state["book"])), dt.date.fromisoformat(str(proposed.state["day"]))
    with transaction.atomic(using=db):
        _lock(db, book)
        found = _closable(db, book, day, now)
        approved = approvals.approve(db, approval_id, found.state, actor=actor, now=now)

        # After this point, the day is closed.
        days = book_days.days(db, book)
        written = _write(
            db, found, DayAct.CLOSED, approved, number=len(rows(db, book, day)) + 1, actor=actor, now=now
        )
        with connections[db].cursor() as cursor:
            cursor.executemany(
                "insert into custody_rolled_item (book_day_id, case_id, kind, effect_minor, age_days)"
                " values (%s, %s, %s, %s, %s)",
                [
                    (written, each.number, each.kind.value, each.effect_minor, days.age(each.day, day))
                    for each in found.rolled
                ],
            )
        log.append(db, "custody.day_closed", _told(found, approved, reason=""), actor=actor.id, at=now)
    return rows(db, book, day)[-1]


def prepare_reopening(
    db: Db, book: int, day: dt.date, *, reason: str, actor: Actor, now: dt.datetime
) -> ApprovalId:
    """Propose to open the last closed day again. Raises `errors.DayNotClosed`, `DayNotLast` or `Malformed`."""
    access.require(db, actor, "custody.prepare_close")
    if not texts.says(reason, 500):
        raise errors.Malformed(where=day.isoformat(), field="reason", expected="1 to 500 characters")
    with transaction.atomic(using=db):
        _lock(db, book)
        last = _reopenable(db, book, day)
        return approvals.propose(
            db, REOPEN, subject(book, day), _reopening(last, reason), book=book, actor=actor, now=now
        )


def reopen(db: Db, approval_id: int, *, actor: Actor, now: dt.datetime) -> Day:
    """Open the last closed day again, as the second of two: a new row of it, with the reason."""
    access.require(db, actor, "custody.sign_close")
    proposed = approvals.of_kind(db, approval_id, REOPEN)
    book, day = int(str(proposed.state["book"])), dt.date.fromisoformat(str(proposed.state["day"]))
    reason = str(proposed.state["reason"])
    with transaction.atomic(using=db):
        _lock(db, book)
        last = _reopenable(db, book, day)
        approved = approvals.approve(db, approval_id, _reopening(last, reason), actor=actor, now=now)
        # What it held stays in the new row too: a reader of either knows what was signed.
        was = Sheet(
            last.book,
            last.day,
            last.calendar,
            last.cut_off_at,
            last.position_from,
            last.position_to,
            last.sha256,
            last.checks,
            (),
        )
        _write(
            db, was, DayAct.REOPENED, approved, number=last.number + 1, reason=reason, actor=actor, now=now
        )
        log.append(db, "custody.day_reopened", _told(was, approved, reason=reason), actor=actor.id, at=now)
    return rows(db, book, day)[-1]


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


def _closable(db: Db, book: int, day: dt.date, now: dt.datetime) -> Sheet:
    """The day's sheet with its digest, or the first reason why it is not to be closed now: the dear ones last."""
    held = rows(db, book, day)
    if held and held[-1].act is DayAct.CLOSED:
        raise errors.DayClosed(book=book, day=day.isoformat())
    days = _business(db, book, day)
    following = next_day(db, book)
    if following is not None and day != following:
        raise errors.DayOutOfOrder(next=following.isoformat(), day=day.isoformat())
    if now < (cut_off_at := days.cut_off_at(day)):
        raise errors.DayNotOver(day=day.isoformat(), cut_off=cut_off_at.isoformat())
    found = sheet(db, book, day, now=now)
    if found.failing:
        named = ", ".join(sorted({each.name.value for each in found.failing}))
        raise errors.DayNotReady(day=day.isoformat(), failing=named)
    return replace(found, sha256=digest(db, book, found.position_from, found.position_to))


def _business(db: Db, book: int, day: dt.date) -> Days:
    days = book_days.days(db, book)
    if not calendars.is_business_day(days.calendar, day):
        raise errors.DayNotBusiness(day=day.isoformat(), calendar=days.calendar.value)
    return days


def _reopenable(db: Db, book: int, day: dt.date) -> Day:
    held = rows(db, book, day)
    if not held or held[-1].act is not DayAct.CLOSED:
        raise errors.DayNotClosed(book=book, day=day.isoformat())
    last = last_closed(db, book)
    assert last is not None, "the day asked for is closed"
    if last.day != day:
        raise errors.DayNotLast(last=last.day.isoformat())
    return last


def _reopening(last: Day, reason: str) -> dict[str, canonical.Value]:
    return {
        "book": last.book,
        "day": last.day.isoformat(),
        "closed": last.id,
        "sha256": last.sha256.hex(),
        "reason": reason,
    }


def _state(
    days: Days,
    day: calendars.Day,
    held: dict[dt.date, Day],
    first: dt.date,
    has_begun: bool,
    now: dt.datetime,
) -> DayState:
    row = held.get(day.date)
    if row is not None and row.act is DayAct.CLOSED:
        return DayState.CLOSED
    if row is not None:
        return DayState.REOPENED
    if not day.is_business or day.date < first:
        return DayState.REST
    today = days.business_date(now)
    if day.date > today:
        return DayState.TO_COME
    # A day is signed on the business day after it: it is late when that one is over too.
    is_late = has_begun and now >= days.cut_off_at(days.next(day.date))
    return DayState.LATE if is_late else DayState.OPEN


def _write(
    db: Db,
    found: Sheet,
    act: DayAct,
    approved: Approval,
    *,
    number: int,
    reason: str = "",
    actor: Actor,
    now: dt.datetime,
) -> int:
    with connections[db].cursor() as cursor:
        cursor.execute(
            "insert into custody_book_day (book_id, day, number, act, position_from, position_to, sha256,"
            " calendar, cut_off_at, checklist, approval_id, reason, prepared_by, signed_by, at)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) returning id",
            [
                found.book,
                found.day,
                number,
                act.value,
                found.position_from,
                found.position_to,
                found.sha256,
                found.calendar,
                found.cut_off_at,
                canonical.text({"checks": checklist.payload(found.checks)}),
                approved.id,
                reason,
                approved.made_by,
                actor.id,
                now,
            ],
        )
        return int(cursor.fetchone()[0])


def _told(found: Sheet, approved: Approval, *, reason: str) -> dict[str, canonical.Value]:
    """What an event says of a day."""
    return {
        "book": found.book,
        "day": found.day.isoformat(),
        "position_from": found.position_from,
        "position_to": found.position_to,
        "sha256": found.sha256.hex(),
        "rolled": len(found.rolled),
        "approval": approved.reference,
        "prepared_by": approved.made_by,
        "reason": reason,
    }


_STANDS = """d.act = 'closed' and not exists (
    select from custody_book_day n where n.book_id = d.book_id and n.day = d.day and n.number > d.number)"""
"""A day that was closed and not opened again since."""


def _days(
    db: Db,
    where: str,
    parameters: Sequence[int | dt.date],
    *,
    newest_of_each: bool = False,
    limit: int | None = None,
) -> list[Day]:
    """Rows of days, the newest day first and its newest row first."""
    distinct = "distinct on (d.day)" if newest_of_each else ""
    with connections[db].cursor() as cursor:
        cursor.execute(
            f"""
            select {distinct} d.id, d.book_id, d.day, d.number, d.act, d.position_from, d.position_to, d.sha256,
                d.calendar, d.cut_off_at, d.checklist, d.reason, d.prepared_by, d.signed_by, d.at,
                (select count(*) from custody_rolled_item r where r.book_day_id = d.id)
            from custody_book_day d where {where} order by d.day desc, d.number desc limit %s
            """,  # noqa: S608 -- constants of this file
            [*parameters, limit],
        )
        return [
            Day(
                f"day_{row[0]}",
                BookId(row[1]),
                row[2],
                row[3],
                DayAct(row[4]),
                row[5],
                row[6],
                bytes(row[7]),
                row[8],
                row[9],
                checklist.parsed(row[10]),
                *row[11:],
            )
            for row in cursor.fetchall()
        ]


def _lock(db: Db, book: int) -> None:
    with connections[db].cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(%s, %s)", [LOCK, book])

"""Closing days on real PostgreSQL: in order, once, by two people, over rows that anybody can hash again."""

from __future__ import annotations

import datetime as dt
import hashlib
import json

import psycopg
import pytest

from tallystick.core.postgres import Role as DatabaseRole
from tallystick.custody import book_days, errors, history, posting, reconciliation
from tallystick.custody.workbench import cases, checklist, closing
from tallystick.custody.workbench.checklist import Name, Result
from tallystick.custody.workbench.closing import DayState
from tallystick.evidence import log
from tallystick.identity.errors import AccessDenied, ApprovalVoid
from tests.custody import cast
from tests.custody.cast import BOOK, DB, ask
from tests.custody.test_reconciliation import bank_says, paid
from tests.plugin_postgres import TestDatabase

MONDAY, TUESDAY, WEDNESDAY = (dt.date(2026, 3, day) for day in (2, 3, 4))
SHANGHAI = dt.timezone(dt.timedelta(hours=8))


def at(day: dt.date, hour: int, minute: int = 0) -> dt.datetime:
    return dt.datetime(day.year, day.month, day.day, hour, minute, tzinfo=SHANGHAI)


@pytest.fixture
def people(ledger_database: TestDatabase) -> cast.Cast:
    """The cast, with an empty ledger."""
    posting.use(posting.InProcess())
    return cast.opened()


def banked(people: cast.Cast, day: dt.date, *, n: int, posted: bool = True) -> None:
    """A receipt of the day: on the bank's statement of it, and in the ledger at noon where it was posted."""
    if posted:
        cast.post(
            [ask(n, people.bank, people.wang, 10_00, reference=f"R-{n}", value_date=day)], now=at(day, 12)
        )
    bank_says(
        people.bank,
        paid(f"R-{n}", "10.00", day=day, text="for C-WANG"),
        opening=str(10 * (n - 1)),
        closing=str(10 * n),
        number=n,
        days=(day.isoformat(), day.isoformat()),
    )


def reconciled(people: cast.Cast) -> None:
    done = reconciliation.reconcile(DB, BOOK, people.bank, actor=cast.OPERATIONS, now=cast.NOW)
    cases.follow(DB, done.summary.id, actor=cast.OPERATIONS, now=cast.NOW)


def close(day: dt.date, now: dt.datetime | None = None) -> closing.Day:
    moment = now or at(day, 18)
    proposal = closing.prepare(DB, BOOK, day, actor=cast.OPERATIONS, now=moment)
    return closing.sign(DB, proposal, actor=cast.APPROVER, now=moment)


def results(day: dt.date) -> dict[Name, Result]:
    return {each.name: each.result for each in closing.sheet(DB, BOOK, day, now=at(day, 18)).checks}


def test_a_day_is_closed_by_two_people_and_says_what_it_holds(people: cast.Cast) -> None:
    """Positions without a gap from day to day, and a digest that the rows alone make again."""
    banked(people, MONDAY, n=1)
    reconciled(people)
    assert closing.sheet(DB, BOOK, MONDAY, now=at(MONDAY, 18)).sha256 == b"", "a look reads no transfers"
    closed = close(MONDAY)
    assert (closed.position_from, closed.position_to, closed.transfers) == (1, 1, 1)
    assert (closed.prepared_by, closed.signed_by) == (cast.OPERATIONS.id, cast.APPROVER.id)
    (transfer,) = history.transfers(DB, BOOK)
    line = [
        1,
        transfer.id,
        1,
        1,
        f"acc_{people.bank:018d}",
        f"acc_{people.wang:018d}",
        10_00,
        "2026-03-02",
        transfer.recorded_at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "R-1",
    ]
    written = json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    assert closed.sha256 == hashlib.sha256(written).digest()
    (event,) = log.events(DB, kind="custody.day_closed")
    assert event.payload is not None
    assert event.payload["sha256"] == closed.sha256.hex()

    banked(people, TUESDAY, n=2)
    reconciled(people)
    assert (close(TUESDAY).position_from, close_state(TUESDAY)) == (2, DayState.CLOSED)


def close_state(day: dt.date, now: dt.datetime | None = None) -> DayState:
    (found,) = closing.calendar(DB, BOOK, day, day, now=now or at(day, 18))
    return found.state


def test_what_is_recorded_after_the_cut_off_is_the_next_day_s(people: cast.Cast) -> None:
    """A transfer at 17:00 is tomorrow's, whatever its value date."""
    banked(people, MONDAY, n=1)
    cast.post([ask(9, people.bank, people.li, 1_00, reference="L", value_date=MONDAY)], now=at(MONDAY, 17, 1))
    sheet = closing.sheet(DB, BOOK, MONDAY, now=at(MONDAY, 18))
    assert (sheet.position_from, sheet.position_to) == (1, 1)


def test_days_close_once_and_in_order(people: cast.Cast) -> None:
    """Not twice, not before its cut-off, not a day of rest, not the day after next."""
    banked(people, MONDAY, n=1)
    banked(people, TUESDAY, n=2)
    banked(people, WEDNESDAY, n=3)
    reconciled(people)

    def refused(day: dt.date, refusal: type[Exception], now: dt.datetime | None = None) -> None:
        with pytest.raises(refusal):
            closing.prepare(DB, BOOK, day, actor=cast.OPERATIONS, now=now or at(WEDNESDAY, 18))

    refused(dt.date(2026, 3, 1), errors.DayNotBusiness)
    refused(MONDAY, errors.DayNotOver, at(MONDAY, 16, 59))
    close(MONDAY, at(WEDNESDAY, 18))
    refused(MONDAY, errors.DayClosed)
    refused(WEDNESDAY, errors.DayOutOfOrder)
    close(TUESDAY, at(WEDNESDAY, 18))
    close(WEDNESDAY, at(WEDNESDAY, 18))


@pytest.mark.slow
def test_one_person_cannot_close_a_day(people: cast.Cast) -> None:
    """Operations prepares and does not sign, the approver signs and does not prepare."""
    banked(people, MONDAY, n=1)
    reconciled(people)
    with pytest.raises(AccessDenied):
        closing.prepare(DB, BOOK, MONDAY, actor=cast.APPROVER, now=at(MONDAY, 18))
    proposal = closing.prepare(DB, BOOK, MONDAY, actor=cast.OPERATIONS, now=at(MONDAY, 18))
    with pytest.raises(AccessDenied):
        closing.sign(DB, proposal, actor=cast.OPERATIONS, now=at(MONDAY, 18))
    assert [each.id for each in closing.proposals(DB, BOOK)] == [proposal]


def test_what_was_signed_first_must_still_be_so(people: cast.Cast) -> None:
    """Between the two signatures a run found another difference: the first signature is void."""
    banked(people, MONDAY, n=1)
    reconciled(people)
    proposal = closing.prepare(DB, BOOK, MONDAY, actor=cast.OPERATIONS, now=at(MONDAY, 18))
    cast.post([ask(9, people.bank, people.li, 1_00, reference="L", value_date=MONDAY)], now=at(MONDAY, 19))
    reconciled(people)
    with pytest.raises(ApprovalVoid):
        closing.sign(DB, proposal, actor=cast.APPROVER, now=at(MONDAY, 20))
    assert closing.last_closed(DB, BOOK) is None


@pytest.mark.parametrize(
    ("given", "failing"),
    [
        ("statement of the day before", Name.STATEMENT),
        ("no run", Name.RECONCILED),
        ("a run before the last transfer", Name.RECONCILED),
        ("a run nobody took up", Name.FOLLOWED),
        ("a number left out", Name.NO_GAP),
    ],
)
def test_a_day_that_is_not_ready_is_refused_by_name(people: cast.Cast, given: str, failing: Name) -> None:
    """Each check alone keeps the day open, and the refusal names it."""
    banked(people, MONDAY, n=1)
    day = MONDAY
    match given:
        case "statement of the day before":
            reconciled(people)
            day = TUESDAY
        case "a run before the last transfer":
            reconciled(people)
            cast.post(
                [
                    ask(
                        9,
                        people.wang,
                        people.bank,
                        10_00,
                        "correction",
                        reverses_id=cast.an_id(1),
                        reason="x",
                    )
                ],
                now=at(MONDAY, 13),
            )
        case "a run nobody took up":
            reconciliation.reconcile(DB, BOOK, people.bank, actor=cast.OPERATIONS, now=cast.NOW)
        case "a number left out":
            bank_says(people.bank, opening="10", closing="10", number=7, days=("2026-03-02", "2026-03-02"))
            reconciled(people)
    assert results(day)[failing] is Result.FAIL
    with pytest.raises(errors.DayNotReady, match=failing.value):
        closing.prepare(DB, BOOK, day, actor=cast.OPERATIONS, now=at(day, 18))


def test_an_old_difference_needs_an_owner_and_a_note(people: cast.Cast) -> None:
    """Young it goes on to the next day; too old and unexplained it keeps the day open."""
    banked(people, MONDAY, n=1, posted=False)
    reconciled(people)
    closed = close(MONDAY)
    (item,) = closing.rolled(DB, closed.id)
    assert (closed.rolled, item.kind, item.effect_minor, item.age_days) == (1, "missing_in_ledger", 10_00, 0)
    book_days.set_days(
        DB,
        BOOK,
        calendar="CN",
        cut_off=dt.time(17),
        write_off_max_minor=0,
        break_age_max=0,
        receipt_age_max=3,
        reason="strict",
        actor=cast.APPROVER,
        now=cast.NOW,
    )
    bank_says(people.bank, opening="10", closing="10", number=2, days=("2026-03-03", "2026-03-03"))
    reconciled(people)
    with pytest.raises(errors.DayNotReady, match="explained"):
        close(TUESDAY)
    cases.take(DB, item.case, actor=cast.OPERATIONS, now=cast.NOW)
    with pytest.raises(errors.DayNotReady, match="explained"):
        close(TUESDAY)
    cases.write_note(DB, item.case, "the bank looks into it", actor=cast.OPERATIONS, now=cast.NOW)
    assert closing.rolled(DB, close(TUESDAY).id)[0].age_days == 1


def test_the_last_day_is_opened_again_by_two_people_with_a_reason(people: cast.Cast) -> None:
    """A new row; the old one stays; closed again it is the third; an earlier day stays shut."""
    for n, day in enumerate((MONDAY, TUESDAY), start=1):
        banked(people, day, n=n)
    reconciled(people)
    close(MONDAY, at(TUESDAY, 18))
    close(TUESDAY, at(TUESDAY, 18))

    def reopening(day: dt.date, reason: str = "a statement came late") -> closing.Day:
        proposal = closing.prepare_reopening(
            DB, BOOK, day, reason=reason, actor=cast.OPERATIONS, now=at(WEDNESDAY, 9)
        )
        return closing.reopen(DB, proposal, actor=cast.APPROVER, now=at(WEDNESDAY, 9))

    with pytest.raises(errors.DayNotLast):
        reopening(MONDAY)
    with pytest.raises(errors.DayNotClosed):
        reopening(WEDNESDAY)
    with pytest.raises(errors.Malformed):
        reopening(TUESDAY, reason=" ")
    opened = reopening(TUESDAY)
    assert (opened.number, opened.act.value, opened.reason) == (2, "reopened", "a statement came late")
    assert close_state(TUESDAY) is DayState.REOPENED
    again = close(TUESDAY, at(WEDNESDAY, 10))
    assert [each.number for each in closing.rows(DB, BOOK, TUESDAY)] == [1, 2, 3]
    assert again.position_from == 2


def test_the_database_keeps_the_order_too(people: cast.Cast, ledger_database: TestDatabase) -> None:
    """Whoever writes past the actions cannot leave a gap between days, close one twice, or change one."""
    banked(people, MONDAY, n=1)
    banked(people, TUESDAY, n=2)
    reconciled(people)
    close(MONDAY, at(TUESDAY, 18))
    spare = closing.prepare(DB, BOOK, TUESDAY, actor=cast.OPERATIONS, now=at(TUESDAY, 18))
    insert = (
        "insert into custody_book_day (book_id, day, number, act, position_from, position_to, sha256, calendar,"
        " cut_off_at, checklist, approval_id, reason, prepared_by, signed_by, at) values (1, %s, %s, 'closed',"
        " %s, 5, '', 'CN', now(), '{}', %s, '', 'usr_1', %s, now())"
    )
    with psycopg.connect(ledger_database.conninfo(DatabaseRole.APP)) as connection:
        for day, number, first, signer in (
            (TUESDAY, 1, 3, "usr_2"),  # a position left out
            (MONDAY, 2, 1, "usr_2"),  # closed twice
            (MONDAY, 3, 1, "usr_2"),  # a number left out
            (TUESDAY, 1, 2, "usr_1"),  # by one person
            (dt.date(2026, 2, 27), 1, 1, "usr_2"),  # before a day that is closed
        ):
            with pytest.raises(psycopg.errors.IntegrityError):
                connection.execute(insert, [day, number, first, spare, signer])
            connection.rollback()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("update custody_book_day set reason = 'x'")


@pytest.mark.slow
def test_the_calendar_tells_rest_open_late_and_closed(people: cast.Cast) -> None:
    """Late is a day whose successor is over too; a weekend is rest; tomorrow is to come."""
    banked(people, MONDAY, n=1)
    reconciled(people)
    close(MONDAY)
    found = {
        each.date.day: each.state
        for each in closing.calendar(
            DB, BOOK, dt.date(2026, 3, 1), dt.date(2026, 3, 9), now=at(dt.date(2026, 3, 5), 9)
        )
    }
    assert found[1] is DayState.REST
    assert found[2] is DayState.CLOSED
    assert found[3] is DayState.LATE
    assert found[4] is DayState.OPEN
    assert found[5] is DayState.OPEN
    assert found[6] is DayState.TO_COME
    assert found[7] is DayState.REST


@pytest.mark.slow
def test_a_checklist_is_read_back_as_it_was_signed(people: cast.Cast) -> None:
    """What the second person saw is what is kept."""
    banked(people, MONDAY, n=1)
    reconciled(people)
    sheet = closing.sheet(DB, BOOK, MONDAY, now=at(MONDAY, 18))
    assert list(close(MONDAY).checks) == list(sheet.checks)
    assert {each.result for each in sheet.checks} <= {Result.PASS, Result.NOT_APPLICABLE}
    assert checklist.missing([]) == ""

"""The workbench on real PostgreSQL: cases follow runs, fixes settle what they say, history only grows."""

from __future__ import annotations

import datetime as dt

import psycopg
import pytest

from tallystick.core.postgres import Role as DatabaseRole
from tallystick.custody import accounts, book_days, errors, history, posting, reconciliation
from tallystick.custody.breaks import BreakKind
from tallystick.custody.numbers import Family
from tallystick.custody.workbench import cases, fixes
from tallystick.custody.workbench.cases import Filters
from tallystick.custody.workbench_models import CaseAct, CaseStatus
from tallystick.evidence import log
from tallystick.identity.errors import AccessDenied
from tests.custody import cast
from tests.custody.cast import BOOK, DB, ask
from tests.custody.test_reconciliation import bank_says, channel_says, paid
from tests.plugin_postgres import TestDatabase

DAY = dt.date(2026, 3, 2)


@pytest.fixture
def people(ledger_database: TestDatabase) -> cast.Cast:
    """The cast, with an empty ledger."""
    posting.use(posting.InProcess())
    return cast.opened()


def run(people: cast.Cast, to: dt.date | None = None) -> reconciliation.Reconciled:
    """Reconcile, and let the cases follow."""
    done = reconciliation.reconcile(DB, BOOK, people.bank, to=to, actor=cast.OPERATIONS, now=cast.NOW)
    cases.follow(DB, done.summary.id, actor=cast.OPERATIONS, now=cast.NOW)
    return done


def unresolved() -> dict[BreakKind, cases.Case]:
    return {each.kind: each for each in cases.cases(DB, BOOK, Filters())}


def settle(case: cases.Case) -> list[str]:
    """Post all that is ready for a case, each by whoever may; why each."""
    told = []
    while (ready := fixes.next_ready(DB, case)) is not None:
        who = cast.APPROVER if ready.permission == "custody.reverse" else cast.OPERATIONS
        posted = fixes.post(DB, case.id, ready.request.id, actor=who, now=cast.NOW)
        assert posted.refusal is None
        told.append(ready.why.value)
    return told


def one_of_each(people: cast.Cast) -> None:
    """A line in the bank's statement or the ledger for every kind of difference that can be settled."""
    cast.post(
        [
            ask(1, people.bank, people.wang, 100_00, reference="A-1", value_date=DAY),
            ask(2, people.bank, people.wang, 70_00, reference="A-2", value_date=DAY),
            ask(3, people.bank, people.wang, 30_00, reference="A-3", value_date=DAY),
            ask(4, people.bank, people.wang, 100_00, reference="A-1", value_date=DAY),
        ]
    )
    bank_says(
        people.bank,
        paid("A-1", "100.00"),
        paid("A-2", "75.00"),
        paid("", "12.34", text="thanks"),
        paid("X-9", "55.00", text="for C-LI"),
        paid("F-1", "1.50", "DBIT"),
        closing="240.84",
    )


def test_every_kind_has_its_fix_and_the_fix_resolves_the_case(people: cast.Cast) -> None:
    """After each proposed transfer is posted, the next run finds nothing, and each case says which run did."""
    one_of_each(people)
    run(people)
    found = {(each.kind, each.effect_minor) for each in cases.cases(DB, BOOK, Filters())}
    assert found == {
        (BreakKind.DUPLICATE, -100_00),
        (BreakKind.AMOUNT, 5_00),
        (BreakKind.UNIDENTIFIED, 12_34),
        (BreakKind.MISSING_IN_LEDGER, 55_00),
        (BreakKind.MISSING_IN_LEDGER, -1_50),
        (BreakKind.MISSING_AT_BANK, -30_00),
    }
    told = {}
    for case in cases.cases(DB, BOOK, Filters()):
        if case.effect_minor == -1_50:
            continue  # The platform has nothing to pay it from: see the test of refusals.
        told[case.kind] = settle(case)
    assert told == {
        BreakKind.DUPLICATE: ["reversal"],
        BreakKind.AMOUNT: ["reversal", "rebooking"],
        BreakKind.UNIDENTIFIED: ["suspense"],
        BreakKind.MISSING_IN_LEDGER: ["receipt"],
        BreakKind.MISSING_AT_BANK: ["reversal"],
    }
    done = run(people)
    assert [each.effect_minor for each in done.breaks] == [-1_50]
    assert history.balance(DB, people.wang).balance_minor == 175_00
    assert history.balance(DB, people.li).balance_minor == 55_00
    assert history.balance(DB, people.suspense).balance_minor == 12_34
    resolved = cases.cases(DB, BOOK, Filters(statuses=[CaseStatus.RESOLVED]))
    assert len(resolved) == 5
    for each in resolved:
        last = cases.steps(DB, each.id)[-1]
        assert (last.act, last.note.split(" ")[0]) == (CaseAct.RESOLVED, done.summary.id)


def test_a_reversal_alone_turns_the_case_into_a_rebooking(people: cast.Cast) -> None:
    """A run between the two halves of a correction keeps the case, and still knows whose money it is."""
    cast.post([ask(1, people.bank, people.wang, 70_00, reference="A-2", value_date=DAY)])
    bank_says(people.bank, paid("A-2", "75.00"), closing="75.00")
    run(people)
    case = unresolved()[BreakKind.AMOUNT]
    ready = fixes.next_ready(DB, case)
    assert ready is not None
    fixes.post(DB, case.id, ready.request.id, actor=cast.APPROVER, now=cast.NOW)
    run(people)
    again = cases.case(DB, case.id)
    assert (again.kind, again.effect_minor) in {
        (BreakKind.UNIDENTIFIED, 75_00),
        (BreakKind.MISSING_IN_LEDGER, 75_00),
    }
    assert settle(again) == ["rebooking"]
    assert history.balance(DB, people.wang).balance_minor == 75_00
    assert run(people).breaks == ()


def test_a_fix_is_posted_once_and_only_as_it_was_shown(people: cast.Cast) -> None:
    """Pressed twice it posts once; under another id, or by somebody who may not, nothing is posted.

    Nor is it offered again when somebody else would be named for it by now.
    """
    bank_says(people.bank, paid("X-9", "55.00", text="for C-LI"), closing="55.00")
    run(people)
    case = unresolved()[BreakKind.MISSING_IN_LEDGER]
    ready = fixes.next_ready(DB, case)
    assert ready is not None
    with pytest.raises(errors.FixChanged):
        fixes.post(DB, case.id, cast.an_id(77), actor=cast.OPERATIONS, now=cast.NOW)
    with pytest.raises(AccessDenied):
        fixes.post(DB, case.id, ready.request.id, actor=cast.APPROVER, now=cast.NOW)
    fixes.post(DB, case.id, ready.request.id, actor=cast.OPERATIONS, now=cast.NOW)
    with pytest.raises(errors.NothingToPost):
        fixes.post(DB, case.id, ready.request.id, actor=cast.OPERATIONS, now=cast.NOW)
    accounts.open_account(
        DB,
        BOOK,
        Family.CLIENT,
        "CNY",
        owner="C-LI",
        name="another",
        reference="L2",
        actor=cast.SIMULATION,
        now=cast.NOW,
    )
    assert [(each.request.id, each.is_posted) for each in fixes.proposed(DB, case)] == [
        (ready.request.id, True)
    ]
    assert history.balance(DB, people.li).balance_minor == 55_00


@pytest.mark.slow
def test_a_refused_fix_is_told_and_can_be_tried_again(people: cast.Cast) -> None:
    """The platform has no money for the bank's fee: the refusal is a step, and the next try has a new id."""
    bank_says(people.bank, paid("F-1", "1.50", "DBIT"), opening="10", closing="8.50")
    run(people)
    case = unresolved()[BreakKind.MISSING_IN_LEDGER]
    ids = []
    for case in cases.cases(DB, BOOK, Filters()):
        if case.effect_minor != -1_50:
            continue
        for _ in range(2):
            ready = fixes.next_ready(DB, case)
            assert ready is not None
            ids.append(ready.request.id)
            posted = fixes.post(DB, case.id, ready.request.id, actor=cast.OPERATIONS, now=cast.NOW)
            assert posted.refusal == "insufficient_funds"
        acts = [each.act for each in cases.steps(DB, case.id)]
        assert acts == [CaseAct.OPENED, CaseAct.FIX_REFUSED, CaseAct.FIX_REFUSED]
    assert len(set(ids)) == 2


def test_a_case_stays_the_same_from_run_to_run(people: cast.Cast) -> None:
    """Timing today, missing at the bank next week: one case, its owner and its notes kept."""
    cast.post([ask(1, people.bank, people.wang, 10_00, reference="A-1", value_date=DAY)])
    bank_says(people.bank, closing="0", days=("2026-03-01", "2026-03-03"))
    run(people)
    case = unresolved()[BreakKind.TIMING]
    assert fixes.proposed(DB, case) == []
    cases.take(DB, case.id, actor=cast.OPERATIONS, now=cast.NOW)
    cases.write_note(DB, case.id, "asked the bank", actor=cast.OPERATIONS, now=cast.NOW)
    bank_says(people.bank, closing="0", number=2, days=("2026-03-04", "2026-03-20"))
    run(people)
    later = cases.case(DB, case.id)
    assert (later.kind, later.status, later.owner) == (
        BreakKind.MISSING_AT_BANK,
        CaseStatus.IN_PROGRESS,
        cast.OPERATIONS.id,
    )
    assert [each.act.value for each in cases.steps(DB, case.id)] == ["opened", "taken", "noted", "changed"]
    # The bank books it after all.
    bank_says(
        people.bank,
        paid("A-1", "10.00"),
        opening="0",
        closing="10",
        number=3,
        days=("2026-03-21", "2026-03-22"),
    )
    run(people)
    assert cases.case(DB, case.id).is_resolved
    with pytest.raises(errors.CaseResolved):
        cases.take(DB, case.id, actor=cast.OPERATIONS, now=cast.NOW)


def test_two_differences_of_one_line_keep_their_cases_whatever_else_a_run_finds(people: cast.Cast) -> None:
    """A settlement that came short, and whose fees nobody booked: two cases, and the same two the next day."""
    cast.post([ask(1, people.bank, people.wang, 100_00, reference="P-1", value_date=DAY)])
    channel_says(people.bank, "P-1,100.00,0.60,99.40,OUT-1")
    bank_says(people.bank, paid("OUT-1", "90.00"), closing="90")
    run(people)
    before = {each.id: each.effect_minor for each in cases.cases(DB, BOOK, Filters())}
    assert sorted(before.values()) == [-9_40, -60]
    cast.post([ask(2, people.bank, people.li, 5_00, reference="early", value_date=dt.date(2026, 3, 1))])
    run(people)
    after = {each.id: each.effect_minor for each in cases.cases(DB, BOOK, Filters())}
    assert {name: after.get(name) for name in before} == before
    assert len(after) == 3


def test_a_case_is_named_as_cases_are() -> None:
    """A run of the same number is no case."""
    for name in ("rec_5", "5", "brk_", "brk_٥", "brk_1234567890123456789"):
        with pytest.raises(errors.CaseUnknown):
            cases.case(DB, name)


def test_a_run_is_followed_once_and_an_older_view_changes_nothing(people: cast.Cast) -> None:
    """Following again, or a run as of an earlier day, opens and resolves nothing."""
    cast.post([ask(1, people.bank, people.wang, 10_00, reference="A-1", value_date=dt.date(2026, 3, 10))])
    bank_says(people.bank, closing="0", days=("2026-03-01", "2026-03-03"))
    bank_says(people.bank, closing="0", number=2, days=("2026-03-04", "2026-03-20"))
    done = run(people)
    assert cases.follow(DB, done.summary.id, actor=cast.OPERATIONS, now=cast.NOW) == cases.Followed(0, 0, 0)
    run(people, to=dt.date(2026, 3, 3))
    assert [each.status for each in cases.cases(DB, BOOK, Filters())] == [CaseStatus.OPEN]
    assert cases.unfollowed(DB, BOOK) == []
    assert len(log.events(DB, kind="custody.breaks_followed")) == 2
    # The next one goes on from the last that counted, not from the older view.
    bank_says(people.bank, paid("A-1", "10.00"), closing="10", number=3, days=("2026-03-21", "2026-03-22"))
    run(people)
    assert cases.cases(DB, BOOK, Filters()) == []


@pytest.mark.slow
def test_cases_are_found_by_kind_owner_age_and_amount(people: cast.Cast) -> None:
    """Each filter alone, and the totals of what fits."""
    one_of_each(people)
    run(people)
    days = book_days.days(DB, BOOK)
    today = dt.date(2026, 3, 10)

    def count(**filters: object) -> int:
        return len(cases.cases(DB, BOOK, Filters(**filters)))  # type: ignore[arg-type]

    assert count() == 6
    assert count(kind=BreakKind.MISSING_IN_LEDGER) == 2
    assert count(effect_min_minor=30_00, effect_max_minor=60_00) == 2
    assert count(search="x-9") == 1
    assert count(owner="") == 6
    assert count(owner=cast.OPERATIONS.id) == 0
    # Of Monday 2 March, on Tuesday the 10th: six business days.
    for low, high, expected in ((6, 6, 6), (7, None, 0), (None, 5, 0), (0, None, 6)):
        day_min, day_max = cases.day_bounds(days, today, low, high)
        assert count(day_min=day_min, day_max=day_max) == expected, (low, high)
    totals = {each.kind: (each.count, each.effect_minor) for each in cases.totals(DB, BOOK, Filters())}
    assert totals[BreakKind.MISSING_IN_LEDGER] == (2, 53_50)


def test_the_history_of_a_case_cannot_be_rewritten(people: cast.Cast, ledger_database: TestDatabase) -> None:
    """The app may add a step, never change one or take one away."""
    bank_says(people.bank, paid("", "12.34"), closing="12.34")
    run(people)
    with psycopg.connect(ledger_database.conninfo(DatabaseRole.APP)) as connection:
        for statement in (
            "update custody_case_step set note = 'other'",
            "delete from custody_case_step",
            "delete from custody_case",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
            connection.rollback()


def test_what_a_customer_or_an_auditor_may_not_do(people: cast.Cast) -> None:
    """Reading is the auditor's; taking, noting and posting are not."""
    bank_says(people.bank, paid("", "12.34"), closing="12.34")
    run(people)
    case = unresolved()[BreakKind.UNIDENTIFIED]
    for who in (cast.WANG_FANG, cast.AUDITOR):
        with pytest.raises(AccessDenied):
            cases.take(DB, case.id, actor=who, now=cast.NOW)
        with pytest.raises(AccessDenied):
            cases.write_note(DB, case.id, "mine", actor=who, now=cast.NOW)
        ready = fixes.next_ready(DB, case)
        assert ready is not None
        with pytest.raises(AccessDenied):
            fixes.post(DB, case.id, ready.request.id, actor=who, now=cast.NOW)

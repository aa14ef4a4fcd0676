"""Matches by hand and receipts in suspense on real PostgreSQL: two people, to the cent, and nothing lost."""

from __future__ import annotations

import datetime as dt
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from django.db import connections

from tallystick.core.postgres import Role as DatabaseRole
from tallystick.custody import accounts, book_days, errors, history, posting
from tallystick.custody.breaks import BreakKind
from tallystick.custody.models import AccountStatus
from tallystick.custody.workbench import cases, fixes, matches, receipts
from tallystick.custody.workbench.cases import Filters
from tallystick.custody.workbench.owners import Reason
from tallystick.evidence import log
from tallystick.identity import approvals
from tallystick.identity.access import Actor
from tallystick.identity.errors import AccessDenied, ApprovalVoid
from tallystick.identity.roles import Role
from tests.custody import cast
from tests.custody.cast import BOOK, DB, ask
from tests.custody.test_reconciliation import bank_says, channel_says, paid
from tests.custody.test_workbench import run
from tests.plugin_postgres import TestDatabase

DAY = dt.date(2026, 3, 2)
CHIEF = Actor("usr_9", "Chief", frozenset({Role.PLATFORM_APPROVER}))


@pytest.fixture
def people(ledger_database: TestDatabase) -> cast.Cast:
    """The cast, with an empty ledger."""
    posting.use(posting.InProcess())
    return cast.opened()


def limit(minor: int) -> None:
    """Let the book write off so much."""
    book_days.set_days(
        DB,
        BOOK,
        calendar="CN",
        cut_off=dt.time(17),
        write_off_max_minor=minor,
        break_age_max=5,
        receipt_age_max=3,
        reason="as decided",
        actor=cast.APPROVER,
        now=cast.NOW,
    )


def two_against_one(people: cast.Cast, bank_amount: str = "100.00") -> list[str]:
    """Two ledger lines and one line of the bank that no rule puts together; the keys of all three."""
    cast.post(
        [
            ask(1, people.bank, people.wang, 60_00, reference="A-1", value_date=DAY),
            ask(2, people.bank, people.li, 40_00, reference="A-2", value_date=dt.date(2026, 3, 12)),
        ]
    )
    bank_says(people.bank, paid("B-77", bank_amount, day=dt.date(2026, 3, 6)), closing=bank_amount)
    run(people)
    return [each.key for each in matches.open_lines(DB, people.bank)]


def agreed(people: cast.Cast, keys: list[str]) -> matches.Match:
    proposal = matches.propose(DB, people.bank, keys, "one slip", actor=cast.OPERATIONS, now=cast.NOW)
    return matches.approve(DB, proposal, actor=cast.APPROVER, now=cast.NOW)


def test_two_people_match_what_no_rule_does_and_the_next_run_honours_it(people: cast.Cast) -> None:
    """The lines leave the breaks, their cases resolve, and the balances still explain one another."""
    keys = two_against_one(people)
    assert len(keys) == 3
    found = agreed(people, keys)
    assert (found.amount_minor, found.write_off_minor, found.stands) == (100_00, 0, True)
    done = run(people)
    assert (done.breaks, done.summary.unexplained_minor, done.matched_by["by_hand"]) == ((), 0, 1)
    assert cases.cases(DB, BOOK, Filters()) == []
    assert len(log.events(DB, kind="custody.matched_by_hand")) == 1


def test_undone_by_two_people_its_lines_are_judged_afresh(people: cast.Cast) -> None:
    """The same cases open again; the match and its undoing both stay on record; a second undoing is refused."""
    keys = two_against_one(people)
    before = {each.id for each in cases.cases(DB, BOOK, Filters())}
    found = agreed(people, keys)
    run(people)
    proposal = matches.propose_undoing(DB, found.id, "wrong slip", actor=cast.OPERATIONS, now=cast.NOW)
    with pytest.raises(AccessDenied):
        matches.undo(DB, proposal, actor=cast.OPERATIONS, now=cast.NOW)
    undone = matches.undo(DB, proposal, actor=cast.APPROVER, now=cast.NOW)
    assert (undone.undone_by, undone.undone_reason) == (("usr_1", "usr_2"), "wrong slip")
    run(people)
    assert {each.id for each in cases.cases(DB, BOOK, Filters())} == before
    with pytest.raises(errors.ManualMatchUndone):
        matches.propose_undoing(DB, found.id, "again", actor=cast.OPERATIONS, now=cast.NOW)
    # Free again: the same lines can be matched anew.
    assert agreed(people, keys).id != found.id


def test_a_difference_within_the_limit_is_written_off_in_the_ledger(people: cast.Cast) -> None:
    """The bank has three cents more: they go to suspense, by a transfer that names both people."""
    limit(5)
    found = agreed(people, two_against_one(people, "100.03"))
    assert (found.write_off_minor, found.write_off_transfer is None) == (3, False)
    transfer = history.transfer(DB, str(found.write_off_transfer))
    assert (transfer.amount_minor, transfer.credit_account) == (3, people.suspense)
    assert transfer.metadata is not None
    assert cast.OPERATIONS.id in transfer.metadata
    assert cast.APPROVER.id in transfer.metadata
    assert run(people).breaks == ()
    assert matches.advance(DB, BOOK, now=cast.NOW) == 0


@pytest.mark.slow
def test_a_write_off_the_platform_cannot_pay_leaves_the_match_unhonoured(people: cast.Cast) -> None:
    """Three cents less at the bank, and no own money: the breaks stay until there is, and nothing is hidden."""
    limit(5)
    agreed(people, two_against_one(people, "99.97"))
    assert len(run(people).breaks) == 3


def test_a_write_off_that_cannot_be_posted_holds_up_no_other(people: cast.Cast) -> None:
    """Suspense was frozen before the step came by: it passes the match over, and posts it once it may."""
    limit(5)
    keys = two_against_one(people, "100.03")
    away()
    with pytest.raises(errors.PostingStopped):
        agreed(people, keys)
    posting.use(posting.InProcess())
    for status, posted in ((AccountStatus.FROZEN, 0), (AccountStatus.OPEN, 1)):
        accounts.change_state(DB, people.suspense, status, "test", actor=cast.APPROVER, now=cast.NOW)
        assert matches.advance(DB, BOOK, now=cast.NOW) == posted


def test_a_channels_line_is_not_offered(people: cast.Cast) -> None:
    """The bank has never had it: a match with it would never be honoured. The ledger's line beside it may be."""
    cast.post([ask(1, people.bank, people.wang, 99_00, reference="P-1", value_date=DAY)])
    channel_says(people.bank, "P-1,100.00,0.60,99.40,OUT-1", "P-2,50.00,0.30,49.70,OUT-1")
    bank_says(people.bank, paid("OUT-1", "149.10"), closing="149.10")
    run(people)
    assert {each.kind for each in cases.cases(DB, BOOK, Filters())} >= {BreakKind.AMOUNT}
    offered = matches.open_lines(DB, people.bank)
    assert len({each.key for each in offered}) == len(offered)
    assert {each.amount_minor for each in offered} <= {149_10, 99_00}


def test_a_difference_beyond_the_limit_is_refused(people: cast.Cast) -> None:
    """One minor unit over is over; and a book that set no limit writes off nothing."""
    keys = two_against_one(people, "100.06")
    with pytest.raises(errors.MatchDoesNotAgree):
        agreed(people, keys)
    limit(5)
    with pytest.raises(errors.MatchDoesNotAgree) as told:
        agreed(people, keys)
    assert told.value.fields == {"difference_minor": 6, "most_minor": 5}


@pytest.mark.slow
def test_what_is_no_match_is_refused(people: cast.Cast) -> None:
    """Lines of one side, lines that are not open, nothing at all, no reason."""
    bank, *ledger = two_against_one(people)

    def propose(keys: list[str], reason: str = "slip", actor: Actor = cast.OPERATIONS) -> None:
        matches.propose(DB, people.bank, keys, reason, actor=actor, now=cast.NOW)

    for keys, refusal in (
        ([bank], errors.MatchOneSided),
        (ledger, errors.MatchOneSided),
        ([], errors.MatchOneSided),
        ([bank, "line:999999"], errors.MatchLineUnknown),
        ([bank, "position:99"], errors.MatchLineUnknown),
        ([bank, ledger[0]], errors.MatchDoesNotAgree),
    ):
        with pytest.raises(refusal):
            propose(keys)
    with pytest.raises(errors.Malformed):
        propose([bank, *ledger], reason=" ")
    with pytest.raises(AccessDenied):
        propose([bank, *ledger], actor=cast.APPROVER)


@pytest.mark.slow
def test_a_line_waits_in_one_proposal_only(people: cast.Cast) -> None:
    """A second proposal with one of its lines is refused by name."""
    keys = two_against_one(people)
    matches.propose(DB, people.bank, keys, "slip", actor=cast.OPERATIONS, now=cast.NOW)
    with pytest.raises(errors.MatchLineProposed):
        matches.propose(DB, people.bank, keys, "slip", actor=cast.OPERATIONS, now=cast.NOW)


@pytest.mark.slow
def test_a_proposal_is_void_when_its_lines_have_gone(people: cast.Cast) -> None:
    """Between proposal and approval a line was settled otherwise: nothing is matched."""
    keys = two_against_one(people)
    proposal = matches.propose(DB, people.bank, keys, "slip", actor=cast.OPERATIONS, now=cast.NOW)
    cast.post(
        [
            ask(
                3,
                people.li,
                people.bank,
                40_00,
                "correction",
                reverses_id=cast.an_id(2),
                reason="wrong",
                value_date=dt.date(2026, 3, 12),
            )
        ]
    )
    run(people)
    with pytest.raises(errors.MatchLineUnknown):
        matches.approve(DB, proposal, actor=cast.APPROVER, now=cast.NOW)
    assert matches.matches(DB, people.bank) == []


def test_a_line_in_two_matches_is_refused_by_the_database(
    people: cast.Cast, ledger_database: TestDatabase
) -> None:
    """Whoever writes past the actions meets the trigger."""
    found = agreed(people, two_against_one(people))
    other = matches.propose_undoing(DB, found.id, "x", actor=cast.OPERATIONS, now=cast.NOW)
    with psycopg.connect(ledger_database.conninfo(DatabaseRole.APP)) as connection:
        connection.execute(
            "insert into custody_manual_match (book_id, bank_account_id, write_off_minor, approval_id, reason,"
            " proposed_by, approved_by, at) values (1, %s, 0, %s, 'x', 'usr_1', 'usr_2', now())",
            [people.bank, other],
        )
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
            connection.execute(
                "insert into custody_manual_match_line (match_id, statement_line, amount_minor)"
                " select max(m.id), %s, 1 from custody_manual_match m",
                [found.statement_lines[0]],
            )


# ── receipts ─────────────────────────────────────────────────────────────────────────────────────────────


def in_suspense(people: cast.Cast, text: str = "thanks") -> receipts.Receipt:
    """Twelve yuan that nobody was named for, booked to suspense from its case."""
    bank_says(people.bank, paid("", "12.34", text=text), closing="12.34")
    run(people)
    (case,) = cases.cases(DB, BOOK, Filters(kind=BreakKind.UNIDENTIFIED))
    ready = fixes.next_ready(DB, case)
    assert ready is not None
    fixes.post(DB, case.id, ready.request.id, actor=cast.OPERATIONS, now=cast.NOW)
    (found,) = receipts.receipts(DB, BOOK)
    return found


def test_a_receipt_is_traced_to_its_owner_once(people: cast.Cast) -> None:
    """It leaves suspense whole, the reason stays beside it, and a second time it is not there."""
    found = in_suspense(people)
    assert (found.amount_minor, found.statement_line is None) == (12_34, False)
    receipts.write_note(DB, BOOK, found.position, "rang the bank", actor=cast.OPERATIONS, now=cast.NOW)
    receipts.trace(DB, BOOK, found.position, people.li, "sent the slip", actor=cast.OPERATIONS, now=cast.NOW)
    assert history.balance(DB, people.li).balance_minor == 12_34
    assert history.balance(DB, people.suspense).balance_minor == 0
    assert receipts.receipts(DB, BOOK) == []
    assert [each.note for each in receipts.steps(DB, BOOK, found.position)] == [
        "rang the bank",
        "sent the slip",
    ]
    with pytest.raises(errors.ReceiptSettled):
        receipts.trace(DB, BOOK, found.position, people.wang, "no", actor=cast.OPERATIONS, now=cast.NOW)


@pytest.mark.slow
def test_candidates_come_with_their_reasons(people: cast.Cast) -> None:
    """A customer number in the text and a payer's name are told apart; nobody is named without a reason."""
    found = in_suspense(people, text="from 李强 for nobody")
    assert receipts.candidates(DB, found) == []
    bank_says(
        people.bank,
        paid("Q", "5.00", text="for c-li please"),
        opening="12.34",
        closing="17.34",
        number=2,
        days=("2026-03-21", "2026-03-22"),
    )
    run(people)
    (case,) = cases.cases(DB, BOOK, Filters(kind=BreakKind.MISSING_IN_LEDGER))
    ready = fixes.next_ready(DB, case)
    assert ready is not None
    assert (ready.why, ready.request.credit_account) == (fixes.Why.RECEIPT, f"acc_{people.li:018d}")
    from tallystick.custody.workbench import owners

    line = owners.line(DB, int(case.anchor.removeprefix("line:")))
    assert line is not None
    assert [(each.owner, each.reasons) for each in owners.candidates(DB, line)] == [
        ("C-LI", (Reason.REFERENCE,))
    ]


def test_two_people_name_two_owners_at_once_and_one_is_booked(
    people: cast.Cast, ledger_database: TestDatabase
) -> None:
    """Both have seen it in suspense before either decides; there is more in suspense, and it stays there."""
    found = in_suspense(people)
    cast.post([ask(5, people.bank, people.suspense, 50_00, "unidentified_receipt", reference="other")])

    def traced(owner: int) -> bool:
        try:
            receipts.trace(DB, BOOK, found.position, owner, "a slip", actor=cast.OPERATIONS, now=cast.NOW)
        except errors.ReceiptSettled:
            return False
        finally:
            connections[DB].close()
        return True

    with psycopg.connect(ledger_database.superuser) as held, ThreadPoolExecutor(2) as pool:
        held.execute("lock table custody_receipt_step in share mode")
        told = [pool.submit(traced, owner) for owner in (people.wang, people.li)]
        waiting = (
            "select count(*) from pg_locks where not granted and relation = 'custody_receipt_step'::regclass"
        )
        until = time.monotonic() + 30
        while held.execute(waiting).fetchone() != (2,) and time.monotonic() < until:
            time.sleep(0.01)
        held.rollback()
        assert sorted(each.result() for each in told) == [False, True]
    assert history.balance(DB, people.suspense).balance_minor == 50_00
    (step,) = receipts.steps(DB, BOOK, found.position)
    assert step.account is not None
    assert history.balance(DB, step.account).balance_minor == 12_34


def away() -> None:
    """The posting process is gone: what is decided now has to be posted later."""
    posting.use(posting.OverSocket(Path("/nowhere")))


def test_a_refused_receipt_can_leave_again_and_what_was_decided_is_posted_later(people: cast.Cast) -> None:
    """The ledger's no leaves it in suspense; a yes holds though the process ends before the ledger is asked."""
    found = in_suspense(people)

    def trace(owner: int) -> None:
        receipts.trace(DB, BOOK, found.position, owner, "a slip", actor=cast.OPERATIONS, now=cast.NOW)

    def frozen(status: AccountStatus) -> None:
        accounts.change_state(DB, people.suspense, status, "test", actor=cast.APPROVER, now=cast.NOW)

    frozen(AccountStatus.DEBITS_FROZEN)
    with pytest.raises(errors.TransferRefusal) as refused:
        trace(people.wang)
    assert receipts.receipts(DB, BOOK) == [found]
    assert receipts.advance(DB, BOOK, now=cast.NOW) == 0
    frozen(AccountStatus.OPEN)
    away()
    with pytest.raises(errors.PostingStopped):
        trace(people.li)
    posting.use(posting.InProcess())
    with pytest.raises(errors.ReceiptSettled):
        trace(people.wang)
    assert [receipts.advance(DB, BOOK, now=cast.NOW) for _ in range(2)] == [1, 0]
    assert history.balance(DB, people.li).balance_minor == 12_34
    assert [(each.refusal, each.is_posted) for each in receipts.steps(DB, BOOK, found.position)] == [
        (refused.value.code, False),
        ("", True),
    ]
    assert (receipts.count(DB, BOOK), receipts.receipts(DB, BOOK)) == (0, [])


def test_a_return_that_has_become_impossible_holds_up_no_other(people: cast.Cast) -> None:
    """What was booked to suspense was reversed after two people had sent it back: the step passes it over."""
    first, second = cast.post(
        [
            ask(n, people.bank, people.suspense, 10_00, "unidentified_receipt", reference=f"U-{n}")
            for n in (5, 6)
        ]
    )
    away()
    for position in (first, second):
        proposal = receipts.propose_return(
            DB, BOOK, position, "not ours", actor=cast.OPERATIONS, now=cast.NOW
        )
        with pytest.raises(errors.PostingStopped):
            receipts.approve_return(DB, proposal, actor=CHIEF, now=cast.NOW)
    posting.use(posting.InProcess())
    reversal = ask(
        7, people.suspense, people.bank, 10_00, "correction", reverses_id=cast.an_id(5), reason="wrong"
    )
    cast.post([reversal])
    assert [receipts.advance(DB, BOOK, now=cast.NOW) for _ in range(2)] == [1, 0]
    assert history.balance(DB, people.suspense).balance_minor == 0


def test_money_is_sent_back_by_two_people(people: cast.Cast) -> None:
    """Proposed by one, approved by another, posted once; the bank's line of the return then matches it."""
    found = in_suspense(people)
    proposal = receipts.propose_return(
        DB, BOOK, found.position, "payer asks for it", actor=cast.OPERATIONS, now=cast.NOW
    )
    assert [each.id for each in receipts.returning(DB, BOOK)] == [proposal]
    with pytest.raises(AccessDenied):
        receipts.approve_return(DB, proposal, actor=cast.OPERATIONS, now=cast.NOW)
    receipts.approve_return(DB, proposal, actor=CHIEF, now=cast.NOW)
    assert history.balance(DB, people.suspense).balance_minor == 0
    assert history.balance(DB, people.bank).balance_minor == 0
    assert receipts.receipts(DB, BOOK) == []
    assert receipts.advance(DB, BOOK, now=cast.NOW) == 0
    with pytest.raises(errors.ReceiptSettled):
        receipts.propose_return(DB, BOOK, found.position, "twice", actor=cast.OPERATIONS, now=cast.NOW)


@pytest.mark.slow
def test_only_a_client_of_the_same_money_is_an_owner(people: cast.Cast) -> None:
    """Not the platform, not the bank, not suspense itself."""
    found = in_suspense(people)
    for account in (people.platform, people.bank, people.suspense):
        with pytest.raises(errors.NotAnOwner):
            receipts.trace(DB, BOOK, found.position, account, "mine", actor=cast.OPERATIONS, now=cast.NOW)
    with pytest.raises(errors.ReceiptUnknown):
        receipts.trace(DB, BOOK, 9999, people.li, "mine", actor=cast.OPERATIONS, now=cast.NOW)


@pytest.mark.slow
def test_a_return_changed_after_it_was_proposed_is_void(people: cast.Cast) -> None:
    """The approval binds what was shown: another reason is another proposal."""
    found = in_suspense(people)
    proposal = receipts.propose_return(
        DB, BOOK, found.position, "payer asks for it", actor=cast.OPERATIONS, now=cast.NOW
    )
    state = approvals.approval(DB, proposal).state
    with pytest.raises(ApprovalVoid):
        approvals.approve(DB, proposal, {**state, "amount_minor": "1"}, actor=CHIEF, now=cast.NOW)

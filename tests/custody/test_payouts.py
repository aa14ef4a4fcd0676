"""Payouts: held when asked for, released by another above the limit, to verified details past their cool-off."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial

import psycopg
import pytest
from django.db import connections
from psycopg import errors as pg

from tallystick.core.postgres import Role as DatabaseRole
from tallystick.custody import accounts, errors, instructions, ledger
from tallystick.custody.codes import Code
from tallystick.custody.liquidity import limits
from tallystick.custody.numbers import Family
from tallystick.custody.payout_models import PayoutStatus
from tallystick.custody.payouts import bank_accounts, notices, orders, postings, steps, terms
from tallystick.evidence import log
from tallystick.identity import approvals
from tallystick.identity import errors as identity_errors
from tallystick.identity.access import Actor
from tallystick.identity.roles import Role
from tests.custody import cast
from tests.custody.cast import APPROVER, BOOK, DB, LI_QIANG, OPERATIONS, SIMULATION, WANG_FANG
from tests.custody.payout_cast import (
    CARD,
    DAY0,
    LIMIT,
    NOW,
    SECOND_APPROVER,
    SECOND_OPERATIONS,
    balance,
    new_terms,
    scene,
)  # fmt: skip

S = PayoutStatus


@pytest.fixture
def wang(ledger_database):
    return scene()


def way(payout):
    return [step.status for step in steps.steps(DB, payout.id)]


# ── asking ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_small_payout_is_held_and_released_by_rule(wang):
    payout = wang.ask(LIMIT)
    assert (payout.status, payout.needs_release) == (S.RELEASED, False)
    assert balance(wang.wang) == (1_000_000, LIMIT)
    assert way(payout) == [S.ASKED, S.PENDING, S.RELEASED]
    last = steps.steps(DB, payout.id)[-1]
    assert (last.by_rule, last.approval, last.actor) == (True, None, "system:pulse")


def test_a_large_payout_waits_for_another_person(wang):
    payout = wang.ask(LIMIT + 1)
    assert payout.status == S.PENDING
    assert [each.subject for each in approvals.pending(DB, kind=orders.KIND)] == [payout.reference]
    released = orders.release(DB, payout.id, actor=APPROVER, now=NOW)
    last = steps.steps(DB, payout.id)[-1]
    assert (released.status, last.by_rule, last.actor) == (S.RELEASED, False, APPROVER.id)
    assert approvals.approval(DB, last.approval).decided_by == APPROVER.id


def test_whoever_asked_does_not_release_nor_whose_money_it_is(wang):
    payout = wang.ask(LIMIT + 1)
    both = Actor(WANG_FANG.id, "王芳", frozenset({Role.PLATFORM_APPROVER}))
    with pytest.raises(identity_errors.OwnProposal):
        orders.release(DB, payout.id, actor=both, now=NOW)
    second_login = Actor("usr_99", "王芳", frozenset({Role.PLATFORM_APPROVER}), customer_number="C-WANG")
    with pytest.raises(errors.OwnMoney):
        orders.release(DB, payout.id, actor=second_login, now=NOW)
    with pytest.raises(identity_errors.AccessDenied):
        orders.release(DB, payout.id, actor=OPERATIONS, now=NOW)
    assert orders.payout(DB, payout.id).status == S.PENDING


def test_many_small_payouts_of_a_day_are_one_large_one(wang):
    asked = [wang.ask(LIMIT, f"k{i}") for i in range(4)]
    assert [each.needs_release for each in asked] == [False, False, False, True]
    assert not wang.ask(LIMIT, "next day", now=NOW + timedelta(days=1)).needs_release


def test_no_more_is_released_than_a_book_may_pay_out_in_a_day(wang):
    """By rule or by a person: what is under way counts until it is posted; it is nobody's own limit but the book's."""
    may = partial(limits.set_limit, DB, BOOK, "CNY", from_day=NOW.date(), actor=APPROVER, now=NOW)
    may(2 * LIMIT, "The bank's notice")
    small = [wang.ask(LIMIT, f"k{i}") for i in range(3)]
    assert [each.status for each in small] == [S.RELEASED, S.RELEASED, S.PENDING]
    with pytest.raises(errors.DayLimitReached) as told:
        orders.release(DB, small[2].id, actor=APPROVER, now=NOW)
    assert told.value.fields["left"] == "0.00"
    assert orders.payout(DB, small[2].id).status == S.PENDING
    with pytest.raises(errors.DayLimitReached):
        orders.release(DB, small[2].id, actor=APPROVER, now=NOW + timedelta(days=1))
    may(3 * LIMIT, "More is free")
    assert orders.release(DB, small[2].id, actor=APPROVER, now=NOW).status == S.RELEASED
    may(0, "Nothing goes out")
    held = wang.ask(1, "k4")
    assert held.status == S.PENDING
    may(None, "As before")
    assert orders.release(DB, held.id, actor=APPROVER, now=NOW).status == S.RELEASED


def test_asked_twice_under_one_key_is_one_payout(wang):
    first, second = wang.ask(500), wang.ask(500)
    assert first.id == second.id
    assert balance(wang.wang)[1] == 500
    with pytest.raises(errors.PayoutRequestDiffers):
        wang.ask(501)
    assert len(instructions.authorisations(DB, wang.wang)) == 1


def test_the_payouts_of_one_account_are_found_behind_any_number_of_anothers(wang):
    mine = wang.ask(500)
    other = accounts.open_account(
        DB,
        BOOK,
        Family.CLIENT,
        "CNY",
        owner="C-WANG",
        name="Second",
        reference="W-2",
        actor=SIMULATION,
        now=NOW,
    )
    cast.post([cast.ask(77, wang.accounts.bank, other, 1_000)], NOW)
    orders.ask(DB, other, wang.card, 300, request_key="k2", actor=WANG_FANG, now=NOW)
    assert [each.id for each in orders.payouts(DB, BOOK, account=wang.wang, limit=1)] == [mine.id]
    ended = wang.ask(LIMIT + 1, "ended")
    orders.cancel(DB, ended.id, actor=WANG_FANG, now=NOW)
    newest = orders.payouts(DB, BOOK, account=wang.wang, limit=1)
    assert [each.id for each in newest] == [ended.id]
    still = orders.payouts(DB, BOOK, account=wang.wang, is_open=True, limit=1)
    assert [each.id for each in still] == [mine.id]


def test_more_than_there_is_is_refused_by_the_ledger_and_nothing_waits(wang):
    payout = wang.ask(1_000_001)
    assert (payout.status, payout.reason) == (S.REFUSED, "insufficient_funds")
    assert approvals.pending(DB) == []
    assert wang.ask(1_000_001).id == payout.id


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"amount_minor": 0}, errors.Malformed),
        ({"key": ""}, errors.Malformed),
        ({"note": "x" * 141}, errors.Malformed),
        ({"actor": LI_QIANG}, identity_errors.AccessDenied),
        ({"actor": OPERATIONS}, errors.SignatureMissing),
        ({"card": 999}, errors.BankAccountUnknown),
    ],
)
def test_an_order_that_is_none_is_refused(wang, change, refusal):
    with pytest.raises(refusal):
        wang.ask(**{"amount_minor": 500, **change})
    assert orders.payouts(DB, BOOK) == []


def test_operations_order_with_an_authorisation_the_client_gave_for_it(wang):
    payee = bank_accounts.bank_account(DB, wang.card).shown
    given = cast.authorised(wang.wang, wang.accounts.bank, 500, code=Code.WITHDRAWAL, payee=payee)
    with pytest.raises(errors.AuthorisationUnfit):
        wang.ask(501, "k2", actor=OPERATIONS, authorisation=given)
    payout = wang.ask(500, actor=OPERATIONS, authorisation=given)
    assert (payout.status, payout.asked_by, payout.authorisation) == (S.RELEASED, OPERATIONS.id, given)


def test_no_payout_without_the_notice_of_the_day(wang):
    """DIS-09: a new version is read before the next order, whatever was read before."""
    wang.ask(500)
    proposed = notices.propose(DB, BOOK, "New words.", "新的告知。", actor=OPERATIONS, now=NOW)
    with pytest.raises(identity_errors.AccessDenied):
        notices.approve(DB, proposed, actor=OPERATIONS, now=NOW)
    assert notices.approve(DB, proposed, actor=APPROVER, now=NOW).version == 1
    with pytest.raises(errors.NoticeNotAcknowledged, match="version 1"):
        wang.ask(500, "k2")
    with pytest.raises(errors.NoticeNotCurrent):
        notices.acknowledge(DB, BOOK, "C-WANG", 0, language="zh", actor=WANG_FANG, now=NOW)
    with pytest.raises(identity_errors.AccessDenied):
        notices.acknowledge(DB, BOOK, "C-WANG", 1, language="zh", actor=OPERATIONS, now=NOW)
    notices.acknowledge(DB, BOOK, "C-WANG", 1, language="zh", actor=WANG_FANG, now=NOW)
    assert wang.ask(500, "k2").status == S.RELEASED


def test_no_terms_no_payouts(ledger_database):
    accounts = cast.opened()
    with pytest.raises(errors.PayoutTermsMissing):
        orders.ask(DB, accounts.wang, 1, 500, request_key="k", actor=WANG_FANG, now=NOW)


# ── where to ─────────────────────────────────────────────────────────────────────────────────────────────


def test_details_cool_off_after_every_change(wang):
    """24 hours from the change, not a second less; a verification alone does not start them again."""
    changed = bank_accounts.change(
        DB, wang.card, replace(CARD, number="6222021234567890999"), actor=WANG_FANG, now=NOW
    )
    with pytest.raises(errors.BankAccountUnverified):
        wang.ask(500)
    bank_accounts.verify(DB, wang.card, how="Card network.", actor=OPERATIONS, now=NOW + timedelta(hours=3))
    over = NOW + timedelta(hours=24)
    with pytest.raises(errors.CoolingOff):
        wang.ask(500, now=over - timedelta(microseconds=1))
    assert wang.ask(500, now=over).payee.endswith("0999")
    assert changed.last4 == "0999"


def test_changed_details_call_off_what_was_ordered_for_the_old_ones(wang):
    large, small = wang.ask(LIMIT + 1), wang.ask(500, "k2")
    bank_accounts.change(DB, wang.card, replace(CARD, number="6222021234567890999"), actor=WANG_FANG, now=NOW)
    with pytest.raises(errors.BankDetailsChanged):
        orders.release(DB, large.id, actor=APPROVER, now=NOW)
    assert orders.advance(DB, BOOK, now=NOW) > 0
    assert {orders.payout(DB, each.id).status for each in (large, small)} == {S.CANCELLED}
    assert balance(wang.wang) == (1_000_000, 0)
    assert approvals.pending(DB) == []


def test_whoever_entered_details_does_not_verify_them(wang):
    card = bank_accounts.add(
        DB, BOOK, "C-LI", replace(CARD, number="62220299998888"), actor=OPERATIONS, now=NOW
    )
    with pytest.raises(errors.BankAccountOwnEntry):
        bank_accounts.verify(DB, card.id, how="I know them.", actor=OPERATIONS, now=NOW)
    assert (
        bank_accounts.verify(DB, card.id, how="Card network.", actor=SECOND_OPERATIONS, now=NOW).status
        == "verified"
    )


def test_nobody_pays_out_to_anothers_account(wang):
    card = bank_accounts.add(DB, BOOK, "C-LI", CARD, actor=LI_QIANG, now=DAY0)
    bank_accounts.verify(DB, card.id, how="Card network.", actor=OPERATIONS, now=DAY0)
    with pytest.raises(errors.BankAccountOfAnother):
        wang.ask(500, card=card.id)
    with pytest.raises(identity_errors.AccessDenied):
        bank_accounts.change(DB, card.id, CARD, actor=WANG_FANG, now=NOW)
    assert bank_accounts.other_owners(DB, card.id) == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"holder_name": " "}, "holder_name"),
        ({"number": "1234"}, "number"),
        ({"number": "DE89370400440532013001"}, "number"),
        ({"number": "6222;drop"}, "number"),
        ({"cnaps": "12345"}, "cnaps"),
        ({"bic": "ICBK", "cnaps": ""}, "bic"),
        ({"cnaps": ""}, "bic"),
    ],
)
def test_details_that_no_bank_could_use_are_refused(change, field):
    assert bank_accounts.misfit(replace(CARD, **change))[0] == field


def test_the_number_is_nowhere_in_clear(wang, ledger_database):
    """Not in any row of any table, not in any event: as the superuser, looking for its digits."""
    wang.ask(LIMIT + 1)
    with psycopg.connect(ledger_database.superuser) as connection:
        tables = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        for (table,) in tables:
            held = connection.execute(
                f'select count(*) from "{table}" t where t::text like %s', ("%212345678901%",)
            )
            assert held.fetchone()[0] == 0, table
    change = bank_accounts.bank_account(DB, wang.card).change_id
    assert bank_accounts.clear_numbers(DB, [change]) == {change: "6222021234567890123"}
    with (
        psycopg.connect(ledger_database.conninfo(DatabaseRole.AUDITOR)) as auditor,
        pytest.raises(pg.InsufficientPrivilege),
    ):
        auditor.execute("select sealed_number from custody_bank_account_change")


# ── calling off ──────────────────────────────────────────────────────────────────────────────────────────


def test_the_client_calls_off_until_it_is_released(wang):
    payout = wang.ask(LIMIT + 1)
    with pytest.raises(identity_errors.AccessDenied):
        orders.cancel(DB, payout.id, actor=LI_QIANG, now=NOW)
    assert (
        orders.cancel(DB, payout.id, reason="Changed my mind.", actor=WANG_FANG, now=NOW).status
        == S.CANCELLED
    )
    assert balance(wang.wang) == (1_000_000, 0)
    assert approvals.past(DB, orders.KIND, payout.reference)[0].outcome == "void"
    released = wang.ask(500, "k2")
    with pytest.raises(errors.PayoutNotPending):
        orders.cancel(DB, released.id, actor=WANG_FANG, now=NOW)


def test_a_declined_payout_gives_the_money_back(wang):
    payout = wang.ask(LIMIT + 1)
    declined = orders.decline(
        DB, payout.id, reason="Looks like a scam: called the client.", actor=APPROVER, now=NOW
    )
    assert (declined.status, balance(wang.wang)) == (S.DECLINED, (1_000_000, 0))


def test_of_a_release_and_a_call_off_at_once_one_counts(wang):
    payout = wang.ask(LIMIT + 1)

    def one(act):
        try:
            return act().status
        except (errors.PayoutNotPending, identity_errors.ApprovalDecided) as refusal:
            return type(refusal)
        finally:
            connections[DB].close()

    acts = [
        lambda: orders.release(DB, payout.id, actor=APPROVER, now=NOW),
        lambda: orders.cancel(DB, payout.id, actor=WANG_FANG, now=NOW),
        lambda: orders.release(DB, payout.id, actor=SECOND_APPROVER, now=NOW),
    ]
    with ThreadPoolExecutor(3) as pool:
        got = list(pool.map(one, acts))
    assert sum(each in (S.RELEASED, S.CANCELLED) for each in got) == 1
    ended = orders.payout(DB, payout.id).status
    assert balance(wang.wang)[1] == (LIMIT + 1 if ended == S.RELEASED else 0)


# ── terms ────────────────────────────────────────────────────────────────────────────────────────────────


def test_terms_are_changed_by_two_people_on_what_stood(wang):
    bank = wang.accounts.bank
    proposed = terms.propose(DB, new_terms(bank, release_above_minor=1), actor=OPERATIONS, now=NOW)
    with pytest.raises(identity_errors.AccessDenied):
        terms.approve(DB, proposed, actor=OPERATIONS, now=NOW)
    with pytest.raises(identity_errors.ProposalOpen):
        terms.propose(DB, new_terms(bank, release_above_minor=2), actor=SECOND_OPERATIONS, now=NOW)
    terms.approve(DB, proposed, actor=APPROVER, now=NOW)
    assert terms.current(DB, BOOK, 156).release_above_minor == 1
    assert wang.ask(2).needs_release
    assert [each.release_above_minor for each in terms.past(DB, BOOK)] == [1, LIMIT]


# ── faults ───────────────────────────────────────────────────────────────────────────────────────────────


def crash_in(monkeypatch, module, name, times=1):
    """The call fails after `times - 1` calls, once: as a process that was killed there."""
    real, calls = getattr(module, name), []

    def failing(*arguments, **more):
        calls.append(1)
        if len(calls) == times:
            raise RuntimeError("killed")
        return real(*arguments, **more)

    monkeypatch.setattr(module, name, failing)


@pytest.mark.parametrize("place", ["before the ledger", "after the ledger"])
def test_a_crash_while_asking_loses_and_doubles_nothing(wang, monkeypatch, place):
    """Between the order and its hold, and between the hold and its status row: the next beat makes up for it."""
    crash_in(monkeypatch, *((ledger, "post") if place == "before the ledger" else (postings, "_record")))
    with pytest.raises(RuntimeError):
        wang.ask(500)
    payout = orders.payouts(DB, BOOK)[0]
    assert payout.status == S.ASKED
    assert balance(wang.wang)[1] == (0 if place == "before the ledger" else 500)
    assert orders.advance(DB, BOOK, now=NOW) == 1
    assert orders.advance(DB, BOOK, now=NOW) == 0
    assert (orders.payout(DB, payout.id).status, balance(wang.wang)) == (S.RELEASED, (1_000_000, 500))
    assert wang.ask(500).id == payout.id


@pytest.mark.parametrize("place", ["before the ledger", "after the ledger"])
def test_a_crash_while_calling_off_gives_the_money_back_once(wang, monkeypatch, place):
    payout = wang.ask(LIMIT + 1)
    crash_in(monkeypatch, *((ledger, "post") if place == "before the ledger" else (postings, "_record")))
    with pytest.raises(RuntimeError):
        orders.cancel(DB, payout.id, actor=WANG_FANG, now=NOW)
    orders.advance(DB, BOOK, now=NOW)
    assert orders.advance(DB, BOOK, now=NOW) == 0
    assert balance(wang.wang) == (1_000_000, 0)
    assert [each.step for each in postings.postings(DB, payout.id)] == ["hold", "void"]


def test_a_ledger_that_takes_nothing_now_is_asked_again_later(wang, monkeypatch):
    def stopped(*_, **__):
        raise errors.PostingStopped("disk_full", "no room")

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "post", stopped)
        assert wang.ask(500).status == S.ASKED
    orders.advance(DB, BOOK, now=NOW)
    assert orders.payouts(DB, BOOK)[0].status == S.RELEASED


# ── the database's own word ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("sets", "named"),
    [
        ("4, 'settled', false, null", "custody_payout_step_follows"),
        ("3, 'sent', false, null", "custody_payout_step_follows"),
        ("4, 'released', true, null", "custody_payout_step_follows"),
        ("3, 'released', true, null", "custody_payout_step_released"),
        ("3, 'released', false, null", "custody_payout_step_released"),
    ],
)
def test_the_database_refuses_a_step_out_of_order(wang, ledger_database, sets, named):
    """By hand, as the app: skipping, and releasing by rule what needs a person."""
    payout = wang.ask(LIMIT + 1)
    with psycopg.connect(ledger_database.conninfo(DatabaseRole.APP)) as connection:  # noqa: SIM117
        with pytest.raises(pg.IntegrityError) as refused:
            connection.execute(
                "insert into custody_payout_step (number, status, by_rule, approval_id, payout_id, reason, at, actor)"
                f" values ({sets}, %s, '', now(), 'usr_1')",
                (payout.id,),
            )
    assert refused.value.diag.constraint_name == named


def test_every_step_is_told(wang):
    payout = wang.ask(LIMIT + 1)
    orders.cancel(DB, payout.id, actor=WANG_FANG, now=NOW)
    told = [event.payload["to"] for event in reversed(log.events(DB, kind="custody.payout_moved"))]
    assert told == ["asked", "pending", "cancelled"]

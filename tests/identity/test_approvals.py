"""Approvals: another person decides, on the state that was proposed, once; the database says so too."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.db import connections, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import errors as pg

from tallystick.core.db import APP
from tallystick.core.postgres import Role as DatabaseRole
from tallystick.evidence import log
from tallystick.identity import access, approvals, errors
from tallystick.identity.access import Actor
from tallystick.identity.approvals import Outcome
from tallystick.identity.roles import CONFLICTS, GRANTABLE, Role

NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
KIND = "custody.release_payout"
STATE = {"amount_minor": "120000", "to": "…0123", "payout": "pay_1"}

WANG = Actor("usr_11", "王芳", frozenset({Role.PLATFORM_OPERATIONS}))
ZHAO = Actor("usr_12", "赵敏", frozenset({Role.PLATFORM_OPERATIONS}))
LI = Actor("usr_13", "李强", frozenset({Role.PLATFORM_APPROVER}))
CHEN = Actor("usr_14", "陈静", frozenset({Role.PLATFORM_APPROVER}))
CLIENT = Actor("usr_15", "客户", frozenset({Role.CUSTOMER}), customer_number="C-1")


@pytest.fixture(autouse=True)
def database(ledger_database):
    return ledger_database


def propose(subject="pay_1", state=STATE, actor=WANG, **more):
    return approvals.propose(APP, KIND, subject, state, actor=actor, now=NOW, **more)


def kinds_told():
    return [event.kind for event in reversed(log.events(APP)) if event.kind.startswith("identity.approval")]


def test_another_person_approves_and_both_are_told():
    approval = propose(note="Third payout this week.")
    assert [each.id for each in approvals.pending(APP, kind=KIND)] == [approval]
    given_ = approvals.approve(APP, approval, STATE, actor=LI, now=LATER)
    assert (given_.outcome, given_.made_by, given_.decided_by) == (Outcome.APPROVED, "usr_11", "usr_13")
    assert approvals.approved(APP, KIND, "pay_1", STATE) == given_
    assert approvals.pending(APP) == []
    assert kinds_told() == ["identity.approval_proposed", "identity.approval_given"]


def test_the_maker_never_decides_even_with_the_right_to():
    """Both permissions in one hand do not help: it is the person that differs."""
    both = Actor("usr_11", "王芳", frozenset({Role.PLATFORM_APPROVER}))
    approval = propose()
    with pytest.raises(errors.OwnProposal):
        approvals.approve(APP, approval, STATE, actor=both, now=LATER)
    with pytest.raises(errors.OwnProposal):
        approvals.reject(APP, approval, reason="no", actor=both, now=LATER)
    assert approvals.approval(APP, approval).is_open


@pytest.mark.parametrize("pair", sorted(tuple(sorted(pair)) for pair in CONFLICTS))
def test_whoever_holds_roles_that_check_one_another_decides_nothing(pair):
    """Such a pair cannot be granted; should it come from elsewhere, it opens no door."""
    approval = propose()
    held = frozenset({Role(each) for each in pair} | {Role.PLATFORM_APPROVER})
    with pytest.raises(errors.RolesConflict):
        approvals.approve(APP, approval, STATE, actor=Actor("usr_66", "", held), now=LATER)


@pytest.mark.parametrize("role", sorted(Role))
def test_only_a_person_with_the_right_decides(role):
    approval = propose()
    actor = Actor("usr_77" if role in GRANTABLE else role.value, "", frozenset({role}), customer_number="C-1")
    if role == Role.PLATFORM_APPROVER:
        assert approvals.approve(APP, approval, STATE, actor=actor, now=LATER).outcome == Outcome.APPROVED
        return
    with pytest.raises((errors.AccessDenied, errors.DeciderNotAPerson)):
        approvals.approve(APP, approval, STATE, actor=actor, now=LATER)
    assert approvals.approval(APP, approval).is_open


def test_a_client_proposes_for_their_own_things_only():
    assert propose(actor=CLIENT, owner="C-1")
    with pytest.raises(errors.AccessDenied):
        propose("pay_2", actor=CLIENT, owner="C-2")
    with pytest.raises(errors.AccessDenied):
        propose("pay_2", actor=CLIENT)


def test_a_changed_state_makes_the_proposal_void_and_it_stays_so():
    approval = propose()
    with pytest.raises(errors.ApprovalVoid):
        approvals.approve(APP, approval, {**STATE, "amount_minor": "120001"}, actor=LI, now=LATER)
    assert approvals.approval(APP, approval).outcome == Outcome.VOID
    with pytest.raises(errors.ApprovalDecided):
        approvals.approve(APP, approval, STATE, actor=LI, now=LATER)
    assert approvals.approved(APP, KIND, "pay_1", STATE) is None
    assert kinds_told()[-1] == "identity.approval_voided"


def test_whoever_changes_the_subject_ends_what_was_proposed_for_it():
    approval = propose()
    with transaction.atomic(using=APP):
        assert not approvals.void(APP, KIND, "pay_1", STATE, reason="same", actor=CLIENT, now=LATER)
        changed = {**STATE, "state": "cancelled"}
        assert approvals.void(APP, KIND, "pay_1", changed, reason="cancelled", actor=CLIENT, now=LATER)
    assert approvals.approval(APP, approval).reason == "cancelled"


def test_an_approval_is_of_one_state_one_subject_and_one_kind():
    approvals.approve(APP, propose(), STATE, actor=LI, now=LATER)
    assert approvals.approved(APP, KIND, "pay_1", {**STATE, "to": "…0124"}) is None
    assert approvals.approved(APP, KIND, "pay_2", STATE) is None
    assert approvals.approved(APP, "custody.change_payout_terms", "pay_1", STATE) is None


def test_a_later_proposal_supersedes_an_earlier_approval():
    """What stands is the newest proposal's outcome: an old yes cannot be brought back."""
    approvals.approve(APP, propose(), STATE, actor=LI, now=LATER)
    approvals.reject(APP, propose(), reason="Not again.", actor=LI, now=LATER)
    assert approvals.approved(APP, KIND, "pay_1", STATE) is None


def test_one_open_proposal_for_a_kind_and_subject():
    first = propose()
    with pytest.raises(errors.ProposalOpen, match=f"apr_{first}"):
        propose(state={**STATE, "amount_minor": "1"}, actor=ZHAO)
    propose("pay_2")
    approvals.withdraw(APP, first, actor=WANG, now=LATER)
    propose()
    assert [each.outcome for each in approvals.past(APP, KIND, "pay_1")] == [Outcome.WITHDRAWN, None]


def test_the_proposals_of_a_book_are_found_behind_those_of_others():
    """However many wait in other books: a page of one book is not filled by another's."""
    for i in range(3):
        propose(f"pay_{i}", book=2)
    mine = propose("pay_9", book=1)
    assert [each.id for each in approvals.pending(APP, book=1, limit=1)] == [mine]
    assert approvals.approve(APP, mine, STATE, actor=LI, now=LATER).book == 1
    assert len(approvals.pending(APP, limit=10)) == 3


def test_a_proposal_of_another_kind_is_none_of_this_one():
    approval = propose()
    assert approvals.of_kind(APP, approval, KIND).id == approval
    with pytest.raises(errors.ProposalOfOtherKind):
        approvals.of_kind(APP, approval, "custody.close_day")


def test_only_the_maker_withdraws():
    approval = propose()
    with pytest.raises(errors.ProposalOfAnother):
        approvals.withdraw(APP, approval, actor=ZHAO, now=LATER)


@pytest.mark.parametrize(
    ("subject", "state", "note"),
    [("", STATE, ""), ("x" * 201, STATE, ""), ("a\nb", STATE, ""), ("p", {"a": "x" * 20_001}, ""),
     ("p", STATE, "n" * 501)],
)  # fmt: skip
def test_what_is_too_long_or_says_nothing_is_refused(subject, state, note):
    with pytest.raises(errors.ProposalMalformed):
        propose(subject, state, note=note)


def test_a_rejection_says_why():
    with pytest.raises(errors.ProposalMalformed):
        approvals.reject(APP, propose(), reason=" ", actor=LI, now=LATER)


def at_once(what, count=4):
    """What `count` threads get when they call this at the same moment."""

    def one(i):
        try:
            return what(i)
        except Exception as refusal:
            return type(refusal)
        finally:
            connections[APP].close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_of_several_who_propose_or_decide_at_once_one_does():
    got = at_once(lambda i: propose(actor=(WANG, ZHAO)[i % 2]))
    assert sum(isinstance(each, int) for each in got) == 1
    assert set(got) - {errors.ProposalOpen} == {each for each in got if isinstance(each, int)}
    approval = approvals.pending(APP)[0].id
    got = at_once(lambda i: approvals.approve(APP, approval, STATE, actor=(LI, CHEN)[i % 2], now=LATER))
    assert sum(each is errors.ApprovalDecided for each in got) == 3


# ── the database's own word ──────────────────────────────────────────────────────────────────────────────

INSERT = """
insert into identity_approval (kind, subject, book, number, state, digest, note, made_by, at)
select kind, subject, book, number + %s, state, digest, note, made_by, at from identity_approval
"""
DECIDE = """
insert into identity_approval_decision
    (approval_id, outcome, made_by, digest, seen_digest, reason, decided_by, at)
select id, %s, coalesce(%s, made_by), digest, {seen}, %s, %s, now() from identity_approval
"""


@pytest.fixture
def by_hand(database):
    with psycopg.connect(database.conninfo(DatabaseRole.APP), autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize(
    ("outcome", "maker", "seen", "reason", "decider"),
    [
        ("approved", None, "digest", "", "usr_11"),
        ("rejected", None, "null", "no", "usr_11"),
        ("approved", "usr_12", "digest", "", "usr_11"),
        ("approved", None, "'\\x00'", "", "usr_13"),
        ("approved", None, "null", "", "usr_13"),
        ("rejected", None, "null", "", "usr_13"),
        ("withdrawn", None, "null", "", "usr_13"),
        ("void", None, "digest", "", "usr_13"),
        ("void", None, "null", "", "usr_13"),
        ("nodded", None, "digest", "", "usr_13"),
    ],
)
def test_the_database_refuses_a_decision_that_is_none(by_hand, outcome, maker, seen, reason, decider):
    """By hand, as the app: deciding one's own, naming another maker, another state, no reason."""
    propose()
    with pytest.raises((pg.CheckViolation, pg.ForeignKeyViolation)):
        by_hand.execute(DECIDE.format(seen=seen), (outcome, maker, reason, decider))
    by_hand.execute(DECIDE.format(seen="digest"), ("approved", None, "", "usr_13"))


def test_the_database_keeps_one_open_and_binds_state_to_digest(by_hand):
    propose()
    for step in (0, 1, 5):
        with pytest.raises((pg.IntegrityConstraintViolation, pg.UniqueViolation)):
            by_hand.execute(INSERT, (step,))
    forged = INSERT.replace(
        "state, digest, note, made_by, at from", "'{\"a\":1}', digest, note, made_by, at from"
    )
    moved = INSERT.replace("select kind, subject, book,", "select kind, subject, 7,")
    by_hand.execute(DECIDE.format(seen="digest"), ("approved", None, "", "usr_13"))
    for bent in (forged, moved):
        with pytest.raises(pg.CheckViolation, match="identity_approval_bound"):
            by_hand.execute(bent, (1,))
    by_hand.execute(INSERT, (1,))


@pytest.mark.parametrize("role", [DatabaseRole.APP, DatabaseRole.OWNER])
@pytest.mark.parametrize("table", ["identity_approval", "identity_approval_decision"])
def test_nobody_changes_what_was_proposed_or_decided(database, role, table):
    approvals.approve(APP, propose(), STATE, actor=LI, now=LATER)
    with psycopg.connect(database.conninfo(role), autocommit=True) as connection:
        for statement in (
            f"update {table} set made_by = 'usr_0'",
            f"delete from {table}",
            f"truncate {table} cascade",
        ):
            with pytest.raises(pg.InsufficientPrivilege):
                connection.execute(statement)


# ── whatever people do ───────────────────────────────────────────────────────────────────────────────────

PEOPLE = (WANG, ZHAO, LI, CHEN)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["propose", "approve", "reject", "withdraw"]),
        st.sampled_from(range(4)),
        st.sampled_from(["pay_1", "pay_2"]),
        st.sampled_from(["1", "2"]),
    ),
    max_size=14,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_whatever_people_do_an_approval_has_two_of_them_and_one_state(steps):
    """Against a model of a few lines: the open proposal of each subject, and what stands."""
    model: dict[str, tuple[Actor, str, int]] = {}
    stands: dict[str, str | None] = {}
    with transaction.atomic(using=APP):
        for act, who, subject, amount in steps:
            actor, state = PEOPLE[who], {"amount_minor": amount}
            maker, proposed, number = model.get(subject, (None, None, 0))
            try:
                if act == "propose":
                    model_next = (actor, amount, propose(subject, state, actor=actor))
                    assert subject not in model
                    assert actor in (WANG, ZHAO)
                    model[subject], stands[subject] = model_next, None
                elif act == "approve":
                    approvals.approve(APP, number, state, actor=actor, now=LATER)
                    assert maker != actor
                    assert actor in (LI, CHEN)
                    assert proposed == amount
                    stands[subject] = amount
                    del model[subject]
                elif act == "reject":
                    approvals.reject(APP, number, reason="no", actor=actor, now=LATER)
                    assert maker != actor
                    del model[subject]
                else:
                    approvals.withdraw(APP, number, actor=actor, now=LATER)
                    assert maker == actor
                    del model[subject]
            except errors.ApprovalVoid:
                assert proposed != amount
                del model[subject]
            except errors.Refusal:
                pass
            for each in ("pay_1", "pay_2"):
                for one in ("1", "2"):
                    found = approvals.approved(APP, KIND, each, {"amount_minor": one})
                    assert (found is not None) == (stands.get(each) == one)
                    assert found is None or found.made_by != found.decided_by
            assert {each.subject for each in approvals.pending(APP)} == set(model)
        transaction.set_rollback(True, using=APP)


def test_every_kind_names_two_permissions_that_no_one_person_has_by_roles():
    for kind, (make, check) in approvals.KINDS.items():
        assert make in access.PERMISSIONS, kind
        assert access.PERMISSIONS[check] & GRANTABLE, kind

"""A legal hold holds as soon as one person places it, and ends only by two."""

from datetime import UTC, datetime, timedelta

import pytest

from tallystick.core.db import APP
from tallystick.evidence import holds, log
from tallystick.evidence.holds import Scope
from tallystick.identity import approvals, errors, retention
from tallystick.identity.access import Actor
from tallystick.identity.errors import AccessDenied
from tallystick.identity.roles import Role

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
WANG = Actor("usr_1", "王芳", frozenset({Role.AUDITOR}))
LI = Actor("usr_2", "李强", frozenset({Role.ADMINISTRATOR}))
OPERATIONS = Actor("usr_3", "操作员", frozenset({Role.PLATFORM_OPERATIONS}))


def place(actor=WANG, terms=("C-1",)):
    return retention.place(APP, Scope(terms=terms), matter="(2026) 7", reason="a court", actor=actor, now=NOW)


def pending(kind):
    return approvals.pending(APP, kind=kind)[0].id


@pytest.mark.django_db
def test_a_hold_begins_with_one_person_and_ends_with_two():
    held = place()
    assert held.is_in_force
    with pytest.raises(errors.OwnProposal):
        retention.decide(APP, pending(retention.CONFIRM), approve=True, actor=WANG, now=NOW)
    confirmed = retention.decide(APP, pending(retention.CONFIRM), approve=True, actor=LI, now=NOW)
    assert (confirmed.status, confirmed.is_in_force) == ("confirmed", True)
    retention.propose_lift(APP, held.id, reason="settled", actor=LI, now=NOW)
    assert holds.hold(APP, held.id).is_in_force
    with pytest.raises(errors.OwnProposal):
        retention.decide(APP, pending(retention.LIFT), approve=True, actor=LI, now=NOW)
    lifted = retention.decide(APP, pending(retention.LIFT), approve=True, actor=WANG, now=NOW)
    assert (lifted.status, lifted.is_in_force) == ("lifted", False)
    told = [each.payload["status"] for each in log.events(APP, kind="evidence.hold_stepped")]
    assert told == ["lifted", "confirmed"]
    with pytest.raises(errors.HoldUnknown):
        retention.propose_lift(APP, held.id, reason="again", actor=LI, now=NOW)


@pytest.mark.django_db
def test_a_second_person_may_turn_a_hold_down_or_let_one_stand():
    first, second = place(), place(terms=())
    turned_down = approvals.pending(APP, kind=retention.CONFIRM, subject=first.reference)[0].id
    retention.decide(APP, turned_down, approve=False, reason="no such case", actor=LI, now=NOW)
    assert not holds.hold(APP, first.id).is_in_force
    retention.propose_lift(APP, second.id, reason="over?", actor=WANG, now=NOW)
    retention.decide(APP, pending(retention.LIFT), approve=False, reason="not yet", actor=LI, now=NOW)
    assert holds.hold(APP, second.id).is_in_force


@pytest.mark.django_db
def test_only_those_who_may_place_decide_and_erase():
    with pytest.raises(AccessDenied):
        place(actor=OPERATIONS)
    with pytest.raises(errors.ProposalMalformed):
        retention.place(APP, Scope(), matter=" ", reason="r", actor=WANG, now=NOW)
    with pytest.raises(AccessDenied):
        retention.erase_due(
            APP, ("CN",), ended=lambda _db, _payload: None, actor=WANG, now=NOW + timedelta(1)
        )

"""Who may do what: the whole table, told a second time, so that no change of it goes unseen."""

import pytest

from tallystick.core.db import APP
from tallystick.identity import access
from tallystick.identity.access import NOBODY, PERMISSIONS, Actor
from tallystick.identity.errors import AccessDenied
from tallystick.identity.roles import CONFLICTS, GRANTABLE, Role, conflict

# One letter a role: A administrator, O platform operations, P platform approver, B custodian bank,
# U auditor, R regulator, C customer (own things only).
LETTERS = {
    "A": Role.ADMINISTRATOR,
    "O": Role.PLATFORM_OPERATIONS,
    "P": Role.PLATFORM_APPROVER,
    "B": Role.CUSTODIAN_BANK,
    "U": Role.AUDITOR,
    "R": Role.REGULATOR,
    "C": Role.CUSTOMER,
}

MATRIX = {
    "custody.open_book": "P",
    "custody.define_asset": "P",
    "custody.open_account": "O",
    "custody.change_account_state": "OP",
    "custody.set_limits": "P",
    "custody.authorise": "OC",
    "custody.withdraw_authorisation": "OC",
    "custody.post": "O",
    "custody.reverse": "P",
    "custody.open_balances": "",
    "custody.add_bank_account": "OC",
    "custody.verify_bank_account": "O",
    "custody.make_payout": "OC",
    "custody.release_payout": "P",
    "custody.acknowledge_payout_notice": "C",
    "custody.send_payouts": "O",
    "custody.propose_payout_terms": "O",
    "custody.approve_payout_terms": "P",
    "custody.propose_pay_in": "O",
    "custody.approve_pay_in": "P",
    "custody.announce_deposit": "C",
    "custody.take_deposits": "O",
    "custody.propose_holders": "O",
    "custody.approve_holders": "P",
    "custody.consent_as_holder": "C",
    "custody.set_dormancy": "P",
    "custody.mark_dormant": "O",
    "custody.reactivate_account": "C",
    "custody.import_statement": "OB",
    "custody.reconcile": "OP",
    "custody.arrange_safeguarding": "P",
    "custody.prove_safeguarding": "OP",
    "custody.sign_proof": "O",
    "custody.countersign_proof": "P",
    "custody.read_safeguarding": "OPBUR",
    "custody.build_resolution_pack": "PR",
    "custody.state_solvency": "OP",
    "custody.hand_over_liabilities": "P",
    "custody.read_own_proof": "C",
    "custody.assess_liquidity": "OP",
    "custody.record_rate": "O",
    "custody.set_corridor": "P",
    "custody.quote_exchange": "OC",
    "custody.settle_exchange": "O",
    "custody.explain_break": "O",
    "custody.propose_match": "O",
    "custody.approve_match": "P",
    "custody.propose_return": "O",
    "custody.approve_return": "P",
    "custody.prepare_close": "O",
    "custody.sign_close": "P",
    "custody.set_book_days": "P",
    "custody.register_key": "C",
    "custody.read_ledger": "OPBUR",
    "custody.read_own": "OPBURC",
    "custody.read_statements": "OPBUR",
    "custody.export": "OPBUR",
    "identity.create_user": "A",
    "identity.grant_role": "A",
    "identity.withdraw_role": "A",
    "identity.issue_sign_in_link": "",
    "identity.issue_api_token": "",
    "identity.revoke_api_token": "A",
    "identity.read_users": "AU",
    "identity.read_api_tokens": "AU",
    "evidence.read": "OPBUR",
    "evidence.read_ledger_log": "BUR",
    "evidence.read_trail": "AUR",
    "evidence.acknowledge": "APU",
    "evidence.place_hold": "AU",
    "evidence.decide_hold": "AU",
    "evidence.read_retention": "AUR",
    "evidence.erase": "A",
    "evidence.anchor": "A",
    "operations.backup": "A",
    "operations.restore": "",
    "operations.read_health": "AOPU",
}


def actor(role, customer_number=None):
    return Actor(id="usr_7", name="王芳", roles=frozenset({role}), customer_number=customer_number)


def test_every_permission_is_in_the_matrix():
    assert set(MATRIX) == set(PERMISSIONS)


@pytest.mark.parametrize("permission", sorted(PERMISSIONS))
@pytest.mark.parametrize("letter", sorted(LETTERS))
def test_a_role_may_do_what_the_matrix_says_and_nothing_else(permission, letter):
    expected = letter in MATRIX.get(permission, "")
    who = actor(LETTERS[letter], customer_number="C-1")
    assert access.allowed(who, permission, owner="C-1") is expected


@pytest.mark.parametrize("permission", sorted(PERMISSIONS))
def test_a_customer_reaches_only_their_own(permission):
    wang = actor(Role.CUSTOMER, customer_number="C-1")
    assert not access.allowed(wang, permission, owner="C-2")
    assert not access.allowed(wang, permission, owner=None)
    assert not access.allowed(actor(Role.CUSTOMER), permission, owner=None)
    assert not access.allowed(actor(Role.CUSTOMER, customer_number=""), permission, owner=None)


@pytest.mark.parametrize("permission", sorted(PERMISSIONS))
def test_whoever_holds_no_role_may_do_nothing(permission):
    assert not access.allowed(NOBODY, permission, owner="C-1")
    with pytest.raises(AccessDenied):
        access.require(APP, NOBODY, permission)


def test_a_refusal_is_counted_by_permission():
    counter = access.DENIED.labels("custody.reverse")._value
    before = counter.get()
    with pytest.raises(AccessDenied, match=r"custody\.reverse"):
        access.require(APP, actor(Role.PLATFORM_OPERATIONS), "custody.reverse")
    assert counter.get() == before + 1


def test_a_permission_nobody_wrote_down_is_a_fault_not_a_yes():
    with pytest.raises(AssertionError):
        access.require(APP, actor(Role.ADMINISTRATOR), "custody.take_everything")


def test_a_process_of_the_system_is_named_or_is_none():
    assert Actor.system("posting").id == "system:posting"
    with pytest.raises(ValueError, match="nonsense"):
        Actor.system("nonsense")


def test_no_process_of_the_system_is_a_role_of_people():
    assert not {role for role in Role if role.startswith("system:")} & GRANTABLE


@pytest.mark.parametrize("pair", sorted(tuple(sorted(pair)) for pair in CONFLICTS))
def test_who_makes_does_not_check(pair):
    one, other = (Role(name) for name in pair)
    assert conflict(one, frozenset({other})) == other
    assert conflict(other, frozenset({one})) == one


def test_maker_and_checker_of_a_reversal_conflict():
    makers = PERMISSIONS["custody.post"] & GRANTABLE
    checkers = PERMISSIONS["custody.reverse"] & GRANTABLE
    assert all(frozenset((maker, checker)) in CONFLICTS for maker in makers for checker in checkers)

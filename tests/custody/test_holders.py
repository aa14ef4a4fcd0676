"""Holders: whose word an account needs, and what becomes of it when they are silent, gone, or not of age."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import Error, connections, transaction

from tallystick.custody import accounts, conditions, errors, history, holders, instructions, ledger, numbers
from tallystick.custody.codes import Code
from tallystick.custody.holder_models import Capacity, Condition, HoldingRule
from tallystick.custody.holders import Party
from tallystick.custody.instructions import Given, Terms
from tallystick.custody.models import AccountStatus
from tallystick.custody.numbers import AuthorisationKind, Family
from tallystick.identity.access import Actor
from tallystick.identity.errors import AccessDenied, ApprovalVoid
from tallystick.identity.roles import Role
from tests.custody import cast
from tests.custody.cast import (
    APPROVER,
    BOOK,
    DB,
    LATER,
    LI_QIANG,
    NOW,
    OPENED,
    OPERATIONS,
    SIMULATION,
    WANG_FANG,
    ask,
)

ZHAO = Actor("usr_6", "赵敏", frozenset({Role.CUSTOMER}), customer_number="C-ZHAO")
BOTH = (Party("C-WANG", Capacity.HOLDER), Party("C-LI", Capacity.HOLDER))
_number = count(1)


@pytest.fixture(scope="module")
def house(ledger_database_module):
    return cast.opened()


@pytest.fixture
def account(house):
    """An account of Wang Fang's with 100 yuan on it, fresh for each test."""
    n = next(_number)
    opened = accounts.open_account(
        DB,
        BOOK,
        Family.CLIENT,
        "CNY",
        owner="C-WANG",
        name=f"account {n}",
        reference=f"A-{n}",
        actor=SIMULATION,
        now=OPENED,
    )
    cast.post([ask(n, house.bank, opened, 100_00)])
    return opened


def order(account, house, **changed):
    terms = Terms(
        debit_account=account,
        kind=AuthorisationKind.ORDER,
        credit_account=house.bank,
        payee="6222 0001",
        code=Code.WITHDRAWAL,
        amount_minor=40_00,
        valid_from=OPENED,
        valid_until=LATER,
        basis=f"order {next(_number)}",
    )
    return replace(terms, **changed)


def give(terms, actor, now=NOW, **signed):
    return instructions.authorise_many(DB, [Given(terms, **signed)], actor=actor, now=now)[0]


def held_by(account, rule, *parties, now=NOW):
    proposed = holders.propose(
        DB, account, rule, parties, document="户口簿 2026-1", reason="joint", actor=OPERATIONS, now=now
    )
    return holders.approve(DB, proposed, actor=APPROVER, now=now)


def made(account, condition, *, now=NOW, **more):
    proposed = conditions.propose(
        DB,
        account,
        condition,
        **{"reason": "as told", "document": "死亡证明 17", **more},
        actor=OPERATIONS,
        now=now,
    )
    return conditions.approve(DB, proposed, actor=APPROVER, now=now)


def withdrawn(account, house, authorisation, now=NOW):
    """What the engine says to a debit on this authorisation: nothing, or why not."""
    request = ask(
        10_000 + next(_number),
        account,
        house.bank,
        40_00,
        "withdrawal",
        authorisation=authorisation,
        payee="6222 0001",
    )
    refusal = ledger.post(DB, BOOK, [request], actor=SIMULATION, now=now).refusal_of(0)
    return None if refusal is None else refusal.code


# ── joint accounts ───────────────────────────────────────────────────────────────────────────────────────


def test_of_a_joint_account_under_any_each_holder_moves_money_and_nobody_else(account, house):
    """The second holder's own session is enough; a stranger's is not, and stays blind."""
    with pytest.raises(AccessDenied):
        give(order(account, house), LI_QIANG)
    held_by(account, HoldingRule.ANY, *BOTH)
    assert withdrawn(account, house, give(order(account, house), LI_QIANG)) is None
    with pytest.raises(AccessDenied):
        give(order(account, house), ZHAO)
    assert account in {each.number for each in holders.accounts_of(DB, "C-LI")}
    assert account not in {each.number for each in holders.accounts_of(DB, "C-ZHAO")}


def test_of_a_joint_account_under_all_nobody_moves_money_alone(account, house):
    """The word of one is refused until the others have said yes to exactly the same; then it counts once."""
    held_by(account, HoldingRule.ALL, *BOTH)
    terms = order(account, house)
    with pytest.raises(errors.HoldersMissing):
        give(terms, WANG_FANG)
    assert instructions.consent(DB, terms, actor=WANG_FANG, now=NOW) == {"C-LI"}
    # Wang Fang saying it twice is not two holders.
    assert instructions.consent(DB, terms, actor=WANG_FANG, now=NOW) == {"C-LI"}
    with pytest.raises(errors.HoldersMissing):
        give(terms, WANG_FANG)
    # A fen more, another payee: not what she agreed to.
    for other in ({"amount_minor": 40_01}, {"payee": "6222 0002"}, {"uses_max": 2}):
        with pytest.raises(errors.HoldersMissing):
            give(replace(terms, **other), LI_QIANG)
    later = replace(terms, basis="another hour", valid_until=LATER - timedelta(days=1))
    assert withdrawn(account, house, give(later, LI_QIANG)) is None
    with pytest.raises(errors.HoldersMissing):
        give(terms, LI_QIANG)


def test_a_consent_lapses_and_can_be_taken_back(account, house):
    """A yes is not for ever, and no is an answer too; a stranger's no is none."""
    held_by(account, HoldingRule.ALL, *BOTH)
    terms = order(account, house)
    instructions.consent(DB, terms, actor=WANG_FANG, now=NOW)
    late = NOW + timedelta(days=holders.CONSENT_DAYS)
    with pytest.raises(errors.HoldersMissing):
        give(terms, LI_QIANG, now=late)
    instructions.consent(DB, terms, actor=WANG_FANG, now=late)
    (waiting,) = holders.consents(DB, account, now=late)
    with pytest.raises(errors.ConsentUnknown):
        holders.take_back(DB, waiting.id, actor=ZHAO, now=late)
    holders.take_back(DB, waiting.id, actor=LI_QIANG, now=late)
    with pytest.raises(errors.HoldersMissing):
        give(terms, LI_QIANG, now=late)


def test_a_signature_is_the_word_of_the_one_whose_key_it_is_and_of_no_second(account, house):
    """Operations record one holder's signature: under any it is enough, under all the other's yes is missing."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    instructions.register_key(DB, "C-LI", public, actor=LI_QIANG, now=NOW)
    terms = order(account, house)
    signed = {"signature": key.sign(instructions.statement_bytes(terms)), "public_key": public}
    with pytest.raises(errors.SignatureWrong):
        give(terms, OPERATIONS, **signed)
    held_by(account, HoldingRule.ALL, *BOTH)
    with pytest.raises(errors.HoldersMissing):
        give(terms, OPERATIONS, **signed)
    instructions.consent(DB, terms, actor=WANG_FANG, now=NOW)
    assert withdrawn(account, house, give(terms, OPERATIONS, **signed)) is None


def test_a_minor_owns_and_the_guardian_signs(account, house):
    """The minor sees the account and moves nothing."""
    held_by(account, HoldingRule.ANY, Party("C-WANG", Capacity.MINOR), Party("C-ZHAO", Capacity.GUARDIAN))
    with pytest.raises(errors.MayNotSign):
        give(order(account, house), WANG_FANG)
    assert account in {each.number for each in holders.accounts_of(DB, "C-WANG")}
    assert withdrawn(account, house, give(order(account, house), ZHAO)) is None


def test_whoever_was_taken_from_an_account_has_no_part_in_it(account, house):
    """The owner of record, once replaced, neither moves its money nor sees it."""
    held_by(account, HoldingRule.ANY, Party("C-LI", Capacity.HOLDER))
    with pytest.raises(AccessDenied):
        give(order(account, house), WANG_FANG)
    assert account not in {each.number for each in holders.accounts_of(DB, "C-WANG")}
    found = accounts.account(DB, account)
    assert holders.speaker(DB, found, actor=WANG_FANG) != "C-WANG"


def test_a_word_counts_by_who_holds_the_account_when_it_is_written_down(account, house, monkeypatch):
    """Two people take a holder from the account between the first look and the number: their word is none."""
    hold_still = holders.hold_still

    def meanwhile(*of):
        monkeypatch.undo()
        held_by(account, HoldingRule.ANY, Party("C-LI", Capacity.HOLDER))
        hold_still(*of)

    monkeypatch.setattr(holders, "hold_still", meanwhile)
    with pytest.raises(AccessDenied):
        give(order(account, house), WANG_FANG)
    assert list(instructions.authorisations(DB, account)) == []


@pytest.mark.parametrize(
    ("parties", "field"),
    [
        ((), "parties"),
        ((BOTH[0], BOTH[0]), "parties"),
        ((Party("C-WANG", Capacity.MINOR),), "parties"),
        ((Party("C-WANG", Capacity.HOLDER), Party("C-LI", Capacity.GUARDIAN)), "parties"),
        ((Party("C-WANG", Capacity.REPRESENTATIVE),), "parties"),
        ((Party("", Capacity.HOLDER),), "parties"),
    ],
)
def test_a_holding_that_nobody_could_sign_for_is_refused(parties, field):
    """Every holding has somebody who signs, each once, and a minor a guardian."""
    assert holders.misfit(HoldingRule.ANY, parties)[0] == field


def test_holders_take_two_people_and_a_change_between_voids_the_proposal(account):
    """A second person decides, on what they read; customers decide nothing here."""
    proposed = holders.propose(
        DB, account, HoldingRule.ANY, BOTH, document="d", reason="r", actor=OPERATIONS, now=NOW
    )
    for actor in (OPERATIONS, WANG_FANG):
        with pytest.raises(AccessDenied):
            holders.approve(DB, proposed, actor=actor, now=NOW)
    with transaction.atomic(using=DB), connections[DB].cursor() as cursor:
        cursor.execute(
            "insert into custody_holding (account_id, rule, document, reason, approval, at, actor)"
            " values (%s, 'any', 'x', 'x', 0, %s, 'x') returning id",
            [account, NOW],
        )
        cursor.execute(
            "insert into custody_holding_party (holding_id, customer_number, capacity)"
            " values (%s, 'C-ZHAO', 'holder')",
            [cursor.fetchone()[0]],
        )
    with pytest.raises(ApprovalVoid):
        holders.approve(DB, proposed, actor=APPROVER, now=NOW)


# ── the dead and their estates ───────────────────────────────────────────────────────────────────────────


def test_with_a_death_no_money_leaves_and_all_that_was_ordered_ends(account, house):
    """Money still comes in, the balance is as it was, and what was authorised before is over."""
    before = give(order(account, house), WANG_FANG)
    made(account, Condition.DECEASED)
    assert withdrawn(account, house, before) == "debits_frozen"
    assert instructions.authorisation(DB, before).withdrawn_at == NOW
    with pytest.raises(errors.AccountOfDeceased):
        give(order(account, house), WANG_FANG)
    cast.post([ask(20_000 + next(_number), house.bank, account, 1_00)])
    assert history.balance(DB, account).balance_minor == 101_00
    with pytest.raises(errors.ConditionHolds):
        accounts.change_state(DB, account, AccountStatus.OPEN, "by hand", actor=APPROVER, now=NOW)


def test_the_estate_is_paid_out_on_its_representatives_order_and_on_nothing_else(account, house):
    """Proof by two people, then a withdrawal; no lending, no order by the heirs as they please."""
    made(account, Condition.DECEASED)
    with pytest.raises(errors.Malformed):
        made(account, Condition.ESTATE)
    made(account, Condition.ESTATE, representative="C-ZHAO", document="公证书 9")
    for actor in (WANG_FANG, LI_QIANG):
        with pytest.raises((AccessDenied, errors.MayNotSign)):
            give(order(account, house), actor)
    lending = order(account, house, credit_account=house.li, payee="", code=Code.LEND)
    with pytest.raises(errors.EstateOnly):
        give(lending, ZHAO)
    assert withdrawn(account, house, give(order(account, house), ZHAO)) is None
    assert history.balance(DB, account).balance_minor == 60_00


def test_a_death_recorded_in_error_is_taken_back_by_two_people(account, house):
    """The way back opens the account again; the row of the error stays."""
    made(account, Condition.DECEASED)
    made(account, Condition.ACTIVE, reason="another person of this name")
    assert accounts.account(DB, account).status == AccountStatus.OPEN
    assert withdrawn(account, house, give(order(account, house), WANG_FANG)) is None
    told = [(each.before, each.condition) for each in conditions.changes(DB, account)]
    assert told == [("active", "deceased"), ("deceased", "active")]


def test_what_a_court_froze_stays_frozen_when_the_condition_ends(account):
    """The thaw takes back its own freeze and no other's, whichever came first."""
    accounts.change_state(DB, account, AccountStatus.FROZEN, "court", actor=SIMULATION, now=NOW)
    made(account, Condition.DECEASED)
    made(account, Condition.ACTIVE)
    assert accounts.account(DB, account).status == AccountStatus.FROZEN
    accounts.change_state(DB, account, AccountStatus.OPEN, "lifted", actor=SIMULATION, now=NOW)
    made(account, Condition.DECEASED)
    accounts.change_state(DB, account, AccountStatus.FROZEN, "court again", actor=SIMULATION, now=NOW)
    made(account, Condition.ACTIVE)
    assert accounts.account(DB, account).status == AccountStatus.FROZEN


def test_the_database_itself_keeps_a_dead_customers_account_frozen_and_the_order_of_conditions(account):
    """Past every check of the code: no thaw, no jump, no change of a row."""
    made(account, Condition.DECEASED)
    for statement in (
        "insert into custody_account_state (book_id, account_id, status, no_overdraft, reason, at, actor)"
        " values (1, %s, 'open', true, 'x', now(), 'x')",
        "insert into custody_account_condition (account_id, before, condition, reason, document, approval,"
        " status_before, at, actor) values (%s, 'active', 'dormant', 'x', '', null, '', now(), 'x')",
        "insert into custody_account_condition (account_id, before, condition, reason, document, approval,"
        " status_before, at, actor) values (%s, 'deceased', 'estate', 'x', '', null, '', now(), 'x')",
        "update custody_account_condition set condition = 'active' where account_id = %s",
        "delete from custody_holding where account_id = %s",
    ):
        with pytest.raises(Error), transaction.atomic(using=DB), connections[DB].cursor() as cursor:
            cursor.execute(statement, [account])


def test_conditions_come_from_where_they_may(account):
    """No estate without a death, no sleep by decree, and no customer's account of another family."""
    for wanted in (Condition.ESTATE, Condition.DORMANT):
        with pytest.raises(errors.ConditionNotFrom):
            made(account, wanted, representative="C-ZHAO")


# ── sleep ────────────────────────────────────────────────────────────────────────────────────────────────


def beat(at):
    while conditions.advance(DB, BOOK, actor=SIMULATION, now=at):
        pass


def test_whatever_a_customer_does_in_time_makes_the_notice_void(account, house):
    """An order given after the notice keeps the account awake."""
    conditions.set_dormancy(DB, BOOK, days=400, notice_days=30, actor=SIMULATION, now=NOW)
    beat(NOW + timedelta(days=380))
    assert conditions.notice(DB, account) is not None
    give(order(account, house), WANG_FANG, now=NOW + timedelta(days=390))
    assert conditions.notice(DB, account) is None
    beat(NOW + timedelta(days=420))
    assert holders.standing(DB, accounts.account(DB, account)).condition == Condition.ACTIVE


def test_a_quiet_account_is_told_then_sleeps_and_its_holder_wakes_it(account, house):
    """Not a fen moves; before the notice has run nothing is frozen; other people's doings keep nobody awake."""
    conditions.set_dormancy(DB, BOOK, days=400, notice_days=30, actor=SIMULATION, now=NOW)
    order_given = give(order(account, house, valid_until=NOW + timedelta(days=900)), WANG_FANG)
    beat(NOW + timedelta(days=369))
    assert conditions.notice(DB, account) is None
    cast.post(
        [ask(20_000 + next(_number), house.bank, account, 5, "interest")], now=NOW + timedelta(days=300)
    )
    beat(NOW + timedelta(days=371))
    told = conditions.notice(DB, account)
    assert told.dormant_from == NOW + timedelta(days=401)
    assert accounts.account(DB, account).status == AccountStatus.OPEN
    asleep = NOW + timedelta(days=402)
    beat(asleep)
    assert holders.standing(DB, accounts.account(DB, account)).condition == Condition.DORMANT
    assert withdrawn(account, house, order_given, asleep) == "debits_frozen"
    with pytest.raises(errors.AccountDormant):
        give(order(account, house), WANG_FANG, now=asleep)
    with pytest.raises(AccessDenied):
        conditions.reactivate(DB, account, actor=LI_QIANG, now=asleep)
    conditions.reactivate(DB, account, actor=WANG_FANG, now=asleep)
    assert withdrawn(account, house, order_given, asleep) is None
    beat(asleep + timedelta(days=1))
    assert holders.standing(DB, accounts.account(DB, account)).condition == Condition.ACTIVE
    assert history.balance(DB, account).balance_minor == 60_05


@pytest.mark.parametrize(("days", "notice"), [(10, 10), (0, 0), (10, 0), (99_999, 5)])
def test_a_rule_of_sleep_without_a_notice_is_refused(house, days, notice):
    """Nobody is put to sleep untold."""
    with pytest.raises(errors.Malformed):
        conditions.set_dormancy(DB, BOOK, days=days, notice_days=notice, actor=SIMULATION, now=NOW)


def test_numbers_of_another_family_have_no_holders(house):
    """The bank's and the platform's own accounts are nobody's."""
    assert numbers.family_of(house.bank) == Family.EXTERNAL
    with pytest.raises(errors.NotAClientAccount):
        holders.propose(
            DB, house.bank, HoldingRule.ANY, BOTH, document="d", reason="r", actor=OPERATIONS, now=NOW
        )

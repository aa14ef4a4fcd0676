"""Accounts: what each lets through, who may change it, and that a closed one stays closed (CUS-02)."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import Error, connections, transaction

from tallystick.custody import accounts, books, errors, history, ledger, numbers
from tallystick.custody.accounts import NewAccount
from tallystick.custody.models import AccountStatus
from tallystick.custody.numbers import Family, Side
from tallystick.evidence import log
from tallystick.identity.errors import AccessDenied
from tests.custody import cast
from tests.custody.cast import APPROVER, AUDITOR, BOOK, DB, NOW, OPENED, OPERATIONS, SIMULATION, ask


@pytest.fixture(scope="module")
def people(ledger_database_module):
    return cast.opened()


@pytest.fixture
def alone(ledger_database):
    """The cast, and nobody else."""
    return cast.opened()


def open_client(reference: str, **more: object) -> numbers.AccountNumber:
    given = {"owner": "C-1", "name": "A client", "actor": OPERATIONS, "now": OPENED, **more}
    return accounts.open_account(DB, BOOK, Family.CLIENT, "CNY", reference=reference, **given)


def test_an_account_number_says_what_it_is(people):
    for number, family in (
        (people.wang, Family.CLIENT),
        (people.platform, Family.OWN),
        (people.bank, Family.EXTERNAL),
        (people.suspense, Family.SUSPENSE),
    ):
        account = accounts.account(DB, number)
        assert (numbers.book_of(number), numbers.family_of(number), numbers.asset_of(number)) == (
            BOOK,
            family,
            156,
        )
        assert (account.family, account.asset, account.scale, account.status) == (
            family,
            "CNY",
            2,
            AccountStatus.OPEN,
        )
        assert account.no_overdraft is (family != Family.EXTERNAL)
        assert account.normal_side == (Side.DEBIT if family == Family.EXTERNAL else Side.CREDIT)
    assert len({numbers.serial_of(number) for number in (people.wang, people.bank, people.platform)}) == 3


@pytest.mark.parametrize(
    ("refusal", "given"),
    [
        (errors.OwnerMissing, {"owner": ""}),
        (errors.Malformed, {"name": ""}),
        (errors.Malformed, {"name": "a\tb"}),
        (errors.Malformed, {"reference": "x" * 65}),
        (errors.Malformed, {"owner": "x" * 65}),
        (errors.Malformed, {"family": Family.OWN}),
        (errors.Malformed, {"no_overdraft": False}),
        (errors.Malformed, {"ceiling_minor": -1}),
        (errors.Malformed, {"ceiling_minor": 2**62 + 1}),
        (errors.AssetUnknown, {"asset_code": "GOLD"}),
        (errors.AccountReferenceTaken, {"reference": "王芳"}),
    ],
)
def test_an_account_that_does_not_fit_is_refused_and_none_of_the_others_is_opened(people, refusal, given):
    sound = {"family": Family.CLIENT, "asset_code": "CNY", "owner": "C-1", "name": "A client"}
    opened = [NewAccount(**sound, reference="sound"), NewAccount(**{**sound, "reference": "other", **given})]
    with pytest.raises(refusal):
        accounts.open_many(DB, BOOK, opened, actor=SIMULATION, now=NOW)
    with pytest.raises(errors.AccountUnknown):
        accounts.account_of_reference(DB, BOOK, "sound")


def test_two_of_one_reference_are_refused(people):
    twice = [NewAccount(family=Family.CLIENT, asset_code="CNY", owner="C-1", name="A", reference="twice")] * 2
    with pytest.raises(errors.AccountReferenceTaken):
        accounts.open_many(DB, BOOK, twice, actor=SIMULATION, now=NOW)


def test_of_four_who_open_by_one_reference_at_once_one_does(people):
    def opened(_: int) -> bool:
        try:
            open_client("at once")
        except errors.AccountReferenceTaken:
            return False
        finally:
            connections[DB].close()
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(opened, range(4))) == [False, False, False, True]
    assert len(accounts.accounts(DB, BOOK, search="at once")) == 1


def test_an_unknown_book_has_no_accounts(people):
    with pytest.raises(errors.BookUnknown):
        accounts.accounts(DB, 2)
    with pytest.raises(errors.BookUnknown):
        accounts.open_many(DB, 2, [], actor=SIMULATION, now=NOW)


def test_operations_opens_accounts_and_an_approver_sets_limits(people):
    number = open_client("limited")
    assert accounts.account(DB, number).opened_by == OPERATIONS.id
    with pytest.raises(AccessDenied):
        open_client("other", ceiling_minor=100)
    with pytest.raises(AccessDenied):
        open_client("other", actor=AUDITOR)
    with pytest.raises(AccessDenied):
        accounts.change_state(
            DB, number, AccountStatus.OPEN, "lower", ceiling_minor=1, actor=OPERATIONS, now=NOW
        )
    accounts.change_state(DB, number, AccountStatus.OPEN, "lower", ceiling_minor=1, actor=APPROVER, now=NOW)
    assert accounts.account(DB, number).ceiling_minor == 1
    accounts.change_state(DB, number, AccountStatus.OPEN, "lift", ceiling_minor=None, actor=APPROVER, now=NOW)
    assert accounts.account(DB, number).ceiling_minor is None


def test_ten_thousand_accounts_are_opened_at_once_in_their_order(people):
    many = [
        NewAccount(
            family=Family.CLIENT, asset_code="CNY", owner=f"C-{n}", name=f"Client {n}", reference=f"R-{n}"
        )
        for n in range(10_000)
    ]
    given = accounts.open_many(DB, BOOK, many, actor=SIMULATION, now=NOW)
    assert given == sorted(set(given))
    assert [accounts.account(DB, given[n]).reference for n in (0, 4_711, 9_999)] == [
        "R-0",
        "R-4711",
        "R-9999",
    ]
    with pytest.raises(errors.Malformed):
        accounts.open_many(DB, BOOK, [*many, many[0]], actor=SIMULATION, now=NOW)


ALL = list(AccountStatus)


@pytest.mark.parametrize(("old", "new"), list(itertools.product(ALL, ALL)))
def test_every_step_between_two_states_is_allowed_but_out_of_closed_and_to_itself(people, old, new):
    wang = open_client(f"{old} to {new}")
    if old != AccountStatus.OPEN:
        accounts.change_state(DB, wang, old, "first", actor=OPERATIONS, now=NOW)
    refusal = {True: errors.StateFinal, False: errors.StateUnchanged if old == new else None}[old == "closed"]
    if refusal is None:
        state = accounts.change_state(DB, wang, new, "second", actor=OPERATIONS, now=NOW)
        assert accounts.account(DB, wang).status == new
        assert accounts.states(DB, wang)[-1] == state
        told = log.events(DB, kind="custody.account_state_changed")[0].payload
        assert told is not None
        assert (told["before"], told["status"], told["reason"]) == (old, new, "second")
    else:
        with pytest.raises(refusal):
            accounts.change_state(DB, wang, new, "second", actor=OPERATIONS, now=NOW)


LETS_THROUGH = {
    AccountStatus.OPEN: (True, True),
    AccountStatus.DEBITS_FROZEN: (False, True),
    AccountStatus.CREDITS_FROZEN: (True, False),
    AccountStatus.FROZEN: (False, False),
    AccountStatus.CLOSED: (False, False),
}


@pytest.mark.parametrize("status", ALL)
def test_a_state_lets_through_what_its_name_says_from_the_next_batch_on(people, status):
    def accepted(n: int, debit: int, credit: int) -> bool:
        results = ledger.post(
            DB, BOOK, [ask(100 * ALL.index(status) + n, debit, credit, 1)], actor=SIMULATION, now=NOW
        )
        return results.refusal_of(0) is None

    other = accounts.open_account(
        DB,
        BOOK,
        Family.EXTERNAL,
        "CNY",
        name="Another bank",
        reference=f"bank {status}",
        actor=SIMULATION,
        now=NOW,
    )
    assert accepted(1, other, people.bank)
    assert accepted(2, people.bank, other), "the writer knows both accounts as open now"
    if status != AccountStatus.OPEN:
        accounts.change_state(DB, other, status, "a test", actor=OPERATIONS, now=NOW)
    assert (accepted(3, other, people.bank), accepted(4, people.bank, other)) == LETS_THROUGH[status]


def test_an_account_closes_only_with_nothing_on_it_and_nothing_held(alone):
    held = cast.authorised(alone.wang, alone.bank, 10_00, code=cast.Code.WITHDRAWAL, uses_max=2)
    withdrawal = {"authorisation": held, "kind": "pending"}

    def close() -> None:
        accounts.change_state(DB, alone.wang, AccountStatus.CLOSED, "done", actor=OPERATIONS, now=NOW)

    cast.post([ask(1, alone.bank, alone.wang, 10_00)])
    with pytest.raises(errors.BalanceNotZero) as refused:
        close()
    assert refused.value.fields["balance"] == 10_00
    cast.post([ask(2, alone.wang, alone.bank, 10_00, "withdrawal", **withdrawal)])
    with pytest.raises(errors.BalanceNotZero):
        close()
    cast.post([cast.TransferRequest(id=cast.an_id(3), kind="post_pending", pending_id=cast.an_id(2))])
    assert history.balance(DB, alone.wang).balance_minor == 0
    # Money on its way in is held too: it would have nowhere to go.
    cast.post([ask(4, alone.bank, alone.wang, 5_00, kind="pending")])
    with pytest.raises(errors.BalanceNotZero):
        close()
    cast.post(
        [cast.TransferRequest(id=cast.an_id(5), kind="void_pending", pending_id=cast.an_id(4), reason="no")]
    )
    close()
    assert accounts.account(DB, alone.wang).status == AccountStatus.CLOSED


def test_only_a_control_account_may_be_overdrawn(alone):
    for number in (alone.wang, alone.platform, alone.suspense):
        with pytest.raises(errors.Malformed):
            accounts.change_state(
                DB, number, AccountStatus.OPEN, "lend", no_overdraft=False, actor=APPROVER, now=NOW
            )
    accounts.change_state(
        DB, alone.bank, AccountStatus.OPEN, "no", no_overdraft=True, actor=APPROVER, now=NOW
    )
    assert accounts.account(DB, alone.bank).no_overdraft is True


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501, "a\x00b"])
def test_a_change_needs_a_reason(people, reason):
    with pytest.raises(errors.Malformed):
        accounts.change_state(DB, people.wang, AccountStatus.FROZEN, reason, actor=OPERATIONS, now=NOW)


def test_what_became_of_an_account_stays_on_record(people):
    wang = open_client("to be closed")
    for status in (AccountStatus.FROZEN, AccountStatus.OPEN, AccountStatus.CLOSED):
        accounts.change_state(DB, wang, status, f"to {status}", actor=OPERATIONS, now=NOW)
    told = [(state.status, state.reason) for state in accounts.states(DB, wang)]
    assert told == [("open", "opened"), ("frozen", "to frozen"), ("open", "to open"), ("closed", "to closed")]
    for statement in (
        "update custody_account_state set status = 'open'",
        "delete from custody_account_state",
        "update custody_account set owner = 'C-LI'",
    ):
        with pytest.raises(Error), transaction.atomic(), connections[DB].cursor() as cursor:
            cursor.execute(statement)
    with pytest.raises(errors.AccountUnknown):
        accounts.states(DB, people.wang + 9_000_000)


def test_every_external_account_is_read_however_many_there_are(alone):
    """Page after page, without one twice or one left out, of one asset or of all, and of no other book."""
    dollars = accounts.NewAccount(family=Family.EXTERNAL, asset_code="USD", name="A bank", reference="USD")
    euros = [
        accounts.NewAccount(family=Family.EXTERNAL, asset_code="EUR", name="A bank", reference=f"EUR {n}")
        for n in range(4)
    ]
    given = accounts.open_many(DB, BOOK, [dollars, *euros], actor=SIMULATION, now=OPENED)
    books.open_book(DB, 2, "Another", actor=SIMULATION, now=OPENED)
    accounts.open_account(
        DB, 2, Family.EXTERNAL, "EUR", name="A bank", reference="EUR", actor=SIMULATION, now=OPENED
    )
    for page in (1, 2, 3, 1_000):
        every = [each.number for each in accounts.external(DB, BOOK, page=page)]
        assert every == sorted([alone.bank, *given])
        assert [each.number for each in accounts.external(DB, BOOK, "EUR", page=page)] == given[1:]
    with pytest.raises(errors.BookUnknown):
        next(accounts.external(DB, 3))


def test_accounts_are_found_by_what_is_known_of_them(alone):
    def found(**given: object) -> set[int]:
        return {account.number for account in accounts.accounts(DB, BOOK, **given)}

    assert found(family=Family.CLIENT) == {alone.wang, alone.li}
    assert found(owner="C-WANG") == {alone.wang}
    assert found(search="芳") == {alone.wang}
    assert found(search="c-l") == {alone.li}
    assert found(search=numbers.account_text(alone.bank)) == {alone.bank}
    assert found(search="%") == found(search="_") == found(search="\\") == set()
    assert found(asset="USD") == set()
    assert found(asset="CNY") == set(vars(alone).values())
    accounts.change_state(DB, alone.li, AccountStatus.FROZEN, "a test", actor=OPERATIONS, now=NOW)
    assert found(status=AccountStatus.FROZEN) == {alone.li}
    first = accounts.accounts(DB, BOOK, limit=2)
    rest = accounts.accounts(DB, BOOK, after=first[-1].number)
    assert [*first, *rest] == list(accounts.accounts(DB, BOOK))

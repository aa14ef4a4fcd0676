"""Opening balances: taken over only where they agree with the other ledger's trial balance."""

from __future__ import annotations

from datetime import date

import pytest

from tallystick.custody import accounts, errors, history, opening
from tallystick.custody.accounts import NewAccount
from tallystick.custody.codes import Code
from tallystick.custody.models import AccountStatus
from tallystick.custody.numbers import Family, account_text
from tallystick.evidence import log
from tallystick.identity.access import Actor
from tallystick.identity.errors import AccessDenied
from tests.custody import cast
from tests.custody.cast import BOOK, DB, NOW, OPERATIONS, SIMULATION, ask

CLI = Actor.system("cli")
DAY = date(2026, 2, 28)
TRIAL = ["family,asset,debit,credit", "client,CNY,,150.50", "suspense,CNY,,0.50", "external,CNY,151,"]


@pytest.fixture
def people(ledger_database):
    return cast.opened()


@pytest.fixture(scope="module")
def unmoved(ledger_database_module):
    """The same, for take-overs that are refused: they leave nothing behind."""
    yield cast.opened()
    assert not history.transfers(DB, BOOK)


def balances(people: cast.Cast) -> list[str]:
    return [
        "account,balance",
        f"{account_text(people.bank)},151.00",
        "王芳,100.50",
        f"{account_text(people.li)},50",
        "Unidentified,0.5",
        "Platform fees,0",
    ]


def take_over(lines: list[str], trial: list[str] = TRIAL, actor: Actor = CLI) -> opening.Opened:
    return opening.take_over(
        DB, BOOK, opening.read_balances(lines), opening.read_trial_balance(trial), DAY, actor=actor, now=NOW
    )


def test_balances_are_taken_over_as_dated_transfers_of_their_own_code(people):
    opened = take_over(balances(people))
    assert opened == opening.Opened(accounts=5, transfers=3, first_position=1, last_position=3)
    assert history.balance(DB, people.wang).balance_minor == 100_50
    assert history.balance(DB, people.bank).balance_minor == 151_00
    for transfer in history.transfers(DB, BOOK):
        assert (transfer.code, transfer.value_date) == (Code.OPENING_BALANCE, DAY)
    told = log.events(DB, kind="custody.balances_opened")[0]
    assert told.payload is not None
    assert (told.payload["accounts"], told.payload["value_date"], told.actor) == (5, "2026-02-28", CLI.id)


def test_taking_over_again_changes_nothing_and_other_balances_are_refused(people):
    lines = balances(people)
    first = take_over(lines)
    assert take_over(lines) == first
    assert len(history.transfers(DB, BOOK)) == 3
    other = [
        line.replace("王芳,100.50", "王芳,100").replace("Unidentified,0.5", "Unidentified,1")
        for line in lines
    ]
    trial = [TRIAL[0], "client,CNY,,150", "suspense,CNY,,1", TRIAL[3]]
    with pytest.raises((errors.OpeningDiffers, errors.OpeningNotFirst)):
        take_over(other, trial)
    assert history.balance(DB, people.wang).balance_minor == 100_50


def test_an_account_that_has_moved_takes_no_opening_balance(people):
    cast.post([ask(1, people.bank, people.li, 1_00)])
    with pytest.raises(errors.OpeningNotFirst):
        take_over(balances(people))
    assert history.balance(DB, people.wang).balance_minor == 0


@pytest.mark.parametrize(
    ("trial", "told"),
    [
        (["client,CNY,,150.51", *TRIAL[2:]], "client CNY: 150.50 credit here, 150.51 credit there"),
        (["client,CNY,150.50,", *TRIAL[2:]], "client CNY: 150.50 credit here, 150.50 debit there"),
        ([TRIAL[1], TRIAL[3]], "suspense CNY: 0.50 credit here, nothing there"),
        ([*TRIAL[1:], "client,USD,,1"], "client USD: nothing here, 1.00 credit there"),
    ],
)
def test_a_trial_balance_that_differs_is_told_to_the_cent_and_nothing_is_posted(unmoved, trial, told):
    with pytest.raises(errors.OpeningDiffers) as refused:
        take_over(balances(unmoved), [TRIAL[0], *trial])
    assert told in str(refused.value)
    assert not history.transfers(DB, BOOK)


def test_debits_without_credits_are_told(unmoved):
    lines = [line for line in balances(unmoved) if not line.startswith("Unidentified")]
    with pytest.raises(errors.OpeningDiffers) as refused:
        take_over(lines, [TRIAL[0], TRIAL[1], TRIAL[3]])
    assert "CNY: debits less credits are 0.50" in str(refused.value)


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("王芳,-1", "balance"),
        ("王芳,1.001", "balance"),
        ("王芳,1e2", "balance"),
        ("王芳,١", "balance"),
        ("王芳,", "balance"),
        ("王芳,1,2", "line"),
        ("王芳", "line"),
        ('王芳,"1', "line"),
        ("Nobody,1", "account"),
        ("acc_001101560000099999,1", "account"),
        ("Platform fees,1", "balance"),
        ("Custodian bank,1\nCustodian bank,2", "account"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(unmoved, line, field):
    with pytest.raises(errors.Malformed) as refused:
        take_over(["account,balance", *line.split("\n")])
    assert refused.value.fields["field"] == field
    assert str(refused.value.fields["where"]) in ("line 2", "line 3")


@pytest.mark.parametrize("trial", [["family,asset"], [], ["family,asset,debit,credit", "clients,CNY,1,"]])
def test_a_trial_balance_that_cannot_be_read_is_named(unmoved, trial):
    with pytest.raises(errors.Malformed):
        take_over(balances(unmoved), trial)


def test_a_frozen_account_is_frozen_afterwards(people):
    accounts.change_state(DB, people.wang, AccountStatus.FROZEN, "as before", actor=OPERATIONS, now=NOW)
    with pytest.raises(errors.Malformed):
        take_over(balances(people))


def test_operations_takes_over_nothing(unmoved):
    with pytest.raises(AccessDenied):
        take_over(balances(unmoved), actor=OPERATIONS)


def test_twelve_thousand_clients_at_three_banks_are_taken_over(people):
    clients = [
        NewAccount(family=Family.CLIENT, asset_code="CNY", owner=f"C-{n}", name=f"C {n}", reference=f"C-{n}")
        for n in range(12_000)
    ]
    for part in (clients[:10_000], clients[10_000:]):
        accounts.open_many(DB, BOOK, part, actor=SIMULATION, now=NOW)
    for bank in ("B-2", "B-3"):
        accounts.open_account(
            DB, BOOK, Family.EXTERNAL, "CNY", name=bank, reference=bank, actor=SIMULATION, now=NOW
        )
    lines = ["account,balance", "Custodian bank,50000", "B-2,70010.00", "B-3,-10"]
    lines += [f"C-{n},10.00" for n in range(12_000)]
    trial = ["family,asset,debit,credit", "external,CNY,120010,10", "client,CNY,,120000"]
    opened = take_over(lines, trial)
    assert opened.accounts == 12_003
    totals = {total.family: total.balance_minor for total in history.totals(DB, BOOK)}
    assert totals == {Family.CLIENT: 120_000_00, Family.EXTERNAL: 120_000_00}
    assert history.balance(DB, accounts.account_of_reference(DB, BOOK, "B-3").number).balance_minor == -10_00
    assert take_over(lines, trial) == opened

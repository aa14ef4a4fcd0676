"""Money followed on a whole simulated platform: the sums are the statement's, and owners see only their own."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tallystick.core.db import APP
from tallystick.custody import accounts, books, history, posting
from tallystick.custody.accounts import Account
from tallystick.custody.errors import AccountUnknown
from tallystick.custody.models import TransferKind
from tallystick.custody.numbers import Family
from tallystick.custody.tracing import errors, flow, reading
from tallystick.custody.tracing.flow import Flow
from tallystick.custody.tracing.parties import PartyKind, Stage, Viewer
from tallystick.simulation import demonstration, scenarios, world
from tests.custody import cast

LATER = datetime(2026, 10, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def platform(ledger_database_module: Any) -> Iterator[list[Account]]:
    """Three months of a small platform; every account of it."""
    place = world.make(seed=11, customers=16, first_day=date(2026, 7, 21), last_day=date(2026, 10, 20))
    demonstration.play(APP, list(scenarios.generate(place, 500)), 500, demonstration.silent)
    yield list(accounts.accounts(APP, 1, limit=1000))
    posting.in_process().close()


def statement_of(account: int, after: int, to: int) -> tuple[int, int]:
    """What came and what left by the statement of account, told by another module."""
    lines = history.statement(APP, account, after_position=after, to_position=to).lines
    return (
        sum(line.amount_minor for line in lines if line.amount_minor > 0),
        -sum(line.amount_minor for line in lines if line.amount_minor < 0),
    )


def assert_sound(found: Flow) -> None:
    """Each node's opening and inflow are its outflow and closing, and its edges say so too."""
    into: dict[str, int] = defaultdict(int)
    out: dict[str, int] = defaultdict(int)
    for edge in found.edges:
        assert edge.amount_minor > 0
        into[edge.target] += edge.amount_minor
        out[edge.source] += edge.amount_minor
        if edge.source not in ("opening", "uncovered"):
            assert edge.positions
        assert all(
            found.after_position < each <= found.to_position
            for each in edge.positions
            if each in found.moments
        )
    for node in found.nodes:
        assert node.opening_minor + node.inflow_minor == node.outflow_minor + node.closing_minor
        if node.stage != Stage.SOURCE:
            assert into[node.key] == node.inflow_minor
        if out[node.key]:
            assert out[node.key] == node.amount_minor
    assert found.difference_minor == 0
    assert found.opening_minor + found.came_minor == found.left_minor + found.closing_minor


@pytest.mark.parametrize("part", [(0, 1), (1, 3), (0.4, 0.8)])
def test_the_flow_of_every_account_is_its_statement_to_the_cent(
    platform: list[Account], part: tuple[float, float]
) -> None:
    """For clients, fees, suspense, bank and payment firm, over the whole time and over a part of it."""
    last = books.head(APP, 1).position
    after, to = (
        (int(last * min(each, 1)) for each in (part[0], part[1])) if part[1] != 3 else (last // 3, last)
    )
    undone = 0
    for account in platform:
        found = flow.of_account(
            APP, account.number, viewer=Viewer.STAFF, after_position=after, to_position=to
        )
        assert_sound(found)
        assert (found.came_minor, found.left_minor) == statement_of(account.number, after, to)
        assert found.closing_minor == history.balance(APP, account.number, at_position=to).balance_minor
        undone += found.undone_minor
    assert undone > 0, "the world holds reversals, so this test has seen them"


def test_all_accounts_of_an_owner_are_followed_as_one(platform: list[Account]) -> None:
    """What moves between one's own accounts is neither receipt nor use; the sums are those of the border."""
    owners = {account.owner for account in platform if account.owner}
    followed_further = 0
    for owner in owners:
        mine = {account.number for account in platform if account.owner == owner}
        found = flow.of_owner(APP, 1, owner, "CNY", viewer=Viewer.OWNER)
        assert_sound(found)
        border = [
            (line.amount_minor)
            for number in mine
            for line in history.account_lines(APP, number)
            if line.counter_account not in mine
        ]
        assert found.came_minor == sum(each for each in border if each > 0)
        assert found.left_minor == -sum(each for each in border if each < 0)
        for loan in found.loans:
            assert loan.opening_minor + loan.lent_minor == loan.back_minor + loan.closing_minor
            assert loan.closing_minor >= 0
        used = {node.key: node for node in found.nodes if node.stage == Stage.USE and node.kind == "lend"}
        for key, node in used.items():
            ends = [edge for edge in found.edges if edge.source == key]
            assert sum(edge.amount_minor for edge in ends) == node.outflow_minor
            followed_further += len(ends)
    assert followed_further > 20


def test_the_parts_of_a_loan_that_its_lenders_hear_of_make_the_loan(platform: list[Account]) -> None:
    """Every lender asks alone; together their fees are the fee and their disbursements the disbursement."""
    told: dict[str, int] = defaultdict(int)
    for owner in {account.owner for account in platform if account.owner}:
        for node in flow.of_owner(APP, 1, owner, "CNY", viewer=Viewer.STAFF, nodes_max=100).nodes:
            if node.stage == Stage.END:
                told[node.kind] += node.amount_minor
    loans = {account.number: account for account in platform if account.reference.startswith("loan-")}
    fee = disbursed = 0
    for number in loans:
        for line in history.account_lines(APP, number):
            if line.amount_minor < 0 and line.code.text == "fee":
                fee -= line.amount_minor
            if line.amount_minor < 0 and line.code.text == "disburse":
                disbursed -= line.amount_minor
    assert (told["fee"], told["borrower"]) == (fee, disbursed)
    assert told["other"] == 0


def test_an_owners_flow_holds_nobody_elses_name_or_number(platform: list[Account]) -> None:
    """Everything in it, searched for the names, numbers, owners and references of all other clients."""
    clients = [account for account in platform if account.family == Family.CLIENT]
    for owner in sorted({account.owner for account in clients})[:6]:
        mine = [account for account in clients if account.owner == owner]
        told = repr([
            (found.nodes, found.edges, found.loans, found.pending, found.accounts)
            for found in (
                flow.of_owner(APP, 1, owner, "CNY", viewer=Viewer.OWNER),
                *(flow.of_account(APP, each.number, viewer=Viewer.OWNER) for each in mine),
            )
        ])  # fmt: skip
        own_words = " ".join(f"{each.name} {each.reference} {each.owner} {each.number}" for each in mine)
        for other in clients:
            if other.owner == owner:
                continue
            for word in (other.name, other.reference, other.owner, str(other.number)):
                if word not in own_words:
                    assert not re.search(rf"(?<!\d){re.escape(word)}(?!\d)", told), (owner, word)


def test_a_counterpart_keeps_its_number_whatever_is_asked(platform: list[Account]) -> None:
    """In one account or all, in one month or all of them: loan 3 is the same loan."""
    last = books.head(APP, 1).position
    seen = 0
    for account in platform:
        if account.family != Family.CLIENT or account.reference.startswith("loan-"):
            continue
        numbers = {
            party.nth: found.moments[edge.positions[-1]].taker
            for found in (
                flow.of_account(APP, account.number, viewer=Viewer.OWNER, nodes_max=100),
                flow.of_account(
                    APP, account.number, viewer=Viewer.OWNER, after_position=last // 2, nodes_max=100
                ),
            )
            for edge in found.edges
            if (node := found.node(edge.target)) and node.kind == "lend" and (party := node.party)
            if party.kind == PartyKind.LOAN
        }
        all_of_them = flow.of_owner(APP, 1, account.owner, "CNY", viewer=Viewer.STAFF, nodes_max=100)
        for node in all_of_them.nodes:
            if node.kind == "lend" and node.party and node.party.nth in numbers and node.stage == Stage.USE:
                assert node.party.account == numbers[node.party.nth]
                seen += 1
    assert seen > 5


def test_many_nodes_are_told_as_a_few_and_the_sums_stay(platform: list[Account]) -> None:
    """The smaller rest is one node; what comes through each stage is the same."""
    bank = next(account for account in platform if account.reference == world.BANK_ACCOUNT)
    whole = flow.of_account(APP, bank.number, viewer=Viewer.STAFF, nodes_max=100)
    few = flow.of_account(APP, bank.number, viewer=Viewer.STAFF, nodes_max=4)
    assert_sound(few)
    for stage in (Stage.SOURCE, Stage.USE):
        one, other = ([node for node in found.nodes if node.stage == stage] for found in (whole, few))
        assert len(other) < len(one)
        assert sum(node.amount_minor for node in one) == sum(node.amount_minor for node in other)
        assert sum(node.others or 1 for node in other) == len(one)
        assert sum(not node.others for node in other) < sum(not node.others for node in one)


def test_what_is_held_is_told_apart(platform: list[Account]) -> None:
    """Every pending transfer that stands undecided, on each account, and nothing else."""
    held = 0
    last = books.head(APP, 1).position
    for to in (last, last // 2):
        for account in platform:
            found = flow.of_account(APP, account.number, viewer=Viewer.STAFF, to_position=to)
            balance = history.balance(APP, account.number, at_position=to)
            assert sum(each.amount_minor for each in found.pending if each.leaves) == balance.held_minor
            assert (
                sum(each.amount_minor for each in found.pending if not each.leaves) == balance.expected_minor
            )
            held += len(found.pending)
    assert held > 0


def test_an_order_that_was_held_first_is_cited_with_its_use(platform: list[Account]) -> None:
    """A lending by a bid cites the bid and the lending."""
    cited = 0
    for account in platform:
        if account.family != Family.CLIENT:
            continue
        for path in flow.of_account(APP, account.number, viewer=Viewer.STAFF).paths:
            if path.order_position:
                assert history.transfer_at(APP, 1, path.order_position).kind == TransferKind.PENDING
                used = history.transfer_at(APP, 1, path.use_position)
                assert used.pending_position == path.order_position
                cited += 1
            if cited > 30:
                return
    pytest.fail("no order was seen")


def test_days_of_the_book_are_positions(platform: list[Account]) -> None:
    """A period by days begins and ends at the book's own midnights."""
    after, to = reading.period(APP, 1, date(2026, 8, 1), date(2026, 8, 31))
    assert to is not None
    for position, is_in in ((after, False), (after + 1, True), (to, True), (to + 1, False)):
        day = history.transfer_at(APP, 1, position).recorded_at.astimezone(scenarios.ZONE).date()
        assert (date(2026, 8, 1) <= day <= date(2026, 8, 31)) == is_in
    assert reading.period(APP, 1, date(2020, 1, 1), None) == (0, None)


def test_what_cannot_be_followed_is_refused(platform: list[Account]) -> None:
    """An owner who is none, a period that ends before it begins, a house account asked for as one's own."""
    bank = next(account for account in platform if account.family == Family.EXTERNAL)
    with pytest.raises(errors.OwnerUnknown):
        flow.of_owner(APP, 1, "nobody", "CNY", viewer=Viewer.STAFF)
    with pytest.raises(errors.PeriodReversed):
        flow.of_account(APP, bank.number, viewer=Viewer.STAFF, after_position=9, to_position=5)
    with pytest.raises(AccountUnknown):
        flow.of_account(APP, bank.number, viewer=Viewer.OWNER)


def test_who_holds_an_account_with_others_follows_what_they_hold(platform: list[Account]) -> None:
    """All of their accounts are those they hold today: none that another holder has besides, none they left."""
    clients = [each for each in platform if each.family == Family.CLIENT and each.asset == "CNY"]

    def met(account: Account, customer: str) -> set[str]:
        """What of the first owner's other accounts the flow of this one tells by number."""
        found = flow.of_account(APP, account.number, viewer=Viewer.OWNER, customer=customer, nodes_max=100)
        told = repr((found.nodes, found.edges, found.loans, found.pending))
        own = {str(each.number) for each in clients if each.owner == account.owner and each != account}
        return {each for each in own if each in told}

    first = next(each for each in clients if met(each, each.owner))
    second = next(each for each in clients if each.owner != first.owner)
    others = {each.text for each in clients if each.owner == first.owner and each != first}
    cast.held_by(first.number, first.owner, second.owner, now=LATER)
    told = flow.of_owner(APP, 1, second.owner, "CNY", viewer=Viewer.OWNER)
    hers = {each.text for each in clients if each.owner == second.owner}
    assert {each.text for each in told.accounts} == {first.text, *hers}
    assert met(first, first.owner)
    assert not met(first, second.owner)
    cast.held_by(first.number, second.owner, now=LATER + timedelta(days=1))
    left = flow.of_owner(APP, 1, first.owner, "CNY", viewer=Viewer.OWNER)
    assert {each.text for each in left.accounts} == others

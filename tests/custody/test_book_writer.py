"""The writer of a book: what one caller asks neither delays nor fails another, and no race gives two answers."""

from __future__ import annotations

import dataclasses

import psycopg
import pytest

from tallystick.custody import history, posting, transfers
from tallystick.custody.errors import TRANSFER_REFUSALS
from tallystick.custody.models import AmountRule
from tests.custody import cast
from tests.custody.cast import BOOK, DB, NOW, SIMULATION, ask


@pytest.fixture
def people(ledger_database):
    return cast.opened()


@pytest.fixture
def held(ledger_database, people):
    """Somebody else holds the book: what is asked for gathers until they let go."""
    with psycopg.connect(ledger_database.superuser) as holding:
        holding.execute("select pg_advisory_xact_lock(1952541804, %s)", [BOOK])
        yield holding


def submitted(requests, actor=SIMULATION.id):
    batch = requests if isinstance(requests, transfers.Batch) else transfers.columns(requests)
    return posting.in_process().submit(DB, BOOK, batch, actor=actor, now=transfers.microseconds(NOW))


def refusals(results) -> list[str | None]:
    return [TRANSFER_REFUSALS[n - 1].__name__ if n else None for n in results.refusal.tolist()]


def test_callers_at_the_same_time_share_a_commit_and_each_gets_its_own_answer(people, held):
    futures = [submitted([ask(n, people.bank, people.wang, n)], actor=f"usr_{n % 3}") for n in range(1, 41)]
    held.rollback()
    answers = [future.result(30) for future in futures]
    assert [int(each.position[0]) for each in answers] == list(range(1, 41))
    assert [int(each.amount[0]) for each in answers] == list(range(1, 41))
    with psycopg.connect(posting.connect(DB)().info.dsn) as connection:
        (batches,) = connection.execute("select count(*) from custody_batch").fetchone()
    assert batches <= 3


def test_a_request_that_the_database_cannot_take_fails_alone(people, held):
    """A NUL in a text passes no door, but whoever calls from inside the process could bring one."""
    first = submitted([ask(1, people.bank, people.wang, 1)])
    good = [submitted([ask(n, people.bank, people.wang, 1)]) for n in range(2, 6)]
    bad = transfers.columns([ask(50, people.bank, people.wang, 1)])
    poison = submitted(dataclasses.replace(bad, reference=["a\0b"]))
    more = [submitted([ask(n, people.bank, people.wang, 1)]) for n in range(6, 10)]
    held.rollback()
    assert all(refusals(future.result(30)) == [None] for future in (first, *good, *more))
    with pytest.raises(psycopg.DataError):
        poison.result(30)
    assert history.balance(DB, people.wang).balance_minor == 9


def test_a_repetition_that_arrives_while_the_first_is_being_stored_gets_its_answer(people, held):
    """The money is gone by then: judged anew, it would be refused, and both answers would stand."""
    order = cast.authorised(people.wang, people.li, 100, amount_rule=AmountRule.AT_MOST, uses_max=2_000)
    held.rollback()
    submitted([ask(9_000, people.bank, people.wang, 1_200)]).result(30)
    held.execute("select pg_advisory_xact_lock(1952541804, %s)", [BOOK])
    # Large enough to be judged ahead of the store.
    lend = [ask(n, people.wang, people.li, 1, "lend", authorisation=order) for n in range(1, 1_201)]
    first = submitted(lend)
    again = submitted(lend)
    filler = submitted([ask(n, people.bank, people.li, 1) for n in range(2_000, 3_100)])
    held.rollback()
    one, two = first.result(30), again.result(30)
    assert refusals(one) == refusals(two) == [None] * 1_200
    assert not one.replayed.any()
    assert two.replayed.all()
    assert (one.position == two.position).all()
    assert refusals(filler.result(30)) == [None] * 1_100
    assert history.balance(DB, people.wang).balance_minor == 0


def test_what_another_process_refused_is_refused_here(people):
    """Two writers of one book: an id that one of them turned down is not accepted by the other."""
    here, there = posting.InProcess(), posting.InProcess()
    now = transfers.microseconds(NOW)
    try:
        fund = transfers.columns([ask(1, people.bank, people.suspense, 5)])
        here.post(DB, BOOK, fund, actor="usr_1", now=now)
        too_much = transfers.columns([ask(2, people.suspense, people.bank, 6, "return")])
        assert refusals(there.post(DB, BOOK, too_much, actor="usr_2", now=now)) == ["InsufficientFunds"]
        here.post(
            DB, BOOK, transfers.columns([ask(3, people.bank, people.suspense, 5)]), actor="usr_1", now=now
        )
        again = here.post(DB, BOOK, too_much, actor="usr_1", now=now)
        assert refusals(again) == ["InsufficientFunds"]
        assert again.replayed.all()
    finally:
        here.close()
        there.close()


def test_a_writer_that_knows_everything_beforehand_answers_alike(people):
    order = cast.authorised(people.wang, people.li, 100)
    assert posting.in_process().writer(DB, BOOK).preload() == 5
    results = submitted(
        [
            ask(1, people.bank, people.wang, 100),
            ask(2, people.wang, people.li, 100, "lend", authorisation=order),
        ]
    ).result(30)
    assert refusals(results) == [None, None]


def test_an_id_of_another_book_is_used(people):
    from tallystick.custody import accounts, books
    from tallystick.custody.numbers import Family

    books.open_book(DB, 2, "Second", actor=SIMULATION, now=NOW)
    bank, client = (
        accounts.open_account(
            DB, 2, family, "CNY", owner=owner, name=name, reference=name, actor=SIMULATION, now=NOW
        )
        for family, owner, name in ((Family.EXTERNAL, "", "bank"), (Family.SUSPENSE, "", "suspense"))
    )
    for n, request in enumerate(
        (ask(1, people.bank, people.wang, 1), ask(2, people.platform, people.bank, 1, "fee_payout"))
    ):
        first = submitted([request]).result(30)
        assert refusals(first) == [[None], ["InsufficientFunds"]][n]
        batch = transfers.columns([ask(n + 1, client, bank, 1, "return")])
        other = (
            posting.in_process()
            .submit(DB, 2, batch, actor="usr_1", now=transfers.microseconds(NOW))
            .result(30)
        )
        assert refusals(other) == ["IdUsedWithOtherContent"], n

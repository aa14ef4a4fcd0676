"""History: what stood at a position or a time stands there for ever."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from tallystick.core.db import Db
from tallystick.custody import books, codes, errors, history
from tallystick.custody.models import TransferKind
from tallystick.custody.numbers import BookId, Family
from tests.custody import cast
from tests.custody.cast import BOOK, DB, NOW, OPENED, ask

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def people(ledger_database_module):
    """Three days of money: topped up, lent, held and partly posted, paid a fee, reversed."""
    people = cast.opened()
    order = cast.authorised(people.wang, people.li, 40_00)
    held = cast.authorised(people.wang, people.bank, 30_00, code=codes.Code.WITHDRAWAL, payee="6222 01")
    cast.post(
        [ask(1, people.bank, people.wang, 100_00, reference="R-1"), ask(2, people.bank, people.li, 5_00)]
    )
    cast.post(
        [
            ask(3, people.wang, people.li, 40_00, "lend", authorisation=order, metadata={"loan": "L-1"}),
            ask(
                4,
                people.wang,
                people.bank,
                30_00,
                "withdrawal",
                kind="pending",
                authorisation=held,
                payee="6222 01",
            ),
        ],
        NOW + DAY,
    )
    cast.post(
        [
            cast.TransferRequest(
                id=cast.an_id(5), kind="post_pending", pending_id=cast.an_id(4), amount_minor=20_00
            ),
            ask(6, people.li, people.wang, 40_00, "lend", reverses_id=cast.an_id(3), reason="lent in error"),
            ask(7, people.bank, people.suspense, 1_00, "unidentified_receipt", value_date=date(2026, 2, 1)),
        ],
        NOW + 2 * DAY,
    )
    return people


def test_a_balance_is_read_now_and_as_of_every_position_and_time(people):
    def wang(**at):
        return history.balance(DB, people.wang, **at)

    assert [wang(at_position=n).balance_minor for n in range(8)] == [
        0,
        100_00,
        100_00,
        60_00,
        60_00,
        40_00,
        80_00,
        80_00,
    ]
    assert [wang(at_position=n).available_minor for n in (3, 4, 5)] == [60_00, 30_00, 40_00]
    assert (wang(at_position=4).held_minor, wang(at_position=5).held_minor) == (30_00, 0)
    assert wang() == wang(at_position=7)
    assert wang(at_time=NOW).position == 2, "what was recorded at the moment itself had been recorded"
    assert wang(at_time=NOW - timedelta(microseconds=1)).position == 0
    assert wang(at_time=NOW + DAY).available_minor == 30_00
    assert wang(at_time=NOW + 9 * DAY) == wang()


def test_the_position_before_a_moment_leaves_out_what_was_recorded_at_it(people):
    """A month ends where the next begins: what is recorded at that very moment belongs to the next."""
    assert history.position_before(DB, BOOK, NOW) == 0
    assert history.position_before(DB, BOOK, NOW + DAY) == 2
    assert history.position_before(DB, BOOK, NOW + DAY + timedelta(microseconds=1)) == 4
    with pytest.raises(errors.TimeBeforeBook):
        history.position_before(DB, BOOK, OPENED)


def test_the_bank_grows_by_debits(people):
    bank = history.balance(DB, people.bank)
    assert (bank.balance_minor, bank.debits_posted, bank.credits_posted) == (86_00, 106_00, 20_00)
    assert history.balance(DB, people.bank, at_position=4).available_minor == 75_00


def test_a_backdated_value_date_moves_no_past_state(people):
    before = history.trial_balance(DB, BOOK, at_position=6)
    assert all(line.account != people.suspense for line in before.lines)
    assert history.balance(DB, people.suspense, at_time=NOW + DAY).balance_minor == 0
    assert history.transfer_at(DB, BOOK, 7).value_date == date(2026, 2, 1)


def test_what_is_not_there_is_refused_never_empty(people):
    with pytest.raises(errors.PositionUnknown):
        history.balance(DB, people.wang, at_position=8)
    with pytest.raises(errors.PositionUnknown):
        history.trial_balance(DB, BOOK, at_position=-1)
    with pytest.raises(errors.TimeBeforeBook):
        history.trial_balance(DB, BOOK, at_time=OPENED - timedelta(seconds=1))
    with pytest.raises(errors.AccountUnknown):
        history.balance(DB, people.wang + 1_000)
    with pytest.raises(errors.BookUnknown):
        history.transfers(DB, 2)
    with pytest.raises(errors.TransferNotFound):
        history.transfer(DB, cast.an_id(99))
    with pytest.raises(errors.TransferNotFound):
        history.transfer(DB, "no id")
    with pytest.raises(errors.PositionUnknown):
        history.transfer_at(DB, BOOK, 99)


def test_a_statement_runs_from_its_opening_to_its_closing_balance(people):
    told = history.statement(DB, people.wang, after_position=2, to_position=6)
    assert (told.opening.balance_minor, told.closing.balance_minor) == (100_00, 80_00)
    assert [
        (line.position, line.amount_minor, line.held_minor, line.balance_minor) for line in told.lines
    ] == [
        (3, -40_00, 0, 60_00),
        (4, 0, 30_00, 60_00),
        (5, -20_00, -30_00, 40_00),
        (6, 40_00, 0, 80_00),
    ]
    first = told.lines[0]
    assert (first.counter_account, first.code, first.metadata) == (
        people.li,
        codes.Code.LEND,
        '{"loan":"L-1"}',
    )
    assert [line.available_minor for line in told.lines] == [60_00, 30_00, 40_00, 80_00]


def test_lines_are_paged_by_position_either_way(people):
    first = history.account_lines(DB, people.wang, limit=2)
    second = history.account_lines(DB, people.wang, after_position=first[-1].position, limit=9)
    whole = history.account_lines(DB, people.wang)
    assert [*first, *second] == list(whole)
    assert list(history.account_lines(DB, people.wang, newest_first=True)) == list(whole)[::-1]
    newest = history.account_lines(DB, people.wang, newest_first=True, limit=2)
    older = history.account_lines(DB, people.wang, newest_first=True, to_position=newest[-1].position - 1)
    assert [*newest, *older] == list(whole)[::-1]


def test_a_trial_balance_balances_at_every_position(people):
    for position in range(8):
        trial = history.trial_balance(DB, BOOK, at_position=position)
        assert not any(trial.difference_minor.values())
        clients = sum(line.balance.balance_minor for line in trial.lines if line.family == Family.CLIENT)
        assert clients == sum(total.balance_minor for total in trial.totals if total.family == Family.CLIENT)
    assert {total.family: total.balance_minor for total in trial.totals} == {
        Family.CLIENT: 85_00,
        Family.EXTERNAL: 86_00,
        Family.SUSPENSE: 1_00,
    }


def test_transfers_are_listed_by_position_and_found_by_what_is_known_of_them(people):
    def positions(**given):
        paging = {
            name: given.pop(name)
            for name in ("after", "to_position", "limit", "newest_first")
            if name in given
        }
        listed = history.transfers(DB, BOOK, **paging, filters=history.Filters(**given))
        return [each.position for each in listed]

    assert positions() == [1, 2, 3, 4, 5, 6, 7]
    assert positions(after=2, limit=3) == [3, 4, 5]
    assert positions(newest_first=True, to_position=5, limit=2) == [5, 4]
    assert positions(account=people.li) == [2, 3, 6]
    assert positions(account=people.li, newest_first=True, limit=2) == [6, 3]
    assert positions(code=codes.Code.LEND) == [3, 6]
    assert positions(kind=TransferKind.POST_PENDING) == [5]
    assert positions(reference="R-1") == [1]
    assert positions(authorisation=history.transfer_at(DB, BOOK, 3).authorisation)[0] == 3


def test_a_transfer_knows_what_became_of_it(people):
    pending = history.transfer(DB, cast.an_id(4))
    assert pending.kind == TransferKind.PENDING
    settling = history.settled_by(DB, BOOK, pending.position)
    assert settling is not None
    assert (settling.position, settling.amount_minor) == (5, 20_00)
    assert history.settled_by(DB, BOOK, 1) is None
    reversal = history.reversed_by(DB, BOOK, 3)
    assert reversal is not None
    assert (reversal.position, reversal.reason) == (6, "lent in error")


def test_days_are_the_books_own(people):
    posted = [
        (each.day, each.code.text, each.transfers, each.amount_minor)
        for each in history.daily_totals(DB, BOOK, date(2026, 3, 1), date(2026, 3, 31))
    ]
    assert posted == [
        (date(2026, 3, 2), "top_up", 2, 105_00),
        (date(2026, 3, 3), "lend", 1, 40_00),
        (date(2026, 3, 4), "withdrawal", 1, 20_00),
        (date(2026, 3, 4), "lend", 1, 40_00),
        (date(2026, 3, 4), "unidentified_receipt", 1, 1_00),
    ]
    assert len(history.daily_totals(DB, BOOK, date(2026, 3, 3), date(2026, 3, 3))) == 1
    assert not history.daily_totals(DB, BOOK, date(2026, 4, 1), date(2026, 4, 2))


def test_the_auditor_reads_the_same(people):
    auditor = Db("auditor")
    assert history.trial_balance(auditor, BOOK) == history.trial_balance(DB, BOOK)
    assert history.account_lines(auditor, people.wang) == history.account_lines(DB, people.wang)
    assert books.head(auditor, BookId(1)).position == 7

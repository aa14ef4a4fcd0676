"""The second look: what a bulk statement wrote by hand is found out within a beat, at a bounded cost."""

from __future__ import annotations

import contextlib

import psycopg
import pytest

from tallystick.core.postgres import Role
from tallystick.custody import checks, codes
from tallystick.evidence import log
from tallystick.pulse import ACTOR, Pulse
from tests.custody import cast
from tests.custody.cast import BOOK, DB, NOW, ask

BULK = 60
"""Top-ups in one statement: twice as many entries, more than are compared at once."""

TRANSFERS = """
insert into custody_transfer (book_id, position, id, kind, code, debit_account, credit_account, amount_minor,
    value_date, at, recorded_at)
select %(book)s, %(head)s + i, gen_random_uuid(), 1, %(code)s, %(bank)s, %(client)s, 100,
    %(now)s::date, %(now)s, %(now)s
from generate_series(1, %(count)s) i
"""
ENTRIES = """
insert into custody_entry (account, position, debits_posted, credits_posted, debits_pending, credits_pending)
select %(bank)s, %(head)s + i, %(before)s + 100 * i, 0, 0, 0 from generate_series(1, %(count)s) i
union all
select %(client)s, %(head)s + i, 0, %(before)s + 100 * i + case when i >= %(from)s then %(more)s else 0 end, 0, 0
from generate_series(1, %(count)s) i
"""


@pytest.fixture
def people(ledger_database):
    people = cast.opened()
    cast.post([ask(1, people.bank, people.wang, 10_00)])
    return people


def loaded(database, people, *, more: int) -> None:
    """A bulk load by hand, as the writer; from the thirtieth on, the client is credited `more` than was moved."""
    with contextlib.closing(psycopg.connect(database.conninfo(Role.WRITER))) as connection:
        (head,) = connection.execute("select max(last_position) from custody_batch").fetchone()
        given = {"book": BOOK, "head": head, "code": int(codes.Code.TOP_UP), "bank": people.bank}
        given |= {"client": people.wang, "count": BULK, "now": NOW, "before": 10_00, "from": 30, "more": more}
        connection.execute(TRANSFERS, given)
        connection.execute(ENTRIES, given)
        connection.commit()


def test_a_bulk_load_with_an_entry_that_does_not_follow_is_found_and_told(ledger_database, people):
    loaded(ledger_database, people, more=1)
    assert checks.standing(DB, BOOK) == checks.Standing(waiting=1, unsound=0)
    compared, to = checks.advance(DB, BOOK, actor=ACTOR, now=NOW)
    # Only the thirtieth does not follow from the one before; those after it follow from it.
    assert (compared, to, checks.standing(DB, BOOK)) == (1, 1 + BULK, checks.Standing(waiting=0, unsound=1))
    (told,) = log.events(DB, kind="custody.batch_unsound")
    assert told.payload == {"book": BOOK, "last_position": 1 + BULK, "unsound": 1}


def test_a_sound_bulk_load_is_compared_and_nothing_is_told(ledger_database, people):
    loaded(ledger_database, people, more=0)
    assert checks.advance(DB, BOOK, actor=ACTOR, now=NOW) == (1, 1 + BULK)
    assert checks.standing(DB, BOOK) == checks.Standing(waiting=0, unsound=0)
    assert not log.events(DB, kind="custody.batch_unsound")


def test_what_was_compared_is_not_read_again_and_what_comes_later_is(ledger_database, people):
    """Where nothing waits, the next look starts at the book's head, however small its batches were."""
    assert checks.advance(DB, BOOK, actor=ACTOR, now=NOW) == (0, 1)
    cast.post([ask(2, people.bank, people.li, 5_00)])
    assert checks.advance(DB, BOOK, after=1, actor=ACTOR, now=NOW) == (0, 2)


def test_the_pulse_looks_once_at_each_bulk_load(ledger_database, people):
    pulse = Pulse(lambda: 0.0)
    pulse.beat(DB, BOOK, NOW)
    loaded(ledger_database, people, more=1)
    while pulse.beat(DB, BOOK, NOW):
        pass
    assert checks.standing(DB, BOOK) == checks.Standing(waiting=0, unsound=1)
    assert len(log.events(DB, kind="custody.batch_unsound")) == 1

"""The audit finds nothing in a ledger that was posted to, and names everything that somebody has forged.

Forged as the superuser with the triggers off: nobody else can.
"""

from __future__ import annotations

import contextlib

import psycopg
import pytest

from tallystick.core.db import AUDITOR
from tallystick.custody import audit, codes, errors, ledger, posting
from tallystick.custody.models import AmountRule
from tallystick.custody.numbers import AuthorisationKind
from tallystick.custody.transfers import TransferRequest
from tests.custody import cast, streams
from tests.custody.cast import BOOK, DB, SIMULATION, an_id, ask
from tests.custody.test_ledger import opened_world


@pytest.fixture(scope="module")
def people(ledger_database_module):
    """Four calls: topped up; lent, held and paid a fee; posted in part, voided and reversed; topped up."""
    people = cast.opened()
    order = cast.authorised(people.wang, people.li, 40_00, amount_rule=AmountRule.AT_MOST, uses_max=9)
    held = cast.authorised(
        people.wang,
        people.bank,
        30_00,
        code=codes.Code.WITHDRAWAL,
        payee="6222 01",
        uses_max=2,
        basis="order 2",
    )
    fee = cast.authorised(
        people.wang,
        people.platform,
        1_00,
        kind=AuthorisationKind.ENTITLEMENT,
        code=codes.Code.FEE,
        basis="contract 3",
    )
    withdrawal = {"kind": "pending", "authorisation": held, "payee": "6222 01"}
    for call in (
        [ask(1, people.bank, people.wang, 200_00, reference="R-1"), ask(2, people.bank, people.li, 5_00)],
        [
            ask(3, people.wang, people.li, 40_00, "lend", authorisation=order),
            ask(4, people.wang, people.bank, 30_00, "withdrawal", **withdrawal),
            ask(5, people.wang, people.bank, 30_00, "withdrawal", **withdrawal),
            ask(6, people.wang, people.platform, 1_00, "fee", authorisation=fee),
        ],
        [
            TransferRequest(id=an_id(7), kind="post_pending", pending_id=an_id(4), amount_minor=20_00),
            TransferRequest(id=an_id(8), kind="void_pending", pending_id=an_id(5)),
            ask(9, people.bank, people.wang, 3_00, metadata={"说明": "利息"}),
            ask(10, people.wang, people.bank, 3_00, "correction", reverses_id=an_id(9), reason="in error"),
            ask(11, people.wang, people.li, 1_00, "lend", authorisation=order),
        ],
        [ask(12, people.bank, people.wang, 1_00)],
    ):
        cast.post(call)
    posting.close()
    return people


def found(**more) -> list[tuple[str, int]]:
    return [(each.check, each.position) for each in audit.verify(AUDITOR, BOOK, **more).findings]


def test_nothing_is_found_in_what_was_posted(people):
    told = audit.verify(AUDITOR, BOOK)
    assert told.findings == ()
    assert (told.transfers, told.batches, told.entries, told.uses, told.accounts) == (12, 4, 24, 5, 4)
    assert (told.from_position, told.to_position) == (0, 12)


@pytest.mark.parametrize("start", [0, 1, 2, 5, 6, 8, 11, 12])
def test_a_part_can_be_audited_from_any_position_to_any_other(people, start):
    for end in range(start, 13):
        told = audit.verify(AUDITOR, BOOK, from_position=start, to_position=end)
        assert told.findings == ()
        assert told.transfers == end - start


def test_a_position_that_is_not_there_is_refused(people):
    for bounds in ({"to_position": 13}, {"from_position": 5, "to_position": 4}, {"from_position": -1}):
        with pytest.raises(errors.PositionUnknown):
            audit.verify(AUDITOR, BOOK, **bounds)
    with pytest.raises(errors.PositionUnknown):
        audit.fingerprint(AUDITOR, BOOK, 13)


WANG = "(select debit_account from custody_transfer where position = 3)"
FORGERIES = {
    "amount": (
        "update custody_transfer set amount_minor = 41_00 where position = 3",
        {("transfers_changed", 6), ("entry_differs", 3), ("authorisation", 3), ("use_differs", 3)},
    ),
    "reference": (
        "update custody_transfer set reference = 'R-2' where position = 1",
        {("transfers_changed", 2)},
    ),
    "metadata": (
        "update custody_transfer set metadata = null where position = 9",
        {("transfers_changed", 11)},
    ),
    "account": (
        f"update custody_transfer set credit_account = {WANG} where position = 2",
        {("transfers_changed", 2), ("entry_missing", 2), ("entry_extra", 2)},
    ),
    "time": (
        "update custody_transfer set recorded_at = recorded_at - interval '1 day' where position = 9",
        {("batch_time", 9), ("time_back", 9), ("transfers_changed", 11)},
    ),
    "last transfer removed": (
        "delete from custody_transfer where position = 12",
        {("position_missing", 12), ("entry_extra", 12), ("transfers_removed", 12)},
    ),
    "transfer removed": (
        "delete from custody_transfer where position = 9",
        {("position_missing", 9), ("entry_extra", 9), ("transfers_changed", 11), ("reversal", 10)},
    ),
    "batch removed": (
        "delete from custody_batch where last_position = 6",
        {("batch_gap", 7), ("transfers_removed", 6), ("batch_missing", 3), ("batch_missing", 6)},
    ),
    "batch time": (
        "update custody_batch set recorded_at = recorded_at + interval '1 day' where last_position = 12",
        {("batch_time", 12)},
    ),
    "balance": (
        f"update custody_entry set credits_posted = credits_posted + 1 where position = 9 and account = {WANG}",
        {("entry_differs", 9)},
    ),
    "held": (
        f"update custody_entry set debits_pending = 0 where position = 5 and account = {WANG}",
        {("entry_differs", 5)},
    ),
    "entry removed": (
        f"delete from custody_entry where position = 12 and account = {WANG}",
        {("entry_missing", 12)},
    ),
    "entry added": (
        f"insert into custody_entry (account, position, debits_posted, credits_posted, debits_pending, credits_pending)"
        f" values (({WANG} / 10000000000) * 10000000000 + 77, 12, 0, 1, 0, 0)",
        {("entry_extra", 12)},
    ),
    "use removed": ("delete from custody_authorisation_use where position = 11", {("use_missing", 11)}),
    "use made small": (
        "update custody_authorisation_use set used_minor = 1 where position = 11",
        {("use_differs", 11)},
    ),
    "use added": (
        "insert into custody_authorisation_use (authorisation, use, book_id, position, used_minor)"
        " select authorisation, 3, book_id, 12, 41_00 from custody_authorisation_use where position = 11",
        {("use_extra", 12)},
    ),
    "authorisation made narrow": (
        "update custody_authorisation set uses_max = 1 where basis = 'order 2'",
        {("use_beyond", 5)},
    ),
    "authorisation for another payee": (
        "update custody_authorisation set payee = '6222 02' where basis = 'order 2'",
        {("authorisation", 4), ("authorisation", 5)},
    ),
    "authorisation removed": (
        "delete from custody_authorisation where basis = 'contract 3'",
        {("authorisation", 6)},
    ),
    "border": (
        "update custody_transfer set code = 3 where position = 6",
        {("border", 6), ("authorisation", 6), ("transfers_changed", 6)},
    ),
    "settlement": (
        "update custody_transfer set pending_position = 1 where position = 8",
        {("settlement", 8), ("transfers_changed", 11), ("entry_differs", 8)},
    ),
    "reversal": (
        "update custody_transfer set reverses_position = 1 where position = 10",
        {("reversal", 10), ("transfers_changed", 11)},
    ),
    "event removed": (
        "delete from evidence_payload where event_id = (select max(event_id) from evidence_payload)",
        {("evidence_missing", 12)},
    ),
    "event rewritten": (
        'update evidence_payload set payload = replace(payload, \'"sha256":"\', \'"sha256":"0\')'
        " where event_id = (select max(event_id) from evidence_payload)",
        {("evidence_changed", 12), ("transfers_changed", 12)},
    ),
    "a transfer made up": (
        "insert into custody_transfer (book_id, position, id, kind, code, debit_account, credit_account, amount_minor,"
        " value_date, at, recorded_at) select book_id, 13, gen_random_uuid(), kind, code, debit_account,"
        " credit_account, amount_minor, value_date, at, recorded_at from custody_transfer where position = 12;"
        " insert into custody_batch (book_id, last_position, first_position, recorded_at)"
        " select book_id, 13, 13, recorded_at from custody_batch where last_position = 12",
        {("evidence_missing", 13), ("entry_missing", 13)},
    ),
}


@pytest.mark.parametrize("name", list(FORGERIES))
def test_what_was_forged_is_found_and_named(ledger_database_module, people, name):
    forgery, expected = FORGERIES[name]
    with contextlib.closing(psycopg.connect(ledger_database_module.superuser)) as forger, undone(forger):
        forger.execute("set session_replication_role = replica")
        forger.execute("alter table custody_transfer drop constraint if exists custody_transfer_border")
        forger.execute(forgery)
        forger.commit()
        names = found()
    assert expected <= set(names), names
    assert not found(), "put back as it was"


@contextlib.contextmanager
def undone(forger: psycopg.Connection):
    """The tables are put back from copies made before."""
    tables = [
        "custody_transfer",
        "custody_entry",
        "custody_authorisation_use",
        "custody_batch",
        "custody_authorisation",
        "evidence_payload",
    ]
    forger.execute("set session_replication_role = replica")
    for table in tables:
        forger.execute(f"drop table if exists kept_{table}")
        forger.execute(f"create table kept_{table} as table {table}")
    forger.commit()
    try:
        yield
    finally:
        forger.rollback()
        forger.execute("set session_replication_role = replica")
        for table in tables:
            forger.execute(f"delete from {table}")
            forger.execute(f"insert into {table} select * from kept_{table}")
        forger.commit()


def test_the_fingerprint_is_of_a_position_whatever_comes_later(people):
    """Equal for the same past; another for another position, and for anything forged in it."""
    at = [audit.fingerprint(AUDITOR, BOOK, position) for position in range(13)]
    assert len(set(at)) == 13
    cast.post([ask(13, people.bank, people.li, 1)])
    posting.close()
    assert [audit.fingerprint(DB, BOOK, position) for position in range(13)] == at


def test_a_ledger_of_random_streams_is_clean(ledger_database):
    """Chains, refusals, repetitions, partial settlements, reversals, formulas."""
    model = opened_world(streams.world(), BOOK)
    for call, now in streams.calls(streams.stream(model, 7, 300), 7):
        ledger.post(DB, BOOK, call, actor=SIMULATION, now=now)
        model.post(call, now)
    told = audit.verify(AUDITOR, BOOK)
    assert told.findings == ()
    assert told.transfers == told.to_position == model.position

"""The database's own promises, against somebody with psql: as the app, as the writer, as the owner.

Rows are written by hand here, as the writer, the way the service writes them; each test changes one thing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from datetime import timedelta

import psycopg
import pytest
from psycopg import errors as pg

from tallystick.core.postgres import Role
from tallystick.custody import codes, instructions, ledger
from tallystick.custody.models import AmountRule
from tallystick.custody.numbers import AuthorisationKind
from tests.custody import cast
from tests.custody.cast import BOOK, DB, NOW, SIMULATION, ask

TOP_UP, LEND, FEE, CORRECTION = codes.Code.TOP_UP, codes.Code.LEND, codes.Code.FEE, codes.Code.CORRECTION
TABLES = (
    "custody_transfer",
    "custody_entry",
    "custody_authorisation_use",
    "custody_batch",
    "custody_batch_entries",
    "custody_batch_check",
    "custody_batch_uses",
    "custody_transfer_refusal",
)
REGISTERS = (
    "custody_account",
    "custody_account_state",
    "custody_authorisation",
    "custody_authorisation_withdrawal",
    "custody_signing_key",
    "custody_book",
    "custody_asset",
)


class Hand:
    """Somebody who writes rows by hand: what they know of the book, and their connection."""

    def __init__(self, connection: psycopg.Connection, people: cast.Cast, position: int) -> None:
        self.connection, self.people, self.position = connection, people, position
        self.recorded_at = NOW + timedelta(minutes=5)

    def transfer(self, debit: int, credit: int, amount: int, code: int = TOP_UP, **more: object) -> int:
        """One transfer at the next position, whatever it says."""
        self.position += 1
        row = {
            "book_id": BOOK,
            "position": self.position,
            "kind": 1,
            "code": code,
            "debit_account": debit,
            "credit_account": credit,
            "amount_minor": amount,
            "value_date": self.recorded_at.date(),
            "at": self.recorded_at,
            "recorded_at": self.recorded_at,
            **more,
        }
        columns = ", ".join(row)
        self.connection.execute(
            f"insert into custody_transfer (id, {columns}) values (gen_random_uuid(), {', '.join(['%s'] * len(row))})",
            list(row.values()),
        )
        return int(row["position"])

    def entries(self, *rows: tuple[int, int, int, int, int, int]) -> None:
        """Entries in one statement: account, position and the four totals of each."""
        self.connection.execute(
            "insert into custody_entry (account, position, debits_posted, credits_posted, debits_pending,"
            f" credits_pending) values {', '.join(['(%s, %s, %s, %s, %s, %s)'] * len(rows))}",
            [each for row in rows for each in row],
        )

    def use(self, authorisation: int, use: int, position: int, used: int) -> None:
        self.connection.execute(
            "insert into custody_authorisation_use (authorisation, use, book_id, position, used_minor)"
            " values (%s, %s, %s, %s, %s)",
            [authorisation, use, BOOK, position, used],
        )

    def commit(self) -> None:
        self.connection.commit()


@pytest.fixture(scope="module")
def people(ledger_database_module):
    """王芳 has 100 yuan, of which 20 are held for the bank; 李强 has 50, of which 王芳 lent 10."""
    people = cast.opened()
    once = cast.authorised(people.wang, people.li, 10_00)
    held = cast.authorised(people.wang, people.bank, 20_00, code=codes.Code.WITHDRAWAL, basis="order 2")
    cast.post([ask(1, people.bank, people.wang, 110_00), ask(2, people.bank, people.li, 40_00)])
    cast.post(
        [
            ask(3, people.wang, people.li, 10_00, "lend", authorisation=once),
            ask(4, people.wang, people.bank, 20_00, "withdrawal", kind="pending", authorisation=held),
        ]
    )
    return people


@pytest.fixture
def hand(ledger_database_module, people) -> Iterator[Hand]:
    """The writer with psql; what is not committed is rolled back."""
    with contextlib.closing(psycopg.connect(ledger_database_module.conninfo(Role.WRITER))) as connection:
        (position,) = connection.execute("select max(last_position) from custody_batch").fetchone()
        yield Hand(connection, people, position)


@contextlib.contextmanager
def refused(constraint: str) -> Iterator[None]:
    """What is written here is refused, by the constraint of this name."""
    with pytest.raises(psycopg.errors.IntegrityError) as caught:
        yield
    assert caught.value.diag.constraint_name == constraint


def standing(hand: Hand, account: int) -> tuple[int, int, int, int]:
    return hand.connection.execute(
        "select debits_posted, credits_posted, debits_pending, credits_pending from custody_entry"
        " where account = %s order by position desc limit 1",
        [account],
    ).fetchone()


def written(hand: Hand, debit: int, credit: int, amount: int, code: int = TOP_UP, **more: object) -> int:
    """A transfer with the entries that follow from it."""
    before = {each: standing(hand, each) or (0, 0, 0, 0) for each in (debit, credit)}
    position = hand.transfer(debit, credit, amount, code, **more)
    d, c = before[debit], before[credit]
    hand.entries((debit, position, d[0] + amount, *d[1:]), (credit, position, c[0], c[1] + amount, *c[2:]))
    return position


# ── who may ──────────────────────────────────────────────────────────────────────────────────────────────


def _changes(database, tables: tuple[str, ...]) -> Iterator[str]:
    with psycopg.connect(database.superuser) as connection:
        for table in tables:
            (column,) = connection.execute(
                "select attname from pg_attribute where attrelid = %s::regclass and attnum = 1", [table]
            ).fetchone()
            yield from (
                f"update {table} set {column} = {column}",
                f"delete from {table}",
                f"truncate {table} cascade",
            )


def _all_refused(
    database, role: Role, statements: Iterable[str], how: tuple[type[psycopg.Error], ...], says: str
) -> None:
    with contextlib.closing(psycopg.connect(database.conninfo(role))) as connection:
        for statement in statements:
            with pytest.raises(how, match=says):
                connection.execute(statement)
            connection.rollback()


def test_the_app_writes_no_table_of_the_ledger(ledger_database_module, people):
    inserts = [f"insert into {table} default values" for table in TABLES]
    _all_refused(ledger_database_module, Role.APP, inserts, (pg.InsufficientPrivilege,), "permission denied")


@pytest.mark.parametrize("role", [Role.WRITER, Role.APP, Role.AUDITOR])
def test_no_role_updates_deletes_or_truncates(ledger_database_module, people, role):
    # The auditor's sessions are read-only besides.
    how = (pg.InsufficientPrivilege, pg.ReadOnlySqlTransaction)
    _all_refused(
        ledger_database_module,
        role,
        _changes(ledger_database_module, TABLES + REGISTERS),
        how,
        "denied|append-only|read-only",
    )


def test_not_even_the_owner_changes_what_stands(ledger_database_module, people):
    changes = _changes(ledger_database_module, TABLES + REGISTERS)
    _all_refused(ledger_database_module, Role.OWNER, changes, (pg.InsufficientPrivilege,), "append-only")


def test_the_writer_writes_no_register_and_no_batch(ledger_database_module, people):
    others = (
        *REGISTERS,
        "custody_batch",
        "custody_batch_entries",
        "custody_batch_check",
        "custody_batch_uses",
    )
    inserts = [f"insert into {table} default values" for table in others]
    _all_refused(
        ledger_database_module, Role.WRITER, inserts, (pg.InsufficientPrivilege,), "permission denied"
    )


# ── what the writer may ──────────────────────────────────────────────────────────────────────────────────


def test_rows_that_follow_are_taken_and_the_service_goes_on_from_them(ledger_database, hand):
    """On a database of its own, since these rows stay."""
    people = cast.opened()
    authorisation = cast.authorised(people.wang, people.li, 7_00)
    cast.post([ask(1, people.bank, people.wang, 10_00)])
    with contextlib.closing(psycopg.connect(ledger_database.conninfo(Role.WRITER))) as connection:
        by_hand = Hand(connection, people, 1)
        position = written(by_hand, people.wang, people.li, 7_00, LEND, authorisation=authorisation)
        by_hand.use(authorisation, 1, position, 7_00)
        by_hand.commit()
    results = ledger.post(
        DB,
        BOOK,
        [
            ask(2, people.wang, people.li, 7_00, "lend", authorisation=authorisation),
            ask(3, people.bank, people.wang, 1_00),
        ],
        actor=SIMULATION,
        now=NOW + timedelta(hours=1),
    )
    assert [results.refusal_of(i) and results.refusal_of(i).__name__ for i in range(2)] == [
        "AuthorisationConsumed",
        None,
    ]
    assert results.after[1, 1].tolist() == [7_00, 11_00, 0, 0]


def test_a_settlement_and_a_reversal_by_hand_are_taken(hand):
    people = hand.people
    d, c = standing(hand, people.wang), standing(hand, people.bank)
    position = hand.transfer(
        people.wang,
        people.bank,
        5_00,
        codes.Code.WITHDRAWAL,
        kind=3,
        pending_position=4,
        authorisation=_held(hand),
    )
    hand.entries(
        (people.wang, position, d[0] + 5_00, d[1], d[2] - 20_00, d[3]),
        (people.bank, position, c[0], c[1] + 5_00, c[2], c[3] - 20_00),
    )
    written(hand, people.li, people.bank, 40_00, CORRECTION, reverses_position=2, reason="in error")
    hand.connection.execute("set constraints all immediate")


def _held(hand: Hand) -> int:
    return hand.connection.execute(
        "select authorisation from custody_transfer where position = 4"
    ).fetchone()[0]


# ── order ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_gap_is_refused(hand):
    hand.position += 1
    with refused("custody_batch_gap_free"):
        hand.transfer(hand.people.bank, hand.people.wang, 1)


def test_a_position_that_is_taken_is_refused(hand):
    hand.position = 1
    with refused("custody_transfer_pkey"):
        hand.transfer(hand.people.bank, hand.people.wang, 1)


def test_a_position_before_the_first_is_refused(hand):
    hand.position = -1
    with refused("custody_transfer_sound"):
        hand.transfer(hand.people.bank, hand.people.wang, 1)


def test_going_back_in_time_is_refused(hand):
    hand.recorded_at = NOW - timedelta(minutes=1)
    with refused("custody_batch_time"):
        hand.transfer(hand.people.bank, hand.people.wang, 1)


def test_two_times_in_one_statement_are_refused(hand):
    people, row = hand.people, "(gen_random_uuid(), 1, %s, 1, 1, %s, %s, 1, '2026-03-02', now(), %s)"
    with refused("custody_batch_time"):
        hand.connection.execute(
            "insert into custody_transfer (id, book_id, position, kind, code, debit_account, credit_account,"
            f" amount_minor, value_date, at, recorded_at) values {row}, {row}",
            [
                *(hand.position + 1, people.bank, people.wang, hand.recorded_at),
                *(hand.position + 2, people.bank, people.wang, hand.recorded_at + timedelta(seconds=1)),
            ],
        )


def test_an_id_is_posted_once(hand):
    with refused("custody_transfer_id"):
        hand.connection.execute(
            "insert into custody_transfer (id, book_id, position, kind, code, debit_account, credit_account,"
            " amount_minor, value_date, at, recorded_at) select id, book_id, %s, kind, code, debit_account,"
            " credit_account, amount_minor, value_date, at, %s from custody_transfer where position = 1",
            [hand.position + 1, hand.recorded_at],
        )


# ── the border ───────────────────────────────────────────────────────────────────────────────────────────


def test_the_border_is_crossed_only_by_a_fee_on_an_entitlement(hand):
    people = hand.people
    order = people.wang % 10**10 * 10**8 + 11
    for debit, credit, more in (
        (people.wang, people.platform, {"authorisation": order}),
        (people.wang, people.platform, {"authorisation": order + 2, "code": LEND}),
        (people.bank, people.platform, {}),
        (people.suspense, people.platform, {}),
        (people.platform, people.wang, {}),
        (people.platform, people.suspense, {}),
    ):
        with refused("custody_transfer_border"):
            hand.transfer(debit, credit, 1, **{"code": FEE, **more})
        hand.connection.rollback()
        hand.position -= 1


def test_a_reversal_of_something_else_does_not_cross_the_border(hand):
    people = hand.people
    for debit, credit, amount, of_it in (
        (people.wang, people.platform, 1_00, 1),  # between other accounts
        (people.wang, people.bank, 1_00, 1),  # of another amount
        (people.wang, people.bank, 1_00, 99),  # of nothing
        (people.bank, people.wang, 20_00, 4),  # of what is only held
    ):
        written(hand, debit, credit, amount, CORRECTION, reverses_position=of_it, reason="in error")
        with refused("custody_transfer_related"):
            hand.commit()
        hand.position -= 1


def test_a_settlement_of_something_else_is_refused(hand):
    people, held = hand.people, _held(hand)
    for amount, pending_position, code in (
        (21_00, 4, codes.Code.WITHDRAWAL),  # of more than was held
        (20_00, 1, codes.Code.WITHDRAWAL),  # of what is not held
        (20_00, 4, LEND),  # for another reason
    ):
        d, c = standing(hand, people.wang), standing(hand, people.bank)
        more = {"kind": 3, "pending_position": pending_position, "authorisation": held}
        position = hand.transfer(people.wang, people.bank, amount, code, **more)
        released = 110_00 if pending_position == 1 else 20_00
        name = "custody_entry_sound" if pending_position == 1 else "custody_transfer_related"
        with refused(name):
            hand.entries(
                (people.wang, position, d[0] + amount, d[1], d[2] - released, d[3]),
                (people.bank, position, c[0], c[1] + amount, c[2], c[3] - released),
            )
            hand.commit()
        hand.connection.rollback()
        hand.position -= 1


def test_books_and_assets_do_not_mix(hand):
    people = hand.people
    for debit, credit in (
        (people.bank, people.wang + 10**15),
        (people.bank, people.wang + 10**10),
        (people.bank, people.bank),
    ):
        with refused("custody_transfer_sound"):
            hand.transfer(debit, credit, 1)
        hand.connection.rollback()
        hand.position -= 1


# ── entries ──────────────────────────────────────────────────────────────────────────────────────────────


def test_transfers_without_entries_are_refused_at_the_commit(hand):
    hand.transfer(hand.people.bank, hand.people.wang, 1)
    with refused("custody_batch_complete"):
        hand.commit()


@pytest.mark.parametrize("column", range(4))
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("by", [-1, 1])
def test_a_balance_that_does_not_follow_is_refused(hand, column, side, by):
    people = hand.people
    rows = [list(standing(hand, people.bank)), list(standing(hand, people.wang))]
    position = hand.transfer(people.bank, people.wang, 1_00)
    rows[0][0] += 1_00
    rows[1][1] += 1_00
    rows[side][column] += by
    name = "custody_entry_sound" if rows[side][column] < 0 else "custody_entry_follows"
    with refused(name):
        hand.entries((people.bank, position, *rows[0]), (people.wang, position, *rows[1]))


def test_a_third_entry_is_refused(hand):
    people = hand.people
    b, w, li = (standing(hand, each) for each in (people.bank, people.wang, people.li))
    position = hand.transfer(people.bank, people.wang, 1_00)
    with refused("custody_entry_of_batch"):
        hand.entries(
            (people.bank, position, b[0] + 1_00, *b[1:]),
            (people.wang, position, w[0], w[1] + 1_00, *w[2:]),
            (people.li, position, li[0], li[1] + 1_00, *li[2:]),
        )


def test_one_entry_more_in_a_second_statement_is_refused(hand):
    people = hand.people
    position = written(hand, people.bank, people.wang, 1_00)
    li = standing(hand, people.li)
    with refused("custody_entry_of_batch"):
        hand.entries((people.li, position, li[0], li[1] + 1_00, *li[2:]))


def test_entries_of_other_accounts_are_refused(hand):
    people = hand.people
    b, li = standing(hand, people.bank), standing(hand, people.li)
    position = hand.transfer(people.bank, people.wang, 1_00)
    with refused("custody_entry_follows"):
        hand.entries(
            (people.bank, position, b[0] + 1_00, *b[1:]), (people.li, position, li[0], li[1] + 1_00, *li[2:])
        )


def test_entries_for_an_old_position_are_refused(hand):
    with refused("custody_entry_of_batch"):
        hand.entries((hand.people.li, 1, 0, 1_00, 0, 0), (hand.people.suspense, 1, 0, 1_00, 0, 0))


def test_an_overdraft_is_refused_held_money_included(hand):
    people = hand.people
    authorisation = _held(hand)
    with refused("custody_entry_sound"):
        written(hand, people.wang, people.li, 81_00, LEND, authorisation=authorisation)


# ── authorisations ───────────────────────────────────────────────────────────────────────────────────────


def test_a_client_is_debited_only_with_a_word_of_their_own(hand):
    people = hand.people
    of_wang = _held(hand)
    for debit, authorisation in ((people.wang, None), (people.li, of_wang)):
        with refused("custody_transfer_authorised"):
            hand.transfer(debit, people.suspense, 1, LEND, authorisation=authorisation)
        hand.connection.rollback()
        hand.position -= 1


def test_an_authorisation_that_is_named_is_used(hand):
    people = hand.people
    written(hand, people.wang, people.li, 10_00, LEND, authorisation=_lent(hand))
    with refused("custody_use_of_batch"):
        hand.commit()


def test_a_use_beyond_what_was_allowed_is_refused(hand):
    people = hand.people
    position = written(hand, people.wang, people.li, 10_00, LEND, authorisation=_lent(hand))
    with refused("custody_use_allowed"):
        hand.use(_lent(hand), 2, position, 20_00)


def test_a_use_is_written_once(hand):
    people = hand.people
    position = written(hand, people.wang, people.li, 10_00, LEND, authorisation=_lent(hand))
    with refused("custody_authorisation_use_pkey"):
        hand.use(_lent(hand), 1, position, 10_00)


def test_a_use_of_an_authorisation_that_does_not_exist_is_refused(hand):
    people = hand.people
    invented = people.wang % 10**10 * 10**8 + 9991
    position = written(hand, people.wang, people.li, 10_00, LEND, authorisation=invented)
    with refused("custody_use_allowed"):
        hand.use(invented, 1, position, 10_00)


def test_a_use_without_a_transfer_is_refused(hand):
    with refused("custody_use_of_batch"):
        hand.use(_lent(hand), 2, 1, 10_00)


TERMS = {
    "kind": AuthorisationKind.SCHEDULE,
    "amount_rule": AmountRule.AT_MOST,
    "uses_max": 3,
    "total_max_minor": 25_00,
}


@pytest.mark.parametrize(
    ("case", "amount", "use", "used", "more"),
    [
        ("more than at once", 11_00, 1, 11_00, {}),
        ("a total made small", 10_00, 1, 1_00, {}),
        ("a use left out", 10_00, 2, 10_00, {}),
        ("another code", 10_00, 1, 10_00, {"code": CORRECTION}),
        ("another payee", 10_00, 1, 10_00, {"payee": "6222 01"}),
    ],
)
def test_a_use_on_other_terms_is_refused(hand, case, amount, use, used, more):
    people = hand.people
    authorisation = cast.authorised(people.wang, people.li, 10_00, basis=case, **TERMS)
    position = written(
        hand, people.wang, people.li, amount, **{"code": LEND, "authorisation": authorisation, **more}
    )
    with refused("custody_use_allowed"):
        hand.use(authorisation, use, position, used)


def test_a_use_for_another_receiver_or_out_of_time_or_withdrawn_is_refused(hand):
    people = hand.people
    other = cast.authorised(people.wang, people.suspense, 10_00, basis="another receiver")
    over = cast.authorised(people.wang, people.li, 10_00, basis="over", valid_until=NOW)
    withdrawn = cast.authorised(people.wang, people.li, 10_00, basis="withdrawn")
    instructions.withdraw(DB, withdrawn, "changed my mind", actor=SIMULATION, now=NOW)
    for authorisation in (other, over, withdrawn):
        position = written(hand, people.wang, people.li, 10_00, LEND, authorisation=authorisation)
        with refused("custody_use_allowed"):
            hand.use(authorisation, 1, position, 10_00)
        hand.connection.rollback()
        hand.position -= 1


def test_a_second_use_follows_the_first(hand):
    people = hand.people
    authorisation = cast.authorised(people.wang, people.li, 10_00, basis="thrice", **TERMS)
    first = written(hand, people.wang, people.li, 10_00, LEND, authorisation=authorisation)
    hand.use(authorisation, 1, first, 10_00)
    second = written(hand, people.wang, people.li, 10_00, LEND, authorisation=authorisation)
    hand.use(authorisation, 2, second, 20_00)
    third = written(hand, people.wang, people.li, 10_00, LEND, authorisation=authorisation)
    with refused("custody_use_allowed"):  # 30 of 25 in all
        hand.use(authorisation, 3, third, 30_00)


def _lent(hand: Hand) -> int:
    return hand.connection.execute(
        "select authorisation from custody_transfer where position = 3"
    ).fetchone()[0]

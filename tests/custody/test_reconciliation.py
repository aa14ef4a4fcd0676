"""Reconciliation on real PostgreSQL: the bank's file against the control account, to the cent."""

from __future__ import annotations

import datetime as dt
import time
import tracemalloc

import psycopg
import pytest

from tallystick.core.postgres import Role as DatabaseRole
from tallystick.custody import accounts, errors, history, matching, posting, reconciliation, statement_files
from tallystick.custody.breaks import BreakKind
from tallystick.custody.codes import Code
from tallystick.custody.numbers import Family
from tallystick.custody.statements.mapping import Mapping, Named
from tallystick.evidence import log
from tallystick.identity.errors import AccessDenied
from tests.custody import cast
from tests.custody.cast import BOOK, DB, ask
from tests.custody.statement_samples import camt, camt_balance, camt_entry, camt_statement
from tests.plugin_postgres import TestDatabase

DAY = dt.date(2026, 3, 2)


@pytest.fixture
def people(ledger_database: TestDatabase) -> cast.Cast:
    """The cast, with an empty ledger."""
    posting.use(posting.InProcess())
    return cast.opened()


def paid(reference: str, amount: str, side: str = "CRDT", *, day: dt.date = DAY, text: str = "") -> str:
    """A bank line with an end-to-end id."""
    details = (
        f"<TxDtls><Refs><EndToEndId>{reference or 'NOTPROVIDED'}</EndToEndId></Refs>"
        f"<RmtInf><Ustrd>{text}</Ustrd></RmtInf></TxDtls>"
    )
    dates = f"<BookgDt><Dt>{day}</Dt></BookgDt><ValDt><Dt>{day}</Dt></ValDt>"
    return camt_entry(amount, side, currency="CNY", details=details, dates=dates)


def bank_says(
    bank: int,
    *lines: str,
    opening: str = "0",
    closing: str,
    number: int = 1,
    days: tuple[str, str] = ("2026-03-01", "2026-03-20"),
    account: str = "BANK-1",
) -> statement_files.Imported:
    """Import one statement."""
    balances = "\n".join(
        (
            camt_balance("OPBD", opening, days[0], currency="CNY"),
            camt_balance("CLBD", closing, days[1], currency="CNY"),
        )
    )
    content = camt(
        camt_statement(
            *lines,
            balances=balances,
            number=number,
            identification=f"S{number}",
            account=f"<Othr><Id>{account}</Id></Othr>",
        )
    )
    return statement_files.import_bytes(
        DB, f"{number}.xml", content, bank_account=bank, actor=cast.OPERATIONS, now=cast.NOW
    )


def run(people: cast.Cast, **more: object) -> reconciliation.Reconciled:
    return reconciliation.reconcile(
        DB,
        BOOK,
        people.bank,
        actor=cast.OPERATIONS,
        now=cast.NOW,
        **more,  # type: ignore[arg-type]
    )


def top_up(n: int, people: cast.Cast, amount_minor: int, reference: str | None, day: dt.date = DAY):
    return ask(n, people.bank, people.wang, amount_minor, reference=reference, value_date=day)


def test_clean_books_agree(people: cast.Cast) -> None:
    """Every line finds its own; both totals are the same; nothing is left to explain."""
    cast.post([top_up(1, people, 100_00, "R-1"), top_up(2, people, 50_00, None)])
    bank_says(people.bank, paid("R-1", "100.00"), paid("", "50.00"), closing="150.00")
    found = run(people)
    assert found.breaks == ()
    assert {by: count for by, count in found.matched_by.items() if count} == {
        "reference": 1,
        "amount_and_day": 1,
    }
    summary = found.summary
    assert summary.bank_balance_minor == summary.ledger_balance_minor == 150_00
    assert summary.unexplained_minor == 0
    assert summary.cut_off == dt.date(2026, 3, 20)


def test_all_seven_kinds_are_found_and_explain_the_difference(people: cast.Cast) -> None:
    """One planted break of each kind: each is found once, with its kind, and the totals agree to the cent."""
    other = accounts.open_account(
        DB,
        BOOK,
        Family.EXTERNAL,
        "CNY",
        owner="",
        name="Second bank",
        reference="Second bank",
        actor=cast.SIMULATION,
        now=cast.OPENED,
    )
    cast.post(
        [
            top_up(1, people, 100_00, "GOOD"),
            top_up(2, people, 20_00, "AMOUNT"),
            top_up(3, people, 30_00, "NEVER-CAME"),
            top_up(4, people, 40_00, "TOMORROW", day=dt.date(2026, 3, 19)),
            ask(5, other, people.wang, 60_00, reference="OTHER-BANK", value_date=DAY),
        ]
    )
    bank_says(
        people.bank,
        paid("GOOD", "100.00"),
        paid("GOOD", "100.00", day=dt.date(2026, 3, 3)),
        paid("AMOUNT", "20.01"),
        paid("OTHER-BANK", "60.00"),
        paid("STRANGER", "7.00", text="for you"),
        paid("LOST", "8.00", text="deposit of C-LI"),
        closing="295.01",
    )
    found = run(people)
    assert found.breaks_by_kind == dict.fromkeys(map(str, BreakKind), 1)
    assert found.effect_by_kind == {
        "duplicate": 100_00,
        "amount": 1,
        "wrong_account": 60_00,
        "timing": -40_00,
        "unidentified": 7_00,
        "missing_in_ledger": 8_00,
        "missing_at_bank": -30_00,
    }
    summary = found.summary
    assert summary.ledger_balance_minor + sum(found.effect_by_kind.values()) == summary.bank_balance_minor
    assert summary.ledger_balance_minor == history.balance(DB, people.bank).balance_minor == 190_00
    assert summary.bank_balance_minor == 295_01
    wrong = next(each for each in found.breaks if each.kind == BreakKind.WRONG_ACCOUNT)
    assert wrong.twin == accounts.account(DB, other).text
    assert all(each.file and each.line for each in found.breaks if each.statement_line)


def test_a_duplicate_names_the_line_it_repeats(people: cast.Cast) -> None:
    """By file and line at the bank, by position in the ledger."""
    cast.post([top_up(1, people, 10_00, "A"), top_up(2, people, 20_00, "B"), top_up(3, people, 20_00, "B")])
    imported = bank_says(
        people.bank, paid("A", "10.00"), paid("A", "10.00"), paid("B", "20.00"), closing="40.00"
    )
    assert [(each.kind, each.twin) for each in run(people).breaks] == [
        ("duplicate", f"{imported.file}:7"),
        ("duplicate", "#2"),
    ]


def test_breaks_are_kept_with_both_sides(people: cast.Cast) -> None:
    """What was found can be read again: file and line of the bank, position of the ledger, both amounts."""
    cast.post([top_up(1, people, 20_00, "A")])
    imported = bank_says(people.bank, paid("A", "20.01", text="王芳 top-up"), closing="20.01")
    found = run(people)
    (kept,) = reconciliation.breaks(DB, found.summary.id)
    assert (kept.bank_minor, kept.ledger_minor, kept.effect_minor, kept.position) == (20_01, 20_00, 1, 1)
    assert (kept.file, kept.reference, kept.text) == (imported.file, "A", "王芳 top-up")
    assert reconciliation.latest(DB, people.bank) == reconciliation.summary(DB, found.summary.id)


def test_tomorrows_statement_settles_todays_timing(people: cast.Cast) -> None:
    """A break of timing is gone once the bank has booked it; reconciling to yesterday still shows it."""
    late = dt.date(2026, 3, 20)
    cast.post([top_up(1, people, 40_00, "LATE", day=late)])
    bank_says(people.bank, closing="0")
    assert [each.kind for each in run(people).breaks] == ["timing"]
    bank_says(
        people.bank,
        paid("LATE", "40.00", day=dt.date(2026, 3, 23)),
        closing="40.00",
        number=2,
        days=("2026-03-21", "2026-03-31"),
    )
    assert run(people).breaks == ()
    yesterday = run(people, to=late)
    assert [each.kind for each in yesterday.breaks] == ["timing"]
    assert (yesterday.summary.bank_balance_minor, yesterday.summary.ledger_balance_minor) == (0, 40_00)


def test_what_the_ledger_values_after_the_cut_off_is_left_out_of_both(people: cast.Cast) -> None:
    """The ledger's total is the one of the cut-off, not of today."""
    cast.post([top_up(1, people, 10_00, "A"), top_up(2, people, 99_00, "B", day=dt.date(2026, 4, 2))])
    bank_says(people.bank, paid("A", "10.00"), closing="10.00")
    summary = run(people).summary
    assert (summary.ledger_balance_minor, summary.breaks) == (10_00, 0)


def test_the_same_lines_give_the_same_digest(people: cast.Cast) -> None:
    """A second run finds the same matches and breaks, and says so in one figure."""
    cast.post([top_up(1, people, 10_00, "A"), top_up(2, people, 10_00, None), top_up(3, people, 10_00, "C")])
    bank_says(people.bank, paid("A", "10.00"), paid("X", "10.00"), paid("", "3.00"), closing="23.00")
    assert run(people).summary.digest == run(people).summary.digest


def test_opening_balances_meet(people: cast.Cast) -> None:
    """What the ledger opened with is the bank's opening balance; a difference between them is one break."""
    opening = ask(1, people.bank, people.wang, 500_00, "opening_balance", value_date=dt.date(2026, 3, 1))
    cast.post([opening, top_up(2, people, 5_00, "A")])
    bank_says(people.bank, paid("A", "5.00"), opening="500.00", closing="505.00")
    assert run(people).breaks == ()


def test_opening_balances_that_differ_are_one_break(people: cast.Cast) -> None:
    """The ledger knows nothing of what the bank held before: one break says how much."""
    cast.post([top_up(1, people, 5_00, "A")])
    bank_says(people.bank, paid("A", "5.00"), opening="2.00", closing="7.00")
    (found,) = run(people).breaks
    assert (found.kind, found.effect_minor, found.twin) == ("missing_in_ledger", 2_00, matching.OPENING)


def test_a_missing_statement_stops_the_run(people: cast.Cast) -> None:
    """Without every statement the bank's total is not explained by its lines, so nothing is judged."""
    cast.post([top_up(1, people, 5_00, "A")])
    bank_says(people.bank, paid("A", "5.00"), closing="5.00")
    bank_says(people.bank, opening="9.00", closing="9.00", number=3, days=("2026-03-25", "2026-03-31"))
    with pytest.raises(errors.StatementsDoNotJoin) as caught:
        run(people)
    assert caught.value.fields["difference_minor"] == 4_00
    assert reconciliation.latest(DB, people.bank) is None


def test_nothing_to_reconcile_is_said(people: cast.Cast) -> None:
    """No statement, or none that ends by the day asked for."""
    with pytest.raises(errors.NothingToReconcile):
        run(people)
    bank_says(people.bank, closing="0")
    with pytest.raises(errors.NothingToReconcile):
        run(people, to=dt.date(2026, 3, 1))


def test_a_reversed_posting_the_bank_never_saw_is_no_break(people: cast.Cast) -> None:
    """A mistake put right in the ledger leaves nothing to explain."""
    cast.post([top_up(1, people, 10_00, "OOPS")])
    cast.post(
        [
            ask(
                2,
                people.wang,
                people.bank,
                10_00,
                reverses_id=cast.an_id(1),
                reason="typed twice",
                value_date=DAY,
            )
        ]
    )
    bank_says(people.bank, closing="0")
    found = run(people)
    assert (found.breaks, found.matched_by["reversed"]) == ((), 1)


def test_a_payout_counts_when_it_is_posted_not_when_it_is_held(people: cast.Cast) -> None:
    """A pending transfer moves nothing at the bank; its posting does, under the reference it was held by."""
    cast.post([top_up(1, people, 100_00, "A")])
    held = cast.authorised(people.wang, people.bank, 30_00, code=Code.WITHDRAWAL, payee="6222 01")
    more = {"authorisation": held, "payee": "6222 01", "value_date": DAY}
    cast.post(
        [ask(2, people.wang, people.bank, 30_00, "withdrawal", kind="pending", reference="OUT-1", **more)]
    )
    bank_says(people.bank, paid("A", "100.00"), closing="100.00")
    assert run(people).breaks == ()


def test_only_who_may_reconciles(people: cast.Cast) -> None:
    """A customer does not."""
    with pytest.raises(AccessDenied):
        reconciliation.reconcile(DB, BOOK, people.bank, actor=cast.WANG_FANG, now=cast.NOW)
    with pytest.raises(errors.NotAControlAccount):
        reconciliation.reconcile(DB, BOOK, people.wang, actor=cast.OPERATIONS, now=cast.NOW)


def test_evidence_tells_both_totals(people: cast.Cast) -> None:
    """One event a run, with the position read, both totals and the digest."""
    cast.post([top_up(1, people, 5_00, "A")])
    bank_says(people.bank, paid("A", "5.00"), closing="5.00")
    found = run(people)
    (event,) = log.events(DB, kind="custody.reconciled")
    assert event.payload is not None
    assert event.payload["digest"] == found.summary.digest.hex()
    assert event.payload["bank_balance_minor"] == "500"


def test_a_reconciliation_that_does_not_explain_cannot_be_written(
    ledger_database: TestDatabase, people: cast.Cast
) -> None:
    """By hand either: the table holds only what is explained to the last unit."""
    cast.post([top_up(1, people, 5_00, "A")])
    bank_says(people.bank, paid("A", "5.00"), closing="5.00")
    run(people)
    with (
        psycopg.connect(ledger_database.conninfo(DatabaseRole.APP)) as connection,
        pytest.raises(psycopg.errors.CheckViolation),
    ):
        connection.execute(
            "insert into custody_reconciliation (book_id, bank_account_id, cut_off, position, bank_balance_minor,"
            " ledger_balance_minor, unexplained_minor, matched, breaks, window_days, timing_days, digest, at, actor)"
            " select book_id, bank_account_id, cut_off, position, 1, 2, 1, 0, 0, 3, 3, digest, at, actor"
            " from custody_reconciliation"
        )


CHANNEL = Mapping(
    name="a-channel",
    kind="settlement",
    columns=Named(
        booking_date="day", gross="gross", fee="fee", end_to_end_id="order", settlement="payout", net="net"
    ),
    date_format="%Y-%m-%d",
    decimal=".",
    currency="CNY",
    account="CHANNEL-1",
)


def channel_says(bank: int, *rows: str) -> None:
    """Import a channel's file: order, gross, fee, net, payout."""
    content = "\n".join(("day,order,gross,fee,net,payout", *(f"{DAY},{row}" for row in rows), "")).encode()
    statement_files.import_bytes(
        DB, "channel.csv", content, bank_account=bank, mappings=[CHANNEL], actor=cast.OPERATIONS, now=cast.NOW
    )


def test_a_channel_is_the_third_side(people: cast.Cast) -> None:
    """Two payments, gross in the ledger, came net in one sum; the fees nobody booked are one break."""
    cast.post([top_up(1, people, 100_00, "P-1"), top_up(2, people, 50_00, "P-2")])
    channel_says(people.bank, "P-1,100.00,0.60,99.40,OUT-1", "P-2,50.00,0.30,49.70,OUT-1")
    bank_says(people.bank, paid("OUT-1", "149.10"), closing="149.10")
    found = run(people)
    (group,) = found.groups
    assert (str(group.rule), group.positions, len(group.channel)) == ("settlement_reference", (1, 2), 2)
    (fee,) = found.breaks
    assert (fee.kind, fee.effect_minor, fee.twin) == ("missing_in_ledger", -90, matching.FEE)
    assert (found.summary.unexplained_minor, found.matched_by["settlement"]) == (0, 1)


def test_a_payment_of_the_channel_that_the_ledger_has_not_is_a_break_on_its_own_line(
    people: cast.Cast,
) -> None:
    """It names the line of the channel's file, and what is missing is what reached the bank."""
    cast.post([top_up(1, people, 99_40, "P-1")])
    channel_says(people.bank, "P-1,100.00,0.60,99.40,OUT-1", "P-2,50.00,0.30,49.70,OUT-1")
    bank_says(people.bank, paid("OUT-1", "149.10"), closing="149.10")
    (missing,) = run(people).breaks
    assert (missing.kind, missing.effect_minor, missing.reference) == ("missing_in_ledger", 49_70, "P-2")
    assert (missing.file, missing.line, missing.bank_minor) == ("stm_1", 3, 49_70)


def test_a_batch_is_one_line_for_several(people: cast.Cast) -> None:
    """Several postings under the reference of the bank's one line; the group names them."""
    cast.post([top_up(n, people, 10_00 * n, "BATCH-7") for n in (1, 2, 3)])
    bank_says(people.bank, paid("BATCH-7", "60.00"), closing="60.00")
    found = run(people)
    assert [(str(each.rule), each.positions) for each in found.groups] == [("same_reference", (1, 2, 3))]
    assert (found.breaks, found.summary.matched, found.matched_by["sum"]) == ((), 1, 1)


def test_a_batch_is_its_transactions(people: cast.Cast) -> None:
    """An entry of the bank with three transactions inside is the three ledger lines that they name."""
    cast.post([top_up(n, people, 10_00 * n, f"TRF-{n}") for n in (1, 2, 3)])
    parts = "".join(
        f"<TxDtls><Refs><EndToEndId>TRF-{n}</EndToEndId></Refs>"
        f'<AmtDtls><TxAmt><Amt Ccy="CNY">{10 * n}.00</Amt></TxAmt></AmtDtls></TxDtls>'
        for n in (1, 2, 3)
    )
    dates = f"<BookgDt><Dt>{DAY}</Dt></BookgDt><ValDt><Dt>{DAY}</Dt></ValDt>"
    entry = camt_entry("60.00", "CRDT", currency="CNY", details=parts, dates=dates)
    bank_says(people.bank, entry, closing="60.00")
    found = run(people)
    assert [(str(each.rule), each.positions) for each in found.groups] == [("batch", (1, 2, 3))]
    assert (found.breaks, found.matched_by["sum"]) == ((), 1)


def test_progress_is_told(people: cast.Cast) -> None:
    """What is read, how far, and of how much."""
    cast.post([top_up(1, people, 5_00, "A")])
    bank_says(people.bank, paid("A", "5.00"), closing="5.00")
    told: list[tuple[str, int, int]] = []
    run(people, told=lambda what, done, of: told.append((what, done, of)))
    assert told == [("ledger", 1, 0), ("statements", 1, 1), ("match", 0, 1), ("match", 1, 1)]


@pytest.mark.slow
def test_right_after_a_bulk_load_it_is_as_fast_and_in_little_memory(people: cast.Cast) -> None:
    """Thirty thousand lines a side, of which the planner has never heard: seconds, and some hundred bytes each."""
    lines = 30_000
    for start in range(0, lines, 6_000):
        cast.post([top_up(n + 1, people, 1_00 + n, f"TRF-{n:09d}") for n in range(start, start + 6_000)])
    total = sum(1_00 + n for n in range(lines))
    bank_says(
        people.bank,
        *(paid(f"TRF-{n:09d}", f"{(1_00 + n) / 100:.2f}") for n in range(lines)),
        closing=f"{total / 100:.2f}",
    )
    began = time.monotonic()
    found = run(people)
    seconds = time.monotonic() - began
    assert (found.breaks, found.summary.matched) == ((), lines)
    tracemalloc.start()
    run(people)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A table read for every row of another would take minutes.
    assert seconds < 30
    assert peak < 2 * lines * 300


def held(number: int, opening: int, closing: int, day: dt.date = DAY) -> statement_files.Held:
    return statement_files.Held(number, "stm_1", 1, "A", "CNY", "", None, None, day, day, opening, closing, 0)


def test_statements_of_one_day_are_put_in_the_order_in_which_they_join() -> None:
    """Three a day, unnumbered, in any order: each opens with what the one before closed with."""
    given = [held(1, 0, 10, DAY - dt.timedelta(1)), held(2, 30, 5), held(3, 10, 20), held(4, 20, 30)]
    ordered = reconciliation.in_order(given)
    assert [each.id for each in ordered] == [1, 3, 4, 2]
    reconciliation.joined(ordered)

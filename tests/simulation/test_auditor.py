"""The auditor finds nothing in a sound book, and finds whatever is changed in one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tallystick.core.db import APP, AUDITOR
from tallystick.custody import ledger, posting
from tallystick.custody.numbers import BookId
from tallystick.simulation import auditor, demonstration, scenarios, stage, world
from tallystick.simulation.auditor import Rows
from tallystick.simulation.workload import Workload, set_up

POSTED, PENDING, POST_PENDING = 1, 2, 3


@pytest.fixture(scope="module")
def rows(ledger_database_module: Any) -> Rows:
    """A played world of 1,500 transfers, as the auditor's role reads it."""
    place = world.make(seed=3, customers=40, first_day=date(2026, 7, 21), last_day=date(2026, 10, 20))
    played = demonstration.play(APP, list(scenarios.generate(place, 1_500)), 1_500, demonstration.silent)
    read = auditor.read(AUDITOR, played.book)
    posting.in_process().close()
    return read


def test_a_sound_book_has_no_findings_and_adds_up(rows: Rows) -> None:
    report = auditor.audit(rows)
    assert auditor.told(report.findings) == ""
    assert report.transfers == 1_500
    owed = sum(report.of_family(each) for each in (auditor.CLIENT, auditor.OWN, auditor.SUSPENSE))
    assert owed == report.of_family(auditor.EXTERNAL) > 0


def nth(rows: Rows, which: Callable[[auditor.Transfer], bool]) -> int:
    """The index of the first transfer like this, in the second half of the book."""
    return next(i for i, each in enumerate(rows.transfers) if i > 500 and which(each))


def changed(rows: Rows, which: Callable[[auditor.Transfer], bool], **fields: object) -> Rows:
    i = nth(rows, which)
    transfer = rows.transfers[i]._replace(**fields)  # type: ignore[arg-type]
    return replace(rows, transfers=(*rows.transfers[:i], transfer, *rows.transfers[i + 1 :]))


def family(account: int) -> int:
    return account // 10**14 % 10


def is_client_debit(each: auditor.Transfer) -> bool:
    return each.kind == POSTED and family(each.debit) == 1 and each.reverses_position is None


def is_top_up(each: auditor.Transfer) -> bool:
    return each.kind == POSTED and each.code == 1


def without_transfer(rows: Rows) -> Rows:
    return replace(rows, transfers=rows.transfers[:700] + rows.transfers[701:])


def with_transfer_twice(rows: Rows) -> Rows:
    again = rows.transfers[700]._replace(position=len(rows.transfers) + 1)
    return replace(rows, transfers=(*rows.transfers, again))


def entry_changed(rows: Rows) -> Rows:
    entry = rows.entries[900]
    return replace(
        rows,
        entries=(
            *rows.entries[:900],
            entry._replace(credits_posted=entry.credits_posted + 1),
            *rows.entries[901:],
        ),
    )


def authorisation_changed(rows: Rows, **fields: object) -> Rows:
    used = rows.transfers[nth(rows, is_client_debit)].authorisation
    return replace(
        rows,
        authorisations=tuple(
            each._replace(**fields) if each.number == used else each  # type: ignore[arg-type]
            for each in rows.authorisations
        ),
    )


def account_closed_before(rows: Rows) -> Rows:
    transfer = rows.transfers[nth(rows, is_top_up)]
    closed = auditor.State(transfer.credit, "closed", True, None, transfer.recorded_at - timedelta(minutes=1))
    return replace(rows, states=(*rows.states, closed))


CORRUPTIONS: dict[str, tuple[str, Callable[[Rows], Rows]]] = {
    "transfer_removed": ("gap_free", without_transfer),
    "transfer_doubled": ("id_once", with_transfer_twice),
    "amount_raised": ("entries", lambda rows: changed(rows, is_top_up, amount_minor=999_999)),
    "amount_of_a_debit_raised": (
        "authorised",
        lambda rows: changed(rows, is_client_debit, amount_minor=10**13),
    ),
    "overdrawn": ("never_negative", lambda rows: changed(rows, is_client_debit, amount_minor=10**13)),
    "payee_altered": (
        "authorised",
        lambda rows: changed(rows, lambda t: bool(t.payee) and t.kind <= 2, payee="x"),
    ),
    "credited_to_another_client": (
        "authorised",
        lambda rows: changed(rows, is_client_debit, credit=rows.transfers[600].debit),
    ),
    "taken_as_own_money": (
        "own_money_apart",
        lambda rows: changed(
            rows, is_top_up, credit=next(t.credit for t in rows.transfers if family(t.credit) == 2)
        ),
    ),
    "word_forgotten": ("authorised", lambda rows: changed(rows, is_client_debit, authorisation=None)),
    "recorded_earlier": (
        "time_order",
        lambda rows: changed(rows, is_top_up, recorded_at=datetime(2026, 7, 1, tzinfo=UTC)),
    ),
    "settled_again": (
        "settlement",
        lambda rows: changed(
            rows,
            lambda t: t.kind == POST_PENDING,
            pending_position=next(t.pending_position for t in rows.transfers if t.kind == POST_PENDING),
        ),
    ),
    "entry_changed": ("entries", entry_changed),
    "entry_removed": ("entries", lambda rows: replace(rows, entries=rows.entries[1:])),
    "use_removed": ("uses", lambda rows: replace(rows, uses=rows.uses[:-1])),
    "use_understated": (
        "uses",
        lambda rows: replace(rows, uses=(rows.uses[0]._replace(used_minor=1), *rows.uses[1:])),
    ),
    "authorisation_left_out": (
        "authorised",
        lambda rows: replace(rows, authorisations=rows.authorisations[:5]),
    ),
    "authorisation_ended_before": (
        "authorised",
        lambda rows: authorisation_changed(rows, valid_until=datetime(2026, 7, 22, tzinfo=UTC)),
    ),
    "authorisation_withdrawn_before": (
        "authorised",
        lambda rows: authorisation_changed(rows, withdrawn_at=datetime(2026, 7, 22, tzinfo=UTC)),
    ),
    "account_closed_before": ("state", account_closed_before),
    "account_never_opened": ("account_known", lambda rows: replace(rows, states=rows.states[5:])),
}


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_the_auditor_finds(corruption: str, rows: Rows) -> None:
    check, corrupt = CORRUPTIONS[corruption]
    found = {each.check for each in auditor.audit(corrupt(rows)).findings}
    assert check in found


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_is_asked_the_book_is_sound(seed: int, ledger_database: Any) -> None:
    """A random stream of sound and unsound requests leaves a book in which the auditor finds nothing."""
    now = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
    place = set_up(APP, BookId(1), clients=12, now=now)
    stream = Workload(seed, place)
    refused = accepted = 0
    try:
        for size in (1, 7, 60, 200, 400, 33):
            now += timedelta(seconds=1)
            results = ledger.post(APP, place.book, stream.batch(size), actor=stage.ACTOR, now=now)
            accepted += int(((results.refusal == 0) & ~results.replayed).sum())
            refused += int((results.refusal != 0).sum())
    finally:
        posting.in_process().close()
    report = auditor.audit(auditor.read(AUDITOR, place.book))
    assert auditor.told(report.findings) == "", f"seed {seed}"
    assert report.transfers == accepted > 200
    assert refused > 50


def test_the_same_seed_asks_for_the_same(ledger_database: Any) -> None:
    place = set_up(APP, BookId(1), clients=5, now=datetime(2026, 3, 2, 2, 0, tzinfo=UTC))
    assert Workload(4, place).batch(50) == Workload(4, place).batch(50) != Workload(5, place).batch(50)

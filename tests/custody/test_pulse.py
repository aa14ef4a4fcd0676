"""The beat: no step and no book waits for another that fails, and looking in vain is rationed."""

from __future__ import annotations

import threading

import pytest

from tallystick import pulse
from tallystick.cli import posting
from tallystick.core.db import SEQUENCER
from tallystick.custody import books
from tallystick.custody.errors import PostingStopped
from tallystick.evidence import keys, log, publishing, sealing
from tests.custody.cast import BOOK, DB, NOW, OPENED, SIMULATION


@pytest.fixture(scope="module", autouse=True)
def two_books(ledger_database_module):
    for book in (1, 2):
        books.open_book(DB, book, f"Platform {book}", "UTC", actor=SIMULATION, now=OPENED)


def test_a_step_that_fails_is_told_and_the_next_ones_have_their_turn(monkeypatch, caplog):
    """Also those of the next beat, and the failing step itself."""
    took = []

    def fails(*_):
        took.append("fails")
        raise ZeroDivisionError

    def works(*_):
        took.append("works")
        return 3

    monkeypatch.setattr(pulse, "STEPS", (fails, works))
    beats = pulse.Pulse(lambda: 0.0)
    assert [beats.beat(DB, BOOK, NOW) for _ in range(2)] == [3, 3]
    assert took == ["fails", "works"] * 2
    assert "the step fails of book 1 failed" in caplog.text


def test_where_the_ledger_takes_nothing_no_step_of_the_book_goes_on(monkeypatch):
    def stopped(*_):
        raise PostingStopped("disk_full", "no space")

    monkeypatch.setattr(pulse, "STEPS", (stopped, lambda *_: pytest.fail("the ledger takes nothing")))
    with pytest.raises(PostingStopped):
        pulse.Pulse(lambda: 0.0).beat(DB, BOOK, NOW)


def test_a_step_that_found_nothing_rests_by_how_long_it_looked(monkeypatch):
    """Twenty times as long, a minute at most, each step of each book for itself; one that found something never."""
    time, cost, took = [0.0], {"dear": 10.0, "cheap": 0.01, "busy": 10.0}, []

    def step(name, found):
        def one(_, book, __):
            took.append((name, book))
            time[0] += cost[name]
            return found

        return one

    monkeypatch.setattr(pulse, "STEPS", tuple(map(step, cost, (0, 0, 1))))
    beats = pulse.Pulse(lambda: time[0])
    for at, expected in (
        (0, ["dear", "cheap", "busy"]),
        (30, ["cheap", "busy"]),
        (69, ["cheap", "busy"]),
        (71, ["dear", "cheap", "busy"]),
    ):
        time[0], took[:] = float(at), []
        beats.beat(DB, BOOK, NOW)
        assert (at, took) == (at, [(name, BOOK) for name in expected])
    time[0], took[:] = 72.0, []
    beats.beat(DB, 2, NOW)
    assert took == [(name, 2) for name in cost]


@pytest.mark.parametrize("fault", [ZeroDivisionError(), PostingStopped("read_only", "a replica")])
def test_a_book_whose_beat_fails_keeps_no_other_book_waiting(monkeypatch, fault):
    stopping, had_their_turn = threading.Event(), []

    class Beats:
        def __init__(self, clock):
            pass

        def beat(self, _, book, __):
            had_their_turn.append(book)
            if book == 1:
                raise fault
            stopping.set()
            return 0

        def seal(self, *_):
            return 0

    class Idle:
        is_busy = False

    monkeypatch.setattr(pulse, "Pulse", Beats)
    posting._beat(stopping, Idle())
    assert had_their_turn == [1, 2]


def test_everything_is_sealed_and_published_after_the_beats(tmp_path):
    keys.open_logs(SEQUENCER, "pulse.example", actor=SIMULATION.id, now=NOW)
    beats = pulse.Pulse(lambda: 0.0)
    assert (
        beats.seal(SEQUENCER, tmp_path, NOW) == log.count(DB) + 3
    )  # both openings are public, and a checkpoint
    assert publishing.published(tmp_path / "ledger").size == log.count(DB)
    assert beats.seal(SEQUENCER, tmp_path, NOW) == 0


def test_sealing_that_fails_is_told_and_keeps_nothing_else_from_its_turn(monkeypatch, caplog, tmp_path):
    def fails(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(sealing.Sequencers, "seal", fails)
    monkeypatch.setattr(publishing, "publish", fails)
    assert pulse.Pulse(lambda: 0.0).seal(SEQUENCER, tmp_path, NOW) == 0
    assert "sealing failed" in caplog.text
    assert "publishing the logs failed" in caplog.text

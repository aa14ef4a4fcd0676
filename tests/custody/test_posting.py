"""The way to the writer: in process and over the socket, the same answers; stopped, it says so and goes on."""

from __future__ import annotations

import contextlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
from django.db import connections

from tallystick.core.postgres import Role
from tallystick.custody import book_writer, history, ledger, posting, transfers
from tallystick.custody.errors import OutcomeUnknown, PostingStopped
from tests.custody import cast
from tests.custody.cast import BOOK, DB, NOW, SIMULATION, an_id, ask


def posted(requests, now=NOW) -> ledger.Results:
    return ledger.post(DB, BOOK, requests, actor=SIMULATION, now=now)


@pytest.fixture
def people(ledger_database):
    return cast.opened()


@pytest.fixture
def serving(people, tmp_path):
    """The posting process's server, as a thread; yields its socket."""
    path = tmp_path / "posting.sock"
    within = posting.InProcess()
    server = posting.serve(path, within)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield path
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        within.close()


# ── over the socket ──────────────────────────────────────────────────────────────────────────────────────


def test_the_socket_gives_the_answers_of_the_process_itself(people, serving):
    requests = [
        ask(1, people.bank, people.wang, 100_00, reference="王芳", metadata={"a": [1, None]}),
        ask(2, people.wang, people.li, 1, "lend"),
        ask(3, people.bank, people.wang, 5, kind="pending", expires_at=NOW + timedelta(hours=1)),
        transfers.TransferRequest(id=an_id(4), kind="post_pending", pending_id=an_id(3)),
        ask(5, people.bank, people.wang, 7, linked=True),
        ask(6, people.wang, people.bank, 5, "correction", reverses_id=an_id(4), reason="in error"),
    ]
    posting.use(posting.OverSocket(serving))
    over = posted(requests)
    posting.use(posting.InProcess())
    within = posted(requests)
    posting.gateway().close()
    for column in ("refusal", "position", "amount", "after"):
        assert (getattr(over, column) == getattr(within, column)).all(), column
    assert within.replayed.all()
    assert over.refusal_of(1).__name__ == "AuthorisationMissing"


def test_many_threads_share_one_socket_and_each_gets_its_own_answer(people, serving):
    posting.use(posting.OverSocket(serving))

    def one(n: int) -> int:
        results = posted([ask(n, people.bank, people.wang, n)])
        assert results.amount.tolist() == [n]
        return int(results.position[0])

    with ThreadPoolExecutor(16) as pool:
        positions = list(pool.map(one, range(1, 101)))
    assert sorted(positions) == list(range(1, 101))


def test_a_client_that_dies_after_asking_leaves_its_transfer_posted_once(people, serving):
    """Cut off before the answer; the same ids asked again get it."""

    class Deaf(posting.OverSocket):
        def _connection(self) -> socket.socket:
            connection = super()._connection()
            connection.shutdown(socket.SHUT_RD)
            return connection

    requests = [ask(1, people.bank, people.wang, 100_00)]
    posting.use(Deaf(serving))
    with pytest.raises(OutcomeUnknown):
        posted(requests)
    posting.use(posting.OverSocket(serving))
    assert posted(requests).position.tolist() == [1]
    assert history.balance(DB, people.wang).balance_minor == 100_00


def test_what_is_no_request_ends_the_connection_and_nothing_else(people, serving):
    for junk in (b"\x00\x00\x00\x05junk!", b"\xff\xff\xff\xff", b"\x00\x00", b"\x00\x00\x00\x01\x80"):
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
            connection.connect(str(serving))
            connection.sendall(junk)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(100) == b""
    posting.use(posting.OverSocket(serving))
    assert posted([ask(1, people.bank, people.wang, 1)]).position.tolist() == [1]


def test_without_a_posting_process_posting_has_stopped_and_says_so(people, tmp_path):
    posting.use(posting.OverSocket(tmp_path / "nobody.sock"))
    with pytest.raises(PostingStopped) as stopped:
        posted([ask(1, people.bank, people.wang, 1)])
    assert stopped.value.state == "posting_unreachable"
    assert not isinstance(stopped.value, OutcomeUnknown), "nothing was sent"


def test_a_refusal_to_post_crosses_the_socket_as_it_is(people, serving):
    posting.use(posting.OverSocket(serving))
    posted([ask(1, people.bank, people.wang, 1)])
    with pytest.raises(PostingStopped) as stopped:
        posted([ask(2, people.bank, people.wang, 1)], NOW - timedelta(hours=1))
    assert stopped.value.state == "clock_stepped_back"


# ── stopped, and going on ────────────────────────────────────────────────────────────────────────────────


def test_a_clock_that_steps_back_stops_posting_until_it_has_caught_up(people):
    posted([ask(1, people.bank, people.wang, 1)])
    # A few seconds: the book's time stands still.
    results = posted([ask(2, people.bank, people.wang, 1)], NOW - timedelta(seconds=4))
    assert results.recorded_at.tolist() == [transfers.microseconds(NOW)]
    with pytest.raises(PostingStopped) as stopped:
        posted([ask(3, people.bank, people.wang, 1)], NOW - timedelta(seconds=6))
    assert stopped.value.state == "clock_stepped_back"
    posting.close()
    with pytest.raises(PostingStopped):
        posted([ask(3, people.bank, people.wang, 1)], NOW - timedelta(days=1))
    assert posted([ask(3, people.bank, people.wang, 1)], NOW + timedelta(seconds=1)).position.tolist() == [3]


def test_a_read_only_database_stops_posting_and_nothing_is_lost(ledger_database, people):
    posted([ask(1, people.bank, people.wang, 1)])
    with psycopg.connect(ledger_database.superuser, autocommit=True) as superuser:

        def sessions_end() -> None:
            superuser.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = %s and datname = %s",
                [str(Role.WRITER), ledger_database.name],
            )

        superuser.execute(f"alter database {ledger_database.name} set default_transaction_read_only = on")
        sessions_end()
        states = []
        for _ in range(4):
            with pytest.raises(PostingStopped) as stopped:
                posted([ask(2, people.bank, people.wang, 2)])
            states.append(stopped.value.state)
        assert states[-2:] == ["read_only", "read_only"]
        superuser.execute(f"alter database {ledger_database.name} reset default_transaction_read_only")
    # By itself: a session that was read-only is not kept.
    with contextlib.suppress(PostingStopped):
        posted([ask(2, people.bank, people.wang, 2)])
    results = posted([ask(2, people.bank, people.wang, 2)])
    assert results.position.tolist() == [2]
    connections[DB].close()
    assert history.balance(DB, people.wang).balance_minor == 3


def test_beyond_the_backlog_a_request_is_told_that_the_book_is_busy(ledger_database, people, monkeypatch):
    posted([ask(1, people.bank, people.wang, 1)])
    monkeypatch.setattr(book_writer, "BACKLOG_MAX", 100)
    with psycopg.connect(ledger_database.superuser) as holding:
        holding.execute("select pg_advisory_xact_lock(1952541804, %s)", [BOOK])
        waiting = [
            posting.in_process().submit(
                DB,
                BOOK,
                transfers.columns([ask(100 * call + n, people.bank, people.wang, 1) for n in range(50)]),
                actor=SIMULATION.id,
                now=transfers.microseconds(NOW),
            )
            for call in (1, 2)
        ]
        with pytest.raises(PostingStopped) as stopped:
            posted([ask(2, people.bank, people.wang, 1)])
        assert stopped.value.state == "busy"
        holding.rollback()
    assert [future.result(30).accepted for future in waiting] == [50, 50]
    assert posted([ask(2, people.bank, people.wang, 1)]).position.tolist() == [102]

"""What is stored is what PostgreSQL copies out, byte for byte, so that anybody can recompute a digest."""

from __future__ import annotations

import hashlib
import json

import psycopg
import pytest

from tallystick.core.postgres import Role
from tallystick.custody import book_writer, encoding, judgement, transfers
from tests.custody import streams
from tests.custody.cast import BOOK
from tests.custody.test_ledger import opened_world, posted

COPY = (
    f"copy (select {', '.join(encoding.TRANSFER_COLUMNS)} from custody_transfer where book_id = {BOOK}"
    " and position between {} and {} order by position) to stdout (format binary)"
)


@pytest.mark.parametrize("way", ["copied", "called"])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_evidences_digest_is_that_of_the_rows_that_postgresql_hands_out(
    ledger_database, seed, way, monkeypatch
):
    """Every shape of row: settlements, reversals, chains, balancing, expiries, texts in Chinese; both ways in."""
    monkeypatch.setattr(book_writer, "COPIED_MIN", 0 if way == "copied" else 1_000)
    model = opened_world(streams.world(), BOOK)
    for call, now in streams.calls(streams.stream(model, seed, 150), seed):
        posted(call, now)
    with psycopg.connect(ledger_database.conninfo(Role.AUDITOR)) as connection:
        told = [
            json.loads(payload)
            for (payload,) in connection.execute(
                "select p.payload from evidence_outbox o join evidence_payload p on p.event_id = o.id"
                " where o.kind = 'custody.transfers_posted' order by o.id"
            )
        ]
        batches = [each for each in told if each["transfers"]]
        assert len(batches) > 20
        for each in batches:
            with connection.cursor().copy(COPY.format(each["first_position"], each["last_position"])) as copy:
                rows = b"".join(bytes(data) for data in copy)
            assert rows.startswith(encoding.HEADER)
            assert rows.endswith(encoding.TRAILER)
            rows = rows[len(encoding.HEADER) : -len(encoding.TRAILER)]
            assert hashlib.sha256(rows).hexdigest() == each["sha256"], each


def test_rows_come_in_the_order_of_positions_however_many_shapes_a_batch_has():
    """The same transfers in one batch and in batches of one give the same bytes."""
    model = streams.world()
    calls = streams.calls(streams.stream(model, 3, 120), 3)
    together, apart = streams.memory(model), streams.memory(model)
    for call, now in calls:
        at, today = transfers.microseconds(now), transfers.day_number(now.date())
        batch = transfers.columns(call)
        whole = judgement.in_order(together, batch, at, today)
        if not whole.is_posted.any() or batch.linked.any():
            judgement.in_order(apart, batch, at, today)
            continue
        rows = encoding.copied(whole, BOOK).transfers
        singles = b""
        for each in call:
            one = judgement.in_order(apart, transfers.columns([each]), at, today)
            if one.is_posted.any():
                row = encoding.copied(one, BOOK).transfers
                singles += row[len(encoding.HEADER) : -len(encoding.TRAILER)]
        assert rows == encoding.HEADER + singles + encoding.TRAILER

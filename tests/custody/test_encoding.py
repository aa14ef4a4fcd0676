"""What is stored is what PostgreSQL copies out, byte for byte, so that anybody can recompute a digest."""

from __future__ import annotations

import hashlib
import json

import psycopg
import pytest

from tallystick.core.postgres import Role
from tallystick.custody import book_writer, encoding, judgement, transfers
from tallystick.evidence import batches
from tests.custody import streams
from tests.custody.cast import BOOK
from tests.custody.test_ledger import opened_world, posted

SALT = b"s" * 32
COPY = (
    f"copy (select {', '.join(encoding.TRANSFER_COLUMNS)} from custody_transfer where book_id = {BOOK}"
    " and position between {} and {} order by position) to stdout (format binary)"
)


@pytest.mark.parametrize("way", ["copied", "called"])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_evidences_digest_and_root_are_those_of_the_rows_that_postgresql_hands_out(
    ledger_database, seed, way, monkeypatch
):
    """Every shape of row: settlements, reversals, chains, balancing, expiries, texts in Chinese; both ways in."""
    monkeypatch.setattr(book_writer, "COPIED_MIN", 0 if way == "copied" else 1_000)
    model = opened_world(streams.world(), BOOK)
    for call, now in streams.calls(streams.stream(model, seed, 150), seed):
        posted(call, now)
    with psycopg.connect(ledger_database.conninfo(Role.AUDITOR)) as connection:
        told = [
            (json.loads(payload), salt, root, leaves)
            for payload, salt, root, leaves in connection.execute(
                "select p.payload, p.salt, o.root, o.leaves"
                " from evidence_outbox o join evidence_payload p on p.event_id = o.id"
                " where o.kind = 'custody.transfers_posted' order by o.id"
            )
        ]
        assert all((root is None) == (each["transfers"] == 0) for each, _, root, _ in told)
        posted_batches = [each for each in told if each[0]["transfers"]]
        assert len(posted_batches) > 20
        for each, salt, root, leaves in posted_batches:
            with connection.cursor().copy(COPY.format(each["first_position"], each["last_position"])) as copy:
                parts = [bytes(data) for data in copy]
            rows = b"".join(parts)
            # PostgreSQL sends a row at a time: the first with the header, the trailer by itself.
            parts = [parts[0].removeprefix(encoding.HEADER), *parts[1:-1]]
            assert leaves == batches.leaves(parts, salt, each["transfers"])
            assert root == batches.root(leaves)
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
        rows = encoding.copied(whole, BOOK, SALT).transfers
        singles = b""
        for each in call:
            one = judgement.in_order(apart, transfers.columns([each]), at, today)
            if one.is_posted.any():
                row = encoding.copied(one, BOOK, SALT).transfers
                singles += row[len(encoding.HEADER) : -len(encoding.TRAILER)]
        assert rows == encoding.HEADER + singles + encoding.TRAILER

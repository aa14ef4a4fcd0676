"""fsck finds whatever the owner of the database changes behind the log's back, and names the row or the file."""

from __future__ import annotations

import shutil
from datetime import timedelta

import pytest
from django.db import connections, transaction

from tallystick.core.db import APP, AUDITOR, OWNER, SEQUENCER
from tallystick.custody import sealed_transfers
from tallystick.evidence import fsck, keys, log, publishing, reading, sealing
from tallystick.evidence.keys import LEDGER
from tests.custody.cast import NOW, ask, opened, post


def check(folder):
    report = fsck.check(AUDITOR, folder=folder, beside=(sealed_transfers.compare,))
    return {(each.kind, each.place) for each in report.findings}


@pytest.fixture(scope="module")
def house(ledger_database_module, tmp_path_factory):
    """A log of some hundred entries, several checkpoints, three batches of transfers, all published."""
    folder = tmp_path_factory.mktemp("evidence")
    keys.open_logs(SEQUENCER, "first.example", actor="system:cli", now=NOW)
    cast = opened()
    post([ask(n, cast.bank, cast.wang, 100 + n) for n in range(1, 6)])
    sealing.seal(SEQUENCER, now=NOW)
    with transaction.atomic(using=APP):
        log.append_many(
            APP, [log.row("identity.signed_in", {"n": n}, actor=f"usr_{n}", at=NOW) for n in range(560)]
        )
    sealing.seal(SEQUENCER, now=NOW, limit=150)
    post([ask(n, cast.bank, cast.li, 100 + n) for n in range(6, 9)], NOW + timedelta(seconds=1))
    post(
        [ask(n, cast.bank, cast.li, 100 + n, reference="a") for n in range(9, 12)], NOW + timedelta(seconds=2)
    )
    sealing.seal(SEQUENCER, now=NOW)
    publishing.publish(SEQUENCER, folder)
    return ledger_database_module, folder


def test_what_was_sealed_and_published_is_clean(house):
    assert check(house[1]) == set()


TABLES = (
    "evidence_outbox evidence_log evidence_entry evidence_tile evidence_checkpoint evidence_key evidence_key_change"
    " custody_transfer custody_entry custody_batch"
).split()

SWAP_ENTRIES = [
    "update evidence_entry set seq = 1000000 where log_id = 1 and seq = {0}",
    "update evidence_entry set seq = {0} where log_id = 1 and seq = {1}",
    "update evidence_entry set seq = {1} where log_id = 1 and seq = 1000000",
]


def swapped(first, second):
    return [statement.format(first, second) for statement in SWAP_ENTRIES]


LAST = "(select max(seq) from evidence_entry where log_id = 1)"
OTHER = "set body = overlay(body placing 'X' from 12)"
NEXT = "(select max(size) from evidence_checkpoint where log_id = 1)"

# Entry 100 seals evt_101: nothing else was going on. {last}, {size}: of the ledger's log.
EDITS = {
    "entry_edited": (
        [f"update evidence_entry {OTHER} where log_id = 1 and seq = 100"],
        {("entry_edited", "ledger entry 100")},
    ),
    "entry_edited_at_the_end": (
        [f"update evidence_entry {OTHER} where log_id = 1 and seq = {LAST}"],
        {("entry_edited", "ledger entry {last}")},
    ),
    "entry_and_its_event_edited": (
        [
            "update evidence_outbox set actor = replace(actor, 'usr_', 'usr_6') where id = 101",
            "update evidence_entry set body = replace(encode(body, 'escape'), 'usr_', 'usr_6')::bytea"
            " where log_id = 1 and seq = 100",
        ],
        {("entry_edited", "ledger entry 100"), ("event_edited", "evt_101")},
    ),
    "entry_dropped": (
        ["delete from evidence_entry where log_id = 1 and seq = 100"],
        {("entry_missing", "ledger entry 100"), ("event_unsealed", "evt_101")},
    ),
    "entry_dropped_at_the_end": (
        [f"delete from evidence_entry where log_id = 1 and seq = {LAST}"],
        {("entry_missing", "ledger entry {last}"), ("event_unsealed", "evt_{size}")},
    ),
    "entry_inserted": (
        [
            "insert into evidence_outbox (id, kind, at, actor, commitment) values (5000, 'a.b', now(), 'x', '')",
            f"insert into evidence_entry select 1, {LAST} + 1, 5000, null, body from evidence_entry where seq = 0"
            " and log_id = 1",
        ],
        {("entry_unsigned", "ledger entry {size}"), ("payload_missing", "evt_5000")},
    ),
    "entries_reordered": (
        swapped(100, 101),
        {("entry_moved", "ledger entry 100"), ("entry_moved", "ledger entry 101")},
    ),
    "entries_reordered_at_the_end": (
        swapped("{last}", "{last} - 1"),
        {("entry_moved", "ledger entry {last}"), ("entry_moved", "ledger entry {before_last}")},
    ),
    "event_edited": (
        ["update evidence_outbox set recorded_at = recorded_at - interval '1 day' where id = 101"],
        {("event_edited", "evt_101")},
    ),
    "event_dropped": (
        ["delete from evidence_payload where event_id = 101", "delete from evidence_outbox where id = 101"],
        {("event_missing", "evt_101")},
    ),
    "event_inserted": (
        ["insert into evidence_outbox (id, kind, at, actor, commitment) values (0, 'a.b', now(), 'x', '')"],
        {("event_unsealed", "evt_0")},
    ),
    "payload_edited": (
        ["update evidence_payload set payload = '{{}}' where event_id = 101"],
        {("payload_edited", "evt_101")},
    ),
    "payload_dropped": (
        ["delete from evidence_payload where event_id = 101"],
        {("payload_missing", "evt_101")},
    ),
    "payloads_reordered": (
        [
            "update evidence_payload p set payload = o.payload, salt = o.salt from evidence_payload o"
            " where p.event_id in (101, 102) and o.event_id = 203 - p.event_id"
        ],
        {("payload_edited", "evt_101"), ("payload_edited", "evt_102")},
    ),
    "tile_edited": (
        [
            "update evidence_tile set hashes = set_byte(hashes, 40, 255 - get_byte(hashes, 40))"
            " where log_id = 1 and number = 0"
        ],
        {("tile_edited", "ledger tile 0/0")},
    ),
    "tile_dropped": (
        ["delete from evidence_tile where log_id = 1 and number = 1"],
        {("tile_missing", "ledger tile 0/1")},
    ),
    "tile_inserted": (
        [
            "insert into evidence_tile select 1, 0, 9, hashes, root from evidence_tile where log_id = 1 and number = 1"
        ],
        {("tile_unknown", "ledger tile 0/9")},
    ),
    "tiles_reordered": (
        [
            "update evidence_tile t set hashes = o.hashes, root = o.root from evidence_tile o"
            " where t.log_id = 1 and o.log_id = 1 and o.number = 1 - t.number"
        ],
        {("tile_edited", "ledger tile 0/0"), ("tile_edited", "ledger tile 0/1")},
    ),
    "checkpoint_edited": (
        [f"update evidence_checkpoint set root = sha256('x') where log_id = 1 and size = {NEXT}"],
        {("checkpoint_edited", "ledger checkpoint {size}")},
    ),
    "checkpoints_note_edited": (
        [
            f"update evidence_checkpoint set note = replace(note, '/ledger', '/other') where log_id = 1 and size = {NEXT}"
        ],
        {
            ("checkpoint_forged", "ledger checkpoint {size}"),
            ("checkpoint_edited", "ledger checkpoint {size}"),
        },
    ),
    "checkpoint_dropped": (
        [f"delete from evidence_checkpoint where log_id = 1 and size = {NEXT} - 2"],
        {("checkpoint_missing", "ledger checkpoint {before}")},
    ),
    "checkpoint_inserted": (
        [
            "insert into evidence_checkpoint select 1, 7, root, note, 0, now() from evidence_checkpoint where log_id = 1"
            f" and size = {NEXT}"
        ],
        {("checkpoint_edited", "ledger checkpoint 7")},
    ),
    "transfer_edited": (
        ["update custody_transfer set payee = 'me' where position = 7"],
        {("transfer_edited", "book 1 position 7")},
    ),
    "transfers_amount_edited": (
        ["update custody_transfer set amount_minor = amount_minor + 1 where position = 10"],
        {("transfer_edited", "book 1 position 10")},
    ),
    "transfer_dropped": (
        ["delete from custody_transfer where position = 7"],
        {("transfer_missing", "book 1 position 7")},
    ),
    "transfer_inserted": (
        [
            "insert into custody_transfer (book_id, position, id, kind, code, debit_account, credit_account,"
            " amount_minor, value_date, at, recorded_at) select book_id, 12, gen_random_uuid(), kind, code,"
            " debit_account, credit_account, amount_minor, value_date, at, recorded_at from custody_transfer"
            " where position = 11"
        ],
        {("transfer_unsealed", "book 1 position 12")},
    ),
    "transfers_reordered": (
        [
            "update custody_transfer set position = 1000 where position = 7",
            "update custody_transfer set position = 7 where position = 8",
            "update custody_transfer set position = 8 where position = 1000",
        ],
        {("transfer_edited", "book 1 position 7"), ("transfer_edited", "book 1 position 8")},
    ),
    "leaves_edited": (
        [
            "update evidence_outbox set leaves = set_byte(leaves, 5, 255 - get_byte(leaves, 5)) where id ="
            " (select max(id) from evidence_outbox)"
        ],
        {("leaves_edited", "evt_{size}")},
    ),
}


SLOW = (
    "entry_edited_at_the_end entry_dropped_at_the_end entries_reordered_at_the_end payloads_reordered tile_inserted"
    " tiles_reordered checkpoints_note_edited transfers_amount_edited transfers_reordered entry_and_its_event_edited"
).split()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in EDITS]
)
def test_an_edit_by_the_databases_owner_is_found_and_named(house, name):
    """Nothing but what was edited is named; of the ledger's own tables the audit may name more."""
    statements, expected = EDITS[name]
    head = reading.head(APP, LEDGER)
    names = {
        "size": head.size, "last": head.size - 1, "before_last": head.size - 2, "before": head.size - 2
    }  # fmt: skip
    with transaction.atomic(using=OWNER):
        with connections[OWNER].cursor() as cursor:
            cursor.execute("set transaction isolation level repeatable read")
            for table in TABLES:
                cursor.execute(f"alter table {table} disable trigger user")
            for statement in statements:
                cursor.execute(statement.format(**names))
        found = fsck.check(OWNER, beside=(sealed_transfers.compare,)).findings
        transaction.set_rollback(True, using=OWNER)
    named = {(each.kind, each.place) for each in found if not each.kind.startswith("ledger_")}
    wanted = {(kind, place.format(**names)) for kind, place in expected}
    assert named == wanted


def test_a_log_cut_short_is_told_by_what_it_has_published(house):
    """Whoever cuts off the end of everything leaves tables that are sound in themselves."""
    size = reading.head(APP, LEDGER).size
    with transaction.atomic(using=OWNER):
        with connections[OWNER].cursor() as cursor:
            cursor.execute("set transaction isolation level repeatable read")
            for table in TABLES:
                cursor.execute(f"alter table {table} disable trigger user")
            for log_id in (1, 2):
                cursor.execute(
                    "delete from evidence_checkpoint where log_id = %s and size ="
                    " (select max(size) from evidence_checkpoint where log_id = %s)", [log_id, log_id],
                )  # fmt: skip
                cursor.execute(
                    "delete from evidence_entry where log_id = %s and seq >="
                    " (select max(size) from evidence_checkpoint where log_id = %s)", [log_id, log_id],
                )  # fmt: skip
        found = fsck.check(OWNER, folder=house[1]).findings
        transaction.set_rollback(True, using=OWNER)
    assert ("log_truncated", f"ledger checkpoint {size}") in {(each.kind, each.place) for each in found}


def edit(path):
    content = path.read_bytes()
    path.write_bytes(content[:50] + (b"Y" if content[50:51] == b"X" else b"X") + content[51:])


def swap(folder, first, second):
    one, two = (folder / first).read_bytes(), (folder / second).read_bytes()
    (folder / first).write_bytes(two)
    (folder / second).write_bytes(one)


TILE, BUNDLE = "ledger/tile/0/000", "ledger/tile/entries/001"

FILE_EDITS = {
    "tile_edited": (lambda at: edit(at / TILE), {("file_edited", f"ledger file {TILE[7:]}")}),
    "entries_edited": (lambda at: edit(at / BUNDLE), {("file_edited", f"ledger file {BUNDLE[7:]}")}),
    "tile_dropped": (lambda at: (at / TILE).unlink(), {("file_missing", f"ledger file {TILE[7:]}")}),
    "tiles_reordered": (
        lambda at: swap(at, TILE, "ledger/tile/0/001"),
        {("file_edited", f"ledger file {TILE[7:]}"), ("file_edited", "ledger file tile/0/001")},
    ),
    "stranger_inserted": (
        lambda at: (at / "ledger/tile/0/note.txt").write_text("x"),
        {("file_unknown", "ledger file tile/0/note.txt")},
    ),
    "tile_inserted": (
        lambda at: shutil.copy(at / TILE, at / "ledger/tile/0/009"),
        {("file_unknown", "ledger file tile/0/009")},
    ),
    "checkpoint_edited": (
        lambda at: edit(at / "public/checkpoint"),
        {("file_edited", "public file checkpoint")},
    ),
    "checkpoint_dropped": (
        lambda at: (at / "public/checkpoint").unlink(),
        {("file_missing", "public file checkpoint")},
    ),
}


@pytest.mark.parametrize("name", FILE_EDITS)
def test_an_edited_file_is_found_and_named(house, tmp_path, name):
    change, expected = FILE_EDITS[name]
    folder = shutil.copytree(house[1], tmp_path / "evidence")
    change(folder)
    assert {(each.kind, each.place) for each in fsck.check(AUDITOR, folder=folder).findings} == expected

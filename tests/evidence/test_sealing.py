"""What happened becomes entries under signed checkpoints: each event once, whatever overlapped, and nothing else."""

import json
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.db import DatabaseError, connections, transaction

from tallystick.core.db import APP, AUDITOR, SEQUENCER, WRITER
from tallystick.evidence import (
    batches,
    canonical,
    checkpoints,
    errors,
    hashing,
    keys,
    log,
    notes,
    publishing,
    reading,
    sealing,
    tlog_proof,
)
from tallystick.evidence.keys import LEDGER, PUBLIC

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
ACTOR = "system:cli"


def opened():
    keys.open_logs(SEQUENCER, "first.example", actor=ACTOR, now=NOW)


def happened(count=1, **more):
    with transaction.atomic(using=APP):
        return [
            log.append(APP, "identity.signed_in", {"n": n}, actor="usr_1", at=NOW, **more)
            for n in range(count)
        ]


def seal(**more):
    return sealing.seal(SEQUENCER, now=NOW, **more)


def checked(log_id):
    """The log's newest checkpoint, believed for its key alone, and its entries hashed once more."""
    head = reading.head(APP, log_id)
    note = reading.note(APP, log_id, head.size)
    checkpoint = checkpoints.open(note, keys.verifiers(APP, log_id), origin=head.origin)
    bodies = [reading.entry(APP, log_id, index) for index in range(head.size)]
    tree = hashing.Tree()
    tree.append(hashing.leaf_hashes(bodies))
    assert (checkpoint.size, checkpoint.root) == (head.size, tree.root())
    return [json.loads(body) for body in bodies]


def test_each_event_is_one_entry_in_its_order_and_the_log_signs_for_it(ledger_database):
    opened()
    ids = happened(5)
    assert seal() > 0
    entries = checked(LEDGER)
    assert [each["ref"] for each in entries] == [f"evt_{n}" for n in range(1, ids[-1] + 1)]
    told = log.event(APP, ids[0])
    assert entries[reading.index_of(APP, LEDGER, ids[0])] == {
        "by": "usr_1",
        "c": told.commitment.hex(),
        "rec": told.recorded_at.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z",
        "ref": f"evt_{ids[0]}",
        "t": "identity.signed_in",
        "ts": "2026-03-01T09:30:00.000000Z",
        "v": 1,
    }


def test_an_entry_is_canonical_json(ledger_database):
    opened()
    with transaction.atomic(using=APP):
        log.append(APP, "identity.signed_in", {}, actor='usr_"1"\n王', at=NOW + timedelta(microseconds=7))
        salt = bytes(32)
        log.append(APP, "custody.transfers_posted", {"n": 2}, actor="usr_1", at=NOW, salt=salt)
    seal()
    for log_id in (LEDGER, PUBLIC):
        for index in range(reading.head(APP, log_id).size):
            body = reading.entry(APP, log_id, index)
            assert body.decode() == canonical.text(json.loads(body))


def test_an_event_of_many_things_has_their_root_in_its_entry(ledger_database):
    opened()
    leaves = batches.leaves([b"a", b"b", b"c"], bytes(32), 3)
    row = log.row("custody.transfers_posted", {}, actor=ACTOR, at=NOW, salt=bytes(32), leaves=leaves)
    with psycopg.connect(ledger_database.conninfo("tallystick_ledger_writer")) as connection:
        connection.execute(log.insert_sql(), row.parameters())
    seal()
    told = checked(LEDGER)[-1]
    assert (told["n"], told["r"]) == (3, batches.root(leaves).hex())


def test_sealing_goes_on_where_it_was_left_and_when_idle_does_nothing(ledger_database):
    opened()
    sequencer = sealing.Sequencer(SEQUENCER, LEDGER)
    for count in (1, 300, 3, 700):
        happened(count)
        while sequencer.seal(now=NOW, limit=256):
            pass
    size = reading.head(APP, LEDGER).size
    assert size == log.count(APP)
    assert sequencer.seal(now=NOW) == 0
    # Another process, which keeps nothing in memory.
    happened(2)
    assert sealing.Sequencer(SEQUENCER, LEDGER).seal(now=NOW) == 2
    happened(2)
    assert sequencer.seal(now=NOW) == 2
    assert len(checked(LEDGER)) == size + 4


def test_an_event_that_commits_late_is_sealed_although_later_ones_were(ledger_database):
    opened()
    sequencer = sealing.Sequencer(SEQUENCER, LEDGER)
    row = log.row("identity.signed_in", {"late": True}, actor="usr_1", at=NOW)
    with psycopg.connect(ledger_database.conninfo("tallystick_app")) as slow:
        (late,) = slow.execute(log.insert_sql(), row.parameters()).fetchone()
        for _ in range(3):
            happened(2)
            assert sequencer.seal(now=NOW) > 0
        assert reading.head(APP, LEDGER).settled_event < late
        slow.commit()
    assert sequencer.seal(now=NOW) == 1
    assert checked(LEDGER)[-1]["ref"] == f"evt_{late}"
    happened()
    sequencer.seal(now=NOW)
    happened()
    sequencer.seal(now=NOW)
    assert reading.head(APP, LEDGER).settled_event > late


def test_an_event_that_never_commits_holds_nothing_up(ledger_database):
    opened()
    sequencer = sealing.Sequencer(SEQUENCER, LEDGER)
    row = log.row("identity.signed_in", {}, actor="usr_1", at=NOW)
    with psycopg.connect(ledger_database.conninfo("tallystick_app")) as slow:
        slow.execute(log.insert_sql(), row.parameters())
        happened()
        sequencer.seal(now=NOW)
        slow.rollback()
    for _ in range(2):
        last = happened()[-1]
        sequencer.seal(now=NOW)
    assert reading.head(APP, LEDGER).settled_event == last


def test_the_public_log_tells_each_checkpoint_of_the_ledgers_and_what_is_for_everybody(ledger_database):
    opened()
    happened(3)
    seal(limit=2)
    entries = checked(PUBLIC)
    told = [each for each in entries if each["t"] == sealing.CHECKPOINT_KIND]
    assert len(told) == 3
    for each in told:
        checkpoints.open(each["note"].encode(), keys.verifiers(APP, LEDGER), origin="first.example/ledger")
    events = [each for each in entries if each["t"] != sealing.CHECKPOINT_KIND]
    assert {each["t"] for each in events} == {"evidence.log_opened"}
    for each in events:
        salted = canonical.commitment(canonical.text(each["p"]), bytes.fromhex(each["s"]))
        assert salted.hex() == each["c"]
    assert seal() == 0


def test_a_proof_leads_from_an_entry_to_the_signed_checkpoint_and_old_logs_begin_new_ones(ledger_database):
    opened()
    happened(600)
    seal(limit=100)
    prover = reading.Prover(APP, LEDGER)
    verifiers = keys.verifiers(APP, LEDGER)
    for index, size in ((0, 100), (99, 100), (255, 300), (256, 602), (601, 602)):
        found = prover.inclusion(index, size)
        checkpoint = checkpoints.open(found.note, verifiers)
        leaf = hashing.leaf_hash(found.body)
        hashing.verify_inclusion(index, checkpoint.size, leaf, found.path, checkpoint.root)
        assert tlog_proof.parse(found.file).hashes == found.path
    old, new = (checkpoints.open(reading.note(APP, LEDGER, size), verifiers) for size in (300, 602))
    hashing.verify_consistency(300, old.root, 602, new.root, prover.consistency(300, 602))
    with pytest.raises(errors.EntryUnknown):
        prover.inclusion(602)
    with pytest.raises(errors.CheckpointUnknown):
        prover.inclusion(3, 301)


def test_nothing_is_built_on_what_was_tampered_with(ledger_database):
    opened()
    happened(3)
    seal()
    with psycopg.connect(ledger_database.superuser) as connection:
        connection.execute("alter table evidence_entry disable trigger all")
        connection.execute(
            "update evidence_entry set body = replace(encode(body, 'escape'), 'usr_1', 'usr_2')::bytea"
        )
    happened()
    with pytest.raises(errors.LogDamaged):
        seal()


def test_a_key_is_replaced_by_an_entry_that_both_keys_sign(ledger_database):
    opened()
    happened()
    seal()
    (first,) = keys.verifiers(APP, LEDGER)
    second = keys.rotate(SEQUENCER, LEDGER, reason="yearly", actor=ACTOR, now=NOW)
    seal()
    size = reading.head(APP, LEDGER).size
    both = checkpoints.open(reading.note(APP, LEDGER, size), [first])
    assert checkpoints.open(reading.note(APP, LEDGER, size), [notes.verifier(second)]) == both
    told = [each for each in checked(PUBLIC) if each["t"] == "evidence.key_rotated"]
    assert [(each["p"]["key"], each["p"]["replaces"]) for each in told] == [(second.text, [first.key.text])]
    happened()
    seal()
    note = reading.note(APP, LEDGER, reading.head(APP, LEDGER).size)
    assert checkpoints.open(note, [notes.verifier(second)]).size > size
    with pytest.raises(errors.SignatureMissing):
        checkpoints.open(note, [first])


def test_a_compromised_key_signs_nothing_more(ledger_database):
    opened()
    happened()
    seal()
    (first,) = keys.verifiers(APP, LEDGER)
    keys.rotate(SEQUENCER, LEDGER, reason="stolen", is_compromised=True, actor=ACTOR, now=NOW)
    seal()
    with pytest.raises(errors.SignatureMissing):
        checkpoints.open(reading.note(APP, LEDGER, reading.head(APP, LEDGER).size), [first])


def test_a_key_is_of_no_use_without_the_installations_secret(ledger_database, settings):
    opened()
    happened()
    with psycopg.connect(ledger_database.superuser) as connection:
        sealed = b"".join(row[0] for row in connection.execute("select sealed from evidence_key"))
    secret, settings.SECRET_KEY = str(settings.SECRET_KEY), "another secret"
    with pytest.raises(errors.KeyUnsealable):
        seal()
    settings.SECRET_KEY_FALLBACKS = [secret]
    assert seal() > 0
    assert len(sealed) == 2 * (12 + 32 + 16)


class Device:
    """A keeper of keys that hands none out."""

    name = f"{__name__}.Device"
    made: dict[bytes, notes.Ed25519Secret] = {}  # noqa: RUF012 -- the device's memory

    def make(self, about):
        secret = notes.Ed25519Secret(bytes([len(self.made)]) * 32)
        self.made[secret.public] = secret
        return secret.public, None

    def secret(self, public, sealed, about):
        assert sealed is None
        return self.made[public]


def test_a_device_may_keep_the_keys(ledger_database, settings, monkeypatch):
    monkeypatch.setattr(keys, "import_string", {Device.name: Device}.__getitem__)
    settings.LOG_KEEPER = Device.name
    opened()
    happened()
    assert seal() > 0
    assert [each.keeper for each in keys.kept(APP, LEDGER)] == [Device.name]
    checked(LEDGER)


WRITES = (
    "insert into evidence_entry values (1, 99, 1, null, 'x')",
    "insert into evidence_tile values (1, 0, 0, '', '')",
    "insert into evidence_checkpoint values (1, 99, '', '', 0, now())",
    "insert into evidence_log values (1, 'x', 'sha-256', now())",
    "insert into evidence_key (log_id, text, keeper, made_at) values (1, 'x', 'x', now())",
    "insert into evidence_cosignature (log_id, size, witness, key_id, line) values (1, 1, '', '', '')",
    "select sealed from evidence_key",
)


def test_only_the_sequencer_writes_the_logs_and_reads_sealed_keys(ledger_database):
    for db in (APP, WRITER, AUDITOR):
        for statement in WRITES:
            with (
                connections[db].cursor() as cursor,
                pytest.raises(DatabaseError, match=r"permission denied|read-only"),
            ):
                cursor.execute(statement)


def test_not_even_the_owner_changes_anything_by_mistake(ledger_database):
    with psycopg.connect(ledger_database.conninfo("tallystick_owner"), autocommit=True) as connection:
        for table in ("outbox", "log", "entry", "tile", "checkpoint", "cosignature", "key", "key_change"):
            for statement in (f"delete from evidence_{table}", f"truncate evidence_{table} cascade"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
                    connection.execute(statement)


def test_a_checkpoint_is_over_every_entry_and_no_more(ledger_database):
    opened()
    happened(3)
    seal()
    assert reading.head(APP, LEDGER).size == 5
    statement = "insert into evidence_checkpoint values (1, %s, %s, 'note', 5, now())"
    with psycopg.connect(ledger_database.conninfo("tallystick_sequencer"), autocommit=True) as connection:
        for size in (0, 2, 4, 5, 7):
            with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="does not follow"):
                connection.execute(statement, [size, bytes(32)])


def test_two_sequencers_do_not_seal_at_once(ledger_database):
    opened()
    happened()
    with psycopg.connect(ledger_database.conninfo("tallystick_sequencer")) as other:
        other.execute("select pg_advisory_xact_lock(%s, %s)", [keys.LOCK, LEDGER])
        assert sealing.Sequencer(SEQUENCER, LEDGER).seal(now=NOW) == 0
    assert sealing.Sequencer(SEQUENCER, LEDGER).seal(now=NOW) == 3


def test_files_hold_the_log_and_grow_with_it(ledger_database, tmp_path):
    opened()
    for count in (10, 300, 900):
        happened(count)
        seal(limit=200)
        publishing.publish(SEQUENCER, tmp_path)
        for log_id in (LEDGER, PUBLIC):
            folder = publishing.folder_of(tmp_path, log_id)
            head = reading.head(APP, log_id)
            found = {
                str(path.relative_to(folder)): path.read_bytes()
                for path in folder.rglob("*")
                if path.is_file()
            }
            assert found.pop("checkpoint") == reading.note(APP, log_id, head.size)
            expected = dict(publishing.pieces(APP, head, head.size))
            assert {path: found[path] for path in expected} == expected
            assert all(".p/" in path for path in found.keys() - expected.keys())
    assert publishing.publish(SEQUENCER, tmp_path) == 0
    assert not (tmp_path / "ledger" / "tile" / "0" / "000.p").exists()
    for path in ("ledger", "ledger/tile/0", "ledger/tile/0/000", "ledger/checkpoint"):
        assert (tmp_path / path).stat().st_mode & 0o077 == 0
    assert (tmp_path / "public" / "checkpoint").stat().st_mode & 0o444 == 0o444


def test_nothing_is_sealed_onto_an_older_state_than_what_was_published(ledger_database, tmp_path):
    """A second checkpoint of one size would be a fork: tables from an old backup do not go on as if nothing were."""
    opened()
    happened(3)
    seal()
    publishing.publish(SEQUENCER, tmp_path)
    publishing.check_not_behind(SEQUENCER, tmp_path)
    with psycopg.connect(ledger_database.superuser) as connection:
        connection.execute("alter table evidence_checkpoint disable trigger user")
        connection.execute("delete from evidence_checkpoint where log_id = 1")
    with pytest.raises(errors.LogBehind, match="has published 5 entries and the tables hold 0"):
        publishing.check_not_behind(SEQUENCER, tmp_path)

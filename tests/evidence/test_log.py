"""The log keeps what it is told, with its cause or not at all, and lets nobody change it."""

from datetime import UTC, datetime

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, connections, transaction

from tallystick.core.db import APP, AUDITOR, WRITER
from tallystick.evidence import log

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
SALT = b"s" * 32


def append(db=APP, payload=None, **other):
    with transaction.atomic(using=db):
        return log.append(
            db,
            other.pop("kind", "identity.user_created"),
            payload or {"user": "usr_1"},
            actor="system:cli",
            at=NOW,
            **other,
        )


def test_an_event_is_read_back_as_it_was_told(ledger_database):
    event_id = append(payload={"user": "usr_1", "why": "王芳"}, salt=SALT)
    told = log.event(APP, event_id)
    assert told is not None
    assert (told.kind, told.at, told.actor) == ("identity.user_created", NOW, "system:cli")
    assert told.payload == {"user": "usr_1", "why": "王芳"}
    assert told.reference == f"evt_{event_id}"
    assert log.agrees(told)


def test_an_event_falls_with_its_cause(ledger_database):
    with transaction.atomic(using=APP):
        log.append(APP, "identity.user_created", {}, actor="system:cli", at=NOW)
        transaction.set_rollback(True, using=APP)
    assert log.count(APP) == 0


def test_outside_a_transaction_nothing_is_written(ledger_database):
    with pytest.raises(AssertionError):
        log.append(APP, "identity.user_created", {}, actor="system:cli", at=NOW)
    assert log.count(APP) == 0


def test_many_events_keep_their_order(ledger_database):
    rows = [log.row("identity.user_created", {"n": n}, actor="system:cli", at=NOW) for n in range(500)]
    with transaction.atomic(using=APP):
        ids = log.append_many(APP, rows)
    assert ids == sorted(ids)
    told = list(reversed(log.events(APP, limit=500)))
    assert [event.payload for event in told] == [{"n": n} for n in range(500)]
    assert [event.id for event in told] == ids
    assert all(log.agrees(event) for event in told)


def test_the_ledgers_writer_appends_through_psycopg_itself(ledger_database):
    row = log.row("custody.batch_posted", {"first": "1", "last": "9"}, actor="system:posting", at=NOW)
    with psycopg.connect(ledger_database.conninfo("tallystick_ledger_writer")) as connection:
        found = connection.execute(log.insert_sql(), row.parameters()).fetchone()
    told = log.event(APP, log.EventId(found[0]))
    assert told is not None
    assert told.actor == "system:posting"
    assert log.agrees(told)


@pytest.mark.parametrize("db", [APP, WRITER, AUDITOR])
@pytest.mark.parametrize(
    "statement",
    [
        "update evidence_outbox set actor = 'system:other'",
        "delete from evidence_outbox",
        "truncate evidence_outbox, evidence_payload",
        "update evidence_payload set payload = '{}'",
        "delete from evidence_payload",
        "insert into evidence_outbox (id, kind, at, actor, commitment) values (1, 'a.b', now(), 'x', '')",
        "insert into evidence_outbox (kind, at, recorded_at, actor, commitment)"
        " values ('a.b', now(), '2020-01-01', 'x', '')",
    ],
)
def test_no_role_can_change_remove_or_backdate_an_event(ledger_database_module, db, statement):
    append()
    before = log.count(APP)
    with (
        pytest.raises(DatabaseError, match=r"permission denied|read-only"),
        connections[db].cursor() as cursor,
    ):
        cursor.execute(statement)
    assert log.count(APP) == before


def test_the_auditor_reads_events(ledger_database):
    event_id = append()
    told = log.event(AUDITOR, event_id)
    assert told is not None
    assert log.agrees(told)


def test_an_edited_payload_no_longer_agrees_and_an_erased_one_leaves_the_event(ledger_database):
    edited, erased = append(payload={"n": 1}), append(payload={"n": 2})
    with psycopg.connect(ledger_database.superuser) as connection:
        connection.execute("update evidence_payload set payload = '{\"n\":3}' where event_id = %s", [edited])
        connection.execute("delete from evidence_payload where event_id = %s", [erased])
    told = log.event(APP, edited)
    assert told is not None
    assert not log.agrees(told)
    told = log.event(APP, erased)
    assert told is not None
    assert (told.payload, len(told.commitment)) == (None, 32)


@pytest.mark.parametrize("kind", ["Identity.created", "identity", "identity.", "identity.user created"])
def test_a_kind_has_one_form(ledger_database, kind):
    with pytest.raises(IntegrityError, match="evidence_outbox_kind_form"):
        append(kind=kind)


def test_pages_of_events_go_back_without_gaps(ledger_database):
    ids = [append(payload={"n": n}) for n in range(7)]
    append(kind="identity.signed_in")
    first = log.events(APP, kind="identity.user_created", limit=4)
    second = log.events(APP, kind="identity.user_created", before=first[-1].id, limit=4)
    assert [event.id for event in (*first, *second)] == list(reversed(ids))

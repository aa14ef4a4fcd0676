"""The trail over every operation of the API: a write leaves one entry, a read of somebody's data one, and nothing
can be asked for outside of it."""

from __future__ import annotations

import pytest
from django.db import connections

from tallystick.api import callers
from tallystick.core.db import APP
from tallystick.evidence import log, trail, visits
from tallystick.evidence.trail import Filter
from tallystick.identity.roles import Role
from tests.api.conftest import Caller, House
from tests.api.test_roles import LETTERS, MATRIX, ask, of_wang

# What shows nobody's data, told here a second time.
NOBODYS = {
    "GET /me", "GET /books", "GET /books/{book}", "GET /assets", "GET /rates", "GET /books/{book}/corridors",
    "GET /books/{book}/liquidity", "POST /books/{book}/liquidity", "GET /books/{book}/refusals/counts",
    "GET /books/{book}/safeguarding-proofs", "GET /safeguarding-proofs/{proof}", "GET /books/{book}/days/{day}",
    "GET /books/{book}/payout-notice",
}  # fmt: skip

# Told by their batch's own event, which names who asked: a posting pays nothing for the trail.
POSTINGS = {"POST /books/{book}/transfers", "POST /books/{book}/transfer"}


def newest(db: str = "default") -> int:
    with connections[db].cursor() as cursor:
        cursor.execute("select coalesce(max(id), 0) from evidence_outbox")
        return int(cursor.fetchone()[0])


def entries_since(event: int) -> list[trail.Entry]:
    return [each for each in trail.entries(APP, Filter(), limit=200) if each.event > event]


def test_every_operation_by_staff_leaves_one_entry_or_shows_nobodys_data(house: House) -> None:
    """By two roles that may, outside of customers: one entry each, under their own name."""
    things, failed = of_wang(house), []
    for operation, (who, _) in MATRIX.items():
        for letter in who.replace("C", "")[:2]:
            before = newest()
            answer = ask(house, house.callers[LETTERS[letter]], operation, **things)
            assert answer.status not in (401, 403), operation
            left = entries_since(before)
            person = house.people[LETTERS[letter]].reference
            if operation in POSTINGS:
                told = [each for each in log.events(APP, limit=20) if each.id > before]
                if left or len(told) != 1 or told[0].payload["by"] != [[person, 1]]:  # type: ignore[index]
                    failed.append(f"{operation} by {letter}: {told}")
                continue
            expected = 0 if operation in NOBODYS and operation.startswith("GET") else 1
            if len(left) != expected:
                failed.append(f"{operation} by {letter}: {len(left)} entries, {answer.status} {left}")
            elif left and (left[0].actor, left[0].operation) != (person, f"api {operation}"):
                failed.append(f"{operation} by {letter}: {left[0]}")
    assert "\n".join(failed) == ""


def test_whoever_may_not_leaves_the_refusal_as_their_one_entry(house: House) -> None:
    things, failed = of_wang(house), []
    for operation, (who, _) in MATRIX.items():
        letter = next((each for each in "AOR" if each not in who), None)
        if letter is None:
            continue
        before = newest()
        assert ask(house, house.callers[LETTERS[letter]], operation, **things).status == 403
        if [each.act for each in entries_since(before)] != ["identity.access_denied"]:
            failed.append(f"{operation} by {letter}: {entries_since(before)}")
    assert "\n".join(failed) == ""


def test_a_customer_reads_their_own_and_the_trail_stays_for_others(house: House) -> None:
    before = newest()
    assert house.wang.get(f"accounts/{house.wang_account}/balance").status == 200
    assert entries_since(before) == []
    assert (
        house.operations.get(f"accounts/{house.wang_account}/balance", X_Purpose="a%20dispute").status == 200
    )
    (entry,) = entries_since(before)
    assert (entry.act, list(entry.parties)) == ("identity.personal_data_read", ["C-1"])
    told = log.event(APP, log.EventId(entry.event))
    assert told is not None
    assert told.trail["purpose"] == "a dispute"
    assert log.agrees(told)


def test_what_the_trail_leaves_out_shows_no_client(house: House) -> None:
    """The list of what shows nobody's data is true of what those addresses answer."""
    things, auditor = of_wang(house), house.callers[Role.AUDITOR]
    for operation in sorted(NOBODYS - {"GET /me"}):
        if operation.startswith("GET"):
            answer = ask(house, auditor, operation, **things).content.decode()
            for secret in (house.wang_account, house.li_account, '"C-1"', '"C-2"'):
                assert secret not in answer, operation


def test_an_act_and_its_entry_are_one_transaction_with_its_before(house: House) -> None:
    """The second state of an account finds the first one as what held before it."""
    approver, path = house.callers[Role.PLATFORM_APPROVER], f"accounts/{house.li_account}/states"
    found = []
    for status in ("debits_frozen", "open"):
        before = newest()
        assert approver.post(path, {"status": status, "reason": f"now {status}"}).status == 201
        found += entries_since(before)
    frozen, thawed = found
    assert (frozen.is_privileged, thawed.is_privileged) == (True, False)
    assert list(frozen.parties) == ["C-2"]
    earlier = trail.previous(APP, thawed)
    assert earlier is not None
    assert earlier.event == frozen.event


def test_nobody_is_let_in_where_no_trail_would_be_left(house: House, settings: object) -> None:
    """Without the middleware there is no actor: the trail cannot be configured away."""
    settings.MIDDLEWARE = [each for each in settings.MIDDLEWARE if "Visit" not in each]  # type: ignore[attr-defined]
    caller = Caller(house.operations.token)
    caller.client.raise_request_exception = False
    assert caller.get("books").status == 500
    with pytest.raises(visits.NoVisit):
        callers.caller(object())  # type: ignore[arg-type]


def test_the_trail_loses_no_row_by_any_role(house: House) -> None:
    """Nobody changes or removes an entry, and none is made for a visit that has one."""
    for statement in ("update evidence_trail set actor = 'x'", "delete from evidence_trail"):
        for alias in ("default", "writer", "auditor"):
            with (
                pytest.raises(Exception, match=r"permission denied|read-only"),
                connections[alias].cursor() as cursor,
            ):
                cursor.execute(statement)

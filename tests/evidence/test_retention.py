"""Retention by a clock that runs ahead: nothing goes early, nothing stays late, holds hold, and proofs stay."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from django.db import DatabaseError, connections, transaction

from tallystick.core.db import APP, AUDITOR, SEQUENCER, WRITER
from tallystick.evidence import fsck, hashing, holds, keys, log, reading, retention, sealing
from tallystick.evidence.holds import Scope

ROOT = Path(__file__).resolve().parents[2]
CN = ("CN",)
BEGIN = datetime(2016, 2, 29, 15, 59, tzinfo=UTC)
CLERK = "usr_9"

LEAST_YEARS = {"custody.payout_asked": 10, "identity.signed_in": 3, "custody.resolution_pack_built": 3}
"""Kind to the years it is kept, told a second time; customers' data by their relationship's end."""

CUSTOMERS_KIND, LEDGER_KIND = "custody.account_opened", "custody.transfers_posted"
ENDS = {"C-1": datetime(2018, 6, 30, tzinfo=UTC), "C-2": None}


def ended(_db, payload):
    return ENDS[payload["owner"]]


def years_after(moment: datetime, years: int) -> date:
    """The calendar's way, by hand: of 29 February, 1 March where there is none."""
    try:
        return moment.date().replace(year=moment.year + years)
    except ValueError:
        return date(moment.year + years, 3, 1)


def append(kind, payload, at):
    with transaction.atomic(using=APP):
        return log.append(APP, kind, payload, actor="usr_1", at=at)


def kept():
    with connections[APP].cursor() as cursor:
        cursor.execute("select event_id from evidence_payload")
        return {event for (event,) in cursor.fetchall()}


def erase(now, **more):
    return {
        schedule.name: retention.erase(APP, schedule, CN, ended=ended, by=CLERK, now=now, **more)
        for schedule in retention.schedules(CN)
    }


def certified(event):
    """Erase one payload past all reading of rules: a certificate, and the function."""
    with transaction.atomic(using=APP), connections[APP].cursor() as cursor:
        certificate = log.append(APP, "evidence.payloads_erased", {}, actor=CLERK, at=BEGIN)
        cursor.execute("select evidence_erase(%s, %s)", [[event], certificate])


def test_over_fourteen_years_nothing_goes_early_and_nothing_stays_late(ledger_database):
    """Events of every class over two years, then a look every month; each is gone in the month it is due."""
    keys.open_logs(SEQUENCER, "first.example", actor="system:cli", now=BEGIN)
    due_on, at_of, always = {}, {}, set()
    for week in range(0, 104, 8):
        at = BEGIN + timedelta(weeks=week)
        for kind, years in LEAST_YEARS.items():
            event = append(kind, {"week": week, "owner": "C-3"}, at)
            due_on[event], at_of[event] = years_after(at, years), at
        for owner, end in ENDS.items():
            event = append(CUSTOMERS_KIND, {"owner": owner, "week": week}, at)
            if end is None:
                always.add(event)
            else:
                due_on[event], at_of[event] = years_after(max(at, end), 10), end
        always.add(append(LEDGER_KIND, {"week": week}, at))
    held = append("custody.payout_asked", {"owner": "C-9", "week": 0}, BEGIN)
    with transaction.atomic(using=APP):
        hold = holds.place(
            APP, Scope(terms=("C-9",)), matter="(2017) 1", reason="a court", by=CLERK, now=BEGIN
        )
    sealing.seal(SEQUENCER, now=BEGIN + timedelta(days=731))
    head = reading.head(APP, keys.LEDGER)
    now = BEGIN
    while now < BEGIN + timedelta(days=14 * 366):
        now += timedelta(days=30)
        erase(now)
        stands = kept()
        early = [event for event, day in due_on.items() if event not in stands and now.date() <= day]
        late = [
            event
            for event, day in due_on.items()
            if event in stands and now.date() > day + timedelta(days=retention.SLACK_DAYS + 1)
        ]
        assert (now, early, late) == (now, [], [])
        assert always | {held} <= stands
    assert not set(due_on) & kept()
    # What is left agrees with its commitment; the tree over all that happened is the one that was signed.
    assert all(log.agrees(told) for told in log.events(APP, limit=500) if told.payload is not None)
    bodies = [reading.entry(APP, keys.LEDGER, index) for index in range(head.size)]
    tree = hashing.Tree()
    tree.append(hashing.leaf_hashes(bodies))
    assert tree.root() == head.root
    sealing.seal(SEQUENCER, now=now)
    assert fsck.check(AUDITOR).findings == ()
    # Two people lift the hold: then it goes.
    with transaction.atomic(using=APP):
        holds.step(APP, hold, "lifted", approval=1, made_by=CLERK, by="usr_8", reason="over", now=now)
    assert erase(now)["transactions"] == 1
    assert held not in kept()


def test_a_certificate_names_what_went_and_each_is_used_once(ledger_database):
    first = append("identity.signed_in", {"n": 1}, BEGIN)
    now = BEGIN + timedelta(days=4 * 366)
    assert erase(now)["access"] == 1
    (certificate,) = log.events(APP, kind="evidence.payloads_erased")
    assert certificate.payload["first"] == certificate.payload["last"] == f"evt_{first}"
    assert certificate.payload["rules"] == ["CN-NDSR-12", "CN-CSL-21"]
    told = log.event(APP, first)
    assert (told.payload, log.agrees(told)) == (None, False)
    second = append("identity.signed_in", {"n": 2}, BEGIN)
    for wrong in (certificate.id, first, 0):
        with pytest.raises(DatabaseError, match="no certificate"), connections[APP].cursor() as cursor:
            cursor.execute("select evidence_erase(%s, %s)", [[second], wrong])


def test_the_database_itself_keeps_what_is_held_and_lets_nobody_delete(ledger_database):
    event = append("identity.signed_in", {"account": "acc_1"}, BEGIN)
    with transaction.atomic(using=APP):
        scope = Scope(
            terms=("acc_1",), kinds=("identity.signed_in",), since=BEGIN, until=BEGIN + timedelta(1)
        )
        holds.place(APP, scope, matter="m", reason="r", by=CLERK, now=BEGIN)
    with pytest.raises(DatabaseError, match="legal hold"):
        certified(event)
    for alias in (APP, WRITER, AUDITOR, SEQUENCER):
        for statement in ("delete from evidence_payload", "update evidence_payload set payload = ''"):
            with pytest.raises(DatabaseError), connections[alias].cursor() as cursor:
                cursor.execute(statement)
    for alias in (WRITER, AUDITOR, SEQUENCER):
        with pytest.raises(DatabaseError), connections[alias].cursor() as cursor:
            cursor.execute("select evidence_erase('{1}', 1)")


def test_every_kind_of_event_is_in_one_class():
    """But for what evidence says of itself, which the database itself erases never."""
    page = (ROOT / "docs/reference/events.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([a-z]+\.[a-z_]+)` \|", page, re.MULTILINE)
    classed = [kind for schedule in retention.schedules(CN) for kind in schedule.kinds]
    assert [kind for kind in sorted(set(listed) - set(classed)) if not kind.startswith("evidence.")] == []
    assert len(classed) == len(set(classed))


def test_where_nobody_verified_a_rule_nothing_is_erased():
    """A rule that was not read in its official text is shown and binds nothing."""
    for jurisdictions in (("UK",), ("US",), ("CN", "UK"), ()):
        assert not any(schedule.is_erased for schedule in retention.schedules(jurisdictions))
    china = {schedule.name: schedule for schedule in retention.schedules(CN)}
    assert (china["transactions"].at_least_months, china["transactions"].at_most_months) == (120, 132)
    # The longest of several holds; the draft of five years does not.
    assert china["access"].at_least_months == 36
    assert "CN-P2P-18a" in [rule.id for rule in china["access"].rules if not rule.is_verified]
    assert not any(schedule.is_contradictory for schedule in china.values())

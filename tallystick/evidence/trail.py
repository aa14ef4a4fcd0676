"""The trail's entries: found again by who, about whom, what and when; and acknowledged.

Promises: an entry is read beside its event, so that what it says is what the log committed to; an
acknowledgement is by somebody other than who acted, and an event of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connections

from tallystick.core.db import Db
from tallystick.evidence import log

_Parameter = str | int | bool | datetime | None


@dataclass(frozen=True, slots=True)
class Entry:
    """What one visit did. What it says is in its event; this finds it."""

    event: int
    at: datetime
    actor: str
    act: str
    permission: str
    operation: str
    parties: Sequence[str]
    subject: str
    is_privileged: bool
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    note: str

    @property
    def reference(self) -> str:
        """The event's id as shown outside."""
        return f"evt_{self.event}"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries: each part that is given narrows them."""

    actor: str = ""
    party: str = ""
    act: str = ""
    since: datetime | None = None
    until: datetime | None = None
    is_privileged: bool = False
    is_waiting: bool = False
    """Privileged, and acknowledged by nobody yet."""


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def entries(db: Db, wanted: Filter, *, before: int | None = None, limit: int = 50) -> Sequence[Entry]:
    """The newest entries first; `before` continues a page."""
    parts: list[tuple[str, list[_Parameter]]] = []
    if wanted.actor:
        parts.append(("t.actor = %s", [wanted.actor]))
    if wanted.party:
        # An entry of many names none of them: it may be about this one too.
        parts.append(("t.parties && array[%s, '*']::varchar[]", [wanted.party]))
    if wanted.act:
        # A whole domain's acts, or one act.
        parts.append(("t.act like %s", [f"{_literal(wanted.act)}%"]))
    if wanted.since is not None:
        parts.append(("t.at >= %s", [wanted.since]))
    if wanted.until is not None:
        parts.append(("t.at <= %s", [wanted.until]))
    if wanted.is_privileged or wanted.is_waiting:
        parts.append(("t.is_privileged", []))
    if wanted.is_waiting:
        parts.append(("a.entry_id is null", []))
    if before is not None:
        parts.append(("t.event_id < %s", [before]))
    where = " and ".join(part for part, _ in parts) or "true"
    return _entries(db, where, [each for _, given in parts for each in given], limit)


def entry(db: Db, event: int) -> Entry | None:
    """The entry of this event, where it is one's."""
    return next(iter(_entries(db, "t.event_id = %s", [event], 1)), None)


def of_visit(db: Db, visit: str) -> Entry | None:
    """The one entry of a visit."""
    return next(iter(_entries(db, "t.visit = %s", [visit], 1)), None)


def previous(db: Db, found: Entry) -> Entry | None:
    """The entry of the same act on the same thing before this one: what held until then."""
    if not found.subject:
        return None
    return next(
        iter(
            _entries(
                db,
                "t.subject = %s and t.act = %s and t.event_id < %s",
                [found.subject, found.act, found.event],
                1,
            )
        ),
        None,
    )


def waiting(db: Db, *, but_of: str = "") -> int:
    """How many privileged acts nobody has acknowledged, but for one person's own."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select count(*) from evidence_trail t
            where t.is_privileged and t.actor <> %s and not exists (
                select from evidence_trail_acknowledgement a where a.entry_id = t.event_id)
            """,
            [but_of],
        )
        found: int = cursor.fetchone()[0]
        return found


# ── action ───────────────────────────────────────────────────────────────────────────────────────────────


def acknowledge(db: Db, found: Entry, *, note: str, by: str, now: datetime) -> bool:
    """Write down that this person has seen the act; false where somebody was faster.

    Whether they may is for the access layer to ask; that it is somebody else, the table asks too.
    """
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            insert into evidence_trail_acknowledgement (entry_id, actor, note, acknowledged_by, at)
            values (%s, %s, %s, %s, %s) on conflict (entry_id) do nothing
            """,
            [found.event, found.actor, note, by, now],
        )
        if cursor.rowcount == 0:
            return False
    log.append(db, "evidence.act_acknowledged", {"event": found.reference, "note": note}, actor=by, at=now)
    return True


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


def _literal(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")


def _entries(db: Db, where: str, parameters: list[_Parameter], limit: int) -> list[Entry]:
    sql = f"""
        select t.event_id, t.at, t.actor, t.act, t.permission, t.operation, t.parties, t.subject,
            t.is_privileged, a.acknowledged_by, a.at, coalesce(a.note, '')
        from evidence_trail t left join evidence_trail_acknowledgement a on a.entry_id = t.event_id
        where {where} order by t.event_id desc limit %s
    """  # noqa: S608 -- `where` is put together from the constants above
    with connections[db].cursor() as cursor:
        cursor.execute(sql, [*parameters, limit])
        rows = cursor.fetchall()
    return [Entry(*row) for row in rows]

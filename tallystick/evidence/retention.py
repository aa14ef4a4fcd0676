"""Retention: how long payloads are kept at least and at most, and how those are erased whose time is over.

Promises: nothing is erased before the longest verified rule of every jurisdiction allows it, nothing that a
legal hold covers, and nothing whose time cannot be told; each erasure leaves a certificate in the log, and the
event, its commitment and every proof over it stay. Rules are data with their source (`retention.yaml`).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import TypedDict

import yaml
from django.db import connections, transaction

from tallystick.core.db import Db
from tallystick.evidence import canonical, log

ERASE_MAX = 5_000
"""So many payloads under one certificate."""

SLACK_DAYS = 1
"""A day more than the calendar says: days end at different moments, and none of them is too early."""

Ended = Callable[[Db, Mapping[str, canonical.Value]], datetime | None]
"""When the relationship that a payload is about ended; nothing while it lasts, or where nobody can tell."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of a jurisdiction, with its source."""

    id: str
    jurisdiction: str
    instrument: str
    article: str
    at_least_months: int | None
    at_most_months: int | None
    is_verified: bool
    """Read in its official text. Others are shown, and bind nothing."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long a class is kept, where the given jurisdictions hold."""

    name: str
    en: str
    zh: str
    kinds: tuple[str, ...]
    starts_at_end: bool
    """The time runs from the end of the relationship, not from the event."""
    is_kept_always: bool
    at_least_months: int | None
    """Nothing: for some jurisdiction nobody has verified how long, so nothing is erased."""
    at_most_months: int | None
    rules: tuple[Rule, ...]

    @property
    def is_contradictory(self) -> bool:
        """Whether rules ask to keep longer than rules allow; then it is kept, and shown."""
        return (
            self.at_least_months is not None
            and self.at_most_months is not None
            and self.at_least_months >= self.at_most_months
        )

    @property
    def is_erased(self) -> bool:
        """Whether the time of this class ever comes."""
        return not self.is_kept_always and self.at_least_months is not None


@dataclass(frozen=True, slots=True)
class Standing:
    """A class as it stands: how many payloads there are, and how many are past their times."""

    schedule: Schedule
    payloads: int
    past_least: int
    past_most: int


class _Span(TypedDict, total=False):
    years: int
    months: int


class _ClassRow(TypedDict, total=False):
    en: str
    zh: str
    kinds: str
    keep: str
    starts: str
    house: _Span


class _RuleRow(TypedDict, total=False):
    id: str
    jurisdiction: str
    classes: str
    at_least: _Span
    at_most: _Span
    verified: bool
    instrument: str
    article: str


class _File(TypedDict):
    classes: dict[str, _ClassRow]
    rules: list[_RuleRow]


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────


def schedules(jurisdictions: Sequence[str]) -> Sequence[Schedule]:
    """How long each class is kept where all of these hold: the longest least, the shortest most."""
    told = _read()
    rules = [(set(row["classes"].split()), _rule(row)) for row in told["rules"]]
    found = []
    for name, each in told["classes"].items():
        ours = [rule for classes, rule in rules if name in classes and rule.jurisdiction in jurisdictions]
        binding = [rule for rule in ours if rule.is_verified]
        least = [rule.at_least_months for rule in binding if rule.at_least_months is not None]
        is_told = {rule.jurisdiction for rule in binding if rule.at_least_months is not None} >= set(
            jurisdictions
        )
        most = [rule.at_most_months for rule in binding if rule.at_most_months is not None]
        house = [_months(each["house"])] if "house" in each else []
        found.append(
            Schedule(
                name=name,
                en=each["en"],
                zh=each["zh"],
                kinds=tuple(each["kinds"].split()),
                starts_at_end=each.get("starts") == "end",
                is_kept_always=each.get("keep") == "always",
                at_least_months=max(least) if least and is_told and jurisdictions else None,
                at_most_months=min(most or house, default=None),
                rules=tuple(ours),
            )
        )
    return found


def _rule(row: _RuleRow) -> Rule:
    return Rule(
        id=row["id"],
        jurisdiction=row["jurisdiction"],
        instrument=row["instrument"],
        article=row["article"],
        at_least_months=_months(row["at_least"]) if "at_least" in row else None,
        at_most_months=_months(row["at_most"]) if "at_most" in row else None,
        is_verified=row["verified"],
    )


def _months(span: _Span) -> int:
    return 12 * span.get("years", 0) + span.get("months", 0)


@functools.cache
def _read() -> _File:
    text = resources.files("tallystick.evidence").joinpath("retention.yaml").read_text("utf-8")
    read: _File = yaml.safe_load(text)
    return read


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────

_OF_CLASS = """
from evidence_outbox o join evidence_payload p on p.event_id = o.id
where o.kind = any (%(kinds)s)
"""
_PAST = "o.at + make_interval(months => %({name})s, days => %(slack)s) <= %(now)s"


def standings(db: Db, jurisdictions: Sequence[str], *, now: datetime) -> Sequence[Standing]:
    """Every class with how much of it there is, and is past its times (by its events, not by the end)."""
    found = []
    for schedule in schedules(jurisdictions):
        least, most = _PAST.format(name="least"), _PAST.format(name="most")
        with connections[db].cursor() as cursor:
            cursor.execute(
                f"select count(*), count(*) filter (where {least}), count(*) filter (where {most}) {_OF_CLASS}",
                {
                    "kinds": list(schedule.kinds),
                    "least": schedule.at_least_months,
                    "most": schedule.at_most_months,
                    "slack": SLACK_DAYS,
                    "now": now,
                },
            )
            found.append(Standing(schedule, *cursor.fetchone()))
    return found


def due(
    db: Db, schedule: Schedule, *, ended: Ended, now: datetime, limit: int = ERASE_MAX
) -> Sequence[tuple[int, bytes]]:
    """Events of a class whose payload's time is over and that no hold covers: id and commitment, by id."""
    if not schedule.is_erased:
        return []
    found = []
    for event_id, commitment, payload in _past_least(db, schedule, now):
        if schedule.starts_at_end and not _is_long_over(db, schedule, payload, ended, now):
            continue
        found.append((event_id, commitment))
        if len(found) == limit:
            break
    return found


def _past_least(db: Db, schedule: Schedule, now: datetime) -> Iterator[tuple[int, bytes, str]]:
    """In stretches by id: of a class that waits for an end, many may be passed over."""
    after = 0
    while True:
        with connections[db].cursor() as cursor:
            cursor.execute(
                f"select o.id, o.commitment, p.payload {_OF_CLASS} and o.id > %(after)s"
                f" and {_PAST.format(name='least')} and not evidence_held(o, p.payload)"
                " order by o.id limit %(limit)s",
                {
                    "kinds": list(schedule.kinds),
                    "after": after,
                    "least": schedule.at_least_months,
                    "slack": SLACK_DAYS,
                    "now": now,
                    "limit": ERASE_MAX,
                },
            )
            rows = cursor.fetchall()
        for event_id, commitment, payload in rows:
            yield event_id, bytes(commitment), payload
        if len(rows) < ERASE_MAX:
            return
        after = rows[-1][0]


def _is_long_over(db: Db, schedule: Schedule, payload: str, ended: Ended, now: datetime) -> bool:
    told: dict[str, canonical.Value] = canonical.read(payload)
    end = ended(db, told)
    if end is None or schedule.at_least_months is None:
        return False
    with connections[db].cursor() as cursor:
        # The database's calendar, as for all others.
        cursor.execute(
            "select %s::timestamptz + make_interval(months => %s, days => %s) <= %s",
            [end, schedule.at_least_months, SLACK_DAYS, now],
        )
        is_over: bool = cursor.fetchone()[0]
        return is_over


# ── action ───────────────────────────────────────────────────────────────────────────────────────────────


def erase(
    db: Db,
    schedule: Schedule,
    jurisdictions: Sequence[str],
    *,
    ended: Ended,
    by: str,
    now: datetime,
    limit: int = ERASE_MAX,
) -> int:
    """Erase what is due of one class, under one certificate. Returns how many payloads went.

    The database asks again: what is held, or named by no certificate of this moment, stays.
    """
    with transaction.atomic(using=db):
        found = due(db, schedule, ended=ended, now=now, limit=limit)
        if not found:
            return 0
        digest = hashlib.sha256()
        for event_id, commitment in found:
            digest.update(event_id.to_bytes(8, "big") + commitment)
        certificate = log.append(
            db,
            "evidence.payloads_erased",
            {
                "class": schedule.name,
                "jurisdictions": list(jurisdictions),
                "rules": [rule.id for rule in schedule.rules if rule.is_verified],
                "kept_months": schedule.at_least_months,
                "events": len(found),
                "first": f"evt_{found[0][0]}",
                "last": f"evt_{found[-1][0]}",
                "sha256": digest.hexdigest(),
            },
            actor=by,
            at=now,
        )
        with connections[db].cursor() as cursor:
            cursor.execute("select evidence_erase(%s, %s)", [[each for each, _ in found], certificate])
            erased: int = cursor.fetchone()[0]
        assert erased == len(found), "every payload that was due was there"
    return erased

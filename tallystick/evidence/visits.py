"""Visits: who came in by which door, for what and why, for as long as one request or one command lasts.

Promises: whatever is written during a visit says so in its own event (`trail`), and the first of it enters
the trail in the same transaction; a visit has one entry at most, whatever it did. A visit is of this thread:
what other threads and processes write for it, they tell themselves.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tallystick.core import chance
from tallystick.core.db import Db
from tallystick.evidence import canonical

PURPOSE_CHARACTERS_MAX = 200
PARTIES_MAX = 20
EVERYBODY = "*"
"""Stands for so many parties that naming them would say nothing."""

MEMBER = "trail"
"""The member of a payload that says during which visit it was written."""

_PARTY_MEMBERS = ("owner", "customer", "customer_number", "seller", "buyer")

Whose = Callable[[Db, Sequence[str]], Sequence[str]]
"""Whose things these are: from ids as they are shown outside to the parties behind them."""


def _nobody(_: Db, __: Sequence[str]) -> Sequence[str]:
    return ()


def _nothing(_: str, __: Mapping[str, canonical.Value], ___: frozenset[str]) -> bool:
    return False


@dataclass(slots=True)
class Visit:
    """One request or command. The door says what it knows; access and the log add what happens."""

    door: str
    """`web`, `api` or `cli`."""
    operation: str = ""
    """What was asked, by its pattern and never by its values: `POST /accounts/{account}/states`."""
    operator: str = ""
    """At the command line: the machine's user who types."""
    purpose: Callable[[], str] = str
    """Why, in the visitor's own words; empty where they did not say."""
    references: Sequence[str] = ()
    """The ids that the request names."""
    whose: Whose = _nobody
    privileged: Callable[[str, Mapping[str, canonical.Value], frozenset[str]], bool] = _nothing
    """Whether an act (its kind, its payload, the permissions used) is told to a second person."""

    id: str = field(default_factory=lambda: chance.token()[:22])
    actor: str = ""
    permissions: dict[str, bool] = field(default_factory=dict)
    """Those that were asked for and given; and whether only over what is the visitor's own."""
    parties: set[str] = field(default_factory=set)
    has_written: bool = False
    """Whether an event was written, be it in a transaction that fell."""
    is_carried: bool = False
    """Whether what was done is told by another writer's event, which names who asked."""

    def told(self) -> dict[str, canonical.Value]:
        """What every event of this visit says of it."""
        told: dict[str, canonical.Value] = {"visit": self.id, "door": self.door, "operation": self.operation}
        if self.operator:
            told["operator"] = self.operator
        if purpose := self.purpose()[:PURPOSE_CHARACTERS_MAX]:
            told["purpose"] = purpose
        if self.permissions:
            told["permission"] = next(reversed(self.permissions))
        return told

    def named(self, db: Db, payload: Mapping[str, canonical.Value] | None = None) -> list[str]:
        """The parties that this visit touches: of what the request names, and of what the payload does."""
        found = set(self.parties)
        references = list(self.references)
        for name, value in (payload or {}).items():
            if isinstance(value, str) and value:
                if name in _PARTY_MEMBERS:
                    found.add(value)
                else:
                    references.append(value)
        found.update(self.whose(db, references))
        return sorted(found) if len(found) <= PARTIES_MAX else [EVERYBODY]


_current: contextvars.ContextVar[Visit | None] = contextvars.ContextVar("visit", default=None)


class NoVisit(RuntimeError):
    """Somebody came in by a door that keeps no trail. A fault of the house, never of the visitor."""


def current() -> Visit | None:
    """The visit of this moment, if this is one."""
    return _current.get()


def required() -> Visit:
    """The visit of this moment. Raises `NoVisit`: nobody is let in where no trail would be left."""
    found = _current.get()
    if found is None:
        raise NoVisit("nobody is let in without a trail: evidence.visits.during is not around this door")
    return found


@contextlib.contextmanager
def during(visit: Visit) -> Iterator[Visit]:
    """Around everything that this visitor does."""
    mark = _current.set(visit)
    try:
        yield visit
    finally:
        _current.reset(mark)


def granted(permission: str, *, actor: str, party: str | None, is_own: bool) -> None:
    """Access was asked for and given. For the access layer alone."""
    if (visit := _current.get()) is None:
        return
    visit.actor = visit.actor or actor
    visit.permissions[permission] = visit.permissions.get(permission, True) and is_own
    if party is not None and not is_own:
        visit.parties.add(party)


def carried() -> None:
    """What this visit did stands in an event that another writer writes, under the visitor's name."""
    if (visit := _current.get()) is not None:
        visit.is_carried = True


def told(payload: canonical.Payload, *, actor: str) -> canonical.Payload:
    """The payload with what the visit of this moment says of itself, where the visitor is the actor."""
    visit = _current.get()
    assert MEMBER not in payload, f"the member {MEMBER} is the log's own"
    return payload if visit is None or not is_visitor(actor) else {**payload, MEMBER: visit.told()}


def is_visitor(actor: str) -> bool:
    """Whether this is a person, or the command line that one types at: not a process that acts by itself."""
    return actor.startswith("usr_") or actor == "system:cli"


def subject(payload: Mapping[str, canonical.Value]) -> str:
    """What an event is about: the member its payload begins with, and its value."""
    for name, value in payload.items():
        if isinstance(value, str | int) and not isinstance(value, bool) and name != MEMBER:
            return f"{name}:{value}"[:120]
        break
    return ""

"""Collecting: after a checkpoint, witnesses are asked to sign it, and what they sign is kept.

Promises: at most one request to a witness at a time, each within seconds, and nobody's sealing waits for it; what
is kept was checked; a log that stands still is signed anew from time to time, so that a witness that is gone is
noticed. Falling silent, saying that history was changed, and signing again are told once each.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import connections, transaction

from tallystick.core.db import Db
from tallystick.core.errors import Refusal
from tallystick.evidence import cosignatures, keys, log, notes, reading
from tallystick.evidence.models import WitnessStatus
from tallystick.evidence.policy import Party, Policy
from tallystick.evidence.witness import asking, quorum, request

ACTOR = "system:witnesses"

CLOCK_SECONDS_MAX = 600
"""So far a witness's clock may be off: what it signs says when."""

ROUND_SECONDS_MAX = 20
"""For everybody's answers together, should one of them hang in what no timeout reaches."""

_TURNS = 3
"""Requests to one witness for one checkpoint: to learn what it signed last, to follow, and to be overtaken once."""
_TOGETHER = 16

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """How often witnesses are asked, and when one counts as silent."""

    ask_seconds: int = 60
    """Between two checkpoints that are to be signed; one that failed is asked later and later."""
    silent_seconds: int = 3600
    """Without a signature for so long, it is silent."""

    @property
    def fresh_seconds(self) -> int:
        """After so long the same checkpoint is signed anew. Several tries fit in before it counts as silent."""
        return max(self.silent_seconds // 4, 1)


@dataclass(frozen=True, slots=True)
class Tried:
    """How a witness was asked last."""

    at: datetime
    size: int
    failed: int = 0
    """Times in a row."""


@dataclass(frozen=True, slots=True)
class _Target:
    # A log to be signed by the witness at an address, which may have several keys there.

    url: str
    parties: tuple[Party, ...]
    head: reading.Head
    note: bytes

    @property
    def key(self) -> tuple[str, int]:
        return self.url, self.head.log_id


@dataclass(frozen=True, slots=True)
class _Result:
    # What came of asking: signatures, or what went wrong, and whether that is a claim about history.

    signatures: tuple[notes.Signature, ...] = ()
    trouble: str = ""
    disagrees: bool = False


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────


def is_due(size: int, tried: Tried | None, terms: Terms, now: datetime) -> bool:
    """Whether a witness is to be asked about a log of this size."""
    if tried is None:
        return True
    waited = (now - tried.at).total_seconds()
    if tried.failed:
        return waited >= min(terms.ask_seconds << min(tried.failed - 1, 10), terms.fresh_seconds)
    return waited >= (terms.ask_seconds if size > tried.size else terms.fresh_seconds)


def status_of(
    before: str | None,
    *,
    signed: bool,
    disagrees: bool,
    last: datetime | None,
    since: datetime,
    terms: Terms,
    now: datetime,
) -> str:
    """How a witness stands: after this round, by its last signature or, without one, since it is asked.

    Who said that history was changed is not merely silent: that stays until it signs.
    """
    if disagrees:
        return "disagreeing"
    if signed:
        return "answering"
    if before == "disagreeing":
        return before
    if now - max(last or since, since) >= timedelta(seconds=terms.silent_seconds):
        return "silent"
    return before or "expected"


def checked(note: bytes, lines: bytes, parties: Iterable[Party], now: datetime) -> _Result:
    """The signatures of these keys in a witness's answer, if they are right and of about now."""
    try:
        opened = notes.open(note + lines, [cosignatures.verifier(each.key) for each in parties])
    except Refusal as why:
        return _Result(trouble=str(why))
    for signature in opened.signatures:
        if abs(cosignatures.seconds(signature) - int(now.timestamp())) > CLOCK_SECONDS_MAX:
            return _Result(trouble="the time it signs is not now")
    return _Result(signatures=opened.signatures)


# ── the step ─────────────────────────────────────────────────────────────────────────────────────────────


class Collector:
    """Asks the witnesses of a policy about both logs, for as long as a process lives.

    db: as the sequencer. Remembers whom it asked when; another process's memory only costs a request more.
    """

    def __init__(self, db: Db, ask: asking.Ask, terms: Terms | None = None) -> None:
        self.db, self.terms = db, terms or Terms()
        self._ask = ask
        self._tried: dict[tuple[str, int], Tried] = {}

    def advance(self, trusted: Policy, *, now: datetime, at_once: bool = False) -> int:
        """One round: whoever is due is asked, all at a time. Returns how many signatures were kept.

        at_once: everybody is due.
        """
        targets = [
            each
            for each in self._targets(trusted)
            if at_once or is_due(each.head.size, self._tried.get(each.key), self.terms, now)
        ]
        results = self._asked(targets, now)
        for target in targets:
            failed = 0 if results[target.key].signatures else self._failures(target) + 1
            self._tried[target.key] = Tried(now, target.head.size, failed)
        with transaction.atomic(using=self.db):
            kept = _keep(self.db, targets, results)
            _tell(self.db, trusted, results, self.terms, now=now)
        return kept

    def _failures(self, target: _Target) -> int:
        tried = self._tried.get(target.key)
        return tried.failed if tried else 0

    def _targets(self, trusted: Policy) -> list[_Target]:
        places: dict[str, tuple[Party, ...]] = {}
        for party in trusted.witnesses.values():
            if party.url:
                places[party.url] = (*places.get(party.url, ()), party)
        found = []
        for log_id in keys.LOGS.values():
            head = reading.head(self.db, log_id)
            if head is not None and head.size and places:
                note = reading.own_note(self.db, log_id, head.size)
                found += [_Target(url, parties, head, note) for url, parties in places.items()]
        return found

    def _asked(self, targets: Sequence[_Target], now: datetime) -> dict[tuple[str, int], _Result]:
        """What came of asking each: what they need is read here, and only the network is waited for together."""
        waiting = {each.key: (each, self._request(each, self._signed_last(each))) for each in targets}
        results: dict[tuple[str, int], _Result] = {}
        for turn in range(_TURNS):
            if not waiting:
                break
            outcomes = self._outcomes([(target.url, sent) for target, sent in waiting.values()])
            again = {}
            for (key, (target, sent)), outcome in zip(waiting.items(), outcomes, strict=True):
                result = _result(target, sent, outcome, now)
                if result is not None:
                    results[key] = result
                elif turn + 1 == _TURNS:
                    results[key] = _Result(trouble="somebody else has it sign meanwhile")
                else:
                    assert isinstance(outcome, asking.SignedOther), "only this is followed"
                    again[key] = (target, self._request(target, outcome.size))
            waiting = again
        return results

    def _outcomes(self, asked: Sequence[tuple[str, request.Request]]) -> list[asking.Outcome]:
        """Everybody's answer, or that there was none in time: nobody waits for somebody who hangs."""
        together = ThreadPoolExecutor(_TOGETHER)
        try:
            given = [together.submit(self._ask, *each) for each in asked]
            done, _ = wait(given, timeout=ROUND_SECONDS_MAX)
            return [
                each.result() if each in done else asking.Unreachable("it took too long") for each in given
            ]
        finally:
            together.shutdown(wait=False, cancel_futures=True)

    def _request(self, target: _Target, old_size: int) -> request.Request:
        head = target.head
        proof = reading.consistency(self.db, head.log_id, old_size, head.size) if old_size else ()
        return request.of(old_size, proof, target.note)

    def _signed_last(self, target: _Target) -> int:
        head = target.head
        sizes = (
            quorum.last_signed(self.db, head.log_id, each.key.name, each.key.id)[0] for each in target.parties
        )
        return min(max(sizes), head.size)


def _result(target: _Target, sent: request.Request, outcome: asking.Outcome, now: datetime) -> _Result | None:
    """What an answer means; nothing where the witness is to be asked again, from what it signed last."""
    match outcome:
        case asking.Cosigned(lines):
            return checked(target.note, lines, target.parties, now)
        case asking.SignedOther(size) if size > target.head.size:
            # Our log was set back, or somebody else has its key.
            return _Result(trouble=f"it signed {size} entries, and here are fewer", disagrees=True)
        case asking.SignedOther(size) if size == sent.old_size == target.head.size:
            return _Result(trouble=f"it signed another root for {size} entries", disagrees=True)
        case asking.SignedOther():
            return None
        case asking.Declined(422, told):
            return _Result(trouble=f"what it signed is no part of this log ({told})", disagrees=True)
        case asking.Declined(status, told):
            return _Result(trouble=f"it declines: {status} {told}")
        case asking.Unreachable(reason):
            return _Result(trouble=reason)


def _keep(db: Db, targets: Iterable[_Target], results: Mapping[tuple[str, int], _Result]) -> int:
    rows = [
        (
            target.head.log_id,
            target.head.size,
            each.name,
            each.key_id,
            each.line,
            datetime.fromtimestamp(cosignatures.seconds(each), UTC),
        )
        for target in targets
        for each in results[target.key].signatures
    ]
    with connections[db].cursor() as cursor:
        cursor.executemany(
            "insert into evidence_cosignature (log_id, size, witness, key_id, line, signed_at)"
            " values (%s, %s, %s, %s, %s, %s)",
            rows,
        )
    return len(rows)


def _tell(
    db: Db,
    trusted: Policy,
    results: Mapping[tuple[str, int], _Result],
    terms: Terms,
    *,
    now: datetime,
) -> None:
    """Write down whose standing has changed."""
    for stand in quorum.stands(db, trusted):
        party = trusted.witnesses[stand.witness]
        result = results.get((party.url, stand.log_id), _Result())
        signed = any((each.name, each.key_id) == (party.key.name, party.key.id) for each in result.signatures)
        before = stand.status if stand.since else None
        status = status_of(
            before,
            signed=signed,
            disagrees=result.disagrees,
            last=stand.signed_at,
            since=_asked_since(db, stand.log_id, party.key) or now,
            terms=terms,
            now=now,
        )
        if status != before:
            _change(db, stand, party.key, status, "" if signed else result.trouble[:200], now=now)


def _asked_since(db: Db, log_id: int, key: notes.Key) -> datetime | None:
    rows = WitnessStatus.objects.using(db).filter(log_id=log_id, witness=key.name, key_id=key.id)
    first = rows.order_by("id").first()
    return first.at if first else None


def _change(db: Db, stand: quorum.Stands, key: notes.Key, status: str, reason: str, *, now: datetime) -> None:
    with connections[db].cursor() as cursor:
        cursor.execute(
            "insert into evidence_witness_status (log_id, witness, key_id, status, reason, at)"
            " values (%s, %s, %s, %s, %s, %s)",
            [stand.log_id, key.name, key.id, status, reason, now],
        )
    told = {
        "log": keys.names([stand.log_id])[0],
        "witness": stand.witness,
        "key": key.text,
        "before": stand.status if stand.since else None,
        "status": status,
        "reason": reason,
    }
    log.append(db, "evidence.witness_changed", told, actor=ACTOR, at=now)
    level = logging.INFO if status in ("expected", "answering") else logging.ERROR
    _LOG.log(level, "the witness %s of the log %s is %s: %s", stand.witness, told["log"], status, reason)

"""The writer of one book: gathers what is asked, judges it, stores it, and only then answers.

Promises: an answer is given after its commit. While one batch is being stored, the next is judged on what
the first will leave; if the first fails, the second is judged again. Another process may post to the same
book: the book's lock orders them, and whoever finds the head moved judges again. Nothing here is a fact:
a writer can be killed at any point and another one goes on from the tables.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol, cast
from zoneinfo import ZoneInfo

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import errors as pg

from tallystick.core import chance
from tallystick.custody import encoding, errors, judgement, loading, storing, transfers
from tallystick.custody.errors import TRANSFER_REFUSALS, PostingStopped, TransferRefusal
from tallystick.custody.judgement import Judgement
from tallystick.custody.loading import Connection, Head
from tallystick.custody.memory import Memory
from tallystick.custody.storing import STOPS, Facts, HeadMoved
from tallystick.custody.transfers import Batch, Row
from tallystick.evidence import log

GROUP_MAX = 16_000
"""The most transfers of one transaction."""

COPIED_MIN = 1_000
"""The fewest transfers that are copied in; below, one round trip counts for more than the cost of a row."""

AHEAD_MIN = 1_000
"""Judged ahead of the store from this size on; less only where nobody more is about to ask."""

HALVED_MIN = 400
"""So many callers at once are stored in two halves: while one is stored, the other asks and is judged.

Fewer are stored together: what a commit costs whatever is in it would be paid twice.
"""

BACKLOG_MAX = 200_000
"""The most transfers waiting; beyond, a request is told that the book is busy."""

REMEMBERED_MAX = 200_000
"""Transfers remembered by id before they are read from the tables again."""

STEP_BACK_MAX_US = 5_000_000
"""How far the clock may step back before posting stops. Until then, the last time stands still."""

CATCH_UP_SECONDS = 0.05
"""A busy book is not asked for its head before every group: the store finds out, under the lock, if it moved."""

GATHER_SECONDS_MAX = 0.003
GATHER_SECONDS_EACH = 0.000_03
GATHER_SECONDS_GAP = 0.0007
"""How long those who were just answered are waited for: in all, for each more, and after the last that came."""

BUSY_SECONDS = 0.5
"""How long after the last request a book still counts as busy."""

KIND = "custody.transfers_posted"


class Told(Protocol):
    """What became of transfers, as columns: see `Judgement`."""

    @property
    def refusal(self) -> NDArray[np.int16]: ...
    @property
    def replayed(self) -> NDArray[np.bool_]: ...
    @property
    def position(self) -> NDArray[np.int64]: ...
    @property
    def amount(self) -> NDArray[np.int64]: ...
    @property
    def recorded_at(self) -> NDArray[np.int64]: ...
    @property
    def after(self) -> NDArray[np.int64]: ...


class Results:
    """What became of each transfer asked for; row i is transfer i. See `Judgement` for the columns.

    A stretch of what was judged together, cut out only where it is read: of a thousand callers with one
    transfer each, most read one column.
    """

    __slots__ = ("_start", "_stop", "_told")

    def __init__(self, told: Told, start: int, stop: int) -> None:
        self._told, self._start, self._stop = told, start, stop

    @property
    def refusal(self) -> NDArray[np.int16]:
        return self._told.refusal[self._start : self._stop]

    @property
    def replayed(self) -> NDArray[np.bool_]:
        return self._told.replayed[self._start : self._stop]

    @property
    def position(self) -> NDArray[np.int64]:
        return self._told.position[self._start : self._stop]

    @property
    def amount(self) -> NDArray[np.int64]:
        return self._told.amount[self._start : self._stop]

    @property
    def recorded_at(self) -> NDArray[np.int64]:
        return self._told.recorded_at[self._start : self._stop]

    @property
    def after(self) -> NDArray[np.int64]:
        return self._told.after[self._start : self._stop]

    def __len__(self) -> int:
        return self._stop - self._start

    def refusal_of(self, i: int) -> type[TransferRefusal] | None:
        """Why transfer i was refused, or None where it was accepted."""
        number = int(self.refusal[i])
        return TRANSFER_REFUSALS[number - 1] if number else None

    @property
    def accepted(self) -> int:
        return int((self.refusal == 0).sum())


class Reply(Protocol):
    """Where an answer is left: a future, of whatever kind its caller waits for."""

    def set_result(self, result: Results, /) -> None: ...

    def set_exception(self, exception: BaseException, /) -> None: ...


@dataclass(slots=True)
class _Request:
    batch: Batch | Row
    actor: str
    now: int
    reply: Reply
    loop: asyncio.AbstractEventLoop | None = None
    """The loop whose thread alone may be left the answer, where there is one."""
    look_up: bool = False
    """Its ids may have been used before: read them from the tables before judging."""
    alone: bool = False
    """A group it was in failed by a fault: judged and stored by itself, so that it fails nobody else."""


@dataclass(slots=True)
class _Group:
    requests: list[_Request]
    judged: Judgement | None = None
    rows: encoding.Copied | encoding.Called | None = None
    salt: bytes = b""
    """Of the event, and so of the blinds of its leaves."""
    head: Head | None = None
    """Where the book must stand when this is stored."""
    refusals: list[tuple[object, ...]] = field(default_factory=list)
    event: log.Row | None = None


class _MustWait(Exception):
    """This cannot be judged before the transaction under way has ended."""


class BookWriter:
    """Post to one book. `submit` from any thread; `close` when done."""

    def __init__(self, connect: Callable[[], Connection], book: int) -> None:
        """connect: a new connection as the ledger's writer."""
        self._connect = connect
        self.book = book
        self._memory = Memory(book)
        self._has_refusals = False
        self._refusal_seen = 0
        self._refusal_stored = 0  # the store's own
        self._fresh = False
        self._caught_up = 0.0
        self._time_zone: ZoneInfo | None = None
        self._events: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._to_store: queue.SimpleQueue[_Group | None] = queue.SimpleQueue()
        self._backlog: deque[_Request] = deque()
        self._waiting = 0
        self._asked = 0.0
        self._waiting_lock = threading.Lock()
        self._reader: Connection | None = None
        self._writer: Connection | None = None
        self._closed = False
        self._judge_thread = threading.Thread(target=self._judge_all, name=f"judge-{book}", daemon=True)
        self._store_thread = threading.Thread(target=self._store_all, name=f"store-{book}", daemon=True)
        self._judge_thread.start()
        self._store_thread.start()

    def submit(self, batch: Batch | Row, *, actor: str, now: int) -> Future[Results]:
        """Ask for these transfers, in this order, all in one transaction with whoever asks at the same time.

        now: microseconds since 1970. Raises `PostingStopped("busy")` where too much is waiting.
        """
        future: Future[Results] = Future()
        self._ask(_Request(batch, actor, now, future))
        return future

    def submit_async(self, batch: Batch | Row, *, actor: str, now: int) -> asyncio.Future[Results]:
        """The same for a caller in an event loop: a loop is woken once for all its answers of a commit."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Results] = loop.create_future()
        self._ask(_Request(batch, actor, now, future, loop))
        return future

    @property
    def is_busy(self) -> bool:
        """Whether transfers are waiting, or were asked for a moment ago: more may be on their way."""
        return bool(self._waiting) or time.monotonic() - self._asked < BUSY_SECONDS

    def _ask(self, request: _Request) -> None:
        with self._waiting_lock:
            if self._waiting + len(request.batch) > BACKLOG_MAX and self._waiting:
                raise PostingStopped("busy", f"{self._waiting} transfers are waiting for book {self.book}")
            self._waiting += len(request.batch)
        self._asked = time.monotonic()
        self._events.put(request)

    def preload(self) -> int:
        """Know every account and authorisation of the book ahead of the first transfer. Returns how many."""
        done: Future[Results] = Future()
        self._events.put(("preload", done))
        done.result()
        return len(self._memory.accounts.index)

    def close(self) -> None:
        """Store what was asked for, then stop."""
        if not self._closed:
            self._closed = True
            self._events.put(None)
            self._judge_thread.join()
            self._store_thread.join()

    # ── the judge's thread ───────────────────────────────────────────────────────────────────────────────

    def _judge_all(self) -> None:
        storing: _Group | None = None
        ready: _Group | None = None
        closing = False
        answered = 0
        while not (closing and storing is None and ready is None and not self._backlog):
            # With a backlog and nothing being stored there is work to do at once: no waiting.
            idle = storing is None and (closing or bool(self._backlog))
            for item in self._arrivals(wait=not idle):
                if item is None:
                    closing = True
                elif isinstance(item, _Request):
                    self._backlog.append(item)
                elif item[0] == "preload":  # type: ignore[index]
                    self._preload(item[1])  # type: ignore[index]
                else:
                    group, failure = cast("tuple[_Group, BaseException | None]", item)
                    storing = None
                    answered = len(group.requests)
                    if failure is not None:
                        if ready is not None:
                            self._backlog.extendleft(reversed(ready.requests))
                            ready = None
                        self._failed(group, failure)
            if storing is None and ready is not None:
                storing, ready = self._start(ready), None
            gathered = False
            if ready is None and answered > 1 and not closing:
                # Those just answered are about to ask again: one commit for all of them, not many.
                self._gather(answered)
                answered, gathered = 0, True
            if storing is None and self._backlog:
                gathered = len(self._backlog) >= HALVED_MIN
                group_or_none = self._judged(self._take(halved=gathered))
                storing = self._start(group_or_none) if group_or_none else None
            if storing is not None and ready is None and self._is_worth_judging(gathered=gathered):
                taken = self._take()
                if self._can_judge_ahead(taken):
                    ready = self._judged(taken, storing)
                else:
                    self._backlog.extendleft(reversed(taken))
        self._to_store.put(None)
        with contextlib.suppress(psycopg.Error):
            if self._reader is not None:
                self._reader.close()

    def _arrivals(self, *, wait: bool) -> Iterator[object]:
        if wait:
            yield self._events.get()
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._events.get_nowait()

    def _gather(self, more: int) -> None:
        """Wait for up to so many more requests, as long as they keep coming."""
        until = time.monotonic() + GATHER_SECONDS_MAX + more * GATHER_SECONDS_EACH
        while more > 0 and (left := until - time.monotonic()) > 0:
            try:
                item = self._events.get(timeout=min(left, GATHER_SECONDS_GAP))
            except queue.Empty:
                return
            if isinstance(item, _Request):
                self._backlog.append(item)
                more -= 1
            else:
                self._events.put(item)  # not a request: the loop's to deal with
                return

    def _is_worth_judging(self, *, gathered: bool) -> bool:
        """Whether to judge the backlog ahead of the store. gathered: nobody more is about to ask."""
        if gathered and len(self._backlog) >= HALVED_MIN // 2:
            return True
        return sum(len(request.batch) for request in self._backlog) >= AHEAD_MIN

    def _take(self, *, halved: bool = False) -> list[_Request]:
        """The requests of the next transaction, in the order they came."""
        most = (len(self._backlog) + 1) // 2 if halved else len(self._backlog)
        taken = [self._backlog.popleft()]
        size = len(taken[0].batch)
        if taken[0].alone:
            return taken
        while (
            len(taken) < most
            and not self._backlog[0].alone
            and size + len(self._backlog[0].batch) <= GROUP_MAX
        ):
            taken.append(self._backlog.popleft())
            size += len(taken[-1].batch)
        return taken

    def _start(self, group: _Group) -> _Group:
        self._to_store.put(group)
        return group

    def _can_judge_ahead(self, requests: list[_Request]) -> bool:
        """Whether nothing has to be read that the transaction under way may be about to write."""
        # After a failure the memory may be wrong until it has caught up with the tables.
        return self._fresh and not any(
            request.look_up
            or (
                request.batch.pending != transfers.NO_ID or request.batch.reverses != transfers.NO_ID
                if isinstance(request.batch, Row)
                else request.batch.pending is not None or request.batch.reverses is not None
            )
            for request in requests
        )

    def _judged(self, requests: list[_Request], storing: _Group | None = None) -> _Group | None:
        """Judge and encode; on a failure, tell whoever asked and return None.

        storing: the group under way, on whose result this one is judged ahead.
        """
        try:
            return self._judge(requests, storing)
        except _MustWait:
            self._backlog.extendleft(reversed(requests))
        except PostingStopped as stopped:
            self._give_up(requests, stopped)
        except STOPS as error:
            self._forget()
            self._reader = None
            self._give_up(requests, _stopped(error))
        except Exception as error:  # a fault of ours: told to the caller, and nothing was stored
            self._forget()
            self._fault(requests, error)
        return None

    def _judge(self, requests: list[_Request], storing: _Group | None) -> _Group:
        reader = self._reading()
        if storing is None:
            if not self._fresh or time.monotonic() - self._caught_up > CATCH_UP_SECONDS:
                self._catch_up(reader)
                self._caught_up = time.monotonic()
            self._shed()
        memory = self._memory
        now = max(request.now for request in requests)
        if now < memory.recorded_at:
            if memory.recorded_at - now > STEP_BACK_MAX_US:
                raise PostingStopped(
                    "clock_stepped_back",
                    f"book {self.book} was last posted to at {transfers.moment(memory.recorded_at).isoformat()}, "
                    f"and the clock says {transfers.moment(now).isoformat()}",
                )
            now = memory.recorded_at
        batch = _gathered([request.batch for request in requests])
        head = Head(memory.last_position, memory.recorded_at, memory.changes, self._refusal_seen)
        today = self._today(reader, now)
        look_up = any(request.look_up for request in requests)
        # Most batches name only what is known. Where one does not, learn, and judge again.
        judged = None if look_up or self._has_refusals else judgement.at_once(memory, batch, now, today)
        if judged is None:
            self._learn(reader, batch, look_up=look_up)
            judged = judgement.at_once(memory, batch, now, today)
        if judged is None:
            self._recall(reader, batch, storing)
            judged = judgement.in_order(memory, batch, now, today)
        group = _Group(requests, judged, salt=chance.salt(), head=head)
        if judged.is_posted.any():
            small = len(batch) < COPIED_MIN and not judged.is_newly_refused.any()
            encode = encoding.called if small else encoding.copied
            group.rows = encode(judged, self.book, group.salt)
        self._record(group)
        return group

    def _shed(self) -> None:
        """Let go of what is remembered beyond measure: while nothing is being stored, the tables have it."""
        if len(self._memory.known) > REMEMBERED_MAX:
            self._memory.known.clear()
        if len(self._memory.refused) > REMEMBERED_MAX:
            self._memory.refused.clear()

    def _recall(self, reader: Connection, batch: Batch, storing: _Group | None) -> None:
        """Know which of these ids were posted before.

        What is accepted under a used id, the table turns away. What is refused, nothing would: a repetition
        of a posted transfer, asked for when its money is gone, would get a second and other answer.
        """
        ids = batch.id_list
        if storing is not None and storing.judged is not None:
            # Neither in the tables yet nor, where it was judged at once, in the memory.
            if not set(storing.judged.batch.id_list).isdisjoint(ids):
                raise _MustWait
        wanted = set(ids) - self._memory.known.keys() - self._memory.refused.keys()
        if wanted:
            loading.known(reader, self._memory, wanted)

    def _learn(self, reader: Connection, batch: Batch, *, look_up: bool) -> None:
        """Know everything this batch names."""
        memory = self._memory
        ids = batch.id_list
        if self._has_refusals or look_up:
            loading.refused(reader, memory, ids)
        wanted = set(ids) if look_up else set()
        for column in (batch.pending, batch.reverses):
            if column is not None:
                wanted |= {raw for raw in transfers.sixteens(column) if raw.strip(b"\0")}
        wanted -= memory.known.keys()
        if wanted:
            loading.known(reader, memory, wanted)
        named = set(batch.debit.tolist()) | set(batch.credit.tolist())
        asked = set(batch.authorisation.tolist())
        if batch.pending is not None:
            for raw in transfers.sixteens(batch.pending):
                pending = memory.known.get(raw)
                if pending is not None:
                    named |= {pending.debit, pending.credit}
        named -= memory.accounts.index.keys()
        named.discard(0)
        if named:
            loading.accounts(reader, memory, named)
        asked -= memory.authorisations.index.keys()
        asked.discard(0)
        if asked:
            loading.authorisations(reader, memory, asked)

    def _catch_up(self, reader: Connection) -> None:
        """Bring the memory to the book's head: others may have posted, or changed accounts."""
        memory = self._memory
        head = loading.head(reader, self.book)
        if not self._fresh or head.last_position < memory.last_position:
            memory = self._memory = Memory(self.book)
            self._fresh = True
            memory.last_position, memory.recorded_at, memory.changes = (
                head.last_position,
                head.recorded_at,
                head.changes,
            )
        self._has_refusals = head.refusal != 0
        self._refusal_seen = head.refusal
        if head.last_position > memory.last_position:
            moved, used = loading.touched_since(reader, self.book, memory.last_position)
            # Transfers of others may have settled, reversed or repeated those remembered here.
            memory.known.clear()
            loading.accounts(reader, memory, moved & memory.accounts.index.keys())
            loading.authorisations(reader, memory, used & memory.authorisations.index.keys())
            memory.last_position, memory.recorded_at = head.last_position, head.recorded_at
        if head.changes != memory.changes:
            states, withdrawn = loading.changed_since(reader, self.book, memory.changes)
            loading.accounts(reader, memory, states & memory.accounts.index.keys())
            loading.authorisations(reader, memory, withdrawn & memory.authorisations.index.keys())
            memory.changes = head.changes

    def _record(self, group: _Group) -> None:
        """The rows that say what was refused, and the event that says what was done."""
        judged = group.judged
        assert judged is not None
        at = transfers.moment(judged.now)
        refused: dict[str, int] = {}
        refusals = np.flatnonzero(judged.is_newly_refused).tolist()
        if refusals:
            bounds = np.cumsum([len(request.batch) for request in group.requests])
            seen: set[bytes] = set()
            for i in refusals:
                refusal = TRANSFER_REFUSALS[int(judged.refusal[i]) - 1]
                refused[refusal.code] = refused.get(refusal.code, 0) + 1
                raw = judged.batch.ids[16 * i : 16 * i + 16]
                if raw in seen or raw in self._memory.known or refusal is errors.IdUsedWithOtherContent:
                    continue  # the id has its first result already
                if refusal is errors.LinkedTransferRefused:
                    continue  # not by its own fault: not final
                seen.add(raw)
                actor = group.requests[int(np.searchsorted(bounds, i, side="right"))].actor
                request = transfers.request_json(judged.batch, i)
                content = judgement.content(judged.batch, i)
                group.refusals.append((self.book, raw.hex(), refusal.code, content, request, at, actor))
        if group.rows is None and not refused:
            return
        actors = {request.actor for request in group.requests}
        by: list[list[object]] = []
        for asked in group.requests:
            if by and by[-1][0] == asked.actor:
                by[-1][1] = int(by[-1][1]) + len(asked.batch)  # type: ignore[call-overload]
            else:
                by.append([asked.actor, len(asked.batch)])
        count = group.rows.count if group.rows else 0
        payload: dict[str, Any] = {
            "book": self.book,
            "first_position": judged.first_position if count else 0,
            "last_position": judged.first_position + count - 1 if count else 0,
            "transfers": count,
            "sha256": group.rows.digest.hex() if group.rows else "",
            "refused": refused,
            "by": by,
        }
        group.event = log.row(
            KIND,
            payload,
            actor=actors.pop() if len(actors) == 1 else "system:posting",
            at=at,
            salt=group.salt,
            leaves=group.rows.leaves if group.rows else None,
        )

    def _failed(self, group: _Group, failure: BaseException) -> None:
        """A group was not stored. What can be judged again is; the rest is told to whoever asked."""
        self._forget()
        if isinstance(failure, HeadMoved):
            self._backlog.extendleft(reversed(group.requests))
        elif isinstance(failure, pg.UniqueViolation) and not all(
            request.look_up for request in group.requests
        ):
            # An id was used before: a repetition, or a misuse. Look the ids up and judge again.
            for request in group.requests:
                request.look_up = True
            self._backlog.extendleft(reversed(group.requests))
        elif isinstance(failure, PostingStopped):
            self._give_up(group.requests, failure)
        elif isinstance(failure, STOPS):
            self._give_up(group.requests, _stopped(failure))
        else:
            self._fault(group.requests, failure)

    def _fault(self, requests: list[_Request], failure: BaseException) -> None:
        """One of these cannot be judged or stored: each gets its own try, so that it fails alone."""
        if len(requests) > 1:
            for request in requests:
                request.alone = True
            self._backlog.extendleft(reversed(requests))
        else:
            self._give_up(requests, failure)

    def _give_up(self, requests: list[_Request], failure: BaseException) -> None:
        self._reply(requests, [failure] * len(requests))

    def _reply(self, requests: list[_Request], answers: Sequence[Results | BaseException]) -> None:
        with self._waiting_lock:
            self._waiting -= sum(len(request.batch) for request in requests)
        loops: dict[asyncio.AbstractEventLoop, list[tuple[Reply, Results | BaseException]]] = {}
        for request, answer in zip(requests, answers, strict=True):
            if request.loop is None:
                _leave(request.reply, answer)
            else:
                loops.setdefault(request.loop, []).append((request.reply, answer))
        for loop, left in loops.items():
            # A loop that was closed has nobody left to tell.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_leave_all, left)

    def _forget(self) -> None:
        self._fresh = False

    def _reading(self) -> Connection:
        if self._reader is None or self._reader.closed:
            self._reader = self._connect()
            self._reader.autocommit = True
            # Plans made while a table was empty would scan it whole when it is not.
            self._reader.execute("set plan_cache_mode = force_custom_plan")
            self._reader.execute("set enable_seqscan = off")
        return self._reader

    def _today(self, reader: Connection, now: int) -> int:
        if self._time_zone is None:
            row = reader.execute("select time_zone from custody_book where id = %s", [self.book]).fetchone()
            if row is None:
                raise errors.BookUnknown(book=self.book)
            self._time_zone = ZoneInfo(str(row[0]))
        return transfers.day_number(transfers.moment(now).astimezone(self._time_zone).date())

    def _preload(self, done: Future[Results]) -> None:
        try:
            reader = self._reading()
            self._catch_up(reader)
            for table, load in (
                ("custody_account", loading.accounts),
                ("custody_authorisation", loading.authorisations),
            ):
                sql = f"select number from {table} where book_id = %s"  # noqa: S608
                numbers = reader.execute(sql, [self.book]).fetchall()
                load(reader, self._memory, [row[0] for row in numbers])  # type: ignore[misc]
            done.set_result(None)  # type: ignore[arg-type]
        except Exception as error:
            done.set_exception(error)

    # ── the store's thread ───────────────────────────────────────────────────────────────────────────────

    def _store_all(self) -> None:
        while (group := self._to_store.get()) is not None:
            failure: BaseException | None = None
            try:
                self._store(group)
            except BaseException as error:
                failure = error
            if failure is None:
                # Told before anything else: the judge must know of the commit before it judges again.
                self._events.put((group, None))
                self._answer(group)
            else:
                self._events.put((group, failure))
        if self._writer is not None:
            self._writer.close()

    def _store(self, group: _Group) -> None:
        """One transaction. After its commit the transfers are facts."""
        if group.event is None:
            return  # only repetitions: nothing to write
        assert group.head is not None
        facts = Facts(self.book, group.head, group.rows, group.refusals, group.event)
        newest = storing.store(self._writing(), facts, own_refusal=self._refusal_stored)
        if newest is not None:
            self._refusal_stored = newest

    def _writing(self) -> Connection:
        if self._writer is None or self._writer.closed:
            self._writer = self._connect()
            storing.prepare(self._writer)
        return self._writer

    def _answer(self, group: _Group) -> None:
        start = 0
        assert group.judged is not None
        answers = []
        for request in group.requests:
            stop = start + len(request.batch)
            answers.append(Results(group.judged, start, stop))
            start = stop
        self._reply(group.requests, answers)


def _leave(reply: Reply, answer: Results | BaseException) -> None:
    if isinstance(answer, BaseException):
        reply.set_exception(answer)
    else:
        reply.set_result(answer)


def _leave_all(left: list[tuple[Reply, Results | BaseException]]) -> None:
    for reply, answer in left:
        if not (isinstance(reply, asyncio.Future) and reply.done()):  # its caller may have given up
            _leave(reply, answer)


def _gathered(parts: list[Batch | Row]) -> Batch:
    """What several callers asked for as one batch, in their order."""
    batches: list[Batch] = []
    for is_row, run in itertools.groupby(parts, lambda part: isinstance(part, Row)):
        some = list(run)
        batches += [transfers.of_rows(some)] if is_row else some  # type: ignore[arg-type]
    return transfers.joined(batches)


def _stopped(error: psycopg.Error) -> PostingStopped:
    """Why the database does not take transfers, in a word an operator can act on."""
    states: dict[type[psycopg.Error], str] = {
        pg.DiskFull: "disk_full",
        pg.ReadOnlySqlTransaction: "read_only",
        pg.InsufficientPrivilege: "read_only",
    }
    state = states.get(type(error), "database_unreachable")
    return PostingStopped(
        state, str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    )

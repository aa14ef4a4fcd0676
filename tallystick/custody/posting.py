"""The way to the writer: in this process, or in the posting process over a socket.

Promises: whoever calls `gateway().post` gets an answer only after the commit. The posting process alone
holds the writer's role in a deployment; web workers ask it over a socket in the state directory that only
the same user may open. Callers who ask at the same time share a commit.
"""

from __future__ import annotations

import os
import socket
import socketserver
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
import psycopg
from django.conf import settings
from django.db import connections
from numpy.typing import NDArray

from tallystick.core.db import Db
from tallystick.custody.book_writer import BookWriter, Results
from tallystick.custody.errors import BookUnknown, OutcomeUnknown, PostingStopped
from tallystick.custody.loading import Connection
from tallystick.custody.numbers import BookId
from tallystick.custody.transfers import Batch

ANSWER_SECONDS_MAX = 60.0
"""How long a caller waits for the commit before it is told that the outcome is unknown."""

FRAME_MAX = 64 * 1024 * 1024
"""The largest message over the socket, in bytes."""


class Gateway(Protocol):
    """The way to the writer of a book."""

    def post(self, db: Db, book: BookId, batch: Batch, *, actor: str, now: int) -> Results:
        """Post and wait for the commit. now: microseconds since 1970."""
        ...


def writer_alias(db: Db) -> str:
    """The alias that reaches the same database as the ledger's writer."""
    return "writer" if db == "default" else f"{db}_writer"


def connect(db: Db) -> Callable[[], Connection]:
    """How to open a connection as the ledger's writer; the parameters are those of now."""
    parameters = connections[writer_alias(db)].get_connection_params()
    wanted = {
        name: parameters[name]
        for name in ("dbname", "user", "password", "host", "port", "options")
        if parameters.get(name)
    }
    return lambda: psycopg.connect(**wanted, application_name="tallystick posting")


class InProcess:
    """Writers in this process, one a book, each made when first needed."""

    def __init__(self) -> None:
        self._writers: dict[tuple[Db, int], BookWriter] = {}
        self._lock = threading.Lock()

    def writer(self, db: Db, book: BookId) -> BookWriter:
        with self._lock:
            if (db, book) not in self._writers:
                self._writers[db, book] = BookWriter(connect(db), book)
            return self._writers[db, book]

    def submit(self, db: Db, book: BookId, batch: Batch, *, actor: str, now: int) -> Future[Results]:
        return self.writer(db, book).submit(batch, actor=actor, now=now)

    def post(self, db: Db, book: BookId, batch: Batch, *, actor: str, now: int) -> Results:
        try:
            return self.submit(db, book, batch, actor=actor, now=now).result(ANSWER_SECONDS_MAX)
        except TimeoutError:
            raise OutcomeUnknown(
                "busy", f"no answer within {ANSWER_SECONDS_MAX:.0f} s; ask again with the same ids"
            ) from None

    @property
    def is_busy(self) -> bool:
        """Whether any book is being posted to."""
        with self._lock:
            return any(writer.is_busy for writer in self._writers.values())

    def close(self) -> None:
        """Finish what was asked for and close the connections."""
        with self._lock:
            writers, self._writers = list(self._writers.values()), {}
        for writer in writers:
            writer.close()


# ── over the socket ──────────────────────────────────────────────────────────────────────────────────────

_NUMBERS = "kind code debit credit amount authorisation linked balancing expires at value_date".split()
_BATCH_TYPES = {
    name: np.dtype(kind)
    for name, kind in zip(_NUMBERS, "i1 i2 i8 i8 i8 i8 ? i1 i8 i8 i4".split(), strict=True)
}
_RESULT_TYPES = {
    "refusal": np.dtype("i2"),
    "replayed": np.dtype("?"),
    "position": np.dtype("i8"),
    "amount": np.dtype("i8"),
    "recorded_at": np.dtype("i8"),
    "after": np.dtype("i8"),
}


class _Ask(msgspec.Struct):
    db: str
    book: int
    actor: str
    now: int
    ids: bytes
    columns: dict[str, bytes]
    pending: bytes | None = None
    reverses: bytes | None = None
    reference: list[str | None] | None = None
    payee: list[str | None] | None = None
    reason: list[str | None] | None = None
    metadata: list[str | None] | None = None


class _Answer(msgspec.Struct):
    columns: dict[str, bytes] = {}
    stopped: tuple[str, str] | None = None
    unknown_book: int = 0
    is_unknown: bool = False
    fault: str = ""


_ASK, _ANSWER = msgspec.msgpack.Decoder(_Ask), msgspec.msgpack.Decoder(_Answer)
_ENCODER = msgspec.msgpack.Encoder()


class _Columns(NamedTuple):
    refusal: NDArray[np.int16]
    replayed: NDArray[np.bool_]
    position: NDArray[np.int64]
    amount: NDArray[np.int64]
    recorded_at: NDArray[np.int64]
    after: NDArray[np.int64]


class OverSocket:
    """The posting process, asked over its socket. One connection a thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()

    def post(self, db: Db, book: BookId, batch: Batch, *, actor: str, now: int) -> Results:
        ask = _Ask(
            db=db,
            book=book,
            actor=actor,
            now=now,
            ids=batch.ids,
            columns={name: np.ascontiguousarray(getattr(batch, name)).tobytes() for name in _NUMBERS},
            pending=batch.pending,
            reverses=batch.reverses,
            **{
                name: None if (column := getattr(batch, name)) is None else list(column)
                for name in ("reference", "payee", "reason", "metadata")
            },
        )
        connection = self._connection()
        try:
            _send(connection, _ENCODER.encode(ask))
            reply = _receive(connection)
        except OSError as error:
            self._drop()
            raise OutcomeUnknown(
                "posting_unreachable", f"the posting process went away: {error}; ask again with the same ids"
            ) from error
        if reply is None:
            self._drop()
            raise OutcomeUnknown(
                "posting_unreachable", "the posting process went away; ask again with the same ids"
            )
        answer = _ANSWER.decode(reply)
        if answer.stopped is not None:
            raise (OutcomeUnknown if answer.is_unknown else PostingStopped)(*answer.stopped)
        if answer.unknown_book:
            raise BookUnknown(book=answer.unknown_book)
        if answer.fault:
            raise RuntimeError(answer.fault)
        columns: dict[str, Any] = {
            name: np.frombuffer(answer.columns[name], kind) for name, kind in _RESULT_TYPES.items()
        }
        columns["after"] = columns["after"].reshape(-1, 2, 4)
        return Results(_Columns(**columns), 0, len(columns["refusal"]))

    def _connection(self) -> socket.socket:
        kept: socket.socket | None = getattr(self._local, "connection", None)
        if kept is not None and _is_closed(kept):
            self._drop()
            kept = None
        if kept is None:
            kept = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            kept.settimeout(ANSWER_SECONDS_MAX + 5)
            try:
                kept.connect(str(self.path))
            except OSError as error:
                raise PostingStopped(
                    "posting_unreachable", f"the posting process does not answer: {error}"
                ) from error
            self._local.connection = kept
        return kept

    def _drop(self) -> None:
        self._local.connection.close()
        self._local.connection = None


def serve(path: Path, within: InProcess) -> socketserver.BaseServer:
    """The posting process's server on this socket, not yet running: call `serve_forever`."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            # Only processes of this user, or root's, may post.
            credentials = self.request.getsockopt(
                socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
            )
            if struct.unpack("3i", credentials)[1] not in (os.geteuid(), 0):
                return
            try:
                while (frame := _receive(self.request)) is not None:
                    _send(self.request, _ENCODER.encode(_answered(within, frame)))
            except (ConnectionError, msgspec.MsgspecError):
                return

    class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True
        request_queue_size = 256

    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    mask = os.umask(0o177)
    try:
        return Server(str(path), Handler)
    finally:
        os.umask(mask)


def _answered(within: InProcess, frame: bytes) -> _Answer:
    ask = _ASK.decode(frame)
    batch = Batch(
        ids=ask.ids,
        **{name: np.frombuffer(ask.columns[name], kind) for name, kind in _BATCH_TYPES.items()},
        pending=ask.pending,
        reverses=ask.reverses,
        reference=ask.reference,
        payee=ask.payee,
        reason=ask.reason,
        metadata=ask.metadata,
    )
    try:
        results = within.post(Db(ask.db), BookId(ask.book), batch, actor=ask.actor, now=ask.now)
    except PostingStopped as stopped:
        return _Answer(
            stopped=(stopped.state, stopped.detail), is_unknown=isinstance(stopped, OutcomeUnknown)
        )
    except BookUnknown:
        return _Answer(unknown_book=ask.book)
    except Exception as error:
        return _Answer(fault=f"{type(error).__name__}: {error}")
    return _Answer(
        columns={name: np.ascontiguousarray(getattr(results, name)).tobytes() for name in _RESULT_TYPES}
    )


def _send(connection: socket.socket, frame: bytes) -> None:
    connection.sendall(len(frame).to_bytes(4, "big") + frame)


def _receive(connection: socket.socket) -> bytes | None:
    size = _exactly(connection, 4)
    if size is None:
        return None
    length = int.from_bytes(size, "big")
    if length > FRAME_MAX:
        raise ConnectionError(f"a message of {length} bytes")
    return _exactly(connection, length)


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    parts, missing = [], count
    while missing:
        part = connection.recv(min(missing, 1 << 20))
        if not part:
            return None
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _is_closed(connection: socket.socket) -> bool:
    """Whether the other end hung up while nothing was asked."""
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(ANSWER_SECONDS_MAX + 5)


# ── which one ────────────────────────────────────────────────────────────────────────────────────────────

_in_process = InProcess()
_gateway: Gateway | None = None


def in_process() -> InProcess:
    """This process's own writers."""
    return _in_process


def gateway() -> Gateway:
    """The way to the writer that this process uses: what `use` or the settings say, else its own writers."""
    global _gateway
    if _gateway is None and not settings.POSTING_IN_PROCESS:
        _gateway = OverSocket(settings.POSTING_SOCKET)
    return _gateway or _in_process


def use(chosen: Gateway | None) -> None:
    """Choose the way for this process; None: its own writers."""
    global _gateway
    _gateway = chosen


def close() -> None:
    """Close this process's writers."""
    _in_process.close()

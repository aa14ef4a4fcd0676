"""Asking a witness: one request over HTTP, within a time, and what came of it.

Promises: never more time or memory than was given, whatever the other side does; nothing is followed elsewhere;
nothing that comes back is believed here.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from tallystick.evidence.witness import request

ANSWER_BYTES_MAX = 256 * 1024
TIMEOUT_SECONDS = 5

_PIECE = 16 * 1024


@dataclass(frozen=True, slots=True)
class Cosigned:
    """200: what should be signature lines."""

    lines: bytes


@dataclass(frozen=True, slots=True)
class SignedOther:
    """409: the size that it signed last."""

    size: int


@dataclass(frozen=True, slots=True)
class Declined:
    """Any other answer."""

    status: int
    told: str


@dataclass(frozen=True, slots=True)
class Unreachable:
    """No answer in the time that was given."""

    reason: str


Outcome = Cosigned | SignedOther | Declined | Unreachable

Ask = Callable[[str, request.Request], Outcome]
"""Asks the witness at an address."""


def ask(url: str, asked: request.Request, *, timeout_seconds: int = TIMEOUT_SECONDS) -> Outcome:
    """Ask the witness at this address to sign."""
    found = _exchange("POST", url, request.PATH, asked.body, timeout_seconds)
    if isinstance(found, Unreachable):
        return found
    status, type_, body = found
    if status == 200:
        return Cosigned(body)
    if status == 409 and type_ == request.SIZE_TYPE:
        size = request.parse_size(body)
        if size is not None:
            return SignedOther(size)
    return Declined(status, _shown(body))


def last_checkpoint(
    url: str, origin: str, *, timeout_seconds: int = TIMEOUT_SECONDS
) -> bytes | Declined | Unreachable:
    """The checkpoint of a log that a witness signed last, as it shows it to everybody."""
    path = f"/{hashlib.sha256(origin.encode()).hexdigest()}/checkpoint"
    found = _exchange("GET", url, path, None, timeout_seconds)
    if isinstance(found, Unreachable):
        return found
    status, _, body = found
    return body if status == 200 else Declined(status, _shown(body))


def _exchange(
    method: str,
    url: str,
    path: str,
    body: bytes | None,
    timeout_seconds: int,
) -> tuple[int, str, bytes] | Unreachable:
    try:
        place = urlsplit(url)
        kind = {"https": http.client.HTTPSConnection, "http": http.client.HTTPConnection}[place.scheme]
        connection = kind(place.hostname or "", place.port, timeout=timeout_seconds)
    except (KeyError, ValueError):
        return Unreachable("its address is no http or https address")
    late = threading.Event()
    cut = threading.Timer(timeout_seconds, late.set)
    try:
        connection.connect()
        # Somebody who sends a byte now and then never runs into the timeout of a single wait.
        cut = threading.Timer(timeout_seconds, _cut, [connection.sock, late])
        cut.daemon = True
        cut.start()
        connection.request(method, place.path.rstrip("/") + path, body)
        answer = connection.getresponse()
        read = b""
        while piece := answer.read1(_PIECE):
            read += piece
            if len(read) > ANSWER_BYTES_MAX:
                return Unreachable("its answer is too long")
        if late.is_set():
            return Unreachable("it took too long")
        return answer.status, answer.headers.get_content_type(), read
    except TimeoutError:
        return Unreachable("it took too long")
    except (OSError, http.client.HTTPException) as why:
        return Unreachable("it took too long" if late.is_set() else f"no connection ({type(why).__name__})")
    finally:
        cut.cancel()
        connection.close()


def _cut(line: socket.socket, late: threading.Event) -> None:
    # Told first: whoever waits finds the connection at its end, which looks like a whole answer.
    late.set()
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


def _shown(body: bytes) -> str:
    """A stranger's words, short and without anything but letters that print."""
    return "".join(each for each in body[:200].decode("utf-8", "replace") if each.isprintable())[:120]

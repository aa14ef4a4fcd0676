"""The door of a witness: HTTP/1.1 with bounds on everything that strangers send.

Promises: nobody is given more time, connections or memory than the bounds say; a fault of one request ends that
request alone. Ends no TLS: a proxy in front does, and what is signed needs none.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tallystick.evidence.witness import request
from tallystick.evidence.witness.witnessing import Answer, Witness

REQUEST_SECONDS_MAX = 15
"""From a request's first byte, or the end of the one before it, to its answer."""

CONNECTIONS_MAX = 128
CHECKPOINT = "checkpoint"

_LOG = logging.getLogger(__name__)


class Server(ThreadingHTTPServer):
    """Serves one witness until it is shut down.

    clock: POSIX seconds, for what is signed. ticks: seconds that only go forward, for bounds.
    """

    daemon_threads = True
    # What is being answered when it is told to stop is answered.
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        witness: Witness,
        *,
        clock: Callable[[], int],
        ticks: Callable[[], float],
    ) -> None:
        self.witness, self.clock, self.ticks = witness, clock, ticks
        self.answers: Counter[int] = Counter()
        self._turn = threading.Lock()
        self._since: dict[socket.socket, float] = {}
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    @property
    def address(self) -> str:
        """Where it answers."""
        host, port = str(self.server_address[0]), self.server_address[1]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def server_bind(self) -> None:
        """As the library does, without asking the network for this machine's name."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is room for one more connection."""
        with self._turn:
            if len(self._since) >= CONNECTIONS_MAX:
                return False
            self._since[request] = self.ticks()
            return True

    def shutdown_request(self, request: Any) -> None:
        """The end of a connection."""
        with self._turn:
            self._since.pop(request, None)
        super().shutdown_request(request)

    def answered(self, connection: socket.socket, status: int) -> None:
        """Count an answer; the connection's next request has its own time."""
        with self._turn:
            self.answers[status] += 1
            self._since[connection] = self.ticks()

    def counted(self) -> list[tuple[int, int]]:
        """The answers so far, by their status."""
        with self._turn:
            return sorted(self.answers.items())

    def service_actions(self) -> None:
        """Between connections: end those that take too long, however they go about it."""
        now = self.ticks()
        with self._turn:
            late = [each for each, since in self._since.items() if now - since > REQUEST_SECONDS_MAX]
        for connection in late:
            try:
                # Its thread finds the connection at its end, and closes it.
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A fault, or a connection that broke: told, and nobody else is concerned."""
        _LOG.debug("a connection ended", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    timeout = REQUEST_SECONDS_MAX

    def do_POST(self) -> None:
        if self.path != request.PATH:
            return self._send(Answer(404, b"not found\n"), is_last=True)
        lengths = self.headers.get_all("Content-Length", [])
        given = lengths[0] if len(lengths) == 1 else ""
        # One length, so that a proxy in front and this door agree on where a request ends.
        if "Transfer-Encoding" in self.headers or not given.isascii() or not given.isdigit():
            return self._send(Answer(411, b"a Content-Length is needed\n"), is_last=True)
        if len(given) > 12 or int(given) > request.BODY_BYTES_MAX:
            return self._send(Answer(413, b"too long\n"), is_last=True)
        body = self.rfile.read(int(given))
        if len(body) != int(given):
            return self._send(Answer(400, b"bad request: the body is cut off\n"), is_last=True)
        try:
            answer = self.server.witness.add_checkpoint(body, now_seconds=self.server.clock())
        except Exception:
            # The store could not be written, say: nothing is signed, and it is told.
            _LOG.exception("a checkpoint could not be judged")
            answer = Answer(500, b"fault\n")
        self._send(answer)

    def do_GET(self) -> None:
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            # What follows is not read, and must not be taken for the next request.
            return self._send(Answer(400, b"bad request: nothing to read in a body here\n"), is_last=True)
        match self.path.split("/"):
            case ["", ""]:
                self._send(Answer(200, self._about()))
            case ["", "metrics"]:
                self._send(Answer(200, self._measured(), "text/plain; version=0.0.4; charset=utf-8"))
            case ["", origin_hash, name] if name == CHECKPOINT:
                self._send(self.server.witness.checkpoint(origin_hash))
            case _:
                self._send(Answer(404, b"not found\n"))

    do_HEAD = do_GET

    def _about(self) -> bytes:
        witness = self.server.witness
        lines = [f"witness {key.text}" for key in witness.keys]
        for head in witness.store.heads():
            lines.append(f"log {head.origin}")
            lines.append(f"size {head.size} signed {head.at_seconds}")
        return "".join(f"{line}\n" for line in lines).encode()

    def _measured(self) -> bytes:
        """What to watch, in Prometheus' text format: above all, when each log was signed last."""
        store = self.server.witness.store
        refused = Counter(each.origin for each in store.refused())
        lines = [f'tallystick_witness_answers_total{{status="{k}"}} {v}' for k, v in self.server.counted()]
        for origin in self.server.witness.logs:
            label = json.dumps(origin, ensure_ascii=False)
            head = store.head(origin)
            lines.append(f"tallystick_witness_log_size{{log={label}}} {head.size if head else 0}")
            signed = head.at_seconds if head else 0
            lines.append(f"tallystick_witness_signed_timestamp_seconds{{log={label}}} {signed}")
            lines.append(f"tallystick_witness_contradictions{{log={label}}} {refused[origin]}")
        return "".join(f"{line}\n" for line in lines).encode()

    def version_string(self) -> str:
        """No versions of anything, for whoever looks for one."""
        return "tallystick"

    def _send(self, answer: Answer, *, is_last: bool = False) -> None:
        self.send_response_only(answer.status)
        self.send_header("Content-Type", answer.type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        if is_last:
            # What is left of the request is not read.
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
        self.server.answered(self.connection, answer.status)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing for each request: the answers are counted."""

"""`tallystick posting`: the one process that holds the ledger writer's role, and the beat of every book."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from types import FrameType
from typing import TYPE_CHECKING

import click

from tallystick.cli import ground

if TYPE_CHECKING:
    from tallystick.custody.posting import InProcess

BEAT_SECONDS = 1.0
"""Between beats when nothing waits."""

WITNESS_SECONDS = 5.0
"""Between two looks at whether a witness is to be asked."""

_LOG = logging.getLogger(__name__)


@click.command()
def posting() -> None:
    """Post what the web processes ask for, and beat for every book, until stopped."""
    ground.stand(quiet=True)
    from django.conf import settings

    from tallystick.custody import posting as ways

    # Threads here take turns often: the store waits for the server while the judge computes.
    sys.setswitchinterval(0.0005)
    writers = ways.InProcess()
    ways.use(writers)
    _open_logs()
    server = ways.serve(settings.POSTING_SOCKET, writers)
    stopping = threading.Event()

    def stop(_: int, __: FrameType | None) -> None:
        stopping.set()
        threading.Thread(target=server.shutdown, daemon=True).start()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    beating = threading.Thread(target=_beat, args=(stopping, writers), name="pulse", daemon=True)
    beating.start()
    # Not in the beat: whoever answers slowly would hold up what is sealed.
    threading.Thread(target=_ask_witnesses, args=(stopping,), name="witnesses", daemon=True).start()
    try:
        server.serve_forever(poll_interval=0.2)
    finally:
        stopping.set()
        server.server_close()
        writers.close()
        beating.join(timeout=10)


def _open_logs() -> None:
    """The evidence logs and their first keys, where they are not there yet. Posting does not wait for them."""
    from tallystick.cli import evidence

    try:
        evidence.open_logs()
    except Exception:
        _LOG.exception("the evidence logs could not be opened")


def _ask_witnesses(stopping: threading.Event) -> None:
    """Have new checkpoints cosigned by the witnesses of the policy, which may change meanwhile."""
    from django.db import connections

    from tallystick.cli import evidence_witnesses
    from tallystick.core.db import SEQUENCER

    collector = evidence_witnesses.collector()
    while not stopping.wait(WITNESS_SECONDS):
        try:
            trusted = evidence_witnesses.trusted()
            if trusted is not None:
                collector.advance(trusted, now=datetime.now(UTC))
        except Exception:
            # A policy that cannot be read, a database that restarts: told, and tried again.
            _LOG.exception("the witnesses could not be asked")
        connections[SEQUENCER].close_if_unusable_or_obsolete()


def _beat(stopping: threading.Event, writers: InProcess) -> None:
    """Beat for every book; at once again while something was done, but posting comes first.

    No book waits for another: what stops or fails in one is told, and the next one has its turn.
    """
    from django.conf import settings
    from django.db import connections

    from tallystick.core import db as databases
    from tallystick.custody.errors import PostingStopped
    from tallystick.custody.models import Book
    from tallystick.custody.numbers import BookId
    from tallystick.pulse import Pulse

    pulse = Pulse(time.monotonic)
    while not stopping.is_set():
        done = 0
        try:
            books = list(Book.objects.using(databases.APP).values_list("id", flat=True))
        except Exception:
            # The beat must not end with one bad turn: it is told, and the next turn tries again.
            _LOG.exception("the books could not be read")
            books = []
        for book in books:
            try:
                done += pulse.beat(databases.APP, BookId(book), datetime.now(UTC))
            except PostingStopped as stopped:
                _LOG.warning("the beat of book %s waits: %s", book, stopped.state)
            except Exception:
                _LOG.exception("a beat of book %s failed", book)
        done += pulse.seal(databases.SEQUENCER, settings.LOG_FOLDER, datetime.now(UTC))
        for alias in (databases.APP, databases.SEQUENCER):
            connections[alias].close_if_unusable_or_obsolete()
        if not done or writers.is_busy:
            stopping.wait(BEAT_SECONDS)

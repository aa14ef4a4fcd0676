"""Processes that run beside one another and end together.

Promises: a process that must not end ends the rest when it does; one that may is started again, sooner
the longer it lived; when this process is told to stop, or is killed, so are they.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType

PAUSE_SECONDS_MAX = 60
"""The longest pause before what ends at once is started again."""

STOP_SECONDS_MAX = 30
"""What a process is given to finish its work after it was asked to stop."""

PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, eq=False)
class Process:
    """A command that runs beside the others."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    essential: bool = True
    """Ends the rest when it ends. Otherwise it is started again."""


def python(*arguments: str) -> list[str]:
    """This Python, without the working directory on its import path."""
    return [sys.executable, "-P", *arguments]


def run(processes: Sequence[Process], *, say: Callable[[str], None]) -> int:
    """Run all until one essential process ends or a signal comes; the exit code of the first to end."""
    stopping = threading.Event()

    def stop(_: int, __: FrameType | None) -> None:
        stopping.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    running: dict[Process, subprocess.Popen[bytes]] = {}
    started: dict[Process, float] = {}
    ends: dict[Process, float] = {}
    pauses: dict[Process, float] = {}
    code = 0
    try:
        for process in processes:
            running[process], started[process] = _start(process), time.monotonic()
        while not stopping.wait(0.1):
            for process, child in running.items():
                ended = child.poll()
                if ended is None:
                    continue
                if process.essential:
                    say(f"{process.name} ended with exit code {ended}")
                    code = ended or 1
                    stopping.set()
                    continue
                now = time.monotonic()
                if ends.setdefault(process, now) - started[process] > PAUSE_SECONDS_MAX:
                    pauses.pop(process, None)
                pause = pauses.get(process, 1.0)
                if now - started[process] >= pause:
                    say(f"{process.name} ended with exit code {ended}; starting it again")
                    # One that cannot run at all is not asked to every second.
                    pauses[process] = min(2 * pause, PAUSE_SECONDS_MAX)
                    del ends[process]
                    running[process], started[process] = _start(process), now
    finally:
        # All are asked at once, and then waited for: none outlives this call.
        for child in running.values():
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS_MAX
        for child in running.values():
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for number, handler in before.items():
            signal.signal(number, handler)
    return code


def _start(process: Process) -> subprocess.Popen[bytes]:
    # A group of their own: Ctrl-C in the terminal reaches this process alone, which then stops them in
    # order.
    return subprocess.Popen(
        list(process.command),
        env=dict(process.environ),
        start_new_session=True,
        preexec_fn=_end_with_parent,
    )


_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _end_with_parent() -> None:
    """In the child, before its program: the kernel ends it when this process dies, however it dies.

    One system call, its library loaded before the fork: nothing here can wait for another thread's lock.
    """
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

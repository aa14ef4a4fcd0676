"""Processes that run beside one another end together, however they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tallystick.cli.processes import Process, python, run

WAITS = "import time; time.sleep(60)"


def command(code: str) -> list[str]:
    return python("-c", code)


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def until(condition, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_when_an_essential_process_ends_the_rest_are_ended_and_its_code_is_told(tmp_path):
    pid = tmp_path / "pid"
    writes = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    waits_for_it = (
        f"import os, sys, time\nwhile not os.path.exists({str(pid)!r}): time.sleep(0.01)\nsys.exit(5)"
    )
    said: list[str] = []
    code = run(
        [Process("lasting", command(writes)), Process("short", command(waits_for_it))], say=said.append
    )
    assert code == 5
    assert said == ["short ended with exit code 5"]
    assert gone(int(pid.read_text()))


def test_what_is_not_essential_is_started_again(tmp_path):
    log = tmp_path / "log"
    counts = f"open({str(log)!r}, 'a').write('x')"
    ends = (
        "import os, sys, time\n"
        f"while not (os.path.exists({str(log)!r}) and os.path.getsize({str(log)!r}) > 1): time.sleep(0.01)\n"
        "sys.exit(3)"
    )
    said: list[str] = []
    code = run(
        [Process("again", command(counts), essential=False), Process("end", command(ends))], say=said.append
    )
    assert code == 3
    assert "again ended with exit code 0; starting it again" in said


PARENT = """
import sys
from tallystick.cli.processes import Process, python, run
child = "import os, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"
sys.exit(run([Process("child", python("-c", "import sys; " + child, sys.argv[1]))], say=print))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_whoever_runs_them_is_stopped_or_killed_and_they_end_too(tmp_path, number):
    pid = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, "-P", "-c", PARENT, str(pid)])
    assert until(lambda: pid.exists() and pid.read_text() != "")
    os.kill(parent.pid, number)
    code = parent.wait(20)
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 0)
    assert until(lambda: gone(int(pid.read_text())))

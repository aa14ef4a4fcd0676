"""Compiles the kernel: one C file, with whatever C compiler is there, into one library. Standard library only.

Run as a script by `./tally` when it makes its environment, and by the build of a wheel:
`python compiling.py DIRECTORY` puts the library there, or says in a line why it could not, with exit code 1.
Nothing depends on it having worked. The library needs nothing of Python, so one serves every version.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("psum.c")

FLAGS = ("-O3", "-std=c11", "-Wall", "-Wextra", "-fvisibility=hidden", "-shared", "-fPIC")

COMPILERS = ("cc", "gcc", "clang")

_SECONDS_MAX = 120


class NotCompiled(Exception):
    """There is no library, and why."""


def library_name() -> str:
    """Named by its source: a library of another source is never taken for this one's."""
    return f"psum-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]}.so"


def compiled(directory: Path, *, flags: tuple[str, ...] = ()) -> Path:
    """Compile into a directory and return the library. Raises `NotCompiled`."""
    compiler = _compiler()
    directory.mkdir(parents=True, exist_ok=True)
    library = directory / library_name()
    with tempfile.TemporaryDirectory(prefix=".psum-", dir=directory) as beside:
        made = Path(beside) / library.name
        command = [*compiler, *FLAGS, *flags, "-o", str(made), str(SOURCE)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS_MAX, check=False)
        except (OSError, subprocess.TimeoutExpired) as failure:
            raise NotCompiled(f"{compiler[0]}: {failure}") from failure
        if done.returncode != 0 or not made.exists():
            complaint = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise NotCompiled(f"{compiler[0]} failed: {complaint[:200]}")
        # In one step: whoever loads it meanwhile finds the whole of it or nothing.
        os.replace(made, library)
    return library


def _compiler() -> list[str]:
    named = shlex.split(os.environ.get("CC", ""))
    for words in [named] if named else [[each] for each in COMPILERS]:
        if found := shutil.which(words[0]):
            return [found, *words[1:]]
    raise NotCompiled("there is no C compiler")


if __name__ == "__main__":
    try:
        print(compiled(Path(sys.argv[1])))
    except (NotCompiled, OSError) as failure:
        print(failure, file=sys.stderr)
        sys.exit(1)

"""Makes the environment that `./tally` runs in: from a hash-pinned lock, by uv or by venv and pip.

Promises: nothing is installed whose hash is not in the lock; a start that was interrupted is begun
again; two starts at once wait for one another; whatever is missing is said with the line that
brings it, a C compiler excepted: what it would compile is done without. Written in the standard library
alone, because it runs before anything is installed.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

KERNEL = Path("tallystick/evidence/liabilities/kernel")


def main(root: Path, venv: Path, lock: str) -> None:
    began = time.monotonic()
    with alone_in(venv.parent):
        if installed(root, venv, lock):
            compile_kernel(root, venv)
            return  # another start made it while this one waited, or only the kernel is newer
        uv = find_uv()
        say(f"preparing {venv} from {lock} with {'uv' if uv else 'pip'} (once)")
        forget(venv)
        make(venv, uv)
        install(root, venv, lock, uv)
        compile_kernel(root, venv)
        remember(root, venv, lock)
    say(f"ready after {time.monotonic() - began:.1f} s")


def find_uv() -> str | None:
    """A uv that runs: a version manager's shim may be on the PATH and still refuse."""
    found = shutil.which("uv")
    if found and subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0:
        return found
    return None


@contextlib.contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """Held while the environment is made. On the directory itself, so that no lock file is left."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory, os.O_RDONLY)
    except OSError as error:
        stop(cannot_write(directory, error))
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another start is preparing the environment; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            pass  # a file system without locks: two first starts at once are then on their own
        yield
    finally:
        os.close(handle)


def installed(root: Path, venv: Path, lock: str) -> bool:
    record = venv / "tallystick"
    try:
        return (
            os.access(venv / "bin" / "python", os.X_OK)
            and (record / lock).read_bytes() == (root / lock).read_bytes()
            and (record / "requirements.lock").read_bytes() == (root / "requirements.lock").read_bytes()
            and (record / "root").read_text() == f"{root}\n"
        )
    except OSError:
        return False


def make(venv: Path, uv: str | None) -> None:
    """An environment at `venv`, made anew when there is none that runs."""
    if venv.exists() and any(venv.iterdir()) and not (venv / "pyvenv.cfg").exists():
        stop(
            f"{venv} is not empty and is not a Python environment: it is left alone.",
            "Set TALLYSTICK_VENV to a directory that may be used.",
        )
    if runs(venv):
        return
    try:
        venv.mkdir(parents=True, exist_ok=True)
        probe = venv / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        stop(cannot_write(venv, error))
    # The versioned interpreter and not `python3`: when the system's python3 becomes another one,
    # the link then breaks visibly, and the environment is made again.
    python = os.path.realpath(sys.executable)
    if uv:
        run([uv, "venv", "--quiet", "--clear", "--python", python, str(venv)])
        return
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        sudo = "" if os.geteuid() == 0 else "sudo "
        with contextlib.suppress(OSError):
            shutil.rmtree(venv)
        stop(
            f"Python {version} ({python}) lacks the parts that make environments.",
            f"On Debian or Ubuntu: {sudo}apt-get install python{version}-venv",
            "Elsewhere: install your system's package for venv and ensurepip, or uv; then run this again.",
        )
    run([python, "-m", "venv", "--clear", str(venv)])


def runs(venv: Path) -> bool:
    """Whether the environment's Python starts, and is new enough."""
    check = "import sys; sys.exit(sys.version_info < (3, 11) or sys.prefix == sys.base_prefix)"
    try:
        return subprocess.run([venv / "bin" / "python", "-c", check], check=False).returncode == 0
    except OSError:
        return False


def install(root: Path, venv: Path, lock: str, uv: str | None) -> None:
    python = str(venv / "bin" / "python")
    # Wheels only: they need no compiler, and none of their code runs at installation. No
    # dependencies beyond the list: it is complete.
    exactly = ["install", "--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", str(root / lock)]
    if uv:
        run([uv, "pip", *exactly, "--python", python])
    else:
        pip = [python, "-m", "pip", "--disable-pip-version-check"]
        if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode != 0:
            run([python, "-m", "ensurepip"])  # uv made this environment, and leaves pip out
        run([*pip, *exactly])


def compile_kernel(root: Path, venv: Path) -> None:
    """The kernel of the proof of liabilities, tried once for each source of it."""
    source, record = root / KERNEL / "psum.c", venv / "tallystick"
    tried = record / "psum.c"
    if not source.exists() or (tried.exists() and tried.read_bytes() == source.read_bytes()):
        return
    try:
        record.mkdir(exist_ok=True)
        for stale in record.glob("psum-*.so"):
            stale.unlink()
        compiling = [venv / "bin" / "python", root / KERNEL / "compiling.py", record]
        done = subprocess.run(compiling, capture_output=True, text=True, check=False)
        shutil.copyfile(source, tried)
        why = (done.stderr.strip().splitlines() or ["no reason given"])[-1] if done.returncode else ""
    except OSError as error:
        why = str(error)
    if why:
        say(f"the kernel of the proof of liabilities is done without, which is slower: {why}")


def forget(venv: Path) -> None:
    """From here until `remember` the environment counts as not made."""
    try:
        for name in ("requirements.lock", "requirements-test.lock", "root"):
            (venv / "tallystick" / name).unlink(missing_ok=True)
    except OSError as error:
        stop(cannot_write(venv, error))


def remember(root: Path, venv: Path, lock: str) -> None:
    """The checkout on the import path, and the locks as they were installed."""
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    found = subprocess.run([venv / "bin" / "python", "-c", where], capture_output=True, text=True, check=True)
    # A path file, not an installation of the package: that would need a build tool from the network.
    (Path(found.stdout.strip()) / "tallystick.pth").write_text(f"{root}\n")
    record = venv / "tallystick"
    record.mkdir(exist_ok=True)
    for name in {"requirements.lock", lock}:
        shutil.copyfile(root / name, record / name)
    (record / "root").write_text(f"{root}\n")


def run(command: list[str]) -> None:
    # Standard output belongs to the command that was asked for: `./tally … --json | jq` works at once.
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode != 0:
        stop(f"this failed: {' '.join(command)}", "Its own words are above. The next start begins again.")


def cannot_write(path: Path, error: OSError) -> str:
    return (
        f"cannot make the environment at {path}: {error.strerror}.\n"
        "tally: Set TALLYSTICK_VENV to a directory that can be written, for example\n"
        "tally:   TALLYSTICK_VENV=$HOME/.cache/tallystick-venv ./tally …"
    )


def say(line: str) -> None:
    print(f"tally: {line}", file=sys.stderr, flush=True)


def stop(*lines: str) -> NoReturn:
    for line in lines:
        say(line)
    sys.exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])

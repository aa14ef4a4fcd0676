"""The embedded server's life: made, started or adopted, stopped.

Promises: two processes starting at once get one server; a server that is recovering is waited for, as
long as it takes; a data directory of another major version is refused before anything is touched; a
running server is taken over as it is, whoever started it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tallystick.core.postgres import account, archive, binaries, configuration, errors, place

RETRIES = 50
"""Starts that may fail for a cause that passes by itself (a killed server's last processes are leaving)."""

PAUSE_S = 0.02
TELL_S = 5
PASSING = ("pre-existing shared memory block", "lock file", "could not bind")
EXPECTED = (
    "HINT: ",
    "LOG:  redirecting",
    "LOG:  starting",
    "LOG:  listening",
    "LOG:  database system is shut",
)
IMPOSSIBLE_PID = 2**31 - 1

Notice = Callable[[str], None]


def silent(_: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class State:
    """What is known of a home's server."""

    running: bool
    pid: int | None
    phase: str | None  # line 8 of postmaster.pid: starting, ready, standby, stopping
    version: str | None
    data: Path


class _Patience:
    """Waits a little, and says now and then that it waits."""

    def __init__(self, notice: Notice) -> None:
        self.notice, self.told = notice, time.monotonic()

    def wait(self) -> None:
        time.sleep(PAUSE_S)
        if time.monotonic() - self.told > TELL_S:
            self.told = time.monotonic()
            self.notice("PostgreSQL is recovering after an unclean stop; waiting for it.")


def data_directory(environ: Mapping[str, str]) -> Path:
    return place.home(environ) / "data"


@contextlib.contextmanager
def locked(environ: Mapping[str, str]) -> Iterator[None]:
    """One process at a time makes, starts, provisions or stops the server of a home."""
    home = place.home(environ)
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def start(environ: Mapping[str, str], notice: Notice = silent, *, options: Sequence[str] = ()) -> bool:
    """Make the server run and answer; call under `locked`. True when this call started it.

    options: settings of this start only (`name=value`), as a recovery needs them.
    """
    home, data = place.home(environ), data_directory(environ)
    _check_socket_path(home)
    if answers(environ):
        return False
    programs = binaries.of_home(environ)
    user = _prepare(environ, programs)
    patience = _Patience(notice)
    for attempt in range(RETRIES):
        while (alive := _take(home)) is None:
            # Processes of an earlier server live: it is starting, stopping, or its last ones are leaving.
            patience.wait()
            if answers(environ):
                return False
        try:
            _declare_dead(home, data)
            _configure(environ, programs, user)
            process = _spawn(environ, programs, user, alive, options)
        finally:
            # The server has its own copy of the descriptor; the lock is held until the last copy closes.
            os.close(alive)
        while process.poll() is None:
            # Recovery takes as long as it takes: a server killed half-way would only begin again.
            if _phase(data) in ("ready", "standby") and answers(environ):
                return True
            patience.wait()
        if answers(environ):
            # Started by hand, without our lock: PostgreSQL's own lock file turned ours away.
            return False
        said = _last_words(home)
        if not any(each in said for each in PASSING):
            break
        time.sleep(min(0.1 * (attempt + 1), 1.0))
    raise errors.StartFailed(log=home / "log", lines=said)


def stop(environ: Mapping[str, str]) -> bool:
    """Fast stop: sessions are ended, committed work is on the disk. False when nothing ran."""
    home, data = place.home(environ), data_directory(environ)
    pid = _postmaster(data)
    if pid is None:
        return False
    os.kill(pid, signal.SIGINT)
    while _postmaster(data) == pid:
        time.sleep(PAUSE_S)
    while (alive := _take(home)) is None:
        time.sleep(PAUSE_S)
    os.close(alive)
    return True


def reload(environ: Mapping[str, str]) -> None:
    """Write the configuration anew and have the running server read it."""
    data = data_directory(environ)
    pid = _postmaster(data)
    if pid is None:
        raise errors.NotRunning(path=data)
    _configure(environ, binaries.of_home(environ), account.owner_of(data))
    os.kill(pid, signal.SIGHUP)


def state(environ: Mapping[str, str]) -> State:
    """What runs, as the kernel and the server themselves say."""
    data = data_directory(environ)
    pid = _postmaster(data)
    version = data / "PG_VERSION"
    return State(
        running=pid is not None,
        pid=pid,
        phase=_phase(data) if pid is not None else None,
        version=version.read_text().strip() if version.exists() else None,
        data=data,
    )


def answers(environ: Mapping[str, str]) -> bool:
    """Whether the home's server accepts a session now."""
    administrator = place.administrator(environ)
    assert administrator is not None
    try:
        with psycopg.connect(administrator.dsn, connect_timeout=5) as connection:
            row = connection.execute("select current_setting('data_directory')").fetchone()
    except psycopg.OperationalError as failure:
        text = str(failure).strip()
        if failure.sqlstate in ("28000", "28P01") or "authentication failed" in text:
            raise errors.NotAdmitted(
                path=data_directory(environ), user=account.running().name, reason=text
            ) from failure
        return False
    assert row is not None
    # A symbolic link may have moved the home since.
    return Path(row[0]).samefile(data_directory(environ))


def initialise(environ: Mapping[str, str], programs: binaries.Binaries, user: account.Account) -> None:
    """A new data directory, all or nothing."""
    home, data = place.home(environ), data_directory(environ)
    # A directory next to its final place, given to the service user: initdb may create nothing in the home.
    nest = Path(tempfile.mkdtemp(prefix=".data.", dir=home))
    try:
        user.own(nest)
        command = [
            programs.program("initdb"), "--pgdata", str(nest / "data"), "--username", place.SUPERUSER,
            # Builtin: one sort order on every machine. C.UTF-8 and not C, or pg_trgm sees no Chinese.
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C.UTF-8", "--encoding=UTF8",
            "--data-checksums", "--auth-local=peer", "--auth-host=scram-sha-256", "--no-instructions",
        ]  # fmt: skip
        if configuration.is_test(environ):
            command.append("--no-sync")
        done = subprocess.run(command, capture_output=True, text=True, check=False, **user.popen())
        if done.returncode:
            raise errors.StartFailed(log="initdb", lines=(done.stderr or done.stdout).strip())
        (nest / "data").rename(data)
    finally:
        shutil.rmtree(nest, ignore_errors=True)


def directory(path: Path, user: account.Account, mode: int) -> None:
    """A directory that belongs to a user, with exactly this mode."""
    path.mkdir(exist_ok=True)
    user.own(path)
    path.chmod(mode)


def _prepare(environ: Mapping[str, str], programs: binaries.Binaries) -> account.Account:
    """Everything up to the start: the user, the directories, a data directory of our major version."""
    home, data = place.home(environ), data_directory(environ)
    made = (data / "PG_VERSION").exists()
    if made:
        found = (data / "PG_VERSION").read_text().strip()
        if int(found.split(".")[0]) != programs.major:
            raise errors.OtherMajor(path=data, found=found, ours=programs.major)
        user = account.owner_of(data)
    elif data.exists() and any(data.iterdir()):
        raise errors.NotOurs(path=data)
    else:
        user = account.service(environ)
    check_reachable(home, programs, user)
    directory(home / "run", user, 0o755)
    directory(home / "log", user, 0o700)
    if not made:
        with contextlib.suppress(FileNotFoundError):
            data.rmdir()
        initialise(environ, programs, user)
    return user


def _configure(environ: Mapping[str, str], programs: binaries.Binaries, user: account.Account) -> None:
    home, data = place.home(environ), data_directory(environ)
    chosen = configuration.settings(
        environ,
        memory=configuration.memory_of_machine(),
        codecs=_codecs(programs),
        archive=archive.spool(environ) if archive.is_enabled(environ) else None,
    )
    _write(data / "tallystick.conf", configuration.rendered(chosen, home), user)
    _write(data / "pg_hba.conf", configuration.hba(), user)
    trusted = (account.running().name, user.name)
    _write(data / "pg_ident.conf", configuration.ident(environ, trusted=trusted), user)
    main = data / "postgresql.conf"
    if configuration.INCLUDE not in main.read_text():
        _write(main, f"{main.read_text()}\n{configuration.INCLUDE}\n", user)


def _spawn(
    environ: Mapping[str, str],
    programs: binaries.Binaries,
    user: account.Account,
    alive: int,
    options: Sequence[str],
) -> subprocess.Popen[bytes]:
    log = place.home(environ) / "log" / "startup.log"
    command = [programs.program("postgres"), "-D", str(data_directory(environ))]
    command += [f"--{each}" for each in options]
    with log.open("wb") as output:
        # Its own session: Ctrl-C at our terminal must not stop the ledger's database.
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            pass_fds=(alive,), **user.popen(),
        )  # fmt: skip


def _write(path: Path, text: str, user: account.Account) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.chmod(0o600)
    user.own(part)
    part.replace(path)


def _codecs(programs: binaries.Binaries) -> frozenset[str]:
    """The WAL compressions a build knows: it refuses those it does not know."""
    config = Path(programs.program("pg_config"))
    if not config.exists():
        return frozenset()
    said = subprocess.run([str(config), "--configure"], capture_output=True, text=True, check=False).stdout
    return frozenset(codec for codec in ("lz4", "zstd") if f"--with-{codec}" in said)


def _check_socket_path(home: Path) -> None:
    path = str(home / "run" / f".s.PGSQL.{place.PORT}")
    length = len(os.fsencode(path))
    if length > place.SOCKET_PATH_MAX:
        raise errors.HomeTooLong(path=path, length=length, most=place.SOCKET_PATH_MAX)


def check_reachable(home: Path, programs: binaries.Binaries, user: account.Account) -> None:
    """Name the directory that shuts the service user out, instead of failing in the middle."""
    if user.is_running_user:
        return
    if home.stat().st_mode & 0o005 == 0 and home.stat().st_uid == os.geteuid():
        # Our own directory, made under a strict umask: the rooms inside keep their own locks.
        home.chmod(home.stat().st_mode | 0o711)
    wanted = (*reversed(home.parents), home, programs.directory)
    for path in dict.fromkeys(wanted):
        done = subprocess.run(["/usr/bin/test", "-x", str(path)], check=False, **user.popen())
        if done.returncode:
            raise errors.HomeClosed(user=user.name, path=path)


def _take(home: Path) -> int | None:
    """The lock that every process of a running server holds, by a descriptor it inherited; None if held.

    It outlives the postmaster as long as one of its children lives, and no longer: neither a zombie nor
    a process that got the old number holds it.
    """
    descriptor = os.open(home / "alive", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _postmaster(data: Path) -> int | None:
    """The process that serves this directory: the number in its lock file, if that process works there."""
    try:
        pid = int((data / "postmaster.pid").read_text().splitlines()[0])
        # PostgreSQL works in its data directory; a zombie works nowhere.
        return pid if Path(f"/proc/{pid}/cwd").samefile(data) else None
    except (OSError, IndexError, ValueError):
        return None


def _declare_dead(home: Path, data: Path) -> None:
    """Free the lock files whose process is gone but whose number is not: call holding the lock of `_take`.

    PostgreSQL asks only whether a process of that number exists. It does when nobody collected the dead
    postmaster, or after a restart of the machine or container. The number is replaced by an impossible
    one; the other lines stay, for by them PostgreSQL makes sure that no old process shares its memory.
    """
    file = data / "postmaster.pid"
    if _postmaster(data) is not None:
        return
    (home / "run" / f".s.PGSQL.{place.PORT}.lock").unlink(missing_ok=True)
    if not file.exists():
        return
    _, *others = file.read_text().splitlines() or [""]
    user = account.owner_of(data)
    _write(file, "\n".join([str(IMPOSSIBLE_PID), *others, ""]), user)


def _phase(data: Path) -> str | None:
    try:
        return (data / "postmaster.pid").read_text().splitlines()[7].strip()
    except (FileNotFoundError, IndexError):
        return None


def _last_words(home: Path) -> str:
    """What the server said before it left: to us, and then to its own log."""
    begun = (home / "log" / "startup.log").stat().st_mtime
    said = []
    for log in sorted((home / "log").glob("*.log"), key=lambda each: each.stat().st_mtime):
        if log.stat().st_mtime >= begun:
            said += log.read_text(errors="replace").splitlines()[-12:]
    # What went as planned is of no interest here.
    return " / ".join(line for line in said if not any(each in line for each in EXPECTED))

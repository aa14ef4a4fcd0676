"""A home restored from a repository: to the last known state, or to a moment.

Promises: nothing is touched before every byte has been authenticated; a live home is never overwritten
(asked to replace it, its data are moved aside); a moment is exact: every commit up to it and none after,
or a refusal that says how far the archive reaches.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shlex
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tallystick.core.postgres import (
    account,
    binaries,
    cluster,
    configuration,
    errors,
    place,
    repository,
    vault,
    verification,
)
from tallystick.core.postgres.backup import Progress, quiet
from tallystick.core.postgres.repository import Base
from tallystick.core.postgres.vault import Key

Environ = Mapping[str, str]

TOO_EARLY = "recovery ended before configured recovery target was reached"


@dataclass(frozen=True)
class Verified:
    """What was compared with the records of the backups."""

    lasting: int  # facts about positions, which no later commit changes
    differences: tuple[verification.Difference, ...]
    tables_equal: int
    tables_changed_since: tuple[str, ...]  # by commits after the record was made: expected
    tables_differing: tuple[str, ...]  # without any commit since: not expected
    seconds: float

    @property
    def holds(self) -> bool:
        return not self.differences and not self.tables_differing


@dataclass(frozen=True)
class Restored:
    """What came back, how far and how fast."""

    home: Path
    bases: tuple[str, ...]
    segments: int
    asked_for: dt.datetime | None
    reach: dt.datetime | None  # no commit before this can be missing
    last_commit: dt.datetime | None  # the latest one replayed from the archive
    bytes_plain: int
    seconds_fetch: float
    seconds_replay: float
    seconds: float
    verified: Verified | None


def run(
    environ: Environ,
    *,
    to: dt.datetime | None = None,
    replace: bool = False,
    verify: bool = True,
    checks: Iterable[verification.Check] = (),
    progress: Progress = quiet,
) -> Restored:
    """Restore into the home of `environ`, from its TALLYSTICK_BACKUP_DIR, with its backup key.

    The server is left running. to: aware; None for the last state the archive holds.
    """
    begun, plan = time.monotonic(), _plan(environ, to)
    home, data = place.home(environ), cluster.data_directory(environ)
    with cluster.locked(environ):
        if data.exists() and any(data.iterdir()):
            if not replace:
                raise errors.HomeInUse(path=data)
            cluster.stop(environ)
        programs, user = binaries.of_home(environ), account.service(environ)
        for left in home.glob(".restore.*"):
            # A killed restore left it: customers' data in plain.
            shutil.rmtree(left)
        nest = Path(tempfile.mkdtemp(prefix=".restore.", dir=home))
        try:
            nest.chmod(0o711)
            cluster.check_reachable(home, programs, user)
            _check_major(plan, programs)
            count = _fetch(plan, nest / "wal", user)
            haste = ["--no-sync"] if configuration.is_test(environ) else []
            unpacked = _unpack(plan, nest, programs, user, progress, haste)
            fetched = time.monotonic()
            # All of it is here and authentic. From here on the home changes.
            if data.exists():
                data.rename(home / f"data.before-{int(time.time())}")
            unpacked.rename(data)
            _rooms(plan, home)
            _recover(environ, nest / "wal", to)
        finally:
            shutil.rmtree(nest, ignore_errors=True)
    replayed = time.monotonic()
    with psycopg.connect(verification.administrator(environ), autocommit=True) as connection:
        connection.execute("set timezone = 'UTC'")
        row = connection.execute("select pg_last_xact_replay_timestamp()").fetchone()
    assert row is not None
    verified = _verified(environ, plan, checks) if verify else None
    return Restored(
        home=home,
        bases=tuple(base.id for base in plan.links),
        segments=count,
        asked_for=to,
        reach=to or plan.reach,
        last_commit=row[0],
        bytes_plain=sum(base.bytes_plain for base in plan.links),
        seconds_fetch=round(fetched - begun, 3),
        seconds_replay=round(replayed - fetched, 3),
        seconds=round(time.monotonic() - begun, 3),
        verified=verified,
    )


@dataclass(frozen=True)
class _Plan:
    """What will be restored, all of it looked at."""

    folder: Path
    key: Key
    earlier: list[Base]  # every backup whose record held before the moment
    links: list[Base]  # the last of them with all it builds on
    segments: list[str]
    reach: dt.datetime | None


def _plan(environ: Environ, to: dt.datetime | None) -> _Plan:
    """Choose the backup and the WAL, or refuse before anything is touched."""
    if place.is_external(environ):
        raise errors.ServerIsYours(verb="restore")
    folder, key = repository.directory(environ), vault.key(environ)
    every = repository.bases(folder, key)
    earlier = [base for base in every if to is None or base.finished_at <= to]
    if not earlier:
        raise errors.NoBackup(path=folder, to="now" if to is None else to.isoformat())
    reached = repository.reach(folder, key)
    if to is not None and (reached is None or to > reached.at):
        covered = reached.at if reached else earlier[-1].finished_at
        raise errors.ArchiveEnds(covered=covered.isoformat(), to=to.isoformat())
    links = repository.chain(every, earlier[-1])
    for base in links:
        repository.check_stored(folder, base)
    segments = _segments(folder, every, links[-1], to)
    return _Plan(folder, key, earlier, links, segments, reached.at if reached else None)


def _check_major(plan: _Plan, programs: binaries.Binaries) -> None:
    """A backup from before an upgrade wants the programs from before it."""
    found = plan.links[-1].version
    if int(found.split(".")[0]) != programs.major:
        path = repository.base_directory(plan.folder, plan.links[-1].id)
        raise errors.OtherMajor(path=path, found=found, ours=programs.version)


def _unpack(
    plan: _Plan,
    nest: Path,
    programs: binaries.Binaries,
    user: account.Account,
    progress: Progress,
    haste: list[str],
) -> Path:
    """The chain's database files, combined and checked against PostgreSQL's own manifest."""
    total, done = sum(base.bytes_plain for base in plan.links), 0
    rooms = []
    for base in plan.links:
        room = nest / base.id
        path = repository.base_directory(plan.folder, base.id) / "data.tally"

        def told(pieces: Iterator[bytes]) -> Iterator[bytes]:
            nonlocal done
            for piece in pieces:
                done += len(piece)
                progress("data", min(done, total), total)
                yield piece

        _untar(told(vault.read(plan.key, path, name=f"{base.id}/data")), room, user)
        rooms.append(room)
    result = rooms[0]
    if len(rooms) > 1:
        result = nest / "combined"
        parlour = nest / "parlour"
        cluster.directory(parlour, user, 0o700)
        _program(programs, user, "pg_combinebackup", *map(str, rooms), "-o", str(parlour / "data"), *haste)
        (parlour / "data").rename(result)
    _program(programs, user, "pg_verifybackup", "--no-parse-wal", "--quiet", str(result))
    result.chmod(0o700)
    return result


def _segments(folder: Path, every: list[Base], base: Base, to: dt.datetime | None) -> list[str]:
    """What replay may ask for: from the backup's begin to the end of the first backup after the moment."""
    names = repository.needed_segments(repository.segments(folder), base.first_segment)
    if to is None:
        return names
    later = [each for each in every if each.finished_at > to]
    if not later:
        return names
    return [name for name in names if name.endswith(".history") or name[8:24] <= later[0].last_segment[8:]]


def _fetch(plan: _Plan, room: Path, user: account.Account) -> int:
    """WAL segments in plain, for the server to pick up."""
    cluster.directory(room, user, 0o700)
    for name in plan.segments:
        target = room / name
        with target.open("wb") as file:
            for piece in vault.read(plan.key, repository.segment_file(plan.folder, name), name=name):
                file.write(piece)
        user.own(target)
    return len(plan.segments)


def _rooms(plan: _Plan, home: Path) -> None:
    """files/ and keys/ as they were at the last backup of the chain."""
    for base in plan.links:
        path = repository.base_directory(plan.folder, base.id) / "files.tally"
        _untar(vault.read(plan.key, path, name=f"{base.id}/files"), home, None)
    *earlier, last = (_listed(plan, base) for base in plan.links)
    for name in set[str]().union(*earlier) - last:
        # An earlier backup of the chain brought it, and by the last one it was gone.
        (home / name).unlink(missing_ok=True)


def _listed(plan: _Plan, base: Base) -> set[str]:
    path = repository.base_directory(plan.folder, base.id) / "index.tally"
    return set(json.loads(b"".join(vault.read(plan.key, path, name=f"{base.id}/index")))["files"])


def _recover(environ: Environ, waiting: Path, to: dt.datetime | None) -> None:
    """Start the server on the restored files and replay the archive up to the moment."""
    data = cluster.data_directory(environ)
    _signal(data)
    options = [
        f"restore_command=cp {shlex.quote(str(waiting).replace('%', '%%'))}/%f %p",
        "hot_standby=off",
        "recovery_target_action=promote",
    ]
    target = [] if to is None else [f"recovery_target_time={to.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S.%f+00}"]
    try:
        cluster.start(environ, options=[*options, *target])
    except errors.StartFailed as failure:
        if not target or TOO_EARLY not in str(failure):
            raise errors.RestoreFailed(lines=failure.fields["lines"]) from failure
        # The archive reaches beyond the moment, and nothing was committed in between: all of it, then.
        cluster.start(environ, options=options)


def _signal(data: Path) -> None:
    (data / "recovery.signal").touch()
    account.owner_of(data).own(data / "recovery.signal")


def _verified(environ: Environ, plan: _Plan, checks: Iterable[verification.Check]) -> Verified:
    """Compare with every record that was true at or before the moment restored to."""
    begun = time.monotonic()
    checks = list(checks)
    compared, differing = 0, []
    facts: dict[str, Any] = {}
    for base in plan.earlier:
        path = repository.base_directory(plan.folder, base.id) / "facts.tally"
        facts = json.loads(b"".join(vault.read(plan.key, path, name=f"{base.id}/facts")))
        count, found = verification.differences(environ, checks, facts["lasting"])
        compared += count
        differing += found
    # Tables change, so only the last record can tell, and only if nothing was written since.
    before, now = verification.Tables(**facts["tables"]), verification.tables_of(environ)
    names = before.checksums.keys() | now.checksums.keys()
    unequal = tuple(sorted(name for name in names if before.checksums.get(name) != now.checksums.get(name)))
    untouched = before.next_transaction == now.next_transaction
    return Verified(
        lasting=compared,
        differences=tuple(differing),
        tables_equal=len(names) - len(unequal),
        tables_changed_since=() if untouched else unequal,
        tables_differing=unequal if untouched else (),
        seconds=round(time.monotonic() - begun, 3),
    )


def _untar(pieces: Iterator[bytes], room: Path, user: account.Account | None) -> None:
    with tarfile.open(fileobj=_Stream(pieces), mode="r|", bufsize=vault.CHUNK) as tar:  # type: ignore[call-overload]
        room.mkdir(exist_ok=True)
        # Authenticated, and yet filtered: nothing leaves the room.
        tar.extractall(room, filter=_ours)  # noqa: S202
    if user is not None and not user.is_running_user:
        for directory, _, files in os.walk(room):
            user.own(Path(directory))
            for name in files:
                user.own(Path(directory) / name)


def _ours(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo:
    """The numbers and names of the users of another machine mean nothing here."""
    return tarfile.tar_filter(member, path).replace(
        uid=os.geteuid(), gid=os.getegid(), uname="", gname="", deep=False
    )


class _Stream:
    """A file to read from, made of pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def read(self, size: int) -> bytes:
        parts, missing = [self._rest], size - len(self._rest)
        while missing > 0 and (piece := next(self._pieces, None)) is not None:
            parts.append(piece)
            missing -= len(piece)
        content = b"".join(parts)
        self._rest = content[size:]
        return content[:size]


def _program(programs: binaries.Binaries, user: account.Account, name: str, *arguments: str) -> None:
    done = subprocess.run(
        [programs.program(name), *arguments], capture_output=True, text=True, check=False, **user.popen()
    )
    if done.returncode:
        raise errors.BackupFailed(program=name, lines=(done.stderr or done.stdout).strip())

"""Backups of the embedded server: base backups, full or incremental, and a continuous archive of WAL.

Promises: what is in the repository is durable and encrypted before the server may forget it; doing
anything twice changes nothing; a backup exists only when its manifest does, and then with everything a
restore needs. `reach` says up to which moment no commit can be lost with the machine.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import fcntl
import io
import json
import re
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tallystick.core.postgres import (
    account,
    archive,
    binaries,
    cluster,
    errors,
    place,
    repository,
    vault,
    verification,
)
from tallystick.core.postgres.repository import Base, Reach
from tallystick.core.postgres.vault import Key

Environ = Mapping[str, str]

Progress = Callable[[str, int, int], None]
"""Told (stage, bytes done, bytes in all)."""


def quiet(_: str, __: int, ___: int) -> None:
    """Tell nobody."""


ROOMS = ("files", "keys")
"""Directories of the home that belong to its data."""

FIRST_PAGE_HEADER = 40
"""Bytes of a WAL segment before its first record."""

HANDOVER_S = 120
"""The archiver retries each minute, so a hand-over that takes longer fails for a reason."""


@dataclass(frozen=True)
class Schedule:
    """How often, and for how long."""

    every: dt.timedelta
    full_every: dt.timedelta
    keep: dt.timedelta
    wal_every: dt.timedelta


@dataclass(frozen=True)
class Step:
    """What one beat of the schedule did."""

    sealed: int
    base: Base | None
    pruned: repository.Pruned


def schedule(environ: Environ) -> Schedule:
    """TALLYSTICK_BACKUP_EVERY (hours), …_FULL_EVERY (days), …_KEEP (days), …_WAL_EVERY (seconds)."""
    return Schedule(
        every=dt.timedelta(hours=_number(environ, "TALLYSTICK_BACKUP_EVERY", 24)),
        full_every=dt.timedelta(days=_number(environ, "TALLYSTICK_BACKUP_FULL_EVERY", 7)),
        keep=dt.timedelta(days=_number(environ, "TALLYSTICK_BACKUP_KEEP", 35)),
        wal_every=dt.timedelta(seconds=_number(environ, "TALLYSTICK_BACKUP_WAL_EVERY", 60)),
    )


def due(environ: Environ, now: dt.datetime) -> str | None:
    """Which base backup is due: "full", "incremental" or none. Nothing is due before the first by hand."""
    if place.is_external(environ) or not archive.is_enabled(environ):
        return None
    every = repository.bases(repository.directory(environ), vault.key(environ))
    if not every:
        return "full"
    plan = schedule(environ)
    fulls = [base for base in every if base.parent is None]
    if now - fulls[-1].finished_at >= plan.full_every:
        return "full"
    return "incremental" if now - every[-1].finished_at >= plan.every else None


def advance(
    environ: Environ,
    now: dt.datetime,
    *,
    checks: Iterable[verification.Check] = (),
    progress: Progress = quiet,
) -> Step:
    """One beat: archive what is finished, keep the reach fresh, take what is due, drop what is old."""
    if place.is_external(environ) or not archive.is_enabled(environ):
        return Step(0, None, repository.Pruned(0, 0))
    folder, key = repository.directory(environ), vault.key(environ)
    sealed = seal(environ)
    reached = repository.reach(folder, key)
    if reached is None or now - reached.at >= schedule(environ).wal_every:
        mark(environ)
    kind = due(environ, now)
    base = take(environ, kind=kind, checks=checks, progress=progress) if kind else None
    # Only a new backup makes an old one needless.
    pruned = repository.Pruned(0, 0)
    if base is not None:
        pruned = repository.prune(folder, key, keep_from=now - schedule(environ).keep)
    return Step(sealed, base, pruned)


def take(
    environ: Environ,
    *,
    kind: str | None = None,
    reason: str = "by hand",
    checks: Iterable[verification.Check] = (),
    progress: Progress = quiet,
) -> Base:
    """Take a base backup of the running server, with everything needed to restore it.

    kind: "full" or "incremental"; None takes an incremental one where there is a full one to build on.
    """
    if place.is_external(environ):
        raise errors.ServerIsYours(verb="back up")
    checks = list(checks)
    try:
        return _take(environ, kind, reason, checks, progress)
    except errors.BackupFailed as failure:
        # The server keeps its summaries of changed blocks for 30 days, and loses them in an upgrade.
        if kind is not None or "summar" not in str(failure):
            raise
        return _take(environ, "full", reason, checks, progress)


def _take(
    environ: Environ, kind: str | None, reason: str, checks: list[verification.Check], progress: Progress
) -> Base:
    folder, key = repository.directory(environ), vault.key(environ, make=True)
    with _one_at_a_time(folder):
        enable(environ)
        started = time.monotonic()
        facts = {
            "lasting": verification.record(environ, checks),
            "tables": dataclasses.asdict(verification.tables_of(environ)),
        }
        with _administrator(environ) as connection:
            row = connection.execute(
                "select system_identifier::text, clock_timestamp(),"
                " (select sum(pg_database_size(oid)) from pg_database)::bigint from pg_control_system()"
            ).fetchone()
        assert row is not None
        system, started_at, size = row
        every = [base for base in repository.bases(folder, key) if base.system == system]
        parent = every[-1] if every and kind != "full" else None
        if parent is None and kind == "incremental":
            raise errors.NoBackup(path=folder, to="now")
        repository.clear(folder)
        name = started_at.strftime("%Y%m%dT%H%M%S.%fZ")
        room = repository.base_directory(folder, name)
        room.mkdir(parents=True)
        index = _index(folder, key, parent) if parent else {}
        parts = {part: _writer(key, room, name, part) for part in ("data", "files", "index", "facts")}
        with _whole(room, parts):
            found = _stream(environ, parts["data"], str(index.get("postgres", "")), size, progress)
            files = _pack_rooms(environ, parts["files"], index.get("files", {}))
            parts["index"].write(json.dumps({"postgres": found.manifest, "files": files}).encode())
            parts["facts"].write(json.dumps(facts).encode())
        reached = mark(environ)
        for segment in (found.first_segment, found.last_segment):
            if not repository.segment_file(folder, segment).exists():
                raise errors.BackupFileMissing(path=repository.segment_file(folder, segment))
        base = Base(
            id=name,
            kind="incremental" if parent else "full",
            parent=parent.id if parent else None,
            started_at=started_at,
            finished_at=found.finished_at,
            seconds=round(time.monotonic() - started, 3),
            version=found.version,
            system=system,
            first_segment=found.first_segment,
            last_segment=found.last_segment,
            bytes_plain=sum(part.bytes_plain for part in parts.values()),
            bytes_stored=sum(part.path.stat().st_size for part in parts.values()),
            sha256={part.path.name: part.sha256 for part in parts.values()},
            reason=reason,
        )
        assert reached.at >= base.finished_at
        repository.save(folder, key, base)
    return base


def before_change(
    environ: Environ, *, reason: str, checks: Iterable[verification.Check] = (), progress: Progress = quiet
) -> Base | None:
    """A backup before something that has no way back of its own, where backups were set up.

    The way back is `tallystick restore --to` its `finished_at`.
    """
    if place.is_external(environ) or not archive.is_enabled(environ):
        return None
    return take(environ, reason=reason, checks=checks, progress=progress)


def enable(environ: Environ) -> None:
    """From now on the server hands over every finished WAL segment. May be called before its first start."""
    if archive.is_enabled(environ):
        return
    data = cluster.data_directory(environ)
    user = account.owner_of(data) if data.exists() else account.service(environ)
    cluster.directory(archive.spool(environ), user, 0o700)
    if cluster.state(environ).running:
        cluster.reload(environ)


def seal(environ: Environ) -> int:
    """Encrypt what the server handed over into the repository; only then take it out of the spool."""
    folder, key, spool = repository.directory(environ), vault.key(environ), archive.spool(environ)
    sealed = 0
    with _one_at_a_time(folder, "wal.lock"):
        for path in sorted(spool.iterdir()):
            if path.name.startswith("archtemp"):
                continue  # the server is still writing it
            target = repository.segment_file(folder, path.name)
            content = path.read_bytes()
            if target.exists():
                # We were stopped between the last two lines of this loop, or another server writes here.
                if b"".join(vault.read(key, target, name=path.name)) != content:
                    raise errors.ArchiveConflict(name=path.name)
            else:
                writer = vault.Writer(key, target, name=path.name)
                writer.write(content)
                writer.close()
            path.unlink()
            sealed += 1
    return sealed


def mark(environ: Environ) -> Reach:
    """Bring everything committed until now into the archive, and note that it is there."""
    folder, key = repository.directory(environ), vault.key(environ)
    with _administrator(environ) as connection:
        # The clock is read before the position: a commit before this time lies before that position.
        row = connection.execute(
            "select clock_timestamp(), lsn::text, left(pg_walfile_name(lsn), 8)"
            " from (select pg_current_wal_insert_lsn() lsn) _"
        ).fetchone()
        assert row is not None
        at, lsn, timeline = row
        if _offset(lsn) > FIRST_PAGE_HEADER:
            connection.execute("select pg_switch_wal()")
        # A segment with nothing but its header holds no commit, and is not handed over.
        end = _number_of(lsn) - (_offset(lsn) <= FIRST_PAGE_HEADER) * FIRST_PAGE_HEADER
        _handed_over(environ, connection, _segment_before(int(timeline, 16), end))
    seal(environ)
    reached = Reach(at, lsn)
    repository.save_reach(folder, key, reached)
    return reached


@dataclass(frozen=True)
class Checked:
    """What was read and found authentic."""

    backups: int
    segments: int
    bytes: int


def check(environ: Environ, progress: Progress = quiet) -> Checked:
    """Authenticate every byte of the repository; refuses at the first that is not as written."""
    folder, key = repository.directory(environ), vault.key(environ)
    every, names, done = repository.bases(folder, key), repository.segments(folder), 0
    total = sum(path.stat().st_size for path in folder.rglob("*.tally"))

    def read(path: Path, name: str) -> None:
        nonlocal done
        for _ in vault.read(key, path, name=name):
            pass
        done += path.stat().st_size
        progress("check", done, total)

    for base in every:
        repository.check_stored(folder, base)
        repository.chain(every, base)
        for file in base.sha256:
            part = file.removesuffix(".tally")
            read(repository.base_directory(folder, base.id) / file, f"{base.id}/{part}")
    for name in names:
        read(repository.segment_file(folder, name), name)
    missing = repository.gaps(names, every)
    if missing:
        raise errors.BackupFileMissing(path=repository.segment_file(folder, missing[0]))
    return Checked(len(every), len(names), done)


def status(environ: Environ, now: dt.datetime) -> dict[str, object]:
    """How safe the data are now."""
    folder, key = repository.directory(environ), vault.key(environ)
    every = repository.bases(folder, key)
    reached = repository.reach(folder, key)
    waiting = list(archive.spool(environ).iterdir()) if archive.is_enabled(environ) else []
    return {
        "repository": str(folder),
        "enabled": archive.is_enabled(environ),
        "backups": len(every),
        "last": every[-1].id if every else None,
        "due": due(environ, now),
        "reach": reached.at.isoformat() if reached else None,
        # Were the machine lost now, this much time would be lost with it.
        "recovery_point_seconds": round((now - reached.at).total_seconds(), 3) if reached else None,
        "segments": len(repository.segments(folder)),
        "segments_waiting": len(waiting),
    }


@dataclass(frozen=True)
class _Streamed:
    manifest: str
    first_segment: str
    last_segment: str
    finished_at: dt.datetime
    version: str


class _Tee(io.RawIOBase):
    """Reads a stream, and writes what it reads."""

    def __init__(self, source: io.BufferedReader, writer: vault.Writer, told: Callable[[int], None]) -> None:
        self._source, self._writer, self._told = source, writer, told

    def read(self, size: int = -1) -> bytes:
        content = self._source.read(size)
        self._writer.write(content)
        self._told(self._writer.bytes_plain)
        return content


def _stream(environ: Environ, writer: vault.Writer, parent: str, size: int, progress: Progress) -> _Streamed:
    """pg_basebackup's tar, encrypted as it comes; its label and manifest read in passing."""
    programs = binaries.of_home(environ)
    administrator = place.administrator(environ)
    assert administrator is not None
    command = [
        programs.program("pg_basebackup"), "--dbname", administrator.dsn, "--pgdata=-", "--format=tar",
        "--wal-method=none", "--checkpoint=fast", "--manifest-checksums=SHA256", "--no-password",
        "--label=tallystick",
    ]  # fmt: skip
    seen: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as scratch:
        if parent:
            manifest = Path(scratch) / "backup_manifest"
            manifest.write_text(parent)
            command.append(f"--incremental={manifest}")
        with (Path(scratch) / "said").open("w+") as said:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=said, env=account.environment()
            )
            assert isinstance(process.stdout, io.BufferedReader)
            tee = _Tee(process.stdout, writer, lambda done: progress("data", done, max(size, done)))
            try:
                with tarfile.open(fileobj=tee, mode="r|", bufsize=vault.CHUNK) as tar:
                    for member in tar:
                        if member.name in ("backup_label", "backup_manifest"):
                            content = tar.extractfile(member)
                            assert content is not None
                            seen[member.name] = content.read()
                while tee.read(vault.CHUNK):
                    pass
            except tarfile.TarError:
                process.kill()
            if process.wait():
                said.seek(0)
                raise errors.BackupFailed(program="pg_basebackup", lines=said.read().strip())
    manifest_text = seen["backup_manifest"].decode()
    spans = json.loads(manifest_text)["WAL-Ranges"]
    label = re.search(r"\(file ([0-9A-F]{24})\)", seen["backup_label"].decode())
    assert label is not None
    with _administrator(environ) as connection:
        row = connection.execute("select clock_timestamp(), current_setting('server_version')").fetchone()
    assert row is not None
    return _Streamed(
        manifest=manifest_text,
        first_segment=label[1],
        last_segment=_segment_before(spans[-1]["Timeline"], _number_of(spans[-1]["End-LSN"])),
        finished_at=row[0],
        version=row[1],
    )


def _number_of(lsn: str) -> int:
    high, low = (int(half, 16) for half in lsn.split("/"))
    return (high << 32) + low


def _offset(lsn: str) -> int:
    return _number_of(lsn) % repository.SEGMENT_BYTES


def _segment_before(timeline: int, position: int) -> str:
    """The segment that holds the last byte before a position."""
    number = (position - 1) // repository.SEGMENT_BYTES
    per_high = 2**32 // repository.SEGMENT_BYTES
    return f"{timeline:08X}{number // per_high:08X}{number % per_high:08X}"


def _pack_rooms(
    environ: Environ, writer: vault.Writer, before: Mapping[str, list[int]]
) -> dict[str, list[int]]:
    """files/ and keys/ as a tar: what is new since the parent; returns the list of all there is."""
    home, own_key = place.home(environ), vault.key_file(environ)
    listed: dict[str, list[int]] = {}
    with tarfile.open(fileobj=writer, mode="w|") as tar:  # type: ignore[call-overload]
        for room in ROOMS:
            for path in sorted((home / room).rglob("*")):
                # A key beside what it opens would open it to whoever takes both.
                if path == own_key or not path.is_file() or path.is_symlink():
                    continue
                seen = path.stat()
                name = str(path.relative_to(home))
                listed[name] = [seen.st_size, seen.st_mtime_ns]
                if before.get(name) != listed[name]:
                    tar.add(path, arcname=name, recursive=False)
    return listed


def _index(folder: Path, key: Key, base: Base) -> dict[str, Mapping[str, list[int]]]:
    path = repository.base_directory(folder, base.id) / "index.tally"
    content = json.loads(b"".join(vault.read(key, path, name=f"{base.id}/index")))
    assert isinstance(content, dict)
    return content


def _writer(key: Key, room: Path, base: str, part: str) -> vault.Writer:
    return vault.Writer(key, room / f"{part}.tally", name=f"{base}/{part}")


@contextlib.contextmanager
def _whole(room: Path, parts: Mapping[str, vault.Writer]) -> Iterator[None]:
    """All parts of a backup are complete at the end, or none is left."""
    try:
        yield
    except BaseException:
        for part in parts.values():
            part.abandon()
        room.rmdir()
        raise
    for part in parts.values():
        part.close()


def _handed_over(environ: Environ, connection: psycopg.Connection, segment: str) -> None:
    """Wait until the server's archiver has laid a segment into the spool."""
    folder = repository.directory(environ)
    until = time.monotonic() + HANDOVER_S
    while not (
        (archive.spool(environ) / segment).exists() or repository.segment_file(folder, segment).exists()
    ):
        if time.monotonic() > until:
            row = connection.execute(
                "select last_failed_wal, last_failed_time from pg_stat_archiver"
            ).fetchone()
            raise errors.ArchiveStalled(name=segment, reason=f"its archiver last failed at {row}")
        time.sleep(0.05)


@contextlib.contextmanager
def _one_at_a_time(folder: Path, name: str = "base.lock") -> Iterator[None]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _administrator(environ: Environ) -> psycopg.Connection:
    connection = psycopg.connect(verification.administrator(environ), autocommit=True)
    connection.execute("set timezone = 'UTC'")
    return connection


def _number(environ: Environ, setting: str, default: float) -> float:
    try:
        number = float(environ.get(setting) or default)
    except ValueError:
        raise errors.BadSetting(setting=setting, reason="it must be a number") from None
    if not 0 < number < 1e6:
        raise errors.BadSetting(setting=setting, reason="it must be more than 0")
    return number

"""The backup repository: base backups with their manifests, WAL segments, and how far the archive reaches.

    base/<id>/manifest.json   what it is, with hashes; readable without the key, authenticated by it
    base/<id>/data.tally      the database files       (encrypted)
    base/<id>/files.tally     files/ and keys/ of the home, less the backup key itself
    base/<id>/index.tally     what the next incremental builds on
    base/<id>/facts.tally     fingerprints to compare a restored database with
    wal/<name>.tally          one finished WAL segment or timeline history
    reach.json                "every commit before this time is in here", authenticated

The directory is TALLYSTICK_BACKUP_DIR, else `backup` in the home. It belongs on another disk, or in a
directory that is copied to another place.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import hmac
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tallystick.core.postgres import errors, place, vault

SEGMENT = re.compile(r"[0-9A-F]{24}")
SEGMENT_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Base:
    """A base backup's manifest."""

    id: str
    kind: str  # full, incremental
    parent: str | None
    started_at: dt.datetime
    finished_at: dt.datetime  # from here on a restore may stop
    seconds: float
    version: str
    system: str  # PostgreSQL's system identifier
    first_segment: str  # the first WAL segment a restore needs
    last_segment: str  # the last one it cannot do without
    bytes_plain: int
    bytes_stored: int
    sha256: Mapping[str, str]  # file name to hash of the encrypted file
    reason: str = "schedule"


@dataclass(frozen=True)
class Reach:
    """Every commit before `at` is in the archive."""

    at: dt.datetime
    lsn: str


@dataclass(frozen=True)
class Pruned:
    """How much was dropped."""

    bases: int
    segments: int


def directory(environ: Mapping[str, str]) -> Path:
    """The repository: TALLYSTICK_BACKUP_DIR, else `backup` in the home."""
    given = environ.get("TALLYSTICK_BACKUP_DIR")
    return Path(given).expanduser().absolute() if given else place.home(environ) / "backup"


def base_directory(repository: Path, base: str) -> Path:
    return repository / "base" / base


def segment_file(repository: Path, name: str) -> Path:
    return repository / "wal" / f"{name}.tally"


def bases(repository: Path, key: vault.Key) -> list[Base]:
    """All complete base backups, oldest first. An altered manifest is refused, not skipped."""
    found = [_load(path, key) for path in (repository / "base").glob("*/manifest.json")]
    return sorted(found, key=lambda base: base.finished_at)


def save(repository: Path, key: vault.Key, base: Base) -> None:
    """Write a manifest: from now on the backup exists."""
    content = dataclasses.asdict(base)
    content |= {"started_at": base.started_at.isoformat(), "finished_at": base.finished_at.isoformat()}
    _write(base_directory(repository, base.id) / "manifest.json", content, key)


def chain(every: list[Base], last: Base) -> list[Base]:
    """A backup with all it builds on, the full one first."""
    by_id = {base.id: base for base in every}
    links = [last]
    while (parent := links[-1].parent) is not None:
        if parent not in by_id:
            raise errors.BackupFileMissing(path=f"base backup {parent}")
        links.append(by_id[parent])
    return links[::-1]


def check_stored(repository: Path, base: Base) -> None:
    """The encrypted files are, byte for byte, those that were written. Needs no key."""
    for name, wanted in base.sha256.items():
        path = base_directory(repository, base.id) / name
        if not path.exists():
            raise errors.BackupFileMissing(path=path)
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if not hmac.compare_digest(found, wanted):
            raise errors.BackupDamaged(path=path, reason="its hash is not the one in the manifest")


def reach(repository: Path, key: vault.Key) -> Reach | None:
    """How far the archive reaches; None before its first mark."""
    path = repository / "reach.json"
    if not path.exists():
        return None
    content = _read(path, key)
    return Reach(dt.datetime.fromisoformat(str(content["at"])), str(content["lsn"]))


def save_reach(repository: Path, key: vault.Key, reached: Reach) -> None:
    """Note how far the archive reaches: call when everything before it is in."""
    _write(repository / "reach.json", {"at": reached.at.isoformat(), "lsn": reached.lsn}, key)


def segments(repository: Path) -> list[str]:
    """Names of everything archived, in order: segments, backup labels and timeline histories."""
    return sorted(path.name.removesuffix(".tally") for path in (repository / "wal").glob("*.tally"))


def needed_segments(names: list[str], first: str) -> list[str]:
    """What a restore from a segment on may ask for, on any timeline: one may have branched since."""
    return [name for name in names if not SEGMENT.fullmatch(name[:24]) or name[8:24] >= first[8:]]


def clear(repository: Path) -> None:
    """Remove what a killed backup left: without a manifest it is none. Call as the only one who takes one."""
    for room in (repository / "base").glob("*"):
        if not (room / "manifest.json").exists():
            shutil.rmtree(room)


def gaps(names: list[str], every: list[Base]) -> list[str]:
    """Segments missing between the first one a backup needs and the last one, on each timeline."""
    per_high = 2**32 // SEGMENT_BYTES
    found: dict[str, set[int]] = {}
    for name in names:
        if SEGMENT.fullmatch(name):
            found.setdefault(name[:8], set()).add(int(name[8:16], 16) * per_high + int(name[16:], 16))
    first = {base.first_segment[:8]: base.first_segment for base in reversed(every)}
    missing = []
    for timeline, numbers in found.items():
        begin = min(numbers)
        if timeline in first:
            begin = int(first[timeline][8:16], 16) * per_high + int(first[timeline][16:], 16)
        for number in range(begin, max(numbers) + 1):
            if number not in numbers:
                missing.append(f"{timeline}{number // per_high:08X}{number % per_high:08X}")
    return sorted(missing)


def prune(repository: Path, key: vault.Key, *, keep_from: dt.datetime) -> Pruned:
    """Drop what no restore to a time from `keep_from` on can need. The last backup is never dropped."""
    every = bases(repository, key)
    chains: dict[str, list[Base]] = {}
    for base in every:
        chains.setdefault(chain(every, base)[0].id, []).append(base)
    # A chain is needed while the next full backup does not reach back far enough.
    fulls = [base for base in every if base.parent is None]
    needed_from = max(
        (base for base in fulls if base.finished_at <= keep_from),
        key=lambda base: base.finished_at,
        default=None,
    )
    if needed_from is None:
        return Pruned(0, 0)
    dropped = 0
    for full in fulls:
        if full.finished_at < needed_from.finished_at:
            for base in reversed(chains[full.id]):
                # The manifest first: without it the backup does not exist, and the rest is rubbish.
                (base_directory(repository, base.id) / "manifest.json").unlink()
                shutil.rmtree(base_directory(repository, base.id))
                dropped += 1
    kept_first = min(base.first_segment[8:] for base in bases(repository, key))
    removed = 0
    for name in segments(repository):
        if SEGMENT.fullmatch(name[:24]) and name[8:24] < kept_first:
            segment_file(repository, name).unlink()
            removed += 1
    return Pruned(dropped, removed)


def _load(path: Path, key: vault.Key) -> Base:
    content = _read(path, key)
    for name in ("started_at", "finished_at"):
        content[name] = dt.datetime.fromisoformat(str(content[name]))
    return Base(**content)  # type: ignore[arg-type]


def _write(path: Path, content: Mapping[str, object], key: vault.Key) -> None:
    text = _canonical(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("w") as file:
        json.dump({**content, "key": key.name.hex(), "tag": key.tag(text)}, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    vault.sync_directory(path.parent)


def _read(path: Path, key: vault.Key) -> dict[str, object]:
    try:
        content = json.loads(path.read_text())
        tag, name = content.pop("tag"), content.pop("key")
    except (ValueError, KeyError, AttributeError):
        raise errors.BackupDamaged(path=path, reason="it is not a manifest") from None
    if name != key.name.hex():
        raise errors.BackupWrongKey(path=path, wanted=name, given=key.name.hex())
    if not hmac.compare_digest(tag, key.tag(_canonical(content))):
        raise errors.BackupDamaged(path=path, reason="its tag does not fit its content")
    return dict(content)


def _canonical(content: Mapping[str, object]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), default=str).encode()

"""Publishing: the logs as plain files that anybody can serve, keep and check (C2SP tlog-tiles).

Promises: files follow from the tables alone, so publishing again after a crash at any point writes the same
bytes; the checkpoint is written last and only over what is durable; a whole file never changes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from django.db import connections

from tallystick.core.db import Db
from tallystick.evidence import checkpoints, errors, notes, reading, tiles
from tallystick.evidence.keys import LOGS, PUBLIC

CHECKPOINT = "checkpoint"
DRAFT = ".draft"
"""What the name of a file ends with that is being written. One that is left over was never published."""

_TOGETHER = 128
"""Files made durable at a time: a disk takes several for little more than one."""


def folder_of(root: Path, log_id: int) -> Path:
    """Where a log is published, below the folder of all."""
    return root / next(name for name, number in LOGS.items() if number == log_id)


def published(folder: Path) -> checkpoints.Checkpoint | None:
    """The checkpoint that a folder holds, not checked."""
    try:
        text, _ = notes.parse((folder / CHECKPOINT).read_bytes())
        return checkpoints.parse(text)
    except (FileNotFoundError, errors.NoteMalformed, errors.CheckpointMalformed):
        return None


def check_not_behind(db: Db, root: Path) -> None:
    """Refuses where more was published than the tables hold: to seal on would be to sign a second history.

    Raises `errors.LogBehind`.
    """
    for log_id in LOGS.values():
        seen = published(folder_of(root, log_id))
        head = reading.head(db, log_id)
        if seen is not None and head is not None and seen.origin == head.origin and seen.size > head.size:
            raise errors.LogBehind(origin=head.origin, published=seen.size, size=head.size)


def publish(db: Db, root: Path, *, again: bool = False) -> int:
    """Write what the folders below `root` lack of both logs. Returns how many files were written.

    again: from the first entry on, whatever is there.
    """
    return sum(_publish(db, log_id, folder_of(root, log_id), again=again) for log_id in LOGS.values())


def _publish(db: Db, log_id: int, folder: Path, *, again: bool) -> int:
    head = reading.head(db, log_id)
    if head is None or head.size == 0:
        return 0
    note = reading.note(db, log_id, head.size)
    checkpoint = folder / CHECKPOINT
    if not again and checkpoint.exists() and checkpoint.read_bytes() == note:
        return 0
    folder.parent.mkdir(parents=True, exist_ok=True)
    before = published(folder)
    since = 0
    if before is not None and not again and _is_ours(db, log_id, before):
        since = before.size
    mode = 0o644 if log_id == PUBLIC else 0o600
    written = _written(folder, pieces(db, head, head.size, since=since), mode)
    # What it leads to is durable: from here on it may be seen.
    written += _written(folder, [(CHECKPOINT, note)], mode)
    _drop_parts(folder, since, head.size)
    return written


def _is_ours(db: Db, log_id: int, before: checkpoints.Checkpoint) -> bool:
    """Whether what was published last is a checkpoint that the log made."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select root from evidence_checkpoint where log_id = %s and size = %s", [log_id, before.size]
        )
        found = cursor.fetchone()
    return found is not None and bytes(found[0]) == before.root


def pieces(db: Db, head: reading.Head, size: int, *, since: int = 0) -> Iterator[tuple[str, bytes]]:
    """Every file of the log of `size` entries but its checkpoint, by its path: what a folder has to hold.

    since: without those that were whole at that size.
    """
    source = reading.tile_source(db, head.log_id, head.suite)
    for level, index, width in tiles.tiles_of(size, since=since):
        yield tiles.tile_path(level, index, width), source(level, index, width)
        if level == 0:
            first = index * tiles.WIDTH
            with connections[db].cursor() as cursor:
                cursor.execute(
                    "select body from evidence_entry where log_id = %s and seq >= %s and seq < %s order by seq",
                    [head.log_id, first, first + width],
                )
                bodies = [bytes(body) for (body,) in cursor.fetchall()]
            yield tiles.bundle_path(index, width), tiles.encode_bundle(bodies)


def _written(folder: Path, files: Iterable[tuple[str, bytes]], mode: int) -> int:
    """Each file whole and durable under its name, or not there. Returns how many were written."""
    written, drafts = 0, []
    with ThreadPoolExecutor(8) as together:
        for path, content in files:
            drafts.append(_draft(folder / path, content, mode))
            if len(drafts) == _TOGETHER:
                written += _named(together, drafts)
                drafts = []
        written += _named(together, drafts)
    return written


def _draft(path: Path, content: bytes, mode: int) -> tuple[Path, Path]:
    _make(path.parent, 0o755 if mode == 0o644 else 0o700)
    draft = path.with_name(path.name + DRAFT)
    with open(draft, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(content)
    return draft, path


def _make(directory: Path, mode: int) -> None:
    # Not `parents=True`: those above would be open to everybody.
    if not directory.is_dir():
        _make(directory.parent, mode)
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode)


def _named(together: ThreadPoolExecutor, drafts: list[tuple[Path, Path]]) -> int:
    list(together.map(_sync, [draft for draft, _ in drafts]))
    for draft, path in drafts:
        draft.replace(path)
    # A name is durable once its directory is.
    list(together.map(_sync, {path.parent for _, path in drafts}))
    return len(drafts)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _drop_parts(folder: Path, since: int, size: int) -> None:
    """The parts of tiles that have become whole: whoever asks for one is told to take the whole one."""
    level = 0
    while since >> 8 * level:
        index, width = divmod(since >> 8 * level, tiles.WIDTH)
        if width and size >> 8 * (level + 1) > index:
            shutil.rmtree(folder / f"{tiles.tile_path(level, index)}.p", ignore_errors=True)
            if level == 0:
                shutil.rmtree(folder / f"{tiles.bundle_path(index)}.p", ignore_errors=True)
        level += 1

"""fsck of the published files: that a folder holds what the tables hold, each file byte for byte, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tallystick.core.db import Db
from tallystick.core.errors import Refusal
from tallystick.evidence import checkpoints, errors, hashing, keys, publishing, reading, tiles


def published(folder: Path) -> bytes:
    """The checkpoint's file as it is now; nothing where there is none."""
    try:
        return (folder / publishing.CHECKPOINT).read_bytes()
    except FileNotFoundError:
        return b""


def compare(db: Db, head: reading.Head, folder: Path, note: bytes) -> Iterator[tuple[str, str, str]]:
    """(kind, place, message) of whatever differs. note: the folder's checkpoint, read before the tables."""
    if not note:
        if head.size:
            yield "file_missing", f"file {publishing.CHECKPOINT}", "It is gone, or was never published."
        return
    try:
        checkpoint = checkpoints.open(note, keys.verifiers(db, head.log_id), origin=head.origin)
    except Refusal as refusal:
        yield "file_edited", f"file {publishing.CHECKPOINT}", refusal.message
        return
    if checkpoint.size > head.size:
        yield (
            "log_truncated",
            f"checkpoint {checkpoint.size}",
            f"The log has signed and published {checkpoint.size} entries; the tables hold {head.size}.",
        )
        return
    try:
        if (
            checkpoints.open(reading.note(db, head.log_id, checkpoint.size), keys.verifiers(db, head.log_id))
            != checkpoint
        ):
            yield (
                "history_forked",
                f"checkpoint {checkpoint.size}",
                "The log has signed two roots for one size.",
            )
    except errors.CheckpointUnknown:
        yield "checkpoint_missing", f"checkpoint {checkpoint.size}", "It was published, and its row is gone."
    except Refusal:
        pass  # the row itself is named elsewhere
    yield from _pieces(db, head, checkpoint.size, folder)


def _pieces(db: Db, head: reading.Head, size: int, folder: Path) -> Iterator[tuple[str, str, str]]:
    expected = {publishing.CHECKPOINT}
    for path, content in publishing.pieces(db, head, size):
        expected.add(path)
        file = folder / path
        if not file.is_file():
            whole = path.partition(".p/")[0]
            # What became whole since the checkpoint was read is published whole.
            if not (whole != path and (folder / whole).is_file()):
                yield "file_missing", f"file {path}", "It is gone."
        elif file.read_bytes() != content:
            yield "file_edited", f"file {path}", "It is not what the tables hold."
    for file in sorted(folder.rglob("*")):
        path = file.relative_to(folder).as_posix()
        if file.is_file() and path not in expected and not path.endswith(publishing.DRAFT):
            yield from _other(db, head, size, path, file)


def _other(db: Db, head: reading.Head, size: int, path: str, file: Path) -> Iterator[tuple[str, str, str]]:
    """A file that the checkpoint does not ask for: a part of an earlier one, a piece of a later one, or a stranger."""
    try:
        level, index, width = tiles.place(path)
    except errors.TileMalformed:
        yield "file_unknown", f"file {path}", "It is no piece of a log."
        return
    hashes = head.size >> 8 * (level or 0)
    if index * tiles.WIDTH + width > hashes:
        yield "file_unknown", f"file {path}", "The log is not as large as that."
        return
    content = file.read_bytes()
    if level is None:
        try:
            found = hashing.leaf_hashes(tiles.decode_bundle(content, width, path=path), head.suite)
        except errors.TileMalformed as refusal:
            yield "file_edited", f"file {path}", refusal.message
            return
    else:
        found = content
    now = min(tiles.WIDTH, hashes - index * tiles.WIDTH)
    source = reading.tile_source(db, head.log_id, head.suite)
    if found != source(level or 0, index, now)[: width * hashing.HASH_BYTES]:
        yield "file_edited", f"file {path}", "It is not what the tables hold."

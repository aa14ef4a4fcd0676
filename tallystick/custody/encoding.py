"""A judgement as rows of PostgreSQL's binary COPY, built by columns.

Promises: the bytes of a transfer's row here are the bytes PostgreSQL gives back for it with
`COPY (SELECT …) TO STDOUT (FORMAT binary)` over `TRANSFER_COLUMNS`, so anybody with psql can recompute the
digest that the evidence log holds.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tallystick.custody.judgement import Judgement

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

TRANSFER_COLUMNS = (
    "book_id position id kind code debit_account credit_account amount_minor value_date at recorded_at "
    "authorisation pending_position reverses_position chain_position expires_at balancing asked_minor "
    "reference payee reason metadata"
).split()
ENTRY_COLUMNS = "account position debits_posted credits_posted debits_pending credits_pending".split()
USE_COLUMNS = "authorisation use book_id position used_minor".split()

_FIXED = (
    ("book_id", ">i2"),
    ("position", ">i8"),
    ("id", "V16"),
    ("kind", ">i2"),
    ("code", ">i2"),
    ("debit_account", ">i8"),
    ("credit_account", ">i8"),
    ("amount_minor", ">i8"),
    ("value_date", ">i4"),
    ("at", ">i8"),
    ("recorded_at", ">i8"),
)
_NULLABLE = (
    ("authorisation", ">i8"),
    ("pending_position", ">i8"),
    ("reverses_position", ">i8"),
    ("chain_position", ">i8"),
    ("expires_at", ">i8"),
    ("balancing", ">i2"),
    ("asked_minor", ">i8"),
)
_TEXTS = ("reference", "payee", "reason", "metadata")

# PostgreSQL counts from 2000-01-01: microseconds for times, days for dates.
POSTGRES_EPOCH_US = 946_684_800_000_000
_POSTGRES_EPOCH_DAYS = 10_957


@dataclass(frozen=True, slots=True)
class Encoded:
    """What one transaction copies in. digest: SHA-256 of the transfers' rows, without COPY's frame."""

    transfers: bytes
    entries: bytes
    uses: bytes
    digest: bytes
    count: int


def encoded(judgement: Judgement, book: int) -> Encoded:
    """The rows of the transfers that are posted."""
    posted = np.flatnonzero(judgement.is_posted)
    transfers = _transfers(judgement, posted, book)
    return Encoded(
        transfers=HEADER + transfers + TRAILER,
        entries=HEADER + _entries(judgement, posted) + TRAILER,
        uses=_uses(judgement, posted, book),
        digest=hashlib.sha256(transfers).digest(),
        count=len(posted),
    )


def _transfers(judgement: Judgement, posted: NDArray[np.int64], book: int) -> bytes:
    batch, count = judgement.batch, len(posted)
    at = np.where(batch.at == 0, judgement.now, batch.at)[posted]
    value_date = np.where(batch.value_date == 0, judgement.today, batch.value_date)[posted]
    settled = judgement.pending_position[posted] != 0
    columns: dict[str, Any] = {
        "book_id": book,
        "position": judgement.position[posted],
        "id": np.frombuffer(batch.ids, "V16")[posted],
        "kind": batch.kind[posted],
        "code": judgement.code[posted],
        "debit_account": judgement.debit[posted],
        "credit_account": judgement.credit[posted],
        "amount_minor": judgement.amount[posted],
        "value_date": value_date - _POSTGRES_EPOCH_DAYS,
        "at": at - POSTGRES_EPOCH_US,
        "recorded_at": judgement.now - POSTGRES_EPOCH_US,
    }
    expires = batch.expires[posted]
    balancing = batch.balancing[posted]
    nullable: dict[str, Any] = {
        "authorisation": judgement.authorisation[posted],
        "pending_position": judgement.pending_position[posted],
        "reverses_position": judgement.reverses_position[posted],
        "chain_position": judgement.chain_position[posted],
        "expires_at": expires - POSTGRES_EPOCH_US,
        "balancing": balancing,
        "asked_minor": batch.amount[posted],
    }
    given = np.stack(
        [
            nullable["authorisation"] != 0,
            nullable["pending_position"] != 0,
            nullable["reverses_position"] != 0,
            nullable["chain_position"] != 0,
            (expires != 0) & ~settled,
            balancing != 0,
            balancing != 0,
        ],
        axis=1,
    )
    texts = [
        None if (column := getattr(batch, name)) is None else [column[i] for i in posted] for name in _TEXTS
    ]
    tails = None if all(column is None for column in texts) else _tails(texts, count)
    empty_tail = b"\xff\xff\xff\xff" * len(_TEXTS)

    # Rows with the same NULLs have the same shape: one structured array for each shape.
    shape = given @ (1 << np.arange(len(_NULLABLE)))
    shapes = np.unique(shape)
    if len(shapes) == 1 and tails is None:
        return _rows(
            columns,
            nullable,
            given[0] if count else np.zeros(len(_NULLABLE), np.bool_),
            np.s_[:],
            count,
            True,
        )
    rows: list[bytes] = [b""] * count
    for one in shapes:
        where = np.flatnonzero(shape == one)
        block = _rows(columns, nullable, given[where[0]], where, len(where), False)
        width = len(block) // len(where)
        for nth, i in enumerate(where.tolist()):
            rows[i] = block[nth * width : (nth + 1) * width]
    if tails is None:
        return empty_tail.join(rows) + empty_tail
    return b"".join([part for pair in zip(rows, tails, strict=True) for part in pair])


def _rows(
    columns: dict[str, NDArray[np.int64] | int],
    nullable: dict[str, NDArray[np.int64]],
    given: NDArray[np.bool_],
    where: NDArray[np.int64] | slice,
    count: int,
    with_empty_texts: bool,
) -> bytes:
    """The rows at `where`, which all have the same columns given."""
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for name, kind in _FIXED:
        fields += [(f"{name}_size", ">i4"), (name, kind)]
    for (name, kind), is_given in zip(_NULLABLE, given.tolist(), strict=True):
        fields += [(f"{name}_size", ">i4")] + ([(name, kind)] if is_given else [])
    if with_empty_texts:
        fields += [(f"{name}_size", ">i4") for name in _TEXTS]
    rows = np.empty(count, np.dtype(fields))
    rows["fields"] = len(TRANSFER_COLUMNS)
    for name, kind in _FIXED:
        value = columns[name]
        rows[f"{name}_size"] = np.dtype(kind).itemsize
        rows[name] = value if isinstance(value, int) else value[where]
    for (name, kind), is_given in zip(_NULLABLE, given.tolist(), strict=True):
        rows[f"{name}_size"] = np.dtype(kind).itemsize if is_given else -1
        if is_given:
            rows[name] = nullable[name][where]
    if with_empty_texts:
        for name in _TEXTS:
            rows[f"{name}_size"] = -1
    return rows.tobytes()


def _tails(texts: Sequence[Sequence[str | None] | None], count: int) -> list[bytes]:
    """The text columns of each row, each with its length before it; -1 for NULL."""
    parts = []
    for column in texts:
        if column is None:
            parts.append([b"\xff\xff\xff\xff"] * count)
        else:
            parts.append([_text(text) for text in column])
    return [b"".join(row) for row in zip(*parts, strict=True)]


def _text(text: str | None) -> bytes:
    if text is None:
        return b"\xff\xff\xff\xff"
    raw = text.encode()
    return struct.pack(">i", len(raw)) + raw


def _entries(judgement: Judgement, posted: NDArray[np.int64]) -> bytes:
    """Two a transfer, sorted by account: neighbours in the index are then written together."""
    account = np.concatenate([judgement.debit[posted], judgement.credit[posted]])
    position = np.concatenate([judgement.position[posted]] * 2)
    after = np.concatenate([judgement.after[posted, 0], judgement.after[posted, 1]])
    order = np.lexsort((position, account))
    rows = np.empty((len(account), 6), np.int64)
    rows[:, 0], rows[:, 1], rows[:, 2:] = account, position, after
    return _eights(rows[order], [8] * 6)


def _uses(judgement: Judgement, posted: NDArray[np.int64], book: int) -> bytes:
    consuming = posted[judgement.use[posted] != 0]
    if not len(consuming):
        return b""
    order = np.lexsort((judgement.use[consuming], judgement.authorisation[consuming]))
    which = consuming[order]
    rows = np.stack(
        [
            judgement.authorisation[which],
            judgement.use[which],
            np.full(len(which), book),
            judgement.position[which],
            judgement.used[which],
        ],
        axis=1,
    )
    return HEADER + _eights(rows, [8, 4, 2, 8, 8]) + TRAILER


def _eights(rows: NDArray[np.int64], sizes: Sequence[int]) -> bytes:
    """Rows of whole numbers, none NULL, of these sizes in bytes."""
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for nth, size in enumerate(sizes):
        fields += [(f"size{nth}", ">i4"), (f"value{nth}", f">i{size}")]
    out = np.empty(len(rows), np.dtype(fields))
    out["fields"] = len(sizes)
    for nth, size in enumerate(sizes):
        out[f"size{nth}"] = size
        out[f"value{nth}"] = rows[:, nth]
    return out.tobytes()

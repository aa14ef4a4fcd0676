"""A judgement as rows of PostgreSQL's binary COPY, built by columns.

Promises: the bytes of a transfer's row here are the bytes PostgreSQL gives back for it with
`COPY (SELECT …) TO STDOUT (FORMAT binary)` over `TRANSFER_COLUMNS`, so anybody with psql can recompute the
digest that the evidence log holds.
"""

from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tallystick.custody import transfers
from tallystick.custody.judgement import Judgement
from tallystick.evidence import batches

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
_BITS = 1 << np.arange(len(_NULLABLE))

# PostgreSQL counts from 2000-01-01: microseconds for times, days for dates.
POSTGRES_EPOCH_US = 946_684_800_000_000
_POSTGRES_EPOCH_DAYS = 10_957


class Array(bytes):
    """One parameter: an array of PostgreSQL's, none of its elements NULL, in its binary form."""

    element: ClassVar[int]
    array: ClassVar[int]
    item: ClassVar[NDArray[np.void]]

    @classmethod
    def of(cls, column: ArrayLike) -> Self:
        """column: as many whole numbers (or UUIDs of 16 bytes) as the array has elements."""
        column = np.asarray(column)
        items = np.repeat(cls.item, len(column))
        items["value"] = column
        return cls(struct.pack(">iiIii", 1, 0, cls.element, len(column), 1) + items.tobytes())


def _array(name: str, kind: str, element: int, array: int) -> type[Array]:
    item = np.zeros(1, [("size", ">i4"), ("value", kind)])
    item["size"] = item.dtype["value"].itemsize
    return type(name, (Array,), {"element": element, "array": array, "item": item})


# The numbers are PostgreSQL's own for these types, the same in every database.
Int2s = _array("Int2s", ">i2", 21, 1005)
Int4s = _array("Int4s", ">i4", 23, 1007)
Int8s = _array("Int8s", ">i8", 20, 1016)
Dates = _array("Dates", ">i4", 1082, 1182)
Times = _array("Times", ">i8", 1184, 1185)
Uuids = _array("Uuids", "V16", 2950, 2951)
ARRAYS: tuple[type[Array], ...] = (Int2s, Int4s, Int8s, Dates, Times, Uuids)


@dataclass(frozen=True, slots=True)
class Copied:
    """What one transaction copies in.

    digest: SHA-256 of the transfers' rows, without COPY's frame; leaves: a hash of each (`evidence.batches`).
    """

    transfers: bytes
    entries: bytes
    uses: bytes
    digest: bytes
    leaves: bytes
    count: int


@dataclass(frozen=True, slots=True)
class Called:
    """What one call of `custody_store` takes after the head. digest, leaves: as `Copied` has them."""

    parameters: tuple[object, ...]
    digest: bytes
    leaves: bytes
    count: int


def copied(judgement: Judgement, book: int, salt: bytes) -> Copied:
    """The rows of the transfers that are posted. salt: of their event, for the blinds of the leaves."""
    columns = _columns(judgement)
    parts = _transfers(columns, book)
    rows = _joined(parts)
    return Copied(
        transfers=HEADER + rows + TRAILER,
        entries=HEADER + _eights(_entries(judgement, columns), [8] * 6) + TRAILER,
        uses=_framed(_eights(_uses(judgement, columns, book), [8, 4, 2, 8, 8])),
        digest=hashlib.sha256(rows).digest(),
        leaves=_leaves(parts, salt, columns.count),
        count=columns.count,
    )


def called(judgement: Judgement, book: int, salt: bytes) -> Called:
    """The same as arrays: what costs a little more a row, and much less a transaction."""
    columns = _columns(judgement)
    fixed, given = columns.fixed, columns.given
    # In the order `_NULLABLE` has them; 0 stands for NULL, and an array of none for a column of NULLs.
    optional = [
        (Int2s if kind == ">i2" else Int8s).of(
            np.where(given[:, nth], columns.nullable[name], 0) if given[:, nth].any() else ()
        )
        for nth, (name, kind) in enumerate(_NULLABLE)
    ]
    entries = _entries(judgement, columns)
    uses = _uses(judgement, columns, book)
    parameters = (
        transfers.moment(judgement.now),
        Uuids.of(fixed["id"]),
        Int2s.of(fixed["kind"]),
        Int2s.of(fixed["code"]),
        Int8s.of(fixed["debit_account"]),
        Int8s.of(fixed["credit_account"]),
        Int8s.of(fixed["amount_minor"]),
        Dates.of(fixed["value_date"]),
        Times.of(fixed["at"]),
        *optional,
        *(None if column is None else list(column) for column in columns.texts),
        *(Int8s.of(entries[:, nth]) for nth in range(6)),
        Int8s.of(uses[:, 0]),
        Int4s.of(uses[:, 1]),
        Int8s.of(uses[:, 3]),
        Int8s.of(uses[:, 4]),
    )
    parts = _transfers(columns, book)
    digest = hashlib.sha256(_joined(parts)).digest()
    return Called(parameters, digest, _leaves(parts, salt, columns.count), columns.count)


@dataclass(frozen=True, slots=True)
class _Columns:
    """The transfers that are posted. given: for each of `_NULLABLE`, whether it is not NULL."""

    posted: NDArray[np.int64]
    fixed: dict[str, Any]
    nullable: dict[str, Any]
    given: NDArray[np.bool_]
    texts: list[Sequence[str | None] | None]

    @property
    def count(self) -> int:
        return len(self.posted)


def _columns(judgement: Judgement) -> _Columns:
    batch = judgement.batch
    posted = np.flatnonzero(judgement.is_posted)
    # A whole slice is no copy.
    which: Any = np.s_[:] if len(posted) == len(batch) else posted
    at, value_date, expires = batch.at[which], batch.value_date[which], batch.expires[which]
    balancing = batch.balancing[which]
    settled = judgement.pending_position[which] != 0
    fixed = {
        "position": judgement.position[which],
        "id": np.frombuffer(batch.ids, "V16")[which],
        "kind": batch.kind[which],
        "code": judgement.code[which],
        "debit_account": judgement.debit[which],
        "credit_account": judgement.credit[which],
        "amount_minor": judgement.amount[which],
        "value_date": np.where(value_date == 0, judgement.today, value_date) - _POSTGRES_EPOCH_DAYS,
        "at": np.where(at == 0, judgement.now, at) - POSTGRES_EPOCH_US,
        "recorded_at": judgement.now - POSTGRES_EPOCH_US,
    }
    nullable = {
        "authorisation": judgement.authorisation[which],
        "pending_position": judgement.pending_position[which],
        "reverses_position": judgement.reverses_position[which],
        "chain_position": judgement.chain_position[which],
        "expires_at": expires - POSTGRES_EPOCH_US,
        "balancing": balancing,
        "asked_minor": batch.amount[which],
    }
    given = np.stack(
        [
            nullable["authorisation"] != 0,
            settled,
            nullable["reverses_position"] != 0,
            nullable["chain_position"] != 0,
            (expires != 0) & ~settled,
            balancing != 0,
            balancing != 0,
        ],
        axis=1,
    )
    texts: list[Sequence[str | None] | None] = [
        None if (column := getattr(batch, name)) is None else [column[i] for i in posted] for name in _TEXTS
    ]
    return _Columns(posted, fixed, nullable, given, texts)


def _transfers(columns: _Columns, book: int) -> NDArray[np.void] | list[bytes]:
    # One array where all rows have the same shape, else row by row.
    fixed, nullable, given, texts = (
        columns.fixed | {"book_id": book},
        columns.nullable,
        columns.given,
        columns.texts,
    )
    count = columns.count
    tails = None if all(column is None for column in texts) else _tails(texts, count)
    empty_tail = b"\xff\xff\xff\xff" * len(_TEXTS)

    # Rows with the same NULLs have the same shape: one structured array for each shape.
    shape = given @ _BITS
    if tails is None and (shape == shape[0]).all():
        return _rows(fixed, nullable, tuple(given[0].tolist()), np.s_[:], count, True)
    rows: list[bytes] = [b""] * count
    for one in np.unique(shape):
        where = np.flatnonzero(shape == one)
        block = _rows(fixed, nullable, tuple(given[where[0]].tolist()), where, len(where), False).tobytes()
        width = len(block) // len(where)
        for nth, i in enumerate(where.tolist()):
            rows[i] = block[nth * width : (nth + 1) * width]
    if tails is None:
        return [row + empty_tail for row in rows]
    return [row + tail for row, tail in zip(rows, tails, strict=True)]


def _joined(parts: NDArray[np.void] | list[bytes]) -> bytes:
    return b"".join(parts) if isinstance(parts, list) else parts.tobytes()


def _leaves(parts: NDArray[np.void] | list[bytes], salt: bytes, count: int) -> bytes:
    if isinstance(parts, list):
        return batches.leaves(parts, salt, count)
    # Laid out at once: what is left for each row is its hash.
    width = parts.dtype.itemsize
    blinds = np.frombuffer(batches.blinds(salt, count), np.uint8)
    laid_out = np.empty((count, 1 + batches.BLIND_BYTES + width), np.uint8)
    laid_out[:, 0] = 0
    laid_out[:, 1 : 1 + batches.BLIND_BYTES] = blinds.reshape(count, batches.BLIND_BYTES)
    laid_out[:, 1 + batches.BLIND_BYTES :] = parts.view(np.uint8).reshape(count, width)
    return batches.leaves_of_width(laid_out.tobytes(), laid_out.shape[1])


def _rows(
    columns: dict[str, Any],
    nullable: dict[str, Any],
    given: tuple[bool, ...],
    where: NDArray[np.int64] | slice,
    count: int,
    with_empty_texts: bool,
) -> NDArray[np.void]:
    """The rows at `where`, which all have the same columns given."""
    rows = np.repeat(_shape(given, with_empty_texts), count)
    for name, _kind in _FIXED:
        value = columns[name]
        rows[name] = value if isinstance(value, int) else value[where]
    for (name, _kind), is_given in zip(_NULLABLE, given, strict=True):
        if is_given:
            rows[name] = nullable[name][where]
    return rows


@functools.cache
def _shape(given: tuple[bool, ...], with_empty_texts: bool) -> NDArray[np.void]:
    """One row with these columns given, its lengths written and its values not."""
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for name, kind in _FIXED:
        fields += [(f"{name}_size", ">i4"), (name, kind)]
    for (name, kind), is_given in zip(_NULLABLE, given, strict=True):
        fields += [(f"{name}_size", ">i4")] + ([(name, kind)] if is_given else [])
    if with_empty_texts:
        fields += [(f"{name}_size", ">i4") for name in _TEXTS]
    row = np.zeros(1, fields)
    row["fields"] = len(TRANSFER_COLUMNS)
    for name, kind in _FIXED:
        row[f"{name}_size"] = np.dtype(kind).itemsize
    for (name, kind), is_given in zip(_NULLABLE, given, strict=True):
        row[f"{name}_size"] = np.dtype(kind).itemsize if is_given else -1
    for name in _TEXTS if with_empty_texts else ():
        row[f"{name}_size"] = -1
    return row


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


def _entries(judgement: Judgement, columns: _Columns) -> NDArray[np.int64]:
    """Two a transfer, sorted by account: neighbours in the index are then written together."""
    posted, fixed = columns.posted, columns.fixed
    account = np.concatenate([fixed["debit_account"], fixed["credit_account"]])
    position = np.concatenate([fixed["position"]] * 2)
    after = judgement.after[posted]
    rows = np.empty((len(account), 6), np.int64)
    rows[:, 0], rows[:, 1], rows[: len(posted), 2:], rows[len(posted) :, 2:] = (
        account,
        position,
        after[:, 0],
        after[:, 1],
    )
    return rows[np.lexsort((position, account))]


def _uses(judgement: Judgement, columns: _Columns, book: int) -> NDArray[np.int64]:
    """One for each transfer that consumes an authorisation, sorted by it."""
    which = columns.posted[judgement.use[columns.posted] != 0]
    rows = np.empty((len(which), 5), np.int64)
    rows[:, 0] = judgement.authorisation[which]
    rows[:, 1] = judgement.use[which]
    rows[:, 2] = book
    rows[:, 3] = judgement.position[which]
    rows[:, 4] = judgement.used[which]
    return rows[np.lexsort((rows[:, 1], rows[:, 0]))]


def _framed(rows: bytes) -> bytes:
    return HEADER + rows + TRAILER if rows else b""


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

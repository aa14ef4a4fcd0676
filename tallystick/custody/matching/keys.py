"""Joins on whole numbers: which rows of two sides carry the same, one with one, the first with the first.

Nearly all lines of a good day have one partner under one reference. They are found by one sort of 64-bit
numbers: the upper bits a hash of what is compared, the lower the row, so that sorting the numbers sorts the
rows along. The caller compares the bytes afterwards, so a collision costs time and never a wrong match.
What is not one with one is joined exactly, by identities given to equal bytes, never by hashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tallystick.custody.matching.lines import Flags, Ints, Names

Hashes: TypeAlias = NDArray[np.uint64]
Octets: TypeAlias = NDArray[np.uint64]
"""A row for each name, eight of its bytes in each column."""
Pairs: TypeAlias = tuple[Ints, Ints]
"""Rows of the left side, and the row of the right side that goes with each."""

# Odd numbers with well-mixed bits: the golden ratio, and the finishers of MurmurHash3.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xFF51AFD7ED558CCD)
_SECOND = np.uint64(0xC4CEB9FE1A85EC53)
_HALF, _LAST = np.uint64(32), np.uint64(29)

BLOCK = 1 << 14
"""Rows worked on at a time: what is made on the way stays in the processor's cache."""
_MIDDLE = np.uint64(1 << 63)


def octets(*columns: Names) -> list[Octets]:
    """Each column as whole numbers of eight bytes, in one width and in one byte order on every machine."""
    width = -(-max(column.dtype.itemsize for column in columns) // 8) * 8
    return [
        np.ascontiguousarray(column.astype(f"S{width}", copy=False))
        .view("<u8")
        .reshape(len(column), width // 8)
        for column in columns
    ]


def hashed(names: Octets, *numbers: Ints) -> Hashes:
    """A hash of each row's name and numbers."""
    found, scratch = np.empty(len(names), np.uint64), np.empty(BLOCK, np.uint64)
    columns = [column.view(np.uint64) for column in numbers]
    for start in range(0, len(names), BLOCK):
        which = slice(start, start + BLOCK)
        part = found[which]
        shifted = scratch[: len(part)]
        part[...] = _GOLDEN
        for value in (*(column[which] for column in columns), *names[which].T):
            part ^= value
            part *= _FIRST
            part ^= np.right_shift(part, _HALF, out=shifted)
        part *= _SECOND
        part ^= np.right_shift(part, _LAST, out=shifted)
    return found


def alike(left: Octets, left_rows: Ints, right: Octets, right_rows: Ints) -> Flags:
    """Whether the names of these rows are the same, byte for byte."""
    found = np.empty(len(left_rows), np.bool_)
    for start in range(0, len(left_rows), BLOCK):
        which = slice(start, start + BLOCK)
        (left[left_rows[which]] == right[right_rows[which]]).all(axis=1, out=found[which])
    return found


def lone_pairs(left: Hashes, right: Hashes) -> Pairs:
    """Rows that share a hash with one row of the other side and with no other row of either, by the left's."""
    count = len(left) + len(right)
    bits = max(count - 1, 1).bit_length()
    packed = np.concatenate([left, right])
    packed &= ~np.uint64((1 << bits) - 1)
    packed |= np.arange(count, dtype=np.uint64)
    # Either half of the hashes by itself: sorting leaves Python's lock, so two cores share it.
    is_upper = packed >= _MIDDLE
    partner = np.full(len(left), -1, np.int64)
    with ThreadPoolExecutor(2) as both:
        halves = (packed[~is_upper], packed[is_upper])
        for one, other in both.map(lambda half: _pairs_among(half, bits, len(left)), halves):
            partner[one] = other
    # In the order of the left side's rows: what is read by them next lies side by side.
    rows = np.flatnonzero(partner >= 0)
    return rows, partner[rows]


def _pairs_among(packed: Hashes, bits: int, left: int) -> Pairs:
    """Of hashes with their rows below them, the rows of the two sides that are alone with one another."""
    packed.sort()
    prefix = packed >> np.uint64(bits)
    like_next = prefix[1:] == prefix[:-1]
    # Exactly two: alike to the next, and neither side of the two goes on.
    two = like_next.copy()
    two[1:] &= ~like_next[:-1]
    two[:-1] &= ~like_next[1:]
    first = np.flatnonzero(two)
    row_mask = np.uint64((1 << bits) - 1)
    one = (packed[first] & row_mask).astype(np.int64)
    other = (packed[first + 1] & row_mask).astype(np.int64)
    # Rows of the left come before those of the right within one hash, for their numbers are lower.
    across = (one < left) & (other >= left)
    return one[across], other[across] - left


def identities(left: Sequence[NDArray[Any]], right: Sequence[NDArray[Any]]) -> Pairs:
    """A number for each row of both sides: the same exactly where all columns are the same."""
    together = np.zeros(len(left[0]) + len(right[0]), np.int64)
    for mine, theirs in zip(left, right, strict=True):
        _, which = np.unique(np.concatenate([mine, theirs]), return_inverse=True)
        _, together = np.unique(together * (len(together) + 1) + which.reshape(-1), return_inverse=True)
        together = together.reshape(-1).astype(np.int64)
    return together[: len(left[0])], together[len(left[0]) :]


def nth_with_nth(
    left: Ints, left_order: Sequence[NDArray[Any]], right: Ints, right_order: Sequence[NDArray[Any]]
) -> Pairs:
    """Of equal identities, the first of the left with the first of the right, the second with the second.

    `left_order` and `right_order` say what comes first: by their first column, then by their second.
    """
    shared = np.intersect1d(left, right)
    mine, my_code = _numbered(left, left_order, shared)
    theirs, their_code = _numbered(right, right_order, shared)
    _, at, beside = np.intersect1d(my_code, their_code, assume_unique=True, return_indices=True)
    return mine[at], theirs[beside]


def _numbered(ids: Ints, order: Sequence[NDArray[Any]], shared: Ints) -> Pairs:
    """The rows that matter, and a code of identity and occurrence that no two of them share."""
    rows = np.flatnonzero(np.isin(ids, shared))
    rows = rows[np.lexsort((*(column[rows] for column in reversed(order)), ids[rows]))]
    sorted_ids = ids[rows]
    starts = np.flatnonzero(np.r_[True, sorted_ids[1:] != sorted_ids[:-1]]) if len(rows) else rows
    lengths = np.diff(np.r_[starts, len(rows)])
    occurrence = np.arange(len(rows)) - np.repeat(starts, lengths)
    return rows, (sorted_ids << np.int64(32)) | occurrence

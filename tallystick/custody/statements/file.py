"""One statement file: which format it is, its rows, and the judgement of the whole.

    reader = file.reader(source)          # or NotAStatement
    for row in reader.read():             # Entry, Entry, …, Statement, Entry, …; or StatementRefused
        ...

A format is a module with a `Reader` of this shape; this file is the list of them.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from django.utils.translation import gettext_noop as _

from tallystick.custody.statements import camt, csv_table, errors, mt940, ofx
from tallystick.custody.statements.mapping import Mapping
from tallystick.custody.statements.notes import Note, Notes
from tallystick.custody.statements.rows import Entry, Statement

BYTES_MAX = 4 << 30
"""Four gigabytes: about four million entries of camt.053."""

_HEAD = 1 << 16
# A message begins with `:20:` or a SWIFT block; a fragment of one is told by its very first line.
_TAG = re.compile(
    rb"\A[\s\x01]*(?::(?:20|21|25P?|28C?|60[FM]|61|62[FM]|64|65|86|NS|940):|\{[1-4]:)"
    rb"|(?:[\r\n]):20:|\{1:F01[A-Z0-9]{8,12}|\{4:[\r\n]"
)


class Reader(Protocol):
    """What a format gives: a stream of rows, and what was seen on the way."""

    format_name: str
    notes: Notes
    entries: int
    not_booked: int

    @property
    def encoding(self) -> str: ...

    @property
    def bytes_read(self) -> int: ...

    def read(self) -> Iterator[Entry | Statement]: ...


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of one file."""

    format_name: str
    status: str
    """`ok`, `refused` or `not_a_statement`."""
    encoding: str = ""
    entries: int = 0
    """Booked entries read, up to the refusal where there is one."""
    not_booked: int = 0
    """Entries passed over: pending, for information, or left out by a mapping."""
    statements: tuple[Statement, ...] = ()
    sum_check: str | int = "absent"
    """`ok`, `absent` where a statement has no balances, or by how many minor units it does not add up."""
    notes: tuple[Note, ...] = ()
    refusal: errors.StatementRefused | errors.NotAStatement | None = None
    """Why it is refused, or no statement."""
    mapping: Mapping | None = None
    """By which a CSV file was read."""

    @property
    def reason(self) -> str:
        """Why, in the language of the moment; empty where all is well."""
        return self.refusal.message if self.refusal is not None else ""


def reader(
    source: BinaryIO,
    *,
    encoding: str | None = None,
    mappings: Sequence[Mapping] = (),
    bytes_max: int = BYTES_MAX,
) -> Reader:
    """The reader for this file, which must be seekable. `encoding` overrides what its bytes suggest.

    A CSV file is read by the first of `mappings` that has its header.
    """
    size = source.seek(0, os.SEEK_END)
    source.seek(0)
    head = source.read(_HEAD)
    source.seek(0)
    if not head.strip():
        raise errors.NotAStatement("empty")
    if size > bytes_max:
        raise errors.TooLarge(line=1, field="file", what=_("The file"), limit=bytes_max, unit=_("bytes"))
    if ofx.is_ofx(_plain(head)):
        return ofx.Reader(source, encoding=encoding)
    if _plain(head).lstrip()[:1] == b"<":
        return camt.Reader(source)
    if _TAG.search(_plain(head)):
        return mt940.Reader(source, encoding=encoding)
    return csv_table.chosen(mappings, source, _plain(head), encoding=encoding)


def judge(
    source: BinaryIO,
    *,
    encoding: str | None = None,
    mappings: Sequence[Mapping] = (),
    progress: Callable[[int], None] | None = None,
) -> Judgement:
    """Read a whole file, keep its statements without their entries, and say what became of it."""
    try:
        opened = reader(source, encoding=encoding, mappings=mappings)
    except errors.NotAStatement as other:
        return Judgement(other.format_name, "not_a_statement", refusal=other)
    except errors.StatementRefused as refusal:
        unread = "csv" if isinstance(refusal, errors.MappingMissing) else "unknown"
        return Judgement(unread, "refused", refusal=refusal)
    statements: list[Statement] = []
    mapping = opened.mapping if isinstance(opened, csv_table.Reader) else None
    try:
        for count, row in enumerate(opened.read()):
            if isinstance(row, Statement):
                statements.append(row)
            if progress is not None and count % 1_000 == 0:
                progress(opened.bytes_read)
    except errors.NotAStatement as other:
        return Judgement(other.format_name, "not_a_statement", opened.encoding, refusal=other)
    except errors.StatementRefused as refusal:
        return Judgement(
            opened.format_name,
            "refused",
            opened.encoding,
            opened.entries,
            opened.not_booked,
            sum_check=refusal.difference_minor if isinstance(refusal, errors.SumDiffers) else "absent",
            notes=tuple(opened.notes),
            refusal=refusal,
        )
    return Judgement(
        opened.format_name,
        "ok",
        opened.encoding,
        opened.entries,
        opened.not_booked,
        tuple(statements),
        "ok" if all(statement.sum_check == "ok" for statement in statements) else "absent",
        tuple(opened.notes),
        mapping=mapping,
    )


def _plain(head: bytes) -> bytes:
    """The head without byte order mark, and UTF-16 as if it were ASCII: enough to see a first character."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return head[2:].replace(b"\0", b"")
    return head.removeprefix(codecs.BOM_UTF8)

"""The lines of a text file of unknown encoding, in bounded memory, and the encoding they were read in.

SWIFT files name no encoding. A file that is valid UTF-8 is UTF-8; otherwise the single-byte code
pages of European banks and the double-byte ones of Chinese banks are weighed by whether their
characters are letters where letters are likely. Amounts, dates and fields are ASCII in all of them,
so the choice never touches the money: it is stated, and the original bytes stay.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from typing import BinaryIO

from django.utils.translation import gettext_noop as _

from tallystick.custody.statements import errors

LINE_MAX = 65_536
"""Characters in one line. SWIFT allows 80; some banks put a whole field in one."""
SAMPLE_MAX = 1 << 16
"""Bytes, out of the lines that are not ASCII, by which an encoding is chosen."""

# In order of preference where they weigh the same.
_CANDIDATES = ("cp1252", "iso8859-15", "cp1250", "cp852", "cp850")


class Lines:
    """Reads a seekable binary file as text lines, counted from 1; every line ending is taken."""

    def __init__(self, source: BinaryIO, *, encoding: str | None = None) -> None:
        self._source = source
        self.encoding = encoding or detect(source)
        self.number = 0

    def __iter__(self) -> Iterator[tuple[int, str]]:
        self._source.seek(0)
        codec = "utf-8-sig" if self.encoding == "utf-8" else self.encoding
        view: io.RawIOBase = Unclosable(self._source)
        text = io.TextIOWrapper(io.BufferedReader(view), encoding=codec, newline=None)
        try:
            while line := text.readline(LINE_MAX + 1):
                self.number += 1
                if len(line) > LINE_MAX:
                    raise errors.TooLarge(
                        line=self.number,
                        field="line",
                        what=_("The line"),
                        limit=LINE_MAX,
                        unit=_("characters"),
                    )
                yield self.number, line.rstrip("\n")
        except UnicodeDecodeError:
            raise errors.UnreadableText(line=self.number + 1, field="text", encoding=self.encoding) from None

    def tell(self) -> int:
        """How far the file has been read: for progress."""
        return self._source.tell()


def detect(source: BinaryIO) -> str:
    """The encoding of a file by its bytes; the same bytes always give the same answer."""
    source.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    utf8 = ascii_only = True
    sample = bytearray()
    head = source.read(4)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    source.seek(0)
    while chunk := source.read(1 << 16):
        if chunk.isascii() and ascii_only:
            continue
        ascii_only = False
        if utf8:
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                utf8 = False
        if len(sample) < SAMPLE_MAX:
            sample += b"\n".join(line for line in chunk.splitlines() if not line.isascii())
    if ascii_only:
        return "us-ascii"
    if utf8:
        try:
            decoder.decode(b"", True)
            return "utf-8"
        except UnicodeDecodeError:
            pass
    return _likeliest(bytes(sample[:SAMPLE_MAX]))


def named(encoding: str) -> str:
    """The codec of a declared text encoding. Raises `LookupError` for what is none."""
    # Python also knows codecs that are no text encodings, `zlib` among them: decode() refuses those.
    b" ".decode(encoding)
    return codecs.lookup(encoding).name


def _likeliest(sample: bytes) -> str:
    chinese = sample.decode("gb18030", errors="replace")
    foreign = [char for char in chinese if not char.isascii()]
    # Pairs of accented Latin letters also decode as hanzi, but to rare ones and with broken pairs
    # between them: what a Chinese bank writes decodes whole, and to the common block.
    if foreign and all(
        "\u4e00" <= char <= "\u9fff" or char in "，。：；（）、“”！？－　￥" for char in foreign
    ):
        common = sum(char.encode("gb2312", errors="ignore") != b"" for char in foreign)
        if common == len(foreign) and len(foreign) >= 2:
            return "gb18030"
    return max(_CANDIDATES, key=lambda name: _weight(sample, name))


def _weight(sample: bytes, name: str) -> int:
    """Letters beside letters count for an encoding, symbols and controls against it."""
    text = sample.decode(name, errors="replace")
    weight = 0
    for before, char, after in zip(" " + text, text, text[1:] + " ", strict=False):
        if char.isascii():
            continue
        if char.isalpha():
            weight += 2 if before.isalpha() or after.isalpha() else 0
            # A capital inside a small word is a letter of another alphabet's code page.
            weight -= 3 if char.isupper() and before.islower() else 0
        elif char == "\ufffd" or not char.isprintable():
            weight -= 4
        else:
            weight -= 1
    return weight


class Unclosable(io.RawIOBase):
    """A view of a file that a text wrapper may drop without closing the file itself."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override] # narrower than Buffer, as called
        content = self._source.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

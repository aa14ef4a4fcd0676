"""PDF: documents in Chinese and English, laid out plainly, the same bytes for the same content.

Promises: fonts lie in the file, so that it reads alike everywhere and for ever; its text can be searched and
copied; no character is lost (one that no font has is spelled, as U+20BB7); nothing in it comes from a clock
or a machine, so whoever renders the same content gets the same bytes; rows of a long table may come from a
stream. Every page's foot carries its number and the digest of what the document renders.
"""

from __future__ import annotations

import io
import lzma
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from itertools import chain, islice
from typing import Literal, TypeAlias

from django.utils import translation
from django.utils.translation import gettext
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics, ttfonts
from reportlab.pdfgen.canvas import Canvas

from tallystick.core.files import Sink


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading; level 1 is the document's own sections."""

    text: str
    level: Literal[1, 2] = 1


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Running text. Quiet text is small and grey: notes and sources."""

    text: str
    tone: Literal["plain", "strong", "quiet"] = "plain"


@dataclass(frozen=True, slots=True)
class KeyValues:
    """Names and what they are, one a line."""

    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Column:
    """A table's column. Numbers stand right."""

    title: str
    align: Literal["left", "right"] = "left"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of any length: its head is repeated on every page, its totals close it.

    `rows` is read once. Columns are as wide as their titles, totals and first rows ask for.
    """

    columns: Sequence[Column]
    rows: Iterable[Sequence[str]]
    totals: Sequence[Sequence[str]] = ()
    none: str = ""
    """What stands in place of rows where there are none."""


@dataclass(frozen=True, slots=True)
class PageBreak:
    """What follows begins a page."""


Block: TypeAlias = Heading | Paragraph | KeyValues | Table | PageBreak


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What a PDF says. `digest` is the hexadecimal SHA-256 of the facts it renders, printed on every foot."""

    title: str
    subtitle: str = ""
    language: Literal["zh-hans", "en"]
    blocks: Iterable[Block]
    produced_at: datetime
    digest: str
    foot: str = ""
    """A few words at the left of every foot, such as the number of an account."""


def render(document: Document) -> bytes:
    """The document as the bytes of a PDF."""
    out = io.BytesIO()
    write(document, out)
    return out.getvalue()


def write(document: Document, out: Sink) -> None:
    """Write the document as a PDF. Pages are compressed as they are laid out and written at the end."""
    assert document.produced_at.tzinfo is not None, "the time a document was produced names its zone"
    _register_fonts()
    with translation.override(document.language):
        sheet = _Sheet(document)
        sheet.title(document.title, document.subtitle)
        for block in document.blocks:
            sheet.block(block)
        sheet.close(out)


# ── text ─────────────────────────────────────────────────────────────────────────────────────────────────

LATIN, LATIN_BOLD, HAN = "Tallystick Latin", "Tallystick Latin Bold", "Tallystick Han"
_FILES = {
    LATIN: "NotoSans-Regular.ttf",
    LATIN_BOLD: "NotoSans-Bold.ttf",
    HAN: "DroidSansFallbackFull.ttf.xz",
}
_registering = threading.Lock()

# A line begins with none of the first and ends with none of the second.
_NOT_FIRST = frozenset("，。、；：！？）》」』】〉〕”’％%‰…—·,.;:!?)]}")
_NOT_LAST = frozenset("（《「『【〈〔“‘([{¥￥$£€")
_WIDE_FROM = "\u2e80"
"""From here on, characters are as wide as high, and a line may break beside each."""


def _register_fonts() -> None:
    with _registering:
        known = set(pdfmetrics.getRegisteredFontNames())
        for name, file in _FILES.items():
            if name not in known:
                content = resources.files("tallystick.core").joinpath("fonts", file).read_bytes()
                if file.endswith(".xz"):
                    content = lzma.decompress(content)
                pdfmetrics.registerFont(ttfonts.TTFont(name, io.BytesIO(content)))


class _Face:
    """How text of one weight is set: which font has a character, and how wide it is."""

    def __init__(self, *, bold: bool) -> None:
        self.bold = bold
        self._fonts = tuple((name, _true_type(name)) for name in (LATIN_BOLD if bold else LATIN, HAN))
        self._known: dict[str, tuple[str, float]] = {}

    def spelled(self, text: str) -> str:
        """The text with every character that no font has spelled out, and tabs and the like as spaces."""
        if all(map(self._has, text)):
            return text
        return "".join(
            c if self._has(c) else " " if c.isspace() or not c.isprintable() else f"[U+{ord(c):04X}]"
            for c in text
        )

    def width(self, text: str, size: float) -> float:
        return sum(self._of(c)[1] for c in text) * size

    def runs(self, text: str) -> Iterator[tuple[str, str]]:
        """Stretches of one font: its name and the text."""
        start = 0
        for end in range(1, len(text) + 1):
            if end == len(text) or self._of(text[end])[0] != self._of(text[start])[0]:
                yield self._of(text[start])[0], text[start:end]
                start = end

    def lines(self, text: str, width: float, size: float) -> list[str]:
        """The text in lines no wider than this, broken between words or wide characters where it can be."""
        # Widths are sums of fractions: what was measured once must still fit when it is added up otherwise.
        width += 0.01
        spelled = [self.spelled(each) for each in text.splitlines()] or [""]
        found: list[str] = []
        for paragraph in spelled:
            if self.width(paragraph, size) <= width:
                found.append(paragraph)
            else:
                found.extend(self._broken(paragraph, width, size))
        return found

    def _broken(self, text: str, width: float, size: float) -> Iterator[str]:
        line, used = "", 0.0
        for piece in _pieces(text):
            wide = self.width(piece.rstrip(" "), size)
            if line and used + wide > width:
                yield line.rstrip(" ")
                line, used = "", 0.0
            if wide > width:
                # One word longer than a line, such as a digest: broken anywhere.
                for c in piece:
                    if line and used + self._of(c)[1] * size > width:
                        yield line
                        line, used = "", 0.0
                    line, used = line + c, used + self._of(c)[1] * size
            else:
                line, used = line + piece, used + self.width(piece, size)
        if line.rstrip(" "):
            yield line.rstrip(" ")

    def _has(self, c: str) -> bool:
        return c in self._known or any(ord(c) in face.charToGlyph for _, face in self._fonts)

    def _of(self, c: str) -> tuple[str, float]:
        known = self._known.get(c)
        if known is None:
            code = ord(c)
            name, face = next(each for each in self._fonts if code in each[1].charToGlyph)
            known = self._known[c] = (name, float(face.getCharWidth(code)) / 1000)  # type: ignore[no-untyped-call]
        return known


def _true_type(name: str) -> ttfonts.TTFontFace:
    font = pdfmetrics.getFont(name)
    assert isinstance(font, ttfonts.TTFont)
    return font.face


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces between which a line may break."""
    start = 0
    for end in range(1, len(text)):
        before, after = text[end - 1], text[end]
        wide = before >= _WIDE_FROM or after >= _WIDE_FROM
        if before in _NOT_LAST or after in _NOT_FIRST or after == " ":
            continue
        if before == " " or wide or before in "-/_":
            yield text[start:end]
            start = end
    yield text[start:]


# ── pages ────────────────────────────────────────────────────────────────────────────────────────────────

_WIDTH, _HEIGHT = A4
_MARGIN = 51.0
_TOP, _BOTTOM = _HEIGHT - 54.0, 62.0
_INNER = _WIDTH - 2 * _MARGIN
_LEADING = 1.42
_BODY, _SMALL, _TITLE, _HEADINGS = 9.5, 7.5, 19.0, {1: 13.0, 2: 10.5}
_CELL, _GAP = 8.2, 9.0
_SAMPLE = 200
"""Rows of a table that its columns' widths are taken from."""

_INK, _GREY, _RULE, _BAND = (0.10, 0.13, 0.17), (0.40, 0.44, 0.49), (0.80, 0.82, 0.85), (0.95, 0.96, 0.97)


class _Sheet:
    """The paper: where the next line goes, and how each kind of block is set."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._plain, self._bold = _Face(bold=False), _Face(bold=True)
        self._out = io.BytesIO()
        produced = document.produced_at
        offset = produced.strftime("%z")
        self._canvas = canvas = Canvas(
            self._out, pagesize=A4, pageCompression=1, invariant=1, lang=document.language
        )
        canvas.setTitle(document.title)
        canvas.setAuthor("Tallystick")
        canvas.setCreator("Tallystick")
        canvas.setSubject(document.digest)
        # The one time in the file is the one it was given.
        canvas.setDateFormatter(lambda *_: f"D:{produced:%Y%m%d%H%M%S}{offset[:3]}'{offset[3:5]}'")
        self._y = _TOP
        self._page = 1
        # Room for the words that are added to every foot once the number of pages is known.
        room = self._plain.width(gettext("of {pages}").format(pages=999), _SMALL)
        self._pages_at = _WIDTH - _MARGIN - room

    # Blocks.

    def title(self, text: str, subtitle: str) -> None:
        self._paragraph(text, _TITLE, self._bold, _INK)
        if subtitle:
            self._y -= 3
            self._paragraph(subtitle, _BODY, self._plain, _GREY)
        self._y -= 10

    def block(self, block: Block) -> None:
        if isinstance(block, Heading):
            size = _HEADINGS[block.level]
            self._y -= size * 0.9
            # Never alone at the foot of a page.
            self._ask(size * _LEADING + 42)
            self._paragraph(block.text, size, self._bold, _INK)
            self._y -= 3
        elif isinstance(block, Paragraph):
            size = _SMALL if block.tone == "quiet" else _BODY
            face = self._bold if block.tone == "strong" else self._plain
            self._paragraph(block.text, size, face, _GREY if block.tone == "quiet" else _INK)
            self._y -= 4
        elif isinstance(block, KeyValues):
            self._key_values(block)
        elif isinstance(block, Table):
            self._table(block)
        else:
            self._new_page()

    def close(self, out: Sink) -> None:
        """End the last page, say how many there are, and hand over the file."""
        self._end_page()
        canvas = self._canvas
        # Every foot refers to this form: the number of pages is known only now.
        canvas.beginForm("pages", 0, 0, _WIDTH, _HEIGHT)
        text = gettext("of {pages}").format(pages=self._page)
        self._text(self._pages_at, 40, text, _SMALL, self._plain, _GREY)
        canvas.endForm()
        canvas.save()
        out.write(self._out.getvalue())

    # How each is set.

    def _paragraph(self, text: str, size: float, face: _Face, colour: tuple[float, float, float]) -> None:
        for line in face.lines(text, _INNER, size):
            self._ask(size * _LEADING)
            self._y -= size * _LEADING
            self._text(_MARGIN, self._y, line, size, face, colour)

    def _key_values(self, block: KeyValues) -> None:
        names = max((self._plain.width(self._plain.spelled(k), _BODY) for k, _ in block.rows), default=0.0)
        left = min(names + 14, _INNER * 0.42)
        for key, value in block.rows:
            cells = (
                self._plain.lines(key, left - 14, _BODY),
                self._plain.lines(value, _INNER - left, _BODY),
            )
            for i in range(max(map(len, cells))):
                self._ask(_BODY * _LEADING)
                self._y -= _BODY * _LEADING
                if i < len(cells[0]):
                    self._text(_MARGIN, self._y, cells[0][i], _BODY, self._plain, _GREY)
                if i < len(cells[1]):
                    self._text(_MARGIN + left, self._y, cells[1][i], _BODY, self._plain, _INK)
        self._y -= 6

    def _table(self, table: Table) -> None:
        rows = iter(table.rows)
        sample = list(islice(rows, _SAMPLE))
        widths = self._widths(table, sample)
        lowest_start = _CELL * _LEADING * 4 + 20
        self._ask(lowest_start)
        self._head(table, widths)
        if not sample and table.none:
            self._row([table.none], [sum(widths)], [Column("")], table, widths)
        for row in chain(sample, rows):
            assert len(row) == len(table.columns), "a row has a cell for every column"
            self._row(row, widths, table.columns, table, widths)
        for row in table.totals:
            self._row(row, widths, table.columns, table, widths, bold=True)
        self._y -= 10

    def _widths(self, table: Table, sample: Sequence[Sequence[str]]) -> list[float]:
        """As wide as asked where all fit; else numbers keep their width and words share what is left."""
        count = len(table.columns)
        asked = [self._bold.width(self._bold.spelled(each.title), _CELL) for each in table.columns]
        for face, rows in ((self._plain, sample), (self._bold, table.totals)):
            for row in rows:
                for i in range(count):
                    asked[i] = max(asked[i], face.width(face.spelled(row[i]), _CELL))
        asked = [min(each, _INNER * 0.6) + _GAP for each in asked]
        room = _INNER - sum(asked)
        words = [i for i, each in enumerate(table.columns) if each.align == "left"] or list(range(count))
        if room >= 0:
            # What is over goes to the columns of words, so that the last stands at the margin.
            for i in words:
                asked[i] += room / len(words)
            return asked
        keep = sum(asked[i] for i in range(count) if i not in words)
        if keep > _INNER * 0.8:
            return [each * _INNER / sum(asked) for each in asked]
        # Columns that ask for less than an even share get what they ask; the others share what is left.
        left, sharing = _INNER - keep, sorted(words, key=lambda i: asked[i])
        for count_left, i in zip(range(len(sharing), 0, -1), sharing, strict=True):
            asked[i] = min(asked[i], left / count_left)
            left -= asked[i]
        return asked

    def _head(self, table: Table, widths: Sequence[float]) -> None:
        cells = [
            self._bold.lines(each.title, width - _GAP, _CELL)
            for each, width in zip(table.columns, widths, strict=True)
        ]
        deep = max(map(len, cells)) * _CELL * _LEADING + 5
        self._canvas.setFillColorRGB(*_BAND)
        self._canvas.rect(_MARGIN, self._y - deep, _INNER, deep, stroke=0, fill=1)
        self._cells(cells, widths, table.columns, self._bold)

    def _row(
        self,
        row: Sequence[str],
        widths: Sequence[float],
        columns: Sequence[Column],
        table: Table,
        head_widths: Sequence[float],
        *,
        bold: bool = False,
    ) -> None:
        face = self._bold if bold else self._plain
        cells = [
            face.lines(cell, width - _GAP, _CELL) or [""] for cell, width in zip(row, widths, strict=True)
        ]
        while cells:
            deep = max(map(len, cells)) * _CELL * _LEADING + 5
            if self._y - deep < _BOTTOM and self._y < _TOP - 120:
                self._new_page()
                self._head(table, head_widths)
            # A row higher than a page goes on over the next.
            fit = max(1, int((self._y - _BOTTOM - 5) / (_CELL * _LEADING)))
            self._cells([each[:fit] for each in cells], widths, columns, face)
            cells = [each[fit:] for each in cells] if max(map(len, cells)) > fit else []

    def _cells(
        self,
        cells: Sequence[Sequence[str]],
        widths: Sequence[float],
        columns: Sequence[Column],
        face: _Face,
    ) -> None:
        x = _MARGIN
        for lines, width, column in zip(cells, widths, columns, strict=True):
            right = column.align == "right"
            at = x + width - _GAP / 2 if right else x + _GAP / 2
            for i, line in enumerate(lines):
                self._text(at, self._y - _CELL * _LEADING * (i + 1), line, _CELL, face, _INK, right=right)
            x += width
        self._y -= max(map(len, cells)) * _CELL * _LEADING + 5
        self._canvas.setStrokeColorRGB(*_RULE)
        self._canvas.setLineWidth(0.4)
        self._canvas.line(_MARGIN, self._y, _WIDTH - _MARGIN, self._y)

    def _text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        face: _Face,
        colour: tuple[float, float, float],
        *,
        right: bool = False,
    ) -> None:
        if not text:
            return
        written = self._canvas.beginText(x - face.width(text, size) if right else x, y)
        written.setFillColorRGB(*colour)
        for font, run in face.runs(text):
            written.setFont(font, size)
            if font == HAN and face.bold:
                # The one Chinese weight, made heavier by its outline.
                self._canvas.setStrokeColorRGB(*colour)
                self._canvas.setLineWidth(size / 32)
                written.setTextRenderMode(2)
                written.textOut(run)
                written.setTextRenderMode(0)
            else:
                written.textOut(run)
        self._canvas.drawText(written)

    # Pages.

    def _ask(self, height: float) -> None:
        if self._y - height < _BOTTOM:
            self._new_page()

    def _new_page(self) -> None:
        self._end_page()
        self._page += 1
        self._y = _TOP

    def _end_page(self) -> None:
        document, canvas = self._document, self._canvas
        canvas.setStrokeColorRGB(*_RULE)
        canvas.setLineWidth(0.4)
        canvas.line(_MARGIN, 53, _WIDTH - _MARGIN, 53)
        produced = f"{document.produced_at:%Y-%m-%d %H:%M:%S %Z}".rstrip()
        left = " · ".join(filter(None, (document.foot, gettext("produced {at}").format(at=produced))))
        self._text(_MARGIN, 40, self._plain.spelled(left), _SMALL, self._plain, _GREY)
        page = gettext("Page {page}").format(page=self._page)
        self._text(self._pages_at - 2, 40, page, _SMALL, self._plain, _GREY, right=True)
        canvas.doForm("pages")
        self._text(_MARGIN, 29, f"SHA-256 {document.digest}", _SMALL, self._plain, _GREY)
        canvas.showPage()

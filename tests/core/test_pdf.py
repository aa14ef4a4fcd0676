"""PDF documents: what went in can be read out again, in both languages, and the bytes do not vary."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import resources
from zoneinfo import ZoneInfo

import pypdf
import pytest

from tallystick.core import pdf

AT = dt.datetime(2026, 3, 2, 9, 30, tzinfo=ZoneInfo("Asia/Shanghai"))
DIGEST = "ab" * 32


def document(language: str = "zh-hans", blocks: Sequence[pdf.Block] | None = None) -> pdf.Document:
    assert language in ("zh-hans", "en")
    return pdf.Document(
        title="资金隔离日证明" if language == "zh-hans" else "Daily segregation proof",
        subtitle="恒信金服 · 2026-03-01",
        language=language,
        produced_at=AT,
        digest=DIGEST,
        foot="sgp_17",
        blocks=blocks
        if blocks is not None
        else [
            pdf.Heading("结论" if language == "zh-hans" else "Findings"),
            pdf.Paragraph("“王芳”的余额为 €1,234.50——已核对。Wang Fang’s balance: £0.01.", "strong"),
            pdf.KeyValues([("账簿", "1"), ("Book", "Hengxin")]),
            pdf.Table(
                columns=[pdf.Column("客户"), pdf.Column("应付", "right")],
                rows=[["王芳", "100.00"], ["李强", "-3.00"]],
                totals=[["合计", "97.00"]],
            ),
        ],
    )


def text_of(content: bytes) -> list[str]:
    return [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages]


@pytest.mark.parametrize("language", ["zh-hans", "en"])
def test_what_was_written_can_be_read_out(language: str) -> None:
    """Chinese and Latin, with the punctuation and currency signs of both, come out of the file as text."""
    (page,) = text_of(pdf.render(document(language)))
    for told in ("“王芳”的余额为 €1,234.50——已核对。", "Wang Fang’s balance: £0.01.", "100.00", "97.00"):
        assert told in page
    assert f"SHA-256 {DIGEST}" in page
    assert "2026-03-02 09:30:00 CST" in page
    assert ("第 1 页" if language == "zh-hans" else "Page 1") in page


def test_the_same_content_is_the_same_bytes_in_another_process() -> None:
    """Nothing in the file comes from a clock, a hash seed or what was rendered before."""
    pdf.render(document("en"))
    here = hashlib.sha256(pdf.render(document())).hexdigest()
    script = (
        "import django, hashlib, sys; sys.path.insert(0, '.'); django.setup();"
        "from tests.core import test_pdf as t; from tallystick.core import pdf;"
        "print(hashlib.sha256(pdf.render(t.document())).hexdigest())"
    )
    there = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": "7", "DJANGO_SETTINGS_MODULE": "tallystick.settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.strip() == here


def test_another_time_is_another_file() -> None:
    """The time it was produced is part of the document, on the page and in the file's own data."""
    content = pdf.render(document())
    assert b"D:20260302093000+08'00'" in content


def test_fonts_lie_in_the_file() -> None:
    """Every font is embedded, as a subset."""
    reader = pypdf.PdfReader(io.BytesIO(pdf.render(document())))
    for page in reader.pages:
        for font in page["/Resources"]["/Font"].values():
            described = font.get_object().get("/FontDescriptor")
            # The canvas names Helvetica in every file; nothing is set in it.
            assert described is None or "/FontFile2" in described
    assert reader.root_object["/Lang"] == "zh-hans"


def test_a_long_table_is_read_as_a_stream_and_repeats_its_head() -> None:
    """Every row is there once, each page begins with the head, the totals stand at the end."""
    asked = 0

    def rows() -> Iterator[list[str]]:
        nonlocal asked
        for i in range(700):
            asked += 1
            yield [f"客户{i:04d}", f"{i}.00"]

    table = pdf.Table([pdf.Column("Client"), pdf.Column("Owed", "right")], rows(), [["Total", "244650.00"]])
    pages = text_of(pdf.render(document("en", [table])))
    assert asked == 700
    assert len(pages) > 10
    assert all("Client" in page and "Owed" in page for page in pages)
    found = [line for page in pages for line in page.splitlines() if line.startswith("客户")]
    assert len(set(found)) == len(found) == 700
    assert "244650.00" in pages[-1]
    assert pages[-1].count("of ") <= 1


def test_a_row_higher_than_a_page_goes_on_over_the_next() -> None:
    """No line of a very long cell is lost."""
    cell = " ".join(f"word{i:04d}" for i in range(2500))
    pages = text_of(pdf.render(document("en", [pdf.Table([pdf.Column("a")], [[cell]])])))
    assert [w for w in " ".join(pages).split() if w.startswith("word")] == cell.split()


def test_no_character_is_lost() -> None:
    """A rare character that no font has is spelled; control characters become spaces."""
    (page,) = text_of(pdf.render(document("en", [pdf.Paragraph("𠮷田\x07x\ty")])))
    assert "[U+20BB7]田 x y" in page


def test_lines_keep_within_their_width_and_break_where_they_may() -> None:
    """Chinese lines never begin with a stop nor end with an opening quote; long digests are broken."""
    pdf.render(document())
    face = pdf._Face(bold=False)
    text = "每日核对平台与存管人的账目，“差额”须当日查明。" * 20 + DIGEST * 3
    lines = face.lines(text, 200, 9.5)
    assert "".join(lines) == text
    assert all(face.width(line, 9.5) <= 200 for line in lines)
    assert not any(line[0] in "，。”" or line[-1] == "“" for line in lines)


def test_the_fonts_are_the_ones_their_licences_came_with() -> None:
    """Each file beside the fonts has the hash it is listed with, and nothing else lies there."""
    fonts = resources.files("tallystick.core").joinpath("fonts")
    listed = dict(reversed(line.split()) for line in fonts.joinpath("SHA256SUMS").read_text().splitlines())
    present = {each.name for each in fonts.iterdir()} - {"SHA256SUMS"}
    assert present == set(listed)
    for name, digest in listed.items():
        assert hashlib.sha256(fonts.joinpath(name).read_bytes()).hexdigest() == digest

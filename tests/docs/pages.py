"""What the docs tests read: pages, their links, and the commands in their code blocks."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests.tidy.source import ROOT, tracked

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    """Every page of Markdown that is kept."""
    return [path for path in tracked() if path.suffix == ".md" and "vendor" not in path.parts]


def links(text: str) -> Iterator[str]:
    """Where a page's links go, code blocks left out."""
    for found in LINK.finditer(re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))):
        yield found[1] or found[2]


def anchors(text: str) -> set[str]:
    """The anchors that headings make, as code hosts spell them."""
    headings = re.findall(r"^#+ +(.*?) *$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(path: Path, text: str) -> Iterator[str]:
    """The links of a page that lead nowhere in the repository. Addresses elsewhere are not followed."""
    for link in links(text):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        to = (path.parent / target).resolve() if target else path
        if not to.exists() or not to.is_relative_to(ROOT):
            yield f"{path.name}: {link}"
        elif anchor and to.suffix == ".md" and anchor not in anchors(to.read_text(encoding="utf-8")):
            yield f"{path.name}: {link} has no such heading"


def commands(text: str) -> Iterator[list[str]]:
    """The words of every `tallystick …` and `./tally …` in a page's shell blocks."""
    for language, block in FENCE.findall(text):
        if language not in {"sh", "console", "bash", "shell"}:
            continue
        prompts = language == "console"
        for line in block.replace("\\\n", " ").splitlines():
            if prompts and not line.lstrip().startswith(("$ ", "# ")):
                continue
            # Each command of a pipe or a list by itself; settings before it are not part of it.
            words = shlex.split(line.lstrip().removeprefix("$ "), comments=not prompts)
            for piece in _pieces(words):
                while piece and re.fullmatch(r"[A-Z_]+=.*", piece[0]):
                    piece = piece[1:]
                if piece and piece[0] in {"sudo", "exec", "time"}:
                    piece = piece[1:]
                if piece and piece[0] in {"tallystick", "./tally"}:
                    yield piece[1:]


def _pieces(words: list[str]) -> Iterator[list[str]]:
    piece: list[str] = []
    for word in words:
        if word in {"|", "&&", "||", ";", "&"}:
            yield piece
            piece = []
        elif word in {">", ">>", "<"}:
            yield piece
            return
        else:
            piece.append(word)
    yield piece

"""Every kind of event that the code writes is on the one page that lists them, and no other is."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "events.md"
WRITERS = {"append", "row"}
FORM = re.compile(r"[a-z]+\.[a-z][a-z_]*")


def kinds_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr not in WRITERS or getattr(node.func.value, "id", "") != "log":
            continue
        said = node.args[:2] + [word.value for word in node.keywords if word.arg == "kind"]
        for argument in said:
            for inner in ast.walk(argument):
                if (
                    isinstance(inner, ast.Constant)
                    and isinstance(inner.value, str)
                    and FORM.fullmatch(inner.value)
                ):
                    yield inner.value


def test_the_page_lists_exactly_the_kinds_the_code_writes():
    written = {
        kind
        for path in sorted((ROOT / "tallystick").rglob("*.py"))
        for kind in kinds_in(ast.parse(path.read_text(encoding="utf-8")))
    }
    listed = re.findall(r"^\| `([a-z_.]+)` \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(listed) == len(set(listed)), "a kind is listed twice"
    assert written - set(listed) == set(), "written, but not listed"
    assert set(listed) - written == set(), "listed, but never written"

"""Transfer codes: the manual lists all of them, and no other."""

from __future__ import annotations

import re

from tallystick.custody.codes import BY_TEXT, Code
from tests.tidy.source import ROOT


def test_the_manual_lists_every_code_with_its_number():
    page = (ROOT / "docs/reference/transfer-codes.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([a-z_]+)` \| (\d+) \| [\u4e00-\u9fff]+ \|", page, re.MULTILINE)
    assert [(text, int(number)) for text, number in listed] == [(code.text, int(code)) for code in Code]
    assert {code.text: code for code in Code} == BY_TEXT

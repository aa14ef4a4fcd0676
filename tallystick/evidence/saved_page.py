"""The saved page: one HTML file that holds evidence and checks it itself, offline, in any browser.

It loads nothing and sends nothing: its policy for content allows the scripts and styles written into it, by
their hashes, and nothing else. What it is made of lies in `verifier/`, so that its code is the published one.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path

PARTS = ("template.html", "page.css", "verify.js", "page.js")

FOLDER = "verifier_files"
"""Where the parts lie in an installed package; in a checkout, in `verifier/` beside it."""


def page(files: Mapping[str, str], *, policy: str, title: str) -> bytes:
    """The page that holds these files, by their names, and the policy that it proposes.

    A proof's entry is a file beside it, as `checking.answers` says. The same bytes for the same content.
    """
    told = json.dumps({"files": dict(files), "policy": policy}, ensure_ascii=False, sort_keys=True)
    style, verify, show = (part(name) for name in PARTS[1:])
    fields = {
        "title": html.escape(title),
        "style": style,
        "style-src": _source(style),
        "script-src": f"{_source(verify)} {_source(show)}",
        "verify.js": verify,
        "page.js": show,
        # No file can end the block it is held in, or begin a comment.
        "evidence": told.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"),
    }
    # In one pass: what is filled in is not looked at again.
    text = re.sub(r"\{\{([a-z.-]+)\}\}", lambda found: fields[found[1]], part("template.html"))
    return text.encode()


@cache
def part(name: str) -> str:
    """A file of `verifier/` by its name, as it is published: a part of the page, or the verifier itself."""
    packed = resources.files("tallystick").joinpath(FOLDER, name)
    if packed.is_file():
        return packed.read_text(encoding="utf-8")
    return (Path(__file__).resolve().parents[2] / "verifier" / name).read_text(encoding="utf-8")


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

"""Published test vectors, where they are: other projects' proofs, logs and notes."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
VECTORS = Path(os.environ.get("TALLYSTICK_DATA", ROOT.parent / "shared" / "data")) / "evidence"

needed = pytest.mark.skipif(
    not VECTORS.is_dir(), reason=f"no published vectors at {VECTORS}: set TALLYSTICK_DATA"
)


def extracted(name: str) -> Any:
    """One of the files with vectors taken out of other projects' tests."""
    return json.loads((VECTORS / "extracted" / name).read_text(encoding="utf-8"))


def merkle(kind: str) -> list[tuple[str, dict[str, Any]]]:
    """transparency-dev's vectors of a kind, each with its place."""
    folder = VECTORS / "transparency-dev-merkle" / "testdata" / kind
    files = sorted(folder.rglob("*.json"))
    return [(str(file.relative_to(folder)), json.loads(file.read_text(encoding="utf-8"))) for file in files]


def unbase64(text: str | None) -> bytes:
    return base64.b64decode(text or "")

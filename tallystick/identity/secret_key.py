"""The key that signs cookies and tokens: given by the operator, or made once and kept in the home.

Promises: made with the operating system's randomness, readable by its owner alone, and the same for
two processes that need it at the same moment.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path


def given(environ: Mapping[str, str], name: str) -> str:
    """The secret in variable `name`, or in the file that `name`_FILE points to, or nothing."""
    if value := environ.get(name, ""):
        return value
    if path := environ.get(f"{name}_FILE", ""):
        return Path(path).read_text(encoding="utf-8").strip()
    return ""


def find_or_make(environ: Mapping[str, str], home: Path) -> str:
    """The operator's TALLYSTICK_SECRET_KEY, else the one in the home, which is made if it is not there."""
    if value := given(environ, "TALLYSTICK_SECRET_KEY"):
        return value
    path = home / "keys" / "secret_key"
    if not path.exists():
        _make(path)
    return path.read_text(encoding="ascii").strip()


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # `mkstemp` opens a file of its own for each caller, readable by its owner alone.
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(64) + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        # A link, not a rename: the first of two processes wins, and the second reads what it wrote.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(draft)

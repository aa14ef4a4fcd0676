"""Whether a home keeps a continuous archive, and where its server lays down finished WAL segments.

The server (as its own user) lays each segment into the spool; `backup.seal` encrypts it into the
repository and takes it away. So the server needs neither our Python nor the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tallystick.core.postgres import place


def spool(environ: Mapping[str, str]) -> Path:
    return place.home(environ) / "spool"


def is_enabled(environ: Mapping[str, str]) -> bool:
    """A backup was set up: the spool is there."""
    return spool(environ).is_dir()

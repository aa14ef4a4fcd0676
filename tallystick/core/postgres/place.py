"""Where the state lives and how each role reaches the database: settings only, nothing is started.

`home` is the state directory, `databases` is Django's `DATABASES`. Both read the environment they are
given and nothing else, so settings can be imported while no server runs.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import psycopg
from psycopg import conninfo

from tallystick.core.postgres import errors

SUPERUSER = "postgres"
"""The embedded server's own administrator. Creates roles and databases; never used by a domain."""

DATABASE = "tallystick"
PORT = 5432
SOCKET_PATH_MAX = 107  # sun_path of unix(7), less its closing zero


class Role(StrEnum):
    """The five roles, by what they may do. Values are the names in PostgreSQL."""

    APP = "tallystick_app"
    WRITER = "tallystick_ledger_writer"
    SEQUENCER = "tallystick_sequencer"
    OWNER = "tallystick_owner"
    AUDITOR = "tallystick_auditor"


ALIASES: Mapping[str, Role] = {
    "default": Role.APP,
    "writer": Role.WRITER,
    "sequencer": Role.SEQUENCER,
    "owner": Role.OWNER,
    "auditor": Role.AUDITOR,
}
"""Django alias to role (the aliases of `tallystick.core.db`)."""

URL_SETTINGS: Mapping[Role, str] = {
    Role.APP: "TALLYSTICK_DATABASE_URL_APP",
    Role.WRITER: "TALLYSTICK_DATABASE_URL_WRITER",
    Role.SEQUENCER: "TALLYSTICK_DATABASE_URL_SEQUENCER",
    Role.OWNER: "TALLYSTICK_DATABASE_URL_OWNER",
    Role.AUDITOR: "TALLYSTICK_DATABASE_URL_AUDITOR",
}

SALT = b"tallystick role passwords, version 1"


@dataclass(frozen=True)
class Target:
    """One way to connect: libpq parameters, never printed with the password."""

    parameters: Mapping[str, str] = field(repr=False)

    @property
    def dsn(self) -> str:
        return conninfo.make_conninfo("", **self.parameters)


def home(environ: Mapping[str, str]) -> Path:
    """The state directory: TALLYSTICK_HOME, else the usual place for root or for a user."""
    given = environ.get("TALLYSTICK_HOME", "")
    if given:
        return Path(given).expanduser().absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/tallystick")
    base = environ.get("XDG_DATA_HOME") or str(Path(environ.get("HOME") or Path.home()) / ".local" / "share")
    return Path(base).absolute() / "tallystick"


def is_external(environ: Mapping[str, str]) -> bool:
    """Whether the user named a server of their own."""
    return bool(environ.get("DATABASE_URL")) or any(environ.get(name) for name in URL_SETTINGS.values())


def database(environ: Mapping[str, str]) -> str:
    """The database's name: TALLYSTICK_DATABASE, else the one in the URL, else `tallystick`."""
    if environ.get("TALLYSTICK_DATABASE"):
        return environ["TALLYSTICK_DATABASE"]
    for setting in ("DATABASE_URL", *URL_SETTINGS.values()):
        if environ.get(setting):
            return parsed(environ, setting).get("dbname", DATABASE)
    return DATABASE


def socket_directory(environ: Mapping[str, str]) -> Path:
    """The directory of the embedded server's socket."""
    return home(environ) / "run"


def administrator(environ: Mapping[str, str]) -> Target | None:
    """Who creates roles and databases: the embedded superuser, the user of DATABASE_URL, or nobody."""
    if not is_external(environ):
        return Target(_embedded(environ, SUPERUSER, "postgres"))
    if not environ.get("DATABASE_URL"):
        return None
    return Target(parsed(environ, "DATABASE_URL"))


def target(environ: Mapping[str, str], role: Role) -> Target:
    """How a role connects.

    On a server of the user's: by its own URL (TALLYSTICK_DATABASE_URL_WRITER and the like) where there
    is one, else by DATABASE_URL with the user replaced by the role and the password by one derived from
    the URL's. A process that must hold one role only is given that one URL and no DATABASE_URL.
    """
    name = database(environ)
    if not is_external(environ):
        return Target(_embedded(environ, role, name))
    own = URL_SETTINGS[role]
    if environ.get(own):
        parameters = parsed(environ, own)
        if parameters.get("user", role) != role:
            raise errors.BadSetting(
                setting=own, reason=f"its user must be {role}, the role that migrations grant to"
            )
        return Target({**parameters, "user": str(role), "dbname": name})
    if not environ.get("DATABASE_URL"):
        # This process was given other roles only. The alias exists, and connecting by it fails.
        return Target({"host": "/nonexistent", "user": str(role), "dbname": name})
    parameters = {**parsed(environ, "DATABASE_URL"), "user": str(role), "dbname": name}
    if "password" in parameters:
        parameters["password"] = derived_password(parameters["password"], role)
    return Target(parameters)


def derived_password(secret: str, role: Role) -> str:
    """A role's password on a server of the user's, from the password in DATABASE_URL.

    Derived, not stored, so that machines sharing one DATABASE_URL agree without a shared file. scrypt
    keeps someone who learns one role's password from guessing the administrator's.
    """
    return base64.urlsafe_b64encode(hmac.digest(_root(secret), role.encode(), "sha256")).decode().rstrip("=")


@functools.cache
def _root(secret: str) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=SALT, n=2**14, r=8, p=1, dklen=32)


def parsed(environ: Mapping[str, str], setting: str) -> dict[str, str]:
    """The libpq parameters of a URL setting."""
    url = environ[setting]
    if not url.startswith(("postgres://", "postgresql://")):
        raise errors.BadSetting(setting=setting, reason="it must begin with postgresql://")
    try:
        return {key: str(value) for key, value in conninfo.conninfo_to_dict(url).items() if value is not None}
    except psycopg.ProgrammingError:
        # libpq's own message quotes the URL, password and all.
        raise errors.BadSetting(setting=setting, reason="it is not a URL that libpq can read") from None


def databases(environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Django's DATABASES: one database, five aliases, five roles. Starts nothing.

    `default` takes connections from psycopg's pool (four times the requests a second of one connection
    each). `writer` and `sequencer` keep their one connection. TEST/MIRROR tells Django's own test runner that the five
    are one database; each keeps its role.
    """
    return {alias: _alias(environ, alias, role) for alias, role in ALIASES.items()}


def _alias(environ: Mapping[str, str], alias: str, role: Role) -> dict[str, Any]:
    parameters = dict(target(environ, role).parameters)
    settings: dict[str, Any] = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parameters.pop("dbname"),
        "USER": parameters.pop("user"),
        "PASSWORD": parameters.pop("password", ""),
        "HOST": parameters.pop("host", ""),
        "PORT": parameters.pop("port", ""),
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {**parameters, "application_name": f"tallystick {alias}"},
    }
    if alias == "default":
        largest = _count(environ, "TALLYSTICK_POSTGRES_POOL", 16)
        if largest:
            # The pool hands connections back and forth itself, so CONN_MAX_AGE must be 0.
            settings["OPTIONS"]["pool"] = {"min_size": 1, "max_size": largest, "timeout": 30}
    else:
        settings["TEST"] = {"MIRROR": "default"}
    if alias in ("writer", "sequencer"):
        settings["CONN_MAX_AGE"] = None
    return settings


def _count(environ: Mapping[str, str], setting: str, default: int) -> int:
    given = environ.get(setting, "")
    if not given:
        return default
    if not given.isdecimal():
        raise errors.BadSetting(setting=setting, reason="it must be a whole number")
    return int(given)


def _embedded(environ: Mapping[str, str], user: str, name: str) -> dict[str, str]:
    # No password: the server asks the kernel who is at the other end of the socket.
    return {"host": str(socket_directory(environ)), "port": str(PORT), "user": str(user), "dbname": name}

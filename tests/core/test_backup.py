"""Backup and restore of a real server: any moment since the first backup, exactly, or a clear refusal."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tallystick.core import postgres
from tallystick.core.postgres import (
    archive,
    backup,
    cluster,
    errors,
    place,
    repository,
    restore,
    vault,
    verification,
)
from tests.plugin_postgres import throwaway_home

Environ = dict[str, str]


def session(environ: Environ) -> psycopg.Connection:
    return psycopg.connect(verification.administrator(environ), autocommit=True)


@dataclasses.dataclass
class Source:
    """A home with one full and one incremental backup, and what was true when."""

    environ: Environ
    moments: dict[str, dt.datetime]

    @property
    def repository(self) -> Path:
        return repository.directory(self.environ)

    @property
    def key(self) -> vault.Key:
        return vault.key(self.environ)

    def post(self, number: int) -> dt.datetime:
        """Commit one transfer; a moment after its commit and before any later one."""
        with session(self.environ) as connection:
            connection.execute("insert into transfers values (%s, %s)", (number, number * 100))
            row = connection.execute("select clock_timestamp()").fetchone()
        assert row is not None
        return row[0]


def last_transfer(environ: Environ, keys: list[str] | None = None) -> dict[str, str]:
    """Stands for the ledger: the sum of all up to a number, which no later transfer changes."""
    with session(environ) as connection:
        if keys is None:
            row = connection.execute("select max(number) from transfers").fetchone()
            assert row is not None
            keys = [f"transfers to {row[0]}"]
        return {
            key: str(connection.execute(
                "select sum(amount), count(*) from transfers where number <= %s", (int(key.split()[-1]),)
            ).fetchone())
            for key in keys
        }  # fmt: skip


CHECKS = [
    verification.Check("ledger", last_transfer, lambda environ, keys: last_transfer(environ, list(keys)))
]


@pytest.fixture(scope="module")
def source() -> Iterator[Source]:
    with throwaway_home("test") as environ:
        backup.enable(environ)
        postgres.ensure(environ)
        with session(environ) as connection:
            connection.execute("create table transfers (number int primary key, amount bigint)")
            connection.execute("insert into transfers select n, n * 100 from generate_series(1, 1000) n")
            connection.execute("create table parties (name text)")
            connection.execute("insert into parties values ('王芳'), ('李强')")
        home = postgres.home(environ)
        (home / "files").mkdir()
        (home / "files" / "kept.xml").write_text("statement of Monday")
        (home / "files" / "dropped.xml").write_text("gone by Tuesday")
        (home / "keys").mkdir(exist_ok=True)
        (home / "keys" / "signing.key").write_text("signing")
        made = Source(environ, {})
        backup.take(environ, checks=CHECKS)
        made.moments["after full"] = made.post(1001)
        made.post(1002)
        (home / "files" / "dropped.xml").unlink()
        (home / "files" / "new.xml").write_text("statement of Tuesday")
        backup.take(environ, checks=CHECKS)
        made.moments["after incremental"] = made.post(1003)
        made.post(1004)
        backup.mark(environ)
        made.moments["quiet"] = made.moments["after incremental"]
        yield made


@contextmanager
def restored(source: Source, **options: object) -> Iterator[tuple[Environ, restore.Restored]]:
    with throwaway_home(
        TALLYSTICK_BACKUP_DIR=str(source.repository),
        TALLYSTICK_BACKUP_KEY_FILE=str(vault.key_file(source.environ)),
    ) as environ:
        yield environ, restore.run(environ, checks=CHECKS, **options)  # type: ignore[arg-type]


def numbers(environ: Environ) -> tuple[int, int]:
    with session(environ) as connection:
        row = connection.execute("select count(*), max(number) from transfers").fetchone()
    assert row is not None
    return row


def test_the_last_state_comes_back_with_its_files_and_proofs(source):
    with restored(source) as (environ, found):
        assert numbers(environ) == (1004, 1004)
        assert len(found.bases) == 2
        assert found.verified is not None
        assert found.verified.holds
        assert found.verified.lasting == 2
        assert found.verified.tables_changed_since == ("public.transfers",)
        assert found.verified.tables_equal == 1
        home = postgres.home(environ)
        assert {path.name for path in (home / "files").iterdir()} == {"kept.xml", "new.xml"}
        assert (home / "keys" / "signing.key").read_text() == "signing"
        assert not (home / "keys" / "backup.key").exists()
        # The comparison is not vacuous: a book changed behind the ledger's back is told.
        with session(environ) as connection:
            connection.execute("update transfers set amount = amount + 1 where number = 1001")
        recorded = {"ledger": last_transfer(source.environ, ["transfers to 1000", "transfers to 1002"])}
        compared, differences = verification.differences(environ, CHECKS, recorded)
        assert compared == 2
        assert [difference.key for difference in differences] == ["transfers to 1002"]
        # The restored home is a whole one: roles, rights, and a server that starts as any other.
        with cluster.locked(environ):
            cluster.stop(environ)
        server = postgres.ensure(environ)
        psycopg.connect(server.conninfo[postgres.Role.AUDITOR]).close()


@pytest.mark.parametrize(
    ("moment", "expected"),
    [pytest.param("after full", (1001, 1001), marks=pytest.mark.slow), ("after incremental", (1003, 1003))],
)
def test_a_moment_is_exact(source, moment, expected):
    """Every commit up to it, and not the one that came next."""
    with restored(source, to=source.moments[moment]) as (environ, found):
        assert numbers(environ) == expected
        assert found.verified is not None
        assert found.verified.holds
        assert found.last_commit is not None
        assert found.last_commit <= source.moments[moment]


@pytest.mark.slow
def test_a_quiet_moment_after_the_last_commit_is_exact_too(source):
    reached = repository.reach(source.repository, source.key)
    assert reached is not None
    with restored(source, to=reached.at) as (environ, _):
        assert numbers(environ) == (1004, 1004)


def test_a_moment_beyond_the_archive_is_refused_and_says_how_far_it_reaches(source):
    reached = repository.reach(source.repository, source.key)
    assert reached is not None
    with (
        throwaway_home("test") as environ,
        pytest.raises(errors.ArchiveEnds, match=reached.at.isoformat()[:19]),
    ):
        _into(environ, source, to=reached.at + dt.timedelta(seconds=1))


def test_a_moment_before_the_first_backup_is_refused(source):
    with throwaway_home("test") as environ, pytest.raises(errors.NoBackup):
        _into(environ, source, to=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))


def _into(environ: Environ, source: Source, **options: object) -> restore.Restored:
    environ |= {
        "TALLYSTICK_BACKUP_DIR": str(source.repository),
        "TALLYSTICK_BACKUP_KEY_FILE": str(vault.key_file(source.environ)),
    }
    return restore.run(environ, checks=CHECKS, **options)  # type: ignore[arg-type]


def test_a_live_home_is_not_overwritten(source):
    with pytest.raises(errors.HomeInUse, match="--replace"):
        restore.run(source.environ)
    assert numbers(source.environ)[0] == 1004


@pytest.fixture
def copy(source, tmp_path) -> Source:
    """A copy of the repository, to be spoilt."""
    shutil.copytree(source.repository, tmp_path / "backup")
    return Source({**source.environ, "TALLYSTICK_BACKUP_DIR": str(tmp_path / "backup")}, source.moments)


def spoil(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "truncated":
        content = content[: len(content) // 2]
    else:
        content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["truncated", "altered"])
@pytest.mark.parametrize("what", ["base/*/data.tally", "base/*/manifest.json", "wal/*.tally", "reach.json"])
def test_a_spoilt_repository_is_refused_before_the_home_is_touched(copy, what, how):
    spoil(max(copy.repository.glob(what)), how)
    with throwaway_home("test") as environ:
        with pytest.raises(errors.BackupDamaged, match="Nothing of it was used"):
            _into(environ, copy)
        assert not cluster.data_directory(environ).exists()
        assert [
            path.name for path in postgres.home(environ).iterdir() if path.name.startswith(".restore")
        ] == []


def test_an_authentic_file_in_anothers_place_is_refused(copy):
    first, second = sorted(copy.repository.glob("wal/0*.tally"))[-2:]
    shutil.copyfile(first, second)
    with (
        throwaway_home("test") as environ,
        pytest.raises(errors.BackupDamaged, match="another file than its name"),
    ):
        _into(environ, copy)


def test_another_key_is_refused(source):
    with throwaway_home("test", TALLYSTICK_BACKUP_DIR=str(source.repository)) as environ:
        vault.key(environ, make=True)
        with pytest.raises(errors.BackupWrongKey):
            restore.run(environ)
        assert not cluster.data_directory(environ).exists()


def test_the_whole_repository_can_be_checked_without_restoring(source, copy):
    found = backup.check(source.environ)
    assert found.backups == 2
    assert found.segments >= 4
    # A gap that no restore of the last state would notice.
    full = repository.bases(copy.repository, copy.key)[0]
    repository.segment_file(copy.repository, full.first_segment).unlink()
    with pytest.raises(errors.BackupFileMissing):
        backup.check(copy.environ)


def test_sealing_again_after_a_kill_changes_nothing_and_a_stranger_is_refused(source):
    """Between encrypting a segment and taking it out of the spool the process may die."""
    name = next(name for name in repository.segments(source.repository) if repository.SEGMENT.fullmatch(name))
    stored = repository.segment_file(source.repository, name)
    content, before = b"".join(vault.read(source.key, stored, name=name)), stored.read_bytes()
    left = archive.spool(source.environ) / name
    left.write_bytes(content)
    assert backup.seal(source.environ) == 1
    assert not left.exists()
    assert stored.read_bytes() == before
    left.write_bytes(content[:-1] + b"x")
    with pytest.raises(errors.ArchiveConflict):
        backup.seal(source.environ)
    assert left.exists()
    left.unlink()


def test_the_spool_holds_nothing_that_the_repository_lacks_after_a_mark(source):
    backup.mark(source.environ)
    assert [
        path for path in archive.spool(source.environ).iterdir() if repository.SEGMENT.fullmatch(path.name)
    ] == []


def test_marking_twice_without_a_commit_makes_no_new_segment(source):
    first = backup.mark(source.environ)
    count = len(repository.segments(source.repository))
    second = backup.mark(source.environ)
    assert len(repository.segments(source.repository)) == count
    assert second.at > first.at


def test_status_tells_what_would_be_lost(source):
    reached = backup.mark(source.environ)
    status = backup.status(source.environ, reached.at + dt.timedelta(seconds=30))
    assert status["recovery_point_seconds"] == 30.0
    assert status["enabled"] is True


def test_what_is_due_follows_the_clock(source):
    last = repository.bases(source.repository, source.key)[-1].finished_at
    assert backup.due(source.environ, last + dt.timedelta(hours=23)) is None
    assert backup.due(source.environ, last + dt.timedelta(hours=25)) == "incremental"
    assert backup.due(source.environ, last + dt.timedelta(days=8)) == "full"
    with throwaway_home("test") as never:
        assert backup.due(never, last) is None


def test_a_beat_takes_what_is_due_and_clears_up_after_a_killed_backup(source):
    killed = repository.base_directory(source.repository, "20200101T000000.000000Z")
    killed.mkdir()
    (killed / "data.tally.part").write_bytes(b"half")
    last = repository.bases(source.repository, source.key)[-1]
    step = backup.advance(source.environ, last.finished_at + dt.timedelta(days=8), checks=CHECKS)
    assert step.base is not None
    assert step.base.kind == "full"
    assert step.pruned.bases == 0
    assert not killed.exists()
    idle = backup.advance(source.environ, step.base.finished_at, checks=CHECKS)
    assert idle.base is None


def base(day: int, parent: str | None = None) -> repository.Base:
    at = dt.datetime(2026, 1, day, tzinfo=dt.UTC)
    segment = f"00000001{0:08X}{day:08X}"
    return repository.Base(
        id=f"d{day:02}", kind="incremental" if parent else "full", parent=parent, started_at=at,
        finished_at=at,
        seconds=1.0, version="18", system="1", first_segment=segment, last_segment=segment, bytes_plain=1,
        bytes_stored=1, sha256={},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("keep_from", "left", "first_segment"),
    [
        (1, ["d02", "d03", "d04", "d05", "d06", "d07"], 1),
        (4, ["d02", "d03", "d04", "d05", "d06", "d07"], 2),
        (5, ["d05", "d06", "d07"], 5),
        (6, ["d05", "d06", "d07"], 5),
        (30, ["d07"], 7),
    ],
)
def test_pruning_keeps_all_that_a_moment_in_the_window_needs(tmp_path, keep_from, left, first_segment):
    """Fulls on days 2, 5 and 7; incrementals on 3, 4 and 6; a segment a day."""
    key = vault.Key(b"k" * 32)
    for made in [base(2), base(3, "d02"), base(4, "d03"), base(5), base(6, "d05"), base(7)]:
        repository.save(tmp_path, key, made)
    for day in range(1, 9):
        name = f"00000001{0:08X}{day:08X}"
        vault.Writer(key, repository.segment_file(tmp_path, name), name=name).close()
    repository.prune(tmp_path, key, keep_from=dt.datetime(2026, 1, keep_from, tzinfo=dt.UTC))
    assert [kept.id for kept in repository.bases(tmp_path, key)] == left
    assert min(repository.segments(tmp_path)) == f"00000001{0:08X}{first_segment:08X}"


def test_the_commands_take_list_rehearse_and_measure(source):
    def tallystick(*words: str) -> dict[str, object]:
        done = subprocess.run(
            [sys.executable, "-m", "tallystick", *words, "--json"],
            env=source.environ,
            capture_output=True,
            text=True,
        )
        assert not done.returncode, done.stdout + done.stderr
        return json.loads(done.stdout)

    taken = tallystick("backup")
    assert taken["kind"] == "incremental"
    assert tallystick("backup", "list")["backups"][-1] == taken
    rehearsed = tallystick("restore", "--rehearse")
    assert rehearsed["verified"]["holds"] is True
    # Nothing was written since the backup, so every table is compared, and equal.
    assert rehearsed["verified"]["tables_changed_since"] == []
    assert rehearsed["verified"]["tables_equal"] >= 2
    assert rehearsed["recovery_time_seconds"] > 0
    assert rehearsed["recovery_point_seconds"] > 0
    assert not list(postgres.home(source.environ).glob("rehearsal-*"))


def test_a_time_without_its_zone_is_not_guessed():
    done = subprocess.run(
        [sys.executable, "-m", "tallystick", "restore", "--to", "2026-11-22T17:00:00"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "time zone" in done.stderr


def test_a_server_of_the_users_is_left_to_its_own_tools():
    environ = {**os.environ, "DATABASE_URL": "postgresql://u@h/d"}
    for action in (backup.take, restore.run):
        with pytest.raises(errors.ServerIsYours):
            action(environ)
    assert place.is_external(environ)

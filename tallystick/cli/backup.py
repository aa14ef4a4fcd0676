"""`tallystick backup` and `tallystick restore`: the data survive the machine, and that is rehearsed.

A backup records what every book's balances and hashes are as of its last position; a restore computes
them again from what came back and compares.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import click

from tallystick.cli import ground
from tallystick.core.db import Db
from tallystick.core.postgres import backup as backups
from tallystick.core.postgres import cluster, place, repository, vault, verification
from tallystick.core.postgres import restore as restores

BEAT_S = 10
"""Pause between two beats of `--schedule`."""


def moment_of(_: click.Context, __: click.Parameter, value: str | None) -> dt.datetime | None:
    """A time with its zone, ISO 8601."""
    if value is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a time like 2026-11-22T17:00:00+08:00") from None
    if moment.tzinfo is None:
        # Eight hours of payments hang on a guess.
        raise click.BadParameter(f"{value!r} does not say its time zone: add +08:00, or Z for UTC")
    return moment


@click.group(invoke_without_command=True)
@click.option("--full", "kind", flag_value="full", help="Take a full backup.")
@click.option(
    "--incremental", "kind", flag_value="incremental", help="Take only what changed since the last."
)
@click.option("--schedule", is_flag=True, help="Stay, and take backups and archive WAL as the settings say.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (with --schedule a line for each event).")
@click.pass_context
def backup(context: click.Context, *, kind: str | None, schedule: bool, as_json: bool) -> None:
    """Take an encrypted backup now: incremental where there is one to build on, else full.

    From the first backup on, the server also hands over every finished WAL segment, so that any moment
    since can be restored. The key is made on the first backup: keep a copy of it elsewhere.
    """
    if context.invoked_subcommand is not None:
        return
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        checks = ledger_checks()
        if schedule:
            _keep_schedule(checks, as_json=as_json)
            return
        with bar(shown=not as_json) as progress:
            base = backups.take(os.environ, kind=kind, checks=checks, progress=progress)
    if as_json:
        click.echo(json.dumps(told(base)))
        return
    click.echo(f"Backup {base.id} ({base.kind}): {_size(base.bytes_stored)} in {base.seconds:.1f} s")
    click.echo(f"In {repository.directory(os.environ)}, encrypted with {vault.key_file(os.environ)}.")
    click.echo(
        "Without a copy of that key on another machine, no backup can be read after a loss of this one."
    )


@backup.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_backups(*, as_json: bool) -> None:
    """List the base backups, oldest first; each can be restored to its end and any moment after it."""
    with ground.refusals(as_json=as_json):
        every = repository.bases(repository.directory(os.environ), vault.key(os.environ))
    if as_json:
        click.echo(json.dumps({"backups": [told(base) for base in every]}))
        return
    for base in every:
        click.echo(
            f"{base.id}  {base.kind:<11}  {base.finished_at:%Y-%m-%d %H:%M:%SZ}  {_size(base.bytes_stored)}"
        )


@backup.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(*, as_json: bool) -> None:
    """Say how far the archive reaches, and what would be lost with the machine now."""
    with ground.refusals(as_json=as_json):
        answer = backups.status(os.environ, dt.datetime.now(dt.UTC))
    _print(answer, as_json=as_json)


@backup.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(*, as_json: bool) -> None:
    """Read every backup and WAL segment, and authenticate each byte; restores nothing."""
    with ground.refusals(as_json=as_json), bar(shown=not as_json) as progress:
        answer = backups.check(os.environ, progress)
    _print(dataclasses.asdict(answer), as_json=as_json)


@backup.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def prune(*, as_json: bool) -> None:
    """Drop backups and WAL that no restore within TALLYSTICK_BACKUP_KEEP days can need."""
    with ground.refusals(as_json=as_json):
        keep_from = dt.datetime.now(dt.UTC) - backups.schedule(os.environ).keep
        folder = repository.directory(os.environ)
        pruned = repository.prune(folder, vault.key(os.environ), keep_from=keep_from)
    _print({"backups": pruned.bases, "segments": pruned.segments}, as_json=as_json)


@click.command()
@click.option(
    "--to", "moment", callback=moment_of, help="The moment to restore to; else the last known state."
)
@click.option(
    "--verify", is_flag=True, help="Compare balances, positions and hashes with the backups' records."
)
@click.option(
    "--into", type=click.Path(path_type=Path), help="Restore into this home instead of TALLYSTICK_HOME."
)
@click.option(
    "--rehearse", is_flag=True, help="Restore beside the home, verify, report, and remove it again."
)
@click.option("--replace", is_flag=True, help="Move the data that are there aside first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def restore(
    *,
    moment: dt.datetime | None,
    verify: bool,
    into: Path | None,
    rehearse: bool,
    replace: bool,
    as_json: bool,
) -> None:
    """Restore a home from its backups, to the last known state or to a moment.

    Exit code 1 when what came back is not what the backups recorded.
    """
    with ground.refusals(as_json=as_json), _target(into, rehearse=rehearse) as environ:
        checks = ledger_checks()
        begun = dt.datetime.now(dt.UTC)
        with bar(shown=not as_json) as progress:
            found = restores.run(
                environ,
                to=moment,
                replace=replace,
                verify=verify or rehearse,
                checks=checks,
                progress=progress,
            )
        answer = _restored(found, begun)
        with cluster.locked(environ):
            cluster.stop(environ)
    _print(answer, as_json=as_json)
    if found.verified is not None and not found.verified.holds:
        sys.exit(1)


def told(base: repository.Base) -> dict[str, object]:
    """A backup, as JSON says it."""
    answer = dataclasses.asdict(base)
    return answer | {"started_at": base.started_at.isoformat(), "finished_at": base.finished_at.isoformat()}


def ledger_checks() -> list[verification.Check]:
    """What the ledger lets be compared: each book's fingerprint as of its last position."""
    return [verification.Check("custody", _fingerprints, _fingerprints_again)]


@contextlib.contextmanager
def bar(*, shown: bool) -> Iterator[backups.Progress]:
    """A progress bar on standard error, where a person looks."""
    if not shown or not sys.stderr.isatty():
        yield backups.quiet
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as shown_bar:
        tasks = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = shown_bar.add_task(stage)
            shown_bar.update(tasks[stage], completed=done, total=total)

        yield progress


def _keep_schedule(checks: Iterable[verification.Check], *, as_json: bool) -> None:
    """Beat until told to stop. A beat that fails is told and tried again at the next."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    backups.enable(os.environ)
    vault.key(os.environ, make=True)
    while not stopping.is_set():
        event: dict[str, object]
        try:
            step = backups.advance(os.environ, dt.datetime.now(dt.UTC), checks=checks)
            event = {"sealed": step.sealed, "backup": told(step.base) if step.base else None}
        except Exception as failure:
            event = {"failed": type(failure).__name__, "detail": str(failure)}
        if event.get("failed") or event.get("backup"):
            click.echo(json.dumps(event) if as_json else f"{dt.datetime.now(dt.UTC):%H:%M:%SZ} {event}")
        stopping.wait(BEAT_S)


@contextlib.contextmanager
def _target(into: Path | None, *, rehearse: bool) -> Iterator[Mapping[str, str]]:
    """The environment to restore in: this home, another, or one that is removed again."""
    if into is None and not rehearse:
        yield os.environ
        return
    # The repository and the key stay those of this home.
    environ = {
        **os.environ,
        "TALLYSTICK_BACKUP_DIR": str(repository.directory(os.environ)),
        "TALLYSTICK_BACKUP_KEY_FILE": str(vault.key_file(os.environ)),
    }
    if not rehearse:
        yield {**environ, "TALLYSTICK_HOME": str(into)}
        return
    home = place.home(os.environ)
    aside = Path(tempfile.mkdtemp(prefix="rehearsal-", dir=into or home))
    environ["TALLYSTICK_HOME"] = str(aside)
    try:
        yield environ
    finally:
        with cluster.locked(environ):
            cluster.stop(environ)
        shutil.rmtree(aside)


def _restored(found: restores.Restored, begun: dt.datetime) -> dict[str, object]:
    answer: dict[str, object] = {
        "home": str(found.home),
        "backups": list(found.bases),
        "segments": found.segments,
        "asked_for": found.asked_for.isoformat() if found.asked_for else None,
        "recovery_point": found.reach.isoformat() if found.reach else None,
        # Of the moment asked for nothing is lost; of "now", what came after the archive's reach.
        "recovery_point_seconds": (
            0.0
            if found.asked_for
            else round((begun - found.reach).total_seconds(), 3)
            if found.reach
            else None
        ),
        "last_commit": found.last_commit.isoformat() if found.last_commit else None,
        "recovery_time_seconds": found.seconds,
        "fetch_seconds": found.seconds_fetch,
        "replay_seconds": found.seconds_replay,
        "bytes": found.bytes_plain,
        "verified": None,
    }
    if found.verified is not None:
        answer["verified"] = {**dataclasses.asdict(found.verified), "holds": found.verified.holds}
    return answer


def _fingerprints(environ: verification.Environ) -> dict[str, str]:
    with _alias(environ) as db:
        from tallystick.custody import books

        if not _has_tables(db):
            return {}
        heads = {book.id: books.head(db, book.id).position for book in books.books(db)}
        return {f"book {book} position {at}": _fingerprint(db, book, at) for book, at in heads.items()}


def _fingerprints_again(environ: verification.Environ, keys: Iterable[str]) -> dict[str, str]:
    with _alias(environ) as db:
        return {key: _fingerprint(db, int(key.split()[1]), int(key.split()[3])) for key in keys}


def _fingerprint(db: Db, book: int, position: int) -> str:
    """The hash of a book as of a position, transfers and balances: no later transfer changes it."""
    from tallystick.custody import audit
    from tallystick.custody.numbers import BookId

    return audit.fingerprint(db, BookId(book), position)


def _has_tables(db: Db) -> bool:
    """Whether the ledger's tables were made: a server can be backed up before its first migration."""
    from django.apps import apps
    from django.db import connections

    table = apps.get_model("custody", "Book")._meta.db_table
    return table in connections[db].introspection.table_names()


@contextlib.contextmanager
def _alias(environ: verification.Environ) -> Iterator[Db]:
    """A Django alias of the auditor's for the database of an environment."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tallystick.settings")
    import django
    from django.db import connections

    django.setup()
    alias = Db(f"auditor of {place.home(environ)}")
    connections.settings[alias] = connections.configure_settings(place.databases(environ))["auditor"]
    try:
        yield alias
    finally:
        connections[alias].close()
        del connections[alias]
        del connections.settings[alias]


def _print(answer: Mapping[str, object], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(answer, default=str))
        return
    for name, value in answer.items():
        click.echo(f"{name:<24} {'-' if value is None else value}")


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"

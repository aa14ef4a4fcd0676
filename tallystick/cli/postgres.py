"""`tallystick postgres`: the embedded database server, by hand.

Every other command starts the server itself when it needs it; these are for looking and for stopping.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

import click
import psycopg

from tallystick.cli import ground
from tallystick.core import postgres as server
from tallystick.core.postgres import account, binaries, cluster, errors, place
from tallystick.core.postgres import upgrade as upgrades


@click.group()
def postgres() -> None:
    """Start, stop and look at the database server."""


@postgres.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def start(as_json: bool) -> None:
    """Start the server, or adopt the one that runs; create roles and database where absent."""
    with ground.refusals(as_json=as_json):
        found = server.ensure(os.environ, notice=ground.say)
    answer = {
        "embedded": found.embedded,
        "started": found.started,
        "version": found.version,
        "database": found.database,
        "home": str(found.home),
    }
    if as_json:
        click.echo(json.dumps(answer))
    else:
        verb = "started" if found.started else "already running"
        click.echo(f"PostgreSQL {found.version} {verb}, database {found.database}")


@postgres.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def stop(as_json: bool) -> None:
    """Stop the server at once and cleanly; open sessions are ended."""
    with ground.refusals(as_json=as_json):
        stopped = server.stop(os.environ)
    click.echo(json.dumps({"stopped": stopped}) if as_json else ("Stopped." if stopped else "Nothing ran."))


@postgres.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(as_json: bool) -> None:
    """Say whether the server runs; exit 3 when it does not."""
    with ground.refusals(as_json=as_json):
        answer = _status()
    if as_json:
        click.echo(json.dumps(answer))
    else:
        for name, value in answer.items():
            click.echo(f"{name:<18} {'-' if value is None else value}")
    if not answer["running"]:
        sys.exit(3)


@postgres.command()
@click.option(
    "--old-bin",
    type=click.Path(path_type=Path, exists=True),
    help="Where the programs of the old version are; found by themselves in most cases.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def upgrade(old_bin: Path | None, as_json: bool) -> None:
    """Bring the data to this version of PostgreSQL; the old data stay beside them, untouched."""
    with ground.refusals(as_json=as_json):
        done = upgrades.run(os.environ, old=old_bin, notice=(lambda _: None) if as_json else ground.say)
    if as_json:
        answer: dict[str, object] = {"upgraded": done is not None}
        if done is not None:
            answer |= {**dataclasses.asdict(done), "kept": str(done.kept)}
        click.echo(json.dumps(answer))
    elif done is None:
        click.echo("Nothing to do: the data are of this version.")
    else:
        click.echo(f"PostgreSQL {done.before} to {done.after}: {done.tables} tables, all equal.")
        click.echo(f"The old data are in {done.kept}. Remove them when the new ones have proved themselves.")


@postgres.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--role", type=click.Choice([*place.ALIASES, "superuser"]), default="auditor", show_default=True
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(role: str, arguments: tuple[str, ...]) -> None:
    """Open psql as one of the roles, read-only unless told otherwise; ARGUMENTS go to psql."""
    with ground.refusals():
        found = server.ensure(os.environ)
        if role == "superuser":
            administrator = place.administrator(os.environ)
            if administrator is None:
                raise errors.ServerIsYours(verb="administer")
            target = place.Target({**administrator.parameters, "dbname": found.database})
        else:
            target = place.target(os.environ, place.ALIASES[role])
        program = binaries.of_home(os.environ).program("psql")
    # The password goes by the environment: a command line is public on this machine.
    parameters = dict(target.parameters)
    environ = dict(os.environ)
    if "password" in parameters:
        environ["PGPASSWORD"] = parameters.pop("password")
    os.execve(program, [program, place.Target(parameters).dsn, *arguments], environ)  # noqa: S606


def _status() -> dict[str, object]:
    if place.is_external(os.environ):
        found = server.ensure(os.environ)
        return {"embedded": False, "running": True, "version": found.version, "database": found.database}
    state = cluster.state(os.environ)
    answer: dict[str, object] = {
        "embedded": True,
        "running": state.running,
        "phase": state.phase,
        "pid": state.pid,
        "data_major": state.version,
        "home": str(place.home(os.environ)),
        "socket": str(place.socket_directory(os.environ)),
        "os_user": account.owner_of(state.data).name if state.data.exists() else None,
        "database": place.database(os.environ),
        "bytes": None,
        "sessions": None,
    }
    if state.running and cluster.answers(os.environ):
        administrator = place.administrator(os.environ)
        assert administrator is not None
        with psycopg.connect(administrator.dsn) as connection:
            row = connection.execute(
                "select sum(pg_database_size(oid))::bigint, (select count(*) from pg_stat_activity"
                " where backend_type = 'client backend') from pg_database"
            ).fetchone()
            assert row is not None
            answer["bytes"], answer["sessions"] = row
    return answer

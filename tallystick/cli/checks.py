"""Whether an installation is fit for other people's money: what `tallystick check` looks at.

Promises: everything is asked of the running system, not of what was meant: the server's own settings,
the rights PostgreSQL holds, the mode of the key file. Writes nothing. A new table is covered by its
comment: one that says "Append-only" is found changeable by whoever may change it.
"""

from __future__ import annotations

import datetime as dt
import shutil
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psycopg

from tallystick.core import postgres
from tallystick.core.postgres import Role

if TYPE_CHECKING:
    from tallystick.evidence.witness.quorum import Stands

Level = Literal["ok", "warning", "error"]

DISK_FREE_SHARE_MIN = 0.10
BACKUP_SECONDS_MAX = 24 * 3600
CHANGES = ("UPDATE", "DELETE", "TRUNCATE")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: what it is, how it stands, and what to do where it stands badly."""

    name: str
    level: Level
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Right:
    """That a role may do something to a table."""

    role: str
    table: str
    right: str
    append_only: bool


# Rules.


def excess(rights: Iterable[Right]) -> list[Right]:
    """The rights nobody should have: changing what is append-only, emptying a table, writing as auditor."""
    return [
        each
        for each in rights
        if each.role != Role.OWNER
        and (
            each.right in {"TRUNCATE", "TRIGGER", "REFERENCES"}
            or (each.append_only and each.right in CHANGES)
            or (each.role == Role.AUDITOR and each.right != "SELECT")
        )
    ]


def shared(rights: Iterable[Right], evidence: Collection[str]) -> list[str]:
    """The tables into which both the app and the ledger's writer may write.

    Evidence is told by both. Everything else is either the writer's alone, and then what is posted was
    judged, or the app's alone.
    """
    writers: dict[str, set[str]] = {}
    for each in rights:
        if each.right == "INSERT":
            writers.setdefault(each.table, set()).add(each.role)
    return sorted(
        table
        for table, roles in writers.items()
        if {Role.APP, Role.WRITER} <= roles and table not in evidence
    )


def beside_the_sequencer(rights: Iterable[Right], logs: Collection[str]) -> list[Right]:
    """Who else than the sequencer may write to the logs' tables."""
    return [
        each
        for each in rights
        if each.right == "INSERT" and each.table in logs and each.role != Role.SEQUENCER
    ]


def recovery(state: Mapping[str, object], wal_every: dt.timedelta) -> Finding:
    """How much work a lost machine would take with it."""
    if not state["enabled"] or state["last"] is None:
        return Finding(
            "backup",
            "warning",
            "there is none: what the machine loses is lost",
            "tallystick backup, and keep `tallystick backup --schedule` running",
        )
    lost = state["recovery_point_seconds"]
    if not isinstance(lost, int | float):
        return Finding(
            "backup", "error", "its archive has no end that can be restored to", "tallystick backup"
        )
    told = f"a lost machine would take {dt.timedelta(seconds=round(lost))} of work with it"
    if lost > BACKUP_SECONDS_MAX:
        return Finding("backup", "error", told, "Is `tallystick backup --schedule` running?")
    if lost > 3 * wal_every.total_seconds() + 60:
        return Finding("backup", "warning", told, "Is `tallystick backup --schedule` running?")
    return Finding("backup", "ok", told)


def durability(settings: Mapping[str, str]) -> Finding:
    """Whether an acknowledged commit survives a power cut."""
    wanted = {"fsync": {"on"}, "full_page_writes": {"on"}, "synchronous_commit": {"on", "remote_apply"}}
    off = [f"{name} = {settings[name]}" for name, good in wanted.items() if settings[name] not in good]
    if off:
        return Finding(
            "durability",
            "error",
            f"an acknowledged commit can be lost: {', '.join(off)}",
            "Set it back to `on` in the server's configuration.",
        )
    return Finding("durability", "ok", "fsync, full_page_writes and synchronous_commit are on")


def checksums(settings: Mapping[str, str]) -> Finding:
    """Whether the server notices a page that the disk has spoiled."""
    if settings["data_checksums"] != "on":
        return Finding(
            "data checksums",
            "error",
            "off: a page spoiled by the disk would be served as if it were true",
            "Stop the server and run pg_checksums --enable.",
        )
    return Finding("data checksums", "ok", "on")


def witnessed(stands: Collection[Stands]) -> Finding:
    """Whether outsiders sign what the logs say."""
    bad = sorted({f"{each.witness} is {each.status}" for each in stands if each.status != "answering"})
    if not stands:
        return Finding(
            "witnesses",
            "warning",
            "nobody outside signs the logs: whoever runs them could tell two histories",
            "Have the bank or the regulator run `tallystick witness`, and name it in the policy.",
        )
    if bad:
        level: Level = "error" if any(each.status == "disagreeing" for each in stands) else "warning"
        return Finding("witnesses", level, "; ".join(bad), "tallystick evidence witnesses")
    return Finding("witnesses", "ok", f"{len({each.witness for each in stands})} sign the logs")


# Reads.


def findings(environ: Mapping[str, str], *, now: dt.datetime) -> list[Finding]:
    """Everything that was looked at, good or bad, in a fixed order."""
    found: list[Finding] = []
    found += _django()
    found += _keys(environ)
    with psycopg.connect(_dsn(environ), autocommit=True) as connection:
        found += _server(connection)
        found += _tables(connection)
    found += _place(environ)
    found += _backup(environ, now)
    if not unapplied("default"):
        found.append(_witnesses())
    return found


def _dsn(environ: Mapping[str, str]) -> str:
    """As the app: anyone may ask PostgreSQL what another may do, and this role is always there."""
    from tallystick.core.postgres import place

    return place.target(environ, Role.APP).dsn


def _django() -> Iterator[Finding]:
    from django.conf import settings
    from django.core import checks

    if settings.DEBUG:
        yield Finding("debug", "error", "on: a fault shows its inside to whoever caused it")
    messages = checks.run_checks(include_deployment_checks=True, databases=["default"])
    shown = [message for message in messages if not message.is_silenced()]
    for message in shown:
        level: Level = "error" if message.level >= checks.ERROR else "warning"
        yield Finding(message.id or "django", level, " ".join(message.msg.split()), message.hint or "")
    if not shown:
        yield Finding("deployment", "ok", "Django's deployment checks find nothing")
    if settings.INSECURE_HTTP:
        yield Finding(
            "transport",
            "warning" if settings.DEMO else "error",
            "TALLYSTICK_INSECURE_HTTP is set: passwords and pages travel unencrypted",
            "Unset it, and serve behind TLS.",
        )


def _keys(environ: Mapping[str, str]) -> Iterator[Finding]:
    from django.conf import settings

    length = len(str(settings.SECRET_KEY))
    if length < 50:
        yield Finding("secret key", "error", f"{length} characters: it can be guessed", "Use 50 or more.")
    else:
        yield Finding("secret key", "ok", f"{length} characters")
    keys = postgres.home(environ) / "keys"
    for path in sorted(keys.rglob("*")) if keys.is_dir() else []:
        mode = path.stat().st_mode
        # A public key is meant to be read.
        if path.is_file() and mode & (stat.S_IRWXG | stat.S_IRWXO) and path.suffix != ".pub":
            yield Finding(
                "key files",
                "error",
                f"{path.name} can be read by others (mode {stat.S_IMODE(mode):o})",
                f"chmod 600 {path}",
            )


def _server(connection: psycopg.Connection) -> Iterator[Finding]:
    rows = connection.execute(
        "select name, setting from pg_settings where name in"
        " ('fsync', 'full_page_writes', 'synchronous_commit', 'data_checksums', 'server_version')"
    ).fetchall()
    settings: dict[str, str] = dict(rows)
    yield Finding("server", "ok", f"PostgreSQL {settings['server_version']}")
    yield durability(settings)
    yield checksums(settings)


RIGHTS = """
    select role, class.relname, acl.privilege_type,
        coalesce(obj_description(class.oid, 'pg_class'), '') ilike '%%append-only%%'
    from pg_class class
        join pg_namespace space on space.oid = class.relnamespace and space.nspname = 'public'
        cross join unnest(%s::text[]) role
        cross join unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'])
            acl (privilege_type)
    where class.relkind in ('r', 'p') and has_table_privilege(role, class.oid, acl.privilege_type)
    union all
    -- A right to some columns only is a right as well.
    select role, class.relname, acl.privilege_type,
        coalesce(obj_description(class.oid, 'pg_class'), '') ilike '%%append-only%%'
    from pg_class class
        join pg_namespace space on space.oid = class.relnamespace and space.nspname = 'public'
        cross join unnest(%s::text[]) role
        cross join unnest(array['INSERT', 'UPDATE']) acl (privilege_type)
    where class.relkind in ('r', 'p') and not has_table_privilege(role, class.oid, acl.privilege_type)
        and has_any_column_privilege(role, class.oid, acl.privilege_type)
"""


MEMBERS = """
    select roles.rolname, members.rolname
    from pg_auth_members
        join pg_roles roles on roles.oid = pg_auth_members.roleid
        join pg_roles members on members.oid = pg_auth_members.member
    where roles.rolname = any(%s) and not members.rolsuper and not members.rolcreaterole
"""
"""Who may become one of the roles, but for the administrator who made them."""


def rights(connection: psycopg.Connection) -> list[Right]:
    """What each role but the owner may do to each table, as PostgreSQL itself answers."""
    roles = [str(role) for role in Role if role != Role.OWNER]
    return [Right(*row) for row in connection.execute(RIGHTS, (roles, roles)).fetchall()]


def _tables(connection: psycopg.Connection) -> Iterator[Finding]:
    from django.apps import apps

    if pending := unapplied("default"):
        yield Finding(
            "migrations", "error", f"{len(pending)} are not applied: {pending[0]} …", "tallystick migrate"
        )
        return
    yield Finding("migrations", "ok", "all applied")
    found = rights(connection)
    too_much = excess(found)
    evidence = {model._meta.db_table for model in apps.get_app_config("evidence").get_models()}
    both = shared(found, evidence)
    for table in both:
        yield Finding(
            "rights",
            "error",
            f"both {Role.APP} and {Role.WRITER} may write to {table}",
            f"revoke insert on {table} from {Role.APP}",
        )
    from tallystick.evidence.models import Checkpoint, Key, KeyChange, Log, LogEntry, Tile

    logs = {model._meta.db_table for model in (Checkpoint, Key, KeyChange, Log, LogEntry, Tile)}
    too_much += [each for each in beside_the_sequencer(found, logs) if each not in too_much]
    members = connection.execute(MEMBERS, ([str(role) for role in Role],)).fetchall()
    for role, member in members:
        yield Finding("roles", "error", f"{member} may act as {role}", f"revoke {role} from {member}")
    for each in too_much:
        why = "append-only table" if each.append_only else "table"
        yield Finding(
            "rights",
            "error",
            f"{each.role} may {each.right} the {why} {each.table}",
            f"revoke {each.right} on {each.table} from {each.role}",
        )
    if not (too_much or both or members):
        yield Finding("rights", "ok", f"{len(found)} rights of four roles, none too much")


def _place(environ: Mapping[str, str]) -> Iterator[Finding]:
    home = postgres.home(environ)
    usage = shutil.disk_usage(_existing(home))
    share = usage.free / usage.total
    if share < DISK_FREE_SHARE_MIN:
        yield Finding(
            "disk",
            "warning",
            f"{share:.0%} of the disk of {home} is free",
            "A full disk stops posting. Make room, or move TALLYSTICK_HOME.",
        )
    else:
        yield Finding("disk", "ok", f"{share:.0%} free")


def _witnesses() -> Finding:
    from django.conf import settings

    from tallystick.core import errors
    from tallystick.core.db import APP
    from tallystick.evidence.witness import quorum

    try:
        trusted = quorum.read(settings.WITNESS_POLICY)
    except errors.Refusal as refusal:
        return Finding("witnesses", "error", str(refusal), f"Mend {settings.WITNESS_POLICY}.")
    return witnessed(quorum.stands(APP, trusted) if trusted else [])


def unapplied(alias: str) -> list[str]:
    """The migrations this code has and the database lacks, in their order."""
    from django.db import connections
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connections[alias])
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]


def _backup(environ: Mapping[str, str], now: dt.datetime) -> Iterator[Finding]:
    from tallystick.core.postgres import backup, place

    if place.is_external(environ):
        yield Finding("backup", "ok", "the server is yours, and so are its backups")
        return
    try:
        state = backup.status(environ, now)
    except postgres.Refusal as refusal:
        # No key yet: nothing was ever backed up.
        yield Finding("backup", "warning", str(refusal), "tallystick backup")
        return
    yield recovery(state, backup.schedule(environ).wal_every)


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path

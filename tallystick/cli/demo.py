"""`tallystick demo`: a platform with a past, in one command, from nothing to pages to look at.

Promises: it keeps to a home of its own, so nobody's data are near it, and to an embedded server, whatever
DATABASE_URL says; started again, it opens the demonstration it made before; it stops what it started,
however it ends. With `--json` standard output holds the summary and nothing else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from tallystick.cli import ground
from tallystick.core import postgres
from tallystick.core.postgres import place

if TYPE_CHECKING:
    from tallystick.simulation.demonstration import Told

SCHEMA = "tallystick/demo/1"
MADE, BEGUN = "demonstration.json", "demonstration-begun"
"""In the home: the summary of a finished demonstration, and the mark of one that was begun."""

PEOPLE = (
    # user name, role, name, customer number
    ("operations", "platform_operations", "赵敏 Zhao Min", None),
    ("approver", "platform_approver", "周静 Zhou Jing", None),
    ("bank", "custodian_bank", "何磊 He Lei", None),
    ("auditor", "auditor", "林雪 Lin Xue", None),
    ("regulator", "regulator", "高山 Gao Shan", None),
    ("customer", "customer", "王芳 Wang Fang", "20000001"),
)
LINK_LIFE = timedelta(hours=12)
STAGES = {
    "world": "Inventing a platform and its customers",
    "post": "Posting three months of transfers",
    "import": "Importing the bank's statements",
    "reconcile": "Reconciling",
    "prove": "Proving that clients' money is there",
    "audit": "Auditing",
}


@click.command()
@click.option("--seed", default=7, show_default=True, help="Decides everything that happens.")
@click.option("--customers", default=1000, show_default=True, type=click.IntRange(20, 100_000))
@click.option("--transfers", default=50_000, show_default=True, type=click.IntRange(300, 5_000_000))
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="The last day. [default: yesterday]")
@click.option("--fresh", is_flag=True, help="Throw away the demonstration made before.")
@click.option("--once", is_flag=True, help="Make it, check it, and end without serving.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, help="Another one is taken where it is in use.")
def demo(
    *,
    seed: int,
    customers: int,
    transfers: int,
    until: datetime | None,
    fresh: bool,
    once: bool,
    as_json: bool,
    host: str,
    port: int,
) -> None:
    """Make a platform with three months behind it, reconcile it, and serve it.

    Invented customers, their loans, a bank that sends statements with breaks in them, and people who try
    what must not succeed. Everything is kept below .tallystick/demo, or TALLYSTICK_HOME.
    """
    home = _own_home()
    wanted = {"seed": seed, "customers": customers, "transfers": transfers}
    with _alone(home), ground.refusals(as_json=as_json):
        summary = _made_before(home, wanted, until=until, fresh=fresh)
        if summary is None:
            _wipe(home)
        started = _stand(home)
        try:
            if summary is None:
                summary = _make(home, wanted, until=until or _yesterday(), as_json=as_json)
            _tell(summary, as_json=as_json)
            code = 0 if once else _serve(host, port)
        except KeyboardInterrupt:
            ground.say("Stopped. The next start begins anew where this one was not finished.")
            code = 130
        finally:
            if started:
                _put_away()
    sys.exit(code)


# ── a place of its own ───────────────────────────────────────────────────────────────────────────────────


def _own_home() -> Path:
    """The demonstration's home, set in the environment before anything reads it."""
    given = os.environ.get("TALLYSTICK_HOME")
    home = Path(given).expanduser().absolute() if given else Path.cwd() / ".tallystick" / "demo"
    if not given and not _can_hold_a_server(home):
        home = _elsewhere(home)
        ground.say(f"PostgreSQL cannot run below {Path.cwd()}: the demonstration is kept in {home}")
    for setting in ("DATABASE_URL", "TALLYSTICK_DATABASE", *place.URL_SETTINGS.values()):
        if os.environ.pop(setting, None) is not None:
            ground.say(f"{setting} is left alone: the demonstration has a server of its own.")
    os.environ.update(TALLYSTICK_HOME=str(home), TALLYSTICK_INSECURE_HTTP="1", TALLYSTICK_DEMO="1")
    os.environ.setdefault("TALLYSTICK_LOG_LEVEL", "WARNING")
    return home


def _can_hold_a_server(home: Path) -> bool:
    """Whether a socket's path may be as long, and the user PostgreSQL runs as for root can get there."""
    path = home / "run" / f".s.PGSQL.{place.PORT}"
    if len(os.fsencode(path)) > place.SOCKET_PATH_MAX:
        return False
    return os.geteuid() != 0 or all(each.stat().st_mode & 0o001 for each in home.parents if each.exists())


def _elsewhere(home: Path) -> Path:
    """A place for the home of this working directory's demonstration that is short and open to pass through."""
    name = hashlib.sha256(os.fsencode(home)).hexdigest()[:8]
    other = Path("/var/tmp") / f"tallystick-demo-{os.geteuid()}-{name}"  # noqa: S108 -- ours alone: checked below
    other.mkdir(mode=0o711, exist_ok=True)
    if other.is_symlink() or other.stat().st_uid != os.geteuid():
        raise click.ClickException(f"{other} belongs to somebody else: set TALLYSTICK_HOME")
    return other


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One demonstration at a time in a home."""
    home.mkdir(parents=True, exist_ok=True)
    # Beside the home, so that throwing the home away leaves the lock.
    with (home.parent / f"{home.name}.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise click.ClickException(f"a demonstration is running from {home}: stop it first") from None
        yield


def _made_before(
    home: Path, wanted: dict[str, int], *, until: datetime | None, fresh: bool
) -> dict[str, Any] | None:
    """The summary of the demonstration in this home, where there is a finished one that is wanted."""
    if fresh or not (home / MADE).is_file():
        return None
    summary: dict[str, Any] = json.loads((home / MADE).read_text(encoding="utf-8"))
    found = {name: summary.get(name) for name in wanted}
    other_day = until is not None and summary.get("last_day") != until.date().isoformat()
    if summary.get("schema") != SCHEMA or found != wanted or other_day:
        raise click.ClickException(
            f"{home} holds a demonstration of {found}: add --fresh to make another in its place"
        )
    ground.say(f"The demonstration made before: {home} (--fresh makes another)")
    return summary


def _wipe(home: Path) -> None:
    """Throw away what an earlier demonstration left; never what is not one."""
    held = [each.name for each in home.iterdir()]
    if not held:
        return
    if MADE not in held and BEGUN not in held:
        raise click.ClickException(f"{home} holds something else than a demonstration: set TALLYSTICK_HOME")
    postgres.stop(os.environ)
    for each in home.iterdir():
        shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()


def _stand(home: Path) -> bool:
    """A server with current tables; whether it was started by this."""
    (home / BEGUN).touch()
    ground.say("Starting PostgreSQL")
    server = ground.stand(quiet=True)
    from django.core.management import call_command

    call_command("migrate", database="owner", interactive=False, verbosity=0)
    return server.started


def _put_away() -> None:
    """Close what is open and stop the server that this process started."""
    from django.db import connections

    from tallystick.custody import posting

    # What this command leaves in the trail is written while there is a server.
    click.get_current_context().close()
    posting.in_process().close()
    connections.close_all()
    for each in connections.all(initialized_only=True):
        if pool := getattr(each, "pool", None):
            pool.close()
    postgres.stop(os.environ)


# ── making it ────────────────────────────────────────────────────────────────────────────────────────────


def _yesterday() -> datetime:
    from tallystick.simulation import world

    return datetime.now(ZoneInfo(world.TIME_ZONE)) - timedelta(days=1)


def _make(home: Path, wanted: dict[str, int], *, until: datetime, as_json: bool) -> dict[str, Any]:
    from django.conf import settings

    from tallystick.core.db import APP
    from tallystick.simulation import demonstration, safeguards, world

    last_day: date = until.date()
    began = time.monotonic()
    _create_people()
    cast = world.make(
        seed=wanted["seed"],
        customers=wanted["customers"],
        first_day=world.three_months(last_day),
        last_day=last_day,
    )
    with _progress() as told:
        made = demonstration.make(APP, cast, wanted["transfers"], clock=time.monotonic, told=told)
    # Sealed first: a statement says how far the ledger's log went. And then the statements themselves.
    _seal()
    safeguards.state(APP, demonstration.BOOK, last_day, settings.LIABILITIES_FOLDER)
    _seal()
    made.seconds["total"] = round(time.monotonic() - began, 2)
    summary = {"schema": SCHEMA, **dataclasses.asdict(made)}
    text = json.dumps(summary, ensure_ascii=False, indent=2)
    # Written last and whole: a demonstration is finished or it is not.
    part = home / f"{MADE}.part"
    part.write_text(text, encoding="utf-8")
    part.replace(home / MADE)
    return summary


def _seal() -> None:
    """Everything that happened, under checkpoints that are signed and published."""
    from django.conf import settings

    from tallystick.cli import evidence
    from tallystick.core.db import SEQUENCER
    from tallystick.evidence import publishing, sealing

    evidence.open_logs()
    sealing.seal(SEQUENCER, now=datetime.now(UTC))
    publishing.publish(SEQUENCER, settings.LOG_FOLDER)


def _create_people() -> None:
    """The administrator, and one user for each role."""
    from tallystick.core.db import APP
    from tallystick.identity import users
    from tallystick.identity.access import Actor
    from tallystick.identity.roles import Role

    actor, now = Actor.system("cli"), datetime.now(UTC)
    users.create_administrator(APP, "administrator", name="陈怡 Chen Yi", password=None, actor=actor, now=now)
    for username, role, name, number in PEOPLE:
        user = users.create(
            APP, username, name=name, customer_number=number, password=None, actor=actor, now=now
        )
        users.grant(APP, user.pk, Role(role), reason="For the demonstration.", actor=actor, now=now)


@contextlib.contextmanager
def _progress() -> Iterator[Told]:
    """Bars on standard error where a person looks, else a line when a stage begins."""
    if not sys.stderr.isatty():
        begun: set[str] = set()

        def say(stage: str, done: int, total: int) -> None:
            if stage not in begun:
                begun.add(stage)
                ground.say(STAGES[stage])

        yield say
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<40}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks = {}

        def move(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(STAGES[stage], total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield move


# ── telling and serving ──────────────────────────────────────────────────────────────────────────────────


def _tell(summary: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(summary, ensure_ascii=False, indent=2))
        return
    click.echo(
        f"{summary['customers']:,} customers, {summary['transfers']:,} transfers"
        f" from {summary['first_day']} to {summary['last_day']}; {sum(summary['refused'].values()):,} refused."
    )
    click.echo(
        f"{summary['statement_files']} statement files: {summary['matched']:,} lines matched,"
        f" {sum(summary['breaks'].values())} breaks, each of them planted."
    )
    for kind, count in summary["breaks"].items():
        click.echo(f"  {kind:<20}{count:>4} of {summary['planted_breaks'][kind]} planted")
    for name, title in (
        ("client_total_minor", "Clients' money"),
        ("own_total_minor", "Platform's own"),
        ("suspense_total_minor", "In suspense"),
        ("bank_total_minor", "At the bank"),
        ("unexplained_minor", "Unexplained"),
    ):
        minor = summary[name]
        click.echo(f"{title:<16}{minor // 100:>18,}.{minor % 100:02d} CNY")


def _serve(host: str, port: int) -> int:
    from tallystick.cli import house
    from tallystick.custody import posting

    # The posting process alone writes from here on.
    posting.in_process().close()
    ground.say("Starting the pages")
    # Not the backups: what can be made again from a number needs none.
    return house.serving(host, _free(host, port), beside=(("posting",),), ready=_invite)


def _free(host: str, port: int) -> int:
    """The port asked for, or 0 for any where somebody listens there already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            ground.say(f"Port {port} is in use: another one is taken.")
            return 0
    return port


def _invite(address: str) -> None:
    """Say where it is, and how to get in as each of the people."""
    from django.db import connections
    from django.urls import reverse

    from tallystick.core.db import APP
    from tallystick.identity import sign_in, users
    from tallystick.identity.access import Actor

    click.echo(f"\nReady at {address}\n\nSign in, each link once, within {LINK_LIFE.seconds // 3600} hours:")
    try:
        for username in ("administrator", *(username for username, *_ in PEOPLE)):
            user = users.find(APP, username)
            assert user is not None, "the demonstration made them"
            token = sign_in.issue(
                APP, user.pk, life=LINK_LIFE, actor=Actor.system("cli"), now=datetime.now(UTC)
            )
            click.echo(f"  {username:<14}{address.rstrip('/')}{reverse('sign-in-link', args=[token])}")
    finally:
        connections.close_all()
    click.echo("\nCtrl-C stops it; `tallystick demo` opens it again.")
    sys.stdout.flush()

"""The house itself: make its tables, check its deployment, open its doors, test it.

These commands belong to no domain. Each imports what it needs when it is called, so that
`tallystick --help` and `tallystick test` need neither Django nor a database.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from tallystick.cli import ground, processes

ROOT = Path(__file__).resolve().parents[2]
"""The checkout, where there is one: an installed package has no tests beside it."""

BESIDE_THE_WEB: tuple[tuple[str, ...], ...] = (("posting",), ("backup", "--schedule"))
"""Commands of `tallystick` that run beside the web server for as long as it does, each its own process
and its own database role."""

READY_SECONDS_MAX = 60


@click.command()
@click.option("--plan", is_flag=True, help="Only list what would be done.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def migrate(*, plan: bool, as_json: bool) -> None:
    """Make or upgrade the tables, as the owner; starts the database server where it must.

    Where backups are kept, one is taken first: the way back is to restore it.
    """
    with ground.refusals(as_json=as_json):
        server = ground.stand(quiet=as_json)
        from django.core.management import call_command

        from tallystick.cli import checks
        from tallystick.core.postgres import backup

        pending, kept = checks.unapplied("owner"), None
        if pending and not plan:
            kept = backup.before_change(os.environ, reason=f"migrate to {pending[-1]}")
        if not plan:
            # Each migration also says what each role may do with its tables.
            call_command("migrate", database="owner", interactive=False, verbosity=0)
    if as_json:
        answer = {"server": server.version, "database": server.database, "migrations": pending}
        click.echo(json.dumps({**answer, "applied": not plan, "backup": kept.id if kept else None}))
        return
    if kept:
        click.echo(f"backup   {kept.id}: the way back is to restore to {kept.finished_at.isoformat()}")
    for name in pending:
        click.echo(f"{'pending' if plan else 'applied'}  {name}")
    if not pending:
        click.echo(f"Nothing to do: database {server.database} is up to date.")


@click.command()
@click.option("--strict", is_flag=True, help="Fail on warnings too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(*, strict: bool, as_json: bool) -> None:
    """Say whether this installation is fit for other people's money; exit 1 where it is not."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.cli import checks

        findings = checks.findings(os.environ, now=datetime.now(UTC))
    failing = {"error", "warning"} if strict else {"error"}
    failed = any(finding.level in failing for finding in findings)
    if as_json:
        rows = [
            {"name": each.name, "level": each.level, "detail": each.detail, "remedy": each.remedy}
            for each in findings
        ]
        click.echo(json.dumps({"fit": not failed, "findings": rows}, ensure_ascii=False))
    else:
        colours = {"ok": "green", "warning": "yellow", "error": "red"}
        for each in findings:
            level = click.style(f"{each.level:<8}", fg=colours[each.level])
            click.echo(f"{level} {each.name:<22} {each.detail}")
            if each.remedy:
                click.echo(f"{'':<31} {each.remedy}")
    sys.exit(1 if failed else 0)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, help="0 takes a free one.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Web processes.")
@click.option("--threads", default=16, show_default=True, type=click.IntRange(1), help="Threads in each.")
@click.option("--tls-certificate", type=click.Path(exists=True, dir_okay=False), help="A PEM file.")
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False), help="A PEM file, PKCS#8.")
def serve(
    *, host: str, port: int, workers: int, threads: int, tls_certificate: str | None, tls_key: str | None
) -> None:
    """Serve the pages and the API, with the processes that belong to them, until stopped."""
    if bool(tls_certificate) != bool(tls_key):
        raise click.UsageError("--tls-certificate and --tls-key belong together")
    tls = ("--ssl-certificate", tls_certificate, "--ssl-keyfile", tls_key) if tls_certificate else ()
    with ground.refusals():
        ground.stand()
        from tallystick.cli import checks

        if pending := checks.unapplied("default"):
            raise click.ClickException(
                f"{len(pending)} migrations are not applied: run `tallystick migrate` first"
            )
        from django.conf import settings

        if settings.SECURE_SSL_REDIRECT and not tls:
            ground.say(
                "Expecting a proxy that ends TLS in front (TALLYSTICK_PROXIES=1)."
                " To look at it on this machine alone: TALLYSTICK_INSECURE_HTTP=1."
            )

    def announce(address: str) -> None:
        ground.say(f"Ready at {address}")

    given = [str(part) for part in tls]
    beside = beside_the_web(os.environ)
    sys.exit(serving(host, port, workers=workers, threads=threads, tls=given, beside=beside, ready=announce))


def beside_the_web(environ: Mapping[str, str]) -> list[tuple[str, ...]]:
    """What belongs beside the web here: no backups of a server that is the user's own or worth nothing."""
    from tallystick.core.postgres import configuration, place

    is_kept = not place.is_external(environ) and not configuration.is_test(environ)
    return [command for command in BESIDE_THE_WEB if is_kept or command[0] != "backup"]


def serving(
    host: str,
    port: int,
    *,
    workers: int = 1,
    threads: int = 16,
    tls: Sequence[str] = (),
    beside: Sequence[tuple[str, ...]] = BESIDE_THE_WEB,
    ready: Callable[[str], None],
) -> int:
    """Run the web server and what belongs beside it until stopped; `ready` is told the address once.

    The exit code is that of whichever process ended first, 0 when stopped.
    """
    from django.conf import settings

    # WhiteNoise warns of a directory that is not there, although every file comes from the package.
    Path(str(settings.STATIC_ROOT)).mkdir(parents=True, exist_ok=True)
    port = port or _free_port(host)
    measures = tempfile.mkdtemp(prefix="tallystick-metrics-")
    environ = {**os.environ, "DJANGO_SETTINGS_MODULE": "tallystick.settings", "TALLYSTICK_POSTING": "process"}
    if workers > 1:
        # Each worker counts for itself; `/metrics` then adds them up from this directory.
        environ["PROMETHEUS_MULTIPROC_DIR"] = measures
    granian = ["granian", "--interface", "wsgi", "--host", host, "--port", str(port), "--no-ws"]
    # More threads than cores is meant, they wait for commits; granian would warn of it at each start.
    size = ["--workers", str(workers), "--blocking-threads", str(threads), "--log-level", "error"]
    lasting = ["--respawn-failed-workers", "--workers-kill-timeout", "15"]
    web = processes.Process(
        "web",
        processes.python("-m", *granian, *size, *lasting, *tls, "tallystick.wsgi:application"),
        environ=environ,
    )
    others = [
        processes.Process(
            " ".join(command), processes.python("-m", "tallystick", *command), environ, essential=False
        )
        for command in beside
    ]
    scheme = "https" if tls else "http"
    shown = "localhost" if host in {"127.0.0.1", "0.0.0.0", "::", "::1"} else host  # noqa: S104

    def watch() -> None:
        _wait_until_ready(host, port, tls=bool(tls))
        ready(f"{scheme}://{shown}:{port}/")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        return processes.run([web, *others], say=ground.say)
    finally:
        shutil.rmtree(measures, ignore_errors=True)


def _wait_until_ready(host: str, port: int, *, tls: bool) -> None:
    """Ask `/readyz` until it says yes. A no that stays is told once, with what is missing."""
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    began, told = time.monotonic(), False
    while True:
        answer = _readiness(target, port, tls=tls)
        if answer.get("ready"):
            return
        if not told and time.monotonic() - began > READY_SECONDS_MAX:
            told = True
            missing = ", ".join(name for name, is_there in answer.items() if not is_there) or "no answer"
            ground.say(f"Not ready after {READY_SECONDS_MAX} s: {missing}")
        time.sleep(0.1)


def _readiness(host: str, port: int, *, tls: bool) -> dict[str, bool]:
    import ssl

    from django.conf import settings

    # Our own server on our own address: the certificate names the outside.
    context = ssl._create_unverified_context()  # noqa: S323
    connection = (
        http.client.HTTPSConnection(host, port, timeout=5, context=context)
        if tls
        else http.client.HTTPConnection(host, port, timeout=5)
    )
    known = [name for name in settings.ALLOWED_HOSTS if not name.startswith((".", "*"))]
    try:
        connection.request("GET", "/readyz", headers={"Host": known[0] if known else "localhost"})
        answer = json.loads(connection.getresponse().read())
        return answer if isinstance(answer, dict) else {}
    except (OSError, http.client.HTTPException, ValueError):
        return {}
    finally:
        connection.close()


def _free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--all", "everything", is_flag=True, help="Also every kill, fuzz and million-row test.")
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def test(*, everything: bool, pytest_arguments: tuple[str, ...]) -> None:
    """Run the quick gate: style, types, import contracts and every test that is not slow.

    With arguments, runs pytest alone, with them: `tallystick test tests/custody -k freeze`.
    """
    if not (ROOT / "tests").is_dir():
        raise click.ClickException("the tests come with a checkout of the repository, not with the package")
    os.chdir(ROOT)
    data = Path(os.environ.setdefault("TALLYSTICK_DATA", str(ROOT.parent / "shared" / "data"))).absolute()
    os.environ["TALLYSTICK_DATA"] = str(data)
    found = "found" if data.is_dir() else "not there: the tests that read it are skipped"
    click.echo(f"real data (TALLYSTICK_DATA): {data}, {found}")

    python = [sys.executable, "-P", "-m"]
    selection = [] if everything else ["-m", "not slow"]
    if pytest_arguments:
        sys.exit(subprocess.run([*python, "pytest", *selection, *pytest_arguments], check=False).returncode)

    failed = []
    for name, command in GATE.items():
        began = time.monotonic()
        done = subprocess.run([*python[:2], *command], capture_output=True, text=True, check=False)
        took = f"{time.monotonic() - began:.1f} s"
        if done.returncode == 0:
            click.echo(f"ok      {name} ({took})")
        else:
            failed.append(name)
            click.echo(f"FAILED  {name} ({took})\n{done.stdout}{done.stderr}")
    if failed:
        click.echo(f"failed before the tests: {', '.join(failed)}")
    # Last, so that the run closes with pytest's own count of passed, failed and skipped. A file's tests stay
    # together: many share what was set up for the first of them. One process more than there are cores, for
    # tests wait: for a database, a browser, another process.
    workers = ["-n", str(min((os.cpu_count() or 1) + 1, WORKERS_MAX)), "--dist", "loadfile"]
    tests = subprocess.run([*python, "pytest", *workers, *selection], check=False).returncode
    sys.exit(tests or bool(failed))


WORKERS_MAX = 4
"""The most processes that tests run in: each has databases and, at times, a server of its own."""

LINT_IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"

GATE = {
    "style (ruff check)": ["-m", "ruff", "check", "--quiet", "--output-format=concise", "."],
    "format (ruff format)": ["-m", "ruff", "format", "--check", "."],
    "import contracts (import-linter)": ["-c", LINT_IMPORTS, "--no-logo"],
    "types (mypy)": ["-m", "mypy"],
}
"""What is checked before the tests: a name, and what Python is called with."""

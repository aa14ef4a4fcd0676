"""The ground a command stands on: a running database server, Django set up, refusals told in a line.

Promises: whoever types `tallystick X` need not have started anything before; a refusal ends the command
with exit code 2 and one line (or, with `--json`, one JSON object), a fault with its traceback.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from tallystick.core import postgres

if TYPE_CHECKING:
    from tallystick.core import errors

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
book_option = click.option(
    "--book", type=click.IntRange(1, 899), help="The book; may be left out where there is one."
)
_VISIT = "tallystick.visit"


def stand(*, quiet: bool = False) -> postgres.Server:
    """The server runs, its database and roles are there, and models can be imported. Safe to repeat."""
    server = postgres.ensure(os.environ, notice=_silent if quiet else say)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tallystick.settings")
    import django

    django.setup()
    _visit()
    return server


def _visit() -> None:
    """From here to the command's end, what it does and reads enters the trail, with who types it."""
    context = click.get_current_context(silent=True)
    if context is None or _VISIT in context.meta:
        return
    from django.utils import timezone

    from tallystick.core.db import APP
    from tallystick.custody import parties
    from tallystick.evidence import visits
    from tallystick.identity import trail

    visit = visits.Visit(
        door="cli",
        operation=context.command_path,
        operator=os.environ.get("SUDO_USER") or getpass.getuser(),
        purpose=lambda: os.environ.get("TALLYSTICK_PURPOSE", ""),
        whose=parties.behind,
        privileged=trail.is_privileged,
    )
    context.meta[_VISIT] = visit
    context.with_resource(visits.during(visit))
    # Called before the visit itself ends: the last come is the first to go.
    context.call_on_close(
        lambda: trail.leave(APP, visit, changes=True, status=0, is_impersonal=False, now=timezone.now())
    )


def say(line: str) -> None:
    """Tell the person; the answer itself goes to standard output alone."""
    click.echo(line, err=True)


def book_of(book: int | None) -> int:
    """The book named, or the only one there is."""
    from tallystick.core.db import APP
    from tallystick.custody import books

    if book is not None:
        return books.book(APP, book).id
    there = books.books(APP)
    if len(there) != 1:
        raise click.UsageError(f"There are {len(there)} books: name one with --book.")
    return there[0].id


@contextlib.contextmanager
def refusals(*, as_json: bool = False) -> Iterator[None]:
    """Around a command's body: what was refused is said in one line, and the exit code is 2."""
    try:
        yield
    except Exception as failure:
        told = _told(failure)
        if told is None:
            raise
        code, message = told
        if as_json:
            click.echo(json.dumps({"refused": code, "detail": message}, ensure_ascii=False))
        else:
            say(message)
        sys.exit(2)


def _told(failure: Exception) -> tuple[str, str] | None:
    from tallystick.core import errors

    if isinstance(failure, errors.Refusal):
        return failure.code, _translated(failure.template(), failure)
    if isinstance(failure, postgres.Refusal):
        return failure.code, _translated(failure.template, failure)
    return None


def _translated(template: str, failure: errors.Refusal | postgres.Refusal) -> str:
    """A refusal in the language of the settings; in English where they could not be read.

    Whoever refuses may need no settings, or have been refused for them: then Django is not set up yet.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tallystick.settings")
    import django
    from django.core.exceptions import AppRegistryNotReady, ImproperlyConfigured
    from django.utils.translation import gettext

    try:
        django.setup()
        return gettext(template).format(**failure.fields)
    except (AppRegistryNotReady, ImproperlyConfigured, postgres.Refusal):
        return str(failure)


def _silent(_: str) -> None:
    pass

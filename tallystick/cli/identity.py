"""People at the command line: the first administrator, users, roles, and links that sign them in.

Whoever may run a command on the server acts as `system:cli`; every change is an event that says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from tallystick.cli import ground
from tallystick.core.db import APP

if TYPE_CHECKING:
    from tallystick.identity.models import User
    from tallystick.identity.roles import Role

ADDRESS = "http://localhost:8000"

_address = click.option(
    "--address",
    default=ADDRESS,
    show_default=True,
    envvar="TALLYSTICK_ADDRESS",
    help="Where the pages are served.",
)
_minutes = click.option(
    "--minutes",
    default=15,
    show_default=True,
    type=click.IntRange(1, 24 * 60),
    help="How long the link works.",
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")


@click.group()
def identity() -> None:
    """Users, their roles, and links that sign them in."""


@identity.command("create-administrator")
@click.argument("username")
@click.option("--name", default="", help="The person's name, as pages show it.")
@click.option(
    "--password", "ask_password", is_flag=True, help="Ask for a password; else print a sign-in link."
)
@_address
@_minutes
@_json
def create_administrator(
    *, username: str, name: str, ask_password: bool, address: str, minutes: int, as_json: bool
) -> None:
    """Make the first administrator, who can then give others their roles."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.identity import users

        password = _asked_password() if ask_password else None
        user = users.create_administrator(
            APP, username, name=name or username, password=password, actor=_cli(), now=_now()
        )
        link = "" if password else _link(user, address=address, minutes=minutes)
        _tell(as_json, {"user": user.reference, "username": username, "link": link}, link or user.reference)


@identity.command("create-user")
@click.argument("username")
@click.option("--name", default="", help="The person's name, as pages show it.")
@click.option(
    "--customer-number", default=None, help="The client this person is; needed for the role customer."
)
@click.option("--email", default="")
@click.option("--password", "ask_password", is_flag=True, help="Ask for a password.")
@_json
def create_user(
    *, username: str, name: str, customer_number: str | None, email: str, ask_password: bool, as_json: bool
) -> None:
    """Make an account. It may do nothing until it is granted a role."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.identity import users

        user = users.create(
            APP,
            username,
            name=name or username,
            customer_number=customer_number,
            email=email,
            password=_asked_password() if ask_password else None,
            actor=_cli(),
            now=_now(),
        )
        _tell(as_json, {"user": user.reference, "username": username}, user.reference)


@identity.command()
@click.argument("username")
@click.argument("role")
@click.option("--reason", required=True, help="Why. It stays on record.")
@_json
def grant(*, username: str, role: str, reason: str, as_json: bool) -> None:
    """Give a user a role."""
    _change("grant", username, role, reason, as_json=as_json)


@identity.command()
@click.argument("username")
@click.argument("role")
@click.option("--reason", required=True, help="Why. It stays on record.")
@_json
def withdraw(*, username: str, role: str, reason: str, as_json: bool) -> None:
    """Take a role from a user."""
    _change("withdraw", username, role, reason, as_json=as_json)


@identity.command("sign-in-link")
@click.argument("username")
@_address
@_minutes
@_json
def sign_in_link(*, username: str, address: str, minutes: int, as_json: bool) -> None:
    """Print a link that signs this user in, once."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        user = _user(username)
        link = _link(user, address=address, minutes=minutes)
        _tell(as_json, {"user": user.reference, "username": username, "link": link}, link)


@identity.command("list")
@_json
def list_users(*, as_json: bool) -> None:
    """Everyone who can sign in, with their roles."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.identity import users

        people = users.people(APP, actor=_cli())
        if as_json:
            rows = [
                {
                    "user": person.reference,
                    "username": person.username,
                    "customer_number": person.customer_number,
                    "active": person.is_active,
                    "roles": sorted(person.roles),
                }
                for person in people
            ]
            click.echo(json.dumps({"users": rows}, ensure_ascii=False))
        else:
            for person in people:
                click.echo(f"{person.reference}\t{person.username}\t{', '.join(sorted(person.roles)) or '-'}")


@identity.group("api-token")
def api_token() -> None:
    """Tokens with which programs use the API as one person."""


@api_token.command("issue")
@click.argument("username")
@click.option("--name", required=True, help="What the token is for. It stays on record.")
@click.option(
    "--role",
    "only",
    multiple=True,
    help="Only this role of the user's; may be given several times. Else whatever the user holds.",
)
@click.option(
    "--days", default=90, show_default=True, type=click.IntRange(1, 366), help="How long the token works."
)
@_json
def issue_api_token(*, username: str, name: str, only: tuple[str, ...], days: int, as_json: bool) -> None:
    """Print a new token, once. It is kept nowhere: only its hash is."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.identity import api_tokens

        user = _user(username)
        token = api_tokens.issue(
            APP,
            user.pk,
            name,
            roles={_role(each) for each in only} or None,
            life=timedelta(days=days),
            actor=_cli(),
            now=_now(),
        )
        _tell(as_json, {"user": user.reference, "username": username, "api_token": token}, token)


@api_token.command("revoke")
@click.argument("token_id", metavar="TOK_ID")
@click.option("--reason", required=True, help="Why. It stays on record.")
@_json
def revoke_api_token(*, token_id: str, reason: str, as_json: bool) -> None:
    """End a token, named by its id (tok_…), before its time."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.identity import api_tokens

        digits = token_id.removeprefix("tok_")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
            raise click.BadParameter("tok_ and a number, as `api-token list` shows it", param_hint="TOK_ID")
        api_tokens.revoke(APP, int(digits), reason, actor=_cli(), now=_now())
        _tell(as_json, {"revoked": f"tok_{digits}"}, f"tok_{digits}")


@api_token.command("list")
@_json
def list_api_tokens(*, as_json: bool) -> None:
    """Every token there ever was, the newest first; never the secret itself."""
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.identity import api_tokens

        rows = [
            {
                "api_token": token.reference,
                "username": token.username,
                "name": token.name,
                "roles": None if token.roles is None else sorted(token.roles),
                "issued_by": token.issued_by,
                "issued_at": token.issued_at.isoformat(),
                "expires_at": token.expires_at.isoformat(),
                "revoked_at": token.revoked_at.isoformat() if token.revoked_at else None,
            }
            for token in api_tokens.tokens(APP, actor=_cli())
        ]
        if as_json:
            click.echo(json.dumps({"api_tokens": rows}, ensure_ascii=False))
        for row in () if as_json else rows:
            state = f"revoked {row['revoked_at']}" if row["revoked_at"] else f"until {row['expires_at']}"
            click.echo(f"{row['api_token']}\t{row['username']}\t{row['name']}\t{state}")


def _role(text: str) -> Role:
    from tallystick.identity.roles import GRANTABLE, Role

    if text not in {known.value for known in GRANTABLE}:
        raise click.BadParameter(f"one of: {', '.join(sorted(GRANTABLE))}", param_hint="ROLE")
    return Role(text)


def _change(verb: str, username: str, role: str, reason: str, *, as_json: bool) -> None:
    with ground.refusals(as_json=as_json):
        ground.stand(quiet=as_json)
        from tallystick.identity import users

        known = _role(role)
        action: Callable[..., None] = {"grant": users.grant, "withdraw": users.withdraw}[verb]
        user = _user(username)
        action(APP, user.pk, known, reason=reason, actor=_cli(), now=_now())
        held = sorted(users.roles(APP, user.pk))
        _tell(as_json, {"user": user.reference, "username": username, "roles": held}, ", ".join(held) or "-")


def _user(username: str) -> User:
    from tallystick.identity import users

    user = users.find(APP, username)
    if user is None:
        raise click.BadParameter(f"nobody is called {username}", param_hint="USERNAME")
    return user


def _link(user: User, *, address: str, minutes: int) -> str:
    from django.urls import reverse

    from tallystick.identity import sign_in

    token = sign_in.issue(APP, user.pk, life=timedelta(minutes=minutes), actor=_cli(), now=_now())
    return address.rstrip("/") + reverse("sign-in-link", args=[token])


def _asked_password() -> str:
    from django.contrib.auth.password_validation import validate_password
    from django.core.exceptions import ValidationError

    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    try:
        validate_password(password)
    except ValidationError as weak:
        raise click.BadParameter(" ".join(weak.messages), param_hint="password") from weak
    return password


def _cli() -> Any:
    from tallystick.identity.access import Actor

    return Actor.system("cli")


def _now() -> datetime:
    return datetime.now(UTC)


def _tell(as_json: bool, answer: dict[str, Any], line: str) -> None:
    click.echo(json.dumps(answer, ensure_ascii=False) if as_json else line)

"""A browser without a browser: Django's client over https, with the settings as they are deployed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.test import Client

from tallystick.core.db import APP
from tallystick.identity import users
from tallystick.identity.access import Actor
from tallystick.identity.roles import Role

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
CLI = Actor.system("cli")
BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


class SecureClient(Client):
    """Speaks https, as a browser does with a deployed house."""

    def generic(self, *arguments, **other):  # type: ignore[no-untyped-def]
        return super().generic(*arguments, **{**other, "secure": True})


def signed_in(name: str, language: str = "en") -> SecureClient:
    """A browser of this user's, who is there already."""
    client = SecureClient(SERVER_NAME="localhost", headers={"Accept-Language": language})
    client.force_login(users.find(APP, name), backend=BACKEND)
    return client


def page(client: Client, path: str, status: int = 200) -> str:
    """What is at this address, answered with this status."""
    answer = client.get(path)
    assert answer.status_code == status, (path, answer.content[:300])
    return answer.content.decode()


@pytest.fixture
def client() -> Client:
    return SecureClient(SERVER_NAME="localhost", headers={"Accept-Language": "en"})


@pytest.fixture
def sign_in(client):
    """Makes a user of this role and signs them in."""

    def of_role(role: Role | None, *, customer_number: str | None = None) -> Client:
        name = (role or "nobody").replace("_", "-")
        user = users.create(APP, name, name=name, customer_number=customer_number, actor=CLI, now=NOW)
        if role is not None:
            users.grant(APP, user.pk, role, reason="A test.", actor=CLI, now=NOW)
        client.force_login(user, backend=BACKEND)
        return client

    return of_role

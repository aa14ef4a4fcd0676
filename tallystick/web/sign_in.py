"""Signing in: allauth's password page with our rules, and the one-time links."""

from __future__ import annotations

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest


class Adapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Nobody signs up by themselves: accounts are made by an administrator, with a reason on record."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

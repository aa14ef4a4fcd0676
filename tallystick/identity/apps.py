"""Django's entry for this floor."""

from django.apps import AppConfig


class IdentityConfig(AppConfig):
    name = "tallystick.identity"
    label = "identity"

"""Custody's place among the Django apps."""

from django.apps import AppConfig


class CustodyConfig(AppConfig):
    name = "tallystick.custody"
    label = "custody"
    default_auto_field = "django.db.models.BigAutoField"

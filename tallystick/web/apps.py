"""Django's entry for the pages. They have no tables."""

from django.apps import AppConfig


class WebConfig(AppConfig):
    name = "tallystick.web"
    label = "web"

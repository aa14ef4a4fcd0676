"""Django's entry for this floor."""

from django.apps import AppConfig


class EvidenceConfig(AppConfig):
    name = "tallystick.evidence"
    label = "evidence"

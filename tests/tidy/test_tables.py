"""Tables equal migrations: what models.py says is what the migrations make."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState, ProjectState

from tests.tidy.source import DOMAINS


def drift(state: ProjectState) -> dict[str, list[str]]:
    """What a new migration would hold, for each of our apps."""
    loader = MigrationLoader(None)
    changes = MigrationAutodetector(loader.project_state(), state).changes(graph=loader.graph)
    return {
        label: [operation.describe() for migration in migrations for operation in migration.operations]
        for label, migrations in changes.items()
        if label in DOMAINS
    }


def test_models_equal_migrations() -> None:
    assert drift(ProjectState.from_apps(apps)) == {}


def test_a_changed_model_is_noticed() -> None:
    state = ProjectState.from_apps(apps)
    changed: ModelState = state.models["evidence", "outbox"]
    changed.fields.pop("commitment")
    assert drift(state)["evidence"] == ["Remove field commitment from outbox"]


@pytest.mark.parametrize("label", DOMAINS)
def test_every_table_has_a_comment(label: str) -> None:
    """An auditor reads the tables in PostgreSQL, without this code."""
    if not apps.is_installed(f"tallystick.{label}"):
        pytest.skip(f"{label} is not installed")
    models = apps.get_app_config(label).get_models()
    assert [model.__name__ for model in models if not model._meta.db_table_comment] == []

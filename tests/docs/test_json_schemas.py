"""Every answer in JSON has a schema, versioned, and the house's own answers keep to theirs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from scripts import docs
from tests.tidy.source import ROOT

SCHEMAS = ROOT / "docs" / "reference" / "schemas"


def schema(name: str) -> dict[str, Any]:
    return json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))


def test_every_command_with_json_has_a_schema_and_every_schema_a_command() -> None:
    there = {path.stem for path in SCHEMAS.glob("*.json")}
    wanted = set(docs.with_json().values()) | {"refusal"}
    assert {"missing": wanted - there, "idle": there - wanted} == {"missing": set(), "idle": set()}


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.stem)
def test_a_schema_is_valid_and_says_its_version(path: Path) -> None:
    text = schema(path.stem)
    Draft202012Validator.check_schema(text)
    assert text["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert re.fullmatch(rf"urn:tallystick:schema:{path.stem}:[1-9]\d*", text["$id"])
    assert text["title"]
    assert text["description"]
    # Every field says what it is, so that the schema is a manual too.
    silent = [name for name, field in text.get("properties", {}).items() if "description" not in field]
    assert silent == []


def answer(*words: str, environ: dict[str, str]) -> tuple[int, Any]:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tallystick", *words, "--json"],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("check", ["check"]),
        ("migrate", ["migrate"]),
        ("postgres-start", ["postgres", "start"]),
        ("postgres-status", ["postgres", "status"]),
    ],
)
def test_an_answer_keeps_to_its_schema(name: str, words: list[str], ledger_database: Any) -> None:
    _, told = answer(*words, environ=ledger_database.environ)
    Draft202012Validator(schema(name)).validate(told)


def test_a_refusal_keeps_to_its_schema(tmp_path: Path) -> None:
    code, told = answer("check", environ={"TALLYSTICK_HOME": str(tmp_path), "DATABASE_URL": "mysql://x"})
    assert code == 2
    Draft202012Validator(schema("refusal")).validate(told)

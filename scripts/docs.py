"""Writes the pages of the manual that say what the code says: run it, and commit what it wrote.

`python scripts/docs.py` with the environment's Python. `tests/docs` fails while a page differs from what
this would write.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tallystick"
SCHEMAS = ROOT / "docs" / "reference" / "schemas"

WRITTEN = "<!-- Written by scripts/docs.py. Change the code it reads, and run it again. -->"


def floors() -> list[list[str]]:
    """The floors from the top down, as the import contract has them; side by side where it says so."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["id"] == "floors")
    return [[name.strip(" ()") for name in layer.replace("|", ":").split(":")] for layer in layers]


def summary(path: Path) -> str:
    """The first paragraph of a module's docstring, on one line."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(docstring.partition("\n\n")[0].split())


def map_page() -> str:
    """`docs/map.md`: a line for every module, from the top floor down."""
    lines = [
        "# Map",
        "",
        WRITTEN,
        "",
        "Every module in a line, from the top floor down. A floor imports only floors below it, and what",
        "stands side by side knows nothing of one another; `tests/tidy/test_contracts.py` says so.",
    ]
    for layer in floors():
        for floor in layer:
            file, directory = PACKAGE / f"{floor}.py", PACKAGE / floor
            if file.exists():
                lines += ["", f"## {floor}.py", "", summary(file)]
            elif (directory / "__init__.py").exists():
                lines += ["", f"## {floor}/", "", summary(directory / "__init__.py"), ""]
                lines += list(_modules(directory))
    return "\n".join([*lines, ""])


def _modules(directory: Path) -> Iterator[str]:
    for path in sorted(directory.rglob("*.py")):
        told = path.relative_to(directory)
        if "migrations" in told.parts or told == Path("__init__.py") or path.name == "apps.py":
            continue
        name = f"{told.parent}/" if path.name == "__init__.py" else str(told)
        yield f"- [`{name}`](../{path.relative_to(ROOT)}): {summary(path)}"


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with its whole name, groups before what is in them."""
    from tallystick import cli

    # A help text names defaults and choices; none of them may depend on the machine.
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tallystick.settings")
    yield "tallystick", cli.main
    context = click.Context(cli.main)
    for name in cli.main.list_commands(context):
        command = cli.main.get_command(context, name)
        assert command is not None
        yield from _below(f"tallystick {name}", command)


def _below(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if command.hidden:
        return
    yield name, command
    if isinstance(command, click.Group):
        # Asked for by name: a group may find commands in files that nobody has read yet.
        context = click.Context(command)
        for child in command.list_commands(context):
            below = command.get_command(context, child)
            assert below is not None
            yield from _below(f"{name} {child}", below)


def cli_page() -> str:
    """`docs/reference/cli.md`: what `--help` says, for every command."""
    lines = [
        "# Commands",
        "",
        WRITTEN,
        "",
        "From a checkout, `./tally X` is `tallystick X` in an environment of its own. A command answers on",
        "standard output and talks on standard error. Exit codes: 0 done, 1 done and found wanting, 2",
        "refused, with a line that says why. Answers with `--json` have a [schema](json-schemas.md).",
    ]
    for name, command in commands():
        context = click.Context(
            command,
            info_name=name,
            terminal_width=100,
            max_content_width=100,
            help_option_names=["-h", "--help"],
        )
        # A command keeps the help option of whoever called it first: a test, say, in another context.
        if hasattr(command, "_help_option"):
            command._help_option = None
        lines += ["", f"## {name}", "", "```text", command.get_help(context), "```"]
    return "\n".join([*lines, ""])


def with_json() -> dict[str, str]:
    """Each command that has `--json`, and the name of the schema of its answer."""
    return {
        name: name.removeprefix("tallystick ").replace(" ", "-")
        for name, command in commands()
        if any("--json" in parameter.opts for parameter in command.params)
    }


def schemas_page() -> str:
    """`docs/reference/json-schemas.md`: every answer in JSON, and where its schema is."""
    lines = [
        "# Answers in JSON",
        "",
        WRITTEN,
        "",
        "Each command with `--json` prints one JSON document on standard output, and it has a JSON Schema",
        "(2020-12). The number at the end of a schema's `$id` is its version: a new field keeps it, a",
        "removed or changed one raises it. Whoever reads an answer should let unknown fields pass. What is",
        "refused, with exit code 2, is told as in [refusal](schemas/refusal.json).",
        "",
        "| Command | Schema | Says |",
        "| --- | --- | --- |",
    ]
    for name, schema in with_json().items():
        path = SCHEMAS / f"{schema}.json"
        title = json.loads(path.read_text())["title"] if path.exists() else ""
        lines.append(f"| `{name} --json` | [{schema}](schemas/{schema}.json) | {title} |")
    return "\n".join([*lines, ""])


def refusals_page() -> str:
    """`docs/reference/refusals.md`: every refusal in order of precedence, in both languages."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tallystick.settings")
    import django
    from django.utils import translation

    django.setup()
    lines = [
        "# Refusals 拒绝原因",
        "",
        WRITTEN,
        "",
        "What can be refused, and in which order it is looked for: where several reasons hold, the first in",
        "its list is the one that is told. The code is what the API and the files say; the text is what a",
        "person reads.",
    ]
    for module, listed in refusals():
        lines += ["", f"## {module.removeprefix('tallystick.').removesuffix('.errors')}", ""]
        lines += ["| Code | English | 中文 |", "| --- | --- | --- |"]
        for code, template in listed:
            with translation.override("zh-hans"):
                chinese = translation.gettext(template)
            lines.append(f"| `{code}` | {_cell(template)} | {_cell(chinese)} |")
    return "\n".join([*lines, ""])


def refusals() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Each errors.py with its refusals, code and English text, in the order they are written."""
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sorted(PACKAGE.rglob("errors.py"), key=lambda path: str(path.parent))
        if path.relative_to(PACKAGE).parts[0] in {"api", "custody", "identity", "evidence", "core"}
    ]
    for name in names:
        # All of them, before any is asked what is derived from it.
        importlib.import_module(name)
    for name in names:
        found = [
            (snake(value.__name__), " ".join(inspect.cleandoc(value.__doc__ or "").split()))
            for value in vars(importlib.import_module(name)).values()
            # What others are derived from is no reason itself.
            if isinstance(value, type) and value.__module__ == name and not value.__subclasses__()
            if any(base.__name__ == "Refusal" for base in value.__mro__)
        ]
        if found:
            yield name, found


def snake(name: str) -> str:
    """`AccessDenied` as codes have it: `access_denied`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def decisions_page() -> str:
    """`docs/decisions/README.md`: the records, by number."""
    lines = [
        "# Decisions",
        "",
        WRITTEN,
        "",
        "Why things are as they are, one page each: what was asked, what was chosen, what was seen that",
        "spoke for it, and what would change our mind. A record is not rewritten when we learn better; a",
        "new one replaces it and says so. Start from the [template](template.md).",
        "",
        "Numbers: 0001 to 0099 for the house, 0100 to 0199 for custody, 0200 to 0299 for identity and",
        "evidence.",
        "",
    ]
    for path in sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md")):
        title = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        lines.append(f"- [{title}]({path.name})")
    return "\n".join([*lines, ""])


def openapi_document() -> str:
    """`docs/reference/openapi.json`: the API's own description of itself."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tallystick.settings")
    import django

    django.setup()
    from tallystick.api import urls

    return urls.document_bytes().decode()


PAGES: dict[str, Callable[[], str]] = {
    "docs/decisions/README.md": decisions_page,
    "docs/map.md": map_page,
    "docs/reference/cli.md": cli_page,
    "docs/reference/json-schemas.md": schemas_page,
    "docs/reference/openapi.json": openapi_document,
    "docs/reference/refusals.md": refusals_page,
}


if __name__ == "__main__":
    for page, text in PAGES.items():
        (ROOT / page).write_text(text(), encoding="utf-8")
        click.echo(page)

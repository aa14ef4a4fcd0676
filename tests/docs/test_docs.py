"""The docs tell the truth: links lead somewhere, commands exist, lists are whole."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click
import pytest
from django.utils import translation

from scripts import docs
from tallystick import __version__
from tallystick.cli import main
from tests.docs.pages import anchors, broken, commands, links, pages
from tests.tidy import rules
from tests.tidy.source import DOMAINS, ROOT, Module, dotted, modules, strings

GLOSSARY = ROOT / "docs" / "glossary.md"
SETTING = re.compile(r"\b(?:TALLYSTICK_[A-Z0-9_]*[A-Z0-9]|DATABASE_URL)\b")


def test_every_link_leads_somewhere() -> None:
    found = [each for path in pages() for each in broken(path, path.read_text(encoding="utf-8"))]
    assert found == []


def test_the_link_checker_finds_a_missing_page_and_a_missing_heading(tmp_path: Path) -> None:
    page = ROOT / "README.md"
    assert list(broken(page, "[a](docs/nowhere.md) [b](docs/start.md#nothing-here)")) != []
    assert list(broken(page, "[b](docs/start.md#see-it-run) [c](https://example.org) `[d](e.md)`")) == []
    assert anchors("# Start here\n\n## Who, and why?\n") == {"start-here", "who-and-why"}


def test_every_page_can_be_reached_from_the_first_one() -> None:
    reached, left = set(), [ROOT / "README.md"]
    while left:
        page = left.pop()
        reached.add(page)
        for link in links(page.read_text(encoding="utf-8")):
            to = (page.parent / link.partition("#")[0]).resolve()
            if to.suffix == ".md" and to.exists() and to not in reached:
                left.append(to)
    alone = {str(path.relative_to(ROOT)) for path in pages()} - {
        str(path.relative_to(ROOT)) for path in reached
    }
    assert alone == set()


def test_every_page_that_the_code_names_is_there() -> None:
    named = {
        (module.path, page)
        for module in modules()
        for page in re.findall(r"\bdocs/[\w/-]+\.md\b", module.text)
    }
    assert {each for each in named if not (ROOT / each[1]).exists()} == set()


def refused(words: list[str]) -> str | None:
    """Why the command line would not take these words, without running them."""
    command: click.Command = main
    context = click.Context(main, info_name="tallystick")
    rest = list(words)
    while isinstance(command, click.Group):
        if not rest or rest[0].startswith("-"):
            break
        name = rest.pop(0)
        child = command.get_command(context, name)
        if child is None:
            return f"there is no command {name}"
        command, context = child, click.Context(child, parent=context, info_name=name)
    known = {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    known |= set(context.help_option_names)
    if command.ignore_unknown_options:
        return None
    for word in rest[: rest.index("--")] if "--" in rest else rest:
        if word.startswith("--") and word.partition("=")[0] not in known:
            return f"{command.name} has no option {word}"
    return None


def test_every_command_in_the_docs_exists() -> None:
    wrong = []
    for path in pages():
        for words in commands(path.read_text(encoding="utf-8")):
            if why := refused(words):
                wrong.append(f"{path.relative_to(ROOT)}: {' '.join(words)}: {why}")
    assert wrong == []


def test_the_command_checker_reads_blocks_and_finds_what_is_not_there() -> None:
    text = (
        "```sh\nTALLYSTICK_HOME=/x ./tally check --json | jq .  # see\n```\n"
        "```console\n$ tallystick nowhere\nout\n```\n"
    )
    assert list(commands(text)) == [["check", "--json"], ["nowhere"]]
    assert refused(["check", "--json"]) is None
    assert refused(["nowhere"]) == "there is no command nowhere"
    assert refused(["check", "--loudly"]) == "check has no option --loudly"


@pytest.mark.parametrize("written", docs.PAGES)
def test_what_is_written_from_the_code_is_current(written: str) -> None:
    assert (ROOT / written).read_text(encoding="utf-8") == docs.PAGES[written](), "run scripts/docs.py"


def test_the_manual_lists_every_setting_and_no_other() -> None:
    listed = set(
        re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs/reference/settings.md").read_text(), re.MULTILINE)
    )
    used = {
        name for module in modules() for _, text in strings(module.tree) for name in SETTING.findall(text)
    }
    # `environ["TALLYSTICK_X"]` is a string; the script at the root and the tests' data have their own.
    used |= set(SETTING.findall((ROOT / "tally").read_text()))
    # The same setting, as a file.
    used = {name.removesuffix("_FILE") if name.removesuffix("_FILE") in listed else name for name in used}
    assert {"missing": used - listed, "idle": listed - used} == {"missing": set(), "idle": set()}


def terms() -> dict[str, str]:
    rows = re.findall(
        r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", GLOSSARY.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {english.strip(): chinese.strip() for english, chinese, _ in rows}


def test_the_glossary_has_every_term_in_both_languages() -> None:
    for english, chinese in terms().items():
        if english in {"English", "---"}:
            continue
        assert re.search(r"[\u4e00-\u9fff]", chinese), f"{english} has no Chinese"


def test_every_table_is_a_noun_of_the_glossary() -> None:
    known = {term.lower().replace("-", " ") for term in terms()}
    nouns = {
        name.removeprefix(f"{domain}_").replace("_", " ")
        for module in modules(*DOMAINS)
        for name, domain in rules.tables_of(module).items()
    }
    missing = {noun for noun in nouns if noun not in known and noun not in {"cache"}}
    assert missing == set()


def test_every_refusal_is_told_in_both_languages() -> None:
    silent = []
    for module, listed in docs.refusals():
        for code, template in listed:
            with translation.override("zh-hans"):
                chinese = translation.gettext(template)
            if not template or chinese == template or set(fields(template)) != set(fields(chinese)):
                silent.append(f"{module}: {code}")
    assert silent == []


def fields(template: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", template)


def test_the_manual_lists_every_kind_of_event_and_no_other() -> None:
    page = (ROOT / "docs/reference/events.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `([a-z]+\.[a-z_]+)` \|", page, re.MULTILINE))
    told = {kind for module in modules(*DOMAINS) for kind in kinds(module)}
    assert {"missing": told - listed, "idle": listed - told} == {"missing": set(), "idle": set()}


def kinds(module: Module) -> set[str]:
    """The kinds of event a module writes: what it hands to `log.append` or `log.row`, by name or as it is."""
    named = {
        dotted(target): node.value.value
        for node in module.tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
    }
    found = set()
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call) or not dotted(node.func).endswith(("log.append", "log.row")):
            continue
        given = [*node.args, *(keyword.value for keyword in node.keywords)][:2]
        # A choice between two kinds is two kinds.
        given += [part for each in given if isinstance(each, ast.IfExp) for part in (each.body, each.orelse)]
        values = [each.value if isinstance(each, ast.Constant) else named.get(dotted(each)) for each in given]
        found |= {value for value in values if isinstance(value, str)}
    return found


def test_the_changelog_knows_this_version_or_the_next() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{__version__}]" in text or "## [Unreleased]" in text

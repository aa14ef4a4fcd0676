"""The house rules, each a function from a module to its violations: `path:line what`."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping

from tests.tidy.source import DOMAINS, Function, Module, dotted, functions, strings

FUNCTION_LINES_MAX = 70

CLOCK_AND_CHANCE = re.compile(
    r"""
    (.*\.)?(datetime|date)\.(now|utcnow|today)
    | (.*\.)?timezone\.(now|localtime|localdate)
    | time\.(time|time_ns|monotonic|monotonic_ns|perf_counter|perf_counter_ns|sleep|localtime|gmtime)
    | random\..* | secrets\..* | (np|numpy)\.random\..* | os\.urandom
    | (uuid\.)?uuid[1467]
    """,
    re.VERBOSE,
)

KIND_NAMES = {"base", "common", "handlers", "helpers", "managers", "misc", "services", "shared", "tasks"}
KIND_NAMES |= {"signals", "util", "utils", "views"} | {"handler", "helper", "manager", "service"}

NOT_HERE = {
    "django.db.models.signals": "a step between domains is a row, not a signal",
    "django.dispatch": "a step between domains is a row, not a signal",
    "django.views.generic": "no generic views: a door parses, calls one action or read, and renders",
    "ninja.Schema": "nested ninja.Schema costs twice: bodies are plain pydantic models",
}


def no_docstring(module: Module) -> Iterator[str]:
    """Every module says what it is."""
    if not ast.get_docstring(module.tree) and not module.is_migration:
        yield f"{module.path}:1 has no docstring"


def undocumented(module: Module) -> Iterator[str]:
    """Every public function and class of a domain says what it does in a sentence.

    Not one whose body is a single expression: there the name is the sentence.
    """
    if module.is_migration or module.path.endswith("/apps.py"):
        return
    for node in module.tree.body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node) and not (len(node.body) == 1 and isinstance(node.body[0], ast.Return)):
            yield f"{module.path}:{node.lineno} {node.name} has no docstring"


def kind_named(module: Module) -> Iterator[str]:
    """A file is named after a thing, never after a kind of code: kind-named files grow."""
    names = {part.removesuffix(".py") for part in module.path.split("/")}
    for name in sorted(names & KIND_NAMES):
        yield f"{module.path}:1 is named after a kind of code ({name}), not after a thing"


def clock_or_chance(module: Module) -> Iterator[str]:
    """`now` and a seed are arguments: nothing in a domain looks at the clock or draws at random."""
    imported = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            imported |= {(alias.asname or alias.name): f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(module.tree):
        # Also what is handed on without being called: `default=timezone.now`.
        if isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load):
            name = dotted(node)
            first, _, rest = name.partition(".")
            full = ".".join(filter(None, (imported.get(first, first), rest)))
            if CLOCK_AND_CHANCE.fullmatch(name) or CLOCK_AND_CHANCE.fullmatch(full):
                yield f"{module.path}:{node.lineno} {name}"


def signature(module: Module) -> Iterator[str]:
    """The signature tells the kind: `db` comes first and is a `Db`; `actor` and `now` are keyword-only."""
    if module.is_migration:
        return
    for name, function in functions(module.tree):
        arguments = function.args
        plain = [*arguments.posonlyargs, *arguments.args]
        if "." in name and plain and plain[0].arg in {"self", "cls"}:
            plain = plain[1:]
        everything = [*plain, *arguments.kwonlyargs]
        where = f"{module.path}:{function.lineno} {name}"
        for argument in everything:
            if argument.arg == "db":
                if not plain or plain[0] is not argument:
                    yield f"{where}: `db` is not its first argument"
                if argument.annotation is None or dotted(argument.annotation).split(".")[-1] != "Db":
                    yield f"{where}: `db` is not annotated as a Db"
        if not name.split(".")[-1].startswith("_") and any(each.arg == "db" for each in everything):
            for argument in plain:
                if argument.arg in {"actor", "now"}:
                    yield f"{where}: `{argument.arg}` is not keyword-only"


def hidden_database(module: Module) -> Iterator[str]:
    """What touches a database says so: only a function that takes `db` may reach one.

    Or a method of an object that was made with one: there it is `self.db`.
    """
    if module.is_migration:
        return
    inside: set[ast.AST] = set()
    for _, function in functions(module.tree):
        arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        if any(argument.arg == "db" for argument in arguments):
            inside |= set(ast.walk(function))
    for node in ast.walk(module.tree):
        if node in inside:
            continue
        if (
            isinstance(node, ast.Subscript)
            and dotted(node.value) == "connections"
            and dotted(node.slice) != "self.db"
        ):
            yield f"{module.path}:{node.lineno} reaches connections[…] outside a function that takes `db`"
        if isinstance(node, ast.Attribute) and node.attr == "objects" and isinstance(node.ctx, ast.Load):
            yield f"{module.path}:{node.lineno} reads .objects outside a function that takes `db`"


def inexact(module: Module) -> Iterator[str]:
    """Money is whole minor units: no floats, no division that makes one."""
    inside: dict[ast.AST, str] = {}
    for name, function in functions(module.tree):
        inside |= dict.fromkeys(ast.walk(function), name)
    seconds = {part for node in ast.walk(module.tree) for part in _about_seconds(node)}
    for node in ast.walk(module.tree):
        if node in seconds:
            continue
        what = None
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            what = f"the float {node.value}"
        elif isinstance(node, ast.Name) and node.id == "float":
            what = "float"
        elif isinstance(node, ast.Attribute) and node.attr in {"FloatField", "float32", "float64"}:
            what = node.attr
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            what = "/"
        if what:
            yield f"{module.path}:{node.lineno} {inside.get(node, '<module>')} has {what}"


def _about_seconds(node: ast.AST) -> Iterator[ast.AST]:
    """What is named as seconds is a length of time, and no money: `SECONDS_MAX: float = 0.5`."""
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        named = " ".join(dotted(target) for target in targets)
    elif isinstance(node, ast.keyword | ast.arg):
        named = node.arg or ""
    else:
        return
    if "seconds" in named.lower() or "timeout" in named.lower():
        yield from ast.walk(node)


def foreign_tables(module: Module, tables: Mapping[str, str]) -> Iterator[str]:
    """A table is named only in its own domain: import contracts cannot see into SQL."""
    for line, text in strings(module.tree):
        for name in re.findall(r"\b[a-z][a-z0-9_]+\b", text):
            if tables.get(name, module.floor) != module.floor:
                yield f"{module.path}:{line} names {name}, a table of {tables[name]}"


def tables_of(module: Module) -> dict[str, str]:
    """The tables a module makes: by a model's `db_table`, or by SQL in a migration."""
    if module.floor not in DOMAINS:
        return {}
    found = set()
    for node in ast.walk(module.tree):
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Constant)
            and any(dotted(target) == "db_table" for target in node.targets)
        ):
            found.add(str(node.value.value))
    if module.is_migration:
        for _, text in strings(module.tree):
            found |= set(
                re.findall(r"create\s+(?:unlogged\s+)?table\s+([a-z0-9_]+)\s*\(", text, re.IGNORECASE)
            )
    return dict.fromkeys(found, module.floor)


def long_functions(module: Module, allowed: Mapping[str, int]) -> Iterator[str]:
    """A function fits on a screen; the few that may be longer may not grow."""
    if module.is_migration:
        return
    for name, function in functions(module.tree):
        assert function.end_lineno is not None
        lines = function.end_lineno - function.lineno + 1
        most = allowed.get(f"{module.path}:{name}", FUNCTION_LINES_MAX)
        if lines > most:
            yield f"{module.path}:{function.lineno} {name} has {lines} lines, and may have {most}"


def not_here(module: Module, banned: Mapping[str, str] = NOT_HERE) -> Iterator[str]:
    """What the house does without."""
    for node in ast.walk(module.tree):
        names: Collection[str] = ()
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            for one, why in banned.items():
                if name == one or name.startswith(f"{one}."):
                    yield f"{module.path}:{node.lineno} imports {name}: {why}"

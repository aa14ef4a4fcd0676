"""What the tidy tests read: the package's own files, parsed once."""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "tallystick"

DOMAINS = ("custody", "identity", "evidence")
"""From the top floor down. `core` below them has no tables."""

DOORS = ("cli", "web", "api", "simulation")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A Python file: where it is, what it says, and its tree."""

    path: str
    text: str

    @functools.cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def floor(self) -> str:
        """The part of the package it is in: `custody`, or `settings` for settings.py."""
        return Path(self.path).parts[1].removesuffix(".py")

    @property
    def is_migration(self) -> bool:
        return "/migrations/" in self.path


@functools.cache
def modules(*floors: str) -> tuple[Module, ...]:
    """The package's modules, or those of some floors, in the order of their paths."""
    found = [
        Module(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    ]
    return tuple(module for module in found if not floors or module.floor in floors)


@functools.cache
def tracked() -> tuple[Path, ...]:
    """Every file that git keeps, as it lies in the work tree; all files where there is no git."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        return tuple(path for path in ROOT.rglob("*") if path.is_file() and ".venv" not in path.parts)
    return tuple(path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file())


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    """Every function with its dotted name inside the module, methods and inner ones too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name, node
            yield from functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{prefix}{node.name}.")
        elif not isinstance(node, ast.expr):
            yield from functions(node, prefix)


def strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every string constant that is not a docstring, with its line; the pieces of f-strings too."""
    docstrings = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            # A string that stands alone as a statement is a comment on what is before it.
            docstrings |= {id(each.value) for each in body if isinstance(each, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def dotted(node: ast.AST) -> str:
    """`datetime.now` for the expression of that form; empty for others."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (inner := dotted(node.value)):
        return f"{inner}.{node.attr}"
    return ""

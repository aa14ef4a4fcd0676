"""Puts the compiled kernel into a wheel, where the machine that builds it has a C compiler.

The library needs nothing of Python, so one wheel serves every version of it on this kind of machine. Without a
compiler the wheel is one for any machine, and its proof of liabilities runs in Python.
"""

from __future__ import annotations

import importlib.util
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

KERNEL = Path("tallystick/evidence/liabilities/kernel")


# Where hatchling is not installed it has no types, elsewhere it wants a parameter that it does not need.
class KernelHook(BuildHookInterface):  # type: ignore[misc, type-arg, unused-ignore]
    """Called by hatchling before it gathers the wheel's files."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        found = importlib.util.spec_from_file_location("compiling", Path(self.root) / KERNEL / "compiling.py")
        assert found is not None
        assert found.loader is not None
        compiling = importlib.util.module_from_spec(found)
        found.loader.exec_module(compiling)
        self._directory = tempfile.TemporaryDirectory()
        try:
            library = compiling.compiled(Path(self._directory.name))
        except compiling.NotCompiled as why:
            self.app.display_warning(f"the kernel is done without, which is slower: {why}")
            return
        build_data["force_include"][str(library)] = str(KERNEL / library.name)
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "_directory"):
            self._directory.cleanup()

"""`./tally`: the script finds its Python, makes its environment once, and says what is missing.

Nothing is fetched from the network here, but for the tests marked slow.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy.source import ROOT, tracked

PYTHON = os.path.realpath(sys.executable)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with a space in its path, and nothing in it but what the script needs."""
    root = tmp_path / "a check out"
    (root / "scripts").mkdir(parents=True)
    for name in ("tally", "scripts/environment.py", "requirements.lock", "requirements-test.lock"):
        shutil.copy(ROOT / name, root / name)
    return root


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH with the system's own tools, and no Python and no uv."""
    directory = tmp_path / "tools"
    directory.mkdir()
    for name in ("sh", "dirname", "readlink", "cat", "cmp", "mkdir"):
        found = shutil.which(name)
        assert found is not None
        (directory / name).symlink_to(found)
    return directory


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def tally(root: Path, *words: str, path: Path, cwd: Path | None = None, **environ: str):
    given = {"PATH": str(path), "HOME": str(root), **environ}
    return subprocess.run(
        [root / "tally", *words], env=given, cwd=cwd, capture_output=True, text=True, check=False
    )


def installed(root: Path, lock: str, says: str = 'printf "%s\\n" "$@"') -> Path:
    """An environment that looks as if it had been made from this lock; its Python echoes what it is given."""
    venv = root / ".venv"
    script(venv / "bin" / "python", says)
    record = venv / "tallystick"
    record.mkdir()
    for name in {"requirements.lock", lock}:
        shutil.copy(root / name, record / name)
    (record / "root").write_text(f"{root}\n")
    return venv


def test_a_ready_environment_is_used_at_once_from_any_directory_and_words_stay_whole(checkout, tools):
    installed(checkout, "requirements.lock")
    done = tally(checkout, "ledger", "two words", "", "*", path=tools, cwd=checkout.parent)
    assert done.stdout.splitlines() == ["-P", "-m", "tallystick", "ledger", "two words", "", "*"]
    assert done.stderr == ""


def test_through_a_symbolic_link_it_still_finds_its_checkout(checkout, tools):
    installed(checkout, "requirements.lock")
    link = checkout.parent / "bin" / "tally"
    link.parent.mkdir()
    link.symlink_to("../a check out/tally")
    done = subprocess.run([link, "x"], env={"PATH": str(tools)}, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "x", done.stderr


def test_the_exit_code_is_the_commands_own(checkout, tools):
    installed(checkout, "requirements.lock", "exit 7")
    assert tally(checkout, "x", path=tools).returncode == 7


def test_an_environment_for_tests_serves_everything_else_but_not_the_other_way(checkout, tools):
    venv = installed(checkout, "requirements-test.lock")
    assert tally(checkout, "serve", path=tools).returncode == 0
    assert tally(checkout, "test", path=tools).returncode == 0
    (venv / "tallystick" / "requirements-test.lock").unlink()
    assert tally(checkout, "serve", path=tools).returncode == 0
    assert "none was found" in tally(checkout, "test", path=tools).stderr


@pytest.mark.parametrize("compiler", ["cc", "none", "broken"])
def test_the_kernel_is_compiled_once_where_there_is_a_compiler_and_done_without_where_there_is_none(
    checkout, tools, compiler
):
    """An environment as it is, and a kernel newer than it: nothing is installed again."""
    kernel = checkout / "tallystick/evidence/liabilities/kernel"
    kernel.mkdir(parents=True)
    for name in ("psum.c", "compiling.py"):
        shutil.copy(ROOT / kernel.relative_to(checkout) / name, kernel / name)
    venv = installed(
        checkout, "requirements.lock", f'case $1 in */compiling.py) exec "{PYTHON}" "$@" ;; esac'
    )
    given = {"TALLYSTICK_PYTHON": PYTHON, "CC": "false"} if compiler == "broken" else {}
    if compiler == "cc" and shutil.which("cc") is None:
        pytest.skip("no C compiler")
    path = tools if compiler == "none" else f"{tools}:{os.environ['PATH']}"
    (venv / "tallystick" / "psum-0000.so").touch()
    first = tally(checkout, "x", path=path, **{"TALLYSTICK_PYTHON": PYTHON, **given})
    assert first.returncode == 0, first.stderr
    made = [each.name for each in (venv / "tallystick").glob("psum-*.so")]
    assert len(made) == (1 if compiler == "cc" else 0)
    assert ("done without" in first.stderr) == (compiler != "cc")
    assert tally(checkout, "x", path=tools).stderr == ""


@pytest.mark.parametrize("change", ["requirements.lock", "root", "python"])
def test_what_changed_since_is_noticed(checkout, tools, change):
    venv = installed(checkout, "requirements.lock")
    if change == "root":
        (venv / "tallystick" / "root").write_text("/elsewhere\n")
    elif change == "python":
        (venv / "bin" / "python").unlink()
    else:
        with (checkout / change).open("a") as lock:
            lock.write("# newer\n")
    done = tally(checkout, "serve", path=tools)
    # It sets out to make the environment again, and this PATH has nothing to make it with.
    assert done.returncode == 1
    assert "needs Python 3.11" in done.stderr


def test_a_python_that_is_too_old_is_told_with_what_to_do(checkout, tools):
    script(tools / "python3", 'case $1 in --version) echo "Python 3.9.2" ;; *) exit 1 ;; esac')
    done = tally(checkout, "demo", path=tools)
    assert done.returncode == 1
    assert "python3 here is Python 3.9.2" in done.stderr
    assert "apt-get install python3" in done.stderr
    assert "TALLYSTICK_PYTHON" in done.stderr


def test_a_named_python_that_is_none_is_told(checkout, tools):
    done = tally(checkout, "demo", path=tools, TALLYSTICK_PYTHON="/nowhere/python")
    assert done.returncode == 1
    assert "TALLYSTICK_PYTHON is '/nowhere/python'" in done.stderr


def test_a_python_without_venv_is_told_with_the_exact_line(checkout, tools, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("import sys\nsys.modules['ensurepip'] = None\n")
    done = tally(checkout, "demo", path=tools, TALLYSTICK_PYTHON=PYTHON, PYTHONPATH=str(tmp_path / "site"))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    sudo = "" if os.geteuid() == 0 else "sudo "
    assert done.returncode == 1
    assert f"{sudo}apt-get install python{version}-venv" in done.stderr
    assert not (checkout / ".venv").exists(), "nothing half-made is left"


def test_a_place_that_cannot_be_written_is_told(checkout, tools):
    done = tally(checkout, "demo", path=tools, TALLYSTICK_PYTHON=PYTHON, TALLYSTICK_VENV="/proc/nowhere/venv")
    assert done.returncode == 1
    assert "cannot make the environment at /proc/nowhere" in done.stderr
    assert "Set TALLYSTICK_VENV" in done.stderr


def test_a_directory_that_is_something_else_is_left_alone(checkout, tools, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    done = tally(
        checkout, "demo", path=tools, TALLYSTICK_PYTHON=PYTHON, TALLYSTICK_VENV=str(tmp_path / "mine")
    )
    assert done.returncode == 1
    assert "it is left alone" in done.stderr
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


@pytest.mark.slow
@pytest.mark.parametrize("way", ["uv", "pip"])
def test_a_fresh_checkout_starts_and_the_second_start_installs_nothing(tmp_path, tools, way):
    """The real thing: needs a package index."""
    root = tmp_path / "fresh check out"
    for path in tracked():
        copy = root / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    if way == "uv":
        uv = shutil.which("uv")
        if uv is None:
            pytest.skip("there is no uv here")
        (tools / "uv").symlink_to(uv)
    # The caller's own settings for its package tools hold here too.
    inherited = {
        name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_"))
    }
    inherited |= {"HOME": os.environ["HOME"], "TALLYSTICK_PYTHON": PYTHON}

    def start() -> subprocess.CompletedProcess[str]:
        given = {"PATH": f"{tools}:/usr/bin:/bin", **inherited}
        return subprocess.run(
            [root / "tally", "--version"], env=given, capture_output=True, text=True, check=False
        )

    first, second = start(), start()
    assert first.returncode == 0, first.stderr
    assert f"with {way}" in first.stderr
    assert second.stdout == first.stdout
    assert second.stderr == ""

"""The key that signs cookies: given, or made once, and readable by its owner alone."""

import os
import stat
import subprocess
import sys
import threading

from tallystick.identity import secret_key


def test_it_is_made_once_private_and_long(tmp_path):
    made = secret_key.find_or_make({}, tmp_path)
    path = tmp_path / "keys" / "secret_key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(made) >= 64
    assert secret_key.find_or_make({}, tmp_path) == made
    assert [each.name for each in path.parent.iterdir()] == ["secret_key"]


def test_two_who_need_it_at_once_get_the_same(tmp_path):
    gate = threading.Barrier(6)
    keys = []

    def need():
        gate.wait()
        keys.append(secret_key.find_or_make({}, tmp_path))

    threads = [threading.Thread(target=need) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 6
    assert len(set(keys)) == 1


def test_the_operators_own_comes_first(tmp_path):
    assert secret_key.find_or_make({"TALLYSTICK_SECRET_KEY": "given"}, tmp_path) == "given"
    file = tmp_path / "key"
    file.write_text("from a file\n")
    assert secret_key.find_or_make({"TALLYSTICK_SECRET_KEY_FILE": str(file)}, tmp_path) == "from a file"
    assert not (tmp_path / "keys").exists()


def test_importing_the_settings_touches_no_disk(tmp_path):
    home = tmp_path / "home"
    environ = {**os.environ, "TALLYSTICK_HOME": str(home)}
    subprocess.run([sys.executable, "-c", "import tallystick.settings"], env=environ, check=True)
    assert not home.exists()

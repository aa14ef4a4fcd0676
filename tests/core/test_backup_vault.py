"""Backups at rest: what was written comes back, and nothing else is taken for it."""

from __future__ import annotations

import os
import random

import pytest

from tallystick.core.postgres import errors, vault

KEY = vault.Key(b"k" * 32)


def written(path, content, *, name="one", key=KEY):
    writer = vault.Writer(key, path, name=name)
    for begin in range(0, len(content), 700_001):
        writer.write(content[begin : begin + 700_001])
    writer.close()
    return writer


def read(path, *, name="one", key=KEY):
    return b"".join(vault.read(key, path, name=name))


def noise(size):
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("size", [0, 1, 1024, vault.CHUNK - 1, vault.CHUNK, 3 * vault.CHUNK + 17])
def test_what_was_written_comes_back(tmp_path, size):
    written(tmp_path / "file", noise(size))
    assert read(tmp_path / "file") == noise(size)


def test_nothing_of_the_content_can_be_seen_and_only_the_owner_may_look(tmp_path):
    written(tmp_path / "file", b"Wang Fang has 100 yuan. " * 1000)
    assert b"Wang" not in (tmp_path / "file").read_bytes()
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_an_early_closed_segment_takes_little_room(tmp_path):
    writer = written(tmp_path / "file", bytes(16 * vault.CHUNK))
    assert writer.bytes_plain == 16 * vault.CHUNK
    assert (tmp_path / "file").stat().st_size < 100_000


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    writer = vault.Writer(KEY, tmp_path / "file", name="one")
    writer.write(noise(10))
    assert not (tmp_path / "file").exists()
    writer.abandon()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", [0, 8, 20, 48, 52, 60, vault.CHUNK, -1])
def test_one_changed_bit_anywhere_is_refused(tmp_path, place):
    written(tmp_path / "file", noise(3 * vault.CHUNK))
    content = bytearray((tmp_path / "file").read_bytes())
    content[place] ^= 1
    (tmp_path / "file").write_bytes(content)
    with pytest.raises((errors.BackupDamaged, errors.BackupWrongKey)):
        read(tmp_path / "file")


def test_a_file_cut_off_between_two_chunks_is_refused(tmp_path):
    """The cut leaves only whole, authentic chunks; it is the missing end that tells."""
    path = tmp_path / "file"
    written(path, noise(3 * vault.CHUNK))
    content = path.read_bytes()
    length = int.from_bytes(content[vault.HEADER : vault.HEADER + 4], "big")
    path.write_bytes(content[: vault.HEADER + 4 + length])
    with pytest.raises(errors.BackupDamaged, match="ends too early"):
        read(path)


def test_two_chunks_in_the_other_order_are_refused(tmp_path):
    path = tmp_path / "file"
    written(path, noise(4 * vault.CHUNK))
    content = path.read_bytes()
    step = 4 + vault.CHUNK + 16
    first, second = (content[vault.HEADER + n * step : vault.HEADER + (n + 1) * step] for n in (0, 1))
    path.write_bytes(content[: vault.HEADER] + second + first + content[vault.HEADER + 2 * step :])
    with pytest.raises(errors.BackupDamaged, match="chunk 0"):
        read(path)


def test_something_added_at_the_end_is_refused(tmp_path):
    written(tmp_path / "file", noise(10))
    with (tmp_path / "file").open("ab") as file:
        file.write(b"more")
    with pytest.raises(errors.BackupDamaged, match="added"):
        read(tmp_path / "file")


def test_one_file_does_not_stand_in_for_another(tmp_path):
    written(tmp_path / "file", noise(10), name="monday")
    with pytest.raises(errors.BackupDamaged):
        read(tmp_path / "file", name="tuesday")


def test_another_key_is_refused_by_name(tmp_path):
    other = vault.Key(b"o" * 32)
    written(tmp_path / "file", noise(10))
    with pytest.raises(errors.BackupWrongKey, match=rf"{KEY.name.hex()}.*{other.name.hex()}"):
        read(tmp_path / "file", key=other)


def test_the_same_content_is_never_written_the_same_way_twice(tmp_path):
    written(tmp_path / "a", noise(10))
    written(tmp_path / "b", noise(10))
    assert (tmp_path / "a").read_bytes()[-40:] != (tmp_path / "b").read_bytes()[-40:]


def test_a_key_is_made_once_and_for_its_owner_only(tmp_path):
    environ = {"TALLYSTICK_HOME": str(tmp_path)}
    with pytest.raises(errors.BackupKeyMissing):
        vault.key(environ)
    made = vault.key(environ, make=True)
    assert vault.key(environ, make=True).name == made.name
    assert vault.key_file(environ).stat().st_mode & 0o777 == 0o600


def test_a_key_that_others_can_read_is_refused(tmp_path):
    environ = {"TALLYSTICK_HOME": str(tmp_path)}
    vault.key(environ, make=True)
    vault.key_file(environ).chmod(0o640)
    with pytest.raises(errors.BackupKeyOpen, match="chmod 600"):
        vault.key(environ)


@pytest.mark.parametrize("content", ["", "secret", "zz" * 32, "ab" * 31])
def test_a_file_that_is_no_key_is_refused(tmp_path, content):
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_text(content)
    os.chmod(path, 0o600)
    with pytest.raises(errors.BackupKeyUnreadable):
        vault.key({"TALLYSTICK_BACKUP_KEY_FILE": str(path)})

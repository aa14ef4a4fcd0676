"""Backups at rest: compressed, encrypted and authenticated as they stream, in chunks.

Format: a header (magic, key name, 32 random bytes), then chunks of at most 1 MiB of plain text, each a
four-byte length and AES-256-GCM of it. Each file has a key of its own (HKDF of the master key over the
random bytes), so a chunk's nonce is simply its number, with a last byte that is 1 on the last chunk only:
chunks cannot be reordered, dropped or cut off at the end. Header and name are authenticated with every
chunk, so one file cannot stand in for another. A reader never hands out a byte it has not authenticated.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tallystick.core.postgres import errors, place

MAGIC = b"TALLYBK1"
CHUNK = 1024 * 1024
HEADER = len(MAGIC) + 8 + 32
COMPRESSION = 1  # most of a WAL segment closed early is zeros; more effort gains little


class Key:
    """The backup key of an installation: 32 bytes in a file that only its owner reads."""

    def __init__(self, secret: bytes) -> None:
        assert len(secret) == 32
        self._secret = secret
        self.name = hashlib.sha256(b"tallystick backup key name" + secret).digest()[:8]

    def of_file(self, salt: bytes) -> bytes:
        return HKDF(SHA256(), 32, salt=salt, info=b"tallystick backup file, version 1").derive(self._secret)

    def tag(self, content: bytes) -> str:
        """An authentication tag for what must stay readable without the key (manifests)."""
        return hmac.new(self._secret, b"tallystick backup manifest" + content, hashlib.sha256).hexdigest()


def key_file(environ: Mapping[str, str]) -> Path:
    """Where the backup key is: TALLYSTICK_BACKUP_KEY_FILE, else keys/backup.key in the home."""
    given = environ.get("TALLYSTICK_BACKUP_KEY_FILE")
    return Path(given).expanduser().absolute() if given else place.home(environ) / "keys" / "backup.key"


def key(environ: Mapping[str, str], *, make: bool = False) -> Key:
    """The backup key; made on the first backup when no file was named."""
    path = key_file(environ)
    if make and not path.exists() and not environ.get("TALLYSTICK_BACKUP_KEY_FILE"):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(os.urandom(32).hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise errors.BackupKeyOpen(path=path)
        return Key(bytes.fromhex(path.read_text().strip()))
    except FileNotFoundError:
        raise errors.BackupKeyMissing(path=path) from None
    except (ValueError, AssertionError):
        raise errors.BackupKeyUnreadable(path=path) from None


class Writer:
    """Encrypts what is written into a file; `close` makes it durable and complete.

    name: what the reader will have to ask for: authenticated, not stored.
    """

    def __init__(self, key: Key, path: Path, *, name: str) -> None:
        self.path, self.bytes_plain = path, 0
        self._part = path.with_name(path.name + ".part")
        self._part.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
        salt = os.urandom(32)
        header = MAGIC + key.name + salt
        self._file.write(header)
        self._hash = hashlib.sha256(header)
        self._cipher, self._about = AESGCM(key.of_file(salt)), header + name.encode()
        self._zip, self._rest, self._number = zlib.compressobj(COMPRESSION), bytearray(), 0

    def write(self, content: bytes) -> int:
        self.bytes_plain += len(content)
        self._rest += self._zip.compress(content)
        # Strictly more: the last chunk must be known as such when it is written.
        while len(self._rest) > CHUNK:
            self._seal(bytes(self._rest[:CHUNK]), last=False)
            del self._rest[:CHUNK]
        return len(content)

    def close(self) -> None:
        """The point of return: afterwards the file is there, whole, under its name."""
        self._rest += self._zip.flush()
        while len(self._rest) > CHUNK:
            self._seal(bytes(self._rest[:CHUNK]), last=False)
            del self._rest[:CHUNK]
        self._seal(bytes(self._rest), last=True)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.replace(self.path)
        sync_directory(self.path.parent)

    def abandon(self) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)

    @property
    def sha256(self) -> str:
        """Of the encrypted file, for the manifest: checkable without the key."""
        return self._hash.hexdigest()

    def _seal(self, chunk: bytes, *, last: bool) -> None:
        sealed = self._cipher.encrypt(_nonce(self._number, last=last), chunk, self._about)
        self._number += 1
        for piece in (len(sealed).to_bytes(4, "big"), sealed):
            self._hash.update(piece)
            self._file.write(piece)


def read(key: Key, path: Path, *, name: str) -> Iterator[bytes]:
    """The plain content, piece by authenticated piece; refuses at the first byte that is not as written."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise errors.BackupFileMissing(path=path) from None
    with file:
        header = _exactly(file, HEADER, path)
        if not header.startswith(MAGIC):
            raise errors.BackupDamaged(path=path, reason="it does not begin like a Tallystick backup")
        if header[8:16] != key.name:
            raise errors.BackupWrongKey(path=path, wanted=header[8:16].hex(), given=key.name.hex())
        cipher, about = AESGCM(key.of_file(header[16:])), header + name.encode()
        unzip, number, last = zlib.decompressobj(), 0, False
        while not last:
            length = int.from_bytes(_exactly(file, 4, path), "big")
            if length > CHUNK + 16:
                raise errors.BackupDamaged(path=path, reason=f"chunk {number} was altered")
            sealed = _exactly(file, length, path)
            try:
                plain = cipher.decrypt(_nonce(number, last=False), sealed, about)
            except InvalidTag:
                try:
                    plain, last = cipher.decrypt(_nonce(number, last=True), sealed, about), True
                except InvalidTag:
                    reason = f"chunk {number} was altered, or it is another file than its name says"
                    raise errors.BackupDamaged(path=path, reason=reason) from None
            number += 1
            if content := unzip.decompress(plain):
                yield content
        if file.read(1):
            raise errors.BackupDamaged(path=path, reason="something was added at its end")
        if content := unzip.flush():
            yield content


def sync_directory(path: Path) -> None:
    """Make a rename in this directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\x01" if last else b"\x00")


def _exactly(file: BinaryIO, length: int, path: Path) -> bytes:
    content = file.read(length)
    if len(content) != length:
        raise errors.BackupDamaged(path=path, reason="it ends too early")
    return content

"""Notes: text signed by one or more keys, as C2SP signed-note says; and keys as one line of text.

A note counts only for the keys it was opened with. Signatures of others are passed over; one of a key
that is known and does not fit refuses the whole note.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tallystick.evidence import errors

ED25519 = 0x01
"""The type of a key that signs a note's text as it is."""

NOTE_BYTES_MAX = 1_000_000
SIGNATURES_MAX = 100
NAME_BYTES_MAX = 255
"""A cosigner's name has to fit the message it signs, one byte long in its length."""

_DASH = "— "

# What Go's `unicode.IsSpace` takes for a space: notes are refused by every implementation or by none.
_NOT_A_NAME = re.compile(
    r"[+\x00-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ud800-\udfff]"
)


@dataclass(frozen=True, slots=True)
class Key:
    """A public key with its name, as the line `name+id+material`: what a checker has to be told."""

    name: str
    algorithm: int
    public: bytes

    @property
    def id(self) -> bytes:
        """Four bytes that tell a signature's key apart from others of the name. No protection."""
        told = self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public
        return hashlib.sha256(told).digest()[:4]

    @property
    def text(self) -> str:
        """The key in one line."""
        material = base64.b64encode(bytes([self.algorithm]) + self.public).decode()
        return f"{self.name}+{self.id.hex()}+{material}"


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature as it stands below a note: whose it says it is, and its bytes."""

    name: str
    key_id: bytes
    value: bytes
    canonical: bool = True
    """Whether its base64 is the one spelling of its bytes."""

    @property
    def line(self) -> str:
        """The signature's line, its newline included."""
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.value).decode()}\n"


class Verifier(Protocol):
    """Somebody whose signature counts."""

    @property
    def key(self) -> Key: ...

    def fits(self, text: bytes, signature: bytes) -> bool:
        """Whether the signature is this key's over the text."""
        ...


class SecretKey(Protocol):
    """A secret key wherever it is kept, in memory or in a device: it signs, and says its public half."""

    @property
    def public(self) -> bytes: ...

    def sign(self, message: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Note:
    """A note that was opened: its text, and the signatures on it that were checked, in their order."""

    text: bytes
    signatures: tuple[Signature, ...]
    passed_over: tuple[Signature, ...]
    """Signatures of keys nobody named. They say nothing."""


@dataclass(frozen=True, slots=True)
class Ed25519Verifier:
    """Checks plain Ed25519 signatures of one key."""

    key: Key

    def fits(self, text: bytes, signature: bytes) -> bool:
        return ed25519_fits(self.key.public, text, signature)


@dataclass(frozen=True, slots=True)
class Ed25519Secret:
    """An Ed25519 key in memory."""

    seed: bytes

    @property
    def public(self) -> bytes:
        return self._key().public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        return self._key().sign(message)

    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    def __repr__(self) -> str:
        return "Ed25519Secret(…)"


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs notes with an Ed25519 key under a name."""

    name: str
    secret: SecretKey

    @classmethod
    def parsed(cls, text: str) -> Self:
        """From a secret key in one line: `PRIVATE+KEY+name+id+material`."""
        key = _parsed(text.removeprefix("PRIVATE+KEY+"), secret=True)
        if not text.startswith("PRIVATE+KEY+") or key.algorithm != ED25519:
            raise errors.KeyMalformed(reason="a secret key begins PRIVATE+KEY+ and is an Ed25519 key")
        signer = cls(key.name, Ed25519Secret(key.public))
        if text.split("+")[3].lower() != signer.key.id.hex():
            raise errors.KeyMalformed(reason="its id is not the one of its name and material")
        return signer

    @property
    def key(self) -> Key:
        """The public half, with the name."""
        return Key(_named(self.name), ED25519, self.secret.public)

    def sign(self, text: bytes) -> Signature:
        """The signature over a note's text."""
        return Signature(self.name, self.key.id, self.secret.sign(text))


def parse_key(text: str) -> Key:
    """A public key out of its line. Its type may be any; `verifier` refuses those not known."""
    key = _parsed(text)
    if text.split("+")[1].lower() != key.id.hex():
        raise errors.KeyMalformed(reason="its id is not the one of its name and material")
    return key


def verifier(key: Key) -> Verifier:
    """Who checks plain signatures of this key. Cosignatures: `cosignatures.verifier`."""
    if key.algorithm != ED25519 or len(key.public) != 32:
        raise errors.KeyTypeUnknown(name=key.name, algorithm=f"0x{key.algorithm:02x}")
    return Ed25519Verifier(key)


def ed25519_fits(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature holds (RFC 8032)."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def parse(note: bytes) -> tuple[bytes, tuple[Signature, ...]]:
    """A note's text and its signatures, none of them checked yet."""
    if len(note) > NOTE_BYTES_MAX:
        raise errors.NoteMalformed(reason=f"it is longer than {NOTE_BYTES_MAX} bytes")
    try:
        told = note.decode("utf-8")
    except UnicodeDecodeError:
        raise errors.NoteMalformed(reason="it is not UTF-8") from None
    if any(character < " " and character != "\n" for character in set(told)):
        raise errors.NoteMalformed(reason="it has control characters")
    text, blank, below = told.rpartition("\n\n")
    if not blank or not below:
        raise errors.NoteMalformed(reason="no blank line with signatures below it")
    if not below.endswith("\n"):
        raise errors.NoteMalformed(reason="its last line is cut off")
    lines = below[:-1].split("\n")
    if len(lines) > SIGNATURES_MAX:
        raise errors.NoteMalformed(reason=f"it has more than {SIGNATURES_MAX} signatures")
    return (text + "\n").encode(), tuple(map(_signature, lines))


def open(note: bytes, verifiers: Iterable[Verifier]) -> Note:
    """The note, if at least one of the verifiers signed it, and no signature of theirs is wrong."""
    text, signatures = parse(note)
    known = {(each.key.name, each.key.id): each for each in verifiers}
    checked, passed_over = [], []
    for signature in signatures:
        who = known.get((signature.name, signature.key_id))
        if who is None:
            passed_over.append(signature)
        elif signature.canonical and who.fits(text, signature.value):
            checked.append(signature)
        else:
            raise errors.SignatureWrong(name=signature.name)
    if not checked:
        raise errors.SignatureMissing(names=", ".join(sorted(name for name, _ in known)) or "–")
    return Note(text, tuple(checked), tuple(passed_over))


def sign(text: bytes, signers: Sequence[Signer]) -> bytes:
    """The text, signed by each."""
    return joined(text, [signer.sign(text) for signer in signers])


def joined(text: bytes, signatures: Iterable[Signature]) -> bytes:
    """A note out of its text and signatures."""
    assert text.endswith(b"\n"), "a note's text ends with a newline"
    return text + b"\n" + "".join(signature.line for signature in signatures).encode()


def base64_bytes(text: str) -> bytes | None:
    """The bytes of standard base64 in its one spelling, or nothing."""
    decoded = _decoded(text)
    return decoded if decoded is not None and base64.b64encode(decoded).decode() == text else None


def _signature(line: str) -> Signature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    value = _decoded(encoded)
    if not line.startswith(_DASH) or not space or not _is_name(name) or value is None or len(value) < 5:
        raise errors.NoteMalformed(reason="a line below the blank one is no signature")
    canonical = base64.b64encode(value).decode() == encoded
    return Signature(name, value[:4], value[4:], canonical)


def _parsed(text: str, *, secret: bool = False) -> Key:
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    material = base64_bytes(encoded)
    if not _is_name(name) or not re.fullmatch(r"[0-9a-fA-F]{8}", key_id):
        raise errors.KeyMalformed(reason="it is not of the form name+id+material")
    if material is None or len(material) < 2:
        raise errors.KeyMalformed(reason="its material is not base64")
    if material[0] == ED25519 and len(material) != 33:
        raise errors.KeyMalformed(reason="an Ed25519 key has 32 bytes")
    return Key(name, material[0], material[1:])


def _named(name: str) -> str:
    assert _is_name(name), f"{name!r} cannot be a key's name"
    return name


def _is_name(name: str) -> bool:
    return not _NOT_A_NAME.search(name) and 0 < len(name.encode()) <= NAME_BYTES_MAX


def _decoded(text: str) -> bytes | None:
    try:
        # Python passes over a padding too many.
        return None if len(text) % 4 else base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None

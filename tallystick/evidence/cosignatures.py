"""Cosignatures: a witness's word that a checkpoint grew out of every one it has seen (C2SP tlog-cosignature).

Two kinds. Ed25519 signs the whole text under a header with the time. ML-DSA-44, which a quantum computer
does not forge, signs the cosigner's name, the time, and the log's origin, size and root; a log may sign
with it too.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from tallystick.evidence import checkpoints, errors, notes

ED25519 = 0x04
ML_DSA_44 = 0x06

TIME_MAX = 2**63 - 1

_TIME = struct.Struct(">Q")
_PUBLIC_BYTES = {notes.ED25519: 32, ED25519: 32, ML_DSA_44: 1312}
_SIGNATURE_BYTES = {ED25519: 64, ML_DSA_44: 2420}


@dataclass(frozen=True, slots=True)
class CosignatureVerifier:
    """Checks the cosignatures of one key."""

    key: notes.Key

    def fits(self, text: bytes, signature: bytes) -> bool:
        """Whether this is the key's cosignature of a checkpoint's text, at the time inside it."""
        if len(signature) != _TIME.size + _SIGNATURE_BYTES[self.key.algorithm]:
            return False
        at, bare = _TIME.unpack_from(signature)[0], signature[_TIME.size :]
        try:
            message = _MESSAGES[self.key.algorithm](self.key.name, text, at)
        except errors.CheckpointMalformed:
            return False
        return at <= TIME_MAX and _FITS[self.key.algorithm](self.key.public, message, bare)


@dataclass(frozen=True, slots=True)
class MlDsa44Secret:
    """An ML-DSA-44 key in memory."""

    seed: bytes

    @property
    def public(self) -> bytes:
        return self._key().public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        return self._key().sign(message)

    def _key(self) -> MLDSA44PrivateKey:
        return MLDSA44PrivateKey.from_seed_bytes(self.seed)

    def __repr__(self) -> str:
        return "MlDsa44Secret(…)"


@dataclass(frozen=True, slots=True)
class Cosigner:
    """Cosigns checkpoints under a name. Has to have checked before that they are consistent."""

    name: str
    secret: notes.SecretKey
    algorithm: int = ED25519

    @property
    def key(self) -> notes.Key:
        """The public half, with the name."""
        return notes.Key(self.name, self.algorithm, self.secret.public)

    def sign(self, text: bytes, *, at_seconds: int) -> notes.Signature:
        """The cosignature of a checkpoint's text, at a POSIX time."""
        assert 0 <= at_seconds <= TIME_MAX, "a time is a POSIX time"
        message = _MESSAGES[self.algorithm](self.name, text, at_seconds)
        value = _TIME.pack(at_seconds) + self.secret.sign(message)
        return notes.Signature(self.name, self.key.id, value)


def verifier(key: notes.Key) -> notes.Verifier:
    """Who checks this key's signatures, of whichever of the three kinds it is."""
    if _PUBLIC_BYTES.get(key.algorithm) != len(key.public):
        raise errors.KeyTypeUnknown(name=key.name, algorithm=f"0x{key.algorithm:02x}")
    return notes.verifier(key) if key.algorithm == notes.ED25519 else CosignatureVerifier(key)


def seconds(signature: notes.Signature) -> int:
    """The POSIX time inside a cosignature that was checked. 0 makes no statement about when."""
    return int(_TIME.unpack_from(signature.value)[0])


def _of_text(name: str, text: bytes, at: int) -> bytes:
    # The time is checked with the rest: a text is signed at one time.
    checkpoints.parse(text)
    return b"cosignature/v1\ntime %d\n%b" % (at, text)


def _of_tree(name: str, text: bytes, at: int) -> bytes:
    head = checkpoints.parse(text)
    cosigner, origin = name.encode(), head.origin.encode()
    return b"".join(
        (
            b"subtree/v1\n\x00",
            bytes([len(cosigner)]) + cosigner,
            _TIME.pack(at),
            bytes([len(origin)]) + origin,
            struct.pack(">QQ", 0, head.size),
            head.root,
        )
    )


def _ml_dsa_44_fits(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        MLDSA44PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    except UnsupportedAlgorithm:
        raise errors.KeyTypeUnknown(name="ML-DSA-44", algorithm=f"0x{ML_DSA_44:02x}") from None
    return True


_MESSAGES: dict[int, Callable[[str, bytes, int], bytes]] = {ED25519: _of_text, ML_DSA_44: _of_tree}
_FITS: dict[int, Callable[[bytes, bytes, bytes], bool]] = {
    ED25519: notes.ed25519_fits,
    ML_DSA_44: _ml_dsa_44_fits,
}

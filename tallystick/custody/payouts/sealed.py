"""Sealed: bank account numbers at rest, readable only with the installation's key.

Promises: a sealed number opens for the bank account it was sealed for and no other; two sealings of one number
have nothing in common, and its fingerprint tells whether two numbers are the same and no more. The key is
derived from the installation's secret (`keys/secret_key`), its old ones still open: keep it with the backups.
"""

from __future__ import annotations

import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from tallystick.core import chance

_NONCE = 12


class Unsealable(Exception):
    """The number was sealed under a key that this installation no longer has. A fault, never a refusal."""


def seal(number: str, *, about: str) -> bytes:
    """The number, sealed for what it is about."""
    nonce = chance.salt()[:_NONCE]
    return nonce + AESGCM(_key(_secrets()[0], b"seal")).encrypt(nonce, number.encode(), about.encode())


def opened(sealed: bytes, *, about: str) -> str:
    """The number again. Raises `Unsealable`."""
    for secret in _secrets():
        try:
            found = AESGCM(_key(secret, b"seal")).decrypt(sealed[:_NONCE], sealed[_NONCE:], about.encode())
        except InvalidTag:
            continue
        return found.decode()
    raise Unsealable(about)


def fingerprint(number: str) -> bytes:
    """Equal for equal numbers within this installation."""
    return hmac.digest(_key(_secrets()[0], b"fingerprint"), number.encode(), hashlib.sha256)


def _secrets() -> list[bytes]:
    return [str(secret).encode() for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]


def _key(secret: bytes, purpose: bytes) -> bytes:
    info = b"tallystick bank account numbers, version 1: " + purpose
    return HKDF(SHA256(), 32, salt=None, info=info).derive(secret)

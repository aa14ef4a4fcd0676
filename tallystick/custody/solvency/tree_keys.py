"""Tree keys: what opens one day's tree, drawn anew for each and kept sealed for as long as it is asked about.

A key opens one tree and says nothing of any other. It is handed to the bank and to the regulator, who make the
whole tree again with it; without the installation's secret a backup opens none.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from tallystick.core import chance
from tallystick.custody import errors
from tallystick.evidence.liabilities import profile
from tallystick.evidence.liabilities.profile import Keys

_NONCE = 12
_PURPOSE = b"tallystick liability tree keys, version 1"


def drawn(tree: bytes) -> Keys:
    """New keys for a tree."""
    return profile.keys(profile.tree_key(chance.salt(), tree))


def sealed(keys: Keys, tree: bytes) -> bytes:
    """The tree's key, sealed for this tree."""
    nonce = chance.salt()[:_NONCE]
    return nonce + AESGCM(_sealing_keys()[0]).encrypt(nonce, keys.tree_key, tree)


def opened(content: bytes, tree: bytes) -> Keys:
    """The keys again. Raises `errors.TreeKeyUnsealable`."""
    for key in _sealing_keys():
        try:
            return profile.keys(AESGCM(key).decrypt(content[:_NONCE], content[_NONCE:], tree))
        except InvalidTag:
            continue
    raise errors.TreeKeyUnsealable


def _sealing_keys() -> list[bytes]:
    secrets = [str(secret).encode() for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]
    return [HKDF(SHA256(), 32, salt=None, info=_PURPOSE).derive(secret) for secret in secrets]

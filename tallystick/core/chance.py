"""Secret chance, from the operating system: salts and one-time tokens.

The one place in the house where it is drawn. What must be repeatable takes a seed as an argument
instead; what must not be guessable comes from here.
"""

import secrets


def salt() -> bytes:
    """32 bytes that nobody can guess."""
    return secrets.token_bytes(32)


def token() -> str:
    """43 URL-safe characters holding 256 bits that nobody can guess."""
    return secrets.token_urlsafe(32)

"""Why a book is not looked at for signs of pooling."""

from __future__ import annotations

from tallystick.core.errors import Refusal


class TooManyToFollow(Refusal):
    """More than {most} transfers are to be followed, too many while somebody waits: use `tallystick pooling check`."""

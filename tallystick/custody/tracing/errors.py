"""Why money is not followed, in order of precedence."""

from __future__ import annotations

from tallystick.core.errors import Refusal


class OwnerUnknown(Refusal):
    """Client {owner} has no account in {asset} in this book."""


class PeriodReversed(Refusal):
    """A period ends at its beginning or later: from position {after} to {to} there is none."""


class FlowTooLong(Refusal):
    """That is more than {most} at once: choose a shorter period."""

"""What evidence refuses to write down. These are faults of the caller, never of a user."""


class NotCanonical(ValueError):
    """A payload holds what has no single spelling: a float, a large number, a date, a key not ASCII."""

"""Tracing: an owner follows their money, from where it came to what it was used for, to the last unit.

Promises: which receipt paid for which use is decided by two stated rules and nothing else, first in first
out in an owner's own accounts (`parcels`), in proportion where several owners' money lies together
(`shares`); every figure cites the positions of its transfers; what comes into a node and what it had is
what leaves it and what it keeps; and the sums are those of the statement of account. Writes nothing.
"""

"""The memory of the whole: every action appends one event, in its own transaction.

Promises: an event is written with the thing it tells of or not at all; nobody may change or remove
one; it commits to its payload by a salted hash, so that a payload can be erased and the event, and
every proof over it, stays. Evidence knows bytes, not money and not people.
"""

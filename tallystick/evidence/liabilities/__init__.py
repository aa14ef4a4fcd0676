"""Proof of liabilities: a sum tree over what is owed to each customer, and each customer's own proof of it.

Promises: a customer's proof fails if their balance was left out, lowered, shown to somebody else too, or if
the total is less than the sum; it tells no one else's identity, and next time it tells of other strangers; who
has the snapshot and the tree's key builds the same tree to the byte. The construction is `psum-v1`, written
down in docs/reference/psum-v1.md. It takes pairs of an account and an amount, and knows no ledger.
"""

"""Safeguarding: prove each day that what clients are owed is there, and be ready for the day it must be given back.

Promises: a proof stands on one position of the ledger and on the custodians' own statements, and anybody can
add it up again from its file alone; one client's debt never lowers what another is owed, and money that the
ledger does not know never covers what is missing; what is not known is undetermined, never compliant; proofs
are chained, and each is signed off by two people; the resolution pack agrees with the ledger or is not made.
"""

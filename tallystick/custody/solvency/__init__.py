"""Solvency: tell everybody, every day, what clients are owed in all and what the bank says is there.

Promises: what is owed is a tree in which every client finds their own balance, as of one position of the
ledger; no client's debt is set against what another is owed; what is there is what the custodians' own
statements say, and what is not known is told as unknown; a day is told also when there is too little; each
statement names the one before, and is an event of the public log.
"""

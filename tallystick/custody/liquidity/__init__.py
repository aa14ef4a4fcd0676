"""Liquidity: whether what must be paid out can be paid out, and how long that would last.

Promises: every figure goes back to the ledger's own days; a forecast says how far it may be off, and how
far it was off before; a shortfall is told of before its day; who waits for a payout is told their place.
"""

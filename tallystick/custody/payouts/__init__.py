"""Payouts: a client's money leaves custody for their own bank account, and comes back if it must.

Promises: no payout without the client's authorisation and their having read the notice of the day; above the
limit of the book a second person releases; none goes to bank details that are unverified or still cooling
off; none is in two batches; what the bank says is followed, and money that comes back is back on the client's
account by itself, once. A crash between a status and its ledger transfer loses nothing and doubles nothing:
the status is written first, the transfer's id follows from the payout, and `postings.advance` makes up for it.
"""

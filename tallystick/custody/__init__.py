"""Custody: hold customers' money apart from the platform's own, and know whose every unit is.

Promises: no money is made, lost or moved between client and own but by a fee its payer has agreed to;
a client's money moves only on that client's authorisation; what is posted is never changed; any past
state can be read again, at a position or a time; the books agree with the bank to the last minor unit.
"""

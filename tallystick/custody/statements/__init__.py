"""Bank statements read strictly: camt.053 and MT940, row by row, in bounded memory.

Promises: every row knows its line; amounts are exact minor units of the currency by ISO 4217; opening
balance plus entries is closing balance, to the unit; a batch is booked once; what departs from the
standard without touching the money is noted, what touches it is refused with line, field, what was
expected and what to do. No database, no clock, no network, no entity of any XML.
"""

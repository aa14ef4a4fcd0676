"""Bank statements read strictly: camt.052 to .054, MT940 and MT942, OFX 1 and 2, CSV by a declared mapping.

Promises: every row knows its line; amounts are exact minor units of the currency by ISO 4217; opening
balance plus entries is closing balance, to the unit; a batch is booked once; what departs from the
standard without touching the money is noted, what touches it is refused with line, field, what was
expected and what to do. No database, no clock, no network, no entity of any XML.
"""

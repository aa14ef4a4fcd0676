"""Pooling: signs, from the ledger alone, that lenders' money is pooled instead of lent.

Promises: five indicators, each with its definition, formula and threshold told with its value; every finding
cites the positions of its transfers; where the ledger does not say enough, an indicator is undetermined and
never clear. Where it can be asked which money a payment was made of, the answer is the one most in the
platform's favour, so a finding holds whatever the platform says it used. Writes nothing.
"""

"""Conformance: the published interface between platform, custodian and payment firm, and its test kit.

Promises: every file of the kit is written here, from nothing but this package; each case says what must be
accepted with which sums, or refused and on which lines; whoever is tested is run as a stranger, by their
command or address alone, and knows nothing of the kit. The interface itself: docs/reference/interface/.
"""

"""A platform that never was: invented customers, their money, their bank, and those who try to cheat.

Promises: the seed alone decides everything, so that a failure is repeated by its seed; money moves through
custody's own actions and nothing else; the auditor shares no code with what it audits. No clock here.
"""

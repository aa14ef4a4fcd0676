"""Who may do what: users, the roles they were granted and by whom, and how they sign in.

Promises: a person without a live grant can do nothing; every action asks `access.require` itself, so
that no door can forget; a customer reaches only what is theirs; who held which role at any past time
can be read from rows that nobody may change.
"""

"""The workbench: what people do about differences with the bank, until each day of the book can be closed.

Promises: every difference has a case with an owner, an age and a history that only grows; money moves only
as a transfer that was shown first; what takes two people is refused to one; a day is closed once, in order,
and says which transfers it holds.
"""

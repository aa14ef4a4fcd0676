"""Cross-border: money in other currencies, at recorded rates, through corridors that rules open.

Promises: a rate has a source and a time, and a stale one is refused; a blocked corridor is refused with
its reason; what an exchange costs in full is told before the client agrees, and is what is posted.
"""

"""Tallystick: the trust side of an internet-finance platform.

It holds customers' money apart and reconciles it to the bank, watches every movement, warns before
trust breaks, answers when it does, and proves it all in public.
"""

__version__ = "0.1.0"

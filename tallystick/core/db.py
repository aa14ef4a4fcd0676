"""A database, named: every read and action takes one first, so that its signature shows it.

`Db` is a Django database alias. The same function then serves the live book, a replica or a
restored backup. The five aliases of one server differ in the PostgreSQL role behind them.
"""

from typing import NewType

Db = NewType("Db", str)

APP = Db("default")
"""Role `tallystick_app`: everything but the ledger's facts, which it reads."""

WRITER = Db("writer")
"""Role `tallystick_ledger_writer`: held by the posting process alone; appends transfers and entries."""

SEQUENCER = Db("sequencer")
"""Role `tallystick_sequencer`: held by the posting process; appends entries and checkpoints to the logs."""

OWNER = Db("owner")
"""Role `tallystick_owner`: migrations only."""

AUDITOR = Db("auditor")
"""Role `tallystick_auditor`: reads everything, writes nothing."""

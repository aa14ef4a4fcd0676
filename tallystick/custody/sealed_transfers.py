"""Sealed transfers: a transfer's receipt out of the evidence log, and every row compared with what was sealed.

Promises: a receipt shows the owner's own row and hashes, and nothing of any other transfer; the comparison
names each transfer that was edited, dropped or put in since its batch was sealed, and trusts no other table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from django.db import connections

from tallystick.core.db import Db
from tallystick.custody import audit, encoding, history
from tallystick.custody.models import Book, Transfer
from tallystick.custody.numbers import BookId
from tallystick.evidence import batches, log, reading, receipt_file, tlog_proof
from tallystick.evidence.errors import NotSealedYet
from tallystick.evidence.fsck import Finding
from tallystick.evidence.keys import LEDGER
from tallystick.evidence.log import EventId
from tallystick.evidence.witness import quorum

_ROWS = (
    f"select {', '.join(encoding.TRANSFER_COLUMNS)} from custody_transfer"  # noqa: S608 -- constants
    " where book_id = %s and position between %s and %s order by position"
)


def receipt(db: Db, transfer_id: str) -> receipt_file.Receipt:
    """The receipt of a posted transfer: its row, through its batch's root, to the signed checkpoint.

    Raises `errors.TransferNotFound`, and `NotSealedYet` until the sequencer has been there.
    """
    transfer = history.transfer(db, transfer_id)
    for event in log.events_at(db, audit.POSTED_KIND, transfer.recorded_at):
        told = event.payload
        if told is None or event.salt is None or told["book"] != transfer.book:
            continue
        first, last = _positions(told)
        if not first <= transfer.position <= last:
            continue
        index = reading.index_of(db, LEDGER, event.id)
        leaves = log.leaves(db, event.id)
        if index is None or leaves is None:
            raise NotSealedYet()
        sealed = quorum.inclusion(db, LEDGER, index)
        at = transfer.position - first
        (row,) = _rows(db, transfer.book, transfer.position, transfer.position)
        return receipt_file.Receipt(
            entry=sealed.body.decode(),
            proof=tlog_proof.TlogProof(sealed.index, sealed.path, sealed.note),
            item=receipt_file.Item(
                thing=row,
                blind=batches.blind(event.salt, at),
                index=at,
                count=last - first + 1,
                path=tuple(batches.path(leaves, at)),
            ),
        )
    raise NotSealedYet()


def compare(db: Db) -> Iterator[Finding]:
    """Every book: its transfers with the batches that were sealed, and whatever follows from them."""
    sealed: dict[int, list[tuple[int, int]]] = {}
    for event in _batches(db):
        yield from _compare_batch(db, event, sealed)
    for book in Book.objects.using(db).order_by("id").values_list("id", flat=True):
        yield from _uncovered(db, BookId(book), sorted(sealed.get(book, ())))
        yield from _following(book, audit.verify(db, BookId(book)).findings)


def _batches(db: Db) -> Iterator[log.Event]:
    after = EventId(0)
    while page := log.events_after(db, audit.POSTED_KIND, after):
        yield from page
        after = page[-1].id


def _compare_batch(db: Db, event: log.Event, sealed: dict[int, list[tuple[int, int]]]) -> Iterator[Finding]:
    told = event.payload
    if told is None or event.salt is None:
        return  # named by fsck itself
    first, last = _positions(told)
    if not last:
        return
    book = BookId(int(str(told["book"])))
    sealed.setdefault(book, []).append((first, last))
    leaves = log.leaves(db, event.id)
    if leaves is None or event.root is None or batches.root(leaves) != event.root:
        yield Finding("leaves_edited", event.reference, "Its leaf hashes do not lead to its root.")
        return
    count = last - first + 1
    rows = {audit.position_of(row): row for row in _rows(db, book, first, last)}
    blinds = batches.blinds(event.salt, count)
    for at in range(count):
        place = f"book {book} position {first + at}"
        row = rows.get(first + at)
        if row is None:
            yield Finding(
                "transfer_missing", place, f"{event.reference} seals a transfer here, and it is gone."
            )
        elif (
            batches.leaf(row, blinds[at * batches.BLIND_BYTES : (at + 1) * batches.BLIND_BYTES])
            != leaves[32 * at : 32 * at + 32]
        ):
            yield Finding(
                "transfer_edited", place, f"It is not the transfer that {event.reference} seals here."
            )


def _following(book: int, found: Sequence[audit.Finding]) -> Iterator[Finding]:
    """What does not follow from the transfers: the first of each account, for the others follow from that."""
    firsts: dict[tuple[str, int], list[audit.Finding]] = {}
    for each in found:
        firsts.setdefault((each.check, each.account), []).append(each)
    for (check, account), (first, *later) in firsts.items():
        place = f"book {book} position {first.position}" + (f" account {account}" if account else "")
        message = f"{first.detail}; and {len(later)} later ones" if later else first.detail
        yield Finding(f"ledger_{check}", place, message)


def _uncovered(db: Db, book: BookId, sealed: list[tuple[int, int]]) -> Iterator[Finding]:
    """Transfers outside every batch that was told."""
    expected = 0
    bounds = [*sealed, (2**62, 2**62)]
    for first, last in bounds:
        rows = Transfer.objects.using(db).filter(book_id=book, position__gt=expected, position__lt=first)
        for position in rows.order_by("position").values_list("position", flat=True)[:100]:
            yield Finding("transfer_unsealed", f"book {book} position {position}", "No event tells of it.")
        expected = last


def _positions(told: dict[str, Any]) -> tuple[int, int]:
    return int(told["first_position"]), int(told["last_position"])


def _rows(db: Db, book: BookId, first: int, last: int) -> list[bytes]:
    """The rows as PostgreSQL's binary COPY hands them out."""
    connections[db].ensure_connection()
    connection = connections[db].connection
    assert isinstance(connection, psycopg.Connection)
    return list(audit.copied(connection, _ROWS, (book, first, last)))

"""The passes of one line with one: by reference, by a word of the text, by amount and day; and reversals."""

from __future__ import annotations

from collections import defaultdict, deque

import numpy as np

from tallystick.custody.matching import keys
from tallystick.custody.matching.lines import Flags, Ints
from tallystick.custody.matching.outcome import Rule
from tallystick.custody.matching.work import Work

Waiting = dict[tuple[bytes, int, int], deque[int]]


def by_best_reference(work: Work) -> None:
    """The bank's best reference is the ledger's, with the same amount and currency."""
    bank, ledger = work.bank, work.ledger
    said, written = keys.octets(bank.reference, ledger.reference)
    work.bank_named, work.ledger_named = said[:, 0] != 0, written[:, 0] != 0
    named, posted = np.flatnonzero(work.bank_named), np.flatnonzero(work.ledger_named)
    mine, theirs = keys.lone_pairs(
        _hashed(said, bank.amount_minor, bank.currency, named),
        _hashed(written, ledger.amount_minor, ledger.currency, posted),
    )
    mine, theirs = named[mine], posted[theirs]
    same = bank.amount_minor[mine] == ledger.amount_minor[theirs]
    same &= bank.currency[mine] == ledger.currency[theirs]
    same &= keys.alike(said, mine, written, theirs)
    mine, theirs = mine[same], theirs[same]
    work.bank_alone[mine] = True
    work.ledger_alone[theirs] = True
    work.take(mine, theirs, Rule.BEST_REFERENCE)
    # The others: several lines of one reference and amount, or a collision of hashes.
    named, posted = named[work.bank_open[named]], posted[work.ledger_open[posted]]
    left_ids, right_ids = keys.identities(
        (bank.reference[named], bank.amount_minor[named], bank.currency[named]),
        (ledger.reference[posted], ledger.amount_minor[posted], ledger.currency[posted]),
    )
    mine, theirs = keys.nth_with_nth(
        left_ids,
        (bank.day[named], bank.key[named]),
        right_ids,
        (ledger.day[posted], ledger.position[posted]),
    )
    work.take(named[mine], posted[theirs], Rule.BEST_REFERENCE)


def by_further_references(work: Work) -> None:
    """Another of the bank's references is the ledger's; then a word of the bank's text.

    All lines by their own references before any by its text: a text is the weaker word.
    """
    waiting = _waiting(work)
    _listen(work, {reference for reference, _, _ in waiting})
    for rule in (Rule.FURTHER_REFERENCE, Rule.WORD):
        if not waiting:
            return
        bank_rows, ledger_rows = [], []
        for row, heard in work.heard(work.open_speaking()):
            amount, currency = int(work.bank.amount_minor[row]), int(work.bank.currency[row])
            for word in heard.references[1:] if rule == Rule.FURTHER_REFERENCE else heard.words:
                fitting = waiting.get((word, amount, currency))
                if fitting:
                    bank_rows.append(row)
                    ledger_rows.append(fitting.popleft())
                    break
        work.take(np.array(bank_rows, np.int64), np.array(ledger_rows, np.int64), rule)


def _listen(work: Work, references: set[bytes]) -> None:
    """Find the lines that speak of anything the other sides know: no other's words are looked at again."""
    for column in (work.channel.reference, work.channel.settlement):
        references.update(column.tolist())
    references.discard(b"")
    for row, heard in work.heard(work.open_bank()):
        work.bank_speaks[row] = bool(heard.said.parts) or not references.isdisjoint(heard.all)


def cancel_reversed(work: Work) -> None:
    """A ledger line and its reversal, of neither of which bank or channel know."""
    ledger = work.ledger
    rows = work.open_ledger()
    rows = rows[~work.is_claimed[rows]]
    reversing = rows[ledger.reverses[rows] >= 0]
    if not len(reversing):
        return
    by_position = dict(zip(ledger.position[rows].tolist(), rows.tolist(), strict=True))
    for row in reversing.tolist():
        original = by_position.get(int(ledger.reverses[row]))
        if original is None or not (work.ledger_open[original] and work.ledger_open[row]):
            continue
        if int(ledger.amount_minor[original]) == -int(ledger.amount_minor[row]):
            work.ledger_open[[original, row]] = False
            work.reversed.append((int(ledger.position[original]), int(ledger.position[row])))


def pledge(work: Work) -> None:
    """Keep lines of one reference and direction for one another, though their amounts differ."""
    waiting = work.ledger_by_reference()
    if not waiting:
        return
    for row, heard in work.heard(work.open_speaking()):
        is_in, currency = int(work.bank.amount_minor[row]) > 0, int(work.bank.currency[row])
        for word in heard.all:
            fitting = waiting.get((word, currency, is_in))
            if fitting:
                work.bank_pledged[row] = True
                work.ledger_pledged[fitting.popleft()] = True
                break


def by_amount_and_day(work: Work) -> None:
    """The same amount on near days, where one of the lines has no reference to say otherwise.

    The nearest day first; of two as near, the ledger line before the bank's; of one day, lines of which
    neither has a reference before lines of which one has.
    """
    bank, ledger = work.bank, work.ledger
    bank_rows = np.flatnonzero(work.bank_open & ~work.bank_pledged)
    ledger_rows = np.flatnonzero(work.ledger_open & ~work.is_claimed & ~work.ledger_pledged)
    bank_ids, ledger_ids = keys.identities(
        (bank.amount_minor[bank_rows], bank.currency[bank_rows]),
        (ledger.amount_minor[ledger_rows], ledger.currency[ledger_rows]),
    )
    # What has no partner of its amount on the other side at all need not be looked at seven times.
    shared = np.intersect1d(bank_ids, ledger_ids)
    kept, posted = np.isin(bank_ids, shared), np.isin(ledger_ids, shared)
    bank_rows, bank_ids = bank_rows[kept], bank_ids[kept]
    ledger_rows, ledger_ids = ledger_rows[posted], ledger_ids[posted]
    named, referred = work.bank_named[bank_rows], work.ledger_named[ledger_rows]
    for distance in range(work.rules.window_days + 1):
        for shift in (-distance, distance) if distance else (0,):
            for mine, theirs in ((~named, ~referred), (~named, referred), (named, ~referred)):
                _on_one_day(work, (bank_rows, bank_ids, mine), (ledger_rows, ledger_ids, theirs), shift)


def _on_one_day(
    work: Work, left: tuple[Ints, Ints, Flags], right: tuple[Ints, Ints, Flags], shift: int
) -> None:
    """Take lines of equal identity whose days are this far apart."""
    bank, ledger = work.bank, work.ledger
    bank_rows, bank_ids, mine = left
    ledger_rows, ledger_ids, theirs = right
    mine = mine & work.bank_open[bank_rows]
    theirs = theirs & work.ledger_open[ledger_rows]
    if not (mine.any() and theirs.any()):
        return
    bank_rows, ledger_rows = bank_rows[mine], ledger_rows[theirs]
    # Days are below 2^22, and identities below 2^33.
    found = keys.nth_with_nth(
        *_renumbered(
            bank_ids[mine] << np.int64(22) | (bank.day[bank_rows].astype(np.int64) + shift),
            (bank.key[bank_rows],),
            ledger_ids[theirs] << np.int64(22) | ledger.day[ledger_rows].astype(np.int64),
            (ledger.position[ledger_rows],),
        )
    )
    work.take(bank_rows[found[0]], ledger_rows[found[1]], Rule.AMOUNT_AND_DAY)


def _renumbered(
    left: Ints, left_order: tuple[Ints], right: Ints, right_order: tuple[Ints]
) -> tuple[Ints, tuple[Ints], Ints, tuple[Ints]]:
    """Identities made small again, for `keys.nth_with_nth` counts within them."""
    mine, theirs = keys.identities((left,), (right,))
    return mine, left_order, theirs, right_order


def _hashed(names: keys.Octets, amounts: Ints, currencies: Ints, rows: Ints) -> keys.Hashes:
    if len(rows) == len(names):
        # All of them: the columns as they are, not copies.
        return keys.hashed(names, amounts, currencies)
    return keys.hashed(names[rows], amounts[rows], currencies[rows])


def _waiting(work: Work) -> Waiting:
    """The open ledger lines by reference, amount and currency, the earliest first."""
    ledger = work.ledger
    found: Waiting = defaultdict(deque)
    rows = work.open_ledger()
    rows = rows[work.ledger_named[rows]]
    columns = (ledger.reference[rows], ledger.amount_minor[rows], ledger.currency[rows], rows)
    for reference, amount, currency, row in zip(*(column.tolist() for column in columns), strict=True):
        found[reference, amount, currency].append(row)
    return dict(found)

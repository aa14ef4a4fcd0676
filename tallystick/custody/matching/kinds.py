"""The kinds: what every line that no pass took is a break of. The order of judgement is that of `BreakKind`."""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

import numpy as np

from tallystick.custody.breaks import BreakKind
from tallystick.custody.matching import keys
from tallystick.custody.matching.lines import (
    BankLine,
    Ints,
    LedgerLine,
    Names,
    Said,
    cleaned,
    normal,
    total,
    words,
)
from tallystick.custody.matching.outcome import FEE, Break, Group
from tallystick.custody.matching.work import Settled, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What is known besides the lines up to the cut-off: it decides kinds, never matches."""

    cut_off: dt.date
    bank_known_to: dt.date
    """The last day the bank's statements cover, the cut-off or later."""
    bank_after: Sequence[BankLine] = ()
    ledger_after: Sequence[LedgerLine] = ()
    ledger_elsewhere: Mapping[str, str] = field(default_factory=dict)
    """References on other control accounts of the book, and on which."""
    bank_elsewhere: Mapping[str, str] = field(default_factory=dict)
    """References at other bank accounts of the book, and at which."""
    known: Set[str] = frozenset()
    """Words that name somebody: customer numbers, account references, accounts customers pay from."""


def spoken(work: Work) -> Iterator[str]:
    """Every word of the lines that are left: all that `Around` need know of."""
    for _, heard in work.heard(np.flatnonzero(work.bank_open)):
        said = heard.said
        yield from said.references
        yield normal(said.counterparty_account)
        for text in (said.text, *said.references):
            yield from words(text)
    for column, is_open in (
        (work.ledger.reference, work.ledger_open),
        (work.channel.reference, np.ones(len(work.channel.key), np.bool_)),
    ):
        for reference in column[is_open].tolist():
            yield _told(reference)


class Judge:
    """Gives every open line its kind, and every settlement its differences."""

    def __init__(self, work: Work, around: Around) -> None:
        self.work = work
        self.around = around
        self.breaks: list[Break] = []
        self.groups: list[Group] = []
        self.bank_later = {
            (reference, line.amount_minor)
            for line in around.bank_after
            for reference in (*cleaned(line.references), *words(line.text))
        }
        self.ledger_later = {(normal(line.reference), line.amount_minor) for line in around.ledger_after}

    def judge(self) -> list[Break]:
        """All breaks, by their days; of one day the bank's first."""
        self._duplicates()
        repeated = self._repeated_payments()
        amounts = self.work.ledger_by_reference()
        for settled in self.work.settled:
            self._settled(settled, repeated, amounts)
        self._unsettled(repeated)
        self._amounts()
        for row, heard in self.work.heard(self.work.open_bank()):
            self._judge_bank(row, heard.said)
        for row in self.work.open_ledger().tolist():
            self._judge_ledger(row)
        return sorted(
            self.breaks,
            key=lambda each: (
                each.day,
                each.bank is None,
                each.bank or 0,
                each.channel is None,
                each.channel or 0,
                each.position or 0,
            ),
        )

    # The bank against the ledger.

    def _duplicates(self) -> None:
        """The same reference and amount once more on the same side, and the line was left over."""
        work, bank, ledger = self.work, self.work.bank, self.work.ledger
        # The best reference decides: banks give each of two copies a reference of its own besides.
        again = _again(
            np.flatnonzero(~work.bank_alone & work.bank_named),
            (bank.reference, bank.amount_minor, bank.currency),
            (work.bank_open, bank.day, bank.key),
        )
        for row, first in again:
            reference = _told(bytes(bank.reference[row]))
            self._bank_break(BreakKind.DUPLICATE, row, reference, str(int(bank.key[first])))
            work.bank_open[row] = False
        again = _again(
            np.flatnonzero(~work.ledger_alone & ~work.is_claimed & work.ledger_named),
            (ledger.reference, ledger.amount_minor, ledger.currency),
            (work.ledger_open, ledger.day, ledger.position),
        )
        for row, first in again:
            self._ledger_break(BreakKind.DUPLICATE, row, str(int(ledger.position[first])))
            work.ledger_open[row] = False

    def _amounts(self) -> None:
        """The same reference on both sides with different amounts: one break for the pair."""
        work, bank, ledger = self.work, self.work.bank, self.work.ledger
        waiting = work.ledger_by_reference()
        if not waiting:
            return
        for row, heard in work.heard(work.open_speaking()):
            amount = int(bank.amount_minor[row])
            for reference in heard.all:
                fitting = waiting.get((reference, int(bank.currency[row]), amount > 0))
                if fitting:
                    posted = fitting.popleft()
                    effect = amount - int(ledger.amount_minor[posted])
                    work.bank_open[row] = work.ledger_open[posted] = False
                    self.breaks.append(
                        Break(
                            BreakKind.AMOUNT,
                            effect,
                            _day(bank.day[row]),
                            int(bank.key[row]),
                            int(ledger.position[posted]),
                            _told(reference),
                        )
                    )
                    break

    def _judge_bank(self, row: int, said: Said) -> None:
        amount = int(self.work.bank.amount_minor[row])
        told = (*said.references, *words(said.text))
        shown = said.references[0] if said.references else ""
        elsewhere = next((each for each in told if each in self.around.ledger_elsewhere), None)
        if elsewhere is not None:
            where = self.around.ledger_elsewhere[elsewhere]
            self._bank_break(BreakKind.WRONG_ACCOUNT, row, elsewhere, where)
        elif any((each, amount) in self.ledger_later for each in told):
            self._bank_break(BreakKind.TIMING, row, shown)
        elif amount > 0 and not self._names_somebody(said):
            self._bank_break(BreakKind.UNIDENTIFIED, row, shown)
        else:
            self._bank_break(BreakKind.MISSING_IN_LEDGER, row, shown)

    def _judge_ledger(self, row: int, channel: int | None = None) -> None:
        ledger = self.work.ledger
        reference = _told(bytes(ledger.reference[row]))
        amount = int(ledger.amount_minor[row])
        if reference and reference in self.around.bank_elsewhere:
            where = self.around.bank_elsewhere[reference]
            self._ledger_break(BreakKind.WRONG_ACCOUNT, row, where, channel)
        elif (reference and (reference, amount) in self.bank_later) or self._may_come(ledger.day[row]):
            self._ledger_break(BreakKind.TIMING, row, "", channel)
        else:
            self._ledger_break(BreakKind.MISSING_AT_BANK, row, "", channel)

    def _may_come(self, day: np.int32) -> bool:
        """The bank's statements do not reach so far that it has had its days."""
        return int(day) + self.work.rules.timing_days > self.around.bank_known_to.toordinal()

    def _names_somebody(self, said: Said) -> bool:
        known = self.around.known
        if normal(said.counterparty_account) in known:
            return True
        if any(reference in known for reference in said.references):
            return True
        return any(word in known for text in (said.text, *said.references) for word in words(text))

    # The channel between them.

    def _repeated_payments(self) -> dict[int, int]:
        """Payments the channel tells twice, and the row of the first."""
        work, channel = self.work, self.work.channel
        return dict(
            _again(
                np.flatnonzero(channel.reference != b""),
                (channel.reference, channel.gross_minor, channel.currency),
                (work.claimed_by < 0, channel.day, channel.key),
            )
        )

    def _settled(
        self,
        settled: Settled,
        repeated: dict[int, int],
        amounts: dict[tuple[bytes, int, bool], deque[int]],
    ) -> None:
        """What of a settlement the ledger has otherwise: the effects add up to bank less ledger."""
        work, bank, ledger, channel = self.work, self.work.bank, self.work.ledger, self.work.channel
        rows = list(settled.channel_rows)
        paid = total(bank.amount_minor[list(settled.bank_rows)])
        net = total(channel.net_minor[rows])
        posted: list[int] = []
        kept = 0
        if paid != net:
            # Where the ledger has the bank's sum, bank and ledger agree and only the channel differs.
            effect = 0 if settled.is_booked else paid - net
            self._settlement_break(BreakKind.AMOUNT, settled, effect)
        if not settled.is_booked:
            is_net = self._is_net(rows)
            for row in rows:
                line, fee = self._payment(row, repeated, amounts, is_net=is_net)
                kept += fee
                posted.extend(line)
            posted.extend(self._fees(settled, rows, kept, amounts))
        work.ledger_open[posted] = False
        self.groups.append(
            Group(
                settled.rule,
                tuple(sorted(bank.key[list(settled.bank_rows)].tolist())),
                tuple(sorted(ledger.position[posted].tolist())) if posted else (),
                tuple(sorted(channel.key[rows].tolist())),
                0 if settled.is_booked else paid - total(ledger.amount_minor[posted]),
            )
        )

    def _is_net(self, rows: list[int]) -> bool:
        """The ledger has more of these payments less their fees than whole."""
        work, channel = self.work, self.work.channel
        known = [row for row in rows if work.claimed_by[row] >= 0 and channel.fee_minor[row]]
        posted = work.ledger.amount_minor[work.claimed_by[known]]
        return int((posted == channel.net_minor[known]).sum()) * 2 > len(known)

    def _payment(
        self,
        row: int,
        repeated: dict[int, int],
        amounts: dict[tuple[bytes, int, bool], deque[int]],
        *,
        is_net: bool,
    ) -> tuple[list[int], int]:
        """The ledger's line of a settled payment, and the fee that the ledger must have apart from it."""
        work, channel, ledger = self.work, self.work.channel, self.work.ledger
        gross, fee = int(channel.gross_minor[row]), int(channel.fee_minor[row])
        claimed = int(work.claimed_by[row])
        if claimed >= 0:
            return [claimed], fee if int(ledger.amount_minor[claimed]) == gross else 0
        reference = _told(bytes(channel.reference[row]))
        if row in repeated:
            twin = str(int(channel.key[repeated[row]]))
            self._payment_break(BreakKind.DUPLICATE, row, gross - fee, twin)
            return [], 0
        waiting = amounts.get((bytes(channel.reference[row]), int(channel.currency[row]), gross > 0))
        while reference and waiting:
            posted = waiting.popleft()
            if work.ledger_open[posted]:
                effect = gross - (fee if is_net else 0) - int(ledger.amount_minor[posted])
                self._payment_break(BreakKind.AMOUNT, row, effect, "", int(ledger.position[posted]))
                work.ledger_open[posted] = False
                return [posted], 0 if is_net else fee
        if reference in self.around.ledger_elsewhere:
            twin = self.around.ledger_elsewhere[reference]
            self._payment_break(BreakKind.WRONG_ACCOUNT, row, gross - fee, twin)
        elif any((reference, amount) in self.ledger_later for amount in (gross, gross - fee)):
            self._payment_break(BreakKind.TIMING, row, gross - fee)
        elif gross > 0 and not reference:
            self._payment_break(BreakKind.UNIDENTIFIED, row, gross - fee)
        else:
            self._payment_break(BreakKind.MISSING_IN_LEDGER, row, gross - fee)
        return [], 0

    def _fees(
        self,
        settled: Settled,
        rows: list[int],
        kept: int,
        amounts: dict[tuple[bytes, int, bool], deque[int]],
    ) -> list[int]:
        """The ledger's lines of the fees: beside the payments, or one or more for the whole settlement."""
        work, channel, ledger = self.work, self.work.channel, self.work.ledger
        found: list[int] = []
        booked = 0
        for row in rows:
            fee = int(channel.fee_minor[row])
            wanted = (bytes(channel.reference[row]), int(channel.currency[row]), fee < 0)
            for posted in amounts.get(wanted, ()) if fee else ():
                if work.ledger_open[posted] and int(ledger.amount_minor[posted]) == -fee:
                    work.ledger_open[posted] = False
                    found.append(posted)
                    booked += fee
                    break
        if settled.reference and kept != booked:
            currency = int(channel.currency[rows[0]])
            for posted in amounts.get((settled.reference, currency, kept < booked), ()):
                if work.ledger_open[posted]:
                    work.ledger_open[posted] = False
                    found.append(posted)
                    booked -= int(ledger.amount_minor[posted])
        if kept != booked:
            kind = BreakKind.AMOUNT if found else BreakKind.MISSING_IN_LEDGER
            self._settlement_break(kind, settled, booked - kept, FEE)
        return found

    def _unsettled(self, repeated: dict[int, int]) -> None:
        """Payments the channel tells of and the bank has not had."""
        work, channel = self.work, self.work.channel
        for row in np.flatnonzero(work.channel_open).tolist():
            claimed = int(work.claimed_by[row])
            if claimed >= 0:
                if work.ledger_open[claimed]:
                    self._judge_ledger(claimed, int(channel.key[row]))
                    work.ledger_open[claimed] = False
                continue
            # Neither bank nor ledger has it: nothing between the two, but the channel owes it.
            if row in repeated:
                self._payment_break(BreakKind.DUPLICATE, row, 0, str(int(channel.key[repeated[row]])))
            elif self._may_come(channel.day[row]):
                self._payment_break(BreakKind.TIMING, row, 0)
            else:
                self._payment_break(BreakKind.MISSING_IN_LEDGER, row, 0)

    # Writing down.

    def _bank_break(self, kind: BreakKind, row: int, reference: str, twin: str = "") -> None:
        bank = self.work.bank
        amount, day = int(bank.amount_minor[row]), _day(bank.day[row])
        self.breaks.append(Break(kind, amount, day, int(bank.key[row]), None, reference, twin))

    def _ledger_break(self, kind: BreakKind, row: int, twin: str = "", channel: int | None = None) -> None:
        ledger = self.work.ledger
        effect, day = -int(ledger.amount_minor[row]), _day(ledger.day[row])
        reference = _told(bytes(ledger.reference[row]))
        position = int(ledger.position[row])
        self.breaks.append(Break(kind, effect, day, None, position, reference, twin, channel))

    def _payment_break(
        self, kind: BreakKind, row: int, effect: int, twin: str = "", position: int | None = None
    ) -> None:
        channel = self.work.channel
        reference, day = _told(bytes(channel.reference[row])), _day(channel.day[row])
        key = int(channel.key[row])
        self.breaks.append(Break(kind, effect, day, None, position, reference, twin, key))

    def _settlement_break(self, kind: BreakKind, settled: Settled, effect: int, twin: str = "") -> None:
        bank, row = self.work.bank, settled.bank_rows[0]
        reference = _told(settled.reference)
        self.breaks.append(
            Break(kind, effect, _day(bank.day[row]), int(bank.key[row]), None, reference, twin)
        )


def _again(
    rows: Ints,
    columns: tuple[Names, Ints, Ints],
    order: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> Iterator[tuple[int, int]]:
    """Of rows that are alike, each left-over one but the first, and the first.

    `order`: whether it was left over, day and key. Lines that were matched count as first, wherever they
    stand: the copy is what is left over.
    """
    if not len(rows):
        return
    left_over, day, key = order
    ids, _ = keys.identities([column[rows] for column in columns], [column[:0] for column in columns])
    placed = np.lexsort((key[rows], day[rows], left_over[rows], ids))
    rows, ids = rows[placed], ids[placed]
    starts = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]])
    firsts = np.repeat(rows[starts], np.diff(np.r_[starts, len(rows)]))
    copies = (rows != firsts) & left_over[rows]
    order_ = np.lexsort((key[rows[copies]], day[rows[copies]]))
    yield from zip(rows[copies][order_].tolist(), firsts[copies][order_].tolist(), strict=True)


def _told(reference: bytes) -> str:
    """A reference out of a column, for people; of one too long to be kept, its digest."""
    return reference.decode(errors="replace")


def _day(ordinal: np.int32) -> dt.date:
    return dt.date.fromordinal(int(ordinal))

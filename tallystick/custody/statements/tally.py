"""Adding a statement up as it streams by: counts, sums, digest, and the judgement at its end."""

from __future__ import annotations

import datetime as dt
import hashlib

from django.utils.translation import gettext_noop as _

from tallystick.custody.statements import errors
from tallystick.custody.statements.notes import Note, note
from tallystick.custody.statements.rows import Entry, Statement


class Tally:
    """The running totals of one statement. Memory does not grow with the number of entries."""

    def __init__(self) -> None:
        self.entries = 0
        self.credit_count = 0
        self.credits_minor = 0
        self.debits_minor = 0
        self.not_booked = 0
        self._pending = [0, 0, 0, 0]
        self._reversed = [0, 0]
        self._first = self._last = dt.date.min
        self._digest = hashlib.sha256()

    def add(self, entry: Entry) -> None:
        """Count one booked entry."""
        self.entries += 1
        if entry.amount_minor >= 0:
            self.credits_minor += entry.amount_minor
            self.credit_count += 1
        else:
            self.debits_minor -= entry.amount_minor
        if entry.reversal:
            self._reversed[0] += entry.amount_minor
        day = entry.booking_date
        self._first = day if self.entries == 1 else min(self._first, day)
        self._last = max(self._last, day)
        # A unit separator cannot stand in a field of either format, so no two entries can be
        # written as the same bytes.
        self._digest.update(
            "\x1f".join(
                (
                    str(entry.amount_minor),
                    entry.booking_date.isoformat(),
                    entry.value_date.isoformat(),
                    *entry.references,
                    entry.remittance,
                )
            ).encode()
            + b"\x1e"
        )

    def pass_over(self, amount_minor: int, *, reversal: bool = False) -> None:
        """Count an entry that is not booked: the bank's own summary may include it, the sum never does."""
        self._reversed[1] += amount_minor if reversal else 0
        self.not_booked += 1
        side = 0 if amount_minor >= 0 else 1
        self._pending[side] += abs(amount_minor)
        self._pending[2 + side] += 1

    @property
    def days(self) -> tuple[dt.date, dt.date] | None:
        """The first and the last booking day; `None` without an entry."""
        return (self._first, self._last) if self.entries else None

    def totals(self, *, not_booked: bool = False) -> dict[str, int]:
        """Counts and sums by their names in ISO 20022's summary, with the entries that are not booked or without."""
        credits, debits, credit_count, debit_count = self._pending if not_booked else (0, 0, 0, 0)
        credits, debits = credits + self.credits_minor, debits + self.debits_minor
        return {
            "TtlNtries/NbOfNtries": self.entries + credit_count + debit_count,
            "TtlNtries/Sum": credits + debits,
            "TtlCdtNtries/NbOfNtries": self.credit_count + credit_count,
            "TtlCdtNtries/Sum": credits,
            "TtlDbtNtries/NbOfNtries": self.entries - self.credit_count + debit_count,
            "TtlDbtNtries/Sum": debits,
        }

    def nets(self) -> set[int]:
        """What a bank's own net may be: with entries not booked or without, and reversals turned or not.

        By the standard a reversal already has the sign of its booking; the Finnish guideline turns it.
        """
        booked = self.net_minor
        every = booked + self._pending[0] - self._pending[1]
        return {
            booked,
            every,
            booked - 2 * self._reversed[0],
            every - 2 * (self._reversed[0] + self._reversed[1]),
        }

    @property
    def net_minor(self) -> int:
        """Credits less debits."""
        return self.credits_minor - self.debits_minor

    def digest(
        self,
        *,
        kind: str,
        account: str,
        currency: str,
        number: int | None,
        page: int | None,
        dates: tuple[dt.date | None, dt.date | None],
        opening_minor: int | None,
        closing_minor: int | None,
    ) -> bytes:
        """SHA-256 of the entries and then of what frames them."""
        whole = self._digest.copy()
        frame = (kind, account, currency, number, page, *dates, opening_minor, closing_minor)
        whole.update("\x1f".join(str(value) for value in frame).encode())
        return whole.digest()

    def judge(self, *, opening_minor: int, closing_minor: int, line: int, field: str) -> None:
        """Opening balance plus entries is the closing balance, exactly, or the file is refused."""
        found = opening_minor + self.net_minor
        if found != closing_minor:
            raise errors.SumDiffers(
                line=line,
                field=field,
                expected=str(closing_minor),
                found=found,
                entries=self.entries,
                difference_minor=closing_minor - found,
            )


class Repeats:
    """Entries that say the same as one before them: perhaps doubled, perhaps two equal payments.

    Bounded: an entry is compared with the `WINDOW` before it at least, and twice as many at most. An
    import compares all lines with all others, in the database.
    """

    WINDOW = 16_384

    def __init__(self) -> None:
        self._now: dict[int, int] = {}
        self._before: dict[int, int] = {}

    def notes(self, entry: Entry) -> tuple[Note, ...]:
        """A note where this entry repeats one, with the line of the first."""
        key = hash(
            (
                entry.amount_minor,
                entry.booking_date,
                entry.value_date,
                entry.references,
                entry.remittance,
                entry.counterparty_name,
                entry.counterparty_account,
                entry.code,
            )
        )
        first = self._now.get(key) or self._before.get(key)
        if first is not None:
            return (note(entry.line, "entry_repeated", first=first),)
        if len(self._now) >= self.WINDOW:
            self._before, self._now = self._now, {}
        self._now[key] = entry.line
        return ()


class Sequence:
    """The statements of one file against each other: repeated ones, pages and numbers that do not join."""

    def __init__(self) -> None:
        self._seen: dict[bytes, int] = {}
        self._last: dict[tuple[str, str, str], Statement] = {}

    def admit(self, statement: Statement, *, field: str) -> list[Note]:
        """Refuse a repeated statement and a page that does not join; note the gaps between statements."""
        number = str(statement.number or statement.identification)
        first = self._seen.setdefault(statement.digest, statement.line)
        if first != statement.line:
            raise errors.StatementRepeated(line=statement.line, field=field, number=number, first=first)
        series = (statement.account, statement.currency, statement.kind)
        before = self._last.get(series)
        self._last[series] = statement
        if before is None:
            return []
        framed = before.closing_minor is not None and statement.opening_minor is not None
        joins = before.closing_minor == statement.opening_minor
        if framed and not before.last_page and before.number == statement.number:
            # One statement in several pages: they must follow one another without a gap.
            expected_page = (before.page or 0) + 1
            if not joins or statement.page not in (None, expected_page):
                raise errors.PagesDisagree(
                    line=statement.line,
                    field=field,
                    expected=_("page {expected_page}, opening with {opening} minor units"),
                    expected_page=expected_page,
                    opening=before.closing_minor or 0,
                    page=statement.page or 0,
                    number=number,
                )
            return []
        notes = []
        if before.number and statement.number and statement.number > before.number + 1:
            notes.append(note(statement.line, "number_gap", number=statement.number, before=before.number))
        # Interim reports of one day may all open with the balance of its morning.
        if framed and not joins and statement.kind == "statement":
            opening, closing = statement.opening_minor or 0, before.closing_minor or 0
            notes.append(note(statement.line, "balance_gap", opening=opening, closing=closing))
        return notes

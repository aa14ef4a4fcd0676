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
        self.credits_minor = 0
        self.debits_minor = 0
        self._digest = hashlib.sha256()

    def add(self, entry: Entry) -> None:
        """Count one booked entry."""
        self.entries += 1
        if entry.amount_minor >= 0:
            self.credits_minor += entry.amount_minor
        else:
            self.debits_minor -= entry.amount_minor
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

    @property
    def net_minor(self) -> int:
        """Credits less debits."""
        return self.credits_minor - self.debits_minor

    def digest(
        self,
        *,
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
        frame = (account, currency, number, page, *dates, opening_minor, closing_minor)
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


class Sequence:
    """The statements of one file against each other: repeated ones, pages and numbers that do not join."""

    def __init__(self) -> None:
        self._seen: dict[bytes, int] = {}
        self._last: dict[str, Statement] = {}

    def admit(self, statement: Statement, *, field: str) -> list[Note]:
        """Refuse a repeated statement and a page that does not join; note the gaps between statements."""
        number = str(statement.number or statement.identification)
        first = self._seen.setdefault(statement.digest, statement.line)
        if first != statement.line:
            raise errors.StatementRepeated(line=statement.line, field=field, number=number, first=first)
        before = self._last.get(statement.account)
        self._last[statement.account] = statement
        if before is None or before.closing_minor is None or statement.opening_minor is None:
            return []
        joins = before.closing_minor == statement.opening_minor
        if not before.last_page and before.number == statement.number:
            # One statement in several pages: they must follow one another without a gap.
            expected_page = (before.page or 0) + 1
            if not joins or statement.page not in (None, expected_page):
                raise errors.PagesDisagree(
                    line=statement.line,
                    field=field,
                    expected=_("page {expected_page}, opening with {opening} minor units"),
                    expected_page=expected_page,
                    opening=before.closing_minor,
                    page=statement.page or 0,
                    number=number,
                )
            return []
        notes = []
        if before.number and statement.number and statement.number > before.number + 1:
            notes.append(note(statement.line, "number_gap", number=statement.number, before=before.number))
        if not joins:
            opening, closing = statement.opening_minor, before.closing_minor
            notes.append(note(statement.line, "balance_gap", opening=opening, closing=closing))
        return notes

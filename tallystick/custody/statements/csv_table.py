"""CSV, a bank's or a payment channel's, read by a declared mapping: strictly, row by row.

Every amount keeps to the declared decimal mark and thousands separator, every date to the declared format,
every row to the header. Where a column of balances is declared, each row's balance is the one before it and
the row's amount, exactly. A channel's row is net: what was paid less the channel's fee.
"""

from __future__ import annotations

import csv
import datetime as dt
import functools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

from django.utils.translation import gettext_noop as _

from tallystick.custody.statements import amounts, errors, text_lines
from tallystick.custody.statements.mapping import Mapping
from tallystick.custody.statements.notes import Notes, note
from tallystick.custody.statements.rows import Entry, Statement
from tallystick.custody.statements.tally import Repeats, Tally

COLUMNS_MAX = 1_000
CELL_MAX = 65_536
HEAD_ROWS = 200
"""Rows by which a file is told to be a table at all."""

_DATE = re.compile(
    r"(19|20)[0-9]{2}([-/.])[0-9]{1,2}\2[0-9]{1,2}|(19|20)[0-9]{2}[01][0-9][0-3][0-9](?![0-9])"
    r"|[0-9]{1,2}([-/.])[0-9]{1,2}\4[0-9]{2,4}|(19|20)[0-9]{2}年[0-9]{1,2}月[0-9]{1,2}日"
)
_AMOUNT = re.compile(r"[-+(]?[¥€$£]?[.,]?[0-9][0-9.,' ]*\)?-?")


class Reader:
    """Reads one CSV file by one mapping as a stream of entries, and the statement after them."""

    format_name = "csv"

    def __init__(
        self, source: BinaryIO, mapping: Mapping, *, encoding: str | None = None, seen: str | None = None
    ) -> None:
        # Seen in the bytes before, by whoever tries several mappings: a long file is weighed once.
        self.notes = Notes()
        self.entries = 0
        self.not_booked = 0
        self.mapping = mapping
        self._lines = text_lines.Lines(source, encoding=_codec(encoding or mapping.encoding) or seen)
        self._places: dict[str, tuple[int, ...]] = {}
        self._names: dict[str, str] = {name: " + ".join(given) for name, given in mapping.named.items()}
        self._line = 1
        self._cells: list[str] = []
        self._width = 0
        self._currency = mapping.currency or ""
        self._scale = 0
        self._account = mapping.account or ""
        self._tally = Tally()
        self._repeats = Repeats()
        self._balance: int | None = None
        self._edges: tuple[int, int] | None = None
        self._number = _number_pattern(mapping.decimal, mapping.thousands)

    @property
    def encoding(self) -> str:
        """As given or declared, or as the bytes show it."""
        return self._lines.encoding

    @property
    def bytes_read(self) -> int:
        """How far the file has been read: for progress."""
        return self._lines.tell()

    def read(self) -> Iterator[Entry | Statement]:
        """The entries, then the statement. Refuses as soon as it can."""
        if self._currency:
            self._scale = amounts.scale_of(self._currency, line=1, field="currency")
        for line, cells in self._rows():
            self._line, self._cells = line, cells
            if not self._places:
                self._take_header(cells)
                if self.mapping.header:
                    continue
            if any(self._clean(cells[0]).startswith(word) for word in self.mapping.footer):
                break
            self._judge_width(cells)
            if self.mapping.only and self._cell("only") not in self.mapping.only.values:
                self.not_booked += 1
                self.notes.append(note(line, "not_booked", status=self._cell("only")))
                continue
            entry = self._entry()
            self._tally.add(entry)
            self.notes.extend(self._repeats.notes(entry))
            self.entries += 1
            yield entry
        if not self._places and self.mapping.header:
            raise errors.NoStatement(line=self._line, field="CSV", expected=_("a header"))
        yield self._statement()

    def take_header(self) -> None:
        """Find the declared columns, or refuse the file for the one that is not there."""
        for line, cells in self._rows():
            self._line = line
            self._take_header(cells)
            return
        raise errors.NoStatement(line=self._line, field="CSV", expected=_("a header"))

    # -- rows

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Each row with the line where it begins; blank lines are passed over."""
        mapping, started = self.mapping, 0

        def lines() -> Iterator[str]:
            nonlocal started
            for number, line in self._lines:
                started = number
                if number > mapping.skip_lines:
                    yield line + "\n"

        table = csv.reader(
            lines(),
            delimiter=mapping.delimiter,
            quotechar=mapping.quote,
            quoting=csv.QUOTE_MINIMAL if mapping.quote else csv.QUOTE_NONE,
            strict=True,
        )
        last = mapping.skip_lines
        while True:
            try:
                cells = next(table, None)
            except csv.Error:
                raise errors.FieldMalformed(
                    line=max(started, 1),
                    field="CSV",
                    expected=_("a row whose quotes are closed"),
                    found=mapping.quote or "",
                ) from None
            if cells is None:
                return
            begun, last = last + 1, started
            if len(cells) > COLUMNS_MAX:
                raise errors.TooLarge(
                    line=begun, field="CSV", what=_("The row"), limit=COLUMNS_MAX, unit=_("cells")
                )
            if any(cell.strip() for cell in cells):
                yield begun, cells

    def _take_header(self, cells: list[str]) -> None:
        if not self.mapping.header:
            self._places = {
                name: tuple(int(each) - 1 for each in given) for name, given in self.mapping.named.items()
            }
            self._width = max(max(each) for each in self._places.values()) + 1
            return
        header = [self._clean(cell.lstrip("\ufeff")) for cell in cells]
        self._width = len(header)
        for name, given in self.mapping.named.items():
            for each in given:
                if header.count(each) != 1:
                    raise errors.ColumnMissing(
                        line=self._line,
                        field=name,
                        expected="{column}",
                        column=each,
                        found=amounts.shown(" | ".join(header)),
                    )
            self._places[name] = tuple(header.index(each) for each in given)

    def _judge_width(self, cells: list[str]) -> None:
        # A delimiter at the end of each row makes an empty cell more than the header has.
        found = len(cells)
        spare = any(cell.strip() for cell in cells[self._width :])
        if (self.mapping.header and (spare or found < self._width)) or found < self._width:
            raise errors.FieldMalformed(
                line=self._line,
                field="CSV",
                expected=_("a row of {width} cells"),
                width=self._width,
                found=str(found),
            )

    # -- one row

    def _entry(self) -> Entry:
        self._know_currency()
        self._know_account()
        gross, fee, amount = self._amounts()
        booked = self._day("booking_date")
        entry = Entry(
            line=self._line,
            number=self._tally.entries + 1,
            amount_minor=amount,
            booking_date=booked,
            value_date=self._day("value_date") if self._cell("value_date") else booked,
            customer_reference=self._cell("reference"),
            servicer_reference=self._cell("servicer_reference"),
            end_to_end_id=self._cell("end_to_end_id"),
            instruction_id=self._cell("instruction_id"),
            remittance=self._cell("remittance"),
            counterparty_name=self._cell("counterparty_name"),
            counterparty_account=self._cell("counterparty_account").replace(" ", ""),
            code=self._cell("code"),
            gross_minor=gross,
            fee_minor=fee,
            settlement=self._cell("settlement"),
        )
        self._judge_balance(amount)
        return entry

    def _amounts(self) -> tuple[int | None, int | None, int]:
        """Gross and fee of a channel's row, and what is booked: net, credits positive."""
        mapping = self.mapping
        if mapping.kind == "settlement":
            return self._settled()
        if mapping.columns.amount is not None:
            value = self._minor("amount")
            if mapping.sides is not None:
                side = self._cell("side")
                if side not in (*mapping.sides.credit, *mapping.sides.debit) or value < 0:
                    raise self._malformed(
                        "side", _("one of the declared words, beside an amount without a sign")
                    )
                return None, None, value if side in mapping.sides.credit else -value
            return None, None, value if mapping.positive == "credit" else -value
        debit, credit = self._cell("debit"), self._cell("credit")
        values = {name: self._minor(name) for name, text in (("debit", debit), ("credit", credit)) if text}
        if not values:
            raise errors.FieldMissing(
                line=self._line, field=self._names["credit"], expected=_("a debit or a credit")
            )
        out = values.get("debit", 0) * (-1 if mapping.debit_sign == "negative" else 1)
        if out < 0 or values.get("credit", 0) < 0:
            raise self._malformed("debit" if out < 0 else "credit", _("an amount with the declared sign"))
        if out and values.get("credit"):
            raise self._malformed("credit", _("empty beside a debit"))
        return None, None, values.get("credit", 0) - out

    def _settled(self) -> tuple[int, int, int]:
        columns, turned = self.mapping.columns, self.mapping.fee_sign == "negative"
        gross = self._minor("gross") if columns.gross else None
        fee = self._minor("fee") if columns.fee else None
        net = self._minor("net") if columns.net else None
        fee = -fee if fee is not None and turned else fee
        # A mapping declares two of the three at least.
        if fee is None:
            fee = (gross or 0) - (net or 0)
        if gross is None:
            gross = (net or 0) + fee
        if net is not None and gross - fee != net:
            raise errors.NetDiffers(
                line=self._line, field=self._names["net"], expected=str(gross - fee), found=net
            )
        return gross, fee, gross - fee

    def _judge_balance(self, amount: int) -> None:
        """Each balance follows from its neighbour. The edges of the column are the statement's balances."""
        if self.mapping.columns.balance is None:
            return
        value = self._minor("balance")
        oldest_first = self.mapping.balance_order == "oldest_first"
        # Newest first, a row's balance less its amount is the balance of the row below.
        before = value - amount
        reached = before if oldest_first else value
        if self._balance is not None and self._balance != reached:
            expected, found = (value, self._balance + amount) if oldest_first else (self._balance, value)
            raise errors.SumDiffers(
                line=self._line,
                field=self._names["balance"],
                expected=str(expected),
                found=found,
                entries=self._tally.entries + 1,
                difference_minor=expected - found,
            )
        self._balance = value if oldest_first else before
        if self._edges is None:
            self._edges = (before, value)
        elif oldest_first:
            self._edges = (self._edges[0], value)
        else:
            self._edges = (before, self._edges[1])

    def _know_currency(self) -> None:
        if self.mapping.columns.currency is None:
            return
        given = self._cell("currency").upper()
        if not self._currency:
            self._scale = amounts.scale_of(given, line=self._line, field=self._names["currency"])
            self._currency = given
        elif given != self._currency:
            raise errors.CurrencyDiffers(
                line=self._line,
                field=self._names["currency"],
                expected=self._currency,
                found=amounts.shown(given),
            )

    def _know_account(self) -> None:
        if self.mapping.columns.account is None:
            return
        given = self._cell("account").replace(" ", "")
        if not given:
            raise errors.FieldMissing(line=self._line, field=self._names["account"], expected=_("an account"))
        self._account = self._account or given
        if given != self._account.replace(" ", ""):
            raise self._malformed("account", _("the account of the rows before it"))

    # -- one cell

    def _clean(self, cell: str) -> str:
        return cell.strip().strip(self.mapping.strip + " \t").strip() if self.mapping.strip else cell.strip()

    def _cell(self, name: str) -> str:
        texts = [self._clean(self._cells[place]) for place in self._places.get(name, ())]
        return " ".join(" ".join(text.split()) for text in texts if text)

    def _minor(self, name: str) -> int:
        text = self._cell(name)
        found = self._number.match(text)
        signs = found["before"] + found["after"] if found else ""
        if found is None or signs not in ("", "+", "-", "\u2212", "()"):
            raise errors.AmountMalformed(
                line=self._line,
                field=self._names[name],
                expected=_("an amount with the declared marks, “{mark}” for decimals"),
                mark=self.mapping.decimal,
                found=amounts.shown(text),
            )
        digits = found["digits"]
        if self.mapping.thousands:
            digits = digits.replace(self.mapping.thousands, "")
        value = amounts.minor(
            digits.replace(",", "."),
            mark=".",
            currency=self._currency,
            scale=self._scale,
            line=self._line,
            field=self._names[name],
        )
        return value if signs in ("", "+") else -value

    def _day(self, name: str) -> dt.date:
        text = self._cell(name)
        if not text:
            raise errors.FieldMissing(line=self._line, field=self._names[name], expected=_("a date"))
        try:
            day = self.mapping.day(text)
        except ValueError:
            raise errors.DateImpossible(
                line=self._line,
                field=self._names[name],
                expected=_("no calendar has such a day"),
                found=amounts.shown(text),
            ) from None
        if day is None:
            raise errors.DateImpossible(
                line=self._line,
                field=self._names[name],
                expected=_("it does not keep to the declared format {form}"),
                form=self.mapping.date_format,
                found=amounts.shown(text),
            )
        return day

    def _malformed(self, name: str, expected: str) -> errors.FieldMalformed:
        return errors.FieldMalformed(
            line=self._line,
            field=self._names[name],
            expected=expected,
            found=amounts.shown(self._cell(name)),
        )

    def _statement(self) -> Statement:
        if not self._account or not self._currency:
            raise errors.NoStatement(line=self._line, field="CSV", expected=_("a row"))
        tally = self._tally
        opening, closing = self._edges or (None, None)
        if opening is not None and closing is not None:
            tally.judge(
                opening_minor=opening,
                closing_minor=closing,
                line=self._line,
                field=self._names["balance"],
            )
        account = self._account.replace(" ", "")
        is_iban = amounts.is_iban(account.upper())
        account = account.upper() if is_iban else account
        dates = tally.days or (None, None)
        return Statement(
            index=1,
            line=1 + self.mapping.skip_lines,
            account=account,
            account_is_iban=is_iban,
            currency=self._currency,
            scale=self._scale,
            identification=self.mapping.name,
            number=None,
            page=None,
            last_page=True,
            from_date=dates[0],
            to_date=dates[1],
            opening_minor=opening,
            closing_minor=closing,
            balances_are="running" if self._edges else "absent",
            entries=tally.entries,
            credits_minor=tally.credits_minor,
            debits_minor=tally.debits_minor,
            digest=tally.digest(
                kind=self.mapping.kind,
                account=account,
                currency=self._currency,
                number=None,
                page=None,
                dates=dates,
                opening_minor=opening,
                closing_minor=closing,
            ),
            not_booked=self.not_booked,
            kind=self.mapping.kind,
        )


def chosen(mappings: Sequence[Mapping], source: BinaryIO, head: bytes, *, encoding: str | None) -> Reader:
    """The reader by the first mapping whose columns stand in the file's header.

    Of one mapping alone the reader itself says which column is missing. Raises `errors.NotAStatement` for
    what is no table, and `errors.MappingMissing` for a table nobody declared.
    """
    table = is_table(head)
    detected = functools.cache(lambda: text_lines.detect(source))

    def reader(mapping: Mapping) -> Reader:
        seen = None if encoding or mapping.encoding else detected()
        return Reader(source, mapping, encoding=encoding, seen=seen)

    for mapping in mappings:
        # Without a header any table would fit: then the bytes must look like one.
        if _has_header(mapping, reader) if mapping.header else table:
            return reader(mapping)
    if not table:
        raise errors.NotAStatement("unknown")
    if len(mappings) == 1:
        return reader(mappings[0])
    raise errors.MappingMissing(line=1, field="CSV")


def _has_header(mapping: Mapping, reader: Callable[[Mapping], Reader]) -> bool:
    try:
        reader(mapping).take_header()
    except errors.StatementRefused:
        return False
    return True


def is_table(head: bytes) -> bool:
    """Whether the first bytes are rows of one length, with a column of dates and one of amounts."""
    text = head.decode("latin-1") if b"\x00" not in head else ""
    lines = [line for line in text.splitlines()[:HEAD_ROWS] if line.strip()]
    if len(head) >= 1 << 16:
        lines = lines[:-1]
    return any(_is_table(lines, delimiter) for delimiter in ",;\t|")


def _is_table(lines: list[str], delimiter: str) -> bool:
    rows: dict[int, list[list[str]]] = {}
    try:
        for row in csv.reader(lines, delimiter=delimiter):
            rows.setdefault(len(row), []).append([cell.strip("`\t ") for cell in row])
    except csv.Error:
        return False
    for width, those in rows.items():
        if width < 3 or len(those) < 2:
            continue
        # Of the rows of this length the first may be the header; of the others half may be broken.
        columns = list(zip(*those[1:], strict=True))
        dated = {at for at, column in enumerate(columns) if _most(column, _DATE)}
        counted = {at for at, column in enumerate(columns) if _most(column, _AMOUNT, whole=True)}
        if dated and counted - dated:
            return True
    return False


def _most(column: Sequence[str], pattern: re.Pattern[str], *, whole: bool = False) -> bool:
    given = [cell for cell in column if cell]
    hits = sum(bool(pattern.fullmatch(cell) if whole else pattern.match(cell)) for cell in given)
    return bool(given) and 2 * hits >= len(given)


def _codec(encoding: str | None) -> str | None:
    if encoding is None:
        return None
    try:
        return text_lines.named(encoding)
    except LookupError:
        raise errors.UnreadableText(line=1, field="encoding", encoding=amounts.shown(encoding)) from None


@functools.lru_cache(maxsize=64)
def _number_pattern(decimal: str, thousands: str | None) -> re.Pattern[str]:
    """Digits in groups of three or in none, a decimal mark, and one of: a sign before, one behind, brackets."""
    groups = f"|[0-9]{{1,3}}(?:{re.escape(thousands)}[0-9]{{3}})+" if thousands else ""
    mark = re.escape(decimal)
    digits = rf"(?:[0-9]+{groups})(?:{mark}[0-9]*)?|{mark}[0-9]+"
    return re.compile(rf"(?P<before>[-+\u2212(]?)[ ]?(?P<digits>{digits})(?P<after>[-+\u2212)]?)\Z")

"""MT940 and MT942, SWIFT's customer statement and interim report, in the envelopes and dialects banks send.

    MT940  :20: :25: :28C: :60F:                (:61: :86:)…  :62F:
    MT942  :20: :25: :28C: :34F: :13D:          (:61: :86:)…  :90D: :90C:

A message is the one or the other by its fields. An interim report has no balances, but counts and sums of
its debits and credits, which must agree. Read from the SWIFT standards release, and where banks depart from
it without touching the money, the departure is noted and the file is read: `:28:` for `:28C:`, an amount
without its comma, a long reference, several `:86:`, blank entry dates, lines before a message. Where money
or its meaning is touched the file is refused: an amount that can be read in two ways, a date no calendar
has, a field missing or out of place.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from django.utils.translation import gettext_noop as _

from tallystick.custody.statements import amounts, errors, narrative, swift_fields
from tallystick.custody.statements.notes import Notes, note
from tallystick.custody.statements.rows import Balance, Entry, Statement
from tallystick.custody.statements.swift_fields import Field
from tallystick.custody.statements.tally import Repeats, Sequence, Tally
from tallystick.custody.statements.text_lines import Lines

FIELD_LINES_MAX = 2_000
"""Lines of one field. SWIFT allows six; the longest seen has sixty."""

# Only these begin a field. A line inside `:86:` may begin `:26:37`, the tail of a wrapped time.
_TAG = re.compile(r":(20|21|25P?|28C?|60[FM]|61|62[FM]|64|65|86|NS|13D?|34F|90[CD]):")
# `-` alone, SWIFT's `-}{5:…}`, the old `-XXX`, an end-of-text character.
_END = re.compile(r"-(\}.*|\s*|XXX|[\x00-\x1f]+)\Z")
_START = re.compile(r"\{4:\s*(?=\Z|:20:)")


class Reader:
    """Reads one MT940 file as a stream of entries, each statement after its entries."""

    format_name = "mt940"
    """Of the first message: `mt940` or `mt942`."""

    def __init__(self, source: BinaryIO, *, encoding: str | None = None) -> None:
        self.notes = Notes()
        self.entries = 0
        self.not_booked = 0
        self._lines = Lines(source, encoding=encoding)
        self._sequence = Sequence()
        self._repeats = Repeats()
        self._statements = 0

    @property
    def encoding(self) -> str:
        """As given, or as the bytes show it."""
        return self._lines.encoding

    @property
    def bytes_read(self) -> int:
        """How far the file has been read: for progress."""
        return self._lines.tell()

    def read(self) -> Iterator[Entry | Statement]:
        """The entries of each statement, then the statement. Refuses as soon as it can."""
        message: _Message | None = None
        for field in self._fields():
            if field.tag == "20" or message is None:
                if message is not None:
                    yield from self._finish(message, field.line)
                message = _Message(self, field)
                continue
            if field.tag == "end":
                yield from self._finish(message, field.line)
                message = None
                continue
            entry = message.take(field)
            if message.interim and not self._statements:
                self.format_name = "mt942"
            if entry is not None:
                yield self._counted(entry)
        if message is not None:
            yield from self._finish(message, self._lines.number)
        if not self._statements:
            raise errors.NoStatement(line=1, field=":20:", expected=":20:")

    def _counted(self, entry: Entry) -> Entry:
        self.entries += 1
        self.notes.extend(self._repeats.notes(entry))
        return entry

    def _finish(self, message: _Message, line: int) -> Iterator[Entry | Statement]:
        entry = message.flush()
        if entry is not None:
            yield self._counted(entry)
        self._statements += 1
        statement = message.statement(index=self._statements, last_line=line)
        self.notes.extend(self._sequence.admit(statement, field=":28C:"))
        yield statement

    def _fields(self) -> Iterator[Field]:
        """The fields of the file; `end` where a message ends. What stands between messages is passed over."""
        field: Field | None = None
        closed = True  # Outside a message, or after its closing balance.
        for number, line in self._lines:
            start = _START.search(line) if closed or line.startswith("{") else None
            if start:
                if field is not None:
                    yield field
                    yield Field("end", number, [])
                field, closed = None, True
                # Some senders put the first field on the line of the envelope.
                line = line[start.end() :]
                if not line:
                    continue
            # In the text of a field a lone hyphen is text: a message ends only once it is closed.
            if _END.match(line) and (closed or line.startswith("-}")):
                if field is not None:
                    yield field
                    yield Field("end", number, [])
                # Two messages on one line: `-}{5:…}{1:…}{4:`.
                field, closed = None, True
                continue
            tag = _TAG.match(line)
            if tag:
                if field is not None:
                    yield field
                field = Field(tag.group(1), number, [line[tag.end() :]])
                if field.tag == "20":
                    closed = False
                elif field.tag[:2] in ("62", "90"):
                    closed = True
                continue
            if field is None or (closed and field.tag != "86" and not line.strip()):
                continue  # Headers of banks (`ABNANL2A`, `940`, `:940:`) and blank lines.
            field.lines.append(line)
            if len(field.lines) > FIELD_LINES_MAX:
                raise errors.TooLarge(
                    line=number, field=field.name, what=_("The field"), limit=FIELD_LINES_MAX, unit=_("lines")
                )
        if field is not None:
            yield field


class _Message:
    """One message: a statement or one page of it, or an interim report. Fields come in the standard's order."""

    def __init__(self, reader: Reader, first: Field) -> None:
        self.reader = reader
        self.line = first.line
        if first.tag != "20":
            raise errors.FieldMissing(
                line=first.line,
                field=":20:",
                expected=_("a message begins with it, not with {first}"),
                first=first.name,
            )
        self.identification = first.lines[0].strip()
        self.account = ""
        self.number: int | None = None
        self.page: int | None = None
        self.currency = ""
        self.scale = 0
        self.opening: Balance | None = None
        self.closing: Balance | None = None
        self.others: list[Balance] = []
        self.interim = False
        self.moment: dt.date | None = None
        self.totals: dict[bool, tuple[Field, int, int]] = {}
        self.tally = Tally()
        self._pending: Entry | None = None
        self._narratives: list[str] = []
        self._nonswift = False
        self._narrative_fields = 0

    # -- fields in their order

    def take(self, field: Field) -> Entry | None:
        """Take the next field; an entry is given once all that belongs to it has been taken."""
        tag = field.tag
        if tag in ("25", "25P"):
            self._expect(
                field, not self.account and not self._begun, _("it stands once, before the balances")
            )
            self.account = field.lines[0].strip()
            if not self.account:
                raise errors.FieldMissing(line=field.line, field=field.name, expected=_("an account"))
        elif tag in ("28", "28C"):
            self._expect(
                field, self.number is None and not self._begun, _("it stands once, before the balances")
            )
            self.number, self.page = swift_fields.number(field)
            if tag == "28":
                self._note(field.line, "old_number_field")
        elif tag in ("60F", "60M"):
            self._expect(field, not self.interim, _("an interim report, which :34F: begins, has no balances"))
            self._expect(field, self.opening is None, _("it stands once, before the entries"))
            self.opening = self._balance(field)
        elif tag == "61":
            self._expect(
                field,
                self._begun and self.closing is None and not self.totals,
                _("it stands between the balances"),
            )
            entry = self.flush()
            self._pending = self._entry(field)
            return entry
        elif tag in ("86", "NS"):
            self._take_narrative(field)
        elif tag in ("62F", "62M"):
            self._expect(
                field,
                self.opening is not None and self.closing is None,
                _("it stands once, after the opening balance"),
            )
            entry = self.flush()
            self.closing = self._balance(field)
            return entry
        elif tag in ("64", "65"):
            self._expect(field, self.closing is not None, _("it stands after the closing balance"))
            self.others.append(self._balance(field))
        elif tag == "34F" or tag[:2] in ("13", "90"):
            return self._take_interim(field)
        return None

    def _take_interim(self, field: Field) -> Entry | None:
        """The fields that only an interim report has; `:13D:` some banks also put into a statement."""
        if field.tag[:2] == "13":
            day = swift_fields.moment(field)
            self.moment = day if self.opening is None else None
            return None
        self._expect(field, self.opening is None, _("it is a field of the interim report MT942"))
        if field.tag == "34F":
            self._expect(
                field, not self.tally.entries and self._pending is None, _("it stands before the entries")
            )
            floor = swift_fields.floor(field)
            self._weigh(floor.currency, field)
            self.interim = True
            return None
        self._expect(field, self._begun, _("it stands after the floor limit, :34F:"))
        entry = self.flush()
        total = swift_fields.total(field)
        self._expect(field, total.credit not in self.totals, _("it stands once"))
        self._weigh(total.currency, field)
        self.totals[total.credit] = (field, total.count, self._minor(total.digits, field))
        return entry

    @property
    def _begun(self) -> bool:
        return self.opening is not None or self.interim

    def flush(self) -> Entry | None:
        """The entry whose fields are all taken, counted."""
        entry, self._pending = self._pending, None
        if entry is None:
            return None
        if self._narratives:
            entry = _with_narrative(entry, narrative.read(self._narratives, nonswift=self._nonswift))
        if self._narrative_fields > 1:
            self._note(entry.line, "several_narratives")
        self._narratives, self._nonswift, self._narrative_fields = [], False, 0
        self.tally.add(entry)
        return entry

    def statement(self, *, index: int, last_line: int) -> Statement:
        """The whole, judged: every field there, the currency one, the sum exact."""
        if not self.account:
            raise errors.FieldMissing(
                line=last_line, field=":25:", expected=_("a statement names its account")
            )
        if self.interim:
            self._judge_totals()
        else:
            self._judge_balances(last_line)
        if self.number is None:
            self._note(self.line, "no_number")
        account, is_iban = swift_fields.account(self.account)
        first, last = self.tally.days or (self.moment, self.moment)
        dates = (
            self.opening.date if self.opening else first,
            self.closing.date if self.closing else self.moment or last,
        )
        opening = self.opening.amount_minor if self.opening else None
        closing = self.closing.amount_minor if self.closing else None
        return Statement(
            index=index,
            line=self.line,
            account=account,
            account_is_iban=is_iban,
            currency=self.currency,
            scale=self.scale,
            identification=self.identification,
            number=self.number,
            page=self.page,
            last_page=self.closing is None or self.closing.code == "62F",
            from_date=dates[0],
            to_date=dates[1],
            opening_minor=opening,
            closing_minor=closing,
            balances_are="absent" if self.interim else "booked",
            entries=self.tally.entries,
            credits_minor=self.tally.credits_minor,
            debits_minor=self.tally.debits_minor,
            digest=self.tally.digest(
                # Two reports of one day that tell of nothing new are told apart by their names alone.
                kind="interim" + self.identification if self.interim else "statement",
                account=account,
                currency=self.currency,
                number=self.number,
                page=self.page,
                dates=dates,
                opening_minor=opening,
                closing_minor=closing,
            ),
            balances=tuple(each for each in (self.opening, self.closing, *self.others) if each),
            kind="interim" if self.interim else "statement",
        )

    # -- judgement

    def _judge_balances(self, last_line: int) -> None:
        if self.opening is None:
            raise errors.FieldMissing(line=last_line, field=":60F:", expected=_("the opening balance"))
        if self.closing is None:
            raise errors.FieldMissing(line=last_line, field=":62F:", expected=_("the closing balance"))
        opening, closing = self.opening, self.closing
        if closing.date < opening.date:
            raise errors.DateImpossible(
                line=closing.line,
                field=f":{closing.code}:",
                expected=_("the closing balance cannot be of a day before the opening one, {opening}"),
                opening=opening.date.isoformat(),
                found=closing.date.isoformat(),
            )
        self.tally.judge(
            opening_minor=opening.amount_minor,
            closing_minor=closing.amount_minor,
            line=closing.line,
            field=f":{closing.code}:",
        )

    def _judge_totals(self) -> None:
        """`:90D:` and `:90C:`, where they are given, agree with the entries in number and in sum."""
        credits, debits = self.tally.credit_count, self.tally.entries - self.tally.credit_count
        found = {
            True: (credits, self.tally.credits_minor),
            False: (debits, self.tally.debits_minor),
        }
        for credit, (field, count, minor) in self.totals.items():
            for stated, value in zip((count, minor), found[credit], strict=True):
                if stated != value:
                    raise errors.SummaryDiffers(
                        line=field.line, field=field.name, expected=str(stated), found=value
                    )

    # -- one field each

    def _take_narrative(self, field: Field) -> None:
        if self._pending is None or self.closing is not None:
            return  # To the account owner, about the statement: the original bytes keep it.
        if self._narrative_fields and field.tag == "86":
            # A new field is a new line, not the rest of the one before it.
            field.lines[0] = " " + field.lines[0]
        self._narrative_fields += field.tag == "86"
        self._nonswift = field.tag == "NS" and not self._narratives
        self._narratives.extend(field.lines)

    def _balance(self, field: Field) -> Balance:
        read = swift_fields.balance(field)
        if any(line.strip() for line in field.lines[1:]):
            self._note(field.line, "stray_text", field=field.name)
        self._weigh(read.currency, field)
        value = self._minor(read.digits, field)
        return Balance(
            code=field.tag,
            date=read.day,
            currency=read.currency,
            amount_minor=value if read.credit else -value,
            line=field.line,
        )

    def _entry(self, field: Field) -> Entry:
        read = swift_fields.movement(field)
        if read.code[:1] not in "NFS":
            self._note(field.line, "transaction_type", type=read.code)
        if read.blank_date:
            self._note(field.line, "blank_entry_date")
        value = self._minor(read.digits, field)
        return Entry(
            line=field.line,
            number=self.tally.entries + 1,
            amount_minor=value if read.credit else -value,
            booking_date=read.booking_date,
            value_date=read.value_date,
            customer_reference=read.customer_reference,
            servicer_reference=read.servicer_reference,
            remittance=read.rest,
            code=read.code,
            reversal=read.reversal,
        )

    def _weigh(self, currency: str, field: Field) -> None:
        """The message has one currency, with the decimals of ISO 4217."""
        if not self.currency:
            self.scale = amounts.scale_of(currency, line=field.line, field=field.name)
            self.currency = currency
        elif currency != self.currency:
            raise errors.CurrencyDiffers(
                line=field.line, field=field.name, expected=self.currency, found=currency
            )

    def _minor(self, text: str, field: Field) -> int:
        value = amounts.minor(
            text, mark=",", currency=self.currency, scale=self.scale, line=field.line, field=field.name
        )
        if "," not in text:
            self._note(field.line, "no_decimal_comma", field=field.name)
        return value

    def _expect(self, field: Field, holds: bool, where: str) -> None:
        if not holds:
            raise errors.FieldMisplaced(line=field.line, field=field.name, expected=where)

    def _note(self, line: int, code: str, **values: str) -> None:
        self.reader.notes.append(note(line, code, **values))


def _with_narrative(entry: Entry, told: narrative.Narrative) -> Entry:
    parts = (entry.remittance, told.remittance) if not told.end_to_end_id else (told.remittance,)
    return replace(
        entry,
        remittance=" ".join(part for part in parts if part) or told.booking_text,
        end_to_end_id=told.end_to_end_id,
        instruction_id=told.customer_reference,
        mandate_id=told.mandate_id,
        counterparty_name=told.counterparty_name,
        counterparty_account=told.counterparty_account,
    )

"""MT940, SWIFT's customer statement, in the envelopes and dialects in which banks send it.

Read from the SWIFT standards release, and where banks depart from it without touching the money, the
departure is noted and the file is read: `:28:` for `:28C:`, an amount without its comma, a long
reference, several `:86:`, blank entry dates, lines before a message. Where money or its meaning is
touched the file is refused: an amount that can be read in two ways, a date no calendar has, a field
missing or out of place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from django.utils.translation import gettext_noop as _

from tallystick.custody.statements import amounts, errors, narrative
from tallystick.custody.statements.notes import Notes, note
from tallystick.custody.statements.rows import NO_REFERENCE, Balance, Entry, Statement
from tallystick.custody.statements.tally import Sequence, Tally
from tallystick.custody.statements.text_lines import Lines

FIELD_LINES_MAX = 2_000
"""Lines of one field. SWIFT allows six; the longest seen has sixty."""

# Only these begin a field. A line inside `:86:` may begin `:26:37`, the tail of a wrapped time.
_TAG = re.compile(r":(20|21|25P?|28C?|60[FM]|61|62[FM]|64|65|86|NS|13D?|34F|90[CD]):")
# `-` alone, SWIFT's `-}{5:…}`, the old `-XXX`, an end-of-text character.
_END = re.compile(r"-(\}.*|\s*|XXX|[\x00-\x1f]+)\Z")
_START = re.compile(r"\{4:\s*(?=\Z|:20:)")

_BALANCE = re.compile(
    r"(?P<side>[CD])(?P<date>[0-9]{6})(?P<currency>[A-Z]{3})?(?P<amount>[0-9,.]*[0-9,])\s*\Z"
)
_LINE = re.compile(
    r"(?P<value>[0-9]{6})(?P<entry>[0-9]{4}|[ ]{4})?(?P<side>R?[CD])(?P<funds>[A-Z])?"
    r"(?P<amount>[0-9]+,?[0-9]*|,[0-9]+)(?P<kind>[NFS][A-Z0-9 ]{3})(?P<reference>.*)\Z"
)
_NUMBER = re.compile(r"(?P<number>[0-9]{1,18})(/(?P<page>[0-9]{1,9}))?\s*\Z")


@dataclass(slots=True)
class _Field:
    tag: str
    line: int
    lines: list[str]

    @property
    def name(self) -> str:
        return f":{self.tag}:"


class Reader:
    """Reads one MT940 file as a stream of entries, each statement after its entries."""

    format_name = "mt940"

    def __init__(self, source: BinaryIO, *, encoding: str | None = None) -> None:
        self.notes = Notes()
        self.entries = 0
        self._lines = Lines(source, encoding=encoding)
        self._sequence = Sequence()
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
            if entry is not None:
                yield self._counted(entry)
        if message is not None:
            yield from self._finish(message, self._lines.number)
        if not self._statements:
            raise errors.NoStatement(line=1, field=":20:", expected=":20:")

    def _counted(self, entry: Entry) -> Entry:
        self.entries += 1
        return entry

    def _finish(self, message: _Message, line: int) -> Iterator[Entry | Statement]:
        entry = message.flush()
        if entry is not None:
            yield self._counted(entry)
        self._statements += 1
        statement = message.statement(index=self._statements, last_line=line)
        self.notes.extend(self._sequence.admit(statement, field=":28C:"))
        yield statement

    def _fields(self) -> Iterator[_Field]:
        """The fields of the file; `end` where a message ends. What stands between messages is passed over."""
        field: _Field | None = None
        closed = True  # Outside a message, or after its closing balance.
        for number, line in self._lines:
            start = _START.search(line) if closed or line.startswith("{") else None
            if start:
                if field is not None:
                    yield field
                    yield _Field("end", number, [])
                field, closed = None, True
                # Some senders put the first field on the line of the envelope.
                line = line[start.end() :]
                if not line:
                    continue
            # In the text of a field a lone hyphen is text: a message ends only once it is closed.
            if _END.match(line) and (closed or line.startswith("-}")):
                if field is not None:
                    yield field
                    yield _Field("end", number, [])
                # Two messages on one line: `-}{5:…}{1:…}{4:`.
                field, closed = None, True
                continue
            tag = _TAG.match(line)
            if tag:
                if field is not None:
                    yield field
                field = _Field(tag.group(1), number, [line[tag.end() :]])
                if field.tag == "20":
                    closed = False
                elif field.tag[:2] == "62":
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
    """One message: a statement, or one page of it. Fields come in the order of the standard."""

    def __init__(self, reader: Reader, first: _Field) -> None:
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
        self.account_line = first.line
        self.number: int | None = None
        self.page: int | None = None
        self.opening: Balance | None = None
        self.closing: Balance | None = None
        self.scale = 0
        self.others: list[Balance] = []
        self.tally = Tally()
        self._pending: Entry | None = None
        self._narratives: list[str] = []
        self._nonswift = False
        self._narrative_fields = 0

    # -- fields in their order

    def take(self, field: _Field) -> Entry | None:
        """Take the next field; an entry is given once all that belongs to it has been taken."""
        tag = field.tag
        if tag in ("25", "25P"):
            self._expect(
                field, not self.account and self.opening is None, _("it stands once, before the balances")
            )
            self.account, self.account_line = field.lines[0].strip(), field.line
            if not self.account:
                raise errors.FieldMissing(line=field.line, field=field.name, expected=_("an account"))
        elif tag in ("28", "28C"):
            self._expect(
                field, self.number is None and self.opening is None, _("it stands once, before the balances")
            )
            self._take_number(field)
        elif tag in ("60F", "60M"):
            self._expect(field, self.opening is None, _("it stands once, before the entries"))
            self.opening = self._balance(field)
        elif tag == "61":
            self._expect(
                field, self.opening is not None and self.closing is None, _("it stands between the balances")
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
        elif tag == "34F" or tag[:2] == "90":
            raise errors.FieldMisplaced(
                line=field.line, field=field.name, expected=_("it is a field of the interim report MT942")
            )
        return None

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
        if self.opening is None:
            raise errors.FieldMissing(line=last_line, field=":60F:", expected=_("the opening balance"))
        if self.closing is None:
            raise errors.FieldMissing(line=last_line, field=":62F:", expected=_("the closing balance"))
        if self.number is None:
            self._note(self.line, "no_number")
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
        account, is_iban = _account(self.account)
        dates = (opening.date, closing.date)
        return Statement(
            index=index,
            line=self.line,
            account=account,
            account_is_iban=is_iban,
            currency=opening.currency,
            scale=self.scale,
            identification=self.identification,
            number=self.number,
            page=self.page,
            last_page=closing.code == "62F",
            from_date=opening.date,
            to_date=closing.date,
            opening_minor=opening.amount_minor,
            closing_minor=closing.amount_minor,
            balances_are="booked",
            entries=self.tally.entries,
            credits_minor=self.tally.credits_minor,
            debits_minor=self.tally.debits_minor,
            digest=self.tally.digest(
                account=account,
                currency=opening.currency,
                number=self.number,
                page=self.page,
                dates=dates,
                opening_minor=opening.amount_minor,
                closing_minor=closing.amount_minor,
            ),
            balances=(opening, closing, *self.others),
        )

    # -- one field each

    def _take_number(self, field: _Field) -> None:
        found = _NUMBER.match(field.lines[0].strip())
        if found is None:
            raise errors.FieldMalformed(
                line=field.line,
                field=field.name,
                expected=_("a statement number and a page, 12/1"),
                found=amounts.shown(field.lines[0]),
            )
        if field.tag == "28":
            self._note(field.line, "old_number_field")
        self.number = int(found["number"])
        self.page = int(found["page"]) if found["page"] else None

    def _take_narrative(self, field: _Field) -> None:
        if self._pending is None or self.closing is not None:
            return  # To the account owner, about the statement: the original bytes keep it.
        if self._narrative_fields and field.tag == "86":
            # A new field is a new line, not the rest of the one before it.
            field.lines[0] = " " + field.lines[0]
        self._narrative_fields += field.tag == "86"
        self._nonswift = field.tag == "NS" and not self._narratives
        self._narratives.extend(field.lines)

    def _balance(self, field: _Field) -> Balance:
        text = field.lines[0].strip()
        found = _BALANCE.match(text)
        if found is None or found["currency"] is None:
            expected = _("a side (C or D), a date, a currency and an amount: C201130EUR1234,56")
            raise errors.FieldMalformed(
                line=field.line, field=field.name, expected=expected, found=amounts.shown(text)
            )
        if any(line.strip() for line in field.lines[1:]):
            self._note(field.line, "stray_text", field=field.name)
        currency = found["currency"]
        if self.opening is None:
            self.scale = amounts.scale_of(currency, line=field.line, field=field.name)
        elif currency != self.opening.currency:
            raise errors.CurrencyDiffers(
                line=field.line, field=field.name, expected=self.opening.currency, found=currency
            )
        value = self._minor(found["amount"], currency, field)
        return Balance(
            code=field.tag,
            date=amounts.swift_date(found["date"], line=field.line, field=field.name),
            currency=currency,
            amount_minor=value if found["side"] == "C" else -value,
            line=field.line,
        )

    def _entry(self, field: _Field) -> Entry:
        assert self.opening is not None
        found = _LINE.match(field.lines[0].rstrip())
        if found is None:
            raise errors.FieldMalformed(
                line=field.line,
                field=field.name,
                expected=_("a value date, a side, an amount, a transaction type and a reference"),
                found=amounts.shown(field.lines[0]),
            )
        value_date = amounts.swift_date(found["value"], line=field.line, field=field.name)
        booking_date = value_date
        if found["entry"] and found["entry"].strip():
            booking_date = amounts.entry_date(found["entry"], value_date, line=field.line, field=field.name)
        elif found["entry"]:
            self._note(field.line, "blank_entry_date")
        value = self._minor(found["amount"], self.opening.currency, field)
        # RC takes a credit back, which is a debit; RD takes a debit back, which is a credit.
        credit = found["side"] in ("C", "RD")
        customer, servicer, rest = _references(found["reference"])
        more = [rest, *(line.strip() for line in field.lines[1:])]
        return Entry(
            line=field.line,
            number=self.tally.entries + 1,
            amount_minor=value if credit else -value,
            booking_date=booking_date,
            value_date=value_date,
            customer_reference=customer,
            servicer_reference=servicer,
            remittance=" ".join(text for text in more if text),
            code=found["kind"].strip(),
            reversal=found["side"].startswith("R"),
        )

    def _minor(self, text: str, currency: str, field: _Field) -> int:
        value = amounts.minor(
            text, mark=",", currency=currency, scale=self.scale, line=field.line, field=field.name
        )
        if "," not in text:
            self._note(field.line, "no_decimal_comma", field=field.name)
        return value

    def _expect(self, field: _Field, holds: bool, where: str) -> None:
        if not holds:
            raise errors.FieldMisplaced(line=field.line, field=field.name, expected=where)

    def _note(self, line: int, code: str, **values: str) -> None:
        self.reader.notes.append(note(line, code, **values))


def _account(text: str) -> tuple[str, bool]:
    """The account of `:25:`, its IBAN where it holds one, without blanks and the currency after it."""
    account = text.replace(" ", "")
    candidates = [account, *account.split("/")]
    for candidate in candidates:
        for form in (candidate.upper(), candidate.upper()[:-3]):
            if amounts.is_iban(form):
                return form, True
    return account, False


def _references(text: str) -> tuple[str, str, str]:
    """Subfields 7 and 8 of `:61:`, and what follows a reference that is longer than its 16 characters.

    Some banks pad the reference with blanks and put text after it; others write a longer reference,
    which then has no run of blanks in it and stays whole.
    """
    customer, _, servicer = text.partition("//")
    rest = ""
    if len(customer) > 16 and re.search(r"\s", customer[:17]):
        customer, rest = customer[:16], customer[16:]
    return _known(customer), _known(servicer), rest.strip()


def _known(reference: str) -> str:
    reference = reference.strip()
    return "" if reference.upper() in NO_REFERENCE else reference


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


def is_interim(source: BinaryIO) -> bool:
    """Whether the file is an MT942: it has an interim report's fields and no balance."""
    lines = Lines(source)
    interim = False
    for _number, line in lines:
        tag = _TAG.match(line)
        if tag and tag.group(1)[:2] in ("60", "62"):
            return False
        if (tag and tag.group(1) in ("34F", "90C", "90D")) or re.search(r"\{2:[IO]942", line):
            interim = True
    return interim

"""OFX, Open Financial Exchange: the bank and credit card statements of versions 1 (SGML) and 2 (XML).

Read from the specifications 1.02–1.6 and 2.0–2.3. `TRNAMT` is signed as the account's owner sees it.
`LEDGERBAL` says where the account stands, and nothing says where it stood before: the sum cannot be
checked, and that is said. An amount in a currency of its own (`CURRENCY`) is refused, one that was converted
(`ORIGCURRENCY`) is as booked. A correction of an earlier download is refused: it would have to change what
was booked.
"""

from __future__ import annotations

import codecs
import datetime as dt
import io
import re
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO

from django.utils.translation import gettext_noop as _

from tallystick.custody.statements import amounts, errors, text_lines
from tallystick.custody.statements.notes import Notes, note
from tallystick.custody.statements.ofx_tags import Tags
from tallystick.custody.statements.rows import Balance, Entry, Statement
from tallystick.custody.statements.tally import Repeats, Sequence, Tally
from tallystick.custody.statements.xml_stream import Node

HEAD_BYTES = 4_096
"""Within which a header ends."""

# Some banks write the header's lines without the line ends between them.
_HEADER = re.compile(
    r"(OFXHEADER|DATA|VERSION|SECURITY|ENCODING|CHARSET|COMPRESSION|OLDFILEUID|NEWFILEUID)\s*:\s*"
    r"(.*?)(?=(?:DATA|VERSION|SECURITY|ENCODING|CHARSET|COMPRESSION|OLDFILEUID|NEWFILEUID)\s*:|[\r\n<]|\Z)"
)
_PROCESSING = re.compile(r"<\?OFX\s([^>]*)\?>", re.IGNORECASE)
_DECLARED = re.compile(r"""<\?xml[^>]*encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([A-Z]+)\s*=\s*["']([^"']*)["']""")
_DATE = re.compile(
    r"(?P<day>[0-9]{8})([0-9]{2}([0-9]{2}([0-9]{2}([.,][0-9]{1,6})?)?)?)?"
    r"\s*(\[[+-]?[0-9.]*(:[^\]]{0,20})?\])?\Z"
)
_AMOUNT = re.compile(r"(?P<sign>[+-]?)(?P<digits>[0-9]+([.,][0-9]*)?|[.,][0-9]+)\Z")

_CHARSETS = {"1252": "cp1252", "8859-1": "iso8859-1", "iso-8859-1": "iso8859-1", "utf-8": "utf-8"}
_CREDITS = frozenset({"CREDIT", "DEP", "INT", "DIV", "DIRECTDEP"})
_DEBITS = frozenset({"DEBIT", "FEE", "SRVCHG", "CHECK", "DIRECTDEBIT", "CASH", "PAYMENT", "REPEATPMT"})
_STATEMENTS = {"STMTRS": "BANKACCTFROM", "CCSTMTRS": "CCACCTFROM"}
_MESSAGES = frozenset({"BANKMSGSRSV1", "CREDITCARDMSGSRSV1"})


class Reader:
    """Reads one OFX file as a stream of entries, each statement after its entries."""

    def __init__(self, source: BinaryIO, *, encoding: str | None = None) -> None:
        self.notes = Notes()
        self.entries = 0
        self.not_booked = 0
        self.format_name = "ofx"
        self._source = source
        header = _header(source)
        self._judge_header(header)
        self.encoding = encoding or self._encoding(header)
        self._xml = header.get("OFXHEADER", "").startswith("2")
        self._out: deque[Entry | Statement] = deque()
        self._sequence = Sequence()
        self._repeats = Repeats()
        self._statements = 0
        self._node: Node | None = None
        self._tally = Tally()
        self._currency = ""
        self._scale = 0
        self._tags: Tags | None = None

    @property
    def bytes_read(self) -> int:
        """How far the file has been read: for progress."""
        return self._source.tell()

    def read(self) -> Iterator[Entry | Statement]:
        """The entries of each statement, then the statement. Refuses as soon as it can."""
        self._source.seek(0)
        codec = "utf-8-sig" if self.encoding == "utf-8" else self.encoding
        view: io.RawIOBase = text_lines.Unclosable(self._source)
        text = io.TextIOWrapper(io.BufferedReader(view), encoding=codec, newline=None)
        self._tags = tags = Tags(
            text,
            wanted={
                "STMTTRN": self._entry,
                "STMTTRNP": self._pending,
                **dict.fromkeys(_STATEMENTS, self._statement),
                "STMTTRNRS": self._answer,
                "CCSTMTTRNRS": self._answer,
            },
        )
        try:
            for _ in tags.read():
                while self._out:
                    yield self._out.popleft()
        except UnicodeDecodeError:
            raise errors.UnreadableText(line=tags.line, field="text", encoding=self.encoding) from None
        if not self._statements:
            if tags.seen & _MESSAGES:
                raise errors.NoStatement(line=1, field="OFX", expected="STMTRS")
            raise errors.NotAStatement(self.format_name)
        if self._xml and tags.unclosed_values:
            self.notes.append(note(1, "ofx_unclosed"))

    # -- the header

    def _judge_header(self, header: dict[str, str]) -> None:
        if not header:
            self.notes.append(note(1, "no_version"))
            return
        version = header.get("VERSION", "")
        if version.isdigit():
            self.format_name = f"ofx.{version}"
        if not version:
            self.notes.append(note(1, "no_version"))
            return
        known = header.get("OFXHEADER", "") in ("100", "200") and re.match(r"[12][0-9]{2}\Z", version)
        if not known:
            raise errors.UnsupportedVersion(
                line=1, field="OFXHEADER", expected="100–199, 200–299", version=amounts.shown(version)
            )
        if header.get("COMPRESSION", "NONE").upper() not in ("NONE", "") or header.get(
            "SECURITY", "NONE"
        ).upper() not in ("NONE", ""):
            raise errors.FieldMalformed(
                line=1,
                field="COMPRESSION",
                expected=_("a file that is neither compressed nor encrypted"),
                found=amounts.shown(header.get("COMPRESSION", "") + header.get("SECURITY", "")),
            )

    def _encoding(self, header: dict[str, str]) -> str:
        """By the bytes where they show it, else as the header says."""
        found = text_lines.detect(self._source)
        declared = header.get("XMLENCODING") or header.get("CHARSET", "")
        named = _CHARSETS.get(declared.lower(), declared)
        if header.get("ENCODING", "").upper() in ("UTF-8", "UNICODE"):
            named = "utf-8"
        if found in ("us-ascii", "utf-16"):
            return found
        if found == "utf-8":
            if named and named.lower() not in ("utf-8", "none", "utf8"):
                self.notes.append(note(1, "encoding_differs", declared=declared, found=found))
            return found
        if not named or named.lower() in ("none", "utf-8", "utf8", "us-ascii"):
            self.notes.append(note(1, "encoding_differs", declared=declared or "–", found=found))
            return found
        try:
            return text_lines.named(named)
        except LookupError:
            raise errors.UnreadableText(line=1, field="CHARSET", encoding=amounts.shown(named)) from None

    # What follows is called as the tags are read.

    def _answer(self, node: Node, parent: Node | None) -> None:
        """The bank's answer to one request: an error has no statement, and says why."""
        if node.value("STATUS", "SEVERITY").upper() == "ERROR":
            status = node.get("STATUS")
            raise errors.NoStatement(
                line=status.line if status else node.line,
                field=f"{node.name}/STATUS",
                expected="STMTRS ({code} {text})",
                code=node.value("STATUS", "CODE"),
                text=amounts.shown(node.value("STATUS", "MESSAGE")),
            )

    def _pending(self, node: Node, parent: Node | None) -> None:
        self.not_booked += 1
        self.notes.append(note(node.line, "not_booked", status="STMTTRNP"))

    def _entry(self, node: Node, parent: Node | None) -> None:
        assert self._tags is not None
        within = self._tags.enclosing("BANKTRANLIST", "INVTRANLIST", *_STATEMENTS)
        if within is None or within.name == "INVTRANLIST":
            return  # Of an investment statement.
        if within.name != "BANKTRANLIST":
            raise errors.FieldMisplaced(
                line=node.line, field="STMTTRN", expected=_("it stands in a BANKTRANLIST")
            )
        self._begin()
        for name in ("DTPOSTED", "TRNAMT"):
            if not node.value(name):
                raise errors.FieldMissing(
                    line=node.line, field=f"STMTTRN/{name}", expected=_("each entry has one")
                )
        self._judge_kind(node)
        amount = self._amount(node, "TRNAMT", "STMTTRN")
        booked = _day(node, "DTPOSTED", "STMTTRN")
        kind = node.value("TRNTYPE").upper()
        if (kind in _CREDITS and amount < 0) or (kind in _DEBITS and amount > 0):
            self.notes.append(note(node.line, "type_differs", type=kind))
        if not node.value("FITID"):
            self.notes.append(note(node.line, "no_fitid"))
        entry = Entry(
            line=node.line,
            number=self._tally.entries + 1,
            amount_minor=amount,
            booking_date=booked,
            value_date=_day(node, "DTAVAIL", "STMTTRN") if node.value("DTAVAIL") else booked,
            customer_reference=node.first("REFNUM", "CHECKNUM"),
            servicer_reference=node.value("FITID"),
            instruction_id=node.value("SRVRTID"),
            remittance=node.value("MEMO"),
            counterparty_name=node.first("NAME", "PAYEE/NAME"),
            counterparty_account=node.first("BANKACCTTO/ACCTID", "CCACCTTO/ACCTID").replace(" ", ""),
            code=kind,
        )
        self._tally.add(entry)
        self.notes.extend(self._repeats.notes(entry))
        self.entries += 1
        self._out.append(entry)

    def _judge_kind(self, node: Node) -> None:
        own = node.get("CURRENCY", "CURSYM")
        if own is not None and own.text.strip() not in ("", self._currency):
            raise errors.CurrencyDiffers(
                line=own.line,
                field="STMTTRN/CURRENCY/CURSYM",
                expected=self._currency,
                found=amounts.shown(own.text.strip()),
            )
        correction = node.get("CORRECTACTION") or node.get("CORRECTFITID")
        if correction is not None and correction.text.strip():
            raise errors.FieldMisplaced(
                line=correction.line,
                field=f"STMTTRN/{correction.name}",
                expected=_("a statement that is right by itself: this one corrects an earlier one"),
            )

    def _begin(self) -> None:
        """At the first entry or the end of a statement: what it said before, which is its currency."""
        assert self._tags is not None
        if self._node is None:
            self._node = self._tags.enclosing(*_STATEMENTS)
        if self._node is None or self._currency:
            return
        given = self._node.get("CURDEF")
        if given is None or not given.text.strip():
            raise errors.FieldMissing(
                line=given.line if given else self._node.line,
                field=f"{self._node.name}/CURDEF",
                expected=_("a statement names its currency"),
            )
        self._currency = given.text.strip().upper()
        self._scale = amounts.scale_of(self._currency, line=given.line, field=f"{self._node.name}/CURDEF")

    def _statement(self, node: Node, parent: Node | None) -> None:
        self._node = node
        self._begin()
        tally, self._tally = self._tally, Tally()
        currency, scale = self._currency, self._scale
        where = node.get(_STATEMENTS[node.name])
        account = where.value("ACCTID").replace(" ", "") if where else ""
        if not account:
            raise errors.FieldMissing(
                line=where.line if where else node.line,
                field=f"{node.name}/{_STATEMENTS[node.name]}/ACCTID",
                expected=_("a statement names its account"),
            )
        closing = self._balance(node)
        if closing is None:
            self.notes.append(note(node.line, "no_balances"))
        dates = self._dates(node, tally, closing)
        self._node, self._currency = None, ""
        self._statements += 1
        identification = parent.value("TRNUID") if parent is not None else ""
        statement = Statement(
            index=self._statements,
            line=node.line,
            account=account,
            account_is_iban=amounts.is_iban(account.upper()),
            currency=currency,
            scale=scale,
            identification=identification,
            number=None,
            page=None,
            last_page=True,
            from_date=dates[0],
            to_date=dates[1],
            opening_minor=None,
            closing_minor=closing.amount_minor if closing else None,
            balances_are="closing" if closing else "absent",
            entries=tally.entries,
            credits_minor=tally.credits_minor,
            debits_minor=tally.debits_minor,
            digest=tally.digest(
                kind="statement",
                account=account,
                currency=currency,
                number=None,
                page=None,
                dates=dates,
                opening_minor=None,
                closing_minor=closing.amount_minor if closing else None,
            ),
            balances=(closing,) if closing else (),
        )
        self.notes.extend(self._sequence.admit(statement, field=node.name))
        self._out.append(statement)

    def _balance(self, node: Node) -> Balance | None:
        given = node.get("LEDGERBAL")
        if given is None:
            return None
        return Balance(
            code="LEDGERBAL",
            date=_day(given, "DTASOF", "LEDGERBAL"),
            currency=self._currency,
            amount_minor=self._amount(given, "BALAMT", "LEDGERBAL"),
            line=given.line,
        )

    def _dates(
        self, node: Node, tally: Tally, closing: Balance | None
    ) -> tuple[dt.date | None, dt.date | None]:
        listed = node.get("BANKTRANLIST")
        first, last = tally.days or (None, None)
        if listed is None:
            return None, closing.date if closing else None
        start = _day(listed, "DTSTART", "BANKTRANLIST") if listed.value("DTSTART") else first
        end = _day(listed, "DTEND", "BANKTRANLIST") if listed.value("DTEND") else None
        if start and end and end < start:
            raise errors.DateImpossible(
                line=listed.line,
                field="BANKTRANLIST/DTEND",
                expected=_("the period cannot end before it begins, {opening}"),
                opening=start.isoformat(),
                found=end.isoformat(),
            )
        return start, end or (closing.date if closing else last)

    def _amount(self, node: Node, name: str, field: str) -> int:
        given = node.get(name)
        text = given.text.strip() if given is not None else ""
        line = given.line if given is not None else node.line
        if not text:
            raise errors.FieldMissing(line=line, field=f"{field}/{name}", expected=_("an amount"))
        found = _AMOUNT.match(text)
        if found is None:
            raise errors.AmountMalformed(
                line=line,
                field=f"{field}/{name}",
                expected=_("a sign at most, digits and one decimal mark at most"),
                found=amounts.shown(text),
            )
        value = amounts.minor(
            found["digits"].replace(",", "."),
            mark=".",
            currency=self._currency,
            scale=self._scale,
            line=line,
            field=f"{field}/{name}",
        )
        return -value if found["sign"] == "-" else value


def is_ofx(head: bytes) -> bool:
    """Whether the first bytes, byte order mark and UTF-16 taken off, are those of an OFX file."""
    start = head.lstrip()
    if start[:9].upper() == b"OFXHEADER":
        return True
    first = re.search(
        rb"<([A-Za-z][A-Za-z0-9._:-]*)", re.sub(rb"<\?.*?\?>|<!--.*?-->", b"", start, flags=re.S)
    )
    return start[:1] == b"<" and first is not None and first.group(1).upper() == b"OFX"


def _header(source: BinaryIO) -> dict[str, str]:
    """What stands before `<OFX>`, by name; empty where nothing does."""
    source.seek(0)
    head = source.read(HEAD_BYTES)
    source.seek(0)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        head = head[2:].replace(b"\0", b"")
    text = head.decode("latin-1")
    upper = text.upper().find("<OFX>")
    before = text[:upper] if upper >= 0 else text
    processing = _PROCESSING.search(before)
    if processing is None:
        return {name: value.strip() for name, value in _HEADER.findall(before)}
    header = {name.upper(): value for name, value in _ATTRIBUTE.findall(processing.group(1))}
    declared = _DECLARED.search(before)
    if declared:
        header["XMLENCODING"] = declared.group(1)
    return header


def _day(node: Node, name: str, field: str) -> dt.date:
    """The day of an OFX date, as the bank wrote it: its time and zone are not applied."""
    given = node.get(name)
    text = given.text.strip() if given is not None else ""
    line = given.line if given is not None else node.line
    if not text:
        raise errors.FieldMissing(line=line, field=f"{field}/{name}", expected=_("a date"))
    found = _DATE.match(text)
    if found is not None:
        try:
            return dt.date(int(text[:4]), int(text[4:6]), int(text[6:8]))
        except ValueError:
            pass
    raise errors.DateImpossible(
        line=line,
        field=f"{field}/{name}",
        expected=_("no calendar has such a day") if found else _("a date is year, month, day and a time"),
        found=amounts.shown(text),
    )

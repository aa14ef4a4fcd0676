"""ISO 20022's messages to an account's owner, versions 02 to 14, and files without a namespace.

    camt.053  BkToCstmrStmt           the statement of a period: it adds up from balance to balance
    camt.052  BkToCstmrAcctRpt        what is booked, and pending, so far: an interim report
    camt.054  BkToCstmrDbtCdtNtfctn   a notification of single debits and credits: it has no balances

Read from the message definition reports, element by element. One `Ntry` is one booked movement: its
amount is booked once, however many `TxDtls` it explains itself with. `RvslInd` does not turn the
sign: `CdtDbtInd` already says which way the money went. Only booked entries count.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from django.utils.translation import gettext_noop as _

from tallystick.custody.statements import camt_balances, camt_fields, camt_transaction, errors
from tallystick.custody.statements.camt_balances import Head
from tallystick.custody.statements.notes import Notes, note
from tallystick.custody.statements.rows import Detail, Entry, Statement
from tallystick.custody.statements.tally import Repeats, Sequence, Tally
from tallystick.custody.statements.xml_stream import Node, Stream

VERSIONS = range(2, 15)
DETAILS_MAX = 200_000
"""Transactions in one entry: a batch of this size is the largest a scheme allows twice over."""

_VERSION = re.compile(r"(camt\.05[234])\.001\.([0-9]{2})")
_MESSAGE = re.compile(r"[a-z]{4}\.[0-9]{3}\.[0-9]{3}\.[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Message:
    """One of the three messages: its names for what all three have."""

    name: str
    part: str
    pagination: str
    kind: str


MESSAGES = {
    "BkToCstmrStmt": Message("camt.053", "Stmt", "StmtPgntn", "statement"),
    "BkToCstmrAcctRpt": Message("camt.052", "Rpt", "RptPgntn", "interim"),
    "BkToCstmrDbtCdtNtfctn": Message("camt.054", "Ntfctn", "NtfctnPgntn", "notification"),
}
"""By the root element of the message."""


class Reader:
    """Reads one file as a stream of entries, each statement after its entries."""

    format_name = "camt"

    def __init__(self, source: BinaryIO) -> None:
        self.notes = Notes()
        self.entries = 0
        self.not_booked = 0
        self._out: deque[Entry | Statement] = deque()
        self._stream = Stream(
            source,
            roots=tuple(MESSAGES),
            on_root=self._judge_version,
            wanted={
                "TxDtls": self._transaction,
                "Ntry": self._entry,
                **{message.part: self._statement for message in MESSAGES.values()},
            },
        )
        self._message = MESSAGES["BkToCstmrStmt"]
        self._sequence = Sequence()
        self._repeats = Repeats()
        self._statements = 0
        self._head: Head | None = None
        self._tally = Tally()
        self._details: list[Node] = []

    @property
    def encoding(self) -> str:
        """As the file declares it, or what XML says holds where it does not."""
        return self._stream.encoding

    @property
    def bytes_read(self) -> int:
        """How far the file has been read: for progress."""
        return self._stream.bytes_read

    def read(self) -> Iterator[Entry | Statement]:
        """The entries of each statement, then the statement. Refuses as soon as it can."""
        try:
            for _ in self._stream.read():
                while self._out:
                    yield self._out.popleft()
        except errors.StatementRefused:
            # A broken file that never got as far as its message is ours only if it says so.
            words = [word.encode() for word in (*MESSAGES, *(each.name for each in MESSAGES.values()))]
            if self._stream.namespace is None and not self._stream.head_names(*words):
                self._not_ours()
            raise
        if self._stream.namespace is None:
            self._not_ours()
            raise errors.NoStatement(line=1, field="Document", expected="BkToCstmrStmt")
        if not self._statements:
            part = self._message.part
            raise errors.NoStatement(line=self._stream.root_line, field=self._stream.root, expected=part)

    def _not_ours(self) -> None:
        """Say what the file is where it is none of the three; return where it is one without its root."""
        namespace = self._stream.document_namespace or ""
        if found := _VERSION.search(namespace):
            self.format_name = found.group()
            self._judge_number(int(found.group(2)))
            return
        message = _MESSAGE.search(namespace)
        if message:
            raise errors.NotAStatement(message.group())
        # A file that is not even XML has no element.
        raise errors.NotAStatement("xml" if self._stream.document_name else "unknown")

    def _judge_version(self) -> None:
        self._message = MESSAGES[self._stream.root]
        self.format_name = self._message.name
        namespace = self._stream.namespace or ""
        found = _VERSION.search(namespace)
        if found is None:
            self.notes.append(note(self._stream.root_line, "no_version"))
            return
        if found.group(1) != self._message.name:
            raise errors.FieldMisplaced(
                line=self._stream.root_line,
                field=self._stream.root,
                expected=_("the file says that it is {message}"),
                message=found.group(),
            )
        self.format_name = found.group()
        self._judge_number(int(found.group(2)))

    def _judge_number(self, version: int) -> None:
        if version not in VERSIONS:
            name = self.format_name[:8]
            raise errors.UnsupportedVersion(
                line=max(self._stream.root_line, 1),
                field="Document",
                expected=f"{name}.001.{VERSIONS[0]:02} – {VERSIONS[-1]:02}",
                version=self.format_name,
            )

    # What follows is called by the stream, element by element.

    def _transaction(self, node: Node, parent: Node | None) -> None:
        if parent is None or parent.name != "NtryDtls":
            return
        self._details.append(node)
        if len(self._details) > DETAILS_MAX:
            raise errors.TooLarge(
                line=node.line,
                field="NtryDtls",
                what=_("The batch"),
                limit=DETAILS_MAX,
                unit=_("transactions"),
            )

    def _entry(self, node: Node, parent: Node | None) -> None:
        details, self._details = self._details, []
        if parent is None or parent.name != self._message.part:
            return
        if self._head is None:
            self._head = Head(parent, node, part=self._message.part)
        head = self._head
        status = node.first("Sts/Cd", "Sts", "Sts/Prtry")
        if not status:
            raise errors.FieldMissing(line=node.line, field="Ntry/Sts", expected=_("each entry has a status"))
        amount = camt_fields.signed(node, head.currency, head.scale, field="Ntry")
        booked, value = self._days(node, head)
        reversal = node.value("RvslInd") in ("true", "1")
        if status != "BOOK":
            self.not_booked += 1
            self._tally.pass_over(amount, reversal=reversal)
            self.notes.append(note(node.line, "not_booked", status=status))
            return
        rows = tuple(
            camt_transaction.detail(each, amount, currency=head.currency, scale=head.scale)
            for each in details
        )
        only = rows[0] if len(rows) == 1 else Detail(node.line)
        self._judge_batch(node, rows, amount, head)
        entry = Entry(
            line=node.line,
            number=self._tally.entries + 1,
            amount_minor=amount,
            booking_date=booked,
            value_date=value,
            customer_reference=node.value("NtryRef"),
            servicer_reference=node.value("AcctSvcrRef") or only.servicer_reference,
            end_to_end_id=only.end_to_end_id,
            instruction_id=only.instruction_id or node.first("NtryDtls/Btch/PmtInfId", "NtryDtls/Btch/MsgId"),
            transaction_id=only.transaction_id,
            mandate_id=only.mandate_id,
            remittance=only.remittance or node.value("AddtlNtryInf"),
            counterparty_name=only.counterparty_name,
            counterparty_account=only.counterparty_account,
            code=camt_transaction.transaction_code(node),
            reversal=reversal,
            details=rows,
        )
        self._tally.add(entry)
        self.notes.extend(self._repeats.notes(entry))
        self.entries += 1
        self._out.append(entry)

    def _days(self, node: Node, head: Head) -> tuple[dt.date, dt.date]:
        """Booking and value day of an entry: either may be left out, and then is the other."""
        booking, value = node.get("BookgDt"), node.get("ValDt")
        days = [
            camt_fields.day(given, field=f"Ntry/{given.name}")
            for given in (booking, value)
            if given is not None
        ]
        if not days:
            day = head.day(self._stream.message)
            if day is None:
                raise errors.FieldMissing(
                    line=node.line, field="Ntry/BookgDt", expected=_("an entry is booked on a day")
                )
            self.notes.append(note(node.line, "no_entry_date", day=day.isoformat()))
            days = [day]
        return days[0], days[-1]

    def _judge_batch(self, node: Node, rows: tuple[Detail, ...], amount: int, head: Head) -> None:
        """Note where a batch says of itself another number or sum than it has. The entry is booked all the same."""
        if len(rows) > 1 and all(row.amount_minor is not None for row in rows):
            total = sum(row.amount_minor or 0 for row in rows)
            if total != amount:
                self.notes.append(
                    note(node.line, "details_differ", count=len(rows), total=total, amount=amount)
                )
        batches = [each.get("Btch") for each in node.all("NtryDtls")]
        stated = [each for each in batches if each is not None]
        if not stated or len(stated) != len(batches):
            return
        counts = [camt_fields.number(each, "NbOfTxs", field="Btch") for each in stated]
        if rows and None not in counts:
            count = sum(each or 0 for each in counts)
            if count != len(rows):
                self.notes.append(note(node.line, "batch_counts", stated=count, count=len(rows)))
        sums = [each.get("TtlAmt") for each in stated]
        if all(each is not None and each.currency == head.currency for each in sums):
            total = sum(
                camt_fields.unsigned(each, currency=head.currency, scale=head.scale, field="Btch/TtlAmt")
                for each in sums
                if each is not None
            )
            if total != abs(amount):
                self.notes.append(note(node.line, "batch_differs", total=total, amount=abs(amount)))

    def _statement(self, node: Node, parent: Node | None) -> None:
        if parent is None or parent.name != self._stream.root or node.name != self._message.part:
            return
        # The balances may, against the order of the standard, follow the entries: read them again.
        part = self._message.part
        head = Head(node, None, part=part, first=self._head)
        tally, self._tally, self._head = self._tally, Tally(), None
        self._statements += 1
        basis, opening, closing = self._judge_sum(head, tally)
        camt_balances.judge_summary(node, tally, head)
        first, last = tally.days or (None, None)
        from_date = head.from_date or (head.opening.date if head.opening else None) or first
        to_date = head.to_date or (head.closing.date if head.closing else None) or last
        to_date = to_date or head.day(parent)
        number = camt_fields.number(node, "ElctrncSeqNb", field=part)
        if number is None:
            number = camt_fields.number(node, "LglSeqNb", field=part)
        page = camt_fields.number(node, self._message.pagination, "PgNb", field=part)
        statement = Statement(
            index=self._statements,
            line=node.line,
            account=head.account,
            account_is_iban=head.account_is_iban,
            currency=head.currency,
            scale=head.scale,
            identification=node.value("Id"),
            number=number,
            page=page,
            last_page=node.value(self._message.pagination, "LastPgInd") not in ("false", "0"),
            from_date=from_date,
            to_date=to_date,
            opening_minor=opening,
            closing_minor=closing,
            balances_are=basis,
            entries=tally.entries,
            credits_minor=tally.credits_minor,
            debits_minor=tally.debits_minor,
            digest=tally.digest(
                # Notifications of equal payments are told apart by their names alone.
                kind=self._message.kind + (node.value("Id") if self._message.kind != "statement" else ""),
                account=head.account,
                currency=head.currency,
                number=number,
                page=page,
                dates=(from_date, to_date),
                opening_minor=opening,
                closing_minor=closing,
            ),
            balances=head.balances,
            not_booked=tally.not_booked,
            kind=self._message.kind,
        )
        self.notes.extend(self._sequence.admit(statement, field=part))
        self._out.append(statement)

    def _judge_sum(self, head: Head, tally: Tally) -> tuple[str, int | None, int | None]:
        """What the balances are worth, and the two that frame the entries; refuses where they do not add up."""
        opening, closing, basis = head.opening, head.closing, head.balances_are
        if basis == "absent" or opening is None or closing is None:
            if self._message.kind == "statement":
                self.notes.append(note(head.node.line, "no_balances"))
            return "absent", None, None
        adds_up = opening.amount_minor + tally.net_minor == closing.amount_minor
        if not adds_up and basis == "available":
            # Available balances do not promise to add up.
            self.notes.append(note(head.node.line, "no_balances"))
            return "absent", None, None
        if not adds_up and self._begins_between(head):
            # The balance is of the whole day, the entries are those since the last report.
            self.notes.append(note(head.node.line, "interim_balances"))
            return "absent", None, None
        tally.judge(
            opening_minor=opening.amount_minor,
            closing_minor=closing.amount_minor,
            line=closing.line,
            field=f"{head.part}/Bal",
        )
        if basis == "available":
            self.notes.append(note(head.node.line, "available_balances"))
        return basis, opening.amount_minor, closing.amount_minor

    def _begins_between(self, head: Head) -> bool:
        """Whether an interim report tells only of the later part of the day that its balances frame."""
        if self._message.kind != "interim" or head.closing is None or head.opening is None:
            return False
        if head.closing.code != "ITBD" or head.opening.code == "ITBD":
            return False
        return head.begins_later or (head.opening.code == "PRCD" and head.from_date is None)

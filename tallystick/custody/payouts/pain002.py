"""pain.002: the bank's answer to a batch, read strictly: the group's status, and each payment's.

Promises: what is read is what the file says, with its line; a status that is none of ISO 20022's, an amount in
another currency or a payment without an id is a refusal that names the line. The XML is read as statements are:
no document type, no entities, bounded in depth and size (`statements.xml_stream`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO

from django.utils.translation import gettext_noop as _

from tallystick.custody.statements import amounts, errors, xml_stream
from tallystick.custody.statements.xml_stream import Node

ROOT = "CstmrPmtStsRpt"
LINES_MAX = 20_000
"""The most payments one answer speaks of."""

_VERSION = re.compile(r"pain\.002\.001\.[0-9]{2}\Z")


class Meaning(StrEnum):
    """What a status says of a payment's fate."""

    WAITING = "waiting"
    ACCEPTED = "accepted"
    SETTLED = "settled"
    REJECTED = "rejected"
    PARTLY = "partly"


MEANINGS = {
    **dict.fromkeys(("PDNG", "RCVD"), Meaning.WAITING),
    **dict.fromkeys(("ACCP", "ACTC", "ACSP", "ACWC", "ACWP", "ACFC", "PATC", "PRES"), Meaning.ACCEPTED),
    **dict.fromkeys(("ACSC", "ACCC"), Meaning.SETTLED),
    **dict.fromkeys(("RJCT", "CANC", "BLCK"), Meaning.REJECTED),
    "PART": Meaning.PARTLY,
}
"""ISO 20022's payment statuses (ExternalPaymentTransactionStatus1Code and …GroupStatus1Code)."""


@dataclass(frozen=True, slots=True)
class Status:
    """A status, with the reason where one is given."""

    line: int
    code: str
    reason: str

    @property
    def meaning(self) -> Meaning:
        return MEANINGS[self.code]


@dataclass(frozen=True, slots=True)
class Line:
    """What is said of one payment. An amount of nothing: none is told."""

    line: int
    end_to_end_id: str
    status: Status
    amount_minor: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole answer. `group` holds for every payment that no line speaks of; nothing: the bank says none."""

    format_name: str
    message_id: str
    original_message_id: str
    original_line: int
    group: Status | None
    lines: tuple[Line, ...]


def read(source: BinaryIO, *, currency: str, scale: int) -> Answer:
    """The answer in this file. Raises `NotAStatement` where it is none, or a `StatementRefused`."""
    return _Reading(source, currency, scale).answer()


def original_of(source: BinaryIO) -> tuple[str, int]:
    """Which message this file answers, and where it says so: amounts are not looked at."""
    found = _Reading(source, "", 0).answer()
    return found.original_message_id, found.original_line


class _Reading:
    """One pass over a file. Without a currency amounts are passed over."""

    def __init__(self, source: BinaryIO, currency: str, scale: int) -> None:
        self._currency, self._scale = currency, scale
        self._lines: dict[str, Line] = {}
        self._message_id = ""
        self._original: tuple[str, int] | None = None
        self._group: Status | None = None
        self._payment_group: Status | None = None
        self._format = ""
        self._stream = xml_stream.Stream(
            source,
            roots=(ROOT,),
            on_root=self._begin,
            wanted={
                "GrpHdr": self._header,
                "OrgnlGrpInfAndSts": self._original_group,
                "TxInfAndSts": self._transaction,
                "OrgnlPmtInfAndSts": self._payment_information,
            },
        )

    def answer(self) -> Answer:
        for _read in self._stream.read():
            pass
        if self._stream.namespace is None:
            raise errors.NotAStatement(self._stream.document_name or "unknown")
        if self._original is None:
            raise errors.FieldMissing(
                line=self._stream.root_line,
                field="OrgnlGrpInfAndSts/OrgnlMsgId",
                expected=_("the batch it answers"),
            )
        return Answer(
            self._format, self._message_id, *self._original, self._payment_group or self._group,
            tuple(self._lines.values()),
        )  # fmt: skip

    def _begin(self) -> None:
        found = _VERSION.search(self._stream.namespace or "")
        if found is None:
            raise errors.UnsupportedVersion(
                line=self._stream.line,
                field="Document/@xmlns",
                expected="pain.002.001.03 – .15",
                version=amounts.shown(self._stream.namespace or "–"),
            )
        self._format = found[0]

    def _header(self, node: Node, parent: Node | None) -> None:
        self._message_id = node.value("MsgId")[:35]

    def _original_group(self, node: Node, parent: Node | None) -> None:
        original = node.value("OrgnlMsgId")
        if not original:
            raise errors.FieldMissing(
                line=node.line, field="OrgnlGrpInfAndSts/OrgnlMsgId", expected=_("the batch it answers")
            )
        self._original = (original, node.line)
        self._group = self._status(node, "GrpSts")

    def _payment_information(self, node: Node, parent: Node | None) -> None:
        # One payment information to a batch of ours: its status is as good as the group's.
        self._payment_group = self._status(node, "PmtInfSts") or self._payment_group

    def _transaction(self, node: Node, parent: Node | None) -> None:
        end_to_end_id = node.value("OrgnlEndToEndId")
        if not end_to_end_id:
            raise errors.FieldMissing(
                line=node.line, field="TxInfAndSts/OrgnlEndToEndId", expected=_("the payment it speaks of")
            )
        if end_to_end_id in self._lines:
            raise errors.FieldMisplaced(
                line=node.line, field="TxInfAndSts/OrgnlEndToEndId", expected=_("one status for each payment")
            )
        if len(self._lines) >= LINES_MAX:
            raise errors.TooLarge(
                line=node.line,
                field="TxInfAndSts",
                what=_("One part of the message"),
                limit=LINES_MAX,
                unit=_("elements"),
            )
        status = self._status(node, "TxSts")
        if status is None:
            raise errors.FieldMissing(line=node.line, field="TxInfAndSts/TxSts", expected=_("a status"))
        if status.meaning == Meaning.PARTLY:
            raise errors.FieldMalformed(
                line=node.line,
                field="TxInfAndSts/TxSts",
                expected=_("a status of one payment"),
                found=status.code,
            )
        self._lines[end_to_end_id] = Line(node.line, end_to_end_id, status, self._amount(node))

    def _amount(self, node: Node) -> int | None:
        amount = node.get("OrgnlTxRef", "Amt", "InstdAmt")
        if amount is None or not self._currency:
            return None
        if amount.currency != self._currency:
            raise errors.CurrencyDiffers(
                line=amount.line,
                field="OrgnlTxRef/Amt/InstdAmt/@Ccy",
                expected=self._currency,
                found=amounts.shown(amount.currency),
            )
        return amounts.minor(
            amount.text,
            mark=".",
            currency=self._currency,
            scale=self._scale,
            line=amount.line,
            field="OrgnlTxRef/Amt/InstdAmt",
        )

    def _status(self, node: Node, name: str) -> Status | None:
        code = node.value(name)
        if not code:
            return None
        if code not in MEANINGS:
            raise errors.FieldMalformed(
                line=node.line,
                field=f"{node.name}/{name}",
                expected=", ".join(MEANINGS),
                found=amounts.shown(code),
            )
        told = []
        for each in node.all("StsRsnInf"):
            words = [each.first("Rsn/Cd", "Rsn/Prtry"), *(more.text.strip() for more in each.all("AddtlInf"))]
            told.append(" ".join(filter(None, words)))
        return Status(node.line, code, amounts.shown("; ".join(filter(None, told)))[:200])

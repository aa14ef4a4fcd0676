"""camt.053, ISO 20022's bank-to-customer statement: versions 02 to 14, and files without a namespace.

Read from the message definition reports, element by element. One `Ntry` is one booked movement: its
amount is booked once, however many `TxDtls` it explains itself with. `RvslInd` does not turn the
sign: `CdtDbtInd` already says which way the money went. Only booked entries count.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO

from django.utils.translation import gettext_noop as _

from tallystick.custody.statements import amounts, errors
from tallystick.custody.statements.notes import Notes, note
from tallystick.custody.statements.rows import Balance, Detail, Entry, Statement
from tallystick.custody.statements.tally import Sequence, Tally
from tallystick.custody.statements.xml_stream import Node, Stream

ROOT = "BkToCstmrStmt"
VERSIONS = range(2, 15)
DETAILS_MAX = 200_000
"""Transactions in one entry: a batch of this size is the largest a scheme allows twice over."""

_VERSION = re.compile(r"camt\.053\.001\.([0-9]{2})")
_MESSAGE = re.compile(r"[a-z]{4}\.[0-9]{3}\.[0-9]{3}\.[0-9]{2}")

# Balance codes that open and close a statement, the best first. PRCD is yesterday's closing booked
# balance, which is today's opening one; ITBD opens and closes the pages between the first and last.
_OPENING = ("OPBD", "PRCD")
_CLOSING = ("CLBD",)


class Reader:
    """Reads one camt.053 file as a stream of entries, each statement after its entries."""

    format_name = "camt.053"

    def __init__(self, source: BinaryIO) -> None:
        self.notes = Notes()
        self.entries = 0
        self._out: deque[Entry | Statement] = deque()
        self._stream = Stream(
            source,
            root=ROOT,
            on_root=self._judge_version,
            wanted={"TxDtls": self._transaction, "Ntry": self._entry, "Stmt": self._statement},
        )
        self._sequence = Sequence()
        self._statements = 0
        self._head: _Head | None = None
        self._tally = Tally()
        self._details: list[Node] = []
        self._not_booked = 0

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
            if self._stream.namespace is None and not self._stream.head_names(b"camt.053", ROOT.encode()):
                self._not_ours()
            raise
        if self._stream.namespace is None:
            self._not_ours()
            raise errors.NoStatement(line=1, field=ROOT, expected=ROOT)
        if not self._statements:
            raise errors.NoStatement(line=self._stream.root_line, field=ROOT, expected="Stmt")

    def _not_ours(self) -> None:
        """Say what the file is where it is no camt.053; return where it is one without its root."""
        namespace = self._stream.document_namespace or ""
        if _VERSION.search(namespace):
            return
        message = _MESSAGE.search(namespace)
        if message:
            raise errors.NotAStatement(message.group())
        # A file that is not even XML has no element.
        raise errors.NotAStatement("xml" if self._stream.document_name else "unknown")

    def _judge_version(self) -> None:
        namespace = self._stream.namespace or ""
        found = _VERSION.search(namespace)
        if found is None:
            self.notes.append(note(self._stream.root_line, "no_version"))
            return
        self.format_name = found.group()
        if int(found.group(1)) not in VERSIONS:
            raise errors.UnsupportedVersion(
                line=self._stream.root_line,
                field="Document",
                expected=f"camt.053.001.{VERSIONS[0]:02} – {VERSIONS[-1]:02}",
                version=found.group(),
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
        if parent is None or parent.name != "Stmt":
            return
        if self._head is None:
            self._head = _Head(parent, node)
        head = self._head
        status = node.first("Sts/Cd", "Sts", "Sts/Prtry")
        if not status:
            raise errors.FieldMissing(line=node.line, field="Ntry/Sts", expected=_("each entry has a status"))
        if status != "BOOK":
            self._not_booked += 1
            self.notes.append(note(node.line, "not_booked", status=status))
            return
        amount = _signed(node, head.currency, head.scale, field="Ntry")
        booking, value = node.get("BookgDt"), node.get("ValDt")
        if booking is None and value is None and head.closing is None:
            raise errors.FieldMissing(
                line=node.line, field="Ntry/BookgDt", expected=_("an entry is booked on a day")
            )
        days = [
            _date(given, field=f"Ntry/{given.name}") for given in (booking, value) if given is not None
        ] or [head.closing.date if head.closing else dt.date.min]
        rows = tuple(_detail(detail, amount, head) for detail in details)
        only = rows[0] if len(rows) == 1 else Detail(node.line)
        if rows and all(row.amount_minor is not None for row in rows):
            total = sum(row.amount_minor or 0 for row in rows)
            if total != amount and len(rows) > 1:
                self.notes.append(
                    note(node.line, "details_differ", count=len(rows), total=total, amount=amount)
                )
        entry = Entry(
            line=node.line,
            number=self._tally.entries + 1,
            amount_minor=amount,
            booking_date=days[0],
            value_date=days[-1],
            customer_reference=node.value("NtryRef"),
            servicer_reference=node.value("AcctSvcrRef") or only.servicer_reference,
            end_to_end_id=only.end_to_end_id,
            instruction_id=only.instruction_id or node.first("NtryDtls/Btch/PmtInfId", "NtryDtls/Btch/MsgId"),
            transaction_id=only.transaction_id,
            mandate_id=only.mandate_id,
            remittance=only.remittance or node.value("AddtlNtryInf"),
            counterparty_name=only.counterparty_name,
            counterparty_account=only.counterparty_account,
            code=_transaction_code(node),
            reversal=node.value("RvslInd") in ("true", "1"),
            details=rows,
        )
        self._tally.add(entry)
        self.entries += 1
        self._out.append(entry)

    def _statement(self, node: Node, parent: Node | None) -> None:
        if parent is None or parent.name != ROOT:
            return
        # The balances may, against the order of the standard, follow the entries: read them again.
        head = _Head(node, None, first=self._head)
        tally, self._tally, self._head = self._tally, Tally(), None
        not_booked, self._not_booked = self._not_booked, 0
        self._statements += 1
        opening = head.opening.amount_minor if head.opening else None
        closing = head.closing.amount_minor if head.closing else None
        basis = head.balances_are
        if basis != "absent" and opening is not None and closing is not None:
            assert head.closing is not None
            if basis == "booked" or opening + tally.net_minor == closing:
                tally.judge(
                    opening_minor=opening, closing_minor=closing, line=head.closing.line, field="Stmt/Bal"
                )
            else:
                basis = "absent"  # Available balances do not promise to add up.
        _judge_dates(head)
        _judge_summary(node, tally, head)
        if basis == "available":
            self.notes.append(note(node.line, "available_balances"))
        elif basis == "absent":
            opening = closing = None
            self.notes.append(note(node.line, "no_balances"))
        dates = (
            _optional_date(node, "FrToDt", "FrDtTm") or (head.opening.date if head.opening else None),
            _optional_date(node, "FrToDt", "ToDtTm") or (head.closing.date if head.closing else None),
        )
        number = _number(node, "ElctrncSeqNb") or _number(node, "LglSeqNb")
        page = _number(node, "StmtPgntn", "PgNb")
        digest = tally.digest(
            account=head.account,
            currency=head.currency,
            number=number,
            page=page,
            dates=dates,
            opening_minor=opening,
            closing_minor=closing,
        )
        identification = node.value("Id")
        statement = Statement(
            index=self._statements,
            line=node.line,
            account=head.account,
            account_is_iban=head.account_is_iban,
            currency=head.currency,
            scale=head.scale,
            identification=identification,
            number=number,
            page=page,
            last_page=node.value("StmtPgntn", "LastPgInd") not in ("false", "0"),
            from_date=dates[0],
            to_date=dates[1],
            opening_minor=opening,
            closing_minor=closing,
            balances_are=basis,
            entries=tally.entries,
            credits_minor=tally.credits_minor,
            debits_minor=tally.debits_minor,
            digest=digest,
            balances=head.balances,
            not_booked=not_booked,
        )
        self.notes.extend(self._sequence.admit(statement, field="Stmt"))
        self._out.append(statement)


class _Head:
    """What stands before a statement's entries: the account, its currency, the balances."""

    def __init__(self, node: Node, entry: Node | None, *, first: _Head | None = None) -> None:
        self.account, self.account_is_iban = _account(node)
        self.currency, self.currency_line = self._currency(node, entry, first)
        self.scale = amounts.scale_of(self.currency, line=self.currency_line, field="Stmt/Acct/Ccy")
        self.balances = tuple(_balance(each, self.currency, self.scale) for each in node.all("Bal"))
        self.opening, self.closing, self.balances_are = _frame(self.balances)

    @staticmethod
    def _currency(node: Node, entry: Node | None, first: _Head | None) -> tuple[str, int]:
        if first is not None:
            return first.currency, first.currency_line
        account = node.get("Acct", "Ccy")
        if account is not None and account.text.strip():
            return account.text.strip(), account.line
        for place in (*node.all("Bal"), entry):
            amount = place.get("Amt") if place is not None else None
            if amount is not None and amount.currency:
                return amount.currency, amount.line
        raise errors.FieldMissing(
            line=node.line, field="Stmt/Acct/Ccy", expected=_("a statement names its currency")
        )


def _account(node: Node) -> tuple[str, bool]:
    where = node.get("Acct")
    if where is None:
        raise errors.FieldMissing(
            line=node.line, field="Stmt/Acct", expected=_("a statement names its account")
        )
    iban = where.value("Id", "IBAN").replace(" ", "").upper()
    account = iban or where.first("Id/Othr/Id", "Id/BBAN", "Id/PrtryAcct/Id", "Id/UPIC", "Prxy/Id")
    if not account:
        raise errors.FieldMissing(
            line=where.line, field="Stmt/Acct/Id", expected=_("a statement names its account")
        )
    return account.replace(" ", ""), bool(iban)


def _balance(node: Node, currency: str, scale: int) -> Balance:
    code = node.first("Tp/CdOrPrtry/Cd", "Tp/CdOrPrtry/Prtry", "Tp/Cd")
    if not code:
        raise errors.FieldMissing(
            line=node.line, field="Stmt/Bal/Tp", expected=_("a balance says what it is")
        )
    when = node.get("Dt")
    if when is None:
        raise errors.FieldMissing(line=node.line, field="Stmt/Bal/Dt", expected=_("a balance has a date"))
    amount = node.get("Amt")
    return Balance(
        code=code,
        date=_date(when, field="Stmt/Bal/Dt"),
        currency=currency,
        amount_minor=_signed(node, currency, scale, field="Stmt/Bal"),
        line=amount.line if amount is not None else node.line,
    )


def _frame(balances: tuple[Balance, ...]) -> tuple[Balance | None, Balance | None, str]:
    """The opening and the closing balance, and whether they are booked, available or absent."""
    opening = _one(balances, *_OPENING)
    closing = _one(balances, *_CLOSING)
    interim = [balance for balance in balances if balance.code == "ITBD"]
    if opening is None and interim and (len(interim) == 2 or closing is not None):
        opening = interim[0]
    if closing is None and interim and interim[-1] is not opening:
        closing = interim[-1]
    if opening is not None and closing is not None:
        return opening, closing, "booked"
    if opening is None and closing is None:
        available = _one(balances, "OPAV"), _one(balances, "CLAV")
        if all(available):
            return *available, "available"
    return opening, closing, "absent"


def _one(balances: tuple[Balance, ...], *codes: str) -> Balance | None:
    for code in codes:
        given = [balance for balance in balances if balance.code == code]
        for other in given[1:]:
            if other.amount_minor != given[0].amount_minor:
                raise errors.BalancesDisagree(
                    line=other.line,
                    field=f"Stmt/Bal {code}",
                    first=given[0].amount_minor,
                    second=other.amount_minor,
                )
        if given:
            return given[0]
    return None


def _judge_dates(head: _Head) -> None:
    opening, closing = head.opening, head.closing
    if opening is not None and closing is not None and closing.date < opening.date:
        raise errors.DateImpossible(
            line=closing.line,
            field="Stmt/Bal/Dt",
            expected=_("the closing balance cannot be of a day before the opening one, {opening}"),
            opening=opening.date.isoformat(),
            found=closing.date.isoformat(),
        )


def _judge_summary(node: Node, tally: Tally, head: _Head) -> None:
    """The bank's own totals, where it gives them, agree with the entries."""
    summary = node.get("TxsSummry")
    if summary is None:
        return
    found = {
        "TtlNtries/NbOfNtries": tally.entries,
        "TtlNtries/Sum": tally.credits_minor + tally.debits_minor,
        "TtlCdtNtries/Sum": tally.credits_minor,
        "TtlDbtNtries/Sum": tally.debits_minor,
    }
    for path, value in found.items():
        given = summary.get(*path.split("/"))
        if given is None or not given.text.strip():
            continue
        field = f"TxsSummry/{path}"
        if path.endswith("NbOfNtries"):
            stated = int(given.text) if given.text.strip().isdecimal() else -1
        else:
            stated = amounts.minor(
                given.text, mark=".", currency=head.currency, scale=head.scale, line=given.line, field=field
            )
        if stated != value:
            raise errors.SummaryDiffers(line=given.line, field=field, expected=str(stated), found=value)


def _signed(node: Node, currency: str, scale: int, *, field: str) -> int:
    """The amount of a balance or an entry, credits positive, in the currency of the statement."""
    amount = node.get("Amt")
    if amount is None:
        raise errors.FieldMissing(line=node.line, field=f"{field}/Amt", expected=_("an amount"))
    if not amount.currency:
        raise errors.FieldMissing(line=amount.line, field=f"{field}/Amt/@Ccy", expected=_("a currency"))
    if amount.currency != currency:
        raise errors.CurrencyDiffers(
            line=amount.line,
            field=f"{field}/Amt/@Ccy",
            expected=currency,
            found=amounts.shown(amount.currency),
        )
    value = amounts.minor(
        amount.text, mark=".", currency=currency, scale=scale, line=amount.line, field=f"{field}/Amt"
    )
    side = node.value("CdtDbtInd")
    if side not in ("CRDT", "DBIT"):
        raise errors.FieldMalformed(
            line=node.line, field=f"{field}/CdtDbtInd", expected=_("CRDT or DBIT"), found=amounts.shown(side)
        )
    return value if side == "CRDT" else -value


def _date(node: Node, *, field: str) -> dt.date:
    for name in ("Dt", "DtTm"):
        given = node.get(name)
        if given is not None:
            return amounts.iso_date(given.text, line=given.line, field=f"{field}/{name}")
    raise errors.FieldMissing(line=node.line, field=field, expected=_("a date"))


def _optional_date(node: Node, *path: str) -> dt.date | None:
    given = node.get(*path)
    if given is None:
        return None
    return amounts.iso_date(given.text, line=given.line, field="Stmt/" + "/".join(path))


def _number(node: Node, *path: str) -> int | None:
    given = node.get(*path)
    if given is None or not given.text.strip():
        return None
    text = given.text.strip()
    if not re.match(r"[0-9]{1,18}\Z", text):
        raise errors.FieldMalformed(
            line=given.line, field="Stmt/" + "/".join(path), expected=_("a number"), found=amounts.shown(text)
        )
    return int(text)


def _transaction_code(node: Node) -> str:
    domain = node.get("BkTxCd", "Domn")
    if domain is not None:
        parts = (domain.value("Cd"), domain.value("Fmly", "Cd"), domain.value("Fmly", "SubFmlyCd"))
        return "-".join(part for part in parts if part)
    return node.value("BkTxCd", "Prtry", "Cd")


def _detail(node: Node, entry_minor: int, head: _Head) -> Detail:
    """One `TxDtls`. Its amount is told only in the currency of the account."""
    amount = node.get("Amt") or node.get("AmtDtls", "TxAmt", "Amt")
    minor: int | None = None
    if amount is not None and amount.currency == head.currency:
        minor = amounts.minor(
            amount.text,
            mark=".",
            currency=head.currency,
            scale=head.scale,
            line=amount.line,
            field="TxDtls/Amt",
        )
        side = node.value("CdtDbtInd")
        # Without a sign of its own a transaction goes the way of its entry.
        if side == "DBIT" or (side != "CRDT" and entry_minor < 0):
            minor = -minor
    # The other party is the debtor of money that came in and the creditor of money that went out;
    # where an entry takes back an earlier one, the roles are those of the earlier payment.
    incoming = entry_minor >= 0
    if node.get("RtrInf") is not None:
        incoming = not incoming
    party, agent = ("Dbtr", "DbtrAcct") if incoming else ("Cdtr", "CdtrAcct")
    return Detail(
        line=node.line,
        amount_minor=minor,
        end_to_end_id=node.value("Refs", "EndToEndId"),
        instruction_id=node.first("Refs/InstrId", "Refs/PmtInfId"),
        transaction_id=node.first("Refs/TxId", "Refs/UETR"),
        mandate_id=node.value("Refs", "MndtId"),
        servicer_reference=node.value("Refs", "AcctSvcrRef"),
        remittance=_remittance(node),
        counterparty_name=node.first(
            f"RltdPties/{party}/Pty/Nm",
            f"RltdPties/{party}/Nm",
            f"RltdPties/{party}/Agt/FinInstnId/Nm",
            f"RltdPties/Ultmt{party}/Pty/Nm",
            f"RltdPties/Ultmt{party}/Nm",
        ),
        counterparty_account=node.first(
            f"RltdPties/{agent}/Id/IBAN", f"RltdPties/{agent}/Id/Othr/Id", f"RltdPties/{agent}/Id/BBAN"
        ).replace(" ", ""),
        return_reason=node.first("RtrInf/Rsn/Cd", "RtrInf/Rsn/Prtry", "RtrInf/RtrRsn/Cd"),
    )


def _remittance(node: Node) -> str:
    where = node.get("RmtInf")
    parts: list[str] = []
    if where is not None:
        parts.extend(" ".join(each.text.split()) for each in where.all("Ustrd"))
        for structured in where.all("Strd"):
            parts.append(structured.value("CdtrRefInf", "Ref"))
            parts.extend(" ".join(each.text.split()) for each in structured.all("AddtlRmtInf"))
    return " ".join(part for part in parts if part) or node.value("AddtlTxInf")

"""What stands around the entries of a camt message: the account, its currency, the balances, the summary.

Balance codes are ISO 20022's. A statement goes from the opening booked balance (`OPBD`, or the day
before's closing one, `PRCD`) to the closing booked one (`CLBD`); an interim report ends with an interim one
(`ITBD`), and may begin with one. Available balances promise nothing about booked entries.
"""

from __future__ import annotations

import datetime as dt

from django.utils.translation import gettext_noop as _

from tallystick.custody.statements import amounts, camt_fields, errors
from tallystick.custody.statements.rows import Balance
from tallystick.custody.statements.tally import Tally
from tallystick.custody.statements.xml_stream import Node

# The best first: PRCD is yesterday's closing booked balance, which is today's opening one.
_OPENING = ("OPBD", "PRCD")
_CLOSING = ("CLBD",)


class Head:
    """What stands before a statement's entries. `part` is the element: `Stmt`, `Rpt` or `Ntfctn`."""

    def __init__(self, node: Node, entry: Node | None, *, part: str, first: Head | None = None) -> None:
        self.part = part
        self.node = node
        self.account, self.account_is_iban = _account(node, part)
        self.currency, self.currency_line = self._currency(node, entry, first)
        self.scale = amounts.scale_of(self.currency, line=self.currency_line, field=f"{part}/Acct/Ccy")
        self.balances = tuple(_balance(each, self) for each in node.all("Bal"))
        self.opening, self.closing, self.balances_are = _frame(self.balances, part)
        self.from_date = camt_fields.optional_day(node, "FrToDt", "FrDtTm", field=part)
        self.to_date = camt_fields.optional_day(node, "FrToDt", "ToDtTm", field=part)
        self._judge_dates()

    def _currency(self, node: Node, entry: Node | None, first: Head | None) -> tuple[str, int]:
        if first is not None:
            return first.currency, first.currency_line
        account = node.get("Acct", "Ccy")
        if account is not None and account.text.strip():
            return account.text.strip(), account.line
        for place in (*node.all("Bal"), entry):
            amount = place.get("Amt") if place is not None else None
            if amount is not None and amount.currency:
                return amount.currency, amount.line
        # A notification or a report may be empty, and then names no currency; a statement has balances.
        raise errors.FieldMissing(
            line=node.line, field=f"{self.part}/Acct/Ccy", expected=_("a statement names its currency")
        )

    def day(self, group: Node | None) -> dt.date | None:
        """The day of what names none itself: of the closing balance, the period's end, the message."""
        if self.closing is not None:
            return self.closing.date
        return (
            self.to_date
            or camt_fields.optional_day(self.node, "CreDtTm", field=self.part)
            or camt_fields.optional_day(group, "GrpHdr", "CreDtTm", field="")
        )

    @property
    def begins_later(self) -> bool:
        """Whether the period begins within the day of the opening balance, so that entries went before it."""
        given = self.node.value("FrToDt", "FrDtTm")
        return bool(given) and (given[11:19] not in ("", "00:00:00"))

    def _judge_dates(self) -> None:
        opening, closing = self.opening, self.closing
        if opening is not None and closing is not None and closing.date < opening.date:
            raise errors.DateImpossible(
                line=closing.line,
                field=f"{self.part}/Bal/Dt",
                expected=_("the closing balance cannot be of a day before the opening one, {opening}"),
                opening=opening.date.isoformat(),
                found=closing.date.isoformat(),
            )
        if self.from_date and self.to_date and self.to_date < self.from_date:
            given = self.node.get("FrToDt", "ToDtTm")
            raise errors.DateImpossible(
                line=given.line if given else self.node.line,
                field=f"{self.part}/FrToDt/ToDtTm",
                expected=_("the period cannot end before it begins, {opening}"),
                opening=self.from_date.isoformat(),
                found=self.to_date.isoformat(),
            )


def judge_summary(node: Node, tally: Tally, head: Head) -> None:
    """The bank's own totals, where it gives them, agree with the entries.

    The standard counts every entry of the message, pending ones too; banks that count the booked ones alone
    are believed as well.
    """
    summary = node.get("TxsSummry")
    if summary is None:
        return
    booked, every = tally.totals(), tally.totals(not_booked=True)
    for path, value in booked.items():
        given = summary.get(*path.split("/"))
        if given is None or not given.text.strip():
            continue
        field = f"TxsSummry/{path}"
        if path.endswith("NbOfNtries"):
            stated = int(given.text) if given.text.strip().isdecimal() else -1
        else:
            stated = camt_fields.unsigned(given, currency=head.currency, scale=head.scale, field=field)
        if stated not in (value, every[path]):
            raise errors.SummaryDiffers(line=given.line, field=field, expected=str(stated), found=value)
    net = summary.get("TtlNtries", "TtlNetNtryAmt") or summary.get("TtlNtries", "TtlNetNtry", "Amt")
    if net is not None:
        field = f"TxsSummry/TtlNtries/{net.name}"
        stated = camt_fields.unsigned(net, currency=head.currency, scale=head.scale, field=field)
        side = summary.first("TtlNtries/CdtDbtInd", "TtlNtries/TtlNetNtry/CdtDbtInd")
        stated = -stated if side == "DBIT" else stated
        if stated not in tally.nets():
            raise errors.SummaryDiffers(
                line=net.line, field=field, expected=str(stated), found=tally.net_minor
            )


def _account(node: Node, part: str) -> tuple[str, bool]:
    where = node.get("Acct")
    if where is None:
        raise errors.FieldMissing(
            line=node.line, field=f"{part}/Acct", expected=_("a statement names its account")
        )
    iban = where.value("Id", "IBAN").replace(" ", "").upper()
    account = iban or where.first("Id/Othr/Id", "Id/BBAN", "Id/PrtryAcct/Id", "Id/UPIC", "Prxy/Id")
    if not account:
        raise errors.FieldMissing(
            line=where.line, field=f"{part}/Acct/Id", expected=_("a statement names its account")
        )
    return account.replace(" ", ""), bool(iban)


def _balance(node: Node, head: Head) -> Balance:
    field = f"{head.part}/Bal"
    code = node.first("Tp/CdOrPrtry/Cd", "Tp/CdOrPrtry/Prtry", "Tp/Cd")
    if not code:
        raise errors.FieldMissing(
            line=node.line, field=f"{field}/Tp", expected=_("a balance says what it is")
        )
    when = node.get("Dt")
    if when is None:
        raise errors.FieldMissing(line=node.line, field=f"{field}/Dt", expected=_("a balance has a date"))
    amount = node.get("Amt")
    return Balance(
        code=code,
        date=camt_fields.day(when, field=f"{field}/Dt"),
        currency=head.currency,
        amount_minor=camt_fields.signed(node, head.currency, head.scale, field=field),
        line=amount.line if amount is not None else node.line,
    )


def _frame(balances: tuple[Balance, ...], part: str) -> tuple[Balance | None, Balance | None, str]:
    """The opening and the closing balance, and whether they are booked, available or absent."""
    opening = _one(balances, part, *_OPENING)
    closing = _one(balances, part, *_CLOSING, last=True)
    interim = [balance for balance in balances if balance.code == "ITBD"]
    if opening is None and interim and (len(interim) >= 2 or closing is not None):
        opening = interim[0]
    if closing is None and interim and interim[-1] is not opening:
        closing = interim[-1]
    if opening is not None and closing is not None:
        return opening, closing, "booked"
    if opening is None and closing is None:
        available = _one(balances, part, "OPAV"), _one(balances, part, "CLAV", last=True)
        if all(available):
            return *available, "available"
    return opening, closing, "absent"


def _one(balances: tuple[Balance, ...], part: str, *codes: str, last: bool = False) -> Balance | None:
    """The balance of the first of these codes that is there: of several days, the first or the last."""
    for code in codes:
        given = [balance for balance in balances if balance.code == code]
        if not given:
            continue
        pick = max if last else min
        found = pick(given, key=lambda balance: balance.date)
        for other in given:
            if other.date == found.date and other.amount_minor != found.amount_minor:
                raise errors.BalancesDisagree(
                    line=other.line,
                    field=f"{part}/Bal {code}",
                    first=found.amount_minor,
                    second=other.amount_minor,
                )
        return found
    return None

"""`TxDtls`: what one transaction inside an entry says of itself, in all the versions of the three messages."""

from __future__ import annotations

from tallystick.custody.statements import camt_fields
from tallystick.custody.statements.rows import Detail
from tallystick.custody.statements.xml_stream import Node


def transaction_code(node: Node) -> str:
    """The bank's code: the ISO domain, family and sub-family, else the bank's own."""
    domain = node.get("BkTxCd", "Domn")
    if domain is not None:
        parts = (domain.value("Cd"), domain.value("Fmly", "Cd"), domain.value("Fmly", "SubFmlyCd"))
        return "-".join(part for part in parts if part)
    return node.value("BkTxCd", "Prtry", "Cd")


def detail(node: Node, entry_minor: int, *, currency: str, scale: int) -> Detail:
    """One `TxDtls`. Its amount is told only in the currency of the account."""
    amount = node.get("Amt") or node.get("AmtDtls", "TxAmt", "Amt")
    minor: int | None = None
    if amount is not None and amount.currency == currency:
        minor = camt_fields.unsigned(amount, currency=currency, scale=scale, field="TxDtls/Amt")
        side = node.value("CdtDbtInd")
        # Without a sign of its own a transaction goes the way of its entry.
        if side == "DBIT" or (side != "CRDT" and entry_minor < 0):
            minor = -minor
    # The other party is the debtor of money that came in and the creditor of money that went out;
    # where an entry takes back an earlier one, the roles are those of the earlier payment.
    incoming = entry_minor >= 0
    if node.get("RtrInf") is not None:
        incoming = not incoming
    party, account = ("Dbtr", "DbtrAcct") if incoming else ("Cdtr", "CdtrAcct")
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
            f"RltdPties/{account}/Id/IBAN", f"RltdPties/{account}/Id/Othr/Id", f"RltdPties/{account}/Id/BBAN"
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

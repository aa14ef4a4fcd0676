"""A second, independent reader of the interface: Python's standard library and nothing of Tallystick's.

    tallystick conformance run --against "python examples/statement_reader.py {file}" \
        --format camt.053 --format camt.054 --format mt940 --format pain.001 --format pain.002

It is here to show that the published interface can be met from its text alone, in an afternoon. It reads
camt.053, camt.054, MT940, pain.001 and pain.002, prints one JSON object, and imports no Tallystick. Not
for production: it holds the file in memory.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import date
from pathlib import Path
from xml.parsers import expat

DECIMALS = {"JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "BHD": 3, "KWD": 3, "OMR": 3, "JOD": 3, "TND": 3}
CURRENCIES = set(DECIMALS) | set(
    "AUD BRL CAD CHF CNY CZK DKK EUR GBP HKD HUF INR MXN NOK NZD PLN SEK SGD USD ZAR".split()
)
VERSIONS = {
    "camt.053": range(2, 15),
    "camt.054": range(2, 15),
    "pain.001": range(3, 13),
    "pain.002": range(3, 15),
}


class Refused(Exception):
    """The file is refused: at this line, for this reason."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


class Node:
    """An XML element with the line it begins on."""

    def __init__(self, name: str, attributes: dict[str, str], line: int) -> None:
        self.name, self.attributes, self.line = name, attributes, line
        self.children: list[Node] = []
        self.text = ""

    def all(self, name: str) -> list[Node]:
        return [child for child in self.children if child.name == name]

    def find(self, path: str) -> Node | None:
        here: Node | None = self
        for name in path.split("/"):
            here = next(iter(here.all(name)), None) if here else None
        return here

    def need(self, path: str) -> Node:
        found = self.find(path)
        if found is None:
            raise Refused(self.line, f"{path} is missing in {self.name}")
        return found


def parse(content: bytes) -> Node:
    """The tree of a document without declarations. Raises `Refused`."""
    root = Node("", {}, 0)
    open_, parser = [root], expat.ParserCreate()

    def start(name: str, attributes: dict[str, str]) -> None:
        node = Node(name.rpartition(":")[2], attributes, parser.CurrentLineNumber)
        open_[-1].children.append(node)
        open_.append(node)

    def doctype(*_: object) -> None:
        raise Refused(parser.CurrentLineNumber, "a document type is not taken")

    def text(data: str) -> None:
        open_[-1].text += data

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: open_.pop()
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(content, True)
    except expat.ExpatError as wrong:
        raise Refused(wrong.lineno, expat.errors.messages[wrong.code]) from None
    return root.children[0]


def minor(text: str, currency: str, line: int, mark: str) -> int:
    """An amount in minor units."""
    if currency not in CURRENCIES:
        raise Refused(line, f"{currency!r} is no currency")
    scale = DECIMALS.get(currency, 2)
    found = re.fullmatch(rf"([0-9]{{1,18}})(?:{re.escape(mark)}([0-9]*))?", text, re.ASCII)
    if found is None:
        raise Refused(line, f"{text!r} is no amount")
    rest = found[2] or ""
    if rest[scale:].strip("0"):
        raise Refused(line, f"{text!r} has more than {scale} decimals")
    return int(found[1] + rest[:scale].ljust(scale, "0"))


def day(text: str, line: int) -> date:
    """A day of the calendar."""
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        raise Refused(line, f"{text!r} is no day") from None


def signed(node: Node, currency: str) -> int:
    """An `Amt` with its side."""
    amount, side = node.need("Amt"), node.need("CdtDbtInd")
    if amount.attributes.get("Ccy") != currency:
        minor("0", amount.attributes.get("Ccy", ""), amount.line, ".")
        raise Refused(amount.line, f"the currency is not {currency}")
    value = minor(amount.text.strip(), currency, amount.line, ".")
    if side.text.strip() not in ("CRDT", "DBIT"):
        raise Refused(side.line, "neither CRDT nor DBIT")
    return value if side.text.strip() == "CRDT" else -value


def camt(message: Node, with_balances: bool) -> dict[str, object]:
    """camt.053 or camt.054."""
    totals, entries, check = [], 0, "absent"
    for statement in message.all("Stmt" if with_balances else "Ntfctn"):
        identity = statement.need("Acct/Id")
        currency = statement.need("Acct/Ccy").text.strip()
        balances: dict[str, tuple[int, int]] = {}
        for balance in statement.all("Bal"):
            code = balance.need("Tp/CdOrPrtry/Cd").text.strip()
            day(balance.need("Dt/Dt").text.strip(), balance.line)
            balances[code] = (signed(balance, currency), balance.line)
        credits = debits = 0
        for entry in statement.all("Ntry"):
            amount, status = signed(entry, currency), entry.need("Sts")
            word = (status.find("Cd") or status).text.strip()
            if word not in ("BOOK", "PDNG", "INFO"):
                raise Refused(status.line, f"{word!r} is no status")
            for name in ("BookgDt", "ValDt"):
                told = entry.find(f"{name}/Dt")
                if told is not None:
                    day(told.text.strip(), told.line)
            entries += 1
            if word != "BOOK":
                continue
            credits, debits = credits + max(amount, 0), debits - min(amount, 0)
        sums: dict[str, object] = {
            "account": "".join(child.text for child in identity.children[:1]).strip(),
            "currency": currency,
            "credits_minor": credits,
            "debits_minor": debits,
        }
        if with_balances and "OPBD" in balances and "CLBD" in balances:
            opening, (closing, line) = balances["OPBD"][0], balances["CLBD"]
            if opening + credits - debits != closing:
                raise Refused(line, f"the closing balance is off by {closing - opening - credits + debits}")
            sums |= {"opening_minor": opening, "closing_minor": closing}
            check = "ok"
        totals.append(sums)
    return {"entries": entries, "sum_check": check, "totals": totals}


def mt940(text: str) -> dict[str, object]:
    """One or more MT940 messages."""
    totals: list[dict[str, object]] = []
    entries, opening, account, currency, credits, debits, began = 0, None, "", "", 0, 0, 1
    for line, row in enumerate(text.splitlines(), 1):
        tag, _, value = row.removeprefix(":").partition(":") if row.startswith(":") else ("", "", "")
        if tag == "25":
            account, began = value, line
        elif tag in ("60F", "62F"):
            found = re.fullmatch(r"([CD])([0-9]{6})([A-Z]{3})([0-9,]+)", value)
            if found is None:
                raise Refused(line, "no balance")
            day(f"20{found[2][:2]}-{found[2][2:4]}-{found[2][4:]}", line)
            amount = minor(found[4], found[3], line, ",") * (1 if found[1] == "C" else -1)
            if tag == "60F":
                opening, currency, credits, debits = amount, found[3], 0, 0
                continue
            if opening is None or found[3] != currency:
                raise Refused(line, "the balances are not of one currency")
            if opening + credits - debits != amount:
                raise Refused(line, f"the closing balance is off by {amount - opening - credits + debits}")
            told = {
                "account": account,
                "currency": currency,
                "credits_minor": credits,
                "debits_minor": debits,
            }
            totals.append(told | {"opening_minor": opening, "closing_minor": amount})
            opening = None
        elif tag == "61":
            found = re.match(r"([0-9]{6})([0-9]{4})?(R?)([CD])([A-Z])?([0-9,]+)[A-Z][A-Z0-9]{3}", value)
            if found is None or opening is None:
                raise Refused(line, "no statement line, or no opening balance before it")
            day(f"20{found[1][:2]}-{found[1][2:4]}-{found[1][4:]}", line)
            amount = minor(found[6], currency, line, ",")
            comes = (found[4] == "C") != bool(found[3])
            credits, debits = credits + amount * comes, debits + amount * (not comes)
            entries += 1
    if opening is not None or not totals:
        raise Refused(began, "there is no closing balance")
    return {"entries": entries, "sum_check": "ok", "totals": totals}


def pain001(message: Node) -> dict[str, object]:
    """A payment order: counted, added up, every account number checked."""
    head, seen, sums, currency = message.need("GrpHdr"), set(), 0, ""
    count = 0
    for payment in (each for batch in message.all("PmtInf") for each in batch.all("CdtTrfTxInf")):
        amount = payment.need("Amt/InstdAmt")
        currency = amount.attributes.get("Ccy", "")
        value = minor(amount.text.strip(), currency, amount.line, ".")
        name, iban = payment.need("PmtId/EndToEndId").text.strip(), payment.find("CdtrAcct/Id/IBAN")
        if value == 0 or name in seen:
            raise Refused(payment.line, "a payment of nothing, or of a name that was used")
        if iban is not None and not iban_holds(iban.text.strip()):
            raise Refused(iban.line, "the check digits of the IBAN are wrong")
        seen.add(name)
        sums, count = sums + value, count + 1
    told = head.need("NbOfTxs")
    if told.text.strip() != str(count):
        raise Refused(told.line, f"there are {count} payments")
    control = head.find("CtrlSum")
    if control is not None and minor(control.text.strip(), currency, control.line, ".") != sums:
        raise Refused(control.line, "the control sum is not that of the payments")
    return {"entries": count, "sum_check": "ok", "totals": [{"currency": currency, "debits_minor": sums}]}


def pain002(message: Node) -> dict[str, object]:
    """A status report: how many were accepted, rejected, or wait."""
    message.need("OrgnlGrpInfAndSts").need("OrgnlMsgId")
    told, count = {"accepted": 0, "rejected": 0, "pending": 0}, 0
    words = {"ACSC": "accepted", "ACCC": "accepted", "RJCT": "rejected"}
    words |= dict.fromkeys(("PDNG", "ACSP", "ACTC", "ACCP"), "pending")
    for payment in (each for batch in message.all("OrgnlPmtInfAndSts") for each in batch.all("TxInfAndSts")):
        status = payment.need("TxSts")
        if status.text.strip() not in words:
            raise Refused(status.line, f"{status.text.strip()!r} is no status")
        told[words[status.text.strip()]] += 1
        count += 1
    return {"entries": count, "sum_check": "absent", "totals": [told]}


def iban_holds(text: str) -> bool:
    """ISO 13616: the number modulo 97 is 1."""
    return bool(re.fullmatch(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{10,30}", text)) and (
        int("".join(str(int(letter, 36)) for letter in text[4:] + text[:4])) % 97 == 1
    )


def read(content: bytes) -> dict[str, object]:
    """What a file is, and what it comes to."""
    if content.lstrip()[:1] != b"<":
        text = content.decode("utf-8", "replace")
        if not re.search(r"^:20:|\n:20:", text):
            return {"status": "not_a_statement", "format": "unknown", "reason": "neither XML nor MT940"}
        return {"status": "ok", "format": "mt940"} | mt940(text)
    document = parse(content)
    space = re.fullmatch(
        r"urn:iso:std:iso:20022:tech:xsd:([a-z]{4}\.\d{3})\.001\.(\d{2})",
        document.attributes.get("xmlns", ""),
    )
    if space is None or space[1] not in VERSIONS or not document.children:
        return {"status": "not_a_statement", "format": "unknown", "reason": "another document"}
    if int(space[2]) not in VERSIONS[space[1]]:
        raise Refused(document.line, f"there is no version {space[2]} of {space[1]}")
    message = document.children[0]
    reader = {
        "camt.053": lambda: camt(message, True),
        "camt.054": lambda: camt(message, False),
        "pain.001": lambda: pain001(message),
        "pain.002": lambda: pain002(message),
    }[space[1]]
    return {"status": "ok", "format": f"{space[1]}.001.{space[2]}"} | reader()


def main() -> None:
    try:
        told = read(Path(sys.argv[1]).read_bytes())
    except Refused as refusal:
        told = {"status": "refused", "line": refusal.line, "reason": str(refusal)}
    print(json.dumps(told, ensure_ascii=False))


if __name__ == "__main__":
    main()

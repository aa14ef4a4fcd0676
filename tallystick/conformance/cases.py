"""Cases: the golden files and the malformed ones, each with what must be said of it.

Promises: a golden file is sound by the standard and by the interface, and its sums follow from the values
it was written from; a malformed one has one fault, and the lines on which a reader may stand when it
meets it are those of the element that is at fault, from its opening to its end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tallystick.conformance import files
from tallystick.conformance.files import Entry, Payment, Statement

FORMATS = ("camt.053", "camt.054", "mt940", "pain.001", "pain.002")
"""What the kit tests; a side answers for those it reads."""

PLATFORM = ("camt.053", "camt.054", "mt940")
"""What a platform reads from custodians and payment firms."""


@dataclass(frozen=True, slots=True)
class Case:
    """One file and what must be said of it.

    verdict `ok`: accepted with so many entries, booked or not, and these totals of the booked ones, in
    order. `refused`: with a line from
    first_line to last_line; 0 and 0: no line is asked for, and that it is none of this format will do.
    """

    name: str
    format: str
    title: str
    content: bytes
    verdict: str
    entries: int = 0
    sum_check: str = ""
    totals: tuple[dict[str, Any], ...] = ()
    first_line: int = 0
    last_line: int = 0

    @property
    def file_name(self) -> str:
        suffix = {"mt940": "sta"}.get(self.format, "xml")
        return f"{self.name}.{suffix}"

    @property
    def expected(self) -> dict[str, Any]:
        """As the published list of cases tells it."""
        if self.verdict == "ok":
            return {
                "status": "ok",
                "entries": self.entries,
                "sum_check": self.sum_check,
                "totals": [dict(each) for each in self.totals],
            }
        return {"status": "refused", "first_line": self.first_line, "last_line": self.last_line}


PLAIN = Statement(
    [Entry(25_000, "PAY-0001"), Entry(-9_999, "FEE-0001", "Withdrawal"), Entry(1, "PAY-0002", "One cent")]
)


def every(formats: Sequence[str] = FORMATS) -> list[Case]:
    """Every case of these formats, golden ones first, in the order in which they are published."""
    found = [*_golden(), *_golden_variants(), *_golden_payments()]
    found += [*_camt_malformed(), *_camt_broken(), *_no_statements(), *_mt940_malformed(), *_pain_malformed()]
    wanted = [case for case in found if case.format in formats]
    assert len({case.name for case in wanted}) == len(wanted), "a case has a name of its own"
    return sorted(wanted, key=lambda case: (FORMATS.index(case.format), case.verdict != "ok"))


def totals(statement: Statement, *, balances: bool = True) -> dict[str, Any]:
    """What a reader must have added up of a statement, in minor units."""
    told: dict[str, Any] = {
        "account": statement.account,
        "currency": statement.currency,
        "credits_minor": statement.credits,
        "debits_minor": statement.debits,
    }
    if balances:
        told |= {"opening_minor": statement.opening, "closing_minor": statement.closing}
    return told


# ── golden ───────────────────────────────────────────────────────────────────────────────────────────────


def _golden() -> Iterator[Case]:
    shapes: list[tuple[str, str, list[Statement]]] = [
        ("plain", "Two credits and a debit", [PLAIN]),
        ("empty", "A day without entries", [Statement([])]),
        (
            "overdrawn",
            "From a debit balance to a deeper one",
            [Statement([Entry(-500, "OUT-1")], opening=-100)],
        ),
        ("to-nothing", "A closing balance of nothing", [Statement([Entry(-100_000, "OUT-1")])]),
        ("yen", "A currency without decimals", [Statement([Entry(1_500, "PAY-1")], currency="JPY", scale=0)]),
        (
            "dinar",
            "A currency of three decimals",
            [Statement([Entry(1_505, "PAY-1")], currency="BHD", scale=3)],
        ),
        (
            "reversal",
            "A reversed credit is a debit",
            [Statement([Entry(900, "A-1"), Entry(-900, "A-1", reversal=True)])],
        ),
        ("large", "The largest amount of fifteen digits", [Statement([Entry(999_999_999_999_999, "PAY-1")])]),
        (
            "two-statements",
            "Two accounts in one file",
            [PLAIN, Statement([Entry(7, "B-1")], account=files.OTHER_IBAN, identification="STMT-2")],
        ),
    ]
    for name, title, statements in shapes:
        yield _sound(
            "camt.053", f"camt053-{name}", title, files.camt("camt.053", "08", statements), statements
        )
        yield _sound("mt940", f"mt940-{name}", title, files.mt940(statements), statements)


def _golden_variants() -> Iterator[Case]:
    chinese = Statement([Entry(5_000, "TOPUP-1", "王芳 充值 订单 1")], currency="CNY")
    for version in ("02", "13"):
        text = files.camt("camt.053", version, [PLAIN])
        yield _sound("camt.053", f"camt053-version-{version}", f"Version {version}", text, [PLAIN])
    crlf = files.camt("camt.053", "08", [PLAIN]).replace("\n", "\r\n")
    yield _sound("camt.053", "camt053-crlf", "Lines that end as on Windows", crlf, [PLAIN])
    yield _sound(
        "camt.053", "camt053-chinese", "Chinese text", files.camt("camt.053", "08", [chinese]), [chinese]
    )
    batch = Statement([Entry(600, "BATCH-1", batch=(100, 200, 300))])
    text = files.camt("camt.053", "08", [batch])
    yield _sound("camt.053", "camt053-batch", "A batch is booked once, not once a detail", text, [batch])
    pending = Statement([Entry(100, "A-1"), Entry(5_000, "B-1", pending=True)])
    text = files.camt("camt.053", "08", [pending])
    yield _sound("camt.053", "camt053-pending", "What is pending is not booked", text, [pending])
    swift = files.mt940([PLAIN], envelope=True)
    yield _sound("mt940", "mt940-envelope", "In SWIFT's envelope", swift, [PLAIN])
    for version in ("02", "08"):
        text = files.camt("camt.054", version, [PLAIN])
        yield _sound(
            "camt.054",
            f"camt054-version-{version}",
            f"A notification, version {version}",
            text,
            [PLAIN],
            balances=False,
        )


def _golden_payments() -> Iterator[Case]:
    payments = [Payment(12_345, "OUT-0001"), Payment(1, "OUT-0002", name="李强")]
    yield Case(
        "pain001-plain",
        "pain.001",
        "Two payments",
        files.pain001(payments).encode(),
        "ok",
        2,
        "ok",
        (_ordered(payments, "EUR"),),
    )
    yen = [Payment(1_500, "OUT-0001")]
    text = files.pain001(yen, currency="JPY", scale=0)
    yield Case(
        "pain001-yen",
        "pain.001",
        "A currency without decimals",
        text.encode(),
        "ok",
        1,
        "ok",
        (_ordered(yen, "JPY"),),
    )
    answers = [("OUT-0001", "ACSC"), ("OUT-0002", "RJCT"), ("OUT-0003", "PDNG")]
    told = {"accepted": 1, "rejected": 1, "pending": 1}
    yield Case(
        "pain002-mixed",
        "pain.002",
        "One done, one rejected, one pending",
        files.pain002(answers).encode(),
        "ok",
        3,
        "absent",
        (told,),
    )


def _sound(
    format_: str, name: str, title: str, text: str, statements: Sequence[Statement], *, balances: bool = True
) -> Case:
    return Case(
        name,
        format_,
        title,
        text.encode(),
        "ok",
        sum(len(statement.entries) for statement in statements),
        "ok" if balances else "absent",
        tuple(totals(statement, balances=balances) for statement in statements),
    )


def _ordered(payments: Sequence[Payment], currency: str) -> dict[str, Any]:
    return {"currency": currency, "debits_minor": sum(payment.amount for payment in payments)}


# ── malformed ────────────────────────────────────────────────────────────────────────────────────────────

_BAD_AMOUNTS = {
    "letters": ("An amount that is none", "12x.00"),
    "comma": ("A decimal comma", "250,00"),
    "sign": ("A sign in an amount", "-250.00"),
    "exponent": ("An exponent", "2.5E2"),
    "cents": ("Decimals beyond the currency's", "250.005"),
    "blank": ("No amount", ""),
}


def _camt_malformed() -> Iterator[Case]:
    sound = files.camt("camt.053", "08", [PLAIN])
    entry, whole = ("<Ntry>", "</Ntry>"), ("<Stmt>", "</Stmt>")
    for name, (title, amount) in _BAD_AMOUNTS.items():
        yield _spoilt("camt.053", f"camt053-amount-{name}", title, sound, ">250.00<", f">{amount}<", entry)
    for name, title, old, new, around in (
        (
            "currency-unknown",
            "A currency ISO 4217 does not know",
            '<Amt Ccy="EUR">250.00',
            '<Amt Ccy="QQQ">250.00',
            entry,
        ),
        (
            "currency-differs",
            "An entry in another currency",
            '<Amt Ccy="EUR">250.00',
            '<Amt Ccy="USD">250.00',
            entry,
        ),
        (
            "date",
            "A day no calendar has",
            "<Dt>2026-03-02</Dt></BookgDt>",
            "<Dt>2026-02-30</Dt></BookgDt>",
            entry,
        ),
        (
            "side",
            "Neither credit nor debit",
            "<CdtDbtInd>CRDT</CdtDbtInd>\n<Sts>",
            "<CdtDbtInd>BOTH</CdtDbtInd>\n<Sts>",
            entry,
        ),
        ("status", "A status nobody knows", "<Sts><Cd>BOOK</Cd></Sts>", "<Sts><Cd>MAYBE</Cd></Sts>", whole),
        ("sum", "A closing balance that is a cent too high", ">1150.02<", ">1150.03<", whole),
        (
            "version",
            "A version there is not",
            "camt.053.001.08",
            "camt.053.001.99",
            ("<Document", "<GrpHdr>"),
        ),
    ):
        yield _spoilt("camt.053", f"camt053-{name}", title, sound, old, new, around)


def _camt_broken() -> Iterator[Case]:
    sound, entry = files.camt("camt.053", "08", [PLAIN]), ("<Ntry>", "</Ntry>")
    without = sound.replace("<CdtDbtInd>CRDT</CdtDbtInd>\n<Sts>", "<Sts>", 1)
    yield _within("camt.053", "camt053-no-side", "No side", without, entry)
    without = sound.replace('<Amt Ccy="EUR">250.00</Amt>\n', "", 1)
    yield _within("camt.053", "camt053-no-amount", "No amount at all", without, entry)
    cut = "\n".join(sound.splitlines()[:-6])
    lines = len(cut.splitlines())
    yield Case(
        "camt053-cut",
        "camt.053",
        "A file that ends too soon",
        cut.encode(),
        "refused",
        first_line=lines - 2,
        last_line=lines + 1,
    )
    crossed = sound.replace("</CdtDbtInd>", "</CdtDbtInt>", 1)
    at = _line_of(crossed, "</CdtDbtInt>")
    yield Case(
        "camt053-crossed",
        "camt.053",
        "A tag closed by another",
        crossed.encode(),
        "refused",
        first_line=at,
        last_line=at,
    )
    declared = '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/hostname">]>'
    entity = sound.replace("\n<Document", f"\n{declared}\n<Document", 1).replace("Order 1", "&x;", 1)
    yield Case(
        "camt053-entity",
        "camt.053",
        "An entity that reads the reader's files",
        entity.encode(),
        "refused",
        first_line=2,
        last_line=2,
    )
    wrong = sound.encode().replace(b"Order 1", b"Order \xff\xfe1", 1)
    at = wrong[: wrong.index(b"\xff")].count(b"\n") + 1
    yield Case(
        "camt053-encoding",
        "camt.053",
        "Bytes that are no UTF-8",
        wrong,
        "refused",
        first_line=at,
        last_line=at,
    )


def _no_statements() -> Iterator[Case]:
    entry = ("<Ntry>", "</Ntry>")
    note = files.camt("camt.054", "08", [PLAIN])
    yield _spoilt("camt.054", "camt054-amount", "An amount that is none", note, ">250.00<", ">abc<", entry)
    yield _spoilt(
        "camt.054",
        "camt054-date",
        "A day no calendar has",
        note,
        "<Dt>2026-03-02</Dt></BookgDt>",
        "<Dt>2026-13-02</Dt></BookgDt>",
        entry,
    )
    for name, content in (
        ("nothing", b""),
        ("prose", b"Dear Sir or Madam,\nplease find enclosed.\n"),
        ("pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"),
    ):
        yield Case(f"camt053-{name}", "camt.053", "A file that is no statement", content, "refused")


def _mt940_malformed() -> Iterator[Case]:
    sound = files.mt940([PLAIN])
    for name, title, old, new in (
        ("amount", "An amount that is none", "C250,00NTRF", "C2x0,00NTRF"),
        ("mark", "Neither credit nor debit", "0302C250,00", "0302X250,00"),
        ("date", "A day no calendar has", ":61:2603020302C250,00", ":61:2602300302C250,00"),
    ):
        yield _spoilt("mt940", f"mt940-{name}", title, sound, old, new, (":61:", ":86:"))
    for name, title, old, new in (
        ("sum", "A closing balance that is a cent too high", "EUR1150,02", "EUR1150,03"),
        ("currency", "A closing balance in another currency", ":62F:C260302EUR", ":62F:C260302USD"),
        ("closing-date", "A closing balance of no day", ":62F:C260302", ":62F:C260332"),
    ):
        yield _spoilt("mt940", f"mt940-{name}", title, sound, old, new, (":60F:", "\r\n-"))
    yield _spoilt(
        "mt940",
        "mt940-opening",
        "An opening balance without a currency",
        sound,
        "260301EUR",
        "260301",
        (":60F:", ":61:"),
    )
    without = re.sub(r":62F:[^\r]*\r\n", "", sound)
    yield Case(
        "mt940-no-closing",
        "mt940",
        "No closing balance",
        without.encode(),
        "refused",
        first_line=1,
        last_line=len(without.splitlines()) + 1,
    )
    early = sound.replace(":60F:C260301EUR1000,00\r\n", "")
    yield Case(
        "mt940-no-opening",
        "mt940",
        "Entries without an opening balance",
        early.encode(),
        "refused",
        first_line=1,
        last_line=5,
    )


def _pain_malformed() -> Iterator[Case]:
    payments = [Payment(12_345, "OUT-0001"), Payment(1, "OUT-0002")]
    sound = files.pain001(payments)
    head, one = ("<GrpHdr>", "</Document>"), ("<CdtTrfTxInf>", "</CdtTrfTxInf>")
    for name, title, text in (
        ("count", "One payment more than there are", files.pain001(payments, count=3)),
        ("control", "A control sum that is a cent off", files.pain001(payments, control=12_347)),
    ):
        yield _within("pain.001", f"pain001-{name}", title, text, head)
    for name, title, old, new in (
        ("amount", "An amount that is none", ">123.45</InstdAmt>", ">123,45</InstdAmt>"),
        ("zero", "A payment of nothing", ">0.01</InstdAmt>", ">0.00</InstdAmt>"),
        ("iban", "An account number whose check digits are wrong", files.OTHER_IBAN, files.WRONG_IBAN),
    ):
        nth = 1 if name == "zero" else 0
        yield _spoilt("pain.001", f"pain001-{name}", title, sound, old, new, one, nth=nth)
    same = files.pain001([payments[0], Payment(1, "OUT-0001")])
    lines = [n for n, line in enumerate(same.splitlines(), 1) if "<CdtTrfTxInf>" in line]
    yield Case(
        "pain001-twice",
        "pain.001",
        "Two payments of one name",
        same.encode(),
        "refused",
        first_line=lines[1],
        last_line=lines[1] + 5,
    )
    answers = files.pain002([("OUT-0001", "ACSC")])
    about = ("<TxInfAndSts>", "</TxInfAndSts>")
    yield _spoilt("pain.002", "pain002-status", "A status nobody knows", answers, "ACSC", "FINE", about)
    without = answers.replace("<OrgnlMsgId>PAY-1</OrgnlMsgId>\n", "")
    yield _within(
        "pain.002",
        "pain002-no-original",
        "No word on what is answered",
        without,
        ("<OrgnlGrpInfAndSts>", "</OrgnlGrpInfAndSts>"),
    )


def _spoilt(
    format_: str,
    name: str,
    title: str,
    sound: str,
    old: str,
    new: str,
    around: tuple[str, str],
    *,
    nth: int = 0,
) -> Case:
    """The sound text with one thing changed, and the lines of the element around it."""
    assert old in sound, f"{name}: there is no {old!r} to spoil"
    return _within(format_, name, title, sound.replace(old, new, 1), around, nth=nth)


def _within(format_: str, name: str, title: str, text: str, around: tuple[str, str], *, nth: int = 0) -> Case:
    first = _line_of(text, around[0], nth)
    rest = text.splitlines()[first - 1 :]
    mark = around[1].strip()
    last = first + next((n for n, line in enumerate(rest) if line.startswith(mark) and n), len(rest))
    return Case(name, format_, title, text.encode(), "refused", first_line=first, last_line=last)


def _line_of(text: str, mark: str, nth: int = 0) -> int:
    return [n for n, line in enumerate(text.splitlines(), 1) if mark in line][nth]

"""The bank's side: what it booked, as the daily statement files it sends, and what is wrong with them.

Promises: built from the bank's point of view, never from the ledger's tables; every file is a real
camt.053 or MT940 whose opening balance and lines make its closing balance; every break that is planted is
recorded with its kind, and nothing else differs from the ledger. Same world, same bytes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from random import Random
from xml.sax.saxutils import escape

from tallystick.simulation import acts, channel, world
from tallystick.simulation.bank_lines import BREAK_KINDS as BREAK_KINDS
from tallystick.simulation.bank_lines import BreakKind as BreakKind
from tallystick.simulation.bank_lines import Line as Line
from tallystick.simulation.bank_lines import Planted as Planted
from tallystick.simulation.world import BANK, FIRM, Customer, World

PLANTED_IN_50_000: dict[BreakKind, int] = {
    "timing": 6,
    "amount": 4,
    "missing_in_ledger": 6,
    "missing_at_bank": 3,
    "duplicate": 3,
    "unidentified": 8,
    "wrong_account": 2,
}
"""How often each is planted in a world of fifty thousand transfers: in any world at least once."""

SETTLED_DAYS = 6
"""Breaks that must not look like lateness are planted at least this long before the end."""

LATE_DAYS = 3
"""How long before the end of the statements a missing line still counts as late."""

NUMBERS = {BANK: world.BANK_ACCOUNT, FIRM: world.FIRM_ACCOUNT}
NAMES = {BANK: "QINGHE LENDING CLIENT FUNDS", FIRM: "QINGHE LENDING PENDING SETTLEMENT"}
BICS = {BANK: "QHCBCN0X", FIRM: "QHPFCN0X"}
"""SWIFT's eight characters of the sender; a zero in the seventh place marks a test code."""


@dataclass(frozen=True, slots=True)
class File:
    """A statement file as the bank sends it."""

    name: str
    account: str
    day: date
    content: bytes
    closing_minor: int


@dataclass(frozen=True, slots=True)
class Sent:
    """All files of a world, in the order of their days, and what was planted in them."""

    files: tuple[File, ...]
    planted: tuple[Planted, ...]
    settlements: tuple[channel.File, ...] = ()
    """The payment channel's, each about what it took on one day."""

    @property
    def planted_by_kind(self) -> dict[str, int]:
        """How many breaks of each kind, every kind named."""
        counts = Counter(each.kind for each in self.planted)
        return {kind: counts[kind] for kind in BREAK_KINDS}

    @property
    def closing_minor(self) -> dict[str, int]:
        """The last closing balance of each account."""
        return {file.account: file.closing_minor for file in self.files}


def send(place: World, performed: Iterable[acts.Act]) -> Sent:
    """The bank's, the payment firm's and the channel's daily files of this world, with breaks planted."""
    chance = Random(f"{place.seed}/bank")
    done = list(performed)
    truth = booked(place, done, chance)
    posted = _posted(done)
    lines, planted = plant(place, truth, chance, posted)
    lines, more, settlements = channel.through(
        place, lines, {each.reference for each in planted}, account=BANK, transfers=posted
    )
    return Sent(tuple(_files(place, lines)), (*planted, *more), tuple(settlements))


# ── what the bank saw ────────────────────────────────────────────────────────────────────────────────────


def booked(place: World, performed: Iterable[acts.Act], chance: Random) -> list[Line]:
    """A line for every movement of the two control accounts, some booked a business day late."""
    people = {customer.account: customer for customer in place.customers}
    held: dict[object, acts.Transfer] = {}
    serial = 0
    lines = []
    for act in performed:
        if not isinstance(act, acts.Post):
            continue
        for transfer in act.transfers:
            if transfer.answer or transfer.is_repeat:
                continue
            if transfer.kind == "pending":
                held[transfer.id] = transfer
                continue
            if transfer.kind == "void_pending":
                continue
            what = held[transfer.pending] if transfer.pending else transfer
            for account in (BANK, FIRM):
                if account not in (what.debit, what.credit):
                    continue
                serial += 1
                signed = transfer.amount_minor if what.debit == account else -transfer.amount_minor
                other = what.credit if what.debit == account else what.debit
                line = Line(
                    account=account,
                    day=act.at.date(),
                    amount_minor=signed,
                    reference=transfer.reference,
                    bank_reference=f"BK{act.at:%y%m%d}{serial:06d}",
                    text=what.code.replace("_", " ").upper(),
                    posted_on=act.at.date(),
                    is_final=other in (BANK, FIRM),
                )
                lines.append(_named(line, people.get(other)))
    return [_late(place, line, chance) for line in lines]


def _named(line: Line, customer: Customer | None) -> Line:
    if customer is None:
        return line
    return replace(
        line,
        name=customer.name,
        pinyin=customer.pinyin,
        counterparty=customer.card.split()[-1],
        text=f"{line.text} {customer.number}",
    )


def _late(place: World, line: Line, chance: Random) -> Line:
    """Banks book one line in fifty a day late; a reference makes that no difference to anybody."""
    if line.account != BANK or line.is_final or place.last_day - line.day <= timedelta(SETTLED_DAYS):
        return line
    return replace(line, day=world.next_business_day(line.day)) if chance.random() < 0.02 else line


def _posted(performed: Iterable[acts.Act]) -> int:
    return sum(
        not (transfer.answer or transfer.is_repeat)
        for act in performed
        if isinstance(act, acts.Post)
        for transfer in act.transfers
    )


# ── what is wrong with it ────────────────────────────────────────────────────────────────────────────────


def plant(
    place: World, truth: list[Line], chance: Random, transfers: int
) -> tuple[list[Line], list[Planted]]:
    """The lines as the bank will send them, and every break there is in them."""
    lines = list(truth)
    planted: list[Planted] = []
    untouched = _Untouched(place, lines, chance)
    for kind in BREAK_KINDS:
        for nth in range(max(1, round(PLANTED_IN_50_000[kind] * transfers / 50_000))):
            planted.extend(_PLANTERS[kind](place, lines, untouched, nth, chance))
    return lines, planted


class _Untouched:
    """Lines that a break may be planted on: each only once, none between our own accounts."""

    def __init__(self, place: World, lines: list[Line], chance: Random) -> None:
        self.last = {BANK: _last_business_day(place), FIRM: place.last_day}
        ordinary = [line for line in lines if not line.is_final and line.counterparty]
        chance.shuffle(ordinary)
        settled = place.last_day - timedelta(SETTLED_DAYS)
        self._settled = [line for line in ordinary if line.day <= settled and abs(line.amount_minor) >= 1_000]
        self._fresh = [line for line in ordinary if line.day + timedelta(LATE_DAYS) > self.last[line.account]]

    def settled(self, *, account: str = "", is_in: bool = False) -> Line | None:
        """A line from before the last few days."""
        for line in self._settled:
            if account in ("", line.account) and (line.amount_minor > 0 or not is_in):
                self._settled.remove(line)
                return line
        return None

    def fresh(self) -> Line | None:
        """A line so near the end that the bank may just be late with it."""
        return self._fresh.pop() if self._fresh else None


def _timing(
    place: World, lines: list[Line], untouched: _Untouched, nth: int, chance: Random
) -> list[Planted]:
    """The ledger has it today, the bank will have it tomorrow."""
    line = untouched.fresh()
    if line is None:
        return []
    lines.remove(line)
    return [_unseen("timing", line)]


def _amount(
    place: World, lines: list[Line], untouched: _Untouched, nth: int, chance: Random
) -> list[Planted]:
    """The bank booked another amount under the reference: it kept a charge back, or slipped on a key."""
    line = untouched.settled(is_in=True)
    if line is None:
        return []
    slip = chance.choice((-200, -90, 90, 900))
    lines[lines.index(line)] = replace(line, amount_minor=line.amount_minor + slip)
    return [Planted("amount", line.account, line.day, line.reference, slip)]


def _missing_in_ledger(
    place: World, lines: list[Line], untouched: _Untouched, nth: int, chance: Random
) -> list[Planted]:
    """The bank took a charge nobody booked, or a customer paid in and the notice was lost."""
    day = _some_business_day(place, chance)
    if nth % 2 == 0:
        line = Line(BANK, day, -(1_503 + 2 * nth), f"CHG{day:%y%m%d}{nth:03d}", f"BKC{day:%y%m%d}{nth:03d}")
        line = replace(line, text="ACCOUNT SERVICING CHARGE")
    else:
        customer = chance.choice(place.customers)
        reference = f"X{day:%y%m%d}{nth:03d}"
        line = _named(
            Line(BANK, day, 40_007 + 2 * nth, reference, f"BKX{day:%y%m%d}{nth:03d}", text="TOP UP"), customer
        )
    lines.append(line)
    return [Planted("missing_in_ledger", BANK, day, line.reference, line.amount_minor)]


def _missing_at_bank(
    place: World, lines: list[Line], untouched: _Untouched, nth: int, chance: Random
) -> list[Planted]:
    """The ledger says that it happened, and the bank has never heard of it."""
    line = untouched.settled()
    if line is None:
        return []
    lines.remove(line)
    return [_unseen("missing_at_bank", line)]


def _duplicate(
    place: World, lines: list[Line], untouched: _Untouched, nth: int, chance: Random
) -> list[Planted]:
    """The bank booked one payment twice, the second time the day after."""
    line = untouched.settled()
    if line is None:
        return []
    day = world.next_business_day(line.day)
    lines.append(replace(line, day=day, bank_reference=f"BKD{day:%y%m%d}{nth:03d}"))
    return [Planted("duplicate", line.account, day, line.reference, line.amount_minor)]


def _unidentified(
    place: World, lines: list[Line], untouched: _Untouched, nth: int, chance: Random
) -> list[Planted]:
    """Money came in and nothing on the line says whose it is."""
    day = _some_business_day(place, chance)
    amount = chance.randrange(50, 9_000) * 100 + 11
    reference = f"BKN{day:%y%m%d}{nth:03d}"
    lines.append(
        Line(BANK, day, amount, "", reference, name="不详", pinyin="UNKNOWN", text="PAYMENT THANK YOU")
    )
    return [Planted("unidentified", BANK, day, reference, amount)]


def _wrong_account(
    place: World, lines: list[Line], untouched: _Untouched, nth: int, chance: Random
) -> list[Planted]:
    """A payment booked for the bank's account arrived at the payment firm's: a break on either."""
    line = untouched.settled(account=BANK, is_in=True)
    if line is None:
        return []
    lines.remove(line)
    lines.append(replace(line, account=FIRM))
    return [
        _unseen("wrong_account", line),
        Planted("wrong_account", FIRM, line.day, line.reference, line.amount_minor),
    ]


def _unseen(kind: BreakKind, line: Line) -> Planted:
    """A break on the ledger's side: its line waits for one that the bank does not send."""
    assert line.posted_on is not None, "the ledger knows this line"
    return Planted(kind, line.account, line.posted_on, line.reference, -line.amount_minor)


_PLANTERS = {
    "timing": _timing,
    "amount": _amount,
    "missing_in_ledger": _missing_in_ledger,
    "missing_at_bank": _missing_at_bank,
    "duplicate": _duplicate,
    "unidentified": _unidentified,
    "wrong_account": _wrong_account,
}


def _last_business_day(place: World) -> date:
    return max(day for day in place.days if world.is_business_day(day))


def _some_business_day(place: World, chance: Random) -> date:
    days = [day for day in place.days if world.is_business_day(day)]
    return chance.choice(days[: max(len(days) - SETTLED_DAYS, 1)])


# ── the files ────────────────────────────────────────────────────────────────────────────────────────────


def _files(place: World, lines: list[Line]) -> Iterable[File]:
    """A file a day for each account, the formats in turn; the bank's on business days only."""
    by_day: dict[tuple[str, date], list[Line]] = defaultdict(list)
    for line in lines:
        by_day[line.account, line.day].append(line)
    balance = {BANK: 0, FIRM: 0}
    before = {account: place.first_day - timedelta(days=1) for account in balance}
    number = {BANK: 0, FIRM: 0}
    for day in place.days:
        for account in (BANK, FIRM):
            if account == BANK and not world.is_business_day(day):
                continue
            todays = by_day.pop((account, day), [])
            number[account] += 1
            opening, balance[account] = (
                balance[account],
                balance[account] + sum(each.amount_minor for each in todays),
            )
            page = Page(
                account, number[account], before[account], day, opening, balance[account], tuple(todays)
            )
            if (number[account] + (account == FIRM)) % 2:
                name, content = f"{account}-{day:%Y%m%d}.xml", camt053(page)
            else:
                name, content = f"{account}-{day:%Y%m%d}.sta", mt940(page)
            yield File(name, account, day, content, balance[account])
            before[account] = day
    assert not by_day, f"lines on days without a statement: {sorted(by_day)}"


@dataclass(frozen=True, slots=True)
class Page:
    """One day of one account, as its bank tells it."""

    account: str
    number: int
    opened_on: date
    day: date
    opening_minor: int
    closing_minor: int
    lines: tuple[Line, ...]


def camt053(page: Page) -> bytes:
    """The page as ISO 20022 camt.053: version 02 from the bank, version 08 from the payment firm."""
    version = {BANK: "02", FIRM: "08"}[page.account]
    credits_ = [line.amount_minor for line in page.lines if line.amount_minor > 0]
    debits = [-line.amount_minor for line in page.lines if line.amount_minor < 0]
    identification = f"{BICS[page.account]}{page.day:%Y%m%d}{page.number:04d}"
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>\n',
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}">\n<BkToCstmrStmt>\n',
        f"<GrpHdr><MsgId>{identification}</MsgId><CreDtTm>{page.day}T23:30:00</CreDtTm></GrpHdr>\n",
        f"<Stmt>\n<Id>{identification}</Id>\n<ElctrncSeqNb>{page.number}</ElctrncSeqNb>\n",
        f"<CreDtTm>{page.day}T23:30:00</CreDtTm>\n",
        f"<FrToDt><FrDtTm>{page.day}T00:00:00</FrDtTm><ToDtTm>{page.day}T23:59:59</ToDtTm></FrToDt>\n",
        f"<Acct><Id><Othr><Id>{NUMBERS[page.account]}</Id></Othr></Id><Ccy>{world.CURRENCY}</Ccy>",
        f"<Nm>{NAMES[page.account]}</Nm></Acct>\n",
        _camt_balance("OPBD", page.opening_minor, page.day),
        _camt_balance("CLBD", page.closing_minor, page.day),
        f"<TxsSummry><TtlNtries><NbOfNtries>{len(page.lines)}</NbOfNtries>",
        f"<Sum>{_decimal(sum(credits_) + sum(debits))}</Sum></TtlNtries>",
        f"<TtlCdtNtries><NbOfNtries>{len(credits_)}</NbOfNtries><Sum>{_decimal(sum(credits_))}</Sum></TtlCdtNtries>",
        f"<TtlDbtNtries><NbOfNtries>{len(debits)}</NbOfNtries><Sum>{_decimal(sum(debits))}</Sum></TtlDbtNtries>",
        "</TxsSummry>\n",
        *(_camt_entry(line, version) for line in page.lines),
        "</Stmt>\n</BkToCstmrStmt>\n</Document>\n",
    ]
    return "".join(parts).encode()


def _camt_balance(code: str, amount_minor: int, day: date) -> str:
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>{_camt_amount(amount_minor)}"
        f"<Dt><Dt>{day}</Dt></Dt></Bal>\n"
    )


def _camt_amount(amount_minor: int) -> str:
    side = "CRDT" if amount_minor >= 0 else "DBIT"
    return f'<Amt Ccy="{world.CURRENCY}">{_decimal(abs(amount_minor))}</Amt><CdtDbtInd>{side}</CdtDbtInd>'


def _camt_entry(line: Line, version: str) -> str:
    is_in = line.amount_minor >= 0
    role = "Dbtr" if is_in else "Cdtr"
    status = "<Sts>BOOK</Sts>" if version == "02" else "<Sts><Cd>BOOK</Cd></Sts>"
    parties = ""
    if line.name:
        name = f"<Nm>{escape(line.name)}</Nm>"
        party = name if version == "02" else f"<Pty>{name}</Pty>"
        account = (
            f"<{role}Acct><Id><Othr><Id>{line.counterparty}</Id></Othr></Id></{role}Acct>"
            if line.counterparty
            else ""
        )
        parties = f"<RltdPties><{role}>{party}</{role}>{account}</RltdPties>"
    family, purpose = ("RCDT", "DMCT") if is_in else ("ICDT", "DMCT")
    return (
        f"<Ntry>{_camt_amount(line.amount_minor)}{status}"
        f"<BookgDt><Dt>{line.day}</Dt></BookgDt><ValDt><Dt>{line.day}</Dt></ValDt>"
        f"<AcctSvcrRef>{line.bank_reference}</AcctSvcrRef>"
        f"<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>{family}</Cd><SubFmlyCd>{purpose}</SubFmlyCd></Fmly></Domn></BkTxCd>"
        f"<NtryDtls><TxDtls><Refs><EndToEndId>{line.reference or 'NOTPROVIDED'}</EndToEndId></Refs>{_detail(line, version)}"
        f"{parties}<RmtInf><Ustrd>{escape(line.text)}</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>\n"
    )


def _detail(line: Line, version: str) -> str:
    """From version 04 on a transaction states its own amount; before, only a detailed one."""
    return "" if version == "02" else _camt_amount(line.amount_minor)


def mt940(page: Page) -> bytes:
    """The page as a SWIFT MT940 in its envelope; names in pinyin, for its alphabet has no other."""
    bic = BICS[page.account]
    fields = [
        f":20:{page.day:%y%m%d}{page.number:04d}",
        f":25:{NUMBERS[page.account]}",
        f":28C:{page.number:05d}/001",
        f":60F:{_mt_balance(page.opened_on, page.opening_minor)}",
    ]
    for line in page.lines:
        side = "C" if line.amount_minor >= 0 else "D"
        reference = line.reference or "NONREF"
        fields.append(
            f":61:{line.day:%y%m%d}{line.day:%m%d}{side}{_comma(abs(line.amount_minor))}NTRF{reference}"
            f"//{line.bank_reference}"
        )
        fields.append(":86:" + "\r\n".join(_wrapped(_narrative(line))))
    fields.append(f":62F:{_mt_balance(page.day, page.closing_minor)}")
    head = f"{{1:F01{bic}AXXX0000000000}}{{2:I940{bic}XXXXN}}{{4:"
    return ("\r\n".join([head, *fields, "-}"]) + "\r\n").encode("ascii")


def _narrative(line: Line) -> str:
    words = []
    if line.reference:
        words.append(f"/EREF/{line.reference}")
    if line.pinyin:
        words.append(f"/{'ORDP' if line.amount_minor >= 0 else 'BENM'}//NAME/{line.pinyin}")
    words.append(f"/REMI/{line.text}")
    return "".join(words)


def _wrapped(text: str, width: int = 65) -> list[str]:
    """Lines of at most 65 characters that begin and end with a character one can see."""
    rows = []
    while len(text) > width:
        cut = width
        while text[cut - 1] == " " or text[cut] in " :-":
            cut -= 1
        rows.append(text[:cut])
        text = text[cut:]
    return [*rows, text]


def _mt_balance(day: date, amount_minor: int) -> str:
    side = "C" if amount_minor >= 0 else "D"
    return f"{side}{day:%y%m%d}{world.CURRENCY}{_comma(abs(amount_minor))}"


def _decimal(amount_minor: int) -> str:
    return f"{amount_minor // 100}.{amount_minor % 100:02d}"


def _comma(amount_minor: int) -> str:
    return f"{amount_minor // 100},{amount_minor % 100:02d}"

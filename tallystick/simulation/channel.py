"""The payment channel: takes what some customers pay in, and pays the bank a day's in one sum the day after.

Promises: built from the bank's lines, never from the ledger's tables; of each payment it tells, its file of
the day and the bank's line of the payout agree, but where a break is planted. It bills its fees by the
quarter, so a fee it keeps of a payout is one nobody has booked. Same world, same bytes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from random import Random

from tallystick.custody.statements.mapping import Mapping, Named
from tallystick.simulation import world
from tallystick.simulation.bank_lines import Line, Planted
from tallystick.simulation.world import World

CUSTOMERS_EVERY = 8
"""One customer in so many pays in through the channel."""
PLANTED_IN_50_000 = 1
"""How often each kind of break is planted in a world of fifty thousand transfers; in any world once."""
SETTLED_DAYS = 6
FEE_PER_MILLE = 6
NUMBER = "YQ-MERCHANT-0088"
NAME, PINYIN = "云桥支付（虚构）", "YUNQIAO PAY"
HEADER = "交易日期,商户订单号,交易金额,手续费,结算金额,结算批次号"

MAPPING = Mapping(
    name="yunqiao-settlement",
    kind="settlement",
    columns=Named(
        booking_date="交易日期",
        end_to_end_id="商户订单号",
        gross="交易金额",
        fee="手续费",
        net="结算金额",
        settlement="结算批次号",
    ),
    date_format="%Y-%m-%d",
    decimal=".",
    currency=world.CURRENCY,
    account=NUMBER,
)
"""What the columns of its files are, as whoever imports them declares it."""


@dataclass(frozen=True, slots=True)
class File:
    """A settlement file as the channel sends it."""

    name: str
    account: str
    day: date
    content: bytes


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment the channel took."""

    reference: str
    gross_minor: int
    fee_minor: int = 0

    @property
    def net_minor(self) -> int:
        return self.gross_minor - self.fee_minor


@dataclass(slots=True)
class Payout:
    """What the channel took on a day, and pays the bank in one sum."""

    day: date
    paid_on: date
    payments: list[Payment]
    short_minor: int = 0
    """How much less arrives than it tells."""

    @property
    def reference(self) -> str:
        """By which its file and the bank name it."""
        return f"YQ{self.day:%Y%m%d}"

    @property
    def arriving_minor(self) -> int:
        return sum(each.net_minor for each in self.payments) - self.short_minor


def through(
    place: World, lines: list[Line], planted: set[str], *, account: str, transfers: int
) -> tuple[list[Line], list[Planted], list[File]]:
    """The bank's lines once the channel stands before it, what is planted there, and its files."""
    cards = {customer.card.split()[-1] for customer in place.customers[::CUSTOMERS_EVERY]}
    last = max(day for day in place.days if world.is_business_day(day)) - timedelta(SETTLED_DAYS)
    days: dict[date, list[Payment]] = defaultdict(list)
    left = []
    for line in lines:
        is_its = line.account == account and line.counterparty in cards and line.amount_minor > 0
        is_plain = line.day == line.posted_on and line.reference not in planted and line.day <= last
        if is_its and is_plain and line.reference and not line.is_final:
            days[line.day].append(Payment(line.reference, line.amount_minor))
        else:
            left.append(line)
    payouts = [Payout(day, world.next_business_day(day), days[day]) for day in sorted(days)]
    chance = Random(f"{place.seed}/channel")
    more = []
    free = list(payouts)
    chance.shuffle(free)
    for _ in range(max(1, round(PLANTED_IN_50_000 * transfers / 50_000))):
        for planter in (_fee_kept, _paid_short, _never_told):
            if free:
                more.append(planter(free.pop(), account))
    left.extend(_line(payout, account) for payout in payouts)
    return left, more, [_file(payout, account) for payout in payouts]


def _line(payout: Payout, account: str) -> Line:
    return Line(
        account=account,
        day=payout.paid_on,
        amount_minor=payout.arriving_minor,
        reference=payout.reference,
        bank_reference=f"BKY{payout.day:%y%m%d}",
        name=NAME,
        pinyin=PINYIN,
        counterparty=NUMBER,
        text="CHANNEL SETTLEMENT",
    )


def _fee_kept(payout: Payout, account: str) -> Planted:
    """The channel kept a fee of each payment, and nobody has booked any."""
    payout.payments = [
        replace(each, fee_minor=max(each.gross_minor * FEE_PER_MILLE // 1000, 1)) for each in payout.payments
    ]
    fees = sum(each.fee_minor for each in payout.payments)
    return Planted("missing_in_ledger", account, payout.paid_on, payout.reference, -fees)


def _paid_short(payout: Payout, account: str) -> Planted:
    """Less arrived than the payments make."""
    payout.short_minor = 100
    return Planted("amount", account, payout.paid_on, payout.reference, -100)


def _never_told(payout: Payout, account: str) -> Planted:
    """A payment was taken and paid out, and the platform was never told of it."""
    payment = Payment(f"YQX{payout.day:%Y%m%d}", 38_017)
    payout.payments.append(payment)
    return Planted("missing_in_ledger", account, payout.day, payment.reference, payment.net_minor)


def _file(payout: Payout, account: str) -> File:
    rows = [
        f"{payout.day},{each.reference},{_decimal(each.gross_minor)},{_decimal(each.fee_minor)},"
        f"{_decimal(each.net_minor)},{payout.reference}"
        for each in payout.payments
    ]
    return File(f"yunqiao-{payout.day:%Y%m%d}.csv", account, payout.day, _text([HEADER, *rows]))


def _text(rows: Iterable[str]) -> bytes:
    return "".join(f"{row}\r\n" for row in rows).encode()


def _decimal(amount_minor: int) -> str:
    return f"{amount_minor // 100}.{amount_minor % 100:02d}"

"""The place: a platform's customers, its own account, its bank and its payment firm, all invented.

Promises: the same seed makes the same people in the same order, and a larger world begins with the
smaller one's; no name, card or account number is anybody's (card numbers fail the check digit that every
real one passes).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from tallystick.simulation.acts import Account

CURRENCY = "CNY"
BOOK_NAME = "青禾借贷平台 Qinghe Lending"
TIME_ZONE = "Asia/Shanghai"

BANK, FIRM, FEES, SUSPENSE = "bank", "firm", "fees", "suspense"
"""The simulation's names of the platform's four own accounts."""

BANK_ACCOUNT = "1202027609900000018"
FIRM_ACCOUNT = "8800100020003000415"
OWN_BANK_ACCOUNT = "1202027609900000777"
"""Where fees are paid out to: the platform's own money, outside the book."""

# Each with its sound in pinyin, which is all that MT940 can carry.
_FAMILY_NAMES = [
    tuple(pair.split(":"))
    for pair in "王:WANG 李:LI 张:ZHANG 刘:LIU 陈:CHEN 杨:YANG 黄:HUANG 赵:ZHAO 吴:WU 周:ZHOU 徐:XU 孙:SUN 马:MA "
    "朱:ZHU 胡:HU 郭:GUO 何:HE 林:LIN 高:GAO 罗:LUO 郑:ZHENG 梁:LIANG 谢:XIE 宋:SONG 唐:TANG 许:XU 邓:DENG "
    "冯:FENG 韩:HAN 曹:CAO 曾:ZENG 彭:PENG 萧:XIAO 蔡:CAI 潘:PAN 田:TIAN 董:DONG 袁:YUAN 于:YU 余:YU".split()
]
_GIVEN_NAMES = [
    tuple(pair.split(":"))
    for pair in "芳:FANG 强:QIANG 敏:MIN 静:JING 磊:LEI 洋:YANG 艳:YAN 勇:YONG 军:JUN 杰:JIE 娟:JUAN 涛:TAO "
    "明:MING 超:CHAO 秀:XIU 霞:XIA 平:PING 刚:GANG 桂:GUI 文:WEN 玉:YU 萍:PING 红:HONG 玲:LING 鹏:PENG 波:BO "
    "宇:YU 晨:CHEN 欣:XIN 怡:YI 佳:JIA 雪:XUE 梅:MEI 兰:LAN 云:YUN 川:CHUAN 海:HAI 山:SHAN 泽:ZE 睿:RUI".split()
]
_CAST = (("王芳", "WANG FANG"), ("李强", "LI QIANG"))
"""The two customers of every story come first in every world."""

_CARD_BANKS = ("青山银行", "江海银行", "云岭银行", "南塘银行")

CEILING_MINOR = 200_000_000

SALARY_DAYS = (5, 10, 15, 25)


@dataclass(frozen=True, slots=True)
class Customer:
    """A person who lends or borrows. `card` is the one card their money may be paid out to."""

    number: str
    name: str
    pinyin: str
    card: str
    joins: date
    salary_day: int
    salary_minor: int
    is_borrower: bool
    ceiling_minor: int | None = None

    @property
    def account(self) -> str:
        """What the simulation calls their account."""
        return f"customer {self.number}"

    @property
    def payee(self) -> str:
        """How an authorisation names them and their card."""
        return f"{self.name} {self.card}"


@dataclass(frozen=True, slots=True)
class World:
    """A platform and a span of days, both ends included."""

    seed: int
    first_day: date
    last_day: date
    customers: tuple[Customer, ...]

    @property
    def days(self) -> list[date]:
        return [self.first_day + timedelta(days=n) for n in range((self.last_day - self.first_day).days + 1)]


def make(*, seed: int, customers: int, first_day: date, last_day: date) -> World:
    """The world of this seed. Three in four customers are there on the first day; the rest join later."""
    span = (last_day - first_day).days
    made = []
    for nth in range(customers):
        # Each from a seed of their own, so that a larger world begins with the smaller one's people.
        chance = Random(f"{seed}/customer/{nth}")
        name, pinyin = _CAST[nth] if nth < len(_CAST) else _name(chance)
        joins = first_day
        if nth >= len(_CAST) and chance.random() < 0.25:
            # In weekly cohorts, the last of them a fortnight before the end.
            joins = first_day + timedelta(days=chance.randrange(0, max(span - 14, 1)) // 7 * 7)
        is_borrower = nth == 1 or (nth > 1 and chance.random() < 0.30)
        made.append(
            Customer(
                number=f"{20_000_001 + nth}",
                name=name,
                pinyin=pinyin,
                card=_card(chance),
                joins=joins,
                salary_day=chance.choice(SALARY_DAYS),
                salary_minor=chance.randrange(6_000, 38_000) * 100,
                is_borrower=is_borrower,
                # What a person may hold until they have been seen in the branch.
                ceiling_minor=None if is_borrower or nth < 2 or nth % 5 else CEILING_MINOR,
            )
        )
    return World(seed, first_day, last_day, tuple(made))


def own_accounts() -> tuple[Account, ...]:
    """The accounts a platform has before its first customer."""
    return (
        Account(BANK, "external", "存管银行专户 Custodian bank", BANK_ACCOUNT),
        Account(FIRM, "external", "支付机构待结算 Payment firm", FIRM_ACCOUNT),
        Account(FEES, "own", "平台服务费 Platform fees", "fees"),
        Account(SUSPENSE, "suspense", "待查款项 Unidentified receipts", "suspense"),
    )


def customer_account(customer: Customer) -> Account:
    """A customer's account, under the custodian bank's name for it."""
    return Account(
        name=customer.account,
        family="client",
        title=customer.name,
        reference=f"client-{customer.number}",
        owner=customer.number,
        ceiling_minor=customer.ceiling_minor,
    )


def is_business_day(day: date) -> bool:
    """Whether the bank books: Monday to Friday. Holidays of a place come with its calendar."""
    return day.weekday() < 5


def next_business_day(day: date) -> date:
    """The first day after `day` on which the bank books."""
    day += timedelta(days=1)
    while not is_business_day(day):
        day += timedelta(days=1)
    return day


def three_months(last_day: date) -> date:
    """The day on which three months begin that end on `last_day`."""
    month = last_day.month - 3
    year, month = (last_day.year, month) if month > 0 else (last_day.year - 1, month + 12)
    # 31 May has no day three months before it: the 28th then is soon enough.
    return date(year, month, min(last_day.day, 28)) + timedelta(days=1)


def _name(chance: Random) -> tuple[str, str]:
    family, family_sound = chance.choice(_FAMILY_NAMES)
    given = [chance.choice(_GIVEN_NAMES) for _ in range(chance.choice((1, 2, 2, 2)))]
    return family + "".join(
        word for word, _ in given
    ), f"{family_sound} {''.join(sound for _, sound in given)}"


def _card(chance: Random) -> str:
    digits = "62" + "".join(str(chance.randrange(10)) for _ in range(16))
    wrong = (_check_digit(digits) + 1 + chance.randrange(9)) % 10
    return f"{chance.choice(_CARD_BANKS)} {digits}{wrong}"


def _check_digit(digits: str) -> int:
    """The digit that makes a card number whole (ISO/IEC 7812, Luhn)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled // 10 + doubled % 10
    return -total % 10

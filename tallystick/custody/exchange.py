"""Exchange: one asset for another, as a chain of two transfers over position accounts.

Promises: each asset balances by itself; both sides are posted or neither; the rate, who quoted it and how
the result was rounded are kept in both transfers, so that anybody can work the amount out again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from tallystick.core import money
from tallystick.core.money import Rounding
from tallystick.custody import codes, compound, errors, numbers
from tallystick.custody.assets import Asset
from tallystick.custody.numbers import AccountNumber, AuthorisationNumber
from tallystick.custody.transfers import TransferRequest

_RATE = re.compile(r"(0|[1-9][0-9]{0,11})(\.[0-9]{1,12})?")


@dataclass(frozen=True, slots=True)
class Quote:
    """What one unit of the asset sold buys of the other, in whole units (not minor ones), and by whom.

    The rate is its decimal text as quoted, such as "0.1391".
    """

    rate: str
    source: str
    rounding: Rounding = Rounding.HALF_EVEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """An exchange: `seller`'s account gives, `buyer`'s account gets, usually both of one client.

    The position accounts stand for whoever changes the money: what they lack in one asset they hold in
    the other. They are external accounts, for a position may stand on either side.
    """

    sold: Asset
    bought: Asset
    seller: AccountNumber
    sold_position: AccountNumber
    bought_position: AccountNumber
    buyer: AccountNumber
    sold_minor: int
    authorisation: AuthorisationNumber | None = None
    reference: str | None = None


def rate_value(text: str) -> Fraction | None:
    """What a rate's text says; nothing where it is no positive decimal of at most 12 places."""
    return (Fraction(Decimal(text)) or None) if _RATE.fullmatch(text) else None


def bought_minor(sold_minor: int, sold_scale: int, bought_scale: int, quote: Quote) -> int:
    """What an amount buys at a rate, in minor units, rounded as the quote says.

    sold × rate, moved from the one asset's decimals to the other's. Raises `errors.Malformed` where the
    rate is no positive decimal of at most 12 places.
    """
    if (rate := rate_value(quote.rate)) is None:
        raise errors.Malformed(where="exchange", field="rate", expected="a positive decimal such as 0.1391")
    return money.rounded(
        Fraction(sold_minor * 10**bought_scale, 10**sold_scale) * rate,
        quote.rounding,
    )


def chain(exchange_id: str, asked: Exchange, quote: Quote) -> list[TransferRequest]:
    """The two linked transfers of an exchange.

    Raises `errors.Malformed` where an account holds another asset than said, the rate is none, nobody
    quoted it, or nothing would be bought.
    """
    for field, account, asset in (
        ("seller", asked.seller, asked.sold),
        ("sold_position", asked.sold_position, asked.sold),
        ("bought_position", asked.bought_position, asked.bought),
        ("buyer", asked.buyer, asked.bought),
    ):
        if numbers.asset_of(account) != asset.number:
            raise errors.Malformed(where="exchange", field=field, expected=f"an account in {asset.code}")
    if asked.sold.number == asked.bought.number:
        raise errors.Malformed(
            where="exchange", field="bought", expected=f"another asset than {asked.sold.code}"
        )
    if not 1 <= len(quote.source) <= 140:
        raise errors.Malformed(
            where="exchange", field="source", expected="who quoted the rate, 1 to 140 characters"
        )
    bought = bought_minor(asked.sold_minor, asked.sold.scale, asked.bought.scale, quote)
    if bought < 1:
        raise errors.Malformed(where="exchange", field="sold_minor", expected="enough to buy a minor unit")
    told: dict[str, object] = {
        "exchange": {
            "sold": asked.sold.code,
            "sold_minor": str(asked.sold_minor),
            "bought": asked.bought.code,
            "bought_minor": str(bought),
            "rate": quote.rate,
            "source": quote.source,
            "rounding": str(quote.rounding),
        }
    }
    return [
        TransferRequest(
            id=compound.leg_id(exchange_id, 0),
            debit_account=numbers.account_text(asked.seller),
            credit_account=numbers.account_text(asked.sold_position),
            amount_minor=asked.sold_minor,
            code=codes.Code.EXCHANGE.text,
            authorisation=(
                None if asked.authorisation is None else numbers.authorisation_text(asked.authorisation)
            ),
            linked=True,
            reference=asked.reference,
            metadata=told,
        ),
        TransferRequest(
            id=compound.leg_id(exchange_id, 1),
            debit_account=numbers.account_text(asked.bought_position),
            credit_account=numbers.account_text(asked.buyer),
            amount_minor=bought,
            code=codes.Code.EXCHANGE.text,
            reference=asked.reference,
            metadata=told,
        ),
    ]

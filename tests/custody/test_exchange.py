"""Exchange: both assets balance, and the rate, its source and the rounding stay on record."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tallystick.core.money import Rounding
from tallystick.custody import accounts, assets, errors, exchange, history
from tallystick.custody.codes import Code
from tallystick.custody.exchange import Exchange, Quote
from tallystick.custody.numbers import Family
from tests.custody import cast
from tests.custody.cast import BOOK, DB, NOW, SIMULATION, ask

ENTRY = "trf_0192f000-1234-7abc-8def-000000000001"


@pytest.mark.parametrize(
    ("sold", "scales", "rate", "rounding", "bought"),
    [
        (100_00, (2, 2), "0.1391", Rounding.HALF_EVEN, 13_91),
        (1_00, (2, 2), "0.125", Rounding.HALF_EVEN, 12),
        (3_00, (2, 2), "0.125", Rounding.HALF_EVEN, 38),
        (1_00, (2, 2), "0.125", Rounding.HALF_UP, 13),
        (1_00, (2, 2), "0.129", Rounding.DOWN, 12),
        (1_00, (2, 2), "0.121", Rounding.UP, 13),
        (100_00, (2, 0), "21.07", Rounding.HALF_EVEN, 2107),
        (2107, (0, 2), "0.04746", Rounding.HALF_EVEN, 100_00),
        (1, (0, 3), "3", Rounding.DOWN, 3_000),
        (10**15, (2, 2), "1.000000000001", Rounding.DOWN, 10**15 + 1_000),
    ],
)
def test_an_amount_follows_from_rate_scales_and_rounding(sold, scales, rate, rounding, bought):
    assert exchange.bought_minor(sold, *scales, Quote(rate, "a bank", rounding)) == bought


@pytest.mark.parametrize(
    "rate", ["0", "0.0", "-1", "1e3", "1.", ".5", "", "NaN", "1,5", "1.0000000000001", "٣", "1\n"]
)
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(errors.Malformed) as refused:
        exchange.bought_minor(100, 2, 2, Quote(rate, "a bank"))
    assert refused.value.fields["field"] == "rate"


def test_yuan_become_dollars_and_nothing_is_made_on_the_way(ledger_database):
    people = cast.opened()

    def opened(family: Family, asset: str, owner: str = "") -> int:
        return accounts.open_account(
            DB, BOOK, family, asset, owner=owner, name=f"{family.name} {asset}", reference=f"{family.name} {asset}",
            actor=SIMULATION, now=NOW,
        )  # fmt: skip

    yuan, dollars = opened(Family.EXTERNAL, "CNY"), opened(Family.EXTERNAL, "USD")
    wangs_dollars = opened(Family.CLIENT, "USD", "C-WANG")
    cast.post([ask(1, people.bank, people.wang, 1_000_00)])
    asked = Exchange(
        sold=assets.asset(DB, "CNY"),
        bought=assets.asset(DB, "USD"),
        seller=people.wang,
        sold_position=yuan,
        bought_position=dollars,
        buyer=wangs_dollars,
        sold_minor=333_33,
        authorisation=cast.authorised(people.wang, yuan, 333_33, code=Code.EXCHANGE),
        reference="FX-1",
    )
    quote = Quote("0.139125", "China Foreign Exchange Trade System, 2026-03-02")
    positions = cast.post(exchange.chain(ENTRY, asked, quote))
    assert history.balance(DB, wangs_dollars).balance_minor == 46_37
    assert history.balance(DB, yuan).balance_minor == -333_33
    trial = history.trial_balance(DB, BOOK)
    assert trial.difference_minor == {"CNY": 0, "USD": 0}
    told = [
        json.loads(history.transfer_at(DB, BOOK, position).metadata or "")["exchange"]
        for position in positions
    ]
    assert told[0] == told[1] == {
        "sold": "CNY", "sold_minor": "33333", "bought": "USD", "bought_minor": "4637", "rate": "0.139125",
        "source": "China Foreign Exchange Trade System, 2026-03-02", "rounding": "half_even",
    }  # fmt: skip

    for field, wrong in (
        ("seller", {"seller": wangs_dollars}),
        ("buyer", {"buyer": people.wang}),
        ("sold_position", {"sold_position": dollars}),
        ("bought_position", {"bought_position": yuan}),
        ("sold_minor", {"sold_minor": 3}),
    ):
        with pytest.raises(errors.Malformed) as refused:
            exchange.chain(ENTRY, replace(asked, **wrong), quote)
        assert refused.value.fields["field"] == field
    with pytest.raises(errors.Malformed):
        exchange.chain(ENTRY, asked, Quote("0.139125", ""))

"""Assets: ISO 4217's currencies are as the standard has them, others from 1000 on."""

from __future__ import annotations

import pytest

from tallystick.custody import assets, errors
from tallystick.evidence import log
from tallystick.identity.errors import AccessDenied
from tests.custody.cast import APPROVER, AUDITOR, DB, OPENED, OPERATIONS

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("number", "code", "scale", "field"),
    [
        (1000, "gold", 3, "code"),
        (1000, "AU", 3, "code"),
        (1000, "1AU", 3, "code"),
        (1000, "GOLD-GRAM", 3, "code"),
        (1000, "GOLD", 19, "scale"),
        (1000, "GOLD", -1, "scale"),
        (999, "GOLD", 3, "number"),
        (10_000, "GOLD", 3, "number"),
        (156, "CNY", 3, "number and scale"),
        (1000, "CNY", 2, "number and scale"),
    ],
)
def test_a_misfit_names_its_field(number, code, scale, field):
    wrong = assets.misfit(number, code, scale, "A name")
    assert wrong is not None
    assert wrong[0] == field
    with pytest.raises(errors.Malformed):
        assets.define(DB, number, code, scale, "A name", actor=APPROVER, now=OPENED)


def test_an_asset_of_ones_own_is_defined_once():
    gold = assets.define(DB, 1000, "GOLD", 3, "Gram of gold", actor=APPROVER, now=OPENED)
    assert assets.asset(DB, "GOLD") == gold
    for number, code in ((1000, "SILVER"), (1001, "GOLD")):
        with pytest.raises(errors.AssetExists):
            assets.define(DB, number, code, 3, "Another", actor=APPROVER, now=OPENED)
    assert [event.payload for event in log.events(DB, kind="custody.asset_defined")] == [
        {"asset": "GOLD", "number": 1000, "scale": 3}
    ]


def test_a_currency_is_there_once_somebody_needs_it():
    with pytest.raises(errors.AssetUnknown):
        assets.asset(DB, "JPY")
    yen = assets.ensure_currency(DB, "JPY", actor=OPERATIONS, now=OPENED)
    assert (yen.number, yen.scale) == (392, 0)
    assert assets.ensure_currency(DB, "JPY", actor=OPERATIONS, now=OPENED) == yen
    assert len(log.events(DB, kind="custody.asset_defined")) == 1
    with pytest.raises(errors.AssetUnknown):
        assets.ensure_currency(DB, "XXX", actor=OPERATIONS, now=OPENED)


def test_who_may_open_no_account_calls_for_no_currency():
    with pytest.raises(AccessDenied):
        assets.ensure_currency(DB, "JPY", actor=AUDITOR, now=OPENED)
    with pytest.raises(AccessDenied):
        assets.define(DB, 1000, "GOLD", 3, "Gram of gold", actor=OPERATIONS, now=OPENED)

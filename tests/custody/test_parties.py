"""Whose things these are: what a request names leads to the clients behind it, and to nobody where it cannot."""

from datetime import timedelta

from tallystick.core.db import APP
from tallystick.custody import accounts, numbers, parties
from tallystick.custody.models import AccountStatus
from tallystick.identity import users
from tallystick.identity.access import Actor
from tests.custody import cast

CLI = Actor.system("cli")


def test_ids_lead_to_the_clients_behind_them(ledger_database):
    found = cast.opened()
    owner = accounts.account(APP, found.wang).owner
    text = numbers.account_text(found.wang)
    assert parties.behind(APP, [text]) == [owner]
    user = users.create(APP, "wang", name="王芳", customer_number="C-77", actor=CLI, now=cast.NOW)
    assert parties.behind(APP, [user.reference]) == ["C-77"]
    nothing = [
        "",
        "acc_1",
        "acc_999999999999999999",
        "trf_x",
        "usr_999",
        "pay_9",
        "bnk_9",
        "quo_9",
        "book:1/99",
    ]
    assert parties.behind(APP, [*nothing, "book:x/1", "C-1' or 1=1"]) == []
    assert parties.behind(APP, [*nothing, text]) == [owner]


def test_a_relationship_ends_with_the_last_account(ledger_database):
    found = cast.opened()
    owner = accounts.account(APP, found.wang).owner
    held = [each for each in accounts.accounts(APP, 1, limit=100) if each.owner == owner]
    assert parties.ended(APP, {"owner": owner}) is None
    for day, each in enumerate(held):
        at = cast.NOW + timedelta(days=day)
        assert parties.ended(APP, {"account": each.text}) is None
        accounts.change_state(
            APP, each.number, AccountStatus.CLOSED, reason="leaves", actor=Actor.system("simulation"), now=at
        )
    assert parties.ended(APP, {"account": held[0].text}) == cast.NOW + timedelta(days=len(held) - 1)
    # Nobody can tell of whom nothing is known, nor of two of whom one is unknown.
    assert parties.ended(APP, {"owner": "C-unknown"}) is None
    assert parties.ended(APP, {"owner": "C-unknown", "account": held[0].text}) is None
    assert parties.ended(APP, {"n": 1}) is None

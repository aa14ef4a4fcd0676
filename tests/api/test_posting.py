"""Posting over HTTP: whole calls or nothing, a result for each transfer, and the same result again."""

from __future__ import annotations

import pytest

from tests.api.conftest import House


def test_a_batch_tells_each_transfers_result(house: House) -> None:
    good, wrong = house.top_up(amount_minor=250), house.top_up(credit_account=house.bank)
    answer = house.operations.post("books/1/transfers", [good, wrong])
    assert answer.status == 200, answer.content
    told = answer.json
    assert (told["accepted"], told["refused"], told["replayed"]) == (1, 1, 0)
    accepted, refused = told["results"]
    assert accepted["result"] == "accepted"
    assert accepted["id"] == good["id"]
    assert accepted["amount_minor"] == 250
    assert accepted["credit_after"]["credits_posted_minor"] >= 250
    assert refused == {
        "result": "refused",
        "id": wrong["id"],
        "code": "accounts_same",
        "message": "The debited and the credited account must differ.",
        "replayed": False,
    }
    balance = house.operations.get(f"accounts/{house.wang_account}/balance").json
    assert balance["position"] == accepted["position"]
    assert balance["credits_posted_minor"] == accepted["credit_after"]["credits_posted_minor"]

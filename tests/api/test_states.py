"""Any past state over HTTP: as of a position or a time; pages that stay as they were; what was opened and changed."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tallystick.identity.roles import Role
from tests.api.conftest import NOW, Answer, Caller, House


@pytest.fixture(scope="module")
def posted(house: House) -> list[dict[str, object]]:
    """Five transfers, one call each, so that each has its own moment."""
    return [
        house.operations.post("books/1/transfer", house.top_up(amount_minor=amount)).json
        for amount in range(1, 6)
    ]


def balance(caller: Caller, account: str, query: str = "") -> Answer:
    return caller.get(f"accounts/{account}/balance{query}")


def test_a_balance_as_of_each_position_is_what_the_transfer_left(house: House, posted: list[dict]) -> None:
    for each in posted:
        then = balance(house.operations, house.wang_account, f"?at_position={each['position']}").json
        assert then["position"] == each["position"]
        assert {name: then[name] for name in each["credit_after"]} == each["credit_after"]
    before = balance(house.operations, house.wang_account, f"?at_position={posted[0]['position'] - 1}").json
    assert before["balance_minor"] == then["balance_minor"] - 15


def test_a_time_means_the_last_position_recorded_by_then(house: House, posted: list[dict]) -> None:
    for each in posted:
        query = "?at_time=" + str(each["recorded_at"])
        assert balance(house.operations, house.wang_account, query).json["position"] == each["position"]
        earlier = datetime.fromisoformat(str(each["recorded_at"])) - timedelta(microseconds=1)
        query = f"?at_time={earlier.isoformat().replace('+00:00', 'Z')}"
        assert balance(house.operations, house.wang_account, query).json["position"] == each["position"] - 1


def test_a_state_that_never_was_is_refused_not_empty(house: House, posted: list[dict]) -> None:
    last = house.operations.get("books/1").json["position"]
    for query, code in (
        (f"?at_position={last + 1}", "position_unknown"),
        (f"?at_time={(NOW - timedelta(days=1)).isoformat().replace('+00:00', 'Z')}", "time_before_book"),
    ):
        for path in (f"accounts/{house.wang_account}/balance", "books/1/trial-balance"):
            answer = house.operations.get(path + query)
            assert (answer.status, answer.code) == (404, code), path


def test_a_backdated_value_date_changes_no_past_state(house: House, posted: list[dict]) -> None:
    query = f"?at_position={posted[2]['position']}"
    told = [house.operations.get(path + query).content for path in ("books/1/trial-balance",)]
    late = house.top_up(value_date="2020-01-01", at="2020-01-01T00:00:00Z", amount_minor=1000)
    assert house.operations.post("books/1/transfer", late).status == 201
    assert [house.operations.get(path + query).content for path in ("books/1/trial-balance",)] == told


def test_the_trial_balance_agrees_at_every_position(house: House, posted: list[dict]) -> None:
    for each in posted:
        told = house.operations.get(f"books/1/trial-balance?at_position={each['position']}").json
        assert told["differences"] == [{"asset": "CNY", "difference_minor": 0}]
        held = {total["family"]: total["balance_minor"] for total in told["totals"]}
        assert held["external"] == held["client"]


@pytest.mark.parametrize("address", ["books/1/transfers", "accounts/%WANG%/lines"])
def test_pages_stay_as_they_were_while_others_post(house: House, posted: list[dict], address: str) -> None:
    path = address.replace("%WANG%", house.wang_account)
    name = path.rpartition("/")[2]
    whole = house.operations.get(f"{path}?limit=1000").json
    first = house.operations.get(f"{path}?limit=2").json
    assert first["to_position"] == whole["to_position"]
    pages, told = [first], first
    while told["next_after"] is not None:
        # Somebody posts between any two pages.
        assert house.operations.post("books/1/transfer", house.top_up()).status == 201
        told = house.operations.get(
            f"{path}?limit=2&after={told['next_after']}&to_position={first['to_position']}"
        ).json
        pages.append(told)
    assert [row for page in pages for row in page[name]] == whole[name]
    assert len(pages) > 2
    again = house.operations.get(f"{path}?limit=2").json
    assert again[name] == first[name]


def test_lines_add_up_to_the_balance(house: House, posted: list[dict]) -> None:
    after = posted[1]["position"]
    told = house.operations.get(
        f"accounts/{house.wang_account}/lines?after={after}&to_position={posted[4]['position']}"
    ).json
    running = told["opening_minor"]
    for line in told["lines"]:
        running += line["amount_minor"]
        assert line["balance_minor"] == running
    assert [line["amount_minor"] for line in told["lines"]] == [3, 4, 5]
    assert told["next_after"] is None


def test_balances_of_many_are_of_one_position_in_the_order_asked(house: House, posted: list[dict]) -> None:
    wanted = [house.li_account, house.bank, house.wang_account, house.fees]
    told = house.operations.post(
        "books/1/balances/lookup", {"accounts": wanted, "at_position": posted[0]["position"]}
    )
    assert [each["account"] for each in told.json["balances"]] == wanted
    assert {each["position"] for each in told.json["balances"]} == {posted[0]["position"]}


def test_accounts_are_opened_all_or_none_listed_frozen_and_shown(house: House) -> None:
    new = [
        {"family": "client", "asset": "CNY", "owner": "C-7", "name": f"赵敏 {i}", "reference": f"zhao-{i}"}
        for i in range(3)
    ]
    before = house.rows()
    refused = house.operations.post("books/1/accounts", {"accounts": [*new, {**new[0], "reference": "bank"}]})
    assert (refused.status, refused.code) == (409, "account_reference_taken")
    assert house.rows() == before
    opened = house.operations.post("books/1/accounts", {"accounts": new}).json["accounts"]
    first = house.operations.get("books/1/accounts?owner=C-7&limit=2").json
    rest = house.operations.get(f"books/1/accounts?owner=C-7&limit=2&after={first['next_after']}").json
    assert [each["account"] for each in (*first["accounts"], *rest["accounts"])] == opened
    assert rest["next_after"] is None
    path = f"accounts/{opened[0]}/states"
    assert house.operations.post(path, {"status": "frozen", "reason": "court order"}).status == 201
    assert house.operations.post(path, {"status": "frozen", "reason": "again"}).code == "state_unchanged"
    answer = house.operations.post("books/1/transfer", house.top_up(credit_account=opened[0]))
    assert answer.code == "credits_frozen"
    assert [each["status"] for each in house.operations.get(path).json["states"]] == ["open", "frozen"]
    assert house.operations.get(f"accounts/{opened[0]}").json["status_reason"] == "court order"


def test_a_ceiling_left_out_stays_and_null_takes_it_away(house: House) -> None:
    approver = house.callers[Role.PLATFORM_APPROVER]
    path = f"accounts/{house.suspense}/states"
    assert (
        approver.post(path, {"status": "open", "reason": "r", "ceiling_minor": 500}).json["ceiling_minor"]
        == 500
    )
    assert approver.post(path, {"status": "credits_frozen", "reason": "r"}).json["ceiling_minor"] == 500
    assert (
        approver.post(path, {"status": "open", "reason": "r", "ceiling_minor": None}).json["ceiling_minor"]
        is None
    )


def test_a_book_and_an_asset_are_opened_once(house: House) -> None:
    approver = house.callers[Role.PLATFORM_APPROVER]
    book = {"id": 2, "name": "二号平台", "time_zone": "Asia/Shanghai"}
    assert approver.post("books", book).status == 201
    assert approver.post("books", book).code == "book_exists"
    asset = {"number": 1000, "code": "POINTS", "scale": 0, "name": "积分"}
    assert approver.post("assets", asset).status == 201
    assert approver.post("assets", asset).code == "asset_exists"
    assert house.operations.get("books/2").json["position"] == 0
    assert house.operations.get("books/2/trial-balance").json["totals"] == []


def test_a_client_signs_elsewhere_and_operations_record_it(house: House) -> None:
    key = Ed25519PrivateKey.generate()
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    terms = {
        "kind": "schedule", "credit_account": house.bank, "code": "repay", "amount_minor": 300, "uses_max": 12,
        "valid_from": "2026-03-01T00:00:00+08:00", "valid_until": "2036-03-01T00:00:00+08:00", "basis": "contract 17",
    }  # fmt: skip
    path = f"accounts/{house.wang_account}/authorisations"
    assert house.operations.post(path, terms).code == "signature_missing"
    statement = house.operations.post(f"{path}/statement", terms).json["statement"]
    signature = base64.b64encode(key.sign(statement.encode())).decode()
    signed = {**terms, "signature": signature, "public_key": public}
    assert house.operations.post(path, signed).code == "signature_wrong"
    assert house.wang.post("signing-keys", {"public_key": public}).status == 201
    assert house.wang.get("signing-keys").json["keys"][0]["public_key"] == public
    number = house.operations.post(path, signed).json["authorisation"]
    assert house.operations.post(path, signed).json["authorisation"] == number
    shown = house.wang.get(f"authorisations/{number}").json
    assert (shown["statement"], shown["signature"], shown["standing"]) == (statement, signature, "valid")
    listed = house.wang.get(f"{path}?limit=1000").json["authorisations"]
    assert number in [each["authorisation"] for each in listed]
    assert (
        house.wang.post(f"authorisations/{number}/withdrawal", {"reason": "paid off"}).json["standing"]
        == "withdrawn"
    )
    assert (
        house.wang.post(f"authorisations/{number}/withdrawal", {"reason": "r"}).code
        == "authorisation_already_withdrawn"
    )


def test_refusals_are_counted_and_paged(house: House) -> None:
    for _ in range(3):
        house.operations.post("books/1/transfer", house.top_up(credit_account=house.bank))
    counts = {
        each["code"]: each["count"] for each in house.operations.get("books/1/refusals/counts").json["counts"]
    }
    listed, before = [], ""
    while True:
        told = house.operations.get(f"books/1/refusals?code=accounts_same&limit=2{before}").json
        listed += told["refusals"]
        if told["next_before"] is None:
            break
        before = f"&before={told['next_before']}"
    assert len(listed) == counts["accounts_same"] >= 3
    assert [each["id"] for each in listed] == sorted((each["id"] for each in listed), reverse=True)

"""Posting over HTTP: whole calls or nothing, a result for each transfer, and the same result again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError, connections

from tallystick.custody import errors, ledger, posting
from tallystick.custody.errors import TRANSFER_REFUSALS
from tests.api.conftest import Caller, House


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
    assert refused == {
        "result": "refused",
        "id": wrong["id"],
        "code": "accounts_same",
        "message": "The debited and the credited account must differ.",
        "replayed": False,
    }
    balance = house.operations.get(f"accounts/{house.wang_account}/balance").json
    assert balance["position"] == accepted["position"]
    after = {name: balance[name] for name in accepted["credit_after"]}
    assert after == accepted["credit_after"]
    bank = house.operations.get(f"accounts/{house.bank}/balance").json
    assert bank["debits_posted_minor"] == accepted["debit_after"]["debits_posted_minor"]


def test_a_list_an_envelope_and_lines_say_the_same(house: House) -> None:
    operations = house.operations
    told = [
        operations.post("books/1/transfers", [house.top_up()]).json,
        operations.post("books/1/transfers", {"transfers": [house.top_up()]}).json,
        operations.post_lines("books/1/transfers", [house.top_up()]).json,
    ]
    assert [each["accepted"] for each in told] == [1, 1, 1]
    positions = [each["results"][0]["position"] for each in told]
    assert positions == list(range(positions[0], positions[0] + 3))


def test_results_come_as_lines_where_lines_are_asked_for(house: House) -> None:
    rows = [house.top_up(), house.top_up(credit_account=house.bank)]
    answer = house.operations.post_lines("books/1/transfers", rows, Accept="application/x-ndjson")
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert [line["result"] for line in answer.lines] == ["accepted", "refused"]
    assert [line["id"] for line in answer.lines] == [row["id"] for row in rows]


def test_the_same_call_again_tells_the_same_results_and_changes_nothing(house: House) -> None:
    rows = [
        house.top_up(),
        house.top_up(credit_account=house.bank),
        house.top_up(reference="R-1", metadata={"a": [1]}),
    ]
    first = house.operations.post("books/1/transfers", rows).json
    before = house.rows()
    again = house.operations.post("books/1/transfers", rows).json
    assert again["replayed"] == 3
    assert [{**each, "replayed": False} for each in again["results"]] == first["results"]
    assert house.rows() == before
    single = house.operations.post("books/1/transfer", rows[0])
    assert single.status == 200
    assert single.json == again["results"][0]


def test_an_id_with_other_content_is_refused(house: House) -> None:
    transfer = house.top_up()
    assert house.operations.post("books/1/transfer", transfer).status == 201
    answer = house.operations.post("books/1/transfer", {**transfer, "amount_minor": 101})
    assert (answer.status, answer.code) == (409, "id_used_with_other_content")
    assert answer.json["id"] == transfer["id"]


def test_a_refused_single_is_a_problem_in_the_callers_language_and_stays_refused(house: House) -> None:
    transfer = house.top_up(
        code="withdrawal", debit_account=house.wang_account, credit_account=house.bank, amount_minor=5
    )
    answer = house.operations.post("books/1/transfer", transfer, Accept_Language="zh-hans")
    assert (answer.status, answer.code) == (409, "authorisation_missing")
    assert any("一" <= letter <= "鿿" for letter in answer.json["detail"])
    again = house.operations.post("books/1/transfer", transfer)
    assert again.code == "authorisation_missing"
    assert again.json["replayed"] is True
    listed = house.operations.get("books/1/refusals?code=authorisation_missing&limit=1").json["refusals"][0]
    assert listed["transfer_id"] == transfer["id"]
    assert listed["request"]["amount_minor"] == 5


def test_a_client_is_debited_by_their_word_and_its_use_is_told(house: House) -> None:
    rows = [
        house.top_up(
            code="withdrawal", debit_account=house.wang_account, credit_account=house.bank,
            amount_minor=7, authorisation=house.wang_order,
        ),
        house.top_up(
            code="withdrawal", debit_account=house.li_account, credit_account=house.bank,
            amount_minor=7, authorisation=house.wang_order,
        ),
    ]  # fmt: skip
    accepted, refused = house.operations.post("books/1/transfers", rows).json["results"]
    assert accepted["result"] == "accepted"
    assert refused["code"] == "authorisation_of_another"
    uses = house.wang.get(f"authorisations/{house.wang_order}/uses").json["uses"]
    assert uses[-1]["position"] == accepted["position"]
    shown = house.wang.get(f"authorisations/{house.wang_order}").json
    assert (shown["uses"], shown["used_minor"], shown["standing"]) == (len(uses), 7, "valid")


def test_pending_is_held_then_posted_in_part(house: House) -> None:
    pending = house.top_up(kind="pending", amount_minor=90, expires_at="2199-01-01T00:00:00Z")
    held = house.operations.post("books/1/transfer", pending).json
    assert held["credit_after"]["credits_pending_minor"] == 90
    settled = house.operations.post(
        "books/1/transfer",
        {"id": house.new_id(), "kind": "post_pending", "pending_id": pending["id"], "amount_minor": 40},
    ).json
    assert settled["amount_minor"] == 40
    assert settled["credit_after"]["credits_pending_minor"] == 0
    shown = house.operations.get(f"books/1/positions/{settled['position']}").json
    assert (shown["kind"], shown["pending_position"]) == ("post_pending", held["position"])
    assert (shown["debit_account"], shown["credit_account"]) == (house.bank, house.wang_account)


def test_a_chain_is_posted_whole_or_not_at_all(house: House) -> None:
    chain = [house.top_up(linked=True), house.top_up(linked=True), house.top_up(credit_account=house.bank)]
    told = house.operations.post("books/1/transfers", chain).json
    assert told["accepted"] == 0
    assert [each["code"] for each in told["results"]] == [
        "linked_transfer_refused", "linked_transfer_refused", "accounts_same",
    ]  # fmt: skip


def test_many_callers_at_once_lose_and_double_nothing(house: House) -> None:
    """Each sends its transfer, and sends it again; all that come back accepted are in the book, once."""
    transfers = [house.top_up(amount_minor=1) for _ in range(60)]
    before = house.operations.get("books/1").json["position"]

    def ask(transfer: dict[str, object]) -> list[int]:
        try:
            caller = Caller(house.operations.token)
            return [caller.post("books/1/transfer", transfer).json["position"] for _ in range(2)]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(ask, transfers))
    assert all(first == again for first, again in told)
    assert sorted(first for first, _ in told) == list(range(before + 1, before + 61))


def test_ten_thousand_at_once(house: House) -> None:
    rows = [house.top_up(amount_minor=1) for _ in range(10_000)]
    told = house.operations.post("books/1/transfers", rows).json
    assert (told["accepted"], len(told["results"])) == (10_000, 10_000)
    assert [each["id"] for each in told["results"]] == [row["id"] for row in rows]


@pytest.mark.parametrize(
    ("failure", "code", "state"),
    [
        (errors.PostingStopped("disk_full", "no space left on device"), "posting_stopped", "disk_full"),
        (errors.PostingStopped("clock_stepped_back", "by 7 s"), "posting_stopped", "clock_stepped_back"),
        (errors.OutcomeUnknown("database_unreachable", "gone"), "outcome_unknown", "database_unreachable"),
        (OperationalError("server closed the connection unexpectedly"), "database_unreachable", None),
    ],
)
def test_a_ledger_that_takes_nothing_says_so_and_when_to_come_back(
    house: House, failure: Exception, code: str, state: str | None
) -> None:
    class Stopped:
        def post(self, *_: object, **__: object) -> ledger.Results:
            raise failure

    posting.use(Stopped())  # type: ignore[arg-type]
    try:
        answers = [
            house.operations.post("books/1/transfers", [house.top_up()]),
            house.operations.post("books/1/transfer", house.top_up()),
        ]
    finally:
        posting.use(None)
    for answer in answers:
        assert (answer.status, answer.code) == (503, code)
        assert answer.json.get("state") == state
        assert int(answer.headers["Retry-After"]) >= 1
        assert b"no space left" not in answer.content


def test_a_fault_is_told_without_its_details(house: House) -> None:
    class Broken:
        def post(self, *_: object, **__: object) -> ledger.Results:
            raise RuntimeError("password=hunter2")

    posting.use(Broken())  # type: ignore[arg-type]
    try:
        answer = house.operations.post("books/1/transfer", house.top_up())
    finally:
        posting.use(None)
    assert (answer.status, answer.code) == (500, "fault")
    assert b"hunter2" not in answer.content


def test_a_book_that_is_not_there_takes_nothing_and_starts_no_writer(house: House) -> None:
    before = set(posting.in_process()._writers)
    answer = house.operations.post("books/77/transfers", [house.top_up()])
    assert (answer.status, answer.code) == (404, "book_unknown")
    assert set(posting.in_process()._writers) == before


def test_every_refusal_has_a_message_that_needs_no_fields() -> None:
    """The results of a batch tell a refusal by its class alone."""
    assert [kind.code for kind in TRANSFER_REFUSALS if "{" in kind.template()] == []


def test_what_a_posting_answer_says_is_what_the_reads_say(house: House) -> None:
    posted = house.operations.post(
        "books/1/transfer", house.top_up(reference="REF-9", metadata={"b": 1, "a": "王芳"})
    ).json
    for path in (f"transfers/{posted['id']}", f"books/1/positions/{posted['position']}"):
        shown = house.operations.get(path).json
        assert (shown["id"], shown["position"]) == (posted["id"], posted["position"])
        assert shown["recorded_at"] == posted["recorded_at"]
        assert shown["metadata"] == {"b": 1, "a": "王芳"}
    found = house.operations.post(
        "transfers/lookup", {"ids": [posted["id"], house.new_id(), posted["id"]]}
    ).json
    assert [each["id"] for each in found["transfers"]] == [posted["id"]]
    assert len(found["missing"]) == 1
    listed = house.operations.get("books/1/transfers?reference=REF-9").json["transfers"]
    assert [each["id"] for each in listed] == [posted["id"]]

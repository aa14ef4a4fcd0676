"""Segregation proofs over HTTP: made, listed, read, signed off by two; refused with the right status."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from tallystick.identity.roles import Role
from tests.api.conftest import NOW, House

DAY = NOW.astimezone(ZoneInfo("Asia/Shanghai")).date().isoformat()


def test_a_proof_is_made_listed_read_and_signed_by_two(house: House) -> None:
    """Operations proves and signs first, the approver second; pages go on by number."""
    for _ in range(2):
        made = house.operations.post("books/1/safeguarding-proofs", {"day": DAY})
        assert made.status == 201, made.content
    proof = made.json
    listed = house.operations.get("books/1/safeguarding-proofs?limit=1").json
    assert (listed["proofs"][0]["id"], listed["next_before"]) == (proof["id"], 2)
    older = house.operations.get("books/1/safeguarding-proofs?before=2").json
    assert [each["number"] for each in older["proofs"]] == [1]
    assert proof["previous_digest"] == older["proofs"][0]["digest"]
    assert proof["header"]["result"] == proof["result"]

    path = f"safeguarding-proofs/{proof['id']}"
    assert house.operations.post(f"{path}/sign-off", {"step": "first", "note": "seen"}).status == 200
    again = house.operations.post(f"{path}/sign-off", {"step": "second"})
    assert (again.status, again.code) == (403, "access_denied")
    assert house.callers[Role.PLATFORM_APPROVER].post(f"{path}/sign-off", {"step": "second"}).status == 200
    signed = house.operations.get(path).json["sign_off"]
    assert (signed["outcome"], signed["note"]) == ("approved", "seen")
    assert signed["first"] != signed["second"]


def test_what_cannot_be_proved_is_refused(house: House) -> None:
    """A day to come is a conflict, a misspelled one malformed, an unknown proof not found, a customer denied."""
    for body, status, code in (
        ({"day": "2199-01-01"}, 409, "day_not_over"),
        ({"day": "2026-02-31"}, 400, "request_malformed"),
        ({"day": 20260101}, 400, "request_malformed"),
        ({}, 400, "request_malformed"),
        ({"day": "1999-01-01"}, 404, "time_before_book"),
    ):
        answer = house.operations.post("books/1/safeguarding-proofs", body)
        assert (answer.status, answer.code) == (status, code), body
    assert house.operations.get("safeguarding-proofs/sgp_999999").code == "proof_unknown"
    assert house.wang.get("books/1/safeguarding-proofs").status == 403
    assert house.wang.post("books/1/safeguarding-proofs", {"day": DAY}).status == 403

"""The workbench by the API: what is found, what settles it, and a day that is not ready."""

from __future__ import annotations

from django.utils import timezone

from tallystick.core.db import APP
from tallystick.custody import numbers, reconciliation
from tallystick.custody.workbench import cases, matches
from tallystick.identity.roles import Role
from tests.custody.test_reconciliation import bank_says, paid

from .conftest import SIMULATION, House


def test_a_case_is_listed_taken_noted_and_fixed(house: House) -> None:
    """From the list to the posted transfer; another's token, another book and another id are told apart."""
    bank = numbers.parse_account(house.bank)
    bank_says(bank, paid("Q-1", "7.00", text="for C-2"), opening="150000", closing="150007", account="bank")
    run = reconciliation.reconcile(APP, 1, bank, actor=SIMULATION, now=timezone.now())
    cases.follow(APP, run.summary.id, actor=SIMULATION, now=timezone.now())

    listed = house.operations.get("books/1/cases").json["cases"]
    (case,) = [each for each in listed if each["effect_minor"] == 7_00]
    place = f"books/1/cases/{case['case']}"
    shown = house.operations.get(place).json
    (fix,) = shown["fix"]
    assert (fix["why"], fix["credit_account"], fix["is_posted"]) == ("receipt", house.li_account, False)
    assert house.nobody.get("books/1/cases").status == 401
    assert house.li.get("books/1/cases").status == 403
    assert house.operations.get("books/1/cases/brk_999").status == 404
    assert house.operations.post(f"{place}/notes", {"note": "asked"}).status == 201
    assert house.operations.post(f"{place}/notes", {"note": " "}).status in (400, 422)
    other = house.operations.post(f"{place}/fix", {"transfer": "trf_00000000-0000-7000-8000-000000000001"})
    assert (other.status, other.code) == (409, "fix_changed")
    assert house.operations.post(f"{place}/fix", {"transfer": fix["id"]}).json["refusal"] is None
    assert [each["act"] for each in house.operations.get(place).json["steps"]] == [
        "opened",
        "noted",
        "fix_posted",
    ]


def test_a_day_that_is_not_ready_says_why(house: House) -> None:
    """The checklist is readable, and signing is refused by name; a Sunday is no business day."""
    shown = house.operations.get("books/1/days/2026-03-03").json
    assert shown["is_closed"] is False
    assert {each["result"] for each in shown["checks"]} & {"fail", "pass"}
    assert house.operations.get("books/1/days/2026-03-01").code == "day_not_business"
    for given in ("1772409600", "20260302", "2026-W10-1", "2026-02-30", "0001-01-01"):
        assert house.operations.get(f"books/1/days/{given}").status == 400, given
    assert house.callers["platform_approver"].post("books/1/days/2026-03-03/prepare", {}).status == 403
    unknown = house.callers["platform_approver"].post("books/1/days/2026-03-03/close/apr_999", {})
    assert unknown.status == 404


def test_a_receipt_is_sent_back_under_its_own_address_and_no_other(house: House) -> None:
    """Proposed, then approved by another: under another receipt's address nothing is decided."""
    approver = house.callers[Role.PLATFORM_APPROVER]
    places = []
    for reference in ("S-1", "S-2"):
        asked = house.top_up(code="unidentified_receipt", credit_account=house.suspense, reference=reference)
        assert house.operations.post("books/1/transfers", [asked]).status == 200
        (found,) = [
            each
            for each in house.operations.get("books/1/suspense").json["receipts"]
            if each["reference"] == reference
        ]
        places.append(f"books/1/suspense/{found['position']}")
    proposed = house.operations.post(f"{places[0]}/return", {"reason": "not ours"})
    assert proposed.status == 201
    approval = proposed.json["approval"]
    assert approver.post(f"{places[1]}/return/{approval}/approve", {}).code == "approval_unknown"
    assert approver.post(f"books/1/matches/{approval}/approve", {}).code == "proposal_of_other_kind"
    assert approver.post(f"{places[0]}/return/{approval}/approve", {}).status == 200
    traced = house.operations.post(f"{places[1]}/trace", {"account": house.li_account, "note": "a slip"})
    assert traced.json["transfer"].startswith("trf_")
    assert [each["act"] for each in house.operations.get(places[1]).json["steps"]] == ["traced"]
    assert (
        house.operations.post(f"{places[1]}/trace", {"account": house.li_account, "note": "x"}).status == 409
    )


def test_a_match_is_undone_and_a_day_opened_again_by_two_people(house: House) -> None:
    """Each proposed under its own address and approved there; a day's proposal is no other day's."""
    bank, approver = numbers.parse_account(house.bank), house.callers[Role.PLATFORM_APPROVER]
    bank_says(bank, paid("M-1", "3.00"), opening="150007", closing="150010", number=2, account="bank",
              days=("2026-03-21", "2026-03-22"))  # fmt: skip
    asked = house.top_up(
        credit_account=house.li_account, amount_minor=300, reference="other", value_date="2026-03-02"
    )
    assert house.operations.post("books/1/transfers", [asked]).status == 200
    run = reconciliation.reconcile(APP, 1, bank, actor=SIMULATION, now=timezone.now())
    cases.follow(APP, run.summary.id, actor=SIMULATION, now=timezone.now())
    keys = [each.key for each in matches.open_lines(APP, bank) if each.amount_minor == 3_00]
    assert len(keys) == 2
    sent = {"bank_account": house.bank, "lines": keys, "reason": "one slip"}
    made = house.operations.post("books/1/matches", sent).json["approval"]
    assert approver.post(f"books/1/days/2026-03-02/close/{made}", {}).code == "proposal_of_other_kind"
    assert approver.post(f"books/1/matches/{made}/approve", {}).status == 200
    (found,) = house.operations.get("books/1/matches").json["matches"]
    assert (sorted(found["lines"]), found["undone_by"]) == (sorted(keys), None)
    place = f"books/1/matches/{found['match']}/undo"
    undoing = house.operations.post(place, {"reason": "wrong slip"}).json["approval"]
    assert approver.post(f"books/1/matches/mat_999/undo/{undoing}/approve", {}).status == 404
    assert approver.post(f"{place}/{undoing}/approve", {}).json["undone_reason"] == "wrong slip"
    assert house.operations.post("books/1/days/2026-03-02/prepare-reopening", {"reason": "r"}).status == 409

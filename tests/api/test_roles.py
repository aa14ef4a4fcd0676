"""Who may ask what: every role at every address, told here a second time; and nobody reaches another's things."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from tallystick.api import callers, door, openapi, urls
from tallystick.core.db import APP
from tallystick.evidence import log
from tallystick.identity import api_tokens, users
from tallystick.identity.models import ApiToken
from tallystick.identity.roles import Role
from tests.api.conftest import CLI, NOW, Answer, Caller, House

# One letter a role: A administrator, O platform operations, P platform approver, B custodian bank,
# U auditor, R regulator, C customer (own things only).
LETTERS = {
    "A": Role.ADMINISTRATOR, "O": Role.PLATFORM_OPERATIONS, "P": Role.PLATFORM_APPROVER, "B": Role.CUSTODIAN_BANK,
    "U": Role.AUDITOR, "R": Role.REGULATOR, "C": Role.CUSTOMER,
}  # fmt: skip

READERS, OWN = "OPBUR", "OPBURC"

# Operation to who may; and the body that is sent, if it takes one. A body that the rules refuse is enough:
# whoever may not hears 403 before the rules are asked.
MATRIX: dict[str, tuple[str, object]] = {
    "GET /me": ("AOPBURC", None),
    "GET /books": (READERS, None),
    "POST /books": ("P", {"id": 1, "name": "again"}),
    "GET /books/{book}": (READERS, None),
    "GET /books/{book}/trial-balance": (READERS, None),
    "GET /assets": (READERS, None),
    "POST /assets": ("P", {"number": 156, "code": "CNY", "scale": 2, "name": "again"}),
    "GET /books/{book}/accounts": (OWN, None),
    "POST /books/{book}/accounts": (
        "O", {"accounts": [{"family": "client", "asset": "CNY", "owner": "C-1", "name": "n", "reference": "bank"}]}
    ),
    "POST /books/{book}/balances/lookup": (READERS, {"accounts": ["%WANG%"]}),
    "GET /accounts/{account}": (OWN, None),
    "GET /accounts/{account}/states": (OWN, None),
    "POST /accounts/{account}/states": ("OP", {"status": "open", "reason": "unchanged"}),
    "GET /accounts/{account}/balance": (OWN, None),
    "GET /accounts/{account}/lines": (OWN, None),
    "GET /accounts/{account}/flow": (OWN, None),
    "GET /books/{book}/pooling": (READERS, None),
    "GET /books/{book}/transfers": (READERS, None),
    "POST /books/{book}/transfers": ("O", [{"id": "%ID%", "code": "top_up", "debit_account": "%BANK%",
                                            "credit_account": "%BANK%", "amount_minor": 1}]),
    "POST /books/{book}/transfer": ("O", {"id": "%ID%", "code": "top_up", "debit_account": "%BANK%",
                                          "credit_account": "%BANK%", "amount_minor": 1}),
    "POST /transfers/lookup": (READERS, {"ids": ["%ID%"]}),
    "GET /transfers/{transfer}": (OWN, None),
    "GET /books/{book}/positions/{position}": (READERS, None),
    "GET /books/{book}/refusals": (READERS, None),
    "GET /books/{book}/refusals/counts": (READERS, None),
    "GET /accounts/{account}/authorisations": (OWN, None),
    # A legal order: operations record it, and a client may give authorisations, though not this one.
    "POST /accounts/{account}/authorisations": (
        "OC", {"kind": "legal", "credit_account": "%BANK%", "code": "withdrawal", "amount_minor": 5,
               "valid_from": "2026-03-01T00:00:00Z", "valid_until": "2027-02-01T00:00:00Z", "basis": "a court"}
    ),
    "POST /accounts/{account}/authorisations/statement": (
        OWN, {"kind": "order", "credit_account": "%BANK%", "code": "withdrawal", "amount_minor": 5,
              "valid_from": "2026-03-01T00:00:00Z", "valid_until": "2027-03-01T00:00:00Z", "basis": "b"}
    ),
    "GET /authorisations/{authorisation}": (OWN, None),
    "GET /authorisations/{authorisation}/uses": (OWN, None),
    "POST /authorisations/{authorisation}/withdrawal": ("OC", {"reason": " "}),
    "GET /books/{book}/liquidity": (READERS, None),
    "POST /books/{book}/liquidity": ("OP", {"asset": "XXX"}),
    "GET /books/{book}/queue": (READERS, None),
    "GET /rates": (READERS, None),
    "POST /rates": ("O", {"base": "XXX", "quoted": "YYY", "rate": "1", "source": "s", "as_of": "2026-03-01T00:00:00Z"}),
    "GET /books/{book}/corridors": (READERS, None),
    "POST /books/{book}/corridors": (
        "P", {"from_country": "CN", "to_country": "US", "sold": "XXX", "bought": "YYY", "allowed": True, "reason": "r"}
    ),
    "POST /quotes": ("OC", {"seller": "%WANG%", "buyer": "%WANG%", "sold_minor": 1, "from_country": "CN",
                            "to_country": "US"}),
    "GET /quotes/{quote}": (OWN, None),
    "POST /quotes/{quote}/consent": ("OC", {}),
    "GET /books/{book}/payouts": (OWN, None),
    "POST /accounts/{account}/payouts": (
        "OC", {"bank_account": "bnk_999999", "amount_minor": 5, "request_key": "k"}
    ),
    "GET /payouts/{payout}": (OWN, None),
    "POST /payouts/{payout}/cancel": ("OC", {"reason": "r"}),
    "POST /payouts/{payout}/release": ("P", {}),
    "POST /payouts/{payout}/decline": ("P", {"reason": "r"}),
    "GET /accounts/{account}/bank-accounts": (OWN, None),
    "POST /accounts/{account}/bank-accounts": (
        "OC", {"holder_name": "n", "bank_name": "b", "number": "12345678"}
    ),
    "GET /books/{book}/payout-notice": (OWN, None),
    "POST /books/{book}/payout-notice": ("C", {"version": 7, "language": "en"}),
    "GET /books/{book}/payout-batches": (READERS, None),
    "POST /books/{book}/payout-batches": ("O", {"asset": "XXX"}),
    "GET /accounts/{account}/pay-in": (OWN, None),
    "GET /accounts/{account}/deposits": (OWN, None),
    "POST /accounts/{account}/deposit-announcements": ("C", {"amount_minor": 5}),
    "POST /pay-in-details": (
        "O", {"bank_account": "%WANG%", "holder_name": "n", "account_number": "12345678", "bank_name": "b",
              "takes_from": "2026-03-01"}
    ),
    "POST /pay-in-details/{approval}/approve": ("P", {}),
    "GET /accounts/{account}/holders": (OWN, None),
    "POST /accounts/{account}/holders": (
        "O", {"rule": "any", "parties": [{"customer_number": "C-1", "capacity": "minor"}], "document": "d",
              "reason": "r"}
    ),
    "POST /holders/{approval}/approve": ("P", {}),
    "POST /accounts/{account}/conditions": ("O", {"condition": "dormant", "document": "d", "reason": "r"}),
    "POST /conditions/{approval}/approve": ("P", {}),
    "POST /accounts/{account}/reactivate": ("C", {}),
    "GET /books/{book}/cases": (READERS, None),
    "GET /books/{book}/cases/{case}": (READERS, None),
    "POST /books/{book}/cases/{case}/take": ("O", {}),
    "POST /books/{book}/cases/{case}/notes": ("O", {"note": "n"}),
    "POST /books/{book}/cases/{case}/fix": ("OP", {"transfer": "%ID%"}),
    "POST /books/{book}/matches": (
        "O", {"bank_account": "%BANK%", "lines": ["line:999998", "line:999999"], "reason": "r"}
    ),
    "POST /books/{book}/matches/{approval}/approve": ("P", {}),
    "GET /books/{book}/matches": (READERS, None),
    "POST /books/{book}/matches/{match}/undo": ("O", {"reason": "r"}),
    "POST /books/{book}/matches/{match}/undo/{approval}/approve": ("P", {}),
    "GET /books/{book}/suspense": (READERS, None),
    "GET /books/{book}/suspense/{position}": (READERS, None),
    "POST /books/{book}/suspense/{position}/trace": ("O", {"account": "%WANG%", "note": "n"}),
    "POST /books/{book}/suspense/{position}/return": ("O", {"reason": "r"}),
    "POST /books/{book}/suspense/{position}/return/{approval}/approve": ("P", {}),
    "GET /books/{book}/days/{day}": (READERS, None),
    "POST /books/{book}/days/{day}/prepare-reopening": ("O", {"reason": "r"}),
    "POST /books/{book}/days/{day}/reopen/{approval}": ("P", {}),
    "POST /books/{book}/days/{day}/prepare": ("O", {}),
    "POST /books/{book}/days/{day}/close/{approval}": ("P", {}),
    "GET /books/{book}/safeguarding-proofs": (READERS, None),
    "POST /books/{book}/safeguarding-proofs": ("OP", {"day": "2199-01-01"}),
    "GET /safeguarding-proofs/{proof}": (READERS, None),
    "POST /safeguarding-proofs/{proof}/sign-off": ("O", {"step": "first"}),
    "GET /logs": (READERS, None),
    "GET /events": (READERS, None),
    "GET /logs/{log}/entries/{position}": (READERS, None),
    "GET /books/{book}/solvency-statements": (READERS, None),
    "GET /solvency-statements/{statement}": (READERS, None),
    "GET /books/{book}/rebuilt": (READERS, None),
    "GET /accounts/{account}/liability-proof": ("C", None),
    "GET /transfers/{transfer}/receipt": (OWN, None),
    "GET /signing-keys": ("C", None),
    "POST /signing-keys": ("C", {"public_key": "A" * 42 + "B="}),
}  # fmt: skip


def operations() -> Iterator[str]:
    for place, found in openapi.document(urls.api)["paths"].items():
        yield from (f"{method.upper()} {place}" for method in found)


def test_every_operation_is_in_the_matrix() -> None:
    assert set(MATRIX) == set(operations())


def test_every_address_is_behind_the_door() -> None:
    """Whatever is routed refuses a stranger, but for the document, its page, and what is not there."""
    for pattern in urls.urlpatterns:
        if pattern.name in ("openapi", "docs", "nothing-here"):
            continue
        place = door.template(str(pattern.pattern))
        for method in ("GET", "POST"):
            answer = Caller(None).ask(
                method, re.sub(r"{[a-z]+}", "1", place)[1:], b"{}" if method == "POST" else None
            )
            assert answer.status in (401, 405), f"{method} {place}: {answer.status}"


def ask(
    house: House, caller: Caller, operation: str, *, account: str, authorisation: str, transfer: str
) -> Answer:
    place = operation.partition(" ")[2]
    names = {
        "book": "1", "position": "1", "account": account, "authorisation": authorisation, "transfer": transfer,
        "quote": "quo_1", "payout": "pay_999999", "approval": "apr_999999",
        "match": "mat_999999", "case": "brk_999999", "day": "2026-02-27", "proof": "sgp_999999",
        "log": "ledger", "statement": "sol_999999",
    }  # fmt: skip
    path = re.sub(r"{([a-z]+)}", lambda found: names[found[1]], place)[1:]
    sent = MATRIX[operation][1]
    return caller.get(path) if sent is None else caller.post(path, filled(house, sent))


def filled(house: House, sent: object) -> object:
    if isinstance(sent, dict):
        return {name: filled(house, each) for name, each in sent.items()}
    if isinstance(sent, list):
        return [filled(house, each) for each in sent]
    words = {"%WANG%": house.wang_account, "%BANK%": house.bank, "%ID%": house.new_id()}
    return words.get(sent, sent) if isinstance(sent, str) else sent


def of_wang(house: House) -> dict[str, str]:
    transfer = house.operations.get(f"accounts/{house.wang_account}/lines?limit=1").json["lines"][0]["id"]
    return {"account": house.wang_account, "authorisation": house.wang_order, "transfer": transfer}


@pytest.mark.parametrize("letter", sorted(LETTERS))
def test_a_role_may_ask_what_the_matrix_says_and_nothing_else(house: House, letter: str) -> None:
    things, failed = of_wang(house), []
    for operation, (who, _) in MATRIX.items():
        answer = ask(house, house.callers[LETTERS[letter]], operation, **things)
        if letter in who and answer.status in (401, 403):
            failed.append(f"{operation}: refused {answer.content!r}")
        if letter not in who and answer.status != 403:
            failed.append(f"{operation}: {answer.status} {answer.content[:200]!r}")
        assert answer.status < 500
    assert failed == []


def test_a_stranger_may_ask_nothing(house: House) -> None:
    things = of_wang(house)
    for operation in MATRIX:
        answer = ask(house, house.nobody, operation, **things)
        assert (answer.status, answer.code) == (401, "not_signed_in"), operation
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_client_never_learns_of_anothers_things(house: House) -> None:
    """What is another's and what is not there are answered alike, to the letter."""
    theirs = {**of_wang(house)}
    nowhere = {
        "account": house.wang_account[:-6] + "999999",
        "authorisation": house.wang_order[:4] + "99999999" + house.wang_order[12:],
        "transfer": house.new_id(),
    }
    compared = 0
    for operation in MATRIX:
        named = re.findall(r"{([a-z]+)}", operation)
        if not set(named) & set(theirs):
            continue
        real = ask(house, house.li, operation, **theirs)
        none = ask(house, house.li, operation, **nowhere)
        assert real.status == 404, operation
        said, would_say = real.content.decode(), none.content.decode()
        for kind, name in theirs.items():
            said, would_say = said.replace(name, "X"), would_say.replace(nowhere[kind], "X")
        assert said == would_say, operation
        compared += 1
    assert compared >= 10


def test_a_clients_lists_hold_their_own_alone(house: House) -> None:
    listed = house.li.get("books/1/accounts").json["accounts"]
    assert [each["account"] for each in listed] == [house.li_account]
    assert house.li.get("books/1/accounts?owner=C-2").json["accounts"] == listed
    assert house.li.get("books/1/accounts?owner=C-1").code == "access_denied"
    assert house.li.get("books/1/accounts?search=wang").json["accounts"] == []
    assert house.li.get(f"accounts/{house.li_account}/balance").json["balance_minor"] == 5_000_000
    told = house.li.get(f"accounts/{house.li_account}/lines").json["lines"]
    assert {each["counter_account"] for each in told} == {house.bank}
    assert house.li.get(f"transfers/{told[0]['id']}").status == 200


def test_who_was_paid_by_another_client_does_not_learn_their_account(house: House) -> None:
    """王芳 pays 李强: she sees whom she paid; he sees that he was paid, not from which account."""
    terms = {
        "kind": "order", "credit_account": house.li_account, "code": "lend", "amount_minor": 3,
        "valid_from": "2026-01-01T00:00:00Z", "valid_until": "2027-06-01T00:00:00Z", "basis": "a loan",
    }  # fmt: skip
    order = house.wang.post(f"accounts/{house.wang_account}/authorisations", terms).json["authorisation"]
    paid = {
        "id": house.new_id(), "code": "lend", "debit_account": house.wang_account,
        "credit_account": house.li_account, "amount_minor": 3, "authorisation": order,
    }  # fmt: skip
    answer = house.operations.post("books/1/transfer", paid)
    assert answer.status == 201, answer.content
    for caller, account, counter in (
        (house.wang, house.wang_account, house.li_account),
        (house.li, house.li_account, None),
        (house.operations, house.li_account, house.wang_account),
    ):
        lines = caller.get(f"accounts/{account}/lines").json["lines"]
        (line,) = [each for each in lines if each["id"] == paid["id"]]
        assert line["counter_account"] == counter
        transfer = caller.get(f"transfers/{paid['id']}").json
        assert transfer["debit_account"] == (None if caller is house.li else house.wang_account)
        for told in (line, transfer):
            assert told["authorisation"] == (None if caller is house.li else order)


def test_a_client_acts_only_on_their_own(house: House) -> None:
    before = house.rows()
    terms = {
        "kind": "order", "credit_account": house.bank, "code": "withdrawal", "amount_minor": 5,
        "valid_from": "2026-03-01T00:00:00Z", "valid_until": "2027-03-01T00:00:00Z", "basis": "mine",
    }  # fmt: skip
    assert house.li.post(f"accounts/{house.wang_account}/authorisations", terms).status == 404
    assert house.li.post(f"authorisations/{house.wang_order}/withdrawal", {"reason": "r"}).status == 404
    assert house.li.post("books/1/transfer", house.top_up(credit_account=house.li_account)).status == 403
    assert house.rows() == before
    assert house.li.post(f"accounts/{house.li_account}/authorisations", terms).status == 201


def test_a_refused_action_is_in_the_evidence(house: House) -> None:
    assert house.callers[Role.AUDITOR].post("books/1/transfer", house.top_up()).code == "access_denied"
    told = log.events(APP, kind="identity.access_denied", limit=1)[0]
    assert told.payload == {"permission": "custody.post"}
    assert told.actor == house.people[Role.AUDITOR].reference


def test_a_token_revoked_expired_or_narrowed_opens_no_more(house: House) -> None:
    user = users.create(APP, "temporary", name="临时", actor=CLI, now=NOW)
    users.grant(APP, user.pk, Role.PLATFORM_OPERATIONS, reason="A test.", actor=CLI, now=NOW)
    now = timezone.now()
    old = api_tokens.issue(
        APP, user.pk, "old", life=timedelta(hours=1), actor=CLI, now=now - timedelta(hours=2)
    )
    answer = Caller(old).get("me")
    assert (answer.status, answer.code) == (401, "api_token_expired")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    narrow = Caller(api_tokens.issue(APP, user.pk, "narrow", roles={Role.AUDITOR}, actor=CLI, now=now))
    assert narrow.get("me").json["roles"] == []
    assert narrow.get("books").status == 403
    good = Caller(api_tokens.issue(APP, user.pk, "good", actor=CLI, now=now))
    assert good.get("me").json["roles"] == ["platform_operations"]
    token = ApiToken.objects.using(APP).get(name="good")
    api_tokens.revoke(APP, token.pk, "Lost.", actor=CLI, now=now)
    assert good.get("me").code == "api_token_revoked"


def signed_in(house: House, *, enforce_csrf_checks: bool) -> Caller:
    client = Client(enforce_csrf_checks=enforce_csrf_checks, SERVER_NAME="localhost")
    user = house.people[Role.PLATFORM_OPERATIONS]
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return Caller(None, client)


def test_a_session_reads_and_changes_only_with_its_csrf_token(house: House) -> None:
    browser = signed_in(house, enforce_csrf_checks=True)
    assert browser.get("me").json["roles"] == ["platform_operations"]
    before = house.rows()
    answer = browser.post("books/1/transfer", house.top_up())
    assert (answer.status, answer.code) == (403, "csrf_failed")
    assert house.rows() == before
    page = browser.client.get("/account/login/", secure=True, follow=True)
    assert page.status_code == 200
    token = browser.client.cookies.get("__Host-csrf")
    if token is None:
        from django.middleware.csrf import _get_new_csrf_string

        browser.client.cookies["__Host-csrf"] = secret = _get_new_csrf_string()
    else:
        secret = token.value
    sent = {"X_CSRFToken": secret, "Referer": "https://localhost/home/"}
    assert browser.post("books/1/transfer", house.top_up(), **sent).status == 201
    elsewhere = {**sent, "Referer": "https://evil.example/"}
    assert browser.post("books/1/transfer", house.top_up(), **elsewhere).code == "csrf_failed"


def test_a_session_does_not_help_a_wrong_token(house: House) -> None:
    browser = signed_in(house, enforce_csrf_checks=False)
    assert browser.get("me", Authorization="Bearer tly_" + "A" * 43).status == 401


def test_who_asks_too_often_waits_and_others_do_not(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "_requests", callers.Bucket(rate=0.01, burst=3))
    assert [house.operations.get("me").status for _ in range(4)] == [200, 200, 200, 429]
    answer = house.operations.get("me")
    assert answer.code == "too_many_requests"
    assert 1 <= int(answer.headers["Retry-After"]) <= 100
    assert house.wang.get("me").status == 200


def test_whoever_tries_many_tokens_waits(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "_strangers", callers.Bucket(rate=0.01, burst=2))
    stranger = Caller("tly_" + "A" * 43)
    assert [stranger.get("me").status for _ in range(3)] == [401, 401, 429]
    assert house.operations.get("me").status == 200


def test_a_bucket_fills_again_and_forgets_whoever_asked_least_lately() -> None:
    bucket = callers.Bucket(rate=2, burst=2)
    assert [bucket.wait("a", 0), bucket.wait("a", 0)] == [0, 0]
    assert bucket.wait("a", 0) == pytest.approx(0.5)
    assert bucket.wait("b", 0) == 0
    assert bucket.wait("a", 0.5) == 0
    for i in range(callers.REMEMBERED_MAX + 5):
        bucket.wait(str(i), 1)
    assert len(bucket._left) == callers.REMEMBERED_MAX


def test_a_list_of_accounts_is_of_whoever_holds_them_today(house: House) -> None:
    """李强 joins 王芳's account and sees it, with where his own payouts go; she leaves it, and sees it no more."""
    approver = house.callers[Role.PLATFORM_APPROVER]
    joint = {"family": "client", "asset": "CNY", "owner": "C-1", "name": "n", "reference": "joint"}
    (account,) = house.operations.post("books/1/accounts", {"accounts": [joint]}).json["accounts"]

    def hold(*numbers: str) -> None:
        parties = [{"customer_number": number, "capacity": "holder"} for number in numbers]
        asked = {"rule": "any", "parties": parties, "document": "Deed", "reason": "r"}
        made = house.operations.post(f"accounts/{account}/holders", asked).json["approval"]
        assert approver.post(f"holders/{made}/approve", {}).status == 200

    def listed(caller: Caller, query: str = "") -> set[str]:
        return {each["account"] for each in caller.get(f"books/1/accounts{query}").json["accounts"]}

    assert account not in listed(house.li)
    hold("C-1", "C-2")
    assert listed(house.li) == {house.li_account, account}
    assert listed(house.li, "?search=joint&family=client") == {account}
    assert listed(house.li, "?limit=1") < listed(house.li)
    assert listed(house.wang) == {house.wang_account, account}
    bound = {"holder_name": "李强", "bank_name": "b", "number": "987654321012", "bic": "BKCHCNBJ"}
    added = house.li.post(f"accounts/{account}/bank-accounts", bound)
    assert added.status == 201, added.content
    for caller in (house.li, house.wang, house.operations):
        told = caller.get(f"accounts/{account}/bank-accounts").json["bank_accounts"]
        assert [each["bank_account"] for each in told if each["owner"] == "C-2"] == [
            added.json["bank_account"]
        ]
    hold("C-2")
    assert listed(house.li) == {house.li_account, account}
    assert listed(house.wang) == {house.wang_account}
    assert account in listed(house.operations, "?owner=C-1")

"""What is not understood exactly is refused with a problem that names the place, and changes nothing.

A table of more than two hundred ways to be wrong, each of its own kind: fields, bodies, headers, addresses,
query parameters, other bodies. Fields are tried in all three forms of posting.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.api.conftest import Answer, Caller, House

LONG = "x" * 600
ID = "trf_01930b5e-5a10-7c3e-8f4a-6b1f2d3c4e5f"
THERE = "acc_001101560000000001"

# Field, what is written there (`...`: it is left out), and for some what else is written beside it.
FIELDS: list[tuple[str, object, dict[str, object]]] = [
    *(
        ("id", value, {})
        for value in (
            ...,
            None,
            7,
            "",
            "1",
            "trf_",
            "acc_001101560000000001",
            "trf_01930b5e",
            f"{ID}0",
            ID[:-1],
            ID.upper(),
            ID.replace("-", "_"),
            f" {ID}",
            f"{ID}\n",
            f"urn:uuid:{ID[4:]}",
            f"{{{ID[4:]}}}",
            "trf_00000000-0000-0000-0000-000000000000",
            "00000000000000000000000000000000",
            [ID],
            {"id": ID},
            "trf_" + "g" * 32,
            "TRF_" + ID[4:],
            ID.replace("0", "０"),
            True,
            1.5,
        )
    ),
    *(
        ("amount_minor", value, {})
        for value in (
            ...,
            None,
            0,
            -1,
            1.5,
            1.0,
            "100",
            "",
            True,
            [100],
            {"minor": 100},
            10**15 + 1,
            2**63,
            10**30,
            -(2**63),
        )
    ),
    *(
        ("debit_account", value, {})
        for value in (
            ...,
            None,
            1,
            "",
            "acc_",
            "acc_1",
            THERE[:-1],
            THERE + "0",
            THERE[4:],
            THERE.upper(),
            f"{THERE}\n",
            "acc_000101560000000001",
            "acc_900101560000000001",
            "acc_001001560000000001",
            "acc_001501560000000001",
            "acc_00110156000000000１",
            "ath_000000000100000011",
            [THERE],
            "acc_-01101560000000001",
        )
    ),
    *(
        ("credit_account", value, {})
        for value in (..., None, False, "acc_x", {"account": THERE}, "acc_" + "9" * 18)
    ),
    *(
        ("code", value, {})
        for value in (..., None, "", "TOP_UP", "top-up", "topup", 1, ["top_up"], "top_up ", "unknown")
    ),
    *(
        ("authorisation", value, {})
        for value in (1, "", "ath_1", "ath_000000000100000010", "ath_000000000100000015", THERE, [])
    ),
    *(("kind", value, {}) for value in ("", "POSTED", "expire_pending", "void", 1, ["posted"], None)),
    *(("linked", value, {}) for value in ("true", 1, None, [], "")),
    *(("balancing", value, {}) for value in ("", "both", "DEBIT", 1, True)),
    *(
        ("at", value, {})
        for value in (
            "",
            "2026-03-01",
            "2026-03-01T09:30:00",
            "2026-02-30T09:30:00Z",
            "2026-03-01T25:00:00Z",
            "1989-12-31T23:59:59Z",
            "2200-01-01T00:00:00Z",
            1767225600,
            "yesterday",
            "2026-03-01T09:30:00+25:00",
            ["2026-03-01T09:30:00Z"],
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-14:00",
        )
    ),
    *(
        ("value_date", value, {})
        for value in (
            "",
            "2026-02-30",
            "2026-03-01T00:00:00Z",
            "1989-12-31",
            "2200-01-01",
            20260301,
            "01.03.2026",
            {},
        )
    ),
    *(("reference", value, {}) for value in ("", "x" * 141, 5, "a\nb", "a\n", "a\x00b", "\x7f", ["a"])),
    *(("payee", value, {}) for value in ("", "x" * 141, 5, "a\tb", {})),
    *(("reason", value, {}) for value in ("", "x" * 501, 5, "a\rb")),
    *(("metadata", value, {}) for value in ("", "{}", [], 5, {"a": "x" * 4001}, {"a": "\x00"}, {"\x00": 1})),
    ("expires_at", "2027-01-01T00:00:00Z", {}),
    ("expires_at", "2027-01-01", {"kind": "pending"}),
    ("expires_at", "2300-01-01T00:00:00Z", {"kind": "pending"}),
    ("pending_id", ID, {}),
    ("pending_id", ..., {"kind": "post_pending"}),
    ("pending_id", "x", {"kind": "post_pending"}),
    ("pending_id", 5, {"kind": "void_pending", "amount_minor": ...}),
    ("amount_minor", 5, {"kind": "void_pending", "pending_id": ID}),
    ("reverses_id", "x", {}),
    ("reverses_id", ID, {"kind": "pending"}),
    ("balancing", "debit", {"reverses_id": ID}),
    ("balancing", "debit", {"kind": "post_pending", "pending_id": ID}),
    *(
        (name, 1, {})
        for name in (
            "amount",
            "Amount_minor",
            "amount_minor ",
            "debit",
            "position",
            "recorded_at",
            "",
            "$ref",
            "备注",
        )
    ),
]


@dataclass
class Wrong:
    """A request that is wrong, and what must be said of it."""

    name: str
    path: str
    body: bytes | None = None
    status: tuple[int, ...] = (400,)
    media: str = "application/json"
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=dict)
    field: str | None = None
    code: str | None = None


POST, ONE = "books/1/transfers", "books/1/transfer"
GOOD = "%GOOD%"
"""In a body: a transfer that would be accepted."""

BODIES = [
    Wrong("nothing", POST, b"", status=(400, 415)),  # the client leaves out the media type of nothing
    Wrong("only space", POST, b" \r\n\t "),
    Wrong("null", POST, b"null"),
    Wrong("a number", POST, b"17"),
    Wrong("a string", POST, b'"transfers"'),
    Wrong("true", POST, b"true"),
    Wrong("an empty list", POST, b"[]", status=(422,)),
    Wrong("an empty object", POST, b"{}", field="transfers"),
    Wrong("an envelope of nothing", POST, b'{"transfers": []}', status=(422,)),
    Wrong("an envelope of null", POST, b'{"transfers": null}'),
    Wrong("an envelope of an object", POST, b'{"transfers": {}}'),
    Wrong("an envelope with more", POST, b'{"transfers": [%GOOD%], "dry_run": true}', field="dry_run"),
    Wrong("an envelope of another name", POST, b'{"Transfers": [%GOOD%]}'),
    Wrong("one transfer without a list", POST, b"%GOOD%"),
    Wrong("a list of lists", POST, b"[[%GOOD%]]"),
    Wrong("a list of null", POST, b"[%GOOD%, null]"),
    Wrong("a list of strings", POST, b'[%GOOD%, "x"]'),
    Wrong("a list left open", POST, b"[%GOOD%"),
    Wrong("a list with a last comma", POST, b"[%GOOD%,]"),
    Wrong("a list with something after it", POST, b"[%GOOD%] []"),
    Wrong("two lists", POST, b"[%GOOD%][%GOOD%]"),
    Wrong("a byte order mark", POST, b"\xef\xbb\xbf[%GOOD%]"),
    Wrong("UTF-16", POST, "[]".encode("utf-16")),
    Wrong("Latin-1 in a text", POST, b'[%GOOD%, {"id": "\xe9"}]'),
    Wrong("half a character", POST, b'[{"id": "\xe4\xb8"}]'),
    Wrong("half a surrogate pair", POST, b'[{"id": "\\ud800"}]'),
    Wrong("a bad escape", POST, b'[{"id": "\\x41"}]'),
    Wrong("a raw line break in a text", POST, b'[{"id": "a\nb"}]'),
    Wrong("single quotes", POST, b"[{'id': 'a'}]"),
    Wrong("names without quotes", POST, b'[{id: "a"}]'),
    Wrong("a comment", POST, b"[%GOOD% /* no */]"),
    Wrong("NaN", POST, b'[{"id": "a", "metadata": {"x": NaN}}]'),
    Wrong("Infinity", POST, b'[{"id": "a", "metadata": {"x": Infinity}}]'),
    Wrong("a number too large for any computer", POST, b'[{"id": "a", "metadata": {"x": 1e999}}]'),
    Wrong("a number with a leading zero", POST, b'[{"id": "a", "amount_minor": 0100}]'),
    Wrong("a hexadecimal number", POST, b'[{"id": "a", "amount_minor": 0x10}]'),
    Wrong("a number with a plus", POST, b'[{"id": "a", "amount_minor": +1}]'),
    Wrong("an amount with an exponent", POST, b'[{"id": "a", "amount_minor": 1e2}]'),
    Wrong(
        "nested without end",
        POST,
        b'[{"id":"a","metadata":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001 + b"]",
    ),
    Wrong("lists without end", POST, b"[" * 100_000),
    Wrong(
        "more than a call may hold",
        POST,
        b"[" + b",".join([b'{"id": "a"}'] * 10_001) + b"]",
        status=(413, 422),
    ),
    Wrong("chained into nowhere", POST, b'[%GOOD%, {"linked": true, %REST%]', status=(422,), field="linked"),
    Wrong("a form", POST, b"id=1&amount_minor=5"),
    Wrong("XML", POST, b"<transfers/>"),
    Wrong("lines: none", POST, b"", media="application/x-ndjson", status=(413, 415, 422)),
    Wrong("lines: only empty ones", POST, b"\n\n\r\n", media="application/x-ndjson", status=(413, 422)),
    Wrong("lines: a list", POST, b"[%GOOD%]\n", media="application/x-ndjson"),
    Wrong("lines: two on one", POST, b"%GOOD%%GOOD%\n", media="application/x-ndjson"),
    Wrong("lines: two on one with a comma", POST, b"%GOOD%,%GOOD%\n", media="application/x-ndjson"),
    Wrong("lines: one over two", POST, b'{"id":\n"a"}\n', media="application/x-ndjson"),
    Wrong(
        "lines: one in the middle broken", POST, b'%GOOD%\n{"id": \n%GOOD%\n', media="application/x-ndjson"
    ),
    Wrong("lines: JSON text sequences", POST, b"\x1e%GOOD%\n", media="application/x-ndjson"),
    Wrong(
        "lines: more than a call may hold",
        POST,
        b"%GOOD%\n" * 10_001,
        media="application/x-ndjson",
        status=(413, 422),
    ),
    Wrong("one: nothing", ONE, b"", status=(400, 415)),
    Wrong("one: a list", ONE, b"[%GOOD%]"),
    Wrong("one: an envelope", ONE, b'{"transfers": [%GOOD%]}'),
    Wrong("one: two", ONE, b"%GOOD% %GOOD%"),
    Wrong("one: linked to nothing", ONE, b'{"linked": true, %REST%', status=(422,), field="linked"),
]

HEADERS = [
    Wrong("no media type", POST, b"[%GOOD%]", media="", status=(415,)),
    Wrong("a form's media type", POST, b"[%GOOD%]", media="application/x-www-form-urlencoded", status=(415,)),
    Wrong("plain text", POST, b"[%GOOD%]", media="text/plain", status=(415,)),
    Wrong("text/json", POST, b"[%GOOD%]", media="text/json", status=(415,)),
    Wrong("JSON merge patch", POST, b"[%GOOD%]", media="application/merge-patch+json", status=(415,)),
    Wrong("another charset", POST, b"[%GOOD%]", media="application/json; charset=gb18030", status=(415,)),
    Wrong("compressed", POST, b"[%GOOD%]", headers={"Content-Encoding": "gzip"}, status=(415,)),
    Wrong("lines to the single address", ONE, b"%GOOD%\n", media="application/x-ndjson", status=(415,)),
    Wrong("lines where there is no batch", "books", b"{}\n", media="application/x-ndjson", status=(415,)),
    Wrong("wants a page", POST, b"[%GOOD%]", headers={"Accept": "text/html"}, status=(406,)),
    Wrong("wants XML", "books", None, method="GET", headers={"Accept": "application/xml"}, status=(406,)),
    Wrong("wants lines of one", ONE, b"%GOOD%", headers={"Accept": "application/x-ndjson"}, status=(406,)),
    Wrong(
        "a password", "me", None, method="GET", headers={"Authorization": "Basic d2FuZzp3YW5n"}, status=(401,)
    ),
    Wrong("no scheme", "me", None, method="GET", headers={"Authorization": "tly_x"}, status=(401,)),
    Wrong("an empty token", POST, b"[%GOOD%]", headers={"Authorization": "Bearer "}, status=(401,)),
    Wrong(
        "a made-up token",
        POST,
        b"[%GOOD%]",
        headers={"Authorization": "Bearer tly_" + "A" * 43},
        status=(401,),
    ),
    Wrong("an empty authorization", POST, b"[%GOOD%]", headers={"Authorization": ""}, status=(401,)),
]

ADDRESSES = [
    *(
        Wrong(f"{method} {path}", path, method=method, status=(405,))
        for method, path in [
            ("PUT", POST),
            ("PATCH", POST),
            ("DELETE", POST),
            ("GET", ONE),
            ("DELETE", f"transfers/{ID}"),
            ("PUT", f"accounts/{THERE}"),
            ("POST", f"accounts/{THERE}"),
            ("GET", "transfers/lookup/"[:-1] + ""),
            ("TRACE", "books"),
            ("OPTIONS", "books"),
            ("POST", "me"),
            ("POST", "openapi.json"),
            ("BREW", POST),
        ]
        if path != "transfers/lookup"
    ),
    *(
        Wrong(f"address {path!r}", path, method="GET", status=(404,))
        for path in [
            "nothing",
            "books/1/nothing",
            "books/1/transfers/",
            "books/",
            "transfer",
            "accounts",
            "books/1/transfers/1",
            "../v1/books",
            "books//transfers",
            f"accounts/{THERE}/",
            f"transfers/{ID}/reverse",
            "%00",
        ]
    ),
    *(
        Wrong(f"book {text!r}", f"books/{text}/transfers", b"[%GOOD%]", status=(400, 404), field="book")
        for text in [
            "0",
            "-1",
            "900",
            "1000",
            "01",
            "1.0",
            "+1",
            "%201",
            "1_0",
            "x",
            "１",
            "1e0",
            "9" * 40,
            "null",
        ]
    ),
    Wrong("a book that is not there", "books/77/transfers", b"[%GOOD%]", status=(404,)),
    *(
        Wrong(f"account {text!r}", f"accounts/{text}", method="GET", status=(400, 404))
        for text in [
            "acc_1",
            "acc_" + "0" * 18,
            "acc_" + "9" * 18,
            "001101560000000001",
            "ACC_001101560000000001",
            THERE + "%0A",
        ]
    ),
    *(
        Wrong(f"transfer {text!r}", f"transfers/{text}", method="GET", status=(400, 404))
        for text in ["trf_1", "x", "trf_" + "0" * 32, ID.upper(), ID + "%0A"]
    ),
    *(
        Wrong(f"authorisation {text!r}", f"authorisations/{text}", method="GET", status=(400, 404))
        for text in ["ath_1", "ath_000000000100000010", "x", "ath_" + "9" * 17 + "1"]
    ),
    *(
        Wrong(f"position {text!r}", f"books/1/positions/{text}", method="GET", status=(400, 404))
        for text in ["0", "-1", "x", "1.5", str(2**63), str(10**12)]
    ),
]

QUERIES = [
    Wrong(f"{path}?{query}", f"{path}?{query}", method="GET", field=name, status=status)
    for path, query, name, status in [
        ("books", "page=2", "page", (400,)),
        ("books", "=", "", (400,)),
        ("me", "x", "x", (400,)),
        ("books/1", "at_position=1", "at_position", (400,)),
        ("books/1/transfers", "limit=0", "limit", (400,)),
        ("books/1/transfers", "limit=1001", "limit", (400,)),
        ("books/1/transfers", "limit=-1", "limit", (400,)),
        ("books/1/transfers", "limit=", "limit", (400,)),
        ("books/1/transfers", "limit=ten", "limit", (400,)),
        ("books/1/transfers", "limit=10.0", "limit", (400,)),
        ("books/1/transfers", "limit=1e1", "limit", (400,)),
        ("books/1/transfers", "limit=%2010", "limit", (400,)),
        ("books/1/transfers", "limit=1&limit=2", "limit", (400,)),
        ("books/1/transfers", "limit[]=1", "limit[]", (400,)),
        ("books/1/transfers", "Limit=1", "Limit", (400,)),
        ("books/1/transfers", "after=-1", "after", (400,)),
        ("books/1/transfers", "after=x", "after", (400,)),
        ("books/1/transfers", f"after={2**63}", "after", (400,)),
        ("books/1/transfers", "to_position=999999999", None, (404,)),
        ("books/1/transfers", "kind=gone", "kind", (400,)),
        ("books/1/transfers", "code=gone", "code", (400,)),
        ("books/1/transfers", "account=1", "account", (400,)),
        ("books/1/transfers", "authorisation=1", "authorisation", (400,)),
        ("books/1/transfers", "authorisation=ath_999999999999999991", None, (404,)),
        ("books/1/transfers", f"reference={'x' * 141}", "reference", (400,)),
        ("books/1/accounts", "family=ours", "family", (400,)),
        ("books/1/accounts", "status=OPEN", "status", (400,)),
        ("books/1/accounts", "after=1", "after", (400,)),
        ("books/1/accounts", f"search={'x' * 121}", "search", (400,)),
        ("books/1/refusals", "since=2026-03-01", "since", (400,)),
        ("books/1/refusals", "since=2026-03-01T00:00:00", "since", (400,)),
        ("books/1/refusals", "since=2026-02-30T00:00:00Z", "since", (400,)),
        ("books/1/refusals", "code=DROP%20TABLE", "code", (400,)),
        ("books/1/refusals", "before=x", "before", (400,)),
        ("books/1/trial-balance", "at_postion=1", "at_postion", (400,)),
        ("books/1/trial-balance", "at_position=999999999", None, (404,)),
        ("books/1/trial-balance", "at_time=1991-01-01T00:00:00Z", None, (404,)),
        ("books/1/trial-balance", "at_time=0001-01-01T00:00:00%2B14:00", "at_time", (400,)),
        ("books/1/trial-balance", "at_time=2026-03-01T00:00:00+08:00", "at_time", (400,)),
        ("books/1/trial-balance", "at_position=1&at_time=2026-03-01T00:00:00Z", "at_time", (422,)),
    ]
]

NEW_ACCOUNT = {"family": "client", "asset": "CNY", "owner": "C-9", "name": "n", "reference": "r"}
TERMS = {
    "kind": "order",
    "credit_account": "%BANK%",
    "code": "withdrawal",
    "amount_minor": 5,
    "valid_from": "2026-03-01T00:00:00Z",
    "valid_until": "2026-04-01T00:00:00Z",
    "basis": "b",
}


def body(**told: object) -> bytes:
    return json.dumps(told).encode()


OTHERS = [
    *(
        Wrong(
            f"account with {change}",
            "books/1/accounts",
            body(accounts=[{**NEW_ACCOUNT, **change}]),
            status=status,
        )
        for change, status in [
            ({"family": "ours"}, (400,)),
            ({"family": 1}, (400,)),
            ({"asset": "cny"}, (400,)),
            ({"asset": "QQQ"}, (409,)),
            ({"owner": ""}, (409,)),
            ({"owner": 5}, (400,)),
            ({"owner": "x" * 65}, (400,)),
            ({"name": ""}, (400,)),
            ({"name": " "}, (422,)),
            ({"name": "a\nb"}, (422,)),
            ({"name": "a\x00b"}, (422,)),
            ({"name": "x" * 121}, (400,)),
            ({"reference": ""}, (400,)),
            ({"reference": "x" * 65}, (400,)),
            ({"reference": "bank"}, (409,)),
            ({"no_overdraft": "no"}, (400,)),
            ({"ceiling_minor": -1}, (400,)),
            ({"ceiling_minor": 1.5}, (400,)),
            ({"balance_minor": 5}, (400,)),
            ({"number": 5}, (400,)),
            ({"ceiling_minor": 5}, (403,)),
            ({"family": "own"}, (422,)),
        ]
    ),
    Wrong("no accounts", "books/1/accounts", body(accounts=[])),
    Wrong("accounts of null", "books/1/accounts", body(accounts=None)),
    Wrong("accounts left out", "books/1/accounts", body(), field="accounts"),
    Wrong("accounts that are a list", "books/1/accounts", b"[]"),
    Wrong("accounts that are nothing", "books/1/accounts", b"", status=(400, 415)),
    Wrong("too many accounts", "books/1/accounts", body(accounts=[NEW_ACCOUNT] * 1001)),
    Wrong(
        "the same reference twice", "books/1/accounts", body(accounts=[NEW_ACCOUNT] * 2), status=(409, 422)
    ),
    Wrong("accounts of no book", "books/77/accounts", body(accounts=[NEW_ACCOUNT]), status=(404,)),
    *(
        Wrong(f"state {change}", f"accounts/{THERE}/states", body(**change), status=status)
        for change, status in [
            ({"status": "open"}, (400,)),
            ({"reason": "r"}, (400,)),
            ({"status": "gone", "reason": "r"}, (400,)),
            ({"status": "open", "reason": ""}, (400,)),
            ({"status": "open", "reason": "x" * 501}, (400,)),
            ({"status": "open", "reason": "r", "at": "2026-03-01T00:00:00Z"}, (400,)),
            ({"status": "open", "reason": "r", "no_overdraft": 1}, (400,)),
        ]
    ),
    *(
        Wrong(
            f"authorisation with {change}",
            "accounts/%WANG%/authorisations",
            body(**{**TERMS, **change}),
            status=status,
        )
        for change, status in [
            ({"kind": "wish"}, (400,)),
            ({"amount_minor": 0}, (400,)),
            ({"amount_minor": "5"}, (400,)),
            ({"amount_rule": "any"}, (400,)),
            ({"uses_max": 0}, (400,)),
            ({"uses_max": 2**31}, (400,)),
            ({"valid_from": "2026-03-01"}, (400,)),
            ({"valid_until": "2026-03-01T00:00:00Z"}, (422,)),
            ({"valid_until": None}, (400,)),
            ({"basis": ""}, (400,)),
            ({"basis": "\n"}, (422,)),
            ({"payee": "x" * 141}, (400,)),
            ({"rate_ppm": 1}, (422,)),
            ({"amount_rule": "formula"}, (422,)),
            ({"day_basis": 364}, (400,)),
            ({"code": "theft"}, (400,)),
            ({"credit_account": "acc_1"}, (400,)),
            ({"credit_account": "%WANG%"}, (409,)),
            ({"signature": "x"}, (400,)),
            ({"signature": "A" * 86 + "=="}, (409,)),
            ({"number": 1}, (400,)),
            ({}, (409,)),
        ]
    ),
    Wrong("withdrawn without a reason", "authorisations/%ORDER%/withdrawal", body()),
    Wrong("withdrawn for nothing", "authorisations/%ORDER%/withdrawal", body(reason=" "), status=(422,)),
    Wrong("no ids", "transfers/lookup", body(ids=[])),
    Wrong("ids that are text", "transfers/lookup", body(ids=ID)),
    Wrong("one id that is none", "transfers/lookup", body(ids=[ID, "x"])),
    Wrong("the zero id", "transfers/lookup", body(ids=["0" * 32]), status=(400, 422)),
    Wrong("too many ids", "transfers/lookup", body(ids=[ID] * 1001)),
    Wrong("balances of nothing", "books/1/balances/lookup", body(accounts=[])),
    Wrong(
        "balances of another book",
        "books/1/balances/lookup",
        body(accounts=["acc_002101560000000001"]),
        status=(422,),
    ),
    Wrong(
        "balances of nobody",
        "books/1/balances/lookup",
        body(accounts=["acc_001101560000009999"]),
        status=(404,),
    ),
    Wrong(
        "balances then and then",
        "books/1/balances/lookup",
        body(accounts=["%WANG%"], at_position=1, at_time="2026-03-01T00:00:00Z"),
        status=(422,),
    ),
    Wrong(
        "balances of a position in text",
        "books/1/balances/lookup",
        body(accounts=["%WANG%"], at_position="1"),
    ),
]

TABLE = [*BODIES, *HEADERS, *ADDRESSES, *QUERIES, *OTHERS]


def filled(house: House, wrong: Wrong) -> bytes | None:
    if wrong.body is None:
        return None
    good = json.dumps(house.top_up()).encode()
    return (
        wrong.body.replace(b"%GOOD%", good)
        .replace(b"%REST%", json.dumps(house.top_up()).encode()[1:])
        .replace(b"%BANK%", house.bank.encode())
        .replace(b"%WANG%", house.wang_account.encode())
    )


def test_there_are_two_hundred_kinds_and_none_twice() -> None:
    kinds = [(name, str(value), str(more)) for name, value, more in FIELDS]
    assert len(set(kinds)) == len(kinds)
    assert len({wrong.name for wrong in TABLE}) == len(TABLE)
    assert len(kinds) + len(TABLE) >= 200


@pytest.mark.parametrize("table", ["bodies", "headers", "addresses", "queries", "others"])
def test_each_is_a_problem_and_changes_nothing(house: House, table: str) -> None:
    before, wrongs = (
        house.rows(),
        {"bodies": BODIES, "headers": HEADERS, "addresses": ADDRESSES, "queries": QUERIES, "others": OTHERS},
    )
    failed = []
    for wrong in wrongs[table]:
        path = wrong.path.replace("%WANG%", house.wang_account).replace("%ORDER%", house.wang_order)
        answer = house.operations.ask(wrong.method, path, filled(house, wrong), wrong.media, **wrong.headers)
        if reason := complaint(wrong, answer):
            failed.append(f"{wrong.name}: {reason}")
    assert failed == []
    assert house.rows() == before


def complaint(wrong: Wrong, answer: Answer) -> str | None:
    if answer.status not in wrong.status:
        return f"{answer.status} {answer.content[:300]!r}"
    code = answer.code
    if wrong.code is not None and code != wrong.code:
        return f"is {code}"
    if wrong.field is not None and answer.json.get("field") != wrong.field:
        return f"names {answer.json.get('field')!r}"
    return None


Form = Callable[[Caller, House, dict[str, object]], Answer]
FORMS: dict[str, Form] = {
    "batch": lambda caller, house, wrong: caller.post(POST, [house.top_up(), wrong, house.top_up()]),
    "envelope": lambda caller, house, wrong: caller.post(POST, {"transfers": [house.top_up(), wrong]}),
    "lines": lambda caller, house, wrong: caller.post_lines(POST, [house.top_up(), wrong, house.top_up()]),
    "one": lambda caller, house, wrong: caller.post(ONE, wrong),
}


@pytest.mark.parametrize("form", sorted(FORMS))
def test_a_wrong_field_is_named_by_its_place_and_the_whole_call_is_refused(house: House, form: str) -> None:
    before, failed = house.rows(), []
    for name, value, beside in FIELDS:
        wrong = house.top_up(**{**beside, name: value})
        answer = FORMS[form](house.operations, house, wrong)
        case = f"{name}={value!r} {beside or ''}"
        if answer.status not in (400, 422):
            failed.append(f"{case}: {answer.status} {answer.content[:200]!r}")
            continue
        assert answer.code in ("request_malformed", "malformed")
        told = answer.json
        if told.get("field", "").partition(".")[0] != name:
            failed.append(f"{case}: names {told.get('field')!r}: {told['detail']}")
        if not told.get("expected"):
            failed.append(f"{case}: says nothing expected")
        if form in ("batch", "envelope", "lines") and told.get("index") != 1:
            failed.append(f"{case}: index {told.get('index')}: {told['detail']}")
    assert failed == []
    assert house.rows() == before


def test_a_wrong_line_is_named_by_its_number_empty_lines_counted(house: House) -> None:
    good = json.dumps(house.top_up()).encode()
    sent = b"\n" + good + b'\n\r\n{"id": "x", "amount_minor": "5"}\n' + good
    answer = house.operations.ask("POST", POST, sent, "application/x-ndjson")
    assert answer.code == "request_malformed"
    assert (answer.json["line"], answer.json["index"], answer.json["field"]) == (4, 1, "amount_minor")


def test_a_body_that_is_too_large_is_refused_by_its_length(house: House, settings: object) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    before = house.rows()
    answer = house.operations.post(POST, [house.top_up() for _ in range(10)])
    assert (answer.status, answer.code) == (413, "body_too_large")
    assert house.rows() == before


def test_the_same_problem_is_told_in_chinese(house: House) -> None:
    answer = house.operations.get("books/77", Accept_Language="zh-Hans")
    assert answer.code == "book_unknown"
    assert answer.headers["Content-Language"] == "zh-hans"
    assert any("一" <= letter <= "鿿" for letter in answer.json["title"])

"""The OpenAPI document: complete, current, and a page that loads nothing from elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import jsonschema
import pytest

from tallystick.api import errors, openapi, problems, urls
from tallystick.core.errors import Absence, Refusal
from tallystick.custody import codes
from tallystick.custody import errors as custody
from tallystick.custody.transfers import TransferRequest
from tests.api.conftest import Caller
from tests.tidy.source import ROOT

PAGE = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
DOCUMENT = openapi.document(urls.api)


def test_the_document_kept_with_the_manual_is_the_one_served() -> None:
    kept = (ROOT / "docs" / "reference" / "openapi.json").read_bytes()
    assert kept == urls.document_bytes(), "run: python scripts/docs.py"


def test_it_is_served_to_anyone() -> None:
    answer = Caller(None).get("openapi.json")
    assert answer.status == 200
    assert answer.json == DOCUMENT


def test_every_reference_leads_somewhere_and_every_operation_has_a_name_of_its_own() -> None:
    text = json.dumps(DOCUMENT)
    for name in set(re.findall(r'"#/components/(?:schemas|responses)/([A-Za-z]+)"', text)):
        assert name in DOCUMENT["components"]["schemas"] or name in DOCUMENT["components"]["responses"]
    names = [each["operationId"] for found in DOCUMENT["paths"].values() for each in found.values()]
    assert len(names) == len(set(names))
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_field_of_a_transfer_is_told_and_no_other() -> None:
    told = set()
    for name in ("PostedTransfer", "PendingTransfer", "PostPending", "VoidPending"):
        told |= set(DOCUMENT["components"]["schemas"][name]["properties"])
    assert told == set(TransferRequest.__struct_fields__)
    assert DOCUMENT["components"]["schemas"]["PostedTransfer"]["properties"]["code"]["enum"] == list(
        codes.BY_TEXT
    )


def refusals() -> Iterator[type[Refusal]]:
    for module in (errors, custody):
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, Refusal) and kind not in (Refusal, errors.Turned):
                yield kind


def test_every_status_has_a_title() -> None:
    assert {problems.status_of(kind) for kind in refusals()} <= set(problems.TITLES)


def test_an_absence_is_404_whoever_declared_it() -> None:
    """What is not there is told alike on pages and here: neither keeps a list of its own."""
    absent = {kind for kind in refusals() if issubclass(kind, Absence)}
    assert {custody.AccountUnknown, custody.ReceiptUnknown, custody.BankAccountUnknown} <= absent
    assert {problems.status_of(kind) for kind in absent} == {404}


@pytest.mark.parametrize("status", sorted(problems.TITLES))
def test_the_manual_tells_every_status(status: int) -> None:
    assert re.search(rf"^\| {status} \|", PAGE, re.MULTILINE)


def test_the_manual_tells_every_reason_to_turn_a_request_away() -> None:
    for kind in refusals():
        if issubclass(kind, errors.Turned):
            assert f"`{kind.code}`" in PAGE, kind.code


class Links(HTMLParser):
    """What a page loads, and where its links go."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.names: set[str] = set()
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        told = dict(attributes)
        self.tags.add(tag)
        self.names.add(told.get("id") or "")
        self.loaded += [str(told[name]) for name in ("src", "data") if name in told]
        if tag == "link":
            self.loaded.append(str(told["href"]))
        if tag == "a":
            self.links.append(str(told["href"]))
        assert not {"style", "onclick", "onload"} & set(told)


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_the_page_stands_under_our_own_content_policy(language: str) -> None:
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    answer = Caller(None).get("docs", Accept_Language=language, Accept=accept)
    assert answer.status == 200
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    page = Links(answer.content.decode())
    assert page.loaded == ["/static/tallystick/page.css", "/static/tallystick/mark.svg"]
    assert not {"script", "style", "iframe", "object"} & page.tags
    assert [link for link in page.links if link.startswith("#") and link[1:] not in page.names] == []

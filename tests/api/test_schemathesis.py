"""The OpenAPI document tells the truth: Schemathesis asks every address what it should and should not be asked.

Everything it looks for is looked for: undocumented answers, right requests refused and wrong ones let in,
wrong methods, missing credentials, broken headers. Two things are told to it: 422 is the answer to a request
that has the document's form and breaks a rule no form can say (an end before its beginning); and whole
numbers are written without a fraction.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.transport.requests import REQUESTS_TRANSPORT
from schemathesis.transport.wsgi import WSGI_TRANSPORT, WSGITransport

from tallystick.identity.roles import Role
from tests.api.conftest import House


def lines(context: object, value: object) -> dict[str, object]:
    """A list as lines, and whatever else a wrong request holds as one line."""
    rows = value if isinstance(value, list) else [value]
    return {"data": b"".join(json.dumps(row).encode() + b"\n" for row in rows)}


for transport in (REQUESTS_TRANSPORT, WSGI_TRANSPORT):
    transport.serializer("application/x-ndjson")(lines)

# The document says in words from when to when: JSON Schema cannot bound a date.
_times = st.datetimes(
    datetime(1991, 1, 1),  # noqa: DTZ001 -- Hypothesis adds the zone
    datetime(2199, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
schemathesis.openapi.format("date-time", _times.map(datetime.isoformat))
schemathesis.openapi.format("date", _times.map(lambda each: each.date().isoformat()))


@schemathesis.hook
def map_body(context: object, body: object) -> object:
    """Whole numbers without a fraction: 5.0 is an integer to JSON Schema, and no amount to us."""
    if isinstance(body, dict):
        return {name: map_body(context, each) for name, each in body.items()}
    if isinstance(body, list):
        return [map_body(context, each) for each in body]
    return int(body) if isinstance(body, float) and body.is_integer() else body


def over_https(environ: dict[str, object], start_response: object) -> object:
    """The application as it is reached in a deployment."""
    return APPLICATION({**environ, "wsgi.url_scheme": "https", "HTTP_HOST": "localhost"}, start_response)


class Transport(WSGITransport):
    """Leaves out settings of sockets, which the original passes on to a request that has none."""

    def send(self, case, *, session=None, **more):  # type: ignore[no-untyped-def]
        for name in ("max_redirects", "verify", "cert", "proxies"):
            more.pop(name, None)
        return super().send(case, session=session, **more)


APPLICATION = get_wsgi_application()


def findings(house: House, role: Role, *, examples: int, seconds: int, seed: int) -> Iterator[str]:
    """What a run finds, as words to read; the seed repeats it."""
    config = SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "max-time": seconds,
            "headers": {"Authorization": f"Bearer {house.callers[role].token}", "Accept-Language": "en"},
            "parameters": {"path.book": house.book, "path.account": house.wang_account},
            "generation": {"max-examples": examples, "database": "none"},
            "checks": {
                "positive_data_acceptance": {
                    "expected-statuses": ["2xx", "401", "403", "404", "409", "422", "429"]
                }
            },
        }
    )
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", over_https, config=config)
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            for case_id, checks in event.recorder.checks.items():
                for check in checks:
                    if check.failure_info is not None:
                        response = event.recorder.find_response(case_id=case_id)
                        told = response.content[:400] if response else b""
                        failure = check.failure_info
                        yield f"{event.label} {check.name}: {failure.failure}\n{failure.code_sample}\n{told!r}"
        elif isinstance(event, events.NonFatalError | events.FatalError):
            yield f"{event.label} {event.value!r}" if isinstance(event, events.NonFatalError) else f"{event}"


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WSGI_TRANSPORT, "__class__", Transport)
    # A line for each of thousands of requests.
    monkeypatch.setattr(logging.getLogger("tallystick.request"), "disabled", True)


def test_a_short_run_finds_nothing(house: House) -> None:
    found = list(findings(house, Role.PLATFORM_OPERATIONS, examples=5, seconds=20, seed=20260301))
    assert found == [], "\n\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    "role", [Role.PLATFORM_OPERATIONS, Role.CUSTOMER, Role.AUDITOR, Role.PLATFORM_APPROVER]
)
def test_a_long_run_finds_nothing(house: House, role: Role) -> None:
    found = list(findings(house, role, examples=200, seconds=150, seed=7))
    assert found == [], "\n\n".join(found)

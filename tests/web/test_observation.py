"""What an operator sees: one line a request, and nothing of anyone's in it."""

import io
import json
import logging

import pytest

from tallystick.web import observation

SECRETS = {
    "e-mail": "王芳 wrote from wang.fang@example.com today",
    "mobile": "call 13812345678 now",
    "mobile with prefix": "call +86 138 1234 5678 now",
    "identity number": "holder 11010519900307123X signed",
    "bank card": "card 6222021234567890123 charged",
    "bank card in groups": "card 6222 0212 3456 7890 charged",
    "iban": "to DE89 3704 0044 0532 0130 00 today",
    "password": "login failed password=hunter2hunter2 again",
    "json password": '{"password": "hunter2hunter2"}',
    "bearer": "Authorization: Bearer abc.def.ghi sent",
    "cookie": "Cookie: session=abcdef123456; csrf=zzzz",
    "database url": "cannot reach postgresql://tally:s3cretpw@db.example/tally",
    "link": "GET /sign-in/link/AbC-123_xyz HTTP/1.1",
}

PIECES = (
    "wang.fang@",
    "13812345678",
    "138 1234 5678",
    "11010519900307123X",
    "6222021234567890123",
    "6222 0212",
    "DE89",
    "hunter2",
    "abc.def",
    "abcdef123456",
    "s3cretpw",
    "AbC-123",
)


@pytest.fixture
def written():
    """A logger set up as the settings do, and what it has written."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(observation.json_formatter())
    handler.addFilter(observation.Scrub())
    logger = logging.getLogger("tallystick.test")
    logger.handlers, logger.propagate = [handler], False
    return logger, lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("kind", sorted(SECRETS))
def test_what_is_personal_or_secret_is_taken_out(kind):
    cleaned = observation.scrubbed(SECRETS[kind])
    assert not [piece for piece in PIECES if piece in cleaned]
    assert cleaned != SECRETS[kind]


@pytest.mark.parametrize(
    "text",
    [
        "acc_001101560000000001 was frozen",
        "ath_000000000100000011 was withdrawn",
        "trf_01931d6e-7f2a-7bcd-8eff-0123456789ab posted at 1234567",
        "usr_12 opened 250000 transfers in 3.2 s",
        "2026-03-01T09:30:00Z backup of 12345678901 bytes",
    ],
)
def test_our_own_numbers_are_kept(text):
    assert observation.scrubbed(text) == text


def test_the_scrubber_reaches_messages_arguments_fields_and_tracebacks(written):
    logger, lines = written
    logger.warning("from %s", "wang.fang@example.com", extra={"to": "13812345678"})
    try:
        raise ValueError("card 6222021234567890123")
    except ValueError:
        logger.exception("failed")
    text = json.dumps(lines())
    assert not [piece for piece in PIECES if piece in text]
    assert "ValueError" in lines()[1]["exc_info"]


def test_a_line_is_one_json_object_with_time_level_and_request(written):
    logger, lines = written
    mark = observation.request_id.set("abcdefgh1234")
    logger.info("posted", extra={"count": 3})
    observation.request_id.reset(mark)
    (line,) = lines()
    assert (line["level"], line["message"], line["count"], line["request_id"]) == (
        "INFO",
        "posted",
        3,
        "abcdefgh1234",
    )
    assert line["time"].endswith("Z")

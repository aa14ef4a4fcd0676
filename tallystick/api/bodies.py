"""Bodies: what a request carries, read once, within bounds, and turned into what was asked for.

Promises: the whole body is well formed or nothing of it is used; what is wrong is named by its place (the
index in the list, the line of a file of lines), its field and what was expected there.
"""

from __future__ import annotations

import re

import msgspec
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest
from django.http.request import UnreadablePostError

from tallystick.api import errors
from tallystick.custody.errors import BatchTooLarge
from tallystick.custody.transfers import BATCH_MAX, TransferRequest

JSON = "application/json"
NDJSON = "application/x-ndjson"


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The object form of a batch."""

    transfers: list[TransferRequest]


_LIST = msgspec.json.Decoder(list[TransferRequest])
_ENVELOPE = msgspec.json.Decoder(Envelope)
_ONE = msgspec.json.Decoder(TransferRequest)
_PLAIN = msgspec.json.Decoder()

_SPACE = b" \t\r\n"
_AT = re.compile(r"(?s)(?P<what>.*) - at `(?P<path>[^`]*)`")
_STEP = re.compile(r"\.([A-Za-z_]+)|\[([0-9]+|\.\.\.)\]")
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]*)`")
_UNKNOWN = re.compile(r"(?s)Object contains unknown field `(?P<field>.*)`")
_EXPECTED = re.compile(r"(?s)Expected (?P<expected>.*?)(?:, got .*)?")


def media_type(request: HttpRequest, *offered: str) -> str:
    """The body's media type, one of those offered. Raises `errors.MediaTypeUnsupported`."""
    given = (request.content_type or "").lower()
    charset = (request.content_params or {}).get("charset", "utf-8").lower()
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if given not in offered or charset not in ("utf-8", "utf8") or encoding != "identity":
        raise errors.MediaTypeUnsupported(expected=" / ".join(offered))
    return given


def read(request: HttpRequest) -> bytes:
    """The whole body. Raises `LengthRequired`, `BodyTooLarge` or `BodyIncomplete`."""
    length = request.META.get("CONTENT_LENGTH") or ""
    if not length and "chunked" in request.headers.get("Transfer-Encoding", "").lower():
        raise errors.LengthRequired
    most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    # Asked here too: the middleware's own answer would be a page.
    if length.isdigit() and int(length) > most:
        raise errors.BodyTooLarge(most=most)
    try:
        body = request.body
    except RequestDataTooBig:
        raise errors.BodyTooLarge(most=most) from None
    except UnreadablePostError:
        raise errors.BodyIncomplete from None
    if length.isdigit() and len(body) < int(length):
        raise errors.BodyIncomplete
    return body


def plain(body: bytes) -> object:
    """Any JSON, strictly: no NaN, no byte order mark, nothing after it."""
    try:
        return _PLAIN.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise errors.NotJson(reason=_reason(wrong)) from None


def one(body: bytes) -> TransferRequest:
    """One transfer."""
    try:
        return _ONE.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise _refusal(wrong, what="transfer") from None


def batch(body: bytes, media: str) -> list[TransferRequest]:
    """The transfers of a batch: a JSON list, an object that holds one, or one transfer a line."""
    if media == NDJSON:
        return _lines(body)
    is_object = body.lstrip(_SPACE)[:1] == b"{"
    try:
        return _ENVELOPE.decode(body).transfers if is_object else _LIST.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise _refusal(wrong, what="transfer") from None


def _lines(body: bytes) -> list[TransferRequest]:
    try:
        found = _ONE.decode_lines(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise _refusal_of_line(body) or errors.NotJson(reason=_reason(wrong)) from None
    # The decoder also takes two objects on one line, or one over several.
    if len(found) != sum(not line.isspace() for line in body.split(b"\n") if line):
        raise _refusal_of_line(body) or errors.NotJson(reason="each line must be one object")
    return found


def _refusal_of_line(body: bytes) -> errors.Turned | None:
    """What is wrong with the first line that is, found by reading line by line."""
    index = 0
    for number, line in enumerate(body.split(b"\n"), start=1):
        if not line.strip(_SPACE):
            continue
        if index >= BATCH_MAX:
            raise BatchTooLarge(most=BATCH_MAX, given=body.count(b"\n") + 1)
        try:
            _ONE.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
            return _refusal(wrong, what="transfer", index=index, line=number)
        index += 1
    return None


def _refusal(
    wrong: Exception, *, what: str, index: int | None = None, line: int | None = None
) -> errors.Turned:
    """The decoder's complaint as a refusal that names the place."""
    place: dict[str, object] = {}
    if line is not None:
        place = {"line": line, "index": index}
    if not isinstance(wrong, msgspec.ValidationError):
        return errors.NotJson(reason=_reason(wrong), **place)
    message, path = str(wrong), ""
    if at := _AT.fullmatch(message):
        message, path = at["what"], at["path"]
    steps = [found[1] or found[2] for found in _STEP.finditer(path)]
    if index is None and (counted := next((step for step in steps if step.isdigit()), None)) is not None:
        place = {"index": int(counted)}
    names = [step for step in steps if not step.isdigit() and step not in ("...", "transfers")]
    if missing := _MISSING.fullmatch(message):
        names, expected = [missing["field"]], "given"
    elif unknown := _UNKNOWN.fullmatch(message):
        names, expected = [unknown["field"][:80]], "left out: there is no such field"
    else:
        expected = _expected(message)
    where = f"line {line}" if line is not None else f"{what} {place['index']}" if place else what
    return errors.RequestMalformed(
        where=where, field=".".join(names) if names else what, expected=expected, **place
    )


def _expected(message: str) -> str:
    """ "Expected `int | null`, got `str`" as an expectation: "int or left out"."""
    found = _EXPECTED.fullmatch(message)
    text = (found["expected"] if found else message).replace("`", "")
    return text.replace(" | null", " or left out").strip()[:200]


def _reason(wrong: Exception) -> str:
    if isinstance(wrong, RecursionError):
        return "it is nested too deeply"
    if isinstance(wrong, UnicodeDecodeError):
        return "it is not UTF-8"
    return str(wrong).removeprefix("JSON is malformed: ")[:200]

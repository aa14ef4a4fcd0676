"""The OpenAPI document: every address, what it takes and gives, from the code that serves it.

The ordinary addresses describe themselves; the two that post are described from the structures that their
decoder and encoder use, so that neither can say anything else than what is done.
"""

from __future__ import annotations

import collections
import copy
import functools
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from ninja import NinjaAPI
from pydantic import BaseModel

from tallystick import __version__
from tallystick.api import bodies, posting, problems
from tallystick.custody import codes, numbers, transfers
from tallystick.custody.transfers import BATCH_MAX, TransferRequest

PREFIX = "/api/v1"

Json = dict[str, Any]

_ABOUT = """
Hold customers' money: books, accounts, transfers, authorisations, and any past state of them.

Send an API token (`Authorization: Bearer tly_…`), or use the session of a signed-in browser with its CSRF
token (`X-CSRFToken`). Amounts are whole minor units of an asset; read them as 64-bit integers. Times are
RFC 3339 with their zone. Whatever is no success is a problem (RFC 9457, `application/problem+json`), told
in the language of `Accept-Language` (en, zh-Hans). 400 means that the request does not have the form given
here, 422 that it breaks a rule which a form cannot say, 409 that the rules of the ledger refuse it in this
state. Query parameters that are not listed are refused, so that a misspelled one is never ignored.
"""

_TRANSFER_ID = (
    "^(trf_)?(?!00000000-?0000-?0000-?0000-?000000000000)"
    "[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$"
)
_ACCOUNT = r"^acc_(?!000)[0-8][0-9]{2}[1-4][0-9]{14}$"
_AUTHORISATION = "^ath_[0-9]{17}[1-4]$"
_TEXT = "^[^\\u0000-\\u001f\\u007f]*$"

_ACCOUNTS = ("debit_account", "credit_account")
_ALWAYS = (
    "id",
    "linked",
    "at",
    "value_date",
    "reference",
    "payee",
    "reason",
    "metadata",
    "authorisation",
    "code",
)
_FORMS: tuple[tuple[str, str, str, tuple[str, ...], tuple[str, ...]], ...] = (
    # Name, kind, what it is; needed, and allowed beside what always is.
    (
        "PostedTransfer",
        "posted",
        "Moves an amount at once. With `reverses_id` it takes one back, and needs a reason.",
        ("code", *_ACCOUNTS, "amount_minor"),
        ("balancing", "reverses_id"),
    ),
    (
        "PendingTransfer",
        "pending",
        "Holds an amount until it is posted or voided, or until it expires.",
        ("kind", "code", *_ACCOUNTS, "amount_minor"),
        ("balancing", "expires_at"),
    ),
    (
        "PostPending",
        "post_pending",
        "Posts a pending transfer, the whole of it or the part given; what is left is let go.",
        ("kind", "pending_id"),
        (*_ACCOUNTS, "amount_minor"),
    ),
    (
        "VoidPending",
        "void_pending",
        "Lets go of all that a pending transfer holds.",
        ("kind", "pending_id"),
        _ACCOUNTS,
    ),
)


def document(api: NinjaAPI) -> Json:
    """The whole document. The same for every caller, so it is made once."""
    return _document(api)


@functools.cache
def _document(api: NinjaAPI) -> Json:
    generated: Json = copy.deepcopy(dict(api.get_openapi_schema(path_prefix="")))
    schemas: Json = generated["components"]["schemas"]
    added = _components()
    assert not schemas.keys() & added.keys(), "what is described by hand has names of its own"
    schemas.update(added)
    paths: Json = generated["paths"]
    for place, operations in _posting_paths().items():
        paths.setdefault(place, {}).update(operations)
    for operations in paths.values():
        for operation in operations.values():
            _complete(operation)
    for schema in schemas.values():
        _tidied(schema)
    schemas = _named(paths, schemas)
    _require_distinct(schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tallystick",
            "version": __version__,
            "description": _ABOUT.strip(),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": PREFIX}],
        "security": [{"token": []}, {"session": []}],
        "tags": [
            {"name": name}
            for name in ("Transfers", "Accounts", "Authorisations", "Books and assets", "Me", "This document")
        ],
        "paths": dict(sorted(paths.items())),
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "tallystick identity api-token issue",
                },
                "session": {"type": "apiKey", "in": "cookie", "name": "__Host-session"},
            },
            "responses": {"Problem": _problem_response()},
            "schemas": dict(sorted(schemas.items())),
        },
    }


def _complete(operation: Json) -> None:
    """What all operations have in common."""
    # The generator writes the module before the function's name.
    operation["operationId"] = re.sub(r"^tallystick_api_[a-z]+_", "", operation["operationId"])
    for status in ("4XX", "5XX"):
        operation["responses"][status] = {"$ref": "#/components/responses/Problem"}
    operation["responses"] = {str(status): response for status, response in operation["responses"].items()}
    for parameter in operation.get("parameters", ()):
        _tidied(parameter)
        if not parameter["required"]:
            # In an address a parameter is there or not there; there is no null.
            parameter["schema"] = _without_null(parameter["schema"])
    if operation["responses"].keys() & {"200", "201"}:
        for response in operation["responses"].values():
            for content in response.get("content", {}).values():
                _tidied(content)


def _components() -> Json:
    (request, batch, accepted, refused, problem), components = msgspec.json.schema_components(
        [TransferRequest, posting.BatchAnswer, posting.Accepted, posting.Refused, problems.Problem],
        # An empty schema would pass for none.
        schema_hook=lambda _: {"title": "anything"},
        ref_template="#/components/schemas/{name}",
    )
    assert all("$ref" in each for each in (request, batch, accepted, refused, problem))
    whole = components.pop("TransferRequest")
    fields: Json = whole["properties"]
    # Told here as the decoder checks it after the form.
    for name in ("id", "pending_id", "reverses_id"):
        fields[name] = {"type": "string", "pattern": _TRANSFER_ID}
    for name in _ACCOUNTS:
        fields[name] = {"type": "string", "pattern": _ACCOUNT}
    fields["authorisation"] = {"type": "string", "pattern": _AUTHORISATION}
    fields["code"] = {"type": "string", "enum": list(codes.BY_TEXT)}
    for name, most in (("reference", 140), ("payee", 140), ("reason", 500)):
        fields[name] = {"type": "string", "minLength": 1, "maxLength": most, "pattern": _TEXT}
    fields["metadata"] = {
        "type": "object",
        "description": f"any JSON object of at most {transfers.METADATA_MAX} characters, without U+0000",
    }
    for name in ("at", "expires_at"):
        fields[name] = {"type": "string", "format": "date-time", "description": "with its zone, 1990 to 2199"}
    fields["value_date"] = {"type": "string", "format": "date", "description": "1990 to 2199"}
    fields["balancing"] = {
        "type": "string",
        "enum": ["debit", "credit"],
        "description": "as much as this side allows, up to amount_minor",
    }
    fields["amount_minor"] = {
        key: value for key, value in _without_null(fields["amount_minor"]).items() if key != "default"
    }
    fields["linked"] = {
        "type": "boolean",
        "default": False,
        "description": "chained to the next: all or none",
    }
    for name, kind, about, needed, allowed in _FORMS:
        told = {each: fields[each] for each in ("id", *needed, *allowed, *_ALWAYS) if each != "kind"}
        # Null is the same as left out, in fields of other forms too.
        given = (*needed, "id", "linked", "kind")
        told = {each: told[each] if each in given else _or_null(told[each]) for each in told}
        told |= {each: {"type": "null"} for each in fields if each not in told and each != "kind"}
        components[name] = {
            "title": name,
            "type": "object",
            "description": about,
            "properties": {"kind": {"const": kind}, **told},
            "required": ["id", *needed],
            "additionalProperties": False,
        }
    components["TransferRequest"] = {
        "title": "TransferRequest",
        "description": "A transfer as it is asked for. `id` is a UUID of the caller's choice, best version 7.",
        "oneOf": [{"$ref": f"#/components/schemas/{name}"} for name, *_ in _FORMS],
    }
    components["TransferRequests"] = {
        "type": "array",
        "items": {"$ref": "#/components/schemas/TransferRequest"},
        "minItems": 1,
        "maxItems": BATCH_MAX,
    }
    return dict(components)


def _posting_paths() -> Json:
    book = {
        "in": "path",
        "name": "book",
        "required": True,
        "schema": {"type": "integer", "minimum": 1, "maximum": numbers.BOOK_MAX},
    }
    many = {"$ref": "#/components/schemas/TransferRequests"}
    line = {"$ref": "#/components/schemas/TransferRequest"}
    enveloped = {
        "type": "object",
        "properties": {"transfers": many},
        "required": ["transfers"],
        "additionalProperties": False,
    }
    accepted = {"$ref": "#/components/schemas/Accepted"}
    result = {"anyOf": [accepted, {"$ref": "#/components/schemas/Refused"}]}
    return {
        "/books/{book}/transfers": {
            "post": {
                "operationId": "post_batch",
                "tags": ["Transfers"],
                "summary": "Post many transfers",
                "description": posting.post_batch.__doc__,
                "parameters": [book],
                "requestBody": {
                    "required": True,
                    "content": {
                        bodies.JSON: {"schema": {"anyOf": [many, enveloped]}},
                        bodies.NDJSON: {"schema": many, "itemSchema": line},
                    },
                },
                "responses": {
                    "200": {
                        "description": "Each transfer's result, in their order.",
                        "content": {
                            bodies.JSON: {"schema": {"$ref": "#/components/schemas/BatchAnswer"}},
                            bodies.NDJSON: {"schema": {"type": "string"}, "itemSchema": result},
                        },
                    }
                },
            }
        },
        "/books/{book}/transfer": {
            "post": {
                "operationId": "post_one",
                "tags": ["Transfers"],
                "summary": "Post one transfer",
                "description": posting.post_one.__doc__,
                "parameters": [copy.deepcopy(book)],
                "requestBody": {"required": True, "content": {bodies.JSON: {"schema": line}}},
                "responses": {
                    "201": {"description": "Posted.", "content": {bodies.JSON: {"schema": accepted}}},
                    "200": {
                        "description": "It had been posted before, by this id and with this content.",
                        "content": {bodies.JSON: {"schema": accepted}},
                    },
                },
            }
        },
    }


def _named(paths: Json, schemas: Json) -> Json:
    """The forms that an address names, and those that these name. (Query parameters are told one by one.)"""
    found: set[str] = {"Problem"}
    wanted = _references(paths) | found
    while wanted:
        found |= wanted
        wanted = {inner for name in wanted for inner in _references(schemas[name])} - found
    return {name: schema for name, schema in schemas.items() if name in found}


def _require_distinct(schemas: Json) -> None:
    """The generator keeps one form of each name: of two, whichever it met last would tell of both."""
    named = collections.Counter(kind.__name__ for kind in _kinds(BaseModel))
    twice = {name for name in schemas if named[name] > 1}
    assert not twice, f"two models share a name: {twice}"


def _kinds(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Every model of ours that is derived from this one."""
    for kind in base.__subclasses__():
        if kind.__module__.startswith("tallystick.api."):
            yield kind
        yield from _kinds(kind)


def _references(part: object) -> set[str]:
    return set(re.findall(r'"#/components/schemas/([A-Za-z]+)"', json.dumps(part)))


def _problem_response() -> Json:
    return {
        "description": "What was refused or went wrong, and where (RFC 9457).",
        "headers": {
            "Retry-After": {"description": "with 429 and 503: seconds", "schema": {"type": "string"}},
        },
        "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _or_null(schema: Json) -> Json:
    nullable = {**schema, "type": [schema["type"], "null"]}
    return {**nullable, "enum": [*schema["enum"], None]} if "enum" in schema else nullable


def _without_null(schema: Json) -> Json:
    """A schema of something that is left out rather than null."""
    some = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    if "anyOf" in schema and len(some) == 1:
        return {**some[0], **rest}
    return schema if schema.get("default", 0) is not None else rest


def _tidied(schema: object) -> None:
    """Without the titles that a generator makes of names."""
    if isinstance(schema, dict):
        for name, inner in schema.items():
            if name == "properties":
                for each in inner.values():
                    if isinstance(each, dict) and isinstance(each.get("title"), str):
                        del each["title"]
            _tidied(inner)
        if "in" in schema and isinstance(schema.get("schema"), dict):
            schema["schema"].pop("title", None)
    elif isinstance(schema, list):
        for inner in schema:
            _tidied(inner)

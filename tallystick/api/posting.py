"""Posting: the two addresses that move money, as plain views at the speed of their decoder.

Promises: the whole call is well formed or nothing of it is posted; then each transfer has its own result,
told only after the commit; asked again with the same ids, the same results come back, marked as replayed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext

from tallystick.api import bodies, door, problems
from tallystick.core.db import APP
from tallystick.custody import books, ledger, transfers
from tallystick.custody.errors import TRANSFER_REFUSALS
from tallystick.custody.numbers import BookId
from tallystick.custody.transfers import TransferRequest

JSON, NDJSON = bodies.JSON, bodies.NDJSON

_Total = Annotated[int, msgspec.Meta(ge=0)]


class Totals(msgspec.Struct, frozen=True, gc=False):
    """An account's totals right after a transfer, in minor units."""

    debits_posted_minor: _Total
    credits_posted_minor: _Total
    debits_pending_minor: _Total
    credits_pending_minor: _Total


class Accepted(msgspec.Struct, frozen=True, gc=False, tag_field="result", tag="accepted"):
    """A transfer that stands in the book. replayed: it already did before this call."""

    id: str
    position: Annotated[int, msgspec.Meta(ge=1)]
    amount_minor: Annotated[int, msgspec.Meta(ge=0)]
    recorded_at: datetime
    replayed: bool
    debit_after: Totals
    credit_after: Totals


class Refused(msgspec.Struct, frozen=True, gc=False, tag_field="result", tag="refused"):
    """A transfer that was turned down, for good: another one needs another id."""

    id: str
    code: str
    message: str
    replayed: bool


class BatchAnswer(msgspec.Struct, frozen=True):
    """The results, in the order of the transfers, and how many there are of each."""

    book: int
    accepted: int
    refused: int
    replayed: int
    results: list[Accepted | Refused]


_ENCODER = msgspec.json.Encoder()


def post_batch(request: HttpRequest, book: int) -> HttpResponse:
    """Post 1 to 10,000 transfers in this order; each gets its own result. All-or-none only within a chain."""
    _require_book(book)
    requested = bodies.batch(request.body, request.content_type or "")
    batch = transfers.columns(requested)
    results = ledger.post(APP, BookId(book), batch, actor=door.actor(request), now=timezone.now())
    told = answers(requested, results)
    if _wants_lines(request):
        return HttpResponse(_ENCODER.encode_lines(told), content_type=NDJSON)
    accepted = results.accepted
    answer = BatchAnswer(
        book=book,
        accepted=accepted,
        refused=len(told) - accepted,
        replayed=int(results.replayed.sum()),
        results=told,
    )
    return HttpResponse(_ENCODER.encode(answer), content_type=JSON)


def post_one(request: HttpRequest, book: int) -> HttpResponse:
    """Post one transfer; callers who ask at the same time share a commit. A refusal is a problem, 409."""
    _require_book(book)
    requested = [bodies.one(request.body)]
    batch = transfers.columns(requested)
    results = ledger.post(APP, BookId(book), batch, actor=door.actor(request), now=timezone.now())
    told = answers(requested, results)[0]
    if isinstance(told, Refused):
        refusal = TRANSFER_REFUSALS[int(results.refusal[0]) - 1]
        return problems.answer(request, refusal(), id=told.id, replayed=told.replayed)
    return HttpResponse(_ENCODER.encode(told), status=200 if told.replayed else 201, content_type=JSON)


def answers(requested: Sequence[TransferRequest], results: ledger.Results) -> list[Accepted | Refused]:
    """Each transfer's result, with the id as its caller wrote it and a refusal's message in their language."""
    moments: dict[int, datetime] = {}
    messages: dict[int, tuple[str, str]] = {}
    told: list[Accepted | Refused] = []
    rows = zip(
        requested,
        results.refusal.tolist(),
        results.replayed.tolist(),
        results.position.tolist(),
        results.amount.tolist(),
        results.recorded_at.tolist(),
        results.after.tolist(),
        strict=True,
    )
    for asked, refusal, replayed, position, amount, recorded_at, (debit, credit) in rows:
        if refusal:
            if refusal not in messages:
                kind = TRANSFER_REFUSALS[refusal - 1]
                messages[refusal] = (kind.code, gettext(kind.template()))
            told.append(Refused(asked.id, *messages[refusal], replayed))
            continue
        # A batch shares one moment; replayed transfers bring their own.
        moment = moments.get(recorded_at)
        if moment is None:
            moment = moments[recorded_at] = transfers.moment(recorded_at)
        told.append(Accepted(asked.id, position, amount, moment, replayed, Totals(*debit), Totals(*credit)))
    return told


_books: set[tuple[str, int]] = set()


def _require_book(book: int) -> None:
    """Raises `errors.BookUnknown`. A book that is there stays, so one that was found is not looked for again."""
    known = (str(connections[APP].settings_dict["NAME"]), book)
    if known not in _books:
        books.book(APP, book)
        _books.add(known)


def _wants_lines(request: HttpRequest) -> bool:
    """Whether lines are accepted and JSON is not, or is liked less."""
    preferred = request.get_preferred_type([JSON, NDJSON])
    return preferred == NDJSON

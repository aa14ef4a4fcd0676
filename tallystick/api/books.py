"""Books and assets: open, define, list; and the state of a whole book."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Status
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from tallystick.api import door, errors, reach, words
from tallystick.core.db import APP
from tallystick.custody import assets, books, history, numbers

router = Router(tags=["Books and assets"])


class Book(BaseModel):
    """One platform's client money in one place."""

    id: int
    name: str
    time_zone: str
    opened_at: datetime
    opened_by: str


class BookState(Book):
    """A book and how far it has come. Position 0 and no time: nothing has been posted yet."""

    position: int
    recorded_at: datetime | None


class Books(BaseModel):
    """Every book, by number."""

    books: list[Book]


class NewBook(words.Body):
    """A book to open."""

    id: Annotated[int, Field(ge=1, le=numbers.BOOK_MAX)]
    name: Annotated[str, Field(min_length=1, max_length=120)]
    time_zone: Annotated[str, Field(max_length=64, examples=["Asia/Shanghai"])] = "Asia/Shanghai"


class Asset(BaseModel):
    """What is held. Amounts are whole units of 10 to the minus `scale`."""

    number: int
    code: str
    scale: int
    name: str


class Assets(BaseModel):
    """Every asset, by number."""

    assets: list[Asset]


class NewAsset(words.Body):
    """An asset to define. A currency of ISO 4217 has the number and scale of the standard."""

    number: Annotated[int, Field(ge=0, le=numbers.ASSET_MAX)]
    code: words.AssetCode
    scale: Annotated[int, Field(ge=0, le=assets.SCALE_MAX)]
    name: Annotated[str, Field(min_length=1, max_length=120)]


class Total(BaseModel):
    """What a family holds of an asset. accounts: how many of it had moved."""

    family: words.FamilyName
    asset: str
    scale: int
    accounts: int
    debits_posted_minor: int
    credits_posted_minor: int
    debits_pending_minor: int
    credits_pending_minor: int
    balance_minor: int


class Difference(BaseModel):
    """Debits less credits of an asset: 0 in a sound book."""

    asset: str
    difference_minor: int


class TrialBalance(BaseModel):
    """The totals of a book as of a position, which must agree."""

    book: int
    position: int
    totals: list[Total]
    differences: list[Difference]


@router.get("/books", response=Books, summary="List the books")
def list_books(request: HttpRequest) -> object:
    reach.ledger(APP, actor=door.actor(request))
    return {"books": [_book(each) for each in books.books(APP)]}


@router.post("/books", response={201: Book}, summary="Open a book")
def open_book(request: HttpRequest, payload: NewBook) -> object:
    opened = books.open_book(
        APP, payload.id, payload.name, payload.time_zone, actor=door.actor(request), now=timezone.now()
    )
    return Status(201, _book(opened))


@router.get("/books/{book}", response=BookState, summary="A book, and its last position")
def show_book(request: HttpRequest, book: words.BookNumber) -> object:
    reach.ledger(APP, actor=door.actor(request))
    head = books.head(APP, book)
    found = _book(books.book(APP, book))
    return {**found, "position": head.position, "recorded_at": head.recorded_at}


@router.get(
    "/books/{book}/trial-balance", response=TrialBalance, summary="Trial balance, now or as of a past state"
)
def trial_balance(request: HttpRequest, book: words.BookNumber, query: Query[words.AsOf]) -> object:
    reach.ledger(APP, actor=door.actor(request))
    position = history.as_of(APP, book, **query.state)
    totals = history.totals(APP, book, at_position=position)
    return {
        "book": book,
        "position": position,
        "totals": [
            {
                "family": each.family.name.lower(),
                "asset": each.asset,
                "scale": each.scale,
                "accounts": each.accounts,
                "debits_posted_minor": each.debits_posted,
                "credits_posted_minor": each.credits_posted,
                "debits_pending_minor": each.debits_pending,
                "credits_pending_minor": each.credits_pending,
                "balance_minor": each.balance_minor,
            }
            for each in totals
        ],
        "differences": [
            {"asset": asset, "difference_minor": left} for asset, left in history.difference(totals).items()
        ],
    }


@router.get("/assets", response=Assets, summary="List the assets")
def list_assets(request: HttpRequest) -> object:
    reach.ledger(APP, actor=door.actor(request))
    return {"assets": [_asset(each) for each in assets.assets(APP)]}


@router.post("/assets", response={201: Asset}, summary="Define an asset")
def define_asset(request: HttpRequest, payload: NewAsset) -> object:
    defined = assets.define(
        APP,
        payload.number,
        payload.code,
        payload.scale,
        payload.name,
        actor=door.actor(request),
        now=timezone.now(),
    )
    return Status(201, _asset(defined))


def _book(book: books.Book) -> dict[str, object]:
    return {
        "id": book.id,
        "name": book.name,
        "time_zone": book.time_zone,
        "opened_at": book.opened_at,
        "opened_by": book.opened_by,
    }


def _asset(asset: assets.Asset) -> dict[str, object]:
    return {"number": asset.number, "code": asset.code, "scale": asset.scale, "name": asset.name}


_NUMBER: TypeAdapter[int] = TypeAdapter(words.BookNumber)


def number(text: str) -> int:
    """The book in an address. Raises `errors.RequestMalformed`."""
    try:
        return _NUMBER.validate_python(text)
    except ValidationError:
        raise errors.RequestMalformed(
            where="path", field="book", expected=f"a whole number from 1 to {numbers.BOOK_MAX}"
        ) from None

"""The words of the API: the forms that every address uses, each with its bounds, told once.

Bodies are pydantic models that take nothing loosely: no number in quotes, no unknown field.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from tallystick.core.money import AMOUNT_MAX, BALANCE_MAX
from tallystick.custody import accounts, codes, errors, numbers
from tallystick.custody.models import AccountStatus
from tallystick.custody.numbers import AccountNumber, AuthorisationNumber, BookId, Family

LIMIT_MAX = 1000
"""The most rows of one page."""

_DIGITS = re.compile(r"0|[1-9][0-9]{0,18}")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9:]{8}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_DAY = r"^(199[0-9]|20[0-9]{2}|21[0-9]{2})-[0-9]{2}-[0-9]{2}$"
_EARLIEST, _LATEST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def _number(given: object) -> object:
    # An address holds text. Only plain digits are a number: no sign, no space, no "1.0", no "1_000".
    if isinstance(given, str):
        if _DIGITS.fullmatch(given) is None:
            raise ValueError("must be a whole number in plain digits")
        return int(given)
    return given


def _moment(given: object) -> object:
    if isinstance(given, datetime):
        return given
    if isinstance(given, str) and _MOMENT.fullmatch(given):
        # A fraction finer than a microsecond is cut, not rounded: nothing is recorded in between.
        found = datetime.fromisoformat(re.sub(r"(\.[0-9]{6})[0-9]+", r"\1", given.upper()))
        if _EARLIEST <= found < _LATEST:
            return found
    raise ValueError("must be a time with its zone between 1990 and 2200, such as 2026-03-01T09:30:00+08:00")


def _day(given: object) -> object:
    """Only the plain form: no time, no number of seconds."""
    if isinstance(given, str) and re.fullmatch(_DAY[1:-1], given):
        return date.fromisoformat(given)
    raise ValueError("must be a day between 1990 and 2199, such as 2026-03-01")


def _code(given: str) -> str:
    if given not in codes.BY_TEXT:
        raise ValueError(f"must be one of {', '.join(codes.BY_TEXT)}")
    return given


BookNumber = Annotated[int, Field(ge=1, le=numbers.BOOK_MAX), BeforeValidator(_number)]
Position = Annotated[int, Field(ge=0, le=2**63 - 1), BeforeValidator(_number)]
AccountId = Annotated[str, Field(pattern="^acc_[0-9]{18}$", examples=["acc_001101560000000001"])]
AuthorisationId = Annotated[str, Field(pattern="^ath_[0-9]{18}$", examples=["ath_000000000100000011"])]
TransferId = Annotated[
    str,
    Field(
        pattern="^(trf_)?[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$",
        examples=["trf_01930b5e-5a10-7c3e-8f4a-6b1f2d3c4e5f"],
    ),
]
Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    Field(
        description="RFC 3339 with its zone, between 1990 and 2200",
        json_schema_extra={"type": "string", "format": "date-time"},
    ),
]
Day = Annotated[
    date,
    BeforeValidator(_day, json_schema_input_type=str),
    Field(json_schema_extra={"type": "string", "format": "date", "pattern": _DAY}),
]
ApprovalId = Annotated[str, Field(pattern="^apr_[0-9]{1,18}$", examples=["apr_1"])]
AssetCode = Annotated[str, Field(pattern="^[A-Z][A-Z0-9]{2,11}$", examples=["CNY"])]
Amount = Annotated[int, Field(ge=1, le=AMOUNT_MAX, description="whole minor units of the asset")]
Limit_ = Annotated[int, Field(ge=0, le=BALANCE_MAX)]
FamilyName = Literal["client", "own", "external", "suspense"]
StatusName = Literal["open", "debits_frozen", "credits_frozen", "frozen", "closed"]
CodeName = Annotated[str, AfterValidator(_code), Field(json_schema_extra={"enum": list(codes.BY_TEXT)})]
Reason = Annotated[str, Field(min_length=1, max_length=500)]

assert set(StatusName.__args__) == set(AccountStatus.values)  # type: ignore[attr-defined]


class Body(BaseModel):
    """What is sent: nothing loosely, and nothing unknown."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Proposed(BaseModel):
    """The proposal that waits for a second person."""

    approval: ApprovalId


class AsOf(BaseModel):
    """A past state, by position or by time; neither: now."""

    at_position: Position | None = Field(None, description="the state after this position of the book")
    at_time: Moment | None = Field(None, description="the state at this time; not together with at_position")

    @property
    def state(self) -> dict[str, Any]:
        """For reads that take a past state. Raises `errors.Malformed` where it is named twice."""
        if self.at_position is not None and self.at_time is not None:
            raise errors.Malformed(
                where="query", field="at_time", expected="left out where at_position is given"
            )
        return {"at_position": self.at_position, "at_time": self.at_time}


class Page(BaseModel):
    """Where a page begins, and how long it is."""

    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX), BeforeValidator(_number)] = Field(
        100, description="the most rows of the page"
    )


class PositionPage(Page):
    """A page in the order of positions."""

    after: Position = Field(0, description="go on after this position: the last page's `next_after`")
    to_position: Position | None = Field(
        None, description="nothing after this position; send the first page's back for one state throughout"
    )


def family(name: str) -> Family:
    """The family of this word."""
    return Family[name.upper()]


def account(text: str) -> AccountNumber:
    """The number in an address's `acc_…`. One that cannot be is as unknown as one that is not."""
    return accounts.number(text)


def accounts_of(book: int, texts: Sequence[str]) -> list[AccountNumber]:
    """The numbers of a list of `acc_…`, all of one book. Raises `errors.Malformed` for one that is not."""
    found = []
    for i, text in enumerate(texts):
        number = account(text)
        if numbers.book_of(number) != book:
            raise errors.Malformed(where=f"account {i}", field="accounts", expected=f"of book {book}")
        found.append(number)
    return found


def authorisation(text: str) -> AuthorisationNumber:
    """The number in an address's `ath_…`."""
    try:
        return numbers.parse_authorisation(text)
    except ValueError:
        raise errors.AuthorisationNotFound(authorisation=text) from None


def approval(text: str) -> int:
    """The number in an address's `apr_…`, whose form was checked before."""
    number = numbers.row_number(text, "apr_")
    assert number is not None, "the form of an address is checked before"
    return number


def book_id(number: int) -> BookId:
    return BookId(number)

"""A transfer as it is asked for: one request, or a batch of them as columns.

Promises: what is here is well formed (types, ranges, lengths, known words); whether it may be posted is
the judge's to say. Columns, because a batch of thousands is then checked, encoded and sent at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import msgspec
import numpy as np
from numpy.typing import NDArray

from tallystick.core.money import AMOUNT_MAX
from tallystick.custody import codes, errors, numbers
from tallystick.custody.models import TransferKind

BATCH_MAX = 10_000
"""The most transfers of one call."""

Kind = Literal["posted", "pending", "post_pending", "void_pending"]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
ShortText = Annotated[str, msgspec.Meta(min_length=1, max_length=140, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
AccountText = Annotated[str, msgspec.Meta(pattern=r"^acc_[0-9]{18}$")]
AuthorisationText = Annotated[str, msgspec.Meta(pattern=r"^ath_[0-9]{18}$")]
Minor = Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_MAX)]

METADATA_MAX = 4_000
"""The most characters of a transfer's metadata as JSON."""

KINDS = {label: value for value, label in TransferKind.choices}

CODES = ", ".join(codes.BY_TEXT)
NO_ID = bytes(16)

_BALANCING = {None: 0, "debit": 1, "credit": 2}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)
_TRANSFER = re.compile(r"^(?:trf_)?([0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12})$")


class TransferRequest(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One transfer as a caller writes it. `id` is a UUID, best version 7, with or without `trf_`.

    To settle a pending transfer, `kind` says how, `pending_id` which; accounts may be left out, and the
    amount too where all of it is meant.
    """

    id: str
    kind: Kind = "posted"
    debit_account: AccountText | None = None
    credit_account: AccountText | None = None
    amount_minor: Minor | None = None
    code: str | None = None
    authorisation: AuthorisationText | None = None
    pending_id: str | None = None
    reverses_id: str | None = None
    linked: bool = False
    balancing: Literal["debit", "credit"] | None = None
    expires_at: datetime | None = None
    at: datetime | None = None
    value_date: date | None = None
    reference: ShortText | None = None
    payee: ShortText | None = None
    reason: Text | None = None
    metadata: dict[str, object] | None = None


Texts = Sequence[str | None] | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Transfers of one book as columns of one length; index i of every column is transfer i.

    ids, pending, reverses: 16 bytes a transfer (all zero: none). Times are microseconds since 1970 UTC
    (0: none given), value dates days since 1970 (0: none given). Accounts, authorisations: numbers
    (0: none). A text column that is None has no text at all.
    """

    ids: bytes
    kind: NDArray[np.int8]
    code: NDArray[np.int16]
    debit: NDArray[np.int64]
    credit: NDArray[np.int64]
    amount: NDArray[np.int64]
    authorisation: NDArray[np.int64]
    linked: NDArray[np.bool_]
    balancing: NDArray[np.int8]
    expires: NDArray[np.int64]
    at: NDArray[np.int64]
    value_date: NDArray[np.int32]
    pending: bytes | None = None
    reverses: bytes | None = None
    reference: Texts = None
    payee: Texts = None
    reason: Texts = None
    metadata: Texts = None

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def id_list(self) -> list[bytes]:
        return sixteens(self.ids)


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 UTC, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(microseconds_: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds_)


def day_number(day: date) -> int:
    """Days since 1970."""
    return day.toordinal() - _EPOCH.toordinal()


def sixteens(joined: bytes) -> list[bytes]:
    """The 16-byte ids in a column of them."""
    return [joined[i : i + 16] for i in range(0, len(joined), 16)]


def parse_id(text: str) -> bytes:
    """The 16 bytes of a transfer id. Raises `ValueError` where it is none."""
    found = _TRANSFER.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a transfer id")
    raw = bytes.fromhex(found[1].replace("-", ""))
    if raw == NO_ID:
        raise ValueError("the zero id names nothing")
    return raw


def id_text(raw: bytes) -> str:
    """`trf_` and the UUID."""
    return f"trf_{UUID(bytes=raw)}"


class Row(NamedTuple):
    """One well-formed transfer, its fields as `Batch` has them in columns."""

    id: bytes
    kind: int
    code: int
    debit: int
    credit: int
    amount: int
    authorisation: int
    linked: bool
    balancing: int
    expires: int
    at: int
    value_date: int
    pending: bytes
    reverses: bytes
    reference: str | None
    payee: str | None
    reason: str | None
    metadata: str | None

    def __len__(self) -> int:
        """How many transfers: a row stands where a batch could."""
        return 1


def row(request: TransferRequest, index: int = 0) -> Row:
    """The request, checked. Raises `errors.Malformed` naming the index, the field and what was expected."""
    settles = request.kind in ("post_pending", "void_pending")
    code = debit = credit = authorisation = expires = at = value_date = 0
    pending = reverses = NO_ID
    metadata: str | None = None
    try:
        field, expected = "id", "a UUID, best version 7"
        transfer_id = parse_id(request.id)
        if request.code is not None or not settles:
            field, expected = "code", f"one of {CODES}"
            code = codes.BY_TEXT[request.code or ""]
        field, expected = "debit_account", "acc_ and 18 digits"
        if request.debit_account is not None or not settles:
            debit = numbers.parse_account(request.debit_account or "")
        field = "credit_account"
        if request.credit_account is not None or not settles:
            credit = numbers.parse_account(request.credit_account or "")
        if request.authorisation is not None:
            field, expected = "authorisation", "ath_ and 18 digits"
            authorisation = numbers.parse_authorisation(request.authorisation)
        field, expected = "amount_minor", f"a whole number from 1 to {AMOUNT_MAX}"
        if request.amount_minor is None and not settles:
            raise ValueError
        if request.amount_minor is not None and request.kind == "void_pending":
            expected = "left out: a void releases all that is held"
            raise ValueError
        field, expected = "pending_id", "the id of a pending transfer"
        if (request.pending_id is not None) != settles:
            expected = expected if settles else "left out unless a pending transfer is settled"
            raise ValueError
        if request.pending_id is not None:
            pending = parse_id(request.pending_id)
        if request.reverses_id is not None:
            field, expected = "reverses_id", "the id of a posted transfer, for kind posted only"
            if request.kind != "posted":
                raise ValueError
            reverses = parse_id(request.reverses_id)
        if request.balancing is not None and (settles or request.reverses_id is not None):
            field, expected = "balancing", "left out: only posted and pending transfers balance"
            raise ValueError
        if request.expires_at is not None:
            field, expected = (
                "expires_at",
                "a time with its zone, between 1990 and 2200, for kind pending only",
            )
            if request.kind != "pending":
                raise ValueError
            expires = _instant(request.expires_at)
        if request.at is not None:
            field, expected = "at", "a time with its zone, between 1990 and 2200"
            at = _instant(request.at)
        if request.value_date is not None:
            field, expected = "value_date", "a day between 1990 and 2200"
            if not 1990 <= request.value_date.year < 2200:
                raise ValueError
            value_date = day_number(request.value_date)
        if request.metadata is not None:
            field, expected = "metadata", f"a JSON object of at most {METADATA_MAX} characters"
            metadata = msgspec.json.encode(request.metadata).decode()
            # PostgreSQL's text holds no NUL, in whatever spelling.
            if len(metadata) > METADATA_MAX or "\\u0000" in metadata:
                raise ValueError
    except (ValueError, KeyError, OverflowError):
        raise errors.Malformed(where=f"transfer {index}", field=field, expected=expected) from None
    return Row(
        transfer_id,
        KINDS[request.kind],
        code,
        debit,
        credit,
        request.amount_minor or 0,
        authorisation,
        request.linked,
        _BALANCING[request.balancing],
        expires,
        at,
        value_date,
        pending,
        reverses,
        request.reference,
        request.payee,
        request.reason,
        metadata,
    )


def columns(requests: Sequence[TransferRequest]) -> Batch:
    """The requests as a batch. Raises `errors.Malformed` naming the index, the field and what was expected."""
    if not requests:
        raise errors.BatchEmpty
    if len(requests) > BATCH_MAX:
        raise errors.BatchTooLarge(most=BATCH_MAX, given=len(requests))
    return of_rows([row(request, index) for index, request in enumerate(requests)])


def of_rows(rows: Sequence[Row]) -> Batch:
    """The rows as a batch."""
    (
        ids, kind, code, debit, credit, amount, authorisation, linked, balancing, expires, at, value_date,
        pending, reverses, reference, payee, reason, metadata,
    ) = zip(*rows, strict=True)  # fmt: skip
    pending_ids, reverses_ids = b"".join(pending), b"".join(reverses)
    return Batch(
        ids=b"".join(ids),
        kind=np.array(kind, np.int8),
        code=np.array(code, np.int16),
        debit=np.array(debit, np.int64),
        credit=np.array(credit, np.int64),
        amount=np.array(amount, np.int64),
        authorisation=np.array(authorisation, np.int64),
        linked=np.array(linked, np.bool_),
        balancing=np.array(balancing, np.int8),
        expires=np.array(expires, np.int64),
        at=np.array(at, np.int64),
        value_date=np.array(value_date, np.int32),
        pending=pending_ids if pending_ids.strip(b"\0") else None,
        reverses=reverses_ids if reverses_ids.strip(b"\0") else None,
        reference=_texts(reference),
        payee=_texts(payee),
        reason=_texts(reason),
        metadata=_texts(metadata),
    )


def plain(
    ids: bytes,
    debit: NDArray[np.int64],
    credit: NDArray[np.int64],
    amount: NDArray[np.int64],
    code: int,
    authorisation: NDArray[np.int64] | None = None,
) -> Batch:
    """A batch of plain posted transfers from columns: for callers that have them."""
    count = len(debit)
    zeros = np.zeros(count, np.int64)
    return Batch(
        ids=ids,
        kind=np.full(count, TransferKind.POSTED, np.int8),
        code=np.full(count, code, np.int16),
        debit=debit,
        credit=credit,
        amount=amount,
        authorisation=zeros if authorisation is None else authorisation,
        linked=np.zeros(count, np.bool_),
        balancing=np.zeros(count, np.int8),
        expires=zeros,
        at=zeros,
        value_date=np.zeros(count, np.int32),
    )


def settling(batch: Batch, kind: TransferKind, pending: bytes) -> Batch:
    """The batch made to settle these pending transfers, all in one way."""
    return replace(batch, kind=np.full(len(batch), kind, np.int8), pending=pending)


def joined(batches: Sequence[Batch]) -> Batch:
    """Several batches as one, in their order."""
    if len(batches) == 1:
        return batches[0]
    arrays = {
        name: np.concatenate([getattr(batch, name) for batch in batches])
        for name in (
            "kind code debit credit amount authorisation linked balancing expires at value_date".split()
        )
    }
    texts = {
        name: _joined_texts([(getattr(batch, name), len(batch)) for batch in batches])
        for name in ("reference", "payee", "reason", "metadata")
    }
    blobs = {
        name: b"".join(getattr(batch, name) or bytes(16 * len(batch)) for batch in batches)
        if any(getattr(batch, name) for batch in batches)
        else None
        for name in ("pending", "reverses")
    }
    columns: dict[str, Any] = {**arrays, **texts, **blobs}
    return replace(batches[0], ids=b"".join(batch.ids for batch in batches), **columns)


def request_json(batch: Batch, i: int) -> str:
    """Transfer i as the caller wrote it, as JSON: what a refusal keeps."""
    return msgspec.json.encode(request_of(batch, i)).decode()


def request_of(batch: Batch, i: int) -> TransferRequest:
    """Transfer i of the batch as a request again."""

    def text(column: Texts) -> str | None:
        return None if column is None else column[i]

    def id_of(column: bytes | None) -> str | None:
        raw = b"" if column is None else column[16 * i : 16 * i + 16]
        return id_text(raw) if raw.strip(b"\0") else None

    kind = TransferKind(int(batch.kind[i])).label
    metadata = text(batch.metadata)
    return TransferRequest(
        id=id_text(batch.ids[16 * i : 16 * i + 16]),
        kind=kind,  # type: ignore[arg-type]
        debit_account=numbers.account_text(int(batch.debit[i])) if batch.debit[i] else None,
        credit_account=numbers.account_text(int(batch.credit[i])) if batch.credit[i] else None,
        amount_minor=int(batch.amount[i]) or None,
        code=codes.Code(int(batch.code[i])).text if batch.code[i] else None,
        authorisation=numbers.authorisation_text(int(batch.authorisation[i]))
        if batch.authorisation[i]
        else None,
        pending_id=id_of(batch.pending),
        reverses_id=id_of(batch.reverses),
        linked=bool(batch.linked[i]),
        balancing=(None, "debit", "credit")[int(batch.balancing[i])],
        expires_at=moment(int(batch.expires[i])) if batch.expires[i] else None,
        at=moment(int(batch.at[i])) if batch.at[i] else None,
        value_date=date.fromordinal(_EPOCH.toordinal() + int(batch.value_date[i]))
        if batch.value_date[i]
        else None,
        reference=text(batch.reference),
        payee=text(batch.payee),
        reason=text(batch.reason),
        metadata=None if metadata is None else msgspec.json.decode(metadata),
    )


def _instant(given: datetime) -> int:
    if given.tzinfo is None or not _EARLIEST <= given < _LATEST:
        raise ValueError
    return microseconds(given)


def _texts(column: Sequence[str | None]) -> Texts:
    return column if any(text is not None for text in column) else None


def _joined_texts(columns_: Iterable[tuple[Texts, int]]) -> Texts:
    parts = list(columns_)
    if all(column is None for column, _ in parts):
        return None
    whole: list[str | None] = []
    for column, count in parts:
        whole.extend([None] * count if column is None else column)
    return whole

"""Files of transfers and accounts: CSV and NDJSON in and out.

Promises: what cannot be read is told by its line and field before anything is posted; what is written can
be read by any program that knows CSV (RFC 4180) or JSON; a file of any length takes bounded memory.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from tallystick.custody import errors, history, numbers, transfers
from tallystick.custody.accounts import NewAccount
from tallystick.custody.transfers import TransferRequest

FORMATS = ("csv", "ndjson")

_FIELDS = tuple(field.name for field in msgspec.structs.fields(TransferRequest))
_PATH = re.compile(r"^(?P<expected>.*?)(?: - at `\$(?P<field>[^`]*)`)?$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(.+?)`")

ACCOUNT_COLUMNS = ("family", "asset", "owner", "name", "reference")

EXPORTED: dict[str, Callable[[history.Transfer], object]] = {
    "position": lambda each: each.position,
    "id": lambda each: each.id,
    "kind": lambda each: each.kind.label,
    "code": lambda each: each.code.text,
    "debit_account": lambda each: numbers.account_text(each.debit_account),
    "credit_account": lambda each: numbers.account_text(each.credit_account),
    "amount_minor": lambda each: each.amount_minor,
    "value_date": lambda each: each.value_date.isoformat(),
    "at": lambda each: each.at.isoformat(),
    "recorded_at": lambda each: each.recorded_at.isoformat(),
    "authorisation": lambda each: each.authorisation and numbers.authorisation_text(each.authorisation),
    "pending_position": lambda each: each.pending_position,
    "reverses_position": lambda each: each.reverses_position,
    "chain_position": lambda each: each.chain_position,
    "expires_at": lambda each: each.expires_at and each.expires_at.isoformat(),
    "reference": lambda each: each.reference,
    "payee": lambda each: each.payee,
    "reason": lambda each: each.reason,
    "metadata": lambda each: each.metadata,
}
"""The columns of an export, and where each comes from. Amounts are in minor units."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Transfers that are posted by one call, with the line of each."""

    lines: Sequence[int]
    requests: Sequence[TransferRequest]

    def checked(self) -> transfers.Batch:
        """As a batch; what is not well formed is told by its line."""
        try:
            return transfers.columns(self.requests)
        except errors.Malformed as malformed:
            index = re.fullmatch(r"transfer (\d+)", str(malformed.fields["where"]))
            if index is None:
                raise
            where = f"line {self.lines[int(index[1])]}"
            raise errors.Malformed(**{**malformed.fields, "where": where}) from None


def format_of(name: str, given: str | None) -> str | None:
    """The format given, or else the one that the file's name ends in; nothing where it tells none."""
    endings = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}
    return given or endings.get(Path(name).suffix.lower())


def chunks(file: Iterable[str], form: str, size: int) -> Iterator[Chunk]:
    """The file's transfers by `size`, a little more where a linked chain would be cut.

    Raises `errors.Malformed` naming line and field.
    """
    lines: list[int] = []
    requests: list[TransferRequest] = []
    for line, request in _requests(file, form):
        lines.append(line)
        requests.append(request)
        if len(requests) >= size and not request.linked:
            yield Chunk(lines, requests)
            lines, requests = [], []
        elif len(requests) > transfers.BATCH_MAX:
            raise errors.Malformed(
                where=f"line {line}",
                field="linked",
                expected=f"false somewhere: at most {transfers.BATCH_MAX}",
            )
    if requests:
        yield Chunk(lines, requests)


def accounts(file: Iterable[str]) -> list[NewAccount]:
    """The accounts to open that a CSV file names. Raises `errors.Malformed` naming line and field."""
    families = {family.name.lower(): family for family in numbers.Family}
    read = []
    for line, row in _csv(file, ACCOUNT_COLUMNS, ACCOUNT_COLUMNS):
        family = families.get(row["family"].lower())
        if family is None:
            raise errors.Malformed(
                where=f"line {line}", field="family", expected=f"one of {', '.join(families)}"
            )
        read.append(
            NewAccount(
                family=family,
                asset_code=row["asset"],
                owner=row["owner"],
                name=row["name"],
                reference=row["reference"],
            )
        )
    return read


def writer(file: IO[str], form: str) -> Callable[[history.Transfer], None]:
    """What writes transfers into the file, one by one; a CSV file gets its header now."""
    if form == "ndjson":

        def line(each: history.Transfer) -> None:
            told = {name: of(each) for name, of in EXPORTED.items() if of(each) is not None}
            if each.metadata is not None:
                told["metadata"] = json.loads(each.metadata)
            file.write(json.dumps(told, ensure_ascii=False) + "\n")

        return line
    rows = csv.writer(file)
    rows.writerow(EXPORTED)
    return lambda each: rows.writerow(
        ["" if (cell := of(each)) is None else cell for of in EXPORTED.values()]
    )


def _requests(file: Iterable[str], form: str) -> Iterator[tuple[int, TransferRequest]]:
    if form == "csv":
        for line, row in _csv(file, _FIELDS, ("id",)):
            given: dict[str, Any] = {name: cell for name, cell in row.items() if cell != ""}
            if "metadata" in given:
                given["metadata"] = _json(line, given["metadata"])
            yield line, _converted(line, given, strict=False)
        return
    for line, text in enumerate(file, 1):
        if text.strip():
            yield line, _converted(line, _json(line, text), strict=True)


def _json(line: int, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as broken:
        raise errors.Malformed(where=f"line {line}", field="line", expected=f"JSON ({broken})") from None


def _converted(line: int, given: Any, *, strict: bool) -> TransferRequest:
    # Out of CSV every cell is text, so "100" may stand for 100; in JSON a number is a number.
    try:
        return msgspec.convert(given, TransferRequest, strict=strict)
    except msgspec.ValidationError as wrong:
        field, expected = _told(str(wrong))
        raise errors.Malformed(where=f"line {line}", field=field, expected=expected) from None


def _told(message: str) -> tuple[str, str]:
    """Field and expectation out of msgspec's words."""
    found = _PATH.match(message)
    assert found is not None
    if missing := _MISSING.match(found["expected"]):
        return missing[1], "given"
    if unknown := _UNKNOWN.match(found["expected"]):
        return unknown[1], "left out: there is no such field"
    return (found["field"] or "").lstrip(".") or "line", found["expected"].removeprefix("Expected ")


def _csv(
    file: Iterable[str], known: Sequence[str], needed: Sequence[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    rows = csv.reader(file, strict=True)
    try:
        header = [cell.strip().removeprefix("\ufeff") for cell in next(rows, [])]
        for name in header:
            if name not in known or header.count(name) > 1:
                raise errors.Malformed(
                    where="line 1", field=name or "header", expected=f"once, of: {','.join(known)}"
                )
        for name in needed:
            if name not in header:
                raise errors.Malformed(
                    where="line 1", field="header", expected=f"a list of columns with {name}"
                )
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                raise errors.Malformed(
                    where=f"line {rows.line_num}",
                    field="line",
                    expected=f"{len(header)} fields, not {len(row)}",
                )
            yield rows.line_num, {name: cell.strip() for name, cell in zip(header, row, strict=True)}
    except (csv.Error, UnicodeDecodeError) as broken:
        raise errors.Malformed(
            where=f"line {rows.line_num}", field="line", expected=f"CSV in UTF-8 ({broken})"
        ) from None

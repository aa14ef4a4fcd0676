"""Statement files: taken in whole or refused whole, their bytes kept, each statement once.

Promises: a file is imported in one transaction or leaves nothing; its original bytes stay, in order, with
their SHA-256; the same file again gives the first result and changes nothing; a statement that came in
another file before is recognised and not booked twice; one that says something else under the same name
is refused; a gap in numbers or balances is told. A file of any size is read in little memory: it is read
twice, once to judge it and once to write it.
"""

from __future__ import annotations

import bisect
import hashlib
import io
import itertools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, BinaryIO

from django.db import connections, transaction

from tallystick.core.db import Db
from tallystick.core.errors import Refusal
from tallystick.custody import accounts, errors, numbers
from tallystick.custody import statement_writing as writing
from tallystick.custody.numbers import AccountNumber, Family
from tallystick.custody.statements import amounts, mapping
from tallystick.custody.statements import errors as reading
from tallystick.custody.statements import file as statement_file
from tallystick.custody.statements.mapping import Mapping
from tallystick.custody.statements.notes import NOTES_MAX, Note, note
from tallystick.custody.statements.rows import Statement
from tallystick.custody.statements.tally import Repeats
from tallystick.evidence import log
from tallystick.identity import access
from tallystick.identity.access import Actor

STATEMENT_LOCK = 1952541805
"""Class of the advisory lock under which a book's statements come in one after another."""

_KEPT_FIRST = frozenset({"number_gap", "balance_gap", "statement_known", "entry_repeated", "entry_known"})

Progress = Callable[[int, int], None]
"""Told bytes done and bytes in all, both readings of the file together."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file."""

    file: str
    """`stm_` and a number."""
    repeated: bool
    """The same bytes were imported before: nothing was written, this is the first result."""
    bank_account: AccountNumber
    format_name: str
    encoding: str
    sha256: bytes
    statements: int
    """New ones."""
    statements_known: int
    """Those that had come in another file before: their lines are not written again."""
    entries: int
    """Lines written."""
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class File:
    """A file that was imported."""

    id: str
    bank_account: AccountNumber
    name: str
    format_name: str
    source: str
    """`custodian` or `channel`."""
    encoding: str
    size_bytes: int
    sha256: bytes
    statements: int
    entries: int
    imported_at: datetime
    imported_by: str


@dataclass(frozen=True, slots=True)
class Held:
    """A custodian's statement that was imported, with both its balances: what a reconciliation stands on."""

    id: int
    file: str
    line: int
    account: str
    currency: str
    identification: str
    number: int | None
    page: int | None
    from_date: date | None
    to_date: date
    opening_minor: int
    closing_minor: int
    entries: int


@dataclass(frozen=True, slots=True)
class Told:
    """Whatever was imported: a statement, an interim report, a notification, a channel's settlement."""

    id: int
    file: str
    source: str
    """`custodian` or `channel`."""
    kind: str
    """`statement`, `interim`, `notification`, `settlement`: a movement may stand in several kinds."""
    line: int
    account: str
    currency: str
    identification: str
    number: int | None
    page: int | None
    from_date: date | None
    to_date: date
    opening_minor: int | None
    closing_minor: int | None
    entries: int


@dataclass(frozen=True, slots=True)
class HeldLine:
    """A line of an imported statement, and where it stands in the original."""

    id: int
    file: str
    line: int
    amount_minor: int
    booking_date: date
    value_date: date
    references: tuple[str, ...]
    remittance: str
    counterparty_name: str
    counterparty_account: str
    code: str
    reversal: bool
    gross_minor: int | None = None
    """Of a channel's line: what was paid; `amount_minor` is what is left of it after the fee."""
    fee_minor: int | None = None
    settlement: str = ""
    """Of a channel's line: the payout in which it comes to the bank."""


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────


def gaps(last: Told | None, first: Statement) -> list[Note]:
    """What is missing between the statements held and a new one: in numbers and in balances."""
    if last is None:
        return []
    notes = []
    same_year = first.to_date is not None and first.to_date.year == last.to_date.year
    if last.number and first.number and same_year and first.number > last.number + 1:
        notes.append(note(first.line, "number_gap", number=first.number, before=last.number))
    opening, closing = first.opening_minor, last.closing_minor
    # Interim reports of one day may all open with the balance of its morning.
    if first.kind == "statement" and None not in (opening, closing) and opening != closing:
        notes.append(note(first.line, "balance_gap", opening=opening or 0, closing=closing or 0))
    return notes


def must_balance(format_name: str, kind: str) -> bool:
    """Whether the format promises an opening and a closing balance: what gives none is then not whole."""
    return kind == "statement" and format_name.startswith(("camt.", "mt"))


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def files(db: Db, bank_account: int, *, before: str | None = None, limit: int = 50) -> Sequence[File]:
    """The files of a bank account, the newest first; `before` continues a page."""
    return _files(
        db,
        "bank_account_id = %s and (%s::bigint is null or id < %s)",
        [bank_account, _number(before), _number(before)],
        limit,
    )


def file(db: Db, file_id: str) -> File:
    """One file. Raises `errors.StatementFileUnknown`."""
    for found in _files(db, "id = %s", [_number(file_id)], 1):
        return found
    raise errors.StatementFileUnknown(file=file_id)


def content(db: Db, file_id: str) -> Iterator[bytes]:
    """The original bytes, part by part."""
    for part in itertools.count():
        stretch = _part(db, file_id, part)
        if stretch is None:
            return
        yield stretch


def reopened(db: Db, file_id: str) -> statement_file.Reader:
    """An imported file, to be read again as it was read then: by its mapping, in its encoding, part by part."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select mapping, encoding from custody_statement_file where id = %s", [_number(file_id)]
        )
        row = cursor.fetchone()
        if row is None:
            raise errors.StatementFileUnknown(file=file_id)
        cursor.execute(
            "select octet_length(content) from custody_statement_file_part where file_id = %s order by part",
            [_number(file_id)],
        )
        stored: io.RawIOBase = _Stored(db, file_id, [size for (size,) in cursor.fetchall()])
    declared = _parsed(row[0])
    return statement_file.reader(
        io.BufferedReader(stored),
        encoding=row[1],
        mappings=() if declared is None else (mapping.load(json.dumps(declared).encode()),),
    )


def notes(db: Db, file_id: str) -> tuple[Note, ...]:
    """What was noted when the file was imported: departures, gaps, lines that repeat others."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select line, code, told from custody_statement_note where file_id = %s order by number",
            [_number(file_id)],
        )
        return tuple(
            Note(line, code, tuple(_parsed(values).items())) for line, code, values in cursor.fetchall()
        )


def statements(db: Db, bank_account: int, *, to: date | None = None) -> Sequence[Held]:
    """The custodian's statements of a bank account that state both balances, in the order of their days."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select id, file_id, line, account, currency, identification, number, page, from_date, to_date,
                opening_minor, closing_minor, entries
            from custody_statement
            where bank_account_id = %s and (%s::date is null or to_date <= %s)
                and kind = 'statement' and opening_minor is not null
            order by to_date, number nulls first, page nulls first, from_date nulls first, id
            """,
            [bank_account, to, to],
        )
        return [Held(row[0], f"stm_{row[1]}", *row[2:]) for row in cursor.fetchall()]


def told(
    db: Db,
    bank_account: int,
    *,
    kinds: Sequence[str] = ("statement", "interim", "notification", "settlement"),
    file_id: str | None = None,
    to: date | None = None,
) -> Sequence[Told]:
    """Everything imported for a bank account, of these kinds, with balances or without."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select id, file_id, source, kind, line, account, currency, identification, number, page,
                from_date, to_date, opening_minor, closing_minor, entries
            from custody_statement
            where bank_account_id = %s and kind = any(%s) and (%s::date is null or to_date <= %s)
                and (%s::bigint is null or file_id = %s)
            order by to_date, number nulls first, page nulls first, from_date nulls first, id
            """,
            [bank_account, list(kinds), to, to, _number(file_id), _number(file_id)],
        )
        return [Told(row[0], f"stm_{row[1]}", *row[2:]) for row in cursor.fetchall()]


def lines(
    db: Db, statement_ids: Sequence[int], *, after: int = 0, limit: int | None = None
) -> Sequence[HeldLine]:
    """The lines of statements, in the order in which they were written."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select l.id, s.file_id, l.line, l.amount_minor, l.booking_date, l.value_date, l."references",
                l.remittance, l.counterparty_name, l.counterparty_account, l.code, l.reversal,
                l.gross_minor, l.fee_minor, l.settlement
            from custody_statement_line l join custody_statement s on s.id = l.statement_id
            where l.statement_id = any(%s) and l.id > %s order by l.id limit %s
            """,
            [list(statement_ids), after, limit],
        )
        return [
            HeldLine(key, f"stm_{file_id}", line, amount, booked, value, tuple(_parsed(given)), *rest)
            for key, file_id, line, amount, booked, value, given, *rest in cursor.fetchall()
        ]


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────


def import_bytes(
    db: Db,
    name: str,
    content: bytes,
    *,
    bank_account: int,
    actor: Actor,
    now: datetime,
    encoding: str | None = None,
    mappings: Sequence[Mapping] = (),
) -> Imported:
    """Import a file held in memory; see `import_file`."""
    return import_file(
        db,
        name,
        io.BytesIO(content),
        bank_account=bank_account,
        actor=actor,
        now=now,
        encoding=encoding,
        mappings=mappings,
    )


def import_file(
    db: Db,
    name: str,
    source: BinaryIO,
    *,
    bank_account: int | None,
    book: int | None = None,
    actor: Actor,
    now: datetime,
    encoding: str | None = None,
    mappings: Sequence[Mapping] = (),
    progress: Progress | None = None,
) -> Imported:
    """Import a statement file for a bank's control account; all of it or nothing.

    `source` must be seekable; a CSV file is read by the first of `mappings` that has its header. Without
    `bank_account`, the external account of `book` whose reference is the statement's account is taken. The
    same bytes again give the first result, `repeated`.

    Raises, in this order: a refusal of `statements.errors`; `errors.StatementFileMixed`,
    `NotAControlAccount`, `ControlAccountUnknown`, `CurrencyNotOfAccount`, `BalancesMissing`,
    `StatementUndated`, `AccountNotOfStatement`, `StatementConflict`.
    """
    access.require(db, actor, "custody.import_statement")
    sha256, size = _hash(source)
    if first := _known(db, sha256):
        return first
    bar = _Bar(progress, 2 * size)
    judged = statement_file.judge(source, encoding=encoding, mappings=mappings, progress=bar.first)
    if judged.refusal is not None:
        raise judged.refusal
    account = _control_account(db, bank_account, book, judged.statements)
    _judge_account(db, account, judged)

    with transaction.atomic(using=db), connections[db].cursor() as cursor:
        # One import at a time for a book: what is known is looked up and written under the same lock.
        cursor.execute("select pg_advisory_xact_lock(%s, %s)", [STATEMENT_LOCK, account.book])
        if first := _known(db, sha256):
            return first
        new, seen = _new_statements(db, account.number, judged.statements)

        # After this point, the import must succeed.
        file_id = _write_file(
            db, account.number, name, judged, size=size, sha256=sha256, actor=actor, now=now
        )
        writing.write_parts(db, file_id, source)
        ids = {row.index: writing.write_statement(db, file_id, account.number, row) for row in new}
        used = (judged.mapping,) if judged.mapping is not None else ()
        reader = statement_file.reader(source, encoding=encoding, mappings=used)
        written = writing.write_lines(db, reader, ids, bar.second)
        assert written == sum(row.entries for row in new), (
            "the second reading gave other lines than the first"
        )
        told = [*judged.notes, *seen, *writing.told_before(db, file_id, account.number)]
        if written > Repeats.WINDOW:
            # The reader compared each line with so many before it; here all are compared with all.
            told = [each for each in told if each.code != "entry_repeated"]
            told.extend(writing.repeated_within(db, list(ids.values())))
        # Where too much was noted to keep, the gaps between statements are kept before single lines.
        told.sort(key=lambda each: (each.code not in _KEPT_FIRST, each.line))
        told = sorted(told[:NOTES_MAX], key=lambda each: each.line)
        writing.write_notes(db, file_id, told)
        log.append(
            db,
            "custody.statement_imported",
            {
                "file": f"stm_{file_id}",
                "bank_account": account.text,
                "sha256": sha256.hex(),
                "format": judged.format_name,
                "source": judged.statements[0].source,
                "statements": len(new),
                "entries": written,
            },
            actor=actor.id,
            at=now,
        )
    return Imported(
        file=f"stm_{file_id}",
        repeated=False,
        bank_account=account.number,
        format_name=judged.format_name,
        encoding=judged.encoding,
        sha256=sha256,
        statements=len(new),
        statements_known=len(judged.statements) - len(new),
        entries=written,
        notes=tuple(told),
    )


def record_refusal(db: Db, source: BinaryIO, refusal: Refusal, *, actor: Actor, now: datetime) -> None:
    """Write a refused file into the evidence by its hash, code and line: for doors, after a refusal."""
    access.require(db, actor, "custody.import_statement")
    sha256, _ = _hash(source)
    line = refusal.line if isinstance(refusal, reading.StatementRefused) else 0
    with transaction.atomic(using=db):
        log.append(
            db,
            "custody.statement_refused",
            {"sha256": sha256.hex(), "code": refusal.code, "line": line},
            actor=actor.id,
            at=now,
        )


# ── judging ──────────────────────────────────────────────────────────────────────────────────────────────


def _control_account(
    db: Db, number: int | None, book: int | None, given: Sequence[Statement]
) -> accounts.Account:
    names = sorted({row.account for row in given})
    if len(names) > 1:
        raise errors.StatementFileMixed(accounts=", ".join(names))
    if number is not None:
        account = accounts.account(db, number)
        if account.family != Family.EXTERNAL:
            raise errors.NotAControlAccount(account=account.text)
        return account
    assert book is not None, "a control account is named, or the book to look in"
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select bank_account_id from custody_statement where account = %s and bank_account_id / %s = %s limit 1",
            [names[0], numbers.BOOK_UNIT, book],
        )
        if held := cursor.fetchone():
            return accounts.account(db, held[0])
    # Banks and platforms put blanks into the same number differently, so all are compared: they are few.
    for found in accounts.external(db, book):
        if _same_account(found.reference, names[0]):
            return found
    raise errors.ControlAccountUnknown(account=names[0], book=book)


def _judge_account(db: Db, account: accounts.Account, judged: statement_file.Judgement) -> None:
    """The statements are of this account: its currency, its number at the bank, and no other's."""
    given = judged.statements
    for row in given:
        if row.currency != account.asset:
            raise errors.CurrencyNotOfAccount(
                line=row.line, currency=row.currency, account=account.text, asset=account.asset
            )
        framed = row.opening_minor is not None and row.closing_minor is not None
        if not framed and must_balance(judged.format_name, row.kind):
            raise errors.BalancesMissing(line=row.line)
        if row.to_date is None:
            raise errors.StatementUndated(line=row.line)
    name, source = given[0].account, given[0].source
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select account from custody_statement where bank_account_id = %s and source = %s limit 1",
            [account.number, source],
        )
        held = cursor.fetchone()
        expected = held[0] if held else account.reference
        # Before its first statement an account may be known here by a name of the platform's own; and
        # several channels may pay out into one bank account, each under its own name for it.
        named_by_bank = source == "custodian" and (held is not None or amounts.is_iban(_compact(expected)))
        if named_by_bank and not _same_account(expected, name):
            raise errors.AccountNotOfStatement(account=account.text, expected=expected, found=name)
        cursor.execute(
            "select bank_account_id from custody_statement where account = %s and source = %s"
            " and bank_account_id <> %s and bank_account_id / %s = %s limit 1",
            [name, source, account.number, numbers.BOOK_UNIT, account.book],
        )
        if other := cursor.fetchone():
            raise errors.AccountNotOfStatement(
                account=account.text, expected=numbers.account_text(other[0]), found=name
            )


def _new_statements(
    db: Db, bank_account: int, given: Sequence[Statement]
) -> tuple[list[Statement], list[Note]]:
    """The statements not held yet; refuses one that says other things under the same name."""
    held = told(db, bank_account)
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select digest from custody_statement where bank_account_id = %s and digest = any(%s)",
            [bank_account, [row.digest for row in given]],
        )
        known = {bytes(digest) for (digest,) in cursor.fetchall()}
    names = {_name(row): row for row in held}
    new: list[Statement] = []
    seen: list[Note] = []
    for row in given:
        if row.digest in known:
            seen.append(note(row.line, "statement_known"))
            continue
        # A download without number and opening balance has no name: the next one of its days may say more.
        named = row.number is not None or row.opening_minor is not None or row.kind != "statement"
        other = names.get(_name(row)) if named and row.kind != "settlement" else None
        if other is not None:
            raise errors.StatementConflict(
                line=row.line, statement=str(row.number or row.identification), file=other.file
            )
        new.append(row)
    for first in new[:1]:
        before = [
            row
            for row in held
            if row.kind == first.kind and first.to_date is not None and row.to_date <= first.to_date
        ]
        seen.extend(gaps(before[-1] if before else None, first))
    return new, seen


def _name(row: Told | Statement) -> tuple[object, ...]:
    return (
        row.kind,
        writing.storable(row.identification)[:64],
        row.number,
        row.page,
        row.from_date,
        row.to_date,
        row.opening_minor,
    )


def _write_file(
    db: Db,
    bank_account: int,
    name: str,
    judged: statement_file.Judgement,
    *,
    size: int,
    sha256: bytes,
    actor: Actor,
    now: datetime,
) -> int:
    with connections[db].cursor() as cursor:
        cursor.execute(
            "insert into custody_statement_file (bank_account_id, name, format, source, mapping, encoding,"
            " bytes, sha256, statements, entries, imported_at, imported_by)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) returning id",
            [
                bank_account,
                os.path.basename(name)[:255],
                judged.format_name,
                judged.statements[0].source,
                judged.mapping.as_json if judged.mapping is not None else None,
                judged.encoding,
                size,
                sha256,
                len(judged.statements),
                judged.entries,
                now,
                actor.id,
            ],
        )
        return int(cursor.fetchone()[0])


def _known(db: Db, sha256: bytes) -> Imported | None:
    """The result of the same bytes, where they were imported before."""
    for found in _files(db, "sha256 = %s", [sha256], 1):
        with connections[db].cursor() as cursor:
            cursor.execute(
                "select count(*), coalesce(sum(entries), 0) from custody_statement where file_id = %s",
                [_number(found.id)],
            )
            new, entries = cursor.fetchone()
        return Imported(
            found.id,
            True,
            found.bank_account,
            found.format_name,
            found.encoding,
            sha256,
            new,
            found.statements - new,
            entries,
            notes(db, found.id),
        )
    return None


def _same_account(one: str, other: str) -> bool:
    return _compact(one) == _compact(other)


def _compact(account: str) -> str:
    return "".join(account.split()).upper()


def _hash(source: BinaryIO) -> tuple[bytes, int]:
    source.seek(0)
    whole, size = hashlib.sha256(), 0
    while stretch := source.read(1 << 20):
        whole.update(stretch)
        size += len(stretch)
    source.seek(0)
    return whole.digest(), size


class _Stored(io.RawIOBase):
    """The original bytes as a file: one part of them in memory at a time."""

    def __init__(self, db: Db, file_id: str, sizes: Sequence[int]) -> None:
        self._db = db
        self._file = file_id
        self._ends = list(itertools.accumulate(sizes))
        self._at = 0
        self._held: tuple[int, bytes] = (-1, b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._ends[-1]}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override] # narrower than Buffer, as called
        part = bisect.bisect_right(self._ends, self._at)
        if part == len(self._ends):
            return 0
        if self._held[0] != part:
            stretch = _part(self._db, self._file, part)
            assert stretch is not None, "parts are never removed"
            self._held = part, stretch
        start = self._at - (self._ends[part - 1] if part else 0)
        given = self._held[1][start : start + len(buffer)]
        buffer[: len(given)] = given
        self._at += len(given)
        return len(given)


class _Bar:
    """Progress over two readings of one file."""

    def __init__(self, progress: Progress | None, whole: int) -> None:
        self._progress = progress
        self._whole = whole

    def first(self, done: int) -> None:
        if self._progress is not None:
            self._progress(done, self._whole)

    def second(self, done: int) -> None:
        if self._progress is not None:
            self._progress(self._whole // 2 + done, self._whole)


def _files(db: Db, where: str, parameters: Sequence[int | bytes | None], limit: int) -> list[File]:
    with connections[db].cursor() as cursor:
        cursor.execute(
            f"""
            select id, bank_account_id, name, format, source, encoding, bytes, sha256, statements, entries,
                imported_at, imported_by
            from custody_statement_file where {where} order by id desc limit %s
            """,  # noqa: S608 -- one of the constants above
            [*parameters, limit],
        )
        return [
            File(f"stm_{key}", AccountNumber(account), name, told, source, code, size, bytes(sha256), *rest)
            for key, account, name, told, source, code, size, sha256, *rest in cursor.fetchall()
        ]


def _part(db: Db, file_id: str, part: int) -> bytes | None:
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select content from custody_statement_file_part where file_id = %s and part = %s",
            [_number(file_id), part],
        )
        row = cursor.fetchone()
    return None if row is None else bytes(row[0])


def _number(file_id: str | None) -> int | None:
    if file_id is None:
        return None
    found = numbers.row_number(file_id, "stm_")
    if found is None:
        raise errors.StatementFileUnknown(file=file_id)
    return found


def _parsed(value: Any) -> Any:
    # Raw SQL gives jsonb as text where Django's own field would parse it.
    return json.loads(value) if isinstance(value, str) else value

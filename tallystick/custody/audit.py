"""The audit: everything that was derived from transfers, derived once more and compared.

Promises: trusts transfers and the evidence's digests of them, and nothing else. Balances, held money, uses of
authorisations, positions and batches are worked out from the transfers' own rows, as PostgreSQL hands them
out, and every stored figure that differs is named with its position and account. Reads one snapshot, so a
ledger that goes on being posted to is audited as of one moment; memory grows with accounts, not transfers.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from django.db import connections, transaction

from tallystick.core.db import Db
from tallystick.custody import encoding, errors, numbers
from tallystick.custody.codes import Code
from tallystick.custody.models import AmountRule, TransferKind
from tallystick.custody.numbers import AuthorisationKind, BookId, Family
from tallystick.evidence import log

WINDOW = 20_000
"""Transfers read at a time."""

FINDINGS_MAX = 1_000
"""The audit stops looking after so many: by then the ledger is not to be used."""

POSTED_KIND = "custody.transfers_posted"

_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_FIXED = struct.Struct(">h ih iq i16s ih ih iq iq iq ii iq iq")
_TOTALS = tuple[int, int, int, int]
_NOTHING: _TOTALS = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not follow. `account` is 0 where it is about a position or an authorisation alone."""

    check: str
    position: int
    account: int
    detail: str


@dataclass(frozen=True, slots=True)
class Audit:
    """What was gone through, and what was wrong."""

    book: BookId
    from_position: int
    to_position: int
    transfers: int
    batches: int
    entries: int
    uses: int
    accounts: int
    findings: tuple[Finding, ...]

    @property
    def is_clean(self) -> bool:
        return not self.findings


@dataclass(frozen=True, slots=True)
class _Row:
    """A transfer as its row says."""

    position: int
    kind: int
    code: int
    debit: int
    credit: int
    amount: int
    recorded_at: int
    authorisation: int | None
    pending: int | None
    reverses: int | None
    payee: str | None


def verify(db: Db, book: BookId, *, from_position: int = 0, to_position: int | None = None) -> Audit:
    """Work out every figure of the book again and compare.

    from_position: the state as of this position is taken as it stands, and what follows is checked; 0 checks
    everything. to_position: the last one checked, or the book's last. Raises `errors.PositionUnknown`.
    """
    with _snapshot(db) as connection:
        last = _last_position(connection, book)
        end = last if to_position is None else to_position
        if not 0 <= from_position <= end <= last:
            raise errors.PositionUnknown(book=book, position=max(from_position, end), last=last)
        return _Verifier(db, connection, book, from_position, end, is_whole=end == last).verified()


def fingerprint(db: Db, book: BookId, position: int) -> str:
    """SHA-256 over the book as of a position: transfers, batches, balances and uses, in hexadecimal.

    The same for every copy of the ledger that has come at least so far. Raises `errors.PositionUnknown`.
    """
    with _snapshot(db) as connection:
        last = _last_position(connection, book)
        if not 0 <= position <= last:
            raise errors.PositionUnknown(book=book, position=position, last=last)
        low, high = _accounts_of(book)
        whole = hashlib.sha256(f"tallystick ledger {book} {position}\n".encode())
        for sql, parameters in (
            (_TRANSFERS, (book, 0, position)),
            (
                "select first_position, last_position, recorded_at from custody_batch"
                " where book_id = %s and last_position <= %s order by last_position",
                (book, position),
            ),
            (
                "select distinct on (account) account, position, debits_posted, credits_posted, debits_pending,"
                " credits_pending from custody_entry where account between %s and %s and position <= %s"
                " order by account, position desc",
                (low, high, position),
            ),
            (
                "select distinct on (authorisation) authorisation, use, position, used_minor"
                " from custody_authorisation_use where book_id = %s and position <= %s"
                " order by authorisation, use desc",
                (book, position),
            ),
        ):
            rows = hashlib.sha256()
            for row in copied(connection, sql, parameters):
                rows.update(row)
            whole.update(rows.digest())
        return whole.hexdigest()


_TRANSFERS = (
    f"select {', '.join(encoding.TRANSFER_COLUMNS)} from custody_transfer"  # noqa: S608
    " where book_id = %s and position > %s and position <= %s order by position"
)


class _Verifier:
    """One audit: what has been worked out so far, and what was found."""

    def __init__(
        self,
        db: Db,
        connection: psycopg.Connection[Any],
        book: BookId,
        start: int,
        end: int,
        *,
        is_whole: bool,
    ) -> None:
        self.db, self.connection, self.book = db, connection, book
        self.start, self.end, self.is_whole = start, end, is_whole
        self.findings: list[Finding] = []
        self.totals: dict[int, _TOTALS] = {}
        self.held: dict[int, _Row] = {}
        self.used: dict[int, tuple[int, int]] = {}
        self.terms: dict[int, _Terms | None] = {}
        self.counted = {"transfers": 0, "batches": 0, "entries": 0, "uses": 0}

    def verified(self) -> Audit:
        if self.start:
            self._take_opening()
        self._go_through()
        return Audit(
            book=self.book,
            from_position=self.start,
            to_position=self.end,
            accounts=len(self.totals),
            findings=tuple(self.findings[:FINDINGS_MAX]),
            **self.counted,
        )

    def _find(self, check: str, position: int, detail: str, account: int = 0) -> None:
        self.findings.append(Finding(check, position, account, detail))

    def _take_opening(self) -> None:
        """The state as of the position before the first, as it stands."""
        low, high = _accounts_of(self.book)
        rows = self.connection.execute(
            "select distinct on (account) account, debits_posted, credits_posted, debits_pending, credits_pending"
            " from custody_entry where account between %s and %s and position <= %s order by account, position desc",
            (low, high, self.start),
        )
        self.totals = {account: (d, c, dp, cp) for account, d, c, dp, cp in rows}
        rows = self.connection.execute(
            "select distinct on (authorisation) authorisation, use, used_minor from custody_authorisation_use"
            " where book_id = %s and position <= %s order by authorisation, use desc",
            (self.book, self.start),
        )
        self.used = {authorisation: (use, used) for authorisation, use, used in rows}

    def _go_through(self) -> None:
        low, high = _accounts_of(self.book)
        # The parts put in are constants; the values are parameters.
        bounds = {"book": self.book, "start": self.start, "end": self.end, "low": low, "high": high}
        beyond = "" if self.is_whole else " and position <= %(end)s"
        entries = _Merged(
            self.connection,
            "entries",
            "select position, account, debits_posted, credits_posted, debits_pending, credits_pending"  # noqa: S608
            " from custody_entry where account between %(low)s and %(high)s and position > %(start)s"
            f"{beyond} order by position, account",
            bounds,
        )
        uses = _Merged(
            self.connection,
            "uses",
            "select position, authorisation, use, used_minor from custody_authorisation_use"  # noqa: S608
            f" where book_id = %(book)s and position > %(start)s{beyond} order by position, authorisation",
            bounds,
        )
        batches = _Merged(
            self.connection,
            "batches",
            "select first_position, last_position, (extract(epoch from recorded_at) * 1000000)::bigint"  # noqa: S608
            " from custody_batch where book_id = %(book)s and last_position > %(start)s"
            f"{beyond.replace('position', 'first_position')} order by last_position",
            bounds,
        )
        digests = self._digests()
        expected, digest, batch = self.start + 1, hashlib.sha256(), None
        recorded_at = 0
        for low_position in range(self.start, self.end, WINDOW):
            window = (self.book, low_position, min(low_position + WINDOW, self.end))
            raw = [(row, _parsed(row)) for row in copied(self.connection, _TRANSFERS, window)]
            self._learn([row for _, row in raw])
            for data, row in raw:
                self.counted["transfers"] += 1
                if row.position != expected:
                    self._find(
                        "position_missing",
                        expected,
                        f"positions {expected} to {row.position - 1} are missing",
                    )
                expected = row.position + 1
                while batch is None or row.position > batch[1]:
                    following = batches.next()
                    if following is None:
                        break
                    if batch is not None and following[0] != batch[1] + 1:
                        self._find("batch_gap", following[0], f"a batch follows position {batch[1]}")
                    batch, digest = following, hashlib.sha256()
                    self.counted["batches"] += 1
                digest.update(data)
                if batch is None or not batch[0] <= row.position <= batch[1]:
                    self._find("batch_missing", row.position, "stands in no batch")
                else:
                    if row.recorded_at != batch[2]:
                        self._find("batch_time", row.position, "has another time than its batch")
                    # A batch that began before the first position was not read from its beginning.
                    if row.position == batch[1] and batch[0] > self.start:
                        self._compare_digest(digests, batch, digest.hexdigest())
                if row.recorded_at < recorded_at:
                    self._find("time_back", row.position, "was recorded before its predecessor")
                recorded_at = row.recorded_at
                self._follow(row)
                self._compare_entries(row, entries.at(row.position, self._stray_entry))
                self._compare_uses(row, uses.at(row.position, self._stray_use))
            if len(self.findings) >= FINDINGS_MAX:
                return
        if expected != self.end + 1:
            self._find("position_missing", expected, f"positions {expected} to {self.end} are missing")
        for left in entries.rest():
            self._stray_entry(left)
        for left in uses.rest():
            self._stray_use(left)
        for last, (first, _) in digests.items():
            self._find(
                "transfers_removed", last, f"the evidence has a batch {first} to {last} that is not here"
            )

    # ── positions and evidence ───────────────────────────────────────────────────────────────────────────

    def _digests(self) -> dict[int, tuple[int, str]]:
        """Each batch's digest as the evidence has it: by last position."""
        found: dict[int, tuple[int, str]] = {}
        before = None
        while events := log.events(self.db, kind=POSTED_KIND, before=before, limit=1_000):
            before = events[-1].id
            for event in events:
                payload = event.payload
                if payload is None or payload["book"] != self.book or not payload["transfers"]:
                    continue
                first, last = int(str(payload["first_position"])), int(str(payload["last_position"]))
                if first > self.start and (self.is_whole or last <= self.end):
                    if not log.agrees(event):
                        self._find("evidence_changed", last, f"{event.reference} is not what it committed to")
                    found[last] = (first, str(payload["sha256"]))
        return found

    def _compare_digest(self, digests: dict[int, tuple[int, str]], batch: Sequence[int], digest: str) -> None:
        told = digests.pop(batch[1], None)
        if told is None:
            self._find("evidence_missing", batch[1], f"no event tells of positions {batch[0]} to {batch[1]}")
        elif told != (batch[0], digest):
            self._find(
                "transfers_changed", batch[1], f"positions {batch[0]} to {batch[1]} are not what was posted"
            )

    # ── what a transfer does ─────────────────────────────────────────────────────────────────────────────

    def _learn(self, rows: list[_Row]) -> None:
        """The terms of the authorisations these name."""
        wanted = {row.authorisation for row in rows if row.authorisation is not None} - self.terms.keys()
        self.terms |= dict.fromkeys(wanted)
        for number, *terms in self.connection.execute(
            "select number, debit_account, credit_account, code, payee, amount_rule, amount_minor, total_max_minor,"
            " uses_max, valid_from, valid_until from custody_authorisation where number = any(%s)",
            (sorted(wanted),),
        ):
            self.terms[number] = _Terms(*terms)

    def _follow(self, row: _Row) -> None:
        """Move the two accounts as the transfer says, and check it by itself."""
        held = None
        if row.pending is not None:
            held = self.held.pop(row.pending, None) or self._earlier(row.pending)
            if held is None or held.kind != TransferKind.PENDING or row.amount > held.amount:
                self._find(
                    "settlement", row.position, f"settles position {row.pending}, which does not hold so much"
                )
            elif (held.debit, held.credit, held.code) != (row.debit, row.credit, row.code):
                self._find("settlement", row.position, f"settles position {row.pending}, of other accounts")
        if row.reverses is not None:
            whole = self._fetched(row.reverses) if row.reverses < row.position else None
            kinds = (TransferKind.POSTED, TransferKind.POST_PENDING)
            if whole is None or whole.kind not in kinds or whole.reverses is not None:
                self._find(
                    "reversal", row.position, f"reverses position {row.reverses}, which was not posted"
                )
            elif (whole.debit, whole.credit, whole.amount) != (row.credit, row.debit, row.amount):
                self._find("reversal", row.position, f"reverses position {row.reverses} with something else")
        else:
            self._check_border(row)
        if row.kind == TransferKind.PENDING:
            self.held[row.position] = row
        posted = row.amount if row.kind in (TransferKind.POSTED, TransferKind.POST_PENDING) else 0
        pending = row.amount if row.kind == TransferKind.PENDING else -held.amount if held else 0
        d, c = self.totals.get(row.debit, _NOTHING), self.totals.get(row.credit, _NOTHING)
        self.totals[row.debit] = (d[0] + posted, d[1], d[2] + pending, d[3])
        self.totals[row.credit] = (c[0], c[1] + posted, c[2], c[3] + pending)
        for account in (row.debit, row.credit):
            debits, credits_, debits_held, _ = self.totals[account]
            if numbers.family_of(account) != Family.EXTERNAL and credits_ - debits - debits_held < 0:
                self._find("overdrawn", row.position, f"stands at {credits_ - debits - debits_held}", account)

    def _check_border(self, row: _Row) -> None:
        debit, credit = numbers.family_of(row.debit), numbers.family_of(row.credit)
        if {numbers.book_of(row.debit), numbers.book_of(row.credit)} != {self.book}:
            self._find("book", row.position, "is between accounts of another book")
        if numbers.asset_of(row.debit) != numbers.asset_of(row.credit):
            self._find("asset", row.position, "is between two assets")
        is_fee = (
            (debit, credit, row.code) == (Family.CLIENT, Family.OWN, Code.FEE)
            and row.authorisation is not None
            and numbers.kind_of(row.authorisation) == AuthorisationKind.ENTITLEMENT
        )
        is_own = debit == Family.OWN and credit in (Family.OWN, Family.EXTERNAL)
        if Family.OWN in (debit, credit) and not is_fee and not is_own:
            self._find("border", row.position, "crosses between client money and own money", row.debit)
        if debit == Family.CLIENT:
            terms = self.terms.get(row.authorisation or 0)
            if terms is None:
                self._find("authorisation", row.position, "has no authorisation", row.debit)
            elif row.kind <= TransferKind.PENDING and not terms.allow(row):
                self._find("authorisation", row.position, "is not what its authorisation allows", row.debit)

    def _earlier(self, position: int) -> _Row | None:
        """A pending transfer from before the first position; a later one is known, or settled already."""
        return self._fetched(position) if position <= self.start else None

    def _fetched(self, position: int) -> _Row | None:
        for row in copied(self.connection, _TRANSFERS, (self.book, position - 1, position)):
            return _parsed(row)
        return None

    # ── what is stored beside it ─────────────────────────────────────────────────────────────────────────

    def _compare_entries(self, row: _Row, found: list[Sequence[int]]) -> None:
        self.counted["entries"] += len(found)
        stored = {each[1]: (each[2], each[3], each[4], each[5]) for each in found}
        for account in (row.debit, row.credit):
            entry = stored.pop(account, None)
            if entry is None:
                self._find("entry_missing", row.position, "has no entry", account)
            elif entry != self.totals[account]:
                self._find(
                    "entry_differs", row.position, f"says {entry}, should be {self.totals[account]}", account
                )
        for account in stored:
            self._find("entry_extra", row.position, "has an entry without having been moved", account)

    def _compare_uses(self, row: _Row, found: list[Sequence[int]]) -> None:
        self.counted["uses"] += len(found)
        stored = {each[1]: (each[2], each[3]) for each in found}
        if row.authorisation is not None and row.kind <= TransferKind.PENDING:
            use, used = self.used.get(row.authorisation, (0, 0))
            use, used = self.used[row.authorisation] = use + 1, used + row.amount
            told = stored.pop(row.authorisation, None)
            if told is None:
                self._find("use_missing", row.position, f"does not count as use {use}", row.debit)
            elif told != (use, used):
                self._find(
                    "use_differs", row.position, f"counts as {told}, should be {(use, used)}", row.debit
                )
            terms = self.terms.get(row.authorisation)
            if terms is not None and (use > terms.uses_max or used > terms.total_max):
                self._find(
                    "use_beyond",
                    row.position,
                    f"is use {use}, {used} in all: more than was allowed",
                    row.debit,
                )
        for authorisation in stored:
            self._find(
                "use_extra", row.position, f"{numbers.authorisation_text(authorisation)} was not used here"
            )

    def _stray_entry(self, entry: Sequence[int]) -> None:
        self._find("entry_extra", entry[0], "has an entry where there is no transfer", entry[1])

    def _stray_use(self, use: Sequence[int]) -> None:
        self._find("use_extra", use[0], f"{numbers.authorisation_text(use[1])} has a use without a transfer")


@dataclass(frozen=True, slots=True)
class _Terms:
    debit: int
    credit: int
    code: int
    payee: str
    rule: int
    amount: int
    total_max: int
    uses_max: int
    valid_from: datetime
    valid_until: datetime

    def allow(self, row: _Row) -> bool:
        """But for how often, and for a formula's amount, which the total bounds."""
        at = _POSTGRES_EPOCH + timedelta(microseconds=row.recorded_at - encoding.POSTGRES_EPOCH_US)
        return (
            (self.debit, self.credit, self.code, self.payee)
            == (row.debit, row.credit, row.code, row.payee or "")
            and self.valid_from <= at < self.valid_until
            and (self.rule != AmountRule.EXACT or row.amount == self.amount)
            and (self.rule != AmountRule.AT_MOST or row.amount <= self.amount)
        )


@dataclass
class _Merged:
    """Rows in the order of their position (the first column), read beside the transfers."""

    connection: psycopg.Connection[Any]
    name: str
    sql: str
    parameters: dict[str, int]
    rows: Iterator[Sequence[int]] = field(init=False)
    ahead: Sequence[int] | None = field(init=False)

    def __post_init__(self) -> None:
        cursor = self.connection.cursor(name=self.name)
        cursor.itersize = WINDOW
        cursor.execute(self.sql, self.parameters)
        self.rows = iter(cursor)
        self.ahead = next(self.rows, None)

    def next(self) -> Sequence[int] | None:
        given, self.ahead = self.ahead, next(self.rows, None) if self.ahead is not None else None
        return given

    def at(self, position: int, stray: Any) -> list[Sequence[int]]:
        """The rows at this position; those before it have no transfer and are told to `stray`."""
        found: list[Sequence[int]] = []
        while self.ahead is not None and self.ahead[0] <= position:
            row = self.next()
            assert row is not None
            if row[0] == position:
                found.append(row)
            else:
                stray(row)
        return found

    def rest(self) -> Iterator[Sequence[int]]:
        while (row := self.next()) is not None:
            yield row


class _snapshot:
    """One consistent view of the ledger, whoever posts meanwhile."""

    def __init__(self, db: Db) -> None:
        self.db, self.atomic = db, transaction.atomic(using=db)

    def __enter__(self) -> psycopg.Connection[Any]:
        self.atomic.__enter__()
        with connections[self.db].cursor() as cursor:
            cursor.execute("set transaction isolation level repeatable read read only")
        connection = connections[self.db].connection
        assert connection is not None
        return connection  # type: ignore[no-any-return]

    def __exit__(self, *raised: Any) -> None:
        self.atomic.__exit__(*raised)


def _last_position(connection: psycopg.Connection[Any], book: BookId) -> int:
    row = connection.execute(
        "select max(last_position) from custody_batch where book_id = %s", (book,)
    ).fetchone()
    return int(row[0] or 0) if row else 0


def _accounts_of(book: BookId) -> tuple[int, int]:
    return book * numbers.BOOK_UNIT, (book + 1) * numbers.BOOK_UNIT - 1


def copied(connection: psycopg.Connection[Any], sql: str, parameters: Sequence[int]) -> Iterator[bytes]:
    """The rows of a query as PostgreSQL's binary COPY has them, without its frame."""
    with (
        connection.cursor() as cursor,
        cursor.copy(f"copy ({sql}) to stdout (format binary)", parameters) as copy,
    ):
        is_first = True
        for data in copy:
            row = bytes(data)
            if is_first:
                row, is_first = row[len(encoding.HEADER) :], False
            if row and row != encoding.TRAILER:
                yield row


def position_of(row: bytes) -> int:
    """The position in a transfer's row."""
    return int(_FIXED.unpack_from(row)[4])


def _parsed(row: bytes) -> _Row:
    (
        _,
        _,
        _,
        _,
        position,
        _,
        _,
        _,
        kind,
        _,
        code,
        _,
        debit,
        _,
        credit,
        _,
        amount,
        _,
        _,
        _,
        _,
        _,
        recorded_at,
    ) = _FIXED.unpack_from(row)
    at, values = _FIXED.size, []
    for _ in range(11):  # seven numbers and four texts, each with its length, -1 for NULL
        size = int.from_bytes(row[at : at + 4], "big", signed=True)
        at += 4
        values.append(None if size < 0 else row[at : at + size])
        at += max(size, 0)
    authorisation, pending, reverses = (
        None if raw is None else int.from_bytes(raw, "big") for raw in values[:3]
    )
    payee = values[8]
    return _Row(
        position=position,
        kind=kind,
        code=code,
        debit=debit,
        credit=credit,
        amount=amount,
        recorded_at=recorded_at + encoding.POSTGRES_EPOCH_US,
        authorisation=authorisation,
        pending=pending,
        reverses=reverses,
        payee=None if payee is None else payee.decode(),
    )

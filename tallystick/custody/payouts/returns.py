"""Returns: payouts that the bank's statements tell of: booked, or come back.

Promises: a payout that came back is back on the client's account by itself, once, whether a notification, a
statement or both tell of it; a return that names no payout of ours waits in suspense, once, whether it is taken
here or as a deposit; every file of the custodian's for a paying account is read once, whoever imported it. A
line that names a payout of ours is this module's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connections, transaction

from tallystick.core.db import Db
from tallystick.custody import deposit_booking, ledger, numbers, pay_in, statement_files, transfers
from tallystick.custody.codes import Code
from tallystick.custody.numbers import BookId
from tallystick.custody.payout_models import PayoutStatus
from tallystick.custody.payout_references import named_in
from tallystick.custody.payouts import postings, reports, steps
from tallystick.custody.statements.rows import Entry
from tallystick.custody.transfers import TransferRequest

_S = PayoutStatus
FILES_MAX = 5
"""The most statement files read in one beat."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a statement says of one payment. `payout` is nothing where it names none of this book's."""

    line: int
    payout: int | None
    amount_minor: int
    is_return: bool
    reason: str
    reference: str


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a statement, and what it says of payouts. The ids are those it has where deposits are taken."""

    kind: str
    entry: Entry
    told: tuple[Told, ...]
    suspense_id: UUID
    owner_id: UUID

    def orphaned(self, ours: Mapping[int, int]) -> list[Told]:
        """What came back and belongs to no payout of `ours`. An early word comes again in a statement: not here."""
        if self.kind != "statement":
            return []
        return [each for each in self.told if each.is_return and each.payout not in ours]


def told_in(entry: Entry, book: int) -> Iterator[Told]:
    """What an entry says of payouts: money that went out under one's reference, and money that came back.

    An entry of several payments speaks through its details; those without an amount of their own say nothing.
    """
    for detail in entry.details or (None,):
        amount = detail.amount_minor if detail is not None and detail.amount_minor is not None else None
        if amount is None and len(entry.details) <= 1:
            amount = entry.amount_minor
        if amount is None or amount == 0:
            continue
        own = () if detail is None else detail.references
        named = named_in((*own, *entry.references))
        payout = named[1] if named is not None and named[0] == book else None
        reason = detail.return_reason if detail is not None else ""
        is_return = amount > 0 and bool(reason or named is not None)
        if payout is not None or is_return:
            line = detail.line if detail is not None else entry.line
            reference = next(iter((*own, *entry.references)), "")
            yield Told(line, payout, abs(amount), is_return, reason, reference)


def advance(db: Db, book: int, *, now: datetime) -> int:
    """Read the statement files of paying accounts that have not been read yet. Returns how many were."""
    unread = _unread(db, book)
    for file_id, bank_account, file in unread:
        lines = list(_lines(db, book, bank_account, file_id))
        ours = _amounts(db, book, (each.payout for line in lines for each in line.told if each.payout))
        # The ledger first, under ids of the lines' own: a crash before the rows repeats them and nothing else.
        suspended = _to_suspense(db, book, bank_account, lines, ours, now)
        with transaction.atomic(using=db):
            report = reports.begin(db, file, actor=postings.ACTOR, now=now)
            if report is not None:  # Else another process read it a moment ago.
                _take(db, report, file, lines, ours, suspended, now=now)
        postings.advance(db, book, now=now)
    return len(unread)


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


def _unread(db: Db, book: int) -> list[tuple[str, int, reports.File]]:
    # By account, from the last one read on: files of an account come in one after the other, and are read so.
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select f.id, f.bank_account_id, f.name, f.format, f.sha256
            from (select distinct bank_account_id as number from custody_payout_terms where book_id = %(book)s) paying
            cross join lateral (
                select * from custody_statement_file
                where bank_account_id = paying.number and source = 'custodian' and id > coalesce((
                    select done.id from custody_statement_file done
                    where done.bank_account_id = paying.number and exists (
                        select from custody_payout_report r where r.book_id = %(book)s and r.sha256 = done.sha256)
                    order by done.id desc limit 1
                ), 0) order by id limit %(limit)s
            ) f
            where exists (select from custody_payout p where p.credit_account = paying.number)
            order by f.id limit %(limit)s
            """,
            {"book": book, "limit": FILES_MAX},
        )
        return [
            (f"stm_{row[0]}", row[1], reports.File(book, None, row[2], row[3], "", bytes(row[4])))
            for row in cursor.fetchall()
        ]


def _lines(db: Db, book: int, bank_account: int, file_id: str) -> Iterator[_Line]:
    """The lines of a file that say something of payouts. A statement comes after its lines."""
    found: list[tuple[Entry, tuple[Told, ...]]] = []
    for row in statement_files.reopened(db, file_id).read():
        if isinstance(row, Entry):
            if told := tuple(told_in(row, book)):
                found.append((row, told))
        else:
            for entry, told in found:
                suspense_id, owner_id = (
                    deposit_booking.transfer_id(bank_account, row.digest, entry.number, suspense=suspense)
                    for suspense in (True, False)
                )
                yield _Line(row.kind, entry, told, suspense_id, owner_id)
            found = []


def _to_suspense(
    db: Db, book: int, bank_account: int, lines: Sequence[_Line], ours: Mapping[int, int], now: datetime
) -> Collection[UUID]:
    """Returns that name no payout of ours, posted to suspense unless deposits take them; what stands there.

    A line has one id in suspense, here and where deposits are taken, whichever file it came in.
    """
    deposits = pay_in.of_account(db, bank_account)
    suspense = postings.suspense_account(db, book, numbers.asset_of(bank_account))
    wanted = []
    for line in lines:
        is_payout = any(each.payout in ours for each in line.told)
        is_deposit = deposits is not None and deposit_booking.takes(
            deposits.details, line.entry, is_payout=is_payout
        )
        if line.orphaned(ours) and not is_deposit:
            wanted.append(line)
    stands = deposit_booking.posted(
        db, [its_id for each in wanted for its_id in (each.suspense_id, each.owner_id)]
    )
    asked = [each for each in wanted if not {each.suspense_id, each.owner_id} & stands.keys()]
    if not asked or suspense is None:
        return stands.keys()
    requests = [_request(bank_account, suspense, each, each.orphaned(ours)) for each in asked]
    results = ledger.post(db, BookId(book), requests, actor=postings.ACTOR, now=now)
    taken = {each.suspense_id for i, each in enumerate(asked) if results.refusal_of(i) is None}
    return taken | stands.keys()


def _request(bank_account: int, suspense: int, line: _Line, orphans: Sequence[Told]) -> TransferRequest:
    return TransferRequest(
        id=transfers.id_text(line.suspense_id.bytes),
        debit_account=numbers.account_text(bank_account),
        credit_account=numbers.account_text(suspense),
        amount_minor=sum(each.amount_minor for each in orphans),
        code=Code.UNIDENTIFIED_RECEIPT.text,
        value_date=line.entry.value_date,
        reference=orphans[0].reference[:140] or None,
    )


def _take(
    db: Db,
    report: int,
    file: reports.File,
    lines: Sequence[_Line],
    ours: Mapping[int, int],
    suspended: Collection[UUID],
    *,
    now: datetime,
) -> None:
    """Let each payout follow what the file says of it; every word is kept, also one that changes nothing."""
    standing = steps.hold_still(db, ours)
    words = []
    for line in lines:
        in_suspense = line.orphaned(ours) if line.suspense_id in suspended else []
        for each in line.told:
            if each.payout is not None and each.payout in ours:
                outcome = _follow(db, report, each, ours[each.payout], standing, now=now)
            elif each in in_suspense:
                outcome = "suspense"
            else:
                outcome = "unchanged" if each.payout is None else "contradicts"
            words.append(
                reports.Word(
                    each.line,
                    each.payout if each.payout in ours else None,
                    "RTRN" if each.is_return else "BOOK",
                    each.reason[:200],
                    outcome,
                    each.amount_minor,
                )
            )
    if words:
        reports.keep(db, report, file, words, actor=postings.ACTOR, now=now)


def _follow(
    db: Db, report: int, each: Told, ordered_minor: int, standing: dict[int, PayoutStatus], *, now: datetime
) -> str:
    """Take a payout to settled, or on to returned, if that is where it goes from here."""
    assert each.payout is not None
    payout = each.payout
    reason = f"rpt_{report} {each.reason}".strip()

    def take(status: PayoutStatus) -> None:
        steps.take(db, [payout], status, reason=reason, actor=postings.ACTOR, now=now)
        standing[payout] = status

    if each.is_return and standing[payout] == _S.RETURNED:
        return "duplicate"
    if standing[payout] == _S.BATCHED:
        take(_S.SENT)
    if each.amount_minor > ordered_minor or (not each.is_return and each.amount_minor != ordered_minor):
        return "contradicts"
    if not each.is_return and standing[payout] in (_S.SETTLED, _S.RETURNED):
        return "unchanged"
    if standing[payout] in (_S.SENT, _S.ACCEPTED):
        # What comes back went out, whether or not the bank said so.
        take(_S.SETTLED)
        if not each.is_return:
            return "applied"
    if standing[payout] != _S.SETTLED:
        return "contradicts"
    take(_S.RETURNED)
    return "applied"


def _amounts(db: Db, book: int, payouts: Iterable[int]) -> dict[int, int]:
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select id, amount_minor from custody_payout where book_id = %s and id = any(%s)",
            [book, sorted(set(payouts))],
        )
        return dict(cursor.fetchall())

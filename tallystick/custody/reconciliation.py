"""Reconciliation: a bank account's statements against its control account, to the last minor unit.

Promises: the statements join without a gap or the run is refused; each line of either side is in exactly
one match or break; the ledger's balance and the breaks make the bank's balance, and what they would leave
over is computed from balances read apart from the lines; the same lines give the same matches, breaks and
digest on any machine. The rule is `matching`, which knows no database.

Both sides are read from the first statement on, every time: a break of last month that today's statement
settles is then matched like any other, and no state has to be carried.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import connections, transaction

from tallystick.core.db import Db
from tallystick.custody import (
    accounts,
    books,
    errors,
    manual_matches,
    matching,
    numbers,
    sides,
    statement_files,
)
from tallystick.custody.breaks import BreakKind
from tallystick.custody.numbers import AccountNumber, BookId, Family
from tallystick.evidence import log
from tallystick.identity import access
from tallystick.identity.access import Actor


@dataclass(frozen=True, slots=True)
class Break:
    """A difference between the bank and the ledger, with the lines it stands for."""

    number: int
    kind: BreakKind
    effect_minor: int
    """What it adds to the bank's total over the ledger's."""
    day: dt.date
    reference: str
    twin: str
    statement_line: int | None
    file: str | None
    line: int | None
    """The statement file and the line in it."""
    position: int | None
    bank_minor: int | None
    ledger_minor: int | None
    text: str
    """What the bank wrote beside it."""
    is_of_channel: bool
    """Whether the line is a payment channel's, and no line of the bank."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A reconciliation as it was recorded."""

    id: str
    book: BookId
    bank_account: AccountNumber
    cut_off: dt.date
    position: int
    bank_balance_minor: int
    ledger_balance_minor: int
    unexplained_minor: int
    matched: int
    breaks: int
    digest: bytes
    at: dt.datetime
    actor: str

    @property
    def difference_minor(self) -> int:
        return self.bank_balance_minor - self.ledger_balance_minor


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a reconciliation found."""

    summary: Summary
    breaks: tuple[Break, ...]
    matched_by: dict[str, int]
    """How many matches each pass made, every pass named, and the ledger lines that cancelled out."""
    matches: matching.Matches
    groups: tuple[matching.Group, ...]
    """One line with many, and a channel's payments with what it paid out: each with its rule and lines."""

    @property
    def breaks_by_kind(self) -> dict[str, int]:
        """How many of each kind, every kind named."""
        return {str(kind): sum(each.kind == kind for each in self.breaks) for kind in BreakKind}

    @property
    def effect_by_kind(self) -> dict[str, int]:
        """What each kind adds to the bank's total over the ledger's."""
        return {
            str(kind): sum(each.effect_minor for each in self.breaks if each.kind == kind)
            for kind in BreakKind
        }


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────


def joined(statements: Sequence[statement_files.Held]) -> None:
    """Each statement opens with what the one before it closed with. Raises `errors.StatementsDoNotJoin`."""
    for before, after in itertools.pairwise(statements):
        if before.closing_minor != after.opening_minor:
            raise errors.StatementsDoNotJoin(
                before=_named(before),
                after=_named(after),
                difference_minor=after.opening_minor - before.closing_minor,
            )


def in_order(statements: Sequence[statement_files.Held]) -> list[statement_files.Held]:
    """Statements by their days; those of one day as their balances join.

    A bank may send several statements a day without numbers. Of those, the one that opens with the last
    closing balance is next; where none does, the given order stays and `joined` tells the gap.
    """
    days: dict[dt.date, list[statement_files.Held]] = {}
    for each in statements:
        days.setdefault(each.to_date, []).append(each)
    ordered: list[statement_files.Held] = []
    for day in sorted(days):
        left = days[day]
        while left:
            closing = ordered[-1].closing_minor if ordered else left[0].opening_minor
            following = next((each for each in left if each.opening_minor == closing), left[0])
            left.remove(following)
            ordered.append(following)
    return ordered


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def latest(db: Db, bank_account: int) -> Summary | None:
    """The newest reconciliation of a bank account."""
    return next(iter(summaries(db, bank_account, limit=1)), None)


def summaries(db: Db, bank_account: int, *, limit: int = 50) -> Sequence[Summary]:
    """The reconciliations of a bank account, the newest first."""
    return _summaries(db, "bank_account_id = %s", [bank_account], limit)


def of_day(db: Db, bank_account: int, day: dt.date) -> Summary | None:
    """The newest reconciliation of a bank account whose cut-off is this day."""
    return next(iter(_summaries(db, "bank_account_id = %s and cut_off = %s", [bank_account, day], 1)), None)


def summary(db: Db, reconciliation: str) -> Summary:
    """One reconciliation. Raises `errors.ReconciliationUnknown`."""
    for found in _summaries(db, "id = %s", [_number(reconciliation)], 1):
        return found
    raise errors.ReconciliationUnknown(reconciliation=reconciliation)


def breaks(db: Db, reconciliation: str) -> Sequence[Break]:
    """The breaks of a reconciliation, in the order of their days."""
    return list(_breaks(db, "b.reconciliation_id = %s", [_number(reconciliation)]).values())


def breaks_at(db: Db, places: Collection[tuple[str, int]]) -> dict[tuple[str, int], Break]:
    """The breaks of these numbers, each in the reconciliation that is named with it."""
    return _breaks(
        db,
        "(b.reconciliation_id, b.number) in (select * from unnest(%s::bigint[], %s::int[]))",
        [[_number(run) for run, _ in places], [number for _, number in places]],
    )


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────


def reconcile(
    db: Db,
    book: int,
    bank_account: int,
    *,
    to: dt.date | None = None,
    window_days: int = matching.WINDOW_DAYS,
    timing_days: int = matching.TIMING_DAYS,
    told: sides.Told | None = None,
    actor: Actor,
    now: dt.datetime,
) -> Reconciled:
    """Match the bank's statements that end by `to` with the control account, and record what is found.

    Bank lines count by their statements, ledger lines by their value date, up to the day of the last of
    these statements: the cut-off. What is known after it only decides kinds. Without `to`, all statements
    count. Raises `errors.BookUnknown`, `AccountUnknown`, `NotAControlAccount`, `NothingToReconcile` or
    `StatementsDoNotJoin`.
    """
    access.require(db, actor, "custody.reconcile")
    books.book(db, book)
    account = accounts.account(db, bank_account)
    if account.family != Family.EXTERNAL or account.book != book:
        raise errors.NotAControlAccount(account=account.text)
    rules = matching.Rules(window_days=window_days, timing_days=timing_days)
    with transaction.atomic(using=db), sides.by_indexes(db):
        both, outcome = _matched(db, account, to, rules, told or _silent)
        difference = both.bank_balance_minor - both.ledger_balance_minor
        unexplained = difference - outcome.effect_minor
        assert unexplained == 0, "a line of one side is in no match and no break, or in two"

        # After this point, the reconciliation stands.
        with connections[db].cursor() as cursor:
            cursor.execute(
                "insert into custody_reconciliation (book_id, bank_account_id, cut_off, position,"
                " bank_balance_minor, ledger_balance_minor, unexplained_minor, matched, breaks, window_days,"
                " timing_days, digest, at, actor)"
                " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) returning id",
                [
                    book,
                    bank_account,
                    both.cut_off,
                    both.position,
                    both.bank_balance_minor,
                    both.ledger_balance_minor,
                    unexplained,
                    outcome.matched,
                    len(outcome.breaks),
                    window_days,
                    timing_days,
                    outcome.digest,
                    now,
                    actor.id,
                ],
            )
            identity = f"rec_{cursor.fetchone()[0]}"
            _write_breaks(db, identity, outcome.breaks)
        log.append(
            db,
            "custody.reconciled",
            {
                "reconciliation": identity,
                "bank_account": account.text,
                "cut_off": both.cut_off.isoformat(),
                "position": both.position,
                "bank_balance_minor": str(both.bank_balance_minor),
                "ledger_balance_minor": str(both.ledger_balance_minor),
                "unexplained_minor": str(unexplained),
                "matched": outcome.matched,
                "breaks": len(outcome.breaks),
                "digest": outcome.digest.hex(),
            },
            actor=actor.id,
            at=now,
        )
        return Reconciled(
            summary(db, identity),
            tuple(breaks(db, identity)),
            outcome.by_pass,
            outcome.matches,
            outcome.groups,
        )


def _matched(
    db: Db, account: accounts.Account, to: dt.date | None, rules: matching.Rules, told: sides.Told
) -> tuple[sides.Sides, matching.Outcome]:
    """Both sides as of now, and what comes of them."""
    held = in_order(statement_files.statements(db, account.number))
    counted = [each for each in held if to is None or each.to_date <= to]
    if not counted:
        raise errors.NothingToReconcile(account=account.text, to=to.isoformat() if to else "today")
    joined(counted)
    both = sides.sides(db, account, counted, held[len(counted) :], told)
    # What two people said goes before what any pass would say.
    both, groups = sides.by_hand(db, both, manual_matches.standing(db, account.number))
    told("match", 0, 1)
    work = matching.match(both.bank, both.ledger, both.channel, rules=rules)
    around = sides.around(db, account, both, set(matching.spoken(work)))
    outcome = matching.judge(work, around)
    outcome = replace(outcome, groups=(*groups, *outcome.groups))
    told("match", 1, 1)
    return both, matching.with_opening(outcome, opening_minor=both.opening_minor, start=both.start)


def _silent(_what: str, _done: int, _of: int) -> None:
    """Tells nobody."""


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────


def _write_breaks(db: Db, reconciliation: str, found: Sequence[matching.Break]) -> None:
    twins = [int(each.twin) for each in found if each.kind == BreakKind.DUPLICATE and not _of_ledger(each)]
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select l.id, s.file_id, l.line from custody_statement_line l"
            " join custody_statement s on s.id = l.statement_id where l.id = any(%s)",
            [twins],
        )
        places = {str(key): f"stm_{file_id}:{line}" for key, file_id, line in cursor.fetchall()}
        cursor.executemany(
            "insert into custody_break (reconciliation_id, number, kind, effect_minor, statement_line,"
            " position, reference, day, twin) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (
                    _number(reconciliation),
                    number,
                    str(each.kind),
                    each.effect_minor,
                    each.channel if each.bank is None else each.bank,
                    each.position,
                    each.reference,
                    each.day,
                    _twin(each, places),
                )
                for number, each in enumerate(found, start=1)
            ],
        )


def _twin(found: matching.Break, places: dict[str, str]) -> str:
    """The line a duplicate repeats, as a person finds it: file and line, or the ledger's position."""
    if found.kind != BreakKind.DUPLICATE:
        return found.twin
    return f"#{found.twin}" if _of_ledger(found) else places[found.twin]


def _of_ledger(found: matching.Break) -> bool:
    return found.bank is None and found.channel is None


def _breaks(db: Db, where: str, parameters: Sequence[Any]) -> dict[tuple[str, int], Break]:
    with connections[db].cursor() as cursor:
        cursor.execute(
            f"""
            select b.reconciliation_id, b.number, b.kind, b.effect_minor, b.day, b.reference, b.twin,
                b.statement_line, s.file_id, l.line, b.position, l.amount_minor,
                case when t.debit_account = r.bank_account_id then t.amount_minor else -t.amount_minor end,
                concat_ws(' · ', nullif(l.counterparty_name, ''), nullif(l.remittance, '')),
                coalesce(s.kind = 'settlement', false)
            from custody_break b join custody_reconciliation r on r.id = b.reconciliation_id
            left join custody_statement_line l on l.id = b.statement_line
            left join custody_statement s on s.id = l.statement_id
            left join custody_transfer t on t.book_id = r.book_id and t.position = b.position
            where {where} order by b.reconciliation_id, b.number
            """,  # noqa: S608 -- one of two constants above
            parameters,
        )
        return {
            (f"rec_{row[0]}", row[1]): Break(
                number=row[1],
                kind=BreakKind(row[2]),
                effect_minor=row[3],
                day=row[4],
                reference=row[5],
                twin=row[6],
                statement_line=row[7],
                file=None if row[8] is None else f"stm_{row[8]}",
                line=row[9],
                position=row[10],
                bank_minor=row[11],
                ledger_minor=row[12],
                text=row[13],
                is_of_channel=row[14],
            )
            for row in cursor.fetchall()
        }


def _summaries(db: Db, where: str, parameters: Sequence[int | dt.date], limit: int) -> list[Summary]:
    with connections[db].cursor() as cursor:
        cursor.execute(
            f"""
            select id, book_id, bank_account_id, cut_off, position, bank_balance_minor, ledger_balance_minor,
                unexplained_minor, matched, breaks, digest, at, actor
            from custody_reconciliation where {where} order by id desc limit %s
            """,  # noqa: S608 -- one of the constants above
            [*parameters, limit],
        )
        return [
            Summary(
                id=f"rec_{row[0]}",
                book=BookId(row[1]),
                bank_account=AccountNumber(row[2]),
                cut_off=row[3],
                position=row[4],
                bank_balance_minor=row[5],
                ledger_balance_minor=row[6],
                unexplained_minor=row[7],
                matched=row[8],
                breaks=row[9],
                digest=bytes(row[10]),
                at=row[11],
                actor=row[12],
            )
            for row in cursor.fetchall()
        ]


def _named(statement: statement_files.Held) -> str:
    return f"{statement.number or statement.identification} ({statement.to_date}, {statement.file})"


def _number(reconciliation: str) -> int:
    number = numbers.row_number(reconciliation, "rec_")
    if number is None:
        raise errors.ReconciliationUnknown(reconciliation=reconciliation)
    return number

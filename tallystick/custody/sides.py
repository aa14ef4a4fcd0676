"""Both sides of a reconciliation, read as columns, in memory that grows with their numbers and not their words.

Promises: one position of the book and no line after it; every line of either side up to the cut-off once;
of what lies around them only what the lines that are left speak of. Tables are walked by their indexes
whatever the planner knows of them: right after a bulk load it knows nothing, and would read a table for
every row of another.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from django.db import connections

from tallystick.core.db import Db
from tallystick.custody import (
    accounts,
    codes,
    history,
    manual_matches,
    matching,
    numbers,
    statement_files,
)
from tallystick.custody.matching.lines import Ints, Names, total

Told = Callable[[str, int, int], None]
"""What is being done, how much of it is done, and of how much; 0 where nobody knows."""

_PART_REFERENCES = ("end_to_end_id", "instruction_id", "transaction_id", "servicer_reference")

AT_ONCE = 20_000
"""Rows held as Python's own, before they become columns."""


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """Everything one run compares."""

    cut_off: dt.date
    position: int
    bank_balance_minor: int
    ledger_balance_minor: int
    bank: matching.Bank
    ledger: matching.Ledger
    channel: matching.Channel
    ledger_after: matching.Ledger
    """Ledger lines of after the cut-off: they decide kinds only."""
    statements_after: tuple[int, ...]
    bank_known_to: dt.date
    start: dt.date
    """The first day the statements cover."""
    opening_minor: int
    """The bank's first opening balance, less what the ledger opened the account with."""


@contextmanager
def by_indexes(db: Db) -> Iterator[None]:
    """Within a transaction: no table is read from end to end where an index leads to the rows."""
    with connections[db].cursor() as cursor:
        cursor.execute("set local enable_seqscan = off")
        try:
            yield
        finally:
            # After a refusal by the database the transaction is lost anyway, and the setting with it.
            if not connections[db].needs_rollback:
                cursor.execute("set local enable_seqscan = on")


def sides(
    db: Db,
    account: accounts.Account,
    counted: Sequence[statement_files.Held],
    following: Sequence[statement_files.Held],
    told: Told,
) -> Sides:
    """The lines of these statements, and what the ledger has up to the day of the last of them."""
    first, last = counted[0], counted[-1]
    cut_off = last.to_date
    # The position first: what is posted from here on is left out of lines and balance alike.
    balance = history.balance(db, account.number)
    posted, code = _ledger(db, account.number, balance.position, told)
    is_counted = posted.day <= cut_off.toordinal()
    is_opening = is_counted & (code == codes.Code.OPENING_BALANCE)
    after = _rows(posted, ~is_counted)
    return Sides(
        cut_off=cut_off,
        position=balance.position,
        bank_balance_minor=last.closing_minor,
        ledger_balance_minor=balance.balance_minor - total(after.amount_minor),
        bank=_bank(db, [each.id for each in counted], sum(each.entries for each in counted), told),
        ledger=_rows(posted, is_counted & ~is_opening),
        channel=_channel(db, account.number, cut_off, told),
        ledger_after=after,
        statements_after=tuple(each.id for each in following),
        bank_known_to=(following or counted)[-1].to_date,
        start=first.from_date or first.to_date,
        opening_minor=first.opening_minor - total(posted.amount_minor[is_opening]),
    )


def by_hand(
    db: Db, both: Sides, standing: Sequence[manual_matches.Standing]
) -> tuple[Sides, list[matching.Group]]:
    """Both sides without what people matched by hand, and those matches as groups.

    Only a match whose lines are all here, and add up, is honoured: as of an earlier day, or with its
    write-off not yet posted, its lines are judged like any others.
    """
    groups: list[matching.Group] = []
    lines: list[int] = []
    positions: list[int] = []
    # Each side is looked through once, however many matches there are.
    at_bank = _amounts(both.bank.key, both.bank.amount_minor, (each.statement_lines for each in standing))
    in_ledger = _amounts(
        both.ledger.position, both.ledger.amount_minor, (each.positions for each in standing)
    )
    for each in standing:
        is_whole = at_bank.keys() >= set(each.statement_lines) and in_ledger.keys() >= set(each.positions)
        if is_whole and (
            sum(at_bank[line] for line in each.statement_lines)
            == sum(in_ledger[position] for position in each.positions)
        ):
            groups.append(matching.Group(matching.Rule.BY_HAND, each.statement_lines, each.positions))
            lines.extend(each.statement_lines)
            positions.extend(each.positions)
    if not groups:
        return both, []
    kept = ~np.isin(both.bank.key, lines)
    key = both.bank.key[kept]
    bank = matching.Bank(
        key=key,
        day=both.bank.day[kept],
        amount_minor=both.bank.amount_minor[kept],
        reference=both.bank.reference[kept],
        currency=both.bank.currency[kept],
        said=lambda rows: _said(db, key[rows]),
    )
    ledger = _rows(both.ledger, ~np.isin(both.ledger.position, positions))
    return replace(both, bank=bank, ledger=ledger), groups


def around(db: Db, account: accounts.Account, both: Sides, spoken: Set[str]) -> matching.Around:
    """What is known besides both sides of the words that the lines left over speak."""
    if not spoken:
        # Nothing was left over: nobody need be asked about anything.
        return matching.Around(cut_off=both.cut_off, bank_known_to=both.bank_known_to)
    return matching.Around(
        cut_off=both.cut_off,
        bank_known_to=both.bank_known_to,
        bank_after=list(_bank_after(db, both.statements_after, spoken)),
        ledger_after=_ledger_after(both.ledger_after, spoken),
        ledger_elsewhere=_ledger_elsewhere(db, account, both.position, spoken),
        bank_elsewhere=_bank_elsewhere(db, account, spoken),
        known=_known(db, account.book, spoken),
    )


# ── columns ──────────────────────────────────────────────────────────────────────────────────────────────


def _ledger(db: Db, account: int, position: int, told: Told) -> tuple[matching.Ledger, Ints]:
    """What was posted on the control account, and its codes; holds and what lets them go move nothing."""
    columns = _columns(
        db,
        """
        select t.position, t.value_date - date '0001-01-01' + 1,
            case when t.debit_account = e.account then t.amount_minor else -t.amount_minor end,
            coalesce(t.reverses_position, -1), t.code, coalesce(t.reference, p.reference, '')
        from custody_entry e
        join custody_transfer t on t.book_id = %(book)s and t.position = e.position
        left join custody_transfer p on p.book_id = %(book)s and p.position = t.pending_position
        where e.account = %(account)s and e.position <= %(position)s and t.kind in (1, 3)
        order by e.position
        """,
        {"account": account, "book": numbers.book_of(account), "position": position},
        numbers_first=5,
        names_last=1,
        told=lambda done: told("ledger", done, 0),
    )
    positions, day, amount, reverses, code, reference = columns
    lines = matching.Ledger(
        position=positions,
        day=day.astype(np.int32),
        amount_minor=amount,
        reference=reference,
        currency=np.zeros(len(positions), np.int64),
        reverses=reverses,
    )
    return lines, code


def _bank(db: Db, statement_ids: Sequence[int], lines: int, told: Told) -> matching.Bank:
    """The lines of these statements. Banks write informational entries of nothing; they match nothing."""
    key, day, amount, reference = _columns(
        db,
        """
        select l.id, l.booking_date - date '0001-01-01' + 1, l.amount_minor, coalesce(l."references" ->> 0, '')
        from custody_statement_line l
        where l.statement_id = any(%(statements)s) and l.amount_minor <> 0
        """,
        {"statements": list(statement_ids)},
        numbers_first=3,
        names_last=1,
        told=lambda done: told("statements", done, lines),
    )
    return matching.Bank(
        key=key,
        day=day.astype(np.int32),
        amount_minor=amount,
        reference=reference,
        currency=np.zeros(len(key), np.int64),
        said=lambda rows: _said(db, key[rows]),
    )


def _channel(db: Db, account: int, cut_off: dt.date, told: Told) -> matching.Channel:
    """The payments that channels told of up to the cut-off, whenever they come to the bank."""
    settlements = statement_files.told(db, account, kinds=("settlement",))
    columns = _columns(
        db,
        """
        select l.id, l.booking_date - date '0001-01-01' + 1, coalesce(l.gross_minor, l.amount_minor),
            coalesce(l.fee_minor, 0), coalesce(l."references" ->> 0, ''), l.settlement
        from custody_statement_line l
        where l.statement_id = any(%(statements)s) and l.booking_date <= %(cut_off)s
        """,
        {"statements": [each.id for each in settlements], "cut_off": cut_off},
        numbers_first=4,
        names_last=2,
        told=lambda done: told("channel", done, 0),
    )
    key, day, gross, fee, reference, settlement = columns
    return matching.Channel(
        key=key,
        day=day.astype(np.int32),
        gross_minor=gross,
        fee_minor=fee,
        reference=reference,
        settlement=settlement,
        currency=np.zeros(len(key), np.int64),
    )


def _columns(
    db: Db,
    sql: str,
    parameters: dict[str, Any],
    *,
    numbers_first: int,
    names_last: int,
    told: Callable[[int], None],
) -> list[Any]:
    """Rows as columns: whole numbers, then references."""
    ints: list[list[Ints]] = [[np.zeros(0, np.int64)] for _ in range(numbers_first)]
    texts: list[list[Names]] = [[np.zeros(0, "S8")] for _ in range(names_last)]
    done = 0
    for rows in _stretches(db, sql, parameters):
        columns = list(zip(*rows, strict=True))
        for held, column in zip(ints, columns[:numbers_first], strict=True):
            held.append(np.array(column, np.int64))
        for held_names, column in zip(texts, columns[numbers_first:], strict=True):
            held_names.append(matching.names(column))
        done += len(rows)
        told(done)
    return [*(np.concatenate(held) for held in ints), *(np.concatenate(held) for held in texts)]


def _stretches(db: Db, sql: str, parameters: dict[str, Any]) -> Iterator[list[tuple[Any, ...]]]:
    """Rows by a cursor of the server's, a stretch at a time: the whole is never in memory."""
    with connections[db].chunked_cursor() as cursor:
        cursor.execute(sql, parameters)
        while rows := cursor.fetchmany(AT_ONCE):
            yield rows


def _rows(lines: matching.Ledger, chosen: Any) -> matching.Ledger:
    return matching.Ledger(
        position=lines.position[chosen],
        day=lines.day[chosen],
        amount_minor=lines.amount_minor[chosen],
        reference=lines.reference[chosen],
        currency=lines.currency[chosen],
        reverses=lines.reverses[chosen],
    )


def _amounts(keys: Ints, amounts: Ints, wanted: Iterable[Sequence[int]]) -> dict[int, int]:
    """The amounts of these lines, as far as they are there."""
    there = np.isin(keys, list(itertools.chain.from_iterable(wanted)))
    return dict(zip(keys[there].tolist(), amounts[there].tolist(), strict=True))


def _parsed(column: str | list[Any]) -> list[Any]:
    """A JSON column of a plain cursor comes as it is written."""
    return json.loads(column) if isinstance(column, str) else column


# ── words ────────────────────────────────────────────────────────────────────────────────────────────────


def _said(db: Db, ids: Ints) -> list[matching.Said]:
    """What lines say, in the order they are asked for."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            'select id, "references", remittance, counterparty_name, counterparty_account, details'
            " from custody_statement_line where id = any(%s)",
            [ids.tolist()],
        )
        found = {
            key: matching.Said(
                matching.cleaned(_parsed(references)), f"{text} {name}".strip(), account, _parts(details)
            )
            for key, references, text, name, account, details in cursor.fetchall()
        }
    return [found[key] for key in ids.tolist()]


def _parts(details: str | list[Any]) -> tuple[matching.Part, ...]:
    """The transactions of a batch; none unless the bank says the amount of each."""
    told = _parsed(details)
    if any("amount_minor" not in each for each in told):
        return ()
    return tuple(
        matching.Part(
            matching.cleaned([each[name] for name in _PART_REFERENCES if name in each]), each["amount_minor"]
        )
        for each in told
    )


def _bank_after(db: Db, statement_ids: Sequence[int], spoken: Set[str]) -> Iterator[matching.BankLine]:
    """Later lines that speak of what is left."""
    for rows in _stretches(
        db,
        'select id, booking_date, amount_minor, "references", remittance, counterparty_name'
        " from custody_statement_line where statement_id = any(%(statements)s)",
        {"statements": list(statement_ids)},
    ):
        for key, day, amount, references, remittance, name in rows:
            told = matching.cleaned(_parsed(references))
            text = f"{remittance} {name}".strip()
            if not spoken.isdisjoint(told) or not spoken.isdisjoint(matching.words(text)):
                yield matching.BankLine(key, day, amount, told, text)


def _ledger_after(after: matching.Ledger, spoken: Set[str]) -> list[matching.LedgerLine]:
    columns = (after.position, after.day, after.amount_minor, after.reference)
    return [
        matching.LedgerLine(position, dt.date.fromordinal(day), amount, reference.decode(errors="replace"))
        for position, day, amount, reference in zip(*(each.tolist() for each in columns), strict=True)
        if reference.decode(errors="replace") in spoken
    ]


def _ledger_elsewhere(db: Db, account: accounts.Account, position: int, spoken: Set[str]) -> dict[str, str]:
    """Where on the book's other control accounts references stand that this one does not carry."""
    found = {}
    for rows in _stretches(
        db,
        """
        select t.reference, e.account
        from custody_account a
        join custody_entry e on e.account = a.number and e.position <= %(position)s
        join custody_transfer t on t.book_id = %(book)s and t.position = e.position
        where a.book_id = %(book)s and a.family = 3 and a.number <> %(account)s
            and %(account)s not in (t.debit_account, t.credit_account) and t.reference is not null
        order by e.account desc
        """,
        {"account": account.number, "book": account.book, "position": position},
    ):
        for reference, at in rows:
            if (word := matching.normal(reference)) in spoken:
                found[word] = numbers.account_text(at)
    return found


def _bank_elsewhere(db: Db, account: accounts.Account, spoken: Set[str]) -> dict[str, str]:
    """At which of the book's other bank accounts references stand on a line."""
    found = {}
    for rows in _stretches(
        db,
        """
        select reference.value, s.bank_account_id
        from custody_statement s
        join custody_statement_line l on l.statement_id = s.id
        cross join lateral jsonb_array_elements_text(l."references") as reference (value)
        where s.bank_account_id <> %(account)s and s.bank_account_id / %(unit)s = %(book)s
            and s.kind = 'statement'
        order by s.bank_account_id desc
        """,
        {"account": account.number, "unit": numbers.BOOK_UNIT, "book": account.book},
    ):
        for reference, at in rows:
            if (word := matching.normal(reference)) in spoken:
                found[word] = numbers.account_text(at)
    return found


def _known(db: Db, book: int, spoken: Set[str]) -> set[str]:
    """Of these words those that name somebody of this book: owners, accounts, those who were paid."""
    found: set[str] = set()
    for rows in _stretches(
        db,
        "select owner, reference, number from custody_account where book_id = %(book)s and family <> 3",
        {"book": book},
    ):
        for owner, reference, number in rows:
            told = (owner, reference, numbers.account_text(number))
            found.update(word for word in map(matching.normal, told) if word in spoken)
    for rows in _stretches(
        db,
        "select distinct payee from custody_transfer where book_id = %(book)s and payee is not null",
        {"book": book},
    ):
        found.update(word for (payee,) in rows if (word := matching.normal(payee)) in spoken)
    return found - {""}

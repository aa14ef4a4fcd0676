"""Movements: a book's posted transfers in columns, with what pooling asks of them, read in one go."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db import connections

from tallystick.core.db import Db
from tallystick.custody import history, numbers
from tallystick.custody.codes import Code
from tallystick.custody.numbers import AuthorisationKind, Family
from tallystick.custody.pooling import errors

TERM = "term_days"
"""The name in a transfer's metadata under which a lending or a disbursement states its term in days."""

TERM_MAX = 36_500

Column = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Movements:
    """Posted transfers by position, as columns of the same length.

    Accounts are numbered from 0 in `accounts`; `owner` says whose each is (numbered too; -1: no client's).
    at: microseconds since 1970. term_days: as metadata states it, else 0. A transfer that was reversed and
    its reversal are both left out. schedule_days: for an account, the days over which its owner's schedule
    of repayments runs, where there is one.
    """

    position: Column
    code: Column
    giver: Column
    taker: Column
    amount_minor: Column
    at: Column
    term_days: Column
    accounts: Column
    owner: Column
    schedule_days: dict[int, int]
    reversed_pairs: int = 0

    def __len__(self) -> int:
        return len(self.position)


def columns(rows: Sequence[tuple[int, ...]], owners: dict[int, str], schedules: dict[int, int]) -> Movements:
    """Rows of (position, code, debit, credit, amount, microseconds, term, reverses) as columns.

    owners: the client of each client account. A pair of a transfer and its reversal is as though it had
    never been.
    """
    table = np.array(rows, dtype=np.int64).reshape(len(rows), 8)
    undone = set(table[table[:, 7] > 0, 7].tolist()) & set(table[:, 0].tolist())
    stays = ~(np.isin(table[:, 0], list(undone)) | np.isin(table[:, 7], list(undone)))
    table = table[stays]
    numbers_, places = np.unique(table[:, 2:4], return_inverse=True)
    places = places.reshape(-1, 2)
    clients = {owner: n for n, owner in enumerate(sorted(set(owners.values())))}
    owner = np.array(
        [clients[owners[number]] if number in owners else -1 for number in numbers_.tolist()], dtype=np.int64
    )
    return Movements(
        position=table[:, 0],
        code=table[:, 1],
        giver=places[:, 0],
        taker=places[:, 1],
        amount_minor=table[:, 4],
        at=table[:, 5],
        term_days=table[:, 6],
        accounts=numbers_,
        owner=owner,
        schedule_days=schedules,
        reversed_pairs=len(undone),
    )


def term_of(metadata: str | None) -> int:
    """The term in days that a transfer's metadata states; 0 where it states none that makes sense."""
    if not metadata or TERM not in metadata:
        return 0
    try:
        stated = json.loads(metadata).get(TERM)
    except (ValueError, AttributeError, RecursionError):
        return 0
    return stated if type(stated) is int and 1 <= stated <= TERM_MAX else 0


def read(
    db: Db, book: int, asset: int, *, to_position: int | None = None, most: int | None = None
) -> Movements:
    """The movements of a book in one asset (by its number), from its beginning.

    most: how many at most; else however many there are. Raises `errors.TooManyToFollow`, and as
    `history.as_of` does.
    """
    to = history.as_of(db, book, at_position=to_position)
    client = book * numbers.BOOK_UNIT + Family.CLIENT * numbers.FAMILY_UNIT
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select t.position, t.code, t.debit_account, t.credit_account, t.amount_minor,
                (extract(epoch from t.recorded_at) * 1000000)::bigint, coalesce(t.reverses_position, 0),
                -- Nearly none has any, and text is dear.
                case when position(%(term)s in coalesce(t.metadata, p.metadata)) > 0
                    then coalesce(t.metadata, p.metadata) end
            from custody_transfer t
            left join custody_transfer p
                on t.kind = 3 and p.book_id = t.book_id and p.position = t.pending_position
            where t.book_id = %(book)s and t.position <= %(to)s and t.kind in (1, 3)
                -- Book, family and asset are the number without its last ten digits.
                and t.debit_account / 10000000000 %% 10000 = %(asset)s
            order by t.position limit %(limit)s
            """,
            {
                "book": book,
                "to": to,
                "term": TERM,
                "asset": asset,
                "limit": None if most is None else most + 1,
            },
        )
        if most is not None and cursor.rowcount > most:
            raise errors.TooManyToFollow(most=most)
        rows = [(*row[:6], term_of(row[7]), row[6]) for row in cursor.fetchall()]
        cursor.execute(
            "select number, owner from custody_account where number >= %s and number < %s",
            [client, client + numbers.FAMILY_UNIT],
        )
        owners = dict(cursor.fetchall())
        cursor.execute(
            """
            select credit_account, max(ceil(extract(epoch from valid_until - valid_from) / 86400))::int
            from custody_authorisation
            where book_id = %s and code = %s and number %% 10 = %s group by credit_account
            """,
            [book, int(Code.REPAY), int(AuthorisationKind.SCHEDULE)],
        )
        schedules = dict(cursor.fetchall())
    return columns(rows, owners, schedules)

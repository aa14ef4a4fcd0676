"""Parties: which clients stand behind what a request names, for the trail of who looked at whose data.

Promises: accounts, authorisations, transfers, payouts, bank accounts, quotes and users lead to the clients
whose they are; what is not there, or is of another form, leads to nobody and is no fault.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.db import connections

from tallystick.core.db import Db
from tallystick.custody import numbers, transfers
from tallystick.identity import users

REFERENCES_MAX = 200
"""So many ids of one request are looked up; whoever names more is entered as looking at many."""

_ROWS = {"payouts": "pay_", "bank_accounts": "bnk_", "quotes": "quo_"}

_OWNERS = """
with named as (
    select unnest(%(accounts)s::bigint[]) as account
    union select debit_account from custody_authorisation where number = any (%(authorisations)s)
    union select unnest(array[debit_account, credit_account])
        from custody_transfer where id = any (%(transfers)s::uuid[])
    union select unnest(array[t.debit_account, t.credit_account])
        from unnest(%(books)s::int[], %(positions)s::bigint[]) at (book, position)
        join custody_transfer t on t.book_id = at.book and t.position = at.position
)
select a.owner from named join custody_account a on a.number = named.account where a.owner <> ''
union
select p.customer_number from named
cross join lateral (
    select id from custody_holding where account_id = named.account order by id desc limit 1
) h join custody_holding_party p on p.holding_id = h.id
union select owner from custody_payout where id = any (%(payouts)s)
union select owner from custody_bank_account where id = any (%(bank_accounts)s)
union select owner from custody_exchange_quote where id = any (%(quotes)s)
"""


def behind(db: Db, references: Sequence[str]) -> Sequence[str]:
    """The customer numbers behind these ids, each once, in order. `book:1/7` is the transfer at position 7."""
    asked: dict[str, list[object]] = {
        name: [] for name in ("accounts", "authorisations", "transfers", "books", "positions", *_ROWS)
    }
    people: list[int] = []
    for text in references[:REFERENCES_MAX]:
        _sort(text, asked, people)
    found = set(users.customer_numbers(db, people)) if people else set()
    if any(asked.values()):
        with connections[db].cursor() as cursor:
            cursor.execute(_OWNERS, asked)
            found.update(owner for (owner,) in cursor.fetchall())
    return sorted(found)


def ended(db: Db, payload: Mapping[str, object]) -> datetime | None:
    """When the last account of every client that a payload is about was closed; nothing while one is open.

    Nothing, too, where it names nobody, or somebody who never had an account: then nobody can tell.
    """
    named = [value for value in payload.values() if isinstance(value, str)]
    owners = {payload.get(name) for name in ("owner", "customer", "customer_number")} - {None, ""}
    owners |= set(behind(db, named))
    if not owners:
        return None
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select bool_and(coalesce(s.status, '') = 'closed') and count(distinct a.owner) = %(many)s, max(s.at)
            from custody_account a left join lateral (
                select status, at from custody_account_state where account_id = a.number order by id desc limit 1
            ) s on true
            where a.owner = any (%(owners)s)
            """,
            {"owners": sorted(map(str, owners)), "many": len(owners)},
        )
        is_over, last = cursor.fetchone()
    return last if is_over else None


def _sort(text: str, asked: dict[str, list[object]], people: list[int]) -> None:
    """Put one id where it is looked up."""
    for name, prefix in _ROWS.items():
        if (number := numbers.row_number(text, prefix)) is not None:
            asked[name].append(number)
            return
    if (user := numbers.row_number(text, "usr_")) is not None:
        people.append(user)
        return
    book, _, position = text.removeprefix("book:").partition("/")
    if text.startswith("book:") and book.isdigit() and position.isdigit() and len(book + position) <= 20:
        asked["books"].append(int(book))
        asked["positions"].append(int(position))
        return
    for name, parse in (("accounts", numbers.parse_account), ("authorisations", numbers.parse_authorisation)):
        with contextlib.suppress(ValueError):
            asked[name].append(parse(text))
            return
    if text.startswith("trf_"):
        with contextlib.suppress(ValueError):
            asked["transfers"].append(UUID(bytes=transfers.parse_id(text)))

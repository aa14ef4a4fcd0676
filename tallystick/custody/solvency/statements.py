"""Solvency statements: made for a day that is over, chained, told to the log, and read again.

Promises: a statement is appended and never changed; its trees are of the ledger's position at the day's close;
what it takes from the bank is what the safeguarding proof takes; there is one for a day also when there is too
little or the bank is silent, and the newest of a day counts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import connections, transaction

from tallystick.core.db import Db
from tallystick.custody import accounts, assets, books, errors, numbers, statement_files
from tallystick.custody.numbers import BookId
from tallystick.custody.safeguarding import arrangements, close
from tallystick.custody.safeguarding.comparison import AccountRole
from tallystick.custody.solvency import balances, statement_file, tree_keys, trees
from tallystick.custody.solvency.statement_file import Asset, Banked, State
from tallystick.evidence import canonical, keys, log, reading
from tallystick.evidence.liabilities import profile
from tallystick.identity import access
from tallystick.identity.access import Actor

SOLVENCY_LOCK = 1952541807
"""First key of the advisory lock under which a book's statements follow one another; the second is the book."""

FRAGMENTS = 2
"""Into how many parts a balance is split: a stranger who sees one sees neither the balance nor whose it is."""

ASSETS_MAX = 20
"""Of one statement: it fits into an entry of the log."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as it was made. `text` is the JSON that its digest is over."""

    id: str
    """`sol_` and a number."""
    book: BookId
    number: int
    day: dt.date
    position: int
    state: State
    text: str
    previous_digest: bytes | None
    digest: bytes
    event: int
    at: dt.datetime
    actor: str

    @property
    def told(self) -> dict[str, Any]:
        return statement_file.read(self.text)


@dataclass(frozen=True, slots=True)
class _Made:
    """One asset of a statement about to be written."""

    asset: assets.Asset
    told: Asset
    sealed_key: bytes


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def statement(db: Db, statement_id: str) -> Statement:
    """One statement. Raises `errors.SolvencyStatementUnknown`."""
    for found in _statements(db, "id = %s", [numbers.row_number(statement_id, "sol_")], 1):
        return found
    raise errors.SolvencyStatementUnknown(statement=statement_id)


def statements(db: Db, book: int, *, before: int | None = None, limit: int = 50) -> Sequence[Statement]:
    """The statements of a book, the newest first; `before` (a number) continues a page."""
    return _statements(
        db, "book_id = %s and (%s::bigint is null or number < %s)", [book, before, before], limit
    )


def of_day(db: Db, book: int, day: dt.date) -> Statement | None:
    """The newest statement of a day."""
    return next(iter(_statements(db, "book_id = %s and day = %s", [book, day], 1)), None)


def missing_since(db: Db, book: books.Book, *, now: dt.datetime) -> dt.date | None:
    """The first day after the last stated one that is over and was told nobody of: silence is a finding too."""
    newest = next(iter(statements(db, book.id, limit=1)), None)
    due = book.today(now) - dt.timedelta(days=1)
    if newest is None:
        return None
    after = newest.day + dt.timedelta(days=1)
    return after if after <= due else None


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────


def state(
    db: Db,
    book: int,
    day: dt.date,
    *,
    folder: Path,
    actor: Actor,
    now: dt.datetime,
    workers: int = 1,
    progress: balances.Progress | None = None,
) -> Statement:
    """Make the statement of a day that is over, its trees in `folder`, and tell the log.

    Raises `errors.BookUnknown`, `TimeBeforeBook` or `DayNotOver`.
    """
    access.require(db, actor, "custody.state_solvency")
    found = books.book(db, book)
    close.day_over(found, day, now=now)
    position = close.position_of(db, found, day)
    cut_off = close.closing_time(found, day)
    with transaction.atomic(using=db):
        with connections[db].cursor() as cursor:
            # One after the other: each names the digest of the one before it.
            cursor.execute("select pg_advisory_xact_lock(%s, %s)", [SOLVENCY_LOCK, book])
        before = next(iter(statements(db, book, limit=1)), None)
        number = before.number + 1 if before else 1
        banked = _banked(db, book, day)
        seen = _ledger_log(db)
        made = [
            _made(
                db,
                asset,
                trees.Cut(
                    book=found.id,
                    origin=_origin(db),
                    asset=asset,
                    audit=number,
                    day=day,
                    cut_off=cut_off,
                    position=position,
                    fragments=FRAGMENTS,
                    ledger_log=seen,
                ),
                banked.get(asset.code, ()),
                folder=folder,
                workers=workers,
                progress=progress,
            )
            for asset in _assets(db, book, cut_off)
        ]
        text = canonical.text(
            {
                "schema": statement_file.SCHEMA,
                "origin": _origin(db),
                "book": book,
                "book_name": found.name,
                "number": number,
                "day": day.isoformat(),
                "cut_off": profile.moment(cut_off),
                "position": position,
                "ledger_log": seen,
                "previous": {"number": before.number, "digest": before.digest.hex()} if before else None,
                "produced_at": profile.moment(now),
                "assets": [each.told.spelled() for each in made],
                "state": str(statement_file.overall([each.told.state for each in made])),
            }
        )
        assert not statement_file.differences(text), "what we tell adds up"
        return _write(db, book, day, position, number, text, before, made, actor=actor, now=now)


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


def _made(
    db: Db,
    asset: assets.Asset,
    cut: trees.Cut,
    banked: Sequence[Banked],
    *,
    folder: Path,
    workers: int,
    progress: balances.Progress | None,
) -> _Made:
    built = trees.make(db, cut, folder=folder, workers=workers, progress=progress)
    told = Asset(
        code=asset.code,
        scale=asset.scale,
        commitment=built.tree.commitment,
        total_minor=int(str(built.tree.commitment["total"])),
        unallocated_minor=balances.unallocated(db, cut.book, asset.number, cut.position),
        debts=built.debts.accounts,
        debts_minor=built.debts.amount_minor,
        banked=banked,
    )
    return _Made(asset, told, tree_keys.sealed(built.keys, built.id))


def _banked(db: Db, book: int, day: dt.date) -> Mapping[str, Sequence[Banked]]:
    """Each asset's safeguarded accounts, and what their keepers' statements say for the close of the day."""
    found: dict[str, list[Banked]] = {}
    declared = arrangements.declared(db, book)
    for account in accounts.external(db, book):
        terms = declared[account.number].terms if account.number in declared else None
        if terms is None or terms.role != AccountRole.SAFEGUARDING:
            continue
        heard = close.heard(db, account, day)
        found.setdefault(account.asset, []).append(
            Banked(
                account.text,
                terms.institution,
                heard.balance_minor if heard else None,
                str(heard.known_by) if heard else None,
                heard.statement.file if heard else None,
                statement_files.file(db, heard.statement.file).sha256.hex() if heard else None,
                heard.statement.to_date.isoformat() if heard else None,
            )
        )
    return found


def _assets(db: Db, book: int, cut_off: dt.datetime) -> Sequence[assets.Asset]:
    """The assets in which a client had an account before the cut-off."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select distinct asset_id from custody_account where book_id = %s and family = %s and opened_at < %s",
            [book, int(numbers.Family.CLIENT), cut_off],
        )
        held = {row[0] for row in cursor.fetchall()}
    found = [each for each in assets.assets(db) if each.number in held]
    if len(found) > ASSETS_MAX:
        raise errors.TooManyAssets(most=ASSETS_MAX, assets=len(found))
    return found


def _origin(db: Db) -> str:
    public = reading.head(db, keys.PUBLIC)
    return public.origin if public else "unpublished"


def _ledger_log(db: Db) -> dict[str, canonical.Value] | None:
    """The newest checkpoint of the ledger's log: whoever has its entries replays the balances from them."""
    seen = reading.head(db, keys.LEDGER)
    return {"origin": seen.origin, "size": seen.size, "root": seen.root.hex()} if seen else None


def _write(
    db: Db,
    book: int,
    day: dt.date,
    position: int,
    number: int,
    text: str,
    before: Statement | None,
    made: Sequence[_Made],
    *,
    actor: Actor,
    now: dt.datetime,
) -> Statement:
    digest = statement_file.digest(text)
    told = statement_file.read(text)
    event = log.append(
        db,
        "custody.solvency_stated",
        {
            "book": book,
            "day": day.isoformat(),
            "number": number,
            "state": told["state"],
            "digest": digest.hex(),
            "statement": told,
        },
        actor=actor.id,
        at=now,
    )
    with connections[db].cursor() as cursor:
        cursor.execute(
            "insert into custody_solvency_statement (book_id, number, day, position, state, statement,"
            " previous_digest, digest, event, at, actor) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
            " returning id",
            [
                book,
                number,
                day,
                position,
                told["state"],
                text,
                before.digest if before else None,
                digest,
                event,
                now,
                actor.id,
            ],
        )
        identity = int(cursor.fetchone()[0])
        cursor.executemany(
            "insert into custody_solvency_tree (statement_id, asset_id, accounts, total_minor,"
            " unallocated_minor, bank_minor, root, commitment_digest, sealed_key)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                [
                    identity,
                    each.asset.number,
                    trees.customers(each.told.commitment),
                    each.told.total_minor,
                    each.told.unallocated_minor,
                    each.told.bank_minor,
                    bytes.fromhex(str(each.told.commitment["root"])),
                    profile.commitment_digest(each.told.commitment),
                    each.sealed_key,
                ]
                for each in made
            ],
        )
    return statement(db, f"sol_{identity}")


def _statements(
    db: Db, where: str, parameters: Sequence[int | dt.date | None], limit: int
) -> list[Statement]:
    with connections[db].cursor() as cursor:
        cursor.execute(
            f"""
            select id, book_id, number, day, position, state, statement, previous_digest, digest, event, at, actor
            from custody_solvency_statement where {where} order by number desc limit %s
            """,  # noqa: S608 -- one of the constants above
            [*parameters, limit],
        )
        return [
            Statement(
                id=f"sol_{row[0]}",
                book=BookId(row[1]),
                number=row[2],
                day=row[3],
                position=row[4],
                state=State(row[5]),
                text=row[6],
                previous_digest=None if row[7] is None else bytes(row[7]),
                digest=bytes(row[8]),
                event=row[9],
                at=row[10],
                actor=row[11],
            )
            for row in cursor.fetchall()
        ]

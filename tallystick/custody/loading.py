"""Reads from the tables into the judge's memory. An account's totals are those of its last entry."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import psycopg

from tallystick.custody import codes, transfers
from tallystick.custody.errors import TRANSFER_REFUSALS
from tallystick.custody.memory import FLAGS, NO_CEILING, Formula, Known, Memory, RefusedBefore
from tallystick.custody.models import AmountRule, TransferKind
from tallystick.custody.numbers import Side

Connection = psycopg.Connection[tuple[object, ...]]

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_REFUSAL = {refusal.code: index + 1 for index, refusal in enumerate(TRANSFER_REFUSALS)}
_CODES = {code.value: code for code in codes.Code}


@dataclass(frozen=True, slots=True)
class Head:
    """Where a book stands: its last position and time, and the newest changes that bear on judging."""

    last_position: int
    recorded_at: int
    changes: tuple[int, int]
    refusal: int

    @staticmethod
    def of(row: Sequence[object]) -> Head:
        position, recorded_at, change, withdrawal, refusal = row
        return Head(
            last_position=int(position or 0),  # type: ignore[call-overload]
            recorded_at=transfers.microseconds(recorded_at) if isinstance(recorded_at, datetime) else 0,
            changes=(int(change or 0), int(withdrawal or 0)),  # type: ignore[call-overload]
            refusal=int(refusal or 0),  # type: ignore[call-overload]
        )


_ACCOUNTS = """
select a.number, a.normal_side, a.family, s.status, s.no_overdraft, s.ceiling_minor,
       e.debits_posted, e.credits_posted, e.debits_pending, e.credits_pending
from custody_account a
left join lateral (
    select status, no_overdraft, ceiling_minor from custody_account_state
    where account_id = a.number order by id desc limit 1
) s on true
left join lateral (
    select debits_posted, credits_posted, debits_pending, credits_pending from custody_entry
    where account = a.number order by position desc limit 1
) e on true
where a.number = any(%s)
"""

_AUTHORISATIONS = """
select a.number, a.debit_account, a.credit_account, a.code, a.amount_rule, a.amount_minor, a.total_max_minor,
       a.uses_max, a.valid_from, a.valid_until, w.id is not null, coalesce(u.use, 0), coalesce(u.used_minor, 0),
       a.payee, a.rate_ppm, a.day_basis, (a.valid_from at time zone k.time_zone)::date
from custody_authorisation a
join custody_book k on k.id = a.book_id
left join custody_authorisation_withdrawal w on w.authorisation = a.number
left join lateral (
    select use, used_minor from custody_authorisation_use
    where authorisation = a.number order by use desc limit 1
) u on true
where a.number = any(%s)
"""

_KNOWN = """
select t.id, t.position, t.kind, t.code, t.debit_account, t.credit_account, t.amount_minor, t.authorisation,
       t.expires_at, t.value_date, t.recorded_at, t.reference, t.payee, t.reason, t.metadata,
       t.balancing, t.asked_minor, p.id, r.id, s.kind, v.position is not null,
       t.at, (t.recorded_at at time zone k.time_zone)::date, t.chain_position,
       d.debits_posted, d.credits_posted, d.debits_pending, d.credits_pending,
       c.debits_posted, c.credits_posted, c.debits_pending, c.credits_pending
from custody_transfer t
join custody_book k on k.id = t.book_id
left join custody_transfer p on p.book_id = t.book_id and p.position = t.pending_position
left join custody_transfer r on r.book_id = t.book_id and r.position = t.reverses_position
left join custody_transfer s on s.book_id = t.book_id and s.pending_position = t.position
left join custody_transfer v on v.book_id = t.book_id and v.reverses_position = t.position
join custody_entry d on d.account = t.debit_account and d.position = t.position
join custody_entry c on c.account = t.credit_account and c.position = t.position
where t.id = any(%s)
"""


def head(connection: Connection, book: int) -> Head:
    """The head as of now; nothing holds it there."""
    row = connection.execute("select * from custody_head(%s)", [book]).fetchone()
    assert row is not None
    return Head.of(row)


def locked_head(connection: Connection, book: int) -> Head:
    """The head, which stays the head until this transaction ends."""
    row = connection.execute("select * from custody_lock_book(%s)", [book]).fetchone()
    assert row is not None
    return Head.of(row)


def accounts(connection: Connection, memory: Memory, numbers: Collection[int]) -> None:
    """Know these accounts; those that do not exist stay unknown."""
    for row in _rows(connection, _ACCOUNTS, numbers):
        number, side, family, status, limited, ceiling, *totals = row
        memory.accounts.put(
            number,
            tuple(total or 0 for total in totals),
            FLAGS[status or "open"],
            family != 3 if limited is None else limited,
            side == Side.CREDIT,
            NO_CEILING if ceiling is None else ceiling,
        )


def authorisations(connection: Connection, memory: Memory, numbers: Collection[int]) -> None:
    """Know these authorisations; those that do not exist stay unknown."""
    for row in _rows(connection, _AUTHORISATIONS, numbers):
        number, debit, credit, code, rule, amount, total, uses_max, since, until = row[:10]
        withdrawn, uses, used, payee, rate, basis, first_day = row[10:]
        memory.authorisations.put(
            number,
            payee,
            Formula(rate, basis, first_day) if rule == AmountRule.FORMULA else None,
            debit=debit,
            credit=credit,
            code=code,
            rule=rule,
            amount=amount,
            total_max=total,
            uses_max=uses_max,
            valid_from=transfers.microseconds(since),
            valid_until=transfers.microseconds(until),
            withdrawn=int(withdrawn),
            uses=uses,
            used=used,
        )


def known(connection: Connection, memory: Memory, ids: Iterable[bytes]) -> None:
    """Know those of these transfers that were posted, and what became of them."""
    wanted = [raw.hex() for raw in ids]
    for row in connection.execute(_KNOWN.replace("any(%s)", "any(%s::uuid[])"), [wanted]).fetchall():
        memory.known[row[0].bytes] = _known(row)  # type: ignore[attr-defined]


def refused(connection: Connection, memory: Memory, ids: Iterable[bytes]) -> None:
    """Know those of these ids that were refused."""
    sql = (
        "select transfer_id, code, content from custody_transfer_refusal where transfer_id = any(%s::uuid[])"
    )
    for transfer_id, code, content in connection.execute(sql, [[raw.hex() for raw in ids]]).fetchall():
        memory.refused[transfer_id.bytes] = RefusedBefore(_REFUSAL[code], bytes(content))  # type: ignore[attr-defined,call-overload,index]


def touched_since(connection: Connection, book: int, position: int) -> tuple[set[int], set[int]]:
    """The accounts and authorisations that transfers after this position touched."""
    sql = "select debit_account, credit_account, authorisation from custody_transfer where book_id = %s and position > %s"
    moved: set[int] = set()
    used: set[int] = set()
    for debit, credit, authorisation in connection.execute(sql, [book, position]).fetchall():
        moved |= {debit, credit}  # type: ignore[arg-type]
        if authorisation is not None:
            used.add(authorisation)  # type: ignore[arg-type]
    return moved, used


def changed_since(connection: Connection, book: int, changes: tuple[int, int]) -> tuple[set[int], set[int]]:
    """The accounts whose state changed, and the authorisations withdrawn, after these changes."""
    states = connection.execute(
        "select account_id from custody_account_state where book_id = %s and id > %s", [book, changes[0]]
    ).fetchall()
    withdrawn = connection.execute(
        "select authorisation from custody_authorisation_withdrawal where book_id = %s and id > %s",
        [book, changes[1]],
    ).fetchall()
    return {row[0] for row in states}, {row[0] for row in withdrawn}  # type: ignore[misc]


def _rows(connection: Connection, sql: str, numbers: Collection[int]) -> Iterable[tuple]:  # type: ignore[type-arg]
    wanted = sorted(numbers)
    for start in range(0, len(wanted), 50_000):
        yield from connection.execute(sql, [wanted[start : start + 50_000]]).fetchall()


def _known(row: Sequence) -> Known:  # type: ignore[type-arg]
    (
        transfer_id, position, kind, code, debit, credit, amount, authorisation, expires, value_date, recorded_at,
        reference, payee, reason, metadata, balancing, asked, pending_id, reverses_id, settled_by, is_reversed,
        at, day, chain,
    ) = row[:24]  # fmt: skip
    return Known(
        id=transfer_id.bytes,
        position=position,
        kind=kind,
        code=code,
        debit=debit,
        credit=credit,
        amount=amount,
        authorisation=authorisation or 0,
        expires=transfers.microseconds(expires) if expires else 0,
        at=transfers.microseconds(at),
        value_date=value_date.toordinal() - _EPOCH_DAY,
        day=day.toordinal() - _EPOCH_DAY,
        recorded_at=transfers.microseconds(recorded_at),
        reference=reference,
        payee=payee,
        reason=reason,
        metadata=metadata,
        balancing=balancing or 0,
        asked=asked or 0,
        pending_id=pending_id.bytes if pending_id else None,
        reverses_id=reverses_id.bytes if reverses_id else None,
        settled=settled_by or 0 if kind == TransferKind.PENDING else 0,
        chain=chain or 0,
        is_reversed=is_reversed,
        after=(tuple(row[24:28]), tuple(row[28:32])),
    )

"""The tables of a resolution pack: each a head and a stream of rows, read page by page as of one position.

Promises: money is as of the position, whatever is posted meanwhile; no table is ever held whole in memory;
nothing is left out or shortened that a stranger would need to give the money back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connections

from tallystick.core import money
from tallystick.core.db import Db
from tallystick.custody import accounts, codes, history, numbers, reconciliation, statement_files
from tallystick.custody import transfers as asked
from tallystick.custody.numbers import AuthorisationKind, Family
from tallystick.custody.payouts import bank_accounts
from tallystick.custody.safeguarding import arrangements, proofs

PAGE = 5_000

Row = Sequence[object]
Told = Callable[[int], None]
"""Told how many rows more have been read."""


@dataclass(frozen=True, slots=True)
class Table:
    """One file of the pack. `name` without its ending; `rows` is read once."""

    name: str
    head: tuple[str, ...]
    rows: Iterator[Row]


def tables(db: Db, book: int, position: int, told: Told) -> Iterator[Table]:
    """Every table of the pack, in the order in which a reader would ask for them."""
    yield Table("clients", CLIENTS, _clients(db, book, position, told))
    yield Table("accounts", ACCOUNTS, _accounts(db, book, position, told))
    yield Table("bank_accounts", BANKS, _banks(db, book, position))
    yield Table("client_bank_accounts", CLIENT_BANKS, _client_banks(db, book))
    yield Table("authorisations", AUTHORISATIONS, _authorisations(db, book, position, told))
    yield Table("pending", PENDING, _pending(db, book, position))
    yield Table("contacts", CONTACTS, _contacts(db, book))
    yield Table("reconciliations", RECONCILIATIONS, _reconciliations(db, book))
    yield Table("breaks", BREAKS, _breaks(db, book))
    yield Table("proofs", PROOFS, _proofs(db, book))
    yield Table("prudent_segregation", PRUDENT, _prudent(db, book))


CLIENTS = ("client", "asset", "accounts", "owed", "overdrawn", "held", "owed_minor", "overdrawn_minor")
ACCOUNTS = (
    "account",
    "family",
    "client",
    "name",
    "reference",
    "asset",
    "status",
    "opened_at",
    "balance",
    "held",
    "balance_minor",
    "held_minor",
)
BANKS = (
    "account",
    "name",
    "reference",
    "asset",
    "role",
    "institution",
    "country",
    "number",
    "agreement",
    "declared_at",
    "declared_by",
    "ledger_balance",
    "statement_day",
    "statement_balance",
    "statement_file",
    "ledger_balance_minor",
)
CLIENT_BANKS = (
    "bank_account",
    "client",
    "status",
    "holder",
    "bank",
    "bic",
    "cnaps",
    "number",
    "since",
)
AUTHORISATIONS = (
    "authorisation",
    "kind",
    "client",
    "debit_account",
    "credit_account",
    "payee",
    "code",
    "rule",
    "amount_minor",
    "total_max_minor",
    "used_minor",
    "uses_max",
    "uses",
    "valid_from",
    "valid_until",
    "basis",
    "given_by",
    "given_at",
    "withdrawn_at",
)
PENDING = (
    "position",
    "transfer",
    "code",
    "debit_account",
    "credit_account",
    "amount_minor",
    "recorded_at",
    "expires_at",
    "reference",
    "payee",
)
CONTACTS = ("role", "name", "organisation", "telephone", "email", "address")
RECONCILIATIONS = (
    "account",
    "reconciliation",
    "cut_off",
    "position",
    "bank_balance_minor",
    "ledger_balance_minor",
    "difference_minor",
    "matched",
    "breaks",
    "digest",
    "at",
)
BREAKS = (
    "account",
    "reconciliation",
    "number",
    "kind",
    "effect_minor",
    "day",
    "reference",
    "statement_file",
    "line",
    "position",
    "text",
)
PROOFS = (
    "proof",
    "day",
    "result",
    "asset",
    "requirement_minor",
    "ledger_resource_minor",
    "custodian_resource_minor",
    "shortfall_minor",
    "excess_minor",
)
PRUDENT = ("asset", "amount_minor")


def _clients(db: Db, book: int, position: int, told: Told) -> Iterator[Row]:
    after = ""
    while True:
        rows = _read(db, _CLIENTS_SQL, {"book": book, "position": position, "after": after, "page": PAGE})
        for owner, asset, scale, count, owed, overdrawn, held in rows:
            shown = (money.major(int(each), scale) for each in (owed, overdrawn, held))
            yield owner, asset, count, *shown, int(owed), int(overdrawn)
        told(sum(row[3] for row in rows))
        if not rows:
            return
        after = rows[-1][0]


def _accounts(db: Db, book: int, position: int, told: Told) -> Iterator[Row]:
    after = 0
    while True:
        rows = _read(db, _ACCOUNTS_SQL, {"book": book, "position": position, "after": after, "page": PAGE})
        for number, family, owner, name, reference, asset, scale, status, opened_at, *totals in rows:
            debits, credits, debits_held, credits_held = totals
            by_credit = Family(family) != Family.EXTERNAL
            balance = credits - debits if by_credit else debits - credits
            held = debits_held if by_credit else credits_held
            yield (
                numbers.account_text(number),
                Family(family).name.lower(),
                owner,
                name,
                reference,
                asset,
                status,
                opened_at.isoformat(),
                money.major(balance, scale),
                money.major(held, scale),
                balance,
                held,
            )
        told(len(rows))
        if len(rows) < PAGE:
            return
        after = rows[-1][0]


def _banks(db: Db, book: int, position: int) -> Iterator[Row]:
    roles = arrangements.declared(db, book)
    external = list(accounts.external(db, book))
    held = history.balances(db, [each.number for each in external], at_position=position)
    for account in external:
        declared = roles.get(account.number)
        terms = declared.terms if declared else None
        last = next(reversed(statement_files.statements(db, account.number)), None)
        balance = held[account.number].balance_minor
        yield (
            account.text,
            account.name,
            account.reference,
            account.asset,
            terms.role if terms else "undeclared",
            terms.institution if terms else "",
            terms.country if terms else "",
            terms.number if terms else "",
            terms.agreement if terms else "",
            declared.at.isoformat() if declared else "",
            declared.actor if declared else "",
            money.major(balance, account.scale),
            last.to_date.isoformat() if last else "",
            money.major(last.closing_minor, account.scale) if last else "",
            last.file if last else "",
            balance,
        )


def _client_banks(db: Db, book: int) -> Iterator[Row]:
    after = 0
    while True:
        rows = _read(db, _CLIENT_BANKS_SQL, {"book": book, "after": after, "page": PAGE})
        # In clear: whoever gives the money back needs to know where to.
        clear = bank_accounts.clear_numbers(db, [row[1] for row in rows])
        for bank_account, change, owner, status, holder, bank, bic, cnaps, since in rows:
            number = clear[change]
            yield f"bnk_{bank_account}", owner, status, holder, bank, bic, cnaps, number, since.isoformat()
        if len(rows) < PAGE:
            return
        after = rows[-1][0]


def _authorisations(db: Db, book: int, position: int, told: Told) -> Iterator[Row]:
    after = 0
    while True:
        rows = _read(
            db, _AUTHORISATIONS_SQL, {"book": book, "position": position, "after": after, "page": PAGE}
        )
        for number, owner, debit, credit, payee, code, rule, *rest in rows:
            *amounts, valid_from, valid_until, basis, given_by, given_at, withdrawn_at = rest
            yield (
                numbers.authorisation_text(number),
                AuthorisationKind(numbers.kind_of(number)).name.lower(),
                owner,
                numbers.account_text(debit),
                numbers.account_text(credit),
                payee,
                codes.Code(code).text,
                ("exact", "at_most", "formula")[rule - 1],
                *(int(each) for each in amounts),
                valid_from.isoformat(),
                valid_until.isoformat(),
                basis,
                given_by,
                given_at.isoformat(),
                withdrawn_at.isoformat() if withdrawn_at else "",
            )
        told(len(rows))
        if len(rows) < PAGE:
            return
        after = rows[-1][0]


def _pending(db: Db, book: int, position: int) -> Iterator[Row]:
    after = 0
    while True:
        rows = _read(db, _PENDING_SQL, {"book": book, "position": position, "after": after, "page": PAGE})
        for at, transfer, code, debit, credit, amount, recorded_at, expires_at, reference, payee in rows:
            yield (
                at,
                asked.id_text(transfer.bytes),
                codes.Code(code).text,
                numbers.account_text(debit),
                numbers.account_text(credit),
                amount,
                recorded_at.isoformat(),
                expires_at.isoformat() if expires_at else "",
                reference or "",
                payee or "",
            )
        if len(rows) < PAGE:
            return
        after = rows[-1][0]


def _contacts(db: Db, book: int) -> Iterator[Row]:
    for each in arrangements.contacts(db, book):
        yield each.role, each.name, each.organisation, each.telephone, each.email, each.address


def _reconciliations(db: Db, book: int) -> Iterator[Row]:
    for account, run in _latest(db, book):
        yield (
            account.text,
            run.id,
            run.cut_off.isoformat(),
            run.position,
            run.bank_balance_minor,
            run.ledger_balance_minor,
            run.difference_minor,
            run.matched,
            run.breaks,
            run.digest.hex(),
            run.at.isoformat(),
        )


def _breaks(db: Db, book: int) -> Iterator[Row]:
    for account, run in _latest(db, book):
        for each in reconciliation.breaks(db, run.id):
            yield (
                account.text,
                run.id,
                each.number,
                str(each.kind),
                each.effect_minor,
                each.day.isoformat(),
                each.reference,
                each.file or "",
                each.line or "",
                each.position or "",
                each.text,
            )


def _proofs(db: Db, book: int) -> Iterator[Row]:
    for each in proofs.days(db, book):
        yield (
            each.proof,
            each.day.isoformat(),
            str(each.result),
            each.asset,
            each.requirement_minor,
            each.ledger_resource_minor,
            "" if each.custodian_resource_minor is None else each.custodian_resource_minor,
            each.shortfall_minor,
            each.excess_minor,
        )


def _prudent(db: Db, book: int) -> Iterator[Row]:
    yield from sorted(arrangements.prudent(db, book).items())


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────

_LAST = """
left join lateral (
    select debits_posted, credits_posted, debits_pending, credits_pending from custody_entry
    where account = a.number and position <= %(position)s order by position desc limit 1
) last on true
"""

_CLIENTS_SQL = f"""
with page as (
    -- Whole clients, so that none is told twice.
    select distinct owner from custody_account
    where book_id = %(book)s and family = 1 and owner > %(after)s order by owner limit %(page)s
)
select a.owner, c.code, c.scale, count(*),
    sum(greatest(coalesce(last.credits_posted - last.debits_posted, 0), 0)),
    sum(greatest(coalesce(last.debits_posted - last.credits_posted, 0), 0)),
    sum(coalesce(last.debits_pending, 0))
from custody_account a join page using (owner)
join custody_asset c on c.number = a.asset_id
{_LAST}
where a.book_id = %(book)s and a.family = 1
group by a.owner, c.code, c.scale order by a.owner, c.code
"""  # noqa: S608 -- constants

_ACCOUNTS_SQL = f"""
select a.number, a.family, a.owner, a.name, a.reference, c.code, c.scale, s.status, a.opened_at,
    coalesce(last.debits_posted, 0), coalesce(last.credits_posted, 0),
    coalesce(last.debits_pending, 0), coalesce(last.credits_pending, 0)
from (
    select * from custody_account where book_id = %(book)s and number > %(after)s order by number limit %(page)s
) a
join custody_asset c on c.number = a.asset_id
{_LAST}
left join lateral (
    select status from custody_account_state where account_id = a.number order by id desc limit 1
) s on true
order by a.number
"""  # noqa: S608 -- constants

_CLIENT_BANKS_SQL = """
select b.id, c.id, b.owner, c.status, c.holder_name, c.bank_name, c.bic, c.cnaps, c.details_at
from (
    select * from custody_bank_account where book_id = %(book)s and id > %(after)s order by id limit %(page)s
) b cross join lateral (
    select * from custody_bank_account_change where bank_account_id = b.id order by number desc limit 1
) c order by b.id
"""

_AUTHORISATIONS_SQL = """
select a.number, o.owner, a.debit_account, a.credit_account, a.payee, a.code, a.amount_rule, a.amount_minor,
    a.total_max_minor, coalesce(u.used_minor, 0), a.uses_max, coalesce(u.use, 0), a.valid_from, a.valid_until,
    a.basis, a.given_by, a.given_at, w.at
from (
    select * from custody_authorisation
    where book_id = %(book)s and number > %(after)s order by number limit %(page)s
) a
join custody_account o on o.number = a.debit_account
left join custody_authorisation_withdrawal w on w.authorisation = a.number
left join lateral (
    select use, used_minor from custody_authorisation_use
    where authorisation = a.number and position <= %(position)s order by use desc limit 1
) u on true
order by a.number
"""

_PENDING_SQL = """
select t.position, t.id, t.code, t.debit_account, t.credit_account, t.amount_minor, t.recorded_at, t.expires_at,
    t.reference, t.payee
from custody_transfer t
where t.book_id = %(book)s and t.position > %(after)s and t.position <= %(position)s and t.kind = 2
    and not exists (
        select from custody_transfer s
        where s.book_id = t.book_id and s.pending_position = t.position and s.position <= %(position)s
    )
order by t.position limit %(page)s
"""


def _latest(db: Db, book: int) -> Iterator[tuple[accounts.Account, reconciliation.Summary]]:
    for account in accounts.external(db, book):
        if run := reconciliation.latest(db, account.number):
            yield account, run


def _read(db: Db, sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connections[db].cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())

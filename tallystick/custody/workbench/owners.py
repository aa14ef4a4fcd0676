"""Owners: whose money a line of the bank may be, each with the reasons that speak for it.

Promises: the same line and the same book give the same candidates in the same order; a candidate without
a reason is not told; nothing is decided here: a reason is shown to the person who decides.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from django.db import connections

from tallystick.core.db import Db
from tallystick.custody import matching, numbers
from tallystick.custody.numbers import AccountNumber, Family

CANDIDATES_MAX = 10


class Reason(StrEnum):
    """What speaks for an owner."""

    REFERENCE = "reference"
    """A word of the line is the account's number or reference, or its owner's customer number."""
    PAYER_ACCOUNT = "payer_account"
    """The payer's account is one that this client was paid to, or named as theirs, before."""
    PAYER_NAME = "payer_name"
    """The payer's name is the account's name."""
    AMOUNT = "amount"
    """The client has paid in this very amount before."""


WEIGHTS = {Reason.REFERENCE: 60, Reason.PAYER_ACCOUNT: 30, Reason.PAYER_NAME: 25, Reason.AMOUNT: 5}
"""What each reason counts. A reference alone outweighs all the others."""

SURE = WEIGHTS[Reason.REFERENCE]
"""From here on a receipt is proposed for the owner, and not for suspense: somebody was named."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a bank statement, as far as it may say whose it is."""

    id: int
    bank_account: AccountNumber
    file: str
    line: int
    amount_minor: int
    booking_date: dt.date
    references: tuple[str, ...]
    remittance: str
    payer_name: str
    payer_account: str

    @property
    def words(self) -> list[str]:
        """What the line says, word by word, as references are compared."""
        told = [matching.normal(each) for each in self.references]
        for text in (*self.references, self.remittance):
            told += matching.words(text)
        return sorted({each for each in told if each})


@dataclass(frozen=True, slots=True)
class Candidate:
    """An account that may be the owner's, and why."""

    account: AccountNumber
    name: str
    owner: str
    reference: str
    reasons: tuple[Reason, ...]

    @property
    def weight(self) -> int:
        return sum(WEIGHTS[reason] for reason in self.reasons)

    @property
    def is_sure(self) -> bool:
        return self.weight >= SURE


def line(db: Db, statement_line: int) -> Line | None:
    """A line of a bank statement by its key."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select l.id, s.bank_account_id, 'stm_' || s.file_id, l.line, l.amount_minor, l.booking_date,
                array(select jsonb_array_elements_text(l."references")), l.remittance, l.counterparty_name,
                l.counterparty_account
            from custody_statement_line l join custody_statement s on s.id = l.statement_id
            where l.id = %s
            """,
            [statement_line],
        )
        row = cursor.fetchone()
    if row is None:
        return None
    key, bank, file, at, amount, booked, references, remittance, payer, payer_account = row
    return Line(
        key,
        AccountNumber(bank),
        file,
        at,
        amount,
        booked,
        tuple(references),
        remittance,
        payer,
        payer_account,
    )


def candidates(db: Db, found: Line) -> Sequence[Candidate]:
    """Who the line's money may belong to, the likeliest first; of two as likely, the older account."""
    book, asset = numbers.book_of(found.bank_account), numbers.asset_of(found.bank_account)
    lowest = numbers.account_number(book, Family.CLIENT, asset, 1)
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            with client as (
                select number, name, owner, reference, upper(replace(name, ' ', '')) as told
                from custody_account where number between %(lowest)s and %(highest)s
            ), paid as (
                select distinct t.debit_account as account from custody_transfer t
                where t.book_id = %(book)s and %(payer_account)s <> '' and t.payee = %(payer_account)s
            ), reason as (
                select number, 'reference' as why from client
                where upper(reference) = any(%(words)s) or upper(owner) = any(%(words)s)
                    or 'ACC_' || lpad(number::text, 18, '0') = any(%(words)s)
                union all
                select number, 'payer_account' from client join paid on paid.account = client.number
                union all
                select number, 'payer_name' from client where %(payer)s <> '' and told = %(payer)s
            )
            select c.number, c.name, c.owner, c.reference, array_agg(distinct r.why),
                exists (select from custody_entry e join custody_transfer t
                        on t.book_id = %(book)s and t.position = e.position
                        where e.account = c.number and t.credit_account = c.number and t.code = 1
                            and t.amount_minor = %(amount)s)
            from client c join reason r using (number)
            group by c.number, c.name, c.owner, c.reference limit 200
            """,
            {
                "lowest": lowest,
                "highest": lowest + numbers.SERIAL_MAX - 1,
                "book": book,
                "words": found.words,
                "payer": found.payer_name.upper().replace(" ", ""),
                "payer_account": found.payer_account.strip(),
                "amount": found.amount_minor,
            },
        )
        rows = cursor.fetchall()
    told = [
        Candidate(
            AccountNumber(number),
            name,
            owner,
            reference,
            # In the order of their weight, whatever order the rows came in.
            tuple(each for each in Reason if each in reasons or (each is Reason.AMOUNT and same_amount)),
        )
        for number, name, owner, reference, reasons, same_amount in rows
    ]
    return sorted(told, key=lambda each: (-each.weight, each.account))[:CANDIDATES_MAX]


def named(db: Db, found: Line) -> Candidate | None:
    """The one owner the line names; none where it names nobody, or two as clearly."""
    sure = [each for each in candidates(db, found) if each.is_sure]
    if not sure or (len(sure) > 1 and sure[1].weight == sure[0].weight):
        return None
    return sure[0]

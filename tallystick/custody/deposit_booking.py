"""Deposits booked by themselves: incoming lines of the custodian's statements, to their owners or to suspense.

Promises: a line whose reference names an owner is booked to them, once, whatever is repeated; one that names
nobody goes to suspense, or is left to the reconciliation where no suspense account was named; nothing the
ledger has already is booked again; an early word (interim report, notification) moves nothing. Only bank
accounts with open pay-in details take part, from their first day.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import NAMESPACE_URL, UUID, uuid5

from django.db import connections, transaction

from tallystick.core.db import Db
from tallystick.core.money import AMOUNT_MAX
from tallystick.custody import (
    accounts,
    history,
    ledger,
    numbers,
    pay_in,
    pay_references,
    payout_references,
    statement_files,
    transfers,
)
from tallystick.custody.codes import Code
from tallystick.custody.holder_models import DepositOutcome, NotCredited
from tallystick.custody.numbers import AccountNumber, BookId
from tallystick.custody.pay_references import Unread
from tallystick.custody.statement_files import HeldLine
from tallystick.custody.statements.rows import Detail, Entry
from tallystick.custody.transfers import TransferRequest
from tallystick.evidence import log
from tallystick.identity import access
from tallystick.identity.access import Actor

WINDOW_DAYS = 3
"""How far apart the bank and the ledger may date one payment that carries no reference."""
KNOWN_DAYS = 60
"""How far back the ledger is searched for a payment's reference, spelled in whatever way."""
POST_MAX = 1_000

_BARE = re.compile(r"[^A-Za-z0-9]")
_GROWS = "[\u00df\u0131\u0149\u017f\u01f0\u1e96-\u1e9a\ufb00-\ufb06]"
"""Letters that become plain ones in capitals: ß is SS, ſ is S."""

_DEPOSIT_LOCK = 1952541813
"""First key of the advisory lock under which a book's deposits are taken."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one statement's incoming lines."""

    credited: int
    suspense: int
    noticed: int
    left_alone: int


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A line about to be booked: to whom, and if not to an owner, why not."""

    line: HeldLine
    account: AccountNumber
    why: NotCredited
    transfer: UUID


@dataclass(frozen=True, slots=True)
class _Booked:
    """A line that is booked, and where."""

    wanted: _Wanted
    position: int


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────


def transfer_id(bank_account: int, statement_digest: bytes, line: int, *, suspense: bool) -> UUID:
    """The id under which a line is posted, in every installation and every repetition the same."""
    where = "suspense" if suspense else "owner"
    place = f"{numbers.account_text(bank_account)}:{statement_digest.hex()}:{line}:{where}"
    return uuid5(NAMESPACE_URL, f"urn:tallystick:deposit:{place}")


def takes(details: pay_in.Details, line: HeldLine | Entry, *, is_payout: bool) -> bool:
    """Whether a line is a deposit's to book. One that names a payout of the book's is not: `payouts.returns`."""
    comes_in = 0 < line.amount_minor <= AMOUNT_MAX and not line.reversal and not is_payout
    return details.is_open and comes_in and line.booking_date >= details.takes_from


def bank_reference(line: HeldLine) -> str | None:
    """The reference by which the bank knows this one payment; a customer's standing reference is not one."""
    for reference in line.references:
        if 1 <= len(reference) <= 140 and reference.isprintable() and not _is_standing(reference):
            return reference
    return None


def notice_digest(account: int, line: HeldLine) -> bytes:
    """What makes an early word the same payment when it is told again."""
    told = [account, line.amount_minor, line.booking_date.isoformat(), bank_reference(line)]
    return hashlib.sha256(json.dumps(told).encode()).digest()


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────


def take(db: Db, statement: int, *, actor: Actor, now: dt.datetime) -> Taken:
    """Book the incoming lines of one statement; of an early word, note whose they are. Once for each.

    A repetition, after a crash too, books nothing twice: each line's transfer has an id made from the line.
    """
    access.require(db, actor, "custody.take_deposits")
    with transaction.atomic(using=db), connections[db].cursor() as cursor:
        cursor.execute(
            "select s.bank_account_id, s.kind, s.digest from custody_statement s where s.id = %s", [statement]
        )
        bank_account, kind, digest = cursor.fetchone()
        cursor.execute(
            "select pg_advisory_xact_lock(%s, %s)", [_DEPOSIT_LOCK, bank_account // numbers.BOOK_UNIT]
        )
        cursor.execute(
            "select credited, suspense, noticed, left_alone from custody_deposits_taken where statement_id = %s",
            [statement],
        )
        if row := cursor.fetchone():
            return Taken(*row)
        held = pay_in.of_account(db, bank_account)
        told = statement_files.lines(db, [statement])
        of_payouts = _of_payouts(db, numbers.book_of(bank_account), statement, told)
        lines = [line for line in told if held and takes(held.details, line, is_payout=line.id in of_payouts)]
        if kind == "statement" and held is not None:
            taken = _book(db, held, bytes(digest), lines, actor=actor, now=now)
        else:
            taken = _note(db, bank_account, lines, now=now)
        cursor.execute(
            "insert into custody_deposits_taken (statement_id, credited, suspense, noticed, left_alone, at)"
            " values (%s, %s, %s, %s, %s, %s)",
            [statement, taken.credited, taken.suspense, taken.noticed, taken.left_alone, now],
        )
        if taken.credited or taken.suspense:
            log.append(
                db,
                "custody.deposits_taken",
                {
                    "bank_account": numbers.account_text(bank_account),
                    "statement_digest": bytes(digest).hex(),
                    "credited": taken.credited,
                    "suspense": taken.suspense,
                    "left_alone": taken.left_alone,
                },
                actor=actor.id,
                at=now,
            )
    return taken


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def posted(db: Db, ids: Sequence[UUID]) -> dict[UUID, tuple[AccountNumber, int]]:
    """Of these ids, those that are posted: the account credited, and the position."""
    found = history.transfers_of(db, [transfers.id_text(each.bytes) for each in ids])
    return {UUID(each.id.removeprefix("trf_")): (each.credit_account, each.position) for each in found}


# ── step ─────────────────────────────────────────────────────────────────────────────────────────────────


def advance(db: Db, book: BookId, *, actor: Actor, now: dt.datetime, limit: int = 1) -> int:
    """Take deposits from statements nobody has taken them from; how many statements that were."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select s.id
            from (select distinct bank_account_id as number from custody_pay_in_details where book_id = %s) bank
            cross join lateral (
                select is_open, takes_from from custody_pay_in_details
                where bank_account_id = bank.number order by id desc limit 1
            ) d
            join custody_statement s on s.bank_account_id = bank.number and s.to_date >= d.takes_from
            where d.is_open and s.source = 'custodian'
                and not exists (select from custody_deposits_taken t where t.statement_id = s.id)
            order by s.to_date, s.number nulls first, s.page nulls first, s.id limit %s
            """,
            [book, limit],
        )
        due = [row[0] for row in cursor.fetchall()]
    for statement in due:
        take(db, statement, actor=actor, now=now)
    return len(due)


# ── booking ──────────────────────────────────────────────────────────────────────────────────────────────


def _compared(reference: str) -> str:
    """A reference as it is compared: banks change blanks and capitals on the way."""
    return "".join(reference.split()).upper()


def _is_standing(reference: str) -> bool:
    return pay_references.read([reference]).why != Unread.NONE


def _book(
    db: Db, held: pay_in.Held, digest: bytes, lines: Sequence[HeldLine], *, actor: Actor, now: dt.datetime
) -> Taken:
    """Post what is not in the ledger yet, to owners or to suspense, and write down where each line went."""
    bank = held.details.bank_account
    numbered = dict(_numbered(db, [line.id for line in lines]))

    def name(line: HeldLine, *, suspense: bool) -> UUID:
        return transfer_id(bank, digest, numbered[line.id], suspense=suspense)

    ours = posted(db, [name(line, suspense=is_suspense) for line in lines for is_suspense in (False, True)])
    known = _known(db, held, lines)
    nameless = _nameless(db, held, lines)
    booked: list[_Booked] = []
    asked: list[_Wanted] = []
    left_alone = 0
    for line in lines:
        owner, why = _owner(db, held, line)
        to_owner = _Wanted(line, owner or AccountNumber(0), NotCredited.CREDITED, name(line, suspense=False))
        to_suspense = _Wanted(
            line, held.details.suspense_account or AccountNumber(0), why, name(line, suspense=True)
        )
        done = next((each for each in (to_owner, to_suspense) if each.transfer in ours), None)
        if done is not None:
            # Posted before whoever posted it could write it down.
            why = NotCredited.CREDITED if done is to_owner else why or NotCredited.NOT_TAKEN
            account, position = ours[done.transfer]
            booked.append(_Booked(replace(done, account=account, why=why), position))
        elif _is_known(line, known, nameless):
            left_alone += 1
        elif owner is not None:
            asked.append(to_owner)
        elif held.details.suspense_account is not None:
            asked.append(to_suspense)
        else:
            left_alone += 1
        if reference := bank_reference(line):
            known.add(_compared(reference))

    made, refused = _post(db, held, asked, actor=actor, now=now)
    if held.details.suspense_account is not None:
        again = [
            replace(
                each,
                account=held.details.suspense_account,
                why=NotCredited.NOT_TAKEN,
                transfer=name(each.line, suspense=True),
            )
            for each in refused
            if each.why == NotCredited.CREDITED
        ]
        more, refused = _post(db, held, again, actor=actor, now=now)
        made += more
    booked += made
    _write(db, held, sorted(booked, key=lambda each: each.wanted.line.id), actor=actor, now=now)
    credited = sum(each.wanted.why == NotCredited.CREDITED for each in booked)
    return Taken(credited, len(booked) - credited, 0, left_alone + len(refused))


def _owner(db: Db, held: pay_in.Held, line: HeldLine) -> tuple[AccountNumber | None, NotCredited]:
    """The client account a line names, of this book and asset, that is there; or why there is none."""
    found = pay_references.read([*line.references, line.remittance])
    if found.account is None:
        assert found.why is not None
        return None, NotCredited(found.why)
    bank = held.details.bank_account
    ours = numbers.book_of(found.account) == held.book
    if (
        not ours
        or numbers.asset_of(found.account) != numbers.asset_of(bank)
        or not accounts.several(db, [found.account])
    ):
        return None, NotCredited.NO_ACCOUNT
    return found.account, NotCredited.CREDITED


def _is_known(line: HeldLine, known: set[str], nameless: Counter[tuple[int, dt.date]]) -> bool:
    """Whether the ledger has this payment already, or may have: then the reconciliation judges it.

    By a reference of the bank's; or, where the ledger wrote none down, by amount and a day close by.
    """
    reference = bank_reference(line)
    if reference and _compared(reference) in known:
        return True
    for days in sorted(range(-WINDOW_DAYS, WINDOW_DAYS + 1), key=abs):
        place = (line.amount_minor, line.value_date + dt.timedelta(days=days))
        if nameless[place] > 0:
            nameless[place] -= 1
            return True
    return False


def _post(
    db: Db, held: pay_in.Held, wanted: Sequence[_Wanted], *, actor: Actor, now: dt.datetime
) -> tuple[list[_Booked], list[_Wanted]]:
    """Post these; what was booked, and what the ledger refused."""
    booked, refused = [], []
    for start in range(0, len(wanted), POST_MAX):
        part = wanted[start : start + POST_MAX]
        results = ledger.post(db, held.book, [_request(held, each) for each in part], actor=actor, now=now)
        for i, each in enumerate(part):
            if results.refusal_of(i) is None:
                booked.append(_Booked(each, int(results.position[i])))
            else:
                refused.append(each)
    return booked, refused


def _request(held: pay_in.Held, wanted: _Wanted) -> TransferRequest:
    code = Code.TOP_UP if wanted.why == NotCredited.CREDITED else Code.UNIDENTIFIED_RECEIPT
    line = wanted.line
    return TransferRequest(
        id=transfers.id_text(wanted.transfer.bytes),
        debit_account=numbers.account_text(held.details.bank_account),
        credit_account=numbers.account_text(wanted.account),
        amount_minor=line.amount_minor,
        code=code.text,
        value_date=line.value_date,
        reference=bank_reference(line) or _standing(held, wanted),
        metadata={"statement_file": line.file, "line": line.line},
    )


def _standing(held: pay_in.Held, wanted: _Wanted) -> str | None:
    """Where the bank knows the payment by nothing else, the customer's own reference."""
    if wanted.why != NotCredited.CREDITED:
        return None
    return pay_references.reference(wanted.account, held.asset)


def _write(db: Db, held: pay_in.Held, booked: Sequence[_Booked], *, actor: Actor, now: dt.datetime) -> None:
    """A row for each booked line, with the announcement and the notice that it makes good."""
    with connections[db].cursor() as cursor:
        for each in booked:
            wanted, line = each.wanted, each.wanted.line
            is_credited = wanted.why == NotCredited.CREDITED
            outcome = DepositOutcome.CREDITED if is_credited else DepositOutcome.SUSPENSE
            cursor.execute(
                """
                insert into custody_deposit (book_id, statement_line, bank_account_id, account_id, outcome, why,
                    amount_minor, booking_date, payer_name, payer_account, transfer, position, at, actor,
                    announcement_id, notice_id)
                values (%(book)s, %(line)s, %(bank)s, %(account)s, %(outcome)s, %(why)s, %(amount)s, %(day)s,
                    %(payer)s, %(payer_account)s, %(transfer)s, %(position)s, %(now)s, %(actor)s, (
                    select a.id from custody_deposit_announcement a
                    where a.account_id = %(account)s and a.amount_minor = %(amount)s and not exists (
                        select from custody_deposit d where d.announcement_id = a.id)
                    order by a.id limit 1
                ), (
                    select n.id from custody_deposit_notice n
                    where n.account_id = %(account)s and n.amount_minor = %(amount)s
                        and n.booking_date between %(day)s::date - %(window)s and %(day)s::date + %(window)s
                        and not exists (select from custody_deposit d where d.notice_id = n.id)
                    order by abs(n.booking_date - %(day)s::date), n.id limit 1
                ))
                """,
                {
                    "book": held.book,
                    "line": line.id,
                    "bank": held.details.bank_account,
                    "account": wanted.account,
                    "outcome": str(outcome),
                    "why": str(wanted.why),
                    "amount": line.amount_minor,
                    "day": line.booking_date,
                    "payer": line.counterparty_name,
                    "payer_account": line.counterparty_account,
                    "transfer": wanted.transfer,
                    "position": each.position,
                    "window": WINDOW_DAYS,
                    "now": now,
                    "actor": actor.id,
                },
            )


def _note(db: Db, bank_account: int, lines: Sequence[HeldLine], *, now: dt.datetime) -> Taken:
    """Write down whose an early word's payments are; the same payment told again is known again."""
    noticed = 0
    seen: Counter[bytes] = Counter()
    held = pay_in.of_account(db, bank_account)
    with connections[db].cursor() as cursor:
        for line in lines:
            owner = None if held is None else _owner(db, held, line)[0]
            if owner is None:
                continue
            digest = notice_digest(owner, line)
            seen[digest] += 1
            cursor.execute(
                "insert into custody_deposit_notice"
                " (account_id, statement_line, amount_minor, booking_date, digest, nth, at)"
                " values (%s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
                [owner, line.id, line.amount_minor, line.booking_date, digest, seen[digest], now],
            )
            noticed += cursor.rowcount
    return Taken(0, 0, noticed, len(lines) - noticed)


# ── what is there ────────────────────────────────────────────────────────────────────────────────────────


def _numbered(db: Db, lines: Sequence[int]) -> list[tuple[int, int]]:
    with connections[db].cursor() as cursor:
        cursor.execute("select id, number from custody_statement_line where id = any(%s)", [list(lines)])
        return [(row[0], row[1]) for row in cursor.fetchall()]


def _of_payouts(db: Db, book: int, statement: int, lines: Sequence[HeldLine]) -> set[int]:
    """Those lines that name a payout of the book's, in a reference of their own or of one of their payments."""
    named: dict[int, set[int]] = {}
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select id, details from custody_statement_line where statement_id = %s and details::text like %s",
            [statement, f"%{payout_references.PREFIX}%"],
        )
        payments = {row[0]: [Detail(**each) for each in json.loads(row[1])] for row in cursor.fetchall()}
        for line in lines:
            for references in (line.references, *(each.references for each in payments.get(line.id, ()))):
                found = payout_references.named_in(references)
                if found is not None and found[0] == book:
                    named.setdefault(found[1], set()).add(line.id)
        cursor.execute(
            "select id from custody_payout where book_id = %s and id = any(%s)", [book, sorted(named)]
        )
        return {line for (payout,) in cursor.fetchall() for line in named[payout]}


def _known(db: Db, held: pay_in.Held, lines: Sequence[HeldLine]) -> set[str]:
    """Which references of these lines the bank's control account has: to the letter at any time, or of late.

    Of late, however spelled: letters and digits are compared by the database, the rest of those few here.
    """
    wanted = {reference for line in lines if (reference := bank_reference(line))}
    bank, book = held.details.bank_account, held.book
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select reference from custody_transfer where book_id = %s and reference = any(%s)"
            " and %s in (debit_account, credit_account)",
            [book, sorted(wanted), bank],
        )
        found = {_compared(row[0]) for row in cursor.fetchall()}
        cursor.execute(
            """
            select distinct t.reference from custody_entry e
            join custody_transfer t on t.book_id = %(book)s and t.position = e.position
            where e.account = %(bank)s and e.position > %(after)s and t.reference is not null
                and (upper(regexp_replace(t.reference, '[^A-Za-z0-9]', '', 'g') collate "C") = any (%(bare)s)
                    or t.reference ~ %(grows)s)
            """,
            {
                "book": book,
                "bank": bank,
                "after": _before(db, book, lines),
                "bare": sorted({_BARE.sub("", _compared(reference)) for reference in wanted}),
                "grows": _GROWS,
            },
        )
        return found | {_compared(row[0]) for row in cursor.fetchall() if not _is_standing(row[0])}


def _nameless(db: Db, held: pay_in.Held, lines: Sequence[HeldLine]) -> Counter[tuple[int, dt.date]]:
    """Receipts in the ledger without a reference that no deposit made: how many of each amount and day."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select t.amount_minor, t.value_date, count(*) from custody_entry e
            join custody_transfer t on t.book_id = %(book)s and t.position = e.position
            where e.account = %(bank)s and e.position > %(after)s and t.debit_account = %(bank)s
                and t.kind in (1, 3) and t.reference is null and t.code <> %(opening)s
                and t.amount_minor = any (%(amounts)s)
                and not exists (select from custody_deposit d where d.transfer = t.id)
            group by 1, 2
            """,
            {
                "book": held.book,
                "bank": held.details.bank_account,
                "after": _before(db, held.book, lines),
                "opening": int(Code.OPENING_BALANCE),
                "amounts": sorted({line.amount_minor for line in lines}),
            },
        )
        return Counter({(amount, day): count for amount, day, count in cursor.fetchall()})


def _before(db: Db, book: BookId, lines: Iterable[HeldLine]) -> int:
    """The book's last position well before the first of these lines."""
    first = min((line.booking_date for line in lines), default=dt.date.max - dt.timedelta(days=1))
    since = dt.datetime.combine(first, dt.time.min, dt.UTC) - dt.timedelta(days=KNOWN_DAYS)
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select last_position from custody_batch where book_id = %s and recorded_at < %s"
            " order by recorded_at desc, last_position desc limit 1",
            [book, since],
        )
        return int((cursor.fetchone() or (0,))[0])

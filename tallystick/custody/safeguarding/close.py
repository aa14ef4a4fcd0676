"""The close of a day: everything a proof stands on, read as of one position of the ledger.

Promises: all balances are of the book's last position before the day's midnight; accounts are streamed by
number, so that a book of any size is read in little memory; the same position gives the same lines for ever.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from django.db import connections

from tallystick.core.db import Db
from tallystick.core.errors import Refusal
from tallystick.custody import (
    accounts,
    book_days,
    books,
    errors,
    history,
    numbers,
    reconciliation,
    statement_files,
)
from tallystick.custody.numbers import Family, Side
from tallystick.custody.safeguarding import arrangements
from tallystick.custody.safeguarding.comparison import (
    AccountRole,
    External,
    KnownBy,
    Own,
    Position,
    UnknownDebit,
)
from tallystick.evidence import canonical

PAGE = 5_000
"""How many accounts are read at a time."""

Progress = Callable[[int, int], None]
"""Told accounts done and accounts in all."""


@dataclass(frozen=True, slots=True)
class Line:
    """An account that was not at zero at the close. `balance_minor` is positive on its normal side."""

    account: int
    family: Family
    owner: str
    asset: str
    scale: int
    balance_minor: int

    def spelled(self) -> dict[str, canonical.Value]:
        """As it stands in a proof's file."""
        return {
            "account": numbers.account_text(self.account),
            "family": self.family.name.lower(),
            "owner": self.owner,
            "asset": self.asset,
            "balance_minor": str(self.balance_minor),
        }


@dataclass(frozen=True, slots=True)
class Close:
    """What stood at the close of a day. accounts: how many lines; digest: SHA-256 over them."""

    position: int
    closed_at: dt.datetime
    positions: tuple[Position, ...]
    accounts: int
    accounts_digest: bytes


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────


def closing_time(book: books.Book, day: dt.date) -> dt.datetime:
    """The end of a day: its book's midnight, for banks' closing balances are of the end of the day too."""
    return book.midnight(day + dt.timedelta(days=1))


def line_bytes(line: Mapping[str, canonical.Value]) -> bytes:
    """A line as it is hashed: its canonical JSON and a line feed."""
    return canonical.text(line).encode() + b"\n"


@dataclass(slots=True)
class _Tally:
    """One asset's figures, while its accounts stream by."""

    scale: int
    accounts_owed: int = 0
    owed: int = 0
    negative_accounts: int = 0
    negative: int = 0
    unallocated: int = 0
    suspense_negative: int = 0
    own: list[Own] = field(default_factory=list)
    external: dict[int, int] = field(default_factory=dict)

    def add(self, line: Line) -> None:
        balance = line.balance_minor
        if line.family == Family.CLIENT:
            # A client's debt is that client's: it lowers nobody's claim.
            if balance > 0:
                self.accounts_owed += 1
                self.owed += balance
            else:
                self.negative_accounts += 1
                self.negative -= balance
        elif line.family == Family.SUSPENSE:
            self.unallocated += max(balance, 0)
            self.suspense_negative += max(-balance, 0)
        elif line.family == Family.OWN:
            self.own.append(Own(numbers.account_text(line.account), balance))
        else:
            self.external[line.account] = balance


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def position_of(db: Db, book: books.Book, day: dt.date) -> int:
    """The book's last position before the day's midnight. Raises as `history.position_at` does."""
    return history.position_before(db, book.id, closing_time(book, day))


def lines(db: Db, book: int, position: int, *, progress: Progress | None = None) -> Iterator[Line]:
    """Every account of the book that was not at zero at the position, by number."""
    total, done, after = _accounts(db, book) if progress else 0, 0, 0
    while True:
        with connections[db].cursor() as cursor:
            cursor.execute(_LINES, {"book": book, "position": position, "after": after, "page": PAGE})
            rows = cursor.fetchall()
        for number, family, owner, asset, scale, credit, debit in rows:
            side = numbers.NORMAL_SIDE[Family(family)]
            balance = credit - debit if side == Side.CREDIT else debit - credit
            if balance:
                yield Line(number, Family(family), owner, asset, scale, balance)
        done += len(rows)
        if progress:
            progress(done, total)
        if len(rows) < PAGE:
            return
        after = rows[-1][0]


def read(
    db: Db,
    book: books.Book,
    day: dt.date,
    *,
    position: int,
    declared: Mapping[int, arrangements.Declared],
    stated: Mapping[int, Heard],
    progress: Progress | None = None,
) -> Close:
    """Everything that stood at the close of a day, which is at this position.

    declared: what its accounts are for. stated: what the custodians of those safeguarded said.
    """
    tallies: dict[str, _Tally] = {}
    digest, count = hashlib.sha256(), 0
    for line in lines(db, book.id, position, progress=progress):
        tallies.setdefault(line.asset, _Tally(line.scale)).add(line)
        digest.update(line_bytes(line.spelled()))
        count += 1
    external: dict[str, list[External]] = {}
    for account in accounts.external(db, book.id):
        tally = tallies.setdefault(account.asset, _Tally(account.scale))
        ledger = tally.external.get(account.number, 0)
        told = _external(db, account, declared.get(account.number), ledger, stated.get(account.number))
        external.setdefault(account.asset, []).append(told)
    begins = book.midnight(day)
    before = history.position_before(db, book.id, begins) if begins > book.opened_at else 0
    debits = _client_debits(db, book.id, before, position)
    prudent = arrangements.prudent(db, book.id)
    return Close(
        position=position,
        closed_at=closing_time(book, day),
        positions=tuple(
            Position(
                asset=asset,
                scale=tally.scale,
                accounts_owed=tally.accounts_owed,
                owed_minor=tally.owed,
                negative_accounts=tally.negative_accounts,
                negative_minor=tally.negative,
                unallocated_minor=tally.unallocated,
                suspense_negative_minor=tally.suspense_negative,
                prudent_minor=prudent.get(asset, 0),
                own=tuple(tally.own),
                external=tuple(external.get(asset, ())),
                **debits.get(asset, _NO_DEBITS),
            )
            for asset, tally in sorted(tallies.items())
        ),
        accounts=count,
        accounts_digest=digest.digest(),
    )


# ── the custodian's side ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Heard:
    """A custodian's balance at the close of a day: what it is, how it is known, and by which statement."""

    balance_minor: int
    known_by: KnownBy
    statement: statement_files.Held


def heard(db: Db, account: accounts.Account, day: dt.date) -> Heard | None:
    """The balance that the account's keeper stated for the close of the day; nothing where it did not."""
    held = reconciliation.in_order(statement_files.statements(db, account.number))
    past = [each for each in held if each.to_date <= day]
    later = [each for each in held if each.to_date > day]
    last, following = (past[-1] if past else None), (later[0] if later else None)
    if last is not None and last.to_date == day:
        return Heard(last.closing_minor, KnownBy.STATEMENT, last)
    if following is not None and following.from_date is not None and following.from_date <= day:
        within = statement_files.lines(db, [following.id])
        moved = sum(line.amount_minor for line in within if line.booking_date <= day)
        return Heard(following.opening_minor + moved, KnownBy.WITHIN, following)
    if last is None:
        return None
    if following is not None and following.opening_minor == last.closing_minor:
        return Heard(last.closing_minor, KnownBy.JOINED, last)
    if following is None and _rested(db, account.book, last.to_date, day):
        return Heard(last.closing_minor, KnownBy.RESTING, last)
    return None


def _rested(db: Db, book: int, since: dt.date, day: dt.date) -> bool:
    """Whether no business day has passed since, up to and including the day, by the book's calendar."""
    try:
        return (day - since).days <= 31 and book_days.days(db, book).age(since, day) == 0
    except Refusal:
        # A year whose calendar nobody has published: nothing is known of its days.
        return False


def _external(
    db: Db,
    account: accounts.Account,
    role: arrangements.Declared | None,
    ledger_minor: int,
    told: Heard | None,
) -> External:
    terms = role.terms if role else arrangements.Terms(role=AccountRole.UNDECLARED)
    plain = External(
        account=account.text,
        name=account.name,
        role=terms.role,
        institution=terms.institution,
        number=terms.number,
        ledger_minor=ledger_minor,
    )
    if terms.role != AccountRole.SAFEGUARDING or told is None:
        return plain
    known = {
        **{name: getattr(plain, name) for name in _PLAIN},
        "custodian_minor": told.balance_minor,
        "known_by": told.known_by,
        "statement_day": told.statement.to_date.isoformat(),
        "statement_file": told.statement.file,
    }
    run = reconciliation.of_day(db, account.number, told.statement.to_date)
    if run is None or told.known_by == KnownBy.WITHIN:
        return External(**known)
    breaks = reconciliation.breaks(db, run.id)
    effects = [each.effect_minor for each in breaks]
    return External(
        **known,
        reconciliation=run.id,
        late_minor=run.ledger_balance_minor - ledger_minor,
        surplus_minor=sum(effect for effect in effects if effect > 0),
        missing_minor=-sum(effect for effect in effects if effect < 0),
        timing_minor=-sum(
            each.effect_minor for each in breaks if each.effect_minor < 0 and each.kind == "timing"
        ),
        breaks=len(breaks),
        unknown_debits=tuple(unknown_debits(breaks)),
    )


_PLAIN = ("account", "name", "role", "institution", "number", "ledger_minor")


def unknown_debits(breaks: Sequence[reconciliation.Break]) -> Iterator[UnknownDebit]:
    """The breaks that say: money left at the custodian, and no transfer of the ledger answers for it."""
    for each in breaks:
        if each.bank_minor is not None and each.bank_minor < 0 and each.position is None:
            yield UnknownDebit(
                each.number, str(each.kind), -each.bank_minor, each.day.isoformat(), each.reference
            )


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────

_LINES = """
select a.number, a.family, a.owner, c.code, c.scale,
    coalesce(last.credits_posted, 0), coalesce(last.debits_posted, 0)
from (
    select * from custody_account where book_id = %(book)s and number > %(after)s order by number limit %(page)s
) a
join custody_asset c on c.number = a.asset_id
left join lateral (
    select credits_posted, debits_posted from custody_entry
    where account = a.number and position <= %(position)s order by position desc limit 1
) last on true
order by a.number
"""

_NO_DEBITS = {"debits_instructed": 0, "debits_legal": 0, "debits_reversing": 0, "debits_without": 0}


def _accounts(db: Db, book: int) -> int:
    with connections[db].cursor() as cursor:
        cursor.execute("select count(*) from custody_account where book_id = %s", [book])
        return int(cursor.fetchone()[0])


def _client_debits(db: Db, book: int, after: int, to: int) -> dict[str, dict[str, int]]:
    """The debits of clients' accounts between two positions, by asset and what they rest on."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select c.code, t.instructed, t.legal, t.reversing, t.without_any from (
                select debit_account / 10000000000 %% 10000 as asset,
                    count(*) filter (where basis %% 10 in (1, 2, 3)) as instructed,
                    count(*) filter (where basis %% 10 = 4) as legal,
                    count(*) filter (where basis is null and reverses_position is not null) as reversing,
                    count(*) filter (where basis is null and reverses_position is null) as without_any
                from (
                    -- What was held first rests on what it was held for.
                    select t.debit_account, t.reverses_position,
                        coalesce(t.authorisation, p.authorisation) as basis
                    from custody_transfer t
                    left join custody_transfer p on p.book_id = t.book_id and p.position = t.pending_position
                    where t.book_id = %s and t.position > %s and t.position <= %s and t.kind in (1, 3)
                        and t.debit_account / 100000000000000 %% 10 = 1
                ) debits
                group by 1
            ) t join custody_asset c on c.number = t.asset
            """,
            [book, after, to],
        )
        return {row[0]: dict(zip(_NO_DEBITS, row[1:], strict=True)) for row in cursor.fetchall()}


def day_over(book: books.Book, day: dt.date, *, now: dt.datetime) -> None:
    """Refuse a day that is not over. Raises `errors.DayNotOver`."""
    closed_at = closing_time(book, day)
    if now < closed_at:
        raise errors.DayNotOver(day=day.isoformat(), cut_off=closed_at.isoformat())

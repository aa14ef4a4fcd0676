"""The auditor: recomputes a whole book from its transfers and says where the ledger's own figures differ.

Promises: shares no code with what it audits. It is given rows, in shapes of its own, and knows of the ledger
only what is written in the manual; how a row is read from the database is the one thing it takes from
custody's tables. It trusts nothing: not the entries, not the uses, not that the database has refused
anything. Slow and plain on purpose.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from fractions import Fraction
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.db.models import QuerySet

from tallystick.core.db import Db

POSTED, PENDING, POST_PENDING, VOID_PENDING, EXPIRE_PENDING = 1, 2, 3, 4, 5
CLIENT, OWN, EXTERNAL, SUSPENSE = 1, 2, 3, 4
ENTITLEMENT = 3
EXACT, AT_MOST, FORMULA = 1, 2, 3
FEE = 6


class Transfer(NamedTuple):
    """A row of the book."""

    position: int
    id: str
    kind: int
    code: int
    debit: int
    credit: int
    amount_minor: int
    value_date: date
    recorded_at: datetime
    authorisation: int | None
    pending_position: int | None
    reverses_position: int | None
    chain_position: int | None
    expires_at: datetime | None
    payee: str | None
    reason: str | None


class Entry(NamedTuple):
    """What the ledger says an account had after a position."""

    account: int
    position: int
    debits_posted: int
    credits_posted: int
    debits_pending: int
    credits_pending: int


class Authorisation(NamedTuple):
    """What a client has agreed to."""

    number: int
    debit: int
    credit: int
    payee: str
    code: int
    amount_rule: int
    amount_minor: int
    rate_ppm: int | None
    day_basis: int | None
    total_max_minor: int
    uses_max: int
    valid_from: datetime
    valid_until: datetime
    withdrawn_at: datetime | None


class Use(NamedTuple):
    """What the ledger says of a use of an authorisation."""

    authorisation: int
    use: int
    position: int
    used_minor: int


class State(NamedTuple):
    """What an account lets through from a moment on."""

    account: int
    status: str
    no_overdraft: bool
    ceiling_minor: int | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Rows:
    """Everything there is of one book."""

    book: int
    time_zone: str
    transfers: tuple[Transfer, ...]
    entries: tuple[Entry, ...]
    authorisations: tuple[Authorisation, ...]
    uses: tuple[Use, ...]
    states: tuple[State, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it must be."""

    check: str
    where: str
    what: str


@dataclass(slots=True)
class Totals:
    """An account's four totals, as the auditor has added them up."""

    debits_posted: int = 0
    credits_posted: int = 0
    debits_pending: int = 0
    credits_pending: int = 0

    @property
    def available_minor(self) -> int:
        """Of an account that grows by credits: what is there and not held."""
        return self.credits_posted - self.debits_posted - self.debits_pending


@dataclass(slots=True)
class Report:
    """What the auditor found, and the figures it arrived at by itself."""

    transfers: int = 0
    totals: dict[int, Totals] = field(default_factory=lambda: defaultdict(Totals))
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not self.findings

    def of_family(self, family: int) -> int:
        """The balances of a family together: what is owed to its owners, or by a bank to us."""
        owed = sum(
            each.credits_posted - each.debits_posted
            for account, each in self.totals.items()
            if family_of(account) == family
        )
        return -owed if family == EXTERNAL else owed


def family_of(account: int) -> int:
    """The fourth of an account number's eighteen digits."""
    return int(f"{account:018d}"[3])


def audit(rows: Rows) -> Report:
    """Go through the book from its first transfer to its last, and then through what is said about it."""
    work = _Work(rows)
    work.go_through()
    work.compare_entries()
    work.compare_uses()
    work.add_up()
    return work.report


class _Work:
    """One audit: what has been seen so far, and what was wrong with it."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.zone = ZoneInfo(rows.time_zone)
        self.report = Report()
        self.seen: dict[int, Transfer] = {}
        self.ids: set[str] = set()
        self.settled: dict[int, int] = {}
        self.reversed: dict[int, int] = {}
        self.authorisations = {each.number: each for each in rows.authorisations}
        self.used: dict[int, list[Use]] = defaultdict(list)
        self.after: dict[tuple[int, int], tuple[int, int, int, int]] = {}
        self.states: dict[int, list[State]] = defaultdict(list)
        for state in rows.states:
            self.states[state.account].append(state)

    def fault(self, check: str, transfer: Transfer, what: str) -> None:
        self.report.findings.append(Finding(check, f"position {transfer.position}", what))

    # ── the transfers, one after the other ───────────────────────────────────────────────────────────────

    def go_through(self) -> None:
        before: Transfer | None = None
        for place, transfer in enumerate(self.rows.transfers, start=1):
            if transfer.position != place:
                self.fault("gap_free", transfer, f"stands where {place} is due")
            if before is not None and transfer.recorded_at < before.recorded_at:
                self.fault("time_order", transfer, "was recorded before the one it follows")
            if transfer.id in self.ids:
                self.fault("id_once", transfer, f"has the id {transfer.id}, which was used before")
            if transfer.amount_minor < 1:
                self.fault("amount", transfer, f"moves {transfer.amount_minor}")
            self.judge_accounts(transfer)
            self.judge_chain(transfer)
            self.move(transfer)
            self.seen[transfer.position] = before = transfer
            self.ids.add(transfer.id)
            self.report.transfers += 1

    def judge_accounts(self, transfer: Transfer) -> None:
        debit, credit = transfer.debit, transfer.credit
        if debit == credit:
            self.fault("two_accounts", transfer, f"debits and credits {debit}")
        for account in (debit, credit):
            if f"{account:018d}"[:3] != f"{self.rows.book:03d}":
                self.fault("one_book", transfer, f"touches {account}, of another book")
        if f"{debit:018d}"[4:8] != f"{credit:018d}"[4:8]:
            self.fault("one_asset", transfer, f"turns one asset into another: {debit}, {credit}")
        if transfer.kind not in (VOID_PENDING, EXPIRE_PENDING):
            self.judge_states(transfer)
        if transfer.reverses_position is not None:
            self.judge_reversal(transfer)
            return
        families = family_of(debit), family_of(credit)
        fee = transfer.authorisation is not None and transfer.authorisation % 10 == ENTITLEMENT
        allowed = {
            (CLIENT, OWN): fee and transfer.code == FEE,
            (OWN, OWN): True,
            (OWN, EXTERNAL): True,
        }
        if OWN in families and not allowed.get(families, False):
            self.fault("own_money_apart", transfer, f"moves money from family {families[0]} to {families[1]}")
        if transfer.kind in (POSTED, PENDING) and families[0] == CLIENT:
            self.judge_authorisation(transfer)

    def judge_states(self, transfer: Transfer) -> None:
        for account, side in ((transfer.debit, "debits"), (transfer.credit, "credits")):
            status = self.state(account, transfer.recorded_at)
            if status is None:
                self.fault("account_known", transfer, f"touches {account}, which was not open then")
            elif status.status in ("closed", "frozen", f"{side}_frozen"):
                self.fault("state", transfer, f"{side} {account}, which is {status.status}")

    def state(self, account: int, at: datetime) -> State | None:
        """What held for an account at a moment."""
        return next((each for each in reversed(self.states[account]) if each.at <= at), None)

    def judge_reversal(self, transfer: Transfer) -> None:
        assert transfer.reverses_position is not None
        original = self.seen.get(transfer.reverses_position)
        if original is None or original.kind not in (POSTED, POST_PENDING):
            self.fault(
                "reversal", transfer, f"reverses {transfer.reverses_position}, which was not posted before"
            )
            return
        if (transfer.debit, transfer.credit, transfer.amount_minor) != (
            original.credit,
            original.debit,
            original.amount_minor,
        ):
            self.fault("reversal", transfer, f"is not the opposite of {original.position}")
        if original.reverses_position is not None:
            self.fault("reversal", transfer, f"reverses {original.position}, itself a reversal")
        if original.position in self.reversed:
            self.fault("reversal", transfer, f"reverses {original.position} again")
        if not transfer.reason:
            self.fault("reversal", transfer, "gives no reason")
        self.reversed[original.position] = transfer.position

    def judge_authorisation(self, transfer: Transfer) -> None:
        word = self.authorisations.get(transfer.authorisation or 0)
        if word is None:
            self.fault("authorised", transfer, f"debits client account {transfer.debit} on nobody's word")
            return
        for wrong, what in (
            (word.debit != transfer.debit, "is for another account"),
            (word.credit != transfer.credit, "names another account to pay"),
            (word.payee != (transfer.payee or ""), "names another payee"),
            (word.code != transfer.code, "is for another purpose"),
            (transfer.recorded_at < word.valid_from, "is not valid yet"),
            (transfer.recorded_at >= word.valid_until, "is no longer valid"),
            (word.withdrawn_at is not None and word.withdrawn_at <= transfer.recorded_at, "was withdrawn"),
        ):
            if wrong:
                self.fault("authorised", transfer, f"rests on authorisation {word.number}, which {what}")
        allowed = self.allowed(word, transfer)
        if transfer.amount_minor > allowed or (
            word.amount_rule != AT_MOST and transfer.amount_minor != allowed
        ):
            self.fault(
                "authorised", transfer, f"moves {transfer.amount_minor}; {word.number} allows {allowed}"
            )
        uses = self.used[word.number]
        used = (uses[-1].used_minor if uses else 0) + transfer.amount_minor
        uses.append(Use(word.number, len(uses) + 1, transfer.position, used))
        if len(uses) > word.uses_max or used > word.total_max_minor:
            self.fault(
                "authorised",
                transfer,
                f"uses {word.number} beyond {word.uses_max} times, {word.total_max_minor}",
            )

    def allowed(self, word: Authorisation, transfer: Transfer) -> int:
        """The amount an authorisation allows: simple interest where it is a formula, rounded half to even."""
        if word.amount_rule != FORMULA:
            return word.amount_minor
        assert word.rate_ppm is not None
        assert word.day_basis is not None
        days = (transfer.value_date - word.valid_from.astimezone(self.zone).date()).days
        return round(Fraction(word.amount_minor * word.rate_ppm * max(days, 0), 1_000_000 * word.day_basis))

    def judge_chain(self, transfer: Transfer) -> None:
        first = transfer.chain_position or 0
        before = self.seen.get(transfer.position - 1)
        if first and first != transfer.position and (before is None or before.chain_position != first):
            self.fault("chain", transfer, f"belongs to the chain of {first}, but does not follow it")

    def move(self, transfer: Transfer) -> None:
        """What the transfer does to its two accounts, and whether it may."""
        debited, credited = self.report.totals[transfer.debit], self.report.totals[transfer.credit]
        amount, held = transfer.amount_minor, 0
        if transfer.kind in (POST_PENDING, VOID_PENDING, EXPIRE_PENDING):
            held = self.release(transfer)
        debited.debits_pending -= held
        credited.credits_pending -= held
        if transfer.kind in (POSTED, POST_PENDING):
            debited.debits_posted += amount
            credited.credits_posted += amount
        elif transfer.kind == PENDING:
            debited.debits_pending += amount
            credited.credits_pending += amount
        for account, total in ((transfer.debit, debited), (transfer.credit, credited)):
            if family_of(account) != EXTERNAL and total.available_minor < 0:
                self.fault("never_negative", transfer, f"leaves {account} with {total.available_minor}")
            self.after[account, transfer.position] = (
                total.debits_posted,
                total.credits_posted,
                total.debits_pending,
                total.credits_pending,
            )
        self.judge_ceiling(transfer, credited)

    def judge_ceiling(self, transfer: Transfer, total: Totals) -> None:
        state = self.state(transfer.credit, transfer.recorded_at)
        if state is None or state.ceiling_minor is None or transfer.kind not in (POSTED, PENDING):
            return
        if family_of(transfer.credit) != EXTERNAL:
            reached = total.credits_posted + total.credits_pending - total.debits_posted
            if reached > state.ceiling_minor:
                self.fault(
                    "ceiling", transfer, f"takes {transfer.credit} to {reached}, over {state.ceiling_minor}"
                )

    def release(self, transfer: Transfer) -> int:
        """How much is let go of the pending transfer that this one settles."""
        pending = self.seen.get(transfer.pending_position or 0)
        if pending is None or pending.kind != PENDING:
            self.fault("settlement", transfer, f"settles {transfer.pending_position}, which is not pending")
            return 0
        if pending.position in self.settled:
            self.fault("settlement", transfer, f"settles {pending.position} again")
            return 0
        self.settled[pending.position] = transfer.position
        if (transfer.debit, transfer.credit) != (pending.debit, pending.credit):
            self.fault("settlement", transfer, f"settles {pending.position} between other accounts")
        if transfer.amount_minor > pending.amount_minor:
            self.fault("settlement", transfer, f"takes more than {pending.position} holds")
        over = pending.expires_at is not None and pending.expires_at <= transfer.recorded_at
        if over != (transfer.kind == EXPIRE_PENDING):
            self.fault(
                "settlement", transfer, f"settles {pending.position} {'after' if over else 'before'} its end"
            )
        return pending.amount_minor

    # ── what the ledger says about them ──────────────────────────────────────────────────────────────────

    def compare_entries(self) -> None:
        """Each transfer has two entries, and each entry says what the transfers up to it add up to."""
        left = dict(self.after)
        for entry in self.rows.entries:
            computed = left.pop((entry.account, entry.position), None)
            said = (entry.debits_posted, entry.credits_posted, entry.debits_pending, entry.credits_pending)
            if computed != said:
                what = "no transfer" if computed is None else str(computed)
                self.report.findings.append(
                    Finding(
                        "entries",
                        f"account {entry.account}, position {entry.position}",
                        f"{said}, not {what}",
                    )
                )
        for account, position in left:
            self.report.findings.append(
                Finding("entries", f"account {account}, position {position}", "there is no entry")
            )

    def compare_uses(self) -> None:
        """The uses on record are those that the transfers made."""
        computed = {(use.authorisation, use.use): use for uses in self.used.values() for use in uses}
        for use in self.rows.uses:
            if computed.pop((use.authorisation, use.use), None) != use:
                self.report.findings.append(
                    Finding(
                        "uses", f"authorisation {use.authorisation}, use {use.use}", "is not what was used"
                    )
                )
        for number, use_number in computed:
            self.report.findings.append(
                Finding("uses", f"authorisation {number}, use {use_number}", "is not on record")
            )

    def add_up(self) -> None:
        """In every asset: debits are credits, and what banks owe us is what we owe."""
        sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for account, total in self.report.totals.items():
            for column, amount in enumerate(
                (total.debits_posted, total.credits_posted, total.debits_pending, total.credits_pending)
            ):
                sums[f"{account:018d}"[4:8]][column] += amount
        for asset, (debits, credits_, held_debits, held_credits) in sums.items():
            if debits != credits_ or held_debits != held_credits:
                self.report.findings.append(
                    Finding("zero_sum", f"asset {asset}", f"debits {debits}, credits {credits_}")
                )


# ── reading the rows ─────────────────────────────────────────────────────────────────────────────────────


def read(db: Db, book: int) -> Rows:
    """Everything of one book, as the database has it."""
    from tallystick.custody import models

    times = models.Book.objects.using(db).values_list("time_zone", flat=True).get(id=book)
    withdrawn = dict(
        models.AuthorisationWithdrawal.objects.using(db)
        .filter(book_id=book)
        .values_list("authorisation_id", "at")
    )
    transfers = models.Transfer.objects.using(db).filter(book_id=book).order_by("position")
    serials = (book * 10**15, (book + 1) * 10**15)
    entries = models.Entry.objects.using(db).filter(account__gte=serials[0], account__lt=serials[1])
    authorisations = models.Authorisation.objects.using(db).filter(book_id=book)
    uses = models.AuthorisationUse.objects.using(db).filter(book_id=book)
    states = models.AccountState.objects.using(db).filter(book_id=book).order_by("id")
    return Rows(
        book,
        times,
        tuple(
            Transfer._make((row[0], str(row[1]), *row[2:]))
            for row in _rows(
                transfers,
                "position id kind code debit_account credit_account amount_minor value_date recorded_at"
                " authorisation pending_position reverses_position chain_position expires_at payee reason",
            )
        ),
        tuple(
            Entry._make(row)
            for row in _rows(
                entries.order_by("account", "position"),
                "account position debits_posted credits_posted debits_pending credits_pending",
            )
        ),
        tuple(
            Authorisation._make((*row, withdrawn.get(row[0])))
            for row in _rows(
                authorisations.order_by("number"),
                "number debit_account_id credit_account_id payee code amount_rule amount_minor rate_ppm"
                " day_basis total_max_minor uses_max valid_from valid_until",
            )
        ),
        tuple(
            Use._make(row)
            for row in _rows(uses.order_by("authorisation", "use"), "authorisation use position used_minor")
        ),
        tuple(State._make(row) for row in _rows(states, "account_id status no_overdraft ceiling_minor at")),
    )


def _rows(found: QuerySet[Any], columns: str) -> Iterator[tuple[Any, ...]]:
    yield from found.values_list(*columns.split()).iterator(chunk_size=20_000)


def told(findings: Iterable[Finding], *, most: int = 20) -> str:
    """The findings as lines a person can read."""
    lines = [f"{each.check}: {each.where}: {each.what}" for each in findings]
    return "\n".join([*lines[:most], *([f"and {len(lines) - most} more"] if len(lines) > most else [])])

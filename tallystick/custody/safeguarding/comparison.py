"""The comparison: what clients are owed against what is there, and what three rules say of it.

Rules only: facts in, figures and findings out. The same functions judge a proof when it is made and when
somebody verifies its file years later. Money is in minor units, every figure positive in its own direction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum


class AccountRole(StrEnum):
    """What an external account is for. Only safeguarding accounts hold what clients are owed."""

    SAFEGUARDING = "safeguarding"
    CHANNEL = "channel"
    """A payment firm on the way to the custodian: money there is not yet safeguarded."""
    OWN_FUNDS = "own_funds"
    """The platform's own account elsewhere: what it puts in to cover a shortfall comes from here."""
    EXCHANGE = "exchange"
    """A position in another asset."""
    OTHER = "other"
    UNDECLARED = "undeclared"
    """Nobody has said yet what it is for: counted as nothing, and told."""


class Result(StrEnum):
    """What a rule says of a day, the worst last."""

    COMPLIANT = "compliant"
    UNDETERMINED = "undetermined"
    BREACH = "breach"


class KnownBy(StrEnum):
    """How a custodian's balance at the close is known."""

    STATEMENT = "statement"
    """A statement closes on that day."""
    WITHIN = "within"
    """A statement of several days: its opening balance and its lines up to that day."""
    JOINED = "joined"
    """The next statement opens, later, with what the one before closed with."""
    RESTING = "resting"
    """No banking day has passed since the last statement."""


@dataclass(frozen=True, slots=True)
class UnknownDebit:
    """Money that left at the custodian and that no transfer of the ledger answers for."""

    number: int
    kind: str
    amount_minor: int
    day: str
    reference: str


@dataclass(frozen=True, slots=True)
class External:
    """An external account at the close: what the ledger has on it and what its keeper's statement says.

    late_minor: what the reconciliation's ledger balance is over the one at the close, because something was
    recorded after the close for the day, or before it for a later one. surplus_minor and missing_minor:
    the breaks that add to the custodian's total, and those that take from it; never set off.
    """

    account: str
    name: str
    role: AccountRole
    institution: str
    number: str
    ledger_minor: int
    custodian_minor: int | None = None
    known_by: KnownBy | None = None
    statement_day: str | None = None
    statement_file: str | None = None
    reconciliation: str | None = None
    late_minor: int = 0
    surplus_minor: int = 0
    missing_minor: int = 0
    timing_minor: int = 0
    """The part of `missing_minor` that only has not arrived yet."""
    breaks: int = 0
    unknown_debits: tuple[UnknownDebit, ...] = ()

    @property
    def counted_minor(self) -> int:
        """What is certainly there: never more than either side says, and no surplus covers what is missing."""
        if self.custodian_minor is None:
            return self.ledger_minor
        if self.reconciliation is None:
            return min(self.ledger_minor, self.custodian_minor)
        return self.ledger_minor - self.missing_minor + min(0, self.late_minor)

    @property
    def unexplained_minor(self) -> int:
        """What the reconciliation's breaks leave over between both sides: 0, or it is of another day."""
        if self.custodian_minor is None or self.reconciliation is None:
            return 0
        explained = self.late_minor + self.surplus_minor - self.missing_minor
        return self.custodian_minor - self.ledger_minor - explained


@dataclass(frozen=True, slots=True)
class Own:
    """An account of the platform's own money in custody: fees it has earned and not taken out."""

    account: str
    balance_minor: int


@dataclass(frozen=True, slots=True)
class Position:
    """One asset of a book at the close of a day.

    owed_minor: to clients, each account at least 0; negative_minor: what accounts below nothing lack, set
    off against nobody. unallocated_minor: in suspense, so somebody's; prudent_minor: own money left in on
    purpose. The debits of clients' accounts since the close of the day before, by what they rest on.
    """

    asset: str
    scale: int
    accounts_owed: int
    owed_minor: int
    negative_accounts: int
    negative_minor: int
    unallocated_minor: int
    suspense_negative_minor: int
    prudent_minor: int
    own: tuple[Own, ...]
    external: tuple[External, ...]
    debits_instructed: int
    debits_legal: int
    debits_reversing: int
    debits_without: int

    @property
    def requirement_minor(self) -> int:
        return self.owed_minor + self.unallocated_minor + self.prudent_minor

    @property
    def own_minor(self) -> int:
        return sum(each.balance_minor for each in self.own)

    @property
    def safeguarding(self) -> Sequence[External]:
        return [each for each in self.external if each.role == AccountRole.SAFEGUARDING]

    @property
    def own_funds(self) -> Sequence[External]:
        return [each for each in self.external if each.role == AccountRole.OWN_FUNDS]

    @property
    def ledger_resource_minor(self) -> int:
        return sum(each.ledger_minor for each in self.safeguarding)

    @property
    def custodian_resource_minor(self) -> int | None:
        """What the custodians' statements say; nothing where one of them does not."""
        known = [each.custodian_minor for each in self.safeguarding]
        if not known or None in known:
            return None
        return sum(each for each in known if each is not None)

    @property
    def internal_difference_minor(self) -> int:
        """The internal comparison: the ledger's bank accounts over the requirement. Below 0: a shortfall."""
        return self.ledger_resource_minor - self.requirement_minor

    @property
    def external_difference_minor(self) -> int | None:
        """The external comparison: the custodians' statements over the ledger's bank accounts."""
        if self.custodian_resource_minor is None:
            return None
        return self.custodian_resource_minor - self.ledger_resource_minor

    @property
    def counted_minor(self) -> int:
        return sum(each.counted_minor for each in self.safeguarding)

    @property
    def shortfall_minor(self) -> int:
        return max(0, self.requirement_minor - self.counted_minor)

    @property
    def unlocated_minor(self) -> int:
        """The part of a shortfall that neither lies with a declared channel nor has only not arrived yet."""
        channels = sum(max(0, e.ledger_minor) for e in self.external if e.role == AccountRole.CHANNEL)
        timing = sum(each.timing_minor for each in self.safeguarding)
        return max(0, self.shortfall_minor - channels - timing)

    @property
    def excess_minor(self) -> int:
        return max(0, self.counted_minor - self.requirement_minor)

    @property
    def ledger_difference_minor(self) -> int:
        """Debits less credits of the whole book in this asset: nothing but 0 in a sound one."""
        held = sum(each.ledger_minor for each in self.external)
        owed = self.owed_minor - self.negative_minor + self.unallocated_minor - self.suspense_negative_minor
        return held - owed - self.own_minor


@dataclass(frozen=True, slots=True)
class Proposal:
    """A transfer that would set a shortfall or an excess right, ready to be posted."""

    number: int
    purpose: str
    """`fund`: own money is put in. `withdraw`: own money is taken out."""
    asset: str
    debit_account: str
    credit_account: str
    amount_minor: int
    code: str


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason of a finding: a code, and what it is about. `result` is what it makes of the finding."""

    code: str
    result: Result
    asset: str = ""
    account: str = ""
    amount_minor: int = 0
    count: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule says of the day."""

    rule: str
    result: Result
    reasons: tuple[Reason, ...]


RULES = ("UK-CASS15-REC", "CN-CUST-03", "CN-PAY-27")
"""The rules that look at the same facts: FCA CASS 15.8 (internal and external safeguarding reconciliation),
网络借贷资金存管业务指引 (daily check of platform and custodian), 国务院令第768号 Art. 27 (no misuse of reserve)."""


def worst(results: Sequence[Result]) -> Result:
    """Breach before undetermined before compliant."""
    return max(results, key=list(Result).index, default=Result.COMPLIANT)


def findings(positions: Sequence[Position]) -> tuple[Finding, ...]:
    """What each of the three rules says, with every reason."""
    found = []
    for rule, judged in zip(RULES, (_cass15, _platform_and_custodian, _no_misuse), strict=True):
        reasons = tuple(reason for position in positions for reason in judged(position))
        result = worst([reason.result for reason in reasons])
        found.append(Finding(rule, result, reasons))
    return tuple(found)


def proposals(positions: Sequence[Position]) -> tuple[Proposal, ...]:
    """The transfers that would leave neither shortfall nor excess, numbered from 1.

    A shortfall is covered from the platform's own funds into the account that lacks most. An excess goes
    back: earned fees first, then what was put in before.
    """
    found: list[Proposal] = []
    for position in positions:
        for purpose, debit, credit, amount, code in _set_right(position):
            proposal = Proposal(len(found) + 1, purpose, position.asset, debit, credit, amount, code)
            found.append(proposal)
    return tuple(found)


def _set_right(position: Position) -> Iterator[tuple[str, str, str, int, str]]:
    own_funds = position.own_funds
    if not position.safeguarding:
        return
    if position.shortfall_minor and own_funds:
        lacking = max(position.safeguarding, key=lambda each: each.ledger_minor - each.counted_minor)
        yield "fund", lacking.account, own_funds[0].account, position.shortfall_minor, "settlement"
    left = position.excess_minor
    fullest = max(position.safeguarding, key=lambda each: each.counted_minor)
    for own in sorted(position.own, key=lambda each: (-each.balance_minor, each.account)):
        if (amount := min(left, own.balance_minor)) > 0:
            yield "withdraw", own.account, fullest.account, amount, "fee_payout"
            left -= amount
    for funded in own_funds:
        if (amount := min(left, -funded.ledger_minor)) > 0:
            yield "withdraw", funded.account, fullest.account, amount, "settlement"
            left -= amount


# ── what each rule looks at ──────────────────────────────────────────────────────────────────────────────


def _cass15(position: Position) -> Iterator[Reason]:
    """Internal and external comparison at one point in time, built from each client's balance."""
    yield from _sound(position)
    yield from _placed(position)
    if position.shortfall_minor:
        yield Reason("shortfall", Result.BREACH, position.asset, amount_minor=position.shortfall_minor)
    elif position.safeguarding:
        yield Reason("covered", Result.COMPLIANT, position.asset, amount_minor=position.requirement_minor)
    if position.excess_minor:
        yield Reason("excess", Result.COMPLIANT, position.asset, amount_minor=position.excess_minor)
    if position.negative_accounts:
        yield Reason(
            "negative_balances",
            Result.COMPLIANT,
            position.asset,
            amount_minor=position.negative_minor,
            count=position.negative_accounts,
        )
    yield from _compared(position)


def _platform_and_custodian(position: Position) -> Iterator[Reason]:
    """Platform and custodian have compared their books for the day; what differs is an open, named break."""
    yield from _sound(position)
    yield from _placed(position)
    yield from _compared(position)


def _no_misuse(position: Position) -> Iterator[Reason]:
    """Clients' money has moved on their instruction or a legal order alone, and nobody else uses it."""
    if position.debits_without:
        yield Reason(
            "debit_without_authorisation", Result.BREACH, position.asset, count=position.debits_without
        )
    for external in position.safeguarding:
        for debit in external.unknown_debits:
            yield Reason(
                "debit_without_instruction",
                Result.BREACH,
                position.asset,
                external.account,
                debit.amount_minor,
                debit.number,
            )
    if position.unlocated_minor:
        yield Reason("occupied", Result.BREACH, position.asset, amount_minor=position.unlocated_minor)
    elif position.shortfall_minor:
        # Short at the custodian, yet nobody has taken it: it is on its way there.
        yield Reason("on_the_way", Result.COMPLIANT, position.asset, amount_minor=position.shortfall_minor)
    instructed = position.debits_instructed + position.debits_legal
    yield Reason("debits_authorised", Result.COMPLIANT, position.asset, count=instructed)
    if position.debits_reversing:
        yield Reason("debits_reversing", Result.COMPLIANT, position.asset, count=position.debits_reversing)
    yield from _placed(position)
    for external in position.safeguarding:
        yield from _seen(position, external)


def _sound(position: Position) -> Iterator[Reason]:
    if position.ledger_difference_minor:
        yield Reason(
            "ledger_unbalanced", Result.BREACH, position.asset, amount_minor=position.ledger_difference_minor
        )


def _placed(position: Position) -> Iterator[Reason]:
    """Where the money is must be declared before anything can be said of it."""
    if position.requirement_minor and not position.safeguarding:
        yield Reason(
            "no_safeguarding_account",
            Result.UNDETERMINED,
            position.asset,
            amount_minor=position.requirement_minor,
        )
    for each in position.external:
        if each.role == AccountRole.UNDECLARED and each.ledger_minor:
            yield Reason(
                "account_undeclared", Result.UNDETERMINED, position.asset, each.account, each.ledger_minor
            )


def _compared(position: Position) -> Iterator[Reason]:
    for external in position.safeguarding:
        told = list(_seen(position, external))
        yield from told
        if told:
            continue
        if external.unexplained_minor:
            yield Reason(
                "unexplained", Result.BREACH, position.asset, external.account, external.unexplained_minor
            )
        elif external.breaks or external.late_minor:
            yield Reason(
                "breaks_open",
                Result.COMPLIANT,
                position.asset,
                external.account,
                external.surplus_minor - external.missing_minor,
                external.breaks,
            )
        else:
            yield Reason("agrees", Result.COMPLIANT, position.asset, external.account, external.ledger_minor)


def _seen(position: Position, external: External) -> Iterator[Reason]:
    """Nothing is said of an account whose keeper has not been heard, or not been compared line by line."""
    if external.custodian_minor is None:
        yield Reason("statement_missing", Result.UNDETERMINED, position.asset, external.account)
    elif external.reconciliation is None:
        yield Reason(
            "not_reconciled",
            Result.UNDETERMINED,
            position.asset,
            external.account,
            external.custodian_minor - external.ledger_minor,
        )

"""Indicators: what following the money says about pooling. Five figures, each with its findings.

- `unattributed`: of the money lent, the share that neither reached the borrower whose account it was lent
  to, nor was a fee, nor went back to its lender, nor lies there for at most 15 days. From 5 %.
- `new_money`: of the money paid to lenders on claims, the share that was lent by others or on another loan.
  From 10 %.
- `circular`: of the money moved between clients, the share that came back within 10 days to somebody who had
  had it. From 2 %.
- `term_mismatch`: of the lendings whose term is known with their loan's, the share lent for less than the
  loan runs, by more than 30 days and more than half the term. From 20 %.
- `rolled_over`: of the money paid to lenders on claims, the share that had been lent to the same borrower on
  another loan. From 10 %.

An indicator is *found* where its value reaches its threshold, *clear* where it does not, *undetermined* where
its denominator is nothing. Terms are those that metadata states (`term_days`, of the lending and of the
disbursement); where a disbursement states none, the days over which the borrower's schedule runs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from tallystick.core.db import Db
from tallystick.custody import assets, history
from tallystick.custody.codes import Code
from tallystick.custody.numbers import AccountNumber, Family
from tallystick.custody.pooling import movements, provenance
from tallystick.custody.pooling.movements import Movements
from tallystick.custody.pooling.provenance import Fate, Provenance

IDLE_DAYS = 15
"""Money lent that lies longer than this where it was lent to has found no loan."""

WINDOW_DAYS = 10
"""Money that is back sooner than this went in a circle."""

TERM_GRACE_DAYS = 30

CLICK_MAX = 50_000
"""How many transfers are followed at most while somebody waits for a page or an answer: some seconds' work."""

_DAY = 86_400_000_000


class Sign(StrEnum):
    """What an indicator looks for, in the order in which they are told."""

    UNATTRIBUTED = "unattributed"
    NEW_MONEY = "new_money"
    CIRCULAR = "circular"
    TERM_MISMATCH = "term_mismatch"
    ROLLED_OVER = "rolled_over"


THRESHOLD_PPM: Mapping[Sign, int] = {
    Sign.UNATTRIBUTED: 50_000,
    Sign.NEW_MONEY: 100_000,
    Sign.CIRCULAR: 20_000,
    Sign.TERM_MISMATCH: 200_000,
    Sign.ROLLED_OVER: 100_000,
}
"""From which value on each is found, in millionths."""


class State(StrEnum):
    """What an indicator says. No data is never clear."""

    CLEAR = "clear"
    FOUND = "found"
    UNDETERMINED = "undetermined"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found: the transfer it is about, how much of it, and the transfers that show it.

    account: whose account it was paid from or lent to. cause: which of a sign's reasons (`lies_idle`,
    `paid_to_others`, …). days: of a term mismatch, the term lent for and the term of the loan.
    """

    sign: Sign
    cause: str
    position: int
    amount_minor: int
    of_minor: int
    account: AccountNumber
    evidence: tuple[int, ...]
    days: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Indicator:
    """One figure: numerator over denominator, in minor units, with its findings, the largest first."""

    sign: Sign
    state: State
    numerator_minor: int
    denominator_minor: int
    threshold_ppm: int
    findings: Sequence[Finding]

    @property
    def value_ppm(self) -> int | None:
        """In millionths, rounded down; nothing where there is nothing to divide by."""
        return self.numerator_minor * 1_000_000 // self.denominator_minor if self.denominator_minor else None


@dataclass(frozen=True, slots=True)
class Check:
    """What the ledger says about pooling between two positions of a book, in one asset."""

    after_position: int
    to_position: int
    transfers: int
    """How many were followed, from the book's beginning."""
    reversed_pairs: int
    """Left out: a transfer and its reversal."""
    indicators: Sequence[Indicator]

    @property
    def state(self) -> State:
        """Found where any indicator is; clear only where none is undetermined for want of lending."""
        states = {each.state for each in self.indicators}
        if State.FOUND in states:
            return State.FOUND
        told = [each for each in self.indicators if each.sign != Sign.TERM_MISMATCH]
        return State.CLEAR if all(each.state == State.CLEAR for each in told) else State.UNDETERMINED


def assets_of(db: Db, book: int) -> Sequence[assets.Asset]:
    """The assets in which a book holds money for clients, by number. Raises `errors.BookUnknown`."""
    moved = {total.asset for total in history.totals(db, book) if total.family == Family.CLIENT}
    return [asset for asset in assets.assets(db) if asset.code in moved]


def check(
    db: Db,
    book: int,
    asset: str,
    *,
    after_position: int = 0,
    to_position: int | None = None,
    most: int | None = None,
) -> Check:
    """Check a book's money in one asset for signs of pooling.

    Everything is followed from the beginning; what is posted after a position is judged. most: how many
    transfers are followed at most. Raises `errors.BookUnknown`, `AssetUnknown`, `PositionUnknown` or
    `TooManyToFollow`.
    """
    number = assets.asset(db, asset).number
    moved = movements.read(db, book, number, to_position=to_position, most=most)
    return judge(moved, after_position=after_position)


def judge(moved: Movements, *, after_position: int = 0) -> Check:
    """The indicators of these movements, judged for what stands after a position."""
    found = provenance.follow(moved, window_days=WINDOW_DAYS)
    rules: Mapping[Sign, Callable[[Movements, Provenance, int], tuple[int, list[Finding]]]] = {
        Sign.UNATTRIBUTED: _unattributed,
        Sign.NEW_MONEY: _new_money,
        Sign.CIRCULAR: _circular,
        Sign.TERM_MISMATCH: _term_mismatch,
        Sign.ROLLED_OVER: _rolled_over,
    }
    indicators = []
    for sign, rule in rules.items():
        denominator, findings = rule(moved, found, after_position)
        numerator = sum(each.amount_minor for each in findings)
        threshold = THRESHOLD_PPM[sign]
        reached = numerator > 0 and numerator * 1_000_000 >= threshold * denominator
        state = State.FOUND if reached else State.CLEAR if denominator else State.UNDETERMINED
        findings.sort(key=lambda each: (-each.amount_minor, each.position))
        indicators.append(Indicator(sign, state, numerator, denominator, threshold, findings))
    return Check(
        after_position=after_position,
        to_position=int(moved.position[-1]) if len(moved) else 0,
        transfers=len(moved),
        reversed_pairs=moved.reversed_pairs,
        indicators=indicators,
    )


# ── the rules ────────────────────────────────────────────────────────────────────────────────────────────


def _unattributed(moved: Movements, found: Provenance, after: int) -> tuple[int, list[Finding]]:
    lends = _lends(moved, after)
    strayed: dict[int, dict[int, int]] = defaultdict(dict)
    for each in found.spent:
        if each.fate in (Fate.OTHER, Fate.CLAIM):
            went = strayed[each.lent_at]
            went[each.position] = went.get(each.position, 0) + each.amount_minor
    last = int(moved.at[-1]) if len(moved) else 0
    findings = []
    for position, i in lends.items():
        amount, account = int(moved.amount_minor[i]), _account(moved, moved.taker[i])
        if position in strayed:
            parts = strayed[position]
            findings.append(
                Finding(
                    Sign.UNATTRIBUTED,
                    "paid_to_others",
                    position,
                    sum(parts.values()),
                    amount,
                    account,
                    (position, *sorted(parts)),
                )
            )
        idle = found.unspent.get(position, 0)
        if idle and last - int(moved.at[i]) > IDLE_DAYS * _DAY:
            findings.append(
                Finding(Sign.UNATTRIBUTED, "lies_idle", position, idle, amount, account, (position,))
            )
    return sum(int(moved.amount_minor[i]) for i in lends.values()), findings


def _new_money(moved: Movements, found: Provenance, after: int) -> tuple[int, list[Finding]]:
    return _claims(moved, found, after, Sign.NEW_MONEY, only_rolled=False)


def _rolled_over(moved: Movements, found: Provenance, after: int) -> tuple[int, list[Finding]]:
    return _claims(moved, found, after, Sign.ROLLED_OVER, only_rolled=True)


def _claims(
    moved: Movements, found: Provenance, after: int, sign: Sign, *, only_rolled: bool
) -> tuple[int, list[Finding]]:
    paid, findings = 0, []
    for claim in found.claims:
        position = int(moved.position[claim.index])
        if position <= after:
            continue
        paid += claim.amount_minor
        parts = [each for each in claim.new_money if each[2] or not only_rolled]
        if parts:
            findings.append(
                Finding(
                    sign,
                    Code(int(moved.code[claim.index])).text,
                    position,
                    sum(amount for _, amount, _ in parts),
                    claim.amount_minor,
                    _account(moved, moved.giver[claim.index]),
                    (*sorted({lent_at for lent_at, _, _ in parts}), position),
                )
            )
    return paid, findings


def _circular(moved: Movements, found: Provenance, after: int) -> tuple[int, list[Finding]]:
    sums: dict[tuple[int, ...], int] = defaultdict(int)
    for circle in found.circles:
        if circle.positions[-1] > after:
            sums[circle.positions] += circle.amount_minor
    rows = {int(position): i for i, position in enumerate(moved.position)} if sums else {}
    findings = [
        Finding(
            Sign.CIRCULAR,
            "came_back",
            positions[-1],
            amount,
            int(moved.amount_minor[rows[positions[-1]]]),
            _account(moved, moved.taker[rows[positions[-1]]]),
            positions,
        )
        for positions, amount in sums.items()
    ]
    between = (
        (moved.owner[moved.giver] >= 0)
        & (moved.owner[moved.taker] >= 0)
        & (moved.owner[moved.giver] != moved.owner[moved.taker])
        & (moved.position > after)
    )
    return int(moved.amount_minor[between].sum()), findings


def _term_mismatch(moved: Movements, found: Provenance, after: int) -> tuple[int, list[Finding]]:
    """Each lending whose term is known, against the longest known term of what was disbursed from its loan."""
    terms: dict[int, int] = {}
    shown: dict[int, int] = {}
    disbursed = moved.code == int(Code.DISBURSE)
    for i in np.flatnonzero(disbursed & (moved.term_days > 0)).tolist():
        account, term = int(moved.giver[i]), int(moved.term_days[i])
        if term > terms.get(account, 0):
            terms[account], shown[account] = term, int(moved.position[i])
    for account in set(moved.giver[disbursed].tolist()) - set(terms):
        scheduled = moved.schedule_days.get(int(moved.accounts[account]), 0)
        if scheduled:
            terms[account] = scheduled
    known, findings = 0, []
    for position, i in _lends(moved, after).items():
        lent_for, runs = int(moved.term_days[i]), terms.get(int(moved.taker[i]), 0)
        if not (lent_for and runs):
            continue
        amount = int(moved.amount_minor[i])
        known += amount
        if runs - lent_for > max(TERM_GRACE_DAYS, lent_for // 2):
            evidence = {position, *([shown[int(moved.taker[i])]] if int(moved.taker[i]) in shown else [])}
            findings.append(
                Finding(
                    Sign.TERM_MISMATCH,
                    "lent_for_less",
                    position,
                    amount,
                    amount,
                    _account(moved, moved.taker[i]),
                    tuple(sorted(evidence)),
                    (lent_for, runs),
                )
            )
    return known, findings


def _lends(moved: Movements, after: int) -> dict[int, int]:
    """The lendings from one client to another, by position: their rows."""
    chosen = (
        (moved.code == int(Code.LEND))
        & (moved.position > after)
        & (moved.owner[moved.giver] >= 0)
        & (moved.owner[moved.taker] >= 0)
        & (moved.owner[moved.giver] != moved.owner[moved.taker])
    )
    return {int(moved.position[i]): i for i in np.flatnonzero(chosen).tolist()}


def _account(moved: Movements, place: int) -> AccountNumber:
    return AccountNumber(int(moved.accounts[place]))

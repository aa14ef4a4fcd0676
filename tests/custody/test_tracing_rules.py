"""The two rules by which money is followed: nothing is lost, nothing made, and what is undone never was."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime

from hypothesis import given
from hypothesis import strategies as st

from tallystick.custody.codes import Code
from tallystick.custody.tracing import parcels, shares
from tallystick.custody.tracing.parcels import OPENING, UNCOVERED, Attribution, Movement

ANNA, SAVINGS, OUTSIDE, LOAN = 1, 2, 3, 4
AT, DAY = datetime(2026, 3, 1, tzinfo=UTC), date(2026, 3, 1)


def line(
    position: int, giver: int, taker: int, amount: int, code: Code = Code.TRANSFER, **more: object
) -> Movement:
    return Movement(position, code, giver, taker, amount, AT, DAY, **more)  # type: ignore[arg-type]


def pieces(found: Attribution) -> list[tuple[int, int, int]]:
    return [(each.source, each.use, each.amount_minor) for each in found.pieces]


def kept(found: Attribution) -> list[tuple[int, int]]:
    return [(each.source, each.amount_minor) for each in found.kept]


def test_the_first_money_in_is_the_first_out_and_the_opening_is_first_of_all() -> None:
    """A use takes the oldest receipt, and a part of the last one it touches."""
    found = parcels.attribute(
        {ANNA: 30},
        [
            line(1, OUTSIDE, ANNA, 100),
            line(2, OUTSIDE, ANNA, 50),
            line(3, ANNA, OUTSIDE, 60),
            line(4, ANNA, OUTSIDE, 90),
        ],
    )
    assert pieces(found) == [(OPENING, 3, 30), (1, 3, 30), (1, 4, 70), (2, 4, 20)]
    assert kept(found) == [(2, 30)]


def test_a_reversed_use_gives_back_what_it_took_and_a_reversed_receipt_takes_itself() -> None:
    """After a reversal the money is as old as it was, and neither transfer is on a path."""
    found = parcels.attribute(
        {ANNA: 0},
        [
            line(1, OUTSIDE, ANNA, 100),
            line(2, OUTSIDE, ANNA, 100),
            line(3, ANNA, OUTSIDE, 120),
            line(4, OUTSIDE, ANNA, 120, undoes=3),
            line(5, ANNA, OUTSIDE, 100, undoes=2),
            line(6, ANNA, OUTSIDE, 70),
        ],
    )
    assert pieces(found) == [(1, 6, 70)]
    assert kept(found) == [(1, 30)]
    assert [(each.position, each.by, each.amount_minor) for each in found.undone] == [
        (3, 4, 120),
        (2, 5, 100),
    ]


def test_a_payout_that_comes_back_under_its_reference_is_undone() -> None:
    """A return names what it returns; money under another reference is a receipt like any."""
    out = line(2, ANNA, OUTSIDE, 80, Code.WITHDRAWAL, reference="W1")
    back = line(3, OUTSIDE, ANNA, 80, Code.RETURN, reference="W1")
    other = line(3, OUTSIDE, ANNA, 80, Code.RETURN, reference="W2")
    first = line(1, OUTSIDE, ANNA, 100)
    assert kept(parcels.attribute({ANNA: 0}, [first, out, back])) == [(1, 100)]
    assert kept(parcels.attribute({ANNA: 0}, [first, out, other])) == [(1, 20), (3, 80)]


def test_money_keeps_its_origin_from_one_own_account_to_another() -> None:
    """What moves between accounts followed together is not a use, and stays the receipt it was."""
    found = parcels.attribute(
        {ANNA: 0, SAVINGS: 10},
        [line(1, OUTSIDE, ANNA, 100), line(2, ANNA, SAVINGS, 60), line(3, SAVINGS, OUTSIDE, 30)],
    )
    assert pieces(found) == [(OPENING, 3, 10), (1, 3, 20)]
    assert (found.came_minor, found.left_minor, found.closing_minor) == (100, 30, 80)


def test_what_no_receipt_covers_is_said_and_covered_by_the_next() -> None:
    """An account that mirrors a bank's may be overdrawn; the next money in makes up for it."""
    found = parcels.attribute({OUTSIDE: 20}, [line(1, OUTSIDE, ANNA, 50), line(2, ANNA, OUTSIDE, 100)])
    assert pieces(found) == [(2, UNCOVERED, 30), (OPENING, 1, 20), (UNCOVERED, 1, 30)]
    assert (kept(found), found.closing_minor, found.uncovered_minor) == ([(2, 70)], 70, 0)


@st.composite
def lives(draw: st.DrawFn) -> tuple[dict[int, int], list[Movement]]:
    """Two accounts of one owner: receipts, uses, moves between them, reversals and returns, never overdrawn."""
    has = {ANNA: draw(st.integers(0, 50)), SAVINGS: draw(st.integers(0, 50))}
    opening = dict(has)
    lines: list[Movement] = []
    open_to_reversal: list[Movement] = []
    for position in range(1, draw(st.integers(1, 40)) + 1):
        giver, taker = draw(st.sampled_from([(OUTSIDE, ANNA), (ANNA, OUTSIDE), (ANNA, SAVINGS), (SAVINGS, ANNA),
                                             (SAVINGS, OUTSIDE), (OUTSIDE, SAVINGS)]))  # fmt: skip
        if open_to_reversal and draw(st.integers(0, 3)) == 0:
            undone = open_to_reversal.pop(draw(st.integers(0, len(open_to_reversal) - 1)))
            giver, taker, amount, undoes = undone.taker, undone.giver, undone.amount_minor, undone.position
        else:
            amount, undoes = draw(st.integers(1, 60)), 0
        if giver in has and has[giver] < amount:
            continue
        made = line(position, giver, taker, amount, undoes=undoes)
        if giver in has:
            has[giver] -= amount
        if taker in has:
            has[taker] += amount
        lines.append(made)
        if not undoes:
            open_to_reversal.append(made)
    return opening, lines


@given(lives())
def test_every_unit_has_one_source_and_one_end(life: tuple[dict[int, int], Sequence[Movement]]) -> None:
    """Opening and receipts make uses and what is kept, for every receipt, every use and every account."""
    opening, lines = life
    found = parcels.attribute(opening, lines)
    border = [each for each in lines if (each.giver in opening) != (each.taker in opening)]
    came = sum(each.amount_minor for each in border if each.taker in opening)
    left = sum(each.amount_minor for each in border if each.giver in opening)
    assert (found.came_minor, found.left_minor) == (came, left)
    assert found.opening_minor + came == left + found.closing_minor
    by_source: dict[int, int] = defaultdict(int)
    by_use: dict[int, int] = defaultdict(int)
    undone: dict[int, int] = defaultdict(int)
    for each in found.pieces:
        assert each.amount_minor > 0
        by_source[each.source] += each.amount_minor
        by_use[each.use] += each.amount_minor
    for each in found.kept:
        by_source[each.source] += each.amount_minor
    for each in found.undone:
        undone[each.position] += each.amount_minor
        undone[each.by] += each.amount_minor
    assert by_source[OPENING] == found.opening_minor
    for each in border:
        told = by_source if each.taker in opening else by_use
        assert told[each.position] + undone[each.position] == each.amount_minor
    balance = dict(opening)
    for each in lines:
        balance[each.giver] = balance.get(each.giver, 0) - each.amount_minor
        balance[each.taker] = balance.get(each.taker, 0) + each.amount_minor
    for account in opening:
        assert sum(each.amount_minor for each in found.kept if each.lies_in == account) == balance[account]


def test_a_payment_out_of_shared_money_takes_of_each_in_proportion() -> None:
    """The fee of a loan is everybody's who lent; the odd unit goes by the largest remainder, then by order."""
    lent = [
        line(1, 11, LOAN, 500, Code.LEND),
        line(2, 12, LOAN, 300, Code.LEND),
        line(3, 13, LOAN, 200, Code.LEND),
    ]
    fee = line(4, LOAN, 20, 7, Code.FEE)
    out = line(5, LOAN, 21, 993, Code.DISBURSE)
    found = shares.shares(LOAN, [*lent, fee, out])
    assert [found[n].went for n in (1, 2, 3)] == [[(4, 4), (5, 496)], [(4, 2), (5, 298)], [(4, 1), (5, 199)]]
    assert all(each.left_minor == 0 for each in found.values())


def test_a_refund_is_of_ones_own_part_and_a_reversed_part_never_was() -> None:
    """What goes back to a lender is theirs; a lending that is reversed leaves the others' parts whole."""
    lent = [line(1, 11, LOAN, 500, Code.LEND), line(2, 12, LOAN, 300, Code.LEND)]
    found = shares.shares(LOAN, [*lent, line(3, LOAN, 12, 100, Code.REFUND)])
    assert (found[1].left_minor, found[2].went, found[2].left_minor) == (500, [(3, 100)], 200)
    found = shares.shares(LOAN, [*lent, line(3, LOAN, 11, 500, Code.LEND, undoes=1)])
    assert (found[1].is_undone, found[1].went, found[2].left_minor) == (True, [], 300)


@given(st.dictionaries(st.integers(1, 50), st.integers(1, 10**9), min_size=1, max_size=12), st.data())
def test_a_division_makes_its_whole_and_takes_more_than_is_there_of_nobody(
    parts: dict[int, int], data: st.DataObject
) -> None:
    """In whole minor units, within one of the exact proportion, and the same whatever the order."""
    total = sum(parts.values())
    amount = data.draw(st.integers(0, total))
    found = shares.divided(amount, parts)
    assert sum(found.values()) == amount
    for position, part in parts.items():
        got = found.get(position, 0)
        assert got <= part
        assert abs(got * total - amount * part) < total
    assert shares.divided(amount, dict(sorted(parts.items(), reverse=True))) == found

"""Shares: whose money a payment was, where the money of several owners lies together.

The rule, whole. A loan's account takes in many lenders' money, and what leaves it is everybody's: each
payment takes from each part what is there of it in proportion, in whole minor units, the largest remainders
rounded up first and of equal ones the earlier part. So no lender's money is said to have paid the fee of
all. Money that goes back as a refund or a return takes the part of whoever gets it first, and a part whose
transfer is reversed is as though it had never been.

Promises: the parts of a payment make the payment, and the parts left make the balance, to the minor unit.
Every lender who asks hears of the same division.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tallystick.custody.codes import Code
from tallystick.custody.tracing.parcels import Movement

_BACK = frozenset({Code.REFUND, Code.RETURN})


@dataclass(slots=True)
class Share:
    """What became of one part: each payment that took of it, by position, and what is still there."""

    position: int
    giver: int
    left_minor: int
    went: list[tuple[int, int]] = field(default_factory=list)
    """Position of the payment, and how much of this part it was."""
    is_undone: bool = False


def divided(amount_minor: int, parts: Mapping[int, int]) -> dict[int, int]:
    """The amount in proportion to the parts (by position), in whole minor units; not more than any part.

    Largest remainders first, of equal ones the earlier part.
    """
    total = sum(parts.values())
    assert 0 <= amount_minor <= total, "no more than there is"
    if not amount_minor:
        return {}
    whole = {position: amount_minor * part // total for position, part in parts.items()}
    left = amount_minor - sum(whole.values())
    by_remainder = sorted(parts, key=lambda position: (-(amount_minor * parts[position] % total), position))
    for position in by_remainder[:left]:
        whole[position] += 1
    return {position: part for position, part in whole.items() if part}


def shares(account: int, lines: Sequence[Movement]) -> dict[int, Share]:
    """Every part that came into an account, by position, and what became of it. `lines` are all it ever had."""
    found: dict[int, Share] = {}
    there: dict[int, int] = {}
    paid: dict[int, dict[int, int]] = {}
    for line in lines:
        if line.taker == account:
            back = _put_back(there, paid.pop(line.undoes, {}), line.amount_minor) if line.undoes else 0
            if line.amount_minor > back:
                there[line.position] = line.amount_minor - back
                found[line.position] = Share(line.position, line.giver, 0)
            continue
        left = line.amount_minor
        taken: dict[int, int] = {}
        if line.undoes in there:
            part = min(there[line.undoes], left)
            _lessen(there, {line.undoes: part})
            found[line.undoes].is_undone = True
            left -= part
        if line.code in _BACK:
            theirs = {each: part for each, part in there.items() if found[each].giver == line.taker}
            taken = divided(min(left, sum(theirs.values())), theirs)
            _lessen(there, taken)
        rest = divided(min(left - sum(taken.values()), sum(there.values())), there)
        _lessen(there, rest)
        paid[line.position] = {
            each: taken.get(each, 0) + rest.get(each, 0) for each in sorted({*taken, *rest})
        }
    for payment, parts in sorted(paid.items()):
        for position, part in parts.items():
            found[position].went.append((payment, part))
    for position, part in there.items():
        found[position].left_minor = part
    return found


def _lessen(there: dict[int, int], parts: Mapping[int, int]) -> None:
    for position, part in parts.items():
        there[position] -= part
        if not there[position]:
            del there[position]


def _put_back(there: dict[int, int], parts: Mapping[int, int], amount_minor: int) -> int:
    """A payment was reversed: its parts are there again."""
    back = 0
    for position, part in sorted(parts.items()):
        there[position] = there.get(position, 0) + part
        back += part
    assert back <= amount_minor, "a reversal moves what it reverses"
    return back

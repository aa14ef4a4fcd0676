"""Matching: statement lines against ledger lines and a channel's, in passes, and a kind for what is left.

Columns in, columns out: no database, no clock, no chance. The order in which lines are given does not
matter, and the same lines give the same matches on any machine. Time is that of sorting whole numbers;
nothing compares every line with every other, and what is searched is searched in bounds that are told.

The passes, each on what the passes before it left:

1. **reference**: a reference both sides carry, and the same amount and currency. The bank's best reference
   first, for all lines; then its others (instruction id, the customer's, the bank's own) in the order of
   their worth. Where several lines of one side fit, the earliest goes first.
2. **text**: a word of the remittance text is the ledger's reference, and the amount is the same.
   With these two, the references of a payment channel: its payments are the ledger's, its settlements the
   bank's. Ledger lines that the channel knows come to the bank in its sums, and in none of passes 3 and 4.
3. **reversed**: a ledger line and the ledger line that reverses it cancel out: the bank never saw them.
   Only where neither bank nor channel knows either: what they did book is matched first.
   What then still shares a reference and not the amount is kept for one another: passes 4 and 5 leave it.
4. **amount and day**: the same amount within `window_days`, only where one of the two lines carries no
   reference at all: two references that differ are two payments. The nearest day goes first; of two as
   near, the ledger line before the bank's; of two on one day, the earlier line on either side.
5. **sum**: one line of a side is several of the other, of near days; its bounds and its tie rule are in
   `sums`. Lines under one reference are summed before pass 4 already.
6. **settlement**: a bank line is a channel's payments less its fees, found by their sum; in `settlements`.

The kinds of what is left, in the order in which they are judged:

- `duplicate`: its reference and amount stand on the same side once more, and that line came first.
- `amount`: its reference stands on both sides, with different amounts. One break for the two lines. A
  settlement that is not the sum of its payments, or whose fees the ledger has otherwise, is one too.
- `wrong_account`: its reference is known, but on another control account (or at another bank account).
- `timing`: the other side has its line after the cut-off; or, for a ledger line, the bank's statements
  do not yet reach `timing_days` past it, so that the bank may still be about to book it.
- `unidentified`: money came in at the bank, and nothing on the line names anybody known.
- `missing_in_ledger`, `missing_at_bank`: the rest. Fees a channel kept and nobody booked are missing in
  the ledger.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from tallystick.custody.breaks import BreakKind
from tallystick.custody.matching import kinds, passes, settlements, sums
from tallystick.custody.matching.kinds import Around, spoken
from tallystick.custody.matching.lines import (
    Bank,
    BankLine,
    Channel,
    ChannelLine,
    Ledger,
    LedgerLine,
    Part,
    Said,
    cleaned,
    names,
    normal,
    words,
)
from tallystick.custody.matching.outcome import (
    FEE,
    OPENING,
    Break,
    Group,
    Match,
    Matches,
    Outcome,
    Pass,
    Rule,
)
from tallystick.custody.matching.work import TIMING_DAYS, WINDOW_DAYS, Rules, Work

__all__ = (
    "FEE",
    "OPENING",
    "TIMING_DAYS",
    "WINDOW_DAYS",
    "Around",
    "Bank",
    "BankLine",
    "Break",
    "Channel",
    "ChannelLine",
    "Group",
    "Ledger",
    "LedgerLine",
    "Match",
    "Matches",
    "Outcome",
    "Part",
    "Pass",
    "Rule",
    "Rules",
    "Said",
    "Work",
    "cleaned",
    "judge",
    "match",
    "names",
    "normal",
    "spoken",
    "with_opening",
    "words",
)


def match(bank: Bank, ledger: Ledger, channel: Channel | None = None, *, rules: Rules | None = None) -> Work:
    """Run the passes over the lines up to the cut-off. What they leave open is for `judge`, once."""
    work = Work(bank, ledger, Channel.of(()) if channel is None else channel, rules or Rules())
    passes.by_best_reference(work)
    passes.by_further_references(work)
    settlements.claim_payments(work)
    settlements.by_name(work)
    passes.cancel_reversed(work)
    sums.by_reference(work)
    passes.pledge(work)
    passes.by_amount_and_day(work)
    sums.by_days(work)
    settlements.by_sum(work)
    return work


def judge(work: Work, around: Around) -> Outcome:
    """Give each line that is left its kind."""
    judged = kinds.Judge(work, around)
    breaks = judged.judge()
    groups = sorted((*work.groups, *judged.groups), key=lambda each: (each.bank, each.positions))
    return Outcome(
        work.matches(), tuple(groups), tuple(sorted(work.reversed)), tuple(breaks), work.not_searched
    )


def with_opening(outcome: Outcome, *, opening_minor: int, start: dt.date) -> Outcome:
    """Hold the ledger's lines of before the first statement against the bank's opening balance.

    Those that no bank line is are in the opening balance, which no statement breaks up: together they
    must make it. `opening_minor` is that balance less what the ledger opened the account with; where
    they differ, one break says by how much.
    """

    def is_before(each: Break) -> bool:
        return each.bank is None and each.channel is None and each.day < start

    rest = opening_minor + sum(each.effect_minor for each in outcome.breaks if is_before(each))
    kept = [each for each in outcome.breaks if not is_before(each)]
    if rest:
        kind = BreakKind.MISSING_IN_LEDGER if rest > 0 else BreakKind.MISSING_AT_BANK
        kept.insert(0, Break(kind, rest, start, None, None, twin=OPENING))
    return replace(outcome, breaks=tuple(kept))

"""Matching: statement lines against ledger lines, in passes, and a kind for what is left.

Plain rows in, plain rows out: no database, no clock, no chance. Both sides are put in one order first,
so the order in which lines are given does not matter, and the same lines give the same matches on any
machine. Time is that of sorting; nothing compares every line with every other.

The passes, each on what the passes before it left:

1. **reversed**: a ledger line and the ledger line that reverses it cancel out: the bank never saw them.
   Only where the bank knows neither: what the bank did book is matched first.
2. **reference**: a reference both sides carry, and the same amount. The bank's references are tried in
   the order of their worth: end-to-end id, instruction id, the customer's, the bank's own; then the words
   of the remittance text. Where several lines of one side fit, the earliest goes first.
3. **amount and day**: the same amount within `window_days`, only where one of the two lines carries no
   reference at all: two references that differ are two payments. The nearest day goes first; of two as
   near, the ledger line before the bank's; of two on one day, the earlier line on either side.

The kinds of what is left, in the order in which they are judged:

- `duplicate`: its reference and amount stand on the same side once more, and that line came first.
- `amount`: its reference stands on both sides, with different amounts. One break for the two lines.
- `wrong_account`: its reference is known, but on another control account (or at another bank account).
- `timing`: the other side has its line after the cut-off; or, for a ledger line, the bank's statements
  do not yet reach `timing_days` past it, so that the bank may still be about to book it.
- `unidentified`: money came in at the bank, and nothing on the line names anybody known.
- `missing_in_ledger`, `missing_at_bank`: the rest.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from tallystick.custody.breaks import BreakKind

WINDOW_DAYS = 3
"""How far apart a bank line and a ledger line without a common reference may be."""
TIMING_DAYS = 3
"""How long a bank may take to book what the ledger has already."""


OPENING = "opening"
"""The twin of the one break that stands for opening balances that differ."""


@dataclass(frozen=True, slots=True)
class BankLine:
    """A line of a bank statement. Positive where money came in."""

    key: int
    """Identifies the line, and orders the lines of one day: the order of the statements."""
    day: dt.date
    amount_minor: int
    references: tuple[str, ...] = ()
    text: str = ""
    """Remittance text and names: words that may hold a reference or name somebody."""
    counterparty_account: str = ""


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """A line of the bank's control account. Positive where the account grew: money at the bank."""

    position: int
    day: dt.date
    amount_minor: int
    reference: str = ""
    reverses: int | None = None
    """The position of the transfer this one reverses."""


@dataclass(frozen=True, slots=True)
class Match:
    """A bank line and the ledger line that is the same payment."""

    bank: int
    position: int
    by: str
    """`reference`, `text` or `amount_and_day`."""


@dataclass(frozen=True, slots=True)
class Break:
    """A difference. `effect_minor`: what it adds to the bank's total over the ledger's."""

    kind: BreakKind
    effect_minor: int
    day: dt.date
    bank: int | None
    position: int | None
    reference: str = ""
    twin: str = ""
    """The line it repeats, or the account where its reference is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What is known besides the lines up to the cut-off: it decides kinds, never matches."""

    cut_off: dt.date
    bank_known_to: dt.date
    """The last day the bank's statements cover, the cut-off or later."""
    bank_after: Sequence[BankLine] = ()
    ledger_after: Sequence[LedgerLine] = ()
    ledger_elsewhere: Mapping[str, str] = field(default_factory=dict)
    """References on other control accounts of the book, and on which."""
    bank_elsewhere: Mapping[str, str] = field(default_factory=dict)
    """References at other bank accounts of the book, and at which."""
    known: Set[str] = frozenset()
    """Words that name somebody: customer numbers, account references, accounts customers pay from."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Every line of both sides, once: in a match, reversed, or in a break."""

    matches: tuple[Match, ...]
    reversed: tuple[tuple[int, int], ...]
    """Positions of ledger lines and of what reverses them."""
    breaks: tuple[Break, ...]

    @property
    def effect_minor(self) -> int:
        """All breaks together: the bank's total less the ledger's."""
        return sum(each.effect_minor for each in self.breaks)

    @property
    def by_kind(self) -> dict[str, int]:
        """How many breaks of each kind, every kind named."""
        counts = dict.fromkeys(map(str, BreakKind), 0)
        for each in self.breaks:
            counts[each.kind] += 1
        return counts

    @property
    def digest(self) -> bytes:
        """SHA-256 over matches and breaks in their order."""
        whole = hashlib.sha256()
        for match in self.matches:
            whole.update(f"m {match.bank} {match.position} {match.by}\n".encode())
        for pair in self.reversed:
            whole.update(f"r {pair[0]} {pair[1]}\n".encode())
        for each in self.breaks:
            whole.update(f"b {each.kind} {each.effect_minor} {each.bank} {each.position}\n".encode())
        return whole.digest()


def normal(reference: str) -> str:
    """A reference as it is compared: without blanks, in capitals. Banks change both on the way."""
    return "".join(reference.split()).upper()


_WORD = re.compile(r"[^\W_][\w./:-]{2,}")
_PART = re.compile(r"[^\W_]{3,}")


def words(text: str) -> Iterable[str]:
    """The words of a text that might be references, as they are compared: whole, then in parts."""
    for word in _WORD.findall(text):
        yield word.strip("./:-_").upper()
    for word in _WORD.findall(text):
        for part in _PART.findall(word):
            if part != word:
                yield part.upper()


def match(
    bank: Iterable[BankLine],
    ledger: Iterable[LedgerLine],
    around: Around,
    *,
    window_days: int = WINDOW_DAYS,
    timing_days: int = TIMING_DAYS,
) -> Outcome:
    """Match the lines of both sides up to the cut-off, and give each line that is left its kind."""
    # One order, whatever order the lines were given in.
    bank_lines = sorted(bank, key=lambda line: (line.day, line.key))
    ledger_lines = sorted(ledger, key=lambda line: (line.day, line.position))
    work = _Work(bank_lines, ledger_lines)
    work.match_references()
    work.cancel_reversed()
    work.match_amounts(window_days)
    breaks = _Kinds(work, around, timing_days).judge()
    matches = sorted(work.matches, key=lambda match: (match.bank, match.position))
    return Outcome(tuple(matches), tuple(sorted(work.reversed)), tuple(breaks))


def with_opening(outcome: Outcome, *, opening_minor: int, start: dt.date) -> Outcome:
    """Hold the ledger's lines of before the first statement against the bank's opening balance.

    Those that no bank line is are in the opening balance, which no statement breaks up: together they
    must make it. `opening_minor` is that balance less what the ledger opened the account with; where
    they differ, one break says by how much.
    """
    before = [each for each in outcome.breaks if each.bank is None and each.day < start]
    rest = opening_minor + sum(each.effect_minor for each in before)
    kept = [each for each in outcome.breaks if each.bank is not None or each.day >= start]
    if rest:
        kind = BreakKind.MISSING_IN_LEDGER if rest > 0 else BreakKind.MISSING_AT_BANK
        kept.insert(0, Break(kind, rest, start, None, None, twin=OPENING))
    return replace(outcome, breaks=tuple(kept))


class _Work:
    """Both sides, and what each pass took from them."""

    def __init__(self, bank: list[BankLine], ledger: list[LedgerLine]) -> None:
        self.bank = bank
        self.ledger = ledger
        self.matches: list[Match] = []
        self.reversed: list[tuple[int, int]] = []
        self.bank_taken: set[int] = set()
        self.ledger_taken: set[int] = set()
        self.bank_references = {
            line.key: tuple(dict.fromkeys(normal(each) for each in line.references if normal(each)))
            for line in bank
        }
        self.ledger_reference = {line.position: normal(line.reference) for line in ledger}

    @property
    def bank_left(self) -> list[BankLine]:
        return [line for line in self.bank if line.key not in self.bank_taken]

    @property
    def ledger_left(self) -> list[LedgerLine]:
        return [line for line in self.ledger if line.position not in self.ledger_taken]

    def _take(self, bank: BankLine, ledger: LedgerLine, by: str) -> None:
        self.bank_taken.add(bank.key)
        self.ledger_taken.add(ledger.position)
        self.matches.append(Match(bank.key, ledger.position, by))

    def match_references(self) -> None:
        """The same reference and amount; each line once, the earliest first."""
        waiting: dict[tuple[str, int], deque[LedgerLine]] = defaultdict(deque)
        for posted in self.ledger:
            reference = self.ledger_reference[posted.position]
            if reference:
                waiting[reference, posted.amount_minor].append(posted)
        # All lines by their own references before any by its text: a text is the weaker word.
        for by in ("reference", "text"):
            for line in self.bank:
                if line.key in self.bank_taken:
                    continue
                candidates = self.bank_references[line.key] if by == "reference" else words(line.text)
                for reference in candidates:
                    fitting = waiting.get((reference, line.amount_minor))
                    if fitting:
                        self._take(line, fitting.popleft(), by)
                        break

    def cancel_reversed(self) -> None:
        """A ledger line and its reversal, neither of which the bank knows."""
        left = {line.position: line for line in self.ledger_left}
        for position, line in list(left.items()):
            original = left.get(line.reverses) if line.reverses is not None else None
            if original is not None and original.amount_minor == -line.amount_minor:
                self.reversed.append((original.position, position))
                self.ledger_taken.update((original.position, position))

    def match_amounts(self, window_days: int) -> None:
        """The same amount on near days, where one of the lines has no reference to say otherwise."""
        bank_left, ledger_left = self.bank_left, self.ledger_left
        ledger_days: dict[tuple[int, dt.date, bool], deque[LedgerLine]] = defaultdict(deque)
        for ledger_line in ledger_left:
            named = bool(self.ledger_reference[ledger_line.position])
            ledger_days[ledger_line.amount_minor, ledger_line.day, named].append(ledger_line)
        for distance in range(window_days + 1):
            for direction in (-1, 1) if distance else (-1,):
                for line in bank_left:
                    if line.key in self.bank_taken:
                        continue
                    day = line.day + dt.timedelta(days=direction * distance)
                    # A line with a reference looks only at lines without one; one without, at both.
                    for named in (False,) if self.bank_references[line.key] else (False, True):
                        fitting = ledger_days.get((line.amount_minor, day, named))
                        if fitting:
                            self._take(line, fitting.popleft(), "amount_and_day")
                            break


class _Kinds:
    """The judgement of what no pass took."""

    def __init__(self, work: _Work, around: Around, timing_days: int) -> None:
        self.work = work
        self.around = around
        self.timing = dt.timedelta(days=timing_days)
        self.breaks: list[Break] = []
        self.bank_left = work.bank_left
        self.ledger_left = work.ledger_left

    def judge(self) -> list[Break]:
        self._duplicates()
        self._amounts()
        bank_later = {
            (normal(reference), line.amount_minor)
            for line in self.around.bank_after
            for reference in (*line.references, *words(line.text))
        }
        ledger_later = {(normal(line.reference), line.amount_minor) for line in self.around.ledger_after}
        for line in self.bank_left:
            self._judge_bank(line, ledger_later)
        for ledger_line in self.ledger_left:
            self._judge_ledger(ledger_line, bank_later)
        return sorted(
            self.breaks, key=lambda each: (each.day, each.bank is None, each.bank or 0, each.position or 0)
        )

    def _duplicates(self) -> None:
        """The same reference and amount once more on the same side."""
        left = {line.key for line in self.bank_left}
        first_bank: dict[tuple[str, int], int] = {}
        again: dict[int, tuple[str, int]] = {}
        # Lines that were matched count as first, wherever they stand: the copy is what is left over.
        for line in sorted(self.work.bank, key=lambda line: (line.key in left, line.day, line.key)):
            references = self.work.bank_references[line.key]
            if not references:
                continue
            # The best reference decides: banks give each of two copies an own reference of theirs.
            twin = first_bank.setdefault((references[0], line.amount_minor), line.key)
            if twin != line.key and line.key in left:
                again[line.key] = (references[0], twin)
        for line in self.bank_left:
            if line.key in again:
                reference, twin = again[line.key]
                self._bank_break(BreakKind.DUPLICATE, line, reference, str(twin))
        self.bank_left = [line for line in self.bank_left if line.key not in again]

        ledger_left = {line.position for line in self.ledger_left}
        first_ledger: dict[tuple[str, int], int] = {}
        repeated: dict[int, int] = {}
        for line_ in sorted(
            self.work.ledger, key=lambda line: (line.position in ledger_left, line.day, line.position)
        ):
            reference = self.work.ledger_reference[line_.position]
            if not reference:
                continue
            twin = first_ledger.setdefault((reference, line_.amount_minor), line_.position)
            if twin != line_.position and line_.position in ledger_left:
                repeated[line_.position] = twin
        for ledger_line in self.ledger_left:
            if ledger_line.position in repeated:
                self._ledger_break(BreakKind.DUPLICATE, ledger_line, str(repeated[ledger_line.position]))
        self.ledger_left = [line for line in self.ledger_left if line.position not in repeated]

    def _amounts(self) -> None:
        """The same reference on both sides with different amounts: one break for the pair."""
        waiting: dict[tuple[str, bool], deque[LedgerLine]] = defaultdict(deque)
        for line in self.ledger_left:
            reference = self.work.ledger_reference[line.position]
            if reference:
                waiting[reference, line.amount_minor > 0].append(line)
        taken_bank: set[int] = set()
        taken_ledger: set[int] = set()
        for bank_line in self.bank_left:
            for reference in (*self.work.bank_references[bank_line.key], *words(bank_line.text)):
                fitting = waiting.get((reference, bank_line.amount_minor > 0))
                if fitting:
                    line = fitting.popleft()
                    taken_bank.add(bank_line.key)
                    taken_ledger.add(line.position)
                    self.breaks.append(
                        Break(
                            BreakKind.AMOUNT,
                            bank_line.amount_minor - line.amount_minor,
                            bank_line.day,
                            bank_line.key,
                            line.position,
                            reference,
                        )
                    )
                    break
        self.bank_left = [line for line in self.bank_left if line.key not in taken_bank]
        self.ledger_left = [line for line in self.ledger_left if line.position not in taken_ledger]

    def _judge_bank(self, line: BankLine, ledger_later: Set[tuple[str, int]]) -> None:
        references = self.work.bank_references[line.key]
        spoken = (*references, *words(line.text))
        shown = references[0] if references else ""
        elsewhere = next((each for each in spoken if each in self.around.ledger_elsewhere), None)
        if elsewhere is not None:
            where = self.around.ledger_elsewhere[elsewhere]
            self._bank_break(BreakKind.WRONG_ACCOUNT, line, elsewhere, where)
        elif any((each, line.amount_minor) in ledger_later for each in spoken):
            self._bank_break(BreakKind.TIMING, line, shown)
        elif line.amount_minor > 0 and not self._names_somebody(line):
            self._bank_break(BreakKind.UNIDENTIFIED, line, shown)
        else:
            self._bank_break(BreakKind.MISSING_IN_LEDGER, line, shown)

    def _judge_ledger(self, line: LedgerLine, bank_later: Set[tuple[str, int]]) -> None:
        reference = self.work.ledger_reference[line.position]
        if reference and reference in self.around.bank_elsewhere:
            self._ledger_break(BreakKind.WRONG_ACCOUNT, line, self.around.bank_elsewhere[reference])
        elif (reference and (reference, line.amount_minor) in bank_later) or (
            line.day + self.timing > self.around.bank_known_to
        ):
            self._ledger_break(BreakKind.TIMING, line)
        else:
            self._ledger_break(BreakKind.MISSING_AT_BANK, line)

    def _names_somebody(self, line: BankLine) -> bool:
        known = self.around.known
        if normal(line.counterparty_account) in known:
            return True
        if any(reference in known for reference in self.work.bank_references[line.key]):
            return True
        texts = (line.text, *line.references)
        return any(word in known for text in texts for word in words(text))

    def _bank_break(self, kind: BreakKind, line: BankLine, reference: str, twin: str = "") -> None:
        self.breaks.append(Break(kind, line.amount_minor, line.day, line.key, None, reference, twin))

    def _ledger_break(self, kind: BreakKind, line: LedgerLine, twin: str = "") -> None:
        reference = self.work.ledger_reference[line.position]
        self.breaks.append(Break(kind, -line.amount_minor, line.day, None, line.position, reference, twin))

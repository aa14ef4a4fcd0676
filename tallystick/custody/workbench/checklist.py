"""The checklist of a day: what must be so before a book's day is closed, and what is only told.

Promises: each check says pass, fail, warn or not applicable, of what, and why; what cannot be known is
never a pass. The same facts give the same list in the same order.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from django.db import connections

from tallystick.core.db import Db
from tallystick.custody import accounts, history, reconciliation, statement_files
from tallystick.custody.accounts import Account
from tallystick.custody.book_days import Days
from tallystick.custody.models import AccountStatus
from tallystick.custody.statement_files import Held
from tallystick.custody.workbench import cases, receipts
from tallystick.custody.workbench.cases import Case
from tallystick.evidence import canonical


class Name(StrEnum):
    """What is checked."""

    STATEMENT = "statement"
    """The bank's statement covers the day."""
    NO_GAP = "no_gap"
    """The statements join: no number and no balance between them is missing."""
    RECONCILED = "reconciled"
    """The bank account was reconciled up to the day, with every transfer of the day in it."""
    FOLLOWED = "followed"
    """What the reconciliation found has been taken up into cases."""
    EXPLAINED = "explained"
    """Each difference is young enough, or somebody owns it and has written why it is there."""
    WRITE_OFFS = "write_offs"
    """Every match by hand that leaves a difference has it written off in the ledger."""
    RECEIPTS = "receipts"
    """No money lies in suspense longer than the book allows."""
    SEGREGATION = "segregation"
    """What clients are owed was compared with what the custodian holds, as of the day."""


class Result(StrEnum):
    """What came of a check."""

    PASS = "pass"  # noqa: S105 -- a result, no word to get in by
    WARN = "warn"
    FAIL = "fail"
    NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True, slots=True)
class Check:
    """A check of a day, of what it was made, and what was found. `count`: how many stand against it."""

    name: Name
    result: Result
    subject: str = ""
    """The account it is about; empty: the whole book."""
    found: str = ""
    """What was seen, in words that need no translation: ids, days, numbers."""
    count: int = 0


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────


def payload(checks: Sequence[Check]) -> list[canonical.Value]:
    """The list in canonical terms: what is signed and kept."""
    return [
        {
            "check": each.name.value,
            "result": each.result.value,
            "subject": each.subject,
            "found": each.found,
            "count": each.count,
        }
        for each in checks
    ]


def parsed(text: str) -> list[Check]:
    """The list as it was kept."""
    return [
        Check(Name(each["check"]), Result(each["result"]), each["subject"], each["found"], each["count"])
        for each in json.loads(text)["checks"]
    ]


def missing(statements: Sequence[Held]) -> str:
    """The first place where statements do not join, by number or by balance; empty where they all do."""
    for before, after in itertools.pairwise(statements):
        if before.closing_minor != after.opening_minor:
            return f"{before.to_date} → {after.to_date}: {after.opening_minor - before.closing_minor}"
        same_year = before.to_date.year == after.to_date.year
        if before.number and after.number and same_year and after.number > before.number + 1:
            return f"{before.number} → {after.number}"
    return ""


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def checks(
    db: Db, days: Days, day: dt.date, *, position_to: int, open_cases: Sequence[Case]
) -> Sequence[Check]:
    """Everything that is looked at before a day is closed, bank account by bank account, then the book."""
    found: list[Check] = []
    for bank in accounts.external(db, days.book):
        found += _of_bank(db, bank, day, position_to)
    found.append(_explained(db, days, day, open_cases))
    found.append(_write_offs(db, days))
    found.append(_receipts(db, days, day))
    found.append(_segregation(db, days, day))
    return found


def _of_bank(db: Db, bank: Account, day: dt.date, position_to: int) -> list[Check]:
    statements = reconciliation.in_order(statement_files.statements(db, bank.number))
    if not statements:
        balance = history.balance(db, bank.number, at_position=position_to)
        unused = bank.status is AccountStatus.CLOSED or balance.debits_posted == balance.credits_posted == 0
        result = Result.NOT_APPLICABLE if unused else Result.FAIL
        return [Check(Name.STATEMENT, result, bank.text)]
    last = statements[-1]
    told = Check(
        Name.STATEMENT,
        Result.PASS if last.to_date >= day else Result.FAIL,
        bank.text,
        last.to_date.isoformat(),
    )
    gap = missing([each for each in statements if each.to_date <= day])
    joins = Check(Name.NO_GAP, Result.FAIL if gap else Result.PASS, bank.text, gap, int(bool(gap)))
    return [told, joins, *_runs(db, bank, day, position_to)]


def _runs(db: Db, bank: Account, day: dt.date, position_to: int) -> list[Check]:
    runs = reconciliation.summaries(db, bank.number)
    if not runs:
        return [Check(Name.RECONCILED, Result.FAIL, bank.text)]
    # The newest one need not be the one: somebody may have looked back to an earlier day since.
    covering = [each for each in runs if each.cut_off >= day and each.position >= position_to]
    run, covers = (covering or runs)[0], bool(covering)
    reconciled = Check(
        Name.RECONCILED,
        Result.PASS if covers else Result.FAIL,
        bank.text,
        f"{run.id} {run.cut_off.isoformat()} {run.position}",
    )
    waiting = cases.unfollowed(db, bank.book, bank_account=bank.number)
    followed = Check(
        Name.FOLLOWED, Result.FAIL if waiting else Result.PASS, bank.text, " ".join(waiting[:5]), len(waiting)
    )
    return [reconciled, followed]


def _explained(db: Db, days: Days, day: dt.date, open_cases: Sequence[Case]) -> Check:
    """What is young explains itself, as timing does; what is old is owned and written about."""
    old = [each for each in open_cases if days.age(each.day, day) > days.break_age_max]
    noted = _noted(db, [each.id for each in old])
    bare = [each for each in old if not (each.owner and each.id in noted)]
    return Check(
        Name.EXPLAINED,
        Result.FAIL if bare else Result.PASS,
        found=" ".join(each.id for each in bare[:10]),
        count=len(bare),
    )


def _noted(db: Db, case_ids: Sequence[str]) -> set[str]:
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select distinct case_id from custody_case_step where act = 'noted' and case_id = any(%s)",
            [[int(each.removeprefix("brk_")) for each in case_ids]],
        )
        return {f"brk_{row[0]}" for row in cursor.fetchall()}


def _write_offs(db: Db, days: Days) -> Check:
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select m.id from custody_manual_match m where m.book_id = %s and m.write_off_transfer is not null"
            " and not exists (select from custody_manual_match_undoing u where u.match_id = m.id)"
            " and not exists (select from custody_transfer t where t.id = m.write_off_transfer) order by m.id",
            [days.book],
        )
        open_ones = [f"mat_{row[0]}" for row in cursor.fetchall()]
    return Check(
        Name.WRITE_OFFS,
        Result.FAIL if open_ones else Result.PASS,
        found=" ".join(open_ones[:10]),
        count=len(open_ones),
    )


def _receipts(db: Db, days: Days, day: dt.date) -> Check:
    late = [
        each for each in receipts.receipts(db, days.book) if days.age(each.day, day) > days.receipt_age_max
    ]
    return Check(
        Name.RECEIPTS,
        Result.WARN if late else Result.PASS,
        found=" ".join(each.transfer for each in late[:5]),
        count=len(late),
    )


def _segregation(db: Db, days: Days, day: dt.date) -> Check:
    """Told and signed, not demanded: a shortfall is put right by its own proof and its own two people."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select id, result from custody_safeguarding_proof where book_id = %s and day = %s"
            " order by number desc limit 1",
            [days.book, day],
        )
        row = cursor.fetchone()
    if row is None:
        return Check(Name.SEGREGATION, Result.NOT_APPLICABLE)
    result = Result.PASS if row[1] == "compliant" else Result.WARN
    return Check(Name.SEGREGATION, result, found=f"sgp_{row[0]} {row[1]}", count=int(result is Result.WARN))

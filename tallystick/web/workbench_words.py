"""The workbench's words: what each act, proposal, reason and check is called, in the reader's language."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tallystick.custody.workbench.checklist import Name, Result
from tallystick.custody.workbench.closing import DayState
from tallystick.custody.workbench.fixes import Why
from tallystick.custody.workbench.owners import Reason
from tallystick.custody.workbench_models import CaseAct, CaseStatus, DayAct, ReceiptAct

Word = str | Promise

STATUSES: Mapping[str, Word] = {
    CaseStatus.OPEN: _("To be worked on"),
    CaseStatus.IN_PROGRESS: _("In progress"),
    CaseStatus.RESOLVED: _("Resolved"),
}

ACTS: Mapping[str, Word] = {
    CaseAct.OPENED: _("Found by a reconciliation"),
    CaseAct.CHANGED: _("Found again, as something else"),
    CaseAct.TAKEN: _("Taken"),
    CaseAct.NOTED: _("Noted"),
    CaseAct.FIX_POSTED: _("Fix posted"),
    CaseAct.FIX_REFUSED: _("Fix refused"),
    CaseAct.MATCHED: _("Matched by hand"),
    CaseAct.UNMATCHED: _("Match by hand undone"),
    CaseAct.RESOLVED: _("No longer found"),
    CaseAct.REOPENED: _("Found again"),
}

FIXES: Mapping[str, Word] = {
    Why.RECEIPT: _("Book the receipt for the owner whom the bank's line names."),
    Why.SUSPENSE: _("Book the receipt to suspense, until its owner is found."),
    Why.BORNE: _("Book what the bank took as borne by the platform."),
    Why.REVERSAL: _("Reverse what was booked."),
    Why.REBOOKING: _("Book it again, as the bank has it."),
    Why.GIVEN_BACK: _("Give back what the bank did not take."),
}

FIX_NAMES: Mapping[str, Word] = {
    Why.RECEIPT: _("Receipt"),
    Why.SUSPENSE: _("To suspense"),
    Why.BORNE: _("Borne by the platform"),
    Why.REVERSAL: _("Reversal"),
    Why.REBOOKING: _("Booked again"),
    Why.GIVEN_BACK: _("Given back"),
}

REASONS: Mapping[str, Word] = {
    Reason.REFERENCE: _("the line names them"),
    Reason.PAYER_ACCOUNT: _("they were paid to this account before"),
    Reason.PAYER_NAME: _("the payer has their name"),
    Reason.AMOUNT: _("they paid in this amount before"),
}

RECEIPT_ACTS: Mapping[str, Word] = {
    ReceiptAct.NOTED: _("Noted"),
    ReceiptAct.TRACED: _("Given to its owner"),
    ReceiptAct.RETURNED: _("Sent back"),
}

CHECKS: Mapping[str, tuple[Word, Word]] = {
    Name.STATEMENT: (_("Statement of the day"), _("The bank's statement covers the day.")),
    Name.NO_GAP: (_("No gap"), _("No number and no balance between the statements is missing.")),
    Name.RECONCILED: (_("Reconciled"), _("Reconciled up to the day, with every transfer of the day.")),
    Name.FOLLOWED: (_("Taken up"), _("What was found has been taken up into cases.")),
    Name.EXPLAINED: (
        _("Differences explained"),
        _("Each difference is young, or somebody owns it and has written why."),
    ),
    Name.WRITE_OFFS: (_("Write-offs"), _("Every write-off of a match by hand is in the ledger.")),
    Name.RECEIPTS: (_("Suspense"), _("No money lies in suspense longer than allowed.")),
    Name.SEGREGATION: (_("Segregation"), _("What clients are owed agrees with what the bank holds.")),
}

RESULTS: Mapping[str, tuple[Word, str]] = {
    Result.PASS: (_("In order"), "good"),
    Result.WARN: (_("To be seen"), "warn"),
    Result.FAIL: (_("Not in order"), "bad"),
    Result.NOT_APPLICABLE: (_("Does not apply"), ""),
}

DAY_STATES: Mapping[str, tuple[Word, str]] = {
    DayState.REST: (_("No business"), ""),
    DayState.TO_COME: (_("To come"), ""),
    DayState.OPEN: (_("To be closed"), "warn"),
    DayState.LATE: (_("Late"), "bad"),
    DayState.REOPENED: (_("Opened again"), "warn"),
    DayState.CLOSED: (_("Closed"), "good"),
}

DAY_ACTS: Mapping[str, Word] = {DayAct.CLOSED: _("Closed"), DayAct.REOPENED: _("Opened again")}


def because(reasons: Iterable[Reason]) -> str:
    """What speaks for an owner, in one line."""
    return " · ".join(str(REASONS[reason]) for reason in reasons)

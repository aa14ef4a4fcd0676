"""The words of payouts: what each status, step and proposal is called by those who work on them."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.translation import gettext_lazy as _

from tallystick.custody.payout_models import BankAccountStatus, PayoutStatus, PostingStep
from tallystick.web.words import Word

STATUSES: Mapping[PayoutStatus, Word] = {
    PayoutStatus.ASKED: _("Being held"),
    PayoutStatus.PENDING: _("Waits for release"),
    PayoutStatus.RELEASED: _("Released"),
    PayoutStatus.BATCHED: _("In a batch"),
    PayoutStatus.SENT: _("Sent to the bank"),
    PayoutStatus.ACCEPTED: _("Accepted by the bank"),
    PayoutStatus.SETTLED: _("Settled"),
    PayoutStatus.REFUSED: _("Refused by the ledger"),
    PayoutStatus.CANCELLED: _("Called off"),
    PayoutStatus.DECLINED: _("Declined"),
    PayoutStatus.REJECTED: _("Rejected by the bank"),
    PayoutStatus.RETURNED: _("Came back"),
}

SHADES: Mapping[PayoutStatus, str] = {
    PayoutStatus.ASKED: "warn",
    PayoutStatus.PENDING: "warn",
    PayoutStatus.SETTLED: "good",
    PayoutStatus.REFUSED: "bad",
    PayoutStatus.DECLINED: "bad",
    PayoutStatus.REJECTED: "bad",
    PayoutStatus.RETURNED: "bad",
}

POSTINGS: Mapping[PostingStep, Word] = {
    PostingStep.HOLD: _("Held"),
    PostingStep.SETTLE: _("Paid out"),
    PostingStep.VOID: _("Given back"),
    PostingStep.RETURN: _("Came back"),
}

BANK_ACCOUNTS: Mapping[BankAccountStatus, Word] = {
    BankAccountStatus.UNVERIFIED: _("Not verified"),
    BankAccountStatus.VERIFIED: _("Verified"),
    BankAccountStatus.CLOSED: _("No longer in use"),
}

OUTCOMES: Mapping[str, Word] = {
    "applied": _("followed"),
    "unchanged": _("nothing new"),
    "contradicts": _("against what was said before"),
    "duplicate": _("told before"),
    "suspense": _("put to suspense"),
}

REASONS: Mapping[str, Word] = {
    "bank_details_changed": _("The bank details have been changed since."),
    "answered": _("The bank answered."),
}


def reason(text: str) -> str:
    """A step's reason: ours in the reader's language, the bank's as it is."""
    return str(REASONS.get(text, text))

"""The words of payouts: what each status, step and proposal is called by those who work on them."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tallystick.core.calendars import Calendar
from tallystick.custody.payout_models import BankAccountStatus, PayoutStatus, PostingStep
from tallystick.identity.approvals import Outcome

Word = str | Promise

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

KINDS: Mapping[str, Word] = {
    "custody.release_payout": _("Release of a payout"),
    "custody.change_payout_terms": _("Terms of payouts"),
    "custody.publish_payout_notice": _("Notice before a payout"),
    "custody.set_pay_in_details": _("Bank details to pay in to"),
    "custody.change_holders": _("Holders of an account"),
    "custody.change_condition": _("Condition of an account"),
    "custody.match_by_hand": _("Match by hand"),
    "custody.undo_match": _("Undoing a match by hand"),
    "custody.return_receipt": _("Return of money to its sender"),
    "custody.close_day": _("Close of a day"),
    "custody.reopen_day": _("Reopening of a day"),
}
"""What is proposed. A kind without a word is shown by its name."""

FIELDS: Mapping[str, Word] = {
    "payout": _("Payout"),
    "owner": _("Client"),
    "debit_account": _("From"),
    "amount_minor": _("Amount"),
    "asset": _("Asset"),
    "bank_account": _("Bank account"),
    "bank_details": _("Version of the bank details"),
    "holder_name": _("Name on the account"),
    "payee": _("To"),
    "release_above_minor": _("A second person releases above"),
    "daily_above_minor": _("And above, a client a day"),
    "cool_off_hours": _("Cool-off (hours)"),
    "cut_off": _("Cut-off time"),
    "calendar": _("Calendar"),
    "debtor_name": _("Payer's name"),
    "debtor_account": _("Payer's account"),
    "debtor_bic": _("Payer's bank (BIC)"),
    "replaces": _("Replaces"),
    "book": _("Book"),
    "version": _("Version"),
    "en": _("In English"),
    "zh": _("In Chinese"),
}

PROPOSAL_OUTCOMES: Mapping[Outcome, Word] = {
    Outcome.APPROVED: _("Approved"),
    Outcome.REJECTED: _("Rejected"),
    Outcome.WITHDRAWN: _("Withdrawn"),
    Outcome.VOID: _("Void: what it was for has changed"),
}

CALENDARS: Mapping[Calendar, Word] = {
    Calendar.CN: _("China, with make-up workdays"),
    Calendar.CN_MARKET: _("China's exchanges"),
    Calendar.GB: _("England and Wales"),
    Calendar.TARGET: _("Euro (TARGET)"),
    Calendar.WEEKENDS: _("Monday to Friday"),
}


def reason(text: str) -> str:
    """A step's reason: ours in the reader's language, the bank's as it is."""
    return str(REASONS.get(text, text))

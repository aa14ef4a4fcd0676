"""What one person proposed and another decides, in words: the kind, and each thing that is proposed."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tallystick.core.db import APP
from tallystick.custody import accounts, numbers
from tallystick.custody.safeguarding import wording
from tallystick.evidence import canonical
from tallystick.identity.approvals import Approval
from tallystick.web import words
from tallystick.web.words import Word

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
    "evidence.confirm_hold": _("Confirmation of a legal hold"),
    "evidence.lift_hold": _("End of a legal hold"),
    "custody.sign_off_proof": _("Signature under a segregation proof"),
}
"""What is proposed: a word for every kind there is."""

FIELDS: Mapping[str, Word] = {
    "account": _("Account"),
    "account_number": _("Account number"),
    "amount_minor": _("Amount"),
    "asset": _("Asset"),
    "bank_account": _("Bank account"),
    "bank_code": _("Bank code"),
    "bank_details": _("Version of the bank details"),
    "bank_name": _("Bank"),
    "before": _("Before"),
    "book": _("Book"),
    "calendar": _("Calendar"),
    "checks": _("Checklist"),
    "closed": _("Close of a day"),
    "condition": _("Condition"),
    "cool_off_hours": _("Cool-off (hours)"),
    "cut_off": _("Cut-off time"),
    "cut_off_at": _("Cut-off time"),
    "daily_above_minor": _("And above, a client a day"),
    "day": _("Day"),
    "debit_account": _("From"),
    "debtor_account": _("Payer's account"),
    "debtor_bic": _("Payer's bank (BIC)"),
    "debtor_name": _("Payer's name"),
    "digest": _("Digest"),
    "document": _("Document"),
    "en": _("In English"),
    "holder_name": _("Name on the account"),
    "hold": _("Hold"),
    "is_open": _("Shown to customers"),
    "kinds": _("Kinds of events"),
    "lines": _("Lines"),
    "match": _("Match"),
    "matter": _("Matter"),
    "owner": _("Client"),
    "parties": _("Holders"),
    "payee": _("To"),
    "payer": _("Payer's name"),
    "payer_account": _("Payer's account"),
    "payout": _("Payout"),
    "position": _("Position"),
    "position_from": _("From position"),
    "position_to": _("To position"),
    "proof": _("Segregation proof"),
    "reason": _("Why"),
    "release_above_minor": _("A second person releases above"),
    "replaces": _("Replaces"),
    "representative": _("Represented by"),
    "result": _("Result"),
    "rolled": _("Carried over"),
    "rolled_sha256": _("Digest of what is carried over"),
    "rule": _("Whose word it needs"),
    "sha256": _("Digest"),
    "since": _("From"),
    "suspense_account": _("Suspense account"),
    "takes_from": _("Takes lines from"),
    "terms": _("Customers, accounts and other ids"),
    "until": _("Before"),
    "version": _("Version"),
    "write_off_minor": _("Written off"),
    "zh": _("In Chinese"),
}
"""What the parts of a proposal are called."""

_SPELLED: Mapping[str, Mapping[str, Word]] = {
    "before": words.CONDITIONS,
    "calendar": words.CALENDARS,
    "capacity": words.CAPACITIES,
    "condition": words.CONDITIONS,
    "result": {result: _(word) for result, word in wording.RESULTS.items()},
    "rule": words.RULES,
}
"""Parts whose value is one of a closed list, and its words."""


def kind(proposed: Approval) -> str:
    """What is proposed."""
    return str(KINDS[proposed.kind])


def told(proposed: Approval) -> list[tuple[str, str]]:
    """What is proposed, part by part: as names and values, for whoever decides."""
    scale = _scale(proposed)
    return [
        (str(FIELDS.get(name, name)), _said(name, value, scale))
        for name, value in proposed.state.items()
        # Which row it takes the place of is bound into the approval, and nothing to a reader.
        if name != "supersedes" and value not in (None, "")
    ]


def _said(name: str, value: canonical.Value, scale: int | None) -> str:
    match value:
        case bool():
            return gettext("yes") if value else gettext("no")
        case list() if name == "parties":
            return " · ".join(_party(each) for each in value)
        case list() if any(isinstance(each, dict) for each in value):
            # Lines and checks are shown, each with all around it, where such a proposal is decided.
            return str(len(value))
        case list():
            return ", ".join(_said(name, each, scale) for each in value)
    text = str(value)
    if name.endswith("_minor") and scale is not None and text.lstrip("-").isdigit():
        return words.amount(int(text), scale)
    return str(_SPELLED.get(name, {}).get(text, text))


def _party(party: canonical.Value) -> str:
    assert isinstance(party, dict), "a party is a customer number and a capacity"
    return f"{party['customer_number']}: {_said('capacity', party['capacity'], None)}"


def _scale(proposed: Approval) -> int | None:
    """The decimals of what a proposal's amounts are in: those of the account it names."""
    if not any(name.endswith("_minor") for name in proposed.state):
        return None
    for name in ("debit_account", "bank_account", "account"):
        text = proposed.state.get(name)
        if isinstance(text, str) and text.startswith("acc_"):
            return accounts.account(APP, numbers.parse_account(text)).scale
    return None

"""The words of pages: what each state, kind and role is called, in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tallystick.core import money
from tallystick.core.calendars import Calendar
from tallystick.core.errors import Refusal
from tallystick.custody.codes import Code
from tallystick.custody.errors import TRANSFER_REFUSALS
from tallystick.custody.holder_models import Capacity, Condition, HoldingRule, NotCredited
from tallystick.custody.instructions import Standing
from tallystick.custody.models import AccountStatus, TransferKind
from tallystick.custody.numbers import AuthorisationKind, Family
from tallystick.custody.statement_models import BreakKind
from tallystick.identity.roles import Role

Word = str | Promise

ROLES: Mapping[str, Word] = {
    Role.ADMINISTRATOR: _("Administrator"),
    Role.PLATFORM_OPERATIONS: _("Platform operations"),
    Role.PLATFORM_APPROVER: _("Platform approver"),
    Role.CUSTODIAN_BANK: _("Custodian bank"),
    Role.AUDITOR: _("Auditor"),
    Role.REGULATOR: _("Regulator"),
    Role.CUSTOMER: _("Customer"),
}

FAMILIES: Mapping[int, Word] = {
    Family.CLIENT: _("Client money"),
    Family.OWN: _("Platform's own"),
    Family.EXTERNAL: _("At the bank"),
    Family.SUSPENSE: _("Suspense"),
}

STATUSES: Mapping[str, Word] = {
    AccountStatus.OPEN: _("Open"),
    AccountStatus.DEBITS_FROZEN: _("Debits frozen"),
    AccountStatus.CREDITS_FROZEN: _("Credits frozen"),
    AccountStatus.FROZEN: _("Frozen"),
    AccountStatus.CLOSED: _("Closed"),
}

TRANSFER_KINDS: Mapping[int, Word] = {
    TransferKind.POSTED: _("Posted"),
    TransferKind.PENDING: _("Pending"),
    TransferKind.POST_PENDING: _("Pending posted"),
    TransferKind.VOID_PENDING: _("Pending voided"),
    TransferKind.EXPIRE_PENDING: _("Pending expired"),
}

CODES: Mapping[int, Word] = {
    Code.TOP_UP: _("Top-up"),
    Code.WITHDRAWAL: _("Withdrawal"),
    Code.LEND: _("Lending"),
    Code.DISBURSE: _("Disbursement"),
    Code.REPAY: _("Repayment"),
    Code.FEE: _("Fee"),
    Code.REFUND: _("Refund"),
    Code.INTEREST: _("Interest"),
    Code.SETTLEMENT: _("Settlement"),
    Code.UNIDENTIFIED_RECEIPT: _("Unidentified receipt"),
    Code.IDENTIFIED: _("Identified"),
    Code.RETURN: _("Return"),
    Code.EXCHANGE: _("Exchange"),
    Code.CORRECTION: _("Correction"),
    Code.OPENING_BALANCE: _("Opening balance"),
    Code.FEE_PAYOUT: _("Payout of fees"),
    Code.COMPENSATION: _("Compensation"),
    Code.LEGAL: _("Legal order"),
    Code.TRANSFER: _("Transfer"),
    Code.PAYOUT_RETURN: _("Payout returned"),
}

AUTHORISATION_KINDS: Mapping[int, Word] = {
    AuthorisationKind.ORDER: _("Order"),
    AuthorisationKind.SCHEDULE: _("Contract schedule"),
    AuthorisationKind.ENTITLEMENT: _("Entitlement to a fee"),
    AuthorisationKind.LEGAL: _("Legal order"),
}

STANDINGS: Mapping[str, Word] = {
    Standing.VALID: _("Valid"),
    Standing.NOT_YET_VALID: _("Not yet valid"),
    Standing.EXPIRED: _("Expired"),
    Standing.CONSUMED: _("Used up"),
    Standing.WITHDRAWN: _("Withdrawn"),
}

REFUSAL_NAMES: Mapping[str, Word] = {
    "id_used_with_other_content": _("Id used with other content"),
    "amount_out_of_range": _("Amount out of range"),
    "debit_account_unknown": _("Debit account unknown"),
    "credit_account_unknown": _("Credit account unknown"),
    "accounts_same": _("Accounts the same"),
    "book_differs": _("Another book"),
    "asset_differs": _("Another asset"),
    "pending_unknown": _("Pending transfer unknown"),
    "not_pending": _("Not pending"),
    "pending_differs": _("Differs from the pending one"),
    "pending_already_posted": _("Already posted"),
    "pending_already_voided": _("Already voided"),
    "pending_expired": _("Pending expired"),
    "pending_not_expired": _("Not expired yet"),
    "amount_exceeds_pending": _("More than was held"),
    "expiry_past": _("Expiry past"),
    "reversed_unknown": _("Reversed transfer unknown"),
    "not_reversible": _("Not reversible"),
    "reversal_differs": _("Reversal differs"),
    "already_reversed": _("Already reversed"),
    "reason_missing": _("Reason missing"),
    "border_crossed": _("Client money to own"),
    "account_closed": _("Account closed"),
    "debits_frozen": _("Debits frozen"),
    "credits_frozen": _("Credits frozen"),
    "authorisation_missing": _("No authorisation"),
    "authorisation_out_of_place": _("Authorisation out of place"),
    "authorisation_unknown": _("Authorisation unknown"),
    "authorisation_of_another": _("Another's authorisation"),
    "authorisation_withdrawn": _("Authorisation withdrawn"),
    "authorisation_not_yet_valid": _("Authorisation not yet valid"),
    "authorisation_expired": _("Authorisation expired"),
    "authorisation_payee_differs": _("Another payee"),
    "authorisation_code_differs": _("Another kind of transfer"),
    "authorisation_amount_differs": _("Another amount"),
    "authorisation_consumed": _("Authorisation used up"),
    "nothing_available": _("Nothing available"),
    "turnover_too_large": _("Turnover too large"),
    "insufficient_funds": _("Not enough available"),
    "ceiling_exceeded": _("Ceiling exceeded"),
    "linked_transfer_refused": _("Refused with its chain"),
}

BREAKS: Mapping[str, tuple[Word, Word]] = {
    BreakKind.DUPLICATE: (_("Duplicate"), _("The bank shows the same payment twice.")),
    BreakKind.AMOUNT: (_("Amount"), _("The same payment, with another amount.")),
    BreakKind.WRONG_ACCOUNT: (_("Wrong account"), _("The payment is known on another account.")),
    BreakKind.TIMING: (_("Timing"), _("One side has it already, the other will in a day or two.")),
    BreakKind.UNIDENTIFIED: (_("Unidentified"), _("Money came in, and nothing says whose it is.")),
    BreakKind.MISSING_IN_LEDGER: (_("Missing in the ledger"), _("The bank has it, the ledger does not.")),
    BreakKind.MISSING_AT_BANK: (_("Missing at the bank"), _("The ledger has it, the bank does not.")),
}
"""Each kind of break: its name, and what it means."""

CAPACITIES: Mapping[str, Word] = {
    Capacity.HOLDER: _("Holder"),
    Capacity.MINOR: _("Owner under age"),
    Capacity.GUARDIAN: _("Guardian"),
    Capacity.REPRESENTATIVE: _("Representative of the estate"),
}

CONDITIONS: Mapping[str, Word] = {
    Condition.ACTIVE: _("In use"),
    Condition.DORMANT: _("Asleep"),
    Condition.DECEASED: _("Holder deceased"),
    Condition.ESTATE: _("Estate"),
}

RULES: Mapping[str, Word] = {
    HoldingRule.ANY: _("Any one of them signs"),
    HoldingRule.ALL: _("All of them must agree"),
}

NOT_CREDITED: Mapping[str, Word] = {
    NotCredited.NO_REFERENCE: _("No payment reference"),
    NotCredited.MISTYPED: _("A payment reference with a slip in it"),
    NotCredited.SEVERAL: _("Payment references of several accounts"),
    NotCredited.NO_ACCOUNT: _("A payment reference of no account here"),
    NotCredited.NOT_TAKEN: _("The account takes no money"),
}

CALENDARS: Mapping[str, Word] = {
    Calendar.CN: _("China, with make-up workdays"),
    Calendar.CN_MARKET: _("China's exchanges"),
    Calendar.GB: _("England and Wales"),
    Calendar.TARGET: _("Euro (TARGET)"),
    Calendar.WEEKENDS: _("Monday to Friday"),
}

_SHADES: Mapping[str, str] = {
    AccountStatus.OPEN: "good",
    AccountStatus.DEBITS_FROZEN: "warn",
    AccountStatus.CREDITS_FROZEN: "warn",
    AccountStatus.FROZEN: "bad",
    Standing.VALID: "good",
    Standing.NOT_YET_VALID: "warn",
    Standing.WITHDRAWN: "bad",
    Condition.ACTIVE: "good",
    Condition.DORMANT: "warn",
    Condition.DECEASED: "bad",
    Condition.ESTATE: "warn",
}

_REFUSALS: Mapping[str, type[Refusal]] = {refusal.code: refusal for refusal in TRANSFER_REFUSALS}


def refusal(code: str) -> str:
    """Why a transfer was refused, in the reader's language; the code itself where it is not one of ours."""
    known = _REFUSALS.get(code)
    return code if known is None else gettext(known.template())


def refusal_name(code: str) -> str:
    """A refusal's code as words: short, for charts and menus; the sentence is `refusal`."""
    return str(REFUSAL_NAMES.get(code, code.replace("_", " ").capitalize()))


def shade(state: str) -> str:
    """The colour that repeats what a state's word says."""
    return _SHADES.get(state, "")


def amount(minor: int, scale: int) -> str:
    """`1234567` at scale 2 is `12,345.67`; a minus sign, not a hyphen, before a negative one."""
    whole, point, decimals = money.major(abs(minor), scale).partition(".")
    grouped = f"{int(whole):,}{point}{decimals}"
    return f"−{grouped}" if minor < 0 else grouped


def moment(at: datetime) -> str:
    """A time to the second, in the zone of the installation: the same in both languages, and sortable."""
    return timezone.localtime(at).strftime("%Y-%m-%d %H:%M:%S")

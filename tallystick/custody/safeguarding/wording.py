"""What a proof says in words, in the reader's language: rules, results, reasons, proposals."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.translation import gettext, gettext_noop

from tallystick.core import money
from tallystick.custody.safeguarding.comparison import AccountRole, KnownBy, Proposal, Reason, Result

RULES: Mapping[str, tuple[str, str]] = {
    "UK-CASS15-REC": (
        gettext_noop("FCA CASS 15.8.10R and 15.8.47R: safeguarding reconciliations"),
        gettext_noop(
            "Each reconciliation day, what each client is owed is compared with the firm's own records of its"
            " safeguarding accounts (internal), and these records with what the institutions say (external)."
        ),
    ),
    "CN-CUST-03": (
        gettext_noop("CBRC [2017] No. 21, online lending fund custody: daily check of accounts"),
        gettext_noop("Platform and custodian compare their books every day; what differs is named and open."),
    ),
    "CN-PAY-27": (
        gettext_noop("State Council Decree No. 768, Article 27: no misuse of clients' reserve"),
        gettext_noop(
            "Clients' money moves on their own instruction or a legal order alone; it is not used, borrowed"
            " or pledged."
        ),
    ),
}
"""Rule id → what it is, and what it asks."""

RESULTS: Mapping[Result, str] = {
    Result.COMPLIANT: gettext_noop("compliant"),
    Result.UNDETERMINED: gettext_noop("undetermined"),
    Result.BREACH: gettext_noop("breach"),
}

ROLES: Mapping[AccountRole, str] = {
    AccountRole.SAFEGUARDING: gettext_noop("safeguarding account"),
    AccountRole.CHANNEL: gettext_noop("payment channel"),
    AccountRole.OWN_FUNDS: gettext_noop("the platform's own funds"),
    AccountRole.EXCHANGE: gettext_noop("exchange position"),
    AccountRole.OTHER: gettext_noop("something else"),
    AccountRole.UNDECLARED: gettext_noop("not declared"),
}

KNOWN_BY: Mapping[KnownBy, str] = {
    KnownBy.STATEMENT: gettext_noop("a statement that closes on this day"),
    KnownBy.WITHIN: gettext_noop("a statement of several days, to this one"),
    KnownBy.JOINED: gettext_noop("the statements before and after, which join"),
    KnownBy.RESTING: gettext_noop("the last statement; no banking day since"),
}

REASONS: Mapping[str, str] = {
    "shortfall": gettext_noop(
        "{asset}: {amount} less is certainly there than clients are owed. Own money must cover it today."
    ),
    "covered": gettext_noop("{asset}: all of the {amount} required is there."),
    "excess": gettext_noop("{asset}: {amount} more is there than is required. It is to be taken out today."),
    "negative_balances": gettext_noop(
        "{asset}: {count} accounts stand below nothing, by {amount} together. Nobody's claim is lowered by it."
    ),
    "agrees": gettext_noop("{account}: ledger and custodian agree, line by line, on {amount}."),
    "breaks_open": gettext_noop(
        "{account}: ledger and custodian differ by {amount}, explained to the last unit by {count} open items."
    ),
    "unexplained": gettext_noop(
        "{account}: {amount} between ledger and custodian is explained by no open item."
    ),
    "statement_missing": gettext_noop("{account}: no statement says what was there at the close."),
    "not_reconciled": gettext_noop(
        "{account}: custodian and ledger differ by {amount} in total; they were not compared line by line."
    ),
    "no_safeguarding_account": gettext_noop(
        "{asset}: {amount} is owed, and no account has been declared to hold it."
    ),
    "account_undeclared": gettext_noop(
        "{account}: holds {amount}, and nobody has said what it is for. It counts as nothing until then."
    ),
    "ledger_unbalanced": gettext_noop("{asset}: the ledger's debits and credits differ by {amount}."),
    "debit_without_authorisation": gettext_noop(
        "{asset}: {count} debits of clients' accounts rest on no authorisation."
    ),
    "debit_without_instruction": gettext_noop(
        "{account}: {amount} left at the custodian, and no instruction is known for it (break {count})."
    ),
    "occupied": gettext_noop(
        "{asset}: {amount} of what clients are owed is neither at the custodian nor known to be on its way."
    ),
    "on_the_way": gettext_noop(
        "{asset}: {amount} of what clients are owed is not at the custodian yet: it is on its way there."
    ),
    "debits_authorised": gettext_noop("{asset}: {count} debits of clients' accounts, each authorised."),
    "debits_reversing": gettext_noop(
        "{asset}: {count} debits of clients' accounts put an earlier transfer right, each with its reason."
    ),
}

PURPOSES: Mapping[str, str] = {
    "fund": gettext_noop("Cover the shortfall from own funds"),
    "withdraw": gettext_noop("Take own money out"),
}


def rule(rule_id: str) -> tuple[str, str]:
    """What a rule is, and what it asks."""
    name, asks = RULES[rule_id]
    return gettext(name), gettext(asks)


def result(value: Result) -> str:
    """The word for a result."""
    return gettext(RESULTS[value])


def role(value: AccountRole) -> str:
    """The words for what an account is for."""
    return gettext(ROLES[value])


def known_by(value: KnownBy | None) -> str:
    """How a custodian's balance is known."""
    return gettext("not known") if value is None else gettext(KNOWN_BY[value])


def reason(told: Reason, scale: int) -> str:
    """A reason as a sentence. `scale` is that of the asset it is about."""
    return gettext(REASONS[told.code]).format(
        asset=told.asset,
        account=told.account,
        amount=amount(told.amount_minor, scale),
        count=told.count,
    )


def purpose(told: Proposal) -> str:
    """What a proposed transfer is for."""
    return gettext(PURPOSES[told.purpose])


def amount(minor: int | None, scale: int) -> str:
    """An amount in whole units with its decimals, thousands apart; a dash where it is not known."""
    if minor is None:
        return "—"
    whole, dot, decimals = money.major(abs(minor), scale).partition(".")
    groups = f"{int(whole):,}" + dot + decimals
    return f"-{groups}" if minor < 0 else groups

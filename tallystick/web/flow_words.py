"""The words of flows: what each place of a flow is called, in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from tallystick.custody.codes import BY_TEXT
from tallystick.custody.tracing.parties import Node, Party, PartyKind, Stage
from tallystick.web import words
from tallystick.web.words import Word

STAGES: Mapping[str, Word] = {
    Stage.SOURCE: gettext_lazy("Where it came from"),
    Stage.ACCOUNTS: gettext_lazy("Accounts"),
    Stage.RIGHT: gettext_lazy("By what right it left"),
    Stage.USE: gettext_lazy("What it was used for"),
    Stage.END: gettext_lazy("What became of it"),
}

_PLACES: Mapping[str, Word] = {
    "opening": gettext_lazy("There at the beginning"),
    "closing": gettext_lazy("Still there"),
    "accounts": gettext_lazy("Followed accounts"),
    "uncovered": gettext_lazy("Overdrawn"),
    "covered": gettext_lazy("Covers what was overdrawn"),
}

_RIGHTS: Mapping[str, Word] = {
    "order": gettext_lazy("By order"),
    "schedule": gettext_lazy("By agreed schedule"),
    "entitlement": gettext_lazy("By an agreed claim"),
    "legal": gettext_lazy("By legal order"),
    "none": gettext_lazy("No authorisation needed"),
}

_ENDS: Mapping[str, Word] = {
    "borrower": gettext_lazy("To the borrower"),
    "fee": gettext_lazy("Fee to the platform"),
    "paid_out": gettext_lazy("Paid out"),
    "back": gettext_lazy("Back to the lender"),
    "other": gettext_lazy("To somebody else"),
    "still": gettext_lazy("Still on the loan's account"),
}


def party(who: Party | None) -> str:
    """Somebody, as the viewer may know them."""
    if who is None:
        return ""
    if who.name:
        return who.name
    if who.kind == PartyKind.LOAN:
        return _("Loan %(number)s") % {"number": who.nth}
    return _("Customer %(number)s") % {"number": who.nth}


def place(node: Node) -> str:
    """A place of the flow, in a few words."""
    if node.stage == Stage.RIGHT:
        return str(_RIGHTS[node.kind])
    word = str(_PLACES.get(node.kind) or _ENDS.get(node.kind) or words.CODES[BY_TEXT[node.kind]])
    if node.stage == Stage.END:
        word = str(_ENDS[node.kind])
    if node.others:
        smaller = ngettext("%(number)s smaller one", "%(number)s smaller ones", node.others) % {
            "number": node.others
        }
        return f"{word}: {smaller}"
    whom = node.payee or party(node.party)
    return f"{word}: {whom}" if whom else word

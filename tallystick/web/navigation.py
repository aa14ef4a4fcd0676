"""Where each role may go: the menu, by permission, so that it never offers what would be refused."""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tallystick.identity import access
from tallystick.identity.access import Actor


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the menu."""

    label: str
    url: str
    current: bool


# (route, label, permission, whether it is a page of one book)
_MENU: tuple[tuple[str, str | Promise, str, bool], ...] = (
    ("overview", _("Overview"), "custody.read_ledger", True),
    ("accounts", _("Accounts"), "custody.read_ledger", True),
    ("transfers", _("Transfers"), "custody.read_ledger", True),
    ("trial-balance", _("Trial balance"), "custody.read_ledger", True),
    ("authorisations", _("Authorisations"), "custody.read_ledger", True),
    ("holders", _("Holders and estates"), "custody.read_ledger", True),
    ("pay-in-details", _("Paying in"), "custody.read_ledger", True),
    ("refusals", _("Refusals"), "custody.read_ledger", True),
    ("payouts", _("Payouts"), "custody.read_ledger", True),
    ("approvals", _("Approvals"), "custody.read_ledger", False),
    ("statements", _("Statements"), "custody.read_statements", True),
    ("reconciliations", _("Reconciliation"), "custody.read_statements", True),
    ("safeguarding", _("Safeguarding"), "custody.read_safeguarding", True),
    ("solvency", _("Solvency"), "custody.read_safeguarding", True),
    ("workbench", _("Workbench"), "custody.read_statements", True),
    ("closing", _("Daily close"), "custody.read_statements", True),
    ("pooling", _("Pooling"), "custody.read_ledger", True),
    ("liquidity", _("Liquidity"), "custody.read_ledger", True),
    ("currencies", _("Currencies"), "custody.read_ledger", True),
    ("my-money", _("My money"), "custody.read_own", False),
    ("my-pay-in-choose", _("Pay in"), "custody.read_own", False),
    ("my-withdraw-choose", _("Withdraw money"), "custody.read_own", False),
    ("my-proof", _("My proof"), "custody.read_own", False),
    ("my-flow", _("Follow my money"), "custody.read_own", False),
    ("my-exchange", _("Exchange"), "custody.read_own", False),
    ("my-authorisations", _("My authorisations"), "custody.read_own", False),
    ("people", _("People and roles"), "identity.read_users", False),
    ("events", _("Evidence"), "evidence.read", False),
    ("trail", _("Trail of access"), "evidence.read_trail", False),
    ("retention", _("Retention and holds"), "evidence.read_retention", False),
    ("trail-notices", _("Privileged acts"), "evidence.acknowledge", False),
    ("trail-purpose", _("My purpose"), "custody.read_ledger", False),
)


def of(actor: Actor, path: str, *, book: int | None) -> list[Entry]:
    """The menu of this actor, the page they are on marked. Without a book, the pages that need none."""
    entries = []
    for route, label, permission, of_book in _MENU:
        if of_book and book is None:
            continue
        # Staff may read anyone's own pages, but have no "my".
        if route.startswith("my-") and actor.customer_number is None:
            continue
        if access.allowed(actor, permission, owner=actor.customer_number):
            url = reverse(route, args=[book] if of_book else [])
            entries.append(Entry(str(label), url, path == url))
    if actor.is_person and actor.roles:
        entries.append(Entry(str(_("My sign-in")), reverse("my-sign-in"), path == reverse("my-sign-in")))
    # Where no entry is this very page, the one it lies under is marked: the longest that leads here.
    if not any(entry.current for entry in entries):
        under = [entry for entry in entries if path.startswith(entry.url)]
        nearest = max(under, key=lambda entry: len(entry.url), default=None)
        entries = [Entry(entry.label, entry.url, entry is nearest) for entry in entries]
    return entries

"""One's own: which accounts a customer stands behind, and nobody else's, for all of a customer's pages.

Promises: what is not theirs is answered exactly as what is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from django.http import HttpRequest
from django.utils import timezone

from tallystick.core import money
from tallystick.core.db import APP
from tallystick.custody import accounts, books, conditions, errors, holders
from tallystick.custody.accounts import Account
from tallystick.custody.holder_models import Capacity, Condition, HoldingRule
from tallystick.identity import access
from tallystick.identity.errors import AccessDenied
from tallystick.web import asking, words
from tallystick.web.session import actor


@dataclass(frozen=True, slots=True)
class Own:
    """An account of this customer's, and how they stand to it."""

    account: Account
    standing: holders.Standing
    me: str

    @property
    def capacity(self) -> Capacity:
        """As what they stand behind it."""
        found = self.standing.holding.capacity_of(self.me)
        assert found is not None, "an account of one's own is one that one stands behind"
        return found

    @property
    def signs(self) -> bool:
        """Whether their word counts for it now."""
        return self.me in holders.signers(self.standing)

    @property
    def is_shared(self) -> bool:
        return self.standing.holding.is_shared

    @property
    def needs_all(self) -> bool:
        return self.standing.holding.rule == HoldingRule.ALL and len(holders.signers(self.standing)) > 1

    @property
    def capacity_word(self) -> str:
        return str(words.CAPACITIES[self.capacity])

    @property
    def rule_word(self) -> str:
        return str(words.RULES[self.standing.holding.rule])

    @property
    def condition(self) -> Condition:
        return self.standing.condition

    @property
    def notice(self) -> conditions.Notice | None:
        """The notice that this account will sleep, where one stands."""
        return conditions.notice(APP, self.account.number) if self.condition == Condition.ACTIVE else None


def number(request: HttpRequest) -> str:
    """The client this customer is. These pages are theirs alone; staff have the ledger's."""
    mine = actor(request).customer_number
    access.require(APP, actor(request), "custody.read_own", owner=mine)
    if mine is None:
        raise AccessDenied(permission="custody.read_own")
    return mine


def all_of(request: HttpRequest) -> Sequence[Own]:
    """Every account they stand behind."""
    mine = number(request)
    found = holders.accounts_of(APP, mine)
    standings = holders.standings(APP, {each.number: each.owner for each in found})
    return [Own(each, standings[each.number], mine) for each in found]


def one(request: HttpRequest, text: str) -> Own:
    """The account of this number, if it is theirs. Raises `errors.AccountUnknown` alike if not, or not there."""
    mine = number(request)
    found = accounts.of_text(APP, text)
    standing = holders.standing(APP, found)
    if standing.holding.capacity_of(mine) is None:
        raise errors.AccountUnknown(account=text)
    return Own(found, standing, mine)


def today(account: Account) -> date:
    """The day it is in the account's book."""
    return books.book(APP, account.book).today(timezone.now())


def amount(text: str, account: Account) -> int | None:
    """What was typed as an amount that can be moved on this account; nothing where it is none."""
    minor = asking.amount(text, account.scale)
    return minor if minor is not None and 1 <= minor <= money.AMOUNT_MAX else None

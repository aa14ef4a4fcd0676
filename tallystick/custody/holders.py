"""Holders: who stands behind an account, whose word it needs, and how it stands with them.

Promises: an account is held by its owner alone unless two people of staff have recorded otherwise, on a paper
they name; every change is a row with the whole of what holds from then on; where all must agree, each one's
yes is to exactly the same terms, counts once, and lapses.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connections, transaction

from tallystick.core import texts
from tallystick.core.db import Db
from tallystick.core.errors import Refusal
from tallystick.custody import accounts, codes, errors, numbers
from tallystick.custody.holder_models import Capacity, Condition, HoldingRule
from tallystick.custody.numbers import AccountNumber, AuthorisationKind
from tallystick.evidence import canonical, log
from tallystick.identity import access, approvals
from tallystick.identity.access import Actor
from tallystick.identity.approvals import ApprovalId
from tallystick.identity.roles import Role

KIND = "custody.change_holders"
"""The kind of proposal: see `identity.approvals`."""

PARTIES_MAX = 10
CONSENT_DAYS = 14
"""How long one holder's yes waits for the others'."""

_WORD_LOCK = 1952541812
"""First key of the advisory lock under which a book's holders give their word; the second is the book."""


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody behind an account, and as what."""

    customer_number: str
    capacity: Capacity


@dataclass(frozen=True, slots=True)
class Holding:
    """Who holds an account. `since` is nothing where nobody ever changed it: then its owner alone does."""

    account: AccountNumber
    rule: HoldingRule
    parties: tuple[Party, ...]
    document: str = ""
    reason: str = ""
    since: datetime | None = None
    actor: str = ""
    version: int | None = None

    @property
    def is_shared(self) -> bool:
        return len(self.parties) > 1

    def capacity_of(self, customer_number: str | None) -> Capacity | None:
        """As what this customer stands behind the account, if they do."""
        return next((each.capacity for each in self.parties if each.customer_number == customer_number), None)


@dataclass(frozen=True, slots=True)
class Standing:
    """An account with its holders and its condition, as of now."""

    holding: Holding
    condition: Condition


@dataclass(frozen=True, slots=True)
class Consent:
    """A holder's yes that waits for others'. `terms` is what they agreed to, as canonical JSON."""

    id: int
    account: AccountNumber
    customer_number: str
    terms: str
    at: datetime
    expires_at: datetime


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────


def signers(standing: Standing) -> frozenset[str]:
    """The customers whose word moves this account's money: of an estate, its representatives alone.

    A minor owns and does not sign; a guardian signs for them.
    """
    signing = (
        {Capacity.REPRESENTATIVE}
        if standing.condition == Condition.ESTATE
        else {Capacity.HOLDER, Capacity.GUARDIAN}
    )
    return frozenset(each.customer_number for each in standing.holding.parties if each.capacity in signing)


def payees(standing: Standing) -> frozenset[str]:
    """The customers to whose own bank accounts its money may be paid: whose it is, or who settles the estate."""
    paid = (
        {Capacity.REPRESENTATIVE}
        if standing.condition == Condition.ESTATE
        else {Capacity.HOLDER, Capacity.MINOR}
    )
    return frozenset(each.customer_number for each in standing.holding.parties if each.capacity in paid)


def misfit(rule: HoldingRule, parties: Sequence[Party]) -> tuple[str, str] | None:
    """The first thing wrong with a holding about to be recorded: the field, and what was expected of it."""
    if not 1 <= len(parties) <= PARTIES_MAX:
        return "parties", f"1 to {PARTIES_MAX}"
    named = [each.customer_number for each in parties]
    if len(set(named)) != len(named):
        return "parties", "each customer once"
    if not all(texts.says(each, 64) for each in named):
        return "parties", "customer numbers of 1 to 64 characters"
    capacities = {each.capacity for each in parties}
    if not capacities & {Capacity.HOLDER, Capacity.GUARDIAN}:
        return "parties", "at least one holder or guardian: somebody who signs"
    if (Capacity.MINOR in capacities) != (Capacity.GUARDIAN in capacities):
        return "parties", "a guardian where there is a minor, and only there"
    return None


def refusal_to_sign(
    standing: Standing, by: str | None, *, kind: AuthorisationKind, code: codes.Code
) -> Refusal | None:
    """Why this customer's word cannot move this account's money now, if it cannot.

    A legal order is nobody's word, and stands above all of this.
    """
    if kind == AuthorisationKind.LEGAL:
        return None
    if standing.condition == Condition.DORMANT:
        return errors.AccountDormant()
    if standing.condition == Condition.DECEASED:
        return errors.AccountOfDeceased()
    if standing.condition == Condition.ESTATE and (
        kind != AuthorisationKind.ORDER or code != codes.Code.WITHDRAWAL
    ):
        return errors.EstateOnly()
    signing = signers(standing)
    if by is not None and by not in signing:
        return errors.MayNotSign(who=", ".join(sorted(signing)))
    return None


def state(
    account: int,
    rule: HoldingRule,
    parties: Sequence[Party],
    document: str,
    reason: str,
    supersedes: int | None,
) -> canonical.Payload:
    """What is proposed and approved: the whole of what is to hold."""
    return {
        "account": numbers.account_text(account),
        "rule": str(rule),
        "parties": [
            {"customer_number": each.customer_number, "capacity": str(each.capacity)}
            for each in sorted(parties, key=lambda each: each.customer_number)
        ],
        "document": document,
        "reason": reason,
        "supersedes": supersedes,
    }


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def standings(db: Db, wanted: Mapping[AccountNumber, str]) -> dict[AccountNumber, Standing]:
    """How accounts stand with their holders: account to its owner in, account to its standing out."""
    held: dict[AccountNumber, Holding] = {}
    conditions: dict[AccountNumber, Condition] = {}
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select wanted.account, h.id, h.rule, h.document, h.reason, h.at, h.actor, (
                select array_agg(array[p.customer_number, p.capacity] order by p.customer_number)
                from custody_holding_party p where p.holding_id = h.id)
            from unnest(%s::bigint[]) as wanted (account)
            cross join lateral (
                select * from custody_holding where account_id = wanted.account order by id desc limit 1
            ) h
            """,
            [list(wanted)],
        )
        for account, version, rule, document, reason, at, actor, parties in cursor.fetchall():
            held[account] = Holding(
                account,
                HoldingRule(rule),
                tuple(Party(number, Capacity(capacity)) for number, capacity in parties),
                document,
                reason,
                at,
                actor,
                version,
            )
        cursor.execute(
            """
            select wanted.account, c.condition from unnest(%s::bigint[]) as wanted (account)
            cross join lateral (
                select condition from custody_account_condition
                where account_id = wanted.account order by id desc limit 1
            ) c
            """,
            [list(wanted)],
        )
        conditions = {account: Condition(condition) for account, condition in cursor.fetchall()}
    return {
        account: Standing(
            held.get(account) or Holding(account, HoldingRule.ANY, (Party(owner, Capacity.HOLDER),)),
            conditions.get(account, Condition.ACTIVE),
        )
        for account, owner in wanted.items()
    }


def standing(db: Db, account: accounts.Account) -> Standing:
    """How one account stands with its holders."""
    return standings(db, {account.number: account.owner})[account.number]


def speaker(db: Db, account: accounts.Account, *, actor: Actor) -> str:
    """The customer as whom this actor may be asked about an account: themselves where they stand behind it.

    Else its owner: so a permission over one's own things is asked for with the right name.
    """
    mine = actor.customer_number
    if mine is not None and standing(db, account).holding.capacity_of(mine) is not None:
        return mine
    # Whoever was taken from a holding is its owner no more.
    return "" if mine == account.owner else account.owner


def accounts_of(db: Db, customer_number: str, *, limit: int = 200) -> Sequence[accounts.Account]:
    """Every account this customer stands behind, of every book, by number."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select number from custody_account a
            where owner = %(who)s and family = 1 and not exists (
                select from custody_holding h where h.account_id = a.number)
            union
            select h.account_id from custody_holding_party p
            join custody_holding h on h.id = p.holding_id
            where p.customer_number = %(who)s and not exists (
                select from custody_holding newer where newer.account_id = h.account_id and newer.id > h.id)
            order by 1 limit %(limit)s
            """,
            {"who": customer_number, "limit": limit},
        )
        found = accounts.several(db, [row[0] for row in cursor.fetchall()])
    return [found[number] for number in sorted(found)]


def past(db: Db, account: int) -> Sequence[Holding]:
    """Every recorded holding of an account, the first one first."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select h.id, h.rule, h.document, h.reason, h.at, h.actor, array_agg(
                array[p.customer_number, p.capacity] order by p.customer_number)
            from custody_holding h join custody_holding_party p on p.holding_id = h.id
            where h.account_id = %s group by h.id order by h.id
            """,
            [account],
        )
        return [
            Holding(
                AccountNumber(account),
                HoldingRule(rule),
                tuple(Party(number, Capacity(capacity)) for number, capacity in parties),
                document,
                reason,
                at,
                actor,
                version,
            )
            for version, rule, document, reason, at, actor, parties in cursor.fetchall()
        ]


def consents(db: Db, account: int, *, now: datetime, terms: str | None = None) -> Sequence[Consent]:
    """The consents that count now, the first one first: of an account, or to exactly these terms."""
    digest = None if terms is None else hashlib.sha256(terms.encode()).digest()
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select id, account_id, customer_number, terms, at, expires_at from custody_holder_consent c
            where account_id = %s and expires_at > %s and (%s::bytea is null or digest = %s)
                and not exists (select from custody_holder_consent_end e where e.consent_id = c.id)
            order by id
            """,
            [account, now, digest, digest],
        )
        return [Consent(*row) for row in cursor.fetchall()]


def missing(db: Db, found: Standing, terms: str, *, by: Iterable[str], now: datetime) -> frozenset[str]:
    """Whose yes to exactly these terms is still missing, where all must agree; `by` are saying it now."""
    if found.holding.rule == HoldingRule.ANY:
        return frozenset()
    agreed = {each.customer_number for each in consents(db, found.holding.account, now=now, terms=terms)}
    return signers(found) - agreed - frozenset(by)


def hold_still(db: Db, book: int, held: Collection[AccountNumber]) -> None:
    """On these accounts nobody else gives a word or changes a holder or a condition until the transaction ends.

    Words on one account are given in turn, those on two accounts at once; on several, alone in the book.
    """
    with connections[db].cursor() as cursor:
        if len(held) > 1:
            cursor.execute("select pg_advisory_xact_lock(%s, %s)", [_WORD_LOCK, book])
        else:
            cursor.execute("select pg_advisory_xact_lock_shared(%s, %s)", [_WORD_LOCK, book])
            cursor.execute("select pg_advisory_xact_lock(%s)", list(held))


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────


def propose(
    db: Db,
    account: int,
    rule: HoldingRule,
    parties: Sequence[Party],
    *,
    document: str,
    reason: str,
    actor: Actor,
    now: datetime,
) -> ApprovalId:
    """Propose who holds an account from now on, on the paper that says so. It holds once another approves.

    Raises `errors.AccountUnknown`, `NotAClientAccount` or `Malformed`, and what `approvals.propose` does.
    """
    access.require(db, actor, approvals.KINDS[KIND].make)
    found = accounts.account(db, account)
    _judge(found, rule, parties, document, reason)
    before = standing(db, found).holding
    told = state(account, rule, parties, document, reason, before.version)
    return approvals.propose(db, KIND, found.text, told, book=found.book, actor=actor, now=now)


def approve(db: Db, approval_id: int, *, actor: Actor, now: datetime) -> Holding:
    """Approve a proposed holding; it holds from now on. Raises what `approvals.approve` does."""
    access.require(db, actor, approvals.KINDS[KIND].check)
    proposed = approvals.of_kind(db, approval_id, KIND)
    told = proposed.state
    number = numbers.parse_account(str(told["account"]))
    parties = _parties(told["parties"])
    rule, document, reason = HoldingRule(str(told["rule"])), str(told["document"]), str(told["reason"])
    with transaction.atomic(using=db):
        hold_still(db, numbers.book_of(number), [number])
        found = accounts.account(db, number)
        before = standing(db, found).holding
        _judge(found, rule, parties, document, reason)
        now_told = state(number, rule, parties, document, reason, before.version)
        approvals.approve(db, approval_id, now_told, actor=actor, now=now)
        record(
            db,
            number,
            rule,
            parties,
            document=document,
            reason=reason,
            approval=approval_id,
            actor=actor,
            now=now,
        )
    return standing(db, found).holding


def record(
    db: Db,
    account: int,
    rule: HoldingRule,
    parties: Sequence[Party],
    *,
    document: str,
    reason: str,
    approval: int,
    actor: Actor,
    now: datetime,
) -> None:
    """Write what two people decided on, in the transaction of the approval it names."""
    assert connections[db].in_atomic_block, "a holding is written in the transaction of its approval"
    with connections[db].cursor() as cursor:
        cursor.execute(
            "insert into custody_holding (account_id, rule, document, reason, approval, at, actor)"
            " values (%s, %s, %s, %s, %s, %s, %s) returning id",
            [account, str(rule), document, reason, approval, now, actor.id],
        )
        version = cursor.fetchone()[0]
        cursor.executemany(
            "insert into custody_holding_party (holding_id, customer_number, capacity) values (%s, %s, %s)",
            [(version, each.customer_number, str(each.capacity)) for each in parties],
        )
    # What was agreed by other holders is not the word of these.
    for each in consents(db, account, now=now):
        _end(db, each.id, None, actor=actor, now=now)
    told = state(account, rule, parties, document, reason, None)
    log.append(
        db,
        "custody.holders_changed",
        {
            **{name: value for name, value in told.items() if name != "supersedes"},
            "approval": approvals.reference(approval),
        },
        actor=actor.id,
        at=now,
    )


def consent(db: Db, account: int, terms: str, *, actor: Actor, now: datetime) -> frozenset[str]:
    """Record this holder's yes to exactly these terms; whose is still missing comes back.

    Said twice it counts once, from the first time. Raises `errors.AccountUnknown` or `MayNotSign`.
    """
    found = accounts.account(db, account)
    access.require(db, actor, "custody.consent_as_holder", owner=speaker(db, found, actor=actor))
    with transaction.atomic(using=db), connections[db].cursor() as cursor:
        hold_still(db, found.book, [found.number])
        stands = standing(db, found)
        mine = actor.customer_number
        if mine is None or mine not in signers(stands):
            raise errors.MayNotSign(who=", ".join(sorted(signers(stands))))
        said = {each.customer_number for each in consents(db, account, now=now, terms=terms)}
        if mine not in said:
            cursor.execute(
                "insert into custody_holder_consent"
                " (account_id, customer_number, terms, digest, at, expires_at, actor)"
                " values (%s, %s, %s, %s, %s, %s, %s)",
                [
                    account,
                    mine,
                    terms,
                    hashlib.sha256(terms.encode()).digest(),
                    now,
                    now + timedelta(days=CONSENT_DAYS),
                    actor.id,
                ],
            )
            log.append(
                db,
                "custody.holder_consented",
                {"account": found.text, "customer": mine, "terms": terms},
                actor=actor.id,
                at=now,
            )
    return missing(db, stands, terms, by=(), now=now)


def take_back(db: Db, consent_id: int, *, actor: Actor, now: datetime) -> None:
    """Take back a consent that was not used yet: one's own, or, as a no, another holder's of one's account.

    Raises `errors.ConsentUnknown`.
    """
    with transaction.atomic(using=db), connections[db].cursor() as cursor:
        cursor.execute("select account_id from custody_holder_consent where id = %s", [consent_id])
        row = cursor.fetchone()
        if row is None:
            raise errors.ConsentUnknown(consent=consent_id)
        found = accounts.account(db, row[0])
        mine = actor.customer_number
        if Role.CUSTOMER in actor.roles and standing(db, found).holding.capacity_of(mine) is None:
            # Whether another's account has one is none of their business.
            raise errors.ConsentUnknown(consent=consent_id)
        access.require(db, actor, "custody.consent_as_holder", owner=speaker(db, found, actor=actor))
        hold_still(db, found.book, [found.number])
        if consent_id not in {each.id for each in consents(db, found.number, now=now)}:
            raise errors.ConsentUnknown(consent=consent_id)
        _end(db, consent_id, None, actor=actor, now=now)
        log.append(
            db,
            "custody.holder_consent_taken_back",
            {"account": found.text, "consent": consent_id},
            actor=actor.id,
            at=now,
        )


def use(db: Db, account: int, terms: str, authorisation: int, *, actor: Actor, now: datetime) -> None:
    """Mark the consents to these terms as used by an authorisation, in its own transaction: each counts once."""
    assert connections[db].in_atomic_block, "a consent is used in the transaction of its authorisation"
    for each in consents(db, account, now=now, terms=terms):
        _end(db, each.id, authorisation, actor=actor, now=now)


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


def _judge(
    account: accounts.Account, rule: HoldingRule, parties: Sequence[Party], document: str, reason: str
) -> None:
    if numbers.family_of(account.number) != numbers.Family.CLIENT:
        raise errors.NotAClientAccount(account=account.text)
    wrong = misfit(rule, parties)
    for field, text, length_max in (("document", document, 200), ("reason", reason, 500)):
        if wrong is None and not texts.says(text, length_max):
            wrong = field, f"1 to {length_max} characters"
    if wrong:
        raise errors.Malformed(where=account.text, field=wrong[0], expected=wrong[1])


def _parties(told: canonical.Value) -> list[Party]:
    """The parties of a proposal's state: it was written by `state`."""
    assert isinstance(told, Sequence)
    found = []
    for each in told:
        assert isinstance(each, Mapping)
        found.append(Party(str(each["customer_number"]), Capacity(str(each["capacity"]))))
    return found


def _end(db: Db, consent_id: int, authorisation: int | None, *, actor: Actor, now: datetime) -> None:
    with connections[db].cursor() as cursor:
        cursor.execute(
            "insert into custody_holder_consent_end (consent_id, authorisation, at, actor)"
            " values (%s, %s, %s, %s)",
            [consent_id, authorisation, now, actor.id],
        )

"""Who may do what: one table, and the one question every action asks of it.

Promises: what is not in the table is refused; a customer reaches only what is theirs; every refusal is
counted, and whatever is granted to a visitor is told to their visit, for the trail. Roles are read once for
each request, so that a role withdrawn is gone with the next one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from django.db import transaction
from prometheus_client import Counter

from tallystick.core.db import Db
from tallystick.evidence import log, visits
from tallystick.identity.errors import AccessDenied
from tallystick.identity.roles import GRANTABLE, Role

_OPERATIONS = Role.PLATFORM_OPERATIONS
_APPROVER = Role.PLATFORM_APPROVER
_ADMINISTRATOR = Role.ADMINISTRATOR
_BANK = Role.CUSTODIAN_BANK
_AUDITOR = Role.AUDITOR
_REGULATOR = Role.REGULATOR
_CUSTOMER = Role.CUSTOMER
_CLI = Role.SYSTEM_CLI
_POSTING = Role.SYSTEM_POSTING
_PULSE = Role.SYSTEM_PULSE
_STATEMENTS = Role.SYSTEM_STATEMENTS
_BACKUP = Role.SYSTEM_BACKUP
_SIMULATION = Role.SYSTEM_SIMULATION

_PLATFORM = (_OPERATIONS, _APPROVER)
_EXAMINERS = (_BANK, _AUDITOR, _REGULATOR)
_READERS = (*_PLATFORM, *_EXAMINERS, _CLI, _PULSE, _SIMULATION)

PERMISSIONS: Mapping[str, frozenset[Role]] = MappingProxyType(
    {
        permission: frozenset(roles)
        for permission, roles in {
            # The shape of the ledger.
            "custody.open_book": (_APPROVER, _CLI, _SIMULATION),
            "custody.define_asset": (_APPROVER, _CLI, _SIMULATION),
            "custody.open_account": (_OPERATIONS, _CLI, _SIMULATION),
            "custody.change_account_state": (*_PLATFORM, _CLI, _SIMULATION),
            "custody.set_limits": (_APPROVER, _CLI, _SIMULATION),
            # Moving money. A client's money moves only by an authorisation of that client's.
            "custody.authorise": (_CUSTOMER, _OPERATIONS, _SIMULATION),
            # Whoever can register a client's key can sign in the client's name: the client alone.
            "custody.register_key": (_CUSTOMER, _SIMULATION),
            "custody.withdraw_authorisation": (_CUSTOMER, _OPERATIONS, _SIMULATION),
            "custody.post": (_OPERATIONS, _POSTING, _PULSE, _SIMULATION),
            "custody.reverse": (_APPROVER, _SIMULATION),
            "custody.open_balances": (_CLI, _SIMULATION),
            # Payouts: asked for by the client or for them, released by somebody else, sent in batches.
            "custody.add_bank_account": (_CUSTOMER, _OPERATIONS, _SIMULATION),
            "custody.verify_bank_account": (_OPERATIONS, _SIMULATION),
            "custody.make_payout": (_CUSTOMER, _OPERATIONS, _SIMULATION),
            "custody.release_payout": (_APPROVER, _SIMULATION),
            # Only who is to be protected can say that they have read it.
            "custody.acknowledge_payout_notice": (_CUSTOMER, _SIMULATION),
            "custody.send_payouts": (_OPERATIONS, _CLI, _PULSE, _SIMULATION),
            "custody.propose_payout_terms": (_OPERATIONS, _SIMULATION),
            "custody.approve_payout_terms": (_APPROVER, _SIMULATION),
            # Money coming in: its bank details are set by two people, its word given by the client.
            "custody.propose_pay_in": (_OPERATIONS, _CLI, _SIMULATION),
            "custody.approve_pay_in": (_APPROVER, _SIMULATION),
            "custody.announce_deposit": (_CUSTOMER, _SIMULATION),
            "custody.take_deposits": (_OPERATIONS, _PULSE, _SIMULATION),
            # Who holds an account, and what becomes of it when they are silent or gone.
            "custody.propose_holders": (_OPERATIONS, _SIMULATION),
            "custody.approve_holders": (_APPROVER, _SIMULATION),
            "custody.consent_as_holder": (_CUSTOMER, _SIMULATION),
            "custody.set_dormancy": (_APPROVER, _CLI, _SIMULATION),
            "custody.mark_dormant": (_OPERATIONS, _PULSE, _SIMULATION),
            "custody.reactivate_account": (_CUSTOMER, _SIMULATION),
            # The bank's side.
            "custody.import_statement": (_OPERATIONS, _BANK, _CLI, _STATEMENTS, _SIMULATION),
            "custody.reconcile": (*_PLATFORM, _CLI, _STATEMENTS, _PULSE, _SIMULATION),
            "custody.assess_liquidity": (*_PLATFORM, _CLI, _PULSE, _SIMULATION),
            # Other currencies: whoever records a rate does not open the corridor it is used in.
            "custody.record_rate": (_OPERATIONS, _CLI, _SIMULATION),
            "custody.set_corridor": (_APPROVER, _CLI, _SIMULATION),
            "custody.quote_exchange": (_CUSTOMER, _OPERATIONS, _SIMULATION),
            "custody.settle_exchange": (_OPERATIONS, _SIMULATION),
            "custody.explain_break": (_OPERATIONS, _SIMULATION),
            # The workbench: what the one proposes, the other decides.
            "custody.propose_match": (_OPERATIONS, _SIMULATION),
            "custody.approve_match": (_APPROVER, _SIMULATION),
            "custody.propose_return": (_OPERATIONS, _SIMULATION),
            "custody.approve_return": (_APPROVER, _SIMULATION),
            "custody.prepare_close": (_OPERATIONS, _SIMULATION),
            "custody.sign_close": (_APPROVER, _SIMULATION),
            "custody.set_book_days": (_APPROVER, _CLI, _SIMULATION),
            # Safeguarding: proved daily, signed off by two people; the pack for the day of a failure.
            "custody.arrange_safeguarding": (_APPROVER, _CLI, _SIMULATION),
            "custody.prove_safeguarding": (*_PLATFORM, _CLI, _PULSE, _SIMULATION),
            "custody.sign_proof": (_OPERATIONS,),
            "custody.countersign_proof": (_APPROVER,),
            "custody.read_safeguarding": _READERS,
            "custody.build_resolution_pack": (_APPROVER, _REGULATOR, _CLI, _SIMULATION),
            # Solvency: told every day; everybody's balances go only to who builds the tree again.
            "custody.state_solvency": (*_PLATFORM, _CLI, _PULSE, _SIMULATION),
            "custody.hand_over_liabilities": (_APPROVER, _CLI),
            # A proof shows a balance and opens its leaf: for whoever holds the account, and for no staff.
            "custody.read_own_proof": (_CUSTOMER,),
            # Reading. `read_own` is the customer's door and, for staff, the same page of anyone's.
            "custody.read_ledger": (*_READERS, _POSTING, _STATEMENTS),
            "custody.read_own": (_CUSTOMER, *_READERS),
            "custody.read_statements": (*_READERS, _STATEMENTS),
            "custody.export": (*_PLATFORM, *_EXAMINERS, _CLI, _SIMULATION),
            # People.
            "identity.create_user": (_ADMINISTRATOR, _CLI, _SIMULATION),
            "identity.grant_role": (_ADMINISTRATOR, _CLI, _SIMULATION),
            "identity.withdraw_role": (_ADMINISTRATOR, _CLI, _SIMULATION),
            "identity.issue_sign_in_link": (_CLI, _SIMULATION),
            "identity.issue_api_token": (_CLI, _SIMULATION),
            "identity.revoke_api_token": (_ADMINISTRATOR, _CLI, _SIMULATION),
            "identity.read_users": (_ADMINISTRATOR, _AUDITOR, _CLI),
            "identity.read_api_tokens": (_ADMINISTRATOR, _AUDITOR, _CLI),
            # Evidence and the house.
            "evidence.read": (*_PLATFORM, *_EXAMINERS, _CLI, _PULSE, _SIMULATION),
            # The whole of the ledger's log, to be mirrored and watched, is for those who stand outside.
            "evidence.read_ledger_log": _EXAMINERS,
            # The trail of staff is for those who stand outside the work; a second person sees privileged acts.
            "evidence.read_trail": (_ADMINISTRATOR, _AUDITOR, _REGULATOR, _CLI),
            "evidence.acknowledge": (_ADMINISTRATOR, _APPROVER, _AUDITOR),
            # What may not be erased for now: placed by one person, confirmed and lifted by two.
            "evidence.place_hold": (_ADMINISTRATOR, _AUDITOR),
            "evidence.decide_hold": (_ADMINISTRATOR, _AUDITOR),
            "evidence.read_retention": (_ADMINISTRATOR, _AUDITOR, _REGULATOR, _CLI),
            "evidence.erase": (_ADMINISTRATOR, _CLI, _PULSE),
            "evidence.anchor": (_ADMINISTRATOR, _CLI, _PULSE),
            "operations.backup": (_ADMINISTRATOR, _CLI, _BACKUP),
            "operations.restore": (_CLI, _BACKUP),
            "operations.read_health": (_ADMINISTRATOR, *_PLATFORM, _AUDITOR, _CLI),
        }.items()
    }
)
"""Permission → the roles that have it. The whole of it; deny by default."""

PERSONAL = frozenset(
    {
        "custody.read_ledger",
        "custody.read_own",
        "custody.read_statements",
        "custody.read_safeguarding",
        "custody.export",
        "identity.read_users",
        "identity.read_api_tokens",
        "evidence.read",
        "evidence.read_trail",
        "evidence.read_retention",
    }
)
"""The permissions to read that reach customers' data: used by anybody else, they leave an entry in the trail."""

PRIVILEGED = frozenset(
    {"custody.reverse", "custody.export", "custody.build_resolution_pack", "operations.restore"}
)
"""The permissions whose every use is told to a second person."""

DENIED = Counter("tallystick_access_denied", "Requests refused for want of permission", ["permission"])


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: a person or a process, as of the start of the request."""

    id: str
    """`usr_…` or `system:…`: what events and rows name."""
    name: str
    """For pages; never for logs or events."""
    roles: frozenset[Role]
    customer_number: str | None = None
    """The client a customer is: the `owner` of their accounts."""

    @staticmethod
    def system(process: str) -> Actor:
        """A process of the system: "cli", "posting", "pulse", "statements", "backup" or "simulation"."""
        role = Role(f"system:{process}")
        return Actor(id=role.value, name=role.value, roles=frozenset({role}))

    @property
    def is_person(self) -> bool:
        return not self.roles or bool(self.roles & GRANTABLE)


NOBODY = Actor(id="nobody", name="", roles=frozenset())
"""Whoever has not signed in. Holds no role, so may do nothing."""


def allowed(actor: Actor, permission: str, *, owner: str | None = None) -> bool:
    """Whether the table lets this actor do this. `owner` is the client whose things they are.

    A customer has a customer's permissions over their own things only. Any other role that the
    permission names has it over all.
    """
    having = actor.roles & PERMISSIONS.get(permission, frozenset())
    if having - {Role.CUSTOMER}:
        return True
    return Role.CUSTOMER in having and owner is not None and owner == actor.customer_number


def require(db: Db, actor: Actor, permission: str, *, owner: str | None = None) -> None:
    """Refuse with `AccessDenied` unless the table lets this actor do this.

    `db` is where rules about a row (own tenant, own case) will be looked up; the table needs none.
    """
    assert permission in PERMISSIONS, f"{permission} is not in the table of permissions"
    if not allowed(actor, permission, owner=owner):
        DENIED.labels(permission).inc()
        raise AccessDenied(permission=permission)
    is_own = owner is not None and owner == actor.customer_number
    visits.granted(permission, actor=actor.id, party=owner, is_own=is_own)


def record_denial(db: Db, denial: AccessDenied, *, actor: Actor, now: datetime) -> None:
    """Write a refused request into the evidence: for doors, after the action has rolled back."""
    with transaction.atomic(using=db):
        log.append(
            db,
            "identity.access_denied",
            {"permission": str(denial.fields["permission"])},
            actor=actor.id,
            at=now,
        )

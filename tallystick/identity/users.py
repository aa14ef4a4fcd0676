"""People who can sign in, and the roles they hold.

Promises: a role is held if and only if its last change says so; two roles of which one checks the
other are never held by one person; nobody changes their own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connections, transaction

from tallystick.core.db import Db
from tallystick.evidence import log
from tallystick.identity import access, errors
from tallystick.identity.access import Actor
from tallystick.identity.models import RoleChange, User
from tallystick.identity.roles import Role, conflict


@dataclass(frozen=True, slots=True)
class Change:
    """A role granted (`held`) or withdrawn."""

    role: Role
    held: bool
    reason: str
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Person:
    """A user as lists show them."""

    id: int
    reference: str
    username: str
    name: str
    customer_number: str | None
    is_active: bool
    created_at: datetime
    roles: frozenset[Role]


def roles(db: Db, user_id: int, *, as_of: datetime | None = None) -> frozenset[Role]:
    """The roles a user holds, or held at a past time."""
    changes = RoleChange.objects.using(db).filter(user_id=user_id)
    if as_of is not None:
        changes = changes.filter(at__lte=as_of)
    last = changes.order_by("role", "-id").distinct("role").values_list("role", "held")
    return frozenset(Role(role) for role, held in last if held)


def changes(db: Db, user_id: int) -> Sequence[Change]:
    """Every change of a user's roles, the first one first."""
    rows = RoleChange.objects.using(db).filter(user_id=user_id).order_by("id")
    return [Change(Role(row.role), row.held, row.reason, row.actor, row.at) for row in rows]


def actor(db: Db, user_id: int) -> Actor:
    """A user as the one who asks, with the roles of this moment; an inactive user has none."""
    user = User.objects.using(db).get(pk=user_id)
    held = roles(db, user_id) if user.is_active else frozenset()
    return Actor(id=user.reference, name=str(user), roles=held, customer_number=user.customer_number)


def find(db: Db, username: str) -> User | None:
    """The user of this name."""
    return User.objects.using(db).filter(username=username).first()


def customer_numbers(db: Db, user_ids: Sequence[int]) -> Sequence[str]:
    """Which clients these users are, where they are any."""
    rows = User.objects.using(db).filter(pk__in=list(user_ids), customer_number__isnull=False)
    return [str(number) for number in rows.values_list("customer_number", flat=True)]


def names(db: Db, references: Collection[str]) -> Mapping[str, str]:
    """How people are called, by their ids: for pages."""
    numbers = [int(text[4:]) for text in references if text.startswith("usr_") and text[4:].isdigit()]
    return {user.reference: str(user) for user in User.objects.using(db).filter(pk__in=numbers)}


def people(db: Db, *, actor: Actor) -> Sequence[Person]:
    """Everyone who can sign in, with the roles they hold, by user name."""
    access.require(db, actor, "identity.read_users")
    return _people(db)


def _people(db: Db) -> list[Person]:
    last = RoleChange.objects.using(db).order_by("user_id", "role", "-id").distinct("user_id", "role")
    held: dict[int, set[Role]] = {}
    for change in last:
        if change.held:
            held.setdefault(change.user_id, set()).add(Role(change.role))
    return [
        Person(
            id=user.pk,
            reference=user.reference,
            username=user.username,
            name=user.name,
            customer_number=user.customer_number,
            is_active=user.is_active,
            created_at=user.created_at,
            roles=frozenset(held.get(user.pk, ())),
        )
        for user in User.objects.using(db).order_by("username")
    ]


def create(
    db: Db,
    username: str,
    *,
    name: str,
    customer_number: str | None = None,
    email: str = "",
    password: str | None = None,
    actor: Actor,
    now: datetime,
) -> User:
    """Make an account that can sign in and may do nothing yet. Without a password, only by link."""
    access.require(db, actor, "identity.create_user")
    with transaction.atomic(using=db):
        if User.objects.using(db).filter(username=username).exists():
            raise errors.UsernameTaken(username=username)
        if customer_number and User.objects.using(db).filter(customer_number=customer_number).exists():
            raise errors.CustomerNumberTaken(customer_number=customer_number)
        user = User(
            username=username,
            name=name,
            email=email,
            customer_number=customer_number or None,
            created_at=now,
        )
        user.set_password(password)
        user.full_clean(exclude=["password"], validate_unique=False, validate_constraints=False)
        user.save(using=db)
        log.append(
            db,
            "identity.user_created",
            {"user": user.reference, "customer_number": user.customer_number},
            actor=actor.id,
            at=now,
        )
    return user


def grant(db: Db, user_id: int, role: Role, *, reason: str, actor: Actor, now: datetime) -> None:
    """Give a user a role."""
    access.require(db, actor, "identity.grant_role")
    with transaction.atomic(using=db):
        user = _held_still(db, user_id)
        held = roles(db, user_id)
        if actor.id == user.reference:
            raise errors.OwnRole
        if role in held:
            raise errors.RoleHeld(role=role)
        if (other := conflict(role, held)) is not None:
            raise errors.RolesConflict(role=role, held=other)
        if role == Role.CUSTOMER and not user.customer_number:
            raise errors.CustomerNumberMissing
        _change(db, user, role, held=True, reason=reason, actor=actor, now=now)


def withdraw(db: Db, user_id: int, role: Role, *, reason: str, actor: Actor, now: datetime) -> None:
    """Take a role from a user. It is gone with their next request."""
    access.require(db, actor, "identity.withdraw_role")
    with transaction.atomic(using=db):
        user = _held_still(db, user_id)
        if actor.id == user.reference:
            raise errors.OwnRole
        if role not in roles(db, user_id):
            raise errors.RoleNotHeld(role=role)
        _change(db, user, role, held=False, reason=reason, actor=actor, now=now)


def create_administrator(
    db: Db, username: str, *, name: str, password: str | None, actor: Actor, now: datetime
) -> User:
    """Make the first administrator. Refused once there is one: later ones are granted by another."""
    access.require(db, actor, "identity.grant_role")
    with transaction.atomic(using=db):
        # Two first administrators at one moment would each see none.
        _lock_first_administrator(db)
        if any(Role.ADMINISTRATOR in person.roles and person.is_active for person in _people(db)):
            raise errors.AdministratorExists
        user = create(db, username, name=name, password=password, actor=actor, now=now)
        grant(db, user.pk, Role.ADMINISTRATOR, reason="The first administrator.", actor=actor, now=now)
    return user


def record_sign_in(db: Db, user: User, *, method: str, now: datetime) -> None:
    """Write down that someone signed in, and how."""
    with transaction.atomic(using=db):
        log.append(db, "identity.signed_in", {"method": method}, actor=user.reference, at=now)


def _held_still(db: Db, user_id: int) -> User:
    # Two changes of one person's roles, each judged without the other, could leave a conflicting pair.
    return User.objects.using(db).select_for_update().get(pk=user_id)


def _lock_first_administrator(db: Db) -> None:
    with connections[db].cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(hashtext('identity.create_administrator'))")


def _change(db: Db, user: User, role: Role, *, held: bool, reason: str, actor: Actor, now: datetime) -> None:
    RoleChange(user=user, role=role, held=held, reason=reason, actor=actor.id, at=now).save(using=db)
    log.append(
        db,
        "identity.role_granted" if held else "identity.role_withdrawn",
        {"user": user.reference, "role": str(role), "reason": reason},
        actor=actor.id,
        at=now,
    )

"""API tokens: with one, a program acts as one person, for as long as it was given and no longer.

Promises: a token is a secret of 256 bits, shown once, of which only the hash is kept; it can do what its
user may do at the moment of the request, or less where it was issued for fewer roles; a user made
inactive, a role withdrawn or the token revoked is felt by the next request.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, connections, transaction

from tallystick.core import chance
from tallystick.core.db import Db
from tallystick.evidence import log
from tallystick.identity import access, errors
from tallystick.identity.access import Actor
from tallystick.identity.models import ApiToken, ApiTokenRevocation
from tallystick.identity.roles import Role

PREFIX = "tly_"
"""What every token begins with, so that a scanner of files knows one when it sees it."""

LIFE = timedelta(days=90)
LIFE_MAX = timedelta(days=366)

_FORM = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")


@dataclass(frozen=True, slots=True)
class Token:
    """A token as lists show it: never the secret itself."""

    id: int
    reference: str
    username: str
    name: str
    roles: frozenset[Role] | None
    issued_by: str
    issued_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


def actor(db: Db, token: str, *, now: datetime) -> Actor:
    """Whom this token speaks for. Raises `ApiTokenUnknown`, `ApiTokenRevoked` or `ApiTokenExpired`."""
    if _FORM.fullmatch(token) is None:
        raise errors.ApiTokenUnknown
    with connections[db].cursor() as cursor:
        # One statement: this runs before every request of a program.
        cursor.execute(_SPEAKS_FOR, [_hash(token)])
        row = cursor.fetchone()
    if row is None:
        raise errors.ApiTokenUnknown
    user_id, username, name, customer_number, is_active, narrowed, expires_at, revoked, held = row
    if revoked:
        raise errors.ApiTokenRevoked
    if now >= expires_at:
        raise errors.ApiTokenExpired
    roles = frozenset(Role(role) for role in held) if is_active else frozenset()
    if narrowed is not None:
        roles &= frozenset(Role(role) for role in narrowed)
    return Actor(id=f"usr_{user_id}", name=name or username, roles=roles, customer_number=customer_number)


def tokens(db: Db, *, actor: Actor) -> Sequence[Token]:
    """Every token there ever was, the newest first."""
    access.require(db, actor, "identity.read_api_tokens")
    rows = ApiToken.objects.using(db).select_related("user", "revocation").order_by("-id")
    return [
        Token(
            id=row.pk,
            reference=row.reference,
            username=row.user.username,
            name=row.name,
            roles=None if row.roles is None else frozenset(Role(role) for role in row.roles),
            issued_by=row.actor,
            issued_at=row.at,
            expires_at=row.expires_at,
            revoked_at=row.revocation.at if hasattr(row, "revocation") else None,
        )
        for row in rows
    ]


def issue(
    db: Db,
    user_id: int,
    name: str,
    *,
    roles: Collection[Role] | None = None,
    life: timedelta = LIFE,
    actor: Actor,
    now: datetime,
) -> str:
    """A token that speaks for this user, in these roles of theirs only. Shown now and never again."""
    access.require(db, actor, "identity.issue_api_token")
    assert timedelta(0) < life <= LIFE_MAX, "a token does not live for ever"
    token = PREFIX + chance.token()
    assert _FORM.fullmatch(token), "a token has the form that is looked for"
    with transaction.atomic(using=db):
        row = ApiToken(
            user_id=user_id,
            name=name,
            token_hash=_hash(token),
            roles=None if roles is None else sorted(roles),
            actor=actor.id,
            at=now,
            expires_at=now + life,
        )
        row.save(using=db)
        log.append(
            db,
            "identity.api_token_issued",
            {
                "user": f"usr_{user_id}",
                "token": row.reference,
                "name": name,
                "roles": None if roles is None else sorted(str(role) for role in roles),
                "expires_at": row.expires_at.isoformat(),
            },
            actor=actor.id,
            at=now,
        )
    return token


def revoke(db: Db, token_id: int, reason: str, *, actor: Actor, now: datetime) -> None:
    """End a token. The next request with it is turned away."""
    access.require(db, actor, "identity.revoke_api_token")
    with transaction.atomic(using=db):
        found = ApiToken.objects.using(db).filter(pk=token_id).first()
        if found is None:
            raise errors.ApiTokenNotFound(token=f"tok_{token_id}")
        try:
            with transaction.atomic(using=db):
                ApiTokenRevocation(token=found, reason=reason, actor=actor.id, at=now).save(
                    using=db, force_insert=True
                )
        except IntegrityError as second:
            raise errors.ApiTokenAlreadyRevoked(token=found.reference) from second
        log.append(
            db,
            "identity.api_token_revoked",
            {"token": found.reference, "reason": reason},
            actor=actor.id,
            at=now,
        )


_SPEAKS_FOR = """
select u.id, u.username, u.name, u.customer_number, u.is_active, t.roles, t.expires_at,
    r.token_id is not null,
    array(
        select last.role from (
            select distinct on (c.role) c.role, c.held from identity_role_change c
            where c.user_id = u.id order by c.role, c.id desc
        ) last where last.held
    )
from identity_api_token t
join identity_user u on u.id = t.user_id
left join identity_api_token_revocation r on r.token_id = t.id
where t.token_hash = %s
"""


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()

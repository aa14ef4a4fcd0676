"""Sign-in links: each signs one person in, once, for a short time.

Promises: the token is a secret of 256 bits of which only the hash is kept; a second use is stopped by
a primary key, not by a check; issuing and using one are events.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from tallystick.core import chance
from tallystick.core.db import Db
from tallystick.evidence import log
from tallystick.identity import access, errors
from tallystick.identity.access import Actor
from tallystick.identity.models import SignInLink, SignInLinkUse, User

LIFE = timedelta(minutes=15)
"""How long a link works, unless its issuer says otherwise."""

LIFE_MAX = timedelta(days=1)


def holder(db: Db, token: str, *, now: datetime) -> User:
    """The person this token would sign in. Uses nothing up."""
    return _link(db, token, now=now).user


def issue(db: Db, user_id: int, *, life: timedelta = LIFE, actor: Actor, now: datetime) -> str:
    """A token that signs this user in once. It is shown now and never again."""
    access.require(db, actor, "identity.issue_sign_in_link")
    assert timedelta(0) < life <= LIFE_MAX, "a sign-in link is short-lived"
    token = chance.token()
    with transaction.atomic(using=db):
        link = SignInLink(
            user_id=user_id, token_hash=_hash(token), actor=actor.id, at=now, expires_at=now + life
        )
        link.save(using=db)
        log.append(
            db,
            "identity.sign_in_link_issued",
            {"user": f"usr_{user_id}", "link": str(link.pk), "expires_at": link.expires_at.isoformat()},
            actor=actor.id,
            at=now,
        )
    return token


def use(db: Db, token: str, *, now: datetime) -> User:
    """Use the link up and say whom it signs in."""
    with transaction.atomic(using=db):
        link = _link(db, token, now=now)
        try:
            with transaction.atomic(using=db):
                SignInLinkUse(link=link, at=now).save(using=db, force_insert=True)
        except IntegrityError as second_use:
            raise errors.LinkUsed from second_use
        log.append(
            db, "identity.sign_in_link_used", {"link": str(link.pk)}, actor=link.user.reference, at=now
        )
    return link.user


def _link(db: Db, token: str, *, now: datetime) -> SignInLink:
    link = SignInLink.objects.using(db).select_related("user").filter(token_hash=_hash(token)).first()
    if link is None or not link.user.is_active:
        raise errors.LinkUnknown
    if SignInLinkUse.objects.using(db).filter(link=link).exists():
        raise errors.LinkUsed
    if now >= link.expires_at:
        raise errors.LinkExpired
    return link


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()

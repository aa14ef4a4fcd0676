"""Keys: what signs the logs' checkpoints, where it is kept, and how it is replaced.

Promises: a secret key is at rest only sealed under the installation's secret, or not here at all but in a
device; every key that was ever taken into use stays known, with the sizes it may have signed; a replacement
is an entry in both logs, signed once more by the old key unless that key is given up as compromised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import connections, transaction
from django.utils.module_loading import import_string

from tallystick.core import chance
from tallystick.core.db import Db
from tallystick.evidence import canonical, errors, hashing, log, notes
from tallystick.evidence.models import Checkpoint, Key, KeyChange, Log

LEDGER, PUBLIC = 1, 2

LOGS = {"ledger": LEDGER, "public": PUBLIC}
"""The logs by name. The ledger's is for the bank and the regulator; the public one is for everybody."""

LOCK = 1_952_541_805
"""With a log's number: held by whoever adds to it, or changes what signs it, until the commit."""

_NONCE = 12
_PURPOSE = b"tallystick log keys, version 1"


class Keeper(Protocol):
    """Where secret keys are kept. One that is a device (an HSM) makes them there and never hands them out.

    TALLYSTICK_LOG_KEEPER names another one than the home: `package.module.Class`, made without arguments.
    """

    name: str

    def make(self, about: str) -> tuple[bytes, bytes | None]:
        """A new Ed25519 key: its public half, and the sealed secret where this keeper leaves it with us."""
        ...

    def secret(self, public: bytes, sealed: bytes | None, about: str) -> notes.SecretKey:
        """The key again, to sign with."""
        ...


class Home:
    """Keeps keys in the database, sealed: a backup without the installation's secret signs nothing."""

    name = "home"

    def make(self, about: str) -> tuple[bytes, bytes | None]:
        key = Ed25519PrivateKey.generate()
        nonce = chance.salt()[:_NONCE]
        sealed = AESGCM(_sealing_keys()[0]).encrypt(nonce, key.private_bytes_raw(), about.encode())
        return key.public_key().public_bytes_raw(), nonce + sealed

    def secret(self, public: bytes, sealed: bytes | None, about: str) -> notes.SecretKey:
        assert sealed is not None, "a key of the home's is sealed beside its public half"
        for key in _sealing_keys():
            try:
                seed = AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], about.encode())
            except InvalidTag:
                continue
            secret = notes.Ed25519Secret(seed)
            if secret.public == public:
                return secret
        raise errors.KeyUnsealable(origin=about)


def _sealing_keys() -> list[bytes]:
    secrets = [str(secret).encode() for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]
    return [HKDF(SHA256(), 32, salt=None, info=_PURPOSE).derive(secret) for secret in secrets]


@dataclass(frozen=True, slots=True)
class Kept:
    """A key and when it signs: checkpoints that follow one of `since` entries or more, before `until`."""

    key: notes.Key
    keeper: str
    since: int
    until: int | None
    is_compromised: bool

    def signs_after(self, size: int) -> bool:
        """Whether it signs the checkpoint that follows the one of this size.

        A retired key signs one more, beside its successor: whoever knows the old one learns the new one there.
        """
        if size < self.since:
            return False
        if self.until is None:
            return True
        return size < self.until or (size == self.until and not self.is_compromised)


def kept(db: Db, log_id: int) -> list[Kept]:
    """Every key of a log, in the order they were made."""
    found = []
    for key in Key.objects.using(db).filter(log_id=log_id).defer("sealed").order_by("id"):
        since, until, is_compromised = 0, None, False
        for change in KeyChange.objects.using(db).filter(key_id=key.pk).order_by("id"):
            if change.status == "signing":
                since = change.from_size
            else:
                until, is_compromised = change.from_size, change.status == "compromised"
        found.append(Kept(notes.parse_key(key.text), key.keeper, since, until, is_compromised))
    return found


def verifiers(db: Db, log_id: int, *, after: int | None = None) -> list[notes.Verifier]:
    """Who checks the log's signatures: of the checkpoint that follows one of `after` entries, or of any."""
    return [notes.verifier(each.key) for each in kept(db, log_id) if after is None or each.signs_after(after)]


def signers(db: Db, log_id: int, *, after: int) -> list[notes.Signer]:
    """Who signs the checkpoint that follows the one of `after` entries. Raises `errors.KeyUnsealable`."""
    signing = {each.key.text for each in kept(db, log_id) if each.signs_after(after)}
    found = []
    for key in Key.objects.using(db).filter(log_id=log_id, text__in=signing).order_by("-id"):
        public = notes.parse_key(key.text)
        secret = _keeper(key.keeper).secret(
            public.public, None if key.sealed is None else bytes(key.sealed), public.name
        )
        found.append(notes.Signer(public.name, secret))
    return found


def is_open(db: Db) -> bool:
    """Whether the logs were opened."""
    return Log.objects.using(db).filter(id=PUBLIC).exists()


def open_logs(db: Db, origin: str, *, suite: str = "sha-256", actor: str, now: datetime) -> bool:
    """Both logs, each with its first key, where they are not there yet. Returns whether they were made.

    origin: what their names begin with, for ever: a name of the platform's that no other log has.
    """
    with transaction.atomic(using=db):
        for log_id in LOGS.values():
            _lock(db, log_id)
        if is_open(db):
            return False
        assert suite in hashing.SUITES, f"there is no suite {suite}"
        for name, log_id in LOGS.items():
            Log.objects.using(db).create(id=log_id, origin=f"{origin}/{name}", suite=suite, opened_at=now)
            key = _made(db, log_id, f"{origin}/{name}", 0, actor=actor, now=now, reason="The log was opened.")
            told = {"log": name, "origin": f"{origin}/{name}", "suite": suite, "key": key.text}
            log.append(db, "evidence.log_opened", told, actor=actor, at=now)
    return True


def rotate(
    db: Db, log_id: int, *, reason: str, is_compromised: bool = False, actor: str, now: datetime
) -> notes.Key:
    """A new key in place of those that sign; the change is an entry of both logs. Returns the new key.

    Where the old one is compromised it signs nothing more, and the new one has to be told to whoever checks by
    another way than the log.
    """
    with transaction.atomic(using=db):
        _lock(db, log_id)
        origin = Log.objects.using(db).get(id=log_id).origin
        newest = Checkpoint.objects.using(db).filter(log_id=log_id).order_by("-size").first()
        size = newest.size if newest else 0
        old = [each for each in kept(db, log_id) if each.until is None]
        for each in old:
            KeyChange.objects.using(db).create(
                key=Key.objects.using(db).defer("sealed").get(text=each.key.text),
                status="compromised" if is_compromised else "retired",
                from_size=size,
                at=now,
                actor=actor,
                reason=reason,
            )
        key = _made(db, log_id, origin, size, actor=actor, now=now, reason=reason)
        told: canonical.Payload = {
            "log": next(name for name, number in LOGS.items() if number == log_id),
            "origin": origin,
            "key": key.text,
            "replaces": [each.key.text for each in old],
            "from_size": str(size),
            "compromised": is_compromised,
            "reason": reason,
        }
        log.append(db, "evidence.key_rotated", told, actor=actor, at=now)
    return key


def _made(
    db: Db, log_id: int, origin: str, size: int, *, actor: str, now: datetime, reason: str
) -> notes.Key:
    keeper = _keeper(settings.LOG_KEEPER)
    public, sealed = keeper.make(origin)
    key = notes.Key(origin, notes.ED25519, public)
    row = Key.objects.using(db).create(
        log_id=log_id, text=key.text, keeper=keeper.name, sealed=sealed, made_at=now
    )
    KeyChange.objects.using(db).create(
        key=row, status="signing", from_size=size, at=now, actor=actor, reason=reason
    )
    return key


def _keeper(name: str) -> Keeper:
    if name == Home.name:
        return Home()
    keeper: Keeper = import_string(name)()
    assert keeper.name == name, "a keeper's name is where it is imported from"
    return keeper


def _lock(db: Db, log_id: int) -> None:
    with connections[db].cursor() as cursor:
        cursor.execute("select pg_advisory_xact_lock(%s, %s)", [LOCK, log_id])


def names(log_ids: Sequence[int]) -> list[str]:
    """The names of these logs."""
    return [name for name, number in LOGS.items() if number in log_ids]

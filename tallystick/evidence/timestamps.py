"""Time stamps: an outside authority's word (RFC 3161) that a checkpoint existed at a time. An option.

Promises: what is stamped is kept with its token, so that the two verify offline with the authority's root
certificate alone; the chain is judged at the time the token names, the nonce asked with is required, and a
token of another message, another nonce or another root is refused with the reason. Nothing is kept that does
not verify.
"""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from django.db import transaction
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from tallystick.core.db import Db
from tallystick.evidence import errors, log
from tallystick.evidence import models as tables

ANSWER_BYTES_MAX = 64 * 1024
ANSWER_SECONDS_MAX = 20
CLOCKS_APART_MAX = timedelta(minutes=10)
"""How far the authority's clock may be from ours before its word is not taken."""


@dataclass(frozen=True, slots=True)
class Authority:
    """Whom to ask, and by whose certificates its word is believed."""

    url: str
    roots: tuple[x509.Certificate, ...]

    @staticmethod
    def of(url: str, roots: str | Path) -> Authority:
        """An authority by its address and a PEM file of root certificates. Raises `errors.AuthorityUnset`."""
        if not url.startswith(("http://", "https://")) or not str(roots):
            raise errors.AuthorityUnset
        try:
            found = x509.load_pem_x509_certificates(Path(roots).read_bytes())
        except (OSError, ValueError) as wrong:
            raise errors.AuthorityUnset from wrong
        return Authority(url, tuple(found))


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A token and what it is over."""

    id: int
    subject: str
    message: bytes
    authority: str
    nonce: int
    token: bytes
    gen_time: datetime
    at: datetime

    @property
    def reference(self) -> str:
        """The time stamp's id as shown outside."""
        return f"tst_{self.id}"


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────


def verify(token: bytes, message: bytes, *, nonce: int, roots: Sequence[x509.Certificate]) -> datetime:
    """The time that this token gives this message. Needs no network and no clock.

    Raises `errors.TimestampWrong` with the reason.
    """
    told = _decoded(token)
    # Asked here too: the library takes an absent nonce for "do not look".
    if told.tst_info.nonce != nonce:
        raise errors.TimestampWrong(reason="it answers another question: the nonce differs")
    builder = VerifierBuilder(nonce=nonce, roots=list(roots))
    try:
        # The chain is judged at the time the token names (genTime), by the hash it names.
        builder.build().verify_message(told, message)
    except (VerificationError, ValueError) as wrong:
        raise errors.TimestampWrong(reason=str(wrong)[:200]) from wrong
    return told.tst_info.gen_time


def _decoded(token: bytes) -> TimeStampResponse:
    try:
        return decode_timestamp_response(token)
    except ValueError as wrong:
        raise errors.TimestampWrong(reason=f"it is no answer of RFC 3161: {wrong}"[:200]) from wrong


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def timestamps(db: Db, *, subject: str | None = None, limit: int = 100) -> Sequence[Timestamp]:
    """The time stamps there are, the newest first."""
    rows = tables.Timestamp.objects.using(db).order_by("-id")
    if subject is not None:
        rows = rows.filter(subject=subject)
    return [
        Timestamp(
            row.pk,
            row.subject,
            bytes(row.message),
            row.authority,
            int(row.nonce),
            bytes(row.token),
            row.gen_time,
            row.at,
        )
        for row in rows[:limit]
    ]


def checkpoint(db: Db, log_id: int) -> tuple[str, bytes]:
    """A log's newest checkpoint as it is stamped: its name, and the note with the log's own signatures.

    Raises `errors.CheckpointUnknown`.
    """
    newest = tables.Checkpoint.objects.using(db).filter(log_id=log_id).order_by("-size").first()
    if newest is None:
        raise errors.CheckpointUnknown(size=0)
    origin = tables.Log.objects.using(db).get(id=log_id).origin
    return f"checkpoint {origin} {newest.size}"[:200], newest.note.encode()


# ── action ───────────────────────────────────────────────────────────────────────────────────────────────


def stamp(db: Db, subject: str, message: bytes, *, authority: Authority, by: str, now: datetime) -> Timestamp:
    """Ask the authority, verify what it says, and keep it. One call over the network, outside of any transaction.

    Raises `errors.AuthoritySilent` or `errors.TimestampWrong`; then nothing is kept.
    """
    request = (
        TimestampRequestBuilder()
        .data(message)
        .hash_algorithm(HashAlgorithm.SHA256)
        .nonce(nonce=True)
        .cert_request(cert_request=True)
        .build()
    )
    nonce = request.nonce
    assert nonce is not None, "a nonce was asked for"
    token = _ask(authority.url, request.as_bytes())
    gen_time = verify(token, message, nonce=nonce, roots=authority.roots)
    if abs(gen_time - now) > CLOCKS_APART_MAX:
        raise errors.TimestampWrong(reason=f"its clock says {gen_time.isoformat()}, ours {now.isoformat()}")
    with transaction.atomic(using=db):
        row = tables.Timestamp(
            subject=subject,
            message=message,
            authority=authority.url[:200],
            nonce=str(nonce),
            token=token,
            gen_time=gen_time,
            at=now,
        )
        row.save(using=db, force_insert=True)
        log.append(
            db,
            "evidence.timestamped",
            {
                "timestamp": f"tst_{row.pk}",
                "subject": subject,
                "authority": row.authority,
                "sha256": hashlib.sha256(message).hexdigest(),
                "gen_time": gen_time.isoformat(),
            },
            actor=by,
            at=now,
        )
    return Timestamp(row.pk, subject, message, row.authority, nonce, token, gen_time, now)


def _ask(url: str, question: bytes) -> bytes:
    asked = urllib.request.Request(  # noqa: S310 -- the scheme was looked at when the authority was named
        url, data=question, headers={"Content-Type": "application/timestamp-query"}, method="POST"
    )
    try:
        with urllib.request.urlopen(asked, timeout=ANSWER_SECONDS_MAX) as answer:  # noqa: S310
            token: bytes = answer.read(ANSWER_BYTES_MAX + 1)
    except (urllib.error.URLError, http.client.HTTPException, OSError) as silent:
        raise errors.AuthoritySilent(reason=str(silent)[:200]) from silent
    if len(token) > ANSWER_BYTES_MAX:
        raise errors.AuthoritySilent(reason="its answer is too long")
    return token

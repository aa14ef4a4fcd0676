"""Notices: what a client is told before a payout is ordered, and that they have read it.

Promises: there is always a notice, the house's own until a book publishes another; a version is published by
two people and never changed; an acknowledgement is of one version's exact words, by the client alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connections, transaction

from tallystick.core.db import Db
from tallystick.custody import books, errors
from tallystick.custody.payout_models import PayoutNotice
from tallystick.evidence import canonical, log
from tallystick.identity import access, approvals
from tallystick.identity.access import Actor
from tallystick.identity.approvals import ApprovalId

KIND = "custody.publish_payout_notice"
TEXT_MAX = 6_000

STANDARD_EN = (
    "Payouts go to your own bank account, in your own name, and to no one else. The amount is held on your account"
    " as soon as you order, and leaves with the next payment run of a business day. You can cancel until the payout"
    " is released. After a change of your bank details payouts wait for a while, to protect you. Nobody from the"
    " platform, the bank or an authority will ever ask you to pay money out to a “safe account”, or to tell them a"
    " code: whoever does is a fraudster. A payout that the receiving bank turns down comes back to your account."
)
STANDARD_ZH = (
    "提现只会转入您本人名下的银行账户，不会转给其他任何人。下单后相应金额立即在您的账户中冻结，并在下一个工作日批次中付出。"
    "放行之前您可以随时取消。变更银行账户信息后，提现会暂停一段时间，以保护您的资金安全。平台、银行或任何机关的工作人员"
    "都不会要求您把钱转到所谓“安全账户”，也不会索要验证码：凡有此要求的都是诈骗。被收款行退回的款项会自动退回您的账户。"
)


@dataclass(frozen=True, slots=True)
class Notice:
    """A version of the notice. Version 0 is the house's own."""

    version: int
    en: str
    zh: str
    at: datetime | None = None
    proposed_by: str = ""
    approved_by: str = ""

    @property
    def digest(self) -> bytes:
        """SHA-256 of both texts."""
        return hashlib.sha256(self.en.encode() + b"\0" + self.zh.encode()).digest()


STANDARD = Notice(0, STANDARD_EN, STANDARD_ZH)


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """That a client has read a version."""

    id: int
    version: int
    language: str
    at: datetime


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def current(db: Db, book: int) -> Notice:
    """The notice that a client of this book is shown now."""
    return next(iter(published(db, book)), STANDARD)


def published(db: Db, book: int) -> Sequence[Notice]:
    """The notices a book has published, the newest first."""
    rows = PayoutNotice.objects.using(db).filter(book_id=book).order_by("-version")[:200]
    return [Notice(row.version, row.en, row.zh, row.at, row.proposed_by, row.actor) for row in rows]


def acknowledged(db: Db, book: int, owner: str) -> Acknowledgement | None:
    """The client's acknowledgement of the current notice, if they have read that one."""
    notice = current(db, book)
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select id, version, language, at from custody_payout_acknowledgement"
            " where book_id = %s and owner = %s and version = %s and digest = %s",
            [book, owner, notice.version, notice.digest],
        )
        row = cursor.fetchone()
    return None if row is None else Acknowledgement(*row)


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────


def acknowledge(
    db: Db, book: int, owner: str, version: int, *, language: str, actor: Actor, now: datetime
) -> Acknowledgement:
    """Write down that the client has read this version, which must be the current one; twice is once.

    Raises `errors.NoticeNotCurrent`.
    """
    access.require(db, actor, "custody.acknowledge_payout_notice", owner=owner)
    notice = current(db, book)
    if version != notice.version:
        raise errors.NoticeNotCurrent(version=notice.version)
    if not 1 <= len(language) <= 16:
        raise errors.Malformed(where="acknowledgement", field="language", expected="a language")
    with transaction.atomic(using=db):
        with connections[db].cursor() as cursor:
            cursor.execute(
                "insert into custody_payout_acknowledgement (book_id, owner, version, digest, language, at, actor)"
                " values (%s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
                [book, owner, notice.version, notice.digest, language, now, actor.id],
            )
            fresh = cursor.rowcount == 1
        if fresh:
            log.append(
                db,
                "custody.payout_notice_acknowledged",
                {
                    "book": book,
                    "owner": owner,
                    "version": version,
                    "digest": notice.digest.hex(),
                    "language": language,
                },
                actor=actor.id,
                at=now,
            )
    found = acknowledged(db, book, owner)
    assert found is not None
    return found


def propose(db: Db, book: int, en: str, zh: str, *, actor: Actor, now: datetime) -> ApprovalId:
    """Propose the next version, in both languages. Raises `errors.BookUnknown` or `Malformed`."""
    books.book(db, book)
    for field, text in (("en", en), ("zh", zh)):
        if not 1 <= len(text.strip()) <= len(text) <= TEXT_MAX:
            raise errors.Malformed(where="payout notice", field=field, expected=f"1 to {TEXT_MAX} characters")
    return approvals.propose(
        db, KIND, f"book {book}", _state(db, book, en, zh), book=book, actor=actor, now=now
    )


def approve(db: Db, approval_id: int, *, actor: Actor, now: datetime) -> Notice:
    """Publish a proposed version: from now on every client acknowledges it before their next order."""
    proposed = approvals.of_kind(db, approval_id, KIND)
    book, en, zh = int(str(proposed.state["book"])), str(proposed.state["en"]), str(proposed.state["zh"])
    with transaction.atomic(using=db):
        with connections[db].cursor() as cursor:
            cursor.execute("select pg_advisory_xact_lock(hashtext(%s))", [f"custody.payout_notice {book}"])
        told = _state(db, book, en, zh)
        approvals.approve(db, approval_id, told, actor=actor, now=now)
        notice = Notice(int(str(told["version"])), en, zh, now, proposed.made_by, actor.id)
        PayoutNotice(
            book_id=book,
            version=notice.version,
            en=en,
            zh=zh,
            approval_id=approval_id,
            proposed_by=proposed.made_by,
            actor=actor.id,
            at=now,
        ).save(using=db, force_insert=True)
        log.append(
            db,
            "custody.payout_notice_published",
            {
                "book": book,
                "version": notice.version,
                "digest": notice.digest.hex(),
                "proposed_by": proposed.made_by,
            },
            actor=actor.id,
            at=now,
        )
    return notice


def _state(db: Db, book: int, en: str, zh: str) -> canonical.Payload:
    return {"book": book, "version": current(db, book).version + 1, "en": en, "zh": zh}

"""Postings: what a payout's status asks of the ledger, asked once.

Promises: the status is committed before the ledger is asked, and the transfer's id follows from the payout
and the step; so whatever breaks in between, asking again gives the first answer, and `advance` asks again. Money
that comes back to an account that can take none goes to suspense, never nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid5

from django.db import connections, transaction

from tallystick.core.db import Db
from tallystick.custody import ledger, numbers
from tallystick.custody.codes import Code
from tallystick.custody.numbers import BookId, Family
from tallystick.custody.payout_models import PayoutStatus, PostingStep
from tallystick.custody.payout_references import end_to_end_id
from tallystick.custody.payouts import steps
from tallystick.custody.transfers import TransferRequest
from tallystick.identity import approvals
from tallystick.identity.access import Actor

ACTOR = Actor.system("pulse")
"""The ledger is asked by the house itself: the client's word is the authorisation that the transfer names."""

OWED_MAX = 500
"""The most transfers asked for at once."""


@dataclass(frozen=True, slots=True)
class Owed:
    """A transfer that a payout's status asks for and the ledger has not been asked for yet."""

    payout: int
    book: int
    step: PostingStep
    debit_account: int
    credit_account: int
    amount_minor: int
    returned_minor: int | None
    authorisation: int
    payee: str
    needs_release: bool


@dataclass(frozen=True, slots=True)
class Posting:
    """A transfer that was asked for: where it stands in the book, or why the ledger refused."""

    step: PostingStep
    transfer_id: UUID
    position: int | None
    refusal: str
    at: datetime


def transfer_id(payout_id: int, step: PostingStep | str) -> UUID:
    """The id of a payout's transfer: the same whoever asks, and however often."""
    return uuid5(NAMESPACE_URL, f"urn:tallystick:payout:{payout_id}:{step}")


def postings(db: Db, payout_id: int) -> Sequence[Posting]:
    """The transfers of a payout, the first one first."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select step, transfer_id, position, refusal, at from custody_payout_posting"
            " where payout_id = %s order by id",
            [payout_id],
        )
        return [Posting(PostingStep(row[0]), *row[1:]) for row in cursor.fetchall()]


def refused(db: Db, book: int) -> Sequence[tuple[int, Posting]]:
    """Payouts whose status the ledger would not follow (a hold refused is no such thing): somebody must look."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select g.payout_id, g.step, g.transfer_id, g.position, g.refusal, g.at from custody_payout_posting g"
            " join custody_payout p on p.id = g.payout_id"
            " where p.book_id = %s and g.position is null and g.step <> 'hold' order by g.id desc limit 100",
            [book],
        )
        return [(row[0], Posting(PostingStep(row[1]), *row[2:])) for row in cursor.fetchall()]


def owed(db: Db, book: int, payout_id: int | None = None, *, limit: int = OWED_MAX) -> list[Owed]:
    """What the ledger is still to be asked for, in the order it came to be owed."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select p.id, p.book_id, s.step, p.debit_account, p.credit_account, p.amount_minor, r.amount_minor,
                p.authorisation, c.bank_name || ' …' || c.last4, p.needs_release
            from (
                -- First what is asked of one index alone: the few that have no posting.
                select s.id, s.payout_id, s.status, o.step from custody_payout_step s
                cross join lateral (select case s.status when 'asked' then 'hold' when 'settled' then 'settle'
                    when 'returned' then 'return' else 'void' end as step) o
                where s.status in ('asked', 'settled', 'cancelled', 'declined', 'rejected', 'returned')
                    and (%(payout)s::bigint is null or s.payout_id = %(payout)s)
                    and not exists (
                        select from custody_payout_posting g where g.payout_id = s.payout_id and g.step = o.step)
                offset 0
            ) s
            join custody_payout p on p.id = s.payout_id
            join custody_bank_account_change c on c.id = p.bank_details_id
            left join custody_payout_report_line r
                on s.status = 'returned' and r.payout_id = p.id and r.code = 'RTRN' and r.outcome = 'applied'
            where p.book_id = %(book)s order by s.id limit %(limit)s
            """,
            {"book": book, "payout": payout_id, "limit": limit},
        )
        return [Owed(row[0], row[1], PostingStep(row[2]), *row[3:]) for row in cursor.fetchall()]


def advance(db: Db, book: int, *, payout_id: int | None = None, now: datetime) -> int:
    """Ask the ledger for what is owed, and take each payout on by the answer. Returns how much was asked for."""
    due = owed(db, book, payout_id)
    if not due:
        return 0
    results = ledger.post(db, BookId(book), [_request(each) for each in due], actor=ACTOR, now=now)
    for i, each in enumerate(due):
        refusal = results.refusal_of(i)
        position, used = (
            (int(results.position[i]), transfer_id(each.payout, each.step))
            if refusal is None
            else (None, None)
        )
        if refusal is not None and each.step == PostingStep.RETURN:
            position, used = _to_suspense(db, each, now)
        _record(
            db,
            each,
            used or transfer_id(each.payout, each.step),
            position,
            "" if position is not None or refusal is None else refusal.code,
            now=now,
        )
    return len(due)


def _request(each: Owed) -> TransferRequest:
    reference = end_to_end_id(each.book, each.payout)
    its_id = str(transfer_id(each.payout, each.step))
    hold = str(transfer_id(each.payout, PostingStep.HOLD))
    debit, credit = numbers.account_text(each.debit_account), numbers.account_text(each.credit_account)
    match each.step:
        case PostingStep.HOLD:
            return TransferRequest(
                id=its_id,
                kind="pending",
                debit_account=debit,
                credit_account=credit,
                amount_minor=each.amount_minor,
                code=Code.WITHDRAWAL.text,
                authorisation=numbers.authorisation_text(each.authorisation),
                reference=reference,
                payee=each.payee,
            )
        case PostingStep.SETTLE:
            return TransferRequest(id=its_id, kind="post_pending", pending_id=hold, reference=reference)
        case PostingStep.VOID:
            return TransferRequest(id=its_id, kind="void_pending", pending_id=hold, reference=reference)
        case PostingStep.RETURN:
            assert each.returned_minor is not None, "a return says how much came back"
            return TransferRequest(
                id=its_id,
                debit_account=credit,
                credit_account=debit,
                amount_minor=each.returned_minor,
                code=Code.PAYOUT_RETURN.text,
                reference=reference,
            )


def _to_suspense(db: Db, each: Owed, now: datetime) -> tuple[int | None, UUID | None]:
    """The client's account takes nothing now (closed, frozen): the money waits in suspense, and is told there."""
    suspense = suspense_account(db, each.book, numbers.asset_of(each.credit_account))
    if suspense is None:
        return None, None
    used = transfer_id(each.payout, "return-to-suspense")
    assert each.returned_minor is not None
    results = ledger.post(
        db,
        BookId(each.book),
        [
            TransferRequest(
                id=str(used),
                debit_account=numbers.account_text(each.credit_account),
                credit_account=numbers.account_text(suspense),
                amount_minor=each.returned_minor,
                code=Code.UNIDENTIFIED_RECEIPT.text,
                reference=end_to_end_id(each.book, each.payout),
                reason="A payout came back and the client's account takes no credits.",
            )
        ],
        actor=ACTOR,
        now=now,
    )
    return (int(results.position[0]), used) if results.refusal_of(0) is None else (None, None)


def suspense_account(db: Db, book: int, asset_number: int) -> int | None:
    """The book's first suspense account for this asset."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select min(number) from custody_account where book_id = %s and family = %s and asset_id = %s",
            [book, int(Family.SUSPENSE), asset_number],
        )
        return cursor.fetchone()[0]  # type: ignore[no-any-return]


def _record(db: Db, each: Owed, used: UUID, position: int | None, refusal: str, *, now: datetime) -> None:
    with transaction.atomic(using=db):
        with connections[db].cursor() as cursor:
            cursor.execute(
                "insert into custody_payout_posting (payout_id, step, transfer_id, position, refusal, at)"
                " values (%s, %s, %s, %s, %s, %s) on conflict do nothing",
                [each.payout, each.step, used, position, refusal, now],
            )
            if cursor.rowcount == 0:
                return  # Somebody else was told the same a moment ago.
        if each.step != PostingStep.HOLD:
            return
        steps.hold_still(db, [each.payout])
        if refusal:
            steps.take(db, [each.payout], PayoutStatus.REFUSED, reason=refusal, actor=ACTOR, now=now)
            ended = {"ended": "refused"}
            approvals.void(
                db, steps.RELEASE, f"pay_{each.payout}", ended, reason=refusal, actor=ACTOR, now=now
            )
            return
        steps.take(db, [each.payout], PayoutStatus.PENDING, actor=ACTOR, now=now)
        if not each.needs_release:
            steps.take(db, [each.payout], PayoutStatus.RELEASED, by_rule=True, actor=ACTOR, now=now)

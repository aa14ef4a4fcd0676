"""Steps: a payout's way from one status to the next, each a row with who and why.

Promises: a step is taken from where the payout stands and to where it may go, or not at all, and the database
says so too; two who take a step at once take one. Steps are queue and history: what a status asks of the ledger
is found from them (`postings`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from django.db import connections, transaction

from tallystick.core.db import Db
from tallystick.custody.payout_models import PayoutStatus
from tallystick.evidence import log
from tallystick.identity.access import Actor

_S = PayoutStatus

NEXT: Mapping[PayoutStatus, frozenset[PayoutStatus]] = MappingProxyType(
    {
        _S.ASKED: frozenset({_S.PENDING, _S.REFUSED}),
        _S.PENDING: frozenset({_S.RELEASED, _S.CANCELLED, _S.DECLINED}),
        _S.RELEASED: frozenset({_S.BATCHED, _S.CANCELLED}),
        _S.BATCHED: frozenset({_S.SENT}),
        _S.SENT: frozenset({_S.ACCEPTED, _S.SETTLED, _S.REJECTED}),
        _S.ACCEPTED: frozenset({_S.SETTLED, _S.REJECTED}),
        _S.SETTLED: frozenset({_S.RETURNED}),
        _S.REFUSED: frozenset(),
        _S.CANCELLED: frozenset(),
        _S.DECLINED: frozenset(),
        _S.REJECTED: frozenset(),
        _S.RETURNED: frozenset(),
    }
)
"""Where a payout may go from each status; migration 0003 tells PostgreSQL the same."""

RELEASE = "custody.release_payout"
"""The kind of proposal by which a second person releases a payout; its subject is the payout."""

_LOCK = 1952541810
"""First key of the advisory lock under which a payout takes a step; the second is the payout."""


@dataclass(frozen=True, slots=True)
class Step:
    """One status a payout had, from when, by whom. `approval` is the release's, where two people took it."""

    number: int
    status: PayoutStatus
    by_rule: bool
    approval: int | None
    reason: str
    at: datetime
    actor: str


def steps(db: Db, payout_id: int) -> Sequence[Step]:
    """A payout's way so far, the first step first."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select number, status, by_rule, approval_id, reason, at, actor from custody_payout_step"
            " where payout_id = %s order by number",
            [payout_id],
        )
        return [Step(row[0], PayoutStatus(row[1]), *row[2:]) for row in cursor.fetchall()]


def standing(db: Db, payout_ids: Iterable[int]) -> dict[int, tuple[int, PayoutStatus]]:
    """For each payout the number and the status of its newest step."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select distinct on (payout_id) payout_id, number, status from custody_payout_step"
            " where payout_id = any(%s) order by payout_id, number desc",
            [sorted(set(payout_ids))],
        )
        return {row[0]: (row[1], PayoutStatus(row[2])) for row in cursor.fetchall()}


def hold_still(db: Db, payout_ids: Iterable[int]) -> dict[int, PayoutStatus]:
    """Where these payouts stand, and nobody moves them until the transaction ends. Locks are taken in order."""
    wanted = sorted(set(payout_ids))
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select pg_advisory_xact_lock(%s, (id %% 2147483647)::int)"
            " from (select unnest(%s::bigint[]) as id order by 1) as wanted",
            [_LOCK, wanted],
        )
    return {payout: status for payout, (_, status) in standing(db, wanted).items()}


def take(
    db: Db,
    payout_ids: Sequence[int],
    status: PayoutStatus,
    *,
    by_rule: bool = False,
    approval: int | None = None,
    reason: str = "",
    actor: Actor,
    now: datetime,
) -> None:
    """Take these payouts, held still before, to this status. Each is told in the evidence."""
    assert connections[db].in_atomic_block, "a step stands with what it follows from"
    if not payout_ids:
        return
    before = standing(db, payout_ids)
    with transaction.atomic(using=db), connections[db].cursor() as cursor:
        cursor.execute(
            """
            insert into custody_payout_step (payout_id, number, status, by_rule, approval_id, reason, at, actor)
            select payout, number, %s, %s, %s, %s, %s, %s
            from unnest(%s::bigint[], %s::int[]) as taken (payout, number) order by payout
            """,
            [
                status,
                by_rule,
                approval,
                reason,
                now,
                actor.id,
                list(payout_ids),
                [before[payout][0] + 1 if payout in before else 1 for payout in payout_ids],
            ],
        )
    log.append_many(
        db,
        [
            log.row(
                "custody.payout_moved",
                {
                    "payout": f"pay_{payout}",
                    "from": str(before[payout][1]) if payout in before else None,
                    "to": str(status),
                    "by_rule": by_rule,
                    "approval": None if approval is None else f"apr_{approval}",
                    "reason": reason,
                },
                actor=actor.id,
                at=now,
            )
            for payout in payout_ids
        ],
    )

"""The judge: which transfers of a batch are posted, which refused and why, and what every account has after each.

Promises: deterministic, whole numbers, no database, no clock. Each transfer sees what its predecessors
left. A refused transfer changes nothing; a chain is posted whole or not at all. `at_once` judges a batch as
columns and answers only where all is accepted and the order cannot matter; else `in_order` judges it one by
one. Where both answer, they give the same answer (a property test holds them to it).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tallystick.core.money import AMOUNT_MAX, BALANCE_MAX
from tallystick.custody import errors, interest, transfers
from tallystick.custody.codes import Code
from tallystick.custody.memory import (
    CLOSED,
    CREDITS_FROZEN,
    CREDITS_PENDING,
    CREDITS_POSTED,
    DEBITS_FROZEN,
    DEBITS_PENDING,
    DEBITS_POSTED,
    NO_CEILING,
    Known,
    Memory,
    RefusedBefore,
)
from tallystick.custody.models import AmountRule, TransferKind
from tallystick.custody.numbers import ASSET_UNIT, BOOK_UNIT, FAMILY_UNIT, AuthorisationKind, Family
from tallystick.custody.transfers import Batch

REFUSAL = {refusal: index + 1 for index, refusal in enumerate(errors.TRANSFER_REFUSALS)}
"""A refusal's number in results; 0 is none."""

# As plain numbers: reading an enum's member costs more than comparing it, and these are read for every transfer.
POSTED, PENDING, POST_PENDING, VOID_PENDING, EXPIRE_PENDING = (int(kind) for kind in TransferKind)
CLIENT, OWN = int(Family.CLIENT), int(Family.OWN)
ENTITLEMENT = int(AuthorisationKind.ENTITLEMENT)
EXACT, AT_MOST, FORMULA = (int(rule) for rule in AmountRule)
FEE = int(Code.FEE)

# Which family may pay which. Client to own is settled by the kind of authorisation; own money is otherwise
# paid only to own accounts and out to the bank.
_CROSSES = np.zeros((10, 10), np.bool_)
for _debit in Family:
    for _credit in Family:
        _CROSSES[_debit, _credit] = (_debit == Family.OWN) != (_credit == Family.OWN)
_CROSSES[Family.OWN, Family.EXTERNAL] = False
_CROSSING = _CROSSES.tolist()


@dataclass(slots=True)
class Judgement:
    """What became of each transfer of a batch; row i is transfer i.

    after: totals after it, (debited account, credited account) × (debits posted, credits posted, debits
    pending, credits pending). position, amount and after are 0 where it was refused. A replayed transfer
    carries its first result.
    """

    batch: Batch
    refusal: NDArray[np.int16]
    replayed: NDArray[np.bool_]
    position: NDArray[np.int64]
    amount: NDArray[np.int64]
    recorded_at: NDArray[np.int64]
    after: NDArray[np.int64]
    # As posted: settling transfers take these from the pending one.
    debit: NDArray[np.int64]
    credit: NDArray[np.int64]
    code: NDArray[np.int16]
    authorisation: NDArray[np.int64]
    use: NDArray[np.int64]
    used: NDArray[np.int64]
    pending_position: NDArray[np.int64]
    reverses_position: NDArray[np.int64]
    chain_position: NDArray[np.int64]
    first_position: int
    now: int
    today: int

    @property
    def is_posted(self) -> NDArray[np.bool_]:
        """Posted by this batch: neither refused nor a repetition."""
        posted: NDArray[np.bool_] = (self.refusal == 0) & ~self.replayed
        return posted

    @property
    def is_newly_refused(self) -> NDArray[np.bool_]:
        refused: NDArray[np.bool_] = (self.refusal != 0) & ~self.replayed
        return refused


def content(batch: Batch, i: int) -> bytes:
    """A hash of what was asked, to tell a repetition from another request under the same id."""
    return hashlib.sha256(transfers.request_json(batch, i).encode()).digest()


def at_once(memory: Memory, batch: Batch, now: int, today: int) -> Judgement | None:
    """All transfers accepted, judged as columns; or None, and nothing changed, where one by one is needed.

    now: microseconds since 1970, not before `memory.recorded_at`. today: the book's day, as days since 1970.
    Sound because every limit is tested against the sum of all that could count against it: if the whole
    batch fits when only what lowers an account is counted, every order of it fits.
    """
    if (
        (batch.kind != POSTED).any()
        or batch.linked.any()
        or batch.balancing.any()
        or batch.pending is not None
        or batch.reverses is not None
    ):
        return None
    count = len(batch)
    ids = batch.id_list
    if (
        len(set(ids)) != count
        or not memory.known.keys().isdisjoint(ids)
        or not memory.refused.keys().isdisjoint(ids)
    ):
        return None
    debit, credit, amount, accounts = batch.debit, batch.credit, batch.amount, memory.accounts
    try:
        index = accounts.index
        debit_row = np.fromiter(map(index.__getitem__, debit.tolist()), np.int64, count)
        credit_row = np.fromiter(map(index.__getitem__, credit.tolist()), np.int64, count)
    except KeyError:
        return None
    debit_family = debit // FAMILY_UNIT % 10
    credit_family = credit // FAMILY_UNIT % 10
    if (
        amount.min() < 1
        or amount.max() > AMOUNT_MAX
        or int(amount.max()) * count >= BALANCE_MAX  # a sum that might not fit into 64 bits
        or (debit_row == credit_row).any()
        or (debit // BOOK_UNIT != memory.book).any()
        or (credit // BOOK_UNIT != memory.book).any()
        or (debit // ASSET_UNIT % 10_000 != credit // ASSET_UNIT % 10_000).any()
        or _CROSSES[debit_family, credit_family].any()  # fees too: one by one tells them apart
        or (accounts.flags[debit_row] & (DEBITS_FROZEN | CLOSED)).any()
        or (accounts.flags[credit_row] & (CREDITS_FROZEN | CLOSED)).any()
    ):
        return None

    use, used = np.zeros(count, np.int64), np.zeros(count, np.int64)
    of_client = debit_family == CLIENT
    if ((batch.authorisation != 0) != of_client).any():
        return None
    which = np.flatnonzero(of_client)
    book = memory.authorisations
    if len(which):
        try:
            row = np.fromiter(
                map(book.index.__getitem__, batch.authorisation[which].tolist()), np.int64, len(which)
            )
        except KeyError:
            return None
        asked = amount[which]
        if (
            (book.debit[row] != debit[which]).any()
            or (book.credit[row] != credit[which]).any()
            or book.withdrawn[row].any()
            or (book.valid_from[row] > now).any()
            or (book.valid_until[row] <= now).any()
            or (book.code[row] != batch.code[which]).any()
            or (book.rule[row] == FORMULA).any()
            or (asked > book.amount[row]).any()
            or ((book.rule[row] == EXACT) & (asked != book.amount[row])).any()
        ):
            return None
        if batch.payee is not None or book.has_payee[row].any():
            payee = batch.payee or [None] * count
            if any(
                (payee[i] or "") != book.payee.get(r, "")
                for i, r in zip(which.tolist(), row.tolist(), strict=True)
            ):
                return None
        # Uses in the order of the batch: running count and running sum within each authorisation.
        order = np.argsort(row, kind="stable")
        nth, spent = _running(row[order], np.stack([np.ones(len(row), np.int64), asked[order]], axis=1)).T
        nth, spent = nth + book.uses[row[order]], spent + book.used[row[order]]
        if (nth > book.uses_max[row[order]]).any() or (spent > book.total_max[row[order]]).any():
            return None
        use[which[order]], used[which[order]] = nth, spent

    # Every account's totals after each of its entries: sort the legs by account, add up within each.
    legs = np.concatenate([debit_row, credit_row])
    change = np.zeros((2 * count, 4), np.int64)
    change[:count, DEBITS_POSTED] = amount
    change[count:, CREDITS_POSTED] = amount
    turn = np.arange(count)
    order = np.argsort(legs * count + np.concatenate([turn, turn]), kind="stable")
    sorted_legs = legs[order]
    after_sorted = _running(sorted_legs, change[order]) + accounts.totals[sorted_legs]
    last = np.flatnonzero(np.append(sorted_legs[1:] != sorted_legs[:-1], True))
    touched, end = sorted_legs[last], after_sorted[last]
    before = accounts.totals[touched]

    credit_normal = accounts.is_credit_normal[touched]
    lowered = np.where(credit_normal, end[:, 0] - before[:, 0], end[:, 1] - before[:, 1])
    raised = np.where(credit_normal, end[:, 1] - before[:, 1], end[:, 0] - before[:, 0])
    own_posted = np.where(credit_normal, before[:, 1], before[:, 0])
    other_posted = np.where(credit_normal, before[:, 0], before[:, 1])
    own_pending = np.where(credit_normal, before[:, 3], before[:, 2])
    other_pending = np.where(credit_normal, before[:, 2], before[:, 3])
    if (
        (accounts.is_limited[touched] & (own_posted - other_posted - other_pending < lowered)).any()
        or (own_posted + own_pending - other_posted + raised > accounts.ceiling[touched]).any()
        or (end[:, :2] + end[:, 2:]).max() > BALANCE_MAX
    ):
        return None

    # After this point, every transfer is accepted.
    after = np.empty((2 * count, 4), np.int64)
    after[order] = after_sorted
    accounts.totals[touched] = end
    if len(which):
        np.maximum.at(book.uses, row, use[which])
        np.maximum.at(book.used, row, used[which])
    first = memory.last_position + 1
    memory.last_position += count
    memory.recorded_at = now
    zeros = np.zeros(count, np.int64)
    return Judgement(
        batch=batch,
        refusal=np.zeros(count, np.int16),
        replayed=np.zeros(count, np.bool_),
        position=np.arange(first, first + count),
        amount=amount,
        recorded_at=np.full(count, now, np.int64),
        after=np.stack([after[:count], after[count:]], axis=1),
        debit=debit,
        credit=credit,
        code=batch.code,
        authorisation=batch.authorisation,
        use=use,
        used=used,
        pending_position=zeros,
        reverses_position=zeros,
        chain_position=zeros,
        first_position=first,
        now=now,
        today=today,
    )


def _running(group: NDArray[np.int64], change: NDArray[np.int64]) -> NDArray[np.int64]:
    """Running sums of `change` within each run of equal `group`."""
    total = np.cumsum(change, axis=0)
    starts = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
    before = total[starts] - change[starts]
    lengths = np.diff(np.append(starts, len(group)))
    return total - np.repeat(before, lengths, axis=0)


def in_order(memory: Memory, batch: Batch, now: int, today: int) -> Judgement:
    """The transfers one by one, each with the first refusal that holds for it.

    The memory must know those of the batch's ids that were posted or refused before.
    """
    return _InOrder(memory, batch, now, today).judged()


class _InOrder:
    """One pass over a batch. Holds what the pass has changed, so that a broken chain can be undone."""

    def __init__(self, memory: Memory, batch: Batch, now: int, today: int) -> None:
        self.memory, self.batch, self.now, self.today = memory, batch, now, today
        count = len(batch)
        self.ids = batch.id_list
        self.pending_ids = transfers.sixteens(batch.pending) if batch.pending else None
        self.reverses_ids = transfers.sixteens(batch.reverses) if batch.reverses else None
        self.kind, self.code = batch.kind.tolist(), batch.code.tolist()
        self.debit, self.credit, self.amount = (
            batch.debit.tolist(),
            batch.credit.tolist(),
            batch.amount.tolist(),
        )
        self.authorisation = batch.authorisation.tolist()
        self.balancing, self.linked = batch.balancing.tolist(), batch.linked.tolist()
        self.expires, self.at, self.value_date = (
            batch.expires.tolist(),
            batch.at.tolist(),
            batch.value_date.tolist(),
        )
        self.refusal = [0] * count
        self.replayed = [False] * count
        self.position = [0] * count
        self.moved = [0] * count
        self.recorded_at = [now] * count
        self.after: list[tuple[tuple[int, ...], tuple[int, ...]]] = [((0, 0, 0, 0), (0, 0, 0, 0))] * count
        self.use, self.used = [0] * count, [0] * count
        self.pending_position, self.reverses_position, self.chain_position = (
            [0] * count,
            [0] * count,
            [0] * count,
        )
        self.next_position = memory.last_position + 1
        self.undo: list[tuple[str, Any, Any]] = []
        self.in_chain, self.chain_of = False, 0

    def judged(self) -> Judgement:
        first, count, start = self.next_position, len(self.ids), 0
        while start < count:
            last = start
            while self.linked[last]:
                last += 1
                assert last < count, "a chain ends within its batch"
            if last > start:
                self._chain(start, last)
            else:
                self.refusal[start] = self._one(start)
                self._settle_refusal(start)
            start = last + 1
        self._remember()
        return self._judgement(first)

    def _chain(self, start: int, last: int) -> None:
        """All of a chain or none of it: posted, repeated as it was, or refused for the first that fails."""
        members, known = range(start, last + 1), self.memory.known
        firsts = [known.get(self.ids[i]) for i in members]
        chains = {0 if first is None else first.chain for first in firsts}
        if len(chains) == 1 and chains != {0} and len(set(self.ids[start : last + 1])) == len(members):
            # A repetition only as a whole: a member that stands elsewhere was asked for with other content.
            pairs = [(i, first) for i, first in zip(members, firsts, strict=True) if first is not None]
            if all(self._repeats(i, first) for i, first in pairs):
                for i, first in pairs:
                    self._replay(i, first)
                return
        self.undo, self.in_chain = [], True
        chain_position = self.chain_of = self.next_position
        failed = None
        for i in members:
            self.refusal[i] = self._one(i)
            self.chain_position[i] = chain_position
            if self.refusal[i]:
                failed = i
                break
        self.in_chain, self.chain_of = False, 0
        if failed is None:
            return
        self._undo_chain(start, failed)
        self.next_position = chain_position
        for i in members:
            if i < failed:
                self.refusal[i] = REFUSAL[errors.LinkedTransferRefused]
            elif i > failed:
                self.refusal[i] = self._first_answer(i) or REFUSAL[errors.LinkedTransferRefused]
            self._settle_refusal(i)

    def _first_answer(self, i: int) -> int:
        """The refusal that the id alone gives to a member of a chain: the one it had before, or misuse."""
        refused = self.memory.refused.get(self.ids[i])
        if refused is not None and refused.content == content(self.batch, i):
            self.replayed[i] = True
            return refused.refusal
        is_used = refused is not None or self.ids[i] in self.memory.known
        return REFUSAL[errors.IdUsedWithOtherContent] if is_used else 0

    def _replay(self, i: int, first: Known) -> None:
        self.replayed[i] = True
        self.position[i], self.moved[i] = first.position, first.amount
        self.recorded_at[i], self.after[i] = first.recorded_at, first.after

    def _one(self, i: int) -> int:
        """Judge transfer i; if none of the refusals holds, it counts. Returns the refusal's number, or 0."""
        memory, batch, now = self.memory, self.batch, self.now
        transfer_id, kind = self.ids[i], self.kind[i]

        if transfer_id in memory.refused:
            return self._first_answer(i)
        first = memory.known.get(transfer_id)
        if first is not None:
            if self.in_chain or first.chain or not self._repeats(i, first):
                return REFUSAL[errors.IdUsedWithOtherContent]
            self._replay(i, first)
            return 0

        code, debit, credit, amount = self.code[i], self.debit[i], self.credit[i], self.amount[i]
        authorisation = self.authorisation[i]
        settles = kind in (POST_PENDING, VOID_PENDING, EXPIRE_PENDING)
        if not (1 <= amount <= AMOUNT_MAX or (settles and amount == 0)):
            return REFUSAL[errors.AmountOutOfRange]
        refusal = self._accounts_refusal(debit, credit, settles=settles)
        if refusal:
            return refusal

        pending: Known | None = None
        if settles:
            pending = memory.known.get(self.pending_ids[i]) if self.pending_ids else None
            if pending is None:
                return REFUSAL[errors.PendingUnknown]
            if pending.kind != PENDING:
                return REFUSAL[errors.NotPending]
            if (
                (debit and debit != pending.debit)
                or (credit and credit != pending.credit)
                or (code and code != pending.code)
                or (authorisation and authorisation != pending.authorisation)
            ):
                return REFUSAL[errors.PendingDiffers]
            if pending.settled == POST_PENDING:
                return REFUSAL[errors.PendingAlreadyPosted]
            if pending.settled == VOID_PENDING:
                return REFUSAL[errors.PendingAlreadyVoided]
            is_over = pending.expires != 0 and pending.expires <= now
            if pending.settled == EXPIRE_PENDING or (is_over and kind != EXPIRE_PENDING):
                return REFUSAL[errors.PendingExpired]
            if kind == EXPIRE_PENDING and not is_over:
                return REFUSAL[errors.PendingNotExpired]
            if amount > pending.amount:
                return REFUSAL[errors.AmountExceedsPending]
            debit, credit, code, authorisation = (
                pending.debit,
                pending.credit,
                pending.code,
                pending.authorisation,
            )
            amount = pending.amount if kind != POST_PENDING else amount or pending.amount
        accounts = memory.accounts
        debit_row, credit_row = accounts.index[debit], accounts.index[credit]
        if kind == PENDING and 0 < self.expires[i] <= now:
            return REFUSAL[errors.ExpiryPast]

        reverses: Known | None = None
        is_reversal = self.reverses_ids is not None and self.reverses_ids[i].strip(b"\0") != b""
        if is_reversal:
            assert self.reverses_ids is not None
            reverses = memory.known.get(self.reverses_ids[i])
            if reverses is None:
                return REFUSAL[errors.ReversedUnknown]
            if (
                kind != POSTED
                or reverses.kind not in (POSTED, POST_PENDING)
                or reverses.reverses_id is not None
            ):
                return REFUSAL[errors.NotReversible]
            if (debit, credit, amount) != (reverses.credit, reverses.debit, reverses.amount):
                return REFUSAL[errors.ReversalDiffers]
            if reverses.is_reversed:
                return REFUSAL[errors.AlreadyReversed]
            if batch.reason is None or batch.reason[i] is None:
                return REFUSAL[errors.ReasonMissing]

        debit_family, credit_family = debit // FAMILY_UNIT % 10, credit // FAMILY_UNIT % 10
        if (
            _CROSSING[debit_family][credit_family]
            and not is_reversal
            and not (
                debit_family == CLIENT
                and credit_family == OWN
                and authorisation % 10 == ENTITLEMENT
                and code == FEE
            )
        ):
            return REFUSAL[errors.BorderCrossed]

        releases = kind in (VOID_PENDING, EXPIRE_PENDING)  # what was held may always go back
        *d, debit_flags, debit_limited, debit_normal_credit, debit_ceiling = accounts.rows[debit_row].tolist()
        *c, credit_flags, credit_limited, credit_normal_credit, credit_ceiling = accounts.rows[
            credit_row
        ].tolist()
        if not releases:
            if (debit_flags | credit_flags) & CLOSED:
                return REFUSAL[errors.AccountClosed]
            if debit_flags & DEBITS_FROZEN:
                return REFUSAL[errors.DebitsFrozen]
            if credit_flags & CREDITS_FROZEN:
                return REFUSAL[errors.CreditsFrozen]

        use_row: int | None = None
        if not settles and not is_reversal:
            if debit_family == CLIENT:
                refusal, use_row = self._authorised(i, authorisation, debit, credit, code)
                if refusal:
                    return refusal
            elif authorisation:
                return REFUSAL[errors.AuthorisationOutOfPlace]
        elif is_reversal and authorisation:
            return REFUSAL[errors.AuthorisationOutOfPlace]

        # What the debited account can give, and the credited one take; None where there is no limit.
        gives: int | None = None
        takes: int | None = None
        if debit_normal_credit:
            if debit_limited:
                gives = d[CREDITS_POSTED] - d[DEBITS_POSTED] - d[DEBITS_PENDING]
        elif debit_ceiling != NO_CEILING:
            gives = debit_ceiling - (d[DEBITS_POSTED] + d[DEBITS_PENDING] - d[CREDITS_POSTED])
        if credit_normal_credit:
            if credit_ceiling != NO_CEILING:
                takes = credit_ceiling - (c[CREDITS_POSTED] + c[CREDITS_PENDING] - c[DEBITS_POSTED])
        elif credit_limited:
            takes = c[DEBITS_POSTED] - c[CREDITS_POSTED] - c[CREDITS_PENDING]
        if self.balancing[i]:
            limit = gives if self.balancing[i] == 1 else takes
            if limit is not None:
                amount = min(amount, max(limit, 0))
        if use_row is not None:
            refusal = self._amount_authorised(i, use_row, amount)
            if refusal:
                return refusal
        if amount == 0:
            return REFUSAL[errors.NothingAvailable]
        if not settles:
            if (
                max(d[DEBITS_POSTED] + d[DEBITS_PENDING], c[CREDITS_POSTED] + c[CREDITS_PENDING]) + amount
                > BALANCE_MAX
            ):
                return REFUSAL[errors.TurnoverTooLarge]
            if gives is not None and gives < amount and debit_normal_credit:
                return REFUSAL[errors.InsufficientFunds]
            if takes is not None and takes < amount and not credit_normal_credit:
                return REFUSAL[errors.InsufficientFunds]
            if (gives is not None and gives < amount) or (takes is not None and takes < amount):
                return REFUSAL[errors.CeilingExceeded]

        # After this point, the transfer counts.
        if kind == POSTED:
            d[DEBITS_POSTED] += amount
            c[CREDITS_POSTED] += amount
        elif kind == PENDING:
            d[DEBITS_PENDING] += amount
            c[CREDITS_PENDING] += amount
        else:
            assert pending is not None
            d[DEBITS_PENDING] -= pending.amount
            c[CREDITS_PENDING] -= pending.amount
            if kind == POST_PENDING:
                d[DEBITS_POSTED] += amount
                c[CREDITS_POSTED] += amount
            self._set(pending, "settled", kind)
            self.pending_position[i] = pending.position
        self._set_totals(debit_row, d)
        self._set_totals(credit_row, c)
        if use_row is not None:
            book = memory.authorisations
            self.use[i], self.used[i] = int(book.uses[use_row]) + 1, int(book.used[use_row]) + amount
            self._set_cell(book.uses, use_row, self.use[i])
            self._set_cell(book.used, use_row, self.used[i])
        if reverses is not None:
            self._set(reverses, "is_reversed", True)
            self.reverses_position[i] = reverses.position
        self.position[i], self.moved[i] = self.next_position, amount
        self.next_position += 1
        self.debit[i], self.credit[i], self.code[i], self.authorisation[i] = (
            debit,
            credit,
            code,
            authorisation,
        )
        self.after[i] = (tuple(d), tuple(c))
        self._know(i, amount)
        return 0

    def _accounts_refusal(self, debit: int, credit: int, *, settles: bool) -> int:
        """The first refusal of the two accounts by themselves; a settling transfer may leave them out (0)."""
        index, book = self.memory.accounts.index, self.memory.book
        if debit not in index and not (settles and not debit):
            return REFUSAL[errors.DebitAccountUnknown]
        if credit not in index and not (settles and not credit):
            return REFUSAL[errors.CreditAccountUnknown]
        if debit == credit and debit:
            return REFUSAL[errors.AccountsSame]
        if (debit and debit // BOOK_UNIT != book) or (credit and credit // BOOK_UNIT != book):
            return REFUSAL[errors.BookDiffers]
        if debit and credit and debit // ASSET_UNIT % 10_000 != credit // ASSET_UNIT % 10_000:
            return REFUSAL[errors.AssetDiffers]
        return 0

    def _authorised(self, i: int, number: int, debit: int, credit: int, code: int) -> tuple[int, int | None]:
        """The first refusal of the authorisation but for its amount, and its row."""
        book = self.memory.authorisations
        if not number:
            return REFUSAL[errors.AuthorisationMissing], None
        row = book.index.get(number)
        if row is None:
            return REFUSAL[errors.AuthorisationUnknown], None
        payee = self.batch.payee[i] if self.batch.payee is not None else None
        of, to, for_code, _, _, _, _, since, until, withdrawn, _, _, _ = book.rows[row].tolist()
        if of != debit:
            return REFUSAL[errors.AuthorisationOfAnother], None
        if withdrawn:
            return REFUSAL[errors.AuthorisationWithdrawn], None
        if since > self.now:
            return REFUSAL[errors.AuthorisationNotYetValid], None
        if until <= self.now:
            return REFUSAL[errors.AuthorisationExpired], None
        if to != credit or book.payee.get(row, "") != (payee or ""):
            return REFUSAL[errors.AuthorisationPayeeDiffers], None
        if for_code != code:
            return REFUSAL[errors.AuthorisationCodeDiffers], None
        return 0, row

    def _amount_authorised(self, i: int, row: int, amount: int) -> int:
        book = self.memory.authorisations
        _, _, _, rule, allowed, total_max, uses_max, _, _, _, uses, used, _ = book.rows[row].tolist()
        if rule == FORMULA:
            day = self.value_date[i] or self.today
            formula = book.formula[row]
            allowed = interest.simple(
                base_minor=allowed,
                rate_ppm=formula.rate_ppm,
                day_basis=formula.day_basis,
                since=formula.since,
                until=date.fromordinal(date(1970, 1, 1).toordinal() + day),
            )
        if amount > allowed or (rule != AT_MOST and amount != allowed):
            return REFUSAL[errors.AuthorisationAmountDiffers]
        if uses >= uses_max or used + amount > total_max:
            return REFUSAL[errors.AuthorisationConsumed]
        return 0

    def _repeats(self, i: int, first: Known) -> bool:
        """Whether request i asks for what was posted first under its id.

        What it leaves out means what it meant then: all that was held, the time and the day of posting. What
        a settling transfer takes from the pending one may be written or left out.
        """
        batch, kind = self.batch, self.kind[i]
        settles = kind in (POST_PENDING, VOID_PENDING, EXPIRE_PENDING)

        def text(column: transfers.Texts) -> str | None:
            return None if column is None else column[i]

        amount = self.amount[i]
        if settles and not amount and first.pending_id is not None:
            held = self.memory.known.get(first.pending_id)
            amount = 0 if held is None else held.amount
        pending = self.pending_ids[i] if settles and self.pending_ids else None
        reverses = self.reverses_ids[i] if self.reverses_ids and self.reverses_ids[i].strip(b"\0") else None
        return (
            kind == first.kind
            and (self.debit[i] == first.debit or (settles and not self.debit[i]))
            and (self.credit[i] == first.credit or (settles and not self.credit[i]))
            and (self.code[i] == first.code or (settles and not self.code[i]))
            and (self.authorisation[i] == first.authorisation or (settles and not self.authorisation[i]))
            and self.balancing[i] == first.balancing
            and amount == (first.asked if first.balancing else first.amount)
            and pending == first.pending_id
            and reverses == first.reverses_id
            and self.expires[i] == first.expires
            and (self.at[i] or first.recorded_at) == first.at
            and (self.value_date[i] or first.day) == first.value_date
            and text(batch.reference) == first.reference
            and text(batch.payee) == first.payee
            and text(batch.reason) == first.reason
            and text(batch.metadata) == first.metadata
        )

    def _know(self, i: int, amount: int) -> None:
        batch, transfer_id = self.batch, self.ids[i]

        def text(column: transfers.Texts) -> str | None:
            return None if column is None else column[i]

        settles = self.kind[i] in (POST_PENDING, VOID_PENDING, EXPIRE_PENDING)
        self.memory.known[transfer_id] = Known(
            id=transfer_id,
            position=self.position[i],
            kind=self.kind[i],
            code=self.code[i],
            debit=self.debit[i],
            credit=self.credit[i],
            amount=amount,
            authorisation=self.authorisation[i],
            expires=self.expires[i],
            at=self.at[i] or self.now,
            value_date=self.value_date[i] or self.today,
            day=self.today,
            recorded_at=self.now,
            chain=self.chain_of,
            reference=text(batch.reference),
            payee=text(batch.payee),
            reason=text(batch.reason),
            metadata=text(batch.metadata),
            balancing=self.balancing[i],
            asked=self.amount[i] if self.balancing[i] else 0,
            pending_id=self.pending_ids[i] if settles and self.pending_ids else None,
            reverses_id=self.reverses_ids[i] if self.reverses_position[i] and self.reverses_ids else None,
            after=self.after[i],
        )
        if self.in_chain:
            self.undo.append(("know", transfer_id, None))

    def _set(self, known: Known, name: str, value: object) -> None:
        if self.in_chain:
            self.undo.append((name, known, getattr(known, name)))
        setattr(known, name, value)

    def _set_totals(self, row: int, totals: list[int]) -> None:
        if self.in_chain:
            self.undo.append(("totals", row, self.memory.accounts.totals[row].copy()))
        self.memory.accounts.totals[row] = totals

    def _set_cell(self, column: NDArray[np.int64], row: int, value: int) -> None:
        if self.in_chain:
            self.undo.append(("cell", (column, row), int(column[row])))
        column[row] = value

    def _undo_chain(self, start: int, failed: int) -> None:
        """Take back what the chain has changed, last change first."""
        for what, where, value in reversed(self.undo):
            if what == "know":
                del self.memory.known[where]
            elif what == "totals":
                self.memory.accounts.totals[where] = value
            elif what == "cell":
                column, row = where
                column[row] = value
            else:
                setattr(where, what, value)
        self.undo = []
        for i in range(start, failed + 1):
            self.position[i] = self.moved[i] = self.use[i] = self.used[i] = 0
            self.pending_position[i] = self.reverses_position[i] = 0
            self.after[i] = ((0, 0, 0, 0), (0, 0, 0, 0))

    def _remember(self) -> None:
        memory = self.memory
        if self.next_position > memory.last_position + 1:
            memory.recorded_at = self.now
        memory.last_position = self.next_position - 1

    def _settle_refusal(self, i: int) -> None:
        """A refusal of its own is final for an id, unless the id has its first result already.

        Who was refused only because another of its chain was may be asked for again, in a chain put right.
        """
        memory = self.memory
        if (
            self.refusal[i] not in (0, REFUSAL[errors.LinkedTransferRefused])
            and not self.replayed[i]
            and self.ids[i] not in memory.known
        ):
            memory.refused.setdefault(self.ids[i], RefusedBefore(self.refusal[i], content(self.batch, i)))

    def _judgement(self, first: int) -> Judgement:
        return Judgement(
            batch=self.batch,
            refusal=np.array(self.refusal, np.int16),
            replayed=np.array(self.replayed, np.bool_),
            position=np.array(self.position, np.int64),
            amount=np.array(self.moved, np.int64),
            recorded_at=np.array(self.recorded_at, np.int64),
            after=np.array(self.after, np.int64).reshape(len(self.ids), 2, 4),
            debit=np.array(self.debit, np.int64),
            credit=np.array(self.credit, np.int64),
            code=np.array(self.code, np.int16),
            authorisation=np.array(self.authorisation, np.int64),
            use=np.array(self.use, np.int64),
            used=np.array(self.used, np.int64),
            pending_position=np.array(self.pending_position, np.int64),
            reverses_position=np.array(self.reverses_position, np.int64),
            chain_position=np.array(self.chain_position, np.int64),
            first_position=first,
            now=self.now,
            today=self.today,
        )

"""The rules of posting once more, the slow and plain way: dictionaries, whole numbers and copies.

Written from what each refusal says, in the order `errors.TRANSFER_REFUSALS` lists them, and sharing nothing
with the judge but the words of requests. Where the two disagree, one of them is wrong.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

from tallystick.custody.transfers import TransferRequest

AMOUNT_MOST = 10**15
TURNOVER_MOST = 2**62
EVER, NEVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
SETTLES = ("post_pending", "void_pending", "expire_pending")


@dataclass
class Account:
    """An account with its four totals."""

    number: int
    is_credit_normal: bool
    is_limited: bool
    ceiling: int | None = None
    status: str = "open"
    debits: int = 0
    credits: int = 0
    debits_held: int = 0
    credits_held: int = 0

    @property
    def family(self) -> str:
        return {"1": "client", "2": "own", "3": "external", "4": "suspense"}[f"{self.number:018d}"[3]]

    @property
    def totals(self) -> tuple[int, int, int, int]:
        return self.debits, self.credits, self.debits_held, self.credits_held


@dataclass
class Terms:
    """An authorisation with what was used of it."""

    number: int
    debit: int
    credit: int
    code: str
    amount: int
    rule: str = "exact"
    payee: str = ""
    total_most: int = TURNOVER_MOST
    uses_most: int = 1
    valid_from: datetime = EVER
    valid_until: datetime = NEVER
    rate_ppm: int = 0
    day_basis: int = 365
    first_day: date = date.min
    is_withdrawn: bool = False
    uses: int = 0
    used: int = 0

    @property
    def is_entitlement(self) -> bool:
        return str(self.number)[-1] == "3"

    def allowed(self, day: date) -> int:
        """The amount it allows on a value date."""
        if self.rule != "formula":
            return self.amount
        days = max(0, (day - self.first_day).days)
        return round(Fraction(self.amount * self.rate_ppm * days, 1_000_000 * self.day_basis))


@dataclass
class Posted:
    """A transfer that counts."""

    id: str
    position: int
    kind: str
    debit: int
    credit: int
    amount: int
    code: str
    authorisation: int | None
    content: tuple[object, ...]
    recorded_at: datetime
    after: tuple[tuple[int, ...], tuple[int, ...]]
    chain: int | None
    expires_at: datetime | None
    is_reversal: bool
    settled_by: str | None = None
    is_reversed: bool = False


@dataclass
class Answer:
    """What became of one request. `refusal` is the refusal's name, or None."""

    refusal: str | None
    is_replayed: bool = False
    position: int = 0
    amount: int = 0
    after: tuple[tuple[int, ...], tuple[int, ...]] = ((0, 0, 0, 0), (0, 0, 0, 0))


@dataclass
class Model:
    """One book."""

    book: int
    zone: str = "Asia/Shanghai"
    accounts: dict[int, Account] = field(default_factory=dict)
    terms: dict[int, Terms] = field(default_factory=dict)
    posted: dict[str, Posted] = field(default_factory=dict)
    refused: dict[str, tuple[TransferRequest, str]] = field(default_factory=dict)
    position: int = 0

    def post(self, requests: Sequence[TransferRequest], now: datetime) -> list[Answer]:
        """The answers to one call."""
        answers: list[Answer] = []
        while len(answers) < len(requests):
            chain = [requests[len(answers)]]
            while chain[-1].linked:
                chain.append(requests[len(answers) + len(chain)])
            answers += [self._single(chain[0], now)] if len(chain) == 1 else self._chain(chain, now)
        return answers

    def balance(self, number: int) -> int:
        """On the account's normal side."""
        account = self.accounts[number]
        balance = account.credits - account.debits
        return balance if account.is_credit_normal else -balance

    # ── one, and many ──

    def _single(self, ask: TransferRequest, now: datetime) -> Answer:
        if first := self._first(ask):
            return first
        if found := self.posted.get(ask.id):
            if found.chain is None and found.content == self._content(ask, found):
                return Answer(None, True, found.position, found.amount, found.after)
            return Answer("IdUsedWithOtherContent")
        answer = self._try(ask, now, chain=None)
        self._finish(ask, answer)
        return answer

    def _chain(self, chain: list[TransferRequest], now: datetime) -> list[Answer]:
        found = [self.posted.get(ask.id) for ask in chain]
        if (
            None not in found
            and len({ask.id for ask in chain}) == len(chain)
            and {each.chain for each in found} in [{each.chain} for each in found if each.chain]
            and all(each.content == self._content(ask, each) for ask, each in zip(chain, found, strict=True))
        ):
            return [Answer(None, True, each.position, each.amount, each.after) for each in found]
        before = copy.deepcopy((self.accounts, self.terms, self.posted, self.position))
        answers: list[Answer] = []
        first_position = self.position + 1
        for ask in chain:
            answer = self._first(ask)
            if answer is None and ask.id in self.posted:
                answer = Answer("IdUsedWithOtherContent")
            answers.append(answer or self._try(ask, now, chain=first_position))
            if answers[-1].refusal:
                break
        else:
            return answers
        self.accounts, self.terms, self.posted, self.position = before
        failed = len(answers) - 1
        for i, ask in enumerate(chain):
            if i < failed:
                answers[i] = Answer("LinkedTransferRefused")
            elif i > failed:
                used = Answer("IdUsedWithOtherContent") if ask.id in self.posted else None
                answers.append(self._first(ask) or used or Answer("LinkedTransferRefused"))
            self._finish(ask, answers[i])
        return answers

    def _first(self, ask: TransferRequest) -> Answer | None:
        """What a refused id was told, if it is asked again."""
        if ask.id not in self.refused:
            return None
        request, refusal = self.refused[ask.id]
        return Answer(refusal, True) if request == ask else Answer("IdUsedWithOtherContent")

    def _finish(self, ask: TransferRequest, answer: Answer) -> None:
        is_own = answer.refusal not in (None, "LinkedTransferRefused")
        if is_own and not answer.is_replayed and ask.id not in self.posted:
            self.refused.setdefault(ask.id, (ask, answer.refusal))

    def _content(
        self, ask: TransferRequest, found: Posted | None, now: datetime | None = None
    ) -> tuple[object, ...]:
        """All that a repetition must say again, with what was left out filled in as it was then."""
        recorded_at = now or found.recorded_at
        held = self.posted.get(ask.pending_id or "")
        settles = ask.kind in SETTLES
        amount = ask.amount_minor
        if settles and not amount and held:
            amount = held.amount
        return (
            ask.kind,
            _number(ask.debit_account) or (held.debit if held else None),
            _number(ask.credit_account) or (held.credit if held else None),
            amount,
            ask.code or (held.code if held else None),
            _number(ask.authorisation) or (held.authorisation if held else None),
            ask.pending_id,
            ask.reverses_id,
            ask.balancing,
            ask.expires_at,
            ask.at or recorded_at,
            ask.value_date or self._day(recorded_at),
            ask.reference,
            ask.payee,
            ask.reason,
            str(ask.metadata),
        )

    def _day(self, moment: datetime) -> date:
        return moment.astimezone(ZoneInfo(self.zone)).date()

    # ── one new transfer ──

    def _try(self, ask: TransferRequest, now: datetime, chain: int | None) -> Answer:
        refusal = self._refusal(ask, now)
        if isinstance(refusal, str):
            return Answer(refusal)
        held, reversed_, debit, credit, code, authorisation, amount, terms = refusal
        left, right = self.accounts[debit], self.accounts[credit]
        if ask.kind == "pending":
            left.debits_held += amount
            right.credits_held += amount
        if held:
            left.debits_held -= held.amount
            right.credits_held -= held.amount
            held.settled_by = ask.kind
        if ask.kind in ("posted", "post_pending"):
            left.debits += amount
            right.credits += amount
        if reversed_:
            reversed_.is_reversed = True
        if terms:
            terms.uses += 1
            terms.used += amount
        self.position += 1
        after = (left.totals, right.totals)
        self.posted[ask.id] = Posted(
            id=ask.id,
            position=self.position,
            kind=ask.kind,
            debit=debit,
            credit=credit,
            amount=amount,
            code=code,
            authorisation=authorisation,
            content=self._content(ask, None, now),
            recorded_at=now,
            after=after,
            chain=chain,
            expires_at=ask.expires_at,
            is_reversal=reversed_ is not None,
        )
        return Answer(None, False, self.position, amount, after)

    def _refusal(self, ask: TransferRequest, now: datetime):
        """The first refusal that holds, or everything the transfer is made of."""
        settles, amount = ask.kind in SETTLES, ask.amount_minor or 0
        debit, credit = _number(ask.debit_account), _number(ask.credit_account)
        code, authorisation = ask.code, _number(ask.authorisation)
        if not 1 <= amount <= AMOUNT_MOST and not (settles and ask.amount_minor is None):
            return "AmountOutOfRange"
        if debit not in self.accounts and not (settles and debit is None):
            return "DebitAccountUnknown"
        if credit not in self.accounts and not (settles and credit is None):
            return "CreditAccountUnknown"
        given = [number for number in (debit, credit) if number is not None]
        if len(given) == 2 and debit == credit:
            return "AccountsSame"
        if any(_part(number, 0, 3) != self.book for number in given):
            return "BookDiffers"
        if len({_part(number, 4, 8) for number in given}) == 2:
            return "AssetDiffers"
        held = None
        if settles:
            held = self.posted.get(ask.pending_id or "")
            if held is None:
                return "PendingUnknown"
            if held.kind != "pending":
                return "NotPending"
            for asked, as_held in (
                (debit, held.debit),
                (credit, held.credit),
                (code, held.code),
                (authorisation, held.authorisation),
            ):
                if asked is not None and asked != as_held:
                    return "PendingDiffers"
            if held.settled_by == "post_pending":
                return "PendingAlreadyPosted"
            if held.settled_by == "void_pending":
                return "PendingAlreadyVoided"
            is_over = held.expires_at is not None and held.expires_at <= now
            if held.settled_by == "expire_pending" or (is_over and ask.kind != "expire_pending"):
                return "PendingExpired"
            if ask.kind == "expire_pending" and not is_over:
                return "PendingNotExpired"
            if amount > held.amount:
                return "AmountExceedsPending"
            debit, credit, code, authorisation = held.debit, held.credit, held.code, held.authorisation
            amount = amount or held.amount
        if ask.kind == "pending" and ask.expires_at is not None and ask.expires_at <= now:
            return "ExpiryPast"
        reversed_ = None
        if ask.reverses_id is not None:
            reversed_ = self.posted.get(ask.reverses_id)
            if reversed_ is None:
                return "ReversedUnknown"
            if reversed_.kind not in ("posted", "post_pending") or reversed_.is_reversal:
                return "NotReversible"
            if (debit, credit, amount) != (reversed_.credit, reversed_.debit, reversed_.amount):
                return "ReversalDiffers"
            if reversed_.is_reversed:
                return "AlreadyReversed"
            if ask.reason is None:
                return "ReasonMissing"
        left, right = self.accounts[debit], self.accounts[credit]
        is_fee = (
            left.family == "client"
            and right.family == "own"
            and code == "fee"
            and str(authorisation)[-1] == "3"
        )
        out = left.family == "own" and right.family == "external"
        if (
            "own" in (left.family, right.family)
            and left.family != right.family
            and not (is_fee or out or reversed_)
        ):
            return "BorderCrossed"
        if ask.kind not in ("void_pending", "expire_pending"):
            if "closed" in (left.status, right.status):
                return "AccountClosed"
            if left.status in ("frozen", "debits_frozen"):
                return "DebitsFrozen"
            if right.status in ("frozen", "credits_frozen"):
                return "CreditsFrozen"
        terms = None
        if not settles:
            if left.family == "client" and not reversed_:
                if authorisation is None:
                    return "AuthorisationMissing"
                terms = self.terms.get(authorisation)
                if terms is None:
                    return "AuthorisationUnknown"
                if terms.debit != debit:
                    return "AuthorisationOfAnother"
                if terms.is_withdrawn:
                    return "AuthorisationWithdrawn"
                if now < terms.valid_from:
                    return "AuthorisationNotYetValid"
                if now >= terms.valid_until:
                    return "AuthorisationExpired"
                if terms.credit != credit or terms.payee != (ask.payee or ""):
                    return "AuthorisationPayeeDiffers"
                if terms.code != code:
                    return "AuthorisationCodeDiffers"
            elif authorisation is not None:
                return "AuthorisationOutOfPlace"
        gives, takes = self._gives(left), self._takes(right)
        if ask.balancing == "debit" and gives is not None:
            amount = min(amount, max(0, gives))
        if ask.balancing == "credit" and takes is not None:
            amount = min(amount, max(0, takes))
        if terms:
            allowed = terms.allowed(ask.value_date or self._day(now))
            if amount > allowed or (terms.rule != "at_most" and amount < allowed):
                return "AuthorisationAmountDiffers"
            if terms.uses + 1 > terms.uses_most or terms.used + amount > terms.total_most:
                return "AuthorisationConsumed"
        if amount == 0:
            return "NothingAvailable"
        if not settles:
            if left.debits + left.debits_held + amount > TURNOVER_MOST:
                return "TurnoverTooLarge"
            if right.credits + right.credits_held + amount > TURNOVER_MOST:
                return "TurnoverTooLarge"
            if left.is_credit_normal and gives is not None and amount > gives:
                return "InsufficientFunds"
            if not right.is_credit_normal and takes is not None and amount > takes:
                return "InsufficientFunds"
            if not left.is_credit_normal and gives is not None and amount > gives:
                return "CeilingExceeded"
            if right.is_credit_normal and takes is not None and amount > takes:
                return "CeilingExceeded"
        return held, reversed_, debit, credit, code, authorisation, amount, terms

    @staticmethod
    def _gives(account: Account) -> int | None:
        """How much can be debited: what is there and not held, or what fits under the ceiling."""
        if account.is_credit_normal:
            return account.credits - account.debits - account.debits_held if account.is_limited else None
        if account.ceiling is None:
            return None
        return account.ceiling - (account.debits + account.debits_held - account.credits)

    @staticmethod
    def _takes(account: Account) -> int | None:
        """How much can be credited."""
        if not account.is_credit_normal:
            return account.debits - account.credits - account.credits_held if account.is_limited else None
        if account.ceiling is None:
            return None
        return account.ceiling - (account.credits + account.credits_held - account.debits)


def _number(text: str | None) -> int | None:
    return None if text is None else int(text[4:])


def _part(number: int, start: int, stop: int) -> int:
    return int(f"{number:018d}"[start:stop])

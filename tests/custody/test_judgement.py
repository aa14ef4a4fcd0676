"""The judge: the first refusal in the documented order, and the same answers as the plain model gives."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.custody import judgement, transfers
from tallystick.custody.errors import TRANSFER_REFUSALS
from tallystick.custody.judgement import Judgement
from tallystick.custody.memory import Memory
from tallystick.custody.models import TransferKind
from tallystick.custody.numbers import account_text, authorisation_text
from tallystick.custody.transfers import TransferRequest
from tests.custody import streams
from tests.custody.cast import NOW, an_id
from tests.custody.model import Answer, Model

TODAY = date(2026, 3, 2)
HOUR = timedelta(hours=1)
COLUMNS = (
    "refusal",
    "replayed",
    "position",
    "amount",
    "recorded_at",
    "after",
    "use",
    "used",
    "debit",
    "credit",
)


def judged(memory: Memory, requests: list[TransferRequest], now: datetime = NOW) -> Judgement:
    batch = transfers.columns(requests)
    return judgement.in_order(memory, batch, transfers.microseconds(now), transfers.day_number(TODAY))


def refusals(judged: Judgement) -> list[str | None]:
    return [TRANSFER_REFUSALS[n - 1].__name__ if n else None for n in judged.refusal.tolist()]


def answers(judged: Judgement) -> list[Answer]:
    return [
        Answer(
            TRANSFER_REFUSALS[judged.refusal[i] - 1].__name__ if judged.refusal[i] else None,
            bool(judged.replayed[i]),
            int(judged.position[i]),
            int(judged.amount[i]),
            tuple(tuple(side) for side in judged.after[i].tolist()),
        )
        for i in range(len(judged.batch))
    ]


# ── every refusal, in the order of the list ──────────────────────────────────────────────────────────────

NAMES = "bank second_bank wang li platform platform_2 suspense debits_frozen credits_frozen frozen closed usd elsewhere"
PEOPLE = dict(zip(NAMES.split(), streams.world().accounts, strict=True))
PEOPLE["nobody"] = PEOPLE["wang"] + 5000
PEOPLE["nobody_2"] = PEOPLE["li"] + 5000


def order(of: str, nth: int) -> str:
    """The nth authorisation of this account in the world."""
    serial = PEOPLE[of] % 10**10
    found = (each for each in streams.world().terms if each // 10**8 == serial and each // 10 % 10**7 == nth)
    return authorisation_text(next(found))


def ask(
    n: int,
    debit: str | None,
    credit: str | None,
    amount: int | None = 10,
    code: str | None = "top_up",
    **more,
) -> TransferRequest:
    return TransferRequest(
        id=an_id(n),
        debit_account=debit and account_text(PEOPLE[debit]),
        credit_account=credit and account_text(PEOPLE[credit]),
        amount_minor=amount,
        code=code,
        **more,
    )


def settle(n: int, of: int, kind: str = "post_pending", amount: int | None = None, **more) -> TransferRequest:
    return TransferRequest(id=an_id(n), kind=kind, pending_id=an_id(of), amount_minor=amount, **more)


def funded() -> list[TransferRequest]:
    """What stands before each case: money, things held, posted, voided, reversed, used up."""
    return [
        ask(1, "bank", "wang", 200),
        ask(2, "bank", "suspense", 60),
        ask(3, "bank", "suspense", 7, kind="pending", expires_at=NOW + 9 * HOUR),
        ask(4, "bank", "suspense", 7, kind="pending"),
        settle(5, 4),
        ask(6, "bank", "suspense", 7, kind="pending"),
        settle(7, 6, "void_pending"),
        ask(8, "bank", "suspense", 7, kind="pending", expires_at=NOW + timedelta(seconds=1)),
        ask(9, "bank", "suspense", 9),
        ask(10, "suspense", "bank", 9, "correction", reverses_id=an_id(9), reason="in error"),
        ask(11, "wang", "li", 30, "lend", authorisation=order("wang", 1)),
        ask(12, "bank", "debits_frozen", 5),
        ask(13, "bank", "suspense", 3, kind="pending"),
        ask(14, "suspense", "wang", 50, "identified", kind="pending"),
    ]


LENT = {"code": "lend", "authorisation": order("wang", 2)}
CASES = {
    "IdUsedWithOtherContent": ask(1, "bank", "wang", 201),
    "AmountOutOfRange": ask(50, "bank", "wang", 10**15 + 1),
    "DebitAccountUnknown": ask(50, "nobody", "nobody_2"),
    "CreditAccountUnknown": ask(50, "bank", "nobody"),
    "AccountsSame": ask(50, "elsewhere", "elsewhere"),
    "BookDiffers": ask(50, "elsewhere", "usd"),
    "AssetDiffers": ask(50, "bank", "usd", kind="pending", expires_at=NOW - HOUR),
    "PendingUnknown": settle(50, 99),
    "NotPending": settle(50, 1, debit_account=account_text(PEOPLE["bank"])),
    "PendingDiffers": settle(50, 4, credit_account=account_text(PEOPLE["li"])),
    "PendingAlreadyPosted": settle(50, 4, amount=100),
    "PendingAlreadyVoided": settle(50, 6, amount=100),
    "PendingExpired": settle(50, 8, amount=100),
    "AmountExceedsPending": settle(50, 3, amount=8),
    "ExpiryPast": ask(50, "platform", "wang", kind="pending", expires_at=NOW - HOUR),
    "ReversedUnknown": ask(50, "suspense", "bank", reverses_id=an_id(99)),
    "NotReversible": ask(50, "bank", "suspense", 8, "correction", reverses_id=an_id(10)),
    "ReversalDiffers": ask(50, "suspense", "bank", 8, "correction", reverses_id=an_id(9)),
    "AlreadyReversed": ask(50, "suspense", "bank", 9, "correction", reverses_id=an_id(9)),
    "ReasonMissing": ask(50, "wang", "bank", 200, "correction", reverses_id=an_id(1)),
    "BorderCrossed": ask(50, "wang", "platform", 999, "lend", authorisation=order("wang", 1)),
    "AccountClosed": ask(50, "debits_frozen", "closed", 999),
    "DebitsFrozen": ask(50, "debits_frozen", "credits_frozen", 999),
    "CreditsFrozen": ask(50, "wang", "credits_frozen", 999),
    "AuthorisationMissing": ask(50, "wang", "li", 999, "lend"),
    "AuthorisationOutOfPlace": ask(50, "bank", "li", 999, authorisation=order("wang", 1)),
    "AuthorisationUnknown": ask(50, "wang", "li", 999, authorisation="ath_000000000300000991"),
    "AuthorisationOfAnother": ask(50, "wang", "bank", 999, authorisation=order("li", 2)),
    "AuthorisationWithdrawn": ask(50, "wang", "bank", 999, "lend", authorisation=order("wang", 5)),
    "AuthorisationNotYetValid": ask(50, "wang", "bank", 999, "lend", authorisation=order("wang", 6)),
    "AuthorisationExpired": ask(50, "wang", "bank", 999, "lend", authorisation=order("wang", 7)),
    "AuthorisationPayeeDiffers": ask(
        50, "wang", "bank", 999, authorisation=order("wang", 3), payee="6222 02"
    ),
    "AuthorisationCodeDiffers": ask(50, "wang", "li", 999, "repay", authorisation=order("wang", 1)),
    "AuthorisationAmountDiffers": ask(50, "wang", "li", 31, "lend", authorisation=order("wang", 1)),
    "AuthorisationConsumed": ask(50, "wang", "li", 30, "lend", authorisation=order("wang", 1)),
    "NothingAvailable": ask(50, "platform_2", "platform", 10, "transfer", balancing="debit"),
    "TurnoverTooLarge": ask(50, "second_bank", "suspense", 10**15),
    "InsufficientFunds": ask(50, "suspense", "li", 251),
    "CeilingExceeded": ask(50, "bank", "li", 221),
}
"""For each refusal, a request for which it holds and, where there can be one, a later refusal as well."""

LATER = {
    "AmountOutOfRange": "InsufficientFunds",
    "DebitAccountUnknown": "CreditAccountUnknown",
    "AccountsSame": "BookDiffers",
    "BookDiffers": "AssetDiffers",
    "AssetDiffers": "ExpiryPast",
    "NotPending": "AmountExceedsPending",
    "PendingDiffers": "PendingAlreadyPosted",
    "PendingAlreadyPosted": "AmountExceedsPending",
    "PendingExpired": "AmountExceedsPending",
    "ExpiryPast": "BorderCrossed",
    "NotReversible": "ReversalDiffers",
    "ReversalDiffers": "AlreadyReversed",
    "AlreadyReversed": "ReasonMissing",
    "BorderCrossed": "AuthorisationConsumed",
    "AccountClosed": "DebitsFrozen",
    "DebitsFrozen": "CreditsFrozen",
    "CreditsFrozen": "AuthorisationMissing",
    "AuthorisationMissing": "InsufficientFunds",
    "AuthorisationOfAnother": "AuthorisationPayeeDiffers",
    "AuthorisationWithdrawn": "AuthorisationPayeeDiffers",
    "AuthorisationNotYetValid": "AuthorisationPayeeDiffers",
    "AuthorisationExpired": "AuthorisationPayeeDiffers",
    "AuthorisationPayeeDiffers": "AuthorisationCodeDiffers",
    "AuthorisationCodeDiffers": "AuthorisationAmountDiffers",
    "AuthorisationAmountDiffers": "AuthorisationConsumed",
    "TurnoverTooLarge": "CeilingExceeded",
    "InsufficientFunds": "CeilingExceeded",
}
"""The later refusal that each case of the left name would meet if the earlier were not looked for."""


@pytest.fixture
def memory() -> Memory:
    known = streams.memory(streams.world())
    before = judged(known, funded())
    assert refusals(before) == [None] * 14
    # As good as full: one more transfer of the largest amount passes the turnover.
    row = known.accounts.index[PEOPLE["second_bank"]]
    known.accounts.totals[row] = (2**62 - 10**15 + 1, 2**62 - 10**15, 0, 0)
    # So that its time is over before it is used.
    known.authorisations.valid_until[known.authorisations.index[int(order("wang", 7)[4:])]] = 1
    return known


@pytest.mark.parametrize("name", list(CASES))
def test_each_refusal_is_found_and_the_earlier_of_two_wins(memory, name):
    assert refusals(judged(memory, [CASES[name]], NOW + timedelta(minutes=1))) == [name]


def test_the_cases_stand_in_the_order_of_the_list_and_leave_none_out():
    listed = [each.__name__ for each in TRANSFER_REFUSALS]
    by_other_means = ["PendingNotExpired", "LinkedTransferRefused"]
    assert list(CASES) == [each for each in listed if each not in by_other_means]
    assert all(listed.index(earlier) < listed.index(later) for earlier, later in LATER.items())


def test_nothing_expires_before_its_time(memory):
    one = transfers.plain(transfers.parse_id(an_id(50)), *[np.zeros(1, np.int64)] * 3, code=0)
    for pending, expected in ((3, "PendingNotExpired"), (13, "PendingNotExpired"), (8, None)):
        batch = transfers.settling(one, TransferKind.EXPIRE_PENDING, transfers.parse_id(an_id(pending)))
        batch = replace(batch, ids=transfers.parse_id(an_id(50 + pending)))
        result = judgement.in_order(memory, batch, transfers.microseconds(NOW + HOUR), 0)
        assert refusals(result) == [expected]


def test_a_chain_is_posted_whole_or_refused_whole_and_answers_alike_when_asked_again(memory):
    good = [ask(60, "bank", "wang", 5, linked=True), ask(61, "bank", "li", 5)]
    bad = [
        ask(62, "bank", "wang", 5, linked=True),
        ask(63, "platform_2", "platform", 5, linked=True),
        ask(64, "bank", "li", 5),
    ]
    before = memory.accounts.totals.copy()
    told = ["LinkedTransferRefused", "InsufficientFunds", "LinkedTransferRefused"]
    assert refusals(judged(memory, bad)) == told
    assert (memory.accounts.totals == before).all()
    again = judged(memory, bad)
    assert refusals(again) == told
    assert again.replayed.tolist() == [False, True, False]
    # Put right, the chain is posted: only the member that failed by itself needs a new id.
    right = [bad[0], ask(66, "bank", "li", 5, linked=True), bad[2]]
    assert refusals(judged(memory, right)) == [None, None, None]
    first = judged(memory, good)
    assert refusals(first) == [None, None]
    repeated = judged(memory, good)
    assert repeated.replayed.all()
    assert repeated.position.tolist() == first.position.tolist()
    # A member that stands already, alone or in another chain, is no part of a new one.
    mixed = judged(memory, [ask(65, "bank", "wang", 5, linked=True), ask(61, "bank", "li", 5)])
    assert refusals(mixed) == ["LinkedTransferRefused", "IdUsedWithOtherContent"]
    assert refusals(judged(memory, good[1:])) == ["IdUsedWithOtherContent"]


def test_a_repetition_agrees_in_everything_it_says(memory):
    first = ask(70, "bank", "wang", 5, reference="R", value_date=TODAY - timedelta(days=4), at=NOW - HOUR)
    judged(memory, [first])

    def again(**change):

        return refusals(judged(memory, [msgspec.structs.replace(first, **change)], NOW + HOUR))

    assert again() == [None]
    for change in (
        {"reference": None},
        {"value_date": None},
        {"at": None},
        {"payee": "x"},
        {"metadata": {}},
        {"linked": False, "code": "refund"},
    ):
        assert again(**change) == ["IdUsedWithOtherContent"], change


def test_what_a_settlement_leaves_out_means_all_that_was_held(memory):
    judged(memory, [settle(80, 14, amount=20)])
    assert refusals(judged(memory, [settle(80, 14)])) == ["IdUsedWithOtherContent"]
    assert refusals(judged(memory, [settle(80, 14, amount=20)])) == [None]
    judged(memory, [settle(81, 13)])
    assert judged(memory, [settle(81, 13, amount=3)]).replayed.all()


def test_sums_beyond_64_bits_are_judged_one_by_one():
    known = streams.memory(streams.world())
    many = [ask(n, "bank", "suspense", 10**15) for n in range(1, 10_001)]
    assert judgement.at_once(known, transfers.columns(many), transfers.microseconds(NOW), 0) is None
    result = judged(known, many)
    assert refusals(result) == [None] * 4611 + ["TurnoverTooLarge"] * 5389


# ── the same answers as the model ────────────────────────────────────────────────────────────────────────


@settings(max_examples=250, deadline=None)
@given(seed=st.integers(0, 2**40), length=st.integers(1, 60))
def test_the_judge_answers_as_the_plain_model_does(seed, length):
    model: Model = streams.world()
    known = streams.memory(model)
    for call, now in streams.calls(streams.stream(model, seed, length), seed):
        batch = transfers.columns(call)
        today = transfers.day_number((now + 8 * HOUR).date())
        result = judgement.in_order(known, batch, transfers.microseconds(now), today)
        assert answers(result) == model.post(call, now)
    # Nothing comes from nowhere: what was debited was credited, and nobody is below nothing.
    totals = known.accounts.totals
    assert (totals[:, 0].sum(), totals[:, 2].sum()) == (totals[:, 1].sum(), totals[:, 3].sum())
    assert (totals >= 0).all()
    for account in model.accounts.values():
        assert account.family == "external" or account.credits - account.debits - account.debits_held >= 0
    # Client money reaches own accounts as a fee on an entitlement, and in no other way.
    own = sum(model.balance(number) for number, each in model.accounts.items() if each.family == "own")
    paid = sum(each.amount for each in model.posted.values() if _is_fee(model, each) and not each.is_reversed)
    out = sum(
        each.amount for each in model.posted.values() if _is_payout(model, each) and not each.is_reversed
    )
    assert own == paid - out


def _is_fee(model: Model, each) -> bool:
    crosses = (model.accounts[each.debit].family, model.accounts[each.credit].family) == ("client", "own")
    if crosses:
        assert each.code == "fee"
        assert model.terms[each.authorisation].is_entitlement
    return crosses and each.kind in ("posted", "post_pending")


def _is_payout(model: Model, each) -> bool:
    if each.is_reversal:
        return False
    return (model.accounts[each.debit].family, model.accounts[each.credit].family) == ("own", "external")


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**40), length=st.integers(1, 40))
def test_at_once_gives_the_answer_of_one_by_one_whenever_it_answers(seed, length):
    """Only requests that could be judged at once are left, so that it does answer."""
    model = streams.world()
    plain = [
        each
        for each in streams.stream(model, seed, 4 * length)
        if each.kind == "posted"
        and not (each.linked or each.balancing or each.reverses_id)
        and each.amount_minor < 300
    ]
    now, today = transfers.microseconds(NOW), transfers.day_number(TODAY)
    left, right = streams.memory(model), streams.memory(model)
    for memory in (left, right):
        judged(memory, [ask(10_001, "bank", "wang", 10_000), ask(10_002, "bank", "li", 200)])
    while plain:
        call, plain = plain[:3], plain[3:]
        batch = transfers.columns(call)
        totals, uses = left.accounts.totals.copy(), left.authorisations.uses.copy()
        at_once = judgement.at_once(left, batch, now, today)
        one_by_one = judgement.in_order(right, batch, now, today)
        if at_once is None:
            assert (left.accounts.totals == totals).all()
            assert (left.authorisations.uses == uses).all()
            at_once = judgement.in_order(left, batch, now, today)
        for column in COLUMNS:
            assert (getattr(at_once, column) == getattr(one_by_one, column)).all(), column
        assert (left.accounts.totals == right.accounts.totals).all()
        assert (left.authorisations.uses == right.authorisations.uses).all()
        assert (left.authorisations.used == right.authorisations.used).all()
        # At once remembers no id: the table turns a repeated one away.
        for each in call:
            right.known.pop(transfers.parse_id(each.id), None)
            left.known.pop(transfers.parse_id(each.id), None)

"""The ledger on a real database: what was answered stands, in one order, whatever is forgotten or repeated."""

from __future__ import annotations

import itertools
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest
from django.db import connections
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tallystick.custody import accounts, books, codes, errors, history, instructions, ledger, posting
from tallystick.custody.accounts import NewAccount
from tallystick.custody.models import AccountStatus, AmountRule
from tallystick.custody.numbers import AuthorisationKind, BookId, Family
from tallystick.custody.transfers import TransferRequest
from tallystick.identity.access import Actor
from tallystick.identity.errors import AccessDenied
from tallystick.identity.roles import Role
from tests.custody import cast, streams
from tests.custody.cast import BOOK, DB, NOW, OPENED, SIMULATION, an_id, ask
from tests.custody.model import Account, Answer, Model, Terms

HOUR = timedelta(hours=1)


def posted(requests, now=NOW, book=BOOK) -> ledger.Results:
    return ledger.post(DB, book, requests, actor=SIMULATION, now=now)


def refusals(results: ledger.Results) -> list[str | None]:
    return [(why := results.refusal_of(i)) and why.__name__ for i in range(len(results))]


def rows(sql: str, *parameters: object) -> list[tuple]:
    with connections[DB].cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


@pytest.fixture
def people(ledger_database):
    return cast.opened()


def test_each_transfer_sees_what_its_predecessors_left(people):
    order = cast.authorised(people.wang, people.li, 60_00, amount_rule=AmountRule.AT_MOST, uses_max=9)
    results = posted(
        [
            ask(1, people.bank, people.wang, 100_00),
            ask(2, people.wang, people.li, 60_00, "lend", authorisation=order),
            ask(3, people.wang, people.li, 60_00, "lend", authorisation=order),
            ask(4, people.wang, people.li, 40_00, "lend", authorisation=order),
        ]
    )
    assert refusals(results) == [None, None, "InsufficientFunds", None]
    assert results.position.tolist() == [1, 2, 0, 3]
    assert results.after[:, 0].tolist()[-1] == [100_00, 100_00, 0, 0]
    assert results.amount.tolist() == [100_00, 60_00, 0, 40_00]


def test_a_repetition_gets_the_first_answer_from_a_writer_that_has_forgotten_everything(people):
    order = cast.authorised(people.wang, people.li, 100_00)
    requests = [
        ask(1, people.bank, people.wang, 100_00, reference="R-1", metadata={"b": 1, "a": [2]}),
        ask(2, people.wang, people.li, 100_00, "lend", authorisation=order, value_date=date(2026, 2, 1)),
        ask(3, people.wang, people.li, 100_00, "lend", authorisation=order),
        ask(4, people.bank, people.wang, 1, linked=True),
        ask(5, people.platform, people.bank, 1, "fee_payout"),
        ask(6, people.bank, people.li, 1, linked=True),
        ask(7, people.bank, people.li, 2),
    ]
    first = posted(requests)
    assert refusals(first) == [
        None,
        None,
        "AuthorisationConsumed",
        "LinkedTransferRefused",
        "InsufficientFunds",
        None,
        None,
    ]
    assert not first.replayed.any()
    for _ in range(2):
        posting.close()
        # 王芳's money is gone and her order used up: the repetition is not judged anew.
        again = posted(requests, NOW + HOUR)
        assert again.replayed.tolist() == [refusal != "LinkedTransferRefused" for refusal in refusals(first)]
        for column in ("refusal", "position", "amount", "after"):
            assert (getattr(again, column) == getattr(first, column)).all(), column
        accepted = first.refusal == 0
        assert (again.recorded_at[accepted] == first.recorded_at[accepted]).all()
    posting.close()
    # Alone too, each in a call of its own.
    assert posted([requests[1]]).replayed.all()
    posting.close()
    assert refusals(posted([requests[2]])) == ["AuthorisationConsumed"]
    assert rows("select count(*) from custody_transfer") == [(4,)]
    assert rows("select count(*) from custody_transfer_refusal") == [(2,)]


def test_an_id_with_other_content_is_refused_and_changes_nothing(people):
    request = ask(1, people.bank, people.wang, 100_00, reference="R-1")
    posted([request])
    posting.close()
    other = msgspec.structs.replace(request, amount_minor=100_01)
    assert refusals(posted([other, request])) == ["IdUsedWithOtherContent", None]
    assert history.balance(DB, people.wang).balance_minor == 100_00
    refused = ask(2, people.wang, people.li, 1, "lend")
    posted([refused])
    posting.close()
    assert refusals(posted([msgspec.structs.replace(refused, amount_minor=2), refused])) == [
        "IdUsedWithOtherContent",
        "AuthorisationMissing",
    ]


def test_a_pending_transfer_is_held_then_posted_in_part_voided_or_expired(people):
    order = cast.authorised(
        people.wang,
        people.bank,
        100_00,
        amount_rule=AmountRule.AT_MOST,
        uses_max=9,
        code=codes.Code.WITHDRAWAL,
    )
    requests = [ask(1, people.bank, people.wang, 100_00)]
    requests += [
        ask(
            n,
            people.wang,
            people.bank,
            30_00,
            "withdrawal",
            kind="pending",
            authorisation=order,
            expires_at=expiry,
        )
        for n, expiry in ((2, None), (3, None), (4, NOW + HOUR))
    ]
    posted(requests)
    assert history.balance(DB, people.wang).available_minor == 10_00
    settled = posted(
        [
            TransferRequest(id=an_id(5), kind="post_pending", pending_id=an_id(2), amount_minor=20_00),
            TransferRequest(id=an_id(6), kind="void_pending", pending_id=an_id(3)),
            TransferRequest(id=an_id(7), kind="post_pending", pending_id=an_id(3)),
        ]
    )
    assert refusals(settled) == [None, None, "PendingAlreadyVoided"]
    assert ledger.expire_pending(DB, BOOK, actor=SIMULATION, now=NOW) == 0
    assert history.balance(DB, people.wang).available_minor == 50_00
    assert ledger.expire_pending(DB, BOOK, actor=SIMULATION, now=NOW + HOUR) == 1
    assert ledger.expire_pending(DB, BOOK, actor=SIMULATION, now=NOW + HOUR) == 0
    balance = history.balance(DB, people.wang)
    assert (balance.available_minor, balance.held_minor, balance.balance_minor) == (80_00, 0, 80_00)
    posting.close()
    late = TransferRequest(id=an_id(8), kind="post_pending", pending_id=an_id(4))
    assert refusals(posted([late], NOW + HOUR)) == ["PendingExpired"]


def test_a_reversal_is_the_opposite_once_with_a_reason_by_an_approver(people):
    posted([ask(1, people.bank, people.wang, 100_00)])
    posting.close()
    back = ask(
        2, people.wang, people.bank, 100_00, "correction", reverses_id=an_id(1), reason="twice at the bank"
    )
    with pytest.raises(AccessDenied):
        ledger.post(DB, BOOK, [back], actor=cast.OPERATIONS, now=NOW)
    assert refusals(posted([back])) == [None]
    posting.close()
    again = msgspec.structs.replace(back, id=an_id(3))
    assert refusals(posted([again])) == ["AlreadyReversed"]
    assert history.balance(DB, people.wang).balance_minor == 0


def test_who_may_not_post_posts_nothing(people):
    with pytest.raises(AccessDenied):
        ledger.post(DB, BOOK, [ask(1, people.bank, people.wang, 1)], actor=cast.WANG_FANG, now=NOW)
    assert rows("select count(*) from custody_transfer") == [(0,)]


def test_a_chain_must_end_within_its_call(people):
    with pytest.raises(errors.Malformed, match="linked"):
        posted([ask(1, people.bank, people.wang, 1, linked=True)])


def test_a_state_changed_and_a_word_withdrawn_hold_from_the_next_batch_on(people):
    order = cast.authorised(people.wang, people.li, 1_00, amount_rule=AmountRule.AT_MOST, uses_max=9)
    posted(
        [
            ask(1, people.bank, people.wang, 100_00),
            ask(2, people.wang, people.li, 1, "lend", authorisation=order),
        ]
    )
    accounts.change_state(DB, people.li, AccountStatus.CREDITS_FROZEN, "court", actor=SIMULATION, now=NOW)
    assert refusals(posted([ask(3, people.wang, people.li, 1, "lend", authorisation=order)])) == [
        "CreditsFrozen"
    ]
    accounts.change_state(
        DB, people.li, AccountStatus.OPEN, "court", ceiling_minor=2, actor=SIMULATION, now=NOW
    )
    four = [ask(n, people.wang, people.li, 1, "lend", authorisation=order) for n in (4, 5)]
    assert refusals(posted(four)) == [None, "CeilingExceeded"]
    instructions.withdraw(DB, order, "changed my mind", actor=SIMULATION, now=NOW)
    assert refusals(posted([ask(6, people.wang, people.li, 1, "lend", authorisation=order)])) == [
        "AuthorisationWithdrawn"
    ]


def test_a_backdated_value_date_never_changes_a_past_position(people):
    posted([ask(1, people.bank, people.wang, 100_00)])
    before = history.trial_balance(DB, BOOK, at_position=1)
    posted(
        [ask(2, people.bank, people.wang, 7, value_date=date(2020, 1, 1), at=OPENED - 9000 * HOUR)],
        NOW + HOUR,
    )
    assert history.trial_balance(DB, BOOK, at_position=1) == before
    assert history.balance(DB, people.wang, at_time=NOW).balance_minor == 100_00


def test_a_formula_counts_its_days_from_the_books_first_day(people):
    """From midnight of 1 March in Shanghai, which is still February in Greenwich."""
    start = OPENED.replace(hour=16) - timedelta(days=1)
    order = cast.authorised(
        people.wang,
        people.li,
        36_500_00,
        amount_rule=AmountRule.FORMULA,
        rate_ppm=100_000,
        day_basis=365,
        total_max_minor=1_000_00,
        code=codes.Code.INTEREST,
        valid_from=start,
    )
    ten_days = date(2026, 3, 11)
    assert instructions.formula_amount(instructions.authorisation(DB, order), ten_days) == 100_00
    posted([ask(1, people.bank, people.wang, 500_00)])
    due = ask(2, people.wang, people.li, 100_00, "interest", authorisation=order, value_date=ten_days)
    assert refusals(posted([due])) == [None]


def test_every_batch_tells_the_evidence_who_asked_and_what_was_refused(people):
    posted([ask(1, people.bank, people.wang, 1), ask(2, people.wang, people.li, 1, "lend")])
    ((payload,),) = rows(
        "select p.payload::json from evidence_outbox o join evidence_payload p on p.event_id = o.id"
        " where o.kind = 'custody.transfers_posted'"
    )
    assert (payload["first_position"], payload["last_position"], payload["transfers"]) == (1, 1, 1)
    assert payload["refused"] == {"authorisation_missing": 1}
    assert payload["by"] == [["system:simulation", 2]]
    ((code, actor),) = rows("select code, actor from custody_transfer_refusal")
    assert (code, actor) == ("authorisation_missing", "system:simulation")


def test_two_processes_post_to_one_book_in_one_order(ledger_database, people):
    """Each answer's position is where the transfer stands; no gap, nothing doubled, nothing lost."""
    count = 300
    command = [sys.executable, "-m", "tests.custody.posting_process", str(BOOK)]
    several = [
        subprocess.Popen(
            [*command, str(seed), str(count), str(people.bank), str(people.wang), str(people.li)],
            stdout=subprocess.PIPE,
            text=True,
            env={**ledger_database.environ, "DJANGO_SETTINGS_MODULE": "tallystick.settings"},
            cwd=Path(__file__).parents[2],
        )
        for seed in (1, 2)
    ]
    told = {}
    for each in several:
        out, _ = each.communicate(timeout=120)
        assert each.returncode == 0
        told |= dict(line.split() for line in out.splitlines())
    stand = {
        str(transfer): str(position)
        for transfer, position in rows("select id, position from custody_transfer")
    }
    assert stand == told
    assert sorted(int(position) for position in stand.values()) == list(range(1, 2 * count + 1))
    batches = rows(
        "select first_position, last_position, recorded_at from custody_batch order by last_position"
    )
    assert all(
        after[0] == before[1] + 1 and after[2] >= before[2] for before, after in itertools.pairwise(batches)
    )
    assert -history.balance(DB, people.bank).balance_minor + 2 * count == 0
    clients = [history.balance(DB, each).balance_minor for each in (people.wang, people.li)]
    assert sum(clients) == 2 * count


# ── the whole against the model ──────────────────────────────────────────────────────────────────────────


def opened_world(model: Model, book: BookId) -> Model:
    """The world of the streams as a new book and its neighbour: the same in the tables and the model."""
    for each in (book, book + 1):
        books.open_book(DB, each, f"Book {each}", actor=SIMULATION, now=OPENED)
    numbers: dict[int, int] = {}
    for old in model.accounts.values():
        family = Family[old.family.upper()]
        (number,) = accounts.open_many(
            DB,
            book + old.number // 10**15 - model.book,
            [
                NewAccount(
                    family=family,
                    asset_code={156: "CNY", 840: "USD"}[old.number // 10**10 % 10**4],
                    owner=f"C-{old.number}" if family == Family.CLIENT else "",
                    name=str(old.number),
                    reference=str(old.number),
                    no_overdraft=old.is_limited,
                    ceiling_minor=old.ceiling,
                )
            ],
            actor=SIMULATION,
            now=OPENED,
        )
        numbers[old.number] = number
        if old.status != "open":
            accounts.change_state(DB, number, AccountStatus(old.status), "so", actor=SIMULATION, now=OPENED)
    real = Model(book)
    for old in model.accounts.values():
        real.accounts[numbers[old.number]] = Account(
            numbers[old.number], old.is_credit_normal, old.is_limited, old.ceiling, old.status
        )
    for old in model.terms.values():
        given = {
            "valid_from": max(old.valid_from, OPENED),
            "valid_until": min(old.valid_until, NOW + 9000 * HOUR),
        }
        formula = {"rate_ppm": old.rate_ppm, "day_basis": old.day_basis} if old.rule == "formula" else {}
        number = instructions.authorise(
            DB,
            numbers[old.debit],
            kind=AuthorisationKind(old.number % 10),
            credit_account=numbers[old.credit],
            payee=old.payee,
            code=codes.BY_TEXT[old.code],
            amount_rule=AmountRule[old.rule.upper()],
            amount_minor=old.amount,
            total_max_minor=min(old.total_most, 10**12),
            uses_max=old.uses_most,
            basis=f"order {old.number}",
            actor=SIMULATION,
            now=OPENED,
            **given,
            **formula,
        )
        if old.is_withdrawn:
            instructions.withdraw(DB, number, "so", actor=SIMULATION, now=OPENED)
        real.terms[number] = Terms(
            number, numbers[old.debit], numbers[old.credit], old.code, old.amount, old.rule, old.payee,
            min(old.total_most, 10**12), old.uses_most, rate_ppm=old.rate_ppm, day_basis=old.day_basis,
            first_day=date(2026, 3, 1), is_withdrawn=old.is_withdrawn, **given,
        )  # fmt: skip
    return real


class Ledger(RuleBasedStateMachine):
    """Calls of random streams, a writer that forgets, time that passes, limits that change: as the model says."""

    run = itertools.count(1)

    @initialize(seed=st.integers(0, 2**40))
    def begin(self, seed: int) -> None:
        run = next(self.run)
        self.model = opened_world(streams.world(), BookId(2 * run))
        self.now = NOW
        self.requests = streams.stream(self.model, seed, 400, first_id=run * 10**6)
        self.asked: list[TransferRequest] = []

    def _post(self, call: list[TransferRequest]) -> None:
        call[-1] = msgspec.structs.replace(call[-1], linked=False)
        results = posted(call, self.now, self.model.book)
        told = [
            Answer(
                refusal,
                bool(results.replayed[i]),
                int(results.position[i]),
                int(results.amount[i]),
                tuple(tuple(side) for side in results.after[i].tolist()),
            )
            for i, refusal in enumerate(refusals(results))
        ]
        assert told == self.model.post(call, self.now)
        self.asked += call

    @rule(size=st.integers(1, 12))
    def post(self, size: int) -> None:
        call, self.requests = self.requests[:size], self.requests[size:]
        if call:
            self._post(call)

    @rule(data=st.data())
    def ask_again(self, data: st.DataObject) -> None:
        if self.asked:
            self._post([data.draw(st.sampled_from(self.asked))])

    @rule()
    def forget(self) -> None:
        posting.close()

    @rule(minutes=st.sampled_from((1, 60, 600)))
    def wait(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule()
    def expire(self) -> None:
        held = [
            each
            for each in self.model.posted.values()
            if each.kind == "pending"
            and each.expires_at
            and each.expires_at <= self.now
            and not each.settled_by
        ]
        assert ledger.expire_pending(DB, self.model.book, actor=SIMULATION, now=self.now) == len(held)
        for each in sorted(held, key=lambda each: each.expires_at):
            expiry = TransferRequest(id=f"expiry of {each.id}", kind="expire_pending", pending_id=each.id)  # type: ignore[arg-type]
            assert self.model.post([expiry], self.now)[0].refusal is None

    @rule(which=st.integers(0, 6), ceiling=st.sampled_from((None, 0, 100, 400)))
    def limit(self, which: int, ceiling: int | None) -> None:
        account = list(self.model.accounts.values())[which]
        if account.ceiling != ceiling:
            accounts.change_state(
                DB,
                account.number,
                AccountStatus.OPEN,
                "so",
                ceiling_minor=ceiling,
                actor=SIMULATION,
                now=self.now,
            )
            account.ceiling = ceiling

    @invariant()
    def balances_agree(self) -> None:
        if not hasattr(self, "model"):
            return
        stand = rows(
            "select distinct on (account) account, debits_posted, credits_posted, debits_pending, credits_pending"
            " from custody_entry where account / 1000000000000000 = %s order by account, position desc",
            self.model.book,
        )
        told = {each.number: each.totals for each in self.model.accounts.values() if any(each.totals)}
        assert {account: tuple(totals) for account, *totals in stand if any(totals)} == told
        assert rows(
            "select count(*), coalesce(max(position), 0) from custody_transfer where book_id = %s",
            self.model.book,
        ) == [(self.model.position, self.model.position)]


@pytest.mark.parametrize(
    ("examples", "steps"),
    [pytest.param(8, 20, id="short"), pytest.param(250, 50, id="long", marks=pytest.mark.slow)],
)
def test_the_ledger_answers_as_the_plain_model_does(ledger_database, examples, steps):
    """Each run of the machine is a book of its own."""
    Ledger.run = itertools.count(1)
    run_state_machine_as_test(
        Ledger,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_reversals_are_the_approvers_and_everything_else_is_operations(people):
    deposit = ask(700, people.bank, people.wang, 5)
    back = ask(701, people.wang, people.bank, 5, reverses_id=an_id(700), reason="Paid in by mistake.")
    operations, approver = (
        Actor(id="usr_1", name="", roles=frozenset({Role.PLATFORM_OPERATIONS})),
        Actor(id="usr_2", name="", roles=frozenset({Role.PLATFORM_APPROVER})),
    )
    for actor, requests in ((approver, [deposit]), (operations, [back]), (approver, [deposit, back])):
        with pytest.raises(AccessDenied):
            ledger.post(DB, BOOK, requests, actor=actor, now=NOW)
    assert ledger.post(DB, BOOK, [deposit], actor=operations, now=NOW).accepted == 1
    assert ledger.post(DB, BOOK, [back], actor=approver, now=NOW).accepted == 1


def test_a_book_that_was_never_opened_takes_nothing(people):
    with pytest.raises(errors.BookUnknown):
        ledger.post(DB, BookId(898), [ask(710, people.bank, people.wang, 5)], actor=SIMULATION, now=NOW)

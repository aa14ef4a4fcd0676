"""Signs of pooling: each is found where it is, cites the transfers that show it, and is silent where it is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tallystick.core.db import APP
from tallystick.custody import history, posting
from tallystick.custody.codes import Code
from tallystick.custody.errors import AssetUnknown, PositionUnknown
from tallystick.custody.numbers import BookId
from tallystick.custody.pooling import indicators, movements, provenance
from tallystick.custody.pooling.indicators import Check, Indicator, Sign, State
from tallystick.custody.pooling.movements import Movements
from tallystick.simulation import pools, scenarios, stage, world

SEEDS = range(20)
BANK, FEES, ANNA, BEN, LOAN_X, XAVER, LOAN_Y, YANN, LOAN_X2 = range(1, 10)
OWNERS = {
    ANNA: "anna",
    BEN: "ben",
    LOAN_X: "xaver",
    XAVER: "xaver",
    LOAN_X2: "xaver",
    LOAN_Y: "yann",
    YANN: "yann",
}


def told(*lines: tuple[Code, int, int, int] | tuple[Code, int, int, int, int], terms: dict[int, int] | None = None,
         undoes: dict[int, int] | None = None, schedules: dict[int, int] | None = None) -> Movements:  # fmt: skip
    """Movements a day apart, or on the day that stands last in the line; positions from 1 on."""
    rows = []
    for i, (code, giver, taker, amount, *day) in enumerate(lines, 1):
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day[0] if day else i)
        term = (terms or {}).get(i, 0)
        rows.append(
            (i, int(code), giver, taker, amount, int(at.timestamp() * 1e6), term, (undoes or {}).get(i, 0))
        )
    return movements.columns(rows, OWNERS, schedules or {})


def sign(check: Check, wanted: Sign) -> Indicator:
    return next(each for each in check.indicators if each.sign == wanted)


def found(check: Check) -> set[Sign]:
    return {each.sign for each in check.indicators if each.state == State.FOUND}


HONEST = (
    (Code.TOP_UP, BANK, ANNA, 1000),
    (Code.LEND, ANNA, LOAN_X, 1000),
    (Code.FEE, LOAN_X, FEES, 10),
    (Code.DISBURSE, LOAN_X, XAVER, 990),
    (Code.WITHDRAWAL, XAVER, BANK, 990),
    (Code.TOP_UP, BANK, XAVER, 1010, 30),
    (Code.REPAY, XAVER, LOAN_X, 1010, 30),
    (Code.REPAY, LOAN_X, ANNA, 1000, 30),
    (Code.INTEREST, LOAN_X, ANNA, 10, 30),
)


def test_an_honest_loan_is_clear_and_what_is_not_known_is_undetermined() -> None:
    """Lent, paid out, repaid from outside: clear. Nothing lent at all: undetermined, never clear."""
    check = indicators.judge(told(*HONEST))
    assert check.state == State.CLEAR
    assert [each.numerator_minor for each in check.indicators] == [0] * 5
    assert sign(check, Sign.TERM_MISMATCH).state == State.UNDETERMINED
    assert indicators.judge(told((Code.TOP_UP, BANK, ANNA, 5))).state == State.UNDETERMINED
    assert indicators.judge(told()).state == State.UNDETERMINED


def test_an_old_claim_paid_with_new_money_is_found_with_its_lines() -> None:
    """Ben's money, just lent, is paid out to Anna: the payment and the lending are cited."""
    check = indicators.judge(
        told(
            (Code.TOP_UP, BANK, ANNA, 1000),
            (Code.LEND, ANNA, LOAN_X, 1000),
            (Code.DISBURSE, LOAN_X, XAVER, 1000),
            (Code.WITHDRAWAL, XAVER, BANK, 1000),
            (Code.TOP_UP, BANK, BEN, 600),
            (Code.LEND, BEN, LOAN_X, 600),
            (Code.REPAY, LOAN_X, ANNA, 500),
        )
    )
    (finding,) = sign(check, Sign.NEW_MONEY).findings
    assert (finding.position, finding.amount_minor, finding.of_minor, finding.evidence) == (
        7,
        500,
        500,
        (6, 7),
    )
    assert finding.account == LOAN_X
    (strayed,) = sign(check, Sign.UNATTRIBUTED).findings
    assert (strayed.cause, strayed.position, strayed.amount_minor, strayed.evidence) == (
        "paid_to_others",
        6,
        500,
        (6, 7),
    )
    assert sign(check, Sign.ROLLED_OVER).numerator_minor == 0


def test_a_loan_repaid_out_of_the_next_one_is_rolled_over() -> None:
    """The same borrower, another loan: its money pays the first one's lender."""
    check = indicators.judge(
        told(
            (Code.TOP_UP, BANK, ANNA, 1000),
            (Code.LEND, ANNA, LOAN_X, 1000),
            (Code.DISBURSE, LOAN_X, XAVER, 1000),
            (Code.WITHDRAWAL, XAVER, BANK, 1000),
            (Code.TOP_UP, BANK, BEN, 1000),
            (Code.LEND, BEN, LOAN_X2, 1000, 30),
            (Code.DISBURSE, LOAN_X2, XAVER, 1000, 30),
            (Code.TOP_UP, BANK, XAVER, 300, 30),
            (Code.REPAY, XAVER, LOAN_X, 1000, 31),
            (Code.REPAY, LOAN_X, ANNA, 1000, 31),
        )
    )
    (finding,) = sign(check, Sign.ROLLED_OVER).findings
    # The 300 from outside are taken to have paid first.
    assert (finding.position, finding.amount_minor, finding.evidence) == (10, 700, (6, 10))
    assert found(check) == {Sign.NEW_MONEY, Sign.ROLLED_OVER}


def test_doubt_is_decided_for_the_platform() -> None:
    """Unspent proceeds of the very loan, one's own money back, and what came from nowhere are no new money."""
    proceeds = told(
        (Code.LEND, ANNA, LOAN_X, 1000),
        (Code.DISBURSE, LOAN_X, XAVER, 1000),
        (Code.REPAY, XAVER, LOAN_X, 1000, 40),
        (Code.REPAY, LOAN_X, ANNA, 1000, 40),
    )
    back = told((Code.LEND, ANNA, LOAN_X, 400), (Code.LEND, BEN, LOAN_X, 400), (Code.REPAY, LOAN_X, ANNA, 400),
                (Code.REFUND, LOAN_X, BEN, 400))  # fmt: skip
    unknown = told((Code.REPAY, LOAN_X, ANNA, 400))
    for moved in (proceeds, back, unknown):
        assert sign(indicators.judge(moved), Sign.NEW_MONEY).state == State.CLEAR
    spent = provenance.follow(back, window_days=10).spent
    assert {each.fate for each in spent} == {provenance.Fate.BACK}


def test_money_that_lies_idle_where_it_was_lent_to_has_found_no_loan() -> None:
    """For fifteen days it may wait; after that it is not attributable to a loan."""
    lent = (Code.LEND, ANNA, LOAN_X, 1000, 0)
    early = indicators.judge(told(lent, (Code.TOP_UP, BANK, BEN, 1, 14)))
    late = indicators.judge(told(lent, (Code.TOP_UP, BANK, BEN, 1, 16)))
    assert sign(early, Sign.UNATTRIBUTED).state == State.CLEAR
    (finding,) = sign(late, Sign.UNATTRIBUTED).findings
    assert (finding.cause, finding.amount_minor, finding.evidence) == ("lies_idle", 1000, (1,))


def test_money_in_a_circle_is_cited_step_by_step_and_slow_money_is_not() -> None:
    """Round three clients in ten days, to the amount that came back; not in forty."""
    for days, is_found in ((1, True), (20, False)):
        check = indicators.judge(
            told(
                (Code.TOP_UP, BANK, ANNA, 1000, 0),
                (Code.TRANSFER, ANNA, BEN, 900, 0),
                (Code.TRANSFER, BEN, XAVER, 800, days),
                (Code.TRANSFER, XAVER, ANNA, 700, 2 * days),
            )
        )
        circular = sign(check, Sign.CIRCULAR)
        assert (circular.state == State.FOUND) == is_found
        if is_found:
            (finding,) = circular.findings
            assert (finding.amount_minor, finding.evidence) == (700, (2, 3, 4))
            assert circular.denominator_minor == 2400


def test_money_lent_for_a_month_on_a_loan_of_a_year_is_a_mismatch() -> None:
    """Terms as metadata state them; of a disbursement without, as the schedule of repayments does."""
    lent = ((Code.LEND, ANNA, LOAN_X, 1000), (Code.DISBURSE, LOAN_X, XAVER, 1000))
    stated = sign(indicators.judge(told(*lent, terms={1: 30, 2: 360})), Sign.TERM_MISMATCH)
    assert [(each.days, each.evidence) for each in stated.findings] == [((30, 360), (1, 2))]
    scheduled = sign(
        indicators.judge(told(*lent, terms={1: 30}, schedules={LOAN_X: 360})), Sign.TERM_MISMATCH
    )
    assert [(each.days, each.evidence) for each in scheduled.findings] == [((30, 360), (1,))]
    equal = sign(indicators.judge(told(*lent, terms={1: 360, 2: 360})), Sign.TERM_MISMATCH)
    assert (equal.state, equal.denominator_minor) == (State.CLEAR, 1000)


@pytest.mark.parametrize(
    ("metadata", "term"),
    [(None, 0), ('{"term_days":30}', 30), ('{"term_days":"30"}', 0), ('{"term_days":true}', 0),
     ('{"term_days":0}', 0), ('{"term_days":1e3}', 0), ('["term_days"]', 0), ('{"term_days":99999}', 0)],
)  # fmt: skip
def test_a_term_is_a_whole_number_of_days_or_none(metadata: str | None, term: int) -> None:
    """Whatever else metadata hold is the platform's business and breaks nothing."""
    assert movements.term_of(metadata) == term


def test_what_was_reversed_was_never_there() -> None:
    """A lending and its reversal are in no figure."""
    check = indicators.judge(
        told(
            (Code.LEND, ANNA, LOAN_X, 500, 0),
            (Code.LEND, LOAN_X, ANNA, 500, 1),
            (Code.TOP_UP, BANK, BEN, 1, 60),
            undoes={2: 1},
        )
    )
    assert (check.transfers, check.reversed_pairs) == (1, 1)
    assert sign(check, Sign.UNATTRIBUTED).denominator_minor == 0


def test_what_is_judged_is_after_a_position_and_what_is_followed_is_everything() -> None:
    """New money before the period still pays a claim within it, and a claim before is not counted."""
    lines = (
        (Code.LEND, ANNA, LOAN_X, 100),
        (Code.DISBURSE, LOAN_X, XAVER, 100),
        (Code.WITHDRAWAL, XAVER, BANK, 100),
        (Code.LEND, BEN, LOAN_X, 100),
        (Code.REPAY, LOAN_X, ANNA, 60),
        (Code.REPAY, LOAN_X, ANNA, 40),
    )
    later = sign(indicators.judge(told(*lines), after_position=5), Sign.NEW_MONEY)
    assert (later.numerator_minor, later.denominator_minor) == (40, 40)
    assert later.findings[0].evidence == (4, 6)


def test_ponzi_and_clean_platforms_are_told_apart_over_many_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    """Twenty of each: every pool is found, no clean one is, and what separates them is printed."""
    clean = [indicators.judge(pools.moved(pools.clean(seed))) for seed in SEEDS]
    ponzi = [indicators.judge(pools.moved(pools.ponzi(seed))) for seed in SEEDS]
    with capsys.disabled():
        print("\n  in percent               clean, most    ponzi, least / median / most    found in")
        for each in Sign:
            low = max(sign(check, each).value_ppm or 0 for check in clean) / 10_000
            high = sorted((sign(check, each).value_ppm or 0) / 10_000 for check in ponzi)
            count = sum(sign(check, each).state == State.FOUND for check in ponzi)
            print(f"  {each:<24} {low:>8.2f}       {high[0]:>8.2f} / {high[len(high) // 2]:.2f} / {high[-1]:.2f}"
                  f"    {count} of {len(ponzi)}")  # fmt: skip
    assert {check.state for check in clean} == {State.CLEAR}
    assert {check.state for check in ponzi} == {State.FOUND}
    worst_clean = max(sign(check, Sign.NEW_MONEY).value_ppm or 0 for check in clean)
    best_ponzi = min(sign(check, Sign.NEW_MONEY).value_ppm or 0 for check in ponzi)
    assert best_ponzi > 4 * worst_clean
    for check in ponzi:
        for indicator in check.indicators:
            for finding in indicator.findings:
                assert finding.evidence
                assert finding.amount_minor > 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_simulated_platform_with_all_its_mischief_is_clear(seed: int) -> None:
    """Three months of bids, instalments, failed payouts, reversals and fraud by customers: no pooling."""
    place = world.make(seed=seed, customers=60, first_day=date(2026, 7, 21), last_day=date(2026, 10, 20))
    check = indicators.judge(pools.moved(list(scenarios.generate(place, 3000))))
    assert check.state == State.CLEAR, [(each.sign, each.value_ppm) for each in check.indicators]
    assert sign(check, Sign.NEW_MONEY).denominator_minor > 0


@pytest.fixture(scope="module")
def pooled(ledger_database_module: Any) -> Iterator[Sequence[Any]]:
    """A Ponzi scheme on a real ledger: seven weeks of it."""
    happened = pools.ponzi(6, 50)
    played = stage.set_up(APP, BookId(1), now=happened[0].at)
    for act in happened:
        pools.perform(played, act)
    yield happened
    posting.in_process().close()


def test_the_ledger_alone_says_what_the_acts_said(pooled: Sequence[Any]) -> None:
    """Read from the tables the check is the one made of the acts, and every position cited is a transfer's."""
    check = indicators.check(APP, 1, "CNY")
    acted = indicators.judge(pools.moved(pooled))
    assert check.state == State.FOUND
    cited = 0
    for read, made in zip(check.indicators, acted.indicators, strict=True):
        assert (read.numerator_minor, read.denominator_minor) == (
            made.numerator_minor,
            made.denominator_minor,
        )
        assert [each.evidence for each in read.findings] == [each.evidence for each in made.findings]
        for finding in read.findings[:5]:
            for position in finding.evidence:
                assert history.transfer_at(APP, 1, position).position == position
                cited += 1
    assert cited > 10


def test_a_past_state_is_judged_as_it_was(pooled: Sequence[Any]) -> None:
    """Up to a position nothing later counts; what the book has not is refused."""
    whole = indicators.check(APP, 1, "CNY")
    early = indicators.check(APP, 1, "CNY", to_position=whole.to_position // 2)
    assert early.to_position <= whole.to_position // 2
    assert early.transfers < whole.transfers
    with pytest.raises(PositionUnknown):
        indicators.check(APP, 1, "CNY", to_position=10**9)
    with pytest.raises(AssetUnknown):
        indicators.check(APP, 1, "XXX")
    assert [asset.code for asset in indicators.assets_of(APP, 1)] == ["CNY"]

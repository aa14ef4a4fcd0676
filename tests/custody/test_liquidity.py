"""Liquidity: forecasts that say how far they may be off, warnings before the shortfall, a queue in order."""

from __future__ import annotations

import csv
import os
import random
from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from statistics import median

import psycopg
import pytest

from tallystick.core.calendars import Calendar
from tallystick.custody import book_days, errors, history, holders
from tallystick.custody.codes import Code
from tallystick.custody.liquidity import assessments, backtest, coverage, flows, forecast, limits, waiting
from tallystick.custody.liquidity.coverage import Funds, Level
from tallystick.custody.liquidity.flows import Day, Flows
from tallystick.custody.liquidity.forecast import Ahead, Model
from tallystick.custody.models import AmountRule
from tallystick.custody.numbers import AuthorisationKind
from tallystick.custody.transfers import TransferRequest
from tallystick.identity.errors import AccessDenied
from tests.custody import cast
from tests.custody.cast import APPROVER, AUDITOR, BOOK, DB, OPERATIONS, SIMULATION, ask

FIRST = date(2026, 1, 5)


def calm(days: int, *, seed: int = 3, level: int = 900_000) -> list[int]:
    """Daily sums of many payments, less at weekends, more on the last of a month."""
    chance = random.Random(seed)
    told = []
    for n in range(days):
        day = FIRST + timedelta(days=n)
        many = 60 * (2 if day.weekday() < 5 else 1) * (2 if (day + timedelta(days=1)).day == 1 else 1)
        told.append(sum(chance.randrange(1, 2 * level // 100) for _ in range(many)))
    return told


def certain(amounts: list[int]) -> list[Ahead]:
    """A forecast without doubt."""
    return [Ahead(FIRST + timedelta(days=n), *[amount] * 5) for n, amount in enumerate(amounts)]


# ── forecast ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_forecast_knows_the_week_and_the_month_end():
    """A month's last day is told higher than other weekdays, a weekend lower; bands lie around it."""
    told = Model(calm(112), FIRST, Calendar.WEEKENDS).ahead(7)
    by_day = {each.day: each for each in told.days}
    month_end, wednesday, sunday = (
        by_day[day] for day in (date(2026, 4, 30), date(2026, 4, 29), date(2026, 5, 3))
    )
    assert month_end.expected > wednesday.expected * 4 // 3
    assert sunday.expected < wednesday.expected * 3 // 4
    for each in (*told.days, *told.sums):
        assert 0 <= each.low95 <= each.low80 <= each.expected <= each.high80 <= each.high95
    assert told.sums[-1].expected > sum(each.low80 for each in told.days)


def test_the_same_days_give_the_same_forecast():
    """Nothing of it is left to chance that is not seeded."""
    first, again = (Model(calm(60), FIRST, Calendar.CN).ahead(10) for _ in range(2))
    assert first == again


def test_too_few_days_are_refused():
    """Below five weeks a week has not been seen often enough to be told."""
    with pytest.raises(errors.HistoryTooShort):
        Model(calm(34), FIRST, Calendar.CN)


def test_a_year_without_a_calendar_is_said_and_not_guessed():
    """China's holidays of a year that nobody has published are not made up."""
    first = date(2093, 1, 5)
    assert not Model(calm(40), first, Calendar.CN).ahead(5).calendar_known


def test_days_of_nothing_are_forecast_as_nothing():
    """A book without movements has no outflow to come, and no band either."""
    told = Model([0] * 60, FIRST, Calendar.WEEKENDS).ahead(7)
    assert all(each.high95 == 0 for each in told.days)


def test_the_bands_hold_what_they_say_and_beat_last_week():
    """Walk-forward over flows that the model was not shown: about 95 of 100 days in the wide band."""
    tried = backtest.walk(calm(140), FIRST, Calendar.WEEKENDS, horizon=7, origins=42)
    assert tried.origins == 42
    assert tried.model.inside95_ppm >= 880_000
    assert tried.model.inside80_ppm >= 700_000
    assert tried.error_ratio_ppm < 900_000
    assert tried.model.width95_minor < tried.naive.width95_minor


def test_a_day_told_moves_the_forecast_on():
    """A model that is told of further days looks ahead from them, near to one fitted with them."""
    values = calm(90)
    whole = Model(values, FIRST, Calendar.WEEKENDS).ahead(3).days[0]
    walked = Model(values[:80], FIRST, Calendar.WEEKENDS)
    walked.extend(values[80:])
    told = walked.ahead(3).days[0]
    assert told.day == whole.day == FIRST + timedelta(days=90)
    assert abs(told.expected - whole.expected) < whole.expected // 5


def test_a_backtest_sees_no_day_after_its_own():
    """Days that came after the last forecast day may be anything: the forecasts before stay as they were."""
    values = calm(70)
    first = backtest.walk(values, FIRST, Calendar.WEEKENDS, horizon=7, origins=1)
    # The same origin again, with a wild day put after it: only what came is different.
    model = Model(values[:63], FIRST, Calendar.WEEKENDS).ahead(7, paths=400, seed=forecast.SEED + 63)
    off = [abs(came - told.expected) for came, told in zip(values[63:], model.days, strict=True)]
    assert first.model.mean_error_minor == sum(off) // 7


# ── coverage ─────────────────────────────────────────────────────────────────────────────────────────────


def test_days_of_survival_are_counted_to_the_first_day_that_cannot_be_paid():
    """100 at hand, 30 a day: three days are paid, on the fourth 20 are missing."""
    funds = Funds(at_once=100, after_days={}, client_minor=1_000)
    told = coverage.survive(coverage.scenario("no_inflow"), certain([30] * 6), certain([30] * 6), funds)
    assert (told.days, told.shortfall_day, told.missing_minor) == (3, FIRST + timedelta(days=3), 20)
    assert list(told.left[:4]) == [70, 40, 10, -20]


def test_money_that_is_free_later_counts_from_its_day():
    """A term deposit of 60 that is free after two days carries two days further."""
    funds = Funds(at_once=50, after_days={2: 60}, client_minor=1_000)
    told = coverage.survive(coverage.scenario("no_inflow"), certain([30] * 6), certain([0] * 6), funds)
    assert told.days == 1, "the second day cannot be paid, whatever comes free on the third"
    rich = Funds(at_once=60, after_days={2: 60}, client_minor=1_000)
    assert (
        coverage.survive(coverage.scenario("no_inflow"), certain([30] * 6), certain([0] * 6), rich).days == 4
    )


def test_nobody_can_take_out_more_than_there_is():
    """Fully backed clients' money ends together with what can be asked for: no scenario runs short."""
    funds = Funds(at_once=500, after_days={}, client_minor=500)
    for scenario in coverage.scenarios():
        told = coverage.survive(scenario, certain([100] * 30), certain([0] * 30), funds)
        assert told.shortfall_day is None, scenario.name


def test_what_waits_goes_out_first():
    """Payouts asked for and not paid yet are owed today."""
    funds = Funds(at_once=100, after_days={}, client_minor=1_000, waiting_minor=80)
    told = coverage.survive(coverage.scenario("no_inflow"), certain([30] * 3), certain([0] * 3), funds)
    assert told.days == 0


def test_coverage_is_funds_over_outflow():
    """Funds that are free within the horizon over what is forecast to leave, in millionths."""
    funds = Funds(at_once=300, after_days={5: 100}, client_minor=1_000)
    one, seven = coverage.covers(certain([100, 200, 300, 400, 500, 600, 700]), funds, horizons=(1, 7))
    assert (one.expected_ppm, seven.funds_minor, seven.expected_ppm) == (3_000_000, 400, 571_428)


def test_every_scenario_names_its_source_and_both_languages():
    """Scenarios are data that can be questioned."""
    assert len({each.name for each in coverage.scenarios()}) == len(coverage.scenarios()) >= 6
    for each in coverage.scenarios():
        assert each.source
        assert each.zh != each.en
    basel = coverage.scenario("basel_retail")
    left = 1_000_000_000
    for _ in range(30):
        left -= left * basel.run_ppm[0] // 1_000_000
    assert 99_900_000 <= 1_000_000_000 - left <= 100_100_000, "10 % in 30 days"


class Run:
    """A platform in days: half of the clients' money is lent on and comes back too late. Then a run begins."""

    def __init__(self, *, seed: int, growth_ppm: int) -> None:
        self.out, self.come = calm(120, seed=seed), calm(120, seed=seed + 50)
        self.liquid, self.clients = 35 * median(self.out), 70 * median(self.out)
        self.growth_ppm = growth_ppm
        self.level = 1_000_000

    def begin_day(self, usual: int) -> None:
        self.level = self.level * (1_000_000 + self.growth_ppm) // 1_000_000
        leaves = min(usual * self.level // 1_000_000, int(self.clients))
        comes = usual * 1_000_000 // self.level
        self.out.append(leaves)
        self.come.append(comes)
        self.liquid += comes - leaves
        self.clients += comes - leaves

    def judged(self) -> assessments.View:
        days = [
            Day(FIRST + timedelta(days=n), *both, 0)
            for n, both in enumerate(zip(self.out, self.come, strict=True))
        ]
        book = assessments.flows.Book(BOOK, "B", "Etc/UTC", cast.OPENED, "usr_1")
        known = Flows(book, Calendar.WEEKENDS, assessments.assets.Asset(156, "CNY", 2, "CNY"), days, 0)
        return assessments.judge(known, Funds(int(self.liquid), {}, int(self.clients)), horizon=60)


@pytest.mark.parametrize(
    ("seed", "growth_ppm"),
    [
        pytest.param(3, 150_000, marks=pytest.mark.slow),
        pytest.param(11, 250_000, marks=pytest.mark.slow),
        (23, 400_000),
    ],
)
def test_the_warning_comes_before_the_shortfall_day(seed, growth_ppm):
    """In a simulated run that grows by so much a day, a warning is there days before the money ends."""
    run = Run(seed=seed, growth_ppm=growth_ppm)
    assert run.judged().level == Level.CALM, "no warning in calm days"
    usual = int(median(run.out))
    warned = short = None
    for day in range(1, 61):
        run.begin_day(usual)
        if run.liquid < 0:
            short = day
            break
        if warned is None and run.judged().level in (Level.WARNING, Level.ALARM):
            warned = day
    assert short is not None
    assert warned is not None
    assert short - warned >= 2, f"warned on day {warned}, short on day {short}"


@pytest.mark.slow
def test_a_real_run_is_warned_of_before_the_money_ends():
    """Anchor, 2022: with the cushion of the days before, the warning comes before the shortfall."""
    if not (data := os.environ.get("TALLYSTICK_DATA")):
        pytest.skip("TALLYSTICK_DATA is not set: the hourly flows of the run are not here")
    hourly = Path(data) / "run-anchor-2022" / "flows_hourly.csv"
    out, come = defaultdict(float), defaultdict(float)
    with hourly.open() as lines:
        for row in csv.DictReader(lines):
            out[row["hour"][:10]] += float(row["ust_outflow"])
            come[row["hour"][:10]] += float(row["ust_inflow"])
    usual = median(list(out.values())[:17])
    curve = [round(value / usual, 1) for value in list(out.values())[17:22]]
    told = [factor / 1_000_000 for factor in coverage.scenario("savings_run").factors_ppm]
    assert curve == told, "the curve of the scenario is the measured one"
    # Hours are days here: 17 days of a book are too few to fit, 408 hours of one are not.
    hours = [(int(o), int(i)) for o, i in _hours(hourly)]
    liquid, clients = 14 * int(usual), 28 * int(usual)
    warned = short = None
    for at in range(24 * 17, len(hours)):
        liquid += hours[at][1] - hours[at][0]
        clients += hours[at][1] - hours[at][0]
        if liquid < 0:
            short = at
            break
        if warned is None:
            days = [
                Day(FIRST + timedelta(days=n), o, i, 0) for n, (o, i) in enumerate(hours[at - 200 : at + 1])
            ]
            book = assessments.flows.Book(BOOK, "B", "Etc/UTC", cast.OPENED, "usr_1")
            known = Flows(book, Calendar.WEEKENDS, assessments.assets.Asset(156, "CNY", 2, "CNY"), days, 0)
            view = assessments.judge(known, Funds(liquid, {}, clients), horizon=72)
            if view.level in (Level.WARNING, Level.ALARM):
                warned = at
    assert short is not None
    assert warned is not None
    print(f"warned {short - warned} hours before the shortfall, {warned - 24 * 17} after the run began")
    assert short - warned >= 6


def _hours(path):
    with path.open() as lines:
        return [(float(row["ust_outflow"]), float(row["ust_inflow"])) for row in csv.DictReader(lines)]


# ── the book ─────────────────────────────────────────────────────────────────────────────────────────────

START = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)


def with_days(days: int = 40):
    """The cast's book with a deposit, a loan's repayment and a withdrawal on each of some days."""
    people = cast.opened()
    order = cast.authorised(
        people.wang, people.bank, 10_000_00, code=Code.WITHDRAWAL, amount_rule=AmountRule.AT_MOST,
        uses_max=1_000, total_max_minor=9_000_000_00,
    )  # fmt: skip
    repay = cast.authorised(
        people.wang, people.li, 10_000_00, code=Code.REPAY, amount_rule=AmountRule.AT_MOST,
        uses_max=1_000, total_max_minor=9_000_000_00, kind=AuthorisationKind.SCHEDULE,
    )  # fmt: skip
    for n in range(days):
        cast.post(
            [
                ask(10 * n + 1, people.bank, people.wang, 1_000_00 + n),
                ask(10 * n + 2, people.wang, people.bank, 300_00 + n, "withdrawal", authorisation=order),
                ask(10 * n + 3, people.wang, people.li, 50_00, "repay", authorisation=repay),
            ],
            now=START + timedelta(days=n),
        )
    return people, order


def test_flows_are_the_ledgers_day_by_day(ledger_database):
    """Each day's withdrawals, deposits and repayments are what was posted; their sums are the balances'."""
    people, _order = with_days(3)
    now = START + timedelta(days=3)
    assert flows.last_whole_day(DB, BOOK, now=now) == date(2026, 3, 4)
    told = flows.daily(DB, BOOK, "CNY", last=date(2026, 3, 5))
    assert [(day.day.day, day.withdrawals, day.deposits, day.repayments) for day in told.days] == [
        (2, 300_00, 1_000_00, 50_00),
        (3, 300_01, 1_000_01, 50_00),
        (4, 300_02, 1_000_02, 50_00),
        (5, 0, 0, 0),
    ]
    held = history.balance(DB, people.bank).balance_minor
    assert sum(told.deposits) - sum(told.withdrawals) == held


def test_a_books_business_days_are_those_it_was_given(ledger_database):
    """Whoever sets a book's calendar sets it for its forecasts and for the days payouts are told for, too."""
    people, order = with_days(1)
    now = START + timedelta(days=1)
    cast.post([pending(101, people.wang, people.bank, 500_00, order)], now=now)
    limits.set_limit(
        DB, BOOK, "CNY", 10_00, "Bank's notice", from_day=date(2026, 3, 3), actor=APPROVER, now=now
    )

    def told() -> tuple[Calendar, date | None]:
        (waits,) = waiting.queue(DB, BOOK, "CNY", now=now).entries
        return flows.daily(DB, BOOK, "CNY", last=date(2026, 3, 3)).calendar, waits.estimated_day

    assert told() == (Calendar.CN, date(2026, 5, 14))
    book_days.set_days(
        DB, BOOK, calendar="WEEKENDS", cut_off=time(17), write_off_max_minor=0, break_age_max=5,
        receipt_age_max=3, reason="A book abroad", actor=APPROVER, now=now,
    )  # fmt: skip
    assert told() == (Calendar.WEEKENDS, date(2026, 5, 11))


def test_an_assessment_is_kept_with_its_evidence(ledger_database):
    """Who may assess does; the row holds forecast and coverage; no one changes it; others may not."""
    people, _order = with_days()
    now = START + timedelta(days=40)
    with pytest.raises(AccessDenied):
        assessments.assess(DB, BOOK, "CNY", actor=AUDITOR, now=now)
    kept = assessments.assess(DB, BOOK, "CNY", actor=OPERATIONS, now=now)
    assert kept.liquid_minor == history.balance(DB, people.bank).balance_minor
    assert kept == assessments.latest(DB, BOOK, "CNY")[0] == assessments.assessment(DB, kept.id)
    assert [each["days"] for each in kept.told["coverage"]] == [1, 7, 30, 90]
    assert kept.told["withdrawals"]["days"][0]["day"] == "2026-04-11"
    again = assessments.assess(DB, BOOK, "CNY", actor=OPERATIONS, now=now)
    assert again.told == kept.told, "the same book at the same position gives the same assessment"
    with (
        psycopg.connect(ledger_database.superuser) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("update custody_liquidity_assessment set level = 'calm'")
    with pytest.raises(errors.AssessmentUnknown):
        assessments.assessment(DB, "liq_999")


def test_money_that_is_not_free_is_not_counted_on(ledger_database):
    """What the approver says is a term deposit leaves the money at hand; only external accounts are asked."""
    people, _order = with_days(2)
    now = START + timedelta(days=3)
    whole = assessments.funds(DB, BOOK, "CNY", now=now)
    limits.set_liquid(DB, people.bank, 30, "Term deposit until April", actor=APPROVER, now=now)
    told = assessments.funds(DB, BOOK, "CNY", now=now)
    assert (told.at_once, told.after_days) == (0, {30: whole.at_once})
    limits.set_liquid(DB, people.bank, None, "Pledged", actor=APPROVER, now=now)
    assert assessments.funds(DB, BOOK, "CNY", now=now).within_minor == 0
    with pytest.raises(errors.NotAControlAccount):
        limits.set_liquid(DB, people.wang, 0, "Mistaken", actor=APPROVER, now=now)
    with pytest.raises(AccessDenied):
        limits.set_liquid(DB, people.bank, 0, "Mine to say?", actor=OPERATIONS, now=now)


# ── the queue ────────────────────────────────────────────────────────────────────────────────────────────


def test_the_estimate_fills_each_business_day_in_order():
    """A limit of 100 a day with 40 gone today, a Friday: 60 today, the rest from Monday on."""
    friday = date(2026, 3, 6)
    told = waiting.estimate(
        [60, 30, 80, 250], per_day_minor=100, paid_today_minor=40, today=friday, calendar=Calendar.CN
    )
    assert [day and day.isoformat() for day in told] == [
        "2026-03-06",
        "2026-03-09",
        "2026-03-10",
        "2026-03-12",
    ]
    free = waiting.estimate([60], per_day_minor=None, paid_today_minor=0, today=friday, calendar=Calendar.CN)
    assert free == [friday]
    none = waiting.estimate([60, 1], per_day_minor=0, paid_today_minor=0, today=friday, calendar=Calendar.CN)
    assert none == [None, None]


def test_no_day_is_told_in_a_year_whose_holidays_are_not_published():
    """The State Council tells a year's days in the autumn before: until then nobody knows, and nothing is guessed."""
    last = date(2026, 12, 30)
    told = waiting.estimate(
        [100, 100, 1], per_day_minor=100, paid_today_minor=0, today=last, calendar=Calendar.CN
    )
    assert told == [last, date(2026, 12, 31), None]
    new_year = date(2027, 1, 4)
    free = waiting.estimate([1], per_day_minor=None, paid_today_minor=0, today=new_year, calendar=Calendar.CN)
    assert free == [None]


def pending(n: int, debit: int, credit: int, amount: int, authorisation: int) -> TransferRequest:
    return ask(n, debit, credit, amount, "withdrawal", kind="pending", authorisation=authorisation)


def test_the_queue_is_in_the_order_asked_and_shows_each_their_own(ledger_database):
    """First asked first paid; what is settled leaves the queue; a client sees their own place alone."""
    people, order = with_days(2)
    cast.post([ask(90, people.bank, people.li, 5_000_00)], now=START + timedelta(days=2))
    lis = cast.authorised(
        people.li, people.bank, 1_000_00, code=Code.WITHDRAWAL, amount_rule=AmountRule.AT_MOST,
        uses_max=9, total_max_minor=9_000_00, basis="order 2",
    )  # fmt: skip
    now = START + timedelta(days=2, hours=1)
    cast.post(
        [
            pending(101, people.wang, people.bank, 100_00, order),
            pending(102, people.li, people.bank, 200_00, lis),
            pending(103, people.wang, people.bank, 300_00, order),
        ],
        now=now,
    )
    cast.post([TransferRequest(id=cast.an_id(104), kind="void_pending", pending_id=cast.an_id(101))], now=now)
    limits.set_limit(
        DB, BOOK, "CNY", 250_00, "Bank's notice", from_day=date(2026, 3, 4), actor=APPROVER, now=now
    )
    told = waiting.queue(DB, BOOK, "CNY", now=now)
    assert [(each.place, each.owner, each.amount_minor, each.ahead_minor) for each in told.entries] == [
        (1, "C-LI", 200_00, 0),
        (2, "C-WANG", 300_00, 200_00),
    ]
    assert [each.estimated_day for each in told.entries] == [date(2026, 3, 4), date(2026, 3, 5)]
    assert told.waiting_minor == assessments.funds(DB, BOOK, "CNY", now=now).waiting_minor == 500_00
    ((queue, mine),) = waiting.places(DB, holders.accounts_of(DB, "C-WANG"), now=now)
    assert mine == told.entries[1]
    assert (mine.place, [each.owner for each in queue.entries]) == (2, ["C-WANG"])
    assert waiting.places(DB, holders.accounts_of(DB, "C-NOBODY"), now=now) == []
    with pytest.raises(AccessDenied):
        limits.set_limit(DB, BOOK, "CNY", None, "Lift", from_day=date(2026, 3, 4), actor=OPERATIONS, now=now)
    assert limits.limit(DB, BOOK, "CNY", date(2026, 3, 3)) is None, "the day before it began"


def test_the_queue_is_found_behind_many_settled_entries(ledger_database, monkeypatch):
    """The search goes back page by page, and stops when all that is pending has been found."""
    monkeypatch.setattr(waiting, "PAGE", 4)
    people, order = with_days(1)
    now = START + timedelta(days=1)
    cast.post([pending(101, people.wang, people.bank, 100_00, order)], now=now)
    cast.post([ask(200 + n, people.bank, people.wang, 1_00) for n in range(20)], now=now)
    told = waiting.queue(DB, BOOK, "CNY", now=now)
    assert [each.transfer_id for each in told.entries] == [cast.an_id(101)]
    assert told.per_day_minor is None
    assert waiting.places(DB, holders.accounts_of(DB, "C-WANG"), now=now) == [], (
        "no limit: nobody waits for one"
    )


def test_a_limit_needs_a_reason_and_a_sum(ledger_database):
    """Malformed limits are refused, and an unknown book or asset too."""
    cast.opened()
    now = START

    def set_(**change):
        given = {"book": BOOK, "asset": "CNY", "per_day_minor": 1, "reason": "Because"} | change
        limits.set_limit(
            DB, given["book"], given["asset"], given["per_day_minor"], given["reason"],
            from_day=START.date(), actor=SIMULATION, now=now,
        )  # fmt: skip

    for change in ({"per_day_minor": -1}, {"reason": " "}, {"reason": "x" * 501}):
        with pytest.raises(errors.Malformed):
            set_(**change)
    with pytest.raises(errors.BookUnknown):
        set_(book=77)
    with pytest.raises(errors.AssetUnknown):
        set_(asset="XXX")

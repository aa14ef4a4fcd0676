"""Money in other currencies: recorded rates, corridors with reasons, a cost told before consent and kept to."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.money import Rounding
from tallystick.custody import accounts, errors, history, ledger, posting
from tallystick.custody.assets import Asset
from tallystick.custody.cross_border import corridors, quotes, rates, revaluation
from tallystick.custody.cross_border.quotes import Status
from tallystick.custody.cross_border.revaluation import Exchanged
from tallystick.custody.numbers import Family
from tallystick.identity.errors import AccessDenied
from tests.custody import cast
from tests.custody.cast import (
    APPROVER,
    AUDITOR,
    BOOK,
    DB,
    LI_QIANG,
    NOW,
    OPERATIONS,
    SIMULATION,
    WANG_FANG,
    ask,
)  # fmt: skip

CNY, USD, JPY = Asset(156, "CNY", 2, "CNY"), Asset(840, "USD", 2, "USD"), Asset(392, "JPY", 0, "JPY")
DAY = date(2026, 3, 1)
OPEN = corridors.Terms(
    from_country="CN", to_country="US", sold="CNY", bought="USD", allowed=True,
    per_transfer_minor=50_000_00, per_period_minor=60_000_00, period_days=365, margin_ppm=5_000,
    fee_minor=10_00, from_day=DAY, reason="Individual yearly quota",
)  # fmt: skip


@pytest.fixture
def world(ledger_database):
    """The cast with dollars: position and fee accounts, a corridor, a rate, money on 王芳's account."""
    people = cast.opened()

    def opened(family: Family, asset: str, reference: str, owner: str = "") -> int:
        return accounts.open_account(
            DB, BOOK, family, asset, owner=owner, name=reference, reference=reference,
            actor=SIMULATION, now=NOW,
        )  # fmt: skip

    places = {
        "FX-CNY": opened(Family.EXTERNAL, "CNY", "FX-CNY"),
        "FX-USD": opened(Family.EXTERNAL, "USD", "FX-USD"),
        "FX-FEES-CNY": opened(Family.OWN, "CNY", "FX-FEES-CNY"),
        "wang": people.wang,
        "dollars": opened(Family.CLIENT, "USD", "C-WANG/USD", "C-WANG"),
        "li": opened(Family.CLIENT, "USD", "C-LI/USD", "C-LI"),
    }
    cast.post([ask(1, people.bank, people.wang, 100_000_00)])
    corridors.set_rule(DB, BOOK, OPEN, actor=APPROVER, now=NOW)
    rates.record(DB, "CNY", "USD", "0.1391", "CFETS", as_of=NOW, actor=OPERATIONS, now=NOW)
    return places


def asked(world, sold_minor: int = 10_000_00, *, actor=WANG_FANG, now=NOW, **more):
    given_ = {"seller": world["wang"], "buyer": world["dollars"], "from_country": "CN", "to_country": "US"}
    return quotes.ask(DB, **(given_ | more), sold_minor=sold_minor, actor=actor, now=now)


# ── cost ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_full_cost_is_rate_margin_fee_and_what_arrives():
    """10,000 CNY at 0.1391 less 0.5 %: 1,384.04 arrive, the margin takes 6.96, the fee is 10 CNY."""
    told = quotes.cost(10_000_00, CNY, USD, "0.1391", OPEN)
    assert (told.rate, told.bought_minor, told.margin_minor) == ("0.1384045", 1_384_04, 6_96)
    assert (told.fee_minor, told.leaves_minor) == (10_00, 10_010_00)


@given(
    st.integers(1, 10**15),
    st.integers(1, 10**12 - 1),
    st.integers(0, 999_999),
    st.sampled_from([(CNY, USD), (CNY, JPY), (JPY, CNY)]),
)
def test_a_margin_never_gives_more_than_the_recorded_rate(sold_minor, rate, margin_ppm, pair):
    """What arrives and what the margin takes are what the recorded rate gives; neither is negative."""
    text = f"{rate // 10**6}.{rate % 10**6:06d}"
    try:
        told = quotes.cost(sold_minor, *pair, text, replace(OPEN, margin_ppm=margin_ppm))
    except errors.Malformed:
        return
    exact = Fraction(sold_minor * 10 ** pair[1].scale, 10 ** pair[0].scale) * Fraction(text)
    assert told.bought_minor >= 1
    assert told.margin_minor >= 0
    assert 0 <= exact - (told.bought_minor + told.margin_minor) < 1


# ── rates ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_rate_has_a_source_and_a_time_and_grows_stale(world):
    """The last rate said by the moment holds; after half an hour it may not be quoted, after a day not used."""
    held = rates.current(DB, "CNY", "USD", now=NOW)
    assert (held.rate, held.source, held.as_of) == ("0.1391", "CFETS", NOW)
    later = NOW + timedelta(hours=1)
    rates.record(DB, "CNY", "USD", "0.14", "CFETS", as_of=later, actor=OPERATIONS, now=later)
    assert rates.current(DB, "CNY", "USD", now=later).rate == "0.14"
    assert rates.current(DB, "CNY", "USD", now=NOW + timedelta(minutes=59)).rate == "0.1391"
    with pytest.raises(errors.RateStale):
        rates.current(DB, "CNY", "USD", now=later + timedelta(hours=24, seconds=1))
    with pytest.raises(errors.RateStale):
        asked(world, now=later + timedelta(minutes=31))
    with pytest.raises(errors.RateUnknown):
        rates.current(DB, "USD", "CNY", now=NOW)


@pytest.mark.parametrize(
    "change", [{"rate": "0"}, {"rate": "-1"}, {"rate": "1e3"}, {"rate": "0.1234567890123"}, {"source": " "}]
)
def test_a_rate_that_is_none_is_refused(world, change):
    """A rate is a positive decimal of at most twelve places, said by somebody."""
    told = {"rate": "0.14", "source": "CFETS"} | change
    with pytest.raises(errors.Malformed):
        rates.record(DB, "CNY", "USD", told["rate"], told["source"], as_of=NOW, actor=OPERATIONS, now=NOW)


def test_a_rate_is_of_the_past_by_whoever_may_and_stays(world, ledger_database):
    """A rate to come, and one by somebody else, are refused; a recorded one cannot be changed."""
    with pytest.raises(errors.RateAhead):
        rates.record(
            DB, "CNY", "USD", "0.14", "CFETS", as_of=NOW + timedelta(seconds=1), actor=OPERATIONS, now=NOW
        )
    for actor in (WANG_FANG, AUDITOR, APPROVER):
        with pytest.raises(AccessDenied):
            rates.record(DB, "CNY", "USD", "0.14", "CFETS", as_of=NOW, actor=actor, now=NOW)
    with (
        psycopg.connect(ledger_database.superuser) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("update custody_exchange_rate set rate = '1'")


# ── corridors ────────────────────────────────────────────────────────────────────────────────────────────


def test_no_rule_no_way_and_a_blocked_corridor_says_why(world):
    """Without a rule a corridor is closed; a blocked one gives the law it rests on; each from its day."""
    with pytest.raises(errors.CorridorUnknown):
        asked(world, to_country="KP")
    rule = replace(OPEN, to_country="KP", allowed=False, reason="UN Security Council resolution 2397")
    corridors.set_rule(DB, BOOK, rule, actor=APPROVER, now=NOW)
    with pytest.raises(errors.CorridorBlocked) as refused:
        asked(world, to_country="KP")
    assert "resolution 2397" in str(refused.value)
    tomorrow = replace(OPEN, allowed=False, reason="Closed", from_day=date(2026, 3, 3))
    corridors.set_rule(DB, BOOK, tomorrow, actor=APPROVER, now=NOW)
    assert asked(world).status == Status.QUOTED
    assert {each.terms.to_country: each.terms.allowed for each in corridors.corridors(DB, BOOK, DAY)} == {
        "US": True,
        "KP": False,
    }
    with pytest.raises(AccessDenied):
        corridors.set_rule(DB, BOOK, OPEN, actor=OPERATIONS, now=NOW)


def test_limits_hold_for_a_transfer_and_for_a_period(world):
    """50,000 at a time; 60,000 in a year, by what was agreed to, whatever is quoted besides."""
    with pytest.raises(errors.CorridorTransferLimit):
        asked(world, 50_000_01)
    first, second = asked(world, 40_000_00), asked(world, 30_000_00)
    quotes.consent(DB, first.id, actor=WANG_FANG, now=NOW)
    with pytest.raises(errors.CorridorPeriodLimit) as refused:
        quotes.consent(DB, second.id, actor=WANG_FANG, now=NOW)
    assert "40000.00 are used" in str(refused.value)
    with pytest.raises(errors.CorridorPeriodLimit):
        asked(world, 20_000_01)
    assert asked(world, 20_000_00).status == Status.QUOTED


@pytest.mark.parametrize(
    "change",
    [
        {"from_country": "China"},
        {"bought": "CNY"},
        {"per_transfer_minor": -1},
        {"period_days": None},
        {"period_days": 0},
        {"margin_ppm": 1_000_000},
        {"fee_minor": -1},
        {"reason": ""},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(change):
    """Each field is judged by itself, and named."""
    assert corridors.misfit(replace(OPEN, **change)) is not None
    assert corridors.misfit(OPEN) is None


# ── quote, consent, done ─────────────────────────────────────────────────────────────────────────────────


def test_what_was_quoted_is_what_is_posted(world):
    """Quote, consent, post: the ledger's figures are the quote's, and beating twice posts once."""
    told = asked(world)
    assert history.balance(DB, world["wang"]).balance_minor == 100_000_00, "a quote moves nothing"
    agreed = quotes.consent(DB, told.id, actor=WANG_FANG, now=NOW)
    assert agreed.status == Status.CONSENTED
    # A rate recorded since then changes nothing.
    rates.record(DB, "CNY", "USD", "0.2", "CFETS", as_of=NOW, actor=OPERATIONS, now=NOW)
    assert quotes.advance(DB, BOOK, actor=SIMULATION, now=NOW) == 1
    assert quotes.advance(DB, BOOK, actor=SIMULATION, now=NOW) == 0
    done = quotes.quote(DB, told.id, now=NOW)
    assert (done.status, done.cost) == (Status.POSTED, told.cost)
    assert history.balance(DB, world["dollars"]).balance_minor == told.cost.bought_minor == 1_384_04
    assert history.balance(DB, world["wang"]).balance_minor == 100_000_00 - told.cost.leaves_minor
    assert history.balance(DB, world["FX-FEES-CNY"]).balance_minor == 10_00
    assert history.trial_balance(DB, BOOK).difference_minor == {"CNY": 0, "USD": 0}
    with pytest.raises(errors.QuoteTaken):
        quotes.consent(DB, told.id, actor=WANG_FANG, now=NOW)
    settled = quotes.settle(DB, told.id, "SWIFT-1", actor=OPERATIONS, now=NOW)
    assert (settled.status, settled.reference) == (Status.SETTLED, "SWIFT-1")
    with pytest.raises(errors.QuoteClosed):
        quotes.fail(DB, told.id, "Too late", actor=OPERATIONS, now=NOW)


def test_a_crash_between_posting_and_writing_it_down_posts_nothing_twice(world, monkeypatch):
    """The transfers stand, the outcome does not: the next beat asks with the same ids and writes it down."""
    told = asked(world)
    quotes.consent(DB, told.id, actor=WANG_FANG, now=NOW)
    legs = quotes._legs(quotes.quote(DB, told.id, now=NOW))
    assert not any(
        ledger.post(DB, BOOK, legs, actor=SIMULATION, now=NOW).refusal_of(i) for i in range(len(legs))
    )
    head = history.as_of(DB, BOOK)
    assert quotes.advance(DB, BOOK, actor=SIMULATION, now=NOW) == 1
    assert history.as_of(DB, BOOK) == head, "nothing was posted again"
    assert quotes.quote(DB, told.id, now=NOW).status == Status.POSTED


def test_what_is_agreed_is_posted_alone_and_waits_where_the_ledger_takes_nothing(world, tmp_path):
    """Who agrees posts their own quote, nobody else's; a ledger at rest makes no error of a consent that stands.

    The rate's source is as long as one may be: it is cut for the number of the rate, which no transfer may lack.
    """
    rates.record(DB, "CNY", "USD", "0.1391", "源" * 140, as_of=NOW, actor=OPERATIONS, now=NOW)
    first, second = asked(world), asked(world)
    for each in (first, second):
        quotes.consent(DB, each.id, actor=WANG_FANG, now=NOW)
    posting.use(posting.OverSocket(tmp_path / "nobody"))
    try:
        assert quotes.follow(DB, second.id, actor=SIMULATION, now=NOW).status == Status.CONSENTED
    finally:
        posting.use(None)
    done = quotes.follow(DB, second.id, actor=SIMULATION, now=NOW)
    assert done.status == Status.POSTED
    assert quotes.quote(DB, first.id, now=NOW).status == Status.CONSENTED
    kept = history.transfer_at(DB, BOOK, done.position)
    source = json.loads(kept.metadata)["exchange"]["source"]
    assert source.endswith(f" ({done.recorded_rate.id})")
    assert len(source) == 140
    assert quotes.follow(DB, second.id, actor=SIMULATION, now=NOW) == done
    assert quotes.advance(DB, BOOK, actor=SIMULATION, now=NOW) == 1


def test_an_account_is_exchanged_from_by_those_who_hold_it_now(world):
    """王芳 gave the account over to 李强: she neither asks for it nor agrees to it any more, he does both."""
    told = asked(world)
    cast.held_by(world["wang"], "C-LI")
    for refused in (lambda: asked(world), lambda: quotes.consent(DB, told.id, actor=WANG_FANG, now=NOW)):
        with pytest.raises(AccessDenied):
            refused()
    own = asked(world, actor=LI_QIANG)
    assert quotes.consent(DB, own.id, actor=LI_QIANG, now=NOW).status == Status.CONSENTED


def test_an_expired_quote_is_not_agreed_to(world):
    """After five minutes a new quote is asked for."""
    told = asked(world)
    late = NOW + quotes.VALID
    assert quotes.quote(DB, told.id, now=late).status == Status.EXPIRED
    with pytest.raises(errors.QuoteExpired):
        quotes.consent(DB, told.id, actor=WANG_FANG, now=late)


def test_a_corridor_blocked_since_the_quote_lets_nothing_through(world):
    """The rule of the moment of consent counts."""
    told = asked(world)
    blocked = replace(OPEN, allowed=False, reason="Closed today")
    corridors.set_rule(DB, BOOK, blocked, actor=APPROVER, now=NOW)
    with pytest.raises(errors.CorridorBlocked):
        quotes.consent(DB, told.id, actor=WANG_FANG, now=NOW)


def test_money_that_is_not_there_is_refused_whole(world):
    """Neither the exchange nor the fee is posted, and the quote says why."""
    cast.post([ask(9, world["FX-CNY"], world["wang"], 1)])
    told = asked(world, 50_000_00)
    quotes.consent(DB, told.id, actor=WANG_FANG, now=NOW)
    drain = cast.authorised(world["wang"], world["FX-CNY"], 60_000_00)
    cast.post([ask(10, world["wang"], world["FX-CNY"], 60_000_00, "lend", authorisation=drain)])
    quotes.advance(DB, BOOK, actor=SIMULATION, now=NOW)
    done = quotes.quote(DB, told.id, now=NOW)
    assert (done.status, done.reason) == (Status.REFUSED, "insufficient_funds")
    assert history.balance(DB, world["FX-FEES-CNY"]).balance_minor == 0
    with pytest.raises(errors.QuoteNotPosted):
        quotes.settle(DB, told.id, "X", actor=OPERATIONS, now=NOW)


def test_nobody_quotes_or_agrees_for_another(world):
    """A client reaches their own accounts alone; staff may quote, and may not agree."""
    with pytest.raises(AccessDenied):
        asked(world, actor=LI_QIANG)
    told = asked(world, actor=OPERATIONS)
    with pytest.raises(AccessDenied):
        quotes.consent(DB, told.id, actor=LI_QIANG, now=NOW)
    with pytest.raises(AccessDenied):
        quotes.consent(DB, told.id, actor=APPROVER, now=NOW)
    with pytest.raises(errors.SignatureMissing):
        quotes.consent(DB, told.id, actor=OPERATIONS, now=NOW)
    with pytest.raises(errors.Malformed):
        asked(world, buyer=world["li"])
    with pytest.raises(errors.QuoteUnknown):
        quotes.quote(DB, "quo_999", now=NOW)


def test_without_position_accounts_there_is_no_quote(world):
    """A book that cannot take the other side says which account it lacks."""
    yen = accounts.open_account(
        DB, BOOK, Family.CLIENT, "JPY", owner="C-WANG", name="JPY", reference="C-WANG/JPY",
        actor=SIMULATION, now=NOW,
    )  # fmt: skip
    corridors.set_rule(DB, BOOK, replace(OPEN, bought="JPY"), actor=APPROVER, now=NOW)
    rates.record(DB, "CNY", "JPY", "21.07", "CFETS", as_of=NOW, actor=OPERATIONS, now=NOW)
    with pytest.raises(errors.PositionAccountMissing) as refused:
        asked(world, buyer=yen)
    assert "FX-JPY" in str(refused.value)
    # Ten others whose references have this one in them do not hide it.
    others = [
        accounts.NewAccount(family=Family.EXTERNAL, asset_code="JPY", name="JPY", reference=f"FX-JPY {n}")
        for n in range(10)
    ]
    right = accounts.NewAccount(family=Family.EXTERNAL, asset_code="JPY", name="JPY", reference="FX-JPY")
    accounts.open_many(DB, BOOK, [*others, right], actor=SIMULATION, now=NOW)
    assert asked(world, buyer=yen).bought.code == "JPY"


# ── revaluation ──────────────────────────────────────────────────────────────────────────────────────────


def test_an_unrealised_gain_is_worth_less_cost(world):
    """The platform's position after one exchange, at the rate of that moment and at a later one."""
    told = asked(world)
    quotes.consent(DB, told.id, actor=WANG_FANG, now=NOW)
    quotes.advance(DB, BOOK, actor=SIMULATION, now=NOW)
    rates.record(DB, "USD", "CNY", "7.3", "CFETS", as_of=NOW, actor=OPERATIONS, now=NOW)
    found = revaluation.revalue(DB, BOOK, "CNY", now=NOW)
    (line,) = found.lines
    # 1,384.04 dollars were given for 10,000 yuan; they are worth 10,103.49 now.
    assert (line.asset, line.position_minor, line.cost_minor) == ("USD", -1_384_04, -10_000_00)
    assert (line.value_minor, line.gain_minor, found.gain_minor) == (-10_103_49, -103_49, -103_49)
    with pytest.raises(errors.RateStale):
        revaluation.revalue(DB, BOOK, "CNY", now=NOW + timedelta(days=2))


EXCHANGED = st.lists(
    st.builds(
        lambda pair, gained, given_: Exchanged(pair[0], gained, pair[1], given_),
        st.sampled_from([("CNY", "USD"), ("USD", "CNY"), ("CNY", "JPY"), ("JPY", "CNY")]),
        st.integers(1, 10**9),
        st.integers(1, 10**9),
    ),
    max_size=30,
)


@given(EXCHANGED)
def test_positions_are_what_came_in_less_what_went_out(exchanged):
    """Whatever the order, each position is the plain sum; an empty one has no cost left."""
    told = revaluation.costs(exchanged, "CNY")
    for asset in ("USD", "JPY"):
        plain = sum(
            each.gained_minor * (each.gained == asset) - each.given_minor * (each.given == asset)
            for each in exchanged
        )
        have, cost_minor = told.get(asset, (0, 0))
        assert have == plain
        assert cost_minor is not None
        assert have or cost_minor == 0
        # A cost has the sign of its position: something was paid for what is held.
        assert cost_minor * have >= 0


@given(st.lists(st.tuples(st.integers(-(10**12), 10**12), st.integers(1, 10**9)), max_size=20))
def test_a_total_is_the_sum_of_its_lines_and_no_line_is_off_by_more_than_half(positions):
    """Each line is rounded by itself, half to even; the total adds what is written."""
    lines = [
        revaluation.Line("X", 2, amount, None, revaluation.value_minor(amount, 2, 2, Fraction(rate, 1000)), 0)
        for amount, rate in positions
    ]
    whole = revaluation.Revaluation(1, CNY, 0, NOW, Rounding.HALF_EVEN, lines)
    assert whole.value_minor == sum(line.value_minor for line in lines)
    exact = sum((Fraction(amount) * Fraction(rate, 1000) for amount, rate in positions), Fraction())
    assert abs(exact - whole.value_minor) <= Fraction(len(lines), 2)
    assert whole.gain_minor == whole.value_minor


def test_a_cost_in_a_third_asset_is_not_made_up():
    """What was bought for dollars has no cost in yuan: no gain is told for it."""
    told = revaluation.costs([Exchanged("JPY", 100, "USD", 1)], "CNY")
    assert told == {"JPY": (100, None), "USD": (-1, None)}
    whole = revaluation.Revaluation(
        1, CNY, 0, NOW, Rounding.HALF_EVEN, [revaluation.Line("JPY", 0, 100, None, 5, None)]
    )
    assert whole.gain_minor is None

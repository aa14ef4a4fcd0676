"""Business days: against what was published, and against a second reader of the same notices."""

from __future__ import annotations

import datetime as dt

import holidays
import pytest

from tallystick.core import calendars
from tallystick.core.calendars import Calendar, DayKind
from tallystick.core.errors import CalendarUnknown, YearWithoutCalendar

D = dt.date


@pytest.mark.parametrize(
    ("calendar", "date", "kind"),
    [
        # 国办发明电〔2024〕12号: Spring Festival 28 January to 4 February; 26 January and 8 February are worked.
        (Calendar.CN, D(2025, 1, 26), DayKind.MAKE_UP),
        (Calendar.CN, D(2025, 1, 27), DayKind.BUSINESS),
        (Calendar.CN, D(2025, 1, 28), DayKind.HOLIDAY),
        (Calendar.CN, D(2025, 2, 4), DayKind.HOLIDAY),
        (Calendar.CN, D(2025, 2, 5), DayKind.BUSINESS),
        (Calendar.CN, D(2025, 2, 8), DayKind.MAKE_UP),
        (Calendar.CN, D(2025, 2, 9), DayKind.WEEKEND),
        (Calendar.CN_MARKET, D(2025, 1, 26), DayKind.WEEKEND),
        (Calendar.CN_MARKET, D(2025, 1, 28), DayKind.HOLIDAY),
        # The notice of 4 November 2025: National Day's make-up days lie before and after it.
        (Calendar.CN, D(2026, 9, 20), DayKind.MAKE_UP),
        (Calendar.CN, D(2026, 10, 7), DayKind.HOLIDAY),
        (Calendar.CN, D(2026, 10, 10), DayKind.MAKE_UP),
        (Calendar.GB, D(2026, 12, 28), DayKind.HOLIDAY),
        (Calendar.GB, D(2026, 5, 1), DayKind.BUSINESS),
        (Calendar.TARGET, D(2026, 5, 1), DayKind.HOLIDAY),
        (Calendar.TARGET, D(2026, 4, 3), DayKind.HOLIDAY),
        (Calendar.TARGET, D(2026, 12, 28), DayKind.BUSINESS),
        (Calendar.WEEKENDS, D(2026, 10, 1), DayKind.BUSINESS),
        (Calendar.WEEKENDS, D(2026, 10, 3), DayKind.WEEKEND),
    ],
)
def test_a_day_is_what_was_published(calendar: Calendar, date: dt.date, kind: DayKind) -> None:
    """Days around the turns of holidays, each from its notice."""
    assert calendars.day(calendar, date).kind == kind


@pytest.mark.parametrize(
    ("calendar", "reader", "years"),
    [
        (Calendar.CN, lambda year: holidays.country_holidays("CN", years=year), range(2024, 2027)),
        (Calendar.GB, lambda year: holidays.country_holidays("GB", "ENG", years=year), range(2024, 2028)),
        (Calendar.TARGET, lambda year: holidays.financial_holidays("XECB", years=year), range(2002, 2100)),
    ],
)
def test_every_day_is_as_a_second_reader_has_it(calendar: Calendar, reader: object, years: range) -> None:
    """No day of any year on file differs from what the library `holidays` says of it."""
    differing = []
    for year in years:
        second = reader(year)  # type: ignore[operator]
        for each in calendars.days(calendar, D(year, 1, 1), D(year, 12, 31)):
            if each.is_business != second.is_working_day(each.date):
                differing.append(each)
    assert differing == []


@pytest.mark.parametrize("calendar", [Calendar.CN, Calendar.CN_MARKET, Calendar.GB])
def test_a_year_without_days_is_refused(calendar: Calendar) -> None:
    """A year nobody has published is not guessed: not asked for directly, nor stepped into."""
    with pytest.raises(YearWithoutCalendar):
        calendars.day(calendar, D(2031, 6, 2))
    last = D(2026 if calendar is not Calendar.GB else 2027, 12, 31)
    with pytest.raises(YearWithoutCalendar) as told:
        calendars.next_business_day(calendar, last)
    assert told.value.fields["year"] == last.year + 1


def test_a_calendar_nobody_knows_is_refused() -> None:
    """A name that is none of ours is told with those that are."""
    with pytest.raises(CalendarUnknown, match="WEEKENDS"):
        calendars.calendar("MARS")


def test_steps_and_ages_count_business_days() -> None:
    """Over Spring Festival 2026, 13 February to 24 February is two steps: the make-up Saturday, then Tuesday."""
    friday, after = D(2026, 2, 13), D(2026, 2, 24)
    assert calendars.next_business_day(Calendar.CN, friday) == D(2026, 2, 14)
    assert calendars.next_business_day(Calendar.CN_MARKET, friday) == after
    assert calendars.add_business_days(Calendar.CN, friday, 2) == after
    assert calendars.add_business_days(Calendar.CN, after, -2) == friday
    assert calendars.business_days_between(Calendar.CN, friday, after) == 2
    assert calendars.business_days_between(Calendar.CN, after, friday) == 0
    assert calendars.on_or_after(Calendar.CN, D(2026, 2, 15)) == after
    assert calendars.on_or_before(Calendar.CN, D(2026, 2, 23)) == D(2026, 2, 14)
    assert calendars.on_or_before(Calendar.CN, after) == after


@pytest.mark.parametrize(
    ("instant", "date"),
    [
        # 16:59:59 and 17:00 in Shanghai on Friday 13 February 2026; Saturday is made a workday.
        ("2026-02-13T08:59:59+00:00", D(2026, 2, 13)),
        ("2026-02-13T09:00:00+00:00", D(2026, 2, 14)),
        ("2026-02-14T09:00:00+00:00", D(2026, 2, 24)),
        ("2026-02-13T16:30:00+00:00", D(2026, 2, 14)),
        ("2026-02-17T01:00:00+00:00", D(2026, 2, 24)),
    ],
)
def test_a_moment_belongs_to_the_day_of_its_cut_off(instant: str, date: dt.date) -> None:
    """Before the cut-off, the local day; from it on, or on a day of rest, the next business day."""
    found = calendars.business_date(
        dt.datetime.fromisoformat(instant),
        calendar=Calendar.CN,
        time_zone="Asia/Shanghai",
        cut_off=dt.time(17),
    )
    assert found == date


def test_the_cut_off_follows_the_clocks_of_its_zone() -> None:
    """17:00 in London is 17:00 UTC in winter and 16:00 UTC in summer."""
    for date, hour in ((D(2026, 3, 27), 17), (D(2026, 3, 30), 16)):
        instant = calendars.cut_off_instant(date, time_zone="Europe/London", cut_off=dt.time(17))
        assert instant == dt.datetime(date.year, date.month, date.day, hour, tzinfo=dt.UTC)
        assert (
            calendars.business_date(
                instant - dt.timedelta(seconds=1),
                calendar=Calendar.GB,
                time_zone="Europe/London",
                cut_off=dt.time(17),
            )
            == date
        )


def test_every_year_on_file_says_where_it_was_published() -> None:
    """A day that money waits for can be followed to its notice."""
    for year in (2024, 2025, 2026):
        assert str(year) in calendars.source(Calendar.CN, year)
        assert "GOV.UK" in calendars.source(Calendar.GB, year)
    assert "European Central Bank" in calendars.source(Calendar.TARGET, 2026)

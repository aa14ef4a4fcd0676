"""Calendars: which days are business days in a place, and on which one a moment falls.

Promises: China's make-up workdays count as what they are; a year for which a place has published nothing
is refused, never guessed; the data carry their source (`calendars.yaml`). A moment after the cut-off, or
on a day of rest, belongs to the next business day.
"""

from __future__ import annotations

import datetime as dt
import functools
import zoneinfo
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from typing import TypedDict

import yaml

from tallystick.core.errors import CalendarUnknown, YearWithoutCalendar

_FRIDAY = 4
DAYS_MAX = 3_660
"""How far a count of days may go: ten years. Further is a mistake, and would take its time."""


class Calendar(StrEnum):
    """Whose business days. The value is the name outside."""

    CN = "CN"
    """China: Monday to Friday less the State Council's holidays, with its make-up workdays."""
    CN_MARKET = "CN-MARKET"
    """China's exchanges: as CN, but they rest on the weekends that are made workdays."""
    GB = "GB"
    """England and Wales: Monday to Friday less the bank holidays."""
    TARGET = "TARGET"
    """The euro: days on which the Eurosystem's TARGET services settle."""
    WEEKENDS = "WEEKENDS"
    """Monday to Friday, whatever the holidays."""


class DayKind(StrEnum):
    """What a calendar says of a day."""

    BUSINESS = "business"
    MAKE_UP = "make_up"
    """A weekend day that is worked in exchange for a holiday."""
    WEEKEND = "weekend"
    HOLIDAY = "holiday"


@dataclass(frozen=True, slots=True)
class Day:
    """A day of a calendar. The names are of the holiday, or of the one that is made up for."""

    date: dt.date
    kind: DayKind
    en: str = ""
    zh: str = ""

    @property
    def is_business(self) -> bool:
        return self.kind in (DayKind.BUSINESS, DayKind.MAKE_UP)


# The file's own words; `from` is a keyword, so no class can have it.
_Entry = TypedDict("_Entry", {"zh": str, "en": str, "from": dt.date, "to": dt.date, "work": list[dt.date]})


class _Year(TypedDict):
    source: str
    days: list[_Entry]


def calendar(name: str) -> Calendar:
    """The calendar of this name. Raises `CalendarUnknown`."""
    try:
        return Calendar(name)
    except ValueError:
        raise CalendarUnknown(calendar=name, known=", ".join(Calendar)) from None


def day(calendar: Calendar, date: dt.date) -> Day:
    """What the calendar says of a day. Raises `YearWithoutCalendar`."""
    exception = _exceptions(calendar, date.year).get(date)
    if exception is not None:
        return exception
    return Day(date, DayKind.BUSINESS if date.weekday() <= _FRIDAY else DayKind.WEEKEND)


def days(calendar: Calendar, start: dt.date, end: dt.date) -> Iterator[Day]:
    """Every day from `start` to `end`, both included. Raises `YearWithoutCalendar`."""
    for ordinal in range(start.toordinal(), end.toordinal() + 1):
        yield day(calendar, dt.date.fromordinal(ordinal))


def is_business_day(calendar: Calendar, date: dt.date) -> bool:
    """Whether business is done on this day. Raises `YearWithoutCalendar`."""
    return day(calendar, date).is_business


def next_business_day(calendar: Calendar, date: dt.date) -> dt.date:
    """The first business day after this one."""
    return _step(calendar, date, 1)


def previous_business_day(calendar: Calendar, date: dt.date) -> dt.date:
    """The last business day before this one."""
    return _step(calendar, date, -1)


def on_or_after(calendar: Calendar, date: dt.date) -> dt.date:
    """This day where it is a business day, else the next one."""
    return date if is_business_day(calendar, date) else next_business_day(calendar, date)


def on_or_before(calendar: Calendar, date: dt.date) -> dt.date:
    """This day where it is a business day, else the one before."""
    return date if is_business_day(calendar, date) else previous_business_day(calendar, date)


def add_business_days(calendar: Calendar, date: dt.date, count: int) -> dt.date:
    """The `count`-th business day after this day, or before it where `count` is negative."""
    assert abs(count) <= DAYS_MAX, "counting further than ten years"
    for _ in range(abs(count)):
        date = _step(calendar, date, 1 if count > 0 else -1)
    return date


def business_days_between(calendar: Calendar, start: dt.date, end: dt.date) -> int:
    """How many business days came after `start`, up to and including `end`: an age. 0 where none did."""
    assert (end - start).days <= DAYS_MAX, "counting further than ten years"
    return sum(each.is_business for each in days(calendar, start + dt.timedelta(days=1), end))


def business_date(
    instant: dt.datetime, *, calendar: Calendar, time_zone: str, cut_off: dt.time | None = None
) -> dt.date:
    """The business day a moment belongs to, in this zone. At the cut-off itself, the day is over.

    Without a cut-off a day ends at midnight. Raises `YearWithoutCalendar`.
    """
    assert instant.tzinfo is not None, "a moment names its zone"
    local = instant.astimezone(zoneinfo.ZoneInfo(time_zone))
    date = local.date()
    if not is_business_day(calendar, date):
        return next_business_day(calendar, date)
    late = cut_off is not None and local.time() >= cut_off
    return next_business_day(calendar, date) if late else date


def cut_off_instant(date: dt.date, *, time_zone: str, cut_off: dt.time) -> dt.datetime:
    """The moment at which a day's cut-off falls in this zone.

    Where the clock is put back over it, the first of the two; where it is put forward over it, the
    moment that would have been (PEP 495).
    """
    return dt.datetime.combine(date, cut_off, zoneinfo.ZoneInfo(time_zone)).astimezone(dt.UTC)


def source(calendar: Calendar, year: int) -> str:
    """Where a year's days were published. Raises `YearWithoutCalendar`."""
    if calendar is Calendar.TARGET:
        return "Guideline (EU) 2022/912 of the European Central Bank"
    if calendar is Calendar.WEEKENDS:
        return ""
    return _year(calendar, year)["source"]


def _step(calendar: Calendar, date: dt.date, by: int) -> dt.date:
    one = dt.timedelta(days=by)
    date += one
    while not is_business_day(calendar, date):
        date += one
    return date


@functools.cache
def _exceptions(calendar: Calendar, year: int) -> Mapping[dt.date, Day]:
    """The days of a year that are not what their weekday says, or that have a name."""
    if calendar is Calendar.WEEKENDS:
        return {}
    if calendar is Calendar.TARGET:
        return _target(year)
    found: dict[dt.date, Day] = {}
    for entry in _year(calendar, year)["days"]:
        for ordinal in range(entry["from"].toordinal(), entry["to"].toordinal() + 1):
            date = dt.date.fromordinal(ordinal)
            found[date] = Day(date, DayKind.HOLIDAY, entry["en"], entry["zh"])
        for date in entry["work"] if calendar is not Calendar.CN_MARKET else ():
            found[date] = Day(date, DayKind.MAKE_UP, entry["en"], entry["zh"])
    return found


def _year(calendar: Calendar, year: int) -> _Year:
    place = "CN" if calendar is Calendar.CN_MARKET else calendar.value
    years = _published()[place]
    if year not in years:
        raise YearWithoutCalendar(calendar=calendar.value, year=year, first=min(years), last=max(years))
    return years[year]


@functools.cache
def _published() -> Mapping[str, Mapping[int, _Year]]:
    text = resources.files("tallystick.core").joinpath("calendars.yaml").read_text("utf-8")
    read: Mapping[str, Mapping[int, _Year]] = yaml.safe_load(text)
    return read


def _target(year: int) -> Mapping[dt.date, Day]:
    """The six closing days: 1 January, Good Friday, Easter Monday, 1 May, 25 and 26 December."""
    easter = _easter(year)
    closed = (
        (dt.date(year, 1, 1), "New Year's Day", "元旦"),
        (easter - dt.timedelta(days=2), "Good Friday", "耶稣受难日"),
        (easter + dt.timedelta(days=1), "Easter Monday", "复活节星期一"),
        (dt.date(year, 5, 1), "1 May", "劳动节"),
        (dt.date(year, 12, 25), "Christmas Day", "圣诞节"),
        (dt.date(year, 12, 26), "26 December", "节礼日"),
    )
    return {date: Day(date, DayKind.HOLIDAY, en, zh) for date, en, zh in closed}


def _easter(year: int) -> dt.date:
    """Easter Sunday of the Gregorian calendar: the anonymous algorithm (Meeus, Astronomical Algorithms, ch. 8)."""
    a, b, c = year % 19, year // 100, year % 100
    d, e = divmod(b, 4)
    g = (b - (b + 8) // 25 + 1) // 3
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    m = (32 + 2 * e + 2 * i - h - k) % 7
    n = (a + 11 * h + 22 * m) // 451
    month, before = divmod(h + m - 7 * n + 114, 31)
    return dt.date(year, month, before + 1)

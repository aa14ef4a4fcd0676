"""What a refusal is: a reason a request is turned down, told in words its reader understands.

Each domain lists its refusals in its own `errors.py`, one class a reason, in order of precedence. The
class's docstring is the English message, with its fields in braces; the locale holds the Chinese.
"""

from __future__ import annotations

import inspect
import re
from typing import ClassVar

from django.utils.translation import gettext


class Refusal(Exception):
    """The request was refused."""

    code: ClassVar[str] = "refusal"
    """The reason's name outside: the class's name in snake case."""

    def __init_subclass__(cls) -> None:
        cls.code = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    def __init__(self, **fields: object) -> None:
        self.fields = fields
        super().__init__(self.template().format(**fields))

    @classmethod
    def template(cls) -> str:
        """The English message, its fields still in braces: also the key of its translation."""
        return " ".join(inspect.cleandoc(cls.__doc__ or "").split())

    @property
    def message(self) -> str:
        """The message in the language of the moment."""
        return gettext(self.template()).format(**self.fields)


class Absence(Refusal):
    """There is nothing of that name, or it is not this reader's to know of: on pages and in the API a 404."""


class CalendarUnknown(Refusal):
    """There is no calendar {calendar}. There are: {known}."""


class YearWithoutCalendar(Refusal):
    """The calendar {calendar} has no days for {year}, only for {first} to {last}: add what was published."""

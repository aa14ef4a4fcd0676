"""Charts: one set of figures, drawn for the eye and written as a table for everyone.

Promises: the drawing and the table are made from the same whole minor units; neither rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tallystick.web import words

Kind = Literal["line", "bar", "rows", "pie"]
"""Rows are bars that lie, for categories with long names."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line, or one set of bars. `values` are minor units at the chart's scale; `None` draws a gap."""

    name: str
    values: Sequence[int | None]


@dataclass(frozen=True, slots=True)
class Chart:
    """What a page draws. `scale` is the number of decimals; `unit` the asset, or what is counted."""

    id: str
    kind: Kind
    title: str
    category_label: str
    categories: Sequence[str]
    series: Sequence[Series]
    scale: int = 0
    unit: str = ""
    empty: str = ""
    low: bool = False
    is_judged: bool = False
    """Whether a value below zero is bad, and drawn so."""

    @property
    def is_empty(self) -> bool:
        return not self.categories or not any(
            value is not None for each in self.series for value in each.values
        )

    @property
    def script_id(self) -> str:
        return f"{self.id}-data"

    @property
    def names(self) -> list[str]:
        """The columns of the table, each with its unit."""
        return [f"{each.name} ({self.unit})" if self.unit else each.name for each in self.series]

    @property
    def rows(self) -> list[tuple[str, list[str]]]:
        """The table: a category, and each series' figure for it."""
        return [
            (category, [self._written(each.values[index]) for each in self.series])
            for index, category in enumerate(self.categories)
        ]

    @property
    def data(self) -> dict[str, Any]:
        """What the page's script draws: minor units and the scale to show them at."""
        return {
            "kind": self.kind,
            "categories": list(self.categories),
            "series": [{"name": each.name, "values": list(each.values)} for each in self.series],
            "scale": self.scale,
            "unit": self.unit,
            "judged": self.is_judged,
        }

    def _written(self, value: int | None) -> str:
        return "" if value is None else words.amount(value, self.scale)

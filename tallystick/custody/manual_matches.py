"""Matches by hand, as the reconciliation reads them: which lines two people said are the same payment.

Promises: only matches that stand are here, and only once the transfer that writes off their difference,
where they leave one, has been posted: so the two sides of each add up. Making and undoing them is the
workbench's (`workbench.matches`); this is below the reconciliation so that every run can honour them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connections

from tallystick.core.db import Db


@dataclass(frozen=True, slots=True)
class Standing:
    """A match by hand that stands, by the keys of its lines; the write-off's own position among them."""

    id: int
    statement_lines: tuple[int, ...]
    positions: tuple[int, ...]

    @property
    def text(self) -> str:
        return f"mat_{self.id}"


def standing(db: Db, bank_account: int) -> Sequence[Standing]:
    """The matches by hand of a bank account that a reconciliation is to honour, the first one first."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select m.id,
                array_agg(l.statement_line order by l.statement_line)
                    filter (where l.statement_line is not null),
                array_agg(l.position order by l.position) filter (where l.position is not null),
                m.write_off_transfer is not null, t.position
            from custody_manual_match m
            join custody_manual_match_line l on l.match_id = m.id
            left join custody_transfer t on t.id = m.write_off_transfer
            where m.bank_account_id = %s
                and not exists (select from custody_manual_match_undoing u where u.match_id = m.id)
            group by m.id, t.position order by m.id
            """,
            [bank_account],
        )
        return [
            Standing(match, tuple(lines or ()), (*(positions or ()), *([] if posted is None else [posted])))
            for match, lines, positions, writes_off, posted in cursor.fetchall()
            if not (writes_off and posted is None)
        ]

"""Writing a statement file into its tables: the bytes, the statements, their lines, what was noted.

Below `statement_files`, which judges and holds the transaction. Lines go in by COPY as the file is read a
second time, so memory does not grow with the file.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from typing import BinaryIO

from django.db import connections

from tallystick.core.db import Db
from tallystick.custody.statements import file as statement_file
from tallystick.custody.statements.notes import NOTES_MAX, Note, note
from tallystick.custody.statements.rows import Detail, Entry, Statement

PART_BYTES = 4 << 20
"""The length of one stored part of an original."""

# What makes two lines say the same. The keys are hashed by the server: a million of them are compared in a
# few seconds, and memory stays there.
_SAME = """
    hashtextextended(concat_ws(e'\\x1f', l.amount_minor, l.booking_date, l.value_date, l."references"::text,
        l.remittance, l.counterparty_name, l.counterparty_account, l.code, l.gross_minor), 0)
"""


def details_json(details: Sequence[Detail]) -> str:
    """A batch's transactions as JSON: what is empty is left out. One alone is the entry itself: none."""
    if len(details) < 2:
        return "[]"
    told = [
        {name: value for name in Detail.__slots__ if (value := getattr(detail, name)) not in ("", None)}
        for detail in details
    ]
    return json.dumps(told, ensure_ascii=False)


def write_parts(db: Db, file_id: int, source: BinaryIO) -> None:
    """The original bytes, stretch by stretch."""
    source.seek(0)
    with connections[db].cursor() as cursor:
        for part in itertools.count():
            stretch = source.read(PART_BYTES)
            if not stretch:
                return
            cursor.execute(
                "insert into custody_statement_file_part (file_id, part, content) values (%s, %s, %s)",
                [file_id, part, stretch],
            )


def write_statement(db: Db, file_id: int, bank_account: int, row: Statement) -> int:
    """One statement, without its lines; its id."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            'insert into custody_statement (file_id, bank_account_id, "index", line, source, kind, account,'
            " currency, identification, number, page, from_date, to_date, opening_minor, closing_minor,"
            " entries, digest)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) returning id",
            [
                file_id,
                bank_account,
                row.index,
                row.line,
                row.source,
                row.kind,
                row.account[:64],
                row.currency,
                storable(row.identification)[:64],
                row.number,
                row.page,
                row.from_date,
                row.to_date,
                row.opening_minor,
                row.closing_minor,
                row.entries,
                row.digest,
            ],
        )
        return int(cursor.fetchone()[0])


def write_lines(
    db: Db, reader: statement_file.Reader, ids: dict[int, int], progress: Callable[[int], None]
) -> int:
    """Copy the lines of the new statements, as they are read a second time; how many they are."""
    written = 0
    statement = 1
    copy_sql = (
        "copy custody_statement_line (statement_id, number, line, amount_minor, booking_date, value_date,"
        ' "references", remittance, counterparty_name, counterparty_account, code, reversal, gross_minor,'
        " fee_minor, settlement, details) from stdin"
    )
    with connections[db].cursor() as cursor, cursor.copy(copy_sql) as copy:
        for row in reader.read():
            if isinstance(row, Statement):
                statement = row.index + 1
            elif statement in ids:
                copy.write_row(_columns(ids[statement], row))
                written += 1
                if written % 1_000 == 0:
                    progress(reader.bytes_read)
    return written


def write_notes(db: Db, file_id: int, notes: Sequence[Note]) -> None:
    """What was noted of the file, in the order given."""
    if not notes:
        return
    rows = [
        (file_id, number, each.line, each.code, json.dumps(dict(each.values), ensure_ascii=False))
        for number, each in enumerate(notes, start=1)
    ]
    with connections[db].cursor() as cursor:
        cursor.executemany(
            "insert into custody_statement_note (file_id, number, line, code, told) values (%s, %s, %s, %s, %s)",
            rows,
        )


def repeated_within(db: Db, statement_ids: Sequence[int]) -> list[Note]:
    """Lines among these statements that say the same as one before them, with its line."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            f"""
            select line, first from (
                select line, first_value(line) over same as first, row_number() over same as nth
                from (
                    select l.id, l.line, {_SAME} as said from custody_statement_line l
                    where l.statement_id = any(%s)
                ) keyed
                window same as (partition by said order by id)
            ) found
            where nth > 1 order by line limit %s
            """,  # noqa: S608 -- the constant above
            [list(statement_ids), NOTES_MAX],
        )
        return [note(line, "entry_repeated", first=first) for line, first in cursor.fetchall()]


def told_before(db: Db, file_id: int, bank_account: int) -> list[Note]:
    """Lines of a file that say the same as one of another file, of the same kind and of days both tell of."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            f"""
            with new as (select * from custody_statement where file_id = %s),
            old as (
                select distinct s.id, s.file_id from custody_statement s
                join new on new.bank_account_id = s.bank_account_id and new.kind = s.kind
                    and s.file_id <> new.file_id
                    and s.to_date >= coalesce(new.from_date, new.to_date)
                    and coalesce(s.from_date, s.to_date) <= new.to_date
                where s.bank_account_id = %s
            ),
            before as (
                select {_SAME} as said, min(l.line) as line, min(old.file_id) as file_id
                from custody_statement_line l join old on old.id = l.statement_id
                where l.booking_date between
                    (select min(coalesce(from_date, to_date)) from new) and (select max(to_date) from new)
                group by said
            )
            select l.line, before.line, before.file_id
            from custody_statement_line l join before on {_SAME} = before.said
            where l.statement_id in (select id from new) order by l.line limit %s
            """,  # noqa: S608 -- the constant above
            [file_id, bank_account, NOTES_MAX],
        )
        return [
            note(line, "entry_known", first=first, file=f"stm_{other}")
            for line, first, other in cursor.fetchall()
        ]


def storable(text: str) -> str:
    """The text without the one character that PostgreSQL's text does not hold."""
    return text.replace("\x00", "")


def _columns(statement_id: int, row: Entry) -> tuple[object, ...]:
    return (
        statement_id,
        row.number,
        row.line,
        row.amount_minor,
        row.booking_date,
        row.value_date,
        storable(json.dumps(row.references, ensure_ascii=False).replace("\\u0000", "")),
        storable(row.remittance),
        storable(row.counterparty_name),
        storable(row.counterparty_account)[:64],
        storable(row.code)[:64],
        row.reversal,
        row.gross_minor,
        row.fee_minor,
        storable(row.settlement)[:128],
        details_json(row.details).replace("\\u0000", ""),
    )

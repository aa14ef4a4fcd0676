"""A platform whose days are stated and sealed: one covered, one short; and whatever the pages of evidence show."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from django.conf import settings

from tallystick.core.db import APP, SEQUENCER
from tallystick.custody.safeguarding import arrangements
from tallystick.custody.safeguarding.comparison import AccountRole
from tallystick.custody.solvency import statements
from tallystick.evidence import keys, publishing, sealing

from . import seed

SAFE = arrangements.Terms(
    role=AccountRole.SAFEGUARDING, institution="First Bank", number="CN-BANK-0001", country="CN"
)


def bank_says(cast: seed.Cast, day: dt.date, amount_minor: int, *, now: dt.datetime) -> None:
    """The bank's statement that closes a day with this balance."""
    from tallystick.custody import statement_files

    told = f"{amount_minor // 100},{amount_minor % 100:02d}"
    text = [
        f":20:{day:%y%m%d}",
        ":25:CN-BANK-0001",
        f":28C:{day:%j}/1",
        f":60F:C{day:%y%m%d}CNY{told}",
        f":62F:C{day:%y%m%d}CNY{told}",
        "-",
    ]
    statement_files.import_bytes(
        APP, f"{day}.sta", "\r\n".join(text).encode(), bank_account=cast.bank, actor=seed.BY, now=now
    )


def platform(*, start: dt.datetime, folder: Path) -> tuple[seed.Cast, list[statements.Statement]]:
    """The platform of `seed`, its logs open, its last two days stated (covered, then short), all of it sealed.

    folder: for the trees and the published files; the settings have to say so too.
    """
    now = start + dt.timedelta(days=seed.DAYS + 1)
    keys.open_logs(SEQUENCER, "platform.example", actor="system:cli", now=start)
    cast = seed.platform(start=start)
    arrangements.declare(APP, cast.bank, SAFE, actor=seed.BY, now=start)
    sealing.seal(SEQUENCER, now=now)
    last = (now - dt.timedelta(days=2)).date()
    owed = seed_owed(last)
    bank_says(cast, last - dt.timedelta(days=1), owed + 1_000_00, now=now)
    bank_says(cast, last, owed - 5_00, now=now)
    stated = [
        statements.state(
            APP, seed.BOOK, day, folder=Path(settings.LIABILITIES_FOLDER), actor=seed.BY, now=now
        )
        for day in (last - dt.timedelta(days=1), last)
    ]
    sealing.seal(SEQUENCER, now=now)
    publishing.publish(SEQUENCER, Path(settings.LOG_FOLDER))
    return cast, stated


def seed_owed(day: dt.date) -> int:
    """What clients were owed in all at the close of a day, by the ledger's own figures."""
    from tallystick.custody import books, history
    from tallystick.custody.numbers import Family

    book = books.book(APP, seed.BOOK)
    position = history.position_before(APP, seed.BOOK, book.midnight(day + dt.timedelta(days=1)))
    return sum(
        each.balance_minor
        for each in history.totals(APP, seed.BOOK, at_position=position)
        if each.family in (Family.CLIENT, Family.SUSPENSE)
    )

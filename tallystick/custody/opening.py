"""Opening balances: take over what another ledger holds, and prove that nothing was lost on the way.

Promises: nothing is posted unless the balances agree with the other ledger's own trial balance, family by
family and asset by asset, to the last minor unit; each is posted as a dated transfer with a code of its
own, so the past stays recognisable; an interrupted take-over is finished by running it again.

Two files. Balances: `account,balance`, an account number or the account's reference, and the amount in
whole units, positive on the account's normal side (what is owed to a client, what a bank holds). Trial
balance: `family,asset,debit,credit`, one line for each family and asset, as the other ledger totals them.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import msgspec
from django.db import connections, transaction

from tallystick.core import money
from tallystick.core.db import Db
from tallystick.custody import accounts, books, codes, errors, history, ledger, numbers, transfers
from tallystick.custody.accounts import Account
from tallystick.custody.models import AccountStatus
from tallystick.custody.numbers import BookId, Family, Side
from tallystick.custody.transfers import TransferRequest
from tallystick.evidence import log
from tallystick.identity import access
from tallystick.identity.access import Actor

BALANCE_COLUMNS = ("account", "balance")
TRIAL_COLUMNS = ("family", "asset", "debit", "credit")
FAMILIES = {family.name.lower(): family for family in Family}

DIFFERENCES_TOLD_MAX = 10


@dataclass(frozen=True, slots=True)
class BalanceLine:
    """A line of the file of balances, as written."""

    line: int
    account: str
    balance: str


@dataclass(frozen=True, slots=True)
class TrialLine:
    """A line of the trial balance, as written; an empty amount is nothing."""

    line: int
    family: Family
    asset: str
    debit: str
    credit: str


@dataclass(frozen=True, slots=True)
class Opening:
    """An account and what it is to open with, in minor units, positive on its normal side."""

    account: Account
    balance_minor: int

    @property
    def debit_minor(self) -> int:
        """The same as a debit; a credit where negative."""
        return self.balance_minor if self.account.normal_side == Side.DEBIT else -self.balance_minor


@dataclass(frozen=True, slots=True)
class Opened:
    """What was posted: transfers at consecutive positions, unless others posted in between."""

    accounts: int
    transfers: int
    first_position: int
    last_position: int


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────


def read_balances(text: Iterable[str]) -> list[BalanceLine]:
    """The lines of a file of balances. Raises `errors.Malformed` naming the line."""
    read = [BalanceLine(line, row[0].strip(), row[1].strip()) for line, row in _rows(text, BALANCE_COLUMNS)]
    seen: set[str] = set()
    for each in read:
        if each.account in seen:
            raise errors.Malformed(
                where=f"line {each.line}", field="account", expected="named once in the file"
            )
        seen.add(each.account)
    return read


def read_trial_balance(text: Iterable[str]) -> list[TrialLine]:
    """The lines of a trial balance. Raises `errors.Malformed` naming the line."""
    read = []
    for line, row in _rows(text, TRIAL_COLUMNS):
        family, asset, debit, credit = (cell.strip() for cell in row)
        if family not in FAMILIES:
            raise errors.Malformed(
                where=f"line {line}", field="family", expected=f"one of {', '.join(FAMILIES)}"
            )
        read.append(TrialLine(line, FAMILIES[family], asset, debit, credit))
    return read


def differences(openings: Sequence[Opening], trial: Sequence[TrialLine]) -> list[str]:
    """Where balances and trial balance do not agree, in words; nothing where they do.

    Debits must equal credits in each asset, and the balances of each family in each asset must come to
    what the trial balance says. A family that stands in one of the two alone stands at nothing in the other.
    """
    scales = {opening.account.asset: opening.account.scale for opening in openings}
    ours: dict[tuple[Family, str], int] = {}
    for opening in openings:
        key = opening.account.family, opening.account.asset
        ours[key] = ours.get(key, 0) + opening.debit_minor
    theirs: dict[tuple[Family, str], int] = {}
    for line in trial:
        scale = scales.get(line.asset)
        if scale is None and line.asset in money.CURRENCIES:
            scale = money.CURRENCIES[line.asset].scale
        if scale is None:
            raise errors.AssetUnknown(asset=line.asset)
        scales[line.asset] = scale
        debit = _minor(line.line, "debit", line.debit or "0", scale)
        credit = _minor(line.line, "credit", line.credit or "0", scale)
        theirs[line.family, line.asset] = theirs.get((line.family, line.asset), 0) + debit - credit
    told = [
        f"{family.name.lower()} {asset}: {_side(ours.get((family, asset), 0), scales[asset])} here, "
        f"{_side(theirs.get((family, asset), 0), scales[asset])} there"
        for family, asset in sorted(ours.keys() | theirs.keys())
        if ours.get((family, asset), 0) != theirs.get((family, asset), 0)
    ]
    for asset in sorted(scales):
        left = sum(amount for (_, each), amount in ours.items() if each == asset)
        if left:
            told.append(f"{asset}: debits less credits are {money.major(left, scales[asset])}")
    return told


def requests(openings: Sequence[Opening], value_date: date) -> list[TransferRequest]:
    """The transfers that bring the accounts to their balances: from what debits them to what credits them.

    Needs debits and credits that agree. Ids follow from accounts and date, so that the same take-over is
    the same transfers.
    """
    asked: list[TransferRequest] = []
    pairs: dict[tuple[int, int], int] = {}
    by_asset: dict[str, list[Opening]] = {}
    for opening in sorted(openings, key=lambda each: each.account.number):
        by_asset.setdefault(opening.account.asset, []).append(opening)
    for of_asset in by_asset.values():
        debits = [(each.account.number, each.debit_minor) for each in of_asset if each.debit_minor > 0]
        for each in of_asset:
            left = -each.debit_minor
            while left > 0:
                debit, most = debits[-1]
                # A single transfer has a largest amount; an account may open with more than that.
                amount = min(left, most, money.AMOUNT_MAX)
                pair = debit, each.account.number
                pairs[pair] = pairs.get(pair, 0) + 1
                asked.append(_request(*pair, amount, value_date, pairs[pair]))
                left -= amount
                debits[-1:] = [(debit, most - amount)] if most > amount else []
    return asked


# ── action ───────────────────────────────────────────────────────────────────────────────────────────────


def take_over(
    db: Db,
    book: int,
    balances: Sequence[BalanceLine],
    trial: Sequence[TrialLine],
    value_date: date,
    *,
    actor: Actor,
    now: datetime,
) -> Opened:
    """Post opening balances that agree with a trial balance, in the accounts opened for them.

    Raises `errors.Malformed` naming the line, `OpeningDiffers` saying where the two
    files part, and `OpeningNotFirst` where an account has moved already; then nothing has been posted.
    """
    access.require(db, actor, "custody.open_balances")
    books.book(db, book)
    named = accounts.named(db, book, [line.account for line in balances])
    openings = [_opening(line, named) for line in balances]
    if told := differences(openings, trial):
        more = len(told) - DIFFERENCES_TOLD_MAX
        raise errors.OpeningDiffers(
            differences="; ".join(told[:DIFFERENCES_TOLD_MAX]) + (f"; and {more} more" if more > 0 else "")
        )
    asked = requests(openings, value_date)
    if not asked:
        raise errors.Malformed(where="balances", field="balance", expected="other than 0 in some account")
    _require_first(db, openings, asked)

    positions: list[int] = []
    for start in range(0, len(asked), transfers.BATCH_MAX):
        part = asked[start : start + transfers.BATCH_MAX]
        # One chain a call, so that no part of a call stands alone.
        part = [msgspec.structs.replace(request, linked=True) for request in part[:-1]] + part[-1:]
        # Operations and its approver may be absent on the first day: the take-over itself was allowed above.
        results = ledger.post(db, BookId(book), part, actor=Actor.system("posting"), now=now)
        for i, request in enumerate(part):
            refusal = results.refusal_of(i)
            if refusal is not None and refusal is not errors.LinkedTransferRefused:
                raise errors.OpeningDiffers(differences=f"{request.credit_account}: {refusal.template()}")
        positions += (int(position) for position in results.position)

    after = history.balances(db, [each.account.number for each in openings], at_position=max(positions))
    for each in openings:
        assert after[each.account.number].balance_minor == each.balance_minor, each
    with transaction.atomic(using=db):
        log.append(
            db,
            "custody.balances_opened",
            {
                "book": book,
                "value_date": value_date.isoformat(),
                "accounts": len(openings),
                "first_position": min(positions),
                "last_position": max(positions),
                "openings_sha256": _hash(f"{each.account},{each.balance}" for each in balances),
                "trial_balance_sha256": _hash(
                    f"{each.family.name.lower()},{each.asset},{each.debit},{each.credit}" for each in trial
                ),
            },
            actor=actor.id,
            at=now,
        )
    return Opened(len(openings), len(asked), min(positions), max(positions))


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


def _rows(text: Iterable[str], columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(text, strict=True)
    try:
        header = [cell.strip().lower().removeprefix("\ufeff") for cell in next(reader, [])]
        if header != list(columns):
            raise errors.Malformed(where="line 1", field="header", expected=",".join(columns))
        for row in reader:
            if not row:
                continue
            if len(row) != len(columns):
                raise errors.Malformed(
                    where=f"line {reader.line_num}",
                    field="line",
                    expected=f"{len(columns)} fields: {','.join(columns)}",
                )
            yield reader.line_num, row
    except csv.Error as broken:
        raise errors.Malformed(
            where=f"line {reader.line_num}", field="line", expected=f"CSV as RFC 4180 has it ({broken})"
        ) from broken


def _minor(line: int, field: str, text: str, scale: int) -> int:
    try:
        # A stray exponent or sign of grouping is more likely a slip than an amount.
        if not text.replace("-", "", 1).replace(".", "", 1).isdecimal() or not text.isascii():
            raise ValueError
        return money.minor(text, scale)
    except ValueError:
        raise errors.Malformed(
            where=f"line {line}", field=field, expected=f"an amount such as 1234.50, at most {scale} decimals"
        ) from None


def _opening(line: BalanceLine, named: Mapping[str, Account]) -> Opening:
    account = named.get(line.account)
    if account is None:
        raise errors.Malformed(
            where=f"line {line.line}", field="account", expected=f"an account of the book, not {line.account}"
        )
    balance = _minor(line.line, "balance", line.balance, account.scale)
    if account.family == Family.OWN and balance:
        raise errors.Malformed(
            where=f"line {line.line}",
            field="balance",
            expected="0: own money is not brought in; pay it out before",
        )
    if balance < 0 and account.no_overdraft:
        raise errors.Malformed(
            where=f"line {line.line}", field="balance", expected="0 or more for this account"
        )
    if account.ceiling_minor is not None and balance > account.ceiling_minor:
        raise errors.Malformed(
            where=f"line {line.line}", field="balance", expected="within the account's ceiling"
        )
    if account.status != AccountStatus.OPEN and balance:
        raise errors.Malformed(
            where=f"line {line.line}", field="account", expected="open: freeze it afterwards"
        )
    return Opening(account, balance)


def _require_first(db: Db, openings: Sequence[Opening], asked: Sequence[TransferRequest]) -> None:
    """No account has moved, but by these very transfers: then we go on where we were interrupted."""
    ours = [UUID(bytes=transfers.parse_id(request.id)) for request in asked]
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            select e.account from custody_entry e
            join custody_transfer t on t.book_id = e.account / 1000000000000000 and t.position = e.position
            where e.account = any(%s) and t.id <> all(%s) limit 1
            """,
            [[each.account.number for each in openings], ours],
        )
        if (moved := cursor.fetchone()) is not None:
            raise errors.OpeningNotFirst(account=numbers.account_text(moved[0]))


def _request(debit: int, credit: int, amount: int, value_date: date, nth: int) -> TransferRequest:
    told = f"tallystick/opening/v1 {debit} {credit} {value_date.isoformat()} {nth}"
    raw = bytearray(hashlib.sha256(told.encode()).digest()[:16])
    raw[6], raw[8] = raw[6] & 0x0F | 0x80, raw[8] & 0x3F | 0x80
    return TransferRequest(
        id=f"trf_{UUID(bytes=bytes(raw))}",
        debit_account=numbers.account_text(debit),
        credit_account=numbers.account_text(credit),
        amount_minor=amount,
        code=codes.Code.OPENING_BALANCE.text,
        value_date=value_date,
    )


def _side(debit_minor: int, scale: int) -> str:
    if not debit_minor:
        return "nothing"
    return f"{money.major(abs(debit_minor), scale)} {'debit' if debit_minor > 0 else 'credit'}"


def _hash(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()

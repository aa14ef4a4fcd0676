"""Quotes: what an exchange costs in full, told first, agreed to once, and posted exactly as told.

Promises: a quote names rate, margin, fee and what arrives, and until when that holds; consent gives the
client's own authorisations for these amounts and no others; the posted transfers are the quote's figures,
or nothing is posted. A consent under an advisory lock of the client's: limits cannot be passed by two at
once.

A book's position accounts are external accounts with the references `FX-CNY`, `FX-USD` and so on; fees go
to the own account with the reference `FX-FEES-CNY`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Any
from uuid import UUID, uuid5

import msgspec
from django.db import connections, transaction

from tallystick.core import money
from tallystick.core.db import Db
from tallystick.core.money import Rounding
from tallystick.custody import (
    accounts,
    assets,
    books,
    codes,
    compound,
    errors,
    exchange,
    holders,
    instructions,
    ledger,
    numbers,
)
from tallystick.custody.accounts import Account
from tallystick.custody.assets import Asset
from tallystick.custody.cross_border import corridors, rates
from tallystick.custody.cross_border.corridors import Corridor
from tallystick.custody.cross_border.rates import QUOTE_AGE_MAX, Rate
from tallystick.custody.exchange import Exchange, Quote
from tallystick.custody.instructions import Given, Terms
from tallystick.custody.models import AmountRule
from tallystick.custody.numbers import AccountNumber, AuthorisationKind, AuthorisationNumber, BookId, Family
from tallystick.custody.transfers import TransferRequest
from tallystick.evidence import log
from tallystick.identity import access
from tallystick.identity.access import Actor

VALID = timedelta(minutes=5)
"""How long a quote holds."""

POSTING_TIME = timedelta(hours=1)
"""How long after consent the authorisations may still be used: posting may wait for its turn."""

RATE_PLACES = 12
ADVANCE_MAX = 100
SOURCE_MAX = 140
"""How long the source of a rate may be that a transfer keeps."""
_CONSENT_LOCK = 1_180_194_642
_ENTRY = UUID("0192f000-7461-7c79-8000-66782d71756f")


class Status(StrEnum):
    """Where an exchange stands."""

    QUOTED = "quoted"
    EXPIRED = "expired"
    CONSENTED = "consented"
    POSTED = "posted"
    REFUSED = "refused"
    SETTLED = "settled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Cost:
    """An exchange in figures. sold_minor and fee_minor leave the one account, bought_minor arrives.

    rate is the client's, margin_minor what the margin takes of what would arrive at the recorded rate.
    """

    rate: str
    sold_minor: int
    fee_minor: int
    bought_minor: int
    margin_minor: int

    @property
    def leaves_minor(self) -> int:
        return self.sold_minor + self.fee_minor


@dataclass(frozen=True, slots=True)
class Agreed:
    """A client's consent: the entry its transfers are legs of, and the authorisations it gave."""

    entry: UUID
    order: AuthorisationNumber
    entitlement: AuthorisationNumber | None


@dataclass(frozen=True, slots=True)
class Quoted:
    """A quote and what has become of it."""

    id: str
    book: BookId
    owner: str
    seller: AccountNumber
    buyer: AccountNumber
    sold_position: AccountNumber
    bought_position: AccountNumber
    fee_account: AccountNumber | None
    sold: Asset
    bought: Asset
    from_country: str
    to_country: str
    corridor: str
    recorded_rate: Rate
    margin_ppm: int
    rounding: Rounding
    cost: Cost
    valid_until: datetime
    at: datetime
    status: Status
    reason: str
    reference: str
    position: int | None
    agreed: Agreed | None

    @property
    def number(self) -> int:
        return int(self.id.removeprefix("quo_"))


def cost(sold_minor: int, sold: Asset, bought: Asset, recorded: str, rule: corridors.Terms) -> Cost:
    """What selling so much costs by a recorded rate and a corridor's rule.

    The client's rate is the recorded one less the margin, cut (never rounded up) to twelve places; what
    arrives is rounded down, and the margin is what would have arrived less what does. Raises
    `errors.Malformed` where nothing would arrive.
    """
    exact = Fraction(Decimal(recorded)) * Fraction(1_000_000 - rule.margin_ppm, 1_000_000)
    cut = exact.numerator * 10**RATE_PLACES // exact.denominator
    text = money.major(cut, RATE_PLACES)
    rate = text.rstrip("0").rstrip(".") if "." in text else text
    quote = Quote(rate, "-", Rounding.DOWN)
    if cut == 0 or (arrives := exchange.bought_minor(sold_minor, sold.scale, bought.scale, quote)) < 1:
        raise errors.Malformed(where="quote", field="sold_minor", expected="enough to buy a minor unit")
    whole = exchange.bought_minor(sold_minor, sold.scale, bought.scale, Quote(recorded, "-", Rounding.DOWN))
    return Cost(rate, sold_minor, rule.fee_minor, arrives, whole - arrives)


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def quote(db: Db, quote_id: str, *, now: datetime) -> Quoted:
    """A quote as it stands at this moment. Raises `errors.QuoteUnknown`."""
    digits = quote_id.removeprefix("quo_")
    if quote_id.startswith("quo_") and digits.isascii() and digits.isdigit() and len(digits) <= 18:
        for found in _quotes(db, "where q.id = %s", [int(digits)], now=now):
            return found
    raise errors.QuoteUnknown(quote=quote_id)


def quotes(
    db: Db, book: int, *, sellers: Sequence[int] | None = None, now: datetime, limit: int = 100
) -> Sequence[Quoted]:
    """The newest quotes of a book, or of those of its accounts that would give, the newest first."""
    where = "q.book_id = %s"
    given: list[Any] = [book]
    if sellers is not None:
        where, given = f"{where} and q.seller_id = any(%s)", [*given, list(sellers)]
    return _quotes(db, f"where {where} order by q.id desc limit %s", [*given, limit], now=now)


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────


def ask(
    db: Db,
    *,
    seller: AccountNumber,
    buyer: AccountNumber,
    sold_minor: int,
    from_country: str,
    to_country: str,
    actor: Actor,
    now: datetime,
) -> Quoted:
    """Quote an exchange between two accounts of one client, and keep the quote; nothing moves.

    Raises `errors.AccountUnknown`, `NotAClientAccount`, `Malformed`, `CorridorUnknown`, `CorridorBlocked`,
    `CorridorTransferLimit`, `CorridorPeriodLimit`, `RateUnknown`, `RateStale` or `PositionAccountMissing`.
    """
    gives, gets = accounts.account(db, seller), accounts.account(db, buyer)
    speaker = holders.speaker(db, gives, actor=actor)
    access.require(db, actor, "custody.quote_exchange", owner=speaker or None)
    _require_one_client(gives, gets)
    if not 1 <= sold_minor <= money.AMOUNT_MAX:
        raise errors.Malformed(where="quote", field="sold_minor", expected=f"1 to {money.AMOUNT_MAX}")
    sold, bought = assets.asset(db, gives.asset), assets.asset(db, gets.asset)
    day = books.book(db, gives.book).today(now)
    rule = corridors.rule(
        db,
        gives.book,
        from_country=from_country,
        to_country=to_country,
        sold=sold.code,
        bought=bought.code,
        day=day,
    )
    used = corridors.used_minor(db, rule, gives.owner, now=now)
    if refused := corridors.refusal(rule, sold_minor, used, sold.scale):
        raise refused
    rate = rates.current(db, sold.code, bought.code, now=now, age_max=QUOTE_AGE_MAX)
    told = cost(sold_minor, sold, bought, rate.rate, rule.terms)
    places = [_place(db, gives.book, Family.EXTERNAL, f"FX-{asset.code}") for asset in (sold, bought)]
    fees = _place(db, gives.book, Family.OWN, f"FX-FEES-{sold.code}") if told.fee_minor else None
    with transaction.atomic(using=db):
        number = _write_quote(db, gives, gets, places, fees, rule, rate, told, actor=actor, now=now)
        log.append(
            db,
            "custody.exchange_quoted",
            {
                "quote": f"quo_{number}",
                "seller": gives.text,
                "buyer": gets.text,
                "corridor": rule.id,
                "recorded_rate": rate.id,
                "rate": told.rate,
                "sold_minor": str(told.sold_minor),
                "fee_minor": str(told.fee_minor),
                "margin_minor": str(told.margin_minor),
                "bought_minor": str(told.bought_minor),
                "valid_until": (now + VALID).isoformat(),
            },
            actor=actor.id,
            at=now,
        )
    return quote(db, f"quo_{number}", now=now)


def consent(db: Db, quote_id: str, *, actor: Actor, now: datetime) -> Quoted:
    """Agree to a quote: the client's own word, once, while it holds and the corridor still lets it through.

    Raises `errors.QuoteUnknown`, `QuoteTaken`, `QuoteExpired` or as the corridor does.
    """
    found = quote(db, quote_id, now=now)
    speaker = holders.speaker(db, accounts.account(db, found.seller), actor=actor)
    access.require(db, actor, "custody.authorise", owner=speaker or None)
    with transaction.atomic(using=db):
        with connections[db].cursor() as cursor:
            cursor.execute(
                "select pg_advisory_xact_lock(%s, hashtext(%s))",
                [_CONSENT_LOCK, f"{found.book}/{found.owner}"],
            )
        found = quote(db, quote_id, now=now)
        if found.status not in (Status.QUOTED, Status.EXPIRED):
            raise errors.QuoteTaken(quote=quote_id)
        if found.status == Status.EXPIRED:
            raise errors.QuoteExpired(quote=quote_id, valid_until=found.valid_until.isoformat())
        _require_still_open(db, found, now=now)
        order, *fee = instructions.authorise_many(db, _agreed(found, now), actor=actor, now=now)
        entry = uuid5(_ENTRY, quote_id)
        with connections[db].cursor() as cursor:
            cursor.execute(
                "insert into custody_exchange_consent"
                ' (quote_id, book_id, entry_id, "order", entitlement, at, actor)'
                " values (%s, %s, %s, %s, %s, %s, %s)",
                [found.number, found.book, entry, order, fee[0] if fee else None, now, actor.id],
            )
        log.append(
            db,
            "custody.exchange_consented",
            {
                "quote": quote_id,
                "order": numbers.authorisation_text(order),
                "entitlement": numbers.authorisation_text(fee[0]) if fee else None,
            },
            actor=actor.id,
            at=now,
        )
    return quote(db, quote_id, now=now)


def advance(db: Db, book: BookId, *, actor: Actor, now: datetime, limit: int = ADVANCE_MAX) -> int:
    """Post what clients have agreed to and nobody has posted yet; how many. Safe to repeat at any point.

    The transfers have ids that follow from the quote: asked for again they are the ones that stand.
    """
    access.require(db, actor, "custody.post")
    with connections[db].cursor() as cursor:
        # From the consents, by number alone: only what is found is read with all that belongs to it.
        cursor.execute(
            """
            select c.quote_id from custody_exchange_consent c
            where c.book_id = %s
                and not exists (select from custody_exchange_outcome o where o.quote_id = c.quote_id)
            order by c.quote_id limit %s
            """,
            [book, limit],
        )
        waiting = [number for (number,) in cursor.fetchall()]
    if waiting:
        for found in _quotes(db, "where q.id = any(%s) order by q.id", [waiting], now=now):
            _post(db, found, actor=actor, now=now)
    return len(waiting)


def follow(db: Db, quote_id: str, *, actor: Actor, now: datetime) -> Quoted:
    """Post this quote at once where its client has agreed to it, and no other; it as it stands then.

    Where the ledger takes no transfers now, it stays agreed to: `advance` posts it later. Safe to repeat.
    Raises `errors.QuoteUnknown`.
    """
    access.require(db, actor, "custody.post")
    found = quote(db, quote_id, now=now)
    if found.status != Status.CONSENTED:
        return found
    with contextlib.suppress(errors.PostingStopped):
        _post(db, found, actor=actor, now=now)
    return quote(db, quote_id, now=now)


def settle(db: Db, quote_id: str, reference: str, *, actor: Actor, now: datetime) -> Quoted:
    """Record that the counterparty has delivered what was bought, by the reference the bank knows it by.

    Raises `errors.QuoteUnknown`, `QuoteNotPosted`, `QuoteClosed` or `Malformed`.
    """
    return _close(db, quote_id, Status.SETTLED, reference=reference, reason="", actor=actor, now=now)


def fail(db: Db, quote_id: str, reason: str, *, actor: Actor, now: datetime) -> Quoted:
    """Record that the counterparty has not delivered, and why. What was posted stands until it is reversed.

    Raises as `settle` does.
    """
    return _close(db, quote_id, Status.FAILED, reference="", reason=reason, actor=actor, now=now)


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────


def _require_one_client(gives: Account, gets: Account) -> None:
    for each in (gives, gets):
        if each.family != Family.CLIENT:
            raise errors.NotAClientAccount(account=each.text)
    if gives.book != gets.book:
        raise errors.BookDiffers
    if gives.owner != gets.owner:
        raise errors.Malformed(where="quote", field="buyer", expected="an account of the same client")
    if gives.asset == gets.asset:
        raise errors.Malformed(where="quote", field="buyer", expected=f"in another asset than {gives.asset}")


def _place(db: Db, book: int, family: Family, reference: str) -> AccountNumber:
    """The account of this family with this reference."""
    with contextlib.suppress(errors.AccountUnknown):
        found = accounts.account_of_reference(db, book, reference)
        if found.family == family:
            return found.number
    raise errors.PositionAccountMissing(book=book, reference=reference)


def _require_still_open(db: Db, found: Quoted, *, now: datetime) -> None:
    """The rule of today, not of the quote: a corridor that was blocked since lets nothing through."""
    rule = corridors.rule(
        db,
        found.book,
        from_country=found.from_country,
        to_country=found.to_country,
        sold=found.sold.code,
        bought=found.bought.code,
        day=books.book(db, found.book).today(now),
    )
    used = corridors.used_minor(db, rule, found.owner, now=now)
    if refused := corridors.refusal(rule, found.cost.sold_minor, used, found.sold.scale):
        raise refused


def _agreed(found: Quoted, now: datetime) -> list[Given]:
    """What the client authorises by agreeing: the amount sold to the position account, the fee to ours."""

    def terms(kind: AuthorisationKind, to: AccountNumber, code: codes.Code, amount: int) -> Given:
        return Given(
            Terms(
                debit_account=found.seller,
                kind=kind,
                credit_account=to,
                code=code,
                amount_rule=AmountRule.EXACT,
                amount_minor=amount,
                valid_from=now,
                valid_until=now + POSTING_TIME,
                basis=f"{found.id}: {found.cost.rate} {found.sold.code}/{found.bought.code}",
            )
        )

    given = [terms(AuthorisationKind.ORDER, found.sold_position, codes.Code.EXCHANGE, found.cost.sold_minor)]
    if found.fee_account is not None:
        given.append(
            terms(AuthorisationKind.ENTITLEMENT, found.fee_account, codes.Code.FEE, found.cost.fee_minor)
        )
    return given


def _legs(found: Quoted) -> list[TransferRequest]:
    """The quote as one chain: the exchange's two transfers, and the fee."""
    assert found.agreed is not None, "only what a client agreed to is posted"
    entry = f"trf_{found.agreed.entry}"
    # Which recorded rate it was says its number: a long name of who said it makes room for that.
    suffix = f" ({found.recorded_rate.id})"
    source = found.recorded_rate.source[: SOURCE_MAX - len(suffix)] + suffix
    told = exchange.chain(
        entry,
        Exchange(
            sold=found.sold,
            bought=found.bought,
            seller=found.seller,
            sold_position=found.sold_position,
            bought_position=found.bought_position,
            buyer=found.buyer,
            sold_minor=found.cost.sold_minor,
            authorisation=found.agreed.order,
            reference=found.id,
        ),
        Quote(found.cost.rate, source, found.rounding),
    )
    assert told[1].amount_minor == found.cost.bought_minor, "what was quoted is what is posted"
    if found.fee_account is None or found.agreed.entitlement is None:
        return told
    fee = TransferRequest(
        id=compound.leg_id(entry, 2),
        debit_account=numbers.account_text(found.seller),
        credit_account=numbers.account_text(found.fee_account),
        amount_minor=found.cost.fee_minor,
        code=codes.Code.FEE.text,
        authorisation=numbers.authorisation_text(found.agreed.entitlement),
        reference=found.id,
    )
    return [told[0], msgspec.structs.replace(told[1], linked=True), fee]


def _post(db: Db, found: Quoted, *, actor: Actor, now: datetime) -> None:
    legs = _legs(found)
    results = ledger.post(db, found.book, legs, actor=actor, now=now)
    refusals = [results.refusal_of(i) for i in range(len(legs))]
    # The chain is whole or nothing; the first real reason is the one to tell.
    real = [each.code for each in refusals if each and each is not errors.LinkedTransferRefused]
    why = (real or [each.code for each in refusals if each] or [""])[0]
    position = None if why else int(results.position[0])
    status = Status.REFUSED if why else Status.POSTED
    with transaction.atomic(using=db):
        if _write_outcome(
            db, found, status, position=position, reason=why, reference="", actor=actor, now=now
        ):
            log.append(
                db,
                "custody.exchange_refused" if why else "custody.exchange_posted",
                {"quote": found.id, "position": position, "reason": why},
                actor=actor.id,
                at=now,
            )


def _close(
    db: Db, quote_id: str, status: Status, *, reference: str, reason: str, actor: Actor, now: datetime
) -> Quoted:
    access.require(db, actor, "custody.settle_exchange")
    told = reference or reason
    most = 140 if status == Status.SETTLED else 500
    if not told.strip() or len(told) > most or not told.isprintable():
        raise errors.Malformed(
            where=quote_id,
            field="reference" if status == Status.SETTLED else "reason",
            expected=f"1 to {most} characters",
        )
    with transaction.atomic(using=db):
        with connections[db].cursor() as cursor:
            # Settled or failed, not both: one at a time for a quote.
            cursor.execute("select pg_advisory_xact_lock(%s, hashtext(%s))", [_CONSENT_LOCK, quote_id])
        found = quote(db, quote_id, now=now)
        if found.status in (Status.SETTLED, Status.FAILED):
            raise errors.QuoteClosed(quote=quote_id)
        if found.status != Status.POSTED:
            raise errors.QuoteNotPosted(quote=quote_id)
        _write_outcome(
            db, found, status, position=None, reason=reason, reference=reference, actor=actor, now=now
        )
        log.append(
            db,
            "custody.exchange_settled" if status == Status.SETTLED else "custody.exchange_failed",
            {"quote": found.id, "reason": reason, "reference": reference},
            actor=actor.id,
            at=now,
        )
    return quote(db, quote_id, now=now)


def _write_outcome(
    db: Db,
    found: Quoted,
    status: Status,
    *,
    position: int | None,
    reason: str,
    reference: str,
    actor: Actor,
    now: datetime,
) -> bool:
    """Whether it was written now: two beats may post the same quote, with the same ids and outcome."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "insert into custody_exchange_outcome (quote_id, status, position, reason, reference, at, actor)"
            " values (%s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
            [found.number, str(status), position, reason, reference, now, actor.id],
        )
        return bool(cursor.rowcount)


def _write_quote(
    db: Db,
    gives: Account,
    gets: Account,
    places: Sequence[AccountNumber],
    fees: AccountNumber | None,
    rule: Corridor,
    rate: Rate,
    told: Cost,
    *,
    actor: Actor,
    now: datetime,
) -> int:
    with connections[db].cursor() as cursor:
        cursor.execute(
            """
            insert into custody_exchange_quote (book_id, owner, seller_id, buyer_id, sold_position_id,
                bought_position_id, fee_account_id, corridor_id, recorded_rate_id, rate, rounding, sold_minor,
                fee_minor, margin_minor, bought_minor, valid_until, at, actor)
            values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) returning id
            """,
            [
                gives.book,
                gives.owner,
                gives.number,
                gets.number,
                *places,
                fees,
                rule.number,
                rate.number,
                told.rate,
                str(Rounding.DOWN),
                told.sold_minor,
                told.fee_minor,
                told.margin_minor,
                told.bought_minor,
                now + VALID,
                now,
                actor.id,
            ],
        )
        return int(cursor.fetchone()[0])


def _quotes(db: Db, rest: str, parameters: Sequence[Any], *, now: datetime) -> list[Quoted]:
    with connections[db].cursor() as cursor:
        cursor.execute(
            f"""
            select q.id, q.book_id, q.owner, q.seller_id, q.buyer_id, q.sold_position_id,
                q.bought_position_id, q.fee_account_id, s.number, s.code, s.scale, s.name,
                b.number, b.code, b.scale, b.name, k.from_country, k.to_country, k.id, k.margin_ppm,
                r.id, r.rate, r.source, r.as_of, r.at, r.actor, q.rate, q.rounding, q.sold_minor,
                q.fee_minor, q.bought_minor, q.margin_minor, q.valid_until, q.at,
                o.status, o.reason, o.reference, p.position, c.entry_id, c."order", c.entitlement
            from custody_exchange_quote q
            join custody_corridor k on k.id = q.corridor_id
            join custody_asset s on s.number = k.sold_id join custody_asset b on b.number = k.bought_id
            join custody_exchange_rate r on r.id = q.recorded_rate_id
            left join custody_exchange_consent c on c.quote_id = q.id
            left join lateral (
                select status, reason, reference from custody_exchange_outcome
                where quote_id = q.id order by id desc limit 1
            ) o on true
            left join custody_exchange_outcome p on p.quote_id = q.id and p.status = 'posted'
            {rest}
            """,  # noqa: S608 -- `rest` is one of the constants above
            parameters,
        )
        rows = cursor.fetchall()
    return [
        Quoted(
            id=f"quo_{row[0]}",
            book=BookId(row[1]),
            owner=row[2],
            seller=AccountNumber(row[3]),
            buyer=AccountNumber(row[4]),
            sold_position=AccountNumber(row[5]),
            bought_position=AccountNumber(row[6]),
            fee_account=row[7],
            sold=Asset(*row[8:12]),
            bought=Asset(*row[12:16]),
            from_country=row[16],
            to_country=row[17],
            corridor=f"cor_{row[18]}",
            margin_ppm=row[19],
            recorded_rate=Rate(f"rate_{row[20]}", row[9], row[13], *row[21:26]),
            rounding=Rounding(row[27]),
            cost=Cost(row[26], row[28], row[29], row[30], row[31]),
            valid_until=row[32],
            at=row[33],
            status=_status(row[38] is not None, row[34], row[32], now),
            reason=row[35] or "",
            reference=row[36] or "",
            position=row[37],
            agreed=None if row[38] is None else Agreed(*row[38:41]),
        )
        for row in rows
    ]


def _status(consented: bool, outcome: str | None, valid_until: datetime, now: datetime) -> Status:
    if outcome is not None:
        return Status(outcome)
    if consented:
        return Status.CONSENTED
    return Status.EXPIRED if now >= valid_until else Status.QUOTED

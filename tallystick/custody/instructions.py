"""Instructions: what a client has agreed may be taken from their account, and what came of it.

Promises: every authorisation is the client's own word, from their own session or under their own
signature, or a legal order that names its basis; what was agreed is kept in the exact bytes that were
signed; nothing about it changes afterwards but that it is used, or withdrawn with a reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum

import psycopg
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.db import connections, transaction

from tallystick.core import money, texts
from tallystick.core.db import Db
from tallystick.core.errors import Refusal
from tallystick.custody import accounts, codes, errors, holders, interest, numbers
from tallystick.custody.holder_models import HoldingRule
from tallystick.custody.models import AmountRule
from tallystick.custody.numbers import AccountNumber, AuthorisationKind, AuthorisationNumber, BookId, Family
from tallystick.evidence import canonical, log
from tallystick.identity import access
from tallystick.identity.access import Actor
from tallystick.identity.roles import Role

AUTHORISE_MANY_MAX = 10_000
"""The most authorisations given in one transaction."""

STATEMENT_FORM = "tallystick.authorisation/v1"
"""The first thing a signed statement says: so that no signature can be taken for one over something else."""

RATE_PPM_MAX = 10_000_000
"""Ten times the base a year; anything above is a slip of the decimal point."""

USES_MAX = 2**31 - 1


class Standing(StrEnum):
    """Where an authorisation stands at a moment."""

    WITHDRAWN = "withdrawn"
    CONSUMED = "consumed"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    VALID = "valid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a client agrees to.

    amount_minor is the exact amount, the most of one use, or the base of the formula. Left out,
    total_max_minor is the amount as often as it may be used; a formula needs it told. A formula's amount
    is simple interest at rate_ppm (millionths a year) by a year of day_basis days, from the first valid
    day to the value date. valid_until itself is no longer valid.
    """

    debit_account: AccountNumber
    kind: AuthorisationKind
    credit_account: AccountNumber
    payee: str = ""
    code: codes.Code
    amount_rule: AmountRule = AmountRule.EXACT
    amount_minor: int
    rate_ppm: int | None = None
    day_basis: int | None = None
    total_max_minor: int | None = None
    uses_max: int = 1
    valid_from: datetime
    valid_until: datetime
    basis: str

    @property
    def total_minor(self) -> int:
        """The most that all uses together may come to."""
        if self.total_max_minor is None:
            return min(self.amount_minor * self.uses_max, money.BALANCE_MAX)
        return self.total_max_minor


@dataclass(frozen=True, slots=True)
class Given:
    """Terms and how they were given: by a signature over their statement, or by the session alone."""

    terms: Terms
    signature: bytes | None = None
    public_key: bytes | None = None


@dataclass(frozen=True, slots=True)
class Authorisation:
    """An authorisation with what has been used of it. `first_day` is valid_from's day in the book's zone."""

    number: AuthorisationNumber
    book: BookId
    debit_account: AccountNumber
    credit_account: AccountNumber
    owner: str
    payee: str
    code: codes.Code
    amount_rule: AmountRule
    amount_minor: int
    rate_ppm: int | None
    day_basis: int | None
    total_max_minor: int
    uses_max: int
    valid_from: datetime
    valid_until: datetime
    first_day: date
    basis: str
    statement: str
    signature: bytes | None
    public_key: bytes | None
    given_by: str
    given_at: datetime
    uses: int
    used_minor: int
    withdrawn_at: datetime | None
    withdrawn_by: str | None
    withdrawn_reason: str | None

    @property
    def text(self) -> str:
        """The number as it is written outside."""
        return numbers.authorisation_text(self.number)

    @property
    def kind(self) -> AuthorisationKind:
        return numbers.kind_of(self.number)


@dataclass(frozen=True, slots=True)
class Use:
    """One use: the transfer that consumed it, and what had been used up to then."""

    use: int
    position: int
    used_minor: int


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A client's public key."""

    owner: str
    public_key: bytes
    registered_at: datetime
    registered_by: str


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A debit that was asked for and did not match what the client had authorised."""

    id: int
    transfer_id: str
    code: str
    request: str
    """The request as it came, as JSON."""
    at: datetime
    actor: str


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────


def formula_amount(authorisation: Authorisation, value_date: date) -> int:
    """The amount a formula gives for a value date, in minor units, rounded half to even.

    base × yearly rate × days ÷ days of a year, the days counted from the first valid day.
    """
    assert authorisation.rate_ppm is not None
    assert authorisation.day_basis is not None
    return interest.simple(
        base_minor=authorisation.amount_minor,
        rate_ppm=authorisation.rate_ppm,
        day_basis=authorisation.day_basis,
        since=authorisation.first_day,
        until=value_date,
    )


def standing(authorisation: Authorisation, now: datetime) -> Standing:
    """Whether an authorisation can be used at this moment, and if not, why not."""
    if authorisation.withdrawn_at is not None:
        return Standing.WITHDRAWN
    if (
        authorisation.uses >= authorisation.uses_max
        or authorisation.used_minor >= authorisation.total_max_minor
    ):
        return Standing.CONSUMED
    if now >= authorisation.valid_until:
        return Standing.EXPIRED
    if now < authorisation.valid_from:
        return Standing.NOT_YET_VALID
    return Standing.VALID


def statement_bytes(terms: Terms) -> bytes:
    """The bytes a client signs: the terms as canonical JSON (RFC 8785), amounts as text, times in UTC.

    The basis makes a statement the only one of its kind: the same statement signed twice is one
    authorisation, so an order that is to be given twice names two orders.
    """
    return _statement(terms).encode()


def agreed_text(terms: Terms) -> str:
    """What several holders agree to, as canonical JSON: the terms without their times and their basis.

    Each holder says yes at an hour of their own; to whom, how much and how often is the same for all.
    """
    told = json.loads(_statement(terms))
    for name in ("form", "valid_from", "valid_until", "basis"):
        del told[name]
    return canonical.text(told)


def misfit(terms: Terms) -> tuple[str, str] | None:
    """The first thing wrong with terms taken by themselves: the field, and what was expected of it."""
    many = terms.amount_rule != AmountRule.EXACT
    for field, expected, fits in (
        ("payee", "at most 140 printable characters", len(terms.payee) <= 140 and terms.payee.isprintable()),
        ("basis", "1 to 200 printable characters", texts.says(terms.basis, 200)),
        ("amount_minor", f"1 to {money.AMOUNT_MAX}", 1 <= terms.amount_minor <= money.AMOUNT_MAX),
        ("uses_max", f"1 to {USES_MAX}", 1 <= terms.uses_max <= USES_MAX),
        ("valid_from", "a time with its zone", terms.valid_from.tzinfo is not None),
        ("valid_until", "a time with its zone", terms.valid_until.tzinfo is not None),
    ):
        if not fits:
            return field, expected
    if terms.valid_until <= terms.valid_from:
        return "valid_until", "after valid_from"
    formula = terms.amount_rule == AmountRule.FORMULA
    if formula != (terms.rate_ppm is not None) or formula != (terms.day_basis is not None):
        return "rate_ppm and day_basis", "given for a formula, and for nothing else"
    if terms.rate_ppm is not None and not 1 <= terms.rate_ppm <= RATE_PPM_MAX:
        return "rate_ppm", f"1 to {RATE_PPM_MAX}"
    if terms.day_basis not in (None, 360, 365):
        return "day_basis", "360 or 365"
    if formula and terms.total_max_minor is None:
        return "total_max_minor", "given: a formula alone has no end"
    least = 1 if many else terms.amount_minor
    if not least <= terms.total_minor <= money.BALANCE_MAX:
        return "total_max_minor", f"{least} to {money.BALANCE_MAX}"
    return None


def border_refusal(terms: Terms) -> Refusal | None:
    """Why these two accounts cannot be joined by such an authorisation, if they cannot.

    Only a client's account is debited by authorisation. The platform's own accounts are named by an
    entitlement to a fee and by nothing else, and an entitlement names nothing else.
    """
    debit, credit = terms.debit_account, terms.credit_account
    if numbers.family_of(debit) != Family.CLIENT:
        return errors.NotAClientAccount(account=numbers.account_text(debit))
    if debit == credit:
        return errors.AccountsSame()
    if numbers.book_of(debit) != numbers.book_of(credit):
        return errors.BookDiffers()
    if numbers.asset_of(debit) != numbers.asset_of(credit):
        return errors.AssetDiffers()
    entitled = terms.kind == AuthorisationKind.ENTITLEMENT
    if entitled != (numbers.family_of(credit) == Family.OWN):
        return errors.EntitlementOnly()
    if entitled and terms.code != codes.Code.FEE:
        return errors.Malformed(where="authorisation", field="code", expected="fee, for an entitlement")
    return None


def signed_by(statement: bytes, signature: bytes, public_key: bytes) -> bool:
    """Whether this is an Ed25519 signature over the statement by this key (RFC 8032)."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, statement)
    except (InvalidSignature, ValueError):
        return False
    return True


# ── reads ────────────────────────────────────────────────────────────────────────────────────────────────


def authorisation(db: Db, number: int) -> Authorisation:
    """The authorisation of this number. Raises `errors.AuthorisationNotFound`."""
    for found in _authorisations(db, "where a.number = %s", [number]):
        return found
    raise errors.AuthorisationNotFound(authorisation=numbers.authorisation_text(number))


def authorisations(
    db: Db, debit_account: int, *, after: int = 0, limit: int = 100
) -> Sequence[Authorisation]:
    """The authorisations of one account in the order given, `limit` of them after number `after`.

    Raises `errors.AccountUnknown`.
    """
    accounts.account(db, debit_account)
    return _authorisations(
        db,
        "where a.debit_account = %s and a.number > %s order by a.number limit %s",
        [debit_account, after, limit],
    )


def authorisations_of_owner(
    db: Db, book: int, owner: str, *, before: int | None = None, limit: int = 100
) -> Sequence[Authorisation]:
    """A client's authorisations over all their accounts in the book, by falling number."""
    return _authorisations(
        db,
        "where d.book_id = %s and d.owner = %s and (%s::bigint is null or a.number < %s)"
        " order by a.number desc limit %s",
        [book, owner, before, before, limit],
    )


def uses(db: Db, number: int) -> Sequence[Use]:
    """Every use of an authorisation, the first one first. Raises `errors.AuthorisationNotFound`."""
    authorisation(db, number)
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select use, position, used_minor from custody_authorisation_use"
            " where authorisation = %s order by use",
            [number],
        )
        return [Use(*row) for row in cursor.fetchall()]


def keys(db: Db, owner: str) -> Sequence[SigningKey]:
    """A client's public keys, the first one first."""
    with connections[db].cursor() as cursor:
        cursor.execute(
            "select owner, public_key, registered_at, registered_by from custody_signing_key"
            " where owner = %s order by id",
            [owner],
        )
        return [SigningKey(row[0], bytes(row[1]), row[2], row[3]) for row in cursor.fetchall()]


def mismatches(
    db: Db, book: int, *, before: int | None = None, limit: int = 100, since: datetime | None = None
) -> Sequence[Mismatch]:
    """Debits asked for without a matching authorisation, the newest first: the misappropriation report.

    `before` continues a page; `since` leaves out what is older.
    """
    with connections[db].cursor() as cursor:
        cursor.execute(
            r"""
            select id, transfer_id, code, request, at, actor from custody_transfer_refusal
            where book_id = %s and code like 'authorisation\_%%'
                and (%s::bigint is null or id < %s) and (%s::timestamptz is null or at >= %s)
            order by id desc limit %s
            """,
            [book, before, before, since, since, limit],
        )
        return [
            Mismatch(row[0], f"trf_{row[1]}", row[2], row[3], row[4], row[5]) for row in cursor.fetchall()
        ]


# ── actions ──────────────────────────────────────────────────────────────────────────────────────────────


def authorise(
    db: Db,
    debit_account: AccountNumber,
    *,
    kind: AuthorisationKind,
    credit_account: AccountNumber,
    payee: str = "",
    code: codes.Code,
    amount_rule: AmountRule = AmountRule.EXACT,
    amount_minor: int,
    rate_ppm: int | None = None,
    day_basis: int | None = None,
    total_max_minor: int | None = None,
    uses_max: int = 1,
    valid_from: datetime,
    valid_until: datetime,
    basis: str,
    signature: bytes | None = None,
    public_key: bytes | None = None,
    actor: Actor,
    now: datetime,
) -> AuthorisationNumber:
    """Record what a client agrees to, and return its number. The fields are those of `Terms`.

    The client gives it from their own session. Operations may record it for them with the client's
    signature over `statement_bytes`, or, without one, a legal order. Raises as `authorise_many` does.
    """
    terms = Terms(
        debit_account=debit_account,
        kind=kind,
        credit_account=credit_account,
        payee=payee,
        code=code,
        amount_rule=amount_rule,
        amount_minor=amount_minor,
        rate_ppm=rate_ppm,
        day_basis=day_basis,
        total_max_minor=total_max_minor,
        uses_max=uses_max,
        valid_from=valid_from,
        valid_until=valid_until,
        basis=basis,
    )
    return authorise_many(db, [Given(terms, signature, public_key)], actor=actor, now=now)[0]


def authorise_many(
    db: Db, given: Sequence[Given], *, actor: Actor, now: datetime
) -> list[AuthorisationNumber]:
    """Record authorisations of one book, all or none; their numbers come back in the order given.

    A statement that the client has signed and we have recorded before is that authorisation: its number
    comes back and nothing is written. Raises `errors.NotAClientAccount`, `AccountUnknown`,
    `EntitlementOnly`, `Malformed`, `SignatureMissing` or `SignatureWrong`; where the account's holders or
    its condition stand against it `AccountDormant`, `AccountOfDeceased`, `EstateOnly`, `MayNotSign` or
    `HoldersMissing`.
    """
    if not given:
        return []
    if len(given) > AUTHORISE_MANY_MAX:
        raise errors.Malformed(
            where="authorisations", field="list", expected=f"at most {AUTHORISE_MANY_MAX} long"
        )
    for i, each in enumerate(given):
        if refusal := border_refusal(each.terms):
            raise refusal
        if wrong := misfit(each.terms):
            raise errors.Malformed(where=f"authorisation {i}", field=wrong[0], expected=wrong[1])
    touched = {each.terms.debit_account for each in given} | {each.terms.credit_account for each in given}
    book = numbers.book_of(given[0].terms.debit_account)
    if any(numbers.book_of(number) != book for number in touched):
        raise errors.BookDiffers
    owners = _owners(db, touched)
    debited = {each.terms.debit_account: owners[each.terms.debit_account] for each in given}
    standings = holders.standings(db, debited)
    word_of = _require_given_by_client(db, given, standings, actor)

    with transaction.atomic(using=db):
        holders.hold_still(db, book, debited)
        if (since := holders.standings(db, debited)) != standings:
            # Somebody changed who holds an account, or how it stands, while we judged.
            standings = since
            word_of = _require_given_by_client(db, given, standings, actor)
        for each, by in zip(given, word_of, strict=True):
            if by is not None:
                _require_all(db, each.terms, standings[each.terms.debit_account], by, now)
        statements = [_statement(each.terms) for each in given]
        found, last = _recorded(db, given, statements)
        fresh: dict[AuthorisationNumber, tuple[Given, str]] = {}
        answer: list[AuthorisationNumber] = []
        for each, statement in zip(given, statements, strict=True):
            account = each.terms.debit_account
            number = found.get((account, statement)) if each.signature else None
            if number is None:
                last[account] = last.get(account, 0) + 1
                number = numbers.authorisation_number(account, last[account], each.terms.kind)
                fresh[number] = (each, statement)
                if each.signature:
                    found[account, statement] = number
            answer.append(number)
        _write(db, book, fresh, actor=actor, now=now)
        for number, (each, _) in fresh.items():
            if standings[each.terms.debit_account].holding.rule == HoldingRule.ALL:
                holders.use(
                    db, each.terms.debit_account, agreed_text(each.terms), number, actor=actor, now=now
                )
        _tell(db, fresh, actor=actor, now=now)
    return answer


def consent(db: Db, terms: Terms, *, actor: Actor, now: datetime) -> frozenset[str]:
    """Record one holder's yes to these terms, where the account needs all; whose is still missing comes back.

    Nobody missing: the next to `authorise` exactly these terms is not refused. Raises as `holders.consent`
    does, and what is wrong with the terms themselves.
    """
    if refusal := border_refusal(terms):
        raise refusal
    if wrong := misfit(terms):
        raise errors.Malformed(where="authorisation", field=wrong[0], expected=wrong[1])
    return holders.consent(db, terms.debit_account, agreed_text(terms), actor=actor, now=now)


def withdraw(db: Db, number: int, reason: str, *, actor: Actor, now: datetime) -> None:
    """End an authorisation before its time; it holds from the next batch on. What is held stays held.

    A client withdraws their own word, not a legal order. Raises `errors.AuthorisationNotFound`,
    `AuthorisationAlreadyWithdrawn` or `Malformed`.
    """
    given = authorisation(db, number)
    debited = accounts.account(db, given.debit_account)
    access.require(
        db, actor, "custody.withdraw_authorisation", owner=holders.speaker(db, debited, actor=actor)
    )
    if given.kind == AuthorisationKind.LEGAL:
        access.require(db, actor, "custody.withdraw_authorisation")
    if not texts.says(reason, 500):
        raise errors.Malformed(where=given.text, field="reason", expected="1 to 500 characters")
    end(db, given, reason, actor=actor, now=now)


def end(db: Db, given: Authorisation, reason: str, *, actor: Actor, now: datetime) -> None:
    """End an authorisation, for an action that may: a holder's withdrawal, or a holder's recorded death.

    Raises `errors.AuthorisationAlreadyWithdrawn`.
    """
    with transaction.atomic(using=db):
        with connections[db].cursor() as cursor:
            # As for an account's state: ids become visible in their order, between two batches.
            cursor.execute("select pg_advisory_xact_lock(%s, %s)", [accounts.BOOK_LOCK, given.book])
            cursor.execute(
                "insert into custody_authorisation_withdrawal (book_id, authorisation, reason, at, actor)"
                " values (%s, %s, %s, %s, %s) on conflict do nothing",
                [given.book, given.number, reason, now, actor.id],
            )
            if cursor.rowcount == 0:
                raise errors.AuthorisationAlreadyWithdrawn(authorisation=given.text)
        log.append(
            db,
            "custody.authorisation_withdrawn",
            {"authorisation": given.text, "reason": reason},
            actor=actor.id,
            at=now,
        )


def register_key(db: Db, owner: str, public_key: bytes, *, actor: Actor, now: datetime) -> SigningKey:
    """Register the Ed25519 key with which a client will sign. Only the client may: whoever can register
    a key for somebody can sign in their name. Raises `errors.Malformed` or `SigningKeyTaken`.
    """
    access.require(db, actor, "custody.register_key", owner=owner)
    if len(public_key) != 32 or not texts.says(owner, 64):
        raise errors.Malformed(where="signing key", field="public_key", expected="32 bytes of Ed25519")
    with transaction.atomic(using=db):
        with connections[db].cursor() as cursor:
            cursor.execute(
                "insert into custody_signing_key (owner, public_key, registered_at, registered_by)"
                " values (%s, %s, %s, %s) on conflict do nothing",
                [owner, public_key, now, actor.id],
            )
            if cursor.rowcount == 0:
                raise errors.SigningKeyTaken
        log.append(
            db,
            "custody.signing_key_registered",
            {"owner": owner, "public_key": public_key.hex()},
            actor=actor.id,
            at=now,
        )
    return SigningKey(owner, public_key, now, actor.id)


# ── within ───────────────────────────────────────────────────────────────────────────────────────────────

_SELECT = """
select a.number, a.book_id, a.debit_account, a.credit_account, d.owner, a.payee, a.code, a.amount_rule,
    a.amount_minor, a.rate_ppm, a.day_basis, a.total_max_minor, a.uses_max, a.valid_from, a.valid_until,
    (a.valid_from at time zone b.time_zone)::date, a.basis, a.statement, a.signature, a.public_key,
    a.given_by, a.given_at, coalesce(u.use, 0), coalesce(u.used_minor, 0), w.at, w.actor, w.reason
from custody_authorisation a
join custody_account d on d.number = a.debit_account
join custody_book b on b.id = a.book_id
left join custody_authorisation_withdrawal w on w.authorisation = a.number
left join lateral (
    select use, used_minor from custody_authorisation_use
    where authorisation = a.number order by use desc limit 1
) u on true
"""


def _authorisations(db: Db, rest: str, parameters: list[int | str | None]) -> list[Authorisation]:
    with connections[db].cursor() as cursor:
        cursor.execute(_SELECT + rest, parameters)
        found = [list(row) for row in cursor.fetchall()]
    for row in found:
        row[6], row[7] = codes.Code(row[6]), AmountRule(row[7])
        row[18:20] = (None if raw is None else bytes(raw) for raw in row[18:20])
    return [Authorisation(*row) for row in found]


def _statement(terms: Terms) -> str:
    return canonical.text(
        {
            "form": STATEMENT_FORM,
            "debit_account": numbers.account_text(terms.debit_account),
            "kind": terms.kind.name.lower(),
            "credit_account": numbers.account_text(terms.credit_account),
            "payee": terms.payee,
            "code": terms.code.text,
            "amount_rule": terms.amount_rule.label,
            "amount_minor": str(terms.amount_minor),
            "rate_ppm": terms.rate_ppm,
            "day_basis": terms.day_basis,
            "total_max_minor": str(terms.total_minor),
            "uses_max": terms.uses_max,
            "valid_from": _utc(terms.valid_from),
            "valid_until": _utc(terms.valid_until),
            "basis": terms.basis,
        }
    )


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _owners(db: Db, touched: Iterable[AccountNumber]) -> dict[AccountNumber, str]:
    """Whose each account is. Raises `errors.AccountUnknown` for one that is not there."""
    wanted = sorted(touched)
    with connections[db].cursor() as cursor:
        cursor.execute("select number, owner from custody_account where number = any(%s)", [wanted])
        found: dict[AccountNumber, str] = dict(cursor.fetchall())
    for number in wanted:
        if number not in found:
            raise errors.AccountUnknown(account=numbers.account_text(number))
    return found


def _asked_as(stands: holders.Standing, actor: Actor) -> str:
    """The customer whose permission is asked for: the actor where they stand behind the account."""
    mine = actor.customer_number
    if mine is not None and stands.holding.capacity_of(mine) is not None:
        return mine
    return next((each.customer_number for each in stands.holding.parties), "")


def _require_given_by_client(
    db: Db, given: Sequence[Given], standings: Mapping[AccountNumber, holders.Standing], actor: Actor
) -> list[str | None]:
    """Each is a holder's own word: their session, their signature, or above them a legal order.

    Whose word each is comes back; nobody's where it is an order of the law, or of the simulation.
    """
    for stands in standings.values():
        access.require(db, actor, "custody.authorise", owner=_asked_as(stands, actor))
    signing = [standings[each.terms.debit_account] for each in given] if _signs(given) else []
    named = {number for stands in signing for number in holders.signers(stands)}
    key_of = {key.public_key: owner for owner in named for key in keys(db, owner)}
    word_of: list[str | None] = []
    for i, each in enumerate(given):
        stands = standings[each.terms.debit_account]
        is_client = (
            Role.CUSTOMER in actor.roles and stands.holding.capacity_of(actor.customer_number) is not None
        )
        if each.terms.kind == AuthorisationKind.LEGAL and is_client:
            raise errors.Malformed(
                where=f"authorisation {i}", field="kind", expected="order, schedule or entitlement"
            )
        by = actor.customer_number if is_client else None
        if each.signature is not None or each.public_key is not None:
            by = key_of.get(each.public_key or b"")
            if (
                by is None
                or by not in holders.signers(stands)
                or each.signature is None
                or each.public_key is None
                or not signed_by(statement_bytes(each.terms), each.signature, each.public_key)
            ):
                raise errors.SignatureWrong
        elif not (
            is_client or each.terms.kind == AuthorisationKind.LEGAL or Role.SYSTEM_SIMULATION in actor.roles
        ):
            raise errors.SignatureMissing
        refusal = holders.refusal_to_sign(stands, by, kind=each.terms.kind, code=each.terms.code)
        if refusal is not None:
            raise refusal
        word_of.append(None if each.terms.kind == AuthorisationKind.LEGAL else by)
    return word_of


def _require_all(db: Db, terms: Terms, stands: holders.Standing, by: str, now: datetime) -> None:
    missing = holders.missing(db, stands, agreed_text(terms), by=[by], now=now)
    if missing:
        raise errors.HoldersMissing(missing=len(missing))


def _tell(
    db: Db, fresh: Mapping[AuthorisationNumber, tuple[Given, str]], *, actor: Actor, now: datetime
) -> None:
    log.append_many(
        db,
        [
            log.row(
                "custody.authorisation_given",
                {
                    "authorisation": numbers.authorisation_text(number),
                    "statement": statement,
                    "signature": None if each.signature is None else each.signature.hex(),
                    "public_key": None if each.public_key is None else each.public_key.hex(),
                },
                actor=actor.id,
                at=now,
            )
            for number, (each, statement) in fresh.items()
        ],
    )


def _signs(given: Sequence[Given]) -> bool:
    return any(each.signature is not None or each.public_key is not None for each in given)


def _recorded(
    db: Db, given: Sequence[Given], statements: Sequence[str]
) -> tuple[dict[tuple[AccountNumber, str], AuthorisationNumber], dict[AccountNumber, int]]:
    """Signed statements recorded already, with their numbers; and how many each account has given."""
    debited = sorted({each.terms.debit_account for each in given})
    signed = [text for each, text in zip(given, statements, strict=True) if each.signature]
    found: dict[tuple[AccountNumber, str], AuthorisationNumber] = {}
    with connections[db].cursor() as cursor:
        if signed:
            cursor.execute(
                "select debit_account, statement, number from custody_authorisation"
                " where debit_account = any(%s) and statement = any(%s) and signature is not null",
                [debited, signed],
            )
            found = {(account, statement): number for account, statement, number in cursor.fetchall()}
        cursor.execute(
            """
            select wanted.account, newest.number from unnest(%s::bigint[]) as wanted (account)
            cross join lateral (
                select number from custody_authorisation
                where debit_account = wanted.account order by number desc limit 1
            ) newest
            """,
            [debited],
        )
        return found, {account: number // 10 % 10**7 for account, number in cursor.fetchall()}


def _write(
    db: Db,
    book: int,
    fresh: dict[AuthorisationNumber, tuple[Given, str]],
    *,
    actor: Actor,
    now: datetime,
) -> None:
    terms = [each.terms for each, _ in fresh.values()]
    # Bound by the server, in binary: statements are JSON, and as text an array of them has its quotes
    # escaped one by one, which takes longer than writing it.
    with psycopg.Cursor(connections[db].connection) as cursor:
        cursor.execute(
            """
            insert into custody_authorisation (book_id, given_by, given_at, number, debit_account,
                credit_account, payee, code, amount_rule, amount_minor, rate_ppm, day_basis,
                total_max_minor, uses_max, valid_from, valid_until, basis, statement, signature, public_key)
            select %s, %s, %s, given.* from unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::text[],
                %b::smallint[], %b::smallint[], %b::bigint[], %b::bigint[], %b::smallint[], %b::bigint[],
                %b::int[], %b::timestamptz[], %b::timestamptz[], %b::text[], %b::text[], %b::bytea[],
                %b::bytea[]) as given
            """,
            [
                book,
                actor.id,
                now,
                list(fresh),
                [each.debit_account for each in terms],
                [each.credit_account for each in terms],
                [each.payee for each in terms],
                [int(each.code) for each in terms],
                [int(each.amount_rule) for each in terms],
                [each.amount_minor for each in terms],
                [each.rate_ppm for each in terms],
                [each.day_basis for each in terms],
                [each.total_minor for each in terms],
                [each.uses_max for each in terms],
                [each.valid_from for each in terms],
                [each.valid_until for each in terms],
                [each.basis for each in terms],
                [statement for _, statement in fresh.values()],
                [each.signature for each, _ in fresh.values()],
                [each.public_key for each, _ in fresh.values()],
            ],
        )

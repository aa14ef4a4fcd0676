"""Instructions: only a client's own word, or a legal order, lets a client's account be debited (CUS-04)."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import Error, connections, transaction

from tallystick.custody import errors, instructions, ledger, numbers
from tallystick.custody.codes import Code
from tallystick.custody.instructions import Given, Standing, Terms
from tallystick.custody.models import AmountRule
from tallystick.custody.numbers import AuthorisationKind
from tallystick.evidence import log
from tallystick.identity.access import Actor
from tallystick.identity.errors import AccessDenied
from tallystick.identity.roles import Role
from tests.custody import cast
from tests.custody.cast import BOOK, DB, LATER, LI_QIANG, NOW, OPENED, OPERATIONS, SIMULATION, WANG_FANG, ask

WANG_KEY = Ed25519PrivateKey.from_private_bytes(b"W" * 32)
LI_KEY = Ed25519PrivateKey.from_private_bytes(b"L" * 32)


@pytest.fixture(scope="module")
def people(ledger_database_module):
    people = cast.opened()
    instructions.register_key(DB, "C-WANG", public(WANG_KEY), actor=WANG_FANG, now=NOW)
    instructions.register_key(DB, "C-LI", public(LI_KEY), actor=LI_QIANG, now=NOW)
    return people


def order(people: cast.Cast, **changed: object) -> Terms:
    """Wang Fang lends Li Qiang 40 yuan, once."""
    terms = Terms(
        debit_account=people.wang,
        kind=AuthorisationKind.ORDER,
        credit_account=people.li,
        code=Code.LEND,
        amount_minor=40_00,
        valid_from=OPENED,
        valid_until=LATER,
        basis="order 4711",
    )
    return replace(terms, **changed)  # type: ignore[arg-type]


def give(terms: Terms, actor: Actor, **signed: bytes) -> numbers.AuthorisationNumber:
    return instructions.authorise_many(DB, [Given(terms, **signed)], actor=actor, now=NOW)[0]


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def signed(terms: Terms, key: Ed25519PrivateKey = WANG_KEY) -> dict[str, bytes]:
    return {"signature": key.sign(instructions.statement_bytes(terms)), "public_key": public(key)}


# ── rules ────────────────────────────────────────────────────────────────────────────────────────────────

NOWHERE = cast.Cast(
    bank=numbers.account_number(1, numbers.Family.EXTERNAL, 156, 1),
    wang=numbers.account_number(1, numbers.Family.CLIENT, 156, 2),
    li=numbers.account_number(1, numbers.Family.CLIENT, 156, 3),
    platform=numbers.account_number(1, numbers.Family.OWN, 156, 4),
    suspense=numbers.account_number(1, numbers.Family.SUSPENSE, 156, 5),
)
FORMULA = {"amount_rule": AmountRule.FORMULA, "rate_ppm": 60_000, "day_basis": 365, "total_max_minor": 10_00}


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"payee": "x" * 141}, "payee"),
        ({"payee": "a\nb"}, "payee"),
        ({"basis": ""}, "basis"),
        ({"basis": "x" * 201}, "basis"),
        ({"amount_minor": 0}, "amount_minor"),
        ({"amount_minor": 10**15 + 1}, "amount_minor"),
        ({"uses_max": 0}, "uses_max"),
        ({"uses_max": 2**31}, "uses_max"),
        ({"valid_from": datetime(2026, 1, 1)}, "valid_from"),  # noqa: DTZ001
        ({"valid_until": OPENED}, "valid_until"),
        ({"rate_ppm": 60_000}, "rate_ppm and day_basis"),
        ({**FORMULA, "rate_ppm": None}, "rate_ppm and day_basis"),
        ({**FORMULA, "rate_ppm": 0}, "rate_ppm"),
        ({**FORMULA, "day_basis": 364}, "day_basis"),
        ({**FORMULA, "total_max_minor": None}, "total_max_minor"),
        ({"total_max_minor": 39_99}, "total_max_minor"),
        ({"amount_rule": AmountRule.AT_MOST, "total_max_minor": 0}, "total_max_minor"),
        ({"total_max_minor": 2**62 + 1}, "total_max_minor"),
        ({}, None),
        (FORMULA, None),
        ({"amount_rule": AmountRule.AT_MOST, "total_max_minor": 1}, None),
    ],
)
def test_a_misfit_names_its_field(changed, field):
    wrong = instructions.misfit(order(NOWHERE, **changed))
    assert (wrong and wrong[0]) == field


FEE = {"kind": AuthorisationKind.ENTITLEMENT, "credit_account": NOWHERE.platform, "code": Code.FEE}


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        ({"debit_account": NOWHERE.bank}, errors.NotAClientAccount),
        ({"debit_account": NOWHERE.platform}, errors.NotAClientAccount),
        ({"debit_account": NOWHERE.suspense}, errors.NotAClientAccount),
        ({"credit_account": NOWHERE.wang}, errors.AccountsSame),
        ({"credit_account": NOWHERE.li + numbers.BOOK_UNIT}, errors.BookDiffers),
        ({"credit_account": NOWHERE.li + numbers.ASSET_UNIT}, errors.AssetDiffers),
        ({"credit_account": NOWHERE.platform}, errors.EntitlementOnly),
        ({**FEE, "kind": AuthorisationKind.SCHEDULE}, errors.EntitlementOnly),
        ({**FEE, "kind": AuthorisationKind.LEGAL}, errors.EntitlementOnly),
        ({**FEE, "credit_account": NOWHERE.li}, errors.EntitlementOnly),
        ({**FEE, "code": Code.LEND}, errors.Malformed),
        (FEE, None),
        ({"credit_account": NOWHERE.bank}, None),
        ({"credit_account": NOWHERE.suspense}, None),
    ],
)
def test_only_an_entitlement_to_a_fee_reaches_the_platforms_own_money(changed, refusal):
    refused = instructions.border_refusal(order(NOWHERE, **changed))
    assert (type(refused) if refused else None) == refusal


def test_a_statement_is_one_line_of_canonical_json_that_says_all_of_it():
    terms = order(NOWHERE, payee="银行卡 6222")
    told = instructions.statement_bytes(terms).decode()
    assert told == json.dumps(json.loads(told), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for field, other in (
        ("credit_account", NOWHERE.bank),
        ("payee", "银行卡 6223"),
        ("kind", AuthorisationKind.SCHEDULE),
        ("code", Code.REPAY),
        ("amount_rule", AmountRule.AT_MOST),
        ("amount_minor", 40_01),
        ("total_max_minor", 50_00),
        ("uses_max", 2),
        ("valid_from", OPENED + timedelta(microseconds=1)),
        ("valid_until", LATER + timedelta(microseconds=1)),
        ("basis", "order 4712"),
        ("debit_account", NOWHERE.suspense),
    ):
        assert instructions.statement_bytes(replace(terms, **{field: other})).decode() != told, field
    elsewhere = order(NOWHERE, payee="银行卡 6222", valid_from=OPENED.astimezone())
    assert instructions.statement_bytes(elsewhere).decode() == told, (
        "the same moment in another zone is the same"
    )


# ── who gives ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_client_gives_their_own_word_from_their_own_session(people):
    number = give(order(people), WANG_FANG)
    given = instructions.authorisation(DB, number)
    assert (given.debit_account, given.credit_account, given.kind) == (
        people.wang,
        people.li,
        AuthorisationKind.ORDER,
    )
    assert (given.given_by, given.given_at, given.signature) == (WANG_FANG.id, NOW, None)
    assert (given.uses_max, given.total_max_minor, given.uses, given.used_minor) == (1, 40_00, 0, 0)
    assert given.statement.encode() == instructions.statement_bytes(order(people))
    told = log.events(DB, kind="custody.authorisation_given")[0]
    assert told.payload is not None
    assert (told.payload["authorisation"], told.payload["statement"]) == (given.text, given.statement)
    assert numbers.serial_of(number // 10**8) == numbers.serial_of(people.wang)


def test_nobody_gives_the_word_of_another(people):
    stranger = Actor("usr_9", "No one", frozenset({Role.CUSTOMER}))
    for actor in (LI_QIANG, stranger, cast.AUDITOR, cast.APPROVER):
        with pytest.raises(AccessDenied):
            give(order(people), actor)
        with pytest.raises(AccessDenied):
            give(order(people, kind=AuthorisationKind.LEGAL), actor)


def test_operations_needs_the_clients_signature(people):
    terms = order(people, basis="order 1")
    with pytest.raises(errors.SignatureMissing):
        give(terms, OPERATIONS)
    with pytest.raises(errors.SignatureMissing):
        give(order(people, **{**FEE, "credit_account": people.platform}), OPERATIONS)
    number = give(terms, OPERATIONS, **signed(terms))
    given = instructions.authorisation(DB, number)
    assert given.public_key == public(WANG_KEY)
    assert instructions.signed_by(given.statement.encode(), given.signature or b"", public(WANG_KEY))
    assert given.given_by == OPERATIONS.id


@pytest.mark.parametrize(
    "forged",
    [
        lambda terms: signed(terms, LI_KEY),
        lambda terms: signed(terms, Ed25519PrivateKey.from_private_bytes(b"?" * 32)),
        lambda terms: signed(replace(terms, amount_minor=39_00)),
        lambda terms: signed(replace(terms, credit_account=terms.credit_account + 1)),
        lambda terms: {**signed(terms), "public_key": public(LI_KEY)},
        lambda terms: {**signed(terms), "signature": bytes(64)},
        lambda terms: {**signed(terms), "signature": b"short"},
        lambda terms: {**signed(terms), "public_key": b"short"},
        lambda terms: {"signature": signed(terms)["signature"]},
        lambda terms: {"public_key": public(WANG_KEY)},
    ],
    ids=[
        "another_client",
        "stranger",
        "other_amount",
        "other_payee",
        "other_key",
        "zeros",
        "short_signature",
        "short_key",
        "no_key",
        "no_signature",
    ],
)
def test_a_forged_signature_is_refused_whoever_brings_it(people, forged):
    terms = order(people, basis="forged")
    for actor in (OPERATIONS, WANG_FANG, SIMULATION):
        with pytest.raises(errors.SignatureWrong):
            give(terms, actor, **forged(terms))


def test_a_statement_signed_once_is_one_authorisation_however_often_it_is_brought(people):
    terms = order(people, basis="order 77")
    first = give(terms, OPERATIONS, **signed(terms))
    before = len(instructions.authorisations(DB, people.wang))
    again = [Given(terms, **signed(terms))] * 2
    assert instructions.authorise_many(DB, again, actor=OPERATIONS, now=NOW) == [first, first]
    assert len(instructions.authorisations(DB, people.wang)) == before
    assert give(order(people, basis="order 78"), WANG_FANG) != first


def test_only_a_client_registers_their_key(people):
    key = public(Ed25519PrivateKey.from_private_bytes(b"N" * 32))
    for actor in (OPERATIONS, LI_QIANG, cast.APPROVER):
        with pytest.raises(AccessDenied):
            instructions.register_key(DB, "C-WANG", key, actor=actor, now=NOW)
    with pytest.raises(errors.Malformed):
        instructions.register_key(DB, "C-WANG", key[:31], actor=WANG_FANG, now=NOW)
    instructions.register_key(DB, "C-WANG", key, actor=WANG_FANG, now=NOW)
    with pytest.raises(errors.SigningKeyTaken):
        instructions.register_key(DB, "C-LI", key, actor=LI_QIANG, now=NOW)


def test_a_legal_order_is_recorded_by_operations_and_not_undone_by_the_client(people):
    legal = order(people, kind=AuthorisationKind.LEGAL, code=Code.LEGAL, basis="(2026) 沪01执 1 号")
    with pytest.raises(errors.Malformed):
        give(legal, WANG_FANG)
    number = give(legal, OPERATIONS)
    with pytest.raises(AccessDenied):
        instructions.withdraw(DB, number, "I do not agree", actor=WANG_FANG, now=NOW)
    instructions.withdraw(DB, number, "lifted by the court", actor=OPERATIONS, now=NOW)


def test_what_is_not_there_is_refused(people):
    with pytest.raises(errors.AccountUnknown):
        give(order(people, credit_account=people.li + 1_000), WANG_FANG)
    with pytest.raises(errors.AccountUnknown):
        give(order(people, debit_account=people.wang + 1_000), SIMULATION)
    with pytest.raises(errors.AuthorisationNotFound):
        instructions.authorisation(DB, 1)
    with pytest.raises(errors.AuthorisationNotFound):
        instructions.withdraw(DB, 1, "no", actor=SIMULATION, now=NOW)
    with pytest.raises(errors.AccountUnknown):
        instructions.authorisations(DB, people.wang + 1_000)


# ── afterwards ───────────────────────────────────────────────────────────────────────────────────────────


def test_many_are_given_at_once_numbered_by_account(people):
    given = [
        Given(
            order(
                people,
                basis=f"loan {n}",
                **({} if n % 2 else {"debit_account": people.li, "credit_account": people.wang}),
            )
        )
        for n in range(2_000)
    ]
    written = instructions.authorise_many(DB, given, actor=SIMULATION, now=NOW)
    assert len(set(written)) == 2_000
    ours = written[1::2]
    nths = [number // 10 % 10**7 for number in ours]
    assert nths == list(range(nths[0], nths[0] + 1_000)), "one account's follow one another"
    assert instructions.authorisation(DB, written[7]).basis == "loan 7"
    first = instructions.authorisations(DB, people.li, limit=10)
    rest = instructions.authorisations(DB, people.li, after=first[-1].number, limit=10_000)
    assert len(first) + len(rest) == 1_000
    assert instructions.authorisations_of_owner(DB, BOOK, "C-LI", limit=1)[0].number == rest[-1].number


def test_four_at_once_get_numbers_of_their_own(people):
    def ten(nth: int) -> list[int]:
        try:
            many = [Given(order(people, basis=f"thread {nth} order {n}")) for n in range(5)]
            singles = [give(order(people, basis=f"thread {nth} single {n}"), WANG_FANG) for n in range(5)]
            other = Given(order(people, debit_account=people.li, credit_account=people.wang))
            return [*singles, *instructions.authorise_many(DB, [*many, other], actor=SIMULATION, now=NOW)]
        finally:
            connections[DB].close()

    with ThreadPoolExecutor(4) as pool:
        given = [number for numbers_ in pool.map(ten, range(4)) for number in numbers_]
    assert len(set(given)) == 4 * 11


def test_one_misfit_among_many_leaves_nothing(people):
    before = len(instructions.authorisations(DB, people.wang, limit=10_000))
    with pytest.raises(errors.Malformed) as refused:
        instructions.authorise_many(
            DB, [Given(order(people)), Given(order(people, amount_minor=0))], actor=WANG_FANG, now=NOW
        )
    assert refused.value.fields["where"] == "authorisation 1"
    assert len(instructions.authorisations(DB, people.wang, limit=10_000)) == before


def test_uses_are_counted_and_a_withdrawn_one_is_over(people):
    number = give(
        order(people, amount_rule=AmountRule.AT_MOST, uses_max=3, total_max_minor=100_00), WANG_FANG
    )
    cast.post([
        ask(1, people.bank, people.wang, 500_00),
        ask(2, people.wang, people.li, 30_00, "lend", authorisation=number),
        ask(3, people.wang, people.li, 40_00, "lend", authorisation=number),
    ])  # fmt: skip
    assert [(use.use, use.used_minor) for use in instructions.uses(DB, number)] == [(1, 30_00), (2, 70_00)]
    given = instructions.authorisation(DB, number)
    assert (given.uses, given.used_minor) == (2, 70_00)
    assert instructions.standing(given, NOW) == Standing.VALID
    with pytest.raises(AccessDenied):
        instructions.withdraw(DB, number, "no", actor=LI_QIANG, now=NOW)
    with pytest.raises(errors.Malformed):
        instructions.withdraw(DB, number, " ", actor=WANG_FANG, now=NOW)
    instructions.withdraw(DB, number, "changed my mind", actor=WANG_FANG, now=NOW)
    with pytest.raises(errors.AuthorisationAlreadyWithdrawn):
        instructions.withdraw(DB, number, "again", actor=WANG_FANG, now=NOW)
    assert instructions.standing(instructions.authorisation(DB, number), NOW) == Standing.WITHDRAWN
    refused = ledger.post(
        DB,
        BOOK,
        [ask(4, people.wang, people.li, 1_00, "lend", authorisation=number)],
        actor=SIMULATION,
        now=NOW,
    )
    assert refused.refusal_of(0) is errors.AuthorisationWithdrawn
    report = instructions.mismatches(DB, BOOK)
    assert [(each.transfer_id, each.code, each.actor) for each in report[:1]] == [
        (cast.an_id(4), "authorisation_withdrawn", SIMULATION.id)
    ]
    assert json.loads(report[0].request)["amount_minor"] == 1_00


def test_where_an_authorisation_stands(people):
    given = instructions.authorisation(DB, give(order(people, basis="standing"), WANG_FANG))
    for moment, standing in (
        (OPENED - timedelta(microseconds=1), Standing.NOT_YET_VALID),
        (OPENED, Standing.VALID),
        (LATER - timedelta(microseconds=1), Standing.VALID),
        (LATER, Standing.EXPIRED),
    ):
        assert instructions.standing(given, moment) == standing
    assert instructions.standing(replace(given, uses=1), OPENED) == Standing.CONSUMED
    assert instructions.standing(replace(given, used_minor=40_00), OPENED) == Standing.CONSUMED


def test_a_formulas_days_are_the_books_own(people):
    midnight = datetime(2026, 3, 31, 16, 0, tzinfo=UTC)  # the first of April in Shanghai
    terms = order(
        people, **{**FORMULA, "amount_minor": 10_000_00, "total_max_minor": 1_000_00, "valid_from": midnight}
    )
    given = instructions.authorisation(DB, give(terms, WANG_FANG))
    assert given.first_day == date(2026, 4, 1)
    for day, amount in (
        (date(2026, 3, 1), 0),
        (date(2026, 4, 1), 0),
        (date(2026, 4, 2), 1_64),  # of 1.6438…
        (date(2026, 5, 1), 49_32),  # thirty days: of 49.3150…
        (date(2027, 4, 1), 600_00),
    ):
        assert instructions.formula_amount(given, day) == amount, day


def test_an_authorisation_is_never_changed_or_removed(people):
    for statement in (
        "update custody_authorisation set amount_minor = 1",
        "delete from custody_authorisation_withdrawal",
        "truncate custody_signing_key",
    ):
        with pytest.raises(Error), transaction.atomic(), connections[DB].cursor() as cursor:
            cursor.execute(statement)

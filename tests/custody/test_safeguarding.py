"""Safeguarding on real PostgreSQL: what is owed against what is there, judged, chained, signed, verified."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest

from tallystick.core.postgres import Role as DatabaseRole
from tallystick.custody import accounts, errors, posting, reconciliation, statement_files
from tallystick.custody.codes import Code
from tallystick.custody.numbers import AccountNumber, Family, account_text
from tallystick.custody.safeguarding import arrangements, close, comparison, proof_file, proofs
from tallystick.custody.safeguarding.comparison import (
    AccountRole,
    External,
    KnownBy,
    Own,
    Position,
    Result,
    UnknownDebit,
)
from tallystick.evidence import log
from tallystick.identity import approvals
from tallystick.identity import errors as identity_errors
from tallystick.identity.access import Actor
from tallystick.identity.roles import Role
from tests.custody import cast
from tests.custody.cast import BOOK, DB, ask
from tests.custody.statement_samples import camt, camt_balance, camt_entry, camt_statement
from tests.plugin_postgres import TestDatabase

DAY = dt.date(2026, 3, 2)
AFTER = dt.datetime(2026, 3, 3, 1, 0, tzinfo=dt.UTC)
SECOND = Actor("usr_9", "Second", frozenset({Role.PLATFORM_APPROVER}))
SAFE = arrangements.Terms(
    role=AccountRole.SAFEGUARDING, institution="First Bank", number="BANK-1", country="CN"
)


# ── rules, on plain values ───────────────────────────────────────────────────────────────────────────────


def bank(ledger: int = 1000, **more: object) -> External:
    """A safeguarding account that its bank's statement and the reconciliation agree with."""
    told: dict[str, object] = {
        "account": "acc_bank",
        "name": "Bank",
        "role": AccountRole.SAFEGUARDING,
        "institution": "First Bank",
        "number": "BANK-1",
        "ledger_minor": ledger,
        "custodian_minor": ledger,
        "known_by": KnownBy.STATEMENT,
        "statement_day": "2026-03-02",
        "reconciliation": "rec_1",
    }
    return External(**{**told, **more})  # type: ignore[arg-type]


def position(*external: External, **more: object) -> Position:
    """1000 owed to clients, 1000 at the bank."""
    told: dict[str, object] = {
        "asset": "CNY",
        "scale": 2,
        "accounts_owed": 2,
        "owed_minor": 1000,
        "negative_accounts": 0,
        "negative_minor": 0,
        "unallocated_minor": 0,
        "suspense_negative_minor": 0,
        "prudent_minor": 0,
        "own": (),
        "external": external or (bank(),),
        "debits_instructed": 3,
        "debits_legal": 0,
        "debits_reversing": 0,
        "debits_without": 0,
    }
    return Position(**{**told, **more})  # type: ignore[arg-type]


def results(*positions: Position) -> list[str]:
    """What the three rules say, in their order."""
    return [str(finding.result) for finding in comparison.findings(positions)]


def codes(*positions: Position, rule: int = 0) -> set[str]:
    return {reason.code for reason in comparison.findings(positions)[rule].reasons}


ALL_GOOD = ["compliant", "compliant", "compliant"]
UNKNOWN = ["undetermined", "undetermined", "undetermined"]


def test_what_agrees_is_compliant_under_all_three_rules() -> None:
    """Everything owed is at the bank, the bank has said so, and it was compared line by line."""
    assert results(position()) == ALL_GOOD


@pytest.mark.parametrize(
    ("silent", "reason"),
    [
        (bank(custodian_minor=None, reconciliation=None, known_by=None), "statement_missing"),
        (bank(reconciliation=None), "not_reconciled"),
    ],
)
def test_what_is_not_known_is_never_called_compliant(silent: External, reason: str) -> None:
    """Without the statement, or without its comparison, each rule says undetermined, and why."""
    assert results(position(silent)) == UNKNOWN
    assert all(reason in codes(position(silent), rule=rule) for rule in range(3))


def test_an_account_that_nobody_declared_counts_as_nothing() -> None:
    """Its money covers nobody, and nothing is determined while it is there."""
    unknown = bank(400, account="acc_x", role=AccountRole.UNDECLARED)
    told = position(bank(600), unknown)
    assert told.ledger_resource_minor == 600
    assert "account_undeclared" in codes(told)
    assert told.shortfall_minor == 400
    assert results(position(bank(1000), unknown, own=(Own("acc_own", 400),))) == UNKNOWN


def test_one_clients_debt_lowers_nobodys_claim() -> None:
    """1000 is owed to some, another owes 300: 700 in the bank is a shortfall of 300, not enough."""
    told = position(bank(700), negative_accounts=1, negative_minor=300)
    assert told.requirement_minor == 1000
    assert told.shortfall_minor == 300
    assert told.ledger_difference_minor == 0
    assert results(told) == ["breach", "compliant", "breach"]


def test_a_surplus_never_covers_what_is_missing() -> None:
    """The totals agree, yet 200 the ledger does not know stands for 200 that is gone."""
    told = position(bank(surplus_minor=200, missing_minor=200, breaks=2))
    assert told.external_difference_minor == 0
    assert told.shortfall_minor == 200
    assert results(told)[0] == "breach"


def test_what_arrives_tomorrow_is_not_there_today() -> None:
    """A timing break is an explanation, not money."""
    told = position(bank(custodian_minor=900, missing_minor=100, timing_minor=100, breaks=1))
    assert told.shortfall_minor == 100
    assert results(told) == ["breach", "compliant", "compliant"]
    assert "on_the_way" in codes(told, rule=2)


def test_money_at_a_payment_firm_is_not_yet_safeguarded_and_not_misused_either() -> None:
    """Short at the custodian by what a declared channel holds: a shortfall. By more: somebody has it."""
    firm = bank(100, account="acc_firm", role=AccountRole.CHANNEL)
    assert results(position(bank(900), firm)) == ["breach", "compliant", "compliant"]
    gone = position(bank(900, custodian_minor=850, missing_minor=50, breaks=1), firm)
    assert results(gone) == ["breach", "compliant", "breach"]


def test_what_left_the_bank_unasked_is_misuse() -> None:
    """A debit at the custodian that no transfer answers for breaks the rule against misuse, and no other."""
    stolen = UnknownDebit(4, "missing_in_ledger", 50, "2026-03-02", "X")
    told = position(
        bank(1050, custodian_minor=1000, missing_minor=50, breaks=1, unknown_debits=(stolen,)),
        own=(Own("acc_own", 50),),
    )
    assert results(told) == ["compliant", "compliant", "breach"]
    assert "debit_without_instruction" in codes(told, rule=2)


def test_a_debit_without_authorisation_is_misuse() -> None:
    """Even one, even where every total agrees."""
    assert results(position(debits_without=1)) == ["compliant", "compliant", "breach"]


def test_breaks_that_do_not_explain_the_difference_are_a_breach() -> None:
    """Custodian less ledger must be what the breaks come to."""
    assert results(position(bank(custodian_minor=990, missing_minor=4, breaks=1)))[1] == "breach"


def test_money_in_suspense_and_prudent_money_are_required_too() -> None:
    """Unallocated money is somebody's; money left in on purpose is treated as clients'."""
    told = position(bank(1300), unallocated_minor=200, prudent_minor=100)
    assert told.requirement_minor == 1300
    assert told.shortfall_minor == told.excess_minor == 0


def test_own_money_in_the_clients_account_is_an_excess_to_take_out() -> None:
    """Fees first, then what was put in before; the proposal takes out exactly the excess."""
    funds = bank(-300, account="acc_funds", role=AccountRole.OWN_FUNDS)
    told = position(bank(1500), funds, own=(Own("acc_fees", 200),))
    assert told.excess_minor == 500
    proposed = comparison.proposals([told])
    assert [(each.purpose, each.debit_account, each.amount_minor) for each in proposed] == [
        ("withdraw", "acc_fees", 200),
        ("withdraw", "acc_funds", 300),
    ]
    assert results(told) == ALL_GOOD


def test_a_shortfall_is_to_be_covered_from_own_funds() -> None:
    """The proposal names both accounts and the whole amount; without own funds declared there is none."""
    funds = bank(0, account="acc_funds", role=AccountRole.OWN_FUNDS)
    short = position(bank(900), bank(100, account="acc_firm", role=AccountRole.CHANNEL), funds)
    (proposed,) = comparison.proposals([short])
    assert (proposed.debit_account, proposed.credit_account) == ("acc_bank", "acc_funds")
    assert proposed.amount_minor == 100
    assert comparison.proposals([position(bank(900))]) == ()


def test_a_book_out_of_balance_is_a_breach() -> None:
    """Debits and credits of a book must agree before anything else is said."""
    assert results(position(bank(1001))) == ["breach", "breach", "compliant"]


def test_assets_are_judged_each_for_itself() -> None:
    """Euros too many cover no missing yuan."""
    short = position(bank(900), bank(100, account="acc_firm", role=AccountRole.CHANNEL))
    rich = replace(position(bank(1100), own=(Own("acc_own", 100),)), asset="EUR")
    (found, *_) = comparison.findings([short, rich])
    assert [each.asset for each in found.reasons if each.result == Result.BREACH] == ["CNY"]


# ── proofs, on a real ledger ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def people(ledger_database: TestDatabase) -> cast.Cast:
    """The cast; the bank declared, 100.00 paid in by 王芳 and 50.00 by 李强, 5.00 of it a fee."""
    posting.use(posting.InProcess())
    people = cast.opened()
    arrangements.declare(DB, people.bank, SAFE, actor=cast.APPROVER, now=cast.OPENED)
    cast.post(
        [
            ask(1, people.bank, people.wang, 10_000, reference="IN-1"),
            ask(2, people.bank, people.li, 5_000, reference="IN-2"),
        ]
    )
    return people


def bank_says(
    account: int,
    *moves: tuple[str, str, str],
    opening: str = "0",
    closing: str,
    day: str = "2026-03-02",
) -> None:
    """Import the bank's statement of one day."""
    dates = f"<BookgDt><Dt>{day}</Dt></BookgDt><ValDt><Dt>{day}</Dt></ValDt>"
    entries = [
        camt_entry(
            amount,
            side,
            currency="CNY",
            dates=dates,
            details=f"<TxDtls><Refs><EndToEndId>{reference}</EndToEndId></Refs></TxDtls>",
        )
        for reference, amount, side in moves
    ]
    balances = "\n".join(
        (
            camt_balance("OPBD", opening, day, currency="CNY"),
            camt_balance("CLBD", closing, day, currency="CNY"),
        )
    )
    content = camt(
        camt_statement(
            *entries,
            balances=balances,
            number=int(day[-2:]),
            identification=day,
            account="<Othr><Id>BANK-1</Id></Othr>",
        )
    )
    statement_files.import_bytes(
        DB, f"{day}.xml", content, bank_account=account, actor=cast.OPERATIONS, now=cast.NOW
    )


ALL_IN = (("IN-1", "100.00", "CRDT"), ("IN-2", "50.00", "CRDT"))


def prove(day: dt.date = DAY, now: dt.datetime = AFTER) -> proofs.Proof:
    return proofs.prove(DB, BOOK, day, actor=cast.OPERATIONS, now=now)


def the_file(found: proofs.Proof) -> bytes:
    out = io.BytesIO()
    proofs.write_file(DB, found, out)
    return out.getvalue()


def test_a_clean_day_is_proved(people: cast.Cast) -> None:
    """What is owed is at the bank: compliant three times, reconciled on the way, chained, told to the log."""
    bank_says(people.bank, *ALL_IN, closing="150.00")
    made = prove()
    assert made.result == Result.COMPLIANT, made.findings
    (told,) = made.positions
    assert (told.owed_minor, told.ledger_resource_minor, told.custodian_resource_minor) == (15_000,) * 3
    assert (told.accounts_owed, made.accounts) == (2, 3)
    assert made.number == 1
    assert made.previous_digest is None
    assert reconciliation.latest(DB, people.bank) is not None
    (event,) = log.events(DB, kind="custody.safeguarding_proved")
    assert event.payload is not None
    assert event.payload["digest"] == made.digest.hex()


def test_a_missing_statement_is_undetermined_and_the_day_can_be_proved_again(people: cast.Cast) -> None:
    """First nothing is known; with the statement the same day is compliant, and the newest proof counts."""
    first = prove()
    assert first.result == Result.UNDETERMINED
    bank_says(people.bank, *ALL_IN, closing="150.00")
    second = prove()
    assert second.result == Result.COMPLIANT
    assert (second.number, second.previous_digest) == (2, first.digest)
    assert proofs.of_day(DB, BOOK, DAY) == second
    assert [each.proof for each in proofs.days(DB, BOOK)] == [second.id]


def test_a_planted_shortfall_is_a_breach_with_a_transfer_to_cover_it(people: cast.Cast) -> None:
    """30.00 has left the bank unasked: short by as much, misuse told, own funds proposed; funded, it is well."""
    funds = accounts.open_account(
        DB,
        BOOK,
        Family.EXTERNAL,
        "CNY",
        name="Own bank",
        reference="OWN-1",
        actor=cast.SIMULATION,
        now=cast.OPENED,
    )
    arrangements.declare(
        DB, funds, arrangements.Terms(role=AccountRole.OWN_FUNDS), actor=cast.APPROVER, now=cast.OPENED
    )
    bank_says(people.bank, *ALL_IN, ("GONE", "30.00", "DBIT"), closing="120.00")
    made = prove()
    assert [str(each.result) for each in made.findings] == ["breach", "compliant", "breach"]
    (told,) = made.positions
    assert told.shortfall_minor == 3_000
    (proposed,) = made.proposals
    assert (proposed.purpose, proposed.amount_minor) == ("fund", 3_000)
    assert (proposed.debit_account, proposed.credit_account) == (
        account_text(people.bank),
        account_text(funds),
    )
    # The transfer alone is no money: it counts once the bank has it too.
    covered = ask(9, people.bank, funds, proposed.amount_minor, proposed.code, reference="COVER")
    cast.post([covered], now=AFTER)
    tomorrow = AFTER + dt.timedelta(days=1)
    (hoped,) = prove(dt.date(2026, 3, 3), tomorrow).positions
    assert hoped.external[0].known_by is None
    bank_says(people.bank, ("COVER", "30.00", "CRDT"), opening="120.00", closing="150.00", day="2026-03-03")
    made = prove(dt.date(2026, 3, 3), tomorrow)
    (after,) = made.positions
    assert after.shortfall_minor == 0
    # What left unasked stays told until somebody has answered for it.
    assert [str(each.result) for each in made.findings] == ["compliant", "compliant", "breach"]


def test_fees_in_the_clients_account_are_an_excess(people: cast.Cast) -> None:
    """What the platform has earned is its own: not owed to clients, and to be taken out."""
    fee = cast.authorised(
        people.wang,
        people.platform,
        500,
        kind=cast.AuthorisationKind.ENTITLEMENT,
        code=Code.FEE,
    )
    cast.post([ask(3, people.wang, people.platform, 500, "fee", authorisation=fee)])
    bank_says(people.bank, *ALL_IN, closing="150.00")
    made = prove()
    (told,) = made.positions
    assert (told.requirement_minor, told.excess_minor, told.own_minor) == (14_500, 500, 500)
    (proposed,) = made.proposals
    assert (proposed.code, proposed.amount_minor) == ("fee_payout", 500)
    assert (told.debits_instructed, told.debits_without) == (1, 0)
    assert made.result == Result.COMPLIANT


def test_own_money_left_in_on_purpose_is_required(people: cast.Cast) -> None:
    """Prudent segregation raises the requirement, by decision, with its reason."""
    arrangements.segregate_prudently(
        DB, BOOK, "CNY", 1_000, reason="Policy 7: card chargebacks", actor=cast.APPROVER, now=cast.NOW
    )
    bank_says(people.bank, *ALL_IN, closing="150.00")
    (told,) = prove().positions
    assert (told.requirement_minor, told.shortfall_minor) == (16_000, 1_000)


def test_unidentified_receipts_are_owed_to_somebody(people: cast.Cast) -> None:
    """Money in suspense is part of the requirement."""
    cast.post([ask(4, people.bank, people.suspense, 700, "unidentified_receipt", reference="IN-4")])
    bank_says(people.bank, *ALL_IN, ("IN-4", "7.00", "CRDT"), closing="157.00")
    (told,) = prove().positions
    assert (told.unallocated_minor, told.requirement_minor) == (700, 15_700)


def test_a_weekend_without_statements_is_known_by_the_calendar(people: cast.Cast) -> None:
    """2026-03-07 and 08 are a weekend: the balance of Friday stands; on Monday it no longer does."""
    bank_says(people.bank, *ALL_IN, closing="150.00", day="2026-03-06")
    monday = dt.datetime(2026, 3, 10, 1, 0, tzinfo=dt.UTC)
    (sunday,) = prove(dt.date(2026, 3, 8), monday).positions
    assert sunday.external[0].known_by == KnownBy.RESTING
    (later,) = prove(dt.date(2026, 3, 9), monday).positions
    assert later.external[0].known_by is None


def test_a_day_is_proved_only_when_it_is_over(people: cast.Cast) -> None:
    """The book's midnight in the book's zone decides; a day before the book is refused too."""
    with pytest.raises(errors.DayNotOver):
        prove(DAY, dt.datetime(2026, 3, 2, 15, 59, tzinfo=dt.UTC))
    assert prove(DAY, dt.datetime(2026, 3, 2, 16, 0, tzinfo=dt.UTC)).number == 1
    with pytest.raises(errors.TimeBeforeBook):
        prove(dt.date(2026, 2, 27))


def test_later_transfers_never_change_a_proof(people: cast.Cast) -> None:
    """The file of an old proof is the same bytes after the ledger has gone on."""
    bank_says(people.bank, *ALL_IN, closing="150.00")
    made = prove()
    before = the_file(made)
    cast.post([ask(20, people.bank, people.wang, 77)], now=AFTER)
    assert the_file(made) == before
    assert proof_file.verify(before).is_sound


def test_a_file_adds_up_by_itself(people: cast.Cast) -> None:
    """Verification needs the file alone and finds the proof's own digest."""
    bank_says(people.bank, *ALL_IN, closing="150.00")
    made = prove()
    verified = proof_file.verify(the_file(made))
    assert verified.differences == ()
    assert (verified.digest, verified.number, verified.accounts) == (made.digest.hex(), 1, 3)


TAMPERINGS: dict[str, Callable[[dict[str, object]], None]] = {}


def tampering(change: Callable[[dict[str, object]], None]) -> Callable[[dict[str, object]], None]:
    TAMPERINGS[change.__name__] = change
    return change


@tampering
def balance_changed(told: dict) -> None:  # type: ignore[type-arg]
    told["accounts"][0]["balance_minor"] = "9999"


@tampering
def balance_left_out(told: dict) -> None:  # type: ignore[type-arg]
    del told["accounts"][0]


@tampering
def requirement_lowered(told: dict) -> None:  # type: ignore[type-arg]
    told["header"]["assets"][0]["figures"]["requirement_minor"] = "1"


@tampering
def finding_softened(told: dict) -> None:  # type: ignore[type-arg]
    told["header"]["findings"][0]["result"] = "compliant"


@tampering
def result_softened(told: dict) -> None:  # type: ignore[type-arg]
    told["header"]["result"] = "compliant"


@tampering
def owed_lowered_everywhere(told: dict) -> None:  # type: ignore[type-arg]
    told["header"]["assets"][0]["facts"]["owed_minor"] = "1"


@pytest.mark.parametrize("change", sorted(TAMPERINGS))
def test_a_file_that_was_tampered_with_is_found_out(people: cast.Cast, change: str) -> None:
    """Whatever is changed in a file no longer follows from the rest, even where the digest is made anew."""
    made = prove()
    told = json.loads(the_file(made))
    TAMPERINGS[change](told)
    assert proof_file.verify(json.dumps(told).encode()).differences
    # Somebody who also writes a fitting digest is found out by the sums, or by the next link of the chain.
    from tallystick.evidence import canonical

    told["digest"] = proof_file.digest(canonical.text(told["header"])).hex()
    again = proof_file.verify(json.dumps(told).encode())
    assert again.differences
    assert again.digest != made.digest.hex() or change.startswith("balance")


def test_a_chain_with_a_proof_replaced_is_found_out(people: cast.Cast) -> None:
    """The second proof names the first one's digest; another first one does not fit."""
    first, second = prove(), prove()
    whole = [proof_file.verify(the_file(each)) for each in (first, second)]
    assert list(proof_file.chain_differences(whole)) == []
    forged = replace(whole[0], digest="00" * 32)
    assert len(list(proof_file.chain_differences([forged, whole[1]]))) == 1


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"schema":"tallystick/safeguarding-proof/1"}'])
def test_what_is_no_proof_is_told_so(content: bytes) -> None:
    """A file of another kind is refused in words, never with a traceback."""
    with pytest.raises(proof_file.Unreadable):
        proof_file.verify(content)


def test_the_database_keeps_the_chain_and_every_proof(
    people: cast.Cast, ledger_database: TestDatabase
) -> None:
    """Whoever writes past the actions cannot change a proof, nor add one that does not follow."""
    prove()
    with psycopg.connect(ledger_database.conninfo(DatabaseRole.OWNER), autocommit=True) as owner:
        for statement in (
            "update custody_safeguarding_proof set result = 'compliant'",
            "delete from custody_safeguarding_position",
            "insert into custody_safeguarding_proof (book_id, number, day, position, result, header, accounts,"
            " accounts_digest, previous_digest, digest, at, actor) select book_id, 2, day, position, result,"
            " header, accounts, accounts_digest, '\\x00', '\\x01', at, actor from custody_safeguarding_proof",
        ):
            with pytest.raises(psycopg.Error):
                owner.execute(statement)


def test_a_proof_is_signed_off_by_two_people(people: cast.Cast) -> None:
    """The first signs, the same person may not be the second, another may; the file says who signed."""
    made = prove()
    with pytest.raises(errors.SignOffMissing):
        proofs.decide_sign_off(DB, made.id, approve=True, actor=SECOND, now=AFTER)
    proofs.propose_sign_off(DB, made.id, note="statement late", actor=cast.OPERATIONS, now=AFTER)
    both = Actor("usr_1", "Both", frozenset({Role.PLATFORM_OPERATIONS, Role.PLATFORM_APPROVER}))
    with pytest.raises(identity_errors.RolesConflict):
        proofs.decide_sign_off(DB, made.id, approve=True, actor=both, now=AFTER)
    signed = proofs.decide_sign_off(DB, made.id, approve=True, actor=SECOND, now=AFTER)
    assert signed.outcome == approvals.Outcome.APPROVED
    told = json.loads(the_file(made))["sign_off"]
    assert (told["first"], told["second"]) == ("usr_1", "usr_9")
    assert proof_file.verify(the_file(made)).is_sound


def test_a_superseded_proof_is_not_signed(people: cast.Cast) -> None:
    """When a newer proof of the day is there, the older one takes no signature, not even the second."""
    first = prove()
    proofs.propose_sign_off(DB, first.id, actor=cast.OPERATIONS, now=AFTER)
    second = prove()
    with pytest.raises(errors.ProofSuperseded) as refused:
        proofs.decide_sign_off(DB, first.id, approve=True, actor=SECOND, now=AFTER)
    assert refused.value.fields["newest"] == second.id


@pytest.mark.parametrize(
    "attempt",
    [
        lambda people: proofs.prove(DB, BOOK, DAY, actor=cast.WANG_FANG, now=AFTER),
        lambda people: proofs.prove(DB, BOOK, DAY, actor=cast.AUDITOR, now=AFTER),
        lambda people: arrangements.declare(DB, people.bank, SAFE, actor=cast.OPERATIONS, now=AFTER),
    ],
)
def test_who_may_not_does_not(people: cast.Cast, attempt: Callable[[cast.Cast], object]) -> None:
    """Customers and examiners prove nothing; who posts does not say which account is for what."""
    with pytest.raises(identity_errors.AccessDenied):
        attempt(people)


# ── arrangements ─────────────────────────────────────────────────────────────────────────────────────────


def test_only_external_accounts_are_declared_and_the_newest_declaration_holds(people: cast.Cast) -> None:
    """A client's account is refused, by the action and by the database; a second declaration replaces."""
    with pytest.raises(errors.ExternalOnly):
        arrangements.declare(DB, people.wang, SAFE, actor=cast.APPROVER, now=AFTER)
    channel = arrangements.Terms(role=AccountRole.CHANNEL, institution="Firm")
    arrangements.declare(DB, people.bank, channel, actor=cast.APPROVER, now=AFTER)
    assert arrangements.declared(DB, BOOK)[people.bank].terms == channel


@pytest.mark.parametrize(
    "terms",
    [
        arrangements.Terms(role=AccountRole.SAFEGUARDING),
        arrangements.Terms(role=AccountRole.UNDECLARED),
        replace(SAFE, country="cn"),
        replace(SAFE, institution="x" * 141),
        replace(SAFE, number="a\nb"),
    ],
)
def test_declarations_keep_within_bounds(people: cast.Cast, terms: arrangements.Terms) -> None:
    """A safeguarding account says where it is held; nothing is longer than it may be or unprintable."""
    with pytest.raises(errors.Malformed):
        arrangements.declare(DB, people.bank, terms, actor=cast.APPROVER, now=AFTER)


def test_contacts_are_kept_replaced_and_ended(people: cast.Cast) -> None:
    """The newest row of a role and name holds; an ended one is gone; the event names nobody."""
    officer = arrangements.Contact(role="safeguarding officer", name="赵敏", telephone="+86 10 1")
    arrangements.keep_contact(DB, BOOK, officer, actor=cast.APPROVER, now=AFTER)
    arrangements.keep_contact(DB, BOOK, replace(officer, telephone="2"), actor=cast.APPROVER, now=AFTER)
    assert [each.telephone for each in arrangements.contacts(DB, BOOK)] == ["2"]
    arrangements.end_contact(DB, BOOK, officer.role, officer.name, actor=cast.APPROVER, now=AFTER)
    assert arrangements.contacts(DB, BOOK) == []
    with pytest.raises(errors.ContactUnknown):
        arrangements.end_contact(DB, BOOK, officer.role, officer.name, actor=cast.APPROVER, now=AFTER)
    assert "赵敏" not in str([each.payload_text for each in log.events(DB, kind="custody.contact_kept")])


def test_lines_stream_in_pages_by_number(people: cast.Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the page, every account that is not at zero comes once, in order."""
    whole = list(close.lines(DB, BOOK, 2))
    monkeypatch.setattr(close, "PAGE", 1)
    assert list(close.lines(DB, BOOK, 2)) == whole
    assert [each.account for each in whole] == sorted(
        AccountNumber(each) for each in (people.bank, people.wang, people.li)
    )

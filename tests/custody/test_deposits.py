"""Deposits: a line with an owner's reference is booked to them once; every other one is anybody's but theirs."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta

import pytest
from django.db import connections, transaction

from tallystick.custody import (
    accounts,
    deposit_booking,
    deposits,
    errors,
    history,
    numbers,
    pay_in,
    pay_references,
    reconciliation,
    statement_files,
)
from tallystick.custody.deposits import Stage
from tallystick.custody.holder_models import NotCredited
from tallystick.custody.models import AccountStatus
from tallystick.custody.numbers import Family
from tallystick.identity.errors import AccessDenied, ApprovalVoid, OwnProposal
from tests.custody import cast
from tests.custody.cast import (
    APPROVER,
    BOOK,
    DB,
    LI_QIANG,
    NOW,
    OPENED,
    OPERATIONS,
    SIMULATION,
    WANG_FANG,
    ask,
)

FIRST = date(2026, 3, 1)
TODAY = date(2026, 3, 2)


@pytest.fixture(scope="module")
def house(ledger_database_module):
    return cast.opened()


@pytest.fixture
def people(house, request):
    """The cast with accounts of this test's own, in one house for all."""

    def account(family, asset="CNY", owner=""):
        name = f"{family}/{owner}/{hash(request.node.nodeid)}"
        return accounts.open_account(
            DB, BOOK, family, asset, owner=owner, name=name, reference=name, actor=SIMULATION, now=OPENED
        )

    people = cast.Cast(
        bank=account(Family.EXTERNAL),
        wang=account(Family.CLIENT, owner="C-WANG"),
        li=account(Family.CLIENT, owner="C-LI"),
        platform=house.platform,
        suspense=account(Family.SUSPENSE),
    )
    details(people)
    return people


def details(people, **changed):
    """Two people set the pay-in details of the custodian bank."""
    wanted = replace(
        pay_in.Details(
            bank_account=people.bank,
            holder_name="示例网贷客户资金存管专户",
            account_number="6228480402564890018",
            bank_name="示例银行上海分行",
            takes_from=FIRST,
            suspense_account=people.suspense,
        ),
        **changed,
    )
    proposed = pay_in.propose(DB, wanted, actor=OPERATIONS, now=NOW)
    return pay_in.approve(DB, proposed, actor=APPROVER, now=NOW)


def statement(bank, rows, *, number=1, opening=0, day=TODAY):
    """An MT940 of these incoming rows: amount in fen, bank reference, remittance."""
    lines = [
        ":20:CUST",
        f":25:{bank}",
        f":28C:{number}/1",
        f":60F:C{day:%y%m%d}CNY{opening // 100},{opening % 100:02d}",
    ]
    for amount, reference, text in rows:
        mark = "C" if amount > 0 else "D"
        lines.append(
            f":61:{day:%y%m%d}{day:%m%d}{mark}{abs(amount) // 100},{abs(amount) % 100:02d}NTRF{reference}"
        )
        lines.append(f":86:{text}")
    closing = opening + sum(amount for amount, _, _ in rows)
    lines.append(f":62F:C{day:%y%m%d}CNY{closing // 100},{closing % 100:02d}")
    return "\r\n".join([*lines, "-"]).encode()


def imported(people, rows, **more):
    return statement_files.import_bytes(
        DB,
        "day.sta",
        statement(people.bank, rows, **more),
        bank_account=people.bank,
        actor=SIMULATION,
        now=NOW,
    )


def advance():
    done = deposit_booking.advance(DB, BOOK, actor=SIMULATION, now=NOW)
    assert deposit_booking.advance(DB, BOOK, actor=SIMULATION, now=NOW) == 0, "once is enough"
    return done


def balance(account):
    return history.balance(DB, account).balance_minor


def wang(people):
    return pay_references.reference(people.wang, "CNY")


def test_a_line_that_names_its_owner_is_booked_to_them_and_the_bank_then_agrees(people):
    """To the fen, under the bank's own reference, so that the reconciliation finds no break."""
    imported(people, [(100_05, "B1", f"附言 {wang(people)}"), (7_00, "B2", pay_references.rf(people.li))])
    assert advance() == 1
    assert (balance(people.wang), balance(people.li), balance(people.suspense)) == (100_05, 7_00, 0)
    found = reconciliation.reconcile(DB, BOOK, people.bank, actor=SIMULATION, now=NOW)
    assert (found.summary.matched, found.summary.breaks) == (2, 0)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("工资 三月", NotCredited.NO_REFERENCE),
        ("RF00001101560000000002", NotCredited.MISTYPED),
        ("two", NotCredited.SEVERAL),
        ("absent", NotCredited.NO_ACCOUNT),
        ("closed", NotCredited.NOT_TAKEN),
    ],
)
def test_a_line_that_names_nobody_goes_to_suspense_and_says_why(people, text, why):
    """Nobody is credited by a guess; the reason is kept with the line."""
    absent = numbers.account_number(1, numbers.Family.CLIENT, 156, 999)
    texts = {
        "two": f"{pay_references.rf(people.wang)} {pay_references.rf(people.li)}",
        "absent": pay_references.rf(absent),
        "closed": pay_references.rf(people.li),
    }
    accounts.change_state(DB, people.li, AccountStatus.CLOSED, "gone", actor=SIMULATION, now=NOW)
    imported(people, [(50_00, "B1", texts.get(text, text))])
    advance()
    assert (balance(people.wang), balance(people.li), balance(people.suspense)) == (0, 0, 50_00)
    unowned = deposits.unowned(DB, BOOK)[0]
    assert (unowned.why, unowned.amount_minor) == (why, 50_00)


def test_without_a_suspense_account_such_a_line_is_left_to_the_reconciliation(people):
    """Naming the suspense account is the book's choice; the owner's own payment is booked either way."""
    details(people, suspense_account=None)
    imported(people, [(50_00, "Q1", "unknown"), (8_00, "Q2", wang(people))])
    advance()
    assert (balance(people.wang), balance(people.suspense)) == (8_00, 0)
    found = reconciliation.reconcile(DB, BOOK, people.bank, actor=SIMULATION, now=NOW)
    assert [each.kind for each in found.breaks] == ["unidentified"]


def test_what_the_ledger_has_already_is_not_booked_again(people):
    """By the bank's reference, however spelled; or, posted without one, by amount and a day close by."""
    cast.post(
        [
            ask(people.bank % 10_000, people.bank, people.wang, 100_00, reference="chan nel 77"),
            ask(people.li % 10_000, people.bank, people.li, 30_00),
            ask(20_000 + people.wang % 10_000, people.bank, people.wang, 12_00, reference="straße 7"),
        ]
    )
    imported(
        people,
        [
            (100_00, "CHANNEL77", wang(people)),
            (12_00, "STRASSE7", wang(people)),
            (30_00, "B2", pay_references.rf(people.li)),
            (30_00, "B3", pay_references.rf(people.li)),
        ],
    )
    advance()
    # Two lines of thirty, one of them in the ledger: the other one is new.
    assert (balance(people.wang), balance(people.li)) == (112_00, 60_00)


def test_a_standing_reference_sent_twice_is_two_payments_and_a_repeated_line_one(people):
    """A customer pays in every month under one reference; a bank that repeats its own reference repeats itself."""
    reference = wang(people)
    imported(people, [(10_00, "NONREF", reference), (10_00, "NONREF", reference)])
    advance()
    assert balance(people.wang) == 20_00
    imported(people, [(5_00, "B9", reference), (5_00, "B9", reference)], number=2, opening=20_00)
    advance()
    assert balance(people.wang) == 25_00


def test_money_going_out_taken_back_or_from_before_the_first_day_is_left_alone(people):
    """Only what comes in, from the first day the details name."""
    details(people, takes_from=TODAY + timedelta(days=1))
    imported(people, [(10_00, "B1", wang(people)), (-10_00, "B2", wang(people))])
    advance()
    assert balance(people.wang) == 0


def test_a_crash_after_posting_books_nothing_twice_and_loses_no_row(people, monkeypatch):
    """The ledger has committed, the rows have not: the next beat finds its own transfers by their ids."""
    imported(people, [(10_00, "B1", wang(people)), (3_00, "B2", "unknown")])

    def dies(*_, **__):
        raise RuntimeError("the machine stops here")

    with monkeypatch.context() as broken:
        broken.setattr(deposit_booking, "_write", dies)
        with pytest.raises(RuntimeError):
            deposit_booking.advance(DB, BOOK, actor=SIMULATION, now=NOW)
    assert balance(people.wang) == 10_00
    assert list(deposits.incoming(DB, people.wang, today=TODAY)) == []
    advance()
    assert (balance(people.wang), balance(people.suspense)) == (10_00, 3_00)
    (incoming,) = deposits.incoming(DB, people.wang, today=TODAY)
    assert incoming.stage == Stage.BOOKED
    assert deposits.unowned(DB, BOOK)[0].why == NotCredited.NO_REFERENCE


def test_the_customer_sees_it_announced_noticed_and_booked(people):
    """One deposit in one row of the list, through its three stages, each with its time."""
    deposits.announce(DB, people.wang, 100_00, actor=WANG_FANG, now=NOW)
    (announced,) = deposits.incoming(DB, people.wang, today=TODAY)
    assert (announced.stage, announced.amount_minor) == (Stage.ANNOUNCED, 100_00)

    early(people, [(100_00, "B1", wang(people))], number=1)
    assert balance(people.wang) == 0
    (noticed,) = deposits.incoming(DB, people.wang, today=TODAY)
    assert (noticed.stage, noticed.announced_at) == (Stage.NOTICED, NOW)
    # The bank's next word of the day repeats it.
    early(people, [(100_00, "B1", wang(people)), (2_00, "B2", pay_references.rf(people.li))], number=2)
    assert len(deposits.incoming(DB, people.wang, today=TODAY)) == 1

    imported(people, [(100_00, "B1", wang(people))])
    advance()
    (booked,) = deposits.incoming(DB, people.wang, today=TODAY)
    assert booked.stage == Stage.BOOKED
    assert booked.announced_at == booked.noticed_at == booked.booked_at == NOW
    assert history.transfer(DB, booked.transfer).amount_minor == 100_00
    assert balance(people.wang) == 100_00


def early(people, rows, *, number):
    """What the bank has booked so far today, as an interim report holds it."""
    with connections[DB].cursor() as cursor, transaction.atomic(using=DB):
        mark = f"{people.bank}-{number}".encode()
        cursor.execute(
            "insert into custody_statement_file (bank_account_id, name, format, source, encoding, bytes, sha256,"
            " statements, entries, imported_at, imported_by)"
            " values (%s, 'day', 'camt.052', 'custodian', 'utf-8', 1, %s, 1, %s, %s, 'x') returning id",
            [people.bank, mark, len(rows), NOW],
        )
        file = cursor.fetchone()[0]
        cursor.execute(
            'insert into custody_statement (file_id, bank_account_id, "index", line, source, kind, account,'
            " currency, identification, to_date, entries, digest)"
            " values (%s, %s, 1, 1, 'custodian', 'interim', %s, 'CNY', 'x', %s, %s, %s) returning id",
            [file, people.bank, str(people.bank), TODAY, len(rows), mark],
        )
        statement_id = cursor.fetchone()[0]
        for n, (amount, reference, text) in enumerate(rows, start=1):
            cursor.execute(
                "insert into custody_statement_line (statement_id, number, line, amount_minor, booking_date,"
                ' value_date, "references", remittance, counterparty_name, counterparty_account, code, reversal,'
                " settlement, details) values (%s, %s, 1, %s, %s, %s, %s, %s, '', '', '', false, '', '[]')",
                [statement_id, n, amount, TODAY, TODAY, json.dumps([reference]), text],
            )
    advance()


def test_an_announcement_moves_nothing_is_the_owners_and_ends(people):
    """Announcing is no deposit, nobody announces for another, and what never came is told as such."""
    with pytest.raises(AccessDenied):
        deposits.announce(DB, people.wang, 100_00, actor=LI_QIANG, now=NOW)
    for _ in range(deposits.ANNOUNCED_MAX):
        deposits.announce(DB, people.wang, 100_00, actor=WANG_FANG, now=NOW)
    with pytest.raises(errors.AnnouncementsTooMany):
        deposits.announce(DB, people.wang, 100_00, actor=WANG_FANG, now=NOW)
    assert balance(people.wang) == 0
    later = TODAY + timedelta(days=deposits.EXPECTED_DAYS + 1)
    stages = {each.stage for each in deposits.incoming(DB, people.wang, today=later)}
    assert stages == {Stage.NOT_ARRIVED}


def test_details_take_two_people_and_a_change_between_voids_the_proposal(people):
    """Whoever proposed cannot approve, and what was approved is what was read."""
    held = pay_in.of_account(DB, people.bank)
    new = replace(held.details, holder_name="Somebody else")
    proposed = pay_in.propose(DB, new, actor=OPERATIONS, now=NOW)
    both = replace(OPERATIONS, roles=OPERATIONS.roles | APPROVER.roles)
    with pytest.raises((OwnProposal, AccessDenied, errors.Refusal)):
        pay_in.approve(DB, proposed, actor=both, now=NOW)
    with connections[DB].cursor() as cursor:
        # Somebody set other details meanwhile.
        cursor.execute(
            "insert into custody_pay_in_details (book_id, bank_account_id, holder_name, account_number,"
            " bank_name, bank_code, takes_from, is_open, approval, at, actor)"
            " select book_id, bank_account_id, 'Third', account_number, bank_name, bank_code, takes_from, true,"
            " approval, at, actor from custody_pay_in_details where bank_account_id = %s limit 1",
            [people.bank],
        )
    with pytest.raises(ApprovalVoid):
        pay_in.approve(DB, proposed, actor=APPROVER, now=NOW)
    assert pay_in.of_account(DB, people.bank).details.holder_name == "Third"


@pytest.mark.parametrize(
    "changed",
    [
        {"account_number": "DE89370400440532013001"},
        {"account_number": "12"},
        {"holder_name": ""},
        {"holder_name": "a\nb"},
        {"bank_code": "x" * 36},
    ],
)
def test_details_that_nobody_could_pay_to_are_refused(people, changed):
    """An IBAN with a slip, an empty name, a line broken in two."""
    held = pay_in.of_account(DB, people.bank)
    with pytest.raises(errors.Malformed):
        pay_in.propose(DB, replace(held.details, **changed), actor=OPERATIONS, now=NOW)


def test_the_code_says_what_the_page_says(people):
    """For euro to an IBAN the form of EPC069-12, line by line; for yuan the words themselves."""
    held = pay_in.of_account(DB, people.bank)
    euro = replace(
        held.details,
        account_number="DE89 3704 0044 0532 0130 00",
        bank_code="COBADEFFXXX",
        holder_name="Plat",
    )
    account = numbers.account_number(1, numbers.Family.CLIENT, 978, 7)
    assert pay_in.code_text(euro, account, "EUR", 2, amount_minor=12_50).split("\n") == [
        "BCD",
        "002",
        "1",
        "SCT",
        "COBADEFFXXX",
        "Plat",
        "DE89370400440532013000",
        "EUR12.50",
        "",
        pay_references.rf(account),
    ]
    text = pay_in.code_text(held.details, people.wang, "CNY", 2)
    assert held.details.account_number in text
    assert wang(people) in text
